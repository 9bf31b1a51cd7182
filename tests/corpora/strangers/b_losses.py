"""Losses as classes, the ones of the classifiers' and regressors' kind."""

from __future__ import annotations

import numpy as np

from ._entry import Stranger
from .b_diff import slope

# ---------------- weighted cross entropy with an ignored label


class WeightedCrossEntropy:
    """Mean over the labels that count, weighted by class, as a weighted mean."""

    def __init__(self, class_weights, ignore_index=-100):
        self.class_weights = np.asarray(class_weights, dtype=float)
        self.ignore_index = ignore_index

    def forward(self, logits, labels):
        self.valid = labels != self.ignore_index
        safe = np.where(self.valid, labels, 0)
        shifted = logits - logits.max(axis=1, keepdims=True)
        self.logp = shifted - np.log(np.exp(shifted).sum(axis=1, keepdims=True))
        self.rows, self.safe = np.arange(len(labels)), safe
        self.w = self.class_weights[safe] * self.valid
        self.total = self.w.sum()
        return -(self.w * self.logp[self.rows, safe]).sum() / self.total

    def backward(self):
        grad = np.exp(self.logp)
        grad[self.rows, self.safe] -= 1.0
        return grad * (self.w / self.total)[:, None]


def weighted_ce_points():
    return np.random.default_rng(301).standard_normal((5, 4)), np.array([2, -100, 0, 3, 2])


def weighted_ce():
    return WeightedCrossEntropy([0.5, 1.0, 2.0, 1.5])


# ---------------- focal loss


class FocalLoss:
    def __init__(self, alpha: float = 0.25, gamma: float = 2.0):
        self.alpha = alpha
        self.gamma = gamma

    def __call__(self, logits, targets):
        return self.forward(logits, targets)

    def forward(self, logits: np.ndarray, targets: np.ndarray) -> float:
        sign = np.where(targets == 1, 1.0, -1.0)
        log_pt = -np.logaddexp(0.0, -sign * logits)
        pt = np.exp(log_pt)
        a = np.where(targets == 1, self.alpha, 1 - self.alpha)
        self._saved = sign, pt, log_pt, a
        return float(np.mean(-a * (1 - pt) ** self.gamma * log_pt))

    def backward(self, dout: float = 1.0) -> np.ndarray:
        sign, pt, log_pt, a = self._saved
        focus = (1 - pt) ** self.gamma
        return dout * sign * a * focus * (self.gamma * pt * log_pt - (1 - pt)) / pt.size


def focal_points():
    targets = np.array([[1, 0, 0], [0, 1, 1], [1, 1, 0], [0, 0, 1]])
    return np.random.default_rng(302).standard_normal((4, 3)), targets


# ---------------- robust regression with weights and a mask


class MaskedHuber:
    def __init__(self, delta=1.0, eps=1e-12):
        self.delta, self.eps = delta, eps

    def forward(self, pred, target, weight, mask):
        r = pred - target
        a = np.abs(r)
        quad = np.minimum(a, self.delta)
        per = 0.5 * quad**2 + self.delta * (a - quad)
        self.r, self.wm = r, weight * mask
        self.n = max(mask.sum(), 1.0)
        return (per * self.wm).sum() / self.n

    def backward(self, dloss=1.0):
        return dloss * np.clip(self.r, -self.delta, self.delta) * self.wm / self.n


def huber_points():
    rng = np.random.default_rng(303)
    mask = np.array([[1, 1, 0, 1], [0, 1, 1, 1], [1, 0, 0, 1]], dtype=bool)
    return rng.standard_normal((3, 4)) * 1.5, rng.standard_normal((3, 4)), rng.random((3, 4)) + 0.2, mask


# ---------------- dice


class DiceLoss(object):
    smooth = 1.0

    def forward(self, probs, masks):
        n = probs.shape[0]
        p, t = probs.reshape(n, -1), masks.reshape(n, -1)
        self.inter = 2 * (p * t).sum(1) + self.smooth
        self.union = p.sum(1) + t.sum(1) + self.smooth
        self.t, self.shape = t, probs.shape
        return 1 - (self.inter / self.union).mean()

    def backward(self):
        u, i = self.union[:, None], self.inter[:, None]
        g = -(2 * self.t * u - i) / u**2
        return (g / len(u)).reshape(self.shape)


def dice_points():
    rng = np.random.default_rng(304)
    return rng.random((3, 2, 4)) * 0.9 + 0.05, (rng.random((3, 2, 4)) < 0.4).astype(float)


# ---------------- label smoothing


class LabelSmoothingLoss:
    def __init__(self, num_classes: int, smoothing: float = 0.1) -> None:
        self.confidence = 1.0 - smoothing
        self.off_value = smoothing / (num_classes - 1)

    def forward(self, x: np.ndarray, target: np.ndarray) -> np.float64:
        z = x - x.max(axis=-1, keepdims=True)
        lse = np.log(np.exp(z).sum(axis=-1, keepdims=True))
        q = np.full_like(x, self.off_value)
        np.put_along_axis(q, target[..., None], self.confidence, axis=-1)
        self.ctx = (z - lse, q)
        return -(q * (z - lse)).sum(axis=-1).mean()

    def backward(self) -> np.ndarray:
        logp, q = self.ctx
        # the rows of q add up to one
        return (np.exp(logp) - q) / (q.size // q.shape[-1])


def smoothing_points():
    return np.random.default_rng(305).standard_normal((2, 3, 5)), np.array([[0, 4, 2], [1, 1, 3]])


# ---------------- penalty on activations, the input passes through


class ActivityRegularizer:
    """forward gives x back and keeps lam * sum(x^2) / n in self.loss, which the trainer adds."""

    def __init__(self, lam=0.05):
        self.lam = lam
        self.loss = 0.0

    def forward(self, x):
        self.x = x
        self.loss = self.lam * np.sum(x * x) / x.shape[0]
        return x

    def backward(self, dout):
        return dout + 2.0 * self.lam * self.x / self.x.shape[0]


def activity_points():
    return (np.random.default_rng(306).standard_normal((4, 5)),)


# ---------------- sparsity of hidden units, the input passes through


class SparsityPenalty:
    """Identity on the activations; self.loss is beta * KL(rho || mean activation)."""

    def __init__(self, rho=0.1, beta=0.5):
        self.rho, self.beta = rho, beta

    def forward(self, a):
        self.n = a.shape[0]
        self.rho_hat = a.mean(axis=0)
        r, q = self.rho, self.rho_hat
        self.loss = self.beta * np.sum(r * np.log(r / q) + (1 - r) * np.log((1 - r) / (1 - q)))
        return a

    def backward(self, dout):
        q = self.rho_hat
        d = self.beta * (-self.rho / q + (1 - self.rho) / (1 - q)) / self.n
        return np.tile(d, (self.n, 1))


def sparsity_points():
    return (np.random.default_rng(307).random((4, 3)) * 0.8 + 0.1,)


def through_proof(layer, x):
    out = layer.forward(x.copy())
    g = np.random.default_rng(9).standard_normal(out.shape)
    claimed = layer.backward(g.copy())

    def objective(v):
        y = layer.forward(v)
        return np.sum(y * g) + layer.loss

    return [(claimed, slope(objective, x))]


# ---------------- binary cross entropy with a weight on the positives


class BCEWithLogits:
    def __init__(self, pos_weight=3.0):
        self.pos_weight = pos_weight

    def forward(self, z, t):
        self.t = t
        self.s = 1 / (1 + np.exp(-z))
        loss = self.pos_weight * t * np.logaddexp(0, -z) + (1 - t) * np.logaddexp(0, z)
        return loss.mean()

    def backward(self, dout=1):
        return dout * self.pos_weight * (self.s - self.t) / self.t.size


def bce_points():
    t = np.array([[1, 0], [0, 0], [1, 1], [0, 1], [0, 0]])
    return np.random.default_rng(308).standard_normal((5, 2)), t


# ---------------- normal likelihood with a predicted log variance


class GaussianNLLLoss:
    def forward(self, mu, log_var, y):
        self.n = mu.size
        self.prec = np.exp(-log_var)
        self.diff = mu - y
        terms = 0.5 * (log_var + self.diff**2 * self.prec)
        self.scale = 1.0 / self.n
        return terms.sum() * self.scale

    def backward(self):
        dmu = self.scale * self.diff * self.prec
        dlog_var = self.scale * 0.5 * (1 - self.diff**2 * self.prec)
        return dmu / self.n, dlog_var / self.n


def nll_points():
    rng = np.random.default_rng(309)
    return rng.standard_normal((4, 2)), rng.standard_normal((4, 2)) * 0.5, rng.standard_normal((4, 2))


# ---------------- softmax with loss, the old way


class SoftmaxCrossEntropyLoss:
    def __init__(self):
        self.probs = None
        self.labels = None

    def forward(self, scores, labels):
        e = np.exp(scores - scores.max(axis=1, keepdims=True))
        self.probs = e / e.sum(axis=1, keepdims=True)
        self.labels = labels
        n = scores.shape[0]
        return -np.log(self.probs[np.arange(n), labels]).mean()

    def backward(self):
        n = self.probs.shape[0]
        dx = self.probs
        dx[np.arange(n), self.labels] -= 1
        dx /= n
        return dx


def softmax_points():
    return np.random.default_rng(310).standard_normal((4, 5)), np.array([3, 0, 4, 1])


def loss_proof(make, points, of=(0,)):
    """The proof of a loss with forward(*points) and backward()."""
    loss, args = make(), points()
    loss.forward(*args)
    grads = loss.backward()
    grads = grads if isinstance(grads, (tuple, list)) else [grads]

    def true(i):
        return slope(lambda v: make().forward(*args[:i], v, *args[i + 1 :]), args[i])

    return [(g, true(i)) for g, i in zip(grads, of, strict=True)]


def layer_call(make, points):
    return lambda gradlab: gradlab.check_layer(make(), *points())


ENTRIES = [
    Stranger(
        "weighted cross entropy with an ignored label",
        "loss class with integer labels",
        layer_call(weighted_ce, weighted_ce_points),
        lambda: loss_proof(weighted_ce, weighted_ce_points),
    ),
    Stranger(
        "focal loss on logits",
        "callable loss class with backward(dout=1.0)",
        layer_call(FocalLoss, focal_points),
        lambda: loss_proof(FocalLoss, focal_points),
    ),
    Stranger(
        "huber loss with weights and a mask",
        "loss class with weights and a boolean mask",
        layer_call(MaskedHuber, huber_points),
        lambda: loss_proof(MaskedHuber, huber_points),
    ),
    Stranger(
        "dice loss",
        "loss class",
        layer_call(DiceLoss, dice_points),
        lambda: loss_proof(DiceLoss, dice_points),
    ),
    Stranger(
        "label smoothing loss over a sequence",
        "typed loss class with integer labels",
        layer_call(lambda: LabelSmoothingLoss(5), smoothing_points),
        lambda: loss_proof(lambda: LabelSmoothingLoss(5), smoothing_points),
    ),
    Stranger(
        "activity regulariser that passes its input through",
        "loss that passes its input through and adds its own gradient",
        layer_call(ActivityRegularizer, activity_points),
        lambda: through_proof(ActivityRegularizer(), *activity_points()),
    ),
    Stranger(
        "sparsity penalty that passes its input through: dout is dropped",
        "loss that passes its input through and adds its own gradient",
        layer_call(SparsityPenalty, sparsity_points),
        lambda: through_proof(SparsityPenalty(), *sparsity_points()),
        "wrong",
        "backward gives the penalty's gradient without adding dout",
        ("ignores-cotangent", "missing-term"),
        ("a",),
    ),
    Stranger(
        "binary cross entropy with pos_weight: weight on the negatives too",
        "loss class with labels",
        layer_call(BCEWithLogits, bce_points),
        lambda: loss_proof(BCEWithLogits, bce_points),
        "wrong",
        "backward multiplies every element by pos_weight, also where t is 0",
        ("masked-region", "constant-factor"),
        ("z",),
    ),
    Stranger(
        "normal likelihood loss with log variance: divided by n twice",
        "loss class with two predictions",
        layer_call(GaussianNLLLoss, nll_points),
        lambda: loss_proof(GaussianNLLLoss, nll_points, (0, 1)),
        "wrong",
        "the scale is 1 / n already, and backward divides by n again",
        ("reduced-twice", "constant-factor"),
        ("mu", "log_var"),
    ),
    Stranger(
        "softmax loss: backward spoils the probabilities that it keeps",
        "loss class with integer labels",
        layer_call(SoftmaxCrossEntropyLoss, softmax_points),
        lambda: [],
        "habit",
        "the first backward is right; it is computed in place, so that a second one differs",
        ("aliases-memory", "accumulates"),
        ("scores",),
    ),
]
