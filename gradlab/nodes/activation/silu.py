"""Sigmoid linear unit, also called swish.

forward:  y = x s, with s = sigmoid(x)
backward: dx = g s (1 + x (1 - s))

Source: the product rule, and the sigmoid's slope s (1 - s); Elfwing, Uchibe and Doya 2017.
"""

from collections.abc import Iterator
from typing import Any

import numpy as np

from gradlab.node import Array, Sample
from gradlab.nodes.sigmoids import both_sigmoids
from gradlab.sampling import normal


def forward(x: Array) -> tuple[Array, Any]:
    s, rest = both_sigmoids(x)
    return x * s, (x, s, rest)


def backward(residuals: Any, g: Array) -> tuple[Array, ...]:
    x, s, rest = residuals
    return (g * s * (1 + x * rest),)


def reference(x: Array) -> Any:
    from scipy.special import expit

    return x * expit(x)


def samples(rng: np.random.Generator) -> Iterator[Sample]:
    yield Sample("matrix", (normal(rng, 2, 3),))
    yield Sample("batch of 1", (normal(rng, 1, 4),))
    yield Sample("scalar", (normal(rng),))
    yield Sample("zero, the minimum and both sides", (np.array([-4.0, -1.2785, 0.0, 1.0, 4.0]),))
    yield Sample("far out", (np.array([-400.0, -30.0, 0.5, 30.0, 400.0]),))
