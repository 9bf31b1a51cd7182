"""Embedding: rows of a matrix, picked by word ids.

forward:  y_i = W_id(i), and 0 where id(i) is padding_idx
backward: dW_w = sum of g_i over all i with id(i) = w, a repeated id adding up; 0 for the row of padding_idx

Source: y is a one-hot matrix times W; Deep Learning from Scratch 2, chapter 4. ids has any shape and any integer
dtype, and y has the shape (*ids.shape, features). A padding_idx whose row is read but given no gradient, as PyTorch
has it, has no derivative that could be checked: here the row is not read, which is the same while it holds zeros.
"""

from collections.abc import Iterator
from typing import Any

import numpy as np

from gradlab.node import Array, Sample
from gradlab.nodes.row_sums_by_id import row_sums_by_id
from gradlab.sampling import normal


def forward(W: Array, ids: Any, padding_idx: int | None = None) -> tuple[Array, Any]:
    ids = np.asarray(ids)
    _check(W, ids, padding_idx)
    y = W.take(ids, axis=0)
    if padding_idx is not None:
        y[ids == padding_idx] = 0
    return y, (ids.ravel(), W.shape, padding_idx)


def _check(W: Array, ids: Array, padding_idx: int | None) -> None:
    if W.ndim != 2:
        raise ValueError(f"W has shape {W.shape}: give (words, features)")
    if not np.issubdtype(ids.dtype, np.integer):
        raise ValueError(f"ids is an array of {ids.dtype}: give whole numbers, such as np.int64")
    words = len(W)
    if ids.size and not 0 <= int(ids.min()) <= int(ids.max()) < words:
        outside = ids[(ids < 0) | (ids >= words)]
        raise ValueError(f"ids holds {outside[0]}, which is no row of W: give 0 to {words - 1}")
    if padding_idx is not None and padding_idx not in range(words):
        raise ValueError(
            f"padding_idx is {padding_idx}, which is no row of W: give 0 to {words - 1}, or None"
        )


def backward(residuals: Any, g: Array) -> tuple[Array, ...]:
    ids, (words, features), padding_idx = residuals
    dW = row_sums_by_id(ids, g.reshape(len(ids), features), words)
    if padding_idx is not None:
        dW[padding_idx] = 0
    return (dW,)


def reference(W: Array, ids: Any, padding_idx: int | None = None) -> Any:
    one_hot = np.equal.outer(ids, np.arange(len(W))) & (np.arange(len(W)) != padding_idx)
    return np.tensordot(one_hot.astype(float), W, axes=1)


def samples(rng: np.random.Generator) -> Iterator[Sample]:
    unsigned = np.array([[0, 2, 2], [2, 0, 4]], dtype=np.uint8)
    yield Sample("ids repeated in and across rows", (normal(rng, 5, 2),), {"ids": unsigned})
    yield Sample(
        "one feature, padding", (normal(rng, 3, 1),), {"ids": np.array([1, 2, 1, 0]), "padding_idx": 1}
    )
    yield Sample("padding in row 0", (normal(rng, 2, 3),), {"ids": np.array([[0], [1]]), "padding_idx": 0})
    yield Sample("a single id", (normal(rng, 3, 2),), {"ids": np.int32(2)})
