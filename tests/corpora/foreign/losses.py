"""Losses whose gradient takes no cotangent, as the derivative of exactly what forward returns."""

import numpy as np

from ._entry import Foreign, drawn
from ._use import Use, passed


class MeanSquaredError:
    def forward(self, y, t):
        self.y = y
        self.t = t
        return np.mean((y - t) ** 2)

    def backward(self):
        return 2 * self.difference() / self.y.size

    def difference(self):
        return self.y - self.t


class UphillSquaredError(MeanSquaredError):
    def difference(self):
        return self.t - self.y


class CrossEntropy:
    """Of probabilities, with an epsilon inside the log."""

    epsilon = 1e-7

    def forward(self, p, t):
        self.p = p
        self.t = t
        return -np.sum(t * np.log(p + self.epsilon)) / p.shape[0]

    def backward(self):
        return -self.t / (self.p + self.epsilon) / self.p.shape[0]


class CrossEntropyAsBinary(CrossEntropy):
    def backward(self):
        p = self.p + self.epsilon
        return (-self.t / p + (1 - self.t) / (1 - p)) / self.p.shape[0]


class BinaryCrossEntropy:
    """loss and gradient are apart, and nothing is kept."""

    def loss(self, y, p):
        return np.mean(-y * np.log(p) - (1 - y) * np.log(1 - p))

    def gradient(self, y, p):
        return self.each(y, p) / p.size

    def each(self, y, p):
        return -(y / p) + (1 - y) / (1 - p)


class BinaryCrossEntropyOfOnes(BinaryCrossEntropy):
    def each(self, y, p):
        return -(y / p)


class Huber:
    def __init__(self, delta=1.0):
        self.delta = delta

    def __call__(self, prediction, target):
        self.e = prediction - target
        near = np.abs(self.e) <= self.delta
        each = np.where(near, 0.5 * self.e**2, self.delta * (np.abs(self.e) - 0.5 * self.delta))
        return each.mean()

    def backward(self):
        far = self.reach() * np.sign(self.e)
        return np.where(np.abs(self.e) <= self.delta, self.e, far) / self.e.size

    def reach(self):
        return self.delta


class HuberForgetsDelta(Huber):
    def reach(self):
        return 1.0


class SoftmaxCrossEntropy:
    """Scores and labels; the gradient is that of the scores."""

    def forward(self, scores, labels):
        z = scores - scores.max(axis=1, keepdims=True)
        self.p = np.exp(z) / np.exp(z).sum(axis=1, keepdims=True)
        self.labels = labels
        return -np.log(self.p[np.arange(len(labels)), labels]).mean()

    def backward(self):
        d = self.p.copy()
        d[np.arange(len(d)), self.labels] -= self.at_label()
        return d / len(d)

    def at_label(self):
        return 1.0


class SoftmaxCrossEntropyForgetsTheLabel(SoftmaxCrossEntropy):
    def at_label(self):
        return 0.0


def apart_from_loss(layer, g, y, p):
    return (layer.gradient(y, p),), {}


def probabilities(n, classes):
    def draw(rng):
        p = rng.uniform(0.2, 1.0, (n, classes))
        return p / p.sum(axis=1, keepdims=True), np.eye(classes)[rng.integers(0, classes, n)]

    return draw


LOSSES = {"style": "loss", "cotangent": "none"}
PREDICTED = {"arguments": ("y", "t"), "fixed": ("t",)}
mse = Foreign(
    **LOSSES,
    **PREDICTED,
    name="mean squared error",
    how="loss = forward(y, t), the mean over all elements, then dy = backward().",
    make=MeanSquaredError,
    inputs=drawn((4, 3), (4, 3)),
    use=passed(),
    truth=lambda g, y, t: (2 * (y - t) / y.size,),
)
cross_entropy = Foreign(
    **LOSSES,
    name="cross-entropy with an epsilon",
    how="loss = forward(p, t) with probabilities and one-hot rows, a mean over the rows; then dp = backward().",
    make=CrossEntropy,
    inputs=probabilities(4, 3),
    arguments=("p", "t"),
    fixed=("t",),
    use=passed(),
    truth=lambda g, p, t: (-t / (p + 1e-7) / len(p),),
)
binary = Foreign(
    **LOSSES,
    name="binary cross-entropy apart from its gradient",
    how="loss(y, p) is the mean for targets y and probabilities p, gradient(y, p) the derivative by p.",
    make=BinaryCrossEntropy,
    inputs=lambda rng: (np.array([1.0, 0.0, 0.0, 1.0, 1.0, 0.0]), rng.uniform(0.2, 0.8, 6)),
    arguments=("y", "p"),
    fixed=("y",),
    use=Use(lambda layer, y, p: layer.loss(y, p), apart_from_loss, lambda layer: {}),
)
huber = Foreign(
    **LOSSES,
    name="huber loss with a delta of its own",
    how="loss = huber(prediction, target), a mean; then backward() returns the gradient of the prediction.",
    make=lambda: Huber(0.5),
    inputs=lambda rng: (
        np.array([0.2, 1.1, -0.4, 2.0, -1.7, 0.9]),
        np.array([0.0, 0.0, -0.1, 0.3, 0.2, 0.7]),
    ),
    arguments=("prediction", "target"),
    fixed=("target",),
    use=passed(forward="__call__"),
    truth=lambda g, y, t: (np.clip(y - t, -0.5, 0.5) / y.size,),
)
softmax_cross_entropy = Foreign(
    **LOSSES,
    name="softmax cross-entropy of scores",
    how="loss = forward(scores, labels), a mean; then backward() returns the gradient of the scores.",
    make=SoftmaxCrossEntropy,
    inputs=lambda rng: (rng.standard_normal((4, 3)), np.array([0, 2, 2, 1])),
    arguments=("scores", "labels"),
    fixed=("labels",),
    use=passed(),
)
ENTRIES = [
    mse,
    mse.spoiled("t - y instead of y - t", UphillSquaredError, "sign-flipped", "y"),
    cross_entropy,
    cross_entropy.spoiled("the binary loss's gradient", CrossEntropyAsBinary, "masked-region", "p"),
    binary,
    binary.spoiled("nothing for targets of 0", BinaryCrossEntropyOfOnes, "masked-region", "p"),
    huber,
    huber.spoiled("delta forgotten far out", lambda: HuberForgetsDelta(0.5), "masked-region", "prediction"),
    softmax_cross_entropy,
    softmax_cross_entropy.spoiled(
        "nothing subtracted at the label",
        SoftmaxCrossEntropyForgetsTheLabel,
        "missing-term",
        "scores",
        or_else=("masked-region",),
    ),
]
