"""The four equations of backpropagation, each on its own, and the MLP whose gradient they are."""

import numpy as np
import pytest
from scipy.special import expit

from gradlab import numerical_gradient
from gradlab.textbook.four_equations import (
    bias_gradient,
    error_through_layer,
    output_error,
    saturation,
    sigmoid_slope,
    slow_weights,
    weight_gradient,
)
from gradlab.textbook.models import mlp
from gradlab.textbook.models.mlp import MLP, check_equations

N, D, H, K = 5, 4, 3, 2


@pytest.fixture
def rng():
    return np.random.default_rng(0)


@pytest.fixture
def net():
    return MLP([D, 5, H, K], rng=1)


@pytest.fixture
def batch(rng):
    return rng.standard_normal((N, D)), rng.integers(K, size=N)


def test_error_of_the_output_layer(rng):
    z, t = rng.standard_normal((2, N, K))
    cost = lambda z: np.sum((expit(z) - t) ** 2) / 2
    np.testing.assert_allclose(
        output_error(expit(z) - t, sigmoid_slope(z)), numerical_gradient(cost, z), rtol=1e-6, atol=1e-10
    )


def test_error_through_a_layer(rng):
    z, W, b, error = (rng.standard_normal(shape) for shape in ((N, D), (D, H), H, (N, H)))
    # the next layer's cost has the slope `error` wherever z leads
    cost = lambda z: np.sum(error * (expit(z) @ W + b))
    np.testing.assert_allclose(
        error_through_layer(error, W, sigmoid_slope(z)), numerical_gradient(cost, z), rtol=1e-6, atol=1e-10
    )


def test_gradients_of_bias_and_weight(rng):
    a, W, b, error = (rng.standard_normal(shape) for shape in ((N, D), (D, H), H, (N, H)))
    of_bias = numerical_gradient(lambda b: np.sum(error * (a @ W + b)), b)
    of_weight = numerical_gradient(lambda W: np.sum(error * (a @ W + b)), W)
    np.testing.assert_allclose(bias_gradient(error), of_bias, rtol=1e-8)
    np.testing.assert_allclose(weight_gradient(a, error), of_weight, rtol=1e-8, atol=1e-10)


def test_the_slope_keeps_its_digits_where_the_sigmoid_is_1():
    np.testing.assert_allclose(sigmoid_slope(np.array([0.0, 50.0, -50.0])), [0.25, *[np.exp(-50)] * 2])


def test_the_equations_make_the_networks_gradient(net, batch):
    analytic, numerical = net.gradient(*batch), net.numerical_gradient(*batch)
    assert list(analytic) == ["W1", "b1", "W2", "b2", "W3", "b3"]
    for name in analytic:
        np.testing.assert_allclose(analytic[name], numerical[name], rtol=1e-6, atol=1e-10)


def test_each_equation_is_checked_at_each_layer(net, batch):
    checks = check_equations(net, *batch)
    assert [(c.equation, c.moved, c.elements) for c in checks] == [
        ("BP1", "z3", N * K), ("BP2", "z2", N * H), ("BP2", "z1", N * 5),
        ("BP3", "b1", 5), ("BP3", "b2", H), ("BP3", "b3", K),
        ("BP4", "W1", D * 5), ("BP4", "W2", 5 * H), ("BP4", "W3", H * K),
    ]  # fmt: skip
    assert all(c.relative_error < 1e-7 for c in checks)


@pytest.mark.parametrize(
    ("equation", "name", "wrong"),
    [
        ("BP1", "output_error", lambda cost_gradient, slope: cost_gradient),
        ("BP2", "error_through_layer", lambda error, W, slope: error @ W.T),
        ("BP3", "bias_gradient", lambda error: error.mean(axis=0)),
        ("BP4", "weight_gradient", lambda activation, error: -activation.T @ error),
    ],
)
def test_a_wrong_equation_shows_in_its_own_rows_alone(net, batch, monkeypatch, equation, name, wrong):
    monkeypatch.setattr(mlp, name, wrong)
    for check in check_equations(net, *batch):
        assert (check.relative_error > 1e-2) == (check.equation == equation), check


def test_a_weight_out_of_a_low_activation_neuron_learns_slowly():
    rows = slow_weights((1.0, 0.5, 0.01, 0.0))
    for row in rows:
        assert row.gradient == pytest.approx(row.activation * row.error, rel=1e-12)
        assert row.gradient == pytest.approx(row.numerical, rel=1e-7, abs=1e-10)
    assert len({row.error for row in rows}) == 1
    assert [row.gradient / rows[0].gradient for row in rows] == pytest.approx([1, 0.5, 0.01, 0])


def test_a_saturated_sigmoids_error_vanishes():
    rows = saturation((0.0, 1.0, 4.0, 8.0))
    for row in rows:
        assert row.error == pytest.approx(row.numerical, rel=1e-6)
        assert row.error == pytest.approx(row.output * row.slope)
    assert rows[0].error == 0.125
    assert [row.output for row in rows] == sorted(row.output for row in rows)
    assert rows[-1].error < 4e-4 < rows[-1].output  # as wrong as can be, and hardly any error


def test_the_networks_cost(net, batch):
    x, t = batch
    y, a = net.predict(x), x
    for k in (1, 2, 3):
        a = 1 / (1 + np.exp(-(a @ net.params[f"W{k}"] + net.params[f"b{k}"])))
    np.testing.assert_allclose(y, a)
    assert y.shape == (N, K)
    assert net.loss(x, t) == pytest.approx(np.sum((y - np.eye(K)[t]) ** 2) / (2 * N))
    assert net.loss(x, np.eye(K)[t]) == net.loss(x, t)
    assert all(
        net.loss_from(k, z, t) == net.loss(x, t) for k, z in enumerate(net.weighted_inputs(x), start=1)
    )
    assert net.accuracy(x, y.argmax(axis=1)) == 1
    assert net.accuracy(x, 1 - y.argmax(axis=1)) == 0


def test_the_network_learns(rng):
    x = rng.standard_normal((40, 2))
    t = (x[:, 0] * x[:, 1] > 0).astype(int)
    net = MLP([2, 8, 2], rng=0)
    assert net.accuracy(x, t) < 0.8
    for _ in range(1500):
        for name, gradient in net.gradient(x, t).items():
            net.params[name] -= 5 * gradient
    assert net.accuracy(x, t) == 1


def test_initial_parameters():
    net = MLP([400, 100, 3], rng=5)
    assert net.params["W1"].std() == pytest.approx(1 / 20, rel=0.05)
    assert net.params["b1"].std() == pytest.approx(1, rel=0.3)
    assert np.array_equal(net.params["W2"], MLP([400, 100, 3], rng=5).params["W2"])
    for sizes in ([3], [3, 0, 2]):
        with pytest.raises(ValueError, match="give at least two positive numbers"):
            MLP(sizes)
