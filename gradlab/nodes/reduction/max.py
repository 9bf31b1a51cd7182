"""Maximum over all elements, one axis or several.

forward:  y = the largest of x over `axis`
backward: dx = g at the place of that maximum, of several equal ones the first, in the order of x; 0 elsewhere

Source: the maximum is the identity of its largest element and constant in the others. At a tie any shares that add
up to g are a subgradient: the first gets all, as in max_pool2d and global_max_pool, so that a window and an axis
agree. Equal shares would do as well, but leave no gradient sparse where many elements are equal, as after a ReLU.
"""

from collections.abc import Iterator
from typing import Any

import numpy as np

from gradlab.node import Array, Sample
from gradlab.nodes.reduced_axes import Axis, reduced_axes, reduced_count, restore_axes
from gradlab.nodes.reduction._rows import checked_axes, from_rows, to_rows
from gradlab.sampling import normal


def forward(x: Array, *, axis: Axis = None, keepdims: bool = False) -> tuple[Array, Any]:
    axes = checked_axes(x, axis, smallest=1)
    first = to_rows(x, axes).argmax(axis=-1, keepdims=True)
    return np.max(x, axis=axes, keepdims=keepdims), (first, x.shape, axes)


def backward(residuals: Any, g: Array) -> tuple[Array, ...]:
    first, shape, axes = residuals
    is_first = from_rows(first == np.arange(reduced_count(shape, axes)), shape, axes)
    return (np.where(is_first, restore_axes(g, shape, axes), 0),)


def reference(x: Array, *, axis: Axis = None, keepdims: bool = False) -> Any:
    axes = reduced_axes(x.ndim, axis)
    last = np.apply_over_axes(lambda part, a: np.sort(part, axis=a).take([-1], axis=a), x, axes)
    return last if keepdims else last.squeeze(axes)


def samples(rng: np.random.Generator) -> Iterator[Sample]:
    yield Sample("over a batch of 3, kept", (normal(rng, 3, 2),), {"axis": 0, "keepdims": True})
    yield Sample("two axes of three, negative", (-2 - np.abs(normal(rng, 2, 2, 2)),), {"axis": (-1, 0)})
    yield Sample("everything, with ties", (np.array([[2.0], [-1.0], [2.0]]),))
