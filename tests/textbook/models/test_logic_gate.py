"""LogicGate: both gradients, the stacked differences against the loop, and XOR learned by either."""

import numpy as np
import pytest

from gradlab.textbook.datasets.gates import GATES, ROWS, load_gate
from gradlab.textbook.models.logic_gate import LogicGate, train

X, T = load_gate("XOR")


def textbook_loss(net, x, t):
    """The loss as the textbook writes it, by matrix products."""
    W1, b1, W2, b2 = net.params.values()
    hidden = 1 / (1 + np.exp(-(x @ W1 + b1)))
    y = 1 / (1 + np.exp(-(hidden @ W2 + b2)))
    t = t.reshape(-1, 1)
    return -np.sum(t * np.log(y + 1e-7) + (1 - t) * np.log((1 - y) + 1e-7))


def textbook_gradient(net, x, t):
    gradients = {}
    for name, p in net.params.items():
        gradients[name] = np.zeros(p.shape)
        for index in np.ndindex(p.shape):
            kept = p[index]
            p[index] = kept + 1e-4
            above = textbook_loss(net, x, t)
            p[index] = kept - 1e-4
            gradients[name][index] = (above - textbook_loss(net, x, t)) / 2e-4
            p[index] = kept
    return gradients


def cases():
    rng = np.random.default_rng(0)
    for k, scale in enumerate((0.01, 1.0, 5.0, 30.0)):
        for rows in (1, 2, 4, 9):
            net = LogicGate(rng)
            net.theta *= scale
            if rows == 4 and k % 2:
                yield net, X, T
            else:
                yield net, rng.standard_normal((rows, 2)), rng.integers(0, 2, rows)


def test_the_net_is_2_6_1():
    net = LogicGate(rng=3)
    assert {name: p.shape for name, p in net.params.items()} == {
        "W1": (2, 6), "b1": (6,), "W2": (6, 1), "b2": (1,),
    }  # fmt: skip
    assert net.theta.size == 25
    assert all(np.shares_memory(p, net.theta) for p in net.params.values())
    assert np.array_equal(net.theta, LogicGate(rng=3).theta)
    assert not np.array_equal(net.theta, LogicGate(rng=4).theta)
    net.params["W2"] = np.zeros((6, 1))
    net.params["b2"] = np.zeros(1)
    assert net.predict(X).tolist() == [0.5] * 4


def test_the_loss_is_the_textbooks():
    for net, x, t in cases():
        with np.errstate(over="ignore"):
            assert net.loss(x, t) == pytest.approx(textbook_loss(net, x, t), rel=1e-12, abs=1e-12)
            assert net.loss(x, t.reshape(-1, 1)) == net.loss(x, t)


def test_delta_bounds_the_loss():
    net = LogicGate()
    net.params["W2"] = np.zeros((6, 1))
    net.params["b2"] = np.array([-1000.0])
    assert net.loss(ROWS, np.ones(4)) == pytest.approx(-4 * np.log(1e-7))
    assert net.loss(ROWS, np.zeros(4)) == pytest.approx(-4e-7, rel=1e-6)


def test_both_gradients_agree():
    for net, x, t in cases():
        numerical, analytic = net.numerical_gradient(x, t), net.gradient(x, t)
        assert list(numerical) == list(analytic) == ["W1", "b1", "W2", "b2"]
        for name in analytic:
            np.testing.assert_allclose(analytic[name], numerical[name], rtol=1e-5, atol=1e-6)


def test_backprop_has_deltas_gradient():
    net = LogicGate()
    net.params["W2"] = np.zeros((6, 1))
    net.params["b2"] = np.array([-16.0])  # y is 1.1e-7, about delta
    numerical, analytic = (g(X, np.ones(4))["b2"] for g in (net.numerical_gradient, net.gradient))
    np.testing.assert_allclose(analytic, numerical, rtol=1e-6)
    assert analytic[0] > -2.5  # without delta it were -4


def test_the_loop_is_the_textbooks():
    net = LogicGate(rng=1)
    loop, textbook = net.numerical_gradient(X, T), textbook_gradient(net, X, T)
    for name in loop:
        np.testing.assert_allclose(loop[name], textbook[name], rtol=1e-9, atol=1e-10)


def test_stacked_differences_are_the_loops_bit_for_bit():
    for net, x, t in cases():
        before = net.theta.copy()
        loop, stacked = net.numerical_gradient(x, t), net.stacked_gradient(x, t)
        for name in loop:
            assert np.array_equal(stacked[name], loop[name]), name
        assert np.array_equal(net.theta, before)


def test_training_takes_the_same_path_bit_for_bit():
    nets = {way: LogicGate(rng=2) for way in ("numerical", "stacked", "backprop")}
    for way, net in nets.items():
        train(net, X, T, gradient=way, steps=100, lr=0.5)
    assert np.array_equal(nets["numerical"].theta, nets["stacked"].theta)
    np.testing.assert_allclose(nets["backprop"].theta, nets["stacked"].theta, atol=1e-6)
    assert not np.allclose(nets["stacked"].theta, LogicGate(rng=2).theta, atol=0.1)


@pytest.mark.parametrize("gradient", ["stacked", "backprop"])
def test_xor_is_learned_in_20_001_steps(gradient):
    net, losses = LogicGate(), {}
    train(net, X, T, gradient=gradient, on_loss=losses.__setitem__)
    assert list(losses) == list(range(0, 20_001, 1000))
    assert losses[20_000] == net.loss(X, T) < 0.06 < losses[0]
    assert (np.diff(list(losses.values())) < 0).all()
    assert net.accuracy(X, T) == 1
    assert (net.predict(X) > 0.5).tolist() == [False, True, True, False]
    assert np.abs(net.predict(X) - T).max() < 0.05


def test_any_gate_is_learned():
    for name in GATES:
        net, (x, t) = LogicGate(rng=1), load_gate(name)
        train(net, x, t, steps=1500, lr=0.3)
        assert net.accuracy(x, t) == 1, name


def test_accuracy_counts_rows():
    net = LogicGate()
    net.params["W2"] = np.zeros((6, 1))
    net.params["b2"] = np.ones(1)
    assert net.accuracy(X, np.array([1, 1, 1, 0])) == 0.75


@pytest.mark.parametrize(
    ("x", "t", "complaint"),
    [
        (np.ones((4, 3)), T, r"x has shape \(4, 3\): give rows of two inputs, shape \(N, 2\)"),
        (np.ones((0, 2)), T[:0], r"x has shape \(0, 2\): give rows of two inputs"),
        (X, T[:3], r"t has shape \(3,\) for 4 rows: give one target for each, shape \(4,\)"),
        (X, T + 0.5, "t holds something else than 0 and 1: give each row's output of the gate"),
    ],
)
def test_batches_that_do_not_fit(x, t, complaint):
    net = LogicGate()
    for method in (net.loss, net.gradient, net.numerical_gradient, net.stacked_gradient, net.accuracy):
        with pytest.raises(ValueError, match=complaint):
            method(x, t)
    with pytest.raises(ValueError, match=complaint):
        train(net, x, t)


def test_training_says_what_it_cannot_do():
    net = LogicGate()
    with pytest.raises(ValueError, match="gradient is 'exact': give one of stacked, numerical, backprop"):
        train(net, X, T, gradient="exact")
    with pytest.raises(ValueError, match="lr is -1: give a positive number"):
        train(net, X, T, lr=-1)
    with pytest.raises(ValueError, match="out of the finite numbers: give a smaller one"):
        train(net, X, T, lr=1e20, steps=3)


def test_a_step_that_vanishes_is_no_gradient():
    net = LogicGate()
    net.params["W1"] = np.full((2, 6), 1e14)
    for method in (net.numerical_gradient, net.stacked_gradient):
        with pytest.raises(ValueError, match="vanishes against"):
            method(X, T)
