"""Little frameworks after micrograd, tinygrad, Chainer, Keras and JAX."""

import math

import numpy as np

from ._entry import Stranger
from ._help_z import num, pairs


class Value:
    """stores a single scalar value and its gradient (after karpathy)"""

    def __init__(self, data, _children=()):
        self.data, self.grad = float(data), 0.0
        self._prev, self._backward = _children, lambda: None

    def __add__(self, other):
        other = other if isinstance(other, Value) else type(self)(other)
        out = type(self)(self.data + other.data, (self, other))

        def _backward():
            self.grad += out.grad
            other.grad += out.grad

        out._backward = _backward
        return out

    def __mul__(self, other):
        other = other if isinstance(other, Value) else type(self)(other)
        out = type(self)(self.data * other.data, (self, other))

        def _backward():
            self.grad += other.data * out.grad
            other.grad += self.data * out.grad

        out._backward = _backward
        return out

    def tanh(self):
        out = type(self)(math.tanh(self.data), (self,))

        def _backward():
            self.grad += (1 - out.data**2) * out.grad

        out._backward = _backward
        return out

    def log(self):
        out = type(self)(math.log(self.data), (self,))

        def _backward():
            self.grad += out.grad / self.data

        out._backward = _backward
        return out

    def backward(self):
        topo, visited = [], set()

        def build(v):
            if v not in visited:
                visited.add(v)
                for c in v._prev:
                    build(c)
                topo.append(v)

        build(self)
        self.grad = 1.0
        for v in reversed(topo):
            v._backward()

    __radd__ = __add__
    __rmul__ = __mul__


MOONS = [((0.9, 0.2), 1.0), ((-0.7, 0.6), 1.0), ((0.3, -0.4), -1.0), ((1.6, -0.3), -1.0)]


def moons_loss(ws):
    """2-3-1 net out of 13 Values, squared error on four points"""
    total = 0.0
    for (a, b), y in MOONS:
        hidden = [(ws[3 * i] * a + ws[3 * i + 1] * b + ws[3 * i + 2]).tanh() for i in range(3)]
        err = sum(h * w for h, w in zip(hidden, ws[9:12], strict=True)) + ws[12] + -y
        total = err * err + total
    return total


def loss_at(w):
    return moons_loss([Value(v) for v in w]).data


def grad_at(w):
    values = [Value(v) for v in w]
    moons_loss(values).backward()
    return np.array([v.grad for v in values])


def w0():
    return np.random.default_rng(1).normal(0, 0.8, 13)


def prove_moons():
    w = w0()
    return [(grad_at(w), num(lambda: loss_at(w), w))]


class ValueExp(Value):
    def exp(self):
        out = type(self)(math.exp(self.data), (self,))

        def _backward():
            self.grad += self.data * out.grad

        out._backward = _backward
        return out


class CharBigram:
    """makemore without tensors: -log softmax of one row of scores"""

    def __init__(self, target):
        self.target = target

    def _nll(self, logits):
        vs = [ValueExp(v) for v in logits]
        return vs, sum(v.exp() for v in vs).log() + vs[self.target] * -1.0

    def nll(self, logits):
        return self._nll(logits)[1].data

    def nll_grad(self, logits):
        vs, loss = self._nll(logits)
        loss.backward()
        return np.array([v.grad for v in vs])


LOGITS = (0.3, -1.2, 2.0, 0.7, -0.4)


def prove_bigram():
    m, z = CharBigram(2), np.array(LOGITS)
    return [(m.nll_grad(z), num(lambda: m.nll(z), z))]


class Tensor:
    def __init__(self, data):
        self.data, self.grad, self._ctx = np.asarray(data, dtype=np.float64), None, None

    def backward(self, grad=None):
        self.grad = np.ones_like(self.data) if grad is None else grad
        todo = [self]
        while todo:  # the graphs here are chains, so no topological sort
            t = todo.pop()
            if t._ctx is None:
                continue
            grads = t._ctx.backward(t.grad)
            for p, g in zip(t._ctx.parents, grads if isinstance(grads, tuple) else (grads,), strict=True):
                p.grad = g
                todo.append(p)


class Function:
    def __init__(self, *tensors):
        self.parents, self.saved_tensors = tensors, ()

    def save_for_backward(self, *x):
        self.saved_tensors = x

    @classmethod
    def apply(cls, *tensors):
        ctx = cls(*tensors)
        ret = Tensor(ctx.forward(*(t.data for t in tensors)))
        ret._ctx = ctx
        return ret


class Dot(Function):
    def forward(self, x, w):
        self.save_for_backward(x, w)
        return x @ w

    def backward(self, grad_output):
        x, w = self.saved_tensors
        return grad_output @ w.T, x.T @ grad_output


class Cumax(Function):
    def forward(self, x):
        e = np.exp(x - x.max(axis=-1, keepdims=True))
        s = e / e.sum(axis=-1, keepdims=True)
        self.save_for_backward(s)
        return s.cumsum(axis=-1)

    def backward(self, grad_output):
        (s,) = self.saved_tensors
        ds = grad_output[..., ::-1].cumsum(axis=-1)[..., ::-1]
        return s * (ds - (s * ds).sum(axis=-1, keepdims=True))


class MasterGate:
    """the master forget gate of ON-LSTM, alone"""

    def __init__(self, n_in, n_out):
        self.w = Tensor(np.random.default_rng(2).normal(0, 0.7, (n_in, n_out)))

    def __call__(self, x):
        return Cumax.apply(Dot.apply(x, self.w))

    def get_parameters(self):
        return [self.w]


def gate_in():
    return Tensor(np.random.default_rng(3).standard_normal((4, 3)))


def prove_gate():
    m, x = MasterGate(3, 5), gate_in()

    def back(g):
        m(x).backward(g)
        return x.grad, m.w.grad

    return pairs(lambda: m(x).data, back, x.data, m.w.data)


def unbroadcast(g, shape):
    while g.ndim > len(shape):
        g = g.sum(axis=0)
    return g


class Mul(Function):
    def forward(self, x, y):
        self.save_for_backward(x, y)
        return x * y

    def backward(self, grad_output):
        x, y = self.saved_tensors
        return grad_output * y, unbroadcast(grad_output * x, y.shape)


def mul_in():
    r = np.random.default_rng(4)
    return r.standard_normal((2, 4, 3)), r.uniform(0.5, 2, (4, 1))


def prove_mul():
    x, y = mul_in()
    f = Mul()
    return pairs(lambda: f.forward(x, y), f.backward, x, y)


class FunkcjaChainer:
    def __call__(self, *wejscia):
        self.inputs = wejscia
        wyniki = self.forward(wejscia)
        return wyniki[0] if len(wyniki) == 1 else wyniki


class PReLU(FunkcjaChainer):
    """PReLU z jednym nachyleniem na kanal (NCHW)."""

    def forward(self, inputs):
        x, a = inputs
        return (np.where(x > 0, x, a[:, None, None] * x),)

    def backward(self, inputs, grad_outputs):
        x, a = inputs
        (gy,) = grad_outputs
        ujemne = x <= 0
        gx = gy.copy()
        gx[ujemne] *= np.broadcast_to(a[:, None, None], x.shape)[ujemne]
        return gx, np.where(ujemne, gy * x, 0).sum(axis=(0, 2, 3))


def prelu_we():
    r = np.random.default_rng(5)
    return r.standard_normal((2, 3, 2, 4)), np.array([0.25, 0.1, -0.3])


def dowod_prelu():
    f, we = PReLU(), prelu_we()
    return pairs(lambda: f.forward(we)[0], lambda g: f.backward(we, (g,)), *we)


class Bilinear:
    """L.Bilinear: y = e1 W e2, gradients add up until cleargrads()."""

    def __init__(self, size, out_size):
        self.W = np.random.default_rng(6).normal(0, 0.5, (size, size, out_size))
        self.cleargrads()

    def cleargrads(self):
        self.gW = np.zeros_like(self.W)

    def forward(self, e1, e2):
        self.e1, self.e2 = e1, e2
        return np.einsum("bi,bj,ijk->bk", e1, e2, self.W)

    def backward(self, gy):
        self.gW += np.einsum("bi,bj,bk->ijk", self.e1, self.e2, gy)
        ge1 = np.einsum("bk,bj,jik->bi", gy, self.e2, self.W)
        ge2 = np.einsum("bk,bi,ijk->bj", gy, self.e1, self.W)
        return ge1, ge2


def bil_in():
    r = np.random.default_rng(7)
    return r.standard_normal((5, 3)), r.standard_normal((5, 3))


def prove_bilinear():
    link, e = Bilinear(3, 2), bil_in()
    return pairs(lambda: link.forward(*e), lambda g: (*link.backward(g), link.gW), *e, link.W)


class Layer:  # keras, roughly
    built = False

    def __call__(self, inputs, training=None):
        if not self.built:
            self.build(inputs.shape)
            self.built = True
        return self.call(inputs)


class RMSNormalization(Layer):
    def __init__(self, epsilon=1e-3, scale_init=0.5):
        self.epsilon, self.scale_init = epsilon, scale_init

    def build(self, input_shape):
        n = input_shape[-1]
        self.trainable_weights = [np.ones(n), self.scale_init * np.arange(1.0, n + 1)]

    def call(self, inputs):
        gamma, layer_scale = self.trainable_weights
        self.r = 1 / np.sqrt(np.mean(inputs**2, axis=-1, keepdims=True) + self.epsilon)
        self.xhat = inputs * self.r
        return inputs + layer_scale * (gamma * self.xhat)

    def backward(self, grad):
        gamma, layer_scale = self.trainable_weights
        axes = tuple(range(grad.ndim - 1))
        gx = grad * layer_scale * gamma
        self.gradients = [
            (grad * layer_scale * self.xhat).sum(axis=axes),
            (grad * gamma * self.xhat).sum(axis=axes),
        ]
        return grad + self.r * (gx - self.xhat * np.mean(gx * self.xhat, axis=-1, keepdims=True))


def rms_in():
    return np.random.default_rng(8).standard_normal((2, 3, 4))


def prove_rms():
    m, x = RMSNormalization(), rms_in()
    m(x)
    return pairs(lambda: m(x), lambda g: (m.backward(g), *m.gradients), x, *m.trainable_weights)


class ScaleNorm(Layer):
    def __init__(self, eps=0.05):
        self.eps = eps

    def build(self, input_shape):
        self.g = np.full(1, input_shape[-1] ** 0.5)

    def call(self, inputs):
        self.x = inputs
        self.norm = np.sqrt(np.sum(inputs**2, axis=-1, keepdims=True))
        return self.g * inputs / (self.norm + self.eps)

    def backward(self, grad):
        n = self.norm + self.eps
        self.dg = np.array([np.sum(grad * self.x / n)])
        along = np.sum(grad * self.x, axis=-1, keepdims=True)
        return self.g * (grad / n - self.x * along / self.norm**3)


def scale_in():
    return np.random.default_rng(9).normal(0, 0.4, (4, 3))


def prove_scale():
    m, x = ScaleNorm(), scale_in()
    m(x)
    return pairs(lambda: m(x), lambda g: (m.backward(g), m.dg), x, m.g)


class custom_vjp:
    def __init__(self, fun):
        self.fun, self.__doc__ = fun, fun.__doc__

    def defvjp(self, fwd, bwd):
        self.fwd, self.bwd = fwd, bwd

    def __call__(self, *args):
        return self.fun(*args)


@custom_vjp
def sparsemax(z):
    """Projection of each row onto the simplex."""
    u = -np.sort(-z, axis=-1)
    css = u.cumsum(axis=-1) - 1
    k = np.sum(u * np.arange(1, z.shape[-1] + 1) > css, axis=-1, keepdims=True)
    return np.maximum(z - np.take_along_axis(css, k - 1, axis=-1) / k, 0)


def sparsemax_fwd(z):
    p = sparsemax(z)
    return p, p > 0


def sparsemax_bwd(support, g):
    g = np.where(support, g, 0)
    return (np.where(support, g - g.sum(-1, keepdims=True) / support.sum(-1, keepdims=True), 0),)


sparsemax.defvjp(sparsemax_fwd, sparsemax_bwd)


def rows():
    return np.random.default_rng(10).normal(0, 0.8, (4, 5))


def prove_sparsemax():
    z = rows()
    return pairs(lambda: sparsemax(z), lambda g: sparsemax.bwd(sparsemax.fwd(z)[1], g), z)


def scan(f, carry, xs):
    ys = []
    for x in xs:
        carry, y = f(carry, x)
        ys.append(y)
    return carry, np.stack(ys)


def ema(xs, logit, h0):
    """Exponential moving average along axis 0; returns the averages and their pullback."""
    a = 1 / (1 + np.exp(-logit))
    _, hs = scan(lambda h, x: (a * h + (1 - a) * x,) * 2, h0, xs)

    def pullback(g):
        before = np.concatenate([h0[None], hs[:-1]])
        step = lambda dh, t: (a * (t[0] + dh), t[0] + dh)  # noqa: E731
        dh0, dhs = scan(step, np.zeros_like(h0), list(zip(g))[::-1])
        dhs = dhs[::-1]
        return (1 - a) * dhs, a * (1 - a) * np.sum(dhs * (before - xs), axis=0), dh0

    return hs, pullback


def ema_in():
    r = np.random.default_rng(11)
    return r.standard_normal((6, 3)), np.array([0.5, -1.0, 2.0]), r.standard_normal(3)


def prove_ema():
    a = ema_in()
    return pairs(lambda: ema(*a)[0], lambda g: ema(*a)[1](g), *a)


ENTRIES = [
    Stranger(
        "z micrograd 2-3-1 net on moons",
        "f and grad over scalar Values",
        lambda gradlab: gradlab.check_gradient(loss_at, grad_at, w0()),
        prove_moons,
    ),
    Stranger(
        "z micrograd bigram: exp's slope is its argument",
        "f and grad as methods, scalar Values",
        lambda gradlab: gradlab.check_gradient(CharBigram(2).nll, CharBigram(2).nll_grad, np.array(LOGITS)),
        prove_bigram,
        "wrong",
        "exp multiplies by self.data where out.data belongs",
        ("wrong-operand", "missing-factor"),
        ("logits",),
        "            self.grad += self.data * out.grad",
        "            self.grad += out.data * out.grad",
    ),
    Stranger(
        "z tinygrad master gate (cumax)",
        "module called with a Tensor, tape",
        lambda gradlab: gradlab.check_layer(MasterGate(3, 5), gate_in()),
        prove_gate,
    ),
    Stranger(
        "z tinygrad Mul: axes of size one are not summed",
        "Function with save_for_backward",
        lambda gradlab: gradlab.check_layer(Mul(), *mul_in()),
        prove_mul,
        "wrong",
        "the gradient is summed over leading axes only, not over the axis of size one that was broadcast",
        ("missing-broadcast-sum", "wrong-shape"),
        ("y",),
        "        g = g.sum(axis=0)\n    return g",
        "        g = g.sum(axis=0)\n"
        "    return g.sum(axis=tuple(i for i, n in enumerate(shape) if n == 1), keepdims=True)",
    ),
    Stranger(
        "z Chainer PReLU per channel",
        "old Chainer Function: tuples in, tuples out",
        lambda gradlab: gradlab.check_layer(PReLU(), prelu_we()),
        dowod_prelu,
    ),
    Stranger(
        "z Chainer Bilinear: W transposed",
        "Link whose gradients add up until cleargrads",
        lambda gradlab: gradlab.check_layer(Bilinear(3, 2), *bil_in()),
        prove_bilinear,
        "wrong",
        "the gradient of e1 takes W with its first two axes exchanged",
        ("transposed", "axes-permuted", "wrong-operand"),
        ("e1",),
        '        ge1 = np.einsum("bk,bj,jik->bi", gy, self.e2, self.W)',
        '        ge1 = np.einsum("bk,bj,ijk->bi", gy, self.e2, self.W)',
    ),
    Stranger(
        "z Keras RMS norm with layer scale",
        "layer built at its first call, trainable_weights",
        lambda gradlab: gradlab.check_layer(RMSNormalization(), rms_in()),
        prove_rms,
    ),
    Stranger(
        "z Keras scale norm: epsilon left out",
        "layer built at its first call, attribute gradient",
        lambda gradlab: gradlab.check_layer(ScaleNorm(), scale_in()),
        prove_scale,
        "wrong",
        "the second term is divided by the norm cubed, without the epsilon that forward adds to the norm",
        ("epsilon-mismatch", "wrong-operand"),
        ("inputs",),
        "        return self.g * (grad / n - self.x * along / self.norm**3)",
        "        return self.g * (grad / n - self.x * along / (self.norm * n**2))",
    ),
    Stranger(
        "z JAX sparsemax",
        "custom_vjp with fwd and bwd",
        lambda gradlab: gradlab.check_vjp(sparsemax.fwd, sparsemax.bwd, (rows(),)),
        prove_sparsemax,
    ),
    Stranger(
        "z JAX exponential moving average",
        "function that returns its pullback",
        lambda gradlab: gradlab.check_vjp(ema, lambda pullback, g: pullback(g), ema_in()),
        prove_ema,
    ),
]
