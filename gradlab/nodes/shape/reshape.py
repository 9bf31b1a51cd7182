"""Reshape: the same elements, in the same order, with other axes.

forward:  out = x in `shape`, in which one length may be -1: the one that is left
backward: dx = g in x's shape

Source: every element of the output is one element of x, at the same place when both are read row by row.
"""

import math
from collections.abc import Iterator
from typing import Any

import numpy as np

from gradlab.node import Array, Sample
from gradlab.sampling import normal


def forward(x: Array, *, shape: int | tuple[int, ...]) -> tuple[Array, Any]:
    try:
        return x.reshape(shape).copy(), x.shape
    except (TypeError, ValueError):
        raise ValueError(
            f"shape is {shape!r} for x of shape {x.shape}: "
            f"give lengths whose product is {x.size}, one of which may be -1"
        ) from None


def backward(residuals: Any, g: Array) -> tuple[Array, ...]:
    shape = residuals
    return (g.reshape(shape).copy(),)


def reference(x: Array, *, shape: Any) -> Any:
    lengths = shape if isinstance(shape, tuple) else (shape,)
    left = x.size // math.prod(n for n in lengths if n >= 0)
    y = np.empty([left if n < 0 else n for n in lengths])
    for place, value in zip(np.ndindex(y.shape), x.flat, strict=True):
        y[place] = value
    return y


def samples(rng: np.random.Generator) -> Iterator[Sample]:
    yield Sample("2 by 3 to 3 by 2", (normal(rng, 2, 3),), {"shape": (3, 2)})
    yield Sample("images, flattened", (normal(rng, 2, 2, 1, 3),), {"shape": (2, -1)})
    yield Sample("any batch", (normal(rng, 1, 4),), {"shape": (-1, 2, 2)})
    yield Sample("scalar to matrix", (normal(rng),), {"shape": (1, 1)})
    yield Sample("vector as it was", (normal(rng, 3),), {"shape": -1})
