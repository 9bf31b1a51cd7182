"""Natural logarithm.

forward:  y = log(x), for x > 0
backward: dx = g / x

Source: the derivative of the inverse of exp.
"""

from collections.abc import Iterator
from typing import Any

import numpy as np

from gradlab.node import Array, Sample
from gradlab.sampling import positive


def forward(x: Array) -> tuple[Array, Any]:
    return np.log(x), x


def backward(residuals: Any, g: Array) -> tuple[Array, ...]:
    x = residuals
    return (g / x,)


def reference(x: Array) -> Any:
    from scipy.special import xlogy

    return xlogy(1.0, x)


def samples(rng: np.random.Generator) -> Iterator[Sample]:
    yield Sample("matrix", (positive(rng, 2, 3),))
    yield Sample("scalar", (positive(rng),))
    yield Sample("both sides of 1, up to 100", (np.array([0.3, 0.9, 1.0, 1.1, 100.0]),))
