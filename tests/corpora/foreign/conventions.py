"""Losses whose gradient belongs to something else than what forward returns, by a convention that people use."""

import numpy as np

from ._entry import Foreign, drawn
from ._use import Use, passed
from .losses import CrossEntropy, apart_from_loss, probabilities


class CrossEntropyWithoutEpsilon(CrossEntropy):
    """The epsilon guards the log, and the gradient is that of the log alone."""

    def backward(self):
        return self.signed(self.t / self.p) / self.p.shape[0]

    def signed(self, d):
        return -d


class CrossEntropyUphill(CrossEntropyWithoutEpsilon):
    def signed(self, d):
        return d


class CategoricalCrossEntropy:
    """Takes the softmax's output, and returns the gradient of the scores before it."""

    def loss(self, y, p):
        return -np.mean(np.sum(y * np.log(p), axis=1))

    def gradient(self, y, p):
        return self.signed(p - y) / len(y)

    def signed(self, d):
        return d


class CategoricalCrossEntropyUphill(CategoricalCrossEntropy):
    def signed(self, d):
        return -d


class SumOfSquares:
    """Returns the sum, and the gradient of the mean over the batch."""

    def forward(self, y, t):
        self.y, self.t = y, t
        return 0.5 * np.sum((y - t) ** 2)

    def backward(self):
        return self.each() / self.y.shape[0]

    def each(self):
        return self.y - self.t


class SumOfSquaresClipsTheErrors(SumOfSquares):
    def each(self):
        return np.clip(self.y - self.t, -1.0, 1.0)


class LogCosh:
    """Reports the mean over the batch, and the gradient is the sum's."""

    def forward(self, y, t):
        self.e = y - t
        return np.sum(np.log(np.cosh(self.e))) / len(y)

    def backward(self):
        return self.slope(self.e)

    def slope(self, e):
        return np.tanh(e)


class LogCoshRounded(LogCosh):
    def slope(self, e):
        return np.tanh(e.astype(np.float16)).astype(np.float64)


class MulticlassHinge:
    """One loss for each sample, and the gradient of their sum."""

    def forward(self, scores, labels):
        rows = np.arange(len(labels))
        margins = np.maximum(0, scores - scores[rows, labels][:, np.newaxis] + 1.0)
        margins[rows, labels] = 0
        self.margins, self.labels = margins, labels
        return margins.sum(axis=1)

    def backward(self):
        d = (self.margins > 0).astype(float)
        d[np.arange(len(d)), self.labels] -= self.count(d)
        return d

    def count(self, d):
        return d.sum(axis=1)


class MulticlassHingeForgetsTheLabel(MulticlassHinge):
    def count(self, d):
        return 0.0


LOSSES = {"style": "loss", "cotangent": "none"}
PREDICTED = {"arguments": ("y", "t"), "fixed": ("t",)}
without_epsilon = Foreign(
    **LOSSES,
    name="cross-entropy with an epsilon for the value only",
    how="loss = forward(p, t) with probabilities and one-hot rows; dp = backward() is that of the log without epsilon.",
    make=CrossEntropyWithoutEpsilon,
    inputs=probabilities(4, 3),
    arguments=("p", "t"),
    fixed=("t",),
    convention="no epsilon",
    use=passed(),
    truth=lambda g, p, t: (-t / p / len(p),),
)
categorical = Foreign(
    **LOSSES,
    name="categorical cross-entropy after a softmax",
    how="loss(y, p) takes one-hot y and the softmax's p; gradient(y, p) is the derivative by the softmax's input.",
    make=CategoricalCrossEntropy,
    inputs=lambda rng: probabilities(4, 3)(rng)[::-1],
    arguments=("y", "p"),
    fixed=("y",),
    convention="logits",
    use=Use(lambda layer, y, p: layer.loss(y, p), apart_from_loss, lambda layer: {}),
    truth=lambda g, y, p: ((p - y) / len(y),),
)
sum_of_squares = Foreign(
    **LOSSES,
    **PREDICTED,
    name="sum of squares with a mean's gradient",
    how="loss = forward(y, t), a sum; dy = backward() is that of the mean over the batch.",
    make=SumOfSquares,
    inputs=drawn((4, 3), (4, 3)),
    convention="mean",
    use=passed(),
    truth=lambda g, y, t: ((y - t) / len(y),),
)
log_cosh = Foreign(
    **LOSSES,
    **PREDICTED,
    name="log cosh with a sum's gradient",
    how="loss = forward(y, t), a mean over the batch; dy = backward() is that of the sum.",
    make=LogCosh,
    inputs=drawn((4, 3), (4, 3)),
    convention="sum",
    use=passed(),
    truth=lambda g, y, t: (np.tanh(y - t),),
)
hinge = Foreign(
    **LOSSES,
    name="multiclass hinge, a loss for each sample",
    how="losses = forward(scores, labels), one for each row; backward() returns the gradient of their sum.",
    make=MulticlassHinge,
    inputs=lambda rng: (drawn((4, 3))(rng)[0], np.array([0, 2, 1, 1])),
    arguments=("scores", "labels"),
    fixed=("labels",),
    convention="sum",
    use=passed(),
)
ENTRIES = [
    without_epsilon,
    without_epsilon.spoiled("minus forgotten", CrossEntropyUphill, "sign-flipped", "p"),
    categorical,
    categorical.spoiled("y - p instead of p - y", CategoricalCrossEntropyUphill, "sign-flipped", "p"),
    sum_of_squares,
    sum_of_squares.spoiled("errors clipped at 1", SumOfSquaresClipsTheErrors, "masked-region", "y"),
    log_cosh,
    log_cosh.spoiled("half precision on the way", LogCoshRounded, "float32-round-trip", "y"),
    hinge,
    hinge.spoiled(
        "nothing subtracted at the label",
        MulticlassHingeForgetsTheLabel,
        "masked-region",
        "scores",
        or_else=("missing-term",),
    ),
]
