"""Regressions and state spaces, the way statisticians write them."""

import numpy as np
from scipy.linalg import cho_factor, cho_solve, solve_triangular
from scipy.special import expit, gammaln, log_ndtr

from . import _help_j as hj
from ._entry import Stranger


## Gaussian process, squared exponential kernel, log hyperparameters ##################################
class GPMarginal:
    def __init__(self, X, y):
        self.X, self.y = X, y
        self.sq = np.sum((X[:, None] - X[None]) ** 2, -1)

    def __call__(self, logtheta):
        amp, ell, noise = np.exp(logtheta)
        K0 = amp * np.exp(-0.5 * self.sq / ell**2)
        K = K0 + noise * np.eye(len(self.y))
        cf = cho_factor(K, lower=True)
        alpha = cho_solve(cf, self.y)
        nll = 0.5 * self.y @ alpha + np.log(np.diag(cf[0])).sum() + 0.5 * len(self.y) * np.log(2 * np.pi)
        inner = cho_solve(cf, np.eye(len(self.y))) - np.outer(alpha, alpha)
        dK = [K0, K0 * self.sq / ell**2, noise * np.eye(len(self.y))]
        return nll, np.array([0.5 * np.sum(inner * d) for d in dK])


## proportional odds ##################################################################################
def ordinal(par, X, y):
    """cutpoints are par[0], par[0] + exp(par[1]), ...; then the slopes. returns nll, gradient"""
    ncut = y.max()
    steps = np.r_[par[0], np.exp(par[1:ncut])]
    cuts = np.cumsum(steps)
    eta = X @ par[ncut:]
    hi = np.r_[cuts, np.inf][y] - eta
    lo = np.r_[-np.inf, cuts][y] - eta
    P = expit(hi) - expit(lo)
    fhi, flo = expit(hi) * expit(-hi), expit(lo) * expit(-lo)
    dcut = np.zeros(ncut)
    for c in range(ncut):
        dcut[c] = -np.sum(fhi[y == c] / P[y == c]) + np.sum(flo[y == c + 1] / P[y == c + 1])
    tail = np.cumsum(dcut[::-1])[::-1]
    g = np.r_[tail[0], tail[1:] * steps[1:], X.T @ ((fhi - flo) / P)]
    return -np.sum(np.log(P)), g


## local level model: Kalman filter and its derivatives ################################################
def local_level(logvar, y):
    """-log likelihood of a random walk seen with noise; logvar = log of (eta, eps)"""
    q, h = np.exp(logvar)
    a, p = y[0], h
    da, dp = np.zeros(2), np.array([0.0, h])
    val, grad = 0.0, np.zeros(2)
    for obs in y[1:]:
        p, dp = p + q, dp + np.array([q, 0.0])
        f, df = p + h, dp + np.array([0.0, h])
        v, dv = obs - a, -da
        val += 0.5 * (np.log(2 * np.pi * f) + v * v / f)
        grad += 0.5 * (df / f + 2 * v * dv / f - v * v * df / f**2)
        k = p / f
        dk = dp / f - p * df / f**2
        a, da = a + k * v, da + dk * v + k * dv
        p, dp = p * (1 - k), dp * (1 - k) - p * dk
    return val, grad


## Cholesky factor, differentiated #####################################################################
def chol(S):
    L = np.linalg.cholesky((S + S.T) / 2)
    return L, L


def chol_vjp(L, Lbar):
    phi = np.tril(L.T @ np.tril(Lbar))
    phi[np.diag_indices_from(phi)] *= 0.5
    M = solve_triangular(L, phi.T, trans=1, lower=True)
    M = solve_triangular(L, M.T, trans=1, lower=True)
    return ((M + M.T) / 2,)


## negative binomial counts #############################################################################
def psi(x):
    """digamma for the likes of us who have no scipy"""
    return np.log(x) - 1 / (2 * x)


def negbin_nll(par, X, y):
    mu, r = np.exp(X @ par[:-1]), np.exp(par[-1])
    ll = gammaln(y + r) - gammaln(r) - gammaln(y + 1) + r * np.log(r / (r + mu)) + y * np.log(mu / (r + mu))
    return -ll.sum()


def negbin_score(par, X, y):
    mu, r = np.exp(X @ par[:-1]), np.exp(par[-1])
    dbeta = X.T @ (r * (mu - y) / (r + mu))
    dr = psi(y + r) - psi(r) + np.log(r / (r + mu)) + 1 - (r + y) / (r + mu)
    return np.append(dbeta, -r * dr.sum())


## Tobit: what lies below zero is seen as zero ##########################################################
class TobitLoss:
    def __init__(self, sigma=0.8):
        self.sigma = sigma

    def forward(self, mu, t):
        self.mu = mu
        self.t = t
        self.cens = t <= 0
        z = (t - mu) / self.sigma
        seen = 0.5 * z**2 + np.log(self.sigma * np.sqrt(2 * np.pi))
        return np.sum(np.where(self.cens, -log_ndtr(-mu / self.sigma), seen))

    def backward(self):
        u = -self.mu / self.sigma
        mills = np.exp(-0.5 * u**2 - log_ndtr(u)) / np.sqrt(2 * np.pi)
        resid = (self.mu - self.t) / self.sigma**2
        return np.where(self.mu <= 0, mills / self.sigma, resid)


## analysis of variance ##################################################################################
def anova(mean, rows, cols):
    fitted = mean + rows[:, None] + cols
    return fitted, fitted.shape


def anova_back(d, shape):
    return {"mean": d.sum(), "rows": d.sum(axis=1), "cols": d}


## principal axes: explained variance of a frame, on the Stiefel side ####################################
def explained(V, C):
    """-trace of (V'V)^-1 V'CV; for any V of full rank"""
    return -np.trace(np.linalg.solve(V.T @ V, V.T @ C @ V))


def explained_grad(V, C):
    Gi = np.linalg.inv(V.T @ V)
    M = V.T @ C @ V
    return 2 * (V @ Gi @ M @ Gi - C @ V @ Gi)


## von Mises directions ####################################################################################
def directions_nll(par, theta):
    from scipy.special import i0e, i1e

    loc, kappa = par
    c = np.cos(theta - loc)
    n = len(theta)
    val = n * (np.log(2 * np.pi * i0e(kappa)) + kappa) - kappa * c.sum()
    return val, [-kappa * np.sin(theta - loc).sum(), n * i1e(kappa) / i0e(kappa) - c.sum()]


_d = np.random.default_rng(61)
_X = _d.normal(size=(14, 2))
_GPY = np.sin(_X[:, 0]) + 0.2 * _d.normal(size=14)
_ORD = (_X, np.array([0, 1, 2, 3, 1, 2, 0, 3, 2, 1, 1, 0, 2, 3]))
_WALK = np.cumsum(_d.normal(size=15))
_SPD = (lambda a: a @ a.T + np.eye(4))(_d.normal(size=(4, 4)))
_NB = (np.column_stack([np.ones(14), _X[:, 0]]), _d.poisson(3, 14).astype(float))
_MU, _T = np.array([0.5, -0.3, 1.2, 0.4, -0.8, 0.9]), np.array([0, 0, 1.5, 0.2, 0.3, 0])
_AN = (np.array(1.0), np.array([0.2, -0.1, 0.4]), np.array([1.0, 0.5, -0.5, 0.3]))
_V = _d.normal(size=(4, 2))
_ANG = _d.vonmises(0.4, 2.0, 10)

ENTRIES = [
    Stranger(
        "Gaussian process, marginal likelihood, called",
        "object called, value and gradient",
        lambda gl: gl.check_gradient(GPMarginal(_X, _GPY), True, np.array([0.1, -0.2, -1.5])),
        lambda: hj.both(GPMarginal(_X, _GPY), [0.1, -0.2, -1.5]),
    ),
    Stranger(
        "Proportional odds with cutpoints in steps",
        "value and gradient with args",
        lambda gl: gl.check_gradient(ordinal, True, np.array([-1.0, 0.1, 0.3, 0.4, -0.2]), args=_ORD),
        lambda: hj.both(ordinal, [-1.0, 0.1, 0.3, 0.4, -0.2], *_ORD),
    ),
    Stranger(
        "Local level model, Kalman filter",
        "value and gradient with args",
        lambda gl: gl.check_gradient(local_level, True, np.array([-0.2, -0.7]), args=(_WALK,)),
        lambda: hj.both(local_level, [-0.2, -0.7], _WALK),
    ),
    Stranger(
        "Cholesky factor",
        "vjp",
        lambda gl: gl.check_vjp(chol, chol_vjp, (_SPD.copy(),)),
        lambda: hj.vjp(chol, chol_vjp, _SPD),
    ),
    Stranger(
        "Negative binomial: digamma by two terms of a series",
        "f and grad with args",
        lambda gl: gl.check_gradient(negbin_nll, negbin_score, np.array([1.0, 0.2, 0.3]), args=_NB),
        lambda: hj.scalar(negbin_nll, negbin_score, [1.0, 0.2, 0.3], *_NB),
        "wrong",
        "digamma is replaced by the first two terms of its asymptotic series",
        ("other-approximation", "single-element"),
        ("par",),
        "    return np.log(x) - 1 / (2 * x)\n",
        "    from scipy.special import digamma\n\n    return digamma(x)\n",
    ),
    Stranger(
        "Tobit loss: censored by the prediction instead of the target",
        "loss",
        lambda gl: gl.check_layer(TobitLoss(), _MU.copy(), _T.copy()),
        lambda: hj.loss(TobitLoss, _MU, _T),
        "wrong",
        "the mask of the censored ones is made of mu and not of t",
        ("masked-region",),
        ("mu",),
        "        return np.where(self.mu <= 0, mills / self.sigma, resid)\n",
        "        return np.where(self.cens, mills / self.sigma, resid)\n",
    ),
    Stranger(
        "Analysis of variance: columns not summed over the rows",
        "pair with cache, dict of gradients",
        lambda gl: gl.check_cached_pair(anova, anova_back, tuple(a.copy() for a in _AN)),
        lambda: hj.pair(anova, anova_back, _AN, keys=("mean", "rows", "cols")),
        "wrong",
        "cols is broadcast over the rows, and its gradient is not summed over them",
        ("missing-broadcast-sum", "wrong-shape"),
        ("cols",),
        '    return {"mean": d.sum(), "rows": d.sum(axis=1), "cols": d}\n',
        '    return {"mean": d.sum(), "rows": d.sum(axis=1), "cols": d.sum(axis=0)}\n',
    ),
    Stranger(
        "Explained variance of a frame",
        "f and grad with args",
        lambda gl: gl.check_gradient(explained, explained_grad, _V.copy(), args=(_SPD,)),
        lambda: hj.scalar(explained, explained_grad, _V, _SPD),
    ),
    Stranger(
        "Von Mises directions, gradient as a list",
        "value and gradient with args",
        lambda gl: gl.check_gradient(directions_nll, True, np.array([0.3, 1.7]), args=(_ANG,)),
        lambda: hj.both(directions_nll, [0.3, 1.7], _ANG),
    ),
]
