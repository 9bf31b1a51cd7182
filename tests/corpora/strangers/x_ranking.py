"""Ranking, recommenders, topics, words."""

import numpy as np
from scipy.special import expit, log_softmax, softmax

from ._entry import Stranger
from ._help_x import against


class ListMLE:
    """Plackett-Luce likelihood. order[b]: documents of query b, best first, length[b] of them real."""

    def forward(self, scores, order, length):
        ranked = np.take_along_axis(scores, order, axis=1)
        real = np.arange(scores.shape[1]) < length[:, None]
        ranked = np.where(real, ranked, -np.inf)
        tail = np.logaddexp.accumulate(ranked[:, ::-1], axis=1)[:, ::-1]
        self.ctx = ranked, real, tail, order
        return np.subtract(tail, ranked, out=np.zeros(real.shape), where=real).sum(axis=1).mean()

    def backward(self, dloss=1.0):
        ranked, real, tail, order = self.ctx
        grad = np.zeros(ranked.shape)
        for b in range(len(grad)):
            n = real[b].sum()
            for k in range(n):
                # document at rank k takes part in the choices 0..k
                grad[b, k] = np.exp(ranked[b, k] - tail[b, : k + 1]).sum() - 1
        out = np.empty_like(grad)
        np.put_along_axis(out, order, grad * dloss / len(grad), axis=1)
        return out


def _listmle():
    rng = np.random.default_rng(0)
    order = np.array([[2, 0, 1, 3, 4], [4, 3, 2, 1, 0], [0, 2, 4, 1, 3]])
    return rng.normal(size=(3, 5)), order, np.array([5, 3, 4])


def _prove_listmle():
    args, loss = _listmle(), ListMLE()
    loss.forward(*args)
    return against(lambda: loss.forward(*args), (loss.backward(), args[0]))


class GainCrossEntropy:
    """loss = -sum over queries of sum_d gain_d * log softmax(scores)_d, the gains as they are (2^rel - 1)."""

    def forward(self, scores, relevance):
        self.gain = 2.0**relevance - 1
        self.logp = log_softmax(scores, axis=1)
        return -np.sum(self.gain * self.logp)

    def backward(self):
        mass = self.gain.sum(axis=0, keepdims=True)
        return np.exp(self.logp) * mass - self.gain


def _gain():
    rng = np.random.default_rng(1)
    return rng.normal(size=(4, 6)), rng.integers(0, 4, size=(4, 6))


def _prove_gain():
    (s, r), loss = _gain(), GainCrossEntropy()
    loss.forward(s, r)
    return against(lambda: loss.forward(s, r), (loss.backward(), s))


class SVDpp:
    """r_ui = b_i + q_i . (p_u + |N(u)|^-1/2 sum of y_j over the history N(u))"""

    def __init__(self, users, items, k, seed=0):
        r = np.random.default_rng(seed)
        self.params = {
            "P": r.normal(size=(users, k)),
            "Q": r.normal(size=(items, k)),
            "Y": r.normal(size=(items, k)),
            "b": r.normal(size=items),
        }
        self.grads = {name: np.zeros_like(v) for name, v in self.params.items()}

    def forward(self, user, item, history):
        p = self.params
        self.idx = user, item, history
        self.norm = history.shape[1] ** -0.5
        self.taste = p["P"][user] + self.norm * p["Y"][history].sum(axis=1)
        self.q = p["Q"][item]
        return p["b"][item] + np.sum(self.q * self.taste, axis=1)

    def backward(self, dr):
        user, item, history = self.idx
        for g in self.grads.values():
            g.fill(0)
        dtaste = dr[:, None] * self.q
        np.add.at(self.grads["b"], item, dr)
        np.add.at(self.grads["Q"], item, dr[:, None] * self.taste)
        np.add.at(self.grads["P"], user, dtaste)
        self.grads["Y"][history] += self.norm * dtaste[:, None, :]


def _svdpp():
    history = np.array([[0, 2, 5], [5, 1, 3], [4, 0, 2], [5, 6, 1]])
    return np.array([0, 1, 1, 3]), np.array([3, 4, 1, 4]), history


def _prove_svdpp():
    net, args = SVDpp(4, 7, 3), _svdpp()
    g = np.array([0.5, -1.0, 2.0, 0.7])
    net.forward(*args)
    net.backward(g)
    return against(lambda: g @ net.forward(*args), *((net.grads[k], net.params[k]) for k in net.params))


class Parameter:
    def __init__(self, value):
        self.data, self.grad = value, np.zeros_like(value)


class BPR:
    """Bayesian personalised ranking, several negatives a positive; backward fills parameter.grad."""

    def __init__(self, users, items, dim, reg=0.02, rng=None):
        rng = rng or np.random.default_rng(5)
        self.U = Parameter(rng.normal(size=(users, dim)))
        self.V = Parameter(rng.normal(size=(items, dim)))
        self.bias = Parameter(0.1 * rng.normal(size=items))
        self.reg = reg

    def parameters(self):
        return [self.U, self.V, self.bias]

    def forward(self, user, pos, neg):
        u, V, b = self.U.data[user], self.V.data, self.bias.data
        diff = V[pos][:, None] - V[neg]
        self.margin = np.einsum("nd,nmd->nm", u, diff) + b[pos][:, None] - b[neg]
        self.saved = user, pos, neg, u, diff
        penalty = sum(np.sum(p.data**2) for p in self.parameters())
        return np.logaddexp(0, -self.margin).sum() + self.reg * penalty

    def backward(self):
        user, pos, neg, u, diff = self.saved
        slope = -expit(-self.margin)
        for p in self.parameters():
            p.grad = 2 * self.reg * p.data
        np.add.at(self.U.grad, user, np.einsum("nm,nmd->nd", slope, diff))
        pull = slope[..., None] * u[:, None]
        np.add.at(self.V.grad, pos, pull.sum(axis=1))
        np.subtract.at(self.V.grad, neg, pull)
        np.add.at(self.bias.grad, pos, slope.sum(axis=1))
        np.subtract.at(self.bias.grad, neg, slope)


def _bpr():
    return np.array([0, 1, 0, 2]), np.array([3, 0, 1, 3]), np.array([[1, 2], [2, 4], [4, 4], [0, 2]])


def _prove_bpr():
    net = BPR(3, 5, 3)
    net.forward(*_bpr())
    net.backward()
    return against(lambda: net.forward(*_bpr()), *((p.grad, p.data) for p in net.parameters()))


def _unit(z):
    n = np.sqrt((z * z).sum(axis=1, keepdims=True))
    return z / n, n


def two_tower(users, items, Wu, Wv, logq, temperature):
    """In-batch softmax with the logQ correction; row i clicked on item i."""
    (a, na), (c, nc) = _unit(users @ Wu), _unit(items @ Wv)
    cosine = a @ c.T
    scores = cosine / temperature - logq
    n = len(users)
    loss = -np.trace(log_softmax(scores, axis=1)) / n
    return loss, (users, items, Wu, Wv, temperature, a, na, c, nc, cosine, scores)


def two_tower_back(dloss, cache):
    users, items, Wu, Wv, temperature, a, na, c, nc, cosine, scores = cache
    n = len(users)
    ds = dloss * (softmax(scores, axis=1) - np.eye(n)) / n
    dcos = ds / temperature
    da, dc = dcos @ c, dcos.T @ a
    da = (da - a * (da * a).sum(axis=1, keepdims=True)) / na
    dc = (dc - c * (dc * c).sum(axis=1, keepdims=True)) / nc
    return {
        "logq": -ds.sum(axis=0),
        "temperature": -(ds * cosine).sum() / temperature**2,
        "users": da @ Wu.T,
        "Wu": users.T @ da,
        "items": dc @ Wv.T,
        "Wv": items.T @ dc,
    }


def _towers():
    r = np.random.default_rng(6)
    shapes = (5, 4), (5, 3), (4, 6), (3, 6), (5,)
    return (*(r.normal(size=s) for s in shapes), np.array(0.4))


def _prove_towers():
    args = _towers()
    g = two_tower_back(1.5, two_tower(*args)[1])
    order = "users", "items", "Wu", "Wv", "logq", "temperature"
    return against(lambda: 1.5 * two_tower(*args)[0], *zip((g[k] for k in order), args))


class Rescal:
    """Score of a fact (head, relation, tail): e_h' R_r e_t."""

    def __init__(self, entities=6, relations=2, dim=3):
        rng = np.random.default_rng(7)
        self.E = rng.normal(size=(entities, dim))
        self.R = rng.normal(size=(relations, dim, dim))

    def forward(self, facts):
        self.facts = facts
        h, r, t = facts.T
        return np.einsum("ni,nij,nj->n", self.E[h], self.R[r], self.E[t])

    def backward(self, dscore):
        h, r, t = self.facts.T
        eh, et, R = self.E[h], self.E[t], self.R[r]
        self.dE, self.dR = np.zeros_like(self.E), np.zeros_like(self.R)
        np.add.at(self.dR, r, np.einsum("n,ni,nj->nij", dscore, et, eh))
        np.add.at(self.dE, h, dscore[:, None] * np.einsum("nij,nj->ni", R, et))
        np.add.at(self.dE, t, dscore[:, None] * np.einsum("nij,ni->nj", R, eh))


FACTS = np.array([[0, 0, 1], [2, 1, 3], [4, 0, 5], [1, 1, 0], [3, 0, 2]])


def _prove_rescal():
    net, g = Rescal(), np.array([1.0, -0.4, 0.8, 2.0, -1.3])
    net.forward(FACTS)
    net.backward(g)
    return against(lambda: g @ net.forward(FACTS), (net.dR, net.R), (net.dE, net.E))


class _Affine:
    def __init__(self, W, b):
        self.W, self.b = W, b

    def forward(self, x):
        self.x = x
        return x @ self.W + self.b

    def backward(self, dout):
        self.dW, self.db = self.x.T @ dout, dout.sum(axis=0)
        return dout @ self.W.T


class ProdLDA:
    """토픽 모델: h -> softmax 토픽 비율 -> 단어의 로그 확률 -> 문서당 평균 손실"""

    def __init__(self, n_hidden, n_topics, vocabulary):
        rng = np.random.default_rng(8)
        self.encoder = _Affine(rng.normal(size=(n_hidden, n_topics)), rng.normal(size=n_topics))
        self.decoder = _Affine(rng.normal(size=(n_topics, vocabulary)), np.zeros(vocabulary))

    def forward(self, h, counts):
        self.theta = softmax(self.encoder.forward(h), axis=1)
        self.counts, self.logp = counts, log_softmax(self.decoder.forward(self.theta), axis=1)
        return -np.sum(counts * self.logp) / len(counts)

    def backward(self, dout=1):
        words = self.counts.sum(axis=1, keepdims=True)
        dlogits = dout * (words * np.exp(self.logp) - self.counts) / len(self.counts)
        dtheta = self.decoder.backward(dlogits)
        inner = np.sum(dtheta * self.theta, axis=1, keepdims=True)
        return self.encoder.backward(self.theta * (dtheta - inner))


def _lda():
    rng = np.random.default_rng(9)
    return rng.normal(size=(4, 5)), rng.poisson(0.8, size=(4, 9))


def _prove_lda():
    net, (h, counts) = ProdLDA(5, 3, 9), _lda()
    net.forward(h, counts)
    dh, layers = net.backward(), (net.encoder, net.decoder)
    claims = [(x.dW, x.W) for x in layers] + [(x.db, x.b) for x in layers]
    return against(lambda: net.forward(h, counts), (dh, h), *claims)


CLICKS = np.random.default_rng(10).poisson(1.5, size=(5, 4))


def poisson_mf(theta, beta, popularity):
    """Poisson factorisation of CLICKS, users x items, rates exp(theta beta' + popularity of the item)."""
    log_rate = theta @ beta.T + popularity
    return np.sum(np.exp(log_rate) - CLICKS * log_rate), (theta, beta, np.exp(log_rate))


def poisson_mf_grads(dout, cache):
    theta, beta, rate = cache
    e = dout * (rate - CLICKS)
    dtheta = e @ beta
    dbeta = e.T @ theta
    dpopularity = e
    return dtheta, dbeta, dpopularity


def _pmf():
    rng = np.random.default_rng(11)
    return 0.5 * rng.normal(size=(5, 2)), 0.5 * rng.normal(size=(4, 2)), 0.3 * rng.normal(size=4)


def _prove_pmf():
    args = _pmf()
    return against(lambda: poisson_mf(*args)[0], *zip(poisson_mf_grads(1.0, poisson_mf(*args)[1]), args))


class TrigramModel:
    """logits of the next word: T[word before last, last word]"""

    def __init__(self, V):
        self.T = np.random.default_rng(12).normal(size=(V, V, V))

    def forward(self, ids):
        before, last, nxt = ids[:, :-2], ids[:, 1:-1], ids[:, 2:]
        self.ids = before, last, nxt
        self.logp = log_softmax(self.T[before, last], axis=-1)
        return -np.take_along_axis(self.logp, nxt[..., None], axis=-1).mean()

    def backward(self):
        before, last, nxt = self.ids
        dlogits = np.exp(self.logp)
        dlogits[(*np.indices(nxt.shape), nxt)] -= 1
        self.dT = np.zeros_like(self.T)
        np.add.at(self.dT, (last, before), dlogits / nxt.size)


IDS = np.array([[0, 3, 1, 1, 4, 2], [2, 0, 3, 4, 0, 3]])


def _prove_trigram():
    net = TrigramModel(5)
    net.forward(IDS)
    net.backward()
    return against(lambda: net.forward(IDS), (net.dT, net.T))


def davidson(packed, home, away, result):
    """Bradley-Terry with draws (Davidson) and home advantage; packed = strengths, advantage, log nu.

    result 0, 1, 2: home win, draw, away win.
    """
    strength, advantage, log_nu = packed[:-2], packed[-2], packed[-1]
    a, b = strength[home] + advantage, strength[away]
    logits = np.stack([a, log_nu + 0.5 * (a + b), b], axis=1)
    logp = log_softmax(logits, axis=1)
    nll = -logp[np.arange(len(result)), result].sum()
    resid = np.exp(logp) - np.eye(3)[result]
    grad = np.zeros_like(packed)
    teams, rest = grad[:-2], grad[-2:]
    to_home, to_away = resid @ [1, 0.5, 0], resid @ [0, 0.5, 1]
    teams += np.bincount(home, to_home, len(teams)) + np.bincount(away, to_away, len(teams))
    rest += to_home.sum(), resid[:, 1].sum()
    return nll, grad


def _league():
    home, away = np.array([0, 1, 2, 3, 0, 2, 1]), np.array([1, 2, 3, 0, 2, 1, 3])
    return np.array([0.4, -0.2, 0.1, -0.3, 0.25, -0.5]), home, away, np.array([0, 1, 2, 0, 1, 0, 2])


def _prove_league():
    x, *rest = _league()
    return against(lambda: davidson(x, *rest)[0], (davidson(x, *rest)[1], x))


ENTRIES = [
    Stranger(
        "ListMLE with padding",
        "loss layer with orders and lengths",
        lambda gradlab: gradlab.check_layer(ListMLE(), *_listmle()),
        _prove_listmle,
    ),
    Stranger(
        "cross-entropy with gains: gains summed over the queries",
        "loss layer, backward without arguments",
        lambda gradlab: gradlab.check_layer(GainCrossEntropy(), *_gain()),
        _prove_gain,
        "wrong",
        "the gains are summed over the queries, not over the documents of a query",
        ("wrong-sum-axis",),
        ("scores",),
        "self.gain.sum(axis=0, keepdims=True)",
        "self.gain.sum(axis=1, keepdims=True)",
    ),
    Stranger(
        "SVD++: repeats in the histories are lost",
        "layer with ids, params and grads in dicts",
        lambda gradlab: gradlab.check_layer(SVDpp(4, 7, 3), *_svdpp()),
        _prove_svdpp,
        "wrong",
        "+= with an index adds only once for an item that several histories hold",
        ("last-write-wins",),
        ("Y",),
        '        self.grads["Y"][history] += self.norm * dtaste[:, None, :]\n',
        '        np.add.at(self.grads["Y"], history, self.norm * dtaste[:, None, :])\n',
    ),
    Stranger(
        "BPR",
        "loss, parameter objects with data and grad",
        lambda gradlab: gradlab.check_layer(BPR(3, 5, 3), *_bpr()),
        _prove_bpr,
    ),
    Stranger(
        "two-tower model, in-batch softmax",
        "pair with cache, dict of gradients in another order",
        lambda gradlab: gradlab.check_cached_pair(two_tower, two_tower_back, _towers()),
        _prove_towers,
    ),
    Stranger(
        "RESCAL: the relation's matrix transposed",
        "layer with ids, attributes E, R, dE, dR",
        lambda gradlab: gradlab.check_layer(Rescal(), FACTS),
        _prove_rescal,
        "wrong",
        "the outer product of tail and head, not of head and tail",
        ("transposed",),
        ("R",),
        "dscore, et, eh))",
        "dscore, eh, et))",
    ),
    Stranger(
        "ProdLDA",
        "loss of modules in a module",
        lambda gradlab: gradlab.check_layer(ProdLDA(5, 3, 9), *_lda()),
        _prove_lda,
    ),
    Stranger(
        "Poisson factorisation: popularity not summed over the users",
        "pair with cache, loss",
        lambda gradlab: gradlab.check_cached_pair(poisson_mf, poisson_mf_grads, _pmf()),
        _prove_pmf,
        "wrong",
        "the popularity is added to every user's row, and its gradient is not summed over them",
        ("missing-broadcast-sum", "wrong-shape"),
        ("popularity",),
        "    dpopularity = e\n",
        "    dpopularity = e.sum(axis=0)\n",
    ),
    Stranger(
        "trigram model: first two axes exchanged",
        "loss layer with ids, attributes T and dT",
        lambda gradlab: gradlab.check_layer(TrigramModel(5), IDS),
        _prove_trigram,
        "wrong",
        "the last word and the one before it are exchanged as indices of the gradient",
        ("axes-permuted", "transposed"),
        ("T",),
        "(last, before)",
        "(before, last)",
    ),
    Stranger(
        "football league with draws",
        "value and gradient through views, jac=True",
        lambda gradlab: gradlab.check_gradient(davidson, True, _league()[0], args=_league()[1:]),
        _prove_league,
    ),
]
