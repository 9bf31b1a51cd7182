import numpy as np

from ._entry import Stranger
from ._help_a import against, dot, rnd


# ---- a Module base, Sequential, parameter objects
class Parameter:
    def __init__(self, data):
        self.data = np.asarray(data, dtype=float)
        self.grad = np.zeros_like(self.data)


class Module:
    def parameters(self):
        for value in vars(self).values():
            if isinstance(value, Parameter):
                yield value
            elif isinstance(value, Module):
                yield from value.parameters()
            elif isinstance(value, (list, tuple)):
                for item in value:
                    if isinstance(item, Module):
                        yield from item.parameters()

    def zero_grad(self):
        for p in self.parameters():
            p.grad[...] = 0

    def __call__(self, x):
        return self.forward(x)


class Linear(Module):
    def __init__(self, n_in, n_out, seed):
        self.weight = Parameter(0.5 * rnd(seed, n_in, n_out))
        self.bias = Parameter(0.1 * rnd(seed + 1, n_out))

    def forward(self, x):
        self._x = x
        return x @ self.weight.data + self.bias.data

    def backward(self, grad_output):
        self.weight.grad += self._x.T @ grad_output
        self.bias.grad += grad_output.sum(axis=0)
        return grad_output @ self.weight.data.T


class Tanh(Module):
    def forward(self, x):
        self._y = np.tanh(x)
        return self._y

    def backward(self, grad_output):
        return grad_output * (1 - self._y**2)


class Sequential(Module):
    def __init__(self, *modules):
        self.modules = modules

    def forward(self, x):
        for m in self.modules:
            x = m(x)
        return x

    def backward(self, grad_output):
        for m in reversed(self.modules):
            grad_output = m.backward(grad_output)
        return grad_output


def sequential():
    return Sequential(Linear(4, 5, 1), Tanh(), Linear(5, 3, 3))


class Residual(Module):
    """y = x + body(x)"""

    def __init__(self, body):
        self.body = body

    def forward(self, x):
        return x + self.body(x)

    def backward(self, grad_output):
        return self.body.backward(grad_output)


def residual():
    return Residual(Sequential(Linear(4, 6, 11), Tanh(), Linear(6, 4, 13)))


def prove_module(make, x, g):
    net = make()
    net.zero_grad()
    net.forward(x)
    dx = net.backward(g.copy())
    pairs = [(dx, x)] + [(p.grad, p.data) for p in net.parameters()]
    return against(lambda: dot(net.forward(x), g), pairs)


class ReLU(Module):
    def forward(self, x):
        self._mask = x > 0
        return np.where(self._mask, x, 0.0)

    def backward(self, grad_output):
        grad_output *= self._mask  # saves an allocation
        return grad_output


def relu_net():
    return Sequential(Linear(3, 5, 21), Tanh(), Linear(5, 4, 23), ReLU())


# ---- containers that go side by side
class Parallel:
    """Branches see the same input, their outputs are put side by side."""

    def __init__(self, *branches):
        self.branches = branches

    def forward(self, x):
        outs = [b.forward(x) for b in self.branches]
        self.splits = np.cumsum([o.shape[1] for o in outs])[:-1]
        return np.concatenate(outs, axis=1)

    def backward(self, grad_output):
        pieces = np.split(grad_output, self.splits, axis=1)
        return sum(b.backward(p) for b, p in zip(self.branches, pieces))

    def parameters(self):
        return [p for b in self.branches for p in b.parameters()]

    def zero_grad(self):
        for b in self.branches:
            b.zero_grad()


class TwinBranches(Parallel):
    def __init__(self):
        super().__init__(Sequential(Linear(4, 3, 31), Tanh()), Linear(4, 3, 33))

    def backward(self, grad_output):
        half = grad_output.shape[1] // 2
        left, right = self.branches
        d_right = right.backward(grad_output[:, :half])
        d_left = left.backward(grad_output[:, half:])
        return d_left + d_right


def parallel():
    return Parallel(Sequential(Linear(4, 2, 41), Tanh()), Linear(4, 3, 43), Tanh())


# ---- a tape
class Var:
    def __init__(self, data, parents=(), pull=None):
        self.data = np.asarray(data, dtype=float)
        self.grad = np.zeros_like(self.data)
        self.parents, self.pull = parents, pull

    def __matmul__(self, other):
        out = Var(self.data @ other.data, (self, other))

        def pull():
            self.grad = self.grad + out.grad @ other.data.T
            other.grad = other.grad + self.data.T @ out.grad

        out.pull = pull
        return out

    def __add__(self, other):
        out = Var(self.data + other.data, (self, other))

        def pull():
            self.grad = self.grad + unbroadcast(out.grad, self.data.shape)
            other.grad = other.grad + unbroadcast(out.grad, other.data.shape)

        out.pull = pull
        return out

    def __mul__(self, other):
        out = Var(self.data * other.data, (self, other))

        def pull():
            self.grad = self.grad + unbroadcast(out.grad * other.data, self.data.shape)
            other.grad = other.grad + unbroadcast(out.grad * self.data, other.data.shape)

        out.pull = pull
        return out

    def tanh(self):
        t = np.tanh(self.data)
        out = Var(t, (self,))

        def pull():
            self.grad = self.grad + out.grad * (1 - t * t)

        out.pull = pull
        return out

    def sum(self):
        out = Var(self.data.sum(), (self,))

        def pull():
            self.grad = self.grad + out.grad * np.ones_like(self.data)

        out.pull = pull
        return out

    def backward(self):
        order, seen = [], set()

        def visit(v):
            if id(v) not in seen:
                seen.add(id(v))
                for p in v.parents:
                    visit(p)
                order.append(v)

        visit(self)
        for v in order:
            v.grad = np.zeros_like(v.data)
        self.grad = np.ones_like(self.data)
        for v in reversed(order):
            if v.pull is not None:
                v.pull()


def unbroadcast(g, shape):
    while g.ndim > len(shape):
        g = g.sum(axis=0)
    for axis, n in enumerate(shape):
        if n == 1 and g.shape[axis] != 1:
            g = g.sum(axis=axis, keepdims=True)
    return g


class TapeMLP:
    def __init__(self):
        self.params = {"W1": Var(0.5 * rnd(51, 3, 4)), "b1": Var(0.1 * rnd(52, 4))}
        self.params["W2"] = Var(0.5 * rnd(53, 4, 2))

    def loss(self, x, t):
        h = (Var(x) @ self.params["W1"] + self.params["b1"]).tanh()
        err = h @ self.params["W2"] + Var(-t)
        return (err * err).sum()

    def gradient(self, x, t):
        self.loss(x, t).backward()
        return {k: v.grad for k, v in self.params.items()}


def prove_tape():
    net, x, t = TapeMLP(), rnd(54, 5, 3), rnd(55, 5, 2)
    g = net.gradient(x, t)
    return against(lambda: net.loss(x, t).data, [(g[k], net.params[k].data) for k in g])


# ---- another tape, scalar-style closures over arrays
class Node:
    def __init__(self, value):
        self.value = value
        self.grad = 0.0


class Tape:
    def __init__(self):
        self.ops, self.nodes = [], []

    def node(self, value):
        self.nodes.append(Node(value))
        return self.nodes[-1]

    def mul(self, a, b):
        out = self.node(a.value * b.value)

        def back():
            a.grad = a.grad + out.grad * b.value
            b.grad = b.grad + out.grad * a.value

        self.ops.append(back)
        return out

    def add(self, a, b):
        out = self.node(a.value + b.value)

        def back():
            a.grad = a.grad + out.grad
            b.grad = b.grad + out.grad

        self.ops.append(back)
        return out

    def sin(self, a):
        out = self.node(np.sin(a.value))

        def back():
            a.grad = out.grad * np.cos(a.value)

        self.ops.append(back)
        return out

    def rewind(self, out, g):
        for node in self.nodes:
            node.grad = 0.0
        out.grad = g
        for back in reversed(self.ops):
            back()


class Wiggle:
    """y = x * w + sin(x), recorded on a tape."""

    def __init__(self, n=4):
        self.w = rnd(61, n)
        self.dw = np.zeros(n)

    def forward(self, x):
        self.tape = Tape()
        self.nx, self.nw = self.tape.node(x), self.tape.node(self.w)
        self.out = self.tape.add(self.tape.sin(self.nx), self.tape.mul(self.nx, self.nw))
        return self.out.value

    def backward(self, g):
        self.tape.rewind(self.out, g)
        self.dw = self.nw.grad
        return self.nx.grad


def prove_wiggle():
    layer, x, g = Wiggle(), rnd(62, 4), rnd(63, 4)
    layer.forward(x)
    dx = layer.backward(g)
    return against(lambda: dot(layer.forward(x), g), [(dx, x), (layer.dw, layer.w)])


# ---- functions with a context
class Ctx:
    def save(self, *arrays):
        self.saved = arrays


class RowScale:
    @staticmethod
    def forward(ctx, x, s):
        ctx.save(x, s)
        return x * s[:, None]

    @staticmethod
    def backward(ctx, grad):
        x, s = ctx.saved
        return grad * s[:, None], (grad * x).sum(axis=1)


class Gelu:
    K = 0.7978845608028654

    @staticmethod
    def forward(ctx, x):
        ctx.save(x)
        return 0.5 * x * (1 + np.tanh(Gelu.K * (x + 0.044715 * x**3)))

    @staticmethod
    def backward(ctx, grad):
        (x,) = ctx.saved
        s = 1 / (1 + np.exp(-1.702 * x))
        return grad * (s + 1.702 * x * s * (1 - s))


def with_ctx(function):
    def forward(*arrays):
        ctx = Ctx()
        return function.forward(ctx, *arrays), ctx

    def backward(ctx, g):
        grads = function.backward(ctx, g)
        return grads if isinstance(grads, tuple) else (grads,)

    return forward, backward


def prove_function(function, arrays, g):
    forward, backward = with_ctx(function)
    grads = backward(forward(*arrays)[1], g)
    return against(lambda: dot(forward(*arrays)[0], g), list(zip(grads, arrays)))


# ---- registered layers, compile() first, nested parameters
class Stack:
    def __init__(self, n_input):
        self.n_input = n_input
        self.layers = []
        self.params, self.grads = {}, {}
        self.config = {"init": {"gain": 0.7, "seed": 5}, "activation": {"name": "softsign"}}

    def add(self, units):
        self.layers.append(units)
        return self

    def compile(self):
        rng = np.random.default_rng(self.config["init"]["seed"])
        n = self.n_input
        for i, units in enumerate(self.layers):
            gain = self.config["init"]["gain"]
            W = gain * rng.standard_normal((n, units))
            self.params["layer%d" % i] = {"W": W, "b": np.full(units, 0.05)}
            self.grads["layer%d" % i] = {"W": None, "b": None}
            n = units
        return self

    def forward(self, x):
        self.inputs, self.pre = [], []
        for i in range(len(self.layers)):
            p = self.params["layer%d" % i]
            self.inputs.append(x)
            z = x @ p["W"] + p["b"]
            self.pre.append(z)
            x = z / (1 + np.abs(z))
        return x

    def backward(self, dy):
        for i in reversed(range(len(self.layers))):
            dz = dy / (1 + np.abs(self.pre[i])) ** 2
            self.grads["layer%d" % i]["W"] = self.inputs[i].T @ dz
            self.grads["layer%d" % i]["b"] = dz.sum(axis=0)
            dy = dz @ self.params["layer%d" % i]["W"].T
        return dy


def stack():
    return Stack(4).add(5).add(3).compile()


def prove_stack():
    net, x, g = stack(), rnd(71, 6, 4), rnd(72, 6, 3)
    net.forward(x)
    pairs = [(net.backward(g), x)]
    pairs += [(net.grads[a][b], net.params[a][b]) for a in net.params for b in ("W", "b")]
    return against(lambda: dot(net.forward(x), g), pairs)


# ---- functions that remember who made what
class Variable:
    def __init__(self, data):
        self.data = data
        self.grad = None
        self.creator = None

    def backward(self):
        if self.grad is None:
            self.grad = np.ones_like(self.data)
        f = self.creator
        while f is not None:
            f.input.grad = f.backward(f.output.grad)
            f = f.input.creator


class Function:
    def __call__(self, inp):
        self.input = inp
        self.output = Variable(self.forward(inp.data))
        self.output.creator = self
        return self.output


class Softplus(Function):
    def __init__(self, beta=2.0):
        self.beta = beta

    def forward(self, x):
        self.x = x
        return np.logaddexp(0, self.beta * x) / self.beta

    def backward(self, gy):
        return gy / (1 + np.exp(-self.beta * self.x))


class Square(Function):
    def forward(self, x):
        self.x = x
        return x**2

    def backward(self, gy):
        return 2 * self.x * gy


class SquaredSoftplus:
    """Square()(Softplus()(x)) as a layer."""

    def forward(self, x):
        self.inp = Variable(x)
        self.out = Square()(Softplus(1.5)(self.inp))
        return self.out.data

    def backward(self, dout):
        self.out.grad = dout
        self.out.backward()
        return self.inp.grad


def prove_creator():
    layer, x, g = SquaredSoftplus(), rnd(81, 3, 4), rnd(82, 3, 4)
    layer.forward(x)
    return against(lambda: dot(layer.forward(x), g), [(layer.backward(g), x)])


# ---- a tape whose add does not sum over what was broadcast
class Tensor:
    """A small tensor; `+` and `@` only."""

    def __init__(self, value, children=()):
        self.value = value
        self.children = children
        self.gradient = np.zeros_like(value)
        self.step_back = lambda: None

    def __add__(self, other):
        out = Tensor(self.value + other.value, (self, other))

        def step_back():
            self.gradient = self.gradient + out.gradient
            other.gradient = other.gradient + out.gradient

        out.step_back = step_back
        return out

    def __matmul__(self, other):
        out = Tensor(self.value @ other.value, (self, other))

        def step_back():
            self.gradient = self.gradient + out.gradient @ other.value.T
            other.gradient = other.gradient + self.value.T @ out.gradient

        out.step_back = step_back
        return out


class TensorAffine:
    def __init__(self, n_in=3, n_out=4):
        self.W, self.b = Tensor(rnd(91, n_in, n_out)), Tensor(rnd(92, n_out))

    def forward(self, x):
        self.x = Tensor(x)
        self.xw = self.x @ self.W
        self.y = self.xw + self.b
        return self.y.value

    def backward(self, g):
        for v in (self.W, self.b, self.x, self.xw):
            v.gradient = np.zeros_like(v.value)
        self.y.gradient = g
        self.y.step_back()
        self.xw.step_back()
        return self.x.gradient


def prove_affine():
    layer, x, g = TensorAffine(), rnd(93, 5, 3), rnd(94, 5, 4)
    layer.forward(x)
    dx = layer.backward(g)
    claimed = np.array(layer.b.gradient)
    true = against(lambda: dot(layer.forward(x), g), [(dx, x), (layer.W.gradient, layer.W.value)])
    return true + [(claimed, g.sum(axis=0))]


ENTRIES = [
    Stranger(
        "Sequential of modules with parameter objects",
        "module framework in a file",
        lambda gradlab: gradlab.check_layer(sequential(), rnd(5, 6, 4)),
        lambda: prove_module(sequential, rnd(5, 6, 4), rnd(6, 6, 3)),
    ),
    Stranger(
        "residual container: the skip path forgotten",
        "module framework in a file",
        lambda gradlab: gradlab.check_layer(residual(), rnd(15, 5, 4)),
        lambda: prove_module(residual, rnd(15, 5, 4), rnd(16, 5, 4)),
        "wrong",
        "backward goes through the body only and not along the identity",
        ("missing-term",),
        ("x",),
    ),
    Stranger(
        "modules with a ReLU at the end: masks the cotangent in place",
        "module framework in a file",
        lambda gradlab: gradlab.check_layer(relu_net(), rnd(25, 4, 3)),
        lambda: prove_module(relu_net, rnd(25, 4, 3), rnd(26, 4, 4)),
        "habit",
        "the ReLU multiplies the incoming gradient in place",
        ("mutates-argument",),
        ("grad_output",),
    ),
    Stranger(
        "parallel container of three branches",
        "container of layers",
        lambda gradlab: gradlab.check_layer(parallel(), rnd(45, 5, 4)),
        lambda: prove_module(parallel, rnd(45, 5, 4), rnd(46, 5, 9)),
    ),
    Stranger(
        "twin branches: the halves of the gradient exchanged",
        "container of layers",
        lambda gradlab: gradlab.check_layer(TwinBranches(), rnd(35, 5, 4)),
        lambda: prove_module(TwinBranches, rnd(35, 5, 4), rnd(36, 5, 6)),
        "wrong",
        "the first half of the gradient goes into the second branch and the other way round",
        ("columns-exchanged", "wrong-cotangent"),
        ("x", "weight", "bias"),
    ),
    Stranger(
        "MLP on a tape of arrays",
        "tape in a file, gradient -> dict",
        lambda gradlab: gradlab.check_model(TapeMLP(), rnd(54, 5, 3), rnd(55, 5, 2)),
        prove_tape,
    ),
    Stranger(
        "layer on a tape: sin assigns its input's gradient",
        "layer on a tape",
        lambda gradlab: gradlab.check_layer(Wiggle(), rnd(62, 4)),
        prove_wiggle,
        "wrong",
        "sin writes = where += is needed, so the product's share of x is lost",
        ("last-write-wins", "missing-term"),
        ("x",),
    ),
    Stranger(
        "row scaling as a function with a context",
        "static forward and backward with ctx",
        lambda gradlab: gradlab.check_vjp(*with_ctx(RowScale), (rnd(1, 4, 3), rnd(2, 4)), name="RowScale"),
        lambda: prove_function(RowScale, [rnd(1, 4, 3), rnd(2, 4)], rnd(3, 4, 3)),
    ),
    Stranger(
        "gelu as a function with a context: slope of the sigmoid's approximation",
        "static forward and backward with ctx",
        lambda gradlab: gradlab.check_vjp(*with_ctx(Gelu), (rnd(1, 4, 3),), name="Gelu"),
        lambda: prove_function(Gelu, [rnd(1, 4, 3)], rnd(3, 4, 3)),
        "wrong",
        "forward is the tanh approximation, backward that of x sigmoid(1.702 x)",
        ("other-approximation",),
        ("x",),
    ),
    Stranger(
        "stack of layers that is compiled first",
        "container with nested dicts of parameters, setup step",
        lambda gradlab: gradlab.check_layer(stack(), rnd(71, 6, 4)),
        prove_stack,
    ),
    Stranger(
        "squared softplus from functions that know their creators",
        "layer on variables with creators",
        lambda gradlab: gradlab.check_layer(SquaredSoftplus(), rnd(81, 3, 4)),
        prove_creator,
    ),
    Stranger(
        "affine layer on small tensors: bias not summed over the batch",
        "layer on a tape",
        lambda gradlab: gradlab.check_layer(TensorAffine(), rnd(93, 5, 3)),
        prove_affine,
        "wrong",
        "the addition hands on the gradient in the output's shape",
        ("missing-broadcast-sum", "wrong-shape"),
        ("b",),
    ),
]
