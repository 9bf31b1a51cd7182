"""A few steps that tell the slope of a part of a direction, chosen by what the whole ladder of that direction said."""

from collections.abc import Callable
from typing import Any, NamedTuple

import numpy as np

from gradlab.directions._directional_slopes import DirectionalSlope
from gradlab.node import Array

# What a few steps miss by along the whole direction they may miss by so many times along a part of it.
SAFETY = 8.0
# So many steps are taken at the most; with more, the ladder itself is as cheap.
MOST = 3


class Steps(NamedTuple):
    """Steps, the weight of each one's difference quotient, and how far the slope may be off."""

    h: Array
    weights: Array
    error: float

    def slope(self, f: Callable[[Any], Any]) -> float:
        """Return the slope of f at 0, from two evaluations a step; NaN outside the domain."""
        try:
            with np.errstate(all="ignore"):
                return float(
                    sum(w * (f(h) - f(-h)) / (2 * h) for h, w in zip(self.h, self.weights, strict=True))
                )
        except (ArithmeticError, ValueError):
            return float("nan")


def steps_of(look: DirectionalSlope) -> list[Steps]:
    """Return the best single step of a look's ladder, the best pair and the best three, as far as there are such."""
    h, c = _quotients(look)
    slope = look.analytic - look.off
    miss = np.abs(c - slope)
    # what a step misses by, all smaller ones show too, as noise that grows with one over the step
    noise = np.maximum.accumulate((miss * h)[::-1])[::-1]
    found = []
    for count in range(1, min(MOST, len(h)) + 1):
        several = [_steps(h[i : i + count], c[i : i + count], noise[i + count - 1], slope, look.error)
                   for i in range(len(h) - count + 1)]  # fmt: skip
        found.append(min(several, key=lambda steps: steps.error))
    return found


def _quotients(look: DirectionalSlope) -> tuple[Array, Array]:
    """Return the steps that were taken to both sides, largest first, and their difference quotients."""
    steps = sorted((s for s in look.trail if s > 0 and -s in look.trail), reverse=True)
    pairs = [(s, (look.trail[s] - look.trail[-s]) / (2 * s)) for s in steps]
    h, c = np.array([pair for pair in pairs if np.isfinite(pair[1])], dtype=np.float64).reshape(-1, 2).T
    return h, c


def _steps(h: Array, c: Array, noise: float, slope: float, known: float) -> Steps:
    """Extrapolate quotients, whose error is a series in h^2, to a step of zero (Lagrange's polynomial there)."""
    t = (h / h[0]) ** 2
    weights = np.array([np.prod(np.delete(t, i) / (np.delete(t, i) - t[i])) for i in range(len(t))])
    error = abs(float(weights @ c) - slope) + noise * float(np.sum(np.abs(weights) / h))
    return Steps(h, weights, SAFETY * error + known)
