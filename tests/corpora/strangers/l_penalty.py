"""Penalties, objectives with Hessians, Jacobians with a pattern, an additive model, loss classes."""

import numpy as np
from scipy.sparse import coo_array
from scipy.special import expit, log_softmax, softmax

from ._entry import Stranger
from ._help_l import dots, fgrad, fjac


# ---- minimax concave penalty ----
class MCP:
    def __init__(self, lam=0.8, gamma=2.5):
        self.lam, self.gamma = lam, gamma

    def __call__(self, w):
        a = np.abs(w)
        inner = self.lam * a - w**2 / (2 * self.gamma)
        return np.where(a <= self.gamma * self.lam, inner, 0.5 * self.gamma * self.lam**2).sum()

    def prime(self, w, out=None):
        out = np.abs(w, out=np.empty_like(w) if out is None else out)
        np.divide(out, -self.gamma, out=out)
        out += self.lam
        np.maximum(out, 0.0, out=out)
        return np.copysign(out, w, out=out)


W_MCP = np.array([0.4, -1.1, 3.0, -2.6, 0.9, -0.3, 1.7])


# ---- multinomial logit: Hessian only as a product ----
class Multinomial:
    def __init__(self, X, labels, K, ridge=0.1):
        self.X, self.T, self.shape, self.ridge = X, np.eye(K)[labels], (X.shape[1], K), ridge

    def loss(self, w):
        W = w.reshape(self.shape)
        return -np.sum(self.T * log_softmax(self.X @ W, axis=1)) + 0.5 * self.ridge * w @ w

    def grad(self, w):
        P = softmax(self.X @ w.reshape(self.shape), axis=1)
        return (self.X.T @ (P - self.T)).ravel() + self.ridge * w

    def hess_prod(self, w, v):
        P = softmax(self.X @ w.reshape(self.shape), axis=1)
        A = self.X @ v.reshape(self.shape)
        R = P * (A - np.sum(P * A, axis=1, keepdims=True))
        return (self.X.T @ R).ravel() + self.ridge * v


def _multi():
    r = np.random.default_rng(8)
    return Multinomial(r.normal(size=(20, 3)), r.integers(0, 4, 20), 4), r.normal(size=12) * 0.5


def _check_multi(gradlab):
    m, w = _multi()
    return gradlab.check_hessian(m.loss, m.grad, None, w, hessp=m.hess_prod)


def _prove_multi():
    m, w = _multi()
    H = np.stack([m.hess_prod(w, e) for e in np.eye(12)], axis=1)
    return [(m.grad(w), fgrad(m.loss, w)), (H, fjac(m.grad, w))]


# ---- Elo strengths by least squares: sparse Jacobian; the last unknown is home advantage ----
HOME = np.array([0, 1, 2, 3, 4, 0, 2, 5])
AWAY = np.array([1, 2, 0, 4, 5, 3, 5, 1])
RESULT = np.array([1.0, 0.5, 0.0, 1.0, 0.5, 0.0, 1.0, 0.5])


def elo_residuals(s):
    chance = expit(s[HOME] - s[AWAY] + s[-1])
    return np.concatenate([chance - RESULT, 0.3 * s])  # ridge rows below the games


def elo_jacobian(s):
    p = expit(s[HOME] - s[AWAY] + s[-1])
    slope = p * (1 - p)
    n, m = len(s), len(HOME)
    game, own = np.arange(m), np.arange(n)
    rows = np.concatenate([game, game, game, m + own])
    cols = np.concatenate([HOME, AWAY, np.full(m, n - 1), own])
    data = np.concatenate([slope, -slope, slope, np.full(n, 0.3)])
    return coo_array((data, (rows, cols)), shape=(m + n, n)).tocsr()


S_ELO = np.array([0.5, -0.2, 0.3, 0.9, -0.8, 0.1, 0.25])


# ---- additive model made of smooth terms, with parameter objects ----
class Param:
    def __init__(self, value):
        self.value, self.grad = value, np.zeros_like(value)


class Bumps:
    """one feature -> sum of Gaussian bumps"""

    def __init__(self, n, rng):
        self.height, self.centre = Param(rng.normal(size=n)), Param(np.linspace(-1.5, 1.5, n))

    def forward(self, x):
        self.dist = x[:, None] - self.centre.value
        self.bump = np.exp(-(self.dist**2))
        return self.bump @ self.height.value

    def backward(self, d):
        self.height.grad = self.bump.T @ d
        pull = d[:, None] * self.bump * self.height.value * 2 * self.dist
        self.centre.grad = pull.sum(axis=0)
        return -pull.sum(axis=1)


class AdditiveModel:
    def __init__(self, n_features, n_bumps=3, seed=0):
        rng = np.random.default_rng(seed)
        self.terms = [Bumps(n_bumps, rng) for _ in range(n_features)]
        self.intercept = Param(np.array([0.3]))

    def parameters(self):
        yield self.intercept
        for term in self.terms:
            yield from (term.height, term.centre)

    def forward(self, X):
        return self.intercept.value + sum(term.forward(X[:, j]) for j, term in enumerate(self.terms))

    def backward(self, dout):
        self.intercept.grad = dout.sum(keepdims=True)
        return np.column_stack([term.backward(dout) for term in self.terms])


def _gam():
    return AdditiveModel(2), np.random.default_rng(4).normal(size=(8, 2))


def _prove_gam():
    m, X = _gam()
    g = np.random.default_rng(5).normal(size=8)
    m.forward(X)
    got = [m.backward(g)] + [p.grad for p in m.parameters()]
    return list(zip(got, dots(lambda: m.forward(X), [X] + [p.value for p in m.parameters()], g)))


# ---- deviance de Tweedie (primes d'assurance), lien logarithmique ----
class PerteTweedie:
    def __init__(self, puissance=1.6):
        self.p = puissance

    def forward(self, eta, y):
        p = self.p
        self.n = len(y)
        un, deux = np.exp((1 - p) * eta), np.exp((2 - p) * eta)
        self.pente = (deux - y * un) / self.n
        return np.mean(deux / (2 - p) - y * un / (1 - p))

    def backward(self):
        return self.pente / self.n


def _tweedie():
    r = np.random.default_rng(9)
    return PerteTweedie(), r.normal(size=10) * 0.4, np.where(r.random(10) < 0.5, 0.0, r.gamma(2.0, size=10))


def _prove_tweedie():
    perte, eta, y = _tweedie()
    perte.forward(eta, y)
    return [(perte.backward(), *dots(lambda: perte.forward(eta, y), [eta]))]


# ---- smoothed group lasso ----
GROUPS = [slice(0, 3), slice(3, 5), slice(5, 9)]
EPS = 0.05


def group_lasso(w, strength):
    return strength * sum(np.sqrt(np.sum(w[s] ** 2) + EPS) for s in GROUPS)


def group_lasso_grad(w, strength):
    g = np.empty_like(w)
    for s in GROUPS:
        length = np.sqrt(np.sum(w[s] ** 2)) + EPS
        g[s] = strength * w[s] / length
    return g


W_GL = np.array([0.4, -0.7, 0.2, 1.1, -0.5, 0.3, 0.6, -0.2, 0.9])


# ---- mean field of spins with directed couplings: one sweep of the fixed point ----
class MeanField:
    def __init__(self, n, seed=0):
        r = np.random.default_rng(seed)
        self.W, self.b = r.normal(size=(n, n)) / np.sqrt(n), r.normal(size=n)
        np.fill_diagonal(self.W, 0.0)

    def sweep(self, m):
        return np.tanh(self.b + self.W @ m)

    def sweep_jac(self, m):
        slope = 1 - self.sweep(m) ** 2
        J = np.zeros((len(m), len(m)))
        for i in range(len(m)):
            J[:, i] = slope[i] * self.W[i]
        return J


def _mf():
    return MeanField(5), np.random.default_rng(1).uniform(-0.8, 0.8, 5)


# ---- exponential decay with offset: least squares, Newton ----
class DecayFit:
    """p = amplitude, rate, offset"""

    def __init__(self, t, y):
        self.t, self.y = t, y

    def parts(self, p):
        e = np.exp(-p[1] * self.t)
        r = p[0] * e + p[2] - self.y
        return r, e, np.column_stack([e, -p[0] * self.t * e, np.ones_like(e)])

    def cost(self, p):
        return 0.5 * np.sum(self.parts(p)[0] ** 2)

    def grad(self, p):
        r, _, J = self.parts(p)
        return J.T @ r

    def hess(self, p):
        r, e, J = self.parts(p)
        H = J.T @ J
        return H


def _decay():
    t = np.linspace(0, 3, 12)
    y = 2 * np.exp(-1.1 * t) + 0.3 + 0.2 * np.random.default_rng(2).normal(size=12)
    return DecayFit(t, y), np.array([1.4, 0.7, 0.6])


def _check_decay(gradlab):
    m, p = _decay()
    return gradlab.check_hessian(m.cost, m.grad, m.hess, p)


def _prove_decay():
    m, p = _decay()
    return [(m.grad(p), fgrad(m.cost, p)), (m.hess(p), fjac(m.grad, p))]


# ---- soft winsoriser ----
class SoftWinsor:
    def __init__(self, c=2.0):
        self.c = c

    def forward(self, x):
        self.root = np.sqrt(1 + (x / self.c) ** 2)
        return x / self.root

    def backward(self, dout):
        dout /= self.root**3
        return dout


# ---- least squares with an elastic penalty, buffers allocated once ----
class ElasticLS:
    def __init__(self, A, b, l2=0.3):
        self.A, self.b, self.l2 = A, b, l2
        self._r, self._g = np.empty(len(b)), np.empty(A.shape[1])

    def value_and_grad(self, w):
        np.dot(self.A, w, out=self._r)
        self._r -= self.b
        np.dot(self.A.T, self._r, out=self._g)
        self._g += self.l2 * w
        return 0.5 * self._r.dot(self._r) + 0.5 * self.l2 * w.dot(w), self._g


def _elastic():
    r = np.random.default_rng(3)
    return ElasticLS(r.normal(size=(9, 4)), r.normal(size=9)), r.normal(size=4)


ENTRIES = [
    Stranger(
        "minimax concave penalty, gradient built in one buffer",
        "callable object and prime(w, out=None)",
        lambda gradlab: gradlab.check_gradient(MCP(), MCP().prime, W_MCP.copy()),
        lambda: [(MCP().prime(W_MCP), fgrad(MCP(), W_MCP))],
    ),
    Stranger(
        "multinomial logit with the Hessian as a product",
        "methods loss, grad and hessp on a flat vector",
        _check_multi,
        _prove_multi,
    ),
    Stranger(
        "Elo strengths: residuals with ridge rows",
        "residuals and a sparse Jacobian",
        lambda gradlab: gradlab.check_jacobian(elo_residuals, elo_jacobian, S_ELO.copy()),
        lambda: [(elo_jacobian(S_ELO).toarray(), fjac(elo_residuals, S_ELO))],
    ),
    Stranger(
        "additive model of Gaussian bumps",
        "modules with parameter objects, a generator of them",
        lambda gradlab: gradlab.check_layer(*_gam()),
        _prove_gam,
    ),
    Stranger(
        "Tweedie loss: divided by n twice",
        "loss class with target",
        lambda gradlab: gradlab.check_layer(*_tweedie()),
        _prove_tweedie,
        "wrong",
        "the slope kept by forward is divided by n already, backward divides it once more",
        ("constant-factor",),
        ("eta",),
        "        return self.pente / self.n\n",
        "        return self.pente\n",
    ),
    Stranger(
        "smoothed group lasso: epsilon outside of the root",
        "f and grad with args",
        lambda gradlab: gradlab.check_gradient(group_lasso, group_lasso_grad, W_GL.copy(), args=(1.5,)),
        lambda: [(group_lasso_grad(W_GL, 1.5), fgrad(group_lasso, W_GL, 1.5))],
        "wrong",
        "the penalty has sqrt(sum + eps), the gradient divides by sqrt(sum) + eps",
        ("epsilon-mismatch",),
        ("w",),
        "        length = np.sqrt(np.sum(w[s] ** 2)) + EPS\n",
        "        length = np.sqrt(np.sum(w[s] ** 2) + EPS)\n",
    ),
    Stranger(
        "mean field sweep: Jacobian filled by columns",
        "methods f and jac",
        lambda gradlab: (lambda m, x: gradlab.check_jacobian(m.sweep, m.sweep_jac, x))(*_mf()),
        lambda: (lambda m, x: [(m.sweep_jac(x), fjac(m.sweep, x))])(*_mf()),
        "wrong",
        "row i of the Jacobian is written into column i: it is transposed",
        ("transposed",),
        ("jac",),
        "            J[:, i] = slope[i] * self.W[i]\n",
        "            J[i] = slope[i] * self.W[i]\n",
    ),
    Stranger(
        "exponential decay fit: Hessian is Gauss-Newton's",
        "methods cost, grad, hess",
        _check_decay,
        _prove_decay,
        "wrong",
        "the residuals times the model's second derivatives are left out of the Hessian",
        ("missing-term", "other-approximation"),
        ("hess",),
        "        H = J.T @ J\n",
        "        H = J.T @ J\n"
        "        H[0, 1] = H[1, 0] = H[0, 1] - np.sum(r * self.t * e)\n"
        "        H[1, 1] += p[0] * np.sum(r * self.t**2 * e)\n",
    ),
    Stranger(
        "soft winsoriser: backward divides dout in place",
        "layer",
        lambda gradlab: gradlab.check_layer(SoftWinsor(), np.random.default_rng(7).normal(size=(4, 3)) * 2),
        lambda: [],
        "habit",
        "backward changes the caller's dout and returns it",
        ("mutates-argument", "aliases-memory"),
        ("dout",),
    ),
    Stranger(
        "ridge least squares: gradient is the object's own buffer",
        "value and grad in one method",
        lambda gradlab: (lambda m, w: gradlab.check_gradient(m.value_and_grad, True, w))(*_elastic()),
        lambda: [],
        "habit",
        "every call returns the same array, so that the gradient kept from the last call changes",
        ("aliases-memory",),
        ("w",),
    ),
]
