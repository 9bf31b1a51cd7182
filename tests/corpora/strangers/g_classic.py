"""Plain layers with forward and backward, as in books and course repositories."""

import numpy as np

from ._entry import Stranger
from ._help_g import both


class Swish:
    """x * sigmoid(beta x), 학습 가능한 beta"""

    def __init__(self, n):
        self.params = [np.linspace(0.5, 1.5, n)]
        self.grads = [np.zeros(n)]

    def forward(self, x):
        (beta,) = self.params
        self.x = x
        self.sig = 1.0 / (1.0 + np.exp(-beta * x))
        self.out = x * self.sig
        return self.out

    def backward(self, dout):
        (beta,) = self.params
        # d(sig)/dz = sig (1 - sig)
        dsig = self.x * self.sig * (1 - self.sig)
        self.grads[0][...] = np.sum(dout * dsig * self.x, axis=0)
        return dout * (self.sig + beta * dsig)


class Maxout:
    def __init__(self, D, M, k, rng):
        self.W = rng.normal(size=(k, D, M)) * 0.5
        self.b = rng.normal(size=(k, M)) * 0.1
        self.dW, self.db = None, None

    def forward(self, x):
        self.x = x
        z = np.einsum("nd,kdm->nkm", x, self.W) + self.b
        # 어느 조각이 최대였는지 기억해 둔다
        self.winner = z.argmax(axis=1)
        return z.max(axis=1)

    def backward(self, dout):
        k = self.W.shape[0]
        dz = np.where(self.winner[:, None, :] == np.arange(k)[None, :, None], dout[:, None, :], 0.0)
        self.dW = np.einsum("nd,nkm->kdm", self.x, dz)
        self.db = dz.sum(0)
        return np.einsum("nkm,kdm->nd", dz, self.W)


class GroupNorm2d:
    def __init__(self, channels, groups, eps=1e-5):
        self.G = groups
        self.eps = eps
        self.params = {"gamma": np.linspace(0.8, 1.4, channels), "beta": np.linspace(-1, 1, channels)}
        self.grads = {}

    def forward(self, x):
        N, C, H, W = x.shape
        xg = x.reshape(N, self.G, -1)
        mu = xg.mean(axis=2, keepdims=True)
        self.istd = 1.0 / np.sqrt(xg.var(axis=2, keepdims=True) + self.eps)
        self.xhat = ((xg - mu) * self.istd).reshape(x.shape)
        g, b = (self.params[k][:, None, None] for k in ("gamma", "beta"))
        return g * self.xhat + b

    def backward(self, dout):
        N, C, H, W = dout.shape
        self.grads["gamma"] = (dout * self.xhat).sum((0, 2, 3))
        self.grads["beta"] = dout.sum((0, 2, 3))
        dxh = (dout * self.params["gamma"][:, None, None]).reshape(N, self.G, -1)
        xh = self.xhat.reshape(N, self.G, -1)
        dx = dxh - dxh.mean(2, keepdims=True) - xh * (dxh * xh).mean(2, keepdims=True)
        return (dx * self.istd).reshape(dout.shape)


class CosineLinear(object):
    """scale * cos(angle between x and every class vector); used in few-shot heads"""

    def __init__(self, W, scale=4.0):
        self.W = W
        self.scale = np.array([scale])

    def forward(self, feats):
        self.nf = np.linalg.norm(feats, axis=1, keepdims=True)
        self.nw = np.linalg.norm(self.W, axis=0, keepdims=True)
        self.f, self.w = feats / self.nf, self.W / self.nw
        self.cos = self.f @ self.w
        return self.scale * self.cos

    def backward(self, grad):
        self.d_scale = np.array([(grad * self.cos).sum()])
        gc = grad * self.scale
        gf = gc @ self.w.T
        gw = self.f.T @ gc
        self.d_W = (gw - self.w * (gw * self.w).sum(0)) / self.nw
        return (gf - self.f * (gf * self.f).sum(1, keepdims=True)) / self.nf


class PReLU:
    # チャネルごとの傾き
    def __init__(self, c):
        self.a = 0.1 + 0.1 * np.arange(c)
        self.da = np.zeros_like(self.a)

    def forward(self, x):
        self.x = x
        return np.where(x > 0, x, self.a[None, :, None, None] * x)

    def backward(self, dout):
        neg = np.minimum(self.x, 0)
        self.da = (dout * neg).sum(axis=(0, 1, 2))
        return np.where(self.x > 0, dout, dout * self.a[None, :, None, None])


class LayerNorm:
    def __init__(self, d):
        self.params = {"g": np.ones(d) + 0.1 * np.arange(d), "b": np.zeros(d)}
        self.grads = {"g": None, "b": None}

    def forward(self, x):
        self.xc = x - x.mean(-1, keepdims=True)
        self.std = np.sqrt((self.xc**2).mean(-1, keepdims=True) + 1e-6)
        self.xn = self.xc / self.std
        return self.params["g"] * self.xn + self.params["b"]

    def backward(self, dout):
        self.grads["b"] = dout.sum(0)
        self.grads["g"] = (self.xn * dout).sum(0)
        dxn = self.params["g"] * dout
        dstd = -(dxn * self.xc).sum(-1, keepdims=True) / self.std**2
        dxc = dxn / self.std + dstd * self.xc / (self.std * dout.shape[-1])
        return dxc


class ELU:
    def __init__(self, alpha=1.3):
        self.alpha = alpha

    def forward(self, x):
        self.x = x
        self.y = np.where(x > 0, x, self.alpha * (np.exp(x) - 1))
        return self.y

    def backward(self, dy):
        slope = np.where(self.x > 0, 1.0, self.y)
        return dy * slope


class DropConnect:
    """Drops weights, not activations. The mask is drawn once (`resample`) so that runs can be repeated."""

    def __init__(self, n_in, n_out, keep=0.7, seed=3):
        self.rng = np.random.default_rng(seed)
        self.keep = keep
        self.W = self.rng.normal(size=(n_in, n_out))
        self.gW = np.zeros_like(self.W)
        self.resample()

    def resample(self):
        self.M = self.rng.random(self.W.shape) < self.keep

    def forward(self, x):
        self.x = x
        self.Wd = self.W * self.M / self.keep
        return x @ self.Wd

    def backward(self, delta):
        self.gW = (self.x.T @ delta) * self.M
        return delta @ self.Wd.T


class Highway:
    def __init__(self, d, rng):
        self.Wh, self.Wt = rng.normal(size=(2, d, d)) * 0.4
        self.bh, self.bt = np.zeros(d), -np.ones(d)

    def forward(self, x):
        h = np.tanh(x @ self.Wh + self.bh)
        t = 1 / (1 + np.exp(-(x @ self.Wt + self.bt)))
        self.mem = x, h, t
        return t * h + (1 - t) * x

    def backward(self, dy):
        x, h, t = self.mem
        dh = dy * t * (1 - h * h)
        dt = dy * (h - x) * t * (1 - t)
        self.dWh, self.dWt = x.T @ dt, x.T @ dh
        self.dbh, self.dbt = dh.sum(0), dt.sum(0)
        return dy * (1 - t) + dh @ self.Wh.T + dt @ self.Wt.T


class MaxPool1d:
    """overlapping windows, x is (batch, length)"""

    def __init__(self, size=3, stride=2):
        self.size, self.stride = size, stride

    def forward(self, x):
        starts = range(0, x.shape[1] - self.size + 1, self.stride)
        self.shape = x.shape
        self.where = np.stack([s + x[:, s : s + self.size].argmax(1) for s in starts], axis=1)
        return np.take_along_axis(x, self.where, axis=1)

    def backward(self, dout):
        dx = np.zeros(self.shape)
        rows = np.arange(self.shape[0])[:, None]
        dx[rows, self.where] = dout
        return dx


class ShiftedReLU:
    def __init__(self, t=-0.5):
        self.t = t

    def forward(self, x):
        self.off = x < self.t
        out = x.copy()
        out[self.off] = self.t
        return out

    def backward(self, dout):
        dout[self.off] = 0
        return dout


def rng():
    return np.random.default_rng(11)


def swish():
    return Swish(4), rng().normal(size=(5, 4))


def maxout():
    return Maxout(4, 3, 3, rng()), rng().normal(size=(6, 4))


def groupnorm():
    return GroupNorm2d(8, 4), rng().normal(size=(3, 8, 6, 6))


def cosine():
    return CosineLinear(rng().normal(size=(5, 3))), rng().normal(size=(4, 5)) + 0.3


def prelu():
    x = rng().normal(size=(4, 3, 30, 3))
    return PReLU(3), x + 0.05 * np.sign(x)


def layernorm():
    return LayerNorm(5), rng().normal(size=(4, 5)) * 2 + 1


def elu():
    return ELU(), rng().normal(size=(3, 4))


def dropconnect():
    return DropConnect(5, 4), rng().normal(size=(3, 5))


def highway():
    return Highway(4, rng()), rng().normal(size=(3, 4))


def pool():
    return MaxPool1d(), rng().permuted(np.linspace(-2, 2, 22)).reshape(2, 11)


def shifted():
    return ShiftedReLU(), rng().normal(size=(4, 5))


ENTRIES = [
    Stranger(
        "Swish with a learnable beta",
        "layer with params and grads lists",
        *both(swish, lambda m, g, x: [(m.backward(g), x), (m.grads[0], m.params[0])]),
    ),
    Stranger(
        "Maxout of three affine pieces",
        "layer with dW and db attributes",
        *both(maxout, lambda m, g, x: [(m.backward(g), x), (m.dW, m.W), (m.db, m.b)]),
    ),
    Stranger(
        "GroupNorm of images",
        "layer with params and grads dicts",
        *both(
            groupnorm,
            lambda m, g, x: [
                (m.backward(g), x),
                (m.grads["gamma"], m.params["gamma"]),
                (m.grads["beta"], m.params["beta"]),
            ],
        ),
    ),
    Stranger(
        "cosine classifier head with a scale",
        "layer with d_W attributes",
        *both(cosine, lambda m, g, x: [(m.backward(g), x), (m.d_W, m.W), (m.d_scale, m.scale)]),
    ),
    Stranger(
        "PReLU by channel: the slope's gradient summed over the channels",
        "layer with attributes",
        *both(prelu, lambda m, g, x: [(m.backward(g), x), (m.da, m.a)]),
        "wrong",
        "the slopes' gradient is summed over the channels and not over the columns",
        ("wrong-sum-axis",),
        ("a",),
        "        self.da = (dout * neg).sum(axis=(0, 1, 2))",
        "        self.da = (dout * neg).sum(axis=(0, 2, 3))",
    ),
    Stranger(
        "LayerNorm: the path through the mean forgotten",
        "layer with params and grads dicts",
        *both(
            layernorm,
            lambda m, g, x: [
                (m.backward(g), x),
                (m.grads["g"], m.params["g"]),
                (m.grads["b"], m.params["b"]),
            ],
        ),
        "wrong",
        "the mean that was subtracted has no gradient: its term is missing",
        ("missing-term",),
        ("x",),
        "        return dxc",
        "        return dxc - dxc.mean(-1, keepdims=True)",
    ),
    Stranger(
        "ELU: alpha forgotten in the negative slope",
        "layer without parameters",
        *both(elu, lambda m, g, x: [(m.backward(g), x)]),
        "wrong",
        "the slope on the negative side is y and should be y + alpha",
        ("masked-region", "missing-term"),
        ("x",),
        "        slope = np.where(self.x > 0, 1.0, self.y)",
        "        slope = np.where(self.x > 0, 1.0, self.y + self.alpha)",
    ),
    Stranger(
        "DropConnect: the weights' gradient not divided by keep",
        "layer with its own mask",
        *both(dropconnect, lambda m, g, x: [(m.backward(g), x), (m.gW, m.W)]),
        "wrong",
        "the weights' gradient is not divided by keep, as the masked weights are in forward",
        ("constant-factor",),
        ("W",),
        "        self.gW = (self.x.T @ delta) * self.M",
        "        self.gW = (self.x.T @ delta) * self.M / self.keep",
    ),
    Stranger(
        "Highway layer: the two matrices' gradients exchanged",
        "layer with two weight matrices",
        *both(
            highway,
            lambda m, g, x: [(m.backward(g), x), (m.dWh, m.Wh), (m.dWt, m.Wt), (m.dbh, m.bh), (m.dbt, m.bt)],
        ),
        "wrong",
        "the gradients of Wh and Wt are assigned to each other",
        ("swapped-primals",),
        ("Wh", "Wt"),
        "        self.dWh, self.dWt = x.T @ dt, x.T @ dh",
        "        self.dWh, self.dWt = x.T @ dh, x.T @ dt",
    ),
    Stranger(
        "overlapping max pooling: overwritten where windows share a maximum",
        "layer without parameters",
        *both(pool, lambda m, g, x: [(m.backward(g), x)]),
        "wrong",
        "an element that is the maximum of two windows gets the gradient of the last one only",
        ("last-write-wins",),
        ("x",),
        "        dx[rows, self.where] = dout",
        "        np.add.at(dx, (rows, self.where), dout)",
    ),
    Stranger(
        "ReLU with a shifted corner: zeroes dout in place",
        "layer without parameters",
        both(shifted, None)[0],
        lambda: [],
        "habit",
        "backward writes zeros into the dout that it is given",
        ("mutates-argument", "aliases-memory"),
        ("dout",),
        "        dout[self.off] = 0\n        return dout",
        "        return np.where(self.off, 0, dout)",
    ),
]
