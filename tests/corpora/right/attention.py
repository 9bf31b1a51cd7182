"""Attention, and the embedding of positions before it."""

import math

import numpy as np

from ._entry import normal, right
from .activations import softmax, softmax_backward


def attention(q, k, v):
    scale = 1 / math.sqrt(q.shape[-1])
    p, _ = softmax(q @ k.T * scale)
    return p @ v, (q, k, v, p, scale)


def attention_backward(cache, g):
    q, k, v, p, scale = cache
    (ds,) = softmax_backward((p, -1), g @ v.T)
    ds *= scale
    return ds @ k, ds.T @ q, p.T @ g


def causal_attention(q, k, v):
    d = q.shape[-1]
    scores = q @ np.swapaxes(k, -1, -2) / math.sqrt(d)
    future = np.triu(np.ones(scores.shape[-2:], dtype=bool), 1)
    scores = np.where(future, -1e9, scores)
    w = np.exp(scores - scores.max(axis=-1, keepdims=True))
    w /= w.sum(axis=-1, keepdims=True)
    return w @ v, {"q": q, "k": k, "v": v, "w": w}


def causal_attention_backward(cache, g):
    q, k, v, w = cache["q"], cache["k"], cache["v"], cache["w"]
    dw = g @ v.swapaxes(-1, -2)
    ds = w * (dw - np.sum(dw * w, axis=-1, keepdims=True)) / math.sqrt(q.shape[-1])
    return ds @ k, ds.swapaxes(-1, -2) @ q, w.swapaxes(-1, -2) @ g


def attention_scores_with_biases(x, Wq, bq, Wk, bk):
    q, k = x @ Wq + bq, x @ Wk + bk
    p, cache = softmax(q @ k.T)
    return p, (x, Wq, Wk, q, k, cache)


def attention_scores_with_biases_backward(cache, g):
    x, Wq, Wk, q, k, softmax_cache = cache
    (ds,) = softmax_backward(softmax_cache, g)
    dq, dk = ds @ k, ds.T @ q
    return dq @ Wq.T + dk @ Wk.T, x.T @ dq, dq.sum(axis=0), x.T @ dk, dk.sum(axis=0)


def rotary(x, base=10000.0):
    length, d = x.shape
    angles = np.outer(np.arange(length), base ** (-np.arange(0, d, 2) / d))
    cos, sin = np.cos(angles).astype(x.dtype), np.sin(angles).astype(x.dtype)
    y = np.empty(x.shape, x.dtype)
    y[:, 0::2] = x[:, 0::2] * cos - x[:, 1::2] * sin
    y[:, 1::2] = x[:, 0::2] * sin + x[:, 1::2] * cos
    return y, (cos, sin)


def rotary_backward(cache, g):
    cos, sin = cache
    dx = np.empty(g.shape, g.dtype)
    dx[:, 0::2] = g[:, 0::2] * cos + g[:, 1::2] * sin
    dx[:, 1::2] = g[:, 1::2] * cos - g[:, 0::2] * sin
    return (dx,)


ENTRIES = [
    right("attention", attention, attention_backward, normal(3, 4), normal(5, 4), normal(5, 2)),
    right(
        "causal attention",
        causal_attention,
        causal_attention_backward,
        normal(2, 3, 4),
        normal(2, 3, 4),
        normal(2, 3, 2),
    ),
    right(
        "attention scores with biases",
        attention_scores_with_biases,
        attention_scores_with_biases_backward,
        normal(4, 3),
        normal(3, 2),
        normal(2),
        normal(3, 2),
        normal(2),
    ),
    right("rotary embedding", rotary, rotary_backward, normal(5, 6)),
]
