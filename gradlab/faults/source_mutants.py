"""Mutants of the source of a backward: every function that is one mistake away from the right one."""

import ast
import inspect
import textwrap
from collections.abc import Callable
from dataclasses import replace
from functools import partial
from typing import Any

from gradlab.faults._mutant import Mutant
from gradlab.faults.normal_form import normal_form
from gradlab.faults.source_edits import source_edits
from gradlab.faults.syntax_places import SyntaxPlace, first_line, temporarily_replaced
from gradlab.node import Node
from gradlab.workers.threads import without_warnings


def source_mutants(node: Node) -> list[Mutant]:
    """Return every first-order mutant of the source of a node's backward.

    The function is parsed, one node of its syntax tree is replaced, and the result is compiled among the globals of
    the module that the function comes from: no file is written. Of mutants that write the same arithmetic in
    different ways one is kept. A backward without a source of its own (a lambda among other code, a compiled
    function) has no mutants.
    """
    function = syntax_tree(node.backward)
    if function is None:
        return []
    # a mutant differs from the right function in one statement, so that this statement says whether it is new
    seen = {(i, normal_form(statement)) for i, statement in enumerate(function.body)}
    found = []
    for fault, place, new in source_edits(function):
        with temporarily_replaced(place, new):
            key = place.statement_number, normal_form(function.body[place.statement_number])
            source = "" if key in seen else ast.unparse(function)
            after = first_line(new if place.node is place.statement else place.statement) if source else ""
        if source and _compiles(source):
            seen.add(key)
            make = partial(_compiled_node, node, source, function.name)
            text = f"{_line_of(place)}: {first_line(place.statement)} -> {after}"
            found.append(Mutant(node.name, f"source: {fault}", text, make))
    return found


def syntax_tree(function: Callable[..., Any]) -> ast.FunctionDef | None:
    """Return the syntax tree of a function written with def; None if its source cannot be found or is no def."""
    try:
        tree = ast.parse(textwrap.dedent(inspect.getsource(function)))
    except (OSError, TypeError, SyntaxError):
        return None
    found = tree.body[0] if len(tree.body) == 1 else None
    return found if isinstance(found, ast.FunctionDef) else None


def _line_of(place: SyntaxPlace) -> str:
    return f"line {getattr(place.statement, 'lineno', 0)} of backward"


def _compiles(source: str) -> bool:
    # what is no Python (`return` of a starred expression, say) is nobody's mistake
    try:
        with without_warnings():
            compile(source, "<mutant>", "exec")
    except SyntaxError:
        return False
    return True


def _compiled_node(node: Node, source: str, name: str) -> Node:
    right = inspect.unwrap(node.backward)
    namespace = {**right.__globals__, **inspect.getclosurevars(right).nonlocals}
    with without_warnings():  # "is" with a literal, a call of a number: a mutant may well look odd
        exec(compile(source, f"<mutant of {node.name}>", "exec"), namespace)
    return replace(node, backward=namespace[name])
