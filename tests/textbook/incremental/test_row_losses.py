"""Losses as sums over rows: the node's own loss, and the same differences by any way."""

import numpy as np
import pytest

from gradlab.node import Node
from gradlab.nodes import NODES
from gradlab.textbook.incremental.row_losses import row_loss
from gradlab.textbook.layers import LossLayer, Sigmoid, Softmax, Tanh

from .plain_loop import an_affine, assert_chain, no_backward, sparse

__all__ = ["no_backward"]  # a fixture, for all tests here

N, D, H, K = 5, 6, 4, 3
T = np.array([0, 2, 1, 1, 0])


LOSSES = {
    "binary_cross_entropy": (Sigmoid, lambda rng: rng.random((N, K))),
    "categorical_cross_entropy": (Softmax, lambda rng: rng.random((N, K))),
    "cross_entropy": (Softmax, lambda rng: T),
    "huber": (Tanh, lambda rng: 2 * rng.standard_normal((N, K))),
    "mean_absolute_error": (Tanh, lambda rng: rng.standard_normal((N, K))),
    "mean_squared_error": (Tanh, lambda rng: rng.standard_normal((N, K))),
    "sigmoid_with_loss": (None, lambda rng: rng.integers(2, size=(N, K))),
    "softmax_with_loss": (None, lambda rng: rng.random((N, K))),
    "sum_squares_error": (Tanh, lambda rng: rng.standard_normal((N, K))),
    "hinge": (None, lambda rng: np.sign(rng.standard_normal((N, K)))),
}


@pytest.mark.parametrize("name", LOSSES)
@pytest.mark.parametrize("hidden", [True, False])
def test_losses(name, hidden):
    last, targets = LOSSES[name]
    rng = np.random.default_rng(4)
    layers = [an_affine(rng, D, H), Tanh(), an_affine(rng, H, K)] if hidden else [an_affine(rng, D, K)]
    layers += [last()] if last else []
    assert_chain(layers, LossLayer(NODES[name], **settings_of(name)), sparse(rng, N, D), targets(rng))


def settings_of(name):
    return {"delta": 0.3} if name in ("huber", "cross_entropy") else {}


@pytest.mark.parametrize("scale", [1.0, 700.0])
@pytest.mark.parametrize("name", [name for name in LOSSES if name != "hinge"])
def test_rows_add_up_to_the_loss_and_columns_change_it_alike(name, scale):
    last, targets = LOSSES[name]
    rng = np.random.default_rng(2)
    scale = scale if last in (None, Tanh) else 1.0  # probabilities of 0 have no loss
    x, forward = scale * rng.standard_normal((N, K)), NODES[name].forward
    x = last().forward(x) if last else x
    soft, many = rng.random((N, K)), (rng.random((N, K)) < 0.5).astype(float)
    for t in (targets(rng), np.eye(K)[T], soft / soft.sum(axis=1, keepdims=True), many):
        rows = rng.permutation(N)
        by_row = row_loss(forward, x, t, settings_of(name))
        losses = by_row.of_rows(rows)
        np.testing.assert_allclose(losses(x[rows]).sum(), forward(x, t=t, **settings_of(name))[0], rtol=1e-13)
        one, other = x.T[:2][:, rows] / 2, x.T[:2][:, rows] / 3
        changes = by_row.of_columns(rows, np.array([0, 1]), one) - by_row.of_columns(
            rows, np.array([0, 1]), other
        )
        for unit in (0, 1):
            both = [x[rows].copy(), x[rows].copy()]
            both[0][:, unit], both[1][:, unit] = one[unit], other[unit]
            np.testing.assert_allclose(
                changes[unit], losses(both[0]) - losses(both[1]), rtol=1e-11, atol=1e-13 * scale
            )


def test_losses_of_matrices_at_every_row():
    rng = np.random.default_rng(0)
    x, t = rng.standard_normal((N, 4, K)), rng.integers(K, size=(N, 4))
    for name in ("softmax_with_loss", "mean_squared_error"):
        t = rng.random(x.shape) if name == "mean_squared_error" else t
        found = row_loss(NODES[name].forward, x, t, {}).of_rows(np.arange(N))(x)
        assert found.shape == (N,)
        np.testing.assert_allclose(found.sum(), NODES[name].forward(x, t=t)[0], rtol=1e-13)


def test_one_class_has_no_others():
    x = np.array([[0.3], [-2.0]])
    by_row = row_loss(NODES["softmax_with_loss"].forward, x, np.zeros(2, int), {})
    assert not by_row.of_columns(np.arange(2), np.array([0]), x.T).any()


def test_a_loss_with_parameters_of_its_own():
    rng = np.random.default_rng(0)
    scaled = Node("scaled", "loss", lambda x, w, t: (np.mean(w * (x - t) ** 2), None), None, None)
    last = LossLayer(scaled, rng.random(K))
    assert_chain([an_affine(rng, D, H), Tanh(), an_affine(rng, H, K)], last, sparse(rng, N, D), np.eye(K)[T])
