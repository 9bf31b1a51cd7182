"""Layers on images, of shape (height, width, channels) as Keras has them."""

import math
from typing import Any

import numpy as np

from gradlab.node import Array
from gradlab.nodes.convolution import conv2d, max_pool2d
from gradlab.nodes.shape import pad
from gradlab.textbook.models.graph.layers.activation import Activated
from gradlab.textbook.models.graph.layers.layer import (
    Gradients,
    GraphLayer,
    Shape,
    check_rank,
    glorot_uniform,
    whole_number,
)

Pair = tuple[int, int]

IMAGES = "(height, width, channels)"


class Conv2D(Activated):
    """Convolution of images with filters, then the activation: (height, width, channels) to (h, w, filters).

    W has the shape (filters, channels, *kernel_size), as the node has it; it begins as Glorot's uniform weights, b
    as 0.

    Parameters
    ----------
    filters : int
    kernel_size, strides : int or pair of int
    padding : {"valid", "same"}
        "same": zeros around the image, so that the output is as large as the image (over the strides); an odd row or
        column of zeros lies below or to the right, as in Keras.
    activation : str, optional
        One of `ACTIVATIONS`.
    name, input_shape
        As for `GraphLayer`.
    """

    ties_features = True

    def __init__(
        self,
        filters: int,
        kernel_size: int | Pair,
        strides: int | Pair = 1,
        padding: str = "valid",
        activation: str | None = None,
        **common: Any,
    ) -> None:
        super().__init__(activation, **common)
        self.filters = whole_number("filters", filters)
        self.kernel_size, self.strides = pair("kernel_size", kernel_size), pair("strides", strides)
        self.padding = checked_padding(padding)

    def output_shape(self, *shapes: Shape) -> Shape:
        """Return (h, w, filters)."""
        places = window_places(self, shapes[0], self.kernel_size, self.strides, self.padding)
        return (*places, self.filters)

    def initial(self, shape: Shape, rng: np.random.Generator) -> dict[str, Array]:
        """Return W of shape (filters, channels, *kernel_size) and b of shape (filters,)."""
        area = math.prod(self.kernel_size)
        W_shape = self.filters, shape[-1], *self.kernel_size
        W = glorot_uniform(rng, W_shape, area * shape[-1], area * self.filters)
        return {"W": W, "b": np.zeros(self.filters)}

    def forward(
        self, inputs: tuple[Array, ...], training: bool, rng: np.random.Generator
    ) -> tuple[Array, Any]:
        """Return the convolution; the node has the channels first."""
        widths = pad_widths(inputs[0].shape[1:], self.kernel_size, self.strides, self.padding)
        x, padded = pad.forward(np.moveaxis(inputs[0], -1, 1), pad_width=widths)
        y, residuals = conv2d.forward(x, *self.params.values(), stride=self.strides)
        return np.moveaxis(y, 1, -1), (padded, residuals)

    def backward(self, residuals: Any, g: Array) -> Gradients:
        """Return the gradients of x, and of W and b."""
        padded, kept = residuals
        dx, dW, db = conv2d.backward(kept, np.moveaxis(g, -1, 1))
        (dx,) = pad.backward(padded, dx)
        return (np.moveaxis(dx, 1, -1),), {"W": dW, "b": db}


class MaxPooling2D(GraphLayer):
    """The maximum of each window of an image, channel by channel.

    Parameters
    ----------
    pool_size : int or pair of int
    strides : int or pair of int, optional
        By default the size.
    padding : {"valid", "same"}
        "same": as for `Conv2D`, with a border that is never the maximum.
    name, input_shape
        As for `GraphLayer`.
    """

    def __init__(
        self,
        pool_size: int | Pair = 2,
        strides: int | Pair | None = None,
        padding: str = "valid",
        **common: Any,
    ) -> None:
        super().__init__(**common)
        self.pool_size = pair("pool_size", pool_size)
        self.strides = self.pool_size if strides is None else pair("strides", strides)
        self.padding = checked_padding(padding)

    def output_shape(self, *shapes: Shape) -> Shape:
        """Return (h, w, channels)."""
        places = window_places(self, shapes[0], self.pool_size, self.strides, self.padding)
        return (*places, shapes[0][-1])

    def forward(
        self, inputs: tuple[Array, ...], training: bool, rng: np.random.Generator
    ) -> tuple[Array, Any]:
        """Return the maxima; the node has the channels first."""
        widths = pad_widths(inputs[0].shape[1:], self.pool_size, self.strides, self.padding)
        x, padded = pad.forward(np.moveaxis(inputs[0], -1, 1), pad_width=widths, value=-np.inf)
        y, residuals = max_pool2d.forward(x, size=self.pool_size, stride=self.strides)
        return np.moveaxis(y, 1, -1), (padded, residuals)

    def backward(self, residuals: Any, g: Array) -> Gradients:
        """Return the gradient of x."""
        padded, kept = residuals
        (dx,) = max_pool2d.backward(kept, np.moveaxis(g, -1, 1))
        (dx,) = pad.backward(padded, dx)
        return (np.moveaxis(dx, 1, -1),), {}


def pair(name: str, value: Any) -> Pair:
    """Return a setting as a number for the height and one for the width."""
    values = value if isinstance(value, tuple | list) else (value, value)
    if len(values) != 2:
        raise ValueError(f"{name} is {value!r}: give a whole number, or a pair of them")
    return whole_number(name, values[0]), whole_number(name, values[1])


def checked_padding(padding: str) -> str:
    """Return `padding` if it is "valid" or "same"."""
    if padding not in ("valid", "same"):
        raise ValueError(f"padding is {padding!r}: give 'valid' or 'same'")
    return padding


def window_places(layer: GraphLayer, shape: Shape, size: Pair, strides: Pair, padding: str) -> Shape:
    """Return the number of windows along height and width, or raise a `ValueError` if none fits."""
    check_rank(layer, shape, IMAGES, "give images, with one channel if they are grey")
    if padding == "same":
        return tuple(-(-n // s) for n, s in zip(shape, strides, strict=False))
    if any(k > n for k, n in zip(size, shape, strict=False)):
        raise ValueError(
            f"{layer}: got a tensor of shape {shape}, into which no window of {size} fits: "
            "take a smaller one, or padding='same'"
        )
    return tuple((n - k) // s + 1 for n, k, s in zip(shape, size, strides, strict=False))


def pad_widths(shape: Shape, size: Pair, strides: Pair, padding: str) -> list[tuple[int, int]]:
    """Return the border before and behind each axis of (N, C, H, W), for images of shape (H, W, C)."""
    widths = [(0, 0), (0, 0)]
    for n, k, s in zip(shape, size, strides, strict=False):
        lacking = max((-(-n // s) - 1) * s + k - n, 0) if padding == "same" else 0
        widths.append((lacking // 2, lacking - lacking // 2))
    return widths
