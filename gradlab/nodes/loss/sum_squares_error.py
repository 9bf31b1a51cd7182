"""Sum of squared errors, halved.

forward:  L = 1/2 sum over all elements of (y - t)^2
backward: dy = g (y - t), dt = -g (y - t)

Source: Deep Learning from Scratch, chapter 4; the half cancels the 2 of the derivative.
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
    return 0.5 * np.sum(error**2), error


def backward(residuals: Any, g: Array) -> tuple[Array, ...]:
    error = residuals
    dy = g * error
    return dy, -dy


def reference(y: Array, t: Array) -> Any:
    from scipy.spatial.distance import sqeuclidean

    return sqeuclidean(y.ravel(), t.ravel()) / 2


def samples(rng: np.random.Generator) -> Iterator[Sample]:
    yield Sample("vector", (normal(rng, 4), normal(rng, 4)))
    yield Sample("batch of 3", (normal(rng, 3, 2), normal(rng, 3, 2)))
    yield Sample("one number", (normal(rng, 1), normal(rng, 1)))
