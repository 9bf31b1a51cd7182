"""Layers whose method has another name: backprop, bprop, grad, gradient."""

import numpy as np

from ._entry import Foreign, drawn, normal
from ._use import Use, attributes, passed, tupled


class SigmoidNeurons:
    """One sample a call, a column; the activation is inside."""

    def __init__(self, weights, biases):
        self.weights = weights
        self.biases = biases
        self.nabla_weights = np.zeros_like(weights)
        self.nabla_biases = np.zeros_like(biases)

    def feedforward(self, a):
        self.a_in = a
        self.a_out = 1.0 / (1.0 + np.exp(-(self.weights @ a + self.biases)))
        return self.a_out

    def backprop(self, error):
        delta = error * self.a_out * (1 - self.a_out)
        self.nabla_biases = self.direction(delta)
        self.nabla_weights = self.direction(delta @ self.a_in.T)
        return self.weights.T @ delta

    def direction(self, nabla):
        return nabla


class SigmoidNeuronsDownhill(SigmoidNeurons):
    def direction(self, nabla):
        return -nabla


class Split:
    """The two halves of the columns, each an output."""

    def fprop(self, x):
        self.half = x.shape[1] // 2
        return x[:, : self.half], 2.0 * x[:, self.half :]

    def bprop(self, da, db):
        return np.concatenate([da, 2.0 * db], axis=1)


class SplitExchanged(Split):
    def bprop(self, da, db):
        return super().bprop(db, da)


class MeanOverTime:
    def forward(self, x):
        self.shape = x.shape
        return x.mean(axis=1)

    def grad(self, dout):
        return np.repeat(dout[:, np.newaxis], self.shape[1], axis=1) * self.share()

    def share(self):
        return 1.0 / self.shape[1]


class MeanOverTimeForgetsToDivide(MeanOverTime):
    def share(self):
        return 1.0


class Dense:
    """backward returns all gradients and keeps none."""

    def __init__(self, W, b):
        self.W = W
        self.b = b

    def forward(self, x):
        self.x = x
        return x @ self.W + self.b

    def gradient(self, dout):
        return self.ordered(dout @ self.W.T, self.x.T @ dout, dout.sum(axis=0))

    def ordered(self, dx, dW, db):
        return dx, dW, db


class DenseSwapped(Dense):
    def ordered(self, dx, dW, db):
        return dW, dx, db


def returned_with_input(layer, g, x):
    layer.forward(x)
    dx, dW, db = tupled(layer.gradient(g))
    return (dx,), {"W": dW, "b": db}


VERBS = {"style": "another verb", "cotangent": "passed"}
neurons = Foreign(
    **VERBS,
    name="sigmoid neurons, one sample a call",
    stored="attributes",
    how="feedforward(a) takes one column; backprop(error) returns that of a, and sets nabla_weights and nabla_biases.",
    make=lambda: SigmoidNeurons(normal(81, 2, 3), normal(82, 2, 1)),
    inputs=drawn((3, 1)),
    arguments=("a",),
    use=attributes("weights", "biases", grad="nabla_{}", forward="feedforward", backward="backprop"),
)
split = Foreign(
    **VERBS,
    name="split into two outputs",
    how="a, b = fprop(x), then dx = bprop(da, db).",
    make=Split,
    inputs=drawn((2, 6)),
    use=passed(forward="fprop", backward="bprop"),
)
mean = Foreign(
    **VERBS,
    name="mean over time",
    how="y = forward(x) with x (N, T, D), then dx = grad(dout).",
    make=MeanOverTime,
    inputs=drawn((2, 5, 3)),
    use=passed(backward="grad"),
    truth=lambda g, x: (np.broadcast_to(g[:, np.newaxis] / 5, x.shape),),
)
dense = Foreign(
    **VERBS,
    name="dense layer that returns all gradients",
    stored="returned",
    how="y = forward(x), then dx, dW, db = gradient(dout).",
    make=lambda: Dense(normal(83, 3, 3), normal(84, 3)),
    inputs=drawn((3, 3)),
    use=Use(
        lambda layer, x: layer.forward(x), returned_with_input, lambda layer: {"W": layer.W, "b": layer.b}
    ),
)
ENTRIES = [
    neurons,
    neurons.spoiled(
        "the step downhill instead of the gradient",
        lambda: SigmoidNeuronsDownhill(normal(81, 2, 3), normal(82, 2, 1)),
        "sign-flipped",
        *("weights", "biases"),
    ),
    split,
    split.spoiled("cotangents exchanged", SplitExchanged, "wrong-cotangent", "x"),
    mean,
    mean.spoiled("not divided by the number of steps", MeanOverTimeForgetsToDivide, "constant-factor", "x"),
    dense,
    dense.spoiled(
        "dW returned before dx",
        lambda: DenseSwapped(normal(83, 3, 3), normal(84, 3)),
        "swapped-primals",
        *("x", "W"),
    ),
]
