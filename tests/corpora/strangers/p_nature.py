"""Ecology, genetics, point processes, state-space models."""

import numpy as np
from scipy.special import expit, gammaln, logsumexp

from ._entry import Stranger
from ._help_p import jacobian, pairs


def nmixture(y, X, K=30):
    """Royle (2004): repeated counts y (sites, visits) of an unknown abundance N ~ Poisson."""
    N = np.arange(K + 1)
    J = y.shape[1]
    ok = N[None, :] >= y.max(axis=1)[:, None]
    comb = np.where(
        ok,
        J * gammaln(N + 1.0)
        - gammaln(y + 1.0).sum(axis=1)[:, None]
        - gammaln(np.maximum(N[None, None, :] - y[:, :, None], 0) + 1.0).sum(axis=1),
        -np.inf,
    )

    def fg(par):
        beta, alpha = par[:-1], par[-1]
        lam, p = np.exp(X @ beta), expit(alpha)
        s = y.sum(axis=1)
        ll = comb + N * np.log(lam)[:, None] - lam[:, None] - gammaln(N + 1.0)
        ll = ll + s[:, None] * np.log(p) + (J * N[None, :] - s[:, None]) * np.log1p(-p)
        tot = logsumexp(ll, axis=1)
        EN = np.exp(ll - tot[:, None]) @ N
        return -tot.sum(), -np.append(X.T @ (EN - lam), (s - J * p * EN).sum())

    return fg


class Hawkes:
    def __init__(self, times, horizon):
        self.times = times
        self.horizon = horizon

    def __call__(self, logpar):
        mu, alpha, beta = np.exp(logpar)
        val, g_mu, g_al, g_be = mu * self.horizon, self.horizon, 0.0, 0.0
        A = dA = 0.0
        last = None
        for t in self.times:
            if last is not None:
                lag = t - last
                e = np.exp(-beta * lag)
                A, dA = e * (1 + A), e * (dA - lag * (1 + A))
            lam = mu + alpha * A
            val -= np.log(lam)
            g_mu -= 1 / lam
            g_al -= A / lam
            g_be -= alpha * dA / lam
            # compensator
            rest = self.horizon - t
            d = np.exp(-beta * rest)
            val += alpha / beta * (1 - d)
            g_al += (1 - d) / beta
            g_be += alpha * (rest * d / beta - (1 - d) / beta**2)
            last = t
        return val, np.array([g_mu * mu, g_al * alpha, g_be * beta])


class CormackJollySeber:
    """Survival phi_t and recapture p_t from capture histories (0/1), all on the logit scale."""

    def __init__(self, hist):
        T = hist.shape[1]
        first = hist.argmax(1)
        last = T - 1 - hist[:, ::-1].argmax(1)
        t = np.arange(T)
        between = (t > first[:, None]) & (t <= last[:, None])
        self.alive = between[:, 1:].sum(0)
        self.seen = (between & (hist == 1))[:, 1:].sum(0)
        self.missed = (between & (hist == 0))[:, 1:].sum(0)
        self.final = np.bincount(last, minlength=T)
        self.T = T

    def _split(self, theta):
        phi, p = expit(theta).reshape(2, -1)
        chi = np.ones(self.T)
        for t in range(self.T - 2, -1, -1):
            chi[t] = 1 - phi[t] + phi[t] * (1 - p[t]) * chi[t + 1]
        return phi, p, chi

    def negloglik(self, theta):
        phi, p, chi = self._split(theta)
        ll = self.alive @ np.log(phi) + self.seen @ np.log(p) + self.missed @ np.log(1 - p)
        return -(ll + self.final @ np.log(chi))

    def score(self, theta):
        phi, p, chi = self._split(theta)
        g_phi = self.alive / phi
        g_p = self.seen / p - self.missed / (1 - p)
        g_chi = self.final / chi
        for t in range(self.T - 1):
            g_phi[t] += g_chi[t] * ((1 - p[t]) * chi[t + 1] - 1)
            g_p[t] -= g_chi[t] * phi[t] * chi[t + 1]
            g_chi[t + 1] += g_chi[t] * phi[t] * (1 - p[t])
        return -np.concatenate([g_phi * phi * (1 - phi), g_p * p * (1 - p)])


def abo_freq(theta):
    e = np.exp(np.append(theta, 0.0))
    return e / e.sum()


def abo_nll(theta, nA, nB, nAB, nO):
    p, q, r = abo_freq(theta)
    return -(
        nA * np.log(p * p + 2 * p * r)
        + nB * np.log(q * q + 2 * q * r)
        + nAB * np.log(2 * p * q)
        + 2 * nO * np.log(r)
    )


def abo_jac(theta, nA, nB, nAB, nO):
    f = p, q, r = abo_freq(theta)
    d = np.array(
        [
            nA * (2 * p + 2 * r) / (p * p + 2 * p * r) + nAB / p,
            nB * (2 * q + 2 * r) / (q * q + 2 * q * r) + nAB / q,
            2 * nA / (p + 2 * r) + 2 * nB / (q + 2 * r) + 2 * nO / r,
        ]
    )
    return -(f * (d - f @ d))[:2]


def local_level_forward(y, log_q, log_r, P0=4.0):
    """Kalman filter of a random walk seen with noise; returns the negative log-likelihood (no constants)."""
    q, r = np.exp(log_q), np.exp(log_r)
    a, P, nll, tape = 0.0, P0, 0.0, []
    for obs in y:
        F, v = P + r, obs - a
        K = P / F
        tape.append((P, F, v, K))
        nll = nll + 0.5 * (np.log(F) + v * v / F)
        a, P = a + K * v, P * (1 - K) + q
    return nll, (tape, q, r)


def local_level_backward(dnll, cache):
    tape, q, r = cache
    gy = np.zeros(len(tape))
    ga = gP = gq = gr = 0.0
    for t in range(len(tape) - 1, -1, -1):
        P, F, v, K = tape[t]
        gq = gq + gP
        gK = ga * v - gP * P
        gv = ga * K + dnll * v / F
        gF = 0.5 * dnll * (1 / F - (v / F) ** 2) - gK * P / F**2
        gP = gP * (1 - K) + gK / F + gF
        gr = gr + gF
        gy[t] = gv
        ga = ga - gv
    return gy, gq * q, gr * r


class VonBertalanffy:
    def __init__(self, age, length):
        self.age, self.length = age, length

    def residuals(self, par):
        Linf, k, t0 = par
        return Linf * (1 - np.exp(-k * (self.age - t0))) - self.length

    def jac(self, par):
        Linf, k, t0 = par
        e = np.exp(-k * (self.age - t0))
        J = np.empty((self.age.size, 3))
        J[:, 0] = 1 - e
        J[:, 1] = Linf * (self.age - t0) * e
        J[:, 2] = Linf * k * e
        return J


class LeslieProjection:
    """n[t+1] = L n[t]: fecundities in the first row, survivals below the diagonal."""

    def __init__(self, fec, surv, years):
        self.fec, self.surv, self.years = fec, surv, years

    def forward(self, n0):
        self.traj = [n0]
        for _ in range(self.years):
            n = self.traj[-1]
            self.traj.append(np.concatenate([[self.fec @ n], self.surv * n[:-1]]))
        return np.array(self.traj[1:])

    def backward(self, dout):
        self.d_fec = np.zeros_like(self.fec)
        self.d_surv = np.zeros_like(self.surv)
        carry = np.zeros_like(self.fec)
        for n, d in zip(self.traj[-2::-1], dout[::-1], strict=True):
            g = carry + d
            self.d_fec += g[0] * n
            self.d_surv += g[:-1] * n[:-1]
            carry = g[0] * self.fec
            carry[:-1] += g[1:] * self.surv
        return carry


class OccupancyLoss:
    """Detected or not on J visits; the site effect u drives both presence and calling."""

    def __init__(self, n_sites, rng):
        self.params = dict(a=np.array([0.4]), b=np.array([-0.3]), u=0.5 * rng.standard_normal(n_sites))
        self.grads = {}

    def forward(self, y):
        self.d, self.J = y.sum(axis=1), y.shape[1]
        self.psi = expit(self.params["a"] + self.params["u"])
        self.p = expit(self.params["b"] + self.params["u"])
        there = self.psi * self.p**self.d * (1 - self.p) ** (self.J - self.d)
        lik = there + (1 - self.psi) * (self.d == 0)
        self.post = there / lik
        return -np.log(lik).sum()

    def backward(self):
        d_psi = self.psi - self.post
        d_p = self.post * (self.J * self.p - self.d)
        self.grads["a"] = d_psi.sum(keepdims=True)
        self.grads["u"] = d_psi
        self.grads["b"] = d_p.sum(keepdims=True)
        self.grads["u"] = d_p
        return None


class HoltFilter:
    def __init__(self, alpha, beta):
        self.alpha = np.array([alpha])
        self.beta = np.array([beta])
        self.grad_alpha = self.grad_beta = None

    def forward(self, y):
        al, be = self.alpha[0], self.beta[0]
        self.y = y
        self.l, self.b = np.zeros(len(y)), np.zeros(len(y))
        self.l[0] = y[0]
        for t in range(1, len(y)):
            self.l[t] = al * y[t] + (1 - al) * (self.l[t - 1] + self.b[t - 1])
            self.b[t] = be * (self.l[t] - self.l[t - 1]) + (1 - be) * self.b[t - 1]
        return self.l + self.b

    def backward(self, dout):
        al, be = self.alpha[0], self.beta[0]
        l, b, dy = self.l, self.b, np.zeros_like(self.y)
        d_al = d_be = gl = gb = 0.0
        for t in range(len(dy) - 1, 0, -1):
            gl += dout[t]
            gb += dout[t - 1]
            d_be += gb * (l[t] - l[t - 1] - b[t - 1])
            gl += be * gb
            d_al += gl * (self.y[t] - l[t - 1] - b[t - 1])
            dy[t] = al * gl
            gl, gb = (1 - al) * gl - be * gb, (1 - al) * gl + (1 - be) * gb
        dy[0] = gl + dout[0]
        self.grad_alpha, self.grad_beta = np.array([d_al]), np.array([d_be])
        return dy


class BreedingValues:
    """Adds the sire's value to each record: out = x + u[sire]."""

    def __init__(self, u):
        self.u = u
        self.du = np.zeros_like(u)

    def forward(self, x, sire):
        self.sire = sire
        return x + self.u[sire][:, None]

    def backward(self, dout):
        np.add.at(self.du, self.sire, dout.sum(axis=1))
        return dout.copy()


R = np.random.default_rng


def frogs():
    r = R(0)
    X = np.c_[np.ones(8), r.standard_normal((8, 2))]
    return nmixture(r.binomial(r.poisson(4, 8)[:, None], 0.5, (8, 3)), X), np.array([1.2, 0.3, -0.2, 0.1])


def quakes():
    return Hawkes(np.sort(R(1).uniform(0, 20, 25)), 20.0), np.log([0.6, 0.5, 1.3])


def marks():
    r = R(2)
    hist = (r.random((40, 6)) < 0.45).astype(int)
    hist = hist[hist.sum(1) > 0]
    return CormackJollySeber(hist), r.normal(0.3, 0.6, 10)


def call_marks(gradlab):
    m, theta = marks()
    return gradlab.check_gradient(m.negloglik, m.score, theta)


def prove_marks():
    m, theta = marks()
    return pairs([m.score(theta)], lambda: m.negloglik(theta), theta)


ABO = (np.array([0.2, -0.9]), (186, 38, 13, 284))


def level():
    return R(3).standard_normal(12).cumsum(), np.array(-0.7), np.array(0.2)


def prove_level():
    y, q, r = level()
    claimed = local_level_backward(1.0, local_level_forward(y, q, r)[1])
    return pairs(claimed, lambda: local_level_forward(y, q, r)[0], y, q, r)


def fish():
    age = np.arange(1.0, 11.0)
    length = 60 * (1 - np.exp(-0.3 * age)) + R(4).standard_normal(10)
    return VonBertalanffy(age, length), np.array([55.0, 0.25, -0.4])


def call_fish(gradlab):
    m, par = fish()
    return gradlab.check_jacobian(m.residuals, m.jac, par)


def prove_fish():
    m, par = fish()
    return [(m.jac(par)[:, k], jacobian(m.residuals, par, h=1e-4)[:, k]) for k in range(3)]


def leslie():
    fec, surv = np.array([0.0, 0.8, 1.5, 0.6]), np.array([0.5, 0.7, 0.4])
    return LeslieProjection(fec, surv, 5), np.array([9.0, 4, 2, 1])


def prove_leslie():
    m, n0 = leslie()
    g = R(5).standard_normal(m.forward(n0).shape)
    claimed = [m.backward(g), m.d_fec, m.d_surv]
    return pairs(claimed, lambda: np.sum(g * m.forward(n0)), n0, m.fec, m.surv)


def occupancy():
    r = R(6)
    return OccupancyLoss(9, r), (r.random((9, 4)) < 0.3).astype(int)


def prove_occupancy():
    m, y = occupancy()
    m.forward(y)
    m.backward()
    return pairs([m.grads[k] for k in m.params], lambda: m.forward(y), *m.params.values())


def holt():
    return HoltFilter(0.4, 0.25), R(7).standard_normal(11).cumsum() + 5


def prove_holt():
    m, y = holt()
    g = R(8).standard_normal(11)
    m.forward(y)
    return pairs([m.backward(g), m.grad_alpha, m.grad_beta], lambda: g @ m.forward(y), y, m.alpha, m.beta)


def sires():
    r = R(9)
    return BreedingValues(r.standard_normal(4)), r.standard_normal((7, 3)), np.array([0, 2, 2, 1, 0, 3, 2])


def prove_fg(make):
    f, x = make()
    return pairs([f(x)[1]], lambda: f(x)[0], x)


ENTRIES = [
    Stranger(
        "p N-mixture abundance",
        "closure, value and grad",
        lambda gradlab: gradlab.check_gradient(frogs()[0], True, frogs()[1]),
        lambda: prove_fg(frogs),
    ),
    Stranger(
        "p Hawkes process",
        "callable object, value and grad",
        lambda gradlab: gradlab.check_gradient(quakes()[0], True, quakes()[1]),
        lambda: prove_fg(quakes),
    ),
    Stranger("p Cormack-Jolly-Seber", "f and grad as methods", call_marks, prove_marks),
    Stranger(
        "p ABO blood groups",
        "f and jac with args",
        lambda gradlab: gradlab.check_gradient(abo_nll, abo_jac, ABO[0].copy(), args=ABO[1]),
        lambda: pairs([abo_jac(ABO[0], *ABO[1])], lambda: abo_nll(ABO[0], *ABO[1]), ABO[0]),
    ),
    Stranger(
        "p local level Kalman filter",
        "pair with cache, scalars",
        lambda gradlab: gradlab.check_cached_pair(local_level_forward, local_level_backward, level()),
        prove_level,
    ),
    Stranger(
        "p von Bertalanffy growth: the sign of t0",
        "residuals and Jacobian",
        call_fish,
        prove_fish,
        "wrong",
        "the column for t0 has the wrong sign",
        ("sign-flipped",),
        ("par",),
        "        J[:, 2] = Linf * k * e\n",
        "        J[:, 2] = -Linf * k * e\n",
    ),
    Stranger(
        "p Leslie projection: survival of the neighbouring class",
        "layer with attributes",
        lambda gradlab: gradlab.check_layer(*leslie()),
        prove_leslie,
        "wrong",
        "the slice of the cotangent is off by one age class",
        ("shifted", "wrong-operand", "wrong-cotangent"),
        ("surv",),
        "            self.d_surv += g[:-1] * n[:-1]",
        "            self.d_surv += g[1:] * n[:-1]",
    ),
    Stranger(
        "p occupancy: the shared effect is overwritten",
        "loss layer, params dict, integer data",
        lambda gradlab: gradlab.check_layer(*occupancy()),
        prove_occupancy,
        "wrong",
        "the site effect's second gradient overwrites the first instead of being added",
        ("last-write-wins", "missing-term"),
        ("u",),
        '        self.grads["u"] = d_p\n',
        '        self.grads["u"] = self.grads["u"] + d_p\n',
    ),
    Stranger(
        "p Holt filter: trend takes the cotangent of the step before",
        "layer with a recursion",
        lambda gradlab: gradlab.check_layer(*holt()),
        prove_holt,
        "wrong",
        "the trend's adjoint adds dout of the step before",
        ("wrong-cotangent", "shifted"),
        ("y", "alpha", "beta"),
        "            gb += dout[t - 1]",
        "            gb += dout[t]",
    ),
    Stranger(
        "p breeding values: adds to the last call's gradient",
        "layer with ids",
        lambda gradlab: gradlab.check_layer(*sires()),
        lambda: [],
        "habit",
        "du is never set to zero, so that a second backward adds to the first",
        ("accumulates",),
        ("u",),
        "        np.add.at(self.du, self.sire, dout.sum(axis=1))",
        "        self.du[:] = 0\n        np.add.at(self.du, self.sire, dout.sum(axis=1))",
    ),
]
