"""Segment sum: the rows of each segment added up, in whatever order they come.

forward:  out_s = sum of x_i over all i with ids_i = s, for s = 0, ..., num_segments - 1; 0 where there is none
backward: dx_i = g_(ids_i)

Source: the sum rule; a row is a term of the sum of its own segment.
"""

from collections.abc import Iterator
from typing import Any

import numpy as np

from gradlab.node import Array, Sample
from gradlab.nodes.integer_ids import checked_ids
from gradlab.sampling import normal


def forward(x: Array, ids: Array, *, num_segments: int) -> tuple[Array, Any]:
    if not isinstance(num_segments, int | np.integer) or num_segments < 0:
        raise ValueError(f"num_segments is {num_segments!r}: give a whole number of at least 0")
    ids = checked_ids(ids, num_segments)
    if ids.shape != x.shape[:1] or not x.ndim:
        raise ValueError(f"ids has shape {ids.shape} for x of shape {x.shape}: give x rows, and one id a row")
    out = np.zeros((num_segments, *x.shape[1:]), x.dtype)
    np.add.at(out, ids, x)
    return out, ids


def backward(residuals: Any, g: Array) -> tuple[Array, ...]:
    ids = residuals
    return (np.take(g, ids, axis=0),)


def reference(x: Array, ids: Array, *, num_segments: int) -> Any:
    return np.stack([x[ids == s].sum(axis=0) for s in range(num_segments)])


def samples(rng: np.random.Generator) -> Iterator[Sample]:
    mixed = {"ids": np.array([3, 0, 3, 1, 3]), "num_segments": 5}
    yield Sample("unsorted, two segments empty", (normal(rng, 5, 2),), mixed)
    yield Sample(
        "all in one, three axes", (normal(rng, 2, 1, 3),), {"ids": np.array([0, 0]), "num_segments": 1}
    )
    yield Sample("vector, sorted", (normal(rng, 4),), {"ids": np.array([0, 0, 1, 2]), "num_segments": 3})
    yield Sample("one row", (normal(rng, 1, 2),), {"ids": np.array([1]), "num_segments": 2})
