"""Absolute value.

forward:  y = |x|
backward: dx = g * sign(x), 0 at the kink x = 0

Source: piecewise linear, slope -1 and slope 1; at 0 any slope between is a subgradient, and 0 is the middle.
"""

from collections.abc import Iterator
from typing import Any

import numpy as np

from gradlab.node import Array, Sample
from gradlab.sampling import away_from


def forward(x: Array) -> tuple[Array, Any]:
    return np.abs(x), np.sign(x)


def backward(residuals: Any, g: Array) -> tuple[Array, ...]:
    sign = residuals
    return (g * sign,)


def reference(x: Array) -> Any:
    return np.maximum(x, -x)


def samples(rng: np.random.Generator) -> Iterator[Sample]:
    yield Sample("both sides", (away_from(rng, 2, 3),))
    yield Sample("batch of 1", (away_from(rng, 1, 4),))
    yield Sample("a negative scalar", (np.array(-0.7),))
    yield Sample("at the kink, and far from it", (np.array([-400.0, -1.0, 0.0, 2.0, 30.0]),))
