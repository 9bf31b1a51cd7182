"""Layers as the second textbook writes them: `params` and `grads` are lists, and gradients are written in place."""

import numpy as np

from ._entry import Foreign, apart, drawn, normal
from ._use import lists, passed


class MatMul:
    def __init__(self, W):
        self.params = [W]
        self.grads = [np.zeros_like(W)]
        self.x = None

    def forward(self, x):
        (W,) = self.params
        self.x = x
        return np.dot(x, W)

    def backward(self, dout):
        (W,) = self.params
        dx = np.dot(dout, W.T)
        self.keep(np.dot(self.x.T, dout))
        return dx

    def keep(self, dW):
        self.grads[0][...] = dW


class MatMulRebinds(MatMul):
    def keep(self, dW):
        self.grads[0] = dW


class Affine:
    def __init__(self, W, b):
        self.params = [W, b]
        self.grads = [np.zeros_like(W), np.zeros_like(b)]
        self.x = None

    def forward(self, x):
        W, b = self.params
        self.x = x
        return np.dot(x, W) + b

    def backward(self, dout):
        W, _ = self.params
        self.grads[0][...] = np.dot(self.x.T, dout)
        self.grads[1][...] = self.of_bias(dout)
        return np.dot(dout, W.T)

    def of_bias(self, dout):
        return np.sum(dout, axis=0)


class AffineTakesTheFirstRow(Affine):
    def of_bias(self, dout):
        return dout[0]


class Sigmoid:
    def __init__(self):
        self.params, self.grads = [], []
        self.out = None

    def forward(self, x):
        out = 1 / (1 + np.exp(-x))
        self.out = out
        return out

    def backward(self, dout):
        return dout * (1.0 - self.out) * self.out


class Softmax:
    def __init__(self):
        self.params, self.grads = [], []
        self.out = None

    def forward(self, x):
        e = np.exp(x - x.max(axis=-1, keepdims=True))
        self.out = e / e.sum(axis=-1, keepdims=True)
        return self.out

    def backward(self, dout):
        dx = self.out * dout
        sumdx = np.sum(dx, axis=-1, keepdims=True)
        dx -= self.out * sumdx
        return dx


class SoftmaxForgetsTheSum(Softmax):
    def backward(self, dout):
        return self.out * dout


class SigmoidWithLoss:
    def __init__(self):
        self.params, self.grads = [], []

    def forward(self, x, t):
        self.t = t
        self.y = 1 / (1 + np.exp(-x))
        self.loss = -np.mean(np.log(np.where(t == 1, self.y, 1 - self.y)))
        return self.loss

    def backward(self, dout=1):
        batch_size = self.t.shape[0]
        return (self.y - self.t) * dout / batch_size


class SigmoidWithLossUphill(SigmoidWithLoss):
    def backward(self, dout=1):
        batch_size = self.t.shape[0]
        return (self.t - self.y) * dout / batch_size


def binary(*shape):
    return lambda rng: (rng.standard_normal(shape), np.array([1, 0, 1, 0, 0])[: shape[0]])


VOLUME_2 = {"style": "volume 2", "cotangent": "passed"}
WITH_LOSS = {"style": "volume 2", "cotangent": "dout=1", "arguments": ("x", "t"), "fixed": ("t",)}
matmul = Foreign(
    **VOLUME_2,
    name="matmul",
    stored="list",
    how="Call forward(x), then dx = backward(dout); grads[0] is the gradient of params[0], written in place.",
    make=lambda: MatMul(normal(33, 3, 2)),
    inputs=drawn((4, 3)),
    use=lists("W"),
)
matmul_single = matmul.varied(
    "matmul in single precision",
    make=lambda: MatMul(normal(35, 3, 2).astype("f")),
    inputs=lambda rng: (apart(rng, (4, 3)).astype("f"),),
)
affine = Foreign(
    **VOLUME_2,
    name="affine",
    stored="list",
    how="Call forward(x), then dx = backward(dout); params and grads are those of W and b, written in place.",
    make=lambda: Affine(normal(36, 3, 2), normal(37, 2)),
    inputs=drawn((4, 3)),
    use=lists("W", "b"),
)
softmax = Foreign(
    **VOLUME_2,
    name="softmax",
    how="Call forward(x), then dx = backward(dout); the softmax is over the last axis.",
    make=Softmax,
    inputs=lambda rng: (apart(rng, (3, 4)),),
    use=passed(),
)
sigmoid_with_loss = Foreign(
    **WITH_LOSS,
    name="sigmoid with loss",
    how="loss = forward(x, t) with scores x and labels t of 0 and 1, a mean; then dx = backward(dout=1).",
    make=SigmoidWithLoss,
    inputs=binary(5),
    use=passed(),
    truth=lambda g, x, t: (g * (1 / (1 + np.exp(-x)) - t) / len(x),),
)
ENTRIES = [
    matmul,
    matmul_single,
    affine,
    affine.spoiled(
        "the first row's bias gradient for the batch's",
        lambda: AffineTakesTheFirstRow(normal(36, 3, 2), normal(37, 2)),
        "missing-broadcast-sum",
        "b",
    ),
    softmax,
    softmax.spoiled("the sum over the classes forgotten", SoftmaxForgetsTheSum, "missing-term", "x"),
    sigmoid_with_loss,
    sigmoid_with_loss.spoiled("t - y instead of y - t", SigmoidWithLossUphill, "sign-flipped", "x"),
]
