"""Likelihoods for scipy.optimize.minimize."""

import numpy as np
from scipy.special import digamma, expit, gammaln, log_ndtr, ndtr
from scipy.stats import norm

from ._entry import Stranger
from ._help_tb import slope

# ---------------------------------------------------------------- negative binomial (NB2)


def nb2(theta, X, y):
    """-loglik of NB2 with log link, and its gradient; theta = (beta, log alpha)."""
    beta, lna = theta[:-1], theta[-1]
    mu = np.exp(X @ beta)
    r = np.exp(-lna)
    ll = gammaln(y + r) - gammaln(r) - gammaln(y + 1) + r * np.log(r / (r + mu)) + y * np.log(mu / (r + mu))
    dbeta = X.T @ (r * (y - mu) / (r + mu))
    dr = digamma(y + r) - digamma(r) + np.log(r / (r + mu)) + 1 - (r + y) / (r + mu)
    return -ll.sum(), -np.append(dbeta, -r * dr.sum())


def nb2_data():
    rng = np.random.default_rng(1)
    X = np.c_[np.ones(40), rng.normal(size=(40, 2))]
    y = rng.negative_binomial(2, 0.4, 40).astype(float)
    return np.array([0.6, 0.3, -0.2, -0.4]), X, y


# ---------------------------------------------------------------- GARCH(1,1)


class Garch11:
    """fun / jac for minimize. The recursion of the variance carries its three tangents along."""

    def __init__(self, r):
        self.r = r
        self.key, self.val, self.tan = None, None, None

    def _run(self, theta):
        if self.key is not None and np.array_equal(self.key, theta):
            return
        w, a, b = np.exp(theta[0]), expit(theta[1]), expit(theta[2])
        h, dh = self.r.var(), np.zeros(3)
        ll, dll = 0.0, np.zeros(3)
        for t, rt in enumerate(self.r):
            if t:
                e2 = self.r[t - 1] ** 2
                dh = b * dh + np.array([w, a * (1 - a) * e2, b * (1 - b) * h])
                h = w + a * e2 + b * h
            ll += 0.5 * (np.log(2 * np.pi * h) + rt**2 / h)
            dll = dll + 0.5 * (1 / h - rt**2 / h**2) * dh
        self.key, self.val, self.tan = np.array(theta), ll, dll

    def fun(self, theta):
        self._run(theta)
        return self.val

    def jac(self, theta):
        self._run(theta)
        return self.tan.copy()


def garch():
    return Garch11(np.random.default_rng(2).normal(size=60) * 0.8), np.array([-1.5, -1.2, 0.9])


# ---------------------------------------------------------------- Cox


def cox_nll(beta, X, event):
    """Breslow partial likelihood, rows sorted by time, no ties."""
    eta = X @ beta
    risk = np.cumsum(np.exp(eta)[::-1])[::-1]
    return -np.sum(event * (eta - np.log(risk)))


def cox_score(beta, X, event):
    w = np.exp(X @ beta)
    risk = np.cumsum(w[::-1])[::-1]
    wx = w[:, None] * X
    s1 = np.cumsum(wx[::-1], axis=0)[::-1] - wx
    return -(event[:, None] * (X - s1 / risk[:, None])).sum(axis=0)


def cox_data():
    rng = np.random.default_rng(3)
    return np.array([0.4, -0.7, 0.2]), rng.normal(size=(25, 3)), (rng.random(25) < 0.7).astype(float)


# ---------------------------------------------------------------- Weibull AFT


class WeibullAFT:
    def __init__(self, X, t, d):
        self.X, self.logt, self.d = X, np.log(t), d
        self.n = len(t)

    def unpack(self, p):
        return p[:-1], np.exp(p[-1])

    def negloglik(self, p):
        b, s = self.unpack(p)
        z = (self.logt - self.X @ b) / s
        return np.sum(np.exp(z)) - np.sum(self.d * (z - np.log(s)))

    def gradient(self, p):
        b, s = self.unpack(p)
        z = (self.logt - self.X @ b) / s
        u = np.exp(z) - self.d
        g = np.empty_like(p)
        g[:-1] = -self.X.T @ u / s
        g[-1] = -(u * z).sum() + self.n
        return g


def aft():
    rng = np.random.default_rng(4)
    X = np.c_[np.ones(30), rng.normal(size=30)]
    t = rng.weibull(1.5, 30) * 3 + 0.05
    return WeibullAFT(X, t, (rng.random(30) < 0.6) * 1.0), np.array([0.9, 0.3, -0.2])


# ---------------------------------------------------------------- beta regression


def betareg(par, y, Z):
    """Regression of proportions: logit mean, log precision. Returns (-loglik, gradient)."""
    k = Z.shape[1]
    m = expit(Z @ par[:k])
    phi = np.exp(par[k])
    ll = gammaln(phi) - gammaln(m * phi) - gammaln((1 - m) * phi)
    ll = ll + (m * phi - 1) * np.log(y) + ((1 - m) * phi - 1) * np.log1p(-y)
    ystar = np.log(y) - np.log1p(-y)
    mustar = digamma(m * phi) - digamma((1 - m) * phi)
    score_eta = phi * (ystar - mustar)
    score_phi = m * (ystar - mustar) + np.log1p(-y) - digamma((1 - m) * phi) + digamma(phi)
    return -ll.sum(), -np.r_[Z.T @ score_eta, phi * score_phi.sum()]


def betareg_data():
    rng = np.random.default_rng(5)
    return np.array([0.2, -0.5, 1.3]), rng.beta(2, 3, 22), np.c_[np.ones(22), rng.normal(size=22)]


# ---------------------------------------------------------------- ordered probit


def ordered_probit(x, y, n_cat):
    """Closure pair. Parameters: slopes, first cutpoint, logs of the gaps between cutpoints."""
    k = x.shape[1]

    def cuts(p):
        steps = np.concatenate([p[k : k + 1], np.exp(p[k + 1 :])])
        return np.concatenate([[-np.inf], np.cumsum(steps), [np.inf]])

    def bounds(p):
        c, xb = cuts(p), x @ p[:k]
        return c[y + 1] - xb, c[y] - xb

    def nll(p):
        hi, lo = bounds(p)
        return -np.log(ndtr(hi) - ndtr(lo)).sum()

    def dnll(p):
        hi, lo = bounds(p)
        prob = ndtr(hi) - ndtr(lo)
        fh, fl = norm.pdf(hi) / prob, norm.pdf(lo) / prob
        per_cut = np.bincount(y, -fh, n_cat)[:-1] + np.bincount(y, fl, n_cat)[1:]
        tail = np.cumsum(per_cut[::-1])[::-1]
        tail[1:] *= np.exp(p[k + 1 :])
        return np.concatenate([x.T @ (fh - fl), tail])

    return nll, dnll


def ordered():
    rng = np.random.default_rng(6)
    y = np.tile(np.arange(4), 8)
    return ordered_probit(rng.normal(size=(32, 2)), y, 4), np.array([0.5, -0.3, -0.8, -0.1, 0.2])


# ---------------------------------------------------------------- Tobit


def tobit(par, X, y):
    """y censored from below at zero. par = [b..., sigma], sigma itself and not its log."""
    b, sigma = par[:-1], par[-1]
    xb = X @ b
    cens = y <= 0
    z = (y - xb) / sigma
    q = -xb / sigma
    ll = np.where(cens, log_ndtr(q), norm.logpdf(z) - np.log(sigma))
    mills = np.exp(norm.logpdf(q) - log_ndtr(q))
    db = X.T @ np.where(cens, -mills, z) / sigma
    ds = np.sum(np.where(cens, -mills * q, z**2 - 1))
    return -ll.sum(), -np.append(db, ds)


def tobit_data():
    rng = np.random.default_rng(7)
    X = np.c_[np.ones(35), rng.normal(size=35)]
    return np.array([0.3, 0.8, 1.7]), X, np.maximum(X @ [0.2, 1.0] + rng.normal(size=35), 0)


# ---------------------------------------------------------------- local level model


def local_level(y):
    """Kalman filter of the random walk plus noise; yields what minimize wants."""

    def filt(th):
        q, r = np.exp(th)
        dq, dr = np.array([q, 0.0]), np.array([0.0, r])
        a, P = y[0], 10.0
        da, dP = np.zeros(2), np.zeros(2)
        for obs in y[1:]:
            F, v = P + r, obs - a
            dF, dv = dP + dr, -da
            yield 0.5 * (np.log(F) + v * v / F), 0.5 * (dF / F + 2 * v * dv / F - v * v * dF / F**2)
            K = P / F
            dK = dP / F - P * dF / F**2
            a, da = a + K * v, da + dK * v + K * dv
            P, dP = P * (1 - K) + q, dP * (1 - K) - P * dK + dq

    def objective(th):
        vals, tans = zip(*filt(th), strict=True)
        return sum(vals), np.sum(tans, axis=0)

    return objective


def level():
    return local_level(np.cumsum(np.random.default_rng(8).normal(size=40))), np.array([-0.3, 0.2])


# ---------------------------------------------------------------- Dirichlet-multinomial


def polya_nll(alpha, counts):
    A, N = alpha.sum(), counts.sum(1)
    out = gammaln(A) - gammaln(N + A) + (gammaln(counts + alpha) - gammaln(alpha)).sum(1)
    return -out.sum()


def polya_grad(alpha, counts):
    D = len(counts)
    g = digamma(counts + alpha).sum(0) - D * digamma(alpha)
    g += D * digamma(alpha.sum())
    return -g


def polya():
    rng = np.random.default_rng(9)
    return np.array([0.7, 1.5, 2.2, 0.9]), rng.poisson(3, (12, 4)).astype(float)


# ---------------------------------------------------------------- Hawkes process


def hawkes(theta, times, T):
    """Self-exciting point process, exponential kernel; theta = log(mu), log(alpha), log(beta)."""
    mu, al, be = np.exp(theta)
    A = B = 0.0
    ll, g = -mu * T, np.array([-T, 0.0, 0.0])
    last = None
    for t in times:
        if last is not None:
            dt = t - last
            e = np.exp(-be * dt)
            B = e * (B + dt * (1 + A))
            A = e * (1 + A)
        lam = mu + al * A
        ll += np.log(lam)
        g += np.array([1.0, A, -al * B]) / lam
        last = t
    rest = T - times
    E = np.exp(-be * rest)
    ll -= al / be * np.sum(1 - E)
    g[1] -= np.sum(1 - E) / be
    g[2] += al / be**2 * np.sum(1 - E) - al / be * np.sum(rest * E)
    return -ll, -g * np.exp(theta)


def quakes():
    return np.array([-0.4, -0.6, 0.3]), np.sort(np.random.default_rng(10).random(25) * 20), 21.0


def both(f, x, *args):
    return [(f(x, *args)[1], slope(lambda: f(x, *args)[0], x))]


def apart(f, df, x, *args):
    return [(df(x, *args), slope(lambda: f(x, *args), x))]


ENTRIES = [
    Stranger(
        "tb negative binomial regression",
        "value and gradient with args",
        lambda gl: (lambda t, X, y: gl.check_gradient(nb2, True, t, args=(X, y)))(*nb2_data()),
        lambda: both(nb2, *nb2_data()),
    ),
    Stranger(
        "tb garch(1,1) with memory of the last theta",
        "object with fun and jac",
        lambda gl: (lambda m, t: gl.check_gradient(m.fun, m.jac, t))(*garch()),
        lambda: (lambda m, t: apart(m.fun, m.jac, t))(*garch()),
    ),
    Stranger(
        "tb cox partial likelihood: risk set without the one who fails",
        "f and df with args",
        lambda gl: (lambda b, *a: gl.check_gradient(cox_nll, cox_score, b, args=tuple(a)))(*cox_data()),
        lambda: apart(cox_nll, cox_score, *cox_data()),
        "wrong",
        "the weighted covariates of the risk set are summed without the subject itself",
        ("shifted", "missing-term"),
        ("cox_score", "grad", "x"),
        "    s1 = np.cumsum(wx[::-1], axis=0)[::-1] - wx\n",
        "    s1 = np.cumsum(wx[::-1], axis=0)[::-1]\n",
    ),
    Stranger(
        "tb weibull aft: all subjects counted instead of the events",
        "object with negloglik and gradient",
        lambda gl: (lambda m, p: gl.check_gradient(m.negloglik, m.gradient, p))(*aft()),
        lambda: (lambda m, p: apart(m.negloglik, m.gradient, p))(*aft()),
        "wrong",
        "the derivative by log s adds the number of subjects instead of the number of events",
        ("wrong-operand", "single-element", "additive-bias"),
        ("gradient", "grad", "x"),
        "        g[-1] = -(u * z).sum() + self.n\n",
        "        g[-1] = -(u * z).sum() + self.d.sum()\n",
    ),
    Stranger(
        "tb beta regression: slope of the logit link forgotten",
        "value and gradient with args",
        lambda gl: (lambda p, *a: gl.check_gradient(betareg, True, p, args=tuple(a)))(*betareg_data()),
        lambda: both(betareg, *betareg_data()),
        "wrong",
        "the factor m (1 - m) of the logistic link is missing from the score of the slopes",
        ("missing-factor",),
        ("betareg", "grad", "x"),
        "    score_eta = phi * (ystar - mustar)\n",
        "    score_eta = phi * (ystar - mustar) * m * (1 - m)\n",
    ),
    Stranger(
        "tb ordered probit with gaps of cutpoints",
        "closures f and df",
        lambda gl: (lambda fs, p: gl.check_gradient(*fs, p))(*ordered()),
        lambda: (lambda fs, p: apart(*fs, p))(*ordered()),
    ),
    Stranger(
        "tb tobit: derivative by log sigma given for that by sigma",
        "value and gradient with args",
        lambda gl: (lambda p, *a: gl.check_gradient(tobit, True, p, args=tuple(a)))(*tobit_data()),
        lambda: both(tobit, *tobit_data()),
        "wrong",
        "the last element is the derivative by log sigma, but the parameter is sigma",
        ("log-parameter", "missing-factor", "single-element"),
        ("tobit", "grad", "x"),
        "    ds = np.sum(np.where(cens, -mills * q, z**2 - 1))\n",
        "    ds = np.sum(np.where(cens, -mills * q, z**2 - 1)) / sigma\n",
    ),
    Stranger(
        "tb local level model, tangents through the kalman filter",
        "closure over a generator",
        lambda gl: (lambda f, t: gl.check_gradient(f, True, t))(*level()),
        lambda: both(*level()),
    ),
    Stranger(
        "tb dirichlet multinomial: second digamma of the total forgotten",
        "f and df with args",
        lambda gl: (lambda a, c: gl.check_gradient(polya_nll, polya_grad, a, args=(c,)))(*polya()),
        lambda: apart(polya_nll, polya_grad, *polya()),
        "wrong",
        "the term -sum digamma(N + A) of the total concentration is missing",
        ("missing-term", "additive-bias"),
        ("polya_grad", "grad", "x"),
        "    g += D * digamma(alpha.sum())\n",
        "    g += D * digamma(alpha.sum()) - digamma(counts.sum(1) + alpha.sum()).sum()\n",
    ),
    Stranger(
        "tb hawkes process with exponential kernel",
        "value and gradient with args",
        lambda gl: (lambda t, *a: gl.check_gradient(hawkes, True, t, args=tuple(a)))(*quakes()),
        lambda: both(hawkes, *quakes()),
    ),
]
