"""Candidates: changes of a function at one place, in tiers, from what is likely to what is many."""

import ast
from collections.abc import Callable, Iterator, Sequence
from typing import Any, NamedTuple

import numpy as np

from gradlab.faults.source_edits import source_edits
from gradlab.faults.syntax_places import SyntaxPlace, places
from gradlab.node import Array
from gradlab.repair._forms import as_array
from gradlab.repair._insertions import LIKELY, OTHERS, Edit, calls_put, operands_put
from gradlab.repair._judge import Judge
from gradlab.repair._missing_forms import mended_expressions
from gradlab.repair._responses import response, value_places
from gradlab.repair._source_function import SourceFunction
from gradlab.repair._suspects import Suspect


class Candidate(NamedTuple):
    """One change of one function."""

    function: SourceFunction
    place: SyntaxPlace
    new: ast.AST


def faults_undone(
    judge: Judge, suspects: Sequence[Suspect], base: Array | None, goes_on: Callable[[], bool]
) -> Iterator[Candidate]:
    """Yield the edits that people's mistakes are made of: most lead back as they lead there."""
    for suspect in suspects:
        for _, place, new in source_edits(suspect.function.body):
            if suspect.is_suspicious(place) and not _asks_for_none(place.node):
                yield Candidate(suspect.function, place, new)


def _asks_for_none(node: ast.AST) -> bool:
    """Return whether a condition tells what is there already from what is not yet: there is no other side to it."""
    test = node.test if isinstance(node, ast.If | ast.While | ast.IfExp) else node
    return isinstance(test, ast.Compare) and any(isinstance(op, ast.Is | ast.IsNot) for op in test.ops)


def likely_insertions(
    judge: Judge, suspects: Sequence[Suspect], base: Array | None, goes_on: Callable[[], bool]
) -> Iterator[Candidate]:
    """Yield the edits that put in what people leave out: signs, transposes, sums of several writes."""
    for suspect in suspects:
        yield from _edited(suspect, LIKELY)


def other_insertions(
    judge: Judge, suspects: Sequence[Suspect], base: Array | None, goes_on: Callable[[], bool]
) -> Iterator[Candidate]:
    """Yield the edits of which there are many: axes, bounds, numbers; and operands where backward raises."""
    for suspect in suspects:
        # nothing is known of what it lacks where it raises, or gives another shape: all that is in scope is tried
        unknown = base is None or not np.isfinite(base).all()
        operands = [operands_put(_array_names(suspect))] if unknown else []
        yield from _edited(suspect, [*OTHERS, *operands])


def _edited(suspect: Suspect, edits: Sequence[Edit]) -> Iterator[Candidate]:
    for place in places(suspect.function.body):
        if suspect.is_suspicious(place):
            for edit in edits:
                for new in edit(place.node):
                    yield Candidate(suspect.function, place, new)


def calls(
    judge: Judge, suspects: Sequence[Suspect], base: Array | None, goes_on: Callable[[], bool]
) -> Iterator[Candidate]:
    """Yield the edits that put a call in which ran elsewhere in the same file."""
    for suspect in suspects:
        edit = calls_put(suspect.near, _array_names(suspect))
        for place in places(suspect.function.body):
            if suspect.is_suspicious(place):
                for new in edit(place.node):
                    yield Candidate(suspect.function, place, new)


def _array_names(suspect: Suspect) -> list[str]:
    """Return the variables of a function that hold arrays, and tuples of lengths."""
    scope = suspect.seen.scope
    return [name for name, value in scope.items() if as_array(value) is not None or _is_shape(value)]


def _is_shape(value: Any) -> bool:
    return isinstance(value, tuple) and all(isinstance(n, int) for n in value)


def forms(
    judge: Judge, suspects: Sequence[Suspect], base: Array | None, goes_on: Callable[[], bool]
) -> Iterator[Candidate]:
    """Yield the edits by which an expression gives what the gradients lack."""
    if base is None or not np.isfinite(base).all():
        return
    tolerance = float(np.max(judge.allowed[np.isfinite(judge.allowed)], initial=0.0))
    for suspect in suspects:
        cleared: set[int] = set()
        for place in list(value_places(places(suspect.function.body), suspect.seen.lines)):
            if not goes_on():
                return
            if id(place.node) in cleared or not suspect.is_suspicious(place):
                continue
            told = response(suspect.function, place, judge, base)
            if told is None:
                # what a part of it gives can explain no more
                cleared.update(map(id, ast.walk(place.node)))
                continue
            for new in mended_expressions(told, suspect, tolerance):
                yield Candidate(suspect.function, place, new)


Tier = Callable[[Judge, Sequence[Suspect], Array | None, Callable[[], bool]], Iterator[Candidate]]
# The likeliest first, and those that are many last.
TIERS: tuple[Tier, ...] = (faults_undone, likely_insertions, forms, other_insertions, calls)
