"""Sound, signals, light."""

import numpy as np
from scipy.signal import lfilter

from ._entry import Stranger
from ._help_m import pair, pairs


# --- spectrum ----------
class PowerSpectrum:
    def __init__(self, n_fft=16):
        self.n = n_fft
        self.window = np.hanning(n_fft + 2)[1:-1]

    def forward(self, frames):
        self.spec = np.fft.rfft(frames * self.window, axis=-1)
        return np.abs(self.spec) ** 2 / self.n

    def backward(self, grad):
        z = 2.0 * grad * self.spec
        return np.fft.irfft(z, self.n, axis=-1) * self.window


def _frames(seed, *shape):
    return np.random.default_rng(seed).standard_normal(shape)


def _p_power():
    p, x = PowerSpectrum(), _frames(51, 3, 16)
    return pairs(lambda: p.forward(x), lambda g: (p.backward(g),), [x])


# --- level meter ----------
def level_db(x, floor=1e-6):
    ms = (x * x).mean(axis=1) + floor
    return 10 * np.log10(ms), (x, ms)


def level_db_backward(dlevel, cache):
    x, ms = cache
    # 10 / ln(10) = 4.3
    return 4.3 * (dlevel / ms)[:, None] * 2 * x / x.shape[1]


# --- automatic gain ----------
def agc(x, target=0.2):
    """Brings each row to the same RMS. Returns the signal and its vjp."""
    power = np.mean(x**2, axis=-1, keepdims=True) + 1e-5
    gain = target / np.sqrt(power)

    def vjp(ybar):
        return (gain * ybar,)

    return gain * x, vjp


# --- antenne ----------
class EtalonnageCapteurs:
    """Réseau de capteurs : gain et décalage propres à chaque voie. x : (voies, instants)"""

    def __init__(self, voies, graine=0):
        alea = np.random.default_rng(graine)
        self.gain = 1 + 0.2 * alea.standard_normal(voies)
        self.decalage = 0.1 * alea.standard_normal(voies)
        self.dgain = np.zeros(voies)
        self.ddecalage = np.zeros(voies)

    def forward(self, x):
        self.x = x
        return self.gain[:, None] * (x - self.decalage[:, None])

    def backward(self, dy):
        centre = self.x - self.decalage[:, None]
        self.dgain[...] = (dy * centre).sum(axis=0)
        dx = self.gain[:, None] * dy
        self.ddecalage[...] = -dx.sum(axis=1)
        return dx


def _p_antenne():
    c, x = EtalonnageCapteurs(6), _frames(53, 6, 6)
    return pairs(
        lambda: c.forward(x), lambda g: (c.backward(g), c.dgain, c.ddecalage), [x, c.gain, c.decalage]
    )


# --- quadrature detection ----------
class Quadrature:
    def forward(self, amp, phase):
        self.amp, self.c, self.s = amp, np.cos(phase), np.sin(phase)
        return amp * self.c, amp * self.s

    def backward(self, d_i, d_q):
        d_amp = d_i * self.c + d_q * self.s
        d_phase = self.amp * (d_i * self.c - d_i * self.s)
        return d_amp, d_phase


def beam():
    rng = np.random.default_rng(54)
    return rng.uniform(0.5, 2, 7), rng.uniform(-3, 3, 7)


def _p_quadrature():
    q, args = Quadrature(), beam()
    return pairs(lambda: q.forward(*args), lambda g: q.backward(*g), args)


# --- biquad ----------
class Biquad:
    """y[t] = b0 x[t] + b1 x[t-1] + b2 x[t-2] - a1 y[t-1] - a2 y[t-2]"""

    def __init__(self, b, a):
        self.params = {"b": np.array(b), "a": np.array(a)}
        self.grads = {}

    def forward(self, x):
        den = np.r_[1.0, self.params["a"]]
        self.x, self.y = x, lfilter(self.params["b"], den, x)
        return self.y

    @staticmethod
    def _late(v, k):
        return np.r_[np.zeros(k), v[: len(v) - k]]

    def backward(self, dy):
        # the adjoint of a causal filter is the same filter with time reversed
        b, den = self.params["b"], np.r_[1.0, self.params["a"]]
        s = lfilter([1.0], den, dy[::-1])
        dx = lfilter(b, [1.0], s)[::-1]
        s = s[::-1]
        self.grads["b"] = np.array([s @ self._late(self.x, k) for k in (0, 1, 2)])
        self.grads["a"] = np.array([-s @ self._late(self.y, k) for k in (1, 2)])
        return dx


def lowpass():
    return Biquad([0.2, 0.35, 0.15], [-0.5, 0.3]), _frames(55, 24)


def _p_biquad():
    f, x = lowpass()
    return pairs(
        lambda: f.forward(x),
        lambda g: (f.backward(g), f.grads["b"], f.grads["a"]),
        [x, f.params["b"], f.params["a"]],
    )


# --- log mel ----------
def triangles(bands, bins):
    edge = (np.linspace(1, bins**0.5, bands + 2)) ** 2 - 1
    k = np.arange(bins)
    up = (k - edge[:-2, None]) / (edge[1:-1] - edge[:-2])[:, None]
    down = (edge[2:, None] - k) / (edge[2:] - edge[1:-1])[:, None]
    return np.clip(np.minimum(up, down), 0, None)


def log_bands(x, bands=4):
    n = x.shape[-1]
    X = np.fft.rfft(x)
    M = triangles(bands, X.shape[-1])
    E = np.abs(X) ** 2 @ M.T + 1e-3
    return np.log(E), (X, M, E, n)


def log_bands_back(dout, cache):
    X, M, E, n = cache
    gP = (dout / E) @ M
    # dx[t] = sum_k 2 gP[k] Re(X[k] exp(2 pi i k t / n)), k = 0 .. n/2
    full = np.zeros(X.shape[:-1] + (n,), complex)
    full[..., : X.shape[-1]] = 2 * gP * X
    return np.fft.ifft(full).real * n


# --- telescope: Zernike coefficients to point spread function ----------
class PSF:
    def __init__(self, n=10):
        y, x = np.mgrid[-1 : 1 : n * 1j, -1 : 1 : n * 1j]
        r2 = x**2 + y**2
        self.aperture = (r2 <= 1).astype(float)
        self.modes = np.stack([x, y, 2 * r2 - 1, x**2 - y**2, 2 * x * y, (3 * r2 - 2) * x]) * self.aperture

    def forward(self, coefs):
        self.pupil = self.aperture * np.exp(1j * np.tensordot(coefs, self.modes, 1))
        self.field = np.fft.fft2(self.pupil) / self.aperture.sum()
        return np.abs(self.field) ** 2

    def backward(self, dout):
        gf = 2 * dout * self.field / self.aperture.sum()
        gp = np.fft.ifft2(gf) * gf.size
        dphi = np.imag(gp * np.conj(self.pupil))
        return np.tensordot(self.modes, dphi, 2)


def _p_psf():
    p, c = PSF(), np.array([0.3, -0.2, 0.5, 0.4, -0.6, 0.25])
    return pairs(lambda: p.forward(c), lambda g: (p.backward(g),), [c])


# --- ray tracing, every element a function (parameter, rays) -> (rays, vjp) ----------
def gap(d, ray):
    y, th = ray
    return np.stack([y + d * th, th]), lambda g: (g[0] @ th, np.stack([g[0], g[1] + d * g[0]]))


def lens(power, ray, aberration=0.2):
    y, th = ray

    def vjp(g):
        strength = power * (1 + 3 * aberration * y**2)
        return -g[1] @ (y + aberration * y**3), np.stack([g[0] - strength * g[1], g[1]])

    return np.stack([y, th - power * (y + aberration * y**3)]), vjp


def trace(p, ray):
    vjps = []
    for element, value in zip((gap, lens, gap, lens, gap), p):
        ray, vjp = element(value, ray)
        vjps.append(vjp)

    def back(g):
        gp = np.empty(len(vjps))
        for k in reversed(range(len(vjps))):
            gp[k], g = vjps[k](g)
        return gp, g

    return ray, back


def bench():
    return np.array([0.7, 0.9, 1.5, 0.6, 0.4]), 0.4 * _frames(56, 2, 6)


# --- pedal board: generators that yield the sound and then its gradient ----------
def drive(amount):
    def effect(x):
        y = np.tanh(amount * x)
        g = yield y
        yield amount * g * (1 - y * y)

    return effect


def tremolo(depth, period):
    def effect(x):
        lfo = 1 - depth * (0.5 - 0.5 * np.cos(2 * np.pi * np.arange(x.shape[-1]) / period))
        g = yield x * lfo
        yield g * lfo

    return effect


def comb(feedback, delay):
    def effect(x):
        y = x.copy()
        for t in range(delay, x.shape[-1]):
            y[..., t] += feedback * y[..., t - delay]
        g = (yield y).copy()
        for t in reversed(range(delay, g.shape[-1])):
            g[..., t - delay] += feedback * g[..., t]
        yield g

    return effect


class PedalBoard:
    def __init__(self, *effects):
        self.effects = effects

    def forward(self, x):
        self.running = []
        for effect in self.effects:
            gen = effect(x)
            x = next(gen)
            self.running.append(gen)
        return x

    def backward(self, g):
        for gen in reversed(self.running):
            g = gen.send(g)
        return g


def board():
    return PedalBoard(drive(1.8), comb(0.6, 3), tremolo(0.7, 9), drive(0.9)), _frames(57, 2, 20)


def _p_board():
    b, x = board()
    return pairs(lambda: b.forward(x), lambda g: (b.backward(g),), [x])


# --- Savitzky-Golay, in place for the realtime thread ----------
class SavGol:
    taps = np.array([-3, 12, 17, 12, -3]) / 35

    def __init__(self, n):
        self.out = np.zeros(n)
        self.dx = np.zeros(n)

    def forward(self, x):
        self.out[:] = np.convolve(x, self.taps, "same")
        return self.out

    def backward(self, dout):
        self.dx[:] = np.convolve(dout, self.taps, "same")  # symmetric
        return self.dx


ENTRIES = [
    Stranger(
        "power spectrum: inner bins counted twice",
        "layer",
        lambda gl: gl.check_layer(PowerSpectrum(), _frames(51, 3, 16)),
        _p_power,
        "wrong",
        "irfft counts every bin but the first and the last twice, and that is not taken back",
        ("constant-factor", "masked-region"),
        ("frames",),
        "        return np.fft.irfft(z, self.n, axis=-1) * self.window\n",
        "        z[..., 1:-1] *= 0.5\n        return np.fft.irfft(z, self.n, axis=-1) * self.window\n",
    ),
    Stranger(
        "level in dB: 10 / ln 10 rounded to 4.3",
        "pair with cache, one array",
        lambda gl: gl.check_cached_pair(level_db, level_db_backward, (_frames(52, 4, 12),)),
        lambda: pair(level_db, level_db_backward, (_frames(52, 4, 12),)),
        "wrong",
        "the constant 10 / ln(10) has two digits only",
        ("rounded-constants", "constant-factor"),
        ("x",),
        "    return 4.3 * (dlevel / ms)[:, None] * 2 * x / x.shape[1]\n",
        "    return 10 / np.log(10) * (dlevel / ms)[:, None] * 2 * x / x.shape[1]\n",
    ),
    Stranger(
        "automatic gain: the gain is taken for a constant",
        "vjp closure",
        lambda gl: gl.check_vjp(agc, lambda vjp, ybar: vjp(ybar), (_frames(58, 3, 10),)),
        lambda: pair(agc, lambda g, vjp: vjp(g), (_frames(58, 3, 10),)),
        "wrong",
        "the gain depends on the signal, and its gradient is left out",
        ("missing-term",),
        ("x",),
        "        return (gain * ybar,)\n",
        "        along = np.mean(ybar * x, axis=-1, keepdims=True)\n"
        "        return (gain * (ybar - x * along / power),)\n",
    ),
    Stranger(
        "étalonnage de capteurs: the gains' gradient is summed over the channels",
        "layer with attributes gain, dgain, written in place",
        lambda gl: gl.check_layer(EtalonnageCapteurs(6), _frames(53, 6, 6)),
        _p_antenne,
        "wrong",
        "the sum runs over the channels, not over the instants",
        ("wrong-sum-axis",),
        ("gain",),
        "        self.dgain[...] = (dy * centre).sum(axis=0)\n",
        "        self.dgain[...] = (dy * centre).sum(axis=1)\n",
    ),
    Stranger(
        "quadrature detection: the phase uses the in-phase cotangent twice",
        "layer with two outputs",
        lambda gl: gl.check_layer(Quadrature(), *beam()),
        _p_quadrature,
        "wrong",
        "where the cotangent of the second output belongs, that of the first one stands",
        ("wrong-cotangent",),
        ("phase",),
        "        d_phase = self.amp * (d_i * self.c - d_i * self.s)\n",
        "        d_phase = self.amp * (d_q * self.c - d_i * self.s)\n",
    ),
    Stranger(
        "biquad filter, adjoint by the reversed filter",
        "layer with dict params and grads",
        lambda gl: gl.check_layer(*lowpass()),
        _p_biquad,
    ),
    Stranger(
        "log band energies by rfft",
        "pair with cache and a setting",
        lambda gl: gl.check_cached_pair(log_bands, log_bands_back, (_frames(59, 3, 18),)),
        lambda: pair(log_bands, log_bands_back, (_frames(59, 3, 18),)),
    ),
    Stranger(
        "Zernike coefficients to point spread function",
        "layer, complex inside",
        lambda gl: gl.check_layer(PSF(), np.array([0.3, -0.2, 0.5, 0.4, -0.6, 0.25])),
        _p_psf,
    ),
    Stranger(
        "rays through gaps and aberrated lenses",
        "composed vjp closures",
        lambda gl: gl.check_vjp(trace, lambda back, g: back(g), bench()),
        lambda: pair(trace, lambda g, back: back(g), bench()),
    ),
    Stranger(
        "pedal board of generators",
        "layer around a stack of generators",
        lambda gl: gl.check_layer(*board()),
        _p_board,
    ),
    Stranger(
        "Savitzky-Golay smoother: returns its own buffers",
        "layer",
        lambda gl: gl.check_layer(SavGol(15), _frames(60, 15)),
        lambda: [],
        "habit",
        "forward and backward return buffers of the object, which the next call overwrites",
        ("aliases-memory",),
    ),
]
