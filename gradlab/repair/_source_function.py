"""A function that runs, and its source: found in its file, changed, compiled, and run in the old one's place."""

import ast
import linecache
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from functools import lru_cache
from types import CodeType, FunctionType
from typing import Any

from gradlab.workers.threads import without_warnings

Definition = ast.FunctionDef | ast.AsyncFunctionDef | ast.Lambda
# What a compiler's flags say of the future features of a file.
FUTURE = 0x1FF0000


@dataclass(frozen=True, eq=False)
class SourceFunction:
    """A function whose code can be exchanged for another of the same source file.

    Attributes
    ----------
    file : str
    body : ast.FunctionDef
        Its definition; a lambda's expression stands in it as what it returns.
    path : tuple of ast.AST
        The classes and functions around it, the outermost first, and the definition itself last.
    code : CodeType
    functions : list of function
        The objects that run this code.
    """

    file: str
    body: ast.FunctionDef
    path: tuple[ast.AST, ...]
    code: CodeType
    functions: list[FunctionType]

    @property
    def definition(self) -> ast.AST:
        """The definition as its body is now."""
        if isinstance(self.path[-1], ast.Lambda):
            return ast.Lambda(self.body.args, _returned(self.body))
        return self.body

    def compiled(self, body: ast.FunctionDef | None = None) -> CodeType:
        """Return the code of the body as it is now, or of another body.

        Raises
        ------
        SyntaxError, ValueError
            If it is no Python, or takes other variables of the functions around it.
        """
        free = [name for name in self.code.co_freevars if name != "__class__"]
        inner: ast.stmt = _definition(body or self.body, self.path[-1], list(self.code.co_freevars))
        for around in reversed(self.path[:-1]):
            if isinstance(around, ast.ClassDef):
                inner = ast.ClassDef(around.name, [], [], [inner], [])
            else:
                names: list[ast.stmt] = [ast.Assign([_name(name)], ast.Constant(None)) for name in free]
                inner = ast.FunctionDef("around", _no_arguments(), [*names, inner], [])
        module = ast.Module([inner], [])
        placed(module, self.body)
        with without_warnings():
            code = compile(module, self.file, "exec", flags=self.code.co_flags & FUTURE, dont_inherit=True)
        found = next((c for c in _codes_in(code) if c.co_name == self.code.co_name), None)
        if found is None or found.co_freevars != self.code.co_freevars:
            raise ValueError("it takes other variables of the functions around it")
        return found

    @contextmanager
    def running(self, code: CodeType) -> Iterator[None]:
        """Have another code run wherever this function is called, until the context ends."""
        before = [function.__code__ for function in self.functions]
        try:
            for function in self.functions:
                function.__code__ = code
            yield
        finally:
            for function, old in zip(self.functions, before, strict=True):
                function.__code__ = old


def source_function(code: CodeType, functions: list[FunctionType]) -> SourceFunction | None:
    """Return the function of a code object; None where its source is not to be found, or is another by now."""
    path = _path_to(code)
    if path is None:
        return None
    definition = path[-1]
    if isinstance(definition, ast.Lambda):
        result = ast.copy_location(ast.Return(definition.body), definition.body)
        body = ast.copy_location(ast.FunctionDef("<lambda>", definition.args, [result], []), definition.body)
    elif isinstance(definition, ast.FunctionDef):
        body = definition
    else:
        return None
    found = SourceFunction(code.co_filename, body, path, code, functions)
    return found if _is_source_of(found) else None


def _path_to(code: CodeType) -> tuple[ast.AST, ...] | None:
    tree = file_tree(code.co_filename, "".join(linecache.getlines(code.co_filename)))
    if tree is None:
        return None
    spans = set(code.co_positions()) if code.co_name == "<lambda>" else set()
    for path in _definitions(tree, ()):
        definition = path[-1]
        if isinstance(definition, ast.Lambda):
            body = definition.body
            span = (body.lineno, body.end_lineno, body.col_offset, body.end_col_offset)
            if code.co_name == "<lambda>" and span in spans:
                return path
        elif isinstance(definition, ast.FunctionDef) and definition.name == code.co_name:
            first = min([definition.lineno, *(d.lineno for d in definition.decorator_list)])
            if first == code.co_firstlineno:
                return path
    return None


@lru_cache(maxsize=8)
def file_tree(file: str, text: str) -> ast.Module | None:
    """Return the syntax tree of a file; None if it is none of Python's."""
    try:
        tree = ast.parse(text)
    except (SyntaxError, ValueError):
        return None
    for node in ast.walk(tree):
        node._is_of_file = True  # type: ignore[attr-defined]
    return tree


def _definitions(node: ast.AST, path: tuple[ast.AST, ...]) -> Iterator[tuple[ast.AST, ...]]:
    for child in ast.iter_child_nodes(node):
        if isinstance(child, ast.ClassDef | Definition):
            if not isinstance(child, ast.ClassDef):
                yield (*path, child)
            yield from _definitions(child, (*path, child))
        else:
            yield from _definitions(child, path)


def _definition(body: ast.FunctionDef, definition: ast.AST, free: Sequence[str]) -> ast.stmt:
    """Return the statement that defines a function; it takes its free variables, whether it uses them or not."""
    names = ast.Tuple([ast.Name(name, ast.Load()) for name in free], ast.Load())
    if isinstance(definition, ast.Lambda):
        value = _returned(body)
        kept = ast.IfExp(ast.Constant(1), value, names) if free else value
        return ast.Expr(ast.copy_location(ast.Lambda(body.args, kept), definition))
    never: list[ast.stmt] = [ast.If(ast.Constant(0), [ast.Expr(names)], [])] if free else []
    made = ast.FunctionDef(body.name, body.args, [*never, *body.body], [])
    return ast.copy_location(made, body)


def _returned(body: ast.FunctionDef) -> ast.expr:
    """Return the expression of a lambda, whose body is a function that returns it, after a note if there is one."""
    *notes, result = body.body
    if notes and isinstance(notes[0], ast.Expr) and isinstance(result, ast.Return) and result.value:
        return ast.BoolOp(ast.Or(), [notes[0].value, result.value])  # a note is None
    return (result.value if isinstance(result, ast.Return) else None) or ast.Constant(None)


def _is_source_of(found: SourceFunction) -> bool:
    """Return whether the source gives the code that runs: the file may have changed since it was read."""
    try:
        code = found.compiled()
    except (SyntaxError, ValueError):
        return False
    # an assertion that a test runner rewrites makes other code of the same names
    return bool(_skeleton(code) == _skeleton(found.code))


def _skeleton(code: CodeType) -> Any:
    numbers = [c for c in code.co_consts if type(c) in (int, float, complex)]
    nested = [_skeleton(c) for c in code.co_consts if isinstance(c, CodeType)]
    names = [name for name in code.co_names if not name.startswith("@")]
    variables = [name for name in code.co_varnames if not name.startswith("@")]
    return variables, sorted(set(names)), sorted(map(str, set(numbers) - {0, 1})), nested


def _codes_in(code: CodeType) -> Iterator[CodeType]:
    for constant in code.co_consts:
        if isinstance(constant, CodeType):
            yield constant
            yield from _codes_in(constant)


def placed(new: ast.AST, like: ast.AST) -> None:
    """Give the parts of a tree that stand in no file the place of another node."""
    if "lineno" in new._attributes and not hasattr(new, "lineno"):
        ast.copy_location(new, like)
    elif hasattr(new, "_is_of_file"):
        return
    for child in ast.iter_child_nodes(new):
        placed(child, like)


def _name(name: str) -> ast.Name:
    return ast.Name(name, ast.Store())


def _no_arguments() -> ast.arguments:
    return ast.arguments(posonlyargs=[], args=[], kwonlyargs=[], kw_defaults=[], defaults=[])
