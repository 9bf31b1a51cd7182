"""Large primals: what the estimates of every element decide for smaller ones is decided along directions."""

from collections.abc import Sequence
from typing import Any

import numpy as np

from gradlab.checks.trial import Trial
from gradlab.directions import (
    DirectionalOutcome,
    FlatPoint,
    check_along,
    estimate_element,
    point_of,
    sees_zeros,
)
from gradlab.node import Array, as_tuple, named_rng
from gradlab.numerical.estimate import Estimate


def outcome(trial: Trial) -> DirectionalOutcome:
    """Return what directions say of the gradients at a trial, with the trial's own tolerances; computed once."""
    found: DirectionalOutcome = trial.remembered("along directions", _outcome)
    return found


def _outcome(trial: Trial) -> DirectionalOutcome:
    return outcome_of(trial, trial.gradients(trial.cotangent()), trial.rtol, trial.atol)


def outcome_of(
    trial: Trial, gradients: Sequence[Array], rtol: float | None, atol: float | None
) -> DirectionalOutcome:
    """Return what directions say of these gradients at a trial, with these tolerances."""
    point = _point(trial, gradients)
    return check_along(point, _rng(trial), rtol=rtol, atol=atol, method=trial.method)


def catches_zeros(trial: Trial, i: int) -> bool:
    """Return whether a gradient of zeros for primal `i` would be caught."""
    zeros = [np.zeros_like(x) for x in trial.sample.primals]
    return sees_zeros(
        _point(trial, zeros), i, _rng(trial), rtol=trial.rtol, atol=trial.atol, method=trial.method
    )


def estimate_of(trial: Trial, i: int, index: tuple[int, ...]) -> Estimate:
    """Return the estimate of one element of primal `i`, of shape ()."""
    point = _point(trial, [np.zeros_like(x) for x in trial.sample.primals])
    place = int(np.ravel_multi_index(index, point.shapes[i])) if index else 0
    return estimate_element(point, point.spans[i].start + place, method=trial.method)


def size_of_terms(trial: Trial) -> float:
    """Return the sum of the sizes of what the cotangent times the output adds up."""
    pairs = zip(_doubles(trial.cotangent()), as_tuple(trial.output), strict=True)
    return sum(float(np.sum(np.abs(g * y))) for g, y in pairs)


def _point(trial: Trial, gradients: Sequence[Array]) -> FlatPoint:
    cotangents, function = _doubles(trial.cotangent()), trial.function

    def f(*primals: Array) -> Any:
        outputs = as_tuple(function(*primals))
        return sum(np.sum(g * y) for g, y in zip(cotangents, outputs, strict=True))

    return point_of(f, trial.sample.primals, gradients, trial.names, size_of_terms(trial))


def _doubles(parts: Any) -> list[Array]:
    return [np.asarray(g, dtype=np.promote_types(g.dtype, np.float64)) for g in as_tuple(parts)]


def _rng(trial: Trial) -> np.random.Generator:
    return named_rng(trial.seed, trial.node.name, trial.sample.name, "directions")
