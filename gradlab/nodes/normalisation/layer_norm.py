"""Layer normalisation: each row by its own mean and variance over the last axis.

forward:  y = gamma u + beta, u = (x - mean) s, s = 1 / sqrt(variance + eps); the variance with 1/D, D the size of the
          last axis, gamma and beta of shape (D,)
backward: dx = s (d - mean(d) - u mean(d u)) with d = g gamma, means over the last axis; dgamma = sum of g u and
          dbeta = sum of g, over all rows

Source: Ba, Kiros and Hinton, 2016, arXiv:1607.06450; the two means come from the derivatives of mean and variance,
which every element of the row enters.
"""

from collections.abc import Iterator
from typing import Any

import numpy as np

from gradlab.node import Array, Sample
from gradlab.nodes.normalisation._statistics import check_features, standardised
from gradlab.sampling import normal


def forward(x: Array, gamma: Array, beta: Array, *, eps: float = 1e-5) -> tuple[Array, Any]:
    check_features(x, gamma=gamma, beta=beta)
    u, scale = standardised(x, (-1,), eps)
    return gamma * u + beta, (u, scale, gamma, tuple(range(x.ndim - 1)))


def backward(residuals: Any, g: Array) -> tuple[Array, ...]:
    u, scale, gamma, rows = residuals
    gu, dx = g * u, g * gamma
    # means over each row, of g gamma and of g gamma u
    mean, along_u = (d @ gamma[:, None] / len(gamma) for d in (g, gu))
    dgamma = gu.sum(axis=rows)
    dx -= mean
    dx -= np.multiply(along_u, u, out=gu)
    dx *= scale
    return dx, dgamma, g.sum(axis=rows)


def reference(x: Array, gamma: Array, beta: Array, *, eps: float = 1e-5) -> Any:
    rows = [(r - np.average(r)) / np.sqrt(np.var(r) + eps) for r in x.reshape(-1, x.shape[-1])]
    return np.reshape(rows, x.shape) * gamma + beta


def samples(rng: np.random.Generator) -> Iterator[Sample]:
    def arrays(*shape: int) -> tuple[Array, ...]:
        return normal(rng, *shape), normal(rng, shape[-1]), normal(rng, shape[-1])

    x, gamma, beta = arrays(2, 4)
    yield Sample("batch of 2, 5 features", arrays(2, 5))
    yield Sample("three axes", arrays(2, 3, 4))
    yield Sample("one vector", arrays(4))
    yield Sample("an eps that shows", arrays(3, 3), {"eps": 0.5})
    yield Sample("one feature", arrays(3, 1), {"eps": 0.1})
    yield Sample("far from 0", (30.0 + x, gamma, beta))
