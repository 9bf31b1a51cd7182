"""Normalisations, convolutions and poolings, each in a layout of its own."""

from dataclasses import dataclass, field

import numpy as np

from ._entry import Stranger
from ._help_s import cached, pairs, rng


class WSConv1D:
    """Conv over (batch, length, channels), "same"; the kernel is standardised per filter before use."""

    def __init__(self, k, cin, cout, r):
        self.params = {
            "kernel": r.normal(0, 0.5, (k, cin, cout)),
            "gain": r.uniform(0.8, 1.2, cout),
            "bias": r.normal(0, 0.1, cout),
        }
        self.grads = {}
        self.k, self.p = k, k // 2

    def forward(self, x):
        L = x.shape[1]
        w = self.params["kernel"]
        self.sd = np.sqrt(w.var(axis=(0, 1)) + 1e-4)
        self.wh = (w - w.mean(axis=(0, 1))) / self.sd
        xp = np.pad(x, ((0, 0), (self.p, self.p), (0, 0)))
        self.cols = np.stack([xp[:, i : i + L] for i in range(self.k)], axis=2)
        return np.einsum("blkc,kco->blo", self.cols, self.wh * self.params["gain"]) + self.params["bias"]

    def backward(self, dout):
        B, L, _ = dout.shape
        dw = np.einsum("blkc,blo->kco", self.cols, dout)
        self.grads["bias"] = dout.sum(axis=(0, 1))
        self.grads["gain"] = (dw * self.wh).sum(axis=(0, 1))
        dwh = dw * self.params["gain"]
        self.grads["kernel"] = (
            dwh - dwh.mean(axis=(0, 1)) - self.wh * (dwh * self.wh).mean(axis=(0, 1))
        ) / self.sd
        dcols = np.einsum("blo,kco->blkc", dout, self.wh * self.params["gain"])
        dxp = np.zeros((B, L + 2 * self.p, self.cols.shape[3]))
        for i in range(self.k):
            dxp[:, i : i + L] += dcols[:, :, i]
        return dxp[:, self.p : self.p + L]


def _wsconv():
    r = rng(1)
    return WSConv1D(3, 2, 4, r), r.standard_normal((2, 6, 2))


class GroupNormNHWC:
    def __init__(self, groups, channels, eps=1e-5):
        self.g, self.eps = groups, eps
        self.gamma = np.linspace(0.7, 1.4, channels)
        self.beta = np.linspace(-0.2, 0.2, channels)

    def forward(self, x):
        n, h, w, c = x.shape
        xg = x.reshape(n, h, w, self.g, c // self.g)
        mu = xg.mean(axis=(1, 2, 4), keepdims=True)
        self.istd = 1 / np.sqrt(xg.var(axis=(1, 2, 4), keepdims=True) + self.eps)
        self.xh = (xg - mu) * self.istd
        return self.xh.reshape(x.shape) * self.gamma + self.beta

    def backward(self, dout):
        self.dgamma = (dout * self.xh.reshape(dout.shape)).sum(axis=(0, 1, 2))
        self.dbeta = dout.sum(axis=(0, 1, 2))
        dxh = (dout * self.gamma).reshape(self.xh.shape)
        m1 = dxh.mean(axis=(1, 2, 4), keepdims=True)
        m2 = (dxh * self.xh).mean(axis=(1, 2), keepdims=True)
        return ((dxh - m1 - self.xh * m2) * self.istd).reshape(dout.shape)


def _gn():
    return GroupNormNHWC(2, 6), rng(2).standard_normal((2, 3, 2, 6)) * 1.5 + 0.3


class KausaleFaltung:
    """WaveNet-Schicht, Anordnung (Zeit, Batch, Kanal): y[t] = Summe_k x[t - k*d] @ W[k]."""

    def __init__(self, W, abstand):
        self.W = W
        self.d = abstand

    def forward(self, x):
        self.x = x
        T = len(x)
        y = np.zeros(x.shape[:2] + (self.W.shape[2],))
        for k, w in enumerate(self.W):
            s = k * self.d
            y[s:] += x[: T - s] @ w
        return y

    def backward(self, dy):
        T = len(dy)
        self.dW = np.zeros_like(self.W)
        dx = np.zeros_like(self.x)
        for k, w in enumerate(self.W):
            s = k * self.d
            self.dW[k] = np.einsum("tbi,tbo->io", self.x[: T - s], dy[s:])
            dx[: T - k] += dy[k:] @ w.T
        return dx


def _kausal():
    r = rng(3)
    return KausaleFaltung(r.standard_normal((3, 2, 3)), 2), r.standard_normal((7, 2, 2))


# FIR filter bank for audio frames, reflection at both ends
def fir_forward(x, h):
    p = h.shape[1] // 2
    xp = np.pad(x, ((0, 0), (p, p)), mode="reflect")
    win = np.lib.stride_tricks.sliding_window_view(xp, h.shape[1], axis=1)
    return np.einsum("cnk,fk->cfn", win, h), (win, h, xp.shape)


def fir_backward(dy, cache):
    win, h, shape = cache
    K, p, n = h.shape[1], h.shape[1] // 2, dy.shape[2]
    dh = np.einsum("cfn,cnk->fk", dy, win)
    dxp = np.zeros(shape)
    for k in range(K):
        dxp[:, k : k + n] += np.einsum("cfn,f->cn", dy, h[:, k])
    dx = dxp[:, p : p + n].copy()
    dx[:, :p] += dxp[:, p - 1 :: -1]
    dx[:, n - 1 - p : n - 1] += dxp[:, : p + n - 1 : -1]
    return dx, dh


def _fir():
    r = rng(4)
    return r.standard_normal((2, 9)), r.standard_normal((3, 5))


class SubPixelUp:
    """1x1 convolution, then pixel shuffle by r (NCHW)."""

    def __init__(self, cin, cout, r, seed=5):
        self.r, self.cout = r, cout
        self.W = rng(seed).standard_normal((cin, cout * r * r)) * 0.5
        self.dW = None

    def forward(self, x):
        self.x = x
        n, _, h, w = x.shape
        z = np.einsum("nihw,io->nohw", x, self.W)
        z = z.reshape(n, self.cout, self.r, self.r, h, w).transpose(0, 1, 4, 2, 5, 3)
        return z.reshape(n, self.cout, h * self.r, w * self.r)

    def backward(self, d):
        n, _, h, w = self.x.shape
        d = d.reshape(n, self.cout, h, self.r, w, self.r)
        d = d.transpose(0, 1, 5, 3, 2, 4).reshape(n, -1, h, w)
        self.dW = np.einsum("nihw,nohw->io", self.x, d)
        return np.einsum("nohw,io->nihw", d, self.W)


def _subpixel():
    return SubPixelUp(3, 2, 2), rng(6).standard_normal((2, 3, 2, 3))


class PartialRMSNorm:
    """RMS over the first p of the features only (pRMSNorm)."""

    def __init__(self, dim, p=0.5, eps=1e-2):
        self.k = int(dim * p)
        self.eps = eps
        self.scale = np.linspace(0.5, 1.5, dim)
        self.grad_scale = np.zeros(dim)

    def __call__(self, x):
        self.x = x
        self.ms = np.mean(x[..., : self.k] ** 2, axis=-1, keepdims=True)
        return self.scale * x / np.sqrt(self.ms + self.eps)

    def backward(self, grad):
        r = 1 / np.sqrt(self.ms)
        self.grad_scale = (grad * self.x * r).sum(axis=0)
        gs = grad * self.scale
        dms = -0.5 * r**3 * (gs * self.x).sum(axis=-1, keepdims=True)
        dx = gs * r
        dx[..., : self.k] += dms * 2 * self.x[..., : self.k] / self.k
        return dx


def _prms():
    return PartialRMSNorm(6), rng(7).standard_normal((4, 6)) * 0.4


class SoftPool:
    """Softmax weighted pooling along time, (batch, time, features), windows that do not overlap."""

    def __init__(self, size, gain=1.5):
        self.size, self.gain = size, gain

    def forward(self, x):
        b, t, f = x.shape
        self.xw = x.reshape(b, t // self.size, self.size, f)
        e = np.exp(self.xw - self.xw.max(axis=2, keepdims=True))
        self.w = e / e.sum(axis=2, keepdims=True)
        self.y = (self.w * self.xw).sum(axis=2)
        return self.gain * self.y

    def backward(self, dout):
        dout *= self.gain
        dx = dout[:, :, None] * self.w * (1 + self.xw - self.y[:, :, None])
        return dx.reshape(dx.shape[0], -1, dx.shape[3])


class BlurPool:
    """Max 2x2 at stride 1, then blur at stride 2; batch last, as in cuda-convnet (C, H, W, N)."""

    tap = np.array([1.0, 2.0, 1.0]) / 4

    def fprop(self, imgs):
        _, h, w, _ = imgs.shape
        a = np.stack([imgs[:, i : h - 1 + i, j : w - 1 + j] for i in (0, 1) for j in (0, 1)])
        self.who = a.argmax(axis=0)
        m = a.max(axis=0)
        self.mshape = m.shape
        oh, ow = (m.shape[1] - 3) // 2 + 1, (m.shape[2] - 3) // 2 + 1
        out = np.zeros((m.shape[0], oh, ow, m.shape[3]))
        for i, p in enumerate(self.tap):
            for j, q in enumerate(self.tap):
                out += p * q * m[:, i : i + 2 * oh - 1 : 2, j : j + 2 * ow - 1 : 2]
        return out

    def bprop(self, acts_grad):
        _, oh, ow, _ = acts_grad.shape
        dm = np.zeros(self.mshape)
        for i, p in enumerate(self.tap):
            for j, q in enumerate(self.tap):
                dm[:, i : i + 2 * oh - 1 : 2, j : j + 2 * ow - 1 : 2] += p * q * acts_grad
        c, h, w, n = self.mshape
        dx = np.zeros((c, h + 1, w + 1, n))
        for s in range(4):
            dx[:, s // 2 : s // 2 + h, s % 2 : s % 2 + w] += dm * (self.who == s)
        return dx


def _blur():
    return BlurPool(), rng(8).standard_normal((2, 6, 8, 2))


def depthwise(img, ker):
    """img (H, W, C), ker (kh, kw, C), valid; what is cached is the pullback itself."""
    kh, kw, _ = ker.shape
    h, w = img.shape[0] - kh + 1, img.shape[1] - kw + 1
    out = sum(img[i : i + h, j : j + w] * ker[i, j] for i in range(kh) for j in range(kw))

    def pullback(g):
        dimg, dker = np.zeros_like(img), np.zeros_like(ker)
        for i, j in np.ndindex(kh, kw):
            dimg[i : i + h, j : j + w] += g * ker[i, j]
            dker[i, j] = np.einsum("hwc,hwc->c", g, img[i : i + h, j : j + w])
        return dimg, dker

    return out, pullback


def depthwise_back(g, pullback):
    return pullback(g)


def _depthwise():
    r = rng(9)
    return r.standard_normal((5, 4, 3)), r.standard_normal((2, 3, 3))


@dataclass
class GRNWeights:
    gamma: np.ndarray
    beta: np.ndarray


@dataclass
class GRN:
    """Global response normalisation of ConvNeXt V2, (N, H, W, C)."""

    weights: GRNWeights
    grads: GRNWeights = None
    eps: float = 1e-3
    saved: dict = field(default_factory=dict)

    def forward(self, x):
        G = np.sqrt(np.sum(x * x, axis=(1, 2), keepdims=True))
        m = G.mean(axis=3, keepdims=True) + self.eps
        self.saved = dict(x=x, G=G, m=m)
        return self.weights.gamma * (x * (G / m)) + self.weights.beta + x

    def backward(self, dy):
        x, G, m = (self.saved[k] for k in ("x", "G", "m"))
        nx = G / m
        self.grads = GRNWeights((dy * x * nx).sum(axis=(0, 1, 2)), dy.sum(axis=(0, 1, 2)))
        dnx = (dy * self.weights.gamma * x).sum(axis=(1, 2), keepdims=True)
        dG = dnx / m - (dnx * nx / m).mean(axis=3, keepdims=True)
        return dy * (1 + self.weights.gamma * nx) + dG * x / G


def _grn():
    r = rng(10)
    return GRN(GRNWeights(r.standard_normal(4), r.standard_normal(4))), r.standard_normal((2, 3, 2, 4))


def _softmax(a):
    e = np.exp(a - a.max())
    return e / e.sum()


class SwitchNorm:
    # mixes the statistics of instance norm and layer norm; x is (batch, channel, length)
    def __init__(self, c):
        self.mean_weight = np.array([0.3, -0.4])
        self.var_weight = np.array([-0.2, 0.5])
        self.gamma, self.beta = np.linspace(0.8, 1.3, c)[:, None], np.zeros((c, 1))

    def forward(self, x):
        self.x = x
        self.mi, self.vi = x.mean(2, keepdims=True), x.var(2, keepdims=True)
        self.ml, self.vl = x.mean((1, 2), keepdims=True), x.var((1, 2), keepdims=True)
        self.a, self.b = _softmax(self.mean_weight), _softmax(self.var_weight)
        self.mu = self.a[0] * self.mi + self.a[1] * self.ml
        self.s = np.sqrt(self.b[0] * self.vi + self.b[1] * self.vl + 1e-5)
        return (x - self.mu) / self.s * self.gamma + self.beta

    def backward(self, dout):
        _, C, L = dout.shape
        xc = self.x - self.mu
        self.dgamma = (dout * xc / self.s).sum((0, 2))[:, None]
        self.dbeta = dout.sum((0, 2))[:, None]
        dn = dout * self.gamma
        dmu = -(dn / self.s).sum(2, keepdims=True)
        dv = -0.5 * (dn * xc).sum(2, keepdims=True) / self.s**3
        da = np.array([(dmu * self.mi).sum(), (dmu * self.ml).sum()])
        db = np.array([(dv * self.vi).sum(), (dv * self.vl).sum()])
        self.dmean_weight = self.a * (da - self.a @ da)
        self.dvar_weight = self.b * (db - self.b @ db)
        inst = self.a[0] * dmu + 2 * self.b[0] * dv * (self.x - self.mi)
        dmu, dv = dmu.sum(1, keepdims=True), dv.sum(1, keepdims=True)
        layer = self.a[1] * dmu + 2 * self.b[1] * dv * (self.x - self.ml)
        return dn / self.s + inst / L + layer / (C * L)


def _switch():
    return SwitchNorm(3), rng(11).standard_normal((2, 3, 5)) * [[[1], [2], [0.5]]]


ENTRIES = [
    Stranger(
        "s: weight-standardised 1-d convolution, channels last",
        "layer with params and grads dicts",
        lambda gradlab: gradlab.check_layer(*_wsconv()),
        lambda: pairs(_wsconv, lambda o, d, x: [(d, x[0])] + [(o.grads[k], o.params[k]) for k in o.params]),
    ),
    Stranger(
        "s: group norm, channels last: a mean over space only",
        "layer with dgamma, dbeta",
        lambda gradlab: gradlab.check_layer(*_gn()),
        lambda: pairs(_gn, lambda o, d, x: [(d, x[0]), (o.dgamma, o.gamma), (o.dbeta, o.beta)]),
        "wrong",
        "the mean of dxh * xh is taken over space only, not over the channels of the group",
        ("wrong-sum-axis",),
        ("x",),
        "        m2 = (dxh * self.xh).mean(axis=(1, 2), keepdims=True)\n",
        "        m2 = (dxh * self.xh).mean(axis=(1, 2, 4), keepdims=True)\n",
    ),
    Stranger(
        "s: dilated causal convolution (time, batch, channel): dilation forgotten in dx",
        "layer with dW, German",
        lambda gradlab: gradlab.check_layer(*_kausal()),
        lambda: pairs(_kausal, lambda o, d, x: [(d, x[0]), (o.dW, o.W)]),
        "wrong",
        "dx is moved by k time steps where the forward moved by k times the dilation",
        ("shifted", "wrong-operand"),
        ("x",),
        "            dx[: T - k] += dy[k:] @ w.T\n",
        "            dx[: T - s] += dy[s:] @ w.T\n",
    ),
    Stranger(
        "s: FIR bank with reflection: left edge folded as if symmetric",
        "pair with cache",
        lambda gradlab: gradlab.check_cached_pair(fir_forward, fir_backward, _fir()),
        lambda: cached(fir_forward, fir_backward, _fir()),
        "wrong",
        "the left padding is folded back one sample too far to the left (edge repeated instead of reflected)",
        ("border", "shifted"),
        ("x",),
        "    dx[:, :p] += dxp[:, p - 1 :: -1]\n",
        "    dx[:, 1 : p + 1] += dxp[:, p - 1 :: -1]\n",
    ),
    Stranger(
        "s: 1x1 convolution with pixel shuffle: sub-pixel axes exchanged on the way back",
        "layer with dW",
        lambda gradlab: gradlab.check_layer(*_subpixel()),
        lambda: pairs(_subpixel, lambda o, d, x: [(d, x[0]), (o.dW, o.W)]),
        "wrong",
        "the two axes of the sub-pixels come back in the other order",
        ("axes-permuted", "columns-exchanged"),
        ("W", "x"),
        "        d = d.transpose(0, 1, 5, 3, 2, 4).reshape(n, -1, h, w)\n",
        "        d = d.transpose(0, 1, 3, 5, 2, 4).reshape(n, -1, h, w)\n",
    ),
    Stranger(
        "s: partial RMS norm: epsilon left out in backward",
        "callable layer with grad_scale",
        lambda gradlab: gradlab.check_layer(*_prms()),
        lambda: pairs(_prms, lambda o, d, x: [(d, x[0]), (o.grad_scale, o.scale)], run=lambda o, x: o(*x)),
        "wrong",
        "backward's root mean square has no epsilon, forward's has",
        ("epsilon-mismatch",),
        ("x", "scale"),
        "        r = 1 / np.sqrt(self.ms)\n",
        "        r = 1 / np.sqrt(self.ms + self.eps)\n",
    ),
    Stranger(
        "s: soft pooling along time: scales dout in place",
        "layer",
        lambda gradlab: gradlab.check_layer(SoftPool(2), rng(12).standard_normal((2, 6, 3))),
        lambda: [],
        "habit",
        "backward multiplies its argument dout in place",
        ("mutates-argument",),
        ("dout",),
        "        dout *= self.gain\n",
        "        dout = dout * self.gain\n",
    ),
    Stranger(
        "s: blur pool, batch last",
        "fprop and bprop",
        lambda gradlab: gradlab.check_layer(*_blur()),
        lambda: pairs(_blur, lambda o, d, x: [(d, x[0])], lambda o, x: o.fprop(*x), lambda o, g: o.bprop(g)),
    ),
    Stranger(
        "s: depthwise convolution of one image, height-width-channel",
        "pair whose cache is the pullback",
        lambda gradlab: gradlab.check_cached_pair(depthwise, depthwise_back, _depthwise()),
        lambda: cached(depthwise, depthwise_back, _depthwise()),
    ),
    Stranger(
        "s: global response norm as dataclasses",
        "dataclass with weights and grads objects",
        lambda gradlab: gradlab.check_layer(*_grn()),
        lambda: pairs(
            _grn,
            lambda o, d, x: [(d, x[0]), (o.grads.gamma, o.weights.gamma), (o.grads.beta, o.weights.beta)],
        ),
    ),
    Stranger(
        "s: switchable norm of instance and layer statistics",
        "layer with d-attributes",
        lambda gradlab: gradlab.check_layer(*_switch()),
        lambda: pairs(
            _switch,
            lambda o, d, x: (
                [(d, x[0]), (o.dmean_weight, o.mean_weight), (o.dvar_weight, o.var_weight)]
                + [(o.dgamma, o.gamma), (o.dbeta, o.beta)]
            ),
        ),
    ),
]
