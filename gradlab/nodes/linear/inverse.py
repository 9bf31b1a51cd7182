"""Inverse of a matrix, or of each matrix in a stack.

forward:  Y = A^-1, with A of shape (..., N, N)
backward: dA = -Y^T g Y^T

Source: the product rule on A Y = I gives dY = -Y dA Y; Giles, 2008, Collected matrix derivative results for forward
and reverse mode algorithmic differentiation. A matrix that is singular to working precision is refused.
"""

from collections.abc import Iterator
from typing import Any

import numpy as np

from gradlab.node import Array, Sample
from gradlab.nodes.linear._matrices import check_regular, regular


def forward(A: Array) -> tuple[Array, Any]:
    check_regular(A)
    Y = np.linalg.inv(A)
    return Y, Y


def backward(residuals: Any, g: Array) -> tuple[Array, ...]:
    Y = residuals
    return (-Y.mT @ g @ Y.mT,)


def reference(A: Array) -> Any:
    return np.linalg.pinv(A)


def samples(rng: np.random.Generator) -> Iterator[Sample]:
    yield Sample("3 by 3", (regular(rng, 3, 3),))
    yield Sample("zeros on the diagonal", (np.array([[0.0, 2.0], [-0.5, 0.0]]),))
    yield Sample("stack of 2", (regular(rng, 2, 1, 2, 2),))
    yield Sample("1 by 1, stack of 3", (regular(rng, 3, 1, 1),))
