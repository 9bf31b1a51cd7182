"""The sensitivity beside a pass along directions: which error in one element would not have passed."""

import numpy as np

from gradlab.directions._gradient_check import RESOLVED, GradientCheck, GradientFindings
from gradlab.node import Array
from gradlab.verdict import ATOL_ULPS, rtol_for


def smallest_caught(check: GradientCheck, findings: GradientFindings, i: int) -> Array:
    """Return, for each element of primal `i`, the smallest error that would not have passed if it were the only one.

    The error changes the sum along a direction by itself times the element's v. The change shows if it exceeds the
    direction's bound and present disagreement; judged alone, the element is then wrong if the error exceeds the
    element's tolerance. Infinite where no direction moved the element.
    """
    span = check.point.spans[i]
    smallest = np.full(check.point.gradient[span].shape, np.inf)
    with np.errstate(divide="ignore"):
        for slope in (slope for slope in findings.slopes if np.isfinite(slope.bound)):
            # a disagreement that could not be explained was tolerated, and so would be all that is no larger
            bound = slope.allowed if findings.unexplained else RESOLVED * slope.bound
            shows = (bound + slope.width + abs(slope.disagreement)) / np.abs(slope.v[span])
            np.minimum(smallest, shows, out=smallest)
    return np.asarray(np.maximum(smallest, _tolerances(check, findings, i)))


def _tolerances(check: GradientCheck, findings: GradientFindings, i: int) -> Array:
    """Return how far each element may be off when it is judged alone, with the `atol_for` of `gradlab.verdict`."""
    span, dtype = check.point.spans[i], check.point.dtypes[i]
    size = np.abs(check.point.gradient[span])
    rtol = rtol_for(dtype) if check.rtol is None else check.rtol
    if check.atol is not None:
        return np.asarray(check.atol + rtol * size)
    scale = min(slope.scale / (float(np.mean(np.abs(slope.v[span]))) or 1.0) for slope in findings.slopes)
    crumbs = 2 * float(size.max(initial=0.0)) + check.point.size_of_terms + scale
    return np.asarray(ATOL_ULPS * float(np.finfo(dtype).eps) * crumbs + rtol * size)
