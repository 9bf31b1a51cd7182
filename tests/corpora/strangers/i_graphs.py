"""Graphs, molecules, words."""

import numpy as np

from . import _help_i as H
from ._entry import Stranger


class GraphConvolution:
    """As in lua torch: out = tanh(A_hat x W + b); gradients add up until zeroGradParameters()."""

    def __init__(self, adjacency, nIn, nOut, rng):
        a = adjacency + np.eye(len(adjacency))
        s = 1 / np.sqrt(a.sum(1))
        self.ahat = s[:, None] * a * s
        self.weight = rng.normal(size=(nIn, nOut)) / np.sqrt(nIn)
        self.bias = rng.normal(size=nOut) * 0.1
        self.zeroGradParameters()

    def zeroGradParameters(self):
        self.gradWeight = np.zeros_like(self.weight)
        self.gradBias = np.zeros_like(self.bias)

    def updateOutput(self, input):
        self.output = np.tanh(self.ahat @ input @ self.weight + self.bias)
        return self.output

    def updateGradInput(self, input, gradOutput):
        self.gradInput = self.ahat.T @ (gradOutput * (1 - self.output**2)) @ self.weight.T
        return self.gradInput

    def accGradParameters(self, input, gradOutput, scale=1):
        g = gradOutput * (1 - self.output**2)
        self.gradWeight += scale * (self.ahat @ input).T @ g
        self.gradBias += scale * g.sum(0)

    def forward(self, input):
        return self.updateOutput(input)

    def backward(self, input, gradOutput):
        self.updateGradInput(input, gradOutput)
        self.accGradParameters(input, gradOutput)
        return self.gradInput


def _gcn():
    rng = np.random.default_rng(0)
    adj = np.array([[0, 1, 0, 0, 1], [1, 0, 1, 0, 0], [0, 1, 0, 1, 0], [0, 0, 1, 0, 0], [1, 0, 0, 0, 0]])
    return GraphConvolution(adj, 3, 2, rng), rng.normal(size=(5, 3))


def _gcn_proof():
    m, x = _gcn()
    g = np.random.default_rng(9).normal(size=m.forward(x).shape)
    f = lambda: np.sum(g * m.forward(x))
    claimed = m.backward(x, g).copy(), m.gradWeight, m.gradBias
    return list(zip(claimed, [H.true(f, a) for a in (x, m.weight, m.bias)]))


class PersonalizedPageRank:
    """K power steps r <- (1 - a) p + a r M, with M = row-normalised positive weights."""

    def __init__(self, weights, a=0.85, steps=4):
        self.w, self.a, self.steps = weights, a, steps

    def forward(self, p):
        self.total = self.w.sum(1, keepdims=True)
        self.M = self.w / self.total
        self.ranks = [p]
        for _ in range(self.steps):
            self.ranks.append((1 - self.a) * p + self.a * self.ranks[-1] @ self.M)
        return self.ranks[-1]

    def backward(self, g):
        dp = np.zeros_like(g)
        dM = np.zeros_like(self.M)
        for r in reversed(self.ranks[:-1]):
            dp += (1 - self.a) * g
            dM = self.a * np.outer(r, g)
            g = self.a * g @ self.M.T
        self.dw = (dM - (dM * self.M).sum(1, keepdims=True)) / self.total
        return dp + g


def _pagerank():
    rng = np.random.default_rng(1)
    return PersonalizedPageRank(rng.uniform(0.1, 1, (5, 5))), rng.dirichlet(np.ones(5))


class TreeEncoder:
    """Socher's recursive network: a binary tree of word numbers, (left, right) or a leaf."""

    def __init__(self, tree, W, b):
        self.tree, self.W, self.b = tree, W, b

    def forward(self, words):
        self.words = words
        self.nodes = []
        return self._up(self.tree)

    def _up(self, node):
        if not isinstance(node, tuple):
            return self.words[node]
        kids = np.concatenate([self._up(node[0]), self._up(node[1])])
        h = np.tanh(kids @ self.W + self.b)
        self.nodes.append((kids, h))
        return h

    def backward(self, dh):
        self.dW, self.db = np.zeros_like(self.W), np.zeros_like(self.b)
        self.dwords = np.zeros_like(self.words)
        todo = list(self.nodes)
        self._down(self.tree, dh, todo)
        return self.dwords

    def _down(self, node, dh, todo):
        if not isinstance(node, tuple):
            self.dwords[node] += dh
            return
        kids, h = todo.pop()
        dz = dh * (1 - h * h)
        self.dW += np.outer(kids, dz)
        self.db += dz
        dk = self.W @ dz
        self._down(node[1], dk[len(h) :], todo)
        self._down(node[0], dk[: len(h)], todo)


def _tree():
    rng = np.random.default_rng(2)
    net = TreeEncoder(((0, 1), (2, (3, 1))), rng.normal(size=(6, 3)) * 0.6, rng.normal(size=3) * 0.1)
    return net, rng.normal(size=(4, 3))


class CBOW:
    """Mean of the context's vectors -> scores of a few candidates (negative sampling), sigmoid loss."""

    def __init__(self, vocab, dim, seed=0):
        rng = np.random.default_rng(seed)
        self.params = {"W_in": rng.normal(size=(vocab, dim)), "W_out": rng.normal(size=(vocab, dim))}

    def _scores(self, context, cand):
        self.h = self.params["W_in"][context].mean(1)
        return np.einsum("nd,nkd->nk", self.h, self.params["W_out"][cand])

    def loss(self, batch, t):
        s = self._scores(batch["context"], batch["cand"])
        return np.sum(np.logaddexp(0, s) - t * s)

    def gradient(self, batch, t):
        context, cand = batch["context"], batch["cand"]
        s = self._scores(context, cand)
        ds = 1 / (1 + np.exp(-s)) - t
        g = {k: np.zeros_like(v) for k, v in self.params.items()}
        np.add.at(g["W_out"], cand, ds[:, :, None] * self.h[:, None, :])
        dh = np.einsum("nk,nkd->nd", ds, self.params["W_out"][cand]) / context.shape[1]
        g["W_in"][context] += dh[:, None, :]
        return g


def _cbow():
    batch = {
        "context": np.array([[0, 1, 3, 4], [1, 2, 4, 5], [2, 0, 5, 1]]),
        "cand": np.array([[2, 5, 0], [3, 1, 0], [4, 3, 2]]),
    }
    t = np.zeros((3, 3))
    t[:, 0] = 1
    return CBOW(6, 4), batch, t


class LinearChainCRF:
    """-log p(tags | emissions), forward algorithm for Z and backward for the marginals."""

    def __init__(self, trans):
        self.trans = trans
        self.trans_grad = np.zeros_like(trans)

    def forward(self, emissions, tags):
        self.e, self.tags = emissions, tags
        n, k = emissions.shape
        a = np.empty((n, k))
        a[0] = emissions[0]
        for t in range(1, n):
            a[t] = emissions[t] + self._lse(a[t - 1][:, None] + self.trans, 0)
        self.alpha, self.logZ = a, self._lse(a[-1], 0)
        path = emissions[np.arange(n), tags].sum() + self.trans[tags[:-1], tags[1:]].sum()
        return self.logZ - path

    def backward(self, dloss=1.0):
        n, k = self.e.shape
        b = np.zeros((n, k))
        for t in range(n - 2, -1, -1):
            b[t] = self._lse(self.trans + self.e[t + 1] + b[t + 1], 1)
        de = np.exp(self.alpha + b - self.logZ)
        pair = self.alpha[:-1, :, None] + self.trans + (self.e + b)[1:, None, :] - self.logZ
        dtr = np.exp(pair).sum(0)
        de[np.arange(n), self.tags] -= 1
        np.subtract.at(dtr, (self.tags[:-1], self.tags[1:]), 1)
        self.trans_grad[...] = dloss * dtr
        return dloss * de

    @staticmethod
    def _lse(x, axis):
        m = x.max(axis, keepdims=True)
        return np.squeeze(m, axis) + np.log(np.exp(x - m).sum(axis))


def _crf():
    rng = np.random.default_rng(4)
    return LinearChainCRF(rng.normal(size=(3, 3))), rng.normal(size=(6, 3)), np.array([0, 2, 1, 1, 0, 2])


class TokenAndPosition:
    """x (batch, time, dim) already embedded; adds learned places and a learned scale per dim."""

    def __init__(self, max_len, dim, rng):
        self.pos = rng.normal(size=(max_len, dim))
        self.scale = 1 + 0.1 * rng.normal(size=dim)

    def forward(self, x):
        self.n = x.shape[1]
        self.sum = x + self.pos[: self.n]
        return self.sum * self.scale

    def backward(self, dy):
        self.dscale = (dy * self.sum).sum((0, 1))
        ds = dy * self.scale
        self.dpos = np.zeros_like(self.pos)
        self.dpos[: self.n] = ds[0]
        return ds


def _positions():
    rng = np.random.default_rng(5)
    return TokenAndPosition(6, 3, rng), rng.normal(size=(2, 4, 3))


class EdgeAttention:
    """Attention over incoming edges. edges (E, 2): source, target. score = x_src.a + x_tgt.b"""

    def __init__(self, edges, a, b):
        self.src, self.tgt = edges.T
        self.a, self.b = a, b

    def _segment(self, values, where):
        return np.bincount(where, weights=values, minlength=self.n)

    def forward(self, x):
        self.n, self.x = len(x), x
        self.pre = x[self.src] @ self.a + x[self.tgt] @ self.b
        w = np.exp(np.tanh(self.pre))
        self.att = w / self._segment(w, self.tgt)[self.tgt]
        out = np.zeros_like(x)
        np.add.at(out, self.tgt, self.att[:, None] * x[self.src])
        return out

    def backward(self, dout):
        de = dout[self.tgt]
        datt = (de * self.x[self.src]).sum(1)
        dx = np.zeros_like(self.x)
        np.add.at(dx, self.src, self.att[:, None] * de)
        inner = self._segment(self.att * datt, self.src)[self.src]
        dscore = self.att * (datt - inner) * (1 - np.tanh(self.pre) ** 2)
        self.da = dscore @ self.x[self.src]
        self.db = dscore @ self.x[self.tgt]
        np.add.at(dx, self.src, np.outer(dscore, self.a))
        np.add.at(dx, self.tgt, np.outer(dscore, self.b))
        return dx


def _gat():
    rng = np.random.default_rng(6)
    edges = np.array([[0, 1], [2, 1], [3, 1], [1, 0], [3, 0], [0, 2], [1, 2], [2, 3], [0, 3]])
    return EdgeAttention(edges, rng.normal(size=3), rng.normal(size=3)), rng.normal(size=(4, 3))


class NeuralFingerprint:
    """Duvenaud et al.: atoms look at their bonded neighbours, and write softmaxes into a fingerprint."""

    def __init__(self, bonds, layers):
        self.nbr = bonds + np.eye(len(bonds))
        self.layers = layers  # [{"H": ..., "W": ...}, ...]
        self.grads = [dict.fromkeys(layer) for layer in layers]

    def forward(self, atoms):
        self.mem, r, fp = [], atoms, 0
        for layer in self.layers:
            v = self.nbr @ r
            r_new = np.tanh(v @ layer["H"])
            z = r_new @ layer["W"]
            p = np.exp(z - z.max(1, keepdims=True))
            p /= p.sum(1, keepdims=True)
            self.mem.append((v, r_new, p))
            fp = fp + p.sum(0)
            r = r_new
        return fp

    def backward(self, dfp):
        dr = 0.0
        for layer, grad, (v, r, p) in zip(self.layers[::-1], self.grads[::-1], self.mem[::-1]):
            dz = p * (dfp - (p @ dfp)[:, None])
            grad["W"] = r.T @ dz
            du = (dr + dz @ layer["W"].T) * (1 - r**2)
            grad["H"] = v.T @ du
            dr = self.nbr.T @ (du @ layer["H"].T)
        return dr


def _fingerprint():
    rng = np.random.default_rng(7)
    bonds = np.zeros((5, 5))
    for i, j in [(0, 1), (1, 2), (2, 3), (1, 4)]:
        bonds[i, j] = bonds[j, i] = 1
    layers = [{"H": rng.normal(size=(3, 3)) * 0.4, "W": rng.normal(size=(3, 6))} for _ in range(2)]
    return NeuralFingerprint(bonds, layers), rng.normal(size=(5, 3))


class HashedEmbedding:
    """Sum of two rows (two hashes) of one table; the table's gradient is made once, in the constructor."""

    def __init__(self, buckets, dim, rng):
        self.table = rng.normal(size=(buckets, dim))
        self.grad_table = np.zeros_like(self.table)

    def forward(self, ids):
        self.h1, self.h2 = ids * 7 % len(self.table), (ids * 13 + 5) % len(self.table)
        return self.table[self.h1] + self.table[self.h2]

    def backward(self, dout):
        np.add.at(self.grad_table, self.h1, dout)
        np.add.at(self.grad_table, self.h2, dout)


def _hashed():
    return HashedEmbedding(11, 3, np.random.default_rng(8)), np.array([3, 41, 8, 3, 27])


def _habits():
    return H.layer(*_hashed(), params=".table>.grad_table")


ENTRIES = [
    Stranger(
        "graph convolution in lua torch's manner",
        "updateOutput, updateGradInput, accGradParameters",
        lambda g: g.check_layer(*_gcn()),
        _gcn_proof,
    ),
    Stranger(
        "personalised PageRank: steps overwrite each other",
        "loop over shared weights",
        lambda g: g.check_layer(*_pagerank()),
        lambda: H.layer(*_pagerank(), params=".w>.dw"),
        "wrong",
        "the matrix's gradient is overwritten at each step instead of added up",
        ("last-write-wins", "missing-term"),
        ("w",),
        "            dM = self.a * np.outer(r, g)\n",
        "            dM += self.a * np.outer(r, g)\n",
    ),
    Stranger(
        "recursive network on a tree of words",
        "layer that recurs over nested tuples",
        lambda g: g.check_layer(*_tree()),
        lambda: H.layer(*_tree(), params=".W>.dW .b>.db"),
    ),
    Stranger(
        "CBOW with negative samples: repeated words count once",
        "loss and gradient, a batch as a dict",
        lambda g: g.check_model(*_cbow()),
        lambda: H.net(*_cbow(), keys=["W_in", "W_out"]),
        "wrong",
        "words that several contexts share get only one context's gradient (+= with repeated indices)",
        ("last-write-wins",),
        ("W_in",),
        '        g["W_in"][context] += dh[:, None, :]\n',
        '        np.add.at(g["W_in"], context, dh[:, None, :])\n',
    ),
    Stranger(
        "linear-chain CRF of words",
        "loss of emissions and tags, learned transitions",
        lambda g: g.check_layer(*_crf()),
        lambda: H.layer(*_crf(), params=".trans>.trans_grad"),
    ),
    Stranger(
        "learned places: only the first sentence's gradient",
        "layer that uses a part of its parameter",
        lambda g: g.check_layer(*_positions()),
        lambda: H.layer(*_positions(), params=".pos>.dpos .scale>.dscale"),
        "wrong",
        "the places are shared by the batch, but only its first item is taken instead of the sum",
        ("missing-broadcast-sum", "wrong-sum-axis"),
        ("pos",),
        "        self.dpos[: self.n] = ds[0]\n",
        "        self.dpos[: self.n] = ds.sum(0)\n",
    ),
    Stranger(
        "attention on edges: softmax's sum over the wrong end",
        "layer with an edge list",
        lambda g: g.check_layer(*_gat()),
        lambda: H.layer(*_gat(), params=".a>.da .b>.db"),
        "wrong",
        "the softmax is over each target's edges, its gradient's inner sum over each source's",
        ("wrong-sum-axis",),
        ("x", "a", "b"),
        "        inner = self._segment(self.att * datt, self.src)[self.src]\n",
        "        inner = self._segment(self.att * datt, self.tgt)[self.tgt]\n",
    ),
    Stranger(
        "neural fingerprints of molecules",
        "lists of dicts of parameters and gradients",
        lambda g: g.check_layer(*_fingerprint()),
        lambda: H.layer(
            *_fingerprint(),
            params=".layers[0]['H']>.grads[0]['H'] .layers[0]['W']>.grads[0]['W'] "
            ".layers[1]['H']>.grads[1]['H'] .layers[1]['W']>.grads[1]['W']",
        ),
    ),
    Stranger(
        "hashed embedding: gradient never zeroed",
        "layer on ids",
        lambda g: g.check_layer(*_hashed()),
        lambda: [],
        "habit",
        "each backward adds to the gradient of the one before, and nothing ever clears it",
        ("accumulates",),
    ),
]
