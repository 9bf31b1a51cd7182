"""Whole networks with a loss and its gradient."""

import numpy as np

from ._entry import Stranger
from ._help_g import both


class PoissonNet:
    """Counts from features: log rate = W2 softplus(W1 x). Interface of the 'from scratch' books."""

    def __init__(self, n_in, n_hidden, seed=0):
        r = np.random.RandomState(seed)
        self.params = {
            "W1": 0.5 * r.randn(n_in, n_hidden),
            "b1": np.zeros(n_hidden),
            "W2": 0.5 * r.randn(n_hidden, 1),
            "b2": np.zeros(1),
        }

    def predict(self, x):
        p = self.params
        return np.logaddexp(0, x @ p["W1"] + p["b1"]) @ p["W2"] + p["b2"]

    def loss(self, x, t):
        eta = self.predict(x)[:, 0]
        return np.mean(np.exp(eta) - t * eta)

    def gradient(self, x, t):
        p = self.params
        a = x @ p["W1"] + p["b1"]
        s = np.logaddexp(0, a)
        eta = s @ p["W2"] + p["b2"]
        d = (np.exp(eta) - t[:, None]) / len(t)
        da = d @ p["W2"].T / (1 + np.exp(-a))
        return {"W1": x.T @ da, "b1": da.sum(0), "W2": s.T @ d, "b2": d.sum(0)}


class HingeNet(object):
    """Assignment: loss(X) gives scores, loss(X, y) gives (loss, grads). Squared hinge, L2 on weights."""

    def __init__(self, dim, hidden, classes, reg=0.1, rs=np.random.RandomState(3)):
        self.reg = reg
        self.params = dict(
            W1=rs.randn(dim, hidden) * 0.4,
            b1=np.zeros(hidden) + 0.1,
            W2=rs.randn(hidden, classes) * 0.4,
            b2=np.zeros(classes),
        )

    def loss(self, X, y=None):
        W1, b1, W2, b2 = (self.params[k] for k in ("W1", "b1", "W2", "b2"))
        hidden = np.tanh(X.dot(W1) + b1)
        scores = hidden.dot(W2) + b2
        if y is None:
            return scores
        N = X.shape[0]
        margins = np.maximum(0, scores - scores[np.arange(N), y][:, None] + 1)
        margins[np.arange(N), y] = 0
        loss = (margins**2).sum() / N + 0.5 * self.reg * ((W1**2).sum() + (W2**2).sum())
        dscores = 2 * margins / N
        dscores[np.arange(N), y] -= dscores.sum(axis=1)
        grads = {"W2": hidden.T.dot(dscores) + self.reg * W2, "b2": dscores.sum(0)}
        dh = dscores.dot(W2.T) * (1 - hidden**2)
        grads["W1"] = X.T.dot(dh) + self.reg * W1
        grads["b1"] = dh.sum(0)
        return loss, grads


class Network:
    """one column vector at a time, quadratic cost"""

    def __init__(self, sizes, seed=1):
        r = np.random.default_rng(seed)
        self.num_layers = len(sizes)
        self.biases = [r.normal(size=(m, 1)) for m in sizes[1:]]
        self.weights = [r.normal(size=(m, n)) for n, m in zip(sizes[:-1], sizes[1:], strict=True)]

    def feedforward(self, a):
        for b, w in zip(self.biases, self.weights, strict=True):
            a = 1 / (1 + np.exp(-(w @ a + b)))
        return a

    def cost(self, x, y):
        return 0.5 * np.sum((self.feedforward(x) - y) ** 2)

    def backprop(self, x, y):
        nabla_b = [None] * len(self.biases)
        nabla_w = [None] * len(self.weights)
        activations = [x]
        for b, w in zip(self.biases, self.weights, strict=True):
            activations.append(1 / (1 + np.exp(-(w @ activations[-1] + b))))
        delta = activations[-1] - y
        for l in range(1, self.num_layers):
            delta = delta * activations[-l] * (1 - activations[-l])
            nabla_b[-l] = delta
            nabla_w[-l] = delta @ activations[-l - 1].T
            delta = self.weights[-l].T @ delta
        return nabla_b, nabla_w


class FlatNet:
    """All weights live in one vector theta; W and V are views into it (for L-BFGS)."""

    def __init__(self, n, k, theta):
        self.theta = theta
        self.W = theta[: n * k].reshape(k, n)
        self.V = theta[n * k :].reshape(1, k)

    def loss(self, X, y):
        return float(np.sum((self.V @ np.sin(self.W @ X) - y) ** 2))

    def gradient(self, X, y):
        S, C = np.sin(self.W @ X), np.cos(self.W @ X)
        e = 2 * (self.V @ S - y)
        return np.concatenate([((self.V.T @ e) * C @ X.T).ravel(), (e @ S.T).ravel()])


class SkipGram:
    def __init__(self, vocab, dim, seed=4):
        r = np.random.default_rng(seed)
        self.W_in, self.W_out = r.normal(size=(2, vocab, dim)) * 0.6
        self.params = [self.W_in, self.W_out]
        self.grads = [np.zeros_like(p) for p in self.params]

    def forward(self, center, context, negatives):
        self.idx = center, np.column_stack([context, negatives])
        self.h = self.W_in[center]
        self.sign = np.ones(self.idx[1].shape)
        self.sign[:, 1:] = -1
        self.s = np.einsum("nd,nkd->nk", self.h, self.W_out[self.idx[1]]) * self.sign
        return np.logaddexp(0, -self.s).sum() / len(center)

    def backward(self, dout=1.0):
        ids, out = self.idx
        ds = -dout * self.sign / (1 + np.exp(self.s)) / len(ids)
        for g in self.grads:
            g.fill(0)
        np.add.at(self.grads[0], ids, np.einsum("nk,nkd->nd", ds, self.W_out[out]))
        np.add.at(self.grads[1], out, ds[:, :, None] * self.h[:, None, :])


class GaussianPolicy:
    """REINFORCE: surrogate loss -mean(adv * log pi(a|s)), diagonal Gaussian whose log std is a parameter"""

    def __init__(self, n_state, n_action):
        self.mu_w = np.sin(np.arange(n_state * n_action, dtype=float)).reshape(n_state, n_action)
        self.log_std = np.full(n_action, -0.3)

    def loss(self, s, a, adv):
        self.z = (a - s @ self.mu_w) / np.exp(self.log_std)
        self.s, self.adv = s, adv
        logp = (-0.5 * self.z**2 - self.log_std - 0.5 * np.log(2 * np.pi)).sum(1)
        return -(adv * logp).mean()

    def backward(self):
        w = -self.adv[:, None] / len(self.adv)
        self.grad_mu_w = self.s.T @ (w * self.z / np.exp(self.log_std))
        self.grad_log_std = (w * (self.z**2 - 1)).sum(0)


class Siamese:
    """contrastive loss on pairs, one embedding matrix for both branches"""

    def __init__(self, W, margin=3.0):
        self.params = {"W": W}
        self.margin = margin

    def loss(self, x, t):
        a, b = np.tanh(x[0] @ self.params["W"]), np.tanh(x[1] @ self.params["W"])
        d = np.sqrt(((a - b) ** 2).sum(1))
        return np.mean(t * d**2 + (1 - t) * np.maximum(self.margin - d, 0) ** 2)

    def gradient(self, x, t):
        grads = {}
        a, b = (np.tanh(v @ self.params["W"]) for v in x)
        diff = a - b
        d = np.sqrt((diff**2).sum(1))
        k = (2 * t - 2 * (1 - t) * np.maximum(self.margin - d, 0) / d) / len(t)
        for v, e, side in ((x[0], a, 1), (x[1], b, -1)):
            dz = side * k[:, None] * diff * (1 - e**2)
            grads["W"] = v.T @ dz
        return grads


class TiedLM:
    """next word from the previous one; the embedding is the output matrix as well"""

    def __init__(self, E, M):
        self.E, self.M = E, M

    def forward(self, words, nxt):
        self.words, self.nxt = words, nxt
        self.h = np.tanh(self.E[words] @ self.M)
        logits = self.h @ self.E.T
        logits -= logits.max(1, keepdims=True)
        self.p = np.exp(logits) / np.exp(logits).sum(1, keepdims=True)
        return -np.log(self.p[np.arange(len(nxt)), nxt]).mean()

    def backward(self):
        d = self.p.copy()
        d[np.arange(len(d)), self.nxt] -= 1
        d /= len(d)
        self.dE = d.T @ self.h
        dz = (d @ self.E) * (1 - self.h**2)
        self.dM = self.E[self.words].T @ dz
        into = dz @ self.M.T
        return into


class RidgeMLP:
    def __init__(self, n, h, lam=0.3):
        r = np.random.RandomState(8)
        self.lam = lam
        self.params = {"A": r.randn(n, h) * 0.5, "c": r.randn(h) * 0.5}

    def loss(self, x, t):
        y = np.tanh(x @ self.params["A"]) @ self.params["c"]
        return 0.5 * np.mean((y - t) ** 2) + 0.5 * self.lam * np.sum(self.params["A"] ** 2)

    def gradient(self, x, t):
        A, c = self.params["A"], self.params["c"]
        h = np.tanh(x @ A)
        e = (h @ c - t) / len(t)
        dA = x.T @ (e[:, None] * c * (1 - h**2))
        return {"A": dA + 2 * self.lam * A, "c": h.T @ e}


class MixtureDensity:
    """unconditional mixture of Gaussians; weights through a softmax"""

    def __init__(self, mu, sigma, logits):
        self.mu, self.sigma, self.logits = mu, sigma, logits
        self.grads = {}

    def loss(self, y):
        z = (y[:, None] - self.mu) / self.sigma
        w = np.exp(self.logits) / np.exp(self.logits).sum()
        q = w * np.exp(-0.5 * z**2) / self.sigma
        self.cache = z, w, q / q.sum(1, keepdims=True)
        return -np.log(q.sum(1)).mean()

    def backward(self):
        z, w, resp = self.cache
        n = len(z)
        self.grads["mu"] = -(resp * z / self.sigma).sum(0) / n
        self.grads["sigma"] = (resp * (1 - z**2)).sum(0) / n
        self.grads["logits"] = (w - resp).sum(0) / n
        return self.grads


class Factorizer:
    """R ~ U V', U and V of one shape, packed into one vector for L-BFGS"""

    def __init__(self, U, V):
        self.shape = U.shape
        self.theta = np.concatenate([U.ravel(), V.ravel()])

    def unpack(self):
        return self.theta.reshape(2, *self.shape)

    def loss(self, R, known):
        U, V = self.unpack()
        return 0.5 * np.sum(known * (U @ V.T - R) ** 2)

    def gradient(self, R, known):
        U, V = self.unpack()
        E = known * (U @ V.T - R)
        gU, gV = E @ V, E.T @ U
        return np.concatenate([gV.ravel(), gU.ravel()])


class ThreeLayerRelu:
    def __init__(self, d, rng):
        self.W = [rng.normal(size=(d, d)) for _ in range(3)]

    def loss(self, x, t):
        self.z, self.a = [], [x]
        for w in self.W[:-1]:
            self.z.append(self.a[-1] @ w)
            self.a.append(np.maximum(self.z[-1], 0))
        self.err = self.a[-1] @ self.W[-1] - t
        return (self.err**2).sum()

    def backward(self):
        delta = 2 * self.err
        self.dW = [None, None, self.a[2].T @ delta]
        delta = (delta @ self.W[2].T) * (self.z[0] > 0)
        self.dW[1] = self.a[1].T @ delta
        delta = (delta @ self.W[1].T) * (self.z[0] > 0)
        self.dW[0] = self.a[0].T @ delta


def rng():
    return np.random.default_rng(41)


def poisson():
    return PoissonNet(3, 4), rng().normal(size=(6, 3)), np.array([0.0, 2, 1, 3, 0, 1])


def hinge():
    net = HingeNet(4, 5, 3, rs=np.random.RandomState(3))
    return net, rng().normal(size=(6, 4)), np.array([0, 2, 1, 1, 0, 2])


def nielsen():
    return Network([3, 4, 2]), rng().normal(size=(3, 1)), np.array([[0.0], [1.0]])


def flat():
    return FlatNet(2, 3, rng().normal(size=9)), rng().normal(size=(2, 7)), np.linspace(-1, 1, 7)[None]


def skipgram():
    negatives = np.array([[5, 3], [0, 2], [6, 3], [1, 1]])
    return SkipGram(50, 12), np.array([1, 4, 1, 6]), np.array([2, 3, 0, 5]), negatives


def policy():
    r = rng()
    return GaussianPolicy(3, 2), r.normal(size=(5, 3)), r.normal(size=(5, 2)), r.normal(size=5)


def siamese():
    r = rng()
    return Siamese(r.normal(size=(4, 3))), r.normal(size=(2, 5, 4)), np.array([1.0, 0, 1, 0, 0])


def tied():
    r = rng()
    net = TiedLM(r.normal(size=(6, 3)), r.normal(size=(3, 3)))
    return net, np.array([0, 3, 5, 3]), np.array([1, 2, 3, 4])


def ridge():
    return RidgeMLP(3, 4), rng().normal(size=(8, 3)), np.sin(np.arange(8.0))


def mixture():
    mu, sigma = np.array([-1.0, 0.5, 2.0]), np.array([0.5, 1.0, 1.5])
    return MixtureDensity(mu, sigma, np.zeros(3)), rng().normal(size=9)


def factors():
    r = rng()
    known = (r.random((5, 5)) < 0.7).astype(float)
    return Factorizer(*r.normal(size=(2, 5, 2))), r.normal(size=(5, 5)), known


def relus():
    return ThreeLayerRelu(4, rng()), rng().normal(size=(5, 4)), np.ones((5, 4))


def loss(m, *xs):
    return m.loss(*xs)


def first(m, *xs):
    return m.loss(*xs)[0]


def by_name(m, g, *xs):
    grads = m.gradient(*xs)
    return [(grads[k], m.params[k]) for k in m.params]


def nablas(m, g, x, y):
    b, w = m.backprop(x, y)
    return [*zip(b, m.biases, strict=True), *zip(w, m.weights, strict=True)]


def after(*names, grad):
    """claims of a net whose backward() writes gradients called grad(name)"""

    def take(m, g, *xs):
        m.backward()
        return [(eval(grad.format(n), {"m": m}), getattr(m, n)) for n in names]

    return take


ENTRIES = [
    Stranger(
        "Poisson regression net",
        "net with params, loss and gradient",
        *both(poisson, by_name, loss, check="model"),
    ),
    Stranger(
        "squared hinge net of an assignment",
        "loss(X, y) returns the loss and a dict",
        *both(hinge, lambda m, g, x, y: [(m.loss(x, y)[1][k], m.params[k]) for k in m.params], first),
    ),
    Stranger(
        "sigmoid network with nabla_b and nabla_w",
        "feedforward, cost and backprop, lists",
        *both(nielsen, nablas, lambda m, x, y: m.cost(x, y)),
    ),
    Stranger(
        "net whose weights are views into one vector",
        "net with theta, loss and gradient",
        *both(flat, lambda m, g, x, y: [(m.gradient(x, y), m.theta)], loss),
    ),
    Stranger(
        "skip-gram with negative sampling",
        "net with forward and backward, integer inputs",
        *both(skipgram, lambda m, g, *xs: (m.backward(), list(zip(m.grads, m.params, strict=True)))[1]),
    ),
    Stranger(
        "Gaussian policy, REINFORCE",
        "net with loss and backward, attributes",
        *both(policy, after("mu_w", "log_std", grad="m.grad_{}"), loss),
    ),
    Stranger(
        "Siamese net: the second branch overwrites the first",
        "net with params, loss and gradient",
        *both(siamese, by_name, loss, check="model"),
        "wrong",
        "the two branches share W, but only the second one's gradient is kept",
        ("last-write-wins",),
        ("W",),
        '            grads["W"] = v.T @ dz',
        '            grads["W"] = grads.get("W", 0) + v.T @ dz',
    ),
    Stranger(
        "tied language model: only the output side of the embedding",
        "net with forward and backward",
        *both(tied, after("E", "M", grad="m.d{}")),
        "wrong",
        "the embedding's gradient lacks the part that comes through the looked-up words",
        ("missing-term",),
        ("E",),
        "        return into",
        "        np.add.at(self.dE, self.words, into)",
    ),
    Stranger(
        "ridge net: twice the weight decay",
        "net with params, loss and gradient",
        *both(ridge, by_name, loss, check="model"),
        "wrong",
        "the penalty is 0.5 lam A^2, but its gradient is taken as 2 lam A",
        ("additive-bias",),
        ("A",),
        '        return {"A": dA + 2 * self.lam * A, "c": h.T @ e}',
        '        return {"A": dA + self.lam * A, "c": h.T @ e}',
    ),
    Stranger(
        "mixture density: gradient by the logarithm of sigma",
        "net with loss and backward",
        *both(mixture, after("mu", "sigma", "logits", grad="m.grads['{}']"), loss),
        "wrong",
        "the gradient is that by log sigma, but the parameter is sigma",
        ("log-parameter",),
        ("sigma",),
        '        self.grads["sigma"] = (resp * (1 - z**2)).sum(0) / n',
        '        self.grads["sigma"] = (resp * (1 - z**2) / self.sigma).sum(0) / n',
    ),
    Stranger(
        "matrix factorization in one vector: U's and V's gradients exchanged",
        "net with theta",
        *both(factors, lambda m, g, *xs: [(m.gradient(*xs), m.theta)], loss),
        "wrong",
        "the two halves of the packed gradient are in the wrong order",
        ("columns-exchanged", "swapped-primals"),
        ("theta",),
        "        return np.concatenate([gV.ravel(), gU.ravel()])",
        "        return np.concatenate([gU.ravel(), gV.ravel()])",
    ),
    Stranger(
        "deep ReLU net: the first layer's mask for the second",
        "net with loss and backward, lists",
        *both(relus, lambda m, g, *xs: (m.backward(), list(zip(m.dW, m.W, strict=True)))[1], loss),
        "wrong",
        "the second layer's ReLU uses the mask of the first",
        ("masked-region",),
        ("W",),
        "        delta = (delta @ self.W[2].T) * (self.z[0] > 0)",
        "        delta = (delta @ self.W[2].T) * (self.z[1] > 0)",
    ),
]
