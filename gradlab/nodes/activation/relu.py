"""Rectified linear unit.

forward:  y = max(x, 0)
backward: dx = g where x > 0, else 0 (at the kink x = 0 too)

Source: piecewise linear, slope 0 and slope 1; at 0 any slope between is a subgradient, and 0 is the custom.
"""

from collections.abc import Iterator
from typing import Any

import numpy as np

from gradlab.node import Array, Sample
from gradlab.sampling import away_from

EQUIVALENT_MUTANTS = {
    "return (np.where(passes, g, np.zeros_like(passes)),)": "False beside floats is their 0",
}


def forward(x: Array) -> tuple[Array, Any]:
    return np.maximum(x, 0), x > 0


def backward(residuals: Any, g: Array) -> tuple[Array, ...]:
    passes = residuals
    return (np.where(passes, g, np.zeros_like(g)),)


def samples(rng: np.random.Generator) -> Iterator[Sample]:
    yield Sample("both sides", (away_from(rng, 2, 3),))
    yield Sample("a negative scalar", (np.array(-0.7),))
    yield Sample("a positive scalar", (np.array(0.7),))
    yield Sample("at the kink", (np.array([-1.0, 0.0, 2.0]),))
