"""Scaled exponential linear unit.

forward:  y = scale x where x > 0, else scale alpha (exp(x) - 1), with scale = 1.0507... and alpha = 1.6732...
backward: dx = g scale where x > 0, else g scale alpha exp(x) (at the kink x = 0 too)

Source: the derivative of either branch; Klambauer, Unterthiner, Mayr and Hochreiter 2017, whose two constants
keep the mean at 0 and the variance at 1 from layer to layer.
"""

from collections.abc import Iterator
from typing import Any

import numpy as np

from gradlab.node import Array, Sample
from gradlab.sampling import away_from

SCALE = 1.0507009873554805
ALPHA = 1.6732632423543772


def forward(x: Array) -> tuple[Array, Any]:
    # exp never sees the positive side, where it could overflow
    passes, below = x > 0, np.minimum(x, 0)
    return SCALE * np.where(passes, x, ALPHA * np.expm1(below)), (passes, below)


def backward(residuals: Any, g: Array) -> tuple[Array, ...]:
    passes, below = residuals
    return (SCALE * np.where(passes, g, ALPHA * g) * np.exp(below),)


def reference(x: Array) -> Any:
    from scipy.special import erfcx

    # the constants in closed form, from the two equations for that mean and that variance
    one, two = erfcx(np.sqrt(0.5)), erfcx(np.sqrt(2.0))
    alpha = np.sqrt(2 / np.pi) / (1 - one)
    variance = 2 * two + np.pi * one**2 - 2 * (2 + np.pi) * one + np.pi + 2
    scale = (1 - one) * np.sqrt(2 * np.pi / variance)
    return scale * (np.maximum(x, 0) + alpha * (np.exp(np.minimum(x, 0)) - 1))


def samples(rng: np.random.Generator) -> Iterator[Sample]:
    yield Sample("both sides", (away_from(rng, 2, 3),))
    yield Sample("batch of 1", (away_from(rng, 1, 4),))
    yield Sample("a negative scalar", (np.array(-0.7),))
    yield Sample("at the kink", (np.array([-1.0, 0.0, 2.0]),))
    yield Sample("far out", (np.array([-400.0, -30.0, -0.5, 30.0, 400.0]),))
