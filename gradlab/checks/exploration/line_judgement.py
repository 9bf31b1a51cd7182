"""Gradients judged along a few lines on which one primal moves alone, as far as lines can judge.

Enough to find a fault and to shrink it, whose numbers nobody reads before it is small: a line takes five evaluations,
and an estimate of every element some thirty for each.
"""

from collections.abc import Callable
from typing import NamedTuple

import numpy as np

from gradlab.checks.trial import Trial, quiet
from gradlab.checks.trial.line_slopes import (
    ROUNDING_ULPS,
    RTOL,
    STEP,
    in_a_row,
    is_right_along_lines,
    random_directions,
)
from gradlab.node import Array, as_tuple
from gradlab.verdict import CheckResult, Verdict, largest_of, rtol_for

# A slope that is further off than the first, relative to its terms, plus the second, relative to the usual gradient,
# plus so many times what the line's own differences leave open, is off by far more than the checks allow elsewhere.
SURE, SURE_OF_USUAL, ROUGHNESSES = 1e-4, 1e-6, 10
# So many times a tolerance that the caller gave are beyond it.
BEYOND = 10
UNTOLD = CheckResult(Verdict.INCONCLUSIVE)


def judge_along_lines(trial: Trial) -> CheckResult:
    """Return that all gradients pass, or that one is wrong; or `UNTOLD`, at a kink and where rounding hides it."""
    if is_right_along_lines(trial):
        return CheckResult(Verdict.PASS)
    told = (judge_primal_along_lines(trial, name) for name in trial.names)
    return next((result for result in told if result.verdict is Verdict.WRONG), UNTOLD)


def judge_primal_along_lines(trial: Trial, name: str) -> CheckResult:
    """Return whether the gradient of one primal passes or is wrong; or `UNTOLD`, as where it is of no one primal."""
    if name not in trial.names:
        return UNTOLD
    i = trial.names.index(name)
    with quiet():
        try:
            gradient = trial.gradients(trial.cotangent())[i]
            told = [_judged(trial, i, gradient, v[i]) for v in random_directions(trial)]
        except Exception:
            return UNTOLD
    order = (Verdict.PASS, Verdict.INCONCLUSIVE, Verdict.WRONG)
    return max(told, key=lambda result: order.index(result.verdict))


def may_be_a_factor_off(trial: Trial, name: str) -> bool:
    """Return whether lines leave it open that the gradient of one primal is right but for one factor, or right."""
    i = trial.names.index(name)
    with quiet():
        try:
            gradient = trial.own_gradients[i]
            a, b = (_line_alone(trial, i, gradient, v[i]) for v in random_directions(trial))
        except Exception:
            return True
    size = a.size * abs(b.slope) + b.size * abs(a.slope)
    doubt = a.doubt * (b.size + abs(b.slope)) + b.doubt * (a.size + abs(a.slope))
    return bool(not abs(a.total * b.slope - b.total * a.slope) > SURE * size + doubt)


class _LineAlone(NamedTuple):
    """The slope that a gradient has on a line along which its primal moves alone, and forward's.

    `size` is the sum of the sizes of the gradient's terms, `noise` what rounding may put forward's slope off, and
    `doubt` that and what the line's own differences leave open.
    """

    total: float
    size: float
    slope: float
    noise: float
    doubt: float


def _line_alone(trial: Trial, i: int, gradient: Array, v: Array) -> _LineAlone:
    h, g, f = STEP, in_a_row(trial.cotangent()), _along(trial, i, v)
    here, up, down, half_up, half_down = (f(t) for t in (0.0, h, -h, h / 2, -h / 2))
    wide, narrow = (up - down) / (2 * h), (half_up - half_down) / h
    right, left = (4 * half_up - up - 3 * here) / h, (3 * here + down - 4 * half_down) / h
    parts = np.asarray(gradient, np.float64) * v
    noise = ROUNDING_ULPS * float(np.finfo(np.float64).eps) * _terms(trial) / h
    # of each output by itself: at ties what one leaves open, another takes away
    open_to = float(np.abs(g) @ (np.abs(wide - narrow) + np.abs(right - left)))
    slope = float(g @ (4 * narrow - wide)) / 3
    return _LineAlone(
        float(parts.sum()), float(np.abs(parts).sum()), slope, noise, noise + ROUGHNESSES * open_to
    )


def _judged(trial: Trial, i: int, gradient: Array, v: Array) -> CheckResult:
    total, size, slope, noise, doubt = _line_alone(trial, i, gradient, v)
    own = rtol_for(gradient.dtype)
    sure = max(SURE, BEYOND * (own if trial.rtol is None else trial.rtol)) * (size + abs(slope))
    sure += _atol(trial) * float(np.abs(v).sum()) + doubt
    if abs(total - slope) <= max(RTOL, own) * size + noise:
        return CheckResult(Verdict.PASS)
    if abs(total - slope) > sure:
        return CheckResult(Verdict.WRONG, trial.names[i], analytic=total, numerical=slope)
    return UNTOLD


def _along(trial: Trial, i: int, v: Array) -> Callable[[float], Array]:
    points = [x.astype(np.promote_types(x.dtype, np.float64)) for x in trial.sample.primals]
    function = trial.function
    return lambda t: in_a_row(function(*points[:i], points[i] + t * v, *points[i + 1 :]))


def _terms(trial: Trial) -> float:
    pairs = zip(as_tuple(trial.cotangent()), as_tuple(trial.output), strict=True)
    return sum(float(np.abs(np.asarray(g, np.float64) * y).sum()) for g, y in pairs)


def _atol(trial: Trial) -> float:
    if trial.atol is not None:
        return BEYOND * trial.atol
    return SURE_OF_USUAL * (0.0 if trial.origin is None else usual_gradient(trial.origin))


def usual_gradient(trial: Trial) -> float:
    """Return the size of the largest element of all gradients."""
    return float(trial.remembered("usual gradient", _usual_gradient))


def _usual_gradient(trial: Trial) -> float:
    gradients = trial.gradients(trial.cotangent())
    return max(largest_of(d) for d in gradients)
