"""What a call runs through: the functions, the lines of each, and what its variables held."""

import ast
import sys
from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack, suppress
from copy import deepcopy
from dataclasses import dataclass, field
from typing import Any

from gradlab.repair._source_function import SourceFunction, placed

RECORDER = "_gradlab_recorder"
# Of so many lines the variables are kept: a loop shows them all in its first rounds.
ENOUGH = 400


@dataclass
class Executed:
    """What was seen of one function.

    Attributes
    ----------
    lines : set of int
        The lines of its file at which a statement ran.
    scope : dict
        Its variables, as they were seen last.
    """

    lines: set[int] = field(default_factory=set)
    scope: dict[str, Any] = field(default_factory=dict)
    seen: int = 0


def executed(
    functions: Sequence[SourceFunction], first: Callable[[], Any], then: Callable[[Any], Any]
) -> tuple[list[Executed], list[Executed]]:
    """Return what two calls run through of each of some functions; the second is given what the first returned.

    They run with a note before each statement, as Python's own tracing belongs to debuggers and to coverage.
    """
    before, after = [Executed() for _ in functions], [Executed() for _ in functions]
    found = before

    def note(number: int, line: int) -> None:
        what = found[number]
        what.lines.add(line)
        what.seen += 1
        if what.seen <= ENOUGH:
            what.scope |= sys._getframe(1).f_locals

    with ExitStack() as stack:
        spaces = {id(f.__globals__): f.__globals__ for function in functions for f in function.functions}
        for space in spaces.values():
            space[RECORDER] = note
            stack.callback(space.pop, RECORDER, None)
        for number, function in enumerate(functions):
            body = deepcopy(function.body)
            _Noted(number).visit(body)
            with suppress(SyntaxError, ValueError):
                stack.enter_context(function.running(function.compiled(body)))
        returned = None
        with suppress(Exception, SystemExit):  # what it came through before it raised is seen as well
            returned = first()
        found = after
        with suppress(Exception, SystemExit):
            then(returned)
    return before, after


class _Noted(ast.NodeTransformer):
    """Puts a note before each statement of a function, and of those inside it."""

    def __init__(self, number: int) -> None:
        self.number = number

    def visit(self, node: ast.AST) -> ast.AST:
        """Return a node in which each list of statements has notes."""
        self.generic_visit(node)
        for name in ("body", "orelse", "finalbody"):
            block = getattr(node, name, None)
            if isinstance(block, list) and block and isinstance(block[0], ast.stmt):
                setattr(node, name, [part for statement in block for part in self._noted(statement)])
        return node

    def _noted(self, statement: ast.stmt) -> Iterator[ast.stmt]:
        line = getattr(statement, "lineno", 0)
        arguments: list[ast.expr] = [ast.Constant(self.number), ast.Constant(line)]
        note = ast.Call(ast.Name(RECORDER, ast.Load()), arguments, [])
        noted = ast.Expr(note)
        placed(noted, statement)
        yield noted
        yield statement
