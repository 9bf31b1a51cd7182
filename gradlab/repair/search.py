"""The search for a repair: small edits of what a wrong backward runs through, until one gives the right gradients."""

import ast
import linecache
from collections.abc import Callable, Collection, Iterator, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import replace
from difflib import SequenceMatcher
from functools import partial
from itertools import groupby
from typing import Any

from gradlab.checks.trial import Trial
from gradlab.faults.syntax_places import SyntaxPlace, places, temporarily_replaced
from gradlab.node import Array
from gradlab.repair._difference import are_cotangents
from gradlab.repair._expression_values import expression_values
from gradlab.repair._insertions import accumulated
from gradlab.repair._judge import Judge, judge_of
from gradlab.repair._mistake_names import mistake_of
from gradlab.repair._needed_values import mistake_at
from gradlab.repair._other_lengths import counts, is_right_at_other_lengths
from gradlab.repair._reachable import reachable
from gradlab.repair._rendering import Change, edited_text, tokens_of
from gradlab.repair._responses import Response, as_assigned, response
from gradlab.repair._source_function import placed
from gradlab.repair._suspects import Suspect, is_whole_value, ran, suspects_of
from gradlab.repair._tiers import TIERS, Candidate
from gradlab.repair.proposal import Repair, repair_of

# So many candidates that give the right gradients are held to the checks, the smallest first.
MOST_PROOFS = 12
# A change that was not proven tells a line only if it is no larger: among large ones some fit by chance.
LARGEST_UNPROVEN = 12
# So many lines are named where no change was found.
MOST_LINES = 3
# The share of the time in which a change is looked for; what is left of it is for the lines.
FOR_CHANGES = 0.75


def find_repairs(
    trial: Trial, rejected: Callable[[], bool], proven_with: str, spent: Callable[[], float]
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
    spent : callable
        Returns which share of the time is spent.
    """
    functions, contents = reachable(trial.node.backward, trial.node.forward)
    judge = judge_of(trial, contents)
    if judge is None:
        return []
    base = judge.gradients()
    wrong = () if base is None else judge.wrong_primals(base)
    suspects = list(suspects_of(judge, base, functions))
    unproven: list[Candidate] = []
    for edits in _candidates(judge, suspects, base, lambda: spent() < FOR_CHANGES):
        if spent() >= 1:
            unproven += edits
            break
        with held(edits):
            proven = not rejected()
            if proven and counts(edits):
                proven = is_right_at_other_lengths(trial)
        judge.put_back()
        if proven and (repair := _shown(edits, proven_with, wrong, trial)):
            return [repair]
        unproven += edits
    small = (edit for edit in unproven if _size(edit) <= LARGEST_UNPROVEN)
    lines = {(repair.file, repair.line): repair for repair in (_line_of(edit, wrong) for edit in small)}
    if base is not None and len(lines) < MOST_LINES:
        for repair in _lines(judge, suspects, base, lambda: spent() < 1):
            lines.setdefault((repair.file, repair.line), repair)
    return list(lines.values())[:MOST_LINES]


def _candidates(
    judge: Judge, suspects: Sequence[Suspect], base: Array | None, goes_on: Callable[[], bool]
) -> Iterator[list[Candidate]]:
    """Yield the changes that give the right gradients: one edit, and then one for each wrong primal."""
    for tier in TIERS:
        for fitting in _by_statement(_fitting(judge, tier(judge, suspects, base, goes_on), goes_on)):
            yield from ([edit] for edit in sorted(fitting, key=_size)[:MOST_PROOFS])
    yield from _added_up(judge, suspects)
    alone = judge.of_each_wrong_primal(base)
    if len(alone) < 2:
        return
    together: list[Candidate] = []
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
) -> Iterator[Candidate]:
    for tier in TIERS[:-1]:
        for fitting in _by_statement(_fitting(judge, tier(judge, suspects, base, goes_on), goes_on)):
            yield min(fitting, key=_size)


def _added_up(judge: Judge, suspects: Sequence[Suspect]) -> Iterator[list[Candidate]]:
    """Yield the change of every statement that writes at indices into one that adds up where these repeat."""
    for suspect in suspects:
        edits = []
        for place in places(suspect.function.body):
            new = [e for e in accumulated(place.node) if isinstance(e, ast.Expr)]
            if new and place.node is place.statement and ran(place, suspect.seen.lines):
                placed(new[0], place.node)
                edits.append(Candidate(suspect.function, place, new[0]))
        if len(edits) > 1:
            with held(edits):
                fits = judge.fits(judge.gradients())
            if fits:
                yield edits


def _overlap(one: Candidate, other: Candidate) -> bool:
    return any(node is other.place.node for node in ast.walk(one.place.node)) or any(
        node is one.place.node for node in ast.walk(other.place.node)
    )


@contextmanager
def held(edits: Sequence[Candidate]) -> Iterator[None]:
    """Have functions run with some edits, until the context ends."""
    with ExitStack() as stack:
        for edit in edits:
            stack.enter_context(temporarily_replaced(edit.place, edit.new))
        for function in {id(edit.function): edit.function for edit in edits}.values():
            stack.enter_context(function.running(function.compiled()))
        yield


def _line_of(edit: Candidate, wrong: Collection[str]) -> Repair:
    """Return the line that an edit changes, which gives the right gradients and was not proven."""
    return _line(edit.function.file, getattr(edit.place.statement, "lineno", 0), mistake_of(edit, wrong))


def _line(file: str, line: int, mistake: str = "") -> Repair:
    return Repair(file, line, linecache.getline(file, line).strip(), "", mistake=mistake)


def _lines(
    judge: Judge, suspects: Sequence[Suspect], base: Array, goes_on: Callable[[], bool]
) -> Iterator[Repair]:
    """Yield the lines of which each could explain all that the gradients lack, those that could explain least first."""
    found: dict[tuple[str, int], tuple[int, int]] = {}
    mistakes: dict[tuple[str, int], str] = {}
    for suspect in suspects:
        for place in places(suspect.function.body):
            if not goes_on():
                break
            told = _response_of_line(suspect, place, judge, base) if suspect.is_suspicious(place) else None
            if told is not None:
                at = suspect.function.file, getattr(place.statement, "lineno", 0)
                found.setdefault(at, (told.rank, len(found)))
                mistakes[at] = mistakes.get(at) or mistake_at(told, suspect.function.body)
    for at in sorted(found, key=lambda at: found[at]):
        yield _line(*at, mistakes[at])


def _response_of_line(suspect: Suspect, place: SyntaxPlace, judge: Judge, base: Array) -> Response | None:
    """Return how the gradients respond to what a statement assigns, if that can explain what they lack."""
    if is_whole_value(place):
        return response(suspect.function, place, judge, base)
    # of what is written into items all may be wrong, also where a number is added
    item = as_assigned(place)
    if item is None:
        return None
    with temporarily_replaced(place, item.parent):
        return response(suspect.function, item, judge, base)


def _by_statement(edits: Iterator[Candidate]) -> Iterator[list[Candidate]]:
    """Yield the edits of each statement together: among them the smallest is looked for."""
    for _, some in groupby(edits, key=lambda edit: id(edit.place.statement)):
        yield list(some)


def _fitting(judge: Judge, edits: Iterator[Candidate], goes_on: Callable[[], bool]) -> Iterator[Candidate]:
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


def _size(edit: Candidate) -> int:
    """Return how large an edit is: what it puts in counts twice, in tokens, and what it takes out once."""
    old, new = (tokens_of(ast.unparse(ast.fix_missing_locations(n))) for n in (edit.place.node, edit.new))
    matcher = SequenceMatcher(None, old, new, autojunk=False)
    return sum(b - a + 2 * (d - c) for op, a, b, c, d in matcher.get_opcodes() if op != "equal")


def _shown(
    edits: Sequence[Candidate], proven_with: str, wrong: Collection[str], trial: Trial
) -> Repair | None:
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
    if not mended:
        return None
    names = (
        mistake_of(edit, wrong, partial(expression_values, function=edit.function, trial=trial))
        for edit in edits
    )
    mistake = _exchange(edits) or next(filter(None, names), "")
    return replace(repair_of(file, text, mended, proven_with), mistake=mistake)


def _exchange(edits: Sequence[Candidate]) -> str:
    """Return the mistake that two edits take back which put each what stands in the other's place; else nothing."""
    if len(edits) != 2:
        return ""
    (a, b), (c, d) = ((ast.unparse(edit.place.node), ast.unparse(edit.new)) for edit in edits)
    if (a, b) != (d, c):
        return ""
    return "wrong-cotangent" if are_cotangents([a, b]) else "swapped-primals"
