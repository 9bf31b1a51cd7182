"""Generative and contrastive things."""

import numpy as np

from ._entry import Stranger
from ._help_ta import check_model, layer, pairs


# ---------- RealNVP coupling: two outputs
def coupling(x, w, u):
    """x (N, 2D); the first half drives scale and shift of the second: y2 = x2 exp(s) + t"""
    a, b = np.split(x, 2, axis=1)
    hid = np.tanh(a @ w)
    st = hid @ u
    s, t = np.tanh(st[:, : b.shape[1]]), st[:, b.shape[1] :]
    e = np.exp(s)
    return np.hstack([a, b * e + t]), s.sum(axis=1), (a, b, hid, s, e, w, u)


def coupling_back(dy, dlogdet, memo):
    a, b, hid, s, e, w, u = memo
    d = a.shape[1]
    d2 = dy[:, d:]
    ds = d2 * b * e + dlogdet[:, None]
    dst = np.hstack([ds * (1 - s**2), d2])
    dpre = dst @ u.T * (1 - hid**2)
    return np.hstack([dy[:, :d] + dpre @ w.T, d2 * e]), a.T @ dpre, hid.T @ dst


def _nvp():
    r = np.random.default_rng(0)
    return r.standard_normal((4, 6)), r.standard_normal((3, 5)), 0.5 * r.standard_normal((5, 6))


def _nvp_prove():
    xs = _nvp()
    y, ld, memo = coupling(*xs)
    r = np.random.default_rng(1)
    g, k = r.standard_normal(y.shape), r.standard_normal(ld.shape)

    def f():
        y, ld, _ = coupling(*xs)
        return np.sum(g * y) + k @ ld

    return pairs(f, coupling_back(g, k, memo), xs)


# ---------- minibatch discrimination (Salimans et al.)
class MinibatchDiscrimination(object):
    def __init__(self, A, B, C):
        self.T = np.random.RandomState(2).randn(A, B, C) * 0.5

    def forward(self, f):
        self.f = f
        M = np.tensordot(f, self.T, 1)  # N x B x C
        self.diff = M[:, None] - M[None]  # N x N x B x C
        self.c = np.exp(-np.abs(self.diff).sum(-1))  # N x N x B
        return np.concatenate([f, self.c.sum(1) - 1], 1)

    def backward(self, dout):
        A = self.f.shape[1]
        do = dout[:, A:]
        # c_ij counts in o_i and in o_j
        dM = (-(do[:, None] + do[None]) * self.c)[..., None] * np.sign(self.diff)
        dM = dM.sum(1)
        self.dT = np.tensordot(self.f, dM, ((0,), (0,)))
        return dout[:, :A] + np.tensordot(dM, self.T, ((1, 2), (1, 2)))


def _mbd():
    return MinibatchDiscrimination(3, 2, 2), np.random.default_rng(3).standard_normal((4, 3))


def _mbd_prove():
    m, x = _mbd()
    return layer(m, [x], lambda: [m.T], lambda: [m.dT])


# ---------- DDPM, tiny
class TinyDiffusion:
    """Predicts the noise; noise is drawn once so that the loss can be compared between steps."""

    def __init__(self, dim, width, shape, steps=10):
        rng = np.random.default_rng(4)
        self.abar = np.cumprod(1 - np.linspace(0.02, 0.3, steps))
        self.noise = rng.standard_normal(shape)
        self.params = {
            "W1": rng.standard_normal((dim, width)) / np.sqrt(dim),
            "E": rng.standard_normal((4, width)) * 0.5,
            "b1": np.zeros(width),
            "W2": rng.standard_normal((width, dim)) / np.sqrt(width),
            "b2": np.zeros(dim),
        }

    @staticmethod
    def embed(t):
        w = np.array([1.0, 0.1])
        return np.concatenate([np.sin(t[:, None] * w), np.cos(t[:, None] * w)], 1)

    def predict(self, xt, t):
        p = self.params
        self.xt, self.emb = xt, self.embed(t)
        self.pre = xt @ p["W1"] + self.emb @ p["E"] + p["b1"]
        self.sg = 1 / (1 + np.exp(-self.pre))
        return self.pre * self.sg @ p["W2"] + p["b2"]

    def loss(self, x0, t):
        a = self.abar[t][:, None]
        out = self.predict(np.sqrt(a) * x0 + np.sqrt(1 - a) * self.noise, t)
        self.res = out - self.noise
        return np.mean(self.res**2)

    def gradient(self, x0, t):
        self.loss(x0, t)
        d = 2 * self.res / self.res.size
        dh = d @ self.params["W2"].T
        dpre = dh * (self.sg + self.pre * self.sg * (1 - self.sg))
        return {
            "W1": self.xt.T @ dpre,
            "E": self.emb.T @ dpre,
            "b1": dpre.sum(0),
            "W2": (self.pre * self.sg).T @ d,
            "b2": d.sum(0),
        }


def _ddpm():
    x = np.random.default_rng(5).standard_normal((5, 3))
    return TinyDiffusion(3, 6, (5, 3)), x, np.array([0, 3, 9, 5, 3])


def _ddpm_prove():
    net, x, t = _ddpm()
    g = net.gradient(x, t)
    return pairs(lambda: net.loss(x, t), [g[k] for k in net.params], list(net.params.values()))


# ---------- CLIP
class ClipLoss:
    """symmetric InfoNCE with a learned log temperature; embeddings are normalised inside"""

    def __init__(self):
        self.log_scale = np.array([1.0])

    def forward(self, img, txt):
        self.ni, self.nt = (np.linalg.norm(e, axis=1, keepdims=True) for e in (img, txt))
        self.u, self.v = img / self.ni, txt / self.nt
        self.L = np.exp(self.log_scale[0]) * self.u @ self.v.T
        self.P = np.exp(self.L - self.L.max(1, keepdims=True))
        self.P /= self.P.sum(1, keepdims=True)
        self.Q = np.exp(self.L - self.L.max(0))
        self.Q /= self.Q.sum(0)
        n = len(img)
        return -0.5 / n * (np.log(np.diag(self.P)).sum() + np.log(np.diag(self.Q)).sum())

    def backward(self, dout=1.0):
        n = len(self.u)
        G = dout * (0.5 * (self.P + self.Q) - np.eye(n)) / n
        self.dlog_scale = np.array([np.sum(G * self.L)])
        G = G * np.exp(self.log_scale[0])
        du, dv = G @ self.v, G.T @ self.u
        du -= self.u * np.sum(du * self.u, 1, keepdims=True)
        dv -= self.v * np.sum(dv * self.v, 1, keepdims=True)
        return du / self.ni, dv / self.nt


def _clip():
    r = np.random.default_rng(6)
    return ClipLoss(), r.standard_normal((4, 3)), r.standard_normal((4, 3))


def _clip_prove():
    m, a, b = _clip()
    m.forward(a, b)
    da, db = m.backward()
    return pairs(lambda: m.forward(a, b), [da, db, m.dlog_scale], [a, b, m.log_scale])


# ---------- ELBO of a linear VAE, all weights in one vector for L-BFGS
def neg_elbo(theta, x, eps):
    n, d = x.shape
    k = eps.shape[1]
    cuts = np.cumsum([d * k, d * k, k * d])
    a, b, c = np.split(theta, cuts[:-1])
    Wm, Ws, Wd = a.reshape(d, k), b.reshape(d, k), c.reshape(k, d)
    mu, lv = x @ Wm, x @ Ws
    sd = np.exp(lv / 2)
    z = mu + sd * eps
    err = z @ Wd - x
    value = (0.5 * np.sum(err**2) + 0.5 * np.sum(mu**2 + sd**2 - 1 - lv)) / n
    dz = err @ Wd.T
    dmu = dz + mu
    dlv = dz * eps * sd / 2 + 0.5 * (sd**2 - 1)
    return value, np.concatenate([(x.T @ dmu).ravel(), (x.T @ dlv).ravel(), (z.T @ err).ravel()]) / n


def _elbo():
    r = np.random.default_rng(7)
    return 0.4 * r.standard_normal(3 * 4 * 2), r.standard_normal((5, 4)), r.standard_normal((5, 2))


def _elbo_prove():
    th, x, eps = _elbo()
    return pairs(lambda: neg_elbo(th, x, eps)[0], [neg_elbo(th, x, eps)[1]], [th])


# ---------- Gumbel softmax, temperature learned
class GumbelSoftmax:
    def __init__(self, shape, tau=0.8):
        u = np.random.default_rng(8).uniform(0.05, 0.95, shape)
        self.gumbel = -np.log(-np.log(u))
        self.params = {"tau": np.array([tau])}
        self.grads = {}

    def forward(self, logits):
        self.z = (logits + self.gumbel) / self.params["tau"]
        e = np.exp(self.z - self.z.max(axis=1, keepdims=True))
        self.y = e / e.sum(axis=1, keepdims=True)
        return self.y

    def backward(self, dy):
        dz = self.y * (dy - np.sum(dy * self.y, axis=1, keepdims=True))
        self.grads["tau"] = np.sum(dz * self.z)[None] / self.params["tau"]
        return dz / self.params["tau"]


def _gum():
    return GumbelSoftmax((3, 4)), np.random.default_rng(9).standard_normal((3, 4))


def _gum_prove():
    m, x = _gum()
    return layer(m, [x], lambda: [m.params["tau"]], lambda: [m.grads["tau"]])


# ---------- mixture density network
class MDNLoss:
    """mean negative log likelihood of target under sum_k softmax(logits)_k N(mu_k, sigma_k)"""

    def forward(self, logits, mu, sigma, target):
        self.mu, self.s, self.y = mu, sigma, target[:, None]
        m = logits.max(1, keepdims=True)
        self.pi = np.exp(logits - m) / np.exp(logits - m).sum(1, keepdims=True)
        dens = np.exp(-0.5 * ((self.y - mu) / sigma) ** 2) / (sigma * np.sqrt(2 * np.pi))
        joint = self.pi * dens
        total = joint.sum(1, keepdims=True)
        self.resp = joint / total
        return -np.mean(np.log(total))

    def backward(self):
        n = len(self.y)
        dev = self.y - self.mu
        dlogits = (self.pi - self.resp) / n
        dmu = -self.resp * dev / self.s**2 / n
        dsigma = self.resp * (1 - dev**2 / self.s**2) / n
        return dlogits, dmu, dsigma


def _mdn():
    r = np.random.default_rng(10)
    return [
        MDNLoss(),
        r.standard_normal((5, 3)),
        r.standard_normal((5, 3)),
        r.uniform(0.4, 1.7, (5, 3)),
        r.standard_normal(5),
    ]


def _mdn_prove():
    m, *xs = _mdn()
    m.forward(*xs)
    return pairs(lambda: m.forward(*xs), m.backward(), xs[:3])


# ---------- Barlow twins
def barlow(za, zb, lam=0.3):
    n, d = za.shape
    off = lam * (1 - np.eye(d)) + np.eye(d)
    C = za.T @ zb / n
    delta = C - np.eye(d)
    return np.sum(off * delta**2), (za, zb, 2 * off * delta / n)


def barlow_grad(dout, cache):
    za, zb, G = cache
    return dout * zb @ G, dout * za @ G


def _barlow():
    r = np.random.default_rng(11)
    return r.standard_normal((6, 4)), r.standard_normal((6, 4))


def _barlow_prove():
    za, zb = _barlow()
    return pairs(lambda: barlow(za, zb)[0], barlow_grad(1.0, barlow(za, zb)[1]), [za, zb])


# ---------- PixelCNN
class MaskedConv2d:
    def __init__(self, kind, c_in, c_out):
        self.W = np.random.default_rng(12).standard_normal((c_out, c_in, 3, 3))
        self.mask = np.ones((3, 3))
        self.mask[1, 1 + (kind == "B") :] = 0
        self.mask[2] = 0

    def forward(self, x):
        self.size = x.shape
        xp = np.pad(x, ((0, 0), (0, 0), (1, 1), (1, 1)))
        self.win = np.lib.stride_tricks.sliding_window_view(xp, (3, 3), axis=(2, 3))  # n c h w i j
        return np.einsum("nchwij,ocij->nohw", self.win, self.W * self.mask)

    def backward(self, dy):
        self.dW = np.einsum("nohw,nchwij->ocij", dy, self.win)
        n, c, h, w = self.size
        dxp = np.zeros((n, c, h + 2, w + 2))
        Wm = self.W * self.mask
        for i, j in zip(*np.nonzero(self.mask)):
            dxp[:, :, i : i + h, j : j + w] += np.einsum("nohw,oc->nchw", dy, Wm[:, :, i, j])
        return dxp[:, :, 1:-1, 1:-1]


def _pix():
    return MaskedConv2d("A", 2, 2), np.random.default_rng(13).standard_normal((2, 2, 3, 4))


def _pix_prove():
    m, x = _pix()
    return layer(m, [x], lambda: [m.W], lambda: [m.dW])


ENTRIES = [
    Stranger(
        "ta coupling layer with log determinant",
        "pair with two outputs and cache",
        lambda gl: gl.check_cached_pair(coupling, coupling_back, _nvp()),
        _nvp_prove,
    ),
    Stranger(
        "ta minibatch discrimination", "layer with attributes", lambda gl: gl.check_layer(*_mbd()), _mbd_prove
    ),
    Stranger(
        "ta tiny diffusion net",
        "net with loss and gradient dict",
        lambda gl: check_model(gl, *_ddpm()),
        _ddpm_prove,
    ),
    Stranger(
        "ta CLIP loss with a learned scale",
        "loss layer with two inputs and a parameter",
        lambda gl: gl.check_layer(*_clip()),
        _clip_prove,
    ),
    Stranger(
        "ta linear VAE's bound in one vector",
        "f that returns value and gradient",
        lambda gl: gl.check_gradient(neg_elbo, True, _elbo()[0], args=_elbo()[1:]),
        _elbo_prove,
    ),
    Stranger(
        "ta Gumbel softmax: sign of the temperature",
        "layer with params and grads dicts",
        lambda gl: gl.check_layer(*_gum()),
        _gum_prove,
        "wrong",
        "the temperature's gradient has the wrong sign",
        ("sign-flipped",),
        ("tau",),
        '        self.grads["tau"] = np.sum(dz * self.z)[None] / self.params["tau"]\n',
        '        self.grads["tau"] = -np.sum(dz * self.z)[None] / self.params["tau"]\n',
    ),
    Stranger(
        "ta mixture density loss: sigma by its logarithm",
        "loss layer with three inputs and a target",
        lambda gl: gl.check_layer(*_mdn()),
        _mdn_prove,
        "wrong",
        "the gradient is by log(sigma), though the input is sigma",
        ("log-parameter", "missing-factor"),
        ("sigma",),
        "        dsigma = self.resp * (1 - dev**2 / self.s**2) / n\n",
        "        dsigma = self.resp * (1 - dev**2 / self.s**2) / self.s / n\n",
    ),
    Stranger(
        "ta Barlow twins: cross-correlation not transposed",
        "loss with cache",
        lambda gl: gl.check_cached_pair(barlow, barlow_grad, _barlow()),
        _barlow_prove,
        "wrong",
        "the first view's gradient multiplies with G where G transposed belongs",
        ("transposed", "wrong-operand"),
        ("za",),
        "    return dout * zb @ G, dout * za @ G\n",
        "    return dout * zb @ G.T, dout * za @ G\n",
    ),
    Stranger(
        "ta masked convolution: dW not masked",
        "layer with attributes",
        lambda gl: gl.check_layer(*_pix()),
        _pix_prove,
        "wrong",
        "the weights' gradient is not masked, though the masked weights do not count in forward",
        ("masked-region", "missing-factor"),
        ("W",),
        '        self.dW = np.einsum("nohw,nchwij->ocij", dy, self.win)\n',
        '        self.dW = np.einsum("nohw,nchwij->ocij", dy, self.win) * self.mask\n',
    ),
]
