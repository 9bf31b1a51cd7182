"""The sensitivity beside a pass along directions: which error in one element would not have passed."""

import numpy as np

from gradlab.directions._gradient_check import RESOLVED, CheckProgress, GradientCheck
from gradlab.node import Array
from gradlab.verdict import ATOL_ULPS, rtol_for


def smallest_caught(judge: GradientCheck, found: CheckProgress, i: int) -> Array:
    """Return the smallest error of each element of primal `i` that would not have passed, the others being as they are.

    It changes the sum along a direction by that error times the element's v. There it shows, if it exceeds the bound
    and what is off already; and then alone, if it exceeds what that element's tolerance allows. Infinite where no
    direction moved the element.
    """
    span = judge.point.spans[i]
    smallest = np.full(judge.point.gradient[span].shape, np.inf)
    with np.errstate(divide="ignore"):
        for look in (look for look in found.looks if np.isfinite(look.bound)):
            # what could not be explained counts as tolerated, and so must all that is no larger
            bound = look.allowed if found.unexplained else RESOLVED * look.bound
            np.minimum(smallest, (bound + look.width + abs(look.off)) / np.abs(look.v[span]), out=smallest)
    return np.asarray(np.maximum(smallest, _tolerated(judge, found, i)))


def _tolerated(judge: GradientCheck, found: CheckProgress, i: int) -> Array:
    """Return what each element may be off by when it is judged alone, as `gradlab.verdict.crumbs` has it."""
    span, dtype = judge.point.spans[i], judge.point.dtypes[i]
    size = np.abs(judge.point.gradient[span])
    rtol = rtol_for(dtype) if judge.rtol is None else judge.rtol
    if judge.atol is not None:
        return np.asarray(judge.atol + rtol * size)
    slope = min(look.scale / (float(np.mean(np.abs(look.v[span]))) or 1.0) for look in found.looks)
    crumbs = 2 * float(size.max(initial=0.0)) + judge.point.size + slope
    return np.asarray(ATOL_ULPS * float(np.finfo(dtype).eps) * crumbs + rtol * size)
