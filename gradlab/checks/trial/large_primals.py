"""Trials of large primals, whose gradients are checked along random directions and not element by element."""

from collections.abc import Sequence
from contextlib import suppress
from typing import Any

import numpy as np

from gradlab.checks.trial import Trial
from gradlab.directions import (
    DirectionalOutcome,
    FlatPoint,
    Mistake,
    check_along_directions,
    estimate_element,
    factor_mistake,
    flat_point,
    sees_zeros,
)
from gradlab.node import Array, as_tuple, named_rng
from gradlab.numerical.estimate import Estimate
from gradlab.verdict import Verdict


def directional_outcome(trial: Trial) -> DirectionalOutcome:
    """Return the outcome of checking a trial's gradients along directions, with its own tolerances; computed once."""
    outcome: DirectionalOutcome = trial.remembered("along directions", _computed_outcome)
    return outcome


def _computed_outcome(trial: Trial) -> DirectionalOutcome:
    return directional_outcome_of(trial, trial.gradients(trial.cotangent()), trial.rtol, trial.atol)


def directional_outcome_of(
    trial: Trial, gradients: Sequence[Array], rtol: float | None, atol: float | None
) -> DirectionalOutcome:
    """Return the outcome of checking the given gradients of a trial along directions, with the given tolerances."""
    point = _flat_point(trial, gradients)
    return check_along_directions(point, _rng(trial), rtol=rtol, atol=atol, method=trial.method)


def large_mistakes(trial: Trial) -> list[Mistake]:
    """Return the mistakes that explain the gradients of a large trial, for each primal one at the most.

    Factors first, which two directions show: elements that are drawn by chance may well be zero, and so not wrong.
    """
    where = "along two directions, and in the largest elements"
    factors = [
        factor_mistake(name, 1 / told.factor, where)
        for name, told in zip(trial.names, trial.confirmed, strict=True)
        if told and told.factor != 1
    ]
    named = {mistake.primal for mistake in factors}
    return factors + [m for m in directional_outcome(trial).mistakes if m.primal not in named]


def catches_zeros(trial: Trial, i: int) -> bool:
    """Return whether a gradient of zeros for primal `i` would be caught along a direction."""
    with suppress(Exception):  # what backward raises is told by other checks
        own = directional_outcome(trial).results[i]
        # what passed would not have with an error as large as its largest element
        if own.verdict is Verdict.PASS and own.sensitivity is not None and trial.own_gradients[i].any():
            return own.sensitivity < 1
    zeros = [np.zeros_like(x) for x in trial.sample.primals]
    return sees_zeros(
        _flat_point(trial, zeros), i, _rng(trial), rtol=trial.rtol, atol=trial.atol, method=trial.method
    )


def element_estimate(trial: Trial, i: int, index: tuple[int, ...]) -> Estimate:
    """Return the estimate of one element of primal `i`, of shape ()."""
    point = _flat_point(trial, [np.zeros_like(x) for x in trial.sample.primals])
    place = int(np.ravel_multi_index(index, point.shapes[i])) if index else 0
    return estimate_element(point, point.spans[i].start + place, method=trial.method)


def size_of_terms(trial: Trial) -> float:
    """Return the sum of the sizes of the terms of cotangent times output."""
    pairs = zip(_in_double(trial.cotangent()), as_tuple(trial.output), strict=True)
    return sum(float(np.sum(np.abs(g * y))) for g, y in pairs)


def _flat_point(trial: Trial, gradients: Sequence[Array]) -> FlatPoint:
    cotangents, function = _in_double(trial.cotangent()), trial.function

    def f(*primals: Array) -> Any:
        outputs = as_tuple(function(*primals))
        return sum(np.sum(g * y) for g, y in zip(cotangents, outputs, strict=True))

    return flat_point(f, trial.sample.primals, gradients, trial.names, size_of_terms(trial))


def _in_double(parts: Any) -> list[Array]:
    return [np.asarray(g, dtype=np.promote_types(g.dtype, np.float64)) for g in as_tuple(parts)]


def _rng(trial: Trial) -> np.random.Generator:
    return named_rng(trial.seed, trial.node.name, trial.sample.name, "directions")
