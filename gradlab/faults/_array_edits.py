"""Edits of operations on arrays: axes, reductions, transposes, indices and slices."""

import ast
from collections.abc import Iterator
from typing import TypeVar

from gradlab.faults._arithmetic_edits import called, renamed
from gradlab.faults.syntax_nodes import changed, number, number_in, shifted

Item = TypeVar("Item")

REDUCTIONS = {
    "sum": ("mean", "max"),
    "mean": ("sum", "max"),
    "max": ("min", "mean"),
    "min": ("max", "mean"),
    "prod": ("sum",),
    "argmax": ("argmin",),
    "argmin": ("argmax",),
    "any": ("all",),
    "all": ("any",),
    "cumsum": ("cumprod",),
}
TRANSPOSES = {"transpose", "swapaxes", "moveaxis"}
# without these calls there is nothing left to compute with
KEPT_CALLS = {"range", "len", "enumerate", "zip", "at"}


def axis_changed(node: ast.AST) -> Iterator[ast.AST]:
    """Take the axis before or the one behind, leave out one of several axes, or take all axes."""
    if not isinstance(node, ast.Call):
        return
    for i, keyword in enumerate(node.keywords):
        if keyword.arg in ("axis", "axes"):
            for axis in _other_axes(keyword.value):
                yield changed(node, keywords=_with_item(node.keywords, i, changed(keyword, value=axis)))
    place = _place_of_axis(node)
    if place is not None:
        for axis in _other_axes(node.args[place]):
            yield changed(node, args=_with_item(node.args, place, axis))
    if called(node) in TRANSPOSES:
        for i, argument in enumerate(node.args):
            if number_in(argument) is not None:
                for by in (1, -1):
                    yield changed(node, args=_with_item(node.args, i, shifted(argument, by)))


def _place_of_axis(node: ast.Call) -> int | None:
    # argument 0 in x.sum(0), argument 1 in np.sum(x, 0)
    if called(node) not in REDUCTIONS:
        return None
    place = int(_is_numpy_call(node))
    return place if len(node.args) > place else None


def _is_numpy_call(node: ast.Call) -> bool:
    receiver = getattr(node.func, "value", None)
    return isinstance(receiver, ast.Name) and receiver.id in ("np", "numpy")


def _other_axes(axis: ast.expr) -> Iterator[ast.expr]:
    if isinstance(axis, ast.Tuple):
        for i in range(len(axis.elts)):
            yield changed(axis, elts=[e for j, e in enumerate(axis.elts) if j != i])
    elif not (isinstance(axis, ast.Constant) and axis.value is None):
        yield shifted(axis, 1)
        yield shifted(axis, -1)
    if isinstance(axis, ast.Constant) and axis.value is None:
        yield ast.Constant(0)
        yield number(-1)
    else:
        yield ast.Constant(None)


def _with_item(items: list[Item], i: int, new: Item) -> list[Item]:
    return [*items[:i], new, *items[i + 1 :]]


def keepdims_flipped(node: ast.AST) -> Iterator[ast.AST]:
    """Keep the reduced axes where they were dropped, and the other way round."""
    if not isinstance(node, ast.Call):
        return
    names = [keyword.arg for keyword in node.keywords]
    if "keepdims" in names:
        i = names.index("keepdims")
        value = node.keywords[i].value
        turned = ast.Constant(not value.value) if isinstance(value, ast.Constant) else _not(value)
        yield changed(node, keywords=_with_item(node.keywords, i, changed(node.keywords[i], value=turned)))
    elif called(node) in REDUCTIONS and ("axis" in names or _place_of_axis(node) is not None):
        yield changed(node, keywords=[*node.keywords, ast.keyword("keepdims", ast.Constant(True))])


def _not(value: ast.expr) -> ast.expr:
    return ast.UnaryOp(ast.Not(), value)


def transpose_dropped(node: ast.AST) -> Iterator[ast.AST]:
    """Leave out .T and its like; put .T on a factor of a matrix product that is not transposed."""
    if isinstance(node, ast.Attribute) and node.attr in ("T", "mT"):
        yield node.value
    if isinstance(node, ast.Call) and called(node) in TRANSPOSES:
        # np.transpose(x) and transpose(x) are given what x.transpose() is called on
        is_method = isinstance(node.func, ast.Attribute) and not _is_numpy_call(node)
        yield node.func.value if is_method and isinstance(node.func, ast.Attribute) else node.args[0]
    if isinstance(node, ast.BinOp) and isinstance(node.op, ast.MatMult):
        if not _is_transpose(node.left):
            yield changed(node, left=ast.Attribute(node.left, "T", ast.Load()))
        if not _is_transpose(node.right):
            yield changed(node, right=ast.Attribute(node.right, "T", ast.Load()))


def _is_transpose(node: ast.expr) -> bool:
    return getattr(node, "attr", "") in ("T", "mT") or called(node) in TRANSPOSES


def reduction_changed(node: ast.AST) -> Iterator[ast.AST]:
    """Put another reduction for one: the mean or the maximum for the sum."""
    if isinstance(node, ast.Call):
        for other in REDUCTIONS.get(called(node), ()):
            yield renamed(node, other)


def call_dropped(node: ast.AST) -> Iterator[ast.AST]:
    """Leave out a call and keep the array that it was given; of np.where, keep one of the two sides."""
    if not isinstance(node, ast.Call) or called(node) in KEPT_CALLS:
        return
    if called(node) == "where":
        yield from node.args[1:]
    elif isinstance(node.func, ast.Attribute) and not _is_numpy_call(node):
        yield node.func.value
    elif node.args and not isinstance(node.args[0], ast.Starred):
        yield node.args[0]


def index_shifted(node: ast.AST) -> Iterator[ast.AST]:
    """Take the element before or the one behind."""
    if not isinstance(node, ast.Subscript):
        return
    entries = node.slice.elts if isinstance(node.slice, ast.Tuple) else [node.slice]
    for i, entry in enumerate(entries):
        if _is_index(entry):
            for by in (1, -1):
                yield _with_entry(node, i, shifted(entry, by))


def _is_index(entry: ast.expr) -> bool:
    if isinstance(entry, ast.Constant):
        return number_in(entry) is not None
    return not isinstance(entry, ast.Slice | ast.Starred | ast.Compare | ast.Tuple)


def _with_entry(node: ast.Subscript, i: int, entry: ast.expr) -> ast.Subscript:
    if isinstance(node.slice, ast.Tuple):
        return changed(node, slice=changed(node.slice, elts=_with_item(node.slice.elts, i, entry)))
    return changed(node, slice=entry)


def slice_bound_shifted(node: ast.AST) -> Iterator[ast.AST]:
    """Begin or end a slice one place off, or leave out its step."""
    if not isinstance(node, ast.Slice):
        return
    if node.lower is None:
        yield changed(node, lower=ast.Constant(1))
    else:
        yield changed(node, lower=shifted(node.lower, 1))
        yield changed(node, lower=shifted(node.lower, -1))
    if node.upper is None:
        yield changed(node, upper=number(-1))
    else:
        yield changed(node, upper=shifted(node.upper, 1))
        yield changed(node, upper=shifted(node.upper, -1))
    if node.step is not None:
        yield changed(node, step=None)
