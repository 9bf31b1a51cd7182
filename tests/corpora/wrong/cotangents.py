"""The cotangent ignored, mistaken for another, or used otherwise than as a factor."""

import numpy as np

from ._entry import normal, registry
from ._layers import (
    AFFINE,
    EXPONENTIAL,
    MEAN_SQUARED_ERROR,
    SIGMOID,
    SOFTMAX_CROSS_ENTROPY,
    SQUARE,
    SUM_COLUMNS,
    TANH,
    affine_backward,
    need,
    softmax_cross_entropy,
)

ENTRIES, mistake, mistake_with_state = registry()


@mistake(
    "mean squared error, upstream gradient dropped",
    "ignores-cotangent",
    "y",
    MEAN_SQUARED_ERROR,
    normal(16, 2, 3),
    t=normal(17, 2, 3),
)
def _(r, g):
    return (2.0 * r / r.size,)


@mistake_with_state(
    "softmax with loss as a class, dout never used",
    "ignores-cotangent",
    "x",
    SOFTMAX_CROSS_ENTROPY,
    normal(18, 3, 5),
    labels=(4, 1, 0),
)
def _():
    class SoftmaxWithLoss:
        def forward(self, x, labels):
            loss, cache = softmax_cross_entropy(x, labels)
            return loss, cache

        def backward(self, cache, dout=1):
            y, t, n = cache
            dx = (y - t) / n
            return (dx,)

    layer = SoftmaxWithLoss()
    return layer.forward, layer.backward


@mistake("sum over rows, returns ones", "ignores-cotangent", "x", SUM_COLUMNS, normal(19, 3, 4))
def _(x, g):
    return (np.ones_like(x),)


@mistake("sigmoid, returns the local derivative alone", "ignores-cotangent", "x", SIGMOID, normal(20, 2, 4))
def _(e, g):
    return (e / (1.0 + e) ** 2,)


def sum_and_product(x, y):
    need(x.shape == y.shape)
    return (x + y, x * y), (x, y)


def sum_and_product_backward(cache, g):
    x, y = cache
    g_sum, g_product = g
    return g_sum + g_product * y, g_sum + g_product * x


@mistake(
    "sum and product, cotangent of the product never used",
    "ignores-cotangent wrong-cotangent",
    "x",
    (sum_and_product, sum_and_product_backward),
    normal(21, 5),
    normal(22, 5),
)
def _(cache, g):
    x, _ = cache
    g_sum, g_product = g
    return g_sum.copy(), g_sum + g_product * x


def sincos(x):
    s, c = np.sin(x), np.cos(x)
    return (s, c), (s, c)


def sincos_backward(cache, g):
    s, c = cache
    return (g[0] * c - g[1] * s,)


@mistake("sin and cos, cotangents swapped", "wrong-cotangent", "x", (sincos, sincos_backward), normal(23, 6))
def _(cache, g):
    s, c = cache
    g_cos, g_sin = g
    return (g_sin * c - g_cos * s,)


def halves(x):
    n = x.shape[1] // 2
    return (x[:, :n].copy(), x[:, n:].copy()), None


@mistake(
    "split into halves, joined in the wrong order",
    "wrong-cotangent",
    "x",
    (halves, lambda _, g: (np.concatenate(g, axis=1),)),
    normal(24, 3, 4),
)
def _(_, g):
    left, right = g
    return (np.hstack([right, left]),)


def moments(x):
    mean = x.mean(axis=1)
    d = x - mean[:, None]
    return (mean, (d * d).mean(axis=1)), d


def moments_backward(d, g):
    g_mean, g_var = g
    return ((g_mean[:, None] + 2.0 * d * g_var[:, None]) / d.shape[1],)


@mistake(
    "mean and variance, the mean's cotangent used for both",
    "wrong-cotangent",
    "x",
    (moments, moments_backward),
    normal(25, 3, 4),
)
def _(d, g):
    g_mean = g_var = g[0]
    return ((g_mean[:, None] + 2.0 * d * g_var[:, None]) / d.shape[1],)


@mistake("tanh, multiplied by g twice", "nonlinear-in-cotangent", "x", TANH, normal(26, 3, 3))
def _(y, g):
    dx = g * (1.0 - y**2)
    dx *= g
    return (dx,)


@mistake(
    "affine, weight gradient clipped to [-1, 1]",
    "nonlinear-in-cotangent",
    "W",
    AFFINE,
    normal(27, 4, 3, scale=3.0),
    normal(28, 3, 2),
    normal(29, 2),
)
def _(cache, g):
    dx, dW, db = affine_backward(cache, g)
    return dx, np.clip(dW, -1.0, 1.0), db


@mistake("exp, gradient scaled to norm 1", "nonlinear-in-cotangent", "x", EXPONENTIAL, normal(30, 4, 2))
def _(y, g):
    dx = g * y
    return (dx / (np.sqrt((dx * dx).sum()) + 1e-12),)


@mistake("square, only the sign of g", "nonlinear-in-cotangent", "x", SQUARE, normal(31, 5))
def _(x, g):
    return (2.0 * x * np.sign(g),)
