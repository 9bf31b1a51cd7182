"""Losses: classes with forward and backward, functions that return loss and gradient."""

import numpy as np

from ._entry import Stranger
from ._help_d import loss_proof, numgrad, value_and_grad_proof


class DiceLoss:
    """1 - mean soft dice over the batch."""

    def __init__(self, smooth=1.0):
        self.smooth = smooth

    def forward(self, pred, target):
        self.p, self.t = pred, target
        ax = tuple(range(1, pred.ndim))
        self.inter = (pred * target).sum(axis=ax, keepdims=True)
        self.denom = (
            (pred**2).sum(axis=ax, keepdims=True) + (target**2).sum(axis=ax, keepdims=True) + self.smooth
        )
        self.dice = (2 * self.inter + self.smooth) / self.denom
        return 1.0 - self.dice.mean()

    def backward(self):
        n = len(self.p)
        return -(2 * self.t - self.dice * 2 * self.p) / self.denom / n


def dice_data():
    rng = np.random.default_rng(201)
    return rng.uniform(0.05, 0.95, (3, 8, 8)), (rng.random((3, 8, 8)) < 0.4).astype(float)


class LabelSmoothingCrossEntropy:
    def __init__(self, eps=0.1):
        self.eps = eps

    def _soft(self, labels, k):
        q = np.full((len(labels), k), self.eps / k)
        q[np.arange(len(labels)), labels] += 1 - self.eps
        return q

    def loss(self, logits, labels):
        z = logits - logits.max(1, keepdims=True)
        logp = z - np.log(np.exp(z).sum(1, keepdims=True))
        return float(-(self._soft(labels, logits.shape[1]) * logp).sum() / len(labels))

    def gradient(self, logits, labels):
        z = np.exp(logits - logits.max(1, keepdims=True))
        return (z / z.sum(1, keepdims=True) - self._soft(labels, logits.shape[1])) / len(labels)


def smoothing_data():
    rng = np.random.default_rng(202)
    return rng.standard_normal((7, 5)), np.array([0, 4, 2, 2, 1, 3, 0])


def smoothing_prove():
    x, y = smoothing_data()
    loss = LabelSmoothingCrossEntropy()
    return [(loss.gradient(x, y), numgrad(lambda v: loss.loss(v, y), x))]


def bpr(theta, triples, n_users, n_items, k=4, reg=0.01):
    """Bayesian personalised ranking; theta holds user factors, item factors, item biases."""
    cut = n_users * k
    U = theta[:cut].reshape(n_users, k)
    V = theta[cut : cut + n_items * k].reshape(n_items, k)
    b = theta[cut + n_items * k :]
    u, i, j = triples.T
    margin = np.sum(U[u] * (V[i] - V[j]), axis=1) + b[i] - b[j]
    value = np.logaddexp(0, -margin).sum() + 0.5 * reg * theta @ theta
    s = -1 / (1 + np.exp(margin))
    dU, dV, db = np.zeros_like(U), np.zeros_like(V), np.zeros_like(b)
    np.add.at(dU, u, s[:, None] * (V[i] - V[j]))
    np.add.at(dV, i, s[:, None] * U[u])
    np.add.at(dV, j, -s[:, None] * U[u])
    np.add.at(db, i, s)
    np.add.at(db, j, -s)
    return value, np.concatenate([dU.ravel(), dV.ravel(), db]) + reg * theta


def bpr_data():
    rng = np.random.default_rng(203)
    nu, ni = 6, 9
    i = rng.integers(0, ni, 30)
    triples = np.stack([rng.integers(0, nu, 30), i, (i + rng.integers(1, ni, 30)) % ni], axis=1)
    return rng.standard_normal(nu * 4 + ni * 4 + ni) * 0.7, (triples, nu, ni)


class InfoNCE:
    """za[i] belongs to zb[i]; both directions."""

    def __init__(self, temperature=0.3):
        self.tau = temperature

    @staticmethod
    def _log_softmax(s, axis):
        s = s - s.max(axis=axis, keepdims=True)
        return s - np.log(np.exp(s).sum(axis=axis, keepdims=True))

    def forward(self, za, zb):
        self.na = np.sqrt((za**2).sum(1, keepdims=True))
        self.nb = np.sqrt((zb**2).sum(1, keepdims=True))
        self.a, self.b = za / self.na, zb / self.nb
        s = self.a @ self.b.T / self.tau
        self.rows, self.cols = self._log_softmax(s, 1), self._log_softmax(s, 0)
        return -0.5 * (np.trace(self.rows) + np.trace(self.cols)) / len(za)

    def backward(self, dout=1.0):
        n = len(self.a)
        ds = 0.5 * (np.exp(self.rows) + np.exp(self.cols)) - np.eye(n)
        ds = ds * dout / (n * self.tau)
        da, db = ds @ self.b, ds.T @ self.a
        dza = (da - self.a * (self.a * da).sum(1, keepdims=True)) / self.na
        dzb = (db - self.b * (self.b * db).sum(1, keepdims=True)) / self.nb
        return dza, dzb


def infonce_data():
    rng = np.random.default_rng(204)
    za = rng.standard_normal((8, 6))
    return za, za + 0.8 * rng.standard_normal((8, 6))


def listmle(scores, relevance):
    """Negative log likelihood of the Plackett-Luce order by relevance."""
    order = np.argsort(-relevance, kind="stable")
    s = scores[order]
    top = s.max()
    e = np.exp(s - top)
    tail = np.cumsum(e[::-1])[::-1]
    loss = np.sum(np.log(tail) + top - s)
    ds = e * np.cumsum(1 / tail) - 1
    grad = np.empty_like(scores)
    grad[order] = ds
    return loss, grad


def listmle_data():
    rng = np.random.default_rng(205)
    return rng.standard_normal(25), (rng.permutation(25).astype(float),)


class FocalLoss:
    def __init__(self, gamma=2.0, alpha=0.25):
        self.gamma, self.alpha = gamma, alpha

    def forward(self, logits, target):
        sign = 2.0 * target - 1.0
        self.sign = sign
        self.w = np.where(target == 1, self.alpha, 1 - self.alpha)
        self.logpt = -np.logaddexp(0.0, -sign * logits)
        self.pt = np.exp(self.logpt)
        return np.mean(-self.w * (1 - self.pt) ** self.gamma * self.logpt)

    def backward(self, dout=1.0):
        # d log(pt) / dz = sign * (1 - pt)
        dlogpt = -self.w * (1 - self.pt) ** self.gamma
        return dout * dlogpt * self.sign * (1 - self.pt) / self.pt.size


def focal_data():
    rng = np.random.default_rng(206)
    return rng.standard_normal((6, 4)) * 1.5, (rng.random((6, 4)) < 0.4).astype(float)


class QuantileLoss:
    """One pinball loss per sample, the mean over the quantiles; the trainer weights the samples."""

    def __init__(self, quantiles=(0.1, 0.5, 0.9)):
        self.q = np.array(quantiles)

    def forward(self, pred, y):
        self.diff = y[:, None] - pred
        return np.maximum(self.q * self.diff, (self.q - 1) * self.diff).mean(axis=1)

    def backward(self, dout):
        slope = np.where(self.diff > 0, -self.q, 1 - self.q)
        return slope / len(self.q)


def quantile_data():
    rng = np.random.default_rng(207)
    return rng.standard_normal((11, 3)), rng.standard_normal(11)


def quantile_prove():
    pred, y = quantile_data()
    g = np.random.default_rng(9).uniform(0.5, 2.0, 11)
    loss = QuantileLoss()
    loss.forward(pred, y)
    return [(loss.backward(g), numgrad(lambda v: g @ QuantileLoss().forward(v, y), pred))]


class HuberLoss:
    """Summed over the outputs, averaged over the batch."""

    def __init__(self, delta=1.0):
        self.delta = delta

    def forward(self, pred, target):
        self.r = pred - target
        a = np.abs(self.r)
        each = np.where(a <= self.delta, 0.5 * a**2, self.delta * (a - 0.5 * self.delta))
        return each.sum(axis=1).mean()

    def backward(self):
        return np.clip(self.r, -self.delta, self.delta) / self.r.size


def huber_data():
    rng = np.random.default_rng(208)
    return rng.standard_normal((10, 6)) * 2, rng.standard_normal((10, 6))


class SoftTripletLoss:
    def forward(self, anchor, positive, negative):
        self.ap, self.an = anchor - positive, anchor - negative
        self.z = (self.ap**2).sum(-1) - (self.an**2).sum(-1)
        return np.logaddexp(0, self.z).mean()

    def backward(self):
        s = 0.5 * (1 + np.tanh(0.5 * self.z)) / len(self.z)
        d_anchor = 2 * s[:, None] * (self.ap - self.an)
        d_positive = -2 * s[:, None] * self.ap
        d_negative = 2 * s[:, None] * self.an
        return d_anchor, d_negative, d_positive


def triplet_data():
    rng = np.random.default_rng(209)
    a = rng.standard_normal((7, 4))
    return a, a + 0.9 * rng.standard_normal((7, 4)), a + 1.1 * rng.standard_normal((7, 4))


class SampledSoftmaxLoss:
    """Every forward draws five new negatives of 40 classes; backward belongs to the last forward."""

    def __init__(self, seed=0):
        self.rng = np.random.default_rng(seed)

    def forward(self, scores, labels):
        n, k = scores.shape
        self.shape, self.labels = scores.shape, labels
        self.neg = (labels[:, None] + self.rng.integers(1, k, (n, 5))) % k
        cols = np.concatenate([labels[:, None], self.neg], axis=1)
        z = np.take_along_axis(scores, cols, axis=1)
        z = z - z.max(axis=1, keepdims=True)
        logp = z - np.log(np.exp(z).sum(axis=1, keepdims=True))
        self.cols, self.p = cols, np.exp(logp)
        return -logp[:, 0].mean()

    def backward(self):
        d = self.p.copy()
        d[:, 0] -= 1
        grad = np.zeros(self.shape)
        np.add.at(grad, (np.arange(len(d))[:, None], self.cols), d / len(d))
        return grad


def sampled_data():
    rng = np.random.default_rng(210)
    return rng.standard_normal((6, 40)), rng.integers(0, 40, 6)


def _bpr_call(gradlab):
    x, args = bpr_data()
    return gradlab.check_gradient(bpr, True, x, args=args)


def _bpr_prove():
    x, args = bpr_data()
    return value_and_grad_proof(bpr, x, *args)


def _listmle_call(gradlab):
    x, args = listmle_data()
    return gradlab.check_gradient(listmle, True, x, args=args)


def _listmle_prove():
    x, args = listmle_data()
    return value_and_grad_proof(listmle, x, *args)


ENTRIES = [
    Stranger(
        "soft dice loss of masks",
        "loss class, backward()",
        lambda gradlab: gradlab.check_layer(DiceLoss(), *dice_data()),
        lambda: loss_proof(DiceLoss, dice_data(), [0]),
    ),
    Stranger(
        "cross entropy with label smoothing, loss and gradient methods",
        "loss class, loss(pred, target) and gradient(pred, target)",
        lambda gradlab: gradlab.check_layer(LabelSmoothingCrossEntropy(), *smoothing_data()),
        smoothing_prove,
    ),
    Stranger(
        "Bayesian personalised ranking, packed factors", "f(x, ...) -> value, grad", _bpr_call, _bpr_prove
    ),
    Stranger(
        "InfoNCE in both directions",
        "loss class, backward(dout), two gradients",
        lambda gradlab: gradlab.check_layer(InfoNCE(), *infonce_data()),
        lambda: loss_proof(InfoNCE, infonce_data(), [0, 1]),
    ),
    Stranger("ListMLE by reversed cumulative sums", "f(x, y) -> loss, dx", _listmle_call, _listmle_prove),
    Stranger(
        "focal loss: the modulating factor is not differentiated",
        "loss class, backward(dout)",
        lambda gradlab: gradlab.check_layer(FocalLoss(), *focal_data()),
        lambda: loss_proof(FocalLoss, focal_data(), [0]),
        "wrong",
        "the product rule's term with the derivative of (1 - pt)**gamma is missing",
        ("missing-term",),
        ("logits",),
    ),
    Stranger(
        "pinball loss per sample: backward ignores dout",
        "loss class, backward(dout), one loss per sample",
        lambda gradlab: gradlab.check_layer(QuantileLoss(), *quantile_data()),
        quantile_prove,
        "wrong",
        "dout is not multiplied in",
        ("ignores-cotangent",),
        ("pred",),
    ),
    Stranger(
        "Huber loss: divided by the number of all elements where forward averages over the batch",
        "loss class, backward()",
        lambda gradlab: gradlab.check_layer(HuberLoss(), *huber_data()),
        lambda: loss_proof(HuberLoss, huber_data(), [0]),
        "wrong",
        "a mean over the outputs where forward has their sum",
        ("constant-factor", "constant-factor"),
        ("pred",),
    ),
    Stranger(
        "soft triplet loss: gradients of positive and negative exchanged",
        "loss class, backward(), three gradients",
        lambda gradlab: gradlab.check_layer(SoftTripletLoss(), *triplet_data()),
        lambda: loss_proof(SoftTripletLoss, triplet_data(), [0, 1, 2]),
        "wrong",
        "backward returns d_negative in the place of d_positive and the other way round",
        ("swapped-primals", "wrong-order"),
        ("positive", "negative"),
    ),
    Stranger(
        "sampled softmax: every forward draws other negatives",
        "loss class, backward()",
        lambda gradlab: gradlab.check_layer(SampledSoftmaxLoss(), *sampled_data()),
        lambda: [],
        "habit",
        "a random draw inside forward; backward fits the last one",
        ("nondeterministic",),
        ("forward",),
    ),
]
