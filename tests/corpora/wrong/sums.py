"""Sums over broadcast axes left out, or taken over the wrong axis."""

import numpy as np

from ._entry import normal, positive, registry
from ._layers import (
    AFFINE,
    CONVOLVE,
    LAYER_NORM,
    SOFTMAX,
    affine_backward,
    convolve_backward,
    layer_norm_backward,
    need,
)

ENTRIES, mistake, mistake_with_state = registry()


@mistake(
    "affine, bias gradient not summed",
    "missing-broadcast-sum",
    "b",
    AFFINE,
    normal(50, 3, 2),
    normal(51, 2, 4),
    normal(52, 4),
)
def _(cache, g):
    dx, dW, _ = affine_backward(cache, g)
    return dx, dW, g.copy()


def add_positions(x, p):
    need(x.shape[1:] == p.shape)
    return x + p, None


@mistake(
    "position embedding, gradient of the last sample only",
    "missing-broadcast-sum",
    "p",
    (add_positions, lambda _, g: (g.copy(), g.sum(axis=0))),
    normal(53, 3, 2, 4),
    normal(54, 2, 4),
)
def _(_, g):
    return g.copy(), g[-1].copy()


def outer_sum(column, row):
    need(column.shape[1:] == row.shape[:1] == (1,))
    return column + row, None


OUTER_SUM = (
    outer_sum,
    lambda _, g: (g.sum(axis=1, keepdims=True), g.sum(axis=0, keepdims=True)),
)


@mistake(
    "column plus row, first column taken",
    "missing-broadcast-sum",
    "column",
    OUTER_SUM,
    normal(55, 4, 1),
    normal(56, 1, 3),
)
def _(_, g):
    return g[:, :1].copy(), g.sum(axis=0, keepdims=True)


@mistake(
    "layer norm, gamma gradient left at the shape of x",
    "missing-broadcast-sum",
    "gamma",
    LAYER_NORM,
    normal(57, 2, 5),
    positive(58, 5),
    normal(59, 5),
)
def _(cache, g):
    dx, _, dbeta = layer_norm_backward(cache, g)
    return dx, g * cache[0], dbeta


@mistake(
    "affine, bias gradient summed over the wrong axis",
    "wrong-sum-axis",
    "b",
    AFFINE,
    normal(60, 4, 3),
    normal(61, 3, 4),
    normal(62, 4),
)
def _(cache, g):
    dx, dW, _ = affine_backward(cache, g)
    return dx, dW, g.sum(axis=1)


def scale_columns(x, s):
    need(x.shape[1:] == s.shape)
    return x * s, (x, s)


@mistake(
    "column scale, gradient summed along the rows",
    "wrong-sum-axis",
    "s",
    (scale_columns, lambda cache, g: (g * cache[1], (g * cache[0]).sum(axis=0))),
    normal(63, 3, 3),
    positive(64, 3),
)
def _(cache, g):
    x, s = cache
    return g * s, np.sum(x * g, axis=-1)


@mistake(
    "convolution, bias summed over everything but the width",
    "wrong-sum-axis",
    "b",
    CONVOLVE,
    normal(65, 2, 1, 2, 4),
    normal(66, 3, 1, 1, 2),
    normal(67, 3),
)
def _(cache, g):
    dx, dW, _ = convolve_backward(cache, g)
    return dx, dW, g.sum(axis=(0, 1, 2))


@mistake("softmax, inner sum over the batch", "wrong-sum-axis", "x", SOFTMAX, normal(68, 3, 4))
def _(y, g):
    return (y * (g - (g * y).sum(axis=0)),)
