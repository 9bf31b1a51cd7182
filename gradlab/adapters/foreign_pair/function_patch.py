"""A patch: functions run for a while with other constants, without their epsilons or in double precision."""

from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from functools import cache
from types import CodeType, FunctionType
from typing import Any

# What counts as an epsilon, or as 1 less one.
EPSILON = 1e-4
_NARROW = {"float32": "float64", "float16": "float64", "half": "float64", "single": "float64"}
_NARROW_CODES = {**_NARROW, "f": "d", "f4": "f8", "<f4": "<f8", "=f4": "=f8", "f2": "f8", "e": "d"}

LOGARITHMS = {"log", "log2", "log10", "log1p"}

Change = Callable[[Any], Any]


@dataclass(frozen=True, eq=False)
class Patch:
    """Changes to make for a while, and to take back.

    Attributes
    ----------
    changes : list of (object, str, callable)
        Items of a dict, a module's globals among them, or attributes of a function, its code among them, or a class;
        and what is to stand there, as a function of what does: so two patches of one function do not undo each other.
    overlay : list of (object, str, object)
        Is given what stands in dicts and classes while the patch holds, for whoever puts their state back meanwhile.
    """

    changes: list[tuple[Any, str, Change]] = field(default_factory=list)
    overlay: list[tuple[Any, str, Any]] = field(default_factory=list)

    def __bool__(self) -> bool:
        return bool(self.changes)

    @contextmanager
    def applied(self) -> Iterator[None]:
        """Hold the patch; within itself it changes nothing."""
        before = [(holder, name, _get(holder, name)) for holder, name, _ in self.changes]
        after = [
            (*place, change(value))
            for (*place, value), (_, _, change) in zip(before, self.changes, strict=True)
        ]
        held = len(self.overlay)
        try:
            put(after)
            self.overlay.extend(new for new in after if not isinstance(new[0], FunctionType))
            yield
        finally:
            del self.overlay[held:]
            put(before)


def put(values: Sequence[tuple[Any, str, Any]]) -> None:
    """Set items of dicts, and attributes of everything else."""
    for holder, name, value in values:
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
    kinds = {kind for owner in owners for kind in type(owner).__mro__[:-1]}
    places: list[tuple[Any, str, Change]] = [(f, "__code__", _code_without) for f in functions]
    places += [(f, name, _all_without) for f in functions for name in ("__defaults__", "__kwdefaults__")]
    places += [
        (f.__globals__, name, _without)
        for f in functions
        for name in set(f.__code__.co_names) & f.__globals__.keys()
    ]
    places += [(vars(owner), name, _without) for owner in owners for name in vars(owner)]
    places += [(kind, name, _without) for kind in kinds for name, v in vars(kind).items() if type(v) is float]
    changes = [place for place in places if _changes(*place)]
    return Patch(changes, [] if overlay is None else overlay)


def of_logarithms(patch: Patch, functions: Sequence[FunctionType]) -> Patch:
    """Return the part of a patch of epsilons that is about logarithms; the whole patch if no part is.

    What a batch norm inside a net adds to its variance belongs to the net, and its gradient has it.
    """
    logs = [f for f in functions if LOGARITHMS & set(f.__code__.co_names)]
    names = {name for f in logs for name in f.__code__.co_names}
    some = [
        change
        for change in patch.changes
        if (change[0] in logs if isinstance(change[0], FunctionType) else change[1] in names)
    ]
    return Patch(some or patch.changes, patch.overlay)


def in_double(functions: Sequence[FunctionType]) -> Patch:
    """Return the patch under which functions that say float32, or 'f', say float64."""
    return Patch(
        [(f, "__code__", _code_in_double) for f in functions if _changes(f, "__code__", _code_in_double)]
    )


def _changes(holder: Any, name: str, change: Change) -> bool:
    value = _get(holder, name)
    return change(value) is not value


@cache
def _code_without(code: CodeType) -> CodeType:
    constants = tuple(_code_without(c) if isinstance(c, CodeType) else _without(c) for c in code.co_consts)
    return code if _are_same(constants, code.co_consts) else code.replace(co_consts=constants)


@cache
def _code_in_double(code: CodeType) -> CodeType:
    constants = tuple(_code_in_double(c) if isinstance(c, CodeType) else _wide(c) for c in code.co_consts)
    names = tuple(_NARROW.get(name, name) for name in code.co_names)
    same = names == code.co_names and _are_same(constants, code.co_consts)
    return code if same else code.replace(co_consts=constants, co_names=names)


def _are_same(a: tuple[Any, ...], b: tuple[Any, ...]) -> bool:
    return all(x is y for x, y in zip(a, b, strict=True))


def _all_without(defaults: Any) -> Any:
    """Return default values without epsilons; the very same object if there are none."""
    values = list(defaults.values()) if isinstance(defaults, dict) else list(defaults or ())
    changed = [_without(value) for value in values]
    if _are_same(tuple(changed), tuple(values)):
        return defaults
    return dict(zip(defaults, changed, strict=True)) if isinstance(defaults, dict) else tuple(changed)


def _without(value: Any) -> Any:
    if type(value) is not float:
        return value
    if 0 < abs(value) <= EPSILON:
        return 0.0
    return 1.0 if 1 - EPSILON <= value < 1 else value


def _wide(value: Any) -> Any:
    return _NARROW_CODES.get(value, value) if isinstance(value, str) else value
