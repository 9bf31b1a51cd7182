from collections import namedtuple
from dataclasses import dataclass
from types import SimpleNamespace

import numpy as np

from ._entry import Stranger
from ._help_a import against, dot, rnd


# ---- forward returns the layer, the cotangent is an attribute
class Gaussian:
    """Radial units exp(-w |x - c|^2)."""

    def __init__(self, centres, width):
        self.centres, self.width = centres, np.array(width)
        self.output = self.grad_output = None

    def forward(self, x):
        self.input = x
        self.diff = x[:, None, :] - self.centres
        self.sq = np.sum(self.diff**2, axis=2)
        self.output = np.exp(-self.width * self.sq)
        return self

    def backward(self):
        k = self.grad_output * self.output
        self.grad_width = -np.sum(k * self.sq)
        self.grad_centres = 2 * self.width * np.einsum("nk,nkd->kd", k, self.diff)
        self.grad_input = -2 * self.width * np.einsum("nk,nkd->nd", k, self.diff)
        return self


def gaussian():
    return Gaussian(rnd(1, 4, 2), 0.4)


def prove_gaussian():
    layer, x, g = gaussian(), rnd(2, 5, 2), rnd(3, 5, 4)
    layer.forward(x)
    layer.grad_output = g
    layer.backward()
    pairs = [(layer.grad_input, x), (layer.grad_centres, layer.centres), (layer.grad_width, layer.width)]
    return against(lambda: dot(layer.forward(x).output, g), pairs)


# ---- dicts in and out
class MomentPooling:
    """Mean and standard deviation over time, as a dict."""

    def __init__(self, eps=1e-8):
        self.eps = eps

    def forward(self, x):
        mean = x.mean(axis=1)
        std = np.sqrt(x.var(axis=1) + self.eps)
        self.saved = x, mean, std
        return {"mean": mean, "std": std}

    def backward(self, grads):
        x, mean, std = self.saved
        n = x.shape[1]
        dx = np.zeros_like(x)
        dx += grads["mean"][:, None] / n
        dx += (grads["std"] / (n * std))[:, None] * (x - mean[:, None])
        return dx


def prove_moments():
    layer, x = MomentPooling(), rnd(11, 2, 5, 3)
    g = {"mean": rnd(12, 2, 3), "std": rnd(13, 2, 3)}
    layer.forward(x)
    dx = layer.backward(g)
    return against(lambda: sum(dot(v, g[k]) for k, v in layer.forward(x).items()), [(dx, x)])


class TaggerBody:
    """Returns the scores and the hidden features that another head reads."""

    def __init__(self, n_in=4, n_hid=5, n_out=3):
        self.params = {"V": 0.6 * rnd(21, n_in, n_hid), "O": 0.6 * rnd(22, n_hid, n_out)}
        self.grads = {}

    def forward(self, x):
        self.x, self.features = x, np.tanh(x @ self.params["V"])
        return {"scores": self.features @ self.params["O"], "features": self.features}

    def backward(self, d):
        d_scores = d["scores"]
        self.grads["O"] = self.features.T @ d_scores
        d_feat = d_scores @ self.params["O"].T
        dz = d_feat * (1 - self.features**2)
        self.grads["V"] = self.x.T @ dz
        return dz @ self.params["V"].T


def prove_tagger():
    layer, x = TaggerBody(), rnd(23, 5, 4)
    g = {"scores": rnd(24, 5, 3), "features": rnd(25, 5, 5)}
    layer.forward(x)
    pairs = [(layer.backward(g), x)] + [(layer.grads[k], layer.params[k]) for k in layer.params]
    return against(lambda: sum(dot(v, g[k]) for k, v in layer.forward(x).items()), pairs)


# ---- a result that carries its gradient
@dataclass
class Signal:
    value: np.ndarray
    grad: np.ndarray | None = None


class SoftThreshold:
    """Shrinks towards zero by lam, smoothly: x - lam tanh(x / lam)."""

    def __init__(self, lam):
        self.lam = Signal(np.array(lam))

    def forward(self, x):
        self.x = Signal(x)
        t = np.tanh(x / self.lam.value)
        self.t = t
        return Signal(x - self.lam.value * t)

    def backward(self, out):
        slope = 1 - self.t**2
        self.x.grad = out.grad * (1 - slope)
        self.lam.grad = (out.grad * (-self.t + slope * self.x.value / self.lam.value)).sum(axis=0)
        return self.x.grad


def prove_threshold():
    layer, x, g = SoftThreshold([0.5, 0.8, 1.1]), rnd(31, 4, 3), rnd(32, 4, 3)
    out = layer.forward(x)
    out.grad = g
    dx = layer.backward(out)
    return against(lambda: dot(layer.forward(x).value, g), [(dx, x), (layer.lam.grad, layer.lam.value)])


@dataclass
class Activations:
    data: np.ndarray
    grad: np.ndarray | None = None


class LogCosh:
    def __init__(self, scale):
        self.scale = scale
        self.scale_grad = np.zeros_like(scale)

    def forward(self, x):
        self.inputs = x
        return Activations(np.log(np.cosh(self.scale * x)))

    def backward(self, out):
        g = np.ones_like(out.data)
        t = np.tanh(self.scale * self.inputs)
        self.scale_grad = (g * self.inputs * t).sum(axis=0)
        return g * self.scale * t


def prove_logcosh():
    layer, x, g = LogCosh(1 + 0.3 * rnd(41, 3)), rnd(42, 4, 3), rnd(43, 4, 3)
    out = layer.forward(x)
    out.grad = g
    dx = layer.backward(out)
    return against(lambda: dot(layer.forward(x).data, g), [(dx, x), (layer.scale_grad, layer.scale)])


# ---- a module in closures
def make_quadratic(seed=51, n=3, m=4):
    params = {"A": rnd(seed, n, m), "B": rnd(seed + 1, n, m)}
    grads, cache = {}, {}

    def forward(x):
        if "x" not in cache:
            cache["x"] = x.copy()
        return (x @ params["A"]) * (x @ params["B"])

    def backward(dout):
        x = cache["x"]
        a, b = x @ params["A"], x @ params["B"]
        grads["A"] = x.T @ (dout * b)
        grads["B"] = x.T @ (dout * a)
        return (dout * b) @ params["A"].T + (dout * a) @ params["B"].T

    return SimpleNamespace(forward=forward, backward=backward, params=params, grads=grads)


def prove_quadratic():
    layer, x, g = make_quadratic(), rnd(54, 5, 3), rnd(55, 5, 4)
    layer.forward(rnd(53, 5, 3))
    layer.forward(x)
    pairs = [(layer.backward(g), x)] + [(layer.grads[k], layer.params[k]) for k in layer.params]
    return against(lambda: dot(layer.forward(x), g), pairs)


# ---- dx that grows
class SineLayer:
    """sin(omega (x W)); omega is a constant."""

    def __init__(self, omega=2.0):
        self.omega = omega
        self.W, self.dW = 0.5 * rnd(61, 3, 4), np.zeros((3, 4))
        self.dx = None

    def zero_grad(self):
        self.dW[:] = 0

    def forward(self, x):
        self.x, self.arg = x, self.omega * (x @ self.W)
        if self.dx is None or self.dx.shape != x.shape:
            self.dx = np.zeros_like(x)
        return np.sin(self.arg)

    def backward(self, dy):
        da = self.omega * dy * np.cos(self.arg)
        self.dW += self.x.T @ da
        self.dx += da @ self.W.T
        return self.dx.copy()


def prove_sine():
    layer, x, g = SineLayer(), rnd(62, 5, 3), rnd(63, 5, 4)
    for batch in (rnd(64, 5, 3), x):
        layer.zero_grad()
        layer.forward(batch)
        dx = layer.backward(g)
    return against(lambda: dot(layer.forward(x), g), [(dx, x), (layer.dW, layer.W)])


# ---- named tuples
Polar = namedtuple("Polar", ["radius", "angle"])


class ToPolar:
    """Pairs (x, y) to radius and angle; gradients come as the same kind of tuple."""

    def forward(self, xy):
        self.xy = xy
        return Polar(np.hypot(xy[..., 0], xy[..., 1]), np.arctan2(xy[..., 1], xy[..., 0]))

    def backward(self, d):
        x, y = self.xy[..., 0], self.xy[..., 1]
        r2 = x * x + y * y
        r = np.sqrt(r2)
        return np.stack([d.radius * x / r - d.angle * y / r2, d.radius * y / r + d.angle * x / r2], axis=-1)


def prove_polar():
    layer, xy, g = ToPolar(), rnd(71, 6, 2), Polar(rnd(72, 6), rnd(73, 6))
    layer.forward(xy)
    dxy = layer.backward(g)
    return against(lambda: sum(dot(a, b) for a, b in zip(layer.forward(xy), g)), [(dxy, xy)])


Normal = namedtuple("Normal", "mean logvar")


class NormalHead:
    """Two linear heads, mean and log variance, the latter kept within (-4, 4) by a tanh."""

    def __init__(self, d=4, k=3):
        self.w_mean, self.w_logvar = rnd(81, d, k), 0.3 * rnd(82, d, k)

    def forward(self, h):
        self.h = h
        self.t = np.tanh(h @ self.w_logvar)
        return Normal(h @ self.w_mean, 4 * self.t)

    def backward(self, d):
        dt = 4 * d.logvar * (1 - self.t**2)
        self.d_w_mean = self.h.T @ d.mean
        self.d_w_logvar = self.h.T @ (4 * d.mean * (1 - self.t**2))
        return d.mean @ self.w_mean.T + dt @ self.w_logvar.T


def prove_head():
    layer, h, g = NormalHead(), rnd(83, 5, 4), Normal(rnd(84, 5, 3), rnd(85, 5, 3))
    layer.forward(h)
    dh = layer.backward(g)
    pairs = [(dh, h), (layer.d_w_mean, layer.w_mean), (layer.d_w_logvar, layer.w_logvar)]
    return against(lambda: sum(dot(a, b) for a, b in zip(layer.forward(h), g)), pairs)


# ---- forward gives its pullback
def log_bilinear(u, M, v):
    """log(1 + (u M v)^2) for each row of u and v, and the map from its cotangent to theirs."""
    s = np.einsum("ni,ij,nj->n", u, M, v)

    def pullback(g):
        k = g * 2 * s / (1 + s * s)
        return k[:, None] * (v @ M.T), np.einsum("n,ni,nj->ij", k, u, v), k[:, None] * (u @ M)

    return np.log1p(s * s), pullback


def uMv():
    return rnd(91, 4, 2), rnd(92, 2, 3), rnd(93, 4, 3)


def prove_pullback():
    arrays, g = uMv(), rnd(94, 4)
    grads = log_bilinear(*arrays)[1](g)
    return against(lambda: dot(log_bilinear(*arrays)[0], g), list(zip(grads, arrays)))


# ---- one array for two
class Merge:
    """Adds a skip connection."""

    def forward(self, x, skip):
        return x + skip

    def backward(self, dout):
        return dout, dout


def prove_merge():
    layer, x, skip, g = Merge(), rnd(101, 4, 3), rnd(102, 4, 3), rnd(103, 4, 3)
    layer.forward(x, skip)
    dx, dskip = layer.backward(g)
    return against(lambda: dot(layer.forward(x, skip), g), [(dx, x), (dskip, skip)])


ENTRIES = [
    Stranger(
        "radial units whose forward returns the layer",
        "forward returns self, cotangent by attribute",
        lambda gradlab: gradlab.check_layer(gaussian(), rnd(2, 5, 2)),
        prove_gaussian,
    ),
    Stranger(
        "moments over time as a dict",
        "forward returns a dict, cotangent is a dict",
        lambda gradlab: gradlab.check_layer(MomentPooling(), rnd(11, 2, 5, 3)),
        prove_moments,
    ),
    Stranger(
        "tagger's body with two outputs: the features' gradient unused",
        "forward returns a dict, cotangent is a dict",
        lambda gradlab: gradlab.check_layer(TaggerBody(), rnd(23, 5, 4)),
        prove_tagger,
        "wrong",
        "backward looks at the scores' gradient only",
        ("first-cotangent-only", "ignores-cotangent"),
        ("x", "V"),
    ),
    Stranger(
        "soft threshold between signals",
        "forward returns an object that carries its gradient",
        lambda gradlab: gradlab.check_layer(SoftThreshold([0.5, 0.8, 1.1]), rnd(31, 4, 3)),
        prove_threshold,
    ),
    Stranger(
        "log cosh between activations: begins with ones",
        "forward returns an object that carries its gradient",
        lambda gradlab: gradlab.check_layer(LogCosh(1 + 0.3 * rnd(41, 3)), rnd(42, 4, 3)),
        prove_logcosh,
        "wrong",
        "out.grad is not read",
        ("ignores-cotangent",),
        ("x", "scale"),
    ),
    Stranger(
        "quadratic module in closures: keeps the first batch",
        "closures in a namespace",
        lambda gradlab: gradlab.check_layer(make_quadratic(), rnd(54, 5, 3)),
        prove_quadratic,
        "wrong",
        "the cache is filled once and never again",
        ("stale-residuals",),
        ("x", "A", "B"),
    ),
    Stranger(
        "sine layer: dx grows from call to call",
        "layer with attributes and zero_grad",
        lambda gradlab: gradlab.check_layer(SineLayer(), rnd(62, 5, 3)),
        prove_sine,
        "wrong",
        "dx is added up over batches; zero_grad knows only dW",
        ("accumulates",),
        ("x",),
    ),
    Stranger(
        "polar coordinates as a named tuple",
        "forward returns a named tuple, cotangent too",
        lambda gradlab: gradlab.check_layer(ToPolar(), rnd(71, 6, 2)),
        prove_polar,
    ),
    Stranger(
        "head of a normal distribution: one head takes the other's gradient",
        "forward returns a named tuple, cotangent too",
        lambda gradlab: gradlab.check_layer(NormalHead(), rnd(83, 5, 4)),
        prove_head,
        "wrong",
        "the log variance's weights get the mean's cotangent",
        ("wrong-cotangent",),
        ("w_logvar",),
    ),
    Stranger(
        "log bilinear form with its pullback",
        "forward returns the value and a closure",
        lambda gradlab: gradlab.check_vjp(
            log_bilinear, lambda pullback, g: pullback(g), uMv(), name="log_bilinear"
        ),
        prove_pullback,
    ),
    Stranger(
        "merge of a skip connection: hands on the cotangent itself, twice",
        "layer with two inputs",
        lambda gradlab: gradlab.check_layer(Merge(), rnd(101, 4, 3), rnd(102, 4, 3)),
        prove_merge,
        "habit",
        "both gradients are the caller's own array",
        ("aliases-memory",),
        ("x", "skip"),
    ),
]
