"""Small frameworks, as hobbyists write them."""

import numpy as np

from ._entry import Stranger
from ._help_o import cotangent, pairs


# --- an engine of closures
def unbroadcast(g, shape):
    while g.ndim > len(shape):
        g = g.sum(0)
    for i, n in enumerate(shape):
        if n == 1 and g.shape[i] != 1:
            g = g.sum(i, keepdims=True)
    return g


class Tensor:
    def __init__(self, data, parents=()):
        self.data = np.asarray(data, dtype=np.float64)
        self.grad = np.zeros_like(self.data)
        self._parents = parents
        self._backward = lambda: None

    def __add__(self, o):
        out = Tensor(self.data + o.data, (self, o))

        def _backward():
            self.grad += unbroadcast(out.grad, self.data.shape)
            o.grad += unbroadcast(out.grad, o.data.shape)

        out._backward = _backward
        return out

    def __mul__(self, o):
        out = Tensor(self.data * o.data, (self, o))

        def _backward():
            self.grad += unbroadcast(out.grad * o.data, self.data.shape)
            o.grad += unbroadcast(out.grad * self.data, o.data.shape)

        out._backward = _backward
        return out

    def __matmul__(self, o):
        out = Tensor(self.data @ o.data, (self, o))

        def _backward():
            self.grad += out.grad @ o.data.T
            o.grad += self.data.T @ out.grad

        out._backward = _backward
        return out

    def softplus(self):
        out = Tensor(np.logaddexp(0, self.data), (self,))

        def _backward():
            self.grad += out.grad / (1 + np.exp(-self.data))

        out._backward = _backward
        return out

    def backward(self, seed=None):
        order, seen = [], set()

        def visit(t):
            if id(t) not in seen:
                seen.add(id(t))
                for p in t._parents:
                    visit(p)
                order.append(t)

        visit(self)
        self.grad = np.ones_like(self.data) if seed is None else np.asarray(seed, dtype=np.float64)
        for t in reversed(order):
            t._backward()


class SkipNet:
    """softplus(x W + b) used twice: once multiplied with itself through a matrix, once as a skip."""

    def __init__(self, d, h, seed=0):
        rng = np.random.default_rng(seed)
        self.W = Tensor(rng.normal(size=(d, h)))
        self.b = Tensor(rng.normal(size=(1, h)))
        self.U = Tensor(rng.normal(size=(h, h)))

    def parameters(self):
        return [self.W, self.b, self.U]

    def zero_grad(self):
        for p in self.parameters():
            p.grad = np.zeros_like(p.data)

    def forward(self, x):
        x = x if isinstance(x, Tensor) else Tensor(x)
        h = (x @ self.W + self.b).softplus()
        return h * (h @ self.U) + h


# --- a tape of (outputs, pull) records
class SparseSiren:
    """Sine network whose first layer has a weight for a few (row, column) places only."""

    def __init__(self, rows, cols, n_in, n_hidden, n_out, omega=2.0, seed=1):
        r = np.random.default_rng(seed)
        self.rows, self.cols, self.shape, self.omega = rows, cols, (n_in, n_hidden), omega
        self.params = {"vals": r.uniform(-1, 1, len(rows)), "W": r.uniform(-1, 1, (n_hidden, n_out))}
        self.grads = {}

    def forward(self, x):
        self.tape = []
        z = np.zeros((len(x), self.shape[1]))
        np.add.at(z.T, self.cols, (x[:, self.rows] * self.params["vals"]).T)
        self.tape.append(lambda g: self._pull_sparse(g, x))
        h = np.sin(self.omega * z)
        self.tape.append(lambda g: g * self.omega * np.cos(self.omega * z))
        self.tape.append(lambda g: self._pull_dense(g, h))
        return h @ self.params["W"]

    def _pull_dense(self, g, h):
        self.grads["W"] = h.T @ g
        return g @ self.params["W"].T

    def _pull_sparse(self, g, x):
        at_edges = g[:, self.cols]
        self.grads["vals"] = (at_edges * x[:, self.rows]).sum(0)
        dx = np.zeros_like(x)
        np.add.at(dx.T, self.rows, (at_edges * self.params["vals"]).T)
        return dx

    def backward(self, dout):
        for pull in reversed(self.tape):
            dout = pull(dout)
        return dout


# --- a tree of modules
class Param:
    def __init__(self, value):
        self.value, self.grad = value, np.zeros_like(value)


class Module:
    def children(self):
        return [m for m in vars(self).values() if isinstance(m, Module)]

    def params(self):
        for p in vars(self).values():
            if isinstance(p, Param):
                yield p
        for c in self.children():
            yield from c.params()

    def zero_grad(self):
        for p in self.params():
            p.grad[...] = 0


class Snake(Module):
    """x + sin(a x)^2 / a with a learned frequency for each feature."""

    def __init__(self, d):
        self.a = Param(np.linspace(0.5, 1.4, d))

    def forward(self, x):
        self.x = x
        return x + np.sin(self.a.value * x) ** 2 / self.a.value

    def backward(self, g):
        a, x = self.a.value, self.x
        s2 = np.sin(2 * a * x)
        self.a.grad += (g * (x * s2 / a - np.sin(a * x) ** 2 / a**2)).sum(0)
        return g * (1 + s2)


class Mix(Module):
    def __init__(self, n_in, n_out, rng):
        self.w = Param(rng.normal(0, 0.5, (n_in, n_out)))

    def forward(self, x):
        self.x = x
        return x @ self.w.value

    def backward(self, g):
        self.w.grad += self.x.T @ g
        return g @ self.w.value.T


class Residual(Module):
    def __init__(self, d, h, seed=4):
        rng = np.random.default_rng(seed)
        self.up, self.act, self.down = Mix(d, h, rng), Snake(h), Mix(h, d, rng)

    def forward(self, x):
        return x + self.down.forward(self.act.forward(self.up.forward(x)))

    def backward(self, g):
        return g + self.up.backward(self.act.backward(self.down.backward(g)))


# --- Function with a ctx, as in torch
class Ctx:
    def save_for_backward(self, *what):
        self.saved = what


class Householder:
    """Reflects the rows of x at the hyperplane orthogonal to v."""

    @staticmethod
    def forward(ctx, x, v):
        n2 = v @ v
        p = x @ v / n2
        ctx.save_for_backward(v, p, n2, x)
        return x - 2 * np.outer(p, v)

    @staticmethod
    def backward(ctx, g):
        v, p, n2, x = ctx.saved
        gv = g @ v
        dx = g - 2 * np.outer(gv, v) / n2
        dv = -2 * (p @ g) - 2 * (gv @ x) / n2 + 4 * (p @ gv) * v / n2
        return dx, dv


def householder(x, v):
    ctx = Ctx()
    return Householder.forward(ctx, x, v), ctx


# --- pullbacks
def film(x, gamma, beta):
    return x * (1 + gamma) + beta, lambda g: (g * (1 + gamma), (g * x).sum(0), g.sum(0))


def mish(x):
    t = np.tanh(np.logaddexp(0, x))
    return x * t, lambda g: g * (t + x * (1 - t**2) / (1 + np.exp(-x)))


def spread(x, w):
    return np.tensordot(x, w, 1), lambda g: (np.tensordot(g, w, ((1, 2), (1, 2))), np.tensordot(x, g, (0, 0)))


def film_head(x, gamma, beta, w):
    a, pull_film = film(x, gamma, beta)
    b, pull_mish = mish(a)
    y, pull_spread = spread(b, w)

    def pull(g):
        db, dw = pull_spread(g)
        return (*pull_film(pull_mish(db)), dw)

    return y, pull


# --- an engine with a table of rules
class V:
    def __init__(self, data, op="leaf", args=()):
        self.data, self.op, self.args, self.grad = data, op, args, np.zeros_like(data)


def dot(a, b):
    return V(a.data @ b.data, "dot", (a, b))


def times(a, b):
    return V(a.data * b.data, "times", (a, b))


def tanh(a):
    return V(np.tanh(a.data), "tanh", (a,))


RULES = {
    "dot": lambda g, out, a, b: (g @ b.data.T, a.data.T @ g),
    "times": lambda g, out, a, b: (g * b.data, g * a.data),
    "tanh": lambda g, out, a: (g * (1 - out.data**2),),
    "leaf": lambda g, out: (),
}


def topo(root):
    done = []

    def go(n):
        if n not in done:
            for a in n.args:
                go(a)
            done.append(n)

    go(root)
    return done[::-1]


class GatedPair:
    """(tanh(x W) U) * tanh(x W)"""

    def __init__(self, d, h, seed=6):
        rng = np.random.default_rng(seed)
        self.params = {"W": V(rng.normal(size=(d, h))), "U": V(rng.normal(size=(h, h)))}

    def forward(self, x):
        self.x = V(x)
        h = tanh(dot(self.x, self.params["W"]))
        self.y = times(dot(h, self.params["U"]), h)
        return self.y.data

    def backward(self, dout):
        nodes = topo(self.y)
        for n in nodes:
            n.grad = np.zeros_like(n.data)
        self.y.grad = dout
        for n in nodes:
            for a, g in zip(n.args, RULES[n.op](n.grad, n, *n.args)):
                a.grad = g
        return self.x.grad


# --- variables with creators, as in DeZero
class Variable:
    def __init__(self, data):
        self.data, self.grad, self.creator = data, None, None

    def backward(self):
        if self.grad is None:
            self.grad = np.ones_like(self.data)
        todo = [self.creator]
        while todo:
            f = todo.pop()
            for v, g in zip(f.inputs, f.backward(f.output.grad)):
                v.grad = g if v.grad is None else v.grad + g
                if v.creator is not None:
                    todo.append(v.creator)

    def cleargrad(self):
        self.grad = None


class Function:
    def __call__(self, *inputs):
        self.inputs = [v if isinstance(v, Variable) else Variable(v) for v in inputs]
        self.output = Variable(self.forward(*[v.data for v in self.inputs]))
        self.output.creator = self
        return self.output


def sum_to(g, shape):
    return g.reshape(-1, *shape).sum(axis=0)


class Scale(Function):
    def forward(self, x, s):
        return x * s

    def backward(self, gy):
        x, s = (v.data for v in self.inputs)
        return gy * s, sum_to(gy * x, s.shape)


class Shift(Function):
    def forward(self, x, b):
        return x + b

    def backward(self, gy):
        return gy, gy


class Softsign(Function):
    def forward(self, x):
        return x / (1 + abs(x))

    def backward(self, gy):
        return (gy / (1 + abs(self.inputs[0].data)) ** 2,)


class ScaleShift:
    def __init__(self, d):
        self.s, self.b = Variable(np.linspace(0.5, 2, d)), Variable(np.linspace(-1, 0.5, d))

    def params(self):
        return [self.s, self.b]

    def cleargrads(self):
        for p in self.params():
            p.cleargrad()

    def __call__(self, x):
        return Softsign()(Shift()(Scale()(x, self.s), self.b))


# --- dense block
class Grow:
    def __init__(self, n_in, k, rng):
        self.W = rng.normal(size=(n_in, k)) / np.sqrt(n_in)
        self.dW = np.zeros_like(self.W)

    def forward(self, f):
        self.f, self.y = f, np.arctan(f @ self.W)
        self.z = f @ self.W
        return self.y

    def backward(self, g):
        dz = g / (1 + self.z**2)
        self.dW[...] = self.f.T @ dz
        return dz @ self.W.T


class DenseBlock:
    def __init__(self, d, k, depth, seed=9):
        rng = np.random.default_rng(seed)
        self.d, self.k = d, k
        self.layers = [Grow(d + i * k, k, rng) for i in range(depth)]

    def forward(self, x):
        for layer in self.layers:
            x = np.hstack([x, layer.forward(x)])
        return x

    def backward(self, dout):
        total = dout.copy()
        for i in reversed(range(len(self.layers))):
            lo = self.d + i * self.k
            dnew = dout[:, lo : lo + self.k]
            total[:, :lo] += self.layers[i].backward(dnew)
        return total[:, : self.d]


# --- token mixing
class TokenMix:
    """x + silu(M x) for the tokens x of shape (T, D): M mixes the tokens, every feature alike."""

    def __init__(self, tokens, seed=2):
        self.M = np.random.default_rng(seed).normal(size=(tokens, tokens)) * 0.5
        self.grad_M = None

    def fprop(self, x):
        self.x = x
        self.z = self.M @ x
        self.sig = 1 / (1 + np.exp(-self.z))
        return x + self.z * self.sig

    def bprop(self, g):
        slope = self.sig * (1 + self.z * (1 - self.sig))
        self.grad_M = (g * slope) @ self.x.T
        return g + slope * (self.M.T @ g)


# --- rotary embedding with a workspace
class Rotary:
    def __init__(self, T, D):
        ang = np.arange(T)[:, None] * 100.0 ** (-np.arange(D // 2) / (D // 2))
        self.c, self.s = np.cos(ang), np.sin(ang)
        self._work = np.empty((T, D))

    def forward(self, x):
        out = np.empty_like(x)
        out[:, ::2] = x[:, ::2] * self.c - x[:, 1::2] * self.s
        out[:, 1::2] = x[:, ::2] * self.s + x[:, 1::2] * self.c
        return out

    def backward(self, dout):
        w = self._work  # no new memory in the training loop
        w[:, ::2] = dout[:, ::2] * self.c + dout[:, 1::2] * self.s
        w[:, 1::2] = dout[:, 1::2] * self.c - dout[:, ::2] * self.s
        return w


# --- entries
def _r(*shape, seed=1):
    return np.random.default_rng(seed).standard_normal(shape)


def _skip():
    net, x = SkipNet(3, 4), Tensor(_r(5, 3))
    y = net.forward(x)
    d = cotangent(y.data.shape)
    net.zero_grad()
    y.backward(d)
    ts = [x, *net.parameters()]
    return pairs(lambda: (net.forward(x).data * d).sum(), [t.grad for t in ts], [t.data for t in ts])


def _siren_net():
    return SparseSiren(np.array([0, 1, 1, 2, 3, 0]), np.array([0, 0, 1, 2, 4, 3]), 4, 5, 2)


def _layer(net, x, fwd, bwd, found):
    """found: net -> (arrays, their gradients), read after backward"""
    d = cotangent(fwd(x).shape)
    dx = np.array(bwd(d))
    arrays, grads = found(net)
    return pairs(lambda: (fwd(x) * d).sum(), [dx, *grads], [x, *arrays])


def _prove(net, x, found, names=("forward", "backward")):
    return _layer(net, x, getattr(net, names[0]), getattr(net, names[1]), found)


def _pair(forward, backward, primals):
    y, cache = forward(*primals)
    d = cotangent(y.shape)
    return pairs(lambda: (forward(*primals)[0] * d).sum(), backward(cache, d), primals)


def _hh():
    return _r(4, 3), _r(3, seed=5)


def _fh():
    return _r(4, 3), 0.3 * _r(3, seed=2), _r(3, seed=3), _r(3, 2, 2, seed=4)


def _dezero():
    net, x = ScaleShift(3), Variable(_r(4, 3))
    y = net(x)
    d = cotangent(y.data.shape)
    y.grad = d
    y.backward()
    vs = [x, net.s, net.b]
    return pairs(lambda: (net(x).data * d).sum(), [v.grad for v in vs], [v.data for v in vs])


ENTRIES = [
    Stranger(
        "engine of closures: a net that uses its hidden layer three times",
        "autograd engine, module with parameters()",
        lambda gradlab: gradlab.check_layer(SkipNet(3, 4), _r(5, 3)),
        _skip,
    ),
    Stranger(
        "sine network with a sparse first layer on a tape of pulls",
        "net with params and grads dicts and a tape",
        lambda gradlab: gradlab.check_layer(_siren_net(), _r(5, 4)),
        lambda: _prove(_siren_net(), _r(5, 4), lambda n: (n.params.values(), [n.grads[k] for k in n.params])),
    ),
    Stranger(
        "module tree: residual block with a snake activation, gradients add up until zero_grad",
        "module tree with Param objects",
        lambda gradlab: gradlab.check_layer(Residual(3, 4), _r(5, 3)),
        lambda: _prove(
            Residual(3, 4), _r(5, 3), lambda n: ([p.value for p in n.params()], [p.grad for p in n.params()])
        ),
    ),
    Stranger(
        "Householder reflection as a Function with static methods and a ctx",
        "static forward and backward with ctx, check_vjp",
        lambda gradlab: gradlab.check_vjp(householder, Householder.backward, _hh()),
        lambda: _pair(householder, Householder.backward, _hh()),
    ),
    Stranger(
        "FiLM, mish and a tensor head, composed of pullbacks",
        "forward returns a pullback as its cache",
        lambda gradlab: gradlab.check_cached_pair(film_head, lambda dout, pull: pull(dout), _fh()),
        lambda: _pair(film_head, lambda pull, d: pull(d), _fh()),
    ),
    Stranger(
        "engine with a table of rules: a node's second use overwrites the first",
        "net on an autograd engine, params dict of nodes",
        lambda gradlab: gradlab.check_layer(GatedPair(3, 4), _r(5, 3)),
        lambda: _prove(
            GatedPair(3, 4),
            _r(5, 3),
            lambda n: ([v.data for v in n.params.values()], [v.grad for v in n.params.values()]),
        ),
        "wrong",
        "a node's gradient is overwritten by each of its uses instead of added up",
        ("last-write-wins", "missing-term"),
        ("W", "x"),
        "                a.grad = g\n",
        "                a.grad = a.grad + g\n",
    ),
    Stranger(
        "variables with creators: the shift's gradient is not summed over the batch",
        "DeZero-like functions, callable model with params()",
        lambda gradlab: gradlab.check_layer(ScaleShift(3), _r(4, 3)),
        _dezero,
        "wrong",
        "the gradient of b, which was broadcast over the batch, is not summed over it",
        ("missing-broadcast-sum", "wrong-shape"),
        ("b",),
        "        return gy, gy",
        "        return gy, sum_to(gy, self.inputs[1].data.shape)",
    ),
    Stranger(
        "dense block: a layer gets its slice of the last cotangent instead of the accumulated one",
        "layers in a list, each with W and dW",
        lambda gradlab: gradlab.check_layer(DenseBlock(3, 2, 3), _r(4, 3)),
        lambda: _prove(
            DenseBlock(3, 2, 3),
            _r(4, 3),
            lambda n: ([lay.W for lay in n.layers], [lay.dW for lay in n.layers]),
        ),
        "wrong",
        "the slice is taken from dout, without what the later layers have sent back",
        ("wrong-cotangent", "missing-term"),
        ("layers[0].W", "layers[1].W", "x"),
        "            dnew = dout[:, lo : lo + self.k]",
        "            dnew = total[:, lo : lo + self.k]",
    ),
    Stranger(
        "token mixing: the activation's slope comes after the matrix instead of before",
        "layer with fprop and bprop",
        lambda gradlab: gradlab.check_layer(TokenMix(4), _r(4, 3)),
        lambda: _prove(TokenMix(4), _r(4, 3), lambda n: ([n.M], [n.grad_M]), ("fprop", "bprop")),
        "wrong",
        "the slope multiplies M.T @ g, where it belongs onto g before the product",
        ("wrong-order",),
        ("x",),
        "        return g + slope * (self.M.T @ g)",
        "        return g + self.M.T @ (slope * g)",
    ),
    Stranger(
        "rotary embedding: backward returns its own workspace",
        "layer without parameters",
        lambda gradlab: gradlab.check_layer(Rotary(5, 4), _r(5, 4)),
        lambda: [],
        "habit",
        "the array that backward returns is the layer's own and is overwritten by the next call",
        ("aliases-memory",),
        ("x",),
        "        w = self._work  # no new memory in the training loop",
        "        w = np.empty_like(dout)",
    ),
]
