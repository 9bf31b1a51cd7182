"""Gaussian processes, kernels, copulas, variational inference."""

import numpy as np
from scipy.linalg import cho_factor, cho_solve, solve_triangular
from scipy.special import digamma, expit, gammaln, polygamma

from ._entry import Stranger
from ._help_x import against, matrix


def gp_nlml(log_params, X, y):
    """Rasmussen & Williams (5.8) and (5.9), ARD; log_params = log lengthscales, log signal, log noise."""
    D = X.shape[1]
    ell, sf2, sn2 = np.exp(log_params[:D]), np.exp(2 * log_params[D]), np.exp(2 * log_params[D + 1])
    sq = ((X[:, None, :] - X[None, :, :]) / ell) ** 2
    Kf = sf2 * np.exp(-0.5 * sq.sum(axis=-1))
    cho = cho_factor(Kf + sn2 * np.eye(len(y)), lower=True)
    alpha = cho_solve(cho, y)
    nlml = 0.5 * y @ alpha + np.log(np.diag(cho[0])).sum() + 0.5 * len(y) * np.log(2 * np.pi)
    M = cho_solve(cho, np.eye(len(y))) - np.outer(alpha, alpha)
    grad = np.empty_like(log_params)
    grad[:D] = 0.5 * np.einsum("ij,ijd->d", M * Kf, sq)
    grad[D] = np.sum(M * Kf)
    grad[D + 1] = sn2 * np.trace(M)
    return nlml, grad


def _gp():
    rng = np.random.default_rng(0)
    X = rng.uniform(-2, 2, (14, 3))
    return np.array([0.1, 0.4, -0.2, 0.3, -1.0]), X, np.sin(X[:, 0]) + X[:, 1] + 0.2 * rng.normal(size=14)


def _prove_gp():
    theta, *rest = _gp()
    return against(lambda: gp_nlml(theta, *rest)[0], (gp_nlml(theta, *rest)[1], theta))


def periodic_kernel(s, t, period, scale):
    """k(s, t) = exp(-2 sin^2(pi (s - t) / period) / scale^2)   (MacKay)"""
    gap = s[:, None] - t[None, :]
    phase = np.pi * gap / period
    sine, cosine = np.sin(phase), np.cos(phase)
    K = np.exp(-2 * sine**2 / scale**2)
    return K, {"K": K, "gap": gap, "sin": sine, "cos": cosine, "period": period, "scale": scale}


def periodic_kernel_grad(dK, c):
    dlog = dK * c["K"]
    dphase = -4 * dlog * c["sin"] * c["cos"] / c["scale"] ** 2
    dgap = dphase * np.pi / c["period"]
    return {
        "s": dgap.sum(axis=1),
        "t": -dgap.sum(axis=0),
        "period": -np.sum(dphase) * np.pi / c["period"] ** 2,
        "scale": 4 * np.sum(dlog * c["sin"] ** 2) / c["scale"] ** 3,
    }


def _periodic():
    rng = np.random.default_rng(1)
    return rng.uniform(0, 4, 5), rng.uniform(0, 4, 6), np.array(1.7), np.array(0.9)


def _prove_periodic():
    args, w = _periodic(), np.random.default_rng(2).normal(size=(5, 6))
    g = periodic_kernel_grad(w, periodic_kernel(*args)[1])
    return against(lambda: np.sum(w * periodic_kernel(*args)[0]), *zip(g.values(), args))


# log N(x_n | mu, L L'), one value per row; only the lower triangle of L is read


def mvn_forward(x, mu, L):
    white = solve_triangular(L, (x - mu).T, lower=True)
    logp = -0.5 * np.sum(white**2, axis=0) - np.log(np.diag(L)).sum() - 0.5 * len(mu) * np.log(2 * np.pi)
    return logp, (white, L)


def mvn_backward(residuals, g):
    white, L = residuals
    pulled = solve_triangular(L, white * g, lower=True, trans="T")
    dL = np.tril(pulled @ white.T)
    dL[np.diag_indices_from(dL)] -= g.sum() / np.diag(L)
    return -pulled.T.copy(), pulled.sum(axis=1), dL


def _mvn():
    rng = np.random.default_rng(3)
    L = np.tril(0.5 * rng.normal(size=(4, 4)), -1) + np.diag(rng.uniform(0.7, 1.5, 4))
    return rng.normal(size=(6, 4)), rng.normal(size=4), L


def _prove_mvn():
    args, g = _mvn(), np.random.default_rng(4).normal(size=6)
    return against(lambda: g @ mvn_forward(*args)[0], *zip(mvn_backward(mvn_forward(*args)[1], g), args))


class PredictCovariance:
    """Prediction step of a Kalman filter: P -> F P F' + G G'; F and G are learned."""

    def __init__(self, F, G):
        self.F, self.G = F, G
        self.dF = self.dG = None

    def __call__(self, P):
        self.P = P
        return self.F @ P @ self.F.T + self.G @ self.G.T

    def backward(self, dS):
        self.dF = dS @ self.P.T @ self.F + dS.T @ self.P @ self.F
        self.dG = (dS + dS.T) @ self.G
        return self.F.T @ dS @ self.F


def _predict():
    rng = np.random.default_rng(5)
    A = rng.normal(size=(3, 3))
    return PredictCovariance(rng.normal(size=(3, 3)), rng.normal(size=(3, 2))), A @ A.T


def _prove_predict():
    (step, P), g = _predict(), np.random.default_rng(6).normal(size=(3, 3))
    step(P)
    dP = step.backward(g)
    return against(lambda: np.sum(g * step(P)), (step.dF, step.F), (step.dG, step.G), (dP, P))


# Frank copula whose dependence varies with covariates: theta_i = exp(x_i' w)


def frank_ll(w, X, u, v):
    th = np.exp(X @ w)
    D = -np.expm1(-th) - np.expm1(-th * u) * np.expm1(-th * v)
    return np.sum(np.log(th) + np.log(-np.expm1(-th)) - th * (u + v) - 2 * np.log(D))


def frank_ll_grad(w, X, u, v):
    th = np.exp(X @ w)
    eu, ev, e = np.exp(-th * u), np.exp(-th * v), np.exp(-th)
    D = (1 - e) - (1 - eu) * (1 - ev)
    dD = e - u * eu * (1 - ev) - v * ev * (1 - eu)
    score = 1 / th + e / (1 - e) - (u + v) - 2 * dD / D
    return X.T @ (score * th)


def _frank():
    rng = np.random.default_rng(7)
    u = rng.uniform(0.05, 0.95, 20)
    v = np.clip(u + 0.2 * rng.normal(size=20), 0.05, 0.95)
    return np.array([0.8, 0.3, -0.2]), np.c_[np.ones(20), rng.normal(size=(20, 2))], u, v


def _prove_frank():
    w, *rest = _frank()
    return against(lambda: frank_ll(w, *rest), (frank_ll_grad(w, *rest), w))


class BayesLogit:
    """Bayes by backprop: q(w) = N(mu, softplus(rho)^2), prior N(0, 1), the same draws at each step."""

    def __init__(self, D, samples=4):
        rng = np.random.default_rng(8)
        self.params = [rng.normal(size=D), -0.5 + 0.3 * rng.normal(size=D)]
        self.grads = [np.zeros(D), np.zeros(D)]
        self.eps = rng.normal(size=(samples, D))

    def forward(self, X, y):
        mu, rho = self.params
        sd = np.logaddexp(0, rho)
        z = (mu + sd * self.eps) @ X.T
        fit = np.sum(np.logaddexp(0, z) - y * z) / len(self.eps)
        self.cache = X, y, z, sd
        return fit + 0.5 * np.sum(mu**2 + sd**2 - 1) - np.log(sd).sum()

    def backward(self, dout=1):
        X, y, z, sd = self.cache
        dw = (expit(z) - y) @ X / len(self.eps)
        dmu = dw.sum(axis=0) + self.params[0]
        dsd = np.sum(dw * self.eps, axis=0) + sd - 1 / sd
        self.grads[0][...] = dout * dmu
        self.grads[1][...] = dout * dsd * expit(self.params[1])


def _bbb():
    rng = np.random.default_rng(9)
    return rng.normal(size=(9, 4)), rng.integers(0, 2, size=9)


def _prove_bbb():
    net, data = BayesLogit(4), _bbb()
    net.forward(*data)
    net.backward()
    return against(lambda: net.forward(*data), *zip(net.grads, net.params))


def planar_flow(z, u, w, b):
    """z' = z + u tanh(w.z + b) and log |det dz'/dz|"""
    h = np.tanh(z @ w + b)
    det = 1 + (1 - h**2) * (u @ w)
    return z + h[:, None] * u, np.log(np.abs(det)), (z, u, w, h, det)


def planar_flow_backward(dznew, dlogdet, cache):
    z, u, w, h, det = cache
    ddet = dlogdet / det
    duw = np.sum(ddet * (1 - h**2))
    dh = dznew @ u - 2 * h * ddet * (u @ w)
    da = dh * (1 - h**2)
    dz = dznew + np.outer(da, w)
    du = h @ dz + duw * w
    dw = da @ z + duw * u
    return dz, du, dw, da.sum()


def _flow():
    rng = np.random.default_rng(10)
    return rng.normal(size=(7, 3)), np.array([0.5, 0.8, -0.3]), np.array([0.7, 0.6, 0.4]), np.array(0.2)


def _prove_flow():
    args, rng = _flow(), np.random.default_rng(11)
    g, gd = rng.normal(size=(7, 3)), rng.normal(size=7)
    grads = planar_flow_backward(g, gd, planar_flow(*args)[2])

    def total():
        znew, logdet, _ = planar_flow(*args)
        return np.sum(g * znew) + gd @ logdet

    return against(total, *zip(grads, args))


class DirichletKL:
    """KL(Dir(alpha_d) || Dir(prior)), mean over the documents: the regulariser of LDA's topic proportions."""

    def __init__(self, prior):
        self.prior = np.asarray(prior, float)

    def forward(self, alpha):
        self.alpha, self.total = alpha, alpha.sum(axis=1, keepdims=True)
        beta = self.prior
        kl = gammaln(self.total[:, 0]) - gammaln(alpha).sum(axis=1)
        kl = kl - gammaln(beta.sum()) + gammaln(beta).sum()
        kl = kl + ((alpha - beta) * (digamma(alpha) - digamma(self.total))).sum(axis=1)
        return kl.mean()

    def backward(self, dout=1.0):
        share = dout / len(self.alpha)
        gap = self.alpha - self.prior
        slope = gap * polygamma(1, self.alpha) - polygamma(1, self.total) * gap.sum(axis=1, keepdims=True)
        return (share * slope) / self.alpha.shape[0]


def _dirichlet():
    return DirichletKL([0.5, 1.0, 0.8, 2.0]), np.random.default_rng(12).uniform(0.5, 4, (6, 4))


def _prove_dirichlet():
    kl, alpha = _dirichlet()
    kl.forward(alpha)
    return against(lambda: kl.forward(alpha), (kl.backward(), alpha))


class RBFFeatures:
    """K[n, m] = exp(-gamma |x_n - c_m|^2)"""

    def __init__(self, centers, gamma):
        self.centers, self.gamma = centers, np.array([gamma])
        self.cache = {}

    def forward(self, x):
        diff = x[:, None, :] - self.centers
        sq = np.sum(diff**2, axis=2)
        K = np.exp(-self.gamma * sq)
        for name, value in (("diff", diff), ("sq", sq), ("K", K)):
            self.cache.setdefault(name, value)
        return K

    def backward(self, dK):
        dexp = dK * self.cache["K"]
        self.dgamma = np.array([-np.sum(dexp * self.cache["sq"])])
        ddiff = -2 * self.gamma * dexp[:, :, None] * self.cache["diff"]
        self.dcenters = -ddiff.sum(axis=0)
        return ddiff.sum(axis=1)


def _rbf():
    rng = np.random.default_rng(13)
    return RBFFeatures(rng.normal(size=(3, 2)), 0.6), rng.normal(size=(5, 2))


# Nadaraya-Watson on a grid, forward mode (used for confidence bands)

GRID = np.linspace(-1.5, 1.5, 7)


def nadaraya_watson(x, y, log_h):
    u = (GRID[:, None] - x) * np.exp(-log_h)
    weight = np.exp(-0.5 * u**2)
    return weight @ y / weight.sum(axis=1)


def nadaraya_watson_jvp(primals, tangents):
    (x, y, log_h), (tx, ty, th) = primals, tangents
    u = (GRID[:, None] - x) * np.exp(-log_h)
    p = np.exp(-0.5 * u**2)
    p /= p.sum(axis=1, keepdims=True)
    fit = p @ y
    tlog = u * (tx * np.exp(-log_h) + u * th)
    return fit, p @ ty + np.sum(p * tlog * (y - fit[:, None]), axis=1)


def _smoother(seed=14):
    rng = np.random.default_rng(seed)
    return rng.uniform(-2, 2, 12), rng.normal(size=12), np.array(-0.6 + 0.2 * rng.normal())


def _prove_smoother():
    at, way, s = _smoother(), _smoother(15), np.zeros(1)
    along = matrix(lambda: nadaraya_watson(*(a + s[0] * t for a, t in zip(at, way))), s)
    return [(nadaraya_watson_jvp(at, way)[1], along[:, 0])]


ENTRIES = [
    Stranger(
        "GP marginal likelihood, ARD",
        "value and gradient, jac=True, log hyperparameters",
        lambda gradlab: gradlab.check_gradient(gp_nlml, True, _gp()[0], args=_gp()[1:]),
        _prove_gp,
    ),
    Stranger(
        "periodic kernel: the gap is forgotten in the period",
        "pair with cache, dict of gradients",
        lambda gradlab: gradlab.check_cached_pair(periodic_kernel, periodic_kernel_grad, _periodic()),
        _prove_periodic,
        "wrong",
        "dphase/dperiod is -pi gap / period^2, and gap is left out",
        ("missing-factor",),
        ("period",),
        '-np.sum(dphase) * np.pi / c["period"] ** 2',
        '-np.sum(dphase * c["gap"]) * np.pi / c["period"] ** 2',
    ),
    Stranger(
        "normal log density by a Cholesky factor",
        "forward with residuals and backward(residuals, g)",
        lambda gradlab: gradlab.check_vjp(mvn_forward, mvn_backward, _mvn()),
        _prove_mvn,
    ),
    Stranger(
        "predicted covariance: F and P in the wrong order",
        "callable layer, attributes F, G, dF, dG",
        lambda gradlab: gradlab.check_layer(*_predict()),
        _prove_predict,
        "wrong",
        "P stands before F in both products, where F comes first",
        ("wrong-order",),
        ("F",),
        "        self.dF = dS @ self.P.T @ self.F + dS.T @ self.P @ self.F\n",
        "        self.dF = dS @ self.F @ self.P.T + dS.T @ self.F @ self.P\n",
    ),
    Stranger(
        "Frank copula with covariates",
        "f and grad with args",
        lambda gradlab: gradlab.check_gradient(frank_ll, frank_ll_grad, _frank()[0], args=_frank()[1:]),
        _prove_frank,
    ),
    Stranger(
        "Bayes by backprop, logistic regression",
        "negative ELBO, lists params and grads",
        lambda gradlab: gradlab.check_layer(BayesLogit(4), *_bbb()),
        _prove_bbb,
    ),
    Stranger(
        "planar flow: u gets the gradient of z",
        "pair with cache and two outputs",
        lambda gradlab: gradlab.check_cached_pair(planar_flow, planar_flow_backward, _flow()),
        _prove_flow,
        "wrong",
        "du takes dz, to which the path through tanh was added, for the cotangent of z'",
        ("wrong-cotangent", "wrong-operand"),
        ("u",),
        "    du = h @ dz + duw * w\n",
        "    du = h @ dznew + duw * w\n",
    ),
    Stranger(
        "KL of Dirichlets: the mean taken twice",
        "loss layer",
        lambda gradlab: gradlab.check_layer(*_dirichlet()),
        _prove_dirichlet,
        "wrong",
        "divided by the number of documents twice",
        ("constant-factor",),
        ("alpha",),
        "        return (share * slope) / self.alpha.shape[0]\n",
        "        return share * slope\n",
    ),
    Stranger(
        "RBF features: keeps the first call's cache",
        "layer with a cache dict",
        lambda gradlab: gradlab.check_layer(*_rbf()),
        lambda: [],
        "habit",
        "setdefault keeps what the first forward stored; later backward passes use it",
        ("stale-residuals",),
        (),
        "            self.cache.setdefault(name, value)\n",
        "            self.cache[name] = value\n",
    ),
    Stranger(
        "Nadaraya-Watson regression, forward mode",
        "forward and jvp(primals, tangents)",
        lambda gradlab: gradlab.check_jvp(nadaraya_watson, nadaraya_watson_jvp, _smoother()),
        _prove_smoother,
    ),
]
