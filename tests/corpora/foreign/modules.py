"""Modules in the manner of torch: parameter objects from `parameters()`, gradients that add up until `zero_grad()`."""

import numpy as np

from ._entry import Foreign, drawn, normal
from ._use import objects


class Parameter:
    def __init__(self, data):
        self.data = data
        self.grad = np.zeros_like(data)

    def zero_grad(self):
        self.grad = np.zeros_like(self.data)


class Module:
    def __call__(self, *inputs):
        return self.forward(*inputs)

    def parameters(self):
        found = []
        for value in vars(self).values():
            if isinstance(value, Parameter):
                found.append(value)
            elif isinstance(value, Module):
                found += value.parameters()
            elif isinstance(value, list):
                found += [p for m in value if isinstance(m, Module) for p in m.parameters()]
        return found

    def zero_grad(self):
        for p in self.parameters():
            p.zero_grad()


class Linear(Module):
    """x weight.T + bias."""

    def __init__(self, weight, bias):
        self.weight = Parameter(weight)
        self.bias = Parameter(bias)

    def forward(self, x):
        self.input = x
        return x @ self.weight.data.T + self.bias.data

    def backward(self, grad_output):
        self.weight.grad += grad_output.T @ self.input
        self.bias.grad += grad_output.sum(axis=0)
        return grad_output @ self.weight.data


class LinearClearsTheWeightOnly(Linear):
    def zero_grad(self):
        self.weight.zero_grad()


class LeakyReLU(Module):
    def __init__(self, negative_slope=0.01):
        self.negative_slope = negative_slope

    def forward(self, x):
        self.input = x
        return np.where(x > 0, x, self.negative_slope * x)

    def backward(self, grad_output):
        return grad_output * np.where(self.input > 0, 1.0, self.slope())

    def slope(self):
        return self.negative_slope


class LeakyReLUWithTheDefault(LeakyReLU):
    def slope(self):
        return 0.01


class Sequential(Module):
    def __init__(self, *modules):
        self.modules = list(modules)

    def forward(self, x):
        for module in self.modules:
            x = module(x)
        return x

    def backward(self, grad_output):
        for module in reversed(self.modules):
            grad_output = module.backward(grad_output)
        return grad_output


class ChannelScale(Module):
    """x times one number a channel, images (N, C, H, W)."""

    def __init__(self, scale):
        self.scale = Parameter(scale)

    def forward(self, x):
        self.input = x
        return x * self.scale.data

    def backward(self, grad_output):
        self.scale.grad = self.scale.grad + self.summed(grad_output * self.input)
        return grad_output * self.scale.data

    def summed(self, of_all):
        return of_all.sum(axis=(0, 2, 3))[:, np.newaxis, np.newaxis]


class ChannelScaleSumsTheBatchOnly(ChannelScale):
    def summed(self, of_all):
        return of_all.sum(axis=0)


class Dropout(Module):
    def __init__(self, p, rng):
        self.p = p
        self.rng = rng

    def draw(self, shape):
        return (self.rng.random(shape) >= self.p) / (1 - self.p)

    def forward(self, x):
        self.mask = self.draw(x.shape)
        return x * self.mask

    def backward(self, grad_output):
        return grad_output * self.mask


class DropoutForgetsToScale(Dropout):
    def backward(self, grad_output):
        return grad_output * (self.mask > 0)


class DropoutDrawsAgain(Dropout):
    def backward(self, grad_output):
        return grad_output * self.draw(grad_output.shape)


def network():
    return Sequential(
        Linear(normal(71, 4, 3), normal(72, 4)), LeakyReLU(0.2), Linear(normal(73, 2, 4), normal(74, 2))
    )


MODULES = {"style": "torch-like module", "cotangent": "passed", "stored": "parameter objects"}
linear = Foreign(
    **MODULES,
    name="linear module",
    how="Call zero_grad(), y = module(x), dx = module.backward(dy); each of parameters() has .data and .grad.",
    make=lambda: Linear(normal(75, 2, 3), normal(76, 2)),
    inputs=drawn((4, 3)),
    use=objects("weight", "bias"),
)
sequential = Foreign(
    **MODULES,
    name="sequential of linear and leaky relu",
    how="Call zero_grad(), y = module(x), dx = module.backward(dy); parameters() are those of all modules inside.",
    make=network,
    inputs=drawn((3, 3)),
    use=objects("weight 1", "bias 1", "weight 2", "bias 2"),
)
leaky_relu = Foreign(
    **{**MODULES, "stored": ""},
    name="leaky relu module with a slope of its own",
    how="Call y = module(x), then dx = module.backward(dy).",
    make=lambda: LeakyReLU(0.3),
    inputs=drawn((3, 4)),
    use=objects(),
    truth=lambda g, x: (np.where(x > 0, g, 0.3 * g),),
)
scale = Foreign(
    **MODULES,
    name="channel scale module",
    how="Call zero_grad(), y = module(x) with images (N, C, H, W), then dx = module.backward(dy).",
    make=lambda: ChannelScale(normal(77, 3, 1, 1)),
    inputs=drawn((2, 3, 2, 4)),
    use=objects("scale"),
)
dropout = Foreign(
    **{**MODULES, "stored": ""},
    name="dropout module",
    how="Make it with its own generator; y = module(x) draws a mask, and dx = module.backward(dy) goes through it.",
    make=lambda: Dropout(0.4, np.random.default_rng(78)),
    inputs=drawn((4, 5)),
    use=objects(),
)
ENTRIES = [
    linear,
    linear.spoiled(
        "zero_grad forgets the bias",
        lambda: LinearClearsTheWeightOnly(normal(75, 2, 3), normal(76, 2)),
        "accumulates",
        "bias",
        again=True,
    ),
    sequential,
    leaky_relu,
    leaky_relu.spoiled(
        "the slope is the default's, whatever it was made with",
        lambda: LeakyReLUWithTheDefault(0.3),
        "masked-region",
        "x",
    ),
    scale,
    scale.spoiled(
        "gradient summed over the batch only",
        lambda: ChannelScaleSumsTheBatchOnly(normal(77, 3, 1, 1)),
        "missing-broadcast-sum",
        "scale",
    ),
    dropout,
    dropout.spoiled(
        "scale forgotten",
        lambda: DropoutForgetsToScale(0.4, np.random.default_rng(78)),
        "constant-factor",
        "x",
    ),
    dropout.spoiled(
        "mask drawn anew in backward",
        lambda: DropoutDrawsAgain(0.4, np.random.default_rng(78)),
        "nondeterministic",
        "x",
    ),
]
