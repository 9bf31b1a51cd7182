"""Recurrent layer over time, with truncated backpropagation.

forward:  h_t = tanh(x_t Wx + h_(t-1) Wh + b) for every step t of x (batch, time, features), from h0 (batch, units)
          on; the output is all h_t, (batch, time, units)
backward: from the last step to the first, with dh the gradient that h_t has from the step after it:
          da_t = (g_t + dh) (1 - h_t^2), dh = da_t Wh^T; dx_t = da_t Wx^T, dWx = sum of x_t^T da_t,
          dWh = sum of h_(t-1)^T da_t, db = sum of da_t, and dh0 is what dh is in the end

Source: Deep Learning from Scratch 2, chapter 5: the cell's backward, step by step from behind. With truncation = k the
steps fall into blocks of k, and dh is 0 at the end of every block but the last: each block begins with a state that
counts as data. `starts` gives these states, (batch, blocks - 1, units), and then that is the gradient of forward;
without them forward goes on from its own states, and only backward takes them for data. The gradient of h0 comes from
the first block. Without steps the output is empty, and all gradients are 0.
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
    states_before,
    steps_first,
    summed_products,
)
from gradlab.sampling import normal

EQUIVALENT_MUTANTS = {
    "dh = -np.zeros_like(h0)": "zero has no sign that shows",
}


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
    check_shapes(x, Wx, Wh, b, "batch, time, features", h0=h0)
    borders = block_borders(truncation, x.shape[1])
    given = given_starts("starts", starts, borders, h0)
    xs = steps_first(x)
    states = np.empty((len(xs) + 1, *h0.shape), np.result_type(x, h0, Wx, Wh, b))
    states[0] = h0
    put_inputs(states[1:], xs, Wx, b)
    product = np.empty(h0.shape, states.dtype)
    for t in range(len(xs)):
        h = states[t + 1]
        h += np.matmul(given.get(t, states[t]), Wh, out=product)
        np.tanh(h, out=h)
    residuals = xs, Wx, Wh, states[0], states[1:], states_before(states, given), borders
    return states[1:].swapaxes(0, 1), residuals


def backward(residuals: Any, g: Array) -> tuple[Array, ...]:
    xs, Wx, Wh, h0, states, before, borders = residuals
    da = 1 - states * states
    dh = np.zeros_like(h0)
    for t in reversed(range(g.shape[1])):
        dh += g[:, t]
        da[t] *= dh
        np.matmul(da[t], Wh.T, out=dh)
        if t in borders:
            dh[...] = 0
    dx, dWx, db = input_gradients(da, xs, Wx)
    return dx, dh, dWx, summed_products(before, da), db


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
    hs = np.empty((*x.shape[:2], len(Wh)))
    for n in range(len(x)):
        h = h0[n]
        for t in range(x.shape[1]):
            if truncation and starts is not None and t and t % truncation == 0:
                h = starts[n, t // truncation - 1]
            h = hs[n, t] = [math.tanh(a) for a in Wx.T @ x[n, t] + Wh.T @ h + b]
    return hs


def samples(rng: np.random.Generator) -> Iterator[Sample]:
    def arrays(count: int, steps: int, features: int, units: int) -> tuple[Array, ...]:
        return (
            normal(rng, count, steps, features),
            normal(rng, count, units),
            normal(rng, features, units),
            normal(rng, units, units),
            normal(rng, units),
        )

    yield Sample("batch of 2, 3 steps, 3 features to 2 units", arrays(2, 3, 3, 2))
    yield Sample("batch of 1, one step", arrays(1, 1, 2, 3), {"truncation": 1})
    yield Sample(
        "blocks of 2 in 5 steps", arrays(2, 5, 1, 2), {"truncation": 2, "starts": normal(rng, 2, 2, 2)}
    )
    x, _, Wx, Wh, _ = arrays(1, 3, 1, 2)
    far = np.array([[-3.0, 4.0]]), Wx, 0.3 * Wh, np.array([0.5, 30.0])
    yield Sample("a state far from 0, and one unit saturated", (x, *far))
