"""Split: an array is cut along an axis into several.

forward:  out_1, ..., out_n = the n equal parts of x along `axis`, or those between given places
backward: dx = g_1, ..., g_n, joined along `axis`

Source: the concatenate node turned round: every element of x is one element of one output.
"""

from collections.abc import Iterator, Sequence
from itertools import pairwise
from operator import index
from typing import Any

import numpy as np

from gradlab.node import Array, Sample
from gradlab.nodes.shape._axes import checked_axis
from gradlab.sampling import normal


def forward(x: Array, *, sections: int | Sequence[int], axis: int = 0) -> tuple[tuple[Array, ...], Any]:
    along = checked_axis(x, axis)
    length = x.shape[along]
    if isinstance(sections, int | np.integer):
        if sections < 1 or length % sections:
            raise ValueError(
                f"sections is {sections} for a length of {length}: give a number that divides it"
            )
    elif not _rise(sections, length):
        raise ValueError(
            f"sections is {sections!r} for a length of {length}: "
            f"give a number of equal parts, or places from 0 to {length} in rising order"
        )
    return tuple(part.copy() for part in np.split(x, sections, axis=along)), along


def _rise(places: Sequence[int], length: int) -> bool:
    # places out of order would give an element to two outputs, or to none
    try:
        return all(start <= stop for start, stop in pairwise([0, *map(index, places), length]))
    except TypeError:
        return False


def backward(residuals: Any, g: tuple[Array, ...]) -> tuple[Array, ...]:
    axis = residuals
    return (np.concatenate(g, axis=axis),)


def reference(x: Array, *, sections: Any, axis: int = 0) -> Any:
    length = x.shape[axis]
    places = range(0, length + 1, length // sections) if isinstance(sections, int) else (0, *sections, length)
    return tuple(np.take(x, range(start, stop), axis=axis) for start, stop in pairwise(places))


def samples(rng: np.random.Generator) -> Iterator[Sample]:
    yield Sample("two halves", (normal(rng, 4, 3),), {"sections": 2})
    yield Sample("parts of 1, 2 and 1", (normal(rng, 2, 4),), {"sections": [1, 3], "axis": -1})
    yield Sample("single slices, middle axis", (normal(rng, 2, 3, 2),), {"sections": 3, "axis": 1})
    yield Sample("vector whole", (normal(rng, 3),), {"sections": 1})
    yield Sample("an empty part", (normal(rng, 2, 2),), {"sections": (1, 1)})
