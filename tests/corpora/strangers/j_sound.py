# Klang und Signale: Filter, Spektren, Verzerrer

import numpy as np

from . import _help_j as hj
from ._entry import Stranger


# ------------------------------------------------------------------ ein Pol, rueckwaerts gefiltert
def one_pole(x, a):
    y = np.zeros_like(x)
    mem = 0.0
    for n in range(len(x)):
        mem = x[n] + a * mem
        y[n] = mem
    return y, (y, a)


def one_pole_back(cache, gy):
    y, a = cache
    gx = np.zeros_like(y)
    acc = 0.0
    for n in reversed(range(len(y))):
        acc = gy[n] + a * acc
        gx[n] = acc
    ga = np.sum(gx[1:] * y[:-1])
    return gx, np.array(ga)


# ------------------------------------------------------------------ FIR mit drei Koeffizienten
class Fir3:
    def __init__(self, b):
        self.b = np.asarray(b, float)
        self.db = None

    def forward(self, x):
        self.x = np.concatenate([[0, 0], x])
        return self.b[0] * x + self.b[1] * self.x[1:-1] + self.b[2] * self.x[:-2]

    def backward(self, dy):
        N = len(dy)
        self.db = np.array([dy @ self.x[2 - k : 2 - k + N] for k in range(3)])
        dx = self.b[0] * dy
        dx[:-1] += self.b[1] * dy[1:]
        dx[1:] += self.b[2] * dy[:-1]
        return dx


# ------------------------------------------------------------------ Spektrum mit der kurzen Zeit
WIN = np.hanning(16)


def stft_misfit(x, target):
    """log-magnitude distance between spectrograms; (value, gradient)"""
    value, grad = 0.0, np.zeros_like(x)
    for k, s in enumerate(range(0, len(x) - 15, 8)):
        X = np.fft.rfft(WIN * x[s : s + 16])
        P = np.abs(X) ** 2 + 1e-2
        d = np.log(P) - target[k]
        value += np.sum(d**2)
        V = 2 * d / P * 2 * X
        half = np.zeros(16, complex)
        half[:9] = V
        grad[s : s + 16] += WIN * np.fft.ifft(half).real * 16
    return value, grad


# ------------------------------------------------------------------ Leistung je Band
class BandPower:
    """sum of weights * |rfft(x)|^2"""

    def __init__(self, weights):
        self.w = weights

    def value(self, x):
        return np.sum(self.w * np.abs(np.fft.rfft(x)) ** 2)

    def gradient(self, x):
        n = len(x)
        X = np.fft.rfft(x)
        G = self.w * X
        return 2 * n * np.fft.irfft(G, n)


# ------------------------------------------------------------------ mu-law
class MuLaw:
    def __call__(self, x):
        self.x = x
        return np.sign(x) * np.log1p(255 * np.abs(x)) / np.log(256)

    def backward(self, grad):
        return grad * 255 / (5.5 * (1 + 255 * np.abs(self.x)))


# ------------------------------------------------------------------ SI-SNR
class SISNR:
    """negative scale-invariant signal-to-noise ratio in dB, mean over the batch"""

    def forward(self, est, ref):
        self.ref = ref
        self.est = est
        self.e = np.sum(ref**2, -1, keepdims=True)
        self.a = np.sum(est * ref, -1, keepdims=True) / self.e
        self.noise = est - self.a * ref
        s = np.sum((self.a * ref) ** 2, -1)
        n = np.sum(self.noise**2, -1)
        self.s, self.n = s, n
        return -np.mean(10 * np.log10(s / n))

    def backward(self):
        ds = 2 * self.a * self.ref / self.s[:, None]
        dn = 2 * self.noise / self.n[:, None]
        return -10 / np.log(10) * (ds - dn) / len(self.ref)


# ------------------------------------------------------------------ Korrelationsverlust
class Gleichlauf:
    """1 - r, r der Korrelationskoeffizient zweier Huellkurven"""

    def forward(self, y, soll):
        self.u = y - y.mean()
        self.v = soll - soll.mean()
        self.nu = np.sqrt(np.sum(self.u**2))
        self.nv = np.sqrt(np.sum(self.v**2))
        self.r = self.u @ self.v / (self.nu * self.nv)
        return 1 - self.r

    def backward(self, dout=1.0):
        return -dout * self.v / (self.nu * self.nv)


# ------------------------------------------------------------------ Rahmen
def frames(x):
    """Preemphasis, then frames of 6 every 3."""
    p = np.empty_like(x)
    p[0] = x[0]
    p[1:] = x[1:] - 0.97 * x[:-1]
    k = 1 + (len(x) - 6) // 3
    return np.stack([p[3 * i : 3 * i + 6] for i in range(k)]), len(x)


def frames_grad(dF, n):
    dp = np.zeros(n)
    for i, row in enumerate(dF):
        dp[3 * i : 3 * i + 6] += row
    dx = dp.copy()
    dx[:-1] -= 0.97 * dp[1:]
    return dx


def overlap_add(F):
    out = np.zeros(4 * len(F) + 4)
    for k in range(len(F)):
        out[4 * k : 4 * k + 8] += F[k] * np.hamming(8)
    return out, F.shape


def overlap_add_back(dout, shape):
    dF = np.zeros(shape)
    for k in range(shape[0]):
        dF[k] = dout[4 * k : 4 * k + 8]
    return dF


# ------------------------------------------------------------------ Teager und Kaiser
def teager(x):
    return x[1:-1] ** 2 - x[:-2] * x[2:], x


def teager_back(dpsi, x):
    dx = np.zeros_like(x)
    dx[1:-1] += 2 * x[1:-1] * dpsi
    dx[:-3] -= x[2:-1] * dpsi[:-1]
    dx[3:] -= x[1:-2] * dpsi[1:]
    return dx


# ------------------------------------------------------------------ Abtasten an anderen Stellen
def resample(samples, at):
    u = at[:, None] - np.arange(len(samples))
    S = np.sinc(u)
    return S @ samples, (samples, u, S)


def resample_backward(dy, cache):
    samples, u, S = cache
    dS = (np.cos(np.pi * u) - S) / u
    return S.T @ dy, dy * (dS @ samples)


# ------------------------------------------------------------------ weicher Verzerrer mit einem Puffer
class Fuzz:
    def __init__(self, size, drive=2.5):
        self.drive = drive
        self.out = np.empty(size)
        self.dx = np.empty(size)

    def forward(self, x):
        np.tanh(self.drive * x, out=self.out)
        return self.out.copy()

    def backward(self, dout):
        np.multiply(self.out, self.out, out=self.dx)
        np.subtract(1, self.dx, out=self.dx)
        self.dx *= self.drive
        self.dx *= dout
        return self.dx


# ------------------------------------------------------------------ Kompressor
class Kompressor:
    """gain = level ** (1/ratio - 1) above everything; level = sqrt(x^2 + eps)"""

    eps = 0.05

    def __init__(self, ratio=3.0):
        self.k = 1 / ratio - 1

    def forward(self, x):
        self.x = x
        self.level = np.sqrt(x**2 + self.eps)
        self.gain = self.level**self.k
        return x * self.gain

    def backward(self, dout):
        return dout * self.gain * (1 + self.k)


# ------------------------------------------------------------------ Wellenform aus Obertoenen
def additive(amp, f0, t):
    n = np.arange(1, len(amp) + 1)
    arg = 2 * np.pi * f0 * np.outer(n, t)
    return amp @ np.sin(arg), (amp, f0, t, n, arg)


def additive_back(g, cache):
    amp, f0, t, n, arg = cache
    damp = np.sin(arg) @ g
    weight = (amp * n) @ np.cos(arg) * 2 * np.pi
    df0 = weight * t * g
    dt = weight * f0 * g
    return damp, df0.sum(), dt


def make_delay(mix, gain):
    """a feed-forward comb; returns the function and its pullback"""

    def comb(x):
        late = np.concatenate([np.zeros(3), x[:-3]])
        y = (1 - mix) * x + mix * gain * late

        def pullback(dy):
            early = np.concatenate([dy[3:], np.zeros(3)])
            return (1 - mix) * dy + mix * gain * early

        return y, pullback

    return comb


def _x(n=32, seed=2):
    return np.random.default_rng(seed).normal(size=n)


def _t():
    return np.random.default_rng(9).normal(size=(3, 9))


_BANDS = np.array([0.5, 1.0, 2.0, 0.7, 1.3])
_AT = np.array([0.5, 2.0, 3.25, 1.9])
_EST = np.random.default_rng(1).normal(size=(2, 2, 12))
_ADD = (np.array([0.8, 0.3, 0.2]), np.array(1.1), np.linspace(0.05, 1.0, 9))

ENTRIES = [
    Stranger(
        "One-pole filter",
        "pair, cache first",
        lambda gl: gl.check_cached_pair(one_pole, one_pole_back, (_x(12), np.array(0.7))),
        lambda: hj.pair(one_pole, one_pole_back, (_x(12), 0.7), order="cg"),
    ),
    Stranger(
        "FIR filter: the last tap goes back the wrong way",
        "layer with an attribute for the gradient",
        lambda gl: gl.check_layer(Fir3([0.5, 0.3, -0.4]), _x(10)),
        lambda: hj.module(lambda: Fir3([0.5, 0.3, -0.4]), _x(10)),
        "wrong",
        "b[2]'s part is moved forwards by one and not backwards by two",
        ("shifted",),
        ("x",),
        "        dx[1:] += self.b[2] * dy[:-1]\n",
        "        dx[:-2] += self.b[2] * dy[2:]\n",
    ),
    Stranger(
        "Log-spectrogram misfit",
        "value and gradient",
        lambda gl: gl.check_gradient(stft_misfit, True, _x(), args=(_t(),)),
        lambda: hj.both(stft_misfit, _x(), _t()),
    ),
    Stranger(
        "Band power: the ends of the half spectrum",
        "bound methods of a class",
        lambda gl: gl.check_gradient(*hj.methods(BandPower(_BANDS.copy()), "value", "gradient"), _x(8)),
        lambda: hj.scalar(*hj.methods(BandPower(_BANDS.copy()), "value", "gradient"), _x(8)),
        "wrong",
        "irfft counts every bin but the first and the last twice, which is not made good",
        ("constant-factor", "border"),
        ("x",),
        "        G = self.w * X\n",
        "        G = self.w * X\n        G[1:-1] /= 2\n",
    ),
    Stranger(
        "Mu-law: log 256 with two digits",
        "callable layer",
        lambda gl: gl.check_layer(MuLaw(), np.array([0.3, -0.7, 0.05, -0.01, 0.9])),
        lambda: hj.pair(*hj.called(MuLaw), ([0.3, -0.7, 0.05, -0.01, 0.9],)),
        "wrong",
        "log(256) = 5.545 is rounded to 5.5",
        ("rounded-constants", "constant-factor"),
        ("x",),
        "        return grad * 255 / (5.5 * (1 + 255 * np.abs(self.x)))\n",
        "        return grad * 255 / (np.log(256) * (1 + 255 * np.abs(self.x)))\n",
    ),
    Stranger(
        "SI-SNR in decibels",
        "loss",
        lambda gl: gl.check_layer(SISNR(), _EST[0].copy(), _EST[1].copy()),
        lambda: hj.loss(SISNR, _EST[0], _EST[1]),
    ),
    Stranger(
        "Correlation of envelopes: the norm is taken for a constant",
        "loss, German",
        lambda gl: gl.check_layer(Gleichlauf(), _x(9), _x(9, 3)),
        lambda: hj.loss(Gleichlauf, _x(9), _x(9, 3)),
        "wrong",
        "the derivative of y's norm in the denominator is missing",
        ("missing-term",),
        ("y",),
        "        return -dout * self.v / (self.nu * self.nv)\n",
        "        return -dout * (self.v / self.nv - self.r * self.u / self.nu) / self.nu\n",
    ),
    Stranger(
        "Pre-emphasis and frames",
        "pair with a number as its cache",
        lambda gl: gl.check_cached_pair(frames, frames_grad, (_x(18),)),
        lambda: hj.pair(frames, frames_grad, (_x(18),)),
    ),
    Stranger(
        "Overlap-add: window left out on the way back",
        "pair with a shape as its cache",
        lambda gl: gl.check_cached_pair(overlap_add, overlap_add_back, (_x(24).reshape(3, 8),)),
        lambda: hj.pair(overlap_add, overlap_add_back, (_x(24).reshape(3, 8),)),
        "wrong",
        "the gradient of a frame lacks the window that forward multiplies it with",
        ("straight-through",),
        ("F",),
        "        dF[k] = dout[4 * k : 4 * k + 8]\n",
        "        dF[k] = dout[4 * k : 4 * k + 8] * np.hamming(8)\n",
    ),
    Stranger(
        "Teager energy: both ends wrong",
        "pair with the input as its cache",
        lambda gl: gl.check_cached_pair(teager, teager_back, (_x(9),)),
        lambda: hj.pair(teager, teager_back, (_x(9),)),
        "wrong",
        "each of the neighbours' two terms leaves out one sample at an end",
        ("border", "missing-term"),
        ("x",),
        "    dx[:-3] -= x[2:-1] * dpsi[:-1]\n    dx[3:] -= x[1:-2] * dpsi[1:]\n",
        "    dx[:-2] -= x[2:] * dpsi\n    dx[2:] -= x[:-2] * dpsi\n",
    ),
    Stranger(
        "Resampling by sinc: nought by nought on a sample",
        "pair with cache",
        lambda gl: gl.check_cached_pair(resample, resample_backward, (_x(6), _AT.copy())),
        lambda: hj.pair(resample, resample_backward, (_x(6), _AT)),
        "wrong",
        "the slope of sinc is 0 / 0 at zero, where it is 0",
        ("not-finite", "single-element"),
        ("at",),
        "    dS = (np.cos(np.pi * u) - S) / u\n",
        "    dS = np.where(u == 0, 0, (np.cos(np.pi * u) - S) / np.where(u == 0, 1, u))\n",
    ),
    Stranger(
        "Fuzz box: backward returns its own buffer",
        "layer",
        lambda gl: gl.check_layer(Fuzz((2, 5)), _x(10).reshape(2, 5)),
        lambda: [],
        "habit",
        "the gradient is the layer's buffer, which the next call overwrites",
        ("aliases-memory",),
        ("x",),
    ),
    Stranger(
        "Compressor: slope without the level's epsilon",
        "layer, German",
        lambda gl: gl.check_layer(Kompressor(), np.array([0.4, -0.9, 0.15, 1.6])),
        lambda: hj.module(Kompressor, np.array([0.4, -0.9, 0.15, 1.6])),
        "wrong",
        "the gain's derivative is that of |x| ** k, as if there were no epsilon in the level",
        ("epsilon-mismatch", "other-approximation"),
        ("x",),
        "        return dout * self.gain * (1 + self.k)\n",
        "        return dout * self.gain * (1 + self.k * self.x**2 / self.level**2)\n",
    ),
    Stranger(
        "Additive synthesis",
        "pair with cache",
        lambda gl: gl.check_cached_pair(additive, additive_back, tuple(a.copy() for a in _ADD)),
        lambda: hj.pair(additive, additive_back, _ADD),
    ),
    Stranger(
        "Comb filter with a pullback",
        "closure",
        lambda gl: gl.check_cached_pair(make_delay(0.4, 0.8), lambda dy, pullback: pullback(dy), (_x(9),)),
        lambda: hj.pair(make_delay(0.4, 0.8), lambda dy, back: back(dy), (_x(9),)),
    ),
]
