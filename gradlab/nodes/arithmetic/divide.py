"""Division, element by element, with broadcasting.

forward:  out = x / y, for y away from 0
backward: dx = g / y, dy = -g * x / y^2, each summed over the axes along which it was broadcast

Source: the quotient rule; the division node of Deep Learning from Scratch, chapter 5.
"""

from collections.abc import Iterator
from typing import Any

import numpy as np

from gradlab.node import Array, Sample
from gradlab.nodes.broadcasting import check_broadcast, unbroadcast
from gradlab.sampling import away_from, normal


def forward(x: Array, y: Array) -> tuple[Array, Any]:
    check_broadcast(x=x, y=y)
    return x / y, (x, y)


def backward(residuals: Any, g: Array) -> tuple[Array, ...]:
    x, y = residuals
    dx = g / y
    return unbroadcast(dx, x.shape), unbroadcast(-dx * x / y, y.shape)


def samples(rng: np.random.Generator) -> Iterator[Sample]:
    yield Sample("same shape, both signs below", (normal(rng, 2, 3), away_from(rng, 2, 3)))
    yield Sample("row broadcast over a batch of 4", (normal(rng, 4, 3), away_from(rng, 3)))
    yield Sample("batch of 1", (normal(rng, 1, 3), away_from(rng, 3)))
    yield Sample("both broadcast", (normal(rng, 2, 1, 3), away_from(rng, 4, 1)))
    yield Sample("scalar and vector", (normal(rng), away_from(rng, 5)))
