"""Money: options, bonds, portfolios, markets."""

import numpy as np
from scipy.special import expit, logsumexp
from scipy.stats import norm

from . import _help_j as hj
from ._entry import Stranger


# ---------------------------------------------------------------- Black-Scholes, all five greeks at once
def bs_price(p):
    S, K, T, r, sigma = p
    d1 = (np.log(S / K) + (r + 0.5 * sigma**2) * T) / (sigma * np.sqrt(T))
    d2 = d1 - sigma * np.sqrt(T)
    return S * norm.cdf(d1) - K * np.exp(-r * T) * norm.cdf(d2)


def bs_greeks(p):
    S, K, T, r, sigma = p
    sq = np.sqrt(T)
    d1 = (np.log(S / K) + (r + 0.5 * sigma**2) * T) / (sigma * sq)
    d2 = d1 - sigma * sq
    disc = np.exp(-r * T)
    delta = norm.cdf(d1)
    dual_delta = -disc * norm.cdf(d2)
    theta = S * norm.pdf(d1) * sigma / (2 * sq) + r * K * disc * norm.cdf(d2)
    rho = K * T * disc * norm.cdf(d2)
    vega = S * norm.pdf(d1) * sq
    return np.array([delta, dual_delta, theta, rho, vega])


OPTION = np.array([3.1, 3.0, 0.8, 0.05, 0.25])


# ---------------------------------------------------------------- GARCH(1,1)
def garch_nll(theta, r):
    """(negative log likelihood, gradient) of a GARCH(1,1); for minimize(..., jac=True)"""
    omega, alpha, beta = theta
    h = np.var(r)
    dh = np.zeros(3)
    nll, grad = 0.0, np.zeros(3)
    for t in range(len(r)):
        if t > 0:
            dh = np.array([1.0, r[t - 1] ** 2, h]) + beta * dh
            h = omega + alpha * r[t - 1] ** 2 + beta * h
        nll += 0.5 * (np.log(h) + r[t] ** 2 / h)
        grad += 0.5 * (1 / h - r[t] ** 2 / h**2) * dh
    return nll, grad


def _returns(n=40):
    return np.random.default_rng(3).standard_t(5, n) * 0.8


# ---------------------------------------------------------------- Nelson-Siegel curve
TAU = np.array([0.25, 0.5, 1, 2, 3, 5, 7, 10, 20, 30.0])


def nelson_siegel(b, tau):
    z = tau / b[3]
    load = (1 - np.exp(-z)) / z
    return b[0] + b[1] * load + b[2] * (load - np.exp(-z))


def curve_misfit(b, y):
    return np.sum((nelson_siegel(b, TAU) - y) ** 2)


def curve_misfit_grad(b, y):
    e = 2 * (nelson_siegel(b, TAU) - y)
    z = TAU / b[3]
    ez = np.exp(-z)
    load = (1 - ez) / z
    dload = (ez * z - (1 - ez)) / z**2
    dz = -z / b[3]
    dlam = (b[1] + b[2]) * dload * dz
    return np.array([e.sum(), e @ load, e @ (load - ez), e @ dlam])


YIELDS = np.array([1.1, 1.3, 1.7, 2.2, 2.4, 2.9, 3.1, 3.3, 3.4, 3.5])


# ---------------------------------------------------------------- mean-variance with a barrier
class MarkowitzBarrier:
    def __init__(self, mu, cov, aversion=3.0, t=0.01):
        self.mu, self.cov, self.lam, self.t = mu, cov, aversion, t

    def objective(self, w):
        ret = self.mu @ w
        risk = 0.5 * self.lam * w @ self.cov @ w
        return risk - ret - self.t * np.log(w).sum() + (w.sum() - 1) ** 2

    def jac(self, w):
        return self.lam * self.cov @ w - self.mu - self.t / w + 2 * (w.sum() - 1)


def _market(n=5):
    rng = np.random.default_rng(11)
    a = rng.normal(size=(n, n))
    return rng.uniform(0.02, 0.2, n), a @ a.T / n + 0.1 * np.eye(n)


def _barrier():
    model = MarkowitzBarrier(*_market())
    return model.objective, model.jac


W0 = np.array([0.3, 0.1, 0.25, 0.2, 0.15])


# ---------------------------------------------------------------- risk parity
def risk_parity(w, cov):
    """Every asset's contribution to the risk shall be the n-th part of it."""
    m = cov @ w
    rc = w * m
    gap = rc - rc.mean()
    return np.sum(gap**2)


def risk_parity_grad(w, cov):
    m = cov @ w
    rc = w * m
    gap = rc - rc.mean()
    return 2 * (gap * m + w * (cov @ gap))


# ---------------------------------------------------------------- CES production function
def ces_forward(capital, labour):
    rho, share = 0.4, 0.35
    inner = share * capital**rho + (1 - share) * labour**rho
    return inner ** (1 / rho), (capital, labour, inner, rho, share)


def ces_backward(res, g):
    capital, labour, inner, rho, share = res
    common = g * inner ** (1 / rho - 1)
    d_labour = common * (1 - share) * labour ** (rho - 1)
    d_capital = common * share * capital ** (rho - 1)
    return d_labour, d_capital


# ---------------------------------------------------------------- bonds
def bond_value(y, coupon, years):
    """Value of a bunch of bonds (face 1) at their yields."""
    total = 0.0
    for yi, c, n in zip(y, coupon, years):
        t = np.arange(1, n + 1)
        total += np.sum(c / (1 + yi) ** t) + 1 / (1 + yi) ** n
    return total


def bond_duration(y, coupon, years):
    out = np.empty_like(y)
    for k, (yi, c, n) in enumerate(zip(y, coupon, years)):
        t = np.arange(1, n + 1)
        v = (1 + yi) ** -t
        out[k] = -np.sum(t * c * v) - n * v[-1]
    return out


BONDS = (np.array([0.05, 0.03, 0.08]), [5, 10, 3])


# ---------------------------------------------------------------- optimal execution
class Liquidation:
    """Almgren and Chriss: sell q shares in slices n[k]; impact + risk of what is still held"""

    def __init__(self, q=1.0, eta=0.7, lam=2.0):
        self.q, self.eta, self.lam = q, eta, lam

    def held(self, n):
        return self.q - np.cumsum(n)

    def cost(self, n):
        return self.eta * np.sum(n**2) + self.lam * np.sum(self.held(n) ** 2)

    def dcost(self, n):
        x = self.held(n)
        return 2 * self.eta * n - 2 * self.lam * np.cumsum(x)


# ---------------------------------------------------------------- Kelly bets
def kelly(f, odds, p):
    return -np.sum(p * np.log1p(f * odds) + (1 - p) * np.log1p(-f))


def kelly_grad(f, odds, p):
    a = p * odds / (1 + f * odds)
    np.subtract(1, f, out=f)
    return (1 - p) / f - a


# ---------------------------------------------------------------- smooth expected shortfall
def shortfall(z, scenarios, q=0.9, temp=0.2):
    """z = [alpha, weights...]; returns value and gradient"""
    alpha, w = z[0], z[1:]
    loss = -scenarios @ w - alpha
    soft = temp * np.logaddexp(0, loss / temp)
    s = expit(loss / temp) / ((1 - q) * len(loss))
    return alpha + soft.mean() / (1 - q), np.concatenate([[1 - s.sum()], -s @ scenarios])


# ---------------------------------------------------------------- Hanson's market maker
def lmsr_forward(q, b):
    cost = b * logsumexp(q / b)
    return cost, (q, b, cost)


def lmsr_backward(dcost, cache):
    q, b, cost = cache
    price = np.exp((q - cost) / b)
    return {"q": dcost * price, "b": dcost * (cost - price @ q) / b}


PLAN = np.array([0.3, 0.25, 0.2, 0.1, 0.05])

ENTRIES = [
    Stranger(
        "Black-Scholes price and its greeks",
        "f and grad",
        lambda gl: gl.check_gradient(bs_price, bs_greeks, OPTION.copy()),
        lambda: hj.scalar(bs_price, bs_greeks, OPTION),
    ),
    Stranger(
        "GARCH likelihood by forward recursion",
        "value and gradient",
        lambda gl: gl.check_gradient(garch_nll, True, np.array([0.2, 0.15, 0.6]), args=(_returns(),)),
        lambda: hj.both(garch_nll, [0.2, 0.15, 0.6], _returns()),
    ),
    Stranger(
        "Nelson-Siegel misfit: the decay misses the hump's exponential",
        "f and grad with args",
        lambda gl: gl.check_gradient(
            curve_misfit, curve_misfit_grad, np.array([3.0, -2.0, 1.0, 2.5]), args=(YIELDS,)
        ),
        lambda: hj.scalar(curve_misfit, curve_misfit_grad, [3.0, -2.0, 1.0, 2.5], YIELDS),
        "wrong",
        "the derivative by the decay leaves out that of b2 * exp(-z)",
        ("missing-term", "single-element"),
        ("b",),
        "    dlam = (b[1] + b[2]) * dload * dz\n",
        "    dlam = ((b[1] + b[2]) * dload + b[2] * ez) * dz\n",
    ),
    Stranger(
        "Mean-variance objective with a log barrier",
        "bound methods of a class",
        lambda gl: gl.check_gradient(*_barrier(), W0.copy()),
        lambda: hj.scalar(*_barrier(), W0),
    ),
    Stranger(
        "Risk parity: weights outside of the matrix product",
        "f and grad with args",
        lambda gl: gl.check_gradient(risk_parity, risk_parity_grad, W0.copy(), args=(_market()[1],)),
        lambda: hj.scalar(risk_parity, risk_parity_grad, W0, _market()[1]),
        "wrong",
        "w stands outside of the product with the covariance and belongs inside",
        ("wrong-order",),
        ("w",),
        "    return 2 * (gap * m + w * (cov @ gap))\n",
        "    return 2 * (gap * m + cov @ (w * gap))\n",
    ),
    Stranger(
        "CES production: capital and labour exchanged",
        "vjp",
        lambda gl: gl.check_vjp(
            ces_forward, ces_backward, (np.array([1.2, 2.0, 0.7]), np.array([0.5, 1.1, 3.0]))
        ),
        lambda: hj.vjp(ces_forward, ces_backward, [1.2, 2.0, 0.7], [0.5, 1.1, 3.0]),
        "wrong",
        "the two gradients are returned in the other order",
        ("swapped-primals",),
        ("capital", "labour"),
        "    return d_labour, d_capital\n",
        "    return d_capital, d_labour\n",
    ),
    Stranger(
        "Bond values: Macaulay's duration instead of the modified one",
        "f and grad with args",
        lambda gl: gl.check_gradient(bond_value, bond_duration, np.array([0.04, 0.05, 0.12]), args=BONDS),
        lambda: hj.scalar(bond_value, bond_duration, [0.04, 0.05, 0.12], *BONDS),
        "wrong",
        "the factor 1/(1+y) is missing: the exponent is t where it should be t+1",
        ("log-parameter", "constant-factor"),
        ("y",),
        "        out[k] = -np.sum(t * c * v) - n * v[-1]\n",
        "        out[k] = (-np.sum(t * c * v) - n * v[-1]) / (1 + yi)\n",
    ),
    Stranger(
        "Optimal execution: cumsum where its transpose belongs",
        "bound methods of a class",
        lambda gl: gl.check_gradient(*hj.methods(Liquidation(), "cost", "dcost"), PLAN.copy()),
        lambda: hj.scalar(*hj.methods(Liquidation(), "cost", "dcost"), PLAN),
        "wrong",
        "the gradient of a cumulative sum is the reversed cumulative sum",
        ("transposed",),
        ("n",),
        "        return 2 * self.eta * n - 2 * self.lam * np.cumsum(x)\n",
        "        return 2 * self.eta * n - 2 * self.lam * np.cumsum(x[::-1])[::-1]\n",
    ),
    Stranger(
        "Kelly bets: 1 - f is written into f",
        "f and grad with args",
        lambda gl: gl.check_gradient(
            kelly,
            kelly_grad,
            np.array([0.1, 0.3, 0.2]),
            args=(np.array([1.0, 2.0, 0.5]), np.array([0.6, 0.5, 0.8])),
        ),
        lambda: [],
        "habit",
        "the gradient writes into its argument",
        ("mutates-argument",),
        ("f",),
    ),
    Stranger(
        "Smooth expected shortfall",
        "value and gradient",
        lambda gl: gl.check_gradient(
            shortfall,
            True,
            np.array([0.1, 0.4, 0.6, -0.2]),
            args=(np.random.default_rng(5).normal(size=(30, 3)),),
        ),
        lambda: hj.both(shortfall, [0.1, 0.4, 0.6, -0.2], np.random.default_rng(5).normal(size=(30, 3))),
    ),
    Stranger(
        "LMSR market maker",
        "pair with cache, dict of gradients",
        lambda gl: gl.check_cached_pair(
            lmsr_forward, lmsr_backward, (np.array([1.0, 2.5, 0.4]), np.array(1.3))
        ),
        lambda: hj.pair(lmsr_forward, lmsr_backward, ([1.0, 2.5, 0.4], 1.3), keys="qb"),
    ),
]
