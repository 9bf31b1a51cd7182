"""Normalisations, convolutions and poolings in various layouts."""

from dataclasses import dataclass, field

import numpy as np

from ._entry import Stranger
from ._help_k import against, cot


def group_norm(x, gamma, beta, groups=2, eps=1e-5):
    """x is (N, H, W, C)"""
    N, H, W, C = x.shape
    xg = x.reshape(N, H * W, groups, C // groups)
    mu = xg.mean((1, 3), keepdims=True)
    inv = 1.0 / np.sqrt(xg.var((1, 3), keepdims=True) + eps)
    xhat = (xg - mu) * inv
    return gamma * xhat.reshape(x.shape) + beta, (xhat, inv, gamma)


def group_norm_bp(dy, cache):
    xhat, inv, gamma = cache
    dgamma = np.einsum("nhwc,nhwc->c", dy, xhat.reshape(dy.shape))
    d = (dy * gamma).reshape(xhat.shape)
    ax = (1, 3)
    dx = inv * (d - d.mean(ax, keepdims=True) - xhat * (d * xhat).mean(ax, keepdims=True))
    return dx.reshape(dy.shape), dgamma, dy.sum((0, 1, 2))


class BatchNormColumns:
    """samples are COLUMNS, x: (features, batch); running statistics for testing"""

    def __init__(self, n, momentum=0.9, eps=1e-5):
        self.gamma, self.beta = np.linspace(0.5, 1.5, n)[:, None], np.zeros((n, 1))
        self.run_mean, self.run_var = np.zeros((n, 1)), np.ones((n, 1))
        self.momentum, self.eps = momentum, eps

    def forward(self, x, train=True):
        self.train = train
        if train:
            mu, var = x.mean(1, keepdims=True), x.var(1, keepdims=True)
            self.run_mean = self.momentum * self.run_mean + (1 - self.momentum) * mu
            self.run_var = self.momentum * self.run_var + (1 - self.momentum) * var
        else:
            mu, var = self.run_mean, self.run_var
        self.std = np.sqrt(var + self.eps)
        self.xn = (x - mu) / self.std
        return self.gamma * self.xn + self.beta

    def backward(self, dout):
        self.dbeta = dout.sum(1, keepdims=True)
        self.dgamma = (dout * self.xn).sum(1, keepdims=True)
        dxn = self.gamma * dout
        if not self.train:
            return dxn / self.std
        m = dout.shape[1]
        proj = self.xn * (dxn * self.xn).sum(1, keepdims=True)
        return (dxn - dxn.sum(1, keepdims=True) / m - proj / m) / self.std


@dataclass
class CausalDepthwise:
    """WaveNet's dilated filter, a kernel per channel, x: (N, T, C), kernel: (K, C), tap 0 is now"""

    kernel: np.ndarray
    dilation: int = 2
    grad: np.ndarray = field(default=None, init=False)
    _x: np.ndarray = field(default=None, init=False, repr=False)

    def forward(self, x):
        self._x = x
        y = np.zeros_like(x)
        for k, w in enumerate(self.kernel):
            s = k * self.dilation
            y[:, s:] += w * x[:, : x.shape[1] - s]
        return y

    def backward(self, dy):
        x, T = self._x, dy.shape[1]
        self.grad = np.empty_like(self.kernel)
        dx = np.zeros_like(x)
        for k, w in enumerate(self.kernel):
            s = k * self.dilation
            self.grad[k] = np.sum(dy[:, s:] * x[:, : T - s], axis=(0, 1))
            dx[:, : T - s] += w * dy[:, s:]
        return dx


class ConvCHWN:
    """cuda-convnet's layout: images (C, H, W, N), filters (C, kh, kw, F), no padding"""

    def __init__(self, filters, biases, stride=1):
        self.weights, self.biases, self.stride = filters, biases, stride

    def _windows(self, a, out_h, out_w):
        _, kh, kw, _ = self.weights.shape
        s = self.stride
        for i in range(kh):
            for j in range(kw):
                yield i, j, a[:, i : i + s * out_h : s, j : j + s * out_w : s]

    def fprop(self, images):
        self.images = images
        _, kh, kw, F = self.weights.shape
        oh = (images.shape[1] - kh) // self.stride + 1
        ow = (images.shape[2] - kw) // self.stride + 1
        target = np.zeros((F, oh, ow, images.shape[3])) + self.biases[:, None, None, None]
        for i, j, win in self._windows(images, oh, ow):
            target += np.tensordot(self.weights[:, i, j], win, ([0], [0]))
        return target

    def bprop(self, acts_grad):
        _, oh, ow, _ = acts_grad.shape
        self.weights_grad = np.empty_like(self.weights)
        self.biases_grad = acts_grad.sum((1, 2, 3))
        images_grad = np.zeros_like(self.images)
        for i, j, win in self._windows(self.images, oh, ow):
            self.weights_grad[:, i, j] = np.tensordot(win, acts_grad, ([1, 2, 3], [1, 2, 3]))
        for i, j, win in self._windows(images_grad, oh, ow):
            win += np.tensordot(self.weights[:, i, j], acts_grad, ([1], [0]))
        return images_grad


class LSEPool:
    """log-sum-exp pooling over the valid frames, sharpness r learned; x (N, T, C), valid (N, T)"""

    def __init__(self, r):
        self.r = r

    def forward(self, x, valid):
        self.x, self.valid = x, valid[:, :, None]
        z = np.where(self.valid, self.r * x, -np.inf)
        top = z.max(1, keepdims=True)
        e = np.exp(z - top)
        self.p = e / e.sum(1, keepdims=True)
        self.y = (top[:, 0] + np.log(e.sum(1) / self.valid.sum(1))) / self.r
        return self.y

    def backward(self, dy):
        mean_x = (self.p * self.x).sum(1)
        self.dr = np.sum(dy * (mean_x - self.y) / self.r, 0)
        return self.p * dy[:, None]


class BilinearUpsample2x:
    def _matrix(self, n):
        # align_corners=True
        pos = np.linspace(0, n - 1, 2 * n)
        lo = np.minimum(pos.astype(int), n - 2)
        M = np.zeros((2 * n, n))
        M[np.arange(2 * n), lo] = 1 - (pos - lo)
        M[np.arange(2 * n), lo + 1] += pos - lo
        return M

    def forward(self, x):
        self.A, self.B = self._matrix(x.shape[2]), self._matrix(x.shape[3])
        return self.A @ x @ self.B.T

    def backward(self, dout):
        return self.A.T @ dout @ self.B


class RMSNorm:
    def __init__(self, d, eps=1e-2):
        self.g, self.eps = np.linspace(0.8, 1.2, d), eps

    def forward(self, x):
        self.x = x
        return self.g * x / np.sqrt(np.mean(x**2, -1, keepdims=True) + self.eps)

    def backward(self, dout):
        x = self.x
        rms = np.sqrt(np.mean(x**2, -1, keepdims=True))
        self.dg = np.sum(dout * x / rms, axis=tuple(range(x.ndim - 1)))
        d = dout * self.g
        return d / rms - x * np.mean(d * x, -1, keepdims=True) / rms**3


class AvgPool:
    """3x3, stride 2, one ring of padding that is not counted"""

    def forward(self, x):
        self.shape = x.shape
        self.ho, self.wo = (x.shape[2] - 1) // 2 + 1, (x.shape[3] - 1) // 2 + 1
        ones = np.pad(np.ones(x.shape[2:]), 1)
        xp = np.pad(x, ((0, 0), (0, 0), (1, 1), (1, 1)))
        y = np.empty(x.shape[:2] + (self.ho, self.wo))
        self.count = np.empty((self.ho, self.wo))
        for i in range(self.ho):
            for j in range(self.wo):
                w = np.s_[2 * i : 2 * i + 3, 2 * j : 2 * j + 3]
                self.count[i, j] = ones[w].sum()
                y[:, :, i, j] = xp[(..., *w)].sum((2, 3)) / self.count[i, j]
        return y

    def backward(self, dy):
        n, c, h, w = self.shape
        dxp = np.zeros((n, c, h + 2, w + 2))
        share = dy / 9.0
        for i in range(self.ho):
            for j in range(self.wo):
                dxp[:, :, 2 * i : 2 * i + 3, 2 * j : 2 * j + 3] += share[:, :, i, j, None, None]
        return dxp[:, :, 1:-1, 1:-1]


class PixelShuffle:
    def __init__(self, r):
        self.r = r

    def forward(self, x):
        n, c, h, w = x.shape
        r = self.r
        y = x.reshape(n, c // r**2, r, r, h, w).transpose(0, 1, 4, 2, 5, 3)
        return y.reshape(n, c // r**2, h * r, w * r)

    def backward(self, dy):
        n, c, H, W = dy.shape
        r = self.r
        d = dy.reshape(n, c, H // r, r, W // r, r)
        d = d.transpose(0, 1, 5, 3, 2, 4)
        return d.reshape(n, c * r * r, H // r, W // r)


class SpectralDense:
    """x W / sigma(W); u and v come from a power iteration when the layer is made and stay"""

    def __init__(self, n_in, n_out, seed=0):
        r = np.random.default_rng(seed)
        self.W = r.normal(size=(n_in, n_out))
        v = r.normal(size=n_out)
        for _ in range(20):
            u = self.W @ v
            u /= np.linalg.norm(u)
            v = self.W.T @ u
            v /= np.linalg.norm(v)
        self.u, self.v = u, v

    def forward(self, x):
        self.x = x
        self.sigma = self.u @ self.W @ self.v
        self.Wn = self.W / self.sigma
        return x @ self.Wn

    def backward(self, dout):
        dWn = self.x.T @ dout
        self.dW = dWn / self.sigma
        return dout @ self.Wn.T


class SortPooling:
    """DGCNN: the nodes of a graph sorted by their last feature, the largest first"""

    def forward(self, nodes):
        self.order = np.argsort(-nodes[:, -1])
        return nodes[self.order]

    def backward(self, dout):
        return dout[self.order]


def N(*shape, seed=1):
    return np.random.default_rng(seed).normal(size=shape)


def _prove(m, pairs, *args, f="forward", b="backward"):
    """pairs of attributes: parameter, gradient"""
    run = getattr(m, f)
    g = cot(run(*args))
    dx = getattr(m, b)(g)
    return against(lambda: run(*args), g, (dx, args[0]), *((getattr(m, d), getattr(m, p)) for p, d in pairs))


def _gn():
    return N(2, 2, 3, 4), 1 + 0.3 * N(4, seed=2), N(4, seed=3)


def _prove_gn():
    args = _gn()
    y, cache = group_norm(*args)
    g = cot(y)
    return against(lambda: group_norm(*args)[0], g, *zip(group_norm_bp(g, cache), args))


def _chwn():
    return ConvCHWN(N(2, 3, 2, 3), N(3, seed=2), stride=2), N(2, 5, 6, 2, seed=3)


def _lse():
    return LSEPool(np.array([0.7, 1.5, 3.0])), N(2, 4, 3), np.arange(4) < np.array([[4], [2]])


WB = [("weights", "weights_grad"), ("biases", "biases_grad")]

ENTRIES = [
    Stranger(
        "group norm, channels last",
        "pair with cache tuple",
        lambda gradlab: gradlab.check_cached_pair(group_norm, group_norm_bp, _gn()),
        _prove_gn,
    ),
    Stranger(
        "batch norm whose samples are columns",
        "layer with a train flag and running statistics",
        lambda gradlab: gradlab.check_layer(BatchNormColumns(3), N(3, 6)),
        lambda: _prove(BatchNormColumns(3), [("gamma", "dgamma"), ("beta", "dbeta")], N(3, 6)),
    ),
    Stranger(
        "causal dilated depthwise convolution",
        "layer as a dataclass",
        lambda gradlab: gradlab.check_layer(CausalDepthwise(N(3, 2)), N(2, 7, 2, seed=2)),
        lambda: _prove(CausalDepthwise(N(3, 2)), [("kernel", "grad")], N(2, 7, 2, seed=2)),
    ),
    Stranger(
        "convolution in cuda-convnet's layout",
        "layer with fprop and bprop",
        lambda gradlab: gradlab.check_layer(*_chwn()),
        lambda: _prove(_chwn()[0], WB, _chwn()[1], f="fprop", b="bprop"),
    ),
    Stranger(
        "log-sum-exp pooling over valid frames",
        "layer with a mask",
        lambda gradlab: gradlab.check_layer(*_lse()),
        lambda: _prove(_lse()[0], [("r", "dr")], *_lse()[1:]),
    ),
    Stranger(
        "bilinear upsampling",
        "layer without parameters",
        lambda gradlab: gradlab.check_layer(BilinearUpsample2x(), N(1, 2, 3, 4)),
        lambda: _prove(BilinearUpsample2x(), [], N(1, 2, 3, 4)),
    ),
    Stranger(
        "RMS norm: backward without forward's epsilon",
        "layer with attributes",
        lambda gradlab: gradlab.check_layer(RMSNorm(4), 0.3 * N(2, 3, 4)),
        lambda: _prove(RMSNorm(4), [("g", "dg")], 0.3 * N(2, 3, 4)),
        "wrong",
        "forward adds eps below the root, backward computes the root again without it",
        ("epsilon-mismatch",),
        ("x", "g"),
        "        rms = np.sqrt(np.mean(x**2, -1, keepdims=True))",
        "        rms = np.sqrt(np.mean(x**2, -1, keepdims=True) + self.eps)",
    ),
    Stranger(
        "average pooling that does not count the padding: divides by nine everywhere",
        "layer without parameters",
        lambda gradlab: gradlab.check_layer(AvgPool(), N(2, 2, 5, 5)),
        lambda: _prove(AvgPool(), [], N(2, 2, 5, 5)),
        "wrong",
        "backward divides by the window's nine elements, forward by those inside the image",
        ("border",),
        ("x",),
        "        share = dy / 9.0",
        "        share = dy / self.count",
    ),
    Stranger(
        "pixel shuffle: the two small axes exchanged on the way back",
        "layer without parameters",
        lambda gradlab: gradlab.check_layer(PixelShuffle(2), N(2, 8, 2, 3)),
        lambda: _prove(PixelShuffle(2), [], N(2, 8, 2, 3)),
        "wrong",
        "the transpose has column before row in the channels",
        ("axes-permuted", "columns-exchanged"),
        ("x",),
        "        d = d.transpose(0, 1, 5, 3, 2, 4)",
        "        d = d.transpose(0, 1, 3, 5, 2, 4)",
    ),
    Stranger(
        "spectrally normalised dense layer: sigma taken for a constant",
        "layer with attributes",
        lambda gradlab: gradlab.check_layer(SpectralDense(4, 3), N(5, 4)),
        lambda: _prove(SpectralDense(4, 3), [("W", "dW")], N(5, 4)),
        "wrong",
        "sigma depends on W, and the term through it is missing",
        ("missing-term",),
        ("W",),
        "        self.dW = dWn / self.sigma",
        "        self.dW = (dWn - np.sum(dWn * self.Wn) * np.outer(self.u, self.v)) / self.sigma",
    ),
    Stranger(
        "sort pooling: sorted a second time where it should be unsorted",
        "layer without parameters",
        lambda gradlab: gradlab.check_layer(SortPooling(), N(7, 3, seed=4)),
        lambda: _prove(SortPooling(), [], N(7, 3, seed=4)),
        "wrong",
        "the rows of dout are put into the sorted order, not back by the inverse permutation",
        ("columns-exchanged", "transposed"),
        ("nodes",),
        "        return dout[self.order]",
        "        return dout[np.argsort(self.order)]",
    ),
]
