"""The larger of two, element by element, with broadcasting.

forward:  out = max(x, y)
backward: dx = g where x >= y, else 0; dy = g where x < y, else 0; each summed over the axes along which it
          was broadcast. At a tie x gets all and y nothing.

Source: out is x on one side of the kink x = y, and y on the other; at the kink any share is a subgradient, as
long as both shares add up to g.
"""

from collections.abc import Iterator
from typing import Any

import numpy as np

from gradlab.node import Array, Sample
from gradlab.nodes.broadcasting import check_broadcast, unbroadcast
from gradlab.sampling import away_from, normal


def forward(x: Array, y: Array) -> tuple[Array, Any]:
    check_broadcast(x=x, y=y)
    return np.maximum(x, y), (x >= y, x.shape, y.shape)


def backward(residuals: Any, g: Array) -> tuple[Array, ...]:
    takes_x, x_shape, y_shape = residuals
    return unbroadcast(np.where(takes_x, g, 0), x_shape), unbroadcast(np.where(takes_x, 0, g), y_shape)


def reference(x: Array, y: Array) -> Any:
    return (x + y + np.abs(x - y)) / 2


def samples(rng: np.random.Generator) -> Iterator[Sample]:
    x = normal(rng, 2, 3)
    yield Sample("both win", (x, x + away_from(rng, 2, 3)))
    yield Sample("row broadcast over a batch of 4", (normal(rng, 4, 3), normal(rng, 3)))
    yield Sample("batch of 1", (normal(rng, 1, 4), normal(rng, 4)))
    yield Sample("both broadcast", (normal(rng, 2, 1, 3), normal(rng, 4, 1)))
    yield Sample("scalar and vector", (np.array(0.1), away_from(rng, 5, point=0.1)))
    yield Sample(
        "ties, and zeros", (np.array([[-1.0, 0.5, 2.0], [3.0, -5.0, 0.0]]), np.array([-1.0, 0.0, 2.0]))
    )
