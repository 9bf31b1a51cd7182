"""Adjoints: solvers, time steppers, optima."""

import numpy as np
from scipy.linalg import solve_banded

from ._entry import Stranger
from ._help_h import of_pair, of_scalar


# ---- Kepler's equation by Newton ----
def kepler(M, ecc):
    """Eccentric anomaly: E - e sin E = M"""
    E = M + ecc * np.sin(M)
    for _ in range(50):
        step = (E - ecc * np.sin(E) - M) / (1 - ecc * np.cos(E))
        E = E - step
        if np.abs(step).max() < 1e-15:
            break
    return E, (E, ecc)


def kepler_vjp(saved, g):
    E, ecc = saved
    lam = g / (1 - ecc * np.cos(E))
    return lam, lam * np.sin(E)


# ---- ridge regression as a layer (differentiable least squares) ----
class RidgeSolve:
    def forward(self, A, y, log_reg):
        self.A, self.reg = A, np.exp(log_reg)
        self.N = A.T @ A + self.reg * np.eye(A.shape[1])
        self.w = np.linalg.solve(self.N, A.T @ y)
        self.y = y
        return self.w

    def backward(self, dw):
        lam = np.linalg.solve(self.N, dw)
        r = self.y - self.A @ self.w
        dA = np.outer(r, lam) - np.outer(self.A @ lam, self.w)
        return dA, self.A @ lam, -self.reg * (lam @ self.w)


def _ridge_data():
    rng = np.random.default_rng(150)
    return rng.standard_normal((6, 3)), rng.standard_normal(6), np.array(-0.5)


# ---- RK4, discrete adjoint, parameters of logistic growth with harvest ----
def _f(y, p):
    r, K, h = p
    return r * y * (1 - y / K) - h * y


def _fy(y, p):
    r, K, h = p
    return r * (1 - 2 * y / K) - h


def _fp(y, p):
    r, K, h = p
    return np.array([y * (1 - y / K), r * y**2 / K**2, -y])


def fit_growth(p, y0, dt, data):
    """Half the squared misfit and its gradient by the discrete adjoint of RK4."""
    ys, stages = [y0], []
    for _ in data[1:]:
        y = ys[-1]
        k1 = _f(y, p)
        k2 = _f(y + dt / 2 * k1, p)
        k3 = _f(y + dt / 2 * k2, p)
        k4 = _f(y + dt * k3, p)
        stages.append((y, y + dt / 2 * k1, y + dt / 2 * k2, y + dt * k3))
        ys.append(y + dt / 6 * (k1 + 2 * k2 + 2 * k3 + k4))
    res = np.array(ys) - data
    lam, grad = 0.0, np.zeros(3)
    for n in range(len(data) - 1, 0, -1):
        lam = lam + res[n]
        s1, s2, s3, s4 = stages[n - 1]
        m4 = lam * dt / 6
        m3 = lam * dt / 3 + m4 * dt * _fy(s4, p)
        m2 = lam * dt / 3 + m3 * dt / 2 * _fy(s3, p)
        m1 = lam * dt / 6 + m2 * dt / 2 * _fy(s2, p)
        for m, s in ((m1, s1), (m2, s2), (m3, s3), (m4, s4)):
            grad += m * _fp(s, p)
        lam = lam + m1 * _fy(s1, p) + m2 * _fy(s2, p) + m3 * _fy(s3, p) + m4 * _fy(s4, p)
    return 0.5 * res @ res, grad


def _fishery():
    t = np.arange(12)
    return np.array([0.9, 5.0, 0.1]), (0.5, 0.4, 4.0 / (1 + 6 * np.exp(-0.35 * t)))


# ---- implicit Euler for heat, conductivity on the faces ----
def heat_forward(u0, k, steps=4, dt=0.3):
    n = len(u0)
    off = -dt * k
    ab = np.zeros((3, n))
    ab[0, 1:], ab[2, :-1], ab[1] = off, off, 1.0
    ab[1, :-1] -= off
    ab[1, 1:] -= off
    us = [u0]
    for _ in range(steps):
        us.append(solve_banded((1, 1), ab, us[-1]))
    return us[-1].copy(), (us, ab, dt)


def heat_backward(g, cache):
    us, ab, dt = cache
    dk = np.zeros(len(g) - 1)
    lam = g
    for u in us[:0:-1]:
        lam = solve_banded((1, 1), ab, lam)  # the matrix is symmetric
        dk -= dt * np.diff(lam) * np.diff(u)
    return lam, dk


# ---- optimal control of a double integrator by costates ----
class Docking:
    A = np.array([[1.0, 0.1], [0.0, 1.0]])
    B = np.array([0.005, 0.1])
    Q, Qf, R = np.diag([1.0, 0.1]), np.diag([20.0, 5.0]), 0.05

    def __init__(self, x0):
        self.x0 = x0
        self.last = None, None

    def rollout(self, u):
        """J and dJ are asked at the same u one after the other, so the last states are kept."""
        if self.last[0] is not None and np.array_equal(self.last[0], u):
            return self.last[1]
        xs = [self.x0]
        for ui in u:
            xs.append(self.A @ xs[-1] + self.B * ui)
        self.last = u.copy(), xs
        return xs

    def J(self, u):
        *xs, xT = self.rollout(u)
        return 0.5 * (sum(x @ self.Q @ x for x in xs) + xT @ self.Qf @ xT + self.R * u @ u)

    def dJ(self, u):
        xs = self.rollout(u)
        lam = self.Qf @ xs[-1]
        g = self.R * u
        for k in range(len(u) - 1, -1, -1):
            g[k] += self.B @ lam
            lam = self.A.T @ lam + self.Q @ xs[k]
        return g


# ---- entropic optimal transport: the plan is the gradient ----
def sinkhorn_cost(C, a, b, eps=0.5, iters=5000):
    f, g = np.zeros(len(a)), np.zeros(len(b))
    for _ in range(iters):
        f = -eps * np.log((np.exp((g[None] - C) / eps) * b[None]).sum(1))
        old, g = g, -eps * np.log((np.exp((f[:, None] - C) / eps) * a[:, None]).sum(0))
        if np.abs(g - old).max() < 1e-14:
            break
    P = a[:, None] * b[None] * np.exp((f[:, None] + g[None] - C) / eps)
    return f @ a + g @ b, P


def _marginals():
    rng = np.random.default_rng(153)
    return rng.uniform(0, 2, (4, 5)), (np.array([0.1, 0.4, 0.3, 0.2]), np.full(5, 0.2))


# ======================== one mistake each ========================
def gene_steady_state(W, u):
    """Expression levels with x = sigmoid(W x + u)."""
    x = np.full(len(u), 0.5)
    for _ in range(300):
        x = 1 / (1 + np.exp(-(W @ x + u)))
    return x, (x.copy(), W)


def gene_steady_state_back(g, cache):
    x, W = cache
    s = x * (1 - x)
    J = s[:, None] * W
    lam = np.linalg.solve(np.eye(len(x)) - J, g)
    du = lam * s
    return {"W": np.outer(du, x), "u": du}


def _genes():
    rng = np.random.default_rng(154)
    return rng.standard_normal((5, 5)) * 1.2, rng.standard_normal(5) * 0.5


def leapfrog(q, p, steps=6, h=0.15):
    """Pendulums, H = p^2/2 - cos q; drift, kick, drift."""
    mids = []
    for _ in range(steps):
        q = q + h / 2 * p
        mids.append(q)
        p = p - h * np.sin(q)
        q = q + h / 2 * p
    return (q, p), (mids, h)


def leapfrog_vjp(res, g):
    mids, h = res
    gq, gp = g
    for k in reversed(range(len(mids))):
        gp = gp + h / 2 * gq
        gq = gq - h * np.cos(mids[k - 1]) * gp
        gp = gp + h / 2 * gq
    return gq, gp


def sir_cost(beta, data, gamma=0.3, dt=0.5, init=(0.95, 0.05)):
    """Transmission rate beta changes every three steps."""
    S, I = init
    out = 0.0
    for n in range(len(data)):
        new = dt * beta[n // 3] * S * I
        S, I = S - new, I + new - dt * gamma * I
        out += 0.5 * (I - data[n]) ** 2
    return out


def sir_gradient(beta, data, gamma=0.3, dt=0.5, init=(0.95, 0.05)):
    S, I = [init[0]], [init[1]]
    for n in range(len(data)):
        new = dt * beta[n // 3] * S[-1] * I[-1]
        S.append(S[-1] - new)
        I.append(I[-1] + new - dt * gamma * I[-1])
    lS = lI = 0.0
    grad = np.zeros(len(beta))
    for n in range(len(data) - 1, -1, -1):
        lI = lI + I[n + 1] - data[n]
        m = lI - lS
        grad[n // 3] = m * dt * S[n] * I[n]
        lS, lI = (
            lS + m * dt * beta[n // 3] * I[n],
            lI * (1 - dt * gamma) + m * dt * beta[n // 3] * S[n],
        )
    return grad


def _cases():
    return np.array([0.9, 0.7, 0.4, 0.6]), (0.05 + 0.1 * np.sin(np.arange(12) / 4) ** 2,)


class Permeability:
    """Darcy flow in 1-D: -(exp(m) p')' = source, p = 0 at the ends; misfit of pressures at the wells."""

    def __init__(self, n, wells, observed):
        self.n, self.wells, self.observed = n, wells, observed
        self.D = np.diff(np.eye(n + 2), axis=0)[:, 1:-1] * (n + 1)
        self.source = 1 + np.linspace(0, 1, n)

    def solve(self, m):
        K = self.D.T @ (np.exp(m)[:, None] * self.D)
        return K, np.linalg.solve(K, self.source)

    def misfit(self, m):
        _, p = self.solve(m)
        return 0.5 * np.sum((p[self.wells] - self.observed) ** 2)

    def misfit_gradient(self, m):
        K, p = self.solve(m)
        rhs = np.zeros(self.n)
        rhs[self.wells] = p[self.wells] - self.observed
        adj = np.linalg.solve(K.T, rhs)
        return np.exp(m) * (self.D @ p) * (self.D @ adj)


def _wells():
    return Permeability(7, [1, 3, 6], np.array([0.1, 0.2, 0.05])), 0.4 * np.sin(np.arange(8.0))


def val_loss(log_alpha, Xtr, ytr, Xva, yva):
    """Hyper-gradient of the validation error with respect to one log penalty per feature."""
    H = Xtr.T @ Xtr + np.diag(np.exp(log_alpha))
    w = np.linalg.solve(H, Xtr.T @ ytr)
    r = Xva @ w - yva
    q = np.linalg.solve(H, Xva.T @ r)
    hyper = -np.exp(log_alpha) * w * q
    return np.mean(r**2), hyper / len(r)


def _folds():
    rng = np.random.default_rng(157)
    X, w = rng.standard_normal((18, 4)), np.array([1.0, -0.5, 0.0, 2.0])
    y = X @ w + 0.3 * rng.standard_normal(18)
    return np.array([0.1, -0.5, 0.7, 0.3]), (X[:12], y[:12], X[12:], y[12:])


def _object(make, f, g):
    def use(check):
        o, x = make()
        return check(getattr(o, f), getattr(o, g), x)

    return lambda gradlab: use(gradlab.check_gradient), lambda: use(of_scalar)


def _use(f, grad, make):
    return (
        lambda gradlab: gradlab.check_gradient(f, grad, make()[0], args=make()[1]),
        lambda: of_scalar(f, grad, *make()),
    )


def _ridge_truth():
    layer = RidgeSolve()
    return of_pair(lambda *a: (layer.forward(*a), None), lambda g, _: layer.backward(g), _ridge_data())


def _rod_of_iron():
    return np.sin(np.arange(8.0)) + 1, np.array([0.5, 1.0, 2.0, 0.3, 0.8, 1.5, 1.0])


def _planets():
    return np.array([0.3, 1.2, 2.5, -0.8]), np.array([0.1, 0.4, 0.6, 0.2])


def _pendulums():
    return np.array([0.5, 1.4, -0.9]), np.array([0.3, -0.2, 1.0])


ENTRIES = [
    Stranger(
        "Kepler's equation, solved by Newton",
        "Newton's root, vjp by the implicit function",
        lambda gradlab: gradlab.check_vjp(kepler, kepler_vjp, _planets()),
        lambda: of_pair(kepler, kepler_vjp, _planets(), first=True),
    ),
    Stranger(
        "ridge regression as a layer",
        "layer with three inputs",
        lambda gradlab: gradlab.check_layer(RidgeSolve(), *_ridge_data()),
        _ridge_truth,
    ),
    Stranger(
        "logistic growth by RK4", "value and discrete adjoint in one", *_use(fit_growth, True, _fishery)
    ),
    Stranger(
        "heat by implicit Euler",
        "pair with cache, banded solves",
        lambda gradlab: gradlab.check_cached_pair(heat_forward, heat_backward, _rod_of_iron()),
        lambda: of_pair(heat_forward, heat_backward, _rod_of_iron()),
    ),
    Stranger(
        "docking by costates",
        "object with J and dJ that remembers its last states",
        *_object(lambda: (Docking(np.array([1.0, -0.5])), np.sin(np.arange(15.0))), "J", "dJ"),
    ),
    Stranger("entropic transport cost", "value and plan in one", *_use(sinkhorn_cost, True, _marginals)),
    Stranger(
        "steady state of a gene network: the adjoint's matrix",
        "pair with cache, dict of gradients",
        lambda gradlab: gradlab.check_cached_pair(gene_steady_state, gene_steady_state_back, _genes()),
        lambda: of_pair(gene_steady_state, gene_steady_state_back, _genes(), ("W", "u")),
        "wrong",
        "the adjoint equation is solved with the Jacobian and not with its transpose",
        ("transposed",),
        ("W", "u"),
        "    lam = np.linalg.solve(np.eye(len(x)) - J, g)\n",
        "    lam = np.linalg.solve(np.eye(len(x)) - J.T, g)\n",
    ),
    Stranger(
        "leapfrog: positions of the step before",
        "vjp pair with two outputs",
        lambda gradlab: gradlab.check_vjp(leapfrog, leapfrog_vjp, _pendulums()),
        lambda: of_pair(leapfrog, leapfrog_vjp, _pendulums(), first=True),
        "wrong",
        "the kick's slope is taken at the positions of the step before",
        ("shifted", "wrong-order"),
        ("q", "p"),
        "        gq = gq - h * np.cos(mids[k - 1]) * gp\n",
        "        gq = gq - h * np.cos(mids[k]) * gp\n",
    ),
    Stranger(
        "SIR with a rate for every three steps: the rate's share",
        "f and grad with args",
        *_use(sir_cost, sir_gradient, _cases),
        "wrong",
        "a rate that serves three steps gets the gradient of one of them and not the sum",
        ("last-write-wins",),
        ("beta",),
        "        grad[n // 3] = m * dt * S[n] * I[n]\n",
        "        grad[n // 3] += m * dt * S[n] * I[n]\n",
    ),
    Stranger(
        "Darcy flow: the adjoint's sign",
        "object with misfit and gradient",
        *_object(_wells, "misfit", "misfit_gradient"),
        "wrong",
        "the adjoint's minus sign is forgotten",
        ("sign-flipped",),
        ("m",),
        "        adj = np.linalg.solve(K.T, rhs)\n",
        "        adj = -np.linalg.solve(K.T, rhs)\n",
    ),
    Stranger(
        "penalties by validation error: the 2 of the square",
        "value and hyper-gradient in one",
        *_use(val_loss, True, _folds),
        "wrong",
        "the 2 of the mean square's derivative is forgotten",
        ("constant-factor",),
        ("log_alpha",),
        "    hyper = -np.exp(log_alpha) * w * q\n",
        "    hyper = -2 * np.exp(log_alpha) * w * q\n",
    ),
]
