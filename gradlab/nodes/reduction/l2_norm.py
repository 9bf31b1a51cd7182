"""Euclidean length over all elements, one axis or several.

forward:  y = sqrt(sum of x^2 over `axis`)
backward: dx = g * x / y, the unit vector; 0 where y = 0

Source: the chain rule. At x = 0 the length has a kink, like the absolute value, whose subgradients are all vectors
no longer than 1: of these 0, as it favours no direction.
"""

from collections.abc import Iterator
from typing import Any

import numpy as np

from gradlab.node import Array, Sample
from gradlab.nodes.reduced_axes import Axis, restore_axes
from gradlab.nodes.reduction._rows import checked_axes
from gradlab.sampling import away_from, normal


def forward(x: Array, *, axis: Axis = None, keepdims: bool = False) -> tuple[Array, Any]:
    axes = checked_axes(x, axis)
    # squares of 1e200 overflow, and those of 1e-200 are lost: the largest element is the unit of length
    largest = np.max(np.abs(x), axis=axes, keepdims=True, initial=0)
    unit = np.where((largest > 0) & np.isfinite(largest), largest, 1)
    scaled = x / unit
    length = np.sqrt(np.sum(scaled**2, axis=axes, keepdims=True))
    y = length * unit
    return y if keepdims else y.squeeze(axes), (scaled / np.where(length == 0, 1, length), axes)


def backward(residuals: Any, g: Array) -> tuple[Array, ...]:
    direction, axes = residuals
    return (restore_axes(g, direction.shape, axes) * direction,)


def reference(x: Array, *, axis: Axis = None, keepdims: bool = False) -> Any:
    length = np.hypot.reduce(x, axis=axis, keepdims=True)
    return length if keepdims else np.squeeze(length, axis)


def samples(rng: np.random.Generator) -> Iterator[Sample]:
    yield Sample("over a batch of 3, kept", (normal(rng, 3, 2),), {"axis": 0, "keepdims": True})
    yield Sample("two axes of three", (normal(rng, 2, 2, 3),), {"axis": (-1, 0)})
    yield Sample("axis of size 1", (away_from(rng, 3, 1),), {"axis": 1})
    yield Sample("no length", (np.array([[0.0, 0.0], [3.0, 0.0]]),), {"axis": -1})
    yield Sample("very short", (np.array([-5e-200, 12e-200]),))
