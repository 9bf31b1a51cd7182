"""Faults that leave the numbers right but misuse memory: arguments written to, arrays shared."""

from collections.abc import Callable, Iterator
from typing import Any

import numpy as np

from gradlab.faults._fault_kinds import (
    Change,
    FaultContext,
    FaultKind,
    FaultyPasses,
    Gradients,
    MutantResiduals,
    wrong_backward,
    wrong_gradient,
    wrong_gradient_with_state,
)
from gradlab.node import Array, as_tuple


def _writing_into(
    arrays: Callable[[FaultContext], tuple[Any, ...]], write: Callable[[Array], Any]
) -> Callable[..., FaultyPasses]:
    def backward(call: FaultContext) -> Gradients:
        gradients = tuple(np.array(d) for d in call.gradients())
        for array in arrays(call):
            if isinstance(array, np.ndarray):
                write(array)
        return gradients

    return wrong_backward(backward)


def _cotangents(call: FaultContext) -> tuple[Any, ...]:
    return as_tuple(call.g)


def _settings(call: FaultContext) -> tuple[Any, ...]:
    return tuple(call.settings.values())


def _filled_with(value: float) -> Callable[[Array], None]:
    return lambda array: array.fill(value)


def _double(array: Array) -> None:
    array *= 2


def _drop_negatives(array: Array) -> None:
    array[array < 0] = 0


def _primal_written_in_backward(rng: np.random.Generator, i: int) -> FaultyPasses:
    return _writing_into(lambda call: call.primals[i : i + 1], _filled_with(0))(rng, i)


def _primal_written_in_forward(rng: np.random.Generator, i: int) -> FaultyPasses:
    def forward(saved: MutantResiduals) -> None:
        for x in saved.primals[i : i + 1]:
            x[...] = 2 * x

    return FaultyPasses(FaultContext.gradients, forward)


def _views_like(d: Array, source: Any) -> Iterator[Array]:
    """Yield views of `source` in the shape of `d`, reshaped or broadcast."""
    if isinstance(source, np.ndarray) and source.dtype == d.dtype:
        if source.size == d.size:
            yield source.reshape(d.shape)
        for shape in (source.shape, tuple(n if n in source.shape else 1 for n in d.shape)):
            if np.prod(shape) == source.size and _stretches(shape, d.shape):
                yield np.broadcast_to(source.reshape(shape), d.shape)


def _stretches(shape: tuple[int, ...], to: tuple[int, ...]) -> bool:
    try:
        return np.broadcast_shapes(shape, to) == to
    except ValueError:
        return False


def _replaced_by_view_of(sources: Callable[[FaultContext, int], tuple[Any, ...]]) -> Change:
    def change(d: Array, call: FaultContext, i: int) -> Array:
        same = (v for source in sources(call, i) for v in _views_like(d, source) if np.array_equal(v, d))
        return next(same, d)

    return change


def _one_array_for_two(rng: np.random.Generator, i: int) -> FaultyPasses:
    def backward(call: FaultContext) -> Gradients:
        gradients = list(call.gradients())
        for j in range(i + 1, len(gradients)):
            if np.array_equal(gradients[i], gradients[j]):
                gradients[j] = gradients[i]
        return tuple(gradients)

    return FaultyPasses(backward)


def _one_buffer(rng: np.random.Generator) -> Change:
    buffers: dict[tuple[Any, ...], Array] = {}

    def change(d: Array, call: FaultContext, i: int) -> Array:
        buffer = buffers.setdefault((d.shape, d.dtype), np.empty_like(d))
        buffer[...] = d
        return buffer

    return change


FAULTS: tuple[FaultKind, ...] = (
    FaultKind(
        "mutated cotangent",
        "mutates-argument",
        "backward fills the cotangent with zeros",
        _writing_into(_cotangents, _filled_with(0)),
        of_primal=False,
    ),
    FaultKind(
        "mutated cotangent",
        "mutates-argument",
        "backward doubles the cotangent in place",
        _writing_into(_cotangents, _double),
        of_primal=False,
    ),
    FaultKind(
        "mutated cotangent",
        "mutates-argument",
        "backward writes zeros over the negative elements of the cotangent",
        _writing_into(_cotangents, _drop_negatives),
        of_primal=False,
    ),
    FaultKind(
        "mutated setting",
        "mutates-argument",
        "backward writes zeros into the settings",
        _writing_into(_settings, _filled_with(0)),
        of_primal=False,
    ),
    FaultKind(
        "mutated primal",
        "mutates-argument",
        "backward writes zeros into {x}",
        _primal_written_in_backward,
    ),
    FaultKind(
        "mutated primal", "mutates-argument", "forward doubles {x} in place", _primal_written_in_forward
    ),
    FaultKind(
        "aliased memory",
        "aliases-memory",
        "the gradient of {x} is the cotangent itself, or a view of it, where they are equal",
        wrong_gradient(_replaced_by_view_of(lambda call, i: as_tuple(call.g))),
        at_samples=True,
    ),
    FaultKind(
        "aliased memory",
        "aliases-memory",
        "the gradient of {x} is a view of a primal where they are equal",
        wrong_gradient(_replaced_by_view_of(lambda call, i: call.primals)),
        at_samples=True,
    ),
    FaultKind(
        "aliased memory",
        "aliases-memory",
        "the gradient of {x} and that of a later primal are one array where they are equal",
        _one_array_for_two,
        at_samples=True,
    ),
    FaultKind(
        "aliased memory",
        "aliases-memory",
        "the gradient of {x} stands in a buffer that the next call writes over",
        wrong_gradient_with_state(_one_buffer),
    ),
)
