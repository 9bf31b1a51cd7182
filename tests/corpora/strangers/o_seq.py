"""Recurrent layers, attention and memory."""

import numpy as np

from ._entry import Stranger
from ._help_o import cotangent, pairs, slope


def sigmoid(z):
    return 1 / (1 + np.exp(-z))


def softmax(z):
    e = np.exp(z - z.max(axis=-1, keepdims=True))
    return e / e.sum(axis=-1, keepdims=True)


# ---- minimal gated unit, time first
class MGU:
    def __init__(self, D, H, seed=0):
        rng = np.random.default_rng(seed)
        n = lambda *s: rng.normal(0, 0.6, s)  # noqa: E731
        self.params = {"Wf": n(D, H), "Uf": n(H, H), "bf": n(H), "Wh": n(D, H), "Uh": n(H, H), "bh": n(H)}
        self.grads = {}

    def forward(self, xs):
        p = self.params
        h = np.zeros((xs.shape[1], p["bf"].size))
        self.trace, hs = [], []
        for x in xs:
            f = sigmoid(x @ p["Wf"] + h @ p["Uf"] + p["bf"])
            c = np.tanh(x @ p["Wh"] + (f * h) @ p["Uh"] + p["bh"])
            self.trace.append((x, h, f, c))
            h = (1 - f) * h + f * c
            hs.append(h)
        return np.stack(hs)

    def backward(self, dhs):
        p = self.params
        g = {k: np.zeros_like(v) for k, v in p.items()}
        dxs, dh = np.zeros((len(dhs),) + self.trace[0][0].shape), 0
        for t in range(len(dhs) - 1, -1, -1):
            x, h, f, c = self.trace[t]
            dh = dh + dhs[t]
            dc = dh * f * (1 - c * c)
            dfh = dc @ p["Uh"].T
            df = (dh * (c - h) + dfh * h) * f * (1 - f)
            for s, d, inner in (("h", dc, f * h), ("f", df, h)):
                g["W" + s] += x.T @ d
                g["U" + s] += inner.T @ d
                g["b" + s] += d.sum(0)
            dxs[t] = dc @ p["Wh"].T + df @ p["Wf"].T
            dh = dh * (1 - f) + dfh * f + df @ p["Uf"].T
        self.grads = g
        return dxs


# ---- causal linear attention
def elu1(z):
    return np.where(z > 0, z + 1, np.exp(z))


def d_elu1(z):
    return np.where(z > 0, 1.0, np.exp(z))


def linattn_forward(q, k, v):
    """q, k: (T, D), v: (T, E); runs with a state of D x E."""
    fq, fk = elu1(q), elu1(k)
    S = np.cumsum(fk[:, :, None] * v[:, None, :], axis=0)
    z = np.cumsum(fk, axis=0)
    norm = np.einsum("td,td->t", fq, z)
    out = np.einsum("td,tde->te", fq, S) / norm[:, None]
    return out, (q, k, v, S, z, norm, out)


def linattn_backward(dout, cache):
    q, k, v, S, z, norm, out = cache
    fq, fk = elu1(q), elu1(k)
    dnum = dout / norm[:, None]
    dnorm = -(dout * out).sum(1) / norm
    dfq = np.einsum("te,tde->td", dnum, S) + dnorm[:, None] * z
    suffix = lambda a: a[::-1].cumsum(axis=0)[::-1]  # noqa: E731
    dS = suffix(fq[:, :, None] * dnum[:, None, :])
    dz = suffix(dnorm[:, None] * fq)
    dfk = np.einsum("tde,te->td", dS, v) + dz
    dv = np.einsum("tde,td->te", dS, fk)
    return dfq * d_elu1(q), dfk * d_elu1(k), dv


# ---- content addressing of a neural Turing machine
def ntm_read_forward(key, beta, gate, w_prev, memory):
    nk, nm = np.linalg.norm(key), np.linalg.norm(memory, axis=1)
    cos = memory @ key / (nk * nm)
    wc = softmax(beta * cos)
    w = gate * wc + (1 - gate) * w_prev
    cache = dict(key=key, beta=beta, gate=gate, wp=w_prev, M=memory, nk=nk, nm=nm, cos=cos, wc=wc, w=w)
    return w @ memory, cache


def ntm_read_backward(dread, c):
    M, key = c["M"], c["key"]
    dw = M @ dread
    dM = np.outer(c["w"], dread)
    dgate = np.array(dw @ (c["wc"] - c["wp"]))
    ds = c["wc"] * c["gate"] * (dw - c["wc"] @ dw)
    dbeta = np.array(ds @ c["cos"])
    dcos = ds * c["beta"]
    dkey = dcos @ (M / c["nm"][:, None]) / c["nk"] - (dcos @ c["cos"]) * key / c["nk"] ** 2
    dM += np.outer(dcos / c["nm"], key / c["nk"]) - (dcos * c["cos"] / c["nm"] ** 2)[:, None] * M
    return {"memory": dM, "key": dkey, "beta": dbeta, "gate": dgate, "w_prev": dw * (1 - c["gate"])}


# ---- end-to-end memory network, one hop
class MemN2N:
    def __init__(self, vocab=9, dim=4, max_sentences=4, seed=3):
        rng = np.random.default_rng(seed)
        self.params = {
            "A": rng.normal(size=(vocab, dim)) * 0.5,
            "B": rng.normal(size=(vocab, dim)) * 0.5,
            "C": rng.normal(size=(vocab, dim)) * 0.5,
            "TA": rng.normal(size=(max_sentences, dim)) * 0.5,
            "W": rng.normal(size=(dim, vocab)) * 0.5,
        }

    def predict(self, story, query):
        p = self.params
        self.m = p["A"][story].sum(axis=1) + p["TA"][: len(story)]
        self.c = p["C"][story].sum(axis=1)
        self.u = p["B"][query].sum(axis=0)
        self.a = softmax(self.m @ self.u)
        self.o = self.a @ self.c + self.u
        return softmax(self.o @ p["W"])

    def loss(self, story, query, answer):
        return -np.log(self.predict(story, query)[answer])

    def gradient(self, story, query, answer):
        p = self.params
        g = {k: np.zeros_like(v) for k, v in p.items()}
        dz = self.predict(story, query)
        dz[answer] -= 1
        g["W"] = np.outer(self.o, dz)
        do = p["W"] @ dz
        da = self.c @ do
        ds = self.a * (da - self.a @ da)
        dm = np.outer(ds, self.u)
        for i, sentence in enumerate(story):
            for word in sentence:
                g["A"][word] += dm[i]
                g["C"][word] += self.a[i] * do
        g["TA"][: len(story)] = dm
        np.add.at(g["B"], query, do + ds @ self.m)
        return g


# ---- IndRNN with softsign, backward in time as a generator
class IndRNN:
    def __init__(self, D, H, seed=5):
        rng = np.random.default_rng(seed)
        self.W, self.u, self.b = rng.normal(size=(D, H)), rng.uniform(-1, 1, H), rng.normal(size=H) * 0.1

    def forward(self, x):
        N, T, _ = x.shape
        self.x, self.h, self.z = x, np.zeros((N, T + 1, self.u.size)), np.zeros((N, T, self.u.size))
        for t in range(T):
            self.z[:, t] = x[:, t] @ self.W + self.u * self.h[:, t] + self.b
            self.h[:, t + 1] = self.z[:, t] / (1 + np.abs(self.z[:, t]))
        return self.h[:, 1:].copy()

    def _back_in_time(self, dout):
        carry = np.zeros_like(dout[:, 0])
        for t in reversed(range(dout.shape[1])):
            dz = (dout[:, t] + carry) / (1 + np.abs(self.z[:, t])) ** 2
            carry = dz * self.u
            yield dz

    def backward(self, dout):
        dz = np.stack(list(self._back_in_time(dout))[::-1], axis=1)
        self.dW = np.einsum("ntd,nth->dh", self.x, dz)
        self.du = (dz * self.h[:, :-1]).sum((0, 1))
        self.db = dz.sum((0, 1))
        return dz @ self.W.T


# ---- attention with linear biases, ragged batch
class AlibiAttention:
    def __init__(self, dim, heads, seed=1):
        rng = np.random.default_rng(seed)
        self.h, self.scale = heads, (dim // heads) ** -0.5
        self.Wqkv, self.Wo = rng.normal(size=(dim, 3 * dim)) * 0.5, rng.normal(size=(dim, dim)) * 0.5
        self.slopes = 2.0 ** -np.arange(1, heads + 1)

    def forward(self, x, lengths):
        B, T, D = x.shape
        self.x = x
        self.alive = np.arange(T)[None] < lengths[:, None]
        q, k, v = (x @ self.Wqkv).reshape(B, T, 3, self.h, D // self.h).transpose(2, 0, 3, 1, 4)
        i = np.arange(T)
        s = q @ k.swapaxes(-1, -2) * self.scale - self.slopes[:, None, None] * np.abs(i[:, None] - i)
        self.a = softmax(np.where(self.alive[:, None, None, :], s, -1e30))
        self.q, self.k, self.v = q, k, v
        self.ctx = (self.a @ v).swapaxes(1, 2).reshape(B, T, D)
        return (self.ctx @ self.Wo) * self.alive[..., None]

    def backward(self, dy):
        B, T, D = dy.shape
        dy = dy * self.alive[..., None]
        self.dWo = np.einsum("btd,bte->de", self.ctx, dy)
        dctx = (dy @ self.Wo.T).reshape(B, T, self.h, -1).swapaxes(1, 2)
        da = dctx @ self.v.swapaxes(-1, -2)
        ds = self.a * (da - (da * self.a).sum(-1, keepdims=True)) * self.scale
        dqkv = np.stack([ds @ self.k, ds.swapaxes(-1, -2) @ self.q, self.a.swapaxes(-1, -2) @ dctx])
        dqkv = dqkv.transpose(1, 3, 0, 2, 4).reshape(B, T, 3 * D)
        self.dWqkv = np.einsum("btd,bte->de", self.x, dqkv)
        return dqkv @ self.Wqkv.T


# ---- leaky rate network
class LeakyRates:
    """h[t] = (1 - leak) h[t-1] + leak tanh(x[t] W + h[t-1] U + b), x of shape (T, N, D)."""

    def __init__(self, D, H, leak=0.3, seed=8):
        rng = np.random.default_rng(seed)
        self.leak, self.b = leak, np.zeros(H)
        self.W, self.U = rng.normal(size=(D, H)), rng.normal(size=(H, H))

    def forward(self, x):
        self.x, self.hs, self.r = x, np.zeros((len(x) + 1, x.shape[1], len(self.b))), []
        for t in range(len(x)):
            self.r.append(np.tanh(x[t] @ self.W + self.hs[t] @ self.U + self.b))
            self.hs[t + 1] = (1 - self.leak) * self.hs[t] + self.leak * self.r[t]
        return self.hs[1:].copy()

    def backward(self, dout):
        self.dW, self.dU, self.db = np.zeros_like(self.W), np.zeros_like(self.U), np.zeros_like(self.b)
        dx, dh = np.zeros_like(self.x), np.zeros_like(self.hs[0])
        for t in reversed(range(len(dout))):
            dh = dh + dout[t]
            da = dh * self.leak * (1 - self.r[t] ** 2)
            self.dW += self.x[t].T @ da
            self.dU += self.hs[t + 1].T @ da
            self.db += da.sum(0)
            dx[t] = da @ self.W.T
            dh = dh * (1 - self.leak) + da @ self.U.T
        return dx


# ---- multiplicative integration
class MIRNN:
    def __init__(self, D, H, seed=11):
        rng = np.random.default_rng(seed)
        self.params = {"W": rng.normal(size=(D, H)), "U": rng.normal(size=(H, H)), "b": rng.normal(size=H)}
        self.grads = None

    def forward(self, x):  # x: (T, D), one sequence
        W, U, b = self.params.values()
        h, self.steps = np.zeros(b.size) + 0.5, []
        for xt in x:
            a, r = xt @ W, h @ U
            new = np.tanh(a * r + b)
            self.steps.append((xt, h, a, r, new))
            h = new
        return np.array([s[4] for s in self.steps])

    def backward(self, dhs):
        W, U, b = self.params.values()
        g = {k: np.zeros_like(v) for k, v in self.params.items()}
        dx, dh = [], np.zeros(b.size)
        for (xt, h, a, r, new), d in zip(self.steps[::-1], dhs[::-1]):
            dz = (d + dh) * (1 - new**2)
            g["W"] += np.outer(xt, dz * r)
            g["U"] += np.outer(h, dz * a)
            g["b"] += dz
            dx.insert(0, W @ (dz * r))
            dh = U @ (dz * a)
        self.grads = {k: np.clip(v, -0.5, 0.5) for k, v in g.items()}
        return np.array(dx)


# ---- additive attention
def bahdanau_forward(H, s, Wa, Ua, v):
    """H: (T, E) annotations, s: (D,) state; returns the context."""
    u = np.tanh(H @ Wa + s @ Ua)
    alpha = softmax(u @ v)
    return alpha @ H, (H, s, Wa, Ua, v, u, alpha)


def bahdanau_backward(dctx, cache):
    H, s, Wa, Ua, v, u, alpha = cache
    dalpha = H @ dctx
    de = alpha * (dalpha - alpha @ dalpha)
    dv = de @ u
    dpre = de[:, None] * v
    dH = np.outer(alpha, dctx) + dpre @ Wa.T
    dsum = dpre.sum(0)
    return dH, Ua @ dsum, H.T @ dpre, np.outer(s, dsum), dv


# ---- node of a child-sum tree LSTM
def tree_node_forward(x, hs, cs, W, U, b, Wf, Uf, bf):
    """x: (D,), hs and cs of the children: (K, H); W, U, b of the gates i, o, u side by side."""
    n = hs.shape[1]
    htilde = hs.sum(axis=0)
    a = x @ W + htilde @ U + b
    i, o, u = sigmoid(a[:n]), sigmoid(a[n : 2 * n]), np.tanh(a[2 * n :])
    f = sigmoid(x @ Wf + hs @ Uf + bf)
    c = i * u + (f * cs).sum(axis=0)
    h = o * np.tanh(c)
    return h, c, (x, hs, cs, W, U, Wf, Uf, i, o, u, f, c, htilde)


def tree_node_backward(dh, dc, cache):
    x, hs, cs, W, U, Wf, Uf, i, o, u, f, c, htilde = cache
    tc = np.tanh(c)
    dc = dc + dh * o * (1 - tc**2)
    di = dc * u * i * (1 - i)
    do = dh * tc * o * (1 - o)
    du = dc * i * (1 - u**2)
    da = np.concatenate([do, di, du])
    df = dc * cs * f * (1 - f)
    dx = W @ da + Wf @ df.sum(0)
    dhs = U @ da + df @ Uf.T
    dbf = df.sum(0)
    return dx, dhs, dc * f, np.outer(x, da), np.outer(htilde, da), da, np.outer(x, dbf), hs.T @ df, dbf


# ---- bucketed relative position bias, as in T5
class RelativeBias:
    def __init__(self, T, buckets=5):
        rel = np.arange(T)[None, :] - np.arange(T)[:, None]
        self.bucket = np.clip(rel, -(buckets // 2), buckets // 2) + buckets // 2
        self.table = np.sin(np.arange(buckets, dtype=float))
        self.dtable = np.zeros(buckets)

    def forward(self, scores):
        self.a = softmax(scores + self.table[self.bucket])
        return self.a

    def backward(self, da):
        ds = self.a * (da - (da * self.a).sum(-1, keepdims=True))
        self.dtable = np.zeros_like(self.table)
        self.dtable[self.bucket] += ds
        return ds


def _r(*shape, seed=1):
    return np.random.default_rng(seed).standard_normal(shape)


def _ntm():
    return _r(3), np.array(1.7), np.array(0.6), softmax(_r(5, seed=4)), _r(5, 3, seed=2)


def _tree():
    w = [_r(3), _r(2, 4, seed=2), _r(2, 4, seed=3), _r(3, 12, seed=4), _r(4, 12, seed=5), _r(12, seed=6)]
    return (*w, _r(3, 4, seed=7), _r(4, 4, seed=8), _r(4, seed=9))


def _tree_proof():
    ps = _tree()
    h, c, cache = tree_node_forward(*ps)
    a, b = cotangent(h.shape), cotangent(c.shape, 5)

    def f():
        h, c, _ = tree_node_forward(*ps)
        return h @ a + c @ b

    return pairs(f, tree_node_backward(a, b, cache), ps)


def _pair(forward, backward, ps, names=None):
    out, cache = forward(*ps)
    d = cotangent(out.shape)
    g = backward(d, cache)
    return pairs(lambda: (forward(*ps)[0] * d).sum(), [g[n] for n in names] if names else g, ps)


def _layer(net, args, names=()):
    d = cotangent(net.forward(*args).shape)
    dx = net.backward(d)
    if names:
        arrays, grads = [getattr(net, n) for n in names], [getattr(net, "d" + n) for n in names]
    else:
        arrays, grads = list(net.params.values()), [net.grads[k] for k in net.params]
    return pairs(lambda: (net.forward(*args) * d).sum(), [dx, *grads], [args[0], *arrays])


STORY = np.array([[1, 2, 3], [4, 2, 5], [6, 7, 3]])


def _mem_proof():
    net, a = MemN2N(), (STORY, np.array([8, 4]), 3)
    g = net.gradient(*a)
    return [(g[k], slope(lambda: net.loss(*a), v)) for k, v in net.params.items()]


def _bah():
    return _r(5, 3), _r(2, seed=2), _r(3, 4, seed=3), _r(2, 4, seed=4), _r(4, seed=5)


ENTRIES = [
    Stranger(
        "minimal gated unit over a whole sequence, time first",
        "layer with params and grads dicts",
        lambda gradlab: gradlab.check_layer(MGU(3, 4), _r(5, 2, 3)),
        lambda: _layer(MGU(3, 4), [_r(5, 2, 3)]),
    ),
    Stranger(
        "causal linear attention",
        "pair with cache",
        lambda gradlab: gradlab.check_cached_pair(
            linattn_forward, linattn_backward, (_r(6, 3), _r(6, 3, seed=2), _r(6, 2, seed=3))
        ),
        lambda: _pair(linattn_forward, linattn_backward, (_r(6, 3), _r(6, 3, seed=2), _r(6, 2, seed=3))),
    ),
    Stranger(
        "content addressing of a neural Turing machine",
        "pair with cache dict, gradients in a dict in another order, scalars among the primals",
        lambda gradlab: gradlab.check_cached_pair(ntm_read_forward, ntm_read_backward, _ntm()),
        lambda: _pair(
            ntm_read_forward, ntm_read_backward, _ntm(), ("key", "beta", "gate", "w_prev", "memory")
        ),
    ),
    Stranger(
        "memory network with one hop",
        "whole net with loss and gradient, ids as inputs",
        lambda gradlab: gradlab.check_layer(MemN2N(), STORY, np.array([8, 4]), 3),
        _mem_proof,
    ),
    Stranger(
        "independently recurrent network, backward in time by a generator",
        "layer with attribute gradients",
        lambda gradlab: gradlab.check_layer(IndRNN(3, 4), _r(2, 5, 3)),
        lambda: _layer(IndRNN(3, 4), [_r(2, 5, 3)], ["W", "u", "b"]),
    ),
    Stranger(
        "attention with linear biases on a ragged batch",
        "layer with attribute gradients, lengths as a second input",
        lambda gradlab: gradlab.check_layer(AlibiAttention(4, 2), _r(2, 5, 4), np.array([5, 3])),
        lambda: _layer(AlibiAttention(4, 2), [_r(2, 5, 4), np.array([5, 3])], ["Wqkv", "Wo"]),
    ),
    Stranger(
        "leaky rate network: the recurrent weights' gradient takes the step's own state",
        "layer with attribute gradients",
        lambda gradlab: gradlab.check_layer(LeakyRates(3, 4), _r(5, 2, 3)),
        lambda: _layer(LeakyRates(3, 4), [_r(5, 2, 3)], ["W", "U", "b"]),
        "wrong",
        "h[t] stands where h[t-1] went into the product",
        ("wrong-operand", "shifted"),
        ("U",),
        "            self.dU += self.hs[t + 1].T @ da",
        "            self.dU += self.hs[t].T @ da",
    ),
    Stranger(
        "multiplicative recurrent net: the parameters' gradients are clipped",
        "layer with params and grads dicts",
        lambda gradlab: gradlab.check_layer(MIRNN(3, 4), _r(6, 3)),
        lambda: _layer(MIRNN(3, 4), [_r(6, 3)]),
        "wrong",
        "the gradients are clipped inside backward, and so not proportional to the cotangent",
        ("nonlinear-in-cotangent", "masked-region"),
        ("W", "U", "b"),
        "        self.grads = {k: np.clip(v, -0.5, 0.5) for k, v in g.items()}",
        "        self.grads = g",
    ),
    Stranger(
        "additive attention: the slope of tanh is left out",
        "pair with cache",
        lambda gradlab: gradlab.check_cached_pair(bahdanau_forward, bahdanau_backward, _bah()),
        lambda: _pair(bahdanau_forward, bahdanau_backward, _bah()),
        "wrong",
        "the factor 1 - u**2 of the tanh is missing",
        ("missing-factor", "straight-through"),
        ("H", "s", "Wa", "Ua"),
        "    dpre = de[:, None] * v\n",
        "    dpre = de[:, None] * v * (1 - u**2)\n",
    ),
    Stranger(
        "node of a tree LSTM: the gates' gradients are put together in another order",
        "pair with two outputs and a cache",
        lambda gradlab: gradlab.check_cached_pair(tree_node_forward, tree_node_backward, _tree()),
        _tree_proof,
        "wrong",
        "the slices of the input gate and of the output gate are exchanged",
        ("columns-exchanged",),
        ("x", "hs", "W", "U", "b"),
        "    da = np.concatenate([do, di, du])",
        "    da = np.concatenate([di, do, du])",
    ),
    Stranger(
        "relative position bias: buckets that occur several times keep one of their gradients",
        "layer with attribute gradients",
        lambda gradlab: gradlab.check_layer(RelativeBias(5), _r(5, 5)),
        lambda: _layer(RelativeBias(5), [_r(5, 5)], ["table"]),
        "wrong",
        "the fancy += keeps only the last of the repeated buckets",
        ("last-write-wins",),
        ("table",),
        "        self.dtable[self.bucket] += ds",
        "        np.add.at(self.dtable, self.bucket, ds)",
    ),
]
