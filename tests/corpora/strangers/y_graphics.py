"""Bits of a differentiable renderer."""

from typing import NamedTuple

import numpy as np

from ._entry import Stranger
from ._help_y import against


class RationalBezier:
    """Points of a rational Bezier curve at fixed t, by de Casteljau in homogeneous coordinates."""

    def __init__(self, ts):
        self.t = np.asarray(ts)[:, None, None]

    def forward(self, ctrl, weight):
        self.ctrl, self.weight = ctrl, weight
        h = np.concatenate([ctrl * weight[:, None], weight[:, None]], axis=1)
        b = np.repeat(h[None], len(self.t), axis=0)
        while b.shape[1] > 1:
            b = (1 - self.t) * b[:, :-1] + self.t * b[:, 1:]
        self.den = b[:, 0, -1:]
        self.out = b[:, 0, :-1] / self.den
        return self.out

    def backward(self, dC):
        top = np.concatenate([dC, -(dC * self.out).sum(axis=1, keepdims=True)], axis=1) / self.den
        d = top[:, None]
        for k in range(1, len(self.ctrl)):
            up = np.zeros((len(d), k + 1, d.shape[2]))
            up[:, :-1] += (1 - self.t) * d
            up[:, 1:] += self.t * d
            d = up
        dh = d.sum(axis=0)
        return dh[:, :-1] * self.weight[:, None], (dh[:, :-1] * self.ctrl).sum(axis=1) + dh[:, -1]


def curve():
    rng = np.random.default_rng(20)
    return RationalBezier(np.linspace(0.1, 0.9, 6)), rng.standard_normal((4, 2)), rng.uniform(0.5, 2, 4)


def prove_curve():
    bez, ctrl, weight = curve()
    g = np.random.default_rng(21).standard_normal((6, 2))
    bez.forward(ctrl, weight)
    dctrl, dweight = bez.backward(g)
    return against(lambda: g * bez.forward(ctrl, weight), (ctrl, dctrl), (weight, dweight))


def rodrigues_forward(r):
    """(n, 3) rotation vectors -> (n, 3, 3) matrices"""
    th = np.sqrt((r * r).sum(-1))
    K = np.zeros((len(r), 3, 3))
    K[:, 2, 1], K[:, 0, 2], K[:, 1, 0] = r.T
    K = K - np.swapaxes(K, 1, 2)
    a, b = np.sin(th) / th, (1 - np.cos(th)) / th**2
    K2 = K @ K
    R = np.eye(3) + a[:, None, None] * K + b[:, None, None] * K2
    return R, (r, th, K, K2, a, b)


def rodrigues_backward(dR, cache):
    r, th, K, K2, a, b = cache
    Kt = np.swapaxes(K, 1, 2)
    dK = a[:, None, None] * dR + b[:, None, None] * (dR @ Kt + Kt @ dR)
    da = np.einsum("nij,nij->n", dR, K)
    db = np.einsum("nij,nij->n", dR, K2)
    dth = da * (np.cos(th) - a) / th + db * (a - 2 * b) / th
    dr = np.stack([dK[:, 2, 1] - dK[:, 1, 2], dK[:, 0, 2] - dK[:, 2, 0], dK[:, 1, 0] - dK[:, 0, 1]], axis=1)
    return dr + (dth / th)[:, None] * r


def spins():
    return np.random.default_rng(22).uniform(0.2, 1.2, (5, 3)) * np.array([1, -1, 1])


def prove_rodrigues():
    r, g = spins(), np.random.default_rng(23).standard_normal((5, 3, 3))
    dr = rodrigues_backward(g, rodrigues_forward(r)[1])
    return against(lambda: g * rodrigues_forward(r)[0], (r, dr))


class RayCompositor:
    """Emission-absorption along rays: sigma (rays, samples), rgb (rays, samples, 3) -> (rays, 3)."""

    def __init__(self, deltas):
        self.deltas = deltas

    def __call__(self, sigma, rgb):
        optical = sigma * self.deltas
        before = np.cumsum(optical, axis=1) - optical
        self.after = np.exp(-(before + optical))
        self.weights = np.exp(-before) - self.after
        self.rgb = rgb
        return np.einsum("rs,rsc->rc", self.weights, rgb)

    def backward(self, dcolor):
        dweights = self.rgb @ dcolor[:, :, None]
        dweights = dweights[:, :, 0]
        behind = np.cumsum((self.weights * dweights)[:, ::-1], axis=1)[:, ::-1] - self.weights * dweights
        dsigma = self.deltas * (self.after * dweights - behind)
        return dsigma, self.weights[:, :, None] * dcolor[:, None, :]


def rays():
    rng = np.random.default_rng(24)
    return RayCompositor(rng.uniform(0.1, 0.4, 7)), rng.uniform(0, 3, (4, 7)), rng.uniform(0, 1, (4, 7, 3))


def prove_rays():
    (render, sigma, rgb), g = rays(), np.random.default_rng(25).standard_normal((4, 3))
    render(sigma, rgb)
    dsigma, drgb = render.backward(g)
    return against(lambda: g * render(sigma, rgb), (sigma, dsigma), (rgb, drgb))


class MeltedBalls:
    """Signed distance to a smooth union of balls; params centre, radius, sharpness."""

    def __init__(self, centre, radius, sharpness):
        self.params = {"centre": centre, "radius": radius, "sharpness": sharpness}
        self.grads = {}

    def forward(self, x):
        P = self.params
        diff = x[:, None, :] - P["centre"]
        self.far = np.linalg.norm(diff, axis=2)
        self.unit = diff / self.far[..., None]
        self.d = self.far - P["radius"]
        e = np.exp(-P["sharpness"] * self.d)
        self.share = e / e.sum(axis=1, keepdims=True)
        self.sdf = -np.log(e.sum(axis=1)) / P["sharpness"]
        return self.sdf

    def backward(self, g):
        dd = g[:, None] * self.share
        pulled = dd[..., None] * self.unit
        s = self.params["sharpness"]
        slope = ((self.share * self.d).sum(axis=1) - self.sdf) / s
        self.grads.update(centre=-pulled.sum(axis=0), radius=-dd.sum(axis=0), sharpness=np.array([g @ slope]))
        return pulled.sum(axis=1)


def balls():
    rng = np.random.default_rng(26)
    scene = MeltedBalls(rng.standard_normal((3, 3)), rng.uniform(0.3, 0.8, 3), np.array([2.5]))
    return scene, 2 * rng.standard_normal((6, 3))


def prove_balls():
    (scene, x), g = balls(), np.random.default_rng(27).standard_normal(6)
    scene.forward(x)
    dx = scene.backward(g)
    made = [(scene.params[k], scene.grads[k].copy()) for k in scene.params]
    return against(lambda: g * scene.forward(x), (x, dx), *made)


class QuatGrads(NamedTuple):
    q: np.ndarray
    v: np.ndarray


class QuatRotate:
    """Rotates the rows of v by the quaternion q = (w, x, y, z), which need not be a unit one."""

    def apply(self, q, v):
        self.norm = np.linalg.norm(q)
        self.unit, self.v = q / self.norm, v
        w, u = self.unit[0], self.unit[1:]
        self.uv = np.cross(u, v)
        return v + 2 * w * self.uv + 2 * np.cross(u, self.uv)

    def vjp(self, g):
        w, u = self.unit[0], self.unit[1:]
        gw = 2 * np.sum(g * self.uv)
        guv = 2 * w * g - 2 * np.cross(u, g)
        gu = 2 * np.cross(self.uv, g).sum(axis=0) + np.cross(self.v, guv).sum(axis=0)
        gq = np.concatenate([[gw], gu])
        gq -= self.unit * (self.unit @ gq)
        return QuatGrads(gq / self.norm, g - np.cross(u, guv))


def turned():
    rng = np.random.default_rng(28)
    return QuatRotate(), np.array([0.9, -0.4, 0.7, 0.3]), rng.standard_normal((5, 3))


def prove_turned():
    (rot, q, v), g = turned(), np.random.default_rng(29).standard_normal((5, 3))
    rot.apply(q, v)
    made = rot.vjp(g)
    return against(lambda: g * rot.apply(q, v), (q, made.q), (v, made.v))


class BilinearTexture:
    def __init__(self, tex):
        self.tex = tex
        self.dtex = None

    def forward(self, uv):
        h, w, _ = self.tex.shape
        xy = uv * np.array([w - 1, h - 1])
        self.ix, self.iy = np.floor(xy).astype(int).T
        self.fx, self.fy = (xy - np.floor(xy)).T
        out = 0.0
        for oy in (0, 1):
            for ox in (0, 1):
                wx, wy = (self.fx if ox else 1 - self.fx), (self.fy if oy else 1 - self.fy)
                out = out + (wx * wy)[:, None] * self.tex[self.iy + oy, self.ix + ox]
        return out

    def backward(self, g):
        h, w, _ = self.tex.shape
        self.dtex = np.zeros_like(self.tex)
        duv = np.zeros((len(g), 2))
        for oy in (0, 1):
            for ox in (0, 1):
                wx, wy = (self.fx if ox else 1 - self.fx), (self.fy if oy else 1 - self.fy)
                at = self.iy + oy, self.ix + ox
                self.dtex[at] += (wx * wy)[:, None] * g
                along = (g * self.tex[at]).sum(axis=1)
                duv[:, 0] += (2 * ox - 1) * wy * along * (w - 1)
                duv[:, 1] += (2 * oy - 1) * wx * along * (h - 1)
        return duv


def wall():
    rng = np.random.default_rng(30)
    uv = np.array([[0.1, 0.2], [0.15, 0.28], [0.6, 0.55], [0.85, 0.9], [0.88, 0.8], [0.4, 0.1]])
    return BilinearTexture(rng.uniform(0, 1, (4, 5, 3))), uv


def prove_wall():
    (tex, uv), g = wall(), np.random.default_rng(31).standard_normal((6, 3))
    tex.forward(uv)
    duv = tex.backward(g)
    return against(lambda: g * tex.forward(uv), (uv, duv), (tex.tex, tex.dtex))


class LinearToSRGB:
    def forward(self, lin):
        self.lin = lin
        self.srgb = np.where(lin <= 0.0031308, 12.92 * lin, 1.055 * np.abs(lin) ** (1 / 2.4) - 0.055)
        return self.srgb

    def backward(self, dsrgb):
        dlin = 1.055 / 2.4 * np.abs(self.lin) ** (1 / 2.4 - 1)
        toe = self.srgb <= 0.0031308
        dlin[toe] = 12.92
        return dsrgb * dlin


def dark_picture():
    return np.array([[0.0001, 0.0012, 0.0027, 0.0008], [0.004, 0.02, 0.3, 0.0021], [0.7, 0.09, 0.95, 0.5]])


def prove_srgb():
    tone, lin, g = LinearToSRGB(), dark_picture(), np.random.default_rng(32).uniform(-1, 1, (3, 4))
    tone.forward(lin)
    return against(lambda: g * tone.forward(lin), (lin, tone.backward(g)))


def splat_forward(amp, mx, my, sx, sy, h=7, w=9):
    """A sum of axis-aligned Gaussian blobs on a grid of pixels."""
    X, Y = np.arange(w)[None, None, :], np.arange(h)[None, :, None]
    zx = (X - mx[:, None, None]) / sx[:, None, None]
    zy = (Y - my[:, None, None]) / sy[:, None, None]
    blob = np.exp(-0.5 * (zx**2 + zy**2))
    return np.tensordot(amp, blob, 1), (amp, sx, sy, zx, zy, blob)


def splat_backward(dimg, cache):
    amp, sx, sy, zx, zy, blob = cache
    seen = dimg * blob
    damp = seen.sum(axis=(1, 2))
    dmx = amp * (seen * zx).sum(axis=(1, 2)) / sx
    dmy = amp * (seen * zy).sum(axis=(1, 2)) / sy
    dsx = amp * (seen * zx**2).sum(axis=(1, 2)) / sx
    dsy = amp * (seen * zy**2).sum(axis=(1, 2)) / sy
    return damp, dmx, dmy, dsy, dsx


def blobs():
    return (
        np.array([1.0, 0.6, -0.8]),
        np.array([2.2, 5.1, 6.7]),
        np.array([3.3, 1.2, 4.4]),
        np.array([1.1, 2.0, 1.6]),
        np.array([1.9, 0.9, 1.3]),
    )


def prove_splat():
    args, g = blobs(), np.random.default_rng(33).standard_normal((7, 9))
    made = splat_backward(g, splat_forward(*args)[1])
    return against(lambda: g * splat_forward(*args)[0], *zip(args, made))


class OrbitCamera:
    """Where the camera stands: azimuth and elevation in degrees, distance from the origin."""

    def forward(self, azimuth, elevation, distance):
        az, el = np.deg2rad(azimuth), np.deg2rad(elevation)
        self.parts = np.cos(az), np.sin(az), np.cos(el), np.sin(el), distance
        ca, sa, ce, se, r = self.parts
        return np.stack([r * ce * sa, r * se, r * ce * ca], axis=-1)

    def backward(self, deye):
        ca, sa, ce, se, r = self.parts
        dx, dy, dz = np.moveaxis(deye, -1, 0)
        deg = 0.0175
        daz = r * ce * (dx * ca - dz * sa)
        delev = r * (dy * ce - se * (dx * sa + dz * ca))
        return daz * deg, delev * deg, dx * ce * sa + dy * se + dz * ce * ca


def views():
    azimuth, elevation = np.array([20.0, 135.0, -70.0, 250.0]), np.array([10.0, -25.0, 50.0, 5.0])
    return azimuth, elevation, np.array([2.0, 3.5, 1.5, 4.0])


def prove_orbit():
    cam, args, g = OrbitCamera(), views(), np.random.default_rng(34).standard_normal((4, 3))
    cam.forward(*args)
    return against(lambda: g * cam.forward(*args), *zip(args, cam.backward(g)))


class Lambert:
    """Diffuse shading of normals by one far lamp; faces that look away stay dark."""

    def __init__(self, lamp):
        self.lamp = lamp / np.linalg.norm(lamp)

    def forward(self, normals):
        cosine = normals @ self.lamp
        self.dark = cosine <= 0
        return np.where(self.dark, 0.0, cosine)

    def backward(self, dshade):
        dshade[self.dark] = 0
        return dshade[:, None] * self.lamp


def faces():
    return np.random.default_rng(35).standard_normal((8, 3))


ENTRIES = [
    Stranger(
        "rational Bezier by de Casteljau, control points and weights",
        "layer with two inputs",
        lambda gradlab: gradlab.check_layer(*curve()),
        prove_curve,
    ),
    Stranger(
        "Rodrigues' formula for a batch of rotation vectors",
        "pair with cache",
        lambda gradlab: gradlab.check_cached_pair(rodrigues_forward, rodrigues_backward, (spins(),)),
        prove_rodrigues,
    ),
    Stranger(
        "emission-absorption compositing of rays",
        "callable object with backward",
        lambda gradlab: gradlab.check_layer(*rays()),
        prove_rays,
    ),
    Stranger(
        "signed distance of melted balls",
        "layer with params and grads dicts",
        lambda gradlab: gradlab.check_layer(*balls()),
        prove_balls,
    ),
    Stranger(
        "rotation by a quaternion of any length",
        "apply and vjp, gradients in a named tuple",
        lambda gradlab: gradlab.check_layer(*turned()),
        prove_turned,
    ),
    Stranger(
        "bilinear texture: repeated texels counted once",
        "layer with one parameter as attribute",
        lambda gradlab: gradlab.check_layer(*wall()),
        prove_wall,
        "wrong",
        "+= by index arrays keeps only the last of the samples that touch a texel",
        ("last-write-wins",),
        ("tex", "dtex"),
        "                self.dtex[at] += (wx * wy)[:, None] * g",
        "                np.add.at(self.dtex, at, (wx * wy)[:, None] * g)",
    ),
    Stranger(
        "sRGB curve: the toe is masked by the encoded value",
        "layer",
        lambda gradlab: gradlab.check_layer(LinearToSRGB(), dark_picture()),
        prove_srgb,
        "wrong",
        "the linear toe's threshold is compared with the encoded value instead of the linear one",
        ("masked-region", "wrong-operand"),
        ("lin",),
        "        toe = self.srgb <= 0.0031308",
        "        toe = self.lin <= 0.0031308",
    ),
    Stranger(
        "Gaussian splats: widths' gradients exchanged",
        "pair with cache, five gradients",
        lambda gradlab: gradlab.check_cached_pair(splat_forward, splat_backward, blobs()),
        prove_splat,
        "wrong",
        "the gradients of sx and sy are returned in each other's place",
        ("swapped-primals",),
        ("sx", "sy"),
        "    return damp, dmx, dmy, dsy, dsx",
        "    return damp, dmx, dmy, dsx, dsy",
    ),
    Stranger(
        "orbit camera: a degree is 0.0175",
        "layer with three inputs",
        lambda gradlab: gradlab.check_layer(OrbitCamera(), *views()),
        prove_orbit,
        "wrong",
        "pi / 180 is written with three digits in backward",
        ("rounded-constants", "constant-factor"),
        ("azimuth", "elevation"),
        "        deg = 0.0175",
        "        deg = np.pi / 180",
    ),
    Stranger(
        "Lambert shading: backward blackens its argument",
        "layer",
        lambda gradlab: gradlab.check_layer(Lambert(np.array([1.0, 2.0, 0.5])), faces()),
        lambda: [],
        "habit",
        "backward writes zeros into the cotangent that it is given",
        ("mutates-argument",),
        ("dshade",),
        "        dshade[self.dark] = 0",
        "        dshade = np.where(self.dark, 0.0, dshade)",
    ),
]
