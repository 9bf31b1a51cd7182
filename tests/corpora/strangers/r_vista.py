"""Immagini, telecamere, punti."""

import numpy as np
import scipy.sparse as sp

from ._entry import Stranger
from ._help_r import poke, poke_jac


# ---- backward warp, zero outside -----------------------------------------------------------------
def warp_forward(img, flow):
    """img (H, W), flow (2, H, W) in pixels (dy, dx). Bilinear."""
    H, W = img.shape
    yy, xx = np.mgrid[:H, :W]
    py, px = yy + flow[0], xx + flow[1]
    y0, x0 = np.floor(py).astype(int), np.floor(px).astype(int)
    fy, fx = py - y0, px - x0
    corners = []
    out = np.zeros((H, W))
    for dy in (0, 1):
        for dx in (0, 1):
            y, x = y0 + dy, x0 + dx
            ok = (y >= 0) & (y < H) & (x >= 0) & (x < W)
            yc, xc = y.clip(0, H - 1), x.clip(0, W - 1)
            val = np.where(ok, img[yc, xc], 0.0)
            wy, wx = (fy if dy else 1 - fy), (fx if dx else 1 - fx)
            out += wy * wx * val
            corners.append(dict(ok=ok, y=yc, x=xc, val=val, wy=wy, wx=wx, sy=2 * dy - 1, sx=2 * dx - 1))
    return out, dict(shape=(H, W), corners=corners)


def warp_backward(dout, cache):
    dimg = np.zeros(cache["shape"])
    dflow = np.zeros((2, *cache["shape"]))
    for c in cache["corners"]:
        np.add.at(dimg, (c["y"], c["x"]), np.where(c["ok"], dout * c["wy"] * c["wx"], 0.0))
        dflow[0] += dout * c["sy"] * c["wx"] * c["val"]
        dflow[1] += dout * c["sx"] * c["wy"] * c["val"]
    return dimg, dflow


def _warp():
    r = np.random.default_rng(0)
    return r.random((4, 5)), r.integers(-1, 2, (2, 4, 5)) + r.uniform(0.1, 0.9, (2, 4, 5))


def _prove_warp():
    p = _warp()
    g = np.random.default_rng(1).normal(size=(4, 5))
    ds = warp_backward(g, warp_forward(*p)[1])
    return [(d, poke(lambda: warp_forward(*p)[0], a, g)) for d, a in zip(ds, p)]


# ---- volume di correlazione stereo ---------------------------------------------------------------
class VolumeCorrelazione:
    """vol[d, y, x] = media sui canali di sinistra[:, y, x] * destra[:, y, x - d]."""

    def __init__(self, disparita):
        self.D = disparita

    def forward(self, sinistra, destra):
        self.sinistra, self.destra = sinistra, destra
        C, H, W = sinistra.shape
        vol = np.zeros((self.D, H, W))
        for d in range(self.D):
            vol[d, :, d:] = (sinistra[:, :, d:] * destra[:, :, : W - d]).mean(axis=0)
        return vol

    def backward(self, dvol):
        C, H, W = self.sinistra.shape
        dsin, ddes = np.zeros_like(self.sinistra), np.zeros_like(self.destra)
        for d in range(self.D):
            fetta = dvol[d, :, d:] / C
            dsin[:, :, d:] += fetta * self.destra[:, :, : W - d]
            ddes[:, :, : W - d] += fetta * self.sinistra[:, :, d:]
        return dsin, ddes


def _corr():
    r = np.random.default_rng(3)
    return VolumeCorrelazione(3), r.normal(size=(2, 3, 5)), r.normal(size=(2, 3, 5))


def _prove_corr():
    vol, a, b = _corr()
    g = np.random.default_rng(4).normal(size=(3, 3, 5))
    vol.forward(a, b)
    da, db = vol.backward(g)
    f = lambda: vol.forward(a, b)
    return [(da, poke(f, a, g)), (db, poke(f, b, g))]


# ---- denoising energy for L-BFGS -----------------------------------------------------------------
class Denoiser:
    def __init__(self, noisy, lam=0.7, eps=0.05):
        self.noisy, self.lam, self.eps = noisy, lam, eps

    def energy(self, v):
        u = v.reshape(self.noisy.shape)
        tv = sum(np.sqrt(np.diff(u, axis=k) ** 2 + self.eps**2).sum() for k in (0, 1))
        return 0.5 * ((u - self.noisy) ** 2).sum() + self.lam * tv

    def energy_prime(self, v):
        u = v.reshape(self.noisy.shape)
        out = u - self.noisy
        for k in (0, 1):
            d = np.diff(u, axis=k)
            q = self.lam * d / np.sqrt(d**2 + self.eps**2)
            pad = [(0, 0), (0, 0)]
            pad[k] = (1, 1)
            out -= np.diff(np.pad(q, pad), axis=k)
        return out.ravel()


def _denoise():
    r = np.random.default_rng(6)
    return Denoiser(r.random((5, 6))), r.random(30)


def _check_denoise(gradlab):
    m, v = _denoise()
    return gradlab.check_gradient(m.energy, m.energy_prime, v)


def _prove_denoise():
    m, v = _denoise()
    return [(m.energy_prime(v), poke(lambda: m.energy(v), v))]


# ---- distorsione di Brown-Conrady ----------------------------------------------------------------
K1, K2, P1, P2 = 0.21, -0.05, 0.013, -0.02


def distorci(punti):
    """punti: x0, y0, x1, y1, ... normalizzati."""
    x, y = punti[0::2], punti[1::2]
    r2 = x**2 + y**2
    rad = 1 + K1 * r2 + K2 * r2**2
    u = np.empty_like(punti)
    u[0::2] = x * rad + 2 * P1 * x * y + P2 * (r2 + 2 * x**2)
    u[1::2] = y * rad + P1 * (r2 + 2 * y**2) + 2 * P2 * x * y
    return u


def jacobiano_distorsione(punti):
    blocchi = []
    for x, y in punti.reshape(-1, 2):
        r2 = x * x + y * y
        rad = 1 + K1 * r2 + K2 * r2 * r2
        drad = 2 * (K1 + 2 * K2 * r2)  # diviso per x o per y
        misto = x * y * drad + 2 * P1 * x + 2 * P2 * y
        blocchi.append(
            [
                [rad + x * x * drad + 2 * P1 * y + 6 * P2 * x, misto],
                [misto, rad + y * y * drad + 6 * P1 * y + 2 * P2 * x],
            ]
        )
    return sp.block_diag(blocchi, format="csr")


def _punti():
    return np.random.default_rng(8).uniform(-0.8, 0.8, 10)


def _prove_punti():
    p = _punti()
    return [(jacobiano_distorsione(p).toarray(), poke_jac(distorci, p))]


# ---- volume rendering along rays -----------------------------------------------------------------
def composite_fwd(sigma, color, delta):
    """sigma, delta (R, S); color (R, S, 3) -> (R, 3)."""
    tau = sigma * delta
    after = np.exp(-np.cumsum(tau, axis=1))
    before = np.concatenate([np.ones((len(tau), 1)), after[:, :-1]], axis=1)
    w = before - after
    return np.einsum("rs,rsc->rc", w, color), (sigma, color, delta, after, w)


def composite_bwd(res, g):
    sigma, color, delta, after, w = res
    dw = np.einsum("rc,rsc->rs", g, color)
    seen = dw * w
    behind = np.cumsum(seen[:, ::-1], axis=1)[:, ::-1] - seen
    dtau = dw * after - behind
    return dtau * delta, w[:, :, None] * g[:, None, :], dtau * sigma


def _rays():
    r = np.random.default_rng(9)
    return r.uniform(0.1, 2, (3, 6)), r.random((3, 6, 3)), r.uniform(0.1, 0.4, (3, 6))


def _prove_rays():
    p = _rays()
    g = np.random.default_rng(10).normal(size=(3, 3))
    ds = composite_bwd(composite_fwd(*p)[1], g)
    return [(d, poke(lambda: composite_fwd(*p)[0], a, g)) for d, a in zip(ds, p)]


# ---- soft-argmax of heatmaps ---------------------------------------------------------------------
class SoftArgmax2d:
    def __init__(self, beta=5.0):
        self.beta = beta

    def forward(self, heat):
        N, H, W = heat.shape
        z = self.beta * heat.reshape(N, -1)
        e = np.exp(z - z.max(1, keepdims=True))
        self.p = e / e.sum(1, keepdims=True)
        gy, gx = np.mgrid[0 : 1 : H * 1j, 0 : 1 : W * 1j]
        self.grid = np.stack([gx.ravel(), gy.ravel()], axis=1)
        self.xy = self.p @ self.grid
        self.shape = heat.shape
        return self.xy

    def backward(self, dxy):
        offset = self.grid[None] - self.xy[:, None]  # (N, HW, 2)
        dheat = self.p * (offset * dxy[:, None]).sum(-1)
        return dheat.reshape(self.shape)


def _soft():
    return SoftArgmax2d(), np.random.default_rng(12).random((2, 4, 3))


def _prove_soft():
    layer, x = _soft()
    g = np.array([[1.0, -0.6], [0.3, 2.0]])
    layer.forward(x)
    return [(layer.backward(g), poke(lambda: layer.forward(x), x, g))]


# ---- splatting di gaussiane ----------------------------------------------------------------------
class SplatGaussiane:
    """Disegna macchie isotrope; i raggi sono dati come logaritmi."""

    def __init__(self, altezza, larghezza):
        self.righe, self.colonne = np.mgrid[:altezza, :larghezza].astype(float)

    def forward(self, centri, log_raggi, ampiezze):
        self.raggi = np.exp(log_raggi)
        self.ampiezze = ampiezze
        self.dy = self.righe[None] - centri[:, 0, None, None]
        self.dx = self.colonne[None] - centri[:, 1, None, None]
        self.d2 = self.dy**2 + self.dx**2
        self.macchie = np.exp(-0.5 * self.d2 / self.raggi[:, None, None] ** 2)
        return np.tensordot(ampiezze, self.macchie, axes=1)

    def backward(self, dimmagine):
        dampiezze = (dimmagine * self.macchie).sum(axis=(1, 2))
        comune = dimmagine * self.macchie * self.ampiezze[:, None, None]
        s2 = self.raggi**2
        dcentri = np.stack([(comune * self.dy).sum((1, 2)), (comune * self.dx).sum((1, 2))], 1) / s2[:, None]
        draggi = (comune * self.d2).sum(axis=(1, 2)) / self.raggi**3
        return dcentri, draggi, dampiezze


def _splat():
    centri = np.array([[1.2, 1.7], [3.1, 0.6], [2.3, 3.9]])
    return SplatGaussiane(5, 6), centri, np.array([0.4, -0.2, 0.7]), np.array([1.0, -0.5, 0.8])


def _prove_splat():
    capa, *p = _splat()
    g = np.random.default_rng(15).normal(size=(5, 6))
    capa.forward(*p)
    return [(d, poke(lambda: capa.forward(*p), a, g)) for d, a in zip(capa.backward(g), p)]


# ---- 3x3 smoothing with replicated edges ---------------------------------------------------------
class SmoothReplicate:
    def __init__(self, kernel):
        self.kernel = kernel
        self.kernel_grad = None

    def forward(self, img):
        self.pad = np.pad(img, 1, mode="edge")
        H, W = img.shape
        self.hw = H, W
        out = np.zeros((H, W))
        for i in range(3):
            for j in range(3):
                out += self.kernel[i, j] * self.pad[i : i + H, j : j + W]
        return out

    def backward(self, dout):
        H, W = self.hw
        dpad = np.zeros_like(self.pad)
        self.kernel_grad = np.zeros((3, 3))
        for i in range(3):
            for j in range(3):
                dpad[i : i + H, j : j + W] += self.kernel[i, j] * dout
                self.kernel_grad[i, j] = (dout * self.pad[i : i + H, j : j + W]).sum()
        return dpad[1:-1, 1:-1]


def _smooth():
    r = np.random.default_rng(17)
    return SmoothReplicate(r.random((3, 3))), r.random((5, 6))


def _prove_smooth():
    layer, x = _smooth()
    g = np.random.default_rng(18).normal(size=(5, 6))
    layer.forward(x)
    dx = layer.backward(g)
    f = lambda: layer.forward(x)
    return [(dx, poke(f, x, g)), (layer.kernel_grad, poke(f, layer.kernel, g))]


# ---- reprojection of known points: translation and focal length ----------------------------------
CORNERS = np.array([[0.0, 0, 0], [1, 0, 0.2], [1, 1, 0], [0, 1, -0.3], [0.5, 0.4, 0.6]])
SEEN = np.random.default_rng(20).uniform(0, 3, (5, 2))


def reproj_residuals(cam):
    tx, ty, tz, f = cam
    X, Y, Z = (CORNERS + [tx, ty, tz]).T
    return (np.stack([f * X / Z, f * Y / Z], axis=1) - SEEN).ravel()


def reproj_jac(cam):
    tx, ty, tz, f = cam
    X, Y, Z = (CORNERS + [tx, ty, tz]).T
    J = np.zeros((2 * len(CORNERS), 4))
    J[0::2, 0] = f / Z
    J[1::2, 1] = f / Z
    J[0::2, 2] = -f * X / Z**2
    J[1::2, 2] = f * Y / Z**2
    J[0::2, 3] = X / Z
    J[1::2, 3] = Y / Z
    return J


def _cam():
    return np.array([0.3, -0.2, 3.5, 2.1])


# ---- depth to space ------------------------------------------------------------------------------
class PixelShuffle:
    def __init__(self, r):
        self.r = r

    def forward(self, x):
        n, c, h, w = x.shape
        r = self.r
        self.dims = n, c // r**2, h, w
        x = x.reshape(n, c // r**2, r, r, h, w).transpose(0, 1, 4, 2, 5, 3)
        return x.reshape(n, c // r**2, h * r, w * r)

    def backward(self, grad):
        (n, c, h, w), r = self.dims, self.r
        g = grad.reshape(n, c, h, r, w, r)
        return g.transpose(0, 1, 5, 3, 2, 4).reshape(n, c * r**2, h, w)


def _shuffle():
    return PixelShuffle(2), np.random.default_rng(23).normal(size=(2, 4, 3, 2))


def _prove_shuffle():
    layer, x = _shuffle()
    g = np.random.default_rng(24).normal(size=layer.forward(x).shape)
    return [(layer.backward(g), poke(lambda: layer.forward(x), x, g))]


# ---- tone mapping, buffers made once -------------------------------------------------------------
class ToneMap:
    """y = x^n / (x^n + mu^n), as photoreceptors do."""

    def __init__(self, shape, n=0.9, mu=0.4):
        self.n, self.mun = n, mu**n
        self._out, self._dx = np.empty(shape), np.empty(shape)

    def forward(self, x):
        self.x = x.copy()
        np.power(x, self.n, out=self._out)
        self._out /= self._out + self.mun
        return self._out

    def backward(self, dout):
        xn = self.x**self.n
        np.multiply(dout, self.n * self.mun * xn / self.x / (xn + self.mun) ** 2, out=self._dx)
        return self._dx


def _tone():
    return ToneMap((3, 4)), np.random.default_rng(26).uniform(0.1, 2, (3, 4))


ENTRIES = [
    Stranger(
        "r backward warp by a flow field",
        "pair, cache a dict with a list of dicts",
        lambda gradlab: gradlab.check_cached_pair(warp_forward, warp_backward, _warp()),
        _prove_warp,
    ),
    Stranger(
        "r volume di correlazione",
        "layer of two inputs",
        lambda gradlab: gradlab.check_layer(*_corr()),
        _prove_corr,
    ),
    Stranger(
        "r denoising energy",
        "two bound methods",
        _check_denoise,
        _prove_denoise,
    ),
    Stranger(
        "r distorsione di Brown-Conrady",
        "f and sparse Jacobian",
        lambda gradlab: gradlab.check_jacobian(distorci, jacobiano_distorsione, _punti()),
        _prove_punti,
    ),
    Stranger(
        "r volume rendering along rays",
        "vjp with residuals",
        lambda gradlab: gradlab.check_vjp(composite_fwd, composite_bwd, _rays()),
        _prove_rays,
    ),
    Stranger(
        "r soft-argmax: beta forgotten",
        "layer",
        lambda gradlab: gradlab.check_layer(*_soft()),
        _prove_soft,
        "wrong",
        "the factor beta of the softmax is forgotten",
        ("constant-factor",),
        ("heat",),
        "        dheat = self.p * (offset * dxy[:, None]).sum(-1)",
        "        dheat = self.beta * self.p * (offset * dxy[:, None]).sum(-1)",
    ),
    Stranger(
        "r splat di gaussiane: by the radius, not by its logarithm",
        "layer of three inputs",
        lambda gradlab: gradlab.check_layer(*_splat()),
        _prove_splat,
        "wrong",
        "the gradient is that by the radius, but the input is its logarithm",
        ("log-parameter", "missing-factor"),
        ("log_raggi",),
        "        draggi = (comune * self.d2).sum(axis=(1, 2)) / self.raggi**3",
        "        draggi = (comune * self.d2).sum(axis=(1, 2)) / self.raggi**2",
    ),
    Stranger(
        "r smoothing with replicated edges: edges cropped, not folded back",
        "layer with attributes",
        lambda gradlab: gradlab.check_layer(*_smooth()),
        _prove_smooth,
        "wrong",
        "what falls on the replicated edges is cropped, and not added to the pixels that they copy",
        ("border",),
        ("img",),
        "        return dpad[1:-1, 1:-1]",
        "        dpad[1] += dpad[0]\n        dpad[-2] += dpad[-1]\n        dpad[:, 1] += dpad[:, 0]\n"
        "        dpad[:, -2] += dpad[:, -1]\n        return dpad[1:-1, 1:-1]",
    ),
    Stranger(
        "r reprojection: sign of one depth derivative",
        "f and Jacobian",
        lambda gradlab: gradlab.check_jacobian(reproj_residuals, reproj_jac, _cam()),
        lambda: [(reproj_jac(_cam()), poke_jac(reproj_residuals, _cam()))],
        "wrong",
        "the derivative of v by depth lacks its minus",
        ("sign-flipped", "masked-region"),
        ("jac",),
        "    J[1::2, 2] = f * Y / Z**2",
        "    J[1::2, 2] = -f * Y / Z**2",
    ),
    Stranger(
        "r pixel shuffle: the two sub-pixel axes exchanged",
        "layer",
        lambda gradlab: gradlab.check_layer(*_shuffle()),
        _prove_shuffle,
        "wrong",
        "the sub-row and the sub-column axis are exchanged on the way back",
        ("axes-permuted", "columns-exchanged"),
        ("x",),
        "        return g.transpose(0, 1, 5, 3, 2, 4).reshape(n, c * r**2, h, w)",
        "        return g.transpose(0, 1, 3, 5, 2, 4).reshape(n, c * r**2, h, w)",
    ),
    Stranger(
        "r tone map: returns its own buffers",
        "layer with buffers",
        lambda gradlab: gradlab.check_layer(*_tone()),
        lambda: [],
        "habit",
        "output and gradient are the object's own buffers, which the next call overwrites",
        ("aliases-memory",),
        ("x",),
    ),
]
