"""How forward is called, and where its outputs stand."""

import contextlib
import inspect
import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import replace
from types import FunctionType
from typing import Any, NamedTuple

import numpy as np

from gradlab.adapters.numpy_layer import naming_conventions as names
from gradlab.adapters.numpy_layer.forward_arguments import Argument, ArgumentLeaf, leaves_in
from gradlab.adapters.numpy_layer.layer_error import LayerError, error_text
from gradlab.adapters.numpy_layer.layer_run import (
    ForwardCall,
    HeldLayer,
    LayerRun,
    backward_methods,
    method_of,
    passes_cache,
    title_of,
    vars_of,
)
from gradlab.adapters.numpy_layer.number_places import (
    DATA,
    Path,
    as_array,
    attribute_names,
    attributes_of,
    data_name,
    is_a,
    is_number,
    new_arrays,
)
from gradlab.adapters.numpy_layer.number_places import leaves as leaves_of
from gradlab.adapters.numpy_layer.parameter_discovery import nearest_name
from gradlab.workers.strange_objects import attribute_of


class Told(NamedTuple):
    """What the caller says of a layer: its methods, and the argument or attribute for the cotangent; else empty."""

    forward: str = ""
    backward: str = ""
    cotangent: str = ""


NOTHING = Told()
# What takes functions, where a layer is asked for.
FOR_FUNCTIONS = "check_cached_pair(forward, backward, primals), check_vjp or check_gradient"
# Of more methods no pair is tried that no name speaks for.
MOST_METHODS = 5
# A call to forward, and the floats among its arguments.
CallWithLeaves = tuple[ForwardCall, tuple[ArgumentLeaf, ...]]


def find_calls(
    layer: Any, inputs: Sequence[Any], settings: Mapping[str, Any], told: Told = NOTHING
) -> list[CallWithLeaves]:
    """Return the calls of forward that give outputs, the likeliest first; where its method is told, that one's.

    Raises
    ------
    LayerError
        If there are none; the message says what the likeliest did.
    """
    held = [_private_copy(x) for x in inputs]
    _refuse(layer, held)
    held_layer = HeldLayer(layer, held)
    found: list[CallWithLeaves] = []
    failed: list[LayerError] = []
    for name in [told.forward] if told.forward else forward_methods(layer, held):
        try:
            forward = _call(layer, name, held, settings)
            forward = replace(forward, backward=told.backward, cotangent=told.cotangent)
            found += _with_outputs(held_layer, forward)
        except LayerError as error:
            failed.append(error)
        except Exception as error:
            cure = "check the inputs' shapes and dtypes, or pass what else it needs as settings="
            failed.append(LayerError(f"{title_of(layer)}.{name} {error_text(error)}: {cure}"))
            failed[-1].__cause__ = error  # the reader wants to see the line of their own that raised
        finally:
            held_layer.reset()
    if not found and not failed:
        found += calls_of_any_methods(held_layer, inputs, settings)
    if not found:
        raise failed[0] if failed else no_forward(layer)
    return found


def no_forward(layer: Any) -> LayerError:
    """Return the error that says that no method's name is such as that of a forward pass."""
    cure = "call it forward, or pass forward='its name' to check_layer"
    return LayerError(f"{title_of(layer)} has no forward method: {cure}")


def calls_of_any_methods(
    held_layer: HeldLayer, inputs: Sequence[Any], settings: Mapping[str, Any]
) -> list[CallWithLeaves]:
    """Return the calls of an object's methods, each with each other one as its backward, whatever these are called.

    Those that other methods call are parts of them. See `choose_reading` for which of these calls count.
    """
    layer = held_layer.layer
    held = [_private_copy(x) for x in inputs]
    kinds = reversed(type(layer).__mro__)
    functions = {name: f for kind in kinds for name, f in vars(kind).items() if inspect.isfunction(f)}
    called = {name for own, f in functions.items() for name in _own_names(f) if name != own}
    methods = [name for name in functions if name[0] != "_" and name not in called]
    found: list[CallWithLeaves] = []
    some = [name for name in methods if not names.acts(name)]
    for name in some if len(methods) <= MOST_METHODS else ():
        with contextlib.suppress(Exception):  # whatever these methods are for
            alone = len(methods) == 2 and name == methods[0]
            forward = replace(_call(layer, name, held, settings), unnamed=True, alone=alone)
            for other in some:
                if other != name:
                    found += _with_outputs(held_layer, replace(forward, backward=other))
        held_layer.reset()
    return found


def _own_names(method: FunctionType) -> set[str]:
    """Return the names of what a method takes from its own object, as far as its source tells."""
    own = method.__code__.co_varnames[:1]
    with contextlib.suppress(OSError, TypeError):
        return {name for x in own for name in re.findall(rf"\b{x}\.(\w+)", inspect.getsource(method))}
    return set(method.__code__.co_names)


def _refuse(layer: Any, inputs: Sequence[Any]) -> None:
    """Raise LayerError for a class without an object of it, and for inputs without elements."""
    if is_a(layer, type) and inspect.isfunction(attribute_of(layer, "forward")):
        raise LayerError(f"{layer.__name__} is a class: pass an object of it, {layer.__name__}(...)")
    if is_a(layer, tuple):
        raise LayerError(f"a tuple is no layer: pass an object, or use {FOR_FUNCTIONS}")
    for i, x in enumerate(inputs):
        if isinstance(x, np.ndarray) and x.size == 0:
            raise LayerError(f"input {i} has shape {x.shape}, and so no elements: pass some")


def _private_copy(value: Any) -> Any:
    """Return copies of arrays and containers; a tensor object is used itself, and put back afterwards."""
    if isinstance(value, np.ndarray) and value.dtype != object:
        return np.array(value)
    if isinstance(value, list) and value and isinstance(value[0], list) and as_array(value) is not None:
        return np.array(value)
    if type(value) in (list, tuple):
        return type(value)([_private_copy(part) for part in value])
    if isinstance(value, Mapping):
        return {key: _private_copy(part) for key, part in value.items()}
    return value


def forward_methods(layer: Any, inputs: Sequence[Any]) -> list[str]:
    """Return the names of the methods that may be an object's forward pass, the likeliest first."""
    named: dict[str, str] = {}
    for name in sorted(attribute_names(layer), key=lambda name: name.startswith("_")):
        named.setdefault(name if name == "__call__" else names.plain(name), name)
    found = [
        named[key] for key in names.FORWARD if key in named and callable(getattr(layer, named[key], None))
    ]
    said = [name for name in named.values() if names.looks_like_forward(name) and name not in found]
    found += [name for name in said if callable(getattr(layer, name, None))]
    if not any(_takes(layer, name, inputs) for name in found):
        # by a name that says less: a cost, or what a backward method has its name from
        others = [
            name for name in named.values() if names.is_cost(name) and not names.looks_like_backward(name)
        ]
        stems = {names.forward_stem(name) for name in named.values() if names.looks_like_backward(name)}
        others += [name for plain, name in named.items() if plain in stems]
        found += [name for name in others if callable(getattr(layer, name, None)) and name not in found]
    methods = [name for name in found if not _is_held_function(layer, name)]
    found = methods or found  # a function that a layer holds is a part of it
    if "__call__" in found and (isinstance(layer, type) or any(data_name(x) for x in inputs)):
        # what takes tensors records them in __call__; a class is called only to make an object
        found.remove("__call__")
        found = found if isinstance(layer, type) else ["__call__", *found]
    return found


def _takes(layer: Any, name: str, inputs: Sequence[Any]) -> bool:
    """Return whether a method has a place for so many inputs; so it is where that cannot be told."""
    try:
        parameters = inspect.signature(method_of(layer, name)).parameters.values()
    except (TypeError, ValueError):
        return True
    places = [p for p in parameters if p.kind in (p.POSITIONAL_ONLY, p.POSITIONAL_OR_KEYWORD)]
    places = places[1:] if isinstance(layer, type) else places
    return len(places) >= len(inputs) or any(p.kind is p.VAR_POSITIONAL for p in parameters)


def _is_held_function(layer: Any, name: str) -> bool:
    return name in vars_of(layer) and not isinstance(layer, type)


def _call(layer: Any, name: str, inputs: Sequence[Any], settings: Mapping[str, Any]) -> ForwardCall:
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
            raise LayerError(f"settings: neither {name} nor {title_of(layer)} knows {key!r}: leave it out")
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
                    f"{title_of(layer)}.{name} needs {p.name!r} as well: pass it, or put it into settings="
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


def _with_outputs(held_layer: HeldLayer, forward: ForwardCall) -> Iterator[CallWithLeaves]:
    """Run forward, and yield the call with each reading of its outputs."""
    leaves = leaves_in(forward.arguments)
    held_layer.reset()
    before = {path: np.array(value) for path, value in leaves_of(held_layer.layer).items()}
    run = forward.run(held_layer, [leaf.value for leaf in leaves])
    found = list(calls_with_outputs(forward, run, before))
    title = f"{title_of(held_layer.layer)}.{forward.method}"
    if not found:
        shown = (
            f"{run.returned.dtype} of shape {run.returned.shape}"
            if is_array(run.returned)
            else type(run.returned).__name__
        )
        cure = (
            "(out, cache)"
            if passes_cache(held_layer.layer)
            else "the output, an array of floats, and pass the inputs as floats"
        )
        raise LayerError(f"{title} returned {shown}: return {cure}")
    refuse_outputs(title, found[0], run, forward.run(held_layer, [leaf.value for leaf in leaves]))
    for reading in found:
        sizes = [np.size(y) for y in reading.read(run)]
        yield replace(reading, scalar=sizes == [1], makes=not reading.hands_back(run)), leaves


def calls_with_outputs(
    forward: ForwardCall, run: LayerRun, before: Mapping[Path, Any]
) -> Iterator[ForwardCall]:
    """Yield the call with each reading of its outputs, the likeliest first."""
    returned = run.returned
    stored = _stored_outputs(run, before)
    if returned is None or returned is run.layer:
        yield from [replace(forward, outputs=(path,), stored=True) for path in stored[:1]]
    elif costs := [path for path in stored if names.is_cost(nearest_name(path)) and _hands_on(run)]:
        # what hands its input on, and leaves a cost beside it, is there for the cost
        yield replace(forward, outputs=(costs[0],), stored=True)
    elif _is_output(returned) and not passes_cache(run.layer):
        yield replace(forward, outputs=((),))
    elif isinstance(returned, Mapping | list | tuple):
        yield from _of_several(forward, run.layer, returned)
    elif name := result_name(returned):
        yield replace(forward, outputs=((("attr", name),),))


def _hands_on(run: LayerRun) -> bool:
    """Return whether forward returned one of its arguments as it is."""
    returned = as_array(run.returned)
    inputs = [as_array(arg) for arg in run.args]
    return returned is not None and any(x is not None and np.array_equal(returned, x) for x in inputs)


def result_name(returned: Any) -> str:
    """Return the attribute of an object that holds the result, by its name, or as it alone holds numbers."""
    held = {name: value for name, value in attributes_of(returned).items() if is_number(value)}
    named = [name for name in (*names.OUTPUTS, *DATA) if name in held]
    return (named or (list(held) if len(held) == 1 else [""]))[0]


def _of_several(forward: ForwardCall, layer: Any, returned: Any) -> Iterator[ForwardCall]:
    """Yield the call with all of several outputs, and with the first alone; a cache behind them is no output."""
    keys: Any = ()
    if isinstance(returned, Mapping):
        keys = list(returned)
    elif isinstance(returned, list | tuple):
        keys = range(len(returned))
    cache = isinstance(keys, range) and _passes_cache(layer, forward)
    paths: list[Path] = [
        (("item", key),) for key in (keys[:-1] if cache else keys) if _is_output(returned[key])
    ]
    if cache and len(keys) == 2 and isinstance(returned[0], Mapping | tuple):
        inner = returned[0].items() if isinstance(returned[0], Mapping) else enumerate(returned[0])
        paths = [(("item", 0), ("item", key)) for key, part in inner if _is_output(part)]
    # an output that backward has no cotangent for is not looked at
    taken = _cotangents_taken(layer, forward)
    for some in dict.fromkeys((tuple(paths), *(tuple(paths[:n]) for n in taken), tuple(paths[:1]))):
        if some:
            yield replace(forward, outputs=some, cache=cache, partly=len(some) < len(paths))


def _cotangents_taken(layer: Any, forward: ForwardCall) -> list[int]:
    """Return how many arguments of each backward method are called cotangents, where there are several."""
    found = []
    for name in backward_methods(layer, forward.method):
        with contextlib.suppress(TypeError, ValueError):
            arguments = inspect.signature(method_of(layer, name)).parameters
            count = sum(names.is_cotangent(argument) for argument in arguments)
            found += [count] if count > 1 else []
    return found


def _is_output(value: Any) -> bool:
    array = as_array(value)
    return array is not None and (array.dtype.kind == "f" or bool(data_name(value)))


def _passes_cache(layer: Any, forward: ForwardCall) -> bool:
    """Return whether some backward method takes the cache that forward returns."""
    if passes_cache(layer):
        return True
    for name in backward_methods(layer, forward.method):
        try:
            parameters = inspect.signature(method_of(layer, name)).parameters
        except (TypeError, ValueError):
            continue
        if any(names.is_cache(key) for key in parameters):
            return True
    return False


def _stored_outputs(run: LayerRun, before: Mapping[Path, Any]) -> list[Path]:
    """Return the attributes that forward may have left its output in, the likeliest first."""
    inputs = [as_array(arg) for arg in run.args]
    changed = {
        path: value
        for path, value in new_arrays(run.layer, before).items()
        if len(path) == 1
        and is_number(value)
        and not any(x is not None and np.array_equal(x, value, equal_nan=True) for x in inputs)
    }
    named = [path for name in names.OUTPUTS for path in changed if nearest_name(path) == name]
    costs = [path for path in changed if names.is_cost(nearest_name(path)) and path not in named]
    return [*named, *costs] or (list(changed) if len(changed) == 1 else [])


def refuse_outputs(title: str, reading: ForwardCall, run: LayerRun, again: LayerRun) -> None:
    """Raise LayerError where the outputs are not finite, or not the same in a second run."""
    for y, other in zip(reading.read(run), reading.read(again), strict=True):
        if not np.isfinite(y).all():
            raise LayerError(f"{title} gives {y[~np.isfinite(y)][0]} at these inputs: choose others")
        if not np.array_equal(y, other):
            cure = "draw from np.random, or from a generator that the layer keeps"
            raise LayerError(f"{title} gives another output each time, all generators held: {cure}")


def is_array(value: Any) -> bool:
    """Return whether a value is an array."""
    return isinstance(value, np.ndarray)
