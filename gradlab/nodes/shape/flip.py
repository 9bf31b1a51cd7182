"""Flip: the order of the elements along one axis, several or all is turned round.

forward:  out_i = x_(n - 1 - i) along `axis`
backward: dx_i = g_(n - 1 - i) along the same axes

Source: every element of the output is one element of x, and turning round twice changes nothing.
"""

from collections.abc import Iterator
from typing import Any

import numpy as np

from gradlab.node import Array, Sample
from gradlab.nodes.reduced_axes import Axis
from gradlab.nodes.shape._axes import checked_axis
from gradlab.sampling import normal


def forward(x: Array, *, axis: Axis = None) -> tuple[Array, Any]:
    named = range(x.ndim) if axis is None else axis if isinstance(axis, tuple) else (axis,)
    axes = tuple(checked_axis(x, a) for a in named)
    if len(set(axes)) < len(axes):
        raise ValueError(f"axis is {axis!r} for x of shape {x.shape}: give each axis once")
    return np.array(np.flip(x, axes)), axes


def backward(residuals: Any, g: Array) -> tuple[Array, ...]:
    axes = residuals
    return (np.array(np.flip(g, axes)),)


def reference(x: Array, *, axis: Any = None) -> Any:
    for a in range(x.ndim) if axis is None else axis if isinstance(axis, tuple) else (axis,):
        x = np.take(x, range(x.shape[a])[::-1], axis=a)
    return x


def samples(rng: np.random.Generator) -> Iterator[Sample]:
    yield Sample("all axes", (normal(rng, 2, 3),))
    yield Sample("the batch", (normal(rng, 3, 2),), {"axis": 0})
    yield Sample("two axes of three", (normal(rng, 2, 2, 3),), {"axis": (-1, 0)})
    yield Sample("axis of size 1", (normal(rng, 1, 3),), {"axis": 0})
