"""Recurrent cells, state-space models, epidemics, ODEs."""

import numpy as np

from . import _help_i as H
from ._entry import Stranger


def sigmoid(z):
    return 1.0 / (1.0 + np.exp(-z))


class MinimalGatedUnit:
    """Zhou et al. 2016. x (T, B, D), returns all hidden states."""

    def __init__(self, D, Hd, seed=0):
        r = np.random.default_rng(seed)
        self.params = dict(
            Wf=r.normal(size=(D + Hd, Hd)) / 2,
            bf=np.ones(Hd),
            Wh=r.normal(size=(D + Hd, Hd)) / 2,
            bh=np.zeros(Hd),
        )
        self.grads = {}
        self.size = Hd

    def forward(self, x):
        p, T, B = self.params, x.shape[0], x.shape[1]
        h = np.zeros((B, self.size))
        self.steps, hs = [], []
        for t in range(T):
            a = np.hstack([x[t], h])
            f = sigmoid(a @ p["Wf"] + p["bf"])
            b = np.hstack([x[t], f * h])
            c = np.tanh(b @ p["Wh"] + p["bh"])
            self.steps.append((a, b, f, c, h))
            h = (1 - f) * h + f * c
            hs.append(h)
        return np.array(hs)

    def backward(self, dhs):
        p = self.params
        g = {k: np.zeros_like(v) for k, v in p.items()}
        D = p["Wf"].shape[0] - self.size
        dx, dh = [], 0
        for t, (a, b, f, c, h) in reversed(list(enumerate(self.steps))):
            dh = dh + dhs[t]
            dc = dh * f * (1 - c**2)
            g["Wh"] += b.T @ dc
            g["bh"] += dc.sum(0)
            db = dc @ p["Wh"].T
            df = (dh * (c - h) + db[:, D:] * h) * f * (1 - f)
            g["Wf"] += a.T @ df
            g["bf"] += df.sum(0)
            da = df @ p["Wf"].T
            dx.insert(0, db[:, :D] + da[:, :D])
            dh = dh * (1 - f) + db[:, D:] * f + da[:, D:]
        self.grads = g
        return np.array(dx)


def _mgu():
    return MinimalGatedUnit(3, 2), np.random.default_rng(1).normal(size=(4, 2, 3))


class PeepholeCell:
    """LSTM step with peepholes: x, h, c -> h, c. Forget and input gates see the old c, output the new."""

    def __init__(self, W, peep):
        self.W, self.peep = W, peep  # peep: rows f, i, o

    def forward(self, x, h, c):
        z = np.concatenate([x, h], axis=1) @ self.W
        zf, zi, zg, zo = np.split(z, 4, axis=1)
        f = sigmoid(zf + self.peep[0] * c)
        i = sigmoid(zi + self.peep[1] * c)
        g = np.tanh(zg)
        c_new = f * c + i * g
        o = sigmoid(zo + self.peep[2] * c_new)
        tc = np.tanh(c_new)
        self.saved = x, h, c, f, i, g, c_new, o, tc
        return o * tc, c_new

    def backward(self, dh, dc):
        x, h, c, f, i, g, c_new, o, tc = self.saved
        do = dh * tc * o * (1 - o)
        dc = dc + dh * o * (1 - tc**2) + do * self.peep[2]
        df = dc * c * f * (1 - f)
        di = dc * g * i * (1 - i)
        dg = dc * i * (1 - g**2)
        self.dpeep = np.stack([(df * c).sum(0), (di * c).sum(0), (do * c).sum(0)])
        dz = np.concatenate([df, di, dg, do], axis=1)
        self.dW = np.concatenate([x, h], axis=1).T @ dz
        din = dz @ self.W.T
        n = x.shape[1]
        return din[:, :n], din[:, n:], dc * f + df * self.peep[0] + di * self.peep[1]


def _peephole():
    r = np.random.default_rng(2)
    cell = PeepholeCell(r.normal(size=(5, 12)) * 0.5, r.normal(size=(3, 3)))
    return cell, r.normal(size=(4, 2)), r.normal(size=(4, 3)), r.normal(size=(4, 3))


class LeakyReservoir:
    """Echo state network: fixed random reservoir; leak per unit and the readout are trained."""

    def __init__(self, n_in, n_res, n_out, seed):
        rs = np.random.RandomState(seed)
        self._win = rs.uniform(-1, 1, (n_res, n_in))
        self._wres = rs.uniform(-1, 1, (n_res, n_res)) * 0.5
        self.leak = rs.uniform(0.3, 0.9, n_res)
        self.readout = rs.randn(n_out, n_res)

    def forward(self, u):
        s = np.zeros(len(self.leak))
        self.u, self.S, self.A = u, [s], []
        for ut in u:
            act = np.tanh(self._win @ ut + self._wres @ s)
            s = (1 - self.leak) * s + self.leak * act
            self.S.append(s)
            self.A.append(act)
        return np.array(self.S[1:]) @ self.readout.T

    def backward(self, dy):
        self.dreadout = dy.T @ np.array(self.S[1:])
        self.dleak = np.zeros_like(self.leak)
        ds_out = dy @ self.readout
        ds, du = np.zeros_like(self.leak), np.zeros_like(self.u)
        for t in range(len(dy))[::-1]:
            ds = ds + ds_out[t]
            self.dleak += ds * (self.A[t] - self.S[t])
            dz = ds * self.leak * (1 - self.A[t] ** 2)
            du[t] = self._win.T @ dz
            ds = ds * (1 - self.leak) + self._wres.T @ dz
        return du


def _reservoir():
    return LeakyReservoir(2, 5, 2, 3), np.random.RandomState(0).randn(6, 2)


class SIRSimulator:
    """Daily SIR with a transmission rate for every day (log). Output: infected, day by day."""

    def __init__(self, log_beta, gamma):
        self.log_beta = log_beta
        self.gamma = gamma

    def forward(self, start):
        S, I = start
        self.days = []
        out = []
        for lb in self.log_beta:
            new = np.exp(lb) * S * I
            self.days.append((S, I, np.exp(lb)))
            S, I = S - new, I + new - self.gamma[0] * I
            out.append(I)
        return np.array(out)

    def backward(self, dI_out):
        dS = dI = 0.0
        self.dlog_beta, self.dgamma = np.zeros_like(self.log_beta), np.zeros(1)
        for t in range(len(dI_out) - 1, -1, -1):
            S, I, beta = self.days[t]
            dI += dI_out[t]
            dnew = dI - dS
            self.dgamma -= dI * I
            self.dlog_beta[t] = dnew * beta * S * I
            dS, dI = dS + dnew * beta * I, dI * (1 - self.gamma[0]) + dnew * beta * S
        return np.array([dS, dI])


def _sir():
    rng = np.random.default_rng(4)
    return SIRSimulator(rng.uniform(-1, 0, 8), np.array([0.2])), np.array([0.9, 0.1])


class SEIR:
    """compartments S E I R, rates given per region: simulate n days, returns the final state (regions, 4)"""

    days = 5

    def forward(self, y, beta, sigma, gamma):
        self.trail, self.rates = [], (beta, sigma, gamma)
        for _ in range(self.days):
            self.trail.append(y)
            s, e, i, r = y.T
            a, b, c = beta * s * i, sigma * e, gamma * i
            y = np.stack([s - a, e + a - b, i + b - c, r + c], axis=1)
        return y

    def backward(self, dy):
        beta, sigma, gamma = self.rates
        dbeta = dsigma = dgamma = 0
        for y in self.trail[::-1]:
            s, e, i, r = y.T
            ds, de, di, dr = dy.T
            da, db, dc = de - ds, di - de, dr - di
            dbeta = dbeta + da * s * i
            dsigma = dsigma + db * e
            dgamma = dgamma + dc * i
            dy = np.stack([ds + da * beta * i, de + db * sigma, di + da * beta * s + dc * gamma, dr], axis=1)
        return dy, dbeta, dgamma, dsigma


def _seir():
    rng = np.random.default_rng(5)
    y = rng.dirichlet([6, 1, 2, 1], 3)
    return SEIR(), y, rng.uniform(0.5, 1, 3), rng.uniform(0.2, 0.4, 3), rng.uniform(0.1, 0.3, 3)


class GRUCell:
    # reset and update gate in one matrix, as in cuDNN: columns [r | z]
    def __init__(self, n, rng):
        self.n = n
        self.Wg, self.Ug = rng.normal(size=(n, 2 * n)) / 2, rng.normal(size=(n, 2 * n)) / 2
        self.Wc, self.Uc = rng.normal(size=(n, n)) / 2, rng.normal(size=(n, n)) / 2

    def forward(self, x, h):
        n = self.n
        gates = sigmoid(x @ self.Wg + h @ self.Ug)
        r, z = gates[:, :n], gates[:, n:]
        hu = h @ self.Uc
        c = np.tanh(x @ self.Wc + r * hu)
        self.cache = x, h, r, z, hu, c
        return z * h + (1 - z) * c

    def backward(self, dnew):
        x, h, r, z, hu, c = self.cache
        dc = dnew * (1 - z) * (1 - c * c)
        dr = dc * hu * r * (1 - r)
        dz = dnew * (h - c) * z * (1 - z)
        dgates = np.hstack([dz, dr])
        self.dWg, self.dUg = x.T @ dgates, h.T @ dgates
        self.dWc, self.dUc = x.T @ dc, h.T @ (dc * r)
        dx = dgates @ self.Wg.T + dc @ self.Wc.T
        dh = dgates @ self.Ug.T + (dc * r) @ self.Uc.T + dnew * z
        return dx, dh


def _gru():
    rng = np.random.default_rng(6)
    return GRUCell(3, rng), rng.normal(size=(4, 3)), rng.normal(size=(4, 3))


class NeuralODE:
    """One classical Runge-Kutta step of dy/dt = tanh(y A + b); stages are replayed backwards."""

    def __init__(self, A, b, h=0.5):
        self.A, self.b, self.h = A, b, h

    def field(self, y):
        f = np.tanh(y @ self.A + self.b)

        def pull(df):
            dz = df * (1 - f**2)
            self.gA += y.T @ dz
            self.gb += dz.sum(axis=0)
            return dz @ self.A.T

        return f, pull

    def forward(self, y):
        h = self.h
        k1, self.p1 = self.field(y)
        k2, self.p2 = self.field(y + h / 2 * k1)
        k3, self.p3 = self.field(y + h / 2 * k2)
        k4, self.p4 = self.field(y + h * k3)
        return y + h / 6 * (k1 + 2 * k2 + 2 * k3 + k4)

    def backward(self, g):
        h = self.h
        self.gA, self.gb = np.zeros_like(self.A), np.zeros_like(self.b)
        g4 = self.p4(h / 6 * g)
        g3 = self.p3(h / 3 * g + h * g4)
        g2 = self.p2(h / 3 * g + h / 2 * g3)
        g1 = self.p1(h / 6 * g + h / 2 * g2)
        return g + g1 + g2 + g3 + g4


def _ode():
    rng = np.random.default_rng(7)
    return NeuralODE(rng.normal(size=(3, 3)), rng.normal(size=3)), rng.normal(size=(4, 3))


class DiagonalSSM:
    """S4D-like, real: s[t] = a s[t-1] + b u[t], y[t] = c . s[t]; one input channel, N modes."""

    def __init__(self, a, b, c):
        self.a, self.b, self.c = a, b, c

    def forward(self, u):
        self.u = u
        self.s = np.zeros((len(u) + 1, len(self.a)))
        for t in range(len(u)):
            self.s[t + 1] = self.a * self.s[t] + self.b * u[t]
        return self.s[1:] @ self.c

    def backward(self, dy):
        self.dc = dy @ self.s[1:]
        self.da, self.db = np.zeros_like(self.a), np.zeros_like(self.b)
        du, ds = np.empty_like(dy), np.zeros_like(self.a)
        for t in range(len(dy) - 1, -1, -1):
            ds = self.a * ds + dy[t] * self.c
            self.da += ds * self.s[t]
            self.db += dy[t] * self.c * self.u[t]
            du[t] = ds @ self.b
        return du


def _ssm():
    rng = np.random.default_rng(8)
    return DiagonalSSM(rng.uniform(0.3, 0.9, 4), rng.normal(size=4), rng.normal(size=4)), rng.normal(size=9)


class ClockworkRNN:
    """Two modules of units: the slow one ticks at even times only, and sees only itself."""

    def __init__(self, rng, d=2, n=4):
        self.Wx, self.Wh = rng.normal(size=(d, n)), rng.normal(size=(n, n)) * 0.5
        self.wiring = np.ones((n, n))
        self.wiring[: n // 2, n // 2 :] = 0
        self.slow = np.arange(n) >= n // 2

    def forward(self, xs):
        self.trace, h = [], np.zeros(len(self.slow))
        for t, x in enumerate(xs):
            tick = ~self.slow | (t % 2 == 0)
            new = np.tanh(x @ self.Wx + h @ (self.Wh * self.wiring))
            self.trace.append((x, h, new, tick))
            h = np.where(tick, new, h)
        return h

    def backward(self, dh):
        self.dWx, self.dWh = np.zeros_like(self.Wx), np.zeros_like(self.Wh)
        dxs = []
        while self.trace:
            x, h, new, tick = self.trace.pop()
            dz = np.where(tick, dh, 0) * (1 - new**2)
            self.dWx += np.outer(x, dz)
            self.dWh += np.outer(h, dz) * self.wiring
            dxs.append(self.Wx @ dz)
            dh = np.where(tick, 0, dh) + (self.Wh * self.wiring) @ dz
        return np.array(dxs[::-1])


def _clockwork():
    rng = np.random.default_rng(9)
    return ClockworkRNN(rng), rng.normal(size=(5, 2))


class BahdanauRead:
    """Additive attention of one decoder query over encoder states: (B, T, D), (B, D) -> context (B, D)."""

    def __init__(self, Wq, Wk, v):
        self.Wq, self.Wk, self.v = Wq, Wk, v

    def forward(self, keys, query):
        self.keys, self.query = keys, query
        self.e = np.tanh((query @ self.Wq)[:, None, :] + keys @ self.Wk)
        s = self.e @ self.v
        s = np.exp(s - s.max(axis=1, keepdims=True))
        self.w = s / s.sum(axis=1, keepdims=True)
        return np.einsum("bt,btd->bd", self.w, keys)

    def backward(self, dctx):
        dw = np.einsum("bd,btd->bt", dctx, self.keys)
        ds = self.w * (dw - (dw * self.w).sum(axis=0, keepdims=True))
        self.dv = np.einsum("bt,bth->h", ds, self.e)
        dpre = ds[..., None] * self.v * (1 - self.e**2)
        self.dWk = np.einsum("btd,bth->dh", self.keys, dpre)
        self.dWq = self.query.T @ dpre.sum(axis=1)
        dkeys = self.w[..., None] * dctx[:, None, :] + dpre @ self.Wk.T
        return dkeys, dpre.sum(axis=1) @ self.Wq.T


def _bahdanau():
    rng = np.random.default_rng(10)
    layer = BahdanauRead(rng.normal(size=(3, 4)), rng.normal(size=(3, 4)), rng.normal(size=4))
    return layer, rng.normal(size=(2, 5, 3)), rng.normal(size=(2, 3))


ENTRIES = [
    Stranger(
        "minimal gated unit over a whole sequence",
        "params and grads as dicts",
        lambda g: g.check_layer(*_mgu()),
        lambda: H.layer(*_mgu(), params=" ".join(f".params['{k}']>.grads['{k}']" for k in _mgu()[0].params)),
    ),
    Stranger(
        "peephole LSTM step: output gate's peephole from the old cell",
        "two outputs, three inputs",
        lambda g: g.check_layer(*_peephole()),
        lambda: H.layer(*_peephole(), spread=True, params=".W>.dW .peep>.dpeep"),
        "wrong",
        "the output gate looks at the new cell, its peephole's gradient takes the old one",
        ("stale-residuals", "shifted"),
        ("peep",),
        "        self.dpeep = np.stack([(df * c).sum(0), (di * c).sum(0), (do * c).sum(0)])\n",
        "        self.dpeep = np.stack([(df * c).sum(0), (di * c).sum(0), (do * c_new).sum(0)])\n",
    ),
    Stranger(
        "echo state network, leak and readout trained",
        "recurrent layer with fixed weights as well",
        lambda g: g.check_layer(*_reservoir()),
        lambda: H.layer(*_reservoir(), params=".leak>.dleak .readout>.dreadout"),
    ),
    Stranger(
        "SIR epidemic with a rate for every day",
        "simulator as a layer",
        lambda g: g.check_layer(*_sir()),
        lambda: H.layer(*_sir(), params=".log_beta>.dlog_beta .gamma>.dgamma"),
    ),
    Stranger(
        "SEIR epidemic: two rates' gradients exchanged",
        "simulator with four inputs, returns a tuple",
        lambda g: g.check_layer(*_seir()),
        lambda: H.layer(*_seir()),
        "wrong",
        "the gradients of sigma and gamma are returned in each other's place",
        ("swapped-primals",),
        ("sigma", "gamma"),
        "        return dy, dbeta, dgamma, dsigma\n",
        "        return dy, dbeta, dsigma, dgamma\n",
    ),
    Stranger(
        "GRU cell: gates put together in the other order",
        "cell with two inputs",
        lambda g: g.check_layer(*_gru()),
        lambda: H.layer(*_gru(), params=".Wg>.dWg .Ug>.dUg .Wc>.dWc .Uc>.dUc"),
        "wrong",
        "forward's columns are reset, update; backward puts update's gradient first",
        ("columns-exchanged",),
        ("Wg", "Ug", "x", "h"),
        "        dgates = np.hstack([dz, dr])\n",
        "        dgates = np.hstack([dr, dz])\n",
    ),
    Stranger(
        "Runge-Kutta step of a neural ODE",
        "layer that keeps closures for its stages",
        lambda g: g.check_layer(*_ode()),
        lambda: H.layer(*_ode(), params=".A>.gA .b>.gb"),
    ),
    Stranger(
        "diagonal state-space model: b without the carried state's gradient",
        "recurrent layer",
        lambda g: g.check_layer(*_ssm()),
        lambda: H.layer(*_ssm(), params=".a>.da .b>.db .c>.dc"),
        "wrong",
        "the gradient of b uses this step's dout instead of the state's gradient that is carried along",
        ("missing-term", "wrong-cotangent"),
        ("b",),
        "            self.db += dy[t] * self.c * self.u[t]\n",
        "            self.db += ds * self.u[t]\n",
    ),
    Stranger(
        "clockwork RNN",
        "backward pops its trace",
        lambda g: g.check_layer(*_clockwork()),
        lambda: H.layer(*_clockwork(), params=".Wx>.dWx .Wh>.dWh"),
    ),
    Stranger(
        "additive attention: softmax's sum over the batch",
        "two inputs",
        lambda g: g.check_layer(*_bahdanau()),
        lambda: H.layer(*_bahdanau(), params=".Wq>.dWq .Wk>.dWk .v>.dv"),
        "wrong",
        "the inner sum of the softmax's gradient goes over the batch instead of over time",
        ("wrong-sum-axis",),
        ("keys", "query", "Wq", "Wk", "v"),
        "        ds = self.w * (dw - (dw * self.w).sum(axis=0, keepdims=True))\n",
        "        ds = self.w * (dw - (dw * self.w).sum(axis=1, keepdims=True))\n",
    ),
]
