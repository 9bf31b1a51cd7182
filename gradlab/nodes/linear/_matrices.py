"""What operations on square matrices share: arguments checked, and generators of well conditioned samples."""

import numpy as np

from gradlab.node import Array
from gradlab.sampling import normal


def check_square(A: Array) -> None:
    """Say what is wrong with the shape of `A`.

    Raises
    ------
    ValueError
        If it is no square matrix, and no stack of them.
    """
    if A.ndim < 2 or A.shape[-1] != A.shape[-2]:
        raise ValueError(f"A has shape {A.shape}: give a square matrix, or a stack of them, (..., N, N)")


def check_regular(A: Array) -> None:
    """Say what keeps `A` from having an inverse with digits in it.

    A matrix that is singular only but for rounding counts as singular: what LAPACK gives for it is noise.

    Raises
    ------
    ValueError
        If it is no square matrix, and no stack of them, or if one is singular to working precision.
    """
    check_square(A)
    limit = 1 / (max(1, A.shape[-1]) * np.finfo(A.dtype).eps)
    condition = np.linalg.cond(A, 1) if A.size else np.zeros(A.shape[:-2])
    if not np.all(condition < limit):
        raise ValueError(
            f"A, of shape {A.shape}, holds a matrix that is singular to working precision, or not finite: "
            "give one with an inverse, for instance by adding a multiple of the identity"
        )


def regular(rng: np.random.Generator, *shape: int) -> Array:
    """Return random matrices of N by N, normal numbers plus N on the diagonal: clear of the singular ones."""
    return normal(rng, *shape) + shape[-1] * np.eye(shape[-1])


def positive_definite(rng: np.random.Generator, *shape: int) -> Array:
    """Return random symmetric matrices whose eigenvalues are at least 1."""
    A = normal(rng, *shape)
    return np.asarray(A @ A.mT + np.eye(shape[-1]))
