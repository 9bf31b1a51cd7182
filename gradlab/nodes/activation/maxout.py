"""Maxout: the largest of every k neighbours along the last axis.

forward:  y_j = max over i < k of x_(j k + i)
backward: dx_(j k + i) = g_j at the place of the largest, else 0; at a tie the first of them gets all

Source: y_j is a copy of one x_(j k + i), and does not depend on the others; at a tie any shares that add up to
g_j are a subgradient. Goodfellow, Warde-Farley, Mirza, Courville and Bengio 2013.
"""

from collections.abc import Iterator
from typing import Any

import numpy as np

from gradlab.node import Array, Sample
from gradlab.sampling import normal


def forward(x: Array, *, k: int = 2) -> tuple[Array, Any]:
    if k < 1 or x.ndim < 1 or x.shape[-1] % k:
        raise ValueError(
            f"the last axis of shape {x.shape} has no groups of {k}: give a k that divides its length"
        )
    groups = x.reshape(*x.shape[:-1], x.shape[-1] // k, k)
    first = np.arange(k) == groups.argmax(axis=-1)[..., np.newaxis]
    return groups.max(axis=-1), (first, x.shape)


def backward(residuals: Any, g: Array) -> tuple[Array, ...]:
    first, shape = residuals
    return (np.where(first, g[..., np.newaxis], 0).reshape(shape),)


def reference(x: Array, *, k: int = 2) -> Any:
    y = x[..., ::k]
    for i in range(1, k):
        y = np.maximum(y, x[..., i::k])
    return y


def samples(rng: np.random.Generator) -> Iterator[Sample]:
    yield Sample("batch of 3, three pairs", (normal(rng, 3, 6),))
    yield Sample("batch of 1, two groups of 3", (normal(rng, 1, 6),), {"k": 3})
    yield Sample("vector, one group", (normal(rng, 4),), {"k": 4})
    yield Sample("three axes", (normal(rng, 2, 3, 4),))
    yield Sample("groups of 1", (normal(rng, 2, 3),), {"k": 1})
    yield Sample(
        "ties of two and of three",
        (np.array([[2.0, 2.0, 1.0, 0.0, 0.0, 0.0], [1.0, 4.0, 4.0, 5.0, 3.0, 5.0]]),),
        {"k": 3},
    )
