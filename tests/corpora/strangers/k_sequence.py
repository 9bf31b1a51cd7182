"""Recurrent cells and attention."""

import numpy as np

from ._entry import Stranger
from ._help_k import against, cot


def sigm(z):
    return 0.5 * (1 + np.tanh(0.5 * z))


class GRU:
    """Keras-like: build / call; steps that are masked out hand the state on as it is."""

    def __init__(self, units):
        self.units = units
        self.built = False

    def build(self, input_shape, seed=0):
        r = np.random.default_rng(seed)
        d, u = input_shape[-1], self.units
        self.kernel = r.normal(0, 0.6, (d, 3 * u))
        self.recurrent_kernel = r.normal(0, 0.6, (u, 3 * u))
        self.bias = r.normal(0, 0.1, 3 * u)
        self.built = True
        return self

    def call(self, x, mask):
        u, U = self.units, self.recurrent_kernel
        h = np.zeros((len(x), u))
        self.saved, self.x = [], x
        for t in range(x.shape[1]):
            a = x[:, t] @ self.kernel + self.bias
            zr = sigm(a[:, : 2 * u] + h @ U[:, : 2 * u])
            z, r = zr[:, :u], zr[:, u:]
            c = np.tanh(a[:, 2 * u :] + (r * h) @ U[:, 2 * u :])
            m = mask[:, t, None]
            self.saved.append((h, z, r, c, m))
            h = np.where(m, z * h + (1 - z) * c, h)
        return h

    def backward(self, dh):
        u, U, x = self.units, self.recurrent_kernel, self.x
        dK, dU, db = np.zeros_like(self.kernel), np.zeros_like(U), np.zeros_like(self.bias)
        dx = np.zeros_like(x)
        for t in reversed(range(x.shape[1])):
            h, z, r, c, m = self.saved[t]
            d = dh * m
            dc = d * (1 - z) * (1 - c * c)
            drh = dc @ U[:, 2 * u :].T
            da = np.concatenate([d * (h - c) * z * (1 - z), drh * h * r * (1 - r), dc], axis=1)
            dU[:, : 2 * u] += h.T @ da[:, : 2 * u]
            dU[:, 2 * u :] += (r * h).T @ dc
            dK += x[:, t].T @ da
            db += da.sum(0)
            dx[:, t] = da @ self.kernel.T
            dh = dh * ~m + d * z + drh * r + da[:, : 2 * u] @ U[:, : 2 * u].T
        self.gradients = {"kernel": dK, "recurrent_kernel": dU, "bias": db}
        return dx


def bahdanau(query, keys, Wq, Wk, v):
    """additive attention: query (N, Q), keys (N, T, K), returns the context (N, K)"""
    e = np.tanh((query @ Wq)[:, None] + keys @ Wk)
    s = e @ v
    a = np.exp(s - s.max(1, keepdims=True))
    a = a / a.sum(1, keepdims=True)
    return np.einsum("nt,ntk->nk", a, keys), (query, keys, Wq, Wk, v, e, a)


def bahdanau_grad(dctx, cache):
    query, keys, Wq, Wk, v, e, a = cache
    da = np.einsum("nk,ntk->nt", dctx, keys)
    ds = a * (da - np.sum(a * da, 1, keepdims=True))
    dpre = ds[..., None] * v * (1 - e**2)
    dkeys = a[..., None] * dctx[:, None] + dpre @ Wk.T
    dq = dpre.sum(1)
    dv = np.einsum("nt,nth->h", ds, e)
    return dq @ Wq.T, dkeys, query.T @ dq, np.einsum("ntk,nth->kh", keys, dpre), dv


class 양방향RNN:
    """시간 축이 맨 앞: xs (T, N, D) -> (T, N, 2H)"""

    def __init__(self, D, H, seed=0):
        g = np.random.default_rng(seed)
        # 앞으로: Wx, Wh, b / 뒤로: Wx, Wh, b
        self.params = [g.normal(0, 0.7, s) for s in [(D, H), (H, H), (H,)] * 2]
        self.grads = [np.zeros_like(p) for p in self.params]

    @staticmethod
    def _순전파(xs, Wx, Wh, b):
        hs = [np.zeros((xs.shape[1], b.size))]
        for x in xs:
            hs.append(np.tanh(x @ Wx + hs[-1] @ Wh + b))
        return np.stack(hs)

    def forward(self, xs):
        self.xs = xs
        self.f = self._순전파(xs, *self.params[:3])
        self.r = self._순전파(xs[::-1], *self.params[3:])
        return np.concatenate([self.f[1:], self.r[:0:-1]], axis=2)

    def _역전파(self, xs, hs, dhs, p, g):
        for a in g:
            a[...] = 0
        dxs, dh = np.empty_like(xs), 0
        for t in range(len(xs) - 1, -1, -1):
            da = (dhs[t] + dh) * (1 - hs[t + 1] ** 2)
            g[0] += xs[t].T @ da
            g[1] += hs[t].T @ da
            g[2] += da.sum(0)
            dxs[t], dh = da @ p[0].T, da @ p[1].T
        return dxs

    def backward(self, dout):
        H = dout.shape[2] // 2
        앞 = self._역전파(self.xs, self.f, dout[:, :, :H], self.params[:3], self.grads[:3])
        뒤 = self._역전파(self.xs[::-1], self.r, dout[::-1, :, H:], self.params[3:], self.grads[3:])
        return 앞 + 뒤[::-1]


def phi(a):
    return np.where(a > 0, a + 1, np.exp(a))


def linear_attention(q, k, v):
    """causal, one head, prefix sums instead of a softmax (Katharopoulos 2020)"""
    fq, fk = phi(q), phi(k)
    S = np.cumsum(fk[:, :, None] * v[:, None, :], axis=0)
    z = np.cumsum(fk, axis=0)
    den = np.sum(fq * z, 1, keepdims=True)
    out = np.einsum("td,tde->te", fq, S) / den
    return out, dict(q=q, k=k, v=v, fq=fq, fk=fk, S=S, z=z, den=den, out=out)


def linear_attention_bwd(g, c):
    dnum = g / c["den"]
    dden = -np.sum(g * c["out"], 1, keepdims=True) / c["den"]
    dfq = np.einsum("te,tde->td", dnum, c["S"]) + dden * c["z"]
    dS = np.cumsum((c["fq"][:, :, None] * dnum[:, None, :])[::-1], axis=0)[::-1]
    dz = np.cumsum((c["fq"] * dden)[::-1], axis=0)[::-1]
    dfk = np.einsum("tde,te->td", dS, c["v"]) + dz
    dv = np.einsum("tde,td->te", dS, c["fk"])
    return {"q": dfq * np.minimum(c["fq"], 1), "k": dfk * np.minimum(c["fk"], 1), "v": dv}


class LeakyRNN:
    """rate network with a learned leak; the steps leave their own backward on a tape"""

    def __init__(self, n_in, n, seed=0):
        r = np.random.default_rng(seed)
        self.params = {"J": r.normal(0, 0.7, (n, n)), "B": r.normal(size=(n_in, n)), "leak": r.normal(size=n)}

    def _step(self, x, h, t):
        p = self.params
        a, f = sigm(p["leak"]), np.tanh(h @ p["J"] + x[:, t] @ p["B"])

        def back(dh, dx, g):
            du = dh * a * (1 - f * f)
            g["leak"] += (dh * (f - h)).sum(0) * a * (1 - a)
            g["J"] += h.T @ du
            g["B"] += x[:, t].T @ du
            dx[:, t] = du @ p["B"].T
            return dh * (1 - a) + du @ p["J"].T

        return (1 - a) * h + a * f, back

    def forward(self, x):
        h, self.tape, self.shape = np.zeros((len(x), len(self.params["J"]))), [], x.shape
        for t in range(x.shape[1]):
            h, back = self._step(x, h, t)
            self.tape.append(back)
        return h

    def backward(self, dh):
        dx = np.zeros(self.shape)
        self.grads = {k: np.zeros_like(v) for k, v in self.params.items()}
        for back in reversed(self.tape):
            dh = back(dh, dx, self.grads)
        return dx


class PeepholeLSTM:
    def __init__(self, D, H, seed=0):
        r = np.random.default_rng(seed)
        self.params = {"W": r.normal(0, 0.6, (D + H, 4 * H)), "pi": r.normal(size=H)}
        self.params.update(pf=r.normal(size=H), po=r.normal(size=H))

    def forward(self, xs):
        p, H = self.params, len(self.params["pi"])
        N, T, D = xs.shape
        h = c = np.zeros((N, H))
        out, self.cache = np.empty((N, T, H)), []
        for t in range(T):
            xh = np.hstack([xs[:, t], h])
            ai, af, ag, ao = np.split(xh @ p["W"], 4, axis=1)
            c_prev = c
            i, f, g = sigm(ai + p["pi"] * c_prev), sigm(af + p["pf"] * c_prev), np.tanh(ag)
            c = f * c_prev + i * g
            o = sigm(ao + p["po"] * c)
            out[:, t] = h = o * np.tanh(c)
            self.cache.append((xh, i, f, g, o, c_prev, c))
        return out

    def backward(self, dhs):
        p, H = self.params, len(self.params["pi"])
        G = self.grads = {k: np.zeros_like(v) for k, v in p.items()}
        dxs = np.zeros(dhs.shape[:2] + (len(p["W"]) - H,))
        dh, dc = 0, 0
        for t in reversed(range(dhs.shape[1])):
            xh, i, f, g, o, c_prev, c = self.cache[t]
            dh = dh + dhs[:, t]
            tc = np.tanh(c)
            do = dh * tc * o * (1 - o)
            dc = dc + dh * o * (1 - tc**2) + do * p["po"]
            di, df = dc * g * i * (1 - i), dc * c_prev * f * (1 - f)
            G["pi"] += (di * c_prev).sum(0)
            G["pf"] += (df * c_prev).sum(0)
            G["po"] += (do * c_prev).sum(0)
            da = np.hstack([di, df, dc * i * (1 - g**2), do])
            G["W"] += xh.T @ da
            dxh = da @ p["W"].T
            dxs[:, t], dh = dxh[:, :-H], dxh[:, -H:]
            dc = dc * f + di * p["pi"] + df * p["pf"]
        return dxs


class CausalSelfAttention:
    # as in minGPT, without biases and dropout
    def __init__(self, d_model, n_head, seed=0):
        r = np.random.default_rng(seed)
        self.nh = n_head
        self.Wqkv = r.normal(0, 0.7, (d_model, 3 * d_model))
        self.Wo = r.normal(0, 0.7, (d_model, d_model))

    def _heads(self, a):
        B, T, C = a.shape
        return a.reshape(B, T, self.nh, C // self.nh).swapaxes(1, 2)

    def _merge(self, a):
        B, nh, T, hs = a.shape
        return a.swapaxes(1, 2).reshape(B, T, nh * hs)

    def forward(self, x):
        self.x = x
        q, self.k, self.v = map(self._heads, np.split(x @ self.Wqkv, 3, axis=2))
        self.scale = q.shape[-1] ** -0.5
        self.q = q * self.scale
        s = self.q @ self.k.swapaxes(2, 3)
        s[..., np.triu(np.ones(s.shape[2:], bool), 1)] = -np.inf
        s = np.exp(s - s.max(-1, keepdims=True))
        self.att = s / s.sum(-1, keepdims=True)
        self.y = self._merge(self.att @ self.v)
        return self.y @ self.Wo

    def backward(self, dout):
        self.dWo = np.tensordot(self.y, dout, ([0, 1], [0, 1]))
        dy = self._heads(dout @ self.Wo.T)
        datt = dy @ self.v.swapaxes(2, 3)
        dv = self.att.swapaxes(2, 3) @ dy
        ds = self.att * (datt - (datt * self.att).sum(-1, keepdims=True))
        dq = ds @ self.k
        dk = ds.swapaxes(2, 3) @ self.q
        dqkv = np.concatenate([self._merge(dq), self._merge(dk), self._merge(dv)], axis=2)
        self.dWqkv = np.tensordot(self.x, dqkv, ([0, 1], [0, 1]))
        return dqkv @ self.Wqkv.T


def mgu_step(x, h, Wf, Wh):
    """minimal gated unit, one step"""
    f = sigm(np.hstack([x, h]) @ Wf)
    c = np.tanh(np.hstack([x, f * h]) @ Wh)
    return (1 - f) * h + f * c, (x, h, Wf, Wh, f, c)


def mgu_step_backward(dnext, cache):
    x, h, Wf, Wh, f, c = cache
    n = x.shape[1]
    dac = dnext * f * (1 - c**2)
    dxc = dac @ Wh.T
    df = dnext * (c - h) + dxc[:, n:] * h
    daf = df * f * (1 - f)
    dxf = daf @ Wf.T
    dx = dxc[:, :n] + dxf[:, :n]
    dh = dxc[:, n:] * f + dxf[:, n:]
    return dx, dh, np.hstack([x, h]).T @ daf, np.hstack([x, f * h]).T @ dac


class RotaryEmbedding:
    def __init__(self, dim, max_len, base=100.0):
        ang = np.outer(np.arange(1, max_len + 1), base ** (-np.arange(0, dim, 2) / dim))
        self.cos, self.sin = np.cos(ang), np.sin(ang)

    def rotate(self, x, cos, sin):
        a, b = x[..., ::2], x[..., 1::2]
        out = np.empty_like(x)
        out[..., ::2] = a * cos - b * sin
        out[..., 1::2] = a * sin + b * cos
        return out

    def forward(self, x):
        self.T = x.shape[1]
        return self.rotate(x, self.cos[: self.T], self.sin[: self.T])

    def backward(self, dout):
        return self.rotate(dout, self.cos[: self.T], self.sin[: self.T])


class CharRNN:
    def __init__(self, vocab, hidden, seed=0):
        r = np.random.default_rng(seed)
        self.Wxh = r.normal(size=(vocab, hidden))
        self.Whh = r.normal(size=(hidden, hidden)) * 0.5
        self.Why = r.normal(size=(hidden, vocab))

    def forward(self, ids):
        self.ids = ids
        self.hs = [np.zeros(self.Whh.shape[0])]
        for i in ids:
            self.hs.append(np.tanh(self.Wxh[i] + self.hs[-1] @ self.Whh))
        return np.array(self.hs[1:]) @ self.Why

    def backward(self, dlogits):
        self.dWxh, self.dWhh = np.zeros_like(self.Wxh), np.zeros_like(self.Whh)
        self.dWhy = np.array(self.hs[1:]).T @ dlogits
        carry = 0
        for t in reversed(range(len(self.ids))):
            da = (dlogits[t] @ self.Why.T + carry) * (1 - self.hs[t + 1] ** 2)
            self.dWxh[self.ids[t]] += da
            self.dWhh += np.outer(self.hs[t], da)
            carry = self.Whh @ da
        for dparam in (self.dWxh, self.dWhh, self.dWhy):
            np.clip(dparam, -1, 1, out=dparam)


def N(*shape, seed=1):
    return np.random.default_rng(seed).normal(size=shape)


def _dicts(m, x, *rest):
    """layers whose backward returns dx and leaves m.grads"""
    g = cot(m.forward(x, *rest))
    dx = m.backward(g)
    return against(lambda: m.forward(x, *rest), g, (dx, x), *((m.grads[k], m.params[k]) for k in m.params))


def _attrs(m, names, *args):
    g = cot(m.forward(*args))
    dx = m.backward(g)
    pairs = [(getattr(m, "d" + n), getattr(m, n)) for n in names]
    return against(lambda: m.forward(*args), g, *pairs, *([] if dx is None else [(dx, args[0])]))


def _pair(f, b, args):
    y, cache = f(*args)
    g = cot(y)
    got = b(g, cache)
    return against(lambda: f(*args)[0], g, *zip(got.values() if isinstance(got, dict) else got, args))


def _gru():
    mask = np.arange(4) < np.array([[4], [2], [3]])
    return GRU(3).build((None, None, 2)), N(3, 4, 2), mask


def _prove_gru():
    m, x, mask = _gru()
    g = cot(m.call(x, mask))
    dx = m.backward(g)
    return against(lambda: m.call(x, mask), g, (dx, x), *((v, getattr(m, k)) for k, v in m.gradients.items()))


def _prove_bi():
    m, xs = 양방향RNN(2, 3), N(4, 2, 2)
    g = cot(m.forward(xs))
    dx = m.backward(g)
    return against(lambda: m.forward(xs), g, (dx, xs), *zip(m.grads, m.params))


def _bahdanau():
    return N(2, 3), N(2, 4, 3, seed=2), N(3, 5, seed=3), N(3, 5, seed=4), N(5, seed=5)


def _lin():
    return N(5, 3), N(5, 3, seed=2), N(5, 2, seed=3)


def _mgu():
    return N(4, 2), N(4, 3, seed=2), N(5, 3, seed=3), N(5, 3, seed=4)


IDS = np.array([0, 3, 1, 1, 2, 0])

ENTRIES = [
    Stranger(
        "GRU in Keras's manner with a mask",
        "layer with build and call, gradients in a dict",
        lambda gradlab: gradlab.check_layer(*_gru()),
        _prove_gru,
    ),
    Stranger(
        "Bahdanau's additive attention",
        "pair with cache tuple",
        lambda gradlab: gradlab.check_cached_pair(bahdanau, bahdanau_grad, _bahdanau()),
        lambda: _pair(bahdanau, bahdanau_grad, _bahdanau()),
    ),
    Stranger(
        "bidirectional RNN, time first, Korean names",
        "layer with params and grads lists",
        lambda gradlab: gradlab.check_layer(양방향RNN(2, 3), N(4, 2, 2)),
        _prove_bi,
    ),
    Stranger(
        "causal linear attention by prefix sums",
        "pair with cache dict, gradients in a dict",
        lambda gradlab: gradlab.check_cached_pair(linear_attention, linear_attention_bwd, _lin()),
        lambda: _pair(linear_attention, linear_attention_bwd, _lin()),
    ),
    Stranger(
        "leaky rate network with closures on a tape",
        "layer with params and grads dicts",
        lambda gradlab: gradlab.check_layer(LeakyRNN(2, 4), N(3, 4, 2)),
        lambda: _dicts(LeakyRNN(2, 4), N(3, 4, 2)),
    ),
    Stranger(
        "peephole LSTM: output gate's peephole of the step before",
        "layer with params and grads dicts",
        lambda gradlab: gradlab.check_layer(PeepholeLSTM(2, 3), N(2, 4, 2)),
        lambda: _dicts(PeepholeLSTM(2, 3), N(2, 4, 2)),
        "wrong",
        "the output gate looks at the new cell state, and its peephole's gradient takes the old one",
        ("shifted",),
        ("po",),
        '            G["po"] += (do * c_prev).sum(0)',
        '            G["po"] += (do * c).sum(0)',
    ),
    Stranger(
        "causal self-attention: scale forgotten in the queries' gradient",
        "layer with attributes",
        lambda gradlab: gradlab.check_layer(CausalSelfAttention(4, 2), N(2, 3, 4)),
        lambda: _attrs(CausalSelfAttention(4, 2), ("Wqkv", "Wo"), N(2, 3, 4)),
        "wrong",
        "the queries were multiplied by 1/sqrt(head size), and dq is not",
        ("constant-factor",),
        ("Wqkv", "x"),
        "        dq = ds @ self.k\n",
        "        dq = ds @ self.k * self.scale\n",
    ),
    Stranger(
        "minimal gated unit: the direct path of the state forgotten",
        "pair with cache tuple",
        lambda gradlab: gradlab.check_cached_pair(mgu_step, mgu_step_backward, _mgu()),
        lambda: _pair(mgu_step, mgu_step_backward, _mgu()),
        "wrong",
        "dh lacks the term dnext * (1 - f), the state that is kept",
        ("missing-term",),
        ("h",),
        "    dh = dxc[:, n:] * f + dxf[:, n:]",
        "    dh = dnext * (1 - f) + dxc[:, n:] * f + dxf[:, n:]",
    ),
    Stranger(
        "rotary embedding: rotates the same way in backward",
        "layer without parameters",
        lambda gradlab: gradlab.check_layer(RotaryEmbedding(4, 8), N(2, 3, 4)),
        lambda: _attrs(RotaryEmbedding(4, 8), (), N(2, 3, 4)),
        "wrong",
        "backward must turn by the negative angle: the rotation is not transposed",
        ("transposed", "sign-flipped"),
        ("x",),
        "        return self.rotate(dout, self.cos[: self.T], self.sin[: self.T])",
        "        return self.rotate(dout, self.cos[: self.T], -self.sin[: self.T])",
    ),
    Stranger(
        "character RNN: gradients clipped in backward",
        "layer of ids with attributes",
        lambda gradlab: gradlab.check_layer(CharRNN(4, 3), IDS.copy()),
        lambda: _attrs(CharRNN(4, 3), ("Wxh", "Whh", "Why"), IDS.copy()),
        "wrong",
        "backward clips the gradients to [-1, 1], so that the large ones are not the gradients",
        ("nonlinear-in-cotangent", "masked-region"),
        ("Wxh", "Whh", "Why"),
        "        for dparam in (self.dWxh, self.dWhh, self.dWhy):\n"
        "            np.clip(dparam, -1, 1, out=dparam)\n",
        "",
    ),
]
