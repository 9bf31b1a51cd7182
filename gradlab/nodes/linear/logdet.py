"""Logarithm of the size of a determinant, of a matrix or of each matrix in a stack.

forward:  y = log |det A|, with A of shape (..., N, N), whose determinant may be negative
backward: dA = g A^-T

Source: Jacobi's formula, d det A = det A tr(A^-1 dA), divided by det A: the sign drops out. A matrix
that is singular to working precision is refused.
"""

from collections.abc import Iterator
from typing import Any

import numpy as np

from gradlab.node import Array, Sample
from gradlab.nodes.linear._matrices import check_regular, regular


def forward(A: Array) -> tuple[Array, Any]:
    check_regular(A)
    # the determinant itself overflows for matrices of a few hundred rows
    _, y = np.linalg.slogdet(A)
    return y, A


def backward(residuals: Any, g: Array) -> tuple[Array, ...]:
    A = residuals
    return (g[..., None, None] * np.linalg.inv(A).mT,)


def reference(A: Array) -> Any:
    return np.sum(np.log(np.abs(np.linalg.eigvals(A))), axis=-1)


def samples(rng: np.random.Generator) -> Iterator[Sample]:
    A = regular(rng, 3, 3)
    yield Sample("positive determinant", (A,))
    yield Sample("negative determinant", (A[[1, 0, 2]],))
    yield Sample("stack of 2", (regular(rng, 2, 1, 2, 2),))
    yield Sample("1 by 1, both signs", (np.array([[[2.0]], [[-0.5]]]),))
