"""Mean over all elements, one axis or several.

forward:  y = sum of x over `axis` / N, N the number of elements that go into one mean
backward: dx = g / N, repeated along the averaged axes

Source: the sum node, times the constant 1/N.
"""

from collections.abc import Iterator
from typing import Any

import numpy as np

from gradlab.node import Array, Sample
from gradlab.nodes.reduced_axes import Axis, einsum_total, reduced_count, restore_axes
from gradlab.nodes.reduction._rows import checked_axes
from gradlab.sampling import normal


def forward(x: Array, *, axis: Axis = None, keepdims: bool = False) -> tuple[Array, Any]:
    axes = checked_axes(x, axis, smallest=1)
    return np.mean(x, axis=axes, keepdims=keepdims), (x.shape, axes)


def backward(residuals: Any, g: Array) -> tuple[Array, ...]:
    shape, axes = residuals
    share = restore_axes(g, shape, axes) / reduced_count(shape, axes)
    return (np.broadcast_to(share, shape).copy(),)


def reference(x: Array, *, axis: Axis = None, keepdims: bool = False) -> Any:
    return einsum_total(x, axis, keepdims) / reduced_count(x.shape, axis)


def samples(rng: np.random.Generator) -> Iterator[Sample]:
    yield Sample("everything", (normal(rng, 2, 3),))
    yield Sample("over a batch of 4", (normal(rng, 4, 3),), {"axis": 0})
    yield Sample("over a batch of 1", (normal(rng, 1, 3),), {"axis": 0})
    yield Sample("last axis, kept", (normal(rng, 3, 3),), {"axis": -1, "keepdims": True})
    yield Sample("two axes of three", (normal(rng, 2, 3, 4),), {"axis": (0, -1)})
