"""Infinite or NaN where the right gradient is finite."""

import numpy as np

from ._entry import positive, registry
from ._layers import ROW_NORM, SIGMOID, logistic, need, softmax_of

ENTRIES, mistake, mistake_with_state = registry()


@mistake(
    "norm of rows, x / norm at a row of zeros",
    "not-finite",
    "x",
    ROW_NORM,
    [[0.6, -1.1, 0.3], [0.0, 0.0, 0.0], [2.0, 0.1, -0.4]],
)
def _(cache, g):
    x, n = cache
    return (g[..., None] * x / n,)


@mistake_with_state(
    "sigmoid, e^x / (1 + e^x)^2 at large x",
    "not-finite",
    "x",
    SIGMOID,
    [[-3.0, 0.4, 800.0], [1.5, -750.0, 2.0]],
)
def _():
    def forward(x):
        return logistic(x), x

    def backward(x, g):
        e = np.exp(x)
        return (g * e / (1.0 + e) ** 2,)

    return forward, backward


def product(x):
    return x.prod(axis=1), x


def product_backward(x, g):
    dx = np.ones_like(x)
    for j in range(x.shape[1]):
        dx[:, j] = np.delete(x, j, axis=1).prod(axis=1) * g
    return (dx,)


@mistake(
    "product of rows, y / x at a zero",
    "not-finite",
    "x",
    (product, product_backward),
    [[1.5, 0.0, -0.7], [0.3, 2.0, -1.0], [0.0, 1.2, 0.8]],
)
def _(x, g):
    y = x.prod(axis=1)
    return ((g * y)[:, None] / x,)


def power_of_base(p, base):
    y = np.asarray(base, dtype=p.dtype) ** p
    need(y.shape == p.shape)
    return y, (y, np.asarray(base, dtype=p.dtype))


def power_of_base_backward(cache, g):
    y, base = cache
    return (g * y * np.log(np.where(base > 0, base, 1.0).astype(base.dtype)),)


@mistake(
    "power, logarithm of a base of zero",
    "not-finite",
    "p",
    (power_of_base, power_of_base_backward),
    positive(170, 4),
    base=(2.0, 0.0, 0.5, 1.3),
)
def _(cache, g):
    y, base = cache
    return (g * y * np.log(base),)


def logsumexp(x):
    top = x.max(axis=-1, keepdims=True)
    return (top + np.log(np.exp(x - top).sum(axis=-1, keepdims=True)))[..., 0], x


@mistake(
    "logsumexp, maximum subtracted in the forward only",
    "not-finite",
    "x",
    (logsumexp, lambda x, g: (np.expand_dims(g, -1) * softmax_of(x),)),
    [[1.0, -0.5, 0.2], [900.0, 899.0, 3.0]],
)
def _(x, g):
    e = np.exp(x)
    return (np.expand_dims(g, -1) * e / e.sum(axis=-1, keepdims=True),)
