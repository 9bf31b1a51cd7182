"""Ops that are linear in each primal."""

import numpy as np
from numpy.lib.stride_tricks import sliding_window_view

from ._util import unbroadcast


def matmul_forward(a, b):
    """Matrix product over the last two axes; leading axes broadcast."""
    return a @ b, (a, b)


def matmul_backward(residuals, g):
    """Gradients of a @ b."""
    a, b = residuals
    ga = g @ np.swapaxes(b, -1, -2)
    gb = np.swapaxes(a, -1, -2) @ g
    return unbroadcast(ga, a.shape, a.dtype), unbroadcast(gb, b.shape, b.dtype)


def affine_forward(x, w, b):
    """x @ w + b for x (..., i), w (i, o) and b (o,)."""
    return x @ w + b, (x, w, b.dtype)


def affine_backward(residuals, g):
    """Gradients of x @ w + b."""
    x, w, b_dtype = residuals
    flat_x = x.reshape(-1, w.shape[0])
    flat_g = g.reshape(-1, w.shape[1])
    gx = g @ w.T
    gw = flat_x.T @ flat_g
    gb = flat_g.sum(axis=0)
    return (
        gx.astype(x.dtype, copy=False),
        gw.astype(w.dtype, copy=False),
        gb.astype(b_dtype, copy=False),
    )


def conv1d_forward(x, w, b, stride=1, padding=0):
    """Cross-correlate x (n, c, l) with w (o, c, k), then add b (o,)."""
    padded = np.pad(x, ((0, 0), (0, 0), (padding, padding)))
    windows = sliding_window_view(padded, w.shape[2], axis=2)[:, :, ::stride]
    out = np.einsum("nclk,ock->nol", windows, w, optimize=True) + b[:, None]
    return out, (windows, padded.shape, x.dtype, w, b.dtype, stride, padding)


def conv1d_backward(residuals, g):
    """Gradients of conv1d for x, w and b."""
    windows, padded_shape, x_dtype, w, b_dtype, stride, padding = residuals
    kernel = w.shape[2]
    span = stride * (g.shape[2] - 1) + 1
    taps = np.einsum("nol,ock->kncl", g, w, optimize=True)
    gpadded = np.zeros(padded_shape, dtype=x_dtype)
    for k in range(kernel):
        gpadded[:, :, k : k + span : stride] += taps[k]
    gx = gpadded[:, :, padding : padded_shape[2] - padding]
    gw = np.einsum("nol,nclk->ock", g, windows, optimize=True)
    gb = g.sum(axis=(0, 2))
    return (
        np.ascontiguousarray(gx),
        gw.astype(w.dtype, copy=False),
        gb.astype(b_dtype, copy=False),
    )


def embedding_forward(table, ids):
    """Rows of table (v, d) picked by an integer array ids of any shape."""
    return table[ids], (ids, table.shape, table.dtype)


def embedding_backward(residuals, g):
    """Gradient of embedding: rows of g added up by id."""
    ids, shape, dtype = residuals
    gtable = np.zeros(shape, dtype=dtype)
    np.add.at(gtable, ids, g)
    return (gtable,)


def outer_forward(x, y):
    """Outer product of two vectors."""
    return x[:, None] * y[None, :], (x, y)


def outer_backward(residuals, g):
    """Gradients of the outer product."""
    x, y = residuals
    gx = g @ y
    gy = x @ g
    return gx.astype(x.dtype, copy=False), gy.astype(y.dtype, copy=False)


def bilinear_forward(x, w, y):
    """x[n, i] * w[o, i, j] * y[n, j] summed over i and j."""
    return np.einsum("ni,oij,nj->no", x, w, y, optimize=True), (x, w, y)


def bilinear_backward(residuals, g):
    """Gradients of the bilinear form for x, w and y."""
    x, w, y = residuals
    gx = np.einsum("no,oij,nj->ni", g, w, y, optimize=True)
    gw = np.einsum("no,ni,nj->oij", g, x, y, optimize=True)
    gy = np.einsum("no,ni,oij->nj", g, x, w, optimize=True)
    return (
        gx.astype(x.dtype, copy=False),
        gw.astype(w.dtype, copy=False),
        gy.astype(y.dtype, copy=False),
    )
