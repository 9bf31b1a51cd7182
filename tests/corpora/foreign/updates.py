"""Layers that change their own parameters in the backward pass: by an optimizer, or by a learning rate."""

import copy

import numpy as np

from ._entry import Foreign, drawn, normal
from ._use import Spy, Use


class StochasticGradientDescent:
    def __init__(self, learning_rate=0.01):
        self.learning_rate = learning_rate

    def update(self, w, grad_wrt_w):
        return w - self.learning_rate * grad_wrt_w


class DenseThatTrainsItself:
    """Each parameter has an optimizer of its own, set before training; the gradient is handed to it and not kept."""

    def __init__(self, W, w0):
        self.W = W
        self.w0 = w0
        self.trainable = True
        self.initialize(StochasticGradientDescent())

    def initialize(self, optimizer):
        self.W_opt = copy.copy(optimizer)
        self.w0_opt = copy.copy(optimizer)

    def forward_pass(self, X, training=True):
        self.layer_input = X
        return X.dot(self.W) + self.w0

    def backward_pass(self, accum_grad):
        W = self.W
        if self.trainable:
            self.W = self.W_opt.update(self.W, self.layer_input.T.dot(accum_grad))
            self.w0 = self.w0_opt.update(self.w0, np.sum(accum_grad, axis=0, keepdims=True))
        return accum_grad.dot(self.chosen(W).T)

    def chosen(self, before):
        return before


class DenseUsesTheUpdatedWeight(DenseThatTrainsItself):
    def chosen(self, before):
        return self.W


class LinearWithOptimizer:
    """The optimizer comes with every call of backward, and changes the arrays in place."""

    def __init__(self, w, b):
        self.w = w
        self.b = b

    def forward(self, x):
        self.x = x
        return x @ self.w + self.b

    def backward(self, dout, optimizer):
        dx = dout @ self.w.T
        optimizer.update(self.w, self.x.T @ dout)
        optimizer.update(self.b, self.over_batch(dout))
        return dx

    def over_batch(self, dout):
        return dout.sum(axis=0)


class LinearAveragesTheBias(LinearWithOptimizer):
    def over_batch(self, dout):
        return dout.mean(axis=0)


class FullyConnected:
    """A learning rate rides along, and the step is taken at once."""

    def __init__(self, weights, bias):
        self.weights = weights
        self.bias = bias

    def forward(self, input):
        self.input = input
        return np.dot(self.input, self.weights) + self.bias

    def backward(self, output_error, learning_rate):
        input_error = np.dot(output_error, self.weights.T)
        self.weights -= learning_rate * np.dot(self.input.T, output_error)
        self.bias -= self.step(learning_rate * output_error.sum(axis=0, keepdims=True))
        return input_error

    def step(self, change):
        return change


class FullyConnectedClimbs(FullyConnected):
    def step(self, change):
        return -change


def by_its_own_step(layer, g, x):
    """Nothing keeps the gradient, so it is what the parameters lose, over the learning rate."""
    rate = layer.W_opt.learning_rate
    W, w0 = layer.W.copy(), layer.w0.copy()
    layer.forward_pass(x)
    dx = layer.backward_pass(g)
    return (dx,), {"W": (W - layer.W) / rate, "w0": (w0 - layer.w0) / rate}


def spied(layer, g, x):
    spy = Spy()
    layer.forward(x)
    dx = layer.backward(g, spy)
    return (dx,), {"w": spy.seen[id(layer.w)], "b": spy.seen[id(layer.b)]}


def by_learning_rate(layer, g, x, rate=0.5):
    weights, bias = layer.weights.copy(), layer.bias.copy()
    layer.forward(x)
    dx = layer.backward(g, rate)
    return (dx,), {"weights": (weights - layer.weights) / rate, "bias": (bias - layer.bias) / rate}


def weights_and_bias(layer):
    return {"weights": layer.weights, "bias": layer.bias}


dense = Foreign(
    style="trains itself",
    cotangent="passed",
    stored="optimizer",
    name="dense layer with optimizers inside",
    how="forward_pass(X), then dX = backward_pass(accum_grad), which hands each gradient to W_opt and w0_opt.",
    make=lambda: DenseThatTrainsItself(normal(91, 3, 2), normal(92, 1, 2)),
    inputs=drawn((4, 3)),
    arguments=("X",),
    use=Use(
        lambda layer, x: layer.forward_pass(x), by_its_own_step, lambda layer: {"W": layer.W, "w0": layer.w0}
    ),
)
linear = Foreign(
    style="trains itself",
    cotangent="passed",
    stored="optimizer",
    name="linear layer that is given an optimizer",
    how="forward(x), then dx = backward(dout, optimizer), which calls optimizer.update(w, dw) for each parameter.",
    make=lambda: LinearWithOptimizer(normal(93, 3, 2), normal(94, 2)),
    inputs=drawn((4, 3)),
    use=Use(lambda layer, x: layer.forward(x), spied, lambda layer: {"w": layer.w, "b": layer.b}),
)
fully_connected = Foreign(
    style="trains itself",
    cotangent="learning rate",
    stored="own step",
    name="fully connected layer with a learning rate",
    how="forward(input), then dx = backward(output_error, learning_rate), which moves weights and bias downhill.",
    make=lambda: FullyConnected(normal(95, 3, 2), normal(96, 1, 2)),
    inputs=drawn((4, 3)),
    arguments=("input",),
    use=Use(lambda layer, x: layer.forward(x), by_learning_rate, weights_and_bias),
)
ENTRIES = [
    dense,
    dense.spoiled(
        "the input's gradient taken after the step",
        lambda: DenseUsesTheUpdatedWeight(normal(91, 3, 2), normal(92, 1, 2)),
        "nonlinear-in-cotangent",
        "X",
    ),
    linear,
    linear.spoiled(
        "mean instead of sum for the bias",
        lambda: LinearAveragesTheBias(normal(93, 3, 2), normal(94, 2)),
        "constant-factor",
        "b",
    ),
    fully_connected,
    fully_connected.spoiled(
        "the bias moves uphill",
        lambda: FullyConnectedClimbs(normal(95, 3, 2), normal(96, 1, 2)),
        "sign-flipped",
        "bias",
    ),
]
