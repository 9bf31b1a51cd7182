"""Layer normalisation with parameter objects that have `.value` and `.grad`, collected by `params()`."""

import numpy as np

from ._entry import Foreign, drawn, normal
from ._use import Use


class Param:
    def __init__(self, value):
        self.value = value
        self.grad = np.zeros_like(value)


class LayerNorm:
    def __init__(self, gamma, beta, eps=1e-5):
        self.gamma = Param(gamma)
        self.beta = Param(beta)
        self.eps = eps

    def params(self):
        return {"gamma": self.gamma, "beta": self.beta}

    def clear_gradients(self):
        for param in self.params().values():
            param.grad = np.zeros_like(param.value)

    def forward(self, X):
        centred = X - X.mean(axis=-1, keepdims=True)
        self.std = np.sqrt(np.mean(centred**2, axis=-1, keepdims=True) + self.eps)
        self.X_hat = centred / self.std
        return self.gamma.value * self.X_hat + self.beta.value

    def backward(self, d_out):
        self.gamma.grad += np.sum(d_out * self.X_hat, axis=(0, 1))
        self.beta.grad += np.sum(d_out, axis=(0, 1))
        d = d_out * self.gamma.value
        return (d - self.mean(d) - self.X_hat * self.mean(d * self.X_hat)) / self.std

    def mean(self, d):
        return np.mean(d, axis=-1, keepdims=True)


class LayerNormWithFixedStatistics(LayerNorm):
    def mean(self, d):
        return 0.0


def cleared(layer, g, X):
    layer.clear_gradients()
    layer.forward(X)
    dX = layer.backward(g)
    return (dX,), {name: param.grad for name, param in layer.params().items()}


layer_norm = Foreign(
    style="torch-like module",
    cotangent="passed",
    stored="parameter objects",
    name="layer norm with values",
    how="Call clear_gradients(), y = forward(X), dX = backward(d_out); params() has objects with .value and .grad.",
    make=lambda: LayerNorm(normal(151, 5), normal(152, 5)),
    inputs=drawn((2, 2, 5)),
    arguments=("X",),
    use=Use(
        lambda layer, X: layer.forward(X),
        cleared,
        lambda layer: {name: param.value for name, param in layer.params().items()},
    ),
)
ENTRIES = [
    layer_norm,
    layer_norm.spoiled(
        "mean and variance taken for constants",
        lambda: LayerNormWithFixedStatistics(normal(151, 5), normal(152, 5)),
        "missing-term",
        "X",
    ),
]
