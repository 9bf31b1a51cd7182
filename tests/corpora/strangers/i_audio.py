"""Signal processing and audio."""

import math
from types import SimpleNamespace

import numpy as np
from scipy.signal import lfilter

from . import _help_i as H
from ._entry import Stranger


class Biquad:
    """y = (b0 + b1 z^-1 + b2 z^-2) / (1 + a1 z^-1 + a2 z^-2) x, one channel a row."""

    def __init__(self, b, a):
        self.b = b
        self.a = a

    def forward(self, x):
        self.x = x
        self.y = lfilter(self.b, np.r_[1.0, self.a], x, axis=-1)
        return self.y.copy()

    def backward(self, gy):
        den = np.r_[1.0, self.a]
        gv = lfilter([1.0], den, gy[..., ::-1], axis=-1)[..., ::-1]  # adjoint of 1/A
        self.gb = np.array([self._corr(gv, self.x, k) for k in range(3)])
        self.ga = np.array([-self._corr(gv, self.y, k) for k in (1, 2)])
        return lfilter(self.b, [1.0], gv[..., ::-1], axis=-1)[..., ::-1]

    @staticmethod
    def _corr(u, v, lag):
        return np.sum(u[..., lag:] * v[..., : v.shape[-1] - lag])


def _biquad():
    x = np.random.default_rng(2).normal(size=(4, 250))
    return Biquad(np.array([0.4, -0.2, 0.3]), np.array([-0.6, 0.25])), x


class ConvolutionReverb:
    """Circular convolution with an impulse response by FFT."""

    def __init__(self, ir):
        self.ir = ir

    def forward(self, x):
        self.n = x.shape[-1]
        self.X = np.fft.rfft(x)
        self.Hf = np.fft.rfft(self.ir, self.n)
        return np.fft.irfft(self.X * self.Hf, self.n)

    def backward(self, dy):
        G = np.fft.rfft(dy)
        dir_full = np.fft.irfft(G * np.conj(self.X), self.n)
        self.d_ir = dir_full.sum(axis=0)[: len(self.ir)]
        return np.fft.irfft(G * self.Hf, self.n)


def _reverb():
    rng = np.random.default_rng(0)
    return ConvolutionReverb(np.exp(-np.arange(5.0)) * rng.normal(size=5)), rng.normal(size=(3, 12))


class LogSpectrogram:
    """Hann frames -> log(1 + gain |STFT|^2)"""

    def __init__(self, win=8, hop=4, gain=3.0):
        self.w = np.hanning(win + 2)[1:-1]
        self.hop, self.gain = hop, np.array(gain)
        n = np.arange(win)
        self.C = np.cos(2 * np.pi * np.outer(n, np.arange(win // 2 + 1)) / win)
        self.S = np.sin(2 * np.pi * np.outer(n, np.arange(win // 2 + 1)) / win)

    def forward(self, wav):
        w, hop = self.w, self.hop
        n_frames = 1 + (len(wav) - len(w)) // hop
        self.idx = np.arange(n_frames)[:, None] * hop + np.arange(len(w))
        self.n = len(wav)
        fr = wav[self.idx] * w
        self.re, self.im = fr @ self.C, fr @ self.S
        self.pow = self.re**2 + self.im**2
        return np.log1p(self.gain * self.pow)

    def backward(self, d):
        d = d / (1 + self.gain * self.pow)
        self.d_gain = np.sum(d * self.pow)
        d = 2 * self.gain * d
        dfr = (d * self.re) @ self.C.T + (d * self.im) @ self.S.T
        dwav = np.zeros(self.n)
        np.add.at(dwav, self.idx, dfr * self.w)
        return dwav


class HaarLifting:
    """One level of lifting with a learned predict p and update u. Returns (approximation, detail)."""

    def __init__(self, p, u):
        self.p, self.u = p, u
        self.grad = {}

    def forward(self, x):
        even, odd = x[:, 0::2], x[:, 1::2]
        detail = odd - self.p * even
        approx = even + self.u * detail
        self.saved = even, detail
        return approx, detail

    def backward(self, d_approx, d_detail):
        even, detail = self.saved
        self.grad["u"] = np.sum(d_approx * detail, axis=0)
        d_detail = d_detail + self.u * d_approx
        self.grad["p"] = np.sum(-d_detail * even, axis=0)
        d_even = d_approx + self.p * d_detail
        dx = np.empty((d_even.shape[0], 2 * d_even.shape[1]))
        dx[:, 0::2], dx[:, 1::2] = d_even, d_detail
        return dx


def _haar():
    rng = np.random.default_rng(4)
    return HaarLifting(rng.uniform(0.5, 1.2, 4), rng.uniform(0.2, 0.6, 4)), rng.normal(size=(3, 8))


class FractionalDelay:
    """Reads a signal at n - tau (linear interpolation, zeros before the start). tau: one per voice."""

    def forward(self, x, tau):
        voices, n = len(tau), len(x)
        at = np.arange(n)[None, :] - tau[:, None]
        lo = np.floor(at).astype(int)
        self.frac = at - lo
        padded = np.concatenate([x, [0.0]])  # index -1 is silence
        self.lo = np.where((lo >= 0) & (lo < n), lo, n)
        self.hi = np.where((lo + 1 >= 0) & (lo + 1 < n), lo + 1, n)
        self.a, self.b = padded[self.lo], padded[self.hi]
        assert self.a.shape == (voices, n)
        return (1 - self.frac) * self.a + self.frac * self.b

    def backward(self, dout):
        n = dout.shape[1]
        dx = np.bincount(self.lo.ravel(), ((1 - self.frac) * dout).ravel(), n + 1)
        dx += np.bincount(self.hi.ravel(), (self.frac * dout).ravel(), n + 1)
        return dx[:n], -np.sum(dout * (self.b - self.a), axis=1)


def _delay():
    return FractionalDelay(), np.random.default_rng(6).normal(size=10), np.array([0.3, 2.65, 4.45])


class PreEmphasis:
    """y[t] = x[t] - k x[t-1]"""

    def __init__(self, k=0.9):
        self.k = np.array(k)

    def forward(self, x):
        self.x = x
        y = x.copy()
        y[:, 1:] -= self.k * x[:, :-1]
        return y

    def backward(self, dy):
        self.dk = -np.sum(dy[:, 1:] * self.x[:, :-1])
        dx = dy.copy()
        dx[:, 1:] -= self.k * dy[:, :-1]
        return dx


def mu_law(mu):
    """Companding as a pair of functions that share what they need, in a namespace like a layer's."""
    box = {}

    def forward(x):
        box["x"] = x
        return np.sign(x) * np.log1p(mu * np.abs(x)) / math.log1p(mu)

    def backward(g):
        return g * mu / (1 + mu * np.abs(box["x"])) / math.log1p(mu)

    return SimpleNamespace(forward=forward, backward=backward)


class CepstralDCT(object):
    """MFCC: orthonormal DCT-II of log mel energies, all n coefficients, then liftering."""

    def __init__(self, n, lifter):
        k, m = np.arange(n)[:, None], np.arange(n)[None, :]
        self.M = np.cos(np.pi * k * (m + 0.5) / n) * np.sqrt(2.0 / n)
        self.M[0] /= np.sqrt(2)
        self.lifter = lifter

    def forward(self, mel):
        self.mel = mel
        self.c = np.log(mel) @ self.M.T
        return self.c * self.lifter

    def backward(self, dceps):
        self.dlifter = np.sum(dceps * self.c, 0)
        dlog = (dceps * self.lifter) @ self.M.T
        return dlog / self.mel


def _dct():
    rng = np.random.default_rng(11)
    return CepstralDCT(6, rng.uniform(1, 3, 6)), rng.uniform(0.2, 4, (4, 6))


class HoldUpsample:
    """Every sample is held for `rate` ticks, each tick with a gain of its own."""

    def __init__(self, rate, gains):
        self.rate, self.params, self.grads = rate, [gains], [np.zeros_like(gains)]

    def forward(self, x):
        self.held = np.repeat(x, self.rate, axis=1)
        self.win = np.tile(self.params[0], x.shape[1])
        return self.held * self.win

    def backward(self, dout):
        self.grads[0][:] = (dout * self.held).reshape(len(dout), -1, self.rate).sum(axis=(0, 1))
        dheld = dout * self.win
        return dheld[:, :: self.rate]


def _hold():
    rng = np.random.default_rng(10)
    return HoldUpsample(3, rng.uniform(0.5, 1.5, 3)), rng.normal(size=(2, 5))


class EnvelopeFollower:
    """One-pole envelope of |x| with attack and release; coefficients c = sigmoid(raw)."""

    def __init__(self, raw_attack, raw_release):
        self.raw = np.array([raw_attack, raw_release])

    def forward(self, x):
        c = 1 / (1 + np.exp(-self.raw))
        e, self.log = 0.0, []
        for v in np.abs(x):
            which = 0 if v > e else 1
            self.log.append((which, e, v))
            e = c[which] * e + (1 - c[which]) * v
            self.log[-1] += (e,)
        self.sgn = np.sign(x)
        return np.array([rec[3] for rec in self.log])

    def backward(self, denv):
        c = 1 / (1 + np.exp(-self.raw))
        dc, de, dx = np.zeros(2), 0.0, np.zeros(len(denv))
        for t in range(len(denv) - 1, -1, -1):
            which, e, v, _ = self.log[t]
            de += denv[t]
            dc[which] += de * (e - v)
            dx[t] = de * (1 - c[which])
            de *= c[which]
        self.d_raw = dc * c * (1 - c)
        return dx * self.sgn


class SincBands:
    """SincNet: band-pass kernels from two cutoffs each; a valid correlation with a mono signal."""

    def __init__(self, low, band, size=7):
        self.low, self.band = low, band
        self.t = np.arange(size) - size // 2

    def forward(self, x):
        t = self.t[None, :]
        hi = self.low + self.band
        self.kern = 2 * hi[:, None] * np.sinc(2 * hi[:, None] * t) - 2 * self.low[:, None] * np.sinc(
            2 * self.low[:, None] * t
        )
        self.patches = np.lib.stride_tricks.sliding_window_view(x, self.t.size)
        return self.kern @ self.patches.T

    def backward(self, dy):
        dk = dy @ self.patches
        # d/df [2 f sinc(2 f t)] = 2 cos(2 pi f t)
        t = self.t[None, :]
        dhi = (dk * 2 * np.cos(2 * np.pi * (self.low + self.band)[:, None] * t)).sum(1)
        self.dband = dhi
        self.dlow = dhi - (dk * 2 * np.cos(2 * np.pi * self.low[:, None] * t)).sum(1)
        dx = np.zeros(dy.shape[1] + self.t.size - 1)
        cols = self.kern.T @ dy
        for j in range(self.t.size):
            dx[j : j + dy.shape[1]] += cols[j]
        return dx


def _sinc():
    sig = np.random.default_rng(12).normal(size=15)
    return SincBands(np.array([0.05, 0.12]), np.array([0.1, 0.2])), sig


class RingModulator:
    """x times a carrier of learned frequency and phase, through tanh drive"""

    def __init__(self, freq, phase, drive):
        self.freq, self.phase, self.drive = freq, phase, drive

    def forward(self, x):
        self.x, self.t = x, np.arange(x.shape[1]) / x.shape[1]
        self.arg = 2 * np.pi * self.freq[:, None] * self.t + self.phase[:, None]
        self.out = np.tanh(self.drive[:, None] * x * np.sin(self.arg))
        return self.out

    def backward(self, dout):
        dpre = dout * (1 - self.out**2)
        prod = self.x * np.sin(self.arg)
        self.ddrive = (dpre * prod).sum(1)
        dprod = dpre * self.drive[:, None]
        darg = dprod * self.x * np.cos(self.arg)
        self.dphase = darg.sum(1)
        self.dfreq = 2 * np.pi * darg.sum(1)
        return dprod * np.sin(self.arg)


def _ring():
    rng = np.random.default_rng(13)
    mod = RingModulator(np.array([1.3, 2.7]), np.array([0.2, -0.5]), np.array([1.1, 0.8]))
    return mod, rng.normal(size=(2, 9))


class OverlapAdd:
    """Frames back to a signal; the output lives in a buffer that is made once."""

    def __init__(self, n_frames, size, hop):
        self.buf = np.zeros(hop * (n_frames - 1) + size)
        self.win, self.hop = np.hamming(size), hop

    def forward(self, frames):
        self.buf[:] = 0
        for i, f in enumerate(frames):
            self.buf[i * self.hop : i * self.hop + len(f)] += f * self.win
        return self.buf

    def backward(self, g):
        n = (len(g) - len(self.win)) // self.hop + 1
        return np.stack([g[i * self.hop : i * self.hop + len(self.win)] * self.win for i in range(n)])


def _habits():
    return H.layer(OverlapAdd(4, 6, 3), np.random.default_rng(14).normal(size=(4, 6)))


ENTRIES = [
    Stranger(
        "biquad filter, by filtering backwards",
        "layer, gb and ga",
        lambda g: g.check_layer(*_biquad()),
        lambda: H.layer(*_biquad(), params=".b>.gb .a>.ga"),
    ),
    Stranger(
        "convolution reverb: no conjugate in front of the signal's gradient",
        "layer by FFT",
        lambda g: g.check_layer(*_reverb()),
        lambda: H.layer(*_reverb(), params=".ir>.d_ir"),
        "wrong",
        "the gradient is convolved with the response instead of correlated (conj of its spectrum is missing)",
        ("transposed", "shifted"),
        ("x",),
        "        return np.fft.irfft(G * self.Hf, self.n)\n",
        "        return np.fft.irfft(G * np.conj(self.Hf), self.n)\n",
    ),
    Stranger(
        "log spectrogram of overlapping frames",
        "layer with a 0-d parameter",
        lambda g: g.check_layer(LogSpectrogram(), np.random.default_rng(1).normal(size=300)),
        lambda: H.layer(LogSpectrogram(), np.random.default_rng(1).normal(size=300), params=".gain>.d_gain"),
    ),
    Stranger(
        "Haar wavelet by lifting: sign of the prediction",
        "two outputs, backward takes both",
        lambda g: g.check_layer(*_haar()),
        lambda: H.layer(*_haar(), spread=True, params=".p>.grad['p'] .u>.grad['u']"),
        "wrong",
        "what the prediction passes back to the even samples is added instead of subtracted",
        ("sign-flipped",),
        ("x",),
        "        d_even = d_approx + self.p * d_detail\n",
        "        d_even = d_approx - self.p * d_detail\n",
    ),
    Stranger(
        "fractional delays",
        "layer, two inputs and no parameters",
        lambda g: g.check_layer(*_delay()),
        lambda: H.layer(*_delay()),
    ),
    Stranger(
        "pre-emphasis: transposed the wrong way",
        "layer",
        lambda g: g.check_layer(PreEmphasis(), np.random.default_rng(3).normal(size=(2, 9))),
        lambda: H.layer(PreEmphasis(), np.random.default_rng(3).normal(size=(2, 9)), params=".k>.dk"),
        "wrong",
        "the gradient is filtered as the signal was, towards later samples instead of earlier ones",
        ("shifted", "transposed"),
        ("x",),
        "        dx[:, 1:] -= self.k * dy[:, :-1]\n",
        "        dx[:, :-1] -= self.k * dy[:, 1:]\n",
    ),
    Stranger(
        "mu-law companding in closures",
        "SimpleNamespace of two closures",
        lambda g: g.check_layer(mu_law(255.0), np.random.default_rng(5).uniform(-1, 1, 11)),
        lambda: H.layer(mu_law(255.0), np.random.default_rng(5).uniform(-1, 1, 11), h=1e-6 * 20),
    ),
    Stranger(
        "cepstrum: DCT instead of its transpose",
        "layer",
        lambda g: g.check_layer(*_dct()),
        lambda: H.layer(*_dct(), params=".lifter>.dlifter"),
        "wrong",
        "the gradient is multiplied by the transform once more instead of by its transpose",
        ("transposed",),
        ("mel",),
        "        dlog = (dceps * self.lifter) @ self.M.T\n",
        "        dlog = (dceps * self.lifter) @ self.M\n",
    ),
    Stranger(
        "sample and hold: only the first of the repeats",
        "params and grads as lists",
        lambda g: g.check_layer(*_hold()),
        lambda: H.layer(*_hold(), params=".params[0]>.grads[0]"),
        "wrong",
        "of the repeats of a sample only the first gives a gradient, they are not summed",
        ("missing-broadcast-sum", "missing-term"),
        ("x",),
        "        return dheld[:, :: self.rate]\n",
        "        return dheld.reshape(len(dout), -1, self.rate).sum(axis=2)\n",
    ),
    Stranger(
        "envelope follower with attack and release",
        "recursion with branches",
        lambda g: g.check_layer(EnvelopeFollower(-0.5, 1.5), np.random.default_rng(7).normal(size=12)),
        lambda: H.layer(
            EnvelopeFollower(-0.5, 1.5), np.random.default_rng(7).normal(size=12), params=".raw>.d_raw"
        ),
    ),
    Stranger(
        "SincNet's band-passes",
        "layer",
        lambda g: g.check_layer(*_sinc()),
        lambda: H.layer(*_sinc(), params=".low>.dlow .band>.dband"),
    ),
    Stranger(
        "ring modulator: frequency without the time",
        "layer, one parameter per voice",
        lambda g: g.check_layer(*_ring()),
        lambda: H.layer(*_ring(), params=".freq>.dfreq .phase>.dphase .drive>.ddrive"),
        "wrong",
        "the gradient of the frequency is summed over time without each sample's time t",
        ("missing-term", "straight-through"),
        ("freq",),
        "        self.dfreq = 2 * np.pi * darg.sum(1)\n",
        "        self.dfreq = 2 * np.pi * (darg * self.t).sum(1)\n",
    ),
    Stranger(
        "overlap-add into a buffer",
        "layer that returns its own buffer",
        lambda g: g.check_layer(OverlapAdd(4, 6, 3), np.random.default_rng(14).normal(size=(4, 6))),
        lambda: [],
        "habit",
        "forward returns the buffer that the next forward overwrites",
        ("aliases-memory",),
    ),
]
