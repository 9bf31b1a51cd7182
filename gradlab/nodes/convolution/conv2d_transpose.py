"""Transposed convolution of images: every pixel puts down a copy of the filters, and overlaps are added.

forward:  y_nf(i s + k - p)(j s + l - p) += sum over c of x_ncij W_cfkl, and b_f everywhere, s the stride, p the
          padding cut off on every side, `output_padding` (below the stride) what is added at the lower and right end
backward: dx_ncij = sum over f, k, l of g_nf(i s + k - p)(j s + l - p) W_cfkl,
          dW_cfkl = sum over n, i, j of x_ncij g_nf(i s + k - p)(j s + l - p), db_f = sum of g_nf over all places

Source: forward is what backward does to dx in a convolution with W of shape (C, F, KH, KW), so backward takes windows
as that convolution does; Dumoulin and Visin, 2016, A guide to convolution arithmetic, arXiv:1603.07285.
"""

import math
from collections.abc import Iterator
from typing import Any

import numpy as np

from gradlab.node import Array, Sample
from gradlab.nodes.convolution._filters import check_bias
from gradlab.nodes.convolution._windows import Size, add_windows, per_axis, windows
from gradlab.sampling import normal

EQUIVALENT_MUTANTS = {
    "dW = (rows @ columns.mT).sum(axis=0, keepdims=True).reshape(W_shape)": "the shape is given just behind",
    "return (dx, dW, g.sum(axis=(0, -2, 3)))": "of four axes -2 is 2",
}


def forward(
    x: Array, W: Array, b: Array, *, stride: Size = 1, padding: Size = 0, output_padding: Size = 0
) -> tuple[Array, Any]:
    if x.ndim != 4 or W.ndim != 4 or W.shape[0] != x.shape[1]:
        raise ValueError(f"x has shape {x.shape}, W {W.shape}: give (N, C, H, W) and (C, F, KH, KW)")
    check_bias(b, W.shape[1])
    steps = per_axis("stride", stride, 2, 1), per_axis("padding", padding, 2, 0), (1, 1)
    added = per_axis("output_padding", output_padding, 2, 0)
    if any(a >= s for a, s in zip(added, steps[0], strict=True)):
        raise ValueError(
            f"output_padding is {output_padding}, the stride {stride}: give less than the stride"
        )
    size = W.shape[2:]
    lengths = [
        (n - 1) * s + k - 2 * p + a
        for n, k, s, p, a in zip(x.shape[2:], size, *steps[:2], added, strict=True)
    ]
    if min(lengths) < 1:
        raise ValueError(f"the output would have shape {tuple(lengths)}: give less padding")
    shape = (len(x), W.shape[1], *lengths)
    rows, filters = x.reshape(*x.shape[:2], math.prod(x.shape[2:])), W.reshape(len(W), W[0].size)
    columns = filters.T @ rows
    copies = columns.reshape(len(x), W.shape[1], math.prod(size), *x.shape[2:])
    y = add_windows(np.moveaxis(copies, 2, 0), copies.dtype, shape, size, *steps) + b[:, None, None]
    return y, (rows, filters, (x.shape, W.shape, columns.shape), (size, *steps))


def backward(residuals: Any, g: Array) -> tuple[Array, ...]:
    rows, filters, (x_shape, W_shape, columns_shape), taken = residuals
    columns = windows(g, *taken).reshape(columns_shape)
    dx = (filters @ columns).reshape(x_shape)
    dW = (rows @ columns.mT).sum(axis=0).reshape(W_shape)
    return dx, dW, g.sum(axis=(0, 2, 3))


def reference(
    x: Array, W: Array, b: Array, *, stride: int = 1, padding: int = 0, output_padding: int = 0
) -> Any:
    from scipy.signal import convolve

    y = []
    for image in x:
        spread = np.zeros((len(image), *(stride * (n - 1) + 1 for n in image.shape[1:])))
        spread[:, ::stride, ::stride] = image
        full = [
            sum(convolve(spread[c], W[c, f], method="direct") for c in range(len(W))) for f in range(len(b))
        ]
        whole = np.pad(np.array(full), ((0, 0), (0, output_padding), (0, output_padding)))
        height, width = whole.shape[1:]
        y.append(whole[:, padding : height - padding, padding : width - padding] + b[:, None, None])
    return np.array(y)


def samples(rng: np.random.Generator) -> Iterator[Sample]:
    def arrays(x: tuple[int, ...], W: tuple[int, ...]) -> tuple[Array, ...]:
        return normal(rng, *x), normal(rng, *W), normal(rng, W[1])

    yield Sample("batch of 2, oblong image and filters", arrays((2, 3, 2, 3), (3, 2, 2, 3)))
    yield Sample("stride 2, overlapping", arrays((1, 1, 2, 3), (1, 2, 3, 3)), {"stride": 2})
    yield Sample("stride 3, gaps between", arrays((1, 2, 2, 2), (2, 1, 2, 1)), {"stride": 3})
    yield Sample("padding 1 cut off", arrays((2, 1, 3, 2), (1, 2, 2, 3)), {"padding": 1})
    yield Sample(
        "stride 2 with a remainder",
        arrays((1, 2, 2, 3), (2, 2, 3, 2)),
        {"stride": 2, "padding": 1, "output_padding": 1},
    )
