"""Statistics, finance, recommenders."""

from collections import namedtuple

import numpy as np
from scipy.special import digamma, erf, gammaln

from . import _help_i as H
from ._entry import Stranger


class BiasedMF:
    """Netflix-style matrix factorisation, ratings (u, i, r). loss / gradient on a batch."""

    def __init__(self, n_users, n_items, k, reg=0.02, seed=0):
        rng = np.random.default_rng(seed)
        self.params = {
            "P": 0.5 * rng.standard_normal((n_users, k)),
            "Q": 0.5 * rng.standard_normal((n_items, k)),
            "bu": 0.1 * rng.standard_normal(n_users),
            "bi": 0.1 * rng.standard_normal(n_items),
            "mu": np.array([3.5]),
        }
        self.reg = reg

    def predict(self, ui):
        p, (u, i) = self.params, ui.T
        return p["mu"][0] + p["bu"][u] + p["bi"][i] + np.einsum("nk,nk->n", p["P"][u], p["Q"][i])

    def loss(self, ui, r):
        p = self.params
        e = r - self.predict(ui)
        return 0.5 * e @ e + 0.5 * self.reg * ((p["P"] ** 2).sum() + (p["Q"] ** 2).sum())

    def gradient(self, ui, r):
        p, (u, i) = self.params, ui.T
        e = self.predict(ui) - r
        grads = {k: np.zeros_like(v) for k, v in p.items()}
        np.add.at(grads["P"], u, e[:, None] * p["Q"][i])
        np.add.at(grads["Q"], i, e[:, None] * p["P"][u])
        np.add.at(grads["bu"], u, e)
        np.add.at(grads["bi"], i, e)
        grads["mu"][0] = e.sum()
        grads["P"] += self.reg * p["P"]
        grads["Q"] += self.reg * p["Q"]
        return grads


def _mf():
    rng = np.random.default_rng(12)
    ui = np.column_stack([rng.integers(0, 40, 150), rng.integers(0, 60, 150)])
    return BiasedMF(40, 60, 10), ui, rng.integers(1, 6, 150).astype(float)


class FM:
    # Factorization machine (Rendle 2010), second order
    def __init__(self, d, k):
        r = np.random.RandomState(1)
        self.w0, self.w, self.V = np.zeros(1), r.randn(d) * 0.3, r.randn(d, k) * 0.3

    def forward(self, X):
        self.X = X
        self.XV = X @ self.V
        inter = 0.5 * (self.XV**2 - X**2 @ self.V**2).sum(1)
        return self.w0 + X @ self.w + inter

    def backward(self, g):
        self.grad_w0 = np.array([g.sum()])
        self.grad_w = self.X.T @ g
        self.grad_V = self.X.T @ (g[:, None] * self.XV)
        dX = g[:, None] * (self.w + self.XV @ self.V.T - self.X * (self.V**2).sum(1))
        return dX


def _fm():
    return FM(6, 3), np.random.default_rng(5).normal(size=(4, 6))


Greeks = namedtuple("Greeks", "delta vega rho")


class EuropeanCall:
    """Black-Scholes. price(S, sigma, r) and the Greeks, weighted by what comes from above."""

    def __init__(self, strike, expiry):
        self.K, self.T = strike, expiry

    def forward(self, S, sigma, r):
        srt = sigma * np.sqrt(self.T)
        d1 = (np.log(S / self.K) + (r + sigma**2 / 2) * self.T) / srt
        self.ctx = S, r, d1, d1 - srt
        return S * self.N(d1) - self.K * np.exp(-r * self.T) * self.N(d1 - srt)

    @staticmethod
    def N(x):
        return 0.5 * (1 + erf(x / np.sqrt(2)))

    def backward(self, upstream):
        S, r, d1, d2 = self.ctx
        vega = S * np.exp(-(d1**2) / 2) / np.sqrt(2 * np.pi) * np.sqrt(self.T)
        rho = self.K * self.T * np.exp(-r * self.T) * self.N(d2)
        return Greeks(upstream * self.N(d1), upstream * vega, upstream * rho)


def _call():
    rng = np.random.default_rng(3)
    opt = EuropeanCall(np.array([95.0, 100, 105, 110]), np.array([0.5, 1.0, 1.5, 2]))
    return opt, rng.uniform(90, 110, 4), rng.uniform(0.15, 0.4, 4), rng.uniform(0.01, 0.05, 4)


class BondBook:
    """Values of bonds with yearly coupons on a zero curve that is given at the knots."""

    def __init__(self, cashflows, zero_rates):
        self.cf = cashflows  # (bonds, years)
        self.params = [zero_rates]
        self.grads = [np.zeros_like(zero_rates)]
        self.t = np.arange(1, cashflows.shape[1] + 1)

    def forward(self, spread):
        y = self.params[0][None, :] + spread[:, None]
        self.df = np.exp(-y * self.t)
        return (self.cf * self.df).sum(axis=1)

    def backward(self, dout):
        dy = -dout[:, None] * self.cf * self.df
        self.grads[0][...] = (self.t * dy).sum(axis=0)
        return dy.sum(axis=1)


def _bonds():
    rng = np.random.default_rng(0)
    return BondBook(rng.uniform(1, 5, (3, 6)), rng.uniform(0.01, 0.05, 6)), rng.uniform(0, 0.03, 3)


class Garch11:
    """Negative log-likelihood of returns; theta = log omega, logit-ish alpha and beta."""

    def __init__(self, theta):
        self.theta = np.asarray(theta, float)

    def _unpack(self):
        return np.exp(self.theta[0]), *(0.5 / (1 + np.exp(-self.theta[1:])))

    def loss(self, ret):
        w, a, b = self._unpack()
        s2 = np.empty(len(ret))
        s2[0] = ret.var()
        for t in range(1, len(ret)):
            s2[t] = w + a * ret[t - 1] ** 2 + b * s2[t - 1]
        self.s2 = s2
        return 0.5 * np.sum(np.log(s2) + ret**2 / s2)

    def gradient(self, ret):
        self.loss(ret)
        w, a, b = self._unpack()
        gs = 0.5 * (1 / self.s2 - ret**2 / self.s2**2)
        carry, out = 0.0, np.zeros(3)
        for t in range(len(ret) - 1, 0, -1):
            carry = gs[t] + b * carry
            out += carry * np.array([1, ret[t - 1] ** 2, self.s2[t - 1]])
        return out * np.array([w, a * (1 - 2 * a), b * (1 - 2 * b)])


def _garch():
    return Garch11([-1.0, 0.3, 0.8]), np.random.default_rng(2).normal(size=25)


def _garch_proof():
    m, ret = _garch()
    return [(m.gradient(ret), H.true(lambda: m.loss(ret), m.theta))]


class KalmanLevel:
    """Local level model: filtered means. log variances of state and noise."""

    def __init__(self, log_q, log_r):
        self.log_q, self.log_r = np.array([log_q]), np.array([log_r])

    def forward(self, y):
        q, r = np.exp(self.log_q[0]), np.exp(self.log_r[0])
        m, P = 0.0, 1.0
        self.rec, out = [], np.empty_like(y)
        for t, obs in enumerate(y):
            Pp = P + q
            K = Pp / (Pp + r)
            self.rec.append((Pp, K, obs - m))
            m, P = m + K * (obs - m), (1 - K) * Pp
            out[t] = m
        return out

    def backward(self, dout):
        q, r = np.exp(self.log_q[0]), np.exp(self.log_r[0])
        dy, dm, dP, dq, dr = np.zeros_like(dout), 0.0, 0.0, 0.0, 0.0
        for t in reversed(range(len(dout))):
            Pp, K, innov = self.rec[t]
            dm = dm + dout[t]
            dK = dm * innov - dP * Pp
            dPp = dP * (1 - K)
            dy[t] = dm * K
            dm = dm * (1 - K)
            dPp += dK * r / (Pp + r) ** 2
            dr -= dK * Pp / (Pp + r) ** 2
            dq += dPp
            dP = dPp
        self.grad_log_q = np.array([dq])
        self.grad_log_r = np.array([dr * r])
        return dy


def _kalman():
    return KalmanLevel(-0.7, 0.4), np.random.default_rng(9).normal(size=10).cumsum()


class DirichletMultinomial:
    """log-likelihood per document; alpha = exp(eta)."""

    def __init__(self, eta):
        self.eta = eta

    def forward(self, counts):
        a = np.exp(self.eta)
        n = counts.sum(1)
        self.cache = (counts, n, a)
        return gammaln(a.sum()) - gammaln(a.sum() + n) + (gammaln(counts + a) - gammaln(a)).sum(1)

    def backward(self, g):
        counts, n, a = self.cache
        A = a.sum()
        per_doc = (digamma(A) - digamma(A + n))[:, None] + digamma(counts + a) - digamma(a)
        self.grad_eta = g @ per_doc * a


def _dm():
    counts = np.random.default_rng(1).integers(0, 9, (4, 5))
    return DirichletMultinomial(np.linspace(-0.5, 1, 5)), counts


class GammaDeviance:
    """sum of gamma NLL with a learned shape, mean given by the predictor"""

    def __init__(self, log_shape=0.3):
        self.log_shape = np.array(log_shape)

    def forward(self, mu, y):
        k = np.exp(self.log_shape)
        self.mu, self.y, self.k = mu, y, k
        ll = k * np.log(k * y / mu) - k * y / mu - np.log(y) - gammaln(k)
        return -ll.sum()

    def backward(self, dout=1.0):
        mu, y, k = self.mu, self.y, self.k
        dk = np.log(k * y / mu) + 1 - y / mu - (np.log(k) - 1 / (2 * k))
        self.dlog_shape = -dout * k * dk.sum()
        return dout * (k / mu - k * y / mu**2)


def _gamma():
    rng = np.random.default_rng(4)
    return GammaDeviance(), rng.uniform(0.5, 2, 6), rng.gamma(1.4, 1.0, 6)


class OrdinalHead(object):
    """Cumulative logit. cuts = c0, c0 + softplus(d1), ... so that they are in order."""

    def __init__(self, raw):
        self.raw = raw

    def forward(self, score):
        steps = np.log1p(np.exp(self.raw[1:]))
        self.cuts = np.cumsum(np.r_[self.raw[0], steps])
        self.cdf = 1 / (1 + np.exp(score[:, None] - self.cuts[None, :]))
        full = np.hstack([np.zeros((len(score), 1)), self.cdf, np.ones((len(score), 1))])
        return np.diff(full, axis=1)

    def backward(self, dprob):
        dcdf = dprob[:, :-1] - dprob[:, 1:]
        dz = dcdf * self.cdf * (1 - self.cdf)
        dcuts = dz.sum(axis=0)
        dsteps = np.cumsum(dcuts[::-1])[::-1]
        self.draw = dsteps / (1 + np.exp(-np.r_[np.inf, self.raw[1:]]))
        return -dz.sum(axis=1)


def _ordinal():
    rng = np.random.default_rng(7)
    return OrdinalHead(np.array([-1.0, 0.2, -0.4, 0.7])), rng.normal(size=6)


class BradleyTerry:
    """skills and home advantage; games (home, away), 1 if home won"""

    def __init__(self, skill, adv):
        self.params = {"skill": skill, "adv": adv}

    def loss(self, games, won):
        d = self.params["skill"][games[:, 0]] - self.params["skill"][games[:, 1]] + self.params["adv"]
        return np.mean(np.logaddexp(0, -np.where(won, d, -d)))

    def gradient(self, games, won):
        d = self.params["skill"][games[:, 0]] - self.params["skill"][games[:, 1]] + self.params["adv"]
        g = (1 / (1 + np.exp(-d)) - won) / len(won)
        n = len(self.params["skill"])
        up = np.bincount(games[:, 0], weights=g, minlength=n)
        down = np.bincount(games[:, 1], weights=g, minlength=n)
        return {"skill": down - up, "adv": np.array([g.sum()])}


def _bt():
    rng = np.random.default_rng(6)
    games = np.array([[0, 1], [1, 2], [2, 0], [3, 1], [0, 3], [2, 3], [1, 0]])
    return BradleyTerry(rng.normal(size=4), np.array([0.3])), games, np.array([1, 0, 1, 1, 0, 0, 1])


class OnlineScaler:
    """Learned gain on data scaled by exponentially forgotten moments, which every forward moves."""

    def __init__(self, d):
        self.gain, self.mean, self.var = np.linspace(0.5, 1.5, d), np.zeros(d), np.ones(d)

    def forward(self, x):
        self.z = (x - self.mean) / np.sqrt(self.var + 1e-6)
        self.scale = self.gain / np.sqrt(self.var + 1e-6)
        self.mean = 0.8 * self.mean + 0.2 * x.mean(0)
        self.var = 0.8 * self.var + 0.2 * x.var(0)
        return self.gain * self.z

    def backward(self, dy):
        self.dgain = (dy * self.z).sum(0)
        return dy * self.scale


def _habits():
    o, x, g = OnlineScaler(3), np.random.default_rng(8).normal(size=(5, 3)), np.full((5, 3), 1.7)
    o.forward(x)
    dx = H.true(lambda: np.sum(g * OnlineScaler(3).forward(x)), x)
    return [(o.backward(g), dx), (o.dgain, (g * x / (1 + 1e-6) ** 0.5).sum(0))]


ENTRIES = [
    Stranger(
        "matrix factorisation with biases",
        "network with loss and gradient, dict of params",
        lambda g: g.check_model(*_mf()),
        lambda: H.net(*_mf(), keys=["P", "Q", "bu", "bi", "mu"]),
    ),
    Stranger(
        "factorization machine: squares in V's gradient forgotten",
        "layer, grad_V and the like",
        lambda g: g.check_layer(*_fm()),
        lambda: H.layer(*_fm(), params=".w0>.grad_w0 .w>.grad_w .V>.grad_V"),
        "wrong",
        "the interaction of a feature with itself is not taken out of the gradient of V",
        ("missing-term",),
        ("V",),
        "        self.grad_V = self.X.T @ (g[:, None] * self.XV)\n",
        "        self.grad_V = self.X.T @ (g[:, None] * self.XV) - self.V * (self.X**2).T.dot(g)[:, None]\n",
    ),
    Stranger(
        "Black-Scholes and its Greeks",
        "backward returns a namedtuple",
        lambda g: g.check_layer(*_call()),
        lambda: H.layer(*_call(), h=1e-3),
    ),
    Stranger(
        "bonds on a zero curve: duration lacks the time",
        "params and grads as lists",
        lambda g: g.check_layer(*_bonds()),
        lambda: H.layer(*_bonds(), params=".params[0]>.grads[0]"),
        "wrong",
        "the gradient of the spread is summed without each cash flow's time",
        ("missing-term", "straight-through"),
        ("spread",),
        "        return dy.sum(axis=1)\n",
        "        return (self.t * dy).sum(axis=1)\n",
    ),
    Stranger(
        "GARCH(1,1) likelihood",
        "loss and gradient, one vector of parameters",
        lambda g: g.check_layer(*_garch()),
        _garch_proof,
    ),
    Stranger(
        "Kalman filter of a local level: log q as if it were q",
        "recursion, arrays of one number",
        lambda g: g.check_layer(*_kalman()),
        lambda: H.layer(*_kalman(), params=".log_q>.grad_log_q .log_r>.grad_log_r"),
        "wrong",
        "the gradient is with respect to q, though the parameter is its logarithm",
        ("log-parameter", "constant-factor"),
        ("log_q",),
        "        self.grad_log_q = np.array([dq])\n",
        "        self.grad_log_q = np.array([dq * q])\n",
    ),
    Stranger(
        "Dirichlet-multinomial of counts",
        "only a parameter has a gradient, input of integers",
        lambda g: g.check_layer(*_dm()),
        lambda: H.layer(*_dm(), params=".eta>.grad_eta"),
    ),
    Stranger(
        "gamma deviance: asymptotic digamma",
        "loss with a parameter, backward(dout=1.0)",
        lambda g: g.check_layer(*_gamma()),
        lambda: H.layer(*_gamma(), ret="0", params=".log_shape>.dlog_shape"),
        "wrong",
        "the derivative of gammaln is taken to be log(k) - 1/(2k) instead of digamma(k)",
        ("other-approximation",),
        ("log_shape",),
        "        dk = np.log(k * y / mu) + 1 - y / mu - (np.log(k) - 1 / (2 * k))\n",
        "        dk = np.log(k * y / mu) + 1 - y / mu - digamma(k)\n",
    ),
    Stranger(
        "ordinal regression's head with ordered cuts",
        "layer, parameter called raw",
        lambda g: g.check_layer(*_ordinal()),
        lambda: H.layer(*_ordinal(), params=".raw>.draw"),
    ),
    Stranger(
        "Bradley-Terry with home advantage: winner and loser exchanged",
        "network with loss and gradient",
        lambda g: g.check_model(*_bt()),
        lambda: H.net(*_bt(), keys=["skill", "adv"]),
        "wrong",
        "home team and visitors are exchanged in the gradient of the skills",
        ("sign-flipped",),
        ("skill",),
        '        return {"skill": down - up, "adv": np.array([g.sum()])}\n',
        '        return {"skill": up - down, "adv": np.array([g.sum()])}\n',
    ),
    Stranger(
        "scaler with running moments",
        "layer whose forward moves its state",
        lambda g: g.check_layer(OnlineScaler(3), np.random.default_rng(8).normal(size=(5, 3))),
        lambda: [],
        "habit",
        "forward changes the moments that the next forward uses",
        ("nondeterministic", "stale-residuals"),
    ),
]
