"""Backward is linear in the cotangent: B(2 g1 - 3 g2) = 2 B(g1) - 3 B(g2), B(c g) = c B(g), and B(0) = 0."""

from collections.abc import Iterator
from typing import Any, NamedTuple

import numpy as np

from gradlab.checks.trial import Trial, map_arrays
from gradlab.checks.trial.large_primals import size_of_terms
from gradlab.node import Array, as_tuple
from gradlab.numerical.estimate import exact_estimate
from gradlab.verdict import CheckResult, Verdict, compare, rtol_for

# A thousand times the usual cotangent, which a clip would cut, and a billionth of the usual one, which a threshold
# would take for 0.
LARGE, SMALL = 2.0**10, 2.0**-30
ROUNDING_ULPS = 64


class _Relation(NamedTuple):
    """A gradient of primal `i`, the value that linearity demands, and the cotangent's size relative to the usual.

    `eps` is the precision of the coarser of cotangent and gradient: both round.
    """

    i: int
    found: Array
    expected: Array
    size: float
    eps: float


def check(trial: Trial) -> Iterator[CheckResult]:
    """Compare the gradients of combined and scaled cotangents with the combination of their gradients."""
    results: list[list[CheckResult]] = [[] for _ in trial.names]
    for relation in _relations(trial):
        results[relation.i].append(_judge(trial, relation))
    for of_primal in results:
        yield next((result for result in of_primal if result.verdict is not Verdict.PASS), of_primal[0])


def check_elsewhere(trial: Trial) -> Iterator[CheckResult]:
    """Judge only gradients that differ by more than rounding; leave elements without a value to other checks."""
    for relation in _relations(trial):
        has_value = np.isfinite(relation.found) & np.isfinite(relation.expected)
        found, expected = (np.where(has_value, part, 0) for part in (relation.found, relation.expected))
        relation = relation._replace(found=found, expected=expected)
        if not _is_near(relation):
            result = _judge(trial, relation)
            if result.verdict is Verdict.WRONG:
                yield result


def _relations(trial: Trial) -> Iterator[_Relation]:
    """Yield what linearity demands.

    Beyond the given primals of other people's code only of the cotangent that the other checks take there, and a second
    one: what a clip or a threshold does shows at the given primals.
    """
    brief = trial.origin is not None and not trial.registered
    first, second = trial.cotangent("g" if brief else "first"), trial.cotangent("second")
    combined = tuple(2 * a - 3 * b for a, b in zip(as_tuple(first), as_tuple(second), strict=True))
    together = trial.gradients(combined if isinstance(first, tuple) else combined[0])
    ones = trial.own_gradients if brief else trial.gradients(first)
    twos = trial.gradients(second)
    scaled = {c: trial.gradients(_times(c, first)) for c in (() if brief else (LARGE, SMALL, 0.0))}
    coarsest = max(float(np.finfo(part.dtype).eps) for part in as_tuple(first))
    for i, (a, b) in enumerate(zip(ones, twos, strict=True)):
        eps = max(coarsest, float(np.finfo(a.dtype).eps))
        yield _Relation(i, together[i], np.asarray(2 * a - 3 * b), 5.0, eps)
        for c, gradients in scaled.items():
            yield _Relation(i, gradients[i], _times(c, a), c, eps)


def _times(c: float, g: Any) -> Any:
    # nothing times an infinity is no number
    return map_arrays(lambda part: np.asarray(part * part.dtype.type(c)) if c else np.zeros_like(part), g)


def _is_near(relation: _Relation) -> bool:
    """Return whether the two sides of a relation differ by no more than the rounding of numbers of their own size."""
    size = np.nan_to_num(np.abs(relation.expected)).max(initial=0.0)
    # below the smallest normal number there are no digits
    rounding = ROUNDING_ULPS * relation.eps * size + float(np.finfo(relation.found.dtype).tiny)
    return bool((np.abs(relation.found - relation.expected) <= rounding).all())


def _judge(trial: Trial, relation: _Relation) -> CheckResult:
    if trial.atol is not None or relation.size == 0 or _is_near(relation):
        return _compared(trial, relation, None)
    # the two sides round differently: by a few ulps of the terms that were added up on the way, which may well have
    # cancelled in the end
    if trial.origin is not None:
        # at derived primals the sizes of the terms would cost an estimate of every element: the outputs' come first
        result = _compared(trial, relation, size_of_terms(trial))
        if result.verdict is Verdict.PASS:
            return result
    return _compared(
        trial, relation, float(np.nan_to_num(trial.estimates[relation.i].terms, posinf=0.0).max())
    )


def _compared(trial: Trial, relation: _Relation, terms: float | None) -> CheckResult:
    """Compare the two sides of a relation, to within the rounding of terms of this size; None: as the trial says."""
    rtol, atol = trial.rtol, trial.atol
    if relation.size == 0:
        rtol, atol = 0.0, 0.0
    elif atol is None and terms is not None:
        size = float(np.nan_to_num(np.abs(relation.expected)).max())
        atol = ROUNDING_ULPS * relation.eps * (relation.size * terms + size)
    if rtol is None:
        rtol = max(rtol_for(relation.found.dtype), ROUNDING_ULPS * relation.eps)
    name = trial.names[relation.i]
    return compare(relation.found, exact_estimate(relation.expected), rtol=rtol, atol=atol, primal=name)
