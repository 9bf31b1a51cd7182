"""Lower Cholesky factor of a positive definite matrix, or of each matrix in a stack.

forward:  L lower triangular, its diagonal positive, with L L^T = (A + A^T) / 2; A of shape (..., N, N)
backward: dA = (S + S^T) / 2, S = L^-T P L^-1, P the lower triangle of L^T g with its diagonal halved

Source: Murray, 2016, Differentiation of the Cholesky decomposition, arXiv:1602.07527. Forward takes the symmetric part
of A, so that every element of A may move alone; the gradient is symmetric, and of g the part above the diagonal,
where L is always 0, does not count.
"""

from collections.abc import Iterator
from typing import Any

import numpy as np

from gradlab.node import Array, Sample
from gradlab.nodes.linear._matrices import check_square, positive_definite
from gradlab.sampling import normal


def forward(A: Array) -> tuple[Array, Any]:
    check_square(A)
    try:
        L = np.linalg.cholesky((A + A.mT) / 2)
    except np.linalg.LinAlgError:
        raise ValueError(
            f"A, of shape {A.shape}, holds a matrix whose symmetric part is not positive definite: "
            "give one that is, for instance by adding a multiple of the identity"
        ) from None
    return L, L


def backward(residuals: Any, g: Array) -> tuple[Array, ...]:
    L = residuals
    whole = L.mT @ g
    P = (np.tril(whole) + np.tril(whole, -1)) / 2
    # this is S^T, which has the same symmetric part
    S = np.linalg.solve(L.mT, np.linalg.solve(L.mT, P).mT)
    return ((S + S.mT) / 2,)


def reference(A: Array) -> Any:
    # with A = V w V^T the R of sqrt(w) V^T = Q R has R^T R = A
    w, V = np.linalg.eigh((A + A.mT) / 2)
    R = np.linalg.qr(np.sqrt(w)[..., None] * V.mT).R
    return R.mT * np.sign(np.diagonal(R, axis1=-2, axis2=-1))[..., None, :]


def samples(rng: np.random.Generator) -> Iterator[Sample]:
    turned = normal(rng, 3, 3)
    yield Sample("symmetric, 3 by 3", (positive_definite(rng, 3, 3),))
    yield Sample("not symmetric", (positive_definite(rng, 3, 3) + turned - turned.T,))
    yield Sample("stack of 2", (positive_definite(rng, 2, 1, 2, 2),))
    yield Sample("1 by 1, stack of 3", (positive_definite(rng, 3, 1, 1),))
