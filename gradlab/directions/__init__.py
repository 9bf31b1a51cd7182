"""Checks of large gradients by random directions: a few evaluations decide, whatever the size.

Along a direction v of random signs the slope of f is the sum of v times its gradient, so an error of e in one
element changes the gradient's sum by e times that element's v, whatever all others do: it cannot hide. Several
errors may cancel along one direction, but the sizes in v are random too (uniform from 1/2 to 3/2 of what is usual
for that element), so that their sum comes to less than t with a probability of at most t over the largest of them:
independently along each further direction. What is found to disagree is halved until single elements are left
(adaptive group testing), and each is judged alone, by the estimate that a full check would use: a right element is
not called wrong by chance.
"""

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np

from gradlab.directions._directional_slopes import alike, look
from gradlab.directions._flat_point import FlatPoint, point_of
from gradlab.directions._gradient_check import GradientCheck
from gradlab.directions._named_mistakes import Mistake, mistakes
from gradlab.directions._primal_verdicts import verdict
from gradlab.directions._single_elements import estimate_element
from gradlab.node import Array
from gradlab.numerical.estimate import Method
from gradlab.verdict import CheckResult

__all__ = [
    "FULL_BELOW",
    "DirectionalOutcome",
    "FlatPoint",
    "Mistake",
    "check_along",
    "estimate_element",
    "is_large",
    "point_of",
]

# With more elements than this, in all primals together, a gradient is checked along directions: one element after
# the other it would take that many times some twenty evaluations.
FULL_BELOW = 10_000


class DirectionalOutcome(NamedTuple):
    """A result for each primal, and the mistakes that would explain what is wrong."""

    results: list[CheckResult]
    mistakes: list[Mistake]


def is_large(primals: Sequence[Array], full_below: int | None) -> bool:
    """Return whether these primals have more than `full_below` elements together; None is no limit."""
    return full_below is not None and sum(x.size for x in primals) > full_below


def check_along(
    point: FlatPoint,
    rng: np.random.Generator,
    *,
    rtol: float | None = None,
    atol: float | None = None,
    method: Method = "auto",
) -> DirectionalOutcome:
    """Check the gradient at a point along random directions, and find what is wrong with it.

    Parameters
    ----------
    point : FlatPoint
        From `point_of`.
    rng : numpy.random.Generator
        What the directions are drawn from, independently of the gradient.
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
    judge = GradientCheck(point, rng, rtol, atol, method)
    # what overflows or has no value is told by the verdict
    with np.errstate(all="ignore"):
        found = judge.run()
        results = [verdict(judge, found, i) for i in range(len(point.names))]
    return DirectionalOutcome(results, mistakes(judge, found))


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
    v[point.spans[i]] = alike(point, rng)[point.spans[i]]
    with np.errstate(all="ignore"):
        seen, _ = look(point, v, rtol=rtol, atol=atol, method=method)
    return abs(seen.off) > seen.allowed
