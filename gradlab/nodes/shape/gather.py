"""Gather: along one axis every place takes the element that its id names.

forward:  out_ijk = x_i(ids_ijk)k for axis 1, and likewise for any other
backward: dx = 0, with g_ijk added at i, ids_ijk, k: an element that was taken several times adds up all its parts

Source: every element of the output is one element of x; the branch node where one is taken several times.
"""

from collections.abc import Iterator
from typing import Any

import numpy as np

from gradlab.node import Array, Sample
from gradlab.nodes.integer_ids import checked_ids
from gradlab.nodes.shape._axes import checked_axis
from gradlab.sampling import normal

EQUIVALENT_MUTANTS = {"dx = -np.zeros(shape, g.dtype)": "-0.0 is 0"}


def forward(x: Array, ids: Array, *, axis: int = 0) -> tuple[Array, Any]:
    along = checked_axis(x, axis)
    ids = checked_ids(ids, x.shape[along])
    lengths = (*x.shape[:along], *ids.shape[along : along + 1], *x.shape[along + 1 :])
    if ids.shape != lengths:
        raise ValueError(
            f"ids has shape {ids.shape} for x of shape {x.shape}: give a shape that differs along axis {axis} only"
        )
    index = tuple(ids if a == along else place for a, place in enumerate(np.indices(lengths, sparse=True)))
    return x[index], (x.shape, index)


def backward(residuals: Any, g: Array) -> tuple[Array, ...]:
    shape, index = residuals
    dx = np.zeros(shape, g.dtype)
    np.add.at(dx, index, g)
    return (dx,)


def reference(x: Array, ids: Array, *, axis: int = 0) -> Any:
    return np.take_along_axis(x, ids, axis=axis)


def samples(rng: np.random.Generator) -> Iterator[Sample]:
    across = np.array([[2, 0, 2, 2], [1, 1, 0, 2]])
    down = np.array([[1, 0], [1, 2]])
    middle = np.array([0, 1, 1, 1, 0, 0]).reshape(2, 3, 1)
    yield Sample("batch of 2, repeated ids", (normal(rng, 2, 3),), {"ids": across, "axis": -1})
    yield Sample("first axis, fewer than there are", (normal(rng, 3, 2),), {"ids": down})
    yield Sample("middle axis, more than there are", (normal(rng, 2, 2, 1),), {"ids": middle, "axis": 1})
    yield Sample("vector, one element thrice", (normal(rng, 4),), {"ids": np.array([3, 3, 0, 3, 1])})
