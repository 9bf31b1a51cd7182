"""Ties: kinks that equal elements make together, at which more than one gradient is right, but not every one."""

from collections.abc import Iterator, Sequence
from dataclasses import replace
from typing import Any

import numpy as np

from gradlab.checks.trial import Trial, quiet
from gradlab.node import Array, as_tuple, named_rng
from gradlab.numerical.estimate import Estimate
from gradlab.verdict import CheckResult, Verdict

# How far tied elements are moved apart to see the slopes nearby, relative to the primal's size.
NEARBY = 1e-6
# The step for moving ties together; how far the one-sided slopes may differ there, for forward to count as smooth, and
# how far the analytic slope may differ from them; the last two are relative.
STEP, SMOOTH_RTOL, RTOL = 1e-4, 1e-5, 1e-3


def estimate_with_nearby_slopes(trial: Trial, i: int) -> Estimate:
    """Return the estimate of primal `i` with the intervals of its kinks widened by the slopes nearby.

    When three equal numbers are sorted, the middle one may take the middle place, though it does so neither moved up
    nor moved down. So the ties are broken: in the order of their places, against that order, and at random.
    """
    estimate = trial.estimates[i]
    lower, upper = estimate.lower.copy(), estimate.upper.copy()
    for nearby in trial.remembered("nearby", _nearby_estimates):
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
    # the nearby slopes differ from those at the tie by the curvature in between
    return np.maximum(estimate.error, 100 * NEARBY * (np.abs(estimate.value) + np.abs(estimate.terms)))


def _nearby_estimates(trial: Trial) -> list[tuple[Estimate, ...]]:
    if trial.witness:
        known: list[tuple[Estimate, ...]] = trial.witness.remembered("nearby", _nearby_estimates)
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
        broken_tie = trial.at(f"ties broken {way}", moved)
        if broken_tie.accepted:
            # under the given sample's name the cotangent is this trial's
            found.append(
                replace(broken_tie, sample=replace(broken_tie.sample, name=trial.sample.name)).estimates
            )
    return found


def check_ties_together(trial: Trial, gradients: Sequence[Array]) -> Iterator[CheckResult]:
    """Judge the gradients by forward's slope where all elements move by the same, which leaves ties tied.

    A backward that gives every tied maximum the whole cotangent lies between the one-sided slopes in each element;
    only together the elements are too much. Yields nothing where there is no kink, or where this line has a kink too.
    """
    kinks = any(estimate.kink.any() for estimate in trial.estimates)
    jumps = any(estimate.jump.any() for estimate in trial.estimates)
    if not kinks or jumps or not all(np.isfinite(gradient).all() for gradient in gradients):
        return
    for which, slope, noise in trial.remembered("together", _slopes_together):
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


def _slopes_together(trial: Trial) -> list[tuple[tuple[int, ...], float, float]]:
    """Return which primals move together, forward's slope there, and how far that may be off; only smooth lines."""
    if trial.witness:
        known: list[tuple[tuple[int, ...], float, float]] = trial.witness.remembered(
            "together", _slopes_together
        )
        return known
    count = len(trial.sample.primals)
    found = []
    for which in dict.fromkeys([tuple(range(count)), *((k,) for k in range(count))]):
        with quiet():
            right, left, noise = _one_sided_slopes(trial, which)
        if abs(right - left) <= SMOOTH_RTOL * (abs(right) + abs(left)) + noise:
            found.append((which, (right + left) / 2, noise))
    return found


def _one_sided_slopes(trial: Trial, which: Sequence[int]) -> tuple[float, float, float]:
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
