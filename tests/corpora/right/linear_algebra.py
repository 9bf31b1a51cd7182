"""Inverse, determinant, factors and eigenvalues of a matrix."""

import numpy as np

from ._entry import normal, right, spd


def inverse(A):
    B = np.linalg.inv(A)
    return B, B


def inverse_backward(B, g):
    return (-B.T @ g @ B.T,)


def det(A):
    d = np.linalg.det(A)
    return d, (A, d)


def det_backward(cache, g):
    A, d = cache
    return (g * d * np.linalg.inv(A).T,)


def slogdet(A):
    sign, logdet = np.linalg.slogdet(A)
    return (sign, logdet), A


def slogdet_backward(A, g):
    _, g_logdet = g
    return (g_logdet * np.linalg.inv(A).T,)


def solve(A, b):
    x = np.linalg.solve(A, b)
    return x, (A, x)


def solve_backward(cache, g):
    A, x = cache
    db = np.linalg.solve(A.T, g)
    return -np.outer(db, x), db


def trace(A):
    return np.trace(A), A


def trace_backward(A, g):
    return (g * np.eye(len(A), dtype=A.dtype),)


def lower_triangle(A, k):
    return np.tril(A, k), k


def lower_triangle_backward(k, g):
    return (np.tril(g, k),)


def diagonal(A):
    return np.diag(A), None


def diagonal_backward(_, g):
    return (np.diag(g),)


def cholesky(A):
    L = np.linalg.cholesky((A + A.T) / 2)
    return L, L


def cholesky_backward(L, g):
    P = np.tril(L.T @ np.tril(g))
    P[np.diag_indices_from(P)] /= 2
    inverse_of_L = np.linalg.inv(L)
    S = inverse_of_L.T @ P @ inverse_of_L
    return ((S + S.T) / 2,)


def eigenvalues(A):
    w, V = np.linalg.eigh((A + A.T) / 2)
    return w, V


def eigenvalues_backward(V, g):
    return ((V * g) @ V.T,)


ENTRIES = [
    right("inverse", inverse, inverse_backward, spd(3)),
    right("det", det, det_backward, normal(3, 3)),
    right("slogdet", slogdet, slogdet_backward, spd(3)),
    right("solve", solve, solve_backward, spd(4), normal(4)),
    right("trace", trace, trace_backward, normal(4, 4)),
    right("lower triangle", lower_triangle, lower_triangle_backward, normal(4, 4), k=-1),
    right("diagonal", diagonal, diagonal_backward, normal(4, 4)),
    right("cholesky", cholesky, cholesky_backward, spd(3)),
    right("eigenvalues", eigenvalues, eigenvalues_backward, normal(4, 4)),
]
