"""Autograd Functions for the tests, and what a report says of them."""

import numpy as np
import pytest

torch = pytest.importorskip("torch", reason="check_torch is for torch: pip install torch")


def tensor(*shape, seed=0, dtype=torch.float64):
    return torch.as_tensor(np.random.default_rng(seed).standard_normal(shape)).to(dtype)


def written(forward, backward):
    """Return an autograd Function of a forward(ctx, x, ...) and a backward(ctx, g, ...)."""
    return type("Written", (torch.autograd.Function,), _static(forward=forward, backward=backward))


def _static(**methods):
    return {name: staticmethod(method) for name, method in methods.items()}


def save_square(ctx, x):
    ctx.save_for_backward(x)
    return x**2


def slope(ctx, g):
    return 2 * ctx.saved_tensors[0] * g


Square = written(save_square, slope)


def names(report):
    return [fault.name for fault in report.faults]


def wrong_checks(report):
    return {row.check for row in report.rows if row.verdict == "wrong"}


def warnings(report):
    return {row.check for row in report.rows if row.verdict == "warning"}
