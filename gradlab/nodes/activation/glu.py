"""Gated linear unit: one half of an axis gates the other.

forward:  y = a s, with a and b the first and the second half of x along axis, and s = sigmoid(b)
backward: da = g s, db = g a s (1 - s), and dx is both halves joined along axis

Source: the product rule, and the sigmoid's slope s (1 - s); Dauphin, Fan, Auli and Grangier 2016.
"""

from collections.abc import Iterator
from typing import Any

import numpy as np

from gradlab.node import Array, Sample
from gradlab.nodes.sigmoids import both_sigmoids
from gradlab.sampling import normal


def forward(x: Array, *, axis: int = -1) -> tuple[Array, Any]:
    if not -x.ndim <= axis < x.ndim or x.shape[axis] % 2:
        raise ValueError(f"x of shape {x.shape} has no halves along axis {axis}: give an axis of even length")
    a, b = np.split(x, 2, axis=axis)
    s, rest = both_sigmoids(b)
    return a * s, (a, s, rest, axis)


def backward(residuals: Any, g: Array) -> tuple[Array, ...]:
    a, s, rest, axis = residuals
    da = g * s
    return (np.concatenate((da, da * a * rest), axis=axis),)


def reference(x: Array, *, axis: int = -1) -> Any:
    from scipy.special import expit

    half = x.shape[axis] // 2
    return x.take(range(half), axis) * expit(x.take(range(half, 2 * half), axis))


def samples(rng: np.random.Generator) -> Iterator[Sample]:
    yield Sample("batch of 3, two halves of 2", (normal(rng, 3, 4),))
    yield Sample("batch of 1, two halves of 1", (normal(rng, 1, 2),))
    yield Sample("vector", (normal(rng, 6),))
    yield Sample("along the batch", (normal(rng, 4, 3),), {"axis": 0})
    yield Sample("middle axis, counted from behind", (normal(rng, 2, 4, 3),), {"axis": -2})
    yield Sample("gates open, shut and half open", (np.array([[0.5, 2.0, -3.0, 30.0, -400.0, 0.0]]),))
