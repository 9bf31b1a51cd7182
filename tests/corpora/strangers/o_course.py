"""Layers as they stand in course assignments."""

import numpy as np

from ._entry import Stranger
from ._help_o import cotangent, pairs


# ---------------------------------------------------------------- group norm, channels last
def groupnorm_nlc_forward(x, gamma, beta, gn_param):
    """x: (N, L, C), channels LAST. gn_param: {'G': groups, 'eps': ...}"""
    G, eps = gn_param["G"], gn_param.get("eps", 1e-5)
    N, L, C = x.shape
    xg = x.reshape(N, L, G, C // G)
    mu = xg.mean(axis=(1, 3), keepdims=True)
    var = xg.var(axis=(1, 3), keepdims=True)
    istd = 1.0 / np.sqrt(var + eps)
    x_hat = ((xg - mu) * istd).reshape(N, L, C)
    out = gamma * x_hat + beta
    cache = {"x_hat": x_hat, "istd": istd, "gamma": gamma, "G": G}
    return out, cache


def groupnorm_nlc_backward(dout, cache):
    x_hat, istd, G = cache["x_hat"], cache["istd"], cache["G"]
    N, L, C = dout.shape
    grads = {"gamma": np.einsum("nlc,nlc->c", dout, x_hat), "beta": np.einsum("nlc->c", dout)}
    dxh = (dout * cache["gamma"]).reshape(N, L, G, C // G)
    xh = x_hat.reshape(N, L, G, C // G)
    m1 = dxh.mean(axis=(1, 3), keepdims=True)
    m2 = (dxh * xh).mean(axis=(1, 3), keepdims=True)
    grads["x"] = (istd * (dxh - m1 - xh * m2)).reshape(N, L, C)
    return grads


# ---------------------------------------------------------------- scaled weight standardisation
def ws_affine_forward(x, W, gain, b):
    n = W.shape[0]
    mu = W.mean(0)
    s = 1 / np.sqrt(n * W.var(0) + 1e-4)
    What = (W - mu) * s
    return x @ (What * gain) + b, (x, What, s, gain)


def ws_affine_backward(cache, dout):
    x, What, s, gain = cache
    dWeff = x.T @ dout
    dgain = np.sum(dWeff * What, 0)
    dWhat = dWeff * gain
    dW = s * (dWhat - dWhat.mean(0) - What * np.sum(dWhat * What, 0))
    dx = dout @ (What * gain).T
    return dx, dW, dgain, dout.sum(0)


# ---------------------------------------------------------------- maxout
def maxout_forward(x, W, b):
    """W: (pieces, D, M), b: (pieces, M)."""
    z = np.einsum("nd,kdm->nkm", x, W) + b
    winner = z.argmax(axis=1)
    out = np.take_along_axis(z, winner[:, None, :], axis=1)[:, 0]
    return out, (x, W, winner)


def maxout_backward(dout, cache):
    x, W, winner = cache
    dz = np.zeros((x.shape[0], W.shape[0], W.shape[2]))
    np.put_along_axis(dz, winner[:, None, :], dout[:, None, :], axis=1)
    dx = np.einsum("nkm,kdm->nd", dz, W)
    dW = np.einsum("nd,nkm->kdm", x, dz)
    return dx, dW, dz.sum(axis=0)


# ---------------------------------------------------------------- RMS norm over the first few features only
class PartialRMSNorm:
    """pRMSNorm: das quadratische Mittel wird nur aus den ersten k Merkmalen geschaetzt."""

    def __init__(self, dim, anteil=0.4, eps=1e-6):
        self.k = max(1, int(dim * anteil))
        self.eps = eps
        self.g = np.linspace(0.6, 1.5, dim)
        self.dg = None

    def forward(self, x):
        kopf = x[..., : self.k]
        self.x = x
        self.r = np.sqrt((kopf**2).mean(-1, keepdims=True) + self.eps)
        return self.g * x / self.r

    def backward(self, dout):
        achsen = tuple(range(dout.ndim - 1))
        self.dg = (dout * self.x / self.r).sum(axis=achsen)
        v = dout * self.g
        dx = v / self.r
        # Weg ueber die Norm: nur die ersten k Merkmale bekommen etwas ab
        dr = -(v * self.x).sum(-1, keepdims=True) / self.r**2
        dx[..., : self.k] += dr * self.x[..., : self.k] / (self.k * self.r)
        return dx


# ---------------------------------------------------------------- ArcFace-like margin loss
class ArcMarginLoss:
    def __init__(self, n_classes, dim, s=4.0, m=0.25, seed=3):
        self.W = np.random.default_rng(seed).normal(size=(n_classes, dim))
        self.s, self.m = s, m

    def forward(self, x, y):
        self.y = y
        self.nx = np.linalg.norm(x, axis=1, keepdims=True)
        self.nw = np.linalg.norm(self.W, axis=1, keepdims=True)
        self.xn, self.wn = x / self.nx, self.W / self.nw
        self.cos = self.xn @ self.wn.T
        rows = np.arange(len(y))
        c = self.cos[rows, y]
        self.c, self.sin = c, np.sqrt(1 - c**2)
        z = self.s * self.cos
        z[rows, y] = self.s * (c * np.cos(self.m) - self.sin * np.sin(self.m))
        z = z - z.max(axis=1, keepdims=True)
        e = np.exp(z)
        self.p = e / e.sum(axis=1, keepdims=True)
        return -np.log(self.p[rows, y]).mean()

    def backward(self):
        rows = np.arange(len(self.y))
        dz = self.p.copy()
        dz[rows, self.y] -= 1
        dcos = dz * self.s / len(self.y)
        dcos[rows, self.y] *= np.cos(self.m) + self.c * np.sin(self.m) / self.sin
        dxn, dwn = dcos @ self.wn, dcos.T @ self.xn
        self.dW = (dwn - self.wn * (dwn * self.wn).sum(1, keepdims=True)) / self.nw
        return (dxn - self.xn * (dxn * self.xn).sum(1, keepdims=True)) / self.nx


# ---------------------------------------------------------------- causal gain control
class CausalGainControl:
    """y[t] = x[t] / (k + a * (x[t]^2 + x[t-1]^2 + ... + x[t-n+1]^2)) ** b, for x of shape (B, T, C)."""

    def __init__(self, n=3, k=1.0, a=0.3, b=0.75):
        self.n, self.k, self.a, self.b = n, k, a, b

    def _window(self, v):
        acc = v.copy()
        for j in range(1, self.n):
            acc[:, j:] += v[:, :-j]
        return acc

    def forward(self, x):
        self.x = x
        self.den = self.k + self.a * self._window(x**2)
        return x * self.den**-self.b

    def backward(self, dout):
        dden = -self.b * dout * self.x * self.den ** (-self.b - 1)
        spread = self._window(dden)
        return dout * self.den**-self.b + 2 * self.a * self.x * spread


# ---------------------------------------------------------------- weight normalisation
def weightnorm_forward(x, v, g, b):
    norm = np.sqrt((v**2).sum(axis=0))
    u = v / norm
    return x @ (g * u) + b, (x, u, g, norm)


def weightnorm_backward(dout, cache):
    x, u, g, norm = cache
    dw = x.T @ dout
    dg = (dw * u).sum(axis=1)
    du = dw * g
    dv = (du - u * (du * u).sum(axis=0)) / norm
    return dout @ (g * u).T, dv, dg, dout.sum(axis=0)


# ---------------------------------------------------------------- highway
class Highway:
    def __init__(self, d, seed=0):
        r = np.random.RandomState(seed)
        self.Wh, self.Wt = r.randn(d, d) * 0.6, r.randn(d, d) * 0.6
        self.bh, self.bt = np.zeros(d), -np.ones(d)

    def forward(self, x):
        self.x = x
        self.H = np.tanh(x.dot(self.Wh) + self.bh)
        self.T = 1.0 / (1.0 + np.exp(-x.dot(self.Wt) - self.bt))
        return self.T * self.H + (1 - self.T) * x

    def backward(self, dout):
        dH = dout * self.T
        dT = dout * self.H
        da = dH * (1 - self.H**2)
        dg = dT * self.T * (1 - self.T)
        self.dWh, self.dbh = self.x.T.dot(da), da.sum(0)
        self.dWt, self.dbt = self.x.T.dot(dg), dg.sum(0)
        return da.dot(self.Wh.T) + dg.dot(self.Wt.T) + dout * (1 - self.T)


# ---------------------------------------------------------------- GEGLU
SQRT_2_PI = np.sqrt(2.0 / np.pi)


class GEGLU:
    """Halves the last axis: value * gelu(gate), gelu by the tanh formula as in GPT-2."""

    def __call__(self, x):
        self.value, self.gate = np.split(x, 2, axis=-1)
        t = np.tanh(SQRT_2_PI * (self.gate + 0.044715 * self.gate**3))
        self.act = 0.5 * self.gate * (1 + t)
        return self.value * self.act

    def backward(self, grad):
        s = 1 / (1 + np.exp(-1.702 * self.gate))
        slope = s + 1.702 * self.gate * s * (1 - s)
        return np.concatenate([grad * self.act, grad * self.value * slope], axis=-1)


# ---------------------------------------------------------------- bilinear score
def bilinear_score_forward(q, k, W):
    qW = q @ W
    score = (qW * k).sum(axis=1)
    return score, (q, k, W, qW)


def bilinear_score_backward(dscore, cache):
    q, k, W, qW = cache
    d = dscore[:, None]
    dq = d * (k @ W.T)
    dk = d * qW
    dW = q.T @ (d * k)
    return dk, dq, dW


# ---------------------------------------------------------------- what is made for each
def _r(*shape, seed=1, scale=1.0):
    return np.random.default_rng(seed).standard_normal(shape) * scale


def _gn():
    return _r(2, 5, 6), 1 + 0.2 * _r(6, seed=2), _r(6, seed=3), {"G": 3, "eps": 1e-3}


def _ws():
    return _r(4, 5), _r(5, 3, seed=2), 1 + 0.3 * _r(3, seed=4), _r(3, seed=5)


def _mo():
    return _r(5, 4), _r(3, 4, 2, seed=2), _r(3, 2, seed=3)


def _wn():
    return _r(6, 4), _r(4, 4, seed=2), 1.5 + 0.2 * _r(4, seed=3), _r(4, seed=4)


def _bl():
    return _r(5, 4), _r(5, 4, seed=2), _r(4, 4, seed=3)


Y = np.array([0, 2, 1, 2, 3])


def _pair(forward, backward, make, cache_first=False, names=None):
    primals = make()
    out, cache = forward(*primals)
    d = cotangent(out.shape)
    g = backward(cache, d) if cache_first else backward(d, cache)
    if names:
        g = [g[n] for n in names]
    arrays = [p for p in primals if isinstance(p, np.ndarray)]
    return pairs(lambda: (forward(*primals)[0] * d).sum(), g, arrays)


def _layer(layer, x, names=()):
    fwd = getattr(layer, "forward", layer)
    d = cotangent(fwd(x).shape)
    dx = layer.backward(d)
    claimed = [dx] + [getattr(layer, "d" + n) for n in names]
    return pairs(lambda: (fwd(x) * d).sum(), claimed, [x] + [getattr(layer, n) for n in names])


def _arc():
    layer, x = ArcMarginLoss(4, 3), _r(5, 3, seed=8)
    layer.forward(x, Y)
    dx = layer.backward()
    return pairs(lambda: layer.forward(x, Y), [dx, layer.dW], [x, layer.W])


ENTRIES = [
    Stranger(
        "group norm with the channels last, gradients in a dict",
        "pair with cache dict and settings dict",
        lambda gradlab: gradlab.check_cached_pair(groupnorm_nlc_forward, groupnorm_nlc_backward, _gn()),
        lambda: _pair(groupnorm_nlc_forward, groupnorm_nlc_backward, _gn, names=("x", "gamma", "beta")),
    ),
    Stranger(
        "affine layer with scaled weight standardisation",
        "pair with cache, cache first",
        lambda gradlab: gradlab.check_cached_pair(ws_affine_forward, ws_affine_backward, _ws()),
        lambda: _pair(ws_affine_forward, ws_affine_backward, _ws, cache_first=True),
    ),
    Stranger(
        "maxout of three pieces",
        "pair with cache",
        lambda gradlab: gradlab.check_cached_pair(maxout_forward, maxout_backward, _mo()),
        lambda: _pair(maxout_forward, maxout_backward, _mo),
    ),
    Stranger(
        "RMS norm estimated from the first features only",
        "layer with attribute gradients",
        lambda gradlab: gradlab.check_layer(PartialRMSNorm(7), _r(2, 3, 7)),
        lambda: _layer(PartialRMSNorm(7), _r(2, 3, 7), ["g"]),
    ),
    Stranger(
        "angular margin loss with weights of its own",
        "loss layer with labels and weights",
        lambda gradlab: gradlab.check_layer(ArcMarginLoss(4, 3), _r(5, 3, seed=8), Y),
        _arc,
    ),
    Stranger(
        "causal gain control: the gradient gathers from the past too",
        "layer without parameters",
        lambda gradlab: gradlab.check_layer(CausalGainControl(), _r(2, 8, 3)),
        lambda: _layer(CausalGainControl(), _r(2, 8, 3)),
        "wrong",
        "backward uses the window over the past, where it should be the transposed one, over the future",
        ("transposed", "shifted", "wrong-operand"),
        ("x",),
        "        spread = self._window(dden)",
        "        spread = self._window(dden[:, ::-1])[:, ::-1]",
    ),
    Stranger(
        "weight normalisation: the gain's gradient is summed over the outputs",
        "pair with cache",
        lambda gradlab: gradlab.check_cached_pair(weightnorm_forward, weightnorm_backward, _wn()),
        lambda: _pair(weightnorm_forward, weightnorm_backward, _wn),
        "wrong",
        "dg is summed over axis 1 instead of axis 0",
        ("wrong-sum-axis",),
        ("g",),
        "    dg = (dw * u).sum(axis=1)",
        "    dg = (dw * u).sum(axis=0)",
    ),
    Stranger(
        "highway layer: the carry part is forgotten in the gate's gradient",
        "layer with attribute gradients",
        lambda gradlab: gradlab.check_layer(Highway(4), _r(5, 4)),
        lambda: _layer(Highway(4), _r(5, 4), ["Wh", "bh", "Wt", "bt"]),
        "wrong",
        "the gate's gradient lacks the term -x of the carry path",
        ("missing-term",),
        ("Wt", "bt", "x"),
        "        dT = dout * self.H\n",
        "        dT = dout * (self.H - self.x)\n",
    ),
    Stranger(
        "GEGLU: tanh formula in forward, slope of the sigmoid formula in backward",
        "callable layer without parameters",
        lambda gradlab: gradlab.check_layer(GEGLU(), _r(3, 8)),
        lambda: _layer(GEGLU(), _r(3, 8)),
        "wrong",
        "the slope is that of x * sigmoid(1.702 x), while forward has the tanh formula",
        ("other-approximation",),
        ("x",),
        "        s = 1 / (1 + np.exp(-1.702 * self.gate))\n"
        "        slope = s + 1.702 * self.gate * s * (1 - s)\n",
        "        t = np.tanh(SQRT_2_PI * (self.gate + 0.044715 * self.gate**3))\n"
        "        inner = SQRT_2_PI * (1 + 3 * 0.044715 * self.gate**2)\n"
        "        slope = 0.5 * (1 + t) + 0.5 * self.gate * (1 - t**2) * inner\n",
    ),
    Stranger(
        "bilinear score: the gradients of query and key are returned in the other order",
        "pair with cache",
        lambda gradlab: gradlab.check_cached_pair(bilinear_score_forward, bilinear_score_backward, _bl()),
        lambda: _pair(bilinear_score_forward, bilinear_score_backward, _bl),
        "wrong",
        "dq and dk change places in the return",
        ("swapped-primals",),
        ("q", "k"),
        "    return dk, dq, dW",
        "    return dq, dk, dW",
    ),
]
