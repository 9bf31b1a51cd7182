"""Layers in every way that people write them: right ones pass, wrong ones are found, and what was taken is said.

Each layer is made with a factor `c` on one of its gradients: 1 makes it right, -1 a sign error that must be found
there and named.
"""

from copy import copy

import numpy as np
import pytest

from gradlab import Verdict, check_layer
from gradlab.textbook.layers import Affine as TextbookAffine
from gradlab.textbook.layers import SoftmaxWithLoss as TextbookLoss


def normal(*shape, seed=0):
    return np.random.default_rng([7, seed]).standard_normal(shape)


X = normal(2, 3)


class Attributes:
    def __init__(self, c, where="W"):
        self.W, self.b = normal(3, 2, seed=1), normal(2, seed=2)
        self.c = {"W": 1, "b": 1, "x": 1, where: c}

    def forward(self, x):
        self.x = x
        return x @ self.W + self.b

    def backward(self, dout):
        self.dW = self.c["W"] * self.x.T @ dout
        self.db = self.c["b"] * dout.sum(axis=0)
        return self.c["x"] * dout @ self.W.T


class Lists:
    """Parameters and gradients in lists, the gradients written in place."""

    def __init__(self, c):
        self.params = [normal(3, 2, seed=1), normal(2, seed=2)]
        self.grads = [np.zeros_like(p) for p in self.params]
        self.c = c

    def forward(self, x):
        self.x = x
        return x @ self.params[0] + self.params[1]

    def backward(self, dout):
        self.grads[0][...] = self.c * self.x.T @ dout
        self.grads[1][...] = dout.sum(axis=0)
        return dout @ self.params[0].T


class NestedDicts:
    def __init__(self, c):
        self.parameters = {"dense": {"weight": normal(3, 2, seed=1), "bias": normal(2, seed=2)}}
        self.gradients = {"dense": {}}
        self.c = c

    def forward(self, inputs):
        self.inputs = inputs
        return inputs @ self.parameters["dense"]["weight"] + self.parameters["dense"]["bias"]

    def backward(self, grad):
        self.gradients["dense"]["weight"] = self.c * self.inputs.T @ grad
        self.gradients["dense"]["bias"] = grad.sum(axis=0)
        return grad @ self.parameters["dense"]["weight"].T


class KeysWithD:
    def __init__(self, c):
        self.params, self.grads, self.c = {"W": normal(3, 2, seed=1)}, {}, c

    def forward(self, A_prev):
        self.A_prev = A_prev
        return A_prev @ self.params["W"]

    def backward(self, dZ):
        self.grads["dW"] = self.c * self.A_prev.T @ dZ
        return dZ @ self.params["W"].T


class Parameter:
    def __init__(self, data):
        self.data, self.grad = data, np.zeros_like(data)


class Slotted:
    __slots__ = ("grad", "value")

    def __init__(self, value):
        self.value, self.grad = value, None


class ParameterObjects:
    def __init__(self, c):
        self.weight, self.bias, self.c = Parameter(normal(3, 2, seed=1)), Parameter(normal(2, seed=2)), c

    def forward(self, x):
        self.x = x
        return x @ self.weight.data + self.bias.data

    def backward(self, grad_output):
        self.weight.grad += self.c * self.x.T @ grad_output
        self.bias.grad += grad_output.sum(axis=0)
        return grad_output @ self.weight.data.T

    def parameters(self):
        yield from (self.weight, self.bias)


class SlottedObjects:
    def __init__(self, c):
        self.w, self.c = Slotted(normal(3, 2, seed=1)), c

    def forward(self, x):
        self.x = x
        return x @ self.w.value

    def backward(self, g):
        self.w.grad = self.c * self.x.T @ g
        return g @ self.w.value.T


class DictsOfBoth:
    def __init__(self, c):
        self.state, self.c = [{"val": normal(3, 2, seed=1), "grad": np.zeros((3, 2))}], c

    def forward(self, x):
        self.x = x
        return x @ self.state[0]["val"]

    def backward(self, dout):
        self.state[0]["grad"] = self.c * self.x.T @ dout
        return dout @ self.state[0]["val"].T


class FlatVector:
    """One vector of all parameters, and views of it."""

    def __init__(self, c):
        self.theta, self.dtheta, self.c = normal(8, seed=1), np.zeros(8), c
        self.W, self.b = self.theta[:6].reshape(3, 2), self.theta[6:]
        self.dW, self.db = self.dtheta[:6].reshape(3, 2), self.dtheta[6:]

    def forward(self, x):
        self.x = x
        return x @ self.W + self.b

    def backward(self, dout):
        self.dtheta[:6] = self.c * (self.x.T @ dout).ravel()
        self.dtheta[6:] = self.c * dout.sum(axis=0)
        return dout @ self.W.T


class Stored:
    """Forward and backward return nothing: everything is an attribute."""

    def __init__(self, c):
        self.weights, self.biases, self.c = normal(3, 2, seed=1), np.zeros((1, 2)), c

    def forward(self, inputs):
        self.inputs = inputs
        self.output = inputs @ self.weights + self.biases

    def backward(self, dvalues):
        self.dweights = self.c * self.inputs.T @ dvalues
        self.dbiases = dvalues.sum(axis=0, keepdims=True)
        self.dinputs = dvalues @ self.weights.T


class InputAndCotangent:
    """The input again, then the cotangent, with accumulated gradients and a method that clears them."""

    def __init__(self, c):
        self.W, self.c = normal(2, 3, seed=1), c
        self.gradW = np.zeros_like(self.W)

    def updateOutput(self, input):
        return input @ self.W.T

    def backward(self, input, gradOutput):
        self.gradW += self.c * gradOutput.T @ input
        return gradOutput @ self.W

    def zeroGradParameters(self):
        self.gradW.fill(0)

    def getParameters(self):
        return [self.W]

    def getGradParameters(self):
        return [self.gradW]


class RateRidesAlong:
    def __init__(self, c):
        self.weights, self.bias, self.c = normal(3, 2, seed=1), normal(2, seed=2), c

    def forward_propagation(self, input_data):
        self.input = input_data
        return input_data @ self.weights + self.bias

    def backward_propagation(self, output_error, learning_rate):
        input_error = output_error @ self.weights.T
        self.weights -= self.c * learning_rate * self.input.T @ output_error
        self.bias -= learning_rate * output_error.sum(axis=0)
        return input_error


class RateInAnAttribute:
    def __init__(self, c):
        self.W, self.lr, self.c = normal(3, 2, seed=1), 0.01, c

    def forward(self, x):
        self.x = x
        return x @ self.W

    def backward(self, dout):
        dx = dout @ self.W.T
        self.W = self.W - self.lr * self.c * self.x.T @ dout
        return dx


class Momentum:
    """An optimizer that nobody may step with during a check."""

    def __init__(self):
        self.velocity = None

    def update(self, w, grad_wrt_w):
        self.velocity = grad_wrt_w if self.velocity is None else 0.9 * self.velocity + grad_wrt_w
        return w - 0.1 * self.velocity


class OptimizerInside:
    def __init__(self, c):
        self.W, self.W_opt, self.c = normal(3, 2, seed=1), copy(Momentum()), c

    def forward_pass(self, X, training=True):
        self.layer_input = X
        return X @ self.W

    def backward_pass(self, accum_grad):
        W = self.W
        self.W = self.W_opt.update(self.W, self.c * self.layer_input.T @ accum_grad)
        return accum_grad @ W.T


class OptimizerPassed:
    def __init__(self, c):
        self.W, self.c = normal(3, 2, seed=1), c

    def forward(self, x):
        self.x = x
        return x @ self.W

    def backward(self, grad, optimizer):
        dx = grad @ self.W.T
        self.W = optimizer.update(self.W, self.c * self.x.T @ grad)
        return dx


class ReturnsAll:
    def __init__(self, c):
        self.W, self.b, self.c = normal(3, 2, seed=1), normal(2, seed=2), c

    def forward(self, x):
        self.x = x
        return x @ self.W + self.b

    def backward(self, dout):
        dW = self.c * self.x.T @ dout
        db = dout.sum(axis=0)
        dx = dout @ self.W.T
        return dW, db, dx


class ReturnsDict(ReturnsAll):
    def backward(self, dout):
        dW, db, dx = super().backward(dout)
        return dx, {"W": dW, "b": db}


class PassesCache:
    def __init__(self, c):
        self.W, self.c = normal(3, 2, seed=1), c

    def forward(self, x):
        return x @ self.W, (x,)

    def backward(self, dout, cache):
        (x,) = cache
        self.dW = self.c * x.T @ dout
        return dout @ self.W.T


class CotangentInAnAttribute:
    def __init__(self, c):
        self.W, self.delta, self.c = normal(3, 2, seed=1), None, c

    def forward(self, x):
        self.x = x
        return x @ self.W

    def backward(self):
        self.dW = self.c * self.x.T @ self.delta
        return self.delta @ self.W.T


class CotangentInAnAttributeThatIsMissing(CotangentInAnAttribute):
    def __init__(self, c):
        super().__init__(c)
        del self.delta


class MadeByForward:
    """Parameters are made by the first forward, and every forward is remembered until flushed."""

    def __init__(self, c):
        self.X, self.parameters, self.gradients, self.c = [], {}, {}, c

    def forward(self, X):
        if not self.parameters:
            self.parameters = {"W": normal(X.shape[1], 2, seed=1)}
            self.gradients = {"W": np.zeros_like(self.parameters["W"])}
        self.X.append(X)
        return X @ self.parameters["W"]

    def backward(self, dLdY, retain_grads=True):
        dX = []
        for dy, x in zip([dLdY], self.X, strict=False):
            self.gradients["W"] += self.c * x.T @ dy
            dX.append(dy @ self.parameters["W"].T)
        return dX[0]

    def flush_gradients(self):
        self.X = []
        self.gradients["W"][...] = 0


class Nested:
    def __init__(self, c):
        self.layers = [Attributes(1), Tanh(1), Attributes(c)]
        self.layers[2].W, self.layers[2].b = normal(2, 2, seed=3), normal(2, seed=4)

    def forward(self, x):
        for layer in self.layers:
            x = layer.forward(x)
        return x

    def backward(self, dout):
        for layer in reversed(self.layers):
            dout = layer.backward(dout)
        return dout


class PairsOfBoth(Nested):
    def params_and_grads(self):
        for layer in self.layers:
            for name in ("W", "b") if isinstance(layer, Attributes) else ():
                yield getattr(layer, name), getattr(layer, f"d{name}")


class Tanh:
    def __init__(self, c):
        self.c = c

    def forward(self, x):
        self.y = np.tanh(x)
        return self.y

    def backward(self, dout):
        return self.c * dout * (1 - self.y**2)


class Closes:
    """A function that closes over the layer, and a module in an attribute: what no deep copy takes."""

    def __init__(self, c):
        self.W, self.xp, self.c = normal(3, 2, seed=1), np, c
        self.product = lambda x: x @ self.W

    def forward(self, x):
        self.x = x
        return self.xp.tanh(self.product(x))

    def backward(self, g):
        d = g * (1 - self.xp.tanh(self.product(self.x)) ** 2)
        self.dW = self.c * self.x.T @ d
        return d @ self.W.T


WITH_PARAMETERS = {
    "attributes": (Attributes, "W", "attribute dW"),
    "lists": (Lists, "params[0]", "attribute grads[0]"),
    "nested dicts": (
        NestedDicts,
        "parameters['dense']['weight']",
        "attribute gradients['dense']['weight']",
    ),
    "keys with d": (KeysWithD, "params['W']", "attribute grads['dW']"),
    "parameter objects": (ParameterObjects, "weight", "attribute weight.grad"),
    "slotted objects": (SlottedObjects, "w", "attribute w.grad"),
    "dicts of both": (DictsOfBoth, "state[0]['val']", "attribute state[0]['grad']"),
    "a flat vector": (FlatVector, "theta", "attribute dtheta"),
    "stored": (Stored, "weights", "attribute dweights"),
    "input and cotangent": (
        InputAndCotangent,
        "W",
        "attribute gradW, written by backward(input, gradOutput), where gradients add up",
    ),
    "rate rides along": (RateRidesAlong, "weights", "the step that backward takes"),
    "rate in an attribute": (RateInAnAttribute, "W", "the step that backward takes"),
    "optimizer inside": (OptimizerInside, "W", "what it hands to its optimizer"),
    "optimizer passed": (OptimizerPassed, "W", "what it hands to its optimizer"),
    "returns all": (ReturnsAll, "W", "what it returned, [0]"),
    "returns a dict": (ReturnsDict, "W", "what it returned, [1]['W']"),
    "passes a cache": (PassesCache, "W", "attribute dW"),
    "cotangent in an attribute": (CotangentInAnAttribute, "W", "the cotangent in .delta"),
    "cotangent in a missing attribute": (
        CotangentInAnAttributeThatIsMissing,
        "W",
        "in the attribute that it misses",
    ),
    "made by forward": (MadeByForward, "parameters['W']", "attribute gradients['W']"),
    "layers of layers": (Nested, "layers[2].W", "attribute layers[2].dW"),
    "pairs of both": (PairsOfBoth, "layers[2].W", "attribute layers[2].dW"),
    "closes over itself": (Closes, "W", "attribute dW"),
}


def numerical(report):
    return {row.primal: row for row in report.rows if row.check == "matches_numerical"}


@pytest.mark.parametrize("name", WITH_PARAMETERS)
def test_a_right_layer_passes_and_says_what_it_took_for_what(name):
    make, primal, said = WITH_PARAMETERS[name]
    report = check_layer(make(1), X.copy(), explore=False, checks=["matches_numerical"])
    assert report.ok, report.faults
    assert said in numerical(report)[primal].note
    assert len(numerical(report)) >= 2  # the input too
    assert all(row.verdict is Verdict.PASS for row in numerical(report).values())


@pytest.mark.parametrize("name", WITH_PARAMETERS)
def test_a_wrong_gradient_of_a_parameter_is_found_and_named(name):
    make, primal, _ = WITH_PARAMETERS[name]
    report = check_layer(make(-1), X.copy(), explore=False, checks=["matches_numerical"])
    assert not report.ok
    assert [p for p, row in numerical(report).items() if row.verdict is Verdict.WRONG] == [primal]
    assert (report.faults[0].name, report.faults[0].primal) == ("sign-flipped", primal)


@pytest.mark.parametrize("where", ["x", "W", "b"])
def test_every_gradient_of_a_layer_is_looked_at(where):
    report = check_layer(Attributes(-1, where), X.copy(), explore=False)
    assert [p for p, row in numerical(report).items() if row.verdict is Verdict.WRONG] == [where]


class Relu:
    def __init__(self, c):
        self.c = c

    def forward(self, x):
        self.mask = x <= 0
        out = x.copy()
        out[self.mask] = 0
        return out

    def backward(self, dout):
        dout[self.mask] = 0
        return self.c * dout


class Derivative:
    """A pointwise factor at the input, which the caller multiplies."""

    def __init__(self, c):
        self.c = c

    def __call__(self, z):
        return 1 / (1 + np.exp(-z))

    def derivative(self, z):
        return self.c * self(z) * (1 - self(z))


class PrimeOfOutput:
    """A pointwise factor, of the output."""

    def __init__(self, c):
        self.c = c

    def activate(self, z):
        return np.tanh(z)

    def prime(self, a):
        return self.c * (1 - a**2)


class DerivativeByFlag:
    def __init__(self, c):
        self.c = c

    def activate(self, x, deriv=False):
        y = np.tanh(x)
        return self.c * (1 - y**2) if deriv else y


class Concatenate:
    def __init__(self, c):
        self.c = c

    def forward(self, inputs):
        self.first = inputs[0].shape[1]
        return np.concatenate(inputs, axis=1)

    def backward(self, grad):
        return [self.c * grad[:, : self.first], grad[:, self.first :]]


class Multiply:
    def __init__(self, c):
        self.c = c

    def forward(self, x, y):
        self.x, self.y = x, y
        return x * y

    def backward(self, dout):
        return self.c * dout * self.y, dout * self.x


class Cell:
    """Two inputs, two outputs, and a cotangent for each."""

    def __init__(self, c):
        self.c = c

    def forward(self, h_prev, c_prev):
        self.h, self.c_new = np.tanh(h_prev), h_prev * c_prev
        self.cache = (h_prev, c_prev)
        return self.h, self.c_new

    def backward(self, dh_next, dc_next):
        h, c = self.cache
        return self.c * (dh_next * (1 - self.h**2) + dc_next * c), dc_next * h


class TupleOfCotangents(Cell):
    def backward(self, douts):
        return super().backward(*douts)


class ForwardOnly(Cell):
    """The second output is for looking at: one cotangent, of the first."""

    def forward(self, h_prev, c_prev):
        h, c = super().forward(h_prev, c_prev)
        return h + 0 * c, c

    def backward(self, dout):
        return self.c * dout * (1 - self.h**2), np.zeros_like(dout)


class Tensor:
    """A tape of its own, in ten lines."""

    def __init__(self, data, parents=()):
        self.data, self.grad, self.parents = np.asarray(data), None, parents

    def tanh(self, c):
        out = Tensor(np.tanh(self.data), (self,))

        def pull():
            step = c * (1 - out.data**2) * out.grad
            self.grad = step if self.grad is None else self.grad + step

        out.pull = pull
        return out

    def backward(self):
        if self.grad is None:
            self.grad = np.ones_like(self.data)
        if self.parents:
            self.pull()
            self.parents[0].backward()


class OnTape:
    def __init__(self, c):
        self.c = c

    def __call__(self, x):
        return x.tanh(self.c)


class Static:
    @staticmethod
    def f(x):
        return np.tanh(x)

    @staticmethod
    def df(x):
        return 1 - np.tanh(x) ** 2


class WrongStatic(Static):
    @staticmethod
    def df(x):
        return np.tanh(x) ** 2 - 1


WITHOUT_PARAMETERS = {
    "writes into dout": (Relu, (X,), "x"),
    "derivative at the input": (Derivative, (X,), "z"),
    "derivative at the output": (PrimeOfOutput, (X,), "z"),
    "derivative by a flag": (DerivativeByFlag, (X,), "x"),
    "a list of inputs": (Concatenate, ([X, normal(2, 2, seed=5)],), "inputs[0]"),
    "two inputs": (Multiply, (X, normal(2, 3, seed=6)), "x"),
    "two numbers": (Multiply, (100.0, 2.5), "x"),
    "two outputs": (Cell, (X, normal(2, 3, seed=6)), "h_prev"),
    "a tuple of cotangents": (TupleOfCotangents, (X, normal(2, 3, seed=6)), "h_prev"),
    "an output that does not count": (ForwardOnly, (X, normal(2, 3, seed=6)), "h_prev"),
    "a tape": (OnTape, (Tensor(X),), "x"),
    "static methods": (lambda c: Static if c == 1 else WrongStatic, (X,), "x"),
}


@pytest.mark.parametrize("name", WITHOUT_PARAMETERS)
def test_layers_without_parameters(name):
    make, inputs, primal = WITHOUT_PARAMETERS[name]
    report = check_layer(make(1), *inputs, explore=False, checks=["matches_numerical"])
    assert report.ok, report.faults
    assert primal in numerical(report)
    wrong = check_layer(make(-1), *inputs, explore=False, checks=["matches_numerical"])
    assert not wrong.ok
    assert [p for p, row in numerical(wrong).items() if row.verdict is Verdict.WRONG] == [primal]
    assert any(f.primal == primal and f.name in ("sign-flipped", "constant-factor") for f in wrong.faults)


def test_an_ignored_cotangent_is_no_pointwise_factor():
    class Ignores:
        def forward(self, x):
            self.y = np.tanh(x)
            return self.y

        def backward(self, dout):
            return 1 - self.y**2

    report = check_layer(Ignores(), X.copy(), explore=False)
    assert not report.ok
    assert report.faults[0].name == "ignores-cotangent"


def test_an_embedding_is_checked_on_its_weights():
    class Embedding:
        def __init__(self, c):
            self.params, self.c = [normal(5, 3, seed=8)], c
            self.grads = [np.zeros((5, 3))]

        def forward(self, idx):
            self.idx = idx
            return self.params[0][idx]

        def backward(self, dout):
            self.grads[0][...] = 0
            np.add.at(self.grads[0], self.idx, self.c * dout)

    ids = np.array([[0, 1], [3, 3]])
    report = check_layer(Embedding(1), ids)
    assert report.ok
    assert list(numerical(report)) == ["params[0]"]
    assert not check_layer(Embedding(-1), ids, explore=False).ok


@pytest.mark.parametrize("turned", [False, True])
def test_the_gradient_of_tied_weights_is_the_sum_of_both_uses(turned):
    class Tied:
        def __init__(self, c=1):
            W = normal(3, 3, seed=9)
            self.first, self.second = Lists(1), Lists(c)
            self.first.params = [W, np.zeros(3)]
            self.second.params = [W.T if turned else W, np.zeros(3)]
            for layer in (self.first, self.second):
                layer.grads = [np.zeros((3, 3)), np.zeros(3)]
            self.params = self.first.params + self.second.params
            self.grads = self.first.grads + self.second.grads

        def forward(self, x):
            return self.second.forward(np.tanh(self.first.forward(x)))

        def backward(self, dout):
            dout = self.second.backward(dout)
            y = np.tanh(self.first.x @ self.first.params[0])
            return self.first.backward(dout * (1 - y**2))

    report = check_layer(Tied(), X.copy(), explore=False)
    assert report.ok, report.faults
    assert "attribute grads[0] plus attribute grads[2]" in numerical(report)["params[0]"].note
    assert not check_layer(Tied(-1), X.copy(), explore=False).ok


def test_the_same_gradient_in_two_places_is_no_sum():
    class Network:
        def __init__(self):
            self.affine = Attributes(1)
            self.W1, self.b1 = self.affine.W, self.affine.b

        def forward(self, x):
            return self.affine.forward(x)

        def backward(self, dout):
            dx = self.affine.backward(dout)
            self.dW1, self.db1 = self.affine.dW.copy(), self.affine.db.copy()
            return dx

    assert check_layer(Network(), X.copy(), explore=False).ok


def test_gradients_of_one_shape_are_told_apart_by_their_names():
    class Square:
        def __init__(self):
            self.W, self.V = normal(3, 3, seed=1), normal(3, 3, seed=2)

        def forward(self, x):
            self.x = x
            return x @ self.W @ self.V

        def backward(self, dout):
            dV = self.W.T @ self.x.T @ dout
            dW = self.x.T @ dout @ self.V.T
            dx = dout @ self.V.T @ self.W.T
            return dV, dx, dW

    assert check_layer(Square(), normal(3, 3), explore=False).ok


def test_velocities_and_running_means_are_no_parameters():
    class WithMore(Attributes):
        def __init__(self):
            super().__init__(1)
            self.v = {"W": np.ones((3, 2)), "b": np.ones(2)}
            self.running_mean, self.dW = np.zeros(3), np.zeros((3, 2))

    assert set(numerical(check_layer(WithMore(), X.copy(), explore=False))) == {"x", "W", "b"}


def test_what_is_taken_for_a_constant_is_said():
    class Shifted(Attributes):
        def __init__(self):
            super().__init__(1)
            self.table, self.unused = normal(2, 3, seed=5), np.ones(3)

        def forward(self, x):
            return super().forward(x + self.table)

    report = check_layer(Shifted(), X.copy(), explore=False)
    assert report.ok
    (row,) = (row for row in report.rows if row.check == "parameters")
    assert row.note == "taken as constants: table: name them in params= if they are learned"


def test_a_forgotten_gradient_is_wrong():
    class Forgets(Attributes):
        def backward(self, dout):
            self.dW = self.x.T @ dout
            return dout @ self.W.T

    report = check_layer(Forgets(1), X.copy(), explore=False)
    assert not report.ok
    assert "no gradient of b was found" in numerical(report)["b"].note

    class ForgetsAnInput(Multiply):
        def backward(self, dout):
            return dout * self.y

    report = check_layer(ForgetsAnInput(1), X.copy(), normal(2, 3, seed=6), explore=False)
    assert not report.ok
    assert "no gradient of y came back" in numerical(report)["y"].note


def test_a_networks_first_layer_may_return_nothing():
    class First(Attributes):
        def backward(self, dout):
            super().backward(dout)

    report = check_layer(First(1), X.copy(), explore=False)
    assert report.ok
    assert [f.sentence for f in report.faults] == [
        "warning: First [given], x: matches_numerical; no gradient of x came back: return it, "
        "unless it is not to be differentiated"
    ]


def test_params_and_grads_can_be_named():
    class Odd:
        def __init__(self):
            self.blob, self.store = [normal(3, 2, seed=1)], {}

        def forward(self, x):
            self.x = x
            return x @ self.blob[0]

        def backward(self, dout):
            self.store["q"] = self.x.T @ dout
            self.wrong = -self.store["q"]
            return dout @ self.blob[0].T

    layer = Odd()
    for params, grads in (
        (["blob[0]"], ["store['q']"]),
        ({"blob": "blob[0]"}, {"blob": "store['q']"}),
        ([layer.blob[0]], ["store['q']"]),
        (lambda layer: layer.blob, lambda layer: [layer.store["q"]]),
    ):
        report = check_layer(layer, X.copy(), params=params, grads=grads, explore=False)
        assert report.ok
        assert len(numerical(report)) == 2
    assert not check_layer(layer, X.copy(), params=["blob[0]"], grads=["wrong"], explore=False).ok


def test_the_labs_own_layers_pass():
    assert check_layer(TextbookAffine(normal(3, 2, seed=1), normal(2, seed=2)), X.copy()).ok
    assert check_layer(TextbookLoss(), X.copy(), np.array([0, 2])).ok


def test_the_name_and_the_tolerances_are_the_callers():
    report = check_layer(Attributes(1 + 1e-4), X.copy(), explore=False, name="mine")
    assert not report.ok
    assert {row.node for row in report.rows} == {"mine"}
    assert check_layer(
        Attributes(1 + 1e-4), X.copy(), explore=False, rtol=1e-3, checks=["matches_numerical"]
    ).ok


def test_strict_makes_errors_of_breaches():
    assert check_layer(Relu(1), X.copy(), explore=False).ok
    assert not check_layer(Relu(1), X.copy(), explore=False, strict=True).ok


class GivenItsOptimizer:
    """backward(dout, optimizer) puts what the optimizer returns in the weight's place."""

    first = False

    def __init__(self):
        self.W = normal(3, 2, seed=40)

    def forward(self, x):
        self.x = x
        return x @ self.W

    def backward(self, dout, optimizer):
        dx = dout @ self.W.T
        self.W = optimizer.update(self.W, self.x.T @ dout)
        return dout @ self.W.T if self.first else dx


def test_a_gradient_that_is_taken_after_the_step():
    x = normal(4, 3, seed=41)
    assert check_layer(GivenItsOptimizer(), x).ok
    layer = GivenItsOptimizer()
    layer.first = True
    report = check_layer(layer, x)
    assert not report.ok
    assert (report.faults[0].name, report.faults[0].primal) == ("nonlinear-in-cotangent", "x")


def test_what_only_a_step_breaks_is_not_held_against_the_gradient():
    class Asserts(GivenItsOptimizer):
        def backward(self, dout, optimizer):
            before = self.W
            dx = super().backward(dout, optimizer)
            assert self.W is before
            return dx

    assert check_layer(Asserts(), normal(4, 3, seed=42)).ok
