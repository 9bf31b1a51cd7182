"""Recurrent cells, layers over time, scans."""

from collections import namedtuple

import numpy as np

from ._entry import Stranger
from ._help_g import both


def sigmoid(z):
    return 0.5 * (1 + np.tanh(z / 2))


class TimeMGU:
    """Minimal gated unit. xs: (T, N, D) -> hs: (T, N, H)"""

    def __init__(self, D, H, rng):
        self.H = H
        self.params = {
            "Wf": rng.normal(size=(D + H, H)) * 0.4,
            "Wh": rng.normal(size=(D + H, H)) * 0.4,
            "bf": np.ones(H),
            "bh": np.zeros(H),
        }
        self.grads = {k: np.zeros_like(v) for k, v in self.params.items()}

    def forward(self, xs):
        P = self.params
        h = np.zeros((xs.shape[1], self.H))
        self.cache, hs = [], []
        for x in xs:
            xh = np.hstack([x, h])
            f = sigmoid(xh @ P["Wf"] + P["bf"])
            xfh = np.hstack([x, f * h])
            cand = np.tanh(xfh @ P["Wh"] + P["bh"])
            self.cache.append((xh, f, xfh, cand, h))
            h = (1 - f) * h + f * cand
            hs.append(h)
        return np.array(hs)

    def backward(self, dhs):
        P, D = self.params, self.cache[0][0].shape[1] - self.H
        G = {k: np.zeros_like(v) for k, v in P.items()}
        dxs, carry = np.empty(dhs.shape[:2] + (D,)), 0
        for t in reversed(range(len(dhs))):
            xh, f, xfh, cand, h = self.cache[t]
            dh = dhs[t] + carry
            dc = dh * f * (1 - cand**2)
            dxfh = dc @ P["Wh"].T
            df = dh * (cand - h) + dxfh[:, D:] * h
            da = df * f * (1 - f)
            dxh = da @ P["Wf"].T
            carry = dh * (1 - f) + dxfh[:, D:] * f + dxh[:, D:]
            dxs[t] = dxfh[:, :D] + dxh[:, :D]
            G["Wh"] += xfh.T @ dc
            G["bh"] += dc.sum(0)
            G["Wf"] += xh.T @ da
            G["bf"] += da.sum(0)
        self.grads.update(G)
        return dxs


class PeepholeCell:
    """one step of an LSTM whose gates look at the cell; input and forget gate are coupled"""

    def __init__(self, W, p_i, p_o):
        self.W, self.p_i, self.p_o = W, p_i, p_o

    def forward(self, x, h, c):
        self.xh = np.concatenate([x, h], axis=1)
        ai, ag, ao = np.split(self.xh @ self.W, 3, axis=1)
        self.c0 = c
        self.i = sigmoid(ai + self.p_i * c)
        self.g = np.tanh(ag)
        self.c1 = self.i * self.g + (1 - self.i) * c
        self.o = sigmoid(ao + self.p_o * self.c1)
        self.tc = np.tanh(self.c1)
        return self.o * self.tc, self.c1

    def backward(self, dh, dc):
        dao = dh * self.tc * self.o * (1 - self.o)
        dc1 = dc + dh * self.o * (1 - self.tc**2) + dao * self.p_o
        dai = dc1 * (self.g - self.c0) * self.i * (1 - self.i)
        dag = dc1 * self.i * (1 - self.g**2)
        da = np.concatenate([dai, dag, dao], axis=1)
        self.dW = self.xh.T @ da
        self.dp_i = (dai * self.c0).sum(0)
        self.dp_o = (dao * self.c1).sum(0)
        dxh = da @ self.W.T
        D = dxh.shape[1] - dh.shape[1]
        return dxh[:, :D], dxh[:, D:], dc1 * (1 - self.i) + dai * self.p_i


class FoPool:
    """QRNN pooling: c_t = f_t c_{t-1} + (1 - f_t) z_t, h_t = o_t c_t. Gradients by the inputs' names."""

    def forward(self, z, f, o):
        self.z, self.f, self.o = z, f, o
        self.c = np.zeros((len(z) + 1, *z.shape[1:]))
        for t in range(len(z)):
            self.c[t + 1] = f[t] * self.c[t] + (1 - f[t]) * z[t]
        return o * self.c[1:]

    def backward(self, dh):
        do = dh * self.c[1:]
        dz, df = np.zeros_like(self.z), np.zeros_like(self.f)
        dc = np.zeros_like(self.z[0])
        for t in range(len(dh) - 1, -1, -1):
            dc = dc + dh[t] * self.o[t]
            dz[t] = dc * (1 - self.f[t])
            df[t] = dc * (self.c[t] - self.z[t])
            dc = dc * self.f[t]
        return {"f": df, "o": do, "z": dz}


SSM = namedtuple("SSM", "A B C D")


class StateSpace:
    """x+ = A x + B u, y = C x + D u; theta and its gradient are namedtuples"""

    def __init__(self, n, m, p, rng):
        A = np.linalg.qr(rng.normal(size=(n, n)))[0] * 0.8
        self.theta = SSM(A, rng.normal(size=(n, m)), rng.normal(size=(p, n)), rng.normal(size=(p, m)))
        self.grad = None

    def forward(self, u):
        A, B, C, D = self.theta
        x, self.xs, y = np.zeros(len(A)), [], []
        for uk in u:
            self.xs.append(x)
            y.append(C @ x + D @ uk)
            x = A @ x + B @ uk
        self.u = u
        return np.array(y)

    def backward(self, dy):
        A, B, C, D = self.theta
        dA, dB, dC, dD = map(np.zeros_like, self.theta)
        lam, du = np.zeros(len(A)), np.zeros_like(self.u)
        for k in range(len(dy))[::-1]:
            dA += np.outer(lam, self.xs[k])
            dB += np.outer(lam, self.u[k])
            dC += np.outer(dy[k], self.xs[k])
            dD += np.outer(dy[k], self.u[k])
            du[k] = B.T @ lam + D.T @ dy[k]
            lam = A.T @ lam + C.T @ dy[k]
        self.grad = SSM(dA, dB, dC, dD)
        return du


class LeakyRNN:
    """backward is a generator: it yields (name, gradient) for the input first, then for the parameters"""

    def __init__(self, U, V, leak):
        self.U, self.V, self.leak = U, V, leak

    def forward(self, xs):
        self.xs, self.pre, self.h = xs, [], [np.zeros(len(self.U))]
        for x in xs:
            self.pre.append(np.tanh(self.U @ self.h[-1] + self.V @ x))
            self.h.append((1 - self.leak) * self.h[-1] + self.leak * self.pre[-1])
        return np.stack(self.h[1:])

    def backward(self, dhs):
        dU, dV, dleak = np.zeros_like(self.U), np.zeros_like(self.V), np.zeros_like(self.leak)
        dxs, dh = [], 0.0
        for x, h, p, d in zip(self.xs[::-1], self.h[-2::-1], self.pre[::-1], dhs[::-1], strict=True):
            dh = dh + d
            dz = dh * self.leak * (1 - p * p)
            dleak += dh * (p - h)
            dU += np.outer(dz, h)
            dV += np.outer(dz, x)
            dxs.append(self.V.T @ dz)
            dh = dh * (1 - self.leak) + self.U.T @ dz
        yield "xs", np.array(dxs[::-1])
        yield from {"U": dU, "V": dV, "leak": dleak}.items()


class ElmanRNN:
    def __init__(self, D, H, rng):
        self.Wx, self.Wh, self.b = rng.normal(size=(D, H)), rng.normal(size=(H, H)) * 0.5, np.zeros(H)

    def forward(self, x):
        N, T, D = x.shape
        self.x = x
        self.h = np.zeros((N, T + 1, len(self.b)))
        for t in range(T):
            self.h[:, t + 1] = np.tanh(x[:, t] @ self.Wx + self.h[:, t] @ self.Wh + self.b)
        return self.h[:, 1:]

    def backward(self, dout):
        dx = np.zeros_like(self.x)
        self.dWx, self.dWh, self.db = np.zeros_like(self.Wx), np.zeros_like(self.Wh), np.zeros_like(self.b)
        dh = np.zeros_like(dout[:, 0])
        for t in reversed(range(dout.shape[1])):
            dz = (dout[:, t] + dh) * (1 - self.h[:, t + 1] ** 2)
            self.dWx += self.x[:, t].T @ dz
            self.dWh += self.h[:, t + 1].T @ dz
            self.db += dz.sum(0)
            dx[:, t] = dz @ self.Wx.T
            dh = dz @ self.Wh.T
        return dx


class DiscountedReturn:
    """割引報酬和 G_t = r_t + gamma G_{t+1}。rewards: (T, N)"""

    def __init__(self, gamma=0.8):
        self.gamma = gamma

    def accumulate(self, rows):
        total, out = 0, []
        for row in rows:
            total = row + self.gamma * total
            out.append(total)
        return np.array(out)

    def forward(self, rewards):
        return self.accumulate(rewards[::-1])[::-1]

    def backward(self, dG):
        return self.accumulate(dG)[::-1]


class SimpleLSTM:
    """x (T, D); no biases"""

    def __init__(self, D, H, rng):
        self.H = H
        self.W = rng.normal(size=(D + H, 4 * H)) * 0.5

    def forward(self, x):
        h = c = np.zeros(self.H)
        self.tape, out = [], []
        for xt in x:
            v = np.concatenate([xt, h])
            a = v @ self.W
            i, f, o = sigmoid(a[: 3 * self.H]).reshape(3, self.H)
            g = np.tanh(a[3 * self.H :])
            self.tape.append((v, i, f, o, g, c))
            c = f * c + i * g
            h = o * np.tanh(c)
            out.append(h)
        return np.array(out)

    def backward(self, dout):
        self.dW = np.zeros_like(self.W)
        dx, dh, dc = [], 0, 0
        for d, (v, i, f, o, g, c0) in zip(dout[::-1], self.tape[::-1], strict=True):
            tc = np.tanh(f * c0 + i * g)
            dh = dh + d
            dc = dc + dh * o * (1 - tc**2)
            da = np.concatenate(
                [dc * g * i * (1 - i), dc * c0 * f * (1 - f), dh * tc * o * (1 - o), dc * i * (1 - g**2)]
            )
            self.dW += np.outer(v, da)
            dv = self.W @ da
            dx.append(dv[: -self.H])
            dh = dv[-self.H :]
        return np.array(dx[::-1])


class GRUStep:
    def __init__(self, H, rng):
        self.Wz, self.Wr, self.Wn = rng.normal(size=(3, 2 * H, H)) * 0.5

    def forward(self, x, h):
        xh = np.hstack((x, h))
        z, r = sigmoid(xh @ self.Wz), sigmoid(xh @ self.Wr)
        xrh = np.hstack((x, r * h))
        n = np.tanh(xrh @ self.Wn)
        self.saved = x, h, xh, z, r, xrh, n
        return z * h + (1 - z) * n

    def backward(self, dy):
        x, h, xh, z, r, xrh, n = self.saved
        dan = dy * (1 - z) * (1 - n**2)
        dx, drh = np.hsplit(dan @ self.Wn.T, 2)
        daz = dy * (h - n) * z * (1 - z)
        dar = drh * h * r * (1 - r)
        self.dWz, self.dWr, self.dWn = xh.T @ daz, xh.T @ dar, xrh.T @ dan
        gx, gh = np.hsplit(daz @ self.Wz.T + dar @ self.Wr.T, 2)
        return dx + gx, drh + gh + dy * z


class MaskedRNN:
    """Padded steps (mask 0) keep the state as it was."""

    def __init__(self, W, lengths):
        self.W = W
        self.lengths = np.asarray(lengths)

    def forward(self, x):
        N, T, H = x.shape
        self.m = (np.arange(T) < self.lengths[:, None]).astype(float)
        h, self.hist = np.zeros((N, H)), []
        for t in range(T):
            new, m = np.tanh(x[:, t] + h @ self.W), self.m[:, t, None]
            self.hist.append((h, new))
            h = m * new + (1 - m) * h
        return h

    def backward(self, dh):
        self.dW = np.zeros_like(self.W)
        dx = []
        for t in reversed(range(self.m.shape[1])):
            (h, new), m = self.hist[t], self.m[:, t, None]
            da = dh * (1 - new**2)
            self.dW += h.T @ da
            dx.append(da)
            dh = (1 - m) * dh + da @ self.W.T
        return np.stack(dx[::-1], axis=1)


class StatefulRNN:
    def __init__(self, W, U):
        self.W, self.U = W, U
        self.h = None

    def reset_state(self):
        self.h = None

    def forward(self, x):
        self.h_prev = np.zeros((len(x), len(self.U))) if self.h is None else self.h
        self.x = x
        self.h = np.tanh(x @ self.W + self.h_prev @ self.U)
        return self.h

    def backward(self, dh):
        dz = dh * (1 - self.h**2)
        self.dW, self.dU = self.x.T @ dz, self.h_prev.T @ dz
        return dz @ self.W.T


def rng():
    return np.random.default_rng(31)


def mgu():
    return TimeMGU(2, 3, rng()), rng().normal(size=(4, 2, 2))


def peephole():
    r = rng()
    cell = PeepholeCell(r.normal(size=(5, 9)) * 0.5, r.normal(size=3), r.normal(size=3))
    return cell, r.normal(size=(4, 2)), r.normal(size=(4, 3)), r.normal(size=(4, 3))


def fopool():
    r = rng()
    return FoPool(), r.normal(size=(5, 2, 3)), r.uniform(0.2, 0.8, (5, 2, 3)), r.uniform(0.2, 0.8, (5, 2, 3))


def state_space():
    return StateSpace(3, 2, 2, rng()), rng().normal(size=(6, 2))


def leaky():
    r = rng()
    rnn = LeakyRNN(r.normal(size=(3, 3)), r.normal(size=(3, 2)), np.array([0.3, 0.6, 0.9]))
    return rnn, r.normal(size=(5, 2))


def elman():
    return ElmanRNN(3, 4, rng()), rng().normal(size=(2, 5, 3))


def returns():
    return DiscountedReturn(), rng().normal(size=(6, 3))


def lstm():
    return SimpleLSTM(2, 3, rng()), rng().normal(size=(5, 2))


def gru():
    return GRUStep(3, rng()), rng().normal(size=(4, 3)), np.cos(np.arange(12.0)).reshape(4, 3)


def masked():
    return MaskedRNN(rng().normal(size=(3, 3)), [4, 2, 3]), rng().normal(size=(3, 4, 3))


def stateful():
    return StatefulRNN(rng().normal(size=(3, 4)), rng().normal(size=(4, 4)) * 0.5), rng().normal(size=(2, 3))


def gated(m, g, x, h):
    return [*zip(m.backward(g), (x, h), strict=True), (m.dWz, m.Wz), (m.dWr, m.Wr), (m.dWn, m.Wn)]


ENTRIES = [
    Stranger(
        "minimal gated unit over time",
        "layer over time with dicts",
        *both(mgu, lambda m, g, x: [(m.backward(g), x), *((m.grads[k], m.params[k]) for k in m.params)]),
    ),
    Stranger(
        "LSTM cell with peepholes and coupled gates",
        "cell of three inputs and two outputs",
        *both(
            peephole,
            lambda m, g, *xs: [
                *zip(m.backward(*g), xs, strict=True),
                (m.dW, m.W),
                (m.dp_i, m.p_i),
                (m.dp_o, m.p_o),
            ],
        ),
    ),
    Stranger(
        "QRNN's fo-pooling",
        "layer of three inputs, dict of gradients in another order",
        *both(fopool, lambda m, g, *xs: [(m.backward(g)[k], x) for k, x in zip("zfo", xs, strict=True)]),
    ),
    Stranger(
        "state-space system with namedtuples",
        "layer over time, parameters in a namedtuple",
        *both(state_space, lambda m, g, u: [(m.backward(g), u), *zip(m.grad, m.theta, strict=True)]),
    ),
    Stranger(
        "leaky RNN whose backward yields names and gradients",
        "generator",
        *both(leaky, lambda m, g, x: [(d, x if k == "xs" else getattr(m, k)) for k, d in m.backward(g)]),
    ),
    Stranger(
        "Elman RNN: the recurrent weights' gradient of the wrong step",
        "layer over time",
        *both(elman, lambda m, g, x: [(m.backward(g), x), (m.dWx, m.Wx), (m.dWh, m.Wh), (m.db, m.b)]),
        "wrong",
        "h of the same step is used and not that of the step before",
        (),
        ("Wh",),
        "            self.dWh += self.h[:, t + 1].T @ dz",
        "            self.dWh += self.h[:, t].T @ dz",
    ),
    Stranger(
        "discounted returns: turned round where it must not be",
        "layer over time, no parameters",
        *both(returns, lambda m, g, x: [(m.backward(g), x)]),
        "wrong",
        "the gradient is turned round in time once too often",
        ("columns-exchanged", "axes-permuted"),
        ("rewards",),
        "        return self.accumulate(dG)[::-1]",
        "        return self.accumulate(dG)",
    ),
    Stranger(
        "LSTM over time: the cell's gradient is carried on without the forget gate",
        "layer over time",
        *both(lstm, lambda m, g, x: [(m.backward(g), x), (m.dW, m.W)]),
        "wrong",
        "dc is not multiplied by the forget gate on its way to the step before",
        (),
        ("x", "W"),
        "            dh = dv[-self.H :]",
        "            dh, dc = dv[-self.H :], dc * f",
    ),
    Stranger(
        "GRU step: the reset gate forgotten in the gradient of h",
        "cell of two inputs",
        *both(gru, gated),
        "wrong",
        "the path through r * h is not multiplied by r",
        (),
        ("h",),
        "        return dx + gx, drh + gh + dy * z",
        "        return dx + gx, drh * r + gh + dy * z",
    ),
    Stranger(
        "masked RNN: padded steps get a gradient",
        "layer with lengths",
        *both(masked, lambda m, g, x: [(m.backward(g), x), (m.dW, m.W)]),
        "wrong",
        "the mask is not applied to the gradient of the new state",
        ("masked-region", "additive-bias"),
        ("x", "W"),
        "            da = dh * (1 - new**2)",
        "            da = m * dh * (1 - new**2)",
    ),
    Stranger(
        "stateful RNN: the second call starts from the state of the first",
        "stateful layer",
        both(stateful, None)[0],
        lambda: [],
        "habit",
        "h is kept from call to call until reset_state, so that the same input gives another output",
        ("stale-residuals", "nondeterministic"),
        ("x",),
    ),
]
