"""Likelihoods, as statisticians, ecologists and econometricians write them."""

import numpy as np
from scipy.special import digamma, gammaln, i0e, i1e, logsumexp

from ._entry import Stranger
from ._help_h import of_pair, of_scalar


class PoissonRegression:
    """Counts with exposure. y_i ~ Poisson(E_i exp(x_i'b))."""

    def __init__(self, X, y, exposure):
        self.X = np.asarray(X)
        self.y = np.asarray(y)
        self.offset = np.log(exposure)
        self._const = gammaln(self.y + 1).sum()

    def nloglikeobs(self, params):
        eta = self.X @ params + self.offset
        return np.exp(eta) - self.y * eta

    def nll(self, params):
        return self.nloglikeobs(params).sum() + self._const

    def score_obs(self, params):
        resid = np.exp(self.X @ params + self.offset) - self.y
        return resid[:, None] * self.X

    def score(self, params):
        return self.score_obs(params).sum(0)


def _accidents():
    rng = np.random.default_rng(20)
    X = np.column_stack([np.ones(16), rng.standard_normal((16, 2))])
    return PoissonRegression(X, rng.poisson(2.0, 16), rng.uniform(0.5, 2.0, 16)), np.array([0.2, -0.3, 0.4])


def gmm_nll(theta, x):
    """1-D mixture of K normals; theta = [logits | means | log sds]."""
    a, mu, ls = np.split(theta, 3)
    z = (x[:, None] - mu) / np.exp(ls)
    logw = a - logsumexp(a)
    joint = logw - ls - 0.5 * z**2 - 0.5 * np.log(2 * np.pi)
    tot = logsumexp(joint, axis=1)
    R = np.exp(joint - tot[:, None])  # responsibilities
    Nk = R.sum(0)
    g_a = len(x) * np.exp(logw) - Nk
    g_mu = -(R * z).sum(0) / np.exp(ls)
    g_ls = Nk - (R * z**2).sum(0)
    return -tot.sum(), np.r_[g_a, g_mu, g_ls]


def _eruptions():
    rng = np.random.default_rng(21)
    x = np.r_[rng.normal(2, 0.4, 11), rng.normal(4.3, 0.5, 14)]
    return np.array([0.2, -0.1, 1.8, 4.0, -0.5, -0.8]), (x,)


# Cox (no ties), data sorted by descending time so that risk sets are cumulative sums
def cox_npl(beta, X, event):
    eta = X @ beta
    return -(event * (eta - np.log(np.cumsum(np.exp(eta))))).sum()


def cox_npl_grad(beta, X, event):
    w = np.exp(X @ beta)
    S0 = np.cumsum(w)
    S1 = np.cumsum(w[:, None] * X, axis=0)
    return -(event[:, None] * (X - S1 / S0[:, None])).sum(0)


def _lung():
    rng = np.random.default_rng(22)
    return rng.standard_normal(3) * 0.5, (rng.standard_normal((14, 3)), rng.integers(0, 2, 14))


def crf_forward(emit, trans, start, tags):
    """Negative log-likelihood of one tag sequence under a linear-chain CRF."""
    T = len(emit)
    alpha = np.empty_like(emit)
    alpha[0] = start + emit[0]
    for t in range(1, T):
        alpha[t] = emit[t] + logsumexp(alpha[t - 1][:, None] + trans, axis=0)
    logZ = logsumexp(alpha[-1])
    gold = start[tags[0]] + emit[np.arange(T), tags].sum() + trans[tags[:-1], tags[1:]].sum()
    return logZ - gold, (alpha, logZ, emit, trans, tags)


def crf_backward(dout, cache):
    alpha, logZ, emit, trans, tags = cache
    T = len(emit)
    beta = np.zeros_like(emit)
    d_trans = np.zeros_like(trans)
    for t in reversed(range(T - 1)):
        nxt = emit[t + 1] + beta[t + 1]
        beta[t] = logsumexp(trans + nxt, axis=1)
        d_trans += np.exp(alpha[t][:, None] + trans + nxt - logZ)
    d_emit = np.exp(alpha + beta - logZ)
    d_emit[np.arange(T), tags] -= 1
    d_start = d_emit[0].copy()
    np.subtract.at(d_trans, (tags[:-1], tags[1:]), 1)
    return {"emit": dout * d_emit, "trans": dout * d_trans, "start": dout * d_start}


def _sentence():
    rng = np.random.default_rng(23)
    tags = np.array([0, 2, 1, 0, 2, 1])
    return rng.standard_normal((6, 3)), rng.standard_normal((3, 3)), rng.standard_normal(3), tags


def bradley_terry(strength, winners, losers, ridge=0.1):
    d = strength[winners] - strength[losers]
    value = np.log1p(np.exp(-d)).sum() + ridge / 2 * (strength**2).sum()
    p = 1 / (1 + np.exp(d))
    n = len(strength)
    grad = np.bincount(losers, p, n) - np.bincount(winners, p, n)
    return value, grad + ridge * strength


def _tournament():
    rng = np.random.default_rng(24)
    w = np.array([0, 0, 1, 2, 0, 3, 3, 1, 4, 2])
    return rng.standard_normal(5), (w, np.array([1, 2, 2, 0, 3, 1, 4, 0, 0, 4]))


# ------------------------------------------------------------------ overdispersed compositions
def dirmult_nll(alpha, counts):
    A = alpha.sum()
    n = counts.sum(1)
    ll = gammaln(A) - gammaln(A + n) + (gammaln(alpha + counts) - gammaln(alpha)).sum(1)
    return -ll.sum()


def dirmult_grad(alpha, counts):
    per_taxon = (digamma(alpha + counts) - digamma(alpha)).sum(0)
    return -per_taxon


def _microbiome():
    rng = np.random.default_rng(25)
    return np.array([0.8, 1.5, 2.2, 0.6]), (rng.multinomial(30, [0.2, 0.3, 0.4, 0.1], 7),)


# ------------------------------------------------------------------ proportional odds
class OrdinalLogit:
    def __init__(self, X, y, K):
        self.X, self.y, self.K = X, y, K

    def _probs(self, theta):
        p = self.X.shape[1]
        cuts = np.concatenate([[-np.inf], theta[p:], [np.inf]])
        eta = self.X @ theta[:p]
        with np.errstate(over="ignore"):
            F = 1 / (1 + np.exp(-(cuts[None] - eta[:, None])))
        rows = np.arange(len(self.y))
        return F[rows, self.y + 1], F[rows, self.y]

    def loss(self, theta):
        hi, lo = self._probs(theta)
        return -np.log(hi - lo).sum()

    def grad(self, theta):
        hi, lo = self._probs(theta)
        f_hi, f_lo = hi * (1 - hi), lo * (1 - lo)
        p = hi - lo
        d_eta = (f_hi - f_lo) / p
        d_cuts = np.zeros(self.K + 1)
        np.add.at(d_cuts, self.y + 1, -f_hi / p)
        np.add.at(d_cuts, self.y, f_lo / p)
        return np.concatenate([self.X.T @ d_eta, d_cuts[:-2]])


def _wine():
    rng = np.random.default_rng(26)
    X = rng.standard_normal((18, 2))
    return OrdinalLogit(X, np.arange(18) % 4, 4), np.array([0.5, -0.4, -1.0, 0.1, 1.2])


# ------------------------------------------------------------------ GARCH(1,1)
def garch_loglik(p, r):
    omega, a, b = p
    h = np.empty(len(r))
    h[0] = r.var()
    for t in range(1, len(r)):
        h[t] = omega + a * r[t - 1] ** 2 + b * h[t - 1]
    return 0.5 * np.sum(np.log(h) + r**2 / h)


def garch_score(p, r):
    omega, a, b = p
    h, dh = r.var(), np.zeros(3)
    total = np.zeros(3)
    for t in range(1, len(r)):
        dh = np.array([1.0, r[t - 1] ** 2, h])
        h = omega + a * r[t - 1] ** 2 + b * h
        total += 0.5 * (1 / h - r[t] ** 2 / h**2) * dh
    return total


def _returns():
    rng = np.random.default_rng(27)
    return np.array([0.1, 0.15, 0.7]), (rng.standard_normal(30) * rng.uniform(0.5, 1.5, 30),)


# ------------------------------------------------------------------ Regressão circular
def von_mises_nll(par, X, ang):
    beta, kappa = par[:-1], par[-1]
    dif = ang - X @ beta
    log_i0 = np.log(i0e(kappa)) + kappa
    return len(ang) * (log_i0 + np.log(2 * np.pi)) - kappa * np.cos(dif).sum()


def von_mises_grad(par, X, ang):
    beta, kappa = par[:-1], par[-1]
    dif = ang - X @ beta
    g = np.empty_like(par)
    g[:-1] = -kappa * X.T @ np.sin(dif)
    g[-1] = len(ang) * i1e(kappa) * np.exp(kappa) - np.cos(dif).sum()
    return g


def _vento():
    rng = np.random.default_rng(28)
    X = rng.standard_normal((15, 2))
    return np.array([0.4, -0.2, 1.3]), (X, X @ [0.5, -0.3] + rng.vonmises(0, 2.0, 15))


# ------------------------------------------------------------------ AR(2)
def ar2_css(params, y):
    """Conditional sum of squares of an AR(2) with mean."""
    mu, phi1, phi2 = params
    z = y - mu
    e = z[2:] - phi1 * z[1:-1] - phi2 * z[:-2]
    return 0.5 * e @ e


def ar2_css_grad(params, y):
    mu, phi1, phi2 = params
    z = y - mu
    e = z[2:] - phi1 * z[1:-1] - phi2 * z[:-2]
    d_mu = -(1 - phi1 - phi2) * e.sum()
    d_phi1 = -(e @ z[1:-1])
    d_phi2 = -(e @ z[1:-1])
    return np.array([d_mu, d_phi1, d_phi2])


def _lynx():
    rng = np.random.default_rng(29)
    return np.array([0.5, 0.6, -0.3]), (np.cumsum(rng.standard_normal(24)) * 0.5 + 1,)


def _model(make, f, g):
    """Return call and proof for the two methods of a model object."""

    def call(gradlab):
        m, theta = make()
        return gradlab.check_gradient(getattr(m, f), getattr(m, g), theta)

    def prove():
        m, theta = make()
        return of_scalar(getattr(m, f), getattr(m, g), theta)

    return call, prove


def _use(f, grad, make):
    return (
        lambda gradlab: gradlab.check_gradient(f, grad, make()[0], args=make()[1]),
        lambda: of_scalar(f, grad, *make()),
    )


ENTRIES = [
    Stranger(
        "Poisson regression with exposures",
        "model object with nll and score",
        *_model(_accidents, "nll", "score"),
    ),
    Stranger("mixture of normals", "value and gradient in one", *_use(gmm_nll, True, _eruptions)),
    Stranger(
        "Cox partial likelihood of a cohort", "f and grad with args", *_use(cox_npl, cox_npl_grad, _lung)
    ),
    Stranger(
        "linear-chain CRF likelihood",
        "pair with cache, dict of gradients",
        lambda gradlab: gradlab.check_cached_pair(crf_forward, crf_backward, _sentence()),
        lambda: of_pair(crf_forward, crf_backward, _sentence(), ("emit", "trans", "start")),
    ),
    Stranger("Bradley-Terry strengths", "value and gradient in one", *_use(bradley_terry, True, _tournament)),
    Stranger(
        "Dirichlet-multinomial: the total's part",
        "f and grad with args",
        *_use(dirmult_nll, dirmult_grad, _microbiome),
        "wrong",
        "the two terms of the sum of alpha are forgotten",
        ("missing-term", "additive-bias"),
        ("alpha",),
        "    return -per_taxon\n",
        "    A = alpha.sum()\n    return -per_taxon - (digamma(A) - digamma(A + counts.sum(1))).sum()\n",
    ),
    Stranger(
        "proportional odds: the cut points",
        "model object with loss and grad",
        *_model(_wine, "loss", "grad"),
        "wrong",
        "the slice that leaves out the two infinite cut points begins one too early",
        ("shifted", "columns-exchanged"),
        ("theta",),
        "        return np.concatenate([self.X.T @ d_eta, d_cuts[:-2]])\n",
        "        return np.concatenate([self.X.T @ d_eta, d_cuts[1:-1]])\n",
    ),
    Stranger(
        "GARCH likelihood: the recursion",
        "f and grad with args",
        *_use(garch_loglik, garch_score, _returns),
        "wrong",
        "the derivative of h does not carry on b times that of the step before",
        ("missing-term",),
        ("p",),
        "        dh = np.array([1.0, r[t - 1] ** 2, h])\n",
        "        dh = np.array([1.0, r[t - 1] ** 2, h]) + b * dh\n",
    ),
    Stranger(
        "von Mises regression: the normaliser",
        "f and grad with args",
        *_use(von_mises_nll, von_mises_grad, _vento),
        "wrong",
        "the derivative of log I0(kappa) is taken as I1 and not as I1 / I0",
        ("other-approximation", "single-element"),
        ("par",),
        "    g[-1] = len(ang) * i1e(kappa) * np.exp(kappa) - np.cos(dif).sum()\n",
        "    g[-1] = len(ang) * i1e(kappa) / i0e(kappa) - np.cos(dif).sum()\n",
    ),
    Stranger(
        "AR(2) conditional sum of squares: the second lag",
        "f and grad with args",
        *_use(ar2_css, ar2_css_grad, _lynx),
        "wrong",
        "the gradient of phi2 is taken with the first lag and not with the second",
        ("shifted", "single-element"),
        ("params",),
        "    d_phi2 = -(e @ z[1:-1])\n",
        "    d_phi2 = -(e @ z[:-2])\n",
    ),
]
