"""Broadcasting: a check of the shapes, and the backward, which sums over the axes along which forward copies."""

import numpy as np

from gradlab.node import Array


def check_broadcast(**arrays: Array) -> None:
    """Raise a `ValueError` unless the arrays, named as the caller knows them, broadcast together."""
    try:
        np.broadcast(*arrays.values())
    except ValueError:
        shapes = ", ".join(f"{name} has shape {x.shape}" for name, x in arrays.items())
        raise ValueError(f"{shapes}: give shapes that broadcast together") from None


def unbroadcast(g: Array, shape: tuple[int, ...]) -> Array:
    """Return `g` summed over the axes along which an array of `shape` was broadcast to ``g.shape``.

    The result is always a new array, so that no gradient shares memory with its cotangent.
    """
    added = g.ndim - len(shape)
    stretched = tuple(added + i for i, size in enumerate(shape) if size == 1 and g.shape[added + i] != 1)
    total: Array = np.sum(g, axis=(*range(added), *stretched), keepdims=True)
    return total.reshape(shape)
