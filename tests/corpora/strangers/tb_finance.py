"""Options, portfolios, curves, copulas."""

import numpy as np
from scipy.special import expit, ndtr, softmax  # noqa: F401  (expit is what the mended line takes)

from ._entry import Stranger
from ._help_tb import draw, of_pair, slope


def phi(z):
    return np.exp(-0.5 * z * z) / np.sqrt(2 * np.pi)


# ------------------------------------------------ Black-Scholes


class BlackScholes:
    """Prices a book of calls and puts. One flat rate for the whole book."""

    def __init__(self, is_call):
        self.sgn = np.where(is_call, 1.0, -1.0)

    def forward(self, S, K, rate, vol, tau):
        sq = np.sqrt(tau)
        d1 = (np.log(S / K) + (rate + vol**2 / 2) * tau) / (vol * sq)
        d2 = d1 - vol * sq
        df = np.exp(-rate * tau)
        s = self.sgn
        N1, N2 = ndtr(s * d1), ndtr(s * d2)
        self.greeks = {
            "S": s * N1,
            "K": -s * df * N2,
            "rate": s * K * tau * df * N2,
            "vol": S * phi(d1) * sq,
            "tau": S * phi(d1) * vol / (2 * sq) + s * rate * K * df * N2,
        }
        return s * (S * N1 - K * df * N2)

    def backward(self, dprice):
        grads = {name: dprice * greek for name, greek in self.greeks.items()}
        grads["rate"] = grads["rate"].sum()
        return grads


def book():
    rng = np.random.default_rng(11)
    m = BlackScholes(np.array([True, False, True, True, False]))
    u = rng.random((4, 5))
    return m, [1 + 0.3 * u[0], 1 + 0.3 * u[1], np.array(0.04), 0.2 + 0.3 * u[2], 0.5 + u[3]]


def prove_book():
    m, a = book()
    g = draw(5)
    m.forward(*a)
    d = m.backward(g)
    names = ["S", "K", "rate", "vol", "tau"]
    return [(d[n], slope(lambda: np.sum(g * m.forward(*a)), v)) for n, v in zip(names, a, strict=True)]


# ------------------------------------------------ Bachelier


def bachelier_fwd(F, strike, nvol, T=0.75):
    s = nvol * np.sqrt(T)
    d = (F - strike) / s
    price = (F - strike) * ndtr(d) + s * phi(d)
    return price, (d, T)


def bachelier_bwd(dprice, cache):
    d, T = cache
    pdf = 0.4 * np.exp(-d * d / 2)
    delta = dprice * ndtr(d)
    return delta, -delta, dprice * np.sqrt(T) * pdf


def rates():
    rng = np.random.default_rng(12)
    return [rng.normal(size=6), rng.normal(size=6), 0.5 + rng.random(6)]


# ------------------------------------------------ American put, Cox-Ross-Rubinstein


def crr_put(S, sigma, K=1.0, r=0.05, T=1.0, N=9):
    dt = T / N
    up = np.exp(sigma * np.sqrt(dt))
    p = (np.exp(r * dt) - 1 / up) / (up - 1 / up)
    disc = np.exp(-r * dt)
    expo = [lev - 2.0 * np.arange(lev + 1) for lev in range(N + 1)]
    stock = [S[:, None] * up[:, None] ** e for e in expo]
    values, early = [np.maximum(K - stock[N], 0)], [stock[N] < K]
    for lev in range(N - 1, -1, -1):
        V = values[0]
        hold = disc * (p[:, None] * V[:, :-1] + (1 - p)[:, None] * V[:, 1:])
        early.insert(0, K - stock[lev] > hold)
        values.insert(0, np.where(early[0], K - stock[lev], hold))
    cache = dict(stock=stock, values=values, early=early, expo=expo, up=up, p=p, disc=disc, dt=dt, r=r, S=S)
    return values[0][:, 0], cache


def crr_put_back(dprice, c):
    up, p, disc = c["up"], c["p"], c["disc"]
    dV = dprice[:, None]
    dlogS = np.zeros_like(c["S"])
    dlogup = np.zeros_like(up)
    dp = np.zeros_like(p)
    for lev in range(len(c["expo"])):
        ex = np.where(c["early"][lev], -dV * c["stock"][lev], 0)
        dlogS += ex.sum(1)
        dlogup += ex @ c["expo"][lev]
        if lev + 1 == len(c["expo"]):
            break
        dV = np.where(c["early"][lev], 0, dV) * disc
        nxt = c["values"][lev + 1]
        dp += (dV * (nxt[:, :-1] - nxt[:, 1:])).sum(1)
        wide = np.zeros_like(nxt)
        wide[:, :-1] += dV * p[:, None]
        wide[:, 1:] += dV * (1 - p)[:, None]
        dV = wide
    a, dn = np.exp(c["r"] * c["dt"]), 1 / up
    dlogup += dp * (dn * (up - dn) - (a - dn) * (up + dn)) / (up - dn) ** 2
    return dlogS / c["S"], dlogup * np.sqrt(c["dt"])


def puts():
    return [np.array([1.1, 1.188, 1.199, 1.105]), np.array([0.35, 0.22, 0.26, 0.31])]


# ------------------------------------------------ Hodrick-Prescott


def hp_loss(tau, y, lam):
    return np.sum((y - tau) ** 2) + lam * np.sum(np.diff(tau, 2) ** 2)


def hp_grad(tau, y, lam):
    fourth = np.convolve(tau, [1, -4, 6, -4, 1], mode="same")
    return 2 * (tau - y) + 2 * lam * fourth


def gdp():
    rng = np.random.default_rng(13)
    y = np.cumsum(rng.normal(size=24))
    return y + 0.3 * rng.normal(size=24), y, 6.25


# ------------------------------------------------ risk parity


class RiskParity:
    def __init__(self, cov):
        self.cov = cov

    def weights(self, z):
        return softmax(z)

    def __call__(self, z):
        w = self.weights(z)
        mv = self.cov @ w
        rc = w * mv / (w @ mv)
        return np.sum((rc - 1 / len(w)) ** 2)

    def der(self, z):
        w = self.weights(z)
        mv = self.cov @ w
        var = w @ mv
        rc = w * mv / var
        e = 2 * (rc - 1 / len(w))
        gw = e * mv / var + self.cov @ (e * w) / var - (e @ rc) * 2 * mv / var
        return w * (gw - w @ gw)


def parity():
    rng = np.random.default_rng(14)
    A = rng.normal(size=(9, 5))
    return RiskParity(A.T @ A / 9), rng.normal(size=5)


# ------------------------------------------------ CVaR


def cvar_objective(p, R, level, k):
    """Rockafellar-Uryasev, the hinge smoothed by softplus(k x) / k. p = weights and the VaR."""
    w, a = p[:-1], p[-1]
    x = -R @ w - a
    return a + np.mean(np.logaddexp(0, k * x) / k) / (1 - level)


def cvar_gradient(p, R, level, k):
    w, a = p[:-1], p[-1]
    x = -R @ w - a
    tail = (x > 0) / (1 - level) / len(x)
    return np.append(-R.T @ tail, 1 - tail.sum())


def scenarios():
    rng = np.random.default_rng(15)
    return np.array([0.3, 0.5, 0.2, 0.4]), rng.normal(size=(30, 3)), 0.8, 4.0


# ------------------------------------------------ Svensson curve


MATURITIES = np.array([0.25, 0.5, 1, 2, 3, 5, 7, 10, 20, 30])


def svensson(b):
    x, y = MATURITIES / b[4], MATURITIES / b[5]
    lx, ly = -np.expm1(-x) / x, -np.expm1(-y) / y
    return b[0] + b[1] * lx + b[2] * (lx - np.exp(-x)) + b[3] * (ly - np.exp(-y))


def svensson_jac(b):
    x, y = MATURITIES / b[4], MATURITIES / b[5]
    ex, ey = np.exp(-x), np.exp(-y)
    lx, ly = (1 - ex) / x, (1 - ey) / y
    J = np.ones((len(x), 6))
    J[:, 1], J[:, 2], J[:, 3] = lx, lx - ex, ly - ey
    J[:, 4] = -x / b[4] * (b[1] * (ex - lx) / x + b[2] * ((ex - lx) / x + ex))
    J[:, 5] = -y / b[5] * b[3] * ((ey - ly) / y + ey)
    return J


def curve():
    return np.array([4.0, -1.5, 0.8, 1.2, 1.7, 6.0])


def prove_curve():
    b = curve()
    J = svensson_jac(b)
    return [(J[i], slope(lambda i=i: svensson(b)[i], b)) for i in range(len(J))]


# ------------------------------------------------ Vasicek bonds


def vasicek_price(r0, kappa, theta, sigma, T=4.0):
    B = -np.expm1(-kappa * T) / kappa
    lnA = (theta - sigma**2 / (2 * kappa**2)) * (B - T) - sigma**2 * B**2 / (4 * kappa)
    P = np.exp(lnA - B * r0)
    return P, (P, B, r0, kappa, theta, sigma, T)


def vasicek_adjoint(Pbar, cache):
    P, B, r0, kappa, theta, sigma, T = cache
    g = Pbar * P
    s2 = sigma**2
    Bbar = theta - s2 / (2 * kappa**2) - s2 * B / (2 * kappa) - r0
    dB = (T * np.exp(-kappa * T) - B) / kappa
    kappabar = g * (Bbar * dB + s2 / kappa**3 * (B - T) + s2 * B**2 / (4 * kappa**2))
    thetabar = g * (B - T)
    sigmabar = -g * sigma * ((B - T) / kappa**2 + B**2 / (2 * kappa))
    return -g * B, thetabar, kappabar, sigmabar


def bonds():
    rng = np.random.default_rng(16)
    u = rng.random((4, 5))
    return [0.03 + 0.2 * u[0], 0.4 + u[1], 0.05 + 0.2 * u[2], 0.3 + 0.1 * u[3]]


# ------------------------------------------------ Clayton copula


class ClaytonLogDensity:
    """One theta for all pairs (u, v)."""

    def __init__(self, theta):
        self.theta = np.array([float(theta)])
        self.dtheta = None

    def forward(self, u, v):
        th = self.theta
        a, b = u**-th, v**-th
        s = a + b - 1
        self.saved = u, v, a, b, s
        return np.log1p(th) - (1 + th) * np.log(u * v) - (2 + 1 / th) * np.log(s)

    def backward(self, dout):
        u, v, a, b, s = self.saved
        th = self.theta
        k = (2 * th + 1) / s
        ds = -a * np.log(u) - b * np.log(v)
        self.dtheta = np.sum(
            dout * (1 / (1 + th) - np.log(u * v) + np.log(s) / th**2 - (2 + 1 / th) * ds / s), keepdims=True
        )
        return dout * (k * a - 1 - th) / u, dout * (k * b - 1 - th) / v


def uniforms():
    rng = np.random.default_rng(17)
    return ClaytonLogDensity(1.3), 0.1 + 0.8 * rng.random(8), 0.1 + 0.8 * rng.random(8)


def prove_clayton():
    m, u, v = uniforms()
    g = draw(8)
    m.forward(u, v)
    du, dv = m.backward(g)
    dth = m.dtheta
    value = lambda: np.sum(g * m.forward(u, v))  # noqa: E731
    return [(du, slope(value, u)), (dv, slope(value, v)), (dth, slope(value, m.theta))]


# ------------------------------------------------ minimum variance


class MinVariance:
    """Variance of the fully invested portfolio in the direction of w."""

    def __init__(self, returns):
        self.C = np.cov(returns, rowvar=False)

    def risk(self, w):
        return w @ self.C @ w / w.sum() ** 2

    def drisk(self, w):
        total = w.sum()
        w /= total
        Cw = self.C @ w
        return 2 * (Cw - w @ Cw) / total


def minvar():
    rng = np.random.default_rng(18)
    return MinVariance(rng.normal(size=(20, 4))), np.array([0.5, 1.2, 0.8, 0.4])


ENTRIES = [
    Stranger(
        "tb black-scholes book of calls and puts",
        "layer with dict of gradients",
        lambda gl: (lambda m, a: gl.check_layer(m, *a))(*book()),
        prove_book,
    ),
    Stranger(
        "tb bachelier call: 0.4 for the normal density at zero",
        "pair with cache",
        lambda gl: gl.check_cached_pair(bachelier_fwd, bachelier_bwd, rates()),
        lambda: of_pair(bachelier_fwd, bachelier_bwd, rates(), (0, 1, 2)),
        "wrong",
        "1 / sqrt(2 pi) is rounded to 0.4 in the vega",
        ("rounded-constants", "constant-factor"),
        ("nvol",),
        "    pdf = 0.4 * np.exp(-d * d / 2)\n",
        "    pdf = phi(d)\n",
    ),
    Stranger(
        "tb american put on a binomial tree",
        "pair with dict cache",
        lambda gl: gl.check_cached_pair(crr_put, crr_put_back, puts()),
        lambda: of_pair(crr_put, crr_put_back, puts(), (0, 1)),
    ),
    Stranger(
        "tb hodrick-prescott trend: stencil of the interior at both ends",
        "f and df with args",
        lambda gl: (lambda t, *a: gl.check_gradient(hp_loss, hp_grad, t, args=tuple(a)))(*gdp()),
        lambda: (lambda t, *a: [(hp_grad(t, *a), slope(lambda: hp_loss(t, *a), t))])(*gdp()),
        "wrong",
        "the fourth difference is taken with zeros beyond the ends",
        ("border", "masked-region"),
        ("hp_grad", "grad", "x"),
        '    fourth = np.convolve(tau, [1, -4, 6, -4, 1], mode="same")\n',
        "    fourth = np.convolve(np.diff(tau, 2), [1, -2, 1])\n",
    ),
    Stranger(
        "tb risk parity over softmax weights",
        "callable object with der",
        lambda gl: (lambda m, z: gl.check_gradient(m, m.der, z))(*parity()),
        lambda: (lambda m, z: [(m.der(z), slope(lambda: m(z), z))])(*parity()),
    ),
    Stranger(
        "tb smoothed cvar: step instead of the sigmoid",
        "f and df with args",
        lambda gl: (lambda p, *a: gl.check_gradient(cvar_objective, cvar_gradient, p, args=a))(*scenarios()),
        lambda: (lambda p, *a: [(cvar_gradient(p, *a), slope(lambda: cvar_objective(p, *a), p))])(
            *scenarios()
        ),
        "wrong",
        "the gradient is that of the hinge, while forward smooths it by a softplus",
        ("other-approximation",),
        ("cvar_gradient", "grad", "x"),
        "    tail = (x > 0) / (1 - level) / len(x)\n",
        "    tail = expit(k * x) / (1 - level) / len(x)\n",
    ),
    Stranger(
        "tb svensson yield curve",
        "f and jacobian",
        lambda gl: gl.check_jacobian(svensson, svensson_jac, curve()),
        prove_curve,
    ),
    Stranger(
        "tb vasicek bond price: gradients of kappa and theta exchanged",
        "pair with cache",
        lambda gl: gl.check_cached_pair(vasicek_price, vasicek_adjoint, bonds()),
        lambda: of_pair(vasicek_price, vasicek_adjoint, bonds(), (0, 1, 2, 3)),
        "wrong",
        "the gradients of kappa and theta are returned in each other's place",
        ("swapped-primals",),
        ("kappa", "theta"),
        "    return -g * B, thetabar, kappabar, sigmabar\n",
        "    return -g * B, kappabar, thetabar, sigmabar\n",
    ),
    Stranger(
        "tb clayton copula log density",
        "layer with a parameter attribute",
        lambda gl: (lambda m, u, v: gl.check_layer(m, u, v))(*uniforms()),
        prove_clayton,
    ),
    Stranger(
        "tb minimum variance: normalises the caller's weights in place",
        "object with risk and drisk",
        lambda gl: (lambda m, w: gl.check_gradient(m.risk, m.drisk, w))(*minvar()),
        lambda: [],
        "habit",
        "drisk divides its argument by its sum in place",
        ("mutates-argument",),
        ("drisk", "grad", "x"),
    ),
]
