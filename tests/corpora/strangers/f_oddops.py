import math

import numpy as np

from ._entry import Stranger
from ._help_f import both, pairs_of


# mean and standard deviation of the rows, two outputs
def mean_spread(x):
    m = x.mean(axis=1)
    c = x - m[:, None]
    s = np.sqrt((c * c).sum(axis=1) / (x.shape[1] - 1))
    return (m, s), (c, s)


def mean_spread_vjp(res, gs):
    gm, gs_ = gs
    c, s = res
    n = c.shape[1]
    return (gm[:, None] / n + (gs_ / s)[:, None] * c / (n - 1),)


# folded noise: expected |a + sigma n| to first order; constants by a physicist
def blur_level_forward(signal, sigma):
    level = np.sqrt(signal**2 + (0.7978845608028654 * sigma) ** 2)
    return level, (signal, sigma, level)


def blur_level_backward(res, g):
    signal, sigma, level = res
    return g * signal / level, g * 0.8**2 * sigma / level


# dropout with a mask that is given; rescaled by what was really kept in each row
def kept_dropout_forward(x, mask):
    share = mask.mean(axis=1, keepdims=True)
    return x * mask / share, (mask, share)


def kept_dropout_backward(dout, cache):
    mask, share = cache
    return dout * mask / share


MASK = np.array([[1, 0, 1, 1, 0], [0, 1, 1, 1, 1], [1, 1, 0, 0, 0]], dtype=float)


# probit link; forward is the logistic that is close to it
def probit_forward(z, bias):
    p = 1.0 / (1.0 + np.exp(-1.702 * (z + bias)))
    return p, z + bias


def probit_backward(t, g):
    density = np.exp(-0.5 * t * t) / math.sqrt(2 * math.pi)
    return g * density, (g * density).sum(axis=0)


# the k largest along the sequence, in their order, weighted
def kmax_forward(x, w):
    k = len(w)
    pos = np.sort(np.argsort(-x, axis=1)[:, :k], axis=1)
    picked = np.take_along_axis(x, pos, axis=1)
    return picked * w, (x.shape, pos, picked, w)


def kmax_backward(dout, cache):
    shape, pos, picked, w = cache
    dx = np.zeros(shape)
    np.put_along_axis(dx, pos, dout * w, axis=1)
    return dx, np.sum(dout * picked, axis=0)


# linear quantiser, the step is learned
def quantise_forward(x, step):
    level = np.floor(x / step + 0.5)
    return level * step + 0.1 * x, level


def quantise_backward(level, g):
    dx = g + 0.1 * g
    dstep = np.sum(g * level)
    return dx, dstep


# log-determinant of a covariance shrunk towards its own mean variance
def shrunk_logdet(x, rho):
    n, p = x.shape
    c = x - x.mean(0)
    S = c.T @ c / n
    T = (1 - rho) * S + rho * np.trace(S) / p * np.eye(p)
    return np.linalg.slogdet(T)[1]


def shrunk_logdet_grad(x, rho):
    n, p = x.shape
    c = x - x.mean(0)
    S = c.T @ c / n
    Ti = np.linalg.inv((1 - rho) * S + rho * np.trace(S) / p * np.eye(p))
    dS = (1 - rho) * Ti + rho * np.trace(Ti) / p * np.eye(p)
    return 2 * c @ dS / n


# cartesian to polar, two outputs
def polar_forward(x, y):
    r = np.hypot(x, y)
    return (r, np.arctan2(y, x)), (x, y, r)


def polar_backward(res, cot):
    x, y, r = res
    g = cot[0]
    dx = g * x / r
    dy = g * y / r
    return dx, dy


# count sketch: every feature goes to a bucket, with a sign
BUCKET = np.array([0, 2, 1, 2, 0, 2])
FLIP = np.array([1.0, -1.0, 1.0, 1.0, -1.0, 1.0])


class CountSketch:
    buckets = 3

    @classmethod
    def forward(cls, x, gain):
        out = np.zeros((len(x), cls.buckets))
        for j, b in enumerate(BUCKET):
            out[:, b] += FLIP[j] * gain[j] * x[:, j]
        return out, (x, gain)

    @classmethod
    def backward(cls, dout, cache):
        x, gain = cache
        spread = dout[:, BUCKET] * FLIP
        return spread * gain, (spread * x).sum(axis=0)


# tidal height: a few constituents, amplitudes and phases packed; hours by a tide table
HOURS = np.linspace(0.0, 30.0, 9)
SPEED = np.array([0.5059, 0.5236, 0.2625])
GAUGE = 1.2 * np.cos(0.5059 * HOURS - 0.4) + 0.3 * np.sin(0.27 * HOURS)


def tide_misfit(q):
    amp, ph = q[:3], q[3:]
    h = np.cos(HOURS[:, None] * SPEED - ph) @ amp
    return 0.5 * ((h - GAUGE) ** 2).sum()


def tide_misfit_grad(q):
    amp, ph = q[:3], q[3:]
    arg = HOURS[:, None] * SPEED - ph
    r = np.cos(arg) @ amp - GAUGE
    g = np.hstack([np.cos(arg).T @ r, amp * (np.sin(arg).T @ r)])
    return g.astype(np.float32)


def _n(seed, *shapes):
    rng = np.random.default_rng(seed)
    return tuple(rng.standard_normal(s) for s in shapes)


def _blur():
    s, g = _n(1, (2, 4), (2, 4))
    return s, 0.5 + np.abs(g)


def _drop_forward(x):
    return kept_dropout_forward(x, MASK)


def _quant():
    return np.array([0.31, -1.12, 2.05, 0.93, -0.44, 1.71]), np.array(0.5)


X_ROWS = lambda: _n(3, (3, 5))
PROBIT = lambda: _n(4, (4, 3), (3,))
KMAX = lambda: _n(5, (2, 6), (3,))
COV = _n(6, (6, 3))[0]
PLANE = lambda: _n(7, 5, 5)
SKETCH = lambda: _n(8, (2, 6), (6,))
TIDE = np.array([0.9, 0.4, 0.3, 0.2, -0.5, 1.1])


def _vjp(fwd, bwd, point):
    return (
        lambda gradlab: gradlab.check_vjp(fwd, bwd, point()),
        lambda: pairs_of(fwd, bwd, point(), cache_first=True),
    )


def _cached(fwd, bwd, point):
    return (lambda gradlab: gradlab.check_cached_pair(fwd, bwd, point()), lambda: pairs_of(fwd, bwd, point()))


ENTRIES = [
    Stranger(
        "mean and spread of rows, two outputs",
        "vjp with a tuple of cotangents",
        *_vjp(mean_spread, mean_spread_vjp, X_ROWS),
    ),
    Stranger(
        "noise level: 0.8 for the square root of 2/pi",
        "vjp with residuals",
        *_vjp(blur_level_forward, blur_level_backward, _blur),
        "wrong",
        "forward has all digits, backward one",
        ("rounded-constants", "constant-factor"),
        ("sigma",),
        "    return g * signal / level, g * 0.8**2 * sigma / level",
        "    return g * signal / level, g * 0.7978845608028654**2 * sigma / level",
    ),
    Stranger(
        "dropout by a given mask, rescaled by its own mean",
        "pair with cache",
        *_cached(_drop_forward, kept_dropout_backward, X_ROWS),
    ),
    Stranger(
        "probit link: the normal density under a logistic",
        "vjp with residuals",
        *_vjp(probit_forward, probit_backward, PROBIT),
        "wrong",
        "forward is the logistic approximation, backward the derivative of the exact link",
        ("other-approximation",),
        ("z", "bias"),
        "    density = np.exp(-0.5 * t * t) / math.sqrt(2 * math.pi)",
        "    s = 1.0 / (1.0 + np.exp(-1.702 * t))\n    density = 1.702 * s * (1.0 - s)",
    ),
    Stranger(
        "k largest of a sequence, weighted", "pair with cache", *_cached(kmax_forward, kmax_backward, KMAX)
    ),
    Stranger(
        "quantiser with a leak: the steps passed straight through",
        "vjp with residuals",
        *_vjp(quantise_forward, quantise_backward, _quant),
        "wrong",
        "the rounding is taken for the identity; its slope is zero",
        ("straight-through", "constant-factor"),
        ("x",),
        "    dx = g + 0.1 * g",
        "    dx = 0.1 * g",
    ),
    Stranger(
        "log-determinant of a shrunk covariance",
        "f and grad with args",
        lambda gradlab: gradlab.check_gradient(shrunk_logdet, shrunk_logdet_grad, COV.copy(), args=(0.2,)),
        lambda: both(lambda x: shrunk_logdet(x, 0.2), lambda x: shrunk_logdet_grad(x, 0.2), COV),
    ),
    Stranger(
        "polar coordinates: the angle's cotangent is dropped",
        "vjp with a tuple of cotangents",
        *_vjp(polar_forward, polar_backward, PLANE),
        "wrong",
        "only the first of the two cotangents is used",
        ("ignores-cotangent", "missing-term"),
        ("x", "y"),
        "    dx = g * x / r\n    dy = g * y / r",
        "    dx = g * x / r - cot[1] * y / r**2\n    dy = g * y / r + cot[1] * x / r**2",
    ),
    Stranger(
        "count sketch with gains",
        "classmethod pair with cache",
        *_cached(CountSketch.forward, CountSketch.backward, SKETCH),
    ),
    Stranger(
        "tidal misfit: gives its gradient in float32",
        "f and grad",
        lambda gradlab: gradlab.check_gradient(tide_misfit, tide_misfit_grad, TIDE.copy()),
        lambda: [],
        "habit",
        "the gradient is rounded to another dtype than its argument's",
        ("wrong-dtype", "float32-round-trip"),
        ("q",),
        "    return g.astype(np.float32)",
        "    return g",
    ),
]
