"""Layers for images."""

import numpy as np

from ._entry import Stranger
from ._help_ta import layer, pairs


# ---------- sub-pixel upsampling (ESPCN)
class PixelShuffle:
    """(N, C*r*r, H, W) -> (N, C, H*r, W*r), then a gain for each output channel"""

    def __init__(self, channels, r=2, seed=0):
        self.c, self.r = channels, r
        self.params = {"gain": 1 + 0.3 * np.random.default_rng(seed).standard_normal(channels)}
        self.grads = {}

    def forward(self, x):
        n, _, h, w = x.shape
        y = x.reshape(n, self.c, self.r, self.r, h, w).transpose(0, 1, 4, 2, 5, 3)
        self.y = y.reshape(n, self.c, h * self.r, w * self.r)
        return self.y * self.params["gain"][None, :, None, None]

    def backward(self, dout):
        self.grads["gain"] = np.einsum("nchw,nchw->c", dout, self.y)
        n, c, hr, wr = dout.shape
        h, w = hr // self.r, wr // self.r
        d = (dout * self.params["gain"][None, :, None, None]).reshape(n, c, h, self.r, w, self.r)
        return d.transpose(0, 1, 3, 5, 2, 4).reshape(n, c * self.r**2, h, w)


def _shuffle():
    return PixelShuffle(2), np.random.default_rng(1).standard_normal((2, 8, 2, 3))


def _shuffle_prove():
    m, x = _shuffle()
    return layer(m, [x], lambda: [m.params["gain"]], lambda: [m.grads["gain"]])


# ---------- spatial transformer, sampling part
def grid_sample_fwd(img, grid):
    # img (H, W, C), grid (P, 2) in pixels, (row, col)
    r0 = np.clip(np.floor(grid[:, 0]).astype(int), 0, img.shape[0] - 2)
    c0 = np.clip(np.floor(grid[:, 1]).astype(int), 0, img.shape[1] - 2)
    a, b = grid[:, 0:1] - r0[:, None], grid[:, 1:2] - c0[:, None]
    tl, tr, bl, br = img[r0, c0], img[r0, c0 + 1], img[r0 + 1, c0], img[r0 + 1, c0 + 1]
    out = (1 - a) * ((1 - b) * tl + b * tr) + a * ((1 - b) * bl + b * br)
    return out, (img.shape, r0, c0, a, b, tl, tr, bl, br)


def grid_sample_bwd(dout, cache):
    shape, r0, c0, a, b, tl, tr, bl, br = cache
    dimg = np.zeros(shape)
    for dr, wr in ((0, 1 - a), (1, a)):
        for dc, wc in ((0, 1 - b), (1, b)):
            np.add.at(dimg, (r0 + dr, c0 + dc), wr * wc * dout)
    da = ((1 - b) * (bl - tl) + b * (br - tr)) * dout
    db = ((1 - a) * (tr - tl) + a * (br - bl)) * dout
    return dimg, np.stack([da.sum(1), db.sum(1)], axis=1)


def _grid():
    rng = np.random.default_rng(2)
    where = np.column_stack([rng.uniform(0.1, 3.9, 7), rng.uniform(0.1, 2.9, 7)])
    return rng.standard_normal((5, 4, 2)), where


def _grid_prove():
    img, grid = _grid()
    out, cache = grid_sample_fwd(img, grid)
    g = np.random.default_rng(3).standard_normal(out.shape)
    return pairs(lambda: np.sum(g * grid_sample_fwd(img, grid)[0]), grid_sample_bwd(g, cache), [img, grid])


# ---------- generalised mean pooling (image retrieval)
def gem(x, p):
    """x > 0, (N, C, H, W); p (C,) learned"""
    q = p[:, None, None]
    xp = x**q
    m = xp.mean(axis=(2, 3))
    y = m ** (1 / p)

    def pull(dy):
        n = x.shape[2] * x.shape[3]
        dm = dy * y / (p * m)
        dx = dm[:, :, None, None] * q * x ** (q - 1) / n
        dp = (dm * (xp * np.log(x)).mean(axis=(2, 3))).sum(0) - (dy * y * np.log(m)).sum(0) / p**2
        return dx, dp

    return y, pull


def _gem():
    rng = np.random.default_rng(4)
    return rng.uniform(0.3, 2, (2, 3, 2, 3)), np.array([3.0, 2.2, 1.4])


def _gem_prove():
    x, p = _gem()
    y, pull = gem(x, p)
    g = np.random.default_rng(5).standard_normal(y.shape)
    return pairs(lambda: np.sum(g * gem(x, p)[0]), pull(g), [x, p])


# ---------- group norm, torch manner
class Parameter:
    def __init__(self, data):
        self.data, self.grad = data, None


class GroupNorm:
    def __init__(self, num_groups, num_channels, eps=1e-5):
        rng = np.random.default_rng(6)
        self.G, self.eps = num_groups, eps
        self.weight = Parameter(rng.uniform(0.5, 1.5, num_channels))
        self.bias = Parameter(rng.standard_normal(num_channels))

    def parameters(self):
        yield self.weight
        yield self.bias

    def zero_grad(self):
        for p in self.parameters():
            p.grad = None

    def __call__(self, x):
        return self.forward(x)

    def forward(self, x):
        v = x.reshape(x.shape[0], self.G, -1)
        self.istd = 1 / np.sqrt(v.var(axis=2, keepdims=True) + self.eps)
        self.xhat = ((v - v.mean(axis=2, keepdims=True)) * self.istd).reshape(x.shape)
        return self.xhat * self.weight.data[:, None, None] + self.bias.data[:, None, None]

    def backward(self, grad_output):
        gw, gb = (grad_output * self.xhat).sum((0, 2, 3)), grad_output.sum((0, 2, 3))
        self.weight.grad = gw if self.weight.grad is None else self.weight.grad + gw
        self.bias.grad = gb if self.bias.grad is None else self.bias.grad + gb
        shape = grad_output.shape
        h = (grad_output * self.weight.data[:, None, None]).reshape(shape[0], self.G, -1)
        xh = self.xhat.reshape(h.shape)
        gx = self.istd * (h - h.mean(2, keepdims=True) - xh * (h * xh).mean(2, keepdims=True))
        return gx.reshape(shape)


def _gn():
    return GroupNorm(2, 4), np.random.default_rng(7).standard_normal((2, 4, 2, 3))


def _gn_prove():
    m, x = _gn()
    return layer(m, [x], lambda: [m.weight.data, m.bias.data], lambda: [m.weight.grad, m.bias.grad])


# ---------- BlurPool ("making convnets shift-invariant again")
class BlurPool1d:
    kernel = np.array([1.0, 3.0, 3.0, 1.0]) / 8

    def forward(self, x):
        self.n = x.shape[-1]
        # index table of the reflected signal: no padding needed
        pos = np.arange(0, self.n, 2)[:, None] + np.arange(-1, 3)[None]
        pos = np.abs(pos)
        self.pos = np.where(pos >= self.n, 2 * (self.n - 1) - pos, pos)
        return x[..., self.pos] @ self.kernel

    def backward(self, dy):
        dx = np.zeros(dy.shape[:-1] + (self.n,))
        for j, w in enumerate(self.kernel):
            np.add.at(dx, (..., self.pos[:, j]), w * dy)
        return dx


def _blur():
    return BlurPool1d(), np.random.default_rng(8).standard_normal((2, 3, 8))


# ---------- depthwise 3x3
class DepthwiseConv:
    def __init__(self, C, k=3):
        self.k, self.pad = k, k // 2
        self.W = np.random.default_rng(9).standard_normal((C, k, k))

    def forward(self, X):
        N, C, H, W = X.shape
        p = self.pad
        self.Xp = np.pad(X, ((0, 0), (0, 0), (p, p), (p, p)))
        self.hw = H, W
        out = np.zeros_like(X)
        for i in range(self.k):
            for j in range(self.k):
                out += self.W[:, i, j][None, :, None, None] * self.Xp[:, :, i : i + H, j : j + W]
        return out

    def backward(self, dout):
        H, W = self.hw
        self.dW = np.zeros_like(self.W)
        dXp = np.zeros_like(self.Xp)
        for i in range(self.k):
            for j in range(self.k):
                self.dW[:, i, j] = (dout * self.Xp[:, :, i : i + H, j : j + W]).sum(axis=(0, 2, 3))
                dXp[:, :, i : i + H, j : j + W] += self.W[:, i, j][None, :, None, None] * dout
        return dXp[:, :, :H, :W]


def _dw():
    return DepthwiseConv(2), np.random.default_rng(10).standard_normal((2, 2, 4, 5))


def _dw_prove():
    m, x = _dw()
    return layer(m, [x], lambda: [m.W], lambda: [m.dW])


# ---------- deformable sampling of a line
class DeformLine:
    """out[k] = x read at position k + offset[k] (linear interpolation); x (L, C), offset (L,)"""

    def forward(self, x, offset):
        L = len(x)
        pos = np.clip(np.arange(L) + offset, 0, L - 1 - 1e-9)
        self.left = pos.astype(int)
        self.frac = (pos - self.left)[:, None]
        self.inside = (pos > 0) & (pos < L - 1 - 1e-9)
        self.x = x
        return (1 - self.frac) * x[self.left] + self.frac * x[self.left + 1]

    def backward(self, dout):
        dx = np.zeros_like(self.x)
        np.add.at(dx, self.left, (1 - self.frac) * dout)
        dx[self.left + 1] += self.frac * dout
        doffset = ((self.x[self.left + 1] - self.x[self.left]) * dout).sum(1) * self.inside
        return dx, doffset


def _deform():
    off = np.array([1.3, 0.4, -0.7, 0.25, -1.6, 0.55, -0.8])
    return DeformLine(), np.random.default_rng(11).standard_normal((7, 3)), off


def _deform_prove():
    m, x, off = _deform()
    return layer(m, [x, off])


# ---------- squeeze and excitation
class SEBlock:
    def __init__(self, ch, red=2):
        r = np.random.RandomState(12)
        self.p = dict(w1=r.randn(ch, ch // red), b1=r.randn(ch // red) * 0.1, w2=r.randn(ch // red, ch))
        self.g = {}

    def forward(self, x):
        self.x = x
        self.s = x.mean((2, 3))
        self.h = np.tanh(self.s @ self.p["w1"] + self.p["b1"])
        self.a = 1 / (1 + np.exp(-self.h @ self.p["w2"]))
        return x * self.a[:, :, None, None]

    def backward(self, dy):
        da = (dy * self.x).sum((2, 3))
        du = da * self.a * (1 - self.a)
        self.g["w2"] = self.h.T @ du
        dh = du @ self.p["w2"].T * (1 - self.h**2)
        self.g["w1"] = self.s.T @ dh
        self.g["b1"] = dh.sum(0)
        ds = dh @ self.p["w1"].T
        dx = dy * self.a[:, :, None, None]
        dx += ds[:, :, None, None]
        return dx


def _se():
    return SEBlock(4), np.random.default_rng(13).standard_normal((2, 4, 2, 2))


def _se_prove():
    m, x = _se()
    return layer(m, [x], lambda: list(m.p.values()), lambda: [m.g[k] for k in m.p])


# ---------- local response normalisation (AlexNet)
def lrn(x, n=3, alpha=0.5, beta=0.75, k=2.0):
    C = x.shape[1]
    near = np.abs(np.arange(C)[:, None] - np.arange(C)) <= n // 2
    scale = k + alpha * np.einsum("cd,bdp->bcp", near, x**2)
    return x * scale**-beta, (x, scale, near, alpha, beta)


def lrn_backward(dout, cache):
    x, scale, near, alpha, beta = cache
    cross = dout * x * scale ** (-beta - 1)
    return dout * scale**-beta - 2 * alpha * beta * x * cross


def _lrn():
    return np.random.default_rng(14).standard_normal((2, 5, 4))


def _lrn_prove():
    x = _lrn()
    y, c = lrn(x)
    g = np.random.default_rng(15).standard_normal(y.shape)
    return pairs(lambda: np.sum(g * lrn(x)[0]), [lrn_backward(g, c)], [x])


# ---------- filter response normalisation
class FRN:
    def __init__(self, n_ch, eps=0.05):
        self.eps = eps
        self.gamma = np.linspace(0.6, 1.4, n_ch)

    def forward(self, x):  # (batch, place, channel)
        self.x = x
        self.nu2 = (x * x).mean(axis=1, keepdims=True)
        self.r = 1.0 / np.sqrt(self.nu2 + self.eps)
        return self.gamma * x * self.r

    def backward(self, dy):
        self.dgamma = np.sum(dy * self.x * self.r, axis=(0, 1))
        dxhat = dy * self.gamma
        mean = (dxhat * self.x).mean(axis=1, keepdims=True)
        return dxhat * self.r - self.x * mean * self.r / self.nu2


def _frn():
    return FRN(3), 0.6 * np.random.default_rng(16).standard_normal((2, 5, 3))


def _frn_prove():
    m, x = _frn()
    return layer(m, [x], lambda: [m.gamma], lambda: [m.dgamma])


# ---------- habit: the mask goes into the caller's array
class TokenPruner:
    """keeps the patches whose norm is above the mean norm, scaled by 1/share"""

    def forward(self, patches):
        size = np.linalg.norm(patches, axis=-1)
        self.keep = (size > size.mean()).astype(float)[..., None]
        self.share = self.keep.mean()
        return patches * self.keep / self.share

    def backward(self, d_out):
        d_out *= self.keep
        d_out /= self.share
        return d_out


def _prune():
    return TokenPruner(), np.random.default_rng(17).standard_normal((2, 6, 3))


ENTRIES = [
    Stranger(
        "ta pixel shuffle with a gain",
        "layer with params and grads dicts",
        lambda gl: gl.check_layer(*_shuffle()),
        _shuffle_prove,
    ),
    Stranger(
        "ta bilinear grid sample",
        "pair with cache",
        lambda gl: gl.check_cached_pair(grid_sample_fwd, grid_sample_bwd, _grid()),
        _grid_prove,
    ),
    Stranger(
        "ta generalised mean pooling",
        "function that returns its pullback as cache",
        lambda gl: gl.check_cached_pair(gem, lambda dy, pull: pull(dy), _gem()),
        _gem_prove,
    ),
    Stranger(
        "ta group norm in torch's manner",
        "layer with Parameter objects whose grads add up",
        lambda gl: gl.check_layer(*_gn()),
        _gn_prove,
    ),
    Stranger(
        "ta blur pool by an index table",
        "layer without parameters",
        lambda gl: gl.check_layer(*_blur()),
        lambda: layer(_blur()[0], [_blur()[1]]),
    ),
    Stranger(
        "ta depthwise convolution: crop of the padding",
        "layer with attributes",
        lambda gl: gl.check_layer(*_dw()),
        _dw_prove,
        "wrong",
        "the padding is cut off at the far end only, so that dX is moved by one row and column",
        ("shifted",),
        ("X",),
        "        return dXp[:, :, :H, :W]\n",
        "        return dXp[:, :, self.pad : self.pad + H, self.pad : self.pad + W]\n",
    ),
    Stranger(
        "ta deformable line: right neighbours lost",
        "layer with two inputs",
        lambda gl: gl.check_layer(*_deform()),
        _deform_prove,
        "wrong",
        "fancy-index += adds only once where a right neighbour is read more than once",
        ("last-write-wins",),
        ("x",),
        "        dx[self.left + 1] += self.frac * dout\n",
        "        np.add.at(dx, self.left + 1, self.frac * dout)\n",
    ),
    Stranger(
        "ta squeeze and excitation: mean",
        "layer with p and g dicts",
        lambda gl: gl.check_layer(*_se()),
        _se_prove,
        "wrong",
        "the squeeze is a mean, but its gradient is not divided by the number of pixels",
        ("constant-factor", "missing-factor"),
        ("x",),
        "        dx += ds[:, :, None, None]\n",
        "        dx += ds[:, :, None, None] / (dy.shape[2] * dy.shape[3])\n",
    ),
    Stranger(
        "ta local response norm: neighbours",
        "pair with cache",
        lambda gl: gl.check_cached_pair(lrn, lrn_backward, (_lrn(),)),
        _lrn_prove,
        "wrong",
        "the sum over the neighbouring channels is left out; only the channel's own share is there",
        ("missing-term",),
        ("x",),
        "    cross = dout * x * scale ** (-beta - 1)\n",
        '    cross = np.einsum("cd,bcp->bdp", near, dout * x * scale ** (-beta - 1))\n',
    ),
    Stranger(
        "ta filter response norm: epsilon",
        "layer with attributes",
        lambda gl: gl.check_layer(*_frn()),
        _frn_prove,
        "wrong",
        "the slope of the root divides by nu2 without its epsilon",
        ("epsilon-mismatch",),
        ("x",),
        "        return dxhat * self.r - self.x * mean * self.r / self.nu2\n",
        "        return dxhat * self.r - self.x * mean * self.r / (self.nu2 + self.eps)\n",
    ),
    Stranger(
        "ta token pruner: masks dout in place",
        "layer that writes into its argument",
        lambda gl: gl.check_layer(*_prune()),
        lambda: [],
        "habit",
        "backward multiplies the caller's dout by its mask, in place",
        ("mutates-argument",),
        ("patches",),
    ),
]
