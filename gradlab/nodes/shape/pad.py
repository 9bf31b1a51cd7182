"""Pad: a border of one value around an array.

forward:  out = x with pad_width elements `value` before and behind it along each axis
backward: dx = the inner part of g, without the border

Source: every inner element of the output is one element of x, and the border is constant.
"""

from collections.abc import Iterator
from typing import Any

import numpy as np

from gradlab.node import Array, Sample
from gradlab.nodes.number_settings import number
from gradlab.sampling import normal


def forward(x: Array, *, pad_width: Any, value: float = 0.0) -> tuple[Array, Any]:
    fill, widths = number(value, "value"), _widths(x, pad_width)
    inner = tuple(slice(before, before + n) for n, (before, _) in zip(x.shape, widths, strict=True))
    lengths = [before + n + behind for n, (before, behind) in zip(x.shape, widths, strict=True)]
    y = np.full(lengths, fill, x.dtype)
    y[inner] = x
    return y, inner


def _widths(x: Array, pad_width: Any) -> list[list[int]]:
    """Return the widths before and behind each axis, from what `numpy.pad` takes."""
    try:
        found = np.asarray(pad_width)
        if np.issubdtype(found.dtype, np.integer) and np.all(found >= 0):
            widths: list[list[int]] = np.broadcast_to(found, (x.ndim, 2)).tolist()
            return widths
    except ValueError:
        pass
    raise ValueError(
        f"pad_width is {pad_width!r} for x of shape {x.shape}: "
        "give a whole number of at least 0, a pair (before, behind), or such a pair for each axis"
    )


def backward(residuals: Any, g: Array) -> tuple[Array, ...]:
    inner = residuals
    return (np.array(g[inner]),)


def reference(x: Array, *, pad_width: Any, value: float = 0.0) -> Any:
    return np.pad(x, pad_width, constant_values=value)


def samples(rng: np.random.Generator) -> Iterator[Sample]:
    yield Sample("one all round", (normal(rng, 2, 3),), {"pad_width": 1})
    yield Sample("a pair, and a value", (normal(rng, 3),), {"pad_width": (0, 2), "value": -1.5})
    yield Sample(
        "each its own", (normal(rng, 1, 2, 2),), {"pad_width": ((0, 0), (2, 1), (0, 1)), "value": 30}
    )
    yield Sample("nothing", (normal(rng, 2, 2),), {"pad_width": 0})
