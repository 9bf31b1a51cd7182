"""An edit as text: the file's own characters, but for what the edit changes."""

import ast
import io
import tokenize
from collections.abc import Callable, Iterator, Sequence
from copy import deepcopy
from itertools import product
from typing import NamedTuple

HELD = "_gradlab_held_{}_"
COMPOUND = (ast.BinOp, ast.UnaryOp, ast.BoolOp, ast.Compare, ast.IfExp, ast.Lambda, ast.NamedExpr)


class Change(NamedTuple):
    """What a node of a file's tree is changed to."""

    old: ast.AST
    new: ast.AST


def edited_text(text: str, changes: Sequence[Change], intended: Sequence[ast.AST]) -> str | None:
    """Return a file's text with some changes; None where no text gives the tree that is intended.

    Parameters
    ----------
    text : str
    changes : sequence of Change
        Of nodes that lie outside one another.
    intended : sequence of ast.AST
        The whole changed definitions, by which the text is proved.
    """
    # a file may hold the intended definition already, in another place
    before = [_count(text, one) for one in intended]

    def gives(edited: str) -> bool:
        """Return whether a text has each definition that is intended once more."""
        return all(_count(edited, one) == n + 1 for one, n in zip(intended, before, strict=True))

    for anew, outer in product((False, True), (False, True)):
        wrapped: set[str] = set()
        parts = _edited(text, changes, anew, wrapped, outer)
        if not gives(parts.text):
            # brackets around every part that has an operator, and then away with those that are not needed
            wrapped = set(parts.compound)
            if not gives(_edited(text, changes, anew, wrapped, outer).text):
                continue
            for segment in parts.compound:
                if gives(_edited(text, changes, anew, wrapped - {segment}, outer).text):
                    wrapped.discard(segment)
        return _without_brackets(text, changes, _edited(text, changes, anew, wrapped, outer).text, gives)
    return None


def _without_brackets(text: str, changes: Sequence[Change], edited: str, gives: Callable[[str], bool]) -> str:
    """Return a text without brackets that stood around what was changed, where they are not needed any more."""
    if len(changes) != 1:
        return edited
    start, end = _span(text, changes[0].old)
    after = len(text) - end
    stop = len(edited) - after
    if edited[start - 1 : start] + edited[stop : stop + 1] != "()":
        return edited
    plain = edited[: start - 1] + edited[start:stop] + edited[stop + 1 :]
    return plain if gives(plain) else edited


class _Edited(NamedTuple):
    text: str
    compound: list[str]


def _edited(text: str, changes: Sequence[Change], anew: bool, wrapped: set[str], outer: bool) -> _Edited:
    """Return the text with changes made, and those of its parts that have an operator.

    Parts are written as they stand in the file, or all anew; some are put in brackets, and so may the whole be.
    """
    edited, compound = text, list[str]()
    for start, end, new in sorted(((*_span(text, c.old), c.new) for c in changes), key=lambda s: -s[0]):
        written = _anew(new) if anew else _written(text, new, wrapped, compound)
        written = f"({written})" if outer and isinstance(new, ast.expr) else written
        edited = edited[:start] + _indented(written, edited, start) + edited[end:]
    return _Edited(edited, compound)


def _count(text: str, definition: ast.AST) -> int:
    """Return how often a definition stands in a text; -1 where that is no Python."""
    try:
        tree = ast.parse(text)
    except (SyntaxError, ValueError):
        return -1
    wanted = _anew(definition)
    return sum(_anew(node) == wanted for node in _alike(tree, definition))


def _alike(tree: ast.AST, definition: ast.AST) -> Iterator[ast.AST]:
    """Yield the definitions of a tree that have the kind and the name of another one."""
    name = getattr(definition, "name", None)
    return (n for n in ast.walk(tree) if type(n) is type(definition) and getattr(n, "name", None) == name)


def _anew(node: ast.AST) -> str:
    return ast.unparse(ast.fix_missing_locations(deepcopy(node)))


def _span(text: str, node: ast.AST) -> tuple[int, int]:
    lines = text.splitlines(keepends=True)
    starts = [0]
    for line in lines:
        starts.append(starts[-1] + len(line))

    def place(line: int, column: int) -> int:
        # the tree counts bytes
        return starts[line - 1] + len(lines[line - 1].encode()[:column].decode(errors="replace"))

    assert isinstance(node, ast.expr | ast.stmt | ast.keyword)
    start = place(node.lineno, node.col_offset)
    return start, place(node.end_lineno or node.lineno, node.end_col_offset or node.col_offset)


def _indented(written: str, text: str, start: int) -> str:
    """Return text of several lines, those behind the first indented like the place where it begins."""
    margin = text[text.rfind("\n", 0, start) + 1 : start]
    return written.replace("\n", "\n" + margin) if not margin.strip() else written


def _written(text: str, new: ast.AST, wrapped: set[str], compound: list[str]) -> str:
    """Return the text of a changed node: its parts that stand in the file as they stand there."""
    held: dict[str, tuple[str, ast.expr]] = {}
    marked = _Marker(text, held).visit(deepcopy(new))
    written = ast.unparse(ast.fix_missing_locations(marked))
    if " ** " not in text:
        written = written.replace(" ** ", "**")
    if "'" not in text:
        written = written.replace("'", '"')
    for name, (segment, node) in held.items():
        if isinstance(node, COMPOUND):
            compound.append(segment)
        written = written.replace(name, f"({segment})" if segment in wrapped else segment)
    return written


class _Marker(ast.NodeTransformer):
    """Puts a name in the place of each largest part that stands in the file, and keeps what stands there."""

    def __init__(self, text: str, held: dict[str, tuple[str, ast.expr]]) -> None:
        self.text, self.held = text, held

    def visit(self, node: ast.AST) -> ast.AST:
        """Return a name for a part that stands in the file as it is, and the node with such parts for any other."""
        loads = isinstance(getattr(node, "ctx", ast.Load()), ast.Load)
        of_itself = not isinstance(node, ast.Slice | ast.Starred)
        if isinstance(node, ast.expr) and hasattr(node, "_is_of_file") and loads and of_itself:
            segment = ast.get_source_segment(self.text, node)
            if segment is not None:
                name = HELD.format(len(self.held))
                self.held[name] = (segment, node)
                return ast.Name(name, ast.Load())
        return self.generic_visit(node)


def tokens_of(text: str) -> list[str]:
    """Return the tokens of a piece of source, without comments and white space."""
    try:
        tokens = tokenize.generate_tokens(io.StringIO(text).readline)
        return [t.string for t in tokens if t.string.strip() and t.type != tokenize.COMMENT]
    except (tokenize.TokenError, IndentationError):
        return text.split()
