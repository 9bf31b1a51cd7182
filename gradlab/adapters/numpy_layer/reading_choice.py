"""Which reading of a layer is believed: each that its names allow is tried, and the best fitting one is chosen."""

import inspect
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import replace
from itertools import islice
from typing import Any

import numpy as np

from gradlab.adapters.numpy_layer import naming_conventions as names
from gradlab.adapters.numpy_layer.backward_calls import find_backward_calls
from gradlab.adapters.numpy_layer.forward_arguments import ArgumentLeaf
from gradlab.adapters.numpy_layer.forward_calls import FOR_FUNCTIONS, CallWithLeaves, no_forward
from gradlab.adapters.numpy_layer.gradient_assignment import (
    BackwardTraces,
    assign_inputs,
    assign_parameters,
    differentiated_inputs,
    learning_rates,
    overridden,
    traces_of,
)
from gradlab.adapters.numpy_layer.initial_state import matters
from gradlab.adapters.numpy_layer.layer_error import LayerError, error_text
from gradlab.adapters.numpy_layer.layer_reading import BoundLayer, Primal, Reading, cotangent
from gradlab.adapters.numpy_layer.layer_run import GradientSlot, HeldLayer, LayerRun, slot_at, title_of
from gradlab.adapters.numpy_layer.number_places import leaves as leaves_of
from gradlab.adapters.numpy_layer.parameter_discovery import Occurrence, Parameter
from gradlab.checks.trial import quiet
from gradlab.node import Array, as_tuple
from gradlab.running.foreign_function import is_foreign

# So many readings are tried at the most.
READINGS = 60


class NoBackwardError(LayerError):
    """Forward takes its inputs, and nothing that could be a gradient comes back."""


class NoGradientError(LayerError):
    """What ``grads=`` names is not there."""


class FixedPointError(LayerError):
    """Forward takes no other numbers than those that it is given."""


def choose_reading(
    held_layer: HeldLayer,
    calls: Sequence[CallWithLeaves],
    parameters: Sequence[Parameter],
    grads: Any,
    seed: int,
) -> Reading:
    """Return the reading of a layer under which most gradients are right, or, of several such, the likeliest.

    Raises
    ------
    LayerError
        If nothing that could be a gradient comes back in any way.
    """
    found: list[Reading] = []
    failed: list[tuple[BoundLayer, LayerRun, str]] = []
    for bound, run in islice(_candidates(held_layer, calls), READINGS):
        if not bound.backward_call.takes and any(
            r.bound.backward_call.named and _is_of_one(r.bound, bound) for r in found
        ):
            continue  # what is called a cotangent, and is taken for one without an error, is one
        if bound.forward_call.partly and any(r.bound.backward_call.several for r in found):
            continue  # what takes a cotangent for each output owes a gradient for each
        try:
            reading = _attempt(bound, parameters, grads, seed)
        except (NoGradientError, FixedPointError):
            raise
        except Exception as error:  # whatever a wrong guess makes a layer raise
            told = error_text(error)
            if not isinstance(error, LayerError) and not is_foreign(error):
                # what gradlab stumbles over says nothing of the layer
                told = f"could not be followed ({told})"
            failed.append((bound, run, f"{bound.backward_call.said} {told}"))
            continue
        if reading.perfect:
            return reading
        # a rotation's way back is its inverse, and a gradient where it leaves one of what it is turned by
        learned = any(p.where is not None for p in reading.bound.primals)
        if (bound.backward_call.inverse and not learned) or not _is_borne_out(reading, seed):
            continue
        found.append(reading)
    if found:
        return max(found, key=lambda reading: (sum(reading.fits), -len(reading.without)))
    if all(forward.unnamed for forward, _ in calls):
        raise no_forward(held_layer.layer)
    return _raising(held_layer, failed)


def _is_borne_out(reading: Reading, seed: int) -> bool:
    """Return whether something speaks for a reading: its names, or what comes back.

    What no name says is forward is one where what comes back is right; and, where an object has two methods and no
    more, where the second takes its argument in as a cotangent goes in, linearly, and what it gives depends on what
    the first was given. Two filters do not.
    """
    bound = reading.bound
    if not bound.forward_call.unnamed or min(reading.fits) == 1:
        return True
    if not (bound.forward_call.alone and bound.backward_call.takes):
        return False
    rng = np.random.default_rng([seed, 32])
    with quiet():
        try:
            output, residuals = bound.forward(*bound.values)
            if isinstance(output, tuple):
                return False
            a, b = (np.asarray(rng.standard_normal(np.shape(output)), output.dtype) for _ in range(2))
            first, second, both = (_known(bound.backward(residuals, g)) for g in (a, b, a + 2 * b))
            moved = bound.forward(*(np.asarray(0.7 * x, x.dtype) for x in bound.values))[1]
            elsewhere = _known(bound.backward(moved, a))
        except Exception:  # what takes some numbers only takes no cotangent
            return False
    linear = all(np.allclose(x + 2 * y, z, 1e-6, 1e-9) for x, y, z in zip(first, second, both, strict=True))
    return linear and not all(np.allclose(x, y, 1e-6, 1e-9) for x, y in zip(first, elsewhere, strict=True))


def _known(gradients: Sequence[Any]) -> list[Array]:
    return [np.array(d) for d in gradients if d is not None]


def _candidates(
    held_layer: HeldLayer, calls: Sequence[CallWithLeaves]
) -> Iterator[tuple[BoundLayer, LayerRun]]:
    """Yield every pair of a forward and a backward call, the likeliest first, with a run of forward."""
    for forward, leaves in calls:
        held_layer.reset()
        run = forward.run(held_layer, [leaf.value for leaf in leaves])
        for backward_call in find_backward_calls(forward, run):
            yield BoundLayer(held_layer, forward, backward_call, leaves, ()), run


def _is_of_one(a: BoundLayer, b: BoundLayer) -> bool:
    return a.forward_call is b.forward_call and a.backward_call.method == b.backward_call.method


def _raising(held_layer: HeldLayer, failed: Sequence[tuple[BoundLayer, LayerRun, str]]) -> Reading:
    """Return the likeliest reading where every backward raises, so that what it raises is reported."""
    kind = type(held_layer.layer).__name__
    if not failed and inspect.isroutine(held_layer.layer):
        given = title_of(held_layer.layer)
        raise NoBackwardError(
            f"{given} is a function, and no backward pass comes with it: use {FOR_FUNCTIONS}"
        )
    if not failed:
        cure = "call it backward, or pass backward='its name' to check_layer"
        raise NoBackwardError(f"{kind} has no method that looks like a backward pass: {cure}")
    bound, run, raised = next((part for part in failed if part[0].backward_call.sure), failed[0])
    inputs = differentiated_inputs(bound, run)
    if not inputs or " raised " not in raised or " could not be followed " in raised:
        raise NoBackwardError(f"{kind}.{raised}: return the gradient, or store it beside what it belongs to")
    lost = GradientSlot("what it raised", lambda run: None)
    primals = tuple(Primal(leaf.name, leaf.value, leaf, None, (lost,)) for leaf in inputs)
    return Reading(replace(bound, primals=primals), (0.0,) * len(primals), (), (), raised)


def _attempt(bound: BoundLayer, parameters: Sequence[Parameter], grads: Any, seed: int) -> Reading:
    """Run one backward call, and return the reading that its traces make."""
    bound.held_layer.reset()
    values = {p.name: p.value(bound.held_layer.layer) for p in parameters}
    run, g, before = one_run(bound, parameters, values, seed)
    run.given_back = bound.backward_call.give(bound.forward_call, run, g)
    traces = traces_of(bound, run, before, g)
    if more := {
        k: v for k, v in learning_rates(traces, parameters).items() if k not in bound.forward_call.attributes
    }:
        call = replace(bound.forward_call, attributes={**bound.forward_call.attributes, **more})
        return _attempt(replace(bound, forward_call=call), parameters, grads, seed)
    inputs = assign_inputs(traces, parameters)
    lists = (
        assign_parameters(traces, parameters, inputs)
        if grads is None
        else overridden(traces, parameters, grads)
    )
    lists = _without_inputs(run, values, lists, inputs)
    alive = alive_slots(bound, parameters, values, lists, seed)
    taken = {p.name: choose_slots(p, lists.get(p.name, []), alive) for p in parameters}
    primals = _without_views(run.layer, _primals(bound, inputs, parameters, values, taken))
    if not primals:
        raise LayerError("gives nothing that could be a gradient")
    primals = [replace(p, as_row=_is_row(p, run)) for p in primals]
    bound = _with_functional(replace(bound, primals=tuple(primals)), run)
    missing = [p for p in parameters if p.sure and not taken[p.name] and not _is_part(run.layer, p, primals)]
    # what the output does not depend on has no gradient to be owed: a running mean, a buffer that forward fills anew
    arrays = [leaf.value for leaf in bound.leaves]
    missing = [p for p in missing if matters(p, bound.forward_call, bound.held_layer, arrays)]
    if grads is not None and missing:
        cure = "name what holds it"
        raise NoGradientError(f"grads: nothing stands there for {missing[0].name} after backward: {cure}")
    without = [
        x for x in differentiated_inputs(bound, run) if x.name not in inputs and not _is_in_dict(bound, x)
    ]
    bound, fitting = _with_sums(bound, traces, seed)
    return Reading(bound, fitting, tuple(missing), tuple(without))


def _with_sums(bound: BoundLayer, traces: BackwardTraces, seed: int) -> tuple[BoundLayer, tuple[float, ...]]:
    """Take the whole's gradient of a part's parameter, where what the part holds is not right, and the whole's is.

    A part that is used twice may hold the share of one use, and the whole the sum, by the same name.
    """
    fitting = fits(bound, seed)
    for i, p in enumerate(bound.primals):
        own = p.slots[0].path
        if p.where is None or fitting[i] == 1 or own is None or len(own) < 3 or own[-1][0] != "attr":
            continue
        whole = (("attr", "layer"), own[-1])
        if traces.changed.get(whole[1:]) is None:
            continue
        primals = (*bound.primals[:i], replace(p, slots=(slot_at(whole),)), *bound.primals[i + 1 :])
        other = replace(bound, primals=primals)
        if (known := fits(other, seed))[i] == 1:
            bound, fitting = other, known
    return bound, tuple(fitting)


def _without_inputs(
    run: LayerRun,
    values: Mapping[str, Array],
    lists: Mapping[str, Sequence[Sequence[GradientSlot]]],
    inputs: Mapping[str, GradientSlot],
) -> dict[str, list[list[GradientSlot]]]:
    """Leave out what holds an input's gradient, in another shape than the parameter's: a buffer of what is returned."""
    given = [x for slot in inputs.values() if (x := slot.array(run)) is not None]

    def is_free(slot: GradientSlot, shape: tuple[int, ...]) -> bool:
        array = slot.array(run)
        return array is None or array.shape == shape or not any(np.array_equal(array, x) for x in given)

    return {
        name: [[s for s in slots if is_free(s, values[name].shape)] for slots in of_paths]
        for name, of_paths in lists.items()
    }


def _primals(
    bound: BoundLayer,
    inputs: Mapping[str, GradientSlot],
    parameters: Sequence[Parameter],
    values: Mapping[str, Array],
    taken: Mapping[str, tuple[GradientSlot, ...]],
) -> list[Primal]:
    """Return the primals that have a gradient: inputs, then parameters."""
    of_inputs = [
        Primal(leaf.name, leaf.value, leaf, None, (inputs[leaf.name],))
        for leaf in bound.leaves
        if leaf.name in inputs
    ]
    learned = [p for p in parameters if taken[p.name]]
    return of_inputs + [Primal(p.name, values[p.name], None, p.where, taken[p.name]) for p in learned]


def _is_row(p: Primal, run: LayerRun) -> bool:
    """Return whether a gradient comes as a row, or with more axes of length 1 before those of its primal."""
    found = [x for slot in p.slots if (x := slot.array(run)) is not None]
    own = p.value.shape
    return bool(own and found) and all(
        x.ndim > len(own) and x.shape == (1,) * (x.ndim - len(own)) + own for x in found
    )


def _is_part(layer: Any, p: Parameter, primals: Sequence[Primal]) -> bool:
    """Return whether a parameter is a view of one that has a gradient."""
    value = np.asarray(p.where.get(layer))
    return any(q.where is not None and np.may_share_memory(value, q.where.get(layer)) for q in primals)


def _is_in_dict(bound: BoundLayer, leaf: ArgumentLeaf) -> bool:
    """Return whether an input stands in a dict, as settings and running means do."""
    return isinstance(bound.forward_call.arguments[leaf.argument].value, Mapping)


def _without_views(layer: Any, primals: Sequence[Primal]) -> list[Primal]:
    """Leave out parameters that are views of others, as setting the one would undo the other; tell names apart."""
    kept: list[Primal] = []
    held: list[Any] = []
    for primal in primals:
        if primal.where is not None:
            value = primal.where.get(layer)
            if isinstance(value, np.ndarray) and any(np.may_share_memory(value, other) for other in held):
                continue
            held += [value] if isinstance(value, np.ndarray) else []
        taken = any(primal.name == other.name for other in kept)
        kept.append(replace(primal, name=f"parameter {primal.name}") if taken else primal)
    return kept


def _with_functional(bound: BoundLayer, run: LayerRun) -> BoundLayer:
    """Return the reading with the sum of the outputs as its functional, where no cotangent can weigh them."""
    if bound.backward_call.takes or run.outputs[0].size == 1:
        return bound
    shape = run.outputs[0].shape
    gradients = [p.gradient(run, [None] * len(p.slots)) for p in bound.primals]
    leads = all(d is not None and np.shape(d)[: len(shape)] in (shape, ()) for d in gradients)
    return replace(bound, summed=not leads or any(p.where is not None for p in bound.primals))


def alive_slots(
    bound: BoundLayer,
    parameters: Sequence[Parameter],
    values: Mapping[str, Array],
    lists: Mapping[str, list[list[GradientSlot]]],
    seed: int,
) -> dict[int, Array]:
    """Return the array in each slot after backward by the slot's id, negative where backward left it as it was."""
    slots = [slot for of_paths in lists.values() for slots in of_paths for slot in slots]
    run, g, _ = one_run(bound, parameters, values, seed)
    before = [None if (x := slot.array(run)) is None else x.copy() for slot in slots]
    run.given_back = bound.backward_call.give(bound.forward_call, run, g)
    found = {}
    for slot, old in zip(slots, before, strict=True):
        new = slot.array(run)
        if new is not None and (old is None or not np.array_equal(old, new, equal_nan=True)):
            found[id(slot)] = new.copy()
        elif new is not None:
            found[-id(slot)] = new.copy()
    return found


def choose_slots(
    p: Parameter, lists: Sequence[Sequence[GradientSlot]], alive: Mapping[int, Array]
) -> tuple[GradientSlot, ...]:
    """Return the slots whose sum is a parameter's gradient: one, or, of tied weights, one for each use.

    What lists and dicts of gradients say counts before what stands beside a parameter, those of a whole net before
    those of the layers inside, and what backward writes into before what only has the name.
    """
    count = len(p.occurrences)
    # what backward returns under the parameter's name is what its caller gets
    named = (s for slots in lists[count:] for s in slots if id(s) in alive and _is_returned_by_name(s))
    if (returned := next(named, None)) is not None:
        return (_plainest(returned, lists, alive),)
    pairs = list(zip(p.occurrences, lists, strict=False))
    depths = sorted({_depth(o) for o, _ in pairs if o.declared})
    groups = [[slots for o, slots in pairs if o.declared and _depth(o) == depth] for depth in depths]
    for group in (*groups, [slots for o, slots in pairs if not o.declared]):
        found = [next((s for s in slots if id(s) in alive), None) for slots in group]
        kept: list[GradientSlot] = []
        for slot in filter(None, found):
            if not any(np.array_equal(alive[id(slot)], alive[id(other)]) for other in kept):
                kept.append(slot)
        if kept:
            return tuple(_plainest(slot, lists, alive) for slot in kept)
        if stale := [s for slots in group for s in slots[:1] if -id(s) in alive and s.path]:
            return (stale[0],)  # a list of gradients that the layers inside do not write into
    later = next((s for slots in lists[count:] for s in slots if id(s) in alive), None)
    if not p.sure:
        return (later,) if later else ()
    silent = next((s for slots in lists[:count] for s in slots if -id(s) in alive), None)
    return tuple(filter(None, [later or silent]))


def _is_returned_by_name(slot: GradientSlot) -> bool:
    path = slot.path or (("attr", ""),)
    return path[0] == ("attr", "given_back") and len(path) > 1 and isinstance(path[-1][1], str)


def _depth(o: Occurrence) -> int:
    """Return how deep in the layer the list or dict is that declares a parameter."""
    return next(i for i, (_, key) in enumerate(o.path) if names.plain(str(key)) in names.PARAMS)


def _plainest(
    slot: GradientSlot, lists: Sequence[Sequence[GradientSlot]], alive: Mapping[int, Array]
) -> GradientSlot:
    """Return the slot with the same gradient that is easiest to read."""
    same = [s for slots in lists for s in slots if id(s) in alive and s.turned == slot.turned]
    same = [s for s in same if s.path and np.array_equal(alive[id(s)], alive[id(slot)])]
    return min([slot, *same], key=lambda s: ("()" in s.said, len(s.said)))


def one_run(
    bound: BoundLayer, parameters: Sequence[Parameter], values: Mapping[str, Array], seed: int
) -> tuple[LayerRun, Any, dict[Any, Any]]:
    """Return a run of forward, a cotangent for it, and copies of what is in the layer then."""
    start = [(p.where, values[p.name]) for p in parameters]
    run = bound.forward_call.run(bound.held_layer, [np.array(leaf.value) for leaf in bound.leaves], start)
    if not bound.backward_call.takes and len(run.outputs) > 1:
        raise LayerError("takes no cotangent, and there are several outputs")
    before = {path: np.array(v) for path, v in leaves_of(run.layer).items()}
    return run, cotangent(run, np.random.default_rng([seed, 20])), before


# The step along a line, relative to the primal's size, and how near its slope must come to count as a fit.
STEP, NEAR, ULPS = 2.0**-10, 2e-3, 64
# What a gradient counts that is wrong by a factor alone, among several readings none of which fits.
IN_PROPORTION = 0.5
# So many lines show whether it is.
LINES = 4


def fits(bound: BoundLayer, seed: int) -> list[float]:
    """Return how each primal's gradient fits forward's slopes along random lines.

    That is 1 if it has them, `IN_PROPORTION` if it is in one proportion to them, and 0 otherwise.
    """
    rng = np.random.default_rng([seed, 21])
    with quiet():
        output, residuals = bound.forward(*bound.values)
        g = tuple(np.asarray(rng.standard_normal(np.shape(y)), np.asarray(y).dtype) for y in as_tuple(output))
        gradients = bound.backward(residuals, g if isinstance(output, tuple) else g[0])
        return [_fit(bound, i, d, g, rng) for i, d in enumerate(gradients)]


def _fit(bound: BoundLayer, i: int, d: Any, g: Sequence[Array], rng: np.random.Generator) -> float:
    if d is None or np.shape(d) != bound.values[i].shape:
        return 0.0
    pairs = [_slopes(bound, i, np.asarray(d, np.float64), g, rng)]
    if _agree(*pairs[0]):
        return 1.0
    # a line along which the slopes cancel shows no proportion, and zeros are in proportion to everything
    pairs += [_slopes(bound, i, np.asarray(d, np.float64), g, rng) for _ in range(LINES - 1)]
    ratios = [total / slope for total, slope, size in pairs if abs(slope) > NEAR * size]
    alike = len(ratios) > 2 and 0 < max(map(abs, ratios)) * NEAR >= max(ratios) - min(ratios)
    return IN_PROPORTION if alike and np.size(d) > 1 else 0.0


def _agree(total: float, slope: float, size: float) -> bool:
    return abs(total - slope) <= NEAR * size


def _slopes(
    bound: BoundLayer, i: int, d: Array, g: Sequence[Array], rng: np.random.Generator
) -> tuple[float, float, float]:
    """Return the gradient's slope along one random line, forward's slope, and the size of both."""
    x = bound.values[i].astype(np.float64)
    least = 0.1 * float(np.abs(x).max(initial=0.0)) or 1.0
    v = rng.choice([-1.0, 1.0], x.shape) * rng.uniform(0.5, 1.5, x.shape) * np.maximum(np.abs(x), least)

    def f(t: float) -> float:
        moved = [a.astype(np.float64) for a in bound.values]
        moved[i] = x + t * v
        try:
            outputs = as_tuple(bound.forward(*moved)[0])
        except AssertionError as error:
            refused = f"{bound.forward_call.method} asserts that it is given no other {bound.primals[i].name}"
            cure = "leave that out, or check the layer together with what makes it"
            raise FixedPointError(
                f"{refused} ({error_text(error)}), so that no difference shows: {cure}"
            ) from error
        return sum(float(np.sum(a * y)) for a, y in zip(g, outputs, strict=True))

    wide, narrow = ((f(h) - f(-h)) / (2 * h) for h in (STEP, STEP / 2))
    terms = sum(float(np.abs(a).sum()) for a in g) * max(1.0, abs(f(0.0)))
    narrowest = (
        np.float32 if any(a.dtype == np.float32 for a in bound.held_layer.snapshot.arrays) else np.float64
    )
    noise = ULPS * float(np.finfo(narrowest).eps) * terms / STEP / NEAR
    slope = (4 * narrow - wide) / 3
    return float(np.sum(d * v)), slope, float(np.abs(d * v).sum()) + abs(slope) + noise
