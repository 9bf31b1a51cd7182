"""Ties: kinks that equal elements make together, at which more than one gradient is right, but not every one."""

from collections.abc import Iterator, Sequence
from contextlib import suppress
from dataclasses import replace
from functools import partial
from typing import Any

import numpy as np

from gradlab.checks.trial import Trial, quiet
from gradlab.node import Array, as_tuple, named_rng
from gradlab.numerical.estimate import Estimate, slopes_within
from gradlab.verdict import CheckResult, Verdict

# How far tied elements are moved apart to see the slopes nearby, all ties of one number together, relative to the
# primals' size.
NEARBY = 1e-6
# Ties are broken from so many of their elements on, at the most.
MOST_STARTS = 8
# The step for moving ties together; how far the one-sided slopes may differ there, for forward to count as smooth, and
# how far the analytic slope may differ from them; the last two are relative.
STEP, SMOOTH_RTOL, RTOL = 1e-4, 1e-5, 1e-3
# In so many ways ties are broken, to see whether that line has other slopes nearby.
BROKEN = 8


def estimate_with_nearby_slopes(trial: Trial, i: int) -> Estimate:
    """Return the estimate of primal `i` with the intervals of its kinks widened by the slopes nearby.

    When three equal numbers are sorted, the middle one may take the middle place, though it does so neither moved up
    nor moved down. So the ties are broken: in the order of their places, against that order, in that order from
    another element on, and at random.
    """
    estimate = trial.estimate_of_elements(i)
    lower, upper = estimate.lower.copy(), estimate.upper.copy()
    error = np.where(estimate.kink, _curvature(estimate), estimate.error)
    for value, noise in trial.remembered(f"slopes near kinks of {i}", partial(_nearby_slopes, i=i)):
        known = np.isfinite(value) & np.isfinite(noise)
        lower = np.where(known, np.fmin(lower, value - noise), lower)
        upper = np.where(known, np.fmax(upper, value + noise), upper)
    return replace(estimate, lower=lower, upper=upper, error=error)


def _curvature(estimate: Estimate) -> Array:
    # the nearby slopes differ from those at the tie by the curvature in between
    ends = np.where(np.isfinite(estimate.lower + estimate.upper), estimate.upper - estimate.lower, 0.0)
    size = np.nan_to_num(np.abs(estimate.value)).max(initial=0.0) + ends.max(initial=0.0)
    return np.asarray(np.maximum(estimate.error, 100 * NEARBY * size))


def _nearby_slopes(trial: Trial, i: int) -> list[tuple[Array, Array]]:
    """Return the slopes of primal `i` with the ties broken in several ways, and their errors; NaN off the kinks."""
    if trial.witness:
        known: list[tuple[Array, Array]] = trial.witness.remembered(
            f"slopes near kinks of {i}", partial(_nearby_slopes, i=i)
        )
        return known
    kinks = np.flatnonzero(trial.estimate_of_elements(i).kink)
    points = [x.astype(np.promote_types(x.dtype, np.float64)) for x in trial.sample.primals]
    joined = np.concatenate([x.reshape(-1) for x in points])
    # of all primals together: a tie may be one between primals
    _, group, counts = np.unique(joined, return_inverse=True, return_counts=True)
    apart = NEARBY * (float(np.abs(joined).max(initial=0.0)) or 1.0) / int(counts.max(initial=1))
    g = np.concatenate([np.ravel(part) for part in as_tuple(trial.cotangent())]).astype(np.float64)
    rng = named_rng(trial.seed, trial.node.name, trial.sample.name, "nearby")
    ends = np.cumsum([x.size for x in points])
    found = []
    for places in _ways_to_break(group, counts, rng):
        moved = joined + apart * places
        parts = [part.reshape(x.shape) for part, x in zip(np.split(moved, ends[:-1]), points, strict=True)]
        value, error = np.full((2, points[i].size), np.nan)
        with quiet(), suppress(Exception):
            value[kinks], error[kinks] = slopes_within(
                partial(_outputs, trial, parts, i), parts[i].reshape(-1), g, kinks, apart
            )
        found.append((value.reshape(points[i].shape), error.reshape(points[i].shape)))
    return found


def _ways_to_break(group: Array, counts: Array, rng: np.random.Generator) -> Iterator[Array]:
    """Yield how far each element moves, as a whole number that no other of its group has."""
    in_order = _ranks(group, np.arange(group.size))
    yield 1 + in_order
    yield -(1 + in_order)
    for _ in range(2):
        rank = _ranks(group, rng.permutation(group.size))
        yield np.where(rng.random(group.size) < 0.5, -1, 1)[group] * (1 + rank)
    # each of a few equal elements in the place of each
    for start in range(1, min(int(counts.max(initial=1)), MOST_STARTS)):
        yield 1 + (in_order + start) % counts[group]


def _ranks(group: Array, places: Array) -> Array:
    """Return the number of each element among those of its group, in the order of `places`."""
    order = np.lexsort((places, group))
    starts = np.flatnonzero(np.diff(group[order], prepend=-1))
    rank = np.empty(group.size, dtype=int)
    rank[order] = np.arange(group.size) - np.repeat(starts, np.diff([*starts, group.size]))
    return rank


def _outputs(trial: Trial, primals: Sequence[Array], i: int, x: Array) -> Any:
    return trial.function(*primals[:i], x.reshape(primals[i].shape), *primals[i + 1 :])


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
        allowed = RTOL * size + noise
        if not abs(total - slope) <= allowed and not _is_a_slope_nearby(trial, which, total, allowed):
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


def _is_a_slope_nearby(trial: Trial, which: Sequence[int], total: float, allowed: float) -> bool:
    """Return whether the sum of gradients lies between forward's slopes on the same line, with every tie broken.

    Of a largest element these are one, whichever it is; of copysign(x, y) at zeros they have both signs.
    """
    points = [x.astype(np.promote_types(x.dtype, np.float64)) for x in trial.sample.primals]
    # so far apart that the line reaches no tie again
    apart = 4 * STEP * (max(float(np.abs(points[k]).max(initial=0.0)) for k in which) or 1.0)
    rng = named_rng(trial.seed, trial.node.name, trial.sample.name, "ties broken")
    slopes: list[float] = []
    with quiet(), suppress(Exception):
        for _ in range(BROKEN):
            moved = [
                x + apart * (rng.choice([-1, 1], x.shape) + rng.uniform(-0.5, 0.5, x.shape)) for x in points
            ]
            slopes += _one_sided_slopes(trial, which, moved)[:2]
    return bool(slopes and min(slopes) - allowed <= total <= max(slopes) + allowed)


def _slopes_together(trial: Trial) -> list[tuple[tuple[int, ...], float, float]]:
    """Return which primals move together, forward's slope there, and how far that may be off; only smooth lines."""
    if trial.witness:
        known: list[tuple[tuple[int, ...], float, float]] = trial.witness.remembered(
            "together", _slopes_together
        )
        return known
    points = [x.astype(np.promote_types(x.dtype, np.float64)) for x in trial.sample.primals]
    count = len(points)
    found = []
    for which in dict.fromkeys([tuple(range(count)), *((k,) for k in range(count))]):
        with quiet():
            right, left, noise = _one_sided_slopes(trial, which, points)
        if abs(right - left) <= SMOOTH_RTOL * (abs(right) + abs(left)) + noise:
            found.append((which, (right + left) / 2, noise))
    return found


def _one_sided_slopes(
    trial: Trial, which: Sequence[int], points: Sequence[Array]
) -> tuple[float, float, float]:
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
