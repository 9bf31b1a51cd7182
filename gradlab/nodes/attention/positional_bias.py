"""Relative position bias: scores of queries and keys plus a number for how far apart they are.

forward:  y_hij = scores_hij + table_h,d(i, j), d = clip(j - i, -m, m) + m, for heads h, queries i and keys j
backward: dscores = g, dtable_hd = sum of g_hij over all i and j with d(i, j) = d, and over the axes in front

Source: a sum, and the rows of a table picked by d, a repeated d adding up; Shaw, Uszkoreit and Vaswani, 2018,
arXiv:1803.02155, and Raffel and others, 2020, arXiv:1910.10683. scores has the shape (..., heads, Tq, Tk), table
(heads, 2 m + 1), m being the largest distance that is told apart.
"""

from collections.abc import Iterator
from typing import Any

import numpy as np

from gradlab.node import Array, Sample
from gradlab.sampling import normal

EQUIVALENT_MUTANTS = {
    "total = g.sum(axis=tuple(range(g.ndim - 3)), keepdims=True)": "it is flattened just behind",
}


def forward(scores: Array, table: Array) -> tuple[Array, Any]:
    if scores.ndim < 3 or table.ndim != 2 or table.shape[0] != scores.shape[-3] or table.shape[1] % 2 == 0:
        raise ValueError(
            f"scores has shape {scores.shape}, table {table.shape}: "
            "give (..., heads, Tq, Tk) and (heads, 2 * max_distance + 1)"
        )
    queries, keys = scores.shape[-2:]
    most = table.shape[1] // 2
    distance = np.clip(np.arange(keys) - np.arange(queries)[:, None], -most, most) + most
    return scores + table[:, distance], (distance, table.shape, table.dtype)


def backward(residuals: Any, g: Array) -> tuple[Array, ...]:
    distance, (heads, width), dtype = residuals
    total = g.sum(axis=tuple(range(g.ndim - 3)))
    places = np.arange(heads)[:, None, None] * width + distance
    dtable = np.bincount(places.ravel(), total.ravel(), heads * width)
    return g.copy(), dtable.reshape(heads, width).astype(dtype)


def reference(scores: Array, table: Array) -> Any:
    most = table.shape[1] // 2
    y = scores.copy()
    for i, j in np.ndindex(scores.shape[-2:]):
        y[..., i, j] += table[:, max(-most, min(j - i, most)) + most]
    return y


def samples(rng: np.random.Generator) -> Iterator[Sample]:
    yield Sample("batch of 2, 2 heads, distances clipped", (normal(rng, 2, 2, 3, 2), normal(rng, 2, 3)))
    yield Sample("more keys than queries, a row unused", (normal(rng, 1, 2, 4), normal(rng, 1, 7)))
    yield Sample("no distances", (normal(rng, 1, 2, 2, 3), normal(rng, 2, 1)))
    yield Sample("two axes in front", (normal(rng, 2, 2, 1, 1, 2), normal(rng, 1, 3)))
