"""Options, bonds, portfolios; and epidemics."""

import numpy as np
from scipy.special import ndtr

from ._entry import Stranger
from ._help_m import pair, pairs, scalar, slope


# --- Black-Scholes call ----------
def bs_call(S, K, T, sigma, r=0.02):
    vol = sigma * np.sqrt(T)
    d1 = (np.log(S / K) + r * T) / vol + vol / 2
    d2 = d1 - vol
    disc = np.exp(-r * T)
    price = S * ndtr(d1) - K * disc * ndtr(d2)
    return price, (S, K, T, sigma, r, d1, d2, disc)


def bs_greeks(g, cache):
    S, K, T, sigma, r, d1, d2, disc = cache
    pdf = np.exp(-0.5 * d1**2) / np.sqrt(2 * np.pi)
    delta = ndtr(d1)
    dual_delta = -disc * ndtr(d2)
    theta = S * pdf * sigma / (2 * np.sqrt(T)) + r * K * disc * ndtr(d2)
    vega = S * pdf * np.sqrt(T) * sigma
    return g * delta, g * dual_delta, g * theta, g * vega


def quotes():
    return (
        np.array([100.0, 98.0, 103.0, 95.0]),
        np.array([95.0, 105.0, 100.0, 90.0]),
        np.array([0.5, 1.0, 0.25, 2.0]),
        np.array([0.2, 0.35, 0.15, 0.28]),
    )


# --- epidemia ----------
def simular_sir(beta, inicio, gamma=0.25, dt=0.5):
    """beta: contagio de cada paso; inicio: (S0, I0). Devuelve la curva de infectados."""
    s, i = inicio
    S, I = [s], [i]
    for b in beta:
        nuevos, altas = dt * b * s * i, dt * gamma * i
        s, i = s - nuevos, i + nuevos - altas
        S.append(s)
        I.append(i)
    return np.array(I[1:]), (beta, gamma, dt, S, I)


def simular_sir_atras(gI, cache):
    beta, gamma, dt, S, I = cache
    gbeta = np.zeros_like(beta)
    gs = gi = 0.0
    for t in reversed(range(len(beta))):
        s, i = S[t + 1], I[t + 1]
        gi = gi + gI[t]
        gn = gi - gs  # lo que vale un nuevo infectado
        gbeta[t] = gn * dt * s * i
        gs, gi = gs + gn * dt * beta[t] * i, gi * (1 - dt * gamma) + gn * dt * beta[t] * s
    return gbeta, np.array([gs, gi])


def brote():
    return np.array([1.3, 1.2, 1.0, 0.9, 1.1, 0.8, 0.7, 0.6]), np.array([0.9, 0.06])


# --- index tracking ----------
def tracking_error(w, R, index):
    gap = R @ w - index
    return 0.5 * np.mean(gap**2)


def tracking_error_grad(w, R, index, ridge=0.05):
    gap = R @ w - index
    return R.T @ gap / len(index) + ridge * w


def market():
    rng = np.random.default_rng(71)
    R = rng.standard_normal((30, 6))
    return np.full(6, 1 / 6) + 0.05 * rng.standard_normal(6), R, R @ rng.dirichlet(np.ones(6))


# --- yield to maturity, implicit function theorem ----------
def _value(y, coupon, years):
    t = np.arange(1, years + 1)
    df = (1 + y[:, None]) ** -t
    price = coupon * df.sum(1) + 100 * df[:, -1]
    dprice = -(coupon[:, None] * t * df).sum(1) / (1 + y) - 100 * years * df[:, -1] / (1 + y)
    return price, dprice, df.sum(1)


def bond_yield(price, coupon, years=7):
    y = np.full_like(price, 0.04)
    for _ in range(30):
        p, dp, _ = _value(y, coupon, years)
        y = y - (p - price) / dp
    return y, (y, coupon, years)


def bond_yield_bwd(dy, cache):
    y, coupon, years = cache
    _, dp, annuity = _value(y, coupon, years)
    return dy / dp, -dy * annuity / dp


# --- Sharpe ratio ----------
class SharpePortfolio:
    def __init__(self, returns):
        self.mu = returns.mean(axis=0)
        self.cov = np.cov(returns.T)

    def weights(self, theta):
        e = np.exp(theta - theta.max())
        return e / e.sum()

    def loss(self, theta):
        w = self.weights(theta)
        return -(self.mu @ w) / np.sqrt(w @ self.cov @ w)

    def loss_grad(self, theta):
        w = self.weights(theta)
        cw = self.cov @ w
        vol = np.sqrt(w @ cw)
        dw = -self.mu / vol + (self.mu @ w) * cw / vol**3
        return w * (dw - w @ dw)


def assets():
    rng = np.random.default_rng(72)
    return SharpePortfolio(0.05 + 0.3 * rng.standard_normal((40, 5))), rng.standard_normal(5)


# --- GARCH(1,1), likelihood and score in one go ----------
def garch_nll(par, eps):
    omega, alpha, beta = par
    h, dh = np.var(eps), np.zeros(3)
    nll, score = 0.0, np.zeros(3)
    for e in eps:
        nll += 0.5 * (np.log(h) + e * e / h)
        score += 0.5 * (1 / h - e * e / h**2) * dh
        dh = np.array([1.0, e * e, h]) + beta * dh
        h = omega + alpha * e * e + beta * h
    return nll / len(eps), score / len(eps)


def _p_garch():
    par, eps = np.array([0.1, 0.15, 0.7]), np.random.default_rng(73).standard_normal(50)
    return [(garch_nll(par, eps)[1], slope(lambda: garch_nll(par, eps)[0], par, 1e-4))]


# --- Nelson-Siegel ----------
class NelsonSiegel:
    """maturities -> yields"""

    def __init__(self, beta, lam=1.8):
        self.params = {"beta": beta}
        self.grads = {"beta": np.zeros_like(beta)}
        self.lam = lam

    def forward(self, tau):
        self.z = tau / self.lam
        self.e = np.exp(-self.z)
        self.f = (1 - self.e) / self.z
        b = self.params["beta"]
        return b[0] + b[1] * self.f + b[2] * (self.f - self.e)

    def backward(self, dy):
        b = self.params["beta"]
        self.grads["beta"] += np.array([dy.sum(), dy @ self.f, dy @ (self.f - self.e)])
        slope = (self.e - self.f) / self.z
        return dy * (b[1] * slope + b[2] * (slope + self.e)) / self.lam


# --- American put on a tree ----------
class TreePut:
    def __init__(self, strike, T=1.0, r=0.05, steps=4):
        self.K, self.dt, self.r, self.steps = strike, T / steps, r, steps

    def forward(self, spot, vol):
        self.spot, n = spot, self.steps
        root = np.sqrt(self.dt)
        self.u = np.exp(vol * root)
        self.grow, self.disc = np.exp(self.r * self.dt), np.exp(-self.r * self.dt)
        self.p = (self.grow - 1 / self.u) / (self.u - 1 / self.u)
        V = np.maximum(self.K - self._spots(n), 0)
        self.tape = [V > 0]
        self.values = [V]
        for level in range(n - 1, -1, -1):
            hold = self.disc * (self.p * V[1:] + (1 - self.p) * V[:-1])
            now = self.K - self._spots(level)
            self.tape.append(now > hold)
            V = np.where(now > hold, now, hold)
            self.values.append(V)
        return V[0]

    def _spots(self, level):
        moves = 2.0 * np.arange(level + 1)[:, None] - level
        return self.spot * self.u**moves

    def backward(self, g):
        gV = g[None]
        gspot, gu, gp = np.zeros_like(g), np.zeros_like(g), np.zeros_like(g)
        for level in range(self.steps + 1):
            moves = 2.0 * np.arange(level + 1)[:, None] - level
            gnow = np.where(self.tape[self.steps - level], gV, 0)
            gspot -= (gnow * self.u**moves).sum(0)
            gu -= (gnow * self.spot * moves * self.u ** (moves - 1)).sum(0)
            if level < self.steps:
                ghold = self.disc * (gV - gnow)
                V = self.values[self.steps - level - 1]
                gp += (ghold * (V[1:] - V[:-1])).sum(0)
                gV = np.zeros((level + 2, len(g)))
                gV[1:] += self.p * ghold
                gV[:-1] += (1 - self.p) * ghold
        u, width = self.u, self.u - 1 / self.u
        gu += gp * (u**-2 * width - (self.grow - 1 / u) * (1 + u**-2)) / width**2
        return gspot, gu * u * np.sqrt(self.dt)


def puts():
    return TreePut(100.0), np.array([97.0, 104.0, 111.0]), np.array([0.22, 0.3, 0.41])


def _p_puts():
    t, spot, vol = puts()
    return pairs(lambda: t.forward(spot, vol), t.backward, [spot, vol], h=1e-5)


# --- infections by age group ----------
def new_cases(contacts, infected, suscept, people, days=3.0):
    prevalence = infected / people
    force = suscept * (contacts @ prevalence)
    stay = np.exp(-force * days)
    at_risk = people - infected
    return at_risk * (1 - stay), (contacts, infected, suscept, people, days, prevalence, stay, at_risk)


def new_cases_vjp(cache, g):
    contacts, infected, suscept, people, days, prevalence, stay, at_risk = cache
    g_force = g * at_risk * stay * days
    g_risk = g * (1 - stay)
    g_prev = contacts.T @ (g_force * suscept)
    return (
        np.outer(g_force * suscept, prevalence),
        g_prev / people - g_risk,
        g_force * (contacts @ prevalence),
        g_risk - g_prev * infected / people**2,
    )


def town():
    rng = np.random.default_rng(74)
    mixing = rng.uniform(0.5, 4, (5, 5))
    return mixing, rng.uniform(0.5, 2, 5), rng.uniform(0.1, 0.5, 5), rng.uniform(5, 9, 5)


ENTRIES = [
    Stranger(
        "Black-Scholes call: vega by the logarithm of sigma",
        "pair with cache, four inputs",
        lambda gl: gl.check_cached_pair(bs_call, bs_greeks, quotes()),
        lambda: pair(bs_call, bs_greeks, quotes()),
        "wrong",
        "vega is multiplied by sigma, which makes it the derivative by log(sigma)",
        ("log-parameter",),
        ("sigma",),
        "    vega = S * pdf * np.sqrt(T) * sigma\n",
        "    vega = S * pdf * np.sqrt(T)\n",
    ),
    Stranger(
        "SIR hacia atrás: state after the step instead of before",
        "pair with cache, Spanish",
        lambda gl: gl.check_cached_pair(simular_sir, simular_sir_atras, brote()),
        lambda: pair(simular_sir, simular_sir_atras, brote()),
        "wrong",
        "the backward step at t reads S and I of t + 1, forward used those of t",
        ("shifted",),
        ("beta", "inicio"),
        "        s, i = S[t + 1], I[t + 1]\n",
        "        s, i = S[t], I[t]\n",
    ),
    Stranger(
        "tracking error: a ridge term in the gradient alone",
        "f and grad with args",
        lambda gl: gl.check_gradient(tracking_error, tracking_error_grad, market()[0], args=market()[1:]),
        lambda: scalar(
            lambda w: tracking_error(w, *market()[1:]),
            lambda w: tracking_error_grad(w, *market()[1:]),
            market()[0],
        ),
        "wrong",
        "the gradient has a ridge term that the function has not",
        ("additive-bias",),
        ("w",),
        "    return R.T @ gap / len(index) + ridge * w\n",
        "    return R.T @ gap / len(index)\n",
    ),
    Stranger(
        "bond yield by Newton, implicit gradient",
        "pair with cache and a setting",
        lambda gl: gl.check_cached_pair(
            bond_yield, bond_yield_bwd, (np.array([98.0, 103.5, 91.0]), np.array([4.0, 5.5, 2.5]))
        ),
        lambda: pair(bond_yield, bond_yield_bwd, (np.array([98.0, 103.5, 91.0]), np.array([4.0, 5.5, 2.5]))),
    ),
    Stranger(
        "Sharpe ratio of softmax weights",
        "object with loss and loss_grad",
        lambda gl: gl.check_gradient(assets()[0].loss, assets()[0].loss_grad, assets()[1]),
        lambda: scalar(assets()[0].loss, assets()[0].loss_grad, assets()[1]),
    ),
    Stranger(
        "GARCH likelihood and score",
        "f that returns value and gradient, with args",
        lambda gl: gl.check_gradient(
            garch_nll, True, np.array([0.1, 0.15, 0.7]), args=(np.random.default_rng(73).standard_normal(50),)
        ),
        _p_garch,
    ),
    Stranger(
        "Nelson-Siegel curve: adds to the gradients of the call before",
        "layer with dict params and grads",
        lambda gl: gl.check_layer(
            NelsonSiegel(np.array([0.04, -0.02, 0.03])), np.array([0.5, 1.0, 2.0, 5.0, 10.0, 20.0])
        ),
        lambda: [],
        "habit",
        "backward adds to grads, and nothing ever sets them back to zero",
        ("accumulates",),
    ),
    Stranger(
        "American put on a binomial tree, adjoint of the roll-back",
        "layer of two inputs",
        lambda gl: gl.check_layer(*puts()),
        _p_puts,
    ),
    Stranger(
        "new cases by age group",
        "forward with residuals, backward(residuals, g)",
        lambda gl: gl.check_vjp(new_cases, new_cases_vjp, town()),
        lambda: pair(new_cases, lambda g, cache: new_cases_vjp(cache, g), town()),
    ),
]
