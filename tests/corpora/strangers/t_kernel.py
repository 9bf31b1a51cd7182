"""Kernels, Gaussian processes, optimal transport, variational objectives."""

import numpy as np
from scipy.linalg import cho_factor, cho_solve
from scipy.special import expit, logsumexp

from ._entry import Stranger
from ._help_t import num, of_both, of_f


# Student-t process with a periodic kernel ----
class PeriodicTProcess:
    NU = 5.0

    def __init__(self, t, y):
        self.lag, self.y = t[:, None] - t[None, :], y

    def objective(self, theta):
        amp, ell, period, noise = np.exp(theta)
        n = len(self.y)
        u = np.pi * self.lag / period
        s = np.sin(u)
        K = amp**2 * np.exp(-2 * s**2 / ell**2)
        c = cho_factor(K + noise**2 * np.eye(n), lower=True)
        Kinv = cho_solve(c, np.eye(n))
        a = Kinv @ self.y
        b = self.y @ a
        nu = self.NU
        f = 0.5 * (nu + n) * np.log1p(b / (nu - 2)) + np.log(np.diag(c[0])).sum()
        M = Kinv - (nu + n) / (nu - 2 + b) * np.outer(a, a)
        dK = (2 * K, K * 4 * s**2 / ell**2, K * 4 * s * np.cos(u) * u / ell**2, 2 * noise**2 * np.eye(n))
        return f, np.array([0.5 * np.sum(M * d) for d in dK])


def _tp():
    rng = np.random.default_rng(1)
    t = np.sort(rng.uniform(0, 6, 14))
    return PeriodicTProcess(t, np.sin(2 * t) + 0.2 * rng.normal(size=14)), np.array([0.1, 0.2, 1.1, -1.2])


# semi-discrete optimal transport, entropic semi-dual, for Newton-CG ----
def semidual(psi, C, nu, eps):
    soft = -eps * logsumexp((psi - C) / eps, b=nu, axis=1)
    return -(soft.mean() + psi @ nu)


def _plan(psi, C, nu, eps):
    z = np.log(nu) + (psi - C) / eps
    return np.exp(z - logsumexp(z, axis=1, keepdims=True))


def semidual_grad(psi, C, nu, eps):
    return _plan(psi, C, nu, eps).mean(axis=0) - nu


def semidual_hessp(psi, v, C, nu, eps):
    pi = _plan(psi, C, nu, eps)
    return (pi * (v - (pi @ v)[:, None])).mean(axis=0) / eps


def _semidual():
    rng = np.random.default_rng(2)
    nu = rng.dirichlet(np.ones(6) * 4)
    return rng.normal(size=6) * 0.3, rng.random((12, 6)) * 2, nu, 0.4


def _semidual_proof():
    psi, *rest = _semidual()
    H = np.stack([semidual_hessp(psi, v, *rest) for v in np.eye(6)], axis=1)
    return of_f(semidual, semidual_grad, psi, *rest) + [(H, num(lambda: semidual_grad(psi, *rest), psi))]


# sliced Wasserstein ----
class SlicedWasserstein:
    def __init__(self, dim, n_proj=6, seed=0):
        th = np.random.RandomState(seed).randn(n_proj, dim)
        self.theta = th / np.linalg.norm(th, axis=1, keepdims=True)

    def distance(self, x, y):
        px, py = x @ self.theta.T, y @ self.theta.T
        self.sx, self.sy = px.argsort(axis=0), py.argsort(axis=0)
        self.gap = np.take_along_axis(px, self.sx, 0) - np.take_along_axis(py, self.sy, 0)
        return (self.gap**2).mean()

    def distance_grad(self):
        g = 2 * self.gap / self.gap.size
        gx, gy = np.empty_like(g), np.empty_like(g)
        np.put_along_axis(gx, self.sx, g, 0)
        np.put_along_axis(gy, self.sy, -g, 0)
        return gx @ self.theta, gy @ self.theta


def _sliced():
    rng = np.random.default_rng(3)
    return SlicedWasserstein(3), rng.normal(size=(7, 3)), rng.normal(size=(7, 3)) + 0.5


def _sliced_proof():
    m, x, y = _sliced()
    m.distance(x, y)
    return [(c, num(lambda: m.distance(x, y), a, 1e-5)) for c, a in zip(m.distance_grad(), (x, y))]


# unbiased MMD with rational quadratic kernels of several widths ----
WIDTHS = (0.3, 1.0, 4.0)


def _rq(X, Y):
    d2 = ((X[:, None] - Y[None]) ** 2).sum(-1)
    K = sum((1 + d2 / (2 * w)) ** -w for w in WIDTHS)
    slope = -0.5 * sum((1 + d2 / (2 * w)) ** (-w - 1) for w in WIDTHS)  # dK / d d2
    return K, slope


def mmd_forward(X, Y):
    n, m = len(X), len(Y)
    (kxx, sxx), (kyy, syy), (kxy, sxy) = _rq(X, X), _rq(Y, Y), _rq(X, Y)
    off = lambda K: K.sum() - np.trace(K)
    value = off(kxx) / (n * (n - 1)) + off(kyy) / (m * (m - 1)) - 2 * kxy.mean()
    return value, {"X": X, "Y": Y, "s": (sxx, syy, sxy)}


def mmd_backward(dout, cache):
    X, Y = cache["X"], cache["Y"]
    sxx, syy, sxy = cache["s"]
    pull = lambda S, A, B: 2 * (S.sum(axis=1)[:, None] * A - S @ B)
    n, m = len(X), len(Y)
    dX = 2 * pull(sxx, X, X) / (n * (n - 1)) - 2 * pull(sxy, X, Y) / (n * m)
    dY = 2 * pull(syy, Y, Y) / (m * (m - 1)) - 2 * pull(sxy.T, Y, X) / (n * m)
    return {"X": dout * dX, "Y": dout * dY}


def _mmd():
    rng = np.random.default_rng(4)
    return rng.normal(size=(6, 2)), rng.normal(size=(5, 2)) + 0.7


def _mmd_proof():
    X, Y = _mmd()
    g = mmd_backward(1.0, mmd_forward(X, Y)[1])
    return [(g[k], num(lambda: mmd_forward(X, Y)[0], a)) for k, a in (("X", X), ("Y", Y))]


# variational stochastic block model ----
class VariationalSBM:
    def __init__(self, n, K, rng):
        self.logits = rng.normal(size=(n, K))
        self.conn = rng.normal(size=(K, K)) - 1  # log odds of an arc between two blocks
        self.grad_logits = self.grad_conn = None

    def forward(self, adj):
        """Negative ELBO of a directed graph without loops; adj (n, n) of 0 and 1."""
        A = adj
        self.N = 1 - A - np.eye(len(A))
        self.A = A
        self.tau = np.exp(self.logits - logsumexp(self.logits, axis=1, keepdims=True))
        self.lp, self.lq = -np.logaddexp(0, -self.conn), -np.logaddexp(0, self.conn)
        T = self.tau
        self.elbo = (
            np.sum((T.T @ A @ T) * self.lp)
            + np.sum((T.T @ self.N @ T) * self.lq)
            - np.sum(T * np.log(T))
            - T.shape[0] * np.log(T.shape[1])
        )
        return -self.elbo

    def backward(self):
        T, A, N = self.tau, self.A, self.N
        dT = A @ T @ self.lp.T + A.T @ T @ self.lp + N @ T @ self.lq.T + N.T @ T @ self.lq - np.log(T) - 1
        self.grad_logits = -T * (dT - np.sum(T * dT, axis=1, keepdims=True))
        p = expit(self.conn)
        self.grad_conn = -(T.T @ A @ T * (1 - p) - T.T @ N @ T * p)


def _sbm():
    rng = np.random.default_rng(5)
    A = (rng.random((7, 7)) < 0.4).astype(int)
    np.fill_diagonal(A, 0)
    return VariationalSBM(7, 3, rng), A


def _sbm_proof():
    m, A = _sbm()
    m.forward(A)
    m.backward()
    return [
        (m.grad_logits, num(lambda: m.forward(A), m.logits)),
        (m.grad_conn, num(lambda: m.forward(A), m.conn)),
    ]


# Hilbert-Schmidt independence criterion ----
class HSIC:
    def __init__(self, width_x=1.0, width_y=0.8):
        self.wx, self.wy = width_x, width_y

    @staticmethod
    def _gram(Z, w):
        return np.exp(-((Z[:, None] - Z[None]) ** 2).sum(-1) / (2 * w**2))

    def forward(self, X, Y):
        n = len(X)
        self.X, self.Y = X, Y
        self.H = np.eye(n) - 1 / n
        self.K, self.L = self._gram(X, self.wx), self._gram(Y, self.wy)
        self.Kc, self.Lc = self.H @ self.K @ self.H, self.H @ self.L @ self.H
        return np.sum(self.K * self.Lc) / (n - 1) ** 2

    def _to_points(self, dK, K, Z, w):
        M = dK * K
        return 2 * (M @ Z - M.sum(axis=1, keepdims=True) * Z) / w**2

    def backward(self, dout=1.0):
        scale = dout / (len(self.X) - 1) ** 2
        dK = scale * self.L
        dL = scale * self.Kc
        return self._to_points(dK, self.K, self.X, self.wx), self._to_points(dL, self.L, self.Y, self.wy)


def _hsic():
    rng = np.random.default_rng(6)
    X = rng.normal(size=(9, 2))
    return HSIC(), X, X[:, :1] ** 2 + 0.3 * rng.normal(size=(9, 1))


def _hsic_proof():
    m, X, Y = _hsic()
    m.forward(X, Y)
    return [(c, num(lambda: m.forward(X, Y), a)) for c, a in zip(m.backward(), (X, Y))]


# full-rank Gaussian guide for a Bayesian logistic regression, fixed draws ----
def make_guide(X, y, eps):
    def forward(m, L):
        z = m + eps @ np.tril(L).T
        eta = z @ X.T
        logp = (y * eta - np.logaddexp(0, eta)).sum(axis=1) - 0.5 * (z**2).sum(axis=1)
        elbo = logp.mean() + np.log(np.abs(np.diag(L))).sum()
        return -elbo, (z, eta, L)

    def backward(dout, cache):
        z, eta, L = cache
        dz = ((y - expit(eta)) @ X - z) / len(eps)
        dm = dz.sum(axis=0)
        dL = dz.T @ eps + np.diag(1 / np.diag(L))
        return -dout * dm, -dout * dL

    return forward, backward


def _guide():
    rng = np.random.default_rng(7)
    f, b = make_guide(rng.normal(size=(15, 3)), rng.integers(0, 2, 15), rng.normal(size=(10, 3)))
    return f, b, (rng.normal(size=3) * 0.3, np.tril(rng.normal(size=(3, 3)) * 0.3) + np.eye(3))


def _guide_proof():
    f, b, (m, L) = _guide()
    return [(c, num(lambda: f(m, L)[0], a)) for c, a in zip(b(1.0, f(m, L)[1]), (m, L))]


# kernel ridge: leave-one-out error as a function of (log width, log ridge) ----
def loo_error(logpar, x, y):
    ell, ridge = np.exp(logpar)
    n = len(y)
    d2 = (x[:, None] - x) ** 2
    K = np.exp(-0.5 * d2 / ell**2)
    A = np.linalg.inv(K + ridge * np.eye(n))
    a, diag = A @ y, np.diag(A)
    e = a / diag
    g = np.zeros(2)
    for k, dM in enumerate((K * d2 / ell**2, ridge * np.eye(n))):
        dA = -A @ dM @ A
        de = dA @ y / diag - a * np.diag(dA) / diag**2
        g[k] = 2 * np.mean(e * de) / n
    return np.mean(e**2), g


def _loo():
    rng = np.random.default_rng(8)
    x = np.sort(rng.uniform(0, 5, 12))
    return np.array([-0.2, -1.5]), x, np.cos(2 * x) + 0.1 * rng.normal(size=12)


# log-normal guide: sample and divergence come out together ----
class LogNormalGuide:
    def __init__(self, noise):
        self.noise = noise

    def forward(self, mu, log_sd):
        self.mu, self.sd = mu, np.exp(log_sd)
        self.z = np.exp(mu + self.sd * self.noise)
        kl = 0.5 * (mu**2 + self.sd**2 - 1) - log_sd
        return self.z, kl

    def backward(self, dz, dkl):
        dlogz = dz * self.z
        dmu = dlogz + dz * self.mu
        dlog_sd = dlogz * self.noise * self.sd + dkl * (self.sd**2 - 1)
        return dmu, dlog_sd


def _lognormal():
    rng = np.random.default_rng(9)
    return (
        LogNormalGuide(rng.normal(size=(5, 3))),
        rng.normal(size=(5, 3)) * 0.6,
        rng.normal(size=(5, 3)) * 0.4,
    )


def _lognormal_proof():
    m, mu, ls = _lognormal()
    g = np.random.default_rng(0).normal(size=(2, 5, 3))
    m.forward(mu, ls)
    return [
        (c, num(lambda: sum(np.sum(a * o) for a, o in zip(g, m.forward(mu, ls))), v))
        for c, v in zip(m.backward(*g), (mu, ls))
    ]


# radial basis functions with free centres, for least_squares ----
class RBFResiduals:
    def __init__(self, t, y, k):
        self.t, self.y, self.k = t, y, k
        self._J = np.empty((len(t), 2 * k))

    def fun(self, p):
        w, c = p[: self.k], p[self.k :]
        return np.exp(-0.5 * (self.t[:, None] - c) ** 2) @ w - self.y

    def jac(self, p):
        w, c = p[: self.k], p[self.k :]
        lag = self.t[:, None] - c
        phi = np.exp(-0.5 * lag**2)
        self._J[:, : self.k] = phi
        self._J[:, self.k :] = phi * lag * w
        return self._J


def _rbf_call(gradlab):
    rng = np.random.default_rng(10)
    t = np.linspace(0, 4, 11)
    m = RBFResiduals(t, np.sin(t), 3)
    return gradlab.check_jacobian(m.fun, m.jac, rng.normal(size=6) + 1)


ENTRIES = [
    Stranger(
        "t: Student-t process with a periodic kernel",
        "method that returns (value, grad)",
        lambda gradlab: (lambda m, p: gradlab.check_gradient(m.objective, True, p))(*_tp()),
        lambda: (lambda m, p: of_both(m.objective, p, h=1e-4))(*_tp()),
    ),
    Stranger(
        "t: semi-dual of optimal transport with Hessian products",
        "f, grad and hessp with args",
        lambda gradlab: gradlab.check_hessian(
            semidual, semidual_grad, None, _semidual()[0], hessp=semidual_hessp, args=_semidual()[1:]
        ),
        _semidual_proof,
    ),
    Stranger(
        "t: sliced Wasserstein distance",
        "loss layer, distance and distance_grad",
        lambda gradlab: gradlab.check_layer(*_sliced()),
        _sliced_proof,
    ),
    Stranger(
        "t: unbiased MMD of rational quadratic kernels",
        "pair with cache, dict of gradients",
        lambda gradlab: gradlab.check_cached_pair(mmd_forward, mmd_backward, _mmd()),
        _mmd_proof,
    ),
    Stranger(
        "t: stochastic block model, negative ELBO",
        "loss layer of integers, attributes grad_*",
        lambda gradlab: gradlab.check_layer(*_sbm()),
        _sbm_proof,
    ),
    Stranger(
        "t: HSIC: the other kernel not centred",
        "loss layer of two samples",
        lambda gradlab: gradlab.check_layer(*_hsic()),
        _hsic_proof,
        "wrong",
        "the gradient of the first kernel is the second one as it is, not the centred one",
        ("wrong-operand", "missing-term"),
        ("X",),
        "        dK = scale * self.L\n",
        "        dK = scale * self.Lc\n",
    ),
    Stranger(
        "t: full-rank guide: gradient above the diagonal",
        "pair with cache, closures",
        lambda gradlab: gradlab.check_cached_pair(*_guide()),
        _guide_proof,
        "wrong",
        "forward takes the lower triangle of L only, but the gradient is not zero above the diagonal",
        ("masked-region",),
        ("L",),
        "        dL = dz.T @ eps + np.diag(1 / np.diag(L))\n",
        "        dL = np.tril(dz.T @ eps) + np.diag(1 / np.diag(L))\n",
    ),
    Stranger(
        "t: leave-one-out error of kernel ridge: divided by n twice",
        "(value, grad) with args",
        lambda gradlab: gradlab.check_gradient(loo_error, True, _loo()[0], args=_loo()[1:]),
        lambda: of_both(loo_error, *_loo()),
        "wrong",
        "the mean is taken already, and the gradient is divided by n once more",
        ("constant-factor",),
        ("logpar",),
        "        g[k] = 2 * np.mean(e * de) / n\n",
        "        g[k] = 2 * np.mean(e * de)\n",
    ),
    Stranger(
        "t: log-normal guide: the sample's cotangent for the divergence",
        "layer of two outputs",
        lambda gradlab: gradlab.check_layer(*_lognormal()),
        _lognormal_proof,
        "wrong",
        "the divergence's part of mu is multiplied by dz, the cotangent of the sample, not by dkl",
        ("wrong-cotangent", "wrong-operand"),
        ("mu",),
        "        dmu = dlogz + dz * self.mu\n",
        "        dmu = dlogz + dkl * self.mu\n",
    ),
    Stranger(
        "t: RBF residuals: the Jacobian is the object's own buffer",
        "residuals and Jacobian",
        _rbf_call,
        lambda: [],
        "habit",
        "jac returns its own buffer, which the next call overwrites",
        ("aliases-memory",),
        ("jac",),
    ),
]
