"""How forward is called, and where its outputs stand."""

import inspect
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import replace
from typing import Any

import numpy as np

from gradlab.adapters.numpy_layer import naming_conventions as names
from gradlab.adapters.numpy_layer.held_layer import HeldLayer
from gradlab.adapters.numpy_layer.layer_pair import ArgumentLeaf
from gradlab.adapters.numpy_layer.layer_run import Argument, ForwardCall, LayerError, method_of, said
from gradlab.adapters.numpy_layer.number_places import follow, show
from gradlab.adapters.numpy_layer.number_places import leaves as leaves_of
from gradlab.adapters.numpy_layer.number_values import as_array, data_name
from gradlab.adapters.numpy_layer.outputs import is_array, readings, refuse_outputs

# A call to forward, and the floats among its arguments.
Call = tuple[ForwardCall, tuple[ArgumentLeaf, ...]]


def find_calls(layer: Any, inputs: Sequence[Any], settings: Mapping[str, Any]) -> list[Call]:
    """Return the ways to call forward that give outputs, the likeliest first.

    Raises
    ------
    LayerError
        If there are none; the message says what the likeliest did.
    """
    held = [_own(x) for x in inputs]
    _refuse(layer, held)
    stage = HeldLayer(layer, held)
    found: list[Call] = []
    failed: list[str] = []
    for name in forward_methods(layer, held):
        try:
            forward = _bound(layer, name, held, settings)
            found += _with_outputs(stage, forward)
        except LayerError as error:
            failed.append(str(error))
        except Exception as error:
            cure = "check the inputs' shapes and dtypes, or pass what else it needs as settings="
            failed.append(f"{_title(layer)}.{name} {said(error)}: {cure}")
        finally:
            stage.reset()
    if not found:
        cure = (
            f"{_title(layer)} has no forward method: call it forward, or use check_cached_pair for functions"
        )
        raise LayerError(failed[0] if failed else cure)
    return found


def _title(layer: Any) -> str:
    return str(getattr(layer, "__name__", type(layer).__name__))


def _refuse(layer: Any, inputs: Sequence[Any]) -> None:
    """Raise LayerError for a class without an object of it, and for inputs without elements."""
    if isinstance(layer, type) and inspect.isfunction(inspect.getattr_static(layer, "forward", None)):
        raise LayerError(f"{layer.__name__} is a class: pass an object of it, {layer.__name__}(...)")
    for i, x in enumerate(inputs):
        if isinstance(x, np.ndarray) and x.size == 0:
            raise LayerError(f"input {i} has shape {x.shape}, and so no elements: pass some")


def _own(value: Any) -> Any:
    """Return copies of arrays and containers; a tensor object is used itself, and put back afterwards."""
    if isinstance(value, np.ndarray) and value.dtype != object:
        return np.array(value)
    if isinstance(value, list) and value and isinstance(value[0], list) and as_array(value) is not None:
        return np.array(value)
    if type(value) in (list, tuple):
        return type(value)([_own(part) for part in value])
    if isinstance(value, Mapping):
        return {key: _own(part) for key, part in value.items()}
    return value


def forward_methods(layer: Any, inputs: Sequence[Any]) -> list[str]:
    """Return the names of the methods that may be an object's forward pass, the likeliest first."""
    named: dict[str, str] = {}
    for name in sorted(dir(layer), key=lambda name: name.startswith("_")):
        named.setdefault(name if name == "__call__" else names.plain(name), name)
    found = [
        named[key] for key in names.FORWARD if key in named and callable(getattr(layer, named[key], None))
    ]
    if "__call__" in found and (isinstance(layer, type) or any(data_name(x) for x in inputs)):
        # what takes tensors records them in __call__; a class is called only to make an object
        found.remove("__call__")
        found = found if isinstance(layer, type) else ["__call__", *found]
    return found


def _bound(layer: Any, name: str, inputs: Sequence[Any], settings: Mapping[str, Any]) -> ForwardCall:
    """Return the call with every argument in its place."""
    method = method_of(layer, name)
    try:
        parameters = list(inspect.signature(method).parameters.values())
    except (TypeError, ValueError):
        parameters = []
    accepts = {p.name for p in parameters if p.kind in (p.POSITIONAL_OR_KEYWORD, p.KEYWORD_ONLY)}
    anything = any(p.kind is p.VAR_KEYWORD for p in parameters)
    named = {key: value for key, value in settings.items() if key in accepts or anything}
    attributes = {key: value for key, value in settings.items() if key not in named}
    for key in attributes:
        if not hasattr(layer, key):
            raise LayerError(f"settings: neither {name} nor {_title(layer)} knows {key!r}: leave it out")
    arguments = _positional(parameters, inputs)
    taken = {argument.name for argument in arguments} | named.keys()
    for p in parameters:
        if (
            p.default is p.empty
            and p.kind in (p.POSITIONAL_OR_KEYWORD, p.KEYWORD_ONLY)
            and p.name not in taken
        ):
            if not names.is_training_flag(p.name):
                raise LayerError(
                    f"{_title(layer)}.{name} needs {p.name!r} as well: pass it, or put it into settings="
                )
            named[p.name] = True
    return ForwardCall(name, tuple(arguments), named, attributes)


def _positional(parameters: Sequence[inspect.Parameter], inputs: Sequence[Any]) -> list[Argument]:
    plain = [p.name for p in parameters if p.kind in (p.POSITIONAL_ONLY, p.POSITIONAL_OR_KEYWORD)]
    more = next((p.name for p in parameters if p.kind is p.VAR_POSITIONAL), None)
    if parameters and more is None and len(inputs) > len(plain):
        wanted = f"it takes {', '.join(plain)}" if plain else "it takes none"
        raise LayerError(f"forward was given {len(inputs)} inputs, and {wanted}: pass as many")
    extra = [f"{more or 'x'}{i}" for i in range(len(inputs) - len(plain))]
    arrays = any(Argument("", value, scalars=False).paths for value in inputs)
    return [Argument(name, value, not arrays) for name, value in zip([*plain, *extra], inputs, strict=False)]


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


def _with_outputs(stage: HeldLayer, forward: ForwardCall) -> Iterator[Call]:
    """Run forward, and yield the call with each way to read what came out."""
    leaves = leaves_in(forward.arguments)
    stage.reset()
    before = {path: np.array(value) for path, value in leaves_of(stage.layer).items()}
    run = forward.run(stage, [leaf.value for leaf in leaves])
    found = list(readings(forward, run, before))
    title = f"{_title(stage.layer)}.{forward.method}"
    if not found:
        shown = (
            f"{run.returned.dtype} of shape {run.returned.shape}"
            if is_array(run.returned)
            else type(run.returned).__name__
        )
        cure = (
            "(out, cache)"
            if getattr(stage.layer, "passes_cache", False)
            else "the output, an array of floats, and pass the inputs as floats"
        )
        raise LayerError(f"{title} returned {shown}: return {cure}")
    refuse_outputs(title, found[0], run, forward.run(stage, [leaf.value for leaf in leaves]))
    for reading in found:
        sizes = [np.size(y) for y in reading.read(run)]
        yield replace(reading, scalar=sizes == [1]), leaves
