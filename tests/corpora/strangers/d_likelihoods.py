"""Negative log likelihoods and their gradients, for scipy.optimize.minimize."""

import numpy as np
from scipy.linalg import cho_factor, cho_solve
from scipy.special import digamma, gammaln, logsumexp

from ._entry import Stranger
from ._help_d import separate_proof, value_and_grad_proof

# ---------------------------------------------------------------- Poisson regression with exposure


def poisson_nll(beta, X, y, exposure):
    eta = X @ beta + np.log(exposure)
    return np.sum(np.exp(eta) - y * eta + gammaln(y + 1))


def poisson_grad(beta, X, y, exposure):
    mu = exposure * np.exp(X @ beta)
    return X.T @ (mu - y)


def poisson_data():
    rng = np.random.default_rng(301)
    X = np.column_stack([np.ones(60), rng.standard_normal((60, 5))])
    beta = rng.standard_normal(6) * 0.3
    exposure = rng.uniform(0.5, 3.0, 60)
    return beta, (X, rng.poisson(exposure * np.exp(X @ beta)).astype(float), exposure)


# ---------------------------------------------------------------- Weibull survival, right censored


def weibull_aft(params, X, time, event):
    """params: regression coefficients, then log of the scale sigma = 1 / shape."""
    beta, log_sigma = params[:-1], params[-1]
    sigma = np.exp(log_sigma)
    z = (np.log(time) - X @ beta) / sigma
    ez = np.exp(z)
    nll = -np.sum(event * (z - log_sigma - np.log(time)) - ez)
    dz = -(event - ez)
    g_beta = X.T @ dz * (-1 / sigma)
    g_ls = np.sum(dz * -z) + event.sum()
    return nll, np.append(g_beta, g_ls)


def weibull_data():
    rng = np.random.default_rng(302)
    X = np.column_stack([np.ones(40), rng.standard_normal((40, 3))])
    beta = np.array([0.5, 0.3, -0.4, 0.2])
    t = np.exp(X @ beta + 0.6 * np.log(rng.exponential(size=40)))
    c = rng.uniform(0.5, 5, 40)
    return np.array([0.4, 0.2, -0.3, 0.1, -0.3]), (X, np.minimum(t, c), (t <= c).astype(float))


# ---------------------------------------------------------------- mixture of Gaussians in one dimension


class MixtureNLL:
    def __init__(self, data, k):
        self.data, self.k = np.asarray(data), k

    def split(self, theta):
        k = self.k
        return theta[:k], theta[k : 2 * k], theta[2 * k :]

    def _parts(self, theta):
        logits, mean, log_sd = self.split(theta)
        z = (self.data[:, None] - mean) * np.exp(-log_sd)
        logw = logits - logsumexp(logits)
        comp = logw - log_sd - 0.5 * z**2 - 0.5 * np.log(2 * np.pi)
        return comp, z, logw, log_sd

    def __call__(self, theta):
        comp = self._parts(theta)[0]
        return -logsumexp(comp, axis=1).sum()

    def grad(self, theta):
        comp, z, logw, log_sd = self._parts(theta)
        resp = np.exp(comp - logsumexp(comp, axis=1, keepdims=True))
        d_logits = len(z) * np.exp(logw) - resp.sum(0)
        d_mean = -(resp * z).sum(0) * np.exp(-log_sd)
        d_log_sd = (resp * (1 - z**2)).sum(0)
        return np.r_[d_logits, d_mean, d_log_sd]


def mixture_data():
    rng = np.random.default_rng(303)
    data = np.r_[rng.normal(-2, 0.6, 30), rng.normal(0.5, 1.0, 40), rng.normal(3, 0.4, 20)]
    return MixtureNLL(data, 3), np.array([0.1, 0.3, -0.4, -1.5, 0.2, 2.5, -0.3, 0.1, -0.6])


# ---------------------------------------------------------------- marginal likelihood of a Gaussian process


def gp_nlml(log_theta, X, y):
    ell, sf, sn = np.exp(log_theta)
    d2 = ((X[:, None, :] - X[None, :, :]) ** 2).sum(-1)
    Kf = sf**2 * np.exp(-0.5 * d2 / ell**2)
    K = Kf + sn**2 * np.eye(len(X))
    c = cho_factor(K, lower=True)
    alpha = cho_solve(c, y)
    value = 0.5 * y @ alpha + np.log(np.diag(c[0])).sum() + 0.5 * len(y) * np.log(2 * np.pi)
    W = cho_solve(c, np.eye(len(X))) - np.outer(alpha, alpha)
    grad = 0.5 * np.array(
        [
            np.sum(W * Kf * d2) / ell**2,
            2 * np.sum(W * Kf),
            2 * sn**2 * np.trace(W),
        ]
    )
    return value, grad


def gp_data():
    rng = np.random.default_rng(304)
    X = rng.uniform(-3, 3, (25, 2))
    y = np.sin(X[:, 0]) + 0.5 * X[:, 1] + 0.2 * rng.standard_normal(25)
    return np.log([1.4, 1.1, 0.3]), (X, y)


# ---------------------------------------------------------------- beta regression


def make_beta_regression(X, y):
    ly, l1y = np.log(y), np.log1p(-y)

    def value_and_grad(params):
        coef, phi = params[:-1], np.exp(params[-1])
        mu = 1 / (1 + np.exp(-X @ coef))
        a, b = mu * phi, (1 - mu) * phi
        ll = gammaln(phi) - gammaln(a) - gammaln(b) + (a - 1) * ly + (b - 1) * l1y
        da, db = ly - digamma(a), l1y - digamma(b)
        dmu = phi * (da - db)
        dphi = digamma(phi) + mu * da + (1 - mu) * db
        g = np.append(X.T @ (dmu * mu * (1 - mu)), phi * dphi.sum())
        return -ll.sum(), -g

    return value_and_grad


def beta_data():
    rng = np.random.default_rng(305)
    X = np.column_stack([np.ones(35), rng.standard_normal((35, 2))])
    mu = 1 / (1 + np.exp(-X @ np.array([0.2, 0.6, -0.5])))
    y = np.clip(rng.beta(8 * mu, 8 * (1 - mu)), 0.01, 0.99)
    return make_beta_regression(X, y), np.array([0.1, 0.4, -0.3, 1.8])


# ---------------------------------------------------------------- linear regression with unknown noise


def normal_nll(params, X, y):
    w, log_sigma = params[:-1], params[-1]
    sigma = np.exp(log_sigma)
    r = y - X @ w
    n = len(y)
    value = n * log_sigma + 0.5 * np.sum(r**2) / sigma**2
    grad_w = -X.T @ r / sigma**2
    grad_sigma = n / sigma - np.sum(r**2) / sigma**3
    return value, np.append(grad_w, grad_sigma)


def normal_data():
    rng = np.random.default_rng(306)
    X = rng.standard_normal((30, 4))
    y = X @ np.array([1.0, -0.5, 0.3, 2.0]) + 0.5 * rng.standard_normal(30)
    return np.array([0.8, -0.2, 0.1, 1.5, -0.6]), (X, y)


# ---------------------------------------------------------------- negative binomial counts, a dispersion per group


def psi(x):
    """Digamma, leading terms."""
    return np.log(x) - 0.5 / x


def negbin_nll(params, y):
    """y: (groups, counts); params: log mean of each group, then log dispersion of each group."""
    m, r = np.exp(params.reshape(2, -1, 1))
    ll = gammaln(y + r) - gammaln(r) - gammaln(y + 1) + r * np.log(r / (r + m)) + y * np.log(m / (r + m))
    return -ll.sum()


def negbin_grad(params, y):
    m, r = np.exp(params.reshape(2, -1, 1))
    dm = y / m - (y + r) / (r + m)
    dr = psi(y + r) - psi(r) + np.log(r / (r + m)) + 1 - (r + y) / (r + m)
    return -np.concatenate([(m * dm).sum(1), (r * dr).sum(1)])


def negbin_data():
    rng = np.random.default_rng(307)
    y = rng.negative_binomial(2, 0.3, (5, 12)).astype(float)
    return np.concatenate([rng.uniform(0.8, 1.8, 5), rng.uniform(-0.4, 0.6, 5)]), (y,)


# ---------------------------------------------------------------- Cox partial likelihood in the predictor


def cox_loss(eta, time, event):
    """Negative log partial likelihood (no tied times) and its gradient in the linear predictor."""
    order = np.argsort(time)
    e = event[order]
    w = np.exp(eta[order])
    at_risk = np.cumsum(w[::-1])[::-1]
    loss = -np.sum(e * (eta[order] - np.log(at_risk)))
    hazard = np.concatenate([[0.0], np.cumsum(e / at_risk)[:-1]])
    grad = np.zeros_like(eta)
    grad[order] = w * hazard - e
    return loss, grad


def cox_data():
    rng = np.random.default_rng(308)
    return rng.standard_normal(40) * 0.8, (rng.exponential(size=40), (rng.random(40) < 0.7).astype(float))


# ---------------------------------------------------------------- hidden Markov model, forward algorithm


def _log_normalise(a, axis):
    return a - logsumexp(a, axis=axis, keepdims=True)


def hmm(theta, obs, K, M):
    """Negative log likelihood; theta = start logits (K), transition logits (K*K), emission logits (K*M)."""
    start = _log_normalise(theta[:K], 0)
    A = _log_normalise(theta[K : K + K * K].reshape(K, K), 1)
    B = _log_normalise(theta[K + K * K :].reshape(K, M), 1)
    T = len(obs)
    la = np.empty((T, K))
    la[0] = start + B[:, obs[0]]
    for t in range(1, T):
        la[t] = logsumexp(la[t - 1][:, None] + A, axis=0) + B[:, obs[t]]
    ll = logsumexp(la[-1])
    lb = np.zeros((T, K))
    for t in range(T - 2, -1, -1):
        lb[t] = logsumexp(A + B[:, obs[t + 1]] + lb[t + 1], axis=1)
    post = np.exp(la + lb - ll)
    # expected transitions: xi[j, i] into j from i
    xi = np.zeros((K, K))
    for t in range(T - 1):
        xi += np.exp(la[t][None, :] + A.T + (B[:, obs[t + 1]] + lb[t + 1])[:, None] - ll)
    leave = post[:-1].sum(0)
    counts = np.zeros((K, M))
    np.add.at(counts.T, obs, post)
    g_start = post[0] - np.exp(start)
    g_A = xi - (leave[:, None] * np.exp(A)).T
    g_B = counts - post.sum(0)[:, None] * np.exp(B)
    return -ll, -np.concatenate([g_start, g_A.ravel(), g_B.ravel()])


def hmm_data():
    rng = np.random.default_rng(309)
    K, M = 3, 5
    return rng.standard_normal(K + K * K + K * M), (rng.integers(0, M, 18), K, M)


# ---------------------------------------------------------------- gamma regression, gradient that spoils its argument


def gamma_nll(p, X, y):
    k = np.exp(p[-1])
    mu = np.exp(X @ p[:-1])
    return -np.sum(k * np.log(k / mu) + (k - 1) * np.log(y) - k * y / mu - gammaln(k))


def gamma_grad(p, X, y):
    p[-1] = np.exp(p[-1])  # work with the shape itself from here on
    k = p[-1]
    mu = np.exp(X @ p[:-1])
    d_eta = k * (1 - y / mu)
    d_k = -(np.log(k / mu) + 1 + np.log(y) - y / mu - digamma(k))
    return np.append(X.T @ d_eta, k * d_k.sum())


def gamma_data():
    rng = np.random.default_rng(310)
    X = np.column_stack([np.ones(30), rng.standard_normal((30, 3))])
    p = np.array([0.4, 0.2, -0.3, 0.1, 0.5])
    return p, (X, rng.gamma(2.0, np.exp(X @ p[:-1]) / 2.0))


def both(f, data):
    """An entry's call and proof, of f(x, *args) -> value, gradient."""

    def call(gradlab):
        x, args = data()
        return gradlab.check_gradient(f, True, x, args=args)

    def prove():
        x, args = data()
        return value_and_grad_proof(f, x, *args)

    return call, prove


def apart(f, g, data):
    def call(gradlab):
        x, args = data()
        return gradlab.check_gradient(f, g, x, args=args)

    def prove():
        x, args = data()
        return separate_proof(f, g, x, *args)

    return call, prove


def _mixture_call(gradlab):
    nll, theta = mixture_data()
    return gradlab.check_gradient(nll, nll.grad, theta)


def _mixture_prove():
    nll, theta = mixture_data()
    return separate_proof(nll, nll.grad, theta)


def _beta_call(gradlab):
    f, x = beta_data()
    return gradlab.check_gradient(f, True, x)


def _beta_prove():
    f, x = beta_data()
    return value_and_grad_proof(f, x)


ENTRIES = [
    Stranger(
        "Poisson regression with exposure",
        "f and grad, args",
        *apart(poisson_nll, poisson_grad, poisson_data),
    ),
    Stranger(
        "Weibull survival with censoring, log scale",
        "f(x, ...) -> value, grad",
        *both(weibull_aft, weibull_data),
    ),
    Stranger(
        "mixture of three Gaussians", "callable with data, and its method grad", _mixture_call, _mixture_prove
    ),
    Stranger(
        "marginal likelihood of a Gaussian process", "f(x, ...) -> value, grad", *both(gp_nlml, gp_data)
    ),
    Stranger("beta regression", "closure -> value, grad", _beta_call, _beta_prove),
    Stranger(
        "linear regression with log sigma: the gradient is that of sigma",
        "f(x, ...) -> value, grad",
        *both(normal_nll, normal_data),
        "wrong",
        "the last gradient is with respect to sigma, the parameter is log sigma",
        ("log-parameter",),
        ("log_sigma", "grad"),
    ),
    Stranger(
        "negative binomial counts by group: digamma by its leading terms",
        "f and grad, args",
        *apart(negbin_nll, negbin_grad, negbin_data),
        "wrong",
        "the derivative of an approximation of log gamma, while the value uses gammaln",
        ("other-approximation",),
        ("log dispersion", "grad"),
    ),
    Stranger(
        "Cox partial likelihood: the cumulative hazard is one step late",
        "f(x, ...) -> loss, dx",
        *both(cox_loss, cox_data),
        "wrong",
        "off by one in the running sum: a subject's own event is not in its cumulative hazard",
        ("missing-term", "shifted"),
        ("eta", "grad"),
    ),
    Stranger(
        "hidden Markov model by the forward algorithm: the transition block is transposed",
        "f(x, ...) -> value, grad of a packed vector",
        *both(hmm, hmm_data),
        "wrong",
        "the gradient of the transition logits is laid out as (to, from)",
        ("transposed", "axes-permuted", "columns-exchanged"),
        ("transition logits", "grad"),
    ),
    Stranger(
        "gamma regression: the gradient exponentiates the last parameter in place",
        "f and grad, args",
        *(apart(gamma_nll, gamma_grad, gamma_data)[0], lambda: []),
        "habit",
        "the gradient function changes x",
        ("mutates-argument",),
        ("p",),
    ),
]
