"""Whole nets, gating, quantisation and buffers."""

import numpy as np

from ._entry import Stranger
from ._help_s import cached, named, pairs, rng


def softmax(a):
    e = np.exp(a - a.max(axis=-1, keepdims=True))
    return e / e.sum(axis=-1, keepdims=True)


class Expert:
    def __init__(self, din, dout, r):
        self.W, self.c = r.standard_normal((din, dout)), r.standard_normal(dout)

    def forward(self, x):
        self.x, self.y = x, np.tanh(x @ self.W + self.c)
        return self.y

    def backward(self, g):
        d = g * (1 - self.y**2)
        self.dW, self.dc = self.x.T @ d, d.sum(0)
        return d @ self.W.T


class DenseMixture:
    """All experts speak; the gate is a softmax of its own."""

    def __init__(self, n, din=3, dout=2):
        r = rng(81)
        self.experts = [Expert(din, dout, r) for _ in range(n)]
        self.gate = r.standard_normal((din, n))
        self.dgate = np.zeros_like(self.gate)

    def forward(self, x):
        self.x = x
        self.p = softmax(x @ self.gate)
        self.out = np.stack([e.forward(x) for e in self.experts], axis=1)
        return np.einsum("bn,bno->bo", self.p, self.out)

    def backward(self, dy):
        dp = np.einsum("bo,bno->bn", dy, self.out)
        dz = self.p * (dp - (dp * self.p).sum(axis=1, keepdims=True))
        self.dgate[:] = self.x.T @ dz
        return dz @ self.gate.T + sum(e.backward(dy * self.p[:, [i]]) for i, e in enumerate(self.experts))


def _mixture():
    return DenseMixture(3), rng(82).standard_normal((4, 3))


class TopKRouter:
    """Softmax over all, keep the k best, make them sum to one; linear experts (n, din, dout)."""

    def __init__(self, experts, router, k=2):
        self.experts, self.router, self.k = experts, router, k
        self.g_experts = self.g_router = None

    def forward(self, x):
        self.x, self.p = x, softmax(x @ self.router)
        kth = np.sort(self.p, axis=1)[:, [-self.k]]
        self.mask = self.p >= kth
        self.s = (self.p * self.mask).sum(axis=1, keepdims=True)
        self.q = self.p * self.mask / self.s
        self.y = np.einsum("bi,nio->bno", x, self.experts)
        return np.einsum("bn,bno->bo", self.q, self.y)

    def backward(self, dout):
        self.g_experts = np.einsum("bn,bi,bo->nio", self.q, self.x, dout)
        dq = np.einsum("bno,bo->bn", self.y, dout)
        dp = (dq - (dq * self.q).sum(axis=1, keepdims=True)) / self.s
        dz = self.p * (dp - (dp * self.p).sum(axis=1, keepdims=True))
        self.g_router = self.x.T @ dz
        return np.einsum("bn,nio,bo->bi", self.q, self.experts, dout) + dz @ self.router.T


def _topk():
    r = rng(83)
    return TopKRouter(r.standard_normal((4, 3, 2)), r.standard_normal((3, 4))), r.standard_normal((5, 3))


class SwiGLUBuffered:
    """Feed-forward block that works in buffers made once; what it hands out is copied."""

    def __init__(self, dim, hidden, max_tokens=8):
        r = rng(84)
        self.w_gate, self.w_up = r.standard_normal((2, dim, hidden)) * 0.7
        self.w_down = r.standard_normal((hidden, dim)) * 0.7
        self.buf = {k: np.empty((max_tokens, hidden)) for k in "a u s h d".split()}
        self.grad = {k: np.empty_like(getattr(self, k)) for k in ("w_gate", "w_up", "w_down")}

    def forward(self, x):
        self.x = x.copy()
        a, u, s, h, _ = (b[: len(x)] for b in self.buf.values())
        np.matmul(x, self.w_gate, out=a)
        np.matmul(x, self.w_up, out=u)
        np.negative(a, out=s)
        np.exp(s, out=s)
        s += 1
        np.reciprocal(s, out=s)
        np.multiply(a, s, out=h)
        h *= u
        return h @ self.w_down

    def backward(self, dout):
        a, u, s, h, d = (b[: len(dout)] for b in self.buf.values())
        np.matmul(h.T, dout, out=self.grad["w_down"])
        np.matmul(dout, self.w_down.T, out=d)
        du = d * a * s
        d *= u
        d *= s * (1 + a * (1 - s))
        np.matmul(self.x.T, du, out=self.grad["w_up"])
        np.matmul(self.x.T, d, out=self.grad["w_gate"])
        return du @ self.w_up.T + d @ self.w_gate.T


def _swiglu():
    return SwiGLUBuffered(3, 4), rng(85).standard_normal((5, 3))


class GEGLU:
    # la porte est un GELU "rapide"; x est coupé en deux sur le dernier axe
    def forward(self, x):
        self.v, self.g = np.split(x, 2, axis=-1)
        self.s = 1 / (1 + np.exp(-1.702 * self.g))
        return self.v * self.g * self.s

    def backward(self, dy):
        g = self.g
        th = np.tanh(np.sqrt(2 / np.pi) * (g + 0.044715 * g**3))
        pente = 0.5 * (1 + th) + 0.5 * g * (1 - th**2) * np.sqrt(2 / np.pi) * (1 + 0.134145 * g**2)
        return np.concatenate([dy * g * self.s, dy * self.v * pente], axis=-1)


class SqueezeExcite1d:
    """x: (batch, channels, time)"""

    def __init__(self, c, mid):
        r = rng(86)
        self.w1, self.w2 = r.standard_normal((c, mid)), r.standard_normal((mid, c))

    def forward(self, x):
        self.x = x
        self.m = x.mean(axis=2)
        self.h = np.tanh(self.m @ self.w1)
        self.z = 1 / (1 + np.exp(-(self.h @ self.w2)))
        return x * self.z[:, :, None]

    def backward(self, dout):
        dout = dout * self.z[:, :, None]
        dz = (dout * self.x).sum(axis=2)
        da2 = dz * self.z * (1 - self.z)
        da1 = da2 @ self.w2.T * (1 - self.h**2)
        self.w2_grad, self.w1_grad = self.h.T @ da2, self.m.T @ da1
        return dout + (da1 @ self.w1.T)[:, :, None] / self.x.shape[2]


def _se():
    return SqueezeExcite1d(4, 2), rng(87).standard_normal((2, 4, 5)) + 0.5


class SoftStaircase:
    """Quantisation with a staircase of sigmoids: thresholds and heights are trained."""

    def __init__(self, thresholds, heights, temperature=4.0):
        self.thresholds = np.asarray(thresholds, dtype=float)
        self.heights = np.asarray(heights, dtype=float)
        self.T = temperature

    def quantize(self, x):
        self._s = 1 / (1 + np.exp(-self.T * (x[..., None] - self.thresholds)))
        return self._s @ self.heights - self.heights.sum() / 2

    def backprop(self, delta):
        slope = delta[..., None] * self.T * self._s * (1 - self._s) * self.heights
        axes = tuple(range(delta.ndim))
        self.grad_thresholds = -slope.sum(axis=axes)
        self.grad_heights = (delta[..., None] * (self._s - 0.5)).sum(axis=axes)
        return slope.sum(axis=-1)

    forward, backward = quantize, backprop


def _stairs():
    return SoftStaircase([-1, 0, 0.8], [1, 0.5, 1.2]), rng(88).uniform(-1.5, 1.5, (3, 4))


class RK4Block:
    """Neural ODE, x' = tanh(x A + b), classical Runge-Kutta; the same A and b in every stage."""

    def __init__(self, dim, steps=2, h=0.5):
        r = rng(89)
        self.A, self.b = r.standard_normal((dim, dim)), r.standard_normal(dim) * 0.3
        self.steps, self.h = steps, h

    def forward(self, x):
        self.trace = []
        for _ in range(self.steps):
            points, ks = [], []
            for c in (0, self.h / 2, self.h / 2, self.h):
                points.append(x + c * ks[-1] if ks else x)
                ks.append(np.tanh(points[-1] @ self.A + self.b))
            self.trace.append((points, ks))
            x = x + self.h / 6 * (ks[0] + 2 * ks[1] + 2 * ks[2] + ks[3])
        return x

    def backward(self, adj):
        self.A_grad, self.b_grad = np.zeros_like(self.A), np.zeros_like(self.b)
        h = self.h
        for points, ks in reversed(self.trace):
            total, carry = adj, 0.0
            for i, w, c in ((3, h / 6, h), (2, h / 3, h / 2), (1, h / 3, h / 2), (0, h / 6, 0)):
                d = (w * adj + carry) * (1 - ks[i] ** 2)
                self.A_grad += points[i].T @ d
                self.b_grad += d.sum(axis=0)
                dp = d @ self.A.T
                total = total + dp
                carry = c * dp
            adj = total
        return adj


def _rk4():
    return RK4Block(3), rng(90).standard_normal((4, 3))


class PlasticNet:
    """Differentiable plasticity: weights w plus alpha times a Hebbian trace that decays at eta."""

    def __init__(self, n, m):
        r = rng(91)
        self.params = {"w": r.standard_normal((n, m)) * 0.5, "alpha": r.standard_normal((n, m)) * 0.5}
        self.params["eta"] = np.array([0.3])

    def forward(self, seq):
        w, alpha, eta = self.params.values()
        self.seq, self.ys, self.traces = seq, [], [np.zeros_like(w)]
        for x in seq:
            y = np.tanh(x @ (w + alpha * self.traces[-1]))
            self.ys.append(y)
            self.traces.append((1 - eta) * self.traces[-1] + eta * np.outer(x, y))
        return np.array(self.ys)

    def backward(self, dys):
        w, alpha, eta = self.params.values()
        g = {k: np.zeros_like(v) for k, v in self.params.items()}
        dseq, dH = np.zeros_like(self.seq), np.zeros_like(w)
        for t in reversed(range(len(dys))):
            x, y, H = self.seq[t], self.ys[t], self.traces[t]
            g["eta"] += np.sum(dH * (np.outer(x, y) - H))
            da = (dys[t] + eta * (x @ dH)) * (1 - y**2)
            dW = np.outer(x, da)
            g["w"] += dW
            g["alpha"] += dW * H
            dseq[t] = (w + alpha * H) @ da + eta * (dH @ y)
            dH = (1 - eta) * dH + dW * alpha
        self.grads = g
        return dseq


def _plastic():
    return PlasticNet(3, 2), rng(92).standard_normal((5, 3))


class SirenLayer:
    """sin(w0 (x W + b)), output kept in a buffer that is allocated once per shape."""

    def __init__(self, W, b, w0=3.0):
        self.W, self.b, self.w0 = W, b, w0
        self.out = None

    def forward(self, x):
        self.x, self.a = x, self.w0 * (x @ self.W + self.b)
        if self.out is None or self.out.shape != self.a.shape:
            self.out = np.empty_like(self.a)
        return np.sin(self.a, out=self.out)

    def backward(self, dout):
        d = dout * np.cos(self.a) * self.w0
        self.dW, self.db = self.x.T @ d, d.sum(axis=0)
        return d @ self.W.T


def _siren():
    r = rng(93)
    return SirenLayer(r.standard_normal((2, 4)), r.standard_normal(4)), r.uniform(-1, 1, (5, 2))


class StatefulElman:
    """前回の呼び出しの最後の状態から続ける (stateful)。x: (T, N, D)"""

    def __init__(self, Wx, Wh):
        self.Wx, self.Wh = Wx, Wh
        self.h = None

    def forward(self, x):
        if self.h is None or len(self.h) != x.shape[1]:
            self.h = np.zeros((x.shape[1], len(self.Wh)))
        self.x, self.hs = x, [self.h]
        for t in range(len(x)):
            self.hs.append(np.tanh(x[t] @ self.Wx + self.hs[-1] @ self.Wh))
        self.h = self.hs[-1]
        return np.array(self.hs[1:])

    def backward(self, dhs):
        self.dWx, self.dWh = np.zeros_like(self.Wx), np.zeros_like(self.Wh)
        dx, dh = np.zeros_like(self.x), 0
        for t in range(len(dhs) - 1, -1, -1):
            da = (dhs[t] + dh) * (1 - self.hs[t + 1] ** 2)
            self.dWx += self.x[t].T @ da
            self.dWh += self.hs[t].T @ da
            dx[t] = da @ self.Wx.T
            dh = da @ self.Wh.T
        return dx


def _stateful():
    r = rng(36)
    return StatefulElman(r.standard_normal((2, 3)), r.standard_normal((3, 3))), r.standard_normal((3, 2, 2))


# ---------------------------------------------------------------- jax.custom_vjp
def soft_round_fwd(x, alpha):
    m = np.floor(x) + 0.5
    t, T = np.tanh(alpha * (x - m)), np.tanh(alpha / 2)
    return m + t / (2 * T), (x - m, alpha, t, T)


def soft_round_bwd(res, g):
    r, alpha, t, T = res
    dx = g.copy()
    dalpha = r * (1 - t**2) / (2 * T) - t * (1 - T**2) / (4 * T**2)
    return dx, (g * dalpha).sum(axis=0)


def _soft_round():
    return rng(56).uniform(-2, 2, (4, 3)), np.array([1.5, 3.0, 5.0])


ENTRIES = [
    Stranger(
        "s: dense mixture of experts",
        "net with a list of experts and a gate",
        lambda gradlab: gradlab.check_layer(*_mixture()),
        lambda: pairs(
            _mixture,
            lambda o, d, x: (
                [(d, x[0]), (o.dgate, o.gate)] + [q for e in o.experts for q in ((e.dW, e.W), (e.dc, e.c))]
            ),
        ),
    ),
    Stranger(
        "s: top-k router: those not chosen get a gradient too",
        "layer with g_ attributes",
        lambda gradlab: gradlab.check_layer(*_topk()),
        lambda: pairs(_topk, lambda o, d, x: [(d, x[0]), (o.g_experts, o.experts), (o.g_router, o.router)]),
        "wrong",
        "the mask of the chosen experts is forgotten in the gradient of the probabilities",
        ("masked-region",),
        ("router", "x"),
        "        dp = (dq - (dq * self.q).sum(axis=1, keepdims=True)) / self.s\n",
        "        dp = self.mask * (dq - (dq * self.q).sum(axis=1, keepdims=True)) / self.s\n",
    ),
    Stranger(
        "s: SwiGLU in buffers that are used again, results copied",
        "layer with a grad dict",
        lambda gradlab: gradlab.check_layer(*_swiglu()),
        lambda: pairs(_swiglu, lambda o, d, x: [(d, x[0])] + [(o.grad[k], getattr(o, k)) for k in o.grad]),
    ),
    Stranger(
        "s: GEGLU: forward of the quick GELU, slope of the tanh one",
        "layer, French",
        lambda gradlab: gradlab.check_layer(GEGLU(), rng(94).standard_normal((4, 6)) * 1.5),
        lambda: pairs(lambda: (GEGLU(), rng(94).standard_normal((4, 6)) * 1.5), lambda o, d, x: [(d, x[0])]),
        "wrong",
        "backward differentiates the tanh approximation, forward is the one by a sigmoid",
        ("other-approximation",),
        ("x",),
        """        th = np.tanh(np.sqrt(2 / np.pi) * (g + 0.044715 * g**3))
        pente = 0.5 * (1 + th) + 0.5 * g * (1 - th**2) * np.sqrt(2 / np.pi) * (1 + 0.134145 * g**2)
""",
        "        pente = self.s + 1.702 * g * self.s * (1 - self.s)\n",
    ),
    Stranger(
        "s: squeeze and excite: dout scaled before the gate reads it",
        "layer with _grad attributes",
        lambda gradlab: gradlab.check_layer(*_se()),
        lambda: pairs(_se, lambda o, d, x: [(d, x[0]), (o.w1_grad, o.w1), (o.w2_grad, o.w2)]),
        "wrong",
        "the gate's gradient is taken from dout after it was multiplied by the gate",
        ("wrong-cotangent", "wrong-operand"),
        ("w1", "w2", "x"),
        "        dout = dout * self.z[:, :, None]\n        dz = (dout * self.x).sum(axis=2)\n",
        "        dz = (dout * self.x).sum(axis=2)\n        dout = dout * self.z[:, :, None]\n",
    ),
    Stranger(
        "s: soft staircase quantiser with trained steps",
        "quantize and backprop, aliased as forward and backward",
        lambda gradlab: gradlab.check_layer(*_stairs()),
        lambda: pairs(
            _stairs,
            lambda o, d, x: [(d, x[0]), (o.grad_thresholds, o.thresholds), (o.grad_heights, o.heights)],
        ),
    ),
    Stranger(
        "s: Runge-Kutta block with shared weights",
        "layer with _grad attributes",
        lambda gradlab: gradlab.check_layer(*_rk4()),
        lambda: pairs(_rk4, lambda o, d, x: [(d, x[0]), (o.A_grad, o.A), (o.b_grad, o.b)]),
    ),
    Stranger(
        "s: plastic network with a Hebbian trace",
        "sequence layer with params and grads dicts",
        lambda gradlab: gradlab.check_layer(*_plastic()),
        lambda: pairs(_plastic, lambda o, d, x: named(d, x, o.grads, o.params)),
    ),
    Stranger(
        "s: SIREN layer: hands out its own buffer",
        "layer with dW, db",
        lambda gradlab: gradlab.check_layer(*_siren()),
        lambda: [],
        "habit",
        "the output is the layer's own buffer, which the next call overwrites",
        ("aliases-memory",),
        ("out",),
        "        return np.sin(self.a, out=self.out)\n",
        "        return np.sin(self.a)\n",
    ),
    Stranger(
        "s: stateful Elman network: goes on from the last call's state",
        "sequence layer with d-attributes",
        lambda gradlab: gradlab.check_layer(*_stateful()),
        lambda: [],
        "habit",
        "the state is kept, so that a second forward of the same input gives another output",
        ("nondeterministic",),
        ("h",),
        "        self.h = self.hs[-1]\n",
        "",
    ),
    Stranger(
        "s: soft rounding for quantisation: dx straight through",
        "custom_vjp pair",
        lambda gradlab: gradlab.check_vjp(soft_round_fwd, soft_round_bwd, _soft_round()),
        lambda: cached(soft_round_fwd, lambda g, c: soft_round_bwd(c, g), _soft_round()),
        "wrong",
        "the slope of the soft rounding is left out and g passed on as it is",
        ("straight-through", "missing-factor"),
        ("x",),
        "    dx = g.copy()\n",
        "    dx = g * alpha * (1 - t**2) / (2 * T)\n",
    ),
]
