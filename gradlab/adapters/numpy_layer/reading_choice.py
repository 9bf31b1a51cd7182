"""Which reading of a layer is taken: every way that its names allow is tried, and the one that fits best counts."""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from itertools import islice
from typing import Any

import numpy as np

from gradlab.adapters.numpy_layer.backward_calls import ways
from gradlab.adapters.numpy_layer.backward_traces import left_behind, wanted
from gradlab.adapters.numpy_layer.forward_calls import Call
from gradlab.adapters.numpy_layer.gradient_assignment import (
    assign_inputs,
    assign_parameters,
    overridden,
    rates,
)
from gradlab.adapters.numpy_layer.gradient_choice import alive_slots, one_run, pick
from gradlab.adapters.numpy_layer.gradient_places import GradientPlace
from gradlab.adapters.numpy_layer.held_layer import HeldLayer
from gradlab.adapters.numpy_layer.layer_pair import ArgumentLeaf, LayerPair, Primal
from gradlab.adapters.numpy_layer.layer_run import LayerError, LayerRun, said
from gradlab.adapters.numpy_layer.parameter_discovery import Parameter
from gradlab.adapters.numpy_layer.reading_fit import fits_of
from gradlab.node import Array

# So many readings are tried at the most.
READINGS = 60


class NoBackwardError(LayerError):
    """Forward takes its inputs, and nothing that could be a gradient comes back."""


class NoGradientError(LayerError):
    """What ``grads=`` names is not there."""


@dataclass(frozen=True, eq=False)
class Reading:
    """One way to read a layer.

    Attributes
    ----------
    bound : LayerPair
    fits : tuple of float
        Of each primal, 1 if its gradient is that of forward along a line, less if it is only in proportion to it.
    missing : tuple of Parameter
        Parameters without a gradient, on which the output depends.
    without : tuple of ArgumentLeaf
        Inputs without one.
    raised : str
        What backward raised, where no way leads through it.
    ignores : bool
        Whether it is a loss whose optional cotangent changes nothing.
    constants : tuple of str
        What else the output depends on, and has no gradient.
    """

    bound: LayerPair
    fits: tuple[float, ...]
    missing: tuple[Parameter, ...]
    without: tuple[ArgumentLeaf, ...]
    raised: str = ""
    ignores: bool = False
    constants: tuple[str, ...] = ()

    @property
    def perfect(self) -> bool:
        """Whether everything that has a gradient has the right one, and nothing lacks one."""
        return all(fit == 1 for fit in self.fits) and not self.missing and not self.without


def choose(
    stage: HeldLayer, calls: Sequence[Call], parameters: Sequence[Parameter], grads: Any, seed: int
) -> Reading:
    """Return the reading of a layer under which most gradients are right, or, of several such, the likeliest.

    Raises
    ------
    LayerError
        If nothing that could be a gradient comes back in any way.
    """
    found: list[Reading] = []
    failed: list[tuple[LayerPair, LayerRun, str]] = []
    for bound, run in islice(_candidates(stage, calls), READINGS):
        if not bound.way.takes and any(r.bound.way.named and _is_of_one(r.bound, bound) for r in found):
            continue  # what is called a cotangent, and is taken for one without an error, is one
        try:
            reading = _attempt(bound, parameters, grads, seed)
        except NoGradientError:
            raise
        except Exception as error:  # whatever a wrong guess makes a layer raise
            failed.append((bound, run, f"{bound.way.said} {said(error)}"))
            continue
        if reading.perfect:
            return reading
        found.append(reading)
    if found:
        return max(found, key=lambda reading: (sum(reading.fits), -len(reading.without)))
    return _raising(stage, failed)


def _candidates(stage: HeldLayer, calls: Sequence[Call]) -> Iterator[tuple[LayerPair, LayerRun]]:
    """Yield every way to call the layer forwards and backwards, the likeliest first, with a run of forward."""
    for forward, leaves in calls:
        stage.reset()
        run = forward.run(stage, [leaf.value for leaf in leaves])
        for way in ways(forward, run):
            yield LayerPair(stage, forward, way, leaves, ()), run


def _is_of_one(a: LayerPair, b: LayerPair) -> bool:
    return a.forward_call is b.forward_call and a.way.method == b.way.method


def _raising(stage: HeldLayer, failed: Sequence[tuple[LayerPair, LayerRun, str]]) -> Reading:
    """Return the likeliest reading where every one raises: that is then what is wrong."""
    kind = type(stage.layer).__name__
    if not failed:
        cure = "call it backward, or use check_cached_pair"
        raise NoBackwardError(f"{kind} has no method that looks like a backward pass: {cure}")
    bound, run, raised = next((part for part in failed if part[0].way.sure), failed[0])
    inputs = wanted(bound, run)
    if not inputs or " raised " not in raised:
        raise NoBackwardError(f"{kind}.{raised}: return the gradient, or store it beside what it belongs to")
    lost = GradientPlace("what it raised", lambda run: None)
    primals = tuple(Primal(leaf.name, leaf.value, leaf, None, (lost,)) for leaf in inputs)
    return Reading(replace(bound, primals=primals), (0.0,) * len(primals), (), (), raised)


def _attempt(bound: LayerPair, parameters: Sequence[Parameter], grads: Any, seed: int) -> Reading:
    """Run the layer backwards in one way, and return what is then taken for what."""
    bound.stage.reset()
    values = {p.name: p.value(bound.stage.layer) for p in parameters}
    run, g, before = one_run(bound, parameters, values, seed)
    run.given_back = bound.way.give(bound.forward_call, run, g)
    left = left_behind(bound, run, before)
    if more := {k: v for k, v in rates(left, parameters).items() if k not in bound.forward_call.attributes}:
        call = replace(bound.forward_call, attributes={**bound.forward_call.attributes, **more})
        return _attempt(replace(bound, forward_call=call), parameters, grads, seed)
    inputs = assign_inputs(left, parameters)
    lists = (
        assign_parameters(left, parameters, inputs) if grads is None else overridden(left, parameters, grads)
    )
    alive = alive_slots(bound, parameters, values, lists, seed)
    taken = {p.name: pick(p, lists.get(p.name, []), alive) for p in parameters}
    primals = _apart(run.layer, _primals(bound, inputs, parameters, values, taken))
    if not primals:
        raise LayerError("gives nothing that could be a gradient")
    bound = _with_functional(replace(bound, primals=tuple(primals)), run)
    missing = [p for p in parameters if p.sure and not taken[p.name] and not _is_part(run.layer, p, primals)]
    if grads is not None and missing:
        cure = "name what holds it"
        raise NoGradientError(f"grads: nothing stands there for {missing[0].name} after backward: {cure}")
    without = [x for x in wanted(bound, run) if x.name not in inputs and not _is_in_dict(bound, x)]
    return Reading(bound, tuple(fits_of(bound, seed)), tuple(missing), tuple(without))


def _primals(
    bound: LayerPair,
    inputs: Mapping[str, GradientPlace],
    parameters: Sequence[Parameter],
    values: Mapping[str, Array],
    taken: Mapping[str, tuple[GradientPlace, ...]],
) -> list[Primal]:
    """Return what has a gradient: inputs, then parameters."""
    of_inputs = [
        Primal(leaf.name, leaf.value, leaf, None, (inputs[leaf.name],))
        for leaf in bound.leaves
        if leaf.name in inputs
    ]
    learned = [p for p in parameters if taken[p.name]]
    return of_inputs + [Primal(p.name, values[p.name], None, p.where, taken[p.name]) for p in learned]


def _is_part(layer: Any, p: Parameter, primals: Sequence[Primal]) -> bool:
    """Return whether a parameter is a view of one that has a gradient."""
    value = np.asarray(p.where.get(layer))
    return any(q.where is not None and np.may_share_memory(value, q.where.get(layer)) for q in primals)


def _is_in_dict(bound: LayerPair, leaf: ArgumentLeaf) -> bool:
    """Return whether an input stands in a dict, as settings and running means do."""
    return isinstance(bound.forward_call.arguments[leaf.argument].value, Mapping)


def _apart(layer: Any, primals: Sequence[Primal]) -> list[Primal]:
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


def _with_functional(bound: LayerPair, run: LayerRun) -> LayerPair:
    """Return the reading with the sum of the outputs as its functional, where no cotangent can weigh them."""
    if bound.way.takes or run.outputs[0].size == 1:
        return bound
    shape = run.outputs[0].shape
    gradients = [p.gradient(run, [None] * len(p.slots)) for p in bound.primals]
    leads = all(d is not None and np.shape(d)[: len(shape)] == shape for d in gradients)
    return replace(bound, summed=not leads or any(p.where is not None for p in bound.primals))
