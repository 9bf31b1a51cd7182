"""Physics and chemistry."""

import numpy as np

from . import _help_i as H
from ._entry import Stranger


class SpringMesh:
    """Cloth: elastic energy of every spring. edges is (E, 2) int."""

    def __init__(self, edges, stiffness, rest):
        self.edges = edges
        self.stiffness = stiffness
        self.rest = rest
        self.d_stiffness = None
        self.d_rest = None

    def forward(self, pos):
        i, j = self.edges.T
        self.diff = pos[i] - pos[j]
        self.length = np.linalg.norm(self.diff, axis=1)
        self.stretch = self.length - self.rest
        self.n = len(pos)
        return 0.5 * self.stiffness * self.stretch**2

    def backward(self, d_energy):
        self.d_stiffness = 0.5 * d_energy * self.stretch**2
        pull = d_energy * self.stiffness * self.stretch
        self.d_rest = -pull
        along = (pull / self.length)[:, None] * self.diff
        d_pos = np.zeros((self.n, self.diff.shape[1]))
        np.add.at(d_pos, self.edges[:, 0], along)
        np.subtract.at(d_pos, self.edges[:, 1], along)
        return d_pos


def _mesh():
    rng = np.random.default_rng(3)
    edges = np.array([[0, 1], [1, 2], [2, 3], [3, 0], [0, 2], [4, 1]])
    return SpringMesh(edges, rng.uniform(1, 3, 6), rng.uniform(0.5, 1, 6)), rng.normal(size=(5, 3))


class CoulombSites:
    """potential at each site of all the other charges"""

    def forward(self, pos, q):
        r = pos[:, None, :] - pos[None, :, :]
        d = np.sqrt((r**2).sum(-1) + np.eye(len(q)))
        inv = (1 - np.eye(len(q))) / d
        self.saved = r, inv, q
        return inv @ q

    def backward(self, gphi):
        r, inv, q = self.saved
        gq = inv.T @ gphi
        gd = -np.outer(gphi, q) * inv**2
        gr = (gd * inv)[..., None] * r
        gpos = gr.sum(axis=1)
        return gpos, gq


def _coulomb():
    rng = np.random.default_rng(8)
    return CoulombSites(), rng.normal(size=(5, 3)) * 2, rng.normal(size=5)


class HeatRod(object):
    """Explicit Euler on a rod with fixed ends. kappa may differ from cell to cell."""

    def __init__(self, kappa, steps=6, dt=0.2):
        self.kappa, self.steps, self.dt = kappa, steps, dt

    def _lap(self, u):
        out = np.zeros_like(u)
        out[1:-1] = u[:-2] - 2 * u[1:-1] + u[2:]
        return out

    def _lap_T(self, v):
        out = np.zeros_like(v)
        out[:-2] += v[1:-1]
        out[1:-1] -= 2 * v[1:-1]
        out[2:] += v[1:-1]
        return out

    def forward(self, u0):
        self.history = [u0]
        u = u0
        for _ in range(self.steps):
            u = u + self.dt * self.kappa * self._lap(u)
            self.history.append(u)
        return u

    def backward(self, lam):
        self.grad_kappa = np.zeros_like(self.kappa)
        for u in reversed(self.history[:-1]):
            self.grad_kappa += self.dt * lam * self._lap(u)
            lam = lam + self.dt * self._lap_T(self.kappa * lam)
        return lam


def _rod():
    rng = np.random.default_rng(0)
    return HeatRod(rng.uniform(0.2, 1.0, 9)), rng.normal(size=9)


class WaveString:
    """Leapfrog for u_tt = c2 u_xx on a ring, started at rest; c2 is learned for every point."""

    def __init__(self, c2, nt):
        self.c2 = c2
        self.nt = nt

    @staticmethod
    def D2(u):
        return np.roll(u, 1) - 2 * u + np.roll(u, -1)

    def forward(self, u0):
        self.U = U = np.empty((self.nt + 2, u0.size))
        U[0] = U[1] = u0
        for n in range(1, self.nt + 1):
            U[n + 1] = 2 * U[n] - U[n - 1] + self.c2 * self.D2(U[n])
        return U[-1].copy()

    def backward(self, dlast):
        A = np.zeros_like(self.U)
        A[-1] = dlast
        self.dc2 = np.zeros_like(self.c2)
        for n in range(self.nt, 0, -1):
            A[n] += 2 * A[n + 1] + self.D2(self.c2 * A[n + 1])
            A[n - 1] -= A[n + 1]
            self.dc2 += A[n + 1] * self.D2(self.U[n + 1])
        return A[0] + A[1]


def _wave():
    rng = np.random.default_rng(1)
    return WaveString(rng.uniform(0.1, 0.4, 8), 5), rng.normal(size=8)


class Pendulum:
    """Semi-implicit Euler. State (theta, omega), one row a pendulum."""

    def __init__(self, params):
        self.p = params  # g, L, damping

    def simulate(self, state, n=8, h=0.05):
        th, om = state[:, 0], state[:, 1]
        g, L, c = self.p["g"], self.p["L"], self.p["c"]
        self.tape = []
        for _ in range(n):
            self.tape.append((th, om, h))
            om = om + h * (-g / L * np.sin(th) - c * om)
            th = th + h * om
        return np.stack([th, om], 1)

    def simulate_backward(self, dstate):
        g, L, c = self.p["g"], self.p["L"], self.p["c"]
        dth, dom = dstate[:, 0].copy(), dstate[:, 1].copy()
        out = dict(g=0.0, L=0.0, c=0.0)
        for th, om, h in self.tape[::-1]:
            dom = dom + h * dth
            s = np.sin(th)
            out["g"] -= (dom * h * s / L).sum()
            out["L"] += (dom * h * g / L**2 * s).sum()
            out["c"] -= (dom * h * om).sum()
            dth = dth - dom * h * g / L * np.cos(th)
            dom = dom * (1 - h * c)
        self.dp = out
        return np.stack([dth, dom], 1)


def _pendulum():
    p = {"g": np.array(9.81), "L": np.array(0.7), "c": np.array(0.1)}
    return Pendulum(p), np.random.default_rng(4).normal(size=(3, 2))


def _pendulum_call(gradlab):
    pen, s = _pendulum()
    return gradlab.check_layer(pen, s, forward="simulate", backward="simulate_backward")


class MeanFieldIsing:
    # m = tanh(beta (J m + h)), J is kept symmetric
    def __init__(self, A, h, beta):
        self.A, self.h, self.beta = A, h, beta
        self.dA, self.dh = np.zeros_like(A), np.zeros_like(h)

    def __call__(self, m):
        J = 0.5 * (self.A + self.A.T)
        self.m, self.J = m, J
        self.out = np.tanh(self.beta * (m @ J + self.h))
        return self.out

    def backward(self, dm):
        t = dm * (1 - self.out**2) * self.beta
        dJ = self.m.T @ t
        self.dA = 0.5 * dJ
        self.dh = t.sum(0)
        return t @ self.J.T


def _ising():
    rng = np.random.default_rng(9)
    return MeanFieldIsing(rng.normal(size=(4, 4)), rng.normal(size=4), 0.6), rng.uniform(-1, 1, (3, 4))


class PlanckBrightness:
    """Spectral radiance (arbitrary units), wavelengths in micrometers, T in kilokelvin."""

    def __init__(self, wavelength):
        self.lam = wavelength

    def forward(self, T):
        self.T = T
        z = np.exp(14.387769 / (self.lam * T[:, None]))
        self.z = z
        return 1 / (self.lam**5 * (z - 1))

    def backward(self, dB):
        dz = -dB / (self.lam**5 * (self.z - 1) ** 2)
        dT = dz * self.z * -14.3 / (self.lam * self.T[:, None] ** 2)
        return dT.sum(1)


def _planck():
    return PlanckBrightness(np.linspace(0.4, 2.0, 7)), np.array([3.1, 4.5, 5.8, 7.2])


class HillKinetics:
    """v = Vmax s^n / (K^n + s^n), as bottoms and tops in the manner of Caffe (the layer has three blobs)."""

    def __init__(self, vmax, k, n):
        self.blobs = [vmax, k, n]
        self.diffs = [np.zeros_like(b) for b in self.blobs]

    def forward(self, s):
        vmax, k, n = self.blobs
        self.s = s
        self.frac = 1.0 / (1.0 + (k / s) ** n)
        return vmax * self.frac

    def backward(self, top_diff):
        vmax, k, n = self.blobs
        slope = top_diff * vmax * self.frac * (1 - self.frac)
        self.diffs[0][...] = (top_diff * self.frac).sum(axis=0)
        self.diffs[1][...] = (-slope * n / k).sum(axis=0)
        self.diffs[2][...] = (slope * np.log(self.s / k)).sum(axis=0)
        return slope * n / self.s


def _hill():
    rng = np.random.default_rng(6)
    return HillKinetics(*rng.uniform(0.8, 2.5, (3, 4))), rng.uniform(0.3, 3, (5, 4))


class MorseBond:
    """D (1 - exp(-a (r - r0)))^2 ; grads() hands back everything in a dict"""

    def __init__(self, D, a, r0):
        self.D, self.a, self.r0 = D, a, r0

    def forward(self, r):
        self.r = r
        self.e = np.exp(-self.a * (r - self.r0))
        return self.D * (1 - self.e) ** 2

    def backward(self, dV):
        u = 1 - self.e
        du = dV * 2 * self.D * u
        return {
            "r": du * self.a * self.e,
            "D": (dV * u**2).sum(0),
            "a": (du * (self.r - self.r0)).sum(0),
            "r0": (-du * self.a * self.e).sum(0),
        }


def _morse():
    rng = np.random.default_rng(5)
    bond = MorseBond(rng.uniform(1, 2, 3), rng.uniform(0.5, 1, 3), rng.uniform(1, 1.3, 3))
    return bond, rng.uniform(1, 2, (4, 3))


class LensTrain:
    """Paraxial rays (height, angle) through thin lenses of focal lengths f with gaps d behind each."""

    def __init__(self, f, d):
        self.f = f
        self.d = d

    def forward(self, rays):
        self.trace = []
        y, u = rays[:, 0], rays[:, 1]
        for f, d in zip(self.f, self.d):
            self.trace.append(y)
            u = u - y / f
            self.trace.append(u)
            y = y + d * u
        return np.column_stack([y, u])

    def backward(self, grad):
        gy, gu = grad.T.copy()
        self.gf = np.empty(len(self.f))
        self.gd = np.empty(len(self.d))
        trace = list(self.trace)
        for k in range(len(self.f) - 1, -1, -1):
            self.gd[k] = gy @ trace.pop()
            gu += gy * self.d[k]
            self.gf[k] = gu @ trace.pop() / self.f[k] ** 2
            gy -= gu / self.f[k]
        return np.column_stack([gy, gu])


def _lens():
    rng = np.random.default_rng(2)
    return LensTrain(np.array([1.2, -2.0, 0.9]), np.array([0.3, 0.5, 0.2])), rng.normal(size=(6, 2))


class Screened:
    """Solves (L + k2) phi = rho on a ring by Jacobi sweeps, started from the last solution to be faster."""

    def __init__(self, k2=4.0, sweeps=3):
        self.k2, self.sweeps, self.phi = k2, sweeps, None

    def forward(self, rho):
        if self.phi is None:
            self.phi = np.zeros_like(rho)
        for _ in range(self.sweeps):
            self.phi = (rho + np.roll(self.phi, 1) + np.roll(self.phi, -1)) / (2 + self.k2)
        return self.phi

    def backward(self, g):
        drho = np.zeros_like(g)
        for _ in range(self.sweeps):
            g = g / (2 + self.k2)
            drho += g
            g = np.roll(g, -1) + np.roll(g, 1)
        return drho


def _habits():
    return H.layer(_Fresh(), np.random.default_rng(0).normal(size=7))


class _Fresh(Screened):
    """For the proof alone: always from zero."""

    def forward(self, rho):
        self.phi = None
        return super().forward(rho)


ENTRIES = [
    Stranger(
        "mesh of springs, energy of each",
        "layer, attributes d_*",
        lambda g: g.check_layer(*_mesh()),
        lambda: H.layer(*_mesh(), params=".stiffness>.d_stiffness .rest>.d_rest"),
    ),
    Stranger(
        "Coulomb potential at the charges: places as sources forgotten",
        "layer with two inputs, returns a tuple",
        lambda g: g.check_layer(*_coulomb()),
        lambda: H.layer(*_coulomb()),
        "wrong",
        "a position gets its gradient as a site, not as the source that it is for the others",
        ("missing-term",),
        ("pos",),
        "        gpos = gr.sum(axis=1)\n",
        "        gpos = gr.sum(axis=1) - gr.sum(axis=0)\n",
    ),
    Stranger(
        "heat in a rod, discrete adjoint",
        "time stepper with a history",
        lambda g: g.check_layer(*_rod()),
        lambda: H.layer(*_rod(), params=".kappa>.grad_kappa"),
    ),
    Stranger(
        "waves on a string: speed's gradient from the next time step",
        "time stepper, all states in an array",
        lambda g: g.check_layer(*_wave()),
        lambda: H.layer(*_wave(), params=".c2>.dc2"),
        "wrong",
        "the gradient of c2 takes the displacement after the step instead of before",
        ("shifted", "stale-residuals"),
        ("c2",),
        "            self.dc2 += A[n + 1] * self.D2(self.U[n + 1])\n",
        "            self.dc2 += A[n + 1] * self.D2(self.U[n])\n",
    ),
    Stranger(
        "damped pendulums, backward through time",
        "simulate and simulate_backward, dicts of 0-d arrays",
        _pendulum_call,
        lambda: H.layer(
            *_pendulum(),
            fwd="simulate",
            bwd="simulate_backward",
            params=".p['g']>.dp['g'] .p['L']>.dp['L'] .p['c']>.dp['c']",
        ),
    ),
    Stranger(
        "Ising model in mean field: couplings not symmetrised",
        "callable layer",
        lambda g: g.check_layer(*_ising()),
        lambda: H.layer(*_ising(), fwd="__call__", params=".A>.dA .h>.dh"),
        "wrong",
        "forward symmetrises A, its gradient has only the half that is not transposed",
        ("missing-term",),
        ("A",),
        "        self.dA = 0.5 * dJ\n",
        "        self.dA = 0.5 * (dJ + dJ.T)\n",
    ),
    Stranger(
        "Planck's law: constant of radiation rounded",
        "layer without parameters",
        lambda g: g.check_layer(*_planck()),
        lambda: H.layer(*_planck()),
        "wrong",
        "backward has 14.3 where forward has 14.387769",
        ("rounded-constants", "constant-factor"),
        ("T",),
        "        dT = dz * self.z * -14.3 / (self.lam * self.T[:, None] ** 2)\n",
        "        dT = dz * self.z * -14.387769 / (self.lam * self.T[:, None] ** 2)\n",
    ),
    Stranger(
        "Hill's kinetics of enzymes",
        "layer with blobs and diffs",
        lambda g: g.check_layer(*_hill()),
        lambda: H.layer(*_hill(), params=".blobs[0]>.diffs[0] .blobs[1]>.diffs[1] .blobs[2]>.diffs[2]"),
    ),
    Stranger(
        "Morse potential: steepness without the exponential",
        "backward returns a dict of everything",
        lambda g: g.check_layer(*_morse()),
        lambda: H.layer(*_morse(), ret="r:0 D:.D a:.a r0:.r0"),
        "wrong",
        "the gradient of a lacks the inner factor exp(-a (r - r0))",
        ("straight-through",),
        ("a",),
        '            "a": (du * (self.r - self.r0)).sum(0),\n',
        '            "a": (du * self.e * (self.r - self.r0)).sum(0),\n',
    ),
    Stranger(
        "train of thin lenses",
        "layer whose backward pops a stack",
        lambda g: g.check_layer(*_lens()),
        lambda: H.layer(*_lens(), params=".f>.gf .d>.gd"),
    ),
    Stranger(
        "screened Poisson solver: starts from its last solution",
        "solver with state",
        lambda g: g.check_layer(Screened(), np.random.default_rng(0).normal(size=7)),
        lambda: [],
        "habit",
        "the second call starts where the first one ended, and gives another output",
        ("nondeterministic", "stale-residuals"),
    ),
]
