"""Kernels, Gaussian processes, dependence measures, covariance matrices."""

import numpy as np
from scipy.linalg import cho_factor, cho_solve, solve_triangular
from scipy.spatial.distance import cdist

from ._entry import Stranger
from ._help_l import dots, fgrad, fjac


# ---- GP regression with a length scale for each feature, parameters are logarithms ----
def gp_objective(theta, X, y):
    """log lengths, log signal, log noise -> (negative log marginal likelihood, gradient)"""
    ls, sf2, sn2 = np.exp(theta[:-2]), np.exp(2 * theta[-2]), np.exp(2 * theta[-1])
    Xs = X / ls
    K = sf2 * np.exp(-0.5 * cdist(Xs, Xs, "sqeuclidean"))
    c = cho_factor(K + sn2 * np.eye(len(y)), lower=True)
    alpha = cho_solve(c, y)
    f = 0.5 * y @ alpha + np.log(np.diag(c[0])).sum() + 0.5 * len(y) * np.log(2 * np.pi)
    M = cho_solve(c, np.eye(len(y))) - np.outer(alpha, alpha)
    g = np.empty_like(theta)
    for d in range(X.shape[1]):
        g[d] = 0.5 * np.vdot(M, K * (Xs[:, None, d] - Xs[None, :, d]) ** 2)
    g[-2] = np.vdot(M, K)
    g[-1] = sn2 * np.trace(M)
    return f, g


def _gp():
    r = np.random.default_rng(40)
    return np.array([0.1, 0.4, -0.2, 0.3, -1.0]), r.normal(size=(12, 3)), r.normal(size=12)


class ARDProcess:
    """the length scales themselves are optimised (L-BFGS-B with bounds); signal 1, noise fixed"""

    def __init__(self, X, y, noise=0.1):
        self.X, self.y, self.noise = X, y, noise
        self.D2 = (X[:, None, :] - X[None, :, :]) ** 2

    def _solve(self, ell):
        K = np.exp(-0.5 * (self.D2 / ell**2).sum(-1))
        Kinv = np.linalg.inv(K + self.noise * np.eye(len(self.y)))
        return K, Kinv, Kinv @ self.y

    def nll(self, ell):
        _, Kinv, a = self._solve(ell)
        return 0.5 * self.y @ a - 0.5 * np.linalg.slogdet(Kinv)[1]

    def dnll(self, ell):
        K, Kinv, a = self._solve(ell)
        dK = K[:, :, None] * self.D2 / ell**2
        return 0.5 * np.einsum("ij,ijd->d", Kinv - np.outer(a, a), dK)


def _ard():
    r = np.random.default_rng(41)
    return ARDProcess(r.normal(size=(10, 4)), r.normal(size=10)), np.array([0.6, 1.7, 2.4, 1.3])


# ---- rational quadratic cross-covariance as a layer ----
class RQKernel:
    def __init__(self, alpha=0.8, ell=1.3):
        self.log_alpha, self.log_ell = np.log([alpha]), np.log([ell])

    def __call__(self, X, Z):
        self.diff = X[:, None] - Z[None]
        self.a, self.l2 = np.exp(self.log_alpha), np.exp(2 * self.log_ell)
        self.q = (self.diff**2).sum(-1) / (2 * self.a * self.l2)
        self.K = (1 + self.q) ** -self.a
        return self.K

    def backward(self, dK):
        t = dK * self.K
        u = t / (1 + self.q)
        self.dlog_alpha = self.a * np.sum(u * self.q - t * np.log1p(self.q), keepdims=True).ravel()
        self.dlog_ell = 2 * self.a * np.sum(u * self.q, keepdims=True).ravel()
        pair = -u[:, :, None] * self.diff / self.l2
        return pair.sum(axis=1), -pair.sum(axis=0)


def _rq():
    r = np.random.default_rng(3)
    return RQKernel(), r.normal(size=(5, 2)), r.normal(size=(4, 2))


def _prove_rq():
    k, X, Z = _rq()
    g = np.random.default_rng(4).normal(size=(5, 4))
    k(X, Z)
    got = [*k.backward(g), k.dlog_alpha, k.dlog_ell]
    return list(zip(got, dots(lambda: k(X, Z), [X, Z, k.log_alpha, k.log_ell], g)))


# ---- Cholesky factor of the symmetric part (Murray 2016) ----
def chol_fwd(A):
    L = np.linalg.cholesky(0.5 * (A + A.T))
    return L, L


def chol_bwd(L, Lbar):
    P = np.tril(L.T @ np.tril(Lbar))
    P[np.diag_indices_from(P)] *= 0.5
    S = solve_triangular(L, solve_triangular(L, P.T, lower=True, trans="T").T, lower=True, trans="T")
    # P sits between inverse factors: L^-T P L^-1, then symmetric because forward reads both triangles
    return (0.5 * (S + S.T),)


def _spd():
    r = np.random.default_rng(17)
    B = r.normal(size=(4, 4))
    return (B @ B.T + 2 * np.eye(4) + 0.1 * r.normal(size=(4, 4)),)


def _prove_chol():
    (A,) = _spd()
    g = np.random.default_rng(1).normal(size=(4, 4))
    return [(chol_bwd(chol_fwd(A)[1], g)[0], *dots(lambda: chol_fwd(A)[0], [A], g))]


# ---- HSIC: dependence of two samples, bandwidths fixed ----
class HSIC:
    def __init__(self, sx=1.0, sy=1.5):
        self.sx, self.sy = sx, sy

    @staticmethod
    def center(K):
        return K - K.mean(0) - K.mean(1, keepdims=True) + K.mean()

    def forward(self, X, Y):
        self.X, self.Y, self.n = X, Y, len(X)
        self.K = np.exp(-cdist(X, X, "sqeuclidean") / (2 * self.sx**2))
        self.L = np.exp(-cdist(Y, Y, "sqeuclidean") / (2 * self.sy**2))
        return np.vdot(self.center(self.K), self.L) / (self.n - 1) ** 2

    def backward(self, dout=1):
        scale = dout / (self.n - 1) ** 2

        def to_points(G, points, s):
            # graph Laplacian of the symmetric weights G
            return 2 * (G @ points - G.sum(1)[:, None] * points) / s**2

        dX = to_points(scale * self.center(self.L) * self.K, self.X, self.sx)
        dY = to_points(scale * self.center(self.K) * self.L, self.Y, self.sy)
        return dX, dY


def _hsic():
    r = np.random.default_rng(15)
    X = r.normal(size=(9, 2))
    return HSIC(), X, np.c_[X[:, 0] + 0.5 * r.normal(size=9), r.normal(size=9)]


def _prove_hsic():
    h, X, Y = _hsic()
    h.forward(X, Y)
    return list(zip(h.backward(), dots(lambda: h.forward(X, Y), [X, Y])))


# ---- maximum mean discrepancy, bandwidth from the data ----
class MMDLoss(object):
    def forward(self, x, y):
        self.n = len(x)
        self.z = np.concatenate([x, y])
        self.sign = np.concatenate([np.full(len(x), 1.0 / len(x)), np.full(len(y), -1.0 / len(y))])
        self.d2 = cdist(self.z, self.z, "sqeuclidean")
        self.h = self.d2.mean()
        self.k = np.exp(-self.d2 / self.h)
        return self.sign @ self.k @ self.sign

    def backward(self, grad_output=1.0):
        gk = grad_output * np.outer(self.sign, self.sign)
        gd = -gk * self.k / self.h
        gz = 4 * (gd.sum(axis=1)[:, None] * self.z - gd @ self.z)
        return gz[: self.n], gz[self.n :]


def _mmd():
    r = np.random.default_rng(19)
    return MMDLoss(), r.normal(size=(6, 3)), 0.8 + 1.4 * r.normal(size=(5, 3))


def _prove_mmd():
    m, x, y = _mmd()
    m.forward(x, y)
    return list(zip(m.backward(), dots(lambda: m.forward(x, y), [x, y])))


# ---- random Fourier features with learnt frequencies ----
class FourierFeatures:
    def __init__(self, n_in, m, seed=0):
        self.m = m
        self.omega = np.random.default_rng(seed).normal(size=(n_in, m))
        self.omega_grad = None

    def forward(self, x):
        self.x, self.proj = x, x @ self.omega
        return np.hstack([np.cos(self.proj), np.sin(self.proj)]) / np.sqrt(self.m)

    def backward(self, grad):
        g_sin, g_cos = np.hsplit(grad / np.sqrt(self.m), 2)
        g = g_sin * np.cos(self.proj) - g_cos * np.sin(self.proj)
        self.omega_grad = self.x.T @ g
        return g @ self.omega.T


def _rff():
    return FourierFeatures(3, 4), np.random.default_rng(2).normal(size=(5, 3))


def _prove_rff():
    (f, x), g = _rff(), np.random.default_rng(1).normal(size=(5, 8))
    f.forward(x)
    return list(zip([f.backward(g), f.omega_grad], dots(lambda: f.forward(x), [x, f.omega], g)))


# ---- leave-one-out residuals of ridge regression, a penalty for each column ----
def loo(rho, X, y):
    A = np.linalg.inv(X.T @ X + np.diag(np.exp(rho)))
    H = X @ A @ X.T
    return (y - H @ y) / (1 - np.diag(H))


def loo_jac(rho, X, y):
    lam = np.exp(rho)
    V = X @ np.linalg.inv(X.T @ X + np.diag(lam))
    free = 1 - np.sum(V * X, axis=1)
    res = y - V @ (X.T @ y)
    return lam * (V * (V.T @ y)) / free[:, None] - lam * V**2 * (res / free**2)[:, None]


def _ridge():
    r = np.random.default_rng(20)
    return np.array([0.5, -0.3, 1.2, 0.0]), r.normal(size=(9, 4)), r.normal(size=9)


# ---- multivariate normal: mean, log diagonal of L, below the diagonal of L ----
def unpack(theta, d):
    L = np.zeros((d, d))
    L[np.diag_indices(d)] = np.exp(theta[d : 2 * d])
    L[np.tril_indices(d, -1)] = theta[2 * d :]
    return theta[:d], L


def mvn_nll(theta, Y):
    mu, L = unpack(theta, Y.shape[1])
    Z = solve_triangular(L, (Y - mu).T, lower=True)
    return len(Y) * np.log(np.diag(L)).sum() + 0.5 * np.sum(Z**2)


def mvn_grad(theta, Y):
    n, d = Y.shape
    mu, L = unpack(theta, d)
    Z = solve_triangular(L, (Y - mu).T, lower=True)
    W = solve_triangular(L, Z, lower=True, trans="T")  # precision times deviation
    dL = np.diag(n / np.diag(L)) - W @ Z.T
    dlogdiag = np.diag(dL)
    return np.concatenate([-W.sum(axis=1), dlogdiag, dL[np.tril_indices(d, -1)]])


def _mvn():
    theta = np.array([0.2, -0.1, 0.4, 0.5, -0.6, 0.3, 0.7, -0.4, 0.2])
    return theta, np.random.default_rng(7).normal(size=(15, 3))


ENTRIES = [
    Stranger(
        "GP marginal likelihood with log length scales",
        "value and grad with args",
        lambda gradlab: gradlab.check_gradient(gp_objective, True, _gp()[0], args=_gp()[1:]),
        lambda: [(gp_objective(*_gp())[1], fgrad(lambda *a: gp_objective(*a)[0], *_gp()))],
    ),
    Stranger(
        "rational quadratic kernel between two sets of points",
        "layer by __call__ and backward, two inputs",
        lambda gradlab: gradlab.check_layer(*_rq()),
        _prove_rq,
    ),
    Stranger(
        "Cholesky factor of the symmetric part",
        "vjp functions with residual",
        lambda gradlab: gradlab.check_vjp(chol_fwd, chol_bwd, _spd()),
        _prove_chol,
    ),
    Stranger(
        "HSIC by graph Laplacians",
        "scalar layer, two inputs, backward(dout=1)",
        lambda gradlab: gradlab.check_layer(*_hsic()),
        _prove_hsic,
    ),
    Stranger(
        "leave-one-out residuals of ridge by log penalties",
        "f and jac with args",
        lambda gradlab: gradlab.check_jacobian(loo, loo_jac, _ridge()[0], args=_ridge()[1:]),
        lambda: [(loo_jac(*_ridge()), fjac(loo, *_ridge()))],
    ),
    Stranger(
        "ARD Gaussian process: gradient by the logarithm of the length scales",
        "methods nll and dnll",
        lambda gradlab: (lambda m, ell: gradlab.check_gradient(m.nll, m.dnll, ell))(*_ard()),
        lambda: (lambda m, ell: [(m.dnll(ell), fgrad(m.nll, ell))])(*_ard()),
        "wrong",
        "divides by ell**2 instead of ell**3: the derivative by log(ell), while nll takes ell itself",
        ("log-parameter", "missing-factor"),
        ("ell",),
        "        dK = K[:, :, None] * self.D2 / ell**2\n",
        "        dK = K[:, :, None] * self.D2 / ell**3\n",
    ),
    Stranger(
        "maximum mean discrepancy: bandwidth treated as a constant",
        "loss class, two inputs",
        lambda gradlab: gradlab.check_layer(*_mmd()),
        _prove_mmd,
        "wrong",
        "the bandwidth h is the mean of the distances, but the path through it is left out",
        ("missing-term",),
        ("x", "y"),
        "        gd = -gk * self.k / self.h\n",
        "        gd = -gk * self.k / self.h + np.sum(gk * self.k * self.d2) / self.h**2 / self.d2.size\n",
    ),
    Stranger(
        "random Fourier features: halves of the cotangent exchanged",
        "layer, attribute omega_grad",
        lambda gradlab: gradlab.check_layer(*_rff()),
        _prove_rff,
        "wrong",
        "forward stacks cosines and then sines, backward takes the first half for the sines'",
        ("columns-exchanged", "wrong-cotangent"),
        ("x", "omega"),
        "        g_sin, g_cos = np.hsplit(grad / np.sqrt(self.m), 2)\n",
        "        g_cos, g_sin = np.hsplit(grad / np.sqrt(self.m), 2)\n",
    ),
    Stranger(
        "multivariate normal by Cholesky: log diagonal without the diagonal as a factor",
        "f and grad with args, packed parameters",
        lambda gradlab: gradlab.check_gradient(mvn_nll, mvn_grad, _mvn()[0], args=_mvn()[1:]),
        lambda: [(mvn_grad(*_mvn()), fgrad(mvn_nll, *_mvn()))],
        "wrong",
        "the parameters are logarithms of L's diagonal, but the gradient is that by the diagonal itself",
        ("missing-factor", "masked-region"),
        ("theta",),
        "    dlogdiag = np.diag(dL)\n",
        "    dlogdiag = np.diag(dL) * np.diag(L)\n",
    ),
]
