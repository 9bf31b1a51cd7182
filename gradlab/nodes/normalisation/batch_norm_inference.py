"""Batch normalisation in use: each channel by a mean and a variance that were fixed in training.

forward:  y = gamma u + beta, u = (x - mean) / sqrt(variance + eps), for each channel (axis 1)
backward: dx = g gamma / sqrt(variance + eps), dgamma = sum of g u, dbeta = sum of g, sums over all axes but 1

Source: linear in x, since the statistics are settings; Ioffe and Szegedy, 2015, arXiv:1502.03167, algorithm 2.
"""

from collections.abc import Iterator
from typing import Any

import numpy as np

from gradlab.node import Array, Sample
from gradlab.nodes.normalisation._statistics import (
    along_channels,
    axes_but_channels,
    check_parameters,
    inverse_root,
)
from gradlab.sampling import normal, positive


def forward(
    x: Array, gamma: Array, beta: Array, *, mean: Array, variance: Array, eps: float = 1e-5
) -> tuple[Array, Any]:
    axes = axes_but_channels(x)
    check_parameters(x.shape[1], gamma=gamma, beta=beta, mean=mean, variance=variance)
    if (variance < 0).any():
        raise ValueError(f"variance holds {variance.min()}: give no negative numbers")
    scale = along_channels(inverse_root(variance, eps), x.ndim)
    u = (x - along_channels(mean, x.ndim)) * scale
    factor = along_channels(gamma, x.ndim)
    return factor * u + along_channels(beta, x.ndim), (u, factor * scale, axes)


def backward(residuals: Any, g: Array) -> tuple[Array, ...]:
    u, factor, axes = residuals
    return g * factor, (g * u).sum(axis=axes), g.sum(axis=axes)


def reference(x: Array, gamma: Array, beta: Array, *, mean: Array, variance: Array, eps: float = 1e-5) -> Any:
    slope = gamma / np.sqrt(variance + eps)
    return np.einsum("nc...,c->nc...", x, slope) + np.expand_dims(
        beta - mean * slope, tuple(range(1, x.ndim - 1))
    )


def samples(rng: np.random.Generator) -> Iterator[Sample]:
    def arrays(*shape: int) -> tuple[Array, ...]:
        return normal(rng, *shape), normal(rng, shape[1]), normal(rng, shape[1])

    def statistics(count: int) -> dict[str, Array]:
        return {"mean": normal(rng, count), "variance": positive(rng, count)}

    yield Sample("batch of 4, 3 features", arrays(4, 3), statistics(3))
    yield Sample("images, oblong", arrays(2, 3, 2, 3), statistics(3))
    yield Sample("an eps that shows", arrays(3, 3), {**statistics(3), "eps": 0.5})
    yield Sample("batch of 1", arrays(1, 2), statistics(2))
    yield Sample("variance 0", arrays(2, 1, 2), {"mean": np.array([0.3]), "variance": np.array([0.0])})
