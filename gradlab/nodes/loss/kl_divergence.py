"""Kullback-Leibler divergence of q from p, both rows of probabilities, averaged over the batch.

forward:  L = (1/N) sum over n, k of p_nk log(p_nk / q_nk), terms with p_nk = 0 left out; N the number of rows
backward: dp = g (log(p / q) + 1) / N, dq = -g p / (q N); at p = 0, where the slope along p is infinite, both are 0

Source: the product rule; Kullback and Leibler, 1951, Annals of Mathematical Statistics 22. The rows need not sum to
1: both gradients are those of the sum as it is written.
"""

from collections.abc import Iterator
from typing import Any

import numpy as np

from gradlab.node import Array, Sample
from gradlab.nodes.class_labels import batch_size
from gradlab.sampling import positive, probabilities


def forward(p: Array, q: Array) -> tuple[Array, Any]:
    if p.shape != q.shape:
        raise ValueError(f"p has shape {p.shape}, q {q.shape}: give rows of the same shape")
    count = batch_size(p)
    present = p != 0
    ratio = np.where(present, p, 1) / np.where(present, q, 1)
    log_ratio = np.log(ratio)
    return np.sum(p * log_ratio) / count, (present / p.dtype.type(count), ratio, log_ratio)


def backward(residuals: Any, g: Array) -> tuple[Array, ...]:
    weight, ratio, log_ratio = residuals
    return g * weight * (log_ratio + 1), -g * weight * ratio


def reference(p: Array, q: Array) -> Any:
    from scipy.special import rel_entr

    return rel_entr(p, q).sum(axis=-1).mean()


def samples(rng: np.random.Generator) -> Iterator[Sample]:
    p = probabilities(rng, 2, 3)
    yield Sample("batch of 3", (probabilities(rng, 3, 4), probabilities(rng, 3, 4)))
    yield Sample("one row", (probabilities(rng, 5), probabilities(rng, 5)))
    yield Sample("batch of 1, two classes", (probabilities(rng, 1, 2), probabilities(rng, 1, 2)))
    yield Sample("rows that do not sum to 1", (positive(rng, 2, 3), positive(rng, 2, 3)))
    yield Sample("equal", (p, p.copy()))
    yield Sample("rare events", (np.array([1e-3, 0.9, 0.099]), np.array([0.9, 1e-3, 0.099])))
