"""What the pictures of a report are drawn of: both gradients, both Jacobians, and what Taylor's test leaves."""

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from contextvars import ContextVar
from functools import partial

import numpy as np

from gradlab.checks.trial import Trial, quiet
from gradlab.checks.trial.interruptible import within
from gradlab.checks.trial.large_primals import directional_outcome
from gradlab.diagnosis.point_evidence import evidence_at, flat, jacobians_of
from gradlab.node import Array, as_tuple, named_rng
from gradlab.report import Comparison, Row, StepErrors
from gradlab.verdict import Verdict

NUMERICAL = "matches_numerical"
# The Jacobians of more outputs or elements than this are no picture.
SMALL = 64
# Of larger primals than this the arrays beside the gradient would be what fills the memory.
MOST = 4_000_000
STEPS = 10.0 ** -np.arange(1, 13)
_wanted = ContextVar("all pictures are wanted", default=False)


@contextmanager
def wanting_pictures() -> Iterator[None]:
    """Let the checks of this context keep for right gradients, too, what only those of wrong ones are kept for."""
    before = _wanted.set(True)
    try:
        yield
    finally:
        _wanted.reset(before)


def comparisons_of(trials: Sequence[Trial], rows: Sequence[Row]) -> list[Comparison]:
    """Return both gradients of every primal that `matches_numerical` compared at the samples, or found wrong elsewhere.

    Those of wrong gradients have their Jacobians, where these are small, and Taylor's test, as far as the budget lasts.
    """
    compared = {row.sample for row in rows if row.check == NUMERICAL}
    found: list[Comparison] = []
    for trial in trials:
        elsewhere = trial.found_elsewhere.get(NUMERICAL)
        places = [*([trial] if trial.sample.name in compared else []), *([elsewhere] if elsewhere else [])]
        for there in places:
            budget = there.budget
            seconds = budget.left_s if budget else None
            found += within(budget, partial(_compared, there, rows), list[Comparison](), seconds)
    return found


def _compared(trial: Trial, rows: Sequence[Row]) -> list[Comparison]:
    told = {row.primal: row for row in rows if row.check == NUMERICAL and row.sample == trial.sample.name}
    try:
        with quiet():
            return [
                _comparison(trial, i, row)
                for i, (name, x) in enumerate(zip(trial.names, trial.sample.primals, strict=True))
                if _is_worth_keeping(trial, row := told.get(name), x.size)
            ]
    except Exception:  # what raises is told by the row; there is nothing to draw of it
        return []


def _is_worth_keeping(trial: Trial, row: Row | None, size: int) -> bool:
    """Return whether there is something to draw: of a large gradient only wrong elements are known alone."""
    if not trial.is_large:
        return True
    is_wrong = row is None or row.verdict is Verdict.WRONG
    return size <= MOST and (is_wrong or _wanted.get())


def _comparison(trial: Trial, i: int, row: Row | None) -> Comparison:
    # at primals that were found, and not given, a fault is all that is told
    is_wrong = row is None or row.verdict is Verdict.WRONG
    analytic = trial.own_gradients[i]
    wrong, directions = np.zeros(analytic.shape, dtype=bool), 0
    if trial.is_large:
        numerical, bound = np.full((2, *analytic.shape), np.nan)
        for result in directional_outcome(trial).alone[i]:
            place = result.worst_index or ()
            numerical[place], bound[place] = result.numerical, result.reference_error
            wrong[place] = result.verdict is Verdict.WRONG
    else:
        told = trial.confirmed[i] if trial.origin is None else None
        directions = told.directions if told and not is_wrong else 0
        seen = evidence_at(trial) if is_wrong else None
        if seen:
            numerical, wrong = np.asarray(seen.numerical(i)), seen.wrong(i)
            bound = trial.estimates[i].error if trial.origin is None else np.zeros(analytic.shape)
        else:
            numerical, bound = trial.estimates[i].value, trial.estimates[i].error
    more = is_wrong or _wanted.get()
    return Comparison(
        trial.node.name,
        trial.sample.name,
        trial.names[i],
        analytic,
        numerical,
        bound,
        wrong,
        row.worst_index if row else None,
        directions,
        _jacobians(trial, i) if more else None,
        step_errors(trial, i) if more else None,
    )


def _jacobians(trial: Trial, i: int) -> tuple[Array, Array] | None:
    """Return the slopes of all outputs by backward and by differences; None where there are too many."""
    outputs = flat(trial.output)
    if max(outputs.size, *(x.size for x in trial.sample.primals)) > SMALL or trial.unit_cotangent:
        return None
    by_differences = trial.remembered("jacobians", jacobians_of)[0][i]
    shapes = [np.shape(y) for y in as_tuple(trial.output)]
    ends = np.cumsum([int(np.prod(shape)) for shape in shapes])[:-1]
    like = trial.cotangent()
    rows = []
    for k in range(outputs.size):
        one = np.zeros(outputs.size)
        one[k] = 1.0
        parts = [
            part.reshape(shape).astype(np.asarray(g).dtype)
            for part, shape, g in zip(np.split(one, ends), shapes, as_tuple(like), strict=True)
        ]
        g = tuple(parts) if isinstance(like, tuple) else parts[0]
        rows.append(np.ravel(trial.gradients(g)[i]))
    return np.array(rows), by_differences


def step_errors(trial: Trial, i: int) -> StepErrors:
    """Return what Taylor's test leaves for primal `i` along a random direction."""
    x = trial.sample.primals[i]
    dtype = np.promote_types(x.dtype, np.float64)
    primals = [p.astype(np.promote_types(p.dtype, np.float64)) for p in trial.sample.primals]
    g = [np.asarray(part, dtype=np.float64) for part in as_tuple(trial.cotangent())]
    v = (
        named_rng(trial.seed, trial.node.name, trial.sample.name, f"taylor {i}")
        .standard_normal(x.shape)
        .astype(dtype)
    )
    usual = float(np.sqrt(np.mean(np.square(primals[i])))) if x.size else 0.0
    v *= usual or 1.0  # a step is relative to the primal's size
    function = trial.function

    def f(s: float) -> float:
        moved = [*primals[:i], primals[i] + s * v, *primals[i + 1 :]]
        return float(sum(np.sum(part * y) for part, y in zip(g, as_tuple(function(*moved)), strict=True)))

    with quiet():
        slope = float(np.sum(np.asarray(trial.own_gradients[i], dtype=np.float64) * v))
        here = f(0.0)
        up, down = (np.array([f(sign * h) for h in STEPS]) for sign in (1, -1))
        terms = float(sum(np.abs(part * y).sum() for part, y in zip(g, as_tuple(trial.output), strict=True)))
        return StepErrors(
            STEPS,
            np.abs(up - here),
            np.abs(up - here - STEPS * slope),
            np.abs((up - down) / (2 * STEPS) - slope) / (abs(slope) or 1.0),
            np.abs(up - here + (down - here)),
            float(np.finfo(np.float64).eps) * terms,
        )
