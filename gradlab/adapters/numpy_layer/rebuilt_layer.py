"""A layer made anew by its constructor, with another stride, padding or factor."""

import inspect
from collections.abc import Iterator, Mapping
from dataclasses import replace
from itertools import islice, product
from typing import Any

import numpy as np

from gradlab.adapters.foreign_pair.variations import Variation
from gradlab.adapters.numpy_layer import naming_conventions as names
from gradlab.adapters.numpy_layer.held_layer import HeldLayer
from gradlab.adapters.numpy_layer.layer_pair import LayerPair
from gradlab.adapters.numpy_layer.layer_state import Snapshot
from gradlab.adapters.numpy_layer.off_defaults import off
from gradlab.checks.trial import quiet

# So many combinations of lengths are tried for what a constructor was given and did not keep.
GUESSES = 64


def rebuilt(bound: LayerPair) -> Iterator[Variation]:
    """Yield the layer made anew by its constructor, with one number of it changed."""
    bound.stage.reset()
    arguments = next((a for a in _constructor_arguments(bound) if _is_same(bound, _made(bound, a))), {})
    for name, value in arguments.items():
        for other in other_values(name, value):
            made = _made(bound, {**arguments, name: other})
            if made is not None:
                yield off(f"{name}={short(other)}", made)


def _constructor_arguments(bound: LayerPair) -> Iterator[dict[str, Any]]:
    """Yield what a layer may have been made with: attributes of the same names, and lengths of its parameters."""
    layer = bound.stage.layer
    own = {name.strip("_").lower(): value for name, value in getattr(layer, "__dict__", {}).items()}
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


def _made(bound: LayerPair, arguments: Mapping[str, Any]) -> LayerPair | None:
    """Return the reading of a new layer of the same kind with the same parameters, None if that cannot be.

    It may share arrays with the first: each puts its own state back before it runs.
    """
    bound.stage.reset()
    held = Snapshot(type(bound.stage.layer).__init__)
    try:
        with quiet():
            layer = type(bound.stage.layer)(**arguments)
            for primal in bound.primals:
                if primal.where is not None:
                    if np.shape(primal.where.get(layer)) != primal.value.shape:
                        return None
                    primal.where.set(layer, primal.value)
    except Exception:
        return None
    finally:
        held.restore()
    stage = HeldLayer(layer, [argument.value for argument in bound.forward_call.arguments])
    return replace(bound, stage=stage)


def _is_same(bound: LayerPair, made: LayerPair | None) -> bool:
    """Return whether the layer that was made anew gives the same outputs."""
    if made is None:
        return False
    with quiet():
        try:
            here, there = (b.run(b.values, {}).outputs for b in (bound, made))
        except Exception:
            return False
    return all(np.array_equal(a, b, equal_nan=True) for a, b in zip(here, there, strict=True))


def other_values(name: str, value: Any) -> list[Any]:
    """Return what else a setting may be, as far as its name tells."""
    plain = name.strip("_").lower()
    if isinstance(value, bool) or names.is_rate(name):
        return []
    if plain.startswith(("stride", "pad", "dilat")) and isinstance(value, int):
        return [v for v in ((1, 2) if plain.startswith(("stride", "dilat")) else (0, 1, 2)) if v != value]
    if plain.startswith(("stride", "pad", "dilat")) and isinstance(value, tuple):
        return [tuple(v + 1 for v in value)]
    if isinstance(value, float) and abs(value) > 0 and not 0 < value <= 1e-4:
        return [0.6 * value]
    return []


def short(value: Any) -> str:
    """Return a value as it stands in a name."""
    return f"{value:g}" if isinstance(value, float) else repr(value)
