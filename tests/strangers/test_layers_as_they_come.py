"""Layers in forms that once were misread: each right one passes, and the same with five times a gradient does not."""

import types

import numpy as np
import pytest

from gradlab import Verdict, check_layer
from gradlab.adapters.numpy_layer import LayerError

X = np.random.default_rng(0).standard_normal((4, 3))
W = np.random.default_rng(1).standard_normal((3, 2))


class Affine:
    def __init__(self, factor=1.0):
        self.W, self.factor = W.copy(), factor

    def forward(self, x):
        self.x = x
        return x @ self.W

    def backward(self, dout):
        self.dW = self.x.T @ dout
        return self.factor * dout @ self.W.T


class ReturnsItself(Affine):
    def forward(self, x):
        self.x, self.result, self.upstream = x, x @ self.W, None
        return self

    def backward(self, into):
        self.dW = self.x.T @ self.upstream
        into += self.factor * self.upstream @ self.W.T


class Box:
    def __init__(self, data):
        self.data, self.blame = data, None


class ReturnsAnObject(Affine):
    def forward(self, x):
        self.given, self.out = Box(x), Box(x @ self.W)
        return self.out

    def backward(self):
        self.dW = self.given.data.T @ self.out.blame
        self.given.blame = self.factor * self.out.blame @ self.W.T


class InDicts(Affine):
    def forward(self, batch):
        self.x = batch["rows"]
        return {"kind": batch["kind"], "rows": self.x @ self.W}

    def backward(self, given):
        self.dW = self.x.T @ given["push"]
        return {"pull": self.factor * given["push"] @ self.W.T}


class NamedWithAStem(Affine):
    turn_forward, turn_backward = Affine.forward, Affine.backward
    forward = backward = None


class RunningMeanAmongParameters:
    def __init__(self, factor=1.0):
        self.parameters, self.gradients = {"scale": np.array([0.5, -1.0, 2.0]), "mean_kept": np.zeros(3)}, {}
        self.factor = factor

    def forward(self, x):
        self.x = x
        self.parameters["mean_kept"] = 0.9 * self.parameters["mean_kept"] + 0.1 * x.mean(axis=0)
        return x * self.parameters["scale"]

    def backward(self, dout):
        self.gradients["scale"] = self.factor * (dout * self.x).sum(axis=0)
        return dout * self.parameters["scale"]


class FilledBuffer(Affine):
    def __init__(self, factor=1.0):
        super().__init__(factor)
        self.W_wide = np.zeros((3, 4))

    def forward(self, x):
        self.x, self.W_wide[:, ::2] = x, self.W
        return x @ self.W_wide

    def backward(self, dout):
        self.dW = (self.x.T @ dout)[:, ::2]
        return self.factor * dout @ self.W_wide.T


class TakesAStepAtOnce(Affine):
    def __init__(self, factor=1.0):
        self.params, self.grads, self.factor = {"W": W.copy()}, {"W": np.zeros_like(W)}, factor

    def forward(self, x):
        self.x = x
        return x @ self.params["W"]

    def backward(self, dout, update=True):
        dx = self.factor * dout @ self.params["W"].T
        self.grads["W"] += self.x.T @ dout
        if update:
            self.params["W"] = self.params["W"] - 0.01 * self.grads["W"]
            self.grads["W"] = np.zeros_like(W)
        return dx


class OddDraws(Affine):
    def forward(self, x):
        self.x = x
        return x @ self.W + 0.1 * np.random.randn(1)[0]  # noqa: NPY002 # what people do


class NestedPadding(Affine):
    def __init__(self, factor=1.0, padding=((0, 0), (1, 1))):
        super().__init__(factor)
        self.W, self.padding = np.ones((5, 2)), padding

    def forward(self, x):
        self.x = np.pad(x, self.padding)
        return self.x @ self.W

    def backward(self, dout):
        return super().backward(dout)[:, 1:-1]


class PassesOn:
    def __init__(self, factor=1.0):
        self.cost, self.factor = np.zeros((4, 3)), factor

    def forward(self, x, t):
        self.diff = x - t
        self.cost += self.diff**2
        return x

    def backward(self):
        return 2 * self.factor * self.diff


class Result:
    def __init__(self, value, deriv):
        self.value, self.deriv = value, deriv


class GivesItsGradient:
    def __init__(self, factor=1.0):
        self.factor = factor

    def __call__(self, prediction, target):
        gap = prediction - target
        return Result(np.mean(gap**2), 2 * self.factor * gap / gap.size)


class LossAndGradients:
    def __init__(self, factor=1.0):
        self.params, self.factor = {"W": W.copy()}, factor

    def loss(self, x, t):
        gap = x @ self.params["W"] - t
        return 0.5 * np.sum(gap**2), {"W": self.factor * x.T @ gap}


class TwoCotangents:
    def __init__(self, factor=1.0):
        self.factor = factor

    def forward(self, w, m):
        self.w, self.m = w, m
        return w @ m, 2.0 * m

    def backward(self, into_sum, into_kept):
        return self.factor * into_sum @ self.m.T, np.outer(self.w, into_sum) + 2.0 * into_kept


class OtherMeaning:
    def __init__(self, factor=1.0):
        self.W, self.U, self.factor = W.copy(), np.array([[0.3, -0.5], [0.8, 0.2]]), factor

    def forward(self, x, h):
        return np.tanh(x @ self.W + h @ self.U)

    def backward(self, g, h, under, old):
        dz = g * (1 - h**2)
        self.dW, self.dU = under.T @ dz, self.factor * old.T @ dz
        return dz @ self.W.T, dz @ self.U.T


class ColumnsForOne:
    def __init__(self, factor=1.0):
        self.W, self.factor = W.T.copy(), factor

    def forward(self, x):
        self.x, self.h = x, np.tanh(self.W @ x)
        return self.h

    def backward(self, delta):
        da = (delta * (1 - self.h**2)).reshape(1, -1)
        self.dW = da.T @ self.x.reshape(1, -1)
        return self.factor * da @ self.W


class NeedsAMode(Affine):
    def __init__(self, factor=1.0, padding=1):
        super().__init__(factor)
        self.padding, self.collect, self.W, self.dW = padding, False, np.ones((5, 2)), None

    def training(self):
        self.collect = True
        return self

    def forward(self, x):
        self.x = np.pad(x, ((0, 0), (self.padding, self.padding)))
        return self.x @ self.W

    def backward(self, dout):
        if self.collect:
            self.dW = self.factor * self.x.T @ dout
        return (dout @ self.W.T)[:, self.padding : -self.padding]


class ParameterObject:
    def __init__(self, numbers):
        self.numbers, self.slopes = numbers, np.zeros_like(numbers)


class ObjectsListed(Affine):
    def __init__(self, factor=1.0):
        self.weight, self.factor = ParameterObject(W.copy()), factor

    def parameters(self):
        return [self.weight]

    def forward(self, x):
        self.x = x
        return x @ self.weight.numbers

    def backward(self, dout):
        self.weight.slopes[...] = self.factor * self.x.T @ dout
        return dout @ self.weight.numbers.T


T = np.random.default_rng(3).standard_normal((4, 3))
FORMS = {
    "forward returns the layer, and backward fills a buffer": (ReturnsItself, (X,)),
    "forward returns an object, the cotangent goes onto it": (ReturnsAnObject, (X,)),
    "arrays travel in dicts": (InDicts, ({"rows": X, "kind": "a"},)),
    "the direction is a part of the name": (NamedWithAStem, (X,)),
    "a running mean stands among the parameters": (RunningMeanAmongParameters, (X,)),
    "a buffer is called like a parameter": (FilledBuffer, (X,)),
    "backward takes a step at once, unless told not to": (TakesAStepAtOnce, (X,)),
    "an odd number of normal numbers is drawn": (OddDraws, (X,)),
    "the padding is nested": (NestedPadding, (X,)),
    "a loss hands its input on": (PassesOn, (X, T)),
    "the result carries its gradient": (GivesItsGradient, (X, T)),
    "loss and gradients come together": (LossAndGradients, (X, T[:, :2])),
    "two cotangents with names of their own": (TwoCotangents, (T[0], X.T)),
    "an argument means another thing on the way back": (OtherMeaning, (X, T[:, :2])),
    "gradients come as rows": (ColumnsForOne, (X[0],)),
    "a mode is switched on by a method": (lambda factor=1.0: NeedsAMode(factor).training(), (X,)),
    "parameter objects with names of their own": (ObjectsListed, (X,)),
}


@pytest.mark.parametrize("form", FORMS)
def test_a_right_one_passes_and_a_wrong_one_does_not(form):
    make, inputs = FORMS[form]
    right, wrong = check_layer(make(), *inputs), check_layer(make(5.0), *inputs)
    assert right.ok, [row.sentence() for row in right.rows if not row.verdict.ok]
    assert any(row.verdict is Verdict.WRONG for row in wrong.rows)


def test_a_helper_is_not_checked_in_the_layers_place():
    class Bend:
        def __init__(self):
            self.func, self.deriv = (lambda x: x**3), (lambda x: 3 * x**2)

        def forward(self, x):
            self.result, self.upstream = self.func(x), np.zeros_like(x)
            return self

        def backward(self, into):
            into += self.upstream * self.deriv(self.result)

    assert any(row.verdict is Verdict.WRONG for row in check_layer(Bend(), X).rows)


class NotUnderstood:
    """Methods that may be a backward pass by their names, and of which nothing says that they are."""

    def forward(self, x):
        self.x = x
        return np.sin(x)


class Smooths(NotUnderstood):
    def smooth_gradient_map(self, e):
        return 0 * e + self.x**2


class Searches(NotUnderstood):
    def backtrack(self, e):
        return 0.5 * self.x


class Differs(NotUnderstood):
    def diff_to(self, other):
        return self.x - other


class Derives(NotUnderstood):
    def diff_to(self, other):
        return np.cos(self.x) * other


class DerivesWrong(NotUnderstood):
    def diff_to(self, other):
        return 1.5 * np.cos(self.x) * other


@pytest.mark.parametrize("layer", [Smooths(), Searches(), Differs()], ids=lambda layer: type(layer).__name__)
def test_what_nothing_bears_out_is_not_called_wrong(layer):
    report = check_layer(layer, X)
    assert {row.verdict for row in report.rows} <= {Verdict.INCONCLUSIVE, Verdict.PASS}
    (note,) = {row.note for row in report.rows if row.check == "matches_numerical"}
    method = next(name for name in vars(type(layer)) if name[0] != "_")
    assert note.startswith("not understood: read as forward, then ")
    assert f"say check_layer(layer, ..., backward={method!r})" in note
    assert not any(fault.confidence for fault in report.faults)
    assert any(row.verdict is Verdict.WRONG for row in check_layer(layer, X, backward=method).rows)


def test_what_fits_or_is_in_proportion_is_understood():
    assert check_layer(Derives(), X).ok
    assert check_layer(DerivesWrong(), X).faults[0].name == "constant-factor"


def test_one_example_shows_the_mean_over_a_batch():
    class Mean(Affine):
        def backward(self, dout):
            self.dW = self.x.T @ dout / len(dout)
            return dout @ self.W.T

    for examples in (1, 4):
        rows = check_layer(Mean(), X[:examples]).rows
        (warned,) = (row for row in rows if row.verdict is not Verdict.PASS)
        assert (warned.check, warned.verdict) == ("belongs_to_forward", Verdict.WARNING)


def test_a_module_that_a_closure_holds_keeps_its_random_state():
    module = types.ModuleType("noise")
    exec("import numpy as np\ndef mask(n): return np.random.rand(n) > 0.4", vars(module))

    class Drop:
        def __init__(self, draw):
            self.draw = draw

        def forward(self, x):
            self.mask = self.draw(x.shape[1])
            return x * self.mask

        def backward(self, dout):
            return dout * self.mask

    check_layer(Drop(lambda n: module.mask(n)), X).raise_if_failed()


def test_what_takes_the_output_back_to_the_input_is_no_gradient():
    class Rod:
        def forward(self, u):
            self.u = u
            return np.exp(u)

        def backward(self, u):
            return np.log(u)

    with pytest.raises(LayerError, match="or pass backward="):
        check_layer(Rod(), np.abs(X) + 0.5)


def test_a_domain_that_is_asserted_is_told():
    class Entropy:
        def forward(self, p):
            assert np.allclose(p.sum(axis=1), 1), "rows must add up to one"
            self.p = p
            return np.sum(p * np.log(p))

        def backward(self):
            return np.log(self.p) + 1

    p = np.abs(X) / np.abs(X).sum(axis=1, keepdims=True)
    with pytest.raises(LayerError, match="rows must add up to one"):
        check_layer(Entropy(), p)


def test_a_second_backward_that_gives_something_else_is_a_warning():
    class Spoils(Affine):
        def backward(self, dout):
            dx = super().backward(dout)
            self.x *= 2
            return dx

    report = check_layer(Spoils(), X)
    assert report.ok
    assert any("second backward" in row.note for row in report.rows)


class Odd:
    def __init__(self, factor=1.0):
        self.w, self.incoming, self.factor = W.copy(), None, factor

    def onwards(self, x):
        self.x = x
        return x @ self.w

    def homewards(self):
        self.up_w = self.x.T @ self.incoming
        return self.factor * self.incoming @ self.w.T


def with_cotangent(layer, g):
    layer.incoming = g
    return layer.homewards()


TOLD = {
    "names": {"forward": "onwards", "backward": "homewards", "cotangent": "incoming"},
    "functions": {"forward": lambda layer, x: layer.onwards(x), "backward": with_cotangent},
}


@pytest.mark.parametrize("told", TOLD.values(), ids=TOLD)
def test_a_layer_that_is_told_how_it_is_called(told):
    layer = Odd()
    check_layer(layer, X, **told).raise_if_failed()
    assert set(vars(layer)) == {"w", "incoming", "factor"}
    assert not check_layer(Odd(2.0), X, **told).ok


@pytest.mark.parametrize(
    ("told", "said"),
    [
        ({}, "has no forward method: call it forward, or pass forward="),
        (
            {"forward": "onwards"},
            "no method that looks like a backward pass: call it backward, or pass backward=",
        ),
        ({"forward": "on"}, "has no such method: give a method's name"),
        ({"cotangent": 3}, "cotangent is 3: give the name"),
        (
            {"forward": "onwards", "cotangent": "nowhere"},
            "cotangent is 'nowhere', which Odd does not have: give",
        ),
        (
            {"forward": lambda layer, x: x, "backward": "none"},
            "backward is 'none', and Odd has no such method",
        ),
    ],
)
def test_what_is_missing_is_asked_for(told, said):
    layer = Odd()
    with pytest.raises(LayerError, match=said) as caught:
        check_layer(layer, X, **told)
    assert "\n" not in str(caught.value)
    assert set(vars(layer)) == {"w", "incoming", "factor"}
