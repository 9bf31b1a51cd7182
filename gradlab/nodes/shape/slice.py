"""Slice: the elements that an index picks, in all the ways in which NumPy indexes.

forward:  out = x[index]
backward: dx = 0, with g added at index: an element that was picked several times adds up all its parts

Source: every element of the output is one element of x; the branch node where one is picked several times.
"""

from collections.abc import Iterator
from typing import Any

import numpy as np

from gradlab.node import Array, Sample
from gradlab.sampling import normal

EQUIVALENT_MUTANTS = {"dx = -np.zeros(shape, g.dtype)": "-0.0 is 0"}


def forward(x: Array, *, index: Any) -> tuple[Array, Any]:
    try:
        return np.array(x[index]), (x.shape, index)
    except IndexError as error:
        raise ValueError(
            f"index does not fit x of shape {x.shape} ({error}): "
            "give whole numbers inside it, slices, None, ..., a mask of its shape, or arrays of whole numbers"
        ) from None


def backward(residuals: Any, g: Array) -> tuple[Array, ...]:
    shape, index = residuals
    dx = np.zeros(shape, g.dtype)
    np.add.at(dx, index, g)
    return (dx,)


def reference(x: Array, *, index: Any) -> Any:
    return np.take(x, np.arange(x.size).reshape(x.shape)[index])


def samples(rng: np.random.Generator) -> Iterator[Sample]:
    mask = np.array([[True, False, True], [False, False, True]])
    yield Sample("every second row, backwards", (normal(rng, 4, 3),), {"index": np.s_[::-2, 1:]})
    yield Sample("a number, ... and None", (normal(rng, 2, 1, 3),), {"index": np.s_[..., None, -1]})
    yield Sample("rows, one three times", (normal(rng, 3, 2),), {"index": np.array([2, 0, 2, 2])})
    yield Sample("pairs, one twice", (normal(rng, 2, 3),), {"index": ([0, 1, 0], [2, -2, 2])})
    yield Sample("mask", (normal(rng, 2, 3),), {"index": mask})
