"""Wrong in some places of the gradient: at the border, shifted, in a single element."""

import numpy as np
from numpy.lib.stride_tricks import sliding_window_view

from ._entry import normal, registry
from ._layers import AFFINE, SOFTMAX_CROSS_ENTROPY, affine_backward, need

ENTRIES, mistake, mistake_with_state = registry()


def differences(x):
    return x[:, 1:] - x[:, :-1], x


def differences_backward(x, g):
    dx = np.zeros_like(x)
    dx[:, 1:] += g
    dx[:, :-1] -= g
    return (dx,)


@mistake(
    "differences of neighbours, both ends forgotten",
    "border",
    "x",
    (differences, differences_backward),
    normal(104, 2, 6),
)
def _(x, g):
    dx = np.zeros_like(x)
    dx[:, 1:-1] = g[:, :-1] - g[:, 1:]
    return (dx,)


def pad_with_edge(x):
    return np.pad(x, 1, mode="edge"), None


def pad_with_edge_backward(_, g):
    dx = g[1:-1].copy()
    dx[0] += g[0]
    dx[-1] += g[-1]
    out = dx[:, 1:-1].copy()
    out[:, 0] += dx[:, 0]
    out[:, -1] += dx[:, -1]
    return (out,)


@mistake(
    "padding with the edge values, only cropped",
    "border",
    "x",
    (pad_with_edge, pad_with_edge_backward),
    normal(105, 5, 4),
)
def _(_, g):
    return (g[1:-1, 1:-1].copy(),)


def smooth(x, w):
    """Correlate each row with w of odd length, zeros beyond the ends."""
    need(len(w) % 2 == 1)
    p = len(w) // 2
    padded = np.pad(x, ((0, 0), (p, p)))
    windows = sliding_window_view(padded, len(w), axis=1)
    return windows @ w, (windows, w)


def smooth_backward(cache, g):
    windows, w = cache
    p = len(w) // 2
    around = sliding_window_view(np.pad(g, ((0, 0), (p, p))), len(w), axis=1)
    return around @ w[::-1], np.einsum("nlk,nl->k", windows, g)


SMOOTH = (smooth, smooth_backward)


@mistake(
    "one-dimensional convolution, backward by a valid convolution without the border",
    "border",
    "x",
    SMOOTH,
    normal(106, 2, 7),
    normal(107, 3),
)
def _(cache, g):
    windows, w = cache
    dx = np.zeros_like(g)
    for row, values in zip(dx, g, strict=True):
        row[1:-1] = np.convolve(values, w, mode="valid")
    return dx, np.einsum("nlk,nl->k", windows, g)


def trapezoid(y, step):
    return step * (y.sum(axis=-1) - 0.5 * (y[..., 0] + y[..., -1])), (y, step)


def trapezoid_backward(cache, g):
    y, step = cache
    dy = np.zeros_like(y)
    dy += step * np.expand_dims(g, -1)
    dy[..., 0] -= 0.5 * step * g
    dy[..., -1] -= 0.5 * step * g
    return (dy,)


@mistake(
    "trapezoidal rule, full weight at the ends",
    "border",
    "y",
    (trapezoid, trapezoid_backward),
    normal(108, 3, 6),
    step=0.25,
)
def _(cache, g):
    y, step = cache
    return (np.ones_like(y) * g[..., None] * step,)


def roll(x, places):
    return np.roll(x, places, axis=-1), places


@mistake(
    "roll, rolled on instead of back",
    "shifted",
    "x",
    (roll, lambda places, g: (np.roll(g, -places, axis=-1),)),
    normal(109, 2, 7),
    places=2,
)
def _(places, g):
    return (np.roll(g, places, axis=-1),)


def columns_from_to(x, start, stop):
    return x[:, start:stop].copy(), (x, start, stop)


def columns_from_to_backward(cache, g):
    x, start, stop = cache
    dx = np.zeros_like(x)
    dx[:, start:stop] = g
    return (dx,)


@mistake(
    "slice of columns, counted from one",
    "shifted",
    "x",
    (columns_from_to, columns_from_to_backward),
    normal(110, 2, 6),
    start=2,
    stop=5,
)
def _(cache, g):
    x, start, stop = cache
    dx = np.zeros_like(x)
    dx[:, start - 1 : stop - 1] = g
    return (dx,)


def running_sum(x):
    return np.cumsum(x, axis=0), None


@mistake(
    "cumulative sum, the element itself left out",
    "shifted missing-term",
    "x",
    (running_sum, lambda _, g: (np.cumsum(g[::-1], axis=0)[::-1].copy(),)),
    normal(111, 5, 2),
)
def _(_, g):
    dx = np.zeros_like(g)
    dx[:-1] = np.cumsum(g[:0:-1], axis=0)[::-1]
    return (dx,)


def pad_with_zeros(x, p):
    return np.pad(x, ((0, 0), (0, 0), (p, p), (p, p))), (x.shape, p)


def pad_with_zeros_backward(cache, g):
    (_, _, h, w), p = cache
    return (g[:, :, p : p + h, p : p + w].copy(),)


@mistake(
    "zero padding, crop off by one row",
    "shifted",
    "x",
    (pad_with_zeros, pad_with_zeros_backward),
    normal(112, 2, 1, 3, 4),
    p=2,
)
def _(cache, g):
    (_, _, h, w), p = cache
    return (g[:, :, p - 1 : p - 1 + h, p : p + w].copy(),)


@mistake(
    "affine, one weight left frozen",
    "single-element",
    "W",
    AFFINE,
    normal(113, 2, 3),
    normal(114, 3, 4),
    normal(115, 4),
)
def _(cache, g):
    dx, dW, db = affine_backward(cache, g)
    dW[1, 2] = 0.0
    return dx, dW, db


@mistake(
    "softmax with loss of one vector, label not subtracted",
    "single-element",
    "x",
    SOFTMAX_CROSS_ENTROPY,
    normal(116, 6),
    labels=2,
)
def _(cache, g):
    y, _, _ = cache
    return (g * y,)


def energy_with_pick(x, k):
    return (x * x).sum() + x[k], (x, k)


def energy_with_pick_backward(cache, g):
    x, k = cache
    dx = 2.0 * x * g
    dx[k] += g
    return (dx,)


@mistake(
    "sum of squares plus one entry, its gradient assigned instead of added",
    "single-element",
    "x",
    (energy_with_pick, energy_with_pick_backward),
    normal(117, 7),
    k=3,
)
def _(cache, g):
    x, k = cache
    dx = 2.0 * x * g
    dx[k] = g
    return (dx,)
