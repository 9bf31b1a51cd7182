"""Windows of images as the rows of a matrix, so that a convolution is a matrix product.

forward:  row (n, i, j) of y is x_nc(i s + k - p)(j s + l - p) for all c, k, l in this order, with x = 0 outside
backward: dx at each place that a window covers += g at the elements that were copied from there (col2im)

Source: copying, so backward adds up the copies; Deep Learning from Scratch, chapter 7. y has the shape
(N OH OW, C KH KW).
"""

import math
from collections.abc import Iterator
from typing import Any

import numpy as np

from gradlab.node import Array, Sample
from gradlab.nodes.convolution._windows import Size, add_windows, images, per_axis, windows
from gradlab.sampling import normal


def forward(x: Array, *, size: Size, stride: Size = 1, padding: Size = 0) -> tuple[Array, Any]:
    sizes = per_axis("size", size, 2, 1)
    steps = per_axis("stride", stride, 2, 1), per_axis("padding", padding, 2, 0), (1, 1)
    found = windows(images(x), sizes, *steps).transpose(0, 4, 5, 1, 2, 3)
    y = found.reshape(math.prod(found.shape[:3]), math.prod(found.shape[3:]))
    return y.copy(), ((*found.shape[:4], math.prod(sizes)), (x.dtype, x.shape, sizes, *steps))


def backward(residuals: Any, g: Array) -> tuple[Array, ...]:
    windows_shape, taken = residuals
    parts = g.reshape(windows_shape).transpose(4, 0, 3, 1, 2)
    return (add_windows(parts, *taken),)


def reference(x: Array, *, size: Any, stride: int = 1, padding: int = 0) -> Any:
    height, width = np.broadcast_to(size, 2)
    x = np.pad(x, ((0, 0), (0, 0), (padding, padding), (padding, padding)))
    rows = range(0, x.shape[2] - height + 1, stride)
    columns = range(0, x.shape[3] - width + 1, stride)
    return np.array([m[:, i : i + height, j : j + width].ravel() for m in x for i in rows for j in columns])


def samples(rng: np.random.Generator) -> Iterator[Sample]:
    yield Sample("overlapping, oblong", (normal(rng, 2, 2, 3, 4),), {"size": (2, 3)})
    yield Sample("stride 2 with a remainder", (normal(rng, 1, 3, 3, 4),), {"size": (1, 2), "stride": 2})
    yield Sample("padding 2", (normal(rng, 1, 2, 2, 3),), {"size": 3, "padding": 2})
    yield Sample(
        "overlapping with stride 2 and padding 1",
        (normal(rng, 2, 1, 4, 5),),
        {"size": 3, "stride": 2, "padding": 1},
    )
    yield Sample("gaps between the windows", (normal(rng, 3, 1, 2, 5),), {"size": 1, "stride": 3})
