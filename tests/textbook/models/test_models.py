"""Layers, the textbook's networks, and the loop that trains them."""

import copy
import pickle
from dataclasses import replace

import numpy as np
import pytest

from gradlab.nodes import NODES
from gradlab.textbook.datasets import Dataset, make_digits
from gradlab.textbook.layers import Affine, Relu, Sigmoid, SigmoidWithLoss, SoftmaxWithLoss, Tanh
from gradlab.textbook.mnist_benchmark import compare_gradients, run
from gradlab.textbook.models import SimpleNet, TwoLayerNet
from gradlab.textbook.optimizers import SGD
from gradlab.textbook.training import train

RNG = np.random.default_rng(0)
X, T = RNG.standard_normal((5, 4)), np.array([0, 2, 1, 2, 0])


def test_layers_keep_the_textbooks_protocol():
    W, b = RNG.standard_normal((4, 3)), RNG.standard_normal(3)
    layer = Affine(W, b)
    dW, db = layer.grads
    out, dout = layer.forward(X), RNG.standard_normal((5, 3))
    dx = layer.backward(dout)
    np.testing.assert_allclose(out, X @ W + b)
    np.testing.assert_allclose(dx, dout @ W.T)
    np.testing.assert_allclose(dW, X.T @ dout)  # written in place, into the list's own arrays
    np.testing.assert_allclose(db, dout.sum(axis=0))
    assert layer.params[0] is W


@pytest.mark.parametrize("layer", [Sigmoid(), Tanh(), Relu()])
def test_activations_have_no_parameters(layer):
    layer.forward(X)
    assert layer.backward(np.ones_like(X)).shape == X.shape
    assert layer.params == layer.grads == []


@pytest.mark.parametrize(("layer", "t"), [(SoftmaxWithLoss(), T), (SigmoidWithLoss(), np.ones_like(X))])
def test_loss_layers_scale_with_dout(layer, t):
    layer.forward(X, t)
    np.testing.assert_allclose(layer.backward(2.0), 2 * layer.backward())


def test_backward_without_forward():
    with pytest.raises(RuntimeError, match="call forward first"):
        Affine(np.ones((2, 2)), np.ones(2)).backward(np.ones((1, 2)))


@pytest.mark.parametrize("t", [T, np.eye(3)[T]])
@pytest.mark.parametrize("batch", [1, 5])
def test_two_layer_net_gradients_agree(t, batch):
    net = TwoLayerNet(4, 6, 3, weight_init_std=0.7, rng=1)
    numerical, analytic = net.numerical_gradient(X[:batch], t[:batch]), net.gradient(X[:batch], t[:batch])
    assert list(numerical) == list(analytic) == ["W1", "b1", "W2", "b2"]
    for name in analytic:
        np.testing.assert_allclose(analytic[name], numerical[name], rtol=1e-6, atol=1e-9)


def test_a_gradient_is_the_next_calls_array_and_a_copy_is_not():
    net = TwoLayerNet(4, 6, 3, rng=1)
    first = net.gradient(X, T)
    kept = {name: g.copy() for name, g in first.items()}
    net.gradient(-X, T)
    assert not any(np.array_equal(first[name], kept[name]) for name in kept)


def test_parameters_can_be_assigned_as_the_textbook_does():
    net = TwoLayerNet(4, 6, 3, rng=1)
    before = net.loss(X, T)
    for name, gradient in net.gradient(X, T).items():
        net.params[name] -= 0.1 * gradient
    assert net.loss(X, T) < before
    net.params["W2"] = np.zeros((6, 3))
    net.params["b2"] = np.zeros(3)
    assert net.loss(X, T) == pytest.approx(np.log(3))
    with pytest.raises(ValueError, match=r"W1 has shape \(4, 6\)"):
        net.params["W1"] = np.zeros((6, 4))


@pytest.mark.parametrize("copied", [copy.deepcopy, lambda net: pickle.loads(pickle.dumps(net))])
def test_a_copy_has_parameters_of_its_own_that_its_layers_compute_with(copied):
    net = TwoLayerNet(4, 6, 3, rng=1)
    twin = copied(net)
    assert twin.loss(X, T) == net.loss(X, T)
    twin.params["W1"] -= 1.0
    assert twin.layers[0].params[0] is twin.params["W1"]
    assert twin.loss(X, T) != net.loss(X, T) == TwoLayerNet(4, 6, 3, rng=1).loss(X, T)


def test_same_seed_same_weights():
    assert np.array_equal(TwoLayerNet(4, 6, 3, rng=3).params["W1"], TwoLayerNet(4, 6, 3, rng=3).params["W1"])
    assert not np.array_equal(
        TwoLayerNet(4, 6, 3, rng=3).params["W1"], TwoLayerNet(4, 6, 3, rng=4).params["W1"]
    )


def test_accuracy_of_labels_and_of_rows():
    net = TwoLayerNet(4, 6, 3, rng=1)
    best = net.predict(X).argmax(axis=1)
    assert net.accuracy(X, best) == net.accuracy(X, np.eye(3)[best]) == 1
    assert net.accuracy(X, (best + 1) % 3) == 0


def test_simple_net_on_a_batch():
    net = SimpleNet(rng=2)
    x, t = RNG.standard_normal((4, 2)), np.array([0, 1, 2, 0])
    assert net.loss(x, t) == pytest.approx(
        np.mean([net.loss(row, np.eye(3)[label]) for row, label in zip(x, t, strict=True)])
    )


def test_sgd():
    params = {"a": np.array([1.0, 2.0])}
    SGD(lr=0.5).update(params, {"a": np.array([2.0, -2.0])})
    assert params["a"].tolist() == [0, 3]


@pytest.fixture(scope="module")
def small() -> Dataset:
    x, t = make_digits(300, seed=0)
    return Dataset("a few digits", x[:200].reshape(200, -1), t[:200], x[200:].reshape(100, -1), t[200:])


def test_training_learns_and_records_epochs(small):
    report = run(small, gradient="backprop", steps=60, batch_size=20, lr=0.5, seed=0)
    points = report.training["backprop"].points
    assert [p.step for p in points] == [0, 10, 20, 30, 40, 50, 60]
    assert [p.epoch for p in points] == [0, 1, 2, 3, 4, 5, 6]
    assert points[-1].loss < points[0].loss
    assert points[-1].seconds > points[1].seconds > 0


def test_numerical_training_takes_the_same_path(small):
    ways = {
        way: train(net, gradient, small, steps=2, batch_size=5, lr=0.1, rng=np.random.default_rng(0))
        for way in ("gradient", "numerical_gradient")
        if (net := TwoLayerNet(784, 2, 10)) and (gradient := getattr(net, way))
    }
    losses = [[p.loss for p in history.points] for history in ways.values()]
    np.testing.assert_allclose(losses[0], losses[1], rtol=1e-9)


def test_numerical_training_beside_backprop(small):
    report = run(small, gradient="numerical", steps=60, batch_size=50, hidden=4, lr=0.5)
    assert list(report.training) == ["numerical gradients", "backprop"]
    numerical, backprop = ([p.loss for p in history.points] for history in report.training.values())
    np.testing.assert_allclose(numerical, backprop, rtol=1e-7)
    assert numerical[-1] < numerical[0]
    assert 0 < report.apart < 1e-7
    assert report.ok
    assert f"ever further apart than {report.apart:.1e}" in report.to_table("simple")
    assert replace(report, apart=1e-5).ok is False


def test_numerical_training_calls_no_backward(small, monkeypatch):
    net = TwoLayerNet(784, 3, 10)
    for layer in [*net.layers, net.last_layer]:
        monkeypatch.setattr(layer, "backward", lambda dout=1.0: 1 / 0)
    before = net.loss(small.x_train, small.t_train)
    train(net, net.incremental_gradient, small, steps=20, batch_size=20, lr=0.5, rng=np.random.default_rng(0))
    assert net.loss(small.x_train, small.t_train) < before


def test_both_compares_every_parameter(small):
    report = run(small, gradient="both", steps=1, batch_size=5, hidden=3)
    assert [row.primal for row in report.gradients] == ["W1", "b1", "W2", "b2", "all"]
    assert all(row.relative_error < 1e-6 for row in report.gradients)
    assert report.ok
    assert report.gradients[-1].evaluations == 2 * (784 * 3 + 3 + 3 * 10 + 10)
    assert "a few digits" in report.to_table("simple").splitlines()[0]
    assert "times as fast as the loop" in report.to_table("simple")


def test_a_wrong_backprop_is_reported(small, monkeypatch):
    net = TwoLayerNet(784, 3, 10)
    right = net.gradient
    monkeypatch.setattr(net, "gradient", lambda x, t: {**right(x, t), "b1": -right(x, t)["b1"]})
    rows = {row.primal: row for row in compare_gradients(net, small.x_train[:5], small.t_train[:5])}
    assert [name for name, row in rows.items() if row.verdict == "wrong"] == ["b1", "all"]


def test_ctrl_c_ends_training_cleanly(small):
    net, calls = TwoLayerNet(784, 3, 10), iter(range(100))

    def gradient(x, t):
        if next(calls) == 7:
            raise KeyboardInterrupt
        return net.gradient(x, t)

    history = train(net, gradient, small, steps=50, batch_size=50, lr=0.1, rng=np.random.default_rng(0))
    assert history.interrupted
    assert [p.step for p in history.points] == [0, 4, 7]


@pytest.mark.mnist
def test_the_textbooks_accuracies_on_mnist(mnist_folder):
    from gradlab.textbook.datasets import load_dataset

    data = load_dataset(mnist_folder)
    points = run(data, gradient="backprop", steps=10_000).training["backprop"].points
    reached = {p.epoch: p.test_accuracy for p in points}
    for epoch, expected in {1: 0.80, 2: 0.88, 4: 0.91, 8: 0.93, 16: 0.945}.items():
        assert reached[epoch] == pytest.approx(expected, abs=0.02), epoch


@pytest.mark.mnist
def test_both_gradients_agree_on_mnist(mnist_folder):
    from gradlab.textbook.datasets import load_dataset

    data = load_dataset(mnist_folder)
    # three images, as in the book's own check
    rows = compare_gradients(TwoLayerNet(784, 50, 10), data.x_train[:3], data.t_train[:3])
    assert all(row.relative_error < 1e-6 for row in rows)


def test_every_layer_is_a_registered_node():
    assert Affine(np.ones((2, 2)), np.ones(2)).node.forward is NODES["affine"].forward
