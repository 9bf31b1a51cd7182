"""Softsign.

forward:  y = x / (1 + |x|)
backward: dx = g / (1 + |x|)^2

Source: the quotient rule on either side of 0, where both slopes are 1; Deep Learning (Goodfellow, Bengio and
Courville), section 6.3.
"""

from collections.abc import Iterator
from typing import Any

import numpy as np

from gradlab.node import Array, Sample
from gradlab.sampling import normal


def forward(x: Array) -> tuple[Array, Any]:
    scale = 1 + np.abs(x)
    return x / scale, scale


def backward(residuals: Any, g: Array) -> tuple[Array, ...]:
    scale = residuals
    # two divisions, since the square could overflow
    return (g / scale / scale,)


def reference(x: Array) -> Any:
    return np.sign(x) * (1 - 1 / (1 + np.sqrt(x * x)))


def samples(rng: np.random.Generator) -> Iterator[Sample]:
    yield Sample("matrix", (normal(rng, 2, 3),))
    yield Sample("batch of 1", (normal(rng, 1, 4),))
    yield Sample("scalar", (normal(rng),))
    yield Sample("zero and both sides", (np.array([-3.0, -1.0, 0.0, 1.0, 3.0]),))
    yield Sample("far out", (np.array([-400.0, -30.0, 0.5, 30.0, 400.0]),))
