"""Slopes along a few lines on which all primals move at once: a quick test of whole gradients.

One wrong element among thousands shows in a random direction as clearly as a wrong sign does, since the slope
along a line is known to nine digits and more. But a line cannot judge a kink, or tell which element is wrong: where
gradients disagree with a line, the estimates of every element decide.
"""

from collections.abc import Callable, Sequence
from functools import cache
from typing import Any, NamedTuple

import numpy as np

from gradlab.checks.trial import Trial, quiet, same_bits
from gradlab.node import Array, as_tuple, named_rng
from gradlab.verdict import rtol_for

# The steps along a line, relative to the primals; and the number of lines.
STEP, TINY_STEP = 2.0**-13, 1e-9
LINES = 2
# Where kinks lie nearby.
NEAR_STEP = 2.0**-21
# From so many elements on, kinks are no reason to look at each.
KINKS_EXPLAIN = 64
# How far truncation may put forward's slope off, relative to the sum of the sizes of the terms of the analytic slope;
# and how many ulps of the outputs a difference may lose.
RTOL, ROUNDING_ULPS = 1e-7, 32


class LineSlope(NamedTuple):
    """A direction through the primals, forward's slope along it, and how far rounding may put that slope off.

    `is_flat()` tells a staircase: one step away, forward does not change at all over a billionth of the line. `kinks`
    is the sum of what the one-sided slopes of the outputs differ by, to within noise and curvature.
    """

    direction: tuple[Array, ...]
    slope: float
    noise: float
    is_flat: Callable[[], bool]
    kinks: float


def random_directions(trial: Trial, count: int = LINES) -> list[tuple[Array, ...]]:
    """Return random directions, in which every element moves in proportion to its own size and to its primal's."""
    rng = named_rng(trial.seed, trial.node.name, trial.sample.name, "lines")
    return [
        tuple(_random_direction(rng, x, trial.is_large) for x in trial.sample.primals) for _ in range(count)
    ]


def _random_direction(rng: np.random.Generator, x: Array, large: bool) -> Array:
    size = np.abs(x.astype(np.promote_types(x.dtype, np.float64)))
    usual = float(np.sqrt(np.mean(size**2))) if x.size else 0.0
    least = 0.1 * usual or 1.0
    # of a million elements some would pass a rectifier's kink if they moved by more than their own size
    moved = np.where(size > 0, size, least) if large else np.maximum(size, least)
    sign = rng.choice([-1.0, 1.0], x.shape)
    return np.asarray(sign * rng.uniform(0.5, 1.5, x.shape) * moved)


def _direction_that_keeps_ties(trial: Trial) -> tuple[Array, ...]:
    """Return a random direction in which equal elements move by the same, and zeros not at all."""
    rng = named_rng(trial.seed, trial.node.name, trial.sample.name, "lines that keep ties")
    parts = [x.astype(np.promote_types(x.dtype, np.float64)) for x in trial.sample.primals]
    values, group = np.unique(in_a_row(tuple(parts)), return_inverse=True)
    factor = rng.choice([-1.0, 1.0], values.size) * rng.uniform(0.5, 1.5, values.size)
    moves = np.split((factor * values)[group], np.cumsum([x.size for x in parts])[:-1])
    return tuple(move.reshape(x.shape) for move, x in zip(moves, parts, strict=True))


def line_slopes(trial: Trial) -> list[LineSlope]:
    """Return forward's slopes along random lines, for the trial's cotangent; at derived primals along one."""
    if trial.witness:
        lines: list[LineSlope] = trial.witness.remembered("lines", line_slopes)
        return lines
    return _slopes_along(trial, random_directions(trial, LINES if trial.origin is None else 1))


def _slopes_nearby(trial: Trial) -> list[LineSlope]:
    """Return the slopes along the same lines by steps that pass fewer kinks."""
    if trial.witness:
        lines: list[LineSlope] = trial.witness.remembered("lines nearby", _slopes_nearby)
        return lines
    known = trial.remembered("lines", line_slopes)
    return _slopes_along(trial, [line.direction for line in known], NEAR_STEP)


def _slopes_that_keep_ties(trial: Trial) -> list[LineSlope]:
    if trial.witness:
        lines: list[LineSlope] = trial.witness.remembered("lines that keep ties", _slopes_that_keep_ties)
        return lines
    return _slopes_along(trial, [_direction_that_keeps_ties(trial)], NEAR_STEP)


def _slopes_along(
    trial: Trial, directions: Sequence[tuple[Array, ...]], step: float = STEP
) -> list[LineSlope]:
    g, here = (in_a_row(parts) for parts in (trial.cotangent(), trial.output))
    points = [x.astype(np.promote_types(x.dtype, np.float64)) for x in trial.sample.primals]
    function = trial.function

    def slope_along(v: tuple[Array, ...]) -> LineSlope:
        def outputs(t: float) -> Array:
            return in_a_row(function(*(x + t * d for x, d in zip(points, v, strict=True))))

        ends, halves = ([outputs(side * h) for side in (1, -1)] for h in (step, step / 2))
        wide, narrow = (float(g @ (a - b)) / (2 * h) for (a, b), h in ((ends, step), (halves, step / 2)))
        noise = ROUNDING_ULPS * float(np.finfo(np.float64).eps) * float(np.abs(g * here).sum()) / step
        # curvature is in proportion to the step, a kink is not
        bends = [(a + b - 2 * here) / h for (a, b), h in ((ends, step), (halves, step / 2))]
        kinks = float(np.abs(g) @ np.abs(2 * bends[1] - bends[0]))
        # asked only where a gradient of zeros stands beside another slope, and then of many gradients
        is_flat = cache(lambda: bool((outputs(step + TINY_STEP) == ends[0]).all()))
        return LineSlope(v, (4 * narrow - wide) / 3, noise, is_flat, kinks)

    return [slope_along(v) for v in directions]


def in_a_row(parts: Any) -> Array:
    """Return the elements of an output, or of several, in a row."""
    return np.concatenate([np.asarray(part, dtype=np.float64).reshape(-1) for part in as_tuple(parts)])


def agrees_along_lines(trial: Trial, gradients: Sequence[Array]) -> bool:
    """Return whether the gradients give forward's slopes along all lines; False also where forward has no slope.

    Of many elements some may lie near kinks, or at them, most of all at ties and at zeros: where kinks explain that the
    slopes differ, shorter steps decide, or a line that moves no zero and keeps all ties.
    """
    with quiet():
        try:
            lines = trial.remembered("lines", line_slopes)
            if all(_agrees(gradients, line) for line in lines):
                return True
            explained = all(_agrees(gradients, line, line.kinks) for line in lines)
            if not explained or sum(x.size for x in trial.sample.primals) < KINKS_EXPLAIN:
                return False
            near = trial.remembered("lines nearby", _slopes_nearby)
            if all(_agrees(gradients, line) for line in near):
                return True
            if not all(_agrees(gradients, line, line.kinks) for line in near):
                return False
            kept = trial.remembered("lines that keep ties", _slopes_that_keep_ties)
            return all(_agrees(gradients, line) for line in kept)
        except Exception:
            return False


def _agrees(gradients: Sequence[Array], line: LineSlope, kinks: float = 0.0) -> bool:
    rtol = max(RTOL, *(rtol_for(a.dtype) for a in gradients))
    parts = [np.asarray(a, np.float64) * v for a, v in zip(gradients, line.direction, strict=True)]
    total = sum(float(p.sum()) for p in parts)
    size = sum(float(np.abs(p).sum()) for p in parts)
    agrees = bool(abs(total - line.slope) <= rtol * size + line.noise + kinks)
    return agrees or (size == 0 and line.is_flat())


def is_inside_the_domain(trial: Trial) -> bool:
    """Return whether forward has a value on both sides along every line."""
    with quiet():
        try:
            return all(np.isfinite(line.slope) for line in trial.remembered("lines", line_slopes))
        except Exception:
            return False


def are_right(trial: Trial, gradients: Sequence[Array]) -> bool:
    """Return whether gradients are those that directions confirm, or else lines do; of large primals lines alone."""
    if not trial.is_large and trial.is_confirmed and all(map(same_bits, trial.own_gradients, gradients)):
        return True
    return agrees_along_lines(trial, gradients)


def is_right_along_lines(trial: Trial) -> bool:
    """Return whether backward gives forward's slopes along all lines; False also where either raises."""
    with quiet():
        try:
            return agrees_along_lines(trial, trial.own_gradients)
        except Exception:
            return False
