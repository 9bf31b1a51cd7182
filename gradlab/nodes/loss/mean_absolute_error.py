"""Mean of absolute errors over all elements.

forward:  L = (1/N) sum over all elements of |y - t|, N the number of elements
backward: dy = g sign(y - t) / N, dt = -g sign(y - t) / N, both 0 where y = t

Source: the absolute value, slope -1 and slope 1; at the kink any slope between is a subgradient, and 0 is the middle.
"""

from collections.abc import Iterator
from typing import Any

import numpy as np

from gradlab.node import Array, Sample
from gradlab.sampling import away_from, normal


def forward(y: Array, t: Array) -> tuple[Array, Any]:
    if y.shape != t.shape:
        raise ValueError(f"y has shape {y.shape}, t {t.shape}: give one target for each prediction")
    error = y - t
    return np.mean(np.abs(error)), np.sign(error) / error.size


def backward(residuals: Any, g: Array) -> tuple[Array, ...]:
    slope = residuals
    dy = g * slope
    return dy, -dy


def reference(y: Array, t: Array) -> Any:
    from scipy.spatial.distance import cityblock

    return cityblock(y.ravel(), t.ravel()) / y.size


def samples(rng: np.random.Generator) -> Iterator[Sample]:
    t, column = normal(rng, 5), normal(rng, 3, 2)
    yield Sample("vector, both sides", (t + away_from(rng, 5), t))
    yield Sample("batch of 3", (column + away_from(rng, 3, 2), column))
    yield Sample("one number", (np.array([0.5]), np.array([2.0])))
    yield Sample("at the kink", (np.array([1.0, -2.0, 0.0]), np.array([1.0, -2.0, 3.0])))
    yield Sample("far apart", (np.array([[400.0], [-30.0]]), np.array([[-400.0], [30.0]])))
