"""Convolution, pooling and upsampling."""

import numpy as np
from numpy.lib.stride_tricks import sliding_window_view

from ._entry import apart, fixed, normal, right


def conv1d(x, w, b):
    k = len(w)
    y = np.array([np.sum(x[i : i + k] * w) for i in range(len(x) - k + 1)]) + b
    return y, (x, w)


def conv1d_backward(cache, g):
    x, w = cache
    dx, dw = np.zeros_like(x), np.zeros_like(w)
    for i in range(len(g)):
        dx[i : i + len(w)] += g[i] * w
        dw += g[i] * x[i : i + len(w)]
    return dx, dw, g.sum(keepdims=True)


def conv2d(x, w, b, stride, padding):
    n, _, h, wd = x.shape
    f, _, kh, kw = w.shape
    xp = np.pad(x, ((0, 0), (0, 0), (padding, padding), (padding, padding)))
    oh = (h + 2 * padding - kh) // stride + 1
    ow = (wd + 2 * padding - kw) // stride + 1
    out = np.zeros((n, f, oh, ow), dtype=x.dtype)
    for i in range(oh):
        for j in range(ow):
            patch = xp[:, :, i * stride : i * stride + kh, j * stride : j * stride + kw]
            out[:, :, i, j] = np.tensordot(patch, w, axes=((1, 2, 3), (1, 2, 3))) + b
    return out, (xp, w, x.shape, stride, padding)


def conv2d_backward(cache, g):
    xp, w, (_, _, h, wd), stride, padding = cache
    kh, kw = w.shape[2:]
    dxp, dw = np.zeros_like(xp), np.zeros_like(w)
    for i in range(g.shape[2]):
        for j in range(g.shape[3]):
            rows = slice(i * stride, i * stride + kh)
            cols = slice(j * stride, j * stride + kw)
            dw += np.tensordot(g[:, :, i, j], xp[:, :, rows, cols], axes=(0, 0))
            dxp[:, :, rows, cols] += np.tensordot(g[:, :, i, j], w, axes=(1, 0))
    dx = dxp[:, :, padding : padding + h, padding : padding + wd]
    return dx.copy(), dw, g.sum(axis=(0, 2, 3))


def im2col_conv2d(x, w):
    f, _, kh, kw = w.shape
    windows = sliding_window_view(x, (kh, kw), axis=(2, 3))
    n, _, oh, ow = windows.shape[:4]
    cols = windows.transpose(0, 2, 3, 1, 4, 5).reshape(n * oh * ow, -1)
    y = (cols @ w.reshape(f, -1).T).reshape(n, oh, ow, f).transpose(0, 3, 1, 2)
    return y, (x.shape, cols, w)


def im2col_conv2d_backward(cache, g):
    shape, cols, w = cache
    f, c, kh, kw = w.shape
    n, _, oh, ow = g.shape
    g2 = g.transpose(0, 2, 3, 1).reshape(-1, f)
    dw = (g2.T @ cols).reshape(w.shape)
    dcols = (g2 @ w.reshape(f, -1)).reshape(n, oh, ow, c, kh, kw)
    dx = np.zeros(shape, dtype=g.dtype)
    for i in range(kh):
        for j in range(kw):
            dx[:, :, i : i + oh, j : j + ow] += dcols[..., i, j].transpose(0, 3, 1, 2)
    return dx, dw


def max_pool(x, size):
    h, w = x.shape
    blocks = x.reshape(h // size, size, w // size, size).transpose(0, 2, 1, 3)
    flat = blocks.reshape(h // size, w // size, size * size)
    return flat.max(axis=2), (flat.argmax(axis=2), size)


def max_pool_backward(cache, g):
    winner, size = cache
    h, w = g.shape
    flat = np.zeros((h, w, size * size), dtype=g.dtype)
    np.put_along_axis(flat, winner[..., None], g[..., None], axis=2)
    return (flat.reshape(h, w, size, size).transpose(0, 2, 1, 3).reshape(h * size, w * size),)


def average_pool(x, size, stride):
    windows = sliding_window_view(x, (size, size))[::stride, ::stride]
    return windows.mean(axis=(2, 3)), (x, size, stride)


def average_pool_backward(cache, g):
    x, size, stride = cache
    dx = np.zeros_like(x)
    for i, j in np.ndindex(g.shape):
        dx[i * stride : i * stride + size, j * stride : j * stride + size] += g[i, j] / size**2
    return (dx,)


def upsample(x, k):
    return x.repeat(k, axis=0).repeat(k, axis=1), k


def upsample_backward(k, g):
    h, w = g.shape
    return (g.reshape(h // k, k, w // k, k).sum(axis=(1, 3)),)


def interpolation_matrix(n, m):
    at = np.linspace(0, n - 1, m)
    return np.maximum(0, 1 - np.abs(at[:, None] - np.arange(n)))


def bilinear_upsample(x, shape):
    R = interpolation_matrix(x.shape[0], shape[0]).astype(x.dtype)
    C = interpolation_matrix(x.shape[1], shape[1]).astype(x.dtype)
    return R @ x @ C.T, (R, C)


def bilinear_upsample_backward(cache, g):
    R, C = cache
    return (R.T @ g @ C,)


ENTRIES = [
    right("conv1d", conv1d, conv1d_backward, normal(8), normal(3), normal(1)),
    right(
        "conv2d",
        conv2d,
        conv2d_backward,
        normal(1, 2, 5, 4),
        normal(2, 2, 3, 3),
        normal(2),
        stride=2,
        padding=1,
    ),
    right("conv2d by im2col", im2col_conv2d, im2col_conv2d_backward, normal(2, 1, 4, 5), normal(3, 1, 2, 3)),
    right("max pool", max_pool, max_pool_backward, apart(4, 6), size=2),
    right(
        "max pool, ties", max_pool, max_pool_backward, fixed(np.array([[0, 0, 1, 1], [0, 0, 1, 2]])), size=2
    ),
    right("average pool", average_pool, average_pool_backward, normal(5, 7), size=3, stride=2),
    right("upsample", upsample, upsample_backward, normal(2, 3), k=2),
    right("upsample, bilinear", bilinear_upsample, bilinear_upsample_backward, normal(3, 4), shape=(5, 7)),
]
