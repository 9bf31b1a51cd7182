"""Likelihoods of regressions, counts and lifetimes, with their scores by hand."""

from dataclasses import dataclass

import numpy as np
from scipy.special import digamma, expit, gammaln, ndtr

from ._entry import Stranger
from ._help_l import dots, fgrad, fjac


# ---- negative binomial GLM, log link; the last parameter is log(size) ----
def negbin_nll(par, X, y):
    beta, size = par[:-1], np.exp(par[-1])
    mu = np.exp(X @ beta)
    ll = gammaln(y + size) - gammaln(size) - gammaln(y + 1)
    ll += size * np.log(size / (size + mu)) + y * np.log(mu / (size + mu))
    return -ll.sum()


def negbin_score(par, X, y):
    beta, size = par[:-1], np.exp(par[-1])
    mu = np.exp(X @ beta)
    working = size * (y - mu) / (size + mu)
    d_size = digamma(y + size) - digamma(size) + np.log(size / (size + mu)) + (mu - y) / (size + mu)
    return -np.concatenate([X.T @ working, [size * d_size.sum()]])


def _negbin():
    rng = np.random.default_rng(11)
    X = np.c_[np.ones(30), rng.normal(size=(30, 3)) * 0.5]
    return np.array([0.8, 0.3, -0.4, 0.2, 0.5]), X, rng.negative_binomial(2, 0.4, size=30)


# ---- zero-inflated Poisson: one long vector, zero part first ----
class ZIP:
    """scipy.optimize.minimize(zip, x0, jac=True)"""

    def __init__(self, Z, X, y):
        self.Z, self.X, self.y = Z, X, y
        self.cut = Z.shape[1]

    def __call__(self, par):
        p = expit(self.Z @ par[: self.cut])
        mu = np.exp(self.X @ par[self.cut :])
        zero = self.y == 0
        none = p + (1 - p) * np.exp(-mu)
        ll = np.where(zero, np.log(none), np.log1p(-p) - mu + self.y * np.log(mu) - gammaln(self.y + 1))
        # E step: how likely is it that a zero is a structural one? (its score needs nothing else)
        w = np.where(zero, p / none, 0.0)
        g = np.r_[self.Z.T @ (w - p), self.X.T @ ((1 - w) * (self.y - mu))]
        return -ll.mean(), -g / len(self.y)


def _zip():
    rng = np.random.default_rng(3)
    Z = np.c_[np.ones(40), rng.normal(size=40)]
    X = np.c_[np.ones(40), rng.normal(size=(40, 2))]
    y = np.where(rng.random(40) < 0.35, 0, rng.poisson(2.5, size=40))
    return ZIP(Z, X, y), np.array([-0.4, 0.3, 0.7, 0.2, -0.1])


# ---- Cox ----
class CoxBreslow:
    def __init__(self, X, time, event):
        order = np.argsort(-time)  # longest first: a risk set is a prefix
        self.X, self.event = X[order], event[order].astype(bool)
        self.XX = np.einsum("ni,nj->nij", self.X, self.X)

    def _sums(self, b):
        r = np.exp(self.X @ b)
        s0 = np.cumsum(r)
        m = np.cumsum(r[:, None] * self.X, axis=0) / s0[:, None]
        return s0, m, r

    def negloglik(self, b):
        s0 = self._sums(b)[0]
        return -np.sum((self.X @ b - np.log(s0))[self.event])

    def gradient(self, b):
        _, m, _ = self._sums(b)
        return -(self.X - m)[self.event].sum(axis=0)

    def information(self, b):
        s0, m, r = self._sums(b)
        second = np.cumsum(r[:, None, None] * self.XX, axis=0) / s0[:, None, None]
        return (second - m[:, :, None] * m[:, None, :])[self.event].sum(axis=0)


def _cox():
    rng = np.random.default_rng(8)
    return CoxBreslow(rng.normal(size=(25, 3)), rng.exponential(size=25), rng.random(25) < 0.7), np.array(
        [0.5, -0.3, 0.1]
    )


# ---- regularised logistic regression (ex2_reg) ----
def costFunctionReg(theta, X, y, lam):
    m = len(y)
    h = expit(X.dot(theta))
    J = -(y.dot(np.log(h)) + (1 - y).dot(np.log(1 - h))) / m
    J = J + lam / (2 * m) * np.sum(theta[1:] ** 2)  # theta_0 is not regularised
    return J


def gradientReg(theta, X, y, lam):
    m = len(y)
    h = expit(X.dot(theta))
    grad = X.T.dot(h - y) / m
    grad = grad + lam / m * theta
    return grad


def _ex2():
    rng = np.random.default_rng(2)
    X = np.c_[np.ones(20), rng.normal(size=(20, 4))]
    return np.array([0.9, -0.5, 0.3, 0.8, -0.2]), (X, (rng.random(20) < 0.5).astype(float), 2.0)


# ---- proportional odds ----
class ProportionalOdds:
    """par = slopes, first cut point, logarithms of the distances between cut points"""

    def __init__(self, X, y):
        self.X, self.y, self.p = X, y, X.shape[1]

    def _cuts(self, par):
        first = par[self.p]
        return np.concatenate([[first], first + np.cumsum(np.exp(par[self.p + 1 :]))])

    def _edges(self, par):
        cuts = np.concatenate([[-np.inf], self._cuts(par), [np.inf]])
        eta = self.X @ par[: self.p]
        return expit(cuts[self.y + 1] - eta), expit(cuts[self.y] - eta)

    def fun(self, par):
        hi, lo = self._edges(par)
        return -np.log(hi - lo).sum()

    def jac(self, par):
        hi, lo = self._edges(par)
        up, down = hi * (1 - hi) / (hi - lo), lo * (1 - lo) / (hi - lo)
        n_cut = len(par) - self.p
        d_cut = np.bincount(self.y, -up, n_cut + 1)[:-1] + np.bincount(self.y, down, n_cut + 1)[1:]
        d_gap = np.cumsum(d_cut[1:]) * np.exp(par[self.p + 1 :])
        return np.concatenate([self.X.T @ (up - down), [d_cut.sum()], d_gap])


def _odds():
    rng = np.random.default_rng(5)
    return ProportionalOdds(rng.normal(size=(40, 2)), rng.integers(0, 5, 40)), np.array(
        [0.4, -0.7, -1.2, -0.1, 0.2, -0.4]
    )


# ---- Weibull accelerated failure times ----
class WeibullAFTLoss:
    def __init__(self, durations, observed, shape=1.5):
        self.logt = np.log(durations)
        self.observed = observed.astype(float)
        self.log_k = np.array(np.log(shape))

    def forward(self, log_scale):
        k = np.exp(self.log_k)
        self.z = k * (self.logt - log_scale)
        self.cumhaz = np.exp(self.z)
        return -np.mean(self.observed * (self.log_k - self.logt + self.z) - self.cumhaz)

    def backward(self):
        n = self.z.size
        self.grad_log_k = -np.sum(self.observed * (1 + self.z) - self.cumhaz * self.z) / n
        return np.exp(self.log_k) * (1.0 - self.cumhaz) / n


def _weibull():
    rng = np.random.default_rng(14)
    return WeibullAFTLoss(rng.weibull(1.5, 18) * 2, rng.random(18) < 0.6), rng.normal(size=18) * 0.3 + 0.5


def _prove_weibull():
    loss, eta = _weibull()
    loss.forward(eta)
    got = [loss.backward(), loss.grad_log_k]
    return list(zip(got, dots(lambda: loss.forward(eta), [eta, loss.log_k])))


# ---- densidad t de Student, columna por columna ----
class CapaTStudent:
    def __init__(self, d, semilla=0):
        azar = np.random.default_rng(semilla)
        self.params = {
            "mu": azar.normal(size=d),
            "log_s": 0.3 * azar.normal(size=d),
            "log_nu": 1.0 + 0.2 * azar.normal(size=d),
        }
        self.grads = {}

    def forward(self, x):
        s, nu = np.exp(self.params["log_s"]), np.exp(self.params["log_nu"])
        self.z = (x - self.params["mu"]) / s
        norma = gammaln((nu + 1) / 2) - gammaln(nu / 2) - 0.5 * np.log(nu * np.pi)
        return norma - self.params["log_s"] - (nu + 1) / 2 * np.log1p(self.z**2 / nu)

    def backward(self, dout):
        s, nu, z2 = np.exp(self.params["log_s"]), np.exp(self.params["log_nu"]), self.z**2
        dz = -dout * (nu + 1) * self.z / (nu + z2)
        dnu = 0.5 * (digamma((nu + 1) / 2) - digamma(nu / 2) - 1 / nu - np.log1p(z2 / nu))
        dnu += (nu + 1) * z2 / (2 * nu * (nu + z2))
        self.grads["mu"] = -dz.sum(axis=0) / s
        self.grads["log_s"] = -(dout + dz * self.z).sum(axis=0)
        self.grads["log_nu"] = nu * dnu.sum(axis=0)
        return dz / s


def _prove_t():
    capa, rng = CapaTStudent(3), np.random.default_rng(1)
    x, g = rng.normal(size=(6, 3)), rng.normal(size=(6, 3))
    capa.forward(x)
    dx = capa.backward(g)
    keys = list(capa.params)
    true = dots(lambda: capa.forward(x), [x] + [capa.params[k] for k in keys], g)
    return list(zip([dx] + [capa.grads[k] for k in keys], true))


# ---- probit ----
def probit_nll(beta, X, sign):
    return -np.sum(np.log(ndtr(sign * (X @ beta))))


def probit_grad(beta, X, sign):
    q = sign * (X @ beta)
    bell = 1.702 * expit(1.702 * q) * expit(-1.702 * q)
    return -X.T @ (sign * bell / ndtr(q))


def _probit():
    rng = np.random.default_rng(21)
    X = rng.normal(size=(30, 4))
    return np.array([0.3, -0.6, 0.9, 0.1]), (X, np.where(rng.random(30) < 0.5, 1.0, -1.0))


# ---- Goodman's row-column association model: expected counts of a table ----
class RCModel:
    def __init__(self, I, J, rng):
        self.row = rng.normal(size=(I, 1)) * 0.5
        self.col = rng.normal(size=(1, J)) * 0.5
        self.phi = np.array([[0.7]])

    def forward(self, u, v):
        self.u, self.v = u, v
        self.mu = np.exp(self.row + self.col + self.phi * np.outer(u, v))
        return self.mu

    def backward(self, dmu):
        g = dmu * self.mu
        self.drow = g.sum(axis=1, keepdims=True)
        self.dcol = g
        self.dphi = np.sum(g * np.outer(self.u, self.v), keepdims=True)
        return self.phi[0, 0] * g @ self.v, self.phi[0, 0] * g.T @ self.u


def _rc():
    rng = np.random.default_rng(6)
    return RCModel(4, 5, rng), rng.normal(size=4), rng.normal(size=5), rng.normal(size=(4, 5))


def _prove_rc():
    m, u, v, g = _rc()
    m.forward(u, v)
    du, dv = m.backward(g)
    true = dots(lambda: m.forward(u, v), [u, v, m.row, m.col, m.phi], g)
    return list(zip([du, dv, m.drow, m.dcol, m.dphi], true))


# ---- Polya (Dirichlet-multinomial) ----
@dataclass
class Polya:
    counts: np.ndarray

    def value(self, log_alpha):
        a = np.exp(log_alpha)
        total = gammaln(a.sum()) - gammaln(a.sum() + self.counts.sum(axis=1))
        return float(np.sum(total) + np.sum(gammaln(a + self.counts) - gammaln(a)))

    def slope(self, log_alpha):
        # psi(a + n) - psi(a) = sum_{i<n} 1 / (a + i): the counts are small, no digamma needed
        a = np.exp(log_alpha)

        def rises(start, n):
            return np.array([sum(1.0 / (s + i) for i in range(k)) for s, k in zip(start, n)])

        out = np.zeros_like(a)
        for doc in self.counts:
            out += rises(a, doc) - rises([a.sum()], [doc.sum()])
        return a * out


def _polya():
    rng = np.random.default_rng(4)
    return Polya(rng.poisson(2.0, size=(7, 5))), rng.normal(size=5) * 0.5


def _prove_f(f, g, x, args=()):
    return [(g(x, *args), fgrad(f, x, *args))]


def _prove_cox():
    m, b = _cox()
    return [(m.gradient(b), fgrad(m.negloglik, b)), (m.information(b), fjac(m.gradient, b))]


def _check_cox(gradlab):
    m, b = _cox()
    return gradlab.check_hessian(m.negloglik, m.gradient, m.information, b)


def _prove_zip():
    f, x = _zip()
    return [(f(x)[1], fgrad(lambda p: f(p)[0], x))]


ENTRIES = [
    Stranger(
        "negative binomial regression with log size",
        "f and grad with args",
        lambda gradlab: gradlab.check_gradient(negbin_nll, negbin_score, _negbin()[0], args=_negbin()[1:]),
        lambda: _prove_f(negbin_nll, negbin_score, _negbin()[0], _negbin()[1:]),
    ),
    Stranger(
        "zero-inflated Poisson, its score through the posterior of the zeros",
        "callable object, value and grad",
        lambda gradlab: gradlab.check_gradient(_zip()[0], True, _zip()[1]),
        _prove_zip,
    ),
    Stranger(
        "Cox partial likelihood with information matrix",
        "methods: f, grad, hess",
        _check_cox,
        _prove_cox,
    ),
    Stranger(
        "Polya likelihood, slope by sums of reciprocals",
        "dataclass with value and slope",
        lambda gradlab: (lambda m, a: gradlab.check_gradient(m.value, m.slope, a))(*_polya()),
        lambda: (lambda m, a: _prove_f(m.value, m.slope, a))(*_polya()),
    ),
    Stranger(
        "logistic regression, regularised: gradient penalises the intercept too",
        "f and grad with args",
        lambda gradlab: gradlab.check_gradient(costFunctionReg, gradientReg, _ex2()[0], args=_ex2()[1]),
        lambda: _prove_f(costFunctionReg, gradientReg, *_ex2()),
        "wrong",
        "the gradient's penalty includes the intercept theta[0], the cost's does not",
        ("single-element", "additive-bias"),
        ("theta",),
        "    grad = grad + lam / m * theta\n",
        "    grad[1:] = grad[1:] + lam / m * theta[1:]\n",
    ),
    Stranger(
        "proportional odds: distances' gradient summed from the wrong end",
        "object with fun and jac",
        lambda gradlab: (lambda m, p: gradlab.check_gradient(m.fun, m.jac, p))(*_odds()),
        lambda: (lambda m, p: _prove_f(m.fun, m.jac, p))(*_odds()),
        "wrong",
        "backward of a cumulative sum is a cumulative sum from the end, here it runs from the beginning",
        ("masked-region",),
        ("par",),
        "        d_gap = np.cumsum(d_cut[1:]) * np.exp(par[self.p + 1 :])\n",
        "        d_gap = np.cumsum(d_cut[:0:-1])[::-1] * np.exp(par[self.p + 1 :])\n",
    ),
    Stranger(
        "Weibull AFT loss: censored lives treated as observed",
        "loss class, one parameter",
        lambda gradlab: gradlab.check_layer(*_weibull()),
        _prove_weibull,
        "wrong",
        "the gradient takes 1 where the indicator `observed` belongs: wrong in the censored rows",
        ("masked-region",),
        ("log_scale",),
        "        return np.exp(self.log_k) * (1.0 - self.cumhaz) / n\n",
        "        return np.exp(self.log_k) * (self.observed - self.cumhaz) / n\n",
    ),
    Stranger(
        "Student t log density: gradient of log_nu without dout",
        "layer with params and grads dicts",
        lambda gradlab: gradlab.check_layer(CapaTStudent(3), np.random.default_rng(1).normal(size=(6, 3))),
        _prove_t,
        "wrong",
        "the gradient of log_nu is not multiplied by dout",
        ("ignores-cotangent",),
        ("log_nu",),
        '        self.grads["log_nu"] = nu * dnu.sum(axis=0)\n',
        '        self.grads["log_nu"] = nu * (dout * dnu).sum(axis=0)\n',
    ),
    Stranger(
        "probit: density of the logistic approximation",
        "f and grad with args",
        lambda gradlab: gradlab.check_gradient(probit_nll, probit_grad, _probit()[0], args=_probit()[1]),
        lambda: _prove_f(probit_nll, probit_grad, *_probit()),
        "wrong",
        "the likelihood has the normal distribution, the gradient the bell of the logistic approximation",
        ("other-approximation",),
        ("beta",),
        "    bell = 1.702 * expit(1.702 * q) * expit(-1.702 * q)\n",
        "    bell = np.exp(-0.5 * q**2) / np.sqrt(2 * np.pi)\n",
    ),
    Stranger(
        "row-column association model: column effects' gradient not summed over rows",
        "layer with attributes, two inputs",
        lambda gradlab: gradlab.check_layer(*_rc()[:3]),
        _prove_rc,
        "wrong",
        "col is broadcast over the rows, but its gradient is not summed over them",
        ("missing-broadcast-sum", "wrong-shape"),
        ("col",),
        "        self.dcol = g\n",
        "        self.dcol = g.sum(axis=0, keepdims=True)\n",
    ),
]
