"""Robots, controllers, time stepping."""

from dataclasses import dataclass

import numpy as np

from ._entry import Stranger
from ._help_m import jacobian, pair, pairs, slope


# --- planar arm ----------
def tip_pose(q, links):
    a = np.cumsum(q)
    return np.array([links @ np.cos(a), links @ np.sin(a), a[-1]])


def tip_jacobian(q, links):
    a = np.cumsum(q)
    x, y = links * np.cos(a), links * np.sin(a)
    # joint j moves every link from j on
    return np.vstack([-np.cumsum(y[::-1])[::-1], np.cumsum(x[::-1])[::-1], np.ones(len(q))])


LINKS = np.array([0.5, 0.4, 0.3, 0.15])
JOINTS = (0.3, -0.7, 1.1, 0.4)


# --- attitude ----------
def rotate_fwd(q, pts):
    norm = np.linalg.norm(q)
    u = q / norm
    w, v = u[0], u[1:]
    t = 2 * np.cross(v, pts)
    return pts + w * t + np.cross(v, t), dict(u=u, norm=norm, t=t, pts=pts)


def rotate_bwd(g, c):
    u, t, pts = c["u"], c["t"], c["pts"]
    w, v = u[0], u[1:]
    gt = w * g + np.cross(g, v)
    gv = np.cross(t, g).sum(axis=0) + 2 * np.cross(pts, gt).sum(axis=0)
    gu = np.concatenate([[np.sum(g * t)], gv])
    return {"pts": g + 2 * np.cross(gt, v), "q": (gu - u * (u @ gu)) / c["norm"]}


def attitude():
    rng = np.random.default_rng(6)
    return np.array([0.9, -0.3, 0.5, 0.2]), rng.standard_normal((4, 3))


# --- grasp ----------
class ContactTorque:
    def forward(self, contact, com, force):
        self.arm = contact - com
        self.f = force
        return np.cross(self.arm, force)

    def backward(self, grad_out):
        grad_arm = np.cross(self.f, grad_out)
        grad_force = np.cross(self.arm, grad_out)
        return grad_arm, -grad_arm.sum(axis=0), grad_force


def grasp():
    rng = np.random.default_rng(10)
    return rng.standard_normal((4, 3)), rng.standard_normal(3), rng.standard_normal((4, 3))


def _p_grasp():
    layer, args = ContactTorque(), grasp()
    return pairs(lambda: layer.forward(*args), layer.backward, args)


# --- hare and lynx ----------
def rhs(y, p):
    return np.array([y[0] * (p[0] - p[1] * y[1]), y[1] * (p[3] * y[0] - p[2])])


def rhs_vjp(y, p, g):
    gy = np.array(
        [
            g[0] * (p[0] - p[1] * y[1]) + g[1] * p[3] * y[1],
            -g[0] * p[1] * y[0] + g[1] * (p[3] * y[0] - p[2]),
        ]
    )
    return gy, np.array([g[0] * y[0], -g[0] * y[0] * y[1], -g[1] * y[1], g[1] * y[0] * y[1]])


def rk4(y, p, h=0.4):
    stages, k = [], np.zeros_like(y)
    out = y.copy()
    for shift, weight in ((0, 1), (h / 2, 2), (h / 2, 2), (h, 1)):
        stages.append((y + shift * k, shift, weight))
        k = rhs(stages[-1][0], p)
        out += h / 6 * weight * k
    return out, (stages, p, h)


def rk4_backward(gout, cache):
    stages, p, h = cache
    gy, gp, gk = gout.copy(), np.zeros_like(p), np.zeros_like(gout)
    for point, shift, weight in reversed(stages):
        gpoint, gp = rhs_vjp(point, p, gk + h / 6 * weight * gout)
        gy += gpoint
        gk = shift * gpoint
    return gy, gp


def prairie():
    return np.array([1.2, 0.7]), np.array([0.9, 0.6, 0.8, 0.5])


# --- 振り子 ----------
class 振り子ステップ:
    """半陰的オイラー法で一歩進める。 x: (N, 2) = (角度, 角速度), u: (N,) トルク"""

    def __init__(self, 長さ=0.8, 質量=0.5, dt=0.1, g=9.8):
        self.l, self.m, self.dt, self.g = 長さ, 質量, dt, g

    def forward(self, x, u):
        self.th = x[:, 0]
        w = x[:, 1] + self.dt * (u / (self.m * self.l**2) - self.g / self.l * np.sin(self.th))
        return np.stack([self.th + self.dt * w, w], axis=1)

    def backward(self, dout):
        dth = dout[:, 0]
        dw = dout[:, 1] + self.dt * dth  # 角度は新しい角速度を使う
        du = self.dt * dw / (self.m * self.l**2)
        slope = -self.dt * self.g / self.l
        return np.stack([dth + slope * dw, dw], axis=1), du


def swing():
    rng = np.random.default_rng(1)
    return rng.uniform(-2.5, 2.5, (5, 2)), rng.standard_normal(5)


def _p_swing():
    step, (x, u) = 振り子ステップ(), swing()
    return pairs(lambda: step.forward(x, u), step.backward, [x, u])


# --- state feedback with a torque limit ----------
class SaturatedFeedback:
    def __init__(self, n_state, n_motor, limit=1.5, seed=0):
        rng = np.random.default_rng(seed)
        self.K, self.bias = rng.standard_normal((n_motor, n_state)), 0.1 * rng.standard_normal(n_motor)
        self.limit = limit

    def forward(self, err):
        self.err = err
        self.u = self.limit * np.tanh((err @ self.K.T + self.bias) / self.limit)
        return self.u

    def backward(self, du):
        dpre = du
        self.dK = dpre.T @ self.err
        self.dbias = dpre.sum(0)
        return dpre @ self.K


def errors():
    return np.random.default_rng(7).standard_normal((6, 4))


def _p_servo():
    c, e = SaturatedFeedback(4, 3), errors()
    return pairs(lambda: c.forward(e), lambda g: (c.backward(g), c.dK, c.dbias), [e, c.K, c.bias])


# --- steady state of a plume: -D c'' + v c' + k c = s ----------
class SteadyPlume:
    def __init__(self, n, D=0.05, k=0.8):
        self.n, self.h, self.D, self.k = n, 1.0 / (n + 1), D, k

    def forward(self, source, wind):
        n, h = self.n, self.h
        self.A = (2 * self.D / h**2 + self.k) * np.eye(n)
        i = np.arange(n - 1)
        self.A[i, i + 1] = -self.D / h**2 + wind[:-1] / (2 * h)
        self.A[i + 1, i] = -self.D / h**2 - wind[1:] / (2 * h)
        self.c = np.linalg.solve(self.A, source)
        return self.c

    def backward(self, g):
        lam = np.linalg.solve(self.A, g)
        pad = np.concatenate([[0.0], self.c, [0.0]])
        return lam, -lam * (pad[2:] - pad[:-2]) / (2 * self.h)


def plume():
    rng = np.random.default_rng(9)
    return rng.random(9), 0.6 + 0.3 * rng.standard_normal(9)


def _p_plume():
    m, args = SteadyPlume(9), plume()
    return pairs(lambda: m.forward(*args), m.backward, args)


# --- Henon-Heiles, kick drift kick, as a generator ----------
def dV(q):
    x, y = q.T
    return np.stack([x + 2 * x * y, y + x * x - y * y], axis=1)


def ddV(q, a):
    x, y = q.T
    ax, ay = a.T
    return np.stack([(1 + 2 * y) * ax + 2 * x * ay, 2 * x * ax + (1 - 2 * y) * ay], axis=1)


def orbit(q, p, dt, n):
    """Yields the end, is sent its adjoint, yields the adjoint of the start."""
    path = [q]
    for _ in range(n):
        p = p - dt / 2 * dV(q)
        q = q + dt * p
        path.append(q)
        p = p - dt / 2 * dV(q)
    aq, ap = yield q, p
    while path:
        aq = aq - dt / 2 * ddV(path.pop(), ap)
        ap = ap + dt * aq
        aq = aq - dt / 2 * ddV(path[-1], ap)
        if len(path) == 1:
            break
    yield aq, ap


class Orbit:
    def __init__(self, dt=0.15, n=6):
        self.dt, self.n = dt, n

    def forward(self, q, p):
        self.gen = orbit(q, p, self.dt, self.n)
        return next(self.gen)

    def backward(self, gq, gp):
        return self.gen.send((gq, gp))


def stars():
    rng = np.random.default_rng(13)
    return 0.3 * rng.standard_normal((3, 2)), 0.3 * rng.standard_normal((3, 2))


def _p_orbit():
    o, args = Orbit(), stars()
    return pairs(lambda: o.forward(*args), lambda g: o.backward(*g), args)


# --- string, only every fourth state is kept ----------
def lap(u):
    return np.roll(u, 1) - 2 * u + np.roll(u, -1)


class WaveFunction:
    STEPS, EVERY, DT = 10, 4, 0.5

    @classmethod
    def forward(cls, ctx, u0, speed):
        ctx.speed, ctx.kept = speed, {}
        r = (speed * cls.DT) ** 2
        old, now = u0, u0
        for t in range(cls.STEPS):
            if t % cls.EVERY == 0:
                ctx.kept[t] = old, now
            old, now = now, 2 * now - old + r * lap(now)
        return now

    @classmethod
    def backward(cls, ctx, g):
        r = (ctx.speed * cls.DT) ** 2
        g_old, g_now, g_r = np.zeros_like(g), g, np.zeros_like(g)
        for start in sorted(ctx.kept, reverse=True):
            old, now = ctx.kept[start]
            states = []
            for _ in range(start, min(start + cls.EVERY, cls.STEPS)):
                states.append(now)
                old, now = now, 2 * now - old + r * lap(now)
            for u in reversed(states):
                g_r = g_r + g_now * lap(u)
                g_old, g_now = -g_now, g_old + 2 * g_now + lap(r * g_now)
        return g_old + g_now, 2 * ctx.speed * cls.DT**2 * g_r


class Context:
    pass


def wave(u0, speed):
    ctx = Context()
    return WaveFunction.forward(ctx, u0, speed), ctx


def string():
    s = np.linspace(0, 1, 20, endpoint=False)
    return np.exp(-50 * (s - 0.4) ** 2), 0.8 + 0.3 * np.sin(2 * np.pi * s)


# --- PID tuning: cost and its gradient by the tangent run ----------
def pid_cost(gains, target=1.0, dt=0.05, n=60):
    pos, vel, integ = 0.0, 0.0, 0.0
    dpos, dvel, dint = np.zeros((3, 3))
    cost, grad = 0.0, np.zeros(3)
    kp, ki, kd = gains
    for _ in range(n):
        e = target - pos
        u = kp * e + ki * integ - kd * vel
        du = np.array([e, integ, -vel]) - kp * dpos + ki * dint - kd * dvel
        cost += dt * (e**2 + 0.01 * u**2)
        grad += dt * (-2 * e * dpos + 0.02 * u * du)
        integ, dint = integ + dt * e, dint - dt * dpos
        acc, dacc = u - 0.5 * vel - 2.0 * pos, du - 0.5 * dvel - 2.0 * dpos
        pos, dpos = pos + dt * vel, dpos + dt * dvel
        vel, dvel = vel + dt * acc, dvel + dt * dacc
    return cost, grad


def _p_pid():
    x = np.array([3.0, 1.2, 0.9])
    return [(pid_cost(x)[1], slope(lambda: pid_cost(x)[0], x))]


# --- stiff chemistry, backward Euler ----------
@dataclass
class BackwardEuler:
    k: np.ndarray
    h: float = 0.5
    dk: np.ndarray | None = None

    def _f(self, y):
        fast = self.k[1] * y[1] ** 2
        return np.array([fast - self.k[0] * y[0], self.k[0] * y[0] - fast - self.k[2] * y[1]])

    def _J(self, y):
        s = 2 * self.k[1] * y[1]
        return np.array([[-self.k[0], s], [self.k[0], -s - self.k[2]]])

    def forward(self, y0):
        y = y0.copy()
        for _ in range(40):
            y = y - np.linalg.solve(np.eye(2) - self.h * self._J(y), y - y0 - self.h * self._f(y))
        self.y = y
        return y

    def backward(self, dy):
        lam = np.linalg.solve((np.eye(2) - self.h * self._J(self.y)).T, dy)
        a, b = self.y
        self.dk = self.h * np.array([a * (lam[1] - lam[0]), b * b * (lam[0] - lam[1]), -b * lam[1]])
        return lam


def _p_stiff():
    s, y0 = BackwardEuler(np.array([2.0, 6.0, 0.7])), np.array([0.8, 0.3])
    return pairs(lambda: s.forward(y0), lambda g: (s.backward(g), s.dk), [y0, s.k])


ENTRIES = [
    Stranger(
        "planar arm, Jacobian of the tip's pose",
        "f and jac with args",
        lambda gl: gl.check_jacobian(tip_pose, tip_jacobian, np.array(JOINTS), args=(LINKS,)),
        lambda: jacobian(lambda q: tip_pose(q, LINKS), lambda q: tip_jacobian(q, LINKS), np.array(JOINTS)),
    ),
    Stranger(
        "points rotated by a quaternion that is normalised inside",
        "pair with dict cache and dict gradients in another order",
        lambda gl: gl.check_cached_pair(rotate_fwd, rotate_bwd, attitude()),
        lambda: pair(rotate_fwd, rotate_bwd, attitude(), ["q", "pts"]),
    ),
    Stranger(
        "contact torque: cross product the wrong way round",
        "layer of three inputs",
        lambda gl: gl.check_layer(ContactTorque(), *grasp()),
        _p_grasp,
        "wrong",
        "the cross product for the force has its factors exchanged, which turns the sign",
        ("sign-flipped", "wrong-order"),
        ("force",),
        "        grad_force = np.cross(self.arm, grad_out)\n",
        "        grad_force = np.cross(grad_out, self.arm)\n",
    ),
    Stranger(
        "RK4 step of Lotka-Volterra: parameter gradient of the first stage only",
        "pair with cache",
        lambda gl: gl.check_cached_pair(rk4, rk4_backward, prairie()),
        lambda: pair(rk4, rk4_backward, prairie()),
        "wrong",
        "the stages' parameter gradients overwrite each other instead of being added up",
        ("last-write-wins", "missing-term"),
        ("p",),
        "        gpoint, gp = rhs_vjp(point, p, gk + h / 6 * weight * gout)\n",
        "        gpoint, gstage = rhs_vjp(point, p, gk + h / 6 * weight * gout)\n        gp += gstage\n",
    ),
    Stranger(
        "pendulum step: small-angle slope",
        "layer, Japanese names",
        lambda gl: gl.check_layer(振り子ステップ(), *swing()),
        _p_swing,
        "wrong",
        "the slope is that of the small-angle pendulum: the cosine of the angle is missing",
        ("missing-factor", "other-approximation"),
        ("x",),
        "        slope = -self.dt * self.g / self.l\n",
        "        slope = -self.dt * self.g / self.l * np.cos(self.th)\n",
    ),
    Stranger(
        "saturated feedback: the torque limit is passed straight through",
        "layer with attributes K, dK",
        lambda gl: gl.check_layer(SaturatedFeedback(4, 3), errors()),
        _p_servo,
        "wrong",
        "the cotangent goes past the tanh without its slope",
        ("straight-through", "missing-factor"),
        ("K", "bias", "err"),
        "        dpre = du\n",
        "        dpre = du * (1 - (self.u / self.limit) ** 2)\n",
    ),
    Stranger(
        "steady plume: adjoint solved with A instead of its transpose",
        "layer with a linear solve",
        lambda gl: gl.check_layer(SteadyPlume(9), *plume()),
        _p_plume,
        "wrong",
        "the adjoint system is solved with A, which is not symmetric, not with its transpose",
        ("transposed",),
        ("source", "wind"),
        "        lam = np.linalg.solve(self.A, g)\n",
        "        lam = np.linalg.solve(self.A.T, g)\n",
    ),
    Stranger(
        "Henon-Heiles orbit, kick drift kick as a generator",
        "layer around a generator, two outputs",
        lambda gl: gl.check_layer(Orbit(), *stars()),
        _p_orbit,
    ),
    Stranger(
        "wave equation with checkpoints",
        "class methods with ctx, the ctx is the cache",
        lambda gl: gl.check_cached_pair(wave, lambda g, ctx: WaveFunction.backward(ctx, g), string()),
        lambda: pair(wave, lambda g, ctx: WaveFunction.backward(ctx, g), string()),
    ),
    Stranger(
        "PID gains, cost and gradient by the tangent run",
        "f that returns value and gradient",
        lambda gl: gl.check_gradient(pid_cost, True, np.array([3.0, 1.2, 0.9])),
        _p_pid,
    ),
    Stranger(
        "backward Euler step of stiff kinetics, implicit adjoint",
        "dataclass layer with k and dk",
        lambda gl: gl.check_layer(BackwardEuler(np.array([2.0, 6.0, 0.7])), np.array([0.8, 0.3])),
        _p_stiff,
    ),
]
