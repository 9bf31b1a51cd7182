"""Backward passes as people get them wrong by hand, each with its right version and the name of the mistake.

They were written down from memory of real code: exercises, textbook layers in NumPy, hand-written kernels. Nothing
here knows of any check or of any fault that is injected elsewhere, so that what finds and names these mistakes is
measured on something it was not made for.
"""

import math
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.lib.stride_tricks import sliding_window_view

SEED = 97

Pair = tuple[Callable[..., tuple[Any, Any]], Callable[[Any, Any], tuple[Any, ...]]]


@dataclass(frozen=True)
class Wrong:
    """A forward pass with a wrong backward pass, the right one, and a point at which they differ.

    Attributes
    ----------
    name : str
        The layer and the mistake.
    diagnosis : tuple of str
        The names that fit the mistake, best first; empty where no name fits.
    primal : str
        The primal whose gradient is wrong; empty where the fault is one of behaviour.
    make, make_right : callable
        Return a fresh ``(forward, backward)``: one with the mistake, one without.
    primals : tuple of ndarray
    settings : dict
    """

    name: str
    diagnosis: tuple[str, ...]
    primal: str
    make: Callable[[], Pair]
    make_right: Callable[[], Pair]
    primals: tuple[np.ndarray, ...]
    settings: dict[str, Any]

    def __str__(self) -> str:
        return self.name


_found: list[Wrong] = []


def mistake(name: str, names: str, primal: str, right: Pair, *primals: Any, **settings: Any) -> Any:
    """Register the decorated backward pass as a wrong one of ``right``; `names` are separated by blanks."""

    def register(backward):
        arrays = tuple(np.array(x, dtype=float) for x in primals)
        wrong = (right[0], backward)
        _found.append(
            Wrong(name, tuple(names.split()), primal, lambda: wrong, lambda: right, arrays, settings)
        )
        return backward

    return register


def mistake_with_state(
    name: str, names: str, primal: str, right: Pair, *primals: Any, **settings: Any
) -> Any:
    """Register the decorated function, which makes a fresh ``(forward, backward)``, as a wrong one of ``right``."""

    def register(make):
        arrays = tuple(np.array(x, dtype=float) for x in primals)
        _found.append(Wrong(name, tuple(names.split()), primal, make, lambda: right, arrays, settings))
        return make

    return register


def normal(seed: int, *shape: int, scale: float = 1.0) -> np.ndarray:
    return scale * np.random.default_rng([SEED, seed]).standard_normal(shape)


def positive(seed: int, *shape: int) -> np.ndarray:
    return np.random.default_rng([SEED, seed]).uniform(0.5, 2.0, shape)


def probabilities(seed: int, *shape: int) -> np.ndarray:
    e = positive(seed, *shape)
    return e / e.sum(axis=-1, keepdims=True)


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


def subtract(a, b):
    need(a.shape == b.shape)
    return a - b, None


SUBTRACT = (subtract, lambda _, g: (g.copy(), -g))


@mistake("subtract, minus forgotten", "sign-flipped", "b", SUBTRACT, normal(1, 3, 4), normal(2, 3, 4))
def _(_, g):
    return g.copy(), g.copy()


def cross_entropy(p, t):
    t = like(p, t)
    return -(t * np.log(p)).sum() / len(p), (p, t)


def cross_entropy_backward(cache, g):
    p, t = cache
    return (-g * t / p / len(p),)


@mistake(
    "cross entropy of probabilities, minus forgotten",
    "sign-flipped",
    "p",
    (cross_entropy, cross_entropy_backward),
    probabilities(3, 3, 4),
    t=probabilities(4, 3, 4),
)
def _(cache, g):
    p, t = cache
    return (g * t / p / len(p),)


def divide(a, b):
    need(a.shape == b.shape)
    return a / b, (a, b)


def divide_backward(cache, g):
    a, b = cache
    return g / b, -g * (a / b) / b


DIVIDE = (divide, divide_backward)


@mistake("divide, sign of the denominator", "sign-flipped", "b", DIVIDE, normal(5, 2, 5), positive(6, 2, 5))
def _(cache, g):
    a, b = cache
    return g / b, g * a / b**2


def cosine(x):
    return np.cos(x), x


@mistake(
    "cosine, derivative +sin", "sign-flipped", "x", (cosine, lambda x, g: (-g * np.sin(x),)), normal(7, 7)
)
def _(x, g):
    return (g * np.sin(x),)


@mistake(
    "softmax with loss, not divided by the batch size",
    "constant-factor",
    "x",
    SOFTMAX_CROSS_ENTROPY,
    normal(8, 4, 3),
    labels=(0, 2, 1, 2),
)
def _(cache, g):
    y, t, _ = cache
    return (g * (y - t),)


@mistake(
    "mean squared error, the 2 forgotten",
    "constant-factor",
    "y",
    MEAN_SQUARED_ERROR,
    normal(9, 3, 2),
    t=normal(10, 3, 2),
)
def _(r, g):
    return (g * r / r.size,)


def average_pool(x, size):
    n, c, h, w = x.shape
    windows = x.reshape(n, c, h // size, size, w // size, size)
    return windows.mean(axis=(3, 5)), size


def average_pool_backward(size, g):
    return (np.repeat(np.repeat(g / size**2, size, axis=2), size, axis=3),)


@mistake(
    "average pooling, not divided by the window",
    "constant-factor",
    "x",
    (average_pool, average_pool_backward),
    normal(11, 1, 2, 4, 4),
    size=2,
)
def _(size, g):
    return (g.repeat(size, axis=2).repeat(size, axis=3),)


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


@mistake(
    "attention, 1/sqrt(d) forgotten for the queries",
    "constant-factor",
    "q",
    ATTENTION,
    normal(12, 3, 4),
    normal(13, 2, 4),
    normal(14, 2, 3),
)
def _(cache, g):
    q, k, v, a = cache
    da = g @ v.T
    ds = a * (da - (a * da).sum(axis=1, keepdims=True))
    return ds @ k, (ds / math.sqrt(q.shape[1])).T @ q, a.T @ g


def variance(x):
    """Return the unbiased variance of each column."""
    d = x - x.mean(axis=0)
    return (d * d).sum(axis=0) / (len(x) - 1), d


def variance_backward(d, g):
    return (2.0 * d * g / (len(d) - 1),)


@mistake(
    "unbiased variance, divided by n in the backward",
    "constant-factor",
    "x",
    (variance, variance_backward),
    normal(15, 4, 3),
)
def _(d, g):
    return (2.0 / len(d) * d * g,)


@mistake(
    "mean squared error, upstream gradient dropped",
    "ignores-cotangent",
    "y",
    MEAN_SQUARED_ERROR,
    normal(16, 2, 3),
    t=normal(17, 2, 3),
)
def _(r, g):
    return (2.0 * r / r.size,)


@mistake_with_state(
    "softmax with loss as a class, dout never used",
    "ignores-cotangent",
    "x",
    SOFTMAX_CROSS_ENTROPY,
    normal(18, 3, 5),
    labels=(4, 1, 0),
)
def _():
    class SoftmaxWithLoss:
        def forward(self, x, labels):
            loss, cache = softmax_cross_entropy(x, labels)
            return loss, cache

        def backward(self, cache, dout=1):
            y, t, n = cache
            dx = (y - t) / n
            return (dx,)

    layer = SoftmaxWithLoss()
    return layer.forward, layer.backward


def sum_columns(x):
    return x.sum(axis=0), x


SUM_COLUMNS = (sum_columns, lambda x, g: (np.ones_like(x) * g,))


@mistake("sum over rows, returns ones", "ignores-cotangent", "x", SUM_COLUMNS, normal(19, 3, 4))
def _(x, g):
    return (np.ones_like(x),)


def sigmoid(x):
    e = np.exp(-abs(x))
    return logistic(x), e


SIGMOID = (sigmoid, lambda e, g: (g * (e / (1.0 + e) ** 2),))


@mistake("sigmoid, returns the local derivative alone", "ignores-cotangent", "x", SIGMOID, normal(20, 2, 4))
def _(e, g):
    return (e / (1.0 + e) ** 2,)


def sum_and_product(x, y):
    need(x.shape == y.shape)
    return (x + y, x * y), (x, y)


def sum_and_product_backward(cache, g):
    x, y = cache
    g_sum, g_product = g
    return g_sum + g_product * y, g_sum + g_product * x


@mistake(
    "sum and product, cotangent of the product never used",
    "ignores-cotangent wrong-cotangent",
    "x",
    (sum_and_product, sum_and_product_backward),
    normal(21, 5),
    normal(22, 5),
)
def _(cache, g):
    x, _ = cache
    g_sum, g_product = g
    return g_sum.copy(), g_sum + g_product * x


def sincos(x):
    s, c = np.sin(x), np.cos(x)
    return (s, c), (s, c)


def sincos_backward(cache, g):
    s, c = cache
    return (g[0] * c - g[1] * s,)


@mistake("sin and cos, cotangents swapped", "wrong-cotangent", "x", (sincos, sincos_backward), normal(23, 6))
def _(cache, g):
    s, c = cache
    g_cos, g_sin = g
    return (g_sin * c - g_cos * s,)


def halves(x):
    n = x.shape[1] // 2
    return (x[:, :n].copy(), x[:, n:].copy()), None


@mistake(
    "split into halves, joined in the wrong order",
    "wrong-cotangent",
    "x",
    (halves, lambda _, g: (np.concatenate(g, axis=1),)),
    normal(24, 3, 4),
)
def _(_, g):
    left, right = g
    return (np.hstack([right, left]),)


def moments(x):
    mean = x.mean(axis=1)
    d = x - mean[:, None]
    return (mean, (d * d).mean(axis=1)), d


def moments_backward(d, g):
    g_mean, g_var = g
    return ((g_mean[:, None] + 2.0 * d * g_var[:, None]) / d.shape[1],)


@mistake(
    "mean and variance, the mean's cotangent used for both",
    "wrong-cotangent",
    "x",
    (moments, moments_backward),
    normal(25, 3, 4),
)
def _(d, g):
    g_mean = g_var = g[0]
    return ((g_mean[:, None] + 2.0 * d * g_var[:, None]) / d.shape[1],)


def tanh(x):
    y = np.tanh(x)
    return y, y


TANH = (tanh, lambda y, g: (g * (1.0 - y) * (1.0 + y),))


@mistake("tanh, multiplied by g twice", "nonlinear-in-cotangent", "x", TANH, normal(26, 3, 3))
def _(y, g):
    dx = g * (1.0 - y**2)
    dx *= g
    return (dx,)


@mistake(
    "affine, weight gradient clipped to [-1, 1]",
    "nonlinear-in-cotangent",
    "W",
    AFFINE,
    normal(27, 4, 3, scale=3.0),
    normal(28, 3, 2),
    normal(29, 2),
)
def _(cache, g):
    dx, dW, db = affine_backward(cache, g)
    return dx, np.clip(dW, -1.0, 1.0), db


def exponential(x):
    y = np.exp(x)
    return y, y


EXPONENTIAL = (exponential, lambda y, g: (g * y,))


@mistake("exp, gradient scaled to norm 1", "nonlinear-in-cotangent", "x", EXPONENTIAL, normal(30, 4, 2))
def _(y, g):
    dx = g * y
    return (dx / (np.sqrt((dx * dx).sum()) + 1e-12),)


def square(x):
    return x * x, x


SQUARE = (square, lambda x, g: (2.0 * x * g,))


@mistake("square, only the sign of g", "nonlinear-in-cotangent", "x", SQUARE, normal(31, 5))
def _(x, g):
    return (2.0 * x * np.sign(g),)


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


def linear(x, W):
    return x @ W, (x, W)


LINEAR = (linear, lambda cache, g: (g @ cache[1].T, cache[0].T @ g))


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


@mistake(
    "affine, bias gradient not summed",
    "missing-broadcast-sum",
    "b",
    AFFINE,
    normal(50, 3, 2),
    normal(51, 2, 4),
    normal(52, 4),
)
def _(cache, g):
    dx, dW, _ = affine_backward(cache, g)
    return dx, dW, g.copy()


def add_positions(x, p):
    need(x.shape[1:] == p.shape)
    return x + p, None


@mistake(
    "position embedding, gradient of the last sample only",
    "missing-broadcast-sum",
    "p",
    (add_positions, lambda _, g: (g.copy(), g.sum(axis=0))),
    normal(53, 3, 2, 4),
    normal(54, 2, 4),
)
def _(_, g):
    return g.copy(), g[-1].copy()


def outer_sum(column, row):
    need(column.shape[1:] == row.shape[:1] == (1,))
    return column + row, None


OUTER_SUM = (
    outer_sum,
    lambda _, g: (g.sum(axis=1, keepdims=True), g.sum(axis=0, keepdims=True)),
)


@mistake(
    "column plus row, first column taken",
    "missing-broadcast-sum",
    "column",
    OUTER_SUM,
    normal(55, 4, 1),
    normal(56, 1, 3),
)
def _(_, g):
    return g[:, :1].copy(), g.sum(axis=0, keepdims=True)


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


@mistake(
    "layer norm, gamma gradient left at the shape of x",
    "missing-broadcast-sum",
    "gamma",
    LAYER_NORM,
    normal(57, 2, 5),
    positive(58, 5),
    normal(59, 5),
)
def _(cache, g):
    dx, _, dbeta = layer_norm_backward(cache, g)
    return dx, g * cache[0], dbeta


@mistake(
    "affine, bias gradient summed over the wrong axis",
    "wrong-sum-axis",
    "b",
    AFFINE,
    normal(60, 4, 3),
    normal(61, 3, 4),
    normal(62, 4),
)
def _(cache, g):
    dx, dW, _ = affine_backward(cache, g)
    return dx, dW, g.sum(axis=1)


def scale_columns(x, s):
    need(x.shape[1:] == s.shape)
    return x * s, (x, s)


@mistake(
    "column scale, gradient summed along the rows",
    "wrong-sum-axis",
    "s",
    (scale_columns, lambda cache, g: (g * cache[1], (g * cache[0]).sum(axis=0))),
    normal(63, 3, 3),
    positive(64, 3),
)
def _(cache, g):
    x, s = cache
    return g * s, np.sum(x * g, axis=-1)


@mistake(
    "convolution, bias summed over everything but the width",
    "wrong-sum-axis",
    "b",
    CONVOLVE,
    normal(65, 2, 1, 2, 4),
    normal(66, 3, 1, 1, 2),
    normal(67, 3),
)
def _(cache, g):
    dx, dW, _ = convolve_backward(cache, g)
    return dx, dW, g.sum(axis=(0, 1, 2))


def softmax(x):
    y = softmax_of(x)
    return y, y


SOFTMAX = (softmax, lambda y, g: (y * (g - (g * y).sum(axis=-1, keepdims=True)),))


@mistake("softmax, inner sum over the batch", "wrong-sum-axis", "x", SOFTMAX, normal(68, 3, 4))
def _(y, g):
    return (y * (g - (g * y).sum(axis=0)),)


def relu(x):
    return np.maximum(x, 0.0), x > 0


RELU = (relu, lambda positive, g: (g * positive,))


@mistake_with_state(
    "relu, mask taken from the output below zero",
    "zero-gradient",
    "x",
    RELU,
    normal(69, 3, 4),
)
def _():
    def forward(x):
        y = np.maximum(x, 0.0)
        return y, y

    def backward(y, g):
        return (np.where(y < 0, g, 0.0).astype(g.dtype),)

    return forward, backward


def embedding(W, ids):
    return W[np.asarray(ids)], (W, np.asarray(ids))


def embedding_backward(cache, g):
    W, ids = cache
    dW = np.zeros_like(W)
    np.add.at(dW, ids, g)
    return (dW,)


EMBEDDING = (embedding, embedding_backward)


@mistake(
    "embedding, rows added to a copy",
    "zero-gradient",
    "W",
    EMBEDDING,
    normal(70, 5, 3),
    ids=(0, 3, 1),
)
def _(cache, g):
    W, ids = cache
    dW = np.zeros_like(W)
    rows = dW[ids]
    rows += g
    return (dW,)


def sort_rows(x):
    order = np.argsort(x, axis=-1, kind="stable")
    return np.take_along_axis(x, order, axis=-1), order


def sort_rows_backward(order, g):
    dx = np.zeros_like(g)
    np.put_along_axis(dx, order, g, axis=-1)
    return (dx,)


SORT = (sort_rows, sort_rows_backward)


@mistake("sort, written into the result of fancy indexing", "zero-gradient", "x", SORT, normal(71, 2, 5))
def _(order, g):
    dx = np.zeros_like(g)
    for row, places, values in zip(dx, order, g, strict=True):
        row[places][:] = values
    return (dx,)


@mistake(
    "batch of images, affine bias left for later",
    "zero-gradient",
    "b",
    AFFINE,
    normal(72, 2, 1, 2, 3),
    normal(73, 6, 2),
    normal(74, 2),
)
def _(cache, g):
    dx, dW, db = affine_backward(cache, g)
    return dx, dW, np.zeros_like(db)


@mistake(
    "matmul, gradients in the wrong order",
    "swapped-primals",
    "x",
    LINEAR,
    normal(75, 2, 3),
    normal(76, 3, 4),
)
def _(cache, g):
    x, W = cache
    return x.T @ g, g @ W.T


def multiply(a, b):
    need(a.shape == b.shape)
    return a * b, (a, b)


MULTIPLY = (multiply, lambda cache, g: (g * cache[1], g * cache[0]))


@mistake(
    "multiply, each gradient times its own factor",
    "swapped-primals",
    "a",
    MULTIPLY,
    normal(77, 3, 2),
    normal(78, 3, 2),
)
def _(cache, g):
    a, b = cache
    return g * a, g * b


@mistake(
    "layer norm, gamma and beta exchanged",
    "swapped-primals",
    "gamma",
    LAYER_NORM,
    normal(79, 3, 4),
    positive(80, 4),
    normal(81, 4),
)
def _(cache, g):
    dx, dgamma, dbeta = layer_norm_backward(cache, g)
    return dx, dbeta, dgamma


def complex_product(a, b, c, d):
    """Return real and imaginary part of (a + ib)(c + id)."""
    need(a.shape == b.shape == c.shape == d.shape)
    return (a * c - b * d, a * d + b * c), (a, b, c, d)


def complex_product_backward(cache, g):
    a, b, c, d = cache
    re, im = g
    return re * c + im * d, im * c - re * d, re * a + im * b, im * a - re * b


@mistake(
    "complex product, gradients of the two factors exchanged",
    "swapped-primals",
    "a",
    (complex_product, complex_product_backward),
    normal(82, 3),
    normal(83, 3),
    normal(84, 3),
    normal(85, 3),
)
def _(cache, g):
    da, db, dc, dd = complex_product_backward(cache, g)
    return dc, dd, da, db


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


def leaky_relu(x, slope):
    return np.where(x > 0, x, slope * x), (x > 0, slope)


def leaky_relu_backward(cache, g):
    positive, slope = cache
    return (np.where(positive, g, slope * g),)


LEAKY_RELU = (leaky_relu, leaky_relu_backward)


@mistake(
    "leaky relu, slope forgotten on the negative side",
    "masked-region",
    "x",
    LEAKY_RELU,
    normal(98, 3, 4),
    slope=0.1,
)
def _(cache, g):
    positive, _ = cache
    return (g * positive,)


def elu(x, alpha):
    y = np.where(x > 0, x, alpha * np.expm1(np.minimum(x, 0.0)))
    return y, (y, x > 0, alpha)


def elu_backward(cache, g):
    y, positive, alpha = cache
    return (np.where(positive, g, g * (y + alpha)),)


@mistake(
    "elu, y instead of y + alpha on the negative side",
    "masked-region",
    "x",
    (elu, elu_backward),
    normal(99, 2, 6),
    alpha=0.7,
)
def _(cache, g):
    y, positive, _ = cache
    return (np.where(positive, g, g * y),)


def clip(x, low, high):
    return np.clip(x, low, high), (low < x) & (x < high)


CLIP = (clip, lambda inside, g: (g * inside,))


@mistake("clip, passes everywhere", "masked-region", "x", CLIP, normal(100, 3, 5), low=-0.6, high=0.8)
def _(_, g):
    return (g.copy(),)


def huber(r, delta):
    c = np.clip(r, -delta, delta)
    return c * (r - 0.5 * c), (r, delta)


@mistake(
    "huber, condition without the absolute value",
    "masked-region",
    "r",
    (huber, lambda cache, g: (g * np.clip(cache[0], -cache[1], cache[1]),)),
    normal(101, 10, scale=2.0),
    delta=1.0,
)
def _(cache, g):
    r, delta = cache
    return (np.where(r <= delta, r, delta * np.sign(r)) * g,)


def hinge(score, t):
    t = like(score, t)
    margin = 1.0 - t * score
    return np.maximum(margin, 0.0), (t, score)


def hinge_backward(cache, g):
    t, score = cache
    return (-g * t * (t * score < 1.0),)


@mistake(
    "hinge loss, active only where the sign is wrong",
    "masked-region",
    "score",
    (hinge, hinge_backward),
    normal(102, 8),
    t=(1, -1, 1, 1, -1, -1, 1, -1),
)
def _(cache, g):
    t, score = cache
    return (np.where(t * score < 0, -t * g, 0.0).astype(g.dtype),)


@mistake(
    "relu, negative gradients held back as well",
    "masked-region nonlinear-in-cotangent",
    "x",
    RELU,
    normal(103, 2, 3, 3),
)
def _(positive, g):
    return (g * positive * (g > 0),)


def max_pool(x, size):
    need(x.shape[-1] % size == 0)
    windows = sliding_window_view(x, size, axis=-1)[..., ::size, :]
    return windows.max(axis=-1), (x, size)


def max_pool_backward(cache, g):
    x, size = cache
    windows = x.reshape(*g.shape, size)
    winner = windows.argmax(axis=-1)[..., None] == np.arange(size)
    return ((winner * g[..., None]).reshape(x.shape),)


MAX_POOL = (max_pool, max_pool_backward)


@mistake(
    "max pooling, every tie gets the whole gradient",
    "tie-or-kink",
    "x",
    MAX_POOL,
    [[1.0, 1.0, 0.3, -2.0, 0.5, 2.5], [-1.0, 0.2, 0.7, 0.7, 3.0, 1.5]],
    size=2,
)
def _(cache, g):
    x, size = cache
    windows = x.reshape(*g.shape, size)
    dx = (windows == windows.max(axis=-1, keepdims=True)) * g[..., None]
    return (dx.reshape(x.shape),)


def max_of_rows(x):
    return x.max(axis=1), x


def max_of_rows_backward(x, g):
    dx = np.zeros_like(x)
    np.put_along_axis(dx, x.argmax(axis=1)[:, None], g[:, None], axis=1)
    return (dx,)


@mistake(
    "max over the columns, mask x == max",
    "tie-or-kink",
    "x",
    (max_of_rows, max_of_rows_backward),
    [[0.5, 2.0, -1.0, 2.0], [1.0, 0.0, 0.3, -0.4], [-1.5, -1.5, -3.0, -1.5]],
)
def _(x, g):
    return ((x == x.max(axis=1, keepdims=True)) * g[:, None],)


@mistake_with_state(
    "leaky relu, both masks hold at zero",
    "tie-or-kink",
    "x",
    LEAKY_RELU,
    [[0.0, 1.2, -0.7], [-2.0, 0.0, 0.4]],
    slope=0.25,
)
def _():
    def forward(x, slope):
        return np.maximum(x, slope * x), (x, slope)

    def backward(cache, g):
        x, slope = cache
        return ((x >= 0) * g + slope * (x <= 0) * g,)

    return forward, backward


def maximum(a, b):
    need(a.shape == b.shape)
    return np.maximum(a, b), a >= b


@mistake_with_state(
    "maximum of two, nothing passed on at ties",
    "tie-or-kink",
    "a",
    (maximum, lambda first, g: (g * first, g * ~first)),
    [0.5, 1.0, -1.0, 2.0, -0.3],
    [0.5, 0.2, -1.0, 3.0, -0.7],
)
def _():
    def forward(a, b):
        return np.maximum(a, b), (a, b)

    def backward(cache, g):
        a, b = cache
        return g * (a > b), g * (b > a)

    return forward, backward


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


@mistake("sigmoid, + 1e-3 for stability", "additive-bias", "x", SIGMOID, normal(118, 3, 4))
def _(e, g):
    return (g * e / (1.0 + e) ** 2 + 1e-3,)


@mistake(
    "embedding, buffer of ones instead of zeros",
    "additive-bias",
    "W",
    EMBEDDING,
    normal(119, 4, 2),
    ids=(3, 0, 3),
)
def _(cache, g):
    W, ids = cache
    dW = np.ones_like(W)
    np.add.at(dW, ids, g)
    return (dW,)


def row_norm(x):
    largest = abs(x).max(axis=-1, keepdims=True)
    largest = np.where(largest == 0, 1.0, largest).astype(x.dtype)
    n = largest * np.sqrt(((x / largest) ** 2).sum(axis=-1, keepdims=True))
    return n[..., 0].copy(), (x, n)


def row_norm_backward(cache, g):
    x, n = cache
    return (x / np.where(n == 0, 1.0, n).astype(n.dtype) * g[..., None],)


ROW_NORM = (row_norm, row_norm_backward)


@mistake(
    "norm of rows, guard outside the parentheses",
    "additive-bias",
    "x",
    ROW_NORM,
    normal(120, 3, 4),
)
def _(cache, g):
    x, n = cache
    return (g[..., None] * x / n + 1e-5,)


@mistake(
    "linear without bias, weight decay mixed in",
    "additive-bias nonlinear-in-cotangent",
    "W",
    LINEAR,
    normal(121, 3, 2),
    normal(122, 2, 4),
)
def _(cache, g):
    x, W = cache
    return g @ W.T, x.T @ g + 0.01 * W


@mistake("tanh, g rounded to half precision", "float32-round-trip", "x", TANH, normal(123, 3, 4))
def _(y, g):
    half = g.astype(np.float16)
    return (half.astype(g.dtype) * (1.0 - y * y),)


@mistake(
    "affine, weight gradient multiplied in single precision",
    "float32-round-trip",
    "W",
    AFFINE,
    normal(124, 5, 3),
    normal(125, 3, 2),
    normal(126, 2),
)
def _(cache, g):
    dx, _, db = affine_backward(cache, g)
    x, W = cache
    rows = x.reshape(len(x), -1).astype(np.float32)
    return dx, (rows.T @ g.astype(np.float32)).astype(W.dtype), db


@mistake_with_state(
    "softmax, output kept in single precision",
    "float32-round-trip",
    "x",
    SOFTMAX,
    normal(127, 2, 5),
)
def _():
    def forward(x):
        y = softmax_of(x)
        return y, y.astype(np.float32)

    def backward(y32, g):
        y = y32.astype(g.dtype)
        return (y * (g - (g * y).sum(axis=-1, keepdims=True)),)

    return forward, backward


@mistake_with_state(
    "affine as a class, the first batch kept for good",
    "stale-residuals",
    "",
    AFFINE,
    normal(128, 3, 2),
    normal(129, 2, 3),
    normal(130, 3),
)
def _():
    class Affine:
        x = None

        def forward(self, x, W, b):
            if self.x is None:
                self.x = x.copy()
            return x @ W + b, W

        def backward(self, W, g):
            return g @ W.T, self.x.T @ g, g.sum(axis=0)

    layer = Affine()
    return layer.forward, layer.backward


@mistake_with_state(
    "sigmoid, output of the last call kept in a closure",
    "stale-residuals",
    "",
    SIGMOID,
    normal(131, 2, 4),
)
def _():
    last = {}

    def forward(x):
        last["y"] = logistic(x)
        return last["y"].copy(), None

    def backward(_, g):
        y = last["y"]
        return (g * y * (1.0 - y),)

    return forward, backward


@mistake_with_state(
    "multiply, factors cached by their shape",
    "stale-residuals",
    "",
    MULTIPLY,
    normal(132, 4),
    normal(133, 4),
)
def _():
    known = {}

    def forward(a, b):
        key = a.shape, b.shape
        if key not in known:
            known[key] = a.copy(), b.copy()
        return a * b, key

    def backward(key, g):
        a, b = known[key]
        return g * b, g * a

    return forward, backward


@mistake_with_state(
    "relu, mask written into a buffer that the next call uses again",
    "stale-residuals",
    "",
    RELU,
    normal(134, 3, 5),
)
def _():
    buffers = {}

    def forward(x):
        mask = buffers.setdefault(x.shape, np.empty(x.shape, dtype=bool))
        np.greater(x, 0.0, out=mask)
        return x * mask, mask

    def backward(mask, g):
        return (g * mask,)

    return forward, backward


@mistake_with_state(
    "affine as a class, dW added up over calls",
    "accumulates",
    "W",
    AFFINE,
    normal(135, 2, 3),
    normal(136, 3, 2),
    normal(137, 2),
)
def _():
    class Affine:
        def __init__(self):
            self.dW = 0.0

        def forward(self, x, W, b):
            return affine(x, W, b)

        def backward(self, cache, g):
            dx, dW, db = affine_backward(cache, g)
            self.dW = self.dW + dW
            return dx, self.dW.copy(), db

    layer = Affine()
    return layer.forward, layer.backward


@mistake_with_state(
    "square, gradient added into the cache of the forward",
    "accumulates",
    "x",
    SQUARE,
    normal(138, 3, 2),
)
def _():
    def forward(x):
        return x**2, {"x": x, "dx": np.zeros_like(x)}

    def backward(cache, g):
        cache["dx"] += 2.0 * cache["x"] * g
        return (cache["dx"].copy(),)

    return forward, backward


@mistake_with_state(
    "embedding, buffer in a default argument",
    "accumulates",
    "W",
    EMBEDDING,
    normal(139, 4, 3),
    ids=(1, 1, 3),
)
def _():
    def backward(cache, g, buffers={}):  # noqa: B006 # the mistake itself
        W, ids = cache
        dW = buffers.setdefault(W.shape, np.zeros_like(W))
        np.add.at(dW, ids, g)
        return (dW.copy(),)

    return embedding, backward


@mistake(
    "relu, dout[mask] = 0 and dout returned",
    "mutates-argument aliases-memory",
    "",
    RELU,
    normal(140, 4, 3),
)
def _(positive, dout):
    dout[~positive] = 0
    dx = dout
    return (dx,)


@mistake_with_state(
    "softmax, maximum subtracted in place in the forward",
    "mutates-argument",
    "",
    SOFTMAX,
    normal(141, 3, 4),
)
def _():
    def forward(x):
        x -= x.max(axis=-1, keepdims=True)
        y = np.exp(x)
        y /= y.sum(axis=-1, keepdims=True)
        return y, y

    return forward, SOFTMAX[1]


def gaussian(x):
    y = np.exp(-0.5 * x * x)
    return y, (x, y)


@mistake(
    "gaussian, the kept input is multiplied in place",
    "mutates-argument",
    "",
    (gaussian, lambda cache, g: (-g * cache[0] * cache[1],)),
    normal(142, 2, 3),
)
def _(cache, g):
    x, y = cache
    x *= y
    return (-g * x,)


def mean_of_columns(x):
    return x.mean(axis=0), x


@mistake(
    "mean over rows, g /= n",
    "mutates-argument",
    "",
    (mean_of_columns, lambda x, g: (np.ones_like(x) * (g / len(x)),)),
    normal(143, 4, 3),
)
def _(x, g):
    g /= len(x)
    return (np.tile(g, (len(x), 1)),)


def add(a, b):
    need(a.shape == b.shape)
    return a + b, None


@mistake(
    "residual connection, g returned for both branches",
    "aliases-memory",
    "",
    (add, lambda _, g: (g.copy(), g.copy())),
    normal(144, 3, 3),
    normal(145, 3, 3),
)
def _(_, g):
    return g, g


def flatten(x):
    return x.reshape(len(x), -1).copy(), x.shape


@mistake(
    "flatten, a view on g",
    "aliases-memory",
    "",
    (flatten, lambda shape, g: (g.reshape(shape).copy(),)),
    normal(146, 2, 1, 3, 2),
)
def _(shape, g):
    return (g.reshape(shape),)


def midpoint(a, b):
    need(a.shape == b.shape)
    return 0.5 * (a + b), None


@mistake(
    "midpoint, one array for both ends",
    "aliases-memory",
    "",
    (midpoint, lambda _, g: (0.5 * g, 0.5 * g)),
    normal(147, 5),
    normal(148, 5),
)
def _(_, g):
    half = 0.5 * g
    return half, half


@mistake("sum over rows, broadcast view on g", "aliases-memory", "", SUM_COLUMNS, normal(149, 4, 2))
def _(x, g):
    return (np.broadcast_to(g, x.shape),)


def softplus(x):
    return np.maximum(x, 0.0) + np.log1p(np.exp(-abs(x))), x


SOFTPLUS = (softplus, lambda x, g: (g * logistic(x),))


@mistake("softplus, g flattened in memory order", "assumes-contiguous", "", SOFTPLUS, normal(150, 3, 4))
def _(x, g):
    flat = g.ravel(order="K") * logistic(x).ravel()
    return (flat.reshape(x.shape),)


@mistake_with_state(
    "leaky relu, mask flattened in the memory order of x",
    "assumes-contiguous",
    "",
    LEAKY_RELU,
    normal(151, 2, 5),
    slope=0.2,
)
def _():
    def forward(x, slope):
        y = np.where(x > 0, x, slope * x)
        return y, (x.ravel(order="K") > 0, slope)

    def backward(cache, g):
        positive, slope = cache
        flat = g.ravel()
        return (np.where(positive, flat, slope * flat).reshape(g.shape),)

    return forward, backward


@mistake("exp, g read as a flat buffer", "assumes-contiguous", "", EXPONENTIAL, normal(152, 4, 3))
def _(y, g):
    flat = np.frombuffer(g, dtype=g.dtype)
    return (flat.reshape(y.shape) * y,)


def dropout(x, rate, seed):
    kept = np.random.default_rng(seed).random(x.shape) >= rate
    scale = kept.astype(x.dtype) / (1.0 - rate)
    return x * scale, scale


@mistake_with_state(
    "dropout, mask drawn anew in the backward",
    "nondeterministic",
    "",
    (dropout, lambda scale, g: (g * scale,)),
    normal(153, 4, 6),
    rate=0.5,
    seed=3,
)
def _():
    rng = np.random.default_rng(11)

    def forward(x, rate, seed):
        y, _ = dropout(x, rate, seed)
        return y, rate

    def backward(rate, g):
        kept = rng.random(g.shape) >= rate
        return (g * kept / (1.0 - rate),)

    return forward, backward


def random_leaky_relu(x, seed):
    slopes = np.random.default_rng(seed).uniform(0.1, 0.4, x.shape).astype(x.dtype)
    local = np.where(x > 0, np.ones_like(slopes), slopes)
    return x * local, local


@mistake_with_state(
    "randomized leaky relu, another slope in the backward",
    "nondeterministic",
    "",
    (random_leaky_relu, lambda local, g: (g * local,)),
    normal(154, 3, 5),
    seed=5,
)
def _():
    rng = np.random.default_rng(12)

    def forward(x, seed):
        y, _ = random_leaky_relu(x, seed)
        return y, x

    def backward(x, g):
        slopes = rng.uniform(0.1, 0.4, x.shape).astype(x.dtype)
        return (np.where(x > 0, g, slopes * g),)

    return forward, backward


@mistake_with_state(
    "linear without bias, noise added to the weight gradient",
    "nondeterministic",
    "",
    LINEAR,
    normal(155, 3, 2),
    normal(156, 2, 3),
)
def _():
    rng = np.random.default_rng(13)

    def backward(cache, g):
        x, W = cache
        dW = x.T @ g
        return g @ W.T, dW + 1e-3 * rng.standard_normal(dW.shape).astype(dW.dtype)

    return linear, backward


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


@mistake(
    "norm of rows, x / norm at a row of zeros",
    "not-finite",
    "x",
    ROW_NORM,
    [[0.6, -1.1, 0.3], [0.0, 0.0, 0.0], [2.0, 0.1, -0.4]],
)
def _(cache, g):
    x, n = cache
    return (g[..., None] * x / n,)


@mistake_with_state(
    "sigmoid, e^x / (1 + e^x)^2 at large x",
    "not-finite",
    "x",
    SIGMOID,
    [[-3.0, 0.4, 800.0], [1.5, -750.0, 2.0]],
)
def _():
    def forward(x):
        return logistic(x), x

    def backward(x, g):
        e = np.exp(x)
        return (g * e / (1.0 + e) ** 2,)

    return forward, backward


def product(x):
    return x.prod(axis=1), x


def product_backward(x, g):
    dx = np.ones_like(x)
    for j in range(x.shape[1]):
        dx[:, j] = np.delete(x, j, axis=1).prod(axis=1) * g
    return (dx,)


@mistake(
    "product of rows, y / x at a zero",
    "not-finite",
    "x",
    (product, product_backward),
    [[1.5, 0.0, -0.7], [0.3, 2.0, -1.0], [0.0, 1.2, 0.8]],
)
def _(x, g):
    y = x.prod(axis=1)
    return ((g * y)[:, None] / x,)


def power_of_base(p, base):
    y = np.asarray(base, dtype=p.dtype) ** p
    need(y.shape == p.shape)
    return y, (y, np.asarray(base, dtype=p.dtype))


def power_of_base_backward(cache, g):
    y, base = cache
    return (g * y * np.log(np.where(base > 0, base, 1.0).astype(base.dtype)),)


@mistake(
    "power, logarithm of a base of zero",
    "not-finite",
    "p",
    (power_of_base, power_of_base_backward),
    positive(170, 4),
    base=(2.0, 0.0, 0.5, 1.3),
)
def _(cache, g):
    y, base = cache
    return (g * y * np.log(base),)


def logsumexp(x):
    top = x.max(axis=-1, keepdims=True)
    return (top + np.log(np.exp(x - top).sum(axis=-1, keepdims=True)))[..., 0], x


@mistake(
    "logsumexp, maximum subtracted in the forward only",
    "not-finite",
    "x",
    (logsumexp, lambda x, g: (np.expand_dims(g, -1) * softmax_of(x),)),
    [[1.0, -0.5, 0.2], [900.0, 899.0, 3.0]],
)
def _(x, g):
    e = np.exp(x)
    return (np.expand_dims(g, -1) * e / e.sum(axis=-1, keepdims=True),)


@mistake_with_state("sigmoid, y (1 + y)", "", "x", SIGMOID, normal(171, 3, 3))
def _():
    def forward(x):
        y = logistic(x)
        return y, y

    def backward(y, g):
        return (g * y * (1.0 + y),)

    return forward, backward


@mistake("relu, mask on the wrong side", "", "x", RELU, normal(172, 3, 4))
def _(positive, g):
    dx = g.copy()
    dx[positive] = 0.0
    return (dx,)


@mistake("tanh, 1 - y without the square", "", "x", TANH, normal(173, 2, 5))
def _(y, g):
    return (g * (1.0 - y),)


def gelu(x):
    z = np.clip(x, -50.0, 50.0)  # tanh is 1 long before, and z**3 stays finite
    t = np.tanh(math.sqrt(2.0 / math.pi) * (z + 0.044715 * z**3))
    return 0.5 * x * (1.0 + t), (z, t)


def gelu_backward(cache, g):
    z, t = cache
    inner = math.sqrt(2.0 / math.pi) * (1.0 + 3 * 0.044715 * z**2)
    return (g * (0.5 * (1.0 + t) + 0.5 * z * (1.0 - t * t) * inner),)


@mistake("gelu, inner derivative without the cubic term", "", "x", (gelu, gelu_backward), normal(174, 8))
def _(cache, g):
    z, t = cache
    return (g * (0.5 * (1.0 + t) + 0.5 * z * (1.0 - t * t) * math.sqrt(2.0 / math.pi)),)


def silu(x):
    s = logistic(x)
    return x * s, (x, s)


def silu_backward(cache, g):
    x, s = cache
    return (g * (s + x * s * (1.0 - s)),)


@mistake("silu, derivative of the sigmoid alone", "", "x", (silu, silu_backward), normal(175, 2, 4))
def _(cache, g):
    _, s = cache
    return (g * s * (1.0 - s),)


@mistake("softplus, tanh for its derivative", "", "x", SOFTPLUS, normal(176, 7))
def _(x, g):
    return (g * np.tanh(x),)


def power(x, p):
    return x**p, (x, p)


@mistake(
    "power, exponent not lowered",
    "",
    "x",
    (power, lambda cache, g: (cache[1] * g * cache[0] ** (cache[1] - 1.0),)),
    positive(177, 3, 3),
    p=3.0,
)
def _(cache, g):
    x, p = cache
    return (p * x**p * g,)


@mistake("divide, denominator not squared", "", "b", DIVIDE, normal(178, 3, 3), positive(179, 3, 3))
def _(cache, g):
    a, b = cache
    return g / b, -g * a / b


def log1p(x):
    return np.log1p(x), x


@mistake("log(1 + x), 1 / x", "", "x", (log1p, lambda x, g: (g / (1.0 + x),)), positive(180, 6))
def _(x, g):
    return (g / x,)


def gated(a, b):
    need(a.shape == b.shape)
    s = logistic(b)
    return a * s, (a, s)


@mistake(
    "gated linear unit, derivative of the gate forgotten",
    "",
    "b",
    (gated, lambda cache, g: (g * cache[1], g * cache[0] * cache[1] * (1.0 - cache[1]))),
    normal(181, 2, 4),
    normal(182, 2, 4),
)
def _(cache, g):
    a, s = cache
    return g * s, g * a * s


@mistake_with_state(
    "attention, derivative of the softmax taken at the scores",
    "",
    "k",
    ATTENTION,
    normal(183, 2, 3),
    normal(184, 4, 3),
    normal(185, 4, 2),
)
def _():
    def forward(q, k, v):
        y, (_, _, _, a) = attention(q, k, v)
        return y, (q, k, v, a, q @ k.T / math.sqrt(q.shape[1]))

    def backward(cache, g):
        q, k, v, a, scores = cache
        da = g @ v.T
        ds = scores * (da - (scores * da).sum(axis=1, keepdims=True)) / math.sqrt(q.shape[1])
        return ds @ k, ds.T @ q, a.T @ g

    return forward, backward


WRONG: tuple[Wrong, ...] = tuple(_found)
