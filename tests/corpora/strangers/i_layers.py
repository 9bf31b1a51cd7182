"""Layers of computer vision and attention, in various houses' styles."""

import numpy as np

from . import _help_i as H
from ._entry import Stranger


class GeMPool2D:
    """Generalised mean pooling, exponent per channel. (neon: fprop / bprop)"""

    def __init__(self, channels, p=3.0):
        self.p = np.full(channels, p) + 0.1 * np.arange(channels)
        self.p_grad = None

    def fprop(self, inputs):
        self.inputs = np.maximum(inputs, 1e-6)
        self.inside = inputs > 1e-6
        self.xp = self.inputs ** self.p[:, None, None]
        self.mean = self.xp.mean(axis=(2, 3))
        self.outputs = self.mean ** (1 / self.p)
        return self.outputs

    def bprop(self, error):
        x, p = self.inputs, self.p
        dmean = error * self.outputs / (p * self.mean)
        n = x.shape[2] * x.shape[3]
        self.p_grad = (dmean[:, :, None, None] * self.xp * np.log(x)).sum(axis=(0, 2, 3)) / n - (
            error * self.outputs * np.log(self.mean) / p**2
        ).sum(axis=0)
        return dmean[:, :, None, None] * (p[:, None, None] * self.xp / x) / n * self.inside


def _gem():
    return GeMPool2D(2), np.random.default_rng(0).uniform(0.3, 2, (2, 2, 3, 3))


class WNConv1d:
    """Faltung mit Gewichtsnormierung: w = g v / |v|, Schritt s, ohne Rand. (B, C, L)"""

    def __init__(self, v, g, schritt=2):
        self.v, self.g, self.schritt = v, g, schritt

    def vorwaerts(self, x):
        k = self.v.shape[2]
        self.form = x.shape
        self.betrag = np.sqrt((self.v**2).sum(axis=(1, 2), keepdims=True))
        self.w = self.g[:, None, None] * self.v / self.betrag
        fenster = np.lib.stride_tricks.sliding_window_view(x, k, axis=2)[:, :, :: self.schritt]
        self.fenster = fenster
        return np.einsum("bclk,ock->bol", fenster, self.w)

    def rueckwaerts(self, dy):
        dw = np.einsum("bol,bclk->ock", dy, self.fenster)
        richtung = self.v / self.betrag
        laengs = (dw * richtung).sum(axis=(1, 2), keepdims=True)
        self.dg = laengs[:, 0, 0]
        self.dv = self.g[:, None, None] / self.betrag * (dw - laengs * richtung)
        dx = np.zeros(self.form)
        beitrag = np.einsum("bol,ock->bclk", dy, self.w)
        for pos in range(dy.shape[2]):
            a = pos * self.schritt
            dx[:, :, a : a + self.v.shape[2]] += beitrag[:, :, pos]
        return dx


def _wnconv():
    rng = np.random.default_rng(1)
    return WNConv1d(rng.normal(size=(3, 2, 3)), rng.uniform(0.5, 2, 3)), rng.normal(size=(2, 2, 9))


class FiLM(object):
    """Feature-wise modulation: gamma and beta are affine in the condition. Keras's build and call."""

    def __init__(self, seed):
        self.rng = np.random.default_rng(seed)
        self.built = False

    def build(self, feature_shape, condition_shape):
        c, k = feature_shape[1], condition_shape[1]
        self.kernel = self.rng.normal(size=(k, 2 * c)) * 0.5
        self.bias = np.concatenate([np.ones(c), np.zeros(c)])
        self.built = True

    def call(self, features, condition):
        if not self.built:
            self.build(features.shape, condition.shape)
        gb = condition @ self.kernel + self.bias
        self.gamma, beta = np.split(gb[:, :, None], 2, axis=1)
        self.features, self.condition = features, condition
        return self.gamma * features + beta

    def backward(self, grad):
        dgb = np.concatenate([(grad * self.features).sum(2), grad.sum(2)], axis=1)
        self.kernel_grad = self.condition.T @ dgb
        self.bias_grad = dgb.sum(0)
        return grad * self.gamma, dgb @ self.kernel.T


def _film():
    rng = np.random.default_rng(2)
    x, c = rng.normal(size=(3, 2, 4)), rng.normal(size=(3, 5))
    layer = FiLM(3)
    layer.build(x.shape, c.shape)
    return layer, x, c


class NetVLADCore:
    """VLAD with soft assignment. Stateless: forward gives (out, cache), backward(dout, cache) a dict."""

    def __init__(self, clusters, alpha):
        self.params = {"c": clusters, "alpha": alpha}

    def forward(self, x):
        c, alpha = self.params["c"], self.params["alpha"]
        res = x[:, None] - c
        logits = -alpha * (res**2).sum(2)
        a = np.exp(logits - logits.max(1, keepdims=True))
        a /= a.sum(1, keepdims=True)
        return np.einsum("nk,nkd->kd", a, res), (res, a)

    def backward(self, dout, cache):
        res, a = cache
        alpha = self.params["alpha"]
        da = np.einsum("kd,nkd->nk", dout, res)
        dl = a * (da - (a * da).sum(1, keepdims=True))
        dres = a[..., None] * dout - 2 * alpha[:, None] * dl[..., None] * res
        return {
            "x": dres.sum(1),
            "c": -dres.sum(0),
            "alpha": -np.einsum("nk,nkd->k", dl, res**2),
        }


def _vlad():
    rng = np.random.default_rng(4)
    return NetVLADCore(rng.normal(size=(3, 2)), rng.uniform(0.5, 1, 3)), rng.normal(size=(6, 2))


def _vlad_proof():
    o, x = _vlad()
    out, cache = o.forward(x)
    g = np.random.default_rng(1).normal(size=out.shape)
    d = o.backward(g, cache)
    f = lambda: np.sum(g * o.forward(x)[0])
    return [(d["x"], H.true(f, x)), *((d[k], H.true(f, v)) for k, v in o.params.items())]


class PoincareDistance:
    """Distance dans le disque de Poincare, ligne par ligne."""

    def avant(self, u, v):
        self.u, self.v = u, v
        self.a, self.b = 1 - (u**2).sum(1), 1 - (v**2).sum(1)
        self.e = ((u - v) ** 2).sum(1)
        self.q = 1 + 2 * self.e / (self.a * self.b)
        return np.arccosh(self.q)

    def arriere(self, g):
        dq = g / np.sqrt(self.q**2 - 1)
        de = dq * 2 / (self.a * self.b)
        ecart = 2 * de[:, None] * (self.u - self.v)
        du = ecart + 2 * self.u * (de * self.e / self.a)[:, None]
        dv = -ecart + 2 * self.v * (de * self.e / self.b)[:, None]
        return du, dv


def _poincare():
    rng = np.random.default_rng(5)
    return PoincareDistance(), rng.uniform(-0.6, 0.6, (4, 2)), rng.uniform(-0.6, 0.6, (4, 2))


class RotaryAttention:
    """Single-head causal attention, q and k turned by their place (RoPE, halves)."""

    def __init__(self, d, rng):
        self.Wqkv = rng.normal(size=(d, 3 * d)) / np.sqrt(d)
        self.d = d
        self.freq = 1.0 / 10 ** (np.arange(d // 2) / (d // 2))

    def _turn(self, z, way):
        ang = way * np.arange(z.shape[0])[:, None] * self.freq
        a, b = np.split(z, 2, axis=1)
        return np.hstack([a * np.cos(ang) - b * np.sin(ang), a * np.sin(ang) + b * np.cos(ang)])

    def forward(self, x):
        q, k, v = np.split(x @ self.Wqkv, 3, axis=1)
        q, k = self._turn(q, 1), self._turn(k, 1)
        s = q @ k.T / np.sqrt(self.d)
        s[np.triu_indices(len(x), 1)] = -np.inf
        s = np.exp(s - s.max(1, keepdims=True))
        p = s / s.sum(1, keepdims=True)
        self.ctx = x, q, k, v, p
        return p @ v

    def backward(self, do):
        x, q, k, v, p = self.ctx
        dp = do @ v.T
        ds = p * (dp - (dp * p).sum(1, keepdims=True)) / np.sqrt(self.d)
        dq, dk = self._turn(ds @ k, -1), self._turn(ds.T @ q, -1)
        dqkv = np.hstack([dq, dk, p.T @ do])
        self.dWqkv = x.T @ dqkv
        return dqkv @ self.Wqkv.T


def _rope():
    rng = np.random.default_rng(6)
    return RotaryAttention(4, rng), rng.normal(size=(5, 4))


class SinkhornLayer:
    """Log-domain Sinkhorn, iterations unrolled; temperature is trained."""

    def __init__(self, tau=0.7, n_iter=3):
        self.tau, self.n_iter = np.array(tau), n_iter

    def __call__(self, cost):
        z = -cost / self.tau
        self.first, self.soft = z, []
        for k in range(2 * self.n_iter):
            axis = 1 - k % 2
            m = z.max(axis, keepdims=True)
            z = z - m - np.log(np.exp(z - m).sum(axis, keepdims=True))
            self.soft.append((np.exp(z), axis))
        return self.soft[-1][0]

    def backward(self, dplan):
        dz = dplan * self.soft[-1][0]
        for p, axis in reversed(self.soft):
            dz = dz - p * dz.sum(axis, keepdims=True)
        self.dtau = -(dz * self.first).sum() / self.tau
        return -dz / self.tau


class InstanceNormHWC:
    # per image and channel, channels last; small patches of a dim picture
    def __init__(self, c, eps=1e-3):
        self.gamma, self.beta, self.eps = np.linspace(0.5, 1.5, c), np.zeros(c), eps

    def forward(self, x):
        mu = x.mean(axis=(1, 2), keepdims=True)
        self.xc = x - mu
        self.var = (self.xc**2).mean(axis=(1, 2), keepdims=True)
        self.xhat = self.xc / np.sqrt(self.var + self.eps)
        return self.gamma * self.xhat + self.beta

    def backward(self, dy):
        self.dgamma, self.dbeta = (dy * self.xhat).sum((0, 1, 2)), dy.sum((0, 1, 2))
        d = dy * self.gamma
        inv = 1 / np.sqrt(self.var + 1e-5)
        mean = lambda a: a.mean(axis=(1, 2), keepdims=True)
        return inv * (d - mean(d) - self.xhat * mean(d * self.xhat))


def _instance():
    return InstanceNormHWC(2), 0.15 * np.random.default_rng(7).normal(size=(2, 3, 4, 2))


class ReflectBlur:
    """Learned 1-D kernel along the last axis, signal reflected at both ends (edge sample not repeated)."""

    def __init__(self, kernel):
        self.kernel = kernel
        self.r = len(kernel) // 2

    def forward(self, x):
        r = self.r
        self.xp = np.pad(x, ((0, 0), (r, r)), mode="reflect")
        self.n = x.shape[1]
        return sum(w * self.xp[:, j : j + self.n] for j, w in enumerate(self.kernel))

    def backward(self, dy):
        r, n = self.r, self.n
        self.dkernel = np.array([np.sum(dy * self.xp[:, j : j + n]) for j in range(len(self.kernel))])
        dxp = np.zeros_like(self.xp)
        for j, w in enumerate(self.kernel):
            dxp[:, j : j + n] += w * dy
        dx = dxp[:, r : r + n].copy()
        return dx


def _blur():
    rng = np.random.default_rng(8)
    return ReflectBlur(rng.uniform(0.1, 1, 5)), rng.normal(size=(2, 9))


class HeadMixer:
    """Talking heads: (B, T, heads * d) is split into heads, heads are mixed by a matrix, and merged again."""

    def __init__(self, mix):
        self.mix = mix
        self.heads = len(mix)

    def forward(self, x):
        B, T, D = x.shape
        self.split = x.reshape(B, T, self.heads, D // self.heads).transpose(0, 2, 1, 3)
        mixed = np.einsum("gh,bhtd->bgtd", self.mix, self.split)
        return np.tanh(mixed.transpose(0, 2, 1, 3).reshape(B, T, D)) + x

    def backward(self, dy):
        B, T, D = dy.shape
        h = self.heads
        mixed = np.einsum("gh,bhtd->btgd", self.mix, self.split).reshape(B, T, D)
        dm = (dy * (1 - np.tanh(mixed) ** 2)).reshape(B, T, h, D // h).transpose(0, 2, 1, 3)
        self.dmix = np.einsum("bgtd,bhtd->gh", dm, self.split)
        ds = np.einsum("gh,bgtd->bhtd", self.mix, dm)
        return dy + ds.reshape(B, T, D)


def _heads():
    rng = np.random.default_rng(9)
    return HeadMixer(rng.normal(size=(2, 2))), rng.normal(size=(2, 3, 4))


class SafeLogDepth:
    """log(softplus(scale * disparity)); the author was afraid of exploding gradients"""

    def __init__(self, scale):
        self.scale = scale

    def forward(self, disp):
        self.disp = disp
        self.z = self.scale * disp
        self.sp = np.logaddexp(0, self.z)
        return np.log(self.sp)

    def backward(self, dout):
        dz = dout / self.sp / (1 + np.exp(-self.z))
        dz = np.clip(dz, -0.5, 0.5)
        self.dscale = (dz * self.disp).sum(axis=0)
        return dz * self.scale


def _depth():
    rng = np.random.default_rng(10)
    return SafeLogDepth(np.array([1.2, 0.8, 1.5])), rng.normal(size=(6, 3))


ENTRIES = [
    Stranger(
        "generalised mean pooling",
        "fprop and bprop",
        lambda g: g.check_layer(*_gem()),
        lambda: H.layer(*_gem(), fwd="fprop", bwd="bprop", params=".p>.p_grad"),
    ),
    Stranger(
        "weight-normalised strided convolution",
        "vorwaerts and rueckwaerts, in German",
        lambda g: g.check_layer(*_wnconv(), forward="vorwaerts", backward="rueckwaerts"),
        lambda: H.layer(*_wnconv(), fwd="vorwaerts", bwd="rueckwaerts", params=".v>.dv .g>.dg"),
    ),
    Stranger(
        "FiLM with Keras's build and call",
        "call and backward, two inputs",
        lambda g: g.check_layer(*_film()),
        lambda: H.layer(*_film(), fwd="call", params=".kernel>.kernel_grad .bias>.bias_grad"),
    ),
    Stranger(
        "VLAD with soft assignment",
        "stateless object: (out, cache), backward(dout, cache) gives a dict",
        lambda g: g.check_layer(*_vlad()),
        _vlad_proof,
    ),
    Stranger(
        "Poincare distance",
        "avant and arriere, in French",
        lambda g: g.check_layer(*_poincare(), forward="avant", backward="arriere"),
        lambda: H.layer(*_poincare(), fwd="avant", bwd="arriere"),
    ),
    Stranger(
        "causal attention with rotary places",
        "layer, one matrix for q, k and v",
        lambda g: g.check_layer(*_rope()),
        lambda: H.layer(*_rope(), params=".Wqkv>.dWqkv"),
    ),
    Stranger(
        "Sinkhorn layer, unrolled",
        "callable layer with a 0-d parameter",
        lambda g: g.check_layer(SinkhornLayer(), np.random.default_rng(3).normal(size=(4, 4))),
        lambda: H.layer(
            SinkhornLayer(), np.random.default_rng(3).normal(size=(4, 4)), fwd="__call__", params=".tau>.dtau"
        ),
    ),
    Stranger(
        "instance norm, channels last: another epsilon in backward",
        "layer",
        lambda g: g.check_layer(*_instance()),
        lambda: H.layer(*_instance(), params=".gamma>.dgamma .beta>.dbeta"),
        "wrong",
        "backward has 1e-5 where forward has eps = 1e-3",
        ("epsilon-mismatch",),
        ("x",),
        "        inv = 1 / np.sqrt(self.var + 1e-5)\n",
        "        inv = 1 / np.sqrt(self.var + self.eps)\n",
    ),
    Stranger(
        "reflecting blur: the reflected ends are cut off",
        "layer",
        lambda g: g.check_layer(*_blur()),
        lambda: H.layer(*_blur(), params=".kernel>.dkernel"),
        "wrong",
        "the gradient of the padding is thrown away instead of being folded back onto the samples",
        ("border", "missing-term"),
        ("x",),
        "        dx = dxp[:, r : r + n].copy()\n",
        "        dx = dxp[:, r : r + n].copy()\n        dx[:, 1 : r + 1] += dxp[:, :r][:, ::-1]\n"
        "        dx[:, n - r - 1 : n - 1] += dxp[:, r + n :][:, ::-1]\n",
    ),
    Stranger(
        "mixing of heads: merged without transposing",
        "layer",
        lambda g: g.check_layer(*_heads()),
        lambda: H.layer(*_heads(), params=".mix>.dmix"),
        "wrong",
        "the heads are merged by reshape alone, the axes of time and heads are not exchanged first",
        ("axes-permuted",),
        ("x",),
        "        return dy + ds.reshape(B, T, D)\n",
        "        return dy + ds.transpose(0, 2, 1, 3).reshape(B, T, D)\n",
    ),
    Stranger(
        "log of a soft depth: gradient clipped within the layer",
        "layer",
        lambda g: g.check_layer(*_depth()),
        lambda: H.layer(*_depth(), params=".scale>.dscale"),
        "wrong",
        "the gradient is clipped to [-0.5, 0.5] inside backward",
        ("nonlinear-in-cotangent", "masked-region"),
        ("disp", "scale"),
        "        dz = np.clip(dz, -0.5, 0.5)\n        self.dscale = (dz * self.disp).sum(axis=0)\n",
        "        self.dscale = (dz * self.disp).sum(axis=0)\n",
    ),
]
