import numpy as np

from ._entry import Stranger
from ._help_a import against, dot, rnd


def prove_layer(layer, inputs, g, pairs=lambda layer: []):
    """The first of inputs has a gradient, the others are masks or ids."""
    layer.forward(*inputs)
    dx = layer.backward(g)
    return against(lambda: dot(layer.forward(*inputs), g), [(dx, inputs[0])] + pairs(layer))


# ---- embeddings
class EmbeddingBag:
    """Mean over each bag of ids; id 0 is padding, its row is never read and gets no gradient."""

    def __init__(self, W):
        self.W = W
        self.W_ema = W.copy()  # for evaluation, not trained here
        self.W_grad = np.zeros_like(W)
        self.count = 0

    def forward(self, ids):
        self.ids, self.real = ids, (ids != 0)[:, :, None]
        self.n = np.maximum(self.real.sum(axis=1), 1)
        self.count += 1
        return (self.W[ids] * self.real).sum(axis=1) / self.n

    def backward(self, dout):
        self.W_grad = np.zeros_like(self.W)
        share = (dout / self.n)[:, None, :] * self.real
        np.add.at(self.W_grad, self.ids, share)
        return None


def bags():
    return np.array([[3, 1, 3, 0], [5, 0, 0, 0], [2, 2, 4, 1]])


def prove_bag():
    layer, ids, g = EmbeddingBag(rnd(1, 6, 3)), bags(), rnd(2, 3, 3)
    layer.forward(ids)
    layer.backward(g)
    return against(lambda: dot(layer.forward(ids), g), [(layer.W_grad, layer.W)])


class PositionTable:
    """Token vectors are scaled by sqrt(d); positions begin at row 2, as rows 0 and 1 are reserved."""

    offset = 2

    def __init__(self, rows=8, dim=3):
        self.table = rnd(11, rows, dim)
        self.table_grad = np.zeros_like(self.table)

    def forward(self, tokens):
        n, t, d = tokens.shape
        self.t = t
        return np.sqrt(d) * tokens + self.table[self.offset : self.offset + t]

    def backward(self, grad):
        self.table_grad = np.zeros_like(self.table)
        self.table_grad[: self.t] += grad.sum(axis=0)
        return np.sqrt(grad.shape[2]) * grad


# ---- dropout
class Dropout:
    """As in the paper: scaled when predicting, not when training."""

    def __init__(self, dropout_ratio=0.4):
        self.dropout_ratio = dropout_ratio
        self.mask = None

    def forward(self, x, train_flg=True):
        if train_flg:
            self.mask = np.random.rand(*x.shape) > self.dropout_ratio
            return x * self.mask
        self.mask = None
        return x * (1.0 - self.dropout_ratio)

    def backward(self, dout):
        if self.mask is None:
            return dout * (1.0 - self.dropout_ratio)
        return dout * self.mask


def prove_dropout():
    layer, x, g = Dropout(), rnd(21, 4, 5), rnd(22, 4, 5)
    layer.forward(x)
    pairs = [(layer.backward(g), g * layer.mask)]
    layer.forward(x, train_flg=False)
    return pairs + [(layer.backward(g), 0.6 * g)]


class MaskedUnits:
    """Drops the units for which `keep` is False, then a linear map."""

    def __init__(self, keep_prob=0.75):
        self.keep_prob = keep_prob
        self.M = rnd(31, 4, 3)
        self.dM = None

    def forward(self, x, keep):
        self.keep = keep
        self.h = np.where(keep, x / self.keep_prob, 0.0)
        return self.h @ self.M

    def backward(self, dy):
        self.dM = self.h.T @ dy
        return np.where(self.keep, dy @ self.M.T, 0.0)


def keeps():
    return np.array([[1, 0, 1, 1], [1, 1, 1, 0], [0, 1, 1, 1], [1, 1, 0, 1], [1, 1, 1, 1]], dtype=bool)


# ---- graphs
class EdgeAttention:
    """Scores for each edge, softmax over the edges that end in a node, weighted sum of the sources."""

    def __init__(self, src, dst, n_nodes, d_in=3, d_out=2):
        self.src, self.dst, self.n = src, dst, n_nodes
        self.W, self.a_src, self.a_dst = rnd(41, d_in, d_out), rnd(42, d_out), rnd(43, d_out)

    def _to_nodes(self, per_edge):
        out = np.zeros((self.n,) + per_edge.shape[1:])
        np.add.at(out, self.dst, per_edge)
        return out

    def forward(self, h):
        z = h @ self.W
        pre = z[self.src] @ self.a_src + z[self.dst] @ self.a_dst
        score = np.where(pre > 0, pre, 0.2 * pre)
        e = np.exp(score - score.max())
        alpha = e / self._to_nodes(e)[self.dst]
        self.kept = h, z, pre, alpha
        return self._to_nodes(alpha[:, None] * z[self.src])

    def backward(self, dout):
        h, z, pre, alpha = self.kept
        dedge = dout[self.dst]
        dz = np.zeros_like(z)
        np.add.at(dz, self.src, alpha[:, None] * dedge)
        dalpha = (dedge * z[self.src]).sum(axis=1)
        dscore = alpha * (dalpha - self._to_nodes(alpha * dalpha)[self.dst])
        dpre = dscore * np.where(pre > 0, 1.0, 0.2)
        np.add.at(dz, self.src, np.outer(dpre, self.a_src))
        np.add.at(dz, self.dst, np.outer(dpre, self.a_dst))
        self.grad_W = h.T @ dz
        self.grad_a_src = dpre @ z[self.src]
        self.grad_a_dst = dpre @ z[self.dst]
        return dz @ self.W.T


def edges():
    return EdgeAttention(np.array([0, 1, 2, 3, 4, 0, 2, 4]), np.array([1, 1, 0, 2, 3, 4, 4, 0]), 5)


def of_edges(layer):
    return [(getattr(layer, "grad_" + k), getattr(layer, k)) for k in ("W", "a_src", "a_dst")]


class GraphConv:
    """Mean over the neighbours and the node itself, then weights and tanh."""

    def __init__(self, adjacency, n_in, n_out):
        A = adjacency + np.eye(len(adjacency))
        self.A = A / A.sum(axis=1, keepdims=True)
        self.params, self.grads = {"W": rnd(51, n_in, n_out)}, {}

    def forward(self, H):
        self.AH = self.A @ H
        self.Y = np.tanh(self.AH @ self.params["W"])
        return self.Y

    def backward(self, dY):
        dS = dY * (1 - self.Y**2)
        self.grads["W"] = self.AH.T @ dS
        return self.A @ (dS @ self.params["W"].T)


ADJACENCY = np.array([[0, 1, 1, 1, 0], [1, 0, 0, 0, 0], [1, 0, 0, 1, 0], [1, 0, 1, 0, 1], [0, 0, 0, 1, 0.0]])


class HeatStep:
    """One explicit step of diffusion on a graph, x - a L x, with the rate a learned."""

    def __init__(self, adjacency):
        self.laplacian = np.diag(adjacency.sum(axis=1)) - adjacency
        self.rate, self.rate_gradient = np.array(0.15), np.array(0.0)

    def forward(self, x):
        self.flow = self.laplacian @ x
        return x - self.rate * self.flow

    def backward(self, upstream):
        self.rate_gradient = np.array(np.sum(upstream * self.flow))
        return upstream - self.rate * (self.laplacian.T @ upstream)


class MeanReadout:
    """Mean over the nodes with a learned scale for each channel."""

    def __init__(self, channels):
        self.params, self.grads = [1 + 0.3 * rnd(61, channels)], [None]

    def forward(self, nodes):
        self.shape, self.mean = nodes.shape, nodes.mean(axis=0)
        return self.params[0] * self.mean

    def backward(self, g):
        self.grads[0] = g * self.mean
        return np.broadcast_to(self.params[0] * g / self.shape[0], self.shape)  # read-only


# ---- a flow's layer that looks at the first batch
class ActNorm:
    def __init__(self):
        self.initialized = False
        self.log_s = self.b = None
        self.dlog_s = self.db = None

    def initialize(self, x):
        self.log_s = -np.log(x.std(axis=0) + 1e-6)
        self.b = -x.mean(axis=0) * np.exp(self.log_s)
        self.initialized = True

    def forward(self, x):
        if not self.initialized:
            self.initialize(x)
        self.scaled = x * np.exp(self.log_s)
        return self.scaled + self.b

    def backward(self, dy):
        self.dlog_s = np.sum(dy * self.scaled, axis=0)
        self.db = np.sum(dy, axis=0)
        return dy * np.exp(self.log_s)


def actnorm():
    layer = ActNorm()
    layer.initialize(0.5 + 1.5 * rnd(71, 8, 3))
    return layer


# ---- a codebook read by soft choice
class SoftCodebook:
    def __init__(self, d=3, codes=5):
        self.params = {"W": rnd(81, d, codes), "C": rnd(82, codes, 2), "T": np.array([0.8])}
        self.grads = {k: np.zeros_like(v) for k, v in self.params.items()}

    def forward(self, x):
        s = x @ self.params["W"] / self.params["T"]
        p = np.exp(s - s.max(axis=1, keepdims=True))
        p /= p.sum(axis=1, keepdims=True)
        self.memo = x, p
        return p @ self.params["C"]

    def backward(self, dout):
        x, p = self.memo
        dp = dout @ self.params["C"].T
        ds = p * (dp - (p * dp).sum(axis=1, keepdims=True)) / self.params["T"]
        self.grads["C"] = p.T @ dout
        self.grads["W"] = x.T @ ds
        return ds @ self.params["W"].T


# ---- a window of channels
class ChannelCrop:
    """Hands on the channels from start to stop."""

    def __init__(self, start=1, stop=3):
        self.window = slice(start, stop)

    def forward(self, x):
        self.like = x
        return x[:, self.window] * 1.0

    def backward(self, dout):
        dx = np.empty_like(self.like)
        dx[:, self.window] = dout
        return dx


def prove_crop():
    layer, x, g = ChannelCrop(), rnd(91, 4, 5), rnd(92, 4, 2)
    layer.forward(x)
    used = [np.full(x.shape, 7.0) for _ in range(12)]
    del used  # what np.empty may find
    return against(lambda: dot(layer.forward(x), g), [(layer.backward(g), x)])


ENTRIES = [
    Stranger(
        "bag of embeddings with padding",
        "layer of ids, buffers named like the parameter",
        lambda gradlab: gradlab.check_layer(EmbeddingBag(rnd(1, 6, 3)), bags()),
        prove_bag,
    ),
    Stranger(
        "table of positions with reserved rows: gradient two rows too early",
        "layer with attributes",
        lambda gradlab: gradlab.check_layer(PositionTable(), rnd(12, 2, 4, 3)),
        lambda: prove_layer(
            PositionTable(),
            [rnd(12, 2, 4, 3)],
            rnd(13, 2, 4, 3),
            lambda layer: [(layer.table_grad, layer.table)],
        ),
        "wrong",
        "backward writes into rows 0.. instead of offset..",
        ("shifted",),
        ("table",),
    ),
    Stranger(
        "dropout as in the paper",
        "layer with a mode and its own chance",
        lambda gradlab: gradlab.check_layer(Dropout(), rnd(21, 4, 5)),
        prove_dropout,
    ),
    Stranger(
        "masked units: 1/keep_prob forgotten",
        "layer with a mask given",
        lambda gradlab: gradlab.check_layer(MaskedUnits(), rnd(32, 5, 4), keeps()),
        lambda: prove_layer(
            MaskedUnits(), [rnd(32, 5, 4), keeps()], rnd(33, 5, 3), lambda layer: [(layer.dM, layer.M)]
        ),
        "wrong",
        "dx is not divided by keep_prob",
        ("constant-factor",),
        ("x",),
    ),
    Stranger(
        "attention along the edges of a graph",
        "graph layer with attributes",
        lambda gradlab: gradlab.check_layer(edges(), rnd(44, 5, 3)),
        lambda: prove_layer(edges(), [rnd(44, 5, 3)], rnd(45, 5, 2), of_edges),
    ),
    Stranger(
        "graph convolution by means: matrix not transposed",
        "graph layer with dicts",
        lambda gradlab: gradlab.check_layer(GraphConv(ADJACENCY, 3, 4), rnd(52, 5, 3)),
        lambda: prove_layer(
            GraphConv(ADJACENCY, 3, 4),
            [rnd(52, 5, 3)],
            rnd(53, 5, 4),
            lambda layer: [(layer.grads["W"], layer.params["W"])],
        ),
        "wrong",
        "the normalised adjacency is not symmetric and backward needs its transpose",
        ("transposed",),
        ("H",),
    ),
    Stranger(
        "diffusion on a graph: sign of the rate's gradient",
        "graph layer with a scalar parameter",
        lambda gradlab: gradlab.check_layer(HeatStep(ADJACENCY), rnd(54, 5, 3)),
        lambda: prove_layer(
            HeatStep(ADJACENCY),
            [rnd(54, 5, 3)],
            rnd(55, 5, 3),
            lambda layer: [(layer.rate_gradient, layer.rate)],
        ),
        "wrong",
        "the minus in x - a L x is forgotten",
        ("sign-flipped",),
        ("rate",),
    ),
    Stranger(
        "mean readout with a read-only gradient",
        "layer with lists",
        lambda gradlab: gradlab.check_layer(MeanReadout(3), rnd(62, 5, 3)),
        lambda: prove_layer(
            MeanReadout(3), [rnd(62, 5, 3)], rnd(63, 3), lambda layer: [(layer.grads[0], layer.params[0])]
        ),
    ),
    Stranger(
        "actnorm, initialised from data",
        "layer with a setup step",
        lambda gradlab: gradlab.check_layer(actnorm(), rnd(72, 5, 3)),
        lambda: prove_layer(
            actnorm(),
            [rnd(72, 5, 3)],
            rnd(73, 5, 3),
            lambda layer: [(layer.dlog_s, layer.log_s), (layer.db, layer.b)],
        ),
    ),
    Stranger(
        "soft codebook: temperature without gradient",
        "layer with dicts",
        lambda gradlab: gradlab.check_layer(SoftCodebook(), rnd(83, 4, 3)),
        lambda: prove_layer(
            SoftCodebook(),
            [rnd(83, 4, 3)],
            rnd(84, 4, 2),
            lambda layer: [(layer.grads[k], layer.params[k]) for k in ("W", "C", "T")],
        ),
        "wrong",
        "T's gradient is never computed and stays zero",
        ("zero-gradient",),
        ("T",),
    ),
    Stranger(
        "channel crop: the rest of dx not initialised",
        "layer without parameters",
        lambda gradlab: gradlab.check_layer(ChannelCrop(), rnd(91, 4, 5)),
        prove_crop,
        "wrong",
        "np.empty_like where zeros are needed",
        ("uninitialised-memory", "nondeterministic"),
        ("x",),
    ),
]
