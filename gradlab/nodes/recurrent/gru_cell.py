"""Gated recurrent cell: one step of the unit, with the reset gate before the product.

forward:  the first two blocks of columns of x Wx + h Wh + b, with x (batch, features) and h (batch, units), give the
          sigmoids z and r; with the third block of each, n = tanh(x Wx_n + (r h) Wh_n + b_n); h' = (1 - z) h + z n
backward: dn = g z (1 - n^2), drh = dn Wh_n^T, dz = g (n - h) z (1 - z), dr = drh h r (1 - r); with da = (dz, dr, dn)
          side by side dx = da Wx^T, dWx = x^T da, db = sum of da over the batch;
          dh = g (1 - z) + drh r + (dz, dr) (Wh_z, Wh_r)^T, dWh = h^T (dz, dr) and (r h)^T dn side by side

Source: Deep Learning from Scratch 2, appendix C; the product rule at each gate, and the four ways from h on.
"""

import math
from collections.abc import Iterator
from typing import Any

import numpy as np

from gradlab.node import Array, Sample
from gradlab.nodes.recurrent._recurrence import check_shapes, sigmoid_in_place
from gradlab.sampling import normal


def forward(x: Array, h: Array, Wx: Array, Wh: Array, b: Array) -> tuple[Array, Any]:
    check_shapes(x, Wx, Wh, b, "batch, features", 3, h=h)
    W_zr, W_n = np.split(Wh, [2 * len(Wh)], axis=1)
    a_zr, a_n = np.split(x @ Wx + b, [2 * len(Wh)], axis=1)
    gates = a_zr + h @ W_zr
    with np.errstate(over="ignore"):
        sigmoid_in_place(gates)
    z, r = np.split(gates, 2, axis=1)
    reset = r * h
    n = np.tanh(a_n + reset @ W_n)
    return h + z * (n - h), (x, h, Wx, W_zr, W_n, z, r, n, reset)


def backward(residuals: Any, g: Array) -> tuple[Array, ...]:
    x, h, Wx, W_zr, W_n, z, r, n, reset = residuals
    dn = g * z * (1 - n * n)
    dreset = dn @ W_n.T
    dzr = np.hstack((g * (n - h) * z * (1 - z), dreset * h * r * (1 - r)))
    dh = g * (1 - z) + dreset * r + dzr @ W_zr.T
    da = np.hstack((dzr, dn))
    return da @ Wx.T, dh, x.T @ da, np.hstack((h.T @ dzr, reset.T @ dn)), da.sum(axis=0)


def reference(x: Array, h: Array, Wx: Array, Wh: Array, b: Array) -> Any:
    from scipy.special import expit

    y = np.empty(h.shape)
    W_z, W_r, W_n = np.split(Wh.T, 3)
    for row in range(len(x)):
        z, r, n = np.split(Wx.T @ x[row] + b, 3)
        update = expit(z + W_z @ h[row])
        new = np.array([math.tanh(a) for a in n + W_n @ (expit(r + W_r @ h[row]) * h[row])])
        y[row] = (1 - update) * h[row] + update * new
    return y


def samples(rng: np.random.Generator) -> Iterator[Sample]:
    def arrays(count: int, features: int, units: int) -> tuple[Array, ...]:
        return (
            normal(rng, count, features),
            normal(rng, count, units),
            normal(rng, features, 3 * units),
            normal(rng, units, 3 * units),
            normal(rng, 3 * units),
        )

    yield Sample("batch of 2, 1 feature to 2 units", arrays(2, 1, 2))
    # far from 0, and yet no gate is shut: what the state brings the biases take away
    x, h = np.array([[0.04, -0.05]]), np.array([[12.0]])
    Wx = np.array([[12.0, -13.0, 11.0], [0.5, -4.0, 3.0]])
    Wh, b = np.array([[11.0, 0.2, -0.3]]), np.array([-132.3, -2.2, 2.0])
    yield Sample("batch of 1, 2 features to 1 unit", (x, h, Wx, Wh, b))
    *_, Wh, b = arrays(3, 1, 1)
    x, h = np.array([[60.0], [0.3], [-30.0]]), np.array([[-3.0], [0.5], [2.5]])
    yield Sample("gates open and shut", (x, h, np.array([[0.8, -0.5, 1.5]]), Wh, b))
