"""Clip to an interval.

forward:  y = low where x < low, high where x > high, else x
backward: dx = g where low < x < high, else 0 (at the kinks x = low and x = high too)

Source: piecewise linear, slope 0, 1 and 0; at the kinks any slope between is a subgradient, and with 0 there an
interval of one point, low = high, has the slope 0 of the constant that it makes.
"""

from collections.abc import Iterator
from typing import Any

import numpy as np

from gradlab.node import Array, Sample
from gradlab.nodes.number_settings import number
from gradlab.sampling import normal


def forward(x: Array, *, low: float, high: float) -> tuple[Array, Any]:
    low, high = number(low, "low"), number(high, "high")
    if low > high:
        raise ValueError(f"the interval from low = {low:g} to high = {high:g} is empty: give low <= high")
    return np.clip(x, low, high), (low < x) & (x < high)


def backward(residuals: Any, g: Array) -> tuple[Array, ...]:
    inside = residuals
    return (np.where(inside, g, 0),)


def reference(x: Array, *, low: float, high: float) -> Any:
    return np.where(x < low, low, np.where(x > high, high, x))


def samples(rng: np.random.Generator) -> Iterator[Sample]:
    both = {"low": -1.0, "high": 0.5}
    yield Sample("below, inside and above", (np.array([[-2.0, -0.4, 0.9], [0.2, 3.0, -1.3]]),), both)
    yield Sample("at both bounds", (np.array([-1.0, -0.3, 0.0, 0.5, 0.7]),), both)
    yield Sample("batch of 1, no upper bound", (normal(rng, 1, 4),), {"low": 0.1, "high": np.inf})
    yield Sample("scalar inside, whole numbers", (np.array(1.5),), {"low": 1, "high": 2})
    yield Sample("an interval of one point", (np.array([-1.0, 0.25, 2.0]),), {"low": 0.25, "high": 0.25})
    yield Sample("far out", (np.array([-400.0, -30.0, 5.0, 30.0, 400.0]),), {"low": -50.0, "high": 20.0})
