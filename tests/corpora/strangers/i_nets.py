"""Whole networks."""

import numpy as np

from . import _help_i as H
from ._entry import Stranger


def glorot(rng, *shape):
    return rng.standard_normal(shape) * np.sqrt(2 / sum(shape))


class SiameseNet:
    """Signature verification: one encoder for both, contrastive loss with a soft margin. x = (B, 2, D)."""

    def __init__(self, sizes, seed=0):
        rng = np.random.default_rng(seed)
        self.params = {}
        for i, (m, n) in enumerate(zip(sizes[:-1], sizes[1:]), 1):
            self.params[f"W{i}"] = glorot(rng, m, n)
            self.params[f"b{i}"] = 0.1 * rng.standard_normal(n)
        self.depth = len(sizes) - 1

    def encode(self, h):
        acts = [h]
        for i in range(1, self.depth + 1):
            h = np.tanh(h @ self.params[f"W{i}"] + self.params[f"b{i}"])
            acts.append(h)
        return acts

    def loss(self, x, t):
        d2 = ((self.encode(x[:, 0])[-1] - self.encode(x[:, 1])[-1]) ** 2).sum(1)
        return np.mean(t * d2 + (1 - t) * np.logaddexp(0, 1 - d2))

    def gradient(self, x, t):
        left, right = self.encode(x[:, 0]), self.encode(x[:, 1])
        diff = left[-1] - right[-1]
        d2 = (diff**2).sum(1)
        g = (t - (1 - t) / (1 + np.exp(d2 - 1))) / len(t)
        grads = {k: np.zeros_like(v) for k, v in self.params.items()}
        for acts, sign in ((left, 2.0), (right, -2.0)):
            dh = sign * g[:, None] * diff
            for i in range(self.depth, 0, -1):
                dz = dh * (1 - acts[i] ** 2)
                grads[f"W{i}"] += acts[i - 1].T @ dz
                grads[f"b{i}"] += dz.sum(0)
                dh = dz @ self.params[f"W{i}"].T
        return grads


def _siamese():
    rng = np.random.default_rng(1)
    return SiameseNet([4, 5, 3]), rng.normal(size=(6, 2, 4)), np.array([1.0, 0, 0, 1, 0, 1])


class MaxoutNet(object):
    """
    cs231n-flavoured: affine - maxout(k pieces) - affine - softmax, with L2 regularisation of the weights.
    loss(X) gives scores, loss(X, y) gives loss and grads.
    """

    def __init__(self, input_dim=5, hidden_dim=4, k=3, num_classes=3, reg=0.1):
        rng = np.random.RandomState(7)
        self.params = {
            "W1": rng.randn(input_dim, hidden_dim, k) * 0.5,
            "b1": rng.randn(hidden_dim, k) * 0.2,
            "W2": rng.randn(hidden_dim, num_classes) * 0.7,
            "b2": np.zeros(num_classes),
        }
        self.reg = reg

    def loss(self, X, y=None):
        W1, b1, W2, b2 = (self.params[k] for k in ("W1", "b1", "W2", "b2"))
        pieces = np.tensordot(X, W1, 1) + b1
        win = pieces.argmax(axis=2)
        h = np.take_along_axis(pieces, win[..., None], 2)[..., 0]
        scores = h @ W2 + b2
        if y is None:
            return scores
        N = len(X)
        shifted = scores - scores.max(1, keepdims=True)
        logp = shifted - np.log(np.exp(shifted).sum(1, keepdims=True))
        loss = -logp[np.arange(N), y].mean() + 0.5 * self.reg * (np.sum(W1**2) + np.sum(W2**2))
        ds = np.exp(logp)
        ds[np.arange(N), y] -= 1
        ds /= N
        grads = {"W2": h.T @ ds + self.reg * W2, "b2": ds.sum(0)}
        dp = np.zeros_like(pieces)
        np.put_along_axis(dp, win[..., None], (ds @ W2.T)[..., None], 2)
        grads["W1"] = np.tensordot(X, dp, (0, 0)) + self.reg * W1
        grads["b1"] = dp.sum(0)
        return loss, grads


def _maxout():
    rng = np.random.RandomState(3)
    return MaxoutNet(), rng.randn(7, 5), np.array([0, 2, 1, 1, 0, 2, 2])


def _maxout_proof():
    m, X, y = _maxout()
    _, grads = m.loss(X, y)
    return [(grads[k], H.true(lambda: m.loss(X, y)[0], m.params[k])) for k in m.params]


class Highway:
    """depth x (T * H + (1 - T) * x), mean squared error at the end; weights in lists"""

    def __init__(self, dim, depth):
        rng = np.random.default_rng(11)
        self.params = [glorot(rng, dim, dim) for _ in range(2 * depth)]
        self.params += [np.full(dim, -1.0) for _ in range(depth)]
        self.depth = depth

    def predict(self, x):
        self.memory = []
        n = self.depth
        for WH, WT, bT in zip(self.params[:n], self.params[n : 2 * n], self.params[2 * n :]):
            H_ = np.tanh(x @ WH)
            T = 1 / (1 + np.exp(-(x @ WT + bT)))
            self.memory.append((x, H_, T))
            x = T * H_ + (1 - T) * x
        return x

    def loss(self, x, t):
        return ((self.predict(x) - t) ** 2).mean()

    def gradient(self, x, t):
        y = self.predict(x)
        n, g = self.depth, 2 * (y - t) / t.size
        grads = [None] * (3 * n)
        for i in reversed(range(n)):
            x, H_, T = self.memory[i]
            dzh = g * T * (1 - H_**2)
            dzt = g * (H_ - x) * T * (1 - T)
            grads[i], grads[n + i], grads[2 * n + i] = x.T @ dzh, x.T @ dzt, dzt.sum(0)
            g = g * (1 - T) + dzh @ self.params[i].T + dzt @ self.params[n + i].T
        self.grads = grads
        return grads


def _highway():
    rng = np.random.default_rng(12)
    return Highway(3, 3), rng.normal(size=(5, 3)), rng.normal(size=(5, 3))


class DeepSet:
    """phi on each element, mean and log-sum pooling, rho. feedforward, then backpropagate(delta)."""

    def __init__(self, d, h):
        rng = np.random.default_rng(13)
        self.weights = {"phi": glorot(rng, d, h), "rho": glorot(rng, 2 * h, 1)}
        self.gradients = {}

    def feedforward(self, sets):
        self.x = sets
        self.e = np.exp(np.tanh(sets @ self.weights["phi"]))
        self.pool = np.concatenate([np.log(self.e).mean(1), np.log(self.e.sum(1))], 1)
        return self.pool @ self.weights["rho"]

    def backpropagate(self, delta):
        n, h = self.x.shape[1], self.e.shape[2]
        self.gradients["rho"] = self.pool.T @ delta
        dp = delta @ self.weights["rho"].T
        a = np.log(self.e)
        da = dp[:, None, :h] / n + dp[:, None, h:] * self.e / self.e.sum(1, keepdims=True)
        dz = da * (1 - a**2)
        self.gradients["phi"] = np.einsum("bnd,bnh->dh", self.x, dz)
        return dz @ self.weights["phi"].T


def _deepset():
    return DeepSet(3, 4), np.random.default_rng(14).normal(size=(2, 5, 3))


class VAE:
    """Linear encoder, tanh decoder. The noise of the reparametrisation is handed in."""

    def __init__(self, d, z):
        rng = np.random.default_rng(15)
        shapes = {"Em": (d, z), "Ev": (d, z), "D1": (z, 4), "D2": (4, d)}
        self.params = {k: glorot(rng, *s) for k, s in shapes.items()}

    def loss(self, x, noise):
        p = self.params
        self.mean, self.logvar = x @ p["Em"], x @ p["Ev"]
        self.z = self.mean + np.exp(self.logvar / 2) * noise
        self.h = np.tanh(self.z @ p["D1"])
        self.err = self.h @ p["D2"] - x
        kl = 0.5 * np.sum(np.exp(self.logvar) + self.mean**2 - 1 - self.logvar)
        return (0.5 * np.sum(self.err**2) + kl) / len(x)

    def gradient(self, x, noise):
        self.loss(x, noise)
        p, err = self.params, self.err / len(x)
        dh = err @ p["D2"].T * (1 - self.h**2)
        dz = dh @ p["D1"].T
        dmean = dz + self.mean / len(x)
        dlogvar = 0.5 * (dz * noise * np.exp(self.logvar / 2) + (np.exp(self.logvar) - 1) / len(x))
        return {"Em": x.T @ dmean, "Ev": x.T @ dlogvar, "D1": self.z.T @ dh, "D2": self.h.T @ err}


def _vae():
    rng = np.random.default_rng(16)
    return VAE(5, 2), rng.normal(size=(4, 5)), rng.normal(size=(4, 2))


class RBFNet:
    """Gaussian bumps with centres, log widths and amplitudes, all in one flat vector theta."""

    def __init__(self, m, d, seed=17):
        self.m, self.d = m, d
        self.theta = np.random.default_rng(seed).normal(size=m * d + 2 * m) * 0.7

    def views(self, flat):
        m, d = self.m, self.d
        return flat[: m * d].reshape(m, d), flat[m * d : m * d + m], flat[m * d + m :]

    def loss(self, X, y):
        C, logw, a = self.views(self.theta)
        r2 = ((X[:, None] - C) ** 2).sum(2)
        return 0.5 * np.sum((np.exp(-r2 * np.exp(-2 * logw)) @ a - y) ** 2)

    def gradient(self, X, y):
        C, logw, a = self.views(self.theta)
        diff = X[:, None] - C
        r2, iw2 = (diff**2).sum(2), np.exp(-2 * logw)
        phi = np.exp(-r2 * iw2)
        res = phi @ a - y
        dphi = np.outer(res, a) * phi
        grad = np.empty_like(self.theta)
        gC, glogw, ga = self.views(grad)
        ga[:] = res @ phi
        glogw[:] = (dphi * r2 * 2 * iw2).sum(0)
        gC[:] = (2 * (dphi * iw2)[..., None] * diff).sum(0)
        return grad


def _rbf():
    rng = np.random.default_rng(18)
    return RBFNet(4, 2), rng.normal(size=(6, 2)), rng.normal(size=6)


def _rbf_proof():
    m, X, y = _rbf()
    return [(m.gradient(X, y), H.true(lambda: m.loss(X, y), m.theta))]


class RidgeMLP:
    def __init__(self, d=4, h=5, lam=0.2):
        rng = np.random.default_rng(19)
        self.lam = lam
        self.params = {"W1": glorot(rng, d, h), "b1": rng.normal(size=h)}
        self.params.update(W2=glorot(rng, h, 1), b2=rng.normal(size=1))

    def loss(self, x, t):
        p = self.params
        self.h = np.log1p(np.exp(x @ p["W1"] + p["b1"]))
        self.y = self.h @ p["W2"] + p["b2"]
        penalty = sum((p[k] ** 2).sum() for k in ("W1", "W2"))
        return ((self.y - t) ** 2).mean() / 2 + self.lam / 2 * penalty

    def gradient(self, x, t):
        self.loss(x, t)
        p = self.params
        dy = (self.y - t) / t.size
        dh = dy @ p["W2"].T * (1 - np.exp(-self.h))
        g = {"W1": x.T @ dh, "b1": dh.sum(0), "W2": self.h.T @ dy, "b2": dy.sum(0)}
        for name in p:
            g[name] += self.lam * p[name]
        return g


def _ridge():
    rng = np.random.default_rng(20)
    return RidgeMLP(), rng.normal(size=(6, 4)), rng.normal(size=(6, 1))


class TiedAutoencoder:
    """reconstruct = sigmoid(x W + b) W.T + c"""

    def __init__(self, d, k):
        rng = np.random.default_rng(21)
        self.params = {"W": glorot(rng, d, k), "b": np.zeros(k), "c": np.zeros(d)}

    def loss(self, x, t):
        p = self.params
        self.code = 1 / (1 + np.exp(-(x @ p["W"] + p["b"])))
        self.err = self.code @ p["W"].T + p["c"] - t
        return 0.5 * (self.err**2).sum() / len(x)

    def gradient(self, x, t):
        self.loss(x, t)
        grads = {}
        err = self.err / len(x)
        grads["c"] = err.sum(axis=0)
        grads["W"] = err.T @ self.code
        dz = err @ self.params["W"] * self.code * (1 - self.code)
        grads["b"] = dz.sum(axis=0)
        grads["W"] = x.T @ dz
        return grads


def _tied():
    x = np.random.default_rng(22).normal(size=(5, 4))
    return TiedAutoencoder(4, 3), x, x.copy()


class QuantileNet:
    """Pinball loss (smoothed) of three quantiles, one hidden layer"""

    taus = np.array([0.1, 0.5, 0.9])

    def __init__(self, d, h):
        rng = np.random.default_rng(23)
        self.params = {"A": glorot(rng, d, h), "B": glorot(rng, h, 3)}

    def loss(self, x, t):
        u = t[:, None] - np.arctan(x @ self.params["A"]) @ self.params["B"]
        return np.mean(np.sum(self.taus * u + 0.1 * np.logaddexp(0, -u / 0.1), axis=1))

    def gradient(self, x, t):
        z = x @ self.params["A"]
        h = np.arctan(z)
        u = t[:, None] - h @ self.params["B"]
        dq = -(self.taus - 1 / (1 + np.exp(u / 0.1))) / len(x)
        dA = x.T @ (dq @ self.params["B"].T / (1 + z**2)) / len(x)
        return {"A": dA, "B": h.T @ dq}


def _quantile():
    rng = np.random.default_rng(24)
    return QuantileNet(3, 4), rng.normal(size=(8, 3)), rng.normal(size=8)


class DropoutNet:
    """Masks are drawn once for a batch (set_mask), so that loss and gradient belong together."""

    def __init__(self, d, h, keep=0.6):
        self.rng = np.random.default_rng(25)
        self.params = {"W1": glorot(self.rng, d, h), "W2": glorot(self.rng, h, 2)}
        self.keep = keep

    def set_mask(self, n):
        h = self.params["W1"].shape[1]
        self.mask = (self.rng.random((n, h)) < self.keep) / self.keep

    def loss(self, x, t):
        h = np.sinh(x @ self.params["W1"]) * self.mask
        return 0.5 * np.sum((h @ self.params["W2"] - t) ** 2)

    def gradient(self, x, t):
        z = x @ self.params["W1"]
        h = np.sinh(z) * self.mask
        d = h @ self.params["W2"] - t
        dh = d @ self.params["W2"].T
        return {"W1": x.T @ (dh * np.cosh(z)), "W2": h.T @ d}


def _dropout():
    rng = np.random.default_rng(26)
    net = DropoutNet(3, 6)
    net.set_mask(5)
    return net, rng.normal(size=(5, 3)), rng.normal(size=(5, 2))


class ClipLike:
    """Two projections and a learned log temperature, cross-entropy of matching texts to images."""

    def __init__(self, d, k):
        rng = np.random.default_rng(27)
        self.params = {"img": glorot(rng, d, k), "txt": glorot(rng, d, k), "logt": np.array([0.5])}

    def forward(self, x, t):
        self.a, self.b = x @ self.params["img"], t @ self.params["txt"]
        self.sim = self.a @ self.b.T
        s = self.sim * np.exp(self.params["logt"])
        self.p = np.exp(s) / np.exp(s).sum(1, keepdims=True)
        return -np.log(np.diag(self.p)).mean()

    loss = forward

    def gradient(self, x, t):
        self.loss(x, t)
        ds = (self.p - np.eye(len(x))) / len(x)
        grads = {k: np.zeros_like(v) for k, v in self.params.items()}
        dsim = ds * np.exp(self.params["logt"])
        grads["img"] += x.T @ (dsim @ self.b)
        grads["txt"] += t.T @ (dsim.T @ self.a)
        return grads


def _clip():
    rng = np.random.default_rng(28)
    return ClipLike(4, 3), rng.normal(size=(5, 4)), rng.normal(size=(5, 4))


class LogisticCentred:
    """logistic regression that centres its batch"""

    def __init__(self, d):
        self.params = {"w": np.linspace(-1, 1, d), "b": np.array([0.2])}

    def loss(self, x, t):
        s = (x - x.mean(0)) @ self.params["w"] + self.params["b"]
        return np.mean(np.logaddexp(0, s) - t * s)

    def gradient(self, x, t):
        x -= x.mean(0)
        r = (1 / (1 + np.exp(-(x @ self.params["w"] + self.params["b"]))) - t) / len(t)
        return {"w": r @ x, "b": np.array([r.sum()])}


def _centred():
    x = np.random.default_rng(29).normal(size=(6, 4)) + 1
    return LogisticCentred(4), x, np.array([0.0, 1, 1, 0, 1, 0])


def _habits():
    return H.net(*_centred(), keys=["w", "b"])


ENTRIES = [
    Stranger(
        "siamese network, contrastive loss",
        "loss and gradient, shared weights",
        lambda g: g.check_model(*_siamese()),
        lambda: H.net(*_siamese(), keys=["W1", "b1", "W2", "b2"]),
    ),
    Stranger(
        "maxout network",
        "loss(X, y) returns loss and grads",
        lambda g: g.check_layer(*_maxout()),
        _maxout_proof,
    ),
    Stranger(
        "highway network",
        "lists of parameters and gradients",
        lambda g: g.check_model(*_highway()),
        lambda: H.net(*_highway(), keys=range(9), params=".params[{}]"),
    ),
    Stranger(
        "deep set with two poolings",
        "feedforward and backpropagate",
        lambda g: g.check_layer(*_deepset()),
        lambda: H.layer(
            *_deepset(),
            fwd="feedforward",
            bwd="backpropagate",
            params=".weights['phi']>.gradients['phi'] .weights['rho']>.gradients['rho']",
        ),
    ),
    Stranger(
        "variational autoencoder, noise handed in",
        "loss and gradient, no labels",
        lambda g: g.check_model(*_vae()),
        lambda: H.net(*_vae(), keys=["Em", "Ev", "D1", "D2"]),
    ),
    Stranger(
        "network of radial basis functions",
        "one flat vector theta",
        lambda g: g.check_layer(*_rbf()),
        _rbf_proof,
    ),
    Stranger(
        "ridge MLP: biases decay as well",
        "loss and gradient",
        lambda g: g.check_model(*_ridge()),
        lambda: H.net(*_ridge(), keys=["W1", "b1", "W2", "b2"]),
        "wrong",
        "weight decay is added to the gradients of the biases, which the loss does not punish",
        ("additive-bias",),
        ("b1", "b2"),
        "        for name in p:\n",
        '        for name in ("W1", "W2"):\n',
    ),
    Stranger(
        "tied autoencoder: encoder overwrites decoder",
        "loss and gradient, one weight used twice",
        lambda g: g.check_model(*_tied()),
        lambda: H.net(*_tied(), keys=["W", "b", "c"]),
        "wrong",
        "the weight's gradient from the encoder replaces that from the decoder instead of being added",
        ("last-write-wins", "missing-term"),
        ("W",),
        '        grads["W"] = x.T @ dz\n',
        '        grads["W"] += x.T @ dz\n',
    ),
    Stranger(
        "quantile network: divided by the batch twice",
        "loss and gradient",
        lambda g: g.check_model(*_quantile()),
        lambda: H.net(*_quantile(), keys=["A", "B"]),
        "wrong",
        "dq has the 1 / N of the mean already, the gradient of A is divided by N once more",
        ("constant-factor",),
        ("A",),
        '        dA = x.T @ (dq @ self.params["B"].T / (1 + z**2)) / len(x)\n',
        '        dA = x.T @ (dq @ self.params["B"].T / (1 + z**2))\n',
    ),
    Stranger(
        "dropout network: mask not in backward",
        "loss and gradient, mask set beforehand",
        lambda g: g.check_model(*_dropout()),
        lambda: H.net(*_dropout(), keys=["W1", "W2"]),
        "wrong",
        "the gradient of the hidden layer is not multiplied by the dropout mask",
        ("masked-region",),
        ("W1",),
        '        dh = d @ self.params["W2"].T\n',
        '        dh = d @ self.params["W2"].T * self.mask\n',
    ),
    Stranger(
        "image and text matching: temperature never gets a gradient",
        "loss and gradient, two kinds of inputs",
        lambda g: g.check_model(*_clip()),
        lambda: H.net(*_clip(), keys=["img", "txt", "logt"]),
        "wrong",
        "the gradient of the log temperature stays at the zeros that it starts with",
        ("zero-gradient",),
        ("logt",),
        '        dsim = ds * np.exp(self.params["logt"])\n',
        '        dsim = ds * np.exp(self.params["logt"])\n        grads["logt"] += (dsim * self.sim).sum()\n',
    ),
    Stranger(
        "logistic regression that centres its batch in place",
        "loss and gradient",
        lambda g: g.check_model(*_centred()),
        lambda: [],
        "habit",
        "gradient subtracts the mean from the caller's x",
        ("mutates-argument",),
    ),
]
