"""Choice between two, element by element, with broadcasting.

forward:  out = x where condition, else y
backward: dx = g where condition, else 0; dy = 0 where condition, else g; each summed over the axes along which
          it was broadcast

Source: out is a copy of the one that was chosen, and does not depend on the other.
"""

from collections.abc import Iterator
from typing import Any

import numpy as np

from gradlab.node import Array, Sample
from gradlab.nodes.broadcasting import check_broadcast, unbroadcast
from gradlab.sampling import normal


def forward(x: Array, y: Array, *, condition: Array) -> tuple[Array, Any]:
    condition = np.asarray(condition)
    if condition.dtype != np.bool_:
        raise ValueError(f"condition is an array of {condition.dtype}: give one of bool, such as x > 0")
    check_broadcast(condition=condition, x=x, y=y)
    return np.where(condition, x, y), (condition, x.shape, y.shape)


def backward(residuals: Any, g: Array) -> tuple[Array, ...]:
    condition, x_shape, y_shape = residuals
    return unbroadcast(np.where(condition, g, 0), x_shape), unbroadcast(np.where(condition, 0, g), y_shape)


def reference(x: Array, y: Array, *, condition: Array) -> Any:
    return np.choose(condition.astype(int), (y, x))


def samples(rng: np.random.Generator) -> Iterator[Sample]:
    matrix = np.array([[True, False, True], [False, False, True]])
    row, column = np.array([True, False, True]), np.array([[True], [False], [True], [True]])
    yield Sample("same shape", (normal(rng, 2, 3), normal(rng, 2, 3)), {"condition": matrix})
    yield Sample("row broadcast over a batch of 4", (normal(rng, 4, 3), normal(rng, 3)), {"condition": row})
    yield Sample("batch of 1", (normal(rng, 1, 3), normal(rng, 3)), {"condition": row})
    yield Sample("all three broadcast", (normal(rng, 2, 1, 3), normal(rng, 1, 3)), {"condition": column})
    yield Sample("scalar and vector", (normal(rng), normal(rng, 3)), {"condition": row})
    yield Sample("the condition is larger", (normal(rng, 3), normal(rng)), {"condition": matrix})
