"""A layer's reading as the subject of a report, the domain of a loss, and remarks beside the checks."""

from collections.abc import Iterator, Mapping, Sequence
from functools import partial
from typing import Any

import numpy as np

from gradlab.adapters.foreign_pair.convention import NUMERICAL
from gradlab.adapters.foreign_pair.subject_report import Subject
from gradlab.adapters.numpy_layer.forward_arguments import ArgumentLeaf
from gradlab.adapters.numpy_layer.layer_reading import BoundLayer, Primal, Reading
from gradlab.adapters.numpy_layer.layer_run import passes_cache, resets, title_of, vars_of
from gradlab.adapters.numpy_layer.learned_behaviour import (
    clearing_method,
    complex_gradients,
    ignored_argument,
    inputs_spoiled_by_a_step,
    is_compared,
    keeps_a_state,
    mixed_accumulation,
    spoiled_inputs,
    sums_returned,
    uncleared_gradients,
    with_ones,
    works_once,
    writes_over_its_output,
)
from gradlab.adapters.numpy_layer.naming_conventions import is_gradient_of, is_parameter, is_plain_parameter
from gradlab.adapters.numpy_layer.number_places import GRAD, follow
from gradlab.adapters.numpy_layer.parameter_discovery import Parameter, nearest_name
from gradlab.adapters.numpy_layer.variations import epsilon_of, variations
from gradlab.diagnosis import Finding
from gradlab.node import Array, as_tuple
from gradlab.report import Row
from gradlab.verdict import Verdict


def subject_of(reading: Reading, settings: Mapping[str, Any], seed: int, name: str | None) -> Subject:
    """Return a layer as the subject of a report."""
    bound = with_ones(reading.bound) if reading.ignores else reading.bound
    kept = _settings(bound)
    whole = {p.name for p in bound.primals}
    return Subject(
        name or title_of(bound.held_layer.layer),
        inside_domain(bound, kept) if is_loss(bound) else bound.forward,
        bound.backward,
        [p.name for p in bound.primals],
        bound.values,
        {key: value for key, value in kept.items() if key not in whole},
        parameters=_parameters(bound),
        loss=is_loss(bound),
        # without a cotangent nothing else follows in the chain rule, and the functional may be the caller's
        chained=reading.bound.backward_call.takes,
        free=not reading.bound.backward_call.takes and not reading.bound.forward_call.scalar,
        notes={p.name: _note(reading.bound, p) for p in bound.primals},
        variations=partial(variations, bound, settings, kept, seed) if not reading.raised else tuple,
        epsilon=epsilon_of(bound),
    )


def _parameters(bound: BoundLayer) -> list[int]:
    """Return which primals are parameters; of functions, those behind the first that have a parameter's name."""
    pair = passes_cache(bound.held_layer.layer)
    return [
        i
        for i, p in enumerate(bound.primals)
        if p.where is not None or (pair and i > 0 and is_parameter(p.name, sure=True))
    ]


def _settings(bound: BoundLayer) -> dict[str, Any]:
    """Return the arrays and numbers that forward is given besides the primals: a batch of labels goes with x."""
    call = bound.forward_call
    taken = {p.leaf.argument for p in bound.primals if p.leaf is not None}
    arguments = {a.name: a.value for i, a in enumerate(call.arguments) if i not in taken}
    both = {**arguments, **call.settings}
    return {name: value for name, value in both.items() if isinstance(value, np.ndarray | int | float | str)}


def is_loss(bound: BoundLayer) -> bool:
    """Return whether a layer is a loss: its output is one number, or its backward takes no cotangent."""
    output = bound.forward(*bound.values)[0]
    return not bound.backward_call.takes or (not isinstance(output, tuple) and np.size(output) == 1)


def _note(bound: BoundLayer, primal: Any) -> str:
    """Return where a gradient was found, in words."""
    places = " plus ".join(slot.said for slot in primal.slots)
    added = ", where gradients add up until they are cleared" if primal.accumulates else ""
    multiplied = "" if bound.backward_call.takes else ", times the cotangent"
    return f"gradient of {primal.name}: {places}{multiplied}, written by {bound.backward_call.said}{added}"


# An imaginary part is rounding where it is no larger than this, beside the real one.
NO_PART = 1e-9
# How far an epsilon may change a loss, relative to it, for the gradient without it to be meant, or more, where it
# does so at the given point; and where it is what the loss is about.
NEGLIGIBLE, MORE, DECISIVE = 1e-6, 4.0, 1e-3
# So near to primals at which the epsilon does not matter it does not matter either, nor where one element alone has
# moved by a step of the ladder, at most this share of its size; and so many of those primals are kept.
NEARBY, STEP_OF_ONE, REMEMBERED = 1e-2, 0.3, 4


def inside_domain(bound: BoundLayer, settings: Mapping[str, Any]) -> Any:
    """Return the forward of a loss that refuses primals outside its domain.

    Outside are probabilities that are none, targets with other classes, and, unless the given point is such a place
    itself, places where an epsilon matters.
    """
    inside = [i for i, x in enumerate(bound.values) if bound.primals[i].leaf is not None and _is_inside(x)]
    classes = {name: value.shape[1:] for name, value in settings.items() if isinstance(value, np.ndarray)}
    allowed = _allowed(bound, settings)
    accepted: dict[tuple[Any, ...], list[tuple[Array, ...]]] = {}

    def forward(*primals: Array, **given: Any) -> Any:
        for i in inside:
            if not _is_inside(primals[i]):
                raise ValueError("a probability is not between 0 and 1")
        for name, shape in classes.items():
            if name in given and given[name].shape[1:] != shape:
                raise ValueError(f"{name} has other classes")
        points = accepted.setdefault(_settings_key(given), []) if allowed else []
        looks = bool(allowed) and not any(_is_near(primals, point) for point in points)
        returned = bound.forward(*primals, **given)
        if looks:
            if not _share_of_epsilon(bound, primals, given, returned[0]) <= allowed:
                raise ValueError("here the epsilon is what is left of the loss")
            points[:] = [tuple(np.array(x) for x in primals), *points[: REMEMBERED - 1]]
        return returned

    return forward


def _settings_key(settings: Mapping[str, Any]) -> tuple[Any, ...]:
    """Return a key that tells settings apart."""
    values = ((x.shape, x.tobytes()) if isinstance(x, np.ndarray) else repr(x) for x in settings.values())
    return (*settings, *values)


def _is_near(primals: Sequence[Array], point: Sequence[Array]) -> bool:
    """Return whether primals are those of a point, but for small moves and for a step of one element."""
    if any(x.shape != y.shape for x, y in zip(primals, point, strict=True)):
        return False
    apart = 0
    for x, y in zip(primals, point, strict=True):
        move, size = np.abs(x - y), np.abs(y)
        if not (move <= STEP_OF_ONE * np.where(size > 0, size, 1)).all():
            return False
        apart += int(np.count_nonzero(move > NEARBY * size))
    return apart <= 1


def _is_inside(x: Array) -> bool:
    return x.size > 0 and bool(((x > 0) & (x < 1)).all())


def _allowed(bound: BoundLayer, settings: Mapping[str, Any]) -> float:
    """Return the largest share of a loss that its epsilon may have; 0 if primals are not refused for it."""
    if not bound.held_layer.epsilons:
        return 0.0
    taken = {p.name for p in bound.primals}
    given = {name: value for name, value in settings.items() if name not in taken}
    share = _share_of_epsilon(bound, bound.values, given, bound.forward(*bound.values, **given)[0])
    return max(NEGLIGIBLE, MORE * share) if share <= DECISIVE else 0.0


def _share_of_epsilon(
    bound: BoundLayer, primals: tuple[Array, ...], settings: Mapping[str, Any], outputs: Any
) -> float:
    """Return how far a loss's epsilon changes its outputs, relative to their size."""
    with_it = as_tuple(outputs)
    with bound.held_layer.epsilons.applied():
        without = as_tuple(bound.forward(*primals, **settings)[0])
    off = max(float(np.max(np.abs(a - b))) for a, b in zip(with_it, without, strict=True))
    return off / (max(float(np.max(np.abs(a))) for a in with_it) or 1.0)


# What is said, and its name where the diagnosis has one for it.
Remark = tuple[Row, Finding | None]


def remarks(reading: Reading, subject: Subject, printed: bool, strict: bool, seed: int) -> list[Remark]:
    """Return the remarks on a layer that no check makes: missing gradients, sums, constants, printing."""
    breach = Verdict.WRONG if strict else Verdict.WARNING
    found = [*_missing(reading, subject.name, breach), *_sums(reading, subject.name, breach, seed)]
    found += _in_another_order(reading, subject.name)
    for name in inputs_spoiled_by_a_step(reading.bound, seed) if not reading.raised else ():
        evidence = (
            f"the gradient of {name} is another if the optimizer moves the parameters before it is computed"
        )
        cure = "compute it before the step"
        row = _row(subject.name, NUMERICAL, name, Verdict.WRONG, f"{evidence}: {cure}")
        found.append((row, Finding("nonlinear-in-cotangent", name, 0.9, evidence, cure)))
    for p in reading.bound.primals:
        if p.as_row:
            evidence = f"the gradient of {p.name} comes with an axis of length 1 before its own"
            cure = "return it in the primal's shape"
            finding = Finding("wrong-shape", p.name, 0.9, evidence, cure, warns=breach is Verdict.WARNING)
            found.append(
                (_row(subject.name, "shapes_and_dtypes", p.name, breach, f"{evidence}: {cure}"), finding)
            )
    for name, share in complex_gradients(reading.bound, seed).items() if not reading.raised else ():
        more = f", with an imaginary part of {share:.1g} of the real one" if share > NO_PART else ""
        evidence, cure = f"the gradient of {name} is complex{more}", "return its real part, if that is meant"
        verdict = Verdict.WRONG if more else breach
        finding = Finding("wrong-dtype", name, 0.9, evidence, cure, warns=verdict is Verdict.WARNING)
        found.append((_row(subject.name, "shapes_and_dtypes", name, verdict, f"{evidence}: {cure}"), finding))
    if not reading.raised and works_once(reading.bound, seed):
        evidence = "a second backward after the same forward gives other gradients"
        cure = "leave what forward saved as it is"
        row = _row(subject.name, "repeatable", "", breach, f"{evidence}: {cure}")
        finding = Finding("mutates-argument", "", 0.8, evidence, cure, warns=breach is Verdict.WARNING)
        found.append((row, finding))
    if name := "" if reading.raised else ignored_argument(reading.bound, seed):
        evidence = f"the gradients are the same whatever is given as {name}: right for ones alone"
        row = _row(subject.name, "linear_in_cotangent", "", Verdict.WRONG, f"{evidence}: multiply by {name}")
        found.append((row, Finding("ignores-cotangent", "", 0.9, evidence, f"multiply by {name}")))
    if not reading.raised and writes_over_its_output(reading.bound):
        evidence, cure = (
            "a later forward writes into the output that an earlier one returned",
            "return a copy",
        )
        finding = Finding("aliases-memory", "", 0.9, evidence, cure, warns=breach is Verdict.WARNING)
        found.append((_row(subject.name, "owns_its_memory", "", breach, f"{evidence}: {cure}"), finding))
    for name in spoiled_inputs(reading.bound, seed) if not reading.raised else ():
        evidence, cure = f"what is given as {name} is written into", "work on a copy"
        finding = Finding("mutates-argument", name, 0.9, evidence, cure, warns=breach is Verdict.WARNING)
        row = _row(subject.name, "leaves_arguments_unchanged", name, breach, f"{evidence}: {cure}")
        found.append((row, finding))
    if not reading.raised and not resets(reading.bound.held_layer.layer) and keeps_a_state(reading.bound):
        evidence = (
            "forward gives another output when it is called again: it keeps something from call to call"
        )
        cure = "every call was checked as the first one; give the layer a method that resets it"
        finding = Finding("nondeterministic", "", 0.8, evidence, cure, warns=breach is Verdict.WARNING)
        found.append((_row(subject.name, "repeatable", "", breach, f"{evidence}: {cure}"), finding))
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


def _in_another_order(reading: Reading, node: str) -> Iterator[Remark]:
    """Yield a remark on gradients of one shape that are returned, by their names, in another order than the inputs."""
    places = {}
    for p in reading.bound.primals:
        path = p.slots[0].path if p.leaf is not None and p.slots else None
        if path and len(path) == 2 and path[0] == ("attr", "given_back") and isinstance(path[1][1], int):
            places[p.name] = (path[1][1], p.value.shape)
    alike = [name for name, (_, shape) in places.items() if [s for _, s in places.values()].count(shape) > 1]
    if [places[name][0] for name in alike] != sorted(places[name][0] for name in alike):
        inputs, returned = ", ".join(alike), ", ".join(sorted(alike, key=lambda name: places[name][0]))
        evidence = (
            f"by their names the gradients are returned in the order {returned}, and forward takes {inputs}"
        )
        cure = "return them in forward's order, or by name, as who takes them in order exchanges them"
        finding = Finding("swapped-primals", "", 0.95, evidence, cure)
        yield _row(node, "order_of_gradients", "", Verdict.WRONG, f"{evidence}: {cure}"), finding


def _missing(reading: Reading, node: str, breach: Verdict) -> Iterator[Remark]:
    """Yield a remark on each parameter and input without a gradient."""
    learns = any(q.where is not None for q in reading.bound.primals)
    for p in reading.missing:
        note = f"no gradient of {p.name} was found: store it beside it (d{p.name}), or pass grads="
        finding = Finding(
            "wrong-shape", p.name, 1.0, f"there is no gradient of {p.name}", "store it beside its parameter"
        )
        # a fixed matrix may be called W_fixed: what has a plain name, is listed as a parameter, or has a place for its
        # gradient, is none
        plain = any(is_plain_parameter(nearest_name(o.path)) for o in p.occurrences)
        layer = reading.bound.held_layer.layer
        # a plain number, such as a temperature, is set and not learned until somebody says so
        plain = plain and isinstance(p.where.get(layer), np.ndarray) and not _is_designed(p.value(layer))
        owed = learns and (plain or any(o.declared for o in p.occurrences) or _has_place(reading, p))
        verdict = Verdict.WRONG if owed else breach
        yield _row(node, NUMERICAL, p.name, verdict, note), finding if owed else None
    for leaf in reading.without:
        note = f"no gradient of {leaf.name} came back: return it, unless it is not to be differentiated"
        if learns and is_loss(reading.bound) and not any(p.leaf is not None for p in reading.bound.primals):
            continue  # a net that is trained owes no gradient of its data
        verdict = Verdict.WRONG if _is_owed(reading, leaf) else breach
        yield _row(node, NUMERICAL, leaf.name, verdict, note), None


def _is_designed(value: Array) -> bool:
    """Return whether an array was made and not learned: a window, the same from behind, or zeros and ones."""
    if np.isin(value, (0, 1)).all() and np.ptp(value) > 0:
        return True
    return value.size > 2 and value.ndim == 1 and np.ptp(value) > 0 and bool(np.allclose(value, value[::-1]))


def _has_place(reading: Reading, p: Parameter) -> bool:
    """Return whether the layer has an attribute that is called like the gradient of a parameter."""
    for o in p.occurrences:
        owner = follow(reading.bound.held_layer.layer, o.path[:-1])
        beside = owner if isinstance(owner, Mapping) else vars_of(owner)
        name = nearest_name(o.path)
        if any(is_gradient_of(str(other), name) >= 2 for other in beside if other != name):
            return True
    return False


def _is_owed(reading: Reading, leaf: ArgumentLeaf) -> bool:
    """Return whether an input must have a gradient: other inputs have one, and it is no mask and no target."""
    others = any(p.leaf is not None for p in reading.bound.primals)
    plain = np.isin(leaf.value, (0, 1)) | ~np.isfinite(leaf.value)
    mask = "mask" in leaf.name.lower() or bool(plain.all())
    return others and not mask and not is_loss(reading.bound) and not is_compared(reading.bound, leaf)


def _sums(reading: Reading, node: str, breach: Verdict, seed: int) -> Iterator[Remark]:
    """Yield a remark on each gradient that adds up over calls."""
    for primal in uncleared_gradients(reading.bound, seed) if not reading.raised else ():
        evidence = f"the gradient of {primal.name} adds up, and the method that clears gradients leaves it"
        row = _row(node, "adds_nothing_up", primal.name, Verdict.WRONG, f"{evidence}: clear it as well")
        yield row, Finding("accumulates", primal.name, 0.9, evidence, "clear it as well")
    mixed = mixed_accumulation(reading.bound)
    returned = sums_returned(reading.bound, seed) if not reading.raised else []
    method = clearing_method(reading.bound.held_layer.layer)
    for primal in reading.bound.primals:
        if not primal.accumulates or (method and primal not in mixed) or _is_tensor(primal):
            continue
        evidence = f"each further call adds the same to the gradient of {primal.name}"
        evidence += ", and to others beside it not" if primal in mixed else ""
        evidence += ", and what backward returns is that sum" if primal in returned else ""
        cure = "start from zeros in every call, or give the layer a method that clears it"
        verdict = Verdict.WRONG if primal in (*mixed, *returned) else breach
        row = _row(node, "adds_nothing_up", primal.name, verdict, f"{evidence}: {cure}")
        warns = verdict is Verdict.WARNING
        yield row, Finding("accumulates", primal.name, 0.9, evidence, cure, warns=warns)


def _is_tensor(primal: Primal) -> bool:
    """Return whether the gradient stands on a tensor or parameter object, where adding up is the custom."""
    path = primal.slots[0].path
    return bool(path) and path is not None and (path[0] == ("attr", "args") or path[-1][1] in GRAD)
