"""Random numbers drawn anew in the backward."""

import numpy as np

from ._entry import normal, registry
from ._layers import LINEAR, linear

ENTRIES, mistake, mistake_with_state = registry()


def dropout(x, rate, seed):
    kept = np.random.default_rng(seed).random(x.shape) >= rate
    scale = kept.astype(x.dtype) / (1.0 - rate)
    return x * scale, scale


@mistake_with_state(
    "dropout, mask drawn anew in the backward",
    "nondeterministic",
    "",
    (dropout, lambda scale, g: (g * scale,)),
    normal(153, 4, 6),
    rate=0.5,
    seed=3,
)
def _():
    rng = np.random.default_rng(11)

    def forward(x, rate, seed):
        y, _ = dropout(x, rate, seed)
        return y, rate

    def backward(rate, g):
        kept = rng.random(g.shape) >= rate
        return (g * kept / (1.0 - rate),)

    return forward, backward


def random_leaky_relu(x, seed):
    slopes = np.random.default_rng(seed).uniform(0.1, 0.4, x.shape).astype(x.dtype)
    local = np.where(x > 0, np.ones_like(slopes), slopes)
    return x * local, local


@mistake_with_state(
    "randomized leaky relu, another slope in the backward",
    "nondeterministic",
    "",
    (random_leaky_relu, lambda local, g: (g * local,)),
    normal(154, 3, 5),
    seed=5,
)
def _():
    rng = np.random.default_rng(12)

    def forward(x, seed):
        y, _ = random_leaky_relu(x, seed)
        return y, x

    def backward(x, g):
        slopes = rng.uniform(0.1, 0.4, x.shape).astype(x.dtype)
        return (np.where(x > 0, g, slopes * g),)

    return forward, backward


@mistake_with_state(
    "linear without bias, noise added to the weight gradient",
    "nondeterministic",
    "",
    LINEAR,
    normal(155, 3, 2),
    normal(156, 2, 3),
)
def _():
    rng = np.random.default_rng(13)

    def backward(cache, g):
        x, W = cache
        dW = x.T @ g
        return g @ W.T, dW + 1e-3 * rng.standard_normal(dW.shape).astype(dW.dtype)

    return linear, backward
