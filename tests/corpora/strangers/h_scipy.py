"""What people hand to scipy.optimize.minimize."""

from collections import namedtuple

import numpy as np
from scipy.linalg import cho_factor, cho_solve

from ._entry import Stranger
from ._help_h import of_scalar


# ---------------------------------------------------------------- ex2, week 3
def sigmoid(z):
    return 1.0 / (1.0 + np.exp(-z))


def costFunctionReg(theta, X, y, lam):
    m = len(y)
    h = sigmoid(X @ theta)
    J = -(y @ np.log(h) + (1 - y) @ np.log(1 - h)) / m
    return J + lam / (2 * m) * np.sum(theta[1:] ** 2)


def gradientReg(theta, X, y, lam):
    m = len(y)
    grad = X.T @ (sigmoid(X @ theta) - y) / m
    grad[1:] += lam / m * theta[1:]  # don't regularize theta_0!
    return grad


def _exam_scores():
    rng = np.random.default_rng(1)
    X = np.c_[np.ones(20), rng.standard_normal((20, 3))]
    y = (X @ [0.3, 1.0, -1.0, 0.5] + rng.standard_normal(20) > 0).astype(float)
    return rng.standard_normal(4) * 0.5, (X, y, 1.5)


# ---------------------------------------------------------------- GP hyperparameters
def gp_nlml(logtheta, X, y):
    ell, sf, sn = np.exp(logtheta)
    n = len(y)
    D2 = ((X[:, None] - X[None]) ** 2).sum(-1)
    K0 = sf**2 * np.exp(-D2 / (2 * ell**2))
    c = cho_factor(K0 + sn**2 * np.eye(n), lower=True)
    alpha = cho_solve(c, y)
    nll = 0.5 * y @ alpha + np.log(np.diag(c[0])).sum() + 0.5 * n * np.log(2 * np.pi)
    Q = cho_solve(c, np.eye(n)) - np.outer(alpha, alpha)
    dK = (K0 * D2 / ell**2, 2 * K0, 2 * sn**2 * np.eye(n))
    return nll, np.array([0.5 * np.sum(Q * d) for d in dK])


def _gp_data():
    rng = np.random.default_rng(2)
    X = rng.uniform(-2, 2, (12, 2))
    return np.array([0.1, 0.2, -1.0]), (X, np.sin(X[:, 0]) + 0.1 * rng.standard_normal(12))


# ---------------------------------------------------------------- portfolio
def neg_sharpe(w, mu, Sigma, rf=0.01):
    return -(w @ mu - rf) / np.sqrt(w @ Sigma @ w)


def neg_sharpe_der(w, mu, Sigma, rf=0.01):
    Sw = Sigma @ w
    vol = np.sqrt(w @ Sw)
    excess = w @ mu - rf
    return excess * Sw / vol**3 - mu / vol


def _assets():
    rng = np.random.default_rng(3)
    B = rng.standard_normal((5, 8)) * 0.2
    return np.array([0.3, 0.1, 0.25, 0.2, 0.15]), (rng.uniform(0.02, 0.12, 5), B @ B.T)


# ---------------------------------------------------------------- MDS
class Stress:
    """Kruskal's raw stress of a configuration of points; z is the flattened configuration."""

    def __init__(self, D, ndim=2):
        self.D, self.ndim = D, ndim

    def _diff(self, z):
        Z = z.reshape(-1, self.ndim)
        diff = Z[:, None, :] - Z[None, :, :]
        d = np.sqrt((diff**2).sum(-1))
        return diff, d

    def __call__(self, z):
        _, d = self._diff(z)
        return 0.5 * ((d - self.D) ** 2).sum()

    def der(self, z):
        diff, d = self._diff(z)
        np.fill_diagonal(d, 1.0)
        ratio = (d - self.D) / d
        np.fill_diagonal(ratio, 0.0)
        return 2 * (ratio[:, :, None] * diff).sum(axis=1).ravel()


def _cities():
    rng = np.random.default_rng(4)
    P = rng.uniform(0, 3, (7, 2))
    D = np.sqrt(((P[:, None] - P[None]) ** 2).sum(-1))
    return Stress(D), rng.standard_normal(14)


# ---------------------------------------------------------------- Bildentrauschen
def tv_entrauschen(u, bild, lam, eps=0.05):
    """Zielfunktion und Gradient (u ist das Bild selbst, 2-D)."""
    dx = np.diff(u, axis=1)
    dy = np.diff(u, axis=0)
    nx, ny = np.sqrt(dx**2 + eps**2), np.sqrt(dy**2 + eps**2)
    wert = 0.5 * np.sum((u - bild) ** 2) + lam * (nx.sum() + ny.sum())
    g = u - bild
    px, py = dx / nx, dy / ny
    g[:, 1:] += lam * px
    g[:, :-1] -= lam * px
    g[1:] += lam * py
    g[:-1] -= lam * py
    return wert, g


def _bild():
    rng = np.random.default_rng(5)
    bild = np.add.outer(np.arange(24.0), np.arange(40.0)) * 0.2 + 0.1 * rng.standard_normal((24, 40))
    return bild + 0.2 * rng.standard_normal((24, 40)), (bild, 0.3)


# ---------------------------------------------------------------- hanging chain
Chain = namedtuple("Chain", "fun jac")


def hanging_chain(k=50.0, rest=0.3, mg=1.0, left=(0.0, 0.0), right=(2.0, 0.4)):
    left, right = np.array(left), np.array(right)

    def nodes(q):
        return np.vstack([left, q.reshape(-1, 2), right])

    def fun(q):
        P = nodes(q)
        L = np.hypot(*np.diff(P, axis=0).T)
        return 0.5 * k * np.sum((L - rest) ** 2) + mg * q[1::2].sum()

    def jac(q):
        P = nodes(q)
        e = np.diff(P, axis=0)
        L = np.hypot(e[:, 0], e[:, 1])[:, None]
        t = k * (L - rest) * e / L
        g = t[:-1] - t[1:]
        g[:, 1] += mg
        return g.ravel()

    return Chain(fun, jac)


def _chain_start():
    x = np.linspace(0, 2, 7)[1:-1]
    y = -0.5 * np.sin(np.pi * x / 2) + 0.05 * np.cos(5 * x)
    return np.stack([x, y], axis=1).ravel()


# ---------------------------------------------------------------- softmax regression, flattened
def softmax_cost(w, X, T, decay):
    W = w.reshape(X.shape[1], -1)
    s = X @ W
    s = s - s.max(axis=1, keepdims=True)
    logp = s - np.log(np.exp(s).sum(axis=1, keepdims=True))
    return -(T * logp).sum() / len(X) + 0.5 * decay * (W[1:] ** 2).sum()


def softmax_grad(w, X, T, decay):
    W = w.reshape(X.shape[1], -1)
    s = X @ W
    p = np.exp(s - s.max(axis=1, keepdims=True))
    p /= p.sum(axis=1, keepdims=True)
    G = X.T @ (p - T) / len(X)
    G += decay * W
    return G.ravel()


def _digits():
    rng = np.random.default_rng(6)
    X = np.c_[np.ones(15), rng.standard_normal((15, 4))]
    return rng.standard_normal(15), (X, np.eye(3)[rng.integers(0, 3, 15)], 0.2)


# ---------------------------------------------------------------- movie ratings
class FunkSVD:
    def __init__(self, users, items, stars, n_users, n_items, k=3, reg=0.05):
        self.u, self.i, self.r = users, items, stars
        self.shapes = (n_users, k), (n_items, k)
        self.reg = reg

    def unpack(self, theta):
        (nu, k), (ni, _) = self.shapes
        return theta[: nu * k].reshape(nu, k), theta[nu * k :].reshape(ni, k)

    def objective(self, theta):
        P, Q = self.unpack(theta)
        err = (P[self.u] * Q[self.i]).sum(1) - self.r
        return 0.5 * err @ err + 0.5 * self.reg * theta @ theta

    def gradient(self, theta):
        P, Q = self.unpack(theta)
        err = (P[self.u] * Q[self.i]).sum(1) - self.r
        dP, dQ = self.reg * P, self.reg * Q
        np.add.at(dP, self.u, err[:, None] * Q[self.i])
        dQ[self.i] += err[:, None] * P[self.u]
        return np.concatenate([dP.ravel(), dQ.ravel()])


def _movies():
    rng = np.random.default_rng(7)
    svd = FunkSVD(rng.integers(0, 4, 14), rng.integers(0, 5, 14), rng.uniform(1, 5, 14), 4, 5)
    return svd, rng.standard_normal(27)


# ---------------------------------------------------------------- robust regression
DELTA = 1.0


def robust_fit(beta, A, b):
    r = A @ beta - b
    return (DELTA**2 * (np.sqrt(1 + (r / DELTA) ** 2) - 1)).sum()


def robust_fit_prime(beta, A, b):
    r = A @ beta - b
    psi = np.clip(r, -DELTA, DELTA)
    return A.T @ psi


def _outliers():
    rng = np.random.default_rng(8)
    A = rng.standard_normal((18, 4))
    return rng.standard_normal(4), (A, A @ np.ones(4) + rng.standard_t(2, 18))


# ---------------------------------------------------------------- Weibull with censoring
def weibull_nll(p, t, observed):
    k, lam = p
    z = (t / lam) ** k
    return -np.sum(observed * (np.log(k / lam) + (k - 1) * np.log(t / lam))) + z.sum()


def weibull_nll_grad(p, t, observed):
    k, lam = p
    lt = np.log(t / lam)
    z = (t / lam) ** k
    d = observed.sum()
    dk = -d / k - observed @ lt + np.sum(observed * z * lt)
    dlam = d * k / lam - k / lam * z.sum()
    return np.array([dk, dlam])


def _lifetimes():
    rng = np.random.default_rng(9)
    return np.array([1.4, 2.2]), (rng.weibull(1.5, 25) * 2, rng.integers(0, 2, 25).astype(float))


# ---------------------------------------------------------------- MMD, one bandwidth a feature
def mmd2(bw, X, Y):
    def k(a, b):
        return np.exp(-0.5 * (((a[:, None] - b[None]) / bw) ** 2).sum(-1))

    return k(X, X).mean() + k(Y, Y).mean() - 2 * k(X, Y).mean()


def mmd2_grad(bw, X, Y):
    g = np.zeros_like(bw)
    for a, b, weight in ((X, X, 1.0), (Y, Y, 1.0), (X, Y, -2.0)):
        q = ((a[:, None] - b[None]) / bw) ** 2
        k = np.exp(-0.5 * q.sum(-1))
        g += weight * (k[:, :, None] * q).mean(axis=(0, 1))
    return g


def _two_samples():
    rng = np.random.default_rng(10)
    return np.array([0.7, 1.6, 2.5]), (rng.standard_normal((9, 3)), rng.standard_normal((8, 3)) * 1.5 + 0.5)


# ---------------------------------------------------------------- multinomial choice
def choice_nll(utility, counts):
    utility -= utility.max()  # avoid overflow
    return counts.sum() * np.log(np.exp(utility).sum()) - counts @ utility


def choice_nll_grad(utility, counts):
    utility -= utility.max()
    e = np.exp(utility)
    return counts.sum() * e / e.sum() - counts


def _survey():
    return np.array([0.3, 1.2, -0.4, 0.8]), (np.array([3.0, 7.0, 1.0, 4.0]),)


def _use(f, grad, make):
    """Return what the owner does with a function and its gradient, and the proof."""
    return (
        lambda gradlab: gradlab.check_gradient(f, grad, make()[0], args=make()[1]),
        lambda: of_scalar(f, grad, *make()),
    )


def _svd(gradlab):
    svd, theta = _movies()
    return gradlab.check_gradient(svd.objective, svd.gradient, theta)


def _svd_truth():
    svd, theta = _movies()
    return of_scalar(svd.objective, svd.gradient, theta)


def _mds(gradlab):
    stress, z = _cities()
    return gradlab.check_gradient(stress, stress.der, z)


def _mds_truth():
    stress, z = _cities()
    return of_scalar(stress, stress.der, z)


ENTRIES = [
    Stranger(
        "regularised logistic regression of a course",
        "f and grad with args",
        *_use(costFunctionReg, gradientReg, _exam_scores),
    ),
    Stranger(
        "GP marginal likelihood in log hyperparameters",
        "value and gradient in one",
        *_use(gp_nlml, True, _gp_data),
    ),
    Stranger("negative Sharpe ratio", "f and grad with args", *_use(neg_sharpe, neg_sharpe_der, _assets)),
    Stranger("MDS stress", "callable object with a method der", _mds, _mds_truth),
    Stranger(
        "smoothed total variation of an image",
        "value and gradient in one, two-dimensional",
        *_use(tv_entrauschen, True, _bild),
    ),
    Stranger(
        "hanging chain",
        "namedtuple of closures",
        lambda gradlab: gradlab.check_gradient(hanging_chain().fun, hanging_chain().jac, _chain_start()),
        lambda: of_scalar(hanging_chain().fun, hanging_chain().jac, _chain_start()),
    ),
    Stranger(
        "softmax regression: decays the bias too",
        "f and grad with args",
        *_use(softmax_cost, softmax_grad, _digits),
        "wrong",
        "the gradient has the weight decay of the first row, the bias, which the cost leaves out",
        ("additive-bias",),
        ("w",),
        "    G += decay * W\n",
        "    G[1:] += decay * W[1:]\n",
    ),
    Stranger(
        "matrix factorisation of ratings: items that repeat",
        "object with objective and gradient",
        _svd,
        _svd_truth,
        "wrong",
        "an item's gradient is added by a fancy index, so that an item rated twice keeps only the last",
        ("last-write-wins",),
        ("theta",),
        "        dQ[self.i] += err[:, None] * P[self.u]\n",
        "        np.add.at(dQ, self.i, err[:, None] * P[self.u])\n",
    ),
    Stranger(
        "pseudo-Huber regression: Huber's own slope",
        "f and grad with args",
        *_use(robust_fit, robust_fit_prime, _outliers),
        "wrong",
        "the slope is that of Huber's loss and not of the pseudo-Huber loss in f",
        ("other-approximation",),
        ("beta",),
        "    psi = np.clip(r, -DELTA, DELTA)\n",
        "    psi = r / np.sqrt(1 + (r / DELTA) ** 2)\n",
    ),
    Stranger(
        "censored Weibull: hazard of the observed only",
        "f and grad with args",
        *_use(weibull_nll, weibull_nll_grad, _lifetimes),
        "wrong",
        "in the shape's gradient the cumulative hazard is summed over the observed and not over all",
        ("single-element",),
        ("p",),
        "    dk = -d / k - observed @ lt + np.sum(observed * z * lt)\n",
        "    dk = -d / k - observed @ lt + np.sum(z * lt)\n",
    ),
    Stranger(
        "MMD bandwidths: by their logarithms",
        "f and grad with args",
        *_use(mmd2, mmd2_grad, _two_samples),
        "wrong",
        "the gradient is that with respect to the logarithm of the bandwidths",
        ("log-parameter",),
        ("bw",),
        "        g += weight * (k[:, :, None] * q).mean(axis=(0, 1))\n",
        "        g += weight * (k[:, :, None] * q).mean(axis=(0, 1)) / bw\n",
    ),
    Stranger(
        "choice likelihood: shifts the utilities in place",
        "f and grad with args",
        _use(choice_nll, choice_nll_grad, _survey)[0],
        lambda: [],
        "habit",
        "f and grad subtract the largest utility from their argument in place",
        ("mutates-argument",),
        ("utility",),
    ),
]
