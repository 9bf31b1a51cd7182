"""Variations of a layer, in which the faults of real code show: a second call, another mode or stride, repeated ids."""

import inspect
from collections.abc import Iterator, Mapping
from dataclasses import replace
from functools import partial
from itertools import islice, product
from typing import Any

import numpy as np

from gradlab.adapters.foreign_pair.convention import Epsilon
from gradlab.adapters.foreign_pair.variations import Variation
from gradlab.adapters.numpy_layer import naming_conventions as names
from gradlab.adapters.numpy_layer.layer_reading import BoundLayer, cotangent
from gradlab.adapters.numpy_layer.layer_run import HeldLayer, method_of, resets, vars_of
from gradlab.adapters.numpy_layer.layer_state import Snapshot
from gradlab.checks.exploration.derived_inputs import holds_permutations, resize
from gradlab.checks.trial import quiet
from gradlab.node import Array

# So many integers in a row may be the corners of one thing.
CORNERS = 4


def variations(
    bound: BoundLayer, asked: Mapping[str, Any], kept: Mapping[str, Any], seed: int
) -> Iterator[Variation]:
    """Yield the variations of a layer, except of settings that the caller gave.

    `kept` holds the settings and arrays that forward is given beside the primals.
    """
    second = _second_call(bound, None, seed)
    if second:
        yield second
    yield from _oblong(bound)
    yield from _repeated_ids(bound, kept)
    yield from _other_settings(bound)
    yield from _other_mode(bound, asked)
    yield from rebuilt_layers(bound)


def _second_call(bound: BoundLayer, method: str | None, seed: int) -> Variation | None:
    """Return the layer after a forward and a backward, and after `method`, which resets it, if that is given."""
    try:
        with quiet():
            run = bound.run(bound.values, {})
            bound.backward_call.give(
                bound.forward_call, run, cotangent(run, np.random.default_rng([seed, 24]))
            )
            if method:
                getattr(bound.held_layer.layer, method)()
    except Exception:  # what backward raises is told at the first call
        return None
    used = HeldLayer(bound.held_layer.layer, [argument.value for argument in bound.forward_call.arguments])
    reset = next(iter(resets(bound.held_layer.layer)), None)
    again = partial(_second_call, bound, reset, seed) if reset and not method else None
    changes = (partial(_times, 0.75), partial(_times, 1.25))
    return variation_of(
        "second call", replace(bound, held_layer=used), changes=changes, again=again, used=True
    )


def _times(factor: float, primals: tuple[Array, ...]) -> tuple[Array, ...]:
    return tuple(np.asarray(x * x.dtype.type(factor)) for x in primals)


def _oblong(bound: BoundLayer) -> Iterator[Variation]:
    """Yield inputs with two neighbouring axes of one length, such as square images, made oblong."""
    for i, primal in enumerate(bound.primals):
        shape = primal.value.shape
        for axis in range(len(shape) - 1):
            if primal.where is None and shape[axis] == shape[axis + 1] > 1:
                for longer in (axis + 1, axis):
                    how = f"axis {longer} of {primal.name} longer"
                    # what is no image may be square for good, and is then refused in the layer's own words
                    refusable = len(shape) < 3
                    # and an input beside the first may be a matrix of that many rows by its meaning
                    excused = refusable and i > 0
                    change = partial(_longer, i, longer)
                    yield variation_of(how, bound, changes=(change,), refusable=refusable, excused=excused)


def _longer(i: int, axis: int, primals: tuple[Array, ...]) -> tuple[Array, ...]:
    x = primals[i]
    return (*primals[:i], resize(x, axis, x.shape[axis] + 1), *primals[i + 1 :])


def _repeated_ids(bound: BoundLayer, settings: Mapping[str, Any]) -> Iterator[Variation]:
    for name, value in settings.items():
        if isinstance(value, np.ndarray) and value.dtype.kind in "iu" and value.size > 1:
            # several rows of all integers are no accident
            if value.ndim > 1 and value.shape[-1] > 2 and holds_permutations(value):
                continue
            one_hot = value.ndim > 1 and bool(np.isin(value, (0, 1)).all())
            # the two ends of an edge, or the corners of a face, are not the same
            tied = value.ndim > 1 and value.shape[-1] <= CORNERS and not _has_equal_neighbours(value)
            for whole in (True, False) if tied and not one_hot else (one_hot,):
                repeated = value.copy() if whole else value.copy().reshape(-1)
                repeated[1::2] = repeated[: 2 * (len(repeated) // 2) : 2]
                repeated = repeated.reshape(value.shape)
                if not np.array_equal(repeated, value):
                    how = f"{name} with repeats{' in a row' if tied and not whole else ''}"
                    excused = (tied and not whole) or _are_bounds(value)
                    yield variation_of(how, bound, {name: repeated}, excused=excused)


def _are_bounds(integers: Array) -> bool:
    """Return whether integers say where parts begin: from 0 up, and not one after the other."""
    steps = np.diff(integers) if integers.ndim == 1 else np.zeros(0)
    return bool(steps.size and integers[0] == 0 and (steps > 0).all() and (steps > 1).any())


def _has_equal_neighbours(integers: Array) -> bool:
    rows = np.sort(integers, axis=-1)
    return bool((rows[..., 1:] == rows[..., :-1]).any())


def _other_settings(bound: BoundLayer) -> Iterator[Variation]:
    """Yield other strides, paddings and factors among forward's arguments and settings, also inside dicts."""
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
                    yield variation_of(
                        f"{name}[{key!r}]={short_text(other)}", bound, {name: {**value, key: other}}
                    )
        for other in other_values(name, value):
            yield variation_of(f"{name}={short_text(other)}", bound, {name: other})


def _other_mode(bound: BoundLayer, asked: Mapping[str, Any]) -> Iterator[Variation]:
    """Yield the other value of every flag for training; backward need not be meant for evaluation."""
    call = bound.forward_call
    for name, value in list(vars_of(bound.held_layer.layer).items()):
        if names.is_training_flag(name) and isinstance(value, bool) and name not in asked:
            there = replace(call, attributes={**call.attributes, name: not value})
            yield variation_of(f"{name}={not value}", replace(bound, forward_call=there), excused=value)
    for name, default in _defaults(bound).items():
        value = call.settings.get(name, default)
        if names.is_training_flag(name) and isinstance(value, bool) and name not in asked:
            there = replace(call, settings={**call.settings, name: not value})
            yield variation_of(f"{name}={not value}", replace(bound, forward_call=there), excused=value)


def _defaults(bound: BoundLayer) -> dict[str, Any]:
    """Return the arguments of forward that have a default, or that are passed by name, and their defaults."""
    try:
        parameters = inspect.signature(
            method_of(bound.held_layer.layer, bound.forward_call.method)
        ).parameters
    except (TypeError, ValueError):
        return {}
    named = bound.forward_call.settings
    return {n: p.default for n, p in parameters.items() if p.default is not p.empty or n in named}


# So many combinations of lengths are tried for what a constructor was given and did not keep.
GUESSES = 64


def rebuilt_layers(bound: BoundLayer) -> Iterator[Variation]:
    """Yield the layer made anew by its constructor, with one number of it changed."""
    bound.held_layer.reset()
    arguments = next((a for a in _constructor_arguments(bound) if _is_same(bound, _new_layer(bound, a))), {})
    for name, value in arguments.items():
        for other in other_values(name, value):
            made = _new_layer(bound, {**arguments, name: other})
            # what backward alone takes, such as a clip of gradients, is no variation of forward
            if made is not None and not _gives_the_same(bound, made):
                yield variation_of(f"{name}={short_text(other)}", made)


def _constructor_arguments(bound: BoundLayer) -> Iterator[dict[str, Any]]:
    """Yield arguments that the constructor may have had: attributes of their names, and lengths of parameters."""
    layer = bound.held_layer.layer
    own = {str(name).strip("_").lower(): value for name, value in vars_of(layer).items()}
    try:
        parameters = inspect.signature(type(layer)).parameters.values()
    except (TypeError, ValueError):
        return
    found = {p.name: own[p.name.lower()] for p in parameters if p.name.lower() in own}
    plain = [p for p in parameters if p.kind not in (p.VAR_POSITIONAL, p.VAR_KEYWORD)]
    missing = [p.name for p in plain if p.name not in found and p.default is p.empty]
    lengths = sorted({n for p in bound.primals if p.where is not None for n in p.value.shape})
    for guess in islice(product(lengths, repeat=len(missing)), GUESSES):
        yield {**found, **dict(zip(missing, guess, strict=True))}


def _new_layer(bound: BoundLayer, arguments: Mapping[str, Any]) -> BoundLayer | None:
    """Return the reading of a new layer of the same class with the same parameters; None if there can be none.

    The new layer may share arrays with the first: each puts its own state back before it runs.
    """
    bound.held_layer.reset()
    held = Snapshot(type(bound.held_layer.layer).__init__)
    try:
        with quiet():
            layer = type(bound.held_layer.layer)(**arguments)
            for primal in bound.primals:
                if primal.where is not None:
                    if np.shape(primal.where.get(layer)) != primal.value.shape:
                        return None
                    primal.where.set(layer, primal.value)
    except Exception:
        return None
    finally:
        held.restore()
    held_layer = HeldLayer(layer, [argument.value for argument in bound.forward_call.arguments])
    return replace(bound, held_layer=held_layer)


def _is_same(bound: BoundLayer, made: BoundLayer | None) -> bool:
    """Return whether the layer that was made anew gives the same outputs, and the same gradients."""
    if made is None:
        return False
    with quiet():
        try:
            here, there = (_outputs_and_gradients(b) for b in (bound, made))
        except Exception:  # what needs another step before it gives gradients is not remade
            return False
    return len(here) == len(there) and all(
        np.array_equal(a, b, equal_nan=True) for a, b in zip(here, there, strict=True)
    )


def _gives_the_same(bound: BoundLayer, made: BoundLayer) -> bool:
    """Return whether forward gives the same outputs."""
    with quiet():
        try:
            here, there = (b.run(b.values, {}).outputs for b in (bound, made))
        except Exception:
            return False
    return len(here) == len(there) and all(map(np.array_equal, here, there))


def _outputs_and_gradients(bound: BoundLayer) -> list[Any]:
    run = bound.run(bound.values, {})
    outputs = list(run.outputs)
    return [*outputs, *bound.pulled(run, cotangent(run, np.random.default_rng(0)))]


def other_values(name: str, value: Any) -> list[Any]:
    """Return other values of a setting, as far as its name tells."""
    plain = name.strip("_").lower()
    if isinstance(value, bool) or names.is_rate(name):
        return []
    if plain.startswith(("stride", "pad", "dilat")) and isinstance(value, int):
        return [v for v in ((1, 2) if plain.startswith(("stride", "dilat")) else (0, 1, 2)) if v != value]
    if plain.startswith(("stride", "pad", "dilat")) and isinstance(value, tuple):
        return [_one_more(value)]
    if isinstance(value, float) and abs(value) > 0 and not 0 < value <= 1e-4:
        return [0.6 * value]
    return []


def _one_more(value: Any) -> Any:
    """Return a number, or each in nested tuples, with one added."""
    return tuple(map(_one_more, value)) if isinstance(value, tuple) else value + 1


def short_text(value: Any) -> str:
    """Return a value as it stands in a variation's name."""
    return f"{value:g}" if isinstance(value, float) else repr(value)


def variation_of(
    how: str, bound: BoundLayer, settings: Mapping[str, Any] | None = None, **more: Any
) -> Variation:
    """Return a reading as a variation; `more` as `Variation` has it."""
    return Variation(how, bound.forward, bound.backward, settings or {}, epsilon=epsilon_of(bound), **more)


def epsilon_of(bound: BoundLayer) -> Epsilon:
    """Return the function whose context lets forward run without its epsilons."""
    return lambda: bound.held_layer.epsilons.applied()
