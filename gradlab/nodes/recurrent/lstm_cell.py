"""Long short-term memory cell: one step of the layer.

forward:  the four blocks of columns of x Wx + h Wh + b, with x (batch, features) and h, c (batch, units), give f, g,
          i, o, with the sigmoid for f, i, o and tanh for g; c' = f c + g i, h' = o tanh(c'); the outputs are h', c'
backward: dc' = g_c + g_h o (1 - tanh(c')^2), with g_h and g_c the outputs' cotangents; df = dc' c f (1 - f),
          dg = dc' i (1 - g^2), di = dc' g i (1 - i), do = g_h tanh(c') o (1 - o) side by side are da; dx = da Wx^T,
          dh = da Wh^T, dc = dc' f, dWx = x^T da, dWh = h^T da, db = sum of da over the batch

Source: Deep Learning from Scratch 2, chapter 6: the product rule at each gate, and the two ways from c' on.
"""

import math
from collections.abc import Iterator
from typing import Any

import numpy as np

from gradlab.node import Array, Sample
from gradlab.nodes.recurrent._recurrence import check_shapes, sigmoid_in_place
from gradlab.sampling import normal


def forward(x: Array, h: Array, c: Array, Wx: Array, Wh: Array, b: Array) -> tuple[tuple[Array, Array], Any]:
    check_shapes(x, Wx, Wh, b, "batch, features", 4, h=h, c=c)
    gates = x @ Wx + h @ Wh + b
    f, new, i, o = np.split(gates, 4, axis=1)
    with np.errstate(over="ignore"):
        for gate in (f, i, o):
            sigmoid_in_place(gate)
    np.tanh(new, out=new)
    c_next = f * c + new * i
    squashed = np.tanh(c_next)
    return (o * squashed, c_next), (x, h, c, Wx, Wh, (f, new, i, o), squashed)


def backward(residuals: Any, g: tuple[Array, Array]) -> tuple[Array, ...]:
    x, h, c, Wx, Wh, (f, new, i, o), squashed = residuals
    gh, gc = g
    dc = gc + gh * o * (1 - squashed * squashed)
    df, di = dc * c * f * (1 - f), dc * new * i * (1 - i)
    dnew, do = dc * i * (1 - new * new), gh * squashed * o * (1 - o)
    da = np.hstack((df, dnew, di, do))
    return da @ Wx.T, da @ Wh.T, dc * f, x.T @ da, h.T @ da, da.sum(axis=0)


def reference(x: Array, h: Array, c: Array, Wx: Array, Wh: Array, b: Array) -> Any:
    from scipy.special import expit

    hs, cs = np.empty(h.shape), np.empty(c.shape)
    units = len(Wh)
    for n, k in np.ndindex(*h.shape):
        f, g, i, o = (
            x[n] @ Wx[:, column] + h[n] @ Wh[:, column] + b[column] for column in range(k, 4 * units, units)
        )
        cs[n, k] = expit(f) * c[n, k] + expit(i) * math.tanh(g)
        hs[n, k] = expit(o) * math.tanh(cs[n, k])
    return hs, cs


def samples(rng: np.random.Generator) -> Iterator[Sample]:
    def arrays(count: int, features: int, units: int) -> tuple[Array, ...]:
        return (
            normal(rng, count, features),
            normal(rng, count, units),
            normal(rng, count, units),
            normal(rng, features, 4 * units),
            normal(rng, units, 4 * units),
            normal(rng, 4 * units),
        )

    yield Sample("batch of 2, 1 feature to 2 units", arrays(2, 1, 2))
    # far from 0, and yet no gate is shut: what the state brings the biases take away
    signs = np.array([1.0, -1.0, 1.0, -1.0])
    x, h, c = np.array([[0.04, -0.05]]), np.array([[20.0]]), np.array([[-2.5]])
    Wx = np.array([[12.0, -13.0, 11.0, -12.0], [0.5, -4.0, 3.0, 0.2]])
    yield Sample("batch of 1, 2 features to 1 unit", (x, h, c, Wx, 0.6 * signs[None], -12.0 * signs + 0.3))
    *_, Wh, b = arrays(3, 1, 1)
    x, h, c = (
        np.array([[60.0], [0.3], [-30.0]]),
        np.array([[-3.0], [0.5], [2.5]]),
        np.array([[4.0], [0.7], [-0.4]]),
    )
    yield Sample("gates open and shut", (x, h, c, np.array([[0.8, -0.5, 1.5, -1.2]]), Wh, b))
