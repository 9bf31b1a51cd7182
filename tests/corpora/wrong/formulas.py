"""Wrong formulas that fit no name."""

import math

import numpy as np

from ._entry import normal, positive, registry
from ._layers import ATTENTION, DIVIDE, RELU, SIGMOID, SOFTPLUS, TANH, attention, logistic, need

ENTRIES, mistake, mistake_with_state = registry()


@mistake_with_state("sigmoid, y (1 + y)", "", "x", SIGMOID, normal(171, 3, 3))
def _():
    def forward(x):
        y = logistic(x)
        return y, y

    def backward(y, g):
        return (g * y * (1.0 + y),)

    return forward, backward


@mistake("relu, mask on the wrong side", "", "x", RELU, normal(172, 3, 4))
def _(positive, g):
    dx = g.copy()
    dx[positive] = 0.0
    return (dx,)


@mistake("tanh, 1 - y without the square", "", "x", TANH, normal(173, 2, 5))
def _(y, g):
    return (g * (1.0 - y),)


def gelu(x):
    z = np.clip(x, -50.0, 50.0)  # tanh is 1 long before, and z**3 stays finite
    t = np.tanh(math.sqrt(2.0 / math.pi) * (z + 0.044715 * z**3))
    return 0.5 * x * (1.0 + t), (z, t)


def gelu_backward(cache, g):
    z, t = cache
    inner = math.sqrt(2.0 / math.pi) * (1.0 + 3 * 0.044715 * z**2)
    return (g * (0.5 * (1.0 + t) + 0.5 * z * (1.0 - t * t) * inner),)


@mistake("gelu, inner derivative without the cubic term", "", "x", (gelu, gelu_backward), normal(174, 8))
def _(cache, g):
    z, t = cache
    return (g * (0.5 * (1.0 + t) + 0.5 * z * (1.0 - t * t) * math.sqrt(2.0 / math.pi)),)


def silu(x):
    s = logistic(x)
    return x * s, (x, s)


def silu_backward(cache, g):
    x, s = cache
    return (g * (s + x * s * (1.0 - s)),)


@mistake("silu, derivative of the sigmoid alone", "", "x", (silu, silu_backward), normal(175, 2, 4))
def _(cache, g):
    _, s = cache
    return (g * s * (1.0 - s),)


@mistake("softplus, tanh for its derivative", "", "x", SOFTPLUS, normal(176, 7))
def _(x, g):
    return (g * np.tanh(x),)


def power(x, p):
    return x**p, (x, p)


@mistake(
    "power, exponent not lowered",
    "log-parameter",
    "x",
    (power, lambda cache, g: (cache[1] * g * cache[0] ** (cache[1] - 1.0),)),
    positive(177, 3, 3),
    p=3.0,
)
def _(cache, g):
    x, p = cache
    return (p * x**p * g,)


@mistake(
    "divide, denominator not squared", "log-parameter", "b", DIVIDE, normal(178, 3, 3), positive(179, 3, 3)
)
def _(cache, g):
    a, b = cache
    return g / b, -g * a / b


def log1p(x):
    return np.log1p(x), x


@mistake("log(1 + x), 1 / x", "", "x", (log1p, lambda x, g: (g / (1.0 + x),)), positive(180, 6))
def _(x, g):
    return (g / x,)


def gated(a, b):
    need(a.shape == b.shape)
    s = logistic(b)
    return a * s, (a, s)


@mistake(
    "gated linear unit, derivative of the gate forgotten",
    "",
    "b",
    (gated, lambda cache, g: (g * cache[1], g * cache[0] * cache[1] * (1.0 - cache[1]))),
    normal(181, 2, 4),
    normal(182, 2, 4),
)
def _(cache, g):
    a, s = cache
    return g * s, g * a * s


@mistake_with_state(
    "attention, derivative of the softmax taken at the scores",
    "",
    "k",
    ATTENTION,
    normal(183, 2, 3),
    normal(184, 4, 3),
    normal(185, 4, 2),
)
def _():
    def forward(q, k, v):
        y, (_, _, _, a) = attention(q, k, v)
        return y, (q, k, v, a, q @ k.T / math.sqrt(q.shape[1]))

    def backward(cache, g):
        q, k, v, a, scores = cache
        da = g @ v.T
        ds = scores * (da - (scores * da).sum(axis=1, keepdims=True)) / math.sqrt(q.shape[1])
        return ds @ k, ds.T @ q, a.T @ g

    return forward, backward
