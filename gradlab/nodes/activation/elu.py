"""Exponential linear unit.

forward:  y = x where x > 0, else alpha (exp(x) - 1)
backward: dx = g where x > 0, else g alpha exp(x) (at x = 0 too, a kink unless alpha = 1)

Source: the derivative of either branch; Clevert, Unterthiner and Hochreiter 2015.
"""

from collections.abc import Iterator
from typing import Any

import numpy as np

from gradlab.node import Array, Sample
from gradlab.nodes.number_settings import finite_number
from gradlab.sampling import away_from


def forward(x: Array, *, alpha: float = 1.0) -> tuple[Array, Any]:
    alpha = finite_number(alpha, "alpha")
    # exp never sees the positive side, where it could overflow
    passes, below = x > 0, np.minimum(x, 0)
    return np.where(passes, x, alpha * np.expm1(below)), (passes, below, alpha)


def backward(residuals: Any, g: Array) -> tuple[Array, ...]:
    passes, below, alpha = residuals
    return (np.where(passes, g, alpha * g) * np.exp(below),)


def reference(x: Array, *, alpha: float = 1.0) -> Any:
    return np.maximum(x, 0) + alpha * (np.exp(np.minimum(x, 0)) - 1)


def samples(rng: np.random.Generator) -> Iterator[Sample]:
    yield Sample("both sides", (away_from(rng, 2, 3),))
    yield Sample("batch of 1, a small alpha", (away_from(rng, 1, 4),), {"alpha": 0.3})
    yield Sample("a negative scalar, a large alpha", (np.array(-0.7),), {"alpha": 2.5})
    yield Sample("smooth at 0", (np.array([-1.0, 0.0, 2.0]),))
    yield Sample("at the kink", (np.array([-1.0, 0.0, 2.0]),), {"alpha": 0.5})
    yield Sample("far out", (np.array([-400.0, -30.0, -0.5, 30.0, 400.0]),), {"alpha": 1.5})
