"""Maximum of each window of an image.

forward:  y_ncij = max over k, l of x_nc(i s + k - p)(j s + l - p), over what lies inside the image
backward: dx += g_ncij at the place of that maximum, of several equal ones the first, row by row

Source: the maximum is the identity of its largest element and constant in the others; where windows overlap, a
pixel adds up what each window brings. Deep Learning from Scratch, chapter 7. The stride is by default the size.
"""

import math
from collections.abc import Iterator
from typing import Any

import numpy as np

from gradlab.node import Array, Sample
from gradlab.nodes.convolution._windows import Size, add_windows, pooled, windows
from gradlab.sampling import normal


def forward(x: Array, *, size: Size, stride: Size | None = None, padding: Size = 0) -> tuple[Array, Any]:
    taken = pooled(x, size, stride, padding)
    found = windows(x, *taken, fill=-np.inf)
    y = found[:, :, 0, 0].copy()
    count = math.prod(taken[0])
    first = np.zeros(y.shape, np.min_scalar_type(count))
    for place, (row, column) in enumerate(np.ndindex(taken[0])):
        here = found[:, :, row, column]
        # the latest place at which it grew; a choice by where= would take several times as long
        np.maximum(first, (here > y) * first.dtype.type(place), out=first)
        np.maximum(y, here, out=y)
    return y, (first, count, (x.dtype, x.shape, *taken))


def backward(residuals: Any, g: Array) -> tuple[Array, ...]:
    first, count, taken = residuals
    parts = (g * (first == place) for place in range(count))
    return (add_windows(parts, *taken),)


def reference(x: Array, *, size: Any, stride: Any = None, padding: int = 0) -> Any:
    from scipy.ndimage import maximum_filter

    height, width = np.broadcast_to(size, 2)
    down, right = np.broadcast_to(size if stride is None else stride, 2)
    x = np.pad(x, ((0, 0), (0, 0), (padding, padding), (padding, padding)), constant_values=-np.inf)
    # the filter's window lies around its pixel, and only those inside count
    every = maximum_filter(x, size=(1, 1, height, width), mode="constant", cval=-np.inf)
    top, left = height // 2, width // 2
    rows, columns = x.shape[2] - height + 1, x.shape[3] - width + 1
    return every[:, :, top : top + rows : down, left : left + columns : right]


def samples(rng: np.random.Generator) -> Iterator[Sample]:
    ties = np.array([[1.0, 1.0, 2.0, 2.0], [1.0, 1.0, 0.0, 2.0]])
    yield Sample("2 by 2, apart", (normal(rng, 2, 2, 2, 4),), {"size": 2})
    yield Sample(
        "overlapping, with a remainder", (normal(rng, 1, 2, 4, 4),), {"size": (2, 3), "stride": (1, 2)}
    )
    yield Sample(
        "negative numbers, padding 1", (-2 - np.abs(normal(rng, 1, 1, 3, 4)),), {"size": 2, "padding": 1}
    )
    yield Sample("ties", (ties[None, None],), {"size": 2, "stride": 1})
    yield Sample("windows of 1 by 3", (normal(rng, 2, 1, 2, 6),), {"size": (1, 3)})
