"""Nodes of a syntax tree, made from others: a changed copy, a number, a negative, a sum."""

import ast
from typing import Any, TypeVar

Tree = TypeVar("Tree", bound=ast.AST)


def changed(node: Tree, **fields: Any) -> Tree:
    """Return a copy of a node with other fields; its children are shared."""
    copy = type(node)(**({name: getattr(node, name, None) for name in node._fields} | fields))
    return ast.copy_location(copy, node)


def number_in(node: ast.AST | None) -> int | float | None:
    """Return the number that a node writes out, with its minus sign; None if the node is anything else."""
    if isinstance(node, ast.UnaryOp) and isinstance(node.op, ast.USub):
        bare = number_in(node.operand)
        return None if bare is None else -bare
    value = node.value if isinstance(node, ast.Constant) else None
    return value if isinstance(value, int | float) and not isinstance(value, bool) else None


def number(value: int | float) -> ast.expr:
    """Return the syntax of a number: a negative one is a minus sign before a positive one."""
    return ast.Constant(value) if value >= 0 else ast.UnaryOp(ast.USub(), ast.Constant(-value))


def negative(node: ast.expr) -> ast.expr:
    """Return the syntax of -node; a minus sign before the node, or before its first factor, is taken away instead."""
    if isinstance(node, ast.UnaryOp) and isinstance(node.op, ast.USub):
        return node.operand
    if isinstance(node, ast.BinOp) and isinstance(node.op, ast.Mult | ast.Div) and has_minus(node.left):
        return changed(node, left=negative(node.left))
    return ast.UnaryOp(ast.USub(), node)


def shifted(node: ast.expr, by: int) -> ast.expr:
    """Return the syntax of node + by, with numbers added up where there are two."""
    value = number_in(node)
    if value is not None:
        return number(value + by)
    if isinstance(node, ast.BinOp) and isinstance(node.op, ast.Add | ast.Sub):
        last = number_in(node.right)
        if last is not None:
            total = (last if isinstance(node.op, ast.Add) else -last) + by
            return _sum_with(node.left, total) if total else node.left
    return _sum_with(node, by)


def _sum_with(node: ast.expr, value: int | float) -> ast.expr:
    return ast.BinOp(node, ast.Add() if value > 0 else ast.Sub(), ast.Constant(abs(value)))


def operands(node: ast.AST, operator: type[ast.operator]) -> list[ast.AST]:
    """Return what an operator joins in a chain, from left to right; the node itself where it joins nothing."""
    if isinstance(node, ast.BinOp) and isinstance(node.op, operator):
        return [*operands(node.left, operator), *operands(node.right, operator)]
    return [node]


def has_minus(node: ast.expr) -> bool:
    """Return whether a node is a minus sign and its operand."""
    return isinstance(node, ast.UnaryOp) and isinstance(node.op, ast.USub)
