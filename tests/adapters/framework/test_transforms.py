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


def test_a_modules_other_mode():
    torch = pytest.importorskip("torch", reason="transforms of torch are tried: pip install torch")

    class Centre(torch.autograd.Function):
        @staticmethod
        def forward(ctx, x, mean, batch):
            ctx.batch = batch
            return x - (x.mean(0) if batch else mean)

        @staticmethod
        def backward(ctx, g):
            return (g - g.mean(0) if ctx.batch or Centre.always else g), None, None

    class Centred(torch.nn.Module):
        def forward(self, x):
            return Centre.apply(x, torch.ones(3, dtype=x.dtype), self.training)

    x = torch.tensor(X)
    Centre.always = False
    for module in (Centred(), Centred().eval()):
        assert check_torch(module, x, transforms=True, checks=["transforms"]).ok
    Centre.always = True  # the batch's mean is differentiated where it was not taken
    report = check_torch(Centred(), x, transforms=True)
    assert wrong(report) == ["in eval mode the gradient is wrong, where it is right in the other one"]
    assert check_torch(Centred(), x, transforms=["checkpoint"]).ok


def test_a_linear_map_that_is_used_up():
    jax = pytest.importorskip("jax", reason="transforms of JAX are tried: pip install jax")

    def product(calls):
        def host(t):
            calls.append(0)
            return np.asarray(t) * (2.0 if calls == [0] else 1.0)

        @jax.custom_jvp
        def twice(x):
            return 2 * x

        @twice.defjvp
        def _(primals, tangents):
            (x,), (t,) = primals, tangents
            shape = jax.ShapeDtypeStruct(t.shape, t.dtype)
            return 2 * x, jax.pure_callback(host, shape, t)

        return twice

    class AlwaysOne(list):
        def append(self, item):
            self[:] = [0]

    right = check_jax(product(AlwaysOne()), X[0], transforms=["linearize"])
    assert not wrong(right)
    assert not check_jax(product([]), X[0], transforms=["linearize"]).ok
