"""What forward is given: its arguments, and the floats among them."""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from gradlab.adapters.numpy_layer.number_places import (
    Path,
    data_name,
    follow,
    grad_name,
    is_number,
    show,
)
from gradlab.node import Array
from gradlab.workers.lock_free import cached_property


@dataclass(frozen=True, eq=False)
class Argument:
    """The value that forward is given at one position.

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


def is_differentiable(value: Any, scalars: bool) -> bool:
    """Return whether a value is a float that may be differentiated."""
    return is_number(value) and (scalars or isinstance(value, np.ndarray))


def _floats(value: Any, path: Path, scalars: bool) -> Iterator[Path]:
    if is_differentiable(value, scalars):
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
    if is_differentiable(value, scalars):
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
    """Put other numbers into a tensor object, and zeros of their shape into the gradient that it keeps."""
    name, other = data_name(tensor), grad_name(tensor)
    held, grad = getattr(tensor, name), getattr(tensor, other)
    setattr(tensor, name, array if isinstance(held, np.ndarray) else type(held)(array))
    if isinstance(grad, np.ndarray) and grad.shape != array.shape and np.shape(held) == grad.shape:
        setattr(tensor, other, np.zeros_like(array))


@dataclass(frozen=True, eq=False)
class ArgumentLeaf:
    """One array of floats among forward's arguments.

    Attributes
    ----------
    argument : int
    path : Path
        Where it stands in the argument.
    name : str
    value : ndarray
    """

    argument: int
    path: Path
    name: str
    value: Array


def leaves_in(arguments: Sequence[Argument]) -> tuple[ArgumentLeaf, ...]:
    """Return the floats among arguments, each with a name."""
    found = []
    for i, argument in enumerate(arguments):
        for path in argument.paths:
            value = np.asarray(follow(argument.value, path))
            inner = show(path if not path or path[-1][0] == "item" else path[:-1])
            joint = "." if inner and not inner.startswith("[") else ""
            found.append(ArgumentLeaf(i, path, f"{argument.name}{joint}{inner}", value))
    return tuple(found)
