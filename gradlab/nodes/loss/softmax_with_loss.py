"""Softmax and cross-entropy in one, on scores, averaged over the batch.

forward:  L = (1/N) sum over n, k of t_nk (logsumexp(x_n) - x_nk)
backward: dx = g (softmax(x) * sum over k of t - t) / N

Source: Deep Learning from Scratch, chapter 5 and appendix A, where the rows of t sum to 1 and dx is
(y - t) / N. Computed through log-sum-exp, so that no logarithm sees a probability that was rounded to 0.
"""

from collections.abc import Iterator
from typing import Any

import numpy as np

from gradlab.node import Array, Sample
from gradlab.nodes.class_labels import batch_size, target_rows
from gradlab.sampling import labels, normal, one_hot, positive


def forward(x: Array, t: Array) -> tuple[Array, Any]:
    t = target_rows(t, x)
    shifted = x - x.max(axis=-1, keepdims=True)
    weights = t.sum(axis=-1, keepdims=True)
    picked = np.einsum("...k,...k->...", t, shifted)
    y = np.exp(shifted, out=shifted)
    total = y.sum(axis=-1, keepdims=True)
    y /= total
    count = batch_size(x)
    return (np.sum(weights * np.log(total)) - np.sum(picked)) / count, (y, t, weights, count)


def backward(residuals: Any, g: Array) -> tuple[Array, ...]:
    y, t, weights, count = residuals
    return ((y * weights - t) * (g / count),)


def reference(x: Array, t: Array) -> Any:
    from scipy.special import log_softmax

    return -(target_rows(t, x) * log_softmax(x, axis=-1)).sum(axis=-1).mean()


def samples(rng: np.random.Generator) -> Iterator[Sample]:
    yield Sample("one example, one-hot", (normal(rng, 4),), {"t": np.array([0.0, 0.0, 1.0, 0.0])})
    yield Sample("batch of 3, class indices", (normal(rng, 3, 4),), {"t": labels(rng, 3, 4)})
    yield Sample("batch of 1, one-hot", (normal(rng, 1, 3),), {"t": one_hot(rng, 1, 3)})
    yield Sample("targets that do not sum to 1", (normal(rng, 3, 3),), {"t": positive(rng, 3, 3)})
    yield Sample("far from 0", (normal(rng, 2, 3) + 500.0,), {"t": one_hot(rng, 2, 3)})
