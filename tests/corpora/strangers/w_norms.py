"""Normalisations, quantisers, gates, experts."""

from dataclasses import dataclass, field

import numpy as np
from scipy.special import erf, expit

from ._entry import Stranger
from ._help_w import pairs


def R(seed, *shape):
    return np.random.default_rng(seed).normal(size=shape)


# partial RMSNorm: the root mean square of the first p features stands for that of all
def make_prmsnorm(g, p, eps=1e-4):
    k = max(1, int(len(g) * p))
    state = {}

    def forward(x):
        inv = 1 / np.sqrt(np.mean(x[:, :k] ** 2, axis=1, keepdims=True) + eps)
        state["x"], state["inv"] = x, inv
        return x * inv * g

    def backward(dy):
        x, inv = state["x"], state["inv"]
        dg = (dy * x * inv).sum(axis=0)
        t = dy * g
        dx = t * inv
        dx[:, :k] -= x[:, :k] * inv**3 * (t * x).sum(axis=1, keepdims=True) / k
        return dx, dg

    return forward, backward


class PRMSNorm:
    """The same as an object, for the model zoo."""

    def __init__(self, dim, p=0.5):
        self.gamma = 1 + 0.2 * R(1, dim)
        self._f, self._b = make_prmsnorm(self.gamma, p)

    def __call__(self, x):
        return self._f(x)

    def backward(self, dy):
        dx, self.gamma_grad = self._b(dy)
        return dx


def prove_prms():
    m, x, g = PRMSNorm(6), R(2, 4, 6), R(3, 4, 6)
    m(x)
    dx = m.backward(g)
    return pairs(lambda: np.sum(m(x) * g), [dx, m.gamma_grad], [x, m.gamma])


# weight standardisation (NFNets): fan-in scaled, with a gain per unit
def ws_linear(x, W, gain, eps=1e-3):
    n = W.shape[0]
    mean, var = W.mean(0), W.var(0)
    inv = 1 / np.sqrt(np.maximum(var * n, eps))
    What = (W - mean) * inv
    return x @ (What * gain), (x, What, inv, gain)


def ws_linear_vjp(cache, dy):
    x, What, inv, gain = cache
    dWs = x.T @ dy
    dgain = (dWs * What).sum(0)
    dWhat = dWs * gain
    dW = inv * (dWhat - dWhat.mean(0) - What * (dWhat * What).sum(0))
    return dy @ (What * gain).T, dW, dgain


def ws_in():
    return R(4, 3, 5), R(5, 5, 4), 1 + 0.3 * R(6, 4)


def prove_ws():
    a, g = ws_in(), R(7, 3, 4)
    return pairs(lambda: np.sum(ws_linear(*a)[0] * g), ws_linear_vjp(ws_linear(*a)[1], g), a)


# differentiable soft quantisation (Gong 2019), the steepness is learned through alpha
@dataclass
class DSQ:
    lower: float = -2.0
    upper: float = 2.0
    bits: int = 2
    alpha: np.ndarray = field(default_factory=lambda: np.array([0.4]))
    grad_alpha: np.ndarray = field(default_factory=lambda: np.zeros(1))

    def forward(self, x):
        self.delta = (self.upper - self.lower) / (2**self.bits - 1)
        i = np.floor((x - self.lower) / self.delta).clip(0, 2**self.bits - 2)
        self.r = x - (self.lower + (i + 0.5) * self.delta)
        self.inside = (x > self.lower) & (x < self.upper)
        a = self.alpha[0]
        self.k = np.log(2 / a - 1) / self.delta
        self.t = np.tanh(self.k * self.r)
        y = self.lower + self.delta * (i + (self.t / (1 - a) + 1) / 2)
        return np.where(self.inside, y, np.clip(x, self.lower, self.upper))

    def backward(self, dout):
        a = self.alpha[0]
        half = np.where(self.inside, dout, 0) * self.delta / 2
        dt = half / (1 - a) * (1 - self.t**2)
        dk = np.sum(dt * self.r)
        self.grad_alpha[0] = dk * -2 / (self.delta * a * (2 - a)) + np.sum(half * self.t) / (1 - a) ** 2
        return dt * self.k


def prove_dsq():
    q, x, g = DSQ(), 1.3 * R(8, 3, 5), R(9, 3, 5)
    q.forward(x)
    dx = q.backward(g)
    return pairs(lambda: np.sum(q.forward(x) * g), [dx, q.grad_alpha], [x, q.alpha])


# soft mixture of experts
class Expert:
    def __init__(self, d_in, d_out, rng):
        self.W, self.b = rng.normal(size=(d_in, d_out)), rng.normal(size=d_out)

    def forward(self, x):
        self.x = x
        self.y = np.tanh(x @ self.W + self.b)
        return self.y

    def backward(self, dy):
        da = dy * (1 - self.y**2)
        self.dW, self.db = self.x.T @ da, da.sum(0)
        return da @ self.W.T


class MixtureOfExperts:
    def __init__(self, d_in, d_out, n_experts=3, seed=10):
        rng = np.random.default_rng(seed)
        self.experts = [Expert(d_in, d_out, rng) for _ in range(n_experts)]
        self.Wg = rng.normal(size=(d_in, n_experts))

    def forward(self, x):
        self.x = x
        s = x @ self.Wg
        p = np.exp(s - s.max(1, keepdims=True))
        self.p = p / p.sum(1, keepdims=True)
        self.out = np.stack([e.forward(x) for e in self.experts], 1)
        return np.einsum("ne,neo->no", self.p, self.out)

    def backward(self, dy):
        dp = np.einsum("no,neo->ne", dy, self.out)
        ds = self.p * (dp - (self.p * dp).sum(1, keepdims=True))
        self.dWg = self.x.T @ ds
        return ds @ self.Wg.T + sum(e.backward(dy * self.p[:, [i]]) for i, e in enumerate(self.experts))


def prove_moe():
    m, x, g = MixtureOfExperts(3, 2), R(11, 5, 3), R(12, 5, 2)
    m.forward(x)
    dx = m.backward(g)
    es = m.experts
    return pairs(
        lambda: np.sum(m.forward(x) * g),
        [dx, m.dWg, *(e.dW for e in es), *(e.db for e in es)],
        [x, m.Wg, *(e.W for e in es), *(e.b for e in es)],
    )


# Batch-Instance Normalization (Nam & Kim 2018), x: N x C x L
class BatchInstanceNorm1d:
    def __init__(self, c, eps=1e-5):
        self.eps = eps
        self.weights = {"rho": np.linspace(0.2, 0.8, c), "gamma": 1 + 0.1 * R(13, c), "beta": 0.1 * R(14, c)}
        self.gradients = {}

    @staticmethod
    def _norm(x, axes, eps):
        sd = np.sqrt(x.var(axis=axes, keepdims=True) + eps)
        return (x - x.mean(axis=axes, keepdims=True)) / sd, sd

    @staticmethod
    def _norm_back(d, xh, sd, axes):
        m = lambda v: v.mean(axis=axes, keepdims=True)
        return (d - m(d) - xh * m(d * xh)) / sd

    def forward(self, x):
        w = {k: v[:, None] for k, v in self.weights.items()}
        self.b, self.i = self._norm(x, (0, 2), self.eps), self._norm(x, 2, self.eps)
        self.mix = w["rho"] * self.b[0] + (1 - w["rho"]) * self.i[0]
        return w["gamma"] * self.mix + w["beta"]

    def backward(self, d):
        w = {k: v[:, None] for k, v in self.weights.items()}
        dm = d * w["gamma"]
        self.gradients["gamma"] = np.sum(d * self.mix, (0, 2))
        self.gradients["beta"] = np.sum(d, (0, 2))
        self.gradients["rho"] = np.sum(dm * (self.b[0] - self.i[0]), (0, 2))
        dx = self._norm_back(dm * w["rho"], *self.b, (0, 2))
        return dx + self._norm_back(dm * (1 - w["rho"]), *self.i, 2)


def prove_bin():
    m, x, g = BatchInstanceNorm1d(2), R(15, 3, 2, 5), R(16, 3, 2, 5)
    m.forward(x)
    dx = m.backward(g)
    w = m.weights
    return pairs(lambda: np.sum(m.forward(x) * g), [dx, *(m.gradients[k] for k in w)], [x, *w.values()])


# Filter Response Normalization (without TLU)
class FRN:
    def __init__(self, num_features, eps=0.02):
        self.gamma = 1.0 + 0.3 * R(17, num_features)
        self.beta = 0.3 * R(18, num_features)
        self.eps = eps

    def forward(self, x):
        self.x = x
        self.nu2 = np.mean(x**2, axis=(2, 3), keepdims=True)
        self.xn = x / np.sqrt(self.nu2 + self.eps)
        return self.gamma[:, None, None] * self.xn + self.beta[:, None, None]

    def backward(self, dout):
        self.dgamma = np.sum(dout * self.xn, axis=(0, 2, 3))
        self.dbeta = np.sum(dout, axis=(0, 2, 3))
        dxn = dout * self.gamma[:, None, None]
        inv = 1 / (np.sqrt(self.nu2) + self.eps)
        return inv * (dxn - self.xn * np.mean(dxn * self.xn, axis=(2, 3), keepdims=True))


def prove_frn():
    m, x, g = FRN(3), 0.8 * R(19, 2, 3, 3, 4), R(20, 2, 3, 3, 4)
    m.forward(x)
    dx = m.backward(g)
    return pairs(lambda: np.sum(m.forward(x) * g), [dx, m.dgamma, m.dbeta], [x, m.gamma, m.beta])


# spectrally normalised dense layer; u and v come from power iteration and are constants
class SNLinear:
    def __init__(self, n_in, n_out, iterations=5):
        self.weight = R(21, n_out, n_in)
        self.bias = R(22, n_out)
        u = np.ones(n_out)
        for _ in range(iterations):
            v = self.weight.T @ u
            v /= np.linalg.norm(v)
            u = self.weight @ v
            u /= np.linalg.norm(u)
        self.u, self.v = u, v

    def forward(self, x):
        self.x = x
        self.sigma = self.u @ self.weight @ self.v
        self.w_sn = self.weight / self.sigma
        return x @ self.w_sn.T + self.bias

    def backward(self, gy):
        gw = gy.T @ self.x
        self.weight_grad = gw / self.sigma
        self.bias_grad = gy.sum(axis=0)
        return gy @ self.w_sn


def prove_sn():
    m, x, g = SNLinear(4, 3), R(23, 5, 4), R(24, 5, 3)
    m.forward(x)
    dx = m.backward(g)
    return pairs(lambda: np.sum(m.forward(x) * g), [dx, m.weight_grad, m.bias_grad], [x, m.weight, m.bias])


# soft rounding of latents (Agustsson & Theis 2020), with a gain per channel before it
class SoftRound:
    def __init__(self, channels, alpha=4.0):
        self.gain = 1.5 + 0.2 * R(25, channels)
        self.alpha = alpha

    def forward(self, y):
        self.y = y
        z = y * self.gain
        m = np.floor(z) + 0.5
        self.t = np.tanh(self.alpha * (z - m))
        return m + self.t / np.tanh(self.alpha / 2) / 2

    def backward(self, dr):
        dz = dr
        self.dgain = (dz * self.y).sum(axis=0)
        return dz * self.gain


def prove_round():
    m, y, g = SoftRound(3), R(26, 4, 3), R(27, 4, 3)
    m.forward(y)
    dy = m.backward(g)
    return pairs(lambda: np.sum(m.forward(y) * g), [dy, m.dgain], [y, m.gain])


# GEGLU feed-forward
def geglu(x, W, V, W2):
    a, b = x @ W, x @ V
    act = a * expit(1.702 * a)
    return (act * b) @ W2, (x, W, V, W2, a, b, act)


def geglu_backward(dout, cache):
    x, W, V, W2, a, b, act = cache
    dh = dout @ W2.T
    dW2 = (act * b).T @ dout
    phi = np.exp(-a * a / 2) / np.sqrt(2 * np.pi)
    slope = 0.5 * (1 + erf(a / np.sqrt(2))) + a * phi
    da, db = dh * b * slope, dh * act
    return da @ W.T + db @ V.T, x.T @ da, x.T @ db, dW2


def geglu_in():
    return R(28, 3, 4), R(29, 4, 3), R(30, 4, 3), R(31, 3, 2)


def prove_geglu():
    a, g = geglu_in(), R(32, 3, 2)
    return pairs(lambda: np.sum(geglu(*a)[0] * g), geglu_backward(g, geglu(*a)[1]), a)


# cosine classifier head; one column per class
class CosineHead:
    def __init__(self, dim, classes, scale=8.0):
        self.W = R(33, dim, classes)
        self.scale = scale

    def forward(self, x):
        self.nx = np.linalg.norm(x, axis=1, keepdims=True)
        self.nw = np.linalg.norm(self.W, axis=0, keepdims=True)
        self.xh, self.wh = x / self.nx, self.W / self.nw
        return self.scale * self.xh @ self.wh

    def backward(self, dlogits):
        d = self.scale * dlogits
        dxh, dwh = d @ self.wh.T, self.xh.T @ d
        radial = np.sum(dwh * self.wh, axis=1, keepdims=True)
        self.dW = (dwh - self.wh * radial) / self.nw
        return (dxh - self.xh * np.sum(dxh * self.xh, axis=1, keepdims=True)) / self.nx


def prove_cosine():
    m, x, g = CosineHead(4, 4), R(34, 3, 4), R(35, 3, 4)
    m.forward(x)
    dx = m.backward(g)
    return pairs(lambda: np.sum(m.forward(x) * g), [dx, m.dW], [x, m.W])


# stochastic depth: x + keep / p * (x W)
class DropPath:
    def __init__(self, dim, batch, survival=0.5):
        rng = np.random.default_rng(36)
        self.W = rng.normal(size=(dim, dim))
        self.keep = (rng.random((batch, 1)) < survival) / survival

    def forward(self, x):
        self.x = x
        return x + self.keep * (x @ self.W)

    def backward(self, dout):
        dx = dout.copy()
        dout *= self.keep  # saves an array
        self.dW = self.x.T @ dout
        dx += dout @ self.W.T
        return dx


ENTRIES = [
    Stranger(
        "partial RMS norm",
        "object around two closures",
        lambda gradlab: gradlab.check_layer(PRMSNorm(6), R(2, 4, 6)),
        prove_prms,
    ),
    Stranger(
        "w dense layer with standardised weights",
        "pair whose backward takes the cache first",
        lambda gradlab: gradlab.check_cached_pair(ws_linear, ws_linear_vjp, ws_in()),
        prove_ws,
    ),
    Stranger(
        "differentiable soft quantisation with a learned steepness",
        "dataclass layer",
        lambda gradlab: gradlab.check_layer(DSQ(), 1.3 * R(8, 3, 5)),
        prove_dsq,
    ),
    Stranger(
        "soft mixture of experts",
        "layer with a list of layers",
        lambda gradlab: gradlab.check_layer(MixtureOfExperts(3, 2), R(11, 5, 3)),
        prove_moe,
    ),
    Stranger(
        "batch-instance normalisation",
        "layer with weights and gradients dicts",
        lambda gradlab: gradlab.check_layer(BatchInstanceNorm1d(2), R(15, 3, 2, 5)),
        prove_bin,
    ),
    Stranger(
        "filter response norm: epsilon outside the root in backward",
        "layer",
        lambda gradlab: gradlab.check_layer(FRN(3), 0.8 * R(19, 2, 3, 3, 4)),
        prove_frn,
        "wrong",
        "forward has the epsilon under the root, backward adds it to the root",
        ("epsilon-mismatch", "missing-factor"),
        ("x",),
        "        inv = 1 / (np.sqrt(self.nu2) + self.eps)",
        "        inv = 1 / np.sqrt(self.nu2 + self.eps)",
    ),
    Stranger(
        "spectral norm: sigma taken for a constant",
        "layer with weight_grad",
        lambda gradlab: gradlab.check_layer(SNLinear(4, 3), R(23, 5, 4)),
        prove_sn,
        "wrong",
        "the term of the gradient that goes through sigma = u W v is missing",
        ("missing-term",),
        ("weight",),
        "        self.weight_grad = gw / self.sigma",
        "        self.weight_grad = (gw - np.sum(gw * self.w_sn) * np.outer(self.u, self.v)) / self.sigma",
    ),
    Stranger(
        "soft rounding: dout passed straight through",
        "layer",
        lambda gradlab: gradlab.check_layer(SoftRound(3), R(26, 4, 3)),
        prove_round,
        "wrong",
        "the soft staircase is smooth, yet its slope is left out as if it were a straight-through estimator",
        ("straight-through", "missing-factor"),
        ("y", "gain"),
        "        dz = dr\n",
        "        dz = dr * (1 - self.t**2) * self.alpha / np.tanh(self.alpha / 2) / 2\n",
    ),
    Stranger(
        "GEGLU: sigmoid in forward and erf in backward",
        "pair with cache",
        lambda gradlab: gradlab.check_cached_pair(geglu, geglu_backward, geglu_in()),
        prove_geglu,
        "wrong",
        "backward has the slope of the exact GELU, forward its approximation x sigmoid(1.702 x)",
        ("other-approximation",),
        ("x", "W"),
        "    phi = np.exp(-a * a / 2) / np.sqrt(2 * np.pi)\n"
        "    slope = 0.5 * (1 + erf(a / np.sqrt(2))) + a * phi\n",
        "    sig = expit(1.702 * a)\n    slope = sig + 1.702 * a * sig * (1 - sig)\n",
    ),
    Stranger(
        "cosine classifier: columns are normalised and rows summed",
        "layer",
        lambda gradlab: gradlab.check_layer(CosineHead(4, 4), R(34, 3, 4)),
        prove_cosine,
        "wrong",
        "the radial part of the weight's gradient is summed over the classes instead of over the features",
        ("wrong-sum-axis",),
        ("W",),
        "        radial = np.sum(dwh * self.wh, axis=1, keepdims=True)",
        "        radial = np.sum(dwh * self.wh, axis=0, keepdims=True)",
    ),
    Stranger(
        "stochastic depth: multiplies dout in place",
        "layer with a fixed mask",
        lambda gradlab: gradlab.check_layer(DropPath(3, 4), R(37, 4, 3)),
        lambda: [],
        "habit",
        "backward writes into the cotangent that it is given",
        ("mutates-argument",),
    ),
]
