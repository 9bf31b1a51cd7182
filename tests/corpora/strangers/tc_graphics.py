"""Rendering, rotations, splines, optics, a robot arm."""

import numpy as np
from scipy.sparse.linalg import LinearOperator

from ._entry import Stranger
from ._help_tc import diff, layer, pairs


class AxisAngle:
    # Rodrigues: R p = p + a (w x p) + b w x (w x p)
    def forward(self, w, pts):
        th = np.linalg.norm(w)
        self.a, self.b = np.sin(th) / th, (1 - np.cos(th)) / th**2
        self.w, self.pts, self.th = w, pts, th
        self.wp = np.cross(w, pts)
        self.wwp = np.cross(w, self.wp)
        return pts + self.a * self.wp + self.b * self.wwp

    def backward(self, g):
        w, th, a, b = self.w, self.th, self.a, self.b
        gw = np.cross(g, w)
        dpts = g + a * gw + b * np.cross(gw, w)
        dw = a * np.cross(self.pts, g) + b * (np.cross(self.wp, g) + np.cross(self.pts, gw))
        da_dth = (np.cos(th) - a) / th
        db_dth = (a - 2 * b) / th
        dth = da_dth * np.sum(g * self.wp) + db_dth * np.sum(g * self.wwp)
        return dw.sum(axis=0) + dth * w / th, dpts


class QuatRotation:
    """Rotates (n, 3) vectors by the quaternion q = (w, x, y, z), normalised first."""

    def __init__(self, q):
        self.q = np.asarray(q, dtype=float)
        self.dq = np.zeros(4)

    def forward(self, v):
        self.norm = np.sqrt(np.sum(self.q**2))
        self.n = self.q / self.norm
        self.v = v
        w, u = self.n[0], self.n[1:]
        self.c = np.cross(u, v)
        return v + 2 * w * self.c + 2 * np.cross(u, self.c)

    def backward(self, g):
        w, u = self.n[0], self.n[1:]
        gu = np.cross(g, u)
        dn = np.empty(4)
        dn[0] = 2 * np.sum(g * self.c)
        dn[1:] = 2 * np.sum(w * np.cross(self.v, g) + np.cross(self.c, g) + np.cross(self.v, gu), axis=0)
        self.dq = dn / self.norm
        return g + 2 * w * gu + 2 * np.cross(gu, u)


class CubicBSpline:
    """A uniform cubic B-spline through the plane; t is in units of knots."""

    M = np.array([[1, 4, 1, 0], [-3, 0, 3, 0], [3, -6, 3, 0], [-1, 3, -3, 1]]) / 6.0

    def evaluate(self, ctrl, t):
        seg = np.floor(t).astype(int)
        u = t - seg
        self.idx = seg[:, None] + np.arange(4)
        self.basis = np.stack([u**0, u, u**2, u**3], axis=1) @ self.M
        self.slope = np.stack([0 * u, u**0, 2 * u, 3 * u**2], axis=1) @ self.M
        self.ctrl = ctrl
        return np.einsum("nk,nkd->nd", self.basis, ctrl[self.idx])

    def pullback(self, g):
        gctrl = np.zeros_like(self.ctrl)
        np.add.at(gctrl, self.idx, self.basis[:, :, None] * g[:, None, :])
        gt = np.einsum("nd,nk,nkd->n", g, self.slope, self.ctrl[self.idx])
        return gctrl, gt


def silhouette(centers, radii, res=7, k=6.0, sharp=5.0):
    """Soft mask of a smooth union of discs, returned together with its vjp."""
    ax = np.linspace(-1, 1, res)
    pix = np.stack(np.meshgrid(ax, ax), axis=-1).reshape(-1, 1, 2)
    off = pix - centers
    dist = np.sqrt(np.sum(off**2, axis=-1) + 1e-4)
    e = np.exp(-k * (dist - radii))
    union = -np.log(e.sum(axis=1)) / k
    mask = 1 / (1 + np.exp(sharp * union))

    def vjp(img_bar):
        union_bar = -sharp * mask * (1 - mask) * img_bar.ravel()
        sdf_bar = union_bar[:, None] * e / e.sum(axis=1, keepdims=True)
        c_bar = -np.sum((sdf_bar / dist)[..., None] * off, axis=0)
        return c_bar, -sdf_bar.sum(axis=0)

    return mask.reshape(res, res), vjp


class TextureFetch:
    """Bilinear texture look-up, texture (H, W, C), coordinates (N, 2) as (x, y) in texels."""

    def __call__(self, texture, xy):
        self.tex, self.base = texture, np.floor(xy).astype(int)
        self.frac = xy - self.base
        out = 0
        for dx in (0, 1):
            for dy in (0, 1):
                out = out + self._weight(dx, dy)[:, None] * self._corner(dx, dy)
        return out

    def _weight(self, dx, dy):
        fx, fy = self.frac.T
        return (fx if dx else 1 - fx) * (fy if dy else 1 - fy)

    def _corner(self, dx, dy):
        return self.tex[self.base[:, 1] + dy, self.base[:, 0] + dx]

    def backward(self, dcolor):
        dtex, dxy = np.zeros_like(self.tex), np.zeros_like(self.frac)
        fx, fy = self.frac.T
        for dx in (0, 1):
            for dy in (0, 1):
                ij = self.base[:, 1] + dy, self.base[:, 0] + dx
                dtex[ij] += self._weight(dx, dy)[:, None] * dcolor
                s = np.sum(self._corner(dx, dy) * dcolor, axis=1)
                dxy[:, 0] += s * (1 if dx else -1) * (fy if dy else 1 - fy)
                dxy[:, 1] += s * (1 if dy else -1) * (fx if dx else 1 - fx)
        return dtex, dxy


class Pinhole:
    def __init__(self, f=1.8, cx=0.1, cy=-0.2):
        self.params = {"f": np.array(f), "c": np.array([cx, cy])}
        self.grads = {}

    def forward(self, P):
        self.P = P
        return self.params["f"] * P[:, :2] / P[:, 2:] + self.params["c"]

    def backward(self, duv):
        X, Y, Z = self.P.T
        f = self.params["f"]
        self.grads["c"] = duv.sum(axis=0)
        self.grads["f"] = np.sum(duv[:, 0] * X / Z + duv[:, 1] * Y / Z)
        dP = np.empty_like(self.P)
        dP[:, 0] = f * duv[:, 0] / Z
        dP[:, 1] = f * duv[:, 1] / Z
        dP[:, 2] = -f * (duv[:, 0] * X + duv[:, 1] * Y) / Z
        return dP


def march_forward(sigma, color, delta, background):
    """Emission-absorption along rays. sigma (R, S), color (R, S, 3), delta (S,), background (3,)."""
    tau = np.cumsum(sigma * delta, axis=1)
    T = np.exp(-np.concatenate([np.zeros((len(sigma), 1)), tau], axis=1))
    w = T[:, :-1] - T[:, 1:]
    pixel = np.einsum("rs,rsc->rc", w, color) + T[:, -1:] * background
    return pixel, (sigma, color, delta, background, T, w)


def march_backward(dpixel, cache):
    sigma, color, delta, background, T, w = cache
    lit = np.einsum("rsc,rc->rs", color, dpixel)
    dback = T[:, -1] @ dpixel
    behind = np.cumsum((w * lit)[:, ::-1], axis=1)[:, ::-1]
    behind = behind + (T[:, -1] * (dpixel @ background))[:, None]
    dtau = T[:, 1:] * lit - behind
    return dtau * delta, w[:, :, None] * dpixel[:, None, :], np.sum(dtau * sigma, axis=0), dback


class LensTrain:
    """ABCD matrices: gap, lens, gap, lens, ... for rays given as columns (height, angle)."""

    def __init__(self, gaps, powers):
        self.gaps, self.powers = gaps, powers

    def elements(self):
        for d, p in zip(self.gaps, self.powers):
            yield np.array([[1.0, 0.0], [-p, 1.0]]) @ np.array([[1.0, d], [0.0, 1.0]])

    def forward(self, rays):
        self.at = [rays]
        for E in self.elements():
            self.at.append(E @ self.at[-1])
        return self.at[-1]

    def backward(self, g):
        self.dgaps, self.dpowers = np.zeros_like(self.gaps), np.zeros_like(self.powers)
        after = np.eye(2)
        train = list(self.elements())
        for k in range(len(train) - 1, -1, -1):
            dE = after.T @ g @ self.at[k].T
            self.dpowers[k] = -dE[1, 0] - dE[1, 1] * self.gaps[k]
            self.dgaps[k] = dE[0, 1] - self.powers[k] * dE[1, 1]
            after = train[k] @ after
        total = np.linalg.multi_dot(train[::-1])
        return total.T @ g


class PhaseHologram:
    """Intensity in the far field of a phase mask; complex inside, real outside."""

    def __init__(self, aperture):
        self.aperture = aperture

    def forward(self, phase):
        self.near = self.aperture * np.exp(1j * phase)
        self.far = np.fft.fft2(self.near, norm="ortho")
        return np.abs(self.far) ** 2

    def backward(self, dI):
        dnear = np.fft.ifft2(2 * dI * self.far, norm="ortho")
        return np.imag(np.conj(self.near) * dnear)


class SnakeArm:
    """Joint positions (x1, y1, x2, y2, ...) of a chain of links; the Jacobian as an operator."""

    def __init__(self, links):
        self.links = links

    def joints(self, q):
        a = np.cumsum(q)
        return np.cumsum(self.links[:, None] * np.stack([np.cos(a), np.sin(a)], axis=1), axis=0).ravel()

    def jacobian(self, q):
        n, a = len(q), np.cumsum(q)
        tangent = self.links[:, None] * np.stack([-np.sin(a), np.cos(a)], axis=1)

        def mv(dq):
            return np.cumsum(tangent * np.cumsum(np.ravel(dq))[:, None], axis=0).ravel()

        def rmv(f):
            pull = np.cumsum(np.reshape(f, (n, 2))[::-1], axis=0)[::-1]
            return np.cumsum(np.sum(tangent * pull, axis=1)[::-1])[::-1]

        return LinearOperator((2 * n, n), matvec=mv, rmatvec=rmv, dtype=float)


def _rng(k):
    return np.random.default_rng(700 + k)


def _axis():
    return AxisAngle(), np.array([0.4, -0.9, 0.6]), _rng(1).standard_normal((5, 3))


def _quat():
    return QuatRotation([0.9, 0.5, -0.3, 0.7]), _rng(2).standard_normal((6, 3))


def _spline():
    return CubicBSpline(), _rng(3).standard_normal((8, 2)), np.array([0.3, 1.7, 1.2, 3.55, 4.4, 2.65])


def _sil():
    return np.array([[-0.4, 0.1], [0.3, 0.35], [0.2, -0.5]]), np.array([0.45, 0.3, 0.25])


def _tex():
    r = _rng(4)
    return TextureFetch(), r.uniform(size=(4, 5, 3)), np.stack([r.uniform(0, 4, 14), r.uniform(0, 3, 14)], 1)


def _pin():
    r = _rng(5)
    return Pinhole(), np.c_[r.standard_normal((7, 2)), r.uniform(2, 5, 7)]


def _march():
    r = _rng(6)
    return r.uniform(0.2, 2, (3, 6)), r.uniform(size=(3, 6, 3)), r.uniform(0.1, 0.4, 6), r.uniform(size=3)


def _train():
    train = LensTrain(np.array([0.5, 0.8, 0.3, 0.6]), np.array([1.2, -0.7, 0.9, 0.4]))
    return train, _rng(7).standard_normal((2, 5))


def _holo():
    r = _rng(8)
    return PhaseHologram(r.uniform(0.5, 1, (6, 5))), r.uniform(-3, 3, (6, 5))


def _arm():
    return SnakeArm(np.array([1.0, 0.8, 0.6, 0.5, 0.3])), np.array([0.3, -0.7, 1.1, 0.4, -0.2])


def _p(make, **kw):
    def prove():
        o, *ins = make()
        return layer(o, ins, **kw)

    return prove


def _p_quat():
    o, v = _quat()
    return layer(o, [v], [o.q], lambda o: [o.dq])


def _p_sil():
    c, r = _sil()
    return pairs(lambda: silhouette(c, r)[0], lambda g: silhouette(c, r)[1](g), [c, r])


def _p_pin():
    o, P = _pin()
    return layer(o, [P], [o.params["f"], o.params["c"]], lambda o: [o.grads["f"], o.grads["c"]])


def _p_march():
    a = _march()
    return pairs(lambda: march_forward(*a)[0], lambda g: march_backward(g, march_forward(*a)[1]), a)


def _p_train():
    o, rays = _train()
    return layer(o, [rays], [o.gaps, o.powers], lambda o: [o.dgaps, o.dpowers])


def _p_arm():
    arm, q = _arm()
    J, I = arm.jacobian(q), np.eye(5)
    true = np.stack([diff(lambda k=k: arm.joints(q)[k], q) for k in range(10)])
    there = np.stack([J.matvec(e) for e in I], 1)
    return [(there, true), (np.stack([J.rmatvec(e) for e in np.eye(10)]), true)]


def _call_arm(gradlab):
    arm, q = _arm()
    return gradlab.check_jacobian(arm.joints, arm.jacobian, q)


ENTRIES = [
    Stranger(
        "tc axis angle rotation of points",
        "layer, two inputs",
        lambda gradlab: gradlab.check_layer(*_axis()),
        _p(_axis),
    ),
    Stranger(
        "tc quaternion rotation: the part through the norm forgotten",
        "layer, parameter q and dq",
        lambda gradlab: gradlab.check_layer(*_quat()),
        _p_quat,
        "wrong",
        "the quaternion's gradient is divided by the norm, but not projected, as if the norm were constant",
        ("missing-term",),
        ("q",),
        "        self.dq = dn / self.norm\n",
        "        self.dq = (dn - self.n * np.sum(self.n * dn)) / self.norm\n",
    ),
    Stranger(
        "tc cubic B-spline curve",
        "evaluate and pullback, two inputs",
        lambda gradlab: gradlab.check_layer(*_spline()),
        _p(_spline, fwd="evaluate", bwd="pullback"),
    ),
    Stranger(
        "tc soft silhouette of discs",
        "function that returns its vjp closure",
        lambda gradlab: gradlab.check_cached_pair(silhouette, lambda g, vjp: vjp(g), _sil()),
        _p_sil,
    ),
    Stranger(
        "tc bilinear texture: texels that are hit twice lose one share",
        "callable with backward",
        lambda gradlab: gradlab.check_layer(*_tex()),
        _p(_tex, fwd="__call__"),
        "wrong",
        "fancy indexing with += keeps one of several samples that touch the same texel",
        ("last-write-wins",),
        ("texture",),
        "                dtex[ij] += self._weight(dx, dy)[:, None] * dcolor\n",
        "                np.add.at(dtex, ij, self._weight(dx, dy)[:, None] * dcolor)\n",
    ),
    Stranger(
        "tc pinhole camera: the depth's gradient lacks one division by z",
        "layer with dicts",
        lambda gradlab: gradlab.check_layer(*_pin()),
        _p_pin,
        "wrong",
        "the derivative of 1/z is -1/z**2, but -1/z is used",
        ("missing-factor",),
        ("P",),
        "        dP[:, 2] = -f * (duv[:, 0] * X + duv[:, 1] * Y) / Z\n",
        "        dP[:, 2] = -f * (duv[:, 0] * X + duv[:, 1] * Y) / Z**2\n",
    ),
    Stranger(
        "tc ray marching: a sample is counted among what lies behind it",
        "pair with cache, four inputs",
        lambda gradlab: gradlab.check_cached_pair(march_forward, march_backward, _march()),
        _p_march,
        "wrong",
        "the cumulative sum from behind includes the sample itself: it is inclusive instead of exclusive",
        ("missing-term", "shifted", "additive-bias"),
        ("sigma", "delta"),
        "    behind = np.cumsum((w * lit)[:, ::-1], axis=1)[:, ::-1]\n",
        "    behind = np.cumsum((w * lit)[:, ::-1], axis=1)[:, ::-1] - w * lit\n",
    ),
    Stranger(
        "tc lens train: the matrices behind an element multiplied from the wrong side",
        "layer, gradients in attributes",
        lambda gradlab: gradlab.check_layer(*_train()),
        _p_train,
        "wrong",
        "the product of the later elements grows on the wrong side",
        ("wrong-order",),
        ("gaps", "powers"),
        "            after = train[k] @ after\n",
        "            after = after @ train[k]\n",
    ),
    Stranger(
        "tc far field of a phase hologram",
        "layer, complex inside",
        lambda gradlab: gradlab.check_layer(*_holo()),
        _p(_holo),
    ),
    Stranger(
        "tc snake arm with a Jacobian operator", "f and jacobian as a LinearOperator", _call_arm, _p_arm
    ),
]
