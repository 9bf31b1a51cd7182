"""The functions that a call can reach: those whose source may hold the mistake."""

import linecache
import sysconfig
from collections.abc import Iterator, Mapping
from functools import cache, partial
from pathlib import Path
from types import CodeType, FunctionType, MethodType, ModuleType
from typing import Any, NamedTuple

import numpy as np

PACKAGE = str(Path(__file__).parents[1])
# Gradlab's own nodes are code like any other's: everything else of gradlab is what looks at it.
NODES = str(Path(__file__).parents[1] / "nodes")
LIBRARIES = tuple(
    {str(Path(sysconfig.get_path(name)).resolve()) for name in ("stdlib", "platstdlib", "purelib", "platlib")}
)
# So many objects are looked through at the most, and so many items of each.
MOST_OBJECTS, MOST_ITEMS = 4_000, 200
PLAIN = (int, float, complex, str, bytes, bool, type(None), np.generic, ModuleType, CodeType)


class Reached(NamedTuple):
    """What some objects hold or call: functions by their code, and what can be written into."""

    functions: dict[CodeType, list[FunctionType]]
    held: list[Any]


def reachable(*roots: Any) -> Reached:
    """Return the functions that objects hold or call and whose source is their caller's own, and what these hold.

    The way leads through closures, the globals that code names, methods, attributes and items; the nearest come first.
    """
    found: dict[CodeType, list[FunctionType]] = {}
    held: list[Any] = []
    seen: set[int] = set()
    queue = list(roots)
    kept = list(roots)  # so that no two objects have one identity
    for value in queue:
        if id(value) in seen or isinstance(value, PLAIN):
            continue
        if isinstance(value, np.ndarray):
            seen.add(id(value))
            held.append(value)
            continue
        seen.add(id(value))
        kept.append(value)
        if len(seen) > MOST_OBJECTS:
            break
        if isinstance(value, FunctionType) and can_be_mended(value.__code__):
            found.setdefault(value.__code__, []).append(value)
        if type(value) in (list, dict) and len(value) <= MOST_ITEMS:
            held.append(value)
        queue.extend(_held_by(value))
    return Reached(found, held)


def _held_by(value: Any) -> Iterator[Any]:
    if isinstance(value, FunctionType):
        yield from _held_by_function(value)
    elif isinstance(value, MethodType):
        yield value.__func__
        yield value.__self__
    elif isinstance(value, partial):
        yield value.func
        yield from value.args
        yield from value.keywords.values()
    elif isinstance(value, property):
        yield value.fget
    elif isinstance(value, staticmethod | classmethod):
        yield value.__func__
    elif isinstance(value, Mapping):
        yield from list(value.values())[:MOST_ITEMS]
    elif isinstance(value, list | tuple | set | frozenset):
        yield from list(value)[:MOST_ITEMS]
    elif isinstance(value, type):
        if _is_somebodys(value):
            for kind in value.__mro__:
                yield from vars(kind).values() if _is_somebodys(kind) else ()
    else:
        yield type(value)
        yield from list(getattr(value, "__dict__", {}).values())[:MOST_ITEMS]
        yield getattr(value, "__wrapped__", None)


def _held_by_function(function: FunctionType) -> Iterator[Any]:
    for cell in function.__closure__ or ():
        try:
            yield cell.cell_contents
        except ValueError:  # not filled yet
            continue
    yield getattr(function, "__wrapped__", None)
    if can_be_mended(function.__code__):
        for name in _names_in(function.__code__):
            yield function.__globals__.get(name)


def _names_in(code: CodeType) -> list[str]:
    nested = [name for c in code.co_consts if isinstance(c, CodeType) for name in _names_in(c)]
    return [*code.co_names, *nested]


def _is_somebodys(kind: type) -> bool:
    """Return whether a class is not one of Python's or of an installed library, gradlab's own among them."""
    return any(
        isinstance(member, FunctionType) and can_be_mended(member.__code__)
        for member in (getattr(m, "__func__", getattr(m, "fget", m)) for m in vars(kind).values())
    )


@cache
def can_be_mended(code: CodeType) -> bool:
    """Return whether code has a source that is its caller's own."""
    name = code.co_filename
    if name.startswith("<frozen") or not linecache.getlines(name):
        return False
    if name.startswith(PACKAGE):
        return name.startswith(NODES)
    return not str(Path(name).resolve()).startswith(LIBRARIES)
