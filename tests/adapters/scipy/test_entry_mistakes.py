"""Mistakes in a Jacobian, told by its columns and rows; each beside the right one, which has none."""

import numpy as np
import pytest

from gradlab import check_jacobian

X = np.array([0.7, -1.2, 1.9])


def f(x):
    return np.stack([x[0] ** 2 * x[1], np.sin(x[1]) + x[2], x[0] * x[2] ** 2, x[0] + x[1] * x[2]])


def jac(x):
    return np.array([
        [2 * x[0] * x[1], x[0] ** 2, 0],
        [0, np.cos(x[1]), 1],
        [x[2] ** 2, 0, 2 * x[0] * x[2]],
        [1, x[2], x[1]],
    ])  # fmt: skip


def square(x):
    return np.array([x[0] * x[1], x[1] * x[2] ** 2, x[2] * x[0]])


def square_jac(x):
    return np.array([[x[1], x[0], 0], [0, x[2] ** 2, 2 * x[1] * x[2]], [x[2], 0, x[0]]])


def columns(change):
    def changed(x):
        J = jac(x)
        change(J)
        return J

    return changed


def negate(J):
    J[:, 1] *= -1


def double_rows(J):
    J[1:3] *= 2


def exchange(J):
    J[:, [0, 2]] = J[:, [2, 0]]


def turn_round(J):
    J[...] = J[:, ::-1].copy()


def empty(J):
    J[:, 2] = 0


def spoil_column(J):
    J[:, 1] += [0.1, 0.2, 0.3, -0.4]


@pytest.mark.parametrize(
    ("change", "name", "said"),
    [
        (negate, "sign-flipped", "analytic = -numerical in column 1"),
        (double_rows, "constant-factor", "analytic = 2 numerical in rows 1 and 2"),
        (exchange, "columns-exchanged", "columns 0 and 2 stand in each other's place"),
        (turn_round, "columns-exchanged", "columns 0 and 2 stand in each other's place"),
        (empty, "missing-term", "column 2 of it: empty"),
        (spoil_column, "masked-region", "column 1 alone is wrong"),
    ],
)
def test_columns_and_rows_that_are_wrong_are_named(change, name, said):
    first = check_jacobian(f, columns(change), X).faults[0]
    assert first.name == name
    assert said in first.sentence


def test_a_diagonal_alone_and_rows_in_another_order():
    alone = check_jacobian(square, lambda x: np.diag(np.diag(square_jac(x))), X).faults[0]
    assert (alone.name, "its diagonal is right" in alone.sentence) == ("missing-term", True)
    moved = check_jacobian(square, lambda x: square_jac(x)[[1, 2, 0]], X).faults[0]
    assert moved.name == "columns-exchanged"
    assert "its rows are the right ones in the order 1, 2, 0" in moved.sentence


def test_what_is_right_has_no_mistake_and_what_fits_nothing_has_none():
    assert check_jacobian(f, jac, X).ok
    assert check_jacobian(square, square_jac, X).ok
    noise = np.random.default_rng(0).standard_normal((4, 3))
    report = check_jacobian(f, lambda x: jac(x) + noise, X)
    assert not report.ok
    assert all("jac" not in fault.primal for fault in report.faults if fault.confidence)
