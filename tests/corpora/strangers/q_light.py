"""Light and rays: films, phases, projections, shading, coils."""

from dataclasses import dataclass

import numpy as np

from ._entry import Stranger
from ._help_q import pairs

# ================= antireflection coating: mean reflectance over the visible =================
N_LAYERS = np.array([1.38, 2.1, 1.65])
LAMBDA = np.linspace(0.45, 0.65, 5)
N_AIR, N_GLASS = 1.0, 1.52


def _layer_matrices(d, derivative=False):
    delta = 2 * np.pi * N_LAYERS * d / LAMBDA[:, None]
    c, s = np.cos(delta), np.sin(delta)
    if derivative:
        k = 2 * np.pi * N_LAYERS / LAMBDA[:, None]
        c, s = -s * k, c * k
    M = np.empty(delta.shape + (2, 2), complex)
    M[..., 0, 0] = M[..., 1, 1] = c
    M[..., 0, 1] = 1j * s / N_LAYERS
    M[..., 1, 0] = 1j * s * N_LAYERS
    return M


def reflectance(d):
    M = _layer_matrices(d)
    v = np.tile(np.array([1.0, N_GLASS], complex), (len(LAMBDA), 1))
    for j in reversed(range(len(d))):
        v = np.einsum("wab,wb->wa", M[:, j], v)
    r = (N_AIR * v[:, 0] - v[:, 1]) / (N_AIR * v[:, 0] + v[:, 1])
    return np.mean(np.abs(r) ** 2)


def reflectance_grad(d):
    M, dM = _layer_matrices(d), _layer_matrices(d, derivative=True)
    right = [np.tile(np.array([1.0, N_GLASS], complex), (len(LAMBDA), 1))]
    for j in reversed(range(len(d))):
        right.insert(0, np.einsum("wab,wb->wa", M[:, j], right[0]))
    den = N_AIR * right[0][:, 0] + right[0][:, 1]
    r = (N_AIR * right[0][:, 0] - right[0][:, 1]) / den
    left = np.stack([N_AIR * (1 - r), -(1 + r)], axis=1) / den[:, None]
    out = np.empty(len(d))
    for j in range(len(d)):
        dr = np.einsum("wa,wab,wb->w", left, dM[:, j], right[j + 1])
        out[j] = np.mean(2 * np.real(np.conj(r) * dr))
        left = np.einsum("wa,wab->wb", left, M[:, j])
    return out


def _prove_film():
    d = np.array([0.09, 0.13, 0.08])
    return pairs([reflectance_grad(d)], lambda: reflectance(d), d, h=1e-4)


# ================= X-ray transmission, a pair of pure functions =================
def make_scanner(n, angles, dose=1.0):
    """Returns (transmit, transmit_back). Pixels are splatted onto a detector of n + 4 bins."""
    yy, xx = np.mgrid[:n, :n] - (n - 1) / 2
    A = np.zeros((len(angles), n + 4, n * n))
    for a, phi in enumerate(angles):
        t = (xx * np.cos(phi) + yy * np.sin(phi)).ravel() + (n + 3) / 2
        lo = np.clip(np.floor(t).astype(int), 0, n + 2)
        A[a, lo, np.arange(n * n)] = 1 - (t - lo)
        A[a, lo + 1, np.arange(n * n)] = t - lo
    A = A.reshape(-1, n * n)

    def transmit(mu):
        counts = dose * np.exp(-(A @ mu.ravel()))
        return counts.reshape(len(angles), -1).copy(), counts

    def transmit_back(g, counts):
        return -(A.T @ (g.ravel() * counts)).reshape(n, n)

    return transmit, transmit_back


def _scan():
    return make_scanner(5, np.array([0.2, 1.1, 2.3])), np.random.default_rng(1).uniform(0, 0.4, (5, 5))


def _prove_scan():
    (fwd, bwd), mu = _scan()
    out, cache = fwd(mu)
    g = np.random.default_rng(2).standard_normal(out.shape)
    return pairs([bwd(g, cache)], lambda: np.sum(g * fwd(mu)[0]), mu)


# ================= hologram: phase mask -> intensity behind free space =================
class Hologram:
    def __init__(self, shape, z=1.5):
        fy, fx = np.meshgrid(np.fft.fftfreq(shape[0]), np.fft.fftfreq(shape[1]), indexing="ij")
        self.H = np.exp(-1j * np.pi * z * 4 * (fx**2 + fy**2))
        self.amplitude = np.ones(shape)
        self.amplitude[0] = 0.5

    def propagate(self, u, H):
        return np.fft.ifft2(H * np.fft.fft2(u))

    def forward(self, phase):
        self.u = self.amplitude * np.exp(1j * phase)
        self.far = self.propagate(self.u, self.H)
        return np.abs(self.far) ** 2

    def backward(self, grad_intensity):
        back = self.propagate(2 * grad_intensity * self.far, np.conj(self.H))
        return np.imag(back * np.conj(self.u))


def _phase():
    return np.random.default_rng(3).uniform(-2, 2, (4, 6))


def _prove_hologram():
    holo, phi = Hologram((4, 6)), _phase()
    g = np.random.default_rng(4).standard_normal((4, 6))
    holo.forward(phi)
    return pairs([holo.backward(g)], lambda: np.sum(g * holo.forward(phi)), phi)


# ================= compositing along rays =================
def composite(sigma, rgb, delta):
    """sigma, delta: (rays, samples); rgb: (rays, samples, 3)"""
    keep = np.exp(-sigma * delta)
    T = np.cumprod(np.concatenate([np.ones((len(sigma), 1)), keep], axis=1), axis=1)
    w = T[:, :-1] - T[:, 1:]
    return np.einsum("rs,rsc->rc", w, rgb), (sigma, rgb, delta, T, w)


def composite_bwd(g, saved):
    sigma, rgb, delta, T, w = saved
    seen = np.einsum("rc,rsc->rs", g, rgb)
    behind = np.cumsum((w * seen)[:, ::-1], axis=1)[:, ::-1] - w * seen
    dtau = T[:, 1:] * seen - behind
    return dtau * delta, w[:, :, None] * g[:, None, :], dtau * sigma


def _rays():
    r = np.random.default_rng(5)
    return r.uniform(0, 2, (3, 5)), r.uniform(0, 1, (3, 5, 3)), r.uniform(0.1, 0.5, (3, 5))


def _prove_rays():
    args = _rays()
    g = np.random.default_rng(6).standard_normal((3, 3))
    return pairs(composite_bwd(g, composite(*args)[1]), lambda: np.sum(g * composite(*args)[0]), *args)


# ================= rotation vector acting on a cloud; returns its own pullback =================
def rotate(v, w):
    t = np.sqrt(w @ w)
    A, B = np.sin(t) / t, (1 - np.cos(t)) / t**2
    wv = np.cross(w, v)
    wwv = np.cross(w, wv)

    def pullback(g):
        gw = np.cross(g, w)
        dv = g + A * gw + B * np.cross(gw, w)
        dA, dB = np.sum(g * wv), np.sum(g * wwv)
        dw = A * np.cross(v, g).sum(axis=0)
        dw += B * ((v @ w) @ g + (g @ w) @ v - 2 * np.sum(v * g) * w)
        dt = dA * (t * np.cos(t) - np.sin(t)) / t**2 + dB * (t * np.sin(t) - 2 * (1 - np.cos(t))) / t**3
        return dv, dw + dt * w / t

    return v + A * wv + B * wwv, pullback


def _cloud():
    return np.random.default_rng(7).standard_normal((4, 3)), np.array([0.5, -0.8, 0.3])


def _prove_rotate():
    v, w = _cloud()
    g = np.random.default_rng(8).standard_normal((4, 3))
    return pairs(rotate(v, w)[1](g), lambda: np.sum(g * rotate(v, w)[0]), v, w)


# ================= field of a closed wire =================
@dataclass
class Coil:
    current: float
    where: np.ndarray

    def field(self, points):
        nxt = np.roll(points, -1, axis=0)
        dl, mid = nxt - points, (nxt + points) / 2
        R = self.where[:, None, :] - mid[None]
        n = np.linalg.norm(R, axis=2, keepdims=True)
        B = self.current * np.sum(np.cross(dl[None], R) / n**3, axis=1)

        def pull(gB):
            g = self.current * gB[:, None, :] / n**3
            g_dl = np.cross(R, g).sum(axis=0)
            along = np.sum(g * np.cross(dl[None], R), axis=2, keepdims=True)
            g_R = np.cross(g, dl[None]) - 3 * R / n**2 * along
            g_mid = -g_R.sum(axis=0)
            g_here, g_next = g_mid / 2 - g_dl, g_mid / 2 + g_dl
            return g_here + np.roll(g_next, 1, axis=0)

        return B, pull


def _coil():
    a = np.linspace(0, 2 * np.pi, 9)[:-1]
    points = np.stack([np.cos(a), np.sin(a), 0.2 * np.sin(3 * a)], axis=1)
    return Coil(2.0, np.array([[0.1, 0.2, 0.8], [0.3, -0.1, -0.7], [0.0, 0.4, 1.2]])), points


def _coil_pair():
    coil, points = _coil()
    return coil.field, lambda g, pull: pull(g), (points,)


def _prove_coil():
    coil, pts = _coil()
    g = np.random.default_rng(9).standard_normal((3, 3))
    return pairs([coil.field(pts)[1](g)], lambda: np.sum(g * coil.field(pts)[0]), pts)


# ================= travel times along straight rays through cells =================
class TravelTimes:
    def __init__(self, cells, lengths):
        self.cells = cells  # (rays, hits)
        self.lengths = lengths

    def forward(self, velocity):
        self.velocity = velocity
        return np.sum(self.lengths / velocity[self.cells], axis=1)

    def backward(self, dtimes):
        dslow = np.zeros_like(self.velocity)
        dslow[self.cells] += self.lengths * dtimes[:, None]
        return -dslow / self.velocity**2


def _travel():
    r = np.random.default_rng(11)
    cells = np.array([[0, 1, 2], [3, 4, 5], [0, 4, 8], [2, 4, 6], [1, 4, 7]])
    return TravelTimes(cells, r.uniform(0.5, 1.5, cells.shape)), r.uniform(1, 3, 9)


def _prove_travel():
    op, v = _travel()
    g = np.random.default_rng(12).standard_normal(5)
    op.forward(v)
    return pairs([op.backward(g)], lambda: g @ op.forward(v), v)


# ================= Lambert-Beer in a row of cuvettes =================
def cuvette(eps, conc, path):
    T = 10.0 ** (-eps * conc * path)
    return T, (eps, conc, path, T)


def cuvette_back(dT, cache):
    eps, conc, path, T = cache
    dA = -np.log(10.0) * T * dT
    return dA * conc * path, dA * eps * conc, dA * eps * path


def _cuvettes():
    r = np.random.default_rng(13)
    return r.uniform(0.5, 2, 6), r.uniform(0.1, 0.6, 6), r.uniform(0.8, 1.6, 6)


def _prove_cuvette():
    args = _cuvettes()
    g = np.random.default_rng(14).standard_normal(6)
    return pairs(cuvette_back(g, cuvette(*args)[1]), lambda: g @ cuvette(*args)[0], *args)


# ================= Lambert shading under one coloured lamp =================
SUN = np.array([0.3, 0.5, 0.81])


def shade(normals, albedo, lamp):
    cosine = np.maximum(normals @ SUN, 0)
    lit = albedo * cosine
    return lit[:, None] * lamp, (normals, albedo, lamp, cosine)


def shade_backward(dpixels, cache):
    normals, albedo, lamp, cosine = cache
    dlit = dpixels @ lamp
    grads = {"albedo": dlit * cosine}
    grads["normals"] = np.outer(dlit * albedo * (cosine > 0), SUN)
    grads["lamp"] = dpixels * (albedo * cosine)[:, None]
    return grads


def _scene():
    r = np.random.default_rng(15)
    n = r.standard_normal((7, 3))
    return n / np.linalg.norm(n, axis=1, keepdims=True), r.uniform(0.2, 0.9, 7), np.array([1.0, 0.9, 0.7])


def _prove_shade():
    args = _scene()
    g = np.random.default_rng(16).standard_normal((7, 3))
    d = shade_backward(g, shade(*args)[1])
    claimed = [d["normals"], d["albedo"], d["lamp"]]
    return pairs(claimed, lambda: np.sum(g * shade(*args)[0]), *args, h=1e-4)


# ================= distance fields, smooth union =================
class SmoothUnion:
    def __init__(self, k=0.6):
        self.k = k

    def forward(self, a, b):
        self.a, self.b = a, b
        self.h = np.clip(0.5 + 0.5 * (b - a) / self.k, 0, 1)
        return b + (a - b) * self.h - self.k * self.h * (1 - self.h)

    def backward(self, g):
        w = 1 / (1 + np.exp(-(self.b - self.a) / self.k))
        return g * w, g * (1 - w)


def _shapes():
    r = np.random.default_rng(17)
    return r.uniform(-0.5, 0.5, 8), r.uniform(-0.5, 0.5, 8)


def _prove_union():
    op, (a, b) = SmoothUnion(), _shapes()
    g = np.random.default_rng(18).standard_normal(8)
    op.forward(a, b)
    return pairs(op.backward(g), lambda: g @ op.forward(a, b), a, b, h=1e-4)


ENTRIES = [
    Stranger(
        "Antireflection coating by transfer matrices",
        "f and grad",
        lambda gradlab: gradlab.check_gradient(reflectance, reflectance_grad, np.array([0.09, 0.13, 0.08])),
        _prove_film,
    ),
    Stranger(
        "X-ray scanner",
        "tuple of pure functions with cache",
        lambda gradlab: gradlab.check_cached_pair(*_scan()[0], (_scan()[1],)),
        _prove_scan,
    ),
    Stranger(
        "Hologram's intensity",
        "layer, complex inside",
        lambda gradlab: gradlab.check_layer(Hologram((4, 6)), _phase()),
        _prove_hologram,
    ),
    Stranger(
        "Compositing along rays",
        "pair with cache",
        lambda gradlab: gradlab.check_cached_pair(composite, composite_bwd, _rays()),
        _prove_rays,
    ),
    Stranger(
        "Rotation of a cloud by a vector",
        "vjp closure",
        lambda gradlab: gradlab.check_vjp(rotate, lambda pullback, g: pullback(g), _cloud()),
        _prove_rotate,
    ),
    Stranger(
        "Coil's magnetic field",
        "dataclass whose method returns a pullback",
        lambda gradlab: gradlab.check_cached_pair(*_coil_pair()),
        _prove_coil,
    ),
    Stranger(
        "Travel times: cells hit by several rays",
        "layer",
        lambda gradlab: gradlab.check_layer(*_travel()),
        _prove_travel,
        "wrong",
        "fancy indexing with += keeps one ray per cell: repeats are lost",
        ("last-write-wins",),
        ("velocity",),
        "        dslow[self.cells] += self.lengths * dtimes[:, None]\n",
        "        np.add.at(dslow, self.cells, self.lengths * dtimes[:, None])\n",
    ),
    Stranger(
        "Cuvettes: concentration and path exchanged",
        "pair with cache",
        lambda gradlab: gradlab.check_cached_pair(cuvette, cuvette_back, _cuvettes()),
        _prove_cuvette,
        "wrong",
        "the gradients of concentration and path length are returned in each other's place",
        ("swapped-primals",),
        ("conc", "path"),
        "    return dA * conc * path, dA * eps * conc, dA * eps * path\n",
        "    return dA * conc * path, dA * eps * path, dA * eps * conc\n",
    ),
    Stranger(
        "Lambert shading: lamp's gradient for every pixel",
        "pair with cache, dict gradients",
        lambda gradlab: gradlab.check_cached_pair(shade, shade_backward, _scene()),
        _prove_shade,
        "wrong",
        "the lamp's colour is broadcast over the pixels, its gradient not summed over them",
        ("missing-broadcast-sum", "wrong-shape"),
        ("lamp",),
        "dpixels * (albedo * cosine)[:, None]\n",
        "np.sum(dpixels * (albedo * cosine)[:, None], axis=0)\n",
    ),
    Stranger(
        "Smooth union: slope of the exponential one",
        "layer, two inputs",
        lambda gradlab: gradlab.check_layer(SmoothUnion(), *_shapes()),
        _prove_union,
        "wrong",
        "backward has the weight of the exponential smooth minimum, forward is the polynomial one",
        ("other-approximation",),
        ("a", "b"),
        "        w = 1 / (1 + np.exp(-(self.b - self.a) / self.k))\n",
        "        w = self.h\n",
    ),
]
