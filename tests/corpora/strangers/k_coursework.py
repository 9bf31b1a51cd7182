"""Layers handed in for a deep learning course."""

import numpy as np
from scipy.special import erf

from ._entry import Stranger
from ._help_k import against, cot

rs = np.random.RandomState


class Maxout:
    """h_j = max over k of (x W_k + b_k)_j   (Goodfellow et al. 2013)"""

    def __init__(self, n_in, n_out, k, seed=0):
        r = rs(seed)
        self.W = r.randn(k, n_in, n_out) * 0.7
        self.b = r.randn(k, n_out) * 0.1

    def forward(self, x):
        self.x = x
        z = np.einsum("ni,kio->kno", x, self.W) + self.b[:, None, :]
        self.who = z.argmax(0)
        return z.max(0)

    def backward(self, dout):
        dz = np.zeros((len(self.W),) + dout.shape)
        np.put_along_axis(dz, self.who[None], dout[None], 0)
        self.dW = np.einsum("ni,kno->kio", self.x, dz)
        self.db = dz.sum(1)
        return np.einsum("kno,kio->ni", dz, self.W)


def sig(a):
    return 1.0 / (1.0 + np.exp(-a))


def highway_forward(x, Wh, bh, Wt, bt):
    h = np.tanh(x @ Wh + bh)
    t = sig(x @ Wt + bt)
    return t * h + (1 - t) * x, {"x": x, "h": h, "t": t, "Wh": Wh, "Wt": Wt}


def highway_backward(dout, cache):
    x, h, t = cache["x"], cache["h"], cache["t"]
    da = dout * t * (1 - h**2)
    db = dout * (h - x) * t * (1 - t)
    return {
        "dx": dout * (1 - t) + da @ cache["Wh"].T + db @ cache["Wt"].T,
        "dWh": x.T @ da,
        "dbh": da.sum(0),
        "dWt": x.T @ db,
        "dbt": db.sum(0),
    }


class Linear:
    def __init__(self, i, o, r):
        self.W, self.b = r.randn(i, o) / np.sqrt(i), 0.1 * r.randn(o)
        self.dW = self.db = None

    def forward(self, x):
        self.x = x
        return x @ self.W + self.b

    def backward(self, d):
        self.dW, self.db = self.x.T @ d, d.sum(0)
        return d @ self.W.T


class SqueezeExcite:
    """channels last: x is (N, H, W, C)"""

    def __init__(self, channels, reduce=2, seed=0):
        r = rs(seed)
        self.fc1 = Linear(channels, channels // reduce, r)
        self.fc2 = Linear(channels // reduce, channels, r)

    def forward(self, x):
        self.x = x
        self.hid = np.tanh(self.fc1.forward(x.mean((1, 2))))
        self.gate = sig(self.fc2.forward(self.hid))
        return x * self.gate[:, None, None, :]

    def backward(self, dout):
        dgate = np.sum(dout * self.x, axis=(1, 2))
        dhid = self.fc2.backward(dgate * self.gate * (1 - self.gate))
        dsq = self.fc1.backward(dhid * (1 - self.hid**2))
        hw = self.x.shape[1] * self.x.shape[2]
        return dout * self.gate[:, None, None, :] + dsq[:, None, None, :] / hw


class WeightNormDense:
    # Salimans & Kingma: w = g * v / |v|, a row per output
    def __init__(self, n_in, n_out, seed=0):
        r = rs(seed)
        self.v, self.g, self.b = r.randn(n_out, n_in), r.rand(n_out) + 0.5, r.randn(n_out)

    def forward(self, x):
        self.x = x
        self.norm = np.linalg.norm(self.v, axis=1)
        self.unit = self.v / self.norm[:, None]
        return x @ (self.g[:, None] * self.unit).T + self.b

    def backward(self, dy):
        dw = dy.T @ self.x
        self.grad_g = (dw * self.unit).sum(1)
        self.grad_v = (self.g / self.norm)[:, None] * (dw - self.grad_g[:, None] * self.unit)
        self.grad_b = dy.sum(0)
        return dy @ (self.g[:, None] * self.unit)


class PReLU:
    """One slope per channel, images are (N, C, H, W)."""

    def __init__(self, n_channels):
        self.alpha = np.linspace(0.1, 0.4, n_channels)

    def forward(self, x):
        self.x = x
        return np.where(x > 0, x, self.alpha[:, None, None] * x)

    def backward(self, dout):
        self.dalpha = (dout * np.minimum(self.x, 0)).sum(axis=(0, 1, 2))
        return np.where(self.x > 0, dout, self.alpha[:, None, None] * dout)


class RBFLayer:
    def __init__(self, centres, gamma):
        self.params = [centres, gamma]
        self.grads = [None, None]

    def forward(self, x):
        c, gamma = self.params
        self.diff = x[:, None, :] - c[None]
        self.r2 = (self.diff**2).sum(2)
        self.phi = np.exp(-gamma * self.r2)
        return self.phi

    def backward(self, dout):
        gamma = self.params[1]
        d = dout * self.phi
        self.grads[1] = -gamma * (d * self.r2).sum(0)
        e = 2 * (d * gamma)[:, :, None] * self.diff
        self.grads[0] = e.sum(0)
        return -e.sum(1)


def film(x, gamma, beta):
    """Feature-wise linear modulation, x: (N, C, L), gamma and beta: (N, C)."""
    return gamma[:, :, None] * x + beta[:, :, None], (x, gamma)


def film_back(dout, cache):
    x, gamma = cache
    dx = gamma[:, :, None] * dout
    dgamma = (dout * x).sum(-1)
    dbeta = dout.sum(-1)
    return dx, dbeta, dgamma


class ISTAStep:
    """Learned ISTA, first step: shrink(x W) with a threshold for every atom of the dictionary"""

    def __init__(self, W, theta):
        self.W, self.theta = W, theta

    def forward(self, x):
        self.x = x
        self.c = x @ self.W
        self.on = np.abs(self.c) > self.theta
        return np.sign(self.c) * np.maximum(np.abs(self.c) - self.theta, 0)

    def backward(self, dz):
        self.dtheta = -np.sum(np.sign(self.c) * self.on, axis=0)
        dc = dz * self.on
        self.dW = self.x.T @ dc
        return dc @ self.W.T


class CosineClassifier:
    """tau * cos(x, w_k), tau is learned"""

    def __init__(self, dim, classes, seed=0):
        self.W = rs(seed).randn(classes, dim)
        self.tau = np.array([4.0])

    def forward(self, x):
        self.nx = np.sqrt((x * x).sum(1, keepdims=True))
        self.nw = np.sqrt((self.W * self.W).sum(1, keepdims=True))
        self.xh, self.wh = x / self.nx, self.W / self.nw
        self.cos = self.xh @ self.wh.T
        return self.tau * self.cos

    def backward(self, dout):
        self.dtau = (dout * self.cos).sum(axis=0)
        dcos = self.tau * dout
        dxh, dwh = dcos @ self.wh, dcos.T @ self.xh
        self.dW = (dwh - self.wh * (dwh * self.wh).sum(1, keepdims=True)) / self.nw
        return (dxh - self.xh * (dxh * self.xh).sum(1, keepdims=True)) / self.nx


class FeedForward:
    """position-wise FFN of CLIP's transformer: quick_gelu between two matrices"""

    def __init__(self, d, hidden, seed=0):
        r = rs(seed)
        self.params = {"W1": r.randn(d, hidden), "b1": r.randn(hidden), "W2": r.randn(hidden, d)}
        self.grads = {}

    def forward(self, x):
        p = self.params
        self.x, self.z = x, x @ p["W1"] + p["b1"]
        self.act = self.z / (1 + np.exp(-1.702 * self.z))
        return self.act @ p["W2"]

    def backward(self, dout):
        p, z = self.params, self.z
        self.grads["W2"] = np.einsum("nti,nto->io", self.act, dout)
        slope = 0.5 * (1 + erf(z / np.sqrt(2))) + z * np.exp(-0.5 * z * z) / np.sqrt(2 * np.pi)
        dz = dout @ p["W2"].T * slope
        self.grads["W1"] = np.einsum("nti,nto->io", self.x, dz)
        self.grads["b1"] = dz.sum((0, 1))
        return dz @ p["W1"].T


class DropPathLReLU:
    """leaky relu, then whole samples dropped (the draw is fixed at construction)"""

    def __init__(self, keep, leak=0.1):
        self.keep, self.leak = np.asarray(keep), leak

    def forward(self, x):
        self.neg = x < 0
        y = np.where(self.neg, self.leak * x, x)
        return y * (self.keep / self.keep.mean())[:, None]

    def backward(self, dout):
        dout[self.neg] *= self.leak
        dout *= (self.keep / self.keep.mean())[:, None]
        return dout


def _prove(make, x, names):
    """names: of parameter arrays and of the gradients that go with them"""
    m = make()
    g = cot(m.forward(x))
    dx = m.backward(g.copy())
    return against(lambda: m.forward(x), g, (dx, x), *((fetch(m), p(m)) for p, fetch in names))


def at(*names):
    return [(lambda m, n=n: getattr(m, n), lambda m, k=k: getattr(m, k)) for n, k in names]


def _pair(f, b, args, order=None):
    out, cache = f(*args)
    g = cot(out)
    got = b(g, cache)
    return against(lambda: f(*args)[0], g, *zip([got[k] for k in order] if order else got, args))


def _highway():
    r = rs(3)
    return r.randn(4, 3), r.randn(3, 3), r.randn(3), r.randn(3, 3), r.randn(3) - 1


def _film():
    r = rs(4)
    return r.randn(3, 4, 5), r.randn(3, 4), r.randn(3, 4)


def _se():
    return [
        (lambda m, f=f, p=p: getattr(getattr(m, f), p), lambda m, f=f, p=p: getattr(getattr(m, f), "d" + p))
        for f in ("fc1", "fc2")
        for p in ("W", "b")
    ]


def _rbf():
    return RBFLayer(rs(1).randn(4, 2), np.array([0.3, 0.5, 0.8, 2.0]))


def _ista():
    return ISTAStep(rs(2).randn(4, 6), np.linspace(0.2, 0.9, 6))


ENTRIES = [
    Stranger(
        "maxout layer",
        "layer with attributes",
        lambda gradlab: gradlab.check_layer(Maxout(4, 3, 2), rs(1).randn(5, 4)),
        lambda: _prove(lambda: Maxout(4, 3, 2), rs(1).randn(5, 4), at(("W", "dW"), ("b", "db"))),
    ),
    Stranger(
        "highway layer",
        "pair with cache dict, gradients in a dict",
        lambda gradlab: gradlab.check_cached_pair(highway_forward, highway_backward, _highway()),
        lambda: _pair(highway_forward, highway_backward, _highway(), ("dx", "dWh", "dbh", "dWt", "dbt")),
    ),
    Stranger(
        "squeeze and excitation, channels last",
        "layer with layers inside",
        lambda gradlab: gradlab.check_layer(SqueezeExcite(4), rs(1).randn(2, 3, 2, 4)),
        lambda: _prove(lambda: SqueezeExcite(4), rs(1).randn(2, 3, 2, 4), _se()),
    ),
    Stranger(
        "weight-normalised dense layer",
        "layer with attributes grad_*",
        lambda gradlab: gradlab.check_layer(WeightNormDense(4, 3), rs(1).randn(5, 4)),
        lambda: _prove(
            lambda: WeightNormDense(4, 3),
            rs(1).randn(5, 4),
            at(("v", "grad_v"), ("g", "grad_g"), ("b", "grad_b")),
        ),
    ),
    Stranger(
        "PReLU with a slope per channel: summed over the wrong axes",
        "layer with attributes",
        lambda gradlab: gradlab.check_layer(PReLU(3), rs(1).randn(2, 3, 4, 3)),
        lambda: _prove(lambda: PReLU(3), rs(1).randn(2, 3, 4, 3), at(("alpha", "dalpha"))),
        "wrong",
        "the slopes' gradient is summed over batch, channel and row, as if the channel came last",
        ("wrong-sum-axis",),
        ("alpha",),
        "        self.dalpha = (dout * np.minimum(self.x, 0)).sum(axis=(0, 1, 2))",
        "        self.dalpha = (dout * np.minimum(self.x, 0)).sum(axis=(0, 2, 3))",
    ),
    Stranger(
        "radial basis functions: gradient by the logarithm of gamma",
        "layer with params and grads lists",
        lambda gradlab: gradlab.check_layer(_rbf(), rs(2).randn(5, 2)),
        lambda: _prove(
            _rbf, rs(2).randn(5, 2), [(lambda m, i=i: m.params[i], lambda m, i=i: m.grads[i]) for i in (0, 1)]
        ),
        "wrong",
        "the widths' gradient is the one for log(gamma): a factor gamma too many",
        ("log-parameter",),
        ("gamma", "params[1]"),
        "        self.grads[1] = -gamma * (d * self.r2).sum(0)",
        "        self.grads[1] = -(d * self.r2).sum(0)",
    ),
    Stranger(
        "FiLM: gradients of gamma and beta exchanged",
        "pair with cache tuple",
        lambda gradlab: gradlab.check_cached_pair(film, film_back, _film()),
        lambda: _pair(film, film_back, _film()),
        "wrong",
        "returns the gradient of beta in gamma's place and the other way round",
        ("swapped-primals",),
        ("gamma", "beta"),
        "    return dx, dbeta, dgamma",
        "    return dx, dgamma, dbeta",
    ),
    Stranger(
        "learned ISTA step: threshold's gradient without the cotangent",
        "layer with attributes",
        lambda gradlab: gradlab.check_layer(_ista(), rs(3).randn(5, 4)),
        lambda: _prove(_ista, rs(3).randn(5, 4), at(("theta", "dtheta"), ("W", "dW"))),
        "wrong",
        "the gradient of theta does not use dz",
        ("ignores-cotangent",),
        ("theta",),
        "        self.dtheta = -np.sum(np.sign(self.c) * self.on, axis=0)",
        "        self.dtheta = -np.sum(dz * np.sign(self.c) * self.on, axis=0)",
    ),
    Stranger(
        "cosine classifier with a learned temperature: not summed over the classes",
        "layer with attributes",
        lambda gradlab: gradlab.check_layer(CosineClassifier(4, 3), rs(1).randn(5, 4)),
        lambda: _prove(lambda: CosineClassifier(4, 3), rs(1).randn(5, 4), at(("tau", "dtau"), ("W", "dW"))),
        "wrong",
        "tau is broadcast over samples and classes, and its gradient summed over the samples alone",
        ("missing-broadcast-sum", "wrong-shape"),
        ("tau",),
        "        self.dtau = (dout * self.cos).sum(axis=0)",
        "        self.dtau = np.array([np.sum(dout * self.cos)])",
    ),
    Stranger(
        "transformer's feed-forward block: exact gelu's slope behind quick gelu",
        "layer with params and grads dicts",
        lambda gradlab: gradlab.check_layer(FeedForward(3, 5), rs(1).randn(2, 4, 3)),
        lambda: _prove(
            lambda: FeedForward(3, 5),
            rs(1).randn(2, 4, 3),
            [(lambda m, k=k: m.params[k], lambda m, k=k: m.grads[k]) for k in ("W1", "b1", "W2")],
        ),
        "wrong",
        "forward is x sigmoid(1.702 x), and the slope is that of the gelu with erf",
        ("other-approximation",),
        ("x", "W1", "b1"),
        "        slope = 0.5 * (1 + erf(z / np.sqrt(2))) + z * np.exp(-0.5 * z * z) / np.sqrt(2 * np.pi)\n",
        "        s = 1 / (1 + np.exp(-1.702 * z))\n        slope = s + 1.702 * z * s * (1 - s)\n",
    ),
    Stranger(
        "leaky relu with drop path: writes into dout",
        "layer without parameters",
        lambda gradlab: gradlab.check_layer(DropPathLReLU([1.0, 0, 1, 1]), rs(5).randn(4, 3)),
        lambda: [],
        "habit",
        "backward scales its argument in place and returns it",
        ("mutates-argument", "aliases-memory"),
        ("x",),
    ),
]
