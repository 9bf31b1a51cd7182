"""Layers over the rows of a matrix, with other names for backward: back, backward_pass, backpropagate."""

import numpy as np

from ._entry import Foreign, drawn
from ._use import passed


class Relu:
    """relu that remembers where it was positive in one long row."""

    order = "C"

    def forward(self, x):
        self.positive = (x > 0).ravel(order=self.order)
        return np.maximum(x, 0.0)

    def backpropagate(self, error):
        return (error.ravel(order=self.order) * self.positive).reshape(error.shape)


class ReluInMemoryOrder(Relu):
    order = "K"


class Smoothing:
    """Each row with the kernel (1, 2, 1) / 4, and zeros beyond its ends."""

    def forward(self, x):
        padded = np.pad(x, [(0, 0), (1, 1)])
        return (padded[:, :-2] + 2 * padded[:, 1:-1] + padded[:, 2:]) / 4

    def back(self, dout):
        padded = np.pad(dout, [(0, 0), (1, 1)])
        return (padded[:, :-2] + 2 * padded[:, 1:-1] + padded[:, 2:]) / 4


class SmoothingForgetsTheEnds(Smoothing):
    def back(self, dout):
        dx = np.zeros_like(dout)
        dx[:, 1:-1] = super().back(dout)[:, 1:-1]
        return dx


class RowNorm:
    """Rows divided by their length, rows of zeros left as they are."""

    def forward(self, x):
        self.x = x
        self.norm = np.sqrt((x**2).sum(axis=1, keepdims=True))
        self.length = np.maximum(self.norm, 0.1)
        return x / self.length

    def backward_pass(self, accum_grad):
        along = (accum_grad * self.x).sum(axis=1, keepdims=True)
        dlength = np.where(self.norm > 0.1, -along / self.length**2, 0.0)
        return accum_grad / self.length + dlength * self.direction()

    def direction(self):
        return self.x / self.length


class RowNormDividesByZero(RowNorm):
    def direction(self):
        with np.errstate(invalid="ignore"):
            return self.x / self.norm


def row_of_zeros(rng):
    x = rng.standard_normal((4, 3))
    x[1] = 0.0
    return (x,)


VERBS = {"style": "another verb", "cotangent": "passed"}
flat_relu = Foreign(
    **VERBS,
    name="relu in one long row, Fortran order",
    how="y = forward(x), then dx = backpropagate(error).",
    make=Relu,
    inputs=lambda rng: (np.asfortranarray(drawn((3, 4))(rng)[0]),),
    use=passed(backward="backpropagate"),
    truth=lambda g, x: (g * (x > 0),),
)
smoothing = Foreign(
    **VERBS,
    name="smoothing of rows",
    how="y = forward(x), then dx = back(dout).",
    make=Smoothing,
    inputs=drawn((2, 6)),
    use=passed(backward="back"),
)
row_norm = Foreign(
    **VERBS,
    name="rows of length 1, one of zeros among them",
    how="y = forward(x), then dx = backward_pass(accum_grad).",
    make=RowNorm,
    inputs=row_of_zeros,
    use=passed(backward="backward_pass"),
)
ENTRIES = [
    flat_relu,
    flat_relu.spoiled("mask taken in memory order", ReluInMemoryOrder, "assumes-contiguous", "x"),
    smoothing,
    smoothing.spoiled("both ends forgotten", SmoothingForgetsTheEnds, "border", "x"),
    row_norm,
    row_norm.spoiled("divided by a length of 0", RowNormDividesByZero, "not-finite", "x"),
]
