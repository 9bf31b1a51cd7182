"""Residuals and Jacobians for least_squares and root, Hessians for minimize."""

import numpy as np
from scipy import sparse
from scipy.sparse.linalg import LinearOperator

from ._entry import Stranger
from ._help_d import numjac

# ---------------------------------------------------------------- bundle adjustment, axis-angle camera


def skew(v):
    return np.array([[0, -v[2], v[1]], [v[2], 0, -v[0]], [-v[1], v[0], 0]])


def rodrigues(w):
    th = np.linalg.norm(w)
    if th < 1e-12:
        return np.eye(3) + skew(w)
    K = skew(w / th)
    return np.eye(3) + np.sin(th) * K + (1 - np.cos(th)) * K @ K


class Reprojection:
    """One camera (rotation, translation, log focal length), m points: params = 7 + 3 m numbers."""

    def __init__(self, seen):
        self.seen = seen

    def _project(self, params):
        R, t, f = rodrigues(params[:3]), params[3:6], np.exp(params[6])
        X = params[7:].reshape(-1, 3)
        P = X @ R.T + t
        return R, f, X, P, f * P[:, :2] / P[:, 2:]

    def residuals(self, params):
        return (self._project(params)[4] - self.seen).ravel()

    def jacobian(self, params):
        R, f, X, P, uv = self._project(params)
        m = len(X)
        w = params[:3]
        J = np.zeros((m, 2, 7 + 3 * m))
        # d(R x)/dw, Gallego & Yezzi
        th2 = w @ w
        M = (np.outer(w, w) + (R.T - np.eye(3)) @ skew(w)) / th2 if th2 > 1e-20 else np.eye(3)
        for i in range(m):
            z = P[i, 2]
            D = f / z * np.array([[1, 0, -P[i, 0] / z], [0, 1, -P[i, 1] / z]])
            J[i, :, :3] = D @ (-R @ skew(X[i]) @ M)
            J[i, :, 3:6] = D
            J[i, :, 6] = uv[i]
            J[i, :, 7 + 3 * i : 10 + 3 * i] = D @ R
        return J.reshape(2 * m, -1)


def bundle_data():
    rng = np.random.default_rng(501)
    m = 8
    params = np.concatenate([[0.3, -0.5, 0.2], [0.1, -0.2, 5.0], [0.4], rng.standard_normal(3 * m)])
    b = Reprojection(np.zeros((m, 2)))
    b.seen = b._project(params)[4] + 0.05 * rng.standard_normal((m, 2))
    return b.residuals, b.jacobian, params


# ---------------------------------------------------------------- homography of the plane


def homography_residuals(h, src, dst):
    H = np.append(h, 1.0).reshape(3, 3)
    p = np.column_stack([src, np.ones(len(src))]) @ H.T
    return np.concatenate([p[:, 0] / p[:, 2] - dst[:, 0], p[:, 1] / p[:, 2] - dst[:, 1]])


def homography_jacobian(h, src, dst):
    H = np.append(h, 1.0).reshape(3, 3)
    s = np.column_stack([src, np.ones(len(src))])
    p = s @ H.T
    z = p[:, 2:]
    zero = np.zeros_like(s)
    u, v = p[:, :1] / z, p[:, 1:2] / z
    Ju = np.hstack([s / z, zero, -u * s / z])
    Jv = np.hstack([zero, s / z, -v * s / z])
    return np.vstack([Ju, Jv])[:, :8]


def homography_data():
    rng = np.random.default_rng(502)
    src = rng.uniform(-1, 1, (10, 2))
    h = np.array([1.1, 0.1, 0.3, -0.05, 0.9, -0.2, 0.05, -0.08])
    return h, (src, src + 0.2 * rng.standard_normal((10, 2)))


# ---------------------------------------------------------------- Bratu's equation, tridiagonal


def bratu(u, lam=1.5):
    n = len(u)
    h2 = (1 / (n + 1)) ** 2
    p = np.concatenate([[0.0], u, [0.0]])
    return p[2:] - 2 * u + p[:-2] + h2 * lam * np.exp(u)


def bratu_jac(u, lam=1.5):
    n = len(u)
    h2 = (1 / (n + 1)) ** 2
    return sparse.diags(
        [np.ones(n - 1), -2 + h2 * lam * np.exp(u), np.ones(n - 1)], [-1, 0, 1], shape=(n, n), format="csr"
    )


def bratu_data():
    return np.random.default_rng(503).uniform(0, 1.5, 60)


# ---------------------------------------------------------------- blind square-law detector, matrix-free


class SquareLaw:
    """y_k = (a * x)_k ** 2 with the full convolution; the Jacobian as a LinearOperator."""

    def __init__(self, taps):
        self.taps = np.asarray(taps, dtype=float)

    def fun(self, x):
        return np.convolve(x, self.taps) ** 2

    def jac(self, x):
        y = np.convolve(x, self.taps)
        return LinearOperator(
            (len(y), len(x)),
            matvec=lambda v: 2 * y * np.convolve(np.ravel(v), self.taps),
            rmatvec=lambda w: np.correlate(2 * y * np.ravel(w), self.taps, mode="valid"),
            dtype=float,
        )


def squarelaw_data():
    rng = np.random.default_rng(504)
    return SquareLaw([1.0, -0.6, 0.3, 0.1, -0.2]), rng.standard_normal(30)


# ---------------------------------------------------------------- ridge logistic regression, Hessian


def logreg_value(w, X, y, ridge):
    z = X @ w
    return np.mean(np.logaddexp(0, z) - y * z) + 0.5 * ridge * w @ w


def logreg_grad(w, X, y, ridge):
    p = 0.5 * (1 + np.tanh(0.5 * (X @ w)))
    return X.T @ (p - y) / len(y) + ridge * w


def logreg_hess(w, X, y, ridge):
    p = 0.5 * (1 + np.tanh(0.5 * (X @ w)))
    return (X.T * (p * (1 - p))) @ X / len(y) + ridge * np.eye(len(w))


def logreg_data():
    rng = np.random.default_rng(505)
    return rng.standard_normal(6), (rng.standard_normal((50, 6)), (rng.random(50) < 0.5).astype(float), 0.1)


# ---------------------------------------------------------------- market shares against observed ones


def share_residuals(delta, observed):
    e = np.exp(delta - delta.max())
    outside = np.exp(-delta.max())
    return e / (outside + e.sum()) - observed


def share_jacobian(delta, observed):
    s = share_residuals(delta, 0.0)
    return np.diag(s * (1 - s))


def share_data():
    rng = np.random.default_rng(506)
    return rng.standard_normal(7), (rng.dirichlet(np.ones(8))[:7],)


# ---------------------------------------------------------------- ring of oscillators, periodic


def ring(theta, natural, coupling=0.8):
    """Kuramoto: each oscillator feels its two neighbours, the last one neighbours the first."""
    right, left = np.roll(theta, -1), np.roll(theta, 1)
    return natural + coupling * (np.sin(right - theta) + np.sin(left - theta))


def ring_jac(theta, natural, coupling=0.8):
    n = len(theta)
    i = np.arange(n)
    cr = coupling * np.cos(np.roll(theta, -1) - theta)
    cl = coupling * np.cos(np.roll(theta, 1) - theta)
    J = sparse.lil_matrix((n, n))
    J[i, i] = -(cr + cl)
    J[i[:-1], i[1:]] = cr[:-1]
    J[i[1:], i[:-1]] = cl[1:]
    J[n - 1, 0] = cr[-1]
    return J.tocsr()


def ring_data():
    rng = np.random.default_rng(507)
    return rng.uniform(-0.6, 0.6, 20), (rng.standard_normal(20),)


# ---------------------------------------------------------------- bearings from known beacons


def bearing_residuals(p, beacons, measured_deg):
    """p: positions along a track (x, y, x, y, ...); bearings in degrees."""
    d = beacons[None, :, :] - p.reshape(-1, 1, 2)
    return (np.degrees(np.arctan2(d[..., 1], d[..., 0])) - measured_deg).ravel()


def bearing_jacobian(p, beacons, measured_deg):
    pos = p.reshape(-1, 2)
    n, m = len(pos), len(beacons)
    d = beacons[None, :, :] - pos[:, None, :]
    r2 = (d**2).sum(-1)
    J = np.zeros((n, m, n, 2))
    k = np.arange(n)
    J[k, :, k, 0] = d[..., 1] / r2
    J[k, :, k, 1] = -d[..., 0] / r2
    return J.reshape(n * m, 2 * n)


def bearing_data():
    rng = np.random.default_rng(508)
    p = rng.uniform(-1, 1, (5, 2))
    beacons = np.array([[4.0, 3.0], [5.0, -2.0], [3.0, 5.0]])
    d = beacons[None] - p[:, None]
    measured = np.degrees(np.arctan2(d[..., 1], d[..., 0])) + rng.standard_normal((5, 3))
    return p.ravel(), (beacons, measured)


# ---------------------------------------------------------------- chained Rosenbrock, its Hessian


def rosen(x, a=10.0):
    return np.sum(a * (x[1:] - x[:-1] ** 2) ** 2 + (1 - x[:-1]) ** 2)


def rosen_grad(x, a=10.0):
    g = np.zeros_like(x)
    g[:-1] = -4 * a * x[:-1] * (x[1:] - x[:-1] ** 2) - 2 * (1 - x[:-1])
    g[1:] += 2 * a * (x[1:] - x[:-1] ** 2)
    return g


def rosen_hessian(x, a=10.0):
    n = len(x)
    H = np.zeros((n, n))
    i = np.arange(n - 1)
    H[i, i] += 12 * a * x[:-1] ** 2 - 4 * a * x[1:] + 2
    H[i + 1, i + 1] += 2 * a
    H[i, i + 1] = -4 * a * x[:-1]
    return H


def rosen_data():
    return np.random.default_rng(509).uniform(-1.2, 1.2, 9)


# ---------------------------------------------------------------- circle through points that it centres for itself


def circle_residuals(p, points):
    points -= points.mean(axis=0)  # better conditioned
    return np.hypot(points[:, 0] - p[0], points[:, 1] - p[1]) - p[2]


def circle_jacobian(p, points):
    points -= points.mean(axis=0)
    d = p[:2] - points
    return np.column_stack([d / np.linalg.norm(d, axis=1, keepdims=True), -np.ones(len(points))])


def circle_data():
    rng = np.random.default_rng(510)
    phi = rng.uniform(0, 2 * np.pi, 15)
    pts = np.column_stack([3 + 2 * np.cos(phi), -1 + 2 * np.sin(phi)]) + 0.05 * rng.standard_normal((15, 2))
    return np.array([0.1, -0.2, 1.7]), (pts,)


def _dense(J, n):
    if isinstance(J, LinearOperator):
        by_columns = np.column_stack([J.matvec(e) for e in np.eye(n)])
        by_rows = np.vstack([J.rmatvec(e) for e in np.eye(J.shape[0])])
        return [by_columns, by_rows]
    return [J.toarray() if sparse.issparse(J) else np.array(J)]


def jacobian_entry(unpack):
    """unpack() -> fun, jac, x, args."""

    def call(gradlab):
        fun, jac, x, args = unpack()
        if args:
            return gradlab.check_jacobian(fun, jac, x, args=args)
        return gradlab.check_jacobian(fun, jac, x)

    def prove():
        fun, jac, x, args = unpack()
        true = numjac(lambda v: fun(v, *args), x)
        return [(J, true) for J in _dense(jac(x.copy(), *args), len(x))]

    return call, prove


def hessian_by_differences(f, x, h=1e-3):
    """Fourth order in each direction."""
    n = len(x)
    c = {-2: 1 / 12, -1: -2 / 3, 1: 2 / 3, 2: -1 / 12}
    E = h * np.eye(n)
    H = np.zeros((n, n))
    for i in range(n):
        for j in range(i + 1):
            s = sum(ci * cj * f(x + a * E[i] + b * E[j]) for a, ci in c.items() for b, cj in c.items())
            H[i, j] = H[j, i] = s / h**2
    return H


def _logreg_call(gradlab):
    x, args = logreg_data()
    return gradlab.check_hessian(logreg_value, logreg_grad, logreg_hess, x, args=args)


def _logreg_prove():
    x, args = logreg_data()
    return [(logreg_hess(x, *args), hessian_by_differences(lambda v: logreg_value(v, *args), x, 1e-2))]


def _squarelaw():
    s, x = squarelaw_data()
    return s.fun, s.jac, x, ()


def _with_args(fun, jac, data):
    def unpack():
        x, args = data()
        return fun, jac, x, args

    return unpack


ENTRIES = [
    Stranger(
        "bundle adjustment with an axis-angle camera",
        "methods residuals and jacobian",
        *jacobian_entry(lambda: (*bundle_data(), ())),
    ),
    Stranger(
        "homography of the plane",
        "residuals and jacobian, args",
        *jacobian_entry(_with_args(homography_residuals, homography_jacobian, homography_data)),
    ),
    Stranger(
        "Bratu's equation, tridiagonal",
        "fun and sparse jac",
        *jacobian_entry(lambda: (bratu, bratu_jac, bratu_data(), ())),
    ),
    Stranger(
        "square-law detector, matrix-free", "fun and jac as LinearOperator", *jacobian_entry(_squarelaw)
    ),
    Stranger("ridge logistic regression, Hessian", "f and hess, args", _logreg_call, _logreg_prove),
    Stranger(
        "market shares against observed ones: only the diagonal of the Jacobian",
        "residuals and jacobian, args",
        *jacobian_entry(_with_args(share_residuals, share_jacobian, share_data)),
        "wrong",
        "the cross terms -s_i s_j are missing",
        ("missing-term",),
        ("jac",),
    ),
    Stranger(
        "ring of oscillators: one corner of the sparse Jacobian is missing",
        "fun and sparse jac, args",
        *jacobian_entry(_with_args(ring, ring_jac, ring_data)),
        "wrong",
        "the entry (0, n - 1) of the periodic neighbour is not in the pattern",
        ("missing-term", "single-element"),
        ("jac",),
    ),
    Stranger(
        "bearings in degrees: the Jacobian is that of radians",
        "residuals and jacobian, args",
        *jacobian_entry(_with_args(bearing_residuals, bearing_jacobian, bearing_data)),
        "wrong",
        "the factor 180 / pi of np.degrees is forgotten",
        ("constant-factor",),
        ("jac",),
    ),
    Stranger(
        "chained Rosenbrock: only the upper triangle of the Hessian",
        "f and hess",
        lambda gradlab: gradlab.check_hessian(rosen, rosen_grad, rosen_hessian, rosen_data()),
        lambda: [(rosen_hessian(rosen_data()), hessian_by_differences(rosen, rosen_data(), 1e-2))],
        "wrong",
        "the lower off-diagonal is never filled in",
        ("missing-term", "masked-region"),
        ("hess",),
    ),
    Stranger(
        "circle through points: centres its data in place",
        "residuals and jacobian, args",
        *(jacobian_entry(_with_args(circle_residuals, circle_jacobian, circle_data))[0], lambda: []),
        "habit",
        "fun and jac write into the array of points in args",
        ("mutates-argument",),
        ("points",),
    ),
]
