"""Activations whose method returns the derivative in each place, which the caller multiplies into the cotangent."""

import numpy as np

from ._entry import Foreign, drawn
from ._use import factor


class Sigmoid:
    def __call__(self, x):
        return 1 / (1 + np.exp(-x))

    def derivative(self, x):
        y = self(x)
        return y * (1 - y)


class SigmoidTakesInputForOutput(Sigmoid):
    def derivative(self, x):
        return x * (1 - x)


class SigmoidOfOutput:
    @staticmethod
    def activate(z):
        return 1 / (1 + np.exp(-z))

    @staticmethod
    def prime(a):
        return a * (1 - a)


class LeakyReLU:
    def __init__(self, alpha=0.2):
        self.alpha = alpha

    def forward(self, x):
        return np.where(x >= 0, x, self.alpha * x)

    def derivative(self, x):
        return np.where(x >= 0, 1.0, self.below())

    def below(self):
        return self.alpha


class LeakyReLUForgetsItsSlope(LeakyReLU):
    def below(self):
        return 0.0


class ELU:
    def __init__(self, alpha=1.0):
        self.alpha = alpha

    def __call__(self, x):
        return np.where(x >= 0.0, x, self.alpha * (np.exp(x) - 1))

    def gradient(self, x):
        return np.where(x >= 0.0, 1, self.scale() * np.exp(x))

    def scale(self):
        return self.alpha


class ELUForgetsAlpha(ELU):
    def scale(self):
        return 1.0


class ScaledTanh:
    """1.7159 tanh(2 x / 3)."""

    def fn(self, z):
        return 1.7159 * np.tanh(2 * z / 3)

    def grad(self, z):
        return self.inner() * 1.7159 * (1 - np.tanh(2 * z / 3) ** 2)

    def inner(self):
        return 2 / 3


class ScaledTanhForgetsTheInside(ScaledTanh):
    def inner(self):
        return 1.0


class SoftPlus:
    def forward(self, x):
        return np.log1p(np.exp(x))

    def backward_factor(self, x):
        return 1 / (1 + np.exp(-x))


class SoftPlusUphill(SoftPlus):
    def backward_factor(self, x):
        return -super().backward_factor(x)


FACTORS = {"style": "pointwise factor", "cotangent": "factor", "inputs": drawn((3, 4))}
sigmoid = Foreign(
    **FACTORS,
    name="sigmoid with its derivative",
    how="y = sigmoid(x); the gradient is the cotangent times sigmoid.derivative(x).",
    make=Sigmoid,
    use=factor("__call__", "derivative"),
    truth=lambda g, x: (g / (2 * np.cosh(x / 2)) ** 2,),
)
sigmoid_of_output = Foreign(
    **FACTORS,
    name="sigmoid with its derivative by the output",
    how="a = activate(z); the gradient is the cotangent times prime(a), which takes the output.",
    make=SigmoidOfOutput,
    arguments=("z",),
    use=factor("activate", "prime", of_output=True),
    truth=lambda g, z: (g / (2 * np.cosh(z / 2)) ** 2,),
)
leaky = Foreign(
    **FACTORS,
    name="leaky relu with its derivative",
    how="y = forward(x); the gradient is the cotangent times derivative(x).",
    make=lambda: LeakyReLU(0.3),
    use=factor("forward", "derivative"),
    truth=lambda g, x: (np.where(x > 0, g, 0.3 * g),),
)
elu = Foreign(
    **FACTORS,
    name="elu with an alpha of its own",
    how="y = elu(x); the gradient is the cotangent times elu.gradient(x).",
    make=lambda: ELU(1.6),
    use=factor("__call__", "gradient"),
    truth=lambda g, x: (g * np.where(x > 0, 1.0, 1.6 * np.exp(x)),),
)
scaled_tanh = Foreign(
    **FACTORS,
    name="scaled tanh",
    how="y = fn(z); the gradient is the cotangent times grad(z).",
    make=ScaledTanh,
    arguments=("z",),
    use=factor("fn", "grad"),
    truth=lambda g, z: (g * 1.7159 * 2 / 3 / np.cosh(2 * z / 3) ** 2,),
)
softplus = Foreign(
    **FACTORS,
    name="softplus with its factor",
    how="y = forward(x); the gradient is the cotangent times backward_factor(x).",
    make=SoftPlus,
    use=factor("forward", "backward_factor"),
    truth=lambda g, x: (g * 0.5 * (1 + np.tanh(x / 2)),),
)
ENTRIES = [
    sigmoid,
    sigmoid.spoiled("x taken for the output", SigmoidTakesInputForOutput, "", "x"),
    sigmoid_of_output,
    leaky,
    leaky.spoiled(
        "zero below zero, whatever the slope", lambda: LeakyReLUForgetsItsSlope(0.3), "masked-region", "x"
    ),
    elu,
    elu.spoiled("alpha forgotten", lambda: ELUForgetsAlpha(1.6), "masked-region", "x"),
    scaled_tanh,
    scaled_tanh.spoiled("the inner factor forgotten", ScaledTanhForgetsTheInside, "constant-factor", "z"),
    softplus,
    softplus.spoiled("a sign too many", SoftPlusUphill, "sign-flipped", "x"),
]
