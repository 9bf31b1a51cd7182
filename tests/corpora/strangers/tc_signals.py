"""Filters, sound, spectra, the climate, a star field."""

import numpy as np
from scipy.signal import lfilter

from ._entry import Stranger
from ._help_tc import diff, layer, pairs


class Biquad:
    """Direct-form biquad over the last axis; gradients run the filter backwards in time."""

    def __init__(self, b, a):
        self.b = np.array(b)
        self.a = np.array(a)  # a1, a2 (a0 is 1)
        self.grad_b, self.grad_a = np.zeros(3), np.zeros(2)

    def forward(self, x):
        self.x = x
        self.y = lfilter(self.b, np.r_[1.0, self.a], x)
        return self.y

    def backward(self, grad_y):
        den = np.r_[1.0, self.a]
        w = lfilter([1.0], den, grad_y[..., ::-1])[..., ::-1]
        N = w.shape[-1]
        for k in range(3):
            self.grad_b[k] = np.sum(w[..., k:] * self.x[..., : N - k])
        for k in (1, 2):
            self.grad_a[k - 1] = -np.sum(w[..., k:] * self.y[..., : N - k])
        return lfilter(self.b, [1.0], w[..., ::-1])[..., ::-1]


class SpectralMatch:
    """Mean squared difference of log spectrograms, for fitting a waveform."""

    def __init__(self, reference, win=16, hop=8, floor=1e-3):
        self.win, self.hop, self.floor = win, hop, floor
        self.taper = np.hanning(win + 1)[:-1]
        self.ref = np.log(np.abs(self._stft(reference)) ** 2 + floor)

    def _starts(self, n):
        return range(0, n - self.win + 1, self.hop)

    def _stft(self, wave):
        return np.stack([np.fft.rfft(self.taper * wave[s : s + self.win]) for s in self._starts(len(wave))])

    def loss(self, wave):
        return np.mean((np.log(np.abs(self._stft(wave)) ** 2 + self.floor) - self.ref) ** 2)

    def grad(self, wave):
        S = self._stft(wave)
        P = np.abs(S) ** 2 + self.floor
        dP = 2 * (np.log(P) - self.ref) / P / P.size
        dS = np.zeros((len(S), self.win), complex)
        dS[:, : S.shape[1]] = 2 * dP * S
        frames = self.win * np.fft.ifft(dS, axis=1).real * self.taper
        out = np.zeros_like(wave)
        for s, fr in zip(self._starts(len(wave)), frames):
            out[s : s + self.win] += fr
        return out


def additive_voice(f0, amps, sr=200.0):
    """Harmonics on a gliding pitch. f0 (n,), amps (n, K)."""
    harm = np.arange(1, amps.shape[1] + 1)
    phase = 2 * np.pi / sr * np.cumsum(f0)[:, None] * harm
    y = np.sum(amps * np.sin(phase), axis=1)

    def pull(y_bar):
        phase_bar = y_bar[:, None] * amps * np.cos(phase)
        inc = phase_bar @ harm
        return 2 * np.pi / sr * np.cumsum(inc[::-1])[::-1], y_bar[:, None] * np.sin(phase)

    return y, pull


class LogMel:
    def __init__(self, n_bins=20, n_mels=5, eps=1e-2):
        centers = np.linspace(0, n_bins - 1, n_mels + 2)
        k = np.arange(n_bins)[:, None]
        up = (k - centers[:-2]) / (centers[1:-1] - centers[:-2])
        down = (centers[2:] - k) / (centers[2:] - centers[1:-1])
        self.fb = np.maximum(0, np.minimum(up, down))
        self.eps = eps

    def forward(self, power):
        self.mel = power @ self.fb
        return np.log(self.mel + self.eps)

    def backward(self, dout):
        return (dout / (self.mel + 1e-8)) @ self.fb.T


# --- a pedal board: each pedal has p (its knob) and dp -------------------------------------------------


class Drive:
    def __init__(self, amount):
        self.p, self.dp = np.array([amount]), np.zeros(1)

    def run(self, x):
        self.x, self.y = x, np.tanh(self.p[0] * x)
        return self.y

    def back(self, g):
        g = g * (1 - self.y**2)
        self.dp[0] = g @ self.x
        return g * self.p[0]


class Echo:
    def __init__(self, feedback, delay):
        self.p, self.dp, self.delay = np.array([feedback]), np.zeros(1), delay

    def run(self, x):
        y = x.copy()
        for n in range(self.delay, len(x)):
            y[n] += self.p[0] * y[n - self.delay]
        self.y = y
        return y

    def back(self, g):
        g = g.copy()
        for n in range(len(g) - 1, self.delay - 1, -1):
            g[n - self.delay] += self.p[0] * g[n]
        self.dp[0] = g[self.delay :] @ self.y[: len(g) - self.delay]
        return g


class Volume:
    def __init__(self, db):
        self.p, self.dp = np.array([db]), np.zeros(1)

    def run(self, x):
        self.y = x * 10 ** (self.p[0] / 20)
        return self.y

    def back(self, g):
        self.dp[0] = g @ self.y * np.log(10) / 20
        return g * 10 ** (self.p[0] / 20)


class PedalBoard:
    def __init__(self):
        self.pedals = [Drive(1.7), Echo(0.45, 3), Volume(-4.0)]
        self.params = [pedal.p for pedal in self.pedals]
        self.grads = [pedal.dp for pedal in self.pedals]

    def forward(self, x):
        for pedal in self.pedals:
            x = pedal.run(x)
        return x

    def backward(self, dout):
        for pedal in reversed(self.pedals):
            dout = pedal.back(dout)
        return dout


class Smoother:
    """One-pole low pass for a stream of blocks: y[n] = y[n-1] + k (x[n] - y[n-1])."""

    def __init__(self, k=0.3):
        self.k, self.last = k, 0.0

    def forward(self, block):
        y = np.empty_like(block)
        for n, v in enumerate(block):
            self.last += self.k * (v - self.last)
            y[n] = self.last
        return y

    def backward(self, g):
        out, carry = np.empty_like(g), 0.0
        for n in range(len(g) - 1, -1, -1):
            carry += g[n]
            out[n] = self.k * carry
            carry *= 1 - self.k
        return out


# --- climate ---------------------------------------------------------------------------------------------


class ZonalBalance:
    """Energy balance over latitude belts at equilibrium:
    S (1 - albedo(T)) - (A + B T) + C (<T> - T) = 0, T in deg C. Inputs: insolation S, and A, B, C."""

    def __init__(self, area):
        self.area = area / area.sum()

    def albedo(self, T):
        return 0.45 - 0.1 * np.tanh((T + 8) / 25)

    def slope(self, T):
        return -0.004 * (1 - np.tanh((T + 8) / 25) ** 2)

    def jac(self, T, S, B, C):
        n = len(T)
        return np.diag(-S * self.slope(T) - B - C) + C * np.outer(np.ones(n), self.area)

    def forward(self, S, abc):
        A, B, C = abc
        T = np.zeros_like(S)
        for _ in range(40):
            F = S * (1 - self.albedo(T)) - A - B * T + C * (self.area @ T - T)
            T = T - np.linalg.solve(self.jac(T, S, B, C), F)
        self.saved = S, abc, T
        return T

    def adjoint(self, T_bar):
        S, (_, B, C), T = self.saved
        lam = -np.linalg.solve(self.jac(T, S, B, C).T, T_bar)
        abc_bar = np.array([-lam.sum(), -lam @ T, lam @ (self.area @ T - T)])
        return lam * (1 - self.albedo(T)), abc_bar


class LongwaveOut:
    """Outgoing radiation by month and latitude, (12, n); the emissivity (1, n) is the same all year."""

    SB = 5.67e-8

    def __init__(self, emissivity):
        self.emissivity = emissivity
        self.d_emissivity = None

    def forward(self, T):
        self.T = T
        return self.emissivity * self.SB * T**4

    def backward(self, dout):
        self.d_emissivity = dout * self.SB * self.T**4
        return 4 * dout * self.emissivity * self.SB * self.T**3


class SoilColumnMap:
    """One explicit step of lateral heat flow on a map with insulated edges; conductance differs by cell."""

    def __init__(self, kappa):
        self.kappa = kappa

    @staticmethod
    def _laplace(P):
        return P[:-2, 1:-1] + P[2:, 1:-1] + P[1:-1, :-2] + P[1:-1, 2:] - 4 * P[1:-1, 1:-1]

    def forward(self, T):
        self.lapT = self._laplace(np.pad(T, 1, mode="edge"))
        return T + self.kappa * self.lapT

    def backward(self, g):
        self.dkappa = g * self.lapT
        return g + self._laplace(np.pad(g * self.kappa, 1))


def star_chi2(theta, image, sigma, width=1.1):
    """theta = (x, y, flux) of each star, then the sky level. Returns chi^2 / 2 and its gradient."""
    stars, sky = theta[:-1].reshape(-1, 3), theta[-1]
    rows, cols = np.indices(image.shape)
    model = np.full(image.shape, sky)
    shapes = []
    for x, y, flux in stars:
        psf = np.exp(-((cols - x) ** 2 + (rows - y) ** 2) / (2 * width**2)) / (2 * np.pi * width**2)
        shapes.append(psf)
        model += flux * psf
    res = (model - image) / sigma
    back = res / sigma
    grad = []
    for (x, y, flux), psf in zip(stars, shapes):
        h = back * psf
        grad += [flux * np.sum(h * (cols - x)) / width**2, flux * np.sum(h * (rows - y)) / width**2, h.sum()]
    return 0.5 * np.sum(res**2), np.array([*grad, back.sum()])


def _rng(k):
    return np.random.default_rng(4100 + k)


def _biquad():
    return Biquad([0.3, 0.5, -0.2], [-0.8, 0.35]), _rng(1).standard_normal((2, 12))


def _match():
    r = _rng(2)
    return SpectralMatch(r.standard_normal(48)), r.standard_normal(48)


def _voice():
    r = _rng(3)
    return np.linspace(8.0, 14.0, 24), r.uniform(0.1, 0.6, (24, 3))


def _mel():
    return LogMel(), _rng(4).exponential(0.05, (6, 20))


def _board():
    return PedalBoard(), _rng(5).standard_normal(16)


def _zones():
    lat = np.linspace(-80, 80, 9) * np.pi / 180
    return ZonalBalance(np.cos(lat)), 330 * np.cos(lat) ** 0.8 + 120, np.array([203.0, 2.1, 3.8])


def _olr():
    r = _rng(6)
    return LongwaveOut(r.uniform(0.5, 0.7, (1, 7))), r.uniform(230, 305, (12, 7))


def _soil():
    r = _rng(7)
    return SoilColumnMap(r.uniform(0.05, 0.2, (5, 6))), r.standard_normal((5, 6))


def _stars():
    r = _rng(8)
    theta = np.array([2.2, 3.1, 30.0, 6.4, 5.7, 18.0, 1.5])
    return theta, (r.poisson(4, (9, 9)).astype(float), np.sqrt(r.uniform(2, 5, (9, 9))))


def _p(make, params=(), **kw):
    def prove():
        o, *ins = make()
        return layer(
            o, ins, [getattr(o, n) for n, _ in params], lambda o: [getattr(o, d) for _, d in params], **kw
        )

    return prove


def _p_match():
    o, w = _match()
    return [(o.grad(w), diff(lambda: o.loss(w), w, 2e-4))]


def _p_voice():
    a = _voice()
    return pairs(lambda: additive_voice(*a)[0], lambda g: additive_voice(*a)[1](g), a)


def _p_board():
    o, x = _board()
    return layer(o, [x], o.params, lambda o: o.grads)


def _p_stars():
    theta, args = _stars()
    return [(star_chi2(theta, *args)[1], diff(lambda: star_chi2(theta, *args)[0], theta))]


def _call_match(gradlab):
    o, w = _match()
    return gradlab.check_gradient(o.loss, o.grad, w)


def _call_stars(gradlab):
    theta, args = _stars()
    return gradlab.check_gradient(star_chi2, True, theta, args=args)


ENTRIES = [
    Stranger(
        "tc biquad filter run backwards in time",
        "layer, attributes grad_*",
        lambda gradlab: gradlab.check_layer(*_biquad()),
        _p(_biquad, [("b", "grad_b"), ("a", "grad_a")]),
    ),
    Stranger("tc log spectrogram match of a waveform", "object with loss and grad", _call_match, _p_match),
    Stranger(
        "tc additive voice on a gliding pitch",
        "function that returns its vjp closure",
        lambda gradlab: gradlab.check_cached_pair(additive_voice, lambda g, pull: pull(g), _voice()),
        _p_voice,
    ),
    Stranger(
        "tc log mel bands: a smaller epsilon in backward",
        "layer",
        lambda gradlab: gradlab.check_layer(*_mel()),
        _p(_mel),
        "wrong",
        "backward divides by mel + 1e-8, forward takes the logarithm of mel + eps",
        ("epsilon-mismatch",),
        ("power",),
        "        return (dout / (self.mel + 1e-8)) @ self.fb.T\n",
        "        return (dout / (self.mel + self.eps)) @ self.fb.T\n",
    ),
    Stranger(
        "tc pedal board of drive, echo and volume",
        "net of modules, params and grads lists",
        lambda gradlab: gradlab.check_layer(*_board()),
        _p_board,
    ),
    Stranger(
        "tc stream smoother: keeps its last value from block to block",
        "layer",
        lambda gradlab: gradlab.check_layer(Smoother(), _rng(9).standard_normal(10)),
        lambda: [],
        "habit",
        "forward starts from the last value of the block before: a second call differs",
        ("nondeterministic",),
        ("block",),
    ),
    Stranger(
        "tc zonal energy balance at equilibrium",
        "forward and adjoint, implicit",
        lambda gradlab: gradlab.check_layer(*_zones()),
        _p(_zones, bwd="adjoint"),
    ),
    Stranger(
        "tc outgoing longwave: the emissivity's gradient not summed over the months",
        "layer, attribute d_emissivity",
        lambda gradlab: gradlab.check_layer(*_olr()),
        _p(_olr, [("emissivity", "d_emissivity")]),
        "wrong",
        "the sum over the twelve months is missing",
        ("missing-broadcast-sum", "wrong-shape"),
        ("emissivity",),
        "        self.d_emissivity = dout * self.SB * self.T**4\n",
        "        self.d_emissivity = np.sum(dout * self.SB * self.T**4, axis=0, keepdims=True)\n",
    ),
    Stranger(
        "tc insulated soil map: backward pads with zeros",
        "layer, attribute dkappa",
        lambda gradlab: gradlab.check_layer(*_soil()),
        _p(_soil, [("kappa", "dkappa")]),
        "wrong",
        "backward pads with zeros where the insulated edge repeats the edge's value",
        ("border",),
        ("T",),
        "        return g + self._laplace(np.pad(g * self.kappa, 1))\n",
        '        return g + self._laplace(np.pad(g * self.kappa, 1, mode="edge"))\n',
    ),
    Stranger(
        "tc star field photometry", "function that returns value and gradient, args", _call_stars, _p_stars
    ),
]
