"""Bayesian models, time series, customers, forecasts."""

import numpy as np
from scipy.sparse import csr_array
from scipy.special import digamma, expit, gammaln, logsumexp, ndtr

from ._entry import Stranger
from ._help_p import jacobian, pairs


class CoxTransect:
    """Log-Gaussian Cox process along a transect: counts in cells, second-order random walk prior."""

    def __init__(self, counts, area, tau):
        self.counts, self.area, self.tau = counts, area, tau

    def energy(self, z):
        bend = np.diff(z, 2)
        return np.sum(self.area * np.exp(z) - self.counts * z) + 0.5 * self.tau * bend @ bend + 0.01 * z @ z

    def prior_mult(self, v):
        d = np.diff(v, 2)
        out = np.zeros_like(v)
        out[:-2] += d
        out[1:-1] -= 2 * d
        out[2:] += d
        return self.tau * out + 0.02 * v

    def force(self, z):
        return self.area * np.exp(z) - self.counts + self.prior_mult(z)

    def hessp(self, z, v):
        return self.area * np.exp(z) * v + self.prior_mult(v)


def gp_evidence(theta, X, y):
    """-log p(y) for an ARD squared exponential kernel; theta = log lengths, log signal, log noise."""
    d = X.shape[1]
    ell, sf2, sn2 = np.exp(theta[:d]), np.exp(2 * theta[d]), np.exp(2 * theta[d + 1])
    sq = (X[:, None] - X[None]) ** 2 / ell**2
    K0 = sf2 * np.exp(-0.5 * sq.sum(-1))
    K = K0 + sn2 * np.eye(len(y))
    Ki = np.linalg.inv(K)
    alpha = Ki @ y
    value = 0.5 * y @ alpha + 0.5 * np.linalg.slogdet(K)[1]
    M = 0.5 * (Ki - np.outer(alpha, alpha))
    grad = [np.sum(M * K0 * sq[..., k]) for k in range(d)]
    grad += [2 * np.sum(M * K0), 2 * sn2 * np.trace(M)]
    return value, np.array(grad)


class BGNBD:
    """Fader, Hardie, Lee (2005): frequency x, recency tx, age T of customers; parameters on the log scale."""

    names = "r alpha a b".split()

    def __init__(self, x, tx, T):
        self.x, self.tx, self.T = x, tx, T

    def _terms(self, r, al, a, b):
        x = self.x
        l3 = -(r + x) * np.log(al + self.T)
        with np.errstate(divide="ignore"):
            l4 = np.log(a) - np.log(b + np.maximum(x, 1) - 1) - (r + x) * np.log(al + self.tx)
            l4 = np.where(x > 0, l4, -np.inf)
        return l3, l4

    def loss(self, logpar):
        r, al, a, b = np.exp(logpar)
        x = self.x
        l1 = gammaln(r + x) - gammaln(r) + r * np.log(al)
        l2 = gammaln(a + b) + gammaln(b + x) - gammaln(b) - gammaln(a + b + x)
        return -np.mean(l1 + l2 + np.logaddexp(*self._terms(r, al, a, b)))

    def dloss(self, logpar):
        r, al, a, b = np.exp(logpar)
        x = self.x
        l3, l4 = self._terms(r, al, a, b)
        dead = expit(l4 - l3)
        age = (1 - dead) / (al + self.T) + dead / (al + self.tx)
        logs = (1 - dead) * np.log(al + self.T) + dead * np.log(al + self.tx)
        ab = digamma(a + b) - digamma(a + b + x)
        g = {
            "r": digamma(r + x) - digamma(r) + np.log(al) - logs,
            "alpha": r / al - (r + x) * age,
            "a": ab + dead / a,
            "b": ab + digamma(b + x) - digamma(b) - dead / (b + np.maximum(x, 1) - 1),
        }
        return -np.array([g[k].mean() for k in self.names]) * np.exp(logpar)


def ricker(y, s_obs, s_proc):
    """Residuals of a Ricker state-space model for least_squares; z = (log states, r, log K)."""
    T = len(y)

    def fun(z):
        x, r, k = z[:T], z[T], z[T + 1]
        step = x[1:] - x[:-1] - r * (1 - np.exp(x[:-1] - k))
        return np.concatenate([(x - y) / s_obs, step / s_proc])

    def jac(z):
        x, r, k = z[:T], z[T], z[T + 1]
        ratio = np.exp(x[:-1] - k)
        i = np.arange(T)
        rows = np.r_[i, T + i[:-1], T + i[:-1], T + i[:-1], T + i[:-1]]
        cols = np.r_[i, i[1:], i[:-1], np.full(T - 1, T), np.full(T - 1, T + 1)]
        vals = np.r_[
            np.full(T, 1 / s_obs),
            np.full(T - 1, 1 / s_proc),
            (r * ratio - 1) / s_proc,
            (ratio - 1) / s_proc,
            -r * ratio / s_proc,
        ]
        return csr_array((vals, (rows, cols)), shape=(2 * T - 1, T + 2))

    return fun, jac


def hmm_forward(log_pi, log_A, log_B):
    """Log-likelihood of a hidden Markov chain; log_B[t, k] is the log density of day t in state k."""
    la = [log_pi + log_B[0]]
    for b in log_B[1:]:
        la.append(logsumexp(la[-1][:, None] + log_A, axis=0) + b)
    total = logsumexp(la[-1])
    return total, {"la": np.array(la), "A": log_A, "B": log_B, "total": total}


def hmm_backward(dout, cache):
    la, A, B = cache["la"], cache["A"], cache["B"]
    lb = np.zeros_like(la)
    visits = np.zeros_like(A)
    for t in range(len(la) - 2, -1, -1):
        ahead = A + B[t + 1] + lb[t + 1]
        lb[t] = logsumexp(ahead, axis=1)
        visits += np.exp(la[t][:, None] + ahead - cache["total"])
    gamma = np.exp(la + lb - cache["total"])
    return {"log_pi": dout * gamma[0], "log_A": dout * visits, "log_B": dout * gamma}


class GaussianCRPS:
    def forward(self, mu, sigma, target):
        self.sigma = sigma
        self.w = (target - mu) / sigma
        self.pdf = np.exp(-0.5 * self.w**2) / np.sqrt(2 * np.pi)
        self.cdf = ndtr(self.w)
        return np.mean(sigma * (self.w * (2 * self.cdf - 1) + 2 * self.pdf - 1 / np.sqrt(np.pi)))

    def backward(self, dout=1.0):
        n = self.w.size
        d_mu = (1 - 2 * self.cdf) / n
        d_sigma = (2 * self.pdf - 0.56) / n
        return dout * d_mu, dout * d_sigma


def hp_filter(tau, y, lam):
    return np.sum((y - tau) ** 2) + lam * np.sum(np.diff(tau, 2) ** 2)


def hp_filter_grad(tau, y, lam):
    bend = np.convolve(np.pad(tau, 2, mode="edge"), [1, -4, 6, -4, 1], mode="valid")
    return 2 * (tau - y) + 2 * lam * bend


class GroupKL:
    """KL of each group's variational normal from the prior N(m0, s0^2), one number per group."""

    def __init__(self, m0, s0):
        self.m0, self.s0 = m0, s0

    def forward(self, mean, log_std):
        self.mean, self.log_std = mean, log_std
        ratio = np.exp(2 * log_std) / self.s0**2
        kl = 0.5 * (ratio + ((mean - self.m0) / self.s0) ** 2 - 1 - np.log(ratio))
        return kl.sum(axis=1)

    def backward(self, dout):
        dmean = (self.mean - self.m0) / self.s0**2
        dlog_std = dout[:, None] * (np.exp(2 * self.log_std) / self.s0**2 - 1)
        return dmean, dlog_std


class HorseshoeScale:
    """w = z * lambda * tau: a scale of its own for each coefficient, and one for all."""

    def __init__(self, log_lambda, log_tau):
        self.params = {"log_lambda": log_lambda, "log_tau": log_tau}
        self.grads = {}

    def forward(self, z):
        self.scale = np.exp(self.params["log_lambda"] + self.params["log_tau"])
        self.w = z * self.scale
        return self.w

    def backward(self, dout):
        g = dout * self.w
        self.grads["log_lambda"] = g.sum(axis=0)
        self.grads["log_tau"] = g.sum(axis=0)
        return dout * self.scale


class RaterCentering:
    """Takes each rater's mean off the ratings and stretches the items by gain."""

    def __init__(self, gain):
        self.gain = gain
        self.dgain = None

    def forward(self, ratings):
        ratings -= ratings.mean(axis=1, keepdims=True)
        self.centred = ratings.copy()
        return self.centred * self.gain

    def backward(self, dout):
        self.dgain = (dout * self.centred).sum(axis=0)
        d = dout * self.gain
        return d - d.mean(axis=1, keepdims=True)


R = np.random.default_rng


def transect():
    r = R(0)
    return CoxTransect(r.poisson(2, 12), r.uniform(0.5, 2, 12), 3.0), r.normal(0, 0.5, 12)


def call_transect(gradlab):
    m, z = transect()
    return gradlab.check_hessian(m.energy, m.force, None, z, hessp=m.hessp)


def prove_transect():
    m, z = transect()
    v = R(1).standard_normal(12)
    return [*pairs([m.force(z)], lambda: m.energy(z), z), (m.hessp(z, v), jacobian(m.force, z) @ v)]


def evidence():
    r = R(2)
    return np.array([0.2, -0.3, 0.1, -0.8]), (r.standard_normal((10, 2)), r.standard_normal(10))


def call_evidence(gradlab):
    theta, args = evidence()
    return gradlab.check_gradient(gp_evidence, True, theta, args=args)


def prove_evidence():
    theta, args = evidence()
    return pairs([gp_evidence(theta, *args)[1]], lambda: gp_evidence(theta, *args)[0], theta)


def customers():
    r = R(3)
    x, T = r.integers(0, 6, 20), r.uniform(20, 40, 20)
    return BGNBD(x, np.where(x > 0, T * r.uniform(0.2, 0.95, 20), 0.0), T), np.log([0.5, 5.0, 0.8, 2.5])


def call_customers(gradlab):
    m, par = customers()
    return gradlab.check_gradient(m.loss, m.dloss, par)


def prove_customers():
    m, par = customers()
    return pairs([m.dloss(par)], lambda: m.loss(par), par)


def salmon():
    y = np.log(40) + R(4).normal(0, 0.4, 9)
    return ricker(y, 0.3, 0.2), np.r_[y + 0.1, 0.7, np.log(45)]


def call_salmon(gradlab):
    (fun, jac), z = salmon()
    return gradlab.check_jacobian(fun, jac, z)


def prove_salmon():
    (fun, jac), z = salmon()
    return [(jac(z).toarray(), jacobian(fun, z))]


def chain():
    r = R(5)
    A = r.dirichlet(np.ones(3), 3)
    return np.log(r.dirichlet(np.ones(3))), np.log(A), r.normal(-1, 0.7, (7, 3))


def prove_chain():
    p = chain()
    claimed = hmm_backward(1.0, hmm_forward(*p)[1])
    return pairs(claimed.values(), lambda: hmm_forward(*p)[0], *p)


def forecast():
    r = R(6)
    return GaussianCRPS(), r.standard_normal(8), r.uniform(0.5, 1.5, 8), r.standard_normal(8)


def prove_forecast():
    m, mu, s, t = forecast()
    m.forward(mu, s, t)
    return pairs(m.backward(), lambda: m.forward(mu, s, t), mu, s)


def trend():
    y = R(7).standard_normal(15).cumsum()
    return y + 0.5 * R(8).standard_normal(15), (y, 6.0)


def call_trend(gradlab):
    tau, args = trend()
    return gradlab.check_gradient(hp_filter, hp_filter_grad, tau, args=args)


def prove_trend():
    tau, args = trend()
    return pairs([hp_filter_grad(tau, *args)], lambda: hp_filter(tau, *args), tau)


def groups():
    r = R(9)
    return GroupKL(np.array([0.0, 1.0, -0.5]), 1.4), r.standard_normal((5, 3)), r.normal(-0.5, 0.4, (5, 3))


def prove_groups():
    m, a, b = groups()
    g = R(10).standard_normal(5)
    m.forward(a, b)
    return pairs(m.backward(g), lambda: g @ m.forward(a, b), a, b)


def horseshoe():
    r = R(11)
    return HorseshoeScale(r.normal(0, 0.5, 4), np.array([-0.3])), r.standard_normal((6, 4))


def prove_horseshoe():
    m, z = horseshoe()
    g = R(12).standard_normal(z.shape)
    m.forward(z)
    dz = m.backward(g)
    return pairs([dz, *m.grads.values()], lambda: np.sum(g * m.forward(z)), z, *m.params.values())


def raters():
    return RaterCentering(np.array([1.0, 0.5, 2.0, 1.5])), R(13).uniform(1, 5, (5, 4))


ENTRIES = [
    Stranger("p log-Gaussian Cox transect", "f, grad and hessp", call_transect, prove_transect),
    Stranger("p GP evidence with ARD", "value and grad with args", call_evidence, prove_evidence),
    Stranger("p BG/NBD customers", "f and grad as methods", call_customers, prove_customers),
    Stranger("p Ricker state space", "residuals and sparse Jacobian", call_salmon, prove_salmon),
    Stranger(
        "p hidden Markov likelihood",
        "pair with a dict cache and dict gradients",
        lambda gradlab: gradlab.check_cached_pair(hmm_forward, hmm_backward, chain()),
        prove_chain,
    ),
    Stranger(
        "p Gaussian CRPS: 0.56 for one over root pi",
        "loss layer, two gradients",
        lambda gradlab: gradlab.check_layer(*forecast()),
        prove_forecast,
        "wrong",
        "one over the root of pi is rounded to 0.56",
        ("rounded-constants", "additive-bias"),
        ("sigma",),
        "2 * self.pdf - 0.56",
        "2 * self.pdf - 1 / np.sqrt(np.pi)",
    ),
    Stranger(
        "p HP filter: the ends of the trend",
        "f and grad with args",
        call_trend,
        prove_trend,
        "wrong",
        "the inner stencil is used at both ends as well, with the ends repeated",
        ("border",),
        ("tau",),
        '    bend = np.convolve(np.pad(tau, 2, mode="edge"), [1, -4, 6, -4, 1], mode="valid")',
        "    bend = np.convolve(np.diff(tau, 2), [1, -2, 1])",
    ),
    Stranger(
        "p group KL: the means' gradient ignores dout",
        "layer, two inputs",
        lambda gradlab: gradlab.check_layer(*groups()),
        prove_groups,
        "wrong",
        "the gradient of the means does not use dout",
        ("ignores-cotangent",),
        ("mean",),
        "        dmean = (self.mean",
        "        dmean = dout[:, None] * (self.mean",
    ),
    Stranger(
        "p horseshoe: the common scale is not summed",
        "layer with dict gradients",
        lambda gradlab: gradlab.check_layer(*horseshoe()),
        prove_horseshoe,
        "wrong",
        "the gradient of the one scale for all is not summed over the coefficients",
        ("missing-broadcast-sum", "wrong-shape"),
        ("log_tau",),
        '        self.grads["log_tau"] = g.sum(axis=0)',
        '        self.grads["log_tau"] = np.array([g.sum()])',
    ),
    Stranger(
        "p rater centering: centres its argument in place",
        "layer",
        lambda gradlab: gradlab.check_layer(*raters()),
        lambda: [],
        "habit",
        "forward writes the centred ratings into its argument",
        ("mutates-argument",),
        ("ratings",),
        "        ratings -= ratings.mean(axis=1, keepdims=True)",
        "        ratings = ratings - ratings.mean(axis=1, keepdims=True)",
    ),
]
