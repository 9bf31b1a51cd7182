"""Incremental differences against the plain loop: the models of layers in a chain."""

import numpy as np
import pytest

from gradlab.node import Node
from gradlab.nodes import NODES
from gradlab.numerical.finite_difference import numerical_gradient
from gradlab.textbook.incremental import affine, chain, elements, gradient, incremental_gradient
from gradlab.textbook.layers import (
    Affine,
    LossLayer,
    MatMul,
    Relu,
    Sigmoid,
    Softmax,
    SoftmaxWithLoss,
    StatefulLayer,
    Tanh,
)
from gradlab.textbook.models import SimpleNet, TwoLayerNet
from gradlab.textbook.models.graph import Dense, Dropout, Sequential
from gradlab.textbook.models.mlp import MLP

from .plain_loop import an_affine, assert_chain, assert_same, chain_loss, no_backward, params_of, sparse

__all__ = ["no_backward"]  # a fixture, for all tests here

N, D, H, K = 5, 6, 4, 3
T = np.array([0, 2, 1, 1, 0])


@pytest.mark.parametrize("seed", range(3))
@pytest.mark.parametrize("batch", [1, 5])
@pytest.mark.parametrize("dtype", [np.float64, np.float32])
@pytest.mark.parametrize("one_hot", [False, True])
def test_two_layer_net(seed, batch, dtype, one_hot):
    net = TwoLayerNet(D, H, K, weight_init_std=0.7, rng=seed)
    x, t = sparse(np.random.default_rng(seed), batch, D).astype(dtype), T[:batch]
    t = np.eye(K)[t] if one_hot else t
    assert_same(net.incremental_gradient(x, t), lambda: net.loss(x, t), net.params)


def test_two_layer_net_with_another_layer_and_loss():
    net = TwoLayerNet(D, H, K, weight_init_std=0.7, rng=1)
    net.layers[1], net.last_layer = Relu(), LossLayer(NODES["mean_squared_error"])
    rng = np.random.default_rng(0)
    x, t = sparse(rng, N, D), rng.standard_normal((N, K))
    assert_same(net.incremental_gradient(x, t), lambda: net.loss(x, t), net.params)


def test_a_parameter_that_is_not_used_has_gradient_zero():
    net = TwoLayerNet(D, H, K, rng=1)
    net.layers[0] = an_affine(np.random.default_rng(0), D, H)
    gradient = net.incremental_gradient(sparse(np.random.default_rng(1), N, D), T)
    assert not gradient["W1"].any()
    assert gradient["W2"].any()


@pytest.mark.parametrize("shape", [(2,), (1, 2), (5, 2), (2, 3, 2)])
@pytest.mark.parametrize("one_hot", [False, True])
def test_simple_net(shape, one_hot):
    rng = np.random.default_rng(3)
    net, x, t = SimpleNet(rng=1), rng.standard_normal(shape), rng.integers(3, size=shape[:-1])
    t = np.eye(3)[t] if one_hot else t
    found = {"W": net.incremental_gradient(x, t)}
    assert_same(found, lambda: net.loss(x, t), {"W": net.W})


@pytest.mark.parametrize("sizes", [[D, K], [D, H, K], [D, H, 5, K]])
@pytest.mark.parametrize("batch", [1, 5])
def test_mlp(sizes, batch):
    net, x = MLP(sizes, rng=2), sparse(np.random.default_rng(1), batch, D)
    for t in (T[:batch], np.eye(K)[T[:batch]]):
        assert_same(net.incremental_gradient(x, t), lambda t=t: net.loss(x, t), net.params)


CHAINS = {
    "one affine": lambda rng: [an_affine(rng, D, K)],
    "matmul": lambda rng: [MatMul(rng.standard_normal((D, H))), Tanh(), MatMul(rng.standard_normal((H, K)))],
    "relu": lambda rng: [an_affine(rng, D, H), Relu(), an_affine(rng, H, K)],
    "two activations": lambda rng: [an_affine(rng, D, H), Tanh(), Sigmoid(), an_affine(rng, H, K)],
    "no activation": lambda rng: [an_affine(rng, D, H), an_affine(rng, H, 2), an_affine(rng, 2, K)],
    "three affine": lambda rng: [
        an_affine(rng, D, H),
        Relu(),
        an_affine(rng, H, 5),
        Tanh(),
        an_affine(rng, 5, K),
    ],
    "an activation first": lambda rng: [Sigmoid(), an_affine(rng, D, K)],
    "an activation last": lambda rng: [an_affine(rng, D, K), Tanh()],
    "rows in the middle": lambda rng: [
        an_affine(rng, D, H),
        StatefulLayer(NODES["layer_norm"], rng.random(H), rng.random(H)),
        an_affine(rng, H, K),
    ],
    "settings that are numbers": lambda rng: [
        an_affine(rng, D, H),
        StatefulLayer(NODES["clip"], low=-0.5, high=0.5),
        an_affine(rng, H, K),
    ],
    "settings that are arrays": lambda rng: [
        an_affine(rng, D, H),
        StatefulLayer(NODES["clip"], low=np.array(-0.5), high=0.5),
        an_affine(rng, H, K),
    ],
    "the batch as a whole": lambda rng: [
        an_affine(rng, D, H),
        StatefulLayer(NODES["batch_norm"], rng.random(H), rng.random(H)),
        Relu(),
        an_affine(rng, H, K),
    ],
    "nothing is known": lambda rng: [an_affine(rng, D, H), Mystery(), Tanh(), an_affine(rng, H, K)],
    "a node under another's name": lambda rng: [
        an_affine(rng, D, H),
        StatefulLayer(Node("tanh", "activation", lambda x: (x * x.mean(), None), None, None)),
        an_affine(rng, H, K),
    ],
    "a subclass": lambda rng: [an_affine(rng, D, H), TimesTwo(NODES["tanh"]), an_affine(rng, H, K)],
}


class Mystery:
    """A layer of somebody else's, in which the rows are tied to each other."""

    params = (np.array([[0.3, -0.2, 0.5, 0.1]]),)

    def forward(self, x):
        return np.sin(x + x.mean(axis=0)) * self.params[0]


class TimesTwo(StatefulLayer):
    def forward(self, *inputs, **settings):
        return 2 * super().forward(*inputs, **settings) + inputs[0].mean()


@pytest.mark.parametrize("seed", range(2))
@pytest.mark.parametrize("name", CHAINS)
def test_chains(name, seed):
    rng = np.random.default_rng(seed)
    assert_chain(CHAINS[name](rng), SoftmaxWithLoss(), sparse(rng, N, D), T)


@pytest.mark.parametrize("part", [2**20, 500])
@pytest.mark.parametrize("stack", [100, 450])
@pytest.mark.parametrize("name", ["relu", "three affine", "no activation", "rows in the middle"])
def test_chains_in_small_pieces(name, stack, part, monkeypatch):
    monkeypatch.setattr(affine, "STACK", stack)
    monkeypatch.setattr(affine, "PART", part)
    monkeypatch.setattr(elements, "STACK", 40)
    rng = np.random.default_rng(0)
    assert_chain(CHAINS[name](rng), SoftmaxWithLoss(), sparse(rng, N, D), T)


@pytest.mark.parametrize("scale", [1e-6, 50.0, 1000.0])
def test_scores_of_any_size(scale):
    # saturated units, and scores whose exponentials overflow
    rng = np.random.default_rng(5)
    layers = [an_affine(rng, D, H), Relu(), an_affine(rng, H, K, scale)]
    assert_chain(layers, SoftmaxWithLoss(), sparse(rng, N, D), T)


def test_a_network_that_is_almost_certain():
    layers = [Affine(10 * np.eye(K), np.array([8.0, 8.0, 8.0]))]
    program = chain(layers, SoftmaxWithLoss(), np.eye(K)[T], T)
    found = incremental_gradient(program, params_of(layers))
    expected = numerical_gradient(
        lambda _: chain_loss(layers, SoftmaxWithLoss(), np.eye(K)[T], T), layers[0].params[0]
    )
    assert chain_loss(layers, SoftmaxWithLoss(), np.eye(K)[T], T) < 1e-4
    # here the differences are a matter of rounding: of scores of 18, over the step
    np.testing.assert_allclose(found["0/0"], expected, rtol=0, atol=18 * 2.3e-16 / 1e-4)


@pytest.mark.parametrize("shape", [(N, 3, 2), (N, 1, 2, 3)])
def test_inputs_that_an_affine_layer_flattens(shape):
    rng = np.random.default_rng(0)
    assert_chain(
        [an_affine(rng, D, H), Tanh(), an_affine(rng, H, K)], SoftmaxWithLoss(), sparse(rng, *shape), T
    )


@pytest.mark.parametrize("batch", [1, 2])
def test_matmul_of_a_stack_of_matrices(batch):
    rng = np.random.default_rng(0)
    layers = [MatMul(rng.standard_normal((D, H))), Tanh(), MatMul(rng.standard_normal((H, K)))]
    t = rng.integers(K, size=(batch, N))
    assert_chain(layers, SoftmaxWithLoss(), rng.standard_normal((batch, N, D)), t)


def test_a_single_vector_has_no_rows():
    rng = np.random.default_rng(0)
    layers = [MatMul(rng.standard_normal((K, K))), Softmax(), MatMul(rng.standard_normal((K, K)))]
    assert_chain(layers, SoftmaxWithLoss(), rng.standard_normal(K), np.array(1))
    # here the scores have rows, which softmax has tied to each other before
    layers[2] = an_affine(rng, 1, H)
    assert_chain(layers, SoftmaxWithLoss(), rng.standard_normal(K), np.arange(K))


def test_an_element_that_moves_other_rows_up_than_down():
    rng = np.random.default_rng(0)
    bent = Node("bent", "linear", lambda x, W: (np.maximum(x @ W, 0), None), None, None)
    layers = [StatefulLayer(bent, np.zeros((D, H))), an_affine(rng, H, K)]
    assert_chain(layers, SoftmaxWithLoss(), sparse(rng, N, D), T)


def test_integers_as_input():
    rng = np.random.default_rng(0)
    layers = [an_affine(rng, D, H), Tanh(), an_affine(rng, H, K)]
    assert_chain(layers, SoftmaxWithLoss(), rng.integers(-2, 3, (N, D)), T)


@pytest.mark.parametrize("normalised", [False, True])
def test_shared_layers(normalised):
    rng = np.random.default_rng(0)
    shared = an_affine(rng, H, H)
    layers = [an_affine(rng, D, H), Tanh(), shared, Sigmoid(), shared, an_affine(rng, H, K)]
    if normalised:
        layers.insert(2, StatefulLayer(NODES["batch_norm"], np.ones(H), np.zeros(H)))
    params = {name: p for name, p in params_of(layers).items() if not name.startswith("5/")}
    x = sparse(rng, N, D)
    found = incremental_gradient(chain(layers, SoftmaxWithLoss(), x, T), params)
    assert_same(found, lambda: chain_loss(layers, SoftmaxWithLoss(), x, T), params)


def test_parameters_that_are_views_of_one_array():
    rng = np.random.default_rng(0)
    W = rng.standard_normal((H, H))
    layers = [an_affine(rng, D, H), MatMul(W), Tanh(), MatMul(W.T), an_affine(rng, H, K)]
    assert_chain(layers, SoftmaxWithLoss(), sparse(rng, N, D), T)


def test_a_parameter_that_is_a_view_of_the_layers_own():
    rng = np.random.default_rng(0)
    layers, x = [an_affine(rng, D, H), Tanh(), an_affine(rng, H, K)], sparse(rng, N, D)
    params = {"W1": layers[0].params[0].T, "b2": layers[2].params[1][:2]}
    found = incremental_gradient(chain(layers, SoftmaxWithLoss(), x, T), params)
    assert_same(found, lambda: chain_loss(layers, SoftmaxWithLoss(), x, T), params)


def test_the_fast_way_is_taken(monkeypatch):
    def refuse(*_):
        raise AssertionError("the whole batch was computed again")

    monkeypatch.setattr(gradient, "by_whole_batches", refuse)
    monkeypatch.setattr(gradient, "by_changed_rows", refuse)
    monkeypatch.setattr(affine, "_one_by_one", refuse)
    x = sparse(np.random.default_rng(0), N, D)
    MLP([D, H, 5, K]).incremental_gradient(x, T)
    TwoLayerNet(D, H, K).incremental_gradient(x, T)
    SimpleNet().incremental_gradient(x[:, :2], T)
    for model, loss in ((Dense(K, "softmax"), "sparse_categorical_crossentropy"), (Dense(1), "mse")):
        net = Sequential([Dense(H, "relu", input_shape=(D,)), Dropout(0.2), model])
        net.compile(loss=loss)
        net.incremental_gradient(x, T)
