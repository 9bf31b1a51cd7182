"""Gradients that differ from call to call are held to no less than that, and it is said by how much."""

import numpy as np
import pytest

torch = pytest.importorskip("torch", reason="gradients in torch are checked: pip install torch")

from gradlab import check_torch  # noqa: E402

X = torch.from_numpy(np.random.default_rng(0).standard_normal(7))


def noisy(size, factor=1.0):
    rng = np.random.default_rng(1)

    class Noisy(torch.autograd.Function):
        @staticmethod
        def forward(ctx, x):
            ctx.save_for_backward(x)
            return x * x

        @staticmethod
        def backward(ctx, g):
            (x,) = ctx.saved_tensors
            return 2 * factor * x * g * (1 + size * float(rng.uniform(-1, 1)))

    return Noisy


def repeatable_row(report):
    (row,) = [row for row in report.rows if row.check == "repeatable"]
    return row


def test_a_little_noise_is_a_warning_that_says_how_much():
    report = check_torch(noisy(1e-7), X)
    assert report.ok
    row = repeatable_row(report)
    assert row.verdict == "warning"
    assert "gradients differ by up to" in row.note
    assert "nondet_tol=" in row.note
    matches = next(row for row in report.rows if row.check == "matches_numerical")
    assert "held to no less" in matches.note


def test_what_is_allowed_is_none():
    report = check_torch(noisy(1e-7), X, nondet_tol=1e-5)
    assert report.ok
    assert repeatable_row(report).verdict == "pass"
    assert not report.faults


@pytest.mark.parametrize(
    ("size", "options"),
    [
        (1e-2, {}),  # more than sums in another order differ by
        (1e-7, {"nondet_tol": 1e-12}),
        (1e-7, {"strict": True}),
    ],
)
def test_more_than_is_allowed_is_wrong(size, options):
    assert not check_torch(noisy(size), X, **options).ok


def test_noise_hides_no_wrong_gradient():
    report = check_torch(noisy(1e-7, factor=1.001), X, nondet_tol=1e-5)
    assert any(row.check == "matches_numerical" and row.verdict == "wrong" for row in report.rows)


def test_what_adds_up_over_calls_is_no_noise():
    total = []

    class AddsUp(torch.autograd.Function):
        @staticmethod
        def forward(ctx, x):
            ctx.save_for_backward(x)
            return x * x

        @staticmethod
        def backward(ctx, g):
            total.append(2 * ctx.saved_tensors[0] * g)
            return sum(d for d in total if d.shape == g.shape)

    assert not check_torch(AddsUp, X).ok


@pytest.mark.parametrize("value", [-1.0, "a little", float("nan")])
def test_a_tolerance_that_is_none(value):
    with pytest.raises(ValueError, match=r"nondet_tol is .*: give a number from 0 up"):
        check_torch(noisy(0.0), X, nondet_tol=value)
