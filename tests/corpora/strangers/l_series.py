"""Time series, filters and volatilities; two copulas at the end."""

import numpy as np

from ._entry import Stranger
from ._help_l import dots, fgrad, fjac


# ---- autoregressive conditional duration, exponential; adjoint of the recursion ----
def acd(par, x):
    w, a, b = np.exp(par)
    T = len(x)
    psi = np.empty(T)
    psi[0] = x.mean()
    for t in range(1, T):
        psi[t] = w + a * x[t - 1] + b * psi[t - 1]
    own = 1 / psi - x / psi**2
    g, carry = np.zeros(3), 0.0
    for t in range(T - 1, 0, -1):
        carry = own[t] + b * carry
        g += carry * np.array([1.0, x[t - 1], psi[t - 1]])
    return np.sum(np.log(psi) + x / psi), g * np.array([w, a, b])


def _acd():
    return np.log([0.2, 0.25, 0.5]), np.random.default_rng(1).exponential(1.2, 20)


# ---- GARCH(1,1) as a filter: returns in, variances out ----
class GarchFilter:
    def __init__(self, omega=0.1, alpha=0.2, beta=0.7):
        self.omega, self.alpha, self.beta = (np.array([v]) for v in (omega, alpha, beta))

    def forward(self, r):
        h = np.empty_like(r)
        h[0] = 1.0
        for t in range(1, len(r)):
            h[t : t + 1] = self.omega + self.alpha * r[t - 1] ** 2 + self.beta * h[t - 1]
        self.r, self.h = r, h
        return h

    def backward(self, dh):
        lam = np.array(dh)
        for t in range(len(lam) - 2, -1, -1):
            lam[t : t + 1] += self.beta * lam[t + 1]
        self.d_omega = lam[1:].sum(keepdims=True)
        self.d_alpha = np.array([lam[1:] @ self.r[:-1] ** 2])
        self.d_beta = np.array([lam[1:] @ self.h[:-1]])
        dr = np.zeros_like(self.r)
        dr[:-1] = 2 * self.alpha * self.r[:-1] * lam[:-1]
        return dr


def _prove_garch():
    f, rng = GarchFilter(), np.random.default_rng(5)
    r, g = rng.normal(size=9), rng.normal(size=9)
    f.forward(r)
    got = [f.backward(g), f.d_omega, f.d_alpha, f.d_beta]
    return list(zip(got, dots(lambda: f.forward(r), [r, f.omega, f.alpha, f.beta], g)))


# ---- local level model: Kalman filter and its reverse ----
class LocalLevel:
    """__call__(theta) filters and remembers; jac(theta) walks back over that (or filters anew)"""

    def __init__(self, y):
        self.y, self.last = y, None

    def __call__(self, theta):
        Q, R = np.exp(theta)
        a, P, nll, tape = 0.0, 10.0, 0.0, []
        for obs in self.y:
            v, F = obs - a, P + R
            tape.append((v, F, P))
            nll += 0.5 * (np.log(F) + v * v / F)
            a, P = a + P * v / F, P - P * P / F + Q
        self.last, self.tape = np.array(theta), tape
        return nll

    def jac(self, theta):
        if self.last is None or not np.array_equal(self.last, theta):
            self(theta)
        ga = gP = gQ = gR = 0.0
        for v, F, P in reversed(self.tape):
            gQ += gP
            gF = gP * (P / F) ** 2 - ga * P * v / F**2 + 0.5 * (1 / F - (v / F) ** 2)
            gv = ga * P / F + v / F
            gP = gP * (1 - 2 * P / F) + ga * v / F + gF
            ga -= gv
            gR += gF
        return np.array([gQ, gR]) * np.exp(theta)


def _level():
    return LocalLevel(np.cumsum(np.random.default_rng(30).normal(size=15))), np.array([-0.3, 0.2])


# ---- Holt: doppelte exponentielle Glaettung; out[t] ist die Vorhersage fuer t + 1 ----
class HoltGlaettung:
    def __init__(self, alpha=0.4, beta=0.3):
        self.params = {"alpha": np.array(alpha), "beta": np.array(beta)}
        self.grads = {}

    def forward(self, y):
        al, be = self.params["alpha"], self.params["beta"]
        niveau, trend = [y[0]], [0.0]
        for t in range(1, len(y)):
            n = al * y[t] + (1 - al) * (niveau[-1] + trend[-1])
            trend.append(be * (n - niveau[-1]) + (1 - be) * trend[-1])
            niveau.append(n)
        self.y, self.niveau, self.trend = y, np.array(niveau), np.array(trend)
        return self.niveau + self.trend

    def backward(self, dout):
        al, be = self.params["alpha"], self.params["beta"]
        dy = np.zeros_like(self.y)
        dal = dbe = 0.0
        dn = db = dout[-1]
        for t in range(len(dy) - 1, 0, -1):
            n0, b0 = self.niveau[t - 1], self.trend[t - 1]
            dn = dn + be * db
            dal += dn * (self.y[t] - n0 - b0)
            dbe += db * (self.niveau[t] - n0 - b0)
            dy[t] = al * dn
            vorhersage = (1 - al) * dn + dout[t]
            dn, db = vorhersage - be * db, vorhersage + (1 - be) * db
        dy[0] = dn
        self.grads["alpha"], self.grads["beta"] = dal, dbe
        return dy


def _prove_holt():
    h, rng = HoltGlaettung(), np.random.default_rng(13)
    y, g = rng.normal(size=8) + 3, rng.normal(size=8)
    h.forward(y)
    got = [h.backward(g), h.grads["alpha"], h.grads["beta"]]
    return list(zip(got, dots(lambda: h.forward(y), [y, h.params["alpha"], h.params["beta"]], g)))


# ---- stationary AR coefficients from unconstrained numbers (Durbin-Levinson) ----
def to_stationary(z):
    """-> coefficients and their Jacobian"""
    phi, J = np.empty(0), np.empty((0, len(z)))
    for k, r in enumerate(np.tanh(z)):
        row = np.zeros((1, len(z)))
        row[0, k] = 1 - r * r
        J = np.concatenate([J - r * J[::-1] - phi[::-1, None] * row, row])
        phi = np.append(phi - r * phi[::-1], r)
    return phi, J


Z5 = np.array([0.4, -0.7, 0.2, 1.1, -0.3])


# ---- MA(2): conditional residuals for scipy.optimize.least_squares ----
def ma_resid(p, y):
    mu, t1, t2 = p
    e = np.zeros(len(y) + 2)
    for i, v in enumerate(y):
        e[i + 2] = v - mu - t1 * e[i + 1] - t2 * e[i]
    return e[2:]


def ma_jac(p, y):
    _, t1, t2 = p
    e = np.concatenate([[0, 0], ma_resid(p, y)])
    J = np.zeros((len(y) + 2, 3))
    for i in range(2, len(e)):
        own = np.array([1.0, -e[i - 1], -e[i - 2]])
        J[i] = own - t1 * J[i - 1] - t2 * J[i - 2]
    return J[2:]


def _ma():
    return np.array([0.5, 0.4, -0.3]), np.random.default_rng(3).normal(size=12) + 0.5


# ---- Hawkes process with an exponential kernel on [0, T] ----
class Hawkes:
    def __init__(self, times, T):
        self.t, self.T = times, T

    def nll(self, par):
        mu, a, b = np.exp(par)
        A, ll = 0.0, np.log(mu)
        for gap in np.diff(self.t):
            A = np.exp(-b * gap) * (1 + A)
            ll += np.log(mu + a * b * A)
        return mu * self.T + a * np.sum(-np.expm1(-b * (self.T - self.t))) - ll

    def nll_prime(self, par):
        mu, a, b = np.exp(par)
        left = self.T - self.t
        dmu, da, db = self.T - 1 / mu, np.sum(-np.expm1(-b * left)), a * np.sum(left * np.exp(-b * left))
        A = dA = 0.0
        for gap in np.diff(self.t):
            decay = np.exp(-b * gap)
            A, dA = decay * (1 + A), decay * (dA - gap * (1 + A))
            rate = mu + a * b * A
            dmu -= 1 / rate
            da -= b * A / rate
            db -= a * (A + b * dA) / rate
        return np.array([dmu * mu, da * a, db * b])


def _hawkes():
    return Hawkes(np.cumsum(np.random.default_rng(2).exponential(0.6, 14)), 12.0), np.log([0.8, 0.5, 1.4])


# ---- Hodrick-Prescott ----
class HPFilterLoss:
    def __init__(self, series, lam=3.0):
        self.series, self.lam = series, lam

    def forward(self, trend):
        self.miss = trend - self.series
        self.bend = np.diff(trend, 2)
        return 0.5 * np.sum(self.miss**2) + 0.5 * self.lam * np.sum(self.bend**2)

    def backward(self):
        padded = np.pad(self.bend, 2, mode="edge")
        return self.miss + self.lam * np.diff(padded, 2)


def _hp():
    r = np.random.default_rng(23)
    return HPFilterLoss(np.cumsum(r.normal(size=14))), r.normal(size=14)


def _prove_loss(loss, x):
    loss.forward(x)
    return [(loss.backward(), *dots(lambda: loss.forward(x), [x]))]


# ---- AR(p) one-step predictor ----
class ARPredictor:
    def __init__(self, order, seed=0):
        self.coef = np.random.default_rng(seed).normal(size=order) * 0.4
        self.bias = np.zeros(1)
        self.coef_grad, self.bias_grad = np.zeros(order), np.zeros(1)

    def forward(self, windows):
        self.windows = windows
        return windows @ self.coef + self.bias

    def backward(self, dout):
        self.coef_grad += dout @ self.windows
        self.bias_grad += dout.sum()
        return np.outer(dout, self.coef)


# ---- Clayton copula ----
def clayton_log_density(u, v, log_theta):
    th = np.exp(log_theta)
    U, V = u**-th, v**-th
    S = U + V - 1
    out = np.log1p(th) - (1 + th) * np.log(u * v) - (2 + 1 / th) * np.log(S)
    return out, (u, v, th, U, V, S)


def clayton_backward(cache, dout):
    u, v, th, U, V, S = cache
    k = 2 * th + 1
    dth = 1 / (1 + th) - np.log(u * v) + np.log(S) / th**2
    dth = dth + (2 + 1 / th) * (U * np.log(u) + V * np.log(v)) / S
    return {
        "u": dout * (k * U / S - 1 - th) / u,
        "v": dout * (k * V / S - 1 - th) / v,
        "log_theta": np.sum(dout * dth * th, keepdims=True),
    }


def _clayton():
    r = np.random.default_rng(31)
    return r.uniform(0.15, 0.9, 7), r.uniform(0.15, 0.9, 7), np.array([0.4])


def _prove_clayton():
    args, g = _clayton(), np.random.default_rng(1).normal(size=7)
    d = clayton_backward(clayton_log_density(*args)[1], g)
    true = dots(lambda: clayton_log_density(*args)[0], args, g, 2e-4)
    return list(zip([d["u"], d["v"], d["log_theta"]], true))


# ---- Frank copula ----
class FrankLogDensity:
    def __init__(self, theta=4.0):
        self.theta = theta

    def forward(self, u, v):
        th = self.theta
        self.eu, self.ev = np.exp(-th * u), np.exp(-th * v)
        self.den = -np.expm1(-th) - (1 - self.eu) * (1 - self.ev)
        return np.log(-th * np.expm1(-th)) - th * (u + v) - 2 * np.log(self.den)

    def backward(self, g):
        th = self.theta
        gu = g * th * (2 * self.eu * (1 - self.ev) / self.den - 1)
        gv = g * th * (2 * self.ev * (1 - self.eu) / self.den - 1)
        return gv, gu


def _frank():
    r = np.random.default_rng(32)
    return FrankLogDensity(), r.uniform(0.1, 0.9, (3, 4)), r.uniform(0.1, 0.9, (3, 4))


def _prove_frank():
    m, u, v = _frank()
    g = np.random.default_rng(1).normal(size=(3, 4))
    m.forward(u, v)
    return list(zip(m.backward(g), dots(lambda: m.forward(u, v), [u, v], g)))


ENTRIES = [
    Stranger(
        "conditional durations by the adjoint recursion",
        "value and grad with args",
        lambda gradlab: gradlab.check_gradient(acd, True, _acd()[0], args=_acd()[1:]),
        lambda: [(acd(*_acd())[1], fgrad(lambda *a: acd(*a)[0], *_acd()))],
    ),
    Stranger(
        "local level model, Kalman filter walked back",
        "callable object with jac that shares its tape",
        lambda gradlab: (lambda m, th: gradlab.check_gradient(m, m.jac, th))(*_level()),
        lambda: (lambda m, th: [(m.jac(th), fgrad(m, th))])(*_level()),
    ),
    Stranger(
        "stationary AR coefficients by Durbin-Levinson",
        "value and Jacobian in one",
        lambda gradlab: gradlab.check_jacobian(to_stationary, True, Z5.copy()),
        lambda: [(to_stationary(Z5)[1], fjac(lambda z: to_stationary(z)[0], Z5))],
    ),
    Stranger(
        "Hawkes process by recursion",
        "methods nll and nll_prime",
        lambda gradlab: (lambda m, p: gradlab.check_gradient(m.nll, m.nll_prime, p))(*_hawkes()),
        lambda: (lambda m, p: [(m.nll_prime(p), fgrad(m.nll, p))])(*_hawkes()),
    ),
    Stranger(
        "Clayton copula log density",
        "pair with cache first, gradients in a dict",
        lambda gradlab: gradlab.check_cached_pair(clayton_log_density, clayton_backward, _clayton()),
        _prove_clayton,
    ),
    Stranger(
        "GARCH filter: return meets the adjoint of its own step",
        "layer with attributes d_*",
        lambda gradlab: gradlab.check_layer(GarchFilter(), np.random.default_rng(5).normal(size=9)),
        _prove_garch,
        "wrong",
        "r[t] acts on h[t + 1], but its gradient takes lam[t] instead of lam[t + 1]",
        ("shifted", "wrong-cotangent"),
        ("r",),
        "        dr[:-1] = 2 * self.alpha * self.r[:-1] * lam[:-1]\n",
        "        dr[:-1] = 2 * self.alpha * self.r[:-1] * lam[1:]\n",
    ),
    Stranger(
        "Holt smoothing: cotangent of the next forecast",
        "layer with dicts, scalar parameters",
        lambda gradlab: gradlab.check_layer(HoltGlaettung(), np.random.default_rng(13).normal(size=8) + 3),
        _prove_holt,
        "wrong",
        "the forecast that enters step t is out[t - 1], the loop adds dout[t]",
        ("wrong-cotangent", "shifted"),
        ("y", "alpha", "beta"),
        "            vorhersage = (1 - al) * dn + dout[t]\n",
        "            vorhersage = (1 - al) * dn + dout[t - 1]\n",
    ),
    Stranger(
        "MA(2) residuals: sign of the mean's column",
        "residuals and jac with args",
        lambda gradlab: gradlab.check_jacobian(ma_resid, ma_jac, _ma()[0], args=_ma()[1:]),
        lambda: [(ma_jac(*_ma()), fjac(ma_resid, *_ma()))],
        "wrong",
        "the residual has -mu, so its own slope by mu is -1 and not 1",
        ("sign-flipped", "masked-region"),
        ("jac",),
        "        own = np.array([1.0, -e[i - 1], -e[i - 2]])\n",
        "        own = np.array([-1.0, -e[i - 1], -e[i - 2]])\n",
    ),
    Stranger(
        "Hodrick-Prescott loss: second differences continued beyond the ends",
        "loss class with backward()",
        lambda gradlab: gradlab.check_layer(*_hp()),
        lambda: _prove_loss(*_hp()),
        "wrong",
        "the transpose of the second difference pads with zeros, here the edge is repeated",
        ("border",),
        ("trend",),
        '        padded = np.pad(self.bend, 2, mode="edge")\n',
        "        padded = np.pad(self.bend, 2)\n",
    ),
    Stranger(
        "Frank copula: gradients of u and v exchanged",
        "layer with two inputs",
        lambda gradlab: gradlab.check_layer(*_frank()),
        _prove_frank,
        "wrong",
        "backward returns the gradients in the wrong order",
        ("swapped-primals",),
        ("u", "v"),
        "        return gv, gu\n",
        "        return gu, gv\n",
    ),
    Stranger(
        "AR predictor: gradients of parameters pile up",
        "layer with attributes *_grad",
        lambda gradlab: gradlab.check_layer(ARPredictor(4), np.random.default_rng(6).normal(size=(7, 4))),
        lambda: [],
        "habit",
        "coef_grad and bias_grad are added to those of the call before, and nothing clears them",
        ("accumulates",),
        ("coef", "bias"),
    ),
]
