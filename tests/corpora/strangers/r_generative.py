"""Flows, energies, diffusion, relaxations."""

from dataclasses import dataclass, field

import numpy as np

from ._entry import Stranger
from ._help_r import poke


# ================= RealNVP-style coupling =================
class AffineCoupling:
    """x1 passes through; x2 -> x2 * exp(s(x1)) + t(x1). Returns y and log|det|."""

    def __init__(self, half, hidden, seed=0):
        r = np.random.default_rng(seed)
        self.half = half
        self.V = r.normal(size=(half, hidden))
        self.Ws = r.normal(size=(hidden, half)) * 0.4
        self.Wt = r.normal(size=(hidden, half)) * 0.4
        self.grad = {}

    def forward(self, x):
        x1, x2 = x[:, : self.half], x[:, self.half :]
        h = np.tanh(x1 @ self.V)
        s, t = np.tanh(h @ self.Ws), h @ self.Wt
        self._saved = x1, x2, h, s
        return np.hstack([x1, x2 * np.exp(s) + t]), s.sum(axis=1)

    def backward(self, dy, dlogdet):
        x1, x2, h, s = self._saved
        dy1, dy2 = dy[:, : self.half], dy[:, self.half :]
        dpre = (dy2 * x2 * np.exp(s) + dlogdet[:, None]) * (1 - s**2)
        self.grad["Ws"] = h.T @ dpre
        self.grad["Wt"] = h.T @ dy2
        dh = (dpre @ self.Ws.T + dy2 @ self.Wt.T) * (1 - h**2)
        self.grad["V"] = x1.T @ dh
        return np.hstack([dy1 + dh @ self.V.T, dy2 * np.exp(s)])


def _coupling():
    return AffineCoupling(2, 5), np.random.default_rng(1).normal(size=(4, 4))


def _prove_coupling():
    flow, x = _coupling()
    r = np.random.default_rng(2)
    g = r.normal(size=(4, 4)), r.normal(size=4)
    flow.forward(x)
    dx = flow.backward(*g)
    f = lambda: flow.forward(x)
    return [(dx, poke(f, x, g))] + [(flow.grad[k], poke(f, getattr(flow, k), g)) for k in ("V", "Ws", "Wt")]


# ================= RBM =================
def _unpack(theta, n_vis, n_hid):
    k = n_vis * n_hid
    return theta[:k].reshape(n_vis, n_hid), theta[k : k + n_vis], theta[k + n_vis :]


def free_energy(v, W, a, b):
    return -v @ a - np.logaddexp(0, v @ W + b).sum(axis=1)


def cd_objective(theta, data, fantasy, n_hid):
    """Mean free energy of the data minus that of the (fixed) fantasy particles."""
    W, a, b = _unpack(theta, data.shape[1], n_hid)
    return free_energy(data, W, a, b).mean() - free_energy(fantasy, W, a, b).mean()


def cd_gradient(theta, data, fantasy, n_hid):
    W, a, b = _unpack(theta, data.shape[1], n_hid)
    total = np.zeros_like(theta)
    for v, sign in ((data, -1), (fantasy, 1)):
        ph = 1 / (1 + np.exp(-(v @ W + b)))
        stats = [v.T @ ph / len(v), v.mean(axis=0), ph.mean(axis=0)]
        total += sign * np.concatenate([s.ravel() for s in stats])
    return total


def _rbm():
    r = np.random.default_rng(4)
    data, fantasy = r.integers(0, 2, (6, 5)), r.integers(0, 2, (4, 5))
    return r.normal(size=5 * 3 + 5 + 3), (data, fantasy, 3)


def _prove_rbm():
    th, args = _rbm()
    return [(cd_gradient(th, *args), poke(lambda: cd_objective(th, *args), th))]


# ================= soft ranks =================
def soft_rank(x, tau=0.5):
    """Smooth ranks of each row, 1 for the largest. Returns the ranks and a pullback."""
    s = 1 / (1 + np.exp(-(x[:, None, :] - x[:, :, None]) / tau))  # s[., i, j]: how much j is above i
    ranks = 0.5 + s.sum(axis=2)

    def pullback(g):
        slope = s * (1 - s) / tau
        return np.einsum("ni,nij->nj", g, slope) - g * slope.sum(axis=2)

    return ranks, pullback


def _ranks():
    return np.random.default_rng(6).normal(size=(3, 5))


def _prove_ranks():
    x = _ranks()
    g = np.random.default_rng(7).normal(size=(3, 5))
    return [(soft_rank(x)[1](g), poke(lambda: soft_rank(x)[0], x, g))]


# ================= learnable look-up table, old Chainer manner =================
class Function:
    def __call__(self, *inputs):
        self.inputs = inputs
        outputs = self.forward(inputs)
        return outputs[0] if len(outputs) == 1 else outputs


class LookupCurve(Function):
    """Piecewise linear curve with knots at even distances in [lo, hi]."""

    def __init__(self, lo, hi):
        self.lo, self.hi = lo, hi

    def _locate(self, x, table):
        pos = (x - self.lo) / (self.hi - self.lo) * (len(table) - 1)
        i = np.clip(np.floor(pos).astype(int), 0, len(table) - 2)
        return i, pos - i

    def forward(self, inputs):
        x, table = inputs
        i, w = self._locate(x, table)
        return ((1 - w) * table[i] + w * table[i + 1],)

    def backward(self, inputs, grad_outputs):
        x, table = inputs
        (gy,) = grad_outputs
        i, w = self._locate(x, table)
        gt = np.bincount(i.ravel(), ((1 - w) * gy).ravel(), len(table))
        gt += np.bincount(i.ravel() + 1, (w * gy).ravel(), len(table))
        gx = gy * (table[i + 1] - table[i]) * (len(table) - 1) / (self.hi - self.lo)
        return gx, gt


def _lut():
    x = np.array([[-0.9, 0.13, 0.55], [0.71, -0.22, -0.35]])
    return LookupCurve(-1.0, 1.0), x, np.random.default_rng(9).normal(size=6)


def _prove_lut():
    fn, *p = _lut()
    g = np.random.default_rng(10).normal(size=(2, 3))
    ds = fn.backward(tuple(p), (g,))
    return [(d, poke(lambda: fn(*p), a, g)) for d, a in zip(ds, p)]


# ================= LISTA: obuchaemyj myagkij porog =================
class SloiLISTA:
    """Odin shag: x -> S(x - t * A^T (A x - y), porog). Kod pryamo i obratno v odnom generatore."""

    def __init__(self, A, porog, shag):
        self.A, self.porog, self.shag = A, porog, np.array([shag])
        self.grad_porog = self.grad_shag = None

    def _prohod(self, x, y):
        nevyazka = x @ self.A.T - y
        napravlenie = nevyazka @ self.A
        z = x - self.shag * napravlenie
        zhiv = np.abs(z) > self.porog
        g = yield np.where(zhiv, z - np.sign(z) * self.porog, 0.0)
        dz = np.where(zhiv, g, 0.0)
        self.grad_porog = -(np.sign(z) * dz).sum(axis=0)
        self.grad_shag = np.array([-(dz * napravlenie).sum()])
        dr = -self.shag * dz @ self.A.T
        yield dz + dr @ self.A, -dr

    def forward(self, x, y):
        self.gen = self._prohod(x, y)
        return next(self.gen)

    def backward(self, g):
        return self.gen.send(g)


def _lista():
    r = np.random.default_rng(16)
    sloi = SloiLISTA(r.normal(size=(3, 5)), np.array([0.2, 0.3, 0.1, 0.4, 0.25]), 0.1)
    return sloi, r.normal(size=(4, 5)), r.normal(size=(4, 3))


def _prove_lista():
    s, x, y = _lista()
    g = np.random.default_rng(13).normal(size=(4, 5))
    s.forward(x, y)
    dx, dy = s.backward(g)
    f = lambda: s.forward(x, y)
    own = [(s.grad_porog, poke(f, s.porog, g)), (s.grad_shag, poke(f, s.shag, g))]
    return [(dx, poke(f, x, g)), (dy, poke(f, y, g)), *own]


# ================= a tiny DDPM =================
@dataclass
class P:
    value: np.ndarray
    grad: np.ndarray = field(default=None, repr=False)


@dataclass
class TinyDDPM:
    dim: int = 3
    width: int = 6
    steps: int = 10

    def __post_init__(self):
        r = np.random.default_rng(14)
        self.abar = np.cumprod(1 - np.linspace(0.01, 0.2, self.steps))
        self.inp = P(r.normal(size=(self.dim, self.width)) * 0.6)
        self.temb = P(r.normal(size=(self.steps, self.width)) * 0.6)
        self.out = P(r.normal(size=(self.width, self.dim)) * 0.6)

    def parameters(self):
        return [self.inp, self.temb, self.out]

    def forward(self, x0, t):
        """Mean squared error of the predicted noise at the steps t."""
        self.t = t
        eps = np.random.default_rng(99).normal(size=x0.shape)  # common random numbers
        self.sig = np.sqrt(self.abar[t])[:, None]
        self.xt = self.sig * x0 + np.sqrt(1 - self.abar[t])[:, None] * eps
        self.pre = self.xt @ self.inp.value + self.temb.value[t]
        self.gate = 1 / (1 + np.exp(-self.pre))
        self.err = (self.pre * self.gate) @ self.out.value - eps
        return np.mean(self.err**2)

    def backward(self):
        d = 2 * self.err / self.err.size
        self.out.grad = (self.pre * self.gate).T @ d
        dpre = d @ self.out.value.T * (self.gate + self.pre * self.gate * (1 - self.gate))
        self.inp.grad = self.xt.T @ dpre
        self.temb.grad = np.zeros_like(self.temb.value)
        np.add.at(self.temb.grad, self.t, dpre)
        return dpre @ self.inp.value.T * self.sig


def _ddpm():
    return TinyDDPM(), np.random.default_rng(15).normal(size=(5, 3)), np.array([0, 7, 3, 7, 9])


def _prove_ddpm():
    m, x, t = _ddpm()
    m.forward(x, t)
    dx = m.backward()
    f = lambda: m.forward(x, t)
    return [(dx, poke(f, x))] + [(p.grad, poke(f, p.value)) for p in m.parameters()]


# ================= planar flow =================
def planar_forward(z, u, w, b):
    """f(z) = z + u tanh(w.z + b), and log|det df/dz|."""
    h = np.tanh(z @ w + b)
    s = 1 - h**2
    wu = w @ u
    det = 1 + s * wu
    return z + np.outer(h, u), np.log(np.abs(det)), (z, u, w, h, s, wu, det)


def planar_backward(df, dld, cache):
    z, u, w, h, s, wu, det = cache
    dwu = (dld * s / det).sum()
    da = (df @ u) * s
    dz = df + np.outer(da, w)
    du = h @ df + dwu * w
    dw = da @ z + dwu * u
    db = da.sum(keepdims=True)
    return dz, du, dw, db


def _planar():
    r = np.random.default_rng(17)
    z = r.normal(size=(6, 3))
    return z, np.array([0.6, -0.2, 0.5]), np.array([0.9, 0.4, 1.1]), np.array([0.2])


def _prove_planar():
    p = _planar()
    r = np.random.default_rng(18)
    g = r.normal(size=(6, 3)), r.normal(size=6)
    ds = planar_backward(*g, planar_forward(*p)[2])
    return [(d, poke(lambda: planar_forward(*p)[:2], a, g)) for d, a in zip(ds, p)]


# ================= 검벨 소프트맥스 =================
class GumbelSoftmax:
    """잡음은 한 번 뽑아서 고정한다 (재매개변수화)."""

    def __init__(self, shape, tau=0.7):
        self.tau = tau
        self.noise = -np.log(-np.log(np.random.default_rng(20).uniform(0.05, 0.95, shape)))

    def forward(self, logits):
        a = (logits + self.noise) / self.tau
        e = np.exp(a - a.max(axis=1, keepdims=True))
        self.y = e / e.sum(axis=1, keepdims=True)
        return self.y

    def backward(self, dout):
        # 소프트맥스의 야코비안
        inner = (dout * self.y).sum(axis=0, keepdims=True)
        return self.y * (dout - inner) / self.tau


def _gumbel():
    return GumbelSoftmax((4, 3)), np.random.default_rng(21).normal(size=(4, 3))


def _prove_gumbel():
    layer, x = _gumbel()
    g = np.random.default_rng(22).normal(size=(4, 3))
    layer.forward(x)
    return [(layer.backward(g), poke(lambda: layer.forward(x), x, g))]


# ================= logit preprocessing of pixels =================
class LogitTransform:
    def __init__(self, alpha=0.05):
        self.alpha = alpha

    def forward(self, x):
        self.s = self.alpha + (1 - 2 * self.alpha) * x
        return np.log(self.s) - np.log1p(-self.s)

    def backward(self, dout):
        dout *= 1 - 2 * self.alpha
        dout /= self.s * (1 - self.s)
        return dout


ENTRIES = [
    Stranger(
        "r affine coupling flow",
        "layer of two outputs, backward takes two cotangents",
        lambda gradlab: gradlab.check_layer(*_coupling()),
        _prove_coupling,
    ),
    Stranger(
        "r RBM free energies",
        "f and grad of a vector, args",
        lambda gradlab: gradlab.check_gradient(cd_objective, cd_gradient, _rbm()[0], args=_rbm()[1]),
        _prove_rbm,
    ),
    Stranger(
        "r soft ranks with a pullback",
        "function that returns a closure",
        lambda gradlab: gradlab.check_cached_pair(soft_rank, lambda g, pullback: pullback(g), (_ranks(),)),
        _prove_ranks,
    ),
    Stranger(
        "r look-up curve in Chainer's manner",
        "forward(inputs), backward(inputs, grad_outputs)",
        lambda gradlab: gradlab.check_layer(*_lut()),
        _prove_lut,
    ),
    Stranger(
        "r sloi LISTA with a generator",
        "layer whose backward sends to a generator",
        lambda gradlab: gradlab.check_layer(*_lista()),
        _prove_lista,
    ),
    Stranger(
        "r tiny DDPM",
        "dataclass with parameter objects",
        lambda gradlab: gradlab.check_layer(*_ddpm()),
        _prove_ddpm,
    ),
    Stranger(
        "r planar flow: log-determinant's slope in the activation left out",
        "pair with two outputs",
        lambda gradlab: gradlab.check_cached_pair(planar_forward, planar_backward, _planar()),
        _prove_planar,
        "wrong",
        "the log-determinant depends on the activation as well, and that term is left out",
        ("missing-term",),
        ("z", "w", "b"),
        "    da = (df @ u) * s",
        "    da = (df @ u) * s - 2 * dld * wu * h * s / det",
    ),
    Stranger(
        "r gumbel softmax: inner sum over the batch",
        "layer",
        lambda gradlab: gradlab.check_layer(*_gumbel()),
        _prove_gumbel,
        "wrong",
        "the sum in the softmax's backward runs over the batch, not over the classes",
        ("wrong-sum-axis",),
        ("logits",),
        "        inner = (dout * self.y).sum(axis=0, keepdims=True)",
        "        inner = (dout * self.y).sum(axis=1, keepdims=True)",
    ),
    Stranger(
        "r logit transform: writes into dout",
        "layer",
        lambda gradlab: gradlab.check_layer(LogitTransform(), np.random.default_rng(24).random((3, 4))),
        lambda: [],
        "habit",
        "backward writes into its argument and returns it",
        ("mutates-argument",),
        ("x",),
    ),
]
