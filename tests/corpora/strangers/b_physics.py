"""Energies and forces, steps of solvers, implicit layers."""

import numpy as np

from ._entry import Stranger
from .b_diff import pair_proof, slope

# ---------------- Lennard-Jones


def lj_energy(r, eps=1.0, sig=1.0):
    n = len(r)
    U = 0.0
    for i in range(n):
        for j in range(i):
            s6 = sig**6 / np.sum((r[i] - r[j]) ** 2) ** 3
            U += 4 * eps * (s6 * s6 - s6)
    return U


def lj_forces(r, eps=1.0, sig=1.0):
    d = r[:, None, :] - r[None, :, :]
    r2 = (d**2).sum(-1)
    np.fill_diagonal(r2, np.inf)
    s6 = sig**6 / r2**3
    return np.sum((24 * eps * (2 * s6 * s6 - s6) / r2)[:, :, None] * d, axis=1)


def cluster():
    return np.array([[0.0, 0.1, 0.0], [1.2, 0.0, 0.2], [0.4, 1.1, -0.1], [0.6, 0.5, 1.3]])


# ---------------- bending of a chain

K_BEND, THETA0 = 3.0, 1.9


def _angles(r):
    a, b = r[:-2] - r[1:-1], r[2:] - r[1:-1]
    la, lb = np.linalg.norm(a, axis=1, keepdims=True), np.linalg.norm(b, axis=1, keepdims=True)
    ea, eb = a / la, b / lb
    c = np.sum(ea * eb, axis=1, keepdims=True)
    return ea, eb, la, lb, c


def bending_energy(r):
    c = _angles(r)[-1]
    return 0.5 * K_BEND * np.sum((np.arccos(c) - THETA0) ** 2)


def bending_forces(r):
    ea, eb, la, lb, c = _angles(r)
    tension = K_BEND * (np.arccos(c) - THETA0) / np.sqrt(1 - c * c)
    fi, fk = tension * (eb - c * ea) / la, tension * (ea - c * eb) / lb
    f = np.zeros_like(r)
    f[:-2] += fi
    f[2:] += fk
    f[1:-1] -= fi + fk
    return f


def chain():
    return np.array([[0.0, 0.0, 0.1], [1.0, 0.2, 0.0], [1.5, 1.1, 0.3], [2.4, 1.2, 1.0], [2.6, 2.3, 0.9]])


# ---------------- charges with their images left out


class Coulomb:
    """0.5 * sum over i != j of q_i q_j / r_ij, softened."""

    def __init__(self, charges, soft=0.2):
        self.q, self.soft = charges, soft

    def _pairs(self, pos):
        d = pos[:, None] - pos[None]
        w = np.outer(self.q, self.q)
        np.fill_diagonal(w, 0.0)
        return d, w, np.sqrt(np.sum(d * d, axis=-1) + self.soft**2)

    def potential(self, pos):
        _, w, r = self._pairs(pos)
        return 0.5 * np.sum(w / r)

    def force(self, pos):
        d, w, r = self._pairs(pos)
        f = np.zeros_like(pos)
        for i in range(len(pos)):
            for j in range(len(pos)):
                fij = w[i, j] * d[i, j] / r[i, j] ** 3
                f[i] += fij
                f[j] -= fij
        return f


def plasma():
    return Coulomb(np.array([1.0, -1.0, 2.0, -0.5])), np.random.default_rng(401).standard_normal((4, 2)) * 1.5


def check_coulomb(gradlab):
    system, pos = plasma()
    return gradlab.check_gradient(system.potential, lambda p: -system.force(p), pos)


def prove_coulomb():
    system, pos = plasma()
    return [(-system.force(pos), slope(system.potential, pos))]


# ---------------- soft spheres in a box

BOX = 3.0


def sphere_energy(r):
    r -= BOX * np.floor(r / BOX)  # back into the box
    d = r[:, None] - r[None]
    d -= BOX * np.round(d / BOX)
    return 0.5 * np.sum(np.exp(-np.sum(d * d, axis=-1)))


def sphere_gradient(r):
    d = r[:, None] - r[None]
    d -= BOX * np.round(d / BOX)
    return -2 * np.sum(np.exp(-np.sum(d * d, axis=-1))[..., None] * d, axis=1)


def spheres():
    return np.array([[0.3, 3.4], [2.2, 0.9], [-0.6, 1.7], [1.4, 2.5]])


# ---------------- a step of Runge and Kutta

DT = 0.2


def _field(y, A, b):
    return np.tanh(A @ y + b)


def rk4_step(y, A, b):
    k1 = _field(y, A, b)
    y2 = y + DT / 2 * k1
    k2 = _field(y2, A, b)
    y3 = y + DT / 2 * k2
    k3 = _field(y3, A, b)
    y4 = y + DT * k3
    k4 = _field(y4, A, b)
    return y + DT / 6 * (k1 + 2 * k2 + 2 * k3 + k4), [A, (y, k1), (y2, k2), (y3, k3), (y4, k4)]


def rk4_step_adjoint(ybar, tape):
    A, stages = tape[0], tape[1:]
    Abar, bbar = np.zeros_like(A), np.zeros(len(A))
    weights = [DT / 6, DT / 3, DT / 3, DT / 6]
    ahead = [DT / 2, DT / 2, DT, 0.0]  # what the next stage's point takes of this slope
    total = ybar.copy()
    pbar = np.zeros_like(ybar)
    for (p, k), w, c in zip(stages[::-1], weights[::-1], ahead[::-1]):
        s = (w * ybar + c * pbar) * (1 - k * k)
        Abar += np.outer(s, p)
        bbar += s
        pbar = A.T @ s
        total += pbar
    return total, Abar, bbar


def rk4_points():
    rng = np.random.default_rng(402)
    return rng.standard_normal(4), rng.standard_normal((4, 4)), rng.standard_normal(4)


# ---------------- a pendulum, rolled out by Euler's method

STEPS, H = 5, 0.1


def pendulum_rollout(y0, theta):
    """y = (angle, speed); theta = (gravity over length, friction). Returns the path without its start."""
    ys = [y0]
    for _ in range(STEPS):
        q, v = ys[-1]
        ys.append(np.array([q + H * v, v - H * (theta[0] * np.sin(q) + theta[1] * v)]))
    return np.array(ys[1:]), (ys, theta)


def pendulum_adjoint(gpath, cache):
    ys, theta = cache
    lam = np.zeros(2)
    gtheta = np.zeros(2)
    for k in range(STEPS, 0, -1):
        lam = lam + gpath[k - 1]
        q, v = ys[k]
        gtheta += lam[1] * -H * np.array([np.sin(q), v])
        J = np.array([[1.0, H], [-H * theta[0] * np.cos(q), 1.0 - H * theta[1]]])
        lam = J.T @ lam
    return lam, gtheta


def pendulum_points():
    return np.array([0.9, -0.4]), np.array([4.0, 0.5])


# ---------------- implicit Euler as a layer


class ImplicitEulerLayer:
    """x -> y with (I - dt (A - B)) y = x + dt * source; B is fixed damping."""

    def __init__(self, A, source, damping=0.3, dt=0.25):
        self.params = {"A": A, "source": source}
        self.grads = {}
        self.damping, self.dt = damping, dt

    def forward(self, x):
        n = len(self.params["A"])
        self.M = np.eye(n) - self.dt * (self.params["A"] - self.damping * np.eye(n))
        self.y = np.linalg.solve(self.M, (x + self.dt * self.params["source"]).T).T
        return self.y

    def backward(self, dy):
        lam = np.linalg.solve(self.M.T, dy.T).T
        self.grads["A"] = self.dt * lam.T @ self.y
        self.grads["source"] = self.dt * lam.sum(axis=0)
        return lam


def implicit_euler():
    rng = np.random.default_rng(403)
    layer = ImplicitEulerLayer(rng.standard_normal((3, 3)), rng.standard_normal(3))
    return layer, rng.standard_normal((4, 3))


# ---------------- a fixed point as a layer


class EquilibriumLayer:
    """z = tanh(W z + U x + b), found by iteration; backward solves the linear system at the fixed point."""

    def __init__(self, W, U, b):
        self.W, self.U, self.b = W, U, b

    def forward(self, x):
        self.x = x
        z = np.zeros((len(x), len(self.b)))
        for _ in range(300):
            z_new = np.tanh(z @ self.W.T + x @ self.U.T + self.b)
            if np.abs(z_new - z).max() < 1e-15:
                break
            z = z_new
        self.z = z_new
        return self.z

    def backward(self, dz):
        s = 1 - self.z**2
        u = np.empty_like(dz)
        for i in range(len(dz)):
            J = s[i][:, None] * self.W
            u[i] = s[i] * np.linalg.solve(np.eye(len(J)) - J, dz[i])
        self.dW, self.dU, self.db = u.T @ self.z, u.T @ self.x, u.sum(axis=0)
        return u @ self.U


def equilibrium():
    rng = np.random.default_rng(404)
    W = rng.standard_normal((4, 4)) * 0.2
    layer = EquilibriumLayer(W, rng.standard_normal((4, 3)), rng.standard_normal(4))
    return layer, rng.standard_normal((2, 3))


# ---------------- projection onto the simplex


class SimplexProjection:
    """Each row goes to the nearest point with non-negative elements that add up to one."""

    def forward(self, x):
        u = np.sort(x, axis=1)[:, ::-1]
        css = np.cumsum(u, axis=1) - 1.0
        k = np.arange(1, x.shape[1] + 1)
        rho = (u - css / k > 0).sum(axis=1)
        tau = css[np.arange(len(x)), rho - 1] / rho
        y = np.maximum(x - tau[:, None], 0.0)
        self.support = y > 0
        return y

    def backward(self, dy):
        inside = np.where(self.support, dy, 0.0)
        mean = inside.sum(axis=1, keepdims=True) / self.support.sum(axis=1, keepdims=True)
        return np.where(self.support, dy - mean, 0.0)


def layer_proof(layer, x, params):
    """params: pairs of an array that forward reads and a function that gives its gradient."""
    g = np.random.default_rng(5).standard_normal(layer.forward(x).shape)
    layer.forward(x)
    dx = layer.backward(g.copy())
    pairs = [(np.array(dx), None)] + [(np.array(get()), p) for p, get in params]
    out = []
    for i, (claimed, p) in enumerate(pairs):
        if i == 0:
            out.append((claimed, slope(lambda v: np.sum(layer.forward(v) * g), x)))
            continue
        keep = p.copy()

        def moved(v, p=p, keep=keep):
            p[...] = v
            value = np.sum(layer.forward(x) * g)
            p[...] = keep
            return value

        out.append((claimed, slope(moved, keep)))
    return out


def prove_implicit():
    layer, x = implicit_euler()
    names = ["A", "source"]
    return layer_proof(layer, x, [(layer.params[n], lambda n=n: layer.grads[n]) for n in names])


def prove_equilibrium():
    layer, x = equilibrium()
    params = [(layer.W, lambda: layer.dW), (layer.U, lambda: layer.dU), (layer.b, lambda: layer.db)]
    return layer_proof(layer, x, params)


def check_made(make):
    def call(gradlab):
        layer, x = make()
        return gradlab.check_layer(layer, x)

    return call


def simplex():
    return SimplexProjection(), np.random.default_rng(405).standard_normal((4, 5)) * 0.5


ENTRIES = [
    Stranger(
        "lennard-jones energy and forces",
        "energy and forces, gradient is minus the forces",
        lambda gradlab: gradlab.check_gradient(lj_energy, lambda r: -lj_forces(r), cluster()),
        lambda: [(-lj_forces(cluster()), slope(lj_energy, cluster()))],
    ),
    Stranger(
        "bending energy of a chain and its forces",
        "energy and forces, gradient is minus the forces",
        lambda gradlab: gradlab.check_gradient(bending_energy, lambda r: -bending_forces(r), chain()),
        lambda: [(-bending_forces(chain()), slope(bending_energy, chain()))],
    ),
    Stranger(
        "runge-kutta step and its adjoint",
        "pair with a tape",
        lambda gradlab: gradlab.check_cached_pair(rk4_step, rk4_step_adjoint, rk4_points()),
        lambda: pair_proof(rk4_step, rk4_step_adjoint, rk4_points()),
    ),
    Stranger(
        "implicit euler step as a layer",
        "layer with dicts params and grads",
        check_made(implicit_euler),
        prove_implicit,
    ),
    Stranger(
        "projection onto the simplex",
        "layer",
        check_made(simplex),
        lambda: layer_proof(*simplex(), []),
    ),
    Stranger(
        "softened coulomb charges: pairs counted twice in the force",
        "bound methods potential and force",
        check_coulomb,
        prove_coulomb,
        "wrong",
        "the loops run over all ordered pairs and give each force to both: twice too much",
        ("constant-factor",),
        ("pos",),
    ),
    Stranger(
        "pendulum rollout and adjoint: states of one step later",
        "pair with cache",
        lambda gradlab: gradlab.check_cached_pair(pendulum_rollout, pendulum_adjoint, pendulum_points()),
        lambda: pair_proof(pendulum_rollout, pendulum_adjoint, pendulum_points()),
        "wrong",
        "the jacobian of step k is taken at its end and not at its start",
        ("shifted",),
        ("y0", "theta"),
    ),
    Stranger(
        "equilibrium layer: system not transposed",
        "layer with dX attributes",
        check_made(equilibrium),
        prove_equilibrium,
        "wrong",
        "backward solves with I - J and not with its transpose",
        ("transposed",),
        ("x", "W", "U", "b"),
    ),
    Stranger(
        "soft spheres in a periodic box: positions wrapped in place",
        "f and grad",
        lambda gradlab: gradlab.check_gradient(sphere_energy, sphere_gradient, spheres()),
        lambda: [],
        "habit",
        "the energy writes the wrapped positions into its argument",
        ("mutates-argument",),
        ("r",),
    ),
]
