"""Convolutions, poolings and normalisations in odd layouts."""

import numpy as np

from ._entry import Stranger
from ._help_o import cotangent, pairs


# ===== causal dilated depthwise-separable convolution, (N, L, C) =====
class SepConv1d:
    def __init__(self, c_in, c_out, taps=3, dilation=2, seed=0):
        rng = np.random.default_rng(seed)
        self.dilation = dilation
        self.depth = rng.normal(size=(taps, c_in))
        self.point = rng.normal(size=(c_in, c_out))
        self.bias = rng.normal(size=c_out)

    def _lags(self):
        return [(len(self.depth) - 1 - k) * self.dilation for k in range(len(self.depth))]

    def forward(self, x):
        self.x = x
        L = x.shape[1]
        self.mid = np.zeros_like(x)
        for w, lag in zip(self.depth, self._lags()):
            self.mid[:, lag:] += w * x[:, : L - lag]
        return self.mid @ self.point + self.bias

    def backward(self, grad):
        L = grad.shape[1]
        self.grad_bias = grad.sum(axis=(0, 1))
        self.grad_point = np.tensordot(self.mid, grad, axes=([0, 1], [0, 1]))
        gmid = grad @ self.point.T
        gx = np.zeros_like(self.x)
        self.grad_depth = np.empty_like(self.depth)
        for k, lag in enumerate(self._lags()):
            self.grad_depth[k] = (gmid[:, lag:] * self.x[:, : L - lag]).sum(axis=(0, 1))
            gx[:, : L - lag] += self.depth[k] * gmid[:, lag:]
        return gx


# ===== transposed convolution over the first axis, (W, N, C) =====
def deconv_forward(x, kernel, stride=2):
    """x: (W, N, Cin), kernel: (K, Cin, Cout) -> ((W - 1) * stride + K, N, Cout)"""
    W, N, _ = x.shape
    K, _, Cout = kernel.shape
    out = np.zeros(((W - 1) * stride + K, N, Cout))
    for w in range(W):
        for k in range(K):
            out[w * stride + k] += x[w] @ kernel[k]
    return out, (x, kernel, stride)


def deconv_backward(dout, cache):
    x, kernel, stride = cache
    dx, dk = np.zeros_like(x), np.zeros_like(kernel)
    for k in range(len(kernel)):
        part = dout[k::stride][: len(x)]
        dx += part @ kernel[k].T
        dk[k] = np.einsum("wni,wno->io", x, part)
    return dx, dk


# ===== blur pool with reflected borders, (N, C, H, W) =====
class BlurPool:
    """Binomial filter [1 2 1] / 4 along both axes, then every second pixel."""

    taps = np.array([0.25, 0.5, 0.25])

    def _down(self, x):
        p = np.concatenate([x[..., 1:2], x, x[..., -2:-1]], axis=-1)
        n = x.shape[-1]
        return sum(t * p[..., k : k + n : 2] for k, t in enumerate(self.taps))

    def _up(self, g, n):
        p = np.zeros(g.shape[:-1] + (n + 2,))
        for k, t in enumerate(self.taps):
            p[..., k : k + n : 2] += t * g
        p[..., 2] += p[..., 0]
        p[..., -3] += p[..., -1]
        return p[..., 1:-1]

    def forward(self, x):
        self.hw = x.shape[-2:]
        return self._down(self._down(x).swapaxes(-1, -2)).swapaxes(-1, -2)

    def backward(self, dout):
        h, w = self.hw
        rows = self._up(dout.swapaxes(-1, -2), h).swapaxes(-1, -2)
        return self._up(rows, w)


# ===== max pooling of regions of interest, (C, H, W) =====
class RoiMaxPool:
    def __init__(self, bins=2):
        self.bins = bins

    def forward(self, fmap, rois):
        """rois: rows of y0, x0, y1, x1 (whole pixels, the ends not included); they may overlap."""
        self.shape = fmap.shape
        C = len(fmap)
        b = self.bins
        out = np.empty((len(rois), C, b, b))
        self.where = np.empty((len(rois), C, b, b), dtype=int)
        for r, (y0, x0, y1, x1) in enumerate(rois):
            ys = np.linspace(y0, y1, b + 1).astype(int)
            xs = np.linspace(x0, x1, b + 1).astype(int)
            for i in range(b):
                for j in range(b):
                    cell = fmap[:, ys[i] : ys[i + 1], xs[j] : xs[j + 1]]
                    best = cell.reshape(C, -1).argmax(1)
                    dy, dx = np.divmod(best, cell.shape[2])
                    self.where[r, :, i, j] = (ys[i] + dy) * fmap.shape[2] + xs[j] + dx
                    out[r, :, i, j] = cell.reshape(C, -1).max(1)
        return out

    def backward(self, dout):
        grad = np.zeros(self.shape)
        flat = grad.reshape(self.shape[0], -1)
        for roi_where, roi_dout in zip(self.where, dout):
            for c in range(self.shape[0]):
                np.add.at(flat[c], roi_where[c].ravel(), roi_dout[c].ravel())
        return grad


# ===== convolution on a hexagonal grid, axial coordinates, (Q, R, C) =====
HEX = [(0, 0), (1, 0), (0, 1), (-1, 1), (-1, 0), (0, -1), (1, -1)]


def _windows(n, d):
    """Slices (here, there): there = here + d, both inside of 0 .. n."""
    return slice(max(0, -d), n - max(0, d)), slice(max(0, d), n - max(0, -d))


class HexConv:
    def __init__(self, c_in, c_out, seed=6):
        self.params = {"kernel": np.random.default_rng(seed).normal(size=(7, c_in, c_out)) * 0.5}
        self.grads = {"kernel": None}

    def forward(self, grid):
        self.grid = grid
        Q, R, _ = grid.shape
        out = np.zeros((Q, R, self.params["kernel"].shape[2]))
        for w, (dq, dr) in zip(self.params["kernel"], HEX):
            (q, q2), (r, r2) = _windows(Q, dq), _windows(R, dr)
            out[q, r] += grid[q2, r2] @ w
        return out

    def backward(self, dout):
        Q, R, _ = self.grid.shape
        dgrid = np.zeros_like(self.grid)
        dk = []
        for w, (dq, dr) in zip(self.params["kernel"], HEX):
            (q, q2), (r, r2) = _windows(Q, dq), _windows(R, dr)
            dgrid[q2, r2] += dout[q, r] @ w.T
            dk.append(np.einsum("qri,qro->io", self.grid[q2, r2], dout[q, r]))
        self.grads["kernel"] = np.array(dk)
        return dgrid


# ===== pixel shuffle, (N, H, W, C) =====
class PixelShuffle:
    def __init__(self, r=2):
        self.r = r

    def forward(self, x):
        N, H, W, C = x.shape
        r = self.r
        y = x.reshape(N, H, W, r, r, C // (r * r))
        return y.transpose(0, 1, 3, 2, 4, 5).reshape(N, H * r, W * r, -1)

    def backward(self, dy):
        N, HR, WR, C = dy.shape
        r = self.r
        g = dy.reshape(N, HR // r, r, WR // r, r, C)
        return g.transpose(0, 1, 3, 4, 2, 5).reshape(N, HR // r, WR // r, C * r * r)


# ===== smoothing with a learned 3 x 3 kernel, replicated borders =====
def edge_conv_forward(img, ker):
    H, W = img.shape
    pad = np.pad(img, 1, mode="edge")
    out = np.zeros((H, W))
    for i in range(3):
        for j in range(3):
            out += ker[i, j] * pad[i : i + H, j : j + W]
    return out, (pad, ker)


def edge_conv_backward(dout, cache):
    pad, ker = cache
    H, W = dout.shape
    dpad, dker = np.zeros_like(pad), np.zeros_like(ker)
    for i in range(3):
        for j in range(3):
            dker[i, j] = np.sum(dout * pad[i : i + H, j : j + W])
            dpad[i : i + H, j : j + W] += ker[i, j] * dout
    dimg = dpad[1:-1, 1:-1]
    return dimg, dker


# ===== filter response normalisation with TLU, (N, H, W, C) =====
class FilterResponseNorm:
    def __init__(self, C, eps=0.05):
        self.gamma, self.beta = np.linspace(0.7, 1.3, C), np.linspace(-0.2, 0.2, C)
        self.tau = -0.4 * np.ones(C)
        self.eps = eps

    def forward(self, x):
        self.nu2 = np.mean(x**2, axis=(1, 2), keepdims=True)
        self.xn = x / np.sqrt(self.nu2 + self.eps)
        y = self.gamma * self.xn + self.beta
        self.on = y > self.tau
        return np.where(self.on, y, self.tau)

    def backward(self, dz):
        self.dtau = (dz * ~self.on).sum(axis=(0, 1, 2))
        dy = dz * self.on
        self.dbeta = dy.sum(axis=(0, 1, 2))
        self.dgamma = (dy * self.xn).sum(axis=(0, 1, 2))
        dxn = dy * self.gamma
        inv = 1 / (np.sqrt(self.nu2) + self.eps)
        return inv * (dxn - self.xn * np.mean(dxn * self.xn, axis=(1, 2), keepdims=True))


# ===== generalised-mean pooling with a learned exponent, (N, H, W, C) positive =====
class GeM:
    def __init__(self, p=3.0):
        self.params, self.grads = [np.array([p])], [np.zeros(1)]

    def forward(self, x):
        (p,) = self.params[0]
        self.x = x
        self.m = np.mean(x**p, axis=(1, 2))
        self.y = self.m ** (1 / p)
        return self.y

    def backward(self, dout):
        (p,) = self.params[0]
        N, H, W, C = self.x.shape
        mlog = np.mean(self.x**p * np.log(self.x), axis=(1, 2))
        self.grads[0][0] = np.sum(dout * self.y * (mlog / (p * self.m) - np.log(self.m) / p**2))
        up = (dout * self.y ** (1 - p))[:, None, None, :]
        return up * self.x ** (p - 1) / H


# ===== k winners among the channels =====
class KWinners:
    def __init__(self, k):
        self.k = k

    def forward(self, x):
        rank = np.argsort(np.argsort(-np.abs(x), axis=-1), axis=-1)
        self.lost = rank >= self.k
        return np.where(self.lost, 0.0, x)

    def backward(self, dout):
        dout[self.lost] = 0
        return dout


# ===== entries =====
def _r(*shape, seed=1):
    return np.random.default_rng(seed).standard_normal(shape)


def _layer(layer, args, arrays=lambda s: [], grads=lambda s: []):
    d = cotangent(layer.forward(*args).shape)
    dx = layer.backward(d)
    return pairs(lambda: (layer.forward(*args) * d).sum(), [dx, *grads(layer)], [args[0], *arrays(layer)])


def _pair(forward, backward, primals):
    out, cache = forward(*primals)
    d = cotangent(out.shape)
    return pairs(lambda: (forward(*primals)[0] * d).sum(), backward(d, cache), primals)


ROIS = np.array([[0, 0, 4, 4], [1, 2, 6, 7], [2, 1, 5, 6]])


def _positive():
    return np.random.default_rng(3).uniform(0.3, 2, (2, 3, 4, 2))


ENTRIES = [
    Stranger(
        "causal dilated depthwise-separable convolution, channels last",
        "layer with attribute gradients",
        lambda gradlab: gradlab.check_layer(SepConv1d(3, 2), _r(2, 8, 3)),
        lambda: _layer(
            SepConv1d(3, 2),
            [_r(2, 8, 3)],
            lambda s: [s.depth, s.point, s.bias],
            lambda s: [s.grad_depth, s.grad_point, s.grad_bias],
        ),
    ),
    Stranger(
        "transposed convolution along the first axis",
        "pair with cache",
        lambda gradlab: gradlab.check_cached_pair(
            deconv_forward, deconv_backward, (_r(4, 2, 3), _r(3, 3, 2, seed=2))
        ),
        lambda: _pair(deconv_forward, deconv_backward, (_r(4, 2, 3), _r(3, 3, 2, seed=2))),
    ),
    Stranger(
        "blur pool with reflected borders",
        "layer without parameters",
        lambda gradlab: gradlab.check_layer(BlurPool(), _r(1, 2, 6, 5)),
        lambda: _layer(BlurPool(), [_r(1, 2, 6, 5)]),
    ),
    Stranger(
        "max pooling of overlapping regions of interest",
        "layer without parameters, boxes as a second input",
        lambda gradlab: gradlab.check_layer(RoiMaxPool(), _r(2, 6, 7), ROIS),
        lambda: _layer(RoiMaxPool(), [_r(2, 6, 7), ROIS]),
    ),
    Stranger(
        "convolution on a hexagonal grid",
        "layer with params and grads dicts",
        lambda gradlab: gradlab.check_layer(HexConv(2, 3), _r(4, 5, 2)),
        lambda: _layer(
            HexConv(2, 3), [_r(4, 5, 2)], lambda s: [s.params["kernel"]], lambda s: [s.grads["kernel"]]
        ),
    ),
    Stranger(
        "pixel shuffle: the two sub-pixel axes change places on the way back",
        "layer without parameters",
        lambda gradlab: gradlab.check_layer(PixelShuffle(), _r(1, 2, 3, 8)),
        lambda: _layer(PixelShuffle(), [_r(1, 2, 3, 8)]),
        "wrong",
        "the transpose of backward puts the sub-pixel axes in the wrong order",
        ("axes-permuted",),
        ("x",),
        "        return g.transpose(0, 1, 3, 4, 2, 5).reshape(N, HR // r, WR // r, C * r * r)",
        "        return g.transpose(0, 1, 3, 2, 4, 5).reshape(N, HR // r, WR // r, C * r * r)",
    ),
    Stranger(
        "smoothing with replicated borders: what reaches the padding is thrown away",
        "pair with cache",
        lambda gradlab: gradlab.check_cached_pair(
            edge_conv_forward, edge_conv_backward, (_r(5, 6), _r(3, 3, seed=2))
        ),
        lambda: _pair(edge_conv_forward, edge_conv_backward, (_r(5, 6), _r(3, 3, seed=2))),
        "wrong",
        "the gradient of the padding is cut off instead of added to the border pixels that were replicated",
        ("border", "missing-term"),
        ("img",),
        "    dimg = dpad[1:-1, 1:-1]\n",
        "    dpad[1] += dpad[0]\n"
        "    dpad[-2] += dpad[-1]\n"
        "    dpad[:, 1] += dpad[:, 0]\n"
        "    dpad[:, -2] += dpad[:, -1]\n"
        "    dimg = dpad[1:-1, 1:-1]\n",
    ),
    Stranger(
        "filter response norm: epsilon outside of the root in backward",
        "layer with attribute gradients",
        lambda gradlab: gradlab.check_layer(FilterResponseNorm(3), 2 * _r(2, 3, 3, 3)),
        lambda: _layer(
            FilterResponseNorm(3),
            [2 * _r(2, 3, 3, 3)],
            lambda s: [s.gamma, s.beta, s.tau],
            lambda s: [s.dgamma, s.dbeta, s.dtau],
        ),
        "wrong",
        "backward adds epsilon to the root, forward adds it under the root",
        ("epsilon-mismatch",),
        ("x",),
        "        inv = 1 / (np.sqrt(self.nu2) + self.eps)",
        "        inv = 1 / np.sqrt(self.nu2 + self.eps)",
    ),
    Stranger(
        "generalised-mean pooling: the mean's count is that of the rows only",
        "layer with params and grads lists",
        lambda gradlab: gradlab.check_layer(GeM(), _positive()),
        lambda: _layer(GeM(), [_positive()], lambda s: s.params, lambda s: s.grads),
        "wrong",
        "divided by the height only instead of by height times width",
        ("constant-factor",),
        ("x",),
        "        return up * self.x ** (p - 1) / H",
        "        return up * self.x ** (p - 1) / (H * W)",
    ),
    Stranger(
        "k winners among the channels: backward writes into the cotangent",
        "layer without parameters",
        lambda gradlab: gradlab.check_layer(KWinners(2), _r(4, 5)),
        lambda: [],
        "habit",
        "backward zeroes the losers in the array that it was given",
        ("mutates-argument", "aliases-memory"),
        ("x",),
        "        dout[self.lost] = 0\n        return dout",
        "        return np.where(self.lost, 0.0, dout)",
    ),
]
