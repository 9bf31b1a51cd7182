import numpy as np

from ._entry import Stranger
from ._help_f import both, num_jac, pairs_of


# rotation by a quaternion of any length: q = (w, x, y, z), v (n, 3)
def quat_forward(q, v):
    length = np.sqrt(q @ q)
    u = q / length
    w, r = u[0], u[1:]
    t = 2 * np.cross(r, v)
    return v + w * t + np.cross(r, t), (u, length, v, t)


def quat_backward(res, g):
    u, length, v, t = res
    w, r = u[0], u[1:]
    dt = w * g + np.cross(g, r)
    dr = np.cross(t, g).sum(0) + 2 * np.cross(v, dt).sum(0)
    du = np.concatenate([[(g * t).sum()], dr])
    dv = g + 2 * np.cross(dt, r)
    return (du - u * (u @ du)) / length, dv


# rigid motion, axis-angle; only the points and the shift are fitted
AXIS = np.array([0.4, -1.1, 0.7])


def _rodrigues(a):
    th = np.linalg.norm(a)
    k = a / th
    K = np.array([[0, -k[2], k[1]], [k[2], 0, -k[0]], [-k[1], k[0], 0]])
    return np.eye(3) + np.sin(th) * K + (1 - np.cos(th)) * K @ K


def rigid_forward(points, shift):
    Rm = _rodrigues(AXIS)
    return points @ Rm.T + shift, Rm


def rigid_backward(Rm, g):
    return g @ Rm.T, g.sum(axis=0)


# bundle adjustment: one camera, radial distortion; p = (focal, k1, tx, ty, tz)
SCENE = np.array([[0.3, -0.2, 2.1], [-0.5, 0.4, 2.8], [0.8, 0.6, 3.3]])


def project(p):
    X = SCENE + p[2:]
    xy = X[:, :2] / X[:, 2:]
    r2 = (xy**2).sum(1, keepdims=True)
    return (p[0] * (1 + p[1] * r2) * xy).ravel()


def project_jac(p):
    f, k1 = p[0], p[1]
    X = SCENE + p[2:]
    rows = []
    for x, y, z in X:
        a = np.array([x / z, y / z])
        r2 = a @ a
        da = np.array([[1 / z, 0, -x / z**2], [0, 1 / z, -y / z**2]])
        dist = (1 + k1 * r2) * np.eye(2) + 2 * k1 * np.outer(a, a)
        rows.append(np.column_stack([(1 + k1 * r2) * a, f * r2 * a, f * dist @ da]))
    return np.vstack(rows)


# prolate spheroidal coordinates (mu, nu, phi) -> (x, y, z), focal distance 1.5
def spheroidal(c):
    mu, nu, phi = c
    rho = 1.5 * np.sinh(mu) * np.sin(nu)
    return np.array([rho * np.cos(phi), rho * np.sin(phi), 1.5 * np.cosh(mu) * np.cos(nu)])


def spheroidalJacobi(c):
    mu, nu, phi = c
    sh, ch, sn, cn = np.sinh(mu), np.cosh(mu), np.sin(nu), np.cos(nu)
    cp, sp = np.cos(phi), np.sin(phi)
    d_mu = 1.5 * np.array([ch * sn * cp, ch * sn * sp, sh * cn])
    d_nu = 1.5 * np.array([sh * cn * cp, sh * cn * sp, -ch * sn])
    d_phi = 1.5 * np.array([-sh * sn * sp, sh * sn * cp, 0.0])
    return np.column_stack([d_nu, d_mu, d_phi])


# volume of a closed triangle mesh
FACES = np.array([[0, 2, 1], [0, 1, 3], [1, 2, 3], [2, 0, 3]])
VERTS = np.array([[0.1, 0.0, -0.1], [1.2, 0.2, 0.1], [0.3, 1.1, 0.2], [0.2, 0.4, 1.3]])


def mesh_volume(v):
    a, b, c = v[FACES[:, 0]], v[FACES[:, 1]], v[FACES[:, 2]]
    return np.einsum("ij,ij->", a, np.cross(b, c)) / 6


def mesh_volume_grad(v):
    a, b, c = v[FACES[:, 0]], v[FACES[:, 1]], v[FACES[:, 2]]
    g = np.zeros_like(v)
    g[FACES[:, 0]] += np.cross(b, c) / 6
    g[FACES[:, 1]] += np.cross(c, a) / 6
    g[FACES[:, 2]] += np.cross(a, b) / 6
    return g


# length of a cubic Bezier curve, by Gauss-Legendre
_NODE, _WEIGHT = np.polynomial.legendre.leggauss(9)
_T = 0.5 * (_NODE + 1)
_HODO = 3 * np.stack([(1 - _T) ** 2, 2 * _T * (1 - _T), _T**2], axis=1)


def bezier_length(ctrl):
    """Returns the length and its gradient by the four control points."""
    velocity = _HODO @ np.diff(ctrl, axis=0)
    speed = np.sqrt((velocity**2).sum(1))
    unit = velocity / speed[:, None]
    d_edges = _HODO.T @ (0.5 * _WEIGHT[:, None] * unit)
    grad = np.zeros_like(ctrl)
    grad[1:] += d_edges
    grad[:-1] -= d_edges
    return 0.5 * _WEIGHT @ speed, grad


CTRL = np.array([[0.0, 0.1], [0.7, 1.5], [1.9, -0.6], [2.4, 0.8]])


# shape distance after the best rotation; that rotation needs no derivative (it is optimal)
def _best_rotation(a, b):
    u, s, vt = np.linalg.svd(a.T @ b)
    fix = np.ones(a.shape[1])
    fix[-1] = np.sign(np.linalg.det(u @ vt))
    return (u * fix) @ vt


def kabsch_msd(a, b):
    a0, b0 = a - a.mean(0), b - b.mean(0)
    return ((a0 @ _best_rotation(a0, b0) - b0) ** 2).sum() / len(a)


def kabsch_msd_grad(a, b):
    a0, b0 = a - a.mean(0), b - b.mean(0)
    R = _best_rotation(a0, b0)
    return 2 * (a0 - b0 @ R.T) / len(a)


CLOUD_A, CLOUD_B = np.random.default_rng(3).standard_normal((2, 5, 3))


# torsion of four atoms
def torsion_forward(p0, p1, p2, p3):
    b1, b2, b3 = p1 - p0, p2 - p1, p3 - p2
    m, n = np.cross(b1, b2), np.cross(b2, b3)
    L = np.linalg.norm(b2)
    ang = np.arctan2(L * (b1 @ n), m @ n)
    return 1 + np.cos(3 * ang - 0.4), (b1, b2, b3, m, n, L, ang)


def torsion_backward(res, g):
    b1, b2, b3, m, n, L, ang = res
    dang = -3 * np.sin(3 * ang - 0.4) * g
    d0 = -L / (m @ m) * m * dang
    d3 = L / (n @ n) * n * dang
    s, t = (b1 @ b2) / L**2, (b3 @ b2) / L**2
    d1 = -(1 + s) * d0 + t * d3
    d2 = -(1 + t) * d3 + s * d0
    return d0, d2, d1, d3


FOUR = tuple(np.array([[0.1, 1.2, 0.3], [0.0, 0.1, -0.2], [1.4, 0.2, 0.1], [1.9, 1.0, 0.9]]))


# hyperbolic distances in the Poincare ball, rows of u against rows of v
def poincare_forward(u, v):
    uu, vv = 1 - (u * u).sum(1), 1 - (v * v).sum(1)
    dd = ((u - v) ** 2).sum(1)
    arg = 1 + 2 * dd / (uu * vv)
    return np.arccosh(arg), (u, v, uu, vv, dd, arg)


def poincare_backward(res, g):
    u, v, uu, vv, dd, arg = res
    h = (g / np.sqrt(arg**2 - 1))[:, None]
    uu, vv, dd = uu[:, None], vv[:, None], dd[:, None]
    du = h * 4 / (uu * vv) * ((u - v) + dd / uu * u)
    dv = h * 4 / (uu * vv) * ((v - u) + dd / vv * v)
    return du, dv


# union of balls, blended by a log-sum-exp of the signed distances
WHERE = np.array([[0.5, 0.2], [-0.9, 1.1], [1.6, -0.4]])


def blend_forward(centres, radii, sharpness):
    d = WHERE[:, None] - centres[None]
    dist = np.sqrt((d**2).sum(-1))
    sd = dist - radii
    lse = np.log(np.exp(-sharpness * sd).sum(1))
    share = np.exp(-sharpness * sd - lse[:, None])
    return -lse / sharpness, dict(d=d, dist=dist, sd=sd, share=share, lse=lse, k=sharpness)


def blend_backward(r, g):
    through = g[:, None] * r["share"]
    d_centres = -(through / r["dist"])[:, :, None] * r["d"]
    d_sharp = np.zeros_like(r["k"])
    return d_centres.sum(0), -through.sum(0), d_sharp


def _blend():
    centres = np.array([[0.0, 0.0], [1.0, 0.8], [-0.4, 1.3], [0.9, -1.0]])
    return centres, np.array([0.5, 0.3, 0.6, 0.4]), np.array(3.0)


def _quat():
    rng = np.random.default_rng(7)
    return rng.standard_normal(4), rng.standard_normal((2, 3))


def _rigid():
    rng = np.random.default_rng(8)
    return rng.standard_normal((4, 3)), rng.standard_normal(3)


def _ball():
    rng = np.random.default_rng(9)
    return 0.3 * rng.standard_normal((4, 2)), 0.3 * rng.standard_normal((4, 2))


CAM = np.array([1.3, -0.15, 0.1, -0.2, 0.4])
SPH = np.array([0.8, 0.6, 1.1])


def _vjp(fwd, bwd, point):
    return (
        lambda gradlab: gradlab.check_vjp(fwd, bwd, point()),
        lambda: pairs_of(fwd, bwd, point(), cache_first=True),
    )


ENTRIES = [
    Stranger(
        "rotation by an unnormalised quaternion",
        "vjp with residuals",
        *_vjp(quat_forward, quat_backward, _quat),
    ),
    Stranger(
        "rigid motion: the rotation not turned back",
        "vjp with residuals",
        *_vjp(rigid_forward, rigid_backward, _rigid),
        "wrong",
        "g @ R.T where g @ R belongs",
        ("transposed",),
        ("points",),
        "    return g @ Rm.T, g.sum(axis=0)",
        "    return g @ Rm, g.sum(axis=0)",
    ),
    Stranger(
        "camera with radial distortion",
        "fun and jac",
        lambda gradlab: gradlab.check_jacobian(project, project_jac, CAM.copy()),
        lambda: [(project_jac(CAM), num_jac(project, CAM))],
    ),
    Stranger(
        "spheroidal coordinates: two columns exchanged",
        "fun and jac",
        lambda gradlab: gradlab.check_jacobian(spheroidal, spheroidalJacobi, SPH.copy()),
        lambda: [(spheroidalJacobi(SPH), num_jac(spheroidal, SPH))],
        "wrong",
        "the columns of mu and nu stand in each other's place",
        ("columns-exchanged",),
        ("c",),
        "    return np.column_stack([d_nu, d_mu, d_phi])",
        "    return np.column_stack([d_mu, d_nu, d_phi])",
    ),
    Stranger(
        "volume of a mesh: shared vertices counted once",
        "f and grad",
        lambda gradlab: gradlab.check_gradient(mesh_volume, mesh_volume_grad, VERTS.copy()),
        lambda: both(mesh_volume, mesh_volume_grad, VERTS),
        "wrong",
        "g[faces] += keeps one face for each vertex",
        ("last-write-wins",),
        ("v",),
        "    g[FACES[:, 0]] += np.cross(b, c) / 6\n    g[FACES[:, 1]] += np.cross(c, a) / 6\n"
        "    g[FACES[:, 2]] += np.cross(a, b) / 6",
        "    np.add.at(g, FACES[:, 0], np.cross(b, c) / 6)\n"
        "    np.add.at(g, FACES[:, 1], np.cross(c, a) / 6)\n"
        "    np.add.at(g, FACES[:, 2], np.cross(a, b) / 6)",
    ),
    Stranger(
        "length of a Bezier curve",
        "value and gradient",
        lambda gradlab: gradlab.check_gradient(bezier_length, True, CTRL.copy()),
        lambda: both(lambda c: bezier_length(c)[0], lambda c: bezier_length(c)[1], CTRL),
    ),
    Stranger(
        "shape distance after the best rotation",
        "f and grad with args",
        lambda gradlab: gradlab.check_gradient(kabsch_msd, kabsch_msd_grad, CLOUD_A.copy(), args=(CLOUD_B,)),
        lambda: both(lambda a: kabsch_msd(a, CLOUD_B), lambda a: kabsch_msd_grad(a, CLOUD_B), CLOUD_A),
    ),
    Stranger(
        "torsion energy: the two middle atoms exchanged",
        "vjp with residuals",
        *_vjp(torsion_forward, torsion_backward, lambda: tuple(p.copy() for p in FOUR)),
        "wrong",
        "d1 and d2 returned in the wrong order",
        ("swapped-primals",),
        ("p1", "p2"),
        "    return d0, d2, d1, d3",
        "    return d0, d1, d2, d3",
    ),
    Stranger("Poincare distances", "vjp with residuals", *_vjp(poincare_forward, poincare_backward, _ball)),
    Stranger(
        "blended balls: no gradient for the sharpness",
        "vjp with residuals in a dict",
        *_vjp(blend_forward, blend_backward, _blend),
        "wrong",
        "the sharpness is taken for a constant",
        ("zero-gradient",),
        ("sharpness",),
        '    d_sharp = np.zeros_like(r["k"])',
        '    per_point = r["lse"] / r["k"]**2 + (r["share"] * r["sd"]).sum(1) / r["k"]\n'
        "    d_sharp = np.sum(g * per_point)",
    ),
]
