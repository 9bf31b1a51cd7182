"""The backward of broadcasting: what was copied along an axis is added along it."""

import numpy as np

from gradlab.node import Array


def unbroadcast(g: Array, shape: tuple[int, ...]) -> Array:
    """Return `g` summed over the axes along which an array of `shape` was broadcast to ``g.shape``.

    The result is always a new array, so that no gradient shares memory with its cotangent.
    """
    added = g.ndim - len(shape)
    stretched = tuple(added + i for i, size in enumerate(shape) if size == 1 and g.shape[added + i] != 1)
    total: Array = np.sum(g, axis=(*range(added), *stretched), keepdims=True)
    return total.reshape(shape)
