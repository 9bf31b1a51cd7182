"""Variance over all elements, one axis or several.

forward:  y = sum of (x - mean of x)^2 over `axis` / (N - ddof), N the number of elements along it
backward: dx = g * 2 (x - mean of x) / (N - ddof)

Source: the chain rule; what comes by way of the mean is the sum of x - mean, which is 0. With ddof = 0 it is the
mean of the squares, as in batch normalisation; with ddof = 1 it is the unbiased estimate from a sample.
"""

from collections.abc import Iterator
from typing import Any

import numpy as np

from gradlab.node import Array, Sample
from gradlab.nodes.number_settings import finite_number
from gradlab.nodes.reduced_axes import Axis, reduced_count, restore_axes
from gradlab.nodes.reduction._rows import checked_axes
from gradlab.sampling import normal


def forward(x: Array, *, axis: Axis = None, ddof: float = 0, keepdims: bool = False) -> tuple[Array, Any]:
    axes = checked_axes(x, axis, smallest=1)
    count, less = reduced_count(x.shape, axes), finite_number(ddof, "ddof")
    if not 0 <= less < count:
        raise ValueError(f"ddof is {ddof} for {count} elements: give a number from 0 to less than {count}")
    centred = x - x.mean(axis=axes, keepdims=True)
    y = np.sum(centred**2, axis=axes, keepdims=keepdims) / (count - less)
    return y, (centred, count - less, axes)


def backward(residuals: Any, g: Array) -> tuple[Array, ...]:
    centred, freedom, axes = residuals
    return (restore_axes(g, centred.shape, axes) * centred * 2 / freedom,)


def reference(x: Array, *, axis: Axis = None, ddof: float = 0, keepdims: bool = False) -> Any:
    return np.var(x, axis=axis, ddof=ddof, keepdims=keepdims)


def samples(rng: np.random.Generator) -> Iterator[Sample]:
    yield Sample("everything, kept", (normal(rng, 2, 3),), {"keepdims": True})
    yield Sample("over a batch of 4, unbiased", (normal(rng, 4, 2),), {"axis": 0, "ddof": 1})
    yield Sample("two axes of three, ddof 2", (normal(rng, 2, 2, 3),), {"axis": (-1, 0), "ddof": 2})
    yield Sample("far from 0, axis of size 1 kept", (50 + normal(rng, 1, 1, 4),), {"axis": (0, 2)})
