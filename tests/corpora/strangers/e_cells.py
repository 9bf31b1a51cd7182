"""Recurrent cells and sequence layers, each in the way of another author."""

from dataclasses import dataclass, field

import numpy as np

from ._entry import Stranger
from ._help_e import pairs


def sigm(a):
    return 1.0 / (1.0 + np.exp(-a))


class MinimalGatedUnit:
    """One gate only: f. xs is (time, batch, features)."""

    def __init__(self, n_in, n_hid, rng):
        s = lambda *shape: 0.6 * rng.standard_normal(shape)
        self.params = {
            "Wf": s(n_in, n_hid),
            "Uf": s(n_hid, n_hid),
            "bf": s(n_hid),
            "Wc": s(n_in, n_hid),
            "Uc": s(n_hid, n_hid),
            "bc": s(n_hid),
        }
        self.grads = {}

    def forward(self, xs):
        p = self.params
        h = np.zeros((xs.shape[1], p["bf"].size))
        self.tape, out = [], []
        for x in xs:
            f = sigm(x @ p["Wf"] + h @ p["Uf"] + p["bf"])
            c = np.tanh(x @ p["Wc"] + (f * h) @ p["Uc"] + p["bc"])
            self.tape.append((x, h, f, c))
            h = (1 - f) * h + f * c
            out.append(h)
        return np.array(out)

    def backward(self, dhs):
        p = self.params
        self.grads = {k: np.zeros_like(v) for k, v in p.items()}
        g, dxs, dh = self.grads, np.zeros((len(self.tape),) + self.tape[0][0].shape), 0.0
        for t in range(len(self.tape) - 1, -1, -1):
            x, h, f, c = self.tape[t]
            dh = dhs[t] + dh
            dac = dh * f * (1 - c * c)
            dfh = dac @ p["Uc"].T
            daf = (dh * (c - h) + dfh * h) * f * (1 - f)
            g["Wc"] += x.T @ dac
            g["Uc"] += (f * h).T @ dac
            g["bc"] += dac.sum(0)
            g["Wf"] += x.T @ daf
            g["Uf"] += h.T @ daf
            g["bf"] += daf.sum(0)
            dxs[t] = dac @ p["Wc"].T + daf @ p["Wf"].T
            dh = dh * (1 - f) + dfh * f + daf @ p["Uf"].T
        return dxs


def mgu():
    rng = np.random.default_rng(3)
    return MinimalGatedUnit(3, 4, rng), rng.standard_normal((5, 2, 3))


def prove_mgu():
    cell, x = mgu()
    return pairs(
        lambda: cell.forward(x),
        [x, *cell.params.values()],
        lambda g: [cell.backward(g), *cell.grads.values()],
    )


@dataclass
class PeepholeCell:
    weight: np.ndarray
    peep: np.ndarray
    bias: np.ndarray
    grad: dict[str, np.ndarray] = field(default_factory=dict)

    def forward(self, x: np.ndarray, h: np.ndarray, c: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        n = h.shape[1]
        self._xh = np.concatenate([x, h], axis=1)
        a = self._xh @ self.weight + self.bias
        i = sigm(a[:, :n] + c * self.peep[0])
        f = sigm(a[:, n : 2 * n] + c * self.peep[1])
        z = np.tanh(a[:, 2 * n : 3 * n])
        c_new = f * c + i * z
        o = sigm(a[:, 3 * n :] + c_new * self.peep[2])
        tc = np.tanh(c_new)
        self._saved = i, f, z, o, tc, c, c_new
        return o * tc, c_new

    def backward(self, dh_new: np.ndarray, dc_new: np.ndarray) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
        i, f, z, o, tc, c, c_new = self._saved
        do = dh_new * tc * o * (1 - o)
        dc = dc_new + dh_new * o * (1 - tc**2) + do * self.peep[2]
        di = dc * z * i * (1 - i)
        df = dc * c * f * (1 - f)
        dz = dc * i * (1 - z**2)
        da = np.concatenate([di, df, dz, do], axis=1)
        self.grad["weight"] = self._xh.T @ da
        self.grad["peep"] = np.stack([(di * c).sum(0), (df * c).sum(0), (do * c_new).sum(0)])
        self.grad["bias"] = da.sum(0)
        dxh = da @ self.weight.T
        split = dxh.shape[1] - c.shape[1]
        return dxh[:, :split], dxh[:, split:], dc * f + di * self.peep[0] + df * self.peep[1]


def peephole():
    rng = np.random.default_rng(5)
    weight = 0.5 * rng.standard_normal((5, 12))
    cell = PeepholeCell(weight, rng.standard_normal((3, 3)), rng.standard_normal(12))
    return cell, rng.standard_normal((4, 2)), rng.standard_normal((4, 3)), rng.standard_normal((4, 3))


def prove_peephole():
    cell, x, h, c = peephole()

    def back(dh, dc):
        dx = cell.backward(dh, dc)
        return [*dx, cell.grad["weight"], cell.grad["peep"], cell.grad["bias"]]

    return pairs(lambda: cell.forward(x, h, c), [x, h, c, cell.weight, cell.peep, cell.bias], back)


class TraegerSpeicher:
    # Speicher mit festen Kopplungen; gelernt werden nur Leckrate (je Zelle) und Auslese
    def __init__(self, eingaenge, zellen, ausgaenge, saat):
        z = np.random.default_rng(saat)
        self.kopplung = 0.4 * z.standard_normal((zellen, zellen))
        self.einkopplung = z.standard_normal((eingaenge, zellen))
        self.leck = z.uniform(0.2, 0.8, zellen)
        self.auslese = z.standard_normal((zellen, ausgaenge))

    def vorwaerts(self, reihe):
        self.reihe = reihe
        self.zustand = [np.zeros(len(self.leck))]
        self.anregung = []
        for u in reihe:
            s = self.zustand[-1]
            r = np.tanh(u @ self.einkopplung + s @ self.kopplung)
            self.anregung.append(r)
            self.zustand.append(s + self.leck * (r - s))
        return np.array(self.zustand[1:]) @ self.auslese

    def rueckwaerts(self, d_aus):
        self.d_auslese = np.array(self.zustand[1:]).T @ d_aus
        self.d_leck = np.zeros_like(self.leck)
        d_reihe = np.zeros_like(self.reihe)
        d_s = np.zeros_like(self.leck)
        for t in reversed(range(len(self.reihe))):
            d_s = d_s + self.auslese @ d_aus[t]
            s, r = self.zustand[t], self.anregung[t]
            self.d_leck += d_s * (r - s)
            d_a = d_s * self.leck * (1 - r * r)
            d_reihe[t] = self.einkopplung @ d_a
            d_s = d_s * (1 - self.leck) + self.kopplung @ d_a
        return d_reihe


def speicher():
    return TraegerSpeicher(2, 5, 3, saat=11), np.random.default_rng(12).standard_normal((6, 2))


def prove_speicher():
    m, x = speicher()
    return pairs(
        lambda: m.vorwaerts(x), [x, m.leck, m.auslese], lambda g: [m.rueckwaerts(g), m.d_leck, m.d_auslese]
    )


class ZoneoutRNN:
    """keep[t, j] == 1: unit j keeps its old value at step t (the mask is drawn outside)."""

    def __init__(self, Wx, Wh, keep):
        self.params = [Wx, Wh]
        self.grads = [np.zeros_like(Wx), np.zeros_like(Wh)]
        self.keep = keep

    def forward(self, xs):
        Wx, Wh = self.params
        T = xs.shape[1]
        hs = np.zeros((xs.shape[0], T + 1, Wh.shape[0]))
        self.cand = np.zeros((xs.shape[0], T, Wh.shape[0]))
        for t in range(T):
            self.cand[:, t] = np.tanh(xs[:, t] @ Wx + hs[:, t] @ Wh)
            hs[:, t + 1] = self.keep[t] * hs[:, t] + (1 - self.keep[t]) * self.cand[:, t]
        self.xs, self.hs = xs, hs
        return hs[:, 1:].copy()

    def backward(self, dhs):
        Wx, Wh = self.params
        dWx, dWh = np.zeros_like(Wx), np.zeros_like(Wh)
        dxs, dh = np.zeros_like(self.xs), np.zeros_like(self.hs[:, 0])
        for t in range(self.xs.shape[1])[::-1]:
            dh = dh + dhs[:, t]
            da = dh * (1 - self.keep[t]) * (1 - self.cand[:, t] ** 2)
            dWx += self.xs[:, t].T @ da
            dWh += self.hs[:, t].T @ da
            dxs[:, t] = da @ Wx.T
            dh = dh * self.keep[t] + da @ Wh.T
        self.grads[0][...], self.grads[1][...] = dWx, dWh
        return dxs


def zoneout():
    r = np.random.default_rng(21)
    keep = (r.random((4, 3)) < 0.4).astype(float)
    return (
        ZoneoutRNN(r.standard_normal((2, 3)), 0.7 * r.standard_normal((3, 3)), keep),
        r.standard_normal((3, 4, 2)),
    )


def prove_zoneout():
    net, x = zoneout()
    return pairs(lambda: net.forward(x), [x, *net.params], lambda g: [net.backward(g), *net.grads])


class HoltSmoother(object):
    """Double exponential smoothing; theta holds the logits of alpha and beta. Output: next-step forecasts."""

    def __init__(self, theta):
        self.theta = np.asarray(theta, dtype=float)
        self.grad_theta = None

    def __call__(self, y):
        a, b = sigm(self.theta)
        level, trend = y[0], 0.0
        self.memo = []
        forecast = np.empty(len(y) - 1)
        for k in range(1, len(y)):
            new_level = a * y[k] + (1 - a) * (level + trend)
            new_trend = b * (new_level - level) + (1 - b) * trend
            self.memo.append((y[k], level, trend, new_level))
            level, trend = new_level, new_trend
            forecast[k - 1] = level + trend
        return forecast

    def backward(self, g):
        a, b = sigm(self.theta)
        da = db = dl = dt = 0.0
        dy = np.zeros(len(g) + 1)
        for k in range(len(g), 0, -1):
            yk, level, trend, new_level = self.memo[k - 1]
            dl, dt = dl + g[k - 1], dt + g[k - 1]
            db += dt * (new_level - level - trend)
            dn = dl + dt * b
            da += dn * (yk - level - trend)
            dy[k] = dn * a
            dl, dt = dn * (1 - a) - dt * b, dn * (1 - a) + dt * (1 - b)
        dy[0] = dl
        self.grad_theta = np.array([da * a * (1 - a), db * b * (1 - b)])
        return dy


def holt():
    return HoltSmoother([0.3, -0.8]), np.random.default_rng(31).standard_normal(7)


def prove_holt():
    m, y = holt()
    return pairs(lambda: m(y), [y, m.theta], lambda g: [m.backward(g), m.grad_theta])


class JordanNet:
    """The output, not the hidden state, comes back at the next step."""

    def __init__(self, nx, nh, ny):
        rng = np.random.RandomState(8)
        self.W, self.V, self.C = rng.randn(nx, nh) * 0.7, rng.randn(ny, nh) * 0.7, rng.randn(nh, ny)
        self.b = rng.randn(nh) * 0.1

    def forward(self, seq):
        y = np.zeros((seq.shape[1], self.C.shape[1]))
        self.seq, self.hid, self.fed = seq, [], []
        outs = []
        for x in seq:
            self.fed.append(y)
            h = np.tanh(x @ self.W + y @ self.V + self.b)
            y = h @ self.C
            self.hid.append(h)
            outs.append(y)
        return np.stack(outs)

    def backward(self, g):
        self.dW, self.dV = np.zeros_like(self.W), np.zeros_like(self.V)
        self.dC, self.db = np.zeros_like(self.C), np.zeros_like(self.b)
        dseq = np.zeros_like(self.seq)
        for t in range(len(self.seq) - 1, -1, -1):
            dy = g[t]
            dz = (dy @ self.C.T) * (1 - self.hid[t] ** 2)
            self.dC += self.hid[t].T @ dy
            self.dW += self.seq[t].T @ dz
            self.dV += self.fed[t].T @ dz
            self.db += dz.sum(axis=0)
            dseq[t] = dz @ self.W.T
        return dseq


def jordan():
    return JordanNet(3, 5, 2), np.random.default_rng(41).standard_normal((4, 3, 3))


def prove_jordan():
    n, x = jordan()
    return pairs(
        lambda: n.forward(x), [x, n.W, n.V, n.C, n.b], lambda g: [n.backward(g), n.dW, n.dV, n.dC, n.db]
    )


class QuasiPool:
    """Gates z, f, o from one matrix, then c = f*c + (1-f)*z, out = o*c (fo-pooling)."""

    def __init__(self, w):
        self.w = w
        self.dw = np.zeros_like(w)

    def fprop(self, x):
        self.x, n = x, self.w.shape[1] // 3
        a = x @ self.w
        self.z, self.f, self.o = np.tanh(a[:, :n]), sigm(a[:, n : 2 * n]), sigm(a[:, 2 * n :])
        self.c = np.zeros((len(x) + 1, n))
        for t in range(len(x)):
            self.c[t + 1] = self.f[t] * self.c[t] + (1 - self.f[t]) * self.z[t]
        return self.o * self.c[1:]

    def bprop(self, d):
        do = d * self.c[1:] * self.o * (1 - self.o)
        df, dz, dc = np.zeros_like(do), np.zeros_like(do), np.zeros(do.shape[1])
        for t in range(len(d))[::-1]:
            dc = dc + d[t] * self.o[t]
            df[t] = dc * (self.c[t] - self.z[t]) * self.f[t] * (1 - self.f[t])
            dz[t] = dc * (1 - self.f[t]) * (1 - self.z[t] ** 2)
            dc = dc * self.f[t]
        da = np.hstack([dz, do, df])
        self.dw = self.x.T @ da
        return da @ self.w.T


def quasi():
    r = np.random.default_rng(51)
    return QuasiPool(r.standard_normal((4, 9))), r.standard_normal((5, 4))


def prove_quasi():
    q, x = quasi()
    return pairs(lambda: q.fprop(x), [x, q.w], lambda g: [q.bprop(g), q.dw])


class IndRNN:
    def __init__(self, W, u, b):
        self.params = dict(W=W, u=u, b=b)
        self.grads = dict(W=None, u=None, b=None)

    def forward(self, x):  # (N, T, D)
        W, u, b = (self.params[k] for k in "Wub")
        N, T, _ = x.shape
        self.x = x
        self.h = np.zeros((N, T + 1, len(u)))
        for t in range(T):
            self.h[:, t + 1] = np.tanh(x[:, t] @ W + u * self.h[:, t] + b)
        return self.h[:, 1:]

    def backward(self, dout):
        W, u = self.params["W"], self.params["u"]
        N, T, D = self.x.shape
        dW, du, db = np.zeros_like(W), np.zeros_like(u), np.zeros_like(u)
        dx, carry = np.zeros_like(self.x), np.zeros((N, len(u)))
        for t in reversed(range(T)):
            da = (dout[:, t] + carry) * (1 - self.h[:, t + 1] ** 2)
            dW += self.x[:, t].T @ da
            du += (da * self.h[:, t + 1]).sum(axis=0)
            db += da.sum(axis=0)
            dx[:, t] = da @ W.T
            carry = da * u
        self.grads = dict(W=dW, u=du, b=db)
        return dx


def indrnn():
    r = np.random.default_rng(61)
    return (
        IndRNN(r.standard_normal((2, 4)), r.uniform(-1, 1, 4), r.standard_normal(4)),
        r.standard_normal((3, 5, 2)),
    )


def prove_indrnn():
    m, x = indrnn()
    return pairs(
        lambda: m.forward(x),
        [x, m.params["W"], m.params["u"], m.params["b"]],
        lambda g: [m.backward(g), m.grads["W"], m.grads["u"], m.grads["b"]],
    )


class TwoWayTrace:
    """Leaky traces in both directions, side by side: out = [past, future]."""

    def __init__(self, past_decay, future_decay):
        self.decay = {"past": past_decay, "future": future_decay}
        self.ddecay = {}

    def forward(self, x):
        self.p, self.q = x.copy(), x.copy()
        for t in range(1, len(x)):
            self.p[t] += self.decay["past"] * self.p[t - 1]
        for t in range(len(x) - 2, -1, -1):
            self.q[t] += self.decay["future"] * self.q[t + 1]
        return np.concatenate([self.p, self.q], axis=1)

    def backward(self, dout):
        gq, gp = np.split(dout.copy(), 2, axis=1)
        for t in range(len(gp) - 2, -1, -1):
            gp[t] += self.decay["past"] * gp[t + 1]
        for t in range(1, len(gq)):
            gq[t] += self.decay["future"] * gq[t - 1]
        self.ddecay["past"] = (gp[1:] * self.p[:-1]).sum(axis=0)
        self.ddecay["future"] = (gq[:-1] * self.q[1:]).sum(axis=0)
        return gp + gq


def trace():
    r = np.random.default_rng(71)
    return TwoWayTrace(r.uniform(0.2, 0.9, 3), r.uniform(0.2, 0.9, 3)), r.standard_normal((5, 3))


def prove_trace():
    m, x = trace()
    return pairs(
        lambda: m.forward(x),
        [x, m.decay["past"], m.decay["future"]],
        lambda g: [m.backward(g), m.ddecay["past"], m.ddecay["future"]],
    )


class EchoLine:
    """y[t] = x[t] + k * y[t-1], workspace allocated once for speed."""

    def __init__(self, steps, width, k):
        self.k = np.array(k)
        self.work = np.zeros((steps, width))
        self.dk = np.zeros_like(self.k)

    def forward(self, x):
        self.y = np.array(x)
        for t in range(1, len(x)):
            self.y[t] += self.k * self.y[t - 1]
        return self.y.copy()

    def backward(self, dy):
        d = self.work
        d[...] = dy
        for t in range(len(d) - 2, -1, -1):
            d[t] += self.k * d[t + 1]
        self.dk = (d[1:] * self.y[:-1]).sum(axis=0)
        return d


def echo():
    return EchoLine(5, 3, [0.4, -0.3, 0.7]), np.random.default_rng(81).standard_normal((5, 3))


def prove_echo():
    m, x = echo()
    return pairs(lambda: m.forward(x), [x, m.k], lambda g: [m.backward(g), m.dk])


ENTRIES = [
    Stranger(
        "minimal gated unit over a sequence",
        "layer with params and grads dicts",
        lambda gradlab: gradlab.check_layer(*mgu()),
        prove_mgu,
    ),
    Stranger(
        "peephole LSTM cell as a dataclass, two outputs",
        "dataclass cell, dict of gradients",
        lambda gradlab: gradlab.check_layer(*peephole()),
        prove_peephole,
    ),
    Stranger(
        "leaky reservoir in German with fixed couplings beside learnt ones",
        "layer with foreign method names",
        lambda gradlab: gradlab.check_layer(*speicher()),
        prove_speicher,
    ),
    Stranger(
        "zoneout recurrent net with its mask given",
        "layer with params and grads lists",
        lambda gradlab: gradlab.check_layer(*zoneout()),
        prove_zoneout,
    ),
    Stranger(
        "Holt smoother with logits of its two rates",
        "callable object with backward",
        lambda gradlab: gradlab.check_layer(*holt()),
        prove_holt,
    ),
    Stranger(
        "Jordan network: what comes back through the fed output is dropped",
        "layer with dW attributes",
        lambda gradlab: gradlab.check_layer(*jordan()),
        prove_jordan,
        "wrong",
        "the cotangent of the output fed to the next step is never added",
        ("missing-term",),
        ("seq", "W", "V", "C", "b"),
        "            dy = g[t]\n            dz = (dy @ self.C.T) * (1 - self.hid[t] ** 2)\n",
        "            dy = g[t] + (dz @ self.V.T if t < len(self.seq) - 1 else 0)\n"
        "            dz = (dy @ self.C.T) * (1 - self.hid[t] ** 2)\n",
    ),
    Stranger(
        "quasi-recurrent pooling: two gates' columns exchanged",
        "fprop and bprop",
        lambda gradlab: gradlab.check_layer(*quasi()),
        prove_quasi,
        "wrong",
        "the gradients of the f and o gates are stacked in the wrong order",
        ("columns-exchanged",),
        ("x", "w"),
        "da = np.hstack([dz, do, df])",
        "da = np.hstack([dz, df, do])",
    ),
    Stranger(
        "independently recurrent net: recurrent weight with the state one step late",
        "layer with grads dict",
        lambda gradlab: gradlab.check_layer(*indrnn()),
        prove_indrnn,
        "wrong",
        "du multiplies the state after the step instead of the one before it",
        ("shifted",),
        ("u",),
        "du += (da * self.h[:, t + 1]).sum(axis=0)",
        "du += (da * self.h[:, t]).sum(axis=0)",
    ),
    Stranger(
        "two-way traces: the cotangent's halves taken for each other",
        "layer with a dict of decays",
        lambda gradlab: gradlab.check_layer(*trace()),
        prove_trace,
        "wrong",
        "the halves of the cotangent are unpacked in the wrong order",
        ("wrong-cotangent",),
        ("x", "past", "future"),
        "gq, gp = np.split(dout.copy(), 2, axis=1)",
        "gp, gq = np.split(dout.copy(), 2, axis=1)",
    ),
    Stranger(
        "echo line with a workspace: gives out its own buffer",
        "layer with a preallocated workspace",
        lambda gradlab: gradlab.check_layer(*echo()),
        prove_echo,
        "habit",
        "every call of backward returns the same array",
        ("aliases-memory",),
        ("x",),
        "        return d\n",
        "        return d.copy()\n",
    ),
]
