"""Generators of primals: they state a domain by drawing inside it, so that no check has to skip."""

import numpy as np

from gradlab.node import Array


def normal(rng: np.random.Generator, *shape: int) -> Array:
    """Return standard normal numbers of the given shape, float64."""
    return np.asarray(rng.standard_normal(shape))


def positive(rng: np.random.Generator, *shape: int) -> Array:
    """Return numbers in [0.2, 3), float64: clear of a singular point at 0."""
    return np.asarray(rng.uniform(0.2, 3.0, shape))


def away_from(rng: np.random.Generator, *shape: int, point: float = 0.0, distance: float = 0.2) -> Array:
    """Return numbers on both sides of `point`, none nearer to it than `distance`, float64.

    Signs alternate along the flattened array, so that two elements are enough to have both sides.
    """
    magnitude = distance + np.abs(rng.standard_normal(shape))
    side = np.where(np.arange(magnitude.size) % 2 == 0, 1.0, -1.0).reshape(shape)
    return np.asarray(point + side * magnitude)


def probabilities(rng: np.random.Generator, *shape: int) -> Array:
    """Return positive numbers that sum to one along the last axis, none below about 0.01, float64."""
    weights = rng.uniform(0.2, 3.0, shape)
    return np.asarray(weights / weights.sum(axis=-1, keepdims=True))


def labels(rng: np.random.Generator, count: int, classes: int) -> Array:
    """Return `count` class indices with at least one repeated where count > 1, int64."""
    drawn = rng.integers(classes, size=count)
    drawn[-1] = drawn[0]
    return np.asarray(drawn)


def one_hot(rng: np.random.Generator, count: int, classes: int) -> Array:
    """Return `labels` as rows with a single 1, shape (count, classes), float64."""
    return np.asarray(np.eye(classes)[labels(rng, count, classes)])
