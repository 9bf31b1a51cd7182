"""Concatenate: arrays one behind the other along an axis.

forward:  out = x_1, ..., x_n, joined along `axis`
backward: dx_i = the part of g that stands where x_i stood

Source: every element of the output is one element of one x_i; the concat node of Deep Learning from Scratch 2.
"""

from collections.abc import Iterator
from itertools import accumulate
from typing import Any

import numpy as np

from gradlab.node import Array, Sample
from gradlab.nodes.shape._axes import checked_axis
from gradlab.sampling import normal


def forward(*xs: Array, axis: int = 0) -> tuple[Array, Any]:
    if not xs:
        raise ValueError("there is nothing to concatenate: give at least one array")
    along = checked_axis(xs[0], axis)
    first = _others(xs[0], along)
    for i, x in enumerate(xs):
        if x.ndim != xs[0].ndim or _others(x, along) != first:
            raise ValueError(
                f"xs{i} has shape {x.shape} and xs0 {xs[0].shape}: give shapes that differ along axis {axis} only"
            )
    ends = list(accumulate(x.shape[along] for x in xs))
    return np.concatenate(xs, axis=along), (ends[:-1], along)


def _others(x: Array, axis: int) -> tuple[int, ...]:
    return x.shape[:axis] + x.shape[axis + 1 :]


def backward(residuals: Any, g: Array) -> tuple[Array, ...]:
    starts, axis = residuals
    return tuple(part.copy() for part in np.split(g, starts, axis=axis))


def reference(*xs: Array, axis: int = 0) -> Any:
    return np.stack([each for x in xs for each in np.moveaxis(x, axis, 0)], axis=axis)


def samples(rng: np.random.Generator) -> Iterator[Sample]:
    yield Sample("two batches, of 1 and 3", (normal(rng, 1, 2), normal(rng, 3, 2)))
    yield Sample(
        "three, side by side", (normal(rng, 2, 3), normal(rng, 2, 1), normal(rng, 2, 2)), {"axis": -1}
    )
    yield Sample("two alike, middle axis", (normal(rng, 2, 2, 1), normal(rng, 2, 2, 1)), {"axis": 1})
    yield Sample("one alone", (normal(rng, 3),))
