"""Grids, epidemics, climate, orbits, markets and fields."""

from collections import namedtuple

import numpy as np
from scipy.sparse import csr_array, diags_array, hstack, vstack
from scipy.special import ndtr

from ._entry import Stranger
from ._help_q import columns, pairs

# ~~~ AC power flow: bus 0 is the slack, 1 a generator (PV), 2..4 loads (PQ)
LINES = [(0, 1, 0.02 + 0.1j), (0, 2, 0.03 + 0.15j), (1, 3, 0.02 + 0.12j), (2, 3, 0.04 + 0.2j)]
LINES += [(3, 4, 0.05 + 0.2j)]
P_SPEC = np.array([0.5, -0.3, -0.4, -0.2])
Q_SPEC = np.array([-0.1, -0.15, -0.05])


def ybus():
    Y = np.zeros((5, 5), complex)
    for a, b, z in LINES:
        Y[a, a] += 1 / z
        Y[b, b] += 1 / z
        Y[a, b] -= 1 / z
        Y[b, a] -= 1 / z
    return csr_array(Y)


def voltages(x):
    va = np.concatenate([[0.0], x[:4]])
    vm = np.concatenate([[1.02, 1.01], x[4:]])
    return vm * np.exp(1j * va), vm


def mismatch(x):
    V, _ = voltages(x)
    S = V * np.conj(ybus() @ V)
    return np.concatenate([S.real[1:] - P_SPEC, S.imag[2:] - Q_SPEC])


def mismatch_jac(x):
    Y = ybus()
    V, vm = voltages(x)
    dV, dI, dn = diags_array(V), diags_array(Y @ V), diags_array(V / vm)
    dS_dva = csr_array(1j * dV @ (dI - Y @ dV).conj())
    dS_dvm = csr_array(dV @ (Y @ dn).conj() + dI.conj() @ dn)
    top = hstack([dS_dva.real[1:, 1:], dS_dvm.real[1:, 2:]])
    bottom = hstack([dS_dva.imag[2:, 1:], dS_dvm.imag[2:, 2:]])
    return vstack([top, bottom]).tocsr()


def _grid():
    return np.array([0.03, -0.05, -0.08, -0.12, 0.98, 0.97, 0.95])


# ~~~ SEIR fitted to weekly cases
class SEIR:
    def __init__(self, weeks, seed=0):
        rng = np.random.default_rng(seed)
        self.params = {"beta": rng.uniform(0.5, 1.5, weeks)}
        self.params.update(sigma=np.array([0.6]), gamma=np.array([0.4]))

    def run(self, x0):
        states = [np.asarray(x0, float)]
        for b in self.params["beta"]:
            s, e, i = states[-1]
            new, act, rec = b * s * i, self.params["sigma"][0] * e, self.params["gamma"][0] * i
            states.append(np.array([s - new, e + new - act, i + act - rec]))
        return states

    def predict(self, x0):
        return np.array([self.params["sigma"][0] * st[1] for st in self.run(x0)[:-1]])

    def loss(self, x0, t):
        return 0.5 * np.sum((self.predict(x0) - t) ** 2)

    def gradient(self, x0, t):
        states = self.run(x0)
        sig, gam = self.params["sigma"][0], self.params["gamma"][0]
        grads = {k: np.zeros_like(v) for k, v in self.params.items()}
        ls = le = li = 0.0
        for w in range(len(t) - 1, -1, -1):
            s, e, i = states[w]
            b = self.params["beta"][w]
            dact = (sig * e - t[w]) + li - le
            dnew = le - ls
            grads["beta"][w] = dnew * s * i
            grads["sigma"] += dact * e
            grads["gamma"] -= li * i
            ls, le, li = ls + dnew * b * i, le + dact * sig, li * (1 - gam) + dnew * b * s
        return grads


def _seir():
    return SEIR(6, seed=3), np.array([0.8, 0.1, 0.1]), np.array([0.07, 0.06, 0.08, 0.1, 0.09, 0.05])


def _prove_seir():
    net, x0, t = _seir()
    g = net.gradient(x0, t)
    names = sorted(net.params)
    return pairs([g[k] for k in names], lambda: net.loss(x0, t), *(net.params[k] for k in names))


# ~~~ zonal energy balance, steady state
class EnergyBalance:
    """S (1 - albedo(T)) = A + B T + k (T - mean T). Called with S it returns T; vjp(g) is implicit."""

    A, B = 203.0, 2.1

    def __init__(self, exchange):
        self.exchange = exchange

    @staticmethod
    def albedo(T):
        return 0.42 - 0.06 * np.tanh((T + 5) / 15)

    def _jac(self, S, T):
        da = -0.06 / 15 / np.cosh((T + 5) / 15) ** 2
        n = len(T)
        return np.diag(S * da + self.B) + np.diag(self.exchange) @ (np.eye(n) - np.ones((n, n)) / n)

    def __call__(self, S):
        T = np.full(len(S), 10.0)
        for _ in range(25):
            res = -S * (1 - self.albedo(T)) + self.A + self.B * T + self.exchange * (T - T.mean())
            T = T - np.linalg.solve(self._jac(S, T), res)
        self.S, self.T = S.copy(), T
        return T.copy()

    def vjp(self, g):
        lam = np.linalg.solve(self._jac(self.S, self.T).T, g)
        self.d_exchange = -lam * (self.T - self.T.mean())
        return lam * (1 - self.albedo(self.T))


def _planet():
    return EnergyBalance(np.array([3.0, 3.5, 4.0, 3.8, 3.2])), np.array([240.0, 330.0, 410.0, 350.0, 250.0])


def _prove_planet():
    model, S = _planet()
    g = np.random.default_rng(1).standard_normal(5)
    model(S)
    dS = model.vjp(g)
    return pairs([dS, model.d_exchange], lambda: g @ model(S), S, model.exchange)


# ~~~ Kepler
Op = namedtuple("Op", "fwd bwd")


def _kepler_fwd(M, e):
    E = M + e * np.sin(M)
    for _ in range(20):
        E = E - (E - e * np.sin(E) - M) / (1 - e * np.cos(E))
    nu = 2 * np.arctan2(np.sqrt(1 + e) * np.sin(E / 2), np.sqrt(1 - e) * np.cos(E / 2))
    return nu, (E, e)


def _kepler_bwd(gnu, res):
    E, e = res
    u = 1 - e * np.cos(E)
    root = np.sqrt(1 - e**2)
    gE = gnu * root / u
    return gE / u, gE * np.sin(E) / u + gnu * np.sin(E) / (root * u)


kepler = Op(_kepler_fwd, _kepler_bwd)


def _orbits():
    r = np.random.default_rng(2)
    return r.uniform(-2.5, 2.5, 6), r.uniform(0.05, 0.7, 6)


def _prove_kepler():
    M, e = _orbits()
    g = np.random.default_rng(3).standard_normal(6)
    return pairs(kepler.bwd(g, kepler.fwd(M, e)[1]), lambda: g @ kepler.fwd(M, e)[0], M, e, h=2e-4)


# ~~~ European call as an autograd function
class Context:
    pass


class BSCall:
    rate = 0.02

    @staticmethod
    def forward(ctx, spot, strike, vol, tau):
        s = vol * np.sqrt(tau)
        d1 = (np.log(spot / strike) + (BSCall.rate + vol**2 / 2) * tau) / s
        disc = np.exp(-BSCall.rate * tau)
        ctx.saved = spot, strike, vol, tau, d1, s, disc
        return spot * ndtr(d1) - strike * disc * ndtr(d1 - s)

    @staticmethod
    def backward(ctx, grad):
        spot, strike, vol, tau, d1, s, disc = ctx.saved
        pdf = np.exp(-(d1**2) / 2) / np.sqrt(2 * np.pi)
        vega = spot * pdf * np.sqrt(tau)
        theta = spot * pdf * vol / (2 * np.sqrt(tau)) + BSCall.rate * strike * disc * ndtr(d1 - s)
        return grad * ndtr(d1), -grad * disc * ndtr(d1 - s), grad * vega, grad * theta


def _options():
    r = np.random.default_rng(4)
    return r.uniform(0.8, 1.2, 5), np.ones(5), r.uniform(0.15, 0.4, 5), r.uniform(0.3, 2, 5)


def _prove_bs():
    args = _options()
    g = np.random.default_rng(5).standard_normal(5)
    ctx = Context()
    BSCall.forward(ctx, *args)
    return pairs(BSCall.backward(ctx, g), lambda: g @ BSCall.forward(Context(), *args), *args, h=2e-4)


# ~~~ Nelson-Siegel yields with their Jacobian
def nelson_siegel(beta, tau):
    b0, b1, b2, lam = beta
    z = tau / lam
    ez = np.exp(-z)
    f1 = (1 - ez) / z
    f2 = f1 - ez
    df1_dz = (ez - f1) / z
    dlam = (b1 * df1_dz + b2 * (df1_dz + ez)) * (-z / lam)
    return b0 + b1 * f1 + b2 * f2, np.column_stack([np.ones_like(tau), f1, f2, dlam])


TAU = np.array([0.25, 0.5, 1, 2, 5, 10, 20])


def _beta():
    return np.array([0.04, -0.02, 0.015, 1.8])


# ~~~ ensayo de fertilización; las parcelas perdidas son nan
class Ensayo:
    def __init__(self, dosis, cosecha):
        self.dosis = dosis
        self.vale = ~np.isnan(cosecha)
        self.cosecha = np.where(self.vale, cosecha, 0.0)

    def error(self, p):
        ajuste = p[0] * (1 - np.exp(-p[1] * (self.dosis + p[2])))
        return np.sum(np.where(self.vale, ajuste - self.cosecha, 0.0) ** 2) / self.vale.sum()

    def derivada(self, p):
        ex = np.exp(-p[1] * (self.dosis + p[2]))
        r = 2 * np.where(self.vale, p[0] * (1 - ex) - self.cosecha, 0.0) / self.vale.sum()
        return np.array([r @ (1 - ex), p[0] * r @ (ex * (self.dosis + p[2])), p[0] * p[1] * r @ ex])


def _ensayo():
    dosis = np.array([0, 0.3, 0.6, 0.9, 1.2, 1.5, 2.0])
    return Ensayo(dosis, np.array([2.1, 3.3, np.nan, 4.9, 5.2, np.nan, 5.9])), np.array([6.0, 1.2, 0.4])


def _prove_ensayo():
    e, p = _ensayo()
    return pairs([e.derivada(p)], lambda: e.error(p), p)


# ~~~ epidemic in several regions under a common weekly forcing
class RegionalSIS:
    def __init__(self, beta, forcing, gamma=0.3):
        self.beta, self.forcing, self.gamma = beta, forcing, gamma

    def forward(self, i):
        self.seen = []
        for f in self.forcing:
            self.seen.append(i)
            i = i + f * self.beta * i * (1 - i) - self.gamma * i
        return i

    def backward(self, g):
        Z = np.zeros((len(self.forcing), len(g)))
        for t in reversed(range(len(self.forcing))):
            i, f = self.seen[t], self.forcing[t]
            Z[t] = g * i * (1 - i)
            g = g * (1 + f * self.beta * (1 - 2 * i) - self.gamma)
        self.dbeta = (Z * self.forcing[:, None]).sum(axis=0)
        self.dforcing = (Z * self.beta).sum(axis=0)
        return g


def _regions():
    r = np.random.default_rng(6)
    return RegionalSIS(r.uniform(0.4, 1.2, 5), r.uniform(0.6, 1.4, 5)), r.uniform(0.05, 0.4, 5)


def _prove_regions():
    m, i0 = _regions()
    g = np.random.default_rng(7).standard_normal(5)
    m.forward(i0)
    d = m.backward(g)
    return pairs([d, m.dbeta, m.dforcing], lambda: g @ m.forward(i0), i0, m.beta, m.forcing)


# ~~~ growing degree days
class DegreeDays:
    base, cap = 8.0, 30.0

    def forward(self, tmin, tmax):
        mean = 0.5 * (tmin + tmax)
        self.grows = (mean > self.base) & (mean < self.cap)
        return np.cumsum(np.clip(mean, self.base, self.cap) - self.base)

    def backward(self, dout):
        d = np.cumsum(dout[::-1])[::-1]
        return 0.5 * d, 0.5 * d


def _spring():
    return np.array([1.0, 4, 3, 9, 11, 14, 22, 21]), np.array([9.0, 13, 8, 19, 24, 25, 43, 36])


def _prove_days():
    op, (lo, hi) = DegreeDays(), _spring()
    g = np.random.default_rng(8).standard_normal(8)
    op.forward(lo, hi)
    return pairs(op.backward(g), lambda: g @ op.forward(lo, hi), lo, hi)


# ~~~ volatility of portfolios
class PortfolioRisk:
    def __init__(self, cov):
        self.cov = cov

    def forward(self, w):
        self.w = w
        self.exposure = w @ self.cov
        self.vol = np.sqrt(np.sum(w * self.exposure, axis=1))
        return self.vol

    def backward(self, dvol):
        scale = (dvol / self.vol)[:, None]
        dw = self.exposure * scale
        return dw * dvol[:, None]


def _portfolio():
    r = np.random.default_rng(9)
    a = r.standard_normal((6, 4))
    return PortfolioRisk(a.T @ a / 6), r.dirichlet(np.ones(4), 3)


def _prove_portfolio():
    op, w = _portfolio()
    g = np.random.default_rng(10).standard_normal(3)
    op.forward(w)
    return pairs([op.backward(g)], lambda: g @ op.forward(w), w)


ENTRIES = [
    Stranger(
        "Power flow mismatch",
        "f and sparse jac",
        lambda gradlab: gradlab.check_jacobian(mismatch, mismatch_jac, _grid()),
        lambda: [(mismatch_jac(_grid()).toarray(), columns(mismatch, _grid()))],
    ),
    Stranger(
        "SEIR fitted to weekly cases",
        "net with params dict, loss and gradient",
        lambda gradlab: gradlab.check_layer(*_seir()),
        _prove_seir,
    ),
    Stranger(
        "Energy balance of a planet, steady state",
        "callable with vjp method, implicit",
        lambda gradlab: gradlab.check_layer(*_planet()),
        _prove_planet,
    ),
    Stranger(
        "Kepler's true anomaly",
        "namedtuple of two functions",
        lambda gradlab: gradlab.check_cached_pair(kepler.fwd, kepler.bwd, _orbits()),
        _prove_kepler,
    ),
    Stranger(
        "European call by Black and Scholes",
        "autograd function with ctx",
        lambda gradlab: gradlab.check_layer(BSCall, *_options()),
        _prove_bs,
    ),
    Stranger(
        "Nelson-Siegel yields",
        "values and Jacobian",
        lambda gradlab: gradlab.check_jacobian(nelson_siegel, True, _beta(), args=(TAU,)),
        lambda: [(nelson_siegel(_beta(), TAU)[1], columns(lambda b: nelson_siegel(b, TAU)[0], _beta()))],
    ),
    Stranger(
        "Ensayo with lost plots",
        "methods f and grad, nan masked",
        lambda gradlab: gradlab.check_gradient(_ensayo()[0].error, _ensayo()[0].derivada, _ensayo()[1]),
        _prove_ensayo,
    ),
    Stranger(
        "Regional SIS: forcing summed over the weeks",
        "layer with attributes",
        lambda gradlab: gradlab.check_layer(*_regions()),
        _prove_regions,
        "wrong",
        "the weekly forcing's gradient is summed over the weeks instead of the regions",
        ("wrong-sum-axis",),
        ("forcing",),
        "(Z * self.beta).sum(axis=0)",
        "(Z * self.beta).sum(axis=1)",
    ),
    Stranger(
        "Degree days: days outside the limits count too",
        "layer, two inputs",
        lambda gradlab: gradlab.check_layer(DegreeDays(), *_spring()),
        _prove_days,
        "wrong",
        "the clip's mask is not applied: cold and hot days pass the gradient on",
        ("straight-through", "masked-region"),
        ("tmin", "tmax"),
        "        return 0.5 * d, 0.5 * d\n",
        "        return 0.5 * d * self.grows, 0.5 * d * self.grows\n",
    ),
    Stranger(
        "Portfolio risk: cotangent applied twice",
        "layer",
        lambda gradlab: gradlab.check_layer(*_portfolio()),
        _prove_portfolio,
        "wrong",
        "dw has the cotangent in it already and is multiplied by it once more",
        ("nonlinear-in-cotangent",),
        ("w",),
        "        return dw * dvol[:, None]\n",
        "        return dw\n",
    ),
]
