"""Softmax with cross-entropy as the first textbook writes it: one last layer, ``backward(dout=1)``."""

import numpy as np

from ._entry import Foreign
from ._use import passed


class SoftmaxWithLoss:
    def __init__(self):
        self.loss = None
        self.y = None
        self.t = None

    def forward(self, x, t):
        x = x - np.max(x, axis=-1, keepdims=True)
        self.y = np.exp(x) / np.sum(np.exp(x), axis=-1, keepdims=True)
        self.t = t.argmax(axis=1) if t.size == self.y.size else t
        rows = np.arange(self.y.shape[0])
        self.loss = -np.sum(np.log(self.y[rows, self.t])) / self.y.shape[0]
        return self.loss

    def backward(self, dout=1):
        batch_size = self.t.shape[0]
        dx = self.y.copy()
        dx[np.arange(batch_size), self.t] -= 1
        return dx * dout / batch_size


class SoftmaxWithLossForgetsDout(SoftmaxWithLoss):
    def backward(self, dout=1):
        return super().backward()


def softmax_with_loss_truth(g, x, t):
    y = np.exp(x) / np.exp(x).sum(axis=1, keepdims=True)
    one_hot = np.eye(x.shape[1])[t] if t.ndim == 1 else t
    return (g * (y - one_hot) / len(x),)


def labelled(n, classes, one_hot=False):
    def draw(rng):
        t = rng.integers(0, classes, n)
        return rng.standard_normal((n, classes)), np.eye(classes)[t] if one_hot else t

    return draw


softmax_with_loss = Foreign(
    style="volume 1",
    cotangent="dout=1",
    name="softmax with loss",
    how="loss = forward(x, t) with labels or one-hot rows t, then dx = backward(dout=1); the loss is a mean.",
    make=SoftmaxWithLoss,
    inputs=labelled(4, 3),
    arguments=("x", "t"),
    fixed=("t",),
    use=passed(),
    truth=softmax_with_loss_truth,
)
ENTRIES = [
    softmax_with_loss,
    softmax_with_loss.spoiled("dout ignored", SoftmaxWithLossForgetsDout, "ignores-cotangent", "x"),
    softmax_with_loss.varied("softmax with loss, one-hot targets", inputs=labelled(3, 4, one_hot=True)),
]
