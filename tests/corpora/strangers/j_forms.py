"""Functions in unusual clothes: generators, memos, solvers, integrators, gates."""

import numpy as np
from scipy.special import expit

from . import _help_j as hj
from ._entry import Stranger


# A forward pass that waits in the middle for its cotangent
def mixture_of_tanh(x, w):
    """yields y, is sent dy, yields the gradients"""
    h = np.tanh(np.outer(w, x))
    dy = yield h.mean(axis=0)
    dh = (1 - h**2) * dy / len(w)
    yield w @ dh, dh @ x


def start(x, w):
    run = mixture_of_tanh(x, w)
    return next(run), run


def finish(dy, run):
    return run.send(dy)


# Fun and jac share their work by a memo of the last x
class Remembering:
    def __init__(self, fun):
        self._fun = fun
        self._x = None

    def _look(self, x):
        if self._x is None or not np.array_equal(x, self._x):
            self._x = x.copy()
            self._value, self._slope = self._fun(x)

    def __call__(self, x):
        self._look(x)
        return self._value

    def derivative(self, x):
        self._look(x)
        return self._slope.copy()


def rastrigin_like(x):
    s = np.sin(3 * x)
    return x @ x + np.prod(1 + 0.1 * s), 2 * x + np.prod(1 + 0.1 * s) * 0.3 * np.cos(3 * x) / (1 + 0.1 * s)


# Memo made once and kept for good
class LazyQuartic:
    """sum of (x' A x)^2 / 4 over a list of matrices"""

    def __init__(self, mats):
        self.mats = mats
        self.memo = None

    def f(self, x):
        return sum((x @ A @ x) ** 2 for A in self.mats) / 4

    def g(self, x):
        if self.memo is None:
            self.memo = [A @ x + A.T @ x for A in self.mats]
        return sum(0.5 * (x @ A @ x) * Ax for A, Ax in zip(self.mats, self.memo))


# Entropic transport with a fixed number of Sinkhorn's rounds, unrolled
def sinkhorn_cost(C, eps=0.5, rounds=6):
    K = np.exp(-C / eps)
    n, m = C.shape
    us, vs = [], [np.ones(m)]
    for _ in range(rounds):
        us.append(1 / n / (K @ vs[-1]))
        vs.append(1 / m / (K.T @ us[-1]))
    u, v = us[-1], vs[-1]
    P = u[:, None] * K * v
    # backwards
    dP = C
    dK = dP * u[:, None] * v
    du = (dP * K) @ v
    dv = (dP * K).T @ u
    for k in reversed(range(rounds)):
        z = -dv * vs[k + 1] ** 2 * m
        dK = dK + np.outer(us[k], z)
        du = du + K @ z
        y = -du * us[k] ** 2 * n
        dK = dK + np.outer(y, vs[k])
        dv = K.T @ y
        du = np.zeros(n)
    return np.sum(P * C), P - dK * K / eps


# Equilibrium of a small recurrent net
class Equilibrium:
    """z = tanh(W z + x), found by iteration; backward solves the linear system"""

    def __init__(self, W):
        self.W = W
        self.dW = np.zeros_like(W)

    def forward(self, x):
        z = np.zeros_like(x)
        for _ in range(300):
            z = np.tanh(self.W @ z + x)
        self.z = z
        return z

    def backward(self, dout):
        s = 1 - self.z**2
        lam = np.linalg.solve(np.eye(len(s)) - self.W.T * s, dout)
        dx = s * lam
        self.dW = np.outer(dx, self.z)
        return dx


# One step of Runge and Kutta, the field and its vjp handed over as functions
def brusselator(y, p):
    a, b = p
    return np.array([a + y[0] ** 2 * y[1] - (b + 1) * y[0], b * y[0] - y[0] ** 2 * y[1]])


def brusselator_vjp(y, p, g):
    a, b = p
    first = g[0] * (2 * y[0] * y[1] - b - 1) + g[1] * (b - 2 * y[0] * y[1])
    return np.array([first, y[0] ** 2 * (g[0] - g[1])]), np.array([g[0], y[0] * (g[1] - g[0])])


TABLEAU = [0, 0.5, 0.5, 1.0]
WEIGHTS = [1 / 6, 1 / 3, 1 / 3, 1 / 6]


def make_rk4(field, field_vjp, h=0.2):
    def fwd(y, p):
        at, ks = [], []
        for c in TABLEAU:
            at.append(y + h * c * ks[-1] if ks else y)
            ks.append(field(at[-1], p))
        return y + h * sum(w * k for w, k in zip(WEIGHTS, ks)), (at, p)

    def bwd(saved, g):
        at, p = saved
        gy, gp, carry = g.copy(), np.zeros_like(p), np.zeros_like(g)
        for i in (3, 2, 1, 0):
            dy, dp = field_vjp(at[i], p, h * WEIGHTS[i] * g + carry)
            gy, gp = gy + dy, gp + dp
            carry = h * TABLEAU[i] * dy
        return gy, gp

    return fwd, bwd


# Highway gate
def highway(x, gate, bias):
    s = expit(gate * x + bias)
    return s * np.sin(x) + (1 - s) * x, (x, gate, s)


def highway_back(d, cache):
    x, gate, s = cache
    ds = d * (np.sin(x) - x)
    dz = ds * s * (1 - s)
    dx = d * (s * np.cos(x) + 1 - s) + dz * gate
    return dx, np.zeros_like(gate), dz.sum(axis=0)


# Losses in the manner of "Neural Networks from Scratch"
class Loss:
    def calculate(self, output, y):
        return np.mean(self.forward(output, y))


class Loss_LogCosh(Loss):
    def forward(self, y_pred, y_true):
        e = y_pred - y_true
        return np.mean(np.logaddexp(e, -e) - np.log(2), axis=-1)

    def backward(self, dvalues, y_true):
        samples = len(dvalues)
        outputs = len(dvalues[0])
        self.dinputs = np.tanh(dvalues - y_true) / outputs / samples


# Une divergence, dans le style de Nielsen
class ItakuraSaito:
    @staticmethod
    def fn(a, y):
        rapport = y / a
        return np.sum(rapport - np.log(rapport) - 1)

    @staticmethod
    def prime(a, y):
        return (a - y) / a**2


# Weighted mean and spread of each row, two outputs, one setting
def moments(x, score, temperature=1.0):
    w = np.exp(score / temperature)
    w = w / w.sum(axis=1, keepdims=True)
    mean = np.sum(w * x, axis=1)
    dev = x - mean[:, None]
    return (mean, np.sum(w * dev**2, axis=1)), (w, dev, x, temperature)


def moments_vjp(saved, g):
    w, dev, x, temperature = saved
    gm, gv = g[0][:, None], g[1][:, None]
    gw = gm * x + gv * dev**2
    gx = w * (gm + 2 * gv * dev)
    return gx, w * (gw - np.sum(w * gw, axis=1, keepdims=True)) / temperature


_w = np.random.default_rng(71)
_SMALL = _w.normal(0, 0.25, (4, 4))
_HW = (_w.normal(size=(5, 3)) * 1.5, _w.normal(size=3), _w.normal(size=3))
_C = _w.uniform(0, 1, (3, 4))
_P0 = np.array([0.7, -0.4, 1.1])
_QUART = [_w.normal(size=(3, 3)) for _ in range(2)]


def _equilibrium_proof():
    x, c = _P0[[0, 1, 2, 0]].copy(), np.array([0.5, -1.0, 2.0, 0.3])
    eq = Equilibrium(_SMALL.copy())
    eq.forward(x)
    dx = eq.backward(c)
    dW = eq.dW.copy()
    return [(dx, hj.slope(lambda: c @ eq.forward(x), x)), (dW, hj.slope(lambda: c @ eq.forward(x), eq.W))]


def _bumps():
    fun = Remembering(rastrigin_like)
    return fun, fun.derivative


def _lazy():
    q = LazyQuartic(_QUART)
    q.g(np.ones(3))  # the optimiser's first step
    return q


def _logcosh_proof():
    loss, y, t = Loss_LogCosh(), _HW[0].copy(), _HW[0] ** 2 / 3
    loss.backward(y, t)
    return [(loss.dinputs, hj.slope(lambda: loss.calculate(y, t), y))]


def _mom():
    g = np.random.default_rng(5)
    return g.normal(size=(3, 4)), g.normal(size=(3, 4))


RK = make_rk4(brusselator, brusselator_vjp)

ENTRIES = [
    Stranger(
        "Mean of tanh as a generator",
        "pair whose cache is a generator",
        lambda gl: gl.check_cached_pair(start, finish, (_P0.copy(), np.array([0.5, -1.2]))),
        lambda: hj.pair(start, finish, (_P0, np.array([0.5, -1.2]))),
    ),
    Stranger(
        "Function with a memo of the last point",
        "object called, derivative as a method",
        lambda gl: gl.check_gradient(*_bumps(), _P0.copy()),
        lambda: hj.scalar(*_bumps(), _P0),
    ),
    Stranger(
        "Quartic: memo of the first point for good",
        "bound methods of a class",
        lambda gl: (lambda q: gl.check_gradient(q.f, q.g, _P0.copy()))(_lazy()),
        lambda: (lambda q: hj.scalar(q.f, q.g, _P0))(_lazy()),
        "wrong",
        "the products with x are computed at the first call and used at every later one",
        ("stale-residuals",),
        ("x",),
        "        if self.memo is None:\n            self.memo = [A @ x + A.T @ x for A in self.mats]\n",
        "        self.memo = [A @ x + A.T @ x for A in self.mats]\n",
    ),
    Stranger(
        "Sinkhorn's transport cost, unrolled",
        "value and gradient",
        lambda gl: gl.check_gradient(sinkhorn_cost, True, _C.copy()),
        lambda: hj.both(sinkhorn_cost, _C),
    ),
    Stranger(
        "Equilibrium of a recurrent net",
        "layer, implicit",
        lambda gl: gl.check_layer(Equilibrium(_SMALL.copy()), _P0[[0, 1, 2, 0]].copy()),
        _equilibrium_proof,
    ),
    Stranger(
        "Runge-Kutta step of the Brusselator",
        "vjp from a factory",
        lambda gl: gl.check_vjp(*RK, (np.array([1.2, 2.1]), np.array([1.0, 2.5]))),
        lambda: hj.vjp(*RK, [1.2, 2.1], [1.0, 2.5]),
    ),
    Stranger(
        "Highway: the gate's weight is left for later",
        "pair with cache",
        lambda gl: gl.check_cached_pair(highway, highway_back, tuple(a.copy() for a in _HW)),
        lambda: hj.pair(highway, highway_back, _HW),
        "wrong",
        "the gradient of gate is a placeholder of zeros",
        ("zero-gradient",),
        ("gate",),
        "    return dx, np.zeros_like(gate), dz.sum(axis=0)\n",
        "    return dx, (dz * x).sum(axis=0), dz.sum(axis=0)\n",
    ),
    Stranger(
        "Log-cosh in the manner of nnfs",
        "loss with calculate, dvalues and dinputs",
        lambda gl: gl.check_layer(Loss_LogCosh(), _HW[0].copy(), _HW[0] ** 2 / 3),
        _logcosh_proof,
    ),
    Stranger(
        "Itakura-Saito divergence",
        "static methods fn and prime",
        lambda gl: gl.check_gradient(ItakuraSaito.fn, ItakuraSaito.prime, _C.copy(), args=(_C[::-1] + 0.2,)),
        lambda: hj.scalar(ItakuraSaito.fn, ItakuraSaito.prime, _C, _C[::-1] + 0.2),
    ),
    Stranger(
        "Weighted mean and spread",
        "vjp with two outputs and a setting",
        lambda gl: gl.check_vjp(moments, moments_vjp, _mom(), settings={"temperature": 0.7}),
        lambda: hj.vjp(lambda x, s: moments(x, s, 0.7), moments_vjp, *_mom()),
    ),
]
