"""Factorisations, embeddings, metric learning, recommenders."""

import numpy as np
from scipy.sparse import lil_matrix
from scipy.special import expit

from ._entry import Stranger
from ._help_t import num, of_both, of_f


# CP decomposition with missing entries (after Acar's cp_wopt) ----
def cp_wopt(x, Z, W, R):
    sizes = [n * R for n in Z.shape]
    A, B, C = (p.reshape(-1, R) for p in np.split(x, np.cumsum(sizes)[:-1]))
    T = W * (np.einsum("ir,jr,kr->ijk", A, B, C) - Z)
    f = 0.5 * np.vdot(T, T)
    T = W * T
    G = (
        np.einsum("ijk,jr,kr->ir", T, B, C),
        np.einsum("ijk,ir,kr->jr", T, A, C),
        np.einsum("ijk,ir,jr->kr", T, A, B),
    )
    return f, np.concatenate([g.ravel() for g in G])


def _cp():
    rng = np.random.default_rng(1)
    return rng.normal(size=24), rng.normal(size=(4, 3, 5)), (rng.random((4, 3, 5)) < 0.7).astype(float), 2


# hyperbolic embeddings ----
class PoincareDistance:
    def __call__(self, u, v):
        self.u, self.v = u, v
        self.alpha = 1 - np.sum(u**2, axis=-1)
        self.beta = 1 - np.sum(v**2, axis=-1)
        self.gamma = 1 + 2 * np.sum((u - v) ** 2, axis=-1) / (self.alpha * self.beta)
        return np.arccosh(self.gamma)

    def _partial(self, x, y, a, b):
        xx, xy, yy = np.sum(x * x, -1), np.sum(x * y, -1), np.sum(y * y, -1)
        scale = 4 / (b * np.sqrt(self.gamma**2 - 1))
        return (((yy - 2 * xy + 1) / a**2 * scale)[..., None] * x) - (scale / a)[..., None] * y

    def vjp(self, g):
        g = g[..., None]
        return (
            g * self._partial(self.u, self.v, self.alpha, self.beta),
            g * self._partial(self.v, self.u, self.beta, self.alpha),
        )


def _poincare():
    rng = np.random.default_rng(2)
    return PoincareDistance(), rng.uniform(-0.45, 0.45, (6, 3)), rng.uniform(-0.45, 0.45, (6, 3))


def _poincare_proof():
    d, u, v = _poincare()
    g = np.random.default_rng(0).normal(size=6)
    d(u, v)
    return [(c, num(lambda: g @ d(u, v), a)) for c, a in zip(d.vjp(g), (u, v))]


# GloVe ----
class GloVe:
    def __init__(self, vocab, dim, seed=0):
        rng = np.random.RandomState(seed)
        self.params = dict(
            W=rng.randn(vocab, dim) / 2,
            C=rng.randn(vocab, dim) / 2,
            bw=rng.randn(vocab) / 5,
            bc=rng.randn(vocab) / 5,
        )
        self.grads = {}

    def forward(self, rows, cols, counts):
        P = self.params
        self.rows, self.cols = rows, cols
        self.f = np.minimum(1.0, (counts / 20) ** 0.75)
        self.diff = (P["W"][rows] * P["C"][cols]).sum(1) + P["bw"][rows] + P["bc"][cols] - np.log(counts)
        return np.sum(self.f * self.diff**2)

    def backward(self):
        P = self.params
        self.grads = {k: np.zeros_like(v) for k, v in P.items()}
        e = 2 * self.f * self.diff
        for i, j, eij in zip(self.rows, self.cols, e):
            self.grads["W"][i] += eij * P["C"][j]
            self.grads["C"][j] += eij * P["W"][i]
            self.grads["bw"][i] += eij
            self.grads["bc"][j] += eij


def _glove():
    rng = np.random.default_rng(3)
    return GloVe(6, 3), rng.integers(0, 6, 15), rng.integers(0, 6, 15), rng.integers(1, 40, 15)


def _glove_proof():
    m, *data = _glove()
    m.forward(*data)
    m.backward()
    return [(m.grads[k], num(lambda: m.forward(*data), m.params[k])) for k in m.params]


# stochastic triplet embedding with Student kernel (t-STE) ----
def tste(X, triplets, alpha=2.0):
    """triplets (T, 3): i is nearer to j than to k. X (n, d) stays a matrix."""
    i, j, k = triplets.T
    d_ij, d_ik = X[i] - X[j], X[i] - X[k]
    b_ij = 1 + (d_ij**2).sum(1) / alpha
    b_ik = 1 + (d_ik**2).sum(1) / alpha
    power = (alpha + 1) / 2
    p = 1 / (1 + (b_ij / b_ik) ** power)
    c = -(1 - p) * (alpha + 1) / alpha
    near, far = (c / b_ij)[:, None] * d_ij, (c / b_ik)[:, None] * d_ik
    dX = np.zeros_like(X)
    np.add.at(dX, np.concatenate([i, j, k]), np.concatenate([near - far, -near, far]))
    return -np.log(p).sum(), -dX


def _tste():
    rng = np.random.default_rng(4)
    return rng.normal(size=(7, 2)), np.array([rng.permutation(7)[:3] for _ in range(18)])


# metric MDS as least squares with a sparse Jacobian ----
class StressResiduals:
    def __init__(self, delta, dim):
        self.i, self.j = np.triu_indices(len(delta), 1)
        self.delta = delta[self.i, self.j]
        self.weight = 1 / np.sqrt(self.delta)
        self.n, self.dim = len(delta), dim

    def residuals(self, x):
        X = x.reshape(self.n, self.dim)
        return self.weight * (np.linalg.norm(X[self.i] - X[self.j], axis=1) - self.delta)

    def jac(self, x):
        X = x.reshape(self.n, self.dim)
        J = lil_matrix((len(self.i), x.size))
        for row, (a, b) in enumerate(zip(self.i, self.j)):
            unit = X[a] - X[b]
            unit = self.weight[row] * unit / np.linalg.norm(unit)
            J[row, a * self.dim : (a + 1) * self.dim] = unit
            J[row, b * self.dim : (b + 1) * self.dim] = -unit
        return J.tocsr()


def _stress():
    rng = np.random.default_rng(5)
    D = rng.uniform(0.5, 2, (6, 6))
    return StressResiduals(D + D.T, 2), rng.normal(size=12)


# DEDICOM: X = A R A' with asymmetric R ----
def dedicom(X):
    def forward(A, R):
        E = X - A @ R @ A.T
        return 0.5 * np.sum(E**2), (A, R, E)

    def backward(dout, cache):
        A, R, E = cache
        return {
            "A": -dout * (E @ A @ R.T + E.T @ A @ R),
            "R": -dout * (A.T @ E.T @ A),
        }

    return forward, backward


def _dedicom():
    rng = np.random.default_rng(6)
    return (*dedicom(rng.normal(size=(6, 6))), (rng.normal(size=(6, 3)), rng.normal(size=(3, 3))))


def _dedicom_proof():
    fw, bw, (A, R) = _dedicom()
    g = bw(1.0, fw(A, R)[1])
    return [(g["A"], num(lambda: fw(A, R)[0], A)), (g["R"], num(lambda: fw(A, R)[0], R))]


# heavy-tailed neighbour embedding ----
class HeavyTailSNE:
    def __init__(self, P, dof, dim=2):
        self.P, self.dof, self.dim = P, dof, dim

    def _kernel(self, y):
        Y = y.reshape(-1, self.dim)
        diff = Y[:, None] - Y[None]
        base = 1 + (diff**2).sum(-1) / self.dof
        K = base ** (-(self.dof + 1) / 2)
        np.fill_diagonal(K, 0)
        return diff, base, K / K.sum()

    def kl(self, y):
        Q = self._kernel(y)[2]
        m = self.P > 0
        return np.sum(self.P[m] * np.log(self.P[m] / Q[m]))

    def kl_gradient(self, y):
        diff, base, Q = self._kernel(y)
        PQ = self.P - Q
        force = 2 * (self.dof + 1) / self.dof * PQ
        return (force[:, :, None] * diff).sum(axis=1).ravel()


def _sne():
    rng = np.random.default_rng(7)
    P = rng.random((8, 8))
    P = P + P.T
    np.fill_diagonal(P, 0)
    return HeavyTailSNE(P / P.sum(), 0.7), rng.normal(size=16)


# field-aware factorisation machine ----
class FFM:
    def __init__(self, fields, n_fields, k, rng):
        self.fields = fields
        d = len(fields)
        self.w = rng.normal(size=d)
        self.V = rng.normal(size=(d, n_fields, k)) / np.sqrt(k)

    def forward(self, x):
        self.x = x
        f, d = self.fields, x.shape[1]
        y = x @ self.w
        for i in range(d):
            for j in range(i + 1, d):
                y = y + x[:, i] * x[:, j] * (self.V[i, f[j]] @ self.V[j, f[i]])
        return y

    def backward(self, dy):
        x, f, d = self.x, self.fields, self.x.shape[1]
        self.dw = x.T @ dy
        self.dV = np.zeros_like(self.V)
        dx = np.outer(dy, self.w)
        for i in range(d):
            for j in range(i + 1, d):
                c = dy @ (x[:, i] * x[:, j])
                inner = self.V[i, f[j]] @ self.V[j, f[i]]
                self.dV[i, f[i]] += c * self.V[j, f[i]]
                self.dV[j, f[i]] += c * self.V[i, f[j]]
                dx[:, i] += dy * x[:, j] * inner
                dx[:, j] += dy * x[:, i] * inner
        return dx


def _ffm():
    rng = np.random.default_rng(8)
    return FFM([0, 0, 1, 2, 2], 3, 2, rng), rng.normal(size=(4, 5))


def _ffm_proof():
    m, x = _ffm()
    g = np.random.default_rng(0).normal(size=4)
    m.forward(x)
    pairs = [(m.backward(g), x), (m.dw, m.w), (m.dV, m.V)]
    return [(c, num(lambda: g @ m.forward(x), a)) for c, a in pairs]


# relaxed hash codes for retrieval ----
class HashHead:
    def __init__(self, n_in, bits, sharpness=1.5, seed=0):
        rng = np.random.RandomState(seed)
        self.W = rng.randn(n_in, bits) * 0.4
        self.thresh = rng.randn(bits) * 0.1
        self.sharpness = sharpness

    def forward(self, feats):
        self.feats = feats
        self.code = np.tanh(self.sharpness * (feats @ self.W - self.thresh))
        return self.code

    def backward(self, dcode):
        dpre = dcode
        self.dW = self.feats.T @ dpre
        self.dthresh = -dpre.sum(axis=0)
        return dpre @ self.W.T


def _hash():
    return HashHead(5, 4), np.random.default_rng(9).normal(size=(6, 5))


def _hash_proof():
    m, x = _hash()
    g = np.random.default_rng(0).normal(size=(6, 4))
    m.forward(x)
    pairs = [(m.backward(g), x), (m.dW, m.W), (m.dthresh, m.thresh)]
    return [(c, num(lambda: np.sum(g * m.forward(x)), a)) for c, a in pairs]


# ratings: sigmoid of scores with offsets for users and films ----
def ratings_forward(P, Q, user_bias, film_bias):
    s = expit(P @ Q.T + user_bias[:, None] + film_bias)
    return 1 + 4 * s, (P, Q, s)


def ratings_backward(dstars, cache):
    P, Q, s = cache
    ds = 4 * dstars * s * (1 - s)
    dP, dQ = ds @ Q, ds.T @ P
    duser = ds.sum(axis=1)
    dfilm = ds
    return dP, dQ, duser, dfilm


def _ratings():
    rng = np.random.default_rng(10)
    return rng.normal(size=(5, 3)), rng.normal(size=(7, 3)), rng.normal(size=5), rng.normal(size=7)


def _ratings_proof():
    args = _ratings()
    g = np.random.default_rng(0).normal(size=(5, 7))
    claimed = ratings_backward(g, ratings_forward(*args)[1])
    return [(c, num(lambda: np.sum(g * ratings_forward(*args)[0]), a)) for c, a in zip(claimed, args)]


ENTRIES = [
    Stranger(
        "t: CP decomposition with missing entries",
        "(value, grad) of packed factors",
        lambda gradlab: gradlab.check_gradient(cp_wopt, True, _cp()[0], args=_cp()[1:]),
        lambda: of_both(cp_wopt, *_cp()),
    ),
    Stranger(
        "t: Poincare distance of two embeddings",
        "layer with __call__ and vjp",
        lambda gradlab: gradlab.check_layer(*_poincare()),
        _poincare_proof,
    ),
    Stranger(
        "t: GloVe by a loop over the co-occurrences",
        "loss layer of integers, params and grads dicts",
        lambda gradlab: gradlab.check_layer(*_glove()),
        _glove_proof,
    ),
    Stranger(
        "t: t-STE of triplets",
        "(value, grad) of a matrix",
        lambda gradlab: gradlab.check_gradient(tste, True, _tste()[0], args=_tste()[1:]),
        lambda: of_both(tste, *_tste()),
    ),
    Stranger(
        "t: MDS stress residuals",
        "residuals with sparse Jacobian",
        lambda gradlab: (lambda m, x: gradlab.check_jacobian(m.residuals, m.jac, x))(*_stress()),
        lambda: (lambda m, x: of_f(m.residuals, m.jac, x))(*_stress()),
    ),
    Stranger(
        "t: DEDICOM: the residual of R transposed",
        "pair with cache, dict of gradients, closures",
        lambda gradlab: gradlab.check_cached_pair(*_dedicom()),
        _dedicom_proof,
        "wrong",
        "the gradient of R takes the transposed residual and so is itself transposed",
        ("transposed",),
        ("R",),
        '            "R": -dout * (A.T @ E.T @ A),\n',
        '            "R": -dout * (A.T @ E @ A),\n',
    ),
    Stranger(
        "t: heavy-tailed SNE: without the kernel's factor",
        "estimator, kl and kl_gradient, flat vector",
        lambda gradlab: (lambda m, y: gradlab.check_gradient(m.kl, m.kl_gradient, y))(*_sne()),
        lambda: (lambda m, y: of_f(m.kl, m.kl_gradient, y))(*_sne()),
        "wrong",
        "the forces are not divided by 1 + d^2 / dof, as with a Gaussian kernel",
        ("missing-factor",),
        ("y",),
        "        force = 2 * (self.dof + 1) / self.dof * PQ\n",
        "        force = 2 * (self.dof + 1) / self.dof * PQ / base\n",
    ),
    Stranger(
        "t: field-aware factorisation machine: into the wrong field's vector",
        "layer with attributes dw, dV",
        lambda gradlab: gradlab.check_layer(*_ffm()),
        _ffm_proof,
        "wrong",
        "the gradient goes to the vector that feature i has for its own field, not for that of j",
        ("columns-exchanged", "wrong-operand"),
        ("V",),
        "                self.dV[i, f[i]] += c * self.V[j, f[i]]\n",
        "                self.dV[i, f[j]] += c * self.V[j, f[i]]\n",
    ),
    Stranger(
        "t: relaxed hash codes: passed straight through the tanh",
        "layer with attributes",
        lambda gradlab: gradlab.check_layer(*_hash()),
        _hash_proof,
        "wrong",
        "the slope of the tanh and its sharpness are left out",
        ("straight-through", "missing-factor"),
        ("feats", "W", "thresh"),
        "        dpre = dcode\n",
        "        dpre = dcode * self.sharpness * (1 - self.code**2)\n",
    ),
    Stranger(
        "t: ratings with offsets: the films' offset not summed over the users",
        "pair with cache, functions",
        lambda gradlab: gradlab.check_cached_pair(ratings_forward, ratings_backward, _ratings()),
        _ratings_proof,
        "wrong",
        "the films' offset is broadcast over the users, but its gradient is not summed over them",
        ("missing-broadcast-sum", "wrong-shape"),
        ("film_bias",),
        "    dfilm = ds\n",
        "    dfilm = ds.sum(axis=0)\n",
    ),
]
