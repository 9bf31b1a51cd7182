"""Small frameworks that people write in order to understand the big ones."""

import numpy as np

from ._entry import Stranger
from ._help_w import pairs


def rand(seed, *shape):
    return np.random.RandomState(seed).randn(*shape)


# === 1. nanograd: a graph of closures, SIREN on top
class V:
    def __init__(self, data, parents=()):
        self.data = np.asarray(data, dtype=float)
        self.grad = np.zeros_like(self.data)
        self._parents = parents
        self._backward = lambda: None

    def __matmul__(self, o):
        out = V(self.data @ o.data, (self, o))

        def _backward():
            self.grad += out.grad @ o.data.T
            o.grad += self.data.T @ out.grad

        out._backward = _backward
        return out

    def __add__(self, o):
        out = V(self.data + o.data, (self, o))

        def _backward():
            for v in (self, o):
                lead = out.grad.ndim - v.grad.ndim
                v.grad += out.grad.sum(axis=tuple(range(lead))) if lead else out.grad

        out._backward = _backward
        return out

    def __mul__(self, c):
        out = V(self.data * c, (self,))

        def _backward():
            self.grad += c * out.grad

        out._backward = _backward
        return out

    def sin(self):
        out = V(np.sin(self.data), (self,))

        def _backward():
            self.grad += out.grad * np.cos(self.data)

        out._backward = _backward
        return out

    def backward(self, seed=None):
        order, seen = [], set()

        def visit(v):
            if id(v) not in seen:
                seen.add(id(v))
                for p in v._parents:
                    visit(p)
                order.append(v)

        visit(self)
        self.grad = np.ones_like(self.data) if seed is None else np.array(seed, dtype=float)
        for v in reversed(order):
            v._backward()


class Siren:
    """coordinates -> sin(w0 (x W + b)) -> ... -> signal"""

    def __init__(self, sizes, w0=3.0):
        self.w0 = w0
        self.W = [V(rand(i, a, b) / a) for i, (a, b) in enumerate(zip(sizes, sizes[1:]))]
        self.b = [V(0.1 * rand(50 + i, b)) for i, b in enumerate(sizes[1:])]

    def parameters(self):
        return self.W + self.b

    def zero_grad(self):
        for p in self.parameters():
            p.grad = np.zeros_like(p.data)

    def __call__(self, x):
        x = x if isinstance(x, V) else V(x)
        for W, b in zip(self.W[:-1], self.b):
            x = ((x @ W + b) * self.w0).sin()
        return x @ self.W[-1] + self.b[-1]


def prove_siren():
    net, x, g = Siren([2, 5, 4, 1]), rand(1, 6, 2), rand(2, 6, 1)
    xv, ps = V(x), net.parameters()
    net(xv).backward(g)
    claimed = [xv.grad, *(p.grad for p in ps)]
    return pairs(lambda: np.sum(net(x).data * g), claimed, [x, *(p.data for p in ps)])


# === 2. Keras manner: DCN-v2 cross layer
class Layer:
    built = False

    def __call__(self, *inputs):
        if not self.built:
            self.build([i.shape for i in inputs])
            self.built = True
        return self.call(*inputs)


class Cross(Layer):
    """x0 * (x W + b) + x, the feature crossing of recommender systems"""

    def build(self, shapes):
        d = shapes[0][-1]
        self.kernel = rand(3, d, d) * np.sqrt(1 / d)
        self.bias = 0.1 * rand(4, d)

    def call(self, x0, x):
        self._x0, self._x = x0, x
        self._proj = x @ self.kernel + self.bias
        return x0 * self._proj + x

    def backward(self, upstream):
        dproj = upstream * self._x0
        self.kernel_gradient = self._x.T @ dproj
        self.bias_gradient = dproj.sum(axis=0)
        return [upstream * self._proj, dproj @ self.kernel.T + upstream]


def prove_cross():
    m, a, b, g = Cross(), rand(5, 4, 3), rand(6, 4, 3), rand(7, 4, 3)
    m(a, b)
    da, db = m.backward(g)
    return pairs(
        lambda: np.sum(m(a, b) * g),
        [da, db, m.kernel_gradient, m.bias_gradient],
        [a, b, m.kernel, m.bias],
    )


# === 3. Chainer manner: prototypical network head
class Function:
    def __call__(self, *inputs):
        self.inputs = inputs
        outputs = self.forward(inputs)
        return outputs[0] if len(outputs) == 1 else outputs


class ProtoDistance(Function):
    """negative squared distances of queries to prototypes, times a softplus of the log scale"""

    def forward(self, inputs):
        x, c, s = inputs
        d = x[:, None, :] - c[None, :, :]
        self.retained = d, np.sum(d * d, axis=2)
        return (-np.log1p(np.exp(s)) * self.retained[1],)

    def backward(self, inputs, grad_outputs):
        x, c, s = inputs
        (gy,) = grad_outputs
        d, sq = self.retained
        gd = -2 * np.log1p(np.exp(s)) * gy[:, :, None] * d
        gs = -(gy * sq).sum(keepdims=True).ravel() / (1 + np.exp(-s))
        return gd.sum(axis=1), -gd.sum(axis=0), gs


def proto_in():
    return rand(8, 4, 3), rand(9, 3, 3), np.array([0.3])


def prove_proto():
    f, a, g = ProtoDistance(), proto_in(), rand(10, 4, 3)
    f(*a)
    return pairs(lambda: np.sum(f(*a) * g), f.backward(a, (g,)), a)


# === 4. pullbacks: every op returns y and its vjp
def dense(x, w, b):
    return x @ w + b, lambda g: (g @ w.T, x.T @ g, g.sum(0))


def snake(x, a):
    s = np.sin(a * x)
    return x + s * s / a, lambda g: (
        g * (1 + np.sin(2 * a * x)),
        np.sum(g * (x * np.sin(2 * a * x) / a - (s / a) ** 2), axis=0),
    )


def center(x):
    return x - x.mean(1, keepdims=True), lambda g: (g - g.mean(1, keepdims=True),)


def serial(*stages):
    """stages are pairs (op, number of its parameters)"""

    def run(x, *params):
        left, pulls = list(params), []
        for op, k in stages:
            mine, left = left[:k], left[k:]
            x, pull = op(x, *mine)
            pulls.append(pull)

        def pullback(g):
            grads = []
            for pull in reversed(pulls):
                g, *own = pull(g)
                grads = own + grads
            return (g, *grads)

        return x, pullback

    return run


SNAKE_NET = serial((dense, 2), (snake, 1), (center, 0), (dense, 2))


def snake_in():
    a = 0.5 + np.abs(rand(13, 4))
    return rand(11, 5, 3), rand(12, 3, 4), 0.1 * rand(14, 4), a, rand(15, 4, 2), rand(16, 2)


def prove_snake():
    a, g = snake_in(), rand(17, 5, 2)
    return pairs(lambda: np.sum(SNAKE_NET(*a)[0] * g), SNAKE_NET(*a)[1](g), a)


# === 5. coroutines: forward yields, backward sends
class SparsemaxMemory:
    """reads a memory with sparsemax attention (Martins & Astudillo 2016)"""

    def __init__(self, slots, width):
        self.memory = rand(18, slots, width)

    def _steps(self, z):
        u = -np.sort(-z, axis=1)
        cs = np.cumsum(u, axis=1) - 1
        k = np.sum(u * np.arange(1, z.shape[1] + 1) > cs, axis=1)
        tau = np.take_along_axis(cs, k[:, None] - 1, axis=1) / k[:, None]
        p = np.maximum(z - tau, 0)
        dout = yield p @ self.memory
        while True:
            self.memory_grad = p.T @ dout
            dp = dout @ self.memory.T
            on = p > 0
            dout = yield on * (dp - (on * dp).sum(1, keepdims=True) / k[:, None])

    def forward(self, z):
        self._co = self._steps(z)
        return next(self._co)

    def backward(self, dout):
        return self._co.send(dout)


def prove_sparsemax():
    m, z, g = SparsemaxMemory(5, 3), rand(19, 4, 5), rand(20, 4, 3)
    m.forward(z)
    dz = m.backward(g)
    return pairs(lambda: np.sum(m.forward(z) * g), [dz, m.memory_grad], [z, m.memory])


# === 6. Wengert list: CaiT block with layer scale
class Tape:
    def __init__(self):
        self.values, self.records = [], []

    def put(self, value):
        self.values.append(value)
        return len(self.values) - 1

    def op(self, value, inputs, vjp):
        out = self.put(value)
        self.records.append((out, inputs, vjp))
        return out

    def matmul(self, a, b):
        x, w = self.values[a], self.values[b]
        return self.op(x @ w, (a, b), lambda g: (g @ w.T, np.tensordot(x, g, axes=([0, 1], [0, 1]))))

    def tanh(self, a):
        y = np.tanh(self.values[a])
        return self.op(y, (a,), lambda g: (g * (1 - y * y),))

    def add(self, a, b):
        return self.op(self.values[a] + self.values[b], (a, b), lambda g: (g, g))

    def scale(self, a, b):
        x, s = self.values[a], self.values[b]
        return self.op(x * s, (a, b), lambda g: (g * s, g * x))

    def sweep(self, out, g):
        adj = {out: g}
        for o, inputs, vjp in reversed(self.records):
            if o in adj:
                for i, gi in zip(inputs, vjp(adj[o])):
                    adj[i] = adj[i] + gi if i in adj else gi
        return adj


class CaiTBlock:
    def __init__(self, d):
        self.params = {"W": rand(21, d, d), "gamma": 0.1 + 0.1 * np.abs(rand(22, d))}
        self.grads = {}

    def forward(self, x):
        self.tape = t = Tape()
        self.ids = i = {"x": t.put(x), **{k: t.put(v) for k, v in self.params.items()}}
        self.out = t.add(i["x"], t.scale(t.tanh(t.matmul(i["x"], i["W"])), i["gamma"]))
        return t.values[self.out]

    def backward(self, dout):
        adj = self.tape.sweep(self.out, dout)
        self.grads = {k: adj[self.ids[k]] for k in self.params}
        return adj[self.ids["x"]]


def prove_cait():
    m, x, g = CaiTBlock(3), rand(23, 2, 4, 3), rand(24, 2, 4, 3)
    m.forward(x)
    claimed = [m.backward(g), *(m.grads[k] for k in m.params)]
    return pairs(lambda: np.sum(m.forward(x) * g), claimed, [x, *m.params.values()])


# === 7. torch manner: static forward and backward with ctx, scores of DistMult
class Ctx:
    def save_for_backward(self, *arrays):
        self.saved = arrays


class DistMultScore:
    @staticmethod
    def forward(ctx, head, tail, rel):
        ctx.save_for_backward(head, tail, rel)
        return np.sum(head * rel * tail, axis=-1)

    @staticmethod
    def backward(ctx, grad_output):
        head, tail, rel = ctx.saved
        g = grad_output[..., None]
        grad_head, grad_tail, grad_rel = g * rel * tail, g * rel * head, g * head * tail
        return grad_tail, grad_head, grad_rel


def as_pair(fn):
    def forward(*args):
        ctx = Ctx()
        return fn.forward(ctx, *args), ctx

    return forward, lambda dout, ctx: fn.backward(ctx, dout)


def kg_in():
    return rand(25, 4, 3), rand(26, 4, 3), rand(27, 4, 3)


def prove_distmult():
    (fwd, bwd), a, g = as_pair(DistMultScore), kg_in(), rand(28, 4)
    return pairs(lambda: np.sum(fwd(*a)[0] * g), bwd(g, fwd(*a)[1]), a)


# === 8. modules and parameters: a dense block
class Parameter:
    def __init__(self, data):
        self.data = data
        self.grad = np.zeros_like(data)


class DenseBlock:
    def __init__(self, width, growth, depth):
        self.k = growth
        self.weights = [Parameter(0.5 * rand(30 + i, width + i * growth, growth)) for i in range(depth)]

    def parameters(self):
        yield from self.weights

    def zero_grad(self):
        for p in self.parameters():
            p.grad[...] = 0

    def forward(self, x):
        self.stages = []
        for p in self.weights:
            new = np.tanh(x @ p.data)
            self.stages.append((x, new))
            x = np.concatenate([x, new], axis=1)
        return x

    def backward(self, d):
        for p, (x, new) in zip(reversed(self.weights), reversed(self.stages)):
            dnew, d = d[:, : self.k], d[:, self.k :]
            da = dnew * (1 - new**2)
            p.grad += x.T @ da
            d = d + da @ p.data.T
        return d


def prove_denseblock():
    m, x, g = DenseBlock(3, 2, 3), rand(33, 4, 3), rand(34, 4, 9)
    m.forward(x)
    m.zero_grad()
    dx = m.backward(g)
    ws = m.weights
    return pairs(lambda: np.sum(m.forward(x) * g), [dx, *(p.grad for p in ws)], [x, *(p.data for p in ws)])


# === 9. twins: one encoder for both pictures
class Encoder:
    def __init__(self, d, k):
        self.W = rand(35, d, k)

    def forward(self, x):
        self.x, self.y = x, np.tanh(x @ self.W)
        return self.y

    def backward(self, dy):
        da = dy * (1 - self.y**2)
        self.dW = self.x.T @ da
        return da @ self.W.T


class SiameseNet:
    def __init__(self, d, k):
        self.enc = Encoder(d, k)

    def forward(self, left, right):
        self.left = left
        self.diff = self.enc.forward(left) - self.enc.forward(right)
        return np.sum(self.diff**2, axis=1)

    def backward(self, dscore):
        d = 2 * self.diff * dscore[:, None]
        dright = self.enc.backward(-d)
        self.dW = self.enc.dW
        dleft = self.enc.backward(d)
        self.dW = self.dW + self.enc.dW
        return dleft, dright


def prove_siamese():
    m, a, b, g = SiameseNet(3, 2), rand(36, 4, 3), rand(37, 4, 3), rand(38, 4)
    m.forward(a, b)
    da, db = m.backward(g)
    return pairs(lambda: np.sum(m.forward(a, b) * g), [da, db, m.dW], [a, b, m.enc.W])


# === 10. a wrapper that reads in both directions
class LeakyIntegrator:
    def __init__(self, d, seed):
        self.W, self.decay = rand(seed, d, d), np.random.RandomState(seed + 1).uniform(0.3, 0.9, d)

    def forward(self, x):
        self.x, self.y, h = x, np.zeros_like(x), 0
        for t in range(x.shape[1]):
            h = self.decay * h + np.tanh(x[:, t] @ self.W)
            self.y[:, t] = h
        return self.y

    def backward(self, dy):
        self.dW, self.ddecay, dh = np.zeros_like(self.W), np.zeros_like(self.decay), 0
        dx = np.zeros_like(self.x)
        for t in range(dy.shape[1] - 1, -1, -1):
            dh = dh + dy[:, t]
            before = self.y[:, t - 1] if t else np.zeros_like(self.y[:, 0])
            self.ddecay += (dh * before).sum(0)
            da = dh * (1 - (self.y[:, t] - self.decay * before) ** 2)
            self.dW += self.x[:, t].T @ da
            dx[:, t] = da @ self.W.T
            dh = dh * self.decay
        return dx


class Bidirectional:
    def __init__(self, forward_layer, backward_layer):
        self.fw, self.bw = forward_layer, backward_layer

    def forward(self, x):
        return np.concatenate([self.fw.forward(x), self.bw.forward(x[:, ::-1])[:, ::-1]], axis=2)

    def backward(self, dy):
        left, right = np.split(dy, 2, axis=2)
        dx = self.fw.backward(left)
        return dx + self.bw.backward(right)[:, ::-1]


def both_ways():
    return Bidirectional(LeakyIntegrator(2, 40), LeakyIntegrator(2, 42))


def prove_both_ways():
    m, x, g = both_ways(), rand(44, 3, 5, 2), rand(45, 3, 5, 4)
    m.forward(x)
    dx = m.backward(g)
    f, b = m.fw, m.bw
    return pairs(
        lambda: np.sum(m.forward(x) * g),
        [dx, f.dW, f.ddecay, b.dW, b.ddecay],
        [x, f.W, f.decay, b.W, b.decay],
    )


ENTRIES = [
    Stranger(
        "SIREN on a graph of closures",
        "net that returns a tensor with backward()",
        lambda gradlab: gradlab.check_layer(Siren([2, 5, 4, 1]), rand(1, 6, 2)),
        prove_siren,
    ),
    Stranger(
        "feature crossing layer built at its first call",
        "Keras manner, two inputs",
        lambda gradlab: gradlab.check_layer(Cross(), rand(5, 4, 3), rand(6, 4, 3)),
        prove_cross,
    ),
    Stranger(
        "distances to prototypes",
        "Chainer manner: tuples of inputs and of grad_outputs",
        lambda gradlab: gradlab.check_layer(ProtoDistance(), *proto_in()),
        prove_proto,
    ),
    Stranger(
        "snake network of pullbacks",
        "function that returns its vjp",
        lambda gradlab: gradlab.check_cached_pair(SNAKE_NET, lambda dy, pull: pull(dy), snake_in()),
        prove_snake,
    ),
    Stranger(
        "sparsemax memory as a coroutine",
        "layer around a generator",
        lambda gradlab: gradlab.check_layer(SparsemaxMemory(5, 3), rand(19, 4, 5)),
        prove_sparsemax,
    ),
    Stranger(
        "layer scale on a tape: not summed over tokens",
        "layer with a tape inside, params and grads dicts",
        lambda gradlab: gradlab.check_layer(CaiTBlock(3), rand(23, 2, 4, 3)),
        prove_cait,
        "wrong",
        "the gradient of gamma is not summed over the batch and the tokens along which it was broadcast",
        ("missing-broadcast-sum", "wrong-shape"),
        ("gamma",),
        "        return self.op(x * s, (a, b), lambda g: (g * s, g * x))",
        "        return self.op(x * s, (a, b), lambda g: (g * s, (g * x).sum(axis=(0, 1))))",
    ),
    Stranger(
        "DistMult score: head and tail exchanged",
        "torch manner with ctx, as a pair",
        lambda gradlab: gradlab.check_cached_pair(*as_pair(DistMultScore), kg_in()),
        prove_distmult,
        "wrong",
        "the gradients of head and tail are returned in the wrong order",
        ("swapped-primals",),
        ("head", "tail"),
        "        return grad_tail, grad_head, grad_rel",
        "        return grad_head, grad_tail, grad_rel",
    ),
    Stranger(
        "dense block: the gradient is cut at the wrong end",
        "modules with parameter objects and zero_grad",
        lambda gradlab: gradlab.check_layer(DenseBlock(3, 2, 3), rand(33, 4, 3)),
        prove_denseblock,
        "wrong",
        "the new features stand last in the concatenation, and backward takes the first columns for theirs",
        ("columns-exchanged", "wrong-cotangent", "shifted"),
        ("x", "weights"),
        "            dnew, d = d[:, : self.k], d[:, self.k :]",
        "            dnew, d = d[:, -self.k :], d[:, : -self.k]",
    ),
    Stranger(
        "Siamese network: the left picture with the right one's cache",
        "net with a shared module",
        lambda gradlab: gradlab.check_layer(SiameseNet(3, 2), rand(36, 4, 3), rand(37, 4, 3)),
        prove_siamese,
        "wrong",
        "the shared encoder still remembers the right input when the left one's gradient is taken",
        ("wrong-operand", "stale-residuals"),
        ("left", "enc.W"),
        "        dleft = self.enc.backward(d)",
        "        self.enc.forward(self.left)\n        dleft = self.enc.backward(d)",
    ),
    Stranger(
        "bidirectional wrapper: the cotangent is not turned round in time",
        "wrapper around two layers",
        lambda gradlab: gradlab.check_layer(both_ways(), rand(44, 3, 5, 2)),
        prove_both_ways,
        "wrong",
        "the reversed layer gets dout in the original order of time",
        ("wrong-cotangent", "axes-permuted"),
        ("x", "bw.W", "bw.decay"),
        "        return dx + self.bw.backward(right)[:, ::-1]",
        "        return dx + self.bw.backward(right[:, ::-1])[:, ::-1]",
    ),
]
