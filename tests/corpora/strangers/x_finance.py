"""Options, portfolios and curves."""

from dataclasses import dataclass, field

import numpy as np
from scipy.special import expit, ndtr, softmax
from scipy.stats import norm

from ._entry import Stranger
from ._help_x import against, slope


def _fit(grad, like):
    """Sums what was broadcast."""
    shape = np.shape(like)
    grad = grad.sum(axis=tuple(range(grad.ndim - len(shape))))
    stretched = tuple(i for i, n in enumerate(shape) if n == 1 and grad.shape[i] > 1)
    return grad.sum(axis=stretched, keepdims=True)


class BlackScholesCall:
    """Prices on any grid that the five arguments broadcast to; backward gives the five greeks."""

    def forward(self, spot, strike, expiry, vol, rate):
        self.args = spot, strike, expiry, vol, rate
        root = np.sqrt(expiry)
        self.d1 = (np.log(spot / strike) + (rate + 0.5 * vol**2) * expiry) / (vol * root)
        self.d2 = self.d1 - vol * root
        self.df = np.exp(-rate * expiry)
        return spot * ndtr(self.d1) - strike * self.df * ndtr(self.d2)

    def backward(self, g):
        spot, strike, expiry, vol, rate = self.args
        density = spot * norm.pdf(self.d1)
        root = np.sqrt(expiry)
        bond = strike * self.df * ndtr(self.d2)
        greeks = (
            g * ndtr(self.d1),
            -g * self.df * ndtr(self.d2),
            g * (density * vol / (2 * root) + rate * bond),
            g * density * root,
            g * expiry * bond,
        )
        return tuple(_fit(x, a) for x, a in zip(greeks, self.args))


def _calls():
    rng = np.random.default_rng(0)
    strikes, expiries = np.array([90.0, 100.0, 115.0, 130.0]), np.array([[0.25], [0.5], [2.0]])
    return np.array(104.0), strikes, expiries, rng.uniform(0.15, 0.4, (3, 4)), np.array(0.03)


def _prove_calls():
    args, layer = _calls(), BlackScholesCall()
    g = np.random.default_rng(1).normal(size=(3, 4))
    layer.forward(*args)
    return against(lambda: np.sum(g * layer.forward(*args)), *zip(layer.backward(g), args))


def bachelier(fwd, strike, sigma, tenor):
    sd = sigma * np.sqrt(tenor)
    d = (fwd - strike) / sd
    price = (fwd - strike) * norm.cdf(d) + sd * norm.pdf(d)
    return price, (d, sigma, tenor)


def bachelier_greeks(adj, cache):
    d, sigma, tenor = cache
    delta = adj * norm.cdf(d)
    phi = 0.4 * np.exp(-0.5 * d * d)
    vega = adj * np.sqrt(tenor) * phi
    theta = adj * 0.5 * sigma * phi / np.sqrt(tenor)
    return delta, -delta, vega, theta


def _bach():
    rng = np.random.default_rng(2)
    return rng.uniform(1, 3, 5), rng.uniform(1, 3, 5), rng.uniform(0.5, 1.2, 5), rng.uniform(0.5, 4, 5)


def _prove_bach():
    args, g = _bach(), np.array([1.0, -0.5, 2.0, 0.3, -1.1])
    grads = bachelier_greeks(g, bachelier(*args)[1])
    return against(lambda: g @ bachelier(*args)[0], *zip(grads, args))


# raw SVI (Gatheral): w(k) = a + b (rho (k - m) + sqrt((k - m)^2 + s^2))


def svi_fwd(k, a, b, rho, m, s):
    x = k - m
    root = np.sqrt(x * x + s * s)
    wing = rho * x + root
    return a + b * wing, (x, root, wing, b, rho, s)


def svi_bwd(dw, cache):
    x, root, wing, b, rho, s = cache
    dk = dw * b * (rho + x / root)
    da, db = dw.sum(), (dw * wing).sum()
    drho, ds = (dw * b * x).sum(), (dw * b * s / root).sum()
    dm = -dk.sum()
    return dk, da, db, dm, drho, ds


def _svi():
    return (np.linspace(-0.6, 0.5, 9), *(np.array(v) for v in (0.02, 0.3, -0.4, 0.05, 0.2)))


def _prove_svi():
    args, g = _svi(), np.random.default_rng(3).normal(size=9)
    return against(lambda: g @ svi_fwd(*args)[0], *zip(svi_bwd(g, svi_fwd(*args)[1]), args), h=3e-4)


def cvar_objective(R, level=0.9, smooth=0.01, reward=0.5):
    """Rockafellar and Uryasev over x = (scores of the assets, VaR), softplus for the plus."""

    def objective(x):
        w, var = softmax(x[:-1]), x[-1]
        excess = (-R @ w - var) / smooth
        tail = smooth * np.logaddexp(0, excess).mean() / (1 - level)
        hit = expit(excess) / (len(R) * (1 - level))
        g_w = -R.T @ hit - reward * R.mean(axis=0)
        return var + tail - reward * R.mean(axis=0) @ w, np.append(w * (g_w - g_w @ w), 1 - hit.sum())

    return objective


def _cvar():
    rng = np.random.default_rng(4)
    return cvar_objective(0.03 * rng.normal(size=(40, 5)) + 0.005), np.append(rng.normal(size=5), 0.01)


def _prove_cvar():
    f, x = _cvar()
    return against(lambda: f(x)[0], (f(x)[1], x), h=1e-4)


class Rebalance:
    """Mean-variance utility less the costs of trading away from the holdings; |t| is sqrt(t^2 + eps)."""

    eps = 1e-3

    def __init__(self, mu, Sigma, held, aversion=3.0, cost=0.04):
        self.mu, self.Sigma, self.held, self.aversion, self.cost = mu, Sigma, held, aversion, cost

    def neg_utility(self, w):
        trade = w - self.held
        risk = 0.5 * self.aversion * w @ self.Sigma @ w
        return risk - self.mu @ w + self.cost * np.sqrt(trade**2 + self.eps).sum()

    def neg_utility_grad(self, w):
        trade = w - self.held
        g = self.aversion * self.Sigma @ w - self.mu
        return g + self.cost * trade / (np.sqrt(trade**2) + self.eps)


def _rebalance():
    rng = np.random.default_rng(5)
    F = 0.2 * rng.normal(size=(6, 6))
    held = rng.dirichlet(np.ones(6))
    return Rebalance(0.05 * rng.normal(size=6), F @ F.T, held), held + 0.06 * rng.normal(size=6)


def _call_rebalance(gradlab):
    desk, w = _rebalance()
    return gradlab.check_gradient(desk.neg_utility, desk.neg_utility_grad, w)


def _prove_rebalance():
    desk, w = _rebalance()
    return against(lambda: desk.neg_utility(w), (desk.neg_utility_grad(w), w), h=3e-4)


# risk parity (Spinu): min x'Cx/2 - b'log x


def parity(x, C, b):
    return 0.5 * x @ C @ x - b @ np.log(x)


def parity_grad(x, C, b):
    return C @ x - b / x


def parity_hess(x, C, b):
    return C + np.diag(b / x**2)


def _parity():
    rng = np.random.default_rng(6)
    A = rng.normal(size=(5, 5))
    return rng.uniform(0.5, 2, 5), A @ A.T / 5, rng.dirichlet(np.ones(5))


def _prove_parity():
    x, C, b = _parity()
    rows = np.array([slope(lambda i=i: parity_grad(x, C, b)[i], x) for i in range(5)])
    return [(parity_grad(x, C, b), slope(lambda: parity(x, C, b), x)), (parity_hess(x, C, b), rows)]


class CRRTree:
    """Binomialbaum; Auszahlung (S - K)^2, damit sie glatt ist; rueckwaerts die Adjungierten."""

    def __init__(self, K=1.0, T=1.0, r=0.02, steps=7):
        self.K, self.r, self.dt, self.steps = K, r, T / steps, steps

    def forward(self, S0, vol):
        m = self.steps
        self.u = np.exp(vol * np.sqrt(self.dt))
        self.up = (np.exp(self.r * self.dt) - 1 / self.u) / (self.u - 1 / self.u)
        self.powers = m - 2 * np.arange(m + 1)
        self.S0, self.S = S0, S0[:, None] * self.u[:, None] ** self.powers
        V = (self.S - self.K) ** 2
        self.levels = [V]
        for _ in range(m):
            V = np.exp(-self.r * self.dt) * (self.up[:, None] * V[:, :-1] + (1 - self.up[:, None]) * V[:, 1:])
            self.levels.append(V)
        return V[:, 0]

    def backward(self, g):
        disc, p, u = np.exp(-self.r * self.dt), self.up[:, None], self.u
        bar, bar_p = g[:, None], 0.0
        for V in reversed(self.levels[:-1]):
            bar_p = bar_p + disc * np.sum(bar * (V[:, :-1] - V[:, 1:]), axis=1)
            spread = np.zeros_like(V)
            spread[:, :-1] += disc * p * bar
            spread[:, 1:] += disc * (1 - p) * bar
            bar = spread
        bar_S = bar * 2 * (self.S - self.K)
        width = u - 1 / u
        bar_u = bar_p * (1 / u**2 - self.up * (1 + 1 / u**2)) / width
        bar_u += np.sum(bar_S * self.S * self.powers, axis=1) / u
        return np.sum(bar_S * self.S, axis=1) / self.S0, bar_u * u * np.sqrt(self.dt)


def _tree():
    return np.array([0.8, 1.1, 1.4]), np.array([0.2, 0.35, 0.5])


def _prove_tree():
    (S0, vol), tree, g = _tree(), CRRTree(), np.array([0.7, -1.2, 2.0])
    tree.forward(S0, vol)
    return against(lambda: g @ tree.forward(S0, vol), *zip(tree.backward(g), (S0, vol)))


@dataclass
class AsianMC:
    """Mean over paths of softplus(mean_t S_t - 1), pathwise; one volatility per underlying."""

    sigma: np.ndarray
    drift: np.ndarray
    steps: int = 6
    paths: int = 10
    dt: float = 0.25
    sigma_grad: np.ndarray = field(default=None, repr=False)
    drift_grad: np.ndarray = field(default=None, repr=False)

    def forward(self, S0):
        rng = np.random.default_rng(99)
        self._dW = rng.normal(size=(self.steps, self.paths, S0.size)) * np.sqrt(self.dt)
        growth = (self.drift - self.sigma**2 / 2) * self.dt + self.sigma * self._dW
        self._path = S0 * np.exp(np.cumsum(growth, axis=0))
        self._S0, self._money = S0, self._path.mean(axis=0) - 1
        return np.logaddexp(0, self._money).mean(axis=0)

    def backward(self, g):
        per_path = g * expit(self._money) / self.paths
        total = np.zeros_like(per_path)
        self.sigma_grad, self.drift_grad = np.zeros_like(self.sigma), np.zeros_like(self.drift)
        for t in reversed(range(self.steps)):
            total += per_path / self.steps * self._path[t]
            self.sigma_grad += np.sum(total * (self._dW[t] - self.sigma * self.dt), axis=0)
            self.drift_grad += self.dt * total.sum(axis=0)
        return total.sum(axis=0) / self._S0


def _asian():
    return AsianMC(np.array([0.2, 0.3, 0.5]), np.array([0.01, 0.05, -0.02])), np.array([0.9, 1.1, 1.3])


def _prove_asian():
    (mc, S0), g = _asian(), np.array([1.0, -2.0, 0.5])
    mc.forward(S0)
    dS = mc.backward(g)
    claims = (dS, S0), (mc.sigma_grad, mc.sigma), (mc.drift_grad, mc.drift)
    return against(lambda: g @ mc.forward(S0), *claims)


def nelson_siegel(p, months, yields):
    """Squared error of a Nelson-Siegel curve and its gradient; p = (level, slope, curvature, tau)."""
    level, slope_, curve, tau = p
    x = months / tau
    decay = np.exp(-x)
    f1 = (1 - decay) / x
    f2 = f1 - decay
    miss = level + slope_ * f1 + curve * f2 - yields
    df1 = (decay - f1) / x
    df2 = df1 + decay
    dx = -x
    by_tau = (slope_ * df1 + curve * df2) * dx
    J = np.column_stack([np.ones_like(x), f1, f2, by_tau])
    return miss @ miss, 2 * J.T @ miss


def _curve():
    months = np.array([3.0, 6, 12, 24, 36, 60, 84, 120])
    return np.array([4.0, -2.0, 1.5, 20.0]), months, np.array([2.3, 2.6, 2.9, 3.3, 3.5, 3.8, 4.1, 4.0])


def _prove_curve():
    p, *rest = _curve()
    return against(lambda: nelson_siegel(p, *rest)[0], (nelson_siegel(p, *rest)[1], p))


class VolTarget:
    """Positions tanh(signal @ W); profits of each asset over time (axis 0), brought to a volatility of 1."""

    def __init__(self, n_signals, n_assets):
        self.W = np.random.default_rng(7).normal(size=(n_signals, n_assets))
        self.grad_W = None

    def forward(self, signal, returns):
        self.signal, self.returns = signal, returns
        self.pos = np.tanh(signal @ self.W)
        pnl = self.pos * returns
        self.vol = np.sqrt(np.mean(pnl**2, axis=0))
        self.scaled = pnl / self.vol
        return self.scaled

    def backward(self, dout):
        dpnl = dout / self.vol
        dz = dpnl * self.returns * (1 - self.pos**2)
        self.grad_W = self.signal.T @ dz
        return dz @ self.W.T, dpnl * self.pos


def _vol():
    rng = np.random.default_rng(8)
    return rng.normal(size=(8, 4)), 0.1 * rng.normal(size=(8, 3))


def _prove_vol():
    net, (s, r) = VolTarget(4, 3), _vol()
    g = np.random.default_rng(9).normal(size=(8, 3))
    net.forward(s, r)
    ds, dr = net.backward(g)
    return against(lambda: np.sum(g * net.forward(s, r)), (net.grad_W, net.W), (ds, s), (dr, r), h=1e-4)


ENTRIES = [
    Stranger(
        "Black-Scholes call on a grid",
        "layer with five inputs that broadcast, tuple of gradients",
        lambda gradlab: gradlab.check_layer(BlackScholesCall(), *_calls()),
        _prove_calls,
    ),
    Stranger(
        "Bachelier: 0.4 for one over the root of two pi",
        "pair with cache",
        lambda gradlab: gradlab.check_cached_pair(bachelier, bachelier_greeks, _bach()),
        _prove_bach,
        "wrong",
        "the traders' 0.4 for 1 / sqrt(2 pi) = 0.39894",
        ("rounded-constants", "constant-factor"),
        ("sigma", "tenor"),
        "    phi = 0.4 * np.exp(-0.5 * d * d)\n",
        "    phi = np.exp(-0.5 * d * d) / np.sqrt(2 * np.pi)\n",
    ),
    Stranger(
        "SVI slice: rho and m in the wrong order",
        "pair with cache, scalar parameters",
        lambda gradlab: gradlab.check_cached_pair(svi_fwd, svi_bwd, _svi()),
        _prove_svi,
        "wrong",
        "the gradients of rho and m are returned in each other's place",
        ("swapped-primals",),
        ("rho", "m"),
        "    return dk, da, db, dm, drho, ds\n",
        "    return dk, da, db, drho, dm, ds\n",
    ),
    Stranger(
        "CVaR portfolio",
        "closure with value and gradient",
        lambda gradlab: (lambda f, x: gradlab.check_gradient(f, True, x))(*_cvar()),
        _prove_cvar,
    ),
    Stranger(
        "costs of rebalancing: epsilon outside the root",
        "bound methods f and grad",
        _call_rebalance,
        _prove_rebalance,
        "wrong",
        "eps stands outside the root, in forward inside",
        ("epsilon-mismatch",),
        ("w",),
        "trade / (np.sqrt(trade**2) + self.eps)",
        "trade / np.sqrt(trade**2 + self.eps)",
    ),
    Stranger(
        "risk parity",
        "f, grad and Hessian with args",
        lambda gradlab: gradlab.check_hessian(
            parity, parity_grad, parity_hess, _parity()[0], args=_parity()[1:]
        ),
        _prove_parity,
    ),
    Stranger(
        "binomial tree by adjoints",
        "layer with two inputs, a list of levels",
        lambda gradlab: gradlab.check_layer(CRRTree(), *_tree()),
        _prove_tree,
    ),
    Stranger(
        "Asian options, pathwise",
        "dataclass, attributes sigma and sigma_grad",
        lambda gradlab: gradlab.check_layer(*_asian()),
        _prove_asian,
    ),
    Stranger(
        "Nelson-Siegel fit: by log tau",
        "value and gradient, jac=True",
        lambda gradlab: gradlab.check_gradient(nelson_siegel, True, _curve()[0], args=_curve()[1:]),
        _prove_curve,
        "wrong",
        "dx/dtau is -x / tau; this is the derivative by log tau",
        ("log-parameter", "missing-factor", "single-element"),
        ("p",),
        "    dx = -x\n",
        "    dx = -x / tau\n",
    ),
    Stranger(
        "volatility targeting: the volatility as a constant",
        "layer with two inputs, W and grad_W",
        lambda gradlab: gradlab.check_layer(VolTarget(4, 3), *_vol()),
        _prove_vol,
        "wrong",
        "the path through the volatility is cut",
        ("missing-term",),
        ("W", "signal", "returns"),
        "        dpnl = dout / self.vol\n",
        "        dpnl = (dout - self.scaled * np.mean(dout * self.scaled, axis=0)) / self.vol\n",
    ),
]
