"""Physics, graphs, filters and implicit layers, each in the way of another author."""

import numpy as np

from ._entry import Stranger
from ._help_e import copies, loss_pairs, pairs, slope


class KuramotoRing:
    """Phase velocities of coupled oscillators; K may be unsymmetric, omega are the own frequencies."""

    def __init__(self, K, omega):
        self.K, self.omega = K, omega
        self.K_bar, self.omega_bar = np.zeros_like(K), np.zeros_like(omega)

    def forward(self, theta):
        self.delta = theta[..., None, :] - theta[..., :, None]  # theta_j - theta_i at [i, j]
        return self.omega + (self.K * np.sin(self.delta)).mean(axis=-1)

    def backward(self, bar):
        n = len(self.omega)
        self.omega_bar = bar.sum(axis=0)
        self.K_bar = np.einsum("bi,bij->ij", bar, np.sin(self.delta)) / n
        flow = bar[..., None] * self.K * np.cos(self.delta) / n
        return flow.sum(axis=-2) - flow.sum(axis=-1)


def ring():
    r = np.random.default_rng(1)
    return KuramotoRing(r.standard_normal((4, 4)), r.standard_normal(4)), r.uniform(-3, 3, (3, 4))


def prove_ring():
    m, x = ring()
    return pairs(lambda: m.forward(x), [x, m.K, m.omega], lambda g: [m.backward(g), m.K_bar, m.omega_bar])


class FixedPointLayer:
    """z = tanh(z W + x U + b), iterated until it stands still; backward solves the linear system."""

    def __init__(self, W, U, b):
        self.params = [W, U, b]
        self.grads = [None] * 3

    def forward(self, x):
        W, U, b = self.params
        z = np.zeros((len(x), len(b)))
        for _ in range(500):
            z, old = np.tanh(z @ W + x @ U + b), z
            if np.abs(z - old).max() < 1e-15:
                break
        self.x, self.z = x, z
        return z

    def backward(self, dz):
        W, U, _ = self.params
        s = 1 - self.z**2
        A = np.eye(len(W)) - W * s[:, None, :]  # one system per row
        da = np.linalg.solve(A, (dz)[:, :, None])[:, :, 0] * s
        self.grads[:] = [self.z.T @ da, self.x.T @ da, da.sum(0)]
        return da @ U.T


def fixed():
    r = np.random.default_rng(2)
    W, U, b = 0.25 * r.standard_normal((3, 3)), r.standard_normal((2, 3)), r.standard_normal(3)
    return FixedPointLayer(W, U, b), r.standard_normal((4, 2))


def prove_fixed():
    m, x = fixed()
    return pairs(lambda: m.forward(x), [x, *m.params], lambda g: [m.backward(g), *m.grads])


class Attitude:
    """Turns points by the unit quaternion q / |q|; q itself may have any length."""

    def __init__(self, q):
        self.q = np.asarray(q, dtype=float)

    def forward(self, pts):
        self.pts = pts
        self.len = np.sqrt(self.q @ self.q)
        w, v = self.q[0] / self.len, self.q[1:] / self.len
        self.c1 = np.cross(v, pts)
        return pts + 2 * w * self.c1 + 2 * np.cross(v, self.c1)

    def backward(self, f):
        w, v = self.q[0] / self.len, self.q[1:] / self.len
        fv = np.cross(f, v)
        dw = 2 * np.sum(f * self.c1)
        dv = 2 * (w * np.cross(self.pts, f) + np.cross(self.c1, f) + np.cross(self.pts, fv)).sum(axis=0)
        du = np.concatenate([[dw], dv])
        u = self.q / self.len
        self.dq = (du - u * (u @ du)) / self.len
        return f + 2 * w * fv + 2 * np.cross(fv, v)


def attitude():
    return Attitude([0.9, -0.4, 0.7, 0.2]), np.random.default_rng(3).standard_normal((5, 3))


def prove_attitude():
    m, x = attitude()
    return pairs(lambda: m.forward(x), [x, m.q], lambda g: [m.backward(g), m.dq])


class AffineCoupling:
    """First half passes, second half is scaled and shifted by it; also gives log|det J| of each row."""

    def __init__(self, half, rng):
        self.p = {
            "S": rng.standard_normal((half, half)),
            "T": rng.standard_normal((half, half)),
            "limit": rng.uniform(0.5, 1.5, half),
        }
        self.g = {}

    def forward(self, x):
        self.a, self.b = np.split(x, 2, axis=1)
        self.t = np.tanh(self.a @ self.p["S"])
        self.e = np.exp(self.p["limit"] * self.t)
        second = self.b * self.e + self.a @ self.p["T"]
        return np.hstack([self.a, second]), (self.p["limit"] * self.t).sum(axis=1)

    def backward(self, dy, dlogdet):
        da, db = np.split(dy, 2, axis=1)
        ds = db * self.b * self.e + dlogdet[:, None]
        dpre = ds * self.p["limit"] * (1 - self.t**2)
        self.g = {"S": self.a.T @ dpre, "T": self.a.T @ db, "limit": (ds * self.t).sum(axis=0)}
        return np.hstack([da + dpre @ self.p["S"].T + db @ self.p["T"].T, db * self.e])


def coupling():
    r = np.random.default_rng(4)
    return AffineCoupling(2, r), r.standard_normal((5, 4))


def prove_coupling():
    m, x = coupling()
    return pairs(
        lambda: m.forward(x), [x, *m.p.values()], lambda dy, dl: [m.backward(dy, dl), *(m.g[k] for k in m.p)]
    )


class HatSplines:
    """A piecewise linear curve for each feature, knots fixed at -2, -1, ..., 2, ends go on straight."""

    def __init__(self, heights):
        self.heights = heights  # (features, 5)
        self.knots = np.arange(-2.0, 3.0)
        self.grad_heights = np.zeros_like(heights)

    def forward(self, x):
        self.cell = np.clip(np.floor(x - self.knots[0]).astype(int), 0, len(self.knots) - 2)
        self.frac = x - self.knots[self.cell]
        self.col = np.broadcast_to(np.arange(x.shape[1]), x.shape)
        left, right = self.heights[self.col, self.cell], self.heights[self.col, self.cell + 1]
        self.rise = right - left
        return left + self.frac * self.rise

    def backward(self, grad):
        self.grad_heights = np.zeros_like(self.heights)
        np.add.at(self.grad_heights, (self.col, self.cell), grad * (1 - self.frac))
        np.add.at(self.grad_heights, (self.col, self.cell + 1), grad * self.frac)
        return grad * self.rise


def hats():
    r = np.random.default_rng(5)
    return HatSplines(r.standard_normal((3, 5))), 1.5 * r.standard_normal((6, 3))


def prove_hats():
    m, x = hats()
    return pairs(lambda: m.forward(x), [x, m.heights], lambda g: [m.backward(g), m.grad_heights])


class DirectedGraphConv:
    """H = A X W + X V, with A[i, j] the row-normalised edge from j to i (a constant)."""

    def __init__(self, adjacency, W, V):
        self.A = adjacency / adjacency.sum(axis=1, keepdims=True)
        self.W, self.V = W, V

    def forward(self, X):
        self.X = X
        self.AX = self.A @ X
        return self.AX @ self.W + X @ self.V

    def backward(self, dH):
        self.dW = self.AX.T @ dH
        self.dV = self.X.T @ dH
        return self.A @ dH @ self.W.T + dH @ self.V.T


def graph():
    r = np.random.default_rng(6)
    adj = np.array([[1, 1, 0, 0], [0, 1, 1, 1], [1, 0, 1, 0], [0, 0, 1, 1]], float)
    return (
        DirectedGraphConv(adj, r.standard_normal((3, 2)), r.standard_normal((3, 2))),
        r.standard_normal((4, 3)),
    )


def prove_graph():
    m, x = graph()
    return pairs(lambda: m.forward(x), [x, m.W, m.V], lambda g: [m.backward(g), m.dW, m.dV])


class Equaliser:
    """Multiplies the half spectrum of a real signal by learnt gains."""

    def __init__(self, gains):
        self.gains = np.array(gains)

    def forward(self, s):
        self.n = s.shape[-1]
        self.spec = np.fft.rfft(s, axis=-1)
        return np.fft.irfft(self.gains * self.spec, self.n, axis=-1)

    def backward(self, d):
        dspec = np.fft.rfft(d, axis=-1)
        self.dgains = (np.conj(self.spec) * dspec).real.sum(axis=0) / self.n
        return np.fft.irfft(self.gains * dspec, self.n, axis=-1)


def equaliser():
    return Equaliser([0.5, 1.4, -0.8, 0.3, 1.1]), np.random.default_rng(7).standard_normal((2, 8))


def prove_equaliser():
    m, s = equaliser()
    return pairs(lambda: m.forward(s), [s, m.gains], lambda g: [m.backward(g), m.dgains])


class AnchorKernel:
    """f(x) = k(x, anchors) alpha with a squared-exponential kernel; its slope is made when asked for."""

    def __init__(self, anchors, alpha, length):
        self.anchors, self.alpha, self.length = anchors, alpha, length
        self._slope = None
        self.alpha_grad = None

    def forward(self, x):
        self.diff = x[:, None, :] - self.anchors[None, :, :]
        self.k = np.exp(-0.5 * (self.diff**2).sum(axis=2) / self.length**2)
        return self.k @ self.alpha

    @property
    def slope(self):
        if self._slope is None:
            self._slope = -self.diff * self.k[:, :, None] / self.length**2
        return self._slope

    def backward(self, g):
        self.alpha_grad = self.k.T @ g
        return np.einsum("n,k,nkd->nd", g, self.alpha, self.slope)


def anchor():
    r = np.random.default_rng(8)
    return AnchorKernel(r.standard_normal((4, 2)), r.standard_normal(4), 0.9), r.standard_normal((3, 2))


def prove_anchor():
    m, x = anchor()
    g = np.array([0.6, -1.2, 0.9])
    out = []
    for batch in (x, x[::-1] + 0.3):
        m.forward(batch)
        claimed = copies([m.backward(g), m.alpha_grad])
        out += zip(claimed, [slope(lambda: m.forward(batch) @ g, a) for a in (batch, m.alpha)], strict=True)
    return out


class TetheredOscillator:
    """One kick-drift step of nonlinear springs; the new place is held in (-reach, reach)."""

    def __init__(self, stiffness, reach=1.5, dt=0.3):
        self.stiffness, self.reach, self.dt = np.array([stiffness]), reach, dt

    def forward(self, q, p):
        self.q = q
        self.p_new = p - self.dt * self.stiffness * (q + q**3)
        self.q_new = self.reach * np.tanh((q + self.dt * self.p_new) / self.reach)
        return self.q_new, self.p_new

    def backward(self, dq_new, dp_new):
        d_free = dq_new
        dp = dp_new + self.dt * d_free
        self.dstiffness = np.array([-self.dt * np.sum(dp * (self.q + self.q**3))])
        return d_free - dp * self.dt * self.stiffness * (1 + 3 * self.q**2), dp


def tether():
    r = np.random.default_rng(9)
    return TetheredOscillator(0.8), r.standard_normal((3, 2)), r.standard_normal((3, 2))


def prove_tether():
    m, q, p = tether()
    return pairs(lambda: m.forward(q, p), [q, p, m.stiffness], lambda a, b: [*m.backward(a, b), m.dstiffness])


class MorseCluster:
    """Energy of a few atoms with Morse pairs, places in one long vector as minimisers want it."""

    def __init__(self, depth=1.3, a=1.1, r0=1.2):
        self.depth, self.a, self.r0 = depth, a, r0

    def pairs_of(self, flat):
        xyz = flat.reshape(-1, 3)
        i, j = np.triu_indices(len(xyz), 1)
        d = xyz[i] - xyz[j]
        return i, j, d, np.sqrt((d * d).sum(axis=1))

    def energy(self, flat):
        r = self.pairs_of(flat)[3]
        return np.sum(self.depth * (1 - np.exp(-self.a * (r - self.r0))) ** 2)

    def gradient(self, flat):
        i, j, d, r = self.pairs_of(flat)
        ex = np.exp(-self.a * (r - self.r0))
        pull = (2 * self.depth * self.a * (1 - ex) * ex / r)[:, None] * d
        out = np.zeros((flat.size // 3, 3))
        np.add.at(out, i, pull)
        return out.ravel()


def morse():
    m = MorseCluster()
    return m.energy, m.gradient, 1.2 * np.random.default_rng(10).standard_normal(12)


def prove_morse():
    f, g, x = morse()
    return loss_pairs(lambda: f(x), [x], lambda: [g(x)])


ENTRIES = [
    Stranger(
        "oscillators on a ring with gradients called bar",
        "layer with _bar attributes",
        lambda gradlab: gradlab.check_layer(*ring()),
        prove_ring,
    ),
    Stranger(
        "fixed point layer with an implicit backward",
        "layer with params and grads lists",
        lambda gradlab: gradlab.check_layer(*fixed()),
        prove_fixed,
    ),
    Stranger(
        "attitude by a quaternion of any length",
        "layer with dq",
        lambda gradlab: gradlab.check_layer(*attitude()),
        prove_attitude,
    ),
    Stranger(
        "affine coupling with log determinant",
        "layer of two outputs, p and g dicts",
        lambda gradlab: gradlab.check_layer(*coupling()),
        prove_coupling,
    ),
    Stranger(
        "piecewise linear curves with fixed knots beside learnt heights",
        "layer with grad_heights",
        lambda gradlab: gradlab.check_layer(*hats()),
        prove_hats,
    ),
    Stranger(
        "convolution on a directed graph: adjacency not transposed",
        "layer with dW and dV",
        lambda gradlab: gradlab.check_layer(*graph()),
        prove_graph,
        "wrong",
        "the gradient flows along the edges instead of against them",
        ("transposed",),
        ("X",),
        "return self.A @ dH @ self.W.T",
        "return self.A.T @ dH @ self.W.T",
    ),
    Stranger(
        "equaliser on the half spectrum: inner frequencies counted once",
        "layer with dgains",
        lambda gradlab: gradlab.check_layer(*equaliser()),
        prove_equaliser,
        "wrong",
        "all but the first and last frequency stand for two and need a factor 2",
        ("masked-region", "constant-factor"),
        ("gains",),
        "        self.dgains = (np.conj(self.spec) * dspec).real.sum(axis=0) / self.n\n",
        "        self.dgains = (np.conj(self.spec) * dspec).real.sum(axis=0) / self.n\n"
        "        self.dgains[1:-1] *= 2\n",
    ),
    Stranger(
        "kernel on anchors: slope of the first batch kept",
        "layer with a cached property",
        lambda gradlab: gradlab.check_layer(*anchor()),
        prove_anchor,
        "wrong",
        "the cached slope is never dropped when forward runs again",
        ("stale-residuals",),
        ("x",),
        "        return self.k @ self.alpha\n",
        "        self._slope = None\n        return self.k @ self.alpha\n",
    ),
    Stranger(
        "tethered oscillators: the tether ignored on the way back",
        "layer of two inputs and two outputs",
        lambda gradlab: gradlab.check_layer(*tether()),
        prove_tether,
        "wrong",
        "backward passes straight through the tanh that holds the place",
        ("straight-through", "missing-term"),
        ("q", "p", "stiffness"),
        "        d_free = dq_new\n",
        "        d_free = dq_new * (1 - (self.q_new / self.reach) ** 2)\n",
    ),
    Stranger(
        "cluster of Morse atoms: no reaction on the second atom",
        "bound methods energy and gradient",
        lambda gradlab: gradlab.check_gradient(*morse()),
        prove_morse,
        "wrong",
        "each pair pulls its first atom only",
        ("missing-term",),
        ("flat",),
        "        np.add.at(out, i, pull)\n",
        "        np.add.at(out, i, pull)\n        np.add.at(out, j, -pull)\n",
    ),
]
