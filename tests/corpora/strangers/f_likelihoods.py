import numpy as np

from ._entry import Stranger
from ._help_f import both, num


class WeibullCensored:
    """Survival times with right censoring; theta = (log shape, log scale)."""

    def __init__(self, t, event):
        self.t = np.asarray(t)
        self.event = np.asarray(event)

    def nll(self, theta):
        k, lam = np.exp(theta)
        z = self.t / lam
        log_hazard = np.log(k / lam) + (k - 1) * np.log(z)
        return np.sum(z**k) - np.sum(self.event * log_hazard)

    def score(self, theta):
        k, lam = np.exp(theta)
        z = self.t / lam
        lz = np.log(z)
        dk = np.sum(z**k * lz) - np.sum(self.event * (1 / k + lz))
        dlam = -k / lam * (np.sum(z**k) - self.event.sum())
        return np.array([dk * k, dlam * lam])


def _weibull():
    rng = np.random.default_rng(2)
    return WeibullCensored(rng.weibull(1.5, 9) * 2 + 0.05, rng.random(9) > 0.3)


# ARMA(1, 1), conditional sum of squares
def arma_css(par, y):
    mu, phi, th = par
    e = np.zeros(len(y))
    for t in range(1, len(y)):
        e[t] = (y[t] - mu) - phi * (y[t - 1] - mu) - th * e[t - 1]
    return 0.5 * e @ e


def arma_css_grad(par, y):
    mu, phi, th = par
    n = len(y)
    e = np.zeros(n)
    de = np.zeros((n, 3))
    for t in range(1, n):
        e[t] = (y[t] - mu) - phi * (y[t - 1] - mu) - th * e[t - 1]
        de[t, 0] = -1 + phi - th * de[t - 1, 0]
        de[t, 1] = -(y[t - 1] - mu) - th * de[t - 1, 1]
        de[t, 2] = -e[t - 1]
    return e @ de


# GARCH(1,1) with the variance started at its long-run level
def garch_nll(p, r):
    h, total = p[0] / (1 - p[1] - p[2]), 0.0
    for x in r:
        total += 0.5 * (np.log(2 * np.pi * h) + x * x / h)
        h = p[0] + p[1] * x * x + p[2] * h
    return total


def garch_score(p, r):
    omega, alpha, beta = p
    rest = 1 - alpha - beta
    h = omega / rest
    dh = np.array([1 / rest, omega / rest**2, omega / rest**2])
    g = np.zeros(3)
    for x in r:
        g += 0.5 * (1 - x * x / h) / h * dh
        dh = np.array([1.0, x * x, h]) + beta * dh
        h = omega + alpha * x * x + beta * h
    return g


# heavy-tailed regression
def t_regression_nll(w, X, y, nu):
    b, log_s = w[:-1], w[-1]
    r = y - X @ b
    s2 = np.exp(2 * log_s)
    return np.sum(0.5 * (nu + 1) * np.log1p(r**2 / (nu * s2)) + log_s)


def t_regression_score(w, X, y, nu):
    b, log_s = w[:-1], w[-1]
    r = y - X @ b
    s2 = np.exp(2 * log_s)
    k = nu / (nu * s2 + r**2)
    return np.append(-X.T @ (k * r), np.sum(1 - (nu + 1) * r**2 / (nu * s2 + r**2)))


def _tdata():
    rng = np.random.default_rng(4)
    X = rng.standard_normal((8, 3))
    return rng.standard_normal(4) * 0.5, X, X @ np.array([1.0, -0.5, 0.3]) + rng.standard_t(3, 8), 4.0


# proportional hazards, Breslow, times already sorted
def cox_neg_pll(beta, Z, died):
    eta = Z @ beta
    risk = np.cumsum(np.exp(eta)[::-1])[::-1]
    return -np.sum(died * (eta - np.log(risk)))


def cox_score(beta, Z, died):
    w = np.exp(Z @ beta)
    s0 = np.cumsum(w[::-1])[::-1]
    s1 = np.cumsum((w[:, None] * Z)[::-1], axis=0)[::-1]
    return -(died[:, None] * (Z - s1 / s0[:, None])).sum(axis=0)


def _cox():
    rng = np.random.default_rng(6)
    return np.array([0.3, -0.8]), rng.standard_normal((7, 2)), np.array([1, 0, 1, 1, 0, 1, 1])


# mixture of two exponential lifetimes, theta = (logit of the share, log rate 1, log rate 2)
class TwoLifetimes:
    def __init__(self, samples):
        self.x = samples
        self.resp = None

    def _joint(self, th):
        share = 1 / (1 + np.exp(-th[0]))
        l1, l2 = np.exp(th[1]), np.exp(th[2])
        return share * l1 * np.exp(-l1 * self.x), (1 - share) * l2 * np.exp(-l2 * self.x)

    def cost(self, th):
        a, b = self._joint(th)
        return -np.log(a + b).sum()

    def grad(self, th):
        if self.resp is None:
            a, b = self._joint(th)
            self.resp = a / (a + b)
        q = self.resp
        share = 1 / (1 + np.exp(-th[0]))
        d1 = 1 - np.exp(th[1]) * self.x
        d2 = 1 - np.exp(th[2]) * self.x
        return -np.array([(q - share).sum(), q @ d1, (1 - q) @ d2])


def _lifetimes():
    rng = np.random.default_rng(8)
    return TwoLifetimes(np.concatenate([rng.exponential(0.5, 5), rng.exponential(3.0, 5)]))


def _prove_lifetimes():
    m = _lifetimes()
    m.grad(np.array([0.1, 0.4, -0.9]))
    return both(m.cost, m.grad, np.array([-0.5, 1.1, -0.2]))


# Hawkes process, exponential kernel; times are seconds since midnight
def hawkes_nll(par, times, end):
    mu, alpha, beta = par
    A, total = 0.0, 0.0
    for i, t in enumerate(times):
        if i:
            A = np.exp(-beta * (t - times[i - 1])) * (1 + A)
        total -= np.log(mu + alpha * beta * A)
    return total + mu * (end - times[0]) + alpha * np.sum(1 - np.exp(-beta * (end - times)))


def hawkes_grad(par, times, end):
    mu, alpha, beta = par
    ts = np.asarray(times, dtype=np.float32)
    A = B = 0.0
    g = np.zeros(3)
    for i in range(len(ts)):
        if i:
            gap = float(ts[i] - ts[i - 1])
            decay = np.exp(-beta * gap)
            B = decay * (B - gap * (1 + A))
            A = decay * (1 + A)
        g -= np.array([1.0, beta * A, alpha * (A + beta * B)]) / (mu + alpha * beta * A)
    left = end - ts.astype(float)
    g[0] += left[0]
    g[1] += np.sum(1 - np.exp(-beta * left))
    g[2] += alpha * np.sum(left * np.exp(-beta * left))
    return g


def _hawkes():
    rng = np.random.default_rng(9)
    times = 73211.123 + np.cumsum(rng.exponential(0.03, 9))
    return np.array([1.2, 0.6, 20.0]), times, times[-1] + 0.031


# directions on the circle
def circ_nll(par, ang):
    m, kappa = par
    return len(ang) * np.log(2 * np.pi * np.i0(kappa)) - kappa * np.cos(ang - m).sum()


def circ_nll_prime(par, ang):
    m, kappa = par
    u = np.linspace(0, 2 * np.pi, 256, endpoint=False)
    weight = np.exp(kappa * (np.cos(u) - 1))
    mean_resultant = (weight * np.cos(u)).sum() / weight.sum()
    return np.array([-kappa * np.sin(ang - m).sum(), len(ang) * mean_resultant - np.cos(ang - m).sum()])


# Davidson's model of football results: strengths, home advantage, draws
def davidson(params, home, away, result):
    n = len(params) - 2
    h, d = params[n], params[n + 1]
    a = params[home] + h
    b = params[away]
    c = d + 0.5 * (a + b)
    u = np.stack([a, c, b])
    e = np.exp(u - u.max(0))
    p = e / e.sum(0)
    games = np.arange(len(result))
    nll = -np.log(p[result, games]).sum()
    p[result, games] -= 1
    ga, gc, gb = p
    ga, gb = ga + 0.5 * gc, gb + 0.5 * gc
    out = np.bincount(home, ga, n + 2) + np.bincount(away, gb, n + 2)
    out[n] += ga.sum()
    out[n + 1] += gc.sum()
    return nll, out


def _football():
    home, away = np.array([0, 1, 2, 3, 0, 2, 1]), np.array([1, 2, 3, 0, 2, 0, 3])
    params = np.array([0.3, -0.2, 0.5, -0.6, 0.25, -0.4])
    return params, home, away, np.array([0, 2, 1, 2, 0, 1, 0])


# zero-inflated Poisson counts
class ZipCounts:
    def __init__(self, counts):
        self.k = np.asarray(counts)
        self.buf = np.empty(2)

    def f(self, v):
        pi, lam = 1 / (1 + np.exp(-v[0])), np.exp(v[1])
        zero = np.log(pi + (1 - pi) * np.exp(-lam))
        pos = np.log1p(-pi) + self.k * v[1] - lam
        return -np.where(self.k == 0, zero, pos).sum()

    def jac(self, v):
        pi, lam = 1 / (1 + np.exp(-v[0])), np.exp(v[1])
        z = np.count_nonzero(self.k == 0)
        n = self.k.size - z
        p0 = pi + (1 - pi) * np.exp(-lam)
        g = self.buf
        g[0] = -z * (1 - np.exp(-lam)) / p0 * pi * (1 - pi) + n * pi
        g[1] = z * (1 - pi) * np.exp(-lam) * lam / p0 - (self.k.sum() - n * lam)
        return g


Y = np.random.default_rng(12).standard_normal(9).cumsum() * 0.5
R = np.random.default_rng(13).standard_normal(10) * 0.8
ANG = np.array([0.2, 1.1, -0.4, 0.9, 2.2, 0.5])


def _call_weibull(gradlab):
    m = _weibull()
    return gradlab.check_gradient(m.nll, m.score, np.array([0.3, 0.6]))


def _call_t(gradlab):
    w, X, y, nu = _tdata()
    return gradlab.check_gradient(t_regression_nll, t_regression_score, w, args=(X, y, nu))


def _call_cox(gradlab):
    b, Z, died = _cox()
    return gradlab.check_gradient(cox_neg_pll, cox_score, b, args=(Z, died))


def _call_two(gradlab):
    m = _lifetimes()
    return gradlab.check_gradient(m.cost, m.grad, np.array([0.1, 0.4, -0.9]))


def _call_hawkes(gradlab):
    p, times, end = _hawkes()
    return gradlab.check_gradient(hawkes_nll, hawkes_grad, p, args=(times, end))


def _call_football(gradlab):
    p, *rest = _football()
    return gradlab.check_gradient(davidson, True, p, args=tuple(rest))


def _call_zip(gradlab):
    m = ZipCounts([0, 2, 0, 1, 3, 0, 5])
    return gradlab.check_gradient(m.f, m.jac, np.array([-0.4, 0.7]))


def _args(f, g, x, *rest):
    return both(lambda v: f(v, *rest), lambda v: g(v, *rest), x)


ENTRIES = [
    Stranger(
        "Weibull lifetimes with censoring",
        "object with nll and score",
        _call_weibull,
        lambda: both(_weibull().nll, _weibull().score, np.array([0.3, 0.6])),
    ),
    Stranger(
        "ARMA(1, 1) sum of squares: the residual's own past is forgotten",
        "f and grad with args",
        lambda gradlab: gradlab.check_gradient(
            arma_css, arma_css_grad, np.array([0.2, 0.5, -0.6]), args=(Y,)
        ),
        lambda: _args(arma_css, arma_css_grad, np.array([0.2, 0.5, -0.6]), Y),
        "wrong",
        "the derivative by theta lacks its recursion",
        ("missing-term",),
        ("par",),
        "        de[t, 2] = -e[t - 1]",
        "        de[t, 2] = -e[t - 1] - th * de[t - 1, 2]",
    ),
    Stranger(
        "GARCH(1, 1) likelihood",
        "f and grad with args",
        lambda gradlab: gradlab.check_gradient(garch_nll, garch_score, np.array([0.1, 0.2, 0.6]), args=(R,)),
        lambda: _args(garch_nll, garch_score, np.array([0.1, 0.2, 0.6]), R),
    ),
    Stranger(
        "Student t regression: nu for nu + 1",
        "f and grad with args",
        _call_t,
        lambda: _args(t_regression_nll, t_regression_score, *_tdata()),
        "wrong",
        "the weights of the residuals have nu where nu + 1 belongs",
        ("constant-factor",),
        ("w",),
        "    k = nu / (nu * s2 + r**2)",
        "    k = (nu + 1) / (nu * s2 + r**2)",
    ),
    Stranger(
        "Cox partial likelihood",
        "f and grad with args",
        _call_cox,
        lambda: _args(cox_neg_pll, cox_score, *_cox()),
    ),
    Stranger(
        "mixture of two lifetimes: keeps its first responsibilities",
        "object with cost and grad",
        _call_two,
        _prove_lifetimes,
        "wrong",
        "the responsibilities of the first call are kept",
        ("stale-residuals",),
        ("th",),
        "        if self.resp is None:\n"
        "            a, b = self._joint(th)\n            self.resp = a / (a + b)",
        "        a, b = self._joint(th)\n        self.resp = a / (a + b)",
    ),
    Stranger(
        "Hawkes process: time stamps in single precision",
        "f and grad with args",
        _call_hawkes,
        lambda: _args(hawkes_nll, hawkes_grad, *_hawkes()),
        "wrong",
        "seconds of a day do not fit into float32 to a millisecond",
        ("float32-round-trip",),
        ("par",),
        "    ts = np.asarray(times, dtype=np.float32)",
        "    ts = np.asarray(times, dtype=np.float64)",
    ),
    Stranger(
        "von Mises directions",
        "f and grad with args",
        lambda gradlab: gradlab.check_gradient(circ_nll, circ_nll_prime, np.array([0.4, 1.7]), args=(ANG,)),
        lambda: _args(circ_nll, circ_nll_prime, np.array([0.4, 1.7]), ANG),
    ),
    Stranger(
        "Davidson's football results",
        "value and gradient with args",
        _call_football,
        lambda: [
            (davidson(*_football())[1], num(lambda v: davidson(v, *_football()[1:])[0], _football()[0]))
        ],
    ),
    Stranger(
        "zero-inflated counts: one buffer for every gradient",
        "object with f and jac",
        _call_zip,
        lambda: both(
            ZipCounts([0, 2, 0, 1, 3, 0, 5]).f, ZipCounts([0, 2, 0, 1, 3, 0, 5]).jac, np.array([-0.4, 0.7])
        ),
        "habit",
        "every call returns the same array",
        ("aliases-memory",),
        ("v",),
        "        return g",
        "        return g.copy()",
    ),
]
