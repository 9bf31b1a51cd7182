"""Mechanics, heat, fluids, robots."""

import numpy as np
from scipy.sparse.linalg import LinearOperator

from ._entry import Stranger
from ._help_u import numeric_jac, prove_layer, prove_pair, prove_scalar


class HeatRod:
    """u_t = (k u_x)_x with both ends held. Explicit Euler, discrete adjoint."""

    def __init__(self, r=0.2, nsteps=6):
        self.r, self.nsteps = r, nsteps

    def simulate(self, u0, k):
        self.k = k
        self.traj = [u0]
        for _ in range(self.nsteps):
            u = self.traj[-1].copy()
            u[1:-1] += self.r * np.diff(k * np.diff(u))
            self.traj.append(u)
        return self.traj[-1].copy()

    def adjoint(self, lam):
        lam = np.array(lam)
        dk = np.zeros_like(self.k)
        for u in self.traj[-2::-1]:
            q = self.r * lam[1:-1]
            dflux = np.concatenate(([0.0], q)) - np.concatenate((q, [0.0]))
            dk += dflux * np.diff(u)
            lam[1:] += dflux * self.k
            lam[:-1] -= dflux * self.k
        return lam, dk


def _rod():
    g = np.random.default_rng(1)
    return HeatRod(), (g.normal(size=9), g.uniform(0.5, 1.5, 8))


# --- a vertical chain of beads with Hertz contacts ------------------------------------------------


def bead_chain(z, d, mg):
    """Potential energy and its gradient (minus the forces). The lowest bead rests on the floor z = 0."""
    E = mg * z.sum()
    G = np.full_like(z, mg)
    below = np.insert(z[:-1], 0, -d / 2)
    delta = np.maximum(d - (z - below), 0.0)
    E += 0.4 * 50.0 * np.sum(delta**2.5)
    f = 50.0 * delta**1.5
    G -= f
    G[:-1] += f[1:]
    return E, G


def _beads():
    g = np.random.default_rng(2)
    return 0.45 + 0.93 * np.arange(8.0) + g.uniform(-0.02, 0.02, 8)


# --- snake arm: relative joint angles -> the positions of all the joints --------------------------


class SnakeArm:
    def __init__(self, lengths):
        self.l = np.asarray(lengths)

    def joints(self, q):
        a = np.cumsum(q)
        return np.concatenate((np.cumsum(self.l * np.cos(a)), np.cumsum(self.l * np.sin(a))))

    def jacobian(self, q):
        a, n = np.cumsum(q), len(q)
        sx, sy = -self.l * np.sin(a), self.l * np.cos(a)

        def matvec(v):
            da = np.cumsum(np.ravel(v))
            return np.concatenate((np.cumsum(sx * da), np.cumsum(sy * da)))

        def rmatvec(w):
            w = np.ravel(w)
            tail = lambda t: np.cumsum(t[::-1])[::-1]
            return tail(sx * tail(w[:n]) + sy * tail(w[n:]))

        return LinearOperator((2 * n, n), matvec=matvec, rmatvec=rmatvec, dtype=float)


def _snake():
    g = np.random.default_rng(3)
    return SnakeArm(g.uniform(0.3, 1.0, 6)), g.normal(size=6)


def _prove_snake():
    arm, q = _snake()
    J, true = arm.jacobian(q), numeric_jac(arm.joints, q)
    return [(J @ np.eye(6), true), (J.rmatmat(np.eye(12)), true.T)]


# --- kinematic bicycle as a coroutine -------------------------------------------------------------


def bicycle(state, controls, dt=0.2, wheelbase=2.5):
    """First yields the trajectory; each cotangent that is sent gets its gradients back."""
    xs = [state]
    for acc, steer in controls:
        x, y, th, v = xs[-1]
        xs.append(
            np.array(
                [
                    x + dt * v * np.cos(th),
                    y + dt * v * np.sin(th),
                    th + dt * v * np.tan(steer) / wheelbase,
                    v + dt * acc,
                ]
            )
        )
    bar = yield np.array(xs[1:])
    while True:
        lam = np.zeros(4)
        dc = np.zeros(controls.shape)
        for t in range(len(controls) - 1, -1, -1):
            lam = lam + bar[t]
            _, _, th, v = xs[t]
            s = controls[t, 1]
            dc[t] = dt * lam[3], dt * v / np.cos(s) ** 2 / wheelbase * lam[2]
            lam = np.array(
                [
                    lam[0],
                    lam[1],
                    lam[2] + dt * v * (np.cos(th) * lam[1] - np.sin(th) * lam[0]),
                    lam[3]
                    + dt * (np.cos(th) * lam[0] + np.sin(th) * lam[1] + np.tan(s) / wheelbase * lam[2]),
                ]
            )
        bar = yield lam, dc


def drive(state, controls):
    ride = bicycle(state, controls)
    return next(ride), ride


def drive_back(bar, ride):
    return ride.send(bar)


def _ride():
    g = np.random.default_rng(4)
    return np.array([0.0, 1.0, 0.3, 4.0]), g.uniform(-0.4, 0.4, (7, 2))


# --- cantilever of Euler-Bernoulli elements: compliance and its sensitivity to the heights --------


class Cantilever:
    L, E, b = 0.5, 10.0, 0.8

    def __init__(self, load):
        self.load = load

    def _ke(self):
        L = self.L
        return (
            np.array(
                [
                    [12, 6 * L, -12, 6 * L],
                    [6 * L, 4 * L * L, -6 * L, 2 * L * L],
                    [-12, -6 * L, 12, -6 * L],
                    [6 * L, 2 * L * L, -6 * L, 4 * L * L],
                ]
            )
            / L**3
        )

    def _solve(self, h):
        n = len(h)
        K = np.zeros((2 * n + 2, 2 * n + 2))
        for e in range(n):
            K[2 * e : 2 * e + 4, 2 * e : 2 * e + 4] += self.E * self.b * h[e] ** 3 / 12 * self._ke()
        u = np.zeros(2 * n + 2)
        u[2:] = np.linalg.solve(K[2:, 2:], self.load[2:])
        return u

    def compliance(self, h):
        return self.load @ self._solve(h)

    def sensitivity(self, h):
        u, ke = self._solve(h), self._ke()
        ue = np.stack([u[2 * e : 2 * e + 4] for e in range(len(h))])
        return -self.E * self.b * h**2 / 4 * np.einsum("ei,ij,ej->e", ue, ke, ue)


def _beam():
    g = np.random.default_rng(5)
    load = np.zeros(12)
    load[2::2] = g.uniform(0.1, 0.5, 5)
    return Cantilever(load), g.uniform(0.8, 1.4, 5)


# --- wrong ones -----------------------------------------------------------------------------------


class AdvectDiffuse:
    """Crank-Nicolson for u_t + c u_x = nu u_xx + q on a ring."""

    def __init__(self, n, c=0.7, nu=0.3, dt=0.5, steps=4):
        right, left = np.roll(np.eye(n), 1, axis=1), np.roll(np.eye(n), -1, axis=1)
        A = nu * (right + left - 2 * np.eye(n)) - c * (np.eye(n) - left)
        self.dt, self.steps = dt, steps
        self.lhs = np.eye(n) - dt / 2 * A
        self.rhs = np.eye(n) + dt / 2 * A

    def forward(self, u, q):
        for _ in range(self.steps):
            u = np.linalg.solve(self.lhs, self.rhs @ u + self.dt * q)
        return u

    def backward(self, g):
        dq = np.zeros_like(g)
        for _ in range(self.steps):
            w = np.linalg.solve(self.lhs, g)
            dq += self.dt * w
            g = self.rhs.T @ w
        return g, dq


def _ring():
    g = np.random.default_rng(6)
    return AdvectDiffuse(8), (g.normal(size=8), g.normal(size=8))


class Burgers:
    """Lax-Friedrichs for u_t + (u^2/2)_x = 0, periodic."""

    def __init__(self, lam=0.4, nt=5):
        self.lam, self.nt = lam, nt

    def forward(self, u):
        self.states = [u]
        for t in range(self.nt):
            u = self.states[t]
            up, um = np.roll(u, -1), np.roll(u, 1)
            self.states.append(0.5 * (up + um) - 0.25 * self.lam * (up**2 - um**2))
        return self.states[-1]

    def backward(self, p):
        for t in reversed(range(self.nt)):
            u = self.states[t + 1]
            p = np.roll(p, 1) * (0.5 - 0.5 * self.lam * u) + np.roll(p, -1) * (0.5 + 0.5 * self.lam * u)
        return p


def _burgers():
    g = np.random.default_rng(7)
    return Burgers(), g.normal(size=12)


class FilteredBar:
    """Compliance of a bar in tension, SIMP with a density filter on an uneven mesh."""

    def __init__(self, centres, forces, rmin=0.5, penal=3):
        H = np.maximum(rmin - np.abs(centres[:, None] - centres), 0)
        self.H, self.Hs = H, H.sum(axis=1)
        self.F2, self.penal = forces**2, penal

    def obj(self, x):
        xf = self.H @ x / self.Hs
        return np.sum(self.F2 / (1e-3 + xf**self.penal))

    def dobj(self, x):
        xf = self.H @ x / self.Hs
        dxf = -self.F2 * self.penal * xf ** (self.penal - 1) / (1e-3 + xf**self.penal) ** 2
        return (self.H.T @ dxf) / self.Hs


def _bar():
    g = np.random.default_rng(8)
    return FilteredBar(np.sort(g.uniform(0, 3, 14)), g.uniform(0.5, 1.5, 14)), g.uniform(0.5, 0.9, 14)


def neo_hookean(F, mu, lam):
    J = np.linalg.det(F)
    lnJ = np.log(J)
    I1 = np.einsum("eij,eij->e", F, F)
    W = mu / 2 * (I1 - 2 - 2 * lnJ) + lam / 2 * lnJ**2
    return W, (F, mu, lam, lnJ, I1)


def neo_hookean_back(dW, cache):
    F, mu, lam, lnJ, I1 = cache
    Finv = np.linalg.inv(F)
    P = mu[:, None, None] * (F - Finv) + (lam * lnJ)[:, None, None] * Finv
    return dW[:, None, None] * P, dW * (I1 - 2 - 2 * lnJ) / 2, dW * lnJ**2 / 2


def _elements():
    g = np.random.default_rng(9)
    return np.eye(2) + 0.25 * g.normal(size=(5, 2, 2)), g.uniform(1, 2, 5), g.uniform(1, 3, 5)


# --- a habit --------------------------------------------------------------------------------------


class PressureSweep:
    """Damped Jacobi sweeps for the pressure, in buffers that are allocated once."""

    def __init__(self, shape, omega=0.8, sweeps=3):
        self.omega, self.sweeps = omega, sweeps
        self.p = np.zeros(shape)
        self.adj = np.zeros(shape)
        self.drhs = np.zeros(shape)

    @staticmethod
    def _nb(a):
        z = np.pad(a, 1)
        return z[2:, 1:-1] + z[:-2, 1:-1] + z[1:-1, 2:] + z[1:-1, :-2]

    def forward(self, p, rhs):
        self.p[...] = p
        for _ in range(self.sweeps):
            self.p[...] = (1 - self.omega) * self.p + self.omega / 4 * (self._nb(self.p) - rhs)
        return self.p

    def backward(self, g):
        self.adj[...] = g
        self.drhs[...] = 0
        for _ in range(self.sweeps):
            self.drhs -= self.omega / 4 * self.adj
            self.adj[...] = (1 - self.omega) * self.adj + self.omega / 4 * self._nb(self.adj)
        return self.adj, self.drhs


def _pressure():
    g = np.random.default_rng(10)
    return PressureSweep((4, 5)), (g.normal(size=(4, 5)), g.normal(size=(4, 5)))


def _of(make, fwd, bwd):
    obj, xs = make()
    return prove_layer(getattr(obj, fwd), getattr(obj, bwd), xs if isinstance(xs, tuple) else (xs,))


ENTRIES = [
    Stranger(
        "u: heat rod with conductivities, simulate and adjoint",
        "object with simulate and adjoint",
        lambda gradlab: (lambda o, x: gradlab.check_layer(o, *x))(*_rod()),
        lambda: _of(_rod, "simulate", "adjoint"),
    ),
    Stranger(
        "u: chain of beads with Hertz contacts, energy and gradient in one",
        "f returns value and gradient",
        lambda gradlab: gradlab.check_gradient(bead_chain, True, _beads(), args=(1.0, 0.3)),
        lambda: prove_scalar(
            lambda x: bead_chain(x, 1.0, 0.3)[0], lambda x: bead_chain(x, 1.0, 0.3)[1], _beads(), step=1e-4
        ),
    ),
    Stranger(
        "u: snake arm, Jacobian as a LinearOperator",
        "f and LinearOperator",
        lambda gradlab: (lambda a, q: gradlab.check_jacobian(a.joints, a.jacobian, q))(*_snake()),
        _prove_snake,
    ),
    Stranger(
        "u: kinematic bicycle, a coroutine as cache",
        "pair whose cache is a generator",
        lambda gradlab: gradlab.check_cached_pair(drive, drive_back, _ride()),
        lambda: prove_pair(drive, drive_back, _ride()),
    ),
    Stranger(
        "u: cantilever's compliance by element heights",
        "bound methods f and grad",
        lambda gradlab: (lambda o, h: gradlab.check_gradient(o.compliance, o.sensitivity, h))(*_beam()),
        lambda: (lambda o, h: prove_scalar(o.compliance, o.sensitivity, h))(*_beam()),
    ),
    Stranger(
        "u: Crank-Nicolson advection on a ring: adjoint solve with the matrix itself",
        "layer, tuple of gradients",
        lambda gradlab: (lambda o, x: gradlab.check_layer(o, *x))(*_ring()),
        lambda: _of(_ring, "forward", "backward"),
        truth="wrong",
        mistake="the adjoint solves with the left matrix, not with its transpose",
        names=("transposed", "wrong-operand"),
        of=("u", "q"),
        line="            w = np.linalg.solve(self.lhs, g)",
        mended="            w = np.linalg.solve(self.lhs.T, g)",
    ),
    Stranger(
        "u: Burgers by Lax-Friedrichs: the state after the step",
        "layer with a trajectory",
        lambda gradlab: (lambda o, x: gradlab.check_layer(o, x))(*_burgers()),
        lambda: _of(_burgers, "forward", "backward"),
        truth="wrong",
        mistake="each step is linearised about the state after it, not the one before it",
        names=("wrong-operand",),
        of=("u",),
        line="            u = self.states[t + 1]",
        mended="            u = self.states[t]",
    ),
    Stranger(
        "u: bar with a density filter: divided after the transpose",
        "bound methods f and grad",
        lambda gradlab: (lambda o, x: gradlab.check_gradient(o.obj, o.dobj, x))(*_bar()),
        lambda: (lambda o, x: prove_scalar(o.obj, o.dobj, x))(*_bar()),
        truth="wrong",
        mistake="the filter's division by Hs comes after the transposed filter, not before it",
        names=("wrong-order",),
        of=("x",),
        line="        return (self.H.T @ dxf) / self.Hs",
        mended="        return self.H.T @ (dxf / self.Hs)",
    ),
    Stranger(
        "u: neo-Hookean energy of elements: inverse not transposed",
        "pair with cache",
        lambda gradlab: gradlab.check_cached_pair(neo_hookean, neo_hookean_back, _elements()),
        lambda: prove_pair(neo_hookean, neo_hookean_back, _elements()),
        truth="wrong",
        mistake="the stress has the inverse of F where the inverse's transpose belongs",
        names=("transposed", "axes-permuted", "wrong-operand"),
        of=("F",),
        line="    Finv = np.linalg.inv(F)",
        mended="    Finv = np.linalg.inv(F).transpose(0, 2, 1)",
    ),
    Stranger(
        "u: pressure sweeps in buffers of their own: returns its buffers",
        "layer with preallocated buffers",
        lambda gradlab: (lambda o, x: gradlab.check_layer(o, *x))(*_pressure()),
        lambda: [],
        truth="habit",
        mistake="forward and backward return their own buffers, which the next call overwrites",
        names=("aliases-memory",),
        of=("p", "rhs"),
    ),
]
