"""Taggers, parsers, alignments, topics, words."""

from dataclasses import dataclass, field

import numpy as np

from ._entry import Stranger
from ._help_v import cot, of_fun, of_pair, probe


def softmax(a, axis=-1):
    e = np.exp(a - a.max(axis=axis, keepdims=True))
    return e / e.sum(axis=axis, keepdims=True)


def lse(a, axis=None):
    m = a.max(axis=axis, keepdims=True)
    return np.squeeze(m + np.log(np.exp(a - m).sum(axis=axis, keepdims=True)), axis)


# ---------------------------------------- matrix-tree parser (Koo et al. 2007), diagonal = root scores
def _laplacian(S):
    A = np.exp(S) * (1 - np.eye(len(S)))
    L = np.diag(A.sum(0)) - A
    L[0] = np.exp(np.diag(S))
    return A, L


def tree_nll(S, heads):
    """heads[m] is the head of word m, heads[m] == m for the root."""
    return np.linalg.slogdet(_laplacian(S)[1])[1] - S[heads, np.arange(len(S))].sum()


def tree_nll_grad(S, heads):
    A, L = _laplacian(S)
    B = np.linalg.inv(L)
    n = len(S)
    keep = (np.arange(n) != 0).astype(float)
    M = A * (keep * np.diag(B)) - A * keep[:, None] * B.T
    M[np.diag_indices(n)] = np.exp(np.diag(S)) * B[:, 0]
    M[heads, np.arange(n)] -= 1
    return M


def _tree():
    return np.random.default_rng(0).normal(size=(5, 5)), np.array([1, 1, 4, 4, 1])


# ---------------------------------------- xulie biaozhu: CRF
class TiaoJianSuiJiChang:
    """fasheng (T, K) shi fashe fenshu, self.A shi zhuanyi juzhen"""

    def __init__(self, K):
        self.A = 0.5 * np.random.default_rng(1).normal(size=(K, K))
        self.dA = np.zeros_like(self.A)

    def forward(self, fashe, biaoqian):
        T, K = fashe.shape
        self.cache = fashe, biaoqian
        alpha = [fashe[0]]
        for t in range(1, T):
            alpha.append(fashe[t] + lse(alpha[-1][:, None] + self.A, 0))
        self.alpha, self.logZ = np.array(alpha), lse(alpha[-1])
        y = biaoqian
        return self.logZ - fashe[np.arange(T), y].sum() - self.A[y[:-1], y[1:]].sum()

    def backward(self):
        fashe, y = self.cache
        T, K = fashe.shape
        beta = np.zeros((T, K))
        for t in range(T - 2, -1, -1):
            beta[t] = lse(self.A + fashe[t + 1] + beta[t + 1], 1)
        dfashe = np.exp(self.alpha + beta - self.logZ)
        self.dA[...] = 0
        for t in range(T - 1):
            self.dA += np.exp(self.alpha[t][:, None] + self.A + fashe[t + 1] + beta[t + 1] - self.logZ)
        # jianqu zhenshi lujing de jishu
        dfashe[np.arange(T), y] -= 1
        self.dA[y[:-1], y[1:]] -= 1
        return dfashe


def _crf():
    biaoqian = np.array([0, 1, 0, 1, 2, 2, 2])
    return TiaoJianSuiJiChang(3), np.random.default_rng(2).normal(size=(7, 3)), biaoqian


def _prove_crf():
    m, x, y = _crf()
    m.forward(x, y)
    d = m.backward()
    return probe(lambda: m.forward(x, y), [d, m.dA], [x, m.A])


# ---------------------------------------- IBM model 1, translation table as softmax of logits
BITEXT = [([0, 2, 1], [3, 1]), ([1, 3], [0, 1, 4]), ([2, 2, 0], [3, 3, 2]), ([3], [4, 0])]


def ibm1(theta, bitext):
    t = softmax(theta)
    nll, counts = 0.0, np.zeros_like(t)
    for es, fs in bitext:
        for f in fs:
            p = np.array([t[e, f] for e in es])
            nll -= np.log(p.mean())
            for e, gamma in zip(es, p / p.sum()):
                counts[e, f] += gamma
    return nll, t * counts.sum(1, keepdims=True) - counts


# ---------------------------------------- kakariuke kaiseki: soudou afin (biaffine)
def kakariuke_tensuu(kakarimoto, kakarisaki, U, b):
    """(B,T,D), (B,T,D), (D,D), (D,) -> (B,T,T)"""
    tensuu = kakarimoto @ U @ kakarisaki.transpose(0, 2, 1) + (kakarisaki @ b)[:, None, :]
    return tensuu, (kakarimoto, kakarisaki, U, b)


def kakariuke_koubai(dtensuu, kiroku):
    moto, saki, U, b = kiroku
    retsu = dtensuu.sum(1)
    dmoto = dtensuu @ saki @ U.T
    dsaki = dtensuu.transpose(0, 2, 1) @ moto @ U + retsu[..., None] * b
    dU = np.einsum("bti,bts,bsj->ij", moto, dtensuu, saki)
    db = np.einsum("bs,bsd->d", retsu, saki)
    return dsaki, dmoto, dU, db


def _bun():
    r = np.random.default_rng(4)
    return r.normal(size=(2, 4, 3)), r.normal(size=(2, 4, 3)), r.normal(size=(3, 3)), r.normal(size=3)


# ---------------------------------------- CBOW with hierarchical softmax over a heap-shaped tree
@dataclass
class CBOWTree:
    V: int
    D: int
    params: dict = field(default_factory=dict)
    grads: dict = field(default_factory=dict)

    def __post_init__(self):
        r = np.random.default_rng(5)
        self.params["E"] = r.normal(size=(self.V, self.D))
        self.params["node"] = r.normal(size=(self.V - 1, self.D))
        self.paths = []
        for w in range(self.V):
            n, path = self.V + w, []
            while n > 1:
                path.append((n // 2 - 1, 1 - 2 * (n % 2)))
                n //= 2
            self.paths.append(path)

    def forward(self, context, target):
        self.context, self.target = context, target
        self.h = self.params["E"][context].mean(1)
        return sum(
            np.log1p(np.exp(-s * (self.params["node"][n] @ h)))
            for h, w in zip(self.h, target)
            for n, s in self.paths[w]
        ) / len(target)

    def backward(self):
        node = self.params["node"]
        gE, gN = np.zeros_like(self.params["E"]), np.zeros_like(node)
        B, C = self.context.shape
        for h, ctx, w in zip(self.h, self.context, self.target):
            dh = 0
            for n, s in self.paths[w]:
                k = -s / (1 + np.exp(s * (node[n] @ h))) / B
                gN[n] += k * h
                dh = dh + k * node[n]
            for c in ctx:
                gE[c] += dh / C
        self.grads = {"E": gE, "node": gN}


def _cbow():
    return CBOWTree(6, 4), np.array([[0, 2, 2], [5, 1, 3], [4, 4, 0]]), np.array([1, 4, 4])


def _prove_cbow():
    m, c, w = _cbow()
    m.forward(c, w)
    m.backward()
    return probe(lambda: m.forward(c, w), list(m.grads.values()), list(m.params.values()))


# ---------------------------------------- Themenmodell (Dokumente x Themen, Themen x Woerter)
class Themenmodell:
    def __init__(self, haeufigkeit):
        self.n = haeufigkeit

    def forward(self, z, beta):
        self.theta, self.phi = softmax(z), softmax(beta)
        self.p = self.theta @ self.phi
        return -np.sum(self.n * np.log(self.p))

    def backward(self):
        dp = -self.n / self.p
        dtheta, dphi = dp @ self.phi.T, self.theta.T @ dp
        dz = self.theta * (dtheta - (self.theta * dtheta).sum(axis=0, keepdims=True))
        dbeta = self.phi * (dphi - (self.phi * dphi).sum(axis=1, keepdims=True))
        return dz, dbeta


def _themen():
    r = np.random.default_rng(6)
    return Themenmodell(r.poisson(3.0, (4, 6)).astype(float)), r.normal(size=(4, 3)), r.normal(size=(3, 6))


def _beweis_themen():
    m, z, b = _themen()
    m.forward(z, b)
    return probe(lambda: m.forward(z, b), m.backward(), [z, b])


# ---------------------------------------- pointer-generator output, one decoder step
def copy_loss(gen_logit, vocab_scores, attn_scores, src, tgt):
    """src (B,S) source token ids, tgt (B,) target ids; scalar loss"""
    g = 1 / (1 + np.exp(-gen_logit))
    pv, at = softmax(vocab_scores), softmax(attn_scores)
    hit = src == tgt[:, None]
    rows = np.arange(len(tgt))
    p = g * pv[rows, tgt] + (1 - g) * (at * hit).sum(1)
    return -np.mean(np.log(p)), (g, pv, at, hit, tgt, p)


def copy_loss_backward(cache):
    g, pv, at, hit, tgt, p = cache
    rows = np.arange(len(tgt))
    dp = -1 / p / len(tgt)
    py, pc = pv[rows, tgt], (at * hit).sum(1)
    dgen = dp * (py - pc) * g * (1 - g)
    dvoc = -pv * (dp * g * py)[:, None]
    dvoc[rows, tgt] += dp * g * py
    datt = at * (hit - pc[:, None]) * (dp * (1 - g))[:, None]
    return dgen, dvoc, datt


def _copy():
    r = np.random.default_rng(7)
    src = np.array([[1, 3, 3, 0], [2, 0, 4, 2], [5, 5, 1, 0]])
    return r.normal(size=3), r.normal(size=(3, 6)), r.normal(size=(3, 4)), src, np.array([3, 2, 4])


# ---------------------------------------- phrases: moyenne et maximum masqués
class ResumePhrase:
    def avant(self, h, masque):
        self.masque = masque
        m = masque[..., None]
        self.longueur = m.sum(1)
        moyenne = (h * m).sum(1) / self.longueur
        hm = np.where(m, h, -np.inf)
        self.qui = hm.argmax(1)
        return np.hstack([moyenne, hm.max(1)])

    def arriere(self, ds):
        B, T = self.masque.shape
        d = ds.shape[1] // 2
        dh = self.masque[..., None] * (ds[:, :d] / self.longueur)[:, None]
        dh[np.arange(B)[:, None], self.qui, np.arange(d)] += ds[:, d:]
        return dh


def _phrase():
    masque = np.array([[1, 1, 1, 0, 0], [1, 1, 1, 1, 1], [1, 1, 0, 0, 0]], bool)
    return ResumePhrase(), np.random.default_rng(8).normal(size=(3, 5, 4)), masque


def _preuve_phrase():
    c, h, m = _phrase()
    g = cot(c.avant(h, m))
    return probe(lambda: c.avant(h, m), [c.arriere(g)], [h], g)


# ---------------------------------------- highway layer of a char-CNN, buffers for speed
class Highway:
    def __init__(self, batch, n):
        r = np.random.default_rng(9)
        self.Wh, self.Wt = r.normal(size=(n, n)) / n, r.normal(size=(n, n)) / n
        self.bt = np.full(n, -1.0)
        self._dx = np.empty((batch, n))

    def forward(self, x):
        self.x = x
        self.h = np.tanh(x @ self.Wh)
        self.t = 1 / (1 + np.exp(-(x @ self.Wt + self.bt)))
        return self.t * self.h + (1 - self.t) * x

    def backward(self, dout):
        dh = dout * self.t * (1 - self.h**2)
        dt = dout * (self.h - self.x) * self.t * (1 - self.t)
        self.dWh, self.dWt, self.dbt = self.x.T @ dh, self.x.T @ dt, dt.sum(0)
        np.matmul(dh, self.Wh.T, out=self._dx)
        self._dx += dt @ self.Wt.T
        self._dx += dout * (1 - self.t)
        return self._dx


# ---------------------------------------- bag of embeddings, ids and offsets as in torch
class BagOfWords:
    def __init__(self, n, d):
        self.table = np.random.default_rng(10).normal(size=(n, d))
        self.dtable = np.zeros_like(self.table)

    def forward(self, ids, offsets):
        self.ids = ids
        self.bag = np.searchsorted(offsets, np.arange(len(ids)), side="right") - 1
        out = np.zeros((len(offsets), self.table.shape[1]))
        np.add.at(out, self.bag, self.table[ids])
        return out

    def backward(self, dout):
        np.add.at(self.dtable, self.ids, dout[self.bag])


ENTRIES = [
    Stranger(
        "v: matrix-tree dependency parser",
        "f and grad with args",
        lambda gl: gl.check_gradient(tree_nll, tree_nll_grad, _tree()[0], args=(_tree()[1],)),
        lambda: of_fun(tree_nll, tree_nll_grad, *_tree()),
    ),
    Stranger(
        "v: CRF tagger in pinyin: repeated bigrams counted once",
        "loss layer, backward without dout",
        lambda gl: gl.check_layer(*_crf()),
        _prove_crf,
        "wrong",
        "the gold path is subtracted by fancy indexing, which counts a repeated bigram once",
        ("last-write-wins",),
        ("A",),
        "        self.dA[y[:-1], y[1:]] -= 1\n",
        "        np.subtract.at(self.dA, (y[:-1], y[1:]), 1)\n",
    ),
    Stranger(
        "v: IBM model 1 alignment",
        "value and gradient, args",
        lambda gl: gl.check_gradient(
            ibm1, True, np.random.default_rng(3).normal(size=(4, 5)), args=(BITEXT,)
        ),
        lambda: of_fun(ibm1, True, np.random.default_rng(3).normal(size=(4, 5)), BITEXT),
    ),
    Stranger(
        "v: biaffine parser scores in romaji: the two ends' gradients exchanged",
        "pair with cache",
        lambda gl: gl.check_cached_pair(kakariuke_tensuu, kakariuke_koubai, _bun()),
        lambda: of_pair(kakariuke_tensuu, kakariuke_koubai, _bun()),
        "wrong",
        "the gradients of dependent and head are returned in each other's place",
        ("swapped-primals",),
        ("kakarimoto", "kakarisaki"),
        "    return dsaki, dmoto, dU, db\n",
        "    return dmoto, dsaki, dU, db\n",
    ),
    Stranger(
        "v: CBOW with a tree of binary decisions",
        "dataclass, params and grads dicts",
        lambda gl: gl.check_layer(*_cbow()),
        _prove_cbow,
    ),
    Stranger(
        "v: topic model in German: softmax centred over the documents",
        "loss layer, backward without dout",
        lambda gl: gl.check_layer(*_themen()),
        _beweis_themen,
        "wrong",
        "the softmax's inner sum runs over the documents instead of the topics",
        ("wrong-sum-axis",),
        ("z",),
        "        dz = self.theta * (dtheta - (self.theta * dtheta).sum(axis=0, keepdims=True))\n",
        "        dz = self.theta * (dtheta - (self.theta * dtheta).sum(axis=1, keepdims=True))\n",
    ),
    Stranger(
        "v: pointer-generator copy loss",
        "loss pair, backward takes the cache alone",
        lambda gl: gl.check_cached_pair(copy_loss, copy_loss_backward, _copy()),
        lambda: of_pair(copy_loss, copy_loss_backward, _copy(), loss=True),
    ),
    Stranger(
        "v: masked mean and maximum of a sentence in French",
        "layer avant/arriere, mask",
        lambda gl: gl.check_layer(*_phrase()),
        _preuve_phrase,
    ),
    Stranger(
        "v: highway layer: hands out its own buffer",
        "layer with d-attributes",
        lambda gl: gl.check_layer(Highway(4, 5), np.random.default_rng(11).normal(size=(4, 5))),
        lambda: [],
        "habit",
        "backward returns its own buffer, which the next call overwrites",
        ("aliases-memory",),
        ("x",),
    ),
    Stranger(
        "v: bag of embeddings: never sets its gradient to zero",
        "layer with d-attributes, ids",
        lambda gl: gl.check_layer(BagOfWords(7, 3), np.array([1, 4, 4, 0, 6]), np.array([0, 2])),
        lambda: [],
        "habit",
        "each backward adds to the table's gradient of the call before",
        ("accumulates",),
        ("table",),
    ),
]
