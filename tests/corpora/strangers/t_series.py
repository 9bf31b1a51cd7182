"""Time series, econometrics, spatial models."""

from collections import namedtuple

import numpy as np
from scipy.special import expit

from ._entry import Stranger
from ._help_t import num, of_both, of_f


# GJR-GARCH(1,1) ----
def gjr_garch(theta, r):
    w, a, c, b = theta
    n = len(r)
    h, dh = np.empty(n), np.zeros((n, 4))
    h[0] = r.var()
    for t in range(1, n):
        e2 = r[t - 1] ** 2
        neg = e2 if r[t - 1] < 0 else 0.0
        h[t] = w + a * e2 + c * neg + b * h[t - 1]
        dh[t] = (1.0, e2, neg, h[t - 1])
        dh[t] += b * dh[t - 1]
    qll = 0.5 * np.sum(np.log(h) + r**2 / h)
    return qll, 0.5 * (1 / h - r**2 / h**2) @ dh


def _gjr():
    return np.array([0.1, 0.08, 0.1, 0.7]), np.random.default_rng(0).standard_t(6, 40)


# two regimes; the score after Fisher's identity, from smoothed probabilities ----
class RegimeSwitching:
    def __init__(self, y):
        self.y = y

    def _filter(self, par):
        mu, sd = par[:2], np.exp(par[2:4])
        stay = expit(par[4:6])
        P = np.array([[stay[0], 1 - stay[0]], [1 - stay[1], stay[1]]])
        dens = np.exp(-0.5 * ((self.y[:, None] - mu) / sd) ** 2) / sd / np.sqrt(2 * np.pi)
        xi, ll, pred = [], 0.0, np.array([0.5, 0.5])
        for f in dens:
            joint = pred * f
            ll += np.log(joint.sum())
            xi.append(joint / joint.sum())
            pred = xi[-1] @ P
        return ll, np.array(xi), P, mu, sd

    def loglik(self, par):
        return self._filter(par)[0]

    def score(self, par):
        _, xi, P, mu, sd = self._filter(par)
        T = len(xi)
        smooth = xi.copy()
        moves = np.zeros((2, 2))
        for t in range(T - 2, -1, -1):
            pred = xi[t] @ P
            pair = xi[t][:, None] * P * (smooth[t + 1] / pred)
            smooth[t] = pair.sum(axis=1)
            moves += pair
        z = (self.y[:, None] - mu) / sd
        leave = moves.sum(axis=1) - np.diag(moves)
        d_stay = np.diag(moves) * (1 - np.diag(P)) - leave * np.diag(P)
        return np.concatenate([(smooth * z / sd).sum(0), (smooth * (z**2 - 1)).sum(0), d_stay])


def _regimes():
    rng = np.random.default_rng(3)
    y = np.r_[rng.normal(0, 1, 12), rng.normal(2, 0.5, 10), rng.normal(0, 1, 8)]
    return RegimeSwitching(y), np.array([0.1, 1.7, 0.1, -0.4, 1.5, 1.2])


# niveau local (filtre de Kalman et ses sensibilités) ----
Pas = namedtuple("Pas", "v F dv dF")


def filtre(theta, y):
    """theta = (log q, log r) : variances du niveau et de la mesure."""
    q, r = np.exp(theta)
    dq, dr = np.array([q, 0.0]), np.array([0.0, r])
    a, P = 0.0, 10.0
    da, dP = np.zeros(2), np.zeros(2)
    for obs in y:
        v, F = obs - a, P + r
        dv, dF = -da, dP + dr
        yield Pas(v, F, dv, dF)
        K = P / F
        dK = (dP - K * dF) / F
        a, da = a + K * v, da + dK * v + K * dv
        P, dP = P * (1 - K) + q, dP * (1 - K) - P * dK + dq


def vraisemblance(theta, y):
    return 0.5 * sum(np.log(p.F) + p.v**2 / p.F for p in filtre(theta, y))


def gradient_vraisemblance(theta, y):
    total = np.zeros(2)
    for p in filtre(theta, y):
        total += 0.5 * (p.dF / p.F + 2 * p.v * p.dv / p.F - p.v**2 * p.dF / p.F**2)
    return total


def _niveau():
    return np.array([-1.0, -0.2]), np.cumsum(np.random.default_rng(6).normal(size=25))


# Euler equation of the consumption CAPM (Hansen and Singleton) ----
class EulerGMM:
    def __init__(self, growth, returns, instruments):
        self.c, self.R, self.z = growth, returns, instruments

    def moments(self, theta):
        discount, aversion = theta
        pricing = discount * self.c ** (-aversion) * self.R - 1
        return self.z.T @ pricing / len(pricing)

    def jacobian(self, theta):
        discount, aversion = theta
        m = self.c ** (-aversion) * self.R
        d = np.stack([m, -discount * np.log(self.c) * m], axis=1)
        return self.z.T @ d / len(m)


def _euler():
    rng = np.random.default_rng(12)
    c, R = 1 + 0.08 * rng.random(40), 1.02 + 0.1 * rng.normal(size=40)
    return EulerGMM(c, R, np.c_[np.ones(40), c[::-1], R[::-1], rng.normal(size=40)]), np.array([0.97, 2.0])


# spatial lag model ----
class SpatialLag:
    def __init__(self, y, X, W):
        self.y, self.X, self.Wy = y, X, W @ y
        self.ev = np.linalg.eigvals(W).real

    def _resid(self, p):
        return self.y - p[0] * self.Wy - self.X @ p[2:], np.exp(p[1])

    def f(self, p):
        e, s2 = self._resid(p)
        return -np.log(1 - p[0] * self.ev).sum() + len(e) / 2 * p[1] + e @ e / (2 * s2)

    def df(self, p):
        e, s2 = self._resid(p)
        return np.r_[
            np.sum(self.ev / (1 - p[0] * self.ev)) - e @ self.Wy / s2,
            len(e) / 2 - e @ e / (2 * s2),
            -self.X.T @ e / s2,
        ]

    def d2f(self, p):
        e, s2 = self._resid(p)
        A = np.c_[self.Wy, self.X]
        H = np.zeros((len(p), len(p)))
        keep = np.r_[0, 2 : len(p)]
        H[np.ix_(keep, keep)] = A.T @ A / s2
        H[0, 0] += np.sum((self.ev / (1 - p[0] * self.ev)) ** 2)
        H[1, keep] = H[keep, 1] = A.T @ e / s2
        H[1, 1] = e @ e / (2 * s2)
        return H


def _lag():
    rng = np.random.default_rng(14)
    n = 15
    W = np.eye(n, k=1) + np.eye(n, k=-1) + np.eye(n, k=4) + np.eye(n, k=-4)
    W /= W.sum(axis=1, keepdims=True)
    X = np.c_[np.ones(n), rng.normal(size=n)]
    return SpatialLag(rng.normal(size=n), X, W), np.array([0.35, -0.1, 0.2, 0.5])


def _lag_proof():
    m, p = _lag()
    return of_f(m.f, m.df, p) + of_f(m.df, m.d2f, p)


# Hawkes process ----
def hawkes(theta, times, T):
    mu, a, b = theta
    R = dR = 0.0
    last = None
    ll, g = 0.0, np.zeros(3)
    for t in times:
        if last is not None:
            q = np.exp(-b * (t - last))
            dR = q * (dR - (t - last) * (1 + R))
            R = q * (1 + R)
        lam = mu + a * R
        ll += np.log(lam)
        g += np.array([1.0, R, a * dR]) / lam
        last = t
    w = np.exp(-b * (T - times))
    ll -= mu * T + a / b * np.sum(1 - w)
    g[0] -= T
    g[1] -= np.sum(1 - w) / b
    g[2] -= -a / b**2 * np.sum(1 - w)
    return -ll, -g


def _hawkes():
    return np.array([0.6, 0.5, 1.1]), np.sort(np.random.default_rng(18).uniform(0, 12, 20)), 12.0


# autoregressive conditional durations ----
class ACD:
    """psi[t] = omega + alpha x[t-1] + beta psi[t-1]"""

    def __init__(self, omega=0.2, alpha=0.25, beta=0.6):
        self.omega, self.alpha, self.beta = (np.array([float(v)]) for v in (omega, alpha, beta))

    def forward(self, x):
        self.x = x
        psi = np.empty_like(x)
        psi[0] = x[0]
        for t in range(1, len(x)):
            psi[t] = self.omega[0] + self.alpha[0] * x[t - 1] + self.beta[0] * psi[t - 1]
        self.psi = psi
        return psi.copy()

    def backward(self, dpsi):
        self.domega, self.dalpha, self.dbeta = np.zeros(1), np.zeros(1), np.zeros(1)
        dx = np.zeros_like(self.x)
        carry = 0.0
        for t in range(len(dpsi) - 1, 0, -1):
            carry = carry + dpsi[t]
            self.domega += carry
            self.dalpha += carry * self.x[t - 1]
            self.dbeta += carry * self.psi[t]
            dx[t - 1] += carry * self.alpha[0]
            carry = carry * self.beta[0]
        dx[0] += carry + dpsi[0]
        return dx


def _acd():
    return ACD(), np.random.default_rng(19).exponential(1.0, 14)


def _acd_proof():
    m, x = _acd()
    g = np.random.default_rng(1).normal(size=14)
    m.forward(x)
    dx = m.backward(g.copy())
    claimed = [dx, m.domega, m.dalpha, m.dbeta]
    return [(c, num(lambda: g @ m.forward(x), a)) for c, a in zip(claimed, (x, m.omega, m.alpha, m.beta))]


# vector autoregression by least_squares ----
class VARResiduals:
    def __init__(self, Y, p):
        self.k = Y.shape[1]
        self.Y = Y[p:]
        self.Z = np.hstack([Y[p - i : len(Y) - i] for i in range(1, p + 1)])

    def fun(self, b):
        B = b.reshape(self.Z.shape[1], self.k)
        return np.tanh(self.Y - self.Z @ B).ravel()

    def jac(self, b):
        B = b.reshape(self.Z.shape[1], self.k)
        slope = 1 - np.tanh(self.Y - self.Z @ B) ** 2
        return -slope.reshape(-1, 1) * np.kron(np.eye(self.k), self.Z)


def _var():
    rng = np.random.default_rng(23)
    return VARResiduals(rng.normal(size=(9, 2)), 2), rng.normal(size=8) * 0.4


# conditional autoregression on a map ----
class CARPrior:
    def __init__(self, adjacency, tau=1.5, rho=0.6):
        self.W = adjacency
        self.D = np.diag(adjacency.sum(axis=1))
        self.param = {"tau": np.array([tau]), "rho": np.array([rho])}
        self.grad = {}

    def forward(self, phi):
        self.phi = phi
        self.Q = self.D - self.param["rho"][0] * self.W
        self.quad = phi @ self.Q @ phi
        n = len(phi)
        tau = self.param["tau"][0]
        return 0.5 * (tau * self.quad - n * np.log(tau) - np.linalg.slogdet(self.Q)[1])

    def backward(self, dout=1.0):
        phi, tau = self.phi, self.param["tau"][0]
        tr = np.sum(np.linalg.inv(self.Q) * self.W)
        self.grad["tau"] = dout * 0.5 * np.array([self.quad - len(phi) / tau])
        self.grad["rho"] = dout * 0.5 * np.array([tau * phi @ self.W @ phi - tr])
        return dout * tau * self.Q @ phi


def _car():
    A = np.zeros((7, 7))
    for i, j in [(0, 1), (0, 2), (1, 2), (2, 3), (3, 4), (3, 5), (4, 6), (5, 6), (1, 4)]:
        A[i, j] = A[j, i] = 1
    return CARPrior(A), np.random.default_rng(25).normal(size=7)


def _car_proof():
    m, phi = _car()
    m.forward(phi)
    pairs = [(m.backward(), phi), (m.grad["tau"], m.param["tau"]), (m.grad["rho"], m.param["rho"])]
    return [(c, num(lambda: m.forward(phi), a)) for c, a in pairs]


# season and trend ----
class SeasonalTrend:
    def __init__(self, period, rng):
        self.period = period
        self.params = {"season": rng.normal(size=period), "slope": rng.normal(size=1)}
        self.grads = {k: np.zeros_like(v) for k, v in self.params.items()}

    def forward(self, day):
        self.day = day
        return self.params["season"][day % self.period] + self.params["slope"] * day / self.period

    def backward(self, dout):
        np.add.at(self.grads["season"], self.day % self.period, dout)
        self.grads["slope"] += np.sum(dout * self.day) / self.period


ENTRIES = [
    Stranger(
        "t: GJR-GARCH quasi-likelihood",
        "(value, grad) with args, sensitivities in a recursion",
        lambda gradlab: gradlab.check_gradient(gjr_garch, True, _gjr()[0], args=_gjr()[1:]),
        lambda: of_both(gjr_garch, *_gjr()),
    ),
    Stranger(
        "t: two regimes, score by Fisher's identity",
        "estimator, loglik and score",
        lambda gradlab: (lambda m, p: gradlab.check_gradient(m.loglik, m.score, p))(*_regimes()),
        lambda: (lambda m, p: of_f(m.loglik, m.score, p))(*_regimes()),
    ),
    Stranger(
        "t: niveau local, filtre de Kalman",
        "f and grad over a generator of named tuples",
        lambda gradlab: gradlab.check_gradient(
            vraisemblance, gradient_vraisemblance, _niveau()[0], args=_niveau()[1:]
        ),
        lambda: of_f(vraisemblance, gradient_vraisemblance, *_niveau()),
    ),
    Stranger(
        "t: Euler equation moments",
        "moment conditions with Jacobian",
        lambda gradlab: (lambda m, p: gradlab.check_jacobian(m.moments, m.jacobian, p))(*_euler()),
        lambda: (lambda m, p: of_f(m.moments, m.jacobian, p))(*_euler()),
    ),
    Stranger(
        "t: spatial lag likelihood with Hessian",
        "f, df and d2f",
        lambda gradlab: (lambda m, p: gradlab.check_hessian(m.f, m.df, m.d2f, p))(*_lag()),
        _lag_proof,
    ),
    Stranger(
        "t: Hawkes likelihood: the compensator's exponent forgotten",
        "(value, grad) with args",
        lambda gradlab: gradlab.check_gradient(hawkes, True, _hawkes()[0], args=_hawkes()[1:]),
        lambda: of_both(hawkes, *_hawkes()),
        "wrong",
        "the compensator depends on the decay through its exponential too: that term is missing",
        ("missing-term", "single-element"),
        ("theta",),
        "    g[2] -= -a / b**2 * np.sum(1 - w)\n",
        "    g[2] -= -a / b**2 * np.sum(1 - w) + a / b * np.sum((T - times) * w)\n",
    ),
    Stranger(
        "t: ACD durations: the psi of the wrong time step",
        "layer with attributes, recursion",
        lambda gradlab: gradlab.check_layer(*_acd()),
        _acd_proof,
        "wrong",
        "beta multiplies psi of the step before, but the gradient takes that of the same step",
        ("shifted", "wrong-operand"),
        ("beta",),
        "            self.dbeta += carry * self.psi[t]\n",
        "            self.dbeta += carry * self.psi[t - 1]\n",
    ),
    Stranger(
        "t: robust VAR residuals: Kronecker product for the other vec",
        "residuals and Jacobian",
        lambda gradlab: (lambda m, b: gradlab.check_jacobian(m.fun, m.jac, b))(*_var()),
        lambda: (lambda m, b: of_f(m.fun, m.jac, b))(*_var()),
        "wrong",
        "the Kronecker product is that for coefficients stacked by columns; here it is by rows",
        ("axes-permuted", "wrong-order", "columns-exchanged"),
        ("b",),
        "        return -slope.reshape(-1, 1) * np.kron(np.eye(self.k), self.Z)\n",
        "        return -slope.reshape(-1, 1) * np.kron(self.Z, np.eye(self.k))\n",
    ),
    Stranger(
        "t: CAR prior of a map: rho with the sign of the precision forgotten",
        "layer with param and grad dicts",
        lambda gradlab: gradlab.check_layer(*_car()),
        _car_proof,
        "wrong",
        "rho enters the precision with a minus, which the gradient forgets",
        ("sign-flipped",),
        ("rho",),
        '        self.grad["rho"] = dout * 0.5 * np.array([tau * phi @ self.W @ phi - tr])\n',
        '        self.grad["rho"] = dout * 0.5 * np.array([tr - tau * phi @ self.W @ phi])\n',
    ),
    Stranger(
        "t: season and trend: gradients add up from call to call",
        "layer of integers, params and grads dicts",
        lambda gradlab: gradlab.check_layer(SeasonalTrend(4, np.random.default_rng(7)), np.arange(11)),
        lambda: [],
        "habit",
        "backward adds to the gradients of the call before; nothing sets them to zero",
        ("accumulates",),
        ("season", "slope"),
    ),
]
