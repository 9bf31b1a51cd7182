"""Gated recurrent unit over time, with truncated backpropagation.

forward:  for every step t of x (batch, time, features), from h0 (batch, units) on, with h for h_(t-1): the first two
          blocks of columns of x_t Wx + h Wh + b give the sigmoids z and r; with the third block of each,
          n = tanh(x_t Wx_n + (r h) Wh_n + b_n); h_t = (1 - z) h + z n; the output is all h_t, (batch, time, units)
backward: from the last step to the first, with dh the gradient that h_t has from the step after it: dh += g_t;
          dn = dh z (1 - n^2), drh = dn Wh_n^T, dz = dh (n - h) z (1 - z), dr = drh h r (1 - r);
          then dh = dh (1 - z) + drh r + dz Wh_z^T + dr Wh_r^T; dx_t = (dz, dr, dn) Wx^T, dWx = sum of
          x_t^T (dz, dr, dn), db = sum of (dz, dr, dn), dWh = sum of h^T (dz, dr) and of (r h)^T dn side by side, and
          dh0 is what dh is in the end

Source: Deep Learning from Scratch 2, appendix C, where the reset gate acts before the product; the chain rule step by
step from behind. With truncation = k the steps fall into blocks of k, and dh is 0 at the end of every block but the
last: each block begins with a state that counts as data. `starts` gives these states, (batch, blocks - 1, units), and
then that is the gradient of forward; without them forward goes on from its own states, and only backward takes them
for data. The gradient of h0 comes from the first block. Without steps the output is empty, and all gradients are 0.
"""

import math
from collections.abc import Iterator
from typing import Any

import numpy as np

from gradlab.node import Array, Sample
from gradlab.nodes.recurrent._recurrence import (
    block_borders,
    check_shapes,
    given_starts,
    input_gradients,
    put_inputs,
    side_by_side,
    sigmoid_in_place,
    states_before,
    steps_first,
    summed_products,
)
from gradlab.sampling import normal


def forward(
    x: Array,
    h0: Array,
    Wx: Array,
    Wh: Array,
    b: Array,
    *,
    truncation: int | None = None,
    starts: Array | None = None,
) -> tuple[Array, Any]:
    check_shapes(x, Wx, Wh, b, "batch, time, features", 3, h0=h0)
    borders = block_borders(truncation, x.shape[1])
    given = given_starts("starts", starts, borders, h0)
    xs, units = steps_first(x), len(Wh)
    dtype = np.result_type(x, h0, Wx, Wh, b)
    gates = np.empty((len(xs), len(x), 3, units), dtype)
    columns = side_by_side(gates)
    put_inputs(columns, xs, Wx, b)
    states = np.empty((len(xs) + 1, *h0.shape), dtype)
    states[0] = h0
    reset = np.empty((len(xs), *h0.shape), dtype)
    W_zr, W_n = (np.ascontiguousarray(part) for part in np.split(Wh, [2 * units], axis=1))
    product = np.empty((len(x), 2 * units), dtype)
    with np.errstate(over="ignore"):
        for t in range(len(xs)):
            h = given.get(t, states[t])
            columns[t, :, : 2 * units] += np.matmul(h, W_zr, out=product)
            sigmoid_in_place(gates[t, :, :2])
            z, r, n = gates[t].swapaxes(0, 1)
            np.multiply(r, h, out=reset[t])
            n += np.matmul(reset[t], W_n, out=states[t + 1])
            np.tanh(n, out=n)
            np.subtract(n, h, out=states[t + 1])
            states[t + 1] *= z
            states[t + 1] += h
    residuals = (xs, Wx, W_zr, W_n), (gates, reset, states[0], states_before(states, given)), borders
    return states[1:].swapaxes(0, 1), residuals


def backward(residuals: Any, g: Array) -> tuple[Array, ...]:
    (xs, Wx, W_zr, W_n), (gates, reset, h0, before), borders = residuals
    z, r, n = (gates[:, :, k] for k in range(3))
    kept = 1 - z
    da = gates * (1 - gates)
    da[:, :, 0] *= n - before
    da[:, :, 1] *= before
    da[:, :, 2] = z * (1 - n * n)
    columns = side_by_side(da)
    d_zr = side_by_side(da[:, :, :2])
    dh, dreset = np.zeros_like(h0), np.empty_like(h0)
    for t in reversed(range(g.shape[1])):
        dh += g[:, t]
        da[t, :, 0] *= dh
        da[t, :, 2] *= dh
        np.matmul(da[t, :, 2], W_n.T, out=dreset)
        da[t, :, 1] *= dreset
        dh *= kept[t]
        dh += dreset * r[t]
        dh += d_zr[t] @ W_zr.T
        if t in borders:
            dh[...] = 0
    dWh = summed_products(before, d_zr), summed_products(reset, da[:, :, 2])
    dx, dWx, db = input_gradients(columns, xs, Wx)
    return dx, dh, dWx, np.hstack(dWh), db


def reference(
    x: Array,
    h0: Array,
    Wx: Array,
    Wh: Array,
    b: Array,
    *,
    truncation: int | None = None,
    starts: Array | None = None,
) -> Any:
    from scipy.special import expit

    hs = np.empty((*x.shape[:2], len(Wh)))
    W_z, W_r, W_n = np.split(Wh.T, 3)
    for sample in range(len(x)):
        h = h0[sample]
        for t in range(x.shape[1]):
            if truncation and starts is not None and t and t % truncation == 0:
                h = starts[sample, t // truncation - 1]
            z, r, n = np.split(Wx.T @ x[sample, t] + b, 3)
            update = expit(z + W_z @ h)
            new = np.array([math.tanh(a) for a in n + W_n @ (expit(r + W_r @ h) * h)])
            h = hs[sample, t] = (1 - update) * h + update * new
    return hs


def samples(rng: np.random.Generator) -> Iterator[Sample]:
    def arrays(count: int, steps: int, features: int, units: int) -> tuple[Array, ...]:
        return (
            normal(rng, count, steps, features),
            normal(rng, count, units),
            normal(rng, features, 3 * units),
            normal(rng, units, 3 * units),
            normal(rng, 3 * units),
        )

    yield Sample(
        "batch of 2, 1 feature to 2 units, 3 steps in blocks of 2",
        arrays(2, 3, 1, 2),
        {"truncation": 2, "starts": normal(rng, 2, 1, 2)},
    )
    # far from 0, and yet no gate is shut: what the state brings the biases take away
    x, h0 = np.array([[[0.04, -0.05]]]), np.array([[12.0]])
    Wx = np.array([[12.0, -13.0, 11.0], [0.5, -4.0, 3.0]])
    Wh, b = np.array([[11.0, 0.2, -0.3]]), np.array([-132.3, -2.2, 2.0])
    yield Sample("batch of 1, one step, 2 features to 1 unit", (x, h0, Wx, Wh, b), {"truncation": 1})
    *_, Wh, b = arrays(1, 3, 1, 1)
    x, h0, Wx = np.array([[[60.0], [0.3], [-30.0]]]), np.array([[-3.0]]), np.array([[0.8, -0.5, 1.5]])
    yield Sample("gates open and shut", (x, h0, Wx, Wh, b))
