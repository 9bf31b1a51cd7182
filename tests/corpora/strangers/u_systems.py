"""Grids, roads, rivers, radios, markets."""

from dataclasses import dataclass, field

import numpy as np
import scipy.sparse as sp
from scipy.special import logsumexp, softmax

from ._entry import Stranger
from ._help_u import numeric_jac, prove_layer, prove_pair


class PowerFlow:
    """Injections P, Q at the buses for x = (angles, magnitudes)."""

    def __init__(self, lines, n):
        Y = sp.lil_array((n, n), dtype=complex)
        for i, j, z in lines:
            Y[i, j] -= 1 / z
            Y[j, i] -= 1 / z
            Y[i, i] += 1 / z + 0.02j
            Y[j, j] += 1 / z + 0.02j
        self.Y, self.n = Y.tocsr(), n

    def injections(self, x):
        V = x[self.n :] * np.exp(1j * x[: self.n])
        S = V * np.conj(self.Y @ V)
        return np.concatenate((S.real, S.imag))

    def jacobian(self, x):
        V = x[self.n :] * np.exp(1j * x[: self.n])
        dV, dI, dU = sp.diags_array(V), sp.diags_array(self.Y @ V), sp.diags_array(V / np.abs(V))
        ang = 1j * dV @ (dI - self.Y @ dV).conj()
        mag = dV @ (self.Y @ dU).conj() + dI.conj() @ dU
        return sp.block_array([[ang.real, mag.real], [ang.imag, mag.imag]], format="csr")


def _network():
    g = np.random.default_rng(1)
    lines = [(0, 1, 0.1 + 0.3j), (1, 2, 0.05 + 0.2j), (2, 3, 0.08 + 0.4j), (3, 4, 0.1 + 0.25j), (0, 4, 0.2j)]
    return PowerFlow(lines, 5), np.concatenate((0.2 * g.normal(size=5), g.uniform(0.95, 1.05, 5)))


def _prove_network():
    pf, x = _network()
    return [(pf.jacobian(x).toarray(), numeric_jac(pf.injections, x))]


class Freeway:
    """Daganzo's cell transmission model: the flow into a cell is the least of demand, capacity and supply."""

    def __init__(self, v=0.6, w=0.3, qmax=0.25, jam=1.0):
        self.v, self.w, self.qmax, self.jam = v, w, qmax, jam

    def simulate(self, density, inflow):
        self.which = []
        for q_in in inflow:
            demand = np.append(q_in, self.v * density)
            supply = np.append(self.w * (self.jam - density), np.inf)
            options = np.stack((demand, np.full_like(demand, self.qmax), supply))
            self.which.append(options.argmin(axis=0))
            density = density - np.diff(options.min(axis=0))
        return density

    def adjoint(self, lam):
        dq = np.empty(len(self.which))
        for t in range(len(dq) - 1, -1, -1):
            dflow = np.append(lam, 0.0) - np.insert(lam, 0, 0.0)
            ddemand, dsupply = dflow * (self.which[t] == 0), dflow * (self.which[t] == 2)
            dq[t] = ddemand[0]
            lam = lam + self.v * ddemand[1:] - self.w * dsupply[:-1]
        return lam, dq


def _freeway():
    g = np.random.default_rng(2)
    return Freeway(), (g.uniform(0.05, 0.9, 8), g.uniform(0.05, 0.3, 5))


class SoftDemapper:
    """Log-likelihood ratios of the bits of received 16-QAM symbols (n, 2), for a noise power n0 (n,)."""

    def __init__(self):
        lev = np.array([-3, -1, 3, 1]) / np.sqrt(10)
        k = np.arange(16)
        self.points = np.stack((lev[k >> 2], lev[k & 3]), axis=1)
        self.bits = (k[:, None] >> np.arange(3, -1, -1)) & 1 == 1

    def forward(self, y, n0):
        self.diff = y[:, None] - self.points
        self.d2 = np.sum(self.diff**2, axis=-1)
        self.n0 = n0
        metric = (-self.d2 / n0[:, None])[:, :, None]
        m1, m0 = np.where(self.bits, metric, -np.inf), np.where(self.bits, -np.inf, metric)
        self.post = softmax(m1, axis=1) - softmax(m0, axis=1)
        return logsumexp(m1, axis=1) - logsumexp(m0, axis=1)

    def backward(self, dllr):
        dmetric = np.einsum("npb,nb->np", self.post, dllr)
        dd2 = -dmetric / self.n0[:, None]
        return 2 * np.einsum("np,npc->nc", dd2, self.diff), np.sum(dmetric * self.d2, axis=1) / self.n0**2


def _symbols():
    g = np.random.default_rng(3)
    return g.normal(size=(6, 2)), g.uniform(0.3, 0.9, 6)


class AmericanPut:
    """Cox-Ross-Rubinstein tree, early exercise. forward(spot, vol) -> prices; backward -> delta, vega."""

    def __init__(self, strike, rate=0.05, T=1.0, steps=12):
        self.K, self.dt, self.N = strike, T / steps, steps
        self.growth = np.exp(rate * self.dt)

    def forward(self, spot, vol):
        u = np.exp(vol * np.sqrt(self.dt))
        p = (self.growth - 1 / u) / (u - 1 / u)
        levels = [spot[:, None] * u[:, None] ** (2 * np.arange(i + 1) - i) for i in range(self.N + 1)]
        V = np.maximum(self.K - levels[-1], 0)
        nodes = []
        for S in levels[-2::-1]:
            hold = (p[:, None] * V[:, 1:] + (1 - p[:, None]) * V[:, :-1]) / self.growth
            early = self.K - S > hold
            nodes.append((S, V, early))
            V = np.where(early, self.K - S, hold)
        self.saved = spot, u, p, levels[-1], nodes[::-1]
        return V[:, 0]

    def backward(self, dprice):
        spot, u, p, last, nodes = self.saved
        dp, dspot, dlogu = (np.zeros_like(spot) for _ in range(3))
        g = dprice[:, None]
        for i, (S, V, early) in enumerate(nodes):
            gS = -g * early * S
            dspot += gS.sum(1) / spot
            dlogu += (gS * (2 * np.arange(i + 1) - i)).sum(1)
            g = np.where(early, 0, g) / self.growth
            dp += (g * np.diff(V, axis=1)).sum(1)
            g = np.pad(g * p[:, None], ((0, 0), (1, 0))) + np.pad(g * (1 - p[:, None]), ((0, 0), (0, 1)))
        gS = -g * (last < self.K) * last
        dspot += gS.sum(1) / spot
        dlogu += (gS * (2 * np.arange(self.N + 1) - self.N)).sum(1)
        dp_du = ((u - 1 / u) / u**2 - (self.growth - 1 / u) * (1 + 1 / u**2)) / (u - 1 / u) ** 2
        return dspot, np.sqrt(self.dt) * (dlogu + dp * dp_du * u)


def _puts():
    return np.array([0.904, 0.946, 1.182, 1.246]), np.array([0.228, 0.248, 0.399, 0.42])


@dataclass
class NashCascade:
    """Linear reservoirs one behind the other: rain (T,) -> discharge (T,)."""

    log_k: np.ndarray
    storage: np.ndarray
    grad_log_k: np.ndarray = None
    grad_storage: np.ndarray = None
    _trace: list = field(default_factory=list, repr=False)

    def forward(self, rain):
        rate = 1 / (1 + np.exp(self.log_k))
        s, q = self.storage.copy(), np.empty_like(rain)
        self._trace = []
        for t, r in enumerate(rain):
            self._trace.append(s)
            out = rate * s
            s = s - out + np.concatenate(([r], out[:-1]))
            q[t] = out[-1]
        return q

    def backward(self, dq):
        rate = 1 / (1 + np.exp(self.log_k))
        ds, drate = np.zeros_like(rate), np.zeros_like(rate)
        drain = np.empty_like(dq)
        for t in reversed(range(len(dq))):
            drain[t] = ds[0]
            dout = -ds
            dout[:-1] += ds[1:]
            dout[-1] += dq[t]
            drate += dout * self._trace[t]
            ds = ds + dout * rate
        self.grad_log_k = -drate * rate * (1 - rate)
        self.grad_storage = ds
        return drain


def _river():
    g = np.random.default_rng(5)
    return NashCascade(g.normal(size=3), g.uniform(0.5, 1.5, 3)), g.exponential(size=14)


# ============================== with mistakes ==============================


def idm(v, dv, gap, v0=30.0, T=1.5, a=1.2, b=2.0, s0=2.0):
    """Intelligent driver model: accelerations; dv is the approaching rate."""
    dyn = v * T + v * dv / (2 * np.sqrt(a * b))
    ss = s0 + np.maximum(dyn, 0)
    return a * (1 - (v / v0) ** 4 - (ss / gap) ** 2), (v, dv, gap, dyn, ss, v0, T, a, b)


def idm_vjp(g, res):
    v, dv, gap, dyn, ss, v0, T, a, b = res
    dss = -2 * a * g * ss / gap**2
    ddyn = dss
    c = 2 * np.sqrt(a * b)
    return -4 * a * g * v**3 / v0**4 + ddyn * (T + dv / c), ddyn * v / c, 2 * a * g * ss**2 / gap**3


def _cars():
    g = np.random.default_rng(6)
    dv = np.array([2.0, -7.5, 1.0, -6.0, -1.5, 0.5, -8.0])
    return g.uniform(8, 25, 7), dv, g.uniform(12, 30, 7)


class LineFlow:
    """Active power that enters each line: V_i^2 g - V_i V_j (g cos d + b sin d), d = th_i - th_j."""

    def __init__(self, g, b):
        self.g, self.b = g, b

    def forward(self, Vi, Vj, thi, thj):
        d = thi - thj
        self.cs = self.g * np.cos(d) + self.b * np.sin(d)
        self.sn = self.b * np.cos(d) - self.g * np.sin(d)
        self.Vi, self.Vj = Vi, Vj
        return Vi**2 * self.g - Vi * Vj * self.cs

    def backward(self, dP):
        dVi = dP * (2 * self.Vi * self.g - self.Vj * self.cs)
        dVj = -dP * self.Vi * self.cs
        dthi = -dP * self.Vi * self.Vj * self.sn
        dthj = -dP * self.Vi * self.Vj * self.sn
        return dVi, dVj, dthi, dthj


def _lines():
    r = np.random.default_rng(7)
    return (
        LineFlow(r.uniform(0.5, 1.5, 6), r.uniform(-8, -4, 6)),
        (r.uniform(0.9, 1.1, 6), r.uniform(0.9, 1.1, 6), 0.3 * r.normal(size=6), 0.3 * r.normal(size=6)),
    )


class MMSEEqualizer:
    """One tap for each subcarrier: x_hat = h y / (h^2 + noise)."""

    noise = 0.08

    def forward(self, h, y):
        self.h, self.y = h, y
        self.tap = h / (h * h + self.noise)
        return self.tap * y

    def backward(self, dx):
        den = self.h * self.h + 1e-6
        dh = dx * self.y * (1 / den - 2 * self.h**2 / den**2)
        return dh, dx * self.tap


def _carriers():
    g = np.random.default_rng(8)
    return g.uniform(0.5, 1.5, (3, 4)), g.normal(size=(3, 4))


class NelsonSiegel:
    """Yield curves: (C, T) yields at the maturities tau, from beta (C, 3) and lam (C,)."""

    def __init__(self, beta, lam):
        self.params = [beta, lam]
        self.grads = [None, None]

    def forward(self, tau):
        beta, lam = self.params
        x = tau / lam[:, None]
        e = np.exp(-x)
        f = (1 - e) / x
        self.tmp = x, e, f
        return beta[:, :1] + beta[:, 1:2] * f + beta[:, 2:] * (f - e)

    def backward(self, dy):
        beta, lam = self.params
        x, e, f = self.tmp
        df = (e - f) / x
        dx = dy * (beta[:, 1:2] * df + beta[:, 2:] * (df + e))
        self.grads[0] = np.stack([dy.sum(1), (dy * f).sum(1), (dy * (f - e)).sum(1)], axis=1)
        self.grads[1] = -(dx * x).sum(1)
        return (dx / lam[:, None]).sum(0)


def _yields():
    g = np.random.default_rng(9)
    return NelsonSiegel(g.normal(size=(3, 3)), g.uniform(1.5, 3, 3)), np.array([0.5, 1, 2, 3, 5, 7, 10.0])


def _layer(make, gradlab):
    o, x = make()
    return gradlab.check_layer(o, *(x if isinstance(x, tuple) else (x,)))


ENTRIES = [
    Stranger(
        "u: power flow, sparse Jacobian",
        "f and sparse Jacobian",
        lambda gradlab: (lambda o, x: gradlab.check_jacobian(o.injections, o.jacobian, x))(*_network()),
        _prove_network,
    ),
    Stranger(
        "u: cell transmission model of a freeway",
        "object with simulate and adjoint",
        lambda gradlab: _layer(_freeway, gradlab),
        lambda: (lambda o, x: prove_layer(o.simulate, o.adjoint, x, step=1e-4))(*_freeway()),
    ),
    Stranger(
        "u: soft demapper of 16-QAM",
        "layer, tuple of gradients",
        lambda gradlab: gradlab.check_layer(SoftDemapper(), *_symbols()),
        lambda: (lambda o: prove_layer(o.forward, o.backward, _symbols()))(SoftDemapper()),
    ),
    Stranger(
        "u: American put on a binomial tree",
        "layer, tuple of gradients",
        lambda gradlab: gradlab.check_layer(AmericanPut(1.07), *_puts()),
        lambda: (lambda o: prove_layer(o.forward, o.backward, _puts(), step=1e-4))(AmericanPut(1.07)),
    ),
    Stranger(
        "u: cascade of reservoirs as a dataclass",
        "dataclass with log_k and grad_log_k",
        lambda gradlab: _layer(_river, gradlab),
        lambda: (
            lambda o, x: prove_layer(
                o.forward, o.backward, (x,), (o.log_k, o.storage), lambda: (o.grad_log_k, o.grad_storage)
            )
        )(*_river()),
    ),
    Stranger(
        "u: intelligent driver model: clipped term goes on",
        "pair with cache",
        lambda gradlab: gradlab.check_cached_pair(idm, idm_vjp, _cars()),
        lambda: prove_pair(idm, idm_vjp, _cars()),
        truth="wrong",
        mistake="where the dynamic gap is clipped at zero its slope is still passed on",
        names=("masked-region", "straight-through"),
        of=("v", "dv"),
        line="    ddyn = dss",
        mended="    ddyn = dss * (dyn > 0)",
    ),
    Stranger(
        "u: power that enters a line: same sign at both ends",
        "layer, four gradients",
        lambda gradlab: _layer(_lines, gradlab),
        lambda: (lambda o, x: prove_layer(o.forward, o.backward, x))(*_lines()),
        truth="wrong",
        mistake="the far end's angle has the sign of the near end's",
        names=("sign-flipped",),
        of=("thj",),
        line="        dthj = -dP * self.Vi * self.Vj * self.sn",
        mended="        dthj = dP * self.Vi * self.Vj * self.sn",
    ),
    Stranger(
        "u: MMSE equaliser: another regulariser in backward",
        "layer, tuple of gradients",
        lambda gradlab: gradlab.check_layer(MMSEEqualizer(), *_carriers()),
        lambda: (lambda o: prove_layer(o.forward, o.backward, _carriers()))(MMSEEqualizer()),
        truth="wrong",
        mistake="backward's denominator has 1e-6 where forward's has the noise power",
        names=("epsilon-mismatch",),
        of=("h",),
        line="        den = self.h * self.h + 1e-6",
        mended="        den = self.h * self.h + self.noise",
    ),
    Stranger(
        "u: Nelson-Siegel yield curves: derivative by the logarithm of lambda",
        "layer with lists params and grads",
        lambda gradlab: _layer(_yields, gradlab),
        lambda: (lambda o, x: prove_layer(o.forward, o.backward, (x,), o.params, lambda: o.grads))(
            *_yields()
        ),
        truth="wrong",
        mistake="the gradient of lam lacks 1 / lam: it is that by log(lam)",
        names=("log-parameter", "missing-factor"),
        of=("lam",),
        line="        self.grads[1] = -(dx * x).sum(1)",
        mended="        self.grads[1] = -(dx * x).sum(1) / lam",
    ),
]
