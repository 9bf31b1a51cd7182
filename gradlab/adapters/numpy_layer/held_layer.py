"""A layer with its state held, in the precision that it has and in higher ones."""

from collections.abc import Sequence
from functools import cached_property
from typing import Any

import numpy as np

from gradlab.adapters.foreign_pair.function_patch import Patch, put, without_epsilon
from gradlab.adapters.numpy_layer.layer_state import Snapshot
from gradlab.adapters.numpy_layer.number_places import NumberPlace, objects
from gradlab.adapters.numpy_layer.recording_optimizer import optimizers_in
from gradlab.node import Array


class HeldLayer:
    """A layer with its state held, in the precision that it has and in higher ones.

    Attributes
    ----------
    layer : object
    """

    def __init__(self, layer: Any, given: Sequence[Any] = ()) -> None:
        self.layer = layer
        self._given = given
        self._own = Snapshot(layer, *given)
        self.optimizers = optimizers_in(layer)
        self._wider: dict[Any, Snapshot] = {}
        # what is put again after each reset: see gradlab.adapters.foreign_pair.function_patch
        self.overlay: list[tuple[Any, str, Any]] = []

    @property
    def snapshot(self) -> Snapshot:
        """What is held."""
        return self._own

    @cached_property
    def epsilons(self) -> Patch:
        """The patch under which the layer runs without its epsilons."""
        self.reset()
        return without_epsilon(self._own.functions, list(objects(self.layer).values()), self.overlay)

    def reset(self, wide: Any = None, learned: Sequence[NumberPlace] = ()) -> None:
        """Put everything back as it was, with arrays of the dtype `wide` instead of narrower ones if so asked.

        Beyond double precision, which not all of NumPy takes, only parameters are made wider.
        """
        self._own.restore()
        if wide is not None:
            if wide not in self._wider:
                self._wider[wide] = self._widened(wide, {id(place.get(self.layer)) for place in learned})
            self._wider[wide].restore()
        put(self.overlay)

    def _widened(self, wide: Any, learned: set[int]) -> Snapshot:
        """Return the state with wider arrays; views of one array stay views of one."""
        floats = [x for x in self._own.arrays if x.dtype.kind == "f" and x.itemsize < np.dtype(wide).itemsize]
        narrow = {id(x): x for x in floats if x.itemsize < 8 or id(x) in learned}
        if not narrow:
            return self._own
        bases: dict[int, Array] = {}
        new = {key: _wide_copy(x, bases, wide) for key, x in narrow.items()}
        for holder in self._own.holders:
            for key, value in list(holder.items()) if isinstance(holder, dict) else enumerate(holder):
                if id(value) in new:
                    holder[key] = new[id(value)]
                elif isinstance(value, tuple) and any(id(part) in new for part in value):
                    parts: Any = [new.get(id(part), part) for part in value]
                    holder[key] = type(value)(*parts) if hasattr(value, "_fields") else tuple(parts)
        return Snapshot(self.layer, *self._given)


def _wide_copy(x: Array, bases: dict[int, Array], wide: Any) -> Array:
    base = x
    while isinstance(base.base, np.ndarray) and base.base.dtype == x.dtype:
        base = base.base
    whole = bases.setdefault(id(base), base.astype(wide))
    if base is x or not (base.flags.c_contiguous or base.flags.f_contiguous):
        return whole if base is x else x.astype(wide)
    size = whole.itemsize
    start = (x.__array_interface__["data"][0] - base.__array_interface__["data"][0]) // x.itemsize
    strides = [size * stride // x.itemsize for stride in x.strides]
    flat: Any = whole.ravel(order="K")  # a view, as the base has no gaps
    return np.ndarray(x.shape, whole.dtype, buffer=flat, offset=size * start, strides=strides)
