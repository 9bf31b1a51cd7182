from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from ._entry import Stranger
from ._help_f import both, pairs_of


# Kepler's equation E - e sin E = M, one orbit for each element
def kepler_forward(M, ecc):
    E = M + ecc * np.sin(M)
    for _ in range(30):
        E = E - (E - ecc * np.sin(E) - M) / (1 - ecc * np.cos(E))
    return E, (E, ecc)


def kepler_backward(res, gE):
    E, ecc = res
    lam = gE / (1 - ecc * np.cos(E))
    return lam, lam * np.sin(E)


# equilibrium layer z = tanh(A z + x + b); x (n, d), A (d, d)
def equilibrium_forward(x, A, b):
    z = np.zeros_like(x)
    for _ in range(200):
        z = np.tanh(z @ A.T + x + b)
    return z, (z, A)


def equilibrium_backward(dz, cache):
    z, A = cache
    slope = 1 - z**2
    n, d = z.shape
    u = np.empty_like(z)
    for i in range(n):
        J = slope[i][:, None] * A
        u[i] = np.linalg.solve(np.eye(d) - J, dz[i]) * slope[i]
    return u, u.T @ z, u.sum(0)


# entropic transport: the optimal value as a function of the cost matrix; its gradient is the plan
@dataclass
class EntropicTransport:
    a: np.ndarray
    b: np.ndarray
    reg: float = 0.5

    def _plan(self, C: np.ndarray) -> np.ndarray:
        f, g = np.zeros(len(self.a)), np.zeros(len(self.b))
        for _ in range(400):
            f = self.reg * (np.log(self.a) - np.logaddexp.reduce((g[None, :] - C) / self.reg, axis=1))
            g = self.reg * (np.log(self.b) - np.logaddexp.reduce((f[:, None] - C) / self.reg, axis=0))
        return np.exp((f[:, None] + g[None, :] - C) / self.reg)

    def value(self, C: np.ndarray) -> float:
        P = self._plan(C)
        return float((P * C).sum() + self.reg * (P * np.log(P)).sum())

    def gradient(self, C: np.ndarray) -> np.ndarray:
        return self._plan(C)


# ridge solution as a function of the targets and of the penalty
DESIGN = np.random.default_rng(1).standard_normal((6, 3))


def ridge_forward(y, penalty):
    H = DESIGN.T @ DESIGN + penalty * np.eye(3)
    w = np.linalg.solve(H, DESIGN.T @ y)
    return w, (H, w)


def ridge_backward(residuals, g):
    H, w = residuals
    adj = np.linalg.solve(H, g)
    return DESIGN @ adj, np.array(adj @ w)


# Gaussian process with a length for each input; everything in logarithms
def gp_evidence(log_theta, X, y):
    p = X.shape[1]
    ell, amp, noise = np.exp(log_theta[:p]), np.exp(log_theta[p]), np.exp(log_theta[p + 1])
    D = (X[:, None] - X[None]) ** 2 / ell**2
    K0 = amp**2 * np.exp(-0.5 * D.sum(-1))
    K = K0 + noise**2 * np.eye(len(y))
    L = np.linalg.cholesky(K)
    alpha = np.linalg.solve(L.T, np.linalg.solve(L, y))
    nll = 0.5 * y @ alpha + np.log(np.diag(L)).sum()
    Q = np.linalg.inv(K) - np.outer(alpha, alpha)
    g = np.empty(p + 2)
    for k in range(p):
        g[k] = 0.5 * (Q * K0 * D[:, :, k]).sum()
    g[p] = (Q * K0).sum()
    g[p + 1] = noise**2 * np.trace(Q)
    return nll, g


def _gp():
    rng = np.random.default_rng(2)
    return np.array([0.2, -0.3, 0.1, -0.9]), rng.standard_normal((6, 2)), rng.standard_normal(6)


# rational quadratic kernel
def rq_kernel_forward(x, ell, shape):
    diff = x[:, None, :] - x[None, :, :]
    r2 = (diff**2).sum(-1) / ell**2
    base = 1 + r2 / (2 * shape)
    return base**-shape, (diff, r2, base, ell, shape)


def rq_kernel_backward(saved, gK):
    diff, r2, base, ell, shape = saved
    gK = np.clip(gK, -1.0, 1.0)
    d_r2 = -0.5 * gK * base ** (-shape - 1)
    sym = d_r2 + d_r2.T
    dx = 2 * (sym[:, :, None] * diff).sum(1) / ell**2
    d_ell = -2 * np.sum(d_r2 * r2) / ell
    d_shape = np.sum(gK * base**-shape * (r2 / (2 * shape * base) - np.log(base)))
    return dx, d_ell, d_shape


# natural cubic spline through (KNOTS, y), read at the places q
KNOTS = np.array([0.0, 0.7, 1.5, 2.1, 3.0, 3.6])
_H = np.diff(KNOTS)
_N = len(KNOTS)


def _second_derivatives():
    """The matrix that takes y to the second derivatives in the knots."""
    A, B = np.eye(_N), np.zeros((_N, _N))
    for i in range(1, _N - 1):
        A[i, i - 1 : i + 2] = _H[i - 1] / 6, (_H[i - 1] + _H[i]) / 3, _H[i] / 6
        B[i, i - 1 : i + 2] = 1 / _H[i - 1], -1 / _H[i - 1] - 1 / _H[i], 1 / _H[i]
    return np.linalg.solve(A, B)


_M = _second_derivatives()


def spline_forward(y, q):
    k = np.clip(np.searchsorted(KNOTS, q) - 1, 0, _N - 2)
    h = _H[k]
    a, b = (KNOTS[k + 1] - q) / h, (q - KNOTS[k]) / h
    rows = np.zeros((len(q), _N))
    at = np.arange(len(q))
    rows[at, k], rows[at, k + 1] = a, b
    rows += ((a**3 - a) * h**2 / 6)[:, None] * _M[k]
    rows += ((b**3 - b) * h**2 / 6)[:, None] * _M[k + 1]
    return rows @ y, (rows, k, a, b, h, y)


def spline_backward(res, g):
    rows, k, a, b, h, y = res
    m = _M @ y
    slope = (y[k + 1] - y[k]) / h + h / 6 * ((3 * b**2 - 1) * m[k + 1] - (3 * a**2 - 1) * m[k])
    return rows.T @ g, g * slope


# one backward Euler step of u' = r u (1 - u / cap): backward in time, and then its derivative
STEP = 0.4


def backward_euler(u, r, cap):
    new = u.copy()
    for _ in range(40):
        res = new - u - STEP * r * new * (1 - new / cap)
        new = new - res / (1 - STEP * r * (1 - 2 * new / cap))
    return new, (new, r, cap)


def backward_euler_adjoint(kept, g):
    new, r, cap = kept
    lam = g / (1 - STEP * r * (1 - 2 * new / cap))
    du = lam
    dr = lam * STEP * new * (1 - new / cap)
    dcap = lam * STEP * r * new**2 / cap**2
    return du.copy(), dr, dcap.sum(keepdims=True)


# centred cross-Gram matrix of two sets
def centred_gram_forward(P, Q):
    G = np.exp(-0.5 * ((P[:, None] - Q[None]) ** 2).sum(-1))
    C = G - G.mean(axis=0, keepdims=True) - G.mean(axis=1, keepdims=True) + G.mean()
    return C, (P, Q, G)


def centred_gram_backward(dC, cache):
    P, Q, G = cache
    dG = dC - dC.mean(axis=0, keepdims=True) - dC.mean(axis=0, keepdims=True) + dC.mean()
    W = dG * G
    dP = W @ Q - W.sum(axis=1)[:, None] * P
    dQ = W.T @ P - W.sum(axis=0)[:, None] * Q
    return dP, dQ


# friction factor: Colebrook-like law 1/sqrt(f) = -2 log10(rough/3.7 + 2.51/(Re sqrt(f))), iterated
def friction_forward(rough, reynolds):
    s = np.full_like(rough, 6.0)
    for _ in range(80):
        s = -2 * np.log10(rough / 3.7 + 2.51 * s / reynolds)
    inner = rough / 3.7 + 2.51 * s / reynolds
    scale = -2 / (np.log(10) * inner)
    return s, {"s": s, "re": reynolds, "adjoint": scale / (1 - scale * 2.51 / reynolds)}


def friction_backward(g, memo):
    lam = memo["adjoint"]
    lam *= g
    return lam / 3.7, -lam * 2.51 * memo["s"] / memo["re"] ** 2


def _rng(k):
    return np.random.default_rng(k)


def _kepler():
    return np.array([0.3, 1.4, 2.9, -1.1]), np.array([0.1, 0.45, 0.6, 0.3])


def _equilibrium():
    g = _rng(3)
    return g.standard_normal((2, 3)), 0.25 * g.standard_normal((3, 3)), g.standard_normal(3)


def _transport():
    return EntropicTransport(np.array([0.2, 0.5, 0.3]), np.array([0.1, 0.4, 0.3, 0.2]))


COST = _rng(4).random((3, 4)) * 2


def _ridge():
    return _rng(5).standard_normal(6), np.array(0.8)


def _rq():
    return _rng(6).standard_normal((4, 2)), np.array(1.3), np.array(0.7)


def _spline():
    return _rng(7).standard_normal(6), np.array([0.3, 1.1, 1.9, 2.6, 3.3])


def _euler():
    return np.array([0.2, 0.5, 1.4, 0.9]), np.array([0.8, 1.1, 0.5, 1.6]), np.array([2.0])


def _grams():
    g = _rng(8)
    return g.standard_normal((4, 2)), g.standard_normal((3, 2))


def _pipes():
    return np.array([0.012, 0.03, 0.05]), np.array([90.0, 140.0, 230.0])


def _vjp(fwd, bwd, point):
    return (
        lambda gradlab: gradlab.check_vjp(fwd, bwd, point()),
        lambda: pairs_of(fwd, bwd, point(), cache_first=True),
    )


def _cached(fwd, bwd, point):
    return (lambda gradlab: gradlab.check_cached_pair(fwd, bwd, point()), lambda: pairs_of(fwd, bwd, point()))


ENTRIES = [
    Stranger(
        "Kepler's equation", "vjp of an implicit function", *_vjp(kepler_forward, kepler_backward, _kepler)
    ),
    Stranger(
        "equilibrium layer: solves with the Jacobian, not with its transpose",
        "pair with cache, implicit",
        *_cached(equilibrium_forward, equilibrium_backward, _equilibrium),
        "wrong",
        "the adjoint system needs the transpose",
        ("transposed", "wrong-order"),
        ("x", "A", "b"),
        "        u[i] = np.linalg.solve(np.eye(d) - J, dz[i]) * slope[i]",
        "        u[i] = np.linalg.solve((np.eye(d) - J).T, dz[i]) * slope[i]",
    ),
    Stranger(
        "entropic transport: the plan is the gradient",
        "dataclass with value and gradient",
        lambda gradlab: gradlab.check_gradient(_transport().value, _transport().gradient, COST.copy()),
        lambda: both(_transport().value, _transport().gradient, COST),
    ),
    Stranger(
        "ridge solution: the penalty pulls the wrong way",
        "vjp of an implicit function",
        *_vjp(ridge_forward, ridge_backward, _ridge),
        "wrong",
        "dw/dpenalty = -H^-1 w",
        ("sign-flipped",),
        ("penalty",),
        "    return DESIGN @ adj, np.array(adj @ w)",
        "    return DESIGN @ adj, np.array(-adj @ w)",
    ),
    Stranger(
        "Gaussian process evidence",
        "value and gradient with args",
        lambda gradlab: gradlab.check_gradient(gp_evidence, True, _gp()[0], args=_gp()[1:]),
        lambda: both(
            lambda t: gp_evidence(t, *_gp()[1:])[0], lambda t: gp_evidence(t, *_gp()[1:])[1], _gp()[0]
        ),
    ),
    Stranger(
        "rational quadratic kernel: clips the cotangent",
        "vjp with residuals",
        *_vjp(rq_kernel_forward, rq_kernel_backward, _rq),
        "wrong",
        "clips what comes in, for stability: no gradient of anything",
        ("nonlinear-in-cotangent",),
        ("x", "ell", "shape"),
        "    gK = np.clip(gK, -1.0, 1.0)",
        "    gK = np.asarray(gK)",
    ),
    Stranger("natural cubic spline", "vjp with residuals", *_vjp(spline_forward, spline_backward, _spline)),
    Stranger(
        "backward Euler step",
        "vjp of an implicit step",
        *_vjp(backward_euler, backward_euler_adjoint, _euler),
    ),
    Stranger(
        "centred Gram matrix: centred twice over one axis",
        "pair with cache",
        *_cached(centred_gram_forward, centred_gram_backward, _grams),
        "wrong",
        "the mean over axis 0 taken twice, the one over axis 1 not at all",
        ("wrong-sum-axis",),
        ("P", "Q"),
        "    dG = dC - dC.mean(axis=0, keepdims=True) - dC.mean(axis=0, keepdims=True) + dC.mean()",
        "    dG = dC - dC.mean(axis=0, keepdims=True) - dC.mean(axis=1, keepdims=True) + dC.mean()",
    ),
    Stranger(
        "pipe friction: backward uses up its cache",
        "pair with cache in a dict, implicit",
        lambda gradlab: gradlab.check_cached_pair(friction_forward, friction_backward, _pipes()),
        lambda: [],
        "habit",
        "the second backward from one forward differs",
        ("mutates-argument", "accumulates"),
        ("rough", "reynolds"),
        "    lam *= g",
        "    lam = lam * g",
    ),
]
