"""Arms, carts, cameras and curves."""

import numpy as np
from scipy.sparse import lil_matrix

from . import _help_j as hj
from ._entry import Stranger


# --- SCARA: two turns, one lift, one more turn -------------------------------------------------------
class Scara:
    l1, l2 = 0.6, 0.45

    def fk(self, q):
        t12 = q[0] + q[1]
        x = self.l1 * np.cos(q[0]) + self.l2 * np.cos(t12)
        y = self.l1 * np.sin(q[0]) + self.l2 * np.sin(t12)
        return np.array([x, y, -q[2], t12 + q[3]])

    def jacobian(self, q):
        t12 = q[0] + q[1]
        J = np.zeros((4, 4))
        J[0, 1] = -self.l2 * np.sin(t12)
        J[1, 1] = self.l2 * np.cos(t12)
        J[0, 0] = -self.l1 * np.sin(q[0]) + J[0, 1]
        J[1, 0] = self.l1 * np.cos(q[0]) + J[1, 1]
        J[2, 2] = 1
        J[3, [0, 1, 3]] = 1
        return J


# --- pendulum shooting --------------------------------------------------------------------------------
class Pendulum:
    def __init__(self, dt=0.15):
        self.dt = dt

    def rollout(self, torque):
        th, om = 0.4, 0.0
        self.angles = [th]
        for tau in torque:
            om = om + self.dt * (tau - 4.0 * np.sin(th))
            th = th + self.dt * om
            self.angles.append(th)
        return th, om

    def cost(self, torque):
        th, om = self.rollout(torque)
        return (th - np.pi) ** 2 + om**2

    def grad(self, torque):
        th, om = self.rollout(torque)
        lth, lom = 2 * (th - np.pi), 2 * om
        out = np.zeros(len(torque))
        for t in range(len(torque))[::-1]:
            lom = lom + self.dt * lth
            out[t] = self.dt * lom
            lth = lth - self.dt * 4.0 * np.cos(self.angles[t + 1]) * lom
        return out


# --- Rodrigues ----------------------------------------------------------------------------------------
def hat(w):
    return np.array([[0, -w[2], w[1]], [w[2], 0, -w[0]], [-w[1], w[0], 0]])


def rotate(w, pts):
    th = np.linalg.norm(w)
    K = hat(w / th)
    Rm = np.eye(3) + np.sin(th) * K + (1 - np.cos(th)) * K @ K
    return pts @ Rm.T, (w, th, K, Rm, pts)


def rotate_vjp(saved, g):
    w, th, K, Rm, pts = saved
    dR = g.T @ pts
    dth = np.sum(dR * (np.cos(th) * K + np.sin(th) * K @ K))
    dK = np.sin(th) * dR + (1 - np.cos(th)) * (dR @ K.T + K.T @ dR)
    dn = np.array([dK[2, 1] - dK[1, 2], dK[0, 2] - dK[2, 0], dK[1, 0] - dK[0, 1]])
    n = w / th
    return dth * n + (dn - n * (n @ dn)) / th, g @ Rm


# --- quaternions --------------------------------------------------------------------------------------
def quat_fwd(q, v):
    """v turned by the quaternion q (w, x, y, z), which need not be of length one"""
    n = np.sqrt(q @ q)
    s, r = q[0] / n, q[1:] / n
    t = 2 * np.cross(r, v)
    return v + s * t + np.cross(r, t), (n, s, r, v, t)


def quat_bwd(dout, cache):
    n, s, r, v, t = cache
    ds = np.sum(dout * t)
    dt = s * dout + np.cross(dout, r)
    dr = np.cross(t, dout) + 2 * np.cross(v, dt)
    dv = dout + 2 * np.cross(dt, r)
    return np.concatenate([[ds], dr.sum(0)]) / n, dv


# --- bundle adjustment: cameras move in x, y, z; sparse -----------------------------------------------
SEEN = [(0, 0), (0, 1), (0, 2), (1, 0), (1, 2), (1, 3), (2, 1), (2, 3)]
NCAM, NPT, FOC = 3, 4, 1.7


def reproject(z):
    cam, pt = z[: 3 * NCAM].reshape(NCAM, 3), z[3 * NCAM :].reshape(NPT, 3)
    out = []
    for c, p in SEEN:
        d = pt[p] - cam[c]
        out += [FOC * d[0] / d[2], FOC * d[1] / d[2]]
    return np.array(out)


def reproject_jac(z):
    cam, pt = z[: 3 * NCAM].reshape(NCAM, 3), z[3 * NCAM :].reshape(NPT, 3)
    J = lil_matrix((2 * len(SEEN), len(z)))
    for k, (c, p) in enumerate(SEEN):
        x, y, d = pt[p] - cam[c]
        block = FOC * np.array([[1 / d, 0, -x / d**2], [0, 1 / d, -y / d**2]])
        J[2 * k : 2 * k + 2, 3 * c : 3 * c + 3] = -block
        J[2 * k : 2 * k + 2, 3 * NCAM + 3 * p : 3 * NCAM + 3 * p + 3] = block
    return J.tocsr()


# --- camera with radial distortion --------------------------------------------------------------------
def lens(P, k):
    x, y = P[:, 0] / P[:, 2], P[:, 1] / P[:, 2]
    r2 = x * x + y * y
    f = 1 + k[0] * r2 + k[1] * r2**2
    return np.stack([x * f, y * f], 1), dict(P=P, k=k, x=x, y=y, r2=r2, f=f)


def lens_backward(duv, c):
    du, dv = duv[:, 0], duv[:, 1]
    df = du * c["x"] + dv * c["y"]
    dk = np.array([np.sum(df * c["r2"]), np.sum(df * c["r2"] ** 2)])
    dr2 = df * (c["k"][0] + 2 * c["k"][1] * c["r2"])
    dx = du * c["f"] + 2 * c["x"] * dr2
    dy = dv * c["f"] + 2 * c["y"] * dr2
    Z = c["P"][:, 2]
    dZ = (dx * c["x"] + dy * c["y"]) / Z
    return {"P": np.stack([dx / Z, dy / Z, dZ], 1), "k": dk}


# --- Bezier curve -------------------------------------------------------------------------------------
def bezier(ctrl, t):
    """De Casteljau, level by level"""
    level = np.repeat(ctrl[None], len(t), 0)
    levels = [level]
    while level.shape[1] > 1:
        level = (1 - t)[:, None, None] * level[:, :-1] + t[:, None, None] * level[:, 1:]
        levels.append(level)
    return level[:, 0], (levels, t)


def bezier_back(dp, cache):
    levels, t = cache
    d = dp[:, None, :]
    dt = np.zeros_like(t)
    for level in levels[-2::-1]:
        dt += np.sum(d * (level[:, 1:] - level[:, :-1]), axis=(1, 2))
        up = np.zeros_like(level)
        up[:, :-1] += (1 - t)[:, None, None] * d
        up[:, 1:] += t[:, None, None] * d
        d = up
    return {"t": dt, "ctrl": d.sum(0)}


WHERE, FRAC = np.array([0, 1, 1, 3, 4]), np.array([0.2, 0.7, 0.4, 0.5, 0.9])


# --- closed Catmull-Rom curve -------------------------------------------------------------------------
def catmull(knots):
    n = len(knots)
    idx = (WHERE[:, None] + np.arange(-1, 3)) % n
    u = FRAC
    w = [-u + 2 * u**2 - u**3, 2 - 5 * u**2 + 3 * u**3, u + 4 * u**2 - 3 * u**3, u**3 - u**2]
    w = 0.5 * np.stack(w, 1)
    return np.einsum("ij,ijd->id", w, knots[idx]), (n, idx, w, knots.shape)


def catmull_grad(dout, cache):
    n, idx, w, shape = cache
    dknots = np.zeros(shape)
    dknots[idx] += w[:, :, None] * dout[:, None, :]
    return dknots


# --- aligning two scans --------------------------------------------------------------------------------
class ScanMatcher:
    """point to line, pose = theta, tx, ty"""

    def __init__(self, seed=4):
        g = np.random.default_rng(seed)
        self.src = g.normal(size=(12, 2))
        self.dst = self.src + 0.3 * g.normal(size=(12, 2))
        nrm = g.normal(size=(12, 2))
        self.nrm = nrm / np.linalg.norm(nrm, axis=1, keepdims=True)

    def __call__(self, pose):
        c, s = np.cos(pose[0]), np.sin(pose[0])
        moved = self.src @ np.array([[c, s], [-s, c]]) + pose[1:]
        e = np.sum((moved - self.dst) * self.nrm, 1)
        turn = self.src @ np.array([[-s, c], [-c, -s]])
        g = np.concatenate([[e @ np.sum(turn * self.nrm, 1)], e @ self.nrm])
        return 0.5 * e @ e, g


# --- value noise for a landscape ---------------------------------------------------------------------
def fade(t):
    return t * t * t * (t * (t * 6 - 15) + 10)


def fade_slope(t):
    return 6 * t * (1 - t)


class ValueNoise:
    def __init__(self):
        self.lattice = np.random.default_rng(8).uniform(-1, 1, (6, 6))

    def forward(self, xy):
        cell = np.floor(xy).astype(int)
        f = xy - cell
        i, j = cell.T % 6
        L = self.lattice
        corners = L[i, j], L[(i + 1) % 6, j], L[i, (j + 1) % 6], L[(i + 1) % 6, (j + 1) % 6]
        self.f, self.corners = f, corners
        a, b, c, d = corners
        u, v = fade(f).T
        return (1 - v) * (a + u * (b - a)) + v * (c + u * (d - c))

    def backward(self, dout):
        a, b, c, d = self.corners
        u, v = fade(self.f).T
        du = (1 - v) * (b - a) + v * (d - c)
        dv = (c + u * (d - c)) - (a + u * (b - a))
        return dout[:, None] * fade_slope(self.f) * np.stack([du, dv], 1)


# --- controller with a memory --------------------------------------------------------------------------
class PI:
    def __init__(self, kp, ki):
        self.kp, self.ki = kp, ki
        self.acc = 0.0

    def forward(self, err):
        self.acc = self.acc + err
        return self.kp * err + self.ki * self.acc

    def backward(self, dout):
        return (self.kp + self.ki) * dout


_rng = np.random.default_rng(21)
_Z = np.concatenate([_rng.normal(0, 0.3, 9), (_rng.normal(0, 1, (4, 3)) + [0, 0, 5]).ravel()])
_P = _rng.normal(size=(4, 3)) * 0.5 + [0, 0, 2]
_V = _rng.normal(size=(5, 3))
_CTRL, _KNOTS = _rng.normal(size=(4, 2)), _rng.normal(size=(5, 2))
_TQ = np.array([1.0, 0.5, -0.3, 0.8, 1.2, -0.4])
_XY = np.array([[0.3, 1.6], [2.2, 3.7], [4.45, 0.15]])
_QUAT = np.array([1.1, -0.4, 0.6, 0.9])

ENTRIES = [
    Stranger(
        "SCARA robot: the lift goes the other way",
        "Jacobian of a class",
        lambda gl: gl.check_jacobian(*hj.methods(Scara(), "fk", "jacobian"), np.array([0.4, 0.9, 0.2, -0.5])),
        lambda: hj.matrix(*hj.methods(Scara(), "fk", "jacobian"), [0.4, 0.9, 0.2, -0.5]),
        "wrong",
        "the lift's entry has the wrong sign",
        ("sign-flipped", "single-element"),
        ("jac",),
        "        J[2, 2] = 1\n",
        "        J[2, 2] = -1\n",
    ),
    Stranger(
        "Pendulum shooting: angle of the next step",
        "bound methods of a class",
        lambda gl: gl.check_gradient(*hj.methods(Pendulum(), "cost", "grad"), _TQ.copy()),
        lambda: hj.scalar(*hj.methods(Pendulum(), "cost", "grad"), _TQ),
        "wrong",
        "the adjoint takes the angle one step too late",
        ("shifted",),
        ("torque",),
        "            lth = lth - self.dt * 4.0 * np.cos(self.angles[t + 1]) * lom\n",
        "            lth = lth - self.dt * 4.0 * np.cos(self.angles[t]) * lom\n",
    ),
    Stranger(
        "Rodrigues rotation of points",
        "vjp",
        lambda gl: gl.check_vjp(rotate, rotate_vjp, (np.array([0.3, -0.8, 0.5]), _V.copy())),
        lambda: hj.vjp(rotate, rotate_vjp, np.array([0.3, -0.8, 0.5]), _V),
    ),
    Stranger(
        "Quaternion rotation: normalisation's derivative forgotten",
        "pair with cache",
        lambda gl: gl.check_cached_pair(quat_fwd, quat_bwd, (_QUAT.copy(), _V.copy())),
        lambda: hj.pair(quat_fwd, quat_bwd, (_QUAT, _V)),
        "wrong",
        "q is divided by its length, and the length is taken for a constant",
        ("missing-term", "straight-through"),
        ("q",),
        "    return np.concatenate([[ds], dr.sum(0)]) / n, dv\n",
        "    dq, u = np.concatenate([[ds], dr.sum(0)]), np.concatenate([[s], r])\n"
        "    return (dq - u * (u @ dq)) / n, dv\n",
    ),
    Stranger(
        "Bundle adjustment",
        "sparse Jacobian",
        lambda gl: gl.check_jacobian(reproject, reproject_jac, _Z.copy()),
        lambda: hj.matrix(reproject, reproject_jac, _Z),
    ),
    Stranger(
        "Lens with distortion: depth's sign",
        "pair with cache, dict of gradients",
        lambda gl: gl.check_cached_pair(lens, lens_backward, (_P.copy(), np.array([0.2, -0.05]))),
        lambda: hj.pair(lens, lens_backward, (_P, [0.2, -0.05]), keys="Pk"),
        "wrong",
        "the derivative by the depth has the wrong sign",
        ("sign-flipped", "masked-region"),
        ("P",),
        '    dZ = (dx * c["x"] + dy * c["y"]) / Z\n',
        '    dZ = -(dx * c["x"] + dy * c["y"]) / Z\n',
    ),
    Stranger(
        "Bezier curve by de Casteljau, as functions",
        "pair with cache, dict in another order",
        lambda gl: gl.check_cached_pair(bezier, bezier_back, (_CTRL.copy(), np.array([0.1, 0.5, 0.8]))),
        lambda: hj.pair(bezier, bezier_back, (_CTRL, [0.1, 0.5, 0.8]), keys=("ctrl", "t")),
    ),
    Stranger(
        "Catmull-Rom curve: a knot that is used twice",
        "pair with cache",
        lambda gl: gl.check_cached_pair(catmull, catmull_grad, (_KNOTS.copy(),)),
        lambda: hj.pair(catmull, catmull_grad, (_KNOTS,)),
        "wrong",
        "+= with an index array loses the repeats",
        ("last-write-wins",),
        ("knots",),
        "    dknots[idx] += w[:, :, None] * dout[:, None, :]\n",
        "    np.add.at(dknots, idx, w[:, :, None] * dout[:, None, :])\n",
    ),
    Stranger(
        "Scan matching, point to line",
        "object called, value and gradient",
        lambda gl: gl.check_gradient(ScanMatcher(), True, np.array([0.2, 0.1, -0.3])),
        lambda: hj.both(ScanMatcher(), [0.2, 0.1, -0.3]),
    ),
    Stranger(
        "Value noise: slope of the older smoothstep",
        "layer",
        lambda gl: gl.check_layer(ValueNoise(), _XY.copy()),
        lambda: hj.module(ValueNoise, _XY),
        "wrong",
        "the derivative belongs to the cubic fade and not to the quintic one",
        ("other-approximation",),
        ("xy",),
        "    return 6 * t * (1 - t)\n",
        "    return 30 * t**2 * (1 - t) ** 2\n",
    ),
    Stranger(
        "PI controller: the integral stays",
        "layer",
        lambda gl: gl.check_layer(PI(0.8, 0.3), np.array([0.5, -1.0, 0.2])),
        lambda: [],
        "habit",
        "forward keeps a sum over all calls",
        ("nondeterministic", "accumulates"),
        ("err",),
    ),
]
