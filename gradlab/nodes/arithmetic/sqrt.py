"""Square root.

forward:  y = sqrt(x), for x > 0
backward: dx = g / (2 y)

Source: the derivative of the inverse of squaring. At x = 0 the slope is infinite.
"""

from collections.abc import Iterator
from typing import Any

import numpy as np

from gradlab.node import Array, Sample
from gradlab.sampling import positive


def forward(x: Array) -> tuple[Array, Any]:
    y = np.sqrt(x)
    return y, y


def backward(residuals: Any, g: Array) -> tuple[Array, ...]:
    y = residuals
    return (g / (2 * y),)


def reference(x: Array) -> Any:
    return np.exp(np.log(x) / 2)


def samples(rng: np.random.Generator) -> Iterator[Sample]:
    yield Sample("matrix", (positive(rng, 2, 3),))
    yield Sample("batch of 1", (positive(rng, 1, 4),))
    yield Sample("scalar", (positive(rng),))
    yield Sample("both sides of 1, from 0.01 to 100", (np.array([0.01, 0.2, 1.0, 25.0, 100.0]),))
