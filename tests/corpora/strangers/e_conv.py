"""Convolutions, pooling and resampling, each in the way of another author."""

import numpy as np

from ._entry import Stranger
from ._help_e import pairs


class causalDepthwise:
    """Each channel has its own FIR filter; only the past is seen. Signal is time x channel."""

    def __init__(self, nTaps, nChan):
        self.taps = np.random.RandomState(4).randn(nTaps, nChan)
        self.gradTaps = np.zeros_like(self.taps)

    def updateOutput(self, signal):
        nTaps = self.taps.shape[0]
        self.padded = np.vstack([np.zeros((nTaps - 1, signal.shape[1])), signal])
        self.output = np.zeros_like(signal)
        for k in range(nTaps):
            self.output = self.output + self.taps[k] * self.padded[nTaps - 1 - k : len(self.padded) - k]
        return self.output

    def backward(self, gradOutput):
        nTaps = self.taps.shape[0]
        gradPadded = np.zeros_like(self.padded)
        for k in range(nTaps):
            window = slice(nTaps - 1 - k, len(self.padded) - k)
            self.gradTaps[k] = (gradOutput * self.padded[window]).sum(axis=0)
            gradPadded[window] += self.taps[k] * gradOutput
        return gradPadded[nTaps - 1 :]

    forward = updateOutput


def causal():
    return causalDepthwise(3, 2), np.random.default_rng(5).standard_normal((6, 2))


def prove_causal():
    m, x = causal()
    return pairs(lambda: m.forward(x), [x, m.taps], lambda g: [m.backward(g), m.gradTaps])


class MirrorConv:
    """Dilated correlation over the last axis; outside, the signal is its mirror image."""

    def __init__(self, w, dilation=2):
        self.w, self.dilation = w, dilation
        self.reach = dilation * (len(w) - 1) // 2

    def forward(self, x):
        n = x.shape[-1]
        self.source = np.pad(np.arange(n), self.reach, mode="reflect")
        self.n, self.xm = n, x[:, self.source]
        return sum(wk * self.xm[:, k * self.dilation : k * self.dilation + n] for k, wk in enumerate(self.w))

    def backward(self, gy):
        gxm = np.zeros_like(self.xm)
        self.gw = np.zeros_like(self.w)
        for k in range(len(self.w)):
            s = slice(k * self.dilation, k * self.dilation + self.n)
            gxm[:, s] += self.w[k] * gy
            self.gw[k] = np.vdot(self.xm[:, s], gy)
        gx = np.zeros((gy.shape[0], self.n))
        np.add.at(gx, (slice(None), self.source), gxm)
        return gx


def mirror():
    r = np.random.default_rng(15)
    return MirrorConv(r.standard_normal(3)), r.standard_normal((2, 7))


def prove_mirror():
    m, x = mirror()
    return pairs(lambda: m.forward(x), [x, m.w], lambda g: [m.backward(g), m.gw])


class LocalPatches:
    # like a convolution, but every place has weights of its own: W[place, tap, out]
    def __init__(self, W, b, stride=2):
        self.params = {"W": W, "b": b}
        self.grads = {}
        self.stride = stride

    def forward(self, x):
        places, taps, _ = self.params["W"].shape
        self.patches = np.stack(
            [x[:, p * self.stride : p * self.stride + taps] for p in range(places)], axis=1
        )
        self.length = x.shape[1]
        return np.einsum("npk,pko->npo", self.patches, self.params["W"]) + self.params["b"]

    def backward(self, dout):
        self.grads["W"] = np.einsum("npk,npo->pko", self.patches, dout)
        self.grads["b"] = dout.sum(0)
        dp = np.einsum("npo,pko->npk", dout, self.params["W"])
        dx = np.zeros((len(dout), self.length))
        for p in range(dp.shape[1]):
            dx[:, p * self.stride : p * self.stride + dp.shape[2]] += dp[:, p]
        return dx


def local():
    r = np.random.default_rng(25)
    return LocalPatches(r.standard_normal((3, 3, 2)), r.standard_normal((3, 2))), r.standard_normal((2, 7))


def prove_local():
    m, x = local()
    return pairs(
        lambda: m.forward(x),
        [x, m.params["W"], m.params["b"]],
        lambda g: [m.backward(g), m.grads["W"], m.grads["b"]],
    )


class Resampler:
    """Reads a track at scale * i + shift by linear interpolation; outside, the ends are held."""

    def __init__(self, scale, shift):
        self.affine = np.array([scale, shift])
        self.daffine = np.zeros(2)

    def forward(self, track):
        self.track = track
        self.i = np.arange(len(track))
        where = self.affine[0] * self.i + self.affine[1]
        self.inside = (where > 0) & (where < len(track) - 1)
        where = np.clip(where, 0, len(track) - 1)
        self.lo = np.minimum(where.astype(int), len(track) - 2)
        self.frac = (where - self.lo)[:, None]
        return (1 - self.frac) * track[self.lo] + self.frac * track[self.lo + 1]

    def backward(self, dout):
        dtrack = np.zeros_like(self.track)
        np.add.at(dtrack, self.lo, (1 - self.frac) * dout)
        np.add.at(dtrack, self.lo + 1, self.frac * dout)
        dwhere = ((self.track[self.lo + 1] - self.track[self.lo]) * dout).sum(1) * self.inside
        self.daffine = np.array([dwhere @ self.i, dwhere.sum()])
        return dtrack


def resample():
    return Resampler(1.23, -0.57), np.random.default_rng(35).standard_normal((6, 2))


def prove_resample():
    m, x = resample()
    return pairs(lambda: m.forward(x), [x, m.affine], lambda g: [m.backward(g), m.daffine])


class SEBlock:
    def __init__(self, w_down, w_up):
        self.w_down, self.w_up = w_down, w_up
        self.dw_down = self.dw_up = None

    def forward(self, img):
        self.img = img
        self.sq = img.mean(axis=(2, 3))
        self.a = self.sq @ self.w_down
        self.hid = np.maximum(self.a, 0)
        self.gate = 1 / (1 + np.exp(-self.hid @ self.w_up))
        return img * self.gate[:, :, None, None]

    def backward(self, dimg_out):
        area = self.img.shape[2] * self.img.shape[3]
        dpre = (dimg_out * self.img).sum(axis=(2, 3)) * self.gate * (1 - self.gate)
        self.dw_up = self.hid.T @ dpre
        da = (dpre @ self.w_up.T) * (self.a > 0)
        self.dw_down = self.sq.T @ da
        through_mean = (da @ self.w_down.T) / area
        return dimg_out * self.gate[:, :, None, None] + through_mean[:, :, None, None]


def seblock():
    r = np.random.default_rng(45)
    return SEBlock(r.standard_normal((3, 2)), r.standard_normal((2, 3))), r.standard_normal((2, 3, 2, 3))


def prove_seblock():
    m, x = seblock()
    return pairs(lambda: m.forward(x), [x, m.w_down, m.w_up], lambda g: [m.backward(g), m.dw_down, m.dw_up])


class EdgeHoldFilter:
    """Three taps along time, ends repeated."""

    def __init__(self, taps):
        self.taps = np.asarray(taps, float)
        self.dtaps = np.zeros(3)

    def forward(self, x):
        self.xp = np.pad(x, ((0, 0), (1, 1)), mode="edge")
        a, b, c = self.taps
        return a * self.xp[:, :-2] + b * self.xp[:, 1:-1] + c * self.xp[:, 2:]

    def backward(self, dy):
        n = dy.shape[1]
        dxp = np.zeros_like(self.xp)
        for k in range(3):
            self.dtaps[k] = np.sum(self.xp[:, k : k + n] * dy)
            dxp[:, k : k + n] += self.taps[k] * dy
        dx = dxp[:, 1:-1]
        return dx


def edgehold():
    return EdgeHoldFilter([0.7, -1.1, 0.4]), np.random.default_rng(55).standard_normal((2, 6))


def prove_edgehold():
    m, x = edgehold()
    return pairs(lambda: m.forward(x), [x, m.taps], lambda g: [m.backward(g), m.dtaps])


class ChannelPReLU:
    def __init__(self, alpha):
        self.alpha = alpha  # (C, 1, 1)

    def forward(self, x):
        self.x = x
        return np.where(x > 0, x, self.alpha * x)

    def backward(self, dout):
        self.dalpha = np.sum(np.where(self.x > 0, 0, self.x) * dout, axis=0)
        return np.where(self.x > 0, dout, self.alpha * dout)


def prelu():
    r = np.random.default_rng(65)
    return ChannelPReLU(r.uniform(0.1, 0.5, (3, 1, 1))), r.standard_normal((2, 3, 2, 4))


def prove_prelu():
    m, x = prelu()
    return pairs(lambda: m.forward(x), [x, m.alpha], lambda g: [m.backward(g), m.dalpha])


class NormalisedKernelBlur:
    """Non-negative taps k = exp(a), divided by their sum, stride 2 (a learnt anti-aliasing)."""

    def __init__(self, a):
        self.params, self.grads = {"a": a}, {"a": np.zeros_like(a)}

    def forward(self, x):
        e = np.exp(self.params["a"])
        self.k = e / e.sum()
        self.x = x
        self.starts = range(0, x.shape[1] - len(e) + 1, 2)
        return np.stack([x[:, s : s + len(e)] @ self.k for s in self.starts], axis=1)

    def backward(self, dout):
        n = len(self.k)
        dk, dx = np.zeros(n), np.zeros_like(self.x)
        for j, s in enumerate(self.starts):
            dk += dout[:, j] @ self.x[:, s : s + n]
            dx[:, s : s + n] += np.outer(dout[:, j], self.k)
        self.grads["a"] = self.k * dk
        return dx


def blur():
    r = np.random.default_rng(75)
    return NormalisedKernelBlur(r.standard_normal(3)), r.standard_normal((2, 9))


def prove_blur():
    m, x = blur()
    return pairs(lambda: m.forward(x), [x, m.params["a"]], lambda g: [m.backward(g), m.grads["a"]])


class SubpixelUp:
    """(N, C*r*r, H, W) -> (N, C, H*r, W*r), with a gain per output channel."""

    def __init__(self, gain, r=2):
        self.gain, self.r = gain, r

    def forward(self, x):
        n, crr, h, w = x.shape
        r = self.r
        y = x.reshape(n, crr // r**2, r, r, h, w).transpose(0, 1, 4, 2, 5, 3)
        self.y = y.reshape(n, crr // r**2, h * r, w * r)
        return self.gain[:, None, None] * self.y

    def backward(self, d):
        n, c, hr, wr = d.shape
        r = self.r
        self.d_gain = np.einsum("nchw,nchw->c", d, self.y)
        d = (self.gain[:, None, None] * d).reshape(n, c, hr // r, r, wr // r, r)
        return d.transpose(0, 1, 5, 3, 2, 4).reshape(n, c * r * r, hr // r, wr // r)


def subpixel():
    r = np.random.default_rng(85)
    return SubpixelUp(r.standard_normal(2)), r.standard_normal((1, 8, 2, 3))


def prove_subpixel():
    m, x = subpixel()
    return pairs(lambda: m.forward(x), [x, m.gain], lambda g: [m.backward(g), m.d_gain])


class RectifiedRowConv:
    """Valid correlation along rows and a ReLU, fused."""

    def __init__(self, w, b):
        self.w, self.b = w, b

    def forward(self, x):
        self.win = np.lib.stride_tricks.sliding_window_view(x, self.w.size, axis=1)
        self.shape = x.shape
        self.out = np.maximum(self.win @ self.w + self.b, 0)
        return self.out.copy()

    def backward(self, dout):
        dout[self.out <= 0] = 0
        self.db = np.array([dout.sum()])
        self.dw = np.einsum("ntk,nt->k", self.win, dout)
        dx = np.zeros(self.shape)
        for k, wk in enumerate(self.w):
            dx[:, k : k + dout.shape[1]] += wk * dout
        return dx


def rowconv():
    r = np.random.default_rng(95)
    return RectifiedRowConv(r.standard_normal(3), np.array([0.1])), r.standard_normal((3, 6))


def prove_rowconv():
    m, x = rowconv()
    return pairs(lambda: m.forward(x), [x, m.w, m.b], lambda g: [m.backward(g), m.dw, m.db])


ENTRIES = [
    Stranger(
        "causal depthwise filters with camelCase names",
        "updateOutput and backward, gradX attributes",
        lambda gradlab: gradlab.check_layer(*causal()),
        prove_causal,
    ),
    Stranger(
        "dilated correlation with mirrored ends",
        "layer with gw attribute",
        lambda gradlab: gradlab.check_layer(*mirror()),
        prove_mirror,
    ),
    Stranger(
        "patches with weights of their own at every place",
        "layer with params and grads dicts",
        lambda gradlab: gradlab.check_layer(*local()),
        prove_local,
    ),
    Stranger(
        "resampler with a learnt scale and shift, ends held",
        "layer with d-prefixed attribute",
        lambda gradlab: gradlab.check_layer(*resample()),
        prove_resample,
    ),
    Stranger(
        "squeeze and excitation over image channels",
        "layer with dw_ attributes",
        lambda gradlab: gradlab.check_layer(*seblock()),
        prove_seblock,
    ),
    Stranger(
        "filter with repeated ends: what the repeated ends get is thrown away",
        "layer with dtaps attribute",
        lambda gradlab: gradlab.check_layer(*edgehold()),
        prove_edgehold,
        "wrong",
        "the gradient of the padding is cropped instead of added to the ends",
        ("border",),
        ("x",),
        "        dx = dxp[:, 1:-1]\n",
        "        dx = dxp[:, 1:-1].copy()\n        dx[:, 0] += dxp[:, 0]\n        dx[:, -1] += dxp[:, -1]\n",
    ),
    Stranger(
        "channel PReLU: slope's gradient not summed over the image",
        "layer with dalpha attribute",
        lambda gradlab: gradlab.check_layer(*prelu()),
        prove_prelu,
        "wrong",
        "dalpha keeps height and width",
        ("missing-broadcast-sum", "wrong-shape"),
        ("alpha",),
        "self.dalpha = np.sum(np.where(self.x > 0, 0, self.x) * dout, axis=0)",
        "self.dalpha = np.sum(np.where(self.x > 0, 0, self.x) * dout, axis=(0, 2, 3))[:, None, None]",
    ),
    Stranger(
        "blur with normalised taps: the normaliser forgotten",
        "layer with params and grads dicts",
        lambda gradlab: gradlab.check_layer(*blur()),
        prove_blur,
        "wrong",
        "the division by the taps' sum is held constant",
        ("missing-term",),
        ("a",),
        'self.grads["a"] = self.k * dk',
        'self.grads["a"] = self.k * (dk - self.k @ dk)',
    ),
    Stranger(
        "subpixel upsampling: the two sub-positions exchanged on the way back",
        "layer with d_gain",
        lambda gradlab: gradlab.check_layer(*subpixel()),
        prove_subpixel,
        "wrong",
        "the inverse transpose exchanges the two sub-pixel axes",
        ("axes-permuted", "transposed"),
        ("x",),
        "d.transpose(0, 1, 5, 3, 2, 4)",
        "d.transpose(0, 1, 3, 5, 2, 4)",
    ),
    Stranger(
        "rectified row convolution: masks its argument in place",
        "layer with dw and db",
        lambda gradlab: gradlab.check_layer(*rowconv()),
        prove_rowconv,
        "habit",
        "backward writes zeros into the cotangent that it is given",
        ("mutates-argument",),
        ("dout",),
        "        dout[self.out <= 0] = 0\n",
        "        dout = np.where(self.out <= 0, 0, dout)\n",
    ),
]
