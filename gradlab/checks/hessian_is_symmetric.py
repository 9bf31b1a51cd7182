"""Where the output is one number, the gradient is that of some function: the gradient's Jacobian is symmetric."""

from collections.abc import Iterable, Iterator, Sequence
from typing import Any

import numpy as np

from gradlab.checks.exploration.derived_inputs import smaller
from gradlab.checks.trial import Trial, quiet
from gradlab.checks.trial.line_slopes import STEP, random_directions
from gradlab.node import Array
from gradlab.verdict import CheckResult, Verdict

# How far u H v and v H u may differ, relative to the sum of the sizes of their terms; how far the slopes of two steps
# may differ, for the gradient to count as smooth; and how many ulps of a gradient a difference may lose.
RTOL, SMOOTH_RTOL, ROUNDING_ULPS = 1e-5, 1e-3, 100


def check(trial: Trial) -> Iterator[CheckResult]:
    """Differentiate the gradient along two lines, and project the slope along each on the other."""
    doubles = all(x.dtype == np.float64 for x in trial.sample.primals)
    if isinstance(trial.output, tuple) or np.shape(trial.output) != () or not doubles:
        return
    trial = smaller(trial) or trial
    gradients = trial.gradients(trial.cotangent())
    noise = [
        ROUNDING_ULPS * float(np.finfo(np.float64).eps) / STEP * np.abs(a).max(initial=0) for a in gradients
    ]
    u, v = random_directions(trial)
    along_u, along_v = _slope(trial, u, noise), _slope(trial, v, noise)
    if along_u is None or along_v is None:
        return
    uv, vu = _inner(u, along_v), _inner(v, along_u)
    size = _inner(map(np.abs, u), map(np.abs, along_v)) + _inner(map(np.abs, v), map(np.abs, along_u))
    rounding = _inner(map(np.abs, u), noise) + _inner(map(np.abs, v), noise)
    if abs(uv - vu) <= RTOL * size + rounding:
        yield CheckResult(Verdict.PASS)
    else:
        note = (
            f"the gradient is that of no function: its slope along one line, projected on another, is {uv:.10g}, "
            f"and the other way round {vu:.10g}: something in backward does not belong to forward"
        )
        yield CheckResult(Verdict.WRONG, note=note)


def _inner(a: Iterable[Any], b: Iterable[Any]) -> float:
    return sum(float(np.sum(x * y)) for x, y in zip(a, b, strict=True))


def _slope(trial: Trial, direction: Sequence[Array], noise: Sequence[float]) -> list[Array] | None:
    """Return the slopes of the gradients along a line; None where the gradients are not smooth there."""

    def gradients(t: float) -> tuple[Array, ...]:
        moved = [x + t * d for x, d in zip(trial.primals(), direction, strict=True)]
        return trial.node.backward(trial.node.forward(*moved, **trial.settings())[1], trial.cotangent())

    with quiet():
        wide, narrow = (
            [(a - b) / (2 * h) for a, b in zip(gradients(h), gradients(-h), strict=True)]
            for h in (STEP, STEP / 2)
        )
    for a, b, lost in zip(wide, narrow, noise, strict=True):
        if not np.abs(a - b).max(initial=0) <= SMOOTH_RTOL * np.abs(b).max(initial=0) + lost:
            return None
    return [(4 * b - a) / 3 for a, b in zip(wide, narrow, strict=True)]
