"""One run of a layer: its state put back, its numbers set, forward called, and what came out of it."""

import inspect
import re
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from functools import partial
from types import FunctionType
from typing import Any

import numpy as np

from gradlab.adapters.foreign_pair.function_patch import Patch, of_logarithms, put, without_epsilon
from gradlab.adapters.numpy_layer import naming_conventions as names
from gradlab.adapters.numpy_layer.forward_arguments import Argument
from gradlab.adapters.numpy_layer.layer_error import LayerError
from gradlab.adapters.numpy_layer.layer_state import Snapshot
from gradlab.adapters.numpy_layer.number_places import (
    NumberPlace,
    Path,
    as_array,
    assign,
    attribute_names,
    data_name,
    follow,
    is_a,
    objects,
    parse,
    show,
)
from gradlab.adapters.numpy_layer.recording_optimizer import (
    RecordingOptimizer,
    optimizers_in,
    record_optimizers,
)
from gradlab.node import Array
from gradlab.workers.lock_free import cached_property
from gradlab.workers.strange_objects import attribute_of


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
        found = without_epsilon(self._own.functions, list(objects(self.layer).values()), self.overlay)
        return of_logarithms(found, self._own.functions)

    def leave(self) -> None:
        """Put everything back for good."""
        self._own.restore(every=True)

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


@dataclass
class LayerRun:
    """The state of a run after forward, and after backward.

    Attributes
    ----------
    layer : object
    args : list
        What forward was given.
    returned : object
        What it returned.
    outputs : tuple of ndarray
        The outputs that count, copied.
    params : dict of ndarray
        The parameters as they were set, by what they are called.
    given_back : object
        What backward returned.
    recorders : list of RecordingOptimizer
        What stands in the optimizers' place.
    moving : list of ndarray
        The parameters that they move: none, unless that is what is looked at.
    rewind : callable
        Lets what is drawn from now on be what forward drew.
    """

    layer: Any
    args: list[Any]
    returned: Any
    outputs: tuple[Array, ...] = ()
    params: dict[str, Array] = field(default_factory=dict)
    given_back: Any = None
    recorders: list[RecordingOptimizer] = field(default_factory=list)
    moving: list[Array] = field(default_factory=list)
    rewind: Callable[[], None] = lambda: None


@dataclass(frozen=True, eq=False)
class ForwardCall:
    """One call of forward, and where its outputs stand.

    Attributes
    ----------
    method : str
    arguments : tuple of Argument
    settings : mapping
        Its keyword arguments.
    attributes : mapping
        What is set in the layer before, by path.
    outputs : tuple of Path
        Of what it returned, or, with `stored`, of the layer.
    cache : bool
        Whether the last thing that it returned is for backward.
    stored : bool
        Whether it returns nothing, and the output is an attribute.
    partly : bool
        Whether it has more outputs than those that count.
    makes : bool
        Whether its outputs are objects of its own, and none of its arguments.
    scalar : bool
        Whether its one output is one number.
    backward, cotangent : str
        What the caller says that backward's method, and the argument or attribute for the cotangent, is called.
    unnamed : bool
        Whether no name says that its method is forward, and `backward` is not what the caller says but a guess.
    alone : bool
        Whether the object has these two methods and no others, the first one first.
    """

    method: str
    arguments: tuple[Argument, ...]
    settings: Mapping[str, Any] = field(default_factory=dict)
    attributes: Mapping[str, Any] = field(default_factory=dict)
    outputs: tuple[Path, ...] = ()
    cache: bool = False
    stored: bool = False
    partly: bool = False
    makes: bool = False
    scalar: bool = False
    backward: str = ""
    cotangent: str = ""
    unnamed: bool = False
    alone: bool = False

    def run(
        self,
        held_layer: HeldLayer,
        arrays: Sequence[Array],
        params: Sequence[tuple[NumberPlace, Array]] = (),
        settings: Mapping[str, Any] | None = None,
        wide: Any = None,
        fresh: bool = True,
    ) -> LayerRun:
        """Return a run of forward from the held state, with these floats in its arguments.

        `settings` stand for the settings, and for whole arguments, of the same names; `wide` is the dtype of the
        layer's arrays, if they are narrower. Unless `fresh`, the layer is as the last run left it.
        """
        if fresh:
            held_layer.reset(wide, [where for where, _ in params])
        layer, settings = held_layer.layer, settings or {}
        for name, value in self.attributes.items():
            assign(layer, parse(name), settings.get(name, value))
        moving: list[Array] = []
        recorders = record_optimizers(held_layer.optimizers, moving)
        for where, values in params:
            where.set(layer, values)
        given = iter(arrays)
        args = [settings[a.name] if a.name in settings else a.filled(given) for a in self.arguments]
        named = {name: settings.get(name, value) for name, value in self.settings.items()}
        set_to = {p.said: np.array(v) for p, v in params}
        rewind = held_layer.snapshot.rewind
        run = LayerRun(layer, args, None, params=set_to, recorders=recorders, moving=moving, rewind=rewind)
        run.returned = method_of(layer, self.method)(*args, **named)
        if self.makes and self.hands_back(run):
            raise ValueError(f"{self.method} hands its argument back here: there is nothing behind it")
        run.outputs = tuple(self.read(run))
        return run

    def hands_back(self, run: LayerRun) -> bool:
        """Return whether an output is one of the arguments, an object that keeps its own gradient."""
        return any(y is arg for y in self.raw(run) for arg in run.args if data_name(arg))

    def read(self, run: LayerRun) -> Iterator[Array]:
        """Yield the outputs as arrays of their own."""
        root = run.layer if self.stored else run.returned
        for path in self.outputs:
            array = as_array(follow(root, path))
            if array is None:
                raise LayerError(
                    f"{self.method} returned something else the second time: return an array of floats"
                )
            yield np.array(array)

    def raw(self, run: LayerRun) -> list[Any]:
        """Return the outputs as they came: tensor objects, not their arrays."""
        root = run.layer if self.stored else run.returned
        return [follow(root, path) for path in self.outputs]


_RESETS = re.compile(r"^(reset|flush|clear|forget|init_?(state|hidden))(?!.*(param|weight))")


def resets(layer: Any) -> list[str]:
    """Return the names of the methods that make a layer forget what went before."""
    return [
        name
        for name in attribute_names(layer)
        if _RESETS.match(name) and callable(getattr(layer, name, None))
    ]


def title_of(layer: Any) -> str:
    """Return what a layer is called in a report."""
    name = attribute_of(layer, "__name__")
    return name if isinstance(name, str) and name else type(layer).__name__


def method_of(layer: Any, name: str) -> Any:
    """Return a method; for ``__call__`` the object itself."""
    return layer if name == "__call__" else getattr(layer, name)


def backward_methods(layer: Any, forward: str) -> list[str]:
    """Return the names of the methods that may run a layer backwards, the likeliest first."""
    found = [name for name in attribute_names(layer) if names.looks_like_backward(name) and name != forward]
    # a function that a layer holds is a part of it
    if not is_a(layer, type | FunctionType) and forward not in vars_of(layer):
        found = [name for name in found if name not in vars_of(layer)]
    order = {name: i for i, name in enumerate(names.BACKWARD)}
    found.sort(key=lambda name: (order.get(names.plain(name), len(order)), name.startswith("_"), name))
    return [
        name
        for name in found
        if callable(attribute_of(layer, name)) and not _is_object(attribute_of(layer, name))
    ]


def vars_of(layer: Any) -> Mapping[str, Any]:
    """Return an object's own attributes."""
    own = attribute_of(layer, "__dict__")
    return own if isinstance(own, Mapping) else {}


def passes_cache(layer: Any) -> bool:
    """Return whether it stands for two functions, of which the first gives a cache to the second."""
    return attribute_of(layer, "passes_cache") is True


def _is_object(value: Any) -> bool:
    """Return whether it is a layer or a class held in an attribute, and no method."""
    return isinstance(value, type) or not (inspect.isroutine(value) or isinstance(value, partial | np.ufunc))


@dataclass(frozen=True)
class GradientSlot:
    """A place where a gradient is found after a run.

    Attributes
    ----------
    said : str
    read : callable
        ``read(run)``: what stands there, None if nothing does.
    path : Path or None
        How to get there from a `LayerRun`, where it is a place that can be written to as well.
    turned : bool
        Whether it is the gradient of the parameter's transpose.
    """

    said: str
    read: Callable[[LayerRun], Any]
    path: Path | None = None
    turned: bool = False

    def array(self, run: LayerRun) -> Array | None:
        """Return the gradient, turned as its parameter is; None if there is none."""
        try:
            found = as_array(self.read(run))
        except (AttributeError, KeyError, IndexError, TypeError):
            return None
        return found.T if found is not None and self.turned else found


def slot_at(path: Path, said: str = "", turned: bool = False) -> GradientSlot:
    """Return the slot at a path that starts from a run."""
    what = show(path[1:]) if path[:1] == (("attr", "layer"),) else show(path)
    return GradientSlot(said or f"attribute {what}", lambda run: follow(run, path), path, turned)
