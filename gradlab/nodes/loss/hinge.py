"""Hinge loss of a support vector machine, averaged over all elements.

forward:  L = (1/N) sum of max(0, 1 - t y), t being -1 or 1, N the number of elements
backward: dy = -g t / N where t y < 1, else 0 (at the kink t y = 1 too)

Source: piecewise linear, slope -t and slope 0; at the kink any slope between is a subgradient. Cortes and Vapnik,
1995, Machine Learning 20.
"""

from collections.abc import Iterator
from typing import Any

import numpy as np

from gradlab.node import Array, Sample
from gradlab.sampling import away_from, normal


def forward(y: Array, t: Array) -> tuple[Array, Any]:
    t = np.asarray(t, dtype=y.dtype)
    if t.shape != y.shape or not (np.abs(t) == 1).all():
        raise ValueError(f"t has shape {t.shape} for scores of shape {y.shape}: give -1 or 1 for each score")
    margin = 1 - t * y
    return np.mean(np.maximum(margin, 0)), np.where(margin > 0, -t / t.size, 0)


def backward(residuals: Any, g: Array) -> tuple[Array, ...]:
    slope = residuals
    return (g * slope,)


def reference(y: Array, t: Array) -> Any:
    losses = [max(0.0, 1 - float(b) * float(a)) for a, b in zip(np.ravel(y), np.ravel(t), strict=True)]
    return np.float64(sum(losses) / len(losses))


def samples(rng: np.random.Generator) -> Iterator[Sample]:
    signs = np.array([1, -1, 1, -1, -1])
    yield Sample("both sides of the kink, both labels", (signs * away_from(rng, 5, point=1.0),), {"t": signs})
    yield Sample("batch of 3", (normal(rng, 3, 2),), {"t": np.array([[1.0, 1.0], [-1.0, 1.0], [-1.0, -1.0]])})
    yield Sample("one number", (np.array([0.25]),), {"t": np.array([-1.0])})
    yield Sample("at the kink", (np.array([1.0, -1.0, 0.0]),), {"t": np.array([1, -1, 1])})
    yield Sample("far from the kink", (np.array([[400.0], [-400.0]]),), {"t": np.array([[-1], [-1]])})
