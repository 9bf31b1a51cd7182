"""Logarithm of the logistic sigmoid.

forward:  y = log(sigmoid(x)) = -log(1 + exp(-x))
backward: dx = g (1 - sigmoid(x))

Source: the chain rule; the sigmoid's slope s (1 - s), divided by s.
"""

from collections.abc import Iterator
from typing import Any

import numpy as np

from gradlab.node import Array, Sample
from gradlab.nodes.sigmoids import both_sigmoids
from gradlab.sampling import normal


def forward(x: Array) -> tuple[Array, Any]:
    # log(exp(0) + exp(-x)), without overflow
    return -np.logaddexp(0, -x), both_sigmoids(x)


def backward(residuals: Any, g: Array) -> tuple[Array, ...]:
    _, rest = residuals
    return (g * rest,)


def reference(x: Array) -> Any:
    from scipy.special import log_expit

    return log_expit(x)


def samples(rng: np.random.Generator) -> Iterator[Sample]:
    yield Sample("matrix", (normal(rng, 2, 3),))
    yield Sample("batch of 1", (normal(rng, 1, 4),))
    yield Sample("scalar", (normal(rng),))
    yield Sample("zero and both sides", (np.array([-4.0, -1.0, 0.0, 1.0, 4.0]),))
    yield Sample("far out", (np.array([-400.0, -30.0, 0.5, 30.0, 400.0]),))
