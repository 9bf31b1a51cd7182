"""Images, sound, norms, activations."""

import math

import numpy as np

from ._entry import Stranger
from ._help_c import cotangent, pairs


def rng(seed):
    return np.random.default_rng(seed)


# ---------------------------------------------------------------- instance norm, channels last


class InstanceNorm:
    def __init__(self, scale, shift, eps=1e-5):
        self.scale, self.shift, self.eps = scale, shift, eps

    def __call__(self, x):
        mu = x.mean(axis=(1, 2), keepdims=True)
        self.inv = (x.var(axis=(1, 2), keepdims=True) + self.eps) ** -0.5
        self.x_hat = (x - mu) * self.inv
        return self.scale * self.x_hat + self.shift

    def grad(self, dy):
        self.d_scale = (dy * self.x_hat).sum(axis=(0, 1, 2))
        self.d_shift = dy.sum(axis=(0, 1, 2))
        g = dy * self.scale
        centred = g - g.mean(axis=(1, 2), keepdims=True)
        return self.inv * (centred - self.x_hat * (g * self.x_hat).mean(axis=(1, 2), keepdims=True))


def make_instance():
    r = rng(501)
    return InstanceNorm(r.uniform(0.5, 1.5, 3), r.standard_normal(3)), r.standard_normal((2, 4, 3, 3))


def prove_instance():
    layer, x = make_instance()
    d = cotangent(*layer(x).shape)
    dx = layer.grad(d)
    return pairs(
        lambda: np.sum(layer(x) * d), (dx, x), (layer.d_scale, layer.scale), (layer.d_shift, layer.shift)
    )


# ---------------------------------------------------------------- batch norm with buffers and a flag


class BatchNorm1d:
    def __init__(self, n, momentum=0.1, eps=1e-5, seed=0):
        r = np.random.default_rng(seed)
        self.weight, self.bias = r.uniform(0.5, 1.5, n), r.standard_normal(n)
        self.running_mean, self.running_var = 0.3 * r.standard_normal(n), r.uniform(0.5, 2.0, n)
        self.momentum, self.eps = momentum, eps
        self.training = True

    def train(self, mode=True):
        self.training = mode
        return self

    def eval(self):
        return self.train(False)

    def forward(self, x):
        if self.training:
            mean, var = x.mean(0), x.var(0)
            n = len(x)
            self.running_mean = (1 - self.momentum) * self.running_mean + self.momentum * mean
            self.running_var = (1 - self.momentum) * self.running_var + self.momentum * var * n / (n - 1)
        else:
            mean, var = self.running_mean, self.running_var
        self.std = np.sqrt(var + self.eps)
        self.xhat = (x - mean) / self.std
        self.used_batch = self.training
        return self.weight * self.xhat + self.bias

    def backward(self, grad_output):
        self.grad_weight = np.sum(grad_output * self.xhat, axis=0)
        self.grad_bias = np.sum(grad_output, axis=0)
        g = grad_output * self.weight
        if self.used_batch:
            g = g - g.mean(0) - self.xhat * (g * self.xhat).mean(0)
        return g / self.std


def make_batchnorm():
    return BatchNorm1d(4, seed=502), 2 * rng(503).standard_normal((6, 4)) + 1


def prove_batchnorm():
    out = []
    for mode in (True, False):
        layer, x = make_batchnorm()
        layer.train(mode)
        d = cotangent(*layer.forward(x).shape)
        dx = layer.backward(d)

        def f(layer=layer, x=x, d=d):
            return np.sum(layer.forward(x) * d)

        out += pairs(f, (dx, x), (layer.grad_weight, layer.weight), (layer.grad_bias, layer.bias))
    return out


# ---------------------------------------------------------------- RMS norm, eps in another place


class RMSNorm:
    def __init__(self, gain, eps=0.02):
        self.gain, self.eps = gain, eps
        self._x = self._rms = self._dgain = None

    @property
    def gradient(self):
        return {"gain": self._dgain}

    def forward(self, x):
        self._x = x
        self._rms = np.sqrt(np.mean(x**2, axis=-1, keepdims=True) + self.eps)
        return x / self._rms * self.gain

    def backward(self, dy):
        x = self._x
        rms = np.sqrt(np.mean(x**2, axis=-1, keepdims=True)) + self.eps
        self._dgain = np.sum((dy * x / self._rms).reshape(-1, x.shape[-1]), axis=0)
        g = dy * self.gain
        return g / rms - x * np.mean(g * x, axis=-1, keepdims=True) / rms**3


def make_rms():
    r = rng(504)
    return RMSNorm(r.uniform(0.5, 1.5, 5)), 0.6 * r.standard_normal((2, 3, 5))


def prove_rms():
    layer, x = make_rms()
    d = cotangent(*layer.forward(x).shape)
    dx = layer.backward(d)
    return pairs(lambda: np.sum(layer.forward(x) * d), (dx, x), (layer.gradient["gain"], layer.gain))


# ---------------------------------------------------------------- depthwise convolution


class DepthwiseConv:
    def __init__(self, kernel, dilation=1):
        self.kernel = kernel
        self.dilation = dilation
        self.kernel_delta = None

    def run(self, image):
        C, kh, kw = self.kernel.shape
        d = self.dilation
        H, W = image.shape[2] - d * (kh - 1), image.shape[3] - d * (kw - 1)
        self.image = image
        out = np.zeros(image.shape[:2] + (H, W))
        for i in range(kh):
            for j in range(kw):
                out += image[:, :, i * d : i * d + H, j * d : j * d + W] * self.kernel[:, i, j][:, None, None]
        return out

    def run_backwards(self, delta):
        C, kh, kw = self.kernel.shape
        d = self.dilation
        H, W = delta.shape[2:]
        self.kernel_delta = np.zeros_like(self.kernel)
        image_delta = np.zeros_like(self.image)
        for i in range(kh):
            for j in range(kw):
                patch = self.image[:, :, i * d : i * d + H, j * d : j * d + W]
                self.kernel_delta[:, i, j] = np.einsum("nchw,nchw->c", patch, delta)
                image_delta[:, :, i * d : i * d + H, j * d : j * d + W] += (
                    delta * self.kernel[:, i, j][:, None, None]
                )
        return image_delta


def make_depthwise():
    r = rng(505)
    return DepthwiseConv(r.standard_normal((3, 3, 2)), dilation=2), r.standard_normal((2, 3, 6, 5))


def prove_depthwise():
    layer, x = make_depthwise()
    d = cotangent(*layer.run(x).shape)
    dx = layer.run_backwards(d)
    return pairs(lambda: np.sum(layer.run(x) * d), (dx, x), (layer.kernel_delta, layer.kernel))


# ---------------------------------------------------------------- transposed convolution


class ConvTranspose2d:
    def __init__(self, in_channels, out_channels, kernel_size, stride=2, seed=0):
        r = np.random.default_rng(seed)
        self.stride, self.k = stride, kernel_size
        self.params = [
            0.4 * r.standard_normal((in_channels, out_channels, kernel_size, kernel_size)),
            r.standard_normal(out_channels),
        ]
        self.grads = [None, None]

    def forward(self, x):
        w, b = self.params
        N, C, H, W = x.shape
        s, k = self.stride, self.k
        self.x = x
        out = np.zeros((N, w.shape[1], (H - 1) * s + k, (W - 1) * s + k))
        for i in range(k):
            for j in range(k):
                out[:, :, i : i + s * H : s, j : j + s * W : s] += np.einsum(
                    "nchw,cd->ndhw", x, w[:, :, i, j]
                )
        return out + b[:, None, None]

    def backward(self, dout):
        w, b = self.params
        N, C, H, W = self.x.shape
        s, k = self.stride, self.k
        dx, dw = np.zeros_like(self.x), np.zeros_like(w)
        for i in range(k):
            for j in range(k):
                part = dout[:, :, i : i + s * H : s, j : j + s * W : s]
                dx += np.einsum("ndhw,cd->nchw", part, w[:, :, i, j])
                dw[:, :, i, j] = np.tensordot(part, self.x, axes=([0, 2, 3], [0, 2, 3]))
        self.grads = [dw, dout.sum(axis=(0, 2, 3))]
        return dx


def make_transpose():
    return ConvTranspose2d(3, 3, 3, seed=506), rng(507).standard_normal((2, 3, 3, 2))


def prove_transpose():
    layer, x = make_transpose()
    d = cotangent(*layer.forward(x).shape)
    dx = layer.backward(d)
    return pairs(lambda: np.sum(layer.forward(x) * d), (dx, x), *zip(layer.grads, layer.params, strict=True))


# ---------------------------------------------------------------- sound: a WaveNet block


class WaveNetBlock:
    """Signal (batch, channels, time) in; what goes on, and what is skipped to the end, out."""

    def __init__(self, channels, dilation, seed):
        r = np.random.default_rng(seed)
        m = lambda: 0.5 * r.standard_normal((channels, channels))  # noqa: E731
        self.dilation = dilation
        self.weights = dict(f0=m(), f1=m(), g0=m(), g1=m(), res=m(), skip=m())
        self.weight_grads = dict.fromkeys(self.weights)

    def _past(self, x):
        return np.pad(x, ((0, 0), (0, 0), (self.dilation, 0)))[:, :, : x.shape[2]]

    def _future(self, d):
        return np.pad(d, ((0, 0), (0, 0), (0, self.dilation)))[:, :, self.dilation :]

    def forward(self, x):
        w = self.weights
        p = self._past(x)
        t = np.tanh(w["f1"] @ x + w["f0"] @ p)
        s = 1 / (1 + np.exp(-(w["g1"] @ x + w["g0"] @ p)))
        y = t * s
        self.kept = x, p, t, s, y
        return x + w["res"] @ y, w["skip"] @ y

    def backward(self, d_on, d_skip):
        w = self.weights
        x, p, t, s, y = self.kept
        dy = w["res"].T @ d_on + w["skip"].T @ d_skip
        da = dy * s * (1 - t * t)
        db = dy * t * s * (1 - s)
        both = lambda a, b: np.einsum("nit,njt->ij", a, b)  # noqa: E731
        self.weight_grads = dict(
            f0=both(da, p),
            f1=both(da, x),
            g0=both(db, p),
            g1=both(db, x),
            res=both(d_on, y),
            skip=both(d_skip, y),
        )
        return d_on + w["f1"].T @ da + w["g1"].T @ db + self._future(w["f0"].T @ da + w["g0"].T @ db)


def make_wavenet():
    return WaveNetBlock(3, 2, seed=508), rng(509).standard_normal((2, 3, 7))


def prove_wavenet():
    layer, x = make_wavenet()
    a, b = layer.forward(x)
    u, v = cotangent(*a.shape), cotangent(*b.shape, seed=98)
    dx = layer.backward(u, v)

    def f():
        a, b = layer.forward(x)
        return np.sum(a * u) + np.sum(b * v)

    return pairs(f, (dx, x), *[(layer.weight_grads[k], layer.weights[k]) for k in layer.weights])


# ---------------------------------------------------------------- activations


class GELU:
    erf = staticmethod(np.vectorize(math.erf, otypes=[float]))

    @classmethod
    def forward(cls, x):
        return 0.5 * x * (1 + cls.erf(x / np.sqrt(2))), x

    @classmethod
    def backward(cls, dout, x):
        c = np.sqrt(2 / np.pi)
        t = np.tanh(c * (x + 0.044715 * x**3))
        return dout * (0.5 * (1 + t) + 0.5 * x * (1 - t**2) * c * (1 + 3 * 0.044715 * x**2))


def gelu_primals():
    return (rng(510).uniform(-3.0, -0.4, (5, 6)),)


def prove_gelu():
    (x,) = gelu_primals()
    y, cache = GELU.forward(x)
    d = cotangent(*y.shape)
    return pairs(lambda: np.sum(GELU.forward(x)[0] * d), (GELU.backward(d, cache), x))


class ClippedActivation:
    """PACT: between 0 and a learnt bound."""

    def __init__(self, alpha):
        self.alpha = np.array([alpha])
        self.alpha_grad = None

    def forward(self, x):
        self.x = x
        return np.clip(x, 0.0, self.alpha)

    def backward(self, dy):
        above = self.x >= self.alpha
        self.alpha_grad = np.array([dy[above].sum()])
        return dy * 1.0


def make_clipped():
    x = 1.5 * rng(511).standard_normal((16, 12)) + 0.5
    for bound in (0.0, 1.2):
        x = np.where(np.abs(x - bound) < 0.05, bound + 0.1, x)
    return ClippedActivation(1.2), x


def prove_clipped():
    layer, x = make_clipped()
    layer.forward(x)
    d = cotangent(16, 12)
    dx = layer.backward(d)
    return pairs(lambda: np.sum(layer.forward(x) * d), (dx, x), (layer.alpha_grad, layer.alpha))


class KWinners:
    """The k largest of each row pass, the others are silent."""

    def __init__(self, k):
        self.k = k

    def forward(self, x):
        bar = np.sort(x, axis=1)[:, -self.k][:, None]
        self.winners = x >= bar
        return np.where(self.winners, x, 0.0)

    def backward(self, dout):
        dx = np.empty_like(dout)
        dx[self.winners] = dout[self.winners]
        return dx


def make_winners():
    return KWinners(3), rng(512).standard_normal((4, 7)) + 1.0


def prove_winners():
    layer, x = make_winners()
    d = cotangent(*layer.forward(x).shape)
    _ = [np.full_like(x, 3.0) + i for i in range(8)]
    del _
    dx = layer.backward(d)
    return pairs(lambda: np.sum(layer.forward(x) * d), (dx, x))


# ---------------------------------------------------------------- habit


class GlobalAveragePool:
    """Saves allocations: the gradient is written into one buffer, call after call."""

    def __init__(self, shape):
        self._buffer = np.zeros(shape)

    def forward(self, x):
        if self._buffer.shape != x.shape:
            self._buffer = np.zeros(x.shape)
        return x.mean(axis=(2, 3))

    def backward(self, dout):
        _, _, H, W = self._buffer.shape
        self._buffer[...] = dout[:, :, None, None] / (H * W)
        return self._buffer


def _layer(make):
    def call(gradlab):
        layer, *inputs = make()
        return gradlab.check_layer(layer, *inputs)

    return call


ENTRIES = [
    Stranger(
        "instance norm, channels last",
        "layer that is called, and has grad",
        _layer(make_instance),
        prove_instance,
    ),
    Stranger(
        "batch norm with running averages and a flag",
        "layer with modes and buffers",
        _layer(make_batchnorm),
        prove_batchnorm,
    ),
    Stranger(
        "RMS norm: eps outside of the root on the way back",
        "layer whose gradients are a property",
        _layer(make_rms),
        prove_rms,
        "wrong",
        "sqrt(mean) + eps where sqrt(mean + eps) is meant",
        ("epsilon-mismatch",),
        ("dx",),
    ),
    Stranger(
        "dilated depthwise convolution",
        "layer with run and run_backwards",
        _layer(make_depthwise),
        prove_depthwise,
    ),
    Stranger(
        "transposed convolution: its kernel's gradient has the channels transposed",
        "layer with lists params and grads",
        _layer(make_transpose),
        prove_transpose,
        "wrong",
        "tensordot(part, x) gives (out, in), and the kernel is (in, out)",
        ("transposed",),
        ("grads[0]",),
    ),
    Stranger(
        "WaveNet block with two outputs",
        "layer with two outputs, dicts of weights and gradients",
        _layer(make_wavenet),
        prove_wavenet,
    ),
    Stranger(
        "gelu by erf: the derivative of the one by tanh",
        "class methods forward and backward with a cache",
        lambda gradlab: gradlab.check_cached_pair(GELU.forward, GELU.backward, gelu_primals()),
        prove_gelu,
        "wrong",
        "forward is exact, backward that of the approximation",
        ("other-approximation",),
        ("dx",),
    ),
    Stranger(
        "clipped activation with a learnt bound: everything passes on the way back",
        "layer with one parameter",
        _layer(make_clipped),
        prove_clipped,
        "wrong",
        "dx = dy where the clipped elements should get none",
        ("straight-through", "masked-region"),
        ("dx",),
    ),
    Stranger(
        "the k winners of each row: the losers' gradient is never written",
        "layer without parameters",
        _layer(make_winners),
        prove_winners,
        "wrong",
        "np.empty_like where np.zeros_like is meant",
        ("nondeterministic", "masked-region", "not-finite"),
        ("dx",),
    ),
    Stranger(
        "global average pooling with one buffer for all gradients",
        "layer without parameters",
        lambda gradlab: gradlab.check_layer(
            GlobalAveragePool((2, 3, 4, 4)), rng(513).standard_normal((2, 3, 4, 4))
        ),
        lambda: [],
        "habit",
        "every backward returns the same array, and the next one writes into it",
        ("aliases-memory",),
        ("dx",),
    ),
]
