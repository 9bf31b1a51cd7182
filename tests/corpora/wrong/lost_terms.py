"""Terms of a sum that are lost: written over, or never computed."""

import numpy as np
from numpy.lib.stride_tricks import sliding_window_view

from ._entry import normal, positive, registry
from ._layers import EMBEDDING, LAYER_NORM, SOFTMAX, need

ENTRIES, mistake, mistake_with_state = registry()


@mistake(
    "embedding, dW[ids] = g",
    "last-write-wins",
    "W",
    EMBEDDING,
    normal(86, 4, 3),
    ids=(2, 0, 2, 2, 1),
)
def _(cache, g):
    W, ids = cache
    dW = np.zeros_like(W)
    dW[ids] = g
    return (dW,)


def gather_columns(x, columns):
    return x[:, list(columns)], (x, list(columns))


def gather_columns_backward(cache, g):
    x, columns = cache
    dx = np.zeros_like(x)
    np.add.at(dx, (slice(None), columns), g)
    return (dx,)


@mistake(
    "gather of columns, dx[:, columns] += g",
    "last-write-wins",
    "x",
    (gather_columns, gather_columns_backward),
    normal(87, 2, 5),
    columns=(4, 1, 1, 0),
)
def _(cache, g):
    x, columns = cache
    dx = np.zeros_like(x)
    dx[:, columns] += g
    return (dx,)


def unfold(x, size):
    return sliding_window_view(x, size, axis=-1).copy(), x


def unfold_backward(x, g):
    dx = np.zeros_like(x)
    for i in range(g.shape[-1]):
        dx[..., i : i + g.shape[-2]] += g[..., i]
    return (dx,)


UNFOLD = (unfold, unfold_backward)


@mistake("windows of a signal, col2im with =", "last-write-wins", "x", UNFOLD, normal(88, 2, 6), size=3)
def _(x, g):
    dx = np.zeros_like(x)
    for start in range(g.shape[-2]):
        dx[..., start : start + g.shape[-1]] = g[..., start, :]
    return (dx,)


def upsample(x, factor):
    return np.repeat(x, factor, axis=1), (x, factor)


def upsample_backward(cache, g):
    x, factor = cache
    return (g.reshape(*x.shape, factor).sum(axis=-1),)


@mistake(
    "nearest upsampling, each copy overwrites the one before",
    "last-write-wins",
    "x",
    (upsample, upsample_backward),
    normal(89, 2, 3),
    factor=3,
)
def _(cache, g):
    x, factor = cache
    dx = np.zeros_like(x)
    for j in range(g.shape[1]):
        dx[:, j // factor] = g[:, j]
    return (dx,)


@mistake("softmax, the sum over the classes left out", "missing-term", "x", SOFTMAX, normal(90, 3, 4))
def _(y, g):
    return (g * y,)


def batch_norm(x, gamma, beta):
    need(x.shape[1:] == gamma.shape == beta.shape)
    d = x - x.mean(axis=0)
    std = np.sqrt((d * d).mean(axis=0) + 1e-5)
    z = d / std
    return gamma * z + beta, (z, std, gamma)


def batch_norm_backward(cache, g):
    z, std, gamma = cache
    dz = g * gamma
    dx = (dz - dz.mean(axis=0) - z * (dz * z).mean(axis=0)) / std
    return dx, (g * z).sum(axis=0), g.sum(axis=0)


BATCH_NORM = (batch_norm, batch_norm_backward)


@mistake(
    "batch norm, the path through the mean left out",
    "missing-term",
    "x",
    BATCH_NORM,
    normal(91, 5, 3),
    positive(92, 3),
    normal(93, 3),
)
def _(cache, g):
    z, std, gamma = cache
    dz = g * gamma
    dx = (dz - z * np.mean(dz * z, axis=0)) / std
    return dx, np.sum(g * z, axis=0), np.sum(g, axis=0)


@mistake(
    "layer norm, the standard deviation taken for a constant",
    "missing-term",
    "x",
    LAYER_NORM,
    normal(94, 3, 5),
    np.ones(5),
    normal(95, 5),
)
def _(cache, g):
    z, sigma, gamma = cache
    dz = g * gamma
    dx = (dz - dz.mean(axis=-1, keepdims=True)) / sigma
    return dx, (g * z).sum(axis=0), g.sum(axis=0)


def normalize(x):
    n = np.sqrt((x * x).sum(axis=-1, keepdims=True) + 1e-12)
    return x / n, (x / n, n)


def normalize_backward(cache, g):
    y, n = cache
    return ((g - y * (g * y).sum(axis=-1, keepdims=True)) / n,)


@mistake(
    "rows of length one, the projection left out",
    "missing-term",
    "x",
    (normalize, normalize_backward),
    normal(96, 3, 4),
)
def _(cache, g):
    _, n = cache
    return (g / n,)


def centre(x):
    return x - x.mean(axis=0), None


@mistake(
    "centred columns, treated as a plain shift",
    "missing-term",
    "x",
    (centre, lambda _, g: (g - g.mean(axis=0),)),
    normal(97, 4, 3),
)
def _(_, g):
    return (g.copy(),)
