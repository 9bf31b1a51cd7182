"""Under a transform a function gives what it gives without."""

import numpy as np
import pytest

from gradlab import check_jax, check_torch

X = np.array([[0.3, -0.7, 1.1], [0.4, 0.9, -0.2]])


def wrong(report):
    return [row.note for row in report.rows if row.verdict == "wrong"]


def test_torch():
    torch = pytest.importorskip("torch", reason="transforms of torch are tried: pip install torch")
    runs = []

    def counted(x):
        runs.append(0)
        return x * len(runs)

    x = torch.tensor(X)
    assert check_torch(torch.sin, x, transforms=True).ok
    report = check_torch(torch.sin, x, transforms="checkpoint")
    assert [row.verdict for row in report.rows if row.check == "transforms"] == ["pass"]
    assert not check_torch(counted, x, transforms=True, checks=["transforms"]).ok
    with pytest.raises(ValueError, match="no transform is named 'jit': there are checkpoint"):
        check_torch(torch.sin, x, transforms=["jit"])


def test_jax():
    jax = pytest.importorskip("jax", reason="transforms of JAX are tried: pip install jax")

    @jax.custom_vjp
    def squared(x):
        return x**2

    def forward(x):
        # at a number, as Python sees it, and at none, as a compiler does
        concrete = not isinstance(x, jax.core.Tracer)
        return x**2, (x, concrete)

    squared.defvjp(forward, lambda saved, g: ((2 if saved[1] else 3) * saved[0] * g,))
    assert check_jax(squared, X, checks=["matches_numerical"]).ok
    assert any("under jit" in note for note in wrong(check_jax(squared, X, transforms=True, explore=False)))
    assert check_jax(jax.numpy.sin, X, transforms=True, explore=False).ok
