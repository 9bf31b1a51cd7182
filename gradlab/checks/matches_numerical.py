"""Backward gives what finite differences of forward give, for a random cotangent."""

from collections.abc import Iterator, Sequence
from dataclasses import replace
from typing import Any

import numpy as np

from gradlab.checks.trial import Trial, quiet
from gradlab.checks.trial.large_primals import directional_outcome, directional_outcome_of, size_of_terms
from gradlab.checks.trial.line_slopes import agrees_along_lines, is_inside_the_domain
from gradlab.checks.trial.linearity import COMBINED, FIRST, SECOND, demanded_cotangents
from gradlab.checks.trial.mirrored_entries import mirrored_entries
from gradlab.checks.trial.observed_run import ObservedRun
from gradlab.checks.trial.ties import check_ties_together, estimate_with_nearby_slopes
from gradlab.directions import Confirmation
from gradlab.node import Array, as_tuple
from gradlab.numerical.estimate import exact_estimate
from gradlab.numerical.finite_difference import numerical_vjp
from gradlab.verdict import ATOL_ULPS, CheckResult, Verdict, atol_for, compare, largest_of, rtol_for

# Tolerances at derived primals, which may well be badly conditioned, or so large that all is saturated: relative to
# each element, and relative to the gradients at the given primals (in ulps, where the dtype is coarse).
RTOL_ELSEWHERE, SATURATED, SATURATED_ULPS = 1e-5, 1e-7, 64
# A gradient behind a loop that ends on a condition may be off by SLIGHT, relative to each element, if it shows a noise
# of its own of no less than one part in OWN_NOISE of that: most of a solver's error is the same for all cotangents.
SLIGHT, OWN_NOISE = 1e-6, 1000.0
# The textbook's differences of more elements than this are not taken.
MOST_BY_THE_BOOK = 256
# An output that double precision puts off by this share of its size has no slope that differences could find.
LOST_DIGITS = 1e-6


def check(trial: Trial) -> Iterator[CheckResult]:
    """Compare the gradient of every primal with its numerical estimate, and at ties all of them together.

    The gradients of large primals are compared along random directions.
    """
    if trial.is_large or _is_decided_in_time(trial):
        yield from directional_outcome(trial).results
        return
    gradients = trial.own_gradients
    results = list(_compared(trial, gradients))
    textbook = _textbook_errors(trial, gradients)
    yield from (
        replace(result, textbook_error=error) for result, error in zip(results, textbook, strict=True)
    )
    yield from check_ties_together(trial, gradients)


def _is_decided_in_time(trial: Trial) -> bool:
    """Return whether directions decide on a trial whose every element would take longer than its budget."""
    if not trial.is_dear:
        return False
    decided = all(r.verdict is Verdict.PASS for r in directional_outcome(trial).results)
    if decided:
        trial.take_for_large()
    return decided


def check_elsewhere(trial: Trial) -> Iterator[CheckResult]:
    """Compare the slopes along random lines, and where they differ, every element.

    Only wrong elements are told, not undecided ones: nobody chose these primals. Nor are elements without a value where
    forward has no slope: at the edge of its domain, at a kink, at a pole.
    """
    gradients = trial.own_gradients
    if agrees_along_lines(trial, gradients):
        return
    finite = all(np.isfinite(gradient).all() for gradient in gradients)
    if not finite and not is_inside_the_domain(trial):
        return
    if trial.is_large:
        rtol, atol = _tolerances_of_large(trial, gradients)
        results = directional_outcome_of(trial, gradients, rtol, atol).results
        yield from (result for result in results if result.verdict is Verdict.WRONG)
        return
    smooth = [np.isfinite(e.value) & np.isfinite(e.error) & ~e.kink for e in trial.estimates]
    judged = tuple(
        np.where(np.isfinite(d) | s, d, e.value).astype(d.dtype)
        for d, s, e in zip(gradients, smooth, trial.estimates, strict=True)
    )
    results = [*_compared(trial, judged), *check_ties_together(trial, gradients)]
    yield from (result for result in results if result.verdict is Verdict.WRONG)


def is_clear(run: ObservedRun) -> bool:
    """Return whether the gradients of a run are forward's slopes along random lines."""
    return agrees_along_lines(run.trial, run.gradients[FIRST])


def _compared(trial: Trial, gradients: Sequence[Array]) -> Iterator[CheckResult]:
    for i, (name, x, given) in enumerate(zip(trial.names, trial.sample.primals, gradients, strict=True)):
        # the gradient of a primal of single precision has no more digits, whatever dtype it is returned in
        narrow = x.dtype.kind == given.dtype.kind == "f" and x.itemsize < given.itemsize
        gradient = given.astype(x.dtype) if narrow else given
        rtol, atol = _tolerances(trial, i, gradient)
        result = compare(gradient, trial.estimates[i], rtol=rtol, atol=atol, primal=name)
        told = trial.confirmed[i]
        if told and (result.verdict.ok or told.factor != 1):
            yield _told_of_directions(result, told)
            continue
        if told and not told.put_right:
            # never by directions alone: every element decides
            result = compare(gradient, trial.estimate_of_elements(i), rtol=rtol, atol=atol, primal=name)
        if result.verdict is Verdict.WRONG and trial.estimates[i].kink.any():
            widened = estimate_with_nearby_slopes(trial, i)
            result = compare(gradient, widened, rtol=rtol, atol=atol, primal=name)
        coarsest = max(trial.sample.primals, key=lambda p: float(np.finfo(p.dtype).eps)).dtype
        if result.verdict is Verdict.WRONG and rtol is None and coarsest != gradient.dtype:
            # forward may round all of it as it rounds what it computes with the coarsest of its primals
            result = compare(gradient.astype(coarsest), trial.estimates[i], atol=atol, primal=name)
        if result.verdict is Verdict.WRONG and (mirrored := mirrored_entries(trial, i, gradient)):
            result = compare(*mirrored, rtol=rtol, atol=atol, primal=name)
            note = (
                "forward reads one triangle of a symmetric matrix: each entry is moved with its mirror image"
            )
            result = replace(result, note="; ".join(filter(None, [note, result.note])))
        if result.verdict is Verdict.WRONG and _is_within_own_noise(trial, i, result):
            note = "backward is not quite linear in its cotangent either, as a solver's tolerance leaves it"
            result = replace(result, verdict=Verdict.WARNING, note=note)
        if result.verdict is Verdict.WRONG and not forward_has_digits(trial):
            note = "forward itself has lost its digits here: in extended precision it gives something else"
            result = replace(result, verdict=Verdict.INCONCLUSIVE, note=note)
        yield result


def _is_within_own_noise(trial: Trial, i: int, result: CheckResult) -> bool:
    """Return whether a gradient behind a loop is off by little, and shows that it is computed to a tolerance.

    The adjoint of a differential equation takes its steps by the cotangent, so that it is not quite linear in it.
    """
    if (
        not trial.may_not_end
        or trial.origin is not None
        or not 0 < (result.relative_error or np.inf) <= SLIGHT
    ):
        return False
    demanded = demanded_cotangents(trial)
    with quiet():
        try:
            found = {which: trial.gradients(demanded[which])[i] for which in (FIRST, SECOND, COMBINED, 0.0)}
        except Exception:
            return False
    noise = np.abs(2 * found[FIRST] - 3 * found[SECOND] - found[COMBINED]).max(initial=0.0) / 5
    return not found[0.0].any() and bool((result.absolute_error or 0.0) <= OWN_NOISE * noise)


def _told_of_directions(result: CheckResult, told: Confirmation) -> CheckResult:
    """Return the result of a gradient that directions confirm with what they say: of elements nothing was measured."""
    off = abs(told.analytic - told.numerical)
    count = f"{told.directions} random direction{'s' if told.directions > 1 else ''}"
    note = f"by {count} through all elements: an error of "
    note += f"{float(told.estimate.error.max(initial=0.0)):.2g} in any one would be caught"
    note += f"; {told.alone:,} were judged alone" if told.alone else ""
    note = "; ".join(filter(None, [result.note, note]))
    if result.absolute_error:
        return replace(result, note=note if result.verdict.ok else result.note)
    return replace(
        result,
        relative_error=off / (told.size or 1.0),
        relative_bound=float(np.finfo(np.float64).eps),  # two slopes agree to rounding, not to the last bit
        absolute_error=off,
        worst_index=None if result.verdict is Verdict.PASS else result.worst_index,
        analytic=told.analytic,
        numerical=told.numerical,
        note=note,
    )


def _tolerances(trial: Trial, i: int, gradient: Array) -> tuple[float | None, Any]:
    """Return rtol and atol for one primal: the trial's own, or by default, at derived primals, wide ones."""
    rtol: float | None = trial.rtol
    atol: Any = trial.atol
    if trial.noise and (trial.origin is None or atol is not None):
        # beside what would be allowed without it
        return rtol, trial.noise + (atol_for(trial.estimates[i], gradient.dtype) if atol is None else atol)
    if trial.origin is None:
        return rtol, atol
    if rtol is None:
        rtol = max(RTOL_ELSEWHERE, rtol_for(gradient.dtype))
    if atol is None:
        usual = max(largest_of(e.value) for e in trial.origin.estimates)
        share = max(SATURATED, SATURATED_ULPS * float(np.finfo(gradient.dtype).eps))
        atol = atol_for(trial.estimates[i], gradient.dtype) + share * usual + trial.noise
    return rtol, atol


def _tolerances_of_large(trial: Trial, gradients: Sequence[Array]) -> tuple[float, float]:
    """Return rtol and atol for all of some large primals: those of the coarsest dtype."""
    rtol, atol = trial.rtol, trial.atol
    eps = max(float(np.finfo(d.dtype).eps) if d.dtype.kind == "f" else 0.0 for d in gradients)
    if rtol is None:
        rtol = max(RTOL_ELSEWHERE, *(rtol_for(d.dtype) for d in gradients))
    if atol is None and trial.origin is not None:
        origin = trial.origin.gradients(trial.origin.cotangent())
        usual = max(largest_of(d) for d in origin)
        atol = ATOL_ULPS * eps * size_of_terms(trial) + max(SATURATED, SATURATED_ULPS * eps) * usual
    return rtol, (atol or 0.0) + trial.noise


def forward_has_digits(trial: Trial) -> bool:
    """Return whether forward gives the same in extended as in double precision; True where it takes no extended."""
    if trial.witness:
        return bool(trial.witness.remembered("digits", forward_has_digits))
    double = [x.astype(np.promote_types(x.dtype, np.float64)) for x in trial.sample.primals]
    with quiet():
        try:
            extended = trial.function(*(x.astype(np.longdouble) for x in double))
            for y, more in zip(as_tuple(trial.function(*double)), as_tuple(extended), strict=True):
                if not np.abs(more - y).max(initial=0.0) <= LOST_DIGITS * np.abs(y).max(initial=0.0):
                    return False
        except Exception:
            return True
    return True


def _textbook_errors(trial: Trial, gradients: tuple[Array, ...]) -> list[float | None]:
    """Return each gradient's relative error against the textbook's differences, None where these have no value.

    Nor has a gradient one that is not looked at element by element, or would take as long again.
    """
    if any(trial.confirmed) or sum(x.size for x in trial.sample.primals) > MOST_BY_THE_BOOK:
        return [None] * len(gradients)
    plain = trial.remembered("textbook", _textbook_gradients)
    if plain is None:
        return [None] * len(gradients)
    return [compare(a, exact_estimate(n)).relative_error for a, n in zip(gradients, plain, strict=True)]


def _textbook_gradients(trial: Trial) -> tuple[Array, ...] | None:
    if trial.witness:
        known: tuple[Array, ...] | None = trial.witness.remembered("textbook", _textbook_gradients)
        return known
    primals = [x.astype(np.promote_types(x.dtype, np.float64)) for x in trial.primals()]
    try:
        return numerical_vjp(trial.function, primals, trial.cotangent())
    except (ValueError, TypeError, ArithmeticError):
        return None
