"""Losses and likelihoods that are objects, each in the way of another author."""

import math

import numpy as np

from ._entry import Stranger
from ._help_e import loss_pairs, pairs


def sig(v):
    return 1.0 / (1.0 + np.exp(-v))


class CoxRegression:
    """Negative partial log-likelihood (Breslow); times and events belong to the study and are kept."""

    def __init__(self, beta, time, event):
        self.beta = beta
        self.at_risk = (time[None, :] >= time[:, None]).astype(float)
        self.event = event.astype(float)
        self.n_events = event.sum()

    def forward(self, X):
        self.X = X
        eta = X @ self.beta
        self.w = np.exp(eta)
        self.risk = self.at_risk @ self.w
        return -np.sum(self.event * (eta - np.log(self.risk))) / self.n_events

    def backward(self, dloss=1.0):
        deta = -(self.event - self.w * (self.at_risk.T @ (self.event / self.risk))) / self.n_events * dloss
        self.beta_grad = self.X.T @ deta
        return np.outer(deta, self.beta)


def cox():
    r = np.random.default_rng(1)
    time, event = np.array([3.1, 0.7, 5.2, 2.2, 4.4, 1.5]), np.array([1, 1, 0, 1, 1, 0])
    return CoxRegression(r.standard_normal(3), time, event), r.standard_normal((6, 3))


def prove_cox():
    m, x = cox()
    return pairs(lambda: m.forward(x), [x, m.beta], lambda g: [m.backward(g), m.beta_grad])


class ChainCRF:
    """Linear chain: start, end and transition scores; backward by forward-backward sums in logs."""

    def __init__(self, n_tags, seed=3):
        g = np.random.default_rng(seed)
        self.params = {
            "trans": g.standard_normal((n_tags, n_tags)),
            "start": g.standard_normal(n_tags),
            "end": g.standard_normal(n_tags),
        }
        self.grads = {}

    def forward(self, emit, tags):
        p = self.params
        T = len(tags)
        alpha = np.zeros_like(emit)
        alpha[0] = p["start"] + emit[0]
        for t in range(1, T):
            alpha[t] = np.logaddexp.reduce(alpha[t - 1][:, None] + p["trans"], axis=0) + emit[t]
        self.logZ = np.logaddexp.reduce(alpha[-1] + p["end"])
        gold = p["start"][tags[0]] + p["end"][tags[-1]] + emit[np.arange(T), tags].sum()
        gold += p["trans"][tags[:-1], tags[1:]].sum()
        self.emit, self.tags, self.alpha = emit, tags, alpha
        return self.logZ - gold

    def backward(self):
        p, T = self.params, len(self.tags)
        beta = np.zeros_like(self.emit)
        beta[-1] = p["end"]
        dtrans = np.zeros_like(p["trans"])
        for t in range(T - 2, -1, -1):
            edge = p["trans"] + self.emit[t + 1] + beta[t + 1]
            beta[t] = np.logaddexp.reduce(edge, axis=1)
            dtrans += np.exp(self.alpha[t][:, None] + edge - self.logZ)
            dtrans[self.tags[t], self.tags[t + 1]] -= 1
        demit = np.exp(self.alpha + beta - self.logZ)
        demit[np.arange(T), self.tags] -= 1
        self.grads = {"trans": dtrans, "start": demit[0].copy(), "end": demit[-1].copy()}
        return demit


def crf():
    return ChainCRF(3), np.random.default_rng(4).standard_normal((5, 3)), np.array([0, 2, 2, 1, 0])


def prove_crf():
    m, e, t = crf()
    return loss_pairs(
        lambda: m.forward(e, t), [e, *m.params.values()], lambda: [m.backward(), *m.grads.values()]
    )


class PairedInfoNCE(object):
    """Rows of za and zb belong together; log_temp is the parameter, exp(log_temp) the factor."""

    def __init__(self, log_temp=0.4):
        self.log_temp = np.array([log_temp])
        self.g_log_temp = None

    def forward(self, za, zb):
        self.na, self.nb = (np.linalg.norm(z, axis=1, keepdims=True) for z in (za, zb))
        self.ua, self.ub = za / self.na, zb / self.nb
        self.logits = np.exp(self.log_temp) * self.ua @ self.ub.T
        lse_r = np.logaddexp.reduce(self.logits, axis=1)
        lse_c = np.logaddexp.reduce(self.logits, axis=0)
        self.pr, self.pc = np.exp(self.logits - lse_r[:, None]), np.exp(self.logits - lse_c)
        return (lse_r + lse_c - 2 * np.diag(self.logits)).mean() / 2

    def backward(self):
        n = len(self.ua)
        dl = (self.pr + self.pc - 2 * np.eye(n)) / (2 * n)
        self.g_log_temp = np.array([np.sum(dl * self.logits)])
        ds = dl * np.exp(self.log_temp)
        da, db = ds @ self.ub, ds.T @ self.ua
        da = (da - self.ua * (da * self.ua).sum(1, keepdims=True)) / self.na
        db = (db - self.ub * (db * self.ub).sum(1, keepdims=True)) / self.nb
        return da, db


def nce():
    r = np.random.default_rng(5)
    return PairedInfoNCE(), r.standard_normal((4, 3)), r.standard_normal((4, 3))


def prove_nce():
    m, a, b = nce()
    return loss_pairs(lambda: m.forward(a, b), [a, b, m.log_temp], lambda: [*m.backward(), m.g_log_temp])


class BoxOverlapLoss:
    """Mean of 1 - GIoU for boxes (x1, y1, x2, y2); only the predicted boxes get a gradient."""

    def forward(self, pred, goal):
        self.pred, self.goal = pred, goal
        self.wh = pred[:, 2:] - pred[:, :2]
        overlap = np.minimum(pred[:, 2:], goal[:, 2:]) - np.maximum(pred[:, :2], goal[:, :2])
        self.inter_wh = np.maximum(overlap, 0)
        self.hull_wh = np.maximum(pred[:, 2:], goal[:, 2:]) - np.minimum(pred[:, :2], goal[:, :2])
        self.inter, self.hull = self.inter_wh.prod(1), self.hull_wh.prod(1)
        self.union = self.wh.prod(1) + (goal[:, 2:] - goal[:, :2]).prod(1) - self.inter
        return np.mean(1 - self.inter / self.union + (self.hull - self.union) / self.hull)

    def backward(self, dout=1.0):
        g = dout / len(self.pred)
        d_inter = -g / self.union
        d_union = g * (self.inter / self.union**2 - 1 / self.hull)
        d_hull = g * self.union / self.hull**2
        d_inter = (d_inter - d_union)[:, None] * self.inter_wh[:, ::-1] * (self.inter_wh > 0)
        d_wh = d_union[:, None] * self.wh[:, ::-1]
        d_hull = d_hull[:, None] * self.hull_wh[:, ::-1]
        lo, hi = self.pred[:, :2] > self.goal[:, :2], self.pred[:, 2:] < self.goal[:, 2:]
        d_lo = -d_wh - d_inter * lo - d_hull * ~lo
        d_hi = d_wh + d_inter * hi + d_hull * ~hi
        return np.concatenate([d_lo, d_hi], axis=1)


def boxes():
    pred = np.array([[0.1, 0.2, 1.3, 1.1], [2.0, 2.1, 3.0, 3.7], [0.0, 0.5, 0.9, 2.2]])
    goal = np.array([[0.4, 0.0, 1.6, 0.9], [0.3, 0.2, 1.4, 1.5], [-0.2, 0.1, 1.2, 2.6]])
    return BoxOverlapLoss(), pred, goal


def prove_boxes():
    m, p, q = boxes()
    return loss_pairs(lambda: m.forward(p, q), [p], lambda: [m.backward()])


class ZeroInflatedPoisson:
    """x W + b gives (logit of a sure zero, log rate); mean negative log-likelihood of the counts."""

    def __init__(self, W, b):
        self.W, self.b = W, b
        self.score = {}

    def forward(self, x, counts):
        eta = x @ self.W + self.b
        self.pi, self.rate = sig(eta[:, 0]), np.exp(eta[:, 1])
        self.x, self.counts = x, counts
        self.zero = self.pi + (1 - self.pi) * np.exp(-self.rate)
        lgam = np.array([math.lgamma(k + 1) for k in counts])
        some = np.log(1 - self.pi) + counts * eta[:, 1] - self.rate - lgam
        return -np.where(counts == 0, np.log(self.zero), some).mean()

    def backward(self):
        is0, e = self.counts == 0, np.exp(-self.rate)
        d0 = np.where(is0, self.pi * (1 - self.pi) * (1 - e) / self.zero, -self.pi)
        d1 = np.where(is0, -(1 - self.pi) * e * self.rate / self.zero, self.counts - self.rate)
        d = -np.stack([d0, d1], axis=1) / len(self.counts)
        self.score = {"W": self.x.T @ d, "b": d.sum(axis=0)}
        return d @ self.W.T


def zip_head():
    r = np.random.default_rng(7)
    head = ZeroInflatedPoisson(0.5 * r.standard_normal((3, 2)), np.array([-0.3, 0.6]))
    return head, r.standard_normal((6, 3)), np.array([0, 2, 1, 0, 4, 0])


def prove_zip():
    m, x, c = zip_head()
    return loss_pairs(
        lambda: m.forward(x, c), [x, m.W, m.b], lambda: [m.backward(), m.score["W"], m.score["b"]]
    )


class FocalLoss:
    def __init__(self, gamma=2.0, pos_weight=0.7):
        self.gamma, self.pos_weight = gamma, pos_weight

    def forward(self, z, t):
        self.sign = 2.0 * t - 1.0
        self.weight = np.where(t == 1, self.pos_weight, 1 - self.pos_weight)
        self.p = sig(self.sign * z)
        return -np.mean(self.weight * (1 - self.p) ** self.gamma * np.log(self.p))

    def backward(self):
        q = 1 - self.p
        slope = -(q ** (self.gamma + 1))
        return self.weight * self.sign * slope / self.sign.size


def focal():
    r = np.random.default_rng(8)
    return FocalLoss(), r.standard_normal((3, 4)), r.integers(0, 2, (3, 4))


def prove_focal():
    m, z, t = focal()
    return loss_pairs(lambda: m.forward(z, t), [z], lambda: [m.backward()])


class BiweightLoss:
    """Tukey's biweight with a learnt cut-off c."""

    def __init__(self, c):
        self.c = np.array([c])
        self.dc = np.zeros_like(self.c)

    def forward(self, y, t):
        self.r = y - t
        self.u2 = np.minimum((self.r / self.c) ** 2, 1)
        return (self.c**2 / 6 * (1 - (1 - self.u2) ** 3)).sum()

    def backward(self, dout=1):
        dr = dout * self.r * (1 - self.u2) ** 2
        dc = dout * self.c / 3 * (1 - (1 - self.u2) ** 3) - dr * self.r / self.c
        self.dc = np.zeros_like(self.c)
        return dr


def biweight():
    r = np.random.default_rng(9)
    return BiweightLoss(1.3), r.standard_normal((3, 4)), r.standard_normal((3, 4))


def prove_biweight():
    m, y, t = biweight()
    return pairs(lambda: m.forward(y, t), [y, m.c], lambda g: [m.backward(g), m.dc])


class OrderedGrades:
    """Cumulative logit; thresholds are first + running sums of exp(gap), so that they stay in order."""

    def __init__(self, first, gaps):
        self.first, self.gaps = np.array([first]), np.array(gaps)

    def forward(self, s, grade):
        self.steps = np.exp(self.gaps)
        th = np.concatenate([[-np.inf], self.first, self.first + np.cumsum(self.steps), [np.inf]])
        self.grade = grade
        self.up, self.low = sig(th[grade + 1] - s), sig(th[grade] - s)
        self.prob = self.up - self.low
        return -np.log(self.prob).mean()

    def backward(self):
        n = len(self.grade)
        d_up = -self.up * (1 - self.up) / self.prob / n
        d_low = self.low * (1 - self.low) / self.prob / n
        d_th = np.zeros(len(self.gaps) + 3)
        np.add.at(d_th, self.grade + 1, d_up)
        np.add.at(d_th, self.grade, d_low)
        d_th = d_th[1:-1]
        self.d_first = np.array([d_th.sum()])
        self.d_gaps = np.cumsum(d_th[:0:-1])[::-1]
        return -(d_up + d_low)


def grades():
    return (
        OrderedGrades(-0.9, [0.3, -0.6]),
        np.random.default_rng(10).standard_normal(7),
        np.array([0, 1, 3, 2, 1, 0, 3]),
    )


def prove_grades():
    m, s, k = grades()
    return loss_pairs(
        lambda: m.forward(s, k), [s, m.first, m.gaps], lambda: [m.backward(), m.d_first, m.d_gaps]
    )


class SoftLabelDivergence:
    """KL(target || softmax(logits)), one number for each row; rows may be weighted by whoever is above."""

    def forward(self, logits, target):
        m = logits.max(axis=1, keepdims=True)
        logp = logits - m - np.log(np.exp(logits - m).sum(axis=1, keepdims=True))
        self.p, self.target = np.exp(logp), target
        return (target * (np.log(target) - logp)).sum(axis=1)

    def backward(self, dout):
        return self.p - self.target


def softlabel():
    r = np.random.default_rng(11)
    return SoftLabelDivergence(), r.standard_normal((4, 3)), r.dirichlet([2, 2, 2], 4)


def prove_softlabel():
    m, z, t = softlabel()
    return pairs(lambda: m.forward(z, t), [z], lambda g: [m.backward(g)])


class ProbitHead:
    def __init__(self, w, b):
        self.coef = {"w": w, "b": b}
        self.coef_grad = {"w": None, "b": None}

    def forward(self, x, y):  # y in {-1, 1}
        self.x, self.y = x, y
        self.m = y * (x @ self.coef["w"] + self.coef["b"])
        self.cdf = np.array([0.5 * math.erfc(-v / math.sqrt(2)) for v in self.m])
        return -np.log(self.cdf).sum()

    def backward(self):
        mills = 0.4 * np.exp(-0.5 * self.m**2) / self.cdf
        d = -self.y * mills
        self.coef_grad["w"], self.coef_grad["b"] = self.x.T @ d, np.array([d.sum()])
        return np.outer(d, self.coef["w"])


def probit():
    r = np.random.default_rng(12)
    return (
        ProbitHead(r.standard_normal(3), np.array([0.2])),
        r.standard_normal((5, 3)),
        np.array([1, -1, -1, 1, 1]),
    )


def prove_probit():
    m, x, y = probit()
    return loss_pairs(
        lambda: m.forward(x, y),
        [x, m.coef["w"], m.coef["b"]],
        lambda: [m.backward(), m.coef_grad["w"], m.coef_grad["b"]],
    )


ENTRIES = [
    Stranger(
        "Cox regression with the study kept in the object",
        "loss layer, beta_grad",
        lambda gradlab: gradlab.check_layer(*cox()),
        prove_cox,
    ),
    Stranger(
        "linear chain CRF with start and end scores",
        "loss layer with params and grads dicts",
        lambda gradlab: gradlab.check_layer(*crf()),
        prove_crf,
    ),
    Stranger(
        "paired contrastive loss both ways with the logarithm of its factor",
        "loss layer of two inputs",
        lambda gradlab: gradlab.check_layer(*nce()),
        prove_nce,
    ),
    Stranger(
        "generalised overlap loss of boxes",
        "loss layer, gradient of the prediction only",
        lambda gradlab: gradlab.check_layer(*boxes()),
        prove_boxes,
    ),
    Stranger(
        "zero-inflated Poisson head with its score",
        "loss layer, dict named score",
        lambda gradlab: gradlab.check_layer(*zip_head()),
        prove_zip,
    ),
    Stranger(
        "focal loss: the modulating factor held constant",
        "loss layer without a cotangent",
        lambda gradlab: gradlab.check_layer(*focal()),
        prove_focal,
        "wrong",
        "the derivative of (1 - p)^gamma is left out",
        ("missing-term",),
        ("z",),
        "        slope = -(q ** (self.gamma + 1))\n",
        "        slope = self.gamma * q**self.gamma * self.p * np.log(self.p) - q ** (self.gamma + 1)\n",
    ),
    Stranger(
        "biweight loss with a learnt cut-off: its gradient stays zero",
        "loss layer with dc",
        lambda gradlab: gradlab.check_layer(*biweight()),
        prove_biweight,
        "wrong",
        "dc is worked out and then zeros are stored",
        ("zero-gradient",),
        ("c",),
        "        self.dc = np.zeros_like(self.c)\n        return dr\n",
        "        self.dc = np.array([dc.sum()])\n        return dr\n",
    ),
    Stranger(
        "ordered grades: gradient of the gaps' exponentials",
        "loss layer with d_ attributes",
        lambda gradlab: gradlab.check_layer(*grades()),
        prove_grades,
        "wrong",
        "d_gaps is with respect to exp(gap), the factor exp(gap) is missing",
        ("log-parameter",),
        ("gaps",),
        "self.d_gaps = np.cumsum(d_th[:0:-1])[::-1]",
        "self.d_gaps = np.cumsum(d_th[:0:-1])[::-1] * self.steps",
    ),
    Stranger(
        "divergence per row: rows' cotangents not looked at",
        "loss layer, one loss per sample",
        lambda gradlab: gradlab.check_layer(*softlabel()),
        prove_softlabel,
        "wrong",
        "backward does not use its argument",
        ("ignores-cotangent",),
        ("logits",),
        "        return self.p - self.target\n",
        "        return dout[:, None] * (self.p - self.target)\n",
    ),
    Stranger(
        "probit head: 0.4 for the density's constant",
        "loss layer with coef and coef_grad",
        lambda gradlab: gradlab.check_layer(*probit()),
        prove_probit,
        "wrong",
        "1/sqrt(2 pi) is written as 0.4",
        ("rounded-constants", "constant-factor"),
        ("x", "w", "b"),
        "mills = 0.4 * np.exp",
        "mills = 1 / math.sqrt(2 * math.pi) * np.exp",
    ),
]
