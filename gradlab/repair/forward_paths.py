"""Paths through forward that a wrong gradient gets wrong: what it would be if an expression there were a constant.

Where one expression of forward is held at its values while a primal moves, forward's slope lacks what the primal does
through it: the share of that path. Where a gradient differs from the right one by such a share, times one number at
all points and along all directions, backward lost this path (the number is 1), has its sign turned round (2) or counts
it twice (-1).
"""

import ast
from collections.abc import Callable, Collection, Iterator, Sequence
from contextlib import suppress
from functools import partial
from io import StringIO
from typing import Any, NamedTuple

import numpy as np

from gradlab.checks.trial import Trial, quiet
from gradlab.checks.trial.budget import Budget
from gradlab.checks.trial.interruptible import within
from gradlab.faults.syntax_places import SyntaxPlace, places
from gradlab.node import Array, as_tuple
from gradlab.repair._executed import executed
from gradlab.repair._forms import as_array
from gradlab.repair._reachable import reachable
from gradlab.repair._responses import like, probing, value_places
from gradlab.repair._source_function import SourceFunction, source_function
from gradlab.repair._suspects import is_whole_value
from gradlab.workers.threads import printing_into

# The points that are looked at, beside the given one, and the directions at each: a primal of one number has one slope
# at a point, and nearly any path explains that.
NEARBY, DIRECTIONS, STEP = 2, 2, 1e-4
# How near to each other slopes are by differences, relative to the larger; and how large a share has to be.
NEAR, SEEN = 1e-5, 1e-4
# By how much of itself an element moves to a point nearby.
MOVED = 0.1
# An expression that is evaluated more often in one forward is not held.
MOST_ROUNDS = 200
# What one expression may take.
SECONDS = 1.0
# So many characters of an expression are shown.
MOST_SHOWN = 60
ALL, NOT_FIRST, NOT_LAST = "", "all but the first", "all but the last"


class LostPath(NamedTuple):
    """A path through forward that a gradient gets wrong.

    Attributes
    ----------
    primal : str
    text : str
        The expression of forward that the path goes through.
    file : str
    line : int
    rounds : str
        Which of its evaluations in one forward are meant, where not all are.
    factor : float
        How often the share of this path is missing: 1 where the gradient lacks it, 2 where its sign is turned round, -1
        where it is there twice.
    """

    primal: str
    text: str
    file: str
    line: int
    rounds: str
    factor: float


class _DifferentError(Exception):
    """Forward takes another way while an expression is held."""


class _Held:
    """Keeps what an expression gives, or gives again what it gave before."""

    def __init__(self) -> None:
        self.kept: list[Any] | None = None
        self.given: Sequence[Array] = ()
        self.rounds: range = range(0)
        self.calls = 0
        self.seen = 0.0

    def __call__(self, value: Any) -> Any:
        """Return what is to stand there."""
        if self.kept is not None:
            self.kept.append(as_array(value) if len(self.kept) <= MOST_ROUNDS else None)
            return value
        here, self.calls = self.calls, self.calls + 1
        if here >= len(self.given):
            raise _DifferentError
        return like(self.given[here], value) if here in self.rounds else value

    def values(self, at: Callable[[float], float], s: float) -> list[Array] | None:
        """Return what it gives at a place of a line, an array a round; None where that is no floating point number."""
        kept: list[Any] = []
        self.kept = kept
        try:
            self.seen = at(s)
        finally:
            self.kept = None
        if not 0 < len(kept) <= MOST_ROUNDS or any(v is None or v.dtype.kind != "f" for v in kept):
            return None
        return kept

    def holding(
        self, values: Sequence[Array], first: int, last: int, at: Callable[[float], float], s: float
    ) -> float:
        """Return what is at a place of a line with the values of some rounds held."""
        self.given, self.rounds, self.calls = values, range(first, last + 1), 0
        result = at(s)
        if self.calls != len(values):
            raise _DifferentError
        return result


class _Line(NamedTuple):
    """A line through a point along which one primal moves: forward's value on it, and its slope at the point.

    `lacks` is what the gradient lacks of that slope, `noise` how far rounding puts it off.
    """

    at: Callable[[float], float]
    slope: float
    lacks: float
    noise: float


def lost_paths(trial: Trial, wrong: Collection[str], goes_on: Callable[[], bool]) -> list[LostPath]:
    """Return, for each primal whose gradient is wrong, the path through forward that explains it, if one does.

    Parameters
    ----------
    trial : Trial
        Where gradients are wrong.
    wrong : collection of str
        The primals whose gradients are.
    goes_on : callable
        Returns whether there is time left.
    """
    functions, _ = reachable(trial.node.forward)
    sources = [f for f in (source_function(code, some) for code, some in functions.items()) if f is not None]
    with quiet(), printing_into(StringIO()):
        seen, _ = executed(sources, trial.forward, lambda run: None)
        where = [
            (function, place)
            for function, ran in zip(sources, seen, strict=True)
            for place in value_places(places(function.body), ran.lines)
        ]
        points = list(points_near(trial))
        found = []
        for i in (i for i, name in enumerate(trial.names) if name in wrong):
            lines: list[_Line] = []
            with suppress(Exception):  # backward may raise at points that nobody chose
                lines = [line for point in points for line in _lines(point, i)]
            if len(lines) <= DIRECTIONS or not all(abs(line.lacks) > line.noise for line in lines):
                continue
            fits = list(_fitting(where, lines, goes_on))
            if fits:
                found.append(_told(trial.names[i], *min(enumerate(fits), key=_preferred)[1]))
    return found


class _Fit(NamedTuple):
    function: SourceFunction
    place: SyntaxPlace
    rounds: str
    factor: float


def _preferred(numbered: tuple[int, _Fit]) -> tuple[bool, bool, int]:
    """Return how good an explanation is: of a lost path, of a variable's value, and near the end of forward."""
    number, fit = numbered
    return abs(fit.factor - 1) > NEAR, not is_whole_value(fit.place), -number


def _told(name: str, function: SourceFunction, place: SyntaxPlace, rounds: str, factor: float) -> LostPath:
    line = getattr(place.node, "lineno", 0)
    return LostPath(name, _called(place), function.file, line, rounds, factor)


def _called(place: SyntaxPlace) -> str:
    """Return what an expression is called: by the variable that it is the value of, or by its own text."""
    statement = place.statement
    whole = (
        isinstance(statement, ast.Assign) and statement.value is place.node and len(statement.targets) == 1
    )
    node = statement.targets[0] if whole and isinstance(statement, ast.Assign) else place.node
    text = ast.unparse(node)
    return text if len(text) <= MOST_SHOWN else f"{text[:MOST_SHOWN]}..."


def points_near(trial: Trial) -> Iterator[Trial]:
    """Yield the trial and some nearby at which forward has a value."""
    yield trial
    rng = np.random.default_rng(trial.seed)
    for k in range(NEARBY):
        primals = trial.sample.primals
        near = trial.at(
            f"nearby {k}", [(x * (1 + MOVED * rng.uniform(-1, 1, x.shape))).astype(x.dtype) for x in primals]
        )
        if near.accepted:
            yield near


def _slope(function: Callable[[float], float]) -> float:
    """Return a slope at 0 by central differences of fourth order."""
    near, far = (function(s * STEP) - function(-s * STEP) for s in (1, 2))
    return (8 * near - far) / (12 * STEP)


def _lines(point: Trial, i: int) -> Iterator[_Line]:
    """Yield lines through a point along which primal `i` moves, each element by about its own size."""
    primals = [np.array(x, np.promote_types(x.dtype, np.float64)) for x in point.sample.primals]
    g = point.cotangent()
    size = np.abs(primals[i])
    moves = np.maximum(size, 0.1 * float(np.sqrt(np.mean(size**2))) or 1.0)
    rng = np.random.default_rng(point.seed + 1)
    gradient = np.asarray(point.gradients(g)[i], float)
    for _ in range(DIRECTIONS):
        v = rng.choice([-1.0, 1.0], size.shape) * rng.uniform(0.5, 1.5, size.shape) * moves
        at = partial(_value, point, g, primals, i, v)
        slope, claimed = _slope(at), float(np.sum(gradient * v))
        rounding = 64 * float(np.finfo(float).eps) * abs(at(0.0)) / STEP
        yield _Line(at, slope, slope - claimed, rounding + NEAR * max(abs(slope), abs(claimed)))


def _value(point: Trial, g: Any, primals: Sequence[Array], i: int, v: Array, s: float) -> float:
    """Return the outputs times their cotangents, `s` steps along a line."""
    moved = [x.copy() if j != i else x + s * v for j, x in enumerate(primals)]
    outputs = point.node.forward(*moved, **point.settings())[0]
    pairs = zip(as_tuple(g), as_tuple(outputs), strict=True)
    return sum(float(np.sum(np.asarray(a, float) * np.asarray(y, float))) for a, y in pairs)


def _fitting(
    where: Sequence[tuple[SourceFunction, SyntaxPlace]], lines: Sequence[_Line], goes_on: Callable[[], bool]
) -> Iterator[_Fit]:
    """Yield the expressions whose share explains what the gradient lacks along all lines."""
    for function, place in where:
        if not goes_on():
            return
        # what cannot be held is no path; and a loop may not end with a value held
        with suppress(Exception), probing(function, place, _Held()) as held:
            rounds = within(Budget(), partial(_rounds_that_fit, held, lines), None, SECONDS)
            if rounds:
                yield _Fit(function, place, *rounds)


def _rounds_that_fit(held: _Held, lines: Sequence[_Line]) -> tuple[str, float] | None:
    at = lines[0].at
    values, moved = held.values(at, 0.0), held.values(at, STEP)
    if values is None or moved is None or len(values) != len(moved):
        return None
    if all(np.array_equal(a, b, equal_nan=True) for a, b in zip(values, moved, strict=True)):
        return None
    last = len(values) - 1
    for name, first, to in ((ALL, 0, last), (NOT_FIRST, 1, last), (NOT_LAST, 0, last - 1)):
        factor = _factor(held, lines, first, to) if first <= to else None
        if factor is not None:
            return name, factor
    return None


def _factor(held: _Held, lines: Sequence[_Line], first: int, last: int) -> float | None:
    """Return the number of shares that the gradient lacks along every line; None where it is not one number."""
    factor: float | None = None
    is_whole = True
    for line in lines:
        values = held.values(line.at, 0.0)
        if values is None or held.holding(values, first, last, line.at, 0.0) != held.seen:
            return None
        share = line.slope - _slope(partial(held.holding, values, first, last, line.at))
        if not abs(share) > SEEN * abs(line.lacks):
            return None
        factor = line.lacks / share if factor is None else factor
        if not abs(line.lacks - factor * share) <= line.noise + NEAR * abs(factor * share):
            return None
        is_whole = is_whole and abs(share - line.slope) <= line.noise
    # what all goes through is the gradient as a whole
    return None if is_whole else factor
