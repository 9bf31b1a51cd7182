"""Small errors: a number added, digits rounded away."""

import numpy as np

from ._entry import normal, registry
from ._layers import AFFINE, EMBEDDING, LINEAR, ROW_NORM, SIGMOID, SOFTMAX, TANH, affine_backward, softmax_of

ENTRIES, mistake, mistake_with_state = registry()


@mistake("sigmoid, + 1e-3 for stability", "additive-bias", "x", SIGMOID, normal(118, 3, 4))
def _(e, g):
    return (g * e / (1.0 + e) ** 2 + 1e-3,)


@mistake(
    "embedding, buffer of ones instead of zeros",
    "additive-bias",
    "W",
    EMBEDDING,
    normal(119, 4, 2),
    ids=(3, 0, 3),
)
def _(cache, g):
    W, ids = cache
    dW = np.ones_like(W)
    np.add.at(dW, ids, g)
    return (dW,)


@mistake(
    "norm of rows, guard outside the parentheses",
    "additive-bias",
    "x",
    ROW_NORM,
    normal(120, 3, 4),
)
def _(cache, g):
    x, n = cache
    return (g[..., None] * x / n + 1e-5,)


@mistake(
    "linear without bias, weight decay mixed in",
    "additive-bias nonlinear-in-cotangent",
    "W",
    LINEAR,
    normal(121, 3, 2),
    normal(122, 2, 4),
)
def _(cache, g):
    x, W = cache
    return g @ W.T, x.T @ g + 0.01 * W


@mistake("tanh, g rounded to half precision", "float32-round-trip", "x", TANH, normal(123, 3, 4))
def _(y, g):
    half = g.astype(np.float16)
    return (half.astype(g.dtype) * (1.0 - y * y),)


@mistake(
    "affine, weight gradient multiplied in single precision",
    "float32-round-trip",
    "W",
    AFFINE,
    normal(124, 5, 3),
    normal(125, 3, 2),
    normal(126, 2),
)
def _(cache, g):
    dx, _, db = affine_backward(cache, g)
    x, W = cache
    rows = x.reshape(len(x), -1).astype(np.float32)
    return dx, (rows.T @ g.astype(np.float32)).astype(W.dtype), db


@mistake_with_state(
    "softmax, output kept in single precision",
    "float32-round-trip",
    "x",
    SOFTMAX,
    normal(127, 2, 5),
)
def _():
    def forward(x):
        y = softmax_of(x)
        return y, y.astype(np.float32)

    def backward(y32, g):
        y = y32.astype(g.dtype)
        return (y * (g - (g * y).sum(axis=-1, keepdims=True)),)

    return forward, backward
