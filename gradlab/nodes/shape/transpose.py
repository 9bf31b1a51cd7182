"""Transpose: the axes in another order, by default reversed.

forward:  out = x, of which axis axes[i] has become axis i
backward: dx = g with its axes in the order of the inverse permutation

Source: every element of the output is one element of x; what moved axis axes[i] to i moves i back to axes[i].
"""

from collections.abc import Iterator
from typing import Any

import numpy as np

from gradlab.node import Array, Sample
from gradlab.nodes.shape._axes import checked_axis
from gradlab.sampling import normal


def forward(x: Array, *, axes: tuple[int, ...] | None = None) -> tuple[Array, Any]:
    named = range(x.ndim)[::-1] if axes is None else axes
    order = [checked_axis(x, a, "one of axes") for a in named]
    if sorted(order) != list(range(x.ndim)):
        raise ValueError(f"axes is {axes!r} for x of shape {x.shape}: give each of its axes once, or None")
    return x.transpose(order).copy(), order


def backward(residuals: Any, g: Array) -> tuple[Array, ...]:
    order = residuals
    return (g.transpose(np.argsort(order)).copy(),)


def reference(x: Array, *, axes: Any = None) -> Any:
    names = range(x.ndim)
    return np.einsum(x, list(names), list(names[::-1] if axes is None else np.take(names, axes)))


def samples(rng: np.random.Generator) -> Iterator[Sample]:
    yield Sample("matrix", (normal(rng, 2, 3),))
    yield Sample("square", (normal(rng, 3, 3),))
    yield Sample("three axes round", (normal(rng, 2, 1, 3),), {"axes": (2, 0, 1)})
    yield Sample("axes of one length, counted from behind", (normal(rng, 2, 2, 2),), {"axes": (1, -1, -3)})
    yield Sample("vector", (normal(rng, 3),))
