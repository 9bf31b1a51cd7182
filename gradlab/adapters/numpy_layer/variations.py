"""Where the faults of real code show: a second call, another mode, another stride, ids that come twice."""

import inspect
from collections.abc import Iterator, Mapping
from dataclasses import replace
from functools import partial
from typing import Any

import numpy as np

from gradlab.adapters.foreign_pair.variations import Variation
from gradlab.adapters.numpy_layer import naming_conventions as names
from gradlab.adapters.numpy_layer.held_layer import HeldLayer
from gradlab.adapters.numpy_layer.layer_pair import LayerPair
from gradlab.adapters.numpy_layer.layer_run import method_of, resets
from gradlab.adapters.numpy_layer.off_defaults import off
from gradlab.adapters.numpy_layer.reading_fit import cotangent
from gradlab.adapters.numpy_layer.rebuilt_layer import other_values, rebuilt, short
from gradlab.checks.exploration.derived_inputs import resize
from gradlab.checks.trial import quiet
from gradlab.node import Array


def variations(
    bound: LayerPair, asked: Mapping[str, Any], kept: Mapping[str, Any], seed: int
) -> Iterator[Variation]:
    """Yield what can be varied, but nothing that the caller asked for; `kept` is what forward is given besides."""
    second = _second_call(bound, None, seed)
    if second:
        yield second
    yield from _oblong(bound)
    yield from _repeated_ids(bound, kept)
    yield from _other_settings(bound)
    yield from _other_mode(bound, asked)
    yield from rebuilt(bound)


def _second_call(bound: LayerPair, method: str | None, seed: int) -> Variation | None:
    """Return the layer as it is after a forward and a backward, and after a method that resets it."""
    try:
        with quiet():
            run = bound.run(bound.values, {})
            bound.way.give(bound.forward_call, run, cotangent(run, np.random.default_rng([seed, 24])))
            if method:
                getattr(bound.stage.layer, method)()
    except Exception:  # what backward raises is told at the first call
        return None
    used = HeldLayer(bound.stage.layer, [argument.value for argument in bound.forward_call.arguments])
    reset = next(iter(resets(bound.stage.layer)), None)
    again = partial(_second_call, bound, reset, seed) if reset and not method else None
    changes = (partial(_times, 0.75), partial(_times, 1.25))
    return off("second call", replace(bound, stage=used), changes=changes, again=again, used=True)


def _times(factor: float, primals: tuple[Array, ...]) -> tuple[Array, ...]:
    return tuple(np.asarray(x * x.dtype.type(factor)) for x in primals)


def _oblong(bound: LayerPair) -> Iterator[Variation]:
    """Yield square images, and what else has neighbouring axes of one length, made oblong."""
    for i, primal in enumerate(bound.primals):
        shape = primal.value.shape
        for axis in range(len(shape) - 1):
            if primal.where is None and shape[axis] == shape[axis + 1] > 1:
                for longer in (axis + 1, axis):
                    how = f"axis {longer} of {primal.name} longer"
                    # what is no image may be square for good, and is then refused in the layer's own words
                    refusable = len(shape) < 3
                    change = partial(_longer, i, longer)
                    yield off(how, bound, changes=(change,), refusable=refusable)


def _longer(i: int, axis: int, primals: tuple[Array, ...]) -> tuple[Array, ...]:
    x = primals[i]
    return (*primals[:i], resize(x, axis, x.shape[axis] + 1), *primals[i + 1 :])


def _repeated_ids(bound: LayerPair, settings: Mapping[str, Any]) -> Iterator[Variation]:
    for name, value in settings.items():
        if isinstance(value, np.ndarray) and value.dtype.kind in "iu" and value.size > 1:
            repeated = value.copy().reshape(-1)
            repeated[1::2] = repeated[: 2 * (value.size // 2) : 2]
            if not np.array_equal(repeated, value.reshape(-1)):
                yield off(f"{name} with repeats", bound, {name: repeated.reshape(value.shape)})


def _other_settings(bound: LayerPair) -> Iterator[Variation]:
    """Yield other strides, paddings and factors among what forward is given, in dicts of them too."""
    call = bound.forward_call
    taken = {p.leaf.argument for p in bound.primals if p.leaf is not None}
    given = {a.name: a.value for i, a in enumerate(call.arguments) if i not in taken}
    defaults = {name: value for name, value in _defaults(bound).items() if name not in given}
    # a default is passed by name, so that it can be varied
    bound = replace(bound, forward_call=replace(call, settings={**defaults, **call.settings}))
    for name, value in {**given, **bound.forward_call.settings}.items():
        if names.is_target(name) or names.is_training_flag(name):
            continue
        if isinstance(value, Mapping):
            for key, part in value.items():
                for other in other_values(str(key), part):
                    yield off(f"{name}[{key!r}]={short(other)}", bound, {name: {**value, key: other}})
        for other in other_values(name, value):
            yield off(f"{name}={short(other)}", bound, {name: other})


def _other_mode(bound: LayerPair, asked: Mapping[str, Any]) -> Iterator[Variation]:
    """Yield the other value of every flag for training; backward need not be meant for evaluation."""
    call = bound.forward_call
    for name, value in list(getattr(bound.stage.layer, "__dict__", {}).items()):
        if names.is_training_flag(name) and isinstance(value, bool) and name not in asked:
            there = replace(call, attributes={**call.attributes, name: not value})
            yield off(f"{name}={not value}", replace(bound, forward_call=there), excused=value)
    for name, default in _defaults(bound).items():
        value = call.settings.get(name, default)
        if names.is_training_flag(name) and isinstance(value, bool) and name not in asked:
            there = replace(call, settings={**call.settings, name: not value})
            yield off(f"{name}={not value}", replace(bound, forward_call=there), excused=value)


def _defaults(bound: LayerPair) -> dict[str, Any]:
    """Return the arguments of forward that have a default, or that are passed by name, and their defaults."""
    try:
        parameters = inspect.signature(method_of(bound.stage.layer, bound.forward_call.method)).parameters
    except (TypeError, ValueError):
        return {}
    named = bound.forward_call.settings
    return {n: p.default for n, p in parameters.items() if p.default is not p.empty or n in named}
