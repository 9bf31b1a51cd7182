"""check_model: right models pass, and every wrong gradient is told."""

import doctest
from importlib import import_module

import numpy as np
import pytest

from gradlab import Verdict
from gradlab.textbook.models import TwoLayerNet
from gradlab.textbook.models.graph import Dense, Dropout, Input, Model, Sequential
from gradlab.textbook.models.graph.layers import dense
from gradlab.textbook.models.model_check import check_model

RNG = np.random.default_rng(0)
X, T = RNG.standard_normal((5, 4)), np.array([0, 2, 1, 2, 0])


def verdicts(report):
    return {row.primal: str(row.verdict) for row in report.rows}


class Line:
    """A model whose parameters are a list."""

    def __init__(self, slope):
        self.params = [np.array([2.0, 3.0]), np.array(1.0)]
        self.slope = slope

    def loss(self, x, t):
        return float(np.mean((x @ self.params[0] + self.params[1] - t) ** 2))

    def gradient(self, x, t):
        error = x @ self.params[0] + self.params[1] - t
        return [self.slope * error @ x / len(x), np.asarray(2 * error.mean())]


def test_the_textbooks_network_passes():
    report = check_model(TwoLayerNet(4, 3, 3, weight_init_std=0.5), X, T)
    assert verdicts(report) == dict.fromkeys(["W1", "b1", "W2", "b2", "all"], "pass")
    for row in report.rows:
        assert (row.node, row.sample, row.check) == ("TwoLayerNet", "batch of 5", "matches_numerical")
        assert row.relative_error < 1e-8
        assert row.speedup == pytest.approx(row.numerical_s / row.backward_s)
    assert report.rows[0].textbook_error < 1e-6
    assert report.rows[-1].evaluations == sum(row.evaluations for row in report.rows[:-1])
    assert report.rows[-1].numerical_s == pytest.approx(sum(row.numerical_s for row in report.rows[:-1]))


def test_parameters_may_be_a_list():
    x, t = RNG.standard_normal((6, 2)), RNG.standard_normal(6)
    assert verdicts(check_model(Line(2), x, t)) == dict.fromkeys(["params[0]", "params[1]", "all"], "pass")
    wrong = check_model(Line(2 * (1 + 1e-6)), x, t, name="a line")
    assert verdicts(wrong) == {"params[0]": "wrong", "params[1]": "pass", "all": "wrong"}
    assert wrong.rows[0].node == "a line"
    assert check_model(Line(2 * (1 + 1e-6)), x, t, rtol=1e-5).ok


@pytest.mark.parametrize("method", ["auto", "central"])
def test_a_wrong_backward_is_told_and_the_parameters_are_restored(monkeypatch, method):
    model = Sequential([Dense(3, "tanh", input_shape=(4,)), Dense(3, "softmax")])
    model.compile("sgd", "sparse_categorical_crossentropy")
    before = {name: p.copy() for name, p in model.params.items()}
    right = dense.affine.backward
    monkeypatch.setattr(
        dense.affine, "backward", lambda residuals, g: (*right(residuals, g)[:2], g.mean(axis=0))
    )
    report = check_model(model, X, T, method=method)
    assert [name for name, verdict in verdicts(report).items() if verdict == "wrong"] == [
        "dense/b", "dense_1/b", "all"
    ]  # fmt: skip
    assert report.rows[1].relative_error > 0.5
    assert report.rows[-1].relative_error > 1e-2
    assert all(np.array_equal(before[name], p) for name, p in model.params.items())


def test_a_shared_layers_forgotten_call_is_told(monkeypatch):
    a, b, layer = Input((4,)), Input((4,)), Dense(3, "softmax")
    model = Model([a, b], [layer(a), layer(b)])
    model.compile("sgd", "sparse_categorical_crossentropy")
    x, t = [X, RNG.standard_normal((5, 4))], [T, T[::-1]]
    assert check_model(model, x, t).ok

    def last_only(sums, key, g):
        sums[key] = g

    monkeypatch.setattr("gradlab.textbook.models.graph.passes.add_to", last_only)
    assert verdicts(check_model(model, x, t))["dense/W"] == "wrong"


def test_a_missing_or_misshapen_gradient_is_told():
    net = TwoLayerNet(4, 3, 3)
    right = net.gradient
    net.gradient = lambda x, t: {k: g if k != "b1" else g[None] for k, g in right(x, t).items() if k != "W2"}
    report = check_model(net, X, T)
    assert verdicts(report) == {"W1": "pass", "b1": "wrong", "W2": "wrong", "b2": "pass", "all": "wrong"}
    notes = {row.primal: row.note for row in report.rows}
    assert notes["b1"] == "the gradient is of shape (1, 3), and the parameter of shape (3,)"
    assert notes["W2"].startswith("the gradient is missing")


def test_a_dead_unit_on_the_kink_is_right():
    model = Sequential([Dense(1, "relu", input_shape=(2,)), Dense(1)])
    model.compile("sgd", "mse")
    report = check_model(model, np.zeros((1, 2)), np.ones(1))
    assert report.ok
    assert verdicts(report)["dense/b"] == "kink"
    assert report.rows[-1].relative_error < 1e-8


def test_dropout_that_is_not_held_is_refused():
    model = Sequential([Dropout(0.5, input_shape=(4,)), Dense(3, "softmax")])
    model.compile("sgd", "sparse_categorical_crossentropy")
    rng, held = np.random.default_rng(0), model.loss
    model.loss = lambda x, t: held(x, t, rng=rng)
    with pytest.raises(ValueError, match=r"at the next call: draw from the same seed"):
        check_model(model, X, T)


def test_what_cannot_be_checked():
    model = Sequential([Dropout(0.5, input_shape=(4,))])
    model.compile("sgd", "mse")
    with pytest.raises(ValueError, match="Sequential has no parameters"):
        check_model(model, X, X)
    line = Line(2)
    with pytest.raises(ValueError, match="the loss is nan"):
        check_model(line, np.full((1, 2), np.nan), np.ones(1))
    line.params = [p.astype(np.float32) for p in line.params]
    with pytest.raises(TypeError, match=r"the parameters are of float32, .*: make them float64"):
        check_model(line, np.ones((1, 2)), np.ones(1))


def test_a_float32_model_is_judged_in_float64():
    model = Sequential([Dense(3, "tanh", input_shape=(4,)), Dense(3, "softmax")], dtype=np.float32)
    model.compile("sgd", "sparse_categorical_crossentropy")
    report = check_model(model, X, T)
    assert report.ok
    assert {row.dtype for row in report.rows} == {"float32"}
    assert 1e-9 < report.rows[-1].relative_error < 1e-6
    assert model.params["dense/W"].dtype == np.float32
    wrong = model.gradient
    model.gradient = lambda x, t: {name: g * np.float32(1.001) for name, g in wrong(x, t).items()}
    assert all(row.verdict is Verdict.WRONG for row in check_model(model, X, T).rows)


def test_the_docstrings_example():
    # imported by its name, as the package has the function under it
    module = import_module("gradlab.textbook.models.model_check")
    assert doctest.testmod(module, extraglobs={"np": np}) == (0, 2)
