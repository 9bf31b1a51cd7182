"""Matrix product of a batch of rows with a weight matrix.

forward:  out = x W, with x of shape (N, D) and W of shape (D, H)
backward: dx = g W^T, dW = x^T g

Source: Deep Learning from Scratch, chapter 5; index by index, out_nh = sum over d of x_nd W_dh.
"""

from collections.abc import Iterator
from typing import Any

import numpy as np

from gradlab.node import Array, Sample
from gradlab.sampling import normal


def forward(x: Array, W: Array) -> tuple[Array, Any]:
    return x @ W, (x, W)


def backward(residuals: Any, g: Array) -> tuple[Array, ...]:
    x, W = residuals
    return g @ W.T, x.T @ g


def reference(x: Array, W: Array) -> Any:
    return np.einsum("nd,dh->nh", x, W)


def samples(rng: np.random.Generator) -> Iterator[Sample]:
    yield Sample("batch of 2, 3 to 4", (normal(rng, 2, 3), normal(rng, 3, 4)))
    yield Sample("square", (normal(rng, 3, 3), normal(rng, 3, 3)))
    yield Sample("batch of 1", (normal(rng, 1, 3), normal(rng, 3, 2)))
    yield Sample("one column out", (normal(rng, 3, 2), normal(rng, 2, 1)))
    yield Sample("one column in", (normal(rng, 3, 1), normal(rng, 1, 2)))
