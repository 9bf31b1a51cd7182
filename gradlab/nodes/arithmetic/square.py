"""Square.

forward:  y = x^2
backward: dx = 2 g x

Source: the product rule on x * x; the square node of Deep Learning from Scratch 3, step 1.
"""

from collections.abc import Iterator
from typing import Any

import numpy as np

from gradlab.node import Array, Sample
from gradlab.sampling import normal


def forward(x: Array) -> tuple[Array, Any]:
    return np.square(x), x


def backward(residuals: Any, g: Array) -> tuple[Array, ...]:
    x = residuals
    return (2 * g * x,)


def reference(x: Array) -> Any:
    return np.power(np.abs(x), 2.0)


def samples(rng: np.random.Generator) -> Iterator[Sample]:
    yield Sample("matrix", (normal(rng, 2, 3),))
    yield Sample("batch of 1", (normal(rng, 1, 4),))
    yield Sample("scalar", (normal(rng),))
    yield Sample("the minimum and both sides", (np.array([-20.0, -1.0, 0.0, 1.0, 30.0]),))
