"""The state in which a layer is checked: before its first forward, or after it if that makes the parameters."""

import contextlib
from collections.abc import Sequence
from types import ModuleType
from typing import Any

import numpy as np

from gradlab.adapters.numpy_layer.forward_calls import CallWithLeaves
from gradlab.adapters.numpy_layer.layer_error import LayerError
from gradlab.adapters.numpy_layer.layer_reading import BoundLayer
from gradlab.adapters.numpy_layer.layer_run import ForwardCall, HeldLayer, resets
from gradlab.adapters.numpy_layer.naming_conventions import is_parameter
from gradlab.adapters.numpy_layer.number_places import follow, integers, show
from gradlab.adapters.numpy_layer.parameter_discovery import Parameter, find_parameters, from_override

# So often is tried what of a store matters.
MOST_TRIES = 200
# A layer has no more parameters than this of its own accord.
MANY = 100


def layer_at_start(
    layer: Any, calls: Sequence[CallWithLeaves], params: Any
) -> tuple[HeldLayer, list[Parameter]]:
    """Return the layer held as it is, or, if forward makes its parameters, as it is after the first one."""
    forward, leaves = calls[0]
    objects = [argument.value for argument in forward.arguments]
    held_layer = HeldLayer(layer, objects)
    arrays = [leaf.value for leaf in leaves]
    _refuse_integers(layer)
    if _makes_parameters(layer, forward, held_layer, arrays):
        _forget(layer, objects, forward, arrays)
        held_layer = HeldLayer(layer, objects)
    else:
        held_layer.reset()
    found = find_parameters(layer)
    kept = {p.name: (p.where.get(layer), p.value(layer)) for p in found}
    forward.run(held_layer, arrays)
    given = [x for x in arrays if isinstance(x, np.ndarray)]
    found = [p for p in found if not any(np.may_share_memory(kept[p.name][0], x) for x in given)]
    same = {p.name: _is_same(p, layer, *kept[p.name]) for p in found}
    made_anew = _made_anew([p for p in found if same[p.name]], forward, held_layer, arrays)
    same = {name: kept and name not in made_anew for name, kept in same.items()}
    stayed = [
        p for p in found if same[p.name] or (p.sure and not _is_replaced(p, forward, held_layer, arrays))
    ]
    # nor do most of very many attributes that nothing calls parameters
    many = len(stayed) > MANY
    stored = [p for p in stayed if _is_in_a_store(p) or (many and not p.sure)]
    idle = {p.name for p in stored} - {p.name for p in mattering(stored, forward, held_layer, arrays)}
    stayed = [p for p in stayed if p.name not in idle]
    held_layer.reset()
    return held_layer, from_override(layer, params) if params is not None else stayed


def _is_in_a_store(p: Parameter) -> bool:
    """Return whether a parameter stands in a dict or list that nothing calls one of parameters: a velocity may."""
    return not any(o.declared for o in p.occurrences) and p.occurrences[0].path[-1][0] == "item"


def is_constant(p: Parameter, bound: BoundLayer) -> bool:
    """Return whether the output depends on an array that has no gradient."""
    bound.held_layer.reset()
    layer = bound.held_layer.layer
    value = p.where.get(layer)
    learned = [q.where.get(layer) for q in bound.primals if q.where is not None]
    if not isinstance(value, np.ndarray) or any(np.may_share_memory(value, other) for other in learned):
        return False
    return matters(p, bound.forward_call, bound.held_layer, [leaf.value for leaf in bound.leaves])


def mattering(
    parameters: Sequence[Parameter], forward: ForwardCall, held_layer: HeldLayer, arrays: Sequence[Any]
) -> list[Parameter]:
    """Return those parameters without which forward would give something else, found by halving.

    Most stores, of velocities or of caches, do not matter at all, and may be large. Of one in which much does, what the
    tries do not last for is taken to matter as well.
    """
    found: list[Parameter] = []
    pending, tries = [list(parameters)] if parameters else [], MOST_TRIES
    while pending:
        some = pending.pop()
        tries -= 1
        if tries > 0 and not _matter(some, forward, held_layer, arrays):
            continue
        if len(some) == 1 or tries <= 0:
            found += some
        else:
            pending += some[: len(some) // 2], some[len(some) // 2 :]
    return found


def matters(p: Parameter, forward: ForwardCall, held_layer: HeldLayer, arrays: Sequence[Any]) -> bool:
    """Return whether forward gives something else for another value of a parameter."""
    return _matter([p], forward, held_layer, arrays)


def _matter(
    parameters: Sequence[Parameter], forward: ForwardCall, held_layer: HeldLayer, arrays: Sequence[Any]
) -> bool:
    """Return whether forward gives something else for other values of some parameters together."""
    held_layer.reset()
    values = [p.value(held_layer.layer) for p in parameters]
    with contextlib.suppress(Exception):
        here, there = (
            forward.run(
                held_layer, arrays, [(p.where, move(x)) for p, x in zip(parameters, values, strict=True)]
            ).outputs
            for move in (np.copy, lambda x: 1.1 * x + 0.1)
        )
        return not all(map(np.array_equal, here, there))
    return True


def _is_replaced(p: Parameter, forward: ForwardCall, held_layer: HeldLayer, arrays: Sequence[Any]) -> bool:
    """Return whether forward puts something else in the place of whatever stands there."""
    held_layer.reset()
    other = 1.1 * p.value(held_layer.layer) + 0.1
    with contextlib.suppress(Exception):
        forward.run(held_layer, arrays, [(p.where, other)])
        found = p.value(held_layer.layer)
        return found.shape != other.shape or not np.array_equal(found, other.astype(found.dtype))
    return False


def _makes_parameters(layer: Any, forward: ForwardCall, held_layer: HeldLayer, arrays: Sequence[Any]) -> bool:
    """Run forward twice, and return whether the first run made parameters that the second left alone."""
    before = {p.name for p in find_parameters(layer)}
    forward.run(held_layer, arrays)
    made = [p for p in find_parameters(layer) if p.sure and p.name not in before]
    held = [(p, p.where.get(layer), p.value(layer)) for p in made]
    held = [part for part in held if not any(np.may_share_memory(part[1], x) for x in arrays)]
    forward.run(held_layer, arrays, fresh=False)
    left = [part[0] for part in held if _is_same(*part[:1], layer, *part[1:])]
    return len(_made_anew(left, forward, held_layer, arrays, fresh=False)) < len(left)


def _made_anew(
    parameters: Sequence[Parameter],
    forward: ForwardCall,
    held_layer: HeldLayer,
    arrays: Sequence[Any],
    fresh: bool = True,
) -> set[str]:
    """Return the names of those plain numbers that forward makes anew, whatever stood there.

    Of an array one sees that it is another; two equal numbers are one.
    """
    if fresh:
        held_layer.reset()
    layer = held_layer.layer
    numbers = [p for p in parameters if not isinstance(p.where.get(layer), np.ndarray) and _is_own(p, layer)]
    before = {p.name: p.value(layer) for p in numbers}
    others = {name: 1.1 * value + 0.1 for name, value in before.items()}
    try:
        start = [(p.where, others[p.name]) for p in numbers]
        forward.run(held_layer, arrays, start, fresh=fresh)
        return {p.name for p in numbers if not np.array_equal(p.value(layer), others[p.name])}
    except Exception:  # whatever it raises at other numbers
        return set()
    finally:
        for p in numbers:
            with contextlib.suppress(Exception):  # what forward has put there may have no such number
                p.where.set(layer, before[p.name])


def _is_own(p: Parameter, layer: Any) -> bool:
    """Return whether a number stands in the layer itself, and not in a module or a class that others use as well."""
    path = p.occurrences[0].path
    return not any(isinstance(follow(layer, path[:k]), ModuleType | type) for k in range(len(path)))


def _forget(layer: Any, objects: Sequence[Any], forward: ForwardCall, arrays: Sequence[Any]) -> None:
    """Let a layer forget the forward that made its parameters, if it has a method for that which leaves them alone.

    And after which forward still runs.
    """
    before = {p.name for p in find_parameters(layer) if p.sure}
    for name in resets(layer):
        held = HeldLayer(layer, objects)
        try:
            getattr(layer, name)()
            forward.run(HeldLayer(layer, objects), arrays)
            held.reset()
            getattr(layer, name)()
        except Exception:  # a method that needs more, or does something else
            held.reset()
        if {p.name for p in find_parameters(layer) if p.sure} != before:
            held.reset()


def _is_same(p: Parameter, layer: Any, then: Any, copy: Any) -> bool:
    """Return whether forward left a number alone."""
    try:
        now = p.where.get(layer)
    except (AttributeError, KeyError, IndexError, TypeError):
        return False
    return (now is then or not isinstance(now, np.ndarray)) and np.array_equal(now, copy)


def _refuse_integers(layer: Any) -> None:
    for path, value in integers(layer).items():
        if is_parameter(str(path[-1][1]), sure=True):
            raise LayerError(
                f"the parameter {show(path)} has dtype {value.dtype}, in which a small step is lost: make it float"
            )
