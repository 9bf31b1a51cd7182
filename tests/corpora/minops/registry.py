"""Every op with an example input: OPS is a list of Op entries."""

from collections import namedtuple

import numpy as np

from . import elementwise, linear, losses, reductions

Op = namedtuple("Op", "name forward backward example")

OPS = []


def _example(module, name):
    """Register the decorated example(rng) for op name of module."""

    def register(example):
        forward = getattr(module, name + "_forward")
        backward = getattr(module, name + "_backward")
        OPS.append(Op(name, forward, backward, example))
        return example

    return register


def _signed(rng, low, high, shape):
    """Values of either sign whose size lies in [low, high)."""
    return rng.choice([-1.0, 1.0], shape) * rng.uniform(low, high, shape)


def _distinct(rng, shape):
    """Shuffled values that are at least 0.01 apart."""
    size = int(np.prod(shape))
    return 0.01 * (rng.permutation(size).reshape(shape) - size / 2)


@_example(elementwise, "add")
def _add(rng):
    return (rng.standard_normal((24, 32)), rng.standard_normal((32,))), {}


@_example(elementwise, "mul")
def _mul(rng):
    return (rng.standard_normal((8, 1, 24)), rng.standard_normal((12, 24))), {}


@_example(elementwise, "div")
def _div(rng):
    return (rng.standard_normal((20, 30)), _signed(rng, 0.5, 2.0, (20, 1))), {}


@_example(elementwise, "power")
def _power(rng):
    return (rng.uniform(0.5, 2.0, (16, 20)), rng.uniform(-2.0, 3.0, (20,))), {}


@_example(elementwise, "maximum")
def _maximum(rng):
    y = rng.standard_normal((1, 25))
    return (y + _signed(rng, 0.05, 1.5, (20, 25)), y), {}


@_example(elementwise, "tanh")
def _tanh(rng):
    return (rng.standard_normal((16, 32)),), {}


@_example(elementwise, "gelu")
def _gelu(rng):
    return (1.5 * rng.standard_normal((16, 48)),), {}


@_example(elementwise, "softplus")
def _softplus(rng):
    return (2.0 * rng.standard_normal((20, 40)),), {"beta": 1.5}


@_example(elementwise, "clip")
def _clip(rng):
    inside = rng.uniform(-0.7, 1.1, (18, 30))
    outside = np.where(rng.random((18, 30)) < 0.5, -1.0, 1.5)
    x = np.where(rng.random((18, 30)) < 0.75, inside, outside)
    return (x,), {"low": -0.8, "high": 1.2}


@_example(reductions, "sum")
def _sum(rng):
    return (rng.standard_normal((6, 10, 14)),), {"axis": (0, 2)}


@_example(reductions, "mean")
def _mean(rng):
    return (rng.standard_normal((18, 25)),), {"axis": 1, "keepdims": True}


@_example(reductions, "var")
def _var(rng):
    return (rng.standard_normal((12, 30)),), {"axis": 0, "ddof": 1}


@_example(reductions, "max")
def _max(rng):
    return (_distinct(rng, (15, 8, 6)),), {"axis": 1}


@_example(reductions, "norm")
def _norm(rng):
    return (rng.standard_normal((20, 16)),), {"axis": -1}


@_example(reductions, "logsumexp")
def _logsumexp(rng):
    return (2.0 * rng.standard_normal((10, 24, 3)),), {"axis": 1}


@_example(reductions, "softmax")
def _softmax(rng):
    return (1.5 * rng.standard_normal((24, 32)),), {"axis": -1}


@_example(reductions, "log_softmax")
def _log_softmax(rng):
    return (1.5 * rng.standard_normal((30, 20)),), {"axis": 0}


@_example(reductions, "cumsum")
def _cumsum(rng):
    return (rng.standard_normal((16, 40)),), {"axis": 1}


@_example(reductions, "layernorm")
def _layernorm(rng):
    x = rng.standard_normal((4, 8, 32)) + 0.5
    return (x, rng.uniform(0.5, 1.5, 32), rng.standard_normal(32)), {"eps": 1e-5}


@_example(linear, "matmul")
def _matmul(rng):
    return (rng.standard_normal((4, 12, 20)), rng.standard_normal((20, 16))), {}


@_example(linear, "affine")
def _affine(rng):
    w = rng.standard_normal((24, 30)) / 5.0
    return (rng.standard_normal((6, 10, 24)), w, rng.standard_normal(30)), {}


@_example(linear, "conv1d")
def _conv1d(rng):
    x = rng.standard_normal((3, 4, 41))
    w = rng.standard_normal((6, 4, 5)) / 4.0
    return (x, w, rng.standard_normal(6)), {"stride": 2, "padding": 2}


@_example(linear, "embedding")
def _embedding(rng):
    return (rng.standard_normal((50, 16)),), {"ids": rng.integers(0, 50, (12, 20))}


@_example(linear, "outer")
def _outer(rng):
    return (rng.standard_normal(40), rng.standard_normal(50)), {}


@_example(linear, "bilinear")
def _bilinear(rng):
    w = rng.standard_normal((6, 14, 18)) / 4.0
    return (rng.standard_normal((20, 14)), w, rng.standard_normal((20, 18))), {}


@_example(losses, "mse")
def _mse(rng):
    return (rng.standard_normal((20, 15)), rng.standard_normal((20, 15))), {}


@_example(losses, "huber")
def _huber(rng):
    target = rng.standard_normal((20, 15))
    size = np.where(
        rng.random((20, 15)) < 0.5, rng.uniform(0.05, 0.7, (20, 15)), rng.uniform(0.8, 2.0, (20, 15))
    )
    return (target + size * rng.choice([-1.0, 1.0], (20, 15)), target), {"delta": 0.75}


@_example(losses, "cross_entropy")
def _cross_entropy(rng):
    labels = rng.integers(0, 12, 40)
    return (1.5 * rng.standard_normal((40, 12)),), {"labels": labels, "label_smoothing": 0.1}


@_example(losses, "bce_with_logits")
def _bce_with_logits(rng):
    return (2.0 * rng.standard_normal((25, 10)), rng.uniform(0.0, 1.0, (25, 10))), {}


@_example(losses, "cosine_similarity")
def _cosine_similarity(rng):
    return (rng.standard_normal((18, 20)), rng.standard_normal((18, 20))), {}
