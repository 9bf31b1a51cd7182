"""Functions with other constants for a while: a forward without its epsilons, or in double precision throughout."""

from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from types import CodeType, FunctionType
from typing import Any

# What counts as an epsilon, or as 1 less one.
EPSILON = 1e-4
_NARROW = {"float32": "float64", "float16": "float64", "half": "float64", "single": "float64"}
_NARROW_CODES = {**_NARROW, "f": "d", "f4": "f8", "<f4": "<f8", "=f4": "=f8", "f2": "f8", "e": "d"}


@dataclass(frozen=True, eq=False)
class Patch:
    """What to set for a while.

    Attributes
    ----------
    changes : list of (object, str, object)
        Items of a dict, a module's globals among them, or attributes of a function, its code among them, or a class.
    overlay : list
        Is given the changes while the patch holds, for whoever puts a state back meanwhile to make them again.
    """

    changes: list[tuple[Any, str, Any]] = field(default_factory=list)
    overlay: list[tuple[Any, str, Any]] = field(default_factory=list)

    def __bool__(self) -> bool:
        return bool(self.changes)

    @contextmanager
    def applied(self) -> Iterator[None]:
        """Hold the patch; within itself it changes nothing."""
        before = [(holder, name, _get(holder, name)) for holder, name, _ in self.changes]
        held = len(self.overlay)
        try:
            put(self.changes)
            self.overlay.extend(self.changes)
            yield
        finally:
            del self.overlay[held:]
            put(before)


def put(changes: Sequence[tuple[Any, str, Any]]) -> None:
    """Make changes: items of dicts, attributes of everything else."""
    for holder, name, value in changes:
        if isinstance(holder, dict):
            holder[name] = value
        else:
            setattr(holder, name, value)


def _get(holder: Any, name: str) -> Any:
    return holder[name] if isinstance(holder, dict) else getattr(holder, name)


def without_epsilon(
    functions: Sequence[FunctionType], owners: Sequence[Any] = (), overlay: list[Any] | None = None
) -> Patch:
    """Return the patch that takes the epsilons out of functions, their defaults and globals, and some objects."""
    patch = Patch(overlay=[] if overlay is None else overlay)
    for function in functions:
        patch.changes.extend(_codes(function, _without, {}))
        defaults, named = function.__defaults__, function.__kwdefaults__
        if defaults and tuple(map(_without, defaults)) != defaults:
            patch.changes.append((function, "__defaults__", tuple(map(_without, defaults))))
        if named and any(_without(v) is not v for v in named.values()):
            patch.changes.append((function, "__kwdefaults__", {k: _without(v) for k, v in named.items()}))
    held: list[tuple[Any, str]] = [
        (f.__globals__, n) for f in functions for n in set(f.__code__.co_names) & f.__globals__.keys()
    ]
    held += [(vars(owner), name) for owner in owners for name in vars(owner)]
    held += [
        (kind, name) for kind in {k for o in owners for k in type(o).__mro__[:-1]} for name in vars(kind)
    ]
    for holder, name in held:
        value = vars(holder).get(name) if isinstance(holder, type) else holder[name]
        if _without(value) is not value:
            patch.changes.append((holder, name, _without(value)))
    return patch


def in_double(functions: Sequence[FunctionType]) -> Patch:
    """Return the patch under which functions that say float32, or 'f', say float64."""
    return Patch([part for function in functions for part in _codes(function, _wide, _NARROW)])


def _codes(
    function: FunctionType, constant: Callable[[Any], Any], renamed: Mapping[str, str]
) -> Iterator[tuple[FunctionType, str, Any]]:
    old = function.__code__
    new = _code(old, constant, renamed)
    if new is not old:
        yield function, "__code__", new


def _code(code: CodeType, constant: Callable[[Any], Any], renamed: Mapping[str, str]) -> CodeType:
    constants = tuple(
        _code(c, constant, renamed) if isinstance(c, CodeType) else constant(c) for c in code.co_consts
    )
    names = tuple(renamed.get(name, name) for name in code.co_names)
    same = names == code.co_names and all(a is b for a, b in zip(constants, code.co_consts, strict=True))
    return code if same else code.replace(co_consts=constants, co_names=names)


def _without(value: Any) -> Any:
    if type(value) is not float:
        return value
    if 0 < abs(value) <= EPSILON:
        return 0.0
    return 1.0 if 1 - EPSILON <= value < 1 else value


def _wide(value: Any) -> Any:
    return _NARROW_CODES.get(value, value) if isinstance(value, str) else value
