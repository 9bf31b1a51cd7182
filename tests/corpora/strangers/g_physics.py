"""Layers from physics, chemistry, robotics and graphics."""

import numpy as np

from ._entry import Stranger
from ._help_g import both


class LennardJones:
    """Energy of every atom (half of each pair's), positions (n, 3); per-species eps and sigma."""

    def __init__(self, species, eps, sigma):
        self.species = np.asarray(species)
        self.eps, self.sigma = eps, sigma

    def evaluate(self, pos):
        n = len(pos)
        self.i, self.j = np.triu_indices(n, 1)
        si, sj = self.species[self.i], self.species[self.j]
        self.rij = pos[self.i] - pos[self.j]
        self.r2 = (self.rij**2).sum(1)
        self.e = np.sqrt(self.eps[si] * self.eps[sj])
        self.s = 0.5 * (self.sigma[si] + self.sigma[sj])
        self.s6 = (self.s**2 / self.r2) ** 3
        u = 4 * self.e * (self.s6**2 - self.s6)
        return 0.5 * (np.bincount(self.i, u, n) + np.bincount(self.j, u, n))

    def adjoint(self, lam):
        i, j = self.i, self.j
        w = 0.5 * (lam[i] + lam[j])
        du_ds6 = 4 * self.e * (2 * self.s6 - 1) * w
        fr = (-6 * du_ds6 * self.s6 / self.r2)[:, None] * self.rij
        out = np.zeros((len(lam), 3))
        np.add.at(out, i, fr)
        np.subtract.at(out, j, fr)
        ge = 4 * (self.s6**2 - self.s6) * w / (2 * self.e)
        gs = du_ds6 * 6 * self.s6 / self.s * 0.5
        self.eps_bar, self.sigma_bar = np.zeros_like(self.eps), np.zeros_like(self.sigma)
        for a, b in ((i, j), (j, i)):
            np.add.at(self.eps_bar, self.species[a], ge * self.eps[self.species[b]])
            np.add.at(self.sigma_bar, self.species[a], gs)
        return out


class BrazoPlano:
    """brazo plano: q (lote, articulaciones) -> puntas de todos los eslabones (lote, articulaciones, 2)"""

    def __init__(self, largos):
        self.largos = np.asarray(largos, dtype=float)
        self.grad_largos = np.zeros_like(self.largos)

    def forward(self, q):
        phi = np.cumsum(q, axis=1)
        self.dirs = np.stack([np.cos(phi), np.sin(phi)], axis=-1)
        return np.cumsum(self.largos[:, None] * self.dirs, axis=1)

    def backward(self, dp):
        # todo lo que viene detrás se mueve con el eslabón
        detras = np.cumsum(dp[:, ::-1], axis=1)[:, ::-1]
        self.grad_largos[:] = (detras * self.dirs).sum(axis=(0, 2))
        normal = np.stack([-self.dirs[..., 1], self.dirs[..., 0]], axis=-1)
        dphi = self.largos * (detras * normal).sum(-1)
        return np.cumsum(dphi[:, ::-1], axis=1)[:, ::-1]


class SpringChain:
    """symplectic Euler, `steps` steps, fixed ends; state is (positions, velocities)"""

    def __init__(self, k, dt=0.1, steps=6):
        self.k, self.dt, self.steps = k, dt, steps

    def stretch(self, x):
        return np.diff(np.concatenate([[0.0], x, [0.0]]))

    def forward(self, x, v):
        self.history = []
        for _ in range(self.steps):
            d = self.stretch(x)
            self.history.append(d)
            f = self.k * (d + d**3)
            v = v + self.dt * np.diff(f)
            x = x + self.dt * v
        return x, v

    def backward(self, dx, dv):
        self.dk = np.zeros_like(self.k)
        for d in reversed(self.history):
            dv = dv + self.dt * dx
            df = -np.diff(np.concatenate([[0.0], dv, [0.0]])) * self.dt
            self.dk += df * (d + d**3)
            dd = df * self.k * (1 + 3 * d**2)
            dx = dx - np.diff(dd)
        return dx, dv


class InhibitedEnzyme:
    """Michaelis-Menten with a competitive inhibitor; rate(S, I), three constants"""

    names = ("Vmax", "Km", "Ki")

    def __init__(self, Vmax=2.0, Km=0.7, Ki=0.4):
        self.constants = {"Vmax": np.array(Vmax), "Km": np.array(Km), "Ki": np.array(Ki)}
        self.sensitivity = dict.fromkeys(self.names)

    def forward(self, S, I):
        V, Km, Ki = self.constants.values()
        self.S, self.I = S, I
        self.den = Km * (1 + I / Ki) + S
        return V * S / self.den

    def backward(self, dv):
        V, Km, Ki = self.constants.values()
        dden = -dv * V * self.S / self.den**2
        self.sensitivity["Vmax"] = np.sum(dv * self.S / self.den)
        self.sensitivity["Km"] = np.sum(dden * (1 + self.I / Ki))
        self.sensitivity["Ki"] = np.sum(dden * -Km * self.I / Ki**2)
        return dv * V / self.den + dden, dden * Km / Ki


class Pinhole:
    """camera with one radial distortion coefficient: points (n, 3) -> pixels (n, 2)"""

    def __init__(self, f, c, k1):
        self.intrinsics = {"f": np.array(f), "c": np.array(c), "k1": np.array([k1])}

    def project(self, P):
        self.z = P[:, 2:]
        self.uv = P[:, :2] / self.z
        self.r2 = (self.uv**2).sum(1, keepdims=True)
        self.scale = 1 + self.intrinsics["k1"] * self.r2
        return self.intrinsics["f"] * self.uv * self.scale + self.intrinsics["c"]

    forward = project

    def backward(self, dpix):
        f, k1 = self.intrinsics["f"], self.intrinsics["k1"]
        duv_s = dpix * f
        dscale = (duv_s * self.uv).sum(1, keepdims=True)
        self.d_intrinsics = {
            "f": (dpix * self.uv * self.scale).sum(0),
            "c": dpix.sum(0),
            "k1": (dscale * self.r2).sum(0),
        }
        duv = duv_s * self.scale + 2 * k1 * dscale * self.uv
        return np.hstack([duv / self.z, -(duv * self.uv).sum(1, keepdims=True) / self.z])


class DampedOscillator:
    """x(t) = A exp(-gamma t) cos(omega t) for given times"""

    def __init__(self, A, gamma, omega):
        self.p = {"A": np.array(A), "gamma": np.array(gamma), "omega": np.array(omega)}
        self.g = {}

    def forward(self, t):
        self.t = t
        self.env = np.exp(-self.p["gamma"] * t)
        self.c, self.s = np.cos(self.p["omega"] * t), np.sin(self.p["omega"] * t)
        return self.p["A"] * self.env * self.c

    def backward(self, dx):
        A, gamma, omega = self.p["A"], self.p["gamma"], self.p["omega"]
        self.g["A"] = np.sum(dx * self.env * self.c)
        self.g["gamma"] = np.sum(dx * A * self.t * self.env * self.c)
        self.g["omega"] = np.sum(-dx * A * self.t * self.env * self.s)
        return -dx * A * self.env * (gamma * self.c + omega * self.s)


class Waermeleitung:
    """ein expliziter Schritt, Platte mit isoliertem Rand (der Randwert wird außen wiederholt)"""

    def __init__(self, leitwert=0.2):
        self.leitwert = leitwert

    def forward(self, T):
        p = np.pad(T, 1, mode="edge")
        lap = p[:-2, 1:-1] + p[2:, 1:-1] + p[1:-1, :-2] + p[1:-1, 2:] - 4 * T
        return T + self.leitwert * lap

    def backward(self, dT):
        p = np.pad(dT, 1)
        lap = p[:-2, 1:-1] + p[2:, 1:-1] + p[1:-1, :-2] + p[1:-1, 2:] - 4 * dT
        return dT + self.leitwert * lap


class QuaternionRotate:
    """rotates vectors by quaternions of any length (they are normalised first)"""

    def forward(self, q, v):
        self.n = np.linalg.norm(q, axis=1, keepdims=True)
        self.u = q / self.n
        self.v = v
        w, r = self.u[:, :1], self.u[:, 1:]
        self.t = 2 * np.cross(r, v)
        return v + w * self.t + np.cross(r, self.t)

    def backward(self, dy):
        w, r = self.u[:, :1], self.u[:, 1:]
        dt = w * dy + np.cross(dy, r)
        dw = (dy * self.t).sum(1, keepdims=True)
        dr = np.cross(self.t, dy) + 2 * np.cross(self.v, dt)
        dv = dy + 2 * np.cross(dt, r)
        du = np.hstack([dw, dr])
        return du, dv


class Pendulum:
    """theta'' = -(g/l) sin(theta) - c theta', explicit Euler; y = (theta, omega), shape (batch, 2)"""

    def __init__(self, length=1.2, c=0.1, dt=0.1, steps=5):
        self.w2, self.c, self.dt, self.steps = 9.81 / length, c, dt, steps

    def forward(self, y):
        self.traj = []
        for _ in range(self.steps):
            self.traj.append(y)
            th, om = y.T
            y = y + self.dt * np.stack([om, -self.w2 * np.sin(th) - self.c * om], axis=1)
        return y

    def backward(self, lam):
        for y in self.traj[::-1]:
            a, b = lam.T
            slope = 1 - 0.5 * y[:, 0] ** 2
            lam = lam + self.dt * np.stack([-self.w2 * slope * b, a - self.c * b], axis=1)
        return lam


class WorkIntegral:
    """work along a path: trapezoidal rule for force times displacement"""

    def forward(self, force, s):
        self.force, self.ds = force, np.diff(s)
        return np.sum(0.5 * (force[1:] + force[:-1]) * self.ds)

    def backward(self, dW=1.0):
        dforce = np.zeros_like(self.force)
        dforce[:-1] = 0.5 * self.ds
        dforce[1:-1] += 0.5 * self.ds[:-1]
        mid = 0.5 * (self.force[1:] + self.force[:-1])
        dpos = np.zeros_like(self.force)
        dpos[1:] += mid
        dpos[:-1] -= mid
        return dW * dforce, dW * dpos


def rng():
    return np.random.default_rng(61)


def lj():
    grid = np.array([[0, 0, 0], [1.2, 0, 0], [0, 1.3, 0], [0, 0, 1.25], [1.1, 1.2, 1.0]])
    layer = LennardJones([0, 1, 0, 1, 1], np.array([1.0, 0.6]), np.array([1.0, 1.1]))
    return layer, grid + 0.05 * rng().normal(size=(5, 3))


def arm():
    return BrazoPlano([1.0, 0.7, 0.4, 0.2]), rng().normal(size=(3, 4))


def chain():
    return SpringChain(np.array([1.0, 2.0, 1.5, 0.8, 1.2])), rng().normal(size=4), rng().normal(size=4) * 0.3


def enzyme():
    return InhibitedEnzyme(), rng().uniform(0.2, 3, (4, 2)), rng().uniform(0.1, 1, (4, 2))


def pinhole():
    points = np.hstack([rng().normal(size=(5, 2)), rng().uniform(2, 5, (5, 1))])
    return Pinhole([2.0, 2.2], [0.5, 0.4], 0.3), points


def oscillator():
    return DampedOscillator(1.5, 0.3, 2.0), np.linspace(0.2, 4, 9)


def heat():
    return Waermeleitung(), rng().normal(size=(4, 5))


def quaternion():
    return QuaternionRotate(), rng().normal(size=(4, 4)), rng().normal(size=(4, 3))


def pendulum():
    return Pendulum(), rng().normal(size=(3, 2))


def work():
    return WorkIntegral(), rng().normal(size=7), np.cumsum(rng().uniform(0.2, 1, 7))


def adjoint(m, g, pos):
    return [(m.adjoint(g), pos), (m.eps_bar, m.eps), (m.sigma_bar, m.sigma)]


ENTRIES = [
    Stranger(
        "Lennard-Jones energies with species",
        "evaluate and adjoint, eps_bar and sigma_bar",
        *both(lj, adjoint, lambda m, pos: m.evaluate(pos)),
    ),
    Stranger(
        "planar robot arm",
        "layer with grad_largos written in place",
        *both(arm, lambda m, g, q: [(m.backward(g), q), (m.grad_largos, m.largos)]),
    ),
    Stranger(
        "chain of hard springs, unrolled in time",
        "layer of two inputs and two outputs",
        *both(chain, lambda m, g, *xs: [*zip(m.backward(*g), xs), (m.dk, m.k)]),
    ),
    Stranger(
        "enzyme with an inhibitor",
        "layer with constants and sensitivity, zero-dimensional",
        *both(
            enzyme,
            lambda m, g, *xs: [
                *zip(m.backward(g), xs),
                *((m.sensitivity[k], m.constants[k]) for k in m.names),
            ],
        ),
    ),
    Stranger(
        "pinhole camera with radial distortion",
        "project is forward, dict intrinsics",
        *both(
            pinhole,
            lambda m, g, P: [
                (m.backward(g), P),
                *((m.d_intrinsics[k], m.intrinsics[k]) for k in m.intrinsics),
            ],
        ),
    ),
    Stranger(
        "damped oscillator: the damping's gradient with the wrong sign",
        "layer with dicts p and g",
        *both(oscillator, lambda m, g, t: [(m.backward(g), t), *((m.g[k], m.p[k]) for k in m.p)]),
        "wrong",
        "the minus of exp(-gamma t) is forgotten",
        ("sign-flipped",),
        ("gamma",),
        '        self.g["gamma"] = np.sum(dx * A * self.t * self.env * self.c)',
        '        self.g["gamma"] = np.sum(-dx * A * self.t * self.env * self.c)',
    ),
    Stranger(
        "heat step with insulated edges: zeros outside in backward",
        "layer without parameters",
        *both(heat, lambda m, g, T: [(m.backward(g), T)]),
        "wrong",
        "backward pads with zeros, where the repeated edge asks for the edge value",
        ("border",),
        ("T",),
        "        p = np.pad(dT, 1)",
        '        p = np.pad(dT, 1, mode="edge")',
    ),
    Stranger(
        "rotation by quaternions: the normalisation forgotten",
        "layer of two inputs",
        *both(quaternion, lambda m, g, *xs: list(zip(m.backward(g), xs))),
        "wrong",
        "the gradient is that of the unit quaternion and does not go through the normalisation",
        ("straight-through", "missing-term"),
        ("q",),
        "        return du, dv",
        "        return (du - self.u * (self.u * du).sum(1, keepdims=True)) / self.n, dv",
    ),
    Stranger(
        "pendulum in time: a Taylor polynomial for the cosine",
        "layer without parameters",
        *both(pendulum, lambda m, g, y: [(m.backward(g), y)]),
        "wrong",
        "the slope of sin is taken as 1 - theta^2 / 2 instead of cos(theta)",
        ("other-approximation",),
        ("y",),
        "            slope = 1 - 0.5 * y[:, 0] ** 2",
        "            slope = np.cos(y[:, 0])",
    ),
    Stranger(
        "work by the trapezoidal rule: the last point forgotten",
        "scalar of two inputs",
        *both(work, lambda m, g, *xs: list(zip(m.backward(), xs))),
        "wrong",
        "the last force belongs to the last interval, but the slice leaves it out",
        ("single-element", "border"),
        ("force",),
        "        dforce[1:-1] += 0.5 * self.ds[:-1]",
        "        dforce[1:] += 0.5 * self.ds",
    ),
]
