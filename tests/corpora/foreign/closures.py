"""Tensors that remember how to go back: each holds a closure, and ``y.backward(grad)`` calls them in reverse."""

import numpy as np

from ._entry import Foreign, drawn, normal
from ._use import Use


class Tensor:
    def __init__(self, data, children=()):
        self.data = np.asarray(data)
        self.grad = np.zeros_like(self.data)
        self._prev = children
        self._backward = lambda: None

    def __matmul__(self, other):
        out = Tensor(self.data @ other.data, (self, other))

        def _backward():
            self.grad += out.grad @ other.data.T
            other.grad += self.data.T @ out.grad

        out._backward = _backward
        return out

    def __mul__(self, other):
        out = Tensor(self.data * other.data, (self, other))

        def _backward():
            self.grad += out.grad * other.data
            other.grad += out.grad * self.data

        out._backward = _backward
        return out

    def applied(self, value, slope):
        out = Tensor(value, (self,))

        def _backward():
            self.grad += out.grad * slope

        out._backward = _backward
        return out

    def tanh(self):
        y = np.tanh(self.data)
        return self.applied(y, 1 - y**2)

    def sigmoid(self):
        y = 1 / (1 + np.exp(-self.data))
        return self.applied(y, y * (1 - y))

    def detach(self):
        return Tensor(self.data)

    def backward(self, grad=None):
        order, seen = [], set()

        def visit(v):
            if id(v) not in seen:
                seen.add(id(v))
                for child in v._prev:
                    visit(child)
                order.append(v)

        visit(self)
        self.grad = np.ones_like(self.data) if grad is None else grad
        for v in reversed(order):
            v._backward()


def tensor(x):
    return x if isinstance(x, Tensor) else Tensor(x)


class Gate:
    """tanh(a) sigmoid(b)."""

    def parameters(self):
        return []

    def __call__(self, a, b):
        return tensor(a).tanh() * self.opened(tensor(b)).sigmoid()

    def opened(self, b):
        return b


class GateDetached(Gate):
    def opened(self, b):
        return b.detach()


class Perceptron:
    """tanh(x W) V."""

    def __init__(self, W, V):
        self.W = Tensor(W)
        self.V = Tensor(V)

    def parameters(self):
        return [self.W, self.V]

    def __call__(self, x):
        return self.hidden(tensor(x) @ self.W) @ self.V

    def hidden(self, z):
        return z.tanh()


class PerceptronWithHalfASlope(Perceptron):
    def hidden(self, z):
        y = np.tanh(z.data)
        return z.applied(y, 0.5 * (1 - y**2))


def by_closures(*names):
    """Inputs are wrapped into tensors, gradients cleared, and the cotangent handed to the output's backward."""

    def params(layer):
        return {name: getattr(layer, name).data for name in names}

    def gradients(layer, g, *inputs):
        for p in layer.parameters():
            p.grad = np.zeros_like(p.data)
        wrapped = [Tensor(x) for x in inputs]
        layer(*wrapped).backward(g)
        return tuple(x.grad for x in wrapped), {name: getattr(layer, name).grad for name in names}

    return Use(lambda layer, *inputs: layer(*inputs).data, gradients, params)


TAPES = {"style": "tape", "cotangent": "tape"}
gate = Foreign(
    **TAPES,
    name="gate of two tensors",
    how="y = gate(Tensor(a), Tensor(b)), then y.backward(dy); a.grad and b.grad are added to.",
    make=Gate,
    inputs=drawn((2, 3), (2, 3)),
    arguments=("a", "b"),
    use=by_closures(),
)
perceptron = Foreign(
    **TAPES,
    name="perceptron of tensors",
    stored="parameter objects",
    how="y = net(Tensor(x)), then y.backward(dy); parameters() have .data and .grad, which is added to.",
    make=lambda: Perceptron(normal(141, 3, 4), normal(142, 4, 2)),
    inputs=drawn((4, 3)),
    use=by_closures("W", "V"),
)
ENTRIES = [
    gate,
    gate.spoiled("the gate detached", GateDetached, "zero-gradient", "b"),
    perceptron,
    perceptron.spoiled(
        "half the slope of tanh",
        lambda: PerceptronWithHalfASlope(normal(141, 3, 4), normal(142, 4, 2)),
        "constant-factor",
        *("x", "W"),
    ),
]
