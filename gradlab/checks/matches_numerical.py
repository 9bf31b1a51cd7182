"""Backward gives what finite differences of forward give, for a random cotangent."""

from collections.abc import Iterator, Sequence
from dataclasses import replace
from typing import Any

import numpy as np

from gradlab.checks.trial import Trial, quiet
from gradlab.checks.trial.large_primals import outcome, outcome_of, size_of_terms
from gradlab.checks.trial.line_slopes import agrees_along_lines, is_inside_the_domain
from gradlab.checks.trial.ties import between_nearby_slopes, ties_move_together
from gradlab.node import Array, as_tuple
from gradlab.numerical.estimate import exact
from gradlab.numerical.finite_difference import numerical_vjp
from gradlab.verdict import ATOL_ULPS, CheckResult, Verdict, compare, crumbs, rtol_for

# At primals that nobody chose, which may well be badly conditioned, or so large that all is saturated: relative to
# each element, and to the gradients at the given primals (in ulps, where the dtype knows no better).
RTOL_ELSEWHERE, SATURATED, SATURATED_ULPS = 1e-5, 1e-7, 64
# An output that is off by so much of its size in double precision has no slope that differences could find.
LOST_DIGITS = 1e-6


def check(trial: Trial) -> Iterator[CheckResult]:
    """Compare the gradient of every primal with its numerical estimate, and at ties all of them together.

    Large ones are compared along random directions.
    """
    if trial.is_large:
        yield from outcome(trial).results
        return
    gradients = trial.gradients(trial.cotangent())
    textbook = _textbook_errors(trial, gradients)
    results = list(_judged(trial, gradients))
    yield from (
        replace(result, textbook_error=error) for result, error in zip(results, textbook, strict=True)
    )
    yield from ties_move_together(trial, gradients)


def check_elsewhere(trial: Trial) -> Iterator[CheckResult]:
    """Compare the slopes along some lines, and where they differ every element.

    What is undecided at primals that nobody chose is not told, and neither is what has no value where forward
    has no slope: at the edge of its domain, at a kink, at a pole.
    """
    gradients = trial.gradients(trial.cotangent())
    if agrees_along_lines(trial, gradients):
        return
    finite = all(np.isfinite(gradient).all() for gradient in gradients)
    if not finite and not is_inside_the_domain(trial):
        return
    if trial.is_large:
        rtol, atol = _tolerances_along(trial, gradients)
        results = outcome_of(trial, gradients, rtol, atol).results
        yield from (result for result in results if result.verdict is Verdict.WRONG)
        return
    smooth = [np.isfinite(e.value) & np.isfinite(e.error) & ~e.kink for e in trial.estimates]
    judged = tuple(
        np.where(np.isfinite(d) | s, d, e.value).astype(d.dtype)
        for d, s, e in zip(gradients, smooth, trial.estimates, strict=True)
    )
    results = [*_judged(trial, judged), *ties_move_together(trial, gradients)]
    yield from (result for result in results if result.verdict is Verdict.WRONG)


def _judged(trial: Trial, gradients: Sequence[Array]) -> Iterator[CheckResult]:
    for i, (name, x, given) in enumerate(zip(trial.names, trial.sample.primals, gradients, strict=True)):
        # what is computed from a primal of single precision has no more digits, whatever dtype it is returned in
        narrow = x.dtype.kind == given.dtype.kind == "f" and x.itemsize < given.itemsize
        gradient = given.astype(x.dtype) if narrow else given
        rtol, atol = _tolerances(trial, i, gradient)
        result = compare(gradient, trial.estimates[i], rtol=rtol, atol=atol, primal=name)
        if result.verdict is Verdict.WRONG and trial.estimates[i].kink.any():
            widened = between_nearby_slopes(trial, i)
            result = compare(gradient, widened, rtol=rtol, atol=atol, primal=name)
        if result.verdict is Verdict.WRONG and not forward_has_digits(trial):
            note = "forward itself has lost its digits here: in extended precision it gives something else"
            result = replace(result, verdict=Verdict.INCONCLUSIVE, note=note)
        yield result


def _tolerances(trial: Trial, i: int, gradient: Array) -> tuple[float | None, Any]:
    """Return rtol and atol for one primal: those that were asked for, or, away from the given primals, wider ones."""
    rtol: float | None = trial.rtol
    atol: Any = trial.atol
    if trial.origin is None:
        return rtol, atol
    if rtol is None:
        rtol = max(RTOL_ELSEWHERE, rtol_for(gradient.dtype))
    if atol is None:
        usual = max(float(np.nan_to_num(np.abs(e.value)).max(initial=0.0)) for e in trial.origin.estimates)
        share = max(SATURATED, SATURATED_ULPS * float(np.finfo(gradient.dtype).eps))
        atol = crumbs(trial.estimates[i], gradient.dtype) + share * usual
    return rtol, atol


def _tolerances_along(trial: Trial, gradients: Sequence[Array]) -> tuple[float, float]:
    """Return the same for large primals, all of one dtype's: the coarsest."""
    rtol, atol = trial.rtol, trial.atol
    eps = max(float(np.finfo(d.dtype).eps) if d.dtype.kind == "f" else 0.0 for d in gradients)
    if rtol is None:
        rtol = max(RTOL_ELSEWHERE, *(rtol_for(d.dtype) for d in gradients))
    if atol is None and trial.origin is not None:
        origin = trial.origin.gradients(trial.origin.cotangent())
        usual = max(float(np.nan_to_num(np.abs(d)).max(initial=0.0)) for d in origin)
        atol = ATOL_ULPS * eps * size_of_terms(trial) + max(SATURATED, SATURATED_ULPS * eps) * usual
    return rtol, atol or 0.0


def forward_has_digits(trial: Trial) -> bool:
    """Return whether forward gives in extended precision what it gives in double, as far as it computes in that."""
    if trial.witness:
        return bool(trial.witness.remembered("digits", forward_has_digits))
    single = [x.astype(np.promote_types(x.dtype, np.float64)) for x in trial.sample.primals]
    with quiet():
        try:
            extended = trial.function(*(x.astype(np.longdouble) for x in single))
            for y, more in zip(as_tuple(trial.function(*single)), as_tuple(extended), strict=True):
                if not np.abs(more - y).max(initial=0.0) <= LOST_DIGITS * np.abs(y).max(initial=0.0):
                    return False
        except Exception:
            return True  # it takes no extended precision, so nothing is known against it
    return True


def _textbook_errors(trial: Trial, gradients: tuple[Array, ...]) -> list[float | None]:
    """Return each gradient's relative error against plain central differences, None where they have no value."""
    plain = trial.remembered("textbook", _textbook_gradients)
    if plain is None:
        return [None] * len(gradients)
    return [compare(a, exact(n)).relative_error for a, n in zip(gradients, plain, strict=True)]


def _textbook_gradients(trial: Trial) -> tuple[Array, ...] | None:
    if trial.witness:
        known: tuple[Array, ...] | None = trial.witness.remembered("textbook", _textbook_gradients)
        return known
    primals = [x.astype(np.promote_types(x.dtype, np.float64)) for x in trial.primals()]
    try:
        return numerical_vjp(trial.function, primals, trial.cotangent())
    except (ValueError, TypeError, ArithmeticError):
        return None
