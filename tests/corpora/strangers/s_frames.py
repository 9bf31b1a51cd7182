"""Imitations of frameworks."""

import numpy as np

from ._entry import Stranger
from ._help_s import cached, pairs, poke, rng


# ---------------------------------------------------------------- chainer, old style
class Function:
    def __call__(self, *inputs):
        self.inputs = inputs
        outs = self.forward(inputs)
        return outs[0] if len(outs) == 1 else outs


class Maxout(Function):
    def __init__(self, pool_size):
        self.pool_size = pool_size

    def forward(self, inputs):
        x, W, b = inputs
        z = (x @ W + b).reshape(len(x), -1, self.pool_size)
        self.argmax = z.argmax(axis=2)
        return (z.max(axis=2),)

    def backward(self, inputs, grad_outputs):
        x, W, b = inputs
        (gy,) = grad_outputs
        gz = np.zeros((*gy.shape, self.pool_size))
        np.put_along_axis(gz, self.argmax[..., None], gy[..., None], axis=2)
        gz = gz.reshape(len(x), -1)
        return gz @ W.T, x.T @ gz, gz.sum(axis=0)


def _maxout():
    r = rng(41)
    return Maxout(3), r.standard_normal((4, 3)), r.standard_normal((3, 6)), r.standard_normal(6)


# ---------------------------------------------------------------- chainer, new style
class FunctionNode:
    def apply(self, inputs):
        self._retained = None
        self._inputs = inputs
        return self.forward(*inputs)

    def retain_inputs(self, indexes):
        self._retained = [self._inputs[i] for i in indexes]

    def get_retained_inputs(self):
        return self._retained

    def __call__(self, *inputs):
        return self.apply(inputs)


class TanhGate(FunctionNode):
    """signal * tanh(control) ** 2"""

    def forward(self, signal, control):
        self.retain_inputs((0, 1))
        return signal * np.tanh(control) ** 2

    def backward(self, gy):
        signal, control = self.get_retained_inputs()
        t = np.tanh(control)
        gs = gy * t**2
        gc = gy * signal * 2 * t * (1 - t**2)
        return gc, gs


def _gate():
    r = rng(42)
    return TanhGate(), r.standard_normal((3, 4)), r.standard_normal((3, 4))


# ---------------------------------------------------------------- tensorflow 2
class GradientTape:
    def __init__(self):
        self.ops = []

    def record(self, out, parents, pull):
        self.ops.append((out, parents, pull))
        return out

    def matmul(self, a, b):
        return self.record(a @ b, (a, b), lambda g: (g @ b.T, a.T @ g))

    def multiply(self, a, b):
        return self.record(a * b, (a, b), lambda g: (g * b, g * a))

    def tanh(self, a):
        y = np.tanh(a)
        return self.record(y, (a,), lambda g: (g * (1 - y * y),))

    def softplus(self, a):
        return self.record(np.logaddexp(0, a), (a,), lambda g: (g / (1 + np.exp(-a)),))

    def gradient(self, target, sources, output_gradients):
        g = {id(target): output_gradients}
        for out, parents, pull in reversed(self.ops):
            if id(out) in g:
                for p, d in zip(parents, pull(g[id(out)])):
                    g[id(p)] = g[id(p)] + d if id(p) in g else d
        return [g.get(id(s)) for s in sources]


class GatedTwoBranch:
    """h feeds both the value and the gate, and itself once more (h * h)."""

    def __init__(self):
        r = rng(43)
        self.trainable_variables = [r.standard_normal(s) * 0.7 for s in ((3, 4), (4, 2), (4, 2))]

    def forward(self, x):
        W, Wv, Wg = self.trainable_variables
        self.tape = t = GradientTape()
        self.x = x
        h = t.tanh(t.matmul(x, W))
        h2 = t.multiply(h, h)
        self.y = t.multiply(t.matmul(h2, Wv), t.softplus(t.matmul(h, Wg)))
        return self.y

    def backward(self, dy):
        dx, *self.gradients = self.tape.gradient(self.y, [self.x, *self.trainable_variables], dy)
        return dx


def _tape():
    return GatedTwoBranch(), rng(44).standard_normal((3, 3))


# ---------------------------------------------------------------- micrograd
class Value:
    def __init__(self, data, _children=()):
        self.data, self.grad = data, 0.0
        self._prev, self._backward = _children, lambda: None

    def __add__(self, other):
        other = other if isinstance(other, Value) else Value(other)
        out = Value(self.data + other.data, (self, other))

        def _backward():
            self.grad += out.grad
            other.grad += out.grad

        out._backward = _backward
        return out

    def __mul__(self, other):
        out = Value(self.data * other.data, (self, other))

        def _backward():
            self.grad += other.data * out.grad
            other.grad += self.data * out.grad

        out._backward = _backward
        return out

    def __truediv__(self, other):
        out = Value(self.data / other.data, (self, other))

        def _backward():
            self.grad += out.grad / other.data
            other.grad -= self.data / other.data * out.grad

        out._backward = _backward
        return out

    __radd__ = __add__


def backprop(outs, grads):
    topo, seen = [], set()

    def build(v):
        if v not in seen:
            seen.add(v)
            for c in v._prev:
                build(c)
            topo.append(v)

    for o in outs:
        build(o)
    for v in topo:
        v.grad = 0.0
    for o, g in zip(outs, grads):
        o.grad = g
    for v in reversed(topo):
        v._backward()


class RationalNeurons:
    """(w . x) / (1 + (v . x)^2), one per row"""

    def __init__(self, nin, nout):
        r = rng(45)
        self.w = [[Value(float(a)) for a in r.standard_normal(nin)] for _ in range(nout)]
        self.v = [[Value(float(a)) for a in r.standard_normal(nin)] for _ in range(nout)]

    def parameters(self):
        return [p for rows in (self.w, self.v) for row in rows for p in row]

    def forward(self, x):
        self.x = [Value(float(a)) for a in x]
        self.outs = []
        for w, v in zip(self.w, self.v):
            s = sum(a * b for a, b in zip(v, self.x))
            self.outs.append(sum(a * b for a, b in zip(w, self.x)) / (s * s + 1.0))
        return np.array([o.data for o in self.outs])

    def backward(self, dout):
        backprop(self.outs, [float(g) for g in dout])
        return np.array([a.grad for a in self.x])


def _rational():
    return RationalNeurons(3, 2), rng(46).standard_normal(3)


def _prove_rational():
    net, x = _rational()
    g = rng(47).standard_normal(2)
    net.forward(x)
    dx = net.backward(g)
    ps = net.parameters()
    claimed = np.array([p.grad for p in ps])
    theta = np.array([p.data for p in ps])

    def f():
        for p, a in zip(ps, theta):
            p.data = float(a)
        return g @ net.forward(x)

    return [(dx, poke(f, x)), (claimed, poke(f, theta))]


# ---------------------------------------------------------------- torch.nn
class Parameter:
    def __init__(self, data):
        self.data, self.grad = data, np.zeros_like(data)


class Module:
    def __setattr__(self, name, value):
        object.__setattr__(self, name, value)
        if isinstance(value, (Parameter, Module)):
            self.__dict__.setdefault("_kids", {})[name] = value

    def named_parameters(self, prefix=""):
        for name, kid in self.__dict__.get("_kids", {}).items():
            if isinstance(kid, Parameter):
                yield prefix + name, kid
            else:
                yield from kid.named_parameters(prefix + name + ".")

    def parameters(self):
        seen = {id(p): p for _, p in self.named_parameters()}  # tied ones once
        return list(seen.values())

    def zero_grad(self):
        for p in self.parameters():
            p.grad[...] = 0


class Project(Module):
    def __init__(self, weight, bias, transposed=False):
        self.weight, self.bias, self.transposed = weight, bias, transposed

    def forward(self, x):
        self.x = x
        return x @ (self.weight.data.T if self.transposed else self.weight.data) + self.bias.data

    def backward(self, g):
        dw = self.x.T @ g
        self.weight.grad += dw.T if self.transposed else dw
        self.bias.grad += g.sum(axis=0)
        return g @ (self.weight.data if self.transposed else self.weight.data.T)


class TiedAutoencoder(Module):
    """decoder = encoder transposed; gradients add up until zero_grad, as in torch"""

    def __init__(self, n, k):
        r = rng(48)
        w = Parameter(r.standard_normal((n, k)) * 0.6)
        self.encoder = Project(w, Parameter(r.standard_normal(k) * 0.1))
        self.decoder = Project(w, Parameter(r.standard_normal(n) * 0.1), transposed=True)

    def forward(self, x):
        a = self.encoder.forward(x)
        self.c = np.cos(a)
        return self.decoder.forward(np.sin(a))

    def backward(self, g):
        return self.encoder.backward(self.decoder.backward(g) * self.c)


def _tied():
    return TiedAutoencoder(4, 2), rng(49).standard_normal((3, 4))


# ---------------------------------------------------------------- keras
class Highway:
    """weights are made when the first input is seen"""

    def __init__(self, transform_bias=-1.0):
        self.transform_bias, self.built = transform_bias, False

    def build(self, input_shape):
        d, r = input_shape[-1], rng(50)
        self.kernel, self.kernel_t = r.standard_normal((d, d)), r.standard_normal((d, d))
        self.bias_t = np.full(d, self.transform_bias)
        self.trainable_weights = [self.kernel, self.kernel_t, self.bias_t]
        self.built = True

    def __call__(self, x):
        if not self.built:
            self.build(x.shape)
        return self.call(x)

    def call(self, x):
        self.x, self.h = x, np.tanh(x @ self.kernel)
        self.t = 1 / (1 + np.exp(-(x @ self.kernel_t + self.bias_t)))
        return self.t * self.h + (1 - self.t) * x

    def backward(self, dy):
        dh = dy * self.t * (1 - self.h**2)
        dt = dy * (self.h + self.x) * self.t * (1 - self.t)
        self.grads = [self.x.T @ dh, self.x.T @ dt, dt.sum(axis=0)]
        return dy * (1 - self.t) + dh @ self.kernel.T + dt @ self.kernel_t.T


def _highway():
    return Highway(), rng(51).standard_normal((4, 3))


# ---------------------------------------------------------------- caffe
class Blob:
    def __init__(self, data):
        self.data, self.diff = data, np.zeros_like(data)


class Net:
    PROTO = [
        dict(name="ip", type="InnerProduct", bottom=["data"], top="ip"),
        dict(name="pow", type="Power", bottom=["data"], top="pow", power=2.0, scale=0.5, shift=0.3),
        dict(name="sum", type="Eltwise", bottom=["ip", "pow"], top="sum", coeff=(1.0, -0.7)),
        dict(name="prelu", type="PReLU", bottom=["sum"], top="out"),
    ]

    def __init__(self, n):
        r = rng(52)
        self.params = {
            "ip": [Blob(r.standard_normal((n, n))), Blob(r.standard_normal(n))],
            "prelu": [Blob(r.uniform(0.1, 0.4, n))],
        }

    def forward(self, data):
        self.blobs = {"data": Blob(np.array(data))}
        for layer in self.PROTO:
            xs = [self.blobs[b].data for b in layer["bottom"]]
            p = [b.data for b in self.params.get(layer["name"], [])]
            if layer["type"] == "InnerProduct":
                y = xs[0] @ p[0].T + p[1]
            elif layer["type"] == "Power":
                y = (layer["shift"] + layer["scale"] * xs[0]) ** layer["power"]
            elif layer["type"] == "Eltwise":
                y = sum(c * x for c, x in zip(layer["coeff"], xs))
            else:
                y = np.where(xs[0] > 0, xs[0], p[0] * xs[0])
            self.blobs[layer["top"]] = Blob(y)
        return y.copy()

    def backward(self, diff):
        for blob in self.blobs.values():
            blob.diff[...] = 0
        self.blobs["out"].diff[...] = diff
        for layer in reversed(self.PROTO):
            top = self.blobs[layer["top"]].diff
            bots, p = [self.blobs[b] for b in layer["bottom"]], self.params.get(layer["name"])
            x = bots[0].data
            if layer["type"] == "InnerProduct":
                p[0].diff[...] = top.T @ x
                p[1].diff[...] = top.sum(axis=0)
                bots[0].diff += top @ p[0].data
            elif layer["type"] == "Power":
                base = layer["shift"] + layer["scale"] * x
                bots[0].diff += top * layer["power"] * layer["scale"] * base ** (layer["power"] - 1)
            elif layer["type"] == "Eltwise":
                for c, b in zip(layer["coeff"], bots):
                    b.diff += c * top
            else:
                p[0].diff[...] = (top * x * (x <= 0)).sum(axis=0)
                bots[0].diff += np.where(x > 0, top, p[0].data * top)
        return self.blobs["data"].diff.copy()


def _caffe():
    return Net(3), rng(53).standard_normal((4, 3))


class ScaleLayer:
    """Scale with bias along axis 1; blobs[0] is the scale, blobs[1] the bias."""

    def __init__(self, channels, decay=0.05):
        self.blobs = [Blob(np.linspace(0.5, 2, channels)), Blob(np.linspace(-3, 4, channels))]
        self.decay = decay

    def forward(self, bottom):
        self.bottom = bottom
        return bottom * self.blobs[0].data[:, None] + self.blobs[1].data[:, None]

    def backward(self, top_diff):
        self.blobs[0].diff[:] = (top_diff * self.bottom).sum(axis=(0, 2))
        self.blobs[1].diff[:] = top_diff.sum(axis=(0, 2)) + self.decay * self.blobs[1].data
        return top_diff * self.blobs[0].data[:, None]


def _scale():
    return ScaleLayer(3), rng(54).standard_normal((2, 3, 4))


# ---------------------------------------------------------------- theano
class KhatriRao:
    """Column-wise Kronecker product, as an Op."""

    __props__ = ()

    def perform(self, node, inputs, output_storage):
        a, b = inputs
        output_storage[0][0] = (a[:, None] * b[None]).reshape(-1, a.shape[1])

    def grad(self, inputs, output_grads):
        a, b = inputs
        gz = output_grads[0].reshape(len(a), len(b), -1)
        return [(gz * b).sum(axis=1), (gz * a[:, None]).sum(axis=0)]


def apply_op(a, b, op=KhatriRao()):
    storage = [[None]]
    op.perform(None, [a, b], storage)
    return storage[0][0], (op, a, b)


def op_grad(g, cache):
    op, *inputs = cache
    return tuple(op.grad(inputs, [g]))


def _kr():
    r = rng(55)
    return r.standard_normal((3, 2)), r.standard_normal((4, 2))


ENTRIES = [
    Stranger(
        "s: Chainer function maxout",
        "callable, backward(inputs, grad_outputs)",
        lambda gradlab: gradlab.check_layer(*_maxout()),
        lambda: pairs(
            _maxout,
            lambda o, d, x: list(zip(d, x)),
            lambda o, x: o(*x),
            lambda o, g: o.backward(o.inputs, (g,)),
        ),
    ),
    Stranger(
        "s: Chainer function node, tanh gate: the two gradients exchanged",
        "callable, retained inputs, tuple of gradients",
        lambda gradlab: gradlab.check_layer(*_gate()),
        lambda: pairs(_gate, lambda o, d, x: list(zip(d, x)), lambda o, x: o(*x)),
        "wrong",
        "the gradients of signal and control are returned in the wrong order",
        ("swapped-primals",),
        ("signal", "control"),
        "        return gc, gs\n",
        "        return gs, gc\n",
    ),
    Stranger(
        "s: gradient tape, an activation that is used three times",
        "net with a tape, trainable_variables and gradients",
        lambda gradlab: gradlab.check_layer(*_tape()),
        lambda: pairs(_tape, lambda o, d, x: [(d, x[0]), *zip(o.gradients, o.trainable_variables)]),
    ),
    Stranger(
        "s: micrograd's rational neurons: denominator not squared",
        "layer of scalar Values",
        lambda gradlab: gradlab.check_layer(*_rational()),
        _prove_rational,
        "wrong",
        "the gradient of a quotient's denominator is divided by it once instead of twice",
        ("missing-factor",),
        ("v", "x"),
        "            other.grad -= self.data / other.data * out.grad\n",
        "            other.grad -= self.data / other.data**2 * out.grad\n",
    ),
    Stranger(
        "s: module tree, autoencoder with tied weights",
        "Modules with Parameters whose gradients add up",
        lambda gradlab: gradlab.check_layer(*_tied()),
        lambda: pairs(_tied, lambda o, d, x: [(d, x[0])] + [(p.grad, p.data) for p in o.parameters()]),
    ),
    Stranger(
        "s: Keras highway, built lazily: sign of the carried input",
        "callable layer, trainable_weights and grads",
        lambda gradlab: gradlab.check_layer(*_highway()),
        lambda: pairs(
            _highway, lambda o, d, x: [(d, x[0]), *zip(o.grads, o.trainable_weights)], lambda o, x: o(*x)
        ),
        "wrong",
        "the gate's gradient has plus x where 1 - t demands minus x",
        ("sign-flipped",),
        ("kernel_t", "bias_t", "x"),
        "        dt = dy * (self.h + self.x) * self.t * (1 - self.t)\n",
        "        dt = dy * (self.h - self.x) * self.t * (1 - self.t)\n",
    ),
    Stranger(
        "s: Caffe net from a prototxt list",
        "net of blobs with data and diff",
        lambda gradlab: gradlab.check_layer(*_caffe()),
        lambda: pairs(
            _caffe, lambda o, d, x: [(d, x[0])] + [(b.diff, b.data) for bs in o.params.values() for b in bs]
        ),
    ),
    Stranger(
        "s: Caffe scale layer: weight decay left in the bias's diff",
        "layer with blobs",
        lambda gradlab: gradlab.check_layer(*_scale()),
        lambda: pairs(_scale, lambda o, d, x: [(d, x[0])] + [(b.diff, b.data) for b in o.blobs]),
        "wrong",
        "the decay of the bias is added to its gradient though forward has no penalty",
        ("additive-bias",),
        ("blobs[1]",),
        "        self.blobs[1].diff[:] = top_diff.sum(axis=(0, 2)) + self.decay * self.blobs[1].data\n",
        "        self.blobs[1].diff[:] = top_diff.sum(axis=(0, 2))\n",
    ),
    Stranger(
        "s: Theano op, Khatri-Rao product",
        "op with output storage behind a pair",
        lambda gradlab: gradlab.check_cached_pair(apply_op, op_grad, _kr()),
        lambda: cached(apply_op, op_grad, _kr()),
    ),
]
