"""Dropout with a given mask, in training; what is kept is scaled up, so that nothing is left to do in use.

forward:  y = x / (1 - rate) where the mask is True, else 0
backward: dx = g / (1 - rate) where the mask is True, else 0

Source: linear, with a diagonal matrix; Srivastava and others, 2014, Journal of Machine Learning Research 15. The mask
is a setting, since a function that draws one anew at every call has no derivative.
"""

from collections.abc import Iterator
from typing import Any

import numpy as np

from gradlab.node import Array, Sample
from gradlab.sampling import normal


def forward(x: Array, *, mask: Array, rate: float) -> tuple[Array, Any]:
    if mask.shape != x.shape or mask.dtype != np.bool_:
        raise ValueError(
            f"mask has shape {mask.shape} and dtype {mask.dtype}: give booleans of x's shape {x.shape}"
        )
    if not 0 <= rate < 1:
        raise ValueError(f"rate is {rate}: give the share that is dropped, at least 0 and below 1")
    return np.where(mask, x / (1 - rate), 0), (mask, rate)


def backward(residuals: Any, g: Array) -> tuple[Array, ...]:
    mask, rate = residuals
    return (np.where(mask, g / (1 - rate), 0),)


def reference(x: Array, *, mask: Array, rate: float) -> Any:
    return np.ma.MaskedArray(x, ~mask).filled(0.0) * (1 / (1 - rate))


def samples(rng: np.random.Generator) -> Iterator[Sample]:
    some = np.array([[True, False, True], [False, False, True]])
    yield Sample("some of a matrix", (normal(rng, 2, 3),), {"mask": some, "rate": 0.5})
    yield Sample(
        "a rate of 0.2", (normal(rng, 4),), {"mask": np.array([True, True, False, True]), "rate": 0.2}
    )
    yield Sample("rate 0", (normal(rng, 1, 2),), {"mask": np.array([[True, True]]), "rate": 0.0})
    yield Sample("all dropped", (normal(rng, 3),), {"mask": np.zeros(3, dtype=bool), "rate": 0.75})
