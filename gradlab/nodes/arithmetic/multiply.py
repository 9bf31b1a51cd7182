"""Multiplication, element by element, with broadcasting.

forward:  out = x * y
backward: dx = g * y, dy = g * x, each summed over the axes along which it was broadcast

Source: the product rule; the multiplication node of Deep Learning from Scratch, chapter 5.
"""

from collections.abc import Iterator
from typing import Any

import numpy as np

from gradlab.node import Array, Sample
from gradlab.nodes.broadcasting import check_broadcast, unbroadcast
from gradlab.sampling import normal


def forward(x: Array, y: Array) -> tuple[Array, Any]:
    check_broadcast(x=x, y=y)
    return x * y, (x, y)


def backward(residuals: Any, g: Array) -> tuple[Array, ...]:
    x, y = residuals
    return unbroadcast(g * y, x.shape), unbroadcast(g * x, y.shape)


def samples(rng: np.random.Generator) -> Iterator[Sample]:
    yield Sample("same shape", (normal(rng, 2, 3), normal(rng, 2, 3)))
    yield Sample("row broadcast over a batch of 4", (normal(rng, 4, 3), normal(rng, 3)))
    yield Sample("batch of 1", (normal(rng, 1, 3), normal(rng, 3)))
    yield Sample("both broadcast", (normal(rng, 2, 1, 3), normal(rng, 4, 1)))
    yield Sample("scalar and vector", (normal(rng), normal(rng, 5)))
