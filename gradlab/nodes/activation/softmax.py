"""Softmax over the last axis.

forward:  y_k = exp(x_k) / sum over j of exp(x_j)
backward: dx = y * (g - sum over j of g_j y_j)

Source: dy_k/dx_j = y_k (delta_kj - y_j), summed against g.
"""

from collections.abc import Iterator
from typing import Any

import numpy as np

from gradlab.node import Array, Sample
from gradlab.nodes.class_labels import check_scores
from gradlab.sampling import normal


def forward(x: Array) -> tuple[Array, Any]:
    check_scores(x)
    # softmax does not see a shift, and with the largest entry at 0 exp cannot overflow
    y = np.exp(x - x.max(axis=-1, keepdims=True))
    y /= y.sum(axis=-1, keepdims=True)
    return y, y


def backward(residuals: Any, g: Array) -> tuple[Array, ...]:
    y = residuals
    return (y * (g - np.sum(g * y, axis=-1, keepdims=True)),)


def reference(x: Array) -> Any:
    from scipy.special import softmax

    return softmax(x, axis=-1)


def samples(rng: np.random.Generator) -> Iterator[Sample]:
    yield Sample("vector", (normal(rng, 4),))
    yield Sample("batch of 3", (normal(rng, 3, 4),))
    yield Sample("batch of 1", (normal(rng, 1, 3),))
    yield Sample("three axes", (normal(rng, 2, 2, 3),))
    yield Sample("ties, and far from 0", (np.array([[100.0, 100.0, 99.0], [-50.0, -51.0, -51.0]]),))
