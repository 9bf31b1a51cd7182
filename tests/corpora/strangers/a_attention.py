from dataclasses import dataclass, field

import numpy as np

from ._entry import Stranger
from ._help_a import against, dot, rnd


def row_softmax(s):
    e = np.exp(s - s.max(axis=-1, keepdims=True))
    return e / e.sum(axis=-1, keepdims=True)


# ---- kernel engineer's pair
def sdpa_fwd(q, k, v):
    sm_scale = q.shape[-1] ** -0.5
    s = (q @ k.T) * sm_scale
    m = s.max(axis=-1)
    lse = m + np.log(np.exp(s - m[:, None]).sum(axis=-1))
    p = np.exp(s - lse[:, None])
    o = p @ v
    return o, (q, k, v, o, lse, sm_scale)


def sdpa_bwd(do, saved):
    q, k, v, o, lse, sm_scale = saved
    p = np.exp((q @ k.T) * sm_scale - lse[:, None])  # recomputed
    delta = (do * o).sum(axis=-1)
    ds = p * (do @ v.T - delta[:, None]) * sm_scale
    return ds @ k, ds.T @ q, p.T @ do


def qkv():
    return rnd(1, 4, 3), rnd(2, 5, 3), rnd(3, 5, 2)


def prove_fwd_bwd(fwd, bwd, arrays, g):
    grads = bwd(g.copy(), fwd(*arrays)[1])
    return against(lambda: dot(fwd(*arrays)[0], g), list(zip(grads, arrays)))


# ---- multi-head self-attention
class SelfAttention:
    def __init__(self, d_model=4, n_heads=2, seed=10):
        self.h, self.dk = n_heads, d_model // n_heads
        self.weights = [0.5 * rnd(seed + i, d_model, d_model) for i in range(4)]
        self.weight_grads = [np.zeros((d_model, d_model)) for _ in range(4)]

    def _split(self, x):
        return x.reshape(*x.shape[:2], self.h, self.dk).transpose(0, 2, 1, 3)

    def _merge(self, x):
        return x.transpose(0, 2, 1, 3).reshape(x.shape[0], x.shape[2], -1)

    def forward(self, x):
        wq, wk, wv, wo = self.weights
        q, k, v = self._split(x @ wq), self._split(x @ wk), self._split(x @ wv)
        a = row_softmax(q @ k.swapaxes(-1, -2) / np.sqrt(self.dk))
        y = self._merge(a @ v)
        self.mem = x, q, k, v, a, y
        return y @ wo

    def backward(self, dout):
        x, q, k, v, a, y = self.mem
        wq, wk, wv, wo = self.weights
        dy = self._split(dout @ wo.T)
        da = dy @ v.swapaxes(-1, -2)
        ds = a * (da - (a * da).sum(-1, keepdims=True)) / np.sqrt(self.dk)
        dq, dk = self._merge(ds @ k), self._merge(ds.swapaxes(-1, -2) @ q)
        dv = self._merge(a.swapaxes(-1, -2) @ dy)
        dx = np.zeros_like(x)
        for i, (d, w) in enumerate(zip((dq, dk, dv), (wq, wk, wv))):
            self.weight_grads[i] = np.einsum("nti,ntj->ij", x, d)
            dx += d @ w.T
        self.weight_grads[3] = np.einsum("nti,ntj->ij", y, dout)
        return dx


def prove_heads():
    layer, x, g = SelfAttention(), rnd(15, 2, 3, 4), rnd(16, 2, 3, 4)
    layer.forward(x)
    dx = layer.backward(g)
    return against(lambda: dot(layer.forward(x), g), [(dx, x)] + list(zip(layer.weight_grads, layer.weights)))


# ---- fused projection
class FusedAttention:
    """One head; the projection's columns are [q | k | v]."""

    def __init__(self, d_in: int = 4, d: int = 3):
        self.d = d
        self.params = {"w_qkv": 0.6 * rnd(21, d_in, 3 * d)}
        self.grads = {"w_qkv": np.zeros((d_in, 3 * d))}

    def forward(self, x: np.ndarray) -> np.ndarray:
        q, k, v = np.split(x @ self.params["w_qkv"], 3, axis=-1)
        p = row_softmax(q @ k.T / np.sqrt(self.d))
        self.ctx = (x, q, k, v, p)
        return p @ v

    def backward(self, dy: np.ndarray) -> np.ndarray:
        x, q, k, v, p = self.ctx
        dv = p.T @ dy
        dp = dy @ v.T
        ds = p * (dp - np.sum(dp * p, axis=-1, keepdims=True)) / np.sqrt(self.d)
        dq, dk = ds @ k, ds.T @ q
        self.grads["w_qkv"] = x.T @ np.concatenate([dq, dv, dk], axis=-1)
        return np.concatenate([dq, dk, dv], axis=-1) @ self.params["w_qkv"].T


def prove_fused():
    layer, x, g = FusedAttention(), rnd(22, 5, 4), rnd(23, 5, 3)
    layer.forward(x)
    dx = layer.backward(g)
    return against(lambda: dot(layer.forward(x), g), [(dx, x), (layer.grads["w_qkv"], layer.params["w_qkv"])])


# ---- causal
@dataclass
class CausalMixer:
    """Position t looks at 0..t with fixed scores from distance plus learned ones."""

    length: int = 4
    dim: int = 3
    decay: float = 0.5
    logits: np.ndarray = field(default_factory=lambda: rnd(31, 4, 4))
    d_logits: np.ndarray | None = None

    def forward(self, x):
        t = np.arange(self.length)
        dist = t[:, None] - t[None, :]
        s = np.where(dist >= 0, self.logits - self.decay * dist, -1e9)
        self.x, self.p = x, row_softmax(s)
        return self.p @ x

    def backward(self, g):
        dp = g @ self.x.T
        # masked places have p == 0 and get an exact zero
        self.d_logits = self.p * (dp - np.einsum("ij,ij->i", dp, self.p)[:, None])
        return self.p.T @ g


def prove_causal():
    layer, x, g = CausalMixer(), rnd(32, 4, 3), rnd(33, 4, 3)
    layer.forward(x)
    dx = layer.backward(g)
    return against(lambda: dot(layer.forward(x), g), [(dx, x), (layer.d_logits, layer.logits)])


# ---- mask after the softmax
class DroppedAttention:
    """Keep-mask on the normalised weights, as in attention dropout; the rows no longer add up to 1."""

    def __init__(self, keep, rate=0.25):
        self.keep, self.rate = keep, rate

    def forward(self, scores, values):
        self.values = values
        self.soft = row_softmax(scores)
        self.weights = self.soft * self.keep / (1 - self.rate)
        return self.weights @ values

    def backward(self, dout):
        dvalues = self.weights.T @ dout
        dw = dout @ self.values.T
        inner = np.sum(dw * self.soft, axis=1, keepdims=True)
        dscores = self.soft * (dw - inner) * self.keep / (1 - self.rate)
        return dscores, dvalues


def keep_mask():
    return np.array([[1, 0, 1, 1, 1], [1, 1, 1, 0, 1], [0, 1, 1, 1, 1.0]])


def prove_dropped():
    layer, s, v, g = DroppedAttention(keep_mask()), rnd(41, 3, 5), rnd(42, 5, 4), rnd(43, 3, 4)
    layer.forward(s, v)
    ds, dv = layer.backward(g)
    return against(lambda: dot(layer.forward(s, v), g), [(ds, s), (dv, v)])


# ---- additive attention
class AdditiveAttention:
    def __init__(self, dq=3, dk=4, da=5):
        self.params = {"Wq": rnd(51, dq, da), "Wk": rnd(52, dk, da), "v": rnd(53, da)}
        self.grads = dict.fromkeys(self.params)

    def forward(self, query, keys):
        """query (dq,), keys (T, dk) -> context (dk,)"""
        p = self.params
        u = np.tanh(query @ p["Wq"] + keys @ p["Wk"])
        e = u @ p["v"]
        a = np.exp(e - e.max())
        a /= a.sum()
        self.cache = query, keys, u, a
        return a @ keys

    def backward(self, dcontext):
        query, keys, u, a = self.cache
        p = self.params
        da = keys @ dcontext
        de = a * (da - a @ da)
        dpre = np.outer(de, p["v"]) * (1 - u**2)
        self.grads["v"] = de @ u
        self.grads["Wk"] = keys.T @ dpre
        self.grads["Wq"] = np.outer(query, dpre.sum(axis=0))
        dkeys = np.outer(a, dcontext) + dpre @ p["Wk"].T
        return p["Wq"] @ dpre.sum(axis=0), dkeys


def prove_additive():
    layer, q, k, g = AdditiveAttention(), rnd(54, 3), rnd(55, 6, 4), rnd(56, 4)
    layer.forward(q, k)
    dq, dk = layer.backward(g)
    pairs = [(dq, q), (dk, k)] + [(layer.grads[n], layer.params[n]) for n in layer.params]
    return against(lambda: dot(layer.forward(q, k), g), pairs)


# ---- linear attention
def feature(x):
    return np.where(x > 0, x + 1, np.exp(np.minimum(x, 0)))


def feature_slope(x):
    return np.where(x > 0, 1.0, np.exp(np.minimum(x, 0)))


def linear_attention_forward(q, k, v, eps=1e-6):
    fq, fk = feature(q), feature(k)
    kv = fk.T @ v
    z = fq @ fk.sum(axis=0) + eps
    out = (fq @ kv) / z[:, None]
    return out, (q, k, v, fq, fk, kv, z, out)


def linear_attention_backward(dout, cache):
    q, k, v, fq, fk, kv, z, out = cache
    dnum = dout / z[:, None]
    dz = -(dnum * out).sum(axis=1)
    dkv = fq.T @ dnum
    dfq = dnum @ kv.T + np.outer(dz, fk.sum(axis=0))
    dfk = v @ dkv.T + fq.T @ dz
    return dfq * feature_slope(q), dfk * feature_slope(k), fk @ dkv


def linear_qkv():
    return rnd(61, 4, 3), rnd(62, 5, 3), rnd(63, 5, 2)


# ---- rotary
class Rotary:
    """Rotates pairs of neighbouring channels by an angle that grows with the position."""

    def __init__(self, dim=4, base=100.0, max_len=16):
        inv = base ** (-np.arange(0, dim, 2) / dim)
        angle = np.outer(np.arange(max_len), inv)
        self.cos, self.sin = np.cos(angle), np.sin(angle)

    def _turn(self, x):
        cos, sin = self.cos[: len(x)], self.sin[: len(x)]
        even, odd = x[:, 0::2], x[:, 1::2]
        out = np.empty_like(x)
        out[:, 0::2] = even * cos - odd * sin
        out[:, 1::2] = even * sin + odd * cos
        return out

    def forward(self, x):
        return self._turn(x)

    def backward(self, dy):
        return self._turn(dy)


def prove_rotary():
    layer, x, g = Rotary(), rnd(71, 5, 4), rnd(72, 5, 4)
    layer.forward(x)
    return against(lambda: dot(layer.forward(x), g), [(layer.backward(g), x)])


# ---- pooling with a temperature
class TemperaturePooling:
    """sum_t softmax(x_t . w / tau) x_t; tau is the parameter, not its logarithm."""

    def __init__(self, dim=3):
        self.w, self.tau = rnd(81, dim), np.array([1.7])
        self.dw, self.dtau = np.zeros(dim), np.zeros(1)

    def forward(self, x):
        s = x @ self.w / self.tau
        e = np.exp(s - s.max())
        self.x, self.s, self.p = x, s, e / e.sum()
        return self.p @ x

    def backward(self, g):
        dp = self.x @ g
        ds = self.p * (dp - self.p @ dp)
        self.dw = self.x.T @ ds / self.tau
        self.dtau = -np.array([ds @ self.s])
        return np.outer(self.p, g) + np.outer(ds, self.w) / self.tau


def prove_temperature():
    layer, x, g = TemperaturePooling(), rnd(82, 5, 3), rnd(83, 3)
    layer.forward(x)
    dx = layer.backward(g)
    return against(lambda: dot(layer.forward(x), g), [(dx, x), (layer.dw, layer.w), (layer.dtau, layer.tau)])


# ---- scales the incoming gradient where it stands
def gated_mix_forward(a, b, gate):
    s = 1 / (1 + np.exp(-gate))
    return 2 * (s * a + (1 - s) * b), (a, b, s)


def gated_mix_backward(dout, cache):
    a, b, s = cache
    dout *= 2
    dgate = (dout * (a - b)).sum(axis=0) * s * (1 - s)
    return dout * s, dout * (1 - s), dgate


def mix():
    return rnd(91, 4, 3), rnd(92, 4, 3), rnd(93, 3)


ENTRIES = [
    Stranger(
        "attention kernel that keeps the log-sum-exp",
        "pair with saved tuple",
        lambda gradlab: gradlab.check_cached_pair(sdpa_fwd, sdpa_bwd, qkv()),
        lambda: prove_fwd_bwd(sdpa_fwd, sdpa_bwd, qkv(), rnd(4, 4, 2)),
    ),
    Stranger(
        "multi-head self-attention with lists",
        "layer with lists of weights",
        lambda gradlab: gradlab.check_layer(SelfAttention(), rnd(15, 2, 3, 4)),
        prove_heads,
    ),
    Stranger(
        "fused attention: gradients of the columns in another order",
        "layer with dicts, annotated",
        lambda gradlab: gradlab.check_layer(FusedAttention(), rnd(22, 5, 4)),
        prove_fused,
        "wrong",
        "the weight's gradient has the columns q, v, k instead of q, k, v",
        ("columns-exchanged",),
        ("w_qkv",),
    ),
    Stranger(
        "causal mixer, a dataclass",
        "dataclass with parameters",
        lambda gradlab: gradlab.check_layer(CausalMixer(), rnd(32, 4, 3)),
        prove_causal,
    ),
    Stranger(
        "attention dropout: mask after instead of before the softmax's backward",
        "layer with two inputs",
        lambda gradlab: gradlab.check_layer(DroppedAttention(keep_mask()), rnd(41, 3, 5), rnd(42, 5, 4)),
        prove_dropped,
        "wrong",
        "the keep-mask multiplies the scores' gradient, not that of the weights",
        ("wrong-order",),
        ("scores",),
    ),
    Stranger(
        "additive attention for one query",
        "layer with dicts, two inputs",
        lambda gradlab: gradlab.check_layer(AdditiveAttention(), rnd(54, 3), rnd(55, 6, 4)),
        prove_additive,
    ),
    Stranger(
        "linear attention with its normaliser",
        "pair with cache",
        lambda gradlab: gradlab.check_cached_pair(
            linear_attention_forward, linear_attention_backward, linear_qkv()
        ),
        lambda: prove_fwd_bwd(
            linear_attention_forward, linear_attention_backward, linear_qkv(), rnd(64, 4, 2)
        ),
    ),
    Stranger(
        "rotary embedding: turned the same way again",
        "layer without parameters",
        lambda gradlab: gradlab.check_layer(Rotary(), rnd(71, 5, 4)),
        prove_rotary,
        "wrong",
        "backward turns by +angle, the transpose would be -angle",
        ("transposed", "sign-flipped"),
        ("x",),
    ),
    Stranger(
        "pooling with a temperature: gradient of its logarithm",
        "layer with attributes",
        lambda gradlab: gradlab.check_layer(TemperaturePooling(), rnd(82, 5, 3)),
        prove_temperature,
        "wrong",
        "dtau is the gradient with respect to log tau",
        ("log-parameter", "constant-factor"),
        ("tau",),
    ),
    Stranger(
        "gated mix: doubles the incoming gradient in place",
        "pair with cache",
        lambda gradlab: gradlab.check_cached_pair(gated_mix_forward, gated_mix_backward, mix()),
        lambda: prove_fwd_bwd(gated_mix_forward, gated_mix_backward, mix(), rnd(94, 4, 3)),
        "habit",
        "dout *= 2 writes into the caller's array",
        ("mutates-argument",),
        ("dout",),
    ),
]
