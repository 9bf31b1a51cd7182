"""Recurrent cell: one step of a recurrent layer.

forward:  h' = tanh(x Wx + h Wh + b), with x (batch, features) and h (batch, units)
backward: with da = g (1 - h'^2): dx = da Wx^T, dh = da Wh^T, dWx = x^T da, dWh = h^T da, db = sum of da over the batch

Source: Deep Learning from Scratch 2, chapter 5: two products, the sum, and the slope of tanh.
"""

import math
from collections.abc import Iterator
from typing import Any

import numpy as np

from gradlab.node import Array, Sample
from gradlab.nodes.recurrent._recurrence import check_shapes
from gradlab.sampling import normal


def forward(x: Array, h: Array, Wx: Array, Wh: Array, b: Array) -> tuple[Array, Any]:
    check_shapes(x, Wx, Wh, b, "batch, features", h=h)
    y = np.tanh(x @ Wx + h @ Wh + b)
    return y, (x, h, Wx, Wh, y)


def backward(residuals: Any, g: Array) -> tuple[Array, ...]:
    x, h, Wx, Wh, y = residuals
    da = g * (1 - y * y)
    return da @ Wx.T, da @ Wh.T, x.T @ da, h.T @ da, da.sum(axis=0)


def reference(x: Array, h: Array, Wx: Array, Wh: Array, b: Array) -> Any:
    rows = [[math.tanh(a) for a in Wx.T @ x[n] + Wh.T @ h[n] + b] for n in range(len(x))]
    return np.reshape(rows, (len(x), len(b)))


def samples(rng: np.random.Generator) -> Iterator[Sample]:
    def arrays(count: int, features: int, units: int) -> tuple[Array, ...]:
        return (
            normal(rng, count, features),
            normal(rng, count, units),
            normal(rng, features, units),
            normal(rng, units, units),
            normal(rng, units),
        )

    yield Sample("batch of 2, 3 features to 2 units", arrays(2, 3, 2))
    yield Sample("batch of 1, 1 feature to 3 units", arrays(1, 1, 3))
    x, _, Wx, Wh, _ = arrays(2, 2, 2)
    h = np.array([[-3.0, 4.0], [0.5, -1.0]])
    yield Sample("a state far from 0, and one unit saturated", (x, h, Wx, 0.3 * Wh, np.array([0.5, 30.0])))
