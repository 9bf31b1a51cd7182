"""Layers with habits: parameters made by the first forward, every forward remembered, a penalty, single precision."""

import numpy as np

from ._entry import Foreign, drawn, normal
from ._use import attributes


class LazyDense:
    """The weight is made when the first batch shows how wide it is."""

    def __init__(self, units, seed=0):
        self.units = units
        self.rng = np.random.default_rng(seed)
        self.W = None
        self.b = None

    def forward(self, x):
        if self.W is None:
            self.W = self.rng.standard_normal((x.shape[1], self.units))
            self.b = np.zeros(self.units)
        self.x = x
        return x @ self.W + self.b

    def backward(self, dout):
        self.dW = self.x.T @ dout
        self.db = dout.sum(axis=0)
        return dout @ self.turned(self.W)

    def turned(self, W):
        return W.T


class LazyDenseForgetsToTranspose(LazyDense):
    def turned(self, W):
        return W


class TanhThatRemembers:
    """Every forward leaves its residuals on a stack, and every backward takes one from it."""

    def __init__(self, w):
        self.w = w
        self.dw = None
        self.inputs = []
        self.outputs = []

    def forward(self, x):
        out = np.tanh(self.w * x)
        self.inputs.append(x)
        self.outputs.append(out)
        return out

    def backward(self, dout):
        x, out = self.taken()
        da = dout * (1 - out**2)
        self.dw = (da * x).sum(axis=0)
        return da * self.w

    def taken(self):
        return self.inputs.pop(), self.outputs.pop()


class TanhTakesTheFirst(TanhThatRemembers):
    def taken(self):
        return self.inputs[0], self.outputs[0]


class KeepsTheFirstBatch(TanhThatRemembers):
    """Only ever fills the buffer once, "to save memory"."""

    def forward(self, x):
        out = np.tanh(self.w * x)
        if not self.inputs:
            self.inputs, self.outputs = [x], [out]
        return out

    def taken(self):
        return self.inputs[0], self.outputs[0]


class PenalizedDense:
    """The penalty is no part of what forward returns."""

    def __init__(self, W, l2=0.1):
        self.W = W
        self.l2 = l2

    def forward(self, x):
        self.x = x
        return x @ self.W

    def penalty(self):
        return 0.5 * self.l2 * np.sum(self.W**2)

    def backward(self, dout):
        self.dW = self.with_penalty(self.x.T @ dout)
        return dout @ self.W.T

    def with_penalty(self, dW):
        return dW


class DenseAddsThePenalty(PenalizedDense):
    def with_penalty(self, dW):
        return dW + self.l2 * self.W


class SingleBuffers:
    """Takes any dtype, and computes in buffers of single precision."""

    def __init__(self, W, b):
        self.W = W
        self.b = b

    def forward(self, x):
        self.x = x.astype(np.float32)
        out = np.empty((x.shape[0], self.W.shape[1]), dtype=np.float32)
        np.dot(self.x, self.W.astype(np.float32), out=out)
        out += self.b
        return out

    def backward(self, dout):
        dout = dout.astype(np.float32)
        self.dW = np.dot(self.x.T, dout)
        self.db = self.over_batch(dout)
        return np.dot(dout, self.W.T.astype(np.float32))

    def over_batch(self, dout):
        return dout.sum(axis=0)


class SingleBuffersSumTheColumns(SingleBuffers):
    def over_batch(self, dout):
        return dout.sum(axis=1)


def single(rng):
    return tuple(x.astype(np.float32) for x in drawn((3, 4))(rng))


HABITS = {"style": "habits", "cotangent": "passed", "stored": "attributes"}
lazy = Foreign(
    **HABITS,
    name="dense layer made by its first forward",
    how="The first forward(x) makes W and b; then dx = backward(dout), which sets dW and db.",
    make=lambda: LazyDense(3),
    inputs=drawn((4, 3)),
    use=attributes("W", "b"),
)
remembers = Foreign(
    **HABITS,
    name="tanh that remembers every forward",
    how="Each backward(dout) belongs to the latest forward(x) that has had none, as calls and returns do.",
    make=lambda: TanhThatRemembers(normal(101, 3)),
    inputs=drawn((4, 3)),
    use=attributes("w"),
)
penalized = Foreign(
    **HABITS,
    name="dense layer with a penalty beside it",
    how="y = forward(x) and dx = backward(dout); the penalty() is added to the loss, and its gradient, elsewhere.",
    make=lambda: PenalizedDense(normal(102, 3, 2)),
    inputs=drawn((4, 3)),
    use=attributes("W"),
)
buffers = Foreign(
    **HABITS,
    name="affine in single precision inside",
    how="y = forward(x), then dx = backward(dout); x may be float64, everything is computed in float32.",
    warnings=("wrong-dtype",),
    make=lambda: SingleBuffers(normal(103, 3, 4), normal(104, 4)),
    inputs=drawn((4, 3)),
    use=attributes("W", "b"),
)
buffers_single = buffers.varied(
    "affine in single precision inside and outside",
    make=lambda: SingleBuffers(normal(105, 4, 2).astype(np.float32), normal(106, 2).astype(np.float32)),
    inputs=single,
    warnings=(),
)
ENTRIES = [
    lazy,
    lazy.spoiled("weight not transposed", lambda: LazyDenseForgetsToTranspose(3), "transposed", "x"),
    remembers,
    remembers.spoiled(
        "backward takes the first forward",
        lambda: TanhTakesTheFirst(normal(101, 3)),
        "stale-residuals",
        *("x", "w"),
        again=True,
    ),
    remembers.spoiled(
        "the first batch kept for good",
        lambda: KeepsTheFirstBatch(normal(101, 3)),
        "stale-residuals",
        *("x", "w"),
        again=True,
    ),
    penalized,
    penalized.spoiled(
        "the penalty's gradient added here too",
        lambda: DenseAddsThePenalty(normal(102, 3, 2)),
        "additive-bias",
        "W",
    ),
    buffers,
    buffers.spoiled(
        "bias gradient summed over the columns",
        lambda: SingleBuffersSumTheColumns(normal(103, 3, 4), normal(104, 4)),
        "wrong-sum-axis",
        "b",
    ),
    buffers_single,
]
