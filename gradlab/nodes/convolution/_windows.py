"""Sliding windows over trailing axes: taking them out, and adding them back where they came from."""

import math
from collections.abc import Iterable, Sequence
from typing import Any

import numpy as np

from gradlab.node import Array

Size = int | tuple[int, ...]


def per_axis(name: str, value: Size, axes: int, smallest: int) -> tuple[int, ...]:
    """Return a setting as one whole number per axis.

    Raises
    ------
    ValueError
        If there are too many or too few, or one is below `smallest`.
    """
    values = value if isinstance(value, tuple) else (value,) * axes
    whole = all(isinstance(v, int | np.integer) for v in values)
    if len(values) != axes or not whole or min(values) < smallest:
        raise ValueError(
            f"{name} is {value}: give a whole number of at least {smallest}, or a tuple of {axes} such numbers"
        )
    return values


def windows(
    x: Array,
    size: Sequence[int],
    stride: Sequence[int],
    padding: Sequence[int],
    dilation: Sequence[int],
    fill: float = 0.0,
) -> Array:
    """Return every window of the last ``len(size)`` axes of `x`, padded with `fill` on both sides.

    The shape is ``(*leading axes, *size, *number of windows along each axis)``. It may be a view of `x`.

    Raises
    ------
    ValueError
        If not even one window fits.
    """
    axes = range(-len(size), 0)
    spans = [d * (k - 1) + 1 for k, d in zip(size, dilation, strict=True)]
    padded = [x.shape[a] + 2 * p for a, p in zip(axes, padding, strict=True)]
    if any(span > length for span, length in zip(spans, padded, strict=True)):
        raise ValueError(
            f"a window of {tuple(spans)} does not fit into {tuple(padded)}, padding included: "
            "take a smaller window or more padding"
        )
    if any(padding):
        whole = np.full((*x.shape[: axes[0]], *padded), fill, x.dtype)
        whole[_inside(x.shape, padding)] = x
        x = whole
    leading, steps = x.strides[: axes[0]], x.strides[axes[0] :]
    counts = [(n - span) // s + 1 for n, span, s in zip(padded, spans, stride, strict=True)]
    within = [step * d for step, d in zip(steps, dilation, strict=True)]
    between = [step * s for step, s in zip(steps, stride, strict=True)]
    return np.lib.stride_tricks.as_strided(
        x, (*x.shape[: axes[0]], *size, *counts), (*leading, *within, *between), writeable=False
    )


def add_windows(
    parts: Iterable[Array],
    dtype: np.dtype[Any],
    shape: tuple[int, ...],
    size: Sequence[int],
    stride: Sequence[int],
    padding: Sequence[int],
    dilation: Sequence[int],
) -> Array:
    """Return an array of `dtype` and `shape` in which every window lies where `windows` took it from, overlaps added.

    `parts` are, for each place in a window, row by row, what all windows hold there, of shape ``(*leading axes,
    *number of windows along each axis)``. What lies on the padding is dropped. It is the transpose of `windows`, so
    its backward as well.
    """
    padded = [length + 2 * p for length, p in zip(shape[-len(size) :], padding, strict=True)]
    total = np.zeros((*shape[: -len(size)], *padded), dtype)
    for offset, part in zip(np.ndindex(*size), parts, strict=True):
        counts = part.shape[-len(size) :]
        firsts = [d * o for o, d in zip(offset, dilation, strict=True)]
        places: Any = [
            slice(first, first + s * (n - 1) + 1, s)
            for first, s, n in zip(firsts, stride, counts, strict=True)
        ]
        total[(..., *places)] += part
    return total[_inside(shape, padding)]


def _inside(shape: tuple[int, ...], padding: Sequence[int]) -> tuple[slice, ...]:
    leading = [slice(None)] * (len(shape) - len(padding))
    inner = [slice(p, p + n) for n, p in zip(shape[-len(padding) :], padding, strict=True)]
    return (*leading, *inner)


def pooled(
    x: Array, size: Size, stride: Size | None, padding: Size
) -> tuple[tuple[int, ...], tuple[int, ...], tuple[int, ...], tuple[int, ...]]:
    """Return size, stride, padding and dilation of the windows that images are pooled over.

    Raises
    ------
    ValueError
        If `x` holds no images, or a window could lie on padding alone.
    """
    images(x)
    sizes, paddings = per_axis("size", size, 2, 1), per_axis("padding", padding, 2, 0)
    if any(p >= k for k, p in zip(sizes, paddings, strict=True)):
        raise ValueError(f"padding is {padding}, the size of a window {size}: give less padding than that")
    return sizes, per_axis("stride", size if stride is None else stride, 2, 1), paddings, (1, 1)


def channels_and_places(x: Array) -> Array:
    """Return `x` of shape (N, C, ...) with all places of a channel along one axis, (N, C, P).

    Raises
    ------
    ValueError
        If `x` has no channels, or a channel no places.
    """
    if x.ndim < 2 or 0 in x.shape[1:]:
        raise ValueError(f"x has shape {x.shape}: give (N, C, ...), with at least one place a channel")
    return x.reshape(*x.shape[:2], math.prod(x.shape[2:]))


def images(x: Array) -> Array:
    """Return `x`, or raise a `ValueError` where it holds no images of shape (N, C, H, W)."""
    if x.ndim != 4:
        raise ValueError(f"x has {x.ndim} axes: give images of shape (N, C, H, W)")
    return x
