"""Scatter-add: updates are added to the rows of an array that their ids name.

forward:  out_i = x_i + sum of updates_j over all j with ids_j = i
backward: dx = g, dupdates_j = g_(ids_j)

Source: the sum rule; an update is a term of one row, and a row may have several updates.
"""

from collections.abc import Iterator
from typing import Any

import numpy as np

from gradlab.node import Array, Sample
from gradlab.nodes.integer_ids import checked_ids
from gradlab.sampling import normal


def forward(x: Array, updates: Array, ids: Array) -> tuple[Array, Any]:
    if not x.ndim:
        raise ValueError("x is a scalar: give an array that has rows")
    ids = checked_ids(ids, len(x))
    if updates.shape != ids.shape + x.shape[1:]:
        raise ValueError(
            f"updates has shape {updates.shape} for ids of shape {ids.shape} and x of shape {x.shape}: "
            f"give updates of shape {ids.shape + x.shape[1:]}"
        )
    out = x.copy()
    np.add.at(out, ids, updates)
    return out, ids


def backward(residuals: Any, g: Array) -> tuple[Array, ...]:
    ids = residuals
    return g.copy(), np.take(g, ids, axis=0)


def reference(x: Array, updates: Array, ids: Array) -> Any:
    return x + np.tensordot(np.eye(len(x))[ids], updates, axes=(range(ids.ndim), range(ids.ndim)))


def samples(rng: np.random.Generator) -> Iterator[Sample]:
    table = np.array([[2, 0, 2], [1, 2, 0]])
    yield Sample("rows, one three times, one never", (normal(rng, 3, 2), normal(rng, 4, 2)),
                 {"ids": np.array([2, 0, 2, 2])})  # fmt: skip
    yield Sample("vector, each once", (normal(rng, 3), normal(rng, 3)), {"ids": np.array([1, 2, 0])})
    yield Sample("one row, one update", (normal(rng, 1, 3), normal(rng, 1, 3)), {"ids": np.array([0])})
    yield Sample("a table of ids", (normal(rng, 4, 1), normal(rng, 2, 3, 1)), {"ids": table})
