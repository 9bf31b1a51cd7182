"""Which of the places where a parameter's gradient may be hold it."""

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from gradlab.adapters.numpy_layer import naming_conventions as names
from gradlab.adapters.numpy_layer.gradient_places import GradientPlace
from gradlab.adapters.numpy_layer.layer_pair import LayerPair
from gradlab.adapters.numpy_layer.layer_run import LayerError, LayerRun
from gradlab.adapters.numpy_layer.number_places import leaves as leaves_of
from gradlab.adapters.numpy_layer.parameter_discovery import Occurrence, Parameter
from gradlab.adapters.numpy_layer.reading_fit import cotangent
from gradlab.node import Array


def alive_slots(
    bound: LayerPair,
    parameters: Sequence[Parameter],
    values: Mapping[str, Array],
    lists: Mapping[str, list[list[GradientPlace]]],
    seed: int,
) -> dict[int, Array]:
    """Return what backward writes into each slot, of those that it writes into, by the slot's id."""
    slots = [slot for of_paths in lists.values() for slots in of_paths for slot in slots]
    run, g, _ = one_run(bound, parameters, values, seed)
    before = [None if (x := slot.array(run)) is None else x.copy() for slot in slots]
    run.given_back = bound.way.give(bound.forward_call, run, g)
    found = {}
    for slot, old in zip(slots, before, strict=True):
        new = slot.array(run)
        if new is not None and (old is None or not np.array_equal(old, new, equal_nan=True)):
            found[id(slot)] = new.copy()
        elif new is not None:
            found[-id(slot)] = new.copy()
    return found


def pick(
    p: Parameter, lists: Sequence[Sequence[GradientPlace]], alive: Mapping[int, Array]
) -> tuple[GradientPlace, ...]:
    """Return the slots whose sum is a parameter's gradient: one, or, of tied weights, one for each use.

    What lists and dicts of gradients say counts before what stands beside a parameter, those of a whole net before
    those of the layers inside, and what backward writes into before what only has the name.
    """
    count = len(p.occurrences)
    pairs = list(zip(p.occurrences, lists, strict=False))
    depths = sorted({_depth(o) for o, _ in pairs if o.declared})
    groups = [[slots for o, slots in pairs if o.declared and _depth(o) == depth] for depth in depths]
    for group in (*groups, [slots for o, slots in pairs if not o.declared]):
        found = [next((s for s in slots if id(s) in alive), None) for slots in group]
        kept: list[GradientPlace] = []
        for slot in filter(None, found):
            if not any(np.array_equal(alive[id(slot)], alive[id(other)]) for other in kept):
                kept.append(slot)
        if kept:
            return tuple(_plainest(slot, lists, alive) for slot in kept)
        if stale := [s for slots in group for s in slots[:1] if -id(s) in alive and s.path]:
            return (stale[0],)  # a list of gradients that the layers inside do not write into
    if not p.sure:
        return ()
    later = next((s for slots in lists[count:] for s in slots if id(s) in alive), None)
    silent = next((s for slots in lists[:count] for s in slots if -id(s) in alive), None)
    return tuple(filter(None, [later or silent]))


def _depth(o: Occurrence) -> int:
    """Return how deep in the layer the list or dict is that declares a parameter."""
    return next(i for i, (_, key) in enumerate(o.path) if names.plain(str(key)) in names.PARAMS)


def _plainest(
    slot: GradientPlace, lists: Sequence[Sequence[GradientPlace]], alive: Mapping[int, Array]
) -> GradientPlace:
    """Return the slot with the same gradient that is easiest to read."""
    same = [s for slots in lists for s in slots if id(s) in alive and s.turned == slot.turned]
    same = [s for s in same if s.path and np.array_equal(alive[id(s)], alive[id(slot)])]
    return min([slot, *same], key=lambda s: ("()" in s.said, len(s.said)))


def one_run(
    bound: LayerPair, parameters: Sequence[Parameter], values: Mapping[str, Array], seed: int
) -> tuple[LayerRun, Any, dict[Any, Any]]:
    """Return a run of forward, a cotangent for it, and copies of what is in the layer then."""
    start = [(p.where, values[p.name]) for p in parameters]
    run = bound.forward_call.run(bound.stage, [np.array(leaf.value) for leaf in bound.leaves], start)
    if not bound.way.takes and len(run.outputs) > 1:
        raise LayerError("takes no cotangent, and there are several outputs")
    before = {path: np.array(v) for path, v in leaves_of(run.layer).items()}
    return run, cotangent(run, np.random.default_rng([seed, 20])), before
