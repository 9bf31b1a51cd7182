"""Activations and softmaxes."""

import math
from functools import partial

import numpy as np
from scipy import special

from ._entry import apart, fixed, normal, right, uniform


def sigmoid(x):
    y = 1 / (1 + np.exp(-x))
    return y, y


def sigmoid_backward(y, g):
    return (g * y * (1 - y),)


def tanh(x):
    y = np.tanh(x)
    return y, y


def tanh_backward(y, g):
    return (g * (1 - y**2),)


class ReLU:
    """A layer as an object, whose passes are bound methods."""

    def forward(self, x):
        return np.maximum(0, x), x > 0

    def backward(self, mask, g):
        dx = g.copy()
        dx[~mask] = 0
        return (dx,)


relu = ReLU()


def leaky_relu(x, alpha=0.01):
    y = x.copy()
    y[x < 0] *= alpha
    return y, (x, alpha)


def leaky_relu_backward(cache, g):
    x, alpha = cache
    return (np.where(x < 0, alpha * g, g),)


def prelu(x, a):
    return np.where(x > 0, x, a * x), (x, a)


def prelu_backward(cache, g):
    x, a = cache
    return np.where(x > 0, g, a * g), (g * np.minimum(x, 0)).sum(axis=0)


def elu(x, alpha):
    y = np.where(x > 0, x, alpha * (np.exp(x) - 1))
    return y, (x, y, alpha)


def elu_backward(cache, g):
    x, y, alpha = cache
    return (np.where(x > 0, g, g * (y + alpha)),)


SELU_SCALE = 1.0507009873554805
SELU_ALPHA = 1.6732632423543772


def selu(x):
    return SELU_SCALE * np.where(x > 0, x, SELU_ALPHA * np.expm1(np.minimum(x, 0))), x


def selu_backward(x, g):
    return (SELU_SCALE * g * np.where(x > 0, 1, SELU_ALPHA * np.exp(np.minimum(x, 0))),)


def gelu(x):
    cdf = 0.5 * (1 + special.erf(x / math.sqrt(2)))
    return x * cdf, (x, cdf)


def gelu_backward(cache, g):
    x, cdf = cache
    return (g * (cdf + x * np.exp(-0.5 * x**2) / math.sqrt(2 * math.pi)),)


def tanh_gelu(x):
    t = np.tanh(math.sqrt(2 / math.pi) * (x + 0.044715 * x**3))
    return 0.5 * x * (1 + t), (x, t)


def tanh_gelu_backward(cache, g):
    x, t = cache
    du = math.sqrt(2 / math.pi) * (1 + 3 * 0.044715 * x**2)
    return (g * (0.5 * (1 + t) + 0.5 * x * (1 - t**2) * du),)


def softplus(x):
    return np.log(1 + np.exp(x)), x


def softplus_backward(x, g):
    return (g / (1 + np.exp(-x)),)


def stable_softplus(x):
    return np.logaddexp(0, x), x


def stable_softplus_backward(x, g):
    return (g * special.expit(x),)


def swish(x, beta):
    s = 1 / (1 + np.exp(-beta * x))
    return x * s, {"x": x, "s": s, "beta": beta}


def swish_backward(cache, g):
    x, s, beta = cache["x"], cache["s"], cache["beta"]
    ds = s * (1 - s)
    return g * (s + beta * x * ds), np.sum(g * x**2 * ds)


def mish(x):
    t = np.tanh(np.log1p(np.exp(x)))
    return x * t, (x, t)


def mish_backward(cache, g):
    x, t = cache
    return (g * (t + x * (1 - t**2) / (1 + np.exp(-x))),)


def hardtanh(x):
    return np.clip(x, -1, 1), x


def hardtanh_backward(x, g):
    return (g * (np.abs(x) < 1),)


def hard_sigmoid(x):
    return np.maximum(0, np.minimum(1, x / 6 + 0.5)), x


def hard_sigmoid_backward(x, g):
    return (np.where((x > -3) & (x < 3), g / 6, 0),)


def softsign(x):
    d = 1 + np.abs(x)
    return x / d, d


def softsign_backward(d, g):
    return (g / d**2,)


def naive_softmax(x):
    p = np.exp(x) / np.exp(x).sum()
    return p, p


def naive_softmax_backward(p, g):
    J = np.diag(p) - np.outer(p, p)
    return (J @ g,)


def softmax(x, axis=-1):
    e = np.exp(x - x.max(axis=axis, keepdims=True))
    p = e / e.sum(axis=axis, keepdims=True)
    return p, (p, axis)


def softmax_backward(cache, g):
    p, axis = cache
    return (p * (g - (g * p).sum(axis=axis, keepdims=True)),)


def log_softmax(x):
    shifted = x - x.max(axis=1, keepdims=True)
    y = shifted - np.log(np.exp(shifted).sum(axis=1, keepdims=True))
    return y, y


def log_softmax_backward(y, g):
    return (g - np.exp(y) * g.sum(axis=1, keepdims=True),)


def glu(x):
    a, b = np.split(x, 2, axis=-1)
    s = 1 / (1 + np.exp(-b))
    return a * s, (a, s)


def glu_backward(cache, g):
    a, s = cache
    return (np.concatenate([g * s, g * a * s * (1 - s)], axis=-1),)


def maxout(x, pieces):
    n, m = x.shape
    grouped = x.reshape(n, m // pieces, pieces)
    return grouped.max(axis=2), (grouped.argmax(axis=2), x.shape, pieces)


def maxout_backward(cache, g):
    winner, shape, pieces = cache
    return (((winner[..., None] == np.arange(pieces)) * g[..., None]).reshape(shape),)


ENTRIES = [
    right("sigmoid", sigmoid, sigmoid_backward, normal(3, 4)),
    right("sigmoid, saturated", sigmoid, sigmoid_backward, fixed([-25.0, -14.0, 13.0, 18.0])),
    right("tanh", tanh, tanh_backward, normal(3, 4)),
    right("tanh, saturated", tanh, tanh_backward, fixed([-9.0, 6.0, 8.0, 9.5])),
    right("relu", relu.forward, relu.backward, apart(3, 4)),
    right("relu at zero", relu.forward, relu.backward, fixed([0.0, -1.0, 2.0, 0.0, -0.0])),
    right("relu near zero", relu.forward, relu.backward, fixed([1e-9, -1e-9, 3e-12, -2e-15, 1e-5])),
    right("relu, dead", relu.forward, relu.backward, fixed([-1.0, -2.0, -0.5])),
    right("leaky relu", leaky_relu, leaky_relu_backward, apart(3, 4)),
    right("leaky relu at zero", partial(leaky_relu, alpha=0.2), leaky_relu_backward, fixed([0.0, 1.0, -1.0])),
    right("prelu", prelu, prelu_backward, apart(3, 4), uniform(0.1, 0.5, 4)),
    right("elu", elu, elu_backward, apart(3, 4), alpha=1.0),
    right("selu", selu, selu_backward, apart(3, 4)),
    right("selu at zero", selu, selu_backward, fixed([0.0, 1.0, -1.0])),
    right("gelu", gelu, gelu_backward, normal(3, 4)),
    right("gelu by tanh", tanh_gelu, tanh_gelu_backward, normal(3, 4)),
    right("softplus", softplus, softplus_backward, normal(6)),
    right(
        "softplus, stable", stable_softplus, stable_softplus_backward, fixed([-30.0, -1.0, 0.0, 2.0, 800.0])
    ),
    right("swish", swish, swish_backward, normal(3, 4), fixed(1.3)),
    right("mish", mish, mish_backward, normal(6)),
    right("hardtanh", hardtanh, hardtanh_backward, apart(3, 4)),
    right("hardtanh at its corners", hardtanh, hardtanh_backward, fixed([-1.0, 1.0, 0.3, 2.0])),
    right("hard sigmoid", hard_sigmoid, hard_sigmoid_backward, apart(6, reach=4.0)),
    right("softsign", softsign, softsign_backward, apart(6)),
    right("softsign at zero", softsign, softsign_backward, fixed([0.0, 0.5, -2.0])),
    right("softmax, naive", naive_softmax, naive_softmax_backward, normal(5)),
    right("softmax", softmax, softmax_backward, normal(3, 4), axis=0),
    right("softmax, large logits", softmax, softmax_backward, normal(2, 4, scale=10)),
    right("log softmax", log_softmax, log_softmax_backward, normal(3, 4)),
    right("glu", glu, glu_backward, normal(3, 4)),
    right("maxout", maxout, maxout_backward, apart(3, 6), pieces=3),
]
