"""The functions that a wrong backward runs through, and which places in them can be at fault."""

import ast
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from io import StringIO
from types import CodeType, FunctionType

import numpy as np

from gradlab.checks.trial import quiet
from gradlab.faults.syntax_places import SyntaxPlace, places
from gradlab.node import Array
from gradlab.repair._executed import Executed, executed
from gradlab.repair._judge import Judge
from gradlab.repair._responses import can_explain
from gradlab.repair._source_function import SourceFunction, source_function
from gradlab.workers.lock_free import cached_property
from gradlab.workers.threads import printing_into


@dataclass(frozen=True, eq=False)
class Suspect:
    """A function that backward runs through, and what was seen of it.

    `near` is the syntax of its file that ran in forward or backward: nothing else of a file is ever called.
    """

    function: SourceFunction
    seen: Executed
    in_forward: bool
    judge: Judge
    base: Array | None
    near: Sequence[ast.AST]

    def is_suspicious(self, place: SyntaxPlace) -> bool:
        """Return whether a place ran, and what its statement gives there can explain what the gradients lack."""
        if not ran(place, self.seen.lines):
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
            if is_whole_value(place):
                for node in ast.walk(place.node):
                    found.setdefault(id(node), place)
        return found


def is_whole_value(place: SyntaxPlace) -> bool:
    """Return whether at a place stands all that a statement assigns or returns, or one of several such things."""
    statement = place.statement
    if not isinstance(statement, ast.Assign | ast.Return | ast.AugAssign | ast.AnnAssign):
        return False
    whole = place.parent is statement and place.field == "value"
    part = place.parent is statement.value and place.field == "elts"
    several = isinstance(place.node, ast.Tuple | ast.List | ast.Dict)
    return (whole or part) and isinstance(place.node, ast.expr) and not several


def suspects_of(
    judge: Judge, base: Array | None, reached: dict[CodeType, list[FunctionType]]
) -> Iterator[Suspect]:
    """Yield the functions that backward runs through, those before the others that forward does not."""
    trial = judge.trial
    functions = [f for f in (source_function(code, some) for code, some in reached.items()) if f is not None]
    with quiet(), printing_into(StringIO()):
        g = trial.cotangent()
        forward, backward = executed(
            functions, trial.forward, lambda run: trial.node.backward(run[1], g) if run else None
        )
    near: dict[str, list[ast.AST]] = {}
    for function, *both in zip(functions, forward, backward, strict=True):
        lines = both[0].lines | both[1].lines
        ran_here = (place.node for place in places(function.body) if ran(place, lines))
        near.setdefault(function.file, []).extend(ran_here)
    suspects = [
        Suspect(function, seen, bool(seen.lines & before.lines), judge, base, near[function.file])
        for function, seen, before in zip(functions, backward, forward, strict=True)
        if seen.lines
    ]
    yield from sorted(suspects, key=lambda suspect: suspect.in_forward)


def ran(place: SyntaxPlace, lines: set[int]) -> bool:
    """Return whether the statement at a place is among the lines that ran; of a block its first line counts."""
    first = getattr(place.statement, "lineno", 0)
    if isinstance(place.statement, ast.If | ast.For | ast.While | ast.With | ast.Try | ast.FunctionDef):
        return first in lines
    return any(
        line in lines for line in range(first, (getattr(place.statement, "end_lineno", first) or first) + 1)
    )
