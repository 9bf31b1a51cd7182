"""Exponential.

forward:  y = exp(x)
backward: dx = g * y

Source: exp is its own derivative.
"""

from collections.abc import Iterator
from typing import Any

import numpy as np

from gradlab.node import Array, Sample
from gradlab.sampling import normal


def forward(x: Array) -> tuple[Array, Any]:
    y = np.exp(x)
    return y, y


def backward(residuals: Any, g: Array) -> tuple[Array, ...]:
    y = residuals
    return (g * y,)


def reference(x: Array) -> Any:
    from scipy.special import expm1

    return expm1(x) + 1


def samples(rng: np.random.Generator) -> Iterator[Sample]:
    yield Sample("matrix", (normal(rng, 2, 3),))
    yield Sample("scalar", (normal(rng),))
    yield Sample("from 1e-4 to 1e4", (np.linspace(-9.0, 9.0, 7),))
