"""Residuals and Jacobians, as for scipy.optimize.least_squares, root and solve_ivp."""

import numpy as np
from scipy.sparse import diags, lil_matrix
from scipy.sparse.linalg import LinearOperator

from ._entry import Stranger
from ._help_h import of_vector


# --- fluorescence decay, two lifetimes ---
def decay_residuals(p, t, y, w):
    a1, tau1, a2, tau2, c = p
    model = a1 * np.exp(-t / tau1) + a2 * np.exp(-t / tau2) + c
    return w * (model - y)


def decay_jacobian(p, t, y, w):
    a1, tau1, a2, tau2, c = p
    e1, e2 = np.exp(-t / tau1), np.exp(-t / tau2)
    J = np.column_stack([e1, a1 * t / tau1**2 * e1, e2, a2 * t / tau2**2 * e2, np.ones_like(t)])
    return w[:, None] * J


def _photons():
    t = np.linspace(0, 10, 14)
    return np.array([2.0, 0.8, 1.0, 4.0, 0.1]), (t, 2.2 * np.exp(-t) + np.exp(-t / 3.5), 1 / (1 + 0.1 * t))


# --- bundle adjustment, one camera a row ---
class BundleAdjustment:
    """Parameters: camera poses (angle, tx, ty) in the plane and landmarks; bearings-only residuals."""

    def __init__(self, n_cam, cam_idx, pt_idx, seen):
        self.n_cam, self.ci, self.pi, self.seen = n_cam, cam_idx, pt_idx, seen

    def _local(self, params):
        cams = params[: 3 * self.n_cam].reshape(-1, 3)
        pts = params[3 * self.n_cam :].reshape(-1, 2)
        d = pts[self.pi] - cams[self.ci, 1:]
        th = cams[self.ci, 0]
        c, s = np.cos(th), np.sin(th)
        return c, s, c * d[:, 0] + s * d[:, 1], -s * d[:, 0] + c * d[:, 1]

    def residuals(self, params):
        _, _, z, x = self._local(params)
        return x / z - self.seen

    def jacobian(self, params):
        c, s, z, x = self._local(params)
        m = len(self.seen)
        ux, uy = -s / z - x * c / z**2, c / z - x * s / z**2
        J = lil_matrix((m, len(params)))
        r = np.arange(m)
        J[r, 3 * self.ci] = -1 - (x / z) ** 2
        J[r, 3 * self.ci + 1] = -ux
        J[r, 3 * self.ci + 2] = -uy
        off = 3 * self.n_cam
        J[r, off + 2 * self.pi] = ux
        J[r, off + 2 * self.pi + 1] = uy
        return J.tocsr()


def _scene():
    rng = np.random.default_rng(120)
    cam = np.repeat(np.arange(3), 4)
    cams = np.c_[rng.uniform(-0.1, 0.1, 3), rng.uniform(-0.5, 0.5, (3, 2))]
    pts = np.c_[rng.uniform(3, 5, 4), rng.uniform(-1, 1, 4)]
    ba = BundleAdjustment(3, cam, np.tile(np.arange(4), 3), rng.uniform(-0.3, 0.3, 12))
    return ba, np.r_[cams.ravel(), pts.ravel()]


# --- epidemic with hospital beds ---
def seihr(y, beta, k, gamma, eta, N=1.0):
    S, E, I, H, R = y
    inf = beta * S * I / N
    return np.array([-inf, inf - k * E, k * E - (gamma + eta) * I, eta * I - gamma * H, gamma * (I + H)])


def seihr_jac(y, beta, k, gamma, eta, N=1.0):
    S, E, I, H, R = y
    J = np.zeros((5, 5))
    J[0, 0], J[0, 2] = -beta * I / N, -beta * S / N
    J[1, 0], J[1, 1], J[1, 2] = beta * I / N, -k, beta * S / N
    J[2, 1], J[2, 2] = k, -(gamma + eta)
    J[3, 2], J[3, 3] = eta, -gamma
    J[4, 2] = J[4, 3] = gamma
    return J


# --- AC power flow: P and Q mismatch, complex arithmetic ---
def make_power_flow(Ybus, S_spec):
    n = len(Ybus)

    def mismatch(v):
        V = v[n:] * np.exp(1j * v[:n])
        S = V * np.conj(Ybus @ V) - S_spec
        return np.r_[S.real, S.imag]

    def dS(v):
        U = np.exp(1j * v[:n])
        V = v[n:] * U
        I = Ybus @ V
        dVa = 1j * np.diag(V) @ np.conj(np.diag(I) - Ybus @ np.diag(V))
        dVm = np.diag(V) @ np.conj(Ybus @ np.diag(U)) + np.conj(np.diag(I)) @ np.diag(U)
        return np.block([[dVa.real, dVm.real], [dVa.imag, dVm.imag]])

    return {"fun": mismatch, "jac": dS}


def _grid():
    rng = np.random.default_rng(121)
    y = np.triu(1 / (rng.uniform(0.01, 0.1, (3, 3)) + 1j * rng.uniform(0.1, 0.4, (3, 3))), 1)
    Y = np.diag((y + y.T).sum(0)) - y - y.T
    v = np.array([0.0, -0.1, 0.05, 1.02, 0.98, 1.0])
    return make_power_flow(Y, np.array([1.0, -0.4 + 0.1j, -0.5])), v


# --- blind deconvolution of a saturating sensor, Jacobian as an operator ---
KERNEL = np.array([0.1, 0.5, 0.3, 0.1])


def sensor(x):
    return np.tanh(np.convolve(x, KERNEL))


def sensor_op(x):
    slope = 1 - sensor(x) ** 2
    n = len(x)
    return LinearOperator(
        (n + len(KERNEL) - 1, n),
        matvec=lambda v: slope * np.convolve(np.ravel(v), KERNEL),
        rmatvec=lambda u: np.correlate(slope * np.ravel(u), KERNEL, mode="valid"),
        dtype=float,
    )


# --- GPS fix with the receiver's clock ---
def pseudoranges(state, sats, rho):
    """state = (x, y, z, c*dt) -> residuals, Jacobian"""
    los = state[:3] - sats
    dist = np.linalg.norm(los, axis=1)
    return dist + state[3] - rho, np.hstack([los / dist[:, None], np.ones((len(sats), 1))])


def _orbit():
    rng = np.random.default_rng(122)
    sats = rng.standard_normal((6, 3)) * 2 + [0, 0, 5]
    return np.array([0.1, -0.2, 0.3, 0.05]), (sats, rng.uniform(4, 6, 6))


# --- planar arm: pose of the gripper ---
LINKS = (1.0, 0.8, 0.4)


def arm_pose(q):
    a = np.cumsum(q)
    return np.array([LINKS @ np.cos(a), LINKS @ np.sin(a), a[-1]])


def arm_jacobian(q):
    a = np.cumsum(q)
    tip = arm_pose(q)
    cols = []
    base = np.zeros(2)
    for link, angle in zip(LINKS, a):
        cols.append([-(tip[1] - base[1]), tip[0] - base[0], 1.0])
        base = base + link * np.array([np.cos(angle), np.sin(angle)])
    return np.array(cols)


# --- Brusselator on a ring: u_t = A - (B+1) u + u^2 v + d u_xx ---
def brusselator(u, v, d=0.2, A=1.0, B=2.5):
    lap = np.roll(u, 1) - 2 * u + np.roll(u, -1)
    return A - (B + 1) * u + u**2 * v + d * lap


def brusselator_jac(u, v, d=0.2, A=1.0, B=2.5):
    n = len(u)
    ring = np.full(n - 1, d)
    return diags([ring, -(B + 1) + 2 * u * v - 2 * d, ring], [-1, 0, 1], format="csr")


def _ring():
    rng = np.random.default_rng(123)
    return rng.uniform(0.5, 1.5, 9), (rng.uniform(1, 3, 9),)


# --- chromatography peak ---
def peak(p, x, y):
    h, x0, w = p
    return h * np.exp(-((x - x0) ** 2) / (2 * w**2)) - y


def peak_jac(p, x, y):
    h, x0, w = p
    g = np.exp(-((x - x0) ** 2) / (2 * w**2))
    d_center = h * g * (x - x0) / w**2
    d_width = h * g * (x - x0) ** 2 / w**3
    return np.c_[g, d_width, d_center]


# --- soil water retention (van Genuchten) ---
def retention(theta, psi, obs):
    th_r, th_s, alpha, n = theta
    return th_r + (th_s - th_r) * (1 + (alpha * psi) ** n) ** (1 / n - 1) - obs


def retention_jac(theta, psi, obs):
    th_r, th_s, alpha, n = theta
    u = (alpha * psi) ** n
    m = 1 - 1 / n
    S = (1 + u) ** -m
    dS_du = -m * S / (1 + u)
    J = np.empty((len(psi), 4))
    J[:, 0] = 1 - S
    J[:, 1] = S
    J[:, 2] = (th_s - th_r) * dS_du * n * u
    J[:, 3] = (th_s - th_r) * (dS_du * u * np.log(alpha * psi) - S * np.log1p(u) / n**2)
    return J


# --- Robertson's reaction with a product that inhibits ---
def robertson(y, k=(0.4, 3.0, 2.0), Ki=1.5):
    a, b, c = y
    r1, r2, r3 = k[0] * a, k[1] * b * c, k[2] * b**2 / (1 + c / Ki)
    return np.array([-r1 + r2, r1 - r2 - r3, r3])


def robertson_jac(y, k=(0.4, 3.0, 2.0), Ki=1.5):
    a, b, c = y
    inhibit = 1 + c / Ki
    d3b = 2 * k[2] * b / inhibit
    d3c = -k[2] * b**2 / (Ki * inhibit**2)
    return np.array(
        [
            [-k[0], k[1] * c, k[1] * b],
            [k[0], -k[1] * c - d3b, -k[1] * b],
            [0.0, d3b, d3c],
        ]
    )


# --- truss lengths: the Jacobian is filled anew into one matrix ---
class Truss:
    def __init__(self, bars, rest):
        self.bars, self.rest = bars, rest
        self.J = None

    def strain(self, q):
        X = q.reshape(-1, 2)
        i, j = self.bars.T
        return np.hypot(*(X[j] - X[i]).T) / self.rest - 1

    def strain_jac(self, q):
        if self.J is None:
            self.J = np.zeros((len(self.bars), len(q)))
        X = q.reshape(-1, 2)
        for b, (i, j) in enumerate(self.bars):
            d = X[j] - X[i]
            e = d / np.hypot(*d) / self.rest[b]
            self.J[b, 2 * i : 2 * i + 2] = -e
            self.J[b, 2 * j : 2 * j + 2] = e
        return self.J


def _truss(gradlab):
    t = Truss(np.array([[0, 1], [1, 2], [2, 0], [2, 3], [1, 3]]), np.array([1.0, 1.4, 1.0, 1.0, 1.1]))
    return gradlab.check_jacobian(t.strain, t.strain_jac, np.array([0.0, 0, 1, 0.1, 0.1, 1, 1.2, 1.1]))


def _use(f, jac, make, h=1e-3):
    return (
        lambda gradlab: gradlab.check_jacobian(f, jac, make()[0], args=make()[1]),
        lambda: of_vector(f, jac, *make(), h=h),
    )


def _bundle(gradlab):
    ba, x = _scene()
    return gradlab.check_jacobian(ba.residuals, ba.jacobian, x)


def _bundle_truth():
    ba, x = _scene()
    return of_vector(ba.residuals, ba.jacobian, x)


def _flow(gradlab):
    pf, v = _grid()
    return gradlab.check_jacobian(pf["fun"], pf["jac"], v)


def _flow_truth():
    pf, v = _grid()
    return of_vector(pf["fun"], pf["jac"], v)


def _epidemic():
    return np.array([0.7, 0.1, 0.12, 0.03, 0.05]), (0.6, 0.3, 0.2, 0.05)


def _pose():
    return np.array([0.4, 0.7, -0.3]), ()


def _chromatogram():
    x = np.linspace(-2, 4, 12)
    return np.array([3.0, 1.2, 0.8]), (x, 2.5 * np.exp(-((x - 1) ** 2)))


def _soil():
    psi = np.geomspace(1, 300, 10)
    return np.array([0.06, 0.43, 0.03, 1.6]), (psi, np.linspace(0.42, 0.1, 10))


ENTRIES = [
    Stranger(
        "two lifetimes of fluorescence",
        "residuals and Jacobian with args",
        *_use(decay_residuals, decay_jacobian, _photons),
    ),
    Stranger("bearings-only bundle adjustment", "object, sparse Jacobian", _bundle, _bundle_truth),
    Stranger(
        "epidemic with hospital beds", "right-hand side and Jacobian", *_use(seihr, seihr_jac, _epidemic)
    ),
    Stranger("AC power flow mismatch", "closures in a dict, complex inside", _flow, _flow_truth),
    Stranger(
        "saturating sensor",
        "Jacobian as a LinearOperator",
        *_use(sensor, sensor_op, lambda: (np.random.default_rng(124).standard_normal(8), ())),
    ),
    Stranger("GPS fix with a clock", "residuals and Jacobian in one", *_use(pseudoranges, True, _orbit)),
    Stranger(
        "planar arm: its Jacobian lying on its side",
        "function and Jacobian",
        *_use(arm_pose, arm_jacobian, _pose),
        "wrong",
        "the columns are stacked as rows",
        ("transposed",),
        ("q",),
        "    return np.array(cols)\n",
        "    return np.array(cols).T\n",
    ),
    Stranger(
        "Brusselator: where the ring closes",
        "right-hand side and sparse Jacobian",
        *_use(brusselator, brusselator_jac, _ring),
        "wrong",
        "the two corner entries, where the ring closes, are missing from the band matrix",
        ("missing-term", "border"),
        ("u",),
        '    return diags([ring, -(B + 1) + 2 * u * v - 2 * d, ring], [-1, 0, 1], format="csr")\n',
        '    J = diags([ring, -(B + 1) + 2 * u * v - 2 * d, ring], [-1, 0, 1], format="lil")\n'
        "    J[0, -1] = J[-1, 0] = d\n    return J.tocsr()\n",
    ),
    Stranger(
        "chromatography peak: centre and width",
        "residuals and Jacobian with args",
        *_use(peak, peak_jac, _chromatogram),
        "wrong",
        "the columns of centre and width are exchanged",
        ("columns-exchanged",),
        ("p",),
        "    return np.c_[g, d_width, d_center]\n",
        "    return np.c_[g, d_center, d_width]\n",
    ),
    Stranger(
        "soil water retention: alpha by its logarithm",
        "residuals and Jacobian with args",
        *_use(retention, retention_jac, _soil, h=1e-4),
        "wrong",
        "the column of alpha is the derivative by its logarithm",
        ("log-parameter", "constant-factor"),
        ("theta",),
        "    J[:, 2] = (th_s - th_r) * dS_du * n * u\n",
        "    J[:, 2] = (th_s - th_r) * dS_du * n * u / alpha\n",
    ),
    Stranger(
        "Robertson's reaction: one entry",
        "right-hand side and Jacobian",
        *_use(robertson, robertson_jac, lambda: (np.array([0.6, 0.3, 0.5]), ())),
        "wrong",
        "the inhibited step's derivative by c is missing in the second row",
        ("single-element", "missing-term"),
        ("y",),
        "        [k[0], -k[1] * c - d3b, -k[1] * b],\n",
        "        [k[0], -k[1] * c - d3b, -k[1] * b - d3c],\n",
    ),
    Stranger(
        "truss strains: one Jacobian for all calls",
        "object with strain and its Jacobian",
        _truss,
        lambda: [],
        "habit",
        "every call returns the same matrix, filled anew",
        ("aliases-memory",),
        ("q",),
    ),
]
