"""Branch: one array goes to n places.

forward:  out_1 = ... = out_n = x
backward: dx = g_1 + ... + g_n

Source: the chain rule for several paths; the branch node of Deep Learning from Scratch 2, chapter 1.
"""

from collections.abc import Iterator
from typing import Any

import numpy as np

from gradlab.node import Array, Sample
from gradlab.sampling import normal


def forward(x: Array, *, n: int = 2) -> tuple[tuple[Array, ...], Any]:
    return tuple(x.copy() for _ in range(n)), None


def backward(residuals: Any, g: tuple[Array, ...]) -> tuple[Array, ...]:
    total = g[0].copy()
    for other in g[1:]:
        total += other
    return (total,)


def samples(rng: np.random.Generator) -> Iterator[Sample]:
    yield Sample("two ways", (normal(rng, 2, 3),))
    yield Sample("three ways", (normal(rng, 4),), {"n": 3})
    yield Sample("one way", (normal(rng, 2, 1),), {"n": 1})
    yield Sample("scalar, four ways", (normal(rng),), {"n": 4})
