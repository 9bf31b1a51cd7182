"""Attention of queries to keys: what every node with a softmax over keys is made of."""

import math
from typing import Any

import numpy as np

from gradlab.node import Array


def allowed(mask: Any, causal: bool, shape: tuple[int, ...]) -> Array | None:
    """Return where a query may attend to a key, broadcastable to scores of `shape`; None means everywhere.

    Raises
    ------
    ValueError
        If `mask` is not boolean, or does not broadcast to `shape`.
    """
    may = np.tri(*shape[-2:], dtype=np.bool_) if causal else None
    if mask is None:
        return may
    mask = np.asarray(mask)
    if mask.dtype != np.bool_:
        raise ValueError(f"mask is an array of {mask.dtype}: give one of bool, True where a query may attend")
    lengths = zip(mask.shape[::-1], shape[::-1], strict=False)
    if mask.ndim > len(shape) or any(length not in (1, size) for length, size in lengths):
        raise ValueError(
            f"mask has shape {mask.shape}: give one that broadcasts to the scores' shape {shape}"
        )
    seen: Array = mask if may is None else mask & may
    return seen


def attend(q: Array, k: Array, v: Array, may: Array | None, scale: float) -> tuple[Array, Any]:
    """Return softmax(scale q k^T) v, and what `attend_backward` needs; a query that may attend nowhere gets 0."""
    q = q * scale
    weights = q @ k.mT
    if may is not None:
        np.copyto(weights, -np.inf, where=~may)
    first = weights.argmax(axis=-1, keepdims=True)
    peak = np.take_along_axis(weights, first, axis=-1)
    if may is not None:
        peak = np.where(may.any(axis=-1, keepdims=True), peak, 0)
    # softmax does not see a shift, and with the largest score at 0 exp cannot overflow
    weights -= peak
    np.exp(weights, out=weights)
    total = weights.sum(axis=-1, keepdims=True)
    total[total == 0] = 1
    # the weights stay as they are: there are fewer outputs to divide
    y = weights @ v
    y /= total
    return y, (q, k, v, weights, first, total, scale)


def attend_backward(residuals: Any, g: Array) -> tuple[Array, Array, Array]:
    """Return the gradients of q, k and v."""
    q, k, v, weights, first, total, scale = residuals
    share = g / total
    scores = share @ v.mT
    # a shift of these changes nothing either, and with a 0 where nearly all weight is no small difference is lost
    scores -= np.take_along_axis(scores, first, axis=-1)
    scores -= np.vecdot(scores, weights)[..., None] / total
    scores *= weights
    dq = scores @ k
    dq *= scale
    return dq, scores.mT @ q, weights.mT @ share


def attend_plainly(q: Array, k: Array, v: Array, mask: Any, causal: bool, scale: float) -> Array:
    """Return the output of `attend` one query at a time, over the keys that it sees: the reference's own route."""
    from scipy.special import softmax

    shape = (*q.shape[:-1], k.shape[-2])
    seen = np.broadcast_to(True if mask is None else mask, shape)
    y = np.zeros((*q.shape[:-1], v.shape[-1]))
    for *lead, i in np.ndindex(q.shape[:-1]):
        at = tuple(lead)
        keys = [j for j in range(shape[-1]) if seen[(*at, i, j)] and not (causal and j > i)]
        if keys:
            weights = softmax([scale * math.fsum(q[(*at, i)] * k[(*at, j)]) for j in keys])
            y[(*at, i)] = np.average(v[at][keys], axis=0, weights=weights)
    return y


def split_heads(rows: Array, shape: tuple[int, ...], heads: int) -> Array:
    """Return the rows of an array of `shape` (B, T, D), cut into heads: a view of shape (B, heads, T, D / heads)."""
    batch, length, features = shape
    return rows.reshape(batch, length, heads, features // heads).swapaxes(1, 2)


def merge_heads(x: Array) -> Array:
    """Return an array of shape (B, heads, T, d) as rows of shape (B * T, heads * d)."""
    batch, heads, length, features = x.shape
    return x.swapaxes(1, 2).reshape(batch * length, heads * features)
