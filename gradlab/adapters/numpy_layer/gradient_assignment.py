"""Which of what backward left behind is the gradient of what."""

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from gradlab.adapters.numpy_layer import naming_conventions as names
from gradlab.adapters.numpy_layer.backward_calls import RATE
from gradlab.adapters.numpy_layer.backward_traces import BackwardTraces, wanted
from gradlab.adapters.numpy_layer.gradient_places import (
    GradientPlace,
    at,
    handed_over,
    input_attribute,
    returned_slot,
    slots_of,
    stepped,
)
from gradlab.adapters.numpy_layer.layer_pair import ArgumentLeaf
from gradlab.adapters.numpy_layer.number_places import Path, follow, show
from gradlab.adapters.numpy_layer.number_values import data_name, grad_name
from gradlab.adapters.numpy_layer.overrides import Override, overrides
from gradlab.adapters.numpy_layer.parameter_discovery import Parameter, nearest_name
from gradlab.adapters.numpy_layer.returned_gradients import is_keyed, matched, parameters_returned


def assign_inputs(left: BackwardTraces, parameters: Sequence[Parameter]) -> dict[str, GradientPlace]:
    """Return the slot of each input whose gradient came back, by the input's name."""
    found = _on_tensors(left)
    inputs = [leaf for leaf in wanted(left.bound, left.run) if leaf.name not in found]
    keyed = [path for path, _ in left.back if is_keyed(path)]
    for leaf in inputs:
        named = [path for path in keyed if names.is_gradient_of(path[-1][1], leaf.name)]
        if named:
            found[leaf.name] = returned_slot(named[0])
    inputs = [leaf for leaf in inputs if leaf.name not in found]
    unnamed = [(path, array) for path, array in left.back if not is_keyed(path)]
    places = matched(left, inputs, unnamed, parameters)
    found |= {name: returned_slot(path) for name, path in places.items()}
    for leaf in inputs:
        attribute = None if leaf.name in found else _attribute_for(left, leaf, parameters)
        if attribute:
            found[leaf.name] = at((("attr", "layer"), *attribute))
    return found


def _on_tensors(left: BackwardTraces) -> dict[str, GradientPlace]:
    """Return the slots of inputs that are tensor objects, which hold their gradients themselves."""
    found = {}
    for leaf in left.bound.leaves:
        owner = follow(left.run.args[leaf.argument], leaf.path[:-1]) if leaf.path else None
        if owner is not None and leaf.path[-1][0] == "attr" and data_name(owner):
            inner: Path = (*leaf.path[:-1], ("attr", grad_name(owner)))
            said = f"{leaf.name}.{grad_name(owner)}"
            found[leaf.name] = at((("attr", "args"), ("item", leaf.argument), *inner), said)
    return found


def _attribute_for(left: BackwardTraces, leaf: ArgumentLeaf, parameters: Sequence[Parameter]) -> Path | None:
    """Return the attribute that an input's gradient was left in, where it was not returned."""
    if left.back:
        return None if len(wanted(left.bound, left.run)) == 1 else _named_attribute(left, leaf)
    taken = {path for p in parameters for slots in slots_of(left.run, p) for path in _paths(slots)}
    taken |= {o.path for p in parameters for o in p.occurrences}
    free = {path: value for path, value in left.changed.items() if path not in taken}
    return input_attribute(left.run, leaf.name, leaf.value.shape, free)


def _named_attribute(left: BackwardTraces, leaf: ArgumentLeaf) -> Path | None:
    direct = [path for path in left.changed if len(path) == 1]
    return next((path for path in direct if names.is_gradient_of(nearest_name(path), leaf.name)), None)


def _paths(slots: Sequence[GradientPlace]) -> list[Path]:
    return [slot.path[1:] for slot in slots if slot.path]


def assign_parameters(
    left: BackwardTraces, parameters: Sequence[Parameter], inputs: Mapping[str, GradientPlace]
) -> dict[str, list[list[GradientPlace]]]:
    """Return for each parameter the slots that may hold its gradient, a list for each path to it."""
    used = {slot.path for slot in inputs.values()}
    back = [(path, array) for path, array in left.back if path not in used]
    found = {p.name: slots_of(left.run, p) for p in parameters}
    for p in parameters:
        keyed = [path for path, _ in back if is_keyed(path) and _is_named_after(path, p)]
        found[p.name] += [[returned_slot(path)] for path in keyed[:1]]
    unnamed = [(path, array) for path, array in back if not is_keyed(path)]
    sure = [p for p in parameters if p.sure]
    for name, path in parameters_returned(left, sure, unnamed).items():
        found[name].append([returned_slot(path)])
    for p in sure:
        found[p.name] += [[handed_over(p)]]
        if moves(left, p) and (left.bound.way.steps or RATE in left.bound.forward_call.attributes.values()):
            found[p.name] += [[stepped(p, RATE)]]
        found[p.name] += [[at((("attr", "layer"), *path))] for path in _made_beside(left, p, found, inputs)]
    return found


def _is_named_after(path: Path, p: Parameter) -> bool:
    near = {nearest_name(o.path) for o in p.occurrences}
    return any(names.is_gradient_of(path[-1][1], name) >= 2 or path[-1][1] == name for name in near)


def moves(left: BackwardTraces, p: Parameter) -> bool:
    """Return whether backward took a step with a parameter."""
    before = left.run.params.get(p.where.said)
    return before is not None and not np.array_equal(before, np.asarray(p.where.get(left.run.layer)))


def rates(left: BackwardTraces, parameters: Sequence[Parameter]) -> dict[str, float]:
    """Return the attributes that hold the learning rate of a step that backward takes, and what to set them to."""
    found = {}
    for p in parameters:
        if p.sure and moves(left, p) and not left.bound.way.steps:
            for path in [*(o.path[:-1] for o in p.occurrences), ()]:
                owner = follow(left.run.layer, path)
                for name, value in getattr(owner, "__dict__", {}).items():
                    if names.is_rate(name) and isinstance(value, float | int) and value:
                        found[show((*path, ("attr", name)))] = RATE
    return found


def _made_beside(
    left: BackwardTraces,
    p: Parameter,
    found: Mapping[str, list[list[GradientPlace]]],
    inputs: Mapping[str, GradientPlace],
) -> list[Path]:
    """Return the one array of the parameter's shape that backward made beside it, whatever it is called."""
    shape = p.value(left.run.layer).shape
    taken = {path for lists in found.values() for slots in lists for path in _paths(slots)}
    taken |= set(_paths(list(inputs.values())))
    fitting = [
        path
        for path, value in left.changed.items()
        if np.shape(value) == shape
        and path not in taken
        and any(path[:-1] == o.path[:-1] and path != o.path for o in p.occurrences)
    ]
    return fitting if len(fitting) == 1 else []


def overridden(
    left: BackwardTraces, parameters: Sequence[Parameter], grads: Any
) -> dict[str, list[list[GradientPlace]]]:
    """Return the slots that the caller names, under their parameters' names or in their order."""
    given = overrides(left.run.layer, grads, "grads")
    by_name = {o.name: o for o in given}
    found: dict[str, list[list[GradientPlace]]] = {}
    for i, p in enumerate(parameters):
        o = by_name.get(p.name) or (given[i] if i < len(given) else None)
        if o is not None:
            found[p.name] = [[_slot_of(o)]]
    return found


def _slot_of(o: Override) -> GradientPlace:
    if o.path is not None:
        return at((("attr", "layer"), *o.path), f"{o.name}, as grads= says")
    return GradientPlace("what grads= says", lambda run: o.get(run.layer))
