"""Where the outputs of forward stand."""

import inspect
from collections.abc import Iterator, Mapping
from dataclasses import replace
from typing import Any

import numpy as np

from gradlab.adapters.numpy_layer import naming_conventions as names
from gradlab.adapters.numpy_layer.backward_methods import backward_methods
from gradlab.adapters.numpy_layer.gradient_places import new_arrays
from gradlab.adapters.numpy_layer.layer_run import ForwardCall, LayerError, LayerRun, method_of
from gradlab.adapters.numpy_layer.number_places import Path
from gradlab.adapters.numpy_layer.number_values import as_array, data_name, is_number
from gradlab.adapters.numpy_layer.parameter_discovery import nearest_name


def readings(forward: ForwardCall, run: LayerRun, before: Mapping[Path, Any]) -> Iterator[ForwardCall]:
    """Yield the call with each way to read what came out, the likeliest first."""
    returned = run.returned
    if returned is None:
        path = _stored_output(run, before)
        yield from [replace(forward, outputs=(path,), stored=True)] if path else []
    elif _is_output(returned) and not getattr(run.layer, "passes_cache", False):
        yield replace(forward, outputs=((),))
    else:
        yield from _of_several(forward, run.layer, returned)


def _of_several(forward: ForwardCall, layer: Any, returned: Any) -> Iterator[ForwardCall]:
    """Yield all of several outputs, and the first alone; the last is none where it is for backward."""
    keys: Any = ()
    if isinstance(returned, Mapping):
        keys = list(returned)
    elif isinstance(returned, list | tuple):
        keys = range(len(returned))
    cache = isinstance(keys, range) and _passes_cache(layer, forward)
    paths: list[Path] = [
        (("item", key),) for key in (keys[:-1] if cache else keys) if _is_output(returned[key])
    ]
    for some in dict.fromkeys((tuple(paths), tuple(paths[:1]))):
        if some:
            yield replace(forward, outputs=some, cache=cache, partly=len(some) < len(paths))


def _is_output(value: Any) -> bool:
    array = as_array(value)
    return array is not None and (array.dtype.kind == "f" or bool(data_name(value)))


def _passes_cache(layer: Any, forward: ForwardCall) -> bool:
    """Return whether some backward method takes what forward saved."""
    if getattr(layer, "passes_cache", False):
        return True
    for name in backward_methods(layer, forward.method):
        try:
            parameters = inspect.signature(method_of(layer, name)).parameters
        except (TypeError, ValueError):
            continue
        if any(names.is_cache(key) for key in parameters):
            return True
    return False


def _stored_output(run: LayerRun, before: Mapping[Path, Any]) -> Path | None:
    """Return the attribute that forward left its output in."""
    inputs = [as_array(arg) for arg in run.args]
    changed = {
        path: value
        for path, value in new_arrays(run.layer, before).items()
        if len(path) == 1
        and is_number(value)
        and not any(x is not None and np.array_equal(x, value, equal_nan=True) for x in inputs)
    }
    named = [path for name in names.OUTPUTS for path in changed if nearest_name(path) == name]
    if named or len(changed) == 1:
        return (named or list(changed))[0]
    return None


def refuse_outputs(title: str, reading: ForwardCall, run: LayerRun, again: LayerRun) -> None:
    """Raise LayerError where the outputs are no numbers, or others each time."""
    for y, other in zip(reading.read(run), reading.read(again), strict=True):
        if not np.isfinite(y).all():
            raise LayerError(f"{title} gives {y[~np.isfinite(y)][0]} at these inputs: choose others")
        if not np.array_equal(y, other):
            cure = "draw from np.random, or from a generator that the layer keeps"
            raise LayerError(f"{title} gives another output each time, all generators held: {cure}")


def is_array(value: Any) -> bool:
    """Return whether a value is an array."""
    return isinstance(value, np.ndarray)
