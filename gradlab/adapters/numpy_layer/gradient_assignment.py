"""The traces of a run of backward, and which of them is the gradient of which input or parameter."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from gradlab.adapters.numpy_layer import naming_conventions as names
from gradlab.adapters.numpy_layer.forward_arguments import ArgumentLeaf
from gradlab.adapters.numpy_layer.gradient_slots import (
    input_attribute,
    optimizer_slot,
    returned_arrays,
    returned_names,
    returned_slot,
    slots_of,
    slots_under_the_same_key,
    step_slot,
)
from gradlab.adapters.numpy_layer.layer_reading import RATE, BoundLayer
from gradlab.adapters.numpy_layer.layer_run import GradientSlot, LayerRun, method_of, passes_cache, slot_at
from gradlab.adapters.numpy_layer.number_places import (
    Path,
    as_array,
    data_name,
    follow,
    grad_name,
    new_arrays,
    show,
)
from gradlab.adapters.numpy_layer.parameter_discovery import Override, Parameter, nearest_name, overrides
from gradlab.node import Array, as_tuple


@dataclass(frozen=True, eq=False)
class BackwardTraces:
    """The traces of one run of backward: the arrays that it wrote, made or returned.

    Attributes
    ----------
    bound : BoundLayer
    run : LayerRun
    changed : mapping
        What it wrote or made in the layer.
    back : list of (Path, ndarray)
        What it returned, array by array.
    """

    bound: BoundLayer
    run: LayerRun
    changed: Mapping[Path, Any]
    back: list[tuple[Path, Array]]


def traces_of(bound: BoundLayer, run: LayerRun, before: Mapping[Path, Any], g: Any) -> BackwardTraces:
    """Return the traces of backward, by comparison with copies of the layer's arrays from before it.

    The cotangent `g` may have been put into the layer, and is none.
    """
    changed = new_arrays(run.layer, before)
    own = {path: value for path, value in changed.items() if not any(value is part for part in as_tuple(g))}
    return BackwardTraces(bound, run, own, returned_arrays(run))


def differentiated_inputs(bound: BoundLayer, run: LayerRun) -> list[ArgumentLeaf]:
    """Return the inputs that should have a gradient: all but a loss's targets, for which none comes back."""
    arguments = [argument.name for argument in bound.forward_call.arguments]
    targets = {leaf for leaf in bound.leaves if names.is_target(arguments[leaf.argument])}
    targets -= set(_come_back_in_order(bound.leaves, run.given_back))
    others = [leaf for leaf in bound.leaves if leaf not in targets]
    loss = not bound.backward_call.takes or all(y.size == 1 for y in run.outputs)
    if loss and len(others) > 1 and any(leaf.name == "y" for leaf in others):
        predictions = [leaf for leaf in others if names.is_prediction(leaf.name)]
        others = predictions if len(predictions) == len(others) - 1 else others
    return others or list(bound.leaves)


def _come_back_in_order(leaves: Sequence[ArgumentLeaf], returned: Any) -> list[ArgumentLeaf]:
    """Return the inputs for which something stands in its place, where backward returned one thing for each input."""
    if not isinstance(returned, tuple | list) or len(returned) != len(leaves):
        return []
    arrays = [as_array(part) for part in returned]
    # a number may be the gradient of any number, and zeros are what stands where there is none
    return [
        leaf
        for leaf, array in zip(leaves, arrays, strict=True)
        if array is not None and array.shape == leaf.value.shape and array.ndim and array.any()
    ]


def assign_inputs(traces: BackwardTraces, parameters: Sequence[Parameter]) -> dict[str, GradientSlot]:
    """Return the slot of each input whose gradient came back, by the input's name."""
    found = _on_tensors(traces)
    inputs = [leaf for leaf in differentiated_inputs(traces.bound, traces.run) if leaf.name not in found]
    keyed = [path for path, _ in traces.back if is_keyed(path)]
    for leaf in inputs:
        named = [path for path in keyed if path[-1][1] == leaf.name]
        named = named or [path for path in keyed if names.is_gradient_of(path[-1][1], leaf.name)]
        if named:
            found[leaf.name] = returned_slot(named[0])
    inputs = [leaf for leaf in inputs if leaf.name not in found]
    # under whatever name, what has the one input's shape and no parameter's name
    free = (
        [path for path, array in traces.back if is_keyed(path) and array.shape == inputs[0].value.shape]
        if len(inputs) == 1
        else []
    )
    free = [path for path in free if not any(_is_named_after(path, p) for p in parameters)]
    if len(free) == 1:
        found[inputs.pop().name] = returned_slot(free[0])
    unnamed = [(path, array) for path, array in traces.back if not is_keyed(path)]
    places = inputs_returned(traces, inputs, unnamed, parameters)
    found |= {name: returned_slot(path) for name, path in places.items()}
    for leaf in inputs:
        attribute = None if leaf.name in found else _attribute_for(traces, leaf, parameters)
        if attribute:
            found[leaf.name] = slot_at((("attr", "layer"), *attribute))
    return found


def _on_tensors(traces: BackwardTraces) -> dict[str, GradientSlot]:
    """Return the slots of inputs that are tensor objects, which hold their gradients themselves."""
    found = {}
    for leaf in traces.bound.leaves:
        owner = follow(traces.run.args[leaf.argument], leaf.path[:-1]) if leaf.path else None
        if owner is not None and leaf.path[-1][0] == "attr" and data_name(owner):
            inner: Path = (*leaf.path[:-1], ("attr", grad_name(owner)))
            said = f"{leaf.name}.{grad_name(owner)}"
            found[leaf.name] = slot_at((("attr", "args"), ("item", leaf.argument), *inner), said)
    return found


def _attribute_for(
    traces: BackwardTraces, leaf: ArgumentLeaf, parameters: Sequence[Parameter]
) -> Path | None:
    """Return the attribute that an input's gradient was left in, where it was not returned."""
    if traces.back:
        return (
            None
            if len(differentiated_inputs(traces.bound, traces.run)) == 1
            else _named_attribute(traces, leaf)
        )
    taken = {path for p in parameters for slots in slots_of(traces.run, p) for path in _paths(slots)}
    taken |= {o.path for p in parameters for o in p.occurrences}
    free = {path: value for path, value in traces.changed.items() if path not in taken}
    return input_attribute(traces.run, leaf.name, leaf.value.shape, free)


def _named_attribute(traces: BackwardTraces, leaf: ArgumentLeaf) -> Path | None:
    direct = [path for path in traces.changed if len(path) == 1]
    return next((path for path in direct if names.is_gradient_of(nearest_name(path), leaf.name)), None)


def _paths(slots: Sequence[GradientSlot]) -> list[Path]:
    return [slot.path[1:] for slot in slots if slot.path]


def assign_parameters(
    traces: BackwardTraces, parameters: Sequence[Parameter], inputs: Mapping[str, GradientSlot]
) -> dict[str, list[list[GradientSlot]]]:
    """Return for each parameter the slots that may hold its gradient, a list for each path to the parameter."""
    used = {slot.path for slot in inputs.values()}
    back = [(path, array) for path, array in traces.back if path not in used]
    found = {p.name: slots_of(traces.run, p) for p in parameters}
    for p in parameters:
        keyed = [path for path, _ in back if is_keyed(path) and _is_named_after(path, p)]
        found[p.name] += [[returned_slot(path)] for path in keyed[:1]]
    unnamed = [(path, array) for path, array in back if not is_keyed(path)]
    sure = [p for p in parameters if p.sure]
    for name, path in parameters_returned(traces, sure, unnamed).items():
        found[name].append([returned_slot(path)])
    for p in parameters:
        found[p.name] += slots_under_the_same_key(traces.run, p)
    # the one array that comes back, and that no input has, is the gradient of whatever has its shape
    shaped = [p for p in parameters if unnamed and p.value(traces.run.layer).shape == unnamed[0][1].shape]
    if len(unnamed) == len(shaped) == 1 and not shaped[0].sure:
        found[shaped[0].name].append([returned_slot(unnamed[0][0])])
    for p in sure:
        found[p.name] += [[optimizer_slot(p)]]
        if takes_a_step(traces, p) and (
            traces.bound.backward_call.steps or RATE in traces.bound.forward_call.attributes.values()
        ):
            found[p.name] += [[step_slot(p, RATE)]]
        found[p.name] += [
            [slot_at((("attr", "layer"), *path))] for path in _made_beside(traces, p, found, inputs)
        ]
    return found


def _is_named_after(path: Path, p: Parameter) -> bool:
    near = {nearest_name(o.path) for o in p.occurrences}
    return any(names.is_gradient_of(path[-1][1], name) >= 2 or path[-1][1] == name for name in near)


def takes_a_step(traces: BackwardTraces, p: Parameter) -> bool:
    """Return whether backward took a step with a parameter."""
    before = traces.run.params.get(p.where.said)
    return before is not None and not np.array_equal(before, np.asarray(p.where.get(traces.run.layer)))


def learning_rates(traces: BackwardTraces, parameters: Sequence[Parameter]) -> dict[str, float]:
    """Return the attributes that hold the learning rate of a step that backward takes, with the rate to set."""
    found = {}
    for p in parameters:
        if p.sure and takes_a_step(traces, p) and not traces.bound.backward_call.steps:
            for path in [*(o.path[:-1] for o in p.occurrences), ()]:
                owner = follow(traces.run.layer, path)
                for name, value in getattr(owner, "__dict__", {}).items():
                    if names.is_rate(name) and isinstance(value, float | int) and value:
                        found[show((*path, ("attr", name)))] = RATE
    return found


def _made_beside(
    traces: BackwardTraces,
    p: Parameter,
    found: Mapping[str, list[list[GradientSlot]]],
    inputs: Mapping[str, GradientSlot],
) -> list[Path]:
    """Return the one array of the parameter's shape that backward made beside it, whatever it is called."""
    shape = p.value(traces.run.layer).shape
    taken = {path for lists in found.values() for slots in lists for path in _paths(slots)}
    taken |= set(_paths(list(inputs.values())))
    fitting = [
        path
        for path, value in traces.changed.items()
        if np.shape(value) == shape
        and path not in taken
        and any(path[:-1] == o.path[:-1] and path != o.path for o in p.occurrences)
    ]
    return fitting if len(fitting) == 1 else []


def overridden(
    traces: BackwardTraces, parameters: Sequence[Parameter], grads: Any
) -> dict[str, list[list[GradientSlot]]]:
    """Return the slots that the caller names, under their parameters' names or in their order."""
    given = overrides(traces.run.layer, grads, "grads")
    by_name = {o.name: o for o in given}
    found: dict[str, list[list[GradientSlot]]] = {}
    for i, p in enumerate(parameters):
        o = by_name.get(p.name) or (given[i] if i < len(given) else None)
        if o is not None:
            found[p.name] = [[_slot_of(o)]]
    return found


def _slot_of(o: Override) -> GradientSlot:
    if o.path is not None:
        return slot_at((("attr", "layer"), *o.path), f"{o.name}, as grads= says")
    return GradientSlot("what grads= says", lambda run: o.get(run.layer))


def inputs_returned(
    traces: BackwardTraces,
    inputs: Sequence[ArgumentLeaf],
    back: Sequence[tuple[Path, Array]],
    parameters: Sequence[Parameter],
) -> dict[str, Path]:
    """Match unnamed arrays that backward returned with the inputs: by order, by names in the source, by shape."""
    if not inputs or not back:
        return {}
    if len(back) == 1:
        shapes = [p.value(traces.run.layer).shape for p in parameters]
        shape = back[0][1].shape
        fitting = [leaf for leaf in inputs if leaf.value.shape == shape]
        if not fitting and shape in shapes:
            return {}  # the gradient of a parameter, returned alone
        return {(fitting or list(inputs))[0].name: back[0][0]}
    # of a pair of functions the order of what comes back is that of the arguments, whatever it is called inside
    ordered = passes_cache(traces.run.layer) or len(back) != len(inputs)
    named = {} if ordered else by_source(traces, [leaf.name for leaf in inputs], back)
    if named := named or ({} if ordered else by_stem(traces, inputs, back)):
        return named
    if len(back) in (len(inputs), len(traces.bound.leaves)):
        some = inputs if len(back) == len(inputs) else traces.bound.leaves
        return {leaf.name: path for leaf, (path, _) in zip(some, back, strict=True) if leaf in inputs}
    by_name = by_source(traces, [leaf.name for leaf in inputs], back)
    if by_name:
        return by_name
    return in_order([(leaf.name, leaf.value.shape) for leaf in inputs], back)


def by_source(
    traces: BackwardTraces, asked: Sequence[str], back: Sequence[tuple[Path, Array]]
) -> dict[str, Path]:
    """Match the returned arrays by the names in backward's ``return dx, dW, db``."""
    method = traces.bound.backward_call.method
    said = returned_names(method_of(traces.run.layer, method)) if method else []
    if len(said) != len(back):
        return {}
    found = {}
    for name in asked:
        scored = [(names.is_gradient_of(s, name), path) for s, (path, _) in zip(said, back, strict=True)]
        score, path = max(scored, key=lambda pair: pair[0])
        if score:
            found[name] = path
    return found if len(found) == len(asked) and len(set(found.values())) == len(found) else {}


def by_stem(
    traces: BackwardTraces, inputs: Sequence[ArgumentLeaf], back: Sequence[tuple[Path, Array]]
) -> dict[str, Path]:
    """Match the returned arrays by names in backward's return line that contain the inputs' names, or the other way."""
    method = traces.bound.backward_call.method
    said = returned_names(method_of(traces.run.layer, method)) if method else []
    if len(said) != len(back) or not all(map(names.is_cotangent, said)):
        return {}
    found = {}
    for leaf in inputs:
        fitting = [path for s, (path, _) in zip(said, back, strict=True) if names.has_stem_of(s, leaf.name)]
        if len(fitting) == 1:
            found[leaf.name] = fitting[0]
    return found if len(set(found.values())) == len(inputs) else {}


def in_order(
    asked: Sequence[tuple[str, tuple[int, ...]]], back: Sequence[tuple[Path, Array]]
) -> dict[str, Path]:
    """Match, in order, the returned arrays whose shapes fit."""
    found: dict[str, Path] = {}
    free = list(back)
    for name, shape in asked:
        match = next((pair for pair in free if pair[1].shape == shape), None)
        if match:
            found[name] = match[0]
            free = [pair for pair in free if pair is not match]
    return found


def parameters_returned(
    traces: BackwardTraces, sure: Sequence[Parameter], back: Sequence[tuple[Path, Array]]
) -> dict[str, Path]:
    """Match the unnamed returned arrays that no input has with the parameters."""
    if not back:
        return {}
    by_name = by_source(
        traces, [nearest_name(p.occurrences[0].path) for p in sure if p.occurrences], traces.back
    )
    if by_name:
        return {p.name: by_name[nearest_name(p.occurrences[0].path)] for p in sure if p.occurrences}
    if by_group := _by_groups(traces, sure, back):
        return by_group
    fits = [p.value(traces.run.layer).shape == d.shape for p, (_, d) in zip(sure, back, strict=False)]
    if len(back) == len(sure) and (all(fits) or not any(fits)):
        return {p.name: path for p, (path, _) in zip(sure, back, strict=True)}
    return in_order([(p.name, p.value(traces.run.layer).shape) for p in sure], back)


def _by_groups(
    traces: BackwardTraces, sure: Sequence[Parameter], back: Sequence[tuple[Path, Array]]
) -> dict[str, Path]:
    """Match lists in backward's ``return nabla_b, nabla_w`` with the layer's lists of parameters, by their names."""
    method = traces.bound.backward_call.method
    said = returned_names(method_of(traces.run.layer, method)) if method else []
    there = {path for path, _ in back}
    found: dict[str, Path] = {}
    for p in sure:
        own = p.occurrences[0].path if p.occurrences else ()
        inner = next((own[k + 1 :] for k in reversed(range(len(own))) if isinstance(own[k][1], str)), own)
        scored = [(names.is_gradient_of(s, nearest_name(own)), i) for i, s in enumerate(said)]
        score, i = max(scored, default=(0, 0))
        path: Path = (("attr", "given_back"), ("item", i), *inner)
        if score and inner and path in there:
            found[p.name] = path
    return found if len(found) == len(sure) and len(set(found.values())) == len(found) else {}


def is_keyed(path: Path) -> bool:
    """Return whether a path ends in a dict's key that is a text."""
    return isinstance(path[-1][1], str) and path[-1][0] == "item"
