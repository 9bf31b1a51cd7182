"""Recommenders, ranking losses, topic models."""

from dataclasses import dataclass, field

import numpy as np
from scipy.special import expit, log_expit, softmax

from ._entry import Stranger
from ._help_tb import draw, of_pair, slope

# --- Bayesian personalised ranking


@dataclass
class Table:
    value: np.ndarray
    grad: np.ndarray = field(init=False)

    def __post_init__(self):
        self.grad = np.zeros_like(self.value)

    def zero(self):
        self.grad = np.zeros_like(self.value)


class BPR:
    """Mean loss of the triples (user, seen item, unseen item), with weight decay on what was looked up."""

    def __init__(self, n_users, n_items, k, reg=0.05):
        rng = np.random.default_rng(31)
        self.users = Table(rng.normal(size=(n_users, k)))
        self.items = Table(rng.normal(size=(n_items, k)))
        self.bias = Table(rng.normal(size=n_items))
        self.reg = reg

    def params(self):
        return [self.users, self.items, self.bias]

    def forward(self, u, pos, neg):
        self.idx = u, pos, neg
        self.U, self.A, self.B = self.users.value[u], self.items.value[pos], self.items.value[neg]
        self.x = (self.U * (self.A - self.B)).sum(1) + self.bias.value[pos] - self.bias.value[neg]
        decay = self.reg / 2 * ((self.U**2).sum() + (self.A**2).sum() + (self.B**2).sum())
        return (decay - log_expit(self.x).sum()) / len(u)

    def backward(self, dout=1.0):
        for t in self.params():
            t.zero()
        u, pos, neg = self.idx
        s = dout / len(u)
        dx = -expit(-self.x)[:, None] * s
        r = self.reg * s
        np.add.at(self.users.grad, u, dx * (self.A - self.B) + r * self.U)
        np.add.at(self.items.grad, pos, dx * self.U + r * self.A)
        np.add.at(self.items.grad, neg, -dx * self.U + r * self.B)
        np.add.at(self.bias.grad, pos, dx[:, 0])
        np.subtract.at(self.bias.grad, neg, dx[:, 0])


def triples():
    u, pos, neg = np.array([[0, 2, 2, 4, 0, 1], [1, 3, 0, 6, 1, 5], [2, 2, 5, 1, 4, 0]])
    return BPR(5, 7, 3), u, pos, neg


def prove_bpr():
    m, *idx = triples()
    m.forward(*idx)
    m.backward()
    return [(t.grad.copy(), slope(lambda: m.forward(*idx), t.value)) for t in m.params()]


# --- matrix factorisation with biases


class FunkSVD:
    def __init__(self, users, items, rank):
        rng = np.random.default_rng(32)
        self.params = {
            "P": 0.5 * rng.normal(size=(users, rank)),
            "Q": 0.5 * rng.normal(size=(items, rank)),
            "bu": rng.normal(size=users),
            "bi": rng.normal(size=items),
        }
        self.grads = {}

    def forward(self, u, i):
        p = self.params
        self.u, self.i = u, i
        return np.einsum("nk,nk->n", p["P"][u], p["Q"][i]) + p["bu"][u] + p["bi"][i] + 3.5

    def backward(self, dpred):
        p = self.params
        g = {k: np.zeros_like(v) for k, v in p.items()}
        np.add.at(g["P"], self.u, dpred[:, None] * p["Q"][self.i])
        np.add.at(g["Q"], self.i, dpred[:, None] * p["P"][self.u])
        g["bu"][self.u] += dpred
        np.add.at(g["bi"], self.i, dpred)
        self.grads = g


def ratings():
    return FunkSVD(4, 5, 2), np.array([0, 1, 1, 3, 0, 2, 1]), np.array([4, 2, 0, 2, 1, 3, 3])


def prove_dicts(m, *x):
    g = draw(np.shape(m.forward(*x)))
    m.backward(g)
    seen = m.grads
    return [(seen[k], slope(lambda: np.sum(g * m.forward(*x)), m.params[k])) for k in m.params]


# --- ListMLE


def listmle(scores, order):
    """Plackett-Luce likelihood of `order`, best first. -> loss, dscores"""
    s = scores[order]
    top = s.max()
    tails = np.cumsum(np.exp(s - top)[::-1])[::-1]
    loss = np.sum(np.log(tails) + top - s)
    ds = np.exp(s - top) * np.cumsum(1 / tails) - 1
    d = np.empty_like(scores)
    d[order] = ds
    return loss, d


def listing():
    rng = np.random.default_rng(33)
    return rng.normal(size=9), rng.permutation(9)


# --- RankNet


def ranknet(s, relevance, sigma=1.0):
    better = relevance[:, None] > relevance[None, :]
    diff = s[:, None] - s[None, :]
    loss = np.logaddexp(0, -sigma * diff)[better].sum()
    lam = sigma * expit(-sigma * diff) * better
    return loss, lam.sum(axis=1) - lam.sum(axis=0)


def judged():
    return np.random.default_rng(34).normal(size=8), np.array([3, 0, 2, 1, 0, 2, 0, 1]), 1.2


# --- factorisation machine


class FactorizationMachine:
    def __init__(self, n, k):
        rng = np.random.default_rng(35)
        self.w0, self.w, self.V = np.array([0.2]), rng.normal(size=n), 0.4 * rng.normal(size=(n, k))

    def get_params(self):
        return [self.w0, self.w, self.V]

    def forward(self, X):
        self.X = X
        self.XV = X @ self.V
        cross = 0.5 * (self.XV**2 - X**2 @ self.V**2).sum(1)
        return self.w0 + X @ self.w + cross

    def backward(self, dy):
        X, V = self.X, self.V
        dXV = dy[:, None] * self.XV
        self.grads = [dy.sum(keepdims=True), X.T @ dy, X.T @ dXV - (X**2).T @ dy[:, None] * V]
        return np.outer(dy, self.w) + dXV @ V.T - dy[:, None] * X * (V**2).sum(1)


def prove_fm():
    m, X = FactorizationMachine(6, 3), draw((5, 6), 7)
    g = draw(5)
    m.forward(X)
    dX = m.backward(g)
    value = lambda: np.sum(g * m.forward(X))  # noqa: E731
    kept = m.grads
    return [(dX, slope(value, X))] + [(a, slope(value, p)) for a, p in zip(kept, m.get_params(), strict=True)]


# --- item-item weights without self-loops


class Slim:
    """Reconstructs the row of a user from the other items: nothing may explain itself."""

    def __init__(self, n_items):
        self.B = np.random.default_rng(36).normal(size=(n_items, n_items)) * 0.3
        self.off = ~np.eye(n_items, dtype=bool)
        self.dB = None

    def forward(self, X):
        self.X = X
        return X @ (self.B * self.off)

    def backward(self, dS):
        self.dB = self.X.T @ dS
        return dS @ (self.B * self.off).T


def prove_slim():
    m, X = Slim(5), draw((7, 5), 8)
    g = draw((7, 5))
    m.forward(X)
    dX = m.backward(g)
    dB = m.dB
    value = lambda: np.sum(g * m.forward(X))  # noqa: E731
    return [(dX, slope(value, X)), (dB, slope(value, m.B))]


# --- NMF, Kullback-Leibler

SMALL = 0.01


def nmf_kl(W, H, V):
    R = W @ H
    kl = np.sum(V * np.log((V + SMALL) / (R + SMALL)) - V + R)
    return kl, dict(W=W, H=H, V=V, R=R)


def nmf_kl_grads(dkl, c):
    ratio = c["V"] / c["R"]
    E = dkl * (1 - ratio)
    return E @ c["H"].T, c["W"].T @ E


def spectra():
    rng = np.random.default_rng(37)
    return rng.random((5, 2)) + 0.1, rng.random((2, 6)) + 0.1, rng.poisson(1.0, (5, 6)).astype(int)


# --- pLSA


class PLSA:
    """Documents x words counts; theta and phi by softmax from free logits, all in one flat vector."""

    def __init__(self, counts, topics):
        self.N, self.K = counts, topics
        self.D, self.V = counts.shape

    def split(self, p):
        cut = self.D * self.K
        return p[:cut].reshape(self.D, self.K), p[cut:].reshape(self.K, self.V)

    def perplexity_log(self, p):
        a, b = self.split(p)
        return -np.sum(self.N * np.log(softmax(a, 1) @ softmax(b, 1))) / self.N.sum()

    def perplexity_log_grad(self, p):
        theta, phi = (softmax(z, 1) for z in self.split(p))
        R = -self.N / (theta @ phi) / self.N.sum()
        # expected counts of (d, k) and of (k, w); both softmax Jacobians collapse
        dk, kw = theta * (R @ phi.T), phi * (theta.T @ R)
        ga = dk - theta * dk.sum(1, keepdims=True)
        gb = kw - phi * kw.sum(1, keepdims=True)
        return np.concatenate([ga.ravel(), gb.ravel()])


def corpus():
    rng = np.random.default_rng(38)
    return PLSA(rng.poisson(2.0, (4, 7)), 3), rng.normal(size=4 * 3 + 3 * 7)


def prove_plsa():
    m, p = corpus()
    return [(m.perplexity_log_grad(p), slope(lambda: m.perplexity_log(p), p))]


# --- item2vec with negative samples


def item2vec_forward(centre, context, negatives):
    """centre (n, d), context (n, d), negatives (n, m, d) -> loss of each pair (n,)"""
    pos = np.einsum("nd,nd->n", centre, context)
    neg = np.einsum("nd,nmd->nm", centre, negatives)
    return -log_expit(pos) - log_expit(-neg).sum(1), (centre, context, negatives, pos, neg)


def item2vec_backward(dloss, cache):
    centre, context, negatives, pos, neg = cache
    dpos = -expit(-pos) * dloss
    dneg = expit(neg)
    dcentre = dpos[:, None] * context + np.einsum("nm,nmd->nd", dneg, negatives)
    return dcentre, dpos[:, None] * centre, dneg[:, :, None] * centre[:, None]


def sessions():
    rng = np.random.default_rng(39)
    return [rng.normal(size=s) for s in ((4, 3), (4, 3), (4, 5, 3))]


# --- approximate NDCG


def approx_ndcg(gain, temperature=0.7):
    """Closures f, df over the scores; ranks by sigmoids of the score differences."""
    ideal = np.sum(np.sort(gain)[::-1] / np.log2(np.arange(len(gain)) + 2))

    def soft_ranks(s):
        P = expit((s[None, :] - s[:, None]) / temperature)
        return 0.5 + P.sum(1), P * (1 - P) / temperature

    def f(s):
        rank, _ = soft_ranks(s)
        return 1 - np.sum(gain / np.log2(1 + rank)) / ideal

    def df(s):
        rank, slopes = soft_ranks(s)
        drank = gain * np.log(2) / (np.log(1 + rank) ** 2 * (1 + rank)) / ideal
        return slopes.T @ drank - slopes.sum(1) * drank

    return f, df


def serp():
    rng = np.random.default_rng(40)
    return approx_ndcg(2.0 ** rng.integers(0, 4, 10) - 1), rng.normal(size=10)


def prove_ndcg():
    (f, df), s = serp()
    return [(df(s), slope(lambda: f(s), s))]


def prove_value_and_grad(f, x, *a):
    return [(f(x, *a)[1], slope(lambda: f(x, *a)[0], x))]


ENTRIES = [
    Stranger(
        "tb bpr with repeated items and weight decay",
        "layer with parameter objects and integer inputs",
        lambda gl: (lambda m, *i: gl.check_layer(m, *i))(*triples()),
        prove_bpr,
    ),
    Stranger(
        "tb funk svd: repeated users lost in the bias",
        "layer with dict gradients and integer inputs",
        lambda gl: (lambda m, *i: gl.check_layer(m, *i))(*ratings()),
        lambda: prove_dicts(*ratings()),
        "wrong",
        "fancy-indexed += keeps only the last of a user's repeats",
        ("last-write-wins",),
        ("bu",),
        '        g["bu"][self.u] += dpred\n',
        '        np.add.at(g["bu"], self.u, dpred)\n',
    ),
    Stranger(
        "tb listmle",
        "value and gradient with args",
        lambda gl: (lambda s, o: gl.check_gradient(listmle, True, s, args=(o,)))(*listing()),
        lambda: prove_value_and_grad(listmle, *listing()),
    ),
    Stranger(
        "tb ranknet: pushed the wrong way",
        "value and gradient with args",
        lambda gl: (lambda s, *a: gl.check_gradient(ranknet, True, s, args=a))(*judged()),
        lambda: prove_value_and_grad(ranknet, *judged()),
        "wrong",
        "the lambdas have the wrong sign: ascent instead of the loss's gradient",
        ("sign-flipped",),
        ("ranknet", "grad", "x", "s"),
        "    return loss, lam.sum(axis=1) - lam.sum(axis=0)\n",
        "    return loss, lam.sum(axis=0) - lam.sum(axis=1)\n",
    ),
    Stranger(
        "tb factorisation machine",
        "layer with a list of gradients",
        lambda gl: gl.check_layer(FactorizationMachine(6, 3), draw((5, 6), 7)),
        prove_fm,
    ),
    Stranger(
        "tb slim: diagonal not masked in the weights' gradient",
        "layer with a parameter attribute",
        lambda gl: gl.check_layer(Slim(5), draw((7, 5), 8)),
        prove_slim,
        "wrong",
        "the diagonal that forward masks out gets a gradient",
        ("masked-region",),
        ("B",),
        "        self.dB = self.X.T @ dS\n",
        "        self.dB = (self.X.T @ dS) * self.off\n",
    ),
    Stranger(
        "tb nmf with kullback-leibler: no epsilon in the ratio",
        "loss with dict cache",
        lambda gl: gl.check_cached_pair(nmf_kl, nmf_kl_grads, spectra()),
        lambda: of_pair(nmf_kl, nmf_kl_grads, spectra(), (0, 1)),
        "wrong",
        "forward's epsilon below the logarithm is left out of the quotient",
        ("epsilon-mismatch",),
        ("W", "H"),
        '    ratio = c["V"] / c["R"]\n',
        '    ratio = c["V"] / (c["R"] + SMALL)\n',
    ),
    Stranger(
        "tb plsa from free logits",
        "object with two methods over a flat vector",
        lambda gl: (lambda m, p: gl.check_gradient(m.perplexity_log, m.perplexity_log_grad, p))(*corpus()),
        prove_plsa,
    ),
    Stranger(
        "tb item2vec: the negatives without the cotangent",
        "pair with cache",
        lambda gl: gl.check_cached_pair(item2vec_forward, item2vec_backward, sessions()),
        lambda: of_pair(item2vec_forward, item2vec_backward, sessions(), (0, 1, 2)),
        "wrong",
        "the gradient of the negative scores is not multiplied by dloss",
        ("ignores-cotangent",),
        ("negatives", "centre"),
        "    dneg = expit(neg)\n",
        "    dneg = expit(neg) * dloss[:, None]\n",
    ),
    Stranger(
        "tb approximate ndcg",
        "closures f and df",
        lambda gl: (lambda fs, s: gl.check_gradient(*fs, s))(*serp()),
        prove_ndcg,
    ),
]
