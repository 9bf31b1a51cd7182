"""Batch normalisation in training: each channel by its own mean and variance over the batch.

forward:  y = gamma u + beta, u = (x - mean) s, s = 1 / sqrt(variance + eps); statistics of each channel (axis 1) over
          all other axes, the variance with 1/M, M the number of elements of a channel
backward: dx = gamma s (g - mean(g) - u mean(g u)), means of each channel; dgamma = sum of g u, dbeta = sum of g

Source: Ioffe and Szegedy, 2015, arXiv:1502.03167; the two means come from the derivatives of mean and variance, which
every element of the channel enters.
"""

from collections.abc import Iterator
from typing import Any

import numpy as np

from gradlab.node import Array, Sample
from gradlab.nodes.normalisation._statistics import (
    along_channels,
    axes_but_channels,
    centred_and_scale,
    check_parameters,
    sum_product,
)
from gradlab.sampling import normal

EQUIVALENT_MUTANTS = {
    "dbeta, dgamma = (g.sum(axis=axes, keepdims=True), sum_product(centred, g, axes) * scale)": "products commute",
}


def forward(x: Array, gamma: Array, beta: Array, *, eps: float = 1e-5) -> tuple[Array, Any]:
    axes = axes_but_channels(x)
    check_parameters(x.shape[1], gamma=gamma, beta=beta)
    centred, scale = centred_and_scale(x, axes, eps)
    factor = along_channels(gamma, x.ndim) * scale
    y = centred * factor + along_channels(beta, x.ndim)
    return y, (centred, scale, factor, axes, x.size // len(gamma))


def backward(residuals: Any, g: Array) -> tuple[Array, ...]:
    centred, scale, factor, axes, count = residuals
    dbeta, dgamma = g.sum(axis=axes, keepdims=True), sum_product(g, centred, axes) * scale
    # in place: fresh memory costs more than the arithmetic
    dx = centred * (dgamma * scale / -count)
    dx += g
    dx -= dbeta / count
    dx *= factor
    return dx, dgamma.ravel(), dbeta.ravel()


def reference(x: Array, gamma: Array, beta: Array, *, eps: float = 1e-5) -> Any:
    y = np.empty(x.shape)
    for c in range(x.shape[1]):
        channel = x[:, c]
        y[:, c] = gamma[c] * (channel - np.average(channel)) / np.sqrt(np.var(channel) + eps) + beta[c]
    return y


def samples(rng: np.random.Generator) -> Iterator[Sample]:
    def arrays(*shape: int) -> tuple[Array, ...]:
        return normal(rng, *shape), normal(rng, shape[1]), normal(rng, shape[1])

    x, gamma, beta = arrays(4, 2)
    yield Sample("batch of 5, 3 features", arrays(5, 3))
    yield Sample("images, oblong", arrays(2, 3, 2, 3))
    yield Sample("an eps that shows", arrays(3, 3), {"eps": 0.5})
    yield Sample("batch of 2 signals, one channel", arrays(2, 1, 4))
    yield Sample("batch of 1", arrays(1, 3), {"eps": 0.1})
    yield Sample("far from 0", (30.0 + x, gamma, beta))
