"""Whose code it is, what names it uses, and what functions a class holds."""

import dis
import sys
import types
from collections.abc import Iterator
from functools import cache
from typing import Any, NamedTuple

import numpy as np

MISSING = object()
# Nothing in these keeps state for a layer, except the generators, which are known one by one.
_LIBRARIES = {
    "numpy",
    "scipy",
    "torch",
    "jax",
    "pytest",
    "_pytest",
    "matplotlib",
    "pandas",
    "tqdm",
    "sklearn",
    "numba",
}


class Names(NamedTuple):
    """The names that some code uses, that of inner functions included.

    `looked_up` are globals, `attributes` all names of attributes, and `stored` the globals that it sets.
    """

    looked_up: frozenset[str]
    attributes: frozenset[str]
    stored: frozenset[str]


@cache
def names_in(code: types.CodeType) -> Names:
    """Return the names that some code uses."""
    by_kind: dict[str, set[str]] = {"LOAD_GLOBAL": set(), "LOAD_NAME": set(), "STORE_GLOBAL": set()}
    for instruction in dis.get_instructions(code):
        if instruction.opname in by_kind:
            by_kind[instruction.opname].add(str(instruction.argval))
    stored = by_kind.pop("STORE_GLOBAL")
    found = Names(frozenset(set().union(*by_kind.values())), frozenset(code.co_names), frozenset(stored))
    for inner in code.co_consts:
        if isinstance(inner, types.CodeType):
            found = Names(*(a | b for a, b in zip(found, names_in(inner), strict=True)))
    return found


def is_own(value: Any) -> bool:
    """Return whether this is somebody's own code, not a library's."""
    top = str(getattr(value, "__module__", None) or "").partition(".")[0]
    return (top not in sys.stdlib_module_names and top not in _LIBRARIES) or top == "__main__"


def state_of_module(module: types.ModuleType, attributes: frozenset[str]) -> Iterator[Any]:
    """Yield what code with these attribute names may look up in a module that is no library's."""
    top = module.__name__.partition(".")[0]
    if top in _LIBRARIES or (top in sys.stdlib_module_names and top != "__main__"):
        return
    for name in attributes & vars(module).keys():
        if not isinstance(vars(module)[name], types.ModuleType):
            yield vars(module)[name]


def code_of(member: Any) -> Iterator[Any]:
    """Yield the functions behind what stands in a class."""
    if isinstance(member, types.FunctionType):
        yield member
    elif isinstance(member, staticmethod | classmethod):
        yield member.__func__
    elif isinstance(member, property):
        yield from (f for f in (member.fget, member.fset) if f)
    elif hasattr(member, "__wrapped__"):
        yield member.__wrapped__


def content_of(cell: Any) -> Any:
    """Return what a closure holds, `MISSING` if it is not filled yet."""
    try:
        return cell.cell_contents
    except ValueError:
        return MISSING


def slots(kind: type) -> list[str]:
    """Return the names of a class's slots."""
    found = [s for c in kind.__mro__ for s in np.atleast_1d(vars(c).get("__slots__", ())).tolist()]
    return [s for s in found if s not in ("__dict__", "__weakref__")]
