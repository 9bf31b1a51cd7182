"""Objects with words of their own, and small frameworks."""

import numpy as np

from ._entry import Stranger
from .b_diff import slope
from .b_losses import loss_proof
from .b_physics import check_made, layer_proof

# ---------------- a rod that can run back in time


class HeatRod:
    """forward is a step ahead in time, backward one back; adjoint(g) differentiates forward."""

    def __init__(self, conductivity, dt=0.1):
        self.conductivity = conductivity
        self.d_conductivity = None
        self.dt = dt

    def _operator(self):
        n = len(self.conductivity) + 1
        L = np.zeros((n, n))
        for e, c in enumerate(self.conductivity):
            L[e, e] -= c
            L[e + 1, e + 1] -= c
            L[e, e + 1] += c
            L[e + 1, e] += c
        return np.eye(n) + self.dt * L

    def forward(self, u):
        self.u = u
        return u @ self._operator()

    def backward(self, u):
        return np.linalg.solve(self._operator(), u.T).T

    def adjoint(self, g):
        du, dg = np.diff(self.u, axis=1), np.diff(g, axis=1)
        self.d_conductivity = -self.dt * np.sum(du * dg, axis=0)
        return g @ self._operator()


def rod():
    rng = np.random.default_rng(801)
    return HeatRod(rng.random(4) + 0.5), rng.standard_normal((3, 5))


class _As:
    """For the proofs: an object's gradient method under the name of backward."""

    def __init__(self, forward, backward):
        self.forward, self.backward = forward, backward


def prove_rod():
    r, u = rod()
    return layer_proof(_As(r.forward, r.adjoint), u, [(r.conductivity, lambda: r.d_conductivity)])


# ---------------- a coupling of a normalising flow


class AffineCoupling:
    """A flow's block: forward x -> z, backward z -> x (the inverse), vjp for training."""

    def __init__(self, dim, rng):
        self.half = dim // 2
        self.params = {
            "s": rng.standard_normal((self.half, dim - self.half)) * 0.5,
            "t": rng.standard_normal((self.half, dim - self.half)),
        }
        self.grads = {}

    def forward(self, x):
        a, b = x[:, : self.half], x[:, self.half :]
        self.th = np.tanh(a @ self.params["s"])
        self.scale = np.exp(self.th)
        self.a, self.b = a, b
        self.log_det = self.th.sum(axis=1)
        return np.hstack([a, b * self.scale + a @ self.params["t"]])

    def backward(self, z):
        a, b = z[:, : self.half], z[:, self.half :]
        return np.hstack([a, (b - a @ self.params["t"]) * np.exp(-np.tanh(a @ self.params["s"]))])

    def vjp(self, dz):
        da, db = dz[:, : self.half], dz[:, self.half :]
        ds = db * self.b * self.scale * (1 - self.th**2)
        self.grads["s"], self.grads["t"] = self.a.T @ ds, self.a.T @ db
        return np.hstack([da + ds @ self.params["s"].T + db @ self.params["t"].T, db * self.scale])


def coupling():
    rng = np.random.default_rng(802)
    return AffineCoupling(5, rng), rng.standard_normal((4, 5))


def prove_coupling():
    flow, x = coupling()
    params = [(flow.params[k], lambda k=k: flow.grads[k]) for k in "st"]
    return layer_proof(_As(flow.forward, flow.vjp), x, params)


# ---------------- examples in columns, 1/m in every part


class DeepNet:
    """X has one example per column. dZ is not divided by m; each dW and db takes its 1/m itself."""

    def __init__(self, layer_dims, seed=1):
        rng = np.random.default_rng(seed)
        self.params = {}
        self.L = len(layer_dims) - 1
        for l in range(1, self.L + 1):
            self.params["W" + str(l)] = rng.standard_normal((layer_dims[l], layer_dims[l - 1])) * 0.6
            self.params["b" + str(l)] = rng.standard_normal((layer_dims[l], 1)) * 0.1

    def _forward(self, X):
        A, caches = X, []
        for l in range(1, self.L + 1):
            Z = np.dot(self.params["W" + str(l)], A) + self.params["b" + str(l)]
            caches.append((A, Z))
            A = 1 / (1 + np.exp(-Z)) if l == self.L else np.tanh(Z)
        return A, caches

    def predict(self, X):
        return self._forward(X)[0]

    def loss(self, X, Y):
        m = Y.shape[1]
        AL = self.predict(X)
        return float(np.squeeze(-1 / m * np.sum(Y * np.log(AL) + (1 - Y) * np.log(1 - AL))))

    def gradient(self, X, Y):
        m = Y.shape[1]
        AL, caches = self._forward(X)
        grads = {}
        dZ = AL - Y
        for l in range(self.L, 0, -1):
            A_prev, _ = caches[l - 1]
            grads["W" + str(l)] = 1 / m * np.dot(dZ, A_prev.T)
            grads["b" + str(l)] = 1 / m * np.sum(dZ, axis=1, keepdims=True)
            if l > 1:
                dZ = np.dot(self.params["W" + str(l)].T, dZ) * (1 - np.power(A_prev, 2))
        return grads


def deep_net():
    X = np.random.default_rng(803).standard_normal((3, 6))
    return DeepNet([3, 4, 1]), X, np.array([[1, 0, 0, 1, 1, 0]])


def model_proof(net, x, t):
    grads = net.gradient(x, t)

    def true(p):
        keep = p.copy()

        def f(v):
            p[...] = v
            value = net.loss(x, t)
            p[...] = keep
            return value

        return slope(f, keep)

    return [(grads[k], true(p)) for k, p in net.params.items()]


# ---------------- a loss that takes its weight by itself


class AuxiliaryLogCosh:
    def __init__(self, settings):
        self.settings = settings

    @property
    def factor(self):
        aux = self.settings["losses"]["auxiliary"]
        return aux["weight"] * aux["decay"] ** self.settings["epoch"]

    def forward(self, pred, target):
        self.d = pred - target
        return self.factor * np.mean(np.logaddexp(self.d, -self.d) - np.log(2))

    def backward(self):
        return self.factor / self.d.size * np.tanh(self.d)


def auxiliary():
    return AuxiliaryLogCosh({"epoch": 3, "losses": {"auxiliary": {"weight": 0.4, "decay": 0.9}}})


def auxiliary_points():
    rng = np.random.default_rng(804)
    return rng.standard_normal((3, 4)), rng.standard_normal((3, 4))


# ---------------- results that carry their gradient


class Signal:
    def __init__(self, data):
        self.data = data
        self.grad = None


class MixLayer:
    """forward gives a Signal; put its grad there, then call backward()."""

    def __init__(self, mix):
        self.mix = Signal(mix)

    def forward(self, x):
        self.inp = Signal(x)
        self.out = Signal(np.sin(x @ self.mix.data))
        return self.out

    def backward(self):
        pre = self.out.grad * np.cos(self.inp.data @ self.mix.data)
        self.mix.grad = self.inp.data.T @ pre
        self.inp.grad = pre @ self.mix.data.T
        return self.inp.grad


def mix_layer():
    rng = np.random.default_rng(805)
    return MixLayer(rng.standard_normal((3, 4))), rng.standard_normal((2, 3))


def prove_mix():
    layer, x = mix_layer()

    def backward(g):
        layer.out.grad = g
        return layer.backward()

    return layer_proof(
        _As(lambda v: layer.forward(v).data, backward), x, [(layer.mix.data, lambda: layer.mix.grad)]
    )


# ---------------- an interpolant that is fitted first


class RbfInterpolant:
    """Inverse multiquadrics through scattered values; call fit before forward."""

    def __init__(self, width=1.0):
        self.width = width
        self.centres = self.weights = None

    def _phi(self, x):
        d = x[:, None, :] - self.centres[None, :, :]
        return d, 1.0 / np.sqrt(1 + (d**2).sum(-1) / self.width**2)

    def fit(self, centres, values):
        self.centres = np.array(centres)
        self.weights = np.linalg.solve(self._phi(self.centres)[1], values)
        return self

    def forward(self, x):
        self._d, self._p = self._phi(x)
        return self._p @ self.weights

    def backward(self, dout):
        dp = dout[:, None] * self.weights * -(self._p**3) / self.width**2
        return (dp[:, :, None] * self._d).sum(axis=1)


def interpolant():
    rng = np.random.default_rng(806)
    fitted = RbfInterpolant(0.8).fit(rng.standard_normal((6, 2)), rng.standard_normal(6))
    return fitted, rng.standard_normal((4, 2))


# ---------------- a framework in a file


class Parameter:
    def __init__(self, value):
        self.value = value
        self.grad = np.zeros_like(value)


class Module:
    def parameters(self):
        return []

    def zero_grad(self):
        for p in self.parameters():
            p.grad[...] = 0


class Linear(Module):
    def __init__(self, n_in, n_out, rng):
        self.weight = Parameter(rng.standard_normal((n_out, n_in)) / np.sqrt(n_in))
        self.bias = Parameter(rng.standard_normal(n_out) * 0.1)

    def parameters(self):
        return [self.weight, self.bias]

    def forward(self, x):
        self.x = x
        return x @ self.weight.value.T + self.bias.value

    def backward(self, g):
        self.weight.grad += g.T @ self.x
        self.bias.grad += g.sum(axis=0)
        return g @ self.weight.value


class LeCunTanh(Module):
    A, S = 1.7159, 2.0 / 3.0

    def forward(self, x):
        self.y = self.A * np.tanh(self.S * x)
        return self.y

    def backward(self, g):
        return g * self.S / self.A * (self.A - self.y) * (self.A + self.y)


class Sequential(Module):
    def __init__(self, *modules):
        self.modules = modules

    def parameters(self):
        return [p for m in self.modules for p in m.parameters()]

    def forward(self, x):
        for m in self.modules:
            x = m.forward(x)
        return x

    def backward(self, g):
        for m in reversed(self.modules):
            g = m.backward(g)
        return g


def sequential():
    rng = np.random.default_rng(807)
    net = Sequential(Linear(4, 3, rng), LeCunTanh(), Linear(3, 2, rng))
    return net, rng.standard_normal((5, 4))


def prove_sequential():
    net, x = sequential()

    def backward(g):
        net.zero_grad()
        return net.backward(g)

    params = [(p.value, lambda p=p: p.grad) for p in net.parameters()]
    return layer_proof(_As(net.forward, backward), x, params)


# ---------------- lengths of rows


class RowLength:
    def forward(self, x):
        self.x = x
        self.length = np.sqrt(np.sum(x**2, axis=1))
        return self.length

    def backward(self, dout=1):
        return self.x / self.length[:, None]


def row_length():
    return RowLength(), np.random.default_rng(808).standard_normal((4, 3))


# ---------------- memory from a pool


class Pool:
    """Hands out parts of one big array; reset() makes it free again."""

    def __init__(self, size=512):
        self.memory = np.zeros(size)
        self.used = 0

    def reset(self):
        self.used = 0

    def take(self, shape):
        n = int(np.prod(shape))
        if self.used + n > self.memory.size:
            return np.zeros(shape)
        part = self.memory[self.used : self.used + n].reshape(shape)
        self.used += n
        return part


class MovingDot:
    def __init__(self, kernel):
        self.kernel = kernel
        self.pool = Pool()

    def forward(self, x):
        self.pool.reset()
        self.x = x.copy()
        k = len(self.kernel)
        y = self.pool.take((x.shape[0], x.shape[1] - k + 1))
        y[...] = 0
        for i, c in enumerate(self.kernel):
            y += c * x[:, i : i + y.shape[1]]
        return y.copy()

    def backward(self, dy):
        self.pool.reset()  # the activations are not needed any more
        dx = self.pool.take(self.x.shape)
        n = dy.shape[1]
        self.dkernel = np.array([np.sum(dy * self.x[:, i : i + n]) for i in range(len(self.kernel))])
        for i, c in enumerate(self.kernel):
            dx[:, i : i + n] += c * dy
        return dx.copy()


def moving_dot():
    rng = np.random.default_rng(809)
    return MovingDot(rng.standard_normal(3)), rng.standard_normal((2, 7))


def prove_moving_dot():
    layer, x = moving_dot()
    return layer_proof(layer, x, [(layer.kernel, lambda: layer.dkernel)])


# ---------------- attention over channels


class ChannelSoftmax:
    """Softmax over axis 1 of (batch, channel, place)."""

    axis = 1

    def forward(self, x):
        e = np.exp(x - x.max(axis=self.axis, keepdims=True))
        self.p = e / e.sum(axis=self.axis, keepdims=True)
        return self.p.copy()

    def backward(self, dout):
        inner = (dout * self.p).sum(axis=-1, keepdims=True)
        return self.p * (dout - inner)


def channel_softmax():
    return ChannelSoftmax(), np.random.default_rng(810).standard_normal((2, 3, 4))


# ---------------- decay of weights that the loss does not know


class DecayNet:
    def __init__(self, n_in, n_hidden, n_out, weight_decay=0.1, seed=3):
        rng = np.random.default_rng(seed)
        self.weight_decay = weight_decay
        self.params = {
            "W1": rng.standard_normal((n_in, n_hidden)),
            "b1": rng.standard_normal(n_hidden) * 0.1,
            "W2": rng.standard_normal((n_hidden, n_out)),
            "b2": rng.standard_normal(n_out) * 0.1,
        }

    def predict(self, x):
        p = self.params
        self.h = np.tanh(x @ p["W1"] + p["b1"])
        return self.h @ p["W2"] + p["b2"]

    def loss(self, x, t):
        return 0.5 * np.mean(np.sum((self.predict(x) - t) ** 2, axis=1))

    def gradient(self, x, t):
        p, wd = self.params, self.weight_decay
        dy = (self.predict(x) - t) / len(x)
        dh = dy @ p["W2"].T * (1 - self.h**2)
        return {
            "W1": x.T @ dh + wd * p["W1"],
            "b1": dh.sum(axis=0),
            "W2": self.h.T @ dy + wd * p["W2"],
            "b2": dy.sum(axis=0),
        }


def decay_net():
    rng = np.random.default_rng(811)
    return DecayNet(3, 4, 2), rng.standard_normal((5, 3)), rng.standard_normal((5, 2))


# ---------------- addition of two branches


class ResidualAdd:
    def forward(self, main, skip):
        return main + skip

    def backward(self, dout):
        return dout, dout


def branches():
    rng = np.random.default_rng(812)
    return rng.standard_normal((3, 4)), rng.standard_normal((3, 4))


ENTRIES = [
    Stranger(
        "heat rod: backward is a step back in time",
        "object whose backward means something else, gradient in adjoint",
        check_made(rod),
        prove_rod,
    ),
    Stranger(
        "coupling of a flow: backward is the inverse",
        "object whose backward means something else, gradient in vjp",
        check_made(coupling),
        prove_coupling,
    ),
    Stranger(
        "deep net with examples in columns and 1/m in every part",
        "net with loss(X, Y) and gradient(X, Y) -> dict",
        lambda gradlab: gradlab.check_model(*deep_net()),
        lambda: model_proof(*deep_net()),
    ),
    Stranger(
        "auxiliary log-cosh loss that takes its weight by itself",
        "loss class with nested settings",
        lambda gradlab: gradlab.check_layer(auxiliary(), *auxiliary_points()),
        lambda: loss_proof(auxiliary, auxiliary_points),
    ),
    Stranger(
        "mixing layer whose result carries its gradient",
        "forward gives an object with data and grad, backward() without arguments",
        check_made(mix_layer),
        prove_mix,
    ),
    Stranger(
        "scattered interpolant that is fitted first",
        "layer that needs fit before forward",
        check_made(interpolant),
        lambda: layer_proof(*interpolant(), []),
    ),
    Stranger(
        "sequence of modules with parameter objects and zero_grad",
        "framework in a file, gradients add up until zero_grad",
        check_made(sequential),
        prove_sequential,
    ),
    Stranger(
        "lengths of rows: dout ignored",
        "layer with backward(dout=1)",
        check_made(row_length),
        lambda: layer_proof(*row_length(), []),
        "wrong",
        "backward does not use dout",
        ("ignores-cotangent",),
        ("x",),
    ),
    Stranger(
        "moving dot product with memory from a pool: not set to zero",
        "layer with a dX attribute",
        check_made(moving_dot),
        prove_moving_dot,
        "wrong",
        "dx is added up in memory that still holds the activations",
        ("uninitialised-memory", "additive-bias"),
        ("x",),
    ),
    Stranger(
        "softmax over channels: backward sums over places",
        "layer without parameters",
        check_made(channel_softmax),
        lambda: layer_proof(*channel_softmax(), []),
        "wrong",
        "the sum is over axis -1 and should be over axis 1",
        ("wrong-sum-axis",),
        ("x",),
    ),
    Stranger(
        "net with weight decay in the gradient alone",
        "net with loss(x, t) and gradient(x, t) -> dict",
        lambda gradlab: gradlab.check_model(*decay_net()),
        lambda: model_proof(*decay_net()),
        "wrong",
        "the gradient has a term for a penalty that the loss has not",
        ("additive-bias",),
        ("W1", "W2"),
    ),
    Stranger(
        "addition of two branches: the cotangent itself, twice",
        "layer with two inputs",
        lambda gradlab: gradlab.check_layer(ResidualAdd(), *branches()),
        lambda: [],
        "habit",
        "backward gives dout itself for both",
        ("aliases-memory",),
        ("main", "skip"),
    ),
]
