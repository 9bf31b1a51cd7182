"""Normalisation by the root mean square of each row, over the last axis.

forward:  y = gamma u, u = x s, s = 1 / sqrt(mean(x^2) + eps), gamma of shape (D,)
backward: dx = s (d - u mean(d u)) with d = g gamma, means over the last axis; dgamma = sum of g u over all rows

Source: Zhang and Sennrich, 2019, arXiv:1910.07467; layer normalisation without the mean.
"""

from collections.abc import Iterator
from typing import Any

import numpy as np

from gradlab.node import Array, Sample
from gradlab.nodes.normalisation._statistics import check_features, inverse_root
from gradlab.sampling import normal


def forward(x: Array, gamma: Array, *, eps: float = 1e-6) -> tuple[Array, Any]:
    check_features(x, gamma=gamma)
    scale = inverse_root(np.mean(x * x, axis=-1, keepdims=True), eps)
    u = x * scale
    return gamma * u, (u, scale, gamma, tuple(range(x.ndim - 1)))


def backward(residuals: Any, g: Array) -> tuple[Array, ...]:
    u, scale, gamma, rows = residuals
    d = g * gamma
    dx = scale * (d - u * (d * u).mean(axis=-1, keepdims=True))
    return dx, (g * u).sum(axis=rows)


def reference(x: Array, gamma: Array, *, eps: float = 1e-6) -> Any:
    length = np.linalg.norm(x, axis=-1)[..., None]
    return gamma * x / np.hypot(length / np.sqrt(x.shape[-1]), np.sqrt(eps))


def samples(rng: np.random.Generator) -> Iterator[Sample]:
    yield Sample("batch of 2, 5 features", (normal(rng, 2, 5), normal(rng, 5)))
    yield Sample("three axes", (normal(rng, 2, 3, 4), normal(rng, 4)))
    yield Sample("one vector", (normal(rng, 4), normal(rng, 4)))
    yield Sample("an eps that shows", (normal(rng, 3, 3), normal(rng, 3)), {"eps": 0.5})
    yield Sample("one feature", (normal(rng, 3, 1), normal(rng, 1)), {"eps": 0.1})
    yield Sample("a row of zeros", (np.array([[0.0, 0.0], [1.0, -2.0]]), normal(rng, 2)), {"eps": 0.2})
