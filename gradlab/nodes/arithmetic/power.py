"""Power with a constant exponent.

forward:  y = x^p, for x > 0; a whole p takes x < 0 too
backward: dx = g * p * x^(p - 1)

Source: the derivative of exp(p log x). At x = 0 the slope is infinite where 0 < p < 1, and 0 where p = 0.
"""

from collections.abc import Iterator
from typing import Any

import numpy as np

from gradlab.node import Array, Sample
from gradlab.nodes.number_settings import finite_number
from gradlab.sampling import away_from, normal, positive

EQUIVALENT_MUTANTS = {
    "slope = p * x ** (p - 1) if p else np.zeros_like(g)": "x and its cotangent have the same shape",
}


def forward(x: Array, *, p: float) -> tuple[Array, Any]:
    p = finite_number(p, "p")
    return x**p, (x, p)


def backward(residuals: Any, g: Array) -> tuple[Array, ...]:
    x, p = residuals
    # 0 * x^-1 would be 0 * infinity at x = 0
    slope = p * x ** (p - 1) if p else np.zeros_like(x)
    return (g * slope,)


def reference(x: Array, *, p: float) -> Any:
    from scipy.special import xlogy

    sign = np.where((x < 0) & (p % 2 == 1), -1.0, 1.0)
    return sign * np.exp(xlogy(p, np.abs(x)))


def samples(rng: np.random.Generator) -> Iterator[Sample]:
    yield Sample("a cube, both signs and 0", (np.array([[-1.5, -0.5, 0.0], [0.5, 1.0, 2.0]]),), {"p": 3})
    yield Sample("no whole exponent", (positive(rng, 2, 3),), {"p": 2.5})
    yield Sample("a root, batch of 1", (positive(rng, 1, 4),), {"p": 0.5})
    yield Sample("below 0, both signs", (away_from(rng, 2, 3),), {"p": -2})
    yield Sample("below 0, no whole exponent", (positive(rng, 4),), {"p": -0.7})
    yield Sample("exponent 1, scalar", (normal(rng),), {"p": 1})
    yield Sample("exponent 0, at 0 too", (np.array([-1.0, 0.0, 2.0]),), {"p": 0})
