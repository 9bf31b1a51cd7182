"""Backward depends on its residuals and its cotangent alone, not on other calls before or between."""

from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import replace
from itertools import combinations

import numpy as np

from gradlab.checks.trial import Trial, map_arrays, same_bits
from gradlab.checks.trial.gradient_comparison import compare_two_gradients
from gradlab.checks.trial.large_primals import directional_outcome_of
from gradlab.checks.trial.line_slopes import agrees_along_lines, are_right
from gradlab.node import Array, as_tuple
from gradlab.verdict import CheckResult, Verdict, compare

OF_ANOTHER = (
    "two forwards came before this backward, and it used the residuals of another: return them from forward"
)

KEEP = "keep nothing between calls"
# Two gradients from one set of residuals differ by less than this, relative to the largest.
SAME = 1e-6
# A sum in another order differs by no more than so many units in the last place of the largest gradient.
ANOTHER_ORDER_ULPS = 2**10


def check(trial: Trial) -> Iterator[CheckResult]:
    """Call backward twice, call it after two forwards, and pass one array as two primals."""
    output, residuals = trial.forward()
    g = map_arrays(np.array, trial.cotangent())
    first = [np.array(d) for d in trial.well_formed(trial.node.backward(residuals, g))]
    second = trial.well_formed(trial.node.backward(residuals, g))
    largest = max((float(np.abs(d[np.isfinite(d)]).max(initial=0.0)) for d in first), default=0.0)
    for name, a, b in zip(trial.names, first, second, strict=True):
        if not same_bits(a, b):
            # what forward moves by less and less at each call is no sum
            again = map(same_bits, as_tuple(output), as_tuple(trial.forward()[0]))
            one_sum = _are_one_sum(a, b, largest) and all(again)
            what, cure = (
                ("has other last digits", "add up in one order") if one_sum else ("is another one", KEEP)
            )
            note = f"the gradient of {name} {what} when backward is called again: {cure}"
            yield CheckResult(trial.breach if one_sum else Verdict.WRONG, name, note=note)
            return
    wrong = [*_two_forwards(trial, first), *_one_array_twice(trial)]
    yield from wrong or [CheckResult(Verdict.PASS)]


def _are_one_sum(a: Array, b: Array, largest: float) -> bool:
    """Return whether gradients differ by their last digits alone, as sums do whose terms come in another order.

    `largest` is the largest element of all gradients: of terms that cancel, more digits are rounding.
    """
    if a.dtype != b.dtype or a.dtype.kind != "f":
        return False
    near = ANOTHER_ORDER_ULPS * float(np.finfo(a.dtype).eps)
    return np.allclose(a, b, near, near * largest, equal_nan=True)


def _two_forwards(trial: Trial, expected: list[Array]) -> Iterator[CheckResult]:
    """Run forward here and at a second point, then backward of each: it must use the residuals of its own forward."""
    second_point = _second_point(trial)
    if second_point is None:
        return
    _, residuals = trial.forward()
    _, second_residuals = second_point.forward()
    gradients = [np.array(d) for d in trial.well_formed(trial.node.backward(residuals, trial.cotangent()))]
    returned = second_point.node.backward(second_residuals, second_point.cotangent())
    second_gradients = [np.array(d) for d in second_point.well_formed(returned)]
    own, second_own = (
        (trial, gradients, expected),
        (second_point, second_gradients, second_point.own_gradients),
    )
    for point, found, right in (own, second_own):
        for i, (a, b) in enumerate(zip(found, right, strict=True)):
            result = compare_two_gradients(point, i, a, b)
            if result.verdict is Verdict.WRONG:
                yield replace(result, note=OF_ANOTHER)
    # a gradient that is wrong at the first point too is wrong for another reason; and one that is not of the first
    # point's residuals is wrong only where nobody asked for it
    if not are_right(trial, expected) or agrees_along_lines(second_point, second_gradients):
        return
    if trial.elsewhere is Verdict.WRONG or _are_stale(trial, second_point, second_gradients):
        for result in _compared_with_numerical(second_point, second_gradients):
            if result.verdict is Verdict.WRONG:
                yield replace(result, note=OF_ANOTHER)


def _are_stale(trial: Trial, second_point: Trial, found: Sequence[Array]) -> bool:
    """Return whether the gradients at the second point are what backward gives with the residuals of the first."""
    try:
        stale = trial.gradients(second_point.cotangent())
    except Exception:
        return False
    # to within the rounding of their own size: beside a pole the estimates there would let anything pass
    return all(
        a.shape == b.shape and np.allclose(a, b, SAME, SAME * float(np.abs(b).max(initial=0.0)))
        for a, b in zip(found, stale, strict=True)
    )


def _compared_with_numerical(trial: Trial, gradients: Sequence[Array]) -> Iterable[CheckResult]:
    if trial.is_large:
        return directional_outcome_of(trial, gradients, trial.rtol, trial.atol).results
    return [
        compare(found, estimate, rtol=trial.rtol, atol=trial.atol, primal=name)
        for name, found, estimate in zip(trial.names, gradients, trial.estimates, strict=True)
    ]


def _second_point(trial: Trial) -> Trial | None:
    changes: tuple[tuple[str, Callable[[Array], Array]], ...] = (
        ("turned round", lambda x: np.flip(x).copy()),
        ("times 0.75", lambda x: x * x.dtype.type(0.75)),
        ("times 1.25", lambda x: x * x.dtype.type(1.25)),
    )
    for how, change in changes:
        second_point = trial.at(f"second point, {how}", [change(x) for x in trial.primals()])
        moved = any(
            not np.array_equal(a, b) for a, b in zip(trial.primals(), second_point.primals(), strict=True)
        )
        if moved and second_point.accepted:
            return second_point
    return None


def _one_array_twice(trial: Trial) -> Iterator[CheckResult]:
    """Pass one array as two primals: the gradients are those of two arrays that happen to be equal."""
    names = trial.names
    for i, j in combinations(range(len(names)), 2):
        primals = list(trial.primals())
        if primals[i].shape != primals[j].shape or primals[i].dtype != primals[j].dtype:
            continue
        primals[j] = primals[i].copy()
        equal = trial.at(f"{names[i]} as {names[j]}", primals)
        if not equal.accepted:
            continue
        g = equal.cotangent()
        expected = equal.gradients(g)
        once = list(equal.primals())
        once[j] = once[i]
        _, residuals = trial.node.forward(*once, **trial.settings())
        found = trial.well_formed(trial.node.backward(residuals, map_arrays(np.array, g)))
        for k, (a, b) in enumerate(zip(found, expected, strict=True)):
            result = compare_two_gradients(trial, k, a, b, point=equal, g=g)
            if result.verdict is Verdict.WRONG:
                note = f"the same array was passed as {names[i]} and {names[j]}: do not tell primals apart by identity"
                yield replace(result, note=note)
