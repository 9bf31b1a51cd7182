"""Negative sampling: the right word against a few drawn wrong ones, averaged over the batch.

forward:  L = (1/N) sum over n of log(1 + exp(-h_n . W_i)) + sum over k of log(1 + exp(h_n . W_j)), i = target_n and
          j = negatives_nk
backward: with d = g (sigmoid(h_n . W_id) - [id is the target]) / N for each id: dh_n = sum over ids of d W_id,
          dW_id += d h_n, a repeated id adding up

Source: sigmoid with loss behind a dot product with rows that were picked; Deep Learning from Scratch 2, chapter 4.
h has the shape (N, D), W (V, D), target (N,) and negatives (N, K).
"""

from collections.abc import Iterator
from typing import Any

import numpy as np

from gradlab.node import Array, Sample
from gradlab.sampling import normal

EQUIVALENT_MUTANTS = {"dW = -np.zeros_like(W)": "-0.0 is 0"}


def forward(h: Array, W: Array, *, target: Array, negatives: Array) -> tuple[Array, Any]:
    ids = _ids(h, W, target, negatives)
    rows = W[ids]
    scores = np.matmul(rows, h[:, :, None])[:, :, 0]
    # a right word should score high, a wrong one low: what is to be small for all of them
    scores[:, 0] *= -1
    decay = np.exp(-np.abs(scores))
    loss = np.sum(np.maximum(scores, 0) + np.log1p(decay)) / len(h)
    slope = np.where(scores >= 0, 1, decay) / (1 + decay) / len(h)
    slope[:, 0] *= -1
    return loss, (slope, rows, h, ids, W)


def _ids(h: Array, W: Array, target: Array, negatives: Array) -> Array:
    """Return target and negatives side by side, shape (N, 1 + K)."""
    if h.ndim != 2 or W.ndim != 2 or h.shape[1] != W.shape[1]:
        raise ValueError(f"h has shape {h.shape}, W {W.shape}: give (N, D) and (V, D)")
    whole = all(np.issubdtype(ids.dtype, np.integer) for ids in (target, negatives))
    if not whole or target.shape != h.shape[:1] or negatives.ndim != 2 or len(negatives) != len(h):
        raise ValueError(
            f"target has shape {target.shape}, negatives {negatives.shape}: "
            f"give whole numbers of shape ({len(h)},) and ({len(h)}, K)"
        )
    ids = np.concatenate([target[:, None], negatives], axis=1)
    outside = ids[(ids < 0) | (ids >= len(W))]
    if outside.size:
        raise ValueError(f"the id {outside[0]} is no row of W: give 0 to {len(W) - 1}")
    return ids


def backward(residuals: Any, g: Array) -> tuple[Array, ...]:
    slope, rows, h, ids, W = residuals
    d = (g * slope)[:, :, None]
    dW = np.zeros_like(W)
    np.add.at(dW, ids, d * h[:, None, :])
    return (d * rows).sum(axis=1), dW


def reference(h: Array, W: Array, *, target: Array, negatives: Array) -> Any:
    from scipy.special import log_expit

    scores = h @ W.T
    every = np.arange(len(h))
    right, wrong = log_expit(scores[every, target]), log_expit(-scores)
    return -np.mean(right + sum((wrong[every, column] for column in negatives.T), np.zeros(len(h))))


def samples(rng: np.random.Generator) -> Iterator[Sample]:
    yield Sample(
        "batch of 3, ids repeated across it",
        (normal(rng, 3, 2), normal(rng, 5, 2)),
        {"target": np.array([1, 4, 1]), "negatives": np.array([[0, 2, 3], [1, 0, 1], [4, 4, 2]])},
    )
    yield Sample(
        "the target among the negatives",
        (normal(rng, 2, 3), normal(rng, 4, 3)),
        {"target": np.array([2, 0]), "negatives": np.array([[2, 1], [3, 0]])},
    )
    yield Sample(
        "batch of 1, one negative",
        (normal(rng, 1, 4), normal(rng, 3, 4)),
        {"target": np.array([0]), "negatives": np.array([[2]])},
    )
    yield Sample(
        "no negatives",
        (normal(rng, 2, 2), normal(rng, 3, 2)),
        {"target": np.array([2, 1]), "negatives": np.zeros((2, 0), dtype=int)},
    )
    yield Sample(
        "scores of 30 and 400",
        (np.array([[2.0, 0.0], [0.0, 20.0]]), np.array([[15.0, -20.0], [-15.0, 20.0], [0.1, 0.2]])),
        {"target": np.array([1, 0]), "negatives": np.array([[0, 2], [1, 2]])},
    )
