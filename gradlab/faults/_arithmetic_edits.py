"""Edits of arithmetic: operators, signs, terms, factors, numbers and their order.

An edit takes a node of the syntax tree and yields the nodes that could stand there instead, each one mistake away.
"""

import ast
from collections.abc import Iterator

from gradlab.faults.syntax_nodes import changed, negative, number, number_in, shifted

SWAPPED_OPERATORS: dict[type[ast.operator], type[ast.operator]] = {
    ast.Add: ast.Sub,
    ast.Sub: ast.Add,
    ast.Mult: ast.Div,
    ast.Div: ast.Mult,
    ast.FloorDiv: ast.Mult,
    ast.Mod: ast.FloorDiv,
    ast.MatMult: ast.Mult,
    ast.BitAnd: ast.BitOr,
    ast.BitOr: ast.BitAnd,
}
SWAPPED_FUNCTIONS = (
    ("maximum", "minimum"),
    ("exp", "expm1"),
    ("log", "log1p"),
    ("sin", "cos"),
    ("sinh", "cosh"),
    ("zeros", "ones"),
    ("zeros_like", "ones_like"),
    ("floor", "ceil"),
    ("logical_and", "logical_or"),
)
COMMUTATIVE = {"add", "multiply", "maximum", "minimum", "logical_and", "logical_or", "isclose", "array_equal"}


def called(node: ast.AST) -> str:
    """Return the last name of the function that a call calls, without its module or object."""
    if not isinstance(node, ast.Call):
        return ""
    function = node.func
    return getattr(function, "attr", getattr(function, "id", ""))


def renamed(node: ast.Call, name: str) -> ast.Call:
    """Return a call of another function of the same module or object."""
    if isinstance(node.func, ast.Attribute):
        return changed(node, func=changed(node.func, attr=name))
    return changed(node, func=ast.Name(name, ast.Load()))


def operator_swapped(node: ast.AST) -> Iterator[ast.AST]:
    """Put - for +, / for *, and the other way round."""
    if isinstance(node, ast.BinOp | ast.AugAssign) and type(node.op) in SWAPPED_OPERATORS:
        yield changed(node, op=SWAPPED_OPERATORS[type(node.op)]())
    if isinstance(node, ast.BoolOp):
        yield changed(node, op=ast.Or() if isinstance(node.op, ast.And) else ast.And())


def sign_changed(node: ast.AST) -> Iterator[ast.AST]:
    """Drop a minus sign, or put one before a result, an assigned value or the first of two terms."""
    value = number_in(node)
    if value is not None:
        yield number(-value)
    elif isinstance(node, ast.UnaryOp) and isinstance(node.op, ast.USub):
        yield node.operand
    if isinstance(node, ast.Return) and isinstance(node.value, ast.Tuple):
        for i, result in enumerate(node.value.elts):
            if not isinstance(result, ast.Starred):
                results = [negative(e) if i == j else e for j, e in enumerate(node.value.elts)]
                yield changed(node, value=changed(node.value, elts=results))
    if isinstance(node, ast.Assign | ast.AugAssign) and isinstance(node.value, ast.BinOp | ast.Call):
        yield changed(node, value=negative(node.value))
    if isinstance(node, ast.BinOp) and isinstance(node.op, ast.Add | ast.Sub):
        yield changed(node, left=negative(node.left))


def term_dropped(node: ast.AST) -> Iterator[ast.AST]:
    """Leave one side of a sum or a difference."""
    if isinstance(node, ast.BinOp) and isinstance(node.op, ast.Add | ast.Sub):
        yield node.left
        yield node.right if isinstance(node.op, ast.Add) else negative(node.right)


def factor_dropped(node: ast.AST) -> Iterator[ast.AST]:
    """Leave one side of a product or a quotient, or the base of a power."""
    if isinstance(node, ast.BinOp) and isinstance(node.op, ast.Mult | ast.MatMult | ast.Div):
        yield node.left
        yield changed(node, left=ast.Constant(1)) if isinstance(node.op, ast.Div) else node.right
    if isinstance(node, ast.BinOp) and isinstance(node.op, ast.Pow):
        yield node.left


def exponent_changed(node: ast.AST) -> Iterator[ast.AST]:
    """Raise the exponent by 1, lower it by 1, or put a product for the power."""
    if isinstance(node, ast.BinOp) and isinstance(node.op, ast.Pow):
        yield changed(node, right=shifted(node.right, 1))
        yield changed(node, right=shifted(node.right, -1))
        yield changed(node, op=ast.Mult())


def constant_changed(node: ast.AST) -> Iterator[ast.AST]:
    """Add 1 to a whole number or take 1 away, double or halve any other, exchange True and False."""
    value = number_in(node)
    if isinstance(node, ast.Constant) and isinstance(node.value, bool):
        yield ast.Constant(not node.value)
    elif isinstance(value, int):
        yield number(value + 1)
        yield number(value - 1)
    elif isinstance(value, float):
        yield number(2 * value if value else 1.0)
        yield number(value / 2 if value else -1.0)


def operands_swapped(node: ast.AST) -> Iterator[ast.AST]:
    """Exchange two neighbours whose order matters: sides of an operator, arguments of a call, results of a tuple."""
    if isinstance(node, ast.BinOp) and isinstance(node.op, ast.Sub | ast.Div | ast.MatMult | ast.Pow):
        yield changed(node, left=node.right, right=node.left)
    if isinstance(node, ast.Call) and called(node) not in COMMUTATIVE:
        for args in _neighbours_swapped(node.args):
            yield changed(node, args=args)
    if isinstance(node, ast.Return | ast.Assign) and isinstance(node.value, ast.Tuple):
        for elts in _neighbours_swapped(node.value.elts):
            yield changed(node, value=changed(node.value, elts=elts))
    if isinstance(node, ast.Assign) and isinstance(node.targets[0], ast.Tuple):
        target = node.targets[0]
        for elts in _neighbours_swapped(target.elts):
            yield changed(node, targets=[changed(target, elts=elts), *node.targets[1:]])


def _neighbours_swapped(items: list[ast.expr]) -> Iterator[list[ast.expr]]:
    for i in range(len(items) - 1):
        if not any(isinstance(item, ast.Starred) for item in items[i : i + 2]):
            yield [*items[:i], items[i + 1], items[i], *items[i + 2 :]]


def function_swapped(node: ast.AST) -> Iterator[ast.AST]:
    """Call a function's counterpart: the minimum for the maximum, ones for zeros."""
    for pair in SWAPPED_FUNCTIONS:
        if isinstance(node, ast.Call) and called(node) in pair:
            yield renamed(node, pair[1 - pair.index(called(node))])
