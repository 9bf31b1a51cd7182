"""Mean of each window of an image.

forward:  y_ncij = sum over k, l of x_nc(i s + k - p)(j s + l - p) / count, with x = 0 outside; count is the size of
          the window, or with count_padding=False how much of it lies inside the image
backward: dx += g_ncij / count at each place of the window

Source: the mean of each window; where windows overlap, a pixel adds up what each window brings. The stride is by
default the size.
"""

import math
from collections.abc import Iterator
from typing import Any

import numpy as np

from gradlab.node import Array, Sample
from gradlab.nodes.convolution._windows import Size, add_windows, pooled, windows
from gradlab.sampling import normal


def forward(
    x: Array, *, size: Size, stride: Size | None = None, padding: Size = 0, count_padding: bool = True
) -> tuple[Array, Any]:
    taken = pooled(x, size, stride, padding)
    found = windows(x, *taken)
    inside = windows(np.ones(x.shape[2:], x.dtype), *taken, fill=float(count_padding))
    count = inside.sum(axis=(0, 1))
    return found.sum(axis=(2, 3)) / count, (count, math.prod(taken[0]), (x.dtype, x.shape, *taken))


def backward(residuals: Any, g: Array) -> tuple[Array, ...]:
    count, places, taken = residuals
    return (add_windows([g / count] * places, *taken),)


def reference(
    x: Array, *, size: Any, stride: Any = None, padding: int = 0, count_padding: bool = True
) -> Any:
    height, width = np.broadcast_to(size, 2)
    down, right = np.broadcast_to(size if stride is None else stride, 2)
    outside = 0.0 if count_padding else np.nan
    x = np.pad(x, ((0, 0), (0, 0), (padding, padding), (padding, padding)), constant_values=outside)
    rows = range(0, x.shape[2] - height + 1, down)
    columns = range(0, x.shape[3] - width + 1, right)
    means = [[np.nanmean(x[:, :, i : i + height, j : j + width], axis=(2, 3)) for j in columns] for i in rows]
    return np.moveaxis(np.array(means), (0, 1), (2, 3))


def samples(rng: np.random.Generator) -> Iterator[Sample]:
    yield Sample("2 by 2, apart", (normal(rng, 2, 2, 2, 4),), {"size": 2})
    yield Sample(
        "overlapping, with a remainder", (normal(rng, 1, 2, 4, 4),), {"size": (2, 3), "stride": (1, 2)}
    )
    yield Sample("padding 1, counted", (normal(rng, 1, 1, 3, 4),), {"size": 2, "padding": 1})
    yield Sample(
        "padding 1, not counted",
        (normal(rng, 2, 1, 3, 4),),
        {"size": (2, 3), "stride": 2, "padding": 1, "count_padding": False},
    )
    yield Sample("windows of 1 by 3", (normal(rng, 2, 1, 2, 6),), {"size": (1, 3)})
