"""Recurrent cells, attention, twins."""

from typing import NamedTuple

import numpy as np

from ._entry import Stranger
from ._help_c import cotangent, pairs


def rng(seed):
    return np.random.default_rng(seed)


def sigmoid(x):
    return 1 / (1 + np.exp(-x))


def softmax(x):
    e = np.exp(x - x.max(axis=-1, keepdims=True))
    return e / e.sum(axis=-1, keepdims=True)


# ---------------------------------------------------------------- GRU cell


class GRUParams(NamedTuple):
    Wz: np.ndarray
    Uz: np.ndarray
    bz: np.ndarray
    Wr: np.ndarray
    Ur: np.ndarray
    br: np.ndarray
    Wn: np.ndarray
    Un: np.ndarray
    bn: np.ndarray


class GRUCache(NamedTuple):
    x: np.ndarray
    h: np.ndarray
    z: np.ndarray
    r: np.ndarray
    n: np.ndarray


class GRUCell:
    def __init__(self, n_in, n_hidden, seed):
        g = np.random.default_rng(seed)
        one = lambda: (  # noqa: E731
            0.6 * g.standard_normal((n_in, n_hidden)),
            0.6 * g.standard_normal((n_hidden, n_hidden)),
            0.2 * g.standard_normal(n_hidden),
        )
        self.params = GRUParams(*one(), *one(), *one())
        self.grads = None
        self.cache = None

    def step(self, x, h):
        p = self.params
        z = sigmoid(x @ p.Wz + h @ p.Uz + p.bz)
        r = sigmoid(x @ p.Wr + h @ p.Ur + p.br)
        n = np.tanh(x @ p.Wn + (r * h) @ p.Un + p.bn)
        self.cache = GRUCache(x, h, z, r, n)
        return (1 - z) * n + z * h

    def step_back(self, dh_next):
        p, (x, h, z, r, n) = self.params, self.cache
        an = dh_next * (1 - z) * (1 - n**2)
        az = dh_next * (h - n) * z * (1 - z)
        drh = an @ p.Un.T
        ar = drh * h * r * (1 - r)
        self.grads = GRUParams(
            Wz=x.T @ az, Uz=h.T @ az, bz=az.sum(0),
            Wr=x.T @ ar, Ur=h.T @ ar, br=ar.sum(0),
            Wn=x.T @ an, Un=(r * h).T @ an, bn=an.sum(0),
        )  # fmt: skip
        dx = az @ p.Wz.T + ar @ p.Wr.T + an @ p.Wn.T
        dh = dh_next * z + drh * r + az @ p.Uz.T + ar @ p.Ur.T
        return dx, dh


def make_gru_cell():
    r = rng(401)
    return GRUCell(3, 4, seed=402), r.standard_normal((2, 3)), r.standard_normal((2, 4))


def prove_gru_cell():
    cell, x, h = make_gru_cell()
    d = cotangent(2, 4)
    cell.step(x, h)
    dx, dh = cell.step_back(d)
    return pairs(
        lambda: np.sum(cell.step(x, h) * d), (dx, x), (dh, h), *zip(cell.grads, cell.params, strict=True)
    )


# ---------------------------------------------------------------- GRU over time


class TimeGRU:
    def __init__(self, Wx, Wh, b):
        self.Wx, self.Wh, self.b = Wx, Wh, b
        self.gWx = self.gWh = self.gb = None

    def forward(self, xs):
        N, T, _ = xs.shape
        H = self.Wh.shape[0]
        h = np.zeros((N, H))
        self.tape, out = [], []
        for t in range(T):
            ax = xs[:, t] @ self.Wx + self.b
            ah = h @ self.Wh
            z = sigmoid(ax[:, :H] + ah[:, :H])
            r = sigmoid(ax[:, H : 2 * H] + ah[:, H : 2 * H])
            hn = ah[:, 2 * H :]
            n = np.tanh(ax[:, 2 * H :] + r * hn)
            self.tape.append((xs[:, t], h, z, r, hn, n))
            h = z * h + (1 - z) * n
            out.append(h)
        return np.stack(out, axis=1)

    def backward(self, dhs):
        self.gWx, self.gWh, self.gb = np.zeros_like(self.Wx), np.zeros_like(self.Wh), np.zeros_like(self.b)
        dxs, carry = [], 0.0
        for t in reversed(range(dhs.shape[1])):
            x, h, z, r, hn, n = self.tape[t]
            dh = dhs[:, t] + carry
            dn = dh * (1 - z) * (1 - n * n)
            dz = dh * (h - n) * z * (1 - z)
            dr = dn * hn * r * (1 - r)
            dax = np.hstack([dr, dz, dn])
            dah = np.hstack([dz, dr, dn * r])
            self.gWx += x.T @ dax
            self.gb += dax.sum(axis=0)
            self.gWh += h.T @ dah
            dxs.insert(0, dax @ self.Wx.T)
            carry = dh * z + dah @ self.Wh.T
        return np.stack(dxs, axis=1)


def make_time_gru():
    r = rng(403)
    return (
        TimeGRU(
            0.5 * r.standard_normal((3, 12)), 0.5 * r.standard_normal((4, 12)), 0.1 * r.standard_normal(12)
        ),
        r.standard_normal((2, 5, 3)),
    )


def prove_time_gru():
    layer, xs = make_time_gru()
    d = cotangent(*layer.forward(xs).shape)
    dxs = layer.backward(d)
    return pairs(
        lambda: np.sum(layer.forward(xs) * d),
        (dxs, xs),
        (layer.gWx, layer.Wx),
        (layer.gWh, layer.Wh),
        (layer.gb, layer.b),
    )


# ---------------------------------------------------------------- LSTM cell with two outputs


class LSTMCell:
    def __init__(self, n_in, n_hidden, seed):
        r = np.random.default_rng(seed)
        self.W = 0.5 * r.standard_normal((n_in + n_hidden, 4 * n_hidden))
        self.b = 0.1 * r.standard_normal(4 * n_hidden)

    def forward(self, x, h, c):
        xh = np.concatenate([x, h], axis=1)
        i, f, o, g = np.split(xh @ self.W + self.b, 4, axis=1)
        i, f, o, g = sigmoid(i), sigmoid(f + 1.0), sigmoid(o), np.tanh(g)
        c_new = f * c + i * g
        self.saved = xh, c, i, f, o, g, np.tanh(c_new), x.shape[1]
        return o * self.saved[6], c_new

    def backward(self, dh, dc):
        xh, c, i, f, o, g, tc, n_in = self.saved
        dc = dh * o * (1 - tc**2)
        da = np.concatenate(
            [dc * g * i * (1 - i), dc * c * f * (1 - f), dh * tc * o * (1 - o), dc * i * (1 - g**2)], axis=1
        )
        self.dW, self.db = xh.T @ da, da.sum(axis=0)
        dxh = da @ self.W.T
        return dxh[:, :n_in], dxh[:, n_in:], dc * f


def make_lstm_cell():
    r = rng(404)
    return (
        LSTMCell(4, 3, seed=405),
        r.standard_normal((3, 4)),
        r.standard_normal((3, 3)),
        r.standard_normal((3, 3)),
    )


def prove_lstm_cell():
    cell, x, h, c = make_lstm_cell()
    cell.forward(x, h, c)
    u, v = cotangent(3, 3), cotangent(3, 3, seed=98)
    dx, dh, dc = cell.backward(u, v)

    def f():
        a, b = cell.forward(x, h, c)
        return np.sum(a * u) + np.sum(b * v)

    return pairs(f, (dx, x), (dh, h), (dc, c), (cell.dW, cell.W), (cell.db, cell.b))


# ---------------------------------------------------------------- bidirectional RNN, time first


class _Direction:
    def __init__(self, r, D, H):
        self.U, self.V, self.c = 0.5 * r.standard_normal((D, H)), 0.5 * r.standard_normal((H, H)), np.zeros(H)

    def forward(self, xs):
        self.xs, self.hs = xs, [np.zeros((xs.shape[1], len(self.c)))]
        for x in xs:
            self.hs.append(np.tanh(x @ self.U + self.hs[-1] @ self.V + self.c))
        return np.stack(self.hs[1:])

    def backward(self, dhs):
        self.dU, self.dV, self.dc = np.zeros_like(self.U), np.zeros_like(self.V), np.zeros_like(self.c)
        dxs, dh = np.empty_like(self.xs), np.zeros_like(self.hs[0])
        for t in range(len(dhs) - 1, -1, -1):
            da = (dhs[t] + dh) * (1 - self.hs[t + 1] ** 2)
            self.dU += self.xs[t].T @ da
            self.dV += self.hs[t].T @ da
            self.dc += da.sum(0)
            dxs[t], dh = da @ self.U.T, da @ self.V.T
        return dxs


class BiRNN:
    def __init__(self, D, H, seed):
        r = np.random.default_rng(seed)
        self.ltr, self.rtl = _Direction(r, D, H), _Direction(r, D, H)

    def forward(self, xs):
        return np.concatenate([self.ltr.forward(xs), self.rtl.forward(xs[::-1])[::-1]], axis=-1)

    def backward(self, dout):
        H = dout.shape[-1] // 2
        return self.ltr.backward(dout[..., :H]) + self.rtl.backward(dout[::-1, :, H:])[::-1]


def make_birnn():
    return BiRNN(3, 4, seed=406), rng(407).standard_normal((4, 2, 3))


def prove_birnn():
    layer, xs = make_birnn()
    d = cotangent(*layer.forward(xs).shape)
    dxs = layer.backward(d)
    claims = [(getattr(side, "d" + k), getattr(side, k)) for side in (layer.ltr, layer.rtl) for k in "UVc"]
    return pairs(lambda: np.sum(layer.forward(xs) * d), (dxs, xs), *claims)


# ---------------------------------------------------------------- attention


class CausalSelfAttention:
    def __init__(self, d_model, n_heads, seed):
        r = np.random.default_rng(seed)
        self.n_heads = n_heads
        self.params = {
            k: r.standard_normal((d_model, d_model)) / np.sqrt(d_model) for k in ("Wq", "Wk", "Wv", "Wo")
        }

    def _heads(self, a):
        B, T, D = a.shape
        return a.reshape(B, T, self.n_heads, D // self.n_heads).transpose(0, 2, 1, 3)

    def _join(self, a):
        B, h, T, d = a.shape
        return a.transpose(0, 2, 1, 3).reshape(B, T, h * d)

    def forward(self, x):
        p = self.params
        q, k, v = (self._heads(x @ p[n]) for n in ("Wq", "Wk", "Wv"))
        scores = q @ k.swapaxes(-1, -2) / np.sqrt(q.shape[-1])
        future = np.triu(np.ones(scores.shape[-2:], dtype=bool), 1)
        A = softmax(np.where(future, -1e9, scores))
        y = self._join(A @ v)
        self.cache = dict(x=x, q=q, k=k, v=v, A=A, y=y)
        return y @ p["Wo"]

    def backward(self, dout):
        p, c = self.params, self.cache
        flat = lambda a: a.reshape(-1, a.shape[-1])  # noqa: E731
        grads = {"Wo": flat(c["y"]).T @ flat(dout)}
        dy = self._heads(dout @ p["Wo"].T)
        dv = c["A"].swapaxes(-1, -2) @ dy
        dA = dy @ c["v"].swapaxes(-1, -2)
        dS = c["A"] * (dA - (dA * c["A"]).sum(-1, keepdims=True)) / np.sqrt(c["q"].shape[-1])
        dq, dk = dS @ c["k"], dS.swapaxes(-1, -2) @ c["q"]
        dx = 0
        for name, g in (("Wq", dq), ("Wk", dk), ("Wv", dv)):
            g = self._join(g)
            grads[name] = flat(c["x"]).T @ flat(g)
            dx = dx + g @ p[name].T
        return dx, grads


def make_causal():
    return CausalSelfAttention(6, 2, seed=408), rng(409).standard_normal((2, 4, 6))


def prove_causal():
    layer, x = make_causal()
    d = cotangent(*layer.forward(x).shape)
    dx, grads = layer.backward(d)
    return pairs(lambda: np.sum(layer.forward(x) * d), (dx, x), *[(grads[k], layer.params[k]) for k in grads])


def attention_forward(q, k, v, mask):
    scale = 1 / np.sqrt(q.shape[-1])
    scores = np.einsum("bid,bjd->bij", q, k) * scale
    weights = softmax(np.where(mask, scores, -np.inf))
    return np.einsum("bij,bjd->bid", weights, v), (q, k, v, weights, scale)


def attention_backward(dout, cache):
    q, k, v, weights, scale = cache
    dv = np.einsum("bij,bid->bjd", weights, dout)
    dw = np.einsum("bid,bjd->bij", dout, v)
    ds = weights * (dw - np.sum(dw * weights, axis=-1, keepdims=True))
    dq = np.einsum("bij,bjd->bid", ds, k) * scale
    dk = np.einsum("bij,bid->bjd", ds, q)
    return dq, dk, dv


def local_attention(q, k, v):
    T = q.shape[1]
    band = np.abs(np.arange(T)[:, None] - np.arange(T)) <= 1
    return attention_forward(q, k, v, band)


def attention_primals():
    r = rng(410)
    return tuple(r.standard_normal((2, 4, 5)) for _ in range(3))


def prove_attention():
    primals = attention_primals()
    out, cache = local_attention(*primals)
    d = cotangent(*out.shape)
    grads = attention_backward(d, cache)
    return pairs(lambda: np.sum(local_attention(*primals)[0] * d), *zip(grads, primals, strict=True))


class CrossAttention:
    """A decoder looks at padded memories; True in `keep` is a real token."""

    def __init__(self, d, seed):
        r = np.random.default_rng(seed)
        self.Wq, self.Wkv = 0.5 * r.standard_normal((d, d)), 0.5 * r.standard_normal((d, 2 * d))

    def forward(self, queries, memory, keep):
        d = self.Wq.shape[0]
        q, kv = queries @ self.Wq, memory @ self.Wkv
        k, v = kv[..., :d], kv[..., d:]
        s = q @ k.transpose(0, 2, 1) / d**0.5
        s = s + np.where(keep, 0.0, -1e9)[:, None, :]
        a = softmax(s)
        self._saved = queries, memory, q, k, v, a
        return a @ v

    def backward(self, dout):
        queries, memory, q, k, v, a = self._saved
        d = self.Wq.shape[0]
        da = dout @ v.transpose(0, 2, 1)
        ds = a * (da - np.einsum("bij,bij->bi", a, da)[..., None]) / d**0.5
        dq = ds @ k
        dkv = np.concatenate([ds.transpose(0, 2, 1) @ q, a.transpose(0, 2, 1) @ dout], axis=-1)
        self.dWq = np.tensordot(queries, dq, axes=([0, 1], [0, 1]))
        self.dWkv = np.tensordot(memory, dkv, axes=([0, 1], [0, 1]))
        return dq @ self.Wq.T, dkv @ self.Wkv.T


def make_cross():
    r = rng(411)
    keep = np.array([[True, True, True, False], [True, True, False, False]])
    return CrossAttention(4, seed=412), r.standard_normal((2, 3, 4)), r.standard_normal((2, 4, 4)), keep


def prove_cross():
    layer, q, m, keep = make_cross()
    d = cotangent(*layer.forward(q, m, keep).shape)
    dq, dm = layer.backward(d)
    return pairs(
        lambda: np.sum(layer.forward(q, m, keep) * d),
        (dq, q),
        (dm, m),
        (layer.dWq, layer.Wq),
        (layer.dWkv, layer.Wkv),
    )


# ---------------------------------------------------------------- twins


class StackedTanh:
    """May be used several times in one pass: it keeps what it saw on a stack."""

    def __init__(self, n_in, n_out, seed):
        self.W = 0.6 * np.random.default_rng(seed).standard_normal((n_in, n_out))
        self.dW = np.zeros_like(self.W)
        self.stack = []

    def forward(self, x):
        h = np.tanh(x @ self.W)
        self.stack.append((x, h))
        return h

    def backward(self, dh):
        x, h = self.stack.pop()
        da = dh * (1 - h**2)
        self.dW += x.T @ da
        return da @ self.W.T


class SiameseDistance:
    def __init__(self, branch):
        self.branch = branch

    def forward(self, left, right):
        self.branch.stack.clear()
        self.gap = self.branch.forward(left) - self.branch.forward(right)
        return (self.gap**2).sum(axis=1)

    def backward(self, dout):
        self.branch.dW = np.zeros_like(self.branch.W)
        d = 2 * self.gap * dout[:, None]
        dright = self.branch.backward(-d)
        dleft = self.branch.backward(d)
        return dleft, dright


def make_siamese():
    r = rng(413)
    return SiameseDistance(StackedTanh(4, 3, seed=414)), r.standard_normal((5, 4)), r.standard_normal((5, 4))


def prove_siamese():
    layer, a, b = make_siamese()
    layer.forward(a, b)
    d = cotangent(5)
    da, db = layer.backward(d)
    return pairs(lambda: np.sum(layer.forward(a, b) * d), (da, a), (db, b), (layer.branch.dW, layer.branch.W))


class Encoder:
    def __init__(self, n_in, n_out, seed):
        self.params = {"W": 0.6 * np.random.default_rng(seed).standard_normal((n_in, n_out))}
        self.grads = {"W": np.zeros_like(self.params["W"])}

    def forward(self, x):
        self.x = x
        self.h = np.tanh(x @ self.params["W"])
        return self.h

    def backward(self, dh):
        da = dh * (1 - self.h**2)
        self.grads["W"] += self.x.T @ da
        return da @ self.params["W"].T


class TwoTower:
    """Scores every user with every item; one encoder serves both."""

    def __init__(self, n_in, n_out, seed):
        self.encoder = Encoder(n_in, n_out, seed)

    def forward(self, users, items):
        self.u = self.encoder.forward(users)
        self.i = self.encoder.forward(items)
        return self.u @ self.i.T

    def backward(self, dscores):
        self.encoder.grads["W"][...] = 0
        ditems = self.encoder.backward(dscores.T @ self.u)
        dusers = self.encoder.backward(dscores @ self.i)
        return dusers, ditems


def make_tower():
    r = rng(415)
    return TwoTower(4, 3, seed=416), r.standard_normal((5, 4)), r.standard_normal((5, 4))


def prove_tower():
    layer, a, b = make_tower()
    d = cotangent(*layer.forward(a, b).shape)
    da, db = layer.backward(d)
    return pairs(
        lambda: np.sum(layer.forward(a, b) * d),
        (da, a),
        (db, b),
        (layer.encoder.grads["W"], layer.encoder.params["W"]),
    )


# ---------------------------------------------------------------- habit


class Add:
    def forward(self, x, y):
        return x + y

    def backward(self, dout):
        return dout, dout


def call_add(gradlab):
    r = rng(417)
    return gradlab.check_layer(Add(), r.standard_normal((3, 4)), r.standard_normal((3, 4)))


def _layer(make):
    def call(gradlab):
        layer, *inputs = make()
        return gradlab.check_layer(layer, *inputs)

    return call


ENTRIES = [
    Stranger(
        "GRU cell of named tuples",
        "layer with step and step_back, named tuples of params and grads",
        _layer(make_gru_cell),
        prove_gru_cell,
    ),
    Stranger(
        "GRU over time: the gates z and r exchanged on the input's side",
        "layer with gradient attributes gWx, gWh, gb",
        _layer(make_time_gru),
        prove_time_gru,
        "wrong",
        "hstack([dr, dz, dn]) where hstack([dz, dr, dn]) is meant",
        ("axes-permuted", "columns-exchanged", "swapped-primals"),
        ("gWx", "gb", "dxs"),
    ),
    Stranger(
        "LSTM cell: the cotangent of the cell state is not used",
        "layer with three inputs and two outputs",
        _layer(make_lstm_cell),
        prove_lstm_cell,
        "wrong",
        "dc = where dc += is meant",
        ("ignores-cotangent", "missing-term", "wrong-cotangent"),
        ("dx", "dh", "dc", "dW", "db"),
    ),
    Stranger(
        "RNN in both directions, time first",
        "layer of two layers with gradient attributes",
        _layer(make_birnn),
        prove_birnn,
    ),
    Stranger(
        "causal self-attention with heads",
        "layer whose backward returns dx and a dict of gradients",
        _layer(make_causal),
        prove_causal,
    ),
    Stranger(
        "attention within a band: the keys get no scale",
        "forward, cache and backward",
        lambda gradlab: gradlab.check_cached_pair(local_attention, attention_backward, attention_primals()),
        prove_attention,
        "wrong",
        "dk is not multiplied by 1 / sqrt(d)",
        ("constant-factor",),
        ("dk",),
    ),
    Stranger(
        "cross-attention over padded memories",
        "layer with two inputs and a mask",
        _layer(make_cross),
        prove_cross,
    ),
    Stranger(
        "twins whose branch keeps a stack",
        "layer with two inputs, shared weights",
        _layer(make_siamese),
        prove_siamese,
    ),
    Stranger(
        "two towers of one encoder: it remembers the items only",
        "layer with two inputs, shared weights in a dict",
        _layer(make_tower),
        prove_tower,
        "wrong",
        "the encoder's cache is that of its second call when the first call's gradient is taken",
        ("stale-residuals",),
        ("dusers", "W"),
    ),
    Stranger(
        "sum of two branches that hands one array to both",
        "layer with two inputs and no parameters",
        call_add,
        lambda: [],
        "habit",
        "returns its argument, twice",
        ("aliases-memory",),
        ("dout",),
    ),
]
