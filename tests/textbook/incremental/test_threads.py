"""Incremental differences on several threads: the same bits, and the caller's errors and error state."""

import os

import numpy as np
import pytest

from gradlab.nodes import NODES
from gradlab.textbook.incremental import affine, chain, incremental_gradient
from gradlab.textbook.layers import SoftmaxWithLoss, StatefulLayer
from gradlab.textbook.models import TwoLayerNet

from .plain_loop import an_affine, no_backward, params_of, sparse

__all__ = ["no_backward"]  # a fixture, for all tests here

N, D, H, K = 5, 6, 4, 3
T = np.array([0, 2, 1, 1, 0])


@pytest.fixture
def a_wide_net():
    rng = np.random.default_rng(0)
    x, t = sparse(rng, 20, 40), rng.integers(K, size=20)
    return TwoLayerNet(40, 30, K, weight_init_std=0.5, rng=1), x, t


@pytest.mark.parametrize("cores", [1, 2, 5])
def test_any_number_of_threads_gives_the_same_bits(a_wide_net, cores, monkeypatch):
    net, x, t = a_wide_net
    monkeypatch.setattr(affine, "PART", 1)
    monkeypatch.setattr(affine, "STACK", 2000)
    threads = []

    class Counted(affine.ThreadPoolExecutor):
        def __init__(self, workers):
            threads.append(workers)
            super().__init__(workers)

    monkeypatch.setattr(affine, "ThreadPoolExecutor", Counted)
    monkeypatch.setattr(os, "cpu_count", lambda: 3)
    wanted = net.incremental_gradient(x, t)
    threads.clear()
    monkeypatch.setattr(os, "cpu_count", lambda: cores)
    found = net.incremental_gradient(x, t)
    assert threads == ([] if cores == 1 else [min(cores, units) for units in (30, K)])
    assert all(np.array_equal(found[name], wanted[name]) for name in wanted)


def test_an_error_in_a_thread_is_raised(a_wide_net, monkeypatch):
    net, x, t = a_wide_net
    monkeypatch.setattr(affine, "PART", 1)
    monkeypatch.setattr(os, "cpu_count", lambda: 2)

    def fail(*_):
        raise MemoryError("no room")

    monkeypatch.setattr(affine, "_differences", fail)
    with pytest.raises(MemoryError, match="no room"):
        net.incremental_gradient(x, t)


def test_threads_keep_the_callers_error_state(monkeypatch):
    monkeypatch.setattr(affine, "PART", 1)
    monkeypatch.setattr(os, "cpu_count", lambda: 2)
    rng = np.random.default_rng(0)
    # underflow in exp of far negative numbers
    layers = [an_affine(rng, D, H), StatefulLayer(NODES["exp"]), an_affine(rng, H, K)]
    layers[0].params[1][:] = -760.0
    program = chain(layers, SoftmaxWithLoss(), sparse(rng, N, D), T)
    with np.errstate(under="raise"), pytest.raises(FloatingPointError):
        incremental_gradient(program, params_of(layers))
    states = []
    with np.errstate(under="call"):
        affine._spread([lambda: states.append(np.geterr()["under"])] * 2)
    assert states == ["call"] * 2
