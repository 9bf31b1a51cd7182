"""Analytic against numerical: error measures, tolerances by dtype, and the verdict."""

from dataclasses import dataclass
from enum import StrEnum
from typing import Any

import numpy as np

from gradlab.finite_difference import Estimate
from gradlab.node import Array

# How far a right gradient may be from the truth, relative to each element. A backward pass loses a few
# digits to conditioning, never half of them; a wrong one is rarely this near.
RTOL = {"float16": 1e-2, "float32": 1e-4, "float64": 1e-8, "longdouble": 1e-10}
# The analytic side rounds too: every element may be off by this many units in the last place of the
# gradient's largest one (softmax's sums to zero leave such crumbs).
ATOL_ULPS = 16


class Verdict(StrEnum):
    """What a check concludes."""

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
    """What one check found, for one primal or (`primal` empty) for the node as a whole.

    Attributes
    ----------
    verdict : Verdict
    primal : str
        The name of the primal, or of the output where outputs are compared.
    relative_error : float or None
        The largest |analytic - numerical| / max(|analytic|, |numerical|) over the elements, rounding crumbs
        (see `ATOL_ULPS`) set aside.
    absolute_error : float or None
        The largest |analytic - numerical|.
    reference_error : float or None
        The bound on the numerical value's own error at `worst_index`.
    worst_index : tuple of int or None
        The element that exceeds its tolerance by most, or comes nearest to it.
    analytic, numerical : float or None
        Both values there.
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
    worst_index: tuple[int, ...] | None = None
    analytic: float | None = None
    numerical: float | None = None
    evaluations: int | None = None
    note: str = ""


def rtol_for(dtype: Any) -> float:
    """Return the default relative tolerance for a gradient of this dtype."""
    return RTOL.get(np.dtype(dtype).name, RTOL["longdouble"])


def crumbs(expected: Array, dtype: Any) -> float:
    """Return the default absolute tolerance: a few ulps, in `dtype`, of the largest expected entry."""
    finite = np.abs(expected[np.isfinite(expected)])
    return ATOL_ULPS * float(np.finfo(dtype).eps) * float(finite.max(initial=0.0))


def exact(value: Array) -> Estimate:
    """Return `value` as an estimate without an error, to compare what needs no differences."""
    return Estimate(value, np.zeros_like(value), 0, value, value)


def compare(
    analytic: Array,
    estimate: Estimate,
    *,
    rtol: float | None = None,
    atol: float | None = None,
    primal: str = "",
) -> CheckResult:
    """Judge an analytic array against a numerical estimate, element by element.

    An element passes where ``|analytic - numerical| <= atol + rtol * |numerical| + error``; at a kink it must
    lie between the one-sided derivatives; where the error bound alone is wider than the tolerance of the
    largest element the result is inconclusive, unless the element is wrong beyond the bound as well.

    Parameters
    ----------
    analytic : ndarray
        The values to judge, of the estimate's shape.
    estimate : Estimate
        What they should be.
    rtol, atol : float, optional
        Tolerances; by default they follow from the dtype of `analytic` and the size of the gradient.
    primal : str
        The name to give in the result.
    """
    rtol = rtol_for(analytic.dtype) if rtol is None else rtol
    atol = crumbs(estimate.value, analytic.dtype) if atol is None else atol
    analytic = analytic.astype(estimate.value.dtype)
    if analytic.size == 0:
        return CheckResult(Verdict.PASS, primal, evaluations=estimate.evaluations, note="no elements")
    nearest = np.clip(analytic, estimate.lower, estimate.upper)
    distance = np.abs(analytic - np.where(estimate.kink, nearest, estimate.value))
    tolerance = atol + rtol * np.abs(nearest)
    allowed = tolerance + estimate.error
    distance = np.where(np.isfinite(analytic) | (analytic == estimate.value), distance, np.inf)
    wrong = ~(distance <= allowed)
    widest = atol + rtol * float(np.max(np.abs(estimate.value)))
    vague = ~wrong & ~(estimate.error <= widest)
    verdict, chosen = Verdict.PASS, np.ones_like(wrong)
    for candidate, where in (
        (Verdict.KINK, estimate.kink),
        (Verdict.INCONCLUSIVE, vague),
        (Verdict.WRONG, wrong),
    ):
        if where.any():
            verdict, chosen = candidate, where
    with np.errstate(divide="ignore", invalid="ignore"):
        severity = np.where(distance > 0, distance / allowed, 0.0)
    index = np.unravel_index(
        np.argmax(np.where(chosen, np.nan_to_num(severity, nan=np.inf), -1.0)), analytic.shape
    )
    return CheckResult(
        verdict=verdict,
        primal=primal,
        relative_error=_relative_error(analytic, distance, nearest, crumbs(estimate.value, analytic.dtype)),
        absolute_error=float(np.max(distance)),
        reference_error=float(estimate.error[index]),
        worst_index=tuple(int(i) for i in index),
        analytic=float(analytic[index]),
        numerical=float(estimate.value[index]),
        evaluations=estimate.evaluations,
        note=_note(verdict, estimate, index),
    )


def _relative_error(analytic: Array, distance: Array, expected: Array, floor: float) -> float:
    if not np.isfinite(distance).all():
        return float("inf")
    scale = np.maximum(np.abs(analytic), np.abs(expected))
    counts = distance > floor
    return float(np.max(distance[counts] / scale[counts], initial=0.0))


def _note(verdict: Verdict, estimate: Estimate, index: tuple[Any, ...]) -> str:
    between = f"between the one-sided derivatives {estimate.lower[index]:.6g} and {estimate.upper[index]:.6g}"
    if verdict is Verdict.KINK:
        return f"a kink: the analytic value lies {between}"
    if verdict is Verdict.WRONG and estimate.kink[index]:
        return f"a kink, and the analytic value does not lie {between}"
    if verdict is Verdict.INCONCLUSIVE:
        return "the numerical error bound is too wide to decide: choose a better-scaled point, or pass a larger rtol"
    return ""
