"""What is to be said of a layer besides what the checks say."""

from collections.abc import Iterator

import numpy as np

from gradlab.adapters.foreign_pair.convention import NUMERICAL
from gradlab.adapters.foreign_pair.subject_report import Subject
from gradlab.adapters.numpy_layer.layer_pair import ArgumentLeaf, Primal
from gradlab.adapters.numpy_layer.learned_behaviour import (
    after_the_step,
    clearing_method,
    left_standing,
    mixed_sums,
)
from gradlab.adapters.numpy_layer.naming_conventions import GRAD
from gradlab.adapters.numpy_layer.reading_choice import Reading
from gradlab.adapters.numpy_layer.report_subject import is_loss
from gradlab.diagnosis import Finding
from gradlab.report import Row
from gradlab.verdict import Verdict

# What is said, and its name where the diagnosis has one for it.
Remark = tuple[Row, Finding | None]


def remarks(reading: Reading, subject: Subject, printed: bool, strict: bool, seed: int) -> list[Remark]:
    """Return what is to be said of a layer besides what the checks say."""
    breach = Verdict.WRONG if strict else Verdict.WARNING
    found = [*_missing(reading, subject.name, breach), *_sums(reading, subject.name, breach, seed)]
    for name in after_the_step(reading.bound, seed) if not reading.raised else ():
        evidence = (
            f"the gradient of {name} is another if the optimizer moves the parameters before it is computed"
        )
        cure = "compute it before the step"
        row = _row(subject.name, NUMERICAL, name, Verdict.WRONG, f"{evidence}: {cure}")
        found.append((row, Finding("nonlinear-in-cotangent", name, 0.9, evidence, cure)))
    if reading.constants:
        note = f"taken as constants: {', '.join(reading.constants)}: name them in params= if they are learned"
        found.append((_row(subject.name, "parameters", "", Verdict.PASS, note), None))
    if reading.ignores:
        evidence = "the gradient is the same for every dout, right for dout = 1 alone"
        row = _row(subject.name, "linear_in_cotangent", "", breach, f"{evidence}: multiply by dout")
        found.append((row, Finding("ignores-cotangent", "", 0.8, evidence, "multiply by dout")))
    if printed:
        note = "it prints while it runs, which was kept from the screen: leave that out"
        found.append((_row(subject.name, "prints", "", Verdict.WARNING, note), None))
    return found


def _row(node: str, check: str, primal: str, verdict: Verdict, note: str) -> Row:
    return Row(node, "given", check, primal, "", verdict, note=note)


def _missing(reading: Reading, node: str, breach: Verdict) -> Iterator[Remark]:
    """Yield what has no gradient, and should have one."""
    learns = any(q.where is not None for q in reading.bound.primals)
    for p in reading.missing:
        note = f"no gradient of {p.name} was found: store it beside it (d{p.name}), or pass grads="
        finding = Finding(
            "wrong-shape", p.name, 1.0, f"there is no gradient of {p.name}", "store it beside its parameter"
        )
        verdict = Verdict.WRONG if learns else breach
        yield _row(node, NUMERICAL, p.name, verdict, note), finding if learns else None
    for leaf in reading.without:
        note = f"no gradient of {leaf.name} came back: return it, unless it is not to be differentiated"
        verdict = Verdict.WRONG if _is_owed(reading, leaf) else breach
        yield _row(node, NUMERICAL, leaf.name, verdict, note), None


def _is_owed(reading: Reading, leaf: ArgumentLeaf) -> bool:
    """Return whether an input surely has a gradient: others came back, it is no mask, and it is no loss's target."""
    others = any(p.leaf is not None for p in reading.bound.primals)
    plain = np.isin(leaf.value, (0, 1)) | ~np.isfinite(leaf.value)
    mask = "mask" in leaf.name.lower() or bool(plain.all())
    return others and not mask and not is_loss(reading.bound)


def _sums(reading: Reading, node: str, breach: Verdict, seed: int) -> Iterator[Remark]:
    """Yield what is to be said of gradients that add up."""
    for primal in left_standing(reading.bound, seed) if not reading.raised else ():
        evidence = f"the gradient of {primal.name} adds up, and the method that clears gradients leaves it"
        row = _row(node, "adds_nothing_up", primal.name, Verdict.WRONG, f"{evidence}: clear it as well")
        yield row, Finding("accumulates", primal.name, 0.9, evidence, "clear it as well")
    mixed = mixed_sums(reading.bound)
    method = clearing_method(reading.bound.stage.layer)
    for primal in reading.bound.primals:
        if not primal.accumulates or (method and primal not in mixed) or _is_tensor(primal):
            continue
        evidence = f"each further call adds the same to the gradient of {primal.name}"
        evidence += ", and to others beside it not" if primal in mixed else ""
        cure = "start from zeros in every call, or give the layer a method that clears it"
        verdict = Verdict.WRONG if primal in mixed else breach
        row = _row(node, "adds_nothing_up", primal.name, verdict, f"{evidence}: {cure}")
        yield row, Finding("accumulates", primal.name, 0.9, evidence, cure)


def _is_tensor(primal: Primal) -> bool:
    """Return whether the gradient stands on a tensor or parameter object, where adding up is the custom."""
    path = primal.slots[0].path
    return bool(path) and path is not None and (path[0] == ("attr", "args") or path[-1][1] in GRAD)
