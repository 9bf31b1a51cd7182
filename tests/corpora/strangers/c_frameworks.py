"""Small frameworks of one's own: tapes, containers, closures."""

from types import SimpleNamespace

import numpy as np

from ._entry import Stranger
from ._help_c import central, cotangent, pairs


def rng(seed):
    return np.random.default_rng(seed)


# ---------------------------------------------------------------- a tape on arrays


class Tensor:
    def __init__(self, data, _prev=()):
        self.data = np.asarray(data, dtype=float)
        self.grad = np.zeros_like(self.data)
        self._prev = _prev
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
                    g = g.sum(axis=0)
                t.grad += g

        out._backward = _backward
        return out

    def tanh(self):
        out = Tensor(np.tanh(self.data), (self,))

        def _backward():
            self.grad += (1 - out.data**2) * out.grad

        out._backward = _backward
        return out

    def backward(self, seed):
        order, seen = [], set()

        def visit(v):
            if id(v) not in seen:
                seen.add(id(v))
                for u in v._prev:
                    visit(u)
                order.append(v)

        visit(self)
        self.grad = np.array(seed, dtype=float)
        for v in reversed(order):
            v._backward()


class TapeMLP:
    """The hidden layer is used twice."""

    def __init__(self, n_in, n_hidden, n_out, seed):
        r = np.random.default_rng(seed)
        self.w_in = Tensor(0.5 * r.standard_normal((n_in, n_hidden)))
        self.w_hid = Tensor(0.5 * r.standard_normal((n_hidden, n_hidden)))
        self.b_hid = Tensor(0.1 * r.standard_normal(n_hidden))
        self.w_out = Tensor(0.5 * r.standard_normal((n_hidden, n_out)))

    def parameters(self):
        return [self.w_in, self.w_hid, self.b_hid, self.w_out]

    def zero_grad(self):
        for p in self.parameters():
            p.grad = np.zeros_like(p.data)

    def forward(self, x):
        self.x = Tensor(x)
        h = (self.x @ self.w_in).tanh()
        for _ in range(2):
            h = (h @ self.w_hid + self.b_hid).tanh()
        self.y = h @ self.w_out
        return self.y.data

    def backward(self, dy):
        self.y.backward(dy)
        return self.x.grad


def make_tape():
    return TapeMLP(3, 4, 2, seed=601), rng(602).standard_normal((5, 3))


def prove_tape():
    net, x = make_tape()
    d = cotangent(*net.forward(x).shape)
    net.zero_grad()
    dx = net.backward(d)
    return pairs(lambda: np.sum(net.forward(x) * d), (dx, x), *[(p.grad, p.data) for p in net.parameters()])


# ---------------------------------------------------------------- arrays that carry their gradient


class Arr(np.ndarray):
    """An array with room for g, its gradient."""

    g = None


def arr(a):
    return np.array(a, dtype=float).view(Arr)


class Lin:
    def __init__(self, w, b):
        self.w, self.b = arr(w), arr(b)

    def __call__(self, inp):
        self.inp = inp
        self.out = arr(inp @ self.w + self.b)
        return self.out

    def backward(self):
        self.inp.g = self.out.g @ self.w.T
        self.w.g = self.inp.T @ self.out.g
        self.b.g = self.out.g.sum(0)


class Swish:
    def __call__(self, inp):
        self.inp, self.s = inp, 1 / (1 + np.exp(-inp))
        self.out = arr(inp * self.s)
        return self.out

    def backward(self):
        self.inp.g = self.out.g * (self.s + self.inp * self.s * (1 - self.s))


class Mse:
    def __call__(self, inp, targ):
        self.inp, self.targ = inp, targ
        return float(np.mean((inp[:, 0] - targ) ** 2))

    def backward(self):
        self.inp.g = arr(2 * (self.inp[:, 0] - self.targ)[:, None] / self.targ.shape[0])


class Model:
    def __init__(self, w1, b1, w2, b2):
        self.layers = [Lin(w1, b1), Swish(), Lin(w2, b2)]
        self.loss_func = Mse()

    def __call__(self, x, targ):
        self.x = x = arr(x)
        for l in self.layers:
            x = l(x)
        return self.loss_func(x, targ)

    def backward(self):
        self.loss_func.backward()
        for l in reversed(self.layers):
            l.backward()


def make_fast():
    r = rng(603)
    model = Model(0.7 * r.standard_normal((4, 5)), np.zeros(5), 0.7 * r.standard_normal((5, 1)), np.zeros(1))
    return model, r.standard_normal((6, 4)), r.standard_normal(6)


def prove_fast():
    model, x, t = make_fast()
    model(x, t)
    model.backward()
    lins = model.layers[0], model.layers[2]
    return pairs(
        lambda: model(x, t), (model.x.g, x), *[(l.w.g, l.w) for l in lins], *[(l.b.g, l.b) for l in lins]
    )


# ---------------------------------------------------------------- containers


class Parameter:
    def __init__(self, value):
        self.value = value
        self.grad = np.zeros_like(value)


class Linear:
    def __init__(self, n_in, n_out, r, bias=True):
        self.w = Parameter(r.standard_normal((n_in, n_out)) / np.sqrt(n_in))
        self.b = Parameter(0.1 * r.standard_normal(n_out)) if bias else None

    def parameters(self):
        return [self.w] + ([self.b] if self.b else [])

    def forward(self, x):
        self.x = x
        y = x @ self.w.value
        return y + self.b.value if self.b else y

    def backward(self, dy):
        self.w.grad += self.x.T @ dy
        if self.b:
            self.b.grad += dy.sum(axis=0)
        return dy @ self.w.value.T


class Softplus:
    def parameters(self):
        return []

    def forward(self, x):
        self.x = x
        return np.logaddexp(0, x)

    def backward(self, dy):
        return dy / (1 + np.exp(-self.x))


class Residual:
    def __init__(self, *inner):
        self.inner = Sequential(*inner)

    def parameters(self):
        return self.inner.parameters()

    def forward(self, x):
        return x + self.inner.forward(x)

    def backward(self, dy):
        return dy + self.inner.backward(dy)


class Sequential:
    def __init__(self, *layers):
        self.layers = list(layers)

    def parameters(self):
        return [p for layer in self.layers for p in layer.parameters()]

    def zero_grad(self):
        for p in self.parameters():
            p.grad.fill(0)

    def forward(self, x):
        for layer in self.layers:
            x = layer.forward(x)
        return x

    def backward(self, dy):
        for layer in self.layers[::-1]:
            dy = layer.backward(dy)
        return dy

    def fit(self, x, t, lr=0.1, epochs=10):
        for _ in range(epochs):
            self.zero_grad()
            self.backward((self.forward(x) - t) / len(x))
            for p in self.parameters():
                p.value -= lr * p.grad
        return self


def make_sequential():
    r = rng(604)
    return (
        Sequential(
            Linear(4, 5, r),
            Residual(Linear(5, 5, r), Softplus(), Linear(5, 5, r, bias=False)),
            Softplus(),
            Linear(5, 2, r),
        ),
        r.standard_normal((3, 4)),
    )


def prove_sequential():
    net, x = make_sequential()
    d = cotangent(*net.forward(x).shape)
    net.zero_grad()
    dx = net.backward(d)
    return pairs(lambda: np.sum(net.forward(x) * d), (dx, x), *[(p.grad, p.value) for p in net.parameters()])


class Rotation:
    """A square weight, then sin."""

    def __init__(self, n, r):
        self.W = r.standard_normal((n, n)) / np.sqrt(n)
        self.dW = None

    def forward(self, x):
        self.x, self.z = x, x @ self.W
        return np.sin(self.z)

    def backward(self, dy):
        dz = dy * np.cos(self.z)
        self.dW = self.x.T @ dz
        return dz @ self.W.T


class Chain:
    def __init__(self, layers):
        self.layers = layers

    def forward(self, x):
        for layer in self.layers:
            x = layer.forward(x)
        return x

    def backward(self, dy):
        for layer in self.layers:
            dy = layer.backward(dy)
        return dy


def make_chain():
    r = rng(605)
    return Chain([Rotation(4, r) for _ in range(3)]), r.standard_normal((5, 4))


def prove_chain():
    net, x = make_chain()
    d = cotangent(*net.forward(x).shape)
    dx = net.backward(d)
    return pairs(lambda: np.sum(net.forward(x) * d), (dx, x), *[(l.dW, l.W) for l in net.layers])


# ---------------------------------------------------------------- mixture of experts


class MixtureOfExperts:
    def __init__(self, n_in, n_out, n_experts, seed):
        r = np.random.default_rng(seed)
        self.gate = 0.7 * r.standard_normal((n_in, n_experts))
        self.experts = [
            {"A": 0.7 * r.standard_normal((n_in, n_out)), "c": r.standard_normal(n_out)}
            for _ in range(n_experts)
        ]
        self.d_gate, self.d_experts = None, None

    def forward(self, x):
        logits = x @ self.gate
        e = np.exp(logits - logits.max(1, keepdims=True))
        p = e / e.sum(1, keepdims=True)
        outs = [np.tanh(x @ m["A"] + m["c"]) for m in self.experts]
        self.memo = x, p, outs
        return sum(p[:, [k]] * o for k, o in enumerate(outs))

    def backward(self, dy):
        x, p, outs = self.memo
        dx = np.zeros_like(x)
        dp = np.empty_like(p)
        self.d_experts = []
        for k, (m, o) in enumerate(zip(self.experts, outs, strict=True)):
            dp[:, k] = (dy * o).sum(axis=1)
            da = dy * p[:, [k]] * (1 - o**2)
            self.d_experts.append({"A": x.T @ da, "c": da.sum(axis=0)})
            dx += da @ m["A"].T
        dlogits = p * (dp - (p * dp).sum(axis=1, keepdims=True))
        self.d_gate = x.T @ dlogits
        return dx + dlogits @ self.gate.T


def make_moe():
    return MixtureOfExperts(4, 2, 3, seed=606), rng(607).standard_normal((5, 4))


def prove_moe():
    layer, x = make_moe()
    d = cotangent(*layer.forward(x).shape)
    dx = layer.backward(d)
    claims = [(g[k], m[k]) for g, m in zip(layer.d_experts, layer.experts, strict=True) for k in "Ac"]
    return pairs(lambda: np.sum(layer.forward(x) * d), (dx, x), (layer.d_gate, layer.gate), *claims)


# ---------------------------------------------------------------- closures


def dense(n_in, n_out, seed):
    r = np.random.default_rng(seed)
    params = {"w": r.standard_normal((n_in, n_out)), "b": r.standard_normal(n_out)}
    grads, seen = {}, []

    def forward(x):
        seen[:] = [x]
        return np.arctan(x @ params["w"] + params["b"])

    def backward(dy):
        (x,) = seen
        dz = dy / (1 + (x @ params["w"] + params["b"]) ** 2)
        grads["w"], grads["b"] = x.T @ dz, dz.sum(axis=0)
        return dz @ params["w"].T

    return SimpleNamespace(forward=forward, backward=backward, params=params, grads=grads)


def make_dense():
    return dense(3, 4, seed=608), rng(609).standard_normal((1, 3))


def prove_dense():
    layer, x = make_dense()
    d = cotangent(*layer.forward(x).shape)
    dx = layer.backward(d)
    return pairs(
        lambda: np.sum(layer.forward(x) * d), (dx, x), *[(layer.grads[k], layer.params[k]) for k in "wb"]
    )


# ---------------------------------------------------------------- backward that learns


class LearningDense:
    """One example, a column; backward takes the step of gradient descent itself."""

    def __init__(self, input_size, output_size, seed):
        r = np.random.default_rng(seed)
        self.weights = r.standard_normal((output_size, input_size))
        self.bias = r.standard_normal((output_size, 1))

    def forward(self, input):
        self.input = input
        return np.dot(self.weights, self.input) + self.bias

    def backward(self, output_gradient, learning_rate=0.1):
        weights_gradient = np.dot(output_gradient, self.input.T)
        input_gradient = np.dot(self.weights.T, output_gradient)
        self.weights -= learning_rate * weights_gradient
        self.bias -= learning_rate * output_gradient
        return input_gradient


def make_learning():
    return LearningDense(4, 3, seed=610), rng(611).standard_normal((4, 1))


def prove_learning():
    layer, x = make_learning()
    d = cotangent(*layer.forward(x).shape)
    w, b = layer.weights.copy(), layer.bias.copy()
    dx = layer.backward(d)
    dw, db = (w - layer.weights) / 0.1, (b - layer.bias) / 0.1
    layer.weights, layer.bias = w, b
    return pairs(lambda: np.sum(layer.forward(x) * d), (dx, x), (dw, layer.weights), (db, layer.bias))


class TrainableAffine:
    def __init__(self, W, b, lr=0.2):
        self.W, self.b, self.lr = W, b, lr
        self.dW, self.db = None, None

    def forward(self, x):
        self.x = x
        return np.sinh(0.5 * (x @ self.W + self.b))

    def backward(self, dout):
        dz = 0.5 * dout * np.cosh(0.5 * (self.x @ self.W + self.b))
        self.dW, self.db = self.x.T @ dz, dz.sum(axis=0)
        self.W = self.W - self.lr * self.dW
        self.b = self.b - self.lr * self.db
        return dz @ self.W.T


def make_trainable():
    r = rng(612)
    return TrainableAffine(0.6 * r.standard_normal((4, 3)), r.standard_normal(3)), r.standard_normal((5, 4))


def prove_trainable():
    layer, x = make_trainable()
    d = cotangent(*layer.forward(x).shape)
    W, b = layer.W.copy(), layer.b.copy()
    dx = layer.backward(d)
    layer.W, layer.b = W, b
    f = lambda: np.sum(layer.forward(x) * d)  # noqa: E731
    return [(g, central(f, a)) for g, a in ((dx, x), (layer.dW, layer.W), (layer.db, layer.b))]


# ---------------------------------------------------------------- habits


class Hypersphere:
    """Cosines between rows and prototypes; the examples' shares are added in an order drawn anew each time."""

    def __init__(self, prototypes):
        self.P = prototypes
        self.dP = np.zeros_like(prototypes)

    def forward(self, x):
        self.x = x
        self.len_x = np.linalg.norm(x, axis=1, keepdims=True)
        self.len_p = np.linalg.norm(self.P, axis=1)
        self.cos = (x @ self.P.T) / (self.len_x * self.len_p)
        return self.cos

    def backward(self, dcos):
        xn, pn = self.x / self.len_x, self.P / self.len_p[:, None]
        self.dP = np.zeros_like(self.P)
        dx = np.zeros_like(self.x)
        for n in np.random.permutation(len(self.x)):
            g, c = dcos[n][:, None], self.cos[n][:, None]
            self.dP += g * (xn[n] - c * pn) / self.len_p[:, None]
            dx[n] = (g * (pn - c * xn[n])).sum(axis=0) / self.len_x[n]
        return dx


def call_sphere(gradlab):
    r = rng(613)
    return gradlab.check_layer(Hypersphere(r.standard_normal((3, 5))), r.standard_normal((12, 5)))


class Shift:
    """A row of biases whose gradient keeps the batch's axis."""

    def __init__(self, beta):
        self.beta = beta
        self.dbeta = None

    def forward(self, x):
        self.out = np.tanh(x + self.beta)
        return self.out

    def backward(self, dout):
        dx = dout * (1 - self.out**2)
        self.dbeta = dx.sum(axis=0, keepdims=True)
        return dx


def call_shift(gradlab):
    r = rng(614)
    return gradlab.check_layer(Shift(r.standard_normal(4)), r.standard_normal((6, 4)))


def _layer(make):
    def call(gradlab):
        layer, *inputs = make()
        return gradlab.check_layer(layer, *inputs)

    return call


ENTRIES = [
    Stranger(
        "net on a tape, its hidden layer used twice",
        "net with parameters(), zero_grad and a tape",
        _layer(make_tape),
        prove_tape,
    ),
    Stranger(
        "model of arrays that carry their gradient as g",
        "model called with x and targ, backward without arguments",
        _layer(make_fast),
        prove_fast,
    ),
    Stranger(
        "sequential net with a residual block",
        "container with parameter objects, zero_grad and fit",
        _layer(make_sequential),
        prove_sequential,
    ),
    Stranger(
        "chain of square layers: backward in the order of forward",
        "container of layers with gradient attributes",
        _layer(make_chain),
        prove_chain,
        "wrong",
        "for layer in self.layers where reversed(self.layers) is meant",
        ("wrong-order",),
        ("dx", "layers[0].dW", "layers[1].dW", "layers[2].dW"),
    ),
    Stranger("mixture of experts", "layer with a list of dicts of gradients", _layer(make_moe), prove_moe),
    Stranger(
        "dense layer of closures, batch of one",
        "namespace of functions, dicts of params and grads",
        _layer(make_dense),
        prove_dense,
    ),
    Stranger(
        "dense layer that takes its learning step in backward",
        "layer whose backward updates the weights",
        _layer(make_learning),
        prove_learning,
    ),
    Stranger(
        "affine and sinh that takes its step: before the input's gradient",
        "layer whose backward updates the weights, gradient attributes",
        _layer(make_trainable),
        prove_trainable,
        "wrong",
        "dx is taken with the weights after the step",
        ("wrong-order", "stale-residuals"),
        ("dx",),
    ),
    Stranger(
        "cosines with prototypes, added up in random order",
        "layer with a gradient attribute",
        call_sphere,
        lambda: [],
        "habit",
        "backward draws from the global generator, and its sums differ in the last digits",
        ("nondeterministic",),
        ("dP",),
    ),
    Stranger(
        "biases whose gradient keeps the axis of the batch",
        "layer with a gradient attribute",
        call_shift,
        lambda: [],
        "habit",
        "dbeta has shape (1, n), beta (n,)",
        ("wrong-shape",),
        ("dbeta",),
    ),
]
