"""Weighted count: the weights of each id added up.

forward:  out_k = sum of weights_i over all i with ids_i = k, for k = 0, ..., max(ids), and on to minlength - 1
backward: dweights_i = g_(ids_i)

Source: the sum rule; a weight is a term of the count of its own id. As numpy.bincount, in the dtype of the weights.
"""

from collections.abc import Iterator
from typing import Any

import numpy as np

from gradlab.node import Array, Sample
from gradlab.nodes.integer_ids import checked_ids
from gradlab.sampling import normal


def forward(weights: Array, ids: Array, *, minlength: int = 0) -> tuple[Array, Any]:
    if not isinstance(minlength, int | np.integer) or minlength < 0:
        raise ValueError(f"minlength is {minlength!r}: give a whole number of at least 0")
    ids = checked_ids(ids)
    if ids.shape != weights.shape or ids.ndim != 1:
        raise ValueError(
            f"ids has shape {ids.shape} for weights of shape {weights.shape}: give two vectors of one length"
        )
    needed = int(ids.max()) + 1 if ids.size else 0
    out = np.zeros(max(needed, minlength), weights.dtype)
    np.add.at(out, ids, weights)
    return out, ids


def backward(residuals: Any, g: Array) -> tuple[Array, ...]:
    ids = residuals
    return (np.take(g, ids),)


def reference(weights: Array, ids: Array, *, minlength: int = 0) -> Any:
    return np.bincount(ids, weights, minlength)


def samples(rng: np.random.Generator) -> Iterator[Sample]:
    yield Sample("unsorted, one thrice, one never", (normal(rng, 5),), {"ids": np.array([3, 0, 3, 1, 3])})
    yield Sample("longer than the ids", (normal(rng, 3),), {"ids": np.array([1, 0, 1]), "minlength": 4})
    yield Sample("shorter than the ids", (normal(rng, 2),), {"ids": np.array([2, 1]), "minlength": 1})
    yield Sample("one weight", (normal(rng, 1),), {"ids": np.array([0])})
