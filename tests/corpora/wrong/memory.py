"""Memory written into, shared, or taken to be contiguous."""

import numpy as np

from ._entry import normal, registry
from ._layers import EXPONENTIAL, LEAKY_RELU, RELU, SOFTMAX, SOFTPLUS, SUM_COLUMNS, logistic, need

ENTRIES, mistake, mistake_with_state = registry()


@mistake(
    "relu, dout[mask] = 0 and dout returned",
    "mutates-argument aliases-memory",
    "",
    RELU,
    normal(140, 4, 3),
)
def _(positive, dout):
    dout[~positive] = 0
    dx = dout
    return (dx,)


@mistake_with_state(
    "softmax, maximum subtracted in place in the forward",
    "mutates-argument",
    "",
    SOFTMAX,
    normal(141, 3, 4),
)
def _():
    def forward(x):
        x -= x.max(axis=-1, keepdims=True)
        y = np.exp(x)
        y /= y.sum(axis=-1, keepdims=True)
        return y, y

    return forward, SOFTMAX[1]


def gaussian(x):
    y = np.exp(-0.5 * x * x)
    return y, (x, y)


@mistake(
    "gaussian, the kept input is multiplied in place",
    "mutates-argument",
    "",
    (gaussian, lambda cache, g: (-g * cache[0] * cache[1],)),
    normal(142, 2, 3),
)
def _(cache, g):
    x, y = cache
    x *= y
    return (-g * x,)


def mean_of_columns(x):
    return x.mean(axis=0), x


@mistake(
    "mean over rows, g /= n",
    "mutates-argument",
    "",
    (mean_of_columns, lambda x, g: (np.ones_like(x) * (g / len(x)),)),
    normal(143, 4, 3),
)
def _(x, g):
    g /= len(x)
    return (np.tile(g, (len(x), 1)),)


def add(a, b):
    need(a.shape == b.shape)
    return a + b, None


@mistake(
    "residual connection, g returned for both branches",
    "aliases-memory",
    "",
    (add, lambda _, g: (g.copy(), g.copy())),
    normal(144, 3, 3),
    normal(145, 3, 3),
)
def _(_, g):
    return g, g


def flatten(x):
    return x.reshape(len(x), -1).copy(), x.shape


@mistake(
    "flatten, a view on g",
    "aliases-memory",
    "",
    (flatten, lambda shape, g: (g.reshape(shape).copy(),)),
    normal(146, 2, 1, 3, 2),
)
def _(shape, g):
    return (g.reshape(shape),)


def midpoint(a, b):
    need(a.shape == b.shape)
    return 0.5 * (a + b), None


@mistake(
    "midpoint, one array for both ends",
    "aliases-memory",
    "",
    (midpoint, lambda _, g: (0.5 * g, 0.5 * g)),
    normal(147, 5),
    normal(148, 5),
)
def _(_, g):
    half = 0.5 * g
    return half, half


@mistake("sum over rows, broadcast view on g", "aliases-memory", "", SUM_COLUMNS, normal(149, 4, 2))
def _(x, g):
    return (np.broadcast_to(g, x.shape),)


@mistake("softplus, g flattened in memory order", "assumes-contiguous", "", SOFTPLUS, normal(150, 3, 4))
def _(x, g):
    flat = g.ravel(order="K") * logistic(x).ravel()
    return (flat.reshape(x.shape),)


@mistake_with_state(
    "leaky relu, mask flattened in the memory order of x",
    "assumes-contiguous",
    "",
    LEAKY_RELU,
    normal(151, 2, 5),
    slope=0.2,
)
def _():
    def forward(x, slope):
        y = np.where(x > 0, x, slope * x)
        return y, (x.ravel(order="K") > 0, slope)

    def backward(cache, g):
        positive, slope = cache
        flat = g.ravel()
        return (np.where(positive, flat, slope * flat).reshape(g.shape),)

    return forward, backward


@mistake("exp, g read as a flat buffer", "assumes-contiguous", "", EXPONENTIAL, normal(152, 4, 3))
def _(y, g):
    flat = np.frombuffer(g, dtype=g.dtype)
    return (flat.reshape(y.shape) * y,)
