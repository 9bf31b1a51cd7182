"""Home-made autodiff: tapes, tensors, functions with a context, containers of modules, generators."""

import numpy as np

from . import _help_i as H
from ._entry import Stranger


class Tensor:
    """A toy of 60 lines. Arrays of any shape, broadcasting in + and *."""

    def __init__(self, data, parents=(), pull=None):
        self.data = np.asarray(data, dtype=float)
        self.grad = np.zeros_like(self.data)
        self.parents, self._pull = parents, pull

    @staticmethod
    def _fit(g, shape):
        while g.ndim > len(shape):
            g = g.sum(axis=0)
        for ax, n in enumerate(shape):
            if n == 1 and g.shape[ax] != 1:
                g = g.sum(axis=ax, keepdims=True)
        return g

    def __add__(self, other):
        other = other if isinstance(other, Tensor) else Tensor(other)

        def pull(g):
            self.grad += Tensor._fit(g, self.data.shape)
            other.grad += Tensor._fit(g, other.data.shape)

        return Tensor(self.data + other.data, (self, other), pull)

    def __mul__(self, other):
        other = other if isinstance(other, Tensor) else Tensor(other)

        def pull(g):
            self.grad += Tensor._fit(g * other.data, self.data.shape)
            other.grad += Tensor._fit(g * self.data, other.data.shape)

        return Tensor(self.data * other.data, (self, other), pull)

    def __matmul__(self, other):
        def pull(g):
            self.grad += g @ other.data.T
            other.grad += self.data.T @ g

        return Tensor(self.data @ other.data, (self, other), pull)

    def tanh(self):
        out = np.tanh(self.data)

        def pull(g):
            self.grad += g * (1 - out**2)

        return Tensor(out, (self,), pull)

    def backward(self, grad=None):
        order, seen = [], set()

        def visit(node):
            if id(node) not in seen:
                seen.add(id(node))
                for p in node.parents:
                    visit(p)
                order.append(node)

        visit(self)
        self.grad = np.ones_like(self.data) if grad is None else np.asarray(grad, dtype=float)
        for node in reversed(order):
            if node._pull:
                node._pull(node.grad)


class GatedUnit:
    """A model on the toy; call it, then backward() of what it returns."""

    def __init__(self, d, h, rng):
        self.W = Tensor(rng.normal(size=(d, h)))
        self.b = Tensor(rng.normal(size=h))
        self.scale = Tensor(rng.normal(size=(1, h)))

    def parameters(self):
        return [self.W, self.b, self.scale]

    def zero_grad(self):
        for p in self.parameters():
            p.grad = np.zeros_like(p.data)

    def __call__(self, x):
        x = x if isinstance(x, Tensor) else Tensor(x)
        h = x @ self.W + self.b
        return h.tanh() * h * self.scale + h


def _gated():
    rng = np.random.default_rng(0)
    return GatedUnit(3, 4, rng), rng.normal(size=(5, 3))


def _gated_proof():
    m, x = _gated()
    xt = Tensor(x.copy())
    out = m(xt)
    g = np.random.default_rng(1).normal(size=out.data.shape)
    out.backward(g)
    f = lambda: np.sum(g * m(x).data)
    return [(xt.grad, H.true(f, x)), *((p.grad.copy(), H.true(f, p.data)) for p in m.parameters())]


class Tape:
    def __init__(self):
        self.ops = []

    def record(self, out_key, fn):
        self.ops.append((out_key, fn))

    def play(self, grads):
        for key, fn in reversed(self.ops):
            for k, v in fn(grads[key]).items():
                grads[k] = grads[k] + v if k in grads else v
        return grads


class LotkaVolterraStep:
    """Explicit steps of prey and predator; every operation goes on a tape of named values."""

    def __init__(self, rates, steps=3, dt=0.1):
        self.rates = rates  # a, b, c, d
        self.steps, self.dt = steps, dt
        self.rates_grad = None

    def forward(self, prey, predator):
        self.tape, dt = Tape(), self.dt
        for n in range(self.steps):
            a, b, c, d = self.rates
            x, y = prey, predator

            def pull_x(g, n=n, x=x, y=y, a=a, b=b):
                gr = np.array([(g * x).sum() * dt, -(g * x * y).sum() * dt, 0, 0])
                return {f"x{n}": g * (1 + dt * (a - b * y)), f"y{n}": -g * dt * b * x, "rates": gr}

            def pull_y(g, n=n, x=x, y=y, c=c, d=d):
                gr = np.array([0, 0, -(g * y).sum() * dt, (g * x * y).sum() * dt])
                return {f"y{n}": g * (1 + dt * (d * x - c)), f"x{n}": g * dt * d * y, "rates": gr}

            self.tape.record(f"x{n + 1}", pull_x)
            self.tape.record(f"y{n + 1}", pull_y)
            prey, predator = x + dt * x * (a - b * y), y + dt * y * (d * x - c)
        return prey, predator

    def backward(self, gprey, gpredator):
        grads = self.tape.play({f"x{self.steps}": gprey, f"y{self.steps}": gpredator})
        self.rates_grad = grads["rates"]
        return grads["x0"], grads["y0"]


def _lotka():
    rng = np.random.default_rng(2)
    return LotkaVolterraStep(np.array([1.1, 0.4, 0.4, 0.1])), rng.uniform(1, 5, 4), rng.uniform(1, 3, 4)


class Param:
    __slots__ = ("value", "grad")

    def __init__(self, value):
        self.value, self.grad = value, np.zeros_like(value)


class Linear:
    def __init__(self, m, n, rng):
        self.weight, self.bias = Param(rng.normal(size=(m, n)) * 0.6), Param(rng.normal(size=n))

    def parameters(self):
        yield self.weight
        yield self.bias

    def forward(self, x):
        self.x = x
        return x @ self.weight.value + self.bias.value

    def backward(self, g):
        self.weight.grad = self.x.T @ g
        self.bias.grad = g.sum(0)
        return g @ self.weight.value.T


class Swish:
    def __init__(self, beta=1.3):
        self.beta = Param(np.array([beta]))

    def parameters(self):
        yield self.beta

    def forward(self, x):
        self.x, self.s = x, 1 / (1 + np.exp(-self.beta.value * x))
        return x * self.s

    def backward(self, g):
        slope = self.s * (1 - self.s)
        self.beta.grad = np.array([(g * self.x**2 * slope).sum()])
        return g * (self.s + self.beta.value * self.x * slope)


class Container:
    def __init__(self, *modules):
        self.modules = modules

    def parameters(self):
        for m in self.modules:
            yield from m.parameters()


class Sequential(Container):
    def forward(self, x):
        for m in self.modules:
            x = m.forward(x)
        return x

    def backward(self, g):
        for m in self.modules[::-1]:
            g = m.backward(g)
        return g


class Branches(Container):
    """The same input into each; outputs side by side, and the input itself at the end."""

    def forward(self, x):
        outs = [m.forward(x) for m in self.modules]
        self.cuts = np.cumsum([o.shape[1] for o in outs])
        return np.hstack([*outs, x])

    def backward(self, g):
        *parts, dx = np.split(g, self.cuts, axis=1)
        for m, part in zip(self.modules, parts):
            dx = dx + m.backward(part)
        return dx


def _sequential():
    rng = np.random.default_rng(3)
    return Sequential(Linear(3, 4, rng), Swish(), Linear(4, 2, rng)), rng.normal(size=(5, 3))


def _branches():
    rng = np.random.default_rng(4)
    return Branches(Linear(3, 2, rng), Sequential(Linear(3, 2, rng), Swish(0.7))), rng.normal(size=(4, 3))


def _modules_proof(net, x):
    g = np.random.default_rng(5).normal(size=net.forward(x).shape)
    pairs = [(net.backward(g), x), *((p.grad, p.value) for p in net.parameters())]
    return [(c, H.true(lambda: np.sum(g * net.forward(x)), a)) for c, a in pairs]


class Context:
    def save_for_backward(self, *tensors):
        self.saved_tensors = tensors


class SoftThreshold:
    """torch-like function: smooth shrinkage x * (1 - exp(-(x / lam)^2))"""

    @staticmethod
    def forward(ctx, x, lam):
        r = x / lam
        e = np.exp(-(r**2))
        ctx.save_for_backward(r, e, lam)
        return x * (1 - e)

    @staticmethod
    def backward(ctx, grad_output):
        r, e, lam = ctx.saved_tensors
        grad_x = grad_output * (1 - e + 2 * r**2 * e)
        grad_lam = (grad_output * -2 * r**3 * e).sum(axis=0)
        return grad_x, grad_lam


def _shrink():
    rng = np.random.default_rng(6)
    return SoftThreshold, Context(), rng.normal(size=(4, 3)), rng.uniform(0.5, 1.5, 3)


def _shrink_proof():
    f, ctx, x, lam = _shrink()
    g = np.random.default_rng(1).normal(size=f.forward(ctx, x, lam).shape)
    run = lambda: np.sum(g * f.forward(Context(), x, lam))
    return list(zip(f.backward(ctx, g), [H.true(run, a) for a in (x, lam)]))


def affine_stage(w):
    x = yield
    g = yield x @ w["value"]
    w["grad"] = x.T @ g
    yield g @ w["value"].T


def cosine_stage(w):
    x = yield
    g = yield np.cos(w["value"] * x)
    s = -g * np.sin(w["value"] * x)
    w["grad"] = (s * x).sum(axis=0)
    yield s * w["value"]


class CoroutineNet:
    """Each stage is a generator: it is sent x, yields its output, is sent the gradient, yields that of x."""

    def __init__(self, stages):
        self.stages = stages  # [(generator function, {"value": array}), ...]

    def forward(self, x):
        self.running = []
        for make, w in self.stages:
            stage = make(w)
            next(stage)
            x = stage.send(x)
            self.running.append(stage)
        return x

    def backward(self, g):
        while self.running:
            g = self.running.pop().send(g)
        return g


def _coroutines():
    rng = np.random.default_rng(7)
    ws = [{"value": rng.normal(size=s)} for s in ((3, 4), (4,), (4, 2))]
    return CoroutineNet(list(zip((affine_stage, cosine_stage, affine_stage), ws))), rng.normal(size=(5, 3))


class AnswerScorer:
    """Question and answer go through the same encoder; the score is their product, entry by entry."""

    def __init__(self, d, h, rng):
        self.enc = Swish(0.9)
        self.proj = rng.normal(size=(d, h))
        self.dproj = np.zeros_like(self.proj)

    def forward(self, question, answer):
        self.q, self.a = question, answer
        self.zq, self.za = question @ self.proj, answer @ self.proj
        self.eq = self.enc.forward(self.zq)
        self.ea = self.enc.forward(self.za)
        return self.eq * self.ea

    def backward(self, dscore):
        dza = self.enc.backward(dscore * self.eq)
        slope = self.enc.beta.grad
        dzq = self.enc.backward(dscore * self.ea)
        self.enc.beta.grad = self.enc.beta.grad + slope
        self.dproj = self.a.T @ dza + self.q.T @ dzq
        return dzq @ self.proj.T, dza @ self.proj.T


def _scorer():
    rng = np.random.default_rng(8)
    return AnswerScorer(3, 4, rng), rng.normal(size=(5, 3)), rng.normal(size=(5, 3))


class Node:
    def __init__(self, value, deps=()):
        self.value, self.deps, self.grad = value, deps, 0.0

    def back(self, g):
        self.grad = self.grad + g
        for node, pull in self.deps:
            node.back(pull(g))


class BoltzmannEnergy:
    """Energy of visible units for each row, v W h + |v|^2 / 2, as a graph of nodes."""

    def __init__(self, W):
        self.W = W

    def forward(self, v):
        self.v, self.w = Node(v), Node(self.W)
        z = Node(v @ self.W, [(self.v, lambda g: g @ self.W.T), (self.w, lambda g: v.T @ g)])
        free = Node(-np.logaddexp(0, z.value).sum(1), [(z, lambda g: -g[:, None] / (1 + np.exp(-z.value)))])
        norm = Node(0.5 * (v**2).sum(1), [(self.v, lambda g: v)])
        self.out = Node(free.value + norm.value, [(free, lambda g: g), (norm, lambda g: g)])
        return self.out.value

    def backward(self, dE):
        for node in (self.v, self.w, self.out):
            node.grad = 0.0
        self.out.back(dE)
        self.dW = self.w.grad
        return self.v.grad


def _energy():
    rng = np.random.default_rng(9)
    return BoltzmannEnergy(rng.normal(size=(4, 3))), rng.normal(size=(5, 4))


class TwoTasks:
    """A trunk with two heads: valence and arousal of a piece of music."""

    def __init__(self, d, h, rng):
        self.params = [rng.normal(size=s) * 0.7 for s in ((d, h), (h, 2), (h, 2))]
        self.grads = [np.zeros_like(p) for p in self.params]

    def forward(self, x):
        trunk, valence, arousal = self.params
        self.x, self.h = x, np.tanh(x @ trunk)
        return self.h @ valence, self.h @ arousal

    def backward(self, dval, daro):
        trunk, valence, arousal = self.params
        self.grads[1][...] = self.h.T @ dval
        self.grads[2][...] = self.h.T @ dval
        dz = (dval @ valence.T + daro @ arousal.T) * (1 - self.h**2)
        self.grads[0][...] = self.x.T @ dz
        return dz @ trunk.T


def _tasks():
    rng = np.random.default_rng(10)
    return TwoTasks(3, 4, rng), rng.normal(size=(5, 3))


class TransferMatrices:
    """Product A_1 A_2 ... A_n of square layers' matrices (thin films), applied to a field."""

    def __init__(self, mats):
        self.mats = mats
        self.grads = [None] * len(mats)

    def forward(self, x):
        self.x = x
        self.left = [np.eye(len(x))]
        for m in self.mats:
            self.left.append(self.left[-1] @ m)
        return self.left[-1] @ x

    def backward(self, dout):
        right = dout @ self.x.T
        for i in range(len(self.mats) - 1, -1, -1):
            self.grads[i] = right @ self.left[i].T
            right = right @ self.mats[i].T
        return self.left[-1].T @ dout


def _films():
    rng = np.random.default_rng(11)
    return TransferMatrices([rng.normal(size=(3, 3)) for _ in range(3)]), rng.normal(size=(3, 4))


class ChannelGate(object):
    """x * sigmoid(gate), the gate per channel; saves memory by working in place."""

    def __init__(self, c):
        self.gate = np.linspace(-1, 1, c)

    def forward(self, x):
        self.x = x
        self.s = 1 / (1 + np.exp(-self.gate))
        return x * self.s

    def backward(self, dout):
        self.dgate = (dout * self.x).sum(0) * self.s * (1 - self.s)
        dout *= self.s
        return dout


def _gate():
    return ChannelGate(4), np.random.default_rng(12).normal(size=(3, 4))


def _habits():
    o, x = _gate()
    g = np.random.default_rng(13).normal(size=o.forward(x).shape)
    f = lambda c=g.copy(): np.sum(c * o.forward(x))
    return [(o.backward(g), H.true(f, x)), (o.dgate, H.true(f, o.gate))]


ENTRIES = [
    Stranger(
        "gated unit on a toy tensor",
        "model whose call returns a tensor with backward",
        lambda g: g.check_layer(*_gated()),
        _gated_proof,
    ),
    Stranger(
        "predator and prey on a tape of named values",
        "two outputs and inputs, tape",
        lambda g: g.check_layer(*_lotka()),
        lambda: H.layer(*_lotka(), spread=True, params=".rates>.rates_grad"),
    ),
    Stranger(
        "sequential container of modules",
        "container, parameter objects with value and grad",
        lambda g: g.check_layer(*_sequential()),
        lambda: _modules_proof(*_sequential()),
    ),
    Stranger(
        "branches side by side with the input",
        "nested containers",
        lambda g: g.check_layer(*_branches()),
        lambda: _modules_proof(*_branches()),
    ),
    Stranger(
        "smooth shrinkage as a function with a context",
        "static forward(ctx, ...) and backward(ctx, g)",
        lambda g: g.check_layer(SoftThreshold, *_shrink()[2:]),
        _shrink_proof,
    ),
    Stranger(
        "net of coroutines",
        "stages are generators",
        lambda g: g.check_layer(*_coroutines()),
        lambda: H.layer(
            *_coroutines(),
            params=" ".join(f".stages[{i}][1]['value']>.stages[{i}][1]['grad']" for i in range(3)),
        ),
    ),
    Stranger(
        "answer scorer: one encoder's memory for two calls",
        "module used twice",
        lambda g: g.check_layer(*_scorer()),
        lambda: H.layer(*_scorer(), params=".enc.beta.value>.enc.beta.grad .proj>.dproj"),
        "wrong",
        "the encoder goes back twice with what it kept of its second call",
        ("stale-residuals",),
        ("question", "enc.beta", "proj"),
        "        dzq = self.enc.backward(dscore * self.ea)\n",
        "        self.enc.forward(self.zq)\n        dzq = self.enc.backward(dscore * self.ea)\n",
    ),
    Stranger(
        "energy as a graph of nodes: the norm's node forgets what comes from above",
        "graph inside a layer",
        lambda g: g.check_layer(*_energy()),
        lambda: H.layer(*_energy(), params=".W>.dW"),
        "wrong",
        "the gradient of the squared norm is not multiplied by the gradient of its output",
        ("ignores-cotangent",),
        ("v",),
        "        norm = Node(0.5 * (v**2).sum(1), [(self.v, lambda g: v)])\n",
        "        norm = Node(0.5 * (v**2).sum(1), [(self.v, lambda g: g[:, None] * v)])\n",
    ),
    Stranger(
        "trunk with two heads: one head's weights from the other's gradient",
        "params and grads as lists, two outputs",
        lambda g: g.check_layer(*_tasks()),
        lambda: H.layer(
            *_tasks(), spread=True, params=" ".join(f".params[{i}]>.grads[{i}]" for i in range(3))
        ),
        "wrong",
        "the second head's weights take the first head's gradient",
        ("wrong-cotangent",),
        ("params[2]",),
        "        self.grads[2][...] = self.h.T @ dval\n",
        "        self.grads[2][...] = self.h.T @ daro\n",
    ),
    Stranger(
        "product of transfer matrices: factors in the wrong order",
        "list of parameters",
        lambda g: g.check_layer(*_films()),
        lambda: H.layer(*_films(), params=" ".join(f".mats[{i}]>.grads[{i}]" for i in range(3))),
        "wrong",
        "what stands left of a matrix is multiplied from the right",
        ("wrong-order",),
        ("mats[1]", "mats[2]"),
        "            self.grads[i] = right @ self.left[i].T\n",
        "            self.grads[i] = self.left[i].T @ right\n",
    ),
    Stranger(
        "channel gate that works in place",
        "layer",
        lambda g: g.check_layer(*_gate()),
        lambda: [],
        "habit",
        "backward multiplies the caller's dout in place and returns it",
        ("mutates-argument", "aliases-memory"),
    ),
]
