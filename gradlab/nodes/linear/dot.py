"""Inner product of two vectors.

forward:  out = sum over i of x_i y_i
backward: dx = g y, dy = g x

Source: the product rule, term by term.
"""

import math
from collections.abc import Iterator
from typing import Any

import numpy as np

from gradlab.node import Array, Sample
from gradlab.sampling import normal


def forward(x: Array, y: Array) -> tuple[Array, Any]:
    if x.ndim != 1 or x.shape != y.shape:
        raise ValueError(f"x has shape {x.shape}, y {y.shape}: give two vectors of one length")
    return np.dot(x, y), (x, y)


def backward(residuals: Any, g: Array) -> tuple[Array, ...]:
    x, y = residuals
    return g * y, g * x


def reference(x: Array, y: Array) -> Any:
    return np.float64(math.fsum(x * y))


def samples(rng: np.random.Generator) -> Iterator[Sample]:
    yield Sample("vectors", (normal(rng, 5), normal(rng, 5)))
    yield Sample("one element", (normal(rng, 1), normal(rng, 1)))
    yield Sample("orthogonal", (np.array([1.0, 2.0, -1.0]), np.array([2.0, 0.5, 3.0])))
