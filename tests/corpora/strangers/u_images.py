"""Graphics and images: meshes, splines, rendering, warps, wavelets, diffusion, deblurring."""

import numpy as np

from ._entry import Stranger
from ._help_u import numeric, prove_layer, prove_pair, prove_scalar, weights


class BalloonEnergy:
    """Area minus pressure times volume of a closed triangle mesh."""

    def __init__(self, faces, pressure=0.8):
        self.faces, self.p = faces, pressure

    def cost(self, V):
        a, b, c = V[self.faces].transpose(1, 0, 2)
        n = np.cross(b - a, c - a)
        return 0.5 * np.linalg.norm(n, axis=1).sum() - self.p * np.sum(a * np.cross(b, c)) / 6

    def grad(self, V):
        a, b, c = V[self.faces].transpose(1, 0, 2)
        n = np.cross(b - a, c - a)
        n /= np.linalg.norm(n, axis=1, keepdims=True)
        G = np.zeros_like(V)
        corners = (a, b, c)
        for i in range(3):
            q, r = corners[(i + 1) % 3], corners[(i + 2) % 3]
            np.add.at(G, self.faces[:, i], 0.5 * np.cross(n, r - q) - self.p / 6 * np.cross(q, r))
        return G


def _octahedron():
    V = np.concatenate((np.eye(3), -np.eye(3))) + 0.1 * np.random.default_rng(1).normal(size=(6, 3))
    F = [(0, 1, 2), (1, 3, 2), (3, 4, 2), (4, 0, 2), (1, 0, 5), (3, 1, 5), (4, 3, 5), (0, 4, 5)]
    return BalloonEnergy(np.array(F)), V


class SplineCurve:
    """Uniform cubic B-spline in the plane; u in [0, n - 3)."""

    BASIS = np.array([[1, 4, 1, 0], [-3, 0, 3, 0], [3, -6, 3, 0], [-1, 3, -3, 1]]) / 6

    def __init__(self, points):
        self.points = points
        self.grad_points = None

    def forward(self, u):
        seg = np.floor(u).astype(int)
        t = u - seg
        self.idx = seg[:, None] + np.arange(4)
        self.N = np.stack((np.ones_like(t), t, t**2, t**3), 1) @ self.BASIS
        self.dN = np.stack((np.zeros_like(t), np.ones_like(t), 2 * t, 3 * t**2), 1) @ self.BASIS
        return np.einsum("mk,mkc->mc", self.N, self.points[self.idx])

    def backward(self, g):
        self.grad_points = np.zeros_like(self.points)
        np.add.at(self.grad_points, self.idx, self.N[:, :, None] * g[:, None, :])
        return np.einsum("mk,mkc,mc->m", self.dN, self.points[self.idx], g)


def _curve():
    g = np.random.default_rng(2)
    return SplineCurve(g.normal(size=(8, 2))), g.uniform(0.05, 4.95, 9)


def _prove_curve():
    s, u = _curve()
    return prove_layer(s.forward, s.backward, (u,), (s.points,), lambda: (s.grad_points,))


def composite(sigma, rgb, dist):
    """Emission and absorption along rays: sigma (R, S), rgb (R, S, 3), dist (R, S) -> colour, depth."""
    tau = np.cumsum(sigma * dist, axis=1)
    after = np.exp(-tau)
    before = np.concatenate((np.ones_like(after[:, :1]), after[:, :-1]), axis=1)
    w = before - after
    z = np.cumsum(dist, axis=1)
    colour = np.einsum("rs,rsc->rc", w, rgb)
    return colour, np.sum(w * z, axis=1), (sigma, rgb, dist, after, w, z)


def composite_backward(dcolour, ddepth, cache):
    sigma, rgb, dist, after, w, z = cache
    drgb = w[..., None] * dcolour[:, None, :]
    dw = np.einsum("rsc,rc->rs", rgb, dcolour) + ddepth[:, None] * z
    ww = dw * w
    later = np.cumsum(ww[:, ::-1], axis=1)[:, ::-1] - ww
    dtau = dw * after - later
    dz = ddepth[:, None] * w
    return dtau * dist, drgb, dtau * sigma + np.cumsum(dz[:, ::-1], axis=1)[:, ::-1]


def _rays():
    g = np.random.default_rng(3)
    return g.uniform(0.2, 2, (3, 6)), g.uniform(size=(3, 6, 3)), g.uniform(0.1, 0.4, (3, 6))


def _prove_rays():
    x = _rays()
    *outs, cache = composite(*x)
    w1, w2 = weights(outs[0], 1), weights(outs[1], 2)

    def loss():
        c, d, _ = composite(*x)
        return np.sum(c * w1) + np.sum(d * w2)

    return list(zip(composite_backward(w1, w2, cache), numeric(loss, *x)))


class HomographyWarp(object):
    """Bilinear sampling of an image at H (x, y, 1)."""

    def __init__(self, out_shape):
        yy, xx = np.mgrid[: out_shape[0], : out_shape[1]]
        self.grid = np.stack((xx.ravel(), yy.ravel(), np.ones(xx.size)))
        self.out_shape = out_shape

    def forward(self, img, H):
        q = H @ self.grid
        x, y = q[0] / q[2], q[1] / q[2]
        x0, y0 = np.floor(x).astype(int), np.floor(y).astype(int)
        fx, fy = x - x0, y - y0
        self.corners = [(y0, x0), (y0, x0 + 1), (y0 + 1, x0), (y0 + 1, x0 + 1)]
        self.w = [(1 - fy) * (1 - fx), (1 - fy) * fx, fy * (1 - fx), fy * fx]
        p = [img[c] for c in self.corners]
        self.gx = (1 - fy) * (p[1] - p[0]) + fy * (p[3] - p[2])
        self.gy = (1 - fx) * (p[2] - p[0]) + fx * (p[3] - p[1])
        self.q, self.xy, self.shape = q, (x, y), img.shape
        return sum(w * v for w, v in zip(self.w, p)).reshape(self.out_shape)

    def backward(self, g):
        g = g.ravel()
        dimg = np.zeros(self.shape)
        for w, c in zip(self.w, self.corners):
            np.add.at(dimg, c, w * g)
        dx, dy = g * self.gx / self.q[2], g * self.gy / self.q[2]
        dq = np.stack((dx, dy, -dx * self.xy[0] - dy * self.xy[1]))
        return dimg, dq @ self.grid.T


def _warp():
    g = np.random.default_rng(4)
    H = np.array([[0.7, 0.05, 0.42], [-0.05, 0.91, 0.73], [0.011, 0.007, 1.0]])
    return HomographyWarp((4, 5)), (g.uniform(size=(7, 7)), H)


# ----- Haar wavelet shrinkage, in place on strided views ------------------------------------------


def _haar(y, levels, inverse=False):
    for lev in reversed(range(levels)) if inverse else range(levels):
        a, b = y[:: 2 << lev], y[1 << lev :: 2 << lev]
        a[:], b[:] = (a + b) / np.sqrt(2), (a - b) / np.sqrt(2)
    return y


def wavelet_denoise(x, thr):
    L = len(thr)
    y = _haar(x.copy(), L)
    raw = y.copy()
    for lev in range(L):
        d = y[1 << lev :: 2 << lev]
        d *= d * d / (d * d + thr[lev] ** 2)
    return _haar(y, L, inverse=True), (raw, thr)


def wavelet_denoise_backward(dout, cache):
    raw, thr = cache
    L = len(thr)
    g = _haar(dout.copy(), L)
    dthr = np.empty(L)
    for lev in range(L):
        d, t2 = raw[1 << lev :: 2 << lev], thr[lev] ** 2
        gd = g[1 << lev :: 2 << lev]
        dthr[lev] = -2 * thr[lev] * np.sum(gd * d**3 / (d * d + t2) ** 2)
        gd *= d * d * (d * d + 3 * t2) / (d * d + t2) ** 2
    return _haar(g, L, inverse=True), dthr


def _noisy():
    return np.random.default_rng(5).normal(size=16), np.array([0.5, 0.7, 1.0])


# ----- these have a mistake ------------------------------------


class PeronaMalik:
    def __init__(self, kappa=0.8, step=0.2, iters=3):
        self.kappa, self.step, self.iters = kappa, step, iters

    def forward(self, img):
        self.imgs = []
        for _ in range(self.iters):
            self.imgs.append(img)
            new = img.copy()
            for ax in (0, 1):
                d = np.diff(img, axis=ax)
                flux = d * np.exp(-((d / self.kappa) ** 2))
                new += self.step * self._div(flux, ax)
            img = new
        return img

    @staticmethod
    def _div(f, ax):
        pad = [(0, 0), (0, 0)]
        pad[ax] = (1, 1)
        return np.diff(np.pad(f, pad), axis=ax)

    def backward(self, g):
        for img in self.imgs[::-1]:
            acc = g.copy()
            for ax in (0, 1):
                d = np.diff(img, axis=ax)
                c = np.exp(-((d / self.kappa) ** 2))
                slope = c
                acc += self.step * self._div(slope * np.diff(g, axis=ax), ax)
            g = acc
        return g


class Sharpen:
    """Laplacian sharpening with replicated borders."""

    def __init__(self, amount):
        self.amount = np.array(amount)

    def forward(self, img):
        p = np.pad(img, 1, mode="edge")
        self.lap = 4 * img - p[:-2, 1:-1] - p[2:, 1:-1] - p[1:-1, :-2] - p[1:-1, 2:]
        return img + self.amount * self.lap

    def backward(self, g):
        self.d_amount = np.sum(g * self.lap)
        s = self.amount * g
        dp = np.zeros((g.shape[0] + 2, g.shape[1] + 2))
        dp[:-2, 1:-1] -= s
        dp[2:, 1:-1] -= s
        dp[1:-1, :-2] -= s
        dp[1:-1, 2:] -= s
        return g + 4 * s + dp[1:-1, 1:-1]


def _prove_sharpen():
    o = Sharpen(0.6)
    return prove_layer(
        o.forward,
        o.backward,
        (np.random.default_rng(7).uniform(size=(6, 7)),),
        (o.amount,),
        lambda: (o.d_amount,),
    )


def project_points(X, f):
    """Pinhole camera: points (n, 3), focal lengths (n,) -> pixels (n, 2), disparity (n,)."""
    inv = 1 / X[:, 2]
    uv = f[:, None] * X[:, :2] * inv[:, None]
    return uv, inv, (X, f, inv)


def project_points_backward(duv, ddisp, cache):
    X, f, inv = cache
    s = f * inv
    dX = np.empty_like(X)
    dX[:, 0] = s * duv[:, 0]
    dX[:, 1] = s * duv[:, 0]
    dX[:, 2] = -inv * s * (duv * X[:, :2]).sum(1) - ddisp * inv**2
    return dX, inv * (duv * X[:, :2]).sum(1)


def _points():
    g = np.random.default_rng(8)
    return np.column_stack((g.normal(size=(5, 2)), g.uniform(1.5, 3, 5))), g.uniform(1, 2, 5)


def _prove_points():
    x = _points()
    *outs, cache = project_points(*x)
    w1, w2 = weights(outs[0], 1), weights(outs[1], 2)

    def loss():
        uv, disp, _ = project_points(*x)
        return np.sum(uv * w1) + np.sum(disp * w2)

    return list(zip(project_points_backward(w1, w2, cache), numeric(loss, *x)))


def blur(x):
    y = 0.5 * x
    y[1:] += 0.25 * x[:-1]
    y[:-1] += 0.25 * x[1:]
    return y


def misfit(x, y):
    return 0.5 * np.sum((blur(x) - y) ** 2) + 0.1 * np.sum(np.sqrt(np.diff(x) ** 2 + 0.01))


def misfit_grad(x, y, weight_decay=0.05):
    g = blur(blur(x) - y)
    d = np.diff(x)
    t = 0.1 * d / np.sqrt(d**2 + 0.01)
    g[1:] += t
    g[:-1] -= t
    g += weight_decay * x
    return g


def _blurred():
    g = np.random.default_rng(9)
    return g.normal(size=15), g.normal(size=15)


ENTRIES = [
    Stranger(
        "u: balloon energy of a closed mesh",
        "bound methods f and grad, vertices (V, 3)",
        lambda gradlab: (lambda o, V: gradlab.check_gradient(o.cost, o.grad, V))(*_octahedron()),
        lambda: (lambda o, V: prove_scalar(o.cost, o.grad, V))(*_octahedron()),
    ),
    Stranger(
        "u: cubic B-spline, control points and parameters",
        "layer with points and grad_points",
        lambda gradlab: (lambda s, u: gradlab.check_layer(s, u))(*_curve()),
        _prove_curve,
    ),
    Stranger(
        "u: volume rendering, colour and depth",
        "pair with two outputs and a cache",
        lambda gradlab: gradlab.check_cached_pair(composite, composite_backward, _rays()),
        _prove_rays,
    ),
    Stranger(
        "u: homography warp of an image",
        "layer, tuple of gradients",
        lambda gradlab: (lambda o, x: gradlab.check_layer(o, *x))(*_warp()),
        lambda: (lambda o, x: prove_layer(o.forward, o.backward, x, step=1e-4))(*_warp()),
    ),
    Stranger(
        "u: wavelet shrinkage on strided views",
        "pair with cache, in place",
        lambda gradlab: gradlab.check_cached_pair(wavelet_denoise, wavelet_denoise_backward, _noisy()),
        lambda: prove_pair(wavelet_denoise, wavelet_denoise_backward, _noisy()),
    ),
    Stranger(
        "u: Perona-Malik diffusion: conductance taken as a constant",
        "layer with a trajectory",
        lambda gradlab: gradlab.check_layer(PeronaMalik(), np.random.default_rng(6).normal(size=(5, 6))),
        lambda: (
            lambda o: prove_layer(o.forward, o.backward, (np.random.default_rng(6).normal(size=(5, 6)),))
        )(PeronaMalik()),
        truth="wrong",
        mistake="the conductance's own dependence on the image is left out",
        names=("missing-term", "missing-factor"),
        of=("img",),
        line="                slope = c",
        mended="                slope = c * (1 - 2 * (d / self.kappa) ** 2)",
    ),
    Stranger(
        "u: sharpening with replicated borders: border cropped",
        "layer with a scalar parameter",
        lambda gradlab: gradlab.check_layer(Sharpen(0.6), np.random.default_rng(7).uniform(size=(6, 7))),
        _prove_sharpen,
        truth="wrong",
        mistake="what falls on the padding is cut off, not added to the edge it was copied from",
        names=("border", "missing-term"),
        of=("img",),
        line="        dp[1:-1, 2:] -= s\n        return",
        mended=(
            "        dp[1:-1, 2:] -= s\n"
            "        dp[1] += dp[0]\n"
            "        dp[-2] += dp[-1]\n"
            "        dp[:, 1] += dp[:, 0]\n"
            "        dp[:, -2] += dp[:, -1]\n"
            "        return"
        ),
    ),
    Stranger(
        "u: pinhole camera, pixels and disparity: the pixel's other coordinate",
        "pair with two outputs",
        lambda gradlab: gradlab.check_cached_pair(project_points, project_points_backward, _points()),
        _prove_points,
        truth="wrong",
        mistake="y's gradient takes the cotangent of the pixel's first coordinate",
        names=("wrong-cotangent",),
        of=("X",),
        line="    dX[:, 1] = s * duv[:, 0]",
        mended="    dX[:, 1] = s * duv[:, 1]",
    ),
    Stranger(
        "u: deblurring misfit: weight decay in the gradient only",
        "f and grad with args",
        lambda gradlab: (lambda x, y: gradlab.check_gradient(misfit, misfit_grad, x, args=(y,)))(*_blurred()),
        lambda: (lambda x, y: prove_scalar(lambda v: misfit(v, y), lambda v: misfit_grad(v, y), x, 1e-4))(
            *_blurred()
        ),
        truth="wrong",
        mistake="the gradient has a weight decay that the function has not",
        names=("additive-bias",),
        of=("x",),
        line="    g += weight_decay * x",
        mended="",
    ),
]
