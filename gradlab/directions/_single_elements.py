"""Single elements of a gradient, judged as in a full check: by a whole ladder of steps of that element alone."""

from dataclasses import replace
from typing import Any

import numpy as np

from gradlab.directions._flat_point import FlatPoint
from gradlab.numerical.element_slopes import LADDER
from gradlab.numerical.estimate import Estimate, Method, estimate_gradient
from gradlab.verdict import ATOL_ULPS, CheckResult, Verdict, atol_for, compare

# An element below this share of its primal's usual size is moved by the usual size, too: steps in proportion to its
# own size may be too short to show a fault.
SMALL = 1.0


def judge_element(
    point: FlatPoint, k: int, rtol: float | None, atol: float | None, method: Method, grain: float
) -> CheckResult:
    """Return the result of `compare` for element `k`, with its place, and the number of evaluations.

    The slope counts as known no better than to `grain`, the rounding of f, divided by the ladder's largest step.
    """
    i = point.primal_of(k)
    given, usual = abs(float(point.x[k])), point.usual_sizes[i]
    units = [None] if not 0 < given < SMALL * usual else [None, usual]
    concluded, evaluations = CheckResult(Verdict.INCONCLUSIVE), 0
    for unit in units:
        estimate = estimate_element(point, k, unit, method)
        evaluations += estimate.evaluations
        known = grain / float(LADDER[0] * (unit or given or 1.0))
        # a scalar f adds up one term, however far the ladder went
        terms = np.abs(estimate.value) + point.size_of_terms
        estimate = replace(estimate, error=np.maximum(estimate.error, known), terms=terms)
        result = _compared(point, k, estimate, rtol, atol)
        if unit is None or result.verdict is Verdict.WRONG or concluded.verdict is Verdict.INCONCLUSIVE:
            concluded = result
        elif result.verdict is Verdict.INCONCLUSIVE:
            concluded = replace(concluded, reference_error=result.reference_error)
        if concluded.verdict is Verdict.WRONG:
            break
    return replace(concluded, primal=point.names[i], worst_index=point.index(k), evaluations=evaluations)


def estimate_element(
    point: FlatPoint, k: int, unit: float | None = None, method: Method = "auto"
) -> Estimate:
    """Return an estimate of element `k` of the gradient, of shape (), with steps in proportion to `unit`.

    By default to the element's own size, or to 1 if the element is zero.
    """
    moved = point.x.copy()

    def at(value: Any) -> Any:
        if np.iscomplexobj(value):
            elsewhere = point.x.astype(np.result_type(point.x, value))
            elsewhere[k] = value
            return point.f(elsewhere)
        moved[k] = value
        return point.f(moved)

    if unit is None:
        return estimate_gradient(at, point.x[k], method=method)
    estimate = estimate_gradient(lambda s: at(point.x[k] + unit * s), np.zeros(()), method=method)
    parts: dict[str, Any] = {
        name: getattr(estimate, name) / unit for name in ("value", "error", "lower", "upper", "scale")
    }
    return replace(estimate, **parts)


def _compared(
    point: FlatPoint, k: int, estimate: Estimate, rtol: float | None, atol: float | None
) -> CheckResult:
    i = point.primal_of(k)
    dtype = point.dtypes[i]
    if atol is None:
        # an element may round as much as the gradient's largest does
        span = np.abs(point.gradient[point.spans[i]])
        largest = float(span[np.isfinite(span)].max(initial=0.0))
        allowed = atol_for(estimate, dtype) + ATOL_ULPS * float(np.finfo(dtype).eps) * largest
    else:
        allowed = np.full((), atol)
    return compare(np.asarray(point.gradient[k]).astype(dtype), estimate, rtol=rtol, atol=allowed)
