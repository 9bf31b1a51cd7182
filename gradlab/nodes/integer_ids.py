"""Arrays of whole numbers that name places along an axis."""

from typing import Any

import numpy as np

from gradlab.node import Array


def checked_ids(ids: Any, count: int | None = None) -> Array:
    """Return `ids` as an array; without a `count` they may be of any size.

    Raises
    ------
    ValueError
        If the ids are no whole numbers, or one of them is negative or not below `count`.
    """
    found = np.asarray(ids)
    if not np.issubdtype(found.dtype, np.integer):
        raise ValueError(f"ids has dtype {found.dtype}: give whole numbers")
    negative = found[found < 0]
    if negative.size:
        raise ValueError(f"ids holds {negative[0]}: give ids from 0 up")
    if count is not None and found.size and found.max() >= count:
        raise ValueError(f"ids holds {found.max()} for a length of {count}: give ids from 0 to below {count}")
    return found
