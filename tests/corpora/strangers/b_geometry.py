"""Kernels, processes, splines, rotations, interpolation."""

import numpy as np

from ._entry import Stranger
from .b_diff import jacobian, pair_proof, slope
from .b_physics import layer_proof

# ---------------- marginal likelihood of a Gaussian process


def gp_nlml(theta, X, y):
    """theta = log of (length, signal, noise); returns the value and the gradient."""
    ell2, sf2, sn2 = np.exp(2 * theta)
    n = len(y)
    D = ((X[:, None] - X[None]) ** 2).sum(-1)
    Kf = sf2 * np.exp(-0.5 * D / ell2)
    L = np.linalg.cholesky(Kf + sn2 * np.eye(n))
    Linv = np.linalg.solve(L, np.eye(n))
    alpha = Linv.T @ (Linv @ y)
    nlml = 0.5 * y @ alpha + np.log(np.diag(L)).sum() + 0.5 * n * np.log(2 * np.pi)
    Q = Linv.T @ Linv - np.outer(alpha, alpha)
    # each is half the trace of Q dK, and each dK has a 2 from the square
    return nlml, np.array([0.5 * np.sum(Q * Kf * D) / ell2, np.sum(Q * Kf), sn2 * np.trace(Q)])


def gp_points():
    rng = np.random.default_rng(501)
    X = rng.standard_normal((7, 2))
    return np.array([0.1, 0.3, -0.9]), (X, np.sin(X[:, 0]) + 0.3 * X[:, 1])


# ---------------- the same with a length for each input


class ArdProcess:
    noise = 0.2

    def __init__(self, X, y):
        self.X, self.y = X, y

    def covariance(self, log_ell):
        Z = self.X / np.exp(log_ell)
        sq = (Z[:, None, :] - Z[None, :, :]) ** 2
        return np.exp(-0.5 * sq.sum(-1)), sq

    def objective(self, log_ell):
        K, _ = self.covariance(log_ell)
        Ky = K + self.noise * np.eye(len(K))
        return 0.5 * self.y @ np.linalg.solve(Ky, self.y) + 0.5 * np.linalg.slogdet(Ky)[1]

    def gradient(self, log_ell):
        K, sq = self.covariance(log_ell)
        Ky = K + self.noise * np.eye(len(K))
        alpha = np.linalg.solve(Ky, self.y)
        dK = K[:, :, None] * sq
        return -0.5 * np.einsum("i,ijd,j->d", alpha, dK, alpha)


def ard():
    rng = np.random.default_rng(502)
    X = rng.standard_normal((6, 3))
    return ArdProcess(X, np.cos(X[:, 0]) + X[:, 2]), np.array([0.2, 0.5, -0.1])


def check_ard(gradlab):
    gp, log_ell = ard()
    return gradlab.check_gradient(gp.objective, gp.gradient, log_ell)


def prove_ard():
    gp, log_ell = ard()
    return [(gp.gradient(log_ell), slope(gp.objective, log_ell))]


# ---------------- Gram matrix of one set of points with itself


def rbf_gram_forward(X, log_gamma):
    g = np.exp(log_gamma)
    diff = X[:, None, :] - X[None, :, :]
    K = np.exp(-np.einsum("ijd,d->ij", diff**2, g))
    return K, {"diff": diff, "g": g, "K": K}


def rbf_gram_backward(dK, cache):
    A = dK * cache["K"]
    diff, g = cache["diff"], cache["g"]
    dX = -2 * g * np.einsum("ij,ijd->id", A + A.T, diff)
    dlog_gamma = -g * np.einsum("ij,ijd->d", A, diff**2)
    return dX, dlog_gamma


def gram_points():
    rng = np.random.default_rng(503)
    return rng.standard_normal((5, 3)), rng.standard_normal(3) * 0.4


# ---------------- Catmull-Rom through evenly spaced values


def catmull_rom_forward(values, x):
    last = len(values) - 1
    i = np.clip(np.floor(x).astype(int), 0, last - 1)
    u = x - i
    at = np.clip(i[:, None] + np.arange(-1, 3), 0, last)  # the ends are repeated
    w = 0.5 * np.stack(
        [-u + 2 * u**2 - u**3, 2 - 5 * u**2 + 3 * u**3, u + 4 * u**2 - 3 * u**3, -(u**2) + u**3], axis=1
    )
    return (w * values[at]).sum(axis=1), (values, u, at, w)


def catmull_rom_backward(dout, cache):
    values, u, at, w = cache
    dvalues = np.zeros_like(values)
    np.add.at(dvalues, at, dout[:, None] * w)
    slope_w = 0.5 * np.stack(
        [-1 + 4 * u - 3 * u**2, -10 * u + 9 * u**2, 1 + 8 * u - 9 * u**2, -2 * u + 3 * u**2], axis=1
    )
    return dvalues, dout * (slope_w * values[at]).sum(axis=1)


def catmull_points():
    rng = np.random.default_rng(504)
    return rng.standard_normal(6), np.array([0.3, 4.6, 2.2, 2.7, 1.4])


# ---------------- rotation by quaternions that are normalised first


def quat_rotate_forward(q, v):
    n = np.linalg.norm(q, axis=1, keepdims=True)
    qh = q / n
    w, u = qh[:, :1], qh[:, 1:]
    t = 2 * np.cross(u, v)
    return v + w * t + np.cross(u, t), (n, qh, v, t)


def quat_rotate_backward(dout, cache):
    n, qh, v, t = cache
    w, u = qh[:, :1], qh[:, 1:]
    dw = (dout * t).sum(axis=1, keepdims=True)
    dt = w * dout + np.cross(dout, u)
    du = np.cross(t, dout) + 2 * np.cross(v, dt)
    dv = dout + 2 * np.cross(dt, u)
    dqh = np.hstack([dw, du])
    dq = (dqh - qh * (qh * dqh).sum(axis=1, keepdims=True)) / n
    return dq, dv


def rotate_points():
    rng = np.random.default_rng(505)
    return rng.standard_normal((4, 4)), rng.standard_normal((4, 3))


# ---------------- rotation matrix of a quaternion


def quat_to_matrix(q):
    a, b, c, d = q / np.sqrt(q @ q)
    R = np.array(
        [
            [1 - 2 * (c * c + d * d), 2 * (b * c - a * d), 2 * (b * d + a * c)],
            [2 * (b * c + a * d), 1 - 2 * (b * b + d * d), 2 * (c * d - a * b)],
            [2 * (b * d - a * c), 2 * (c * d + a * b), 1 - 2 * (b * b + c * c)],
        ]
    )
    return R, (a, b, c, d)


def quat_to_matrix_backward(G, unit):
    a, b, c, d = unit
    skew = np.array([G[2, 1] - G[1, 2], G[0, 2] - G[2, 0], G[1, 0] - G[0, 1]])
    S = G + G.T
    da = 2 * (b * skew[0] + c * skew[1] + d * skew[2])
    db = 2 * (a * skew[0] + c * S[0, 1] + d * S[0, 2] - 2 * b * (G[1, 1] + G[2, 2]))
    dc = 2 * (a * skew[1] + b * S[0, 1] + d * S[1, 2] - 2 * c * (G[0, 0] + G[2, 2]))
    dd = 2 * (a * skew[2] + b * S[0, 2] + c * S[1, 2] - 2 * d * (G[0, 0] + G[1, 1]))
    return np.array([da, db, dc, dd])


def quat_points():
    return (np.array([0.9, -0.5, 0.7, 0.4]),)


# ---------------- axis and angle

POINT = np.array([0.7, -1.1, 0.4])


def _rodrigues_terms(w):
    th2 = w @ w
    th = np.sqrt(th2)
    small = th < 1e-4
    safe = np.where(small, 1.0, th)
    s = np.where(small, 1 - th2 / 6, np.sin(safe) / safe)
    c = np.where(small, 0.5 - th2 / 24, (1 - np.cos(safe)) / safe**2)
    ds = np.where(small, -1 / 3, (np.cos(safe) - s) / safe**2)  # by w, divided by w
    dc = np.where(small, -1 / 12, (s - 2 * c) / safe**2)
    return th, s, c, ds, dc


def rotate_point(w):
    th, s, c, _, _ = _rodrigues_terms(w)
    return POINT * np.cos(th) + s * np.cross(w, POINT) + c * (w @ POINT) * w


def rotate_point_jac(w):
    th, s, c, ds, dc = _rodrigues_terms(w)
    x, y, z = POINT
    minus_hat = np.array([[0, z, -y], [-z, 0, x], [y, -x, 0]])
    along = w @ POINT
    J = s * minus_hat + c * (along * np.eye(3) + np.outer(w, POINT))
    return J + np.outer(-s * POINT + ds * np.cross(w, POINT) + dc * along * w, w)


def axis_points():
    return np.array([0.8, 0.3, -1.2])


# ---------------- sampling an image between its pixels


def grid_sample_forward(img, grid):
    """grid holds (row, column) in pixels; outside is zero."""
    H, W = img.shape
    r, c = grid[:, 0], grid[:, 1]
    r0, c0 = np.floor(r).astype(int), np.floor(c).astype(int)
    fr, fc = r - r0, c - c0
    padded = np.zeros((H + 2, W + 2))
    padded[1:-1, 1:-1] = img

    def idx(a, n):
        return np.clip(a + 1, 0, n + 1)

    corners = [[(idx(r0 + i, H), idx(c0 + j, W)) for j in (0, 1)] for i in (0, 1)]
    vals = [[padded[corners[i][j]] for j in (0, 1)] for i in (0, 1)]
    top = (1 - fc) * vals[0][0] + fc * vals[0][1]
    bottom = (1 - fc) * vals[1][0] + fc * vals[1][1]
    return (1 - fr) * top + fr * bottom, (padded.shape, corners, vals, fr, fc, top, bottom)


def grid_sample_backward(dout, cache):
    shape, corners, vals, fr, fc, top, bottom = cache
    dpad = np.zeros(shape)
    for i, wr in ((0, 1 - fr), (1, fr)):
        for j, wc in ((0, 1 - fc), (1, fc)):
            np.add.at(dpad, corners[i][j], dout * wr * wc)
    left = (1 - fr) * vals[0][0] + fr * vals[1][0]
    right = (1 - fr) * vals[0][1] + fr * vals[1][1]
    return dpad[1:-1, 1:-1], np.stack([dout * (bottom - top), dout * (right - left)], axis=1)


def sample_points():
    rng = np.random.default_rng(506)
    grid = np.array([[0.4, 1.3], [2.6, 3.7], [1.5, 0.2], [-0.4, 2.8], [1.7, 1.6]])
    return rng.standard_normal((4, 5)), grid


# ---------------- natural cubic spline through given values


class NaturalSpline:
    """Values at the knots -> values at fixed places."""

    def __init__(self, knots, places):
        self.knots, self.places = np.asarray(knots), np.asarray(places)

    def forward(self, y):
        t, h = self.knots, np.diff(self.knots)
        n = len(t)
        T = np.eye(n)
        rhs = np.zeros(n)
        for i in range(1, n - 1):
            T[i, i - 1 : i + 2] = h[i - 1], 2 * (h[i - 1] + h[i]), h[i]
            rhs[i] = 6 * ((y[i + 1] - y[i]) / h[i] - (y[i] - y[i - 1]) / h[i - 1])
        m = np.linalg.solve(T, rhs)
        self.k = k = np.clip(np.searchsorted(t, self.places) - 1, 0, n - 2)
        self.b = b = (self.places - t[k]) / h[k]
        self.a = a = 1 - b
        return a * y[k] + b * y[k + 1] + ((a**3 - a) * m[k] + (b**3 - b) * m[k + 1]) * h[k] ** 2 / 6

    def backward(self, dout):
        dy = np.zeros(len(self.knots))
        np.add.at(dy, self.k, dout * self.a)
        np.add.at(dy, self.k + 1, dout * self.b)
        return dy


def natural():
    spline = NaturalSpline([0.0, 0.7, 1.5, 2.0, 3.1], [0.2, 1.1, 1.2, 1.8, 2.4, 2.9])
    return spline, np.random.default_rng(507).standard_normal(5)


# ---------------- learned curve of quadratic B-splines


class BSplineActivation:
    """One curve for all inputs, on cells of length 1 from -4 to 4."""

    lo, cells = -4.0, 8

    def __init__(self, rng):
        self.coef = rng.standard_normal(self.cells + 2)
        self.dcoef = None

    def forward(self, x):
        s = np.clip(x - self.lo, 0.0, self.cells - 1e-9)
        self.cell = s.astype(int)
        u = self.u = s - self.cell
        self.inside = (x > self.lo) & (x < self.lo + self.cells)
        self.basis = [0.5 * (1 - u) ** 2, 0.5 + u - u**2, 0.5 * u**2]
        return sum(B * self.coef[self.cell + k] for k, B in enumerate(self.basis))

    def backward(self, dout):
        self.dcoef = np.zeros_like(self.coef)
        for k, B in enumerate(self.basis):
            np.add.at(self.dcoef, self.cell + k - 1, dout * B)
        u = self.u
        dB = [u - 1, 1 - 2 * u, u]
        slope = sum(d * self.coef[self.cell + k] for k, d in enumerate(dB))
        return dout * slope * self.inside


def bspline():
    rng = np.random.default_rng(508)
    return BSplineActivation(rng), rng.standard_normal((3, 4)) * 1.2


def prove_bspline():
    layer, x = bspline()
    return layer_proof(layer, x, [(layer.coef, lambda: layer.dcoef)])


# ---------------- table look-up, held constant outside

KNOTS = np.array([0.0, 0.5, 1.2, 2.0, 3.0])


def interp_fwd(x, table):
    seg = np.clip(np.searchsorted(KNOTS, x, side="right") - 1, 0, len(KNOTS) - 2)
    frac = np.clip((x - KNOTS[seg]) / (KNOTS[seg + 1] - KNOTS[seg]), 0.0, 1.0)
    return (1 - frac) * table[seg] + frac * table[seg + 1], (seg, frac, table)


def interp_bwd(dy, cache):
    seg, frac, table = cache
    dx = dy * (table[seg + 1] - table[seg]) / (KNOTS[seg + 1] - KNOTS[seg])
    dtable = np.bincount(seg, dy * (1 - frac), minlength=5) + np.bincount(seg + 1, dy * frac, minlength=5)
    return dx, dtable


def interp_points():
    rng = np.random.default_rng(509)
    return np.array([0.3, 3.6, 1.7, -0.8, 2.4, 0.9]), rng.standard_normal(5)


def pair_entry(name, form, forward, backward, points, *rest):
    return Stranger(
        name,
        form,
        lambda gradlab: gradlab.check_cached_pair(forward, backward, points()),
        lambda: pair_proof(forward, backward, points()),
        *rest,
    )


def check_gp(gradlab):
    theta, args = gp_points()
    return gradlab.check_gradient(gp_nlml, True, theta, args=args)


def prove_gp():
    theta, args = gp_points()
    return [(gp_nlml(theta, *args)[1], slope(lambda v: gp_nlml(v, *args)[0], theta))]


ENTRIES = [
    Stranger(
        "gaussian process by its log hyperparameters, value and gradient",
        "one function for the value and the gradient, with args",
        check_gp,
        prove_gp,
    ),
    pair_entry(
        "gram matrix of a set with itself, a rate for each dimension",
        "pair with a dict for a cache",
        rbf_gram_forward,
        rbf_gram_backward,
        gram_points,
    ),
    pair_entry(
        "catmull-rom curve by its values and places",
        "pair with cache",
        catmull_rom_forward,
        catmull_rom_backward,
        catmull_points,
    ),
    pair_entry(
        "rotation of vectors by quaternions that are normalised inside",
        "pair with cache",
        quat_rotate_forward,
        quat_rotate_backward,
        rotate_points,
    ),
    Stranger(
        "rodrigues rotation of a point and its jacobian",
        "f and jac",
        lambda gradlab: gradlab.check_jacobian(rotate_point, rotate_point_jac, axis_points()),
        lambda: [(rotate_point_jac(axis_points()), jacobian(rotate_point, axis_points()))],
    ),
    pair_entry(
        "bilinear sampling of an image, zero outside",
        "pair with cache",
        grid_sample_forward,
        grid_sample_backward,
        sample_points,
    ),
    Stranger(
        "gaussian process with a length for each input: determinant forgotten",
        "bound methods as f and grad",
        check_ard,
        prove_ard,
        "wrong",
        "the log determinant's term is missing",
        ("missing-term",),
        ("log_ell",),
    ),
    pair_entry(
        "rotation matrix of a quaternion: normalisation forgotten",
        "pair with a tuple for a cache",
        quat_to_matrix,
        quat_to_matrix_backward,
        quat_points,
        "wrong",
        "backward ends at the unit quaternion",
        ("normaliser-forgotten", "missing-term"),
        ("q",),
    ),
    Stranger(
        "natural spline: second derivatives held fixed",
        "layer without parameters",
        lambda gradlab: gradlab.check_layer(*natural()),
        lambda: layer_proof(*natural(), []),
        "wrong",
        "the second derivatives depend on the values too, through the tridiagonal system",
        ("missing-term",),
        ("y",),
    ),
    Stranger(
        "b-spline activation: coefficients one place off",
        "layer with a dX attribute",
        lambda gradlab: gradlab.check_layer(*bspline()),
        prove_bspline,
        "wrong",
        "the gradient of the coefficients is added one place too early",
        ("shifted",),
        ("coef",),
    ),
    pair_entry(
        "table look-up held constant outside: slope of the end segments there",
        "pair with cache",
        interp_fwd,
        interp_bwd,
        interp_points,
        "wrong",
        "outside the table the gradient of x should be zero",
        ("masked-region",),
        ("x",),
    ),
]
