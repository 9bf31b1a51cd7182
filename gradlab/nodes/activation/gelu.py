"""Gaussian error linear unit, exact.

forward:  y = x Phi(x), with Phi(x) = (1 + erf(x / sqrt(2))) / 2, the normal distribution's cumulative function
backward: dx = g (Phi(x) + x phi(x)), with phi(x) = exp(-x^2 / 2) / sqrt(2 pi), its density

Source: the product rule, and Phi' = phi; Hendrycks and Gimpel 2016.
"""

import math
from collections.abc import Iterator
from typing import Any

import numpy as np

from gradlab.node import Array, Sample
from gradlab.nodes.normal_distribution import cumulative_and_bell
from gradlab.sampling import normal

DENSITY_AT_0 = 1 / math.sqrt(2 * math.pi)


def forward(x: Array) -> tuple[Array, Any]:
    cumulative, bell = cumulative_and_bell(x)
    return x * cumulative, (x, cumulative, bell)


def backward(residuals: Any, g: Array) -> tuple[Array, ...]:
    x, cumulative, bell = residuals
    return (g * (x * bell * DENSITY_AT_0 + cumulative),)


def reference(x: Array) -> Any:
    return x * np.vectorize(math.erfc)(-x / math.sqrt(2)) / 2


def samples(rng: np.random.Generator) -> Iterator[Sample]:
    yield Sample("matrix", (normal(rng, 2, 3),))
    yield Sample("batch of 1", (normal(rng, 1, 4),))
    yield Sample("scalar", (normal(rng),))
    yield Sample("zero and both sides", (np.array([-3.0, -1.0, 0.0, 1.0, 3.0]),))
    yield Sample("far out", (np.array([-400.0, -30.0, -6.0, 0.5, 30.0, 400.0]),))
