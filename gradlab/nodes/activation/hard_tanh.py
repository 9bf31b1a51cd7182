"""Hard hyperbolic tangent.

forward:  y = -1 where x < -1, 1 where x > 1, else x
backward: dx = g where -1 < x < 1, else 0 (at the kinks x = -1 and x = 1 too)

Source: piecewise linear, slope 0, 1 and 0; at the kinks any slope between is a subgradient, and 0 is the custom.
"""

from collections.abc import Iterator
from typing import Any

import numpy as np

from gradlab.node import Array, Sample
from gradlab.sampling import normal


def forward(x: Array) -> tuple[Array, Any]:
    return np.clip(x, -1, 1), np.abs(x) < 1


def backward(residuals: Any, g: Array) -> tuple[Array, ...]:
    inside = residuals
    return (np.where(inside, g, 0),)


def reference(x: Array) -> Any:
    return (np.abs(x + 1) - np.abs(x - 1)) / 2


def samples(rng: np.random.Generator) -> Iterator[Sample]:
    yield Sample("below, inside and above", (np.array([[-2.0, -0.4, 1.9], [0.2, 3.0, -1.3]]),))
    yield Sample("batch of 1", (normal(rng, 1, 4),))
    yield Sample("scalar inside", (np.array(-0.6),))
    yield Sample("at both kinks and at 0", (np.array([-1.0, -0.3, 0.0, 0.5, 1.0]),))
    yield Sample("far out", (np.array([-400.0, -30.0, 0.5, 30.0, 400.0]),))
