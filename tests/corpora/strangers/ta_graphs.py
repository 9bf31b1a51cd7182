"""Graph nets, mixtures of experts, quantisation, weight normalisation."""

import numpy as np

from ._entry import Stranger
from ._help_ta import layer, pairs


# ---------- GCN (Kipf & Welling), dense adjacency
class GraphConv:
    def __init__(self, adj, d_in, d_out):
        a = adj + np.eye(len(adj))
        deg = a.sum(1)
        self.S = a / np.sqrt(deg[:, None] * deg[None])
        rng = np.random.default_rng(0)
        self.params = [rng.standard_normal((d_in, d_out)), rng.standard_normal(d_out) * 0.2]
        self.grads = [None, None]

    def forward(self, H):
        self.SH = self.S @ H
        self.out = np.tanh(self.SH @ self.params[0] + self.params[1])
        return self.out

    def backward(self, dout):
        d = dout * (1 - self.out**2)
        self.grads = [self.SH.T @ d, d.sum(axis=0)]
        return self.S.T @ (d @ self.params[0].T)


RING = np.roll(np.eye(5), 1, 0) + np.roll(np.eye(5), -1, 0)


def _gcn():
    return GraphConv(RING, 3, 2), np.random.default_rng(1).standard_normal((5, 3))


def _gcn_prove():
    m, x = _gcn()
    return layer(m, [x], lambda: m.params, lambda: m.grads)


# ---------- SchNet: continuous-filter convolution, the filter depends on the squared distance
CENTRES = np.linspace(0, 3, 4)


def cfconv(pos, feat, Wf, edges):
    src, dst = edges[:, 0], edges[:, 1]
    vec = pos[src] - pos[dst]
    d2 = np.einsum("ec,ec->e", vec, vec)
    rbf = np.exp(-((d2[:, None] - CENTRES) ** 2) / 2)
    filt = rbf @ Wf
    out = np.zeros_like(feat)
    np.add.at(out, dst, filt * feat[src])
    return out, dict(vec=vec, d2=d2, rbf=rbf, filt=filt, feat=feat, Wf=Wf, edges=edges, n=len(pos))


def cfconv_backward(dout, c):
    src, dst = c["edges"].T
    dmsg = dout[dst]
    dfeat = np.zeros_like(c["feat"])
    np.add.at(dfeat, src, dmsg * c["filt"])
    dfilt = dmsg * c["feat"][src]
    drbf = dfilt @ c["Wf"].T
    dd2 = -(drbf * c["rbf"] * (c["d2"][:, None] - CENTRES)).sum(1)
    dvec = 2 * dd2[:, None] * c["vec"]
    dpos = np.zeros((c["n"], dvec.shape[1]))
    np.add.at(dpos, src, dvec)
    np.subtract.at(dpos, dst, dvec)
    return {"pos": dpos, "feat": dfeat, "Wf": c["rbf"].T @ dfilt}


def _cf():
    r = np.random.default_rng(2)
    edges = np.array([[0, 1], [1, 0], [1, 2], [2, 1], [0, 3], [3, 2], [2, 0]])
    return r.standard_normal((4, 3)), r.standard_normal((4, 2)), r.standard_normal((4, 2)), edges


def _cf_prove():
    xs = _cf()
    y, c = cfconv(*xs)
    g = np.random.default_rng(3).standard_normal(y.shape)
    return pairs(lambda: np.sum(g * cfconv(*xs)[0]), cfconv_backward(g, c).values(), xs[:3])


# ---------- two experts of many
class Top2MoE:
    """gate weights: softmax over the two best scores only"""

    def __init__(self, d, n_experts):
        rng = np.random.default_rng(4)
        self.router = rng.standard_normal((d, n_experts))
        self.experts = rng.standard_normal((n_experts, d, d)) / np.sqrt(d)

    def forward(self, tokens):
        self.tok = tokens
        scores = tokens @ self.router
        self.idx = np.argsort(-scores, axis=1)[:, :2]
        best = np.take_along_axis(scores, self.idx, 1)
        g = 1 / (1 + np.exp(best[:, 1] - best[:, 0]))
        self.gate = np.stack([g, 1 - g], axis=1)
        self.h = np.tanh(np.einsum("td,tkde->tke", tokens, self.experts[self.idx]))
        return np.einsum("tk,tke->te", self.gate, self.h)

    def backward(self, dy):
        self.d_router = np.zeros_like(self.router)
        self.d_experts = np.zeros_like(self.experts)
        dx = np.zeros_like(self.tok)
        for t, (i, j) in enumerate(self.idx):
            ga, gb = self.gate[t]
            slope = ga * gb * (dy[t] @ (self.h[t, 0] - self.h[t, 1]))
            self.d_router[:, i] += slope * self.tok[t]
            self.d_router[:, j] -= slope * self.tok[t]
            dx[t] += slope * (self.router[:, i] - self.router[:, j])
            for g, e, h in zip((ga, gb), (i, j), self.h[t], strict=True):
                dpre = g * dy[t] * (1 - h * h)
                self.d_experts[e] += np.outer(self.tok[t], dpre)
                dx[t] += self.experts[e] @ dpre
        return dx


def _moe():
    return Top2MoE(3, 4), np.random.default_rng(5).standard_normal((5, 3))


def _moe_prove():
    m, x = _moe()
    return layer(m, [x], lambda: [m.router, m.experts], lambda: [m.d_router, m.d_experts])


# ---------- differentiable soft quantisation with a learned step
class DSQ:
    def __init__(self, step=0.5, k=4.0):
        self.step, self.k = np.array(step), k

    def forward(self, x):
        u = x / self.step
        self.u, cell = u, np.floor(u)
        self.th = np.tanh(self.k * (u - cell - 0.5))
        self.q = cell + 0.5 * (1 + self.th / np.tanh(self.k / 2))
        return self.step * self.q

    def backward(self, dout):
        slope = 0.5 * self.k * (1 - self.th**2) / np.tanh(self.k / 2)
        self.dstep = np.array(np.sum(dout * (self.q - self.u * slope)))
        return dout * slope


def _dsq():
    return DSQ(), np.array([[-1.37, 0.13, 0.61], [0.88, -0.21, 1.66]])


def _dsq_prove():
    m, x = _dsq()
    return layer(m, [x], lambda: [m.step], lambda: [m.dstep], h=1e-4)


# ---------- ChebNet
class ChebConv:
    def __init__(self, lap, K, cin, cout):
        self.L = lap
        self.W = np.random.default_rng(6).standard_normal((K, cin, cout)) * 0.5
        self.gW = np.zeros_like(self.W)

    def forward(self, x):
        self.T = [x, self.L @ x]
        while len(self.T) < len(self.W):
            self.T.append(2 * self.L @ self.T[-1] - self.T[-2])
        return sum(t @ w for t, w in zip(self.T, self.W, strict=True))

    def backward(self, gy):
        for k, t in enumerate(self.T):
            self.gW[k] = t.T @ gy
        gT = [gy @ w.T for w in self.W]
        while len(gT) > 2:
            g = gT.pop()
            gT[-1] = gT[-1] + 2 * self.L.T @ g
            gT[-2] = gT[-2] - g
        return gT[0] + self.L.T @ gT[1]


def _cheb():
    return ChebConv(-RING / 2, 4, 3, 2), np.random.default_rng(7).standard_normal((5, 3))


def _cheb_prove():
    m, x = _cheb()
    return layer(m, [x], lambda: [m.W], lambda: [m.gW])


# ---------- GAT, one head
class GraphAttention:
    slope = 0.2

    def __init__(self, adj, fin, fout):
        r = np.random.RandomState(8)
        self.edge = (adj + np.eye(len(adj))) > 0
        self.weights = {"W": r.randn(fin, fout), "a_src": r.randn(fout), "a_dst": r.randn(fout)}

    def forward(self, h):
        w = self.weights
        self.h, self.z = h, h @ w["W"]
        self.raw = (self.z @ w["a_dst"])[:, None] + (self.z @ w["a_src"])[None, :]
        e = np.where(self.raw > 0, self.raw, self.slope * self.raw)
        e = np.where(self.edge, e, -1e30)
        p = np.exp(e - e.max(1, keepdims=True))
        self.att = p / p.sum(1, keepdims=True)
        return self.att @ self.z

    def backward(self, dy):
        w = self.weights
        datt = dy @ self.z.T
        de = self.att * (datt - (datt * self.att).sum(1, keepdims=True))
        draw = de * (self.raw > 0)
        ddst, dsrc = draw.sum(1), draw.sum(0)
        dz = self.att.T @ dy + np.outer(ddst, w["a_dst"]) + np.outer(dsrc, w["a_src"])
        self.gradients = {"W": self.h.T @ dz, "a_src": self.z.T @ dsrc, "a_dst": self.z.T @ ddst}
        return dz @ w["W"].T


def _gat():
    return GraphAttention(RING, 3, 2), np.random.default_rng(9).standard_normal((5, 3))


def _gat_prove():
    m, x = _gat()
    return layer(m, [x], lambda: list(m.weights.values()), lambda: [m.gradients[k] for k in m.weights])


# ---------- Switch transformer: one expert, scaled by its probability
class SwitchFFN:
    def __init__(self, d, n):
        rng = np.random.default_rng(10)
        self.params = {"router": rng.standard_normal((d, n)), "expert": rng.standard_normal((n, d, d))}
        self.grads = {}

    def forward(self, x):
        self.x = x
        logits = x @ self.params["router"]
        p = np.exp(logits - logits.max(1, keepdims=True))
        self.p = p / p.sum(1, keepdims=True)
        self.top = self.p.argmax(1)
        self.gate = self.p.max(1)
        self.h = np.einsum("td,tde->te", x, self.params["expert"][self.top])
        return self.gate[:, None] * self.h

    def backward(self, dout):
        onehot = np.eye(self.p.shape[1])[self.top]
        dgate = (dout * self.h).sum(1)
        dlogits = np.zeros_like(self.p)  # argmax has no gradient
        dh = self.gate[:, None] * dout
        self.grads["router"] = self.x.T @ dlogits
        self.grads["expert"] = np.einsum("tn,td,te->nde", onehot, self.x, dh)
        dx = np.einsum("te,tde->td", dh, self.params["expert"][self.top])
        return dx + dlogits @ self.params["router"].T


def _switch():
    return SwitchFFN(3, 3), np.random.default_rng(11).standard_normal((6, 3))


def _switch_prove():
    m, x = _switch()
    return layer(m, [x], lambda: list(m.params.values()), lambda: [m.grads[k] for k in m.params])


# ---------- mu-law companding in front of an 8 bit channel (the rounding itself sits in the codec)
class MuLaw:
    def __init__(self, mu=15.0):
        self.mu = mu

    def forward(self, wave):
        self.wave = wave
        return np.sign(wave) * np.log1p(self.mu * np.abs(wave)) / np.log1p(self.mu)

    def backward(self, upstream):
        return upstream.copy()


def _mu():
    return MuLaw(), np.random.default_rng(12).uniform(0.05, 1, (3, 5)) * np.array([1, -1, 1, -1, -1])


# ---------- weight normalisation
def wn_linear(x, v, g):
    """rows of v are directions: W = g v / |v|"""
    size = np.sqrt((v * v).sum(axis=1))
    unit = v / size[:, None]
    return x @ (g[:, None] * unit).T, (x, g, unit, size)


def wn_linear_grads(dy, cache):
    x, g, unit, size = cache
    dW = dy.T @ x
    dg = (dW * unit).sum(axis=1)
    dv = (dW - dg[:, None] * unit) / size[:, None]
    dx = dy @ (g[:, None] * unit)
    return dx, dv, dg


def _wn():
    r = np.random.default_rng(13)
    return r.standard_normal((4, 3)), r.standard_normal((2, 3)), np.array([1.7, 0.6])


def _wn_prove():
    xs = _wn()
    y, c = wn_linear(*xs)
    k = np.random.default_rng(14).standard_normal(y.shape)
    return pairs(lambda: np.sum(k * wn_linear(*xs)[0]), wn_linear_grads(k, c), xs)


ENTRIES = [
    Stranger(
        "ta graph convolution on a ring",
        "layer with params and grads lists",
        lambda gl: gl.check_layer(*_gcn()),
        _gcn_prove,
    ),
    Stranger(
        "ta continuous-filter convolution",
        "pair with cache that returns a dict",
        lambda gl: gl.check_cached_pair(cfconv, cfconv_backward, _cf()),
        _cf_prove,
    ),
    Stranger(
        "ta mixture with the two best experts",
        "layer with d_ attributes",
        lambda gl: gl.check_layer(*_moe()),
        _moe_prove,
    ),
    Stranger(
        "ta soft quantiser with a learned step",
        "layer with a 0-d parameter",
        lambda gl: gl.check_layer(*_dsq()),
        _dsq_prove,
    ),
    Stranger(
        "ta Chebyshev graph filter",
        "layer with attributes W and gW",
        lambda gl: gl.check_layer(*_cheb()),
        _cheb_prove,
    ),
    Stranger(
        "ta graph attention: slope of the negative scores",
        "layer with weights and gradients dicts",
        lambda gl: gl.check_layer(*_gat()),
        _gat_prove,
        "wrong",
        "the leaky ReLU of the scores has slope 0 instead of 0.2 on the negative side",
        ("masked-region", "other-approximation"),
        ("h", "W", "a_src", "a_dst"),
        "        draw = de * (self.raw > 0)\n",
        "        draw = de * np.where(self.raw > 0, 1, self.slope)\n",
    ),
    Stranger(
        "ta switch layer: router gets nothing",
        "layer with params and grads dicts",
        lambda gl: gl.check_layer(*_switch()),
        _switch_prove,
        "wrong",
        "the router's gradient through the gate's probability is taken as zero",
        ("zero-gradient", "missing-term"),
        ("router", "x"),
        "        dlogits = np.zeros_like(self.p)  # argmax has no gradient\n",
        "        dlogits = (dgate * self.gate)[:, None] * (onehot - self.p)\n",
    ),
    Stranger(
        "ta mu-law: straight through",
        "layer without parameters",
        lambda gl: gl.check_layer(*_mu()),
        lambda: layer(_mu()[0], [_mu()[1]]),
        "wrong",
        "the cotangent is passed on without the slope of the companding",
        ("straight-through", "missing-factor"),
        ("wave",),
        "        return upstream.copy()\n",
        "        return upstream * self.mu / (1 + self.mu * np.abs(self.wave)) / np.log1p(self.mu)\n",
    ),
    Stranger(
        "ta weight norm: g forgotten",
        "pair with cache",
        lambda gl: gl.check_cached_pair(wn_linear, wn_linear_grads, _wn()),
        _wn_prove,
        "wrong",
        "the direction's gradient lacks the factor g of each row",
        ("missing-factor",),
        ("v",),
        "    dv = (dW - dg[:, None] * unit) / size[:, None]\n",
        "    dv = (dW - dg[:, None] * unit) * (g / size)[:, None]\n",
    ),
]
