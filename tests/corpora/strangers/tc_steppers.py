"""Time steppers and their adjoints, data assimilation, inverse problems."""

import numpy as np
from scipy.linalg import expm, expm_frechet, lu_factor, lu_solve

from ._entry import Stranger
from ._help_tc import diff, layer


class LotkaVolterraRK4:
    """Predator and prey by RK4; adjoint() sweeps back through the stored stages."""

    def __init__(self, h=0.05, n=20):
        self.h, self.n = h, n

    @staticmethod
    def _f(y, th):
        a, b, c, d = th
        return np.array([a * y[0] - b * y[0] * y[1], d * y[0] * y[1] - c * y[1]])

    @staticmethod
    def _f_T(y, th, g):
        (u, v), (a, b, c, d) = y, th
        gy = np.array([g[0] * (a - b * v) + g[1] * d * v, -g[0] * b * u + g[1] * (d * u - c)])
        return gy, np.array([g[0] * u, -g[0] * u * v, -g[1] * v, g[1] * u * v])

    def forward(self, y0, theta):
        h, y = self.h, y0
        traj, self.stages, self.theta = [y0], [], theta.copy()
        for _ in range(self.n):
            k1 = self._f(y, theta)
            y2 = y + h / 2 * k1
            k2 = self._f(y2, theta)
            y3 = y + h / 2 * k2
            k3 = self._f(y3, theta)
            y4 = y + h * k3
            k4 = self._f(y4, theta)
            self.stages.append((y, y2, y3, y4))
            y = y + h / 6 * (k1 + 2 * k2 + 2 * k3 + k4)
            traj.append(y)
        return np.stack(traj)

    def adjoint(self, traj_bar):
        h, lam, theta_bar = self.h, traj_bar[-1].copy(), np.zeros(4)
        for n in reversed(range(self.n)):
            kbar = [h / 6 * lam, h / 3 * lam, h / 3 * lam, h / 6 * lam]
            ybar = lam
            for s, w in ((3, h), (2, h / 2), (1, h / 2), (0, 0.0)):
                gy, gth = self._f_T(self.stages[n][s], self.theta, kbar[s])
                theta_bar += gth
                ybar = ybar + gy
                if s:
                    kbar[s - 1] = kbar[s - 1] + w * gy
            lam = ybar + traj_bar[n]
        return lam, theta_bar


class DampedPendulums:
    """Many pendulums at once, Heun's method. state: (n, 2) of angle and speed."""

    def __init__(self, damping=0.3, g_over_l=4.0, dt=0.1, steps=8):
        self.p = np.array([damping, g_over_l])
        self.dp = np.zeros(2)
        self.dt, self.steps = dt, steps

    def rhs(self, s):
        return np.stack([s[:, 1], -self.p[0] * s[:, 1] - self.p[1] * np.sin(s[:, 0])], axis=1)

    def rhs_back(self, s, g):
        self.dp[0] -= np.sum(g[:, 1] * s[:, 1])
        self.dp[1] -= np.sum(g[:, 1] * np.sin(s[:, 0]))
        return np.stack([-self.p[1] * np.cos(s[:, 0]) * g[:, 1], g[:, 0] - self.p[0] * g[:, 1]], axis=1)

    def forward(self, state):
        self.tape = []
        for _ in range(self.steps):
            k1 = self.rhs(state)
            mid = state + self.dt * k1
            self.tape.append((state, mid))
            state = state + self.dt / 2 * (k1 + self.rhs(mid))
        return state

    def backward(self, dout):
        self.dp[:] = 0
        for state, mid in self.tape[::-1]:
            dk1 = self.dt / 2 * dout
            dmid = self.rhs_back(mid, self.dt / 2 * dout)
            dk1 = self.dt * dmid
            dout = dout + dmid + self.rhs_back(state, dk1)
        return dout


class ImplicitTransport:
    """Upwind advection + diffusion on a ring, implicit Euler, steady source."""

    def __init__(self, speed, diffusion=0.02, dt=0.1, nsteps=6):
        n = len(speed)
        dx = 1.0 / n
        L = np.zeros((n, n))
        for i in range(n):
            L[i, i] -= speed[i] / dx + 2 * diffusion / dx**2
            L[i, i - 1] += speed[i] / dx + diffusion / dx**2
            L[i, (i + 1) % n] += diffusion / dx**2
        self.lu, self.dt, self.nsteps = lu_factor(np.eye(n) - dt * L), dt, nsteps

    def forward(self, u0, source):
        u = u0
        for _ in range(self.nsteps):
            u = lu_solve(self.lu, u + self.dt * source)
        return u

    def backward(self, lam):
        source_bar = np.zeros_like(lam)
        for _ in range(self.nsteps):
            lam = lu_solve(self.lu, lam)
            source_bar += self.dt * lam
        return lam, source_bar


class SeismicShot:
    """1-D acoustic shot; the wavelet at one node, a geophone at another."""

    def __init__(self, c, isrc, irec, dt=0.6):
        self.c2, self.isrc, self.irec, self.dt2 = (c * dt) ** 2, isrc, irec, dt**2

    @staticmethod
    def lap(u):
        out = -2 * u
        out[1:] += u[:-1]
        out[:-1] += u[1:]
        return out

    def forward(self, wavelet):
        old = np.zeros_like(self.c2)
        u = np.zeros_like(self.c2)
        trace = np.empty_like(wavelet)
        for n, amp in enumerate(wavelet):
            new = 2 * u - old + self.c2 * self.lap(u)
            new[self.isrc] += self.dt2 * amp
            trace[n] = new[self.irec]
            old, u = u, new
        return trace

    def adjoint(self, residual):
        a, b = np.zeros_like(self.c2), np.zeros_like(self.c2)
        wavelet_bar = np.zeros_like(residual)
        for n in range(len(residual) - 1, -1, -1):
            a[self.irec] += residual[n]
            a, b = 2 * a + self.lap(self.c2 * a) + b, -a
            wavelet_bar[n] = self.dt2 * a[self.isrc]
        return wavelet_bar


def make_4dvar(xb, Binv, obs, every, F=8.0, dt=0.02):
    """Lorenz-96, strong constraint, midpoint rule. Returns (cost, grad)."""

    def f(x):
        return (np.roll(x, -1) - np.roll(x, 2)) * np.roll(x, 1) - x + F

    def fT(x, g):
        out = -g
        out = out + np.roll(g * np.roll(x, 1), 1) - np.roll(g * np.roll(x, 1), -2)
        return out + np.roll(g * (np.roll(x, -1) - np.roll(x, 2)), -1)

    def run(x):
        path = [x]
        for _ in range(every * len(obs)):
            path.append(path[-1] + dt * f(path[-1] + dt / 2 * f(path[-1])))
        return path

    def cost(x):
        path = run(x)
        misfit = sum(np.sum((path[every * (k + 1)] - y) ** 2) for k, y in enumerate(obs))
        return 0.5 * (x - xb) @ Binv @ (x - xb) + 0.5 * misfit

    def grad(x):
        path, lam = run(x), 0 * x
        for k in range(every * len(obs), 0, -1):
            if k % every == 0:
                lam = lam + path[k] - obs[k // every - 1]
            z = path[k - 1]
            m = dt * fT(z + dt / 2 * f(z), lam)
            lam = lam + m + dt / 2 * fT(z, m)
        return lam + Binv @ (x - xb)

    return cost, grad


class BurgersAssimilation:
    """Find the initial state from pictures of a later one. Lax-Friedrichs."""

    def __init__(self, background, weight, observed, r=0.2, steps=5):
        self.xb, self.w, self.y, self.r, self.steps = background, weight, observed, r, steps

    def _states(self, u):
        states = [u]
        for _ in range(self.steps):
            l, r = np.roll(u, 1), np.roll(u, -1)
            u = 0.5 * (l + r) - self.r / 2 * (r**2 / 2 - l**2 / 2)
            states.append(u)
        return states

    def J(self, u0):
        end = self._states(u0)[-1]
        return 0.5 * np.sum(self.w * (u0 - self.xb) ** 2) + 0.5 * np.sum((end - self.y) ** 2)

    def gradJ(self, u0):
        states = self._states(u0)
        lam = states[-1] - self.y
        for u in states[-2::-1]:
            left, right = np.roll(lam, 1), np.roll(lam, -1)
            lam = 0.5 * (left + right) - self.r / 2 * u * (left - right)
        return lam


class FisherFront:
    """Fisher-KPP, diffusion implicit, growth explicit."""

    def __init__(self, n=12, D=0.8, r=1.5, dt=0.25, nt=5):
        lap = -2 * np.eye(n) + np.eye(n, k=1) + np.eye(n, k=-1)
        lap[0, 0] = lap[-1, -1] = -1
        self.DL, self.r, self.dt, self.nt = D * lap, r, dt, nt
        self.A = np.eye(n) - dt * self.DL

    def forward(self, u):
        self.hist = []
        for _ in range(self.nt):
            self.hist.append(u)
            u = np.linalg.solve(self.A, u + self.dt * self.r * u * (1 - u))
        return u

    def backward(self, g):
        for u in reversed(self.hist):
            g = g + self.dt * (self.DL.T @ g + self.r * (1 - 2 * u) * g)
        return g


class Propagator:
    """y = exp(A t) x; the exponential's adjoint is its Frechet derivative at A'."""

    def __init__(self, t):
        self.t = t

    def __call__(self, A, x):
        self.saved = A, x, expm(self.t * A)
        return self.saved[2] @ x

    def vjp(self, ybar):
        A, x, E = self.saved
        Abar = self.t * expm_frechet(self.t * A.T, np.outer(ybar, x), compute_expm=False)
        return Abar, E.T @ ybar


class ReversibleOrbit:
    """Henon-Heiles by leapfrog. Keeps the END only: backward walks the orbit back."""

    def __init__(self, dt=0.1, n=15):
        self.dt, self.n = dt, n

    def force(self, q):
        return np.array([-q[0] - 2 * q[0] * q[1], -q[1] - q[0] ** 2 + q[1] ** 2])

    def forward(self, q, p):
        for _ in range(self.n):
            p = p + self.dt / 2 * self.force(q)
            q = q + self.dt * p
            p = p + self.dt / 2 * self.force(q)
        self.end = q, p
        return q, p

    def backward(self, gq, gp):
        def force_T(q, g):
            x, y = q
            return np.array([-(1 + 2 * y) * g[0] - 2 * x * g[1], -2 * x * g[0] + (2 * y - 1) * g[1]])

        q, p = self.end
        for _ in range(self.n):
            gq = gq + self.dt / 2 * force_T(q, gp)
            p = p - self.dt / 2 * self.force(q)
            gp = gp + self.dt * gq
            q = q - self.dt * p
            gq = gq + self.dt / 2 * force_T(q, gp)
            p = p - self.dt / 2 * self.force(q)
        return gq, gp


class MuskingumReach:
    """Flood routing O[t+1] = c0 I[t+1] + c1 I[t] + c2 O[t], weights c of one reach."""

    def __init__(self, c):
        self.c = np.array(c, dtype=float)
        self.grad_c = np.zeros(3)

    def forward(self, inflow):
        out = np.empty_like(inflow)
        out[0] = inflow[0]
        for t in range(len(inflow) - 1):
            out[t + 1] = self.c @ [inflow[t + 1], inflow[t], out[t]]
        self.inflow, self.out = inflow, out
        return out

    def backward(self, gout):
        g, gin = gout.copy(), np.zeros_like(gout)
        for t in range(len(g) - 2, -1, -1):
            gin[t + 1] += self.c[0] * g[t + 1]
            gin[t] += self.c[1] * g[t + 1]
            g[t] += self.c[2] * g[t + 1]
            self.grad_c += g[t + 1] * np.array([self.inflow[t + 1], self.inflow[t], self.out[t]])
        gin[0] += g[0]
        return gin


def _lv():
    return LotkaVolterraRK4(), np.array([1.2, 0.7]), np.array([1.1, 0.8, 0.9, 0.6])


def _pend():
    return DampedPendulums(), np.random.default_rng(1).uniform(-1.5, 1.5, (4, 2))


def _transport():
    r = np.random.default_rng(2)
    return ImplicitTransport(r.uniform(0.5, 1.5, 10)), r.standard_normal(10), r.standard_normal(10)


def _shot():
    t = np.arange(30)
    w = np.exp(-(((t - 6) / 2.5) ** 2)) * np.cos(0.9 * t)
    return SeismicShot(np.linspace(0.9, 1.3, 16), 4, 8), w


def _l96():
    r = np.random.default_rng(3)
    x = 8 + r.standard_normal(8)
    return (*make_4dvar(x + 0.3 * r.standard_normal(8), 2 * np.eye(8), 8 + r.standard_normal((2, 8)), 3), x)


def _burgers():
    r = np.random.default_rng(4)
    b = BurgersAssimilation(r.standard_normal(12), r.uniform(1, 2, 12), r.standard_normal(12))
    return b, r.uniform(0, 1, 12)


def _call_burgers(gradlab):
    b, u = _burgers()
    return gradlab.check_gradient(b.J, b.gradJ, u)


def _fisher():
    return FisherFront(), np.random.default_rng(5).uniform(0.05, 0.9, 12)


def _prop():
    r = np.random.default_rng(6)
    return Propagator(0.7), r.standard_normal((4, 4)), r.standard_normal(4)


def _orbit():
    return ReversibleOrbit(), np.array([0.2, -0.1]), np.array([0.15, 0.3])


def _p_l96():
    c, g, x = _l96()
    return [(g(x), diff(lambda: c(x), x))]


def _p_burgers():
    b, u = _burgers()
    return [(b.gradJ(u), diff(lambda: b.J(u), u))]


def _p(make, **kw):
    def prove():
        o, *ins = make()
        return layer(o, ins, **kw)

    return prove


def _p_pend():
    o, s = _pend()
    return layer(o, [s], [o.p], lambda o: [o.dp])


ENTRIES = [
    Stranger(
        "tc lotka volterra by RK4 with the stages stored",
        "forward and adjoint, two inputs",
        lambda gradlab: gradlab.check_layer(*_lv()),
        _p(_lv, bwd="adjoint"),
    ),
    Stranger(
        "tc damped pendulums by Heun: the first slope's share overwritten",
        "layer, parameters in one vector",
        lambda gradlab: gradlab.check_layer(*_pend()),
        _p_pend,
        "wrong",
        "the cotangent of k1 through the predictor overwrites its direct share instead of being added to it",
        ("last-write-wins", "missing-term"),
        ("state", "p"),
        "            dk1 = self.dt * dmid\n",
        "            dk1 = dk1 + self.dt * dmid\n",
    ),
    Stranger(
        "tc implicit transport: solves with the matrix, not its transpose",
        "layer, two inputs",
        lambda gradlab: gradlab.check_layer(*_transport()),
        _p(_transport),
        "wrong",
        "the adjoint sweep solves with A where A transposed belongs",
        ("transposed",),
        ("u0", "source"),
        "            lam = lu_solve(self.lu, lam)\n",
        "            lam = lu_solve(self.lu, lam, trans=1)\n",
    ),
    Stranger(
        "tc seismic shot: the wavelet's gradient read one time step late",
        "forward and adjoint",
        lambda gradlab: gradlab.check_layer(*_shot()),
        _p(_shot, bwd="adjoint"),
        "wrong",
        "the adjoint field is read at the source after it was propagated, so each value belongs to the "
        "next sample",
        ("shifted",),
        ("wavelet",),
        "            a, b = 2 * a + self.lap(self.c2 * a) + b, -a\n"
        "            wavelet_bar[n] = self.dt2 * a[self.isrc]\n",
        "            wavelet_bar[n] = self.dt2 * a[self.isrc]\n"
        "            a, b = 2 * a + self.lap(self.c2 * a) + b, -a\n",
    ),
    Stranger(
        "tc lorenz-96 strong constraint 4D-Var",
        "closures cost and grad",
        lambda gradlab: gradlab.check_gradient(*_l96()),
        _p_l96,
    ),
    Stranger(
        "tc burgers assimilation: the background term forgotten",
        "object with J and gradJ",
        _call_burgers,
        _p_burgers,
        "wrong",
        "the gradient of the background term w * (u0 - xb) is left out",
        ("missing-term",),
        ("u0",),
        "        return lam\n",
        "        return lam + self.w * (u0 - self.xb)\n",
    ),
    Stranger(
        "tc fisher front: the adjoint of the explicit scheme",
        "layer",
        lambda gradlab: gradlab.check_layer(*_fisher()),
        _p(_fisher),
        "wrong",
        "forward takes diffusion implicitly, backward is the adjoint of the explicit Euler scheme",
        ("other-approximation",),
        ("u",),
        "            g = g + self.dt * (self.DL.T @ g + self.r * (1 - 2 * u) * g)\n",
        "            g = np.linalg.solve(self.A.T, g)\n"
        "            g = g * (1 + self.dt * self.r * (1 - 2 * u))\n",
    ),
    Stranger(
        "tc propagator exp(A t) x by the Frechet derivative",
        "callable object with vjp",
        lambda gradlab: gradlab.check_layer(*_prop()),
        _p(_prop, fwd="__call__", bwd="vjp"),
    ),
    Stranger(
        "tc reversible leapfrog orbit that is walked back",
        "layer with two outputs",
        lambda gradlab: gradlab.check_layer(*_orbit()),
        _p(_orbit),
    ),
    Stranger(
        "tc muskingum reach: the weights' gradient is never cleared",
        "layer, attribute grad_c",
        lambda gradlab: gradlab.check_layer(
            MuskingumReach([0.2, 0.5, 0.3]), np.array([1.0, 3, 7, 5, 2, 1.5])
        ),
        lambda: [],
        "habit",
        "grad_c is added to from call to call and never set to zero",
        ("accumulates",),
        ("c",),
    ),
]
