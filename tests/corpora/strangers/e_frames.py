"""Small frameworks in a file: tapes, modules, blobs, closures, each by another author."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any, Callable

import numpy as np

from ._entry import Stranger
from ._help_e import pairs

# ---- a tape: every Node knows how to send its gradient back --------------------------------------


class Node:
    def __init__(self, value, parents=()):
        self.value = np.asarray(value, dtype=float)
        self.grad = np.zeros_like(self.value)
        self.parents = parents  # (node, function of the gradient)

    def backward(self, seed=None):
        order, seen = [], set()

        def visit(n):
            if id(n) not in seen:
                seen.add(id(n))
                for p, _ in n.parents:
                    visit(p)
                order.append(n)

        visit(self)
        for n in order:
            n.grad = np.zeros_like(n.value)
        self.grad = np.ones_like(self.value) if seed is None else np.asarray(seed)
        for n in reversed(order):
            for p, send in n.parents:
                p.grad = p.grad + send(n.grad)


def fold(g, shape):
    while g.ndim > len(shape):
        g = g.sum(0)
    for ax, n in enumerate(shape):
        if n == 1 and g.shape[ax] != 1:
            g = g.sum(ax, keepdims=True)
    return g


def add(a, b):
    return Node(
        a.value + b.value, [(a, lambda g: fold(g, a.value.shape)), (b, lambda g: fold(g, b.value.shape))]
    )


def mul(a, b):
    return Node(
        a.value * b.value,
        [(a, lambda g: fold(g * b.value, a.value.shape)), (b, lambda g: fold(g * a.value, b.value.shape))],
    )


def mm(a, b):
    return Node(a.value @ b.value, [(a, lambda g: g @ b.value.T), (b, lambda g: a.value.T @ g)])


def squash(a):
    s = 1 / (1 + np.exp(-a.value))
    return Node(s, [(a, lambda g: g * s * (1 - s))])


class Mixer:
    """gate * (x W) + gate * x, the gate from x itself; called, it gives a Node."""

    def __init__(self, rng, n):
        self.W, self.G = Node(rng.standard_normal((n, n))), Node(rng.standard_normal((n, n)))
        self.offset = Node(rng.standard_normal((1, n)))

    def parameters(self):
        return [self.W, self.G, self.offset]

    def __call__(self, x):
        self.x = x if isinstance(x, Node) else Node(x)
        gate = squash(add(mm(self.x, self.G), self.offset))
        return add(mul(gate, mm(self.x, self.W)), mul(gate, self.x))


def mixer():
    r = np.random.default_rng(1)
    return Mixer(r, 3), r.standard_normal((4, 3))


def prove_mixer():
    m, x = mixer()

    def back(g):
        m(x).backward(g)
        return [m.x.grad] + [p.grad for p in m.parameters()]

    return pairs(lambda: m(x).value, [x] + [p.value for p in m.parameters()], back)


# ---- Sequential with residual branches and gradients that add up until zero_grad -----------------


@dataclass
class Weight:
    data: np.ndarray
    grad: np.ndarray = field(init=False)

    def __post_init__(self):
        self.grad = np.zeros_like(self.data)


class Module:
    def parameters(self) -> list[Weight]:
        return []

    def zero_grad(self) -> None:
        for w in self.parameters():
            w.grad[...] = 0


class Linear(Module):
    def __init__(self, n_in: int, n_out: int, rng: np.random.Generator):
        self.w, self.b = Weight(rng.standard_normal((n_in, n_out))), Weight(rng.standard_normal(n_out))

    def parameters(self):
        return [self.w, self.b]

    def forward(self, x):
        self.x = x
        return x @ self.w.data + self.b.data

    def backward(self, g):
        self.w.grad += self.x.T @ g
        self.b.grad += g.sum(0)
        return g @ self.w.data.T


class Swish(Module):
    def forward(self, x):
        self.x, self.s = x, 1 / (1 + np.exp(-x))
        return x * self.s

    def backward(self, g):
        return g * self.s * (1 + self.x * (1 - self.s))


class Sequence(Module):
    def __init__(self, *mods: Module):
        self.mods = mods

    def parameters(self):
        return [w for m in self.mods for w in m.parameters()]

    def forward(self, x):
        for m in self.mods:
            x = m.forward(x)
        return x

    def backward(self, g):
        for m in reversed(self.mods):
            g = m.backward(g)
        return g


class Skip(Module):
    def __init__(self, inner: Module, share: float = 0.5):
        self.inner, self.share = inner, share

    def parameters(self):
        return self.inner.parameters()

    def forward(self, x):
        return self.share * x + self.inner.forward(x)

    def backward(self, g):
        return self.share * g + self.inner.backward(g)


def skipnet():
    r = np.random.default_rng(11)
    return (
        Sequence(Linear(3, 4, r), Skip(Sequence(Swish(), Linear(4, 4, r))), Linear(4, 2, r)),
        r.standard_normal((3, 3)),
    )


def prove_skipnet():
    net, x = skipnet()

    def back(g):
        net.zero_grad()
        return [net.backward(g)] + [w.grad for w in net.parameters()]

    return pairs(lambda: net.forward(x), [x] + [w.data for w in net.parameters()], back)


# ---- forward gives an object that carries its own way back ---------------------------------------


@dataclass
class Traced:
    out: np.ndarray
    pullback: Callable[[np.ndarray], dict[str, Any]]

    def __array__(self, dtype=None, copy=None):
        return np.array(self.out, dtype=dtype)

    def backward(self, g):
        return self.pullback(g)


class LogCoshShrink:
    """y = log cosh(a x) / a per column; the result is a Traced."""

    def __init__(self, a):
        self.a = np.array(a)

    def forward(self, x):
        a = self.a.copy()
        y = np.log(np.cosh(a * x)) / a
        t = np.tanh(a * x)
        return Traced(y, lambda g: {"x": g * t, "a": (g * (x * t - y)).sum(0) / a})


def shrink():
    return LogCoshShrink([0.6, 1.1, 1.7, -0.9]), np.random.default_rng(21).standard_normal((3, 4))


def prove_shrink():
    m, x = shrink()

    def back(g):
        d = m.forward(x).backward(g)
        return [d["x"], d["a"]]

    return pairs(lambda: m.forward(x).out, [x, m.a], back)


# ---- builds itself on the first input ------------------------------------------------------------


class LazyMaxout:
    def __init__(self, units, pieces, seed=31):
        self.units, self.pieces, self.seed = units, pieces, seed
        self.built = False

    def build(self, input_shape):
        g = np.random.default_rng(self.seed)
        self.kernel = g.standard_normal((input_shape[-1], self.units, self.pieces))
        self.bias = g.standard_normal((self.units, self.pieces))
        self.built = True

    def forward(self, x):
        if not self.built:
            self.build(x.shape)
        self.x = x
        z = np.einsum("ni,iuk->nuk", x, self.kernel) + self.bias
        self.sel = np.eye(self.pieces)[z.argmax(axis=2)]
        return (z * self.sel).sum(axis=2)

    def backward(self, grad):
        gz = grad[:, :, None] * self.sel
        self.kernel_grad = np.einsum("ni,nuk->iuk", self.x, gz)
        self.bias_grad = gz.sum(axis=0)
        return np.einsum("nuk,iuk->ni", gz, self.kernel)


def lazy():
    return LazyMaxout(2, 3), np.random.default_rng(32).standard_normal((4, 3))


def prove_lazy():
    m, x = lazy()
    m.forward(x)
    return pairs(
        lambda: m.forward(x), [x, m.kernel, m.bias], lambda g: [m.backward(g), m.kernel_grad, m.bias_grad]
    )


# ---- blobs with data and diff --------------------------------------------------------------------


class Blob:
    def __init__(self, data):
        self.data = np.array(data, dtype=float)
        self.diff = np.zeros_like(self.data)


class PowerLayer:
    """top = (shift + scale * bottom) ** power; the cotangent is put into top.diff before backward()."""

    def __init__(self, power, scale, shift):
        self.power = power
        self.blobs = [Blob(scale), Blob(shift)]

    def forward(self, x):
        self.bottom = Blob(x)
        self.base = self.blobs[1].data + self.blobs[0].data * self.bottom.data
        self.top = Blob(self.base**self.power)
        return self.top

    def backward(self):
        d = self.top.diff * self.power * self.base ** (self.power - 1)
        self.blobs[0].diff = (d * self.bottom.data).sum(axis=0)
        self.blobs[1].diff = d.sum(axis=0)
        self.bottom.diff = d * self.blobs[0].data
        return self.bottom.diff


def power():
    return PowerLayer(3, [0.5, -0.8, 1.2], [1.0, 0.7, 2.0]), np.random.default_rng(41).standard_normal((4, 3))


def prove_power():
    m, x = power()

    def back(g):
        m.top.diff[...] = g
        return [m.backward(), m.blobs[0].diff, m.blobs[1].diff]

    return pairs(lambda: m.forward(x).data, [x, m.blobs[0].data, m.blobs[1].data], back)


# ---- an older tape, by hand, gradients in a dict by name -----------------------------------------


class Recorder:
    def __init__(self):
        self.val, self.ops = {}, []

    def put(self, name, v):
        self.val[name] = np.asarray(v)
        return name

    def do(self, kind, out, *ins):
        a = [self.val[i] for i in ins]
        self.val[out] = {
            "sub": lambda: a[0] - a[1],
            "mul": lambda: a[0] * a[1],
            "exp": lambda: np.exp(a[0]),
            "dot": lambda: a[0] @ a[1],
        }[kind]()
        self.ops.append((kind, out, ins))
        return out

    def reverse(self, out, seed):
        d = {n: np.zeros_like(v, dtype=float) for n, v in self.val.items()}
        d[out] += seed
        for kind, o, ins in reversed(self.ops):
            g, a = d[o], [self.val[i] for i in ins]
            if kind == "sub":
                d[ins[0]] += g
                d[ins[1]] += g
            elif kind == "mul":
                d[ins[0]] += g * a[1]
                d[ins[1]] += g * a[0]
            elif kind == "exp":
                d[ins[0]] += g * self.val[o]
            else:
                d[ins[0]] += g @ a[1].T
                d[ins[1]] += a[0].T @ g
        return d


class DecayDifference:
    """exp(x P) * (x P - x Q), recorded on a Recorder."""

    def __init__(self, P, Q):
        self.params = {"P": P, "Q": Q}

    def forward(self, x):
        r = self.rec = Recorder()
        r.put("x", x), r.put("P", self.params["P"]), r.put("Q", self.params["Q"])
        r.do("dot", "a", "x", "P")
        r.do("dot", "b", "x", "Q")
        r.do("sub", "c", "a", "b")
        r.do("exp", "e", "a")
        return r.val[r.do("mul", "y", "e", "c")]

    def backward(self, dy):
        d = self.rec.reverse("y", dy)
        self.grads = {"P": d["P"], "Q": d["Q"]}
        return d["x"]


def decay():
    r = np.random.default_rng(51)
    return (
        DecayDifference(0.5 * r.standard_normal((3, 2)), r.standard_normal((3, 2))),
        r.standard_normal((4, 3)),
    )


def prove_decay():
    m, x = decay()
    return pairs(
        lambda: m.forward(x),
        [x, m.params["P"], m.params["Q"]],
        lambda g: [m.backward(g), m.grads["P"], m.grads["Q"]],
    )


# ---- modules with slots --------------------------------------------------------------------------


class Couple:
    """x + tanh(x M) N with square matrices; gradients sit in .slots beside the values."""

    def __init__(self, m, n):
        self.slots = {"m": [m, None], "n": [n, None]}

    def forward(self, x):
        self.x, self.h = x, np.tanh(x @ self.slots["m"][0])
        return x + self.h @ self.slots["n"][0]

    def backward(self, up):
        self.slots["n"][1] = self.h.T @ up
        da = (up @ self.slots["n"][0].T) * (1 - self.h**2)
        self.slots["m"][1] = self.x.T @ da
        return up + da @ self.slots["m"][0]


def couple():
    r = np.random.default_rng(61)
    return Couple(r.standard_normal((3, 3)), r.standard_normal((3, 3))), r.standard_normal((4, 3))


def prove_couple():
    m, x = couple()
    s = m.slots
    return pairs(
        lambda: m.forward(x), [x, s["m"][0], s["n"][0]], lambda g: [m.backward(g), s["m"][1], s["n"][1]]
    )


# ---- a module that is two closures ---------------------------------------------------------------


def dense_block(w, b, limit=1.0):
    """Returns (forward, backward); forward gives (y, cache), backward (dx, dw, db)."""

    def forward(x, w=w, b=b):
        y = np.sinh(x @ w + b)
        return y, (x, w, y)

    def backward(dy, cache):
        x, w, y = cache
        dy = np.clip(dy, -limit, limit)  # keeps training calm
        da = dy * np.sqrt(1 + y * y)
        return da @ w.T, x.T @ da, da.sum(axis=0)

    return forward, backward


def block():
    r = np.random.default_rng(71)
    primals = r.standard_normal((4, 3)), 0.4 * r.standard_normal((3, 2)), r.standard_normal(2)
    return (*dense_block(primals[1], primals[2]), primals)


def prove_block():
    f, b, primals = block()
    return pairs(lambda: f(*primals)[0], list(primals), lambda g: b(g, f(*primals)[1]))


# ---- layers that speak in dicts ------------------------------------------------------------------


class GatedProduct:
    """left * sigmoid(right), with a gain; backward returns {"left": ..., "right": ...}."""

    def __init__(self, gain):
        self.gain = gain

    def forward(self, left, right):
        self.left, self.s = left, 1 / (1 + np.exp(-right))
        return self.gain * left * self.s

    def backward(self, delta):
        self.gain_grad = (delta * self.left * self.s).sum(axis=0)
        via_gate = delta * self.gain * self.left * self.s * (1 - self.s)
        via_value = delta * self.gain * self.s
        return {"left": via_gate, "right": via_value}


def gated():
    r = np.random.default_rng(81)
    return GatedProduct(r.standard_normal(3)), r.standard_normal((4, 3)), r.standard_normal((4, 3))


def prove_gated():
    m, a, b = gated()

    def back(g):
        d = m.backward(g)
        return [d["left"], d["right"], m.gain_grad]

    return pairs(lambda: m.forward(a, b), [a, b, m.gain], back)


# ---- a join --------------------------------------------------------------------------------------


class Junction:
    """Adds two streams and a learnt level."""

    def __init__(self, level):
        self.level = np.array(level)
        self.level_delta = np.zeros_like(self.level)

    def forward(self, a, b):
        return a + b + self.level

    def backward(self, delta):
        self.level_delta = delta.sum(axis=0)
        return delta, delta


def junction():
    r = np.random.default_rng(91)
    return Junction([0.3, -0.2, 0.9]), r.standard_normal((2, 3)), r.standard_normal((2, 3))


def prove_junction():
    m, a, b = junction()
    return pairs(lambda: m.forward(a, b), [a, b, m.level], lambda g: [*m.backward(g), m.level_delta])


ENTRIES = [
    Stranger(
        "gated mixer on a tape of nodes",
        "callable module, result with backward and leaves with grad",
        lambda gradlab: gradlab.check_layer(*mixer()),
        prove_mixer,
    ),
    Stranger(
        "sequence with a scaled skip and gradients that add up",
        "framework in a file, zero_grad",
        lambda gradlab: gradlab.check_layer(*skipnet()),
        prove_skipnet,
    ),
    Stranger(
        "log cosh whose result carries its pullback",
        "forward gives an object with backward -> dict",
        lambda gradlab: gradlab.check_layer(*shrink()),
        prove_shrink,
    ),
    Stranger(
        "maxout layer that builds itself on its first input",
        "layer with build, X_grad attributes",
        lambda gradlab: gradlab.check_layer(*lazy()),
        prove_lazy,
    ),
    Stranger(
        "power layer with blobs, cotangent put into top.diff",
        "blobs with data and diff",
        lambda gradlab: gradlab.check_layer(*power()),
        prove_power,
    ),
    Stranger(
        "recorder of operations: subtraction's second operand with the wrong sign",
        "tape by names",
        lambda gradlab: gradlab.check_layer(*decay()),
        prove_decay,
        "wrong",
        "subtraction adds the gradient to both operands",
        ("sign-flipped",),
        ("x", "Q"),
        "                d[ins[1]] += g\n",
        "                d[ins[1]] -= g\n",
    ),
    Stranger(
        "residual couple of square matrices: one not transposed",
        "layer with value and gradient in slots",
        lambda gradlab: gradlab.check_layer(*couple()),
        prove_couple,
        "wrong",
        "the input's gradient goes through m instead of its transpose",
        ("transposed",),
        ("x",),
        'return up + da @ self.slots["m"][0]',
        'return up + da @ self.slots["m"][0].T',
    ),
    Stranger(
        "dense block of closures: cotangent clipped on the way in",
        "closures, pair with cache",
        lambda gradlab: gradlab.check_cached_pair(*block()),
        prove_block,
        "wrong",
        "backward clips the cotangent between -1 and 1",
        ("nonlinear-in-cotangent",),
        ("x", "w", "b"),
        "        dy = np.clip(dy, -limit, limit)  # keeps training calm\n",
        "",
    ),
    Stranger(
        "gated product: the two gradients under each other's names",
        "layer, dict of gradients back",
        lambda gradlab: gradlab.check_layer(*gated()),
        prove_gated,
        "wrong",
        "left and right are exchanged in the dict",
        ("swapped-primals",),
        ("left", "right"),
        'return {"left": via_gate, "right": via_value}',
        'return {"left": via_value, "right": via_gate}',
    ),
    Stranger(
        "junction of two streams: hands on the cotangent itself, twice",
        "layer of two inputs",
        lambda gradlab: gradlab.check_layer(*junction()),
        prove_junction,
        "habit",
        "both gradients are the cotangent's own array",
        ("aliases-memory",),
        ("a", "b"),
        "return delta, delta",
        "return delta.copy(), delta.copy()",
    ),
]
