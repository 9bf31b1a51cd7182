"""Which axes may have another length: compiled code may look at no lengths, and read beyond its memory.

Integers among its settings may be places in an axis, and arrays that it holds may be as long as one. An axis that is
cut must not leave an integer pointing beyond its end: some read past their memory, and spoil the heap.
"""

from collections.abc import Iterator, Mapping
from numbers import Integral
from typing import Any

import numpy as np

from gradlab.checks.trial import Trial
from gradlab.node import Array


def takes_other_shapes(trial: Trial) -> bool:
    """Return whether a node may be given primals of other shapes: not compiled code that holds integers."""
    return trial.registered or trial.sheltered or not (trial.holds_integers or trial.fixed_shapes)


def takes_other_ranks(trial: Trial) -> bool:
    """Return whether a node may be given primals with an axis more, of which none is longer than those it has."""
    return takes_other_shapes(trial) or not (trial.holds_places or trial.fixed_shapes)


def may_be_resized(trial: Trial, n: int) -> bool:
    """Return whether axes of length n may have another length."""
    return takes_other_shapes(trial) and (trial.sheltered or n not in trial.held_lengths)


def may_be_cut(trial: Trial, n: int, size: int, settings: Mapping[str, Any]) -> bool:
    """Return whether axes of length n may be cut to `size` with these settings, which were cut with them.

    An integer that is a place in such an axis, or its length, would point beyond. Of an array in which another integer
    is larger than n, none is.
    """
    if trial.registered or size >= n:
        return True
    for name, value in settings.items():
        before = integers_in(trial.sample.settings[name])
        kept = integers_in(value)
        is_place = ((-n <= before) & (before <= n)).all()
        if is_place and (((size <= kept) & (kept <= n)) | (kept < -size)).any():
            return False
    return may_be_resized(trial, n)


# Deeper nobody nests settings, unless they hold themselves.
DEEPEST = 8


def integers_in(value: Any, arrays_alone: bool = False) -> Array:
    """Return the integers in a value, and in lists, tuples and dicts of values, in a row; or those in arrays alone."""
    return np.concatenate(
        [np.empty(0, np.int64), *_integers(value, np.ndarray if arrays_alone else np.ndarray | Integral)]
    )


def _integers(value: Any, kinds: Any, depth: int = 0) -> Iterator[Array]:
    if isinstance(value, bool | np.bool_) or depth > DEEPEST:
        return
    if isinstance(value, kinds):
        array = np.asarray(value).reshape(-1)
        if array.dtype.kind in "iu":
            yield array
    elif isinstance(value, Mapping | list | tuple):
        for part in value.values() if isinstance(value, Mapping) else value:
            yield from _integers(part, kinds, depth + 1)
