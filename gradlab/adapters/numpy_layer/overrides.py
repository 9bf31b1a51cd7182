"""What `params=` and `grads=` name."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import partial
from typing import Any

import numpy as np

from gradlab.adapters.numpy_layer.layer_run import LayerError
from gradlab.adapters.numpy_layer.number_places import NumberPlace, Path, follow, leaves, parse, place
from gradlab.adapters.numpy_layer.number_values import is_number
from gradlab.adapters.numpy_layer.parameter_discovery import Occurrence, Parameter
from gradlab.node import Array


def from_override(layer: Any, params: Any) -> list[Parameter]:
    """Return the parameters that the caller names.

    Parameters
    ----------
    layer : object
    params : list of str or ndarray, dict of ndarray, or callable
        Names (``"W"``, ``"layers[0].W"``), the layer's own arrays, or ``params(layer)`` that returns them.

    Raises
    ------
    LayerError
        If one cannot be found, or holds no floats.
    """
    return [_overridden(layer, o) for o in overrides(layer, params, "params")]


@dataclass(frozen=True)
class Override:
    """One thing that `params=` or `grads=` names.

    Attributes
    ----------
    name : str
    get : callable
        ``get(layer)``.
    path : Path or None
        Where it stands in the layer, if that is known.
    """

    name: str
    get: Callable[[Any], Any]
    path: Path | None = None


def overrides(layer: Any, given: Any, what: str) -> list[Override]:
    """Return what `params=` or `grads=` names, in its order."""
    if callable(given):
        found = given(layer)
        keys = list(found) if isinstance(found, Mapping) else list(range(len(found)))
        return [Override(_key_name(what, key), partial(_at_key, given, key)) for key in keys]
    named = given if isinstance(given, Mapping) else {_key_name(what, i): x for i, x in enumerate(given)}
    items = named.items()
    return [_override(layer, str(name), value, what) for name, value in items]


def _at_key(given: Callable[[Any], Any], key: Any, layer: Any) -> Any:
    return given(layer)[key]


def _key_name(what: str, key: Any) -> str:
    return str(key) if isinstance(key, str) else f"{what}[{key}]"


def _override(layer: Any, name: str, value: Any, what: str) -> Override:
    if isinstance(value, str):
        try:
            path = parse(value)
        except ValueError as error:
            raise LayerError(f"{what}: {error}") from error
        return Override(value if name.startswith(f"{what}[") else name, lambda root: follow(root, path), path)
    if not isinstance(value, np.ndarray):
        raise LayerError(
            f"{what}: {name} is {type(value).__name__}: give names, the layer's own arrays, or a callable"
        )
    paths = [path for path, held in leaves(layer).items() if held is value]
    if not paths:
        return Override(name, lambda root: value)
    said = place(paths[0]).said if name.startswith(f"{what}[") else name
    return Override(said, lambda root: follow(root, paths[0]), paths[0])


def _overridden(layer: Any, o: Override) -> Parameter:
    try:
        value = o.get(layer)
    except (AttributeError, KeyError, IndexError, TypeError) as error:
        raise LayerError(
            f"params: the layer has no {o.name} ({error}): name an attribute that holds floats"
        ) from error
    if not isinstance(value, np.ndarray) or not is_number(value):
        kind = f"of dtype {value.dtype}" if isinstance(value, np.ndarray) else type(value).__name__
        raise LayerError(
            f"params: {o.name} is {kind}, which cannot be differentiated: make it an array of floats"
        )

    def put(root: Any, values: Array) -> None:
        o.get(root)[...] = values

    occurrences = (Occurrence(o.path, declared=False),) if o.path else ()
    return Parameter(o.name, NumberPlace(o.name, o.get, put), occurrences, sure=True)
