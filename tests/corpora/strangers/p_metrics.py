"""Econometrics, psychometrics, survey statistics."""

from dataclasses import dataclass

import numpy as np
from scipy.special import digamma, expit, gammaln, log_ndtr, logsumexp, ndtr

from ._entry import Stranger
from ._help_p import jacobian, pairs


def make_tobit(X, y, lower):
    """Negative log-likelihood of a left-censored regression in Olsen's (beta/sigma, 1/sigma)."""
    cens = y <= lower
    Xu, yu, Xc = X[~cens], y[~cens], X[cens]

    def nll_and_score(par):
        gam, th = par[:-1], par[-1]
        r = th * yu - Xu @ gam
        zc = th * lower - Xc @ gam
        logF = log_ndtr(zc)
        val = 0.5 * r @ r - len(yu) * np.log(th) - logF.sum()
        mills = np.exp(-0.5 * zc**2 - logF) / np.sqrt(2 * np.pi)
        g = np.empty_like(par)
        g[:-1] = Xc.T @ mills - Xu.T @ r
        g[-1] = r @ yu - len(yu) / th - lower * mills.sum()
        return val, g

    return nll_and_score


class EntropyBalancing:
    """Hainmueller (2012): weigh the controls so that their moments meet the treated ones'. Dual."""

    def __init__(self, controls, targets, base):
        self.D = controls - targets
        self.logq = np.log(base / base.sum())

    def weights(self, lam):
        e = self.logq - self.D @ lam
        return np.exp(e - logsumexp(e))

    def dual(self, lam):
        return logsumexp(self.logq - self.D @ lam)

    def dual_grad(self, lam):
        return -self.weights(lam) @ self.D

    def dual_hess(self, lam):
        w = self.weights(lam)
        m = w @ self.D
        return np.einsum("i,ij,ik->jk", w, self.D, self.D) - m[:, None] * m


class GradedResponse:
    # Samejima: P(X >= k) = sigmoid(a (theta - b_k)), Schwellen b_k aufsteigend durch exp-Abstaende
    def __init__(self, steigung, erste, abstaende):
        self.params = {"steigung": steigung, "erste": erste, "abstaende": abstaende}
        self.grads = {}

    def forward(self, theta):
        a, b0, gaps = self.params["steigung"], self.params["erste"], self.params["abstaende"]
        b = np.concatenate([b0[:, None], b0[:, None] + np.cumsum(np.exp(gaps), axis=1)], axis=1)
        self.dist = theta[:, None, None] - b
        self.ps = expit(a[:, None] * self.dist)
        n, j, _ = self.ps.shape
        oben = np.concatenate([np.ones((n, j, 1)), self.ps], axis=2)
        unten = np.concatenate([self.ps, np.zeros((n, j, 1))], axis=2)
        return oben - unten

    def backward(self, dout):
        a = self.params["steigung"]
        dlin = (dout[..., 1:] - dout[..., :-1]) * self.ps * (1 - self.ps)
        self.grads["steigung"] = np.sum(dlin * self.dist, axis=(0, 2))
        db = -a[:, None] * dlin.sum(axis=0)
        self.grads["erste"] = db.sum(axis=1)
        rest = np.flip(np.cumsum(np.flip(db[:, 1:], 1), axis=1), 1)
        self.grads["abstaende"] = rest * np.exp(self.params["abstaende"])
        return np.einsum("njk,j->n", dlin, a)


def sar_nll(theta, y, X, W):
    rho, beta, ls2 = theta[0], theta[1:-1], theta[-1]
    A = np.eye(len(y)) - rho * W
    e = A @ y - X @ beta
    return -np.linalg.slogdet(A)[1] + 0.5 * len(y) * ls2 + 0.5 * e @ e * np.exp(-ls2)


def sar_nll_prime(theta, y, X, W):
    rho, beta, ls2 = theta[0], theta[1:-1], theta[-1]
    A = np.eye(len(y)) - rho * W
    e = A @ y - X @ beta
    prec = np.exp(-ls2)
    d_rho = np.trace(np.linalg.solve(A, W)) - prec * (e @ (W @ y))
    return np.r_[d_rho, -prec * (X.T @ e), 0.5 * len(y) - 0.5 * prec * (e @ e)]


class BetaRegressionNet:
    """Rates in (0, 1) with mean sigmoid(X B) and precision exp(phi); used like a TwoLayerNet."""

    def __init__(self, n_features, rng):
        self.params = {"B": 0.5 * rng.standard_normal(n_features), "phi": np.array([1.2])}

    def predict(self, X):
        return expit(X @ self.params["B"])

    def loss(self, X, t):
        mu, phi = self.predict(X), np.exp(self.params["phi"])
        a, b = mu * phi, (1 - mu) * phi
        ll = gammaln(phi) - gammaln(a) - gammaln(b) + (a - 1) * np.log(t) + (b - 1) * np.log1p(-t)
        return -ll.mean()

    def gradient(self, X, t):
        mu, phi = self.predict(X), np.exp(self.params["phi"])
        lift = np.log(t) - np.log1p(-t) - digamma(mu * phi) + digamma((1 - mu) * phi)
        d_mu = -phi * lift / len(t)
        d_phi = mu * lift + np.log1p(-t) - digamma((1 - mu) * phi) + digamma(phi)
        return {"B": X.T @ (d_mu * mu * (1 - mu)), "phi": -phi * d_phi.mean()}


@dataclass
class ExponentialGMM:
    """Moments E[z (y - exp(x'b))] = 0, weighted by W."""

    X: np.ndarray
    Z: np.ndarray
    y: np.ndarray
    W: np.ndarray

    def moments(self, b):
        return self.Z.T @ (self.y - np.exp(self.X @ b)) / len(self.y)

    def J(self, b):
        g = self.moments(b)
        return g @ self.W @ g

    def dJ(self, b):
        G = -self.Z.T @ (self.X * np.exp(self.X @ b)[:, None]) / len(self.y)
        return G.T @ self.W @ self.moments(b)


class TwoPL:
    def __init__(self, discrimination, difficulty):
        self.a = discrimination
        self.b = difficulty

    def forward(self, ability):
        self.gap = ability[:, None] - self.b[None, :]
        self.p = expit(self.a * self.gap)
        return self.p

    def backward(self, dp):
        dz = dp * self.p * (1 - self.p)
        self.da = (dz * self.gap).sum(axis=0)
        self.db = -(dz * self.a).sum(axis=1)
        return (dz * self.a).sum(axis=1)


def garch11(par, r):
    """(nll, gradient) of GARCH(1,1) with Gaussian shocks, recursion started at the sample variance."""
    omega, alpha, beta = par
    T = len(r)
    h, dh = np.empty(T), np.zeros((T, 3))
    h[0] = r.var()
    for t in range(1, T):
        h[t] = omega + alpha * r[t - 1] ** 2 + beta * h[t - 1]
        dh[t] = np.array([1.0, r[t - 1] ** 2, h[t]]) + beta * dh[t - 1]
    nll = 0.5 * np.sum(np.log(h) + r**2 / h)
    return nll, 0.5 * ((1 / h - r**2 / h**2) @ dh)


class OrderedProbit:
    """Likert answers t in 0..K-1, cut points delta_0, delta_0 + e^delta_1, ..."""

    def __init__(self, w, delta):
        self.params = [w, delta]
        self.grads = [np.zeros_like(w), np.zeros_like(delta)]

    def forward(self, x, t):
        w, delta = self.params
        cuts = np.cumsum(np.r_[delta[0], np.exp(delta[1:])])
        full = np.r_[-np.inf, cuts, np.inf]
        eta = x @ w
        self.x, self.t = x, t
        self.hi, self.lo = full[t + 1] - eta, full[t] - eta
        self.p = ndtr(self.hi) - ndtr(self.lo)
        return -np.log(self.p).mean()

    def backward(self, dout=1.0):
        w, delta = self.params
        k = dout / (len(self.t) * np.sqrt(2 * np.pi)) / self.p
        up, down = k * np.exp(-(self.hi**2) / 2), k * np.exp(-(self.lo**2) / 2)
        dfull = np.zeros(len(delta) + 2)
        np.add.at(dfull, self.t + 1, -up)
        np.add.at(dfull, self.t, down)
        dc = dfull[1:-1]
        self.grads[0][...] = self.x.T @ (up - down)
        self.grads[1][...] = dc[::-1].cumsum()[::-1]
        return np.outer(up - down, w)


class HajekMean:
    """Design-weighted mean of the columns of y, weights one over the inclusion probability."""

    def forward(self, prob, y):
        self.prob, self.y = prob, y
        self.w = 1.0 / prob
        self.total = self.w.sum()
        self.mean = self.w @ y / self.total
        return self.mean

    def backward(self, g):
        dy = np.outer(self.w, g) / self.total
        dw = self.y @ g / self.total
        return -dw / self.prob**2, dy


def rng_(seed=0):
    return np.random.default_rng(seed)


def tobit():
    r = rng_(1)
    X = np.c_[np.ones(25), r.standard_normal((25, 2))]
    y = np.maximum(X @ [0.8, 1.0, -0.5] + r.standard_normal(25), 0.5)
    return make_tobit(X, y, 0.5), np.array([0.6, 0.7, -0.4, 1.1])


def balancing():
    r = rng_(2)
    eb = EntropyBalancing(r.standard_normal((30, 4)), np.array([0.3, -0.2, 0.1, 0.4]), r.uniform(1, 3, 30))
    return eb, np.array([-0.2, 0.3, 0.1, -0.5])


def graded():
    r = rng_(3)
    gm = GradedResponse(r.uniform(0.7, 1.8, 4), r.normal(-1, 0.3, 4), r.normal(-0.3, 0.4, (4, 3)))
    return gm, r.standard_normal(6)


def prove_graded():
    gm, th = graded()
    g = rng_(9).standard_normal(gm.forward(th).shape)
    claimed = [gm.backward(g), *(gm.grads[k] for k in gm.params)]
    return pairs(claimed, lambda: np.sum(g * gm.forward(th)), th, *gm.params.values())


def sar():
    r = rng_(4)
    W = np.roll(np.eye(12), 1, 1) * 0.7 + np.roll(np.eye(12), -2, 1) * 0.3
    return np.array([0.35, 0.5, -1.0, 0.2]), (r.standard_normal(12), r.standard_normal((12, 2)), W)


def prove_sar():
    th, args = sar()
    return pairs([sar_nll_prime(th, *args)], lambda: sar_nll(th, *args), th)


def betareg():
    r = rng_(5)
    return BetaRegressionNet(3, r), r.standard_normal((14, 3)), r.uniform(0.1, 0.9, 14)


def prove_betareg():
    net, X, t = betareg()
    return pairs(net.gradient(X, t).values(), lambda: net.loss(X, t), *net.params.values())


def gmm():
    r = rng_(6)
    X = r.standard_normal((20, 2))
    Z = np.c_[X, r.standard_normal((20, 2))]
    y, W = r.poisson(2, 20).astype(float), np.diag([1.0, 2.0, 0.5, 1.5])
    return ExponentialGMM(X, Z, y, W), np.array([0.3, -0.4])


def twopl():
    r = rng_(7)
    return TwoPL(r.uniform(0.5, 2, 5), r.standard_normal(5)), r.standard_normal(5)


def prove_twopl():
    m, th = twopl()
    g = rng_(9).standard_normal(m.forward(th).shape)
    return pairs([m.backward(g), m.da, m.db], lambda: np.sum(g * m.forward(th)), th, m.a, m.b)


def garch():
    return np.array([0.1, 0.15, 0.7]), rng_(8).standard_normal(40)


def probit():
    r = rng_(10)
    m = OrderedProbit(np.array([0.7, -0.5]), np.array([-1.0, -0.2, 0.1]))
    return m, r.standard_normal((15, 2)), r.integers(0, 4, 15)


def prove_probit():
    m, x, t = probit()
    m.forward(x, t)
    return pairs([m.backward(), *m.grads], lambda: m.forward(x, t), x, *m.params)


def hajek():
    r = rng_(11)
    return HajekMean(), r.uniform(0.1, 0.8, 9), r.normal(2, 1, (9, 3))


def prove_hajek():
    m, p, y = hajek()
    g = rng_(12).standard_normal(3)
    m.forward(p, y)
    return pairs(m.backward(g), lambda: g @ m.forward(p, y), p, y)


def prove_pair(make):
    f, x = make()
    return pairs([f(x)[1]], lambda: f(x)[0], x)


def prove_balancing():
    eb, x = balancing()
    return [*pairs([eb.dual_grad(x)], lambda: eb.dual(x), x), (eb.dual_hess(x), jacobian(eb.dual_grad, x))]


def prove_gmm():
    m, b = gmm()
    return pairs([m.dJ(b)], lambda: m.J(b), b)


def call_balancing(gradlab):
    eb, lam = balancing()
    return gradlab.check_hessian(eb.dual, eb.dual_grad, eb.dual_hess, lam)


def call_sar(gradlab):
    theta, args = sar()
    return gradlab.check_gradient(sar_nll, sar_nll_prime, theta, args=args)


def call_gmm(gradlab):
    m, b = gmm()
    return gradlab.check_gradient(m.J, m.dJ, b)


def call_garch(gradlab):
    par, r = garch()
    return gradlab.check_gradient(garch11, True, par, args=(r,))


def call_tobit(gradlab):
    f, par = tobit()
    return gradlab.check_gradient(f, True, par)


ENTRIES = [
    Stranger(
        "p Tobit in Olsen's parameters", "closure, value and grad", call_tobit, lambda: prove_pair(tobit)
    ),
    Stranger("p entropy balancing dual", "f, grad and hess as methods", call_balancing, prove_balancing),
    Stranger(
        "p graded response model",
        "layer with dict gradients",
        lambda gradlab: gradlab.check_layer(*graded()),
        prove_graded,
    ),
    Stranger("p spatial autoregression", "f and grad with args", call_sar, prove_sar),
    Stranger(
        "p beta regression net",
        "net with loss and gradient",
        lambda gradlab: gradlab.check_layer(*betareg()),
        prove_betareg,
    ),
    Stranger(
        "p GMM objective: the 2 of the square is missing",
        "dataclass with f and grad",
        call_gmm,
        prove_gmm,
        "wrong",
        "the factor 2 of the quadratic form is missing",
        ("constant-factor",),
        ("b",),
        "        return G.T @ self.W @ self.moments(b)\n",
        "        return 2 * G.T @ self.W @ self.moments(b)\n",
    ),
    Stranger(
        "p 2PL items: difficulty summed over the items",
        "layer with attributes",
        lambda gradlab: gradlab.check_layer(*twopl()),
        prove_twopl,
        "wrong",
        "the difficulties' gradient is summed over the items and not over the persons",
        ("wrong-sum-axis",),
        ("b",),
        "        self.db = -(dz * self.a).sum(axis=1)",
        "        self.db = -(dz * self.a).sum(axis=0)",
    ),
    Stranger(
        "p GARCH: the variance of the wrong day",
        "value and grad with args",
        call_garch,
        lambda: prove_pair(lambda: (lambda p: garch11(p, garch()[1]), garch()[0])),
        "wrong",
        "the recursion for beta takes the variance of this day and not of the day before",
        ("wrong-operand", "shifted"),
        ("par",),
        "r[t - 1] ** 2, h[t]]) + beta",
        "r[t - 1] ** 2, h[t - 1]]) + beta",
    ),
    Stranger(
        "p ordered probit: cut points without the exp's slope",
        "loss layer with lists",
        lambda gradlab: gradlab.check_layer(*probit()),
        prove_probit,
        "wrong",
        "the slope of exp(delta) is left out",
        ("missing-factor", "log-parameter"),
        ("delta",),
        "        self.grads[1][...] = dc[::-1].cumsum()[::-1]\n",
        "        self.grads[1][...] = dc[::-1].cumsum()[::-1] * np.r_[1.0, np.exp(delta[1:])]\n",
    ),
    Stranger(
        "p Hajek mean: the denominator held fixed",
        "layer, two inputs",
        lambda gradlab: gradlab.check_layer(*hajek()),
        prove_hajek,
        "wrong",
        "the sum of the weights in the denominator is taken as a constant",
        ("missing-term",),
        ("prob",),
        "        dw = self.y @ g / self.total",
        "        dw = (self.y - self.mean) @ g / self.total",
    ),
]
