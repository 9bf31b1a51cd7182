"""Broadcast: an array is repeated along new axes, and along its axes of length 1.

forward:  out = x in `shape`
backward: dx = g, summed over the axes along which x was repeated

Source: the branch node, for each element of x; the repeat node of Deep Learning from Scratch 2, chapter 1.
"""

from collections.abc import Iterator
from typing import Any

import numpy as np

from gradlab.node import Array, Sample
from gradlab.nodes.broadcasting import unbroadcast
from gradlab.sampling import normal


def forward(x: Array, *, shape: int | tuple[int, ...]) -> tuple[Array, Any]:
    try:
        return np.broadcast_to(x, shape).copy(), x.shape
    except (TypeError, ValueError):
        raise ValueError(
            f"shape is {shape!r} for x of shape {x.shape}: "
            "give its shape, in which any 1 may be another length, behind any new axes"
        ) from None


def backward(residuals: Any, g: Array) -> tuple[Array, ...]:
    shape = residuals
    return (unbroadcast(g, shape),)


def reference(x: Array, *, shape: Any) -> Any:
    return x * np.ones(shape)


def samples(rng: np.random.Generator) -> Iterator[Sample]:
    yield Sample("row to a batch of 4", (normal(rng, 3),), {"shape": (4, 3)})
    yield Sample("column, and a new axis", (normal(rng, 2, 1),), {"shape": (3, 2, 2)})
    yield Sample("inner axis of 1", (normal(rng, 2, 1, 3),), {"shape": (2, 2, 3)})
    yield Sample("scalar to vector", (normal(rng),), {"shape": 5})
    yield Sample("as it was", (normal(rng, 1, 3),), {"shape": (1, 3)})
