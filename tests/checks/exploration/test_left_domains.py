"""Derived points at which a function has left its domain: poles, matrices without an inverse, values cut off."""

import numpy as np
import pytest

from gradlab import check_gradient, check_vjp

EPS = np.finfo(float).eps
SHARES = np.array([0.12, 0.5, 0.93])


def log_odds(p):
    p = np.clip(p, EPS, 1 - EPS)
    return np.sum(np.log(p / (1 - p)))


def d_log_odds(p):
    p = np.clip(p, EPS, 1 - EPS)
    return 1 / (p * (1 - p))


def log_determinant(a):
    return np.linalg.slogdet(a)[1]


def test_a_slope_beside_a_pole_is_not_judged():
    report = check_gradient(log_odds, d_log_odds, SHARES)
    assert {row.verdict for row in report.rows} == {"pass"}


@pytest.mark.parametrize("seed", range(10))
def test_a_matrix_that_is_singular_but_for_rounding_is_not_judged(seed):
    a = np.random.default_rng(seed).standard_normal((4, 4))
    report = check_gradient(log_determinant, lambda a: np.linalg.inv(a).T, a)
    assert {row.verdict for row in report.rows} == {"pass"}


def test_an_ordinary_fault_is_told_all_the_same():
    def wrong_far_out(p):
        return np.where(p > 1.5, 5.0, 2 * p)

    report = check_gradient(lambda p: np.sum(p * p), wrong_far_out, SHARES)
    assert report.ok
    (warning,) = [row for row in report.rows if row.verdict == "warning"]
    assert warning.note.startswith("beyond the given point: ")


def test_a_gradient_of_zeros_at_the_given_point_is_no_measure():
    # at a minimum every gradient elsewhere is many times as large
    wrong = lambda x: np.where(x > 0.4, 7.0, 2 * x)
    report = check_gradient(lambda x: np.sum(x * x) + 1, wrong, np.zeros(3))
    assert [row.verdict for row in report.rows if row.check == "matches_numerical"][-1] == "warning"


def residuals_of_the_first_call():
    kept = []

    def forward(x):
        kept.append(x.copy())
        return x * x, kept[0]

    return forward, lambda x, g: (2 * x * g,)


def test_what_was_kept_from_the_first_call_is_named():
    report = check_vjp(*residuals_of_the_first_call(), (SHARES,), checks=["repeatable"], strict=False)
    assert not report.ok
    assert "residuals of another" in report.rows[0].note


def test_a_gradient_that_is_wrong_at_a_second_point_alone_holds_no_residuals():
    # a score that is right where x @ b is positive
    rows, y = np.array([[1.0, 0.1], [1.0, -0.2], [1.0, 0.3]]), np.array([1.0, 0.0, 2.0])
    loglike = lambda b: np.sum(y * np.log((rows @ b) ** 2) - (rows @ b) ** 2)
    score = lambda b: rows.T @ ((y - (rows @ b) ** 2) / (rows @ b) ** 2 * 2 * np.abs(rows @ b))
    report = check_gradient(loglike, score, np.array([1.5, -0.9]), checks=["repeatable"], explore=False)
    assert report.ok
