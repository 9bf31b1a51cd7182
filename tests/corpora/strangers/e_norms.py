"""Normalisers, gates and scales, each in the way of another author."""

import math
from dataclasses import dataclass

import numpy as np

from ._entry import Stranger
from ._help_e import pairs


class BNAllInOne(object):
    """Everything lives in self.vars: what is trained, and what is only tracked."""

    def __init__(self, dim, momentum=0.9):
        rng = np.random.RandomState(2)
        self.vars = {
            "scale": 1 + 0.3 * rng.randn(dim),
            "offset": rng.randn(dim),
            "moving_mean": np.zeros(dim),
            "moving_var": np.ones(dim),
        }
        self.var_grads = {}
        self.momentum = momentum

    def forward(self, x, is_training=True):
        v = self.vars
        if is_training:
            mu, var = x.mean(0), x.var(0)
            v["moving_mean"] = self.momentum * v["moving_mean"] + (1 - self.momentum) * mu
            v["moving_var"] = self.momentum * v["moving_var"] + (1 - self.momentum) * var
        else:
            mu, var = v["moving_mean"], v["moving_var"]
        self.training = is_training
        self.istd = 1.0 / np.sqrt(var + 1e-3)
        self.xn = (x - mu) * self.istd
        return v["scale"] * self.xn + v["offset"]

    def backward(self, dy):
        self.var_grads = {"scale": (dy * self.xn).sum(0), "offset": dy.sum(0)}
        dxn = dy * self.vars["scale"]
        if not self.training:
            return dxn * self.istd
        n = float(len(dy))
        return self.istd / n * (n * dxn - dxn.sum(0) - self.xn * (dxn * self.xn).sum(0))


def bnall():
    return BNAllInOne(3), np.random.default_rng(3).standard_normal((5, 3)) + 0.4


def prove_bnall():
    m, x = bnall()
    return pairs(
        lambda: m.forward(x),
        [x, m.vars["scale"], m.vars["offset"]],
        lambda g: [m.backward(g), m.var_grads["scale"], m.var_grads["offset"]],
    )


class GroupNormRow:
    """Scale and shift are rows of shape (1, C), and so are their gradients."""

    def __init__(self, channels, groups):
        r = np.random.default_rng(12)
        self.G = groups
        self.gamma, self.beta = r.standard_normal((1, channels)), r.standard_normal((1, channels))
        self.calls = 0

    def forward(self, x):
        self.calls += 1
        N, C = x.shape
        xg = x.reshape(N, self.G, -1)
        dev = xg - xg.mean(2, keepdims=True)
        self.sigma = np.sqrt((dev**2).mean(2, keepdims=True) + 1e-5)
        self.z = dev / self.sigma
        return self.z.reshape(N, C) * self.gamma + self.beta

    def backward(self, dout):
        N, C = dout.shape
        self.dgamma = (dout * self.z.reshape(N, C)).sum(0, keepdims=True)
        self.dbeta = dout.sum(0, keepdims=True)
        dz = (dout * self.gamma).reshape(N, self.G, -1)
        dz = dz - dz.mean(2, keepdims=True) - self.z * (dz * self.z).mean(2, keepdims=True)
        return (dz / self.sigma).reshape(N, C)


def gnrow():
    return GroupNormRow(6, 2), np.random.default_rng(13).standard_normal((3, 6))


def prove_gnrow():
    m, x = gnrow()
    return pairs(lambda: m.forward(x), [x, m.gamma, m.beta], lambda g: [m.backward(g), m.dgamma, m.dbeta])


class StandardisedDense:
    """Columns of W are centred and divided by their deviation before use."""

    def __init__(self, W, b, eps=1e-4):
        self.W, self.b, self.eps = W, b, eps
        self.grad_W, self.grad_b = np.zeros_like(W), np.zeros_like(b)

    def forward(self, x):
        self.x = x
        c = self.W - self.W.mean(axis=0)
        self.s = np.sqrt(np.mean(c * c, axis=0) + self.eps)
        self.Wn = c / self.s
        return x @ self.Wn + self.b

    def backward(self, grad):
        gWn = self.x.T @ grad
        self.grad_W = (gWn - gWn.mean(axis=0) - self.Wn * np.mean(gWn * self.Wn, axis=0)) / self.s
        self.grad_b = grad.sum(axis=0)
        return grad @ self.Wn.T


def stdense():
    r = np.random.default_rng(22)
    return StandardisedDense(r.standard_normal((4, 3)), r.standard_normal(3)), r.standard_normal((5, 4))


def prove_stdense():
    m, x = stdense()
    return pairs(lambda: m.forward(x), [x, m.W, m.b], lambda g: [m.backward(g), m.grad_W, m.grad_b])


class ScaleNorm:
    """y = g * x / max(|x|, floor). Short rows are divided by the floor, a constant."""

    def __init__(self, g=1.7, floor=1.0):
        self.g, self.floor = np.array([g]), floor
        self.dg = None

    def forward(self, x):
        self.r = np.sqrt(np.einsum("ij,ij->i", x, x))[:, None]
        self.den = np.maximum(self.r, self.floor)
        self.u = x / self.den
        return self.g * self.u

    def backward(self, dy):
        self.dg = np.array([(dy * self.u).sum()])
        radial = self.u * (dy * self.u).sum(1, keepdims=True)
        return self.g * (dy - np.where(self.r > self.floor, radial, 0.0)) / self.den


def scalenorm():
    x = np.random.default_rng(32).standard_normal((5, 3))
    x[1] *= 0.2
    return ScaleNorm(), x


def prove_scalenorm():
    m, x = scalenorm()
    return pairs(lambda: m.forward(x), [x, m.g], lambda g: [m.backward(g), m.dg])


class NeighbourNorm:
    """y_c = x_c / (k + a * sum of x^2 over the channels within `half`)^b, AlexNet's idea."""

    def __init__(self, k=1.5, a=0.4, b=0.75, half=1):
        self.k, self.a, self.b, self.half = k, a, b, half

    def _box(self, v):
        p = np.pad(v, ((0, 0), (self.half, self.half)))
        return sum(p[:, j : j + v.shape[1]] for j in range(2 * self.half + 1))

    def forward(self, x):
        self.x = x
        self.s = self.k + self.a * self._box(x * x)
        return x * self.s**-self.b

    def backward(self, g):
        crowd = self._box(g * self.x * self.s ** (-self.b - 1))
        return g * self.s**-self.b - 2 * self.a * self.b * self.x * crowd


def neighbour():
    return NeighbourNorm(), np.random.default_rng(42).standard_normal((3, 5))


def prove_neighbour():
    m, x = neighbour()
    return pairs(lambda: m.forward(x), [x], lambda g: [m.backward(g)])


class ContrastNorm:
    """Image by image: minus its mean, over its deviation (n, h, w)."""

    def __init__(self, gain):
        self.gain = gain

    def forward(self, im):
        self.m = im.mean(axis=(1, 2), keepdims=True)
        self.d = np.sqrt(((im - self.m) ** 2).mean(axis=(1, 2), keepdims=True) + 1e-3)
        self.n = (im - self.m) / self.d
        return self.gain * self.n

    def backward(self, g):
        self.dgain = (g * self.n).sum(axis=0)
        g = g * self.gain
        return (g - g.mean(axis=0) - self.n * (g * self.n).mean(axis=(1, 2), keepdims=True)) / self.d


def contrast():
    r = np.random.default_rng(52)
    return ContrastNorm(r.standard_normal((3, 2))), r.standard_normal((4, 3, 2))


def prove_contrast():
    m, x = contrast()
    return pairs(lambda: m.forward(x), [x, m.gain], lambda g: [m.backward(g), m.dgain])


@dataclass
class PNorm:
    power: np.ndarray
    eps: float = 0.05

    def forward(self, x):
        self.x = x
        self.ms = np.mean(x**2, axis=-1, keepdims=True)
        self.rms = np.sqrt(self.ms + self.eps)
        return self.power * x / self.rms

    def backward(self, dy):
        rms = np.sqrt(self.ms) + self.eps
        self.dpower = np.sum(dy * self.x / self.rms, axis=0)
        t = dy * self.power
        return t / rms - self.x * np.mean(t * self.x, axis=-1, keepdims=True) / rms**3


def pnorm():
    r = np.random.default_rng(62)
    return PNorm(r.standard_normal(4)), r.standard_normal((3, 4))


def prove_pnorm():
    m, x = pnorm()
    return pairs(lambda: m.forward(x), [x, m.power], lambda g: [m.backward(g), m.dpower])


class FrozenBN:
    """For fine-tuning: statistics come from the big data set and never move."""

    def __init__(self, mean, var, gamma, beta):
        self.mean, self.var, self.gamma, self.beta = mean, var, gamma, beta

    def forward(self, x):
        self.std = np.sqrt(self.var + 1e-5)
        self.xh = (x - self.mean) / self.std
        return self.gamma * self.xh + self.beta

    def backward(self, dout):
        self.dgamma = np.sum(dout * self.xh, axis=0)
        self.dbeta = np.sum(dout, axis=0)
        dxh = dout * self.gamma
        return (dxh - dxh.mean(axis=0) - self.xh * np.mean(dxh * self.xh, axis=0)) / self.std


def frozen():
    r = np.random.default_rng(72)
    return FrozenBN(*(r.uniform(0.5, 1.5, 3) for _ in range(4))), r.standard_normal((5, 3))


def prove_frozen():
    m, x = frozen()
    return pairs(lambda: m.forward(x), [x, m.gamma, m.beta], lambda g: [m.backward(g), m.dgamma, m.dbeta])


class GaussianGate:
    """x * Phi(x / width), with the true normal distribution function."""

    def __init__(self, width):
        self.width = np.asarray(width, dtype=float)

    def forward(self, x):
        self.x = x
        self.u = x / self.width
        self.Phi = 0.5 * (1 + np.vectorize(math.erf)(self.u / math.sqrt(2)))
        return x * self.Phi

    def backward(self, g):
        inner = 0.7978845608 * (self.u + 0.044715 * self.u**3)
        density = 0.5 * (1 - np.tanh(inner) ** 2) * 0.7978845608 * (1 + 0.134145 * self.u**2)
        self.dwidth = -(g * self.x * density * self.u / self.width).sum(axis=0)
        return g * (self.Phi + self.u * density)


def gate():
    return GaussianGate([0.8, 1.3, 2.0]), np.random.default_rng(82).standard_normal((4, 3)) * 1.5


def prove_gate():
    m, x = gate()
    return pairs(lambda: m.forward(x), [x, m.width], lambda g: [m.backward(g), m.dwidth])


class Standardiser32:
    """z-scores with a learnt temperature; gradients are handed on in single precision to save room."""

    def __init__(self, temperature):
        self.temperature = np.array(temperature)

    def forward(self, x):
        self.sd = x.std(axis=0)
        self.z = (x - x.mean(axis=0)) / self.sd
        return self.z / self.temperature

    def backward(self, g):
        self.dtemperature = -(g * self.z).sum(axis=0) / self.temperature**2
        g = g / self.temperature
        dx = (g - g.mean(axis=0) - self.z * (g * self.z).mean(axis=0)) / self.sd
        return dx.astype(np.float32)


def std32():
    return Standardiser32([0.7, 1.4, 2.1]), np.random.default_rng(92).standard_normal((6, 3))


def prove_std32():
    m, x = std32()
    return pairs(lambda: m.forward(x), [x, m.temperature], lambda g: [m.backward(g), m.dtemperature])


ENTRIES = [
    Stranger(
        "batch norm whose one dict holds trained and tracked variables",
        "layer with vars and var_grads",
        lambda gradlab: gradlab.check_layer(*bnall()),
        prove_bnall,
    ),
    Stranger(
        "group norm with rows and a counter of calls",
        "layer, gradients as rows",
        lambda gradlab: gradlab.check_layer(*gnrow()),
        prove_gnrow,
    ),
    Stranger(
        "dense layer with standardised weights",
        "layer with grad_W",
        lambda gradlab: gradlab.check_layer(*stdense()),
        prove_stdense,
    ),
    Stranger(
        "scale norm with a floor under the length",
        "layer with a scalar gain",
        lambda gradlab: gradlab.check_layer(*scalenorm()),
        prove_scalenorm,
    ),
    Stranger(
        "normalisation by neighbouring channels",
        "layer without parameters",
        lambda gradlab: gradlab.check_layer(*neighbour()),
        prove_neighbour,
    ),
    Stranger(
        "contrast norm of images: mean of the gradient over the batch",
        "layer with dgain",
        lambda gradlab: gradlab.check_layer(*contrast()),
        prove_contrast,
        "wrong",
        "the mean's path is averaged over the batch axis and not over the image",
        ("wrong-sum-axis",),
        ("im",),
        "g - g.mean(axis=0) - self.n",
        "g - g.mean(axis=(1, 2), keepdims=True) - self.n",
    ),
    Stranger(
        "root mean square norm: epsilon outside the root in backward",
        "dataclass layer",
        lambda gradlab: gradlab.check_layer(*pnorm()),
        prove_pnorm,
        "wrong",
        "backward adds epsilon to the root, forward under it",
        ("epsilon-mismatch",),
        ("x",),
        "        rms = np.sqrt(self.ms) + self.eps\n",
        "        rms = np.sqrt(self.ms + self.eps)\n",
    ),
    Stranger(
        "frozen batch norm: backward of the training formula",
        "layer with fixed statistics",
        lambda gradlab: gradlab.check_layer(*frozen()),
        prove_frozen,
        "wrong",
        "backward differentiates batch statistics that forward does not use",
        (),
        ("x",),
        "        return (dxh - dxh.mean(axis=0) - self.xh * np.mean(dxh * self.xh, axis=0)) / self.std\n",
        "        return dxh / self.std\n",
    ),
    Stranger(
        "gate by the normal distribution: density of its tanh approximation",
        "layer with dwidth",
        lambda gradlab: gradlab.check_layer(*gate()),
        prove_gate,
        "wrong",
        "the density is that of the tanh approximation, forward uses erf",
        ("other-approximation",),
        ("x", "width"),
        "        inner = 0.7978845608 * (self.u + 0.044715 * self.u**3)\n"
        "        density = 0.5 * (1 - np.tanh(inner) ** 2) * 0.7978845608"
        " * (1 + 0.134145 * self.u**2)\n",
        "        density = np.exp(-self.u**2 / 2) / math.sqrt(2 * math.pi)\n",
    ),
    Stranger(
        "z-scores with a temperature: gradient in single precision",
        "layer with a dtype of its own",
        lambda gradlab: gradlab.check_layer(*std32()),
        prove_std32,
        "habit",
        "dx comes back as float32 for float64 input",
        ("wrong-dtype",),
        ("x",),
        "return dx.astype(np.float32)",
        "return dx",
    ),
]
