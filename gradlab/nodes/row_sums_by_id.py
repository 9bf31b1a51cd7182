"""Sums of the rows that have the same id: the backward of picking rows by their ids."""

import numpy as np

from gradlab.node import Array


def row_sums_by_id(ids: Array, rows: Array, count: int) -> Array:
    """Return `count` rows, of which number w is the sum of those of `rows` whose id is w.

    Raises
    ------
    ValueError
        If there is not one id for each row, or an id is none of 0 to `count` - 1.
    """
    from scipy.sparse import csc_array

    # the product below writes to the place that an id names, even outside the array
    if ids.shape != rows.shape[:1] or (ids.size and not 0 <= ids.min() <= ids.max() < count):
        raise ValueError(
            f"ids has shape {ids.shape}: give one for each of {len(rows)} rows, from 0 to {count - 1}"
        )
    # the ids are a one-hot matrix in compressed columns, and its product adds whole rows: np.add.at is far slower
    ones = np.ones(len(ids), np.promote_types(rows.dtype, np.float32))
    one_hot = csc_array((ones, ids, np.arange(len(ids) + 1)), shape=(count, len(ids)))
    total: Array = one_hot @ rows
    return total.astype(rows.dtype, copy=False)
