"""Gaussian error linear unit, approximated by tanh.

forward:  y = x (1 + tanh(u)) / 2, with u = sqrt(2 / pi) (x + 0.044715 x^3)
backward: dx = g (s + x s (1 - s) 2 u'), with s = (1 + tanh(u)) / 2 and u' = sqrt(2 / pi) (1 + 3 * 0.044715 x^2)

Source: the product rule and the chain rule; s = sigmoid(2 u), whose slope is s (1 - s). Hendrycks and Gimpel 2016.
"""

import math
from collections.abc import Iterator
from typing import Any

import numpy as np

from gradlab.node import Array, Sample
from gradlab.nodes.sigmoids import both_sigmoids
from gradlab.sampling import normal

SQRT_8_OVER_PI = 2 * math.sqrt(2 / math.pi)
CUBIC = 0.044715
# From here on s is 0 or 1 to the last digit, and further out x^3 would overflow.
SATURATED = 30.0


def forward(x: Array) -> tuple[Array, Any]:
    near = np.clip(x, -SATURATED, SATURATED)
    s, rest = both_sigmoids(SQRT_8_OVER_PI * (near + CUBIC * near**3))
    return x * s, (near, s, rest)


def backward(residuals: Any, g: Array) -> tuple[Array, ...]:
    x, s, rest = residuals
    inner = SQRT_8_OVER_PI * (1 + 3 * CUBIC * x * x)
    return (g * s * (1 + x * rest * inner),)


def reference(x: Array) -> Any:
    return x / 2 * (1 + np.tanh(np.sqrt(2 / np.pi) * (x + 0.044715 * x**3)))


def samples(rng: np.random.Generator) -> Iterator[Sample]:
    yield Sample("matrix", (normal(rng, 2, 3),))
    yield Sample("batch of 1", (normal(rng, 1, 4),))
    yield Sample("scalar", (normal(rng),))
    yield Sample("zero and both sides", (np.array([-3.0, -1.0, 0.0, 1.0, 3.0]),))
    yield Sample("far out", (np.array([-400.0, -29.0, -6.0, 0.5, 31.0, 400.0]),))
