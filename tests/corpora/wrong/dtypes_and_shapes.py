"""Gradients of another dtype or another shape."""

import numpy as np

from ._entry import normal, positive, registry
from ._layers import AFFINE, EMBEDDING, affine_backward, max_of_rows, max_of_rows_backward, need

ENTRIES, mistake, mistake_with_state = registry()


@mistake(
    "embedding, buffer in single precision", "wrong-dtype", "W", EMBEDDING, normal(157, 3, 4), ids=(0, 2, 2)
)
def _(cache, g):
    W, ids = cache
    dW = np.zeros(W.shape, dtype=np.float32)
    np.add.at(dW, ids, g)
    return (dW,)


@mistake(
    "max over the columns, buffer like the indices",
    "wrong-dtype",
    "x",
    (max_of_rows, max_of_rows_backward),
    normal(158, 3, 4),
)
def _(x, g):
    winner = x.argmax(axis=1)[:, None]
    dx = np.zeros_like(x, dtype=winner.dtype)
    np.put_along_axis(dx, winner, g[:, None], axis=1)
    return (dx,)


def circular_convolution(x, w):
    need(x.shape == w.shape)
    fx, fw = np.fft.fft(x), np.fft.fft(w)
    return np.fft.ifft(fx * fw).real.astype(x.dtype), (fx, fw)


def circular_convolution_backward(cache, g):
    fx, fw = cache
    fg = np.fft.fft(g)
    dx, dw = np.fft.ifft(fg * fw.conj()), np.fft.ifft(fg * fx.conj())
    return dx.real.astype(g.dtype), dw.real.astype(g.dtype)


@mistake(
    "circular convolution, gradients left complex",
    "wrong-dtype",
    "x",
    (circular_convolution, circular_convolution_backward),
    normal(159, 6),
    normal(160, 6),
)
def _(cache, g):
    fx, fw = cache
    fg = np.fft.fft(g)
    return np.fft.ifft(fg * np.conj(fw)), np.fft.ifft(fg * np.conj(fx))


def scale_rows(x, c):
    need(c.shape == (len(x), 1))
    return x * c, (x, c)


@mistake(
    "row scale, keepdims forgotten",
    "wrong-shape",
    "c",
    (scale_rows, lambda cache, g: (g * cache[1], (g * cache[0]).sum(axis=1, keepdims=True))),
    normal(161, 3, 4),
    positive(162, 3, 1),
)
def _(cache, g):
    x, c = cache
    return g * c, (g * x).sum(axis=1)


def temperature(x, t):
    need(t.shape == (1,))
    return x / t, (x, t)


def temperature_backward(cache, g):
    x, t = cache
    return g / t, -(g * (x / t)).sum().reshape(1) / t


@mistake(
    "temperature of shape (1,), gradient without axes",
    "wrong-shape",
    "t",
    (temperature, temperature_backward),
    normal(163, 2, 4),
    positive(164, 1),
)
def _(cache, g):
    x, t = cache
    return g / t, -(g * x / t[0] ** 2).sum()


@mistake(
    "affine on images, input gradient left flat",
    "wrong-shape",
    "x",
    AFFINE,
    normal(165, 2, 2, 2, 2),
    normal(166, 8, 3),
    normal(167, 3),
)
def _(cache, g):
    dx, dW, db = affine_backward(cache, g)
    return dx.reshape(len(dx), -1), dW, db


def project(x, W):
    """Project the single vector x."""
    need(x.ndim == 1)
    return x @ W, (x, W)


@mistake(
    "projection of one vector, gradient of a batch of one",
    "wrong-shape",
    "x",
    (project, lambda cache, g: (cache[1] @ g, np.outer(cache[0], g))),
    normal(168, 4),
    normal(169, 4, 3),
)
def _(cache, g):
    x, W = (np.atleast_2d(cache[0]), cache[1])
    g = np.atleast_2d(g)
    return g @ W.T, x.T @ g
