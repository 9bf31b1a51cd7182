"""Convolution of signals with filters, as neural networks mean it: the filters are not turned round.

forward:  y_nfo = b_f + sum over c, k of W_fck x_nc(o s + k d - p), with x = 0 outside, s the stride, d the dilation
          and p the padding; in groups, a filter sees the channels of its own group
backward: dx_nc(o s + k d - p) += sum over f of g_nfo W_fck, dW_fck = sum over n, o of g_nfo x_nc(o s + k d - p),
          db_f = sum over n, o of g_nfo

Source: a matrix product of the filters with the windows as columns, so g W^T goes back through the windows, each
element of x adding up what its windows bring; Deep Learning from Scratch, chapter 7.
"""

from collections.abc import Iterator
from typing import Any

import numpy as np

from gradlab.node import Array, Sample
from gradlab.nodes.convolution._filters import windows_under_filters
from gradlab.nodes.convolution._windows import Size, add_windows
from gradlab.sampling import normal

EQUIVALENT_MUTANTS = {
    "dx = add_windows(np.moveaxis(parts, -2, 0), *taken)": "of four axes -2 is 2",
    "dW = (dproduct @ columns.mT).sum(axis=0, keepdims=True).reshape(W_shape)": "the shape is given just behind",
}


def forward(
    x: Array, W: Array, b: Array, *, stride: Size = 1, padding: Size = 0, dilation: Size = 1, groups: int = 1
) -> tuple[Array, Any]:
    found, taken = windows_under_filters(x, W, b, 1, stride, padding, dilation, groups)
    filters = W.reshape(groups, W.shape[0] // groups, W[0].size)
    columns = found.reshape(len(x), groups, W[0].size, found.shape[-1])
    product = filters @ columns
    shapes = product.shape, found.shape, W.shape
    y = product.reshape(len(x), len(W), found.shape[-1]) + b[:, None]
    return y, (columns, filters, shapes, taken)


def backward(residuals: Any, g: Array) -> tuple[Array, ...]:
    columns, filters, (product_shape, windows_shape, W_shape), taken = residuals
    dproduct = g.reshape(product_shape)
    parts = (filters.mT @ dproduct).reshape(windows_shape)
    dx = add_windows(np.moveaxis(parts, 2, 0), *taken)
    dW = (dproduct @ columns.mT).sum(axis=0).reshape(W_shape)
    return dx, dW, g.sum(axis=(0, 2))


def reference(
    x: Array, W: Array, b: Array, *, stride: int = 1, padding: int = 0, dilation: int = 1, groups: int = 1
) -> Any:
    from scipy.signal import correlate

    x = np.pad(x, ((0, 0), (0, 0), (padding, padding)))
    spread = np.zeros((*W.shape[:2], dilation * (W.shape[2] - 1) + 1))
    spread[:, :, ::dilation] = W
    inputs, outputs = W.shape[1], len(W) // groups
    rows = []
    for n in range(len(x)):
        for f in range(len(W)):
            start = f // outputs * inputs
            seen = x[n, start : start + inputs]
            rows.append(correlate(seen, spread[f], mode="valid", method="direct")[0, ::stride] + b[f])
    return np.array(rows).reshape(len(x), len(W), -1)


def samples(rng: np.random.Generator) -> Iterator[Sample]:
    def arrays(x: tuple[int, ...], W: tuple[int, ...]) -> tuple[Array, ...]:
        return normal(rng, *x), normal(rng, *W), normal(rng, W[0])

    yield Sample("batch of 2, 3 channels to 4", arrays((2, 3, 5), (4, 3, 2)))
    yield Sample("stride 2 with a remainder", arrays((2, 1, 6), (2, 1, 3)), {"stride": 2})
    yield Sample("padding 2, batch of 1", arrays((1, 2, 4), (3, 2, 3)), {"padding": 2})
    yield Sample("dilation 2 and stride 2", arrays((1, 2, 8), (1, 2, 3)), {"dilation": 2, "stride": 2})
    yield Sample("2 groups", arrays((3, 4, 4), (6, 2, 2)), {"groups": 2, "padding": 1})
    yield Sample("filters of 1, stride 3 over them", arrays((2, 2, 5), (3, 2, 1)), {"stride": 3})
