"""Logistic sigmoid.

forward:  y = 1 / (1 + exp(-x))
backward: dx = g * y * (1 - y)

Source: the derivative of 1/u at u = 1 + exp(-x); Deep Learning from Scratch, chapter 5.
"""

from collections.abc import Iterator
from typing import Any

import numpy as np

from gradlab.node import Array, Sample
from gradlab.sampling import normal

EQUIVALENT_MUTANTS = {
    "smaller, larger = residuals": "only their product is used",
}


def forward(x: Array) -> tuple[Array, Any]:
    # exp of a negative number cannot overflow, and 1 - y = sigmoid(-x) keeps its digits where y is near 1
    decay = np.exp(-np.abs(x))
    larger = 1 / (1 + decay)
    smaller = decay * larger
    y = np.where(x >= 0, larger, smaller)
    return y, (larger, smaller)


def backward(residuals: Any, g: Array) -> tuple[Array, ...]:
    larger, smaller = residuals
    return (g * (larger * smaller),)


def reference(x: Array) -> Any:
    from scipy.special import expit

    return expit(x)


def samples(rng: np.random.Generator) -> Iterator[Sample]:
    yield Sample("matrix", (normal(rng, 2, 3),))
    yield Sample("scalar", (normal(rng),))
    yield Sample("zero and both sides", (np.array([-4.0, -1.0, 0.0, 1.0, 4.0]),))
