"""Mean of squared errors over all elements.

forward:  L = (1/N) sum over all elements of (y - t)^2, N the number of elements
backward: dy = 2 g (y - t) / N, dt = -2 g (y - t) / N

Source: the square, and the mean node. Keras and torch average in the same way; the textbook's sum of
squares is a node of its own.
"""

from collections.abc import Iterator
from typing import Any

import numpy as np

from gradlab.node import Array, Sample
from gradlab.sampling import normal


def forward(y: Array, t: Array) -> tuple[Array, Any]:
    if y.shape != t.shape:
        raise ValueError(f"y has shape {y.shape}, t {t.shape}: give one target for each prediction")
    error = y - t
    return np.mean(error**2), error


def backward(residuals: Any, g: Array) -> tuple[Array, ...]:
    error = residuals
    dy = 2 * g * error / error.size
    return dy, -dy


def reference(y: Array, t: Array) -> Any:
    from scipy.spatial.distance import sqeuclidean

    return sqeuclidean(y.ravel(), t.ravel()) / y.size


def samples(rng: np.random.Generator) -> Iterator[Sample]:
    yield Sample("vector", (normal(rng, 4), normal(rng, 4)))
    yield Sample("batch of 3", (normal(rng, 3, 2), normal(rng, 3, 2)))
    yield Sample("one number", (normal(rng, 1), normal(rng, 1)))
