"""Energies and forces."""

import numpy as np

from ._entry import Stranger
from ._help_h import of_scalar

# ============ Lennard-Jones in a periodic box ============


def lj_energy(pos, box, sigma=1.0, eps=1.0):
    E = 0.0
    N = len(pos)
    for i in range(N - 1):
        rij = pos[i] - pos[i + 1 :]
        rij = rij - box * np.round(rij / box)
        s6 = (sigma**2 / (rij**2).sum(1)) ** 3
        E += 4 * eps * (s6**2 - s6).sum()
    return E


def lj_forces(pos, box, sigma=1.0, eps=1.0):
    F = np.zeros_like(pos)
    N = len(pos)
    for i in range(N - 1):
        rij = pos[i] - pos[i + 1 :]
        rij = rij - box * np.round(rij / box)
        r2 = (rij**2).sum(1)
        s6 = (sigma**2 / r2) ** 3
        f = (24 * eps * (2 * s6**2 - s6) / r2)[:, None] * rij
        F[i] += f.sum(0)
        F[i + 1 :] -= f
    return F


def _fluid():
    rng = np.random.default_rng(30)
    grid = np.array([[x, y, z] for x in (0.3, 1.6, 3.2) for y in (0.4, 1.7) for z in (0.4, 1.7)])
    return grid + 0.08 * rng.standard_normal((12, 3))


# ============ bond angle ============


class HarmonicAngle:
    """U = k/2 (theta - theta0)^2 for atoms a-b-c."""

    def __init__(self, k, theta0):
        self.k = k
        self.theta0 = theta0

    def energy(self, xyz):
        a, b, c = xyz
        u, v = a - b, c - b
        cos = u @ v / np.linalg.norm(u) / np.linalg.norm(v)
        return 0.5 * self.k * (np.arccos(cos) - self.theta0) ** 2

    def forces(self, xyz):
        a, b, c = xyz
        u, v = a - b, c - b
        lu, lv = np.linalg.norm(u), np.linalg.norm(v)
        cos = u @ v / (lu * lv)
        theta = np.arccos(cos)
        pre = self.k * (theta - self.theta0) / np.sqrt(1 - cos**2)
        fa = pre * (v / (lu * lv) - cos * u / lu**2)
        fc = pre * (u / (lu * lv) - cos * v / lv**2)
        return np.stack([fa, -fa - fc, fc])


def _water():
    return np.array([[0.95, 0.05, 0.1], [0.0, 0.02, -0.03], [-0.3, 0.9, 0.2]])


# ============ Debye-Hückel ============


def yukawa(r, q, kappa):
    """-> (U, forces)"""
    i, j = np.triu_indices(len(r), 1)
    d = r[i] - r[j]
    dist = np.sqrt(np.einsum("ij,ij->i", d, d))
    u = q[i] * q[j] * np.exp(-kappa * dist) / dist
    f = (u * (kappa + 1 / dist) / dist)[:, np.newaxis] * d
    F = np.zeros(r.shape)
    np.add.at(F, i, f)
    np.subtract.at(F, j, f)
    return u.sum(), F


def _ions():
    rng = np.random.default_rng(31)
    return rng.uniform(-2, 2, (6, 3)), rng.choice([-1.0, 1.0], 6), 0.7


# ============ XY model ============


def xy_hamiltonian(theta, J=1.0, h=0.3):
    right = np.roll(theta, -1, axis=1)
    down = np.roll(theta, -1, axis=0)
    return -J * (np.cos(theta - right) + np.cos(theta - down)).sum() - h * np.cos(theta).sum()


def xy_torque(theta, J=1.0, h=0.3):
    t = h * np.sin(theta)
    for axis in (0, 1):
        for shift in (-1, 1):
            t += J * np.sin(theta - np.roll(theta, shift, axis))
    return t


# ============ cloth ============


class Tissu:
    """Masses et ressorts; masse m, pesanteur selon -y."""

    def __init__(self, ressorts, longueurs, raideur=30.0, m=0.1, g=9.81):
        self.ressorts = ressorts
        self.l0 = longueurs
        self.k, self.m, self.g = raideur, m, g

    def energie_et_gradient(self, p):
        i, j = self.ressorts.T
        d = p[j] - p[i]
        l = np.linalg.norm(d, axis=1)
        E = 0.5 * self.k * ((l - self.l0) ** 2).sum() + self.m * self.g * p[:, 1].sum()
        T = (self.k * (1 - self.l0 / l))[:, None] * d
        G = np.zeros_like(p)
        for s in range(len(self.ressorts)):
            G[i[s]] -= T[s]
            G[j[s]] += T[s]
        G[:, 1] += self.m * self.g
        return E, G


def _tissu():
    rng = np.random.default_rng(32)
    idx = np.arange(12).reshape(3, 4)
    s = np.vstack([np.c_[idx[:, :-1].ravel(), idx[:, 1:].ravel()], np.c_[idx[:-1].ravel(), idx[1:].ravel()]])
    p = np.stack(np.meshgrid(np.arange(4.0), np.arange(3.0), [0.0]), -1).reshape(12, 3)
    return Tissu(s, np.full(len(s), 0.9)), p + 0.1 * rng.standard_normal((12, 3))


# ============ Morse chain ============
D_E, A_M, R_0 = 4.5, 1.9, 1.1


def morse_energy(x):
    r = np.diff(x)
    return np.sum(D_E * (1 - np.exp(-A_M * (r - R_0))) ** 2)


def morse_forces(x):
    r = np.diff(x)
    e = np.exp(-A_M * (r - R_0))
    dVdr = D_E * A_M * e * (1 - e)
    F = np.zeros_like(x)
    F[:-1] += dVdr
    F[1:] -= dVdr
    return F


# ============ switched dispersion ============
class SwitchedDispersion:
    """-C/r^6, brought to zero between r_on and r_off by a cubic."""

    def __init__(self, C=10.0, r_on=1.5, r_off=2.5):
        self.C, self.r_on, self.r_off = C, r_on, r_off

    def switch(self, r):
        t = np.clip((r - self.r_on) / (self.r_off - self.r_on), 0, 1)
        s = 1 - 3 * t**2 + 2 * t**3
        ds = 6 * (t**2 - t) / (self.r_off - self.r_on)
        return s, ds

    def get_potential(self, r):
        s, _ = self.switch(r)
        return np.sum(-self.C / r**6 * s)

    def get_gradient(self, r):
        s, ds = self.switch(r)
        return 6 * self.C / r**7 * s


# ============ softened gravity ============
def grav_potential(x, mass, soft=0.5):
    d = x[:, None] - x[None]
    r = np.sqrt((d**2).sum(-1) + soft**2)
    mm = np.outer(mass, mass)
    np.fill_diagonal(mm, 0.0)
    return -0.5 * (mm / r).sum()


def grav_acc(x, mass, soft=0.5):
    d = x[None] - x[:, None]
    r2 = (d**2).sum(-1) + soft
    return (mass[None, :, None] * d / r2[:, :, None] ** 1.5).sum(1)


def _cluster():
    rng = np.random.default_rng(33)
    return rng.standard_normal((7, 2)), rng.uniform(0.5, 2, 7)


# ============ molecule in a plane, tuple of pairs ============
def coulomb_pairs(xy, charges, pairs):
    total = 0.0
    for a, b in pairs:
        total += charges[a] * charges[b] / np.linalg.norm(xy[a] - xy[b])
    return total


def coulomb_pairs_deriv(xy, charges, pairs):
    out = np.zeros_like(xy)
    for a, b in pairs:
        v = xy[a] - xy[b]
        g = -charges[a] * charges[b] * v / np.linalg.norm(v) ** 3
        out[a] += g
        out[b] += g
    return out


def _salt():
    rng = np.random.default_rng(34)
    bonds = [(0, 1), (0, 2), (1, 3), (2, 4), (3, 4), (1, 4)]
    return rng.uniform(0, 4, (5, 2)), (np.array([1.0, -1, 2, -1, -1]), bonds)


# ============ elastic rod ============
def bending_energy(w, EI, dx, load):
    kappa = (w[2:] - 2 * w[1:-1] + w[:-2]) / dx**2
    return 0.5 * EI * (kappa**2).sum() * dx - load @ w * dx


def bending_grad(w, EI, dx, load):
    M = EI * (w[2:] - 2 * w[1:-1] + w[:-2]) / dx**2
    Mp = np.pad(M, 2, mode="edge")
    return (Mp[2:] - 2 * Mp[1:-1] + Mp[:-2]) / dx - load * dx


def _rod():
    x = np.linspace(0, 1, 9)
    return x**2 + 0.1 * np.sin(5 * x), (2.0, 0.125, 1 + x)


# ============ an MD loop's force field ============
class ForceField:
    def __init__(self, natoms, k=5.0):
        self.k = k
        self.forces = np.zeros((natoms, 3))

    def potential(self, r):
        d = r - r.mean(axis=0)
        return 0.5 * self.k * (d**2).sum() + 0.1 * (d**4).sum()

    def compute(self, r):
        d = r - r.mean(axis=0)
        f = -self.k * d - 0.4 * d**3
        self.forces += f - f.mean(axis=0)
        return self.forces


def _trap(gradlab):
    ff = ForceField(4)
    r0 = np.random.default_rng(35).standard_normal((4, 3))
    return gradlab.check_gradient(ff.potential, lambda r: -ff.compute(r), r0)


def _field(make):
    """The owner of a force field compares minus the forces with the energy's slope."""

    def call(gradlab):
        f, minus, x, args = make()
        return gradlab.check_gradient(f, minus, x, args=args)

    def prove():
        return of_scalar(*make())

    return call, prove


def _lj():
    return lj_energy, lambda x, box: -lj_forces(x, box), _fluid(), (4.8,)


def _angle():
    a = HarmonicAngle(40.0, 1.911)
    return a.energy, lambda x: -a.forces(x), _water(), ()


def _yukawa():
    r, q, kappa = _ions()
    return lambda r: yukawa(r, q, kappa)[0], lambda r: -yukawa(r, q, kappa)[1], r, ()


def _xy():
    return xy_hamiltonian, xy_torque, np.random.default_rng(36).uniform(-np.pi, np.pi, (30, 34)), ()


def _cloth():
    cloth, p = _tissu()
    return cloth.energie_et_gradient, True, p, ()


def _morse():
    return morse_energy, lambda x: -morse_forces(x), np.array([0.0, 1.0, 2.3, 3.5, 4.3, 5.6]), ()


def _dispersion():
    v = SwitchedDispersion()
    return v.get_potential, v.get_gradient, np.array([1.1, 1.3, 1.6, 1.8, 2.0, 2.2, 2.4]), ()


def _gravity():
    x, m = _cluster()
    return grav_potential, lambda x, m: -m[:, None] * grav_acc(x, m), x, (m,)


def _coulomb():
    return coulomb_pairs, coulomb_pairs_deriv, *_salt()


def _beam():
    return bending_energy, bending_grad, *_rod()


ENTRIES = [
    Stranger("Lennard-Jones fluid in a periodic box", "energy and forces", *_field(_lj)),
    Stranger("harmonic bond angle", "object with energy and forces", *_field(_angle)),
    Stranger("screened Coulomb energy", "energy and forces in one", *_field(_yukawa)),
    Stranger("XY model's torques", "Hamiltonian and torque", *_field(_xy)),
    Stranger("cloth of springs", "energy and gradient in one method", *_field(_cloth)),
    Stranger(
        "Morse chain: the 2 of the square",
        "energy and forces",
        *_field(_morse),
        "wrong",
        "the 2 of the square's derivative is forgotten",
        ("constant-factor",),
        ("x",),
        "    dVdr = D_E * A_M * e * (1 - e)\n",
        "    dVdr = 2 * D_E * A_M * e * (1 - e)\n",
    ),
    Stranger(
        "switched dispersion: the switch's slope",
        "object with potential and gradient",
        *_field(_dispersion),
        "wrong",
        "the slope of the switching function is forgotten, so that it is wrong beyond r_on",
        ("missing-term", "masked-region"),
        ("r",),
        "        return 6 * self.C / r**7 * s\n",
        "        return 6 * self.C / r**7 * s - self.C / r**6 * ds\n",
    ),
    Stranger(
        "softened gravity: the softening not squared",
        "potential and accelerations",
        *_field(_gravity),
        "wrong",
        "the force has the softening length where the potential has its square",
        ("epsilon-mismatch",),
        ("x",),
        "    r2 = (d**2).sum(-1) + soft\n",
        "    r2 = (d**2).sum(-1) + soft**2\n",
    ),
    Stranger(
        "Coulomb pairs: the reaction's sign",
        "energy and derivative",
        *_field(_coulomb),
        "wrong",
        "the second atom of a pair gets the same and not the opposite derivative",
        ("sign-flipped", "masked-region"),
        ("xy",),
        "        out[b] += g\n",
        "        out[b] -= g\n",
    ),
    Stranger(
        "bending energy: moments beyond the ends",
        "f and grad with args",
        *_field(_beam),
        "wrong",
        "beyond the ends the moment is continued by its last value and is not zero",
        ("border",),
        ("w",),
        '    Mp = np.pad(M, 2, mode="edge")\n',
        "    Mp = np.pad(M, 2)\n",
    ),
    Stranger(
        "force field: forces that add up",
        "object whose forces are an attribute",
        _trap,
        lambda: [],
        "habit",
        "the forces are added to those of the call before, as nothing sets them to zero",
        ("accumulates",),
        ("r",),
    ),
]
