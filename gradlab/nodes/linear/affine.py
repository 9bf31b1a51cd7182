"""Affine layer: a matrix product plus a bias.

forward:  out = x W + b, with x of shape (N, ...) flattened to (N, D), W of shape (D, H), b of shape (H,)
backward: dx = g W^T in x's shape, dW = x^T g, db = sum of g over the batch

Source: Deep Learning from Scratch, chapter 5: the matmul node, and the repeat node for the bias.
"""

import math
from collections.abc import Iterator
from typing import Any

import numpy as np

from gradlab.node import Array, Sample
from gradlab.sampling import normal


def forward(x: Array, W: Array, b: Array) -> tuple[Array, Any]:
    features = math.prod(x.shape[1:])
    if x.ndim < 1 or W.ndim != 2 or len(W) != features or b.shape != W.shape[1:]:
        raise ValueError(f"x has shape {x.shape}, W {W.shape}, b {b.shape}: give (N, ...), (D, H) and (H,)")
    rows = x.reshape(len(x), features)
    return rows @ W + b, (rows, W, x.shape)


def backward(residuals: Any, g: Array) -> tuple[Array, ...]:
    rows, W, shape = residuals
    return (g @ W.T).reshape(shape), rows.T @ g, g.sum(axis=0)


def reference(x: Array, W: Array, b: Array) -> Any:
    return np.tensordot(x, W.reshape(*x.shape[1:], -1), axes=x.ndim - 1) + b


def samples(rng: np.random.Generator) -> Iterator[Sample]:
    yield Sample("batch of 2, 3 to 4", (normal(rng, 2, 3), normal(rng, 3, 4), normal(rng, 4)))
    yield Sample("square", (normal(rng, 3, 3), normal(rng, 3, 3), normal(rng, 3)))
    yield Sample("batch of 1", (normal(rng, 1, 3), normal(rng, 3, 2), normal(rng, 2)))
    yield Sample("one unit", (normal(rng, 3, 2), normal(rng, 2, 1), normal(rng, 1)))
    yield Sample("images, flattened", (normal(rng, 2, 1, 2, 3), normal(rng, 6, 2), normal(rng, 2)))
