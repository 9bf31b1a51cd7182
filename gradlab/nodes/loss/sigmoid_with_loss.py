"""Sigmoid and binary cross-entropy in one, on logits, averaged over all elements.

forward:  L = (1/N) sum of log(1 + exp(x)) - t x, N the number of elements
backward: dx = g (sigmoid(x) - t) / N

Source: -t log y - (1 - t) log(1 - y) with y = sigmoid(x), simplified; Deep Learning from
Scratch 2, chapter 4.
"""

from collections.abc import Iterator
from typing import Any

import numpy as np

from gradlab.node import Array, Sample
from gradlab.sampling import normal

EQUIVALENT_MUTANTS = {
    "return (g * (y - t) / t.size,)": "y and t have the same shape",
}


def forward(x: Array, t: Array) -> tuple[Array, Any]:
    t = np.asarray(t, dtype=x.dtype)
    if t.shape != x.shape:
        raise ValueError(f"t has shape {t.shape} for logits of shape {x.shape}: give one target per logit")
    # log(1 + exp(x)) without overflow, and without losing small terms
    decay = np.exp(-np.abs(x))
    loss = np.mean(np.maximum(x, 0) + np.log1p(decay) - t * x)
    y = np.where(x >= 0, 1, decay) / (1 + decay)
    return loss, (y, t)


def backward(residuals: Any, g: Array) -> tuple[Array, ...]:
    y, t = residuals
    return (g * (y - t) / y.size,)


def reference(x: Array, t: Array) -> Any:
    from scipy.special import log_expit

    return -np.mean(t * log_expit(x) + (1 - t) * log_expit(-x))


def samples(rng: np.random.Generator) -> Iterator[Sample]:
    yield Sample("vector", (normal(rng, 4),), {"t": np.array([0, 1, 1, 0])})
    yield Sample("column, batch of 3", (normal(rng, 3, 1),), {"t": np.array([[1.0], [0.0], [1.0]])})
    yield Sample("batch of 1", (normal(rng, 1, 1),), {"t": np.array([[1.0]])})
    yield Sample("soft targets, two columns", (normal(rng, 2, 2),), {"t": rng.uniform(size=(2, 2))})
