"""Sort: the elements along an axis in rising order.

forward:  y = x, sorted along `axis`; equal elements stay in their order (a stable sort)
backward: dx_i = g at the place to which x_i went, so of several equal ones the first gets the g of the first place

Source: y is a permutation of x, the same one for all x nearby. At a tie any order of the equal ones gives the same
y, and each a subgradient: the stable one depends on x alone, not on how it is sorted.
"""

from collections.abc import Iterator
from typing import Any

import numpy as np

from gradlab.node import Array, Sample
from gradlab.nodes.shape._axes import checked_axis
from gradlab.sampling import normal


def forward(x: Array, *, axis: int = -1) -> tuple[Array, Any]:
    along = checked_axis(x, axis)
    order = np.argsort(x, axis=along, kind="stable")
    return np.take_along_axis(x, order, axis=along), (np.argsort(order, axis=along), along)


def backward(residuals: Any, g: Array) -> tuple[Array, ...]:
    place, axis = residuals
    return (np.take_along_axis(g, place, axis=axis),)


def reference(x: Array, *, axis: int = -1) -> Any:
    return np.sort(x, axis=axis)


def samples(rng: np.random.Generator) -> Iterator[Sample]:
    # its permutation is not its own inverse
    cycle = np.array([[0.3, -1.2, 0.1], [-0.4, 2.1, -0.9]])
    ties = np.array([2.0, -1.0, 2.0])
    yield Sample("batch of 2", (cycle,))
    yield Sample("first axis", (normal(rng, 3, 2),), {"axis": 0})
    yield Sample("middle axis, and one of size 1", (normal(rng, 2, 3, 1),), {"axis": -2})
    yield Sample("vector, a tie", (ties,))
