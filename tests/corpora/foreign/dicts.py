"""Layers that keep parameters and gradients in dicts: params and grads, nested, parameters and gradients."""

import numpy as np

from ._entry import Foreign, drawn, normal
from ._use import dicts


class Dense:
    """The bias is a row, (1, H)."""

    def __init__(self, W, b):
        self.params = {"W": W, "b": b}
        self.grads = {}
        self.inputs = None

    def forward(self, inputs):
        self.inputs = inputs
        return inputs @ self.params["W"] + self.params["b"]

    def backward(self, grad):
        self.grads["W"] = self.inputs.T @ grad
        self.grads["b"] = self.over_batch(grad)
        return grad @ self.params["W"].T

    def over_batch(self, grad):
        return np.sum(grad, axis=0, keepdims=True)


class DenseForgetsKeepdims(Dense):
    def over_batch(self, grad):
        return np.sum(grad, axis=0)


class Network:
    """Two tanh layers, each with a dict of its own inside."""

    def __init__(self, *weights):
        self.params = {f"layer{k}": {"W": W} for k, W in enumerate(weights, 1)}
        self.grads = {f"layer{k}": {"W": np.zeros_like(W)} for k, W in enumerate(weights, 1)}

    def forward(self, x):
        self.a = [x]
        for layer in self.params.values():
            self.a.append(np.tanh(self.a[-1] @ layer["W"]))
        return self.a[-1]

    def backward(self, dout):
        for k in reversed(range(len(self.params))):
            W = self.params[f"layer{k + 1}"]["W"]
            dz = dout * (1 - self.a[k + 1] ** 2)
            self.grads[self.key(k)]["W"][...] = self.a[k].T @ dz
            dout = dz @ W.T
        return dout

    def key(self, k):
        return f"layer{k + 1}"


class NetworkCountsTheKeysDown(Network):
    def key(self, k):
        return f"layer{len(self.params) - k}"


class ColumnLinear:
    """Samples are columns, Z = W A + b, and the mean over them is taken in the parameters' gradients."""

    def __init__(self, W, b):
        self.parameters = {"W": W, "b": b}
        self.gradients = {}
        self.A_prev = None

    def forward(self, A):
        self.A_prev = A
        return self.parameters["W"] @ A + self.parameters["b"]

    def backward(self, dZ):
        m = self.A_prev.shape[1]
        self.gradients["dW"] = dZ @ self.A_prev.T / m
        self.gradients["db"] = self.over_samples(dZ) / m
        return self.parameters["W"].T @ dZ

    def over_samples(self, dZ):
        return np.sum(dZ, axis=1, keepdims=True)


class ColumnLinearSumsEverything(ColumnLinear):
    def over_samples(self, dZ):
        return np.sum(dZ, keepdims=True)


class GatedUnit:
    """tanh(x U) * sigmoid(x V)."""

    def __init__(self, U, V):
        self.params = {"U": U, "V": V}
        self.grads = {"U": np.zeros_like(U), "V": np.zeros_like(V)}

    def forward(self, x):
        self.x = x
        self.h = np.tanh(x @ self.params["U"])
        self.gate = 1 / (1 + np.exp(-x @ self.params["V"]))
        return self.h * self.gate

    def backward(self, dout):
        du = dout * self.gate * (1 - self.h**2)
        dv = dout * self.h * self.gate * (1 - self.gate)
        self.grads["U"][...] = self.x.T @ du
        self.grads["V"][...] = self.x.T @ dv
        return self.of_input(du @ self.params["U"].T, dv @ self.params["V"].T)

    def of_input(self, through_h, through_gate):
        return through_h + through_gate


class GatedUnitForgetsTheGate(GatedUnit):
    def of_input(self, through_h, through_gate):
        return through_h


DICTS = {"style": "dicts", "cotangent": "passed", "stored": "dict"}
dense = Foreign(
    **DICTS,
    name="dense layer with dicts",
    how='y = forward(inputs), then dx = backward(grad); params and grads have the keys "W" and "b".',
    make=lambda: Dense(normal(111, 3, 2), normal(112, 1, 2)),
    inputs=drawn((4, 3)),
    arguments=("inputs",),
    use=dicts(),
)
network = Foreign(
    **DICTS,
    name="network with nested dicts",
    how='y = forward(x), then dx = backward(dout); params["layer1"]["W"] has its gradient at the same place in grads.',
    make=lambda: Network(normal(113, 3, 3), normal(114, 3, 3)),
    inputs=drawn((4, 3)),
    use=dicts(),
)
columns = Foreign(
    **DICTS,
    name="linear layer of columns with 1/m inside",
    how="Z = forward(A) with a sample a column, then dA = backward(dZ); gradients dW and db are means over them.",
    make=lambda: ColumnLinear(normal(115, 2, 3), normal(116, 2, 1)),
    inputs=drawn((3, 4)),
    arguments=("A",),
    convention="1/N inside",
    use=dicts("parameters", "gradients", prefix="d"),
)
gated = Foreign(
    **DICTS,
    name="gated unit with dicts",
    how='y = forward(x), then dx = backward(dout); params and grads have the keys "U" and "V".',
    make=lambda: GatedUnit(normal(117, 3, 2), normal(118, 3, 2)),
    inputs=drawn((4, 3)),
    use=dicts(),
)
ENTRIES = [
    dense,
    dense.spoiled(
        "keepdims forgotten",
        lambda: DenseForgetsKeepdims(normal(111, 3, 2), normal(112, 1, 2)),
        "wrong-shape",
        "b",
    ),
    network,
    network.spoiled(
        "gradients under each other's key",
        lambda: NetworkCountsTheKeysDown(normal(113, 3, 3), normal(114, 3, 3)),
        "swapped-primals",
        *("layer1.W", "layer2.W"),
    ),
    columns,
    columns.spoiled(
        "the bias summed over everything",
        lambda: ColumnLinearSumsEverything(normal(115, 2, 3), normal(116, 2, 1)),
        "wrong-shape",
        "b",
        or_else=("wrong-sum-axis",),
    ),
    gated,
    gated.spoiled(
        "the path through the gate forgotten",
        lambda: GatedUnitForgetsTheGate(normal(117, 3, 2), normal(118, 3, 2)),
        "missing-term",
        "x",
    ),
]
