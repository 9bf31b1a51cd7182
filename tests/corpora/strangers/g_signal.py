"""Audio, image and rendering layers."""

import numpy as np
from scipy.signal import lfilter

from ._entry import Stranger
from ._help_g import both


class Biquad:
    """direct form IIR filter with trainable numerator b and denominator a (a[0] is fixed to 1)"""

    def __init__(self, b, a):
        self.coeffs = {"b": np.array(b), "a": np.array(a)}
        self.dcoeffs = None

    def process(self, x):
        self.x = x
        self.den = np.concatenate([[1.0], self.coeffs["a"]])
        self.y = lfilter(self.coeffs["b"], self.den, x)
        return self.y

    def process_backward(self, dy):
        # the adjoint of a causal filter is the filter run backwards in time
        back = lfilter([1.0], self.den, dy[::-1])[::-1]
        n = len(dy)
        self.dcoeffs = {
            "b": np.array([back[k:] @ self.x[: n - k] for k in range(len(self.coeffs["b"]))]),
            "a": np.array([-back[k:] @ self.y[: n - k] for k in range(1, len(self.den))]),
        }
        return lfilter(self.coeffs["b"], [1.0], back[::-1])[::-1]


class LogSpectrogram:
    def __init__(self, size=16, hop=6, eps=1e-3):
        if size % 2:
            raise ValueError("the size must be even")
        self.size, self.hop, self.eps = size, hop, eps
        self.window = np.hanning(size + 2)[1:-1]

    def forward(self, wave):
        self.length = len(wave)
        starts = np.arange(0, self.length - self.size + 1, self.hop)
        self.take = starts[:, None] + np.arange(self.size)
        self.Z = np.fft.rfft(wave[self.take] * self.window, axis=1)
        self.P = np.abs(self.Z) ** 2 + self.eps
        return np.log(self.P)

    def backward(self, dL):
        dZ = 2 * self.Z * dL / self.P
        # adjoint of rfft: inverse transform in which the inner bins do not count twice
        dZ[:, 1:-1] *= 0.5
        frames = np.fft.irfft(dZ, self.size, axis=1) * self.size * self.window
        dwave = np.zeros(self.length)
        np.add.at(dwave, self.take, frames)
        return dwave


class AffineWarp:
    """samples a grey image at theta @ (x, y, 1), bilinear, zero outside"""

    def __init__(self, out_shape):
        ys, xs = np.mgrid[0 : out_shape[0], 0 : out_shape[1]]
        self.grid = np.stack([xs.ravel(), ys.ravel(), np.ones(xs.size)])
        self.out_shape = out_shape

    def forward(self, img, theta):
        X, Y = theta @ self.grid
        self.shape = H, W = img.shape
        self.corners, out = [], 0.0
        for dy in (0, 1):
            for dx in (0, 1):
                xi, yi = np.floor(X).astype(int) + dx, np.floor(Y).astype(int) + dy
                ok = (xi >= 0) & (xi < W) & (yi >= 0) & (yi < H)
                xc, yc = xi.clip(0, W - 1), yi.clip(0, H - 1)
                wx, wy = 1 - np.abs(X - xi), 1 - np.abs(Y - yi)
                val = img[yc, xc] * ok
                self.corners.append((xc, yc, ok, wx, wy, val, np.sign(xi - X), np.sign(yi - Y)))
                out = out + wx * wy * val
        return out.reshape(self.out_shape)

    def backward(self, dout):
        d = dout.ravel()
        dimg, dX, dY = np.zeros(self.shape), 0.0, 0.0
        for xc, yc, ok, wx, wy, val, sx, sy in self.corners:
            np.add.at(dimg, (yc, xc), d * wx * wy * ok)
            dX = dX + d * val * wy * sx
            dY = dY + d * val * wx * sy
        return dimg, np.stack([dX, dY]) @ self.grid.T


class Weight(np.ndarray):
    """an array that carries its gradient with it"""

    def __new__(cls, values):
        return np.asarray(values, dtype=float).view(cls)

    def __array_finalize__(self, obj):
        self.grad = None


class DepthwiseConv:
    """k x k, one filter for each channel, stride, no padding; x is (N, C, H, W)"""

    def __init__(self, channels, k, stride, rng):
        self.k, self.stride = k, stride
        self.kernel = Weight(rng.normal(size=(channels, k, k)))
        self.offset = Weight(np.zeros(channels))

    def views(self, a):
        h, w = ((n - self.k) // self.stride + 1 for n in self.shape[2:])
        for i in range(self.k):
            for j in range(self.k):
                yield (
                    i,
                    j,
                    a[:, :, i : i + h * self.stride : self.stride, j : j + w * self.stride : self.stride],
                )

    def forward(self, x):
        self.x, self.shape = x, x.shape
        return np.asarray(
            sum(v * self.kernel[:, i, j, None, None] for i, j, v in self.views(x))
            + self.offset[:, None, None]
        )

    def backward(self, dout):
        dx = np.zeros(self.shape)
        self.kernel.grad = np.zeros(self.kernel.shape)
        for i, j, v in self.views(self.x):
            self.kernel.grad[:, i, j] = (dout * v).sum(axis=(0, 2, 3))
        for i, j, v in self.views(dx):
            v += dout * np.asarray(self.kernel)[:, i, j, None, None]
        self.offset.grad = dout.sum(axis=(0, 2, 3))
        return dx


class VolumeRender:
    """alpha compositing along rays: densities (R, S), colours (R, S, 3), distances -> (rgb, opacity)"""

    def __init__(self, deltas):
        self.deltas = deltas

    def forward(self, sigma, rgb):
        self.att = sigma * self.deltas
        T = np.exp(-(np.cumsum(self.att, axis=1) - self.att))
        self.w = T * (1 - np.exp(-self.att))
        self.T_next = T * np.exp(-self.att)
        self.rgb = rgb
        return (self.w[..., None] * rgb).sum(1), self.w.sum(1)

    def backward(self, d_rgb, d_opacity):
        dw = (self.rgb * d_rgb[:, None, :]).sum(-1) + d_opacity[:, None]
        behind = np.cumsum((dw * self.w)[:, ::-1], axis=1)[:, ::-1] - dw * self.w
        return (dw * self.T_next - behind) * self.deltas, self.w[..., None] * d_rgb[:, None, :]


class TransposedConv1d:
    """x (N, L) -> (N, stride * (L - 1) + K), one channel"""

    def __init__(self, kernel, stride=1):
        self.W, self.stride = kernel, stride
        self.dW = np.zeros_like(kernel)

    def forward(self, x):
        self.x = x
        n = x.shape[1]
        y = np.zeros((len(x), self.stride * (n - 1) + len(self.W)))
        for k, w in enumerate(self.W):
            y[:, k : k + self.stride * (n - 1) + 1 : self.stride] += w * x
        return y

    def backward(self, dy):
        n, K = self.x.shape[1], len(self.W)
        pad = np.pad(dy, ((0, 0), (0, 1)))
        dx = np.zeros_like(self.x)
        for k, w in enumerate(self.W):
            stop = k + self.stride * (n - 1) + 1
            self.dW[k] = (self.x * pad[:, k : stop : self.stride]).sum()
            dx += w * pad[:, k + 1 : stop + 1 : self.stride]
        return dx


class Decibel:
    def __init__(self, ref=1.0):
        self.ref = ref

    def forward(self, amp):
        self.amp = amp
        return 20 * np.log10(amp / self.ref)

    def backward(self, dout):
        return 8.7 * dout / self.amp


class AutoGain:
    """divides every frame by its rms, quiet frames by no less than the floor"""

    def __init__(self, floor=0.05):
        self.floor = floor

    def forward(self, frames):
        self.frames = frames
        self.rms = np.sqrt((frames**2).mean(axis=1, keepdims=True) + self.floor)
        return frames / self.rms

    def backward(self, dout):
        n = self.frames.shape[1]
        inner = (dout * self.frames).sum(axis=1, keepdims=True)
        r = np.sqrt((self.frames**2).mean(axis=1, keepdims=True) + 1e-8)
        return dout / r - self.frames * inner / (n * r**3)


class LiftingDWT:
    """one lifting step: (N, 2 L) -> smooth half and detail half side by side"""

    def forward(self, x):
        self.shape = x.shape
        detail = x[:, 1::2] - x[:, 0::2]
        smooth = x[:, 0::2] + 0.5 * detail
        return np.hstack([smooth, detail])

    def backward(self, g):
        d, s = np.hsplit(g, 2)
        d = d + 0.5 * s
        dx = np.empty(self.shape)
        dx[:, 0::2] = s - d
        dx[:, 1::2] = d
        return dx


class SpecAugment:
    """random time and frequency masks on a spectrogram, scaled up for what is left"""

    def __init__(self, p=0.4):
        self.p = p

    def draw(self, shape):
        rows = np.random.rand(shape[0], 1) > self.p
        cols = np.random.rand(1, shape[1]) > self.p
        return rows * cols / (1 - self.p) ** 2

    def forward(self, S):
        self.S = S
        self.mask = self.draw(S.shape)
        return S * self.mask

    def backward(self, dout):
        return dout * self.draw(self.S.shape)


def rng():
    return np.random.default_rng(71)


def biquad():
    return Biquad([0.4, 0.3, 0.1], [-0.5, 0.3]), rng().normal(size=20)


def spectrogram():
    return LogSpectrogram(), rng().normal(size=40)


def warp():
    return AffineWarp((4, 4)), rng().normal(size=(5, 6)), np.array([[0.9, 0.23, 0.35], [-0.17, 1.05, 0.63]])


def depthwise():
    return DepthwiseConv(4, 3, 2, rng()), rng().normal(size=(3, 4, 11, 9))


def render():
    r = rng()
    return VolumeRender(np.full(6, 0.4)), r.uniform(0.1, 2, (3, 6)), r.random((3, 6, 3))


def upconv():
    return TransposedConv1d(np.array([0.5, 1.0, -0.7, 0.2])), rng().normal(size=(2, 6))


def decibel():
    return Decibel(0.5), rng().uniform(0.1, 2, (3, 5))


def gain():
    return AutoGain(), rng().normal(size=(4, 8)) * 0.4


def lifting():
    return LiftingDWT(), rng().normal(size=(3, 8))


def augment():
    return SpecAugment(), rng().normal(size=(6, 9))


def seeded(m, S):
    np.random.seed(3)
    return m.forward(S)


def redrawn(m, g, S):
    return [(m.backward(g), S)]


ENTRIES = [
    Stranger(
        "biquad filter with trainable coefficients",
        "process and process_backward, dicts",
        *both(
            biquad,
            lambda m, g, x: [(m.process_backward(g), x), *((m.dcoeffs[k], m.coeffs[k]) for k in "ba")],
            lambda m, x: m.process(x),
        ),
    ),
    Stranger(
        "log power spectrogram",
        "layer with complex numbers inside",
        *both(spectrogram, lambda m, g, x: [(m.backward(g), x)]),
    ),
    Stranger(
        "affine image warp",
        "layer of an image and a matrix",
        *both(warp, lambda m, g, *xs: list(zip(m.backward(g), xs))),
    ),
    Stranger(
        "depthwise convolution, parameters are an ndarray subclass with grad",
        "layer with W.grad",
        *both(
            depthwise,
            lambda m, g, x: [(m.backward(g), x), (m.kernel.grad, m.kernel), (m.offset.grad, m.offset)],
        ),
    ),
    Stranger(
        "volume rendering along rays",
        "layer of two inputs and two outputs",
        *both(render, lambda m, g, *xs: list(zip(m.backward(*g), xs))),
    ),
    Stranger(
        "transposed convolution: the input's gradient one sample late",
        "layer with dW written in place",
        *both(upconv, lambda m, g, x: [(m.backward(g), x), (m.dW, m.W)]),
        "wrong",
        "the slice of dy starts and ends one sample too late",
        ("shifted", "wrong-cotangent"),
        ("x",),
        "            dx += w * pad[:, k + 1 : stop + 1 : self.stride]",
        "            dx += w * pad[:, k : stop : self.stride]",
    ),
    Stranger(
        "decibels: 20 / ln 10 with two digits",
        "layer without parameters",
        *both(decibel, lambda m, g, x: [(m.backward(g), x)]),
        "wrong",
        "20 / ln 10 is 8.6859 and not 8.7",
        ("rounded-constants", "constant-factor"),
        ("amp",),
        "        return 8.7 * dout / self.amp",
        "        return 20 / np.log(10) * dout / self.amp",
    ),
    Stranger(
        "automatic gain: another floor than forward's",
        "layer without parameters",
        *both(gain, lambda m, g, x: [(m.backward(g), x)]),
        "wrong",
        "backward's rms has 1e-8 under the root, forward's has the floor",
        ("epsilon-mismatch",),
        ("frames",),
        "        r = np.sqrt((self.frames**2).mean(axis=1, keepdims=True) + 1e-8)",
        "        r = np.sqrt((self.frames**2).mean(axis=1, keepdims=True) + self.floor)",
    ),
    Stranger(
        "lifting wavelet: smooth and detail exchanged",
        "layer without parameters",
        *both(lifting, lambda m, g, x: [(m.backward(g), x)]),
        "wrong",
        "the first half of g belongs to the smooth part, but it is taken for the detail's",
        ("wrong-cotangent", "columns-exchanged"),
        ("x",),
        "        d, s = np.hsplit(g, 2)",
        "        s, d = np.hsplit(g, 2)",
    ),
    Stranger(
        "SpecAugment: backward draws another mask",
        "layer with np.random",
        *both(augment, redrawn, seeded),
        "wrong",
        "backward draws a new random mask instead of using forward's",
        ("nondeterministic", "masked-region"),
        ("S",),
        "        return dout * self.draw(self.S.shape)",
        "        return dout * self.mask",
    ),
]
