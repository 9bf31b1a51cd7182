"""Layers for sequences: cells, attention, state spaces."""

import numpy as np

from ._entry import Stranger
from ._help_ta import layer, pairs


def sigm(v):
    return 1 / (1 + np.exp(-v))


# ---------- minGRU, "were RNNs all we needed?"
class MinGRU:
    def __init__(self, d_in, d_h, seed=0):
        rng = np.random.default_rng(seed)
        self.theta = {k: rng.standard_normal((d_in, d_h)) / np.sqrt(d_in) for k in ("Wz", "Wh")}
        self.theta["bz"] = 0.1 * rng.standard_normal(d_h)

    def forward(self, xs):  # (T, B, D)
        self.steps = []
        h = np.zeros((xs.shape[1], self.theta["bz"].size))
        hs = []
        for x in xs:
            z, c = sigm(x @ self.theta["Wz"] + self.theta["bz"]), x @ self.theta["Wh"]
            self.steps.append((x, z, c, h))
            h = (1 - z) * h + z * c
            hs.append(h)
        return np.stack(hs)

    def backward(self, dhs):
        grads = {k: np.zeros_like(v) for k, v in self.theta.items()}
        dxs, carry = [], 0.0
        for dh, (x, z, c, h_prev) in zip(dhs[::-1], self.steps[::-1], strict=True):
            dh = dh + carry
            da = dh * (c - h_prev) * z * (1 - z)
            dc = dh * z
            grads["Wz"] += x.T @ da
            grads["bz"] += da.sum(0)
            grads["Wh"] += x.T @ dc
            dxs.append(da @ self.theta["Wz"].T + dc @ self.theta["Wh"].T)
            carry = dh * (1 - z)
        return np.stack(dxs[::-1]), grads


def _mingru():
    return MinGRU(3, 4), np.random.default_rng(1).standard_normal((5, 2, 3))


def _mingru_prove():
    m, x = _mingru()
    out = m.forward(x)
    g = np.random.default_rng(2).standard_normal(out.shape)
    dx, gr = m.backward(g)
    return pairs(lambda: np.sum(g * m.forward(x)), [dx, *gr.values()], [x, *m.theta.values()])


# ---------- rotary embedding
def rope(x, inverse=False, base=100.0):
    t, d = x.shape[-2:]
    ang = np.arange(t)[:, None] * base ** (-2 * np.arange(d // 2) / d)
    if inverse:
        ang = -ang
    a, b = x[..., : d // 2], x[..., d // 2 :]
    return np.concatenate([a * np.cos(ang) - b * np.sin(ang), a * np.sin(ang) + b * np.cos(ang)], axis=-1)


def rope_forward(q):
    return rope(q), None


def rope_backward(_, g):
    return (rope(g, inverse=True),)


def _rope_prove():
    q = np.random.default_rng(3).standard_normal((2, 4, 6))
    g = np.random.default_rng(4).standard_normal(q.shape)
    return pairs(lambda: np.sum(g * rope_forward(q)[0]), rope_backward(None, g), [q])


# ---------- causal linear attention, phi = elu + 1
def phi(u):
    return np.where(u > 0, u + 1, np.exp(np.minimum(u, 0)))


class LinearAttention:
    def forward(self, q, k, v):  # each (T, D)
        self.q, self.k, self.v = q, k, v
        self.fq, self.fk = phi(q), phi(k)
        self.S = np.cumsum(self.fk[:, :, None] * v[:, None, :], axis=0)
        self.Z = np.cumsum(self.fk, axis=0)
        self.den = np.sum(self.fq * self.Z, axis=1, keepdims=True)
        self.y = np.einsum("td,tde->te", self.fq, self.S) / self.den
        return self.y

    def backward(self, dy):
        dnum = dy / self.den
        dden = -np.sum(dnum * self.y, axis=1, keepdims=True)
        dfq = np.einsum("te,tde->td", dnum, self.S) + dden * self.Z
        dS = np.cumsum((self.fq[:, :, None] * dnum[:, None, :])[::-1], axis=0)[::-1]
        dZ = np.cumsum((dden * self.fq)[::-1], axis=0)[::-1]
        dfk = np.einsum("tde,te->td", dS, self.v) + dZ
        dv = np.einsum("tde,td->te", dS, self.fk)
        return dfq * np.minimum(self.fq, 1), dfk * np.minimum(self.fk, 1), dv


def _linatt():
    r = np.random.default_rng(5)
    return LinearAttention(), r.standard_normal((5, 3)), r.standard_normal((5, 3)), r.standard_normal((5, 2))


# ---------- multi-query attention: many heads, one key and one value
class MultiQuery:
    def __init__(self, d, heads):
        rng = np.random.default_rng(6)
        self.heads, self.dk = heads, d // heads
        self.wq, self.wo = rng.standard_normal((d, d)), rng.standard_normal((d, d))
        self.wkv = rng.standard_normal((d, 2 * self.dk))

    def forward(self, x):
        b, t, d = x.shape
        self.x = x
        self.q = (x @ self.wq).reshape(b, t, self.heads, self.dk)
        self.k, self.v = np.split(x @ self.wkv, 2, axis=-1)
        s = np.einsum("bihd,bjd->bhij", self.q, self.k) / self.dk**0.5
        s = np.exp(s - s.max(-1, keepdims=True))
        self.p = s / s.sum(-1, keepdims=True)
        self.o = np.einsum("bhij,bjd->bihd", self.p, self.v).reshape(b, t, d)
        return self.o @ self.wo

    def backward(self, dy):
        b, t, d = dy.shape
        self.dwo = np.tensordot(self.o, dy, ((0, 1), (0, 1)))
        do = (dy @ self.wo.T).reshape(b, t, self.heads, self.dk)
        dp = np.einsum("bihd,bjd->bhij", do, self.v)
        ds = self.p * (dp - np.sum(dp * self.p, -1, keepdims=True)) / self.dk**0.5
        dq = np.einsum("bhij,bjd->bihd", ds, self.k).reshape(b, t, d)
        dkv = np.concatenate(
            [np.einsum("bhij,bihd->bjd", ds, self.q), np.einsum("bhij,bihd->bjd", self.p, do)], axis=-1
        )
        self.dwq = np.tensordot(self.x, dq, ((0, 1), (0, 1)))
        self.dwkv = np.tensordot(self.x, dkv, ((0, 1), (0, 1)))
        return dq @ self.wq.T + dkv @ self.wkv.T


def _mq():
    return MultiQuery(4, 2), 0.7 * np.random.default_rng(7).standard_normal((2, 3, 4))


def _mq_prove():
    m, x = _mq()
    return layer(m, [x], lambda: [m.wq, m.wkv, m.wo], lambda: [m.dwq, m.dwkv, m.dwo])


# ---------- diagonal state space, the flow of time as a learned step
class DiagonalSSM:
    """h' = -exp(log_a) h + B u, discretised exactly with step exp(log_dt); y = sum_n C_n h_n + D u"""

    def __init__(self, n_state=4):
        rng = np.random.default_rng(8)
        self.params = [
            np.log(np.arange(1.0, n_state + 1)),
            np.array([-1.2]),
            rng.standard_normal(n_state),
            rng.standard_normal(n_state),
            np.array([0.5]),
        ]  # log_a, log_dt, B, C, D
        self.grads = [np.zeros_like(p) for p in self.params]

    def forward(self, u):  # (T,)
        log_a, log_dt, B, C, D = self.params
        a, dt = np.exp(log_a), np.exp(log_dt)
        decay = np.exp(-a * dt)
        gain = (1 - decay) / a
        h = np.zeros((len(u) + 1, len(a)))
        for t in range(len(u)):
            h[t + 1] = decay * h[t] + gain * B * u[t]
        self.memo = u, a, dt, decay, gain, h
        return h[1:] @ C + D * u

    def backward(self, dy):
        u, a, dt, decay, gain, h = self.memo
        log_a, log_dt, B, C, D = self.params
        lam = np.zeros_like(h)
        for t in range(len(u) - 1, -1, -1):
            lam[t] = C * dy[t] + decay * lam[t + 1]
        lam = lam[:-1]
        ddecay, dgain = (lam * h[:-1]).sum(0), (lam * u[:, None]).sum(0) * B
        ddecay -= dgain / a
        da = -dgain * gain / a - ddecay * decay * dt
        for slot, value in zip(
            self.grads,
            [
                da * a,
                np.sum(-ddecay * decay * a) * dt,
                gain * (lam * u[:, None]).sum(0),
                dy @ h[1:],
                dy @ u,
            ],
            strict=True,
        ):
            slot[...] = value
        return lam @ (gain * B) + D * dy


def _ssm():
    return DiagonalSSM(), np.random.default_rng(9).standard_normal(9)


def _ssm_prove():
    m, u = _ssm()
    return layer(m, [u], lambda: m.params, lambda: m.grads)


# ---------- QRNN pooling
def fo_pool(z, f, o):
    """z, f, o (T, N), already squashed: c[t] = f c[t-1] + (1 - f) z, h = o c"""
    c = np.zeros((len(z) + 1, z.shape[1]))
    for t in range(len(z)):
        c[t + 1] = f[t] * c[t] + (1 - f[t]) * z[t]
    return o * c[1:], (z, f, o, c)


def fo_pool_backward(dh, cache):
    z, f, o, c = cache
    dz, df = np.zeros_like(z), np.zeros_like(f)
    dc = np.zeros(z.shape[1])
    for t in reversed(range(len(z))):
        dc = dc + dh[t] * o[t]
        dz[t] = dc * (1 - f[t])
        df[t] = dc * (c[t + 1] - z[t])
        dc = dc * f[t]
    return dz, df, dh * c[1:]


def _fo():
    r = np.random.default_rng(10)
    return np.tanh(r.standard_normal((5, 3))), r.uniform(0.1, 0.9, (5, 3)), r.uniform(0.1, 0.9, (5, 3))


def _fo_prove():
    xs = _fo()
    h, c = fo_pool(*xs)
    g = np.random.default_rng(11).standard_normal(h.shape)
    return pairs(lambda: np.sum(g * fo_pool(*xs)[0]), fo_pool_backward(g, c), xs)


# ---------- attention with a distance penalty for each head (ALiBi)
class AlibiScores:
    def __init__(self, heads):
        self.slopes = 2.0 ** -np.arange(1, heads + 1)

    def forward(self, q, k):  # (heads, T, d) -> attention weights
        n = q.shape[1]
        self.q, self.k, self.scale = q, k, q.shape[-1] ** -0.5
        gap = np.arange(n)[:, None] - np.arange(n)
        s = self.scale * q @ k.swapaxes(1, 2) - self.slopes[:, None, None] * np.maximum(gap, 0)
        s = np.where(gap < 0, -np.inf, s)
        e = np.exp(s - s.max(axis=-1, keepdims=True))
        self.A = e / e.sum(axis=-1, keepdims=True)
        return self.A

    def backward(self, dA):
        dS = self.A * (dA - (self.A * dA).sum(axis=-2, keepdims=True))
        return self.scale * dS @ self.k, self.scale * dS.swapaxes(1, 2) @ self.q


def _alibi():
    r = np.random.default_rng(12)
    return AlibiScores(2), r.standard_normal((2, 4, 3)), r.standard_normal((2, 4, 3))


# ---------- two directions
class BiIndRNN:
    """one elementwise recurrence forwards, one backwards, side by side"""

    def __init__(self, n):
        self.u = np.linspace(-0.8, 0.9, n)
        self.w = np.linspace(0.7, -0.6, n)

    @staticmethod
    def run(x, u):
        h = [np.zeros(x.shape[1])]
        for row in x:
            h.append(np.tanh(row + u * h[-1]))
        return np.array(h)

    @staticmethod
    def unrun(h, u, dh):
        dx, du, back = np.zeros_like(dh), 0, 0
        for t in range(len(dh))[::-1]:
            dx[t] = (dh[t] + back) * (1 - h[t + 1] ** 2)
            du = du + dx[t] * h[t]
            back = dx[t] * u
        return dx, du

    def forward(self, x):
        self.hf, self.hb = self.run(x, self.u), self.run(x[::-1], self.w)
        return np.hstack([self.hf[1:], self.hb[:0:-1]])

    def backward(self, dout):
        n = len(self.u)
        left, right = dout[:, :n], dout[:, n:]
        dx, self.du = self.unrun(self.hf, self.u, left)
        dr, self.dw = self.unrun(self.hb, self.w, right)
        return dx + dr[::-1]


def _bi():
    return BiIndRNN(3), np.random.default_rng(13).standard_normal((5, 3))


def _bi_prove():
    m, x = _bi()
    return layer(m, [x], lambda: [m.u, m.w], lambda: [m.du, m.dw])


# ---------- gated cell with all gates in one matrix
def jordan_step(x, h, W):
    """gates [update | reset], candidate tanh(reset * h + x)"""
    n = h.shape[1]
    gates = sigm(np.concatenate([x, h], axis=1) @ W)
    upd, rst = gates[:, :n], gates[:, n:]
    cand = np.tanh(rst * h + x)
    return upd * h + (1 - upd) * cand, (x, h, W, upd, rst, cand)


def jordan_step_back(dnew, cache):
    x, h, W, upd, rst, cand = cache
    n = h.shape[1]
    dpre = dnew * (1 - upd) * (1 - cand**2)
    dupd = dnew * (h - cand) * upd * (1 - upd)
    drst = dpre * h * rst * (1 - rst)
    dgates = np.concatenate([drst, dupd], axis=1)
    dxh = dgates @ W.T
    dW = np.concatenate([x, h], axis=1).T @ dgates
    return dxh[:, :n] + dpre, dxh[:, n:] + dpre * rst + dnew * upd, dW


def _jordan():
    r = np.random.default_rng(14)
    return r.standard_normal((4, 3)), r.standard_normal((4, 3)), 0.5 * r.standard_normal((6, 6))


def _jordan_prove():
    xs = _jordan()
    y, c = jordan_step(*xs)
    g = np.random.default_rng(15).standard_normal(y.shape)
    return pairs(lambda: np.sum(g * jordan_step(*xs)[0]), jordan_step_back(g, c), xs)


# ---------- patch stem with learned positions
class PatchStem:
    def __init__(self, tokens, d_in, d):
        g = np.random.default_rng(16)
        self.params = {"proj": g.standard_normal((d_in, d)), "pos": 0.1 * g.standard_normal((tokens, d))}

    def forward(self, x):
        self.x = x
        return x @ self.params["proj"] + self.params["pos"]

    def backward(self, dout):
        dproj = np.einsum("bti,btd->id", self.x, dout)
        self.grads = {"proj": dproj, "pos": dout[0]}
        return dout @ self.params["proj"].T


def _stem():
    return PatchStem(4, 3, 2), np.random.default_rng(17).standard_normal((3, 4, 3))


def _stem_prove():
    m, x = _stem()
    return layer(m, [x], lambda: list(m.params.values()), lambda: [m.grads["proj"], m.grads["pos"]])


# ---------- habit: a reservoir that goes on from where it stopped
class LeakyEcho:
    def __init__(self, n, leak=0.3):
        self.W = np.random.default_rng(18).standard_normal((n, n)) / n
        self.leak, self.h = leak, np.zeros(n)

    def forward(self, x):
        self.h0, self.act = self.h, []
        for row in x:
            a = np.tanh(row + self.h @ self.W)
            self.act.append((self.h, a))
            self.h = (1 - self.leak) * self.h + self.leak * a
        return np.array([*[h for h, _ in self.act[1:]], self.h])

    def backward(self, dy):
        dx, self.dW, back = np.zeros_like(dy), np.zeros_like(self.W), 0
        for t in range(len(dy) - 1, -1, -1):
            h, a = self.act[t]
            dh = dy[t] + back
            dx[t] = dh * self.leak * (1 - a**2)
            self.dW += np.outer(h, dx[t])
            back = (1 - self.leak) * dh + self.W @ dx[t]
        return dx


def _echo():
    return LeakyEcho(3), np.random.default_rng(19).standard_normal((4, 3))


_q = np.random.default_rng(3).standard_normal((2, 4, 6))

ENTRIES = [
    Stranger(
        "ta minGRU that returns dx and a dict",
        "layer whose backward returns (dx, grads)",
        lambda gl: gl.check_layer(*_mingru()),
        _mingru_prove,
    ),
    Stranger(
        "ta rotary embedding",
        "node pair",
        lambda gl: gl.check_vjp(rope_forward, rope_backward, (_q.copy(),)),
        _rope_prove,
    ),
    Stranger(
        "ta causal linear attention",
        "layer with three inputs",
        lambda gl: gl.check_layer(*_linatt()),
        lambda: layer(_linatt()[0], list(_linatt()[1:])),
    ),
    Stranger(
        "ta multi-query attention", "layer with attributes", lambda gl: gl.check_layer(*_mq()), _mq_prove
    ),
    Stranger(
        "ta diagonal state space",
        "layer with params and grads lists",
        lambda gl: gl.check_layer(*_ssm()),
        _ssm_prove,
    ),
    Stranger(
        "ta fo-pooling: time step of the state",
        "pair with cache",
        lambda gl: gl.check_cached_pair(fo_pool, fo_pool_backward, _fo()),
        _fo_prove,
        "wrong",
        "the forget gate's gradient takes the state after the step instead of the one before",
        ("wrong-operand",),
        ("f",),
        "        df[t] = dc * (c[t + 1] - z[t])\n",
        "        df[t] = dc * (c[t] - z[t])\n",
    ),
    Stranger(
        "ta alibi scores: axis of the softmax's sum",
        "layer with two inputs",
        lambda gl: gl.check_layer(*_alibi()),
        lambda: layer(_alibi()[0], list(_alibi()[1:])),
        "wrong",
        "the softmax's backward sums over the queries instead of the keys",
        ("wrong-sum-axis",),
        ("q", "k"),
        "        dS = self.A * (dA - (self.A * dA).sum(axis=-2, keepdims=True))\n",
        "        dS = self.A * (dA - (self.A * dA).sum(axis=-1, keepdims=True))\n",
    ),
    Stranger(
        "ta two-way IndRNN: dout not reversed",
        "layer with attributes",
        lambda gl: gl.check_layer(*_bi()),
        _bi_prove,
        "wrong",
        "the backward direction takes dout in forward order, not reversed in time",
        ("wrong-cotangent",),
        ("x", "w"),
        "        dr, self.dw = self.unrun(self.hb, self.w, right)\n",
        "        dr, self.dw = self.unrun(self.hb, self.w, right[::-1])\n",
    ),
    Stranger(
        "ta one-matrix cell: gates joined in the other order",
        "pair with cache",
        lambda gl: gl.check_cached_pair(jordan_step, jordan_step_back, _jordan()),
        _jordan_prove,
        "wrong",
        "the gradients of the two gates are joined in the other order than forward splits them",
        ("columns-exchanged",),
        ("W", "x", "h"),
        "    dgates = np.concatenate([drst, dupd], axis=1)\n",
        "    dgates = np.concatenate([dupd, drst], axis=1)\n",
    ),
    Stranger(
        "ta patch stem: positions of one image only",
        "layer with params and grads dicts",
        lambda gl: gl.check_layer(*_stem()),
        _stem_prove,
        "wrong",
        "the positions' gradient is that of the first image instead of the sum over the batch",
        ("missing-broadcast-sum",),
        ("pos",),
        '        self.grads = {"proj": dproj, "pos": dout[0]}\n',
        '        self.grads = {"proj": dproj, "pos": dout.sum(axis=0)}\n',
    ),
    Stranger(
        "ta leaky echo: goes on from the last state",
        "stateful layer",
        lambda gl: gl.check_layer(*_echo()),
        lambda: [],
        "habit",
        "the state is kept, so that a second forward of the same input gives another output",
        ("nondeterministic", "stale-residuals"),
        ("x",),
    ),
]
