"""Layers on a tape: variables with their value and gradient, ``y.grad`` set or not, and ``y.backward()``."""

import numpy as np

from ._entry import Foreign, drawn, normal
from ._use import Use


class Variable:
    def __init__(self, data):
        self.data = data
        self.grad = None
        self.creator = None
        self.generation = 0

    def cleargrad(self):
        self.grad = None

    def backward(self):
        if self.grad is None:
            self.grad = np.ones_like(self.data)
        waiting = [self.creator]
        while waiting:
            waiting.sort(key=lambda f: f.generation)
            function = waiting.pop()
            for x, gx in zip(function.inputs, function.gradients(), strict=True):
                function.give(x, gx)
                if x.creator is not None and x.creator not in waiting:
                    waiting.append(x.creator)


def as_variable(x):
    return x if isinstance(x, Variable) else Variable(np.asarray(x))


class Function:
    def __call__(self, *inputs):
        self.inputs = [as_variable(x) for x in inputs]
        self.output = Variable(self.forward(*(x.data for x in self.inputs)))
        self.generation = max(x.generation for x in self.inputs)
        self.output.generation = self.generation + 1
        self.output.creator = self
        return self.output

    def gradients(self):
        returned = self.backward(self.output.grad)
        return returned if isinstance(returned, tuple) else (returned,)

    def give(self, x, gx):
        x.grad = gx if x.grad is None else x.grad + gx


class MatMul(Function):
    def forward(self, x, W):
        return x @ W

    def backward(self, gy):
        x, W = (v.data for v in self.inputs)
        return gy @ W.T, x.T @ gy


class Add(Function):
    def forward(self, a, b):
        return a + b

    def backward(self, gy):
        return tuple(self.fitted(gy, v.data.shape) for v in self.inputs)

    def fitted(self, gy, shape):
        return gy.sum(axis=tuple(range(gy.ndim - len(shape))))


class AddForgetsToSum(Add):
    def fitted(self, gy, shape):
        return gy


class Square(Function):
    def forward(self, x):
        return x**2

    def backward(self, gy):
        return 2 * self.inputs[0].data * gy


class SquareOverwrites(Square):
    def give(self, x, gx):
        x.grad = gx


class Subtract(Function):
    def forward(self, a, b):
        return a - b

    def backward(self, gy):
        return gy, -gy


class SubtractForgetsMinus(Subtract):
    def backward(self, gy):
        return gy, gy


class Mean(Function):
    def forward(self, x):
        return np.mean(x)

    def backward(self, gy):
        x = self.inputs[0].data
        return np.full_like(x, gy / x.size)


class Linear:
    def __init__(self, W, b, add=Add):
        self.W = Variable(W)
        self.b = Variable(b)
        self.add = add

    def params(self):
        return [self.W, self.b]

    def forward(self, x):
        return self.add()(MatMul()(x, self.W), self.b)


class SquarePlusItself:
    """x^2 + x, in which x is used twice."""

    def __init__(self, square=Square):
        self.square = square

    def params(self):
        return []

    def forward(self, x):
        x = as_variable(x)
        return Add()(x, self.square()(x))


class MeanSquaredResidual:
    """The mean of (t - x W)^2: a value without a cotangent."""

    def __init__(self, W, subtract=Subtract):
        self.W = Variable(W)
        self.subtract = subtract

    def params(self):
        return [self.W]

    def forward(self, x, t):
        return Mean()(Square()(self.subtract()(t, MatMul()(x, self.W))))


def on_tape(*names):
    """Inputs are wrapped into variables; `y.grad` is set where there is a cotangent, and `y.backward()` called."""

    def params(layer):
        return {name: getattr(layer, name).data for name in names}

    def gradients(layer, g, x, *targets):
        for variable in layer.params():
            variable.cleargrad()
        wrapped = Variable(x)
        y = layer.forward(wrapped, *targets)
        y.grad = g
        y.backward()
        return (wrapped.grad,), {name: getattr(layer, name).grad for name in names}

    return Use(lambda layer, *inputs: layer.forward(*inputs).data, gradients, params)


TAPES = {"style": "tape", "cotangent": "tape"}
linear = Foreign(
    **TAPES,
    name="linear layer on a tape",
    stored="parameter objects",
    how="y = forward(Variable(x)); set y.grad and call y.backward(); x, W and b are variables with .data and .grad.",
    make=lambda: Linear(normal(131, 3, 2), normal(132, 2)),
    inputs=drawn((4, 3)),
    use=on_tape("W", "b"),
)
used_twice = Foreign(
    **TAPES,
    name="a variable used twice on a tape",
    how="y = forward(Variable(x)); set y.grad, call y.backward(), and read x.grad.",
    make=SquarePlusItself,
    inputs=drawn((2, 3)),
    use=on_tape(),
    truth=lambda g, x: (g * (2 * x + 1),),
)
residual = Foreign(
    **TAPES,
    name="mean squared residual on a tape",
    stored="parameter objects",
    how="loss = forward(Variable(x), t); call loss.backward(), which starts from 1, and read x.grad and W.grad.",
    make=lambda: MeanSquaredResidual(normal(133, 3, 2)),
    inputs=drawn((4, 3), (4, 2)),
    arguments=("x", "t"),
    fixed=("t",),
    use=on_tape("W"),
)
ENTRIES = [
    linear,
    linear.spoiled(
        "the bias not summed over the batch",
        lambda: Linear(normal(131, 3, 2), normal(132, 2), AddForgetsToSum),
        "missing-broadcast-sum",
        "b",
    ),
    used_twice,
    used_twice.spoiled(
        "the second use replaces the first",
        lambda: SquarePlusItself(SquareOverwrites),
        "missing-term",
        "x",
        or_else=("last-write-wins",),
    ),
    residual,
    residual.spoiled(
        "minus forgotten",
        lambda: MeanSquaredResidual(normal(133, 3, 2), SubtractForgetsMinus),
        "sign-flipped",
        *("x", "W"),
    ),
]
