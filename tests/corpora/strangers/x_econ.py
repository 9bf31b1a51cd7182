"""Econometrics and time series."""

import numpy as np
from scipy.sparse.linalg import LinearOperator
from scipy.special import expit, log_ndtr

from ._entry import Stranger
from ._help_x import against, matrix

# GARCH(1,1), h_0 = sample variance


def garch_variance(theta, r):
    omega, alpha, beta = theta
    h = np.empty(len(r))
    h[0] = r.var()
    for t in range(1, len(r)):
        h[t] = omega + alpha * r[t - 1] ** 2 + beta * h[t - 1]
    return h


def garch_nll(theta, r):
    h = garch_variance(theta, r)
    return 0.5 * np.sum(np.log(h) + r**2 / h)


def garch_grad(theta, r):
    h = garch_variance(theta, r)
    dh = np.zeros((len(r), 3))
    for t in range(1, len(r)):
        dh[t] = (1.0, r[t - 1] ** 2, h[t])
        dh[t] += theta[2] * dh[t - 1]
    return 0.5 * (1 / h - r**2 / h**2) @ dh


def _garch():
    rng = np.random.default_rng(6)
    return np.array([0.15, 0.2, 0.6]), rng.standard_t(5, size=50)


def _prove_garch():
    theta, r = _garch()
    return against(lambda: garch_nll(theta, r), (garch_grad(theta, r), theta), h=2e-4)


class ArmaCSS:
    """Conditional sum of squares of an ARMA(p, q); value and derivative share one pass, as in MemoizeJac.

    theta = (c, phi_1..phi_p, th_1..th_q);  e_t = y_t - c - phi.y_{t-i} - th.e_{t-j}
    """

    def __init__(self, y, p, q):
        self.y, self.p, self.q = y, p, q
        self._at = None

    def _sweep(self, theta):
        if self._at is not None and np.array_equal(self._at, theta):
            return
        self._at = np.array(theta, copy=True)
        y, p, q = self.y, self.p, self.q
        c, phi, th = theta[0], theta[1 : 1 + p], theta[1 + p :]
        T = len(y)
        e = np.zeros(T)
        for t in range(p, T):
            e[t] = y[t] - c - phi @ y[t - p : t][::-1]
            for j in range(1, min(q, t) + 1):
                e[t] -= th[j - 1] * e[t - j]
        self._value = 0.5 * e @ e
        bar = e.copy()
        bar[:p] = 0
        g = np.zeros_like(theta)
        for t in range(T - 1, p - 1, -1):
            g[0] -= bar[t]
            g[1 : 1 + p] -= bar[t] * y[t - p : t][::-1]
            for j in range(1, min(q, t) + 1):
                g[p + j] -= bar[t] * e[t - j]
                if t - j >= p:
                    bar[t - j] -= th[j - 1] * bar[t]
        self._grad = g

    def __call__(self, theta):
        self._sweep(theta)
        return self._value

    def derivative(self, theta):
        self._sweep(theta)
        return self._grad.copy()


def _arma():
    rng = np.random.default_rng(9)
    return ArmaCSS(np.cumsum(rng.normal(size=30)) * 0.3, 2, 1), np.array([0.1, 0.5, -0.2, 0.4])


def _prove_arma():
    css, theta = _arma()
    return against(lambda: css(theta), (css.derivative(theta), theta))


class MixedLogit:
    """Simulated likelihood; taste ~ N(mean, exp(log_sd)), fixed draws. X is (people, options, attributes)."""

    def __init__(self, attributes, draws=12, seed=0):
        self.z = np.random.default_rng(seed).normal(size=(draws, attributes))
        self.params = {"mean": np.linspace(-0.5, 0.5, attributes), "log_sd": np.full(attributes, -0.7)}

    def simulate(self, X, choice):
        tastes = self.params["mean"] + np.exp(self.params["log_sd"]) * self.z
        V = np.einsum("njk,rk->rnj", X, tastes)
        P = np.exp(V - V.max(axis=2, keepdims=True))
        P /= P.sum(axis=2, keepdims=True)
        return P, P[:, np.arange(len(choice)), choice]

    def loss(self, X, choice):
        return -np.mean(np.log(self.simulate(X, choice)[1].mean(axis=0)))

    def gradient(self, X, choice):
        P, chosen = self.simulate(X, choice)
        posterior = chosen / chosen.sum(axis=0)
        taken = X[np.arange(len(choice)), choice]
        gap = taken - np.einsum("rnj,njk->rnk", P, X)
        by_draw = -np.einsum("rn,rnk->rk", posterior, gap) / len(choice)
        sd = np.exp(self.params["log_sd"])
        return {"mean": by_draw.sum(axis=0), "log_sd": (by_draw * self.z).sum(axis=0) * sd}


def _mixed():
    rng = np.random.default_rng(2)
    return rng.normal(size=(8, 3, 4)), np.array([0, 2, 1, 1, 0, 2, 2, 0])


def _prove_mixed():
    net, (X, c) = MixedLogit(4), _mixed()
    g = net.gradient(X, c)
    return against(lambda: net.loss(X, c), *((g[k], net.params[k]) for k in g))


# Mullahy's IV Poisson: E[z (y exp(-x'b) - 1)] = 0


def iv_moments(b, y, X, Z):
    return Z.T @ (y * np.exp(-X @ b) - 1) / len(y)


def iv_jac(b, y, X, Z):
    u = y * np.exp(-X @ b) / len(y)
    return LinearOperator(
        (Z.shape[1], X.shape[1]),
        dtype=float,
        matvec=lambda v: -Z.T @ (u * (X @ np.ravel(v))),
        rmatvec=lambda w: -X.T @ (u * (Z @ np.ravel(w))),
    )


def _iv():
    rng = np.random.default_rng(12)
    Z = rng.normal(size=(25, 5))
    X = Z[:, :3] + 0.5 * rng.normal(size=(25, 3))
    return 0.3 * rng.normal(size=3), rng.poisson(2.0, size=25), X, Z


def _prove_iv():
    b, *rest = _iv()
    J = iv_jac(b, *rest)
    true = matrix(lambda: iv_moments(b, *rest), b)
    return [(J @ np.eye(3), true), (J.rmatmat(np.eye(5)).T, true)]


def make_frontier(X, y):
    """Stochastic production frontier, v normal, u half normal: y = X b + v - u."""

    def forward(b, log_su, log_sv):
        su, sv = np.exp(log_su), np.exp(log_sv)
        s, lam = np.hypot(su, sv), su / sv
        e = y - X @ b
        ll = np.log(2) - np.log(s) - 0.5 * np.log(2 * np.pi) - 0.5 * (e / s) ** 2 + log_ndtr(-e * lam / s)
        return -ll.sum(), (su, sv, s, lam, e)

    def backward(cache):
        su, sv, s, lam, e = cache
        q = -e * lam / s
        mills = np.exp(-0.5 * q**2 - log_ndtr(q)) / np.sqrt(2 * np.pi)
        by_e = -e / s**2 - mills * lam / s
        by_s = np.sum(-1 / s + e**2 / s**3 + mills * e * lam / s**2)
        by_lam = np.sum(-mills * e / s)
        return X.T @ by_e, -(by_s * su**2 / s + by_lam * lam), -(by_s * sv**2 / s - by_lam * lam)

    return forward, backward


def _frontier():
    rng = np.random.default_rng(15)
    X = np.c_[np.ones(20), rng.uniform(size=(20, 2))]
    y = X @ [1, 0.6, 0.3] + 0.2 * rng.normal(size=20) - np.abs(0.4 * rng.normal(size=20))
    return make_frontier(X, y), (np.array([0.9, 0.5, 0.4]), np.array(-0.9), np.array(-1.4))


def _prove_frontier():
    (f, b), primals = _frontier()
    return against(lambda: f(*primals)[0], *zip(b(f(*primals)[1]), primals))


# CES-Produktionsfunktion, theta = (A, delta, rho); fuer least_squares


def ces_residuen(theta, K, L, Y):
    A, delta, rho = theta
    return Y - A * (delta * K**-rho + (1 - delta) * L**-rho) ** (-1 / rho)


def ces_jacobi(theta, K, L, Y):
    A, delta, rho = theta
    S = delta * K**-rho + (1 - delta) * L**-rho
    dS = -delta * np.log(K) * K**-rho - (1 - delta) * np.log(L) * L**-rho
    dA = S ** (-1 / rho)
    dDelta = -A / rho * S ** (-1 / rho - 1) * (K**-rho - L**-rho)
    dRho = A * dA * (np.log(S) / rho**2 - dS / (rho * S))
    return -np.stack([dA, dRho, dDelta], axis=1)


def _ces():
    rng = np.random.default_rng(16)
    K, L, Y = rng.uniform(1, 5, size=(3, 9))
    return np.array([1.3, 0.35, 0.8]), K, L, Y


def _prove_ces():
    th, *rest = _ces()
    return [(ces_jacobi(th, *rest), matrix(lambda: ces_residuen(th, *rest), th))]


# Hodrick-Prescott


def hp_objective(trend, y, lamb=4.0):
    return np.sum((y - trend) ** 2) + lamb * np.sum(np.diff(trend, 2) ** 2)


def hp_gradient(trend, y, lamb=4.0):
    bend = np.convolve(trend, [1, -4, 6, -4, 1], mode="same")
    return 2 * (trend - y) + 2 * lamb * bend


def _hp():
    rng = np.random.default_rng(17)
    y = 3 + np.cumsum(rng.normal(size=16))
    return y + 0.3 * rng.normal(size=16), y


def _prove_hp():
    t, y = _hp()
    return against(lambda: hp_objective(t, y), (hp_gradient(t, y), t))


class ScoreCard:
    """Default probability; column 0 of X is 1, and the intercept is not shrunk."""

    def __init__(self, n_features, ridge=0.3):
        self.w = np.r_[-1.2, np.linspace(0.5, -0.5, n_features - 1)]
        self.dw = np.zeros_like(self.w)
        self.ridge = ridge

    def forward(self, X, defaulted):
        self.X, self.y = X, defaulted
        z = X @ self.w
        self.p = expit(z)
        return np.mean(np.logaddexp(0, z) - self.y * z) + 0.5 * self.ridge * np.sum(self.w[1:] ** 2)

    def backward(self):
        resid = (self.p - self.y) / len(self.y)
        self.dw[:] = self.X.T @ resid
        self.dw += self.ridge * self.w
        return np.outer(resid, self.w)


def _card():
    X = np.random.default_rng(18).normal(size=(10, 4))
    X[:, 0] = 1
    return X, np.array([0, 1, 0, 0, 1, 0, 0, 0, 1, 0])


def _prove_card():
    net, (X, y) = ScoreCard(4), _card()
    net.forward(X, y)
    return against(lambda: net.forward(X, y), (net.backward(), X), (net.dw, net.w))


# local level model: y_t = a_t + eps, a_{t+1} = a_t + eta; theta = log variances (eps, eta)


def innovations(theta, y):
    """Kalman filter with sensitivities: yields v_t, F_t and their derivatives by theta."""
    s_eps, s_eta = np.exp(theta)
    a, P = y[0], 1.0 + s_eta
    da, dP = np.zeros(2), np.array([0, s_eta])
    for obs in y[1:]:
        v, dv = obs - a, -da
        F, dF = P + s_eps, dP + np.array([s_eps, 0])
        yield v, F, dv, dF
        K = P / F
        dK = dP / F - P * dF / F**2
        a, da = a + K * v, da + dK * v + K * dv
        P, dP = P * (1 - K) + s_eta, dP * (1 - K) - P * dK + np.array([0, s_eta])


def level_nll(theta, y):
    return sum(0.5 * np.log(F) + 0.5 * v * v / F for v, F, _, _ in innovations(theta, y))


def level_score(theta, y):
    return sum(0.5 * dF / F + v * dv / F - 0.5 * v * v * dF / F**2 for v, F, dv, dF in innovations(theta, y))


def _level():
    rng = np.random.default_rng(19)
    return np.array([-0.2, -1.0]), np.cumsum(rng.normal(size=20)) + rng.normal(size=20)


def _prove_level():
    theta, y = _level()
    return against(lambda: level_nll(theta, y), (level_score(theta, y), theta))


class HoltSmoothing:
    """s_t = a x_t + (1 - a) s_{t-1} along axis 0, a = sigmoid(logit), one for each series."""

    def __init__(self, series):
        self.logit, self.dlogit = np.linspace(-1, 1, series), None

    def forward(self, x):
        a = expit(self.logit)
        s = np.empty_like(x)
        s[0] = x[0]
        for t in range(1, len(x)):
            s[t] = a * x[t] + (1 - a) * s[t - 1]
        self.x, self.s = x, s
        return s.copy()

    def backward(self, grad):
        a = expit(self.logit)
        gs = grad
        dx, da = np.empty_like(self.x), 0
        for t in range(len(gs) - 1, 0, -1):
            dx[t] = a * gs[t]
            da = da + gs[t] * (self.x[t] - self.s[t - 1])
            gs[t - 1] += (1 - a) * gs[t]
        dx[0] = gs[0]
        self.dlogit = da * a * (1 - a)
        return dx


ENTRIES = [
    Stranger(
        "GARCH(1,1): variance of today for that of yesterday",
        "f and grad with args",
        lambda gradlab: gradlab.check_gradient(garch_nll, garch_grad, _garch()[0], args=_garch()[1:]),
        _prove_garch,
        "wrong",
        "the recursion of dh/dbeta takes h[t] where h[t-1] belongs",
        ("wrong-operand", "shifted", "single-element"),
        ("theta",),
        "        dh[t] = (1.0, r[t - 1] ** 2, h[t])\n",
        "        dh[t] = (1.0, r[t - 1] ** 2, h[t - 1])\n",
    ),
    Stranger(
        "ARMA by conditional sum of squares, adjoint",
        "callable object with a memo, and its derivative",
        lambda gradlab: (lambda css, x: gradlab.check_gradient(css, css.derivative, x))(*_arma()),
        _prove_arma,
    ),
    Stranger(
        "mixed logit, simulated likelihood",
        "net with loss(X, t) and gradient(X, t), no gradient of X",
        lambda gradlab: gradlab.check_layer(MixedLogit(4), *_mixed()),
        _prove_mixed,
    ),
    Stranger(
        "moments of an IV Poisson",
        "moments and a LinearOperator as Jacobian",
        lambda gradlab: gradlab.check_jacobian(iv_moments, iv_jac, _iv()[0], args=_iv()[1:]),
        _prove_iv,
    ),
    Stranger(
        "stochastic frontier",
        "closures over the data, backward(cache) of a loss, scalar parameters",
        lambda gradlab: (lambda pair, x: gradlab.check_cached_pair(*pair, x))(*_frontier()),
        _prove_frontier,
    ),
    Stranger(
        "CES production function: columns of delta and rho exchanged",
        "residuals and Jacobian",
        lambda gradlab: gradlab.check_jacobian(ces_residuen, ces_jacobi, _ces()[0], args=_ces()[1:]),
        _prove_ces,
        "wrong",
        "the columns are in the order A, rho, delta, but theta is (A, delta, rho)",
        ("columns-exchanged",),
        ("theta",),
        "np.stack([dA, dRho, dDelta], axis=1)",
        "np.stack([dA, dDelta, dRho], axis=1)",
    ),
    Stranger(
        "Hodrick-Prescott filter: both ends",
        "f and grad with args",
        lambda gradlab: gradlab.check_gradient(hp_objective, hp_gradient, _hp()[0], args=_hp()[1:]),
        _prove_hp,
        "wrong",
        "the fourth difference with zeros around the trend is right in the middle only",
        ("border",),
        ("trend",),
        'np.convolve(trend, [1, -4, 6, -4, 1], mode="same")',
        "np.convolve(np.diff(trend, 2), [1, -2, 1])",
    ),
    Stranger(
        "score card: ridge on the intercept",
        "loss layer, attributes w and dw",
        lambda gradlab: gradlab.check_layer(ScoreCard(4), *_card()),
        _prove_card,
        "wrong",
        "the ridge's gradient has the intercept in it, which the penalty leaves out",
        ("single-element", "additive-bias"),
        ("w",),
        "        self.dw += self.ridge * self.w\n",
        "        self.dw[1:] += self.ridge * self.w[1:]\n",
    ),
    Stranger(
        "local level model, Kalman filter with sensitivities",
        "f and grad over a generator",
        lambda gradlab: gradlab.check_gradient(level_nll, level_score, _level()[0], args=_level()[1:]),
        _prove_level,
    ),
    Stranger(
        "exponential smoothing: adds to the cotangent it was given",
        "layer, attributes logit and dlogit",
        lambda gradlab: gradlab.check_layer(HoltSmoothing(3), np.random.default_rng(1).normal(size=(7, 3))),
        lambda: [],
        "habit",
        "the sweep back through time adds into the caller's grad",
        ("mutates-argument",),
        (),
        "        gs = grad\n",
        "        gs = grad.copy()\n",
    ),
]
