"""Wrong by a sign or a constant factor."""

import math

import numpy as np

from ._entry import normal, positive, probabilities, registry
from ._layers import ATTENTION, DIVIDE, MEAN_SQUARED_ERROR, SOFTMAX_CROSS_ENTROPY, like, need

ENTRIES, mistake, mistake_with_state = registry()


def subtract(a, b):
    need(a.shape == b.shape)
    return a - b, None


SUBTRACT = (subtract, lambda _, g: (g.copy(), -g))


@mistake("subtract, minus forgotten", "sign-flipped", "b", SUBTRACT, normal(1, 3, 4), normal(2, 3, 4))
def _(_, g):
    return g.copy(), g.copy()


def cross_entropy(p, t):
    t = like(p, t)
    return -(t * np.log(p)).sum() / len(p), (p, t)


def cross_entropy_backward(cache, g):
    p, t = cache
    return (-g * t / p / len(p),)


@mistake(
    "cross entropy of probabilities, minus forgotten",
    "sign-flipped",
    "p",
    (cross_entropy, cross_entropy_backward),
    probabilities(3, 3, 4),
    t=probabilities(4, 3, 4),
)
def _(cache, g):
    p, t = cache
    return (g * t / p / len(p),)


@mistake("divide, sign of the denominator", "sign-flipped", "b", DIVIDE, normal(5, 2, 5), positive(6, 2, 5))
def _(cache, g):
    a, b = cache
    return g / b, g * a / b**2


def cosine(x):
    return np.cos(x), x


@mistake(
    "cosine, derivative +sin", "sign-flipped", "x", (cosine, lambda x, g: (-g * np.sin(x),)), normal(7, 7)
)
def _(x, g):
    return (g * np.sin(x),)


@mistake(
    "softmax with loss, not divided by the batch size",
    "constant-factor",
    "x",
    SOFTMAX_CROSS_ENTROPY,
    normal(8, 4, 3),
    labels=(0, 2, 1, 2),
)
def _(cache, g):
    y, t, _ = cache
    return (g * (y - t),)


@mistake(
    "mean squared error, the 2 forgotten",
    "constant-factor",
    "y",
    MEAN_SQUARED_ERROR,
    normal(9, 3, 2),
    t=normal(10, 3, 2),
)
def _(r, g):
    return (g * r / r.size,)


def average_pool(x, size):
    n, c, h, w = x.shape
    windows = x.reshape(n, c, h // size, size, w // size, size)
    return windows.mean(axis=(3, 5)), size


def average_pool_backward(size, g):
    return (np.repeat(np.repeat(g / size**2, size, axis=2), size, axis=3),)


@mistake(
    "average pooling, not divided by the window",
    "constant-factor",
    "x",
    (average_pool, average_pool_backward),
    normal(11, 1, 2, 4, 4),
    size=2,
)
def _(size, g):
    return (g.repeat(size, axis=2).repeat(size, axis=3),)


@mistake(
    "attention, 1/sqrt(d) forgotten for the queries",
    "constant-factor",
    "q",
    ATTENTION,
    normal(12, 3, 4),
    normal(13, 2, 4),
    normal(14, 2, 3),
)
def _(cache, g):
    q, k, v, a = cache
    da = g @ v.T
    ds = a * (da - (a * da).sum(axis=1, keepdims=True))
    return ds @ k, (ds / math.sqrt(q.shape[1])).T @ q, a.T @ g


def variance(x):
    """Return the unbiased variance of each column."""
    d = x - x.mean(axis=0)
    return (d * d).sum(axis=0) / (len(x) - 1), d


def variance_backward(d, g):
    return (2.0 * d * g / (len(d) - 1),)


@mistake(
    "unbiased variance, divided by n in the backward",
    "constant-factor",
    "x",
    (variance, variance_backward),
    normal(15, 4, 3),
)
def _(d, g):
    return (2.0 / len(d) * d * g,)
