"""Dimension reduction, clustering, penalties, loss classes."""

import numpy as np
from scipy.special import ndtr

from ._entry import Stranger
from ._help_p import pairs


def tsne_kl(y, P, dim):
    """KL divergence and its gradient, as in sklearn: y comes in flat."""
    Y = y.reshape(-1, dim)
    delta = Y[:, np.newaxis, :] - Y[np.newaxis, :, :]
    num = 1.0 / (1.0 + np.square(delta).sum(-1))
    np.fill_diagonal(num, 0.0)
    Q = num / num.sum()
    off = ~np.eye(len(Y), dtype=bool)
    kl = np.sum(P[off] * np.log(P[off] / Q[off]))
    grad = 4.0 * np.einsum("ij,ijk->ik", (P - Q) * num, delta)
    return kl, grad.ravel()


class MDS:
    def __init__(self, dissimilarity, weights):
        self.D = dissimilarity
        self.W = weights

    def _dist(self, X):
        sq = np.add.outer((X**2).sum(1), (X**2).sum(1)) - 2 * X @ X.T
        return np.sqrt(np.maximum(sq, 0))

    def stress(self, X):
        return np.sum(np.triu(self.W * (self.D - self._dist(X)) ** 2, 1))

    def gradient(self, X):
        # 2 (V - B(X)) X with the Laplacians of SMACOF
        d = self._dist(X)
        np.fill_diagonal(d, 1.0)
        A = self.W * (1 - self.D / d)
        np.fill_diagonal(A, 0.0)
        return 2 * (np.diag(A.sum(1)) - A) @ X


class Parameter:
    def __init__(self, data):
        self.data = data
        self.grad = None


class DeepClustering:
    """DEC: Student-t assignments pulled towards a sharpened target that `refresh` fixes for an epoch."""

    def __init__(self, centres):
        self.centres = Parameter(centres)
        self.target = None

    def _assign(self, z):
        self.diff = z[:, None] - self.centres.data
        self.k = 1 / (1 + (self.diff**2).sum(-1))
        return self.k / self.k.sum(1, keepdims=True)

    def refresh(self, z):
        q = self._assign(z)
        p = q**2 / q.sum(0)
        self.target = p / p.sum(1, keepdims=True)
        return self

    def forward(self, z):
        self.q = self._assign(z)
        return (self.target * np.log(self.target / self.q)).sum() / len(z)

    def backward(self, gout=1.0):
        push = 2 * gout / len(self.q) * ((self.target - self.q) * self.k)[..., None] * self.diff
        self.centres.grad = -push.sum(0)
        return push.sum(1)


class SCAD:
    def __init__(self, lam=0.5, a=3.7):
        self.lam, self.a = lam, a

    def __call__(self, w):
        u, lam, a = np.abs(w), self.lam, self.a
        middle = (2 * a * lam * u - u**2 - lam**2) / (2 * (a - 1))
        return np.sum(np.where(u <= lam, lam * u, np.where(u <= a * lam, middle, lam**2 * (a + 1) / 2)))

    def grad(self, w):
        u = np.abs(w)
        taper = np.clip(self.a * self.lam - u, 0, None) / (self.a - 1)
        return np.sign(w) * np.where(u <= self.lam, self.lam, taper)


def dcov_forward(x, y):
    """Squared distance covariance of two samples (Szekely and Rizzo)."""

    def centred(u):
        diff = u[:, None] - u[None]
        d = np.sqrt((diff**2).sum(-1))
        return diff, d, d - d.mean(0) - d.mean(1)[:, None] + d.mean()

    a, b = centred(x), centred(y)
    return np.asarray(np.mean(a[2] * b[2])), (a, b)


def dcov_backward(res, g):
    (dx, ax, A), (dy, by, B) = res
    n = len(A)
    unit_x = dx / np.where(ax > 0, ax, 1)[..., None]
    unit_y = dy / np.where(by > 0, by, 1)[..., None]
    scale = 2 * g / n**2
    return scale * np.einsum("ij,ijk->ik", B, unit_x), scale * np.einsum("ij,ijk->ik", A, unit_y)


class Whitening:
    """z = (x - mean) V / sqrt(var), all three learnt after a start from PCA."""

    def __init__(self, V, var, mean):
        self.V, self.var, self.mean = V, var, mean

    def forward(self, x):
        self.c = x - self.mean
        self.proj = self.c @ self.V
        return self.proj / np.sqrt(self.var)

    def backward(self, dz):
        dproj = dz / np.sqrt(self.var)
        self.dV = self.c.T @ dproj
        self.dvar = -0.5 * (dproj * self.proj).sum(0) / self.var
        dx = (dz @ self.V.T) / np.sqrt(self.var)
        self.dmean = -dx.sum(0)
        return dx


class ProbabilityTransform:
    # marginals of a Gaussian copula: u = Phi((x - m) / e^s)
    def __init__(self, m, s):
        self.params = [m, s]

    def forward(self, x):
        m, s = self.params
        self.z = (x - m) * np.exp(-s)
        return ndtr(self.z)

    def backward(self, du):
        dz = du
        k = np.exp(-self.params[1])
        self.grads = [-(dz * k).sum(0), -(dz * self.z).sum(0)]
        return dz * k


class BiweightLoss:
    """Tukey's biweight of the residuals in units of `scale`, summed."""

    def __init__(self, scale, c=4.685):
        self.scale, self.c = scale, c

    def forward(self, pred, target):
        self.diff = pred - target
        u = self.diff / self.scale
        near = np.abs(u) < self.c
        return self.c**2 / 6 * np.sum(1 - np.where(near, 1 - (u / self.c) ** 2, 0) ** 3)

    def backward(self):
        u = self.diff / self.scale
        inside = np.abs(self.diff) < self.c
        return inside * u * (1 - (u / self.c) ** 2) ** 2 / self.scale


class TuckerReconstruction:
    """Respondents x brands x attributes from a small core and three loading matrices."""

    def __init__(self, A, B, C):
        self.loadings = {"A": A, "B": B, "C": C}
        self.d = {}

    def forward(self, core):
        self.core = core
        return np.einsum("rst,ir,js,kt->ijk", core, *self.loadings.values())

    def backward(self, dX):
        A, B, C = self.loadings.values()
        self.d["A"] = np.einsum("ijk,rst,js,kt->ir", dX, self.core, B, C)
        self.d["B"] = np.einsum("ijk,rst,ir,kt->js", dX, self.core, A, C)
        self.d["C"] = np.einsum("ijk,rst,ir,js->kt", dX, self.core, A, B)
        return np.einsum("ijk,ir,js,kt->tsr", dX, A, B, C)


class LandmarkFeatures:
    """Kernel features exp(-|x - m|^2 / (2 h^2)) at landmarks m, written into one buffer to save memory."""

    def __init__(self, landmarks, h, batch):
        self.m, self.h = landmarks, h
        self.buf = np.empty((batch, len(landmarks)))

    def forward(self, x):
        self.diff = x[:, None] - self.m
        np.sum(self.diff**2, axis=-1, out=self.buf)
        self.buf /= -2 * self.h**2
        np.exp(self.buf, out=self.buf)
        return self.buf

    def backward(self, dout):
        pull = (dout * self.buf / self.h**2)[..., None] * self.diff
        self.dm = pull.sum(axis=0)
        return -pull.sum(axis=1)


R = np.random.default_rng


def tsne():
    r = R(0)
    P = r.random((7, 7))
    P = P + P.T
    np.fill_diagonal(P, 0)
    return r.standard_normal(14), (P / P.sum(), 2)


def call_tsne(gradlab):
    y, args = tsne()
    return gradlab.check_gradient(tsne_kl, True, y, args=args)


def prove_tsne():
    y, args = tsne()
    return pairs([tsne_kl(y, *args)[1]], lambda: tsne_kl(y, *args)[0], y)


def mds():
    r = R(1)
    D, W = r.uniform(0.5, 3, (6, 6)), r.uniform(0.5, 2, (6, 6))
    return MDS((D + D.T) / 2, (W + W.T) / 2), r.standard_normal((6, 2))


def call_mds(gradlab):
    m, X = mds()
    return gradlab.check_gradient(m.stress, m.gradient, X)


def prove_mds():
    m, X = mds()
    return pairs([m.gradient(X)], lambda: m.stress(X), X)


def dec():
    r = R(2)
    z = r.standard_normal((8, 2))
    return DeepClustering(r.standard_normal((3, 2))).refresh(z), z + 0.3 * r.standard_normal(z.shape)


def prove_dec():
    m, z = dec()
    m.forward(z)
    return pairs([m.backward(), m.centres.grad], lambda: m.forward(z), z, m.centres.data)


def prove_scad():
    w = np.array([0.2, -0.35, 0.9, -1.3, 2.5, -3.0, 1.6])
    return pairs([SCAD().grad(w)], lambda: SCAD()(w), w)


def samples():
    r = R(3)
    return r.standard_normal((8, 2)), r.standard_normal((8, 3))


def prove_dcov():
    x, y = samples()
    return pairs(dcov_backward(dcov_forward(x, y)[1], 1.0), lambda: dcov_forward(x, y)[0], x, y)


def whitening():
    r = R(4)
    V = np.linalg.qr(r.standard_normal((3, 3)))[0]
    return Whitening(V, np.array([2.5, 1.0, 0.3]), r.standard_normal(3)), r.standard_normal((5, 3))


def prove_whitening():
    m, x = whitening()
    g = R(5).standard_normal(x.shape)
    m.forward(x)
    claimed = [m.backward(g), m.dV, m.dvar, m.dmean]
    return pairs(claimed, lambda: np.sum(g * m.forward(x)), x, m.V, m.var, m.mean)


def transform():
    r = R(6)
    return ProbabilityTransform(r.standard_normal(3), r.normal(0, 0.3, 3)), r.standard_normal((6, 3))


def prove_transform():
    m, x = transform()
    g = R(7).standard_normal(x.shape)
    m.forward(x)
    return pairs([m.backward(g), *m.grads], lambda: np.sum(g * m.forward(x)), x, *m.params)


def biweight():
    return BiweightLoss(0.6), R(8).normal(0, 2.5, 14), R(9).normal(0, 1, 14)


def prove_biweight():
    m, p, t = biweight()
    m.forward(p, t)
    return pairs([m.backward()], lambda: m.forward(p, t), p)


def tucker():
    r = R(10)
    loadings = (r.standard_normal((n, 3)) for n in (4, 3, 5))
    return TuckerReconstruction(*loadings), r.standard_normal((3, 3, 3))


def prove_tucker():
    m, core = tucker()
    g = R(11).standard_normal((4, 3, 5))
    m.forward(core)
    claimed = [m.backward(g), *m.d.values()]
    return pairs(claimed, lambda: np.sum(g * m.forward(core)), core, *m.loadings.values())


def landmarks():
    r = R(12)
    return LandmarkFeatures(r.standard_normal((4, 2)), 0.9, 6), r.standard_normal((6, 2))


ENTRIES = [
    Stranger("p t-SNE", "value and grad with args, flat", call_tsne, prove_tsne),
    Stranger("p weighted MDS stress", "f and grad of a matrix", call_mds, prove_mds),
    Stranger(
        "p deep embedded clustering with a fixed target",
        "loss layer with a parameter object and state",
        lambda gradlab: gradlab.check_layer(*dec()),
        prove_dec,
    ),
    Stranger(
        "p SCAD penalty",
        "callable with grad",
        lambda gradlab: gradlab.check_gradient(
            SCAD(), SCAD().grad, np.array([0.2, -0.35, 0.9, -1.3, 2.5, -3.0, 1.6])
        ),
        prove_scad,
    ),
    Stranger(
        "p distance covariance",
        "node with residuals",
        lambda gradlab: gradlab.check_vjp(dcov_forward, dcov_backward, samples()),
        prove_dcov,
    ),
    Stranger(
        "p whitening: divided by the deviation after rotating back",
        "layer with attributes",
        lambda gradlab: gradlab.check_layer(*whitening()),
        prove_whitening,
        "wrong",
        "the division by sqrt(var) comes after the product with V' and not before it",
        ("wrong-order",),
        ("x", "mean"),
        "        dx = (dz @ self.V.T) / np.sqrt(self.var)",
        "        dx = dproj @ self.V.T",
    ),
    Stranger(
        "p probability transform: no density",
        "layer with lists",
        lambda gradlab: gradlab.check_layer(*transform()),
        prove_transform,
        "wrong",
        "the cotangent is passed through Phi without the normal density",
        ("straight-through", "missing-factor"),
        ("x", "m", "s"),
        "        dz = du\n",
        "        dz = du * np.exp(-0.5 * self.z**2) / np.sqrt(2 * np.pi)\n",
    ),
    Stranger(
        "p biweight: cut off by the unscaled residual",
        "loss layer, backward()",
        lambda gradlab: gradlab.check_layer(*biweight()),
        prove_biweight,
        "wrong",
        "the mask is taken from the residual that is not yet divided by the scale",
        ("masked-region", "wrong-operand"),
        ("pred",),
        "        inside = np.abs(self.diff) < self.c",
        "        inside = np.abs(u) < self.c",
    ),
    Stranger(
        "p Tucker core: its modes reversed",
        "layer with einsum and a dict",
        lambda gradlab: gradlab.check_layer(*tucker()),
        prove_tucker,
        "wrong",
        "the core's gradient has its axes in the reverse order",
        ("axes-permuted", "transposed"),
        ("core",),
        "js,kt->tsr",
        "js,kt->rst",
    ),
    Stranger(
        "p landmark features: returns its own buffer",
        "layer with a buffer",
        lambda gradlab: gradlab.check_layer(*landmarks()),
        lambda: [],
        "habit",
        "forward returns its buffer, which the next call overwrites",
        ("aliases-memory",),
        ("out",),
        "        return self.buf\n",
        "        return self.buf.copy()\n",
    ),
]
