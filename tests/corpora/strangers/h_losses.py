"""Losses: classes, functions that return (loss, dx), and functions with a cache."""

from dataclasses import dataclass, field

import numpy as np

from ._entry import Stranger
from ._help_h import of_scalar, slope


class QuantileLoss:
    """Pinball loss for several quantiles at once; pred (N, Q), y (N, 1)."""

    def __init__(self, quantiles=(0.1, 0.5, 0.9)):
        self.q = np.asarray(quantiles)

    def forward(self, pred, y):
        self.diff = y - pred
        return np.maximum(self.q * self.diff, (self.q - 1) * self.diff).mean()

    def backward(self):
        slope = np.where(self.diff > 0, self.q, self.q - 1)
        return -slope / self.diff.size


# ---------------- VAE: reconstruction and KL ----------------
def elbo_loss(mu, logvar, recon, x):
    n = len(mu)
    kl = -0.5 * np.sum(1 + logvar - mu**2 - np.exp(logvar)) / n
    rec = 0.5 * np.sum((recon - x) ** 2) / n
    loss = rec + kl
    cache = mu, logvar, recon, x
    return loss, cache


def elbo_backward(cache):
    mu, logvar, recon, x = cache
    n = len(mu)
    return mu / n, 0.5 * (np.exp(logvar) - 1) / n, (recon - x) / n, (x - recon) / n


def _latents():
    rng = np.random.default_rng(130)
    return tuple(rng.standard_normal(s) for s in ((4, 3), (4, 3), (4, 5), (4, 5)))


# ---------------- InfoNCE ----------------
class InfoNCE:
    def __init__(self, temperature=0.5):
        self.T = temperature

    def __call__(self, za, zb):
        """Both ways, as in CLIP; row i of za belongs to row i of zb."""
        self.za, self.zb = za, zb
        S = za @ zb.T / self.T
        self.pr = self._softmax(S)
        self.pc = self._softmax(S.T).T
        return -0.5 * (np.log(np.diag(self.pr)).mean() + np.log(np.diag(self.pc)).mean())

    @staticmethod
    def _softmax(s):
        e = np.exp(s - s.max(axis=1, keepdims=True))
        return e / e.sum(axis=1, keepdims=True)

    def backward(self, dout=1.0):
        n = len(self.za)
        dS = dout * (0.5 * (self.pr + self.pc) - np.eye(n)) / n / self.T
        return dS @ self.zb, dS.T @ self.za


# ---------------- Dice for segmentation, hobby framework ----------------
class SoftDice:
    def loss(self, y_true, y_pred):
        inter = np.sum(y_true * y_pred, axis=(1, 2))
        union = np.sum(y_true, axis=(1, 2)) + np.sum(y_pred, axis=(1, 2))
        return np.sum(1 - (2 * inter + 1) / (union + 1))

    def gradient(self, y_true, y_pred):
        inter = np.sum(y_true * y_pred, axis=(1, 2), keepdims=True)
        union = np.sum(y_true + y_pred, axis=(1, 2), keepdims=True)
        return (2 * inter + 1) / (union + 1) ** 2 - 2 * y_true / (union + 1)


def _masks():
    rng = np.random.default_rng(132)
    return rng.integers(0, 2, (3, 4, 4)).astype(float), rng.uniform(0.1, 0.9, (3, 4, 4))


# ---------------- multi-class SVM of Weston and Watkins (cs231n) ----------------
def svm_loss(x, y):
    N = x.shape[0]
    correct = x[np.arange(N), y]
    margins = np.maximum(0, x - correct[:, None] + 1.0)
    margins[np.arange(N), y] = 0
    loss = np.sum(margins) / N
    dx = (margins > 0).astype(x.dtype)
    dx[np.arange(N), y] -= dx.sum(axis=1)
    return loss, dx / N


def _scores():
    return np.random.default_rng(133).standard_normal((6, 4)) * 2, np.array([0, 3, 1, 1, 2, 0])


# ---------------- ordinal targets: squared earth mover's distance ----------------
@dataclass
class EarthMover:
    """logits (N, C) -> softmax -> distance of the distribution functions. The gradient is put into .grad."""

    target: np.ndarray
    grad: np.ndarray = field(default=None, init=False)

    def forward(self, logits):
        e = np.exp(logits - logits.max(1, keepdims=True))
        self.p = e / e.sum(1, keepdims=True)
        self.gap = np.cumsum(self.p - self.target, axis=1)
        return (self.gap**2).sum(1).mean()

    def backward(self):
        dp = 2 * np.cumsum(self.gap[:, ::-1], axis=1)[:, ::-1] / len(self.gap)
        self.grad = self.p * (dp - (dp * self.p).sum(1, keepdims=True))
        return self.grad


def _ages():
    rng = np.random.default_rng(134)
    return EarthMover(np.eye(5)[rng.integers(0, 5, 4)]), rng.standard_normal((4, 5))


# ================= below: with a mistake each =================
class BinaryFocalLoss:
    def __init__(self, gamma=2.0):
        self.gamma = gamma

    def forward(self, logit, label):
        sign = 2 * label - 1
        self.sign = sign
        self.pt = 1 / (1 + np.exp(-sign * logit))
        self.w = (1 - self.pt) ** self.gamma
        return -(self.w * np.log(self.pt)).sum()

    def backward(self, dout=1.0):
        dpt = -self.w / self.pt
        return dout * dpt * self.pt * (1 - self.pt) * self.sign


def _lesions():
    rng = np.random.default_rng(135)
    return rng.standard_normal(9), np.array([1, 0, 0, 1, 0, 1, 1, 0, 0])


class LabelSmoothingCE(object):
    def __init__(self, classes, smoothing=0.2):
        self.classes = classes
        self.smoothing = smoothing

    def forward(self, logits, labels):
        z = logits - logits.max(axis=-1, keepdims=True)
        logp = z - np.log(np.exp(z).sum(axis=-1, keepdims=True))
        onehot = np.eye(self.classes)[labels]
        soft = (1 - self.smoothing) * onehot + self.smoothing / self.classes
        self.saved = np.exp(logp), onehot, soft
        return -(soft * logp).sum(axis=-1).mean()

    def backward(self):
        p, onehot, soft = self.saved
        return (p - onehot) / len(p)


class WeightedBCE:
    """score -> loss; errors on the positives count `pos_weight` times."""

    def __init__(self, pos_weight):
        self.pos_weight = pos_weight

    def forward(self, score, is_pos):
        self.is_pos = is_pos
        self.prob = 1 / (1 + np.exp(-score))
        pos = -np.log(self.prob[is_pos]) * self.pos_weight
        neg = -np.log(1 - self.prob[~is_pos])
        return pos.sum() + neg.sum()

    def backward(self):
        d = self.prob.copy()
        d[self.is_pos] -= 1
        return d


class SiameseContrastive:
    def __init__(self, margin=2.5):
        self.margin = margin

    def forward(self, left, right, same):
        self.diff = left - right
        self.dist = np.sqrt((self.diff**2).sum(1))
        self.same = same
        short = np.maximum(self.margin - self.dist, 0)
        self.short = short
        return np.sum(np.where(same, self.dist**2, short**2)) / (2 * len(left))

    def backward(self, dout=1.0):
        pull = np.where(self.same, 1.0, -self.short / self.dist)
        dleft = dout * pull[:, None] * self.diff / len(self.diff)
        dright = np.zeros_like(dleft)
        return dleft, dright


def _faces():
    rng = np.random.default_rng(138)
    return rng.standard_normal((6, 3)), rng.standard_normal((6, 3)), np.array([1, 0, 0, 1, 1, 0], dtype=bool)


def si_snr_loss(est, clean):
    """Negative scale-invariant signal-to-noise ratio in dB of each clip, and what backward needs."""
    scale = (est * clean).sum(-1, keepdims=True) / (clean**2).sum(-1, keepdims=True)
    sig = scale * clean
    noise = est - sig
    s2, n2 = (sig**2).sum(-1, keepdims=True), (noise**2).sum(-1, keepdims=True)
    return -10 * np.log10(s2 / n2)[..., 0], (sig, noise, s2, n2)


def si_snr_grad(g, cache):
    sig, noise, s2, n2 = cache
    per_db = 4.3
    return -2 * per_db * g[..., None] * (sig / s2 - noise / n2)


CLEAN = np.sin(np.outer([1.0, 1.7, 2.3], np.arange(10.0)))


# ================= a loss that remembers =================
class ClassBalancedCE:
    """Cross entropy with weights by the classes' frequency."""

    def __init__(self, n_classes):
        self.freq = np.full(n_classes, 1 / n_classes)

    def forward(self, logits, labels):
        n, c = logits.shape
        self.freq = 0.9 * self.freq + 0.1 * np.bincount(labels, minlength=c) / n
        p = np.exp(logits - logits.max(1, keepdims=True))
        self.p = p / p.sum(1, keepdims=True)
        self.labels, self.w = labels, 1 / (self.freq[labels] + 0.1)
        return -(self.w * np.log(self.p[np.arange(n), labels])).mean()

    def backward(self, dout=1):
        d = self.p * self.w[:, None]
        d[np.arange(len(d)), self.labels] -= self.w
        return dout * d / len(d)


def _rare(gradlab):
    logits = np.random.default_rng(140).standard_normal((6, 3))
    return gradlab.check_layer(ClassBalancedCE(3), logits, np.array([0, 0, 1, 0, 2, 0]))


def _layer(make, inputs, n=1, call="forward", back="backward"):
    """Return call and proof for a loss object; the first `n` inputs have gradients."""

    def prove():
        loss, args = make(), inputs()
        getattr(loss, call)(*args)
        grads = getattr(loss, back)()
        grads = grads if isinstance(grads, tuple) else (grads,)
        grads = [np.array(d) for d in grads]
        return [(d, slope(lambda: getattr(loss, call)(*args), a)) for d, a in zip(grads, args[:n])]

    return lambda gradlab: gradlab.check_layer(make(), *inputs()), prove


def _with(shape, seed, *rest):
    return lambda: (np.random.default_rng(seed).standard_normal(shape), *rest)


def _dice_truth():
    t, p = _masks()
    return of_scalar(lambda p: SoftDice().loss(t, p), lambda p: SoftDice().gradient(t, p), p)


def _emd_truth():
    m, x = _ages()
    m.forward(x)
    return [(m.backward().copy(), slope(lambda: m.forward(x), x))]


def _elbo_truth():
    args = _latents()
    grads = elbo_backward(elbo_loss(*args)[1])
    return [(d, slope(lambda: elbo_loss(*args)[0], a)) for d, a in zip(grads, args)]


def _snr_truth():
    est, clean = CLEAN + 0.3 * np.random.default_rng(139).standard_normal(CLEAN.shape), CLEAN
    g = np.array([0.5, -1.0, 2.0])
    return [(si_snr_grad(g, si_snr_loss(est, clean)[1]), slope(lambda: g @ si_snr_loss(est, clean)[0], est))]


def _snr(gradlab):
    est = CLEAN + 0.3 * np.random.default_rng(139).standard_normal(CLEAN.shape)
    return gradlab.check_cached_pair(lambda est: si_snr_loss(est, CLEAN), si_snr_grad, (est,))


ENTRIES = [
    Stranger(
        "pinball loss for three quantiles",
        "loss class",
        *_layer(QuantileLoss, _with((5, 3), 131, np.array([[0.3], [-1.2], [0.8], [2.0], [0.1]]))),
    ),
    Stranger(
        "VAE's reconstruction and KL",
        "loss with a cache, backward without cotangent",
        lambda gradlab: gradlab.check_cached_pair(elbo_loss, elbo_backward, _latents()),
        _elbo_truth,
    ),
    Stranger(
        "InfoNCE both ways",
        "callable loss class with two inputs",
        *_layer(InfoNCE, lambda: tuple(np.random.default_rng(141).standard_normal((2, 5, 3))), 2, "__call__"),
    ),
    Stranger(
        "soft Dice",
        "loss and gradient methods that take both arguments",
        lambda gradlab: gradlab.check_layer(SoftDice(), *_masks()),
        _dice_truth,
    ),
    Stranger(
        "multi-class hinge",
        "function that returns (loss, dx)",
        lambda gradlab: gradlab.check_gradient(svm_loss, True, _scores()[0], args=_scores()[1:]),
        lambda: of_scalar(svm_loss, True, _scores()[0], _scores()[1:]),
    ),
    Stranger(
        "squared earth mover's distance",
        "dataclass with the target inside, gradient in .grad",
        lambda gradlab: gradlab.check_layer(*_ages()),
        _emd_truth,
    ),
    Stranger(
        "focal loss: the weight held constant",
        "loss class",
        *_layer(BinaryFocalLoss, _lesions),
        "wrong",
        "the modulating factor is treated as a constant",
        ("missing-term",),
        ("logit",),
        "        dpt = -self.w / self.pt\n",
        "        dpt = -self.w / self.pt\n"
        "        dpt += self.gamma * (1 - self.pt) ** (self.gamma - 1) * np.log(self.pt)\n",
    ),
    Stranger(
        "label smoothing: hard labels in backward",
        "loss class",
        *_layer(lambda: LabelSmoothingCE(4), _with((5, 4), 136, np.array([1, 0, 3, 2, 1]))),
        "wrong",
        "backward subtracts the hard labels and not the smoothed ones",
        ("other-approximation",),
        ("logits",),
        "        return (p - onehot) / len(p)\n",
        "        return (p - soft) / len(p)\n",
    ),
    Stranger(
        "weighted cross entropy: the positives' weight",
        "loss class with a mask",
        *_layer(lambda: WeightedBCE(3.0), _with(8, 137, np.arange(8) % 3 == 0)),
        "wrong",
        "the positives' weight is forgotten in backward",
        ("masked-region", "constant-factor"),
        ("score",),
        "        d[self.is_pos] -= 1\n",
        "        d[self.is_pos] = self.pos_weight * (d[self.is_pos] - 1)\n",
    ),
    Stranger(
        "siamese contrastive loss: the right twin",
        "loss class with two inputs",
        *_layer(SiameseContrastive, _faces, 2),
        "wrong",
        "the second input's gradient is left at zero",
        ("zero-gradient",),
        ("right",),
        "        dright = np.zeros_like(dleft)\n",
        "        dright = -dleft\n",
    ),
    Stranger(
        "SI-SNR in dB: ten over log ten",
        "loss per clip, pair with cache",
        _snr,
        _snr_truth,
        "wrong",
        "10 / log(10) is written with too few digits",
        ("rounded-constants", "constant-factor"),
        ("est",),
        "    per_db = 4.3\n",
        "    per_db = 10 / np.log(10)\n",
    ),
    Stranger(
        "class-balanced cross entropy: running frequencies",
        "loss class with state",
        _rare,
        lambda: [],
        "habit",
        "forward moves the class frequencies that it uses, so that a call gives another loss next time",
        ("nondeterministic",),
        ("logits",),
    ),
]
