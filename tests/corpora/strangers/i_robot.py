"""Robotics, control, graphics, vision."""

from dataclasses import dataclass, field

import numpy as np

from . import _help_i as H
from ._entry import Stranger


class RotarPorCuaternion:
    """Gira puntos (N, 3) con un cuaternion q = (w, x, y, z), que se normaliza."""

    def adelante(self, puntos, q):
        norma = np.linalg.norm(q)
        u = q / norma
        w, v = u[0], u[1:]
        t = 2 * np.cross(v, puntos)
        self.memoria = puntos, u, norma, t
        return puntos + w * t + np.cross(v, t)

    def atras(self, d):
        puntos, u, norma, t = self.memoria
        w, v = u[0], u[1:]
        dw = np.sum(d * t)
        dt = w * d + np.cross(d, v)
        dv = np.cross(t, d).sum(axis=0) + 2 * np.cross(puntos, dt).sum(axis=0)
        dpuntos = d + 2 * np.cross(dt, v)
        du = np.concatenate([[dw], dv])
        return dpuntos, (du - u * (u @ du)) / norma


def _cuaternion():
    rng = np.random.default_rng(0)
    return RotarPorCuaternion(), rng.normal(size=(4, 3)), rng.normal(size=4)


class PlanarArm:
    """n joints in the plane: relative angles -> position of every joint's end. Lengths are learned."""

    def __init__(self, lengths):
        self.lengths = lengths
        self.lengths_grad = np.zeros_like(lengths)

    def forward(self, q):
        self.abs_angle = np.cumsum(q, axis=1)
        self.c, self.s = np.cos(self.abs_angle), np.sin(self.abs_angle)
        x = np.cumsum(self.lengths * self.c, axis=1)
        y = np.cumsum(self.lengths * self.s, axis=1)
        return np.stack([x, y], axis=-1)

    def backward(self, d):
        rev = lambda a: np.cumsum(a[:, ::-1], axis=1)[:, ::-1]
        dx, dy = rev(d[..., 0]), rev(d[..., 1])
        self.lengths_grad[:] = (dx * self.c + dy * self.s).sum(axis=0)
        dangle = self.lengths * (dy * self.c - dx * self.s)
        return dangle


def _arm():
    rng = np.random.default_rng(1)
    return PlanarArm(np.array([1.0, 0.8, 0.5])), rng.normal(size=(4, 3))


@dataclass
class PID:
    """A PID loop around a first-order plant; gains k = (kp, ki, kd)."""

    k: np.ndarray
    tau: float = 0.5
    dt: float = 0.1
    dk: np.ndarray = field(default=None, repr=False)
    log: list = field(default_factory=list, repr=False)

    def forward(self, setpoint):
        y = integral = last = 0.0
        out = np.empty_like(setpoint)
        self.log.clear()
        for t, r in enumerate(setpoint):
            e = r - y
            integral += e * self.dt
            terms = np.array([e, integral, (e - last) / self.dt])
            self.log.append(terms)
            y += self.dt / self.tau * (self.k @ terms - y)
            out[t], last = y, e
        return out

    def backward(self, dout):
        self.dk = np.zeros(3)
        dr = np.zeros_like(dout)
        dy = dI = dlast = 0.0
        for t in range(len(dout) - 1, -1, -1):
            dy += dout[t]
            du = dy * self.dt / self.tau
            self.dk += du * self.log[t]
            dI += du * self.k[1]
            de = dlast + du * (self.k[0] + self.k[2] / self.dt) + dI * self.dt
            dlast = -du * self.k[2] / self.dt
            dr[t] = de
            dy = dy * (1 - self.dt / self.tau) - de
        return dr


def _pid():
    return PID(np.array([1.5, 0.7, 0.05])), np.random.default_rng(2).normal(size=9)


class Pinhole:
    """Points in camera coordinates to pixels. intrinsics: focal f, centre c."""

    def __init__(self, f, c):
        self.f, self.c = f, c
        self.grads = {}

    def forward(self, P):
        self.P = P
        return self.f * P[:, :2] / P[:, 2:] + self.c

    def backward(self, dpix):
        X, Z = self.P[:, :2], self.P[:, 2:]
        self.grads["f"] = (dpix * X / Z).sum(0)
        self.grads["c"] = dpix.sum(0)
        dX = dpix * self.f / Z
        dZ = -(dpix * self.f * X).sum(1, keepdims=True) / Z
        return np.hstack([dX, dZ])


def _pinhole():
    rng = np.random.default_rng(3)
    P = np.hstack([rng.normal(size=(5, 2)), rng.uniform(2, 5, (5, 1))])
    return Pinhole(np.array([1.4, 1.3]), np.array([0.1, -0.2])), P


class BezierCurve:
    """de Casteljau at parameters t of control points (n, 2); backward runs the triangle down again."""

    def forward(self, ctrl, t):
        level = np.repeat(ctrl[None], len(t), axis=0)
        self.levels, self.t = [level], t
        while level.shape[1] > 1:
            level = (1 - t)[:, None, None] * level[:, :-1] + t[:, None, None] * level[:, 1:]
            self.levels.append(level)
        return level[:, 0]

    def backward(self, g):
        g, gt, t = g[:, None], np.zeros(len(self.t)), self.t[:, None, None]
        for below in self.levels[-2::-1]:
            gt += np.sum(g * (below[:, 1:] - below[:, :-1]), axis=(1, 2))
            new = np.zeros_like(below)
            new[:, :-1] += (1 - t) * g
            new[:, 1:] += t * g
            g = new
        return g.sum(axis=0), gt


def _bezier():
    rng = np.random.default_rng(4)
    return BezierCurve(), rng.normal(size=(4, 2)), rng.uniform(0, 1, 5)


class TextureSampler:
    """Bilinear lookup, uv in [0, 1] (corners aligned), into a learned texture (H, W, C)."""

    def __init__(self, texture):
        self.texture = texture

    def forward(self, uv):
        Ht, Wt, _ = self.texture.shape
        p = uv * np.array([Wt - 1, Ht - 1])
        i = np.minimum(p.astype(int), [Wt - 2, Ht - 2])
        self.ix, self.iy = i.T
        self.fx, self.fy = (p - i).T[..., None]
        T = self.texture
        self.q = [T[self.iy + a, self.ix + b] for a in (0, 1) for b in (0, 1)]
        top = (1 - self.fx) * self.q[0] + self.fx * self.q[1]
        bot = (1 - self.fx) * self.q[2] + self.fx * self.q[3]
        return (1 - self.fy) * top + self.fy * bot

    def backward(self, d):
        fx, fy = self.fx, self.fy
        self.dtexture = np.zeros_like(self.texture)
        w = [(1 - fx) * (1 - fy), fx * (1 - fy), (1 - fx) * fy, fx * fy]
        for (a, b), wi in zip([(0, 0), (0, 1), (1, 0), (1, 1)], w):
            np.add.at(self.dtexture, (self.iy + a, self.ix + b), wi * d)
        q = self.q
        du = d * ((1 - fy) * (q[1] - q[0]) + fy * (q[3] - q[2]))
        dv = d * ((1 - fx) * (q[2] - q[0]) + fx * (q[3] - q[1]))
        return np.stack([du.sum(1), dv.sum(1)], axis=1)


def _texture():
    rng = np.random.default_rng(5)
    return TextureSampler(rng.uniform(0, 1, (20, 16, 3))), rng.uniform(0.05, 0.95, (40, 2))


class VolumeRender:
    """NeRF's quadrature: densities (R, S) and colours (R, S, 3) on rays with steps delta."""

    def __init__(self, delta):
        self.delta = delta

    def __call__(self, sigma, rgb):
        self.alpha = 1 - np.exp(-sigma * self.delta)
        T = np.cumprod(1 - self.alpha, axis=1)
        self.T_after = T
        self.T = np.concatenate([np.ones((len(sigma), 1)), T[:, :-1]], axis=1)
        self.w = self.T * self.alpha
        self.rgb = rgb
        return np.einsum("rs,rsc->rc", self.w, rgb)

    def backward(self, dC):
        drgb = self.w[..., None] * dC[:, None, :]
        v = np.einsum("rc,rsc->rs", dC, self.rgb)
        wv = self.w * v
        behind = np.cumsum(wv[:, ::-1], axis=1)[:, ::-1] - wv
        return (self.T_after * v - behind) * self.delta, drgb


def _nerf():
    rng = np.random.default_rng(6)
    return VolumeRender(0.3), rng.uniform(0.1, 3, (2, 5)), rng.uniform(0, 1, (2, 5, 3))


class Lambert:
    # soft diffuse shading: normal is normalised, softplus of the cosine, light is a parameter
    def __init__(self, light, albedo):
        self.light, self.albedo = light, albedo

    def forward(self, nrm):
        self.len = np.sqrt(np.sum(nrm * nrm, axis=1, keepdims=True))
        self.n = nrm / self.len
        self.cos = self.n @ self.light
        self.soft = np.logaddexp(0, 8 * self.cos) / 8
        return self.soft[:, None] * self.albedo

    def backward(self, drgb):
        self.g_albedo = self.soft @ drgb
        dcos = (drgb @ self.albedo) / (1 + np.exp(-8 * self.cos))
        self.g_light = dcos @ self.n
        dn = np.outer(dcos, self.light)
        return dn / self.len


def _lambert():
    rng = np.random.default_rng(7)
    return Lambert(np.array([0.3, 0.5, 0.8]), rng.uniform(0, 1, 3)), rng.normal(size=(5, 3))


class Homography:
    """Maps 2-D points with a 3x3 matrix given as an input."""

    def forward(self, pts, M):
        ph = np.column_stack([pts, np.ones(len(pts))])
        q = ph @ M.T
        self.cache = ph, M, q
        return q[:, :2] / q[:, 2:]

    def backward(self, d):
        ph, M, q = self.cache
        dq = np.empty_like(q)
        dq[:, :2] = d / q[:, 2:]
        dq[:, 2] = -(d * q[:, :2]).sum(1) / q[:, 2] ** 2
        dM = ph.T @ dq
        return (dq @ M)[:, :2], dM


def _homography():
    rng = np.random.default_rng(8)
    return Homography(), rng.normal(size=(5, 2)), np.eye(3) + 0.15 * rng.normal(size=(3, 3))


class SceneSDF:
    """Exponential smooth minimum of spheres. centres (K, 3), radii (K,), sharpness k."""

    def __init__(self, centres, radii, k=6.0):
        self.params = {"centres": centres, "radii": radii, "k": np.array(k)}
        self.grads = {}

    def forward(self, p):
        c, r, k = self.params["centres"], self.params["radii"], self.params["k"]
        self.off = p[:, None] - c
        self.dist = np.linalg.norm(self.off, axis=2)
        self.d = self.dist - r
        low = self.d.min(1, keepdims=True)
        e = np.exp(-k * (self.d - low))
        self.sm = e / e.sum(1, keepdims=True)
        self.val = low[:, 0] - np.log(e.sum(1)) / k
        return self.val

    def backward(self, g):
        k = self.params["k"]
        gd = g[:, None] * self.sm
        unit = self.off / self.dist[..., None]
        self.grads["radii"] = -gd.sum(0)
        self.grads["centres"] = -(gd[..., None] * unit).sum(0)
        self.grads["k"] = np.array((g * ((self.sm * self.d).sum(1) - self.val) / k).sum())
        return (gd[..., None] * unit).sum(1)


def _sdf():
    rng = np.random.default_rng(9)
    return SceneSDF(rng.normal(size=(3, 3)), rng.uniform(0.3, 0.6, 3)), rng.normal(size=(4, 3)) * 2


class LinearToSRGB:
    """exposure * linear light -> sRGB, with the straight piece below 0.0031308"""

    def __init__(self, exposure):
        self.exposure = exposure

    def forward(self, lin):
        self.lin = lin
        self.v = lin * self.exposure
        return np.where(self.v <= 0.0031308, 12.92 * self.v, 1.055 * self.v ** (1 / 2.4) - 0.055)

    def backward(self, dout):
        slope = np.where(self.v <= 0.04045, 12.92, 1.055 / 2.4 * self.v ** (1 / 2.4 - 1))
        dv = dout * slope
        self.grad_exposure = (dv * self.lin).sum(axis=(0, 1))
        return dv * self.exposure


def _srgb():
    lin = np.array([[[0.001, 0.2, 0.03], [0.5, 0.012, 0.0007]], [[0.02, 0.8, 0.3], [0.11, 0.0015, 0.6]]])
    return LinearToSRGB(np.array([1.1, 0.9, 1.3])), lin


class FilmicTone:
    """ACES-like curve x(ax+b) / (x(cx+d)+e)"""

    def __init__(self, a=2.51, b=0.03, c=2.43, d=0.59, e=0.14):
        self.p = np.array([a, b, c, d, e])

    def forward(self, x):
        a, b, c, d, e = self.p
        self.x = x
        self.num, self.den = x * (a * x + b), x * (c * x + d) + e
        return self.num / self.den

    def backward(self, dy):
        a, b, c, d, e = self.p
        x, n, m = self.x, self.num, self.den
        dn, dm = dy / m, -dy * n / m**2
        self.dp = np.array([np.vdot(dn, x**2), np.vdot(dn, x), np.vdot(dm, x**2), np.vdot(dm, x), dm.sum()])
        return dn * (2 * a * x + b) + dm * (2 * c * x + d)


ENTRIES = [
    Stranger(
        "points turned by a quaternion",
        "adelante and atras, in Spanish",
        lambda g: g.check_layer(*_cuaternion(), forward="adelante", backward="atras"),
        lambda: H.layer(*_cuaternion(), fwd="adelante", bwd="atras"),
    ),
    Stranger(
        "planar robot arm: joints turn only their own link",
        "layer with lengths_grad",
        lambda g: g.check_layer(*_arm()),
        lambda: H.layer(*_arm(), params=".lengths>.lengths_grad"),
        "wrong",
        "the absolute angles' gradient is not summed up (from behind) to that of the relative ones",
        ("missing-term",),
        ("q",),
        "        return dangle\n",
        "        return rev(dangle)\n",
    ),
    Stranger(
        "PID loop around a plant",
        "dataclass layer",
        lambda g: g.check_layer(*_pid()),
        lambda: H.layer(*_pid(), params=".k>.dk"),
    ),
    Stranger(
        "pinhole camera: depth divided once",
        "layer with a dict of gradients",
        lambda g: g.check_layer(*_pinhole()),
        lambda: H.layer(*_pinhole(), params=".f>.grads['f'] .c>.grads['c']"),
        "wrong",
        "the gradient of the depth is divided by Z instead of Z squared",
        ("missing-term", "straight-through"),
        ("P",),
        "        dZ = -(dpix * self.f * X).sum(1, keepdims=True) / Z\n",
        "        dZ = -(dpix * self.f * X).sum(1, keepdims=True) / Z**2\n",
    ),
    Stranger(
        "Bezier curve by de Casteljau",
        "layer, list of levels",
        lambda g: g.check_layer(*_bezier()),
        lambda: H.layer(*_bezier()),
    ),
    Stranger(
        "bilinear texture: uv's gradient in texels",
        "layer with a learned texture",
        lambda g: g.check_layer(*_texture()),
        lambda: H.layer(*_texture(), params=".texture>.dtexture"),
        "wrong",
        "the gradient of uv lacks the factor (W - 1, H - 1) with which uv becomes texels",
        ("constant-factor",),
        ("uv",),
        "        return np.stack([du.sum(1), dv.sum(1)], axis=1)\n",
        "        return np.stack([du.sum(1), dv.sum(1)], 1) * (np.array(self.texture.shape[1::-1]) - 1)\n",
    ),
    Stranger(
        "volume rendering of NeRF",
        "callable layer, two inputs",
        lambda g: g.check_layer(*_nerf()),
        lambda: H.layer(*_nerf(), fwd="__call__"),
    ),
    Stranger(
        "diffuse shading: projection of the normal forgotten",
        "layer, g_ names",
        lambda g: g.check_layer(*_lambert()),
        lambda: H.layer(*_lambert(), params=".light>.g_light .albedo>.g_albedo"),
        "wrong",
        "the gradient through the normalisation lacks the part along the normal that is to be taken away",
        ("missing-term",),
        ("nrm",),
        "        return dn / self.len\n",
        "        return (dn - self.n * (self.n * dn).sum(axis=1, keepdims=True)) / self.len\n",
    ),
    Stranger(
        "homography: the matrix's gradient transposed",
        "layer, matrix as an input",
        lambda g: g.check_layer(*_homography()),
        lambda: H.layer(*_homography()),
        "wrong",
        "forward takes M transposed, so its gradient is to be dq.T @ ph",
        ("transposed",),
        ("M",),
        "        dM = ph.T @ dq\n",
        "        dM = dq.T @ ph\n",
    ),
    Stranger(
        "smooth union of spheres",
        "params and grads as dicts, 0-d parameter",
        lambda g: g.check_layer(*_sdf()),
        lambda: H.layer(
            *_sdf(),
            params=".params['centres']>.grads['centres'] .params['radii']>.grads['radii'] "
            ".params['k']>.grads['k']",
        ),
    ),
    Stranger(
        "linear light to sRGB: the other transfer's threshold",
        "layer",
        lambda g: g.check_layer(*_srgb()),
        lambda: H.layer(*_srgb(), params=".exposure>.grad_exposure", h=2e-5),
        "wrong",
        "backward switches pieces at 0.04045 (of sRGB) where forward does at 0.0031308 (of linear light)",
        ("masked-region",),
        ("lin", "exposure"),
        "        slope = np.where(self.v <= 0.04045, 12.92, 1.055 / 2.4 * self.v ** (1 / 2.4 - 1))\n",
        "        slope = np.where(self.v <= 0.0031308, 12.92, 1.055 / 2.4 * self.v ** (1 / 2.4 - 1))\n",
    ),
    Stranger(
        "filmic tone curve",
        "layer, five parameters in a vector",
        lambda g: g.check_layer(FilmicTone(), np.random.default_rng(1).uniform(0, 2, (4, 3))),
        lambda: H.layer(
            FilmicTone(), np.random.default_rng(1).uniform(0, 2, (4, 3)), params=".p>.dp", h=1e-4
        ),
    ),
]
