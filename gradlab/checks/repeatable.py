"""Backward depends on its residuals and its cotangent, on nothing else that was computed before or between."""

from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import replace
from itertools import combinations

import numpy as np

from gradlab.checks.trial import Trial, map_arrays, same_bits
from gradlab.checks.trial.large_primals import outcome_of
from gradlab.checks.trial.line_slopes import agrees_along_lines
from gradlab.checks.trial.same_gradient import compare_with_own
from gradlab.node import Array
from gradlab.verdict import CheckResult, Verdict, compare


def check(trial: Trial) -> Iterator[CheckResult]:
    """Call backward twice; after two forwards; and with one array passed as two primals."""
    _, residuals = trial.forward()
    g = map_arrays(np.array, trial.cotangent())
    first = [np.array(d) for d in trial.well_formed(trial.node.backward(residuals, g))]
    second = trial.well_formed(trial.node.backward(residuals, g))
    for name, a, b in zip(trial.names, first, second, strict=True):
        if not same_bits(a, b):
            note = f"the gradient of {name} is another one when backward is called again: keep nothing between calls"
            yield CheckResult(Verdict.WRONG, name, note=note)
            return
    wrong = [*_two_forwards(trial, first), *_one_array_twice(trial)]
    yield from wrong or [CheckResult(Verdict.PASS)]


def _two_forwards(trial: Trial, expected: list[Array]) -> Iterator[CheckResult]:
    """Run forward here, then elsewhere, then both backwards, this one's first: each must be its own forward's."""
    there = _second_point(trial)
    if there is None:
        return
    _, residuals = trial.forward()
    _, residuals_there = there.forward()
    mine = [np.array(d) for d in trial.well_formed(trial.node.backward(residuals, trial.cotangent()))]
    others = there.well_formed(there.node.backward(residuals_there, there.cotangent()))
    note = "two forwards came before this backward, and it used the residuals of another: return them from forward"
    for i, (found, right) in enumerate(zip(mine, expected, strict=True)):
        result = compare_with_own(trial, i, found, right)
        if result.verdict is Verdict.WRONG:
            yield replace(result, note=note)
    # a gradient that is wrong at the first point too is wrong for another reason
    if agrees_along_lines(trial, expected) and not agrees_along_lines(there, others):
        for result in _judged(there, others):
            if result.verdict is Verdict.WRONG:
                yield replace(result, note=note)


def _judged(trial: Trial, gradients: Sequence[Array]) -> Iterable[CheckResult]:
    if trial.is_large:
        return outcome_of(trial, gradients, trial.rtol, trial.atol).results
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
        there = trial.at(f"second point, {how}", [change(x) for x in trial.primals()])
        moved = any(not np.array_equal(a, b) for a, b in zip(trial.primals(), there.primals(), strict=True))
        if moved and there.accepted:
            return there
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
            result = compare_with_own(trial, k, a, b)
            if result.verdict is Verdict.WRONG:
                note = f"the same array was passed as {names[i]} and {names[j]}: do not tell primals apart by identity"
                yield replace(result, note=note)
