"""Energies, forces and stiffness."""

from dataclasses import dataclass

import numpy as np
from scipy.sparse import csr_array

from ._entry import Stranger
from ._help_m import jacobian, pair, pairs, scalar


# --- argon cluster ----------
def lj_energy(pos, eps=0.8, sigma=1.0):
    e = 0.0
    for i in range(len(pos)):
        for j in range(i + 1, len(pos)):
            d = pos[i] - pos[j]
            s6 = (sigma**2 / (d @ d)) ** 3
            e += 4 * eps * (s6 * s6 - s6)
    return e


def lj_gradient(pos, eps=0.8, sigma=1.0):
    grad = np.zeros_like(pos)
    for i in range(len(pos)):
        for j in range(i + 1, len(pos)):
            d = pos[i] - pos[j]
            r2 = d @ d
            s6 = (sigma**2 / r2) ** 3
            pull = 4 * eps * (6 * s6 - 12 * s6 * s6) / r2 * d
            grad[i] += pull
    return grad


def cluster():
    rng = np.random.default_rng(3)
    lattice = np.array([[0, 0, 0], [1.2, 0, 0], [0, 1.3, 0], [0, 0, 1.25], [1.1, 1.2, 1.0]])
    return lattice + 0.05 * rng.random((5, 3))


# --- bead chain ----------
@dataclass(frozen=True)
class MorseChain:
    """Beads in the plane, neighbours bound by a Morse potential, a bit of bending stiffness."""

    depth: float = 1.7
    width: float = 1.3
    rest: float = 0.9
    bend: float = 0.4

    def _bonds(self, q):
        b = q[1:] - q[:-1]
        r = np.hypot(b[:, 0], b[:, 1])
        return b, r, np.exp(-self.width * (r - self.rest))

    def energy(self, q):
        _, _, e = self._bonds(q)
        kink = q[2:] - 2 * q[1:-1] + q[:-2]
        return self.depth * np.sum((1 - e) ** 2) + 0.5 * self.bend * np.sum(kink**2)

    def forces(self, q):
        b, r, e = self._bonds(q)
        tension = 2 * self.depth * self.width * ((1 - e) * e / r)[:, None] * b
        f = np.zeros(q.shape)
        f[:-1] += tension
        f[1:] -= tension
        k = self.bend * (q[2:] - 2 * q[1:-1] + q[:-2])
        f[2:] -= k
        f[1:-1] += 2 * k
        f[:-2] -= k
        return f


def beads():
    rng = np.random.default_rng(5)
    return np.cumsum(rng.uniform(0.4, 1.0, (7, 2)), axis=0)


# --- n bodies ----------
SOFT = 0.3


def gravity(x, m):
    """Accelerations of softened point masses, and the function that takes a cotangent back."""
    d = x[None, :, :] - x[:, None, :]
    r2 = (d * d).sum(-1) + SOFT**2
    w = m / r2**1.5
    acc = (w[..., None] * d).sum(1)

    def pullback(ga):
        r2 = (d * d).sum(-1) + SOFT
        gw = (ga[:, None, :] * d).sum(-1)
        gm = (gw * r2**-1.5).sum(0)
        gd = w[..., None] * ga[:, None, :] - 3 * (gw * m * r2**-2.5)[..., None] * d
        return gd.sum(0) - gd.sum(1), gm

    return acc, pullback


def bodies():
    rng = np.random.default_rng(8)
    return rng.standard_normal((5, 2)), rng.uniform(0.5, 2.0, 5)


# --- kinetics ----------
R = 8.314e-3  # kJ / mol / K


class Ctx:
    def save_for_backward(self, *tensors):
        self.saved_tensors = tensors


class Arrhenius:
    """rate constants k = exp(lnA - Ea / RT), temperatures down, reactions across"""

    @staticmethod
    def forward(ctx, T, Ea, lnA):
        k = np.exp(lnA - Ea / (R * T[:, None]))
        ctx.save_for_backward(T, Ea, k)
        return k

    @staticmethod
    def backward(ctx, grad_k):
        T, Ea, k = ctx.saved_tensors
        u = grad_k * k
        grad_T = (u * Ea).sum(1) / (R * T)
        grad_Ea = -(u / (R * T[:, None])).sum(0)
        return grad_T, grad_Ea, u.sum(0)


def kettle():
    return np.array([310.0, 345.0, 390.0, 420.0]), np.array([22.0, 31.5, 27.0]), np.array([7.1, 9.4, 8.0])


def _p_arrhenius():
    T, Ea, lnA = args = kettle()
    ctx = Ctx()
    return pairs(lambda: Arrhenius.forward(ctx, T, Ea, lnA), lambda g: Arrhenius.backward(ctx, g), args)


# --- pi electrons ----------
def huckel_forward(alpha, beta, bonds, electrons=6):
    H = np.diag(alpha)
    a, b = bonds.T
    H[a, b] = H[b, a] = beta
    levels, C = np.linalg.eigh(H)
    occ = np.zeros(len(alpha))
    occ[: electrons // 2] = 2.0
    return float(occ @ levels), (C, occ, bonds)


def huckel_backward(dE, cache):
    C, occ, bonds = cache
    P = (C * occ) @ C.T  # charge density / bond order matrix (Hellmann-Feynman)
    return dE * np.diag(P), 2 * dE * P[bonds[:, 0], bonds[:, 1]], None


def ring():
    rng = np.random.default_rng(2)
    bonds = np.array([[0, 1], [1, 2], [2, 3], [3, 4], [4, 5], [0, 5]])
    return -11.4 + rng.uniform(-1, 1, 6), -2.5 + rng.uniform(-0.4, 0.4, 6), bonds


# --- reaction network: A + B <-> C, 2 A -> D, C + D -> E, E -> A ----------
ORDER = np.array([[1, 1, 0, 0, 0], [0, 0, 1, 0, 0], [2, 0, 0, 0, 0], [0, 0, 1, 1, 0], [0, 0, 0, 0, 1]])
MADE = np.array([[0, 0, 1, 0, 0], [1, 1, 0, 0, 0], [0, 0, 0, 1, 0], [0, 0, 0, 0, 1], [1, 0, 0, 0, 0]])
NET = (MADE - ORDER).T
K = np.array([1.4, 0.3, 0.8, 2.0, 0.6])


def mass_action(c):
    return NET @ (K * np.prod(c**ORDER, axis=1))


def mass_action_jac(c):
    rows, cols = np.nonzero(ORDER)
    vals = []
    for r, i in zip(rows, cols):
        less = ORDER[r].copy()
        less[i] -= 1
        vals.append(K[r] * ORDER[r, i] * np.prod(c**less))
    return csr_array(NET) @ csr_array((vals, (rows, cols)), shape=ORDER.shape)


# --- Fachwerk ----------
class Fachwerk:
    """Knotenlagen -> Dehnung jedes Stabes. Ruhelängen sind lernbar."""

    def __init__(self, stäbe, L0):
        self.von, self.nach = np.asarray(stäbe).T
        self.params = {"L0": L0}
        self.grads = {}

    def forward(self, X):
        self.X = X
        self.d = X[self.nach] - X[self.von]
        self.L = np.linalg.norm(self.d, axis=1)
        return self.L / self.params["L0"] - 1

    def backward(self, dout):
        L0 = self.params["L0"]
        self.grads["L0"] = -dout * self.L / L0**2
        kraft = (dout / (L0 * self.L))[:, None] * self.d
        dX = np.zeros_like(self.X)
        dX[self.nach] += kraft
        dX[self.von] -= kraft
        return dX


def turm():
    X = np.array([[0.0, 0.0], [1.0, 0.1], [0.1, 1.0], [1.1, 0.9], [0.5, 1.8]])
    stäbe = [(0, 1), (0, 2), (1, 3), (0, 3), (1, 2), (2, 3), (2, 4), (3, 4)]
    return Fachwerk(stäbe, np.array([0.95, 1.0, 1.1, 1.3, 1.2, 1.05, 0.9, 1.0])), X


def _p_turm():
    f, X = turm()
    return pairs(lambda: f.forward(X), lambda g: (f.backward(g), f.grads["L0"]), [X, f.params["L0"]])


# --- compliance with SIMP, springs between 7 nodes, node 0 held ----------
SPRINGS = [(0, 1), (1, 2), (2, 3), (3, 4), (4, 5), (5, 6), (0, 2), (1, 4), (2, 5), (3, 6)]


def stiffness(x, p):
    Kg = np.zeros((7, 7))
    for dens, (i, j) in zip(x, SPRINGS):
        Kg[np.ix_([i, j], [i, j])] += dens**p * np.array([[1.0, -1.0], [-1.0, 1.0]])
    return Kg[1:, 1:]


def compliance(x, f, p=3):
    return f @ np.linalg.solve(stiffness(x, p), f)


def sensitivity(x, f, p=3):
    u = np.concatenate([[0.0], np.linalg.solve(stiffness(x, p), f)])
    stretch = np.array([u[j] - u[i] for i, j in SPRINGS])
    return -p * x ** (p - 1) * stretch**2  # self-adjoint: no second solve


def design():
    rng = np.random.default_rng(12)
    return rng.uniform(0.5, 1.0, len(SPRINGS)), rng.uniform(-1, 1, 6)


# --- rubber ----------
class NeoHooke:
    """energy density per element from the deformation gradient F (n, 2, 2); backward: Piola stress"""

    mu, lam = 0.9, 1.6

    def forward(self, F):
        self.F = F
        J = F[:, 0, 0] * F[:, 1, 1] - F[:, 0, 1] * F[:, 1, 0]
        self.logJ = np.log(J)
        I1 = np.einsum("nij,nij->n", F, F)
        return self.mu / 2 * (I1 - 2 - 2 * self.logJ) + self.lam / 2 * self.logJ**2

    def backward(self, dW):
        FinvT = np.linalg.inv(self.F).transpose(0, 2, 1)
        P = self.mu * (self.F - FinvT) + self.lam * self.logJ[:, None, None] * FinvT
        return P


def patches():
    return np.eye(2) + np.random.default_rng(4).uniform(-0.3, 0.3, (5, 2, 2))


def _p_rubber():
    law, F = NeoHooke(), patches()
    return pairs(lambda: law.forward(F), lambda g: (law.backward(g),), [F])


ENTRIES = [
    Stranger(
        "Lennard-Jones cluster: no force on the second atom of a pair",
        "f and grad",
        lambda gl: gl.check_gradient(lj_energy, lj_gradient, cluster()),
        lambda: scalar(lj_energy, lj_gradient, cluster()),
        "wrong",
        "each pair's force is added to its first atom only, not taken from the second",
        ("missing-term",),
        ("pos",),
        "            grad[i] += pull\n",
        "            grad[i] += pull\n            grad[j] -= pull\n",
    ),
    Stranger(
        "Morse chain, dataclass with energy and forces",
        "frozen dataclass, energy and forces (minus the gradient)",
        lambda gl: gl.check_gradient(MorseChain().energy, lambda q: -MorseChain().forces(q), beads()),
        lambda: scalar(MorseChain().energy, lambda q: -MorseChain().forces(q), beads()),
    ),
    Stranger(
        "softened gravity: softening length not squared in the pullback",
        "vjp closure",
        lambda gl: gl.check_vjp(gravity, lambda pullback, g: pullback(g), bodies()),
        lambda: pair(gravity, lambda g, pullback: pullback(g), bodies()),
        "wrong",
        "forward softens by SOFT squared, the pullback by SOFT",
        ("epsilon-mismatch", "other-approximation"),
        ("x", "m"),
        "        r2 = (d * d).sum(-1) + SOFT\n",
        "        r2 = (d * d).sum(-1) + SOFT**2\n",
    ),
    Stranger(
        "Arrhenius rates: 1/T instead of 1/T^2",
        "static forward and backward with ctx",
        lambda gl: gl.check_layer(Arrhenius(), *kettle()),
        _p_arrhenius,
        "wrong",
        "the derivative of 1/T is taken as 1/T: one factor 1/T is missing",
        ("missing-factor",),
        ("T",),
        "        grad_T = (u * Ea).sum(1) / (R * T)\n",
        "        grad_T = (u * Ea).sum(1) / (R * T**2)\n",
    ),
    Stranger(
        "Hueckel pi energy by eigh, density matrix backward",
        "pair with cache, a scalar output, integer bonds",
        lambda gl: gl.check_cached_pair(huckel_forward, huckel_backward, ring()),
        lambda: pair(huckel_forward, huckel_backward, ring()),
    ),
    Stranger(
        "mass action kinetics, sparse Jacobian",
        "f and sparse jac",
        lambda gl: gl.check_jacobian(mass_action, mass_action_jac, np.array([0.9, 0.7, 0.4, 0.5, 0.3])),
        lambda: jacobian(mass_action, mass_action_jac, np.array([0.9, 0.7, 0.4, 0.5, 0.3])),
    ),
    Stranger(
        "Fachwerk, bar strains from nodes: bars that share a node overwrite each other",
        "layer with dict params and grads",
        lambda gl: gl.check_layer(*turm()),
        _p_turm,
        "wrong",
        "+= with an index array adds only once where a node occurs in several bars",
        ("last-write-wins",),
        ("X",),
        "        dX[self.nach] += kraft\n        dX[self.von] -= kraft\n",
        "        np.add.at(dX, self.nach, kraft)\n        np.subtract.at(dX, self.von, kraft)\n",
    ),
    Stranger(
        "SIMP compliance of a spring network, self-adjoint sensitivity",
        "f and grad with args",
        lambda gl: gl.check_gradient(compliance, sensitivity, design()[0], args=(design()[1],)),
        lambda: scalar(
            lambda x: compliance(x, design()[1]), lambda x: sensitivity(x, design()[1]), design()[0], h=3e-4
        ),
    ),
    Stranger(
        "neo-Hookean energy density: the stress is not weighted by dW",
        "layer",
        lambda gl: gl.check_layer(NeoHooke(), patches()),
        _p_rubber,
        "wrong",
        "backward returns the stress and never uses its argument",
        ("ignores-cotangent",),
        ("F",),
        "        return P\n",
        "        return dW[:, None, None] * P\n",
    ),
]
