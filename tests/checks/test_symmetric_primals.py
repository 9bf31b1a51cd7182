"""Matrices that are given as symmetric, to a forward that reads one triangle of them."""

import numpy as np
import pytest

from gradlab import check_gradient, check_vjp


def positive_definite(n, seed=0):
    a = np.random.default_rng(seed).standard_normal((n, n))
    return a @ a.T + n * np.eye(n)


def cholesky(a):
    lower = np.linalg.cholesky(a)
    return lower, lower


def cholesky_gradient(lower, g):
    # Murray, "Differentiation of the Cholesky decomposition" (2016), equation 10
    p = np.tril(lower.T @ np.tril(g))
    p[np.diag_indices_from(p)] /= 2
    inverse = np.linalg.inv(lower)
    s = inverse.T @ p @ inverse
    return (s + s.T) / 2


WRONG = {
    "a little": lambda d: 1.001 * d,
    "both entries' slope in each": lambda d: 2 * d - np.diag(np.diag(d)),
    "the other triangle alone": lambda d: np.triu(2 * d) - np.diag(np.diag(d)),
    "one entry": lambda d: d + 0.1 * np.abs(d).max() * (np.arange(d.size).reshape(d.shape) == 1),
    "two mirrored entries": lambda d: d + 0.1 * (np.eye(len(d), k=1) + np.eye(len(d), k=-1)),
    "the diagonal": lambda d: d + 0.1 * np.eye(len(d)),
}


@pytest.mark.parametrize("n", [2, 3, 12])
def test_the_symmetric_gradient_is_right(n):
    backward = lambda low, g: (cholesky_gradient(low, g),)
    report = check_vjp(cholesky, backward, (positive_definite(n),))
    report.raise_if_failed()
    # not even beyond the given point, where the matrix is symmetric no more
    assert all(row.verdict != "warning" for row in report.rows if row.check == "matches_numerical")


def test_so_is_that_of_the_triangle_that_is_read():
    triangle = lambda d: np.tril(2 * d) - np.diag(np.diag(d))
    check_vjp(
        cholesky,
        lambda low, g: (triangle(cholesky_gradient(low, g)),),
        (positive_definite(3),),
        explore=False,
    ).raise_if_failed()


@pytest.mark.parametrize("name", WRONG)
def test_a_wrong_one_is_found(name):
    backward = lambda low, g: (WRONG[name](cholesky_gradient(low, g)),)
    assert not check_vjp(cholesky, backward, (positive_definite(3),), explore=False).ok


def test_a_wrong_triangle_is_told_by_its_own_entries():
    a, off = positive_definite(3), lambda d: (np.tril(2 * d) - np.diag(np.diag(d))) * (1 + 1e-3 * np.eye(3))
    report = check_vjp(cholesky, lambda low, g: (off(cholesky_gradient(low, g)),), (a,), explore=False)
    told = next(row for row in report.rows if row.verdict == "wrong")
    assert "mirror" not in told.note
    assert told.relative_error == pytest.approx(1e-3, rel=1e-2)


def test_a_symmetric_gradient_is_wrong_where_the_matrix_is_not():
    a = positive_definite(3) + np.triu(np.ones((3, 3)), 1)
    report = check_vjp(cholesky, lambda low, g: (cholesky_gradient(low, g),), (a,), explore=False)
    assert not report.ok


def test_a_symmetric_gradient_of_a_forward_that_reads_all_is_judged_entry_by_entry():
    weights = np.arange(9.0).reshape(3, 3)
    turned = lambda a: (weights + weights.T) / 2
    assert not check_gradient(lambda a: float(np.sum(weights * a)), turned, positive_definite(3)).ok
