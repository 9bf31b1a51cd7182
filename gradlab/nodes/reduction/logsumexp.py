"""Logarithm of the sum of exponentials over all elements, one axis or several: a smooth maximum.

forward:  y = log(sum of exp(x) over `axis`); -inf where all of x along it is -inf
backward: dx = g * softmax(x), over the same axes; 0 where x is -inf, also where all of x along an axis is

Source: the chain rule, exp(x_i) / sum over j of exp(x_j).
"""

from collections.abc import Iterator
from typing import Any

import numpy as np

from gradlab.node import Array, Sample
from gradlab.nodes.reduced_axes import Axis, restore_axes
from gradlab.nodes.reduction._rows import checked_axes
from gradlab.sampling import normal


def forward(x: Array, *, axis: Axis = None, keepdims: bool = False) -> tuple[Array, Any]:
    axes = checked_axes(x, axis, smallest=1)
    largest = x.max(axis=axes, keepdims=True)
    # with the largest elements moved to 0 exp cannot overflow; one that is infinite cannot be moved
    weights = np.exp(x - np.where(np.isfinite(largest), largest, 0))
    at_top = x == largest
    # apart from the others, or log would lose what little they add to 1
    count = at_top.sum(axis=axes, keepdims=True, dtype=x.dtype)
    rest = np.where(at_top, 0, weights).sum(axis=axes, keepdims=True)
    y = largest + (np.log(count) + np.log1p(rest / count))
    return y if keepdims else y.squeeze(axes), (weights / (count + rest), axes)


def backward(residuals: Any, g: Array) -> tuple[Array, ...]:
    softmax, axes = residuals
    return (restore_axes(g, softmax.shape, axes) * softmax,)


def reference(x: Array, *, axis: Axis = None, keepdims: bool = False) -> Any:
    from scipy.special import logsumexp

    return logsumexp(x, axis=axis, keepdims=keepdims)


def samples(rng: np.random.Generator) -> Iterator[Sample]:
    far = np.array([[1e4, 1e4], [-1e4, -1e4]])
    apart = np.array([[400.0, 400.0, 399.0], [0.0, -400.0, -30.0]])
    yield Sample("everything, kept", (normal(rng, 2, 3),), {"keepdims": True})
    yield Sample("over a batch of 3", (normal(rng, 3, 2),), {"axis": 0})
    yield Sample("two axes of three", (normal(rng, 2, 2, 3),), {"axis": (-1, 0)})
    yield Sample("ties, very far from 0", (far,), {"axis": -1})
    yield Sample("far apart", (apart,), {"axis": -1})
