"""The parts of incremental differences: what is known of nodes, what is computed, what is restored and refused."""

import numpy as np
import pytest

from gradlab.node import Node
from gradlab.nodes import NODES
from gradlab.textbook.incremental import Program, ProgramLoss, Step, affine, chain, incremental_gradient
from gradlab.textbook.incremental import node_kinds as known
from gradlab.textbook.incremental.row_losses import row_loss
from gradlab.textbook.layers import Affine, LossLayer, MatMul, SoftmaxWithLoss, StatefulLayer
from gradlab.textbook.models import TwoLayerNet

from .plain_loop import an_affine, no_backward, params_of, sparse

__all__ = ["no_backward"]  # a fixture, for all tests here

N, D, H, K = 5, 6, 4, 3
T = np.array([0, 2, 1, 1, 0])


@pytest.mark.parametrize("name", known.KINDS)
def test_what_is_known_of_a_node_is_true(name):
    """Moving one row, or one element, must leave all others as they were."""
    node = NODES[name.split(".")[1]]
    assert known.registered_name(node.forward) == name
    for sample in node.draw_samples():
        x, *params = sample.primals
        kind = known.kind_of(node.forward, sample.settings)
        if x.ndim < 2 or kind == "batch":
            continue
        y = node.forward(x, *params, **sample.settings)[0]
        for i in range(len(x)):
            alone = node.forward(x[i : i + 1], *params, **sample.settings)[0]
            np.testing.assert_allclose(alone, y[i : i + 1], rtol=1e-13, atol=1e-13)
        if kind == "elementwise":
            flat = node.forward(x.reshape(-1), **sample.settings)[0]
            assert np.array_equal(flat.reshape(x.shape), y)


def test_nothing_is_known_of_an_axis_an_array_or_another_forward():
    assert known.kind_of(NODES["sigmoid"].forward, {}) == "elementwise"
    assert known.kind_of(NODES["clip"].forward, {"low": 0.0, "high": 1}) == "elementwise"
    assert known.kind_of(NODES["clip"].forward, {"low": np.zeros(3)}) == "batch"
    assert known.kind_of(NODES["softmax"].forward, {"axis": 0}) == "batch"
    assert known.kind_of(NODES["batch_norm"].forward, {}) == "batch"
    assert known.kind_of(lambda x: (x, None), {}) == "batch"

    def impostor(x):
        return x * x.mean(), None

    impostor.__module__ = "gradlab.nodes.activation.tanh"
    assert known.kind_of(impostor, {}) == "batch"


def test_a_wrong_sum_over_rows_is_not_believed():
    rng = np.random.default_rng(0)
    x, W = sparse(rng, N, D), rng.standard_normal((D, K))

    def program(factor):
        loss = NODES["sum_squares_error"].forward
        return Program(
            (x,),
            (Step(lambda inputs, _: inputs[0] @ W, (0,), (W,), "affine"),),
            (
                ProgramLoss(
                    lambda y: factor * loss(y, np.eye(K)[T])[0],
                    1,
                    lambda y: row_loss(loss, y, np.eye(K)[T], {}),
                ),
            ),
        )

    once, twice = (incremental_gradient(program(factor), {"W": W})["W"] for factor in (1, 2))
    np.testing.assert_allclose(twice, 2 * once, rtol=1e-9)


def test_an_unknown_setting_leaves_a_loss_unknown():
    forward = NODES["softmax_with_loss"].forward
    assert row_loss(forward, np.ones((N, K)), T, {"smoothing": 0.1}) is None
    assert row_loss(NODES["ctc"].forward, np.ones((N, K)), T, {}) is None


def test_each_pair_of_a_row_and_an_input_is_met_once():
    rng = np.random.default_rng(0)
    for x in (
        rng.integers(0, 4, (N, 50)) / 3,
        sparse(rng, N, D),
        rng.standard_normal((N, D)),
        np.zeros((2, 3)),
    ):
        rows, inputs, sums = affine.distinct_inputs(x)
        whose = sums.toarray().astype(bool)
        for feature, column in enumerate([*x.T, np.ones(len(x))]):
            again = np.zeros(len(x))
            again[rows[whose[feature]]] = inputs[whose[feature]]
            assert np.array_equal(again, column)
    few = rng.integers(0, 4, (N, 50)) / 3
    rows, inputs, _ = affine.distinct_inputs(few)
    assert len(rows) == len(set(zip(rows, inputs, strict=True))) == 3 * N


def counted(name, node, calls):
    def forward(*primals):
        calls[name] += 1
        return node.forward(*primals)

    return Node(name, node.family, forward, node.backward, node.samples)


def test_what_is_before_a_parameter_is_not_computed_again():
    calls = dict.fromkeys(("first", "mine", "last"), 0)
    rng = np.random.default_rng(0)
    layers = [
        StatefulLayer(counted("first", NODES["tanh"], calls)),
        an_affine(rng, D, H),
        StatefulLayer(counted("mine", NODES["matmul"], calls), rng.standard_normal((H, H))),
        an_affine(rng, H, K),
        StatefulLayer(counted("last", NODES["tanh"], calls)),
    ]
    program = chain(layers, SoftmaxWithLoss(), sparse(rng, N, D), T)
    incremental_gradient(program, params_of(layers[3:]))
    assert calls == {"first": 1, "mine": 1, "last": 1 + 2 * (H * K + K)}
    incremental_gradient(program, params_of(layers[2:3]))
    assert calls == {"first": 2, "mine": 2 + 2 * H * H, "last": 2 + 2 * (H * K + K) + 2 * H * H}
    incremental_gradient(program, params_of(layers[1:2]))
    assert calls["first"] == 3
    assert calls["mine"] == 3 + 2 * H * H + 2 * (D * H + H)


def test_what_leads_to_no_loss_is_not_computed_again():
    calls = {"aside": 0}
    rng = np.random.default_rng(0)
    x, W, aside = sparse(rng, N, D), rng.standard_normal((D, K)), counted("aside", NODES["softmax"], calls)
    program = Program(
        (x,),
        (
            Step(lambda inputs, _: inputs[0] @ W, (0,), (W,), "affine"),
            Step(lambda inputs, _: aside.forward(*inputs)[0], (1,)),
        ),
        (ProgramLoss(lambda y: NODES["softmax_with_loss"].forward(y, T)[0], 1),),
    )
    incremental_gradient(program, {"W": W})
    assert calls == {"aside": 1}


def test_parameters_are_restored_when_a_forward_raises():
    rng = np.random.default_rng(0)
    W = rng.random((2, 3))
    calls = []

    def forward(x, w):
        calls.append(0)
        if len(calls) > 4:
            raise KeyboardInterrupt
        return x @ w, None

    layers = [StatefulLayer(Node("mine", "linear", forward, None, None), W)]
    kept = W.copy()
    with pytest.raises(KeyboardInterrupt):
        incremental_gradient(chain(layers, SoftmaxWithLoss(), rng.random((4, 2)), np.zeros(4, int)), {"W": W})
    assert np.array_equal(W, kept)
    assert len(calls) == 5


def test_affine_parameters_may_be_read_only():
    net, x = TwoLayerNet(D, H, K, weight_init_std=0.7, rng=1), sparse(np.random.default_rng(0), N, D)
    wanted = net.incremental_gradient(x, T)
    for p in net.params.values():
        p.flags.writeable = False
    found = net.incremental_gradient(x, T)
    assert all(np.array_equal(found[name], wanted[name]) for name in wanted)


@pytest.mark.parametrize("place", [(0, 0), (0, 1), (1, 0), (2, 0)])
def test_a_step_that_vanishes_is_refused(place):
    rng = np.random.default_rng(0)
    layers = [
        an_affine(rng, D, H),
        StatefulLayer(NODES["layer_norm"], np.ones(H), np.ones(H)),
        an_affine(rng, H, K),
    ]
    layers[place[0]].params[place[1]].flat[-1] = 1e13
    program = chain(layers, SoftmaxWithLoss(), sparse(rng, N, D), T)
    with pytest.raises(
        ValueError, match=f"vanishes against {place[0]}/{place[1]}.* = 1e\\+13: scale it down"
    ):
        incremental_gradient(program, params_of(layers))


def test_parameters_that_are_no_floats_are_refused():
    W = np.arange(D * K).reshape(D, K)
    program = chain([MatMul(W)], SoftmaxWithLoss(), np.ones((N, D)), T)
    with pytest.raises(TypeError, match=r"astype\(float\)"):
        incremental_gradient(program, {"W": W})


def test_a_loss_that_is_not_finite_is_refused():
    net, x = TwoLayerNet(D, H, K, rng=1), np.ones((N, D))
    x[2, 3] = np.nan
    with pytest.raises(ValueError, match="the loss is nan"):
        net.incremental_gradient(x, T)


@pytest.mark.filterwarnings("ignore:.*:RuntimeWarning")
def test_a_difference_that_is_not_finite_is_refused():
    layers = [Affine(np.zeros((1, 1)), np.full(1, 5e-5)), StatefulLayer(NODES["log"])]
    program = chain(layers, LossLayer(NODES["mean_squared_error"]), np.ones((2, 1)), np.ones((2, 1)))
    with pytest.raises(ValueError, match="no finite difference by 0/0"):
        incremental_gradient(program, params_of(layers))
