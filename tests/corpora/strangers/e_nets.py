"""Whole nets with a loss and a gradient, each in the way of another author."""

import importlib

import numpy as np

from ._entry import Stranger
from ._help_e import copies, loss_pairs, slope


def check_model(gradlab, *args):
    return importlib.import_module(gradlab.__name__ + ".textbook.models").check_model(*args)


def net_pairs(make, params):
    """Pairs for a net with loss(x, t) -> number and gradient(x, t) -> dict keyed like `params`."""
    net, x, t = make()
    p = params(net)
    g = net.gradient(x, t)
    return loss_pairs(lambda: net.loss(x, t), list(p.values()), lambda: [g[k] for k in p])


def rows_softmax(a):
    a = np.exp(a - a.max(axis=1, keepdims=True))
    return a / a.sum(axis=1, keepdims=True)


class TiedDenoiser:
    """The decoder is the encoder's transpose; t is the clean signal."""

    def __init__(self, n_vis, n_hid, rng):
        self.params = {
            "W": 0.5 * rng.standard_normal((n_vis, n_hid)),
            "b_hid": np.zeros(n_hid),
            "b_vis": 0.1 * rng.standard_normal(n_vis),
        }

    def encode(self, x):
        return np.tanh(x @ self.params["W"] + self.params["b_hid"])

    def predict(self, x):
        return self.encode(x) @ self.params["W"].T + self.params["b_vis"]

    def loss(self, x, t):
        return 0.5 * np.sum((self.predict(x) - t) ** 2) / len(x)

    def gradient(self, x, t):
        h = self.encode(x)
        r = (h @ self.params["W"].T + self.params["b_vis"] - t) / len(x)
        a = (r @ self.params["W"]) * (1 - h * h)
        return {"W": x.T @ a + r.T @ h, "b_hid": a.sum(0), "b_vis": r.sum(0)}


def tied():
    rng = np.random.default_rng(1)
    return TiedDenoiser(5, 3, rng), rng.standard_normal((4, 5)), rng.standard_normal((4, 5))


class MixtureDensityNet:
    """p(t|x) is a mixture of K normals; one matrix gives logits, means and log deviations."""

    def __init__(self, nIn, nHid, K):
        rs = np.random.RandomState(6)
        self.K = K
        self.params = dict(A=rs.randn(nIn, nHid), a=rs.randn(nHid))
        self.params.update(B=rs.randn(nHid, 3 * K), b=rs.randn(3 * K) * 0.3)

    def _mix(self, x, t):
        p, K = self.params, self.K
        h = np.tanh(x.dot(p["A"]) + p["a"])
        o = h.dot(p["B"]) + p["b"]
        pi = rows_softmax(o[:, :K])
        s = np.exp(o[:, 2 * K :])
        u = (t[:, None] - o[:, K : 2 * K]) / s
        comp = pi * np.exp(-0.5 * u**2) / (s * np.sqrt(2 * np.pi))
        return h, pi, s, u, comp

    def loss(self, x, t):
        return -np.mean(np.log(self._mix(x, t)[-1].sum(1)))

    def gradient(self, x, t):
        h, pi, s, u, comp = self._mix(x, t)
        resp = comp / comp.sum(1, keepdims=True)
        do = np.hstack([pi - resp, -resp * u / s, resp * (1 - u**2)]) / len(t)
        da = do.dot(self.params["B"].T) * (1 - h**2)
        return dict(A=x.T.dot(da), a=da.sum(0), B=h.T.dot(do), b=do.sum(0))


def mixture():
    r = np.random.default_rng(7)
    return MixtureDensityNet(2, 4, 2), r.standard_normal((6, 2)), r.standard_normal(6)


class RBFClassifier:
    """loss(X) gives the scores, loss(X, y) gives (loss, grads)."""

    def __init__(self, centers, width, W, b):
        self.params = {"centers": centers, "width": np.array([width]), "W": W, "b": b}

    def loss(self, X, y=None, reg=0.05):
        C, s, W, b = (self.params[k] for k in ("centers", "width", "W", "b"))
        diff = X[:, None, :] - C[None]
        d2 = np.sum(diff**2, axis=2)
        phi = np.exp(-d2 / (2 * s**2))
        scores = phi @ W + b
        if y is None:
            return scores
        N = X.shape[0]
        P = rows_softmax(scores)
        loss = -np.log(P[np.arange(N), y]).sum() / N + 0.5 * reg * np.sum(W * W)
        dscores = P.copy()
        dscores[np.arange(N), y] -= 1
        dscores /= N
        dphi = dscores @ W.T * phi
        grads = {"W": phi.T @ dscores + reg * W, "b": dscores.sum(0)}
        grads["width"] = np.array([np.sum(dphi * d2)]) / s**3
        grads["centers"] = np.einsum("nk,nkd->kd", dphi, diff) / s**2
        return loss, grads


def rbfnet():
    r = np.random.default_rng(8)
    net = RBFClassifier(r.standard_normal((4, 2)), 1.1, r.standard_normal((4, 3)), r.standard_normal(3))
    return net, r.standard_normal((5, 2)), np.array([0, 2, 1, 2, 0])


def prove_rbfnet():
    net, x, y = rbfnet()
    p = net.params
    return loss_pairs(lambda: net.loss(x, y)[0], list(p.values()), lambda: [net.loss(x, y)[1][k] for k in p])


class FactorMachine:
    """Second-order interactions through latent vectors; labels are -1 and +1."""

    decay = 0.02

    def __init__(self, nFeat, rank, seed=9):
        g = np.random.default_rng(seed)
        self.params = {
            "bias": g.standard_normal(1),
            "lin": g.standard_normal(nFeat),
            "lat": 0.5 * g.standard_normal((nFeat, rank)),
        }

    def score(self, x):
        p = self.params
        return p["bias"] + x @ p["lin"] + 0.5 * ((x @ p["lat"]) ** 2 - x**2 @ p["lat"] ** 2).sum(1)

    def loss(self, x, t):
        return np.logaddexp(0, -t * self.score(x)).sum() + self.decay * np.square(self.params["lat"]).sum()

    def gradient(self, x, t):
        d = -t / (1 + np.exp(t * self.score(x)))
        lat = self.params["lat"]
        dlat = (x * d[:, None]).T @ (x @ lat) - ((x**2).T @ d)[:, None] * lat + 2 * self.decay * lat
        return {"bias": np.array([d.sum()]), "lin": x.T @ d, "lat": dlat}


def factor():
    r = np.random.default_rng(10)
    return FactorMachine(5, 2), r.standard_normal((6, 5)), np.array([1.0, -1, -1, 1, 1, -1])


class TwinNet:
    # x[0] and x[1] are the two sides of the pairs; t = 1: same thing
    def __init__(self, w, margin):
        self.params = {"w": w}
        self.hyper = {"contrastive": {"margin": margin, "eps": 1e-8}}

    def _distance(self, x):
        e = np.tanh(x @ self.params["w"])
        v = e[0] - e[1]
        return e, v, np.sqrt(np.square(v).sum(-1) + self.hyper["contrastive"]["eps"])

    def loss(self, x, t):
        d = self._distance(x)[2]
        short = np.maximum(self.hyper["contrastive"]["margin"] - d, 0)
        return (t * d**2 + (1 - t) * short**2).mean()

    def gradient(self, x, t):
        e, v, d = self._distance(x)
        short = np.maximum(self.hyper["contrastive"]["margin"] - d, 0)
        dd = (2 * t * d - 2 * (1 - t) * short) / t.size
        dv = (dd / d)[:, None] * v
        de = np.stack([dv, -dv]) * (1 - e**2)
        return {"w": x[0].T @ de[0] + x[1].T @ de[1]}


def twin():
    r = np.random.default_rng(12)
    return TwinNet(r.standard_normal((3, 2)), 1.9), r.standard_normal((2, 6, 3)), np.array([1, 0, 0, 1, 0, 1])


class TwoHeadNet:
    """t[:, 0] is a class, t[:, 1] a value; both heads look at the same trunk."""

    def __init__(self, rng):
        self.lam = 0.7
        self.params = {
            "trunk": rng.standard_normal((3, 4)),
            "cls": rng.standard_normal((4, 3)),
            "reg": rng.standard_normal(4),
        }

    def loss(self, x, t):
        h = np.tanh(x @ self.params["trunk"])
        p = rows_softmax(h @ self.params["cls"])
        nll = -np.log(p[np.arange(len(t)), t[:, 0].astype(int)]).mean()
        return nll + self.lam * np.mean((h @ self.params["reg"] - t[:, 1]) ** 2)

    def gradient(self, x, t):
        n = len(t)
        h = np.tanh(x @ self.params["trunk"])
        dp = (rows_softmax(h @ self.params["cls"]) - np.eye(3)[t[:, 0].astype(int)]) / n
        dv = 2 * self.lam * (h @ self.params["reg"] - t[:, 1]) / n
        dh = dp @ self.params["cls"].T
        return {"trunk": x.T @ (dh * (1 - h**2)), "cls": h.T @ dp, "reg": h.T @ dv}


def twohead():
    r = np.random.default_rng(14)
    t = np.column_stack([[0, 2, 1, 1, 0], r.standard_normal(5)])
    return TwoHeadNet(r), r.standard_normal((5, 3)), t


class OnlineLogit:
    def __init__(self, n):
        self.params = {"w": np.linspace(-0.8, 0.9, n), "b": np.array([0.2])}
        self.grads = {k: np.zeros_like(v) for k, v in self.params.items()}

    def predict(self, x):
        return 1 / (1 + np.exp(-(x @ self.params["w"] + self.params["b"])))

    def loss(self, x, t):
        p = self.predict(x)
        return -(t * np.log(p) + (1 - t) * np.log(1 - p)).mean()

    def gradient(self, x, t):
        err = (self.predict(x) - t) / len(t)
        self.grads["w"] += x.T @ err
        self.grads["b"] += err.sum()
        return self.grads


def logit():
    return OnlineLogit(4), np.random.default_rng(16).standard_normal((6, 4)), np.array([0, 1, 1, 0, 1, 0])


def prove_logit():
    net, x, t = logit()
    p = net.params
    first = copies(net.gradient(x[:3], t[:3]).values())
    second = copies(net.gradient(x[3:], t[3:]).values())
    return list(
        zip(
            first + second,
            [slope(lambda: net.loss(x[s], t[s]), p[k]) for s in (slice(0, 3), slice(3, 6)) for k in p],
            strict=True,
        )
    )


class BagOfIds:
    """Average of the embeddings of a row's ids, then a softmax layer."""

    def __init__(self, vocab, dim, classes):
        z = np.random.default_rng(17)
        self.params = {"emb": z.standard_normal((vocab, dim)), "out": z.standard_normal((dim, classes))}

    def forward(self, ids):
        return self.params["emb"][ids].mean(axis=1) @ self.params["out"]

    def loss(self, ids, labels):
        return -np.log(rows_softmax(self.forward(ids))[range(len(ids)), labels]).mean()

    def gradient(self, ids, labels):
        bag = self.params["emb"][ids].mean(axis=1)
        d = rows_softmax(bag @ self.params["out"])
        d[range(len(ids)), labels] -= 1
        d /= len(ids)
        demb = np.zeros_like(self.params["emb"])
        demb[ids] += (d @ self.params["out"].T)[:, None, :] / ids.shape[1]
        return {"emb": demb, "out": bag.T @ d}


def bag():
    return BagOfIds(7, 3, 2), np.array([[0, 3, 5], [3, 1, 3], [6, 0, 2]]), np.array([0, 1, 1])


class RareClassNet:
    """Classes are weighted; the loss is a weighted average, as in most toolkits."""

    def __init__(self, sizes, class_weight, seed=18):
        g = np.random.default_rng(seed)
        self.class_weight = np.asarray(class_weight)
        self.params = {
            "W1": g.standard_normal(sizes[:2]),
            "b1": g.standard_normal(sizes[1]),
            "W2": g.standard_normal(sizes[1:]),
            "b2": g.standard_normal(sizes[2]),
        }

    def _run(self, x):
        p = self.params
        z = x @ p["W1"] + p["b1"]
        return z, np.maximum(z, 0), rows_softmax(np.maximum(z, 0) @ p["W2"] + p["b2"])

    def loss(self, x, t):
        w = self.class_weight[t]
        return -(w * np.log(self._run(x)[2][np.arange(len(t)), t])).sum() / w.sum()

    def gradient(self, x, t):
        z, h, y = self._run(x)
        w = self.class_weight[t]
        y[np.arange(len(t)), t] -= 1
        dy = y * w[:, None] / len(t)
        dz = dy @ self.params["W2"].T * (z > 0)
        return {"W1": x.T @ dz, "b1": dz.sum(0), "W2": h.T @ dy, "b2": dy.sum(0)}


def rare():
    r = np.random.default_rng(19)
    return RareClassNet((3, 4, 3), [0.5, 1.0, 4.0]), r.standard_normal((5, 3)), np.array([0, 2, 1, 2, 0])


class SphereRegressor:
    """Inputs are put on the unit sphere first, then a tanh layer and a sum."""

    def __init__(self, w, v):
        self.params = {"w": w, "v": v}

    def project(self, x):
        x /= np.sqrt((x * x).sum(axis=1, keepdims=True))
        return x

    def predict(self, x):
        return np.tanh(self.project(x) @ self.params["w"]) @ self.params["v"]

    def loss(self, x, t):
        return 0.5 * ((self.predict(x) - t) ** 2).mean()

    def gradient(self, x, t):
        u = self.project(x)
        h = np.tanh(u @ self.params["w"])
        e = (h @ self.params["v"] - t) / len(t)
        return {"w": u.T @ (np.outer(e, self.params["v"]) * (1 - h * h)), "v": h.T @ e}


def sphere():
    r = np.random.default_rng(20)
    return (
        SphereRegressor(r.standard_normal((3, 4)), r.standard_normal(4)),
        r.standard_normal((5, 3)),
        r.standard_normal(5),
    )


ALL = lambda net: net.params
ENTRIES = [
    Stranger(
        "denoising autoencoder with tied weights and offsets of its own",
        "net with loss and gradient dict",
        lambda gradlab: check_model(gradlab, *tied()),
        lambda: net_pairs(tied, ALL),
    ),
    Stranger(
        "mixture density net of normals",
        "net with loss and gradient dict",
        lambda gradlab: check_model(gradlab, *mixture()),
        lambda: net_pairs(mixture, ALL),
    ),
    Stranger(
        "radial basis classifier with scores or loss and grads from one method",
        "loss(X, y) -> (loss, grads)",
        lambda gradlab: gradlab.check_layer(*rbfnet()),
        prove_rbfnet,
    ),
    Stranger(
        "factorisation machine with a decay on one table only",
        "net with loss and gradient dict",
        lambda gradlab: check_model(gradlab, *factor()),
        lambda: net_pairs(factor, ALL),
    ),
    Stranger(
        "twin net with nested settings and a contrastive loss",
        "net with loss and gradient, nested settings",
        lambda gradlab: gradlab.check_layer(*twin()),
        lambda: net_pairs(twin, ALL),
    ),
    Stranger(
        "net of two heads: the trunk hears of the first only",
        "net with loss and gradient dict",
        lambda gradlab: check_model(gradlab, *twohead()),
        lambda: net_pairs(twohead, ALL),
        "wrong",
        "what comes back through the second head is left out",
        ("missing-term",),
        ("trunk",),
        '        dh = dp @ self.params["cls"].T\n',
        '        dh = dp @ self.params["cls"].T + np.outer(dv, self.params["reg"])\n',
    ),
    Stranger(
        "online logistic regression: gradients add up from call to call",
        "net with loss and gradient dict",
        lambda gradlab: gradlab.check_layer(*logit()),
        prove_logit,
        "wrong",
        "gradient adds to what the last call left",
        ("accumulates",),
        ("w", "b"),
        '        self.grads["w"] += x.T @ err\n        self.grads["b"] += err.sum()\n',
        '        self.grads["w"] = x.T @ err\n        self.grads["b"] = err.sum(keepdims=True)\n',
    ),
    Stranger(
        "bag of ids: repeated ids count once",
        "net with loss and gradient dict, integer input",
        lambda gradlab: check_model(gradlab, *bag()),
        lambda: net_pairs(bag, ALL),
        "wrong",
        "fancy-index += keeps only one of several contributions",
        ("last-write-wins",),
        ("emb",),
        '        demb[ids] += (d @ self.params["out"].T)[:, None, :] / ids.shape[1]\n',
        '        np.add.at(demb, ids, (d @ self.params["out"].T)[:, None, :] / ids.shape[1])\n',
    ),
    Stranger(
        "net with class weights: divided by the number and not by the weights",
        "net with loss and gradient",
        lambda gradlab: check_model(gradlab, *rare()),
        lambda: net_pairs(rare, ALL),
        "wrong",
        "the loss is divided by the sum of weights, the gradient by n",
        ("constant-factor",),
        ("W1", "b1", "W2", "b2"),
        "dy = y * w[:, None] / len(t)",
        "dy = y * w[:, None] / w.sum()",
    ),
    Stranger(
        "regression on the sphere: normalises the caller's array",
        "net with loss and gradient dict",
        lambda gradlab: gradlab.check_layer(*sphere()),
        lambda: net_pairs(sphere, ALL),
        "habit",
        "the projection divides its argument in place",
        ("mutates-argument",),
        ("x",),
        "        x /= np.sqrt((x * x).sum(axis=1, keepdims=True))\n",
        "        x = x / np.sqrt((x * x).sum(axis=1, keepdims=True))\n",
    ),
]
