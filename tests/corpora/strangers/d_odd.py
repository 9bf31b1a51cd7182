"""Matrices, economics, chemistry, and other forms."""

from dataclasses import dataclass

import numpy as np
from scipy.linalg import solve_sylvester, solve_triangular

from ._entry import Stranger
from ._help_d import numgrad, pair_proof, separate_proof, value_and_grad_proof

# ---------------------------------------------------------------- covariance by its Cholesky factor


class CovarianceFit:
    """Gaussian NLL of a scatter matrix; theta = rows of the lower triangle, logs on the diagonal."""

    def __init__(self, samples):
        self.n, self.d = samples.shape
        c = samples - samples.mean(0)
        self.scatter = c.T @ c / self.n
        self.ij = np.tril_indices(self.d)

    def factor(self, theta):
        L = np.zeros((self.d, self.d))
        L[self.ij] = theta
        k = np.diag_indices(self.d)
        L[k] = np.exp(L[k])
        return L

    def __call__(self, theta):
        L = self.factor(theta)
        A = solve_triangular(L, np.eye(self.d), lower=True)
        Q = A @ self.scatter @ A.T
        value = self.n * (np.log(np.diag(L)).sum() + 0.5 * np.trace(Q))
        dL = np.diag(1 / np.diag(L)) - A.T @ Q
        k = np.diag_indices(self.d)
        dL[k] *= L[k]
        return value, self.n * dL[self.ij]


def covariance_data():
    rng = np.random.default_rng(601)
    fit = CovarianceFit(rng.standard_normal((30, 5)) @ rng.standard_normal((5, 5)))
    return fit, rng.standard_normal(15) * 0.4


# ---------------------------------------------------------------- Sinkhorn iterations, backwards by hand


def sinkhorn_cost(C, a, b, eps=0.4, iters=12):
    """<P, C> after a fixed number of log-domain iterations; gradient in C through all of them."""

    def lse(z, axis):
        m = z.max(axis=axis, keepdims=True)
        return np.log(np.exp(z - m).sum(axis=axis)) + np.squeeze(m, axis=axis)

    g = np.zeros(len(b))
    tape = []
    for _ in range(iters):
        zf = (g[None, :] - C) / eps
        lf = lse(zf, 1)
        f = eps * (np.log(a) - lf)
        zg = (f[:, None] - C) / eps
        lg = lse(zg, 0)
        g = eps * (np.log(b) - lg)
        tape.append((np.exp(zf - lf[:, None]), np.exp(zg - lg[None, :])))
    P = np.exp((f[:, None] + g[None, :] - C) / eps)
    value = np.sum(P * C)

    dM = P * C / eps
    dC = P - dM
    df, dg = dM.sum(1), dM.sum(0)
    for Sf, Sg in reversed(tape):
        dC += Sg * dg[None, :]
        df = df - Sg @ dg
        dC += Sf * df[:, None]
        dg = -Sf.T @ df
        df = np.zeros_like(df)
    return value, dC


def sinkhorn_data():
    rng = np.random.default_rng(602)
    return rng.uniform(0.2, 2.0, (6, 8)), (rng.dirichlet(np.ones(6) * 3), rng.dirichlet(np.ones(8) * 3))


# ---------------------------------------------------------------- risk budgets of a portfolio


@dataclass
class RiskBudget:
    cov: np.ndarray
    budget: np.ndarray
    aversion: float = 0.3

    def value(self, w):
        m = self.cov @ w
        var = w @ m
        return np.sum((w * m / var - self.budget) ** 2) + self.aversion * np.sqrt(var)

    def gradient(self, w):
        m = self.cov @ w
        var = w @ m
        share = w * m / var
        u = 2 * (share - self.budget)
        g = (u * m + self.cov @ (u * w)) / var - 2 * (u @ share) * m / var
        return g + self.aversion * m / np.sqrt(var)


def risk_data():
    rng = np.random.default_rng(603)
    B = rng.standard_normal((10, 10))
    return RiskBudget(B @ B.T / 10 + 0.2 * np.eye(10), rng.dirichlet(np.ones(10) * 2)), rng.uniform(
        0.3, 1.5, 10
    )


# ---------------------------------------------------------------- Sylvester equation A X + X B = C


def sylvester(A, B, C):
    X = solve_sylvester(A, B, C)
    return X, (A, B, X)


def sylvester_vjp(residuals, g):
    A, B, X = residuals
    Z = solve_sylvester(A.T, B.T, g)
    return -Z @ X.T, -X.T @ Z, Z


def sylvester_data():
    rng = np.random.default_rng(604)
    return (
        rng.standard_normal((4, 4)) * 0.4 + 2 * np.eye(4),
        rng.standard_normal((3, 3)) * 0.4 + 2 * np.eye(3),
        rng.standard_normal((4, 3)),
    )


# ---------------------------------------------------------------- small net on a flat parameter vector


def make_flat_net(X, y, hidden=6):
    d = X.shape[1]

    def unpack(p):
        i = d * hidden
        return p[:i].reshape(d, hidden), p[i : i + hidden], p[i + hidden : -1], p[-1]

    def objective(p):
        W, b, v, c = unpack(p)
        h = np.tanh(X @ W + b)
        r = h @ v + c - y
        dh = np.outer(r, v) * (1 - h**2) / len(y)
        dW = X.T @ dh
        grad = np.concatenate([dW.ravel(order="F"), dh.sum(0), h.T @ r / len(y), [r.mean()]])
        return 0.5 * np.mean(r**2), grad

    return objective


def flat_net_data():
    rng = np.random.default_rng(605)
    X = rng.standard_normal((25, 4))
    return make_flat_net(X, np.sin(X[:, 0]) * X[:, 1]), rng.standard_normal(4 * 6 + 6 + 6 + 1) * 0.6


# ---------------------------------------------------------------- gravity model of trade


def trade_ppml(params, flows, logdist):
    """Poisson pseudo-likelihood of the flows from i to j; params: n exporters, n importers, elasticity."""
    n = len(flows)
    out, into, gamma = params[:n], params[n : 2 * n], params[-1]
    eta = out[:, None] + into[None, :] - gamma * logdist
    off = ~np.eye(n, dtype=bool)
    mu = np.exp(eta) * off
    value = np.sum(mu - flows * eta * off)
    d_eta = mu - flows * off
    g_out = d_eta.sum(axis=0)
    g_in = d_eta.sum(axis=0)
    g_gamma = -np.sum(d_eta * logdist)
    return value, np.concatenate([g_out, g_in, [g_gamma]])


def trade_data():
    rng = np.random.default_rng(606)
    xy = rng.uniform(0, 5, (7, 2))
    logdist = np.log(np.linalg.norm(xy[:, None] - xy[None], axis=-1) + np.eye(7))
    flows = rng.poisson(3.0, (7, 7)).astype(float)
    return np.append(rng.standard_normal(14) * 0.5, 0.7), (flows, logdist)


# ---------------------------------------------------------------- Lennard-Jones cluster, given the distance of the minimum


def lj_energy(x, depth=1.0, rmin=1.1):
    sigma = rmin / 2 ** (1 / 6)
    r = x.reshape(-1, 3)
    i, j = np.triu_indices(len(r), 1)
    d = np.linalg.norm(r[i] - r[j], axis=1)
    s6 = (sigma / d) ** 6
    return 4 * depth * np.sum(s6**2 - s6)


def lj_gradient(x, depth=1.0, rmin=1.1):
    sigma = rmin / 1.12
    r = x.reshape(-1, 3)
    i, j = np.triu_indices(len(r), 1)
    diff = r[i] - r[j]
    d2 = (diff**2).sum(1)
    s6 = (sigma**2 / d2) ** 3
    pull = (24 * depth * (s6 - 2 * s6**2) / d2)[:, None] * diff
    g = np.zeros_like(r)
    np.add.at(g, i, pull)
    np.add.at(g, j, -pull)
    return g.ravel()


def lj_data():
    rng = np.random.default_rng(607)
    grid = np.stack(np.meshgrid(np.arange(2), np.arange(2), np.arange(3)), -1).reshape(-1, 3)
    return (1.15 * grid + 0.06 * rng.standard_normal(grid.shape)).ravel()


# ---------------------------------------------------------------- denoising with smoothed total variation


class SmoothTV:
    def __init__(self, noisy, weight=0.3, eps=0.01):
        self.noisy, self.weight, self.eps = noisy, weight, eps

    @staticmethod
    def _differences(u):
        dy, dx = np.zeros_like(u), np.zeros_like(u)
        dy[:-1] = u[1:] - u[:-1]
        dx[:, :-1] = u[:, 1:] - u[:, :-1]
        return dy, dx

    def value(self, u):
        dy, dx = self._differences(u)
        return 0.5 * np.sum((u - self.noisy) ** 2) + self.weight * np.sum(np.sqrt(dy**2 + dx**2 + self.eps))

    def grad(self, u):
        dy, dx = self._differences(u)
        norm = np.sqrt(dy**2 + dx**2) + self.eps
        py, px = dy / norm, dx / norm
        div = -py - px
        div[1:] += py[:-1]
        div[:, 1:] += px[:, :-1]
        return u - self.noisy + self.weight * div


def tv_data():
    rng = np.random.default_rng(608)
    clean = np.zeros((12, 12))
    clean[3:9, 4:10] = 1.0
    return SmoothTV(clean + 0.2 * rng.standard_normal((12, 12))), clean + 0.3 * rng.standard_normal((12, 12))


# ---------------------------------------------------------------- choice among brands, probabilities kept


class BrandChoice:
    """Multinomial logit: products with features, one vector of tastes."""

    def __init__(self, features, chosen, ridge=0.5):
        self.F, self.chosen, self.ridge = features, chosen, ridge  # F: households x brands x features
        self._prob = None

    def fun(self, taste):
        u = self.F @ taste
        m = u.max(axis=1)
        lse = m + np.log(np.exp(u - m[:, None]).sum(axis=1))
        picked = u[np.arange(len(u)), self.chosen]
        return np.sum(lse - picked) + 0.5 * self.ridge * taste @ taste

    def jac(self, taste):
        if self._prob is None:
            u = self.F @ taste
            e = np.exp(u - u.max(axis=1, keepdims=True))
            self._prob = e / e.sum(axis=1, keepdims=True)
        expected = np.einsum("nb,nbf->f", self._prob, self.F)
        seen = self.F[np.arange(len(self.F)), self.chosen].sum(axis=0)
        return expected - seen + self.ridge * taste


def brand_data():
    rng = np.random.default_rng(609)
    return BrandChoice(rng.standard_normal((20, 4, 5)), rng.integers(0, 4, 20)), rng.standard_normal(5)


def brand_prove():
    o, x = brand_data()
    first = o.jac(x)
    other = x + 0.5
    return [(first, numgrad(o.fun, x)), (o.jac(other), numgrad(o.fun, other))]


# ---------------------------------------------------------------- policy gradient with a moving baseline


class PolicyLoss:
    """Loss and gradient in the logits of a bandit; the baseline follows the rewards, call by call."""

    def __init__(self, actions, rewards, decay=0.9):
        self.actions, self.rewards, self.decay = actions, rewards, decay
        self.baseline = 0.0

    def __call__(self, logits):
        z = logits - logits.max()
        logp = z - np.log(np.exp(z).sum())
        adv = self.rewards - self.baseline
        loss = -np.mean(adv * logp[self.actions])
        grad = np.exp(logp) * adv.mean()
        np.subtract.at(grad, self.actions, adv / len(adv))
        self.baseline = self.decay * self.baseline + (1 - self.decay) * self.rewards.mean()
        return loss, grad


def policy_data():
    rng = np.random.default_rng(610)
    return PolicyLoss(rng.integers(0, 6, 40), rng.uniform(0.5, 2.0, 40)), rng.standard_normal(6)


def _on(data, f):
    """Entry's call and proof of objects: f(o) -> fun, jac."""

    def call(gradlab):
        o, x = data()
        fun, jac = f(o)
        return gradlab.check_gradient(fun, jac, x)

    def prove():
        o, x = data()
        fun, jac = f(o)
        return value_and_grad_proof(fun, x) if jac is True else separate_proof(fun, jac, x)

    return call, prove


def _args(f, data):
    def call(gradlab):
        x, args = data()
        return gradlab.check_gradient(f, True, x, args=args)

    def prove():
        x, args = data()
        return value_and_grad_proof(f, x, *args)

    return call, prove


ENTRIES = [
    Stranger(
        "covariance by its Cholesky factor with log diagonal",
        "callable with attributes -> value, grad",
        *_on(covariance_data, lambda o: (o, True)),
    ),
    Stranger(
        "optimal transport by Sinkhorn iterations",
        "f(X, ...) -> value, grad of a matrix",
        *_args(sinkhorn_cost, sinkhorn_data),
    ),
    Stranger(
        "risk budgets of a portfolio",
        "methods of a dataclass",
        *_on(risk_data, lambda o: (o.value, o.gradient)),
    ),
    Stranger(
        "Sylvester equation",
        "forward -> (out, residuals), vjp(residuals, g)",
        lambda gradlab: gradlab.check_vjp(sylvester, sylvester_vjp, sylvester_data()),
        lambda: pair_proof(sylvester, lambda g, cache: sylvester_vjp(cache, g), sylvester_data(), [0, 1, 2]),
    ),
    Stranger(
        "small net on a flat vector: the first weights' gradient is flattened in Fortran order",
        "closure -> value, grad of a packed vector",
        *_on(flat_net_data, lambda o: (o, True)),
        "wrong",
        "dW.ravel(order='F') where the vector is unpacked in C order",
        ("axes-permuted", "columns-exchanged", "transposed"),
        ("W", "grad"),
    ),
    Stranger(
        "gravity model of trade: the exporters' gradient is summed over the exporters",
        "f(x, ...) -> value, grad of a packed vector",
        *_args(trade_ppml, trade_data),
        "wrong",
        "sum(axis=0) where sum(axis=1) belongs",
        ("wrong-sum-axis",),
        ("out", "g_out", "grad"),
    ),
    Stranger(
        "Lennard-Jones cluster: the sixth root of 2 is rounded in the gradient",
        "f and grad",
        lambda gradlab: gradlab.check_gradient(lj_energy, lj_gradient, lj_data()),
        lambda: separate_proof(lj_energy, lj_gradient, lj_data()),
        "wrong",
        "1.12 for 2 ** (1 / 6)",
        ("rounded-constants",),
        ("grad",),
    ),
    Stranger(
        "smoothed total variation: epsilon outside of the root",
        "methods value and grad of an object, matrix-shaped x",
        *_on(tv_data, lambda o: (o.value, o.grad)),
        "wrong",
        "sqrt(s) + eps in the gradient, sqrt(s + eps) in the value",
        ("epsilon-mismatch",),
        ("grad",),
    ),
    Stranger(
        "choice among brands: the first call's probabilities are kept for ever",
        "methods fun and jac of an object",
        _on(brand_data, lambda o: (o.fun, o.jac))[0],
        brand_prove,
        "wrong",
        "probabilities are cached at the first call and never computed again",
        ("stale-residuals",),
        ("jac", "grad"),
    ),
    Stranger(
        "policy gradient: the baseline moves with every call",
        "callable with attributes -> value, grad",
        *(_on(policy_data, lambda o: (o, True))[0], lambda: []),
        "habit",
        "state leaks from call to call: each call moves the baseline that the next one's value uses",
        ("nondeterministic", "accumulates"),
        ("value",),
    ),
]
