"""Cumulative sum along an axis.

forward:  y_i = x_0 + ... + x_i along `axis`
backward: dx_i = g_i + ... + g_(n - 1): the cumulative sum of g from the other end

Source: x_i is a term of y_i and of every sum behind it.
"""

from collections.abc import Iterator
from typing import Any

import numpy as np

from gradlab.node import Array, Sample
from gradlab.nodes.shape._axes import checked_axis
from gradlab.sampling import normal


def forward(x: Array, *, axis: int = 0) -> tuple[Array, Any]:
    along = checked_axis(x, axis)
    return np.cumsum(x, axis=along), along


def backward(residuals: Any, g: Array) -> tuple[Array, ...]:
    axis = residuals
    return (np.flip(np.cumsum(np.flip(g, axis), axis), axis),)


def reference(x: Array, *, axis: int = 0) -> Any:
    return np.apply_along_axis(lambda row: np.tri(len(row)) @ row, axis, x)


def samples(rng: np.random.Generator) -> Iterator[Sample]:
    yield Sample("vector", (normal(rng, 4),))
    yield Sample("batch of 2, last axis", (normal(rng, 2, 3),), {"axis": -1})
    yield Sample("middle axis", (normal(rng, 2, 3, 2),), {"axis": 1})
    yield Sample("axis of size 1", (normal(rng, 1, 3),))
