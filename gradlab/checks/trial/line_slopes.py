"""Slopes along a few lines on which all primals move at once: a quick test of whole gradients.

One wrong element among thousands shows in a random direction as clearly as a wrong sign does, since the slope
along a line is known to nine digits and more. But a line cannot judge a kink, or tell which element is wrong: where
gradients disagree with a line, the estimates of every element decide.
"""

from collections.abc import Callable, Sequence
from typing import Any, NamedTuple

import numpy as np

from gradlab.checks.trial import Trial, quiet
from gradlab.node import Array, as_tuple, named_rng
from gradlab.verdict import rtol_for

# The steps along a line, relative to the primals; and the number of lines.
STEP, TINY_STEP = 2.0**-13, 1e-9
LINES = 2
# How far truncation may put forward's slope off, relative to the sum of the sizes of the terms of the analytic slope;
# and how many ulps of the outputs a difference may lose.
RTOL, ROUNDING_ULPS = 1e-7, 32


class LineSlope(NamedTuple):
    """A direction through the primals, forward's slope along it, and how far rounding may put that slope off.

    `flat` tells a staircase: one step away, forward does not change at all over a billionth of the line.
    """

    direction: tuple[Array, ...]
    slope: float
    noise: float
    flat: bool


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


def central_slope(f: Callable[[float], Any], h: float) -> Any:
    """Return the slope of `f` at 0 from central differences with h and h/2, extrapolated."""
    wide, narrow = ((f(step) - f(-step)) / (2 * step) for step in (h, h / 2))
    return (4 * narrow - wide) / 3


def line_slopes(trial: Trial) -> list[LineSlope]:
    """Return forward's slopes along random lines, for the trial's cotangent."""
    if trial.witness:
        lines: list[LineSlope] = trial.witness.remembered("lines", line_slopes)
        return lines
    g = [np.asarray(part, dtype=np.float64).reshape(-1) for part in as_tuple(trial.cotangent())]
    points = [x.astype(np.promote_types(x.dtype, np.float64)) for x in trial.sample.primals]
    terms = sum(float(np.abs(a * np.ravel(y)).sum()) for a, y in zip(g, as_tuple(trial.output), strict=True))
    noise = ROUNDING_ULPS * float(np.finfo(np.float64).eps) * terms / STEP
    lines = []
    for v in random_directions(trial):

        def f(t: float, v: Sequence[Array] = v) -> float:
            outputs = trial.function(*(x + t * d for x, d in zip(points, v, strict=True)))
            return sum(float(a @ np.ravel(y)) for a, y in zip(g, as_tuple(outputs), strict=True))

        flat = f(STEP) == f(STEP + TINY_STEP)
        lines.append(LineSlope(v, central_slope(f, STEP), noise, flat))
    return lines


def agrees_along_lines(trial: Trial, gradients: Sequence[Array]) -> bool:
    """Return whether the gradients give forward's slopes along all lines; False also where forward has no slope."""
    rtol = max(RTOL, *(rtol_for(a.dtype) for a in gradients))
    with quiet():
        try:
            lines = trial.remembered("lines", line_slopes)
        except Exception:
            return False
        for line in lines:
            parts = [np.asarray(a, np.float64) * v for a, v in zip(gradients, line.direction, strict=True)]
            total = sum(float(p.sum()) for p in parts)
            size = sum(float(np.abs(p).sum()) for p in parts)
            staircase = line.flat and size == 0
            if not staircase and not abs(total - line.slope) <= rtol * size + line.noise:
                return False
    return True


def is_inside_the_domain(trial: Trial) -> bool:
    """Return whether forward has a value on both sides along every line."""
    with quiet():
        try:
            return all(np.isfinite(line.slope) for line in trial.remembered("lines", line_slopes))
        except Exception:
            return False


def is_right_along_lines(trial: Trial) -> bool:
    """Return whether backward gives forward's slopes along all lines; False also where either raises."""
    with quiet():
        try:
            return agrees_along_lines(trial, trial.gradients(trial.cotangent()))
        except Exception:
            return False
