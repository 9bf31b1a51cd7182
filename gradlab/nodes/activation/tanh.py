"""Hyperbolic tangent.

forward:  y = tanh(x)
backward: dx = g * (1 - y^2)

Source: the quotient rule on sinh / cosh.
"""

from collections.abc import Iterator
from typing import Any

import numpy as np

from gradlab.node import Array, Sample
from gradlab.sampling import normal


def forward(x: Array) -> tuple[Array, Any]:
    return np.tanh(x), x


def backward(residuals: Any, g: Array) -> tuple[Array, ...]:
    x = residuals
    # 1 - tanh(x)^2 written with decay = exp(-2|x|), since 1 - y^2 loses its digits where y is near 1
    decay = np.exp(-2 * np.abs(x))
    return (g * 4 * decay / (1 + decay) ** 2,)


def reference(x: Array) -> Any:
    from scipy.special import expit

    return 2 * expit(2 * x) - 1


def samples(rng: np.random.Generator) -> Iterator[Sample]:
    yield Sample("matrix", (normal(rng, 2, 3),))
    yield Sample("scalar", (normal(rng),))
    yield Sample("zero and both sides", (np.array([-3.0, -1.0, 0.0, 1.0, 3.0]),))
    yield Sample("saturated", (np.array([-12.0, 0.5, 11.0]),))
