"""Hobby frameworks: micrograd, tinygrad, Chainer, Keras, JAX and PyTorch, as people rebuild them."""

import math

import numpy as np

from ._entry import Stranger
from ._help_td import drill_attribute, pairs


# ---- micrograd em português
class Valor:
    """guarda um escalar e o seu gradiente"""

    def __init__(self, data, _filhos=()):
        self.data = data
        self.grad = 0.0
        self._backward = lambda: None
        self._anteriores = set(_filhos)

    def __add__(self, outro):
        outro = outro if isinstance(outro, Valor) else Valor(outro)
        saida = Valor(self.data + outro.data, (self, outro))

        def _backward():
            self.grad += saida.grad
            outro.grad += saida.grad

        saida._backward = _backward
        return saida

    def __mul__(self, outro):
        outro = outro if isinstance(outro, Valor) else Valor(outro)
        saida = Valor(self.data * outro.data, (self, outro))

        def _backward():
            self.grad += outro.data * saida.grad
            outro.grad += self.data * saida.grad

        saida._backward = _backward
        return saida

    def tanh(self):
        t = math.tanh(self.data)
        saida = Valor(t, (self,))

        def _backward():
            self.grad += (1 - t * t) * saida.grad

        saida._backward = _backward
        return saida

    def backward(self):
        ordem, visto = [], set()

        def constroi(v):
            if v not in visto:
                visto.add(v)
                for f in v._anteriores:
                    constroi(f)
                ordem.append(v)

        constroi(self)
        self.grad = 1.0
        for v in reversed(ordem):
            v._backward()


class Neuronio:
    def __init__(self, n, sorteio):
        self.w = [Valor(sorteio.uniform(-1, 1)) for _ in range(n)]
        self.b = Valor(0.1)

    def __call__(self, x):
        soma = self.b
        for wi, xi in zip(self.w, x, strict=True):
            soma = soma + wi * xi
        return soma.tanh()


class Rede:
    """3 -> 4 -> 1, perda quadrática contra rótulos +1/-1"""

    def __init__(self, semente=0):
        sorteio = np.random.default_rng(semente)
        self.camadas = [[Neuronio(3, sorteio) for _ in range(4)], [Neuronio(4, sorteio)]]

    def parameters(self):
        return [p for c in self.camadas for n in c for p in [*n.w, n.b]]

    def zero_grad(self):
        for p in self.parameters():
            p.grad = 0.0

    def forward(self, X, y):
        perda = Valor(0.0)
        for linha, alvo in zip(X, y, strict=True):
            a = [float(v) for v in linha]
            for camada in self.camadas:
                a = [n(a) for n in camada]
            erro = a[0] + (-float(alvo))
            perda = perda + erro * erro
        self.perda = perda
        return perda.data

    def backward(self):
        self.zero_grad()
        self.perda.backward()


# ---- tinygrad
class Tensor:
    def __init__(self, data):
        self.data, self.grad, self._ctx = np.asarray(data, dtype=np.float64), None, None

    def deepwalk(self, seen, nodes):
        seen.add(self)
        if self._ctx:
            [p.deepwalk(seen, nodes) for p in self._ctx.parents if p not in seen]
            nodes.append(self)
        return nodes

    def backward(self, seed):
        self.grad = seed
        for t0 in reversed(self.deepwalk(set(), [])):
            for t, g in zip(t0._ctx.parents, t0._ctx.backward(t0.grad), strict=True):
                t.grad = g if t.grad is None else t.grad + g


class Function:
    def __init__(self, *tensors):
        self.parents = tensors

    def save_for_backward(self, *x):
        self.saved_tensors = x

    @classmethod
    def apply(cls, *x):
        ctx = cls(*x)
        ret = Tensor(ctx.forward(*[t.data for t in x]))
        ret._ctx = ctx
        return ret


class Dot(Function):
    def forward(self, x, w):
        self.save_for_backward(x, w)
        return x.dot(w)

    def backward(self, grad_output):
        x, w = self.saved_tensors
        return grad_output.dot(w.T), x.T.dot(grad_output)


class RowScale(Function):
    def forward(self, x, s):
        self.save_for_backward(x, s)
        return x * s

    def backward(self, grad_output):
        x, s = self.saved_tensors
        return grad_output * s, grad_output * x


class TinyNet:
    def __init__(self, seed=0):
        rng = np.random.default_rng(seed)
        self.l1 = Tensor(rng.normal(size=(4, 3)))
        self.s = Tensor(rng.uniform(0.5, 1.5, size=3))

    def forward(self, x):
        self.x = Tensor(x)
        self.out = RowScale.apply(Dot.apply(self.x, self.l1), self.s)
        return self.out.data

    def backward(self, dout):
        self.x.grad = self.l1.grad = self.s.grad = None
        self.out.backward(dout)
        return self.x.grad


# ---- Chainer v1 functions and links
class BilinearFunction:
    """chainer.Function: forward(inputs) and backward(inputs, grad_outputs), both on tuples."""

    def forward(self, inputs):
        e1, e2, W = inputs
        return (np.einsum("ij,ik,jkl->il", e1, e2, W),)

    def backward(self, inputs, grad_outputs):
        e1, e2, W = inputs
        (gy,) = grad_outputs
        kern = np.einsum("ij,ik->ijk", e1, e2)
        gW = np.tensordot(kern, gy, axes=(0, 0))
        ge1 = np.einsum("ik,jkl,il->ij", e2, W, gy)
        ge2 = np.einsum("ij,jkl,il->ik", e1, W, gy)
        return ge1, ge2, gW


class ChannelSwish:
    def __init__(self, channels):
        self.beta = np.linspace(0.5, 1.5, channels)
        self.gbeta = np.empty_like(self.beta)

    def __call__(self, x):
        self.x = x
        self.b = self.beta[None, :, None, None]
        self.sig = 1 / (1 + np.exp(-self.b * x))
        return x * self.sig

    def backward(self, gy):
        dsig = self.sig * (1 - self.sig)
        self.gbeta[...] = np.sum(gy * self.x**2 * dsig, axis=(0, 1, 2))
        return gy * (self.sig + self.b * self.x * dsig)


# ---- Keras, Türkçe
class OtoyolKatmani:
    """y = T(x) * H(x) + (1 - T(x)) * x ; ağırlıklar ilk çağrıda kurulur"""

    def __init__(self, tohum=3):
        self.tohum, self.built = tohum, False

    def build(self, input_shape):
        uretec = np.random.default_rng(self.tohum)
        d = input_shape[-1]
        self.trainable_weights = [
            uretec.normal(0, 0.6, (d, d)),  # H çekirdeği
            np.zeros(d),
            uretec.normal(0, 0.6, (d, d)),  # kapı
            -np.ones(d),
        ]
        self.built = True

    def call(self, inputs):
        wh, bh, wt, bt = self.trainable_weights
        self.girdi = inputs
        self.h = np.maximum(inputs @ wh + bh, 0)
        self.t = 1 / (1 + np.exp(-(inputs @ wt + bt)))
        return self.t * self.h + (1 - self.t) * inputs

    def __call__(self, inputs):
        if not self.built:
            self.build(inputs.shape)
        return self.call(inputs)

    def backward(self, grad):
        wh, _, wt, _ = self.trainable_weights
        dh = grad * self.t * (self.h > 0)
        dt = grad * (self.h - self.girdi) * self.t * (1 - self.t)
        self.gradients = [self.girdi.T @ dh, dh.sum(0), self.girdi.T @ dt, dt.sum(0)]
        return dh @ wh.T + dt @ wt.T + grad * (1 - self.t)


# ---- stax-like: every primitive returns its value and its pullback
def matmul_vjp(x, w):
    return x @ w, lambda g: (g @ w.T, x.T @ g)


def glu_vjp(z):
    a, b = np.split(z, 2, axis=-1)
    s = 1 / (1 + np.exp(-b))
    return a * s, lambda g: np.concatenate([g * s, g * a * s * (1 - s)], axis=-1)


def log_softmax_vjp(z):
    out = z - np.log(np.exp(z).sum(-1, keepdims=True))
    return out, lambda g: g - np.exp(out) * g.sum(-1, keepdims=True)


def glu_classifier(x, w, v):
    z, pull_z = matmul_vjp(x, w)
    h, pull_h = glu_vjp(z)
    u, pull_u = matmul_vjp(h, v)
    out, pull_out = log_softmax_vjp(u)

    def pullback(g):
        gh, gv = pull_u(pull_out(g))
        gx, gw = pull_z(pull_h(gh))
        return gx, gw, gv

    return out, pullback


def glu_classifier_bwd(pullback, g):
    return pullback(g)


# ---- torch.autograd.Function
class Ctx:
    def save_for_backward(self, *args):
        self.saved_tensors = args


class RMSNormFunction:
    @staticmethod
    def forward(ctx, x, weight, eps):
        rms = np.sqrt((x * x).mean(-1, keepdims=True) + eps)
        ctx.save_for_backward(x, weight)
        ctx.eps = eps
        return x / rms * weight

    @staticmethod
    def backward(ctx, grad_output):
        x, weight = ctx.saved_tensors
        rms = np.sqrt((x * x).mean(-1, keepdims=True)) + ctx.eps
        gx = grad_output * weight
        grad_x = gx / rms - x * (gx * x).mean(-1, keepdims=True) / rms**3
        grad_weight = (grad_output * x / rms).sum(0)
        return grad_x, grad_weight


class RMSNorm:
    def __init__(self, dim, eps=1e-2):
        self.weight = np.linspace(0.8, 1.3, dim)
        self.weight_grad = np.zeros(dim)
        self.eps = eps

    def forward(self, x):
        self.ctx = Ctx()
        return RMSNormFunction.forward(self.ctx, x, self.weight, self.eps)

    def backward(self, grad_output):
        grad_x, self.weight_grad = RMSNormFunction.backward(self.ctx, grad_output)
        return grad_x


# ---- nn.Module, tied weights
class Parameter:
    def __init__(self, data):
        self.data = data
        self.grad = None


class TiedAutoencoder:
    def __init__(self, n_in, n_hidden, seed=1):
        gen = np.random.default_rng(seed)
        self.weight = Parameter(gen.normal(0, 0.5, (n_in, n_hidden)))
        self.bias = Parameter(gen.normal(0, 0.1, n_in))

    def parameters(self):
        yield self.weight
        yield self.bias

    def forward(self, x):
        self.x = x
        self.code = np.tanh(x @ self.weight.data)
        return self.code @ self.weight.data.T + self.bias.data

    def backward(self, grad):
        self.bias.grad = grad.sum(0)
        self.weight.grad = grad.T @ self.code
        grad_pre = (grad @ self.weight.data) * (1 - self.code**2)
        self.weight.grad = self.x.T @ grad_pre
        return grad_pre @ self.weight.data.T


# ---- uma fita de fechos
class SoftplusRegressor:
    """The tape is a list of closures; backward pops them."""

    def __init__(self):
        g = np.random.default_rng(8)
        self.params = {"A": g.normal(size=(5, 4)), "c": g.normal(size=4), "r": g.normal(size=(4, 2))}
        self.grads = {}

    def forward(self, X):
        tape = self.tape = []
        A, c, r = self.params["A"], self.params["c"], self.params["r"]
        z = X @ A + c

        def first(up):
            self.grads["A"], self.grads["c"] = X.T @ up, up.sum(axis=0)
            return up @ A.T

        tape.append(first)
        h = np.logaddexp(0, z)
        tape.append(lambda up: up / (1 + np.exp(-z)))

        def last(up):
            self.grads["r"] = h.T @ up
            return up @ r.T

        tape.append(last)
        return h @ r

    def backward(self, up):
        while self.tape:
            up = self.tape.pop()(up)
        return up


# ---- a gist without zero_grad
class ElmanCellGist:
    def __init__(self, d, h):
        r = np.random.RandomState(4)
        self.p = dict(U=r.randn(d, h) * 0.4, V=r.randn(h, h) * 0.4)
        self.g = {k: np.zeros_like(v) for k, v in self.p.items()}

    def forward(self, x, h):
        self.x, self.h = x, h
        self.o = np.tanh(x @ self.p["U"] + h @ self.p["V"])
        return self.o

    def backward(self, do):
        da = do * (1 - self.o**2)
        self.g["U"] += self.x.T @ da
        self.g["V"] += self.h.T @ da
        return da @ self.p["U"].T, da @ self.p["V"].T


def _rng(seed=0):
    return np.random.default_rng(seed)


def _xy():
    return _rng(1).normal(size=(5, 3)), np.array([1, -1, -1, 1, 1])


def _prove_rede():
    net = Rede()
    X, y = _xy()
    net.forward(X, y)
    net.backward()
    claimed = np.array([p.grad for p in net.parameters()])
    return [(claimed, drill_attribute(lambda: net.forward(X, y), net.parameters()))]


def _layer(net, x, of, grads):
    """x, then what `of` and `grads` fetch."""
    dout = _rng(9).normal(size=net(x).shape) if callable(net) else _rng(9).normal(size=net.forward(x).shape)
    run = net if callable(net) else net.forward
    dx = net.backward(dout)
    return pairs([dx, *grads(net)], lambda: run(x) * dout, x, *of(net))


def _prove_bilinear():
    f, xs = BilinearFunction(), _triple()
    g = _rng(9).normal(size=f.forward(xs)[0].shape)
    return pairs(f.backward(xs, (g,)), lambda: f.forward(xs)[0] * g, *xs)


def _triple():
    r = _rng(2)
    return r.normal(size=(4, 3)), r.normal(size=(4, 2)), r.normal(size=(3, 2, 5))


def _glu():
    r = _rng(5)
    return r.normal(size=(4, 3)), r.normal(size=(3, 10)), r.normal(size=(5, 3))


def _prove_glu():
    xs = _glu()
    out, pull = glu_classifier(*xs)
    g = _rng(9).normal(size=out.shape)
    return pairs(pull(g), lambda: glu_classifier(*xs)[0] * g, *xs)


def _check_bilinear(gradlab):
    f = BilinearFunction()
    back = lambda xs, g: f.backward(xs, (g,))  # noqa: E731
    return gradlab.check_vjp(lambda *xs: (f.forward(xs)[0], xs), back, _triple())


def _x(*shape, scale=1.0):
    return _rng(6).normal(size=shape) * scale


ENTRIES = [
    Stranger(
        "td micrograd in Portuguese: a net of scalar Valor objects",
        "scalar engine, loss net with parameters()",
        lambda gradlab: gradlab.check_layer(Rede(), *_xy()),
        _prove_rede,
    ),
    Stranger(
        "td tinygrad RowScale in a small net: no sum over the batch",
        "net of Function objects with Tensor parameters",
        lambda gradlab: gradlab.check_layer(TinyNet(), _x(5, 4)),
        lambda: _layer(TinyNet(), _x(5, 4), lambda n: [n.l1.data, n.s.data], lambda n: [n.l1.grad, n.s.grad]),
        "wrong",
        "the gradient of the scale, which is broadcast over the rows, is not summed over them",
        ("missing-broadcast-sum", "wrong-shape"),
        ("s",),
        "        return grad_output * s, grad_output * x\n",
        "        return grad_output * s, (grad_output * x).sum(0)\n",
    ),
    Stranger(
        "td Chainer v1 bilinear function on tuples",
        "forward(inputs), backward(inputs, grad_outputs), wrapped for check_vjp",
        _check_bilinear,
        _prove_bilinear,
    ),
    Stranger(
        "td Chainer link swish with a beta per channel: summed over the wrong axes",
        "callable link, gradient in gbeta",
        lambda gradlab: gradlab.check_layer(ChannelSwish(3), _x(2, 3, 2, 3)),
        lambda: _layer(ChannelSwish(3), _x(2, 3, 2, 3), lambda n: [n.beta], lambda n: [n.gbeta]),
        "wrong",
        "beta's gradient is summed over the channels and not over the last axis",
        ("wrong-sum-axis",),
        ("beta",),
        "axis=(0, 1, 2))",
        "axis=(0, 2, 3))",
    ),
    Stranger(
        "td Keras highway layer in Turkish, built on the first call",
        "callable layer with trainable_weights and gradients lists",
        lambda gradlab: gradlab.check_layer(OtoyolKatmani(), _x(6, 4)),
        lambda: _layer(OtoyolKatmani(), _x(6, 4), lambda n: n.trainable_weights, lambda n: n.gradients),
    ),
    Stranger(
        "td stax-like classifier: the residual is the pullback",
        "forward and backward for check_vjp, closure as residual",
        lambda gradlab: gradlab.check_vjp(glu_classifier, glu_classifier_bwd, _glu()),
        _prove_glu,
    ),
    Stranger(
        "td torch RMSNorm function: epsilon outside the root in backward",
        "module around a Function with ctx",
        lambda gradlab: gradlab.check_layer(RMSNorm(5), _x(4, 5, scale=0.3)),
        lambda: _layer(RMSNorm(5), _x(4, 5, scale=0.3), lambda n: [n.weight], lambda n: [n.weight_grad]),
        "wrong",
        "backward adds epsilon to the root, forward adds it below the root",
        ("epsilon-mismatch", "other-approximation"),
        ("x", "weight"),
        "        rms = np.sqrt((x * x).mean(-1, keepdims=True)) + ctx.eps\n",
        "        rms = np.sqrt((x * x).mean(-1, keepdims=True) + ctx.eps)\n",
    ),
    Stranger(
        "td torch tied autoencoder: the encoder's share overwrites the decoder's",
        "module with Parameter objects from a generator",
        lambda gradlab: gradlab.check_layer(TiedAutoencoder(5, 3), _x(6, 5)),
        lambda: _layer(
            TiedAutoencoder(5, 3),
            _x(6, 5),
            lambda n: [n.weight.data, n.bias.data],
            lambda n: [n.weight.grad, n.bias.grad],
        ),
        "wrong",
        "the tied weight's second share is assigned instead of added",
        ("last-write-wins", "missing-term"),
        ("weight",),
        "        self.weight.grad = self.x.T @ grad_pre\n",
        "        self.weight.grad += self.x.T @ grad_pre\n",
    ),
    Stranger(
        "td softplus regressor with a tape of closures that backward pops",
        "net with params dict and grads dict",
        lambda gradlab: gradlab.check_layer(SoftplusRegressor(), _x(3, 5)),
        lambda: _layer(
            SoftplusRegressor(),
            _x(3, 5),
            lambda n: list(n.params.values()),
            lambda n: [n.grads[k] for k in n.params],
        ),
    ),
    Stranger(
        "td Elman cell gist: gradients add up and nothing ever clears them",
        "layer with p and g dicts, two inputs",
        lambda gradlab: gradlab.check_layer(ElmanCellGist(3, 4), _x(2, 3), _x(2, 4)),
        lambda: [],
        "habit",
        "the parameters' gradients are added to those of the call before, and there is no way to clear them",
        ("accumulates",),
        ("U", "V"),
    ),
]
