"""The axes of a reduction, and how many elements it reduces, as the backwards of all reductions need them."""

import math

import numpy as np

from gradlab.node import Array

Axis = int | tuple[int, ...] | None


def reduced_axes(ndim: int, axis: Axis) -> tuple[int, ...]:
    """Return the reduced axes counted from the front; ``None`` means all of them."""
    if axis is None:
        return tuple(range(ndim))
    return tuple(a % ndim for a in (axis if isinstance(axis, tuple) else (axis,)))


def restore_axes(g: Array, shape: tuple[int, ...], axis: Axis) -> Array:
    """Return `g` with every reduced axis back at size 1, whether or not the reduction kept it."""
    axes = reduced_axes(len(shape), axis)
    return np.reshape(g, tuple(1 if i in axes else size for i, size in enumerate(shape)))


def reduced_count(shape: tuple[int, ...], axis: Axis) -> int:
    """Return how many elements each element of the result is reduced from."""
    return math.prod(shape[a] for a in reduced_axes(len(shape), axis))


def einsum_total(x: Array, axis: Axis, keepdims: bool) -> Array:
    """Return the sum over `axis` by way of `numpy.einsum`, the reference's independent route."""
    axes = reduced_axes(x.ndim, axis)
    letters = "abcdefgh"[: x.ndim]
    kept = "".join(letter for i, letter in enumerate(letters) if i not in axes)
    total = np.einsum(f"{letters}->{kept}", x)
    return np.asarray(np.expand_dims(total, axes) if keepdims else total)
