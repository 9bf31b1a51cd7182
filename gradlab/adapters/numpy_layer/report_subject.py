"""A layer's reading as the subject of a report, and what is said besides."""

from collections.abc import Mapping
from functools import partial
from typing import Any

import numpy as np

from gradlab.adapters.foreign_pair.subject_report import Subject
from gradlab.adapters.numpy_layer.layer_pair import LayerPair
from gradlab.adapters.numpy_layer.learned_behaviour import with_ones
from gradlab.adapters.numpy_layer.loss_domain import within
from gradlab.adapters.numpy_layer.naming_conventions import is_parameter
from gradlab.adapters.numpy_layer.off_defaults import epsilon_of
from gradlab.adapters.numpy_layer.reading_choice import Reading
from gradlab.adapters.numpy_layer.variations import variations


def subject_of(reading: Reading, settings: Mapping[str, Any], seed: int, name: str | None) -> Subject:
    """Return a layer as the subject of a report."""
    bound = with_ones(reading.bound) if reading.ignores else reading.bound
    kept = _settings(bound)
    whole = {p.name for p in bound.primals}
    return Subject(
        name or _title(bound.stage.layer),
        within(bound, kept) if is_loss(bound) else bound.forward,
        bound.backward,
        [p.name for p in bound.primals],
        bound.values,
        {key: value for key, value in kept.items() if key not in whole},
        parameters=_parameters(bound),
        loss=is_loss(bound),
        # without a cotangent nothing else follows in the chain rule, and the functional may be the caller's
        chained=reading.bound.way.takes,
        free=not reading.bound.way.takes and not reading.bound.forward_call.scalar,
        notes={p.name: _note(reading.bound, p) for p in bound.primals},
        variations=partial(variations, bound, settings, kept, seed) if not reading.raised else tuple,
        epsilon=epsilon_of(bound),
    )


def _parameters(bound: LayerPair) -> list[int]:
    """Return which primals are parameters; of functions, those behind the first that are called so."""
    pair = getattr(bound.stage.layer, "passes_cache", False)
    return [
        i
        for i, p in enumerate(bound.primals)
        if p.where is not None or (pair and i > 0 and is_parameter(p.name, sure=True))
    ]


def _title(layer: Any) -> str:
    return str(getattr(layer, "__name__", type(layer).__name__))


def _settings(bound: LayerPair) -> dict[str, Any]:
    """Return the arrays and numbers that forward is given besides the primals: a batch of labels goes with x."""
    call = bound.forward_call
    taken = {p.leaf.argument for p in bound.primals if p.leaf is not None}
    arguments = {a.name: a.value for i, a in enumerate(call.arguments) if i not in taken}
    both = {**arguments, **call.settings}
    return {name: value for name, value in both.items() if isinstance(value, np.ndarray | int | float | str)}


def is_loss(bound: LayerPair) -> bool:
    """Return whether its gradient may belong to another function: it has one number as output, or takes no dout."""
    output = bound.forward(*bound.values)[0]
    return not bound.way.takes or (not isinstance(output, tuple) and np.size(output) == 1)


def _note(bound: LayerPair, primal: Any) -> str:
    """Return where a gradient was found, in words."""
    places = " plus ".join(slot.said for slot in primal.slots)
    added = ", where gradients add up until they are cleared" if primal.accumulates else ""
    multiplied = "" if bound.way.takes else ", times the cotangent"
    return f"gradient of {primal.name}: {places}{multiplied}, written by {bound.way.said}{added}"
