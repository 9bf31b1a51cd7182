"""Energies and forces."""

from functools import partial

import numpy as np
from scipy.special import erfc

from . import _help_j as hj
from ._entry import Stranger


# ======== Lennard-Jones cluster =====================================================================
def lj_energy_forces(pos):
    n = len(pos)
    E = 0.0
    F = np.zeros_like(pos)
    for i in range(n):
        for j in range(i + 1, n):
            d = pos[i] - pos[j]
            r2 = d @ d
            s6 = 1 / r2**3
            E += 4 * (s6 * s6 - s6)
            f = 24 * (2 * s6 * s6 - s6) / r2 * d
            F[i] += f
            F[j] -= f
    return E, F


def lj_potential(pos):
    return lj_energy_forces(pos)[0]


def lj_gradient(pos):
    return -lj_energy_forces(pos)[1]


# ======== Buckingham ================================================================================
A, RHO, C = 12.0, 0.45, 1.5


def buckingham(r):
    """r: (n, 3)"""
    d = r[:, None, :] - r[None, :, :]
    dist = np.sqrt((d**2).sum(-1) + np.eye(len(r)))
    off = 1 - np.eye(len(r))
    return 0.5 * np.sum(off * (A * np.exp(-dist / RHO) - C / dist**6))


def buckingham_grad(r):
    d = r[:, None, :] - r[None, :, :]
    dist = np.sqrt((d**2).sum(-1) + np.eye(len(r)))
    off = 1 - np.eye(len(r))
    dE = off * (-A / RHO * np.exp(-dist / RHO) + 6 * C / dist**7)
    return np.einsum("ij,ijk->ik", dE, d)


# ======== bending of bonds ==========================================================================
class BondAngles:
    """E = k/2 sum (theta - theta0)^2 over triples (i, j, k), j in the middle"""

    triples = [(0, 1, 2), (1, 2, 3), (0, 1, 3)]
    k, theta0 = 3.0, 1.9

    def energy(self, x):
        return sum(0.5 * self.k * (self._angle(x, t)[0] - self.theta0) ** 2 for t in self.triples)

    def _angle(self, x, t):
        a, b = x[t[0]] - x[t[1]], x[t[2]] - x[t[1]]
        la, lb = np.linalg.norm(a), np.linalg.norm(b)
        c = a @ b / (la * lb)
        return np.arccos(c), a, b, la, lb, c

    def gradient(self, x):
        g = np.zeros_like(x)
        for t in self.triples:
            th, a, b, la, lb, c = self._angle(x, t)
            p = -self.k * (th - self.theta0) / np.sqrt(1 - c * c)
            ga = p * (b / (la * lb) - c * a / la**2)
            gb = p * (a / (la * lb) - c * b / lb**2)
            g[t[0]] += ga
            g[t[1]] -= ga
            g[t[2]] += gb
        return g


# ======== torsion ===================================================================================
def torsion(x, k=1.2, n=3, shift=0.4):
    b1, b2, b3 = x[1] - x[0], x[2] - x[1], x[3] - x[2]
    m, nn = np.cross(b1, b2), np.cross(b2, b3)
    L = np.linalg.norm(b2)
    phi = np.arctan2(L * b1 @ nn, m @ nn)
    E = k * (1 + np.cos(n * phi - shift))
    dE = -k * n * np.sin(n * phi - shift)
    g0 = -L / (m @ m) * m
    g3 = L / (nn @ nn) * nn
    s, t = b1 @ b2 / L**2, b3 @ b2 / L**2
    g1 = -(1 + s) * g0 + t * g3
    g2 = -(1 + t) * g3 + s * g0
    return E, dE * np.stack([g0, g1, g2, g3])


# ======== screened charges, positions and charges differentiated =====================================
def coulomb(pos, q):
    i, j = np.triu_indices(len(q), 1)
    d = pos[i] - pos[j]
    r = np.linalg.norm(d, axis=1)
    E = np.sum(q[i] * q[j] * erfc(0.6 * r) / r)
    return E, (i, j, d, r, q)


def coulomb_vjp(saved, gE):
    i, j, d, r, q = saved
    kern = erfc(0.6 * r) / r
    dkern = -1.2 / np.sqrt(np.pi) * np.exp(-0.36 * r**2) / r - erfc(0.6 * r) / r**2
    gq = np.bincount(i, q[j] * kern, len(q)) + np.bincount(j, q[i] * kern, len(q))
    pull = (q[i] * q[j] * dkern / r)[:, None] * d
    gp = np.zeros((len(q), 3))
    np.add.at(gp, i, pull)
    np.add.at(gp, j, -pull)
    return gE * gp, gE * gq


# ======== a field on a ring of sites ==================================================================
def phi4(phi, mass=0.7, lam=0.3):
    kin = 0.5 * np.sum((np.roll(phi, -1, 0) - phi) ** 2 + (np.roll(phi, -1, 1) - phi) ** 2)
    return kin + np.sum(0.5 * mass * phi**2 + lam * phi**4 / 4)


def phi4_force(phi, mass=0.7, lam=0.3):
    up = np.vstack([phi[1:], phi[:1]])
    down = np.vstack([phi[-1:], phi[:-1]])
    left = np.hstack([phi[:, :1], phi[:, :-1]])
    right = np.hstack([phi[:, 1:], phi[:, :1]])
    lap = up + down + left + right - 4 * phi
    return -lap + mass * phi + lam * phi**3


# ======== mean field of an Ising magnet ==============================================================
def free_energy(m, J, h, T):
    ent = -0.5 * ((1 + m) * np.log((1 + m) / 2) + (1 - m) * np.log((1 - m) / 2))
    return -0.5 * m @ J @ m - h @ m - T * ent.sum()


def free_energy_slope(m, J, h, T):
    return -0.5 * (J + J.T) @ m - h + T * np.arctanh(m)


# ======== electrons on a sphere =======================================================================
class Thomson:
    def __call__(self, v):
        self.n = np.linalg.norm(v, axis=1, keepdims=True)
        self.u = u = v / self.n
        d = u[:, None] - u[None]
        r = np.sqrt((d**2).sum(2))
        np.fill_diagonal(r, np.inf)
        self.gu = -(d / r[..., None] ** 3).sum(1)
        return 0.5 * np.sum(1 / r)

    def derivative(self, v):
        self(v)
        radial = np.sum(self.gu * self.u, axis=1, keepdims=True)
        return (self.gu - radial * self.u) / self.n


# ======== embedded atoms ==============================================================================
def eam(pos):
    d = pos[:, None] - pos[None]
    r = np.sqrt(np.sum(d**2, -1) + np.eye(len(pos)))
    off = 1 - np.eye(len(pos))
    dens = off * np.exp(-1.3 * r)
    rho = dens.sum(1)
    return np.sum(0.5 * off * np.exp(-2 * r)) - np.sum(np.sqrt(rho))


def eam_grad(pos):
    d = pos[:, None] - pos[None]
    r = np.sqrt(np.sum(d**2, -1) + np.eye(len(pos)))
    off = 1 - np.eye(len(pos))
    dens = off * np.exp(-1.3 * r)
    emb = -0.5 / np.sqrt(dens.sum(1))
    pairwise = -2 * off * np.exp(-2 * r)
    w = pairwise - 1.3 * dens * (emb[:, None] + emb[:, None])
    return np.sum((w / r)[..., None] * d, axis=1)


# ======== Heisenberg spins ============================================================================
def spins(S, D, field):
    """chain of classical spins with a Dzyaloshinskii-Moriya vector D"""
    a, b = S[:-1], S[1:]
    return -np.sum(a * b) + np.sum(np.cross(a, b) @ D) - np.sum(S @ field)


def spins_grad(S, D, field):
    a, b = S[:-1], S[1:]
    g = np.tile(-field, (len(S), 1))
    g[:-1] += -b + np.cross(b, D)
    g[1:] += -a + np.cross(a, D)
    return g


# ======== harmonic crystal ==================================================================================
def crystal_energy(u, K, scratch):
    return 0.5 * u @ K @ u


def crystal_force(u, K, scratch):
    return np.dot(K, u, out=scratch)


_r = np.random.default_rng(41)
_GRID = np.stack(np.meshgrid([0, 1.2], [0, 1.1], [0, 1.3]), -1).reshape(-1, 3)[:6]
_GRID = _GRID + _r.normal(0, 0.08, (6, 3))
_FOUR = np.array([[0, 0, 0], [1.0, 0.2, 0], [1.4, 1.1, 0.3], [2.3, 1.2, 1.0]])
_Q = np.array([1.0, -0.6, 0.8, -1.1])
_ISING = (_r.uniform(0, 0.5, (5, 5)), np.full(5, 0.1), 0.8)
_PHI = _r.normal(size=(4, 5))
_S = _r.normal(size=(5, 3))
_M = np.array([0.2, -0.5, 0.7, 0.1, -0.3])
_DM = (np.array([0.3, -0.2, 0.5]), np.array([0.1, 0.4, -0.6]))
_K = np.array([[2.0, -1, 0], [-1, 2, -1], [0, -1, 2]])


def _thomson():
    energy = Thomson()
    return energy, energy.derivative


ENTRIES = [
    Stranger(
        "Lennard-Jones cluster",
        "energy, and minus the forces",
        lambda gl: gl.check_gradient(lj_potential, lj_gradient, _GRID.copy()),
        lambda: hj.scalar(lj_potential, lj_gradient, _GRID),
    ),
    Stranger(
        "Buckingham potential: vector of a pair not divided by its length",
        "f and grad",
        lambda gl: gl.check_gradient(buckingham, buckingham_grad, _GRID.copy()),
        lambda: hj.scalar(buckingham, buckingham_grad, _GRID),
        "wrong",
        "the difference of the positions stands where the unit vector belongs",
        ("wrong-order",),
        ("r",),
        '    return np.einsum("ij,ijk->ik", dE, d)\n',
        '    return np.einsum("ij,ijk->ik", dE / dist, d)\n',
    ),
    Stranger(
        "Bond angles: the middle atom lacks the second arm",
        "bound methods of a class",
        lambda gl: gl.check_gradient(*hj.methods(BondAngles(), "energy", "gradient"), _FOUR.copy()),
        lambda: hj.scalar(*hj.methods(BondAngles(), "energy", "gradient"), _FOUR),
        "wrong",
        "the middle atom takes only the one of the two outer atoms' reactions",
        ("masked-region", "missing-term"),
        ("x",),
        "            g[t[1]] -= ga\n",
        "            g[t[1]] -= ga + gb\n",
    ),
    Stranger(
        "Torsion of four atoms",
        "value and gradient",
        lambda gl: gl.check_gradient(torsion, True, _FOUR.copy()),
        lambda: hj.both(torsion, _FOUR),
    ),
    Stranger(
        "Screened charges",
        "vjp by positions and charges",
        lambda gl: gl.check_vjp(coulomb, coulomb_vjp, (_FOUR.copy(), _Q.copy())),
        lambda: hj.vjp(coulomb, coulomb_vjp, _FOUR, _Q),
    ),
    Stranger(
        "Lattice field: one wrap takes the wrong column",
        "f and grad",
        lambda gl: gl.check_gradient(phi4, phi4_force, _PHI.copy()),
        lambda: hj.scalar(phi4, phi4_force, _PHI),
        "wrong",
        "the left neighbour of the first column is itself and not the last one",
        ("border",),
        ("phi",),
        "    left = np.hstack([phi[:, :1], phi[:, :-1]])\n",
        "    left = np.hstack([phi[:, -1:], phi[:, :-1]])\n",
    ),
    Stranger(
        "Ising magnet's free energy, couplings not symmetric",
        "f and grad with args",
        lambda gl: gl.check_gradient(free_energy, free_energy_slope, _M.copy(), args=_ISING),
        lambda: hj.scalar(free_energy, free_energy_slope, _M, *_ISING),
    ),
    Stranger(
        "Electrons on a sphere",
        "object called, derivative as a method",
        lambda gl: gl.check_gradient(*_thomson(), _S.copy()),
        lambda: hj.scalar(*_thomson(), _S),
    ),
    Stranger(
        "Embedded atoms: the neighbour's embedding replaced by the own",
        "f and grad",
        lambda gl: gl.check_gradient(eam, eam_grad, _GRID.copy()),
        lambda: hj.scalar(eam, eam_grad, _GRID),
        "wrong",
        "the embedding's slope of atom i is taken twice, that of atom j never",
        (),
        ("pos",),
        "    w = pairwise - 1.3 * dens * (emb[:, None] + emb[:, None])\n",
        "    w = pairwise - 1.3 * dens * (emb[:, None] + emb[None, :])\n",
    ),
    Stranger(
        "Chain of spins: both cross products in the same order",
        "partial functions",
        lambda gl: gl.check_gradient(
            partial(spins, D=_DM[0], field=_DM[1]), partial(spins_grad, D=_DM[0], field=_DM[1]), _S.copy()
        ),
        lambda: hj.scalar(spins, spins_grad, _S, *_DM),
        "wrong",
        "the cross product with the left spin has its factors exchanged, which turns its sign",
        ("wrong-order", "sign-flipped"),
        ("S",),
        "    g[1:] += -a + np.cross(a, D)\n",
        "    g[1:] += -a + np.cross(D, a)\n",
    ),
    Stranger(
        "Harmonic crystal: force in a scratch array",
        "f and grad with args",
        lambda gl: gl.check_gradient(crystal_energy, crystal_force, np.ones(3), args=(_K, np.empty(3))),
        lambda: [],
        "habit",
        "the gradient is the caller's scratch array, which is written into",
        ("aliases-memory", "mutates-argument"),
        ("u",),
    ),
]
