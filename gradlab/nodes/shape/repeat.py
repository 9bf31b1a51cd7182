"""Repeat: every slice along an axis is copied n times.

forward:  out = x with each slice along `axis` standing n times in a row
backward: dx = the sum of g over the n copies of each slice

Source: the branch node, n ways; the repeat node of Deep Learning from Scratch 2, chapter 1.
"""

from collections.abc import Iterator
from typing import Any

import numpy as np

from gradlab.node import Array, Sample
from gradlab.sampling import normal


def forward(x: Array, *, n: int, axis: int = 0) -> tuple[Array, Any]:
    if not -x.ndim <= axis < x.ndim:
        raise ValueError(f"axis is {axis}, and x has shape {x.shape}: give one of its axes")
    if n < 0:
        raise ValueError(f"n is {n}: give a whole number of copies, not a negative one")
    return np.repeat(x, n, axis=axis), (x.shape, n, axis % x.ndim)


def backward(residuals: Any, g: Array) -> tuple[Array, ...]:
    shape, n, axis = residuals
    copies = g.reshape(*shape[: axis + 1], n, *shape[axis + 1 :])
    return (copies.sum(axis=axis + 1),)


def samples(rng: np.random.Generator) -> Iterator[Sample]:
    yield Sample("a row to a batch of 4", (normal(rng, 1, 3),), {"n": 4})
    yield Sample("each of 3 slices twice", (normal(rng, 3, 2),), {"n": 2})
    yield Sample("inner axis", (normal(rng, 2, 3, 2),), {"n": 3, "axis": 1})
    yield Sample("last axis, counted from behind", (normal(rng, 2, 3),), {"n": 2, "axis": -1})
    yield Sample("once", (normal(rng, 2, 3),), {"n": 1})
