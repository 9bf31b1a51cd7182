"""Losses of pairs, rankings and boxes."""

import numpy as np

from ._entry import Stranger
from .b_losses import layer_call, loss_proof

# ---------------- InfoNCE in both directions


def log_softmax(z, axis):
    z = z - z.max(axis=axis, keepdims=True)
    return z - np.log(np.exp(z).sum(axis=axis, keepdims=True))


class ClipLoss:
    """Symmetric InfoNCE between the rows of two batches; temperature is fixed."""

    def __init__(self, temperature=0.5):
        self.inv_t = 1.0 / temperature

    def forward(self, image, text):
        logits = image @ text.T * self.inv_t
        self.saved = image, text, log_softmax(logits, 1), log_softmax(logits, 0)
        _, _, rows, cols = self.saved
        return -0.5 * (np.trace(rows) + np.trace(cols)) / len(image)

    def backward(self):
        image, text, rows, cols = self.saved
        n = len(image)
        d = 0.5 * (np.exp(rows) + np.exp(cols)) / n
        d[np.diag_indices(n)] -= 1.0 / n
        d *= self.inv_t
        return d @ text, d.T @ image


def clip_points():
    rng = np.random.default_rng(321)
    return rng.standard_normal((4, 3)), rng.standard_normal((4, 3))


# ---------------- distance IoU


class DIoULoss:
    """Boxes are rows (cx, cy, w, h); the target has no gradient."""

    def forward(self, pred, gt):
        half_p, half_g = pred[:, 2:] / 2, gt[:, 2:] / 2
        p1, p2 = pred[:, :2] - half_p, pred[:, :2] + half_p
        g1, g2 = gt[:, :2] - half_g, gt[:, :2] + half_g
        side = np.minimum(p2, g2) - np.maximum(p1, g1)
        self.open = (side > 0).all(axis=1)
        self.side = np.where(self.open[:, None], side, 0.0)
        self.inter = self.side[:, 0] * self.side[:, 1]
        self.area = pred[:, 2] * pred[:, 3] + gt[:, 2] * gt[:, 3] - self.inter
        self.hull = np.maximum(p2, g2) - np.minimum(p1, g1)
        self.c2 = (self.hull**2).sum(axis=1)
        self.delta = pred[:, :2] - gt[:, :2]
        self.d2 = (self.delta**2).sum(axis=1)
        self.pred, self.corner = pred, (p1, p2, g1, g2)
        return np.mean(1 - self.inter / self.area + self.d2 / self.c2)

    def backward(self):
        p1, p2, g1, g2 = self.corner
        n = len(self.pred)
        # d iou = (1/A + I/A^2) dI - I/A^2 d(w h)
        by_inter = (1 / self.area + self.inter / self.area**2) * self.open
        by_own = -self.inter / self.area**2
        d_side = by_inter[:, None] * self.side[:, ::-1]
        up, low = -d_side * (p2 < g2), d_side * (p1 > g1)
        d_size = -by_own[:, None] * self.pred[:, :1:-1]
        d_hull = (-2 * self.d2 / self.c2**2)[:, None] * self.hull
        up = up + d_hull * (p2 > g2)
        low = low - d_hull * (p1 < g1)
        d_centre = up + low + 2 * self.delta / self.c2[:, None]
        d_size = d_size + (up - low) / 2
        return np.hstack([d_centre, d_size]) / n


def diou_points():
    pred = np.array([[1.1, 2.0, 1.4, 0.9], [3.2, 1.5, 2.2, 1.3], [0.5, 0.6, 0.7, 1.9], [5.0, 5.2, 0.8, 0.6]])
    gt = np.array([[1.4, 2.3, 1.0, 1.2], [3.0, 1.7, 1.1, 0.8], [0.9, 0.2, 1.3, 1.0], [2.0, 1.0, 1.0, 0.7]])
    return pred, gt


# ---------------- triplets


class TripletLoss:
    def __init__(self, margin=1.0):
        self.margin = margin

    def forward(self, anchor, positive, negative):
        self.to_pos = anchor - positive
        self.to_neg = anchor - negative
        gap = (self.to_pos**2).sum(1) - (self.to_neg**2).sum(1) + self.margin
        self.active = (gap > 0)[:, None]
        return np.maximum(gap, 0).mean()

    def backward(self):
        scale = 2.0 * self.active / len(self.active)
        d_anchor = scale * (self.to_pos - self.to_neg)
        d_positive = scale * self.to_neg
        d_negative = -scale * self.to_pos
        return d_anchor, d_positive, d_negative


def triplet_points():
    rng = np.random.default_rng(322)
    return tuple(rng.standard_normal((4, 3)) for _ in range(3))


# ---------------- NT-Xent


class NTXent:
    """z holds two views of each sample, rows 2k and 2k + 1."""

    def __init__(self, tau=0.5):
        self.tau = tau

    def forward(self, z):
        self.norm = np.linalg.norm(z, axis=1, keepdims=True)
        self.zh = z / self.norm
        sim = self.zh @ self.zh.T / self.tau
        np.fill_diagonal(sim, -1e9)
        self.logp = log_softmax(sim, 1)
        n = len(z)
        self.partner = np.arange(n) ^ 1
        return -self.logp[np.arange(n), self.partner].mean()

    def backward(self):
        n = len(self.zh)
        d = np.exp(self.logp)
        d[np.arange(n), self.partner] -= 1
        d /= n * self.tau
        dzh = d @ self.zh + d.T @ self.zh
        return dzh / self.norm


def ntxent_points():
    return (np.random.default_rng(323).standard_normal((6, 3)),)


# ---------------- log IoU of corner boxes


class IoULoss:
    """-log IoU of rows (x1, y1, x2, y2)."""

    def __init__(self, eps=1e-9):
        self.eps = eps

    def forward(self, b, t):
        lt, rb = np.maximum(b[:, :2], t[:, :2]), np.minimum(b[:, 2:], t[:, 2:])
        wh = np.clip(rb - lt, 0, None)
        self.inter = wh[:, 0] * wh[:, 1] + self.eps
        area_b = (b[:, 2] - b[:, 0]) * (b[:, 3] - b[:, 1])
        area_t = (t[:, 2] - t[:, 0]) * (t[:, 3] - t[:, 1])
        self.union = area_b + area_t - self.inter
        self.b, self.t, self.wh = b, t, wh
        return -np.log(self.inter / self.union).sum()

    def backward(self):
        b, t, wh = self.b, self.t, self.wh
        d_inter = -1 / self.inter - 1 / self.union
        d_wh = d_inter[:, None] * wh[:, ::-1] * (wh > 0)
        db = np.zeros_like(b)
        db[:, :2] = -d_wh * (b[:, :2] > t[:, :2])
        db[:, 2:] = d_wh * (b[:, 2:] < t[:, 2:])
        return db


def iou_points():
    b = np.array([[0.2, 0.3, 1.7, 1.4], [1.0, 2.1, 2.6, 3.9], [0.5, 0.1, 3.0, 0.9]])
    t = np.array([[0.5, 0.1, 2.1, 1.2], [0.7, 2.4, 2.3, 3.5], [0.9, 0.3, 2.2, 1.3]])
    return b, t


# ---------------- ListMLE


class ListMLE:
    """Scores (queries, documents), ranked by descending relevance."""

    def forward(self, scores, relevance):
        order = np.argsort(-relevance, axis=1, kind="stable")
        s = np.take_along_axis(scores, order, axis=1)
        self.top = s.max(axis=1, keepdims=True)
        self.e = np.exp(s - self.top)
        self.tail = np.cumsum(self.e[:, ::-1], axis=1)[:, ::-1]
        self.n = len(s)
        return (np.log(self.tail) + self.top - s).sum() / self.n

    def backward(self):
        share = np.cumsum(1.0 / self.tail, axis=1)
        return (self.e * share - 1.0) / self.n


def listmle_points():
    rng = np.random.default_rng(324)
    return rng.standard_normal((3, 5)), np.array([[0, 3, 1, 4, 2], [2, 0, 4, 1, 3], [1, 4, 0, 2, 3]])


# ---------------- cosine


class CosineEmbeddingLoss:
    """Brings together rows with y = 1, and takes apart those with y = -1."""

    def __init__(self, margin=0.0):
        self.margin = margin

    def forward(self, x1, x2, y):
        self.n1, self.n2 = np.linalg.norm(x1, axis=1), np.linalg.norm(x2, axis=1)
        self.cos = (x1 * x2).sum(axis=1) / (self.n1 * self.n2)
        self.x1, self.x2 = x1, x2
        self.dcos = np.where(y == 1, -1.0, (self.cos > self.margin) * 1.0) / len(y)
        return np.where(y == 1, 1 - self.cos, np.maximum(self.cos - self.margin, 0)).mean()

    def backward(self):
        u1, u2 = self.x1 / self.n1[:, None], self.x2 / self.n2[:, None]
        dx1 = (self.dcos / self.n1)[:, None] * (u2 - self.cos[:, None] * u1)
        dx2 = np.zeros_like(self.x2)
        return dx1, dx2


def cosine_points():
    rng = np.random.default_rng(326)
    return rng.standard_normal((5, 3)), rng.standard_normal((5, 3)), np.array([1, -1, 1, -1, -1])


ENTRIES = [
    Stranger(
        "symmetric contrastive loss of two batches",
        "loss class with two gradients",
        layer_call(ClipLoss, clip_points),
        lambda: loss_proof(ClipLoss, clip_points, (0, 1)),
    ),
    Stranger(
        "distance IoU loss of boxes by centre and size",
        "loss class with targets",
        layer_call(DIoULoss, diou_points),
        lambda: loss_proof(DIoULoss, diou_points),
    ),
    Stranger(
        "triplet loss: gradients of positive and negative exchanged",
        "loss class with three gradients",
        layer_call(TripletLoss, triplet_points),
        lambda: loss_proof(TripletLoss, triplet_points, (0, 1, 2)),
        "wrong",
        "d_positive is the negative's and d_negative the positive's",
        ("swapped-primals",),
        ("positive", "negative"),
    ),
    Stranger(
        "NT-Xent loss: no gradient through the norm",
        "loss class",
        layer_call(NTXent, ntxent_points),
        lambda: loss_proof(NTXent, ntxent_points),
        "wrong",
        "divides by the norm without projecting out the row itself",
        ("normaliser-forgotten", "missing-term"),
        ("z",),
    ),
    Stranger(
        "log IoU loss: the box's own area in the union forgotten",
        "loss class with targets",
        layer_call(IoULoss, iou_points),
        lambda: loss_proof(IoULoss, iou_points),
        "wrong",
        "the union depends on the predicted area too",
        ("missing-term",),
        ("b",),
    ),
    Stranger(
        "ListMLE: gradient left in sorted order",
        "loss class with relevances",
        layer_call(ListMLE, listmle_points),
        lambda: loss_proof(ListMLE, listmle_points),
        "wrong",
        "the gradient is in the order of relevance and not put back",
        (),
        ("scores",),
    ),
    Stranger(
        "cosine embedding loss: nothing for the second input",
        "loss class with two gradients and labels 1 and -1",
        layer_call(CosineEmbeddingLoss, cosine_points),
        lambda: loss_proof(CosineEmbeddingLoss, cosine_points, (0, 1)),
        "wrong",
        "the gradient of x2 is zero",
        ("zero-gradient",),
        ("x2",),
    ),
]
