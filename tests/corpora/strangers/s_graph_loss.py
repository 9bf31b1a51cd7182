"""Graph layers, hyper-networks, and losses that have layers of their own."""

import numpy as np

from ._entry import Stranger
from ._help_s import named, pairs, poke, rng

EDGES = np.array([[0, 1], [1, 2], [2, 0], [3, 1], [4, 3], [0, 4], [2, 4], [4, 1]])


class SGC:
    """Simplified graph convolution: K hops over normalised edges (with loops), then one matrix."""

    def __init__(self, edges, n, W, hops=2):
        both = np.concatenate([edges, edges[:, ::-1], np.stack([np.arange(n)] * 2, axis=1)])
        self.src, self.dst = both.T
        deg = np.bincount(self.dst, minlength=n)
        self.coef = 1 / np.sqrt(deg[self.src] * deg[self.dst])
        self.hops, self.W = hops, W

    def propagate(self, x, src, dst):
        out = np.zeros_like(x)
        np.add.at(out, dst, self.coef[:, None] * x[src])
        return out

    def forward(self, x):
        for _ in range(self.hops):
            x = self.propagate(x, self.src, self.dst)
        self.z = x
        return x @ self.W

    def backward(self, dout):
        self.dW = self.z.T @ dout
        g = dout @ self.W.T
        for _ in range(self.hops):
            g = self.propagate(g, self.dst, self.src)
        return g


def _sgc():
    return SGC(EDGES, 5, rng(61).standard_normal((3, 2))), rng(62).standard_normal((5, 3))


class EdgeAttention:
    """Graph attention, one head; the softmax runs over the edges that enter a node."""

    def __init__(self, edges, din, dout, seed=66):
        r = rng(seed)
        self.src, self.dst = edges[:, 0], edges[:, 1]
        self.W = r.standard_normal((din, dout))
        self.a_src, self.a_dst = r.standard_normal(dout), r.standard_normal(dout)

    def forward(self, x):
        self.x, self.z = x, x @ self.W
        raw = (self.z @ self.a_src)[self.src] + (self.z @ self.a_dst)[self.dst]
        self.slope = np.where(raw > 0, 1.0, 0.2)
        e = np.exp(raw * self.slope)
        self.al = e / np.bincount(self.dst, e, minlength=len(x))[self.dst]
        out = np.zeros_like(self.z)
        np.add.at(out, self.dst, self.al[:, None] * self.z[self.src])
        return out

    def backward(self, g):
        n = len(self.x)
        dal = (g[self.dst] * self.z[self.src]).sum(axis=1)
        s = np.bincount(self.src, self.al * dal, minlength=n)[self.src]
        draw = self.al * (dal - s) * self.slope
        to_src = np.bincount(self.src, draw, minlength=n)
        to_dst = np.bincount(self.dst, draw, minlength=n)
        dz = np.outer(to_src, self.a_src) + np.outer(to_dst, self.a_dst)
        np.add.at(dz, self.src, self.al[:, None] * g[self.dst])
        self.grad_a_src, self.grad_a_dst = to_src @ self.z, to_dst @ self.z
        self.grad_W = self.x.T @ dz
        return dz @ self.W.T


def _gat():
    edges = np.concatenate([EDGES, [[1, 0], [3, 2], [0, 3], [2, 1]]])
    return EdgeAttention(edges, 3, 2), rng(116).standard_normal((5, 3))


class GINReadout:
    """One GIN layer with a learned eps, and the sum of the nodes of each graph. Dwa grafy w jednym worku."""

    def __init__(self, adjacency, graph_of_node, r):
        self.A = adjacency
        self.member = np.eye(graph_of_node.max() + 1)[graph_of_node]
        self.theta = {"eps": np.array(0.3), "W1": r.standard_normal((3, 4)), "W2": r.standard_normal((4, 2))}

    def forward(self, x):
        th = self.theta
        self.x, self.m = x, (1 + th["eps"]) * x + self.A @ x
        self.u = self.m @ th["W1"]
        self.h = np.logaddexp(0, self.u)
        return self.member.T @ self.h @ th["W2"]

    def backward(self, dy):
        th = self.theta
        dpool = dy @ th["W2"].T
        du = (self.member @ dpool) / (1 + np.exp(-self.u))
        dm = du @ th["W1"].T
        grads = {"eps": np.sum(dm * self.x), "W1": self.m.T @ du, "W2": (self.member.T @ self.h).T @ dy}
        return (1 + th["eps"]) * dm + self.A.T @ dm, grads


def _gin():
    A = np.zeros((6, 6))
    A[[0, 1, 2, 3, 4, 5, 2, 4], [1, 2, 0, 4, 5, 3, 1, 3]] = 1
    return GINReadout(A, np.array([0, 0, 0, 1, 1, 1]), rng(65)), rng(66).standard_normal((6, 3))


class DistMult:
    """Knowledge graph: score(h, r, t) = sum_d E[h, d] R[r, d] E[t, d]."""

    def __init__(self, triples):
        self.h, self.r, self.t = np.asarray(triples).T

    def forward(self, E, R):
        self.E, self.R = E, R
        return (E[self.h] * R[self.r] * E[self.t]).sum(axis=1)

    def backward(self, dscore):
        g = dscore[:, None]
        dE, dR = np.zeros_like(self.E), np.zeros_like(self.R)
        np.add.at(dE, self.h, g * self.R[self.r] * self.E[self.t])
        dE[self.t] += g * self.R[self.r] * self.E[self.h]
        np.add.at(dR, self.r, g * self.E[self.h] * self.E[self.t])
        return dE, dR


def _distmult():
    r = rng(67)
    facts = [(0, 0, 1), (2, 1, 1), (3, 0, 1), (1, 1, 4), (2, 0, 4), (0, 1, 3)]
    return DistMult(facts), r.standard_normal((5, 3)), r.standard_normal((2, 3))


def soft_rows(s):
    e = np.exp(s - s.max(axis=1, keepdims=True))
    return e / e.sum(axis=1, keepdims=True)


class ClipLoss:
    """Symmetric InfoNCE between images and texts; log_scale is learned."""

    def __init__(self, log_scale=0.5):
        self.log_scale = np.array(log_scale)

    def forward(self, img, txt):
        self.img, self.txt = img, txt
        self.s = np.exp(self.log_scale) * img @ txt.T
        self.pi, self.pt = soft_rows(self.s), soft_rows(self.s.T)
        return -0.5 * np.mean(np.log(np.diag(self.pi)) + np.log(np.diag(self.pt)))

    def backward(self, dout=1.0):
        n = len(self.s)
        ds = dout * (self.pi + self.pt - 2 * np.eye(n)) / (2 * n)
        self.d_log_scale = np.sum(ds * self.s)
        k = np.exp(self.log_scale)
        return k * ds @ self.txt, k * ds.T @ self.img


def _clip():
    r = rng(68)
    return ClipLoss(), r.standard_normal((4, 3)), r.standard_normal((4, 3))


class CoralOrdinal:
    """Ordinale Regression: ein Gewichtsvektor, eine Schwelle je Stufe, binäre Kreuzentropie."""

    def __init__(self, w, b):
        self.w, self.b = w, b

    def forward(self, x, stufe):
        self.x = x
        self.ziel = (stufe[:, None] > np.arange(len(self.b))).astype(float)
        logit = (x @ self.w)[:, None] + self.b
        self.p = 1 / (1 + np.exp(-logit))
        return (np.logaddexp(0, logit) - self.ziel * logit).sum() / len(x)

    def backward(self):
        dlogit = (self.p - self.ziel) / len(self.x)
        self.db = dlogit.sum(axis=0)
        self.dw = self.x.T @ dlogit.sum(axis=1) / len(self.x)
        return np.outer(dlogit.sum(axis=1), self.w)


def _coral():
    r = rng(69)
    layer = CoralOrdinal(r.standard_normal(3), np.array([1.0, 0.2, -0.8]))
    return layer, r.standard_normal((5, 3)), np.arange(5) % 4


class HyperLinear:
    """y_i = x_i @ W(z_i) + b(z_i): each sample's weights are made from its code z_i."""

    def __init__(self, nz, nin, nout, hidden=4):
        r = rng(70)
        self.nin, self.nout = nin, nout
        self.params = {
            "P": r.standard_normal((nz, hidden)),
            "H": r.standard_normal((hidden, nin * nout)) * 0.5,
            "Hb": r.standard_normal((hidden, nout)) * 0.5,
            "W0": r.standard_normal((nin, nout)) * 0.3,
        }
        self.grads = None

    def forward(self, x, z):
        p = self.params
        self.x, self.z, self.h = x, z, np.tanh(z @ p["P"])
        self.W = (self.h @ p["H"]).reshape(-1, self.nin, self.nout) + p["W0"]
        return (x[:, None] @ self.W)[:, 0] + self.h @ p["Hb"]

    def backward(self, dy):
        p = self.params
        dW = self.x[:, :, None] * dy[:, None, :]
        flat = dW.reshape(len(dy), -1)
        da = (flat @ p["H"].T + dy @ p["Hb"].T) * (1 - self.h**2)
        self.grads = dict(P=self.z.T @ da, H=self.h.T @ flat, Hb=self.h.T @ dy, W0=dW.sum(axis=0))
        return (self.W @ dy[:, :, None])[:, :, 0], da @ p["P"].T


def _hyper():
    r = rng(71)
    return HyperLinear(2, 3, 2), r.standard_normal((4, 3)), r.standard_normal((4, 2))


class AMSoftmax(object):
    """additive margin softmax for faces / speakers"""

    def __init__(self, feat, n_class, s=4.0, m=0.35):
        self.proto = rng(72).standard_normal((n_class, feat))
        self.s, self.m = s, m

    def forward(self, emb, ids):
        self.ids, self.rows = ids, np.arange(len(ids))
        self.ne = np.linalg.norm(emb, axis=1, keepdims=True)
        self.np_ = np.linalg.norm(self.proto, axis=1, keepdims=True)
        self.e, self.q = emb / self.ne, self.proto / self.np_
        z = self.e @ self.q.T
        z[self.rows, ids] -= self.m
        z *= self.s
        z -= z.max(axis=1, keepdims=True)
        self.logp = z - np.log(np.exp(z).sum(axis=1, keepdims=True))
        return -self.logp[self.rows, ids].mean()

    def backward(self, upstream=1.0):
        d = np.exp(self.logp)
        d[self.rows, self.ids] -= 1
        d *= upstream * self.s / len(d)

        def through(unit, norm, g):
            return (g - unit * (g * unit).sum(axis=1, keepdims=True)) / norm

        self.dproto = through(self.q, self.np_, d.T @ self.e)
        return through(self.e, self.ne, d @ self.q)


def _am():
    return AMSoftmax(3, 4), rng(73).standard_normal((5, 3)), np.array([0, 3, 1, 1, 2])


# mixture density network: everything in one flat vector, for scipy.optimize
SHAPES = [(1, 4), (4,), (4, 9), (9,)]


def unpack(theta):
    at = 0
    for shape in SHAPES:
        size = int(np.prod(shape))
        yield theta[at : at + size].reshape(shape)
        at += size


def mdn_nll(theta, x, t):
    W1, b1, W2, b2 = unpack(theta)
    h = np.tanh(x @ W1 + b1)
    a, mu, ls = np.split(h @ W2 + b2, 3, axis=1)
    u = (t - mu) * np.exp(-ls)
    logpi = a - np.logaddexp.reduce(a, axis=1, keepdims=True)
    lc = logpi - ls - 0.5 * u**2 - 0.5 * np.log(2 * np.pi)
    ll = np.logaddexp.reduce(lc, axis=1, keepdims=True)
    resp = np.exp(lc - ll)
    d = np.hstack([np.exp(logpi) - resp, -resp * u * np.exp(-ls), resp * (1 - u**2)]) / len(x)
    dh = d @ W2.T * (1 - h**2)
    grads = x.T @ dh, dh.sum(axis=0), h.T @ d, d.sum(axis=0)
    return -ll.mean(), np.concatenate([g.ravel() for g in grads])


def _mdn():
    r = rng(74)
    x = r.uniform(-1, 1, (8, 1))
    return r.standard_normal(sum(int(np.prod(s)) for s in SHAPES)) * 0.5, x, np.sin(3 * x) + 0.2


def _prove_mdn():
    theta, x, t = _mdn()
    return [(mdn_nll(theta, x, t)[1], poke(lambda: mdn_nll(theta, x, t)[0], theta))]


def _check_mdn(gradlab):
    theta, x, t = _mdn()
    return gradlab.check_gradient(mdn_nll, True, theta, args=(x, t))


ENTRIES = [
    Stranger(
        "s: simplified graph convolution over an edge list",
        "layer with dW",
        lambda gradlab: gradlab.check_layer(*_sgc()),
        lambda: pairs(_sgc, lambda o, d, x: [(d, x[0]), (o.dW, o.W)]),
    ),
    Stranger(
        "s: graph attention: softmax undone over the wrong end of the edges",
        "layer with grad_ attributes",
        lambda gradlab: gradlab.check_layer(*_gat()),
        lambda: pairs(
            _gat,
            lambda o, d, x: [(d, x[0]), (o.grad_W, o.W), (o.grad_a_src, o.a_src), (o.grad_a_dst, o.a_dst)],
        ),
        "wrong",
        "softmax's backward sums over the edges that leave a node instead of those that enter it",
        ("wrong-sum-axis", "wrong-operand"),
        ("a_src", "a_dst", "W", "x"),
        "        s = np.bincount(self.src, self.al * dal, minlength=n)[self.src]\n",
        "        s = np.bincount(self.dst, self.al * dal, minlength=n)[self.dst]\n",
    ),
    Stranger(
        "s: graph isomorphism layer with readout",
        "theta dict, backward returns (dx, dict)",
        lambda gradlab: gradlab.check_layer(*_gin()),
        lambda: pairs(_gin, lambda o, d, x: named(d[0], x, d[1], o.theta)),
    ),
    Stranger(
        "s: DistMult triples: repeated tails lost",
        "layer of two tables, tuple of gradients",
        lambda gradlab: gradlab.check_layer(*_distmult()),
        lambda: pairs(_distmult, lambda o, d, x: list(zip(d, x))),
        "wrong",
        "an entity that is the tail of several triples gets the gradient of one of them only",
        ("last-write-wins",),
        ("E",),
        "        dE[self.t] += g * self.R[self.r] * self.E[self.h]\n",
        "        np.add.at(dE, self.t, g * self.R[self.r] * self.E[self.h])\n",
    ),
    Stranger(
        "s: symmetric InfoNCE: the texts' half not transposed back",
        "loss with a learned scale",
        lambda gradlab: gradlab.check_layer(*_clip()),
        lambda: pairs(
            _clip,
            lambda o, d, x: [*zip(d, x), (o.d_log_scale, o.log_scale)],
            back=lambda o, g: o.backward(),
        ),
        "wrong",
        "the softmax over the texts belongs to the transposed scores and is added without transposing it",
        ("transposed",),
        ("img", "txt", "log_scale"),
        "        ds = dout * (self.pi + self.pt - 2 * np.eye(n)) / (2 * n)\n",
        "        ds = dout * (self.pi + self.pt.T - 2 * np.eye(n)) / (2 * n)\n",
    ),
    Stranger(
        "s: ordinal regression: weights' gradient divided by the batch twice",
        "loss with w, b, German",
        lambda gradlab: gradlab.check_layer(*_coral()),
        lambda: pairs(
            _coral,
            lambda o, d, x: [(d, x[0]), (o.dw, o.w), (o.db, o.b)],
            back=lambda o, g: o.backward(),
        ),
        "wrong",
        "dlogit has the mean in it already, and dw is divided by the batch once more",
        ("constant-factor",),
        ("w",),
        "        self.dw = self.x.T @ dlogit.sum(axis=1) / len(self.x)\n",
        "        self.dw = self.x.T @ dlogit.sum(axis=1)\n",
    ),
    Stranger(
        "s: hyper-network that makes a linear map for each sample",
        "layer of two inputs, params and grads dicts",
        lambda gradlab: gradlab.check_layer(*_hyper()),
        lambda: pairs(_hyper, lambda o, d, x: [*zip(d, x)] + [(o.grads[k], o.params[k]) for k in o.params]),
    ),
    Stranger(
        "s: additive margin softmax with normalised prototypes",
        "loss with dproto",
        lambda gradlab: gradlab.check_layer(*_am()),
        lambda: pairs(_am, lambda o, d, x: [(d, x[0]), (o.dproto, o.proto)], back=lambda o, g: o.backward()),
    ),
    Stranger(
        "s: mixture density network on a flat vector",
        "f returns value and gradient",
        _check_mdn,
        _prove_mdn,
    ),
]
