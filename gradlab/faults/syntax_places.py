"""Places in the syntax tree of a function: where a node hangs, and another node may be put for a while."""

import ast
from collections.abc import Iterator
from contextlib import contextmanager
from typing import NamedTuple

from gradlab.faults.syntax_nodes import number_in

# these are no part of the computation: annotations, decorators, and the words of an error message
SKIPPED_FIELDS = {"annotation", "returns", "decorator_list", "args", "type_params"}
SKIPPED_NODES = (ast.Raise, ast.Assert, ast.JoinedStr, ast.expr_context)


class SyntaxPlace(NamedTuple):
    """Where a node hangs in its tree: in a field of its parent, at a position where that field is a list.

    `statement` is the innermost statement that the node is a part of, or the node itself, and `statement_number` the
    number of the statement of the function's body that contains it.
    """

    node: ast.AST
    parent: ast.AST
    field: str
    position: int | None
    statement: ast.AST
    statement_number: int


def places(function: ast.FunctionDef) -> Iterator[SyntaxPlace]:
    """Yield every place in the body of a function, from the top down, in the order of the source.

    A number with a minus sign is one place.
    """
    for index, statement in enumerate(function.body):
        documentation = isinstance(statement, ast.Expr) and isinstance(statement.value, ast.Constant)
        if not documentation:
            yield from _places_below(SyntaxPlace(statement, function, "body", index, statement, index))


def _places_below(place: SyntaxPlace) -> Iterator[SyntaxPlace]:
    node = place.node
    if isinstance(node, SKIPPED_NODES):
        return
    yield place
    if number_in(node) is not None:
        return
    for field, value in ast.iter_fields(node):
        # the arguments of a call are a list, those of an inner function a node of its own
        if field in SKIPPED_FIELDS and not isinstance(node, ast.Call):
            continue
        children = enumerate(value) if isinstance(value, list) else [(None, value)]
        for index, child in children:
            if isinstance(child, ast.AST):
                statement = child if isinstance(child, ast.stmt) else place.statement
                yield from _places_below(
                    SyntaxPlace(child, node, field, index, statement, place.statement_number)
                )


@contextmanager
def temporarily_replaced(place: SyntaxPlace, new: ast.AST) -> Iterator[None]:
    """Have `new` in the tree instead of the node at a place, until the context ends."""
    _set_node(place, new)
    try:
        yield
    finally:
        _set_node(place, place.node)


def _set_node(place: SyntaxPlace, node: ast.AST) -> None:
    if place.position is None:
        setattr(place.parent, place.field, node)
    else:
        getattr(place.parent, place.field)[place.position] = node


def first_line(statement: ast.AST) -> str:
    """Return the first line of a statement's source."""
    return ast.unparse(statement).partition("\n")[0]
