"""Layers for images, as students and paper authors write them."""

from functools import partial

import numpy as np
from numpy.lib.stride_tricks import sliding_window_view
from scipy.signal import convolve2d, correlate2d

from ._entry import Stranger
from ._help_w import pairs


def rnd(seed, *shape):
    return np.random.default_rng(seed).standard_normal(shape)


# --- anti-aliased downsampling (Zhang 2019)
class BlurPool2d:
    def __init__(self, stride=2):
        a = np.array([1.0, 2.0, 1.0]) / 4
        self.k = np.outer(a, a)
        self.stride = stride

    def _windows(self, p):
        s, (h, w) = self.stride, self.hw
        ho, wo = (h - 1) // s + 1, (w - 1) // s + 1
        for i in range(3):
            for j in range(3):
                yield self.k[i, j], p[:, :, i : i + s * ho : s, j : j + s * wo : s]

    def fprop(self, x):
        self.hw = x.shape[2:]
        p = np.pad(x, ((0, 0), (0, 0), (1, 1), (1, 1)), mode="reflect")
        return sum(k * view for k, view in self._windows(p))

    def bprop(self, g):
        h, w = self.hw
        dp = np.zeros(g.shape[:2] + (h + 2, w + 2))
        for k, view in self._windows(dp):
            view += k * g
        # unfold the mirror, rows first, then columns
        dp[:, :, 2] += dp[:, :, 0]
        dp[:, :, h - 1] += dp[:, :, h + 1]
        dp[:, :, :, 2] += dp[:, :, :, 0]
        dp[:, :, :, w - 1] += dp[:, :, :, w + 1]
        return dp[:, :, 1:-1, 1:-1].copy()


def prove_blur():
    layer, x = BlurPool2d(), rnd(1, 2, 2, 5, 6)
    g = rnd(2, *layer.fprop(x).shape)
    return pairs(lambda: np.sum(layer.fprop(x) * g), [layer.bprop(g)], [x])


# --- coordinate attention, stripped down
class CoordAtt(object):
    def __init__(self, channels, seed=0):
        rs = np.random.RandomState(seed)
        self.theta = {"A": rs.randn(channels, channels) * 0.7, "B": rs.randn(channels, channels) * 0.7}
        self.dtheta = {}

    def forward(self, x):
        # pool each direction on its own, so that the gate keeps the position
        zh = x.mean(3)
        zw = x.mean(2)
        gh = 1 / (1 + np.exp(-np.einsum("dc,nch->ndh", self.theta["A"], zh)))
        gw = 1 / (1 + np.exp(-np.einsum("dc,ncw->ndw", self.theta["B"], zw)))
        self.saved = x, zh, zw, gh, gw
        return x * gh[:, :, :, None] * gw[:, :, None, :]

    def backward(self, dy):
        x, zh, zw, gh, gw = self.saved
        dx = dy * gh[:, :, :, None] * gw[:, :, None, :]
        dsh = (dy * x * gw[:, :, None, :]).sum(3) * gh * (1 - gh)
        dsw = (dy * x * gh[:, :, :, None]).sum(2) * gw * (1 - gw)
        self.dtheta["A"] = np.einsum("ndh,nch->dc", dsh, zh)
        self.dtheta["B"] = np.einsum("ndw,ncw->dc", dsw, zw)
        dx += np.einsum("dc,ndh->nch", self.theta["A"], dsh)[:, :, :, None] / x.shape[3]
        dx += np.einsum("dc,ndw->ncw", self.theta["B"], dsw)[:, :, None, :] / x.shape[2]
        return dx


def prove_coord():
    m, x, g = CoordAtt(3), rnd(3, 2, 3, 4, 5), rnd(4, 2, 3, 4, 5)
    m.forward(x)
    dx = m.backward(g)
    return pairs(
        lambda: np.sum(m.forward(x) * g), [dx, m.dtheta["A"], m.dtheta["B"]], [x, m.theta["A"], m.theta["B"]]
    )


# --- partial convolution for inpainting
class PartialConv:
    """Holes are False in the mask; what is left is scaled up to a full window (Liu et al. 2018)."""

    def __init__(self, filters, k=3, rng=None):
        rng = rng or np.random.default_rng(7)
        self.weight = rng.normal(size=(filters, k, k)) / k
        self.bias = rng.normal(size=filters)
        self.k = k

    def forward(self, img, mask):
        k = self.k
        self.mask = mask
        self.cols = sliding_window_view(img * mask, (k, k), axis=(1, 2))
        seen = sliding_window_view(mask, (k, k), axis=(1, 2)).sum(axis=(-2, -1))
        self.new_mask = seen > 0
        self.ratio = np.where(self.new_mask, k * k / np.maximum(seen, 1), 0.0)
        raw = np.einsum("nhwij,fij->nfhw", self.cols, self.weight)
        return raw * self.ratio[:, None] + self.bias[:, None, None] * self.new_mask[:, None]

    def backward(self, grad_out):
        k = self.k
        self.grad_bias = (grad_out * self.new_mask[:, None]).sum(axis=(0, 2, 3))
        g = grad_out * self.ratio[:, None]
        self.grad_weight = np.einsum("nfhw,nhwij->fij", g, self.cols)
        gx = np.zeros(self.mask.shape)
        ho, wo = g.shape[2:]
        for i in range(k):
            for j in range(k):
                gx[:, i : i + ho, j : j + wo] += np.tensordot(g, self.weight[:, i, j], axes=(1, 0))
        return gx * self.mask


def hole():
    mask = np.ones((2, 6, 7), dtype=bool)
    mask[0, 1:5, 2:6] = False
    mask[1, 3:, :2] = False
    return mask


def prove_partial():
    layer, x, m = PartialConv(2), rnd(5, 2, 6, 7), hole()
    g = rnd(6, *layer.forward(x, m).shape)
    dx = layer.backward(g)
    return pairs(
        lambda: np.sum(layer.forward(x, m) * g),
        [dx, layer.grad_weight, layer.grad_bias],
        [x, layer.weight, layer.bias],
    )


# --- global filter layer (GFNet): the weight lives in the half spectrum
def _mult(w):
    m = np.full(w // 2 + 1, 2.0)
    m[0] = 1
    if w % 2 == 0:
        m[-1] = 1
    return m


def global_filter(x, cw):
    """x (N, H, W), cw (H, W//2+1, 2): real and imaginary part."""
    c = cw[..., 0] + 1j * cw[..., 1]
    X = np.fft.rfft2(x)
    return np.fft.irfft2(X * c, s=x.shape[1:]), (X, c, x.shape)


def global_filter_back(dy, cache):
    X, c, shape = cache
    h, w = shape[1:]
    m = _mult(w)
    G = np.fft.rfft2(dy) * m / (h * w)
    dc = (np.conj(X) * G).sum(0)
    dx = np.fft.irfft2(np.conj(c) * G / m, s=(h, w)) * (h * w)
    return dx, np.stack([dc.real, dc.imag], axis=-1)


def prove_filter():
    x, cw, g = rnd(8, 2, 4, 6), rnd(9, 4, 4, 2), rnd(10, 2, 4, 6)
    grads = global_filter_back(g, global_filter(x, cw)[1])
    return pairs(lambda: np.sum(global_filter(x, cw)[0] * g), grads, [x, cw])


# --- PixelCNN, mask type A
class MaskedConvA:
    def __init__(self, nf, size=3, seed=0):
        self.W = np.random.RandomState(seed).randn(nf, size, size)
        m = np.ones((size, size))
        m[size // 2, size // 2 :] = 0
        m[size // 2 + 1 :] = 0
        self.mask = m

    def __call__(self, x):
        self.x = x
        return np.array([[correlate2d(im, w, mode="same") for w in self.W * self.mask] for im in x])

    def backward(self, dz):
        r = self.W.shape[1] // 2
        xp = np.pad(self.x, ((0, 0), (r, r), (r, r)))
        self.dW = np.zeros_like(self.W)
        dx = np.zeros_like(self.x)
        for n in range(len(dz)):
            for f, w in enumerate(self.W * self.mask):
                self.dW[f] += correlate2d(xp[n], dz[n, f], mode="valid") * self.mask
                dx[n] += convolve2d(dz[n, f], w, mode="same")
        return dx


def prove_pixelcnn():
    c, x, g = MaskedConvA(2), rnd(11, 2, 5, 4), rnd(12, 2, 2, 5, 4)
    c(x)
    dx = c.backward(g)
    return pairs(lambda: np.sum(c(x) * g), [dx, c.dW], [x, c.W])


# --- sub-pixel upscaling
class PixelShuffle:
    def __init__(self, upscale):
        self.r = upscale

    def forward(self, x):
        n, crr, h, w = x.shape
        r = self.r
        self.shape = x.shape
        x = x.reshape(n, crr // r**2, r, r, h, w).transpose(0, 1, 4, 2, 5, 3)
        return x.reshape(n, crr // r**2, h * r, w * r)

    def backward(self, dout):
        n, crr, h, w = self.shape
        r = self.r
        d = dout.reshape(n, crr // r**2, h, r, w, r).transpose(0, 1, 5, 3, 2, 4)
        return d.reshape(self.shape)


def prove_shuffle():
    layer, x, g = PixelShuffle(2), rnd(13, 2, 8, 3, 2), rnd(14, 2, 2, 6, 4)
    layer.forward(x)
    return pairs(lambda: np.sum(layer.forward(x) * g), [layer.backward(g)], [x])


# --- spatial transformer: affine grid and bilinear sampler
def stn_forward(img, theta):
    n, h, w = img.shape
    gy, gx = np.meshgrid(np.linspace(-1, 1, h), np.linspace(-1, 1, w), indexing="ij")
    base = np.stack([gx, gy, np.ones_like(gx)], -1)
    grid = np.einsum("hwk,nck->nhwc", base, theta)
    px = (grid[..., 0] + 1) * (w - 1) / 2
    py = (grid[..., 1] + 1) * (h - 1) / 2
    x0, y0 = np.floor(px).astype(int), np.floor(py).astype(int)
    fx, fy = px - x0, py - y0
    corners = []
    for oy in (0, 1):
        for ox in (0, 1):
            xi, yi = x0 + ox, y0 + oy
            ok = (xi >= 0) & (xi < w) & (yi >= 0) & (yi < h)
            at = (np.arange(n)[:, None, None], yi.clip(0, h - 1), xi.clip(0, w - 1))
            corners.append((ox, oy, at, ok, img[at] * ok))
    out = sum((fx if ox else 1 - fx) * (fy if oy else 1 - fy) * v for ox, oy, _, _, v in corners)
    return out, (img.shape, base, fx, fy, corners)


def stn_backward(dout, cache):
    (n, h, w), base, fx, fy, corners = cache
    dimg = np.zeros((n, h, w))
    dpx = np.zeros_like(fx)
    dpy = np.zeros_like(fy)
    for ox, oy, at, ok, v in corners:
        wx, wy = (fx if ox else 1 - fx), (fy if oy else 1 - fy)
        np.add.at(dimg, at, dout * wx * wy * ok)
        dpx += dout * v * wy * (1 if ox else -1)
        dpy += dout * v * wx * (1 if oy else -1)
    dgrid = np.stack([dpx, dpy], -1)
    return dimg, np.einsum("nhwc,hwk->nck", dgrid, base)


def stn_in():
    th = np.array([[0.6, 0.1, 0.07, -0.2, 0.5, 0.11], [0.4, -0.2, -0.05, 0.2, 0.7, 0.03]]).reshape(2, 2, 3)
    th += 0.03 * rnd(61, 2, 2, 3)
    return rnd(15, 2, 5, 5), th


def prove_stn():
    img, th = stn_in()
    g = rnd(16, 2, 5, 5)
    return pairs(
        lambda: np.sum(stn_forward(img, th)[0] * g), stn_backward(g, stn_forward(img, th)[1]), [img, th]
    )


# --- adaptive average pooling, bins as in torch
def adaptive_avg_pool(x, size=(3, 4)):
    def edges(length, k):
        return [(i * length // k, -(-(i + 1) * length // k)) for i in range(k)]

    rows, cols = edges(x.shape[1], size[0]), edges(x.shape[2], size[1])
    y = np.array([[x[:, a:b, c:d].mean((1, 2)) for c, d in cols] for a, b in rows]).transpose(2, 0, 1)

    def pull(dy):
        dx = np.zeros(x.shape)
        for i, (a, b) in enumerate(rows):
            for j, (c, d) in enumerate(cols):
                dx[:, a:b, c:d] = dy[:, i, j, None, None] / ((b - a) * (d - c))
        return dx

    return y, pull


def prove_adaptive():
    x, g = rnd(17, 2, 5, 7), rnd(18, 2, 3, 4)
    return pairs(lambda: np.sum(adaptive_avg_pool(x)[0] * g), [adaptive_avg_pool(x)[1](g)], [x])


# --- LeNet-5, couche S2: somme 2x2, un coefficient et un biais par carte, tanh de LeCun
A, S = 1.7159, 2.0 / 3.0


class SousEchantillonnage:
    def __init__(self, cartes, graine=0):
        alea = np.random.RandomState(graine)
        self.coef = 0.25 + 0.1 * alea.rand(cartes)
        self.biais = 0.1 * alea.randn(cartes)

    def avant(self, x):
        n, c, h, l = x.shape
        self.somme = x.reshape(n, c, h // 2, 2, l // 2, 2).sum(axis=(3, 5))
        self.t = np.tanh(S * (self.coef[:, None, None] * self.somme + self.biais[:, None, None]))
        return A * self.t

    def arriere(self, dy):
        da = dy * 1.14 * (1 - self.t**2)
        self.d_coef = (da * self.somme).sum(axis=(0, 2, 3))
        self.d_biais = da.sum(axis=(0, 2, 3))
        dx = da * self.coef[:, None, None]
        return dx.repeat(2, axis=2).repeat(2, axis=3)


def prove_lenet():
    c, x, g = SousEchantillonnage(3), rnd(19, 2, 3, 4, 6), rnd(20, 2, 3, 2, 3)
    c.avant(x)
    dx = c.arriere(g)
    return pairs(lambda: np.sum(c.avant(x) * g), [dx, c.d_coef, c.d_biais], [x, c.coef, c.biais])


# --- nearest-neighbour upsampling in preallocated memory
class Upsample2x:
    """Buffers are allocated once for max_batch: no malloc in the training loop."""

    def __init__(self, max_batch, channels, h, w):
        self._y = np.empty((max_batch, channels, 2 * h, 2 * w))
        self._dx = np.empty((max_batch, channels, h, w))

    def forward(self, x):
        y = self._y[: len(x)]
        for i in (0, 1):
            for j in (0, 1):
                y[:, :, i::2, j::2] = x
        return y

    def backward(self, dy):
        dx = self._dx[: len(dy)]
        np.add(dy[:, :, ::2, ::2], dy[:, :, ::2, 1::2], out=dx)
        dx += dy[:, :, 1::2, ::2]
        dx += dy[:, :, 1::2, 1::2]
        return dx


ENTRIES = [
    Stranger(
        "blur pooling with reflected borders",
        "layer with fprop and bprop",
        lambda gradlab: gradlab.check_layer(BlurPool2d(), rnd(1, 2, 2, 5, 6)),
        prove_blur,
    ),
    Stranger(
        "coordinate attention",
        "layer with theta and dtheta dicts",
        lambda gradlab: gradlab.check_layer(CoordAtt(3), rnd(3, 2, 3, 4, 5)),
        prove_coord,
    ),
    Stranger(
        "partial convolution for inpainting",
        "layer with a mask as second input",
        lambda gradlab: gradlab.check_layer(PartialConv(2), rnd(5, 2, 6, 7), hole()),
        prove_partial,
    ),
    Stranger(
        "global filter in the half spectrum",
        "pair with cache",
        lambda gradlab: gradlab.check_cached_pair(
            global_filter, global_filter_back, (rnd(8, 2, 4, 6), rnd(9, 4, 4, 2))
        ),
        prove_filter,
    ),
    Stranger(
        "masked convolution of PixelCNN",
        "callable layer with backward",
        lambda gradlab: gradlab.check_layer(MaskedConvA(2), rnd(11, 2, 5, 4)),
        prove_pixelcnn,
    ),
    Stranger(
        "w pixel shuffle: the two sub-pixel axes exchanged",
        "layer without parameters",
        lambda gradlab: gradlab.check_layer(PixelShuffle(2), rnd(13, 2, 8, 3, 2)),
        prove_shuffle,
        "wrong",
        "the transpose in backward exchanges the row and the column offset inside a block",
        ("axes-permuted", "columns-exchanged"),
        ("x",),
        "        d = dout.reshape(n, crr // r**2, h, r, w, r).transpose(0, 1, 5, 3, 2, 4)",
        "        d = dout.reshape(n, crr // r**2, h, r, w, r).transpose(0, 1, 3, 5, 2, 4)",
    ),
    Stranger(
        "spatial transformer: pixels taken for normalised coordinates",
        "pair with cache",
        lambda gradlab: gradlab.check_cached_pair(stn_forward, stn_backward, stn_in()),
        prove_stn,
        "wrong",
        "the gradient of the grid lacks the factor (size - 1) / 2 of the step from [-1, 1] to pixels",
        ("constant-factor", "missing-factor"),
        ("theta",),
        "    dgrid = np.stack([dpx, dpy], -1)",
        "    dgrid = np.stack([dpx * (w - 1) / 2, dpy * (h - 1) / 2], -1)",
    ),
    Stranger(
        "adaptive average pooling: overlapping bins overwritten",
        "closure as cache",
        lambda gradlab: gradlab.check_cached_pair(
            partial(adaptive_avg_pool, size=(3, 4)), lambda dy, pull: pull(dy), (rnd(17, 2, 5, 7),)
        ),
        prove_adaptive,
        "wrong",
        "the bins overlap and the gradient of a pixel in two bins is overwritten instead of added",
        ("last-write-wins",),
        ("x",),
        "                dx[:, a:b, c:d] = dy[:, i, j, None, None] / ((b - a) * (d - c))",
        "                dx[:, a:b, c:d] += dy[:, i, j, None, None] / ((b - a) * (d - c))",
    ),
    Stranger(
        "LeNet subsampling: slope of LeCun's tanh rounded to 1.14",
        "layer with French names",
        lambda gradlab: gradlab.check_layer(SousEchantillonnage(3), rnd(19, 2, 3, 4, 6)),
        prove_lenet,
        "wrong",
        "1.7159 * 2 / 3 = 1.14393 is written as 1.14",
        ("rounded-constants", "constant-factor"),
        ("x", "coef", "biais"),
        "        da = dy * 1.14 * (1 - self.t**2)",
        "        da = dy * A * S * (1 - self.t**2)",
    ),
    Stranger(
        "nearest upsampling: returns its own buffer",
        "layer with preallocated buffers",
        lambda gradlab: gradlab.check_layer(Upsample2x(4, 2, 3, 4), rnd(21, 2, 2, 3, 4)),
        lambda: [],
        "habit",
        "output and gradient are views of buffers that the next call overwrites",
        ("aliases-memory",),
    ),
]
