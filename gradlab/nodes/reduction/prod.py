"""Product of all elements, or of those along one axis or several.

forward:  y = product of x over `axis`, 1 where there is nothing along it
backward: dx_i = g * product of all the other x_j: of those before it, times that of those behind it

Source: the product rule, term by term. Division, g y / x_i, would have no value where x_i = 0: with a single zero
in its product that is the one element whose gradient is not zero, and with two zeros all gradients are zero.
"""

from collections.abc import Iterator
from typing import Any

import numpy as np

from gradlab.node import Array, Sample
from gradlab.nodes.reduced_axes import Axis, reduced_axes, restore_axes
from gradlab.nodes.reduction._rows import checked_axes, from_rows, to_rows
from gradlab.sampling import away_from, normal


def forward(x: Array, *, axis: Axis = None, keepdims: bool = False) -> tuple[Array, Any]:
    axes = checked_axes(x, axis)
    return np.prod(x, axis=axes, keepdims=keepdims), (x, axes)


def backward(residuals: Any, g: Array) -> tuple[Array, ...]:
    x, axes = residuals
    rows = to_rows(x, axes)
    others = _before(rows) * _before(rows[..., ::-1])[..., ::-1]
    return (restore_axes(g, x.shape, axes) * from_rows(others, x.shape, axes),)


def _before(rows: Array) -> Array:
    """Return the product of the elements that stand before each in its row."""
    found = np.ones_like(rows)
    np.cumprod(rows[..., :-1], axis=-1, out=found[..., 1:])
    return found


def reference(x: Array, *, axis: Axis = None, keepdims: bool = False) -> Any:
    axes = reduced_axes(x.ndim, axis)
    sizes = np.exp(np.sum(np.log(np.where(x == 0, 1, np.abs(x))), axis=axes, keepdims=keepdims))
    negative = np.sum(x < 0, axis=axes, keepdims=keepdims) % 2
    return np.where(np.any(x == 0, axis=axes, keepdims=keepdims), 0, sizes * (1 - 2 * negative))


def samples(rng: np.random.Generator) -> Iterator[Sample]:
    zeros = np.array([[0.0, 2.0, -3.0, 0.5], [1.5, -2.0, 0.7, 0.0], [0.0, 4.0, 0.0, 3.0]])
    yield Sample("everything, kept", (away_from(rng, 2, 3),), {"keepdims": True})
    yield Sample("over a batch of 3", (away_from(rng, 3, 2),), {"axis": 0})
    yield Sample("two axes of three", (away_from(rng, 2, 2, 3),), {"axis": (-1, 0)})
    yield Sample("one zero, at either end, and two", (zeros,), {"axis": -1})
    yield Sample("axis of size 1", (normal(rng, 2, 1),), {"axis": 1})
