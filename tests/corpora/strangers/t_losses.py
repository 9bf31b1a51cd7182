"""Robust losses, copulas, calibration, penalties, bandits."""

from dataclasses import dataclass

import numpy as np
from scipy.special import expit, log_expit, log_softmax, softmax
from scipy.stats import norm

from ._entry import Stranger
from ._help_t import num, of_both, of_f


# Barron's general robust loss; the pullback is a closure ----
def barron(x, alpha, scale):
    b = np.abs(alpha - 2)
    r = x / scale
    u = r**2 / b + 1
    p = u ** (alpha / 2)
    rho = b / alpha * (p - 1)

    def pullback(g):
        slope = r * p / u / scale
        sign = np.sign(alpha - 2)
        du = -(r**2) / b**2 * sign
        power = b / alpha * p * (np.log(u) / 2 + alpha / 2 * du / u)
        dalpha = (sign / alpha - b / alpha**2) * (p - 1) + power
        return g * slope, np.asarray(np.sum(g * dalpha)), np.asarray(-np.sum(g * slope * r))

    return rho, pullback


def _barron():
    return np.random.default_rng(1).normal(size=(4, 5)) * 2, np.array(1.3), np.array(0.8)


def _barron_proof():
    args = _barron()
    g = np.random.default_rng(0).normal(size=(4, 5))
    return [(c, num(lambda: np.sum(g * barron(*args)[0]), a)) for c, a in zip(barron(*args)[1](g), args)]


# cópula de Clayton con márgenes exponenciales ----
@dataclass
class ClaytonExponencial:
    x: np.ndarray
    y: np.ndarray

    def __call__(self, p):
        """p = logaritmos de las dos tasas y de theta; devuelve -logver y su gradiente"""
        l1, l2, th = np.exp(p)
        lu, lv = -l1 * self.x, -l2 * self.y  # log supervivencia
        eu, ev = np.exp(-th * lu), np.exp(-th * lv)
        S = eu + ev - 1
        k = 2 + 1 / th
        logc = np.log1p(th) - (1 + th) * (lu + lv) - k * np.log(S)
        ll = logc + np.log(l1) + lu + np.log(l2) + lv
        d_lu = 1 - (1 + th) + k * th * eu / S
        d_lv = 1 - (1 + th) + k * th * ev / S
        d_th = 1 / (1 + th) - lu - lv + np.log(S) / th**2 + k * (lu * eu + lv * ev) / S
        grad = np.array([np.sum(1 + lu * d_lu), np.sum(1 + lv * d_lv), th * np.sum(d_th)])
        return -ll.sum(), -grad


def _clayton():
    rng = np.random.default_rng(2)
    return ClaytonExponencial(rng.exponential(1, 20), rng.exponential(2, 20)), np.array([0.1, -0.5, 0.3])


# matrix scaling of a classifier with a penalty off the diagonal (ODIR) ----
class MatrixScaling:
    def __init__(self, logits, labels, lam=0.05):
        self.Z, self.lam = logits, lam
        self.n, self.K = logits.shape
        self.onehot = np.eye(self.K)[labels]

    def _unpack(self, w):
        return w[: self.K**2].reshape(self.K, self.K), w[self.K**2 :]

    def objective(self, w):
        W, b = self._unpack(w)
        nll = -np.sum(self.onehot * log_softmax(self.Z @ W.T + b, axis=1)) / self.n
        off = W - np.diag(np.diag(W))
        return nll + self.lam * np.sum(off**2) / (self.K * (self.K - 1)) + self.lam * np.mean(b**2)

    def jac(self, w):
        W, b = self._unpack(w)
        G = (softmax(self.Z @ W.T + b, axis=1) - self.onehot) / self.n
        off = W - np.diag(np.diag(W))
        dW = G.T @ self.Z + 2 * self.lam * off / (self.K * (self.K - 1))
        return np.concatenate([dW.ravel(), G.sum(axis=0) + 2 * self.lam * b / self.K])


def _scaling():
    rng = np.random.default_rng(3)
    m = MatrixScaling(rng.normal(size=(20, 3)) * 2, rng.integers(0, 3, 20))
    return m, np.r_[np.eye(3).ravel() + 0.2 * rng.normal(size=9), 0.1 * rng.normal(size=3)]


# sorted L1 norm (SLOPE) ----
class SortedL1:
    def __init__(self, n, q=0.1):
        self.lam = norm.ppf(1 - q * np.arange(1, n + 1) / (2 * n))

    def __call__(self, w):
        return np.sort(np.abs(w))[::-1] @ self.lam

    def grad(self, w):
        rank = np.empty(len(w), dtype=int)
        rank[np.argsort(-np.abs(w))] = np.arange(len(w))
        return np.sign(w) * self.lam[rank]


def _slope():
    return SortedL1(10), np.random.default_rng(4).normal(size=10) * 2


# off-policy value of a softmax policy, self-normalised ----
def snips(theta, X, action, reward, propensity):
    rows = np.arange(len(X))
    w = softmax(X @ theta, axis=1)[rows, action] / propensity
    return w @ reward / w.sum()


def snips_grad(theta, X, action, reward, propensity):
    rows = np.arange(len(X))
    pi = softmax(X @ theta, axis=1)
    w = pi[rows, action] / propensity
    adv = w * (reward - w @ reward / w.sum()) / w.sum()
    score = -adv[:, None] * pi
    score[rows, action] += adv
    return X.T @ score


def _snips():
    rng = np.random.default_rng(5)
    return (
        rng.normal(size=(3, 4)) * 0.5,
        rng.normal(size=(30, 3)),
        rng.integers(0, 4, 30),
        rng.random(30),
        rng.uniform(0.1, 0.6, 30),
    )


# CRPS of a logistic forecast, one score per station ----
class LogisticCRPS:
    def forward(self, loc, log_scale, target):
        self.s = np.exp(log_scale)
        self.z = (target - loc) / self.s
        self.h = self.z - 2 * log_expit(self.z) - 1
        return self.s * self.h

    def backward(self, dout):
        slope = 2 * expit(self.z) - 1
        dloc = -slope
        dlog_scale = self.s * (self.h - self.z * slope)
        return dloc, dlog_scale


def _crps():
    rng = np.random.default_rng(6)
    return LogisticCRPS(), rng.normal(size=8), rng.normal(size=8) * 0.3, rng.normal(size=8) * 1.5


def _crps_proof():
    m, loc, ls, y = _crps()
    g = np.random.default_rng(0).normal(size=8)
    m.forward(loc, ls, y)
    return [(c, num(lambda: g @ m.forward(loc, ls, y), a)) for c, a in zip(m.backward(g), (loc, ls))]


# several regressions that share their features (rows of W) ----
class MultiTaskLasso:
    def __init__(self, X, Y, alpha=0.8, eps=1e-4):
        self.X, self.Y, self.alpha, self.eps = X, Y, alpha, eps

    def objective(self, W):
        rows = np.sqrt(np.sum(W**2, axis=1) + self.eps)
        return 0.5 * np.mean((self.X @ W - self.Y) ** 2) + self.alpha * rows.sum()

    def gradient(self, W):
        fit = self.X.T @ (self.X @ W - self.Y) / self.Y.size
        size = np.sqrt(np.sum(W**2, axis=0, keepdims=True) + self.eps)
        return fit + self.alpha * W / size


def _multitask():
    rng = np.random.default_rng(7)
    return MultiTaskLasso(rng.normal(size=(12, 5)), rng.normal(size=(12, 3))), rng.normal(size=(5, 3))


# trend filtering with a smooth penalty on second differences ----
def trend(x, y, lam, delta):
    d = np.diff(x, 2) / delta
    return 0.5 * np.sum((x - y) ** 2) + lam * np.sum(np.logaddexp(d, -d) - np.log(2))


def trend_slope(x, y, lam, delta):
    pull = np.tanh(np.diff(x, 2) / delta) / delta
    back = np.pad(np.convolve(pull, [1.0, -2.0, 1.0], "same"), 1)
    return x - y + lam * back


def _trend():
    rng = np.random.default_rng(8)
    return np.cumsum(rng.normal(size=12)), np.cumsum(rng.normal(size=12)), 1.5, 0.7


# probit choice with the 1.702 logistic approximation ----
class ProbitChoice:
    def __init__(self, n_attributes, seed=0):
        self.taste = np.random.RandomState(seed).randn(n_attributes) * 0.7

    def forward(self, diff):
        """diff (n, k): attributes of the one offer minus those of the other."""
        self.diff = diff
        self.eta = diff @ self.taste
        return expit(1.702 * self.eta)

    def backward(self, dprob):
        deta = dprob * norm.pdf(self.eta)
        self.grad_taste = self.diff.T @ deta
        return np.outer(deta, self.taste)


def _choice():
    return ProbitChoice(3), np.random.default_rng(9).normal(size=(9, 3))


def _choice_proof():
    m, d = _choice()
    g = np.random.default_rng(0).normal(size=9)
    m.forward(d)
    return [(c, num(lambda: g @ m.forward(d), a)) for c, a in ((m.backward(g), d), (m.grad_taste, m.taste))]


# shrinkage with a learned threshold ----
class Shrink:
    def __init__(self, lam):
        self.lam = np.array([lam])
        self.dlam = np.zeros(1)

    def forward(self, x):
        self.sign = np.sign(x)
        self.off = np.abs(x) <= self.lam
        return self.sign * np.maximum(np.abs(x) - self.lam, 0)

    def backward(self, dout):
        dout[self.off] = 0
        self.dlam = np.array([-np.sum(self.sign * dout)])
        return dout


ENTRIES = [
    Stranger(
        "t: Barron's general robust loss",
        "forward with a closure as its residuals, 0-d parameters",
        lambda gradlab: gradlab.check_vjp(barron, lambda pullback, g: pullback(g), _barron()),
        _barron_proof,
    ),
    Stranger(
        "t: cópula de Clayton con márgenes exponenciales",
        "dataclass that is called for (value, grad)",
        lambda gradlab: (lambda c, p: gradlab.check_gradient(c, True, p))(*_clayton()),
        lambda: (lambda c, p: of_both(c, p))(*_clayton()),
    ),
    Stranger(
        "t: matrix scaling with ODIR penalty",
        "estimator, objective and jac of packed parameters",
        lambda gradlab: (lambda m, w: gradlab.check_gradient(m.objective, m.jac, w))(*_scaling()),
        lambda: (lambda m, w: of_f(m.objective, m.jac, w))(*_scaling()),
    ),
    Stranger(
        "t: sorted L1 norm",
        "callable object with grad",
        lambda gradlab: (lambda p, w: gradlab.check_gradient(p, p.grad, w))(*_slope()),
        lambda: (lambda p, w: of_f(p, p.grad, w))(*_slope()),
    ),
    Stranger(
        "t: self-normalised off-policy value",
        "f and grad of a matrix with args",
        lambda gradlab: gradlab.check_gradient(snips, snips_grad, _snips()[0], args=_snips()[1:]),
        lambda: of_f(snips, snips_grad, *_snips()),
    ),
    Stranger(
        "t: CRPS of a logistic forecast: dout not used",
        "loss layer, one value per row",
        lambda gradlab: gradlab.check_layer(*_crps()),
        _crps_proof,
        "wrong",
        "forward gives one score per station, but backward leaves out their cotangent",
        ("ignores-cotangent",),
        ("loc", "log_scale"),
        "        return dloc, dlog_scale\n",
        "        return dout * dloc, dout * dlog_scale\n",
    ),
    Stranger(
        "t: multi-task lasso: norms over the wrong axis",
        "estimator, objective and gradient of a matrix",
        lambda gradlab: (lambda m, W: gradlab.check_gradient(m.objective, m.gradient, W))(*_multitask()),
        lambda: (lambda m, W: of_f(m.objective, m.gradient, W))(*_multitask()),
        "wrong",
        "the norms in the gradient are those of the columns, in the penalty those of the rows",
        ("wrong-sum-axis",),
        ("W",),
        "        size = np.sqrt(np.sum(W**2, axis=0, keepdims=True) + self.eps)\n",
        "        size = np.sqrt(np.sum(W**2, axis=1, keepdims=True) + self.eps)\n",
    ),
    Stranger(
        "t: trend filter: the ends get no pull",
        "f and grad with args",
        lambda gradlab: gradlab.check_gradient(trend, trend_slope, _trend()[0], args=_trend()[1:]),
        lambda: of_f(trend, trend_slope, *_trend()),
        "wrong",
        "the adjoint of the second difference is a full convolution; here the two ends are zero",
        ("border",),
        ("x",),
        '    back = np.pad(np.convolve(pull, [1.0, -2.0, 1.0], "same"), 1)\n',
        '    back = np.convolve(pull, [1.0, -2.0, 1.0], "full")\n',
    ),
    Stranger(
        "t: probit choice: slope of the exact normal",
        "layer with attributes",
        lambda gradlab: gradlab.check_layer(*_choice()),
        _choice_proof,
        "wrong",
        "forward is the logistic approximation, the slope that of the exact normal distribution",
        ("other-approximation",),
        ("diff", "taste"),
        "        deta = dprob * norm.pdf(self.eta)\n",
        "        p = expit(1.702 * self.eta)\n        deta = dprob * 1.702 * p * (1 - p)\n",
    ),
    Stranger(
        "t: shrinkage with a learned threshold: zeroes the caller's dout",
        "layer with attributes lam, dlam",
        lambda gradlab: gradlab.check_layer(Shrink(0.5), np.random.default_rng(11).normal(size=(3, 5))),
        lambda: [],
        "habit",
        "backward sets elements of its argument dout to zero and returns that same array",
        ("mutates-argument", "aliases-memory"),
        ("dout",),
    ),
]
