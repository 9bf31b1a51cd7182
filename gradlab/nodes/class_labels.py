"""Class labels and the scores of classes: targets as rows, a check of the scores, and the size of the batch."""

import numpy as np

from gradlab.node import Array


def target_rows(t: Array, like: Array) -> Array:
    """Return the targets as rows of the shape and dtype of `like`.

    `t` may hold class indices, shape ``like.shape[:-1]``, or rows (one-hot or soft), shape ``like.shape``.

    Raises
    ------
    ValueError
        If `t` has neither shape, or an index is no class.
    """
    t = np.asarray(t)
    if t.shape == like.shape:
        return t.astype(like.dtype)
    if t.shape != like.shape[:-1] or not np.issubdtype(t.dtype, np.integer):
        raise ValueError(
            f"t has shape {t.shape} and dtype {t.dtype} for predictions of shape {like.shape}: "
            f"give class indices (int) of shape {like.shape[:-1]}, or rows of shape {like.shape}"
        )
    classes = like.shape[-1]
    outside = t[(t < 0) | (t >= classes)]
    if outside.size:
        raise ValueError(f"t holds the label {outside[0]}, which is no class: give 0 to {classes - 1}")
    rows = np.zeros(like.shape, like.dtype)
    rows.reshape(-1, classes)[np.arange(t.size), t.reshape(-1)] = 1
    return rows


def check_scores(x: Array) -> None:
    """Raise a `ValueError` unless the rows of `x` hold at least one score to choose from."""
    if 0 in x.shape[-1:] or x.ndim < 1:
        raise ValueError(f"x has shape {x.shape}: give at least one score along the last axis")


def batch_size(x: Array) -> int:
    """Return the number of rows that a loss averages over: 1 for a single vector."""
    return int(x.size // x.shape[-1])
