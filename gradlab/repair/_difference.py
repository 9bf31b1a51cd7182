"""What an edit changes: the smallest piece of syntax that differs, and what it stands in."""

import ast
from collections.abc import Iterator, Sequence
from typing import NamedTuple

from gradlab.repair._tiers import Candidate

COTANGENTS = ("d", "g")


class Difference(NamedTuple):
    """Two pieces of syntax of which one stands where the other stood, and what they stand in, the innermost first."""

    old: ast.AST
    new: ast.AST
    around: tuple[ast.AST, ...]


def are_cotangents(names: Sequence[str]) -> bool:
    """Return whether names are such as cotangents have: dy, gout, grad_h."""
    return all(len(name) > 1 and name.lower().startswith(COTANGENTS) for name in names)


def enclosing(edit: Candidate) -> Iterator[ast.AST]:
    """Yield the nodes that an edit's place stands in, from the innermost out."""
    parents = {
        id(child): node for node in ast.walk(edit.function.body) for child in ast.iter_child_nodes(node)
    }
    node: ast.AST | None = edit.place.parent
    while node is not None:
        yield node
        node = parents.get(id(node))


def narrowed(outer: Difference) -> Iterator[Difference]:
    """Yield a difference, then what differs inside it as long as that is one piece."""
    yield outer
    old, new, around = outer
    if type(old) is not type(new):
        return
    pairs = []
    for field in old._fields:
        a, b = getattr(old, field, None), getattr(new, field, None)
        several = isinstance(a, list) and isinstance(b, list)
        if several and len(a) != len(b):  # type: ignore[arg-type]
            return
        for one, other in zip(a, b, strict=True) if several else [(a, b)]:  # type: ignore[arg-type]
            if text(one) != text(other):
                pairs.append((one, other))
    if len(pairs) == 1:
        ((one, other),) = pairs
        if isinstance(one, ast.AST) and isinstance(other, ast.AST):
            yield from narrowed(Difference(one, other, (old, *around)))


def text(node: object) -> str:
    return ast.dump(node) if isinstance(node, ast.AST) else repr(node)


def same(a: object, b: object) -> bool:
    return text(a) == text(b)


def called(node: ast.AST) -> str:
    """Return what a call calls, without what it is an attribute of; empty if a node is no call."""
    function = node.func if isinstance(node, ast.Call) else None
    return getattr(function, "attr", getattr(function, "id", ""))


def factor_of(it: Difference) -> ast.expr | None:
    """Return the factor that is put to what stood there, or that is taken from it."""
    for whole, part in ((it.new, it.old), (it.old, it.new)):
        if isinstance(whole, ast.BinOp) and isinstance(whole.op, ast.Mult | ast.Div):
            if same(whole.left, part):
                return whole.right
            if same(whole.right, part) and isinstance(whole.op, ast.Mult):
                return whole.left
    return None
