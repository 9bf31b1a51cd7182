"""The search for a repair: small edits of what a wrong backward runs through, until one gives the right gradients."""

import ast
import linecache
from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack, contextmanager, redirect_stdout
from dataclasses import dataclass, replace
from difflib import SequenceMatcher
from functools import cached_property
from io import StringIO
from itertools import groupby
from types import CodeType, FunctionType
from typing import Any, NamedTuple

import numpy as np

from gradlab.checks.trial import Trial, quiet
from gradlab.faults.source_edits import source_edits
from gradlab.faults.syntax_places import SyntaxPlace, places, temporarily_replaced
from gradlab.node import Array
from gradlab.repair._executed import Executed, executed
from gradlab.repair._forms import as_array
from gradlab.repair._insertions import LIKELY, OTHERS, Edit, accumulated, calls_put, operands_put
from gradlab.repair._judge import Judge, judge_of
from gradlab.repair._missing_forms import mended_expressions, neighbours
from gradlab.repair._reachable import reachable
from gradlab.repair._rendering import Change, edited_text, tokens_of
from gradlab.repair._responses import can_explain, response, value_places
from gradlab.repair._source_function import SourceFunction, placed, source_function
from gradlab.repair.proposal import Repair, repair_of

# So many candidates that give the right gradients are held to the checks, the smallest first.
MOST_PROOFS = 12
# So many lines are named where no change was found.
MOST_LINES = 3


class Place(NamedTuple):
    """One change of one function."""

    function: SourceFunction
    place: SyntaxPlace
    new: ast.AST
    kind: str


@dataclass(frozen=True, eq=False)
class Suspect:
    """A function that backward runs through, and what was seen of it."""

    function: SourceFunction
    seen: Executed
    in_forward: bool
    judge: Judge
    base: Array | None

    def is_suspicious(self, place: SyntaxPlace) -> bool:
        """Return whether a place ran, and what its statement gives there can explain what the gradients lack."""
        if not _ran(place, self.seen.lines):
            return False
        if self.base is None or not np.isfinite(self.base).all():
            return True
        around = self._values.get(id(place.node))
        if around is None:
            return True
        if id(around.node) not in self._known:
            self._known[id(around.node)] = can_explain(self.function, around, self.judge, self.base)
        return self._known[id(around.node)]

    @cached_property
    def _known(self) -> dict[int, bool]:
        return {}

    @cached_property
    def _values(self) -> dict[int, SyntaxPlace]:
        """For each node inside what a statement assigns or returns, the place of that whole."""
        found: dict[int, SyntaxPlace] = {}
        for place in places(self.function.body):
            if _is_whole_value(place):
                for node in ast.walk(place.node):
                    found.setdefault(id(node), place)
        return found


def _is_whole_value(place: SyntaxPlace) -> bool:
    """Return whether at a place stands all that a statement assigns or returns, or one of several such things."""
    statement = place.statement
    if not isinstance(statement, ast.Assign | ast.Return | ast.AugAssign | ast.AnnAssign):
        return False
    whole = place.parent is statement and place.field == "value"
    part = place.parent is statement.value and place.field == "elts"
    several = isinstance(place.node, ast.Tuple | ast.List | ast.Dict)
    return (whole or part) and isinstance(place.node, ast.expr) and not several


def find_repairs(
    trial: Trial, rejected: Callable[[], bool], proven_with: str, goes_on: Callable[[], bool]
) -> list[Repair]:
    """Return the repairs of a trial's backward, the smallest first.

    Parameters
    ----------
    trial : Trial
        Where its gradients are wrong.
    rejected : callable
        Returns whether any check rejects the backward as it runs at the moment.
    proven_with : str
        What `rejected` holds it to, for a reader.
    goes_on : callable
        Returns whether there is time left.
    """
    functions, arrays = reachable(trial.node.backward, trial.node.forward)
    judge = judge_of(trial, arrays)
    if judge is None:
        return []
    base = judge.gradients()
    suspects = list(suspects_of(judge, base, functions))
    for edits in _candidates(judge, suspects, base, goes_on):
        if not goes_on():
            break
        with held(edits):
            proven = not rejected()
        judge.put_back()
        if proven and (repair := _shown(edits, proven_with)):
            return [repair]
    return [] if base is None else list(_lines(judge, suspects, base, goes_on))


def _candidates(
    judge: Judge, suspects: Sequence[Suspect], base: Array | None, goes_on: Callable[[], bool]
) -> Iterator[list[Place]]:
    """Yield the changes that give the right gradients: one edit, and then one for each wrong primal."""
    for tier in (_faults_undone, _likely_insertions, _forms, _other_insertions, _calls):
        for fitting in _by_statement(_fitting(judge, tier(judge, suspects, base, goes_on), goes_on)):
            yield from ([edit] for edit in sorted(fitting, key=_size)[:MOST_PROOFS])
    yield from _added_up(judge, suspects)
    alone = judge.of_each_wrong_primal(base)
    if len(alone) < 2:
        return
    together: list[Place] = []
    for one in alone:
        those = [replace(suspect, judge=one) for suspect in suspects]
        edit = next(_of_one(one, those, base, goes_on), None)
        if edit is None or any(_overlap(edit, other) for other in together):
            return
        together.append(edit)
    with held(together):
        fits = judge.fits(judge.gradients())
    if fits:
        yield together


def _of_one(
    judge: Judge, suspects: Sequence[Suspect], base: Array | None, goes_on: Callable[[], bool]
) -> Iterator[Place]:
    for tier in (_faults_undone, _likely_insertions, _forms, _other_insertions):
        for fitting in _by_statement(_fitting(judge, tier(judge, suspects, base, goes_on), goes_on)):
            yield min(fitting, key=_size)


def _added_up(judge: Judge, suspects: Sequence[Suspect]) -> Iterator[list[Place]]:
    """Yield the change of every statement that writes at indices into one that adds up where these repeat."""
    for suspect in suspects:
        edits = []
        for place in places(suspect.function.body):
            new = [e for e in accumulated(place.node) if isinstance(e, ast.Expr)]
            if new and place.node is place.statement and _ran(place, suspect.seen.lines):
                placed(new[0], place.node)
                edits.append(Place(suspect.function, place, new[0], "adds up"))
        if len(edits) > 1:
            with held(edits):
                fits = judge.fits(judge.gradients())
            if fits:
                yield edits


def _overlap(one: Place, other: Place) -> bool:
    return any(node is other.place.node for node in ast.walk(one.place.node)) or any(
        node is one.place.node for node in ast.walk(other.place.node)
    )


@contextmanager
def held(edits: Sequence[Place]) -> Iterator[None]:
    """Have functions run with some edits, until the context ends."""
    with ExitStack() as stack:
        for edit in edits:
            stack.enter_context(temporarily_replaced(edit.place, edit.new))
        for function in {id(edit.function): edit.function for edit in edits}.values():
            stack.enter_context(function.running(function.compiled()))
        yield


def _lines(
    judge: Judge, suspects: Sequence[Suspect], base: Array, goes_on: Callable[[], bool]
) -> Iterator[Repair]:
    """Yield the lines of which each could explain all that the gradients lack, those that could explain least first."""
    found: dict[tuple[str, int], tuple[int, int]] = {}
    for suspect in suspects:
        for place in places(suspect.function.body):
            if not goes_on():
                break
            if _is_whole_value(place) and suspect.is_suspicious(place):
                told = response(suspect.function, place, judge, base)
                line = getattr(place.statement, "lineno", 0)
                if told is not None:
                    found.setdefault((suspect.function.file, line), (told.rank, len(found)))
    for file, line in sorted(found, key=lambda at: found[at])[:MOST_LINES]:
        yield Repair(file, line, linecache.getline(file, line).strip(), "")


def _by_statement(edits: Iterator[Place]) -> Iterator[list[Place]]:
    """Yield the edits of each statement together: among them the smallest is looked for."""
    for _, some in groupby(edits, key=lambda edit: id(edit.place.statement)):
        yield list(some)


def suspects_of(
    judge: Judge, base: Array | None, reached: dict[CodeType, list[FunctionType]]
) -> Iterator[Suspect]:
    """Yield the functions that backward runs through, those before the others that forward does not."""
    trial = judge.trial
    functions = [f for f in (source_function(code, some) for code, some in reached.items()) if f is not None]
    with quiet(), redirect_stdout(StringIO()):
        _, residuals = trial.forward()
        forward = executed(functions, trial.forward)
        backward = executed(functions, lambda: trial.node.backward(residuals, trial.cotangent()))
    suspects = [
        Suspect(function, seen, bool(seen.lines & before.lines), judge, base)
        for function, seen, before in zip(functions, backward, forward, strict=True)
        if seen.lines
    ]
    yield from sorted(suspects, key=lambda suspect: suspect.in_forward)


def _faults_undone(
    judge: Judge, suspects: Sequence[Suspect], base: Array | None, goes_on: Callable[[], bool]
) -> Iterator[Place]:
    """Yield the edits that people's mistakes are made of: most lead back as they lead there."""
    for suspect in suspects:
        for kind, place, new in source_edits(suspect.function.body):
            if suspect.is_suspicious(place):
                yield Place(suspect.function, place, new, kind)


def _likely_insertions(
    judge: Judge, suspects: Sequence[Suspect], base: Array | None, goes_on: Callable[[], bool]
) -> Iterator[Place]:
    """Yield the edits that put in what people leave out: signs, transposes, sums of several writes."""
    for suspect in suspects:
        yield from _edited(suspect, LIKELY)


def _other_insertions(
    judge: Judge, suspects: Sequence[Suspect], base: Array | None, goes_on: Callable[[], bool]
) -> Iterator[Place]:
    """Yield the edits of which there are many: axes, bounds, numbers; and operands where backward raises."""
    for suspect in suspects:
        # nothing is known of what it lacks then, and all that is in scope is tried
        operands = [("operand", operands_put(_array_names(suspect)))] if base is None else []
        yield from _edited(suspect, [*OTHERS, *operands])


def _edited(suspect: Suspect, edits: Sequence[tuple[str, Edit]]) -> Iterator[Place]:
    for place in places(suspect.function.body):
        if suspect.is_suspicious(place):
            for kind, edit in edits:
                for new in edit(place.node):
                    yield Place(suspect.function, place, new, kind)


def _calls(
    judge: Judge, suspects: Sequence[Suspect], base: Array | None, goes_on: Callable[[], bool]
) -> Iterator[Place]:
    """Yield the edits that put a call in which stands elsewhere in the same file."""
    for suspect in suspects:
        edit = calls_put([suspect.function.body, *neighbours(suspect.function)], _array_names(suspect))
        for place in places(suspect.function.body):
            if suspect.is_suspicious(place):
                for new in edit(place.node):
                    yield Place(suspect.function, place, new, "call")


def _array_names(suspect: Suspect) -> list[str]:
    """Return the variables of a function that hold arrays, and tuples of lengths."""
    scope = suspect.seen.scope
    return [name for name, value in scope.items() if as_array(value) is not None or _is_shape(value)]


def _is_shape(value: Any) -> bool:
    return isinstance(value, tuple) and all(isinstance(n, int) for n in value)


def _forms(
    judge: Judge, suspects: Sequence[Suspect], base: Array | None, goes_on: Callable[[], bool]
) -> Iterator[Place]:
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
            for new in mended_expressions(told, suspect.function, tolerance):
                yield Place(suspect.function, place, new, "form")


def _ran(place: SyntaxPlace, lines: set[int]) -> bool:
    first = getattr(place.statement, "lineno", 0)
    if isinstance(place.statement, ast.If | ast.For | ast.While | ast.With | ast.Try | ast.FunctionDef):
        return first in lines
    return any(
        line in lines for line in range(first, (getattr(place.statement, "end_lineno", first) or first) + 1)
    )


def _fitting(judge: Judge, edits: Iterator[Place], goes_on: Callable[[], bool]) -> Iterator[Place]:
    """Yield the edits under which backward gives the gradients that are wanted."""
    seen: set[Any] = set()
    for edit in edits:
        if not goes_on():
            return
        placed(edit.new, edit.place.node)
        try:
            with temporarily_replaced(edit.place, edit.new):
                code = edit.function.compiled()
        except (SyntaxError, ValueError, TypeError, RecursionError):
            continue
        key = (edit.function.code, code.co_code, code.co_consts, code.co_names, code.co_varnames)
        if key in seen:
            continue
        seen.add(key)
        with edit.function.running(code):
            fits = judge.fits(judge.gradients())
        if fits:
            yield edit


def _size(edit: Place) -> int:
    """Return how large an edit is: what it puts in counts twice, in tokens, and what it takes out once."""
    old, new = (tokens_of(ast.unparse(ast.fix_missing_locations(n))) for n in (edit.place.node, edit.new))
    matcher = SequenceMatcher(None, old, new, autojunk=False)
    return sum(b - a + 2 * (d - c) for op, a, b, c, d in matcher.get_opcodes() if op != "equal")


def _shown(edits: Sequence[Place], proven_with: str) -> Repair | None:
    """Return the change of a file that some edits are; None if they are of several, or no text gives them."""
    files = {edit.function.file for edit in edits}
    if len(files) > 1:
        return None
    (file,) = files
    text = "".join(linecache.getlines(file))
    with ExitStack() as stack:
        for edit in edits:
            stack.enter_context(temporarily_replaced(edit.place, edit.new))
        changes = [Change(edit.place.node, edit.new) for edit in edits]
        mended = edited_text(text, changes, [edit.function.definition for edit in edits])
    return repair_of(file, text, mended, proven_with) if mended else None
