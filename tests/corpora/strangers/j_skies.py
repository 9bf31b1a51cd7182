"""Telescopes, tomographs, earthquakes and rays."""

import numpy as np
from scipy.ndimage import map_coordinates
from scipy.sparse.linalg import LinearOperator

from . import _help_j as hj
from ._entry import Stranger


# .................................................................... one-dimensional waves in the ground
class WaveInversion:
    """
    u[t+1] = 2 u[t] - u[t-1] + c2 * lap(u[t]) + source; the record at one end is compared with data.
    The unknown is the squared velocity c2 on the grid.
    """

    def __init__(self, n=9, steps=14):
        self.n, self.steps = n, steps
        self.data = 0.1 * np.sin(np.arange(steps + 1))

    @staticmethod
    def lap(u):
        p = np.pad(u, 1)
        return p[2:] - 2 * u + p[:-2]

    def march(self, c2):
        u = np.zeros((self.steps + 1, self.n))
        for t in range(1, self.steps):
            u[t + 1] = 2 * u[t] - u[t - 1] + c2 * self.lap(u[t])
            u[t + 1, 2] += np.exp(-((t - 3.0) ** 2))
        return u

    def misfit(self, c2):
        rec = self.march(c2)[:, -2]
        return 0.5 * np.sum((rec - self.data) ** 2)

    def kernel(self, c2):
        u = self.march(c2)
        lam_next = np.zeros(self.n)
        lam_after = np.zeros(self.n)
        g = np.zeros(self.n)
        for t in range(self.steps, 1, -1):
            cur = 2 * lam_next - lam_after + self.lap(c2 * lam_next)
            cur[-2] += u[t, -2] - self.data[t]
            g += cur * self.lap(u[t - 1])
            lam_after, lam_next = lam_next, cur
        return g


# .................................................................... Kepler's equation
def kepler(M, e):
    E = M.copy()
    for _ in range(50):
        E = E - (E - e * np.sin(E) - M) / (1 - e * np.cos(E))
    return E, (E, e)


def kepler_vjp(res, g):
    E, e = res
    dM = g / (1 - e * np.cos(E))
    return dM, dM * np.sin(E)


# .................................................................... denoising
def rof(img, noisy, lam, delta=0.1):
    """Huber total variation, value and gradient; image is flattened for the optimiser"""
    y = img.reshape(noisy.shape)
    gx, gy = np.diff(y, axis=1), np.diff(y, axis=0)

    def huber(z):
        small = np.abs(z) < delta
        value = np.where(small, z * z / (2 * delta), np.abs(z) - delta / 2)
        return value, np.where(small, z / delta, np.sign(z))

    hx, px = huber(gx)
    hy, py = huber(gy)
    grad = y - noisy
    grad[:, 1:] += lam * px
    grad[:, :-1] -= lam * px
    grad[1:] += lam * py
    grad[:-1] -= lam * py
    return 0.5 * np.sum((y - noisy) ** 2) + lam * (hx.sum() + hy.sum()), grad.ravel()


# .................................................................... phase retrieval
def fourier_modulus_loss(phi, amplitude, modulus):
    F = np.fft.fft2(amplitude * np.exp(1j * phi))
    return np.sum((np.abs(F) - modulus) ** 2)


def fourier_modulus_grad(phi, amplitude, modulus):
    field = amplitude * np.exp(1j * phi)
    F = np.fft.fft2(field)
    back = np.fft.ifft2(2 * (F - modulus * F / np.abs(F))) * F.size
    return np.imag(np.conj(field) * back)


# .................................................................... lines of a spectrum
WL = np.linspace(-3, 3, 25)


def spectrum(p):
    cont, depth, centre, width, tilt = p
    return cont + tilt * WL - depth * np.exp(-0.5 * ((WL - centre) / width) ** 2)


def spectrum_operator(p):
    cont, depth, centre, width, tilt = p
    z = (WL - centre) / width
    line = np.exp(-0.5 * z**2)
    one = np.ones_like(WL)
    cols = [one, -line, -depth * line * z / width, -depth * line * z**2 / width, WL]

    def forth(v):
        v = np.ravel(v)
        return sum(vi * c for vi, c in zip(v, cols))

    def back(w):
        return np.array([c @ np.ravel(w) for c in cols])

    return LinearOperator((len(WL), 5), matvec=forth, rmatvec=back, dtype=float)


# .................................................................... two views of a square object
class TwoViewTomograph:
    """line sums along rows and along columns, photons counted behind exp(-sum)"""

    def __init__(self, rows, cols, flux=20.0):
        self.rows, self.cols, self.flux = rows, cols, flux

    def nll(self, mu):
        a, b = mu.sum(axis=1), mu.sum(axis=0)
        val = 0.0
        for s, n in ((a, self.rows), (b, self.cols)):
            val += np.sum(self.flux * np.exp(-s) + n * s)
        return val

    def grad(self, mu):
        ga = self.rows - self.flux * np.exp(-mu.sum(axis=1))
        gb = self.cols - self.flux * np.exp(-mu.sum(axis=0))
        return ga[None, :] + gb[:, None]


# .................................................................... blurred photons
def blur(x, psf):
    return np.fft.irfft(np.fft.rfft(x) * np.fft.rfft(psf, len(x)), len(x))


def poisson_deblur(x, psf, counts, dark):
    m = blur(x, psf) + dark
    return np.sum(m - counts * np.log(m))


def poisson_deblur_grad(x, psf, counts, dark):
    m = blur(x, psf) + dark
    ratio = 1 - counts / m
    g = np.fft.irfft(np.fft.rfft(ratio) * np.conj(np.fft.rfft(psf, len(x))), len(x))
    return g + 0.01 * x


# .................................................................... light along a ray
def composite(sigma, colour, step=0.3):
    alpha = 1 - np.exp(-sigma * step)
    trans = np.concatenate([[1.0], np.cumprod(1 - alpha)[:-1]])
    weight = alpha * trans
    return weight @ colour, (colour, alpha, trans, weight, step)


def composite_backward(dpix, cache):
    colour, alpha, trans, weight, step = cache
    dpix = np.clip(dpix, -0.5, 0.5)
    dcolour = np.outer(weight, dpix)
    dw = colour @ dpix
    tail = np.cumsum((weight * dw)[::-1])[::-1] - weight * dw
    dsigma = step * (trans * (1 - alpha) * dw - tail)
    return dsigma, dcolour


# .................................................................... travel times of an earthquake
STATIONS = np.array([[0.0, 0], [4, 1], [1, 5], [6, 6], [-2, 3]])


class Quake:
    """Arrival times; x = (east, north, depth, origin time, slowness)"""

    picks = np.array([2.1, 2.0, 2.6, 3.1, 2.5])

    def residual(self, x):
        d = np.sqrt(np.sum((STATIONS - x[:2]) ** 2, axis=1) + x[2] ** 2)
        return x[3] + d * x[4] - self.picks

    def jacobian(self, x):
        diff = x[:2] - STATIONS
        d = np.sqrt(np.sum(diff**2, axis=1) + x[2] ** 2)
        J = np.ones((5, 5))
        J[:, :2] = x[4] * diff / d[:, None]
        J[:, 2] = x[4] * x[2] / d
        J[:, 4] = np.linalg.norm(diff, axis=1)
        return J


# .................................................................... gradient of a warped image
class Warp:
    """periodic image sampled linearly at moved places"""

    def __init__(self, image):
        self.image = image

    def forward(self, flow):
        yy, xx = np.mgrid[: flow.shape[1], : flow.shape[2]]
        self.at = np.stack([yy + flow[0], xx + flow[1]])
        return map_coordinates(self.image, self.at, order=1, mode="grid-wrap")

    def backward(self, dout):
        i, j = np.floor(self.at).astype(int)
        fy, fx = self.at[0] - i, self.at[1] - j
        h, w = self.image.shape
        p = self.image[i % h, j % w]
        q = self.image[i % h, (j + 1) % w]
        r = self.image[(i + 1) % h, j % w]
        s = self.image[(i + 1) % h, (j + 1) % w]
        dy = (1 - fx) * (r - p) + fx * (s - q)
        dx = (1 - fy) * (q - p) + fy * (s - r)
        return dout * np.stack([dy, dx])


_s = np.random.default_rng(53)
_IMG = _s.normal(size=(4, 5))
_AMP, _MOD = _s.uniform(0.5, 1.5, (4, 4)), _s.uniform(1, 4, (4, 4))
_C2, _HYPO = np.linspace(0.2, 0.5, 9), np.array([2.0, 2.5, 1.5, 0.2, 0.6])
_PH = np.linspace(0, 3, 16).reshape(4, 4) ** 1.5
_DEBLUR = (np.array([0.5, 0.3, 0.2]), _s.poisson(5, 8).astype(float), 0.5)
_RAY = (_s.uniform(0.2, 2, 6), _s.uniform(0, 1, (6, 3)))


def _tomo():
    tomo = TwoViewTomograph(np.array([6.0, 9, 4, 7]), np.array([5.0, 8, 7, 6]))
    return tomo.nll, tomo.grad


ENTRIES = [
    Stranger(
        "Waves in the ground, adjoint by hand",
        "bound methods of a class",
        lambda gl: gl.check_gradient(*hj.methods(WaveInversion(), "misfit", "kernel"), _C2.copy()),
        lambda: hj.scalar(*hj.methods(WaveInversion(), "misfit", "kernel"), _C2),
    ),
    Stranger(
        "Kepler's equation, solved",
        "vjp, implicit",
        lambda gl: gl.check_vjp(kepler, kepler_vjp, (np.array([0.3, 1.5, 2.8]), np.array([0.1, 0.6, 0.3]))),
        lambda: hj.vjp(kepler, kepler_vjp, [0.3, 1.5, 2.8], [0.1, 0.6, 0.3]),
    ),
    Stranger(
        "Huber total variation of a flattened image",
        "value and gradient with args",
        lambda gl: gl.check_gradient(rof, True, _IMG.ravel() * 0.8, args=(_IMG, 0.4)),
        lambda: hj.both(rof, _IMG.ravel() * 0.8, _IMG, 0.4),
    ),
    Stranger(
        "Phase retrieval",
        "f and grad with args",
        lambda gl: gl.check_gradient(
            fourier_modulus_loss, fourier_modulus_grad, _PH.copy(), args=(_AMP, _MOD)
        ),
        lambda: hj.scalar(fourier_modulus_loss, fourier_modulus_grad, _PH, _AMP, _MOD),
    ),
    Stranger(
        "Absorption line",
        "Jacobian as a LinearOperator",
        lambda gl: gl.check_jacobian(spectrum, spectrum_operator, np.array([1.0, 0.6, 0.2, 0.7, 0.05])),
        lambda: hj.matrix(spectrum, spectrum_operator, [1.0, 0.6, 0.2, 0.7, 0.05]),
    ),
    Stranger(
        "Two-view tomograph: rows and columns exchanged",
        "bound methods of a class",
        lambda gl: gl.check_gradient(*_tomo(), np.linspace(0.05, 0.7, 16).reshape(4, 4)),
        lambda: hj.scalar(*_tomo(), np.linspace(0.05, 0.7, 16).reshape(4, 4)),
        "wrong",
        "the rows' part runs along the columns and the other way round: it is transposed",
        ("transposed", "axes-permuted"),
        ("mu",),
        "        return ga[None, :] + gb[:, None]\n",
        "        return ga[:, None] + gb[None, :]\n",
    ),
    Stranger(
        "Deblurring of photon counts: a ridge that the objective has not",
        "f and grad with args",
        lambda gl: gl.check_gradient(poisson_deblur, poisson_deblur_grad, np.linspace(2, 6, 8), args=_DEBLUR),
        lambda: hj.scalar(poisson_deblur, poisson_deblur_grad, np.linspace(2, 6, 8), *_DEBLUR),
        "wrong",
        "the gradient has a weight decay of 0.01 * x, of which the objective knows nothing",
        ("additive-bias",),
        ("x",),
        "    return g + 0.01 * x\n",
        "    return g\n",
    ),
    Stranger(
        "Light along a ray: cotangent clipped",
        "pair with cache",
        lambda gl: gl.check_cached_pair(composite, composite_backward, (_RAY[0].copy(), _RAY[1].copy())),
        lambda: hj.pair(composite, composite_backward, _RAY),
        "wrong",
        "the incoming gradient is clipped",
        ("nonlinear-in-cotangent",),
        ("sigma", "colour"),
        "    dpix = np.clip(dpix, -0.5, 0.5)\n",
        "    dpix = np.asarray(dpix)\n",
    ),
    Stranger(
        "Place of an earthquake: distance without the depth",
        "residuals and Jacobian of a class",
        lambda gl: gl.check_jacobian(*hj.methods(Quake(), "residual", "jacobian"), _HYPO.copy()),
        lambda: hj.matrix(*hj.methods(Quake(), "residual", "jacobian"), _HYPO),
        "wrong",
        "the slowness's column has the distance on the map, without the depth",
        ("other-approximation", "masked-region"),
        ("jac",),
        "        J[:, 4] = np.linalg.norm(diff, axis=1)\n",
        "        J[:, 4] = d\n",
    ),
    Stranger(
        "Warped image, gradient of the flow",
        "layer",
        lambda gl: gl.check_layer(Warp(_IMG), np.random.default_rng(3).uniform(-1.4, 1.4, (2, 3, 4))),
        lambda: hj.module(lambda: Warp(_IMG), np.random.default_rng(3).uniform(-1.4, 1.4, (2, 3, 4))),
    ),
]
