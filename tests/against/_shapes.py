"""Random shapes and axes, and numbers that keep away from where a slope jumps."""

import numpy as np

from ._torch import numbers


def some_shape(rng, least=0, most=4, *, empty=False):
    """Return a shape of `least` to `most` axes; with `empty` now and then one of them has the length 0."""
    lengths = rng.integers(1, 6, rng.integers(least, most + 1)).tolist()
    if empty and lengths and rng.integers(8) == 0:
        lengths[rng.integers(len(lengths))] = 0
    return tuple(lengths)


def broadcastable(rng, shape):
    """Return a shape that fits `shape`: some axes of length 1, and now and then the first ones missing."""
    lengths = [1 if rng.integers(3) == 0 else n for n in shape]
    return tuple(lengths[rng.integers(len(lengths) + 1) if rng.integers(3) == 0 else 0 :])


def some_axis(rng, shape):
    """Return one axis of `shape`, counted from the front or from the back."""
    return int(rng.integers(-len(shape), len(shape)))


def some_axes(rng, shape):
    """Return None, one axis, or a tuple of different ones, some of them counted from the back."""
    kind = rng.integers(3) if shape else 0
    if kind == 0:
        return None
    if kind == 1:
        return some_axis(rng, shape)
    chosen = rng.permutation(len(shape))[: rng.integers(1, len(shape) + 1)]
    return tuple(int(a) - (len(shape) if rng.integers(2) else 0) for a in chosen)


def clear_of(rng, shape, *points):
    """Return numbers of which none is within 0.01 of a point."""
    x = numbers(rng, *shape)
    for point in points:
        x = np.where(np.abs(x - point) < 0.01, point + 0.02, x)
    return x


def with_ties(rng, shape):
    """Return numbers, or half of the time few whole ones, 0 among them, so that some are equal."""
    return numbers(rng, *shape) if rng.integers(2) else rng.integers(-2, 3, shape).astype(float)
