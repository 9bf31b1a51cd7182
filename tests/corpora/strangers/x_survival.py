"""Survival times and counts."""

import numpy as np
from scipy.special import digamma, expit, gammaln, logsumexp

from ._entry import Stranger
from ._help_x import against


def cox_efron(beta, X, time, event):
    """Cox partial likelihood with Efron's ties; negative, with its gradient, for minimize(..., jac=True)."""
    eta = X @ beta
    risk_score = np.exp(eta)
    nll, grad = 0.0, np.zeros_like(beta)
    for t in np.unique(time[event]):
        dead = event & (time == t)
        at_risk = time >= t
        m = dead.sum()
        total, total_x = risk_score[at_risk].sum(), risk_score[at_risk] @ X[at_risk]
        tied, tied_x = risk_score[dead].sum(), risk_score[dead] @ X[dead]
        nll -= eta[dead].sum()
        grad -= X[dead].sum(axis=0)
        for k in range(m):
            f = k / m
            denom = total - f * tied
            nll += np.log(denom)
            grad += (total_x - f * tied_x) / denom
    return nll, grad


def _cox_data():
    rng = np.random.default_rng(11)
    X = rng.normal(size=(24, 4))
    time = np.ceil(rng.exponential(5, size=24))
    event = rng.random(24) < 0.7
    return rng.normal(size=4) * 0.4, X, time, event


def _prove_cox():
    beta, *rest = _cox_data()
    return against(lambda: cox_efron(beta, *rest)[0], (cox_efron(beta, *rest)[1], beta))


# ---- Weibull AFT: log T = x'b + sigma * eps, eps ~ Gumbel(min); theta = (b, log sigma)


def aft_nll(theta, X, logt, d):
    b, log_sigma = theta[:-1], theta[-1]
    z = (logt - X @ b) / np.exp(log_sigma)
    return -np.sum(d * (z - log_sigma) - np.exp(z))


def aft_score(theta, X, logt, d):
    b, log_sigma = theta[:-1], theta[-1]
    sigma = np.exp(log_sigma)
    z = (logt - X @ b) / sigma
    w = np.exp(z) - d
    g_b = -X.T @ w / sigma
    g_s = -np.sum(z * w)
    return np.append(g_b, g_s)


def _aft_data():
    rng = np.random.default_rng(3)
    X = np.column_stack([np.ones(40), rng.normal(size=(40, 2))])
    logt = X @ [1.0, 0.5, -0.7] + 0.5 * np.log(rng.exponential(size=40))
    return np.array([0.8, 0.4, -0.5, -0.3]), X, logt, (rng.random(40) < 0.6).astype(float)


def _prove_aft():
    theta, *rest = _aft_data()
    return against(lambda: aft_nll(theta, *rest), (aft_score(theta, *rest), theta))


class PMFLoss:
    """DeepHit's likelihood part: softmax over the bins and a last bin "later" whose logit is 0."""

    def __init__(self, reduction="mean"):
        self.reduction = reduction

    def __call__(self, phi, idx_durations, events):
        n, m = phi.shape
        padded = np.hstack([phi, np.zeros((n, 1))])
        logp = padded - logsumexp(padded, axis=1, keepdims=True)
        bins = np.arange(m + 1)[None, :]
        k = np.asarray(idx_durations)[:, None]
        alive = np.where(np.asarray(events)[:, None] == 1, bins == k, bins > k)
        inside = np.where(alive, logp, -np.inf)
        ll = logsumexp(inside, axis=1, keepdims=True)
        self._p, self._q = np.exp(logp), np.exp(inside - ll)
        return -ll.mean() if self.reduction == "mean" else -ll.sum()

    def backward(self):
        g = (self._p - self._q)[:, :-1]
        return g / len(g) if self.reduction == "mean" else g


def _pmf():
    rng = np.random.default_rng(5)
    return rng.normal(size=(6, 5)), np.array([0, 3, 2, 4, 1, 2]), np.array([1, 0, 1, 1, 0, 1])


def _prove_pmf():
    (phi, k, e), loss = _pmf(), PMFLoss()
    loss(phi, k, e)
    return against(lambda: loss(phi, k, e), (loss.backward(), phi))


class NegBinHead:
    """Claims per policy: y ~ NB(mean exp(x w + b), size exp(log_r))."""

    def __init__(self, d, seed=0):
        rng = np.random.default_rng(seed)
        self.params = {"w": 0.3 * rng.normal(size=d), "b": np.array([0.2]), "log_r": np.array([0.4])}
        self.grads = {}

    def forward(self, x, y):
        r = np.exp(self.params["log_r"])
        mu = np.exp(x @ self.params["w"] + self.params["b"])
        self.x, self.y, self.r, self.mu = x, y, r, mu
        ll = gammaln(y + r) - gammaln(r) - gammaln(y + 1)
        ll = ll + r * np.log(r / (r + mu)) + y * np.log(mu / (r + mu))
        return -ll.mean()

    def backward(self, dout=1.0):
        x, y, r, mu = self.x, self.y, self.r, self.mu
        n = len(y)
        deta = dout * (mu - y) * r / (r + mu) / n
        dr = np.log(y + r) - np.log(r) + np.log(r / (r + mu)) + 1 - (r + y) / (r + mu)
        self.grads["w"] = x.T @ deta
        self.grads["b"] = np.array([deta.sum()])
        self.grads["log_r"] = np.array([-dout * np.sum(dr * r) / n])
        return np.outer(deta, self.params["w"])


def _nb_data():
    rng = np.random.default_rng(1)
    return rng.normal(size=(9, 3)), rng.poisson(1.8, size=9)


def _prove_nb():
    (x, y), net = _nb_data(), NegBinHead(3)
    net.forward(x, y)
    dx = net.backward()
    return against(lambda: net.forward(x, y), (dx, x), *((net.grads[k], net.params[k]) for k in net.params))


class TweedieGLM:
    """Primas puras: desviacion de Tweedie, enlace log, peso = exposicion; el intercepto va al final."""

    def __init__(self, X, y, expo, power=1.5, alpha=0.05):
        self.X = np.c_[X, np.ones(len(X))]
        self.y, self.w, self.p, self.alpha = y, expo / expo.sum(), power, alpha

    def fun(self, coef):
        p, mu = self.p, np.exp(self.X @ coef)
        dev = self.y ** (2 - p) / ((1 - p) * (2 - p))
        dev += mu ** (2 - p) / (2 - p) - self.y * mu ** (1 - p) / (1 - p)
        return 2 * self.w @ dev + 0.5 * self.alpha * coef[:-1] @ coef[:-1]

    def jac(self, coef):
        mu = np.exp(self.X @ coef)
        pendiente = 2 * self.w * (mu - self.y) * mu ** (1 - self.p)
        g = pendiente @ self.X
        g[:-1] += self.alpha * coef[:-1]
        return g


def _tweedie():
    rng = np.random.default_rng(8)
    y = rng.gamma(2.0, 1.0, size=30) * (rng.random(30) < 0.5)
    return TweedieGLM(rng.normal(size=(30, 4)), y, rng.uniform(0.2, 1, 30)), 0.2 * rng.normal(size=5)


def _prove_tweedie():
    glm, w = _tweedie()
    return against(lambda: glm.fun(w), (glm.jac(w), w))


class ZeroInflatedPoisson:
    """One negative log-likelihood per count; eta = log rate, zeta = logit of an extra zero."""

    def forward(self, eta, zeta, y):
        self.lam, self.pi, self.y = np.exp(eta), expit(zeta), y
        self.e0 = np.exp(-self.lam)
        self.den = self.pi + (1 - self.pi) * self.e0
        positive = self.lam - y * eta + gammaln(y + 1) - np.log(1 - self.pi)
        return np.where(y == 0, -np.log(self.den), positive)

    def backward(self, dout):
        is_zero = self.y == 0
        share = (1 - self.pi) * self.e0 / self.den
        d_eta = dout * np.where(is_zero, share * self.lam, self.lam - self.y)
        at_zero = -dout * self.pi * (1 - self.pi) * (1 - self.e0) / self.den
        at_count = dout * self.pi
        d_zeta = dout * np.where(is_zero, at_zero, at_count)
        return d_eta, d_zeta


def _zip():
    rng = np.random.default_rng(21)
    return rng.normal(size=8) * 0.5, rng.normal(size=8), np.array([0, 2, 0, 1, 0, 3, 0, 1])


def _prove_zip():
    (a, b, y), layer = _zip(), ZeroInflatedPoisson()
    g = np.random.default_rng(2).normal(size=8)
    layer.forward(a, b, y)
    da, db = layer.backward(g)
    return against(lambda: g @ layer.forward(a, b, y), (da, a), (db, b))


def frailty_forward(eta, log_theta, cumhaz, event, clinic):
    """Shared gamma frailty with variance theta, one frailty a clinic; marginal log-likelihood."""
    nu = np.exp(-log_theta)
    hazard = cumhaz * np.exp(eta)
    deaths = np.bincount(clinic, weights=event)
    A = np.bincount(clinic, weights=hazard)
    per_clinic = gammaln(deaths + nu) - gammaln(nu) - deaths * np.log(nu) - (deaths + nu) * np.log1p(A / nu)
    loglik = np.sum(event * eta) + per_clinic.sum()
    return loglik, dict(nu=nu, hazard=hazard, deaths=deaths, A=A, eta=eta, event=event, clinic=clinic)


def frailty_backward(dout, cache):
    nu, A, deaths = cache["nu"], cache["A"], cache["deaths"]
    dA = -(deaths + nu) / (nu + A)
    dhaz = dA[cache["clinic"]]
    dnu = digamma(deaths + nu) - digamma(nu) - deaths / nu - np.log1p(A / nu) - dA * A / nu
    return {
        "eta": dout * (cache["event"] + dhaz * cache["hazard"]),
        "log_theta": -dout * nu * dnu.sum(),
        "cumhaz": dout * dhaz * np.exp(cache["eta"]),
    }


def _frailty():
    rng = np.random.default_rng(4)
    clinic = np.array([0, 0, 1, 2, 1, 2, 2, 0, 1, 2])
    event = np.array([1, 0, 1, 1, 1, 0, 1, 1, 0, 0])
    return 0.5 * rng.normal(size=10), np.array(-0.4), rng.uniform(0.2, 2, 10), event, clinic


def _prove_frailty():
    args = _frailty()
    out, cache = frailty_forward(*args)
    g = frailty_backward(1.7, cache)
    pairs = zip((g["eta"], g["log_theta"], g["cumhaz"]), args)
    return against(lambda: 1.7 * frailty_forward(*args)[0], *pairs)


TAUS = np.array([0.1, 0.5, 0.9])


def quantile_loss(raw, y, width=0.3):
    """Smoothed pinball loss of quantiles that cannot cross; gives the loss and its pullback."""
    gaps = np.logaddexp(0, raw[:, 1:])
    q = np.cumsum(np.hstack([raw[:, :1], gaps]), axis=1)
    u = (y[:, None] - q) / width
    loss = width * np.mean(TAUS * u + np.logaddexp(0, -u))

    def pullback(ct=1.0):
        du = ct * (TAUS - expit(-u)) / u.size
        dq = np.flip(np.cumsum(np.flip(-du, axis=1), axis=1), axis=1)
        return np.hstack([dq[:, :1], dq[:, 1:] * expit(raw[:, 1:])]), du.sum(axis=1)

    return loss, pullback


def _quantile():
    rng = np.random.default_rng(14)
    return rng.normal(size=(7, 3)), rng.normal(size=7)


def _prove_quantile():
    raw, y = _quantile()
    draw, dy = quantile_loss(raw, y)[1](2.0)
    return against(lambda: 2 * quantile_loss(raw, y)[0], (draw, raw), (dy, y))


class Biweight:
    """Tukey's bisquare, sum over the residuals."""

    def __init__(self, c=4.685):
        self.c = c

    def forward(self, pred, target):
        self.r = target - pred
        u2 = np.minimum((self.r / self.c) ** 2, 1)
        return np.sum(self.c**2 / 6 * (1 - (1 - u2) ** 3))

    def backward(self, dout=1):
        u = self.r / self.c
        psi = self.r * (1 - u**2) ** 2
        return -dout * psi


def _biweight():
    return np.array([0.3, 1.2, -4.0, 2.5, 7.0, -0.8]), np.array([0.9, 0.1, 3.5, 1.9, 0.5, -1.7])


def _prove_biweight():
    (p, t), loss = _biweight(), Biweight()
    loss.forward(p, t)
    return against(lambda: loss.forward(p, t), (loss.backward(), p))


class SurvivalCurve:
    """S_j = prod_{k <= j} (1 - sigmoid(a_k)), in a buffer made once per shape."""

    def __init__(self):
        self.curve = None

    def forward(self, a):
        if self.curve is None or self.curve.shape != a.shape:
            self.curve = np.empty_like(a)
        self.h = expit(a)
        np.cumprod(1 - self.h, axis=1, out=self.curve)
        return self.curve

    def backward(self, dS):
        later = np.cumsum((dS * self.curve)[:, ::-1], axis=1)[:, ::-1]
        return -self.h * later


ENTRIES = [
    Stranger(
        "Cox model with Efron's ties",
        "value and gradient, jac=True",
        lambda gradlab: gradlab.check_gradient(cox_efron, True, _cox_data()[0], args=_cox_data()[1:]),
        _prove_cox,
    ),
    Stranger(
        "Weibull AFT: the log sigma of the events' density is forgotten",
        "f and grad with args",
        lambda gradlab: gradlab.check_gradient(aft_nll, aft_score, _aft_data()[0], args=_aft_data()[1:]),
        _prove_aft,
        "wrong",
        "the slope of the term -d * log_sigma, which is sum(d), is left out",
        ("missing-term", "single-element", "additive-bias"),
        ("theta",),
        "    g_s = -np.sum(z * w)\n",
        "    g_s = -np.sum(z * w) + np.sum(d)\n",
    ),
    Stranger(
        "DeepHit's PMF loss",
        "callable loss, backward without arguments",
        lambda gradlab: gradlab.check_layer(PMFLoss(), *_pmf()),
        _prove_pmf,
    ),
    Stranger(
        "negative binomial head: log for digamma",
        "loss head, params and grads in dicts",
        lambda gradlab: gradlab.check_layer(NegBinHead(3), *_nb_data()),
        _prove_nb,
        "wrong",
        "the derivative of gammaln is taken for log, its approximation at large arguments",
        ("other-approximation",),
        ("log_r",),
        "dr = np.log(y + r) - np.log(r) + ",
        "dr = digamma(y + r) - digamma(r) + ",
    ),
    Stranger(
        "Tweedie GLM",
        "bound methods fun and jac",
        lambda gradlab: (lambda glm, w: gradlab.check_gradient(glm.fun, glm.jac, w))(*_tweedie()),
        _prove_tweedie,
    ),
    Stranger(
        "zero-inflated Poisson: dout twice",
        "layer with a vector of losses, tuple of gradients",
        lambda gradlab: gradlab.check_layer(ZeroInflatedPoisson(), *_zip()),
        _prove_zip,
        "wrong",
        "both branches have dout in them already, and it is multiplied in again",
        ("nonlinear-in-cotangent",),
        ("zeta",),
        "        d_zeta = dout * np.where(is_zero, at_zero, at_count)\n",
        "        d_zeta = np.where(is_zero, at_zero, at_count)\n",
    ),
    Stranger(
        "shared gamma frailty",
        "pair with cache, dict of gradients, a scalar parameter",
        lambda gradlab: gradlab.check_cached_pair(frailty_forward, frailty_backward, _frailty()),
        _prove_frailty,
    ),
    Stranger(
        "quantiles that cannot cross",
        "loss and pullback",
        lambda gradlab: gradlab.check_cached_pair(quantile_loss, lambda dout, pull: pull(dout), _quantile()),
        _prove_quantile,
    ),
    Stranger(
        "Tukey's biweight: outliers still pull",
        "loss layer",
        lambda gradlab: gradlab.check_layer(Biweight(), *_biweight()),
        _prove_biweight,
        "wrong",
        "psi is not set to zero where |r| > c, where rho is constant",
        ("masked-region",),
        ("pred",),
        "        psi = self.r * (1 - u**2) ** 2\n",
        "        psi = self.r * (1 - u**2) ** 2 * (np.abs(u) <= 1)\n",
    ),
    Stranger(
        "survival curve: gives its own buffer",
        "layer with a buffer",
        lambda gradlab: gradlab.check_layer(SurvivalCurve(), np.random.default_rng(0).normal(size=(4, 6))),
        lambda: [],
        "habit",
        "forward returns the layer's buffer, which the next call overwrites",
        ("aliases-memory",),
        (),
        "        return self.curve\n",
        "        return self.curve.copy()\n",
    ),
]
