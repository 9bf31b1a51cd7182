"""Incremental differences beside the plain loop, which knows nothing of them: what their tests share."""

import numpy as np
import pytest

from gradlab.nodes import NODES
from gradlab.numerical.finite_difference import numerical_gradient
from gradlab.textbook.incremental import chain, incremental_gradient
from gradlab.textbook.layers import Affine, StatefulLayer


def sparse(rng, *shape):
    """Return numbers of which half are 0, and some occur twice in a row."""
    return rng.standard_normal(shape).round(1) * (rng.random(shape) < 0.5)


def an_affine(rng, inputs, outputs, scale=0.7):
    return Affine(scale * rng.standard_normal((inputs, outputs)), scale * rng.standard_normal(outputs))


def params_of(layers):
    return {
        f"{i}/{j}": p for i, layer in enumerate(layers) for j, p in enumerate(getattr(layer, "params", []))
    }


def chain_loss(layers, last, x, t):
    for layer in layers:
        x = layer.forward(x)
    return float(last.forward(x, t))


def assert_same(found, loss, params):
    """Compare with two losses for each element, to 1e-9 of the largest entry of the whole gradient."""
    expected = {name: numerical_gradient(lambda _: loss(), p) for name, p in params.items()}
    assert list(found) == list(expected)
    largest = max(np.abs(g).max() for g in expected.values())
    for name, wanted in expected.items():
        assert found[name].shape == wanted.shape
        assert found[name].dtype == wanted.dtype
        assert np.abs(found[name] - wanted).max() <= 1e-9 * largest, name


def assert_chain(layers, last, x, t):
    params = params_of([*layers, last])
    kept = {name: p.copy() for name, p in params.items()}
    found = incremental_gradient(chain(layers, last, x, t), params)
    assert all(np.array_equal(kept[name], p) for name, p in params.items())
    assert_same(found, lambda: chain_loss(layers, last, x, t), params)


@pytest.fixture(autouse=True)  # in every file that imports it
def no_backward(monkeypatch):
    """The differences are a witness of their own: no derivation by hand is ever asked."""

    def refuse(*_):
        raise AssertionError("a backward was called")

    monkeypatch.setattr(StatefulLayer, "backward", refuse)
    for node in NODES.values():
        monkeypatch.setattr(f"gradlab.nodes.{node.family}.{node.name}.backward", refuse)
