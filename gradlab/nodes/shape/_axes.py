"""Axes that a setting names, checked and counted from the front."""

import numpy as np

from gradlab.node import Array


def checked_axis(x: Array, axis: int, name: str = "axis") -> int:
    """Return the axis counted from the front; `name` is what a complaint calls it.

    Raises
    ------
    ValueError
        If `axis` names no axis of `x`.
    """
    if not isinstance(axis, int | np.integer) or not -x.ndim <= axis < x.ndim:
        raise ValueError(f"{name} is {axis!r} for x of shape {x.shape}: give the number of one of its axes")
    return int(axis) % x.ndim
