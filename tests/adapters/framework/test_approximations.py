"""A backward that solves to a tolerance is undecided, and the line names rtol=; without a loop it is wrong."""

import numpy as np
import pytest

torch = pytest.importorskip("torch", reason="gradients in torch are checked: pip install torch")

import gradlab  # noqa: E402
from gradlab import check_torch  # noqa: E402

A = torch.from_numpy(np.random.default_rng(0).standard_normal((4, 4)) / 6 + np.eye(4))
B = torch.from_numpy(np.random.default_rng(1).standard_normal(4))


def solve(steps=None, off=0.0):
    """Return x = A^-1 b, whose backward iterates, or is exact but for a factor."""

    class Solve(torch.autograd.Function):
        @staticmethod
        def forward(ctx, a, b):
            x = torch.linalg.solve(a, b)
            ctx.save_for_backward(a, x)
            return x

        if steps is None:

            @staticmethod
            def backward(ctx, g):
                a, x = ctx.saved_tensors
                d = torch.linalg.solve(a.mT, g) * (1 + off)
                return -torch.outer(d, x), d

        else:

            @staticmethod
            def backward(ctx, g):
                a, x = ctx.saved_tensors
                d = g
                for _ in range(steps):
                    d = d + g - a.mT @ d
                return -torch.outer(d, x), d

    return Solve


def matches(report):
    return [row for row in report.rows if row.check == "matches_numerical"]


def test_what_iterates_and_is_close_is_undecided():
    report = check_torch(solve(steps=14), A, B)
    assert not report.ok
    assert {str(row.verdict) for row in matches(report)} == {"inconclusive"}
    assert all("rtol=" in row.note for row in matches(report))
    assert not report.findings


def test_a_tolerance_decides():
    assert check_torch(solve(steps=14), A, B, rtol=1e-2, explore=False).ok
    wrong = check_torch(solve(steps=14), A, B, rtol=1e-12, explore=False)
    assert any(row.verdict == "wrong" for row in matches(wrong))


@pytest.mark.parametrize("function", [solve(steps=1), solve(off=1e-6)])
def test_what_is_far_off_or_does_not_iterate_is_wrong(function):
    assert any(row.verdict == "wrong" for row in matches(check_torch(function, A, B)))


def test_stairs_are_undecided():
    jax = pytest.importorskip("jax", reason="gradients in JAX are checked: pip install jax")
    half = jax.numpy.bfloat16

    @jax.custom_vjp
    def layer(x, w):
        return jax.numpy.tanh((x.astype(half) @ w.astype(half)).astype(np.float32))

    def backward(saved, g):
        x, w, y = saved
        h = (g * (1 - y * y)).astype(half)
        return (h @ w.astype(half).T).astype(np.float32), (x.astype(half).T @ h).astype(np.float32)

    layer.defvjp(lambda x, w: (layer(x, w), (x, w, layer(x, w))), backward)
    rng = np.random.default_rng(704)
    x, w = rng.normal(size=(6, 8)).astype(np.float32), rng.normal(size=(8, 5)).astype(np.float32)
    report = gradlab.check_jax(layer, x, 0.3 * w)
    assert {str(row.verdict) for row in matches(report)} == {"inconclusive"}
    assert all("stairs" in row.note for row in matches(report))
