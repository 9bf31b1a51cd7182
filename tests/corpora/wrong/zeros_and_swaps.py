"""Gradients of zero, and those of another primal."""

import numpy as np

from ._entry import normal, positive, registry
from ._layers import (
    AFFINE,
    EMBEDDING,
    LAYER_NORM,
    LINEAR,
    MULTIPLY,
    RELU,
    affine_backward,
    layer_norm_backward,
    need,
)

ENTRIES, mistake, mistake_with_state = registry()


@mistake_with_state(
    "relu, mask taken from the output below zero",
    "zero-gradient",
    "x",
    RELU,
    normal(69, 3, 4),
)
def _():
    def forward(x):
        y = np.maximum(x, 0.0)
        return y, y

    def backward(y, g):
        return (np.where(y < 0, g, 0.0).astype(g.dtype),)

    return forward, backward


@mistake(
    "embedding, rows added to a copy",
    "zero-gradient",
    "W",
    EMBEDDING,
    normal(70, 5, 3),
    ids=(0, 3, 1),
)
def _(cache, g):
    W, ids = cache
    dW = np.zeros_like(W)
    rows = dW[ids]
    rows += g
    return (dW,)


def sort_rows(x):
    order = np.argsort(x, axis=-1, kind="stable")
    return np.take_along_axis(x, order, axis=-1), order


def sort_rows_backward(order, g):
    dx = np.zeros_like(g)
    np.put_along_axis(dx, order, g, axis=-1)
    return (dx,)


SORT = (sort_rows, sort_rows_backward)


@mistake("sort, written into the result of fancy indexing", "zero-gradient", "x", SORT, normal(71, 2, 5))
def _(order, g):
    dx = np.zeros_like(g)
    for row, places, values in zip(dx, order, g, strict=True):
        row[places][:] = values
    return (dx,)


@mistake(
    "batch of images, affine bias left for later",
    "zero-gradient",
    "b",
    AFFINE,
    normal(72, 2, 1, 2, 3),
    normal(73, 6, 2),
    normal(74, 2),
)
def _(cache, g):
    dx, dW, db = affine_backward(cache, g)
    return dx, dW, np.zeros_like(db)


@mistake(
    "matmul, gradients in the wrong order",
    "swapped-primals",
    "x",
    LINEAR,
    normal(75, 2, 3),
    normal(76, 3, 4),
)
def _(cache, g):
    x, W = cache
    return x.T @ g, g @ W.T


@mistake(
    "multiply, each gradient times its own factor",
    "swapped-primals",
    "a",
    MULTIPLY,
    normal(77, 3, 2),
    normal(78, 3, 2),
)
def _(cache, g):
    a, b = cache
    return g * a, g * b


@mistake(
    "layer norm, gamma and beta exchanged",
    "swapped-primals",
    "gamma",
    LAYER_NORM,
    normal(79, 3, 4),
    positive(80, 4),
    normal(81, 4),
)
def _(cache, g):
    dx, dgamma, dbeta = layer_norm_backward(cache, g)
    return dx, dbeta, dgamma


def complex_product(a, b, c, d):
    """Return real and imaginary part of (a + ib)(c + id)."""
    need(a.shape == b.shape == c.shape == d.shape)
    return (a * c - b * d, a * d + b * c), (a, b, c, d)


def complex_product_backward(cache, g):
    a, b, c, d = cache
    re, im = g
    return re * c + im * d, im * c - re * d, re * a + im * b, im * a - re * b


@mistake(
    "complex product, gradients of the two factors exchanged",
    "swapped-primals",
    "a",
    (complex_product, complex_product_backward),
    normal(82, 3),
    normal(83, 3),
    normal(84, 3),
    normal(85, 3),
)
def _(cache, g):
    da, db, dc, dd = complex_product_backward(cache, g)
    return dc, dd, da, db
