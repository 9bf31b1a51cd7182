"""The construction of an object from a class and ``--init``."""

import inspect
import json
import re
from collections.abc import Mapping
from typing import Any

import numpy as np

from gradlab.adapters.numpy_layer import LayerError
from gradlab.adapters.numpy_layer.layer_error import error_text
from gradlab.adapters.numpy_layer.naming_conventions import is_parameter
from gradlab.commands.check._input_specs import InputSpec, checked, parse_input
from gradlab.node import named_rng

_LISTS = re.compile(r"\b(list|List|Sequence|tuple|Tuple)\b")


def parameters_of(function: Any) -> list[inspect.Parameter]:
    """Return the parameters of a function or a constructor; none where they cannot be read."""
    try:
        return list(inspect.signature(function).parameters.values())
    except (TypeError, ValueError):
        return []


def required(function: Any) -> list[inspect.Parameter]:
    """Return the parameters of a function or a constructor that have no default."""
    several = (inspect.Parameter.VAR_POSITIONAL, inspect.Parameter.VAR_KEYWORD)
    return [p for p in parameters_of(function) if p.default is p.empty and p.kind not in several]


def made(kind: type, init: Any, seed: int) -> Any:
    """Return an object of a class, made with the arguments that ``--init`` gives.

    Raises
    ------
    LayerError
        If the arguments do not fit the constructor, or the constructor raises.
    """
    args, named = _arguments(kind, init, named_rng(seed, "init"))
    wanted = ", ".join(p.name for p in parameters_of(kind))
    try:
        inspect.signature(kind).bind(*args, **named)
    except TypeError as error:
        cure = f"give {wanted}" if wanted else "leave it out"
        raise LayerError(f"--init does not fit {kind.__name__}, {error}: {cure}") from error
    except ValueError:  # a constructor whose parameters cannot be read
        pass
    try:
        return kind(*args, **named)
    except Exception as error:
        cure = f"it takes {wanted}, give others with --init" if wanted else "mend that"
        raise LayerError(f"{kind.__name__}(...) {error_text(error)}: {cure}") from error


def settings_of(
    settings: Mapping[str, Any], parameters: list[inspect.Parameter], seed: int
) -> dict[str, Any]:
    """Return the keyword arguments that ``--settings`` gives to a forward with these parameters."""
    by_name = {p.name: p for p in parameters}
    rng = named_rng(seed, "settings")
    return {name: _value(x, by_name.get(name), rng) for name, x in settings.items()}


def _arguments(kind: type, init: Any, rng: np.random.Generator) -> tuple[list[Any], dict[str, Any]]:
    """Return the positional and the named arguments, with arrays where arrays are meant."""
    parameters = parameters_of(kind)
    if isinstance(init, Mapping):
        by_name = {p.name: p for p in parameters}
        return [], {name: _value(x, by_name.get(name), rng) for name, x in init.items()}
    padded = [*parameters[: len(init)], *[None] * (len(init) - len(parameters))]
    return [_value(x, p, rng) for x, p in zip(init, padded, strict=True)], {}


def _value(x: Any, parameter: inspect.Parameter | None, rng: np.random.Generator) -> Any:
    if isinstance(x, Mapping):
        if "shape" in x and x.keys() <= {"shape", "dtype"}:
            return _drawn(x, rng)
        return {key: _value(part, None, rng) for key, part in x.items()}
    if not isinstance(x, list):
        return x
    array = _as_array(x)
    if array is not None and _is_meant(array, parameter):
        # a numerical step would be lost in a weight's integers
        return array.astype(float) if parameter and is_parameter(parameter.name) else array
    return [_value(part, None, rng) for part in x]


def _drawn(x: Mapping[str, Any], rng: np.random.Generator) -> Any:
    shape, text = x["shape"], json.dumps(x)
    if not isinstance(shape, list) or not all(type(n) is int for n in shape):
        raise LayerError(f'{text} is no array to draw: write it as {{"shape": [3, 4]}}')
    try:
        kind = parse_input(f"1:{x['dtype']}").kind if "dtype" in x else ""
        return checked(InputSpec(tuple(shape), kind), text).draw(rng)
    except ValueError as error:
        raise LayerError(str(error)) from error


def _as_array(x: list[Any]) -> Any:
    try:
        array = np.asarray(x)
    except ValueError:  # rows of different lengths
        return None
    return array if array.dtype.kind in "fi" and array.size else None


def _is_meant(array: Any, parameter: inspect.Parameter | None) -> bool:
    """Return whether a list of numbers stands for an array: [4, 3, 2] may be a list of sizes."""
    annotation = str(parameter.annotation) if parameter else ""
    if "array" in annotation.lower():
        return True
    named = parameter is not None and is_parameter(parameter.name, sure=True)
    return not _LISTS.search(annotation) and (named or array.ndim > 1)
