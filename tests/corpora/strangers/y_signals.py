"""Sound, spectra and light."""

from collections import deque

import numpy as np
from scipy.signal import lfilter

from ._entry import Stranger
from ._help_y import against


class Biquad:
    """y = b0 x + b1 x[-1] + b2 x[-2] - a1 y[-1] - a2 y[-2]. The adjoint is the filter run backwards."""

    def __init__(self, b, a):
        self.b, self.a = b, a

    def forward(self, x):
        self.x = x
        self.y = lfilter(self.b, np.r_[1.0, self.a], x)
        return self.y

    def backward(self, grad_y):
        u = lfilter([1.0], np.r_[1.0, self.a], grad_y[::-1])[::-1]
        n = len(u)
        self.grad_b = np.array([u[k:] @ self.x[: n - k] for k in range(3)])
        self.grad_a = np.array([-u[k:] @ self.y[: n - k] for k in (1, 2)])
        return lfilter(self.b, [1.0], u[::-1])[::-1]


def low_shelf():
    x = np.random.default_rng(80).standard_normal(24)
    return Biquad(np.array([0.6, -0.4, 0.2]), np.array([-0.9, 0.35])), x


def prove_biquad():
    (f, x), g = low_shelf(), np.random.default_rng(81).standard_normal(24)
    f.forward(x)
    dx = f.backward(g)
    db, da = f.grad_b, f.grad_a
    return against(lambda: g * f.forward(x), (x, dx), (f.b, db), (f.a, da))


class LogSpectrogram:
    def __init__(self, frame=16, hop=6, floor=1e-2):
        self.frame, self.hop, self.floor = frame, hop, floor
        self.window = 0.5 - 0.5 * np.cos(2 * np.pi * (np.arange(frame) + 0.5) / frame)

    def forward(self, x):
        self.length = len(x)
        cut = np.lib.stride_tricks.sliding_window_view(x, self.frame)[:: self.hop]
        self.spec = np.fft.rfft(cut * self.window)
        self.power = self.spec.real**2 + self.spec.imag**2 + self.floor
        return np.log(self.power)

    def backward(self, grad):
        bar = 2 * grad / self.power * self.spec
        bar[:, 1:-1] *= 0.5  # irfft counts these twice
        pieces = self.frame * np.fft.irfft(bar, self.frame) * self.window
        out = np.zeros(self.length)
        for i, piece in enumerate(pieces):
            out[i * self.hop : i * self.hop + self.frame] += piece
        return out


def whistle():
    return np.sin(np.arange(46) ** 1.3) + 0.3 * np.random.default_rng(82).standard_normal(46)


def prove_spectrogram():
    s, x = LogSpectrogram(), whistle()
    g = np.random.default_rng(83).standard_normal(s.forward(x).shape)
    return against(lambda: g * s.forward(x), (x, s.backward(g)), step=2e-4)


class PluckedString:
    """Karplus and Strong's string: a delay line, averaged at every turn."""

    def __init__(self, damping, samples):
        self.damping, self.samples = damping, samples
        self.damping_grad = None

    def forward(self, pluck):
        line, played = deque(pluck), []
        for _ in range(self.samples):
            first = line.popleft()
            played.append(first)
            line.append(self.damping[0] * 0.5 * (first + line[0]))
        self.played, self.period = np.array(played), len(pluck)
        return self.played.copy()

    def backward(self, grad):
        grad, N = grad.copy(), self.period
        self.damping_grad = np.zeros(1)
        half = 0.5 * self.damping[0]
        for m in range(self.samples - 1, N - 1, -1):
            self.damping_grad += 0.5 * grad[m] * (self.played[m - N] + self.played[m - N + 1])
            grad[m - N] += half * grad[m]
            grad[m - N + 1] += half * grad[m]
        return grad[:N]


def pluck():
    return PluckedString(np.array([0.96]), 30), np.random.default_rng(84).uniform(-1, 1, 7)


def prove_pluck():
    (string, x), g = pluck(), np.random.default_rng(85).standard_normal(30)
    string.forward(x)
    dx = string.backward(g)
    ddamping = string.damping_grad
    return against(lambda: g * string.forward(x), (x, dx), (string.damping, ddamping))


DB = 20 / np.log(10)


def comprimi(x, soglia, rapporto, ginocchio=6.0):
    """Compressore statico con ginocchio morbido; rende il segnale e chi ne riporta indietro il gradiente."""
    sopra = DB * np.log(np.abs(x)) - soglia
    zona = np.clip(sopra + ginocchio / 2, 0, ginocchio)
    curva = zona**2 / (2 * ginocchio) + np.maximum(sopra - ginocchio / 2, 0)
    guadagno = np.exp((1 / rapporto - 1) * curva / DB)

    def indietro(g):
        g_dB = g * x * guadagno / DB
        g_sopra = g_dB * (1 / rapporto - 1) * zona / ginocchio
        return {
            "x": g * guadagno + g_sopra * DB / x,
            "soglia": -g_sopra.sum(keepdims=True),
            "rapporto": -(g_dB * curva).sum(keepdims=True) / rapporto**2,
        }

    return x * guadagno, indietro


def tamburo():
    x = np.array([0.9, -0.5, 0.31, -0.22, 0.1, -0.05, 0.7, 0.26, -0.18, 0.02])
    return x, np.array([-12.0]), np.array([4.0])


def prove_comprimi():
    args, g = tamburo(), np.random.default_rng(86).standard_normal(10)
    made = comprimi(*args)[1](g)
    return against(lambda: g * comprimi(*args)[0], *zip(args, made.values()), step=2e-4)


class MasqueDePhase:
    """Intensité au foyer d'une lentille derrière un masque de phase."""

    def __init__(self, pupille):
        self.pupille = pupille

    def forward(self, phi):
        self.champ = self.pupille * np.exp(1j * phi)
        self.foyer = np.fft.fft2(self.champ, norm="ortho")
        return np.abs(self.foyer) ** 2

    def backward(self, dI):
        retour = np.fft.ifft2(2 * dI * self.foyer, norm="ortho")
        return np.imag(retour * np.conj(self.champ))


def pupille():
    y, x = np.mgrid[-1:1:6j, -1:1:6j]
    return MasqueDePhase(np.exp(-(x**2) - 0.5 * y**2)), np.random.default_rng(87).uniform(-2, 2, (6, 6))


def prove_masque():
    (m, phi), g = pupille(), np.random.default_rng(88).standard_normal((6, 6))
    m.forward(phi)
    return against(lambda: g * m.forward(phi), (phi, m.backward(g)))


class CosineBank:
    """Amplitudes of n/2 + 1 cosines -> n samples."""

    def __init__(self, n):
        self.n = n

    def forward(self, amp):
        return np.fft.irfft(amp, self.n)

    def backward(self, dy):
        times = np.full(self.n // 2 + 1, 2.0)
        return times * np.fft.rfft(dy).real / self.n


def organ():
    return CosineBank(16), np.array([0.5, 2.0, -1.0, 0.7, 0.0, 0.3, -0.2, 0.1, 0.4])


def prove_organ():
    (bank, amp), g = organ(), np.random.default_rng(89).standard_normal(16)
    bank.forward(amp)
    return against(lambda: g * bank.forward(amp), (amp, bank.backward(g)))


def preamp_forward(x, hum, gain):
    """x (mics, samples) with a common hum (samples,), and a gain for each microphone (mics, 1)."""
    dirty = x + hum
    return gain * dirty, (dirty, gain)


def preamp_backward(dout, cache):
    dirty, gain = cache
    dx = gain * dout
    dhum = dx.sum(axis=0)
    dgain = dout * dirty
    return dx, dhum, dgain


def mics():
    rng = np.random.default_rng(90)
    return rng.standard_normal((4, 6)), 0.5 * rng.standard_normal(6), rng.uniform(0.5, 2, (4, 1))


def prove_preamp():
    args, g = mics(), np.random.default_rng(91).standard_normal((4, 6))
    made = preamp_backward(g, preamp_forward(*args)[1])
    return against(lambda: g * preamp_forward(*args)[0], *zip(args, made))


class HeartbeatDenoiser:
    """0.5 |u - y|^2 + strength * smoothed total variation of u."""

    def __init__(self, y, strength=0.6, eps=0.05):
        self.y, self.strength, self.eps = y, strength, eps

    def cost(self, u):
        jump = np.diff(u)
        return 0.5 * np.sum((u - self.y) ** 2) + self.strength * np.sum(np.sqrt(jump**2 + self.eps**2))

    def cost_grad(self, u):
        jump = np.diff(u)
        bend = self.strength * jump / (np.abs(jump) + self.eps)
        g = u - self.y
        g[:-1] -= bend
        g[1:] += bend
        return g


def ecg():
    rng = np.random.default_rng(92)
    u = np.cumsum(0.15 * rng.standard_normal(16))
    return HeartbeatDenoiser(u + 0.2 * rng.standard_normal(16)), u


def check_ecg(gradlab, model, u):
    return gradlab.check_gradient(model.cost, model.cost_grad, u)


def prove_ecg():
    model, u = ecg()
    return against(lambda: model.cost(u), (u, model.cost_grad(u)))


class FractionalDelay:
    """Delays a periodic signal of odd length by any part of a sample."""

    def __init__(self, samples):
        self.samples = samples

    def _ramp(self, n):
        return np.exp(-2j * np.pi * np.fft.fftfreq(n) * self.samples)

    def forward(self, x):
        return np.fft.ifft(np.fft.fft(x) * self._ramp(len(x))).real

    def backward(self, g):
        return np.fft.ifft(np.fft.fft(g) * np.conj(self._ramp(len(g))))


class GainControl:
    """Block-wise automatic gain: divides by the level so far, then takes the block into the level."""

    def __init__(self, level=1.0, memory=0.8):
        self.level, self.memory = level, memory

    def forward(self, block):
        self.scale = 1 / np.sqrt(self.level)
        self.level = self.memory * self.level + (1 - self.memory) * np.mean(block**2)
        return self.scale * block

    def backward(self, g):
        return self.scale * g


ENTRIES = [
    Stranger(
        "biquad whose adjoint runs the filter backwards",
        "layer, grad_b and grad_a as attributes",
        lambda gradlab: gradlab.check_layer(*low_shelf()),
        prove_biquad,
    ),
    Stranger(
        "log spectrogram with overlapping frames",
        "layer",
        lambda gradlab: gradlab.check_layer(LogSpectrogram(), whistle()),
        prove_spectrogram,
    ),
    Stranger(
        "plucked string in a deque",
        "layer, parameter and gradient as attributes",
        lambda gradlab: gradlab.check_layer(*pluck()),
        prove_pluck,
    ),
    Stranger(
        "compressor with a soft knee",
        "function that returns a closure, gradients in a dict",
        lambda gradlab: gradlab.check_cached_pair(comprimi, lambda g, indietro: indietro(g), tamburo()),
        prove_comprimi,
    ),
    Stranger(
        "focal intensity behind a phase mask",
        "layer, complex inside",
        lambda gradlab: gradlab.check_layer(*pupille()),
        prove_masque,
    ),
    Stranger(
        "bank of cosines: first and last counted twice",
        "layer",
        lambda gradlab: gradlab.check_layer(*organ()),
        prove_organ,
        "wrong",
        "the constant and the Nyquist bin have no mirror image, yet they are doubled like the others",
        ("border",),
        ("amp",),
        "        times = np.full(self.n // 2 + 1, 2.0)",
        "        times = np.r_[1.0, np.full(self.n // 2 - 1, 2.0), 1.0]",
    ),
    Stranger(
        "microphone gains: not summed over the samples",
        "pair with cache, three gradients",
        lambda gradlab: gradlab.check_cached_pair(preamp_forward, preamp_backward, mics()),
        prove_preamp,
        "wrong",
        "the gain is broadcast over the samples, and its gradient is not summed over them",
        ("missing-broadcast-sum", "wrong-shape"),
        ("gain",),
        "    dgain = dout * dirty",
        "    dgain = (dout * dirty).sum(axis=1, keepdims=True)",
    ),
    Stranger(
        "total variation of a heartbeat: epsilon outside the root",
        "f and grad, methods of an object",
        lambda gradlab: check_ecg(gradlab, *ecg()),
        prove_ecg,
        "wrong",
        "the slope divides by |jump| + eps where the cost has the root of jump^2 + eps^2",
        ("epsilon-mismatch", "other-approximation"),
        ("u",),
        "        bend = self.strength * jump / (np.abs(jump) + self.eps)",
        "        bend = self.strength * jump / np.sqrt(jump**2 + self.eps**2)",
    ),
    Stranger(
        "fractional delay: a complex gradient",
        "layer",
        lambda gradlab: gradlab.check_layer(FractionalDelay(1.3), whistle()[:15]),
        lambda: [],
        "habit",
        "the gradient is complex, with an imaginary part of zero: .real was forgotten",
        ("wrong-dtype",),
        ("x",),
        "        return np.fft.ifft(np.fft.fft(g) * np.conj(self._ramp(len(g))))",
        "        return np.fft.ifft(np.fft.fft(g) * np.conj(self._ramp(len(g)))).real",
    ),
    Stranger(
        "gain control: the level goes on from call to call",
        "layer with state",
        lambda gradlab: gradlab.check_layer(GainControl(), whistle()),
        lambda: [],
        "habit",
        "the level is kept, so that the second call with the same block gives other numbers",
        ("nondeterministic",),
        ("block",),
        "        self.level = self.memory * self.level + (1 - self.memory) * np.mean(block**2)",
        "",
    ),
]
