"""Solids, meshes, molecules and reactions."""

import numpy as np
from scipy.sparse.linalg import LinearOperator

from ._entry import Stranger
from ._help_q import columns, pairs


# --- vertex normals of a triangle mesh -------------------------------------------------------------------
class VertexNormals:
    """Area-weighted. The mesh's topology is fixed, its vertices move."""

    def __init__(self, faces):
        self.f = faces

    def forward(self, verts):
        a, b, c = (verts[self.f[:, k]] for k in range(3))
        self.e1, self.e2 = b - a, c - a
        raw = np.zeros_like(verts)
        for k in range(3):
            np.add.at(raw, self.f[:, k], np.cross(self.e1, self.e2))
        self.length = np.sqrt(np.einsum("ij,ij->i", raw, raw))[:, None]
        self.unit = raw / self.length
        return self.unit

    def backward(self, g):
        graw = (g - self.unit * np.einsum("ij,ij->i", g, self.unit)[:, None]) / self.length
        gface = graw[self.f].sum(axis=1)
        g1, g2 = np.cross(self.e2, gface), np.cross(gface, self.e1)
        gv = np.zeros_like(g)
        np.add.at(gv, self.f[:, 0], -g1 - g2)
        np.add.at(gv, self.f[:, 1], g1)
        np.add.at(gv, self.f[:, 2], g2)
        return gv


def _tetra():
    faces = np.array([[0, 2, 1], [0, 1, 3], [1, 2, 3], [0, 3, 2]])
    verts = np.array([[0.0, 0, 0], [1, 0, 0], [0, 1, 0], [0, 0, 1]])
    return VertexNormals(faces), verts + 0.1 * np.random.default_rng(1).standard_normal((4, 3))


def _prove_normals():
    op, v = _tetra()
    g = np.random.default_rng(2).standard_normal((4, 3))
    op.forward(v)
    return pairs([op.backward(g)], lambda: np.sum(g * op.forward(v)), v)


# --- rubber sheet ----------------------------------------------------------------------------------------
class RubberSheet:
    mu, lam = 1.0, 2.5

    def __init__(self, rest, tris):
        self.tris = tris
        D = np.stack([rest[tris[:, 1]] - rest[tris[:, 0]], rest[tris[:, 2]] - rest[tris[:, 0]]], axis=2)
        self.area = np.abs(np.linalg.det(D)) / 2
        self.Dinv = np.linalg.inv(D)

    def _F(self, pos):
        x = pos.reshape(-1, 2)[self.tris]
        return np.stack([x[:, 1] - x[:, 0], x[:, 2] - x[:, 0]], axis=2) @ self.Dinv

    def energy(self, pos):
        F = self._F(pos)
        logJ = np.log(np.linalg.det(F))
        psi = self.mu / 2 * (np.sum(F**2, axis=(1, 2)) - 2 - 2 * logJ) + self.lam / 2 * logJ**2
        return np.sum(self.area * psi)

    def forces(self, pos):
        """minus the gradient, flat"""
        F = self._F(pos)
        FinvT = np.linalg.inv(F).transpose(0, 2, 1)
        logJ = np.log(np.linalg.det(F))[:, None, None]
        P = self.mu * (F - FinvT) + self.lam * logJ * FinvT
        H = -self.area[:, None, None] * (P @ self.Dinv.transpose(0, 2, 1))
        f = np.zeros((pos.size // 2, 2))
        np.add.at(f, self.tris[:, 1], H[:, :, 0])
        np.add.at(f, self.tris[:, 2], H[:, :, 1])
        np.add.at(f, self.tris[:, 0], -H[:, :, 0] - H[:, :, 1])
        return f.ravel()


def _sheet():
    rest = np.array([[0.0, 0], [1, 0], [0, 1], [1, 1], [0.5, 1.7]])
    sheet = RubberSheet(rest, np.array([[0, 1, 2], [1, 3, 2], [2, 3, 4]]))
    return sheet, (1.1 * rest + 0.08 * np.random.default_rng(3).standard_normal(rest.shape)).ravel()


def _sheet_task():
    sheet, x = _sheet()
    return sheet.energy, lambda pos: -sheet.forces(pos), x


def _prove_sheet():
    sheet, x = _sheet()
    return pairs([-sheet.forces(x)], lambda: sheet.energy(x), x)


# --- topology optimisation of a bar: compliance and its sensitivity ---------------------------------------
def compliance(rho, load, penal=3.0):
    """A row of springs clamped at the left; SIMP stiffness 1e-2 + rho^p. The problem is self-adjoint."""
    k = 1e-2 + rho**penal
    n = len(rho)
    K = np.diag(k) + np.diag(np.append(k[1:], 0.0)) - np.diag(k[1:], 1) - np.diag(k[1:], -1)
    u = np.linalg.solve(K, load)
    stretch = np.diff(u, prepend=0.0)
    dc = -penal * rho ** (penal - 1) * stretch**2
    assert dc.shape == (n,)
    return load @ u, dc


def _bar():
    r = np.random.default_rng(4)
    return r.uniform(0.4, 1, 7), r.uniform(0.1, 1, 7)


def _prove_bar():
    rho, load = _bar()
    return pairs([compliance(rho, load)[1]], lambda: compliance(rho, load)[0], rho, h=2e-4)


# --- gravity over buried bodies, Jacobian as an operator --------------------------------------------------
STATIONS = np.linspace(-3, 3, 9)


def anomaly(m):
    x, z, mass = m.reshape(3, -1)
    r2 = (STATIONS[:, None] - x) ** 2 + z**2
    return np.sum(mass * z / r2**1.5, axis=1)


def anomaly_jac(m):
    x, z, mass = m.reshape(3, -1)
    dx = STATIONS[:, None] - x
    r2 = dx**2 + z**2
    Jx = 3 * mass * z * dx / r2**2.5
    Jz = mass * (r2 - 3 * z**2) / r2**2.5
    Jm = z / r2**1.5
    s = len(x)

    def mv(t):
        t = np.ravel(t)
        return Jx @ t[:s] + Jz @ t[s : 2 * s] + Jm @ t[2 * s :]

    def rmv(y):
        y = np.ravel(y)
        return np.concatenate([y @ Jx, y @ Jz, y @ Jm])

    return LinearOperator((len(STATIONS), m.size), matvec=mv, rmatvec=rmv, dtype=float)


def _bodies():
    return np.array([-1.0, 0.7, 1.0, 1.4, 2.0, -1.5])


def _prove_gravity():
    m = _bodies()
    J = columns(anomaly, m)
    op = anomaly_jac(m)
    return [(op @ np.eye(6), J), (op.T @ np.eye(9), J.T)]


# --- adsorption, in the manner of old Chainer --------------------------------------------------------------
class Function:
    def __call__(self, *inputs):
        self.inputs = inputs
        return self.forward(inputs)[0]


class Langmuir(Function):
    def forward(self, inputs):
        p, K = inputs
        self.free = 1 / (1 + p @ K)
        self.theta = p * K * self.free[:, None]
        return (self.theta,)

    def backward(self, inputs, grad_outputs):
        p, K = inputs
        (gt,) = grad_outputs
        gq = self.free[:, None] * (gt - np.sum(gt * self.theta, axis=1, keepdims=True))
        return gq * K, np.sum(gq * p, axis=0)


def _gases():
    r = np.random.default_rng(5)
    return r.uniform(0.1, 2, (5, 3)), r.uniform(0.3, 1.5, 3)


def _prove_langmuir():
    fn, (p, K) = Langmuir(), _gases()
    g = np.random.default_rng(6).standard_normal((5, 3))
    fn(p, K)
    return pairs(fn.backward((p, K), (g,)), lambda: np.sum(g * fn(p, K)), p, K)


# --- equivalent stress -------------------------------------------------------------------------------------
class VonMises:
    # Reihenfolge der Spalten: xx, yy, zz, yz, xz, xy
    def forward(self, s):
        self.s = s
        xx, yy, zz = s[:, :3].T
        shear = np.sum(s[:, 3:] ** 2, axis=1)
        self.eq = np.sqrt(0.5 * ((xx - yy) ** 2 + (yy - zz) ** 2 + (zz - xx) ** 2) + 3 * shear)
        return self.eq

    def backward(self, dout):
        d = np.empty_like(self.s)
        xx, yy, zz = self.s[:, :3].T
        d[:, 0] = xx - (yy + zz) / 2
        d[:, 1] = yy - (xx + zz) / 2
        d[:, 2] = zz - (xx + yy) / 2
        d[:, 3:] = 3 * self.s[:, [5, 4, 3]]
        return d * (dout / self.eq)[:, None]


def _stress():
    return np.random.default_rng(7).standard_normal((5, 6))


def _prove_mises():
    op, s = VonMises(), _stress()
    g = np.random.default_rng(8).standard_normal(5)
    op.forward(s)
    return pairs([op.backward(g)], lambda: g @ op.forward(s), s)


# --- argon cluster ----------------------------------------------------------------------------------------
def lj_energy(pos):
    i, j = np.triu_indices(len(pos), 1)
    r2 = np.sum((pos[i] - pos[j]) ** 2, axis=1)
    return np.sum(4 * (r2**-6 - r2**-3))


def lj_gradient(pos):
    i, j = np.triu_indices(len(pos), 1)
    d = pos[i] - pos[j]
    r2 = np.sum(d**2, axis=1)
    pull = (24 * (2 * r2**-7 - r2**-4))[:, None] * d
    grad = np.zeros_like(pos)
    np.add.at(grad, i, pull)
    np.subtract.at(grad, j, pull)
    return grad


def _argon():
    corners = np.array([[0.0, 0, 0], [1.2, 0, 0], [0, 1.2, 0], [0, 0, 1.2], [1.1, 1.1, 0.4]])
    return corners + 0.05 * np.random.default_rng(9).standard_normal((5, 3))


def _prove_lj():
    pos = _argon()
    return pairs([lj_gradient(pos)], lambda: lj_energy(pos), pos, h=2e-4)


# --- rate constants ---------------------------------------------------------------------------------------
class Arrhenius:
    R = 8.314e-3  # kJ / mol / K

    def __init__(self, A, Ea):
        self.params = {"A": A, "Ea": Ea}
        self.grads = {"A": None, "Ea": None}

    def forward(self, temp):
        self.temp = temp[:, None]
        self.k = self.params["A"] * np.exp(-self.params["Ea"] / (self.R * self.temp))
        return self.k

    def backward(self, dk):
        s = dk * self.k
        self.grads["A"] = s.sum(axis=0)
        self.grads["Ea"] = -(s / (self.R * self.temp)).sum(axis=0)
        return (s * self.params["Ea"] / (self.R * self.temp**2)).sum(axis=1)


def _arrhenius():
    temp = np.array([280.0, 300.0, 320.0, 355.0])
    return Arrhenius(np.array([3.0, 5.0, 0.4]), np.array([2.0, 4.0, 1.2])), temp


def _prove_arrhenius():
    op, temp = _arrhenius()
    g = np.random.default_rng(10).standard_normal((4, 3))
    op.forward(temp)
    d = op.backward(g)
    return pairs(
        [d, op.grads["A"], op.grads["Ea"]],
        lambda: np.sum(g * op.forward(temp)),
        temp,
        op.params["A"],
        op.params["Ea"],
    )


# --- enzymes with an inhibitor ------------------------------------------------------------------------------
def enzyme_forward(S, I, Vmax, Km, Ki):
    D = Km * (1 + I[:, None] / Ki) + S[:, None]
    v = Vmax * S[:, None] / D
    return v, (S, I, Vmax, Km, Ki, D, v)


def enzyme_backward(dv, cache):
    S, I, Vmax, Km, Ki, D, v = cache
    dD = -dv * v / D
    dS = np.sum(dv * Vmax / D + dD, axis=1)
    dI = np.sum(dD * Km / Ki, axis=1)
    dVmax = np.sum(dv * v / Vmax, axis=0)
    dKm = np.sum(dD * (1 + I[:, None] / Ki), axis=0)
    dKi = -np.sum(dD * Km * I[:, None] / Ki, axis=0)
    return dS, dI, dVmax, dKm, dKi


def _enzymes():
    r = np.random.default_rng(11)
    return (
        r.uniform(0.5, 3, 6),
        r.uniform(0.2, 2, 6),
        np.array([1.0, 2.0, 1.5]),
        np.array([0.5, 0.9, 1.4]),
        np.array([0.4, 1.7, 2.6]),
    )


def _prove_enzyme():
    args = _enzymes()
    g = np.random.default_rng(12).standard_normal((6, 3))
    claimed = enzyme_backward(g, enzyme_forward(*args)[1])
    return pairs(claimed, lambda: np.sum(g * enzyme_forward(*args)[0]), *args)


# --- clamped beam by influence coefficients -------------------------------------------------------------
class Beam:
    def __init__(self, n):
        x = np.arange(1, n + 1) / n
        lo, hi = np.minimum.outer(x, x), np.maximum.outer(x, x)
        self.G = lo**2 * (3 * hi - lo) / 6
        self.w = np.empty(n)
        self.adj = np.empty(n)

    def forward(self, load):
        np.matmul(self.G, load, out=self.w)
        return self.w

    def backward(self, dw):
        np.matmul(self.G.T, dw, out=self.adj)
        return self.adj


ENTRIES = [
    Stranger(
        "Vertex normals of a mesh",
        "layer with index array",
        lambda gradlab: gradlab.check_layer(*_tetra()),
        _prove_normals,
    ),
    Stranger(
        "Rubber sheet's energy and forces",
        "methods f and grad, the grad is minus the forces",
        lambda gradlab: gradlab.check_gradient(*_sheet_task()),
        _prove_sheet,
    ),
    Stranger(
        "Compliance of a bar",
        "value and grad",
        lambda gradlab: gradlab.check_gradient(compliance, True, _bar()[0], args=(_bar()[1],)),
        _prove_bar,
    ),
    Stranger(
        "Gravity anomaly with an operator",
        "f and jac as LinearOperator",
        lambda gradlab: gradlab.check_jacobian(anomaly, anomaly_jac, _bodies()),
        _prove_gravity,
    ),
    Stranger(
        "Langmuir adsorption",
        "Chainer function: backward(inputs, grad_outputs)",
        lambda gradlab: gradlab.check_layer(Langmuir(), *_gases()),
        _prove_langmuir,
    ),
    Stranger(
        "Von Mises stress: shear columns from the other end",
        "layer",
        lambda gradlab: gradlab.check_layer(VonMises(), _stress()),
        _prove_mises,
        "wrong",
        "the shear columns yz and xy are exchanged (another author's Voigt order)",
        ("columns-exchanged", "wrong-operand"),
        ("s",),
        "self.s[:, [5, 4, 3]]",
        "self.s[:, [3, 4, 5]]",
    ),
    Stranger(
        "Lennard-Jones cluster: the force for the gradient",
        "f and grad",
        lambda gradlab: gradlab.check_gradient(lj_energy, lj_gradient, _argon()),
        _prove_lj,
        "wrong",
        "this is the force, minus the gradient",
        ("sign-flipped",),
        ("pos",),
        "    np.add.at(grad, i, pull)\n    np.subtract.at(grad, j, pull)\n",
        "    np.subtract.at(grad, i, pull)\n    np.add.at(grad, j, pull)\n",
    ),
    Stranger(
        "Arrhenius rates: gradient by log A",
        "layer with params and grads dicts",
        lambda gradlab: gradlab.check_layer(*_arrhenius()),
        _prove_arrhenius,
        "wrong",
        "A's gradient is that with respect to log A: the division by A is missing",
        ("log-parameter", "missing-factor"),
        ("A",),
        '        self.grads["A"] = s.sum(axis=0)\n',
        '        self.grads["A"] = s.sum(axis=0) / self.params["A"]\n',
    ),
    Stranger(
        "Enzymes with an inhibitor: Ki not squared",
        "pair with cache",
        lambda gradlab: gradlab.check_cached_pair(enzyme_forward, enzyme_backward, _enzymes()),
        _prove_enzyme,
        "wrong",
        "the derivative of 1/Ki is -1/Ki^2, and one Ki is forgotten",
        ("missing-factor", "log-parameter"),
        ("Ki",),
        "dD * Km * I[:, None] / Ki, axis=0",
        "dD * Km * I[:, None] / Ki**2, axis=0",
    ),
    Stranger(
        "Clamped beam: answers in its own buffers",
        "layer with buffers",
        lambda gradlab: gradlab.check_layer(Beam(6), np.random.default_rng(13).standard_normal(6)),
        lambda: [],
        "habit",
        "forward and backward return their buffers, which the next call overwrites",
        ("aliases-memory",),
        ("load",),
    ),
]
