"""Outer product of two vectors.

forward:  out_ij = x_i y_j
backward: dx = g y, dy = g^T x

Source: the product rule; x_i stands in row i alone, multiplied by y.
"""

from collections.abc import Iterator
from typing import Any

import numpy as np

from gradlab.node import Array, Sample
from gradlab.sampling import normal

EQUIVALENT_MUTANTS = {
    "return (g @ y.T, x @ g)": "a vector is its own transpose",
    "return (g @ y, x.T @ g)": "a vector is its own transpose",
}


def forward(x: Array, y: Array) -> tuple[Array, Any]:
    if x.ndim != 1 or y.ndim != 1:
        raise ValueError(f"x has shape {x.shape}, y {y.shape}: give two vectors")
    return x[:, None] * y, (x, y)


def backward(residuals: Any, g: Array) -> tuple[Array, ...]:
    x, y = residuals
    return g @ y, x @ g


def reference(x: Array, y: Array) -> Any:
    return np.einsum("i,j->ij", x, y)


def samples(rng: np.random.Generator) -> Iterator[Sample]:
    yield Sample("3 by 2", (normal(rng, 3), normal(rng, 2)))
    yield Sample("square", (normal(rng, 3), normal(rng, 3)))
    yield Sample("one element, and zeros", (normal(rng, 1), np.array([0.0, -2.0, 0.5, 0.0])))
