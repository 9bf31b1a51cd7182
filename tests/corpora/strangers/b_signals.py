"""Filters, spectra, and small dynamic programmes."""

import numpy as np

from ._entry import Stranger
from .b_diff import cotangents, pair_proof, slope, slopes, weighed
from .b_physics import check_made, layer_proof

# ---------------- a gain for each frequency


class SpectralGate:
    def __init__(self, gain):
        self.gain = gain
        self.gain_grad = np.zeros_like(gain)

    def forward(self, x):
        self.n = x.shape[-1]
        self.X = np.fft.rfft(x)
        return np.fft.irfft(self.X * self.gain, self.n)

    def backward(self, dy):
        G = np.fft.rfft(dy)
        twice = np.full(self.X.shape[-1], 2.0)
        twice[0] = 1.0
        if self.n % 2 == 0:
            twice[-1] = 1.0
        self.gain_grad = twice / self.n * (G.conj() * self.X).real.sum(axis=0)
        return np.fft.irfft(G * self.gain, self.n)  # real gains: the layer is its own adjoint


def spectral_gate():
    rng = np.random.default_rng(601)
    return SpectralGate(rng.standard_normal(5)), rng.standard_normal((3, 8))


# ---------------- weighted power

WEIGHTS = np.array([0.5, 2.0, 1.0, 0.2, 1.5, 0.7])


def band_power(x):
    X = np.fft.rfft(x)
    return float(np.sum(WEIGHTS * np.abs(X) ** 2))


def band_power_grad(x):
    n = len(x)
    return 2 * n * np.fft.irfft(WEIGHTS * np.fft.rfft(x), n)


def power_points():
    return np.random.default_rng(602).standard_normal(10)


# ---------------- leaky integrator


class LeakyIntegrator:
    """y[t] = a y[t-1] + b x[t], with a and b for each channel, time on axis 1."""

    def __init__(self, decay, drive):
        self.params = [decay, drive]
        self.grads = [None, None]

    def forward(self, x):
        a, b = self.params
        y = np.zeros((x.shape[0], x.shape[1] + 1, x.shape[2]))
        for t in range(x.shape[1]):
            y[:, t + 1] = a * y[:, t] + b * x[:, t]
        self.x, self.y = x, y
        return y[:, 1:].copy()

    def backward(self, gy):
        a, b = self.params
        s = np.zeros_like(gy)
        carry = 0.0
        for t in range(gy.shape[1] - 1, -1, -1):
            carry = gy[:, t] + a * carry
            s[:, t] = carry
        self.grads[0] = (s * self.y[:, :-1]).sum(axis=(0, 1))
        self.grads[1] = (s * self.x).sum(axis=(0, 1))
        return s * b


def leaky():
    rng = np.random.default_rng(603)
    return LeakyIntegrator(rng.random(2) * 0.8, rng.standard_normal(2)), rng.standard_normal((3, 5, 2))


def prove_leaky():
    layer, x = leaky()
    return layer_proof(layer, x, [(layer.params[i], lambda i=i: layer.grads[i]) for i in range(2)])


# ---------------- a filter with one pole and one zero


def filter_forward(x, b, a1):
    """y[t] = b[0] x[t] + b[1] x[t-1] - a1[0] y[t-1]."""
    y = np.zeros_like(x)
    for t in range(len(x)):
        y[t] = b[0] * x[t]
        if t > 0:
            y[t] += b[1] * x[t - 1] - a1[0] * y[t - 1]
    return y, (x, y, b, a1)


def filter_backward(gy, cache):
    x, y, b, a1 = cache
    T = len(x)
    s = np.zeros(T + 1)
    for t in reversed(range(T)):
        s[t] = gy[t] - a1[0] * s[t + 1]
    dx = b[0] * s[:-1] + b[1] * s[1:]
    db = np.array([s[:-1] @ x, s[1:-1] @ x[:-1]])
    da1 = np.array([-(s[:-1] @ y)])
    return dx, db, da1


def filter_points():
    rng = np.random.default_rng(604)
    return rng.standard_normal(9), np.array([0.8, -0.5]), np.array([0.6])


# ---------------- shrinkage of cosine coefficients


class DctShrink:
    """y = C' soft(C x, threshold), C the orthonormal cosine transform."""

    def __init__(self, threshold):
        n = len(threshold)
        k, j = np.meshgrid(np.arange(n), np.arange(n), indexing="ij")
        self.C = np.sqrt(2 / n) * np.cos(np.pi * k * (2 * j + 1) / (2 * n))
        self.C[0] /= np.sqrt(2)
        self.C.setflags(write=False)
        self.threshold = threshold

    def forward(self, x):
        c = x @ self.C.T
        self.sign = np.sign(c) * (np.abs(c) > self.threshold)
        return (c - self.sign * self.threshold) * np.abs(self.sign) @ self.C

    def backward(self, dy):
        d = dy @ self.C.T
        self.dthreshold = -(d * self.sign).sum(axis=0)
        return (d * np.abs(self.sign)) @ self.C


def dct_shrink():
    rng = np.random.default_rng(605)
    return DctShrink(rng.random(6) * 0.4 + 0.1), rng.standard_normal((4, 6))


def prove_dct():
    layer, x = dct_shrink()
    return layer_proof(layer, x, [(layer.threshold, lambda: layer.dthreshold)])


# ---------------- Haar, two outputs in a dict


def haar_forward(x):
    r = np.sqrt(0.5)
    even, odd = x[..., ::2], x[..., 1::2]
    return {"low": r * (even + odd), "high": r * (even - odd)}, x.shape


def haar_backward(grads, shape):
    dx = np.zeros(shape)
    r = np.sqrt(0.5)
    dx[..., ::2] = r * (grads["low"] + grads["high"])
    dx[..., 1::2] = r * (grads["low"] - grads["high"])
    return dx


def haar_points():
    return (np.random.default_rng(606).standard_normal((3, 8)),)


def haar_proof():
    (x,) = haar_points()
    out, cache = haar_forward(x)
    gs = dict(zip(out, cotangents(out.values()), strict=True))
    true = slopes(lambda v: weighed(haar_forward(v)[0].values(), gs.values()), (x,))
    return [(haar_backward(gs, cache), true[0])]


# ---------------- hidden Markov model


class HMM:
    """forward(log_emission) is the log likelihood of a sequence; the transition logits are a parameter."""

    def __init__(self, transition_logits):
        self.params = {"transition_logits": transition_logits}
        self.grads = {}

    def forward(self, log_emission):
        logits = self.params["transition_logits"]
        A = np.exp(logits - logits.max(axis=1, keepdims=True))
        A /= A.sum(axis=1, keepdims=True)
        T, S = log_emission.shape
        peak = log_emission.max(axis=1, keepdims=True)
        B = np.exp(log_emission - peak)
        alpha, scale = np.zeros((T, S)), np.zeros(T)
        a = np.full(S, 1.0 / S)
        for t in range(T):
            a = (a if t == 0 else a @ A) * B[t]
            scale[t] = a.sum()
            a = a / scale[t]
            alpha[t] = a
        self._kept = A, B, alpha, scale
        return np.log(scale).sum() + peak.sum()

    def backward(self, dout=1.0):
        A, B, alpha, scale = self._kept
        T, S = B.shape
        beta = np.ones(S)
        posterior = np.zeros((T, S))
        pairs = np.zeros((S, S))
        for t in range(T - 1, -1, -1):
            posterior[t] = alpha[t] * beta
            if t > 0:
                message = B[t] * beta / scale[t]
                pairs += alpha[t - 1][:, None] * A * message
                beta = A @ message
        self.grads["transition_logits"] = dout * (pairs - A * pairs.sum(axis=1, keepdims=True))
        return dout * posterior


def hmm():
    rng = np.random.default_rng(607)
    return HMM(rng.standard_normal((3, 3))), rng.standard_normal((5, 3))


def prove_scalar(make, params, rest=()):
    layer, x = make()
    layer.forward(x, *rest)
    dx = np.array(layer.backward())
    out = [(dx, slope(lambda v: layer.forward(v, *rest), x))]
    layer.forward(x, *rest)
    layer.backward()
    for get_value, get_grad in params:
        p, claimed = get_value(layer), np.array(get_grad(layer))
        keep = p.copy()

        def moved(v, p=p, keep=keep):
            p[...] = v
            value = layer.forward(x, *rest)
            p[...] = keep
            return value

        out.append((claimed, slope(moved, keep)))
    return out


# ---------------- chain of labels

TAGS = np.array([2, 0, 0, 3, 1])


class LinearChainCRF:
    def __init__(self, trans):
        self.trans = trans
        self.d_trans = None

    def forward(self, unary, tags):
        T, K = unary.shape
        la = np.zeros((T, K))
        la[0] = unary[0]
        for t in range(1, T):
            la[t] = unary[t] + np.logaddexp.reduce(la[t - 1][:, None] + self.trans, axis=0)
        self.logZ = np.logaddexp.reduce(la[-1])
        gold = unary[np.arange(T), tags].sum() + self.trans[tags[:-1], tags[1:]].sum()
        self.unary, self.tags, self.la = unary, tags, la
        return self.logZ - gold

    def backward(self):
        T, K = self.unary.shape
        lb = np.zeros((T, K))
        for t in range(T - 2, -1, -1):
            lb[t] = np.logaddexp.reduce(self.trans + self.unary[t + 1] + lb[t + 1], axis=1)
        d_unary = np.exp(self.la + lb - self.logZ)
        self.d_trans = np.zeros_like(self.trans)
        for t in range(1, T):
            inner = self.la[t - 1][:, None] + self.trans + self.unary[t] + lb[t]
            self.d_trans += np.exp(inner - self.logZ)
            self.d_trans[self.tags[t - 1], self.tags[t]] -= 1
        d_unary[np.arange(T), self.tags] -= 1
        return d_unary


def crf():
    rng = np.random.default_rng(608)
    return LinearChainCRF(rng.standard_normal((4, 4))), rng.standard_normal((5, 4))


def check_crf(gradlab):
    layer, unary = crf()
    return gradlab.check_layer(layer, unary, TAGS.copy())


# ---------------- weights for ranks


class OrderedWeighting:
    """Sorts the members of each group in descending order and weighs them by rank."""

    def __init__(self, rank_weight):
        self.rank_weight = rank_weight

    def forward(self, x):
        self.order = np.argsort(-x, axis=-1, kind="stable")
        self.sorted = np.take_along_axis(x, self.order, axis=-1)
        return self.sorted @ self.rank_weight

    def backward(self, dout):
        self.drank_weight = np.tensordot(dout, self.sorted, axes=dout.ndim)
        dx = np.empty_like(self.sorted)
        np.put_along_axis(dx, self.order, dout[..., None] * self.rank_weight, axis=-1)
        return dx


def ordered():
    rng = np.random.default_rng(609)
    return OrderedWeighting(rng.standard_normal(5)), rng.standard_normal((2, 3, 5))


def prove_ordered():
    layer, x = ordered()
    return layer_proof(layer, x, [(layer.rank_weight, lambda: layer.drank_weight)])


# ---------------- soft dynamic time warping by its cost matrix


def softmin3(a, b, c, gamma):
    z = -np.array([a, b, c]) / gamma
    top = z.max()
    return -gamma * (np.log(np.exp(z - top).sum()) + top)


def _softdtw_table(D, gamma):
    n, m = D.shape
    R = np.full((n + 1, m + 1), np.inf)
    R[0, 0] = 0.0
    for i in range(1, n + 1):
        for j in range(1, m + 1):
            R[i, j] = D[i - 1, j - 1] + softmin3(R[i - 1, j], R[i, j - 1], R[i - 1, j - 1], gamma)
    return R


def softdtw(D, gamma):
    return _softdtw_table(D, gamma)[-1, -1]


def softdtw_grad(D, gamma):
    n, m = D.shape
    R = _softdtw_table(D, gamma)
    E = np.zeros((n + 1, m + 1))
    E[n - 1, m - 1] = 1.0
    for i in range(n - 1, -1, -1):
        for j in range(m - 1, -1, -1):
            r = R[i + 1, j + 1]
            if i + 1 < n:
                E[i, j] += E[i + 1, j] * np.exp((R[i + 2, j + 1] - D[i + 1, j] - r) / gamma)
            if j + 1 < m:
                E[i, j] += E[i, j + 1] * np.exp((R[i + 1, j + 2] - D[i, j + 1] - r) / gamma)
    return E[:n, :m]


def dtw_points():
    return np.random.default_rng(610).random((4, 5)) * 2


def check_dtw(gradlab):
    return gradlab.check_gradient(softdtw, softdtw_grad, dtw_points(), args=(0.5,))


# ---------------- CTC on probabilities

LABELS = np.array([2, 1])


class CTCLoss:
    """forward(probs, labels): probs (frames, classes), class 0 is the blank."""

    def forward(self, probs, labels):
        ext = np.zeros(2 * len(labels) + 1, dtype=int)
        ext[1::2] = labels
        T, S = len(probs), len(ext)
        skip = np.zeros(S, dtype=bool)
        skip[2:] = (ext[2:] != 0) & (ext[2:] != ext[:-2])
        alpha = np.zeros((T, S))
        alpha[0, :2] = probs[0, ext[:2]]
        for t in range(1, T):
            prev = alpha[t - 1]
            step = prev.copy()
            step[1:] += prev[:-1]
            step[2:] += prev[:-2] * skip[2:]
            alpha[t] = step * probs[t, ext]
        self.likelihood = alpha[-1, -1] + alpha[-1, -2]
        self.alpha, self.ext, self.skip, self.probs = alpha, ext, skip, probs
        return -np.log(self.likelihood)

    def backward(self):
        probs, ext, skip = self.probs, self.ext, self.skip
        T, S = self.alpha.shape
        beta = np.zeros((T, S))
        beta[-1, -2:] = 1.0
        for t in range(T - 2, -1, -1):
            nxt = beta[t + 1] * probs[t + 1, ext]
            beta[t] = nxt
            beta[t, :-1] += nxt[1:]
            beta[t, :-2] += nxt[2:] * skip[2:]
        occupancy = self.alpha * beta / self.likelihood
        grad = np.zeros_like(probs)
        for s in range(S):
            grad[:, ext[s]] -= occupancy[:, s]
        return grad


def ctc():
    p = np.random.default_rng(611).random((5, 4)) + 0.1
    return CTCLoss(), p / p.sum(axis=1, keepdims=True)


def check_ctc(gradlab):
    loss, p = ctc()
    return gradlab.check_layer(loss, p, LABELS.copy())


# ---------------- window, then smoothing


class WindowedSmoother:
    def __init__(self, taps=(0.2, 0.5, 0.3)):
        self.taps = np.asarray(taps)

    def forward(self, x):
        n = x.shape[1]
        self.window = 0.54 - 0.46 * np.cos(2 * np.pi * (np.arange(n) + 0.5) / n)
        return np.array([np.convolve(row, self.taps, mode="same") for row in x * self.window])

    def backward(self, dout):
        dout = dout * self.window
        return np.array([np.convolve(row, self.taps[::-1], mode="same") for row in dout])


def smoother():
    return WindowedSmoother(), np.random.default_rng(612).standard_normal((3, 7))


# ---------------- pre-emphasis, single precision on the way back


class PreEmphasis:
    def __init__(self, coefficient=0.97):
        self.coefficient = coefficient

    def forward(self, wave):
        return np.concatenate([wave[:, :1], wave[:, 1:] - self.coefficient * wave[:, :-1]], axis=1)

    def backward(self, dout):
        g = np.asarray(dout, dtype=np.float32)
        grad = g.copy()
        grad[:, :-1] -= np.float32(self.coefficient) * g[:, 1:]
        return grad


def pre_emphasis():
    return PreEmphasis(), np.random.default_rng(613).standard_normal((2, 9))


def prove_gate():
    layer, x = spectral_gate()
    return layer_proof(layer, x, [(layer.gain, lambda: layer.gain_grad)])


HMM_PARAMS = [(lambda m: m.params["transition_logits"], lambda m: m.grads["transition_logits"])]
CRF_PARAMS = [(lambda m: m.trans, lambda m: m.d_trans)]

ENTRIES = [
    Stranger(
        "gain for each frequency of a real signal",
        "layer with X and X_grad",
        check_made(spectral_gate),
        prove_gate,
    ),
    Stranger(
        "leaky integrator over time",
        "layer with lists params and grads",
        check_made(leaky),
        prove_leaky,
    ),
    Stranger(
        "shrinkage of cosine coefficients",
        "layer with dX attributes and a read-only constant",
        check_made(dct_shrink),
        prove_dct,
    ),
    Stranger(
        "haar step with two outputs in a dict",
        "pair with dicts of outputs and cotangents",
        lambda gradlab: gradlab.check_cached_pair(haar_forward, haar_backward, haar_points()),
        haar_proof,
    ),
    Stranger(
        "hidden markov model, log likelihood and posteriors",
        "layer with dicts params and grads, scalar output",
        check_made(hmm),
        lambda: prove_scalar(hmm, HMM_PARAMS),
    ),
    Stranger(
        "linear chain of labels",
        "loss class with integer labels and a parameter",
        check_crf,
        lambda: prove_scalar(crf, CRF_PARAMS, (TAGS,)),
    ),
    Stranger(
        "weights for ranks after a sort",
        "layer with dX attributes",
        check_made(ordered),
        prove_ordered,
    ),
    Stranger(
        "weighted power of a half spectrum: inner bins twice",
        "f and grad",
        lambda gradlab: gradlab.check_gradient(band_power, band_power_grad, power_points()),
        lambda: [(band_power_grad(power_points()), slope(band_power, power_points()))],
        "wrong",
        "irfft counts the inner bins twice, the power only once",
        ("missing-term",),
        ("x",),
    ),
    Stranger(
        "filter with one pole: gradient of the pole a sample late",
        "pair with cache",
        lambda gradlab: gradlab.check_cached_pair(filter_forward, filter_backward, filter_points()),
        lambda: pair_proof(filter_forward, filter_backward, filter_points()),
        "wrong",
        "the pole multiplies y[t - 1], its gradient uses y[t]",
        ("shifted",),
        ("a1",),
    ),
    Stranger(
        "soft time warping by its costs: diagonal forgotten on the way back",
        "f and grad with args",
        check_dtw,
        lambda: [(softdtw_grad(dtw_points(), 0.5), slope(lambda D: softdtw(D, 0.5), dtw_points()))],
        "wrong",
        "the recursion of the gradient has no diagonal term",
        ("missing-term",),
        ("D",),
    ),
    Stranger(
        "CTC on probabilities: gradient of log probabilities",
        "loss class with integer labels",
        check_ctc,
        lambda: prove_scalar(ctc, [], (LABELS,)),
        "wrong",
        "the occupancies are not divided by the probabilities",
        ("log-parameter",),
        ("probs",),
    ),
    Stranger(
        "window before smoothing: window in the wrong place on the way back",
        "layer without parameters",
        check_made(smoother),
        lambda: layer_proof(*smoother(), []),
        "wrong",
        "backward multiplies by the window first, and smooths after",
        ("wrong-order",),
        ("x",),
    ),
    Stranger(
        "pre-emphasis: single precision on the way back",
        "layer without parameters",
        check_made(pre_emphasis),
        lambda: [],
        "habit",
        "backward rounds to float32 and returns float32",
        ("float32-round-trip", "wrong-dtype"),
        ("wave",),
    ),
]
