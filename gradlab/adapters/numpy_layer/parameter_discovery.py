"""Which numbers of a layer are its parameters: by names, by what changing them does, or as the caller says."""

import inspect
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from typing import Any

import numpy as np

from gradlab.adapters.numpy_layer import naming_conventions as names
from gradlab.adapters.numpy_layer.layer_error import LayerError
from gradlab.adapters.numpy_layer.number_places import (
    DATA,
    GRAD,
    NumberPlace,
    Path,
    attribute_names,
    data_name,
    follow,
    is_number,
    leaves,
    memory,
    objects,
    parse,
    place,
)
from gradlab.node import Array
from gradlab.workers.strange_objects import attribute_of, shown, text_of


@dataclass(frozen=True)
class Occurrence:
    """One path that leads to a parameter.

    Attributes
    ----------
    path : Path
    declared : bool
        Whether a list or dict of parameters names it, and not only an attribute.
    turned : bool
        Whether it is the transpose of the parameter as it was first found.
    """

    path: Path
    declared: bool
    turned: bool = False


@dataclass(frozen=True)
class Parameter:
    """An array that a layer learns.

    Attributes
    ----------
    name : str
    where : NumberPlace
    occurrences : tuple of Occurrence
        Every path to its memory: of tied weights more than one.
    sure : bool
        Whether its name, or a list of parameters, says that it is one.
    """

    name: str
    where: NumberPlace
    occurrences: tuple[Occurrence, ...]
    sure: bool

    def value(self, layer: Any) -> Array:
        """Return a copy of what it is."""
        return np.array(self.where.get(layer))


def find_parameters(layer: Any) -> list[Parameter]:
    """Return what may be parameters, each once, those that the layer declares before those that it only has."""
    grouped: dict[Any, list[tuple[Path, bool]]] = {}
    for path, declared in (*_declared(layer), *_attributes(layer)):
        if any(names.is_optimizer(str(key)) for _, key in path):
            continue
        value = follow(layer, path)
        # a read-only array that nothing could be put in the place of is no parameter
        fixed = isinstance(value, np.ndarray) and not value.flags.writeable
        if is_number(value) and np.size(value) and not fixed:
            owner = follow(layer, path[:-1])
            key = memory(value)[:2] if isinstance(value, np.ndarray) else (id(owner), path[-1])
            grouped.setdefault(key, []).append((path, declared))
    return [_parameter(layer, paths) for paths in grouped.values()]


def _parameter(layer: Any, paths: Sequence[tuple[Path, bool]]) -> Parameter:
    # a name says more to a reader than an index
    named = min((path for path, _ in paths), key=_unreadable)
    first = follow(layer, named)
    occurrences = []
    for path, declared in paths:
        here = follow(layer, path)
        turned = isinstance(here, np.ndarray) and here.ndim == 2 and here.strides != first.strides
        occurrences.append(Occurrence(path, declared, turned))
    sure = any(declared for _, declared in paths) or any(_is_sure(layer, path) for path, _ in paths)
    return Parameter(place(named).said, place(named), tuple(occurrences), sure)


def _unreadable(path: Path) -> tuple[bool, bool, int]:
    return any(kind == "call" for kind, _ in path), not isinstance(path[-1][1], str), len(path)


def _is_sure(layer: Any, path: Path) -> bool:
    owner = follow(layer, path[:-1])
    if isinstance(owner, Mapping) and path[-1][1] in DATA and any(key in owner for key in GRAD):
        return True
    return names.is_parameter(nearest_name(path), sure=True) or data_name(owner) == path[-1][1]


def nearest_name(path: Path) -> str:
    """Return the last attribute, or textual key, on a path: what a person would call what stands there."""
    return next((str(key) for _, key in reversed(path) if isinstance(key, str)), "")


def _declared(layer: Any) -> Iterator[tuple[Path, bool]]:
    for path, owner in objects(layer).items():
        for step in containers(owner, names.PARAMS):
            name = step[1]
            held = follow(owner, (step,))
            for inner in flatten(held):
                if not (_holds_pairs(name) and inner[-1] == ("item", 1)):
                    yield (*path, step, *inner), True


def _holds_pairs(name: str) -> bool:
    return "param" in name.lower() and "grad" in name.lower()


def containers(owner: Any, known: Sequence[str]) -> list[tuple[str, Any]]:
    """Return the steps from an object to its lists and dicts of these names, in the names' order."""
    named = {names.plain(name): name for name in attribute_names(owner) if not name.startswith("__")}
    steps = [container_step(owner, named[name]) for name in known if name in named]
    return [step for step in steps if step is not None]


def container_step(owner: Any, name: str) -> tuple[str, Any] | None:
    """Return the step from an object to what it calls `name`, called if it is a method; None if there is no such."""
    try:
        value = getattr(owner, name)
    except Exception:  # there is none, or a property that needs more
        return None
    if not callable(value) or isinstance(value, np.ndarray):
        holds = isinstance(value, Mapping | list | tuple) or (data_name(value) == "" and _is_container(value))
        return ("attr", name) if holds else None
    if not inspect.ismethod(value) or not _needs_nothing(value):
        return None
    try:
        held = follow(owner, (("call", name),))
    except Exception:
        return None
    return ("call", name) if isinstance(held, Mapping | list | tuple) else None


def _is_container(value: Any) -> bool:
    return isinstance(value, np.ndarray) and value.dtype == object


def _needs_nothing(method: Callable[..., Any]) -> bool:
    try:
        parameters = inspect.signature(method).parameters.values()
    except (TypeError, ValueError):
        return False
    return all(p.default is not p.empty or p.kind in (p.VAR_POSITIONAL, p.VAR_KEYWORD) for p in parameters)


def flatten(held: Any) -> list[Path]:
    """Return the paths to the floats in a container; of parameter objects those to their data."""
    found = []
    for path in leaves(held):
        owner = follow(held, path[:-1]) if path else held
        if path and path[-1][0] == "attr" and data_name(owner) not in ("", path[-1][1]):
            continue
        found.append(path)
    return found


def _attributes(layer: Any) -> Iterator[tuple[Path, bool]]:
    """Yield every path to a float in the layer that is not named after another one's gradient."""
    paths = list(leaves(layer))
    beside: dict[Path, set[str]] = {}
    for path in filter(None, paths):  # a layer may be an array itself
        owner = follow(layer, path[:-1])
        if path[-1][0] == "attr" and data_name(owner) not in ("", path[-1][1]):
            continue
        if not any(_names_gradient(layer, path[:i], path[i], beside) for i in range(len(path))):
            yield path, False


def _names_gradient(layer: Any, before: Path, step: tuple[str, Any], beside: dict[Path, set[str]]) -> bool:
    """Return whether a step leads to gradients, by its name and those beside it, which are kept for each owner."""
    kind, name = step
    if not isinstance(name, str):
        return False
    if before not in beside:
        owner = follow(layer, before)
        others = owner if kind == "item" else attribute_of(owner, "__dict__") or {}
        beside[before] = {names.plain(other) for other in others if isinstance(other, str)}
    return names.plain(name) in names.GRADS or not beside[before].isdisjoint(names.stems(name))


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
    found = given(layer) if callable(given) else given
    if isinstance(found, str | np.ndarray) or not isinstance(found, Mapping | Sequence):
        said = f"{what}= returned {type(found).__name__}" if callable(given) else f"{what} is {shown(given)}"
        raise LayerError(f"{said}: give a list or dict of names or of the layer's own arrays, or a callable")
    if callable(given):
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
            raise LayerError(f"{what}: {text_of(error)}") from error
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
            f"params: the layer has no {o.name} ({text_of(error)}): name an attribute that holds floats"
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
