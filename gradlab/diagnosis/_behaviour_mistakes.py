"""Mistakes that no single call shows: state, memory, layout, dtype, shape."""

from collections.abc import Iterator, Sequence
from itertools import combinations, pairwise
from typing import Any

import numpy as np

from gradlab.checks import any_layout, finite_where_expected, leaves_arguments_unchanged, owns_its_memory
from gradlab.checks.trial import Trial, map_arrays, quiet, same_bits
from gradlab.diagnosis._finding import Finding
from gradlab.diagnosis.cotangent_mistakes import equal_within
from gradlab.diagnosis.point_evidence import (
    PointEvidence,
    evidence_at,
    flat,
    has_large_jacobian,
    jacobians_of,
)
from gradlab.node import Array
from gradlab.verdict import Verdict

# So many calls are made: a backward that is wrong now and then may be so in every third call only.
CALLS = 7


def mutates_argument(trials: Sequence[Trial]) -> Finding | None:
    """See whether forward or backward writes into an argument."""
    note = _complaint(leaves_arguments_unchanged.check, trials)
    return Finding("mutates-argument", "", 1.0, note, "write into a copy") if note else None


def aliases_memory(trials: Sequence[Trial]) -> Finding | None:
    """See whether a gradient shares memory with an argument or with another gradient."""
    note = _complaint(owns_its_memory.check, trials)
    return Finding("aliases-memory", "", 1.0, note, "return a copy") if note else None


def assumes_contiguous(trials: Sequence[Trial]) -> Finding | None:
    """See whether the same numbers in another memory layout give another gradient, or none."""
    note = _complaint(any_layout.check, trials, ("where the cotangent", "where the primals"))
    cure = "read arrays by index, or take np.ascontiguousarray of them first"
    return Finding("assumes-contiguous", "", 1.0, note, cure) if note else None


def not_finite(trials: Sequence[Trial]) -> Finding | None:
    """See whether a gradient is not finite at extreme primals."""
    note = _complaint(finite_where_expected.check, trials)
    return Finding("not-finite", "", 1.0, note, "avoid the overflow, or 0 / 0") if note else None


def _complaint(check: Any, trials: Sequence[Trial], parts: tuple[str, ...] = ()) -> str:
    """Return the first complaint of a check, without its cure; empty if the check complains at no trial.

    With `parts` only a complaint that contains one of them counts.
    """
    for trial in trials:
        with quiet():
            try:
                results = list(check(trial))
            except Exception:
                continue
        for result in results:
            if result.verdict is not Verdict.PASS and (
                not parts or any(part in result.note for part in parts)
            ):
                return str(result.note.rpartition(": ")[0] or result.note)
    return ""


def _gradients_of_calls(trial: Trial, fresh: bool) -> list[tuple[Array, ...]]:
    """Return the gradients of several calls of backward: all after one forward, or each after a `fresh` one."""
    residuals = trial.forward()[1]
    found = []
    for _ in range(CALLS):
        if fresh:
            residuals = trial.forward()[1]
        found.append(
            tuple(map(np.array, trial.well_formed(trial.node.backward(residuals, trial.cotangent()))))
        )
    return found


def changes_between_calls(trials: Sequence[Trial]) -> Finding | None:
    """See whether a gradient adds up over calls, or is another in each call."""
    for trial in trials:
        for fresh in (False, True):
            with quiet():
                try:
                    calls = _gradients_of_calls(trial, fresh)
                except Exception:
                    continue
            for name, sequence in zip(trial.names, zip(*calls, strict=False), strict=False):
                if all(same_bits(sequence[0], later) for later in sequence[1:]):
                    continue
                steps = [b - a for a, b in pairwise(sequence)]
                if all(equal_within(steps[0], step, 1e-6) for step in steps[1:]) and steps[0].any():
                    evidence = f"each further call adds the same to the gradient of {name}"
                    return Finding(
                        "accumulates", name, 1.0, evidence, "start from zeros in every call, and assign"
                    )
                evidence = f"calls with the same arguments give different gradients of {name}"
                cure = "draw random numbers in forward, and hand them to backward in the residuals"
                return Finding("nondeterministic", name, 1.0, evidence, cure)
    return None


def stale_residuals(trials: Sequence[Trial], known: Sequence[PointEvidence]) -> Finding | None:
    """See whether the gradients belong to another call of forward: the latest one, or the first of all."""
    cure = "let forward return what backward needs, and keep nothing between calls"
    first = [p for p in known if p.is_given and not any(p.wrong(i).any() for i in range(len(p.gradients)))]
    for trial in trials:
        others = _trials_at_other_primals(trial)
        for other in others.values():
            with quiet():
                try:
                    alone = trial.gradients(trial.cotangent())
                    residuals, _ = trial.forward()[1], other.forward()
                    after = tuple(map(np.array, trial.node.backward(residuals, trial.cotangent())))
                except Exception:
                    continue
            if any(
                np.isfinite(a).all() and not equal_within(a, b) for a, b in zip(alone, after, strict=True)
            ):
                evidence = "a forward at other primals, before this backward, changes its gradient"
                return Finding("stale-residuals", "", 1.0, evidence, cure)
        for p in first:
            belongs = {how: _is_right_at_earlier_point(other, p) for how, other in others.items()}
            if belongs.get("times 0.75") and False not in belongs.values():
                evidence = (
                    f"the gradient is right for the primals of an earlier call ({p.trial.sample.name!r})"
                )
                return Finding("stale-residuals", "", 1.0, evidence, cure)
    return None


def _trials_at_other_primals(trial: Trial) -> dict[str, Trial]:
    changes: dict[str, Any] = {
        "turned round": np.flip,
        "times 0.75": lambda x: x * x.dtype.type(0.75),
        "sign turned": np.negative,
    }
    others = {
        how: trial.at(how, [np.array(change(x)) for x in trial.primals()]) for how, change in changes.items()
    }
    return {how: other for how, other in others.items() if other.accepted}


def _is_right_at_earlier_point(other: Trial, p: PointEvidence) -> bool | None:
    """Return whether a wrong gradient at `other` is what would be right at `p`, a point of an earlier call.

    None where no gradient is wrong at `other`, or the two points differ in their shapes.
    """
    here = evidence_at(other)
    if here is None or [x.shape for x in p.trial.sample.primals] != [x.shape for x in other.sample.primals]:
        return None
    for i, gradient in enumerate(here.gradients):
        if gradient.size > 1 and here.wrong(i).any() and p.g.size == here.g.size:
            expected = p.numerical_for(i, here.g)
            return equal_within(expected, gradient, 1e-5) and not equal_within(
                expected, here.numerical(i), 1e-4
            )
    return None


def wrong_form(trials: Sequence[Trial]) -> Iterator[Finding]:
    """Yield what is wrong with the shapes and dtypes of the gradients that backward returned."""
    named = set()
    for trial in trials:
        with quiet():
            try:
                returned = trial.node.backward(trial.forward()[1], trial.cotangent())
            except Exception:
                continue
        for i, (name, x) in enumerate(zip(trial.names, trial.sample.primals, strict=True)):
            if not isinstance(returned, tuple) or i >= len(returned):
                cure = "return a tuple with one gradient per primal"
                if (name, "wrong-shape") not in named:
                    named.add((name, "wrong-shape"))
                    yield Finding("wrong-shape", name, 1.0, f"backward returned no gradient for {name}", cure)
                continue
            finding = _wrong_form_of(trial, i, name, x, list(map(np.asarray, returned)))
            if finding and (name, finding.name) not in named:
                named.add((name, finding.name))
                yield finding


def _wrong_form_of(trial: Trial, i: int, name: str, x: Array, returned: Sequence[Array]) -> Finding | None:
    d = returned[i]
    if d.dtype.kind not in "fiub":
        return None  # what is no number has no form that would explain it
    if d.shape != x.shape:
        return _wrong_shape(trial, i, name, x, returned)
    if d.dtype != x.dtype:
        evidence = f"the gradient of {name} is {d.dtype}, {name} is {x.dtype}"
        return Finding("wrong-dtype", name, 1.0, evidence, "keep the primal's dtype")
    return None


def _wrong_shape(trial: Trial, i: int, name: str, x: Array, returned: Sequence[Array]) -> Finding:
    d = returned[i]
    evidence = f"the gradient of {name} has shape {d.shape}, {name} has shape {x.shape}"
    if has_large_jacobian(trial):
        return Finding("wrong-shape", name, 1.0, evidence, "return it in the primal's shape")
    with quiet():
        jacobians, *_ = trial.remembered("jacobians", jacobians_of)
        numerical = [flat(trial.cotangent()) @ j for j in jacobians]
    right = numerical[i].reshape(x.shape)
    for j, other in enumerate(trial.sample.primals):
        exchanged = j < len(returned) and returned[j].shape == x.shape
        if (
            j != i
            and exchanged
            and d.shape == other.shape
            and equal_within(d, numerical[j].reshape(other.shape), 1e-5)
        ):
            evidence += f", and is what that of {trial.names[j]} should be"
            return Finding("swapped-primals", name, 1.0, evidence, "return them in the primals' order")
    if d.ndim == 2 and d.T.shape == x.shape and x.shape[0] != x.shape[1] and equal_within(d.T, right, 1e-5):
        return Finding(
            "transposed", name, 1.0, f"{evidence}: it is transposed", "exchange the product's factors"
        )
    if d.size > x.size and _adds_up_to(d, right):
        cure = "sum over every axis along which it was broadcast"
        return Finding("missing-broadcast-sum", name, 1.0, f"{evidence}, and added up it is right", cure)
    axes = _axes_summed_over(d, right)
    if axes:
        evidence += f", and is what is right, summed over axis {' and '.join(map(str, axes))} as well"
        cure = "sum over the axes along which it was broadcast, and over no other"
        return Finding("wrong-shape", name, 1.0, evidence, cure)
    return Finding("wrong-shape", name, 1.0, evidence, "return it in the primal's shape")


def _axes_summed_over(d: Array, right: Array) -> tuple[int, ...]:
    """Return the axes over which the right gradient sums up to `d`, what backward gave; empty if there are none."""
    ways = (axes for n in range(1, right.ndim + 1) for axes in combinations(range(right.ndim), n))
    squeezed = np.squeeze(d)
    for axes in ways:
        total = np.squeeze(right.sum(axis=axes))
        if total.shape == squeezed.shape and right.size > total.size and equal_within(total, squeezed, 1e-5):
            return axes
    return ()


def _adds_up_to(d: Array, right: Array) -> bool:
    """Return whether `d`, summed over the axes that it has more of or that are longer, is the right gradient."""
    if d.size == right.size:
        return False
    missing = d.ndim - right.ndim
    shape = (1,) * missing + right.shape if missing >= 0 else right.shape
    if len(shape) != d.ndim:
        return False
    axes = tuple(k for k in range(d.ndim) if shape[k] == 1 and d.shape[k] != 1)
    total = d.sum(axis=axes, keepdims=True)
    return total.size == right.size and equal_within(total.reshape(right.shape), right, 1e-5)


def loses_its_dtype(trials: Sequence[Trial]) -> Finding | None:
    """See whether the gradients of float32 primals have another dtype."""
    for trial in trials:
        single = trial.at(
            "in float32",
            [x.astype(np.float32) for x in trial.primals()],
            {k: v.astype(np.float32) if _is_double(v) else v for k, v in trial.settings().items()},
        )
        with quiet():
            try:
                if not single.accepted:
                    continue
                gradients = single.gradients(map_arrays(lambda g: g.astype(np.float32), single.cotangent()))
            except Exception:
                continue
        for name, d in zip(single.names, gradients, strict=True):
            if d.dtype != np.float32:
                evidence = f"for float32 the gradient of {name} is {d.dtype}"
                cure = "keep the primal's dtype: Python floats do, np.float64 scalars and arrays do not"
                return Finding("wrong-dtype", name, 1.0, evidence, cure)
    return None


def _is_double(value: Any) -> bool:
    return isinstance(value, np.ndarray) and value.dtype == np.float64
