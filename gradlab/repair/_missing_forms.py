"""What an expression lacks: forms that, put in its place or beside it, give the gradients that are wanted."""

import ast
from collections.abc import Iterator, Mapping, Sequence
from contextlib import suppress
from types import ModuleType
from typing import Any, NamedTuple

import numpy as np

from gradlab.node import Array
from gradlab.repair._forms import ATOM, SUM, Form, as_array, atoms, joined, unary_forms
from gradlab.repair._rendering import tokens_of
from gradlab.repair._responses import Response
from gradlab.repair._source_function import SourceFunction
from gradlab.repair._suspects import Suspect

# Methods of arrays that leave them as they are, and how many expressions of the same file are tried.
HARMLESS = {
    "sum", "mean", "reshape", "transpose", "swapaxes", "dot", "max", "min", "clip", "astype", "ravel", "var", "std",
    "repeat", "cumsum", "copy", "squeeze",
}  # fmt: skip
WRITING = {"at", "put", "copyto", "place", "save", "savez", "load", "seterr"}
MOST_WRITTEN, MOST_PAIRED, MOST_MATRICES = 80, 240, 40
# How many forms that fit are held to more than one point, and how exactly a projection must fit at first.
MOST_FITTING, NEAR = 12, 1e-7


class Fit(NamedTuple):
    """A form that fits, and how it is put to what stands there."""

    size: int
    kind: str
    form: Form


def mended_expressions(told: Response, suspect: Suspect, tolerance: float) -> Iterator[ast.expr]:
    """Yield what could stand in the place of an expression so that it gives what is wanted, the smallest first."""
    node = told.place.node
    assert isinstance(node, ast.expr)
    known = atoms(told.scopes)
    names = {form.text for form in known}
    written = _written_forms(told, suspect, known, names)
    some = unary_forms([*known, *written], _numpy_name(suspect.function))
    fits = [*_elementwise(told, tolerance, some), *_by_matrices(told, tolerance, some)]
    if not fits:
        fits = list(_pairs(told, tolerance, sorted(some, key=lambda form: form.size)[:MOST_PAIRED]))
    fits.sort(key=lambda fit: (fit.size, fit.kind == "replace"))
    for fit in fits[:MOST_FITTING]:
        yield _expression(fit.kind, node, fit.form)


def _numpy_name(function: SourceFunction) -> str:
    space = function.functions[0].__globals__
    return next((name for name in ("np", "numpy", "torch", "jnp") if name in space), "")


def _written_forms(
    told: Response, suspect: Suspect, known: Sequence[Form], names: set[str]
) -> Iterator[Form]:
    """Yield expressions of the same file that can be computed here, and its functions of one thing in scope."""
    space = suspect.function.functions[0].__globals__
    in_scope = frozenset(set.intersection(*(set(scope) for scope in told.scopes)))
    texts = dict.fromkeys(_expressions(suspect.near, in_scope, space))
    texts |= {
        f"{name}({form.text})": None
        for name in _functions_of_one(suspect.function.body, space)
        for form in known
    }
    for text in list(texts)[:MOST_WRITTEN]:
        if text in names:
            continue
        with suppress(Exception), np.errstate(all="ignore"):
            values = [as_array(eval(text, space, dict(scope))) for scope in told.scopes]
            if all(value is not None for value in values):
                binds = ATOM if text.endswith(")") and text.split("(")[0].isidentifier() else SUM
                yield Form(text, binds, len(tokens_of(text)), tuple(v for v in values if v is not None))


def _functions_of_one(body: ast.FunctionDef, space: Mapping[str, Any]) -> list[str]:
    calls = [node for node in ast.walk(body) if isinstance(node, ast.Call)]
    found = [c.func.id for c in calls if isinstance(c.func, ast.Name) and len(c.args) == 1 and not c.keywords]
    return [name for name in dict.fromkeys(found) if callable(space.get(name))]


def _expressions(near: Sequence[ast.AST], names: frozenset[str], space: Mapping[str, Any]) -> Iterator[str]:
    """Yield the texts of expressions that take nothing but some names, and call nothing that could do harm."""
    for node in near:
        if isinstance(node, ast.BinOp | ast.Call) and _is_harmless(node, names, space):
            yield ast.unparse(node)


def _is_harmless(node: ast.expr, names: frozenset[str], space: Mapping[str, Any]) -> bool:
    for part in ast.walk(node):
        if isinstance(part, ast.Name) and part.id not in names and part.id not in space:
            return False
        if isinstance(part, ast.Call):
            method = getattr(part.func, "attr", "")
            of_module = isinstance(
                space.get(getattr(getattr(part.func, "value", None), "id", "")), ModuleType
            )
            plain = isinstance(part.func, ast.Name) and part.func.id in space
            if not (method in HARMLESS or (of_module and method not in WRITING) or plain):
                return False
        if isinstance(part, ast.NamedExpr | ast.Await | ast.Yield | ast.YieldFrom | ast.Lambda):
            return False
    return True


class _Test:
    """Tells which values of an expression, rows of a matrix, make up for what is missing."""

    def __init__(self, told: Response, tolerance: float) -> None:
        self.told, self.tolerance = told, tolerance
        self.values = np.concatenate([v.ravel() for v in told.values])
        ray = np.random.default_rng(1).standard_normal(told.missing.size)
        self.ray, self.aim = ray @ told.matrix, float(ray @ told.missing)
        self.size = float(np.abs(ray) @ np.abs(told.missing)) + tolerance * ray.size

    def fitting(self, rows: Array) -> list[int]:
        """Return the numbers of the rows that fit."""
        off = np.abs((rows - self.values) @ self.ray - self.aim)
        near = np.flatnonzero(off <= NEAR * self.size + 10 * self.tolerance * np.abs(self.ray).sum())
        if not near.size:
            return []
        return [int(i) for i in near[self.told.fits((rows[near] - self.values).T, self.tolerance)]]


def _elementwise(told: Response, tolerance: float, some: Sequence[Form]) -> Iterator[Fit]:
    forms, rows = joined(some, [v.shape for v in told.values])
    if not forms:
        return
    test = _Test(told, tolerance)
    with np.errstate(all="ignore"):
        for kind, made in _put(test.values, rows):
            made = np.where(np.isfinite(made), made, 1e300)
            yield from (Fit(forms[i].size, kind, forms[i]) for i in test.fitting(made))


def _put(values: Array, rows: Array) -> Iterator[tuple[str, Array]]:
    """Yield what stands there with forms put to it, each way."""
    yield "replace", rows
    yield "*", values * rows
    yield "-*", -values * rows
    yield "/", values / rows
    yield "+", values + rows
    yield "-", values - rows


def _by_matrices(told: Response, tolerance: float, some: Sequence[Form]) -> Iterator[Fit]:
    """Yield the forms that are factors of a matrix product, with what stands there or with one another."""
    matrices = [f for f in some if f.values[0].ndim >= 2 and f.values[0].dtype.kind == "f"][:MOST_MATRICES]
    shapes = [v.shape for v in told.values]
    test = _Test(told, tolerance)

    def tried(kind: str, form: Form, new: Sequence[Array]) -> Iterator[Fit]:
        if [n.shape for n in new] == shapes:
            row = np.concatenate([n.ravel() for n in new])
            if np.isfinite(row).all() and test.fitting(row[None]):
                yield Fit(form.size + 1, kind, form)

    with np.errstate(all="ignore"):
        for form in matrices:
            for kind in ("@", "by"):
                with suppress(ValueError):
                    pairs = list(zip(told.values, form.values, strict=True))
                    yield from tried(kind, form, [v @ f if kind == "@" else f @ v for v, f in pairs])
        for a in matrices:
            for b in matrices:
                with suppress(ValueError):
                    product = [x @ y for x, y in zip(a.values, b.values, strict=True)]
                    text = f"{a.within(2)} @ {b.within(3)}"
                    form = Form(text, 2, a.size + b.size + 1, tuple(product))
                    for kind, sign in (("replace", 0), ("+", 1), ("-", -1)):
                        new = [
                            p if sign == 0 else v + sign * p
                            for v, p in zip(told.values, product, strict=True)
                        ]
                        yield from tried(kind, form, new)


def _pairs(told: Response, tolerance: float, some: Sequence[Form]) -> Iterator[Fit]:
    """Yield the products, quotients, differences and sums of two forms that fit."""
    forms, rows = joined(some, [v.shape for v in told.values])
    if not forms:
        return
    test = _Test(told, tolerance)
    with np.errstate(all="ignore"):
        for i, (form, row) in enumerate(zip(forms, rows, strict=True)):
            for sign, binds, both in (
                ("*", 2, row * rows[i:]),
                ("/", 2, row / rows),
                ("-", 1, row - rows),
                ("+", 1, row + rows[i:]),
            ):
                first = i if sign in "*+" else 0
                for kind, made in _put(test.values, both):
                    made = np.where(np.isfinite(made), made, 1e300)
                    for j in test.fitting(made):
                        other = forms[first + j]
                        text = f"{form.within(binds)} {sign} {other.within(binds + (sign in '/-'))}"
                        yield Fit(
                            form.size + other.size + 1,
                            kind,
                            Form(text, binds, form.size + other.size + 1, ()),
                        )


def _expression(kind: str, node: ast.expr, form: Form) -> ast.expr:
    other = form.parsed()
    if kind == "replace":
        return other
    if kind == "by":
        return ast.BinOp(other, ast.MatMult(), node)
    if kind == "-*":
        return ast.BinOp(ast.UnaryOp(ast.USub(), other), ast.Mult(), node)
    operators: dict[str, ast.operator] = {
        "*": ast.Mult(), "/": ast.Div(), "+": ast.Add(), "-": ast.Sub(), "@": ast.MatMult(),
    }  # fmt: skip
    return ast.BinOp(node, operators[kind], other)
