"""Little autograd engines, tapes, closures, coroutines and containers."""

import math
from dataclasses import dataclass, field

import numpy as np

from ._entry import Stranger
from ._help_g import both, cot, dot, num


# ---- tensor engine -----------------------------------------------------------
class Tensor:
    def __init__(self, data, parents=()):
        self.data = np.asarray(data, dtype=float)
        self.grad = np.zeros_like(self.data)
        self.parents = parents

    def _make(self, data, *edges):
        return Tensor(data, edges)

    def __matmul__(self, w):
        return self._make(self.data @ w.data, (self, lambda g: g @ w.data.T), (w, lambda g: self.data.T @ g))

    def __add__(self, b):
        return self._make(self.data + b.data, (self, lambda g: g), (b, lambda g: g.sum(axis=0)))

    def __mul__(self, other):
        a, b = self.data, other.data
        return self._make(a * b, (self, lambda g: g * b), (other, lambda g: g * a))

    def tanh(self):
        y = np.tanh(self.data)
        return self._make(y, (self, lambda g: g * (1 - y**2)))

    def backward(self, grad=None):
        order, seen = [], set()

        def visit(t):
            if id(t) not in seen:
                seen.add(id(t))
                for p, _ in t.parents:
                    visit(p)
                order.append(t)

        visit(self)
        self.grad = np.ones_like(self.data) if grad is None else np.asarray(grad, dtype=float)
        for t in reversed(order):
            for p, back in t.parents:
                p.grad = p.grad + back(t.grad)


class TinyNet:
    """x is used twice, in the branch and in the gate"""

    def __init__(self, n, rng):
        self.w, self.v = Tensor(rng.normal(size=(n, n))), Tensor(rng.normal(size=(n, n)))
        self.b = Tensor(np.zeros(n))

    def parameters(self):
        return [self.w, self.v, self.b]

    def zero_grad(self):
        for p in self.parameters():
            p.grad = np.zeros_like(p.data)

    def __call__(self, x):
        x = x if isinstance(x, Tensor) else Tensor(x)
        return (x @ self.w + self.b).tanh() * (x @ self.v)


class Value:
    """scalars only"""

    def __init__(self, data, children=()):
        self.data, self.grad = float(data), 0.0
        self._prev, self._backward = children, lambda: None

    def __add__(self, o):
        out = Value(self.data + o.data, (self, o))

        def _backward():
            self.grad += out.grad
            o.grad += out.grad

        out._backward = _backward
        return out

    def __mul__(self, o):
        out = Value(self.data * o.data, (self, o))

        def _backward():
            self.grad = o.data * out.grad
            o.grad += self.data * out.grad

        out._backward = _backward
        return out

    def exp(self):
        out = Value(math.exp(self.data), (self,))

        def _backward():
            self.grad += out.data * out.grad

        out._backward = _backward
        return out

    def backward(self):
        topo, seen = [], set()

        def build(v):
            if v not in seen:
                seen.add(v)
                for c in v._prev:
                    build(c)
                topo.append(v)

        build(self)
        self.grad = 1.0
        for v in reversed(topo):
            v._backward()


class ScalarScore:
    """sum of w_i x_i exp(w_i x_i), with scalar nodes; forward gives a float"""

    def forward(self, w, x):
        self.w, self.x = [Value(v) for v in w], [Value(v) for v in x]
        total = Value(0.0)
        for a, b in zip(self.w, self.x):
            total = total + a * b * (a * b).exp()
        self.out = total
        return total.data

    def backward(self):
        self.out.backward()
        return np.array([v.grad for v in self.w]), np.array([v.grad for v in self.x])


# ---- tapes -------------------------------------------------------------------
class TapedRatio:
    """softplus ratio of two linear maps; every step leaves a closure on the tape"""

    def __init__(self, A, B):
        self.A, self.B = A, B
        self.tape = []

    def forward(self, x):
        self.tape.clear()
        grads = self.grads = {"A": 0.0, "B": 0.0, "x": 0.0}
        num, den = x @ self.A, np.logaddexp(0, x @ self.B)
        sig = 1 / (1 + np.exp(-(x @ self.B)))

        def ratio_back(g):
            return g / den, -g * num / den**2

        def linear_back(gs):
            g_num, g_den = gs
            g_pre = g_den * sig
            grads["A"], grads["B"] = x.T @ g_num, x.T @ g_pre
            grads["x"] = g_num @ self.A.T + g_pre @ self.B.T

        self.tape += [linear_back, ratio_back]
        return num / den

    def backward(self, g):
        while self.tape:
            g = self.tape.pop()(g)
        return self.grads["x"]


class DivNode:
    def __init__(self):
        self.children = None

    def forward(self, a, b):
        self.children = a, b
        return a / b

    def backward(self, upstream):
        a, b = self.children
        return upstream / b, -upstream * a / b


class LoopTape:
    """x -> tanh(x W1) -> tanh(. W2) -> ..., square matrices that are fixed"""

    def __init__(self, weights):
        self.weights = weights

    def forward(self, x):
        self.steps = []
        for w in self.weights:
            x = np.tanh(x @ w)
            self.steps.append(lambda g, y=x: (g * (1 - y**2)) @ w.T)
        return x

    def backward(self, g):
        for step in self.steps[::-1]:
            g = step(g)
        return g


VJPS = {
    "dot": (lambda a, b: a @ b, lambda g, y, a, b: (g @ b.T, a.T @ g)),
    "sin": (np.sin, lambda g, y, a: (g * np.cos(a),)),
    "add": (lambda a, b: a + b, lambda g, y, a, b: (g, g)),
    "mul": (lambda a, b: a * b, lambda g, y, a, b: (g * b, g * a)),
}


class Wengert:
    """program: list of (target, op, sources); memory: dict of arrays"""

    def __init__(self, program, **constants):
        self.program = program
        self.weights = constants
        self.adjoints = {}

    def forward(self, x):
        self.memory = {**self.weights, "x": x}
        for target, op, sources in self.program:
            self.memory[target] = VJPS[op][0](*(self.memory[s] for s in sources))
        return self.memory[self.program[-1][0]]

    def backward(self, seed):
        adj = {k: np.zeros_like(v) for k, v in self.memory.items()}
        adj[self.program[-1][0]] = seed
        for target, op, sources in reversed(self.program):
            parts = VJPS[op][1](adj[target], self.memory[target], *(self.memory[s] for s in sources))
            for s, part in zip(sources, parts):
                adj[s] = adj[s] + part
        self.adjoints = {k: adj[k] for k in self.weights}
        return adj["x"]


# ---- closures, coroutines, functional layers -----------------------------------
class Affine:
    """y, pullback = layer(x); pullback(dy) gives (dx, {"w": dw, "b": db})"""

    def __init__(self, w, b):
        self.w, self.b = w, b

    def __call__(self, x):
        z = x @ self.w + self.b

        def pullback(dy):
            dz = dy / np.cosh(z) ** 2
            return dz @ self.w.T, {"w": x.T @ dz, "b": dz.sum(0)}

        return np.tanh(z), pullback


class CoroutineSoftmax:
    """forward and backward in one generator that waits for the cotangent"""

    def __init__(self, temperature=0.7):
        self.temperature = temperature

    def passes(self, x):
        e = np.exp((x - x.max(-1, keepdims=True)) / self.temperature)
        p = e / e.sum(-1, keepdims=True)
        dy = yield p
        yield p * (dy - (dy * p).sum(-1, keepdims=True)) / self.temperature

    def forward(self, x):
        self._running = self.passes(x)
        return next(self._running)

    def backward(self, dy):
        return self._running.send(dy)


@dataclass(frozen=True)
class Gate:
    """nothing is kept in the layer: forward(params, x) -> (y, cache), backward(dy, cache) -> (dparams, dx)"""

    slope: float = 2.0

    def forward(self, params, x):
        s = 1 / (1 + np.exp(-self.slope * (x @ params["w"] + params["b"])))
        return x * s[:, None], (params, x, s)

    def backward(self, dy, cache):
        params, x, s = cache
        ds = (dy * x).sum(1) * self.slope * s * (1 - s)
        dx = dy * s[:, None] + np.outer(ds, params["w"])
        return {"w": x.T @ ds, "b": np.array(ds.sum())}, dx


# ---- containers ----------------------------------------------------------------
@dataclass
class Parameter:
    value: np.ndarray
    grad: np.ndarray = field(default=None, repr=False)


class Block:
    def parameters(self):
        for v in vars(self).values():
            if isinstance(v, Parameter):
                yield v
            elif isinstance(v, list):
                for m in v:
                    yield from m.parameters()


class Mix(Block):
    def __init__(self, n, k):
        self.weight = Parameter(np.cos(np.arange(n * n) + k).reshape(n, n))

    def forward(self, x):
        self.x = x
        return np.arcsinh(x @ self.weight.value)

    def backward(self, g):
        g = g / np.sqrt(1 + (self.x @ self.weight.value) ** 2)
        self.weight.grad = self.x.T @ g
        return g @ self.weight.value.T


class Chain(Block):
    def __init__(self, *blocks):
        self.blocks = list(blocks)

    def forward(self, x):
        for b in self.blocks:
            x = b.forward(x)
        return x

    def backward(self, g):
        for b in self.blocks[::-1]:
            g = b.backward(g)
        return g


class Parallel(Chain):
    def forward(self, x):
        return sum(b.forward(x) for b in self.blocks)

    def backward(self, g):
        return sum(b.backward(g) for b in self.blocks)


class Residual(Chain):
    def forward(self, x):
        return x + super().forward(x)

    def backward(self, g):
        return super().backward(g)


class Workspace:
    """softplus that allocates once and gives out the same arrays at every call"""

    def __init__(self, shape):
        self.out, self.din, self.sig = (np.empty(shape) for _ in range(3))

    def forward(self, x):
        np.divide(1, 1 + np.exp(-x), out=self.sig)
        return np.logaddexp(0, x, out=self.out)

    def backward(self, dout):
        return np.multiply(dout, self.sig, out=self.din)


def rng():
    return np.random.default_rng(51)


def tiny():
    return TinyNet(3, rng()), rng().normal(size=(4, 3))


def score():
    return ScalarScore(), np.array([0.5, -0.3, 0.8]), np.array([1.0, 0.7, -0.4])


def ratio():
    r = rng()
    return TapedRatio(r.normal(size=(3, 2)), r.normal(size=(3, 2))), r.normal(size=(4, 3))


def div():
    return DivNode(), rng().normal(size=(3, 3)), 1.5 + rng().random((3, 3))


def loop():
    return LoopTape(list(rng().normal(size=(3, 4, 4)))), rng().normal(size=(2, 4))


def wengert():
    program = [
        ("a", "dot", ("x", "W")),
        ("b", "sin", ("a",)),
        ("c", "mul", ("b", "a")),
        ("y", "add", ("c", "b")),
    ]
    return Wengert(program, W=rng().normal(size=(3, 3))), rng().normal(size=(4, 3))


def affine():
    return Affine(rng().normal(size=(3, 2)), np.array([0.1, -0.2])), rng().normal(size=(5, 3))


def softmax():
    return CoroutineSoftmax(), rng().normal(size=(3, 4))


def gate():
    return {"w": np.array([0.5, -1.0, 0.3]), "b": np.array(0.2)}, rng().normal(size=(4, 3))


def nested():
    return Chain(Mix(3, 0), Parallel(Mix(3, 1), Chain(Mix(3, 2), Mix(3, 3)))), rng().normal(size=(4, 3))


def residual():
    return Residual(Mix(3, 4), Mix(3, 5)), rng().normal(size=(4, 3))


def workspace():
    return Workspace((3, 4)), rng().normal(size=(3, 4))


def by_tensor(m, g, x):
    x = Tensor(x)
    m.zero_grad()
    m(x).backward(g)
    return [(x.grad, x.data), *((p.grad, p.data) for p in m.parameters())]


def pulled(m, g, x):
    dx, d = m(x)[1](g)
    return [(dx, x), (d["w"], m.w), (d["b"], m.b)]


def gate_proof():
    params, x = gate()
    out, cache = Gate().forward(params, x)
    g = cot(out)
    d, dx = Gate().backward(g, cache)

    def f():
        return dot(g, Gate().forward(params, x)[0])

    return [(dx, num(f, x)), (d["w"], num(f, params["w"])), (d["b"], num(f, params["b"]))]


def blocks(m, g, x):
    return [(m.backward(g), x), *((p.grad, p.value) for p in m.parameters())]


ENTRIES = [
    Stranger(
        "net of a tensor engine that records parents",
        "__call__ returns a Tensor, parameters() are Tensors",
        *both(tiny, by_tensor, lambda m, x: m(x).data),
    ),
    Stranger(
        "scalar engine: a product overwrites its left factor's gradient",
        "scalar nodes, forward and backward",
        *both(score, lambda m, g, *xs: list(zip(m.backward(), xs))),
        "wrong",
        "the product's left factor is assigned its gradient, where it should be added",
        ("last-write-wins",),
        ("w",),
        "            self.grad = o.data * out.grad",
        "            self.grad += o.data * out.grad",
    ),
    Stranger(
        "tape of closures that backward empties",
        "layer with a tape and a dict of gradients",
        *both(ratio, lambda m, g, x: [(m.backward(g), x), (m.grads["A"], m.A), (m.grads["B"], m.B)]),
    ),
    Stranger(
        "division node: the denominator not squared",
        "node of two inputs",
        *both(div, lambda m, g, *xs: list(zip(m.backward(g), xs))),
        "wrong",
        "the gradient of the denominator is -a / b and should be -a / b^2",
        (),
        ("b",),
        "        return upstream / b, -upstream * a / b",
        "        return upstream / b, -upstream * a / b ** 2",
    ),
    Stranger(
        "tape made in a loop: every closure sees the last weights",
        "layer with a list of closures",
        *both(loop, lambda m, g, x: [(m.backward(g), x)]),
        "wrong",
        "w is not bound in the lambda: all steps go back through the last matrix",
        (),
        ("x",),
        "            self.steps.append(lambda g, y=x: (g * (1 - y**2)) @ w.T)",
        "            self.steps.append(lambda g, y=x, w=w: (g * (1 - y**2)) @ w.T)",
    ),
    Stranger(
        "Wengert list interpreted over a table of ops",
        "layer that runs a program, dicts",
        *both(wengert, lambda m, g, x: [(m.backward(g), x), (m.adjoints["W"], m.weights["W"])]),
    ),
    Stranger(
        "layer whose call returns a pullback",
        "callable, returns the output and a closure",
        *both(affine, pulled, lambda m, x: m(x)[0]),
    ),
    Stranger(
        "softmax as a coroutine",
        "generator behind forward and backward",
        *both(softmax, lambda m, g, x: [(m.backward(g), x)]),
    ),
    Stranger(
        "frozen functional gate with a dict of parameters",
        "forward(params, x) and backward(dy, cache)",
        lambda gradlab: gradlab.check_cached_pair(Gate().forward, Gate().backward, gate()),
        gate_proof,
    ),
    Stranger(
        "chain of blocks with a parallel one inside",
        "container, parameters() is a generator",
        *both(nested, blocks),
    ),
    Stranger(
        "residual container: the skip forgotten",
        "container, parameters() is a generator",
        *both(residual, blocks),
        "wrong",
        "backward leaves out the skip connection's own g",
        ("missing-term",),
        ("x",),
        "        return super().backward(g)",
        "        return g + super().backward(g)",
    ),
    Stranger(
        "softplus in a workspace: the same arrays at every call",
        "layer without parameters",
        both(workspace, None)[0],
        lambda: [],
        "habit",
        "output and gradient are the layer's own buffers, which the next call writes over",
        ("aliases-memory",),
        ("x",),
    ),
]
