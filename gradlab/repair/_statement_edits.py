"""Edits of a statement as a whole: what stands in several of its places is changed in all of them."""

import ast
from collections.abc import Callable, Iterator, Mapping
from copy import deepcopy

from gradlab.faults.syntax_nodes import changed
from gradlab.repair._insertions import Edit, parsed

Statement = ast.Assign | ast.AugAssign | ast.Return


class _Everywhere(ast.NodeTransformer):
    """Puts something else wherever an expression of a text stands."""

    def __init__(self, text: str, other: Callable[[ast.expr], ast.expr]) -> None:
        self.text, self.other = text, other

    def visit(self, node: ast.AST) -> ast.AST:
        if isinstance(node, ast.Name | ast.Attribute) and ast.unparse(node) == self.text:
            return ast.copy_location(self.other(node), node)
        return self.generic_visit(node)


def repeated(statement: Statement) -> list[str]:
    """Return the texts of the variables and attributes that stand in a statement's value more than once."""
    parts = [
        x for x in ast.walk(statement.value or ast.Constant(None)) if isinstance(x, ast.Name | ast.Attribute)
    ]
    texts = [ast.unparse(x) for x in parts]
    return sorted({text for text in texts if texts.count(text) > 1})


def everywhere(others: Mapping[str, list[str]]) -> Edit:
    """Return the edit that transposes a variable, or puts another one of its kind, wherever it stands in a statement.

    `others` holds, for each variable, those of its shape.
    """

    def edit(node: ast.AST) -> Iterator[ast.AST]:
        if not isinstance(node, Statement) or node.value is None:
            return
        for text in repeated(node):
            turned = _Everywhere(text, lambda x: ast.Attribute(x, "T", ast.Load()))
            yield changed(node, value=turned.visit(deepcopy(node.value)))
            for other in others.get(text, ()):
                renamed = _Everywhere(text, lambda x, other=other: parsed(other))  # type: ignore[misc]
                yield changed(node, value=renamed.visit(deepcopy(node.value)))

    return edit
