"""Layers that hold read-only arrays, as other libraries hand them out: right ones pass, wrong ones are named."""

from types import SimpleNamespace

import numpy as np
import pytest

from gradlab import check_layer

RNG = np.random.default_rng(5)
X = RNG.standard_normal((5, 3))


def frozen(x):
    x = np.array(x)
    x.flags.writeable = False
    return x


class Affine:
    def __init__(self, W, mean, factor=1):
        self.W, self.mean, self.factor = W, mean, factor

    def forward(self, x):
        self.x = x - self.mean
        return self.x @ self.W

    def backward(self, dout):
        self.dW = self.factor * self.x.T @ dout
        return dout @ self.W.T


WEIGHTS = RNG.standard_normal((3, 4))
KINDS = {
    "a constant": (WEIGHTS.copy(), frozen(np.zeros(3))),
    "the weights": (frozen(WEIGHTS), np.zeros(3)),
    "both": (frozen(WEIGHTS), frozen(np.zeros(3))),
    "a broadcast number": (WEIGHTS.copy(), np.broadcast_to(0.5, (3,))),
    "a buffer": (np.frombuffer(WEIGHTS.tobytes()).reshape(3, 4), np.zeros(3)),
}


@pytest.mark.parametrize(("weights", "mean"), KINDS.values(), ids=KINDS)
def test_a_right_one_passes_and_its_twin_is_named(weights, mean):
    report = check_layer(Affine(weights, mean), X)
    assert report.ok, str(report)
    assert {"x", "W"} <= {row.primal for row in report.rows}
    wrong = check_layer(Affine(weights, mean, factor=2), X)
    assert next((fault.name, fault.primal) for fault in wrong.faults) == ("constant-factor", "W")


def test_the_arrays_are_the_same_ones_afterwards():
    layer = Affine(frozen(WEIGHTS), frozen(np.zeros(3)))
    weights, mean = layer.W, layer.mean
    check_layer(layer, X)
    assert layer.W is weights
    assert layer.mean is mean
    assert not weights.flags.writeable
    assert np.array_equal(weights, WEIGHTS)


def test_one_that_is_named_by_itself_is_found():
    layer = Affine(frozen(WEIGHTS), np.zeros(3))
    report = check_layer(layer, X, params=[layer.W], grads=["dW"])
    assert report.ok, str(report)
    assert len({row.primal for row in report.rows if row.check == "matches_numerical"}) == 2


def test_a_loss_that_holds_one():
    def forward(x, t):
        loss.x, loss.t = x, t
        return np.sum((x - t) ** 2) / len(x)

    loss = SimpleNamespace(
        weights=np.broadcast_to(1.0, (3,)),
        forward=forward,
        backward=lambda dout=1.0: 2 * (loss.x - loss.t) * dout / len(loss.x),
    )
    assert check_layer(loss, X, np.zeros((5, 3))).ok
