"""Sports ratings, ranking, marketing, metric learning."""

import itertools

import numpy as np
from scipy.special import expit, log_ndtr, logsumexp, ndtr  # noqa: F401 (the mended line takes it)

from ._entry import Stranger
from ._help_p import jacobian, pairs


class DavidsonTies:
    """Bradley-Terry with draws: x = (ratings, log nu); result 0 home wins, 1 away wins, 2 draw."""

    def __init__(self, home, away, result, n_teams):
        self.home, self.away, self.n = home, away, n_teams
        self.hit = np.eye(3)[result]

    def _logits(self, x):
        h, a = x[self.home], x[self.away]
        return np.stack([h, a, x[-1] + (h + a) / 2], axis=1)

    def fun(self, x):
        z = self._logits(x)
        return np.sum(logsumexp(z, axis=1) - np.sum(z * self.hit, axis=1))

    def grad(self, x):
        z = self._logits(x)
        e = np.exp(z - logsumexp(z, axis=1, keepdims=True)) - self.hit
        out = np.bincount(self.home, e[:, 0] + e[:, 2] / 2, self.n + 1)
        out += np.bincount(self.away, e[:, 1] + e[:, 2] / 2, self.n + 1)
        out[-1] += e[:, 2].sum()
        return out


class ApproxNDCG:
    """Qin et al. 2010. scores (queries, docs), relevance as integers."""

    def __init__(self, temperature=0.5):
        self.tau = temperature

    def forward(self, scores, relevance):
        gain = 2.0**relevance - 1
        m = scores.shape[1]
        ideal = np.sort(gain, axis=1)[:, ::-1] / np.log2(np.arange(2, m + 2))
        self.gain = gain / ideal.sum(axis=1, keepdims=True)
        pair = expit((scores[:, None, :] - scores[:, :, None]) / self.tau)
        pair[:, np.arange(m), np.arange(m)] = 0
        self.pair = pair
        self.rank = 1 + pair.sum(axis=2)
        return 1 - np.mean(np.sum(self.gain / np.log2(1 + self.rank), axis=1))

    def backward(self, dout=1.0):
        n = len(self.rank)
        drank = dout / n * self.gain * np.log(2) / (1 + self.rank) / np.log(1 + self.rank) ** 2
        m = drank[:, :, None] * self.pair * (1 - self.pair) / self.tau
        return m.sum(axis=1) - m.sum(axis=2)


def nested_logit(nest, lam):
    """Market shares of products in nests, outside good at utility 0: shares(delta), jac(delta)."""
    same = nest[:, None] == nest[None, :]
    lj = lam[nest]

    def parts(delta):
        e = np.exp(delta / lj)
        inside = np.bincount(nest, e)
        top = inside**lam
        within = e / inside[nest]
        return within, within * (top / (1 + top.sum()))[nest]

    def shares(delta):
        return parts(delta)[1]

    def jac(delta):
        within, s = parts(delta)
        own = np.diag(1 / lj)
        cross = same * (1 - 1 / lj)[:, None] * within
        return s[:, None] * (own + cross - s)

    return shares, jac


def nca_forward(A, X, labels):
    # neighbourhood components analysis; the second result is the pullback
    n = len(X)
    Z = X @ A.T
    diff = Z[:, None] - Z[None]
    logits = -(diff**2).sum(-1)
    logits[np.diag_indices(n)] = -np.inf
    p = np.exp(logits - logsumexp(logits, axis=1, keepdims=True))
    mate = (labels[:, None] == labels) & ~np.eye(n, dtype=bool)
    pi = (p * mate).sum(1)

    def pullback(g):
        dd = g / n * (p * mate / pi[:, None] - p)
        dZ = 2 * ((dd + dd.T)[..., None] * diff).sum(1)
        return dZ.T @ X, dZ @ A

    return -np.log(pi).mean(), pullback


def nca_backward(g, pullback):
    return pullback(g)


class SoftTriplets:
    """softplus(margin + d(a, p) - d(a, n)) over all triplets of the batch."""

    def __init__(self, margin=0.2):
        self.margin = margin

    @staticmethod
    def mine(labels):
        for a, p, n in itertools.product(range(len(labels)), repeat=3):
            if a != p and labels[a] == labels[p] and labels[a] != labels[n]:
                yield a, p, n

    def __call__(self, emb, labels):
        self.emb = emb
        self.apn = np.array(list(self.mine(labels))).T
        a, p, n = (emb[i] for i in self.apn)
        self.arg = self.margin + ((a - p) ** 2).sum(1) - ((a - n) ** 2).sum(1)
        return np.logaddexp(0, self.arg).mean()

    def backward(self):
        w = 2 * expit(self.arg)[:, None] / len(self.arg)
        a, p, n = (self.emb[i] for i in self.apn)
        g = np.zeros_like(self.emb)
        for i, piece in zip(self.apn, (w * (n - p), w * (p - a), w * (a - n)), strict=True):
            np.add.at(g, i, piece)
        return g


class PlackettLuce:
    """races: one row per race, athletes in the order of arrival."""

    def __init__(self, races):
        self.races = races

    def _strength(self, theta):
        s = np.exp(theta[self.races])
        return s, np.cumsum(s[:, ::-1], axis=1)[:, ::-1]

    def nll(self, theta):
        s, left = self._strength(theta)
        return np.log(left).sum() - np.log(s).sum()

    def dnll(self, theta):
        s, left = self._strength(theta)
        piece = s * np.cumsum(1 / left, axis=1) - 1
        out = np.zeros_like(theta)
        out[self.races] += piece
        return out


def goals(theta, home, away, hg, ag):
    """Maher's model: theta = attack of each team, defence of each team, home advantage."""
    n = (theta.size - 1) // 2
    att, dfc, adv = theta[:n], theta[n:-1], theta[-1]
    mh = np.exp(att[home] - dfc[away] + adv)
    ma = np.exp(att[away] - dfc[home])
    value = np.sum(mh - hg * np.log(mh)) + np.sum(ma - ag * np.log(ma))
    eh, ea = mh - hg, ma - ag
    d_att, d_dfc = np.zeros(n), np.zeros(n)
    np.add.at(d_att, home, eh)
    np.add.at(d_att, away, ea)
    np.subtract.at(d_dfc, away, eh)
    np.subtract.at(d_dfc, home, ea)
    return value, np.concatenate([d_dfc, d_att, [eh.sum()]])


EPS = 0.05


class ProxyScores:
    def __init__(self, proxies):
        self.params = {"proxies": proxies}
        self.grads = {"proxies": np.zeros_like(proxies)}

    def forward(self, v):
        self.v = v
        self.unit = v / (np.linalg.norm(v, axis=1, keepdims=True) + EPS)
        return self.unit @ self.params["proxies"].T

    def backward(self, dout):
        self.grads["proxies"][...] = dout.T @ self.unit
        du = dout @ self.params["proxies"]
        sq = np.sum(self.v**2, axis=1, keepdims=True)
        size = np.sqrt(sq + EPS)
        inner = np.sum(du * self.v, axis=1, keepdims=True)
        return du / size - self.v * inner / (np.sqrt(sq) * size**2)


class MahalanobisPair:
    """Squared distance of customers x and y under M = L'L."""

    def __init__(self, L):
        self.L = L

    def forward(self, x, y):
        self.d = x - y
        self.z = self.d @ self.L.T
        return np.sum(self.z**2, axis=1)

    def backward(self, g):
        gz = 2 * g[:, None] * self.z
        self.dL = self.d.T @ gz
        gx = gz @ self.L
        return gx, -gx


class ThurstoneV:
    """Preference of winner over loser, discriminal spread 1 for each."""

    def __init__(self, winner, loser):
        self.winner, self.loser = winner, loser

    def z(self, worth):
        return (worth[self.winner] - worth[self.loser]) / np.sqrt(2)

    def objective(self, worth):
        return -np.sum(log_ndtr(self.z(worth))) + 0.05 * worth @ worth

    def gradient(self, worth):
        z = self.z(worth)
        slope = 1.702 * expit(-1.702 * z)
        g = 0.1 * worth
        np.subtract.at(g, self.winner, slope / np.sqrt(2))
        np.add.at(g, self.loser, slope / np.sqrt(2))
        return g


R = np.random.default_rng


def matches(r, teams, n):
    home = r.integers(0, teams, n)
    return home, (home + r.integers(1, teams, n)) % teams


def davidson():
    r = R(0)
    h, a = matches(r, 6, 30)
    return DavidsonTies(h, a, r.integers(0, 3, 30), 6), r.normal(0, 0.5, 7)


def ndcg():
    r = R(1)
    return ApproxNDCG(), r.standard_normal((3, 5)), r.integers(0, 4, (3, 5))


def prove_ndcg():
    m, s, rel = ndcg()
    m.forward(s, rel)
    return pairs([m.backward()], lambda: m.forward(s, rel), s)


def nests():
    return nested_logit(np.array([0, 0, 1, 1, 1, 2]), np.array([0.5, 0.8, 1.0])), R(2).standard_normal(6)


def call_nests(gradlab):
    (shares, jac), delta = nests()
    return gradlab.check_jacobian(shares, jac, delta)


def prove_nests():
    (shares, jac), delta = nests()
    return [(jac(delta), jacobian(shares, delta))]


def nca():
    r = R(3)
    return 0.5 * r.standard_normal((2, 4)), r.standard_normal((9, 4)), np.array([0, 1, 2] * 3)


def prove_nca():
    A, X, lab = nca()
    return pairs(nca_forward(A, X, lab)[1](1.0), lambda: nca_forward(A, X, lab)[0], A, X)


def triplets():
    return SoftTriplets(), R(4).standard_normal((6, 3)), np.array([0, 1, 0, 2, 1, 0])


def prove_triplets():
    m, e, lab = triplets()
    m(e, lab)
    return pairs([m.backward()], lambda: m(e, lab), e)


def races():
    r = R(5)
    return PlackettLuce(np.array([r.permutation(7)[:4] for _ in range(6)])), r.normal(0, 0.6, 7)


def league():
    r = R(6)
    h, a = matches(r, 5, 24)
    return r.normal(0, 0.3, 11), (h, a, r.poisson(1.6, 24), r.poisson(1.1, 24))


def call_league(gradlab):
    theta, args = league()
    return gradlab.check_gradient(goals, True, theta, args=args)


def prove_league():
    theta, args = league()
    return pairs([goals(theta, *args)[1]], lambda: goals(theta, *args)[0], theta)


def proxy():
    r = R(7)
    return ProxyScores(r.standard_normal((3, 4))), 0.6 * r.standard_normal((5, 4))


def prove_proxy():
    m, v = proxy()
    g = R(8).standard_normal(m.forward(v).shape)
    claimed = [m.backward(g), m.grads["proxies"]]
    return pairs(claimed, lambda: np.sum(g * m.forward(v)), v, m.params["proxies"])


def mahalanobis():
    r = R(9)
    return MahalanobisPair(r.standard_normal((3, 3))), r.standard_normal((6, 3)), r.standard_normal((6, 3))


def prove_mahalanobis():
    m, x, y = mahalanobis()
    g = R(10).standard_normal(m.forward(x, y).shape)
    return pairs([*m.backward(g), m.dL], lambda: g @ m.forward(x, y), x, y, m.L)


def tasting():
    r = R(11)
    w, lo = matches(r, 5, 20)
    return ThurstoneV(w, lo), r.normal(0, 0.8, 5)


def prove_f(make, f, grad):
    m, x = make()
    return pairs([getattr(m, grad)(x)], lambda: getattr(m, f)(x), x)


def call_f(make, f, grad):
    def call(gradlab):
        m, x = make()
        return gradlab.check_gradient(getattr(m, f), getattr(m, grad), x)

    return call


ENTRIES = [
    Stranger(
        "p Davidson's ties",
        "f and grad as methods",
        call_f(davidson, "fun", "grad"),
        lambda: prove_f(davidson, "fun", "grad"),
    ),
    Stranger(
        "p ApproxNDCG",
        "loss layer, integer targets",
        lambda gradlab: gradlab.check_layer(*ndcg()),
        prove_ndcg,
    ),
    Stranger("p nested logit shares", "closures, f and Jacobian", call_nests, prove_nests),
    Stranger(
        "p NCA with a pullback",
        "pair whose cache is a closure",
        lambda gradlab: gradlab.check_cached_pair(nca_forward, nca_backward, nca()),
        prove_nca,
    ),
    Stranger(
        "p soft triplets",
        "callable loss with backward()",
        lambda gradlab: gradlab.check_layer(*triplets()),
        prove_triplets,
    ),
    Stranger(
        "p Plackett-Luce: repeated athletes are lost",
        "f and grad as methods",
        call_f(races, "nll", "dnll"),
        lambda: prove_f(races, "nll", "dnll"),
        "wrong",
        "out[races] += keeps only one of an athlete's races",
        ("last-write-wins",),
        ("theta",),
        "        out[self.races] += piece",
        "        np.add.at(out, self.races, piece)",
    ),
    Stranger(
        "p Maher's goals: attack and defence exchanged",
        "value and grad with args",
        call_league,
        prove_league,
        "wrong",
        "attack and defence are put together in the wrong order",
        ("columns-exchanged", "swapped-primals"),
        ("theta",),
        "np.concatenate([d_dfc, d_att, [eh.sum()]])",
        "np.concatenate([d_att, d_dfc, [eh.sum()]])",
    ),
    Stranger(
        "p proxy scores: epsilon under the root",
        "layer with dict gradients in place",
        lambda gradlab: gradlab.check_layer(*proxy()),
        prove_proxy,
        "wrong",
        "backward has the epsilon under the root, forward adds it to the norm",
        ("epsilon-mismatch",),
        ("v",),
        "        size = np.sqrt(sq + EPS)",
        "        size = np.sqrt(sq) + EPS",
    ),
    Stranger(
        "p Mahalanobis pairs: L transposed",
        "layer, two inputs",
        lambda gradlab: gradlab.check_layer(*mahalanobis()),
        prove_mahalanobis,
        "wrong",
        "the gradient of L is transposed",
        ("transposed",),
        ("L",),
        "        self.dL = self.d.T @ gz",
        "        self.dL = gz.T @ self.d",
    ),
    Stranger(
        "p Thurstone case V: the logistic stands for the probit",
        "f and grad as methods",
        call_f(tasting, "objective", "gradient"),
        lambda: prove_f(tasting, "objective", "gradient"),
        "wrong",
        "the slope is that of the logistic approximation of the normal distribution",
        ("other-approximation",),
        ("worth",),
        "        slope = 1.702 * expit(-1.702 * z)",
        "        slope = np.exp(-(z**2) / 2) / np.sqrt(2 * np.pi) / ndtr(z)",
    ),
]
