"""Things that swing, drive, roll, bounce and are steered."""

import numpy as np

from ._entry import Stranger
from ._help_q import columns, pairs


# ---------------------------------------------------------------- one RK4 step of a damped, driven pendulum
def pendulum(th, om, p):
    return om, -p[0] * om - p[1] * np.sin(th) + p[2]


def pendulum_T(th, om, p, a, b):
    """transpose of the linearised right-hand side: (a, b) are the cotangents of (th', om')"""
    dp = np.array([-np.sum(b * om), -np.sum(b * np.sin(th)), np.sum(b)])
    return -p[1] * np.cos(th) * b, a - p[0] * b, dp


def rk4_forward(th, om, p, h=0.2):
    pts, ks = [], []
    for c in (0.0, 0.5, 0.5, 1.0):
        if ks:
            pts.append((th + c * h * ks[-1][0], om + c * h * ks[-1][1]))
        else:
            pts.append((th, om))
        ks.append(pendulum(*pts[-1], p))
    w = (1 / 6, 1 / 3, 1 / 3, 1 / 6)
    new_th = th + h * sum(wi * k[0] for wi, k in zip(w, ks))
    new_om = om + h * sum(wi * k[1] for wi, k in zip(w, ks))
    return np.stack([new_th, new_om]), (pts, p, h, w)


def rk4_backward(dout, cache):
    pts, p, h, w = cache
    gth, gom = dout[0].copy(), dout[1].copy()
    gp = np.zeros(3)
    carry_a = carry_b = 0.0
    for i, c in ((3, 1.0), (2, 0.5), (1, 0.5), (0, 0.0)):
        ka = h * w[i] * dout[0] + carry_a
        kb = h * w[i] * dout[1] + carry_b
        da, db, dp = pendulum_T(*pts[i], p, ka, kb)
        gth += da
        gom += db
        gp += dp
        carry_a, carry_b = c * h * da, c * h * db
    return gth, gom, gp


def _pendulum_args():
    r = np.random.default_rng(11)
    return r.uniform(-2, 2, 5), r.standard_normal(5), np.array([0.3, 4.0, 0.7])


def _prove_rk4():
    args = _pendulum_args()
    g = np.random.default_rng(12).standard_normal((2, 5))
    _, cache = rk4_forward(*args)
    return pairs(rk4_backward(g, cache), lambda: np.sum(g * rk4_forward(*args)[0]), *args)


# ---------------------------------------------------------------- Crank-Nicolson step, Fisher-KPP
class FisherStep:
    """(v - u)/dt = (F(u) + F(v))/2 mit F(u) = D u_xx + r u (1 - u), Newton bis zur Maschinengenauigkeit."""

    def __init__(self, n, r, dt=0.3, D=0.4):
        self.r, self.dt = r, dt
        self.L = D * (np.diag(-2 * np.ones(n)) + np.diag(np.ones(n - 1), 1) + np.diag(np.ones(n - 1), -1))
        self.L[0, 0] = self.L[-1, -1] = -D

    def F(self, u):
        return self.L @ u + self.r * u * (1 - u)

    def dF(self, u):
        return self.L + np.diag(self.r * (1 - 2 * u))

    def solve(self, u):
        v = u.copy()
        for _ in range(12):
            res = v - u - self.dt / 2 * (self.F(u) + self.F(v))
            v = v - np.linalg.solve(np.eye(len(u)) - self.dt / 2 * self.dF(v), res)
        self.u, self.v = u.copy(), v
        return v.copy()

    def adjoint(self, lam):
        eye = np.eye(len(lam))
        mu = np.linalg.solve((eye - self.dt / 2 * self.dF(self.v)).T, lam)
        self.grad_r = self.dt / 2 * mu * (self.u * (1 - self.u) + self.v * (1 - self.v))
        return (eye + self.dt / 2 * self.dF(self.u)).T @ mu


def _fisher():
    r = np.random.default_rng(21)
    return FisherStep(8, r.uniform(0.5, 1.5, 8)), r.uniform(0.1, 0.9, 8)


def _prove_fisher():
    op, u = _fisher()
    g = np.random.default_rng(22).standard_normal(8)
    op.solve(u)
    du = op.adjoint(g)
    return pairs([du, op.grad_r], lambda: g @ op.solve(u), u, op.r)


# ---------------------------------------------------------------- each step waits for its cotangent
class LaneKeeper:
    dt = 0.25

    def __init__(self, gains, steps=6):
        self.K = gains
        self.dK = np.zeros_like(gains)
        self.steps = steps
        self.tape = []

    def _step(self, s):
        u = np.tanh(-s @ self.K)
        g = yield np.stack([s[:, 0] + self.dt * s[:, 1], s[:, 1] + self.dt * u], axis=1)
        while True:
            du = self.dt * g[:, 1] * (1 - u**2)
            self.dK -= s.T @ du
            g = yield np.stack([g[:, 0], g[:, 1] + self.dt * g[:, 0]], axis=1) - np.outer(du, self.K)

    def forward(self, s):
        self.tape = []
        for _ in range(self.steps):
            stage = self._step(s)
            s = next(stage)
            self.tape.append(stage)
        return s

    def backward(self, g):
        self.dK[:] = 0
        for stage in reversed(self.tape):
            g = stage.send(g)
        return g


def _lane():
    r = np.random.default_rng(31)
    return LaneKeeper(np.array([0.8, 1.1])), r.standard_normal((4, 2))


def _prove_lane():
    car, s = _lane()
    g = np.random.default_rng(32).standard_normal((4, 2))
    car.forward(s)
    ds = car.backward(g)
    return pairs([ds, car.dK], lambda: np.sum(g * car.forward(s)), s, car.K)


# ---------------------------------------------------------------- local level model, likelihood and score
def kalman_nll(theta, y):
    """theta = (log q, log r); sensitivities run along with the filter."""
    q, r = np.exp(theta)
    dq, dr = np.array([q, 0.0]), np.array([0.0, r])
    m, P = y[0], 1.0
    dm, dP = np.zeros(2), np.zeros(2)
    nll, score = 0.0, np.zeros(2)
    for yt in y[1:]:
        P, dP = P + q, dP + dq
        S, dS = P + r, dP + dr
        e, de = yt - m, -dm
        nll += 0.5 * (np.log(S) + e * e / S)
        score += 0.5 * (dS / S + 2 * e * de / S - e * e * dS / S**2)
        k = P / S
        dk = dP / S - P * dS / S**2
        m, dm = m + k * e, dm + dk * e + k * de
        P, dP = (1 - k) * P, (1 - k) * dP - dk * P
    return nll, score


def _kalman():
    y = np.cumsum(np.random.default_rng(41).standard_normal(30)) * 0.6
    return np.array([-0.5, 0.2]), y


def _prove_kalman():
    theta, y = _kalman()
    return pairs([kalman_nll(theta, y)[1]], lambda: kalman_nll(theta, y)[0], theta)


# ---------------------------------------------------------------- planar arm, three links
LINKS = np.array([0.5, 0.4, 0.2])


def tip(q):
    a = np.cumsum(q)
    return np.array([LINKS @ np.cos(a), LINKS @ np.sin(a), a[-1]])


def tip_jacobian(q):
    a = np.cumsum(q)
    J = np.ones((3, len(q)))
    for j in range(len(q)):
        J[0, j] = -(LINKS[j:] @ np.sin(a[j:]))
        J[1, j] = LINKS[j:] @ np.cos(a[j:])
    return J


# ---------------------------------------------------------------- upwind advection, implicit in time
class RiverStep:
    """Concentration c downstream; (I + dt*M) c_new = c + dt*source."""

    def __init__(self, speed, diff=0.1, dt=0.5):
        n = len(speed)
        M = np.zeros((n, n))
        for i in range(n):
            M[i, i] += speed[i] + 2 * diff
            if i > 0:
                M[i, i - 1] -= speed[i - 1] + diff
            if i < n - 1:
                M[i, i + 1] -= diff
        self.A = np.eye(n) + dt * M
        self.dt = dt

    def forward(self, c, source):
        return np.linalg.solve(self.A, c + self.dt * source)

    def backward(self, g):
        lam = np.linalg.solve(self.A, g)
        return lam, self.dt * lam


def _river():
    r = np.random.default_rng(51)
    return RiverStep(r.uniform(0.5, 2, 7)), r.uniform(0, 1, 7), r.uniform(0, 1, 7)


def _prove_river():
    op, c, s = _river()
    g = np.random.default_rng(52).standard_normal(7)
    op.forward(c, s)
    return pairs(op.backward(g), lambda: g @ op.forward(c, s), c, s)


# ---------------------------------------------------------------- FPU chain, symplectic Euler, reversed
def chain_slope(q):
    d = np.diff(np.concatenate([[0.0], q, [0.0]]))
    t = d + 0.8 * d**3
    return t[:-1] - t[1:]


def chain_hess_vec(q, v):
    d = np.diff(np.concatenate([[0.0], q, [0.0]]))
    t = (1 + 2.4 * d**2) * np.diff(np.concatenate([[0.0], v, [0.0]]))
    return t[:-1] - t[1:]


def fpu_forward(q, p, h=0.15, n=8):
    path = [q]
    for _ in range(n):
        p = p - h * chain_slope(q)
        q = q + h * p
        path.append(q)
    return np.concatenate([q, p]), (path, h)


def fpu_backward(g, cache):
    path, h = cache
    gq, gp = np.split(g.copy(), 2)
    for k in reversed(range(len(path) - 1)):
        gp = gp + h * gq
        gq = gq - h * chain_hess_vec(path[k + 1], gp)
    return gq, gp


def _fpu():
    r = np.random.default_rng(61)
    return r.standard_normal(6), r.standard_normal(6)


def _prove_fpu():
    q, p = _fpu()
    g = np.random.default_rng(62).standard_normal(12)
    return pairs(fpu_backward(g, fpu_forward(q, p)[1]), lambda: g @ fpu_forward(q, p)[0], q, p)


# ---------------------------------------------------------------- penalty contact with the ground
class GroundContact:
    def __init__(self, stiffness=40.0, damping=3.0, dt=0.05):
        self.k, self.c, self.dt = stiffness, damping, dt

    def forward(self, y, v):
        self.v = v
        self.depth = np.maximum(-y, 0.0)
        force = self.k * self.depth**1.5 - self.c * v * (self.depth > 0)
        return v + self.dt * (force - 9.81)

    def backward(self, dout):
        touching = self.v < 0
        dy = -self.dt * self.k * 1.5 * np.sqrt(self.depth) * dout
        dv = dout * (1 - self.dt * self.c * touching)
        return dy, dv


def _contact():
    y = np.array([0.4, -0.2, -0.3, 0.15, -0.11, 0.7])
    v = np.array([-1.2, 0.8, -0.6, 0.5, -2.0, -0.3])
    return y, v


def _prove_contact():
    op, (y, v) = GroundContact(), _contact()
    g = np.random.default_rng(72).standard_normal(6)
    op.forward(y, v)
    return pairs(op.backward(g), lambda: g @ op.forward(y, v), y, v)


# ---------------------------------------------------------------- cost of a linear feedback law
class Regelkreis:
    A = np.array([[1.0, 0.1, 0.0], [0.0, 1.0, 0.1], [0.05, -0.1, 0.9]])
    B = np.array([[0.0, 0.02], [0.1, 0.0], [0.0, 0.1]])

    def __init__(self, s0, horizont=10):
        self.s0, self.T = s0, horizont

    def kosten(self, K):
        s, J = self.s0, 0.0
        for _ in range(self.T):
            u = -K @ s
            J += s @ s + 0.1 * u @ u
            s = self.A @ s + self.B @ u
        return J + 5 * s @ s

    def kosten_grad(self, K):
        zust = [self.s0]
        for _ in range(self.T):
            zust.append((self.A - self.B @ K) @ zust[-1])
        lam = 10 * zust[-1]
        dK = np.zeros_like(K)
        for s in zust[-2::-1]:
            du = 0.2 * (-K @ s) + self.B.T @ lam
            dK = -np.outer(du, s)
            lam = 2 * s + self.A.T @ lam - K.T @ du
        return dK


def _regel():
    return Regelkreis(np.array([1.0, -0.5, 0.8])), np.random.default_rng(81).uniform(0, 1, (2, 3))


def _prove_regel():
    kreis, K = _regel()
    return pairs([kreis.kosten_grad(K)], lambda: kreis.kosten(K), K)


# ---------------------------------------------------------------- cars on a ring road (IDM, no approach term)
def idm_step(x, v, length=60.0, h=0.5):
    gap = np.roll(x, -1) - x
    gap[-1] += length
    want = 2.0 + 1.5 * v
    acc = 1.4 * (1 - (v / 30) ** 4 - (want / gap) ** 2)
    return x + h * v, v + h * acc, (v, gap, want, h)


def idm_step_back(gx, gv, cache):
    v, gap, want, h = cache
    gacc = 1.4 * h * gx
    ggap = gacc * 2 * want**2 / gap**3
    dx = gx - ggap + np.roll(ggap, 1)
    dv = gv + h * gx - gacc * (4 * v**3 / 30**4 + 3.0 * want / gap**2)
    return dx, dv


def _cars():
    r = np.random.default_rng(91)
    return np.sort(r.uniform(0, 2, 6)) + 9.0 * np.arange(6), r.uniform(3, 8, 6)


def _prove_cars():
    x, v = _cars()
    a, b = np.random.default_rng(92).standard_normal((2, 6))

    def f():
        xn, vn, _ = idm_step(x, v)
        return a @ xn + b @ vn

    return pairs(idm_step_back(a, b, idm_step(x, v)[2]), f, x, v)


# ---------------------------------------------------------------- link travel times (Bureau of Public Roads)
class BPR:
    def __init__(self, t0, cap):
        self.t0, self.cap = t0, cap
        self.dt0, self.dcap = np.zeros_like(t0), np.zeros_like(cap)

    def forward(self, flow):
        self.x = flow / self.cap
        return self.t0 * (1 + 0.15 * self.x**4)

    def backward(self, dout):
        slope = dout * self.t0 * 0.6 * self.x**3
        self.dt0 += np.sum(dout * (1 + 0.15 * self.x**4), axis=0)
        self.dcap += np.sum(-slope * self.x / self.cap, axis=0)
        return slope / self.cap


def _bpr():
    r = np.random.default_rng(95)
    return BPR(r.uniform(1, 3, 4), r.uniform(0.8, 1.5, 4)), r.uniform(0.5, 2, (5, 4))


ENTRIES = [
    Stranger(
        "RK4 step of a pendulum",
        "pair with cache",
        lambda gradlab: gradlab.check_cached_pair(rk4_forward, rk4_backward, _pendulum_args()),
        _prove_rk4,
    ),
    Stranger(
        "Fisher-KPP step, implicit",
        "object with solve and adjoint",
        lambda gradlab: gradlab.check_layer(*_fisher()),
        _prove_fisher,
    ),
    Stranger(
        "Lane keeper of coroutines",
        "layer with a tape of generators",
        lambda gradlab: gradlab.check_layer(*_lane()),
        _prove_lane,
    ),
    Stranger(
        "Local level likelihood with its score",
        "value and grad",
        lambda gradlab: gradlab.check_gradient(kalman_nll, True, _kalman()[0], args=(_kalman()[1],)),
        _prove_kalman,
    ),
    Stranger(
        "Planar arm with three links",
        "f and jac",
        lambda gradlab: gradlab.check_jacobian(tip, tip_jacobian, np.array([0.3, 0.9, -0.5])),
        lambda: [(tip_jacobian(np.array([0.3, 0.9, -0.5])), columns(tip, np.array([0.3, 0.9, -0.5])))],
    ),
    Stranger(
        "River step: adjoint system not transposed",
        "layer, two inputs",
        lambda gradlab: gradlab.check_layer(*_river()),
        _prove_river,
        "wrong",
        "the adjoint solve uses A where A.T belongs",
        ("transposed",),
        ("c", "source"),
        "        lam = np.linalg.solve(self.A, g)\n",
        "        lam = np.linalg.solve(self.A.T, g)\n",
    ),
    Stranger(
        "FPU chain reversed: positions of the next time step",
        "pair with cache",
        lambda gradlab: gradlab.check_cached_pair(fpu_forward, fpu_backward, _fpu()),
        _prove_fpu,
        "wrong",
        "the Hessian is taken at the positions after the step, not at those before it",
        ("wrong-operand", "shifted"),
        ("q", "p"),
        "chain_hess_vec(path[k + 1], gp)",
        "chain_hess_vec(path[k], gp)",
    ),
    Stranger(
        "Ground contact: damping by the wrong mask",
        "layer, two inputs",
        lambda gradlab: gradlab.check_layer(GroundContact(), *_contact()),
        _prove_contact,
        "wrong",
        "the damping's mask asks whether it falls (v < 0) instead of whether it touches (depth > 0)",
        ("masked-region", "wrong-operand"),
        ("v",),
        "        touching = self.v < 0\n",
        "        touching = self.depth > 0\n",
    ),
    Stranger(
        "Regelkreis: gain's gradient of the first step only",
        "methods f and grad",
        lambda gradlab: gradlab.check_gradient(_regel()[0].kosten, _regel()[0].kosten_grad, _regel()[1]),
        _prove_regel,
        "wrong",
        "dK is overwritten in each time step instead of added up",
        ("last-write-wins", "missing-term"),
        ("K",),
        "            dK = -np.outer(du, s)\n",
        "            dK = dK - np.outer(du, s)\n",
    ),
    Stranger(
        "IDM cars: acceleration takes the positions' cotangent",
        "pair with cache, two outputs",
        lambda gradlab: gradlab.check_cached_pair(idm_step, idm_step_back, _cars()),
        _prove_cars,
        "wrong",
        "the acceleration goes into the new speed, but its cotangent is the position's (gx for gv)",
        ("wrong-cotangent", "wrong-operand"),
        ("x", "v"),
        "    gacc = 1.4 * h * gx\n",
        "    gacc = 1.4 * h * gv\n",
    ),
    Stranger(
        "BPR travel times: adds to the last call's gradients",
        "layer with attributes",
        lambda gradlab: gradlab.check_layer(*_bpr()),
        lambda: [],
        "habit",
        "dt0 and dcap are never set to zero: backward adds to the call before",
        ("accumulates",),
        ("t0", "cap"),
    ),
]
