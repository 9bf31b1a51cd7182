"""Words, users and graphs."""

from typing import NamedTuple

import numpy as np
from scipy.special import expit, log_softmax, logsumexp, softmax

from . import _help_j as hj
from ._entry import Stranger


# --- matrix factorisation, everything in one vector -----------------------------------------------
class Ratings:
    def __init__(self, n_users, n_items, k, triples, reg=0.1):
        self.shape = n_users, n_items, k
        u, i, r = zip(*triples)
        self.u, self.i, self.r = np.array(u), np.array(i), np.array(r, float)
        self.reg = reg

    def unpack(self, theta):
        U, I, k = self.shape
        P, theta = theta[: U * k].reshape(U, k), theta[U * k :]
        Q, theta = theta[: I * k].reshape(I, k), theta[I * k :]
        return P, Q, theta[:U], theta[U:]

    def fun(self, theta):
        P, Q, bu, bi = self.unpack(theta)
        e = np.sum(P[self.u] * Q[self.i], 1) + bu[self.u] + bi[self.i] - self.r
        value = 0.5 * e @ e + 0.5 * self.reg * theta @ theta
        gP, gQ, gbu, gbi = (self.reg * a for a in (P, Q, bu, bi))
        np.add.at(gP, self.u, e[:, None] * Q[self.i])
        np.add.at(gQ, self.i, e[:, None] * P[self.u])
        np.add.at(gbu, self.u, e)
        np.add.at(gbi, self.i, e)
        return value, np.concatenate([gP.ravel(), gQ.ravel(), gbu, gbi])


TRIPLES = [(0, 1, 4), (0, 2, 3), (1, 0, 5), (2, 1, 1), (2, 3, 2), (1, 3, 4)]


# --- skip-gram with negative samples --------------------------------------------------------------
def sgns_forward(centre, context, labels):
    """centre (n, d), context (n, m, d), labels (n, m) of 0 and 1; a loss for every couple of words"""
    score = np.einsum("nd,nmd->nm", centre, context)
    loss = np.logaddexp(0, score) - labels * score
    return loss, (centre, context, expit(score) - labels)


def sgns_backward(dloss, cache):
    centre, context, delta = cache
    d_centre = np.einsum("nm,nmd->nd", delta, context)
    d_context = delta[:, :, None] * centre[:, None, :]
    return d_centre, d_context


# --- GloVe ----------------------------------------------------------------------------------------
COOC = np.array([[0, 3.0, 1, 0], [3, 0, 7, 2], [1, 7, 0, 20], [0, 2, 20, 0]])


def glove(W, b):
    i, j = np.nonzero(COOC)
    x = COOC[i, j]
    f = np.minimum(1, (x / 10) ** 0.75)
    e = np.sum(W[i] * W[j], 1) + b[i] + b[j] - np.log(x)
    return np.sum(f * e**2), (W, i, j, f * e)


def glove_back(dout, cache):
    W, i, j, fe = cache
    E = np.zeros((len(W), len(W)))
    E[i, j] = 2 * dout * fe
    E = E + E.T
    return {"W": E @ W, "b": E.sum(1)}


# --- label smoothing ------------------------------------------------------------------------------
class SmoothedNLL:
    def __init__(self, eps=0.1):
        self.eps = eps

    def __call__(self, logits, target):
        n, k = logits.shape
        self.q = np.full((n, k), self.eps / k)
        self.q[np.arange(n), target] += 1 - self.eps
        self.logp = log_softmax(logits, axis=1)
        return -(self.q * self.logp).sum() / n

    def backward(self):
        n = len(self.q)
        diff = (np.exp(self.logp) - self.q) / n
        return diff / n


# --- linear-chain CRF -----------------------------------------------------------------------------
def crf_nll(emit, trans, tags):
    T, K = emit.shape
    alpha = np.zeros((T, K))
    alpha[0] = emit[0]
    for t in range(1, T):
        alpha[t] = emit[t] + logsumexp(alpha[t - 1][:, None] + trans, axis=0)
    beta = np.zeros((T, K))
    for t in range(T - 2, -1, -1):
        beta[t] = logsumexp(trans + (emit[t + 1] + beta[t + 1])[None, :], axis=1)
    logZ = logsumexp(alpha[-1])
    score = emit[np.arange(T), tags].sum() + trans[tags[:-1], tags[1:]].sum()
    return logZ - score, dict(alpha=alpha, beta=beta, logZ=logZ, emit=emit, trans=trans, tags=tags)


def crf_nll_back(dnll, m):
    T = len(m["emit"])
    de = np.exp(m["alpha"] + m["beta"] - m["logZ"])
    dt = np.zeros_like(m["trans"])
    for t in range(1, T):
        right = m["emit"][t] + m["beta"][t]
        dt += np.exp(m["alpha"][t - 1][:, None] + m["trans"] + right - m["logZ"])
    de[np.arange(T), m["tags"]] -= 1
    np.add.at(dt, (m["tags"][:-1], m["tags"][1:]), -1)
    return dnll * de, dnll * dt


# --- topics: each word's distribution over topics -------------------------------------------------
class TopicMixture:
    """log-likelihood of word counts; logits of topics per document (axis 1), topics fixed"""

    def __init__(self, counts, topics):
        self.counts, self.topics = counts, topics

    def loss(self, logits):
        theta = softmax(logits, axis=1)
        return -np.sum(self.counts * np.log(theta @ self.topics))

    def grad(self, logits):
        theta = softmax(logits, axis=1)
        dtheta = -(self.counts / (theta @ self.topics)) @ self.topics.T
        return theta * (dtheta - np.sum(theta * dtheta, axis=0))


# --- soft dynamic time warping --------------------------------------------------------------------
def soft_dtw(x, y, gamma=0.5):
    n, m = len(x), len(y)
    D = (x[:, None] - y[None, :]) ** 2
    R = np.full((n + 2, m + 2), np.inf)
    R[0, 0] = 0
    for i in range(1, n + 1):
        for j in range(1, m + 1):
            R[i, j] = D[i - 1, j - 1] - gamma * logsumexp(
                -np.array([R[i - 1, j - 1], R[i - 1, j], R[i, j - 1]]) / gamma
            )
    E = np.zeros((n + 2, m + 2))
    E[n, m] = 1
    for i in range(n, 0, -1):
        for j in range(m, 0, -1):
            for a, b in ((i + 1, j), (i, j + 1), (i + 1, j + 1)):
                if a <= n and b <= m:
                    E[i, j] += E[a, b] * np.exp((R[a, b] - R[i, j] - D[a - 1, b - 1]) / gamma)
    return R[n, m], 2 * np.sum(E[1:-1, 1:-1] * (x[:, None] - y[None, :]), axis=1)


# --- hubs and authorities, two outputs ------------------------------------------------------------
def hits(links, hub):
    """one round: authorities = links' hub, hubs = links authorities, both scaled softly"""
    auth = np.tanh(links.T @ hub)
    new = np.tanh(links @ auth)
    return auth, new, (links, hub, auth, new)


def hits_back(d_auth, d_new, cache):
    links, hub, auth, new = cache
    z = d_new * (1 - new**2)
    a = (d_new + links.T @ z) * (1 - auth**2)
    return np.outer(z, auth) + np.outer(hub, a), links @ a


# --- gravity of words in the Poincare ball --------------------------------------------------------
class Ball(NamedTuple):
    u: np.ndarray
    v: np.ndarray
    a: float
    b: float
    d2: float
    z: float


def poincare(u, v):
    a, b = 1 - u @ u, 1 - v @ v
    d2 = (u - v) @ (u - v)
    z = 1 + 2 * d2 / (a * b)
    return np.arccosh(z), Ball(u, v, a, b, d2, z)


def poincare_back(res, g):
    dz = g / np.sqrt(res.z**2 - 1)
    dd = 2 / (res.a * res.b) * dz
    w = res.u - res.v
    gu = dd * (2 * w + 2 * res.d2 / res.a * res.u)
    gv = dd * (-2 * w + 2 * res.d2 / res.b * res.v)
    return gu, gv


# --- TransE with a soft margin --------------------------------------------------------------------
class TransE:
    def __init__(self, ent, rel):
        self.params = [ent, rel]
        self.grads = [np.zeros_like(ent), np.zeros_like(rel)]

    def forward(self, triples):
        self.h, self.r, self.t = triples.T
        E, R = self.params
        self.diff = E[self.h] + R[self.r] - E[self.t]
        return np.sum(self.diff**2, axis=1)

    def backward(self, dout):
        d = 2 * self.diff * dout[:, None]
        gE, gR = np.zeros_like(self.params[0]), np.zeros_like(self.params[1])
        np.add.at(gE, self.h, d)
        np.add.at(gE, self.t, -d)
        np.add.at(gR, self.r, d)
        self.grads[0][...] = gE
        self.grads[1][...] = gR


def _transe():
    g = np.random.default_rng(31)
    return TransE(g.normal(size=(5, 3)), g.normal(size=(2, 3)))


def _transe_proof():
    net, ids = _transe(), np.array([[0, 1, 2], [2, 0, 4], [0, 0, 3]])
    c = np.random.default_rng(1).normal(size=3)
    net.forward(ids)
    net.backward(c)
    return [(g.copy(), hj.slope(lambda: c @ net.forward(ids), p)) for g, p in zip(net.grads, net.params)]


# --- smoothing over a graph, with a tape ----------------------------------------------------------
class Diffusion:
    """x <- x - 0.2 L tanh(x), three times; every step is noted on the tape"""

    def __init__(self, adj):
        self.L = np.diag(adj.sum(1)) - adj

    def forward(self, x):
        self.tape = []
        for _ in range(3):
            self.tape.append(np.tanh(x))
            x = x - 0.2 * self.L @ self.tape[-1]
        return x

    def backward(self, g):
        while self.tape:
            t = self.tape.pop()
            g = g - 0.2 * (1 - t**2) * (self.L.T @ g)
        return g


_g = np.random.default_rng(17)
_THETA = _g.normal(0, 0.7, 3 * 2 + 4 * 2 + 3 + 4)
_SG = (_g.normal(size=(3, 4)), _g.normal(size=(3, 2, 4)), np.array([[1, 0], [1, 0], [0, 1]]))
_GV = (_g.normal(0, 0.8, (4, 3)), _g.normal(0, 0.5, 4))
_LOGITS, _TARGET = _g.normal(size=(4, 5)), np.array([0, 3, 1, 3])
_CRF = (_g.normal(size=(5, 3)), _g.normal(size=(3, 3)), np.array([0, 2, 2, 1, 0]))
_TOPIC = (_g.integers(1, 6, (3, 6)).astype(float), softmax(_g.normal(size=(3, 6)), axis=1))
_TL = _g.normal(size=(3, 3))
_LINKS = (_g.uniform(0, 0.6, (4, 4)), np.array([0.5, 1.0, 0.2, 0.7]))
_UV = (np.array([0.3, -0.2, 0.1]), np.array([-0.1, 0.5, 0.4]))
_Y = np.array([0.1, 1.0, 0.4, -0.2, 0.3])
_ADJ = np.array([[0, 1, 0, 0.5], [1, 0, 1, 0], [0, 1, 0, 1], [0.5, 0, 1, 0]])

ENTRIES = [
    Stranger(
        "Ratings, factors and biases in one vector",
        "value and gradient, bound method",
        lambda gl: gl.check_gradient(Ratings(3, 4, 2, TRIPLES).fun, True, _THETA.copy()),
        lambda: hj.both(Ratings(3, 4, 2, TRIPLES).fun, _THETA),
    ),
    Stranger(
        "Skip-gram with negative samples: the losses' cotangent unused",
        "pair with cache",
        lambda gl: gl.check_cached_pair(sgns_forward, sgns_backward, tuple(a.copy() for a in _SG)),
        lambda: hj.pair(sgns_forward, sgns_backward, _SG, wrt=(0, 1)),
        "wrong",
        "dloss is not multiplied in",
        ("ignores-cotangent",),
        ("centre", "context"),
        '    d_centre = np.einsum("nm,nmd->nd", delta, context)\n'
        "    d_context = delta[:, :, None] * centre[:, None, :]\n",
        "    delta = dloss * delta\n"
        '    d_centre = np.einsum("nm,nmd->nd", delta, context)\n'
        "    d_context = delta[:, :, None] * centre[:, None, :]\n",
    ),
    Stranger(
        "GloVe with one matrix for both roles",
        "pair with cache, dict of gradients",
        lambda gl: gl.check_cached_pair(glove, glove_back, (_GV[0].copy(), _GV[1].copy())),
        lambda: hj.pair(glove, glove_back, _GV, keys="Wb"),
    ),
    Stranger(
        "Smoothed labels: divided by the batch twice",
        "callable loss",
        lambda gl: gl.check_layer(SmoothedNLL(), _LOGITS.copy(), _TARGET.copy()),
        lambda: hj.loss(SmoothedNLL, _LOGITS, _TARGET, call=lambda c, *a: c(*a)),
        "wrong",
        "divided by the batch's size twice",
        ("constant-factor",),
        ("logits",),
        "        return diff / n\n",
        "        return diff\n",
    ),
    Stranger(
        "Linear-chain CRF",
        "pair with a dict as its cache",
        lambda gl: gl.check_cached_pair(crf_nll, crf_nll_back, tuple(a.copy() for a in _CRF)),
        lambda: hj.pair(crf_nll, crf_nll_back, _CRF, wrt=(0, 1)),
    ),
    Stranger(
        "Topic mixture: softmax goes back over the other axis",
        "bound methods of a class",
        lambda gl: gl.check_gradient(*hj.methods(TopicMixture(*_TOPIC), "loss", "grad"), _TL.copy()),
        lambda: hj.scalar(*hj.methods(TopicMixture(*_TOPIC), "loss", "grad"), _TL),
        "wrong",
        "the softmax's sum runs over the documents and not over the topics",
        ("wrong-sum-axis",),
        ("logits",),
        "        return theta * (dtheta - np.sum(theta * dtheta, axis=0))\n",
        "        return theta * (dtheta - np.sum(theta * dtheta, axis=1, keepdims=True))\n",
    ),
    Stranger(
        "Soft dynamic time warping",
        "value and gradient with args",
        lambda gl: gl.check_gradient(soft_dtw, True, _GV[1].copy(), args=(_Y,)),
        lambda: hj.both(soft_dtw, _GV[1], _Y),
    ),
    Stranger(
        "Hubs and authorities: one output's cotangent for both",
        "pair with two outputs",
        lambda gl: gl.check_cached_pair(hits, hits_back, (_LINKS[0].copy(), _LINKS[1].copy())),
        lambda: hj.pair(hits, hits_back, _LINKS, spread=True),
        "wrong",
        "the cotangent of the hubs is added where that of the authorities belongs",
        ("wrong-cotangent",),
        ("links", "hub"),
        "    a = (d_new + links.T @ z) * (1 - auth**2)\n",
        "    a = (d_auth + links.T @ z) * (1 - auth**2)\n",
    ),
    Stranger(
        "Poincare distance, as functions",
        "vjp with a NamedTuple",
        lambda gl: gl.check_vjp(poincare, poincare_back, (_UV[0].copy(), _UV[1].copy())),
        lambda: hj.vjp(poincare, poincare_back, *_UV),
    ),
    Stranger(
        "TransE scores of triples",
        "layer with lists, ids as input",
        lambda gl: gl.check_layer(_transe(), np.array([[0, 1, 2], [2, 0, 4], [0, 0, 3]])),
        _transe_proof,
    ),
    Stranger(
        "Diffusion on a graph: backward eats the tape",
        "layer",
        lambda gl: gl.check_layer(Diffusion(_ADJ), _LINKS[0].copy()),
        lambda: [],
        "habit",
        "backward pops the tape: a second one gives the cotangent back",
        ("stale-residuals",),
        ("x",),
    ),
]
