"""Matrix product of stacks of matrices, whose leading axes are broadcast against one another.

forward:  out = x y, with x of shape (..., N, D) and y of shape (..., D, H)
backward: dx = g y^T, dy = x^T g, matrix by matrix, each summed over the leading axes along which it was broadcast

Source: the matmul node, for each pair of matrices; a matrix that is part of several pairs adds up their gradients.
"""

from collections.abc import Iterator
from typing import Any

import numpy as np

from gradlab.node import Array, Sample
from gradlab.nodes.broadcasting import unbroadcast
from gradlab.sampling import normal


def forward(x: Array, y: Array) -> tuple[Array, Any]:
    try:
        # of vectors numpy makes a matrix with one row, or one column
        if min(x.ndim, y.ndim) < 2:
            raise ValueError
        return x @ y, (x, y)
    except ValueError:
        raise ValueError(
            f"x has shape {x.shape}, y {y.shape}: "
            "give (..., N, D) and (..., D, H), with leading axes that can be broadcast"
        ) from None


def backward(residuals: Any, g: Array) -> tuple[Array, ...]:
    x, y = residuals
    return unbroadcast(g @ y.mT, x.shape), unbroadcast(x.mT @ g, y.shape)


def reference(x: Array, y: Array) -> Any:
    return np.einsum("...nd,...dh->...nh", x, y)


def samples(rng: np.random.Generator) -> Iterator[Sample]:
    yield Sample("stack of 3", (normal(rng, 3, 1, 2), normal(rng, 3, 2, 2)))
    yield Sample("square, stack of 1", (normal(rng, 1, 2, 2), normal(rng, 1, 2, 2)))
    yield Sample("one matrix for a batch of 2", (normal(rng, 2, 2, 3), normal(rng, 3, 1)))
    yield Sample("both broadcast", (normal(rng, 2, 1, 1, 2), normal(rng, 3, 2, 1)))
