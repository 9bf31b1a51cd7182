"""A few steps that tell the slope of a part of a direction, chosen by the whole ladder of that direction."""

from collections.abc import Callable
from typing import Any, NamedTuple

import numpy as np

from gradlab.directions._directional_slopes import DirectionalSlope
from gradlab.node import Array

# Along a part of a direction a few steps may miss the slope by so many times what they miss along the whole of it.
SAFETY = 8.0
# So many steps are taken at the most; with more, the ladder itself is as cheap.
MOST_STEPS = 3


class Steps(NamedTuple):
    """Steps, the weight of each one's difference quotient, and how far the weighted sum may be from the slope."""

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
        except Exception:
            return float("nan")


def best_steps(slope: DirectionalSlope) -> list[Steps]:
    """Return the best single step of the ladder along a direction, the best two neighbours, and the best three.

    Fewer where the ladder has fewer steps.
    """
    h, c = _quotients(slope)
    value = slope.analytic - slope.disagreement
    miss = np.abs(c - value)
    # the noise that shows in one step is in all smaller ones too, and grows with one over the step
    noise = np.maximum.accumulate((miss * h)[::-1])[::-1]
    best = []
    for count in range(1, min(MOST_STEPS, len(h)) + 1):
        windows = [_extrapolation(h[i : i + count], c[i : i + count], noise[i + count - 1], value, slope.error)
                   for i in range(len(h) - count + 1)]  # fmt: skip
        best.append(min(windows, key=lambda steps: steps.error))
    return best


def _quotients(slope: DirectionalSlope) -> tuple[Array, Array]:
    """Return the steps that were taken to both sides, largest first, and their difference quotients."""
    steps = sorted((s for s in slope.values if s > 0 and -s in slope.values), reverse=True)
    pairs = [(s, (slope.values[s] - slope.values[-s]) / (2 * s)) for s in steps]
    h, c = np.array([pair for pair in pairs if np.isfinite(pair[1])], dtype=np.float64).reshape(-1, 2).T
    return h, c


def _extrapolation(h: Array, c: Array, noise: float, value: float, known: float) -> Steps:
    """Return steps with the weights that extrapolate their quotients to a step of zero.

    The quotients' error is a series in h^2; the weights are those of Lagrange's polynomial at 0.
    """
    t = (h / h[0]) ** 2
    weights = np.array([np.prod(np.delete(t, i) / (np.delete(t, i) - t[i])) for i in range(len(t))])
    error = abs(float(weights @ c) - value) + noise * float(np.sum(np.abs(weights) / h))
    return Steps(h, weights, SAFETY * error + known)
