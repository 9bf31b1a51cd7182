"""Survival, counts, ordinal answers and mixed models."""

import numpy as np
from scipy.special import digamma, expit, gammaln, logsumexp

from ._entry import Stranger
from ._help_t import num, of_both, of_f


# Cox regression, ties after Efron ----
def cox_nll(beta, X, t, d):
    eta = X @ beta
    r = np.exp(eta)
    ll = 0.0
    for s in np.unique(t[d == 1]):
        D = (t == s) & (d == 1)
        R = t >= s
        m = D.sum()
        ll += eta[D].sum()
        for l in range(m):
            ll -= np.log(r[R].sum() - l / m * r[D].sum())
    return -ll


def cox_nll_grad(beta, X, t, d):
    r = np.exp(X @ beta)
    rX = r[:, None] * X
    g = np.zeros_like(beta)
    for s in np.unique(t[d == 1]):
        D = (t == s) & (d == 1)
        R = t >= s
        frac = (np.arange(D.sum()) / D.sum())[:, None]
        top = rX[R].sum(axis=0) - frac * rX[D].sum(axis=0)
        bottom = r[R].sum() - frac * r[D].sum()
        g += X[D].sum(axis=0) - (top / bottom).sum(axis=0)
    return -g


def _cox():
    rng = np.random.default_rng(11)
    X = rng.normal(size=(24, 3))
    t = np.ceil(rng.exponential(4, 24))
    d = (rng.random(24) < 0.7).astype(int)
    return np.array([0.3, -0.5, 0.1]), X, t, d


# hurdle model in the manner of statsmodels ----
class HurdlePoisson:
    def __init__(self, endog, exog, exog_zero):
        self.endog, self.exog, self.exog_zero = endog, exog, exog_zero
        self.k_zero = exog_zero.shape[1]

    def _split(self, params):
        return params[: self.k_zero], params[self.k_zero :]

    def loglikeobs(self, params):
        gamma, beta = self._split(params)
        y = self.endog
        a = self.exog_zero @ gamma
        xb = self.exog @ beta
        mu = np.exp(xb)
        zero = -np.logaddexp(0, a)
        pos = -np.logaddexp(0, -a) + y * xb - mu - np.log(-np.expm1(-mu)) - gammaln(y + 1)
        return np.where(y == 0, zero, pos)

    def score_obs(self, params):
        gamma, beta = self._split(params)
        y = self.endog
        pos = y > 0
        s_zero = (pos - expit(self.exog_zero @ gamma))[:, None] * self.exog_zero
        mu = np.exp(self.exog @ beta)
        s_mean = np.where(pos, y + mu / np.expm1(-mu), 0.0)[:, None] * self.exog
        return np.hstack([s_zero, s_mean])


def _hurdle():
    rng = np.random.default_rng(4)
    n = 30
    X = np.c_[np.ones(n), rng.normal(size=(n, 2))]
    Z = np.c_[np.ones(n), rng.normal(size=n)]
    y = rng.poisson(np.exp(X @ [0.4, 0.3, -0.2])) * (rng.random(n) < expit(Z @ [0.5, 0.8]))
    return HurdlePoisson(y, X, Z), np.array([0.2, 0.5, 0.3, 0.1, -0.4])


# 2PL item response model, abilities integrated out ----
def irt_2pl(par, answers, nodes=15):
    """par = discriminations, then difficulties; answers (persons, items) of 0 and 1."""
    x, w = np.polynomial.hermite_e.hermegauss(nodes)
    logw = np.log(w / w.sum())
    J = answers.shape[1]
    a, b = par[:J], par[J:]
    eta = a * (x[:, None] - b)  # (Q, J)
    logp = -np.logaddexp(0, -eta)
    logq = -np.logaddexp(0, eta)
    joint = answers @ logp.T + (1 - answers) @ logq.T + logw  # (N, Q)
    per_person = logsumexp(joint, axis=1)
    post = np.exp(joint - per_person[:, None])
    nq = post.sum(axis=0)  # expected persons at a node
    rq = post.T @ answers  # expected right answers there
    resid = rq - nq[:, None] * np.exp(logp)
    da = (resid * (x[:, None] - b)).sum(axis=0)
    db = -a * resid.sum(axis=0)
    return -per_person.sum(), -np.concatenate([da, db])


def _irt():
    rng = np.random.default_rng(8)
    ans = (rng.random((40, 5)) < expit(rng.normal(size=(40, 1)) - np.linspace(-1, 1, 5))).astype(float)
    return np.r_[1.0, 0.8, 1.2, 0.9, 1.4, np.linspace(-0.8, 0.9, 5)], ans


# random intercepts ----
class RandomIntercept:
    """y_ij = x_ij b + u_i + e_ij;   theta = (b, log sd of e, log sd of u)"""

    def __init__(self, y, X, group):
        self.y, self.X, self.group = y, X, group

    def _each(self, theta):
        b, s2, t2 = theta[:-2], np.exp(2 * theta[-2]), np.exp(2 * theta[-1])
        for k in np.unique(self.group):
            X = self.X[self.group == k]
            r = self.y[self.group == k] - X @ b
            n = len(r)
            tot = s2 + n * t2
            yield X, r, n, s2, t2, tot, (r - t2 / tot * r.sum()) / s2  # the last: V^-1 r

    def deviance(self, theta):
        return sum((n - 1) * np.log(s2) + np.log(tot) + r @ q for _, r, n, s2, _, tot, q in self._each(theta))

    def deviance_gradient(self, theta):
        g = np.zeros_like(theta)
        for X, r, n, s2, t2, tot, q in self._each(theta):
            g[:-2] -= 2 * X.T @ q
            g[-2] += 2 * s2 * ((n - 1) / s2 + 1 / tot - q @ q)
            g[-1] += 2 * t2 * (n / tot - q.sum() ** 2)
        return g


def _lmm():
    rng = np.random.default_rng(15)
    grp = np.repeat(np.arange(5), [3, 4, 2, 6, 5])
    X = np.c_[np.ones(20), rng.normal(size=20)]
    return RandomIntercept(rng.normal(size=20) + rng.normal(size=5)[grp], X, grp), np.array(
        [0.2, 0.4, -0.3, 0.1]
    )


# mortality ----
class GompertzMakeham:
    """Deaths ~ Poisson(exposure * mu),  mu = exp(c) + exp(a[sex] + b[sex] * age)"""

    def __init__(self):
        self.params = {"a": np.array([-3.0, -3.4]), "b": np.array([0.9, 1.1]), "c": np.array([-4.0])}

    def _mu(self, x):
        age, sex = x[:, 0], x[:, 2].astype(int)
        senescent = np.exp(self.params["a"][sex] + self.params["b"][sex] * age)
        return senescent, np.exp(self.params["c"][0]), age, sex

    def loss(self, x, t):
        senescent, accident, _, _ = self._mu(x)
        mu = senescent + accident
        return np.sum(x[:, 1] * mu - t * np.log(mu))

    def gradient(self, x, t):
        senescent, accident, age, sex = self._mu(x)
        d = x[:, 1] - t / (senescent + accident)
        return {
            "a": np.bincount(sex, d * senescent, minlength=2),
            "b": np.bincount(sex, d * senescent * age, minlength=2),
            "c": np.array([d.sum() * accident]),
        }


def _mortality():
    rng = np.random.default_rng(2)
    x = np.c_[np.tile(np.linspace(0, 3, 8), 2), rng.uniform(20, 90, 16), np.repeat([0.0, 1.0], 8)]
    return GompertzMakeham(), x, rng.poisson(4, 16).astype(float)


def _mortality_call(gradlab):
    from gradlab.textbook.models import check_model

    return check_model(*_mortality())


def _mortality_proof():
    m, x, t = _mortality()
    g = m.gradient(x, t)
    return [(g[k], num(lambda: m.loss(x, t), m.params[k])) for k in m.params]


# beta-binomial: seeds that germinate ----
def germination(X, k, n):
    def unpack(theta):
        p = expit(X @ theta[:-1])
        phi = np.exp(theta[-1])
        return p, phi, p * phi, (1 - p) * phi

    def nll(theta):
        p, phi, a, b = unpack(theta)
        ll = gammaln(k + a) + gammaln(n - k + b) - gammaln(n + phi)
        return -np.sum(ll - gammaln(a) - gammaln(b) + gammaln(phi))

    def dnll(theta):
        p, phi, a, b = unpack(theta)
        la = digamma(k + a) - digamma(a)
        lb = digamma(n - k + b) - digamma(b)
        dphi = np.sum(p * la + (1 - p) * lb + digamma(phi) - digamma(n + phi))
        dbeta = X.T @ (phi * p * (1 - p) * (la - lb))
        return -np.append(dbeta, dphi)

    return nll, dnll


def _germination():
    rng = np.random.default_rng(21)
    n = rng.integers(5, 40, 12)
    X = np.c_[np.ones(12), rng.integers(0, 2, 12)]
    return (*germination(X, rng.binomial(n, rng.beta(2, 3, 12)), n), np.array([-0.3, 0.5, 1.4]))


# piecewise exponential hazard ----
class PiecewiseHazard:
    def __init__(self, cuts, time, event, X):
        self.J = len(cuts) + 1
        self.event, self.X = event.astype(bool), X
        self.k = np.searchsorted(cuts, time)  # interval in which the observation ends
        lo, hi = np.r_[0, cuts], np.r_[cuts, np.inf]
        self.exposure = np.clip(time[:, None], lo, hi) - lo

    def neg_log_likelihood(self, theta):
        alpha, beta = theta[: self.J], theta[self.J :]
        eta = self.X @ beta
        H = (self.exposure * np.exp(alpha)).sum(axis=1) * np.exp(eta)
        return H.sum() - (alpha[self.k] + eta)[self.event].sum()

    def score(self, theta):
        alpha, beta = theta[: self.J], theta[self.J :]
        haz = self.exposure * np.exp(alpha + (self.X @ beta)[:, None])
        deaths = np.bincount(self.k[self.event] + 1, minlength=self.J + 1)[: self.J]
        d_alpha = haz.sum(axis=0) - deaths
        d_beta = self.X.T @ (haz.sum(axis=1) - self.event)
        return np.concatenate((d_alpha, d_beta))


def _piecewise():
    rng = np.random.default_rng(5)
    m = PiecewiseHazard(
        np.array([1.0, 2.5, 4.0]), rng.exponential(3, 25), rng.random(25) < 0.8, rng.normal(size=(25, 2))
    )
    return m, np.array([-1.2, -1.0, -0.7, -0.9, 0.2, -0.3])


# football with draws (Davidson 1970) ----
class DavidsonLoss:
    def __init__(self, home, away, result):
        self.i, self.j = home, away
        self.y = np.eye(3)[result]  # home, draw, away

    def forward(self, strength, draw):
        si, sj = strength[self.i], strength[self.j]
        z = np.stack([si, draw[0] + (si + sj) / 2, sj], axis=1)
        self.p = np.exp(z - logsumexp(z, axis=1, keepdims=True))
        self.teams = len(strength)
        return -np.sum(self.y * np.log(self.p))

    def backward(self, dout=1.0):
        dz = dout * (self.p - self.y)
        ds = np.zeros(self.teams)
        ds[self.i] += dz[:, 0] + dz[:, 1] / 2
        ds[self.j] += dz[:, 2] + dz[:, 1] / 2
        return ds, np.array([dz[:, 1].sum()])


def _davidson():
    rng = np.random.default_rng(9)
    pairs = np.array([(a, b) for a in range(5) for b in range(5) if a != b])
    return (
        DavidsonLoss(pairs[:, 0], pairs[:, 1], rng.integers(0, 3, 20)),
        rng.normal(size=5) * 0.6,
        np.array([-0.4]),
    )


def _davidson_proof():
    m, s, v = _davidson()
    m.forward(s, v)
    claimed = m.backward()
    return [(c, num(lambda: m.forward(s, v), a)) for c, a in zip(claimed, (s, v))]


# cure model: some never have the event ----
def cure_model(t, d, Z, X):
    def forward(gamma, beta):
        pi = expit(Z @ gamma)
        rate = np.exp(X @ beta)
        S = np.exp(-rate * t)
        pop = 1 - pi + pi * S
        ll = np.where(d, np.log(pi) + np.log(rate) - rate * t, np.log(pop))
        return ll.mean(), (pi, rate, S, pop)

    def backward(dout, cache):
        pi, rate, S, pop = cache
        incidence = np.where(d, 1 - pi, pi * (1 - pi) * (S - 1) / pop)
        latency = np.where(d, 1 - rate * t, -pi * S * rate * t / pop)
        dgamma = Z.T @ incidence / len(t)
        dbeta = X.T @ latency / len(t)
        return dout * dbeta, dout * dgamma

    return forward, backward


def _cure():
    rng = np.random.default_rng(33)
    args = rng.exponential(2, 18), rng.random(18) < 0.6, rng.normal(size=(18, 3)), rng.normal(size=(18, 3))
    return (*cure_model(*args), (rng.normal(size=3) * 0.5, rng.normal(size=3) * 0.5))


def _cure_proof():
    fw, bw, (g, b) = _cure()
    claimed = bw(1.0, fw(g, b)[1])
    return [(c, num(lambda: fw(g, b)[0], a)) for c, a in zip(claimed, (g, b))]


# ordered logit, cutpoints kept in order by exponentials ----
def ordered_logit(theta, X, y, K):
    p = X.shape[1]
    beta, delta = theta[:p], theta[p:]
    step = np.exp(delta[1:])
    cuts = delta[0] + np.r_[0.0, np.cumsum(step)]
    edges = np.r_[-np.inf, cuts, np.inf]
    eta = X @ beta
    up, lo = expit(edges[y + 1] - eta), expit(edges[y] - eta)
    prob = up - lo
    f_up, f_lo = up * (1 - up) / prob, lo * (1 - lo) / prob
    dbeta = -X.T @ (f_up - f_lo)
    dcuts = np.bincount(y, f_up, minlength=K)[:-1] - np.bincount(y, f_lo, minlength=K)[1:]
    dcuts[1:] *= step
    ddelta = np.cumsum(dcuts[::-1])[::-1]
    return -np.log(prob).sum(), -np.r_[dbeta, ddelta]


def _ordered():
    rng = np.random.default_rng(17)
    return np.array([0.4, -0.2, -1.1, 0.3, -0.5]), rng.normal(size=(26, 2)), rng.integers(0, 4, 26), 4


ENTRIES = [
    Stranger(
        "t: Cox partial likelihood with Efron's ties",
        "f and grad with args",
        lambda gradlab: gradlab.check_gradient(cox_nll, cox_nll_grad, _cox()[0], args=_cox()[1:]),
        lambda: of_f(cox_nll, cox_nll_grad, *_cox()),
    ),
    Stranger(
        "t: hurdle Poisson, score of each observation",
        "estimator, loglikeobs and score_obs",
        lambda gradlab: (lambda m, p: gradlab.check_jacobian(m.loglikeobs, m.score_obs, p))(*_hurdle()),
        lambda: (lambda m, p: of_f(m.loglikeobs, m.score_obs, p))(*_hurdle()),
    ),
    Stranger(
        "t: 2PL item response model by quadrature",
        "(value, grad) of one vector",
        lambda gradlab: gradlab.check_gradient(irt_2pl, True, _irt()[0], args=(_irt()[1],)),
        lambda: of_both(irt_2pl, *_irt()),
    ),
    Stranger(
        "t: random intercepts by Woodbury",
        "estimator, deviance and gradient over a generator",
        lambda gradlab: (lambda m, p: gradlab.check_gradient(m.deviance, m.deviance_gradient, p))(*_lmm()),
        lambda: (lambda m, p: of_f(m.deviance, m.deviance_gradient, p))(*_lmm()),
    ),
    Stranger(
        "t: Gompertz-Makeham mortality of two sexes",
        "model with params, loss and gradient",
        _mortality_call,
        _mortality_proof,
    ),
    Stranger(
        "t: beta-binomial germination: with respect to phi, not to its logarithm",
        "closures f and grad",
        lambda gradlab: gradlab.check_gradient(*_germination()),
        lambda: of_f(*_germination()),
        "wrong",
        "the last entry is the derivative by phi, though theta holds log phi: a factor phi misses",
        ("log-parameter", "missing-factor", "single-element"),
        ("theta",),
        "        return -np.append(dbeta, dphi)\n",
        "        return -np.append(dbeta, dphi * phi)\n",
    ),
    Stranger(
        "t: piecewise exponential hazard: deaths counted one interval late",
        "estimator, value and score",
        lambda gradlab: (lambda m, p: gradlab.check_gradient(m.neg_log_likelihood, m.score, p))(
            *_piecewise()
        ),
        lambda: (lambda m, p: of_f(m.neg_log_likelihood, m.score, p))(*_piecewise()),
        "wrong",
        "the deaths are counted in the interval after the one in which they happen",
        ("shifted", "masked-region"),
        ("theta",),
        "        deaths = np.bincount(self.k[self.event] + 1, minlength=self.J + 1)[: self.J]",
        "        deaths = np.bincount(self.k[self.event], minlength=self.J)",
    ),
    Stranger(
        "t: Davidson's paired comparison with draws: lost repeats",
        "loss layer of two arguments",
        lambda gradlab: gradlab.check_layer(*_davidson()),
        _davidson_proof,
        "wrong",
        "a team with several matches keeps the gradient of its last one only (+= with repeats)",
        ("last-write-wins",),
        ("strength",),
        "        ds[self.i] += dz[:, 0] + dz[:, 1] / 2\n        ds[self.j] += dz[:, 2] + dz[:, 1] / 2\n",
        "        np.add.at(ds, self.i, dz[:, 0] + dz[:, 1] / 2)\n"
        "        np.add.at(ds, self.j, dz[:, 2] + dz[:, 1] / 2)\n",
    ),
    Stranger(
        "t: mixture cure model: the two coefficient vectors exchanged",
        "pair with cache, closures",
        lambda gradlab: gradlab.check_cached_pair(*_cure()),
        _cure_proof,
        "wrong",
        "the gradients of gamma and beta are returned in the other order",
        ("swapped-primals",),
        ("gamma", "beta"),
        "        return dout * dbeta, dout * dgamma\n",
        "        return dout * dgamma, dout * dbeta\n",
    ),
    Stranger(
        "t: ordered logit with log increments: step before the reversed cumsum",
        "(value, grad) with args",
        lambda gradlab: gradlab.check_gradient(ordered_logit, True, _ordered()[0], args=_ordered()[1:]),
        lambda: of_both(ordered_logit, *_ordered()),
        "wrong",
        "the slope of exp is multiplied in before the reversed cumulative sum, not after it",
        ("wrong-order",),
        ("theta",),
        "    dcuts[1:] *= step\n    ddelta = np.cumsum(dcuts[::-1])[::-1]\n",
        "    ddelta = np.cumsum(dcuts[::-1])[::-1].copy()\n    ddelta[1:] *= step\n",
    ),
]
