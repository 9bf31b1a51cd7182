"""Layers that find their cotangent in an attribute, set before a call without arguments."""

import numpy as np

from ._entry import Foreign, drawn, normal
from ._use import Use


class TanhDense:
    """The caller sets output_delta; backpropagation leaves input_delta."""

    def __init__(self, weights, bias):
        self.weights = weights
        self.bias = bias
        self.grad_weights = np.zeros_like(weights)
        self.grad_bias = np.zeros_like(bias)
        self.output_delta = None
        self.input_delta = None

    def forward(self, x):
        self.x = x
        self.y = np.tanh(x @ self.weights + self.bias)
        return self.y

    def backward(self):
        dz = self.output_delta * (1 - self.y**2)
        self.grad_weights = self.x.T @ dz
        self.take_bias(dz)
        self.input_delta = dz @ self.weights.T

    def take_bias(self, dz):
        self.grad_bias = dz.sum(axis=0)


class TanhDenseForgetsTheBias(TanhDense):
    def take_bias(self, dz):
        pass


class SigmoidBlob:
    """top_diff in, bottom_diff out."""

    def __init__(self):
        self.top_diff = None
        self.bottom_diff = None

    def forward(self, bottom):
        self.top = 1 / (1 + np.exp(-bottom))
        return self.top

    def backward(self):
        self.bottom_diff = self.top_diff * self.slope()

    def slope(self):
        return self.top * (1 - self.top)


class SigmoidBlobDoubles(SigmoidBlob):
    def slope(self):
        return 2 * super().slope()


class Linear:
    """grad_output is set, and backward returns the gradient of the input."""

    def __init__(self, W, b):
        self.W = W
        self.b = b
        self.grad_output = None

    def forward(self, x):
        self.x = x
        return x @ self.W + self.b

    def backward(self):
        self.W_grad = self.x.T @ self.grad_output
        self.b_grad = self.over_batch(self.grad_output)
        return self.grad_output @ self.W.T

    def over_batch(self, grad_output):
        return grad_output.sum(axis=0)


class LinearSumsTheColumns(Linear):
    def over_batch(self, grad_output):
        return grad_output.sum(axis=1)


def set_and_read(put, *names, taken=None, grad="{}"):
    """The cotangent is put into one attribute, and the input's gradient read from another, or returned."""

    def gradients(layer, g, x):
        layer.forward(x)
        setattr(layer, put, g)
        returned = layer.backward()
        dx = getattr(layer, taken) if taken else returned
        return (dx,), {name: getattr(layer, grad.format(name)) for name in names}

    def params(layer):
        return {name: getattr(layer, name) for name in names}

    return Use(lambda layer, x: layer.forward(x), gradients, params)


BLOBS = {"style": "cotangent in an attribute", "cotangent": "attribute"}
dense = Foreign(
    **BLOBS,
    name="tanh dense layer with deltas",
    stored="attributes",
    how="y = forward(x); set output_delta, call backward(), and read input_delta, grad_weights and grad_bias.",
    make=lambda: TanhDense(normal(121, 3, 2), normal(122, 2)),
    inputs=drawn((4, 3)),
    use=set_and_read("output_delta", "weights", "bias", taken="input_delta", grad="grad_{}"),
)
sigmoid = Foreign(
    **BLOBS,
    name="sigmoid with top and bottom",
    how="top = forward(bottom); set top_diff, call backward(), and read bottom_diff.",
    make=SigmoidBlob,
    inputs=drawn((3, 4)),
    arguments=("bottom",),
    use=set_and_read("top_diff", taken="bottom_diff"),
    truth=lambda g, x: (g / (2 * np.cosh(x / 2)) ** 2,),
)
linear = Foreign(
    **BLOBS,
    name="linear layer with grad_output",
    stored="attributes",
    how="y = forward(x); set grad_output, then dx = backward(); W_grad and b_grad are left in the layer.",
    make=lambda: Linear(normal(123, 3, 4), normal(124, 4)),
    inputs=drawn((4, 3)),
    use=set_and_read("grad_output", "W", "b", grad="{}_grad"),
)
ENTRIES = [
    dense,
    dense.spoiled(
        "bias gradient never written",
        lambda: TanhDenseForgetsTheBias(normal(121, 3, 2), normal(122, 2)),
        "zero-gradient",
        "bias",
    ),
    sigmoid,
    sigmoid.spoiled("twice the slope", SigmoidBlobDoubles, "constant-factor", "bottom"),
    linear,
    linear.spoiled(
        "bias gradient summed over the columns",
        lambda: LinearSumsTheColumns(normal(123, 3, 4), normal(124, 4)),
        "wrong-sum-axis",
        "b",
    ),
]
