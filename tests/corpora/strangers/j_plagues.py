"""Epidemics, animals, enzymes, drugs: dynamics and their fits."""

from dataclasses import dataclass

import numpy as np
from scipy.special import gammaln

from . import _help_j as hj
from ._entry import Stranger

DT = 0.1


# ===== SIR by Euler steps, loss on the infected, adjoint backwards ==================================
def sir_loss(theta, data):
    beta, gamma = theta
    S, I = [0.95], [0.05]
    for _ in range(len(data)):
        new = DT * beta * S[-1] * I[-1]
        out = DT * gamma * I[-1]
        S.append(S[-1] - new)
        I.append(I[-1] + new - out)
    err = np.array(I[1:]) - data
    lS = lI = gb = gg = 0.0
    for t in reversed(range(len(data))):
        lI += 2 * err[t]
        gb += (lI - lS) * DT * S[t] * I[t]
        gg -= lI * DT * I[t]
        flow = DT * beta * (lI - lS)
        lS, lI = lS + flow * I[t], lI + flow * S[t] - DT * gamma * lI
    return np.sum(err**2), np.array([gb, gg])


CASES = np.array([0.06, 0.07, 0.1, 0.12, 0.13, 0.17, 0.2, 0.22, 0.26, 0.3])


# ===== SEIR sensitivities ==========================================================================
class SEIRFit:
    """residuals and sensitivities for scipy.optimize.least_squares; p = (beta, sigma, gamma)"""

    def __init__(self, obs):
        self.obs = obs

    def residuals(self, p):
        b, s, g = p
        y = np.array([0.9, 0.06, 0.04])
        r = []
        for o in self.obs:
            y = y + DT * np.array([-b * y[0] * y[2], b * y[0] * y[2] - s * y[1], s * y[1] - g * y[2]])
            r.append(y[2] - o)
        return np.array(r)

    def jac(self, p):
        b, s, g = p
        y = np.array([0.9, 0.06, 0.04])
        Z = np.zeros((3, 3))
        rows = []
        for _ in self.obs:
            old = y
            y = y + DT * np.array([-b * y[0] * y[2], b * y[0] * y[2] - s * y[1], s * y[1] - g * y[2]])
            F = np.array([[-b * old[2], 0, -b * old[0]], [b * old[2], -s, b * old[0]], [0, s, -g]])
            P = np.array([[-y[0] * y[2], 0, 0], [y[0] * y[2], -y[1], 0], [0, y[1], -y[2]]])
            Z = Z + DT * (F @ Z + P)
            rows.append(Z[2])
        return np.array(rows)


# ===== Michaelis-Menten with competitive inhibition ================================================
SUB = np.array([0.1, 0.3, 1.0, 3.0, 10.0, 0.3, 1.0, 3.0])
INH = np.array([0, 0, 0, 0, 0, 2.0, 2.0, 2.0])
RATE = np.array([0.2, 0.5, 1.1, 1.6, 1.9, 0.25, 0.6, 1.2])


def mm(p):
    vmax, km, ki = p
    app = km * (1 + INH / ki)
    den = app + SUB
    v = vmax * SUB / den
    J = np.empty((len(SUB), 3))
    J[:, 0] = SUB / den
    J[:, 1] = -v / den * (1 + INH / ki)
    J[:, 2] = v / den * km * INH / ki**2
    return v - RATE, J


# ===== dose and response ============================================================================
DOSE = np.array([0.01, 0.05, 0.1, 0.5, 1, 5, 10.0])


def hill(p):
    top, ec50, n = p
    return top * DOSE**n / (ec50**n + DOSE**n)


def hill_jac(p):
    top, ec50, n = p
    f = DOSE**n / (ec50**n + DOSE**n)
    slope = top * f * (1 - f)
    return np.column_stack([f, slope * np.log(DOSE / ec50), -slope * n / ec50])


# ===== predator and prey, one implicit step =========================================================
@dataclass
class StepMemo:
    new: np.ndarray
    rates: np.ndarray
    h: float


def field(u, k):
    prey, pred = u
    return np.array([k[0] * prey - k[1] * prey * pred, k[2] * prey * pred - k[3] * pred])


def field_du(u, k):
    return np.array([[k[0] - k[1] * u[1], -k[1] * u[0]], [k[2] * u[1], k[2] * u[0] - k[3]]])


def implicit_step(u, k, h=0.2):
    v = u.copy()
    for _ in range(30):
        r = v - u - h * field(v, k)
        v = v - np.linalg.solve(np.eye(2) - h * field_du(v, k), r)
    return v, StepMemo(v, k.copy(), h)


def implicit_step_vjp(memo, g):
    v, k, h = memo.new, memo.rates, memo.h
    lam = np.linalg.solve((np.eye(2) - h * field_du(v, k)).T, g)
    xy = v[0] * v[1]
    dk = h * np.array([lam[0] * v[0], -lam[0] * xy, lam[1] * xy, -lam[1] * v[1]])
    return lam, dk


# ===== chain of reactions at rest ===================================================================
def steady_forward(feed, K):
    """concentrations c with  (K + I) c + 0.1 c^3 = feed"""
    A = K + np.eye(len(feed))
    c = np.linalg.solve(A, feed)
    for _ in range(40):
        c = c - np.linalg.solve(A + np.diag(0.3 * c**2), A @ c + 0.1 * c**3 - feed)
    return c, (A, c)


def steady_backward(dc, cache):
    A, c = cache
    J = A + np.diag(0.3 * c**2)
    lam = np.linalg.solve(J, dc)
    return lam, -np.outer(lam, c)


# ===== a tablet: Bateman's function =================================================================
HOURS = np.array([0.5, 1, 2, 4, 8, 12.0])
LEVELS = np.array([1.1, 1.9, 2.5, 2.3, 1.4, 0.8])


def bateman(q, t):
    ka, ke, v = q
    return 5 / v * ka / (ka - ke) * (np.exp(-ke * t) - np.exp(-ka * t))


def pk_sse(q):
    return np.sum((bateman(q, HOURS) - LEVELS) ** 2)


def pk_sse_prime(q):
    ka, ke, v = q
    slope = np.zeros(3)
    c = bateman(q, HOURS)
    for i in range(1, len(HOURS)):
        t, w = HOURS[i], 2 * (c[i] - LEVELS[i])
        pre = 5 / v * ka / (ka - ke)
        slope[0] += w * (c[i] / ka - c[i] / (ka - ke) + pre * t * np.exp(-ka * t))
        slope[1] += w * (c[i] / (ka - ke) - pre * t * np.exp(-ke * t))
        slope[2] -= w * c[i] / v
    return slope


# ===== R0 of a contact matrix =======================================================================
def r0_forward(contacts, suscept):
    M = suscept[:, None] * contacts
    val, right = np.linalg.eig(M)
    k = np.argmax(val.real)
    valT, left = np.linalg.eig(M.T)
    j = np.argmax(valT.real)
    return val[k].real, (contacts, suscept, right[:, k].real, left[:, j].real)


def r0_backward(saved, g):
    contacts, suscept, v, u = saved
    dM = g * np.outer(u, v)
    return dM * suscept[:, None], (dM * contacts).sum(1)


# ===== renewal equation =============================================================================
GEN = np.array([0.1, 0.3, 0.3, 0.2, 0.1])


def renewal(logR, counts):
    """Poisson log-likelihood of daily counts, up to sign, and its gradient in log R_t"""
    n = len(counts)
    force = np.array([sum(GEN[k] * counts[t - 1 - k] for k in range(min(5, t))) for t in range(1, n)])
    lam = np.exp(logR) * force
    obs = counts[1:]
    return float(np.sum(lam - obs * np.log(lam) + gammaln(obs + 1))), lam - obs


COUNTS = np.array([3, 4, 6, 9, 8, 12, 15.0])


# ===== length of fish ===============================================================================
AGE = np.array([1, 2, 3, 5, 7, 9, 12.0])
LEN = np.array([14.0, 23, 28, 41, 44, 51, 54])


def growth_misfit(par):
    linf, k, t0 = par
    return 0.5 * np.sum((LEN - linf * (1 - np.exp(-k * (AGE - t0)))) ** 2)


def growth_misfit_grad(par):
    linf, k, t0 = par
    e = np.exp(-k * (AGE - t0))
    r = linf * (1 - e) - LEN
    g_linf = np.sum(r * (1 - e))
    g_k = k * np.sum(r * linf * (AGE - t0) * e)
    g_t0 = -np.sum(r * linf * k * e)
    return np.array([g_linf, g_k, g_t0])


# ===== moths, year after year =======================================================================
def moths(n0, fertility):
    seq = [n0]
    for _ in range(6):
        seq.append(fertility * seq[-1] / (1 + seq[-1]))
    return np.stack(seq), (seq, fertility)


def moths_back(d, cache):
    seq, fertility = cache
    d_fert = np.zeros_like(fertility)
    lam = d[-1]
    for t in range(5, -1, -1):
        d_fert = lam * seq[t] / (1 + seq[t])
        lam = d[t] + lam * fertility / (1 + seq[t]) ** 2
    return lam, d_fert


class Thinning:
    """survivors = n * exp(-m); the mortality is the parameter"""

    def __init__(self, mortality):
        self.params = {"m": mortality}
        self.grads = {"m": np.zeros_like(mortality)}

    def forward(self, n):
        self.n = n
        self.alive = n * np.exp(-self.params["m"])
        return self.alive

    def backward(self, dout):
        self.grads["m"] += -(dout * self.alive).sum(axis=0)
        return dout * np.exp(-self.params["m"])


_OBS, _RATES = np.linspace(0.04, 0.2, 8), np.array([1.8, 0.9, 0.4])
_LOGR = np.array([0.3, 0.2, 0.4, 0.1, 0.0, 0.25])
_F = (np.array([1.0, 2.0, 0.5]), np.array([[0.5, 0.1, 0], [-0.4, 0.8, 0.2], [0, -0.5, 0.3]]))
_C = (np.array([[2.0, 0.5, 0.3], [0.7, 1.5, 0.2], [0.4, 0.1, 0.9]]), np.array([0.8, 1.0, 1.3]))
_LV = (np.array([1.5, 0.8]), np.array([1.1, 0.4, 0.3, 0.9]))
_N = (np.array([0.5, 2.0, 1.0]), np.array([1.5, 2.5, 3.0]))

ENTRIES = [
    Stranger(
        "SIR fit with an adjoint",
        "value and gradient",
        lambda gl: gl.check_gradient(sir_loss, True, np.array([2.5, 0.6]), args=(CASES,)),
        lambda: hj.both(sir_loss, [2.5, 0.6], CASES),
    ),
    Stranger(
        "SEIR sensitivities: parameters' slopes at the next state",
        "residuals and Jacobian of a class",
        lambda gl: gl.check_jacobian(*hj.methods(SEIRFit(_OBS), "residuals", "jac"), _RATES.copy()),
        lambda: hj.matrix(*hj.methods(SEIRFit(_OBS), "residuals", "jac"), _RATES),
        "wrong",
        "the derivative by the rates is taken at the new state and not at the old one",
        ("shifted",),
        ("jac",),
        "            P = np.array([[-y[0] * y[2], 0, 0], [y[0] * y[2], -y[1], 0], [0, y[1], -y[2]]])\n",
        "            P = np.array([[-old[0] * old[2], 0, 0], [old[0] * old[2], -old[1], 0],"
        " [0, old[1], -old[2]]])\n",
    ),
    Stranger(
        "Michaelis-Menten with an inhibitor",
        "residuals and Jacobian from one function",
        lambda gl: gl.check_jacobian(mm, True, np.array([2.0, 0.9, 1.5])),
        lambda: hj.matrix(lambda p: mm(p)[0], lambda p: mm(p)[1], [2.0, 0.9, 1.5]),
    ),
    Stranger(
        "Hill curve: columns of EC50 and n exchanged",
        "Jacobian",
        lambda gl: gl.check_jacobian(hill, hill_jac, np.array([2.0, 0.4, 1.3])),
        lambda: hj.matrix(hill, hill_jac, [2.0, 0.4, 1.3]),
        "wrong",
        "the columns of ec50 and of n are exchanged",
        ("columns-exchanged",),
        ("jac",),
        "    return np.column_stack([f, slope * np.log(DOSE / ec50), -slope * n / ec50])\n",
        "    return np.column_stack([f, -slope * n / ec50, slope * np.log(DOSE / ec50)])\n",
    ),
    Stranger(
        "Implicit Euler step of predator and prey",
        "vjp with a dataclass",
        lambda gl: gl.check_vjp(implicit_step, implicit_step_vjp, (_LV[0].copy(), _LV[1].copy())),
        lambda: hj.vjp(implicit_step, implicit_step_vjp, *_LV),
    ),
    Stranger(
        "Reactions at rest: solve without the transpose",
        "pair with cache, implicit",
        lambda gl: gl.check_cached_pair(steady_forward, steady_backward, (_F[0].copy(), _F[1].copy())),
        lambda: hj.pair(steady_forward, steady_backward, _F),
        "wrong",
        "the adjoint system is solved with the Jacobian and not with its transpose",
        ("transposed",),
        ("feed", "K"),
        "    lam = np.linalg.solve(J, dc)\n",
        "    lam = np.linalg.solve(J.T, dc)\n",
    ),
    Stranger(
        "Tablet's sum of squares: loop begins at one",
        "f and grad",
        lambda gl: gl.check_gradient(pk_sse, pk_sse_prime, np.array([0.9, 0.2, 1.4])),
        lambda: hj.scalar(pk_sse, pk_sse_prime, [0.9, 0.2, 1.4]),
        "wrong",
        "the loop over the samples begins at the second one",
        ("missing-term",),
        ("q",),
        "    for i in range(1, len(HOURS)):\n",
        "    for i in range(len(HOURS)):\n",
    ),
    Stranger(
        "R0 of a contact matrix: eigenvectors not normalised",
        "vjp",
        lambda gl: gl.check_vjp(r0_forward, r0_backward, (_C[0].copy(), _C[1].copy())),
        lambda: hj.vjp(r0_forward, r0_backward, *_C),
        "wrong",
        "the division by the product of the left and the right eigenvector is missing",
        ("constant-factor", "sign-flipped"),
        ("contacts", "suscept"),
        "    dM = g * np.outer(u, v)\n",
        "    dM = g * np.outer(u, v) / (u @ v)\n",
    ),
    Stranger(
        "Renewal equation's Poisson likelihood",
        "value and gradient",
        lambda gl: gl.check_gradient(renewal, True, _LOGR.copy(), args=(COUNTS,)),
        lambda: hj.both(renewal, _LOGR, COUNTS),
    ),
    Stranger(
        "Growth of fish: slope by log k",
        "f and grad",
        lambda gl: gl.check_gradient(growth_misfit, growth_misfit_grad, np.array([58.0, 0.21, -0.4])),
        lambda: hj.scalar(growth_misfit, growth_misfit_grad, [58.0, 0.21, -0.4]),
        "wrong",
        "k's derivative is the one by log k",
        ("log-parameter", "constant-factor", "single-element"),
        ("par",),
        "    g_k = k * np.sum(r * linf * (AGE - t0) * e)\n",
        "    g_k = np.sum(r * linf * (AGE - t0) * e)\n",
    ),
    Stranger(
        "Moths through the years: fertility's gradient of the first year only",
        "pair with cache",
        lambda gl: gl.check_cached_pair(moths, moths_back, (_N[0].copy(), _N[1].copy())),
        lambda: hj.pair(moths, moths_back, _N),
        "wrong",
        "the gradient of the shared fertility is overwritten at every step instead of added up",
        ("last-write-wins", "missing-term"),
        ("fertility",),
        "        d_fert = lam * seq[t] / (1 + seq[t])\n",
        "        d_fert = d_fert + lam * seq[t] / (1 + seq[t])\n",
    ),
    Stranger(
        "Thinning: mortality's gradient is never cleared",
        "layer with dicts",
        lambda gl: gl.check_layer(Thinning(np.array([0.3, 0.8])), np.array([[5.0, 2], [1, 4], [3, 3.5]])),
        lambda: [],
        "habit",
        "backward adds to the gradients of the call before",
        ("accumulates",),
        ("m",),
    ),
]
