"""Logarithm of softmax over the last axis.

forward:  y_k = x_k - log(sum over j of exp(x_j))
backward: dx = g - softmax(x) * sum over j of g_j

Source: dy_k/dx_j = delta_kj - softmax(x)_j, summed against g.
"""

from collections.abc import Iterator
from typing import Any

import numpy as np

from gradlab.node import Array, Sample
from gradlab.nodes.class_labels import check_scores
from gradlab.sampling import normal


def forward(x: Array) -> tuple[Array, Any]:
    check_scores(x)
    # log_softmax does not see a shift, and with the largest entry at 0 exp cannot overflow
    shifted = x - x.max(axis=-1, keepdims=True)
    y = shifted - np.log(np.sum(np.exp(shifted), axis=-1, keepdims=True))
    return y, y


def backward(residuals: Any, g: Array) -> tuple[Array, ...]:
    y = residuals
    return (g - np.exp(y) * np.sum(g, axis=-1, keepdims=True),)


def reference(x: Array) -> Any:
    from scipy.special import log_softmax

    return log_softmax(x, axis=-1)


def samples(rng: np.random.Generator) -> Iterator[Sample]:
    yield Sample("vector", (normal(rng, 4),))
    yield Sample("batch of 3", (normal(rng, 3, 4),))
    yield Sample("batch of 1", (normal(rng, 1, 3),))
    yield Sample("three axes", (normal(rng, 2, 2, 3),))
    yield Sample("ties, and far from 0", (np.array([[100.0, 100.0, 99.0], [-50.0, -51.0, -51.0]]),))
    yield Sample("a certain class", (np.array([[0.0, -400.0, -30.0], [1.0, 31.0, 401.0]]),))
