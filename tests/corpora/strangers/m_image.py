"""Graphics, geometry, images."""

import numpy as np

from ._entry import Stranger
from ._help_m import pair, pairs


# --- warp ----------
class BilinearWarp:
    """Samples an image at (y, x)."""

    def forward(self, img, y, x):
        self.shape, self.img = img.shape, img
        self.y0 = np.floor(y).astype(int)
        self.x0 = np.floor(x).astype(int)
        self.fy, self.fx = y - self.y0, x - self.x0
        i, j = self.y0, self.x0
        self.corners = img[i, j], img[i, j + 1], img[i + 1, j], img[i + 1, j + 1]
        a, b, c, d = self.corners
        top = a + self.fx * (b - a)
        bottom = c + self.fx * (d - c)
        return top + self.fy * (bottom - top)

    def backward(self, dout):
        a, b, c, d = self.corners
        fy, fx, i, j = self.fy, self.fx, self.y0, self.x0
        dimg = np.zeros(self.shape)
        np.add.at(dimg, (i, j), dout * (1 - fy) * (1 - fx))
        np.add.at(dimg, (i, j + 1), dout * (1 - fy) * fx)
        np.add.at(dimg, (i + 1, j), dout * fy * (1 - fx))
        np.add.at(dimg, (i + 1, j + 1), dout * fy * fx)
        dy = dout * ((c + fx * (d - c)) - (a + fx * (b - a)))
        dx = dout * ((b + fy * (d - b)) - (a + fy * (c - a)))
        return dimg, dx, dy


def warp():
    rng = np.random.default_rng(31)
    cell = rng.integers(0, 4, (2, 8))
    y, x = cell + rng.uniform(0.15, 0.85, (2, 8))
    return rng.standard_normal((5, 5)), y, x


def _p_warp():
    w, args = BilinearWarp(), warp()
    return pairs(lambda: w.forward(*args), w.backward, args)


# --- shading ----------
class LambertShader:
    def __init__(self, light):
        self.light = light
        self.grad_light = None

    def forward(self, normals, albedo):
        self.n, self.rho = normals, albedo
        self.cos = normals @ self.light
        self.lit = np.maximum(self.cos, 0.0)
        return albedo * self.lit

    def backward(self, g):
        g_lit = g * self.rho
        g_cos = np.where(g_lit > 0, g_lit, 0.0)
        self.grad_light = g_cos @ self.n
        return np.outer(g_cos, self.light), g * self.lit


def scene():
    rng = np.random.default_rng(17)
    n = rng.standard_normal((10, 3))
    n /= np.linalg.norm(n, axis=1, keepdims=True)
    return LambertShader(np.array([0.3, 0.8, 0.5])), n, rng.uniform(0.2, 0.9, 10)


def _p_scene():
    s, n, rho = scene()
    return pairs(
        lambda: s.forward(n, rho), lambda g: (*s.backward(g), s.grad_light), [n, rho, s.light], h=1e-4
    )


# --- display ----------
def srgb_encode(lin):
    low = lin <= 0.0031308
    out = np.where(low, 12.92 * lin, 1.055 * np.abs(lin) ** (1 / 2.4) - 0.055)
    return out, (lin, out)


def srgb_encode_grad(dout, cache):
    lin, out = cache
    low = out <= 0.0031308
    return dout * np.where(low, 12.92, 1.055 / 2.4 * np.abs(lin) ** (1 / 2.4 - 1))


def pixels():
    return np.array([[0.0011, 0.0023, 0.012], [0.18, 0.0007, 0.33], [0.72, 0.0018, 0.09], [0.5, 0.2, 0.002]])


# --- blur ----------
class RowBlur:
    """Gaussian blur along the rows; the border is mirrored (numpy's 'reflect')."""

    def __init__(self, sigma=1.0, radius=2):
        t = np.arange(-radius, radius + 1)
        self.r, self.k = radius, np.exp(-0.5 * (t / sigma) ** 2)
        self.k /= self.k.sum()

    def __call__(self, img):
        padded = np.pad(img, ((0, 0), (self.r, self.r)), mode="reflect")
        return np.stack([np.convolve(row, self.k, "valid") for row in padded])

    forward = __call__

    def backward(self, g):
        r, n = self.r, g.shape[1]
        full = np.stack([np.convolve(row, self.k[::-1], "full") for row in g])
        return full[:, r : r + n]


def _p_blur():
    b, img = RowBlur(), np.random.default_rng(18).random((4, 9))
    return pairs(lambda: b.forward(img), lambda g: (b.backward(g),), [img])


# --- edge preserving smoothing (Perona & Malik 1990) ----------
def perona_malik(img, kappa=0.4, lam=0.2):
    out, saved = img.copy(), []
    for ax in (0, 1):
        d = np.diff(img, axis=ax)
        flux = d * np.exp(-((d / kappa) ** 2))
        saved.append(d)
        pad = [(0, 0), (0, 0)]
        pad[ax] = (1, 1)
        out += lam * np.diff(np.pad(flux, pad), axis=ax)
    return out, (saved, kappa, lam)


def perona_malik_backward(dout, cache):
    saved, kappa, lam = cache
    dimg = dout.copy()
    for ax, d in enumerate(saved):
        s = (d / kappa) ** 2
        dflux = -lam * np.diff(dout, axis=ax)
        dd = dflux * np.exp(-s) * (1 - 2 * s)
        pad = [(0, 0), (0, 0)]
        pad[ax] = (1, 1)
        dimg -= np.diff(np.pad(dd, pad), axis=ax)
    return dimg


# --- total variation ----------
class TVLoss:
    def __init__(self, weight=0.1, eps=1e-2):
        self.weight, self.eps = weight, eps

    def forward(self, img):
        self.gx = img[:-1, 1:] - img[:-1, :-1]
        self.gy = img[1:, :-1] - img[:-1, :-1]
        self.mag = np.sqrt(self.gx**2 + self.gy**2 + self.eps)
        return self.weight * self.mag.sum()

    def backward(self):
        px, py = self.weight * self.gx / self.mag, self.weight * self.gy / self.mag
        out = np.zeros((px.shape[0] + 1, px.shape[1] + 1))
        out[:-1, 1:] += px
        out[1:, :-1] += py
        out[:-1, :-1] -= px + py
        return out


def _p_tv():
    t, img = TVLoss(), np.random.default_rng(19).random((6, 5))
    return pairs(lambda: t.forward(img), lambda g: (t.backward(),), [img], g=np.array(1.0))


# --- mesh ----------
def make_measures(faces):
    """-> f(V) = [surface area, enclosed volume], pullback"""
    fa, fb, fc = faces.T

    def measures(V):
        a, b, c = V[fa], V[fb], V[fc]
        n = np.cross(b - a, c - a)
        two_area = np.linalg.norm(n, axis=1)
        volume = np.einsum("fi,fi->", a, np.cross(b, c)) / 6

        def pull(g):
            gn = 0.5 * g[0] * n / two_area[:, None]
            gV = np.zeros_like(V)
            # n = (b - a) x (c - a)
            g_ab, g_ac = np.cross(c - a, gn), np.cross(gn, b - a)
            np.add.at(gV, fa, g[1] / 6 * np.cross(b, c) - g_ab - g_ac)
            np.add.at(gV, fb, g[1] / 6 * np.cross(c, a) + g_ab)
            np.add.at(gV, fc, g[1] / 6 * np.cross(a, b) + g_ac)
            return (gV,)

        return np.array([0.5 * two_area.sum(), volume]), pull

    return measures


OCTA = np.array([[0, 2, 4], [2, 1, 4], [1, 3, 4], [3, 0, 4], [2, 0, 5], [1, 2, 5], [3, 1, 5], [0, 3, 5]])


def octahedron():
    V = np.array([[1, 0, 0], [-1, 0, 0], [0, 1, 0], [0, -1, 0], [0, 0, 1], [0, 0, -1.0]])
    return (V + 0.1 * np.random.default_rng(20).standard_normal(V.shape),)


# --- blobs: smooth union of spheres ----------
def blobs(P, C, rad, sharp=6.0):
    diff = P[:, None] - C
    dist = np.sqrt((diff**2).sum(-1))
    z = -sharp * (dist - rad)
    m = z.max(1, keepdims=True)
    e = np.exp(z - m)
    tot = e.sum(1, keepdims=True)
    return -(m + np.log(tot))[:, 0] / sharp, (diff, dist, e / tot)


def blobs_grad(g, saved):
    diff, dist, share = saved
    gd = g[:, None] * share
    gdiff = (gd / dist)[..., None] * diff
    return dict(P=gdiff.sum(1), C=-gdiff.sum(0), rad=-gd.sum(0))


def space():
    rng = np.random.default_rng(22)
    return rng.standard_normal((7, 3)), rng.standard_normal((3, 3)), np.array([0.5, 0.3, 0.7])


# --- point clouds ----------
class Chamfer:
    """mean squared distance to the nearest neighbour, both ways"""

    def forward(self, A, B):
        D = ((A[:, None] - B[None]) ** 2).sum(-1)
        self.A, self.B = A, B
        self.ab, self.ba = D.argmin(1), D.argmin(0)
        return D.min(1).mean() + D.min(0).mean()

    def backward(self, dout=1.0):
        A, B = self.A, self.B
        u = dout * 2 * (A - B[self.ab]) / len(A)
        v = dout * 2 * (B - A[self.ba]) / len(B)
        dA, dB = u.copy(), v.copy()
        np.subtract.at(dA, self.ba, v)
        np.subtract.at(dB, self.ab, u)
        return dA, dB


def clouds():
    rng = np.random.default_rng(23)
    return rng.standard_normal((6, 3)), rng.standard_normal((8, 3))


def _p_clouds():
    c, args = Chamfer(), clouds()
    return pairs(lambda: c.forward(*args), c.backward, args, h=1e-4)


# --- pinhole ----------
def project(points, focal):
    """camera coordinates (N, 3) and focal lengths (2,) -> image plane (N, 2)"""
    z = points[:, 2:]
    ray = points[:, :2] / z
    return ray * focal, (ray, z, focal)


def project_backward(duv, cache):
    ray, z, focal = cache
    dfocal = (duv * ray).sum(axis=0)
    duv *= focal
    duv /= z
    dpoints = np.empty((len(ray), 3))
    dpoints[:, :2] = duv
    dpoints[:, 2] = -(duv * ray).sum(axis=1)
    return dpoints, dfocal


def markers():
    rng = np.random.default_rng(24)
    return rng.uniform(-1, 1, (6, 3)) + np.array([0, 0, 3.0]), np.array([1.8, 1.7])


ENTRIES = [
    Stranger(
        "bilinear warp: gradients of y and x exchanged",
        "layer of an image and coordinates",
        lambda gl: gl.check_layer(BilinearWarp(), *warp()),
        _p_warp,
        "wrong",
        "forward takes (img, y, x), backward returns the gradients in the order (img, x, y)",
        ("swapped-primals",),
        ("y", "x"),
        "        return dimg, dx, dy\n",
        "        return dimg, dy, dx\n",
    ),
    Stranger(
        "Lambert shader: masked by the sign of the gradient",
        "layer with light and grad_light",
        lambda gl: gl.check_layer(*scene()),
        _p_scene,
        "wrong",
        "what is let through is chosen by the incoming gradient's sign, not by whether the point is lit",
        ("nonlinear-in-cotangent", "masked-region"),
        ("normals", "light"),
        "        g_cos = np.where(g_lit > 0, g_lit, 0.0)\n",
        "        g_cos = np.where(self.cos > 0, g_lit, 0.0)\n",
    ),
    Stranger(
        "sRGB encoding: linear part chosen by the encoded value",
        "pair with cache, one array",
        lambda gl: gl.check_cached_pair(srgb_encode, srgb_encode_grad, (pixels(),)),
        lambda: pair(srgb_encode, srgb_encode_grad, (pixels(),), h=1e-5),
        "wrong",
        "backward compares the output with the threshold that is meant for the input",
        ("masked-region",),
        ("lin",),
        "    low = out <= 0.0031308\n",
        "    low = lin <= 0.0031308\n",
    ),
    Stranger(
        "row blur with mirrored border: the mirrored part is cut off",
        "callable layer without parameters",
        lambda gl: gl.check_layer(RowBlur(), np.random.default_rng(18).random((4, 9))),
        _p_blur,
        "wrong",
        "what flows to the mirrored margin is cut off instead of being folded back",
        ("border", "missing-term"),
        ("img",),
        "        return full[:, r : r + n]\n",
        "        full[:, r + 1 : 2 * r + 1] += full[:, :r][:, ::-1]\n"
        "        full[:, n - 1 : r + n - 1] += full[:, r + n :][:, ::-1]\n"
        "        return full[:, r : r + n]\n",
    ),
    Stranger(
        "Perona-Malik step",
        "pair with cache and settings",
        lambda gl: gl.check_cached_pair(
            perona_malik, perona_malik_backward, (np.random.default_rng(25).random((6, 7)),)
        ),
        lambda: pair(perona_malik, perona_malik_backward, (np.random.default_rng(25).random((6, 7)),)),
    ),
    Stranger(
        "smoothed total variation loss",
        "loss layer, backward without argument",
        lambda gl: gl.check_layer(TVLoss(), np.random.default_rng(19).random((6, 5))),
        _p_tv,
    ),
    Stranger(
        "area and volume of a mesh",
        "factory of a function with a vjp closure",
        lambda gl: gl.check_vjp(make_measures(OCTA), lambda pull, g: pull(g), octahedron()),
        lambda: pair(make_measures(OCTA), lambda g, pull: pull(g), octahedron()),
    ),
    Stranger(
        "blobs, smooth union of spheres",
        "pair with cache and dict gradients",
        lambda gl: gl.check_cached_pair(blobs, blobs_grad, space()),
        lambda: pair(blobs, blobs_grad, space(), ["P", "C", "rad"]),
    ),
    Stranger(
        "Chamfer distance of two point clouds",
        "loss layer, dout defaults to 1",
        lambda gl: gl.check_layer(Chamfer(), *clouds()),
        _p_clouds,
    ),
    Stranger(
        "pinhole projection: writes into duv",
        "pair with cache",
        lambda gl: gl.check_cached_pair(project, project_backward, markers()),
        lambda: [],
        "habit",
        "backward scales its argument duv in place",
        ("mutates-argument",),
    ),
]
