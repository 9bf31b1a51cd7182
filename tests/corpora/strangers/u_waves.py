"""Waves: Maxwell, lenses, spectra, antennas, audio, scanners."""

import numpy as np

from ._entry import Stranger
from ._help_u import numeric_jac, prove_layer, prove_pair


class Yee1D:
    def __init__(self, n, src, rec, courant=0.5):
        self.n, self.src, self.rec, self.c = n, src, rec, courant

    def simulate(self, eps, pulse):
        E, H = np.zeros(self.n), np.zeros(self.n - 1)
        self.eps, self.curls = eps, []
        trace = np.empty(len(pulse))
        for t, p in enumerate(pulse):
            H = H + self.c * np.diff(E)
            curl = np.diff(H)
            self.curls.append(curl)
            E[1:-1] += self.c / eps[1:-1] * curl
            E[self.src] += p
            trace[t] = E[self.rec]
        return trace

    def adjoint(self, residual):
        lE, lH = np.zeros(self.n), np.zeros(self.n - 1)
        deps, dpulse = np.zeros(self.n), np.zeros(len(residual))
        inner = self.eps[1:-1]
        for t in reversed(range(len(residual))):
            lE[self.rec] += residual[t]
            dpulse[t] = lE[self.src]
            deps[1:-1] -= self.c * self.curls[t] / inner**2 * lE[1:-1]
            w = self.c / inner * lE[1:-1]
            lH[1:] += w
            lH[:-1] -= w
            lE[1:] += self.c * lH
            lE[:-1] -= self.c * lH
        return deps, dpulse


def _yee():
    g = np.random.default_rng(1)
    t = np.arange(24)
    return Yee1D(14, 3, 10), (g.uniform(1, 2.5, 14), np.exp(-(((t - 6) / 3) ** 2)))


# ---- a train of thin lenses: p = (d1, f1, d2, f2, ...) -> ABCD -----------------------------------


def _elements(p):
    for i, v in enumerate(p):
        if i % 2:
            yield np.array([[1, 0], [-1 / v, 1]]), np.array([[0, 0], [1 / v**2, 0]])
        else:
            yield np.array([[1, v], [0, 1.0]]), np.array([[0, 1], [0, 0.0]])


def abcd(p):
    M = np.eye(2)
    for m, _ in _elements(p):
        M = m @ M
    return M.ravel()


def abcd_jac(p):
    els = list(_elements(p))
    before = [np.eye(2)]
    for m, _ in els:
        before.append(m @ before[-1])
    after, cols = np.eye(2), []
    for (m, dm), pre in zip(els[::-1], before[-2::-1]):
        cols.append((after @ dm @ pre).ravel())
        after = after @ m
    return np.stack(cols[::-1], axis=1)


# ---- log spectrogram in the manner of torch.autograd.Function ------------------------------------


class LogSpectrogram:
    """apply(x, window): frames of len(window), hop 4."""

    hop, floor = 4, 1e-2

    @staticmethod
    def forward(ctx, x, window):
        n = len(window)
        idx = np.arange(0, len(x) - n + 1, LogSpectrogram.hop)[:, None] + np.arange(n)
        S = np.fft.rfft(x[idx] * window)
        power = np.abs(S) ** 2 + LogSpectrogram.floor
        ctx.saved_tensors = x, window, idx, S, power
        return np.log(power)

    @staticmethod
    def backward(ctx, grad_output):
        x, window, idx, S, power = ctx.saved_tensors
        n = len(window)
        frames = n * np.fft.ifft(2 * grad_output * S / power, n=n).real
        grad_x = np.zeros_like(x)
        np.add.at(grad_x, idx, frames * window)
        return grad_x, np.sum(frames * x[idx], axis=0)


def _clip():
    g = np.random.default_rng(3)
    return g.normal(size=26), np.hanning(12)[1:-1] + 0.1


class _Ctx:
    pass


def _prove_clip():
    x, win = _clip()

    def fwd(*a):
        ctx = _Ctx()
        return LogSpectrogram.forward(ctx, *a), ctx

    return prove_pair(fwd, lambda g, ctx: LogSpectrogram.backward(ctx, g), (x, win), step=2e-4)


# ---- hologram: intensity behind a phase plate, with its pullback ---------------------------------


def hologram(phase, amp, z=0.35):
    fy, fx = np.fft.fftfreq(phase.shape[0]), np.fft.fftfreq(phase.shape[1])
    prop = np.exp(-1j * np.pi * z * 20 * (fy[:, None] ** 2 + fx**2))
    ray = np.exp(1j * phase)
    U = np.fft.ifft2(np.fft.fft2(amp * ray) * prop)

    def pullback(dI):
        V = np.fft.ifft2(np.fft.fft2(2 * dI * U) * prop.conj())
        inner = V.conj() * ray
        return -amp * inner.imag, inner.real

    return np.abs(U) ** 2, pullback


def _plate():
    g = np.random.default_rng(4)
    return g.uniform(-1, 1, (6, 5)), g.uniform(0.5, 1, (6, 5))


# ---- speech: reflection coefficients to predictor coefficients -----------------------------------


class StepUp:
    """Levinson's step-up recursion for a batch of frames: k (B, p) -> a (B, p)."""

    def __call__(self, k):
        self.k, self.stages = k, []
        a = k[:, :0]
        for m in range(k.shape[1]):
            self.stages.append(a)
            km = k[:, m : m + 1]
            a = np.hstack((a + km * a[:, ::-1], km))
        return a

    def backward(self, da):
        dk = np.empty_like(self.k)
        for m in range(self.k.shape[1] - 1, -1, -1):
            a, head = self.stages[m], da[:, :m]
            dk[:, m] = da[:, m] + np.sum(head * a[:, ::-1], axis=1)
            da = head + self.k[:, m : m + 1] * head[:, ::-1]
        return dk


# ---- wrong ones ----------------------------------------------------------------------------------


def make_scanner(n, angles, bins):
    """Parallel beams through an n x n image, the nearest pixel along each ray."""
    s = np.linspace(-n / 3, n / 3, bins)
    r = np.arange(-n / 3, n / 3, 0.5)
    c, sn = np.cos(angles)[:, None, None], np.sin(angles)[:, None, None]
    col = np.rint((n - 1) / 2 + s[:, None] * c - r * sn).astype(int)
    row = np.rint((n - 1) / 2 + s[:, None] * sn + r * c).astype(int)
    pix = np.clip(row, 0, n - 1) * n + np.clip(col, 0, n - 1)

    def project(img):
        return 0.5 * img.ravel()[pix].sum(axis=-1), img.shape

    def backproject(sino, shape):
        out = np.zeros(shape[0] * shape[1])
        out[pix] += 0.5 * sino[..., None]
        return out.reshape(shape)

    return project, backproject


def _scan():
    return make_scanner(8, np.linspace(0.1, 3.0, 6), 7), np.random.default_rng(6).uniform(size=(8, 8))


class Biquad:
    """y[n] = b0 x[n] + b1 x[n-1] + b2 x[n-2] - a1 y[n-1] - a2 y[n-2]"""

    def __init__(self, b, a):
        self.params = {"b": np.array(b), "a": np.array(a)}
        self.grads = {}

    def forward(self, x):
        (b0, b1, b2), (a1, a2) = self.params["b"], self.params["a"]
        y = np.zeros(len(x))
        for n in range(len(x)):
            y[n] = b0 * x[n]
            if n > 0:
                y[n] += b1 * x[n - 1] - a1 * y[n - 1]
            if n > 1:
                y[n] += b2 * x[n - 2] - a2 * y[n - 2]
        self.x, self.y = x, y
        return y.copy()

    def backward(self, dy):
        (b0, b1, b2), (a1, a2) = self.params["b"], self.params["a"]
        N = len(dy)
        e = np.zeros(N + 2)
        for n in range(N - 1, -1, -1):
            e[n] = dy[n] - a1 * e[n + 1] - a2 * e[n + 2]
        lag = lambda s, k: np.dot(e[k:N], s[: N - k])
        self.grads["b"] = np.array([lag(self.x, k) for k in (0, 1, 2)])
        self.grads["a"] = -np.array([lag(self.x, k) for k in (1, 2)])
        return b0 * e[:N] + b1 * e[1 : N + 1] + b2 * e[2:]


def _biquad():
    return Biquad([0.3, 0.5, 0.2], [-0.6, 0.25]), np.random.default_rng(7).normal(size=20)


class MultiTap:
    """Echoes: y[n] = x[n] + sum_j gain[j] x[n - delay[j]]"""

    def __init__(self, delays, gain):
        self.delays = delays
        self.gain = gain
        self.dgain = np.zeros_like(gain)

    def forward(self, x):
        self.x = x
        y = x.copy()
        for d, g in zip(self.delays, self.gain):
            y[d:] += g * x[:-d]
        return y

    def backward(self, dy):
        dx = dy.copy()
        for j, d in enumerate(self.delays):
            self.dgain[j] = np.dot(dy[d:], self.x[:-d])
            dx[: -d - 1] += self.gain[j] * dy[d + 1 :]
        return dx


def _taps():
    return MultiTap((2, 5, 9), np.array([0.9, -0.6, 0.4])), np.random.default_rng(8).normal(size=24)


def array_pattern(spacing, looks):
    """Radiated power of a linear array towards the angles `looks`."""

    def pattern(amp, phase):
        A = np.exp(2j * np.pi * spacing * np.outer(np.sin(looks), np.arange(len(amp))))
        w = amp * np.exp(1j * phase)
        field = A @ w
        return np.abs(field) ** 2, (A, w, amp, field)

    def pattern_vjp(dP, saved):
        A, w, amp, field = saved
        back = A.conj().T @ (dP * field)
        return (back.conj() * w).real / amp, -(back.conj() * w).imag

    return pattern, pattern_vjp


def _antenna():
    g = np.random.default_rng(9)
    return array_pattern(0.5, np.linspace(-1, 1, 9)), (g.uniform(0.5, 1, 6), g.normal(size=6))


class TubeDrive:
    """Guitar distortion: the usual rational stand-in for tanh, with a bias and a drive for each channel."""

    def __init__(self, drive, bias):
        self.drive, self.bias = drive, bias

    def forward(self, x):
        self.x = x
        u = self.u = self.drive * x + self.bias
        self.y = u * (27 + u * u) / (27 + 9 * u * u)
        return self.y

    def backward(self, dy):
        du = dy * (1 - self.y**2)
        self.d_drive = (du * self.x).sum(axis=0)
        self.d_bias = du.sum(axis=0)
        return du * self.drive


def _tube():
    g = np.random.default_rng(10)
    return TubeDrive(np.array([1.5, 2.5]), np.array([0.2, -0.1])), g.normal(size=(10, 2))


# ---- a habit -------------------------------------------------------------------------------------


class Limiter:
    """Gain 1 / (1 + envelope); the envelope goes on from block to block, as it does in the plugin."""

    def __init__(self, release=0.7):
        self.a = release
        self.env = 0.0

    def forward(self, x):
        self.x, self.envs = x, np.empty(len(x))
        for n, v in enumerate(x):
            self.env = self.a * self.env + (1 - self.a) * v * v
            self.envs[n] = self.env
        return x / (1 + self.envs)

    def backward(self, dy):
        dx = dy / (1 + self.envs)
        acc = 0.0
        for n in range(len(dy) - 1, -1, -1):
            acc = self.a * acc - dy[n] * self.x[n] / (1 + self.envs[n]) ** 2
            dx[n] += 2 * (1 - self.a) * self.x[n] * acc
        return dx


def _p_layer(made, params=(), grads=(), fwd="forward", bwd="backward"):
    o, x = made
    xs = x if isinstance(x, tuple) else (x,)
    get = lambda o, k: o[k] if isinstance(o, dict) else getattr(o, k)
    po, go = getattr(o, "params", o), getattr(o, "grads", o)
    return prove_layer(
        getattr(o, fwd),
        getattr(o, bwd),
        xs,
        [get(po, k) for k in params],
        lambda: [get(go, k) for k in grads],
    )


ENTRIES = [
    Stranger(
        "u: Yee grid in one dimension, permittivities and pulse",
        "object with simulate and adjoint",
        lambda gradlab: (lambda o, x: gradlab.check_layer(o, *x))(*_yee()),
        lambda: _p_layer(_yee(), fwd="simulate", bwd="adjoint"),
    ),
    Stranger(
        "u: ABCD matrix of a train of lenses",
        "f and Jacobian",
        lambda gradlab: gradlab.check_jacobian(abcd, abcd_jac, np.array([0.3, 1.2, 0.8, -0.9, 0.5, 0.7])),
        lambda: (lambda p: [(abcd_jac(p), numeric_jac(abcd, p, step=2e-4))])(
            np.array([0.3, 1.2, 0.8, -0.9, 0.5, 0.7])
        ),
    ),
    Stranger(
        "u: log spectrogram with ctx",
        "class of static methods with ctx",
        lambda gradlab: gradlab.check_layer(LogSpectrogram, *_clip()),
        _prove_clip,
    ),
    Stranger(
        "u: hologram's intensity with a pullback",
        "function that returns its vjp closure",
        lambda gradlab: gradlab.check_cached_pair(hologram, lambda g, pullback: pullback(g), _plate()),
        lambda: prove_pair(hologram, lambda g, pullback: pullback(g), _plate()),
    ),
    Stranger(
        "u: Levinson's step-up recursion",
        "callable with backward",
        lambda gradlab: gradlab.check_layer(StepUp(), np.random.default_rng(5).uniform(-0.8, 0.8, (4, 5))),
        lambda: prove_layer(
            StepUp.__call__.__get__(s := StepUp()),
            s.backward,
            (np.random.default_rng(5).uniform(-0.8, 0.8, (4, 5)),),
        ),
    ),
    Stranger(
        "u: scanner of parallel beams: lost repeats in the back projection",
        "pair made by a function",
        lambda gradlab: (lambda ops, img: gradlab.check_cached_pair(*ops, (img,)))(*_scan()),
        lambda: (lambda ops, img: prove_pair(*ops, (img,)))(*_scan()),
        truth="wrong",
        mistake="+= with an index array counts a pixel that several rays cross only once",
        names=("last-write-wins",),
        of=("img",),
        line="        out[pix] += 0.5 * sino[..., None]",
        mended="        np.add.at(out, pix, 0.5 * sino[..., None])",
    ),
    Stranger(
        "u: biquad filter: feedback coefficients from the input",
        "layer with dicts params and grads",
        lambda gradlab: (lambda o, x: gradlab.check_layer(o, x))(*_biquad()),
        lambda: _p_layer(_biquad(), ("b", "a"), ("b", "a")),
        truth="wrong",
        mistake="the gradient of the feedback coefficients takes x where it should take y",
        names=("wrong-operand",),
        of=("a",),
        line='        self.grads["a"] = -np.array([lag(self.x, k) for k in (1, 2)])',
        mended='        self.grads["a"] = -np.array([lag(self.y, k) for k in (1, 2)])',
    ),
    Stranger(
        "u: echo with several taps: one sample late",
        "layer with attributes gain and dgain",
        lambda gradlab: (lambda o, x: gradlab.check_layer(o, x))(*_taps()),
        lambda: _p_layer(_taps(), ("gain",), ("dgain",)),
        truth="wrong",
        mistake="the echoes' cotangent is taken one sample too late",
        names=("shifted", "wrong-cotangent"),
        of=("x",),
        line="            dx[: -d - 1] += self.gain[j] * dy[d + 1 :]",
        mended="            dx[:-d] += self.gain[j] * dy[d:]",
    ),
    Stranger(
        "u: power pattern of an antenna array: without the 2 of the square",
        "pair made by a function, complex inside",
        lambda gradlab: (lambda ops, x: gradlab.check_cached_pair(*ops, x))(*_antenna()),
        lambda: (lambda ops, x: prove_pair(*ops, x))(*_antenna()),
        truth="wrong",
        mistake="the factor 2 of the squared modulus is missing",
        names=("constant-factor",),
        of=("amp", "phase"),
        line="        back = A.conj().T @ (dP * field)",
        mended="        back = 2 * A.conj().T @ (dP * field)",
    ),
    Stranger(
        "u: guitar distortion: slope of the true tanh",
        "layer with attributes drive and d_drive",
        lambda gradlab: (lambda o, x: gradlab.check_layer(o, x))(*_tube()),
        lambda: _p_layer(_tube(), ("drive", "bias"), ("d_drive", "d_bias")),
        truth="wrong",
        mistake="the slope is tanh's, 1 - y^2, and not that of the rational function",
        names=("other-approximation",),
        of=("x", "drive", "bias"),
        line="        du = dy * (1 - self.y**2)",
        mended="        du = dy * (9 - self.u**2) ** 2 / (9 * (3 + self.u**2) ** 2)",
    ),
    Stranger(
        "u: limiter whose envelope goes on: state kept between calls",
        "layer with state",
        lambda gradlab: gradlab.check_layer(Limiter(), np.random.default_rng(11).normal(size=16)),
        lambda: [],
        truth="habit",
        mistake="the envelope of the previous call is where the next one begins",
        names=("nondeterministic", "stale-residuals"),
        of=("x",),
    ),
]
