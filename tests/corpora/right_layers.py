"""Forward and backward passes that are right, in the styles in which people write them by hand.

What complains about one of these at its own point raises a false alarm. They come in many dialects on purpose:
textbook formulas, guards such as ``+ 1e-7``, caches as dicts and tuples, closures over data, bound methods. Ties,
kinks, saturation and bad scales are among the points. Nothing here knows of any check.
"""

import math
from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from typing import Any

import numpy as np
from numpy.lib.stride_tricks import sliding_window_view
from scipy import special

SEED = 41

Draw = Callable[[np.random.Generator], np.ndarray]


@dataclass(frozen=True)
class Right:
    """A forward and backward pass that agree, and a point to see it at."""

    name: str
    forward: Callable[..., tuple[Any, Any]]
    backward: Callable[[Any, Any], tuple[np.ndarray, ...]]
    primals: tuple[np.ndarray, ...]
    settings: dict[str, Any]

    def __str__(self) -> str:
        return self.name


def right(name: str, forward: Any, backward: Any, *draws: Draw, dtype: Any = float, **settings: Any) -> Right:
    rng = np.random.default_rng([SEED, *name.encode()])
    return Right(name, forward, backward, tuple(draw(rng).astype(dtype) for draw in draws), settings)


def normal(*shape: int, scale: float = 1.0) -> Draw:
    return lambda rng: scale * rng.standard_normal(shape)


def uniform(low: float, high: float, *shape: int) -> Draw:
    return lambda rng: rng.uniform(low, high, shape)


def apart(*shape: int, reach: float = 2.0) -> Draw:
    """Values from -reach to reach in random order, none near another and none near zero."""
    size = math.prod(shape)
    return lambda rng: rng.permutation(np.linspace(-reach, reach, size + size % 2)[:size]).reshape(shape)


def fixed(values: Any) -> Draw:
    return lambda rng: np.array(values)


def spd(n: int) -> Draw:
    def draw(rng: np.random.Generator) -> np.ndarray:
        a = rng.standard_normal((n, n))
        return a @ a.T + n * np.eye(n)

    return draw


def probabilities(*shape: int) -> Draw:
    def draw(rng: np.random.Generator) -> np.ndarray:
        e = rng.uniform(0.2, 1.0, shape)
        return e / e.sum(axis=-1, keepdims=True)

    return draw


def add(a, b):
    return a + b, None


def add_backward(_, g):
    return g.copy(), g.copy()


def unbroadcast(g, shape):
    g = g.sum(axis=tuple(range(g.ndim - len(shape))))
    return g.sum(axis=tuple(i for i, n in enumerate(shape) if n == 1), keepdims=True)


def broadcast_add(a, b):
    return a + b, (a.shape, b.shape)


def broadcast_add_backward(shapes, g):
    return tuple(unbroadcast(g, shape) for shape in shapes)


def broadcast_subtract_backward(shapes, g):
    return unbroadcast(g, shapes[0]), unbroadcast(-g, shapes[1])


def multiply(a, b):
    return a * b, (a, b)


def multiply_backward(cache, g):
    a, b = cache
    return g * b, g * a


def broadcast_multiply_backward(cache, g):
    a, b = cache
    return unbroadcast(g * b, a.shape), unbroadcast(g * a, b.shape)


def divide(a, b):
    return a / b, (a, b)


def divide_backward(cache, g):
    a, b = cache
    return g / b, -g * a / b**2


def broadcast_divide_backward(cache, g):
    a, b = cache
    return unbroadcast(g / b, a.shape), unbroadcast(-g * a / (b * b), b.shape)


def bias_row(x, b):
    return x + b, None


def bias_row_backward(_, g):
    return g.copy(), g.sum(0, keepdims=True)


def linear(x, W, b):
    return x @ W + b, (x, W)


def linear_backward(cache, g):
    x, W = cache
    return g @ W.T, x.T @ g, g.sum(axis=0)


def temperature(x, t):
    return x / t, (x, t)


def temperature_backward(cache, g):
    x, t = cache
    return g / t, -(g * x).sum() / t**2


def power(x, p):
    return x**p, (x, p)


def power_backward(cache, g):
    x, p = cache
    return (g * p * x ** (p - 1),)


def power_of_both(x, y):
    z = x**y
    return z, (x, y, z)


def power_of_both_backward(cache, g):
    x, y, z = cache
    return g * y * x ** (y - 1), g * z * np.log(x)


def sqrt(x):
    y = np.sqrt(x)
    return y, y


def sqrt_backward(y, g):
    return (g / (2 * y),)


def reciprocal(x):
    y = 1 / x
    return y, y


def reciprocal_backward(y, g):
    return (-g * y * y,)


def cbrt(x):
    y = np.cbrt(x)
    return y, y


def cbrt_backward(y, g):
    return (g / (3 * y**2),)


def exp(x):
    y = np.exp(x)
    return y, y


def exp_backward(y, g):
    return (y * g,)


def log(x):
    return np.log(x), x


def log_backward(x, g):
    return (g / x,)


def guarded_log(x):
    return np.log(x + 1e-7), x


def guarded_log_backward(x, g):
    return (g / (x + 1e-7),)


def expm1(x):
    y = np.expm1(x)
    return y, y


def elementwise(f, derivative):
    """Return the passes of `f`, as a lambda-loving person would."""
    return (lambda x: (f(x), x)), (lambda x, g: (g * derivative(x),))


def tan(x):
    y = np.tan(x)
    return y, y


def tan_backward(y, g):
    return (g * (1 + y**2),)


def arctan2(y, x):
    return np.arctan2(y, x), (y, x)


def arctan2_backward(cache, g):
    y, x = cache
    r2 = x**2 + y**2
    return g * x / r2, -g * y / r2


def hypot(a, b):
    r = np.hypot(a, b)
    return r, (a, b, r)


def hypot_backward(cache, g):
    a, b, r = cache
    return g * a / r, g * b / r


def polar(r, theta):
    x, y = r * np.cos(theta), r * np.sin(theta)
    return (x, y), (r, theta)


def polar_backward(cache, g):
    r, theta = cache
    gx, gy = g
    c, s = np.cos(theta), np.sin(theta)
    return gx * c + gy * s, r * (gy * c - gx * s)


def absolute(x):
    return np.abs(x), x


def absolute_backward(x, g):
    return (g * np.sign(x),)


def maximum(a, b):
    return np.maximum(a, b), a >= b


def maximum_backward(first, g):
    return g * first, g * ~first


def minimum(a, b):
    return np.minimum(a, b), (a < b, a == b)


def minimum_backward(cache, g):
    less, tie = cache
    ga = np.where(less, g, 0.0)
    ga[tie] = 0.5 * g[tie]
    return ga, g - ga


def clip(x, low, high):
    return np.clip(x, low, high), (x >= low) & (x <= high)


def clip_backward(inside, g):
    return (g * inside,)


def where(a, b, condition):
    return np.where(condition, a, b), condition


def where_backward(condition, g):
    zero = np.zeros_like(g)
    return np.where(condition, g, zero), np.where(condition, zero, g)


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


def sort(x, axis):
    order = np.argsort(x, axis=axis, kind="stable")
    return np.take_along_axis(x, order, axis), (order, axis)


def sort_backward(cache, g):
    order, axis = cache
    dx = np.empty_like(g)
    np.put_along_axis(dx, order, g, axis)
    return (dx,)


def top_k(x, k):
    best = np.argsort(x)[::-1][:k]
    return x[best], (best, x)


def top_k_backward(cache, g):
    best, x = cache
    dx = np.zeros_like(x)
    dx[best] = g
    return (dx,)


def flip(x):
    return x[:, ::-1], None


def flip_backward(_, g):
    return (g[:, ::-1].copy(),)


def transpose(x, axes):
    return x.transpose(axes), axes


def transpose_backward(axes, g):
    return (g.transpose(np.argsort(axes)).copy(),)


def flatten(x):
    return x.reshape(len(x), -1), x.shape


def flatten_backward(shape, g):
    return (g.reshape(shape).copy(),)


def concatenate(*xs, axis):
    return np.concatenate(xs, axis=axis), ([x.shape[axis] for x in xs], axis)


def concatenate_backward(cache, g):
    sizes, axis = cache
    return tuple(part.copy() for part in np.split(g, np.cumsum(sizes)[:-1], axis=axis))


def stack(a, b):
    return np.stack([a, b], axis=1), None


def stack_backward(_, g):
    return g[:, 0].copy(), g[:, 1].copy()


def split(x, at):
    return tuple(np.split(x, at, axis=1)), None


def split_backward(_, g):
    return (np.concatenate(g, axis=1),)


def pad(x, width):
    return np.pad(x, width), width


def pad_backward(width, g):
    return (g[width:-width, width:-width].copy(),)


def tile(x, times):
    return np.tile(x, times), (times, x.size)


def tile_backward(cache, g):
    return (g.reshape(cache).sum(axis=0),)


def difference(x):
    return x[1:] - x[:-1], x


def difference_backward(x, g):
    dx = np.zeros_like(x)
    dx[1:] += g
    dx[:-1] -= g
    return (dx,)


def roll(x, shift):
    return np.roll(x, shift), shift


def roll_backward(shift, g):
    return (np.roll(g, -shift),)


def embedding(table, ids):
    return table[ids], (table, ids)


def embedding_backward(cache, g):
    table, ids = cache
    dtable = np.zeros_like(table)
    np.add.at(dtable, ids, g)
    return (dtable,)


def pick(x, ids):
    return x[np.arange(len(x)), ids], (x.shape[1], ids)


def pick_backward(cache, g):
    columns, ids = cache
    return ((ids[:, None] == np.arange(columns)) * g[:, None],)


def scatter_add(x, updates, ids):
    y = x.copy()
    np.add.at(y, ids, updates)
    return y, ids


def scatter_add_backward(ids, g):
    return g.copy(), g[ids]


def matmul(a, b):
    return a @ b, (a, b)


def batched_matmul_backward(cache, g):
    a, b = cache
    return g @ b.swapaxes(-1, -2), a.swapaxes(-1, -2) @ g


def shared_weight_matmul_backward(cache, g):
    x, W = cache
    return g @ W.T, np.tensordot(x, g, axes=((0, 1), (0, 1)))


def dot(a, b):
    return np.dot(a, b), (a, b)


def outer(u, v):
    return np.outer(u, v), (u, v)


def outer_backward(cache, g):
    u, v = cache
    return g @ v, u @ g


def bilinear(x, W, y):
    return np.einsum("bi,kij,bj->bk", x, W, y), (x, W, y)


def bilinear_backward(cache, g):
    x, W, y = cache
    dx = np.einsum("bk,kij,bj->bi", g, W, y)
    dW = np.einsum("bk,bi,bj->kij", g, x, y)
    dy = np.einsum("bk,bi,kij->bj", g, x, W)
    return dx, dW, dy


def einsum_chain(a, b, c):
    return np.einsum("ij,jk,kl->il", a, b, c), (a, b, c)


def einsum_chain_backward(cache, g):
    a, b, c = cache
    return (
        np.einsum("il,jk,kl->ij", g, b, c),
        np.einsum("il,ij,kl->jk", g, a, c),
        np.einsum("il,ij,jk->kl", g, a, b),
    )


def inverse(A):
    B = np.linalg.inv(A)
    return B, B


def inverse_backward(B, g):
    return (-B.T @ g @ B.T,)


def det(A):
    d = np.linalg.det(A)
    return d, (A, d)


def det_backward(cache, g):
    A, d = cache
    return (g * d * np.linalg.inv(A).T,)


def slogdet(A):
    sign, logdet = np.linalg.slogdet(A)
    return (sign, logdet), A


def slogdet_backward(A, g):
    _, g_logdet = g
    return (g_logdet * np.linalg.inv(A).T,)


def solve(A, b):
    x = np.linalg.solve(A, b)
    return x, (A, x)


def solve_backward(cache, g):
    A, x = cache
    db = np.linalg.solve(A.T, g)
    return -np.outer(db, x), db


def trace(A):
    return np.trace(A), A


def trace_backward(A, g):
    return (g * np.eye(len(A), dtype=A.dtype),)


def lower_triangle(A, k):
    return np.tril(A, k), k


def lower_triangle_backward(k, g):
    return (np.tril(g, k),)


def diagonal(A):
    return np.diag(A), None


def diagonal_backward(_, g):
    return (np.diag(g),)


def cholesky(A):
    L = np.linalg.cholesky((A + A.T) / 2)
    return L, L


def cholesky_backward(L, g):
    P = np.tril(L.T @ np.tril(g))
    P[np.diag_indices_from(P)] /= 2
    inverse_of_L = np.linalg.inv(L)
    S = inverse_of_L.T @ P @ inverse_of_L
    return ((S + S.T) / 2,)


def eigenvalues(A):
    w, V = np.linalg.eigh((A + A.T) / 2)
    return w, V


def eigenvalues_backward(V, g):
    return ((V * g) @ V.T,)


def sigmoid(x):
    y = 1 / (1 + np.exp(-x))
    return y, y


def sigmoid_backward(y, g):
    return (g * y * (1 - y),)


def tanh(x):
    y = np.tanh(x)
    return y, y


def tanh_backward(y, g):
    return (g * (1 - y**2),)


class ReLU:
    """A layer as an object, whose passes are bound methods."""

    def forward(self, x):
        return np.maximum(0, x), x > 0

    def backward(self, mask, g):
        dx = g.copy()
        dx[~mask] = 0
        return (dx,)


relu = ReLU()


def leaky_relu(x, alpha=0.01):
    y = x.copy()
    y[x < 0] *= alpha
    return y, (x, alpha)


def leaky_relu_backward(cache, g):
    x, alpha = cache
    return (np.where(x < 0, alpha * g, g),)


def prelu(x, a):
    return np.where(x > 0, x, a * x), (x, a)


def prelu_backward(cache, g):
    x, a = cache
    return np.where(x > 0, g, a * g), (g * np.minimum(x, 0)).sum(axis=0)


def elu(x, alpha):
    y = np.where(x > 0, x, alpha * (np.exp(x) - 1))
    return y, (x, y, alpha)


def elu_backward(cache, g):
    x, y, alpha = cache
    return (np.where(x > 0, g, g * (y + alpha)),)


SELU_SCALE = 1.0507009873554805
SELU_ALPHA = 1.6732632423543772


def selu(x):
    return SELU_SCALE * np.where(x > 0, x, SELU_ALPHA * np.expm1(np.minimum(x, 0))), x


def selu_backward(x, g):
    return (SELU_SCALE * g * np.where(x > 0, 1, SELU_ALPHA * np.exp(np.minimum(x, 0))),)


def gelu(x):
    cdf = 0.5 * (1 + special.erf(x / math.sqrt(2)))
    return x * cdf, (x, cdf)


def gelu_backward(cache, g):
    x, cdf = cache
    return (g * (cdf + x * np.exp(-0.5 * x**2) / math.sqrt(2 * math.pi)),)


def tanh_gelu(x):
    t = np.tanh(math.sqrt(2 / math.pi) * (x + 0.044715 * x**3))
    return 0.5 * x * (1 + t), (x, t)


def tanh_gelu_backward(cache, g):
    x, t = cache
    du = math.sqrt(2 / math.pi) * (1 + 3 * 0.044715 * x**2)
    return (g * (0.5 * (1 + t) + 0.5 * x * (1 - t**2) * du),)


def softplus(x):
    return np.log(1 + np.exp(x)), x


def softplus_backward(x, g):
    return (g / (1 + np.exp(-x)),)


def stable_softplus(x):
    return np.logaddexp(0, x), x


def stable_softplus_backward(x, g):
    return (g * special.expit(x),)


def swish(x, beta):
    s = 1 / (1 + np.exp(-beta * x))
    return x * s, {"x": x, "s": s, "beta": beta}


def swish_backward(cache, g):
    x, s, beta = cache["x"], cache["s"], cache["beta"]
    ds = s * (1 - s)
    return g * (s + beta * x * ds), np.sum(g * x**2 * ds)


def mish(x):
    t = np.tanh(np.log1p(np.exp(x)))
    return x * t, (x, t)


def mish_backward(cache, g):
    x, t = cache
    return (g * (t + x * (1 - t**2) / (1 + np.exp(-x))),)


def hardtanh(x):
    return np.clip(x, -1, 1), x


def hardtanh_backward(x, g):
    return (g * (np.abs(x) < 1),)


def hard_sigmoid(x):
    return np.maximum(0, np.minimum(1, x / 6 + 0.5)), x


def hard_sigmoid_backward(x, g):
    return (np.where((x > -3) & (x < 3), g / 6, 0),)


def softsign(x):
    d = 1 + np.abs(x)
    return x / d, d


def softsign_backward(d, g):
    return (g / d**2,)


def naive_softmax(x):
    p = np.exp(x) / np.exp(x).sum()
    return p, p


def naive_softmax_backward(p, g):
    J = np.diag(p) - np.outer(p, p)
    return (J @ g,)


def softmax(x, axis=-1):
    e = np.exp(x - x.max(axis=axis, keepdims=True))
    p = e / e.sum(axis=axis, keepdims=True)
    return p, (p, axis)


def softmax_backward(cache, g):
    p, axis = cache
    return (p * (g - (g * p).sum(axis=axis, keepdims=True)),)


def log_softmax(x):
    shifted = x - x.max(axis=1, keepdims=True)
    y = shifted - np.log(np.exp(shifted).sum(axis=1, keepdims=True))
    return y, y


def log_softmax_backward(y, g):
    return (g - np.exp(y) * g.sum(axis=1, keepdims=True),)


def glu(x):
    a, b = np.split(x, 2, axis=-1)
    s = 1 / (1 + np.exp(-b))
    return a * s, (a, s)


def glu_backward(cache, g):
    a, s = cache
    return (np.concatenate([g * s, g * a * s * (1 - s)], axis=-1),)


def maxout(x, pieces):
    n, m = x.shape
    grouped = x.reshape(n, m // pieces, pieces)
    return grouped.max(axis=2), (grouped.argmax(axis=2), x.shape, pieces)


def maxout_backward(cache, g):
    winner, shape, pieces = cache
    return (((winner[..., None] == np.arange(pieces)) * g[..., None]).reshape(shape),)


def mse(prediction, target):
    diff = prediction - target
    return np.mean(diff**2), diff


def mse_backward(diff, g):
    d = 2 * g * diff / diff.size
    return d, -d


def mae(prediction, target):
    return np.abs(prediction - target).mean(), prediction - target


def mae_backward(diff, g):
    d = g * np.sign(diff) / diff.size
    return d, -d


def huber(x, delta, target):
    r = x - target.astype(x.dtype)
    small = np.abs(r) <= delta
    loss = np.where(small, 0.5 * r**2, delta * (np.abs(r) - 0.5 * delta))
    return loss.sum(), (r, small, delta)


def huber_backward(cache, g):
    r, small, delta = cache
    return (g * np.where(small, r, delta * np.sign(r)),)


def hinge(scores, y):
    margins = np.maximum(0, 1 - y * scores)
    return margins.mean(), (margins, y, scores.dtype)


def hinge_backward(cache, g):
    margins, y, dtype = cache
    return ((-g * y * (margins > 0) / len(y)).astype(dtype),)


def multiclass_hinge(scores, labels):
    rows = np.arange(len(labels))
    margins = np.maximum(0, scores - scores[rows, labels][:, None] + 1)
    margins[rows, labels] = 0
    return margins.sum(), (margins, labels)


def multiclass_hinge_backward(cache, g):
    margins, labels = cache
    d = (margins > 0).astype(margins.dtype)
    d[np.arange(len(labels)), labels] -= d.sum(axis=1)
    return (g * d,)


def pinball(q, tau, target):
    r = target - q
    return np.maximum(tau * r, (tau - 1) * r).sum(), (r, tau, q.dtype)


def pinball_backward(cache, g):
    r, tau, dtype = cache
    return ((g * np.where(r > 0, -tau, 1 - tau)).astype(dtype),)


def binary_cross_entropy(p, t):
    loss = -np.mean(t * np.log(p + 1e-7) + (1 - t) * np.log(1 - p + 1e-7))
    return loss, (p, t)


def binary_cross_entropy_backward(cache, g):
    p, t = cache
    d = -(t / (p + 1e-7) - (1 - t) / (1 - p + 1e-7)) / p.size
    return ((g * d).astype(p.dtype),)


def bce_with_logits(z, t):
    loss = np.maximum(z, 0) - z * t + np.log1p(np.exp(-np.abs(z)))
    return loss.mean(), (z, t)


def bce_with_logits_backward(cache, g):
    z, t = cache
    d = g * (special.expit(z) - t) / z.size
    return (d.astype(z.dtype),)


def cross_entropy(logits, labels):
    e = np.exp(logits - logits.max(axis=1, keepdims=True))
    p = e / e.sum(axis=1, keepdims=True)
    n = len(labels)
    return -np.log(p[np.arange(n), labels]).mean(), (p, labels)


def cross_entropy_backward(cache, g):
    p, labels = cache
    n = len(labels)
    d = p.copy()
    d[np.arange(n), labels] -= 1
    d *= g / n
    return (d,)


def one_hot_cross_entropy(y, t):
    return -np.sum(t * np.log(y + 1e-7)) / len(y), (y, t)


def one_hot_cross_entropy_backward(cache, g):
    y, t = cache
    return (-g * t / (y + 1e-7) / len(y),)


def kl_divergence(p, q):
    return np.sum(p * np.log(p / q)), (p, q)


def kl_divergence_backward(cache, g):
    p, q = cache
    return g * (np.log(p / q) + 1), -g * p / q


def gaussian_kl(mu, logvar):
    return -0.5 * np.sum(1 + logvar - mu**2 - np.exp(logvar)), (mu, logvar)


def gaussian_kl_backward(cache, g):
    mu, logvar = cache
    return g * mu, 0.5 * g * (np.exp(logvar) - 1)


def cosine_loss(a, b):
    na = np.linalg.norm(a, axis=1, keepdims=True)
    nb = np.linalg.norm(b, axis=1, keepdims=True)
    u, v = a / na, b / nb
    cos = (u * v).sum(axis=1, keepdims=True)
    return np.mean(1 - cos), (u, v, na, nb, cos)


def cosine_loss_backward(cache, g):
    u, v, na, nb, cos = cache
    c = -g / len(cos)
    return c * (v - cos * u) / na, c * (u - cos * v) / nb


def triplet(anchor, positive, negative, margin):
    ap, an = anchor - positive, anchor - negative
    loss = np.maximum(0, (ap**2).sum(1) - (an**2).sum(1) + margin)
    return loss.sum(), (ap, an, loss > 0)


def triplet_backward(cache, g):
    ap, an, active = cache
    scale = 2 * g * active[:, None]
    return scale * (ap - an), -scale * ap, scale * an


def nll(logp, labels):
    return -logp[np.arange(len(labels)), labels].mean(), (logp.shape, labels, logp.dtype)


def nll_backward(cache, g):
    shape, labels, dtype = cache
    d = np.zeros(shape, dtype)
    d[np.arange(len(labels)), labels] = -g / len(labels)
    return (d,)


def poisson_nll(log_rate, counts):
    rate = np.exp(log_rate)
    return np.mean(rate - counts * log_rate), (rate, counts)


def poisson_nll_backward(cache, g):
    rate, counts = cache
    return ((g * (rate - counts) / rate.size).astype(rate.dtype),)


def info_nce(a, b, tau):
    logits = a @ b.T / tau
    logits = logits - logits.max(axis=1, keepdims=True)
    p = np.exp(logits)
    p /= p.sum(axis=1, keepdims=True)
    return -np.mean(np.log(np.diag(p))), (a, b, p, tau)


def info_nce_backward(cache, g):
    a, b, p, tau = cache
    d = g * (p - np.eye(len(p), dtype=p.dtype)) / (len(p) * tau)
    return d @ b, d.T @ a


def batch_norm(x, gamma, beta, eps):
    mu = x.mean(axis=0)
    xc = x - mu
    std = np.sqrt(np.mean(xc**2, axis=0) + eps)
    xn = xc / std
    return gamma * xn + beta, (xc, xn, std, gamma)


def batch_norm_backward(cache, g):
    xc, xn, std, gamma = cache
    n = len(xc)
    dbeta = g.sum(axis=0)
    dgamma = np.sum(xn * g, axis=0)
    dxn = gamma * g
    dxc = dxn / std
    dstd = -np.sum(dxn * xc / std**2, axis=0)
    dxc += (1 / n) * xc * dstd / std
    dx = dxc - np.sum(dxc, axis=0) / n
    return dx, dgamma, dbeta


def batch_norm_inference(x, gamma, beta, mean, var):
    inverse_std = 1 / np.sqrt(var + 1e-5)
    return gamma * (x - mean) * inverse_std + beta, (x, gamma, mean, inverse_std)


def batch_norm_inference_backward(cache, g):
    x, gamma, mean, inverse_std = cache
    dx = g * gamma * inverse_std
    dgamma = (g * (x - mean) * inverse_std).sum(axis=0)
    return dx.astype(x.dtype), dgamma.astype(x.dtype), g.sum(axis=0).astype(x.dtype)


def linear_batch_norm(x, W, b, gamma, beta):
    h, linear_cache = linear(x, W, b)
    y, norm_cache = batch_norm(h, gamma, beta, 1e-5)
    return y, (linear_cache, norm_cache)


def linear_batch_norm_backward(cache, g):
    linear_cache, norm_cache = cache
    dh, dgamma, dbeta = batch_norm_backward(norm_cache, g)
    return (*linear_backward(linear_cache, dh), dgamma, dbeta)


def layer_norm(x, gamma, beta):
    inverse_std = 1 / np.sqrt(x.var(axis=-1, keepdims=True) + 1e-5)
    xhat = (x - x.mean(axis=-1, keepdims=True)) * inverse_std
    return gamma * xhat + beta, (xhat, inverse_std, gamma)


def layer_norm_backward(cache, g):
    xhat, inverse_std, gamma = cache
    d = g * gamma
    dx = inverse_std * (d - d.mean(axis=-1, keepdims=True) - xhat * (d * xhat).mean(axis=-1, keepdims=True))
    return dx, (g * xhat).sum(axis=0), g.sum(axis=0)


def rms_norm(x, weight):
    r = 1 / np.sqrt(np.mean(x**2, axis=-1, keepdims=True) + 1e-6)
    return x * r * weight, (x, r, weight)


def rms_norm_backward(cache, g):
    x, r, weight = cache
    d = g * weight
    dx = r * d - x * r**3 * np.mean(d * x, axis=-1, keepdims=True)
    return dx, np.sum(g * x * r, axis=0)


def group_norm(x, gamma, beta, groups):
    grouped = x.reshape(len(x), groups, -1)
    inverse_std = 1 / np.sqrt(grouped.var(axis=2, keepdims=True) + 1e-5)
    xhat = (grouped - grouped.mean(axis=2, keepdims=True)) * inverse_std
    y = gamma[:, None] * xhat.reshape(x.shape) + beta[:, None]
    return y, (xhat, inverse_std, gamma)


def group_norm_backward(cache, g):
    xhat, inverse_std, gamma = cache
    dgamma = (g * xhat.reshape(g.shape)).sum(axis=(0, 2))
    dbeta = g.sum(axis=(0, 2))
    d = (g * gamma[:, None]).reshape(xhat.shape)
    dx = d - d.mean(axis=2, keepdims=True) - xhat * (d * xhat).mean(axis=2, keepdims=True)
    return (dx * inverse_std).reshape(g.shape), dgamma, dbeta


def dropout(x, mask, p):
    return x * mask / (1 - p), (mask, p)


def dropout_backward(cache, g):
    mask, p = cache
    return (g * mask / (1 - p),)


def seeded_dropout(x, p, seed):
    keep = np.random.default_rng(seed).random(x.shape) >= p
    return np.where(keep, x / (1 - p), 0), (keep, p)


def seeded_dropout_backward(cache, g):
    keep, p = cache
    return (np.where(keep, g / (1 - p), 0),)


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


def rnn(xs, h0, Wx, Wh, b):
    hs = [h0]
    for x in xs:
        hs.append(np.tanh(x @ Wx + hs[-1] @ Wh + b))
    return np.stack(hs[1:]), (xs, hs, Wx, Wh, b)


def rnn_backward(cache, g):
    xs, hs, Wx, Wh, b = cache
    dxs, dWx, dWh, db = np.zeros_like(xs), np.zeros_like(Wx), np.zeros_like(Wh), np.zeros_like(b)
    dh = np.zeros_like(hs[0])
    for t in reversed(range(len(xs))):
        dz = (g[t] + dh) * (1 - hs[t + 1] ** 2)
        dxs[t] = dz @ Wx.T
        dWx += xs[t].T @ dz
        dWh += hs[t].T @ dz
        db += dz.sum(axis=0)
        dh = dz @ Wh.T
    return dxs, dh, dWx, dWh, db


def lstm_cell(x, h, c, Wx, Wh, b):
    z = x @ Wx + h @ Wh + b
    i, f, o, u = np.split(z, 4, axis=1)
    i, f, o = (1 / (1 + np.exp(-v)) for v in (i, f, o))
    u = np.tanh(u)
    c_next = f * c + i * u
    t = np.tanh(c_next)
    return (o * t, c_next), (x, h, c, Wx, Wh, i, f, o, u, t)


def lstm_cell_backward(cache, g):
    x, h, c, Wx, Wh, i, f, o, u, t = cache
    dh_next, dc_next = g
    dc = dc_next + dh_next * o * (1 - t**2)
    dz = np.hstack(
        [
            dc * u * i * (1 - i),
            dc * c * f * (1 - f),
            dh_next * t * o * (1 - o),
            dc * i * (1 - u**2),
        ]
    )
    return dz @ Wx.T, dz @ Wh.T, dc * f, x.T @ dz, h.T @ dz, dz.sum(axis=0)


def gru_cell(x, h, Wx, Wh):
    n = h.shape[1]
    a, b = x @ Wx, h @ Wh
    gates = 1 / (1 + np.exp(-(a[:, : 2 * n] + b[:, : 2 * n])))
    z, r = gates[:, :n], gates[:, n:]
    u = np.tanh(a[:, 2 * n :] + r * b[:, 2 * n :])
    return (1 - z) * h + z * u, (x, h, Wx, Wh, z, r, u, b[:, 2 * n :])


def gru_cell_backward(cache, g):
    x, h, Wx, Wh, z, r, u, bu = cache
    du = g * z * (1 - u**2)
    dz = g * (u - h) * z * (1 - z)
    dr = du * bu * r * (1 - r)
    da = np.concatenate([dz, dr, du], axis=1)
    db = np.concatenate([dz, dr, du * r], axis=1)
    return da @ Wx.T, g * (1 - z) + db @ Wh.T, x.T @ da, h.T @ db


def attention(q, k, v):
    scale = 1 / math.sqrt(q.shape[-1])
    p, _ = softmax(q @ k.T * scale)
    return p @ v, (q, k, v, p, scale)


def attention_backward(cache, g):
    q, k, v, p, scale = cache
    (ds,) = softmax_backward((p, -1), g @ v.T)
    ds *= scale
    return ds @ k, ds.T @ q, p.T @ g


def causal_attention(q, k, v):
    d = q.shape[-1]
    scores = q @ np.swapaxes(k, -1, -2) / math.sqrt(d)
    future = np.triu(np.ones(scores.shape[-2:], dtype=bool), 1)
    scores = np.where(future, -1e9, scores)
    w = np.exp(scores - scores.max(axis=-1, keepdims=True))
    w /= w.sum(axis=-1, keepdims=True)
    return w @ v, {"q": q, "k": k, "v": v, "w": w}


def causal_attention_backward(cache, g):
    q, k, v, w = cache["q"], cache["k"], cache["v"], cache["w"]
    dw = g @ v.swapaxes(-1, -2)
    ds = w * (dw - np.sum(dw * w, axis=-1, keepdims=True)) / math.sqrt(q.shape[-1])
    return ds @ k, ds.swapaxes(-1, -2) @ q, w.swapaxes(-1, -2) @ g


def attention_scores_with_biases(x, Wq, bq, Wk, bk):
    q, k = x @ Wq + bq, x @ Wk + bk
    p, cache = softmax(q @ k.T)
    return p, (x, Wq, Wk, q, k, cache)


def attention_scores_with_biases_backward(cache, g):
    x, Wq, Wk, q, k, softmax_cache = cache
    (ds,) = softmax_backward(softmax_cache, g)
    dq, dk = ds @ k, ds.T @ q
    return dq @ Wq.T + dk @ Wk.T, x.T @ dq, dq.sum(axis=0), x.T @ dk, dk.sum(axis=0)


def rotary(x, base=10000.0):
    length, d = x.shape
    angles = np.outer(np.arange(length), base ** (-np.arange(0, d, 2) / d))
    cos, sin = np.cos(angles).astype(x.dtype), np.sin(angles).astype(x.dtype)
    y = np.empty(x.shape, x.dtype)
    y[:, 0::2] = x[:, 0::2] * cos - x[:, 1::2] * sin
    y[:, 1::2] = x[:, 0::2] * sin + x[:, 1::2] * cos
    return y, (cos, sin)


def rotary_backward(cache, g):
    cos, sin = cache
    dx = np.empty(g.shape, g.dtype)
    dx[:, 0::2] = g[:, 0::2] * cos + g[:, 1::2] * sin
    dx[:, 1::2] = g[:, 1::2] * cos - g[:, 0::2] * sin
    return (dx,)


DATA = np.random.default_rng([SEED, 1])
X = DATA.standard_normal((8, 3))
T = X @ np.array([1.0, -2.0, 0.5]) + 0.1 * DATA.standard_normal(8)
CLASSES = np.array([0, 1, 1, 0, 1, 0, 0, 1])


def least_squares(w):
    r = X @ w - T
    return 0.5 * np.mean(r**2), (r, w.dtype)


def least_squares_backward(cache, g):
    r, dtype = cache
    return ((g * X.T @ r / len(T)).astype(dtype),)


def make_ridge(features, targets, penalty):
    def loss(w):
        A, t = features.astype(w.dtype), targets.astype(w.dtype)
        return np.sum((A @ w - t) ** 2) + penalty * w @ w, w

    def gradient(w, g):
        A, t = features.astype(w.dtype), targets.astype(w.dtype)
        return (g * (2 * A.T @ (A @ w - t) + 2 * penalty * w),)

    return loss, gradient


def make_logistic_regression(features, labels):
    def loss(w, b):
        p = 1 / (1 + np.exp(-(features @ w + b)))
        return -np.mean(np.where(labels == 1, np.log(p), np.log(1 - p))), (p, w.dtype)

    def gradient(cache, g):
        p, dtype = cache
        d = g * (p - labels) / len(labels)
        return (features.T @ d).astype(dtype), d.sum(keepdims=True).astype(dtype)

    return loss, gradient


def make_network(features, labels):
    def loss(W1, b1, W2, b2):
        A = features.astype(W1.dtype)
        h = np.tanh(A @ W1 + b1)
        value, cache = cross_entropy(h @ W2 + b2, labels)
        return value, (A, h, W2, cache)

    def gradients(cache, g):
        A, h, W2, inner = cache
        (d2,) = cross_entropy_backward(inner, g)
        d1 = d2 @ W2.T * (1 - h**2)
        return A.T @ d1, d1.sum(axis=0), h.T @ d2, d2.sum(axis=0, keepdims=True)

    return loss, gradients


def lasso(w, penalty):
    r = X @ w - T
    return 0.5 * r @ r + penalty * np.abs(w).sum(), (r, w, penalty)


def lasso_backward(cache, g):
    r, w, penalty = cache
    return ((g * (X.T @ r + penalty * np.sign(w))).astype(w.dtype),)


def gaussian_log_likelihood(mu, log_sigma):
    z = (T - mu) / np.exp(log_sigma)
    return np.sum(-0.5 * z**2 - log_sigma - 0.5 * math.log(2 * math.pi)), (z, mu, log_sigma)


def gaussian_log_likelihood_backward(cache, g):
    z, mu, log_sigma = cache
    dmu = g * np.sum(z / np.exp(log_sigma), keepdims=True)
    dlog_sigma = g * np.sum(z**2 - 1, keepdims=True)
    return dmu.astype(mu.dtype), dlog_sigma.astype(log_sigma.dtype)


def euler_pendulum(state):
    dt, states = 0.05, [state]
    for _ in range(20):
        angle, speed = states[-1]
        states.append(np.array([angle + dt * speed, speed - dt * np.sin(angle)]))
    return states[-1], (states, dt)


def euler_pendulum_backward(cache, g):
    states, dt = cache
    for angle, _ in reversed(states[:-1]):
        g = np.array([g[0] - dt * np.cos(angle) * g[1], g[1] + dt * g[0]])
    return (g,)


def rosenbrock(x):
    return np.sum(100 * (x[1:] - x[:-1] ** 2) ** 2 + (1 - x[:-1]) ** 2), x


def rosenbrock_backward(x, g):
    d = np.zeros_like(x)
    d[:-1] = -400 * x[:-1] * (x[1:] - x[:-1] ** 2) - 2 * (1 - x[:-1])
    d[1:] += 200 * (x[1:] - x[:-1] ** 2)
    return (g * d,)


def quadratic_form(x, A):
    return x @ A @ x, (x, A)


def quadratic_form_backward(cache, g):
    x, A = cache
    return g * ((A + A.T) @ x), g * np.outer(x, x)


def rastrigin(x):
    return 10 * x.size + np.sum(x**2 - 10 * np.cos(2 * np.pi * x)), x


def rastrigin_backward(x, g):
    return (g * (2 * x + 20 * np.pi * np.sin(2 * np.pi * x)),)


def himmelblau(p):
    x, y = p
    a, b = x**2 + y - 11, x + y**2 - 7
    return a**2 + b**2, (p, a, b)


def himmelblau_backward(cache, g):
    (x, y), a, b = cache
    return (g * np.array([4 * a * x + 2 * b, 2 * a + 4 * b * y]),)


def barrier(x):
    slack = 4 - X @ x
    return -np.log(slack).sum(), (slack, x.dtype)


def barrier_backward(cache, g):
    slack, dtype = cache
    return ((g * (X.T @ (1 / slack))).astype(dtype),)


def entropy_of_softmax(x):
    p, _ = softmax(x)
    return -np.sum(p * np.log(p + 1e-7)), p


def entropy_of_softmax_backward(p, g):
    dp = -g * (np.log(p + 1e-7) + p / (p + 1e-7))
    return softmax_backward((p, -1), dp)


def step_count(x):
    return np.floor(x), None


def step_count_backward(_, g):
    return (np.zeros_like(g),)


def sum_of_softmax(x):
    p, _ = softmax(x)
    return p.sum(axis=-1), p


def sum_of_softmax_backward(p, g):
    return softmax_backward((p, -1), np.ones_like(p) * g[:, None])


def faint_sine(x):
    return 1e-12 * np.sin(x), x


def faint_sine_backward(x, g):
    return (1e-12 * np.cos(x) * g,)


def loud_square(x):
    return 1e12 * x**2, x


def loud_square_backward(x, g):
    return (2e12 * x * g,)


def offset_sine(x):
    return 1e8 + np.sin(x).sum(), x


def offset_sine_backward(x, g):
    return (g * np.cos(x),)


def columns_in_units(x, units):
    y = x / units
    return np.tanh(y), (y, units, x.dtype)


def columns_in_units_backward(cache, g):
    y, units, dtype = cache
    return ((g * (1 - np.tanh(y) ** 2) / units).astype(dtype),)


SINGLE = np.float32

RIGHT: tuple[Right, ...] = (
    right("add", add, add_backward, normal(3, 4), normal(3, 4)),
    right("add, broadcast", broadcast_add, broadcast_add_backward, normal(2, 3, 4), normal(3, 1)),
    right(
        "subtract, broadcast",
        lambda a, b: (a - b, (a.shape, b.shape)),
        broadcast_subtract_backward,
        normal(1, 4),
        normal(3, 1),
    ),
    right("multiply", multiply, multiply_backward, normal(3, 4), normal(3, 4)),
    right("multiply, broadcast", multiply, broadcast_multiply_backward, normal(4), normal(2, 3, 4)),
    right("multiply by a 0-d array", multiply, broadcast_multiply_backward, normal(3, 4), fixed(1.7)),
    right("divide", divide, divide_backward, normal(3, 4), uniform(0.5, 2, 3, 4)),
    right("divide, broadcast", divide, broadcast_divide_backward, normal(3, 4), uniform(-2, -0.5, 3, 1)),
    right("negate", lambda x: (-x, None), lambda _, g: (-g,), normal(5)),
    right("scale and shift", lambda x: (3 * x + 2, None), lambda _, g: (3 * g,), normal(2, 3)),
    right("identity", lambda x: (x.copy(), None), lambda _, g: (g.copy(),), normal(4)),
    right("bias row", bias_row, bias_row_backward, normal(4, 3), normal(1, 3)),
    right("linear", linear, linear_backward, normal(4, 3), normal(3, 5), normal(5)),
    right("linear, one sample", linear, linear_backward, normal(1, 3), normal(3, 2), normal(2)),
    right("temperature", temperature, temperature_backward, normal(3, 4), fixed(0.7)),
    right("square", *elementwise(np.square, lambda x: 2 * x), normal(3, 4)),
    right("cube", *elementwise(lambda x: x**3, lambda x: 3 * x**2), normal(6)),
    right("power 1.7", power, power_backward, uniform(0.3, 3, 3, 4), p=1.7),
    right("power -2", power, power_backward, apart(6), p=-2),
    right("power of both", power_of_both, power_of_both_backward, uniform(0.4, 3, 2, 3), normal(2, 3)),
    right("sqrt", sqrt, sqrt_backward, uniform(0.3, 4, 7)),
    right("reciprocal", reciprocal, reciprocal_backward, apart(2, 4)),
    right("cbrt", cbrt, cbrt_backward, apart(6)),
    right("exp", exp, exp_backward, normal(3, 4)),
    right("log", log, log_backward, uniform(0.2, 5, 3, 4)),
    right("log with + 1e-7", guarded_log, guarded_log_backward, uniform(0.2, 1, 6)),
    right("log1p", *elementwise(np.log1p, lambda x: 1 / (1 + x)), uniform(-0.5, 2, 6)),
    right("expm1", expm1, lambda y, g: (g * (y + 1),), normal(6)),
    right("exp2", *elementwise(np.exp2, lambda x: math.log(2) * 2**x), normal(6)),
    right("log10", *elementwise(np.log10, lambda x: 1 / (x * math.log(10))), uniform(0.2, 5, 6)),
    right("sin", *elementwise(np.sin, np.cos), normal(3, 4)),
    right("cos", *elementwise(np.cos, lambda x: -np.sin(x)), normal(3, 4)),
    right("tan", tan, tan_backward, uniform(-1, 1, 6)),
    right("arcsin", *elementwise(np.arcsin, lambda x: 1 / np.sqrt(1 - x**2)), uniform(-0.8, 0.8, 6)),
    right("arccos", *elementwise(np.arccos, lambda x: -1 / np.sqrt(1 - x**2)), uniform(-0.8, 0.8, 6)),
    right("arctan", *elementwise(np.arctan, lambda x: 1 / (1 + x**2)), normal(6)),
    right("arctan2", arctan2, arctan2_backward, apart(6), apart(6)),
    right("hypot", hypot, hypot_backward, apart(5), apart(5)),
    right("polar to cartesian", polar, polar_backward, uniform(0.5, 2, 4), normal(4)),
    right("sinh", *elementwise(np.sinh, np.cosh), normal(6)),
    right("cosh", *elementwise(np.cosh, np.sinh), normal(6)),
    right("arcsinh", *elementwise(np.arcsinh, lambda x: 1 / np.sqrt(x**2 + 1)), normal(6)),
    right("arccosh", *elementwise(np.arccosh, lambda x: 1 / np.sqrt(x**2 - 1)), uniform(1.3, 4, 6)),
    right("arctanh", *elementwise(np.arctanh, lambda x: 1 / (1 - x**2)), uniform(-0.8, 0.8, 6)),
    right("abs", absolute, absolute_backward, apart(3, 4)),
    right("abs at zero", absolute, absolute_backward, fixed([0.0, 1.5, -0.5, 0.0])),
    right("maximum", maximum, maximum_backward, apart(3, 4), normal(3, 4, scale=0.01)),
    right("maximum, ties", maximum, maximum_backward, fixed([1.0, 2.0, -1.0]), fixed([1.0, 0.5, -1.0])),
    right("minimum", minimum, minimum_backward, apart(3, 4), normal(3, 4, scale=0.01)),
    right("minimum, ties", minimum, minimum_backward, fixed([1.0, 2.0, 0.0]), fixed([1.0, 0.5, 0.0])),
    right("clip", clip, clip_backward, apart(3, 4), low=-1, high=0.5),
    right("clip at its limits", clip, clip_backward, fixed([-1.0, 0.2, 0.5, 3.0]), low=-1, high=0.5),
    right(
        "where",
        where,
        where_backward,
        normal(2, 3),
        normal(2, 3),
        condition=np.array([[True, False, True], [False, False, True]]),
    ),
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
    right("sort", sort, sort_backward, apart(3, 4), axis=0),
    right("sort, ties", sort, sort_backward, fixed([2.0, 1.0, 2.0, 1.0, 0.0]), axis=0),
    right("top k", top_k, top_k_backward, apart(7), k=3),
    right("flip", flip, flip_backward, normal(3, 4)),
    right("transpose", transpose, transpose_backward, normal(2, 3, 4), axes=(2, 0, 1)),
    right("flatten", flatten, flatten_backward, normal(2, 3, 4)),
    right("concatenate", concatenate, concatenate_backward, normal(2, 3), normal(2, 1), normal(2, 2), axis=1),
    right("stack", stack, stack_backward, normal(4), normal(4)),
    right("split", split, split_backward, normal(3, 6), at=[2, 5]),
    right("pad", pad, pad_backward, normal(3, 4), width=1),
    right("tile", tile, tile_backward, normal(4), times=3),
    right("difference", difference, difference_backward, normal(6)),
    right("roll", roll, roll_backward, normal(6), shift=2),
    right("embedding", embedding, embedding_backward, normal(5, 3), ids=np.array([[4, 0], [4, 2]])),
    right("pick a column per row", pick, pick_backward, normal(4, 3), ids=np.array([2, 0, 0, 1])),
    right(
        "scatter add", scatter_add, scatter_add_backward, normal(4, 2), normal(3, 2), ids=np.array([1, 3, 1])
    ),
    right("matmul", matmul, batched_matmul_backward, normal(3, 4), normal(4, 2)),
    right("batched matmul", matmul, batched_matmul_backward, normal(2, 3, 4), normal(2, 4, 2)),
    right("matmul, shared weight", matmul, shared_weight_matmul_backward, normal(2, 3, 4), normal(4, 2)),
    right("dot", dot, multiply_backward, normal(6), normal(6)),
    right("outer", outer, outer_backward, normal(3), normal(4)),
    right("bilinear", bilinear, bilinear_backward, normal(3, 2), normal(2, 2, 4), normal(3, 4)),
    right("einsum", einsum_chain, einsum_chain_backward, normal(2, 3), normal(3, 4), normal(4, 2)),
    right("inverse", inverse, inverse_backward, spd(3)),
    right("det", det, det_backward, normal(3, 3)),
    right("slogdet", slogdet, slogdet_backward, spd(3)),
    right("solve", solve, solve_backward, spd(4), normal(4)),
    right("trace", trace, trace_backward, normal(4, 4)),
    right("lower triangle", lower_triangle, lower_triangle_backward, normal(4, 4), k=-1),
    right("diagonal", diagonal, diagonal_backward, normal(4, 4)),
    right("cholesky", cholesky, cholesky_backward, spd(3)),
    right("eigenvalues", eigenvalues, eigenvalues_backward, normal(4, 4)),
    right("sigmoid", sigmoid, sigmoid_backward, normal(3, 4)),
    right("sigmoid, saturated", sigmoid, sigmoid_backward, fixed([-25.0, -14.0, 13.0, 18.0])),
    right("tanh", tanh, tanh_backward, normal(3, 4)),
    right("tanh, saturated", tanh, tanh_backward, fixed([-9.0, 6.0, 8.0, 9.5])),
    right("relu", relu.forward, relu.backward, apart(3, 4)),
    right("relu at zero", relu.forward, relu.backward, fixed([0.0, -1.0, 2.0, 0.0, -0.0])),
    right("relu near zero", relu.forward, relu.backward, fixed([1e-9, -1e-9, 3e-12, -2e-15, 1e-5])),
    right("relu, dead", relu.forward, relu.backward, fixed([-1.0, -2.0, -0.5])),
    right("leaky relu", leaky_relu, leaky_relu_backward, apart(3, 4)),
    right("leaky relu at zero", partial(leaky_relu, alpha=0.2), leaky_relu_backward, fixed([0.0, 1.0, -1.0])),
    right("prelu", prelu, prelu_backward, apart(3, 4), uniform(0.1, 0.5, 4)),
    right("elu", elu, elu_backward, apart(3, 4), alpha=1.0),
    right("selu", selu, selu_backward, apart(3, 4)),
    right("selu at zero", selu, selu_backward, fixed([0.0, 1.0, -1.0])),
    right("gelu", gelu, gelu_backward, normal(3, 4)),
    right("gelu by tanh", tanh_gelu, tanh_gelu_backward, normal(3, 4)),
    right("softplus", softplus, softplus_backward, normal(6)),
    right(
        "softplus, stable", stable_softplus, stable_softplus_backward, fixed([-30.0, -1.0, 0.0, 2.0, 800.0])
    ),
    right("swish", swish, swish_backward, normal(3, 4), fixed(1.3)),
    right("mish", mish, mish_backward, normal(6)),
    right("hardtanh", hardtanh, hardtanh_backward, apart(3, 4)),
    right("hardtanh at its corners", hardtanh, hardtanh_backward, fixed([-1.0, 1.0, 0.3, 2.0])),
    right("hard sigmoid", hard_sigmoid, hard_sigmoid_backward, apart(6, reach=4.0)),
    right("softsign", softsign, softsign_backward, apart(6)),
    right("softsign at zero", softsign, softsign_backward, fixed([0.0, 0.5, -2.0])),
    right("softmax, naive", naive_softmax, naive_softmax_backward, normal(5)),
    right("softmax", softmax, softmax_backward, normal(3, 4), axis=0),
    right("softmax, large logits", softmax, softmax_backward, normal(2, 4, scale=10)),
    right("log softmax", log_softmax, log_softmax_backward, normal(3, 4)),
    right("glu", glu, glu_backward, normal(3, 4)),
    right("maxout", maxout, maxout_backward, apart(3, 6), pieces=3),
    right("mse", mse, mse_backward, normal(3, 4), normal(3, 4)),
    right("mae", mae, mae_backward, apart(6), normal(6, scale=0.01)),
    right(
        "huber",
        huber,
        huber_backward,
        fixed([0.1, 0.7, -2.0, 1.0]),
        delta=1.0,
        target=np.array([0, 0, 0, -2]),
    ),
    right(
        "huber at its corners",
        huber,
        huber_backward,
        fixed([1.0, -1.0, 0.0, 0.5]),
        delta=1.0,
        target=np.zeros(4),
    ),
    right("hinge", hinge, hinge_backward, apart(6), y=np.array([1, -1, 1, 1, -1, -1])),
    right("hinge at the margin", hinge, hinge_backward, fixed([1.0, -1.0, 0.0]), y=np.array([1, -1, 1])),
    right(
        "multiclass hinge",
        multiclass_hinge,
        multiclass_hinge_backward,
        apart(3, 4),
        labels=np.array([3, 0, 2]),
    ),
    right("pinball", pinball, pinball_backward, normal(4), tau=0.9, target=np.array([4, -4, 3, -5])),
    right(
        "binary cross entropy",
        binary_cross_entropy,
        binary_cross_entropy_backward,
        uniform(0.1, 0.9, 6),
        t=np.array([1, 0, 0, 1, 1, 0]),
    ),
    right(
        "binary cross entropy of logits",
        bce_with_logits,
        bce_with_logits_backward,
        fixed([0.0, 2.0, -3.0, 0.0, 40.0]),
        t=np.array([1, 0, 0, 0, 1]),
    ),
    right(
        "cross entropy", cross_entropy, cross_entropy_backward, normal(4, 3), labels=np.array([2, 0, 1, 1])
    ),
    right(
        "cross entropy, one hot",
        one_hot_cross_entropy,
        one_hot_cross_entropy_backward,
        probabilities(3, 4),
        t=np.array([1, 0, 3])[:, None] == np.arange(4),
    ),
    right("kl divergence", kl_divergence, kl_divergence_backward, probabilities(2, 4), probabilities(2, 4)),
    right("gaussian kl", gaussian_kl, gaussian_kl_backward, normal(2, 3), normal(2, 3)),
    right("cosine loss", cosine_loss, cosine_loss_backward, apart(3, 4), apart(3, 4)),
    right("triplet", triplet, triplet_backward, normal(4, 3), normal(4, 3), normal(4, 3), margin=1.0),
    right("nll", nll, nll_backward, normal(4, 3), labels=np.array([0, 2, 2, 1])),
    right("poisson nll", poisson_nll, poisson_nll_backward, normal(5), counts=np.array([0, 3, 1, 7, 2])),
    right("info nce", info_nce, info_nce_backward, normal(3, 4), normal(3, 4), tau=0.5),
    right("batch norm", batch_norm, batch_norm_backward, normal(5, 3), normal(3), normal(3), eps=1e-5),
    right(
        "batch norm, inference",
        batch_norm_inference,
        batch_norm_inference_backward,
        normal(4, 3),
        normal(3),
        normal(3),
        mean=np.array([0.1, -0.2, 0.3]),
        var=np.array([0.5, 1.0, 2.0]),
    ),
    right(
        "batch norm behind a bias",
        linear_batch_norm,
        linear_batch_norm_backward,
        normal(6, 3),
        normal(3, 2),
        normal(2),
        normal(2),
        normal(2),
    ),
    right("layer norm", layer_norm, layer_norm_backward, normal(3, 5), normal(5), normal(5)),
    right("rms norm", rms_norm, rms_norm_backward, normal(3, 5), normal(5)),
    right("group norm", group_norm, group_norm_backward, normal(2, 4, 3), normal(4), normal(4), groups=2),
    right(
        "dropout", dropout, dropout_backward, normal(6), mask=np.array([1, 0, 1, 1, 0, 1], dtype=bool), p=0.3
    ),
    right("dropout by a seed", seeded_dropout, seeded_dropout_backward, normal(3, 4), p=0.5, seed=7),
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
    right("rnn", rnn, rnn_backward, normal(4, 2, 3), normal(2, 2), normal(3, 2), normal(2, 2), normal(2)),
    right(
        "lstm cell",
        lstm_cell,
        lstm_cell_backward,
        normal(2, 3),
        normal(2, 2),
        normal(2, 2),
        normal(3, 8),
        normal(2, 8),
        normal(8),
    ),
    right("gru cell", gru_cell, gru_cell_backward, normal(3, 2), normal(3, 2), normal(2, 6), normal(2, 6)),
    right("attention", attention, attention_backward, normal(3, 4), normal(5, 4), normal(5, 2)),
    right(
        "causal attention",
        causal_attention,
        causal_attention_backward,
        normal(2, 3, 4),
        normal(2, 3, 4),
        normal(2, 3, 2),
    ),
    right(
        "attention scores with biases",
        attention_scores_with_biases,
        attention_scores_with_biases_backward,
        normal(4, 3),
        normal(3, 2),
        normal(2),
        normal(3, 2),
        normal(2),
    ),
    right("rotary embedding", rotary, rotary_backward, normal(5, 6)),
    right("least squares, closed over data", least_squares, least_squares_backward, normal(3)),
    right("ridge, closed over data", *make_ridge(X, T, 0.1), normal(3)),
    right("logistic regression", *make_logistic_regression(X, CLASSES), normal(3), normal(1)),
    right("network", *make_network(X, CLASSES), normal(3, 4), normal(4), normal(4, 2), normal(1, 2)),
    right("lasso at a zero weight", lasso, lasso_backward, fixed([0.0, -1.5, 0.0]), penalty=0.3),
    right(
        "gaussian likelihood", gaussian_log_likelihood, gaussian_log_likelihood_backward, normal(1), normal(1)
    ),
    right("pendulum by Euler", euler_pendulum, euler_pendulum_backward, fixed([1.2, -0.3])),
    right("rosenbrock", rosenbrock, rosenbrock_backward, normal(5)),
    right("rosenbrock at its minimum", rosenbrock, rosenbrock_backward, fixed([1.0, 1.0, 1.0])),
    right("quadratic form", quadratic_form, quadratic_form_backward, normal(4), normal(4, 4)),
    right("rastrigin", rastrigin, rastrigin_backward, normal(5)),
    right("himmelblau", himmelblau, himmelblau_backward, fixed([1.0, -2.0])),
    right("barrier", barrier, barrier_backward, normal(3, scale=0.3)),
    right("entropy of a softmax", entropy_of_softmax, entropy_of_softmax_backward, normal(5)),
    right("floor", step_count, step_count_backward, fixed([0.3, -1.6, 2.5])),
    right("sum of a softmax", sum_of_softmax, sum_of_softmax_backward, normal(3, 4)),
    right("gradients of 1e-12", faint_sine, faint_sine_backward, normal(6)),
    right("gradients of 1e12", loud_square, loud_square_backward, normal(6)),
    right("a large offset", offset_sine, offset_sine_backward, normal(6)),
    right("log of 1e-6", log, log_backward, uniform(1e-6, 5e-6, 5)),
    right("log with + 1e-7 of 1e-6", guarded_log, guarded_log_backward, uniform(1e-6, 5e-6, 5)),
    right("reciprocal of 1e-6", reciprocal, reciprocal_backward, uniform(1e-6, 5e-6, 5)),
    right("cube of 1e-6", *elementwise(lambda x: x**3, lambda x: 3 * x**2), uniform(1e-6, 5e-6, 5)),
    right("square of 1e6", power, power_backward, uniform(1e6, 5e6, 5), p=2),
    right("sqrt of 1e6", sqrt, sqrt_backward, uniform(1e6, 5e6, 5)),
    right("mse of 1e6", mse, mse_backward, uniform(1e6, 2e6, 5), uniform(3e6, 4e6, 5)),
    right(
        "matmul of 1e-6 and 1e6",
        matmul,
        batched_matmul_backward,
        normal(3, 4, scale=1e-6),
        normal(4, 2, scale=1e6),
    ),
    right(
        "product of 1e-12 and 1e12",
        multiply,
        multiply_backward,
        normal(5, scale=1e-12),
        normal(5, scale=1e12),
    ),
    right(
        "columns in their own units",
        columns_in_units,
        columns_in_units_backward,
        fixed([[0.5e-6, 0.3, 1.2e6], [-0.7e-6, 1.1, 0.4e6]]),
        units=np.array([1e-6, 1.0, 1e6]),
    ),
    right("exp from -25 to 25", exp, exp_backward, fixed([-25.0, -10.0, 0.5, 12.0, 25.0])),
    right("linear, single", linear, linear_backward, normal(4, 3), normal(3, 5), normal(5), dtype=SINGLE),
    right("sigmoid, single", sigmoid, sigmoid_backward, normal(3, 4), dtype=SINGLE),
    right("softmax, single", softmax, softmax_backward, normal(3, 4), dtype=SINGLE),
    right("gelu, single", gelu, gelu_backward, normal(3, 4), dtype=SINGLE),
    right(
        "layer norm, single",
        layer_norm,
        layer_norm_backward,
        normal(3, 5),
        normal(5),
        normal(5),
        dtype=SINGLE,
    ),
    right("mse, single", mse, mse_backward, normal(3, 4), normal(3, 4), dtype=SINGLE),
    right(
        "attention, single",
        attention,
        attention_backward,
        normal(3, 4),
        normal(5, 4),
        normal(5, 2),
        dtype=SINGLE,
    ),
    right(
        "cross entropy, single",
        cross_entropy,
        cross_entropy_backward,
        normal(4, 3),
        dtype=SINGLE,
        labels=np.array([2, 0, 1, 1]),
    ),
    right("least squares, single", least_squares, least_squares_backward, normal(3), dtype=SINGLE),
    right("square of 1e6, single", power, power_backward, uniform(1e6, 5e6, 5), dtype=SINGLE, p=2),
)
