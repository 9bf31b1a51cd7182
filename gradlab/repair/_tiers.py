"""Candidates: changes of a function at one place, in tiers, from what is likely to what is many."""

import ast
from collections.abc import Callable, Iterator, Sequence
from typing import Any, NamedTuple

import numpy as np

from gradlab.faults.source_edits import source_edits
from gradlab.faults.syntax_places import SyntaxPlace, places, temporarily_replaced
from gradlab.node import Array
from gradlab.repair._exchanges import (
    factors_exchanged,
    names_exchanged,
    slices_exchanged,
    subscripts_exchanged,
)
from gradlab.repair._forms import as_array, atoms
from gradlab.repair._insertions import (
    LIKELY,
    OTHERS,
    Edit,
    asks_for_identity,
    calls_put,
    keywords_put,
    literals_put,
    masks_put,
    numbers_put,
    operands_put,
    rounds_joined,
    summands_put,
)
from gradlab.repair._judge import Judge
from gradlab.repair._missing_forms import mended_expressions
from gradlab.repair._responses import as_assigned, response, value_places
from gradlab.repair._source_function import SourceFunction
from gradlab.repair._statement_edits import everywhere
from gradlab.repair._suspects import Suspect

EXCHANGES = (slices_exchanged, factors_exchanged, subscripts_exchanged)
# What is added to keep something from being zero is no larger.
SMALL = 0.1


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
    return isinstance(test, ast.Compare) and asks_for_identity(test)


def likely_insertions(
    judge: Judge, suspects: Sequence[Suspect], base: Array | None, goes_on: Callable[[], bool]
) -> Iterator[Candidate]:
    """Yield the edits that put in what people leave out: signs, transposes, sums of several writes."""
    for suspect in suspects:
        nearby = [
            keywords_put(suspect.near),
            literals_put(suspect.near),
            summands_put(_small_numbers(suspect)),
        ]
        alike = _alike(suspect)
        yield from _edited(suspect, [*LIKELY, *nearby, everywhere(alike), names_exchanged(alike), *EXCHANGES])


def _alike(suspect: Suspect) -> dict[str, list[str]]:
    """Return, for each variable and attribute, the others in scope of its shape."""
    known = atoms([suspect.seen.scope])
    shapes = {form.text: (form.values[0].shape, form.values[0].dtype.kind) for form in known}
    return {a: [b for b in shapes if b != a and shapes[b] == shapes[a]] for a in shapes}


def in_loops(
    judge: Judge, suspects: Sequence[Suspect], base: Array | None, goes_on: Callable[[], bool]
) -> Iterator[Candidate]:
    """Yield the edits of what loops compute: what a round changes the next one sees, so that no form tells it."""
    for suspect in suspects:
        edit = rounds_joined(_array_names(suspect))
        for place in places(suspect.function.body):
            top = suspect.function.body.body[place.statement_number]
            if isinstance(top, ast.For | ast.While) and suspect.is_suspicious(place):
                for new in edit(place.node):
                    yield Candidate(suspect.function, place, new)


def other_insertions(
    judge: Judge, suspects: Sequence[Suspect], base: Array | None, goes_on: Callable[[], bool]
) -> Iterator[Candidate]:
    """Yield the edits of which there are many: axes, bounds, numbers; and operands where backward raises."""
    for suspect in suspects:
        # nothing is known of what it lacks where it raises, or gives another shape: all that is in scope is tried
        unknown = base is None or not np.isfinite(base).all()
        operands = [operands_put(_array_names(suspect))] if unknown else []
        numbers, masks = numbers_put(suspect.near, _scalars(suspect)), masks_put(_masks(suspect))
        yield from _edited(suspect, [*OTHERS, numbers, masks, *operands])


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
        # a call of the function itself is no mending, and would not end
        own = suspect.function.body.name
        near = [node for node in suspect.near if getattr(getattr(node, "func", None), "id", "") != own]
        edit = calls_put(near, _array_names(suspect))
        for place in places(suspect.function.body):
            if suspect.is_suspicious(place):
                for new in edit(place.node):
                    yield Candidate(suspect.function, place, new)


def _array_names(suspect: Suspect) -> list[str]:
    """Return the variables of a function that hold arrays, and tuples of lengths."""
    scope = suspect.seen.scope
    return [name for name, value in scope.items() if as_array(value) is not None or _is_shape(value)]


def _small_numbers(suspect: Suspect) -> list[str]:
    """Return the texts of the numbers that are small: in scope, and of the module where the code nearby has them."""
    space = suspect.function.functions[0].__globals__
    near = {node.id for node in suspect.near if isinstance(node, ast.Name)}
    of_module = {name: space[name] for name in near if isinstance(space.get(name), float)}
    known = [form for form in atoms([suspect.seen.scope | of_module]) if form.values[0].ndim == 0]
    return [form.text for form in known if 0 < abs(form.values[0]) <= SMALL]


def _scalars(suspect: Suspect) -> list[str]:
    """Return the texts of the numbers in scope: variables, and attributes of objects."""
    return [form.text for form in atoms([suspect.seen.scope]) if form.values[0].ndim == 0]


def _masks(suspect: Suspect) -> list[str]:
    """Return the texts of the masks in scope."""
    return [form.text for form in atoms([suspect.seen.scope]) if form.values[0].dtype == bool]


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
        yield from _of_written_items(suspect, judge, base, tolerance, goes_on)


def _of_written_items(
    suspect: Suspect, judge: Judge, base: Array, tolerance: float, goes_on: Callable[[], bool]
) -> Iterator[Candidate]:
    """Yield the edits by which what a statement adds to items of an array, with what was there, is what they lack."""
    for place in places(suspect.function.body):
        if not goes_on():
            return
        item = as_assigned(place) if suspect.is_suspicious(place) else None
        if item is None:
            continue
        with temporarily_replaced(place, item.parent):
            told = response(suspect.function, item, judge, base)
        if told is not None:
            for new in mended_expressions(told, suspect, tolerance):
                assert isinstance(item.parent, ast.Assign)
                yield Candidate(suspect.function, place, ast.Assign(item.parent.targets, new))


Tier = Callable[[Judge, Sequence[Suspect], Array | None, Callable[[], bool]], Iterator[Candidate]]
# The likeliest first, and those that are many last.
TIERS: tuple[Tier, ...] = (faults_undone, likely_insertions, forms, in_loops, other_insertions, calls)
