"""Long short-term memory over time, with truncated backpropagation.

forward:  for every step t of x (batch, time, features), from h0 and c0 (batch, units) on: the four blocks of columns
          of x_t Wx + h_(t-1) Wh + b give f, g, i, o, with the sigmoid for f, i, o and tanh for g;
          c_t = f c_(t-1) + g i, h_t = o tanh(c_t); the outputs are all h_t, (batch, time, units), and the last c_t
backward: from the last step to the first, with dh and dc the gradients that h_t and c_t have from the step after it
          (dc at the last step from the second output): dh += g_t, dc += dh o (1 - tanh(c_t)^2);
          df = dc c_(t-1) f (1 - f), dg = dc i (1 - g^2), di = dc g i (1 - i), do = dh tanh(c_t) o (1 - o) side by
          side are da_t; then dc = dc f, dh = da_t Wh^T; dx_t = da_t Wx^T, dWx = sum of x_t^T da_t,
          dWh = sum of h_(t-1)^T da_t, db = sum of da_t, and dh0, dc0 are what dh, dc are in the end

Source: Deep Learning from Scratch 2, chapter 6: the cell's backward, step by step from behind. With truncation = k the
steps fall into blocks of k, and dh and dc are 0 at the end of every block but the last: each block begins with states
that count as data. `h_starts` and `c_starts` give these states, (batch, blocks - 1, units) each, and then that is the
gradient of forward; without them forward goes on from its own states, and only backward takes them for data. The
gradients of h0 and c0 come from the first block. Without steps the outputs are empty and c0, the gradient of c0 is
the second cotangent, and all others are 0.
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
    c0: Array,
    Wx: Array,
    Wh: Array,
    b: Array,
    *,
    truncation: int | None = None,
    h_starts: Array | None = None,
    c_starts: Array | None = None,
) -> tuple[tuple[Array, Array], Any]:
    check_shapes(x, Wx, Wh, b, "batch, time, features", 4, h0=h0, c0=c0)
    if (h_starts is None) != (c_starts is None):
        raise ValueError("of h_starts and c_starts one is None: give both, or neither")
    borders = block_borders(truncation, x.shape[1])
    h_given = given_starts("h_starts", h_starts, borders, h0)
    c_given = given_starts("c_starts", c_starts, borders, c0)
    xs = steps_first(x)
    dtype = np.result_type(x, h0, c0, Wx, Wh, b)
    gates = np.empty((len(xs), len(x), 4, len(Wh)), dtype)
    columns = side_by_side(gates)
    put_inputs(columns, xs, Wx, b)
    states, cells = (np.empty((len(xs) + 1, *h0.shape), dtype) for _ in range(2))
    states[0], cells[0] = h0, c0
    squashed = np.empty((len(xs), *h0.shape), dtype)
    product = np.empty((len(x), len(b)), dtype)
    with np.errstate(over="ignore"):
        for t in range(len(xs)):
            columns[t] += np.matmul(h_given.get(t, states[t]), Wh, out=product)
            f, new, i, o = gates[t].swapaxes(0, 1)
            sigmoid_in_place(f)
            np.tanh(new, out=new)
            sigmoid_in_place(gates[t, :, 2:])
            np.multiply(f, c_given.get(t, cells[t]), out=cells[t + 1])
            cells[t + 1] += new * i
            np.tanh(cells[t + 1], out=squashed[t])
            np.multiply(o, squashed[t], out=states[t + 1])
    befores = states_before(states, h_given), states_before(cells, c_given)
    residuals = (xs, Wx, Wh), (gates, squashed), befores, borders
    return (states[1:].swapaxes(0, 1), cells[-1].copy()), residuals


def backward(residuals: Any, g: tuple[Array, Array]) -> tuple[Array, ...]:
    (xs, Wx, Wh), (gates, squashed), (h_before, c_before), borders = residuals
    gh, gc = g
    f, new, i, o = (gates[:, :, k] for k in range(4))
    opened = o * (1 - squashed * squashed)
    da = gates * (1 - gates)
    da[:, :, 1] = 1 - new * new
    for k, factor in enumerate((c_before, i, new, squashed)):
        da[:, :, k] *= factor
    columns = side_by_side(da)
    dh, dc = np.zeros_like(gc), gc.copy()
    for t in reversed(range(gh.shape[1])):
        dh += gh[:, t]
        dc += dh * opened[t]
        da[t, :, :3] *= dc[:, None]
        da[t, :, 3] *= dh
        dc *= f[t]
        np.matmul(columns[t], Wh.T, out=dh)
        if t in borders:
            dh[...] = 0
            dc[...] = 0
    dx, dWx, db = input_gradients(columns, xs, Wx)
    return dx, dh, dc, dWx, summed_products(h_before, columns), db


def reference(
    x: Array,
    h0: Array,
    c0: Array,
    Wx: Array,
    Wh: Array,
    b: Array,
    *,
    truncation: int | None = None,
    h_starts: Array | None = None,
    c_starts: Array | None = None,
) -> Any:
    from scipy.special import expit

    hs, last = np.empty((*x.shape[:2], len(Wh))), np.empty(c0.shape)
    for n in range(len(x)):
        h, c = h0[n], c0[n]
        for t in range(x.shape[1]):
            if truncation and h_starts is not None and c_starts is not None and t and t % truncation == 0:
                h, c = h_starts[n, t // truncation - 1], c_starts[n, t // truncation - 1]
            f, g, i, o = np.split(Wx.T @ x[n, t] + Wh.T @ h + b, 4)
            c = expit(f) * c + expit(i) * [math.tanh(a) for a in g]
            h = hs[n, t] = expit(o) * [math.tanh(a) for a in c]
        last[n] = c
    return hs, last


def samples(rng: np.random.Generator) -> Iterator[Sample]:
    def arrays(count: int, steps: int, features: int, units: int) -> tuple[Array, ...]:
        return (
            normal(rng, count, steps, features),
            normal(rng, count, units),
            normal(rng, count, units),
            normal(rng, features, 4 * units),
            normal(rng, units, 4 * units),
            normal(rng, 4 * units),
        )

    starts = {"h_starts": normal(rng, 2, 1, 2), "c_starts": normal(rng, 2, 1, 2)}
    yield Sample(
        "batch of 2, 1 feature to 2 units, 3 steps in blocks of 2",
        arrays(2, 3, 1, 2),
        {"truncation": 2, **starts},
    )
    # far from 0, and yet no gate is shut: what the states bring the biases take away
    signs = np.array([1.0, -1.0, 1.0, -1.0])
    x, h0, c0 = np.array([[[0.04, -0.05]]]), np.array([[20.0]]), np.array([[-2.5]])
    Wx = np.array([[12.0, -13.0, 11.0, -12.0], [0.5, -4.0, 3.0, 0.2]])
    far = x, h0, c0, Wx, 0.6 * signs[None], -12.0 * signs + 0.3
    yield Sample("batch of 1, one step, 2 features to 1 unit", far, {"truncation": 1})
    *_, Wh, b = arrays(1, 3, 1, 1)
    Wx = np.array([[0.8, -0.5, -1.5, 1.2]])
    x, h0, c0 = np.array([[[60.0], [0.3], [-30.0]]]), np.array([[-3.0]]), np.array([[4.0]])
    yield Sample("gates open and shut", (x, h0, c0, Wx, Wh, b))
