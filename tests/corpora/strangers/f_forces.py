import numpy as np

from ._entry import Stranger
from ._help_f import both

# ---- bead-spring polymer: FENE bonds, WCA repulsion between all beads
K_BOND, R_MAX = 3.0, 2.5


def chain_energy(x):
    b = np.diff(x, axis=0)
    e = -0.5 * K_BOND * R_MAX**2 * np.log(1 - (b**2).sum(1) / R_MAX**2).sum()
    for i in range(len(x)):
        for j in range(i):
            r2 = ((x[i] - x[j]) ** 2).sum()
            if r2 < 2 ** (1 / 3):
                s6 = r2**-3
                e += 4 * (s6 * s6 - s6) + 1
    return e


def chain_force(x):
    f = np.zeros_like(x)
    b = np.diff(x, axis=0)
    pull = K_BOND * b / (1 - (b**2).sum(1, keepdims=True) / R_MAX**2)
    f[:-1] += pull
    f[1:] -= pull
    for i in range(len(x)):
        for j in range(i):
            d = x[i] - x[j]
            r2 = d @ d
            if r2 < 2 ** (1 / 3):
                s6 = r2**-3
                push = 24 * (2 * s6 * s6 - s6) / r2 * d
                f[i] += push
                f[j] -= push
    return f


def _chain():
    rng = np.random.default_rng(33)
    x = np.cumsum(np.full((5, 3), 0.55) + 0.25 * rng.standard_normal((5, 3)), axis=0)
    x[3:] += x[1] - x[3] + np.array([0.6, -0.75, 0.45])
    return x


# ---- water-like bending: (cos(theta) - c0)^2 for every triple
class AngleTerm(object):
    def __init__(self, triples, c0=-1.0 / 3, k=2.0):
        self.triples = triples
        self.c0 = c0
        self.k = k

    def energy(self, pos):
        tot = 0.0
        for i, j, l in self.triples:
            u, v = pos[i] - pos[j], pos[l] - pos[j]
            tot += self.k * (u.dot(v) / np.sqrt(u.dot(u) * v.dot(v)) - self.c0) ** 2
        return tot

    def gradient(self, pos):
        out = np.zeros(pos.shape)
        for i, j, l in self.triples:
            u, v = pos[i] - pos[j], pos[l] - pos[j]
            nu, nv = np.sqrt(u.dot(u)), np.sqrt(v.dot(v))
            c = u.dot(v) / (nu * nv)
            w = 2 * self.k * (c - self.c0)
            gu = w * (v / nv - c * u / nu) / nu
            gv = w * (u / nu - c * v / nv) / nv
            out[i] += gu
            out[l] += gv
            out[j] -= gu
        return out


TRIPLES = [(0, 1, 2), (1, 2, 3), (3, 2, 0)]
ATOMS = np.random.default_rng(2).standard_normal((4, 3)) * 1.2


# ---- planar dipoles on fixed sites, angles only
def dipole_energy(phi, sites):
    n = np.stack([np.cos(phi), np.sin(phi)], axis=1)
    d = sites[:, None] - sites[None]
    r = np.sqrt((d**2).sum(-1) + np.eye(len(phi)))
    along = np.einsum("ik,ijk->ij", n, d)
    e = (n @ n.T) / r**3 - 3 * along * np.einsum("jk,ijk->ij", n, d) / r**5
    return 0.5 * (e.sum() - np.trace(e))


def dipole_torque(phi, sites):
    """Torque is what turns phi: minus the slope."""
    n = np.stack([np.cos(phi), np.sin(phi)], axis=1)
    t = np.stack([-np.sin(phi), np.cos(phi)], axis=1)
    d = sites[:, None] - sites[None]
    r = np.sqrt((d**2).sum(-1) + np.eye(len(phi)))
    off = 1 - np.eye(len(phi))
    field = -np.einsum("ij,jk->ik", off / r**3, n)
    field += 3 * np.einsum("ij,ijk,ij->ik", off / r**5, d, np.einsum("jk,ijk->ij", n, d))
    return (field * t).sum(1)


SITES = np.array([[0.0, 0.1], [1.2, -0.2], [0.3, 1.4], [1.5, 1.1], [-1.1, 0.8]])
PHI = np.array([0.3, 1.9, -0.7, 2.6, 0.9])

# ---- soft particles in a periodic cell
CELL = np.array([3.0, 4.0])


def periodic_gauss_energy(xy):
    n = len(xy)
    i, j = np.triu_indices(n, 1)
    d = xy[i] - xy[j]
    d = d - CELL * np.rint(d / CELL)
    return np.exp(-(d**2).sum(1)).sum()


def periodic_gauss_gradient(xy):
    n = len(xy)
    i, j = np.triu_indices(n, 1)
    d = xy[i] - xy[j]
    near = d - CELL * np.rint(d / CELL)
    s = -2 * np.exp(-(near**2).sum(1))[:, None] * d
    g = np.zeros_like(xy)
    np.add.at(g, i, s)
    np.add.at(g, j, -s)
    return g


CELL_XY = np.array([[0.2, 0.3], [2.55, 3.5], [1.2, 1.87], [2.3, 0.9], [0.5, 2.8]])


# ---- vesicle in two dimensions: stretching, bending, and a pressure on the enclosed area
def vesicle(z, kappa, pressure):
    nxt, prv = np.roll(z, -1, axis=0), np.roll(z, 1, axis=0)
    lap = nxt - 2 * z + prv
    edge = nxt - z
    length = np.sqrt((edge**2).sum(1))
    area = 0.5 * np.sum(z[:, 0] * nxt[:, 1] - z[:, 1] * nxt[:, 0])
    energy = 0.5 * kappa * (lap**2).sum() + 0.5 * ((length - 1) ** 2).sum() - pressure * area
    g = kappa * (np.roll(lap, 1, axis=0) - 2 * lap + np.roll(lap, -1, axis=0))
    tension = (1 - 1 / length)[:, None] * edge
    g += np.roll(tension, 1, axis=0) - tension
    g[:, 0] -= 0.5 * pressure * (nxt[:, 1] - prv[:, 1])
    g[:, 1] -= 0.5 * pressure * (prv[:, 0] - nxt[:, 0])
    return energy, g


def _vesicle():
    a = np.arange(7) * 2 * np.pi / 7
    smooth = np.stack([1.3 * np.cos(a), 0.9 * np.sin(a)], 1)
    return smooth + 0.1 * np.random.default_rng(3).standard_normal((7, 2))


# ---- Ginzburg-Landau order parameter on a rod with free ends
def gl_free_energy(psi, dx=0.5, t=-0.8):
    grad = (psi[1:] - psi[:-1]) / dx
    return dx * (np.sum(0.5 * t * psi**2 + 0.25 * psi**4) + 0.5 * np.sum(grad**2))


def gl_variation(psi, dx=0.5, t=-0.8):
    lap = (np.roll(psi, -1) - 2 * psi + np.roll(psi, 1)) / dx**2
    return dx * (t * psi + psi**3 - lap)


PSI = np.random.default_rng(4).standard_normal(8)


# ---- Swift-Hohenberg pattern energy, the linear part in Fourier space
def SwiftHohenberg(u: np.ndarray, eps: float = 0.3, length: float = 14.0) -> tuple[float, np.ndarray]:
    n = u.size
    q = 2 * np.pi * np.fft.rfftfreq(n, length / n)
    symbol = (1 - q**2) ** 2 - eps
    Lu = np.fft.irfft(symbol * np.fft.rfft(u), n)
    F = (0.5 * u * Lu + 0.25 * u**4).mean()
    return F, (Lu + u**3) / n


FIELD = np.random.default_rng(5).standard_normal(11)


# ---- ring of Morse bonds
def morse_ring(x):
    step = np.roll(x, -1, axis=0) - x
    r = np.sqrt((step**2).sum(axis=1))
    return ((1 - np.exp(-1.4 * (r - 1.1))) ** 2).sum()


def morse_ring_grad(x):
    n = len(x)
    step = np.roll(x, -1, axis=0) - x
    r = np.sqrt((step**2).sum(axis=1))
    ex = np.exp(-1.4 * (r - 1.1))
    pull = (2.8 * ex * (1 - ex))[:, None] * step / r[:, None]
    g = np.empty_like(x)
    for k in range(n):
        g[k] -= pull[k]
        g[k] += pull[k - 1]
    return g


RING = np.random.default_rng(6).standard_normal((5, 2)) * 1.1


# ---- satellites: Plummer softening between them, oblate planet in the middle
def satelliteEnergy(rv, m, j2):
    r = rv.reshape(-1, 3)
    rr = np.linalg.norm(r, axis=1)
    U = -(m / rr * (1 - j2 / rr**2 * (1.5 * (r[:, 2] / rr) ** 2 - 0.5))).sum()
    for a in range(len(r)):
        for b in range(a + 1, len(r)):
            U -= m[a] * m[b] / np.sqrt(((r[a] - r[b]) ** 2).sum() + 0.05)
    return U


def satelliteSlope(rv, m, j2):
    r = rv.reshape(-1, 3)
    rr = np.linalg.norm(r, axis=1)[:, None]
    z = r[:, 2:]
    zhat = np.array([[0.0, 0.0, 1.0]])
    g = m[:, None] * (r / rr**3 + j2 * (3 * z * zhat / rr**5 - 7.5 * z**2 * r / rr**7 + 1.5 * r / rr**5))
    d = r[:, None] - r[None]
    w = np.outer(m, m) / ((d**2).sum(-1) + 0.05) ** 1.5
    g += (w[:, :, None] * d).sum(1)
    return g.reshape(1, -1)


SAT = np.array([1.1, 0.3, -0.5, -0.8, 0.9, 0.7, 0.2, -1.3, 0.4])
SAT_M = np.array([1.0, 0.4, 0.7])


# ---- standing waves of light: traps at every node, positions in units of the cell
def lattice_energy(pos):
    pos %= 1.0
    i, j = np.triu_indices(len(pos), 1)
    return -np.cos(2 * np.pi * pos).sum() + (np.sin(np.pi * (pos[i] - pos[j])) ** 2).sum()


def lattice_gradient(pos):
    d = pos[:, None] - pos[None]
    return 2 * np.pi * np.sin(2 * np.pi * pos) + np.pi * np.sin(2 * np.pi * d).sum(axis=1)


LATTICE = np.array([0.12, 1.37, -0.45, 2.81])


def _prove_ring():
    morse_ring_grad(RING)
    return both(morse_ring, morse_ring_grad, RING)


def _angle():
    return AngleTerm(TRIPLES)


ENTRIES = [
    Stranger(
        "bead-spring chain: forces are minus the gradient",
        "energy and force",
        lambda gradlab: gradlab.check_gradient(chain_energy, lambda x: -chain_force(x), _chain()),
        lambda: both(chain_energy, lambda x: -chain_force(x), _chain()),
    ),
    Stranger(
        "three-body angles: the middle atom feels one neighbour only",
        "object with energy and gradient",
        lambda gradlab: gradlab.check_gradient(_angle().energy, _angle().gradient, ATOMS),
        lambda: both(_angle().energy, _angle().gradient, ATOMS),
        "wrong",
        "the middle atom's gradient is minus both, and gv is missing",
        ("missing-term",),
        ("pos",),
        "            out[j] -= gu",
        "            out[j] -= gu + gv",
    ),
    Stranger(
        "planar dipoles: torque",
        "energy and torque with args",
        lambda gradlab: gradlab.check_gradient(
            dipole_energy, lambda p, s: -dipole_torque(p, s), PHI, args=(SITES,)
        ),
        lambda: both(lambda p: dipole_energy(p, SITES), lambda p: -dipole_torque(p, SITES), PHI),
    ),
    Stranger(
        "periodic soft particles: the gradient along the unwrapped distance",
        "f and grad",
        lambda gradlab: gradlab.check_gradient(
            periodic_gauss_energy, periodic_gauss_gradient, CELL_XY.copy()
        ),
        lambda: both(periodic_gauss_energy, periodic_gauss_gradient, CELL_XY),
        "wrong",
        "d stands where the nearest image belongs",
        ("masked-region",),
        ("xy",),
        "    s = -2 * np.exp(-(near**2).sum(1))[:, None] * d",
        "    s = -2 * np.exp(-(near**2).sum(1))[:, None] * near",
    ),
    Stranger(
        "vesicle with bending and pressure",
        "value and gradient with args",
        lambda gradlab: gradlab.check_gradient(vesicle, True, _vesicle(), args=(0.7, 0.4)),
        lambda: both(lambda z: vesicle(z, 0.7, 0.4)[0], lambda z: vesicle(z, 0.7, 0.4)[1], _vesicle()),
    ),
    Stranger(
        "Ginzburg-Landau rod: free ends taken for a ring",
        "f and grad",
        lambda gradlab: gradlab.check_gradient(gl_free_energy, gl_variation, PSI.copy()),
        lambda: both(gl_free_energy, gl_variation, PSI),
        "wrong",
        "np.roll joins the two free ends",
        ("border",),
        ("psi",),
        "    lap = (np.roll(psi, -1) - 2 * psi + np.roll(psi, 1)) / dx**2",
        '    wide = np.pad(psi, 1, mode="edge")\n    lap = (wide[2:] - 2 * psi + wide[:-2]) / dx**2',
    ),
    Stranger(
        "Swift-Hohenberg energy",
        "value and gradient",
        lambda gradlab: gradlab.check_gradient(
            lambda u: SwiftHohenberg(u)[0], lambda u: SwiftHohenberg(u)[1], FIELD.copy()
        ),
        lambda: both(lambda u: SwiftHohenberg(u)[0], lambda u: SwiftHohenberg(u)[1], FIELD),
    ),
    Stranger(
        "ring of Morse bonds: memory that was never set to zero",
        "f and grad",
        lambda gradlab: gradlab.check_gradient(morse_ring, morse_ring_grad, RING.copy()),
        _prove_ring,
        "wrong",
        "adds up into np.empty_like",
        ("nondeterministic", "aliases-memory", "additive-bias"),
        ("x",),
        "    g = np.empty_like(x)",
        "    g = np.zeros_like(x)",
    ),
    Stranger(
        "satellites about an oblate planet: a row",
        "f and grad with args, gradient (1, n)",
        lambda gradlab: gradlab.check_gradient(
            satelliteEnergy, satelliteSlope, SAT.copy(), args=(SAT_M, 0.1)
        ),
        lambda: both(lambda v: satelliteEnergy(v, SAT_M, 0.1), lambda v: satelliteSlope(v, SAT_M, 0.1), SAT),
    ),
    Stranger(
        "optical lattice: wraps the positions that it is given",
        "f and grad",
        lambda gradlab: gradlab.check_gradient(lattice_energy, lattice_gradient, LATTICE.copy()),
        lambda: both(lattice_energy, lattice_gradient, LATTICE),
        "habit",
        "the energy writes into its argument",
        ("mutates-argument",),
        ("pos",),
        "    pos %= 1.0",
        "    pos = pos % 1.0",
    ),
]
