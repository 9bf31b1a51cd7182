"""Derivatives of higher order, and forward mode, in torch and in JAX."""

import numpy as np
import pytest

from gradlab import check_jax, check_torch

X = np.array([[0.3, -0.7, 1.1], [0.4, 0.9, -0.2]])


def cubed(torch, third):
    """Return x^4 with a backward whose own derivative is right, and whose second one is off by a factor."""

    class Second(torch.autograd.Function):
        @staticmethod
        def forward(ctx, x, g):
            ctx.save_for_backward(x, g)
            return 12 * x**2 * g

        @staticmethod
        def backward(ctx, v):
            x, g = ctx.saved_tensors
            return third * x * g * v, 12 * x**2 * v

    class First(torch.autograd.Function):
        @staticmethod
        def forward(ctx, x, g):
            ctx.save_for_backward(x, g)
            return 4 * x**3 * g

        @staticmethod
        def backward(ctx, v):
            x, g = ctx.saved_tensors
            return Second.apply(x, g) * v, 4 * x**3 * v

    class Power(torch.autograd.Function):
        @staticmethod
        def forward(ctx, x):
            ctx.save_for_backward(x)
            return x**4

        @staticmethod
        def backward(ctx, g):
            return First.apply(ctx.saved_tensors[0], g)

    return Power.apply


def with_jvp(torch, factor):
    class Sine(torch.autograd.Function):
        @staticmethod
        def forward(ctx, x, w):
            ctx.save_for_backward(x, w)
            ctx.save_for_forward(x, w)
            return torch.sin(x) * w

        @staticmethod
        def backward(ctx, g):
            x, w = ctx.saved_tensors
            return g * torch.cos(x) * w, g * torch.sin(x)

        @staticmethod
        def jvp(ctx, dx, dw):
            x, w = ctx.saved_tensors
            return factor * dx * torch.cos(x) * w + dw * torch.sin(x)

    return Sine.apply


@pytest.fixture
def torch():
    return pytest.importorskip("torch", reason="derivatives in torch are checked: pip install torch")


@pytest.fixture
def jax():
    return pytest.importorskip("jax", reason="derivatives in JAX are checked: pip install jax")


def wrong(report):
    return {row.check for row in report.rows if row.verdict == "wrong"}


def test_a_third_derivative_in_torch(torch):
    x = torch.tensor(X)
    report = check_torch(cubed(torch, 24), x, order=3)
    assert report.ok, str(report)
    assert wrong(check_torch(cubed(torch, 25), x, order=3)) == {"third_derivative"}
    assert check_torch(cubed(torch, 25), x, order=2).ok
    assert check_torch(lambda x: x.sin().exp(), x, order=4, explore=False).ok


def test_a_wrong_second_derivative_is_an_error_where_it_is_asked_for(torch):
    class Detached(torch.autograd.Function):
        @staticmethod
        def forward(ctx, x):
            ctx.save_for_backward(x)
            return x**3

        @staticmethod
        def backward(ctx, g):
            return 3 * ctx.saved_tensors[0].detach() ** 2 * g

    assert check_torch(Detached, torch.tensor(X)).ok
    assert wrong(check_torch(Detached, torch.tensor(X), order=2)) == {"second_derivative"}
    assert "second_derivative" not in {
        row.check for row in check_torch(Detached, torch.tensor(X), order=1).rows
    }


def test_forward_mode_in_torch(torch):
    tensors = torch.tensor(X), torch.tensor(X + 1)
    assert check_torch(with_jvp(torch, 1), *tensors).ok
    assert wrong(check_torch(with_jvp(torch, 2), *tensors)) == {"forward_mode"}
    # nobody has written one, and nobody asks
    report = check_torch(torch.sin, torch.tensor(X))
    assert "forward_mode" not in {row.check for row in report.rows}
    (row, *_) = check_torch(torch.sin, torch.tensor(X), checks=["forward_mode"]).rows
    assert row.verdict == "pass"


def test_a_function_without_forward_mode_says_so(torch):
    (row,) = check_torch(cubed(torch, 24), torch.tensor(X), checks=["forward_mode"]).rows
    assert row.verdict == "pass"
    assert row.note.startswith("no forward mode, and it says so")


def jvp_in_jax(jax, factor, held=False):
    @jax.custom_jvp
    def cube(x, w):
        return x**3 * w

    @cube.defjvp
    def rule(primals, tangents):
        (x, w), (dx, dw) = primals, tangents
        slope = jax.lax.stop_gradient(3 * x**2) if held else 3 * x**2
        return cube(x, w), factor * slope * w * dx + x**3 * dw

    return cube


def test_forward_mode_in_jax(jax):
    assert check_jax(jvp_in_jax(jax, 1), X, X + 1).ok
    assert "forward_mode" in wrong(check_jax(jvp_in_jax(jax, 2), X, X + 1))
    (row, *_) = check_jax(jax.numpy.sin, X, checks=["forward_mode"]).rows
    assert row.verdict == "pass"


def test_orders_in_jax(jax):
    assert check_jax(jvp_in_jax(jax, 1), X, X + 1, order=3, explore=False).ok
    held = jvp_in_jax(jax, 1, held=True)
    assert wrong(check_jax(held, X, X + 1, order=2, explore=False)) == {"second_derivative"}
    assert check_jax(jax.numpy.sin, X, order=3, explore=False).ok


@pytest.mark.parametrize("order", [0, 6, "two", 1.5])
def test_orders_that_cannot_be(torch, order):
    with pytest.raises(ValueError, match="give a whole number from 1 to 5"):
        check_torch(torch.sin, torch.tensor(X), order=order)
