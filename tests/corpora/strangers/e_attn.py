"""Attention and memories, each in the way of another author."""

from __future__ import annotations

import math
from types import SimpleNamespace

import numpy as np

from ._entry import Stranger
from ._help_e import loss_pairs, pairs


def softmax_last(s):
    e = np.exp(s - s.max(axis=-1, keepdims=True))
    return e / e.sum(axis=-1, keepdims=True)


class AlibiHead:
    """Causal self attention, one projection per head; the slopes are constants."""

    TRAINED = ("wq", "wk", "wv")

    def __init__(self, n_head, d_model, d_head, seed):
        rs = np.random.default_rng(seed)
        self.state = {
            "wq": rs.standard_normal((n_head, d_model, d_head)),
            "wk": rs.standard_normal((n_head, d_model, d_head)),
            "wv": rs.standard_normal((n_head, d_model, d_head)),
            "slopes": 2.0 ** -np.arange(1, n_head + 1),
        }
        self.state_grad = {}

    def forward(self, x):
        st = self.state
        n = len(x)
        lag = np.arange(n)[:, None] - np.arange(n)[None, :]
        self.x = x
        self.q, self.k, self.v = (np.einsum("td,hde->hte", x, st[w]) for w in self.TRAINED)
        s = self.q @ self.k.transpose(0, 2, 1) / math.sqrt(self.q.shape[-1])
        s = s - st["slopes"][:, None, None] * lag
        self.a = softmax_last(np.where(lag >= 0, s, -1e30))
        return (self.a @ self.v).transpose(1, 0, 2).reshape(n, -1)

    def backward(self, dy):
        n, (h, _, e) = len(dy), self.state["wq"].shape
        do = dy.reshape(n, h, e).transpose(1, 0, 2)
        da = do @ self.v.transpose(0, 2, 1)
        dv = self.a.transpose(0, 2, 1) @ do
        ds = self.a * (da - (da * self.a).sum(-1, keepdims=True)) / math.sqrt(e)
        dq, dk = ds @ self.k, ds.transpose(0, 2, 1) @ self.q
        dx = np.zeros_like(self.x)
        for name, d in zip(self.TRAINED, (dq, dk, dv)):
            self.state_grad[name] = np.einsum("td,hte->hde", self.x, d)
            dx += np.einsum("hte,hde->td", d, self.state[name])
        return dx


def alibi():
    return AlibiHead(2, 4, 3, seed=1), np.random.default_rng(2).standard_normal((5, 4))


def prove_alibi():
    m, x = alibi()
    return pairs(
        lambda: m.forward(x),
        [x] + [m.state[k] for k in m.TRAINED],
        lambda g: [m.backward(g)] + [m.state_grad[k] for k in m.TRAINED],
    )


def make_linear_attention(wk, wq):
    """Running sums instead of a softmax; phi = elu + 1. Returns a namespace with the two passes."""
    self = SimpleNamespace(params=[wk, wq], grads=[None, None], saved=None)

    def phi(a):
        return np.where(a > 0, a + 1, np.exp(np.minimum(a, 0)))

    def dphi(a):
        return np.where(a > 0, 1.0, np.exp(np.minimum(a, 0)))

    def forward(x):
        ak, aq = x @ wk, x @ wq
        k, q = phi(ak), phi(aq)
        S = np.cumsum(k[:, :, None] * x[:, None, :], axis=0)
        z = np.cumsum(k, axis=0)
        den = (q * z).sum(axis=1, keepdims=True)
        out = np.einsum("te,ted->td", q, S) / den
        self.saved = x, ak, aq, k, q, S, z, den, out
        return out

    def backward(g):
        x, ak, aq, k, q, S, z, den, out = self.saved
        gn = g / den
        gden = -(g * out).sum(axis=1, keepdims=True) / den
        gq = np.einsum("td,ted->te", gn, S) + gden * z
        gS = np.cumsum((q[:, :, None] * gn[:, None, :])[::-1], axis=0)[::-1]
        gz = np.cumsum((q * gden)[::-1], axis=0)[::-1]
        gk = np.einsum("ted,td->te", gS, x) + gz
        gx = np.einsum("ted,te->td", gS, k)
        gak, gaq = gk * dphi(ak), gq * dphi(aq)
        self.grads[:] = [x.T @ gak, x.T @ gaq]
        return gx + gak @ wk.T + gaq @ wq.T

    self.forward, self.backward = forward, backward
    return self


def linatt():
    r = np.random.default_rng(13)
    return (
        make_linear_attention(r.standard_normal((3, 4)), r.standard_normal((3, 4))),
        r.standard_normal((5, 3)),
    )


def prove_linatt():
    m, x = linatt()
    return pairs(lambda: m.forward(x), [x, *m.params], lambda g: [m.backward(g), *m.grads])


class BahdanauScore:
    """score = v . tanh(q Wq + k Wk); padded places are given as a boolean mask when it is built."""

    def __init__(self, Wq, Wk, v, valid):
        self.Wq, self.Wk, self.v = Wq, Wk, v
        self.valid = valid

    def forward(self, query, keys):
        self.query, self.keys = query, keys
        self.t = np.tanh((query @ self.Wq)[:, None, :] + keys @ self.Wk)
        score = np.where(self.valid, self.t @ self.v, -np.inf)
        self.p = softmax_last(score)
        return (self.p[:, :, None] * keys).sum(1)

    def backward(self, dctx):
        dp = (self.keys * dctx[:, None, :]).sum(2)
        dscore = self.p * (dp - (dp * self.p).sum(1)[:, None])
        dpre = dscore[:, :, None] * self.v * (1 - self.t**2)
        B, T, A = dpre.shape
        dquery = dpre.sum(1) @ self.Wq.T
        dkeys = self.p[:, :, None] * dctx[:, None, :] + dpre @ self.Wk.T
        self.grads = {
            "Wq": self.query.T @ dpre.sum(1),
            "Wk": self.keys.reshape(B * T, -1).T @ dpre.reshape(B * T, A),
            "v": (dscore[:, :, None] * self.t).sum((0, 1)),
        }
        return {"query": dquery, "keys": dkeys}


def bahdanau():
    r = np.random.default_rng(23)
    valid = np.array([[1, 1, 1, 0], [1, 1, 0, 0], [1, 1, 1, 1]], bool)
    layer = BahdanauScore(r.standard_normal((2, 4)), r.standard_normal((3, 4)), r.standard_normal(4), valid)
    return layer, r.standard_normal((3, 2)), r.standard_normal((3, 4, 3))


def prove_bahdanau():
    m, q, k = bahdanau()

    def back(g):
        d = m.backward(g)
        return [d["query"], d["keys"], m.grads["Wq"], m.grads["Wk"], m.grads["v"]]

    return pairs(lambda: m.forward(q, k), [q, k, m.Wq, m.Wk, m.v], back)


class ContentAddressing:
    """Memory reading by cosine similarity, sharpened: beta = softplus(raw_beta)."""

    def __init__(self, memory: np.ndarray, raw_beta: float) -> None:
        self.memory = memory
        self.raw_beta = np.array([raw_beta])
        self.memory_grad = np.zeros_like(memory)
        self.raw_beta_grad = np.zeros(1)

    def forward(self, key: np.ndarray) -> np.ndarray:
        self.kn = np.linalg.norm(key, axis=1, keepdims=True)
        self.mn = np.linalg.norm(self.memory, axis=1, keepdims=True)
        self.ku, self.mu = key / self.kn, self.memory / self.mn
        self.cos = self.ku @ self.mu.T
        self.beta = np.log1p(np.exp(self.raw_beta))
        self.w = softmax_last(self.beta * self.cos)
        return self.w @ self.memory

    def backward(self, grad: np.ndarray) -> np.ndarray:
        dw = grad @ self.memory.T
        dlogit = self.w * (dw - np.sum(dw * self.w, axis=1, keepdims=True))
        self.raw_beta_grad = np.array([np.sum(dlogit * self.cos) / (1 + np.exp(-self.raw_beta[0]))])
        dcos = dlogit * self.beta
        dku, dmu = dcos @ self.mu, dcos.T @ self.ku
        unit = lambda d, u, n: (d - u * np.sum(d * u, axis=1, keepdims=True)) / n
        self.memory_grad = self.w.T @ grad + unit(dmu, self.mu, self.mn)
        return unit(dku, self.ku, self.kn)


def addressing():
    r = np.random.default_rng(33)
    return ContentAddressing(r.standard_normal((5, 3)), 0.8), r.standard_normal((2, 3))


def prove_addressing():
    m, k = addressing()
    return pairs(
        lambda: m.forward(k),
        [k, m.memory, m.raw_beta],
        lambda g: [m.backward(g), m.memory_grad, m.raw_beta_grad],
    )


class BucketedBias:
    """Attention logits with a table of biases per bucket of distance (T5's idea, much smaller)."""

    def __init__(self, table, edges=(1, 3)):
        self.table = np.asarray(table)
        self.edges = np.asarray(edges)
        self.dtable = None

    def forward(self, q, k):
        self.q, self.k = q, k
        dist = np.abs(np.subtract.outer(np.arange(len(q)), np.arange(len(k))))
        self.bucket = np.searchsorted(self.edges, dist, side="right")
        return q @ k.T / np.sqrt(q.shape[1]) + self.table[self.bucket]

    def backward(self, up):
        r = 1 / np.sqrt(self.q.shape[1])
        self.dtable = np.bincount(self.bucket.ravel(), up.ravel(), minlength=self.table.size)
        return r * up @ self.k, r * up.T @ self.q


def bucketed():
    r = np.random.default_rng(43)
    return BucketedBias(r.standard_normal(3)), r.standard_normal((4, 2)), r.standard_normal((5, 2))


def prove_bucketed():
    m, q, k = bucketed()
    return pairs(lambda: m.forward(q, k), [q, k, m.table], lambda g: [*m.backward(g), m.dtable])


class QueryPooling:
    """One learnt query looks over the rows of each sample and takes their weighted average."""

    def __init__(self, query):
        self.query = query
        self.grad_query = np.zeros_like(query)

    def forward(self, rows):
        self.rows = rows
        self.weights = softmax_last(rows @ self.query)
        return np.einsum("bt,btd->bd", self.weights, rows)

    def backward(self, grad_out):
        grad_weights = np.einsum("bd,btd->bt", grad_out, self.rows)
        grad_scores = self.weights * grad_weights
        self.grad_query = np.einsum("bt,btd->d", grad_scores, self.rows)
        return self.weights[..., None] * grad_out[:, None] + grad_scores[..., None] * self.query


def qpool():
    r = np.random.default_rng(53)
    return QueryPooling(r.standard_normal(3)), r.standard_normal((2, 5, 3))


def prove_qpool():
    m, x = qpool()
    return pairs(lambda: m.forward(x), [x, m.query], lambda g: [m.backward(g), m.grad_query])


class SharedKeyAttention:
    # several query heads over one common key/value head
    def __init__(self, Wq, Wkv):
        self.p = {"Wq": Wq, "Wkv": Wkv}
        self.g = {}

    def fwd(self, x):
        self.x = x
        kv = x @ self.p["Wkv"]
        e = kv.shape[1] // 2
        self.k, self.v = kv[:, :e], kv[:, e:]
        self.qs, self.att, outs = [], [], []
        for Wq in self.p["Wq"]:
            q = x @ Wq
            a = softmax_last(q @ self.k.T * e**-0.5)
            self.qs.append(q)
            self.att.append(a)
            outs.append(a @ self.v)
        return np.hstack(outs)

    def bwd(self, dout):
        e = self.k.shape[1]
        dk, dv, dx = np.zeros_like(self.k), np.zeros_like(self.v), np.zeros_like(self.x)
        self.g = {n: np.zeros_like(w) for n, w in self.p.items()}
        for j, (q, a) in enumerate(zip(self.qs, self.att)):
            do = dout[:, j * e : (j + 1) * e]
            da = do @ self.v.T
            ds = a * (da - (da * a).sum(1, keepdims=True)) * e**-0.5
            dv = a.T @ do
            dk += ds.T @ q
            dq = ds @ self.k
            self.g["Wq"][j] = self.x.T @ dq
            dx += dq @ self.p["Wq"][j].T
        dkv = np.hstack([dk, dv])
        self.g["Wkv"] = self.x.T @ dkv
        return dx + dkv @ self.p["Wkv"].T


def sharedkey():
    r = np.random.default_rng(63)
    return (
        SharedKeyAttention(r.standard_normal((3, 4, 2)), r.standard_normal((4, 4))),
        r.standard_normal((5, 4)),
    )


def prove_sharedkey():
    m, x = sharedkey()
    return pairs(lambda: m.fwd(x), [x, m.p["Wq"], m.p["Wkv"]], lambda g: [m.bwd(g), m.g["Wq"], m.g["Wkv"]])


class SlotCompetition:
    """Slots compete for inputs (softmax over slots), then each slot averages what it won."""

    def __init__(self, slots):
        self.slots = slots

    def forward(self, x):
        s = x @ self.slots.T
        e = np.exp(s - s.max(1, keepdims=True))
        self.x, self.attn = x, e / e.sum(1, keepdims=True)
        self.mass = self.attn.sum(0)
        self.out = self.attn.T @ x / self.mass[:, None]
        return self.out

    def backward(self, dout):
        d = dout / self.mass[:, None]
        dattn = self.x @ d.T - (self.out * d).sum(1)
        ds = self.attn * (dattn - (dattn * self.attn).sum(0, keepdims=True))
        self.dslots = ds.T @ self.x
        return self.attn @ d + ds @ self.slots


def slotcomp():
    r = np.random.default_rng(73)
    return SlotCompetition(r.standard_normal((3, 2))), r.standard_normal((6, 2))


def prove_slotcomp():
    m, x = slotcomp()
    return pairs(lambda: m.forward(x), [x, m.slots], lambda g: [m.backward(g), m.dslots])


class RotaryProjection:
    """Project, then turn pairs (even, odd) of features by position."""

    def __init__(self, weight, base=100.0):
        self.weight, self.base = weight, base

    def _angles(self, n):
        half = self.weight.shape[1] // 2
        ang = np.outer(np.arange(n), self.base ** (-np.arange(half) / half))
        return np.cos(ang), np.sin(ang)

    def forward(self, x):
        self.x = x
        y = x @ self.weight
        c, s = self._angles(len(x))
        out = np.empty_like(y)
        out[:, 0::2] = y[:, 0::2] * c - y[:, 1::2] * s
        out[:, 1::2] = y[:, 0::2] * s + y[:, 1::2] * c
        return out

    def backward(self, dout):
        c, s = self._angles(len(dout))
        dy = np.empty_like(dout)
        dy[:, 0::2] = dout[:, 0::2] * c - dout[:, 1::2] * s
        dy[:, 1::2] = dout[:, 0::2] * s + dout[:, 1::2] * c
        self.weight_grad = self.x.T @ dy
        return dy @ self.weight.T


def rotproj():
    r = np.random.default_rng(83)
    return RotaryProjection(r.standard_normal((3, 4))), r.standard_normal((5, 3))


def prove_rotproj():
    m, x = rotproj()
    return pairs(lambda: m.forward(x), [x, m.weight], lambda g: [m.backward(g), m.weight_grad])


class PointerLoss:
    """Picks one place of each row by attention with a vector u; mean negative log-likelihood."""

    def __init__(self, u):
        self.u = u

    def forward(self, h, target):
        self.h, self.target = h, target
        self.prob = softmax_last(h @ self.u)
        return -np.log(self.prob[np.arange(len(target)), target]).mean()

    def backward(self):
        d = self.prob
        d[np.arange(len(self.target)), self.target] -= 1
        d = d / len(self.target)
        self.du = np.einsum("bt,btd->d", d, self.h)
        return d[:, :, None] * self.u


def pointer():
    r = np.random.default_rng(93)
    return PointerLoss(r.standard_normal(3)), r.standard_normal((4, 5, 3)), np.array([0, 3, 3, 1])


def prove_pointer():
    m, h, t = pointer()
    return loss_pairs(lambda: m.forward(h, t), [h, m.u], lambda: [m.backward(), m.du])


ENTRIES = [
    Stranger(
        "causal heads with constant slopes in the dict of weights",
        "layer with one state dict",
        lambda gradlab: gradlab.check_layer(*alibi()),
        prove_alibi,
    ),
    Stranger(
        "linear attention by running sums in a namespace of closures",
        "SimpleNamespace with two closures",
        lambda gradlab: gradlab.check_layer(*linatt()),
        prove_linatt,
    ),
    Stranger(
        "additive attention with padding mask and a dict of input gradients",
        "layer, dict of gradients back",
        lambda gradlab: gradlab.check_layer(*bahdanau()),
        prove_bahdanau,
    ),
    Stranger(
        "content addressing with a softplus sharpness",
        "annotated layer with _grad attributes",
        lambda gradlab: gradlab.check_layer(*addressing()),
        prove_addressing,
    ),
    Stranger(
        "attention logits with biases by bucket of distance",
        "layer of two inputs",
        lambda gradlab: gradlab.check_layer(*bucketed()),
        prove_bucketed,
    ),
    Stranger(
        "pooling by a learnt query: the softmax's own sum is missing",
        "layer with grad_ attribute",
        lambda gradlab: gradlab.check_layer(*qpool()),
        prove_qpool,
        "wrong",
        "the softmax backward lacks the term of its normaliser",
        ("missing-term",),
        ("rows", "query"),
        "        grad_scores = self.weights * grad_weights\n",
        "        mean = (self.weights * grad_weights).sum(axis=1, keepdims=True)\n"
        "        grad_scores = self.weights * (grad_weights - mean)\n",
    ),
    Stranger(
        "query heads over one key head: the values' gradient of the last head only",
        "fwd and bwd, p and g",
        lambda gradlab: gradlab.check_layer(*sharedkey()),
        prove_sharedkey,
        "wrong",
        "dv is assigned in the loop over heads instead of added",
        ("last-write-wins",),
        ("x", "Wkv"),
        "dv = a.T @ do",
        "dv += a.T @ do",
    ),
    Stranger(
        "slots in competition: softmax undone over the wrong axis",
        "layer with one weight",
        lambda gradlab: gradlab.check_layer(*slotcomp()),
        prove_slotcomp,
        "wrong",
        "the softmax's inner sum runs over inputs, not over slots",
        ("wrong-sum-axis",),
        ("x", "slots"),
        "(dattn * self.attn).sum(0, keepdims=True)",
        "(dattn * self.attn).sum(1, keepdims=True)",
    ),
    Stranger(
        "rotary projection: turned the same way again",
        "layer with weight_grad",
        lambda gradlab: gradlab.check_layer(*rotproj()),
        prove_rotproj,
        "wrong",
        "the rotation is applied again instead of its transpose",
        ("transposed", "sign-flipped"),
        ("x", "weight"),
        "        c, s = self._angles(len(dout))\n",
        "        c, s = self._angles(len(dout))\n        s = -s\n",
    ),
    Stranger(
        "pointer loss: backward eats its cached probabilities",
        "loss layer without a cotangent",
        lambda gradlab: gradlab.check_layer(*pointer()),
        prove_pointer,
        "habit",
        "backward subtracts the one-hot in the cached probabilities, so a second call differs",
        ("stale-residuals", "accumulates"),
        ("h", "u"),
        "        d = self.prob\n",
        "        d = self.prob.copy()\n",
    ),
]
