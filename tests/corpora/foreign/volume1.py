"""Layers as the first textbook writes them: parameters and their gradients are attributes, `backward(dout)`."""

import numpy as np

from ._entry import Foreign, drawn, normal
from ._use import attributes, passed


class Affine:
    def __init__(self, W, b):
        self.W = W
        self.b = b
        self.x = None
        self.original_x_shape = None
        self.dW = None
        self.db = None

    def forward(self, x):
        self.original_x_shape = x.shape
        self.x = x.reshape(x.shape[0], -1)
        return np.dot(self.x, self.W) + self.b

    def backward(self, dout):
        dx = np.dot(dout, self.W.T)
        self.dW = np.dot(self.x.T, dout)
        self.db = self.sum_of(dout)
        return dx.reshape(*self.original_x_shape)

    def sum_of(self, dout):
        return np.sum(dout, axis=0)


class AffineSumsColumns(Affine):
    def sum_of(self, dout):
        return np.sum(dout, axis=1)


class AffineSwapsTheProduct(Affine):
    def backward(self, dout):
        dx = super().backward(dout)
        self.dW = np.dot(dout.T, self.x)
        return dx


class AffineAddsUp(Affine):
    def sum_of(self, dout):
        return np.sum(dout, axis=0) + (0 if self.db is None else self.db)


class Relu:
    def __init__(self):
        self.mask = None

    def forward(self, x):
        self.mask = x <= 0
        out = x.copy()
        out[self.mask] = 0
        return out

    def backward(self, dout):
        dx = dout.copy()
        dx[self.mask] = 0
        return dx


class ReluInPlace(Relu):
    def backward(self, dout):
        dout[self.mask] = 0
        return dout


class ReluMasksTheCotangent(Relu):
    def backward(self, dout):
        return np.where(dout >= 0, dout, 0) * ~self.mask


class ResidualBlock:
    """x + relu(x W)."""

    def __init__(self, W, relu):
        self.W = W
        self.relu = relu
        self.x = None
        self.dW = None

    def forward(self, x):
        self.x = x
        return x + self.relu.forward(x.dot(self.W))

    def backward(self, dout):
        da = self.relu.backward(dout)
        self.dW = self.x.T.dot(da)
        return dout + da.dot(self.W.T)


class MulLayer:
    def __init__(self):
        self.x = None
        self.y = None

    def forward(self, x, y):
        self.x = x
        self.y = y
        return x * y

    def backward(self, dout):
        dx = dout * self.y
        dy = dout * self.x
        return dx, dy


class MulLayerSwapped(MulLayer):
    def backward(self, dout):
        dx = dout * self.x
        dy = dout * self.y
        return dx, dy


class AddLayer:
    def forward(self, x, y):
        return x + y

    def backward(self, dout):
        return dout * 1, dout * 1


class AddLayerShares(AddLayer):
    def backward(self, dout):
        return dout, dout


VOLUME_1 = {"style": "volume 1", "cotangent": "passed"}
affine = Foreign(
    **VOLUME_1,
    name="affine of images",
    stored="attributes",
    how="Call forward(x) with a batch of any shape, then dx = backward(dout); W's gradient is dW, b's is db.",
    make=lambda: Affine(normal(1, 6, 4), normal(2, 4)),
    inputs=drawn((4, 2, 1, 3)),
    use=attributes("W", "b"),
)
square = affine.varied(
    "affine with a square weight",
    make=lambda: Affine(normal(3, 3, 3), normal(4, 3)),
    inputs=drawn((2, 3)),
)
relu = Foreign(
    **VOLUME_1,
    name="relu",
    how="Call forward(x), then dx = backward(dout).",
    make=Relu,
    inputs=drawn((3, 4)),
    use=passed(),
    truth=lambda g, x: (g * (x > 0),),
)
residual = Foreign(
    **VOLUME_1,
    name="residual block around a relu",
    stored="attributes",
    how="Call forward(x), then dx = backward(dout), which leaves the gradient of W in dW.",
    make=lambda: ResidualBlock(normal(5, 3, 3), Relu()),
    inputs=drawn((4, 3)),
    use=attributes("W"),
)
multiply = Foreign(
    **VOLUME_1,
    name="multiplication",
    how="Call forward(x, y), then dx, dy = backward(dout).",
    make=MulLayer,
    inputs=drawn((2, 3), (2, 3)),
    arguments=("x", "y"),
    use=passed(),
    truth=lambda g, x, y: (g * y, g * x),
)
add = Foreign(
    **VOLUME_1,
    name="addition",
    how="Call forward(x, y), then dx, dy = backward(dout).",
    make=AddLayer,
    inputs=drawn((2, 3), (2, 3)),
    arguments=("x", "y"),
    use=passed(),
    truth=lambda g, x, y: (g, g),
)
ENTRIES = [
    affine,
    affine.spoiled(
        "bias gradient summed over the columns",
        lambda: AffineSumsColumns(normal(1, 6, 4), normal(2, 4)),
        "wrong-sum-axis",
        "b",
    ),
    affine.spoiled(
        "bias gradient added to that of the last call, unlike the weight's",
        lambda: AffineAddsUp(normal(1, 6, 4), normal(2, 4)),
        "accumulates",
        "b",
        again=True,
    ),
    square,
    square.spoiled(
        "weight gradient is dout.T x",
        lambda: AffineSwapsTheProduct(normal(3, 3, 3), normal(4, 3)),
        "transposed",
        "W",
    ),
    relu,
    relu.spoiled("writes into dout", ReluInPlace, "mutates-argument", breach=True),
    relu.spoiled("masked where dout is negative too", ReluMasksTheCotangent, "nonlinear-in-cotangent", "x"),
    residual,
    residual.spoiled(
        "the relu inside writes into dout",
        lambda: ResidualBlock(normal(5, 3, 3), ReluInPlace()),
        "mutates-argument",
        "x",
    ),
    multiply,
    multiply.spoiled("gradients exchanged", MulLayerSwapped, "swapped-primals", "x", "y"),
    add,
    add.spoiled("dout itself returned, twice", AddLayerShares, "aliases-memory", breach=True),
]
