"""Little frameworks: tapes, coroutines, Function classes, flat parameter vectors."""

from dataclasses import dataclass, field
from math import erf

import numpy as np

from ._entry import Stranger
from ._help_ta import check_model, layer, pairs


# ---------- a micrograd for arrays
class Tensor:
    def __init__(self, data, parents=()):
        self.data, self.parents = np.asarray(data, dtype=float), parents
        self.grad = np.zeros_like(self.data)
        self._backward = lambda: None

    def __matmul__(self, other):
        out = Tensor(self.data @ other.data, (self, other))

        def _backward():
            self.grad += out.grad @ other.data.T
            other.grad += self.data.T @ out.grad

        out._backward = _backward
        return out

    def __add__(self, other):
        out = Tensor(self.data + other.data, (self, other))

        def _backward():
            for t in (self, other):
                g = out.grad
                while g.ndim > t.data.ndim:
                    g = g.sum(0)
                t.grad += g

        out._backward = _backward
        return out

    def softplus(self):
        out = Tensor(np.logaddexp(0, self.data), (self,))

        def _backward():
            self.grad += out.grad / (1 + np.exp(-self.data))

        out._backward = _backward
        return out

    def mse(self, target):
        out = Tensor(np.mean((self.data - target) ** 2), (self,))

        def _backward():
            self.grad += out.grad * 2 * (self.data - target) / self.data.size

        out._backward = _backward
        return out

    def backward(self):
        order, seen = [], set()

        def visit(t):
            if id(t) not in seen:
                seen.add(id(t))
                for p in t.parents:
                    visit(p)
                order.append(t)

        visit(self)
        self.grad = np.ones_like(self.data)
        for t in reversed(order):
            t._backward()


class ResidualNet:
    """the same matrix twice, with a skip"""

    def __init__(self, d):
        rng = np.random.default_rng(0)
        self.params = {"W": 0.5 * rng.standard_normal((d, d)), "b": rng.standard_normal(d)}

    def graph(self, x, t):
        self.leaf = {k: Tensor(v) for k, v in self.params.items()}
        h = Tensor(x)
        for _ in range(2):
            h = h + (h @ self.leaf["W"] + self.leaf["b"]).softplus()
        return h.mse(t)

    def loss(self, x, t):
        return float(self.graph(x, t).data)

    def gradient(self, x, t):
        self.graph(x, t).backward()
        return {k: v.grad for k, v in self.leaf.items()}


def _res():
    r = np.random.default_rng(1)
    return ResidualNet(3), r.standard_normal((4, 3)), r.standard_normal((4, 3))


def _res_prove():
    n, x, t = _res()
    g = n.gradient(x, t)
    return pairs(lambda: n.loss(x, t), [g["W"], g["b"]], [n.params["W"], n.params["b"]])


# ---------- Chainer's manner: tuples in, tuples out
class Function:
    def __call__(self, *inputs):
        self.inputs = inputs
        outputs = self.forward(inputs)
        return outputs[0] if len(outputs) == 1 else outputs


class CapsuleSquash(Function):
    def forward(self, inputs):
        x, W = inputs
        self.s = np.einsum("bi,ijk->bjk", x, W)
        self.n2 = (self.s**2).sum(-1, keepdims=True)
        return (self.s * np.sqrt(self.n2) / (1 + self.n2),)

    def backward(self, inputs, grad_outputs):
        x, W = inputs
        (gy,) = grad_outputs
        n = np.sqrt(self.n2)
        f = n / (1 + self.n2)
        fslope = (1 - self.n2) / (1 + self.n2) ** 2
        gs = f * gy + self.s * fslope / n * (self.s * gy).sum(-1, keepdims=True)
        return np.einsum("bjk,ijk->bi", gs, W), np.einsum("bi,bjk->ijk", x, gs)


def _caps():
    r = np.random.default_rng(2)
    return CapsuleSquash(), r.standard_normal((2, 4)), r.standard_normal((4, 3, 2))


def _caps_prove():
    f, x, W = _caps()
    y = f(x, W)
    g = np.random.default_rng(3).standard_normal(y.shape)
    return pairs(lambda: np.sum(g * f(x, W)), f.backward(f.inputs, (g,)), [x, W])


# ---------- Kolmogorov-Arnold layer on Gaussian bumps
@dataclass
class KANLayer:
    n_in: int
    n_out: int
    knots: np.ndarray = field(default_factory=lambda: np.linspace(-2, 2, 5))
    coef: np.ndarray = None
    coef_grad: np.ndarray = None

    def __post_init__(self):
        rng = np.random.default_rng(4)
        self.coef = rng.standard_normal((self.n_in, self.knots.size, self.n_out)) / 2

    def forward(self, x):
        self.d = x[:, :, None] - self.knots
        self.bump = np.exp(-(self.d**2))
        return np.tensordot(self.bump, self.coef, 2)

    def backward(self, grad):
        self.coef_grad = np.einsum("bik,bo->iko", self.bump, grad)
        return np.einsum("bo,iko,bik->bi", grad, self.coef, -2 * self.d * self.bump)


def _kan():
    return KANLayer(3, 2), np.random.default_rng(5).standard_normal((4, 3))


def _kan_prove():
    m, x = _kan()
    return layer(m, [x], lambda: [m.coef], lambda: [m.coef_grad])


# ---------- a layer as a coroutine: both passes in one function
class ReZero:
    def __init__(self, d):
        self.W = np.random.default_rng(6).standard_normal((d, d))
        self.alpha = np.array([0.4])

    def both_ways(self, x):
        a = np.arctan(x @ self.W)
        dout = yield x + self.alpha * a
        while True:
            self.dalpha = np.array([np.vdot(dout, a)])
            dpre = self.alpha * dout * np.cos(a) ** 2
            self.dW = x.T @ dpre
            dout = yield dout + dpre @ self.W.T

    def forward(self, x):
        self.co = self.both_ways(x)
        return next(self.co)

    def backward(self, dout):
        return self.co.send(dout)


def _rezero():
    return ReZero(3), np.random.default_rng(7).standard_normal((4, 3))


def _rezero_prove():
    m, x = _rezero()
    return layer(m, [x], lambda: [m.W, m.alpha], lambda: [m.dW, m.dalpha])


# ---------- SIREN that fits a line, for scipy.optimize
def siren_unpack(theta, n):
    return theta[:n], theta[n : 2 * n], theta[2 * n :]


def siren_cost(theta, s, y, omega):
    w, b, v = siren_unpack(theta, len(theta) // 3)
    return np.sum((np.sin(omega * (np.outer(s, w) + b)) @ v - y) ** 2)


def siren_slope(theta, s, y, omega):
    w, b, v = siren_unpack(theta, len(theta) // 3)
    ph = omega * (np.outer(s, w) + b)
    r = 2 * (np.sin(ph) @ v - y)
    back = r[:, None] * np.cos(ph) * v * omega
    return np.r_[s @ back, back.sum(0), r @ np.sin(ph)]


def _siren():
    r = np.random.default_rng(8)
    s = np.linspace(-1, 1, 9)
    return r.standard_normal(12), (s, np.sign(s) * s**2, 3.0)


def _siren_prove():
    th, args = _siren()
    return pairs(lambda: siren_cost(th, *args), [siren_slope(th, *args)], [th])


# ---------- a network as a list of instructions, run by two interpreters
class WengertLayer:
    """registers: 0 = x, 1 = W, 2 = v; every instruction fills the next one"""

    program = [("mm", 0, 1), ("tanh", 3), ("add", 4, 0), ("mul", 5, 4), ("mul", 6, 2)]

    def __init__(self, d):
        rng = np.random.default_rng(9)
        self.W, self.v = rng.standard_normal((d, d)) / 2, rng.standard_normal((4, d))

    def forward(self, x):
        reg = [x, self.W, self.v]
        for op, *k in self.program:
            a = [reg[i] for i in k]
            if op == "mm":
                reg.append(a[0] @ a[1])
            elif op == "tanh":
                reg.append(np.tanh(a[0]))
            elif op == "add":
                reg.append(a[0] + a[1])
            else:
                reg.append(a[0] * a[1])
        self.reg = reg
        return reg[-1]

    def backward(self, dout):
        reg = self.reg
        adj = [np.zeros_like(r) for r in reg]
        adj[-1] = dout
        for n in range(len(self.program), 0, -1):
            (op, *k), g = self.program[n - 1], adj[n + 2]
            a = [reg[i] for i in k]
            if op == "mm":
                parts = g @ a[1].T, a[0].T @ g
            elif op == "tanh":
                parts = (g * (1 - reg[n + 2] ** 2),)
            elif op == "add":
                parts = g, g
            else:
                parts = g * a[1], g * a[0]
            for i, part in zip(k, parts, strict=True):
                adj[i] = part
        self.dW, self.dv = adj[1], adj[2]
        return adj[0]


def _weng():
    return WengertLayer(3), np.random.default_rng(10).standard_normal((4, 3))


def _weng_prove():
    m, x = _weng()
    return layer(m, [x], lambda: [m.W, m.v], lambda: [m.dW, m.dv])


# ---------- visual question answering: low-rank bilinear fusion
class BilinearFusion:
    def __init__(self, d, rank):
        rng = np.random.default_rng(11)
        self.U, self.V = rng.standard_normal((d, rank)), rng.standard_normal((d, rank))

    def forward(self, image, question):
        self.i, self.q = image, question
        self.a, self.b = np.tanh(image @ self.U), np.tanh(question @ self.V)
        return self.a * self.b

    def backward(self, dz):
        da, db = dz * self.b * (1 - self.a**2), dz * self.a * (1 - self.b**2)
        self.dU, self.dV = self.i.T @ da, self.q.T @ db
        return db @ self.V.T, da @ self.U.T


def _fuse():
    r = np.random.default_rng(12)
    return BilinearFusion(3, 4), r.standard_normal((4, 3)), r.standard_normal((4, 3))


def _fuse_prove():
    m, x, y = _fuse()
    return layer(m, [x, y], lambda: [m.U, m.V], lambda: [m.dU, m.dV])


# ---------- torch.autograd.Function, imitated
class Ctx:
    def save_for_backward(self, *t):
        self.saved_tensors = t


class QuickGELU:
    @staticmethod
    def forward(ctx, x):
        ctx.save_for_backward(x)
        return x / (1 + np.exp(-1.702 * x))

    @staticmethod
    def backward(ctx, grad_output):
        (x,) = ctx.saved_tensors
        cdf = 0.5 * (1 + np.vectorize(erf)(x / np.sqrt(2)))
        return grad_output * (cdf + x * np.exp(-x * x / 2) / np.sqrt(2 * np.pi))


def apply(x):
    ctx = Ctx()
    return QuickGELU.forward(ctx, x), ctx


def unapply(grad_output, ctx):
    return QuickGELU.backward(ctx, grad_output)


def _gelu():
    return 1.5 * np.random.default_rng(13).standard_normal((3, 4))


def _gelu_prove():
    x = _gelu()
    y, ctx = apply(x)
    g = np.random.default_rng(14).standard_normal(y.shape)
    return pairs(lambda: np.sum(g * apply(x)[0]), [unapply(g, ctx)], [x])


# ---------- total variation of each image, a regulariser
class TotalVariation:
    def forward(self, img):  # (N, H, W) -> (N,)
        self.v, self.h = np.diff(img, axis=1), np.diff(img, axis=2)
        self.sv, self.sh = np.sqrt(self.v**2 + 0.01), np.sqrt(self.h**2 + 0.01)
        return self.sv.sum((1, 2)) + self.sh.sum((1, 2))

    def backward(self, dout):
        gv, gh = self.v / self.sv, self.h / self.sh
        dimg = np.zeros((len(gv), gh.shape[1], gv.shape[2]))
        dimg[:, 1:] += gv
        dimg[:, :-1] -= gv
        dimg[:, :, 1:] += gh
        dimg[:, :, :-1] -= gh
        return dimg


def _tv():
    return TotalVariation(), np.random.default_rng(15).standard_normal((3, 4, 3))


# ---------- habit: Fourier features in a buffer that is used again
class FourierFeatures:
    def __init__(self, batch, d, m):
        self.B = np.random.default_rng(16).standard_normal((d, m))
        self.buffer = np.empty((batch, 2 * m))
        self.m = m

    def forward(self, coords):
        phase = coords @ self.B
        self.cos, self.sin = np.cos(phase), np.sin(phase)
        self.buffer[:, : self.m] = self.cos
        self.buffer[:, self.m :] = self.sin
        return self.buffer

    def backward(self, dout):
        return (dout[:, self.m :] * self.cos - dout[:, : self.m] * self.sin) @ self.B.T


def _ff():
    return FourierFeatures(3, 2, 4), np.random.default_rng(17).standard_normal((3, 2))


ENTRIES = [
    Stranger(
        "ta residual net on a micrograd",
        "net with loss and gradient, closures as tape",
        lambda gl: check_model(gl, *_res()),
        _res_prove,
    ),
    Stranger(
        "ta capsule squash in Chainer's manner",
        "Function with tuples in and out",
        lambda gl: gl.check_layer(*_caps()),
        _caps_prove,
    ),
    Stranger(
        "ta KAN layer as a dataclass", "dataclass layer", lambda gl: gl.check_layer(*_kan()), _kan_prove
    ),
    Stranger(
        "ta ReZero block as a coroutine",
        "layer whose passes are one generator",
        lambda gl: gl.check_layer(*_rezero()),
        _rezero_prove,
    ),
    Stranger(
        "ta SIREN in one vector",
        "f and grad with args",
        lambda gl: gl.check_gradient(siren_cost, siren_slope, _siren()[0], args=_siren()[1]),
        _siren_prove,
    ),
    Stranger(
        "ta instruction list: register read twice",
        "layer that interprets a program, attributes",
        lambda gl: gl.check_layer(*_weng()),
        _weng_prove,
        "wrong",
        "the adjoint of a register that is read twice is overwritten, not added to",
        ("last-write-wins", "missing-term"),
        ("x", "W"),
        "                adj[i] = part\n",
        "                adj[i] = adj[i] + part\n",
    ),
    Stranger(
        "ta bilinear fusion: gradients exchanged",
        "layer with two inputs",
        lambda gl: gl.check_layer(*_fuse()),
        _fuse_prove,
        "wrong",
        "the gradients of image and question are returned in the other order",
        ("swapped-primals",),
        ("image", "question"),
        "        return db @ self.V.T, da @ self.U.T\n",
        "        return da @ self.U.T, db @ self.V.T\n",
    ),
    Stranger(
        "ta quick GELU: slope of the exact one",
        "static forward and backward with ctx",
        lambda gl: gl.check_cached_pair(apply, unapply, (_gelu(),)),
        _gelu_prove,
        "wrong",
        "the slope is that of the exact GELU, forward is the sigmoid approximation",
        ("other-approximation",),
        ("x",),
        "        cdf = 0.5 * (1 + np.vectorize(erf)(x / np.sqrt(2)))\n"
        "        return grad_output * (cdf + x * np.exp(-x * x / 2) / np.sqrt(2 * np.pi))\n",
        "        s = 1 / (1 + np.exp(-1.702 * x))\n"
        "        return grad_output * (s + 1.702 * x * s * (1 - s))\n",
    ),
    Stranger(
        "ta total variation: dout not used",
        "layer without parameters",
        lambda gl: gl.check_layer(*_tv()),
        lambda: layer(_tv()[0], [_tv()[1]]),
        "wrong",
        "backward does not multiply with dout",
        ("ignores-cotangent",),
        ("img",),
        "        return dimg\n",
        "        return dimg * dout[:, None, None]\n",
    ),
    Stranger(
        "ta Fourier features: hands out its buffer",
        "layer with a preallocated output",
        lambda gl: gl.check_layer(*_ff()),
        lambda: [],
        "habit",
        "forward returns its own buffer, which the next forward overwrites",
        ("aliases-memory",),
        ("coords",),
    ),
]
