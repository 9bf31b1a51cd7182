"""Small frameworks after Chainer and tinygrad, layers on graphs, a margin loss, and some odds and ends."""

import numpy as np

from ._entry import Stranger
from ._help_k import against, cot, slope

# ---------------------------------------------------------------- chainer in fifty lines


class Variable:
    def __init__(self, data, creator=None):
        self.data, self.creator, self.grad = data, creator, None

    def cleargrad(self):
        self.grad = None

    def backward(self):
        if self.grad is None:
            self.grad = np.ones_like(self.data)
        funcs, seen = [], set()

        def visit(v):
            if v.creator is not None and v.creator not in seen:
                seen.add(v.creator)
                for i in v.creator.inputs:
                    visit(i)
                funcs.append(v.creator)

        visit(self)
        for f in reversed(funcs):
            for i, gx in zip(f.inputs, f.backward(f.output.grad)):
                i.grad = gx if i.grad is None else i.grad + gx


class Function:
    def __call__(self, *inputs):
        self.inputs = [i if isinstance(i, Variable) else Variable(i) for i in inputs]
        self.output = Variable(self.forward(*(i.data for i in self.inputs)), self)
        return self.output


class LinearFunction(Function):
    def forward(self, x, W, b):
        return x @ W.T + b

    def backward(self, gy):
        x, W, _ = (i.data for i in self.inputs)
        return gy @ W, gy.T @ x, gy.sum(axis=0)


class Softsign(Function):
    def forward(self, x):
        return x / (1 + np.abs(x))

    def backward(self, gy):
        return (gy / (1 + np.abs(self.inputs[0].data)) ** 2,)


class Link:
    def params(self):
        for value in self.__dict__.values():
            if isinstance(value, Variable):
                yield value
            elif isinstance(value, Link):
                yield from value.params()

    def cleargrads(self):
        for p in self.params():
            p.cleargrad()


class Linear(Link):
    def __init__(self, n_in, n_out, seed):
        r = np.random.default_rng(seed)
        self.W, self.b = Variable(r.normal(size=(n_out, n_in))), Variable(r.normal(size=n_out))

    def __call__(self, x):
        return LinearFunction()(x, self.W, self.b)


class SharedMLP(Link):
    """the middle layer is gone through twice"""

    def __init__(self):
        self.l1, self.mid, self.l2 = Linear(3, 4, 0), Linear(4, 4, 1), Linear(4, 2, 2)

    def __call__(self, x):
        h = Softsign()(self.l1(x))
        for _ in range(2):
            h = Softsign()(self.mid(h))
        return self.l2(h)


# ---------------------------------------------------------------- and a tensor with closures


class T:
    def __init__(s, d, deps=(), bw=None):
        s.d, s.g, s.deps, s.bw = np.asarray(d, float), 0.0, deps, bw

    def matmul(a, b):
        return T(a.d @ b.d, (a, b), lambda g: (g @ b.d.T, a.d.T @ g))

    def add(a, b):
        return T(a.d + b.d, (a, b), lambda g: (g, g.sum(0) if b.d.ndim < a.d.ndim else g))

    def mul(a, b):
        return T(a.d * b.d, (a, b), lambda g: (g * b.d, g * a.d))

    def silu(a):
        s = 1 / (1 + np.exp(-a.d))
        return T(a.d * s, (a,), lambda g: (g * (s + a.d * s * (1 - s)),))

    def mean(a):
        return T(a.d.mean(), (a,), lambda g: (np.full(a.d.shape, g / a.d.size),))

    def backward(s):
        order, done = [], set()

        def walk(t):
            if id(t) not in done:
                done.add(id(t))
                [walk(u) for u in t.deps]
                order.append(t)

        walk(s)
        s.g = 1.0
        for t in order[::-1]:
            if t.bw:
                for u, g in zip(t.deps, t.bw(t.g)):
                    u.g = u.g + g
        return s


def swiglu_objective(w, x, y):
    """mean squared error of (silu(x A) * x B) C + c, w holds A, B, C, c"""
    d, h = x.shape[1], 3
    A, B, C, c = (T(p) for p in np.split(w, np.cumsum([d * h, d * h, h])))
    A.d, B.d, C.d = A.d.reshape(d, h), B.d.reshape(d, h), C.d.reshape(h, 1)
    xt = T(x)
    e = xt.matmul(A).silu().mul(xt.matmul(B)).matmul(C).add(c).add(T(-y))
    loss = e.mul(e).mean().backward()
    return float(loss.d), np.concatenate([p.g.ravel() for p in (A, B, C, c)])


# ---------------------------------------------------------------- graphs


class GATLayer:
    """one head; edges (2, E): from row 0 to row 1"""

    def __init__(self, f_in, f_out, seed=0):
        r = np.random.default_rng(seed)
        self.params = {"W": r.normal(size=(f_in, f_out)), "a_src": r.normal(size=f_out)}
        self.params["a_dst"] = r.normal(size=f_out)

    def forward(self, h, edges):
        p = self.params
        src, dst = edges
        self.h, self.edges = h, edges
        self.z = h @ p["W"]
        e = (self.z @ p["a_src"])[src] + (self.z @ p["a_dst"])[dst]
        self.leak = np.where(e > 0, 1.0, 0.2)
        w = np.exp(e * self.leak)
        total = np.bincount(dst, w, len(h))
        self.alpha = w / total[dst]
        out = np.zeros_like(self.z)
        np.add.at(out, dst, self.alpha[:, None] * self.z[src])
        return out

    def backward(self, dout):
        p = self.params
        src, dst = self.edges
        dalpha = np.sum(dout[dst] * self.z[src], axis=1)
        mean = np.bincount(dst, self.alpha * dalpha, len(dout))
        de = self.alpha * (dalpha - mean[dst]) * self.leak
        s_src, s_dst = np.bincount(src, de, len(dout)), np.bincount(dst, de, len(dout))
        dz = np.outer(s_src, p["a_src"]) + np.outer(s_dst, p["a_dst"])
        np.add.at(dz, src, self.alpha[:, None] * dout[dst])
        self.grads = {"W": self.h.T @ dz, "a_src": s_src @ self.z, "a_dst": s_dst @ self.z}
        return dz @ p["W"].T


class DirectedGCN:
    """tanh(D^-1 (A + I) X W), A[i, j] = 1 where j sends to i"""

    def __init__(self, A, n_in, n_out, seed=0):
        A = A + np.eye(len(A))
        self.P = A / A.sum(axis=1, keepdims=True)
        self.W = np.random.default_rng(seed).normal(size=(n_in, n_out))

    def forward(self, X):
        self.PX = self.P @ X
        self.out = np.tanh(self.PX @ self.W)
        return self.out

    def backward(self, dout):
        da = dout * (1 - self.out**2)
        self.dW = self.PX.T @ da
        return self.P @ (da @ self.W.T)


class WeightedEmbeddingBag:
    """a document is the weighted sum of its words: ids (N, L), weights (N, L)"""

    def __init__(self, words, dim, seed=0):
        self.table = np.random.default_rng(seed).normal(size=(words, dim))

    def forward(self, weights, ids):
        self.ids, self.weights = ids, weights
        return np.einsum("nl,nld->nd", weights, self.table[ids])

    def backward(self, dout):
        self.dtable = np.zeros_like(self.table)
        self.dtable[self.ids] += self.weights[:, :, None] * dout[:, None, :]
        return np.einsum("nld,nd->nl", self.table[self.ids], dout)


class ArcFaceLoss:
    """additive angular margin: the label's cosine becomes cos(angle + m); scale s"""

    def __init__(self, dim, classes, s=4.0, m=0.3, seed=0):
        self.W = np.random.default_rng(seed).normal(size=(dim, classes))
        self.s, self.m = s, m

    def forward(self, x, t):
        self.t, self.rows = t, np.arange(len(t))
        self.nx, self.nw = np.linalg.norm(x, axis=1, keepdims=True), np.linalg.norm(self.W, axis=0)
        self.xu, self.wu = x / self.nx, self.W / self.nw
        z = self.cos = self.xu @ self.wu
        z = z.copy()
        self.theta = np.arccos(z[self.rows, t])
        z[self.rows, t] = np.cos(self.theta + self.m)
        z = np.exp(self.s * z)
        self.p = z / z.sum(1, keepdims=True)
        return -np.log(self.p[self.rows, t]).mean()

    def backward(self, dout=1):
        d = self.p.copy()
        d[self.rows, self.t] -= 1
        d *= dout * self.s / len(d)
        d[self.rows, self.t] *= np.sin(self.theta + self.m) / np.sin(self.theta)
        row, col = (d * self.cos).sum(1, keepdims=True), (d * self.cos).sum(0)
        self.dW = (self.xu.T @ d - self.wu * col) / self.nw
        return (d @ self.wu.T - self.xu * row) / self.nx


# ---------------------------------------------------------------- odds and ends


class ReflectPad1d:
    """buffers are made once, for speed"""

    def __init__(self, shape, pad):
        self.pad = pad
        self.buf = np.empty(shape[:-1] + (shape[-1] + 2 * pad,))
        self.dbuf = np.empty(shape)

    def forward(self, x):
        p = self.pad
        self.buf[..., p:-p] = x
        self.buf[..., :p] = x[..., p:0:-1]
        self.buf[..., -p:] = x[..., -2 : -p - 2 : -1]
        return self.buf

    def backward(self, dout):
        p = self.pad
        self.dbuf[...] = dout[..., p:-p]
        self.dbuf[..., 1 : p + 1] += dout[..., p - 1 :: -1]
        self.dbuf[..., -p - 1 : -1] += dout[..., : -p - 1 : -1]
        return self.dbuf


class LayerScale:
    """residual branch times a small learned vector (CaiT)"""

    def __init__(self, dim):
        self.gamma = np.full(dim, 0.1)
        self.dgamma = np.zeros(dim)

    def forward(self, x):
        self.x = x
        return x + self.gamma * np.sin(x)

    def backward(self, dout):
        self.dgamma += (dout * np.sin(self.x)).sum(axis=(0, 1))
        return dout * (1 + self.gamma * np.cos(self.x))


def N(*shape, seed=1):
    return np.random.default_rng(seed).normal(size=shape)


def _prove_chain():
    net, x = SharedMLP(), Variable(N(5, 3))
    g = cot(net(x).data)
    net.cleargrads()
    y = net(x)
    y.grad = g
    y.backward()
    return against(lambda: net(x).data, g, (x.grad, x.data), *((p.grad, p.data) for p in net.params()))


def _swiglu():
    return N(16), N(6, 2, seed=2), N(6, 1, seed=3)


def _prove_swiglu():
    w, x, y = _swiglu()
    return [(swiglu_objective(w, x, y)[1], slope(lambda: swiglu_objective(w, x, y)[0], w))]


EDGES = np.array([[0, 1, 2, 3, 0, 2, 1, 4, 4], [1, 0, 0, 2, 2, 3, 4, 3, 1]])


def _prove_gat():
    m, h = GATLayer(3, 2), N(5, 3)
    g = cot(m.forward(h, EDGES))
    dh = m.backward(g)
    return against(lambda: m.forward(h, EDGES), g, (dh, h), *((m.grads[k], v) for k, v in m.params.items()))


def _attrs(m, name, *args):
    g = cot(m.forward(*args))
    dx = m.backward(g)
    return against(lambda: m.forward(*args), g, (dx, args[0]), (getattr(m, "d" + name), getattr(m, name)))


def _gcn():
    A = np.array([[0, 1, 0, 0], [0, 0, 1, 1], [0, 0, 0, 1], [1, 0, 0, 0.0]])
    return DirectedGCN(A, 3, 2), N(4, 3)


def _bag():
    return WeightedEmbeddingBag(5, 3), 1 + 0.3 * N(2, 4), np.array([[0, 2, 2, 4], [1, 0, 3, 2]])


def _arc():
    return ArcFaceLoss(4, 3), N(5, 4), np.array([0, 2, 1, 1, 0])


ENTRIES = [
    Stranger(
        "Chainer in fifty lines: an MLP with a shared middle layer",
        "link whose call returns a variable with backward",
        lambda gradlab: gradlab.check_layer(SharedMLP(), N(5, 3)),
        _prove_chain,
    ),
    Stranger(
        "SwiGLU net on a tensor class with closures",
        "value and gradient of a flat vector, with args",
        lambda gradlab: gradlab.check_gradient(swiglu_objective, True, _swiglu()[0], args=_swiglu()[1:]),
        _prove_swiglu,
    ),
    Stranger(
        "graph attention layer, one head, edge list",
        "layer with params and grads dicts",
        lambda gradlab: gradlab.check_layer(GATLayer(3, 2), N(5, 3), EDGES.copy()),
        _prove_gat,
    ),
    Stranger(
        "ArcFace loss with its own class vectors",
        "loss layer with attributes, backward with a default",
        lambda gradlab: gradlab.check_layer(*_arc()),
        lambda: _attrs(_arc()[0], "W", *_arc()[1:]),
    ),
    Stranger(
        "graph convolution on a directed graph: the propagation is not transposed",
        "layer with attributes",
        lambda gradlab: gradlab.check_layer(*_gcn()),
        lambda: _attrs(_gcn()[0], "W", _gcn()[1]),
        "wrong",
        "P is not symmetric, and backward multiplies by P instead of its transpose",
        ("transposed",),
        ("X",),
        "        return self.P @ (da @ self.W.T)",
        "        return self.P.T @ (da @ self.W.T)",
    ),
    Stranger(
        "weighted bag of embeddings: repeated words are lost",
        "layer of weights and ids with attributes",
        lambda gradlab: gradlab.check_layer(*_bag()),
        lambda: _attrs(_bag()[0], "table", *_bag()[1:]),
        "wrong",
        "fancy indexing with += keeps only one contribution of a word that occurs several times",
        ("last-write-wins",),
        ("table",),
        "        self.dtable[self.ids] += self.weights[:, :, None] * dout[:, None, :]",
        "        np.add.at(self.dtable, self.ids, self.weights[:, :, None] * dout[:, None, :])",
    ),
    Stranger(
        "reflection padding: returns its own buffers",
        "layer with buffers",
        lambda gradlab: gradlab.check_layer(ReflectPad1d((2, 2, 6), 2), N(2, 2, 6)),
        lambda: [],
        "habit",
        "forward and backward return the layer's buffers, which the next call overwrites",
        ("aliases-memory",),
        ("x",),
    ),
    Stranger(
        "layer scale: adds to the gradient of the call before",
        "layer with attributes",
        lambda gradlab: gradlab.check_layer(LayerScale(3), N(2, 4, 3)),
        lambda: [],
        "habit",
        "dgamma is added up over calls, and nothing sets it to zero",
        ("accumulates",),
        ("gamma",),
    ),
]
