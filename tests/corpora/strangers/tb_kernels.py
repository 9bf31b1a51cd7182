"""Gaussian processes, kernels, mixtures, variational inference."""

import numpy as np
from scipy.linalg import cho_factor, cho_solve
from scipy.special import expit, log_expit, logsumexp, softmax

from ._entry import Stranger
from ._help_tb import draw, of_pair, slope

# ---- GP marginal likelihood


def make_nlml(X, y):
    n, d = X.shape
    D2 = (X[:, None, :] - X[None, :, :]) ** 2

    def nlml(theta):
        # theta: d log length scales, log signal sd, log noise sd
        ell2 = np.exp(2 * theta[:d])
        sf2, sn2 = np.exp(2 * theta[d:])
        Kf = sf2 * np.exp(-0.5 * (D2 / ell2).sum(-1))
        C = cho_factor(Kf + sn2 * np.eye(n), lower=True)
        a = cho_solve(C, y)
        value = 0.5 * y @ a + np.log(np.diag(C[0])).sum() + 0.5 * n * np.log(2 * np.pi)
        Q = cho_solve(C, np.eye(n)) - np.outer(a, a)
        grad = [0.5 * np.sum(Q * Kf * D2[..., j]) / ell2[j] for j in range(d)]
        grad += [np.sum(Q * Kf), np.trace(Q) * sn2]
        return value, np.array(grad)

    return nlml


def gp():
    rng = np.random.default_rng(21)
    X = rng.normal(size=(14, 2))
    return make_nlml(X, np.sin(X[:, 0]) + 0.1 * rng.normal(size=14)), np.array([0.1, 0.5, -0.2, -1.0])


# ---- Matern 5/2 cross covariance


class Matern52:
    def __init__(self, ell=1.4):
        self.ell = ell

    def forward(self, X, Z):
        self.X, self.Z = X, Z
        diff = X[:, None] - Z[None]
        self.s = np.sqrt(5 * (diff**2).sum(-1)) / self.ell
        return (1 + self.s + self.s**2 / 3) * np.exp(-self.s)

    def backward(self, dK):
        # dk/ds / s * 5 / ell^2
        C = -dK * (1 + self.s) * np.exp(-self.s) * 5 / (3 * self.ell**2)
        dX = C.sum(1)[:, None] * self.X - C @ self.Z
        dZ = C.sum(0)[:, None] * self.Z - C @ self.X
        return dX, dZ


def inducing():
    rng = np.random.default_rng(22)
    return Matern52(), rng.normal(size=(5, 2)), rng.normal(size=(5, 2)) + 0.5


def prove_layer(layer, *x):
    g = draw(np.shape(layer.forward(*x)))
    claimed = layer.backward(g)
    claimed = claimed if isinstance(claimed, tuple) else (claimed,)
    claimed = [np.array(c) for c in claimed]
    return [(c, slope(lambda: np.sum(g * layer.forward(*x)), a)) for c, a in zip(claimed, x, strict=True)]


# ---- locally periodic kernel


def local_periodic(t, ell, period, decay):
    lag = t[:, None] - t[None, :]
    s = np.sin(np.pi * lag / period)
    k = np.exp(-2 * s**2 / ell**2 - lag**2 / (2 * decay**2))
    return k, {"lag": lag, "s": s, "k": k, "h": (ell, period, decay)}


def local_periodic_vjp(kbar, memo):
    lag, s = memo["lag"], memo["s"]
    ell, period, decay = memo["h"]
    w = kbar * memo["k"]
    ds2 = np.pi * np.sin(2 * np.pi * lag / period)  # d s^2 / d(lag / period)
    dlag = w * (-2 / ell**2 * ds2 / period - lag / decay**2)
    return {
        "t": dlag.sum(1) - dlag.sum(0),
        "ell": np.array(np.sum(w * 4 * s**2) / ell**3),
        "period": np.array(np.sum(w * 2 * ds2 * lag) / (ell * period) ** 2),
        "decay": np.array(np.sum(w * lag**2) / decay**3),
    }


def seasons():
    t = np.sort(np.random.default_rng(23).random(7) * 4)
    return [t, np.array(0.9), np.array(1.7), np.array(2.5)]


def prove_seasons():
    a = seasons()
    k, memo = local_periodic(*a)
    g = draw(k.shape)
    d = local_periodic_vjp(g, memo)
    return [
        (d[n], slope(lambda: np.sum(g * local_periodic(*a)[0]), v))
        for n, v in zip(("t", "ell", "period", "decay"), a, strict=True)
    ]


# ---- amortised posterior


def encode(x, W, b, Wm, Wv):
    """q(z | x): mean and log variance from one hidden layer."""
    h = np.tanh(x @ W + b)
    mean, logvar = h @ Wm, h @ Wv
    return mean, logvar, (x, W, h, Wm, Wv)


def encode_backward(dmean, dlogvar, cache):
    x, W, h, Wm, Wv = cache
    dWm = h.T @ dmean
    dWv = h.T @ dmean
    da = (dmean @ Wm.T + dlogvar @ Wv.T) * (1 - h * h)
    return da @ W.T, x.T @ da, da.sum(0), dWm, dWv


def amortised():
    rng = np.random.default_rng(24)
    return [rng.normal(size=s) for s in ((6, 4), (4, 5), (5,), (5, 2), (5, 2))]


def prove_encoder():
    p = amortised()
    g, k = draw((6, 2), 1), draw((6, 2), 2)
    claimed = encode_backward(g, k, encode(*p)[2])

    def value():
        m, v, _ = encode(*p)
        return np.sum(g * m) + np.sum(k * v)

    return [(c, slope(value, a)) for c, a in zip(claimed, p, strict=True)]


# ---- planar flow


class PlanarFlow:
    """z' = z + u_hat tanh(w z + b); also gives log |det|. u_hat keeps the map invertible."""

    def __init__(self, dim, seed):
        rng = np.random.default_rng(seed)
        self.params = {"w": rng.normal(size=dim), "u": rng.normal(size=dim), "b": np.array([0.3])}
        self.grads = {}

    def forward(self, z):
        w, u, b = self.params["w"], self.params["u"], self.params["b"]
        wu = w @ u
        uh = u + (np.log1p(np.exp(wu)) - 1 - wu) * w / (w @ w)
        t = np.tanh(z @ w + b)
        det = 1 + (1 - t**2) * (w @ uh)
        self.cache = z, t, uh, det
        return z + t[:, None] * uh, np.log(det)

    def backward(self, dz, dlogdet):
        w, u = self.params["w"], self.params["u"]
        z, t, uh, det = self.cache
        q = dlogdet / det
        s = 1 - t**2
        da = s * (dz @ uh) - 2 * t * s * (w @ uh) * q
        duh = dz.T @ t + np.sum(q * s) * w
        ww, wu = w @ w, w @ u
        m = np.log1p(np.exp(wu)) - 1 - wu
        dm = (duh @ w) / ww * (expit(wu) - 1)
        dw = z.T @ da + np.sum(q * s) * uh + duh * m / ww - 2 * m * (duh @ w) / ww**2 * w + dm * u
        self.grads = {"w": dw, "u": duh + dm * w, "b": np.array([da.sum()])}
        return dz + np.outer(da, w)


def prove_flow():
    f, z = PlanarFlow(3, 25), draw((5, 3), 3)
    g, k = draw((5, 3), 1), draw(5, 2)
    f.forward(z)
    dz = f.backward(g, k)

    def value():
        y, ld = f.forward(z)
        return np.sum(g * y) + np.sum(k * ld)

    return [(dz, slope(value, z))] + [(f.grads[n], slope(value, f.params[n])) for n in "wub"]


# ---- Nadaraya-Watson


class NadarayaWatson:
    def __init__(self, xs, ys, bw):
        self.xs, self.ys, self.bw = xs, ys, bw

    def predict(self, q):
        self.q = q
        self.r = (q[:, None] - self.xs) / self.bw
        K = np.exp(-0.5 * self.r**2)
        self.wts = K / K.sum(1, keepdims=True)
        self.yhat = self.wts @ self.ys
        return self.yhat

    forward = predict

    def backward(self, gy):
        per_weight = gy[:, None] * self.ys
        return np.sum(per_weight * self.wts * -self.r / self.bw, axis=1)


def smoother():
    rng = np.random.default_rng(26)
    return NadarayaWatson(rng.normal(size=12), rng.normal(size=12) + 1, 0.6), rng.normal(size=6)


# ---- random intercept logit


def random_intercept(par, X, y, group, nodes=15):
    """Marginal likelihood of a logit with a random intercept per group, by Gauss-Hermite."""
    gx, gw = np.polynomial.hermite_e.hermegauss(nodes)
    logw = np.log(gw / gw.sum())
    sd = np.exp(par[-1])
    eta = (X @ par[:-1])[:, None] + sd * gx
    sgn = 2 * y - 1
    per_obs = log_expit(sgn[:, None] * eta)
    resid = y[:, None] - expit(eta)
    total, grad = 0.0, np.zeros(len(par))
    for g in np.unique(group):
        rows = group == g
        joint = per_obs[rows].sum(0) + logw
        total -= logsumexp(joint)
        post = softmax(joint)
        grad[:-1] -= X[rows].T @ (resid[rows] @ post)
        grad[-1] -= sd * np.sum(resid[rows].sum(0) * gx * post)
    return total, grad


def panel():
    rng = np.random.default_rng(27)
    return (
        np.array([0.4, -0.6, -0.3]),
        rng.normal(size=(30, 2)),
        (rng.random(30) < 0.5).astype(float),
        np.repeat(np.arange(6), 5),
    )


# ---- Gaussian mixture


def gmm_nll(X, mu, logsd, logits):
    """Isotropic mixture; mean negative log likelihood."""
    d = X.shape[1]
    sq = ((X[:, None] - mu) ** 2).sum(-1)
    lp = logits - logsumexp(logits) - d * logsd - 0.5 * sq * np.exp(-2 * logsd)
    return -logsumexp(lp, axis=1).mean(), (X, mu, logsd, logits, sq, lp)


def gmm_nll_grad(dloss, memo):
    X, mu, logsd, logits, sq, lp = memo
    resp = softmax(lp, axis=0) * dloss / len(X)
    prec = np.exp(-2 * logsd)
    pull = resp * prec
    dX = pull.sum(1)[:, None] * X - pull @ mu
    dmu = pull.sum(0)[:, None] * mu - pull.T @ X
    dls = (resp * (X.shape[1] - sq * prec)).sum(0)
    return dX, dmu, dls, resp.sum() * softmax(logits) - resp.sum(0)


def blobs():
    rng = np.random.default_rng(28)
    return [rng.normal(size=(9, 2)), rng.normal(size=(3, 2)), 0.3 * rng.normal(size=3), rng.normal(size=3)]


# ---- HSIC


class HSIC:
    """Dependence between learnt features and fixed labels."""

    def __init__(self, L, gamma=0.4):
        n = len(L)
        H = np.eye(n) - 1 / n
        self.HLH = H @ L @ H / (n - 1) ** 2
        self.gamma = gamma

    def value_and_grad(self, F):
        n2 = (F**2).sum(1)
        K = np.exp(-self.gamma * (n2[:, None] + n2 - 2 * F @ F.T))
        M = K * self.HLH
        return M.sum(), -4 * self.gamma * (M.sum(1, keepdims=True) * F - M @ F)


def labelled():
    rng = np.random.default_rng(29)
    y = np.arange(8) % 3
    return HSIC((y[:, None] == y) * 1.0), rng.normal(size=(8, 2))


# ---- random Fourier features


class FourierFeatures:
    """cos features of an RBF kernel, written into one preallocated block for speed."""

    def __init__(self, n, dim, features):
        rng = np.random.default_rng(30)
        self.W = rng.normal(size=(dim, features))
        self.phase = rng.random(features) * 2 * np.pi
        self.block = np.empty((n, features))
        self.c = np.sqrt(2 / features)

    def forward(self, X):
        self.arg = X @ self.W + self.phase
        np.cos(self.arg, out=self.block)
        self.block *= self.c
        return self.block

    def backward(self, dphi):
        return -self.c * (dphi * np.sin(self.arg)) @ self.W.T


def prove_nlml():
    f, t = gp()
    return [(f(t)[1], slope(lambda: f(t)[0], t))]


def prove_panel():
    p, *a = panel()
    return [(random_intercept(p, *a)[1], slope(lambda: random_intercept(p, *a)[0], p))]


def prove_hsic():
    m, F = labelled()
    return [(m.value_and_grad(F)[1], slope(lambda: m.value_and_grad(F)[0], F))]


ENTRIES = [
    Stranger(
        "tb gp marginal likelihood with ard",
        "closure that returns value and gradient",
        lambda gl: (lambda f, t: gl.check_gradient(f, True, t))(*gp()),
        prove_nlml,
    ),
    Stranger(
        "tb matern cross covariance: coefficients not transposed for the second input",
        "layer",
        lambda gl: (lambda m, *x: gl.check_layer(m, *x))(*inducing()),
        lambda: prove_layer(*inducing()),
        "wrong",
        "the coefficients are multiplied with X untransposed in the gradient of Z",
        ("transposed",),
        ("Z",),
        "        dZ = C.sum(0)[:, None] * self.Z - C @ self.X\n",
        "        dZ = C.sum(0)[:, None] * self.Z - C.T @ self.X\n",
    ),
    Stranger(
        "tb locally periodic kernel",
        "pair with dict cache and dict of gradients",
        lambda gl: gl.check_cached_pair(local_periodic, local_periodic_vjp, seasons()),
        prove_seasons,
    ),
    Stranger(
        "tb encoder of mean and log variance: the mean's cotangent for the variance head",
        "pair, two outputs",
        lambda gl: gl.check_cached_pair(encode, encode_backward, amortised()),
        prove_encoder,
        "wrong",
        "the weights of the variance head get the cotangent of the mean",
        ("wrong-cotangent",),
        ("Wv",),
        "    dWv = h.T @ dmean\n",
        "    dWv = h.T @ dlogvar\n",
    ),
    Stranger(
        "tb planar flow with log determinant",
        "layer with two outputs and dicts",
        lambda gl: gl.check_layer(PlanarFlow(3, 25), draw((5, 3), 3)),
        prove_flow,
    ),
    Stranger(
        "tb nadaraya-watson smoother: normaliser taken for a constant",
        "layer",
        lambda gl: (lambda m, q: gl.check_layer(m, q))(*smoother()),
        lambda: prove_layer(*smoother()),
        "wrong",
        "the derivative through the sum of the kernel weights is missing",
        ("missing-term",),
        ("q",),
        "        per_weight = gy[:, None] * self.ys\n",
        "        per_weight = gy[:, None] * (self.ys - self.yhat[:, None])\n",
    ),
    Stranger(
        "tb random intercept logit by quadrature",
        "value and gradient with args",
        lambda gl: (lambda p, *a: gl.check_gradient(random_intercept, True, p, args=a))(*panel()),
        prove_panel,
    ),
    Stranger(
        "tb gaussian mixture: responsibilities normalised over the samples",
        "loss with cache",
        lambda gl: gl.check_cached_pair(gmm_nll, gmm_nll_grad, blobs()),
        lambda: of_pair(gmm_nll, gmm_nll_grad, blobs(), (0, 1, 2, 3)),
        "wrong",
        "the responsibilities are a softmax over the samples instead of the components",
        ("wrong-sum-axis",),
        ("X", "mu", "logsd", "logits"),
        "    resp = softmax(lp, axis=0) * dloss / len(X)\n",
        "    resp = softmax(lp, axis=1) * dloss / len(X)\n",
    ),
    Stranger(
        "tb hsic of features and labels",
        "method that returns value and gradient",
        lambda gl: (lambda m, F: gl.check_gradient(m.value_and_grad, True, F))(*labelled()),
        prove_hsic,
    ),
    Stranger(
        "tb random fourier features: output is the object's own block",
        "layer",
        lambda gl: gl.check_layer(FourierFeatures(6, 3, 8), draw((6, 3), 4)),
        lambda: [],
        "habit",
        "forward returns its own buffer, which the next forward overwrites",
        ("aliases-memory",),
        ("forward",),
    ),
]
