"""Losses."""

import numpy as np
from scipy import special

from ._entry import apart, fixed, normal, probabilities, right, uniform


def mse(prediction, target):
    diff = prediction - target
    return np.mean(diff**2), diff


def mse_backward(diff, g):
    d = 2 * g * diff / diff.size
    return d, -d


def mae(prediction, target):
    return np.abs(prediction - target).mean(), prediction - target


def mae_backward(diff, g):
    d = g * np.sign(diff) / diff.size
    return d, -d


def huber(x, delta, target):
    r = x - target.astype(x.dtype)
    small = np.abs(r) <= delta
    loss = np.where(small, 0.5 * r**2, delta * (np.abs(r) - 0.5 * delta))
    return loss.sum(), (r, small, delta)


def huber_backward(cache, g):
    r, small, delta = cache
    return (g * np.where(small, r, delta * np.sign(r)),)


def hinge(scores, y):
    margins = np.maximum(0, 1 - y * scores)
    return margins.mean(), (margins, y, scores.dtype)


def hinge_backward(cache, g):
    margins, y, dtype = cache
    return ((-g * y * (margins > 0) / len(y)).astype(dtype),)


def multiclass_hinge(scores, labels):
    rows = np.arange(len(labels))
    margins = np.maximum(0, scores - scores[rows, labels][:, None] + 1)
    margins[rows, labels] = 0
    return margins.sum(), (margins, labels)


def multiclass_hinge_backward(cache, g):
    margins, labels = cache
    d = (margins > 0).astype(margins.dtype)
    d[np.arange(len(labels)), labels] -= d.sum(axis=1)
    return (g * d,)


def pinball(q, tau, target):
    r = target - q
    return np.maximum(tau * r, (tau - 1) * r).sum(), (r, tau, q.dtype)


def pinball_backward(cache, g):
    r, tau, dtype = cache
    return ((g * np.where(r > 0, -tau, 1 - tau)).astype(dtype),)


def binary_cross_entropy(p, t):
    loss = -np.mean(t * np.log(p + 1e-7) + (1 - t) * np.log(1 - p + 1e-7))
    return loss, (p, t)


def binary_cross_entropy_backward(cache, g):
    p, t = cache
    d = -(t / (p + 1e-7) - (1 - t) / (1 - p + 1e-7)) / p.size
    return ((g * d).astype(p.dtype),)


def bce_with_logits(z, t):
    loss = np.maximum(z, 0) - z * t + np.log1p(np.exp(-np.abs(z)))
    return loss.mean(), (z, t)


def bce_with_logits_backward(cache, g):
    z, t = cache
    d = g * (special.expit(z) - t) / z.size
    return (d.astype(z.dtype),)


def cross_entropy(logits, labels):
    e = np.exp(logits - logits.max(axis=1, keepdims=True))
    p = e / e.sum(axis=1, keepdims=True)
    n = len(labels)
    return -np.log(p[np.arange(n), labels]).mean(), (p, labels)


def cross_entropy_backward(cache, g):
    p, labels = cache
    n = len(labels)
    d = p.copy()
    d[np.arange(n), labels] -= 1
    d *= g / n
    return (d,)


def one_hot_cross_entropy(y, t):
    return -np.sum(t * np.log(y + 1e-7)) / len(y), (y, t)


def one_hot_cross_entropy_backward(cache, g):
    y, t = cache
    return (-g * t / (y + 1e-7) / len(y),)


def kl_divergence(p, q):
    return np.sum(p * np.log(p / q)), (p, q)


def kl_divergence_backward(cache, g):
    p, q = cache
    return g * (np.log(p / q) + 1), -g * p / q


def gaussian_kl(mu, logvar):
    return -0.5 * np.sum(1 + logvar - mu**2 - np.exp(logvar)), (mu, logvar)


def gaussian_kl_backward(cache, g):
    mu, logvar = cache
    return g * mu, 0.5 * g * (np.exp(logvar) - 1)


def cosine_loss(a, b):
    na = np.linalg.norm(a, axis=1, keepdims=True)
    nb = np.linalg.norm(b, axis=1, keepdims=True)
    u, v = a / na, b / nb
    cos = (u * v).sum(axis=1, keepdims=True)
    return np.mean(1 - cos), (u, v, na, nb, cos)


def cosine_loss_backward(cache, g):
    u, v, na, nb, cos = cache
    c = -g / len(cos)
    return c * (v - cos * u) / na, c * (u - cos * v) / nb


def triplet(anchor, positive, negative, margin):
    ap, an = anchor - positive, anchor - negative
    loss = np.maximum(0, (ap**2).sum(1) - (an**2).sum(1) + margin)
    return loss.sum(), (ap, an, loss > 0)


def triplet_backward(cache, g):
    ap, an, active = cache
    scale = 2 * g * active[:, None]
    return scale * (ap - an), -scale * ap, scale * an


def nll(logp, labels):
    return -logp[np.arange(len(labels)), labels].mean(), (logp.shape, labels, logp.dtype)


def nll_backward(cache, g):
    shape, labels, dtype = cache
    d = np.zeros(shape, dtype)
    d[np.arange(len(labels)), labels] = -g / len(labels)
    return (d,)


def poisson_nll(log_rate, counts):
    rate = np.exp(log_rate)
    return np.mean(rate - counts * log_rate), (rate, counts)


def poisson_nll_backward(cache, g):
    rate, counts = cache
    return ((g * (rate - counts) / rate.size).astype(rate.dtype),)


def info_nce(a, b, tau):
    logits = a @ b.T / tau
    logits = logits - logits.max(axis=1, keepdims=True)
    p = np.exp(logits)
    p /= p.sum(axis=1, keepdims=True)
    return -np.mean(np.log(np.diag(p))), (a, b, p, tau)


def info_nce_backward(cache, g):
    a, b, p, tau = cache
    d = g * (p - np.eye(len(p), dtype=p.dtype)) / (len(p) * tau)
    return d @ b, d.T @ a


ENTRIES = [
    right("mse", mse, mse_backward, normal(3, 4), normal(3, 4)),
    right("mae", mae, mae_backward, apart(6), normal(6, scale=0.01)),
    right(
        "huber",
        huber,
        huber_backward,
        fixed([0.1, 0.7, -2.0, 1.0]),
        delta=1.0,
        target=np.array([0, 0, 0, -2]),
    ),
    right(
        "huber at its corners",
        huber,
        huber_backward,
        fixed([1.0, -1.0, 0.0, 0.5]),
        delta=1.0,
        target=np.zeros(4),
    ),
    right("hinge", hinge, hinge_backward, apart(6), y=np.array([1, -1, 1, 1, -1, -1])),
    right("hinge at the margin", hinge, hinge_backward, fixed([1.0, -1.0, 0.0]), y=np.array([1, -1, 1])),
    right(
        "multiclass hinge",
        multiclass_hinge,
        multiclass_hinge_backward,
        apart(3, 4),
        labels=np.array([3, 0, 2]),
    ),
    right("pinball", pinball, pinball_backward, normal(4), tau=0.9, target=np.array([4, -4, 3, -5])),
    right(
        "binary cross entropy",
        binary_cross_entropy,
        binary_cross_entropy_backward,
        uniform(0.1, 0.9, 6),
        t=np.array([1, 0, 0, 1, 1, 0]),
    ),
    right(
        "binary cross entropy of logits",
        bce_with_logits,
        bce_with_logits_backward,
        fixed([0.0, 2.0, -3.0, 0.0, 40.0]),
        t=np.array([1, 0, 0, 0, 1]),
    ),
    right(
        "cross entropy", cross_entropy, cross_entropy_backward, normal(4, 3), labels=np.array([2, 0, 1, 1])
    ),
    right(
        "cross entropy, one hot",
        one_hot_cross_entropy,
        one_hot_cross_entropy_backward,
        probabilities(3, 4),
        t=np.array([1, 0, 3])[:, None] == np.arange(4),
    ),
    right("kl divergence", kl_divergence, kl_divergence_backward, probabilities(2, 4), probabilities(2, 4)),
    right("gaussian kl", gaussian_kl, gaussian_kl_backward, normal(2, 3), normal(2, 3)),
    right("cosine loss", cosine_loss, cosine_loss_backward, apart(3, 4), apart(3, 4)),
    right("triplet", triplet, triplet_backward, normal(4, 3), normal(4, 3), normal(4, 3), margin=1.0),
    right("nll", nll, nll_backward, normal(4, 3), labels=np.array([0, 2, 2, 1])),
    right("poisson nll", poisson_nll, poisson_nll_backward, normal(5), counts=np.array([0, 3, 1, 7, 2])),
    right("info nce", info_nce, info_nce_backward, normal(3, 4), normal(3, 4), tau=0.5),
]
