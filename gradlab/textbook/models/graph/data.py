"""Data for several inputs or outputs, given as a list in their order, or as a dict by their names."""

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from gradlab.node import Array
from gradlab.textbook.models.graph.layers import Tensor


def one_per_name(given: Any, names: Sequence[str], what: str) -> list[Any]:
    """Return, in the order of `names`, the item of `given` for each name; messages call `given` by `what`.

    Raises
    ------
    ValueError
        If `given` is neither a dict with these names nor, where there are several names, a list of as many items.
    """
    if isinstance(given, Mapping):
        if set(given) != set(names):
            raise ValueError(f"{what} has the names {', '.join(map(str, given))}: give {', '.join(names)}")
        return [given[name] for name in names]
    if len(names) == 1:
        return [given]
    if not isinstance(given, list | tuple) or len(given) != len(names):
        count = len(given) if isinstance(given, list | tuple) else 1
        raise ValueError(
            f"{what} holds {count} for {len(names)}: give a list or a dict of {', '.join(names)}"
        )
    return list(given)


def input_arrays(
    given: Any, inputs: Sequence[Tensor], names: Sequence[str], ids: set[Tensor], dtype: Any
) -> list[Array]:
    """Return an array for each input, in `dtype` except for the inputs `ids`, which take word ids.

    Raises
    ------
    ValueError
        If an array does not have the shape (N, *its input's shape), with one N above 0 for all.
    """
    found = []
    for name, tensor, values in zip(names, inputs, one_per_name(given, names, "x"), strict=True):
        array = np.asarray(values)
        if array.shape[1:] != tensor.shape or array.ndim == 0 or not len(array):
            wanted = ", ".join(["N", *map(str, tensor.shape)])
            raise ValueError(
                f"{name} has shape {array.shape}: give an array of shape ({wanted}), N at least 1"
            )
        found.append(array if tensor in ids else array.astype(dtype, copy=False))
    check_rows(names, found)
    return found


def check_rows(names: Sequence[str], arrays: Sequence[Array]) -> None:
    """Raise a `ValueError` unless all arrays have the same number of rows."""
    for name, array in zip(names, arrays, strict=True):
        if len(array) != len(arrays[0]):
            raise ValueError(
                f"{name} has {len(array)} rows and {names[0]} {len(arrays[0])}: give one for each example"
            )
