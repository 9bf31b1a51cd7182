"""Wrong in a region of the primal's values, or at its ties and kinks."""

import numpy as np
from numpy.lib.stride_tricks import sliding_window_view

from ._entry import normal, registry
from ._layers import LEAKY_RELU, RELU, like, max_of_rows, max_of_rows_backward, need

ENTRIES, mistake, mistake_with_state = registry()


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
