"""What an edit changes: the smallest piece of syntax that differs, and what it stands in."""

import ast
from collections.abc import Iterator, Sequence
from typing import NamedTuple

from gradlab.faults.syntax_nodes import operands
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
    """Yield a difference, then what differs inside it as long as that is one piece, or one in several places."""
    yield outer
    inner = list(_inside(outer))
    if len(inner) != 1:
        inner = list(_of_factors(outer))
    if len(inner) == 1:
        yield from narrowed(inner[0])
        return
    inner = list(_inside(outer))
    least = [difference for one in inner for difference in _smallest(one)]
    if least and all(same(d.old, least[0].old) and same(d.new, least[0].new) for d in least):
        yield least[0]


def _inside(outer: Difference) -> Iterator[Difference]:
    """Yield what differs between the parts of two pieces of one kind; nothing if they have other parts."""
    old, new, around = outer
    if type(old) is not type(new):
        return
    pairs: list[tuple[object, object]] = []
    for field in old._fields:
        a, b = getattr(old, field, None), getattr(new, field, None)
        if isinstance(a, list) and isinstance(b, list):
            if len(a) != len(b):
                return
            pairs += zip(a, b, strict=True)
        else:
            pairs.append((a, b))
    differing = [(a, b) for a, b in pairs if not same(a, b)]
    if all(isinstance(a, ast.AST) and isinstance(b, ast.AST) for a, b in differing):
        for a, b in differing:
            yield Difference(a, b, (old, *around))  # type: ignore[arg-type]  # of `all` no type is narrowed


def _of_factors(outer: Difference) -> Iterator[Difference]:
    """Yield the factor that another one stands for, of two products that have all others in any order."""
    factors = [operands(node, ast.Mult) for node in (outer.old, outer.new)]
    if min(map(len, factors)) < 2:
        return
    texts = [[text(factor) for factor in some] for some in factors]
    old, new = (
        [factor for factor in some if text(factor) not in others]
        for some, others in zip(factors, texts[::-1], strict=True)
    )
    if len(old) == len(new) == 1 and len(texts[0]) == len(texts[1]):
        yield Difference(old[0], new[0], (outer.old, *outer.around))


def pieces(outer: Difference) -> list[Difference]:
    """Return the smallest pieces that differ."""
    return list(_smallest(outer))


def _smallest(outer: Difference) -> Iterator[Difference]:
    inner = list(_inside(outer))
    if not inner:
        yield outer
    for one in inner:
        yield from _smallest(one)


def text(node: object) -> str:
    """Return what a piece of syntax is, without where it stands."""
    return ast.dump(node) if isinstance(node, ast.AST) else repr(node)


def same(a: object, b: object) -> bool:
    """Return whether two pieces of syntax are the same."""
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
