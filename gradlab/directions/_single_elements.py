"""Single elements, judged as in a full check: by the whole ladder, that element moved alone."""

from dataclasses import replace
from typing import Any

import numpy as np

from gradlab.directions._flat_point import FlatPoint
from gradlab.numerical.element_slopes import LADDER
from gradlab.numerical.estimate import Estimate, Method, estimate_gradient
from gradlab.verdict import ATOL_ULPS, CheckResult, Verdict, compare, crumbs

# An element that is smaller than its neighbours by this is moved by their size, too: by its own little is seen.
SMALL = 1.0


def judge_element(
    point: FlatPoint, k: int, rtol: float | None, atol: float | None, method: Method, grain: float
) -> CheckResult:
    """Return what `compare` says of element `k`, with its place, and the number of evaluations.

    A slope is not believed to be known better than `grain`, over the ladder's largest step, allows.
    """
    i = point.owner(k)
    given, usual = abs(float(point.x[k])), point.usual[i]
    ways = [None] if not 0 < given < SMALL * usual else [None, usual]
    found, evaluations = CheckResult(Verdict.INCONCLUSIVE), 0
    for unit in ways:
        estimate = estimate_element(point, k, unit, method)
        evaluations += estimate.evaluations
        known = grain / float(LADDER[0] * (unit or given or 1.0))
        # one output adds up one term, however far the ladder went
        terms = np.abs(estimate.value) + point.size
        estimate = replace(estimate, error=np.maximum(estimate.error, known), terms=terms)
        result = _compared(point, k, estimate, rtol, atol)
        if unit is None or result.verdict is Verdict.WRONG or found.verdict is Verdict.INCONCLUSIVE:
            found = result
        elif result.verdict is Verdict.INCONCLUSIVE:
            found = replace(found, reference_error=result.reference_error)
        if found.verdict is Verdict.WRONG:
            break
    return replace(found, primal=point.names[i], worst_index=point.index(k), evaluations=evaluations)


def estimate_element(
    point: FlatPoint, k: int, unit: float | None = None, method: Method = "auto"
) -> Estimate:
    """Return an estimate of one element of the gradient, of shape (), with steps in proportion to `unit`.

    By default to the element's own size, or to 1 if it is zero.
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
    found = estimate_gradient(lambda s: at(point.x[k] + unit * s), np.zeros(()), method=method)
    parts: dict[str, Any] = {
        name: getattr(found, name) / unit for name in ("value", "error", "lower", "upper", "scale")
    }
    return replace(found, **parts)


def _compared(
    point: FlatPoint, k: int, estimate: Estimate, rtol: float | None, atol: float | None
) -> CheckResult:
    i = point.owner(k)
    dtype = point.dtypes[i]
    if atol is None:
        # an element may round as much as the gradient's largest does
        span = np.abs(point.gradient[point.spans[i]])
        largest = float(span[np.isfinite(span)].max(initial=0.0))
        allowed = crumbs(estimate, dtype) + ATOL_ULPS * float(np.finfo(dtype).eps) * largest
    else:
        allowed = np.full((), atol)
    return compare(np.asarray(point.gradient[k]).astype(dtype), estimate, rtol=rtol, atol=allowed)
