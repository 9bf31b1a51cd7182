"""Solution of a system of linear equations, or of each system in a stack.

forward:  x with A x = b, A of shape (..., N, N); b is one vector, shape (N,), or matrices, shape (..., N, K)
backward: db = A^-T g, dA = -db x^T, each summed over the leading axes along which it was broadcast

Source: x = A^-1 b, and the inverse node; Giles, 2008, Collected matrix derivative results for forward and reverse
mode algorithmic differentiation. An A that is singular to working precision is refused.
"""

from collections.abc import Iterator
from typing import Any

import numpy as np

from gradlab.node import Array, Sample
from gradlab.nodes.broadcasting import unbroadcast
from gradlab.nodes.linear._matrices import check_regular, regular
from gradlab.sampling import normal


def forward(A: Array, b: Array) -> tuple[Array, Any]:
    check_regular(A)
    columns = b[:, None] if b.ndim == 1 else b
    try:
        np.broadcast_shapes(A.shape[:-2], columns.shape[:-2])
        fits = b.ndim > 0 and columns.shape[-2] == A.shape[-1]
    except ValueError:
        fits = False
    if not fits:
        raise ValueError(
            f"b has shape {b.shape} for A of shape {A.shape}: give a vector of {A.shape[-1]}, or "
            f"(..., {A.shape[-1]}, K), with leading axes that can be broadcast"
        )
    x = np.linalg.solve(A, columns)
    return x[..., 0] if b.ndim == 1 else x, (A, x, columns.shape, b.shape)


def backward(residuals: Any, g: Array) -> tuple[Array, ...]:
    A, x, columns_shape, b_shape = residuals
    columns = np.linalg.solve(A.mT, g.reshape(x.shape))
    return unbroadcast(-columns @ x.mT, A.shape), unbroadcast(columns, columns_shape).reshape(b_shape)


def reference(A: Array, b: Array) -> Any:
    return np.linalg.pinv(A) @ b


def samples(rng: np.random.Generator) -> Iterator[Sample]:
    yield Sample("vector", (regular(rng, 3, 3), normal(rng, 3)))
    yield Sample("matrix", (regular(rng, 2, 2), normal(rng, 2, 3)))
    yield Sample("zeros on the diagonal", (np.array([[0.0, 2.0], [-0.5, 0.0]]), normal(rng, 2, 1)))
    yield Sample("a vector for a stack of 3", (regular(rng, 3, 2, 2), normal(rng, 2)))
    yield Sample("both broadcast", (regular(rng, 2, 1, 2, 2), normal(rng, 3, 2, 1)))
