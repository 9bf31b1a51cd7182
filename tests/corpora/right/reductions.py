"""Sums, means, extremes, products and norms over axes, and running sums."""

import numpy as np

from ._entry import apart, fixed, normal, right, uniform


def sum_over(x, axis):
    return x.sum(axis=axis), (x.shape, axis)


def sum_over_backward(cache, g):
    shape, axis = cache
    return (np.broadcast_to(np.expand_dims(g, axis), shape).copy(),)


def total(x):
    return np.sum(x), x.shape


def total_backward(shape, g):
    return (np.full(shape, g),)


def mean_keeping_dims(x, axis):
    return x.mean(axis=axis, keepdims=True), (x, axis)


def mean_keeping_dims_backward(cache, g):
    x, axis = cache
    return (np.ones_like(x) * g / x.shape[axis],)


def max_over(x, axis):
    y = x.max(axis=axis, keepdims=True)
    return y.squeeze(axis), (x == y, axis)


def max_over_backward(cache, g):
    mask, axis = cache
    share = mask.astype(g.dtype)
    share /= share.sum(axis=axis, keepdims=True)
    return (share * np.expand_dims(g, axis),)


def min_of_all(x):
    return x.min(), x


def min_of_all_backward(x, g):
    dx = np.zeros_like(x)
    dx[np.unravel_index(np.argmin(x), x.shape)] = g
    return (dx,)


def prod(x):
    y = np.prod(x, axis=1)
    return y, (x, y)


def prod_backward(cache, g):
    x, y = cache
    return ((g * y)[:, None] / x,)


def prod_with_zeros_backward(cache, g):
    x, _ = cache
    dx = np.empty_like(x)
    for j in range(x.shape[1]):
        dx[:, j] = g * np.prod(np.delete(x, j, axis=1), axis=1)
    return (dx,)


def variance(x, ddof):
    return x.var(axis=0, ddof=ddof), (x, ddof)


def variance_backward(cache, g):
    x, ddof = cache
    return (2 * g * (x - x.mean(axis=0)) / (len(x) - ddof),)


def standard_deviation(x):
    s = x.std(axis=-1, keepdims=True)
    return s[..., 0], (x, s)


def standard_deviation_backward(cache, g):
    x, s = cache
    return (g[..., None] * (x - x.mean(axis=-1, keepdims=True)) / (s * x.shape[-1]),)


def norm(x):
    n = np.linalg.norm(x)
    return n, (x, n)


def norm_backward(cache, g):
    x, n = cache
    return (g * x / n if n > 0 else np.zeros_like(x),)


def row_norms(x):
    n = np.sqrt((x * x).sum(axis=1))
    return n, (x, n)


def row_norms_backward(cache, g):
    x, n = cache
    return ((g / n)[:, None] * x,)


def logsumexp(x):
    m = x.max(axis=-1, keepdims=True)
    y = m + np.log(np.exp(x - m).sum(axis=-1, keepdims=True))
    return y[..., 0], (x, y)


def logsumexp_backward(cache, g):
    x, y = cache
    return (g[..., None] * np.exp(x - y),)


def cumsum(x):
    return np.cumsum(x, axis=0), None


def cumsum_backward(_, g):
    return (np.cumsum(g[::-1], axis=0)[::-1],)


def cumprod(x):
    y = np.cumprod(x)
    return y, (x, y)


def cumprod_backward(cache, g):
    x, y = cache
    return (np.cumsum((g * y)[::-1])[::-1] / x,)


ENTRIES = [
    right("sum over an axis", sum_over, sum_over_backward, normal(2, 3, 4), axis=1),
    right("sum over two axes", sum_over, sum_over_backward, normal(2, 3, 4), axis=(0, 2)),
    right("sum of all", total, total_backward, normal(3, 4)),
    right("mean, keeping dims", mean_keeping_dims, mean_keeping_dims_backward, normal(3, 4), axis=1),
    right("max over an axis", max_over, max_over_backward, apart(3, 4), axis=1),
    right("max, ties", max_over, max_over_backward, fixed([[1.0, 3.0, 3.0], [2.0, 2.0, 2.0]]), axis=1),
    right("min of all", min_of_all, min_of_all_backward, apart(3, 4)),
    right("prod", prod, prod_backward, apart(3, 4)),
    right(
        "prod with zeros",
        prod,
        prod_with_zeros_backward,
        fixed([[0.0, 2.0, -3.0], [0.0, 0.0, 1.5], [1.0, 2.0, 3.0]]),
    ),
    right("variance", variance, variance_backward, normal(5, 3), ddof=1),
    right("standard deviation", standard_deviation, standard_deviation_backward, normal(3, 5)),
    right("norm", norm, norm_backward, normal(3, 4)),
    right("norm at zero", norm, norm_backward, fixed([0.0, 0.0, 0.0])),
    right("row norms", row_norms, row_norms_backward, apart(3, 4)),
    right("logsumexp", logsumexp, logsumexp_backward, normal(3, 4, scale=3)),
    right("cumsum", cumsum, cumsum_backward, normal(5, 2)),
    right("cumprod", cumprod, cumprod_backward, uniform(0.5, 2, 6)),
]
