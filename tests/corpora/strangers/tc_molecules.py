"""Molecules, reactions, trusses and beams, orbits."""

import numpy as np

from ._entry import Stranger
from ._help_tc import diff, layer, pairs


class LennardJonesCluster:
    def __init__(self, eps=1.0, sig=1.0):
        self.eps, self.sig = eps, sig

    def _pairs(self, x):
        i, j = np.triu_indices(len(x), 1)
        d = x[i] - x[j]
        return i, j, d, np.sum(d * d, axis=1)

    def energy(self, x):
        *_, r2 = self._pairs(x)
        s6 = (self.sig**2 / r2) ** 3
        return 4 * self.eps * np.sum(s6 * s6 - s6)

    def forces(self, x):
        i, j, d, r2 = self._pairs(x)
        s6 = (self.sig**2 / r2) ** 3
        f = (24 * self.eps * (2 * s6 * s6 - s6) / r2)[:, None] * d
        F = np.zeros_like(x)
        np.add.at(F, i, f)
        np.subtract.at(F, j, f)
        return F

    def gradient(self, x):
        return -self.forces(x)


def torsion_energy(flat, V=(1.4, 0.6, 0.9)):
    """Sum V_k / 2 (1 + cos(k phi - gamma_k)) over a chain of atoms; returns energy and gradient."""
    x = flat.reshape(-1, 3)
    grad, total = np.zeros_like(x), 0.0
    for a in range(len(x) - 3):
        b1, b2, b3 = np.diff(x[a : a + 4], axis=0)
        m, n = np.cross(b1, b2), np.cross(b2, b3)
        L = np.linalg.norm(b2)
        phi = np.arctan2(L * (b1 @ n), m @ n)
        dphi = 0.0
        for k, v in enumerate(V, start=1):
            shift = 0.0 if k % 2 else np.pi
            total += v / 2 * (1 + np.cos(k * phi - shift))
            dphi -= v / 2 * k * np.sin(k * phi - shift)
        d0, d3 = -L / (m @ m) * m, L / (n @ n) * n
        s, t = (b1 @ b2) / L**2, (b3 @ b2) / L**2
        grad[a] += dphi * d0
        grad[a + 1] += dphi * (t * d3 - (1 + s) * d0)
        grad[a + 2] += dphi * (s * d0 - (1 + t) * d3)
        grad[a + 3] += dphi * d3
    return total, grad.ravel()


class Truss:
    """Pin-jointed bars: cross sections and loads -> displacements of the free joints."""

    def __init__(self, joints, bars, fixed):
        free = np.setdiff1d(np.arange(joints.size), fixed)
        B = np.zeros((len(bars), joints.size))
        for e, (p, q) in enumerate(bars):
            d = joints[q] - joints[p]
            length = np.hypot(*d)
            B[e, 2 * q : 2 * q + 2] = d / length**1.5
            B[e, 2 * p : 2 * p + 2] = -d / length**1.5
        self.B = B[:, free]

    def solve(self, areas, load):
        self.K = self.B.T @ (areas[:, None] * self.B)
        self.u = np.linalg.solve(self.K, load)
        return self.u

    def solve_adjoint(self, u_bar):
        lam = np.linalg.solve(self.K, u_bar)
        return -(self.B @ lam) * (self.B @ self.u), lam


class Cantilever:
    """Euler-Bernoulli beam, clamped at the left, loaded at the tip; EI differs from element to element."""

    def __init__(self, n, length=1.0, tip=1.0):
        h = length / n
        self.k0 = (
            np.array(
                [
                    [12, 6 * h, -12, 6 * h],
                    [6 * h, 4 * h * h, -6 * h, 2 * h * h],
                    [-12, -6 * h, 12, -6 * h],
                    [6 * h, 2 * h * h, -6 * h, 4 * h * h],
                ]
            )
            / h**3
        )
        self.n, self.f = n, np.zeros(2 * n + 2)
        self.f[-2] = tip

    def deflect(self, EI):
        K = np.zeros((2 * self.n + 2,) * 2)
        for e in range(self.n):
            K[2 * e : 2 * e + 4, 2 * e : 2 * e + 4] += EI[e] * self.k0
        u = np.zeros(2 * self.n + 2)
        u[2:] = np.linalg.solve(K[2:, 2:], self.f[2:])
        return u

    def compliance(self, EI):
        return self.f @ self.deflect(EI)

    def sensitivity(self, EI):
        u = self.deflect(EI)
        ue = np.stack([u[2 * e : 2 * e + 4] for e in range(self.n)])
        return np.einsum("ei,ij,ej->e", ue, self.k0, ue)


class MassAction:
    """dc/dt = S (k * prod c**order), batch first."""

    def __init__(self, order, S, k):
        self.order, self.S = order, S
        self.params = dict(k=k)
        self.grads = dict(k=None)

    def forward(self, c):
        self.c = c
        self.mono = np.prod(c[:, None, :] ** self.order, axis=2)
        return (self.params["k"] * self.mono) @ self.S.T

    def backward(self, dout):
        dr = dout @ self.S
        self.grads["k"] = (dr * self.mono).sum(0)
        return ((dr * self.params["k"] * self.mono) @ self.order) / self.c


class Arrhenius:
    """k = A exp(-Ea / (R T)) for several reactions at several temperatures."""

    R = 8.314462618e-3

    def __init__(self, A, Ea):
        self.A, self.Ea = A, Ea

    def forward(self, T):
        self.T = T
        self.k = self.A * np.exp(-self.Ea / (self.R * T[:, None]))
        return self.k

    def backward(self, gk):
        gk = gk * self.k
        self.grad_A = gk.sum(axis=0)
        self.grad_Ea = -(gk / (self.R * self.T[:, None])).sum(axis=0)
        return (gk * self.Ea).sum(axis=1) / (self.R * self.T**2)


def nernst_fwd(c_in, c_out, z, T):
    """Reversal potentials in mV."""
    R, F = 8.314462618, 96485.33212
    ratio = np.log(c_out / c_in)
    E = 1000 * R * T / (z * F) * ratio
    return E, (c_in, c_out, z, T, ratio)


def nernst_bwd(dE, cache):
    c_in, c_out, z, T, ratio = cache
    s = 1000 * 8.3 / (z * 96485.33212)
    return {"c_in": -dE * s * T / c_in, "c_out": dE * s * T / c_out, "T": np.sum(dE * s * ratio)}


class Electrostatics:
    """E = 1/2 sum over i != j of q_i q_j / r_ij."""

    def forward(self, q, pos):
        self.q = q
        self.d = pos[:, None] - pos[None]
        with np.errstate(divide="ignore"):
            self.inv = np.where(np.eye(len(q)) > 0, 0.0, 1 / np.linalg.norm(self.d, axis=2))
        return 0.5 * q @ self.inv @ q

    def backward(self, dE=1.0):
        dq = 0.5 * dE * (self.inv @ self.q)
        w = np.outer(self.q, self.q) * self.inv**3
        dpos = -dE * np.sum(w[:, :, None] * self.d, axis=1)
        return dq, dpos


class MorseChain:
    """A string of atoms with Morse bonds by symplectic Euler: (q, p) -> (q, p)."""

    def __init__(self, mass=1.5, dt=0.12, steps=6):
        self.mass, self.dt, self.steps = mass, dt, steps

    def _kick(self, q):
        e = np.exp(-(np.diff(q) - 1.0))
        t = 2 * (e - e * e)
        return np.append(t, 0) - np.append(0, t)

    def _kick_T(self, q, g):
        e = np.exp(-(np.diff(q) - 1.0))
        s = 2 * (2 * e * e - e) * (g[:-1] - g[1:])
        return np.append(0, s) - np.append(s, 0)

    def forward(self, q, p):
        self.qs = []
        for _ in range(self.steps):
            self.qs.append(q)
            p = p + self.dt * self._kick(q)
            q = q + self.dt / self.mass * p
        return q, p

    def backward(self, dq, dp):
        for q in reversed(self.qs):
            dp_mid = dp + self.dt / self.mass * dq
            dq = dq + self.dt * self._kick_T(q, dp)
            dp = dp_mid
        return dq, dp


def kepler(M, ecc):
    """Eccentric anomaly by Newton's method, E - e sin E = M; the rule is the implicit one."""
    E = M + ecc * np.sin(M)
    for _ in range(30):
        E = E - (E - ecc * np.sin(E) - M) / (1 - ecc * np.cos(E))
    return E, (E, ecc)


def kepler_vjp(E_bar, cache):
    E, ecc = cache
    M_bar = E_bar / (1 - ecc * np.cos(E))
    e_bar = M_bar * np.sin(E)
    return M_bar, e_bar


class SoftFluid:
    """Gaussian repulsion between particles in a periodic box."""

    def __init__(self, box=4.0, width=0.8):
        self.box, self.width = box, width

    def forward(self, pos):
        pos %= self.box
        d = pos[:, None] - pos[None]
        self.d = d - self.box * np.round(d / self.box)
        self.g = np.exp(-np.sum(self.d**2, axis=2) / self.width**2)
        return 0.5 * (self.g.sum() - len(pos))

    def backward(self, dE=1.0):
        return dE * np.sum(-2 / self.width**2 * self.g[:, :, None] * self.d, axis=1)


def _lj():
    r = np.random.default_rng(31)
    grid = 1.15 * np.stack(np.meshgrid([0, 1.0], [0, 1.0], [0, 1.0]), -1).reshape(-1, 3)
    return LennardJonesCluster(), grid + 0.08 * r.standard_normal(grid.shape)


def _chain():
    z = np.array([[0, 0, 0], [1.5, 0, 0], [2.0, 1.4, 0], [3.4, 1.6, 0.6], [3.9, 2.9, 1.1], [5.2, 3.0, 1.9]])
    return (z + 0.1 * np.random.default_rng(32).standard_normal(z.shape)).ravel()


def _truss():
    joints = np.array([[0, 0], [0, 1], [1, 0], [1, 1], [2, 0.5]], float)
    bars = [(0, 2), (1, 3), (0, 3), (1, 2), (2, 3), (2, 4), (3, 4)]
    return Truss(joints, bars, [0, 1, 2, 3]), np.linspace(1, 2, 7), np.array([0.1, 0, 0, -0.3, 0.2, -1.0])


def _mass():
    order = np.array([[1, 1, 0, 0], [0, 0, 1, 0], [0, 0, 1, 2], [2, 0, 0, 0]])
    S = np.array([[-1, 1, 0, -2], [-1, 1, 0, 0], [1, -1, -1, 0], [0, 0, -2, 1]], float)
    r = np.random.default_rng(33)
    return MassAction(order, S, r.uniform(0.5, 2, 4)), r.uniform(0.3, 1.5, (5, 4))


def _arr():
    return Arrhenius(np.array([4.0, 9.0, 0.3]), np.array([3.0, 5.5, 1.2])), np.array([290.0, 310, 350, 420])


def _ions():
    c_in, c_out = np.array([140.0, 12, 1.2, 4]), np.array([5.0, 145, 2.0, 110])
    return c_in, c_out, np.array([1, 1, 2, -1]), np.array(310.15)


def _charges():
    r = np.random.default_rng(34)
    return Electrostatics(), r.standard_normal(6), 2 * r.standard_normal((6, 3))


def _morse():
    r = np.random.default_rng(35)
    return MorseChain(), np.arange(6) + 0.2 * r.standard_normal(6), 0.5 * r.standard_normal(6)


def _orbits():
    return np.array([0.4, 1.9, 3.3, 5.1, 2.6]), np.array([0.1, 0.6, 0.3, 0.45, 0.7])


def _call_lj(gradlab):
    lj, x = _lj()
    return gradlab.check_gradient(lj.energy, lj.gradient, x)


def _call_beam(gradlab):
    beam = Cantilever(5)
    return gradlab.check_gradient(beam.compliance, beam.sensitivity, np.array([2.0, 1.8, 1.5, 1.1, 0.9]))


def _p_lj():
    lj, x = _lj()
    return [(lj.gradient(x), diff(lambda: lj.energy(x), x, 2e-4))]


def _p_chain():
    x = _chain()
    return [(torsion_energy(x)[1], diff(lambda: torsion_energy(x)[0], x))]


def _p_beam():
    beam, EI = Cantilever(5), np.array([2.0, 1.8, 1.5, 1.1, 0.9])
    return [(beam.sensitivity(EI), diff(lambda: beam.compliance(EI), EI))]


def _p_mass():
    o, c = _mass()
    return layer(o, [c], [o.params["k"]], lambda o: [o.grads["k"]])


def _p_arr():
    o, T = _arr()
    return layer(o, [T], [o.A, o.Ea], lambda o: [o.grad_A, o.grad_Ea])


def _p_ions():
    a = _ions()
    wrt = [a[0], a[1], a[3]]
    return pairs(lambda: nernst_fwd(*a)[0], lambda g: list(nernst_bwd(g, nernst_fwd(*a)[1]).values()), wrt)


def _p_kepler():
    a = _orbits()
    return pairs(lambda: kepler(*a)[0], lambda g: kepler_vjp(g, kepler(*a)[1]), a)


def _p(make, **kw):
    def prove():
        o, *ins = make()
        return layer(o, ins, **kw)

    return prove


ENTRIES = [
    Stranger("tc lennard-jones cluster", "object with energy and gradient", _call_lj, _p_lj),
    Stranger(
        "tc torsions along a chain of atoms",
        "function that returns value and gradient",
        lambda gradlab: gradlab.check_gradient(torsion_energy, True, _chain()),
        _p_chain,
    ),
    Stranger(
        "tc truss displacements",
        "solve and solve_adjoint, two inputs",
        lambda gradlab: gradlab.check_layer(*_truss()),
        _p(_truss, fwd="solve", bwd="solve_adjoint"),
    ),
    Stranger(
        "tc cantilever compliance: the minus of the self-adjoint rule forgotten",
        "object with compliance and sensitivity",
        _call_beam,
        _p_beam,
        "wrong",
        "the compliance falls with the stiffness: the minus is missing",
        ("sign-flipped",),
        ("EI",),
        '        return np.einsum("ei,ij,ej->e", ue, self.k0, ue)\n',
        '        return -np.einsum("ei,ij,ej->e", ue, self.k0, ue)\n',
    ),
    Stranger(
        "tc mass action kinetics", "layer with dicts", lambda gradlab: gradlab.check_layer(*_mass()), _p_mass
    ),
    Stranger(
        "tc arrhenius rates: the prefactor's gradient is that of its logarithm",
        "layer, attributes grad_*",
        lambda gradlab: gradlab.check_layer(*_arr()),
        _p_arr,
        "wrong",
        "grad_A belongs to ln A: the division by A is missing",
        ("log-parameter", "missing-factor"),
        ("A",),
        "        self.grad_A = gk.sum(axis=0)\n",
        "        self.grad_A = gk.sum(axis=0) / self.A\n",
    ),
    Stranger(
        "tc nernst potentials: the gas constant rounded in backward",
        "pair with cache, dict of gradients",
        lambda gradlab: gradlab.check_cached_pair(nernst_fwd, nernst_bwd, _ions()),
        _p_ions,
        "wrong",
        "backward has R = 8.3, forward 8.314462618",
        ("rounded-constants", "constant-factor"),
        ("c_in", "c_out", "T"),
        "    s = 1000 * 8.3 / (z * 96485.33212)\n",
        "    s = 1000 * 8.314462618 / (z * 96485.33212)\n",
    ),
    Stranger(
        "tc electrostatic energy: the charges' gradient keeps the half",
        "loss, two inputs",
        lambda gradlab: gradlab.check_layer(*_charges()),
        _p(_charges),
        "wrong",
        "each charge occurs in both places of the double sum: the factor 1/2 has to go",
        ("constant-factor",),
        ("q",),
        "        dq = 0.5 * dE * (self.inv @ self.q)\n",
        "        dq = dE * (self.inv @ self.q)\n",
    ),
    Stranger(
        "tc morse chain by symplectic Euler: the kick takes the old cotangent of p",
        "layer with two inputs and outputs",
        lambda gradlab: gradlab.check_layer(*_morse()),
        _p(_morse),
        "wrong",
        "the force's cotangent is the one of p before the drift's share was added",
        ("wrong-cotangent", "missing-term"),
        ("q", "p"),
        "            dq = dq + self.dt * self._kick_T(q, dp)\n",
        "            dq = dq + self.dt * self._kick_T(q, dp_mid)\n",
    ),
    Stranger(
        "tc kepler's equation by the implicit rule",
        "pair with cache",
        lambda gradlab: gradlab.check_cached_pair(kepler, kepler_vjp, _orbits()),
        _p_kepler,
    ),
    Stranger(
        "tc soft fluid: wraps the caller's positions in place",
        "loss",
        lambda gradlab: gradlab.check_layer(SoftFluid(), np.random.default_rng(36).uniform(-3, 7, (7, 2))),
        lambda: [],
        "habit",
        "forward brings the caller's array into the box in place",
        ("mutates-argument",),
        ("pos",),
    ),
]
