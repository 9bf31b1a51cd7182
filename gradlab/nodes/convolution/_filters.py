"""The filters of a convolution: checked against the input, and the windows of the input that they meet."""

from typing import Any

from gradlab.node import Array
from gradlab.nodes.convolution._windows import Size, per_axis, windows


def windows_under_filters(
    x: Array, W: Array, b: Array, axes: int, stride: Size, padding: Size, dilation: Size, groups: int
) -> tuple[Array, tuple[Any, ...]]:
    """Return the windows of `x` over its last `axes` axes, and the arguments by which `add_windows` puts them back.

    Raises
    ------
    ValueError
        If the arrays or the settings do not suit each other, or not even one window fits.
    """
    check_filters(x, W, b, axes, groups)
    steps = (
        per_axis("stride", stride, axes, 1),
        per_axis("padding", padding, axes, 0),
        per_axis("dilation", dilation, axes, 1),
    )
    return windows(x, W.shape[2:], *steps), (x.dtype, x.shape, W.shape[2:], *steps)


def check_filters(x: Array, W: Array, b: Array, axes: int, groups: int) -> None:
    """Raise a `ValueError` unless the filters `W` and the biases `b` suit the channels of `x`."""
    if x.ndim != axes + 2 or W.ndim != axes + 2:
        raise ValueError(
            f"x has {x.ndim} axes and W {W.ndim}: give (N, C, ...) and (F, C / groups, ...), {axes + 2} axes each"
        )
    if groups < 1 or W.shape[0] % groups or W.shape[1] * groups != x.shape[1]:
        raise ValueError(
            f"W of shape {W.shape} in {groups} groups does not suit {x.shape[1]} channels: "
            "give (F, C / groups, ...), F a multiple of groups"
        )
    check_bias(b, W.shape[0])


def check_bias(b: Array, count: int) -> None:
    """Raise a `ValueError` unless there is one bias for each of `count` outputs."""
    if b.shape != (count,):
        raise ValueError(f"b has shape {b.shape}: give one bias for each filter, shape ({count},)")
