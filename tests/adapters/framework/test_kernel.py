"""A kernel is held to its reference in double precision, by the reference's own error in the kernel's precision."""

import numpy as np
import pytest

from gradlab import check_jax, check_torch

RNG = np.random.default_rng(0)


@pytest.fixture
def torch():
    return pytest.importorskip("torch", reason="kernels in torch are checked: pip install torch")


def scaled_sum(torch, accumulate, slope=1.0):
    """Return x * w, summed over 2,000 rows for w's gradient, one by one, in some precision."""

    class Scaled(torch.autograd.Function):
        @staticmethod
        def forward(ctx, x, w):
            ctx.save_for_backward(x, w)
            return x * w

        @staticmethod
        def backward(ctx, g):
            x, w = ctx.saved_tensors
            total = torch.zeros_like(w, dtype=accumulate or w.dtype)
            for row in (g * x).to(total.dtype):
                total = total + row
            return slope * g * w, total.to(w.dtype)

    return Scaled.apply


def tensors(torch, dtype):
    return torch.tensor(RNG.uniform(0.5, 1.5, (2000, 3)), dtype=dtype), torch.ones(3, dtype=dtype)


def eager(x, w):
    return x * w


@pytest.mark.parametrize("name", ["float32", "bfloat16", "float16"])
def test_sums_in_few_bits_are_seen(torch, name):
    given = tensors(torch, getattr(torch, name))
    assert check_torch(scaled_sum(torch, torch.float64), *given, reference=eager).ok
    report = check_torch(scaled_sum(torch, None), *given, reference=eager)
    wrong = {row.primal for row in report.rows if row.verdict == "wrong"}
    assert wrong == {"w"}
    row = next(row for row in report.rows if row.verdict == "wrong")
    assert (row.check, row.dtype) == ("kernel", name)
    assert "over its budget of 2 times the reference's error and one ulp" in row.note
    # the budget is the caller's
    assert check_torch(scaled_sum(torch, None), *given, reference=eager, budget=1e5).ok


def test_what_computes_something_else(torch):
    given = tensors(torch, torch.bfloat16)
    report = check_torch(scaled_sum(torch, torch.float64, slope=1.05), *given, reference=eager)
    assert {row.primal for row in report.rows if row.verdict == "wrong"} == {"x"}
    assert not check_torch(lambda x, w: (x * w)[:1000], *given, reference=eager).ok


def test_what_is_written_into_an_argument_is_what_the_reference_writes(torch):
    def halved(x, by):
        x.mul_(by)
        return x * 1

    x = torch.ones(4, dtype=torch.float32)
    assert check_torch(lambda x: halved(x, 0.5), x, reference=lambda x: halved(x, 0.5)).ok
    report = check_torch(lambda x: x * 0.5, x, reference=lambda x: halved(x, 0.5))
    assert any("x as it was written into" in row.note for row in report.rows if row.verdict == "wrong")


def test_a_reference_that_takes_no_double_precision(torch):
    def narrow(x):
        if x.dtype == torch.float64:
            raise ValueError("not in float64")
        return x * 2

    with pytest.raises(ValueError, match="give a reference that computes in the precision of its arguments"):
        check_torch(lambda x: x * 2, torch.ones(3), reference=narrow)


def test_a_subclass_is_asked_for_its_own_backward(torch):
    class Doubled(torch.autograd.Function):
        slope = 2

        @staticmethod
        def forward(ctx, x):
            return 2 * x

        @classmethod
        def backward(cls, ctx, g):
            return cls.slope * g

    class Tripled(Doubled):
        slope = 3

    x = torch.ones(3, dtype=torch.float64)
    assert check_torch(Doubled, x).ok
    assert not check_torch(Tripled, x).ok


def test_jax():
    jax = pytest.importorskip("jax", reason="kernels in JAX are checked: pip install jax")
    jnp = jax.numpy

    def summed(dtype):
        @jax.custom_vjp
        def total(x, w):
            return x * w

        def backward(saved, g):
            x, w = saved
            terms = (g * x).astype(dtype)
            dw = jax.lax.fori_loop(0, len(x), lambda i, s: s + terms[i], jnp.zeros(w.shape, dtype))
            return g * w, dw.astype(w.dtype)

        total.defvjp(lambda x, w: (x * w, (x, w)), backward)
        return total

    x, w = jnp.asarray(RNG.uniform(0.5, 1.5, (2000, 3)), "bfloat16"), jnp.ones(3, "bfloat16")
    assert check_jax(summed("float32"), x, w, reference=eager).ok
    assert not check_jax(summed("bfloat16"), x, w, reference=eager).ok


@pytest.mark.parametrize(
    ("asked", "cure"),
    [
        ({"reference": 3}, "reference is 3: give a function"),
        ({"intended": 3}, "intended is 3: give a function"),
        ({"reference": abs, "intended": abs}, "leave intended= out"),
        ({"reference": abs, "budget": -1}, "budget is -1: give a number from 0 up"),
        ({"reference": abs, "budget": "2"}, "budget is '2': give a number from 0 up"),
        ({"reference": abs, "budget": float("nan")}, "budget is nan: give a number from 0 up"),
        ({"order": True}, "order is True: give a whole number"),
        ({"transforms": 3}, "transforms is 3: give True, or some of"),
    ],
)
def test_what_cannot_be_asked_for(torch, asked, cure):
    with pytest.raises((TypeError, ValueError), match=cure):
        check_torch(abs, torch.ones(3), **asked)
