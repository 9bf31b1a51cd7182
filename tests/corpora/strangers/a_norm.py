import numpy as np

from ._entry import Stranger
from ._help_a import against, dot, rnd


# ---- course notes, settings in a dict
def batchnorm_forward(x, gamma, beta, bn_param):
    mode = bn_param["mode"]
    eps = bn_param.get("eps", 1e-5)
    momentum = bn_param.get("momentum", 0.9)
    D = x.shape[1]
    running_mean = bn_param.get("running_mean", np.zeros(D, dtype=x.dtype))
    running_var = bn_param.get("running_var", np.ones(D, dtype=x.dtype))
    if mode == "train":
        mu, var = x.mean(axis=0), x.var(axis=0)
        bn_param["running_mean"] = momentum * running_mean + (1 - momentum) * mu
        bn_param["running_var"] = momentum * running_var + (1 - momentum) * var
    else:
        mu, var = running_mean, running_var
    std = np.sqrt(var + eps)
    xhat = (x - mu) / std
    return gamma * xhat + beta, (xhat, std, gamma, mode)


def batchnorm_backward(dout, cache):
    xhat, std, gamma, mode = cache
    dgamma, dbeta = np.sum(dout * xhat, axis=0), np.sum(dout, axis=0)
    dx = dout * gamma / std
    if mode == "train":
        dx = dx - (gamma / std) * (dbeta + xhat * dgamma) / len(dout)
    return dx, dgamma, dbeta


def bn_arrays():
    return rnd(1, 6, 4), 1 + 0.3 * rnd(2, 4), rnd(3, 4)


def prove_course():
    arrays, g = bn_arrays(), rnd(4, 6, 4)
    grads = batchnorm_backward(g, batchnorm_forward(*arrays, {"mode": "train"})[1])
    return against(lambda: dot(batchnorm_forward(*arrays, {"mode": "train"})[0], g), list(zip(grads, arrays)))


# ---- frozen statistics
class BatchNorm1d:
    def __init__(self, num_features, eps=1e-5, momentum=0.1):
        self.eps, self.momentum = eps, momentum
        self.training = True
        self.weight, self.bias = np.ones(num_features), np.zeros(num_features)
        self.running_mean, self.running_var = np.zeros(num_features), np.ones(num_features)
        self.num_batches_tracked = 0
        self.grad_weight = self.grad_bias = None

    def eval(self):
        self.training = False
        return self

    def forward(self, x):
        if self.training:
            mean, var = x.mean(0), x.var(0)
            m, n = self.momentum, len(x)
            self.running_mean = (1 - m) * self.running_mean + m * mean
            self.running_var = (1 - m) * self.running_var + m * var * n / (n - 1)
            self.num_batches_tracked += 1
        else:
            mean, var = self.running_mean, self.running_var
        self._rstd = 1 / np.sqrt(var + self.eps)
        self._xhat = (x - mean) * self._rstd
        return self._xhat * self.weight + self.bias

    def backward(self, grad):
        self.grad_weight, self.grad_bias = (grad * self._xhat).sum(0), grad.sum(0)
        d = grad * self.weight
        if self.training:
            d = d - d.mean(0) - self._xhat * (d * self._xhat).mean(0)
        return d * self._rstd


def frozen():
    layer = BatchNorm1d(4)
    layer.weight[:] = [0.7, 1.4, 1.1, 0.9]
    layer.forward(1 + 2 * rnd(11, 8, 4))
    return layer.eval()


def prove_frozen():
    layer, x, g = frozen(), rnd(12, 5, 4), rnd(13, 5, 4)
    layer.forward(x)
    dx = layer.backward(g)
    return against(
        lambda: dot(layer.forward(x), g),
        [(dx, x), (layer.grad_weight, layer.weight), (layer.grad_bias, layer.bias)],
    )


# ---- variance taken for a constant
class NormaliseBatch:
    """Shift and scale are learned; moving averages for later."""

    def __init__(self, size):
        self.params = {"shift": 0.3 * rnd(21, size), "scale": 1 + 0.2 * rnd(22, size)}
        self.grads = {}
        self.moving = {"mean": np.zeros(size), "sd": np.ones(size)}

    def forward(self, x):
        mean = np.mean(x, axis=0)
        sd = np.sqrt(np.mean((x - mean) ** 2, axis=0) + 1e-6)
        self.moving["mean"] = 0.95 * self.moving["mean"] + 0.05 * mean
        self.moving["sd"] = 0.95 * self.moving["sd"] + 0.05 * sd
        self.z, self.sd = (x - mean) / sd, sd
        return self.params["scale"] * self.z + self.params["shift"]

    def backward(self, dy):
        self.grads["shift"] = dy.sum(axis=0)
        self.grads["scale"] = (dy * self.z).sum(axis=0)
        dz = dy * self.params["scale"]
        return (dz - dz.mean(axis=0)) / self.sd


def prove_layer(layer, x, g, pairs):
    """pairs() -> [(gradient, parameter)] after the backward pass."""
    layer.forward(x)
    dx = layer.backward(g)
    return against(lambda: dot(layer.forward(x), g), [(dx, x)] + pairs(layer))


def of_dicts(layer):
    return [(layer.grads[k], layer.params[k]) for k in layer.params]


# ---- layer norm over several axes
class LayerNorm:
    def __init__(self, normalized_shape: tuple[int, ...], eps: float = 1e-5) -> None:
        self.axes = tuple(range(-len(normalized_shape), 0))
        self.eps = eps
        gamma, beta = 1 + 0.2 * rnd(31, *normalized_shape), 0.1 * rnd(32, *normalized_shape)
        self.params = {"gamma": gamma, "beta": beta}
        self.grads: dict[str, np.ndarray] = {}

    def forward(self, x):
        mean = x.mean(axis=self.axes, keepdims=True)
        self.rstd = (x.var(axis=self.axes, keepdims=True) + self.eps) ** -0.5
        self.xhat = (x - mean) * self.rstd
        return self.params["gamma"] * self.xhat + self.params["beta"]

    def backward(self, dy):
        lead = tuple(range(dy.ndim - len(self.axes)))
        self.grads["gamma"] = (dy * self.xhat).sum(axis=lead)
        self.grads["beta"] = dy.sum(axis=lead)
        wdy = dy * self.params["gamma"]
        c1 = (wdy * self.xhat).mean(axis=self.axes, keepdims=True)
        c2 = wdy.mean(axis=self.axes, keepdims=True)
        return (wdy - c1 * self.xhat - c2) * self.rstd


# ---- means over the batch where those over the features are due
class RowNorm:
    def __init__(self, eps=1e-6):
        self.eps = eps

    def forward(self, x):
        mu = x.mean(axis=1, keepdims=True)
        self.sigma = np.sqrt(x.var(axis=1, keepdims=True) + self.eps)
        self.xn = (x - mu) / self.sigma
        return self.xn

    def backward(self, dout):
        m = dout.mean(axis=0, keepdims=True)
        c = (dout * self.xn).mean(axis=0, keepdims=True)
        return (dout - m - self.xn * c) / self.sigma


# ---- root mean square, gain kept as its distance from one
class RMSNorm:
    def __init__(self, dim, eps=1e-6):
        self.eps = eps
        self.g = 0.2 * rnd(41, dim)  # the gain is 1 + g
        self.dg = np.zeros(dim)

    def forward(self, x):
        self.x = x
        self.inv = 1 / np.sqrt(np.mean(x * x, axis=-1, keepdims=True) + self.eps)
        return (1 + self.g) * x * self.inv

    def backward(self, dy):
        n = self.x * self.inv
        self.dg[...] = (dy * n).reshape(-1, n.shape[-1]).sum(axis=0)
        dn = dy * (1 + self.g)
        return self.inv * (dn - n * np.mean(dn * n, axis=-1, keepdims=True))


# ---- epsilon on the other side of the root
class PixelNorm:
    """x / sqrt(mean_c x^2 + eps) at each place; x is (N, C, L)."""

    eps = 0.02

    def forward(self, x):
        self.x = x
        return x / np.sqrt((x**2).mean(axis=1, keepdims=True) + self.eps)

    def backward(self, dout):
        rms = np.sqrt((self.x**2).mean(axis=1, keepdims=True)) + self.eps
        inner = (dout * self.x).mean(axis=1, keepdims=True)
        return dout / rms - self.x * inner / rms**3


# ---- groups of channels
def groupnorm_forward(x, gamma, beta, gn_param):
    N, C, L = x.shape
    G = gn_param["G"]
    xg = x.reshape(N, G, -1)
    mean = xg.mean(axis=2, keepdims=True)
    std = np.sqrt(xg.var(axis=2, keepdims=True) + gn_param["eps"])
    xhat = ((xg - mean) / std).reshape(x.shape)
    return gamma[:, None] * xhat + beta[:, None], (G, gamma, std, xhat)


def groupnorm_backward(dout, cache):
    G, gamma, std, xhat = cache
    N, C, L = dout.shape
    dgamma, dbeta = (dout * xhat).sum(axis=(0, 2)), dout.sum(axis=(0, 2))
    d = (dout * gamma[:, None]).reshape(N, G, -1)
    h = xhat.reshape(N, G, -1)
    m = h.shape[2]
    dx = (m * d - d.sum(2, keepdims=True) - h * (d * h).sum(2, keepdims=True)) / (m * std)
    return dx.reshape(dout.shape), dgamma, dbeta


def gn_arrays():
    return rnd(51, 2, 6, 3), 1 + 0.4 * rnd(52, 6), rnd(53, 6)


GN = {"G": 3, "eps": 1e-5}


def prove_group():
    arrays, g = gn_arrays(), rnd(54, 2, 6, 3)
    grads = groupnorm_backward(g, groupnorm_forward(*arrays, GN)[1])
    return against(lambda: dot(groupnorm_forward(*arrays, GN)[0], g), list(zip(grads, arrays)))


# ---- gain at the end
class ChannelNorm:
    def __init__(self, channels):
        self.gain, self.offset = 1 + 0.5 * rnd(61, channels, 1, 1), 0.1 * rnd(62, channels, 1, 1)
        self.gainGrad = np.zeros_like(self.gain)
        self.offsetGrad = np.zeros_like(self.offset)

    def forward(self, x):
        mu = x.mean(axis=1, keepdims=True)
        self.invStd = 1 / np.sqrt(((x - mu) ** 2).mean(axis=1, keepdims=True) + 1e-5)
        self.xHat = (x - mu) * self.invStd
        return self.gain * self.xHat + self.offset

    def backward(self, gradOut):
        self.gainGrad = (gradOut * self.xHat).sum(axis=(0, 2, 3))[:, None, None]
        self.offsetGrad = gradOut.sum(axis=(0, 2, 3))[:, None, None]
        centred = gradOut - gradOut.mean(axis=1, keepdims=True)
        projected = centred - self.xHat * (gradOut * self.xHat).mean(axis=1, keepdims=True)
        return self.gain * self.invStd * projected


# ---- unit length
class Normalize:
    """Rows of length one."""

    def forward(self, x):
        self.norm = np.linalg.norm(x, axis=1, keepdims=True)
        return x / self.norm

    def backward(self, grad_y):
        return grad_y / self.norm


class SafeDirection:
    """Direction of each vector, scaled by a learned radius; short vectors are divided by `floor` instead."""

    def __init__(self, floor=0.5):
        self.floor = floor
        self.radius = np.array([1.3])
        self.d_radius = np.zeros(1)

    def forward(self, v):
        n = np.sqrt((v * v).sum(-1, keepdims=True))
        self.v, self.long = v, n > self.floor
        self.d = np.where(self.long, n, self.floor)
        return self.radius * v / self.d

    def backward(self, g):
        u = self.v / self.d
        self.d_radius = np.array([np.sum(g * u)])
        along = np.where(self.long, (g * u).sum(-1, keepdims=True), 0.0)
        return self.radius * (g - along * u) / self.d


def vectors():
    v = rnd(81, 5, 3)
    v[2] *= 0.1
    return v


# ---- fixed statistics, applied in place
class Standardise:
    """Uses the training set's mean and deviation, then a learned gain."""

    def __init__(self, mean, std):
        self.mean, self.std = mean, std
        self.gain = 1 + 0.2 * rnd(91, len(mean))
        self.grad_gain = np.zeros(len(mean))

    def forward(self, x):
        x -= self.mean
        x /= self.std
        self.z = x.copy()
        return self.gain * x

    def backward(self, dy):
        self.grad_gain = np.einsum("ni,ni->i", dy, self.z)
        return dy * (self.gain / self.std)


def standardise():
    return Standardise(np.array([0.5, -1.0, 2.0]), np.array([1.5, 0.8, 2.2]))


def prove_standardise():
    layer, x, g = standardise(), rnd(92, 5, 3), rnd(93, 5, 3)
    layer.forward(x.copy())
    dx = layer.backward(g)
    return against(lambda: dot(layer.forward(x.copy()), g), [(dx, x), (layer.grad_gain, layer.gain)])


ENTRIES = [
    Stranger(
        "course batch norm with bn_param",
        "pair with cache and a dict of settings",
        lambda gradlab: gradlab.check_cached_pair(
            batchnorm_forward, batchnorm_backward, (*bn_arrays(), {"mode": "train"})
        ),
        prove_course,
    ),
    Stranger(
        "batch norm with its statistics frozen",
        "layer with running statistics",
        lambda gradlab: gradlab.check_layer(frozen(), rnd(12, 5, 4)),
        prove_frozen,
    ),
    Stranger(
        "NormaliseBatch: deviation taken for constant",
        "layer with running statistics, dicts",
        lambda gradlab: gradlab.check_layer(NormaliseBatch(4), rnd(23, 6, 4)),
        lambda: prove_layer(NormaliseBatch(4), rnd(23, 6, 4), rnd(24, 6, 4), of_dicts),
        "wrong",
        "the path through the standard deviation is missing",
        ("missing-term",),
        ("x",),
    ),
    Stranger(
        "layer norm over the last two axes",
        "layer with dicts, annotated",
        lambda gradlab: gradlab.check_layer(LayerNorm((3, 4)), rnd(33, 2, 3, 4)),
        lambda: prove_layer(LayerNorm((3, 4)), rnd(33, 2, 3, 4), rnd(34, 2, 3, 4), of_dicts),
    ),
    Stranger(
        "row norm: means over the batch",
        "layer without parameters",
        lambda gradlab: gradlab.check_layer(RowNorm(), rnd(35, 5, 4)),
        lambda: prove_layer(RowNorm(), rnd(35, 5, 4), rnd(36, 5, 4), lambda layer: []),
        "wrong",
        "backward's two means are over axis 0, forward's over axis 1",
        ("wrong-sum-axis",),
        ("x",),
    ),
    Stranger(
        "RMS norm whose gain is kept as its distance from one",
        "layer with attributes",
        lambda gradlab: gradlab.check_layer(RMSNorm(4), rnd(42, 2, 3, 4)),
        lambda: prove_layer(
            RMSNorm(4), rnd(42, 2, 3, 4), rnd(43, 2, 3, 4), lambda layer: [(layer.dg, layer.g)]
        ),
    ),
    Stranger(
        "pixel norm: epsilon outside the root",
        "layer without parameters",
        lambda gradlab: gradlab.check_layer(PixelNorm(), rnd(44, 2, 3, 4)),
        lambda: prove_layer(PixelNorm(), rnd(44, 2, 3, 4), rnd(45, 2, 3, 4), lambda layer: []),
        "wrong",
        "backward adds epsilon to the root instead of under it",
        ("epsilon-outside",),
        ("x",),
    ),
    Stranger(
        "group norm as a pair",
        "pair with cache and a dict of settings",
        lambda gradlab: gradlab.check_cached_pair(
            groupnorm_forward, groupnorm_backward, (*gn_arrays(), dict(GN))
        ),
        prove_group,
    ),
    Stranger(
        "channel norm: gain multiplied in at the end",
        "layer with attributes, camelCase",
        lambda gradlab: gradlab.check_layer(ChannelNorm(4), rnd(63, 2, 4, 2, 3)),
        lambda: prove_layer(
            ChannelNorm(4),
            rnd(63, 2, 4, 2, 3),
            rnd(64, 2, 4, 2, 3),
            lambda layer: [(layer.gainGrad, layer.gain), (layer.offsetGrad, layer.offset)],
        ),
        "wrong",
        "the gain is applied after the projection and not before it",
        ("wrong-order",),
        ("x",),
    ),
    Stranger(
        "rows of unit length: the norm's own slope forgotten",
        "layer without parameters",
        lambda gradlab: gradlab.check_layer(Normalize(), rnd(71, 5, 4)),
        lambda: prove_layer(Normalize(), rnd(71, 5, 4), rnd(72, 5, 4), lambda layer: []),
        "wrong",
        "the norm is treated as a constant",
        ("normaliser-forgotten", "missing-term"),
        ("x",),
    ),
    Stranger(
        "direction with a floor for short vectors",
        "layer with attributes",
        lambda gradlab: gradlab.check_layer(SafeDirection(), vectors()),
        lambda: prove_layer(
            SafeDirection(), vectors(), rnd(82, 5, 3), lambda layer: [(layer.d_radius, layer.radius)]
        ),
    ),
    Stranger(
        "standardiser with fixed statistics: works on its argument in place",
        "layer with constants",
        lambda gradlab: gradlab.check_layer(standardise(), rnd(92, 5, 3)),
        prove_standardise,
        "habit",
        "forward writes into x",
        ("mutates-argument",),
        ("x",),
    ),
]
