"""The same wrong function gets the same verdict and the same diagnosis as a NumPy pair, in torch and in JAX."""

import numpy as np
import pytest

from gradlab import check_jax, check_torch, check_vjp

from ._wrong_everywhere import WRONG, as_jax, as_torch

# An array that cannot be written into is not written into.
IN_JAX = [kind for kind, wrong in WRONG.items() if not wrong.mutates]


def primals(kind):
    rng = np.random.default_rng(3)
    return [rng.standard_normal(shape) for shape in WRONG[kind].shapes]


def in_numpy(kind):
    return check_vjp(*WRONG[kind].make(np), primals(kind), name=kind, explore=False)


def in_torch(kind):
    torch = pytest.importorskip("torch", reason="what torch is told is compared with it: pip install torch")
    function, tensors = as_torch(torch, WRONG[kind].make), map(torch.tensor, primals(kind))
    return check_torch(function, *tensors, name=kind, strict=True, explore=False)


def in_jax(kind):
    jax = pytest.importorskip("jax", reason="what JAX is told is compared with it: pip install jax")
    function = as_jax(jax, WRONG[kind].make)
    jax.config.update("jax_disable_most_optimizations", True)  # the compiler takes most of the time
    try:
        return check_jax(function, *primals(kind), name=kind, strict=True, explore=False)
    finally:
        jax.config.update("jax_disable_most_optimizations", False)


def said(report):
    fault = report.faults[0]
    return report.ok, fault.name, fault.primal


@pytest.mark.parametrize("kind", WRONG)
def test_numpy(kind):
    assert said(in_numpy(kind)) == (False, WRONG[kind].diagnosis, WRONG[kind].primal)


@pytest.mark.parametrize("kind", WRONG)
def test_torch_says_the_same(kind):
    assert said(in_torch(kind)) == (False, WRONG[kind].diagnosis, WRONG[kind].primal)


@pytest.mark.parametrize("kind", IN_JAX)
def test_jax_says_the_same(kind):
    assert said(in_jax(kind)) == (False, WRONG[kind].diagnosis, WRONG[kind].primal)


def test_there_are_enough_kinds():
    assert len({wrong.diagnosis for wrong in WRONG.values()}) >= 12
