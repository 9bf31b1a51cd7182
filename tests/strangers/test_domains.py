"""Functions with a domain, as libraries write them: clipped at its edges, singular in places, saturated far away."""

import numpy as np
import pytest
from scipy.special import xlogy

from gradlab import Verdict, check_gradient, check_vjp

EPS = float(np.finfo(float).eps)
DESIGN = np.array([[1.0, -0.6], [1.0, 0.2], [1.0, 0.9], [1.0, -1.4]])
LABELS = np.array([0.0, 1.0, 1.0, 0.0])
COUNTS = np.array([1.0, 0.0, 2.0, 1.0])
# Where exp would overflow, as generalised linear models clip it.
LIMIT = np.log(np.finfo(float).max) - 1


def link(p):
    p = np.clip(p, EPS, 1 - EPS)
    return float(np.sum(np.log(p / (1 - p))))


def d_link(p):
    p = np.clip(p, EPS, 1 - EPS)
    return 1 / (p * (1 - p))


def log_loss(b):
    p = np.clip(1 / (1 + np.exp(-DESIGN @ b)), 1e-10, 1 - 1e-10)
    return float(-np.sum(xlogy(LABELS, p) + xlogy(1 - LABELS, 1 - p)))


def d_log_loss(b):
    # as if nothing were clipped
    return DESIGN.T @ (1 / (1 + np.exp(-DESIGN @ b)) - LABELS)


def counted(b):
    eta = DESIGN @ b
    return float(np.sum(COUNTS * eta - np.exp(np.minimum(eta, LIMIT))))


def d_counted(b):
    return DESIGN.T @ (COUNTS - np.exp(np.minimum(DESIGN @ b, LIMIT)))


def kernel(scale):
    return float(np.sum(1 / (1 + 3 / np.exp(scale) ** 2)))


def d_kernel(scale):
    squared = np.exp(scale) ** 2
    return 6 * squared / (squared + 3) ** 2


def power(x):
    return float(np.sum(x**1.3))


def d_power(x):
    return 1.3 * x**0.3


def rational(t):
    return float(np.log(t[0]) + 3 * t[1] ** 2 / t[0])


def d_rational(t):
    return np.array([1 / t[0] - 3 * t[1] ** 2 / t[0] ** 2, 6 * t[1] / t[0]])


def sinc(x):
    return float(np.sum(np.sinc(x / np.pi)))


def d_sinc(x):
    # 0 / 0 at 0, where the sine over x has a slope
    return np.cos(x) / x - np.sin(x) / x**2


def valley(x):
    return float(100 * (x[1] - x[0] ** 2) ** 2 + (1 - x[0]) ** 2)


def d_valley(x):
    along = x[1] - x[0] ** 2
    return np.array([-400 * x[0] * along - 2 * (1 - x[0]), 200 * along])


FUNCTIONS = {
    "a link, clipped": (link, d_link, [0.12, 0.5, 0.93]),
    "a log loss, clipped in forward alone": (log_loss, d_log_loss, [0.3, 0.7]),
    "counts, the exponential clipped": (counted, d_counted, [0.1, -0.2]),
    "a kernel of a log length scale": (kernel, d_kernel, [0.3]),
    "a power between 1 and 2": (power, d_power, [0.7, 1.3]),
    "a positive first unknown": (rational, d_rational, [0.7, 0.3]),
    "a removable pole": (sinc, d_sinc, [0.7, 0.3]),
    "a function of two unknowns": (valley, d_valley, [-1.2, 1.0]),
}


@pytest.mark.filterwarnings("ignore::RuntimeWarning")
@pytest.mark.parametrize("name", FUNCTIONS)
def test_what_is_right_where_it_was_given_is_not_accused(name):
    function, gradient, x = FUNCTIONS[name]
    report = check_gradient(function, gradient, np.array(x))
    report.raise_if_failed()
    assert not [row for row in report.rows if row.verdict is Verdict.WRONG]


@pytest.mark.filterwarnings("ignore::RuntimeWarning")
@pytest.mark.parametrize("name", FUNCTIONS)
def test_a_small_error_in_it_is_found(name):
    function, gradient, x = FUNCTIONS[name]

    def off_by_little(x):
        found = gradient(x).copy()
        found[-1] *= 1.001
        return found

    report = check_gradient(function, off_by_little, np.array(x))
    assert any(row.verdict is Verdict.WRONG and row.sample == "given" for row in report.rows)


def test_a_power_at_the_edge_of_its_domain_has_the_slope_zero():
    # (slopes that approach 0 as a small power of the step are not known well enough for a pass)
    with np.errstate(all="ignore"):
        report = check_gradient(power, d_power, np.array([0.0, 1.3]), explore=False)
        assert all(row.verdict is not Verdict.WRONG for row in report.rows)
        twice = check_gradient(power, lambda x: 2 * d_power(x) + 0.1, np.array([0.0, 1.3]), explore=False)
        assert any(row.verdict is Verdict.WRONG for row in twice.rows)


def test_a_score_that_is_right_on_one_branch_has_no_residuals_to_mix_up():
    # the square root's slope is taken for positive: right where all of X b are
    X = np.array([[1.0, 0.1], [1.0, -0.2], [1.0, 0.3]])
    y = np.array([1.0, 0.0, 2.0])

    def likelihood(b):
        mean = (X @ b) ** 2
        return float(np.sum(y * np.log(mean) - mean))

    def score(b):
        mean = (X @ b) ** 2
        return X.T @ ((y - mean) / mean * 2 * np.sqrt(mean))

    with np.errstate(all="ignore"):
        report = check_gradient(likelihood, score, np.array([1.5, -0.9]))
    assert not [row for row in report.rows if row.check == "repeatable" and row.verdict is Verdict.WRONG]


def test_a_staircase_finer_than_any_step_may_have_the_slope_zero():
    rounded = lambda x: float(np.sum(np.round(x, 3)))
    for slope in (0.0, 1.0):
        report = check_gradient(rounded, lambda x, slope=slope: 0 * x + slope, np.array([0.71234, -1.9]))
        assert all(row.verdict is not Verdict.WRONG for row in report.rows)
    assert not check_gradient(rounded, lambda x: 0 * x - 1, np.array([0.71234, -1.9])).ok


@pytest.mark.parametrize("seed", range(6))
def test_a_matrix_that_exploring_makes_singular(seed):
    a = np.random.default_rng(seed).standard_normal((3, 3)) + 3 * np.eye(3)
    volume = lambda a: (np.linalg.slogdet(a)[1], a)
    check_vjp(volume, lambda a, g: (g * np.linalg.inv(a).T,), (a,)).raise_if_failed()
    assert not check_vjp(volume, lambda a, g: (g * np.linalg.inv(a),), (a,)).ok


def cross_entropy(x, labels):
    top = x.max(axis=1, keepdims=True)
    total = np.log(np.exp(x - top).sum(axis=1, keepdims=True)) + top
    rows = np.arange(len(x))
    return (total[:, 0] - x[rows, labels]), (np.exp(x - total), labels)


def d_cross_entropy(residuals, g):
    p, labels = residuals
    return ((p - np.eye(p.shape[1], dtype=p.dtype)[labels]) * g[:, None],)


def test_a_saturated_loss_whose_gradient_is_all_cancellation():
    # where the label's probability is 1 - 1e-8 the last digits of p - 1 are rounding, another for every cotangent
    x, labels = 2 * np.random.default_rng(3).standard_normal((4, 3)), np.array([0, 2, 1, 1])
    check_vjp(cross_entropy, d_cross_entropy, (x,), settings={"labels": labels}).raise_if_failed()
    saturates = lambda residuals, g: tuple(np.clip(d, -0.2, 0.2) for d in d_cross_entropy(residuals, g))
    assert not check_vjp(cross_entropy, saturates, (x,), settings={"labels": labels}).ok
