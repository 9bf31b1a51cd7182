"""Convolution of images with filters, as neural networks mean it: the filters are not turned round.

forward:  y_nfij = b_f + sum over c, k, l of W_fckl x_nc(i s + k d - p)(j s + l d - p), with x = 0 outside, s the
          stride, d the dilation and p the padding; in groups, a filter sees the channels of its own group
backward: dx at each place that a window covers += sum over f of g_nfij W_fckl,
          dW_fckl = sum over n, i, j of g_nfij x_nc(i s + k d - p)(j s + l d - p), db_f = sum over n, i, j of g_nfij

Source: a matrix product of the filters with the windows as columns, so g W^T goes back through the windows, each
pixel adding up what its windows bring; Deep Learning from Scratch, chapter 7.
"""

import math
from collections.abc import Iterator
from typing import Any

import numpy as np

from gradlab.node import Array, Sample
from gradlab.nodes.convolution._filters import windows_under_filters
from gradlab.nodes.convolution._windows import Size, add_windows
from gradlab.sampling import normal

EQUIVALENT_MUTANTS = {
    "dW = (dproduct @ columns.mT).sum(axis=0, keepdims=True).reshape(W_shape)": "the shape is given just behind",
    "return (dx, dW, g.sum(axis=(0, -2, 3)))": "of four axes -2 is 2",
}


def forward(
    x: Array, W: Array, b: Array, *, stride: Size = 1, padding: Size = 0, dilation: Size = 1, groups: int = 1
) -> tuple[Array, Any]:
    found, taken = windows_under_filters(x, W, b, 2, stride, padding, dilation, groups)
    height, width = found.shape[-2:]
    filters = W.reshape(groups, W.shape[0] // groups, W[0].size)
    columns = found.reshape(len(x), groups, W[0].size, height * width)
    product = filters @ columns
    shapes = product.shape, (*x.shape[:2], math.prod(W.shape[2:]), height, width), W.shape
    y = product.reshape(len(x), len(W), height, width) + b[:, None, None]
    return y, (columns, filters, shapes, taken)


def backward(residuals: Any, g: Array) -> tuple[Array, ...]:
    columns, filters, (product_shape, windows_shape, W_shape), taken = residuals
    dproduct = g.reshape(product_shape)
    parts = (filters.mT @ dproduct).reshape(windows_shape)
    dx = add_windows(np.moveaxis(parts, 2, 0), *taken)
    dW = (dproduct @ columns.mT).sum(axis=0).reshape(W_shape)
    return dx, dW, g.sum(axis=(0, 2, 3))


def reference(
    x: Array, W: Array, b: Array, *, stride: Any = 1, padding: int = 0, dilation: int = 1, groups: int = 1
) -> Any:
    from scipy.signal import correlate

    down, right = np.broadcast_to(stride, 2)
    x = np.pad(x, ((0, 0), (0, 0), (padding, padding), (padding, padding)))
    spread = np.zeros((*W.shape[:2], *(dilation * (k - 1) + 1 for k in W.shape[2:])))
    spread[:, :, ::dilation, ::dilation] = W
    inputs, outputs = W.shape[1], len(W) // groups
    images = []
    for n in range(len(x)):
        for f in range(len(W)):
            start = f // outputs * inputs
            seen = x[n, start : start + inputs]
            images.append(
                correlate(seen, spread[f], mode="valid", method="direct")[0, ::down, ::right] + b[f]
            )
    return np.array(images).reshape(len(x), len(W), *images[0].shape)


def samples(rng: np.random.Generator) -> Iterator[Sample]:
    def arrays(x: tuple[int, ...], W: tuple[int, ...]) -> tuple[Array, ...]:
        return normal(rng, *x), normal(rng, *W), normal(rng, W[0])

    yield Sample("batch of 2, oblong image and filters", arrays((2, 2, 3, 4), (3, 2, 2, 3)))
    yield Sample("stride 2 with a remainder", arrays((1, 1, 4, 5), (2, 1, 3, 2)), {"stride": 2})
    yield Sample("padding 2, image smaller than filters", arrays((1, 2, 2, 3), (2, 2, 3, 3)), {"padding": 2})
    yield Sample("dilation 2", arrays((1, 1, 4, 6), (2, 1, 2, 3)), {"dilation": 2, "padding": 1})
    yield Sample("2 groups", arrays((2, 4, 2, 2), (6, 2, 1, 2)), {"groups": 2})
    yield Sample("a stride for each axis", arrays((1, 1, 3, 6), (1, 1, 1, 2)), {"stride": (1, 3)})
