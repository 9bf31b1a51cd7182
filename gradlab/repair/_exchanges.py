"""Edits that exchange two things: variables of a statement, what is read and written, letters of an einsum."""

import ast
import re
from collections.abc import Collection, Iterator
from copy import deepcopy
from itertools import combinations

from gradlab.faults.syntax_nodes import changed, operands
from gradlab.repair._insertions import Edit, parsed
from gradlab.repair._statement_edits import Statement, repeated


def names_exchanged(known: Collection[str]) -> Edit:
    """Return the edit that exchanges two variables or attributes wherever they stand, where one stands several times.

    `known` are the texts of those that hold arrays.
    """

    def edit(node: ast.AST) -> Iterator[ast.AST]:
        if not isinstance(node, Statement) or node.value is None:
            return
        parts = {ast.unparse(x) for x in ast.walk(node.value) if isinstance(x, ast.Name | ast.Attribute)}
        again = repeated(node)
        for a, b in combinations(sorted(parts & set(known)), 2):
            if a in again or b in again:
                yield changed(node, value=_Exchanged(a, b).visit(deepcopy(node.value)))

    return edit


class _Exchanged(ast.NodeTransformer):
    """Puts each of two expressions where the other stands."""

    def __init__(self, a: str, b: str) -> None:
        self.others = {a: b, b: a}

    def visit(self, node: ast.AST) -> ast.AST:
        text = ast.unparse(node) if isinstance(node, ast.Name | ast.Attribute) else ""
        return (
            ast.copy_location(parsed(self.others[text]), node)
            if text in self.others
            else self.generic_visit(node)
        )


def factors_exchanged(node: ast.AST) -> Iterator[ast.AST]:
    """Exchange two matrices, each with its transpose, in all matrix products of a statement."""
    if not isinstance(node, Statement) or node.value is None:
        return
    chains = [c for x in ast.walk(node.value) if len(c := operands(x, ast.MatMult)) > 2]
    texts = sorted({_without_transpose(factor) for chain in chains for factor in chain})
    for a, b in combinations(texts, 2):
        if sum({a, b} <= {_without_transpose(factor) for factor in chain} for chain in chains) > 1:
            yield changed(node, value=_Reordered(a, b).visit(deepcopy(node.value)))


def _without_transpose(node: ast.AST) -> str:
    return ast.unparse(node.value if isinstance(node, ast.Attribute) and node.attr in ("T", "mT") else node)


class _Reordered(ast.NodeTransformer):
    """Puts two factors of each matrix product into one another's places."""

    def __init__(self, a: str, b: str) -> None:
        self.pair = (a, b)

    def visit_BinOp(self, node: ast.BinOp) -> ast.AST:
        factors = [x for x in operands(node, ast.MatMult) if isinstance(x, ast.expr)]
        places = [i for i, factor in enumerate(factors) if _without_transpose(factor) in self.pair]
        if len(factors) < 3 or len(places) != 2:
            return self.generic_visit(node)
        i, j = places
        factors[i], factors[j] = factors[j], factors[i]
        whole = factors[0]
        for factor in factors[1:]:
            whole = ast.copy_location(ast.BinOp(whole, ast.MatMult(), factor), node)
        return whole


def slices_exchanged(node: ast.AST) -> Iterator[ast.AST]:
    """Exchange the slices of what is written and what is read: a step back where it was one forward."""
    target = node.targets[0] if isinstance(node, ast.Assign) else getattr(node, "target", None)
    if not isinstance(node, ast.Assign | ast.AugAssign) or not isinstance(target, ast.Subscript):
        return
    read = [x for x in ast.walk(node.value) if isinstance(x, ast.Subscript) and _has_slice(x)]
    if len(read) != 1 or not _has_slice(target) or ast.dump(read[0].slice) == ast.dump(target.slice):
        return
    value = deepcopy(node.value)
    place = next(x for x in ast.walk(value) if isinstance(x, ast.Subscript) and _has_slice(x))
    place.slice = deepcopy(target.slice)
    written = changed(target, slice=read[0].slice)
    yield (
        changed(node, targets=[written], value=value)
        if isinstance(node, ast.Assign)
        else changed(node, target=written, value=value)
    )


def _has_slice(node: ast.Subscript) -> bool:
    return any(isinstance(part, ast.Slice) for part in ast.walk(node.slice))


def subscripts_exchanged(node: ast.AST) -> Iterator[ast.AST]:
    """Exchange two letters of one operand of an einsum, or of what it gives."""
    if not isinstance(node, ast.Call) or not node.args or not ast.unparse(node.func).endswith("einsum"):
        return
    text = getattr(node.args[0], "value", None)
    if not isinstance(text, str):
        return
    for part in re.finditer(r"[A-Za-z]{2,}", text):
        for i, j in combinations(range(part.start(), part.end()), 2):
            letters = list(text)
            letters[i], letters[j] = letters[j], letters[i]
            yield changed(node, args=[ast.Constant("".join(letters)), *node.args[1:]])
