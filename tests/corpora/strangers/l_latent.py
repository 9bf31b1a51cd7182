"""Mixtures, factorisations, recommenders, rankings and variational bounds."""

import numpy as np
from scipy.special import expit, i0e, i1e, logsumexp, softmax

from ._entry import Stranger
from ._help_l import dots, fgrad


# ---- gaosi hunhe moxing (diagonal GMM) ----
class GMM:
    def __init__(self, k, d, seed=0):
        r = np.random.RandomState(seed)
        self.p = dict(logit=0.3 * r.randn(k), mu=r.randn(k, d), ls=0.2 * r.randn(k, d))
        self.g = {}

    def forward(self, X):
        self.X = X
        self.diff = X[:, None, :] - self.p["mu"]
        self.isig2 = np.exp(-2 * self.p["ls"])
        lp = -0.5 * (self.diff**2 * self.isig2).sum(-1) - self.p["ls"].sum(-1)
        lp += self.p["logit"] - logsumexp(self.p["logit"]) - 0.5 * X.shape[1] * np.log(2 * np.pi)
        self.resp = softmax(lp, axis=1)
        return -logsumexp(lp, axis=1).mean()

    def backward(self):
        N = len(self.X)
        pull = self.resp[:, :, None] * self.diff * self.isig2 / N
        self.g["mu"] = -pull.sum(0)
        self.g["ls"] = self.resp.sum(0)[:, None] / N - (pull * self.diff).sum(0)
        self.g["logit"] = softmax(self.p["logit"]) - self.resp.mean(0)
        return pull.sum(1)


def _gmm():
    return GMM(3, 2), np.random.RandomState(5).randn(12, 2) * 1.5


def _prove_gmm():
    m, X = _gmm()
    m.forward(X)
    dX = m.backward()
    return list(zip([dX, *(m.g[k] for k in m.p)], dots(lambda: m.forward(X), [X, *m.p.values()])))


# ---- wind directions: mixture of von Mises ----
class VonMisesMixture:
    def __init__(self, mu, kappa):
        self.mu, self.log_kappa = np.asarray(mu, float), np.log(kappa)
        self.logit = np.linspace(-0.3, 0.4, len(mu))

    def forward(self, angle):
        kappa = np.exp(self.log_kappa)
        self.delta = angle[:, None] - self.mu[None, :]
        self.lj = kappa * (np.cos(self.delta) - 1) - np.log(2 * np.pi * i0e(kappa))
        self.lj = self.lj + self.logit - logsumexp(self.logit)
        return -np.sum(logsumexp(self.lj, axis=1))

    def backward(self):
        kappa = np.exp(self.log_kappa)
        resp = np.exp(self.lj - logsumexp(self.lj, axis=0, keepdims=True))
        self.grad_mu = -(resp * kappa * np.sin(self.delta)).sum(axis=0)
        self.grad_log_kappa = -kappa * (resp * (np.cos(self.delta) - i1e(kappa) / i0e(kappa))).sum(axis=0)
        self.grad_logit = -resp.sum(axis=0) + resp.sum() * softmax(self.logit)
        return (resp * kappa * np.sin(self.delta)).sum(axis=1)


def _wind():
    return VonMisesMixture([0.2, 2.0, -1.5], [2.0, 1.2, 3.0]), np.random.default_rng(9).uniform(-3, 3, 11)


def _prove_wind():
    m, a = _wind()
    m.forward(a)
    da = m.backward()
    true = dots(lambda: m.forward(a), [a, m.mu, m.log_kappa, m.logit])
    return list(zip([da, m.grad_mu, m.grad_log_kappa, m.grad_logit], true))


# ---- ratings with biases; the gradients come as (rows, values), dense only on demand ----
class BiasedMF:
    def __init__(self, users, items, rank):
        rng = np.random.default_rng(77)
        self.params = [
            np.array([3.5]),
            rng.normal(size=users),
            rng.normal(size=items),
            rng.normal(size=(users, rank)),
            rng.normal(size=(items, rank)),
        ]

    def forward(self, u, i):
        mean, bu, bi, P, Q = self.params
        self.u, self.i = u, i
        return mean + bu[u] + bi[i] + (P[u] * Q[i]).sum(axis=1)

    def backward(self, dout):
        P, Q = self.params[3:]
        e = dout[:, None]
        self.sparse = [
            (np.zeros_like(self.u), dout),
            (self.u, dout),
            (self.i, dout),
            (self.u, e * Q[self.i]),
            (self.i, e * P[self.u]),
        ]

    @property
    def grads(self):
        dense = [np.zeros_like(p) for p in self.params]
        for d, (rows, values) in zip(dense, self.sparse):
            np.add.at(d, rows, values)
        return dense


def _mf():
    return BiasedMF(5, 6, 3), np.array([0, 2, 2, 4, 1, 0, 3]), np.array([5, 1, 0, 1, 3, 2, 1])


def _prove_mf():
    m, u, i = _mf()
    g = np.random.default_rng(0).normal(size=7)
    m.forward(u, i)
    m.backward(g)
    return list(zip(m.grads, dots(lambda: m.forward(u, i), m.params, g)))


# ---- NMF, generalised Kullback-Leibler; value and pullback ----
COUNTS = np.random.default_rng(12).poisson(3.0, size=(6, 5)) + 1.0


def nmf_kl(W, H):
    WH = W @ H
    ratio = 1.0 - COUNTS / WH

    def pullback(weight):
        return weight * (ratio @ H.T), weight * (W.T @ ratio)

    return np.sum(COUNTS * np.log(COUNTS / WH) - COUNTS + WH), pullback


def _nmf():
    rng = np.random.default_rng(1)
    return rng.uniform(0.5, 2.0, (6, 2)), rng.uniform(0.5, 2.0, (2, 5))


def _prove_nmf():
    W, H = _nmf()
    return list(zip(nmf_kl(W, H)[1](1.7), dots(lambda: nmf_kl(W, H)[0], [W, H], 1.7)))


# ---- factorisation machine ----
def fm_forward(x, w0, w, V):
    xv = x @ V
    pair = 0.5 * (xv**2 - x**2 @ V**2).sum(axis=1)
    return w0 + x @ w + pair, {"x": x, "w": w, "V": V, "xv": xv}


def fm_backward(dout, c):
    g = dout[:, None]
    x, V = c["x"], c["V"]
    return {
        "V": x.T @ (g * c["xv"]) - (x**2).T @ g * V,
        "w0": dout.sum(keepdims=True),
        "w": x.T @ dout,
        "x": g * (c["w"] + c["xv"] @ V.T - x * (V**2).sum(axis=1)),
    }


def _fm():
    r = np.random.default_rng(33)
    return r.normal(size=(5, 6)), r.normal(size=1), r.normal(size=6), r.normal(size=(6, 2))


def _prove_fm():
    a, g = _fm(), np.random.default_rng(1).normal(size=5)
    d = fm_backward(g, fm_forward(*a)[1])
    return list(zip([d["x"], d["w0"], d["w"], d["V"]], dots(lambda: fm_forward(*a)[0], a, g)))


# ---- Bayesian personalised ranking ----
class BPR:
    def __init__(self, n_users, n_items, dim, seed=0):
        rs = np.random.RandomState(seed)
        self.U = rs.normal(0, 0.6, (n_users, dim))
        self.V = rs.normal(0, 0.6, (n_items, dim))
        self.dU, self.dV = np.zeros_like(self.U), np.zeros_like(self.V)

    def forward(self, user, liked, other):
        self.ids = user, liked, other
        self.margin = np.sum(self.U[user] * (self.V[liked] - self.V[other]), axis=1)
        return np.logaddexp(0, -self.margin).mean()

    def backward(self, dout=1.0):
        user, liked, other = self.ids
        s = -dout * expit(-self.margin)[:, None] / len(user)
        self.dU[:], self.dV[:] = 0, 0
        np.add.at(self.dU, user, s * (self.V[liked] - self.V[other]))
        self.dV[liked] += s * self.U[user]
        np.subtract.at(self.dV, other, s * self.U[user])


def _bpr():
    triples = np.array([[0, 2, 4], [1, 2, 3], [1, 5, 1], [3, 0, 1], [2, 2, 0], [0, 5, 3]])
    return BPR(4, 6, 3), *(np.array(column) for column in triples.T)


def _prove_bpr():
    m, *ids = _bpr()
    m.forward(*ids)
    m.backward()
    return list(zip([m.dU, m.dV], dots(lambda: m.forward(*ids), [m.U, m.V])))


# ---- weights with a Gaussian posterior: sigma = log(1 + exp(rho)) ----
def kl_forward(mu, rho, prior):
    sigma = np.log1p(np.exp(rho))
    kl = np.log(prior / sigma) + (sigma**2 + mu**2) / (2 * prior**2) - 0.5
    return np.sum(kl), (mu, rho, sigma, prior)


def kl_backward(dout, cache):
    mu, rho, sigma, prior = cache
    dmu = dout * mu / prior**2
    dsigma = dout * (sigma / prior**2 - 1 / sigma)
    drho = dsigma
    dprior = dout * np.sum(1 / prior - (sigma**2 + mu**2) / prior**3, axis=0)
    return dmu, drho, dprior


def _kl():
    r = np.random.default_rng(8)
    return r.normal(size=(4, 3)), r.normal(size=(4, 3)), r.uniform(0.5, 1.5, 3)


def _prove_kl():
    a = _kl()
    return list(zip(kl_backward(0.8, kl_forward(*a)[1]), dots(lambda: kl_forward(*a)[0], a, 0.8)))


# ---- ELBO of Bayesian linear regression, reparametrised, noise drawn once ----
class NegELBO:
    def __init__(self, X, y, precision=4.0, samples=5, seed=0):
        self.X, self.y, self.b = X, y, precision
        self.eps = np.random.default_rng(seed).standard_normal((samples, X.shape[1]))

    def __call__(self, lam):
        m, ls = np.split(lam, 2)
        s = np.exp(ls)
        value, gm, gls = 0.0, np.zeros_like(m), np.zeros_like(m)
        for e in self.eps:
            r = self.X @ (m + s * e) - self.y
            gw = self.b * self.X.T @ r
            value += 0.5 * self.b * r @ r
            gm += gw
            gls += gw * e * s
        n = len(self.eps)
        value = value / n + 0.5 * np.sum(s**2 + m**2 - 1 - 2 * ls)
        return value, np.concatenate([gm / n + m, gls / n + s**2 - 1])


def _elbo():
    r = np.random.default_rng(2)
    return NegELBO(r.normal(size=(10, 3)), r.normal(size=10)), np.array([0.2, -0.5, 0.9, -1.0, -0.6, -1.3])


def _prove_elbo():
    f, lam = _elbo()
    return [(f(lam)[1], fgrad(lambda v: f(v)[0], lam))]


# ---- importance weighted bound: x | z ~ N(a z, 1), z ~ N(0, 1), q = N(m, exp(l)^2) ----
EPS = np.random.default_rng(6).standard_normal((4, 7))
XS = np.array([0.3, -1.2, 2.0, 0.8])


def _log_w(phi):
    m, l, a = phi[:4, None], phi[4:8, None], phi[8]
    z = m + np.exp(l) * EPS
    return -0.5 * (XS[:, None] - a * z) ** 2 - 0.5 * z**2 + l + 0.5 * EPS**2 - 0.5 * np.log(2 * np.pi), z


def iwae(phi):
    return -np.mean(logsumexp(_log_w(phi)[0], axis=1) - np.log(EPS.shape[1]))


def iwae_grad(phi):
    lw, z = _log_w(phi)
    wt = softmax(lw, axis=1) / len(XS)  # the weights' own slopes cancel in log-sum-exp
    a = phi[8]
    r = XS[:, None] - a * z
    dz = wt * (a * r - z)
    dl = dz * np.exp(phi[4:8, None]) * EPS + wt
    return -np.concatenate([dz.sum(1), dl.sum(1), [np.sum(wt * r * z)]])


PHI = np.array([0.1, -0.4, 0.8, 0.3, -0.2, 0.1, -0.5, -0.3, 0.9])


# ---- Plackett-Luce ----
class PlackettLuceLoss:
    """rankings: one permutation a row, best first; the log-sum-exps of the rest run from the back"""

    def forward(self, scores, rankings):
        self.rankings = rankings
        self.s = np.take_along_axis(scores, rankings, axis=1)
        self.rest = np.logaddexp.accumulate(self.s[:, ::-1], axis=1)[:, ::-1]
        return np.sum(self.rest - self.s)

    def backward(self, dout=1.0):
        ds = np.exp(self.s) * np.cumsum(np.exp(-self.rest), axis=1) - 1
        dscores = np.empty_like(ds)
        np.put_along_axis(dscores, self.rankings, dout * ds, axis=1)
        return dscores


def _pl():
    r = np.random.default_rng(10)
    return PlackettLuceLoss(), r.normal(size=(4, 5)), np.array([r.permutation(5) for _ in range(4)])


def _prove_pl():
    loss, s, rk = _pl()
    loss.forward(s, rk)
    return [(loss.backward(), *dots(lambda: loss.forward(s, rk), [s]))]


ENTRIES = [
    Stranger(
        "diagonal Gaussian mixture, mean negative log likelihood",
        "loss layer with dicts p and g",
        lambda gradlab: gradlab.check_layer(*_gmm()),
        _prove_gmm,
    ),
    Stranger(
        "biased matrix factorisation with sparse gradients",
        "layer of ids, grads a property that densifies",
        lambda gradlab: gradlab.check_layer(*_mf()),
        _prove_mf,
    ),
    Stranger(
        "NMF under Kullback-Leibler, value and pullback",
        "vjp whose residual is a closure",
        lambda gradlab: gradlab.check_vjp(nmf_kl, lambda pullback, g: pullback(g), _nmf()),
        _prove_nmf,
    ),
    Stranger(
        "factorisation machine of second order",
        "pair with cache dict, gradients in a dict in another order",
        lambda gradlab: gradlab.check_cached_pair(fm_forward, fm_backward, _fm()),
        _prove_fm,
    ),
    Stranger(
        "negative ELBO of Bayesian linear regression",
        "callable object, value and grad, noise drawn once",
        lambda gradlab: gradlab.check_gradient(_elbo()[0], True, _elbo()[1]),
        _prove_elbo,
    ),
    Stranger(
        "importance weighted bound",
        "f and grad on module data",
        lambda gradlab: gradlab.check_gradient(iwae, iwae_grad, PHI.copy()),
        lambda: [(iwae_grad(PHI), fgrad(iwae, PHI))],
    ),
    Stranger(
        "Plackett-Luce loss of rankings",
        "loss class with backward(dout=1.0)",
        lambda gradlab: gradlab.check_layer(*_pl()),
        _prove_pl,
    ),
    Stranger(
        "von Mises mixture: responsibilities normalised over the angles",
        "loss layer with attributes grad_*",
        lambda gradlab: gradlab.check_layer(*_wind()),
        _prove_wind,
        "wrong",
        "responsibilities are normalised over the observations (axis 0), not over the components (axis 1)",
        ("wrong-sum-axis",),
        ("angle", "mu", "log_kappa", "logit"),
        "        resp = np.exp(self.lj - logsumexp(self.lj, axis=0, keepdims=True))\n",
        "        resp = np.exp(self.lj - logsumexp(self.lj, axis=1, keepdims=True))\n",
    ),
    Stranger(
        "Bayesian personalised ranking: items liked twice count once",
        "loss layer of ids, attributes dU and dV",
        lambda gradlab: gradlab.check_layer(*_bpr()),
        _prove_bpr,
        "wrong",
        "dV[liked] += ... keeps only the last of repeated items, np.add.at is needed",
        ("last-write-wins",),
        ("V",),
        "        self.dV[liked] += s * self.U[user]\n",
        "        np.add.at(self.dV, liked, s * self.U[user])\n",
    ),
    Stranger(
        "Kullback-Leibler term of Gaussian weights: slope of the softplus forgotten",
        "pair with cache tuple",
        lambda gradlab: gradlab.check_cached_pair(kl_forward, kl_backward, _kl()),
        _prove_kl,
        "wrong",
        "sigma's gradient is handed to rho as it is, without the sigmoid(rho) of sigma = log(1 + exp(rho))",
        ("missing-factor", "straight-through"),
        ("rho",),
        "    drho = dsigma\n",
        "    drho = dsigma * expit(rho)\n",
    ),
]
