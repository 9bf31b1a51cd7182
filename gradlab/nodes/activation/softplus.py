"""Softplus, the smooth relu.

forward:  y = log(1 + exp(x))
backward: dx = g sigmoid(x)

Source: the chain rule; exp(x) / (1 + exp(x)) is the sigmoid.
"""

from collections.abc import Iterator
from typing import Any

import numpy as np

from gradlab.node import Array, Sample
from gradlab.nodes.sigmoids import both_sigmoids
from gradlab.sampling import normal


def forward(x: Array) -> tuple[Array, Any]:
    # log(exp(0) + exp(x)), without overflow
    return np.logaddexp(0, x), both_sigmoids(x)


def backward(residuals: Any, g: Array) -> tuple[Array, ...]:
    s, _ = residuals
    return (g * s,)


def reference(x: Array) -> Any:
    return np.maximum(x, 0) + np.log1p(np.exp(-np.abs(x)))


def samples(rng: np.random.Generator) -> Iterator[Sample]:
    yield Sample("matrix", (normal(rng, 2, 3),))
    yield Sample("batch of 1", (normal(rng, 1, 4),))
    yield Sample("scalar", (normal(rng),))
    yield Sample("zero and both sides", (np.array([-4.0, -1.0, 0.0, 1.0, 4.0]),))
    yield Sample("far out", (np.array([-400.0, -30.0, 0.5, 30.0, 400.0]),))
