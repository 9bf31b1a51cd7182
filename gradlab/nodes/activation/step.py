"""Step function of the perceptron.

forward:  y = 1 where x > 0, else 0
backward: dx = 0

Source: constant on both sides of its jump at 0, where no derivative exists; this is why a perceptron
cannot be trained by gradients (Deep Learning from Scratch, chapter 3).
"""

from collections.abc import Iterator
from typing import Any

import numpy as np

from gradlab.node import Array, Sample
from gradlab.sampling import away_from

ZERO_GRADIENT = "a step is constant on both sides of its jump"
EQUIVALENT_MUTANTS = {"return (-np.zeros_like(g),)": "-0.0 is 0"}


def forward(x: Array) -> tuple[Array, Any]:
    return (x > 0).astype(x.dtype), None


def backward(residuals: Any, g: Array) -> tuple[Array, ...]:
    return (np.zeros_like(g),)


def reference(x: Array) -> Any:
    return np.heaviside(x, 0.0)


def samples(rng: np.random.Generator) -> Iterator[Sample]:
    yield Sample("both sides", (away_from(rng, 2, 3),))
    yield Sample("at the jump", (np.array([-1.0, 0.0, 2.0]),))
