"""Small imitations of frameworks: Torch7, Caffe, Chainer, PyTorch functions, Keras, and home-made ones."""

import numpy as np

from ._entry import Stranger
from ._help_g import both


# ---- Torch7 in numpy -------------------------------------------------------
class Module:
    def updateGradInput(self, input, gradOutput):
        raise NotImplementedError

    def accGradParameters(self, input, gradOutput, scale=1):
        pass

    def zeroGradParameters(self):
        pass

    def forward(self, input):
        return self.updateOutput(input)

    def backward(self, input, gradOutput, scale=1):
        self.updateGradInput(input, gradOutput)
        self.accGradParameters(input, gradOutput, scale)
        return self.gradInput


class Linear(Module):
    def __init__(self, inputSize, outputSize, rng):
        self.weight = rng.normal(size=(outputSize, inputSize)) / np.sqrt(inputSize)
        self.bias = rng.normal(size=outputSize) * 0.1
        self.gradWeight = np.zeros_like(self.weight)
        self.gradBias = np.zeros_like(self.bias)

    def zeroGradParameters(self):
        self.gradWeight.fill(0)
        self.gradBias.fill(0)

    def updateOutput(self, input):
        self.output = input.dot(self.weight.T) + self.bias
        return self.output

    def updateGradInput(self, input, gradOutput):
        self.gradInput = gradOutput.dot(self.weight)
        return self.gradInput

    def accGradParameters(self, input, gradOutput, scale=1):
        self.gradWeight += scale * gradOutput.T.dot(input)
        self.gradBias += scale * gradOutput.sum(0)


class SoftSign(Module):
    def updateOutput(self, input):
        self.output = input / (1 + abs(input))
        return self.output

    def updateGradInput(self, input, gradOutput):
        self.gradInput = gradOutput / (1 + abs(input)) ** 2
        return self.gradInput


class Sequential(Module):
    def __init__(self, *modules):
        self.modules = list(modules)

    def zeroGradParameters(self):
        for m in self.modules:
            m.zeroGradParameters()

    def updateOutput(self, input):
        for m in self.modules:
            input = m.updateOutput(input)
        self.output = input
        return input

    def backward(self, input, gradOutput, scale=1):
        current = gradOutput
        for i in reversed(range(len(self.modules))):
            inp = self.modules[i - 1].output if i else input
            module = self.modules[i]
            module.accGradParameters(inp, gradOutput, scale)
            current = module.updateGradInput(inp, current)
        self.gradInput = current
        return current


# ---- Caffe's blobs ---------------------------------------------------------
class Blob:
    def __init__(self, data):
        self.data = np.asarray(data, dtype=float)
        self.diff = np.zeros_like(self.data)


class PowerLayer:
    """y = (shift + scale * x) ** power, scale and shift of each channel are blobs"""

    def __init__(self, channels, power=2.0):
        self.power = power
        self.blobs = [Blob(np.linspace(0.5, 1.0, channels)), Blob(np.linspace(2.0, 3.0, channels))]

    def forward(self, bottom):
        self.bottom = Blob(bottom)
        scale, shift = (b.data for b in self.blobs)
        self.inner = shift + scale * bottom
        self.top = Blob(self.inner**self.power)
        return self.top.data

    def backward(self, top_diff):
        self.top.diff[...] = top_diff
        common = self.top.diff * self.power * self.inner ** (self.power - 1)
        self.blobs[0].diff[...] = (common * self.bottom.data).sum(0)
        self.blobs[1].diff[...] = common.sum(0)
        self.bottom.diff[...] = common * self.blobs[0].data
        return self.bottom.diff


class ScaleLayer:
    def __init__(self, channels):
        self.blobs = [Blob(np.linspace(0.5, 2.0, channels))]

    def forward(self, bottom):
        self.bottom = Blob(bottom)
        return bottom * self.blobs[0].data[:, None]

    def backward(self, top_diff):
        (gamma,) = self.blobs
        gamma.diff.fill(0)
        for n in range(len(top_diff)):
            prod = top_diff[n] * self.bottom.data[n]
            gamma.diff += prod.mean(axis=1)
            self.bottom.diff[n] = top_diff[n] * gamma.data[:, None]
        return self.bottom.diff


# ---- Chainer ---------------------------------------------------------------
class FunctionNode:
    def __call__(self, *inputs):
        out = self.forward(inputs)
        return out[0] if len(out) == 1 else out


class Hypot(FunctionNode):
    def forward(self, inputs):
        a, b = inputs
        self.r = np.sqrt(a * a + b * b)
        return (self.r,)

    def backward(self, inputs, grad_outputs):
        a, b = inputs
        (gr,) = grad_outputs
        return gr * a / self.r, gr * b / self.r


class AbsPower(FunctionNode):
    def __init__(self, p=1.5):
        self.p = p

    def forward(self, inputs):
        (x,) = inputs
        return (np.abs(x) ** self.p,)

    def backward(self, inputs, grad_outputs):
        (x,) = inputs
        (gy,) = grad_outputs
        return (gy * self.p * np.abs(x) ** (self.p - 1),)


# ---- torch.autograd.Function ------------------------------------------------
class Context:
    def save_for_backward(self, *tensors):
        self.saved_tensors = tensors


class RBFKernel:
    """k(x, c) = exp(-gamma |x - c|^2); use RBFKernel.apply(x, centres, gamma)"""

    @staticmethod
    def forward(ctx, x, centres, gamma):
        diff = x[:, None, :] - centres[None, :, :]
        sq = (diff**2).sum(-1)
        k = np.exp(-gamma * sq)
        ctx.save_for_backward(diff, sq, k, gamma)
        return k

    @staticmethod
    def backward(ctx, grad_output):
        diff, sq, k, gamma = ctx.saved_tensors
        gk = grad_output * k
        pull = -2 * gamma * gk[..., None] * diff
        return pull.sum(1), -pull.sum(0), -np.sum(gk * sq, keepdims=True).reshape(1)

    @classmethod
    def apply(cls, *args):
        return cls.forward(Context(), *args)


# ---- Keras -----------------------------------------------------------------
class Layer:
    built = False

    def __call__(self, inputs):
        if not self.built:
            self.build(inputs.shape)
            self.built = True
        return self.call(inputs)


class TimeDistributedGLU(Layer):
    def __init__(self, units):
        self.units = units

    def build(self, input_shape):
        r = np.random.RandomState(0)
        self.kernel = r.randn(input_shape[-1], 2 * self.units) * 0.3
        self.bias = r.randn(2 * self.units) * 0.1
        self.weights = [self.kernel, self.bias]

    def call(self, inputs):
        z = inputs @ self.kernel + self.bias
        self._x = inputs
        self._lin, gate = z[..., : self.units], z[..., self.units :]
        self._gate = 1 / (1 + np.exp(-gate))
        return self._lin * self._gate

    def backward(self, dy):
        dz = np.concatenate([dy * self._gate, dy * self._lin * self._gate * (1 - self._gate)], axis=-1)
        self.gradients = [np.tensordot(self._x, dz, axes=([0, 1], [0, 1])), dz.sum(axis=(0, 1))]
        return dz @ self.kernel.T


class LocallyConnected1D(Layer):
    def __init__(self, filters):
        self.filters = filters

    def build(self, shape):
        _, steps, channels = shape
        r = np.random.RandomState(1)
        self.kernel = r.randn(steps, channels, self.filters)
        self.bias = np.zeros((steps, self.filters))

    def call(self, inputs):
        self.inputs = inputs
        return np.einsum("bti,tio->bto", inputs, self.kernel) + self.bias

    def backward(self, dy):
        self.dkernel = np.einsum("bti,bto->toi", self.inputs, dy)
        self.dbias = dy.sum(axis=0)
        return np.einsum("bto,tio->bti", dy, self.kernel)


# ---- a teaching library: everything is kept per example, flush when done -----
class FullyConnected:
    def __init__(self, n_out, scale=0.5):
        self.n_out, self.scale = n_out, scale
        self.parameters = {"W": None, "b": None}
        self.is_initialized = False

    def _init_params(self, n_in):
        r = np.random.RandomState(5)
        self.parameters = {"W": r.randn(n_in, self.n_out) * self.scale, "b": r.randn(1, self.n_out)}
        self.gradients = {k: np.zeros_like(v) for k, v in self.parameters.items()}
        self.X, self.is_initialized = [], True

    def forward(self, X, retain_derived=True):
        if not self.is_initialized:
            self._init_params(X.shape[1])
        if retain_derived:
            self.X.append(X)
        return np.arctan(X @ self.parameters["W"] + self.parameters["b"])

    def flush_gradients(self):
        self.X = []
        for v in self.gradients.values():
            v[...] = 0

    def backward(self, dLdY, retain_grads=True):
        if not isinstance(dLdY, list):
            dLdY = [dLdY]
        dX = []
        for dy, x in zip(dLdY, self.X[-len(dLdY) :], strict=True):
            dZ = dy / (1 + (x @ self.parameters["W"] + self.parameters["b"]) ** 2)
            dX.append(dZ @ self.parameters["W"].T)
            if retain_grads:
                self.gradients["W"] += x.T @ dZ
                self.gradients["b"] += dZ.sum(axis=0, keepdims=True)
        return dX[0] if len(dX) == 1 else dX


class SGD:
    def __init__(self, lr=0.01):
        self.lr = lr

    def update(self, w, grad_wrt_w):
        return w - self.lr * grad_wrt_w


class TrainableBias2D:
    """the layers of this library update themselves in backward_pass"""

    trainable = True

    def __init__(self, shape):
        self.shape = shape

    def initialize(self, optimizer):
        self.optimizer = optimizer
        self.W = np.random.RandomState(2).uniform(0.5, 1.5, self.shape)

    def forward_pass(self, X, training=True):
        self.layer_input = X
        return np.sinh(X * self.W)

    def backward_pass(self, accum_grad):
        W = self.W
        inner = accum_grad * np.cosh(self.layer_input * W)
        if self.trainable:
            self.W = self.optimizer.update(self.W, np.sum(inner * self.layer_input, axis=0))
        return inner * W


class Scorer:
    def __init__(self, n):
        self.w = np.linspace(-1, 1, n)
        self.dw = np.zeros(n)

    def forward(self, x):
        self.x = x
        return x @ self.w

    def backward(self, dout):
        self.dw += dout @ self.x
        return np.outer(dout, self.w)


def rng():
    return np.random.default_rng(21)


def linear():
    return Linear(30, 40, rng()), rng().normal(size=(5, 30))


def sequential():
    r = rng()
    return Sequential(Linear(4, 4, r), SoftSign(), Linear(4, 4, r)), rng().normal(size=(5, 4))


def scale():
    return ScaleLayer(3), rng().normal(size=(4, 3, 5))


def power():
    return PowerLayer(3), rng().normal(size=(4, 3))


def hypot():
    return Hypot(), (rng().normal(size=(3, 2)), 1 + rng().random((3, 2)))


def abspower():
    return AbsPower(), (rng().normal(size=(3, 4)),)


def rbf():
    return RBFKernel, rng().normal(size=(4, 2)), rng().normal(size=(3, 2)) * 0.5, np.array([0.4])


def glu():
    return TimeDistributedGLU(3), rng().normal(size=(2, 4, 5))


def local():
    return LocallyConnected1D(5), rng().normal(size=(3, 8, 5))


def fc():
    return FullyConnected(3), rng().normal(size=(4, 5))


def trainable():
    layer = TrainableBias2D((4, 3))
    layer.initialize(SGD(0.05))
    return layer, rng().normal(size=(6, 4, 3)) * 0.6


def scorer():
    return Scorer(4), rng().normal(size=(5, 4))


def torch(m, g, x):
    m.zeroGradParameters()
    dx = m.backward(x, g)
    claims = [(dx, x)]
    for layer in getattr(m, "modules", [m]):
        if hasattr(layer, "weight"):
            claims += [(layer.gradWeight, layer.weight), (layer.gradBias, layer.bias)]
    return claims


def function(F, g, *xs):
    ctx = Context()
    F.forward(ctx, *xs)
    return list(zip(F.backward(ctx, g), xs, strict=True))


def learned(m, g, x):
    old = m.W.copy()
    dx = m.backward_pass(g)
    dW, m.W = (old - m.W) / m.optimizer.lr, old
    return [(dx, x), (dW, old)]


def call(m, x):
    return m(x)


ENTRIES = [
    Stranger(
        "Torch7's Linear in numpy", "updateOutput, updateGradInput, accGradParameters", *both(linear, torch)
    ),
    Stranger(
        "Torch7's Sequential: the last gradOutput for every module's parameters",
        "container with modules",
        *both(sequential, torch),
        "wrong",
        "each module's parameters get the gradOutput of the whole container instead of their own",
        ("wrong-cotangent",),
        ("weight", "bias"),
        "            module.accGradParameters(inp, gradOutput, scale)",
        "            module.accGradParameters(inp, current, scale)",
    ),
    Stranger(
        "Caffe's Power layer with blobs",
        "layer with blobs of data and diff",
        *both(power, lambda m, g, x: [(m.backward(g), x)] + [(b.diff, b.data) for b in m.blobs]),
    ),
    Stranger(
        "Caffe's Scale layer: the mean over the places, not the sum",
        "layer with blobs of data and diff",
        *both(scale, lambda m, g, x: [(m.backward(g), x)] + [(b.diff, b.data) for b in m.blobs]),
        "wrong",
        "gamma's diff is averaged over the places of the image and should be summed",
        ("constant-factor",),
        ("blobs[0]",),
        "            gamma.diff += prod.mean(axis=1)",
        "            gamma.diff += prod.sum(axis=1)",
    ),
    Stranger(
        "Chainer's function of two inputs: hypot",
        "tuples in and out, backward(inputs, grad_outputs)",
        *both(hypot, lambda m, g, xs: list(zip(m.backward(xs, g), xs, strict=True))),
    ),
    Stranger(
        "Chainer's function |x|^p: the sign of x forgotten",
        "tuples, backward(inputs, grad_outputs)",
        *both(abspower, lambda m, g, xs: list(zip(m.backward(xs, g), xs, strict=True))),
        "wrong",
        "sign(x) is missing, so that the gradient has the wrong sign where x is negative",
        ("masked-region", "sign-flipped"),
        ("x",),
        "        return (gy * self.p * np.abs(x) ** (self.p - 1),)",
        "        return (gy * self.p * np.sign(x) * np.abs(x) ** (self.p - 1),)",
    ),
    Stranger(
        "PyTorch's Function imitated: RBF kernel with ctx",
        "static forward(ctx, ...) and backward(ctx, g)",
        *both(rbf, function, lambda F, *xs: F.apply(*xs)),
    ),
    Stranger(
        "Keras's layer imitated: gated linear unit, built at the first call",
        "build, call, backward",
        *both(glu, lambda m, g, x: [(m.backward(g), x), *zip(m.gradients, m.weights, strict=True)], call),
    ),
    Stranger(
        "Keras's LocallyConnected1D: the kernel's gradient transposed",
        "build, call, backward",
        *both(local, lambda m, g, x: [(m.backward(g), x), (m.dkernel, m.kernel), (m.dbias, m.bias)], call),
        "wrong",
        "in and out are exchanged in the gradient of the kernel, which is square here",
        ("transposed", "axes-permuted"),
        ("kernel",),
        '        self.dkernel = np.einsum("bti,bto->toi", self.inputs, dy)',
        '        self.dkernel = np.einsum("bti,bto->tio", self.inputs, dy)',
    ),
    Stranger(
        "teaching library: arctan layer with lists of calls and flush_gradients",
        "lazy parameters, dicts",
        *both(
            fc,
            lambda m, g, x: [
                (m.backward(g), x),
                (m.gradients["W"], m.parameters["W"]),
                (m.gradients["b"], m.parameters["b"]),
            ],
        ),
    ),
    Stranger(
        "layer that updates itself with an optimizer in backward_pass",
        "forward_pass and backward_pass",
        *both(trainable, learned, lambda m, x: m.forward_pass(x)),
    ),
    Stranger(
        "linear scorer that adds to the gradient of the call before",
        "layer with dw",
        both(scorer, None)[0],
        lambda: [],
        "habit",
        "dw is added to at every backward, and nothing ever sets it to zero",
        ("accumulates",),
        ("w",),
        "        self.dw += dout @ self.x",
        "        self.dw = dout @ self.x",
    ),
]
