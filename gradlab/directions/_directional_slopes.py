"""Slopes along random directions: forward's, the claimed gradient's, and how far the two may be apart."""

from dataclasses import dataclass
from typing import Any

import numpy as np

from gradlab.directions._flat_point import FlatPoint, function_along
from gradlab.node import Array
from gradlab.numerical.estimate import Method, estimate_line
from gradlab.verdict import ATOL_ULPS, rtol_for

# The sum of independent errors of random sign exceeds so many times the root of the sum of their squares with a
# probability of less than 2 exp(-32) = 3e-14 (Hoeffding, 1963).
SPREAD = 8.0
# An element of a right gradient may be rounded by so many ulps without being suspected.
ROUNDING_ULPS = 2
# The ladder ends when the slope is known to this part of what one element of usual size adds to the slope.
SETTLED = 1e-7
# A slope that is not known to this comes from a function with kinks nearby. Relative to the size that the sum of as
# many terms of random sign usually has.
ROUGH = 1e-7
# A slope that is not known to this, relative to the same size, decides nothing about the gradient.
DECIDES = 1e-3


@dataclass(frozen=True)
class DirectionalSlope:
    """Forward's slope along one direction, beside the slope that the claimed gradient has there.

    Attributes
    ----------
    v : ndarray of shape (n,)
        The direction.
    analytic, numerical : float
        The sum of v times the gradient, and forward's slope; at a kink the nearest one that would be right.
    error : float
        How far `numerical` may be off.
    bound : float
        How far the two are apart at the most if every element of the gradient is right to its last places.
    allowed : float
        The same if every element is off by all that its tolerance allows.
    norm : float
        The root of the sum of the squares of v times the gradient.
    scale : float
        As in `Estimate`, along this direction.
    width : float
        By how much the one-sided slopes differ at a kink; 0 elsewhere.
    values : dict
        The values of f that were computed, by the step.
    """

    v: Array
    analytic: float
    numerical: float
    error: float
    bound: float
    allowed: float
    norm: float
    scale: float
    width: float
    values: dict[float, float]

    @property
    def disagreement(self) -> float:
        """By how much the gradient's slope exceeds forward's."""
        return self.analytic - self.numerical

    @property
    def suspicion(self) -> float:
        """How many times its bound the disagreement is."""
        if np.isnan(self.disagreement) or np.isinf(self.bound):
            return 0.0
        return abs(self.disagreement) / self.bound

    @property
    def decides(self) -> bool:
        """Whether forward's slope is known so well that a fault of the whole gradient would show."""
        size = max(self.norm, abs(self.numerical))
        return self.error + self.width <= DECIDES * (size if size > self.error else self.scale)

    @property
    def grain(self) -> float:
        """The rounding of f at x."""
        eps = np.finfo(np.float32 if self.is_coarse else np.float64).eps
        nearest = min(self.values, key=abs, default=None)
        return float(eps * abs(self.values[nearest])) if nearest is not None else 0.0

    @property
    def is_coarse(self) -> bool:
        """Whether f computes in single precision: all its values fit into float32."""
        values = np.array(list(self.values.values()))
        values = values[np.isfinite(values)]
        with np.errstate(over="ignore"):
            return len(np.unique(values)) > 2 and bool((values == values.astype(np.float32)).all())

    @property
    def tells_steps_apart(self) -> bool:
        """Whether f has another value at most of the steps: it is not on one plateau of its rounding."""
        return 2 * len(set(self.values.values())) > len(self.values)

    @property
    def is_rough(self) -> bool:
        """Whether forward's slope is known badly."""
        return not self.error <= ROUGH * max(self.norm, abs(self.numerical))


def proportional_direction(point: FlatPoint, rng: np.random.Generator) -> Array:
    """Return a direction of random signs in which every element moves in proportion to its own size.

    No element changes its sign, leaves the domain of a logarithm, or passes a rectifier's kink; and exact zeros,
    where kinks are commonest, stay.
    """
    return signed(rng, point.x.size) * np.abs(point.x)


def even_direction(point: FlatPoint, rng: np.random.Generator) -> Array:
    """Return a direction of random signs in which all elements of a primal move by about its usual size."""
    v = signed(rng, point.x.size)
    for span, usual in zip(point.spans, point.usual_sizes, strict=True):
        v[span] *= usual
    return v


def signed(rng: np.random.Generator, size: int) -> Array:
    """Return numbers of random signs, from 1/2 to 3/2 in size."""
    # not all of one size: two errors of one size would cancel in every second direction
    drawn = rng.uniform(-1.0, 1.0, size)
    return drawn + np.copysign(0.5, drawn)


def measure_slope(
    point: FlatPoint,
    v: Array,
    *,
    rtol: float | None = None,
    atol: float | None = None,
    method: Method = "auto",
    settled: float = 0.0,
) -> tuple[DirectionalSlope, int]:
    """Return the slope along the direction `v`, and the number of evaluations.

    The ladder ends as soon as the slope is known to `settled`, relative to its usual size.
    """
    f_along = function_along(point, v)
    values: dict[float, float] = {}

    def f(s: Any) -> Any:
        y = f_along(s)
        if not np.iscomplexobj(s):
            values[float(s)] = float(y)
        return y

    norm = _norm(v * point.gradient)
    enough = max(settled, SETTLED / float(np.sqrt(v.size))) * norm
    estimate = estimate_line(f, enough=enough, method=method)
    value, error, lower, upper, scale = (
        float(part)
        for part in (estimate.value, estimate.error, estimate.lower, estimate.upper, estimate.scale)
    )
    analytic, rounding = projection(point, v, slice(None))
    known = np.isfinite([value, error, lower, upper]).all()
    error = error + _rounding_of_moves(point, v, values) if known else np.inf
    bound = error + rounding
    kinked = upper - lower > error
    slope = DirectionalSlope(
        v=v,
        analytic=analytic,
        numerical=float(np.clip(analytic, lower, upper)) if kinked else value,
        error=error,
        bound=bound,
        allowed=bound + SPREAD * _tolerance(point, v, scale, rtol, atol),
        norm=norm,
        scale=scale,
        width=upper - lower if kinked else 0.0,
        values=values,
    )
    return slope, estimate.evaluations


def _rounding_of_moves(point: FlatPoint, v: Array, values: dict[float, float]) -> float:
    """Return how far the slope is off because x + s v and x - s v round differently: the two steps are not equal.

    This error is in proportion to the curvature of f. It is no noise, and larger steps do not make it smaller.
    """
    steps = sorted(
        (s for s in values if s > 0 and np.isfinite(values[s] + values.get(-s, np.nan))), reverse=True
    )
    bends = [abs(values[s] + values[-s] - 2 * values[0.0]) / s**2 for s in steps[:2]]
    each = float(np.finfo(point.x.dtype).eps) * _norm(v * point.x) / (_norm(v) ** 2 or 1.0)
    return SPREAD * max(bends, default=0.0) * each


def projection(point: FlatPoint, v: Array, part: slice) -> tuple[float, float]:
    """Return the sum of v times the gradient over `part`, and how far rounding may put that sum off.

    Products round, and NumPy's pairwise sums (16 numbers in a row at the most, then halves), and each element of the
    gradient by a few ulps.
    """
    total, size, parts = 0.0, 0.0, [0.0]
    for span, dtype in zip(point.spans, point.dtypes, strict=True):
        start, stop, _ = part.indices(point.x.size)
        inside = slice(max(start, span.start), min(stop, span.stop))
        if inside.start < inside.stop:
            terms = v[inside] * point.gradient[inside]
            total += float(np.sum(terms))
            size += float(np.sum(np.abs(terms)))
            parts.append(float(np.finfo(dtype).eps) * _norm(terms))
    sums = float(np.finfo(np.float64).eps) * (20 + np.log2(point.x.size + 1) + len(point.spans))
    return total, sums * size + SPREAD * ROUNDING_ULPS * _norm(np.array(parts))


def _tolerance(point: FlatPoint, v: Array, scale: float, rtol: float | None, atol: float | None) -> float:
    """Return the root of the sum of the squares of v times each element's tolerance, as `compare` allows it."""
    parts = [0.0]
    for span, dtype in zip(point.spans, point.dtypes, strict=True):
        relative = rtol_for(dtype) if rtol is None else rtol
        allowed = relative * _norm(v[span] * point.gradient[span])
        if atol is None:
            largest = float(np.abs(point.gradient[span]).max(initial=0.0)) + point.size_of_terms
            crumbs = largest * _norm(v[span]) + scale * np.sqrt(v[span].size)
            allowed += ATOL_ULPS * float(np.finfo(dtype).eps) * crumbs
        else:
            allowed += atol * _norm(v[span])
        parts.append(allowed)
    return _norm(np.array(parts))


def _norm(x: Array) -> float:
    # in units of the largest: a wrong gradient may have a square that is no number any more
    largest = float(np.abs(x).max(initial=0.0)) or 1.0
    return largest * float(np.sqrt(np.sum((x / largest) ** 2)))
