"""Places in a syntax tree, and what one of them looks like with another node put there."""

import ast
from collections.abc import Iterator
from contextlib import contextmanager
from copy import deepcopy
from typing import Any, NamedTuple, TypeVar

Tree = TypeVar("Tree", bound=ast.AST)

# what is no part of the computation: annotations, decorators, and the words of an error message
SKIPPED_FIELDS = {"annotation", "returns", "decorator_list", "args", "type_params"}
SKIPPED_NODES = (ast.Raise, ast.Assert, ast.JoinedStr, ast.expr_context)


class SyntaxPlace(NamedTuple):
    """Where a node hangs in its tree, and the statement that it is a part of, or is.

    `number` is that of the statement of the function's own body in which all this lies.
    """

    node: ast.AST
    parent: ast.AST
    field: str
    at: int | None
    statement: ast.AST
    number: int


def places(function: ast.FunctionDef) -> Iterator[SyntaxPlace]:
    """Yield every place in the body of a function, from the top down, in the order of the source.

    A number with a minus sign is one place.
    """
    for index, statement in enumerate(function.body):
        documentation = isinstance(statement, ast.Expr) and isinstance(statement.value, ast.Constant)
        if not documentation:
            yield from _below(SyntaxPlace(statement, function, "body", index, statement, index))


def _below(place: SyntaxPlace) -> Iterator[SyntaxPlace]:
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
                yield from _below(SyntaxPlace(child, node, field, index, statement, place.number))


@contextmanager
def put(new: ast.AST, place: SyntaxPlace) -> Iterator[None]:
    """Hang `new` into the tree in the place of the node that is there, for as long as it is looked at."""
    _hang(new, place)
    try:
        yield
    finally:
        _hang(place.node, place)


def _hang(node: ast.AST, place: SyntaxPlace) -> None:
    if place.at is None:
        setattr(place.parent, place.field, node)
    else:
        getattr(place.parent, place.field)[place.at] = node


def changed(node: Tree, **fields: Any) -> Tree:
    """Return a copy of a node with other fields; its children are shared."""
    copy = type(node)(**({name: getattr(node, name, None) for name in node._fields} | fields))
    return ast.copy_location(copy, node)


def line(statement: ast.AST) -> str:
    """Return the source of a statement, of a compound one its first line."""
    return ast.unparse(statement).partition("\n")[0]


def number_in(node: ast.AST | None) -> int | float | None:
    """Return the number that a node writes out, with its minus sign; None if it is anything else."""
    if isinstance(node, ast.UnaryOp) and isinstance(node.op, ast.USub):
        bare = number_in(node.operand)
        return None if bare is None else -bare
    value = node.value if isinstance(node, ast.Constant) else None
    return value if isinstance(value, int | float) and not isinstance(value, bool) else None


def number(value: int | float) -> ast.expr:
    """Return the syntax of a number: a negative one is a minus sign before a positive one."""
    return ast.Constant(value) if value >= 0 else ast.UnaryOp(ast.USub(), ast.Constant(-value))


def negative(node: ast.expr) -> ast.expr:
    """Return the syntax of -node, without a second minus where there is one, before its first factor too."""
    if isinstance(node, ast.UnaryOp) and isinstance(node.op, ast.USub):
        return node.operand
    if isinstance(node, ast.BinOp) and isinstance(node.op, ast.Mult | ast.Div) and _minus(node.left):
        return changed(node, left=negative(node.left))
    return ast.UnaryOp(ast.USub(), node)


def shifted(node: ast.expr, by: int) -> ast.expr:
    """Return the syntax of node + by, worked out as far as it can be."""
    value = number_in(node)
    if value is not None:
        return number(value + by)
    if isinstance(node, ast.BinOp) and isinstance(node.op, ast.Add | ast.Sub):
        last = number_in(node.right)
        if last is not None:
            total = (last if isinstance(node.op, ast.Add) else -last) + by
            return _plus(node.left, total) if total else node.left
    return _plus(node, by)


def _plus(node: ast.expr, value: int | float) -> ast.expr:
    return ast.BinOp(node, ast.Add() if value > 0 else ast.Sub(), ast.Constant(abs(value)))


def normal_form(statement: ast.stmt) -> str:
    """Return a source that is the same for trees which differ only in how they write the same arithmetic.

    The rules keep every bit of the result, but for the sign of a zero: 1 * a is a, a + -b is a - b, and a minus
    sign can stand before any factor.
    """
    return ast.unparse(_Normal().visit(deepcopy(statement)))


class _Normal(ast.NodeTransformer):
    def visit_UnaryOp(self, node: ast.UnaryOp) -> ast.expr:
        self.generic_visit(node)
        if not isinstance(node.op, ast.USub):
            return node
        operand = node.operand
        if isinstance(operand, ast.BinOp) and isinstance(operand.op, ast.Sub):
            return changed(operand, left=operand.right, right=operand.left)
        return negative(operand)

    def visit_BinOp(self, node: ast.BinOp) -> ast.expr:
        self.generic_visit(node)
        left, right = node.left, node.right
        if isinstance(node.op, ast.Mult | ast.Div):
            return _product(node)
        if isinstance(node.op, ast.Pow) and number_in(right) == 1:
            return left
        if not isinstance(node.op, ast.Add | ast.Sub):
            return node
        if number_in(right) == 0:
            return left
        if number_in(left) == 0:
            return right if isinstance(node.op, ast.Add) else negative(right)
        if _minus(right):
            return changed(node, op=_other_sign(node.op), right=negative(right))
        return node


def _product(node: ast.BinOp) -> ast.expr:
    left, right = node.left, node.right
    if _minus(left):
        return negative(_product(changed(node, left=negative(left))))
    if _minus(right):
        return negative(_product(changed(node, right=negative(right))))
    if number_in(right) == 1:
        return left
    return right if number_in(left) == 1 and isinstance(node.op, ast.Mult) else node


def _minus(node: ast.expr) -> bool:
    return isinstance(node, ast.UnaryOp) and isinstance(node.op, ast.USub)


def _other_sign(op: ast.operator) -> ast.operator:
    return ast.Sub() if isinstance(op, ast.Add) else ast.Add()
