"""Checks of large gradients along random directions: a few evaluations decide, whatever the size.

Along a direction v of random signs the slope of f is the sum of v times its gradient, so an error of e in one
element changes the gradient's sum by e times that element's v, whatever all others do: it cannot hide. Several
errors may cancel along one direction, but the sizes in v are random too (uniform from 1/2 to 3/2 of what is usual
for that element), so that their sum comes to less than t with a probability of at most t over the largest of them:
independently along each further direction. A direction that disagrees is halved until single elements are left
(adaptive group testing), and each of these is judged alone, by the estimate that a full check would use: a right
element is not called wrong by chance.
"""

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np

from gradlab.directions._confirmation import Claim, Confirmation, confirmed_alone, confirmed_together
from gradlab.directions._directional_slopes import even_direction, measure_slope
from gradlab.directions._flat_point import FlatPoint, flat_point
from gradlab.directions._gradient_check import GradientCheck
from gradlab.directions._named_mistakes import Mistake, factor_mistake, named_mistakes
from gradlab.directions._primal_results import primal_result
from gradlab.directions._single_elements import estimate_element
from gradlab.node import Array
from gradlab.numerical.estimate import Method
from gradlab.verdict import CheckResult

__all__ = [
    "FULL_BELOW",
    "Claim",
    "Confirmation",
    "DirectionalOutcome",
    "FlatPoint",
    "Mistake",
    "check_along_directions",
    "confirmed_alone",
    "confirmed_together",
    "estimate_element",
    "factor_mistake",
    "flat_point",
    "is_large",
    "sees_zeros",
]

# With more elements than this, in all primals together, a gradient is checked along directions: one element after
# the other it would take that many times some twenty evaluations.
FULL_BELOW = 10_000


class DirectionalOutcome(NamedTuple):
    """A result for each primal, the mistakes that explain wrong elements, and each primal's elements judged alone."""

    results: list[CheckResult]
    mistakes: list[Mistake]
    alone: list[list[CheckResult]]


def is_large(primals: Sequence[Array], full_below: int | None) -> bool:
    """Return whether these primals have more than `full_below` elements together; None is no limit."""
    return full_below is not None and sum(x.size for x in primals) > full_below


def check_along_directions(
    point: FlatPoint,
    rng: np.random.Generator,
    *,
    rtol: float | None = None,
    atol: float | None = None,
    method: Method = "auto",
) -> DirectionalOutcome:
    """Check the gradient at a point along random directions, and find the elements that are wrong.

    Parameters
    ----------
    point : FlatPoint
        From `flat_point`.
    rng : numpy.random.Generator
        The directions are drawn from it, independently of the gradient.
    rtol, atol : float, optional
        Tolerances of each element, as for `gradlab.verdict.compare`.
    method : str
        As for `gradlab.numerical.estimate.estimate_gradient`.

    Notes
    -----
    That all errors within the tolerances add up to more than is allowed has a probability below 1e-13 (Hoeffding,
    1963, Journal of the American Statistical Association 58). Group testing: Dorfman, 1943, Annals of Mathematical
    Statistics 14.
    """
    check = GradientCheck(point, rng, rtol, atol, method)
    # values that overflow, or do not exist, are told by the verdict
    with np.errstate(all="ignore"):
        findings = check.run()
        results = [primal_result(check, findings, i) for i in range(len(point.names))]
    alone: list[list[CheckResult]] = [[] for _ in results]
    for k, result in sorted(findings.elements.items()):
        alone[point.primal_of(k)].append(result)
    return DirectionalOutcome(results, named_mistakes(check, findings), alone)


def sees_zeros(
    point: FlatPoint,
    i: int,
    rng: np.random.Generator,
    *,
    rtol: float | None = None,
    atol: float | None = None,
    method: Method = "auto",
) -> bool:
    """Return whether a gradient of zeros, as that of `point` must be, would be caught in primal `i`."""
    v = np.zeros(point.x.size)
    v[point.spans[i]] = even_direction(point, rng)[point.spans[i]]
    with np.errstate(all="ignore"):
        slope, _ = measure_slope(point, v, rtol=rtol, atol=atol, method=method)
    return abs(slope.disagreement) > slope.allowed
