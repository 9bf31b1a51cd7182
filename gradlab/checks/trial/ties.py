"""Kinks that several elements make together: at ties, what is right is a choice, but not any choice."""

from collections.abc import Iterator, Sequence
from dataclasses import replace
from typing import Any

import numpy as np

from gradlab.checks.trial import Trial, quiet
from gradlab.node import Array, as_tuple, named_rng
from gradlab.numerical.estimate import Estimate
from gradlab.verdict import CheckResult, Verdict

# How far ties are broken to see the slopes nearby, relative to the primal's size.
NEARBY = 1e-6
# The step for moving ties together; how far the slopes of both sides may differ there, for forward to count as
# smooth, and the analytic slope from theirs, both relative.
STEP, SMOOTH_RTOL, RTOL = 1e-4, 1e-5, 1e-3


def between_nearby_slopes(trial: Trial, i: int) -> Estimate:
    """Return the estimate of primal `i` with the intervals of its kinks widened by the slopes nearby.

    Of three equal numbers that are sorted the middle one may take the middle place, which neither moving it up
    nor moving it down shows. So the ties are broken, in their order, against it, and at random.
    """
    estimate = trial.estimates[i]
    lower, upper = estimate.lower.copy(), estimate.upper.copy()
    for nearby in trial.remembered("nearby", _nearby):
        value = nearby[i].value
        known = np.isfinite(value) & np.isfinite(nearby[i].error) & estimate.kink
        lower = np.where(known, np.fmin(lower, value - nearby[i].error), lower)
        upper = np.where(known, np.fmax(upper, value + nearby[i].error), upper)
    return replace(
        estimate,
        lower=lower,
        upper=upper,
        error=np.where(estimate.kink, _curvature(estimate), estimate.error),
    )


def _curvature(estimate: Estimate) -> Array:
    # the slopes were taken a little to the side
    return np.maximum(estimate.error, 100 * NEARBY * (np.abs(estimate.value) + np.abs(estimate.terms)))


def _nearby(trial: Trial) -> list[tuple[Estimate, ...]]:
    if trial.witness:
        known: list[tuple[Estimate, ...]] = trial.witness.remembered("nearby", _nearby)
        return known
    rng = named_rng(trial.seed, trial.node.name, trial.sample.name, "nearby")
    found = []
    for way in ("in order", "against it", "at random", "at random again"):
        moved = []
        for x in trial.primals():
            places = np.arange(1.0, x.size + 1).reshape(x.shape)
            order = {"in order": places, "against it": -places}.get(way)
            if order is None:
                order = rng.permutation(x.size).reshape(x.shape) - x.size / 2
            size = float(np.abs(x).max(initial=0.0)) or 1.0
            moved.append((x + NEARBY * size * order / max(1, x.size)).astype(x.dtype))
        there = trial.at(f"ties broken {way}", moved)
        if there.accepted:
            # the cotangent is this trial's
            found.append(replace(there, sample=replace(there.sample, name=trial.sample.name)).estimates)
    return found


def ties_move_together(trial: Trial, gradients: Sequence[Array]) -> Iterator[CheckResult]:
    """Move all elements by the same: a tie stays one, so forward is smooth, and its slope is no choice.

    A maximum that gives every one of its ties the whole cotangent lies between the one-sided slopes in each
    element; only together they are too much. Nothing where there is no kink, or where this line has one too.
    """
    kinks = any(estimate.kink.any() for estimate in trial.estimates)
    jumps = any(estimate.jump.any() for estimate in trial.estimates)
    if not kinks or jumps or not all(np.isfinite(gradient).all() for gradient in gradients):
        return
    for which, slope, noise in trial.remembered("together", _together):
        parts = [gradients[k] for k in which]
        total = sum(float(np.sum(d, dtype=np.float64)) for d in parts)
        size = sum(float(np.sum(np.abs(d), dtype=np.float64)) for d in parts)
        if not abs(total - slope) <= RTOL * size + noise:
            names = " and ".join(trial.names[k] for k in which)
            note = f"ties in {names}: moved together the slope is {slope:.6g}, the gradients add up to {total:.6g}"
            yield CheckResult(
                Verdict.WRONG,
                trial.names[which[0]] if len(which) == 1 else "",
                analytic=total,
                numerical=slope,
                absolute_error=abs(total - slope),
                relative_error=abs(total - slope) / max(abs(total), abs(slope)),
                note=f"{note}: give one of the ties all, or each its share",
            )
            return


def _together(trial: Trial) -> list[tuple[tuple[int, ...], float, float]]:
    """Return which primals are moved, forward's slope where it has one, and how far that may be off."""
    if trial.witness:
        known: list[tuple[tuple[int, ...], float, float]] = trial.witness.remembered("together", _together)
        return known
    count = len(trial.sample.primals)
    found = []
    for which in dict.fromkeys([tuple(range(count)), *((k,) for k in range(count))]):
        with quiet():
            right, left, noise = _one_sided(trial, which)
        if abs(right - left) <= SMOOTH_RTOL * (abs(right) + abs(left)) + noise:
            found.append((which, (right + left) / 2, noise))
    return found


def _one_sided(trial: Trial, which: Sequence[int]) -> tuple[float, float, float]:
    points = [x.astype(np.promote_types(x.dtype, np.float64)) for x in trial.sample.primals]
    size = max((float(np.abs(points[k]).max(initial=0.0)) for k in which), default=0.0) or 1.0
    g = [np.asarray(part, np.float64) for part in as_tuple(trial.cotangent())]

    def f(t: float) -> Any:
        moved = [x + t * size if k in which else x for k, x in enumerate(points)]
        return sum(np.sum(a * y) for a, y in zip(g, as_tuple(trial.function(*moved)), strict=True))

    here = f(0.0)
    right, left = (
        (4 * f(side * STEP / 2) - f(side * STEP) - 3 * here) / (side * STEP * size) for side in (1.0, -1.0)
    )
    terms = sum(float(np.sum(np.abs(a * y))) for a, y in zip(g, as_tuple(trial.output), strict=True))
    return float(right), float(left), 64 * float(np.finfo(np.float64).eps) * terms / (STEP * size)
