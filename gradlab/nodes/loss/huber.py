"""Huber loss: squares of small errors, absolute values of large ones, averaged over all elements.

forward:  L = (1/N) sum of e^2 / 2 where |e| <= delta, else delta (|e| - delta / 2); e = y - t, N the number of elements
backward: dy = g c / N, dt = -g c / N, with c = e cut to between -delta and delta

Source: both pieces have the slope delta where they meet, so there is no kink; Huber, 1964, Annals of Mathematical
Statistics 35.
"""

from collections.abc import Iterator
from typing import Any

import numpy as np

from gradlab.node import Array, Sample
from gradlab.sampling import normal


def forward(y: Array, t: Array, *, delta: float = 1.0) -> tuple[Array, Any]:
    if y.shape != t.shape:
        raise ValueError(f"y has shape {y.shape}, t {t.shape}: give one target for each prediction")
    if not delta > 0:
        raise ValueError(f"delta is {delta}: give a number above 0")
    error = y - t
    cut = np.clip(error, -delta, delta)
    return np.mean(cut * (error - cut / 2)), cut / error.size


def backward(residuals: Any, g: Array) -> tuple[Array, ...]:
    slope = residuals
    dy = g * slope
    return dy, -dy


def reference(y: Array, t: Array, *, delta: float = 1.0) -> Any:
    from scipy.special import huber

    return np.average(huber(delta, y - t))


def samples(rng: np.random.Generator) -> Iterator[Sample]:
    t = normal(rng, 5)
    yield Sample("both pieces on both sides", (t + np.array([-3.0, -0.4, 0.2, 0.7, 2.5]), t))
    yield Sample("batch of 3, delta 0.3", (normal(rng, 3, 2), normal(rng, 3, 2)), {"delta": 0.3})
    yield Sample("delta 20", (normal(rng, 4), normal(rng, 4)), {"delta": 20.0})
    yield Sample("where the pieces meet", (np.array([1.5, -1.5, 0.0]), np.zeros(3)), {"delta": 1.5})
    yield Sample("far apart", (np.array([[400.0], [-30.0]]), np.array([[-400.0], [30.0]])), {"delta": 2.0})
