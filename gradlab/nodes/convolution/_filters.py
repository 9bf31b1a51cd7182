"""What every convolution asks of its arrays."""

from gradlab.node import Array


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
