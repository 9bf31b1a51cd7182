"""Analytic against numerical: error measures, tolerances by dtype, and the verdict."""

from dataclasses import dataclass
from enum import StrEnum
from typing import Any

import numpy as np

from gradlab.node import Array
from gradlab.numerical.estimate import Estimate

# How far a right gradient may be from the truth, relative to each element. A backward pass loses a few
# digits to conditioning, never half of them; a wrong gradient is rarely this near.
RTOL = {"float16": 1e-2, "float32": 1e-4, "float64": 1e-8, "longdouble": 1e-10}
# The analytic side rounds too: every element may be off by this many units in the last place of the terms that were
# added up on the way (softmax's gradients, which sum to zero, leave such crumbs).
ATOL_ULPS = 4
# A numerical value that is known to this, relative to the gradient's largest entry, decides.
DECIDES = 1e-5
# Where all of a gradient is zero to within its error bounds, so many ordinary slopes take the place of its largest
# entry.
ZERO_BESIDE = 100
# A gradient whose largest entry is no more than this part of an ordinary slope is what a solver leaves at an optimum,
# and counts as STATIONARY of that slope.
RESIDUE, STATIONARY = 1e-12, 1e-8


class Verdict(StrEnum):
    """The conclusion of a check."""

    PASS = "pass"
    WRONG = "wrong"
    KINK = "kink"
    INCONCLUSIVE = "inconclusive"
    WARNING = "warning"

    @property
    def ok(self) -> bool:
        """Whether this verdict leaves a report green."""
        return self not in (Verdict.WRONG, Verdict.INCONCLUSIVE)


@dataclass(frozen=True)
class CheckResult:
    """The result of one check, for one primal or (`primal` empty) for the node as a whole.

    Attributes
    ----------
    verdict : Verdict
    primal : str
        The name of the primal, or of the output where outputs are compared.
    relative_error : float or None
        The largest |analytic - numerical| / max(|analytic|, |numerical|) over the elements that are off by more than
        rounding crumbs (see `ATOL_ULPS`); where none is, the largest |analytic - numerical| over the largest entry, or,
        where all entries are crumbs, over the terms that they are left of.
    absolute_error : float or None
        The largest |analytic - numerical|.
    reference_error : float or None
        The bound on the numerical value's own error at `worst_index`.
    relative_bound : float or None
        The widest such bound over the gradient's largest entry: a `relative_error` below it says only that the error
        is no larger.
    sensitivity : float or None
        Beside a pass: an error of this size, relative to the gradient's largest entry (or, where all entries are
        crumbs, to the terms that they are left of), would have been caught in any one element.
    element_sensitivity : float or None
        The same relative to the element itself, the worst of those that are not zero.
    textbook_error : float or None
        `relative_error` against the textbook's central difference, h = 1e-4, instead of the reference.
    worst_index : tuple of int or None
        The element that exceeds its tolerance by most, or comes nearest to it.
    analytic, numerical : float or None
        Both values at `worst_index`.
    evaluations : int or None
        How often forward was evaluated for the numerical side.
    note : str
        One sentence for a reader.
    """

    verdict: Verdict
    primal: str = ""
    relative_error: float | None = None
    absolute_error: float | None = None
    reference_error: float | None = None
    relative_bound: float | None = None
    sensitivity: float | None = None
    element_sensitivity: float | None = None
    textbook_error: float | None = None
    worst_index: tuple[int, ...] | None = None
    analytic: float | None = None
    numerical: float | None = None
    evaluations: int | None = None
    note: str = ""


def rtol_for(dtype: Any) -> float:
    """Return the default relative tolerance for a gradient of this dtype."""
    return RTOL.get(np.dtype(dtype).name, RTOL["longdouble"])


def atol_for(estimate: Estimate, dtype: Any) -> Array:
    """Return the default absolute tolerance of each element.

    A few ulps, in `dtype`, of the gradient's largest entry, of the terms that the element adds up, and of an ordinary
    slope of the function (at a minimum nothing else has a size); besides, the slope that may be there without a trace
    in the function, and the smallest number that `dtype` has all its digits for.
    """
    finite = np.isfinite(estimate.value)
    info = np.finfo(dtype)
    largest = float(np.max(np.abs(estimate.value), initial=0.0, where=finite))
    size = largest + np.where(np.isfinite(estimate.terms), estimate.terms, 0.0)
    size = size + np.where(np.isfinite(estimate.scale), estimate.scale, 0.0)
    unseen = np.where(np.abs(estimate.value) <= estimate.error, estimate.unseen, 0.0)
    return np.asarray(ATOL_ULPS * float(info.eps) * size + unseen + float(info.tiny))


def compare(
    analytic: Array,
    estimate: Estimate,
    *,
    rtol: float | None = None,
    atol: float | Array | None = None,
    primal: str = "",
) -> CheckResult:
    """Judge an analytic array against a numerical estimate, element by element.

    An element is wrong beyond ``|analytic - numerical| <= atol + rtol * |numerical| + error``; at a kink it must
    lie between the one-sided derivatives, at a jump equal the one that exists. The result is inconclusive where
    no element is wrong but some error bound alone is wider than `rtol` (by default `DECIDES`) of the largest
    element; where all elements are zero to within their bounds, an ordinary slope takes the place of the largest
    (see `Estimate.scale`).

    Parameters
    ----------
    analytic : ndarray
        The values to judge, of the estimate's shape.
    estimate : Estimate
        The values that they should be.
    rtol, atol : float, optional
        Tolerances; by default they follow from the dtype of `analytic` and the size of the gradient. `atol` may also
        be an array, with a tolerance for each element.
    primal : str
        The name to give in the result.
    """
    if not np.issubdtype(analytic.dtype, np.floating):
        analytic = analytic.astype(estimate.value.dtype)  # whole numbers may be right all the same
    # a bound wider than a tolerance of the caller's own decides nothing; by default a bound decides that is narrow in
    # itself, and the sensitivity beside the pass says how narrow it is
    decides = max(rtol_for(analytic.dtype), DECIDES) if rtol is None else rtol
    rtol = rtol_for(analytic.dtype) if rtol is None else rtol
    floor, eps = atol_for(estimate, analytic.dtype), float(np.finfo(analytic.dtype).eps)
    allowance = floor if atol is None else np.full_like(floor, atol)
    if analytic.size == 0:
        return CheckResult(Verdict.PASS, primal, evaluations=estimate.evaluations, note="no elements")
    analytic = analytic.astype(estimate.value.dtype)
    unknown = ~np.isfinite(estimate.value) | ~np.isfinite(estimate.error)
    expected = _expected(analytic, estimate)
    with np.errstate(invalid="ignore"):
        distance = np.where(np.isfinite(analytic), np.abs(analytic - expected), np.inf)
        allowed = allowance + rtol * np.abs(expected) + estimate.error
        wrong = ~unknown & ~(distance <= allowed)
    vague = unknown | (~wrong & ~estimate.kink & (estimate.error > allowance + decides * _largest(estimate)))
    verdict, chosen = Verdict.PASS, ~unknown
    for candidate, where in (
        (Verdict.KINK, estimate.kink),
        (Verdict.INCONCLUSIVE, vague),
        (Verdict.WRONG, wrong),
    ):
        if where.any():
            verdict, chosen = candidate, where
    with np.errstate(all="ignore"):
        severity = np.nan_to_num(np.where(distance > 0, distance / allowed, 0.0), nan=np.inf)
    index = np.unravel_index(np.argmax(np.where(chosen, severity, -1.0)), analytic.shape)
    known = [analytic, expected, floor, distance, estimate.error]
    if unknown.any():
        known = [array[~unknown] for array in known]
    of_analytic, of_expected, of_floor, of_distance, of_error = known
    size = _size(of_analytic, of_expected, of_floor, eps)
    passed = verdict is Verdict.PASS
    # the present deviation may point the other way, and the sum of the two must still exceed what is allowed
    caught = allowed + distance
    return CheckResult(
        verdict=verdict,
        primal=primal,
        relative_error=_relative_error(of_analytic, of_distance, of_expected, of_floor, size),
        absolute_error=float(np.max(of_distance, initial=0.0)),
        reference_error=float(estimate.error[index]),
        relative_bound=float(np.max(of_error, initial=0.0)) / size,
        sensitivity=sensitivity(caught, size) if passed else None,
        element_sensitivity=element_sensitivity(caught, expected) if passed else None,
        worst_index=tuple(int(i) for i in index),
        analytic=float(analytic[index]),
        numerical=float(estimate.value[index]),
        evaluations=estimate.evaluations,
        note=_note(verdict, estimate, index),
    )


def _expected(analytic: Array, estimate: Estimate) -> Array:
    """Return the value that each element should have: at a kink, the one in its interval nearest to `analytic`."""
    smooth_or_jump = ~estimate.kink | estimate.jump
    return np.where(smooth_or_jump, estimate.value, np.clip(analytic, estimate.lower, estimate.upper))


def _largest(estimate: Estimate) -> float:
    """Return the size of the gradient: its largest element, or `ZERO_BESIDE` ordinary slopes if all are zero."""
    value, error, scale = estimate.value, estimate.error, estimate.scale
    known = np.isfinite(value) & np.isfinite(error)
    if not known.all():
        value, error, scale = value[known], error[known], scale[known]
    size = np.abs(value)
    ordinary = float(np.max(scale, initial=0.0))
    if (size <= error).all():
        return ordinary * ZERO_BESIDE
    largest = float(np.max(size, initial=0.0))
    return ordinary * STATIONARY if largest <= RESIDUE * ordinary else largest


def sensitivity(caught: Array, size: float) -> float:
    """Return the smallest error, relative to `size`, that shows in any element.

    `caught` holds, for each element, the smallest error that shows there.
    """
    with np.errstate(over="ignore"):
        return float(np.max(caught, initial=0.0)) / size * (1 + 1e-6)


def element_sensitivity(caught: Array, expected: Array) -> float:
    """Return the smallest error that shows in any element that is not zero, relative to that element."""
    nonzero = expected != 0
    with np.errstate(over="ignore"):
        relative = caught[nonzero] / np.abs(expected[nonzero])
    return float(np.max(relative * (1 + 1e-6), initial=0.0))


def largest_of(values: Array) -> float:
    """Return the size of the largest element; an infinity counts as the largest number, what is no number as none."""
    size = np.abs(values)
    largest = float(size.max(initial=0.0))
    return largest if np.isfinite(largest) else float(np.nan_to_num(size).max(initial=0.0))


def _size(analytic: Array, expected: Array, floor: Array, eps: float) -> float:
    """Return the largest entry, or, where all are no more than rounding crumbs, the terms that they are left of."""
    with np.errstate(invalid="ignore"):
        largest = largest_of(np.maximum(np.abs(analytic), np.abs(expected)))
    crumb = float(np.max(floor, initial=0.0))
    return largest if largest > crumb else crumb / (ATOL_ULPS * eps) or 1.0


def _relative_error(analytic: Array, distance: Array, expected: Array, floor: Array, size: float) -> float:
    if not np.isfinite(distance).all():
        return float("inf")
    counts = distance > floor
    if not counts.any():
        return float(np.max(distance, initial=0.0)) / size
    scale = np.maximum(np.abs(analytic), np.abs(expected))
    return float(np.max(distance[counts] / scale[counts], initial=0.0))


def _note(verdict: Verdict, estimate: Estimate, index: tuple[Any, ...]) -> str:
    if estimate.jump[index] and verdict in (Verdict.KINK, Verdict.WRONG):
        side = "a jump: " if verdict is Verdict.KINK else "a jump, and the analytic value is not "
        return f"{side}the one-sided derivative that exists, {estimate.value[index]:.6g}"
    between = f"between the one-sided derivatives {estimate.lower[index]:.6g} and {estimate.upper[index]:.6g}"
    if verdict is Verdict.KINK:
        return f"a kink: the analytic value lies {between}"
    if verdict is Verdict.WRONG and estimate.kink[index]:
        return f"a kink, and the analytic value does not lie {between}"
    if verdict is Verdict.INCONCLUSIVE:
        return (
            f"the numerical value is only known to +- {estimate.error[index]:.1g}: "
            "choose a point where forward is smoother or less rounded, or pass a larger rtol"
        )
    return ""
