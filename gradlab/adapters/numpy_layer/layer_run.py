"""One run of a layer: its state put back, its numbers set, forward called, and what came out of it."""

import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from typing import Any

import numpy as np

from gradlab.adapters.numpy_layer.held_layer import HeldLayer
from gradlab.adapters.numpy_layer.number_places import NumberPlace, Path, assign, follow, parse
from gradlab.adapters.numpy_layer.number_values import as_array, data_name, grad_name, is_number
from gradlab.adapters.numpy_layer.recording_optimizer import RecordingOptimizer, spied
from gradlab.node import Array


class LayerError(ValueError):
    """A layer, or the call for it, from which nothing can be checked; the message ends with the cure."""


def said(error: BaseException) -> str:
    """Return an exception in one line."""
    text = " ".join(str(error).split())
    if isinstance(error, LayerError):
        return text
    return f"raised {type(error).__name__}: {text}" if text else f"raised {type(error).__name__}"


@dataclass(frozen=True, eq=False)
class Argument:
    """What forward is given at one position.

    Attributes
    ----------
    name : str
    value : object
        An array, a number, a tensor object, or a list, tuple or dict of them.
    scalars : bool
        Whether plain numbers are differentiated; beside arrays they are settings.
    """

    name: str
    value: Any
    scalars: bool = True

    @cached_property
    def paths(self) -> tuple[Path, ...]:
        """Where in it its floats stand."""
        return tuple(_floats(self.value, (), self.scalars))

    def filled(self, arrays: Iterator[Array]) -> Any:
        """Return the value with other numbers in it, or, of a tensor object, itself with them."""
        return _filled(self.value, arrays, self.scalars)


def counts(value: Any, scalars: bool) -> bool:
    """Return whether a value is a float that may be differentiated."""
    return is_number(value) and (scalars or isinstance(value, np.ndarray))


def _floats(value: Any, path: Path, scalars: bool) -> Iterator[Path]:
    if counts(value, scalars):
        yield path
    elif isinstance(value, Mapping):
        for key, part in value.items():
            yield from _floats(part, (*path, ("item", key)), scalars)
    elif isinstance(value, list | tuple):
        for i, part in enumerate(value):
            yield from _floats(part, (*path, ("item", i)), scalars)
    elif name := data_name(value):
        yield (*path, ("attr", name))


def _filled(value: Any, arrays: Iterator[Array], scalars: bool) -> Any:
    if counts(value, scalars):
        return next(arrays) if isinstance(value, np.ndarray) else next(arrays)[()]
    if isinstance(value, Mapping):
        return {key: _filled(part, arrays, scalars) for key, part in value.items()}
    if isinstance(value, list | tuple):
        parts = [_filled(part, arrays, scalars) for part in value]
        return parts if isinstance(value, list) else tuple(parts)
    if data_name(value):
        _refill(value, next(arrays))
    return value


def _refill(tensor: Any, array: Array) -> None:
    """Put other numbers into a tensor object, and a gradient of their shape if it keeps one."""
    name, other = data_name(tensor), grad_name(tensor)
    held, grad = getattr(tensor, name), getattr(tensor, other)
    setattr(tensor, name, array if isinstance(held, np.ndarray) else type(held)(array))
    if isinstance(grad, np.ndarray) and grad.shape != array.shape and np.shape(held) == grad.shape:
        setattr(tensor, other, np.zeros_like(array))


@dataclass
class LayerRun:
    """What there is after forward, and after backward.

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
    spies : list of RecordingOptimizer
        What stands in the optimizers' place.
    moving : list of ndarray
        The parameters that they move: none, unless that is what is looked at.
    """

    layer: Any
    args: list[Any]
    returned: Any
    outputs: tuple[Array, ...] = ()
    params: dict[str, Array] = field(default_factory=dict)
    given_back: Any = None
    spies: list[RecordingOptimizer] = field(default_factory=list)
    moving: list[Array] = field(default_factory=list)


@dataclass(frozen=True, eq=False)
class ForwardCall:
    """One way to call forward, and where its outputs stand.

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
    scalar : bool
        Whether its one output is one number.
    """

    method: str
    arguments: tuple[Argument, ...]
    settings: Mapping[str, Any] = field(default_factory=dict)
    attributes: Mapping[str, Any] = field(default_factory=dict)
    outputs: tuple[Path, ...] = ()
    cache: bool = False
    stored: bool = False
    partly: bool = False
    scalar: bool = False

    def run(
        self,
        stage: HeldLayer,
        arrays: Sequence[Array],
        params: Sequence[tuple[NumberPlace, Array]] = (),
        settings: Mapping[str, Any] | None = None,
        wide: Any = None,
        fresh: bool = True,
    ) -> LayerRun:
        """Return a run of forward from the stage's state, with these floats in its arguments.

        `settings` stand for the settings, and for whole arguments, of the same names; `wide` is the dtype of the
        layer's arrays, if they are narrower. Unless `fresh`, the layer is as the last run left it.
        """
        if fresh:
            stage.reset(wide, [where for where, _ in params])
        layer, settings = stage.layer, settings or {}
        for name, value in self.attributes.items():
            assign(layer, parse(name), settings.get(name, value))
        moving: list[Array] = []
        spies = spied(stage.optimizers, moving)
        for where, values in params:
            where.set(layer, values)
        given = iter(arrays)
        args = [settings[a.name] if a.name in settings else a.filled(given) for a in self.arguments]
        named = {name: settings.get(name, value) for name, value in self.settings.items()}
        set_to = {p.said: np.array(v) for p, v in params}
        run = LayerRun(layer, args, None, params=set_to, spies=spies, moving=moving)
        run.returned = method_of(layer, self.method)(*args, **named)
        run.outputs = tuple(self.read(run))
        return run

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
    return [name for name in dir(layer) if _RESETS.match(name) and callable(getattr(layer, name, None))]


def method_of(layer: Any, name: str) -> Any:
    """Return a method; for ``__call__`` the object itself."""
    return layer if name == "__call__" else getattr(layer, name)
