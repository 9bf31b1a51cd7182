"""Slots, where a gradient may stand: returned, beside its parameter, in a list or dict, on a tensor, in a step."""

import ast
import inspect
import textwrap
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

import numpy as np

from gradlab.adapters.numpy_layer import naming_conventions as names
from gradlab.adapters.numpy_layer.layer_run import GradientSlot, LayerRun, slot_at
from gradlab.adapters.numpy_layer.number_places import (
    DATA,
    GRAD,
    Path,
    as_array,
    attribute_names,
    data_name,
    follow,
    grad_name,
    show,
)
from gradlab.adapters.numpy_layer.parameter_discovery import (
    Occurrence,
    Parameter,
    containers,
    flatten,
    nearest_name,
)
from gradlab.node import Array
from gradlab.workers.strange_objects import attribute_of

_LAYER: Path = (("attr", "layer"),)
_BACK: Path = (("attr", "given_back"),)


def slots_of(run: LayerRun, parameter: Parameter) -> list[list[GradientSlot]]:
    """Return, for each path to a parameter, the slots of its gradient, the likeliest first.

    A parameter that a list declares has its gradients in the list's counterpart, if that holds any; so its other
    paths come in a second place.
    """
    of_paths = []
    own = {occurrence.path for occurrence in parameter.occurrences}
    for occurrence in parameter.occurrences:
        found = [
            slot_at((*_LAYER, *path), turned=occurrence.turned)
            for path in _beside(run.layer, occurrence)
            if path not in own
        ]
        of_paths.append(found)
    return of_paths


def _beside(layer: Any, occurrence: Occurrence) -> Iterator[Path]:
    path = occurrence.path
    owner = follow(layer, path[:-1])
    if path[-1][0] == "attr" and data_name(owner) == path[-1][1]:
        yield (*path[:-1], ("attr", grad_name(owner)))
    if path[-1][0] == "item" and path[-1][1] in DATA and isinstance(owner, Mapping):
        yield from ((*path[:-1], ("item", key)) for key in GRAD if key in owner)
    cut = max((i for i, (kind, _) in enumerate(path) if kind != "item"), default=-1)
    if cut < 0:
        return
    before, step, rest = path[:cut], path[cut], path[cut + 1 :]
    holder = follow(layer, before)
    if _holds_pair(step, rest):
        yield (*before, step, *rest[:-1], ("item", 1))
    yield from ((*before, *found) for found in _counterparts(holder, step, rest))
    yield from ((*before, *found) for found in _named_beside(holder, str(step[1]), rest))
    # the dict that a parameter stands in may hold its gradient too, and so may an object above
    if rest and isinstance(rest[-1][1], str):
        inner = follow(holder, (step, *rest[:-1]))
        yield from ((*before, step, *rest[:-1], ("item", key)) for key in _keys_for(inner, str(rest[-1][1])))


def _holds_pair(step: tuple[str, Any], rest: Path) -> bool:
    return "param" in str(step[1]) and "grad" in str(step[1]) and rest[-1:] == (("item", 0),)


def _counterparts(holder: Any, step: tuple[str, Any], rest: Path) -> Iterator[Path]:
    """Yield the places in lists and dicts of gradients that answer to a place in one of parameters."""
    for container in containers(holder, names.GRADS):
        if container == step:
            continue
        held = follow(holder, (container,))
        if not rest:
            yield from ((container, ("item", key)) for key in _keys_for(held, str(step[1])))
            continue
        yield from ((container, *other) for other in _same_rest(held, rest))
        wanted, there = flatten(follow(holder, (step,))), flatten(held)
        if rest in wanted and len(wanted) == len(there) and not _are_named(there):
            yield (container, *there[wanted.index(rest)])


def slots_under_the_same_key(run: LayerRun, parameter: Parameter) -> list[list[GradientSlot]]:
    """Return, where a parameter stands in a dict of several, the same places of the dicts beside it with these keys."""
    path = parameter.occurrences[0].path if parameter.occurrences else ()
    owner = follow(run.layer, path[:-2]) if len(path) > 1 and path[-2][0] == "attr" else None
    own, held = (
        (follow(run.layer, path[:-1]), attribute_of(owner, "__dict__")) if owner is not None else (None, None)
    )
    if not isinstance(own, Mapping) or len(own) < 2 or not isinstance(held, Mapping):
        return []
    beside = [
        k
        for k, other in held.items()
        if isinstance(other, Mapping) and other is not own and set(other) == set(own)
    ]
    return [[slot_at((*_LAYER, *path[:-2], ("attr", name), path[-1]))] for name in beside]


def _are_named(paths: Sequence[Path]) -> bool:
    return any(isinstance(key, str) for path in paths for _, key in path)


def _same_rest(held: Any, rest: Path) -> Iterator[Path]:
    """Yield the path `rest` in another container, each key of it as it is or as its gradient is called."""
    reached: list[tuple[Path, Any]] = [((), held)]
    for kind, key in rest:
        following = []
        for path, value in reached:
            keys = _keys_for(value, key) if isinstance(key, str) and isinstance(value, Mapping) else [key]
            for other in keys:
                try:
                    following.append(((*path, (kind, other)), follow(value, ((kind, other),))))
                except (AttributeError, KeyError, IndexError, TypeError):
                    continue
        reached = following
    yield from (path for path, _ in reached)


def _keys_for(held: Any, name: str) -> list[Any]:
    """Return the keys of a dict under which the gradient of `name` stands, the best first."""
    if not isinstance(held, Mapping):
        return []
    scored = [(names.is_gradient_of(str(key), name), key) for key in held]
    same = [name] if name in held else []
    return [key for score, key in sorted(scored, key=lambda pair: -pair[0]) if score and key != name] + same


def _named_beside(holder: Any, name: str, rest: Path) -> Iterator[Path]:
    attributes = [n for n in attribute_names(holder) if not n.startswith("__")]
    scored = sorted(((names.is_gradient_of(n, name), n) for n in attributes), key=lambda pair: -pair[0])
    for score, other in scored:
        if score:
            try:
                held = getattr(holder, other)
            except Exception:  # a property that needs more
                continue
            if callable(held) and not isinstance(held, np.ndarray):
                continue
            yield from ((("attr", other), *found) for found in (_same_rest(held, rest) if rest else [()]))


def returned_arrays(run: LayerRun) -> list[tuple[Path, Array]]:
    """Return what backward returned, array by array, in its order."""
    found: list[tuple[Path, Array]] = []

    def look(path: Path, value: Any) -> None:
        array = as_array(value)
        if array is not None:
            found.append((path, array))
        elif isinstance(value, Mapping):
            for key in value:
                look((*path, ("item", key)), value[key])
        elif isinstance(value, list | tuple):
            for i, part in enumerate(value):
                look((*path, ("item", i)), part)

    look(_BACK, run.given_back)
    return found


def returned_slot(path: Path) -> GradientSlot:
    """Return the slot of an array that backward returned."""
    inner = show(path[1:])
    return slot_at(path, f"what it returned{f', {inner}' if inner else ''}")


def returned_names(method: Any) -> list[str]:
    """Return the names in a method's last ``return a, b, c``; empty where its source cannot be read."""
    try:
        tree = ast.parse(textwrap.dedent(inspect.getsource(method)))
    except (OSError, TypeError, SyntaxError):
        return []
    values = [node.value for node in ast.walk(tree) if isinstance(node, ast.Return)]
    last = next((value for value in reversed(values) if isinstance(value, ast.Tuple | ast.List)), None)
    return [part.id if isinstance(part, ast.Name) else "" for part in last.elts] if last else []


def step_slot(parameter: Parameter, rate: float) -> GradientSlot:
    """Return the slot that reads the gradient from the parameter's own change in a step of gradient descent."""

    def read(run: LayerRun) -> Any:
        return (run.params[parameter.where.said] - np.asarray(parameter.where.get(run.layer))) / rate

    return GradientSlot("the step that backward takes, over the learning rate", read)


def optimizer_slot(parameter: Parameter) -> GradientSlot:
    """Return the slot of the gradient that was handed to an optimizer with its parameter."""

    def read(run: LayerRun) -> Any:
        held = parameter.where.get(run.layer)
        found = [recorder.gradient_of(held) for recorder in run.recorders]
        return next((grad for grad in found if grad is not None), None)

    return GradientSlot("what it hands to its optimizer", read)


def input_attribute(
    run: LayerRun, name: str, shape: tuple[int, ...], changed: Mapping[Path, Any]
) -> Path | None:
    """Return the attribute that backward left the gradient of an input in; None if none fits."""
    direct: Mapping[Path, Any] = {
        path: v for path, v in changed.items() if len(path) == 1 and path[0][0] == "attr"
    }
    direct = direct or changed
    scored = [(names.is_gradient_of(nearest_name(path), name), path) for path in direct]
    scored += [(1, path) for path in direct if nearest_name(path) in _INPUT_GRADIENTS]
    best = max(scored, key=lambda pair: (pair[0], np.shape(changed[pair[1]]) == shape), default=(0, ()))
    if best[0]:
        return best[1]
    fitting = [path for path in direct if np.shape(changed[path]) == shape]
    return fitting[0] if len(fitting) == 1 else None


_INPUT_GRADIENTS = (
    "dinputs", "dinput", "dx", "dX", "grad_input", "input_grad", "input_gradient", "gradInput", "d_input", "d_inputs",
    "dA_prev", "gx", "bottom_diff", "grad_inputs", "downstream", "passed_gradient", "delta_prev", "dprev",
)  # fmt: skip
