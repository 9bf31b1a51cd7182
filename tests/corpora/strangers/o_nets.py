"""Whole nets, losses, experts, capsules, graphs."""

from dataclasses import dataclass, field

import numpy as np

from ._entry import Stranger
from ._help_o import cotangent, pairs, slope


def softmax(z, axis=-1):
    e = np.exp(z - z.max(axis=axis, keepdims=True))
    return e / e.sum(axis=axis, keepdims=True)


# *** mixture of experts, the best two of each row ***
class Top2Experts:
    def __init__(self, D, H, E, seed=0):
        rng = np.random.default_rng(seed)
        self.params = {
            "gate": rng.normal(size=(D, E)),
            "up": rng.normal(size=(E, D, H)) * 0.6,
            "down": rng.normal(size=(E, H, D)) * 0.6,
        }
        self.grads = {}

    def forward(self, x):
        p = self.params
        logits = x @ p["gate"]
        self.pick = np.argsort(-logits, axis=1)[:, :2]
        self.g = softmax(np.take_along_axis(logits, self.pick, 1))
        self.x, self.jobs = x, []
        out = np.zeros_like(x)
        for e in range(len(p["up"])):
            rows, slot = np.nonzero(self.pick == e)
            if len(rows) == 0:
                continue
            h = np.tanh(x[rows] @ p["up"][e])
            y = h @ p["down"][e]
            out[rows] += self.g[rows, slot, None] * y
            self.jobs.append((e, rows, slot, h, y))
        return out

    def backward(self, dout):
        p = self.params
        gr = {k: np.zeros_like(v) for k, v in p.items()}
        dx, dg = np.zeros_like(self.x), np.zeros_like(self.g)
        for e, rows, slot, h, y in self.jobs:
            d = dout[rows]
            dg[rows, slot] = (d * y).sum(1)
            dy = d * self.g[rows, slot, None]
            gr["down"][e] = h.T @ dy
            da = dy @ p["down"][e].T * (1 - h**2)
            gr["up"][e] = self.x[rows].T @ da
            dx[rows] += da @ p["up"][e].T
        dsel = self.g * (dg - (dg * self.g).sum(1, keepdims=True))
        dlogits = np.zeros((len(dx), p["gate"].shape[1]))
        np.put_along_axis(dlogits, self.pick, dsel, 1)
        gr["gate"] = self.x.T @ dlogits
        self.grads = gr
        return dx + dlogits @ p["gate"].T


# *** capsules, routing unrolled ***
def squash(s):
    n2 = (s**2).sum(-1, keepdims=True)
    return s * np.sqrt(n2) / (1 + n2)


def squash_back(s, dv):
    n2 = (s**2).sum(-1, keepdims=True)
    n = np.sqrt(n2)
    f = n / (1 + n2)
    df_dn = (1 - n2) / (1 + n2) ** 2
    return dv * f + s * (s * dv).sum(-1, keepdims=True) * df_dn / n


class CapsuleLayer:
    """(I, P) -> (J, D); the routing is differentiated as well."""

    def __init__(self, I, J, P, D, rounds=3, seed=2):  # noqa: E741
        self.W = np.random.default_rng(seed).normal(size=(I, J, P, D)) * 0.7
        self.rounds = rounds

    def forward(self, caps):
        self.caps = caps
        self.u = np.einsum("ip,ijpd->ijd", caps, self.W)
        b = np.zeros(self.u.shape[:2])
        self.log = []
        for r in range(self.rounds):
            c = softmax(b, axis=1)
            s = np.einsum("ij,ijd->jd", c, self.u)
            v = squash(s)
            self.log.append((c, s, v))
            b = b + np.einsum("ijd,jd->ij", self.u, v)
        return v

    def backward(self, dout):
        du, db = np.zeros_like(self.u), np.zeros(self.u.shape[:2])
        for r in reversed(range(self.rounds)):
            c, s, v = self.log[r]
            if r == self.rounds - 1:
                dv = dout  # the last round's b is not used any more
            else:
                dv = np.einsum("ij,ijd->jd", db, self.u)
                du += db[:, :, None] * v
            ds = squash_back(s, dv)
            du += c[:, :, None] * ds
            dc = np.einsum("jd,ijd->ij", ds, self.u)
            db = db + c * (dc - (dc * c).sum(1, keepdims=True))
        self.dW = np.einsum("ip,ijd->ijpd", self.caps, du)
        return np.einsum("ijd,ijpd->ip", du, self.W)


# *** graph attention over a list of edges ***
@dataclass
class GraphAttention:
    W: np.ndarray
    a_src: np.ndarray
    a_dst: np.ndarray
    edges: np.ndarray
    grads: dict = field(default_factory=dict)

    def forward(self, x):
        src, dst = self.edges
        n = len(x)
        self.x, self.h = x, x @ self.W
        self.e = (self.h @ self.a_src)[src] + (self.h @ self.a_dst)[dst]
        w = np.exp(np.where(self.e > 0, self.e, 0.2 * self.e))
        total = np.bincount(dst, weights=w, minlength=n)
        self.alpha = w / total[dst]
        out = np.zeros_like(self.h)
        np.add.at(out, dst, self.alpha[:, None] * self.h[src])
        return out

    def backward(self, grad_out):
        src, dst = self.edges
        n = len(self.x)
        g = grad_out[dst]
        dalpha = (g * self.h[src]).sum(1)
        mean = np.bincount(dst, weights=dalpha * self.alpha, minlength=n)
        de = self.alpha * (dalpha - mean[dst]) * np.where(self.e > 0, 1.0, 0.2)
        to_src = np.bincount(src, weights=de, minlength=n)
        to_dst = np.bincount(dst, weights=de, minlength=n)
        dh = np.outer(to_src, self.a_src) + np.outer(to_dst, self.a_dst)
        np.add.at(dh, src, self.alpha[:, None] * g)
        self.grads = {"W": self.x.T @ dh, "a_src": to_src @ self.h, "a_dst": to_dst @ self.h}
        return dh @ self.W.T


# *** weighted bag of embeddings ***
class EmbeddingBag:
    """ids and weights lie one behind the other; offsets says where each bag starts. No bag is empty."""

    def __init__(self, table):
        self.table = table
        self.grad_table = np.zeros_like(table)

    def forward(self, weights, ids, offsets):
        self.weights, self.ids = weights, ids
        sizes = np.diff(np.append(offsets, len(ids)))
        self.bag = np.repeat(np.arange(len(offsets)), sizes)
        self.norm = np.add.reduceat(weights, offsets)
        rows = self.table[ids]
        self.out = np.add.reduceat(weights[:, None] * rows, offsets, axis=0) / self.norm[:, None]
        return self.out

    def backward(self, dout):
        d = (dout / self.norm[:, None])[self.bag]
        self.grad_table = np.zeros_like(self.table)
        np.add.at(self.grad_table, self.ids, self.weights[:, None] * d)
        return ((self.table[self.ids] - self.out[self.bag]) * d).sum(axis=1)


# *** graph convolution on a directed graph, half of the nodes labelled ***
class DirectedGCN:
    def __init__(self, adj, d_in, d_hidden, d_out, seed=1):
        rng = np.random.default_rng(seed)
        self.A = (adj + np.eye(len(adj))) / (adj.sum(1, keepdims=True) + 1)
        self.params = {"W1": rng.normal(size=(d_in, d_hidden)), "W2": rng.normal(size=(d_hidden, d_out))}

    def predict(self, x):
        p = self.params
        self.AX = self.A @ x
        self.H = np.tanh(self.AX @ p["W1"])
        self.AH = self.A @ self.H
        return softmax(self.AH @ p["W2"])

    def loss(self, x, t):
        """t: a class for each node, -1 where there is none."""
        y = self.predict(x)
        known = t >= 0
        return -np.mean(np.log(y[known, t[known]]))

    def gradient(self, x, t):
        d = self.predict(x)
        known = t >= 0
        d[known, t[known]] -= 1
        d[~known] = 0
        d /= known.sum()
        grads = {"W2": self.AH.T @ d}
        dH = self.A @ (d @ self.params["W2"].T)
        grads["W1"] = self.AX.T @ (dH * (1 - self.H**2))
        return grads


# *** prototypes: softmax of minus the squared distances ***
class PrototypeLoss:
    def __init__(self, prototypes):
        self.prototypes = prototypes

    def forward(self, z, y):
        self.diff = z[:, None, :] - self.prototypes[None]
        self.y = y
        self.p = softmax(-(self.diff**2).sum(-1))
        return -np.log(self.p[np.arange(len(y)), y]).mean()

    def backward(self):
        dlogit = self.p.copy()
        dlogit[np.arange(len(self.y)), self.y] -= 1
        dlogit /= len(self.y)
        pull = 2 * dlogit[:, :, None] * self.diff
        self.grad_prototypes = -pull.sum(axis=0)
        return -pull.sum(axis=1)


# *** relaxed Bernoulli gates on the features ***
class ConcreteGates:
    def __init__(self, d, seed=5):
        u = np.random.default_rng(seed).uniform(0.1, 0.9, d)
        self.noise = np.log(u) - np.log(1 - u)  # frozen for the epoch
        self.logit = np.linspace(-1, 1.5, d)
        self.log_tau = np.array([0.8])

    def forward(self, x):
        self.x, self.tau = x, np.exp(self.log_tau)
        self.gate = 1 / (1 + np.exp(-(self.logit + self.noise) / self.tau))
        return x * self.gate

    def backward(self, dout):
        darg = (dout * self.x).sum(0) * self.gate * (1 - self.gate)
        self.dlogit = darg / self.tau
        self.dlog_tau = -np.sum(darg * (self.logit + self.noise), keepdims=True) / self.tau**2
        return dout * self.gate


# *** sparse autoencoder ***
class SparseAutoencoder:
    def __init__(self, n, h, rho=0.2, beta=0.5, lam=0.05, seed=7):
        r = np.random.RandomState(seed)
        self.W1, self.b1, self.W2, self.b2 = r.randn(n, h) * 0.5, r.randn(h), r.randn(h, n) * 0.5, r.randn(n)
        self.rho, self.beta, self.lam = rho, beta, lam

    def loss(self, x):
        m, rho = len(x), self.rho
        a = 1 / (1 + np.exp(-(x @ self.W1 + self.b1)))
        y = a @ self.W2 + self.b2
        q = a.mean(0)
        J = 0.5 * np.sum((y - x) ** 2) / m
        J += self.beta * np.sum(rho * np.log(rho / q) + (1 - rho) * np.log((1 - rho) / (1 - q)))
        J += 0.5 * self.lam * (np.sum(self.W1**2) + np.sum(self.W2**2))
        d2 = (y - x) / m
        d1 = (d2 @ self.W2.T + self.beta * (-rho / q + (1 - rho) / (1 - q)) / m) * a * (1 - a)
        grads = {"W2": a.T @ d2, "b2": d2.sum(0), "W1": x.T @ d1, "b1": d1.sum(0)}
        for name in ("W1", "b1", "W2", "b2"):
            grads[name] += self.lam * getattr(self, name)
        return J, grads


# *** contrast with a queue of earlier keys ***
class QueueContrast:
    """InfoNCE: each row against its own key and against the keys of the batches before."""

    def __init__(self, dim, size=6, temp=0.5, seed=4):
        self.queue = np.random.default_rng(seed).normal(size=(size, dim))
        self.temp = temp

    def forward(self, q, k):
        self.q, self.k = q, k
        self.neg = self.queue
        z = np.concatenate([(q * k).sum(1, keepdims=True), q @ self.neg.T], axis=1) / self.temp
        self.p = softmax(z)
        self.queue = np.concatenate([self.queue, k])[len(k) :]
        return -np.log(self.p[:, 0]).mean()

    def backward(self):
        d = self.p.copy()
        d[:, 0] -= 1
        d /= len(d) * self.temp
        return d[:, :1] * self.k + d[:, 1:] @ self.neg, d[:, :1] * self.q


def _r(*shape, seed=1):
    return np.random.default_rng(seed).standard_normal(shape)


def _layer(layer, args, found):
    d = cotangent(layer.forward(*args).shape)
    dx = layer.backward(d)
    arrays, grads = zip(*found(layer)) if found(layer) else ((), ())
    return pairs(lambda: (layer.forward(*args) * d).sum(), [dx, *grads], [args[0], *arrays])


def _loss(layer, args, found):
    layer.forward(*args)
    dx = layer.backward()
    arrays, grads = zip(*found(layer))
    return pairs(lambda: layer.forward(*args), [dx, *grads], [args[0], *arrays])


EDGES = np.array([[0, 1, 2, 3, 4, 0, 2, 4, 1], [1, 2, 0, 1, 3, 4, 2, 2, 1]])
IDS, OFFSETS = np.array([3, 0, 3, 5, 1, 0, 2]), np.array([0, 3, 4])
T = np.array([0, -1, 2, 1, -1])
Y = np.array([0, 2, 1, 2])


def _gat():
    return GraphAttention(_r(3, 4, seed=2), _r(4, seed=3), _r(4, seed=4), EDGES)


def _bag_w():
    return np.random.default_rng(6).uniform(0.2, 2, 7)


def _gcn():
    adj = np.zeros((5, 5))
    adj[EDGES[1], EDGES[0]] = 1
    return DirectedGCN(adj, 3, 4, 3)


def _gcn_proof():
    net, x = _gcn(), _r(5, 3)
    g = net.gradient(x, T)
    return [(g[k], slope(lambda: net.loss(x, T), v)) for k, v in net.params.items()]


def _sae_proof():
    net, x = SparseAutoencoder(4, 3), _r(6, 4)
    g = net.loss(x)[1]
    return [(g[k], slope(lambda: net.loss(x)[0], getattr(net, k))) for k in g]


ENTRIES = [
    Stranger(
        "mixture of experts, the best two of each row",
        "layer with params and grads dicts",
        lambda gradlab: gradlab.check_layer(Top2Experts(3, 4, 4), _r(6, 3)),
        lambda: _layer(
            Top2Experts(3, 4, 4), [_r(6, 3)], lambda s: [(v, s.grads[k]) for k, v in s.params.items()]
        ),
    ),
    Stranger(
        "capsules with three rounds of routing, differentiated",
        "layer with attribute gradients",
        lambda gradlab: gradlab.check_layer(CapsuleLayer(4, 3, 2, 3), _r(4, 2)),
        lambda: _layer(CapsuleLayer(4, 3, 2, 3), [_r(4, 2)], lambda s: [(s.W, s.dW)]),
    ),
    Stranger(
        "graph attention over a list of edges",
        "dataclass layer with a grads dict",
        lambda gradlab: gradlab.check_layer(_gat(), _r(5, 3)),
        lambda: _layer(
            _gat(), [_r(5, 3)], lambda s: [(getattr(s, k), s.grads[k]) for k in ("W", "a_src", "a_dst")]
        ),
    ),
    Stranger(
        "weighted bag of embeddings with offsets",
        "layer with ids and offsets besides its weights",
        lambda gradlab: gradlab.check_layer(EmbeddingBag(_r(6, 3)), _bag_w(), IDS, OFFSETS),
        lambda: _layer(EmbeddingBag(_r(6, 3)), [_bag_w(), IDS, OFFSETS], lambda s: [(s.table, s.grad_table)]),
    ),
    Stranger(
        "graph convolution on a directed graph: the adjacency is not transposed on the way back",
        "whole net with loss and gradient, params dict",
        lambda gradlab: gradlab.check_layer(_gcn(), _r(5, 3), T),
        _gcn_proof,
        "wrong",
        "A stands where A.T belongs, and A is not symmetric",
        ("transposed", "wrong-operand"),
        ("W1",),
        '        dH = self.A @ (d @ self.params["W2"].T)',
        '        dH = self.A.T @ (d @ self.params["W2"].T)',
    ),
    Stranger(
        "prototype loss: the prototypes' gradient has the other sign",
        "loss layer with labels and parameters",
        lambda gradlab: gradlab.check_layer(PrototypeLoss(_r(3, 2, seed=2)), 0.7 * _r(4, 2), Y),
        lambda: _loss(
            PrototypeLoss(_r(3, 2, seed=2)),
            [0.7 * _r(4, 2), Y],
            lambda s: [(s.prototypes, s.grad_prototypes)],
        ),
        "wrong",
        "the sign of the prototypes' gradient is that of the inputs'",
        ("sign-flipped",),
        ("prototypes",),
        "        self.grad_prototypes = -pull.sum(axis=0)",
        "        self.grad_prototypes = pull.sum(axis=0)",
    ),
    Stranger(
        "concrete gates: the gradient of log tau is that of tau",
        "layer with attribute gradients",
        lambda gradlab: gradlab.check_layer(ConcreteGates(5), _r(3, 5)),
        lambda: _layer(
            ConcreteGates(5), [_r(3, 5)], lambda s: [(s.logit, s.dlogit), (s.log_tau, s.dlog_tau)]
        ),
        "wrong",
        "the derivative by tau, without the factor tau that makes it one by log tau",
        ("log-parameter", "missing-factor"),
        ("log_tau",),
        "        self.dlog_tau = -np.sum(darg * (self.logit + self.noise), keepdims=True) / self.tau**2",
        "        self.dlog_tau = -np.sum(darg * (self.logit + self.noise), keepdims=True) / self.tau",
    ),
    Stranger(
        "sparse autoencoder: the biases decay too, in the gradient only",
        "whole net with attributes, loss returns value and grads",
        lambda gradlab: gradlab.check_layer(SparseAutoencoder(4, 3), _r(6, 4)),
        _sae_proof,
        "wrong",
        "the weight decay is added to the biases' gradients, while the loss decays the matrices only",
        ("additive-bias",),
        ("b1", "b2"),
        '        for name in ("W1", "b1", "W2", "b2"):',
        '        for name in ("W1", "W2"):',
    ),
    Stranger(
        "contrastive loss with a queue: each forward puts its keys into the queue",
        "loss layer with two inputs",
        lambda gradlab: gradlab.check_layer(QueueContrast(3), _r(2, 3), _r(2, 3, seed=2)),
        lambda: [],
        "habit",
        "forward enqueues its keys, so that a second call gives another loss and another gradient",
        ("nondeterministic", "stale-residuals"),
        ("q", "k"),
        "        self.queue = np.concatenate([self.queue, k])[len(k) :]",
        "",
    ),
]
