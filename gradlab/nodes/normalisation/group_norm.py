"""Group normalisation: each example's channels in groups, each group by its own mean and variance.

forward:  y = gamma u + beta, u = (x - mean) s, s = 1 / sqrt(variance + eps); statistics over the C / groups channels
          of a group and all places, gamma and beta one number a channel (axis 1)
backward: dx = s (d - mean(d) - u mean(d u)) with d = g gamma, means over the group; dgamma = sum of g u and
          dbeta = sum of g, over all axes but 1

Source: Wu and He, 2018, arXiv:1803.08494; one group is layer normalisation, a group a channel is instance
normalisation.
"""

import math
from collections.abc import Iterator
from typing import Any

import numpy as np

from gradlab.node import Array, Sample
from gradlab.nodes.normalisation._statistics import (
    along_channels,
    axes_but_channels,
    check_parameters,
    standardised,
)
from gradlab.sampling import normal


def forward(x: Array, gamma: Array, beta: Array, *, groups: int, eps: float = 1e-5) -> tuple[Array, Any]:
    others = axes_but_channels(x)
    check_parameters(x.shape[1], gamma=gamma, beta=beta)
    if groups < 1 or x.shape[1] % groups:
        raise ValueError(f"{x.shape[1]} channels are not {groups} groups: give a divisor of {x.shape[1]}")
    grouped = len(x), groups, math.prod(x.shape[1:]) // groups
    u, scale = standardised(x.reshape(grouped), (2,), eps)
    factor = along_channels(gamma, x.ndim)
    y = factor * u.reshape(x.shape) + along_channels(beta, x.ndim)
    return y, (u, scale, factor, others)


def backward(residuals: Any, g: Array) -> tuple[Array, ...]:
    u, scale, factor, others = residuals
    d = (g * factor).reshape(u.shape)
    dx = scale * (d - d.mean(axis=2, keepdims=True) - u * (d * u).mean(axis=2, keepdims=True))
    return dx.reshape(g.shape), (g * u.reshape(g.shape)).sum(axis=others), g.sum(axis=others)


def reference(x: Array, gamma: Array, beta: Array, *, groups: int, eps: float = 1e-5) -> Any:
    y = np.empty(x.shape)
    for n in range(len(x)):
        for channels in np.split(np.arange(x.shape[1]), groups):
            group = x[n, channels]
            y[n, channels] = (group - np.average(group)) / np.sqrt(np.var(group) + eps)
    for c in range(x.shape[1]):
        y[:, c] = y[:, c] * gamma[c] + beta[c]
    return y


def samples(rng: np.random.Generator) -> Iterator[Sample]:
    def arrays(*shape: int) -> tuple[Array, ...]:
        return normal(rng, *shape), normal(rng, shape[1]), normal(rng, shape[1])

    yield Sample("2 groups of 2, oblong images", arrays(2, 4, 2, 2), {"groups": 2})
    yield Sample("one group", arrays(2, 3, 2), {"groups": 1})
    yield Sample("a group a channel", arrays(1, 2, 2, 3), {"groups": 2})
    yield Sample("no places, 2 groups of 3", arrays(3, 6), {"groups": 2})
    yield Sample("an eps that shows", arrays(2, 4, 3), {"groups": 2, "eps": 0.5})
