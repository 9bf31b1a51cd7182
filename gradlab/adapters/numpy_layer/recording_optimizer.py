"""A stand-in for the optimizers of a layer: it takes no step, and records the gradients that it is given."""

from collections.abc import Callable, Iterator, Mapping, Sequence
from itertools import pairwise
from typing import Any

import numpy as np

from gradlab.adapters.numpy_layer.naming_conventions import is_optimizer
from gradlab.adapters.numpy_layer.number_places import memory, objects
from gradlab.node import Array


class RecordingOptimizer:
    """An optimizer that returns the parameters as they are, and keeps a copy of every gradient.

    Attributes
    ----------
    seen : list of (ndarray, ndarray)
        The parameter's own array, and a copy of the gradient that came with it.
    moving : list of ndarray
        Arrays in whose place it returns others when it is given them, as an optimizer would.
    """

    def __init__(self, moving: list[Array]) -> None:
        self.seen: list[tuple[Array, Array]] = []
        self.moving = moving

    def __call__(self, *args: Any, **named: Any) -> Any:
        """Take one call of any method: ``update(w, grad)``, ``step(params, grads)``, ..."""
        values = [*args, *named.values()]
        for one, other in pairwise(values):
            self.seen += _pairs(one, other)
        first: Any = values[0] if values else None
        return 1.5 * first if any(first is own for own in self.moving) else first

    def __getattr__(self, name: str) -> Callable[..., Any]:
        if name.startswith("__"):
            raise AttributeError(name)
        return self

    def gradient_of(self, parameter: Any) -> Array | None:
        """Return the sum of what came with a parameter; None if nothing did."""
        found = [grad for held, grad in self.seen if memory(held) == memory(parameter)]
        return None if not found else np.asarray(sum(found[1:], found[0]))


def _pairs(first: Any, second: Any) -> Iterator[tuple[Array, Array]]:
    if isinstance(first, np.ndarray) and isinstance(second, np.ndarray):
        yield from ((first, second.copy()), (second, first.copy()))
    elif isinstance(first, Mapping) and isinstance(second, Mapping):
        for key in first.keys() & second.keys():
            yield from _pairs(first[key], second[key])
    elif isinstance(first, list | tuple) and isinstance(second, list | tuple):
        for a, b in zip(first, second, strict=False):
            yield from _pairs(a, b)


def optimizers_in(layer: Any) -> list[tuple[dict[str, Any], str]]:
    """Return the attributes of a layer and of its own layers that hold an optimizer: whose they are, and their name."""
    return [
        (vars(owner), name)
        for owner in objects(layer).values()
        for name, value in vars(owner).items()
        if is_optimizer(name) and not isinstance(value, _NOT_ONE)
    ]


def record_optimizers(
    optimizers: Sequence[tuple[dict[str, Any], str]], moving: list[Array]
) -> list[RecordingOptimizer]:
    """Put a recorder in the place of every optimizer, and return them; `moving` is theirs all."""
    recorders = []
    for attributes, name in optimizers:
        recorders.append(RecordingOptimizer(moving))
        attributes[name] = recorders[-1]
    return recorders


_NOT_ONE = (type(None), str, np.ndarray, int, float)
