import numpy as np

from ._entry import Stranger
from ._help_a import against, dot, rnd


# ---- Japanese-flavoured
class ZenketsugouSou:
    """Fully connected; omomi is (out, in)."""

    def __init__(self, nyuuryoku, shutsuryoku):
        self.omomi = 0.5 * rnd(1, shutsuryoku, nyuuryoku)
        self.katayori = 0.1 * rnd(2, shutsuryoku)
        self.d_omomi = None
        self.d_katayori = None
        self.x = None

    def forward(self, x):
        self.x = x
        return np.dot(x, self.omomi.T) + self.katayori

    def backward(self, dout):
        self.d_omomi = np.dot(dout.T, self.x)
        self.d_katayori = np.sum(dout, axis=0)
        return np.dot(dout, self.omomi)


def prove_zenketsu():
    sou, x, g = ZenketsugouSou(4, 3), rnd(3, 5, 4), rnd(4, 5, 3)
    sou.forward(x)
    dx = sou.backward(g)
    return against(
        lambda: dot(sou.forward(x), g), [(dx, x), (sou.d_omomi, sou.omomi), (sou.d_katayori, sou.katayori)]
    )


# ---- gradients as rows
class RowLayer:
    def __init__(self, n_inputs, n_neurons):
        self.weights = 0.3 * rnd(11, n_inputs, n_neurons)
        self.biases = 0.2 * rnd(12, n_neurons)
        self.slope = 0.1

    def forward(self, inputs):
        self.inputs = inputs
        self.z = np.dot(inputs, self.weights) + self.biases
        self.output = np.where(self.z > 0, self.z, self.slope * self.z)
        return self.output

    def backward(self, dvalues):
        dz = dvalues * np.where(self.z > 0, 1.0, self.slope)
        self.dweights = np.dot(self.inputs.T, dz)
        self.dbiases = np.sum(dz, axis=0, keepdims=True)  # a row
        self.dinputs = np.dot(dz, self.weights.T)
        return self.dinputs


def prove_row():
    layer, x, g = RowLayer(3, 4), rnd(13, 5, 3), rnd(14, 5, 4)
    layer.forward(x)
    dx = layer.backward(g)
    return against(
        lambda: dot(layer.forward(x), g),
        [(dx, x), (layer.dweights, layer.weights), (layer.dbiases, layer.biases)],
    )


# ---- any leading axes
class Projection:
    def __init__(self, dim_in: int, dim_out: int) -> None:
        self.params: dict[str, np.ndarray] = {"kernel": rnd(21, dim_in, dim_out), "bias": rnd(22, dim_out)}
        self.grads: dict[str, np.ndarray] = {}
        self._cache: np.ndarray | None = None

    def forward(self, x: np.ndarray) -> np.ndarray:
        self._cache = x
        return np.einsum("...i,ij->...j", x, self.params["kernel"]) + self.params["bias"]

    def backward(self, grad: np.ndarray) -> np.ndarray:
        assert self._cache is not None
        flat_x = self._cache.reshape(-1, self._cache.shape[-1])
        flat_g = grad.reshape(-1, grad.shape[-1])
        self.grads["kernel"] = flat_x.T @ flat_g
        self.grads["bias"] = flat_g.sum(axis=0)
        return (flat_g @ self.params["kernel"].T).reshape(self._cache.shape)


def prove_projection():
    layer, x, g = Projection(4, 3), rnd(23, 2, 3, 4), rnd(24, 2, 3, 3)
    layer.forward(x)
    pairs = [(layer.backward(g), x)] + [(layer.grads[k], layer.params[k]) for k in layer.params]
    return against(lambda: dot(layer.forward(x), g), pairs)


# ---- bilinear maps
class Bilinear:
    """y_k = u^T T_k v + c_k"""

    def __init__(self, nu=3, nv=4, nk=2):
        self.T, self.c = rnd(31, nk, nu, nv), rnd(32, nk)

    def forward(self, u, v):
        self.u, self.v = u, v
        return np.einsum("ni,kij,nj->nk", u, self.T, v) + self.c

    def backward(self, g):
        self.dT = np.einsum("nk,ni,nj->kij", g, self.u, self.v)
        self.dc = g.sum(0)
        du = np.einsum("nk,kij,nj->ni", g, self.T, self.v)
        dv = np.einsum("nk,kij,ni->nj", g, self.T, self.u)
        return du, dv


def prove_bilinear():
    layer, u, v, g = Bilinear(), rnd(33, 5, 3), rnd(34, 5, 4), rnd(35, 5, 2)
    layer.forward(u, v)
    du, dv = layer.backward(g)
    return against(
        lambda: dot(layer.forward(u, v), g), [(du, u), (dv, v), (layer.dT, layer.T), (layer.dc, layer.c)]
    )


class PairDifference:
    """w * (a^2 - b), the gradients handed back in the wrong order."""

    def __init__(self, n=4):
        self.params, self.grads = [rnd(41, n)], [np.zeros(n)]

    def forward(self, a, b):
        self.cache = (a, b)
        return self.params[0] * (a**2 - b)

    def backward(self, dout):
        a, b = self.cache
        self.grads[0][:] = np.sum(dout * (a**2 - b), axis=0)
        db = -dout * self.params[0]
        da = 2 * a * dout * self.params[0]
        return db, da


def prove_difference():
    layer, a, b, g = PairDifference(), rnd(42, 3, 4), rnd(43, 3, 4), rnd(44, 3, 4)
    layer.forward(a, b)
    da, db = layer.backward(g)
    return against(lambda: dot(layer.forward(a, b), g), [(da, a), (db, b), (layer.grads[0], layer.params[0])])


# ---- German-flavoured highway layer
class Ueberholspur:
    def __init__(self, breite):
        self.gewicht = {"h": 0.5 * rnd(51, breite, breite), "t": 0.5 * rnd(52, breite, breite)}
        self.schwelle = {"h": 0.1 * rnd(53, breite), "t": -1 + 0.1 * rnd(54, breite)}
        self.ableitung = {}

    def forward(self, x):
        self.x = x
        self.h = np.tanh(x @ self.gewicht["h"] + self.schwelle["h"])
        self.t = 1 / (1 + np.exp(-(x @ self.gewicht["t"] + self.schwelle["t"])))
        return self.t * self.h + (1 - self.t) * x

    def backward(self, fehler):
        zh = fehler * self.t * (1 - self.h**2)
        zt = fehler * (self.h - self.x) * self.t * (1 - self.t)
        self.ableitung = {
            "gewicht": {"h": self.x.T @ zh, "t": self.x.T @ zt},
            "schwelle": {"h": zh.sum(0), "t": zt.sum(0)},
        }
        return fehler * (1 - self.t) + zh @ self.gewicht["h"].T + zt @ self.gewicht["t"].T


def prove_highway():
    layer, x, g = Ueberholspur(4), rnd(55, 5, 4), rnd(56, 5, 4)
    layer.forward(x)
    pairs = [(layer.backward(g), x)]
    for k in "ht":
        pairs += [
            (layer.ableitung["gewicht"][k], layer.gewicht[k]),
            (layer.ableitung["schwelle"][k], layer.schwelle[k]),
        ]
    return against(lambda: dot(layer.forward(x), g), pairs)


# ---- PReLU
class PReLU:
    def __init__(self, channels=3):
        self.alpha = np.array([0.25, 0.1, 0.4])[:channels]
        self.grad_alpha = np.zeros(channels)

    def forward(self, x):
        self.x = x
        return np.maximum(x, 0) + self.alpha * np.minimum(x, 0)

    def backward(self, grad):
        pos = self.x > 0
        self.grad_alpha = np.sum(grad * self.x * pos, axis=0)
        return np.where(pos, grad, self.alpha * grad)


def prove_prelu():
    layer, x, g = PReLU(), rnd(61, 5, 3), rnd(62, 5, 3)
    layer.forward(x)
    dx = layer.backward(g)
    return against(lambda: dot(layer.forward(x), g), [(dx, x), (layer.grad_alpha, layer.alpha)])


# ---- maxout
class Maxout:
    def __init__(self, n_in=4, n_out=3, pieces=2):
        self.W, self.b = rnd(71, pieces, n_in, n_out), rnd(72, pieces, n_out)

    def forward(self, x):
        z = np.einsum("ni,pio->pno", x, self.W) + self.b[:, None, :]
        self.x, self.winner = x, z.argmax(axis=0)
        return z.max(axis=0)

    def backward(self, dy):
        one_hot = np.arange(self.W.shape[0])[:, None, None] == self.winner
        dz = one_hot * dy
        self.dW = np.einsum("ni,pno->pio", self.x, dz)
        self.db = dz.sum(axis=1)
        return np.einsum("pno,pio->ni", dz, self.W)


def prove_maxout():
    layer, x, g = Maxout(), rnd(73, 5, 4), rnd(74, 5, 3)
    layer.forward(x)
    dx = layer.backward(g)
    return against(lambda: dot(layer.forward(x), g), [(dx, x), (layer.dW, layer.W), (layer.db, layer.b)])


# ---- weight normalisation
class WeightNormDense:
    """w_j = g_j v_j / |v_j|, one v for each output, as columns."""

    def __init__(self, fan_in, fan_out):
        self.v = rnd(81, fan_in, fan_out)
        self.g = 1 + 0.2 * rnd(82, fan_out)
        self.gradients = {}

    def forward(self, x):
        self.x = x
        self.norm = np.sqrt(np.sum(self.v**2, axis=0))
        self.w = self.g * self.v / self.norm
        return x @ self.w

    def backward(self, dout):
        dw = self.x.T @ dout
        self.gradients["g"] = np.sum(dw * self.v, axis=0) / self.norm
        self.gradients["v"] = dw * self.g / self.norm
        return dout @ self.w.T


def prove_weight_norm():
    layer, x, g = WeightNormDense(4, 3), rnd(83, 5, 4), rnd(84, 5, 3)
    layer.forward(x)
    dx = layer.backward(g)
    return against(
        lambda: dot(layer.forward(x), g),
        [(dx, x), (layer.gradients["g"], layer.g), (layer.gradients["v"], layer.v)],
    )


# ---- scaled parametrisation with fixed connections
class ScaledSparseDense:
    """Unit-variance weights, 1/sqrt(fan_in) in the computation; a fixed mask says which connections exist."""

    def __init__(self):
        self.weight = rnd(91, 6, 4)
        self.bias = rnd(92, 4)
        self.connected = np.random.default_rng(93).random((6, 4)) < 0.6
        self.bias_scale = 0.1
        self.weight_grad = np.zeros((6, 4))
        self.bias_grad = np.zeros(4)

    @property
    def scale(self):
        return 1.0 / np.sqrt(self.weight.shape[0])

    def forward(self, x):
        self.saved = x
        return self.scale * (x @ (self.weight * self.connected)) + self.bias_scale * self.bias

    def backward(self, grad):
        grad = grad * self.scale
        self.weight_grad = (self.saved.T @ grad) * self.connected
        self.bias_grad = grad.sum(axis=0) * (self.bias_scale / self.scale)
        return grad @ (self.weight * self.connected).T


def prove_scaled():
    layer, x, g = ScaledSparseDense(), rnd(94, 5, 6), rnd(95, 5, 4)
    layer.forward(x)
    dx = layer.backward(g)
    return against(
        lambda: dot(layer.forward(x), g),
        [(dx, x), (layer.weight_grad, layer.weight), (layer.bias_grad, layer.bias)],
    )


# ---- one dx for ever
class BufferedAffine:
    def __init__(self, W, b, max_batch=16):
        self.W, self.b = W, b
        self.dW, self.db = np.zeros_like(W), np.zeros_like(b)
        self._dx = np.zeros((max_batch, W.shape[0]))

    def forward(self, x):
        self.x = x
        return x @ self.W + self.b

    def backward(self, dy):
        self.dW[...] = self.x.T @ dy
        self.db[...] = dy.sum(axis=0)
        dx = self._dx[: len(dy)]
        np.dot(dy, self.W.T, out=dx)
        return dx


def prove_buffered():
    layer, x, g = BufferedAffine(rnd(101, 3, 4), rnd(102, 4)), rnd(103, 5, 3), rnd(104, 5, 4)
    layer.forward(x)
    dx = layer.backward(g)
    return against(lambda: dot(layer.forward(x), g), [(dx, x), (layer.dW, layer.W), (layer.db, layer.b)])


# ---- clipped where it should not be
class ClippedDense:
    def __init__(self, n=4, m=3):
        self.w = 0.6 * rnd(111, n, m)
        self.dw = None

    def forward(self, x):
        self.x = x
        self.y = np.tanh(x.dot(self.w))
        return self.y

    def backward(self, delta):
        delta = delta * (1 - self.y**2)
        np.clip(delta, -0.5, 0.5, out=delta)  # keeps the gradients from exploding
        self.dw = self.x.T.dot(delta)
        return delta.dot(self.w.T)


def prove_clipped():
    layer, x, g = ClippedDense(), rnd(112, 5, 4), 2 * rnd(113, 5, 3)
    layer.forward(x)
    dx = layer.backward(g)
    return against(lambda: dot(layer.forward(x), g), [(dx, x), (layer.dw, layer.w)])


# ---- keeps its activations in single precision
class ThriftySwish:
    """silu; saves memory by keeping x in single precision."""

    def __init__(self, n=4):
        self.beta = 1 + 0.3 * rnd(121, n)
        self.d_beta = np.zeros(n)

    def forward(self, x):
        self.saved = x.astype(np.float32)
        return x / (1 + np.exp(-self.beta * x))

    def backward(self, dy):
        x = self.saved.astype(dy.dtype)
        s = 1 / (1 + np.exp(-self.beta * x))
        self.d_beta = np.sum(dy * x * x * s * (1 - s), axis=0)
        return dy * (s + self.beta * x * s * (1 - s))


def prove_thrifty():
    layer, x, g = ThriftySwish(), rnd(122, 3, 4), rnd(123, 3, 4)
    layer.forward(x)
    dx = layer.backward(g)
    return against(lambda: dot(layer.forward(x), g), [(dx, x), (layer.d_beta, layer.beta)])


ENTRIES = [
    Stranger(
        "zenketsugou layer with weights (out, in)",
        "layer with attributes",
        lambda gradlab: gradlab.check_layer(ZenketsugouSou(4, 3), rnd(3, 5, 4)),
        prove_zenketsu,
    ),
    Stranger(
        "leaky layer whose bias gradient is a row",
        "layer with gradients as rows",
        lambda gradlab: gradlab.check_layer(RowLayer(3, 4), rnd(13, 5, 3)),
        prove_row,
    ),
    Stranger(
        "projection over any leading axes",
        "layer with dict gradients, annotated",
        lambda gradlab: gradlab.check_layer(Projection(4, 3), rnd(23, 2, 3, 4)),
        prove_projection,
    ),
    Stranger(
        "bilinear layer",
        "layer with two inputs",
        lambda gradlab: gradlab.check_layer(Bilinear(), rnd(33, 5, 3), rnd(34, 5, 4)),
        prove_bilinear,
    ),
    Stranger(
        "weighted difference of a pair: returned the wrong way round",
        "layer with two inputs, lists",
        lambda gradlab: gradlab.check_layer(PairDifference(), rnd(42, 3, 4), rnd(43, 3, 4)),
        prove_difference,
        "wrong",
        "backward returns (db, da) for forward(a, b)",
        ("swapped-primals",),
        ("a", "b"),
    ),
    Stranger(
        "Ueberholspur, a highway layer",
        "layer with nested dicts of parameters",
        lambda gradlab: gradlab.check_layer(Ueberholspur(4), rnd(55, 5, 4)),
        prove_highway,
    ),
    Stranger(
        "PReLU: slope's gradient from the positive side",
        "layer with attributes",
        lambda gradlab: gradlab.check_layer(PReLU(), rnd(61, 5, 3)),
        prove_prelu,
        "wrong",
        "alpha's gradient sums over x > 0 instead of x < 0",
        ("masked-region",),
        ("alpha",),
    ),
    Stranger(
        "maxout layer of two pieces",
        "layer with attributes",
        lambda gradlab: gradlab.check_layer(Maxout(), rnd(73, 5, 4)),
        prove_maxout,
    ),
    Stranger(
        "dense with weight normalisation: the norm taken for constant",
        "layer with a dict of gradients",
        lambda gradlab: gradlab.check_layer(WeightNormDense(4, 3), rnd(83, 5, 4)),
        prove_weight_norm,
        "wrong",
        "v's gradient lacks the projection that comes from |v|",
        ("normaliser-forgotten", "missing-term"),
        ("v",),
    ),
    Stranger(
        "scaled dense with a fixed mask of connections",
        "layer with constants beside the parameters",
        lambda gradlab: gradlab.check_layer(ScaledSparseDense(), rnd(94, 5, 6)),
        prove_scaled,
    ),
    Stranger(
        "affine layer with a buffer for dx: the same memory each call",
        "layer with buffers",
        lambda gradlab: gradlab.check_layer(BufferedAffine(rnd(101, 3, 4), rnd(102, 4)), rnd(103, 5, 3)),
        prove_buffered,
        "habit",
        "dx is a view into one buffer that every call overwrites",
        ("aliases-memory",),
        ("x",),
    ),
    Stranger(
        "dense tanh: clips its delta",
        "layer with attributes",
        lambda gradlab: gradlab.check_layer(ClippedDense(), rnd(112, 5, 4)),
        prove_clipped,
        "wrong",
        "the gradient is clipped to [-0.5, 0.5] inside backward",
        ("nonlinear-in-cotangent",),
        ("x", "w"),
    ),
    Stranger(
        "swish with a learned slope: single precision inside",
        "layer with attributes",
        lambda gradlab: gradlab.check_layer(ThriftySwish(), rnd(122, 3, 4)),
        prove_thrifty,
        "habit",
        "the input is kept in float32, so seven digits are left",
        ("float32-round-trip",),
        ("x", "beta"),
    ),
]
