"""Right layers that are got wrong in several ways, and the parts of which such layers are made."""

import math

import numpy as np
from numpy.lib.stride_tricks import sliding_window_view


def need(fits: bool) -> None:
    """Raise for operands that NumPy would broadcast although the layer does not mean it."""
    if not fits:
        raise ValueError("the operands do not fit")


def like(x, t):
    """Return the target `t` in the dtype of `x`; a target of another shape is an error, never broadcast."""
    t = np.asarray(t, dtype=x.dtype)
    need(t.shape == x.shape)
    return t


def one_hot(x, labels):
    return like(x, np.eye(x.shape[-1])[np.asarray(labels)])


def logistic(x):
    e = np.exp(-abs(x))
    return np.where(x >= 0, 1.0, e) / (1.0 + e)


def softmax_of(x, axis=-1):
    e = np.exp(x - x.max(axis=axis, keepdims=True))
    return e / e.sum(axis=axis, keepdims=True)


def affine(x, W, b):
    need(b.shape == W.shape[1:])
    rows = x.reshape(len(x), -1)
    return rows @ W + b, (x, W)


def affine_backward(cache, g):
    x, W = cache
    rows = x.reshape(len(x), -1)
    return (g @ W.T).reshape(x.shape), rows.T @ g, g.sum(axis=0)


AFFINE = (affine, affine_backward)


def softmax_cross_entropy(x, labels):
    t = one_hot(x, labels)
    shifted = x - x.max(axis=-1, keepdims=True)
    log_p = shifted - np.log(np.exp(shifted).sum(axis=-1, keepdims=True))
    n = x.size // x.shape[-1]
    return -(t * log_p).sum() / n, (np.exp(log_p), t, n)


def softmax_cross_entropy_backward(cache, g):
    y, t, n = cache
    return ((y - t) * (g / n),)


SOFTMAX_CROSS_ENTROPY = (softmax_cross_entropy, softmax_cross_entropy_backward)


def mean_squared_error(y, t):
    r = y - like(y, t)
    return (r * r).mean(), r


def mean_squared_error_backward(r, g):
    return (2.0 * r * (g / r.size),)


MEAN_SQUARED_ERROR = (mean_squared_error, mean_squared_error_backward)


def divide(a, b):
    need(a.shape == b.shape)
    return a / b, (a, b)


def divide_backward(cache, g):
    a, b = cache
    return g / b, -g * (a / b) / b


DIVIDE = (divide, divide_backward)


def attention(q, k, v):
    need(len(k) == len(v))
    a = softmax_of(q @ k.T / math.sqrt(q.shape[1]))
    return a @ v, (q, k, v, a)


def attention_backward(cache, g):
    q, k, v, a = cache
    da = g @ v.T
    ds = a * (da - (a * da).sum(axis=1, keepdims=True)) / math.sqrt(q.shape[1])
    return ds @ k, ds.T @ q, a.T @ g


ATTENTION = (attention, attention_backward)


def sum_columns(x):
    return x.sum(axis=0), x


SUM_COLUMNS = (sum_columns, lambda x, g: (np.ones_like(x) * g,))


def sigmoid(x):
    e = np.exp(-abs(x))
    return logistic(x), e


SIGMOID = (sigmoid, lambda e, g: (g * (e / (1.0 + e) ** 2),))


def tanh(x):
    y = np.tanh(x)
    return y, y


TANH = (tanh, lambda y, g: (g * (1.0 - y) * (1.0 + y),))


def exponential(x):
    y = np.exp(x)
    return y, y


EXPONENTIAL = (exponential, lambda y, g: (g * y,))


def square(x):
    return x * x, x


SQUARE = (square, lambda x, g: (2.0 * x * g,))


def linear(x, W):
    return x @ W, (x, W)


LINEAR = (linear, lambda cache, g: (g @ cache[1].T, cache[0].T @ g))


def convolve(x, W, b):
    """Convolve images (N, C, H, W) with W (F, C, kh, kw), without padding."""
    need(b.shape == W.shape[:1])
    windows = sliding_window_view(x, W.shape[2:], axis=(2, 3))
    return np.einsum("nchwij,fcij->nfhw", windows, W) + b[:, None, None], (x, W)


def convolve_backward(cache, g):
    x, W = cache
    windows = sliding_window_view(x, W.shape[2:], axis=(2, 3))
    dx = np.zeros_like(x)
    height, width = g.shape[2:]
    for i in range(W.shape[2]):
        for j in range(W.shape[3]):
            dx[:, :, i : i + height, j : j + width] += np.einsum("nfhw,fc->nchw", g, W[:, :, i, j])
    return dx, np.einsum("nchwij,nfhw->fcij", windows, g), g.sum(axis=(0, 2, 3))


CONVOLVE = (convolve, convolve_backward)


def layer_norm(x, gamma, beta):
    need(x.shape[-1:] == gamma.shape == beta.shape)
    d = x - x.mean(axis=-1, keepdims=True)
    sigma = np.sqrt((d * d).mean(axis=-1, keepdims=True) + 1e-5)
    z = d / sigma
    return gamma * z + beta, (z, sigma, gamma)


def layer_norm_backward(cache, g):
    z, sigma, gamma = cache
    dz = g * gamma
    centred = dz - dz.mean(axis=-1, keepdims=True)
    dx = (centred - z * (dz * z).mean(axis=-1, keepdims=True)) / sigma
    batch = tuple(range(g.ndim - 1))
    return dx, (g * z).sum(axis=batch), g.sum(axis=batch)


LAYER_NORM = (layer_norm, layer_norm_backward)


def softmax(x):
    y = softmax_of(x)
    return y, y


SOFTMAX = (softmax, lambda y, g: (y * (g - (g * y).sum(axis=-1, keepdims=True)),))


def relu(x):
    return np.maximum(x, 0.0), x > 0


RELU = (relu, lambda positive, g: (g * positive,))


def embedding(W, ids):
    return W[np.asarray(ids)], (W, np.asarray(ids))


def embedding_backward(cache, g):
    W, ids = cache
    dW = np.zeros_like(W)
    np.add.at(dW, ids, g)
    return (dW,)


EMBEDDING = (embedding, embedding_backward)


def multiply(a, b):
    need(a.shape == b.shape)
    return a * b, (a, b)


MULTIPLY = (multiply, lambda cache, g: (g * cache[1], g * cache[0]))


def leaky_relu(x, slope):
    return np.where(x > 0, x, slope * x), (x > 0, slope)


def leaky_relu_backward(cache, g):
    positive, slope = cache
    return (np.where(positive, g, slope * g),)


LEAKY_RELU = (leaky_relu, leaky_relu_backward)


def max_of_rows(x):
    return x.max(axis=1), x


def max_of_rows_backward(x, g):
    dx = np.zeros_like(x)
    np.put_along_axis(dx, x.argmax(axis=1)[:, None], g[:, None], axis=1)
    return (dx,)


def row_norm(x):
    largest = abs(x).max(axis=-1, keepdims=True)
    largest = np.where(largest == 0, 1.0, largest).astype(x.dtype)
    n = largest * np.sqrt(((x / largest) ** 2).sum(axis=-1, keepdims=True))
    return n[..., 0].copy(), (x, n)


def row_norm_backward(cache, g):
    x, n = cache
    return (x / np.where(n == 0, 1.0, n).astype(n.dtype) * g[..., None],)


ROW_NORM = (row_norm, row_norm_backward)


def softplus(x):
    return np.maximum(x, 0.0) + np.log1p(np.exp(-abs(x))), x


SOFTPLUS = (softplus, lambda x, g: (g * logistic(x),))
