"""Whole nets: parameters in a dict, a loss, a gradient; and a few that are one flat vector."""

import numpy as np

from ._entry import Stranger
from ._help_k import against, cot, slope


def sigmoid(x):
    return 1 / (1 + np.exp(-x))


def softmax(a):
    e = np.exp(a - a.max(axis=1, keepdims=True))
    return e / e.sum(axis=1, keepdims=True)


class BPRTower:
    """users by their features, items by id; Bayesian personalised ranking"""

    def __init__(self, n_feat, n_items, dim, seed=1):
        r = np.random.default_rng(seed)
        self.params = {
            "Wu": r.normal(0, 0.6, (n_feat, dim)),
            "item": r.normal(0, 1, (n_items, dim)),
            "bias": r.normal(0, 0.2, n_items),
        }

    def _gap(self, x, pos, neg):
        p = self.params
        h = np.tanh(x @ p["Wu"])
        return h, (h * (p["item"][pos] - p["item"][neg])).sum(1) + p["bias"][pos] - p["bias"][neg]

    def loss(self, x, pos, neg):
        return np.mean(np.logaddexp(0, -self._gap(x, pos, neg)[1]))

    def gradient(self, x, pos, neg):
        p = self.params
        h, gap = self._gap(x, pos, neg)
        dgap = -sigmoid(-gap) / len(x)
        g = {k: np.zeros_like(v) for k, v in p.items()}
        np.add.at(g["item"], pos, dgap[:, None] * h)
        np.subtract.at(g["item"], neg, dgap[:, None] * h)
        np.add.at(g["bias"], pos, dgap)
        np.subtract.at(g["bias"], neg, dgap)
        dh = dgap[:, None] * (p["item"][pos] - p["item"][neg])
        g["Wu"] = x.T @ (dh * (1 - h * h))
        return g


def make_siamese(x1, x2, same, n_hidden, margin=1.5):
    """Contrastive loss of a twin network as scipy.optimize.minimize(..., jac=True) wants it."""
    d_in = x1.shape[1]

    def fg(w):
        W = w.reshape(d_in, n_hidden)
        e1, e2 = np.tanh(x1 @ W), np.tanh(x2 @ W)
        diff = e1 - e2
        dist = np.sqrt((diff**2).sum(1))
        short = np.maximum(0, margin - dist)
        value = np.sum(np.where(same, dist**2, short**2))
        ddiff = np.where(same, 2.0, -2 * short / dist)[:, None] * diff
        grad = x1.T @ (ddiff * (1 - e1**2)) - x2.T @ (ddiff * (1 - e2**2))
        return value, grad.ravel()

    return fg


class EulerNet:
    """Residuales Netz mit geteilten Gewichten = explizites Eulerverfahren fuer h' = tanh(h W + b)"""

    def __init__(self, dim, klassen, schritte=5, dt=0.3, seed=0):
        r = np.random.default_rng(seed)
        self.params = dict(W=r.normal(size=(dim, dim)), b=r.normal(size=dim), V=r.normal(size=(dim, klassen)))
        self.schritte, self.dt = schritte, dt

    def predict(self, x):
        W, b, V = self.params["W"], self.params["b"], self.params["V"]
        self.bahn = [x]
        self.steig = []
        for _ in range(self.schritte):
            f = np.tanh(self.bahn[-1] @ W + b)
            self.steig.append(f)
            self.bahn.append(self.bahn[-1] + self.dt * f)
        return self.bahn[-1] @ V

    def loss(self, x, t):
        p = softmax(self.predict(x))
        return -np.mean(np.log(p[np.arange(len(t)), t]))

    def gradient(self, x, t):
        W, V = self.params["W"], self.params["V"]
        delta = softmax(self.predict(x))
        delta[np.arange(len(t)), t] -= 1
        delta /= len(t)
        grads = {"W": np.zeros_like(W), "b": 0, "V": self.bahn[-1].T @ delta}
        lam = delta @ V.T  # Adjungierte
        for h, f in zip(self.bahn[-2::-1], self.steig[::-1]):
            s = self.dt * lam * (1 - f**2)
            grads["W"] += h.T @ s
            grads["b"] = grads["b"] + s.sum(0)
            lam = lam + s @ W.T
        return grads


class MixtureDensityLoss:
    """z = [logits | mu | log sigma], each K wide; negative log likelihood of a scalar target"""

    def forward(self, z, target):
        k = z.shape[1] // 3
        logit, mu, ls = z[:, :k], z[:, k : 2 * k], z[:, 2 * k :]
        self.pi = softmax(logit)
        self.u = (target[:, None] - mu) * np.exp(-ls)
        self.ls = ls
        dens = self.pi * np.exp(-0.5 * self.u**2 - ls) / np.sqrt(2 * np.pi)
        self.resp = dens / dens.sum(1, keepdims=True)
        return -np.log(dens.sum(1)).mean()

    def backward(self, dout=1.0):
        r, n = self.resp, len(self.resp)
        dz = np.hstack([self.pi - r, -r * self.u * np.exp(-self.ls), r * (1 - self.u**2)])
        return dout * dz / n


def pinn_loss(theta, xs):
    """u(x) = sum a tanh(w x + b) shall solve u' = -u, u(0) = 1"""
    w, b, a = theta.reshape(3, -1)
    T = np.tanh(np.outer(xs, w) + b)
    res = ((1 - T**2) * w) @ a + T @ a
    return np.mean(res**2) + (np.tanh(b) @ a - 1) ** 2


def pinn_grad(theta, xs):
    w, b, a = theta.reshape(3, -1)
    x = xs[:, None]
    T = np.tanh(x * w + b)
    D = 1 - T**2
    dD = -2 * T * D
    res = (D * w) @ a + T @ a
    k = 2 * res / len(xs)
    g_a = k @ (D * w + T)
    g_b = k @ (a * (dD * w + D))
    g_w = k @ (a * (D + x * (dD * w + D)))
    t0 = np.tanh(b)
    e0 = 2 * (t0 @ a - 1)
    return np.concatenate([g_w, g_b + e0 * a * (1 - t0**2), g_a + e0 * t0])


class DuelingQ:
    def __init__(self, obs, hidden, actions, delta=1.0):
        r = np.random.default_rng(5)
        self.delta = delta
        self.params = {
            "W": r.normal(0, 0.5, (obs, hidden)),
            "Wv": r.normal(0, 1, (hidden, 1)),
            "Wa": r.normal(0, 1, (hidden, actions)),
        }

    def q(self, x):
        p = self.params
        self.h = np.maximum(x @ p["W"], 0)
        adv = self.h @ p["Wa"]
        return self.h @ p["Wv"] + adv - adv.mean(1, keepdims=True)

    def loss(self, x, action, target):
        td = np.abs(self.q(x)[np.arange(len(x)), action] - target)
        return np.where(td < self.delta, 0.5 * td**2, self.delta * (td - 0.5 * self.delta)).mean()

    def gradient(self, x, action, target):
        p = self.params
        q = self.q(x)
        rows = np.arange(len(x))
        dq = np.zeros_like(q)
        dq[rows, action] = np.clip(q[rows, action] - target, -self.delta, self.delta) / len(x)
        dv = dq.sum(1, keepdims=True)
        da = dq - dv / q.shape[1]
        dh = (dv @ p["Wv"].T + da @ p["Wa"].T) * (self.h > 0)
        return {"W": x.T @ dh, "Wv": self.h.T @ dv, "Wa": self.h.T @ da}


class TiedAutoencoder:
    def __init__(self, n_visible, n_hidden, seed=0):
        r = np.random.default_rng(seed)
        self.params = {"W": r.normal(0, 0.5, (n_visible, n_hidden)), "b": r.normal(size=n_hidden)}
        self.params["c"] = r.normal(size=n_visible)

    def forward(self, x):
        p = self.params
        self.h = sigmoid(x @ p["W"] + p["b"])
        return self.h @ p["W"].T + p["c"]

    def loss(self, x):
        return 0.5 * np.sum((self.forward(x) - x) ** 2) / x.shape[0]

    def gradient(self, x):
        grads = {}
        dr = (self.forward(x) - x) / x.shape[0]
        grads["c"] = dr.sum(axis=0)
        grads["W"] = dr.T @ self.h
        da = dr @ self.params["W"] * self.h * (1 - self.h)
        grads["b"] = da.sum(axis=0)
        grads["W"] = x.T @ da
        return grads


class DecayMLP:
    """regression, weight decay on the matrices"""

    def __init__(self, sizes, decay, seed=0):
        r = np.random.default_rng(seed)
        self.decay, self.params = decay, {}
        for i, (m, n) in enumerate(zip(sizes, sizes[1:]), 1):
            self.params[f"W{i}"] = r.normal(size=(m, n)) / np.sqrt(m)
            self.params[f"b{i}"] = r.normal(size=n)

    def predict(self, x):
        p = self.params
        self.h = np.tanh(x @ p["W1"] + p["b1"])
        return self.h @ p["W2"] + p["b2"]

    def loss(self, x, t):
        reg = sum(np.sum(self.params[k] ** 2) for k in ("W1", "W2"))
        return 0.5 * np.mean(np.sum((self.predict(x) - t) ** 2, 1)) + 0.5 * self.decay * reg

    def gradient(self, x, t):
        p = self.params
        d2 = (self.predict(x) - t) / len(x)
        d1 = d2 @ p["W2"].T * (1 - self.h**2)
        g = {"W2": self.h.T @ d2, "b2": d2.sum(0), "W1": x.T @ d1, "b1": d1.sum(0)}
        for k in g:
            g[k] = g[k] + self.decay * p[k]
        return g


class TransRec:
    """energy |prev_i + user_u - next_j|^2, ids in, energies out"""

    def __init__(self, users, items, dim, seed=0):
        r = np.random.default_rng(seed)
        self.params = {
            "prev": r.normal(size=(items, dim)),
            "user": r.normal(size=(users, dim)),
            "next": r.normal(size=(items, dim)),
        }
        self.grads = {}

    def forward(self, prev, user, nxt):
        p = self.params
        self.ids = prev, user, nxt
        self.diff = p["prev"][prev] + p["user"][user] - p["next"][nxt]
        return (self.diff**2).sum(1)

    def backward(self, dout):
        prev, user, nxt = self.ids
        d = 2 * dout[:, None] * self.diff
        self.grads = {k: np.zeros_like(v) for k, v in self.params.items()}
        np.add.at(self.grads["prev"], prev, d)
        np.add.at(self.grads["user"], user, d)
        np.add.at(self.grads["next"], nxt, d)


class ResidualBlock:
    """out = relu(x + relu(x A) B)"""

    def __init__(self, dim, width, seed=0):
        r = np.random.default_rng(seed)
        self.A, self.B = r.normal(size=(dim, width)), r.normal(size=(width, dim))

    def forward(self, x):
        self.x = x
        self.mid = np.maximum(x @ self.A, 0)
        self.out = np.maximum(x + self.mid @ self.B, 0)
        return self.out

    def backward(self, dout):
        dsum = dout * (self.out > 0)
        self.dB = self.mid.T @ dsum
        dmid = (dsum @ self.B.T) * (self.mid > 0)
        self.dA = self.x.T @ dmid
        dx = dmid @ self.A.T
        dx += dout
        return dx


def _net(net, *args):
    grads = net.gradient(*args)
    return [(grads[k], slope(lambda: net.loss(*args), v)) for k, v in net.params.items()]


def _rng(seed=7):
    return np.random.default_rng(seed)


def _bpr():
    return BPRTower(3, 6, 4), _rng().normal(size=(5, 3)), np.array([0, 2, 2, 5, 1]), np.array([4, 1, 0, 2, 3])


def _twins():
    r = _rng()
    same = np.array([True, False, False, True, False])
    return make_siamese(r.normal(size=(5, 3)), r.normal(size=(5, 3)), same, 2), 0.5 * r.normal(size=6)


def _prove_twins():
    fg, w = _twins()
    return [(fg(w)[1], slope(lambda: fg(w)[0], w))]


def _euler():
    return EulerNet(3, 4), _rng().normal(size=(5, 3)), np.array([0, 3, 1, 1, 2])


def _mdn():
    return MixtureDensityLoss(), _rng().normal(size=(4, 9)), _rng(8).normal(size=4)


def _prove_mdn():
    m, z, y = _mdn()
    m.forward(z, y)
    return [(m.backward(), slope(lambda: m.forward(z, y), z))]


def _pinn():
    return _rng().normal(size=12), np.linspace(0, 2, 9)


def _prove_pinn():
    th, xs = _pinn()
    return [(pinn_grad(th, xs), slope(lambda: pinn_loss(th, xs), th))]


def _q():
    actions = np.array([0, 2, 1, 1, 0])
    return DuelingQ(4, 6, 3), _rng().normal(size=(5, 4)), actions, 2 * _rng(3).normal(size=5)


def _mlp():
    return DecayMLP([3, 5, 2], 0.1), _rng().normal(size=(6, 3)), _rng(8).normal(size=(6, 2))


def _trans():
    return TransRec(3, 5, 2), np.array([0, 1, 4, 4]), np.array([2, 0, 1, 2]), np.array([3, 3, 0, 1])


def _prove_trans():
    m, *ids = _trans()
    g = cot(m.forward(*ids))
    m.backward(g)
    return against(lambda: m.forward(*ids), g, *((m.grads[k], m.params[k]) for k in m.params))


def _prove_block():
    m, x = ResidualBlock(4, 5), _rng().normal(size=(3, 4))
    g = cot(m.forward(x))
    dx = m.backward(g)
    return against(lambda: m.forward(x), g, (dx, x), (m.dA, m.A), (m.dB, m.B))


ENTRIES = [
    Stranger(
        "two-tower recommender with BPR loss",
        "net with params dict, loss and gradient",
        lambda gradlab: gradlab.check_layer(*_bpr()),
        lambda: _net(*_bpr()),
    ),
    Stranger(
        "siamese net of shared layers with contrastive loss",
        "closure that returns value and gradient of a flat vector",
        lambda gradlab: (lambda f, w: gradlab.check_gradient(f, True, w))(*_twins()),
        _prove_twins,
    ),
    Stranger(
        "shared-weight residual net as Euler's method",
        "net with params dict, loss and gradient",
        lambda gradlab: gradlab.check_layer(*_euler()),
        lambda: _net(*_euler()),
    ),
    Stranger(
        "mixture density network's loss",
        "loss layer, backward with a default",
        lambda gradlab: gradlab.check_layer(*_mdn()),
        _prove_mdn,
    ),
    Stranger(
        "physics-informed net for u' = -u",
        "f and grad with args",
        lambda gradlab: gradlab.check_gradient(pinn_loss, pinn_grad, _pinn()[0], args=_pinn()[1:]),
        _prove_pinn,
    ),
    Stranger(
        "dueling Q network with Huber loss",
        "net with params dict, loss and gradient",
        lambda gradlab: gradlab.check_layer(*_q()),
        lambda: _net(*_q()),
    ),
    Stranger(
        "autoencoder with tied weights: encoder's part overwrites the decoder's",
        "net with params dict, loss and gradient",
        lambda gradlab: gradlab.check_layer(TiedAutoencoder(5, 3), _rng().normal(size=(4, 5))),
        lambda: _net(TiedAutoencoder(5, 3), _rng().normal(size=(4, 5))),
        "wrong",
        "W is used twice, and the second part of its gradient is written over the first",
        ("last-write-wins", "missing-term"),
        ("W",),
        '        grads["W"] = x.T @ da',
        '        grads["W"] += x.T @ da',
    ),
    Stranger(
        "MLP with weight decay: biases decay too",
        "net with params dict, loss and gradient",
        lambda gradlab: gradlab.check_layer(*_mlp()),
        lambda: _net(*_mlp()),
        "wrong",
        "decay * b is added to the biases' gradients, but the loss penalises the matrices alone",
        ("additive-bias",),
        ("b1", "b2"),
        "        for k in g:",
        '        for k in ("W1", "W2"):',
    ),
    Stranger(
        "translation embedding recommender: sign of the next item",
        "layer of ids with params and grads dicts",
        lambda gradlab: gradlab.check_layer(*_trans()),
        _prove_trans,
        "wrong",
        "next enters with a minus, and its gradient has a plus",
        ("sign-flipped",),
        ("next",),
        '        np.add.at(self.grads["next"], nxt, d)',
        '        np.add.at(self.grads["next"], nxt, -d)',
    ),
    Stranger(
        "residual block: shortcut takes dout before the last relu",
        "layer with attributes",
        lambda gradlab: gradlab.check_layer(ResidualBlock(4, 5), _rng().normal(size=(3, 4))),
        _prove_block,
        "wrong",
        "the shortcut adds dout where it should add dsum, which has gone back through the last relu",
        ("wrong-cotangent", "straight-through", "masked-region"),
        ("x",),
        "        dx += dout",
        "        dx += dsum",
    ),
]
