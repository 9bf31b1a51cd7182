"""Leaky rectified linear unit.

forward:  y = x where x > 0, else alpha x
backward: dx = g where x > 0, else alpha g (at the kink x = 0 too)

Source: piecewise linear, slope alpha and slope 1; Maas, Hannun and Ng 2013.
"""

from collections.abc import Iterator
from typing import Any

import numpy as np

from gradlab.node import Array, Sample
from gradlab.nodes.number_settings import finite_number
from gradlab.sampling import away_from


def forward(x: Array, *, alpha: float = 0.01) -> tuple[Array, Any]:
    alpha = finite_number(alpha, "alpha")
    passes = x > 0
    return np.where(passes, x, alpha * x), (passes, alpha)


def backward(residuals: Any, g: Array) -> tuple[Array, ...]:
    passes, alpha = residuals
    return (np.where(passes, g, alpha * g),)


def reference(x: Array, *, alpha: float = 0.01) -> Any:
    return np.maximum(x, 0) + alpha * np.minimum(x, 0)


def samples(rng: np.random.Generator) -> Iterator[Sample]:
    yield Sample("both sides", (away_from(rng, 2, 3),))
    yield Sample("batch of 1, a large alpha", (away_from(rng, 1, 4),), {"alpha": 0.3})
    yield Sample("a negative scalar, alpha below 0", (np.array(-0.7),), {"alpha": -2.0})
    yield Sample("at the kink", (np.array([-1.0, 0.0, 2.0]),), {"alpha": 0.2})
    yield Sample("far out", (np.array([-400.0, -30.0, 30.0, 400.0]),))
