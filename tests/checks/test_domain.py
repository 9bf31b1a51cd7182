"""`domain=`: what is derived from the given primals is brought to where the function is meant for."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays

from gradlab import check_gradient, check_vjp
from gradlab.checks.trial.domain import brought_inside, domains_of

numbers = arrays(np.float64, (2, 3), elements=st.floats(-1e6, 1e6))


def brought(domain, x):
    return brought_inside(domains_of(domain), ["x"], [x])[0]


@given(numbers)
def test_every_number_is_brought_inside_and_what_lies_inside_stays(x):
    for domain, lies_inside in (
        ("positive", lambda y: (y > 0).all()),
        ("unit", lambda y: ((y > 0) & (y < 1)).all()),
        ("simplex", lambda y: (y >= 0).all() and np.allclose(y.sum(axis=-1), 1)),
        ((-2, 3), lambda y: ((y >= -2) & (y <= 3)).all()),
        ((None, 3), lambda y: (y <= 3).all()),
        ((-2, np.inf), lambda y: (y >= -2).all()),
        (np.abs, lambda y: (y >= 0).all()),
    ):
        moved = brought(domain, x)
        assert lies_inside(moved), domain
        assert moved.shape == x.shape
        assert np.array_equal(brought(domain, moved), moved), domain


def test_numbers_that_differ_still_do_at_a_mirror():
    assert np.array_equal(brought((0, 1), np.array([-0.25, 1.5, 2.25])), [0.25, 0.5, 0.25])
    assert np.array_equal(brought((1, None), np.array([-3.0, 2.0])), [5.0, 2.0])


def test_of_single_precision_it_stays():
    for domain in ("positive", "unit", "simplex", (0, 1)):
        assert brought(domain, np.float32([0, 0.5, 2])).dtype == np.float32


def test_a_dict_names_the_primals():
    x, y = brought_inside(domains_of({"y": "positive"}), ["x", "y"], [np.array([-1.0])] * 2)
    assert (x[0], y[0]) == (-1, 1)


@pytest.mark.parametrize("domain", ["negative", (1, 1), (3, 2), (1, 2, 3), 5, {"x": "near"}, [None]])
def test_what_is_no_domain_is_refused_with_the_cure(domain):
    with pytest.raises(ValueError, match=r"domain is .*: give 'positive', 'unit', 'simplex'"):
        check_gradient(np.sum, np.ones_like, np.ones(2), domain=domain)


def test_a_function_that_returns_another_shape_is_told():
    with pytest.raises(ValueError, match=r"domain returned shape \(1,\) for \(3,\)"):
        brought(lambda x: x[:1], np.ones(3))


def test_a_function_that_raises_is_told():
    with pytest.raises(ValueError, match=r"domain raised ZeroDivisionError .*: let it take any array"):
        check_gradient(np.sum, np.ones_like, np.ones(2), domain=lambda x: 1 / 0)


def test_a_primal_that_there_is_not_is_told_with_those_that_there_are():
    with pytest.raises(ValueError, match="domain names y: the primals are x"):
        check_gradient(np.sum, np.ones_like, np.ones(2), domain={"y": "positive"})


EPS = np.finfo(float).eps
SHARES = np.array([0.12, 0.5, 0.93])


def log_odds(p):
    p = np.clip(p, EPS, 1 - EPS)
    return np.sum(np.log(p / (1 - p)))


def d_log_odds(p):
    p = np.clip(p, EPS, 1 - EPS)
    return 1 / (p * (1 - p))


@pytest.mark.parametrize("domain", ["unit", (0.001, 0.999), lambda p: np.clip(p, 0.01, 0.99), {"x": "unit"}])
def test_a_right_gradient_in_its_domain_is_looked_at_there(domain):
    report = check_gradient(log_odds, d_log_odds, SHARES, domain=domain)
    assert {row.verdict for row in report.rows} == {"pass"}
    assert len(report.explored[0].derived) > 5


def test_a_fault_in_the_domain_is_an_error_and_shown_at_numbers_of_it():
    def wrong_at_small_shares(p):
        return np.where(p < 0.05, 0, d_log_odds(p))

    assert check_gradient(log_odds, wrong_at_small_shares, SHARES).ok  # nobody has said that such are shares
    report = check_gradient(log_odds, wrong_at_small_shares, SHARES, domain=(0.01, 0.99))
    (wrong,) = [row for row in report.rows if row.verdict == "wrong"]
    shown = eval(wrong.note.partition("x = ")[2], {"np": np})
    assert ((shown >= 0.01) & (shown <= 0.99)).all()
    assert (shown < 0.05).any()


def test_each_primal_has_its_own():
    seen = []

    def forward(x, p):
        seen.append((x.min(), p.min()))
        return x * p, (x, p)

    def backward(residuals, g):
        x, p = residuals
        return g * p, g * x

    check_vjp(
        forward, backward, (np.array([1.0, 2.0]), SHARES[:2]), domain={"p": "unit"}, checks=["any_layout"]
    )
    check_vjp(forward, backward, (np.array([1.0, 2.0]), SHARES[:2]), domain={"p": "unit"})
    assert min(x for x, _ in seen) < -1
    assert min(p for _, p in seen) > -0.2  # a step of the ladder from inside may end outside
