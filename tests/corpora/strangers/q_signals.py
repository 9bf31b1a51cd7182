"""Audio, images and radio."""

import numpy as np
from scipy.signal import lfilter
from scipy.special import logsumexp

from ._entry import Stranger
from ._help_q import pairs


class Biquad:
    """Second order section. a = [a1, a2], a0 is one."""

    def __init__(self, b, a):
        self.b, self.a = b, a

    def __call__(self, x):
        self.x = x
        self.y = lfilter(self.b, np.r_[1.0, self.a], x)
        return self.y

    def backward(self, gy):
        # the recursion run backwards in time
        e = lfilter([1.0], np.r_[1.0, self.a], gy[::-1])[::-1]
        self.grad_b = np.array([e @ self._delay(self.x, k) for k in (0, 1, 2)])
        self.grad_a = -np.array([e @ self._delay(self.y, k) for k in (1, 2)])
        return lfilter(self.b, [1.0], e[::-1])[::-1]

    @staticmethod
    def _delay(z, k):
        return np.concatenate([np.zeros(k), z[: len(z) - k]])


def _biquad():
    x = np.random.default_rng(1).standard_normal(24)
    return Biquad(np.array([0.3, 0.5, 0.2]), np.array([-0.7, 0.35])), x


def _prove_biquad():
    f, x = _biquad()
    g = np.random.default_rng(2).standard_normal(24)
    f(x)
    dx = f.backward(g)
    return pairs([dx, f.grad_b, f.grad_a], lambda: g @ f(x), x, f.b, f.a)


# ------------------------------------------------------------------ soft demapper, trainable points
BITS = np.array([[0, 0], [0, 1], [1, 1], [1, 0]])


def demap(r, points, noise):
    diff = r[:, None, :] - points[None]
    metric = -np.sum(diff**2, axis=2) / noise
    llr, post = [], []
    for k in range(2):
        zero = np.where(BITS[:, k] == 0, metric, -np.inf)
        one = np.where(BITS[:, k] == 1, metric, -np.inf)
        l0, l1 = logsumexp(zero, axis=1, keepdims=True), logsumexp(one, axis=1, keepdims=True)
        llr.append((l0 - l1)[:, 0])
        post.append(np.exp(zero - l0) - np.exp(one - l1))
    return np.stack(llr, axis=1), {"diff": diff, "metric": metric, "post": post, "noise": noise}


def demap_grad(dllr, c):
    dm = sum(dllr[:, k : k + 1] * c["post"][k] for k in range(2))
    dd = -2 * c["diff"] * dm[:, :, None] / c["noise"]
    dnoise = -np.sum(dm * c["metric"]) / c["noise"]
    return {"r": dd.sum(1), "points": -dd.sum(0), "noise": np.array(dnoise)}


def _demap():
    r = np.random.default_rng(3)
    pts = np.array([[1.0, 1.0], [-1.0, 1.0], [-1.0, -1.0], [1.0, -1.0]]) * 0.7
    return r.standard_normal((6, 2)), pts + 0.05 * r.standard_normal((4, 2)), np.array(0.8)


def _prove_demap():
    args = _demap()
    g = np.random.default_rng(4).standard_normal((6, 2))
    d = demap_grad(g, demap(*args)[1])
    return pairs([d["r"], d["points"], d["noise"]], lambda: np.sum(g * demap(*args)[0]), *args)


# ------------------------------------------------------------------ log spectral distance
class LogSpectralLoss:
    def __init__(self, n, eps=1e-3):
        k = np.arange(n // 2 + 1)
        arg = 2 * np.pi * np.outer(np.arange(n), k) / n
        self.C, self.S = np.cos(arg), np.sin(arg)
        self.eps = eps

    def _power(self, x):
        return (x @ self.C) ** 2 + (x @ self.S) ** 2 + self.eps

    def forward(self, x, target):
        self.x = x
        self.P = self._power(x)
        self.diff = np.log(self.P) - np.log(self._power(target))
        return np.mean(self.diff**2)

    def backward(self):
        dP = 2 * self.diff / self.diff.size / self.P
        dre = 2 * dP * (self.x @ self.C)
        dim = 2 * dP * (self.x @ self.S)
        return (dre @ self.C.T + dim @ self.S.T) / self.diff.size


def _lsd():
    r = np.random.default_rng(5)
    return r.standard_normal((3, 8)), r.standard_normal((3, 8))


def _prove_lsd():
    loss, (x, t) = LogSpectralLoss(8), _lsd()
    loss.forward(x, t)
    return pairs([loss.backward()], lambda: loss.forward(x, t), x, h=2e-4)


# ------------------------------------------------------------------ one explicit diffusion step of an image
class ImageDiffusion:
    """u += tau * div grad u, with mirrored (edge) borders"""

    def __init__(self, tau=0.2):
        self.tau = tau

    def forward(self, img):
        p = np.pad(img, 1, mode="edge")
        lap = p[:-2, 1:-1] + p[2:, 1:-1] + p[1:-1, :-2] + p[1:-1, 2:] - 4 * img
        return img + self.tau * lap

    def backward(self, g):
        h, w = g.shape
        gp = np.zeros((h + 2, w + 2))
        gp[1:-1, 1:-1] = (1 - 4 * self.tau) * g
        gp[:-2, 1:-1] += self.tau * g
        gp[2:, 1:-1] += self.tau * g
        gp[1:-1, :-2] += self.tau * g
        gp[1:-1, 2:] += self.tau * g
        return gp[1:-1, 1:-1]


def _image():
    return np.random.default_rng(7).uniform(0, 1, (5, 6))


def _prove_diffusion():
    op, img = ImageDiffusion(), _image()
    g = np.random.default_rng(8).standard_normal((5, 6))
    op.forward(img)
    return pairs([op.backward(g)], lambda: np.sum(g * op.forward(img)), img)


# ------------------------------------------------------------------ bilateral filter of a scan line
class BilateralLine:
    def __init__(self, sigma_d=2.0, sigma_r=0.5):
        self.sd, self.sr = sigma_d, sigma_r

    def forward(self, x):
        i = np.arange(len(x))
        self.step = x[None, :] - x[:, None]
        w = np.exp(-((i[None, :] - i[:, None]) ** 2) / (2 * self.sd**2) - self.step**2 / (2 * self.sr**2))
        self.W = w / w.sum(axis=1, keepdims=True)
        self.x, self.y = x, self.W @ x
        return self.y

    def backward(self, g):
        return self.W.T @ g


def _line():
    return np.random.default_rng(9).uniform(0, 1, 12)


def _prove_bilateral():
    op, x = BilateralLine(), _line()
    g = np.random.default_rng(10).standard_normal(12)
    op.forward(x)
    return pairs([op.backward(g)], lambda: g @ op.forward(x), x)


# ------------------------------------------------------------------ FIR as an autograd function
class Ctx:
    def save_for_backward(self, *tensors):
        self.saved_tensors = tensors


class FIRFunction:
    @staticmethod
    def forward(ctx, signal, taps):
        ctx.save_for_backward(signal, taps)
        return np.convolve(signal, taps)[: len(signal)]

    @staticmethod
    def backward(ctx, grad_output):
        signal, taps = ctx.saved_tensors
        n, m = len(signal), len(taps)
        grad_signal = np.convolve(grad_output, taps[::-1], mode="same")
        grad_taps = np.array([grad_output[k:] @ signal[: n - k] for k in range(m)])
        return grad_signal, grad_taps


def _fir():
    r = np.random.default_rng(13)
    return r.standard_normal(15), r.standard_normal(5)


def _prove_fir():
    x, h = _fir()
    g = np.random.default_rng(14).standard_normal(15)
    ctx = Ctx()
    FIRFunction.forward(ctx, x, h)
    return pairs(FIRFunction.backward(ctx, g), lambda: g @ FIRFunction.forward(Ctx(), x, h), x, h)


# ------------------------------------------------------------------ raw sensor: RGGB mosaic -> four planes
class PackBayer:
    def __init__(self, gain, black):
        self.params = {"gain": gain, "black": black}
        self.grads = {}

    def forward(self, raw):
        h, w = raw.shape[0] // 2, raw.shape[1] // 2
        planes = raw.reshape(h, 2, w, 2).transpose(0, 2, 1, 3).reshape(h, w, 4)
        self.light = planes - self.params["black"]
        return self.light * self.params["gain"]

    def backward(self, dout):
        h, w, _ = dout.shape
        self.grads["gain"] = np.sum(dout * self.light, axis=(0, 1))
        dplanes = dout * self.params["gain"]
        self.grads["black"] = -np.sum(dplanes, axis=(0, 1))
        return dplanes.reshape(h, w, 2, 2).transpose(0, 3, 1, 2).reshape(2 * h, 2 * w)


def _bayer():
    r = np.random.default_rng(15)
    gain, black = np.array([1.9, 1.0, 1.1, 1.6]), np.array([0.06, 0.05, 0.055, 0.07])
    return PackBayer(gain, black), r.uniform(0.1, 1, (4, 6))


def _prove_bayer():
    op, raw = _bayer()
    g = np.random.default_rng(16).standard_normal((2, 3, 4))
    op.forward(raw)
    d = op.backward(g)
    return pairs(
        [d, op.grads["gain"], op.grads["black"]],
        lambda: np.sum(g * op.forward(raw)),
        raw,
        op.params["gain"],
        op.params["black"],
    )


# ------------------------------------------------------------------ contrôle automatique de gain
class ControleGain:
    def __init__(self, niveau=0.5, eps=0.02):
        self.niveau, self.eps = niveau, eps

    def forward(self, trames):
        self.trames = trames
        self.puissance = np.mean(trames**2, axis=1, keepdims=True)
        return self.niveau * trames / (np.sqrt(self.puissance) + self.eps)

    def backward(self, dsortie):
        n = self.trames.shape[1]
        rms = np.sqrt(self.puissance)
        den = np.sqrt(self.puissance + self.eps)
        proj = np.sum(dsortie * self.trames, axis=1, keepdims=True)
        return self.niveau * (dsortie / den - self.trames * proj / (n * rms * den**2))


def _trames():
    return 0.3 * np.random.default_rng(17).standard_normal((3, 10))


def _prove_gain():
    op, x = ControleGain(), _trames()
    g = np.random.default_rng(18).standard_normal((3, 10))
    op.forward(x)
    return pairs([op.backward(g)], lambda: np.sum(g * op.forward(x)), x)


# ------------------------------------------------------------------ tremolo
class Tremolo:
    def __init__(self, n, rate=0.15, depth=0.6):
        self.env = 1 - depth * (0.5 + 0.5 * np.sin(2 * np.pi * rate * np.arange(n)))

    def forward(self, wave):
        return wave * self.env

    def backward(self, dout):
        dout *= self.env
        return dout


ENTRIES = [
    Stranger(
        "Biquad filter",
        "callable layer with attributes",
        lambda gradlab: gradlab.check_layer(*_biquad()),
        _prove_biquad,
    ),
    Stranger(
        "Soft demapper with trainable points",
        "pair with cache, dict gradients",
        lambda gradlab: gradlab.check_cached_pair(demap, demap_grad, _demap()),
        _prove_demap,
    ),
    Stranger(
        "Log spectral loss: averaged twice",
        "loss, backward without dout",
        lambda gradlab: gradlab.check_layer(LogSpectralLoss(8), *_lsd()),
        _prove_lsd,
        "wrong",
        "the division by the number of elements is made twice",
        ("constant-factor",),
        ("x",),
        "(dre @ self.C.T + dim @ self.S.T) / self.diff.size",
        "dre @ self.C.T + dim @ self.S.T",
    ),
    Stranger(
        "Image diffusion: the padded rim is dropped",
        "layer",
        lambda gradlab: gradlab.check_layer(ImageDiffusion(), _image()),
        _prove_diffusion,
        "wrong",
        "what flows into the padded rim is cut off instead of added to the border pixels",
        ("border", "missing-term"),
        ("img",),
        "        return gp[1:-1, 1:-1]\n",
        "        gp[1] += gp[0]\n        gp[-2] += gp[-1]\n        gp[:, 1] += gp[:, 0]\n"
        "        gp[:, -2] += gp[:, -1]\n        return gp[1:-1, 1:-1]\n",
    ),
    Stranger(
        "Bilateral scan line: range weights taken for constants",
        "layer",
        lambda gradlab: gradlab.check_layer(BilateralLine(), _line()),
        _prove_bilateral,
        "wrong",
        "the weights depend on x as well, and that path is left out",
        ("missing-term",),
        ("x",),
        "        return self.W.T @ g\n",
        "        t = g[:, None] * self.W * (self.x[None, :] - self.y[:, None]) * self.step / self.sr**2\n"
        "        return self.W.T @ g + t.sum(axis=1) - t.sum(axis=0)\n",
    ),
    Stranger(
        "FIR function: gradient of the signal by mode='same'",
        "autograd function with ctx",
        lambda gradlab: gradlab.check_layer(FIRFunction, *_fir()),
        _prove_fir,
        "wrong",
        "mode='same' cuts the full correlation in its middle: two places off",
        ("shifted",),
        ("signal",),
        'np.convolve(grad_output, taps[::-1], mode="same")',
        "np.convolve(grad_output, taps[::-1])[m - 1 :]",
    ),
    Stranger(
        "Bayer packing: mosaic put back crosswise",
        "layer with params and grads dicts",
        lambda gradlab: gradlab.check_layer(*_bayer()),
        _prove_bayer,
        "wrong",
        "row and column within the 2x2 cell are exchanged when the planes are put back",
        ("axes-permuted", "columns-exchanged", "transposed"),
        ("raw",),
        ".transpose(0, 3, 1, 2)",
        ".transpose(0, 2, 1, 3)",
    ),
    Stranger(
        "Controle de gain: epsilon under the root",
        "layer",
        lambda gradlab: gradlab.check_layer(ControleGain(), _trames()),
        _prove_gain,
        "wrong",
        "backward has the epsilon inside the root, forward outside",
        ("epsilon-mismatch", "other-approximation"),
        ("trames",),
        "        den = np.sqrt(self.puissance + self.eps)\n",
        "        den = np.sqrt(self.puissance) + self.eps\n",
    ),
    Stranger(
        "Tremolo: multiplies dout in place",
        "layer",
        lambda gradlab: gradlab.check_layer(Tremolo(12), np.random.default_rng(19).standard_normal((2, 12))),
        lambda: [],
        "habit",
        "backward writes into the caller's dout",
        ("mutates-argument", "aliases-memory"),
        ("wave",),
    ),
]
