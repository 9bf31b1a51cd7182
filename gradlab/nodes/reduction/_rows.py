"""What a reduction needs that is no plain sum: its axes checked, and the elements of each result in a row."""

import math

import numpy as np

from gradlab.node import Array
from gradlab.nodes.reduced_axes import Axis

Axes = tuple[int, ...]


def checked_axes(x: Array, axis: Axis, smallest: int = 0) -> Axes:
    """Return the reduced axes counted from the front.

    Raises
    ------
    ValueError
        If `axis` names no axis of `x`, or one twice, or if fewer than `smallest` elements go into a result.
    """
    axes = range(x.ndim) if axis is None else axis if isinstance(axis, tuple) else (axis,)
    whole = all(isinstance(a, int | np.integer) and -x.ndim <= a < x.ndim for a in axes)
    if not whole or len({a % x.ndim for a in axes}) < len(axes):
        raise ValueError(
            f"axis is {axis!r} for x of shape {x.shape}: give None, an axis of x, or a tuple of different ones"
        )
    found = tuple(int(a) % x.ndim for a in axes)
    if math.prod(x.shape[a] for a in found) < smallest:
        raise ValueError(f"x has shape {x.shape}, and nothing along axis {axis!r}: give at least one element")
    return found


def to_rows(x: Array, axes: Axes) -> Array:
    """Return `x` with `axes` behind the others, as one: its last axis holds what goes into one result."""
    kept = [a for a in range(x.ndim) if a not in axes]
    count = math.prod(x.shape[a] for a in axes)
    return x.transpose(*kept, *sorted(axes)).reshape(*(x.shape[a] for a in kept), count)


def from_rows(rows: Array, shape: tuple[int, ...], axes: Axes) -> Array:
    """Return what `to_rows` was given, of the given shape."""
    order = [a for a in range(len(shape)) if a not in axes] + sorted(axes)
    return rows.reshape([shape[a] for a in order]).transpose(np.argsort(order))
