"""A gradient that is meant to be another function's is held to that one."""

import numpy as np
import pytest

from gradlab import check_jax, check_torch

X = np.array([[0.3, -0.7, 1.2], [0.6, 0.9, -0.2]])


def rounded(torch, slope=1.0):
    class Round(torch.autograd.Function):
        @staticmethod
        def forward(ctx, x):
            return x.round()

        @staticmethod
        def backward(ctx, g):
            return slope * g

    return Round.apply


@pytest.fixture
def torch():
    return pytest.importorskip("torch", reason="gradients in torch are checked: pip install torch")


def test_torch(torch):
    x = torch.tensor(X)
    assert not check_torch(rounded(torch), x).ok
    assert check_torch(rounded(torch), x, intended=lambda x: x).ok
    assert not check_torch(rounded(torch, 0.9), x, intended=lambda x: x).ok
    assert not check_torch(torch.sin, x, intended=torch.cos).ok


def test_what_is_frozen_at_the_given_point_is_an_error_nowhere_else(torch):
    x = torch.tensor(X[0], requires_grad=True)
    stopped = x.detach().clone()
    report = check_torch(lambda x: x * x.detach(), x, intended=lambda x: x * stopped)
    assert report.ok
    assert any(row.verdict == "warning" and row.sample != "given" for row in report.rows)


def test_jax():
    jax = pytest.importorskip("jax", reason="gradients in JAX are checked: pip install jax")

    def reversal(slope):
        @jax.custom_vjp
        def turned(x):
            return x

        turned.defvjp(lambda x: (x, None), lambda _, g: (slope * g,))
        return turned

    assert not check_jax(reversal(-1.0), X).ok
    assert check_jax(reversal(-1.0), X, intended=lambda x: -x).ok
    assert not check_jax(reversal(-0.5), X, intended=lambda x: -x).ok


def test_a_function_that_returns_something_else(torch):
    with pytest.raises(ValueError, match="give a function of the same arguments"):
        check_torch(rounded(torch), torch.tensor(X), intended=torch.sum)


def test_a_straight_through_estimator_met_without_it_is_named_so(torch):
    x = torch.tensor([[0.3, 1.2, -0.7], [2.6, -1.4, 0.9]], dtype=torch.float64)
    report = check_torch(lambda x: x + (torch.round(x) - x).detach(), x)
    assert not report.ok
    assert report.faults[0].name == "straight-through"
    note = next(row.note for row in report.rows if row.check == "matches_numerical")
    assert "intended=" in note
    assert check_torch(lambda x: x + (torch.round(x) - x).detach(), x, intended=lambda x: x).ok
