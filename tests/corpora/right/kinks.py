"""Kinks and choices: absolute value, maximum, clip, where."""

import numpy as np

from ._entry import apart, fixed, normal, right


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


ENTRIES = [
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
]
