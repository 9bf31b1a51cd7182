"""The ways in which layers are called and their gradients read, as code, for the proof of the corpus."""

from collections.abc import Callable, Mapping
from typing import Any

import numpy as np

from ._entry import Use

Named = Callable[[Any], Mapping[str, Any]]


def tupled(values: Any) -> tuple[Any, ...]:
    """Return several values as a tuple, nothing as an empty one, and a single one as a tuple of one."""
    if values is None:
        return ()
    return tuple(values) if isinstance(values, tuple | list) else (values,)


def nothing(layer: Any) -> dict[str, Any]:
    """A layer without parameters has none by name."""
    return {}


def passed(
    params: Named = nothing, grads: Named = nothing, forward: str = "forward", backward: str = "backward"
) -> Use:
    """The cotangent goes to a method that returns the gradients of the inputs."""

    def run(layer: Any, *inputs: Any, **settings: Any) -> Any:
        return getattr(layer, forward)(*inputs, **settings)

    def gradients(layer: Any, g: Any, *inputs: Any, **settings: Any) -> Any:
        run(layer, *inputs, **settings)
        returned = tupled(getattr(layer, backward)(*tupled(g)))
        return returned, dict(grads(layer))

    return Use(run, gradients, params)


def attributes(*names: str, grad: str = "d{}", forward: str = "forward", backward: str = "backward") -> Use:
    """The parameters are attributes, and their gradients others beside them."""

    def params(layer: Any) -> dict[str, Any]:
        return {name: getattr(layer, name) for name in names}

    def grads(layer: Any) -> dict[str, Any]:
        return {name: getattr(layer, grad.format(name)) for name in names}

    return passed(params, grads, forward, backward)


def lists(*names: str) -> Use:
    """The parameters stand in a list `params`, and their gradients in the same order in a list `grads`."""

    def params(layer: Any) -> dict[str, Any]:
        return dict(zip(names, layer.params, strict=True))

    def grads(layer: Any) -> dict[str, Any]:
        return dict(zip(names, layer.grads, strict=True))

    return passed(params, grads)


def flat(nested: Mapping[str, Any], before: str = "") -> dict[str, Any]:
    """Return the arrays of nested dicts by the path that leads to them."""
    found = {}
    for key, value in nested.items():
        inner = flat(value, f"{before}{key}.") if isinstance(value, Mapping) else {f"{before}{key}": value}
        found.update(inner)
    return found


def dicts(params: str = "params", grads: str = "grads", prefix: str = "", **methods: str) -> Use:
    """The parameters are in a dict, and their gradients in another one under the same keys, or `prefix` and key."""

    def read(layer: Any) -> dict[str, Any]:
        return flat(getattr(layer, params))

    def gradients(layer: Any) -> dict[str, Any]:
        written = flat(getattr(layer, grads))
        return {name: written[prefix + name] for name in read(layer)}

    return passed(read, gradients, **methods)


def objects(*names: str) -> Use:
    """The parameters are objects with `.data` and `.grad`, from `parameters()`; gradients add up until cleared."""

    def params(layer: Any) -> dict[str, Any]:
        return {name: p.data for name, p in zip(names, layer.parameters(), strict=True)}

    def gradients(layer: Any, g: Any, *inputs: Any, **settings: Any) -> Any:
        layer.zero_grad()
        layer(*inputs, **settings)
        returned = tupled(layer.backward(*tupled(g)))
        return returned, {name: p.grad for name, p in zip(names, layer.parameters(), strict=True)}

    return Use(lambda layer, *inputs, **settings: layer(*inputs, **settings), gradients, params)


def factor(forward: str, derivative: str, of_output: bool = False) -> Use:
    """A method returns the derivative in each place, and the caller multiplies it into the cotangent."""

    def run(layer: Any, x: Any) -> Any:
        return getattr(layer, forward)(x)

    def gradients(layer: Any, g: Any, x: Any) -> Any:
        y = run(layer, x)
        return (g * getattr(layer, derivative)(y if of_output else x),), {}

    return Use(run, gradients, nothing)


def cached() -> Use:
    """A pair of functions: forward returns output and cache, backward takes the cotangent and the cache.

    What is a parameter of the one is an input of the other: all primals are inputs.
    """

    def run(pair: Any, *inputs: Any, **settings: Any) -> Any:
        return pair[0](*inputs, *settings.values())[0]

    def gradients(pair: Any, g: Any, *inputs: Any, **settings: Any) -> Any:
        _, cache = pair[0](*inputs, *settings.values())
        return tupled(pair[1](g, cache)), {}

    return Use(run, gradients, nothing)


class Spy:
    """An optimizer that changes nothing and keeps the gradient of every array that it is given."""

    def __init__(self) -> None:
        self.seen: dict[int, Any] = {}

    def update(self, w: Any, grad_wrt_w: Any) -> Any:
        self.seen[id(w)] = np.array(grad_wrt_w)
        return w
