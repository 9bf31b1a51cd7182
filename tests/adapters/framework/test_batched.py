"""Batches give what their examples give one by one."""

import numpy as np
import pytest

from gradlab import check_jax, check_torch

X, W = np.array([[0.3, -0.7, 1.1], [0.4, 0.9, -0.2]]), np.array([0.5, -1.2, 0.8])


def with_vmap(torch, ignores_dims):
    class Scaled(torch.autograd.Function):
        @staticmethod
        def forward(x, w):
            return x * w

        @staticmethod
        def setup_context(ctx, inputs, output):
            ctx.save_for_backward(*inputs)

        @staticmethod
        def backward(ctx, g):
            x, w = ctx.saved_tensors
            return g * w, (g * x).sum(0)

        @staticmethod
        def vmap(info, in_dims, x, w):
            x = x if in_dims[0] is None or ignores_dims else x.movedim(in_dims[0], 0)
            w = w if in_dims[1] is None or ignores_dims else w.movedim(in_dims[1], 0)
            x = x if in_dims[0] is not None else x[None]
            w = w[:, None] if in_dims[1] is not None else w
            return x * w, 0

    return Scaled.apply


def checks(report, verdict):
    return {row.check for row in report.rows if row.verdict == verdict}


def test_torch():
    torch = pytest.importorskip("torch", reason="batches in torch are checked: pip install torch")
    x, w = torch.tensor(X), torch.tensor(W)
    right = check_torch(with_vmap(torch, False), x, w)
    assert "batched" in checks(right, "pass")
    report = check_torch(with_vmap(torch, True), x, w)
    assert checks(report, "wrong") == {"batched"}
    assert any("along the axes (2, 1)" in row.note for row in report.rows if row.verdict == "wrong")
    # what is torch's own is asked only by who wants to know
    assert "batched" not in checks(check_torch(torch.sin, x), "pass")
    assert check_torch(torch.sin, x, checks=["batched"]).ok


def test_a_backward_that_cannot_be_batched_says_so():
    torch = pytest.importorskip("torch", reason="batches in torch are checked: pip install torch")

    class Counted(torch.autograd.Function):
        @staticmethod
        def forward(ctx, x):
            ctx.save_for_backward(x)
            return x**2

        @staticmethod
        def backward(ctx, g):
            (x,) = ctx.saved_tensors
            return 2 * x * g if g.sum().item() < 1e9 else g

    report = check_torch(Counted, torch.tensor(X))
    assert report.ok
    assert any("and it says so" in row.note for row in report.rows if row.check == "batched")


def test_jax():
    jax = pytest.importorskip("jax", reason="batches in JAX are checked: pip install jax")
    jnp = jax.numpy

    def with_rule(axis):
        @jax.custom_batching.custom_vmap
        def total(x):
            return jnp.sum(x**2)

        @total.def_vmap
        def rule(size, batched, x):
            return jnp.sum(x**2, axis), True

        return total

    x = X[:, :2]
    assert check_jax(lambda x: with_rule((1, 2))(x), x, checks=["batched"]).ok
    assert not check_jax(lambda x: with_rule((0, 1))(x), np.eye(3) + 1, checks=["batched"]).ok


def test_a_function_with_forward_mode_alone():
    jax = pytest.importorskip("jax", reason="derivatives in JAX are checked: pip install jax")

    def doubled(x):
        return jax.lax.while_loop(lambda s: s[0] < 3, lambda s: (s[0] + 1, 2 * s[1]), (0, x))[1]

    report = check_jax(doubled, X)
    assert report.ok
    assert {row.check for row in report.rows} == {"forward_mode", "batched"}


def test_an_output_that_is_not_batched_is_jaxs_own_fault():
    """JAX counts its cotangent once for each example in the rule of a custom_vjp: no rule is wrong for that."""
    jax = pytest.importorskip("jax", reason="gradients in JAX are checked: pip install jax")

    @jax.custom_vjp
    def scaled(z, a):
        return z * a, a**2

    scaled.defvjp(
        lambda z, a: (scaled(z, a), (z, a)),
        lambda r, g: (g[0] * r[1], jax.numpy.sum(g[0] * r[0]) + 2 * g[1] * r[1]),
    )
    assert check_jax(scaled, np.array([1.0, 2.0]), np.array(0.7), checks=["batched"]).ok
