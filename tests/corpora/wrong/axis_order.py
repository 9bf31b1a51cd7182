"""Axes in the wrong order."""

import numpy as np
from numpy.lib.stride_tricks import sliding_window_view

from ._entry import normal, registry
from ._layers import AFFINE, CONVOLVE, LINEAR, convolve_backward, need

ENTRIES, mistake, mistake_with_state = registry()


@mistake(
    "affine, dW = g.T @ x on a square weight",
    "transposed",
    "W",
    AFFINE,
    normal(32, 4, 3),
    normal(33, 3, 3),
    normal(34, 3),
)
def _(cache, g):
    x, W = cache
    return (g @ W.T).reshape(x.shape), g.T @ x.reshape(len(x), -1), g.sum(axis=0)


@mistake(
    "linear without bias, dW = g.T @ x on an oblong weight",
    "transposed wrong-shape",
    "W",
    LINEAR,
    normal(35, 3, 4),
    normal(36, 4, 2),
)
def _(cache, g):
    x, W = cache
    return g @ W.T, np.dot(g.T, x)


def torch_linear(x, W):
    return x @ W.T, (x, W)


@mistake(
    "linear with W of shape (out, in), dx = g @ W.T",
    "transposed",
    "x",
    (torch_linear, lambda cache, g: (g @ cache[1], g.T @ cache[0])),
    normal(37, 2, 3),
    normal(38, 3, 3),
)
def _(cache, g):
    x, W = cache
    return g @ W.T, g.T @ x


def bilinear(x, A, y):
    return x @ A @ y, (x, A, y)


def bilinear_backward(cache, g):
    x, A, y = cache
    return g * (A @ y), g * np.outer(x, y), g * (x @ A)


BILINEAR = (bilinear, bilinear_backward)


@mistake(
    "bilinear form, outer product in the wrong order",
    "transposed",
    "A",
    BILINEAR,
    normal(39, 4),
    normal(40, 4, 4),
    normal(41, 4),
)
def _(cache, g):
    x, A, y = cache
    return g * (A @ y), g * np.outer(y, x), g * (x @ A)


def trace_of_product(A, B):
    need(A.shape == B.shape[::-1])
    return np.trace(A @ B), (A, B)


@mistake(
    "trace of a product, dA = B",
    "transposed",
    "A",
    (trace_of_product, lambda cache, g: (g * cache[1].T, g * cache[0].T)),
    normal(42, 3, 3),
    normal(43, 3, 3),
)
def _(cache, g):
    A, B = cache
    return g * B, g * A.T


def rotate_axes(x):
    return x.transpose(1, 2, 0).copy(), None


@mistake(
    "transpose(1, 2, 0), undone by the same transpose",
    "axes-permuted",
    "x",
    (rotate_axes, lambda _, g: (g.transpose(2, 0, 1).copy(),)),
    normal(44, 3, 3, 3),
)
def _(_, g):
    return (np.array(g.transpose(1, 2, 0), order="C"),)


def split_heads(x, heads):
    n, t, d = x.shape
    return x.reshape(n, t, heads, d // heads).swapaxes(1, 2).copy(), x.shape


@mistake(
    "split into heads, heads and positions not swapped back",
    "axes-permuted",
    "x",
    (split_heads, lambda shape, g: (g.swapaxes(1, 2).copy().reshape(shape),)),
    normal(45, 2, 3, 6),
    heads=3,
)
def _(shape, g):
    return (g.copy().reshape(shape),)


def channels_first(x):
    return x.transpose(0, 3, 1, 2).copy(), None


@mistake(
    "channels first, height and width exchanged on the way back",
    "axes-permuted",
    "x",
    (channels_first, lambda _, g: (g.transpose(0, 2, 3, 1).copy(),)),
    normal(46, 2, 3, 3, 2),
)
def _(_, g):
    return (g.transpose(0, 3, 2, 1).copy(),)


@mistake(
    "convolution, filter gradient with its channels in the wrong order",
    "axes-permuted transposed",
    "W",
    CONVOLVE,
    normal(47, 1, 2, 4, 4),
    normal(48, 2, 2, 2, 3),
    normal(49, 2),
)
def _(cache, g):
    dx, _, db = convolve_backward(cache, g)
    x, W = cache
    windows = sliding_window_view(x, W.shape[2:], axis=(2, 3))
    return dx, np.einsum("nchwij,nfhw->cfij", windows, g), db
