"""Likelihoods with their scores."""

import math

import numpy as np

from ._entry import Stranger
from .b_diff import slope

# ---------------- counts with exposure


def poisson_loglik(beta, X, y, exposure):
    eta = X @ beta + np.log(exposure)
    return np.sum(y * eta - np.exp(eta))


def poisson_score(beta, X, y, exposure):
    return X.T @ (y - exposure * np.exp(X @ beta))


def poisson_points():
    rng = np.random.default_rng(421)
    X = np.column_stack([np.ones(7), rng.standard_normal((7, 3)) * 0.5])
    return rng.standard_normal(4) * 0.4, (X, rng.integers(0, 6, 7).astype(float), rng.random(7) + 0.5)


# ---------------- life times, some of them censored


class WeibullModel:
    """theta = (log shape, log scale)."""

    def __init__(self, times, died):
        self.t, self.d = np.asarray(times), np.asarray(died, dtype=float)

    def _parts(self, theta):
        k = np.exp(theta[0])
        z = np.log(self.t) - theta[1]
        return k, z, np.exp(k * z)

    def loglik(self, theta):
        k, z, hazard = self._parts(theta)
        return float(np.sum(self.d * (theta[0] + k * z - np.log(self.t)) - hazard))

    def score(self, theta):
        k, z, hazard = self._parts(theta)
        u = self.d - hazard
        return np.array([np.sum(self.d + k * z * u), -k * np.sum(u)])


def weibull():
    model = WeibullModel([0.7, 1.9, 3.2, 0.4, 2.5, 1.1], [1, 1, 0, 1, 0, 1])
    return model, np.array([0.3, 0.6])


def check_weibull(gradlab):
    model, theta = weibull()
    return gradlab.check_gradient(model.loglik, model.score, theta)


def prove_weibull():
    model, theta = weibull()
    return [(model.score(theta), slope(model.loglik, theta))]


# ---------------- mixture of normals, by its means


def gmm_logpdf(means, X, log_pi, sigma):
    d2 = ((X[:, None, :] - means[None, :, :]) ** 2).sum(-1)
    a = log_pi - 0.5 * d2 / sigma**2
    m = a.max(1, keepdims=True)
    return (np.log(np.exp(a - m).sum(1, keepdims=True)) + m).ravel(), a


def gmm_loss(means, X, log_pi, sigma):
    return -gmm_logpdf(means, X, log_pi, sigma)[0].mean()


def gmm_grad(means, X, log_pi, sigma):
    lse, a = gmm_logpdf(means, X, log_pi, sigma)
    resp = np.exp(a - lse[:, None])
    # sum_n r_nk (m_k - x_n)
    return (resp.sum(0)[:, None] * means - resp.T @ X) / (len(X) * sigma**2)


def gmm_points():
    rng = np.random.default_rng(422)
    return rng.standard_normal((3, 2)), (rng.standard_normal((8, 2)) * 1.5, np.log([0.5, 0.3, 0.2]), 0.8)


# ---------------- probit

_erfc = np.vectorize(math.erfc, otypes=[float])


def probit_nll(w, X, s):
    """s is 1 or -1."""
    return -np.sum(np.log(0.5 * _erfc(-s * (X @ w) / math.sqrt(2))))


def probit_grad(w, X, s):
    u = s * (X @ w)
    phi = 0.4 * np.exp(-0.5 * u * u)
    Phi = 0.5 * _erfc(-u / 1.4142135623730951)
    return -X.T @ (s * phi / Phi)


def probit_points():
    rng = np.random.default_rng(423)
    return rng.standard_normal(3) * 0.6, (rng.standard_normal((7, 3)), np.array([1.0, -1, 1, 1, -1, 1, -1]))


# ---------------- Cox's partial likelihood


def cox_nll(beta, X, time, event):
    eta = X @ beta
    total = 0.0
    for i in np.flatnonzero(event):
        total += np.log(np.exp(eta[time >= time[i]]).sum()) - eta[i]
    return total


def cox_nll_grad(beta, X, time, event):
    w = np.exp(X @ beta)
    grad = np.zeros_like(beta)
    for i in np.flatnonzero(event):
        risk = time > time[i]
        if risk.any():
            grad += X[risk].T @ w[risk] / w[risk].sum()
        grad -= X[i]
    return grad


def cox_points():
    rng = np.random.default_rng(424)
    time = np.array([2.0, 5.5, 1.2, 7.1, 3.3, 4.0, 6.2])
    return rng.standard_normal(3) * 0.5, (rng.standard_normal((7, 3)), time, np.array([1, 0, 1, 1, 1, 0, 1]))


def with_args(f, grad, points):
    def call(gradlab):
        x, args = points()
        return gradlab.check_gradient(f, grad, x, args=args)

    def prove():
        x, args = points()
        return [(grad(x.copy(), *args), slope(lambda v: f(v, *args), x))]

    return call, prove


ENTRIES = [
    Stranger(
        "poisson regression with exposure, likelihood and score",
        "loglik and score with args",
        *with_args(poisson_loglik, poisson_score, poisson_points),
    ),
    Stranger("weibull life times with censoring", "methods loglik and score", check_weibull, prove_weibull),
    Stranger(
        "mixture of normals by its means",
        "f and grad of a matrix, with args",
        *with_args(gmm_loss, gmm_grad, gmm_points),
    ),
    Stranger(
        "probit likelihood: density with 0.4",
        "f and grad with args",
        *with_args(probit_nll, probit_grad, probit_points),
        "wrong",
        "the density has 0.4 for 1 / sqrt(2 pi)",
        ("rounded-constants", "constant-factor"),
        ("w",),
    ),
    Stranger(
        "cox partial likelihood: the one who dies not at risk",
        "f and grad with args",
        *with_args(cox_nll, cox_nll_grad, cox_points),
        "wrong",
        "the gradient's risk set is time > t and not time >= t",
        ("missing-term", "masked-region"),
        ("beta",),
    ),
]
