"""Faults of a backward that remembers earlier calls, or that draws random numbers."""

from collections.abc import Callable
from typing import Any

import numpy as np

from gradlab.faults._fault_kinds import (
    Change,
    FaultContext,
    FaultKind,
    FaultyPasses,
    Gradients,
    MutantResiduals,
    wrong_gradient_with_state,
)
from gradlab.node import Array


def _shapes_and_settings(saved: MutantResiduals | FaultContext) -> Any:
    settings = tuple(sorted((name, np.shape(value), repr(value)) for name, value in saved.settings.items()))
    return tuple((x.shape, x.dtype) for x in saved.primals), settings


def _first_residuals(rng: np.random.Generator, i: int) -> FaultyPasses:
    # kept apart by shape, as residuals of another shape would raise an error
    first: dict[Any, Any] = {}

    def backward(call: FaultContext) -> Gradients:
        return call._replace(
            residuals=first.setdefault(_shapes_and_settings(call), call.residuals)
        ).gradients()

    return FaultyPasses(backward)


def _latest_residuals(rng: np.random.Generator, i: int) -> FaultyPasses:
    latest: dict[Any, Any] = {}

    def forward(saved: MutantResiduals) -> None:
        latest[_shapes_and_settings(saved)] = saved.residuals

    return FaultyPasses(
        lambda call: call._replace(residuals=latest[_shapes_and_settings(call)]).gradients(), forward
    )


def _accumulated(rng: np.random.Generator) -> Change:
    totals: dict[tuple[Any, ...], Array] = {}

    def change(d: Array, call: FaultContext, i: int) -> Array:
        kind = (d.shape, d.dtype)
        totals[kind] = totals[kind] + d if kind in totals else d
        return np.array(totals[kind])

    return change


def _noise(size: float) -> Callable[[np.random.Generator], Change]:
    def make_change(rng: np.random.Generator) -> Change:
        return lambda d, call, i: (d * (1 + size * rng.standard_normal(d.shape))).astype(d.dtype)

    return make_change


def _now_and_then(rng: np.random.Generator) -> Change:
    left = 0

    def change(d: Array, call: FaultContext, i: int) -> Any:
        nonlocal left
        left = left - 1 if left else int(rng.integers(3))
        return d if left else 1.5 * d

    return change


FAULTS: tuple[FaultKind, ...] = (
    FaultKind(
        "stale residuals",
        "stale-residuals",
        "backward uses the residuals of the first call ever made with these shapes",
        _first_residuals,
        of_primal=False,
    ),
    FaultKind(
        "stale residuals",
        "stale-residuals",
        "backward uses the residuals of the latest forward with these shapes, not of its own",
        _latest_residuals,
        of_primal=False,
    ),
    FaultKind(
        "accumulation",
        "accumulates",
        "the gradient of {x} is added to those of the calls before it",
        wrong_gradient_with_state(_accumulated),
    ),
    FaultKind(
        "nondeterminism",
        "nondeterministic",
        "the gradient of {x} carries random noise of 1e-6 of each element",
        wrong_gradient_with_state(_noise(1e-6)),
    ),
    FaultKind(
        "nondeterminism",
        "nondeterministic",
        "the gradient of {x} carries random noise of 1e-12 of each element",
        wrong_gradient_with_state(_noise(1e-12)),
    ),
    FaultKind(
        "nondeterminism",
        "nondeterministic",
        "now and then, at least in every third call, the gradient of {x} is half as large again",
        wrong_gradient_with_state(_now_and_then),
    ),
)
