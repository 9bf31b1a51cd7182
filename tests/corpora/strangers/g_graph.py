"""Graphs, attention, language, recommenders."""

import numpy as np

from ._entry import Stranger
from ._help_g import both


def softmax(s):
    e = np.exp(s - s.max(-1, keepdims=True))
    return e / e.sum(-1, keepdims=True)


class GCNConv:
    """D^-1/2 (A + I) D^-1/2 X W; the graph is a list of undirected edges"""

    def __init__(self, n, edges, d_in, d_out, rng):
        A = np.eye(n)
        for a, b in edges:
            A[a, b] = A[b, a] = 1
        s = 1 / np.sqrt(A.sum(1))
        self.A_hat = s[:, None] * A * s
        self.weights = {"W": rng.normal(size=(d_in, d_out)), "b": rng.normal(size=d_out)}
        self.weight_grads = {}

    def forward(self, X):
        self.AX = self.A_hat @ X
        self.Z = self.AX @ self.weights["W"] + self.weights["b"]
        return np.where(self.Z > 0, self.Z, 0.2 * self.Z)

    def backward(self, dH):
        dZ = np.where(self.Z > 0, dH, 0.2 * dH)
        self.weight_grads["W"] = self.AX.T @ dZ
        self.weight_grads["b"] = dZ.sum(axis=0)
        return self.A_hat @ dZ @ self.weights["W"].T


class EdgeAttention:
    """graph attention over an edge list, softmax over the edges that end in one node"""

    def __init__(self, src, dst, W, a_src, a_dst):
        self.src, self.dst = np.asarray(src), np.asarray(dst)
        self.W, self.a_src, self.a_dst = W, a_src, a_dst

    def segment(self, values):
        out = np.zeros((self.n,) + values.shape[1:])
        np.add.at(out, self.dst, values)
        return out

    def forward(self, x):
        self.x, self.n = x, len(x)
        self.h = x @ self.W
        self.raw = (self.h @ self.a_src)[self.src] + (self.h @ self.a_dst)[self.dst]
        e = np.exp(np.tanh(self.raw))
        self.alpha = e / self.segment(e)[self.dst]
        return self.segment(self.alpha[:, None] * self.h[self.src])

    def backward(self, dout):
        d_msg = dout[self.dst]
        dh = np.zeros_like(self.h)
        np.add.at(dh, self.src, self.alpha[:, None] * d_msg)
        da = (d_msg * self.h[self.src]).sum(1)
        ds = self.alpha * (da - self.segment(self.alpha * da)[self.dst])
        ds = ds * (1 - np.tanh(self.raw) ** 2)
        per_src, per_dst = np.bincount(self.src, ds, self.n), np.bincount(self.dst, ds, self.n)
        self.grad = {"a_src": self.h.T @ per_src, "a_dst": self.h.T @ per_dst}
        dh += np.outer(per_src, self.a_src) + np.outer(per_dst, self.a_dst)
        self.grad["W"] = self.x.T @ dh
        return dh @ self.W.T


class EmbeddingBag:
    """mean of the bags; ids in one long row, `offsets` says where each bag starts"""

    def __init__(self, table):
        self.params = [table]
        self.grads = [np.zeros_like(table)]

    def forward(self, ids, offsets):
        self.ids = ids
        ends = np.append(offsets[1:], len(ids))
        self.bag = np.repeat(np.arange(len(offsets)), ends - offsets)
        self.count = (ends - offsets)[:, None]
        return np.add.reduceat(self.params[0][ids], offsets, axis=0) / self.count

    def backward(self, dout):
        table_grad = self.grads[0]
        table_grad[...] = 0
        np.add.at(table_grad, self.ids, (dout / self.count)[self.bag])
        return None


class FactorizationMachine:
    def __init__(self, n, k, seed=0):
        r = np.random.RandomState(seed)
        self.w0 = np.array([0.1])
        self.w = r.randn(n)
        self.V = r.randn(n, k) * 0.5

    def forward(self, x):
        self.x = x
        self.xv = x.dot(self.V)
        pair = 0.5 * (self.xv**2 - (x**2).dot(self.V**2)).sum(axis=1)
        return self.w0 + x.dot(self.w) + pair

    def backward(self, dy):
        x = self.x
        self.dw0 = dy.sum(keepdims=True)
        self.dw = x.T.dot(dy)
        self.dV = x.T.dot(dy[:, None] * self.xv) - (x**2).T.dot(dy)[:, None] * self.V
        return dy[:, None] * (self.w + self.xv.dot(self.V.T) - x * (self.V**2).sum(axis=1))


class LinearChainCRF:
    """negative log likelihood of a tag sequence; emissions (T, K), tags (T,)"""

    def __init__(self, transitions):
        self.transitions = transitions

    def forward(self, emissions, tags):
        alpha = emissions[0]
        self.alphas = [alpha]
        for e in emissions[1:]:
            alpha = np.logaddexp.reduce(alpha[:, None] + self.transitions, axis=0) + e
            self.alphas.append(alpha)
        self.tags, self.T = tags, len(tags)
        score = emissions[np.arange(self.T), tags].sum() + self.transitions[tags[:-1], tags[1:]].sum()
        return np.logaddexp.reduce(alpha) - score

    def backward(self, dloss=1.0):
        marginals = np.zeros((self.T, len(self.transitions)))
        self.d_transitions = np.zeros_like(self.transitions)
        g = softmax(self.alphas[-1])
        for t in range(self.T - 1, 0, -1):
            marginals[t] = g
            joint = self.alphas[t - 1][:, None] + self.transitions
            joint = np.exp(joint - np.logaddexp.reduce(joint, axis=0)) * g
            self.d_transitions += joint
            g = joint.sum(axis=1)
        marginals[0] = g
        marginals[np.arange(self.T), self.tags] -= 1
        np.subtract.at(self.d_transitions, (self.tags[:-1], self.tags[1:]), 1)
        self.d_transitions *= dloss
        return marginals * dloss


class CausalSelfAttention:
    """x (T, d), two levels of dicts for the parameters"""

    def __init__(self, d, heads, rng):
        self.heads = heads
        self.params = {
            n: {"w": rng.normal(size=(d, d)) / np.sqrt(d), "b": rng.normal(size=d) * 0.1} for n in "qkvo"
        }
        del self.params["k"]["b"]  # a bias of the keys has no effect
        self.grads = {n: {} for n in "qkvo"}

    def split(self, a):
        return a.reshape(len(a), self.heads, -1).transpose(1, 0, 2)

    def join(self, a):
        return a.transpose(1, 0, 2).reshape(a.shape[1], -1)

    def affine_back(self, name, x, dy):
        self.grads[name]["w"] = x.T @ dy
        if "b" in self.params[name]:
            self.grads[name]["b"] = dy.sum(0)
        return dy @ self.params[name]["w"].T

    def forward(self, x):
        q, k, v = (self.split(x @ self.params[n]["w"] + self.params[n].get("b", 0)) for n in "qkv")
        s = q @ k.transpose(0, 2, 1) / np.sqrt(q.shape[-1])
        s = np.where(np.tri(len(x), dtype=bool), s, -np.inf)
        p = softmax(s)
        y = self.join(p @ v)
        self.cache = x, q, k, v, p, y
        return y @ self.params["o"]["w"] + self.params["o"]["b"]

    def backward(self, dout):
        x, q, k, v, p, y = self.cache
        dy = self.split(self.affine_back("o", y, dout))
        dp = dy @ v.transpose(0, 2, 1)
        ds = p * (dp - (dp * p).sum(-1, keepdims=True)) / np.sqrt(q.shape[-1])
        parts = {"q": ds @ k, "k": ds.transpose(0, 2, 1) @ q, "v": p.transpose(0, 2, 1) @ dy}
        return sum(self.affine_back(n, x, self.join(d)) for n, d in parts.items())


class MessagePassing:
    def __init__(self, src, dst, W):
        self.src, self.dst = np.array(src), np.array(dst)
        self.W = W

    def forward(self, x):
        self.x = x
        self.m = np.tanh(x[self.src] @ self.W)
        out = x.copy()
        np.add.at(out, self.dst, self.m)
        return out

    def backward(self, dout):
        dm = dout[self.dst] * (1 - self.m**2)
        self.dW = self.x[self.src].T @ dm
        dx = dout.copy()
        dx[self.src] += dm @ self.W.T
        return dx


class GlobalContext:
    """adds tanh(node + global vector u) to every node"""

    def __init__(self, u):
        self.u = u
        self.du = np.zeros_like(u)

    def forward(self, nodes):
        self.t = np.tanh(nodes + self.u)
        return nodes + self.t

    def backward(self, dnodes):
        da = dnodes * (1 - self.t**2)
        self.du = da[0].copy()
        return dnodes + da


class HeadMerge:
    """(N, heads, T, d) -> (N, T, heads * d), scaled by a learned factor for each head"""

    def __init__(self, heads):
        self.gains = np.linspace(0.5, 1.5, heads)

    def forward(self, x):
        self.x = x
        N, H, T, D = x.shape
        return (x * self.gains[:, None, None]).transpose(0, 2, 1, 3).reshape(N, T, H * D)

    def backward(self, dy):
        N, H, T, D = self.x.shape
        d = dy.reshape(N, T, H, D).transpose(0, 2, 1, 3)
        self.dgains = (d * self.x).sum(axis=(0, 2, 3))
        return dy.reshape(N, H, T, D) * self.gains[:, None, None]


class PathComposition:
    """knowledge graph: head entities through two relations"""

    def __init__(self, R1, R2):
        self.R1, self.R2 = R1, R2

    def forward(self, h):
        self.h = h
        self.mid = h @ self.R1
        return self.mid @ self.R2

    def backward(self, dt):
        self.dR2 = self.mid.T @ dt
        self.dR1 = self.h.T @ (dt @ self.R2.T)
        return dt @ self.R1.T @ self.R2.T


class AttentionPool:
    """weighted mean of a set of items, scores by a query vector"""

    def __init__(self, query):
        self.query = query
        self.grad_query = np.zeros_like(query)

    def forward(self, items):
        self.items = items
        self.p = softmax(items @ self.query)
        return self.p @ items

    def backward(self, dout):
        dp = self.items @ dout
        ds = self.p * (dp - self.p @ dp)
        self.grad_query[:] = 0
        return np.outer(self.p, dout) + np.outer(ds, self.query)


class PositionDecay:
    """works in the input's dtype going forward"""

    def __init__(self, steps):
        self.decay = np.exp(-0.3 * np.arange(steps))

    def forward(self, x):
        return (x * self.decay[:, None]).astype(x.dtype)

    def backward(self, dout):
        return dout * self.decay[:, None]


def rng():
    return np.random.default_rng(81)


def gcn():
    return GCNConv(5, [(0, 1), (1, 2), (2, 3), (3, 0), (3, 4)], 3, 2, rng()), rng().normal(size=(5, 3))


def gat():
    r = rng()
    W, (a_src, a_dst) = r.normal(size=(3, 3)), r.normal(size=(2, 3))
    layer = EdgeAttention([0, 1, 2, 3, 0, 2, 1], [1, 2, 0, 0, 3, 3, 1], W, a_src, a_dst)
    return layer, r.normal(size=(4, 3))


def bag():
    return EmbeddingBag(rng().normal(size=(7, 3))), np.array([1, 4, 1, 6, 0, 2]), np.array([0, 3, 4])


def fm():
    return FactorizationMachine(5, 3), rng().normal(size=(4, 5))


def crf():
    return LinearChainCRF(rng().normal(size=(3, 3))), rng().normal(size=(5, 3)), np.array([0, 2, 1, 1, 0])


def attention():
    return CausalSelfAttention(12, 3, rng()), rng().normal(size=(7, 12))


def messages():
    layer = MessagePassing([0, 0, 1, 2, 3, 2], [1, 2, 3, 3, 0, 1], rng().normal(size=(3, 3)))
    return layer, rng().normal(size=(4, 3))


def context():
    return GlobalContext(np.array([0.3, -0.2, 0.5])), rng().normal(size=(5, 3))


def merge():
    return HeadMerge(2), rng().normal(size=(2, 2, 3, 4))


def path():
    return PathComposition(*rng().normal(size=(2, 3, 3))), rng().normal(size=(4, 3))


def pool():
    return AttentionPool(rng().normal(size=3)), rng().normal(size=(6, 3))


def decay():
    return PositionDecay(5), rng().normal(size=(5, 3)).astype(np.float32)


def two_levels(m, g, x):
    return [(m.backward(g), x), *((m.grads[n][k], m.params[n][k]) for n in "qkvo" for k in m.params[n])]


ENTRIES = [
    Stranger(
        "graph convolution with a normalised adjacency",
        "layer with weights and weight_grads dicts",
        *both(gcn, lambda m, g, x: [(m.backward(g), x), *((m.weight_grads[k], m.weights[k]) for k in "Wb")]),
    ),
    Stranger(
        "graph attention over an edge list",
        "layer with attributes and a grad dict",
        *both(
            gat,
            lambda m, g, x: [
                (m.backward(g), x),
                *((m.grad[k], getattr(m, k)) for k in ("W", "a_src", "a_dst")),
            ],
        ),
    ),
    Stranger(
        "embedding bag with offsets",
        "layer of integers, backward returns None",
        *both(bag, lambda m, g, *xs: (m.backward(g), [(m.grads[0], m.params[0])])[1]),
    ),
    Stranger(
        "factorization machine",
        "layer with dw attributes",
        *both(fm, lambda m, g, x: [(m.backward(g), x), (m.dw0, m.w0), (m.dw, m.w), (m.dV, m.V)]),
    ),
    Stranger(
        "linear chain CRF",
        "loss of floats and integers, with a parameter",
        *both(crf, lambda m, g, e, t: [(m.backward(), e), (m.d_transitions, m.transitions)]),
    ),
    Stranger(
        "causal self-attention with dicts in dicts", "layer with nested dicts", *both(attention, two_levels)
    ),
    Stranger(
        "message passing: lost where a node sends twice",
        "layer with an edge list",
        *both(messages, lambda m, g, x: [(m.backward(g), x), (m.dW, m.W)]),
        "wrong",
        "+= with repeated indices keeps only one edge's gradient of each sender",
        ("last-write-wins",),
        ("x",),
        "        dx[self.src] += dm @ self.W.T",
        "        np.add.at(dx, self.src, dm @ self.W.T)",
    ),
    Stranger(
        "global context vector: the first node's gradient only",
        "layer with du",
        *both(context, lambda m, g, x: [(m.backward(g), x), (m.du, m.u)]),
        "wrong",
        "u is added to every node, but its gradient is taken of the first one and not summed",
        ("missing-broadcast-sum",),
        ("u",),
        "        self.du = da[0].copy()",
        "        self.du = da.sum(axis=0)",
    ),
    Stranger(
        "merging of heads: not transposed back",
        "layer with dgains",
        *both(merge, lambda m, g, x: [(m.backward(g), x), (m.dgains, m.gains)]),
        "wrong",
        "dy is reshaped to (N, H, T, D) without the transpose",
        ("axes-permuted",),
        ("x",),
        "        return dy.reshape(N, H, T, D) * self.gains[:, None, None]",
        "        return d * self.gains[:, None, None]",
    ),
    Stranger(
        "path of two relations: the matrices in the wrong order",
        "layer with dR1 and dR2",
        *both(path, lambda m, g, x: [(m.backward(g), x), (m.dR1, m.R1), (m.dR2, m.R2)]),
        "wrong",
        "the gradient of h goes through R1 first, where it should go through R2 first",
        ("wrong-order",),
        ("h",),
        "        return dt @ self.R1.T @ self.R2.T",
        "        return dt @ self.R2.T @ self.R1.T",
    ),
    Stranger(
        "attention pooling: no gradient of the query",
        "layer with grad_query written in place",
        *both(pool, lambda m, g, x: [(m.backward(g), x), (m.grad_query, m.query)]),
        "wrong",
        "the query's gradient is set to zero and never filled",
        ("zero-gradient",),
        ("query",),
        "        self.grad_query[:] = 0",
        "        self.grad_query[:] = self.items.T @ ds",
    ),
    Stranger(
        "decay over positions: float32 in, float64 gradient out",
        "layer without parameters",
        both(decay, None)[0],
        lambda: [],
        "habit",
        "forward gives float32 for float32, but backward's gradient is float64",
        ("wrong-dtype",),
        ("x",),
    ),
]
