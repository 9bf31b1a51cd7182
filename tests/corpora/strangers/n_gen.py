"""Generative models, gates, quantisers, graphs."""

from dataclasses import dataclass, field

import numpy as np
from scipy import sparse

from ._entry import Stranger
from ._help_n import diff, rand


# --------------------------------------------------------------------- VAE
def reparametrize(mu, logvar, eps):
    """z and the KL divergence of each example; eps is drawn outside."""
    std = np.exp(0.5 * logvar)
    z = mu + std * eps
    kl = 0.5 * np.sum(mu**2 + np.exp(logvar) - logvar - 1, axis=1)
    return z, kl, {"mu": mu, "logvar": logvar, "std": std, "eps": eps}


def reparametrize_backward(dz, dkl, cache):
    dkl = dkl[:, None]
    return {
        "mu": dz + dkl * cache["mu"],
        "logvar": 0.5 * dz * cache["std"] * cache["eps"] + 0.5 * dkl * (np.exp(cache["logvar"]) - 1),
        "eps": dz * cache["std"],
    }


def vae_data():
    return rand(1, 4, 3), 0.5 * rand(2, 4, 3), rand(3, 4, 3)


def prove_vae():
    args, dz, dkl = vae_data(), rand(4, 4, 3), rand(5, 4)

    def f():
        z, kl, _ = reparametrize(*args)
        return np.sum(z * dz) + np.sum(kl * dkl)

    d = reparametrize_backward(dz, dkl, reparametrize(*args)[2])
    return [(d[k], diff(f, a)) for k, a in zip(("mu", "logvar", "eps"), args)]


# --------------------------------------------------------------------- DDPM on points in the plane
class ToyDenoiser:
    """eps_theta(x_t, t): SiLU layer that is modulated by the time embedding. forward(batch) is the loss."""

    def __init__(self, dim=2, hidden=6, T=50, seed=0):
        r = np.random.default_rng(seed)
        self.alpha_bar = np.cumprod(1 - np.linspace(1e-3, 0.08, T))
        self.params = {
            "W_in": r.normal(0, 0.7, (dim, hidden)),
            "W_t": r.normal(0, 0.7, (4, hidden)),
            "W_out": r.normal(0, 0.7, (hidden, dim)),
            "b_out": r.normal(0, 0.1, dim),
        }
        self.grads = {}

    @staticmethod
    def time_embedding(t):
        ang = t[:, None] * np.array([1.0, 0.1])
        return np.concatenate([np.sin(ang), np.cos(ang)], axis=1)

    def forward(self, batch):
        p, ab = self.params, self.alpha_bar[batch["t"]][:, None]
        xt = np.sqrt(ab) * batch["x0"] + np.sqrt(1 - ab) * batch["noise"]
        emb = self.time_embedding(batch["t"])
        lin, scale = xt @ p["W_in"], 1 + emb @ p["W_t"]
        u = lin * scale
        s = 1 / (1 + np.exp(-u))
        diff_ = (u * s) @ p["W_out"] + p["b_out"] - batch["noise"]
        self._saved = xt, emb, lin, scale, u, s, diff_
        return np.mean(diff_**2)

    def backward(self):
        xt, emb, lin, scale, u, s, diff_ = self._saved
        dpred = 2 * diff_ / diff_.size
        du = dpred @ self.params["W_out"].T * s * (1 + u * (1 - s))
        self.grads = {
            "W_in": xt.T @ (du * scale),
            "W_t": emb.T @ (du * lin),
            "W_out": (u * s).T @ dpred,
            "b_out": dpred.sum(axis=0),
        }


def ddpm_batch():
    return {"x0": rand(1, 5, 2), "t": np.array([0, 7, 20, 33, 49]), "noise": rand(2, 5, 2)}


def prove_ddpm():
    net, batch = ToyDenoiser(), ddpm_batch()
    net.forward(batch)
    net.backward()
    return [(net.grads[k], diff(lambda: net.forward(batch), net.params[k])) for k in net.params]


# --------------------------------------------------------------------- planar flow
@dataclass
class PlanarFlow:
    u: np.ndarray
    w: np.ndarray
    b: np.ndarray
    du: np.ndarray = field(init=False, default=None)
    dw: np.ndarray = field(init=False, default=None)
    db: np.ndarray = field(init=False, default=None)

    def forward(self, z):
        self.z, self.h = z, np.tanh(z @ self.w + self.b)
        self.det = 1 + (1 - self.h**2) * (self.u @ self.w)
        return z + np.outer(self.h, self.u), np.log(np.abs(self.det))

    def backward(self, df, dlogdet):
        slope = 1 - self.h**2
        ddet = dlogdet / self.det
        da = (df @ self.u) * slope - 2 * ddet * self.h * slope * (self.u @ self.w)
        ds = np.sum(ddet * slope)
        self.du = self.h @ df + ds * self.w
        self.dw = da @ self.z + ds * self.u
        self.db = np.array(da.sum())
        return df + np.outer(da, self.w)


def planar():
    return PlanarFlow(np.array([0.5, -0.3, 0.8]), np.array([0.7, 0.4, 0.6]), np.array(0.2)), rand(1, 5, 3)


def prove_planar():
    flow, z = planar()
    df, dl = rand(2, 5, 3), rand(3, 5)

    def f():
        a, b = flow.forward(z)
        return np.sum(a * df) + np.sum(b * dl)

    flow.forward(z)
    dz = flow.backward(df, dl)
    claimed = dz, flow.du, flow.dw, flow.db
    return [(c, diff(f, a)) for c, a in zip(claimed, (z, flow.u, flow.w, flow.b))]


# --------------------------------------------------------------------- soft-to-hard quantisation
def soft_quantize(x, levels, tau=0.5):
    d = x[..., None] - levels
    e = np.exp(-(d**2) / tau)
    w = e / e.sum(axis=-1, keepdims=True)
    return w @ levels, (d, levels, w, tau)


def soft_quantize_bwd(cache, dout):
    d, levels, w, tau = cache
    q = w @ levels
    ds = dout[..., None] * w * (levels - q[..., None])
    dd = ds * (-2 * d / tau)
    axes = tuple(range(dout.ndim))
    return {"x": dd.sum(axis=-1), "levels": (dout[..., None] * w - dd).sum(axis=axes)}


def prove_quant():
    x, levels, g = rand(1, 3, 4), np.array([-1.2, -0.2, 0.4, 1.5]), rand(2, 3, 4)
    d = soft_quantize_bwd(soft_quantize(x, levels)[1], g)
    f = lambda: soft_quantize(x, levels)[0] * g  # noqa: E731
    return [(d["x"], diff(f, x)), (d["levels"], diff(f, levels))]


# --------------------------------------------------------------------- ChebNet, K = 3, directed graph
class ChebConv:
    def __init__(self, L, n_in, n_out, K=3, seed=0):
        rng = np.random.RandomState(seed)
        self.L = L.tocsr()
        self.theta = [rng.randn(n_in, n_out) * 0.5 for _ in range(K)]
        self.g_theta = [np.zeros((n_in, n_out)) for _ in range(K)]

    def forward(self, X):
        self.T = [X, self.L @ X]
        while len(self.T) < len(self.theta):
            self.T.append(2 * (self.L @ self.T[-1]) - self.T[-2])
        return sum(T @ th for T, th in zip(self.T, self.theta))

    def backward(self, g):
        for T, gt in zip(self.T, self.g_theta):
            np.matmul(T.T, g, out=gt)
        G = [g @ th.T for th in self.theta]
        for k in range(len(G) - 1, 1, -1):
            G[k - 1] += 2 * (self.L.T @ G[k])
            G[k - 2] -= G[k]
        return G[0] + self.L.T @ G[1]


def cheb():
    rows, cols = [0, 1, 2, 3, 4, 0, 2], [1, 2, 0, 4, 3, 3, 4]
    L = sparse.coo_matrix((np.linspace(-0.8, 0.7, 7), (rows, cols)), shape=(5, 5))
    return ChebConv(L, 3, 2), rand(6, 5, 3)


def prove_cheb():
    layer, X = cheb()
    g = rand(7, 5, 2)
    layer.forward(X)
    dX, f = layer.backward(g), lambda: layer.forward(X) * g
    return [(dX, diff(f, X))] + [(a, diff(f, b)) for a, b in zip(layer.g_theta, layer.theta)]


# --------------------------------------------------------------------- RealNVP
class AffineCoupling:
    def __init__(self, half, rng):
        self.Ws, self.Wt = rng.normal(0, 0.6, (half, half)), rng.normal(0, 0.6, (half, half))

    def forward(self, x):
        self.x1, self.x2 = np.split(x, 2, axis=1)
        self.s = np.tanh(self.x1 @ self.Ws)
        y2 = self.x2 * np.exp(self.s) + self.x1 @ self.Wt
        return np.concatenate([self.x1, y2], axis=1)

    def backward(self, dy):
        dy1, dy2 = np.split(dy, 2, axis=1)
        ds = dy2 * self.x2 * np.exp(self.s) * (1 - self.s**2)
        self.dWs, self.dWt = self.x1.T @ ds, self.x1.T @ dy2
        dx1 = dy1 + dy2 @ self.Wt.T
        return np.concatenate([dx1, dy2 * np.exp(self.s)], axis=1)


def prove_nvp():
    c, x, g = AffineCoupling(3, np.random.default_rng(1)), rand(2, 4, 6), rand(3, 4, 6)
    c.forward(x)
    dx, f = c.backward(g), lambda: c.forward(x) * g
    return [(dx, diff(f, x)), (c.dWs, diff(f, c.Ws)), (c.dWt, diff(f, c.Wt))]


# --------------------------------------------------------------------- Gumbel softmax
class GumbelSoftmax:
    def __init__(self, shape, temperature=0.7, seed=0):
        u = np.random.default_rng(seed).uniform(size=shape)
        self.noise = -np.log(-np.log(u))
        self.temperature = temperature

    def forward(self, logits):
        a = (logits + self.noise) / self.temperature
        a = np.exp(a - a.max(axis=1, keepdims=True))
        self.y = a / a.sum(axis=1, keepdims=True)
        return self.y

    def backward(self, dy):
        inner = (dy * self.y).sum(axis=0, keepdims=True)
        return self.y * (dy - inner) / self.temperature


def prove_gumbel():
    layer, x, g = GumbelSoftmax((4, 3)), rand(1, 4, 3), rand(2, 4, 3)
    layer.forward(x)
    return [(layer.backward(g), diff(lambda: layer.forward(x) * g, x))]


# --------------------------------------------------------------------- Lautheit angleichen (Audio)
class Aussteuerung:
    """Bringt jede Aufnahme auf gleiche Lautheit, dann Verstärkung je Kanal."""

    def __init__(self, kanaele, eps=1e-4):
        self.eps = eps
        self.v = np.linspace(0.5, 1.5, kanaele)
        self.dv = np.zeros(kanaele)

    def forward(self, x):  # (N, Kanal, Zeit)
        self.x = x
        self.leistung = np.mean(x**2, axis=-1, keepdims=True)
        self.norm = x / np.sqrt(self.leistung + self.eps)
        return self.v[:, None] * self.norm

    def backward(self, dy):
        self.dv = (dy * self.norm).sum(axis=(0, 2))
        pegel = np.sqrt(self.leistung) + self.eps
        dn = dy * self.v[:, None]
        return dn / pegel - self.x * np.mean(dn * self.x, axis=-1, keepdims=True) / pegel**3


def prove_audio():
    a, x, g = Aussteuerung(2), 0.02 * rand(1, 3, 2, 8), rand(2, 3, 2, 8)
    a.forward(x)
    dx, f = a.backward(g), lambda: a.forward(x) * g
    return [(dx, diff(f, x, 1e-5)), (a.dv, diff(f, a.v))]


# --------------------------------------------------------------------- Snake, for vocoders
class Snake:
    def __init__(self, channels):
        self.a = np.linspace(0.5, 2.0, channels)
        self.grad_a = np.zeros(channels)

    def forward(self, x):
        self.x = x
        return x + np.sin(self.a * x) ** 2 / self.a

    def backward(self, grad_out):
        ax = self.a * self.x
        per = self.x * np.sin(2 * ax) / self.a - np.sin(ax) ** 2 / self.a**2
        self.grad_a += (grad_out * per).sum(axis=0)
        return grad_out * (1 + np.sin(2 * ax))


# --------------------------------------------------------------------- one-pole smoother of a plug-in
class OnePole:
    """y[t] = a y[t-1] + (1 - a) x[t]. No allocation in the audio thread."""

    def __init__(self, n, a=0.6):
        self.a = a
        self._y = np.zeros(n)
        self._gx = np.zeros(n)

    def forward(self, x):
        last = 0.0
        for t in range(len(x)):
            last = self._y[t] = self.a * last + (1 - self.a) * x[t]
        return self._y

    def backward(self, gy):
        carry = 0.0
        for t in range(len(gy) - 1, -1, -1):
            carry = gy[t] + self.a * carry
            self._gx[t] = (1 - self.a) * carry
        return self._gx


ENTRIES = [
    Stranger(
        "n: reparametrisation with KL, two outputs",
        "pair with dict cache, two cotangents, dict of gradients",
        lambda gradlab: gradlab.check_cached_pair(reparametrize, reparametrize_backward, vae_data()),
        prove_vae,
    ),
    Stranger(
        "n: DDPM loss of a batch dict",
        "net whose forward(batch) is the loss, dicts params and grads",
        lambda gradlab: gradlab.check_layer(ToyDenoiser(), ddpm_batch()),
        prove_ddpm,
    ),
    Stranger(
        "n: planar flow with log-determinant",
        "dataclass layer of two outputs",
        lambda gradlab: gradlab.check_layer(*planar()),
        prove_planar,
    ),
    Stranger(
        "n: soft quantiser with learned levels",
        "pair, cache first, dict of gradients",
        lambda gradlab: gradlab.check_cached_pair(
            soft_quantize, soft_quantize_bwd, (rand(1, 3, 4), np.array([-1.2, -0.2, 0.4, 1.5]))
        ),
        prove_quant,
    ),
    Stranger(
        "n: Chebyshev graph convolution on a sparse matrix",
        "layer with lists theta and g_theta",
        lambda gradlab: gradlab.check_layer(*cheb()),
        prove_cheb,
    ),
    Stranger(
        "n: affine coupling: path through the scale forgotten",
        "layer with attributes Ws, dWs",
        lambda gradlab: gradlab.check_layer(AffineCoupling(3, np.random.default_rng(1)), rand(2, 4, 6)),
        prove_nvp,
        "wrong",
        "x1's gradient lacks the path through the scale s",
        ("missing-term",),
        ("x",),
        "        dx1 = dy1 + dy2 @ self.Wt.T",
        "        dx1 = dy1 + dy2 @ self.Wt.T + ds @ self.Ws.T",
    ),
    Stranger(
        "n: Gumbel softmax: sum over the batch",
        "layer with stored noise",
        lambda gradlab: gradlab.check_layer(GumbelSoftmax((4, 3)), rand(1, 4, 3)),
        prove_gumbel,
        "wrong",
        "the inner product is summed over axis 0, the softmax is over axis 1",
        ("wrong-sum-axis",),
        ("logits",),
        "        inner = (dy * self.y).sum(axis=0, keepdims=True)",
        "        inner = (dy * self.y).sum(axis=1, keepdims=True)",
    ),
    Stranger(
        "n: Aussteuerung: epsilon outside the root",
        "layer with v and dv",
        lambda gradlab: gradlab.check_layer(Aussteuerung(2), 0.02 * rand(1, 3, 2, 8)),
        prove_audio,
        "wrong",
        "backward adds eps outside of the root, forward inside",
        ("epsilon-mismatch",),
        ("x",),
        "        pegel = np.sqrt(self.leistung) + self.eps",
        "        pegel = np.sqrt(self.leistung + self.eps)",
    ),
    Stranger(
        "n: Snake activation: adds to the gradient of the call before",
        "layer with a and grad_a",
        lambda gradlab: gradlab.check_layer(Snake(3), rand(1, 4, 3)),
        lambda: [],
        "habit",
        "grad_a is added up from call to call and nothing sets it to zero",
        ("accumulates",),
        ("a",),
        "        self.grad_a += (grad_out * per).sum(axis=0)",
        "        self.grad_a = (grad_out * per).sum(axis=0)",
    ),
    Stranger(
        "n: one-pole smoother: hands out its own buffers",
        "layer with buffers",
        lambda gradlab: gradlab.check_layer(OnePole(9), rand(1, 9)),
        lambda: [],
        "habit",
        "forward and backward return the layer's own buffers, the next call overwrites them",
        ("aliases-memory",),
        ("x",),
    ),
]
