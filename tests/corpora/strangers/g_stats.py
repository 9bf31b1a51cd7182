"""Statistics, finance, epidemiology."""

import numpy as np
from scipy.linalg import cho_factor, cho_solve
from scipy.special import expit, ndtr

from ._entry import Stranger
from ._help_g import both


class Epidemic:
    """SIR in discrete time. theta is a record with the fields beta and gamma, and so is its gradient.

    forward takes (S, I, R) as fractions and gives the infected of every day.
    """

    dtype = np.dtype([("beta", float), ("gamma", float)])

    def __init__(self, beta, gamma, days):
        self.theta = np.array((beta, gamma), dtype=self.dtype)
        self.grad_theta = np.zeros((), dtype=self.dtype)
        self.days = days

    def forward(self, state):
        S, I, R = state
        self.path = []
        infected = np.empty(self.days)
        for d in range(self.days):
            self.path.append((S, I))
            new, gone = self.theta["beta"] * S * I, self.theta["gamma"] * I
            S, I, R = S - new, I + new - gone, R + gone
            infected[d] = I
        return infected

    def backward(self, dinf):
        lS = lI = 0.0
        dbeta = dgamma = 0.0
        for (S, I), d in zip(self.path[::-1], dinf[::-1]):
            lI = lI + d
            dbeta += (lI - lS) * S * I
            dgamma -= lI * I
            dnew = (lI - lS) * self.theta["beta"]
            lS, lI = lS + dnew * I, lI * (1 - self.theta["gamma"]) + dnew * S
        self.grad_theta["beta"] = dbeta
        self.grad_theta["gamma"] = dgamma
        return np.array([lS, lI, 0.0])


class BlackScholes:
    """price of a call; backward is a portfolio's delta and vega"""

    def __init__(self, strike, maturity, rate):
        self.K, self.T, self.r = strike, maturity, rate

    def forward(self, spot, vol):
        sq = vol * np.sqrt(self.T)
        self.d1 = (np.log(spot / self.K) + (self.r + vol**2 / 2) * self.T) / sq
        self.spot = spot
        return spot * ndtr(self.d1) - self.K * np.exp(-self.r * self.T) * ndtr(self.d1 - sq)

    @property
    def delta(self):
        return ndtr(self.d1)

    @property
    def vega(self):
        return self.spot * np.sqrt(self.T) * np.exp(-(self.d1**2) / 2) / np.sqrt(2 * np.pi)

    def backward(self, position):
        return position * self.delta, position * self.vega


class BatchNorm1d:
    def __init__(self, D, momentum=0.9):
        self.gamma, self.beta = np.linspace(0.5, 1.5, D), np.zeros(D)
        self.momentum = momentum
        self.running_mean, self.running_var = np.zeros(D), np.ones(D)
        self.training = True

    def train(self, mode=True):
        self.training = mode

    def forward(self, x):
        if not self.training:
            self.inv = 1 / np.sqrt(self.running_var + 1e-5)
            self.z = (x - self.running_mean) * self.inv
        else:
            mu, var = x.mean(0), x.var(0)
            self.running_mean = self.momentum * self.running_mean + (1 - self.momentum) * mu
            self.running_var = self.momentum * self.running_var + (1 - self.momentum) * var
            self.inv = 1 / np.sqrt(var + 1e-5)
            self.z = (x - mu) * self.inv
        return self.gamma * self.z + self.beta

    def backward(self, dy):
        self.dbeta = dy.sum(0)
        self.dgamma = (dy * self.z).sum(0)
        dz = dy * self.gamma
        if self.training:
            dz = dz - dz.mean(0) - self.z * (dz * self.z).mean(0)
        return dz * self.inv


class GaussianProcess:
    """negative log marginal likelihood; hyper = log of (signal, length, noise)"""

    def __init__(self, hyper):
        self.hyper = hyper

    def loss(self, X, y):
        s, l, n = np.exp(self.hyper)
        self.d2 = (X[:, None] - X[None]) ** 2
        self.Kf = s * np.exp(-0.5 * self.d2 / l**2)
        self.n = len(X)
        self.chol = cho_factor(self.Kf + n * np.eye(self.n), lower=True)
        self.a = cho_solve(self.chol, y)
        return 0.5 * y @ self.a + np.log(np.diag(self.chol[0])).sum()

    def gradient(self, X, y):
        self.loss(X, y)
        l, n = np.exp(self.hyper[1:])
        M = 0.5 * (cho_solve(self.chol, np.eye(self.n)) - np.outer(self.a, self.a))
        return np.array([(M * self.Kf).sum(), (M * self.Kf * self.d2).sum() / l**2, n * np.trace(M)])


class OrdinalLogit:
    """P(y <= k) = sigmoid(c_k - x w); the weights are only handed out as copies"""

    def __init__(self, n, cuts):
        self._w, self._cuts = np.linspace(-0.5, 0.5, n), np.array(cuts, dtype=float)
        self._grads = None

    def get_weights(self):
        return [self._w.copy(), self._cuts.copy()]

    def set_weights(self, weights):
        self._w, self._cuts = (np.array(v, dtype=float) for v in weights)

    def get_gradients(self):
        return [g.copy() for g in self._grads]

    def forward(self, x):
        self._x = x
        self._F = expit(self._cuts - (x @ self._w)[:, None])
        padded = np.pad(self._F, ((0, 0), (1, 1)), constant_values=((0, 0), (0, 1)))
        return np.diff(padded, axis=1)

    def backward(self, dp):
        dF = (dp[:, :-1] - dp[:, 1:]) * self._F * (1 - self._F)
        d_eta = -dF.sum(1)
        self._grads = [self._x.T @ d_eta, dF.sum(0)]
        return np.outer(d_eta, self._w)


class SignedLog:
    """log returns scaled down; gradients are clipped so that outliers do no harm"""

    def __init__(self, clip=0.5):
        self.clip = clip

    def forward(self, x):
        self.slope = 1 / (1 + np.abs(x))
        return np.sign(x) * np.log1p(np.abs(x))

    def backward(self, dout):
        return np.clip(dout * self.slope, -self.clip, self.clip)


class Probit:
    def __init__(self, mean=0.2, sd=1.5):
        self.mean, self.sd = mean, sd

    def forward(self, x):
        self.z = (x - self.mean) / self.sd
        return ndtr(self.z)

    def backward(self, dout):
        density = np.exp(-(self.z**2) / 2) / (self.sd * np.sqrt(2 * np.pi))
        return density


class SampleCovariance:
    """(n, d) -> (d, d), unbiased"""

    def forward(self, x):
        self.c = x - x.mean(axis=0)
        return self.c.T @ self.c / (len(x) - 1)

    def backward(self, dC):
        return self.c @ (dC + dC.T) / len(self.c)


class Garch:
    """Gaussian likelihood of returns, h_t = omega + alpha r_{t-1}^2 + beta h_{t-1}"""

    def __init__(self, omega, alpha, beta, h0=1.0):
        self.theta = np.array([omega, alpha, beta])
        self.h0 = h0

    def loss(self, r):
        omega, alpha, beta = self.theta
        h = self.h0
        self.h = []
        for v in r:
            self.h.append(h)
            h = omega + alpha * v**2 + beta * h
        self.h = np.array(self.h)
        return 0.5 * np.sum(np.log(self.h) + r**2 / self.h)

    def gradient(self, r):
        self.loss(r)
        omega, alpha, beta = self.theta
        total, dh = np.zeros(3), np.zeros(3)
        for t in range(1, len(r)):
            dh = np.array([1.0, r[t - 1] ** 2, self.h[t - 1]])
            total += 0.5 * (1 / self.h[t] - r[t] ** 2 / self.h[t] ** 2) * dh
        return total


class Whiten:
    """divides by the standard deviation after the mean is taken off"""

    def forward(self, x):
        x -= x.mean(axis=0)
        self.sd = x.std(axis=0)
        self.z = x / self.sd
        return self.z.copy()

    def backward(self, dz):
        return (dz - dz.mean(0) - self.z * (dz * self.z).mean(0)) / self.sd


def rng():
    return np.random.default_rng(91)


def epidemic():
    return Epidemic(0.6, 0.2, 8), np.array([0.9, 0.08, 0.02])


def options():
    strikes = np.array([90.0, 100, 110])
    layer = BlackScholes(strikes / 100, 0.5, 0.02)
    return layer, rng().uniform(0.8, 1.2, (4, 3)), rng().uniform(0.1, 0.4, (4, 3))


def batchnorm():
    return BatchNorm1d(3), rng().normal(size=(6, 3)) * 2 + 1


def gp():
    return GaussianProcess(np.array([0.3, -0.2, -1.5])), np.linspace(0, 3, 8), np.sin(np.arange(8.0))


def ordinal():
    return OrdinalLogit(3, [-1.0, 0.2, 1.4]), rng().normal(size=(5, 3))


def signed():
    return SignedLog(), rng().normal(size=(4, 5))


def probit():
    return Probit(), rng().normal(size=(3, 4))


def covariance():
    return SampleCovariance(), rng().normal(size=(6, 3))


def garch():
    return Garch(0.1, 0.2, 0.7), rng().normal(size=12)


def whiten():
    return Whiten(), rng().normal(size=(6, 3)) + 2


def loss(m, *xs):
    return m.loss(*xs)


def record(m, g, x):
    dx = m.backward(g)
    return [(dx, x), (m.grad_theta["beta"], m.theta["beta"]), (m.grad_theta["gamma"], m.theta["gamma"])]


def handed_out(m, g, x):
    dx = m.backward(g)
    return [(dx, x), *zip(m.get_gradients(), (m._w, m._cuts))]


ENTRIES = [
    Stranger(
        "SIR epidemic with a record of parameters",
        "layer whose parameters are a structured array",
        *both(epidemic, record),
    ),
    Stranger(
        "Black-Scholes calls with delta and vega",
        "layer of two inputs, gradients are properties",
        *both(options, lambda m, g, *xs: list(zip(m.backward(g), xs))),
    ),
    Stranger(
        "batch norm with running statistics",
        "layer with a training flag",
        *both(batchnorm, lambda m, g, x: [(m.backward(g), x), (m.dgamma, m.gamma), (m.dbeta, m.beta)]),
    ),
    Stranger(
        "Gaussian process, marginal likelihood",
        "object with hyper, loss and gradient",
        *both(gp, lambda m, g, *xs: [(m.gradient(*xs), m.hyper)], loss),
    ),
    Stranger(
        "ordinal logit whose weights are copies",
        "layer with get_weights, set_weights, get_gradients",
        *both(ordinal, handed_out),
    ),
    Stranger(
        "signed logarithm: the gradient is clipped",
        "layer without parameters",
        *both(signed, lambda m, g, x: [(m.backward(g), x)]),
        "wrong",
        "backward clips the gradient, so that it is not proportional to dout",
        ("nonlinear-in-cotangent",),
        ("x",),
        "        return np.clip(dout * self.slope, -self.clip, self.clip)",
        "        return dout * self.slope",
    ),
    Stranger(
        "normal distribution function: dout not used",
        "layer without parameters",
        *both(probit, lambda m, g, x: [(m.backward(g), x)]),
        "wrong",
        "backward returns the density alone, without dout",
        ("ignores-cotangent",),
        ("x",),
        "        return density",
        "        return dout * density",
    ),
    Stranger(
        "sample covariance: n for n - 1",
        "layer without parameters",
        *both(covariance, lambda m, g, x: [(m.backward(g), x)]),
        "wrong",
        "forward divides by n - 1, backward by n",
        ("constant-factor",),
        ("x",),
        "        return self.c @ (dC + dC.T) / len(self.c)",
        "        return self.c @ (dC + dC.T) / (len(self.c) - 1)",
    ),
    Stranger(
        "GARCH likelihood: the recursion forgotten",
        "object with theta, loss and gradient",
        *both(garch, lambda m, g, r: [(m.gradient(r), m.theta)], loss),
        "wrong",
        "h depends on the parameters through the h before as well: beta * dh is missing",
        ("missing-term",),
        ("theta",),
        "            dh = np.array([1.0, r[t - 1] ** 2, self.h[t - 1]])",
        "            dh = np.array([1.0, r[t - 1] ** 2, self.h[t - 1]]) + beta * dh",
    ),
    Stranger(
        "whitening: centres its input in place",
        "layer without parameters",
        both(whiten, None)[0],
        lambda: [],
        "habit",
        "forward takes the mean off the very array that it is given",
        ("mutates-argument",),
        ("x",),
    ),
]
