"""The state of a layer, held and put back: attributes, arrays, closures, globals that it uses, generators.

A deep copy would be simpler, and is wrong for a layer whose functions close over it, whose optimizer knows its
parameters by ``id``, or whose tied weights are views. So everything is put back in place instead, and nothing is
another object afterwards.
"""

import dis
import random
import sys
import types
from collections import deque
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from functools import cache, partial
from typing import Any, NamedTuple

import numpy as np

from gradlab.adapters.numpy_layer.number_places import (
    LIBRARIES,
    is_a,
    is_large_and_plain,
    is_own,
    slots,
)
from gradlab.node import Array
from gradlab.workers.lost_exceptions import Interrupt
from gradlab.workers.strange_objects import attribute_of

# What has no state of its own.
_PLAIN = (str, bytes, int, float, complex, type(None), type(Ellipsis), range, slice, np.generic)
# A large collection of plain values, a vocabulary, is compared whole in so many looks at first; if nothing has changed
# there, only its length from then on, and all of it once more in the end.
LOOKS = 4


class Snapshot:
    """The state of everything that is reached from some objects, to be put back as often as needed.

    Attributes
    ----------
    arrays : list of ndarray
        Every array of numbers that was reached.
    holders : list of dict or list
        What may hold an array, and would hold another in its place.
    functions : list of functions
        Every function of the layer's own that its methods reach.
    """

    def __init__(self, *roots: Any) -> None:
        self.arrays: list[Array] = []
        self.holders: list[Any] = []
        self.functions: list[types.FunctionType] = []
        self._undo: list[Callable[[], None]] = []
        self._large: list[_LargeCollection] = []
        self._random: list[Callable[[], Any]] = []
        self._rewind: list[Callable[[], None]] = []
        self._seen: dict[int, Any] = {}
        self._names: set[str] = set()
        pending = deque(roots)
        while pending:
            value = pending.popleft()
            if id(value) in self._seen or is_a(value, _PLAIN):
                continue
            self._seen[id(value)] = value
            try:
                pending.extend(self._hold(value))
            except (KeyboardInterrupt, Interrupt):
                raise
            except BaseException:  # what does not let itself be looked at is not held
                continue
        if self._names & {"random", "rvs"}:
            self._hold_generator(np.random.mtrand._rand)
            self._rewind.append(partial(random.setstate, random.getstate()))
            self._random.append(random.getstate)

    def restore(self, every: bool = False) -> None:
        """Put everything back; `every` large collection, too, that has not been seen to change."""
        for undo in self._undo:
            undo()
        for large in self._large:
            large.put_back(every)
        self.rewind()

    def rewind(self) -> None:
        """Put the generators of random numbers back."""
        for rewind in self._rewind:
            rewind()

    def randomness(self) -> str:
        """Return the present state of every generator, as text to compare."""
        with np.printoptions(threshold=sys.maxsize):
            return repr([state() for state in self._random])

    def _hold(self, value: Any) -> Iterator[Any]:
        """Record one object, and yield what is reached from it."""
        for kinds, hold in _KINDS:
            if is_a(value, kinds):
                yield from hold(self, value)
                break
        if not is_a(value, type | types.ModuleType | types.FunctionType) and is_own(type(value)):
            yield from self._hold_instance(value)

    def _hold_array(self, value: Array) -> Iterator[Any]:
        if value.dtype == object:
            yield from value.ravel().tolist()
        if value.flags.writeable and value.size:
            self.arrays.append(value)
            # a subclass may copy in its own way
            plain = value if type(value) is np.ndarray else value.view(np.ndarray)
            self._undo.append(partial(np.copyto, plain, plain.copy()))

    def _hold_dict(self, value: dict[Any, Any]) -> Iterator[Any]:
        if is_large_and_plain(value):
            self._large.append(_LargeCollection(value, dict(value), partial(_refill, value)))
            return
        self.holders.append(value)
        self._undo.append(partial(_refill, value, dict(value)))
        yield from list(value.values())

    def _hold_namespace(self, value: types.SimpleNamespace) -> Iterator[Any]:
        yield vars(value)

    def _hold_list(self, value: list[Any]) -> Iterator[Any]:
        if is_large_and_plain(value):
            self._large.append(_LargeCollection(value, list(value), partial(value.__setitem__, slice(None))))
            return
        self.holders.append(value)
        self._undo.append(partial(value.__setitem__, slice(None), list(value)))
        yield from list(value)

    def _hold_collection(self, value: Any) -> Iterator[Any]:
        if is_large_and_plain(value):
            self._large.append(_LargeCollection(value, value.copy(), partial(_fill_again, value)))
            return
        kept = list(value)
        self._undo.append(partial(_fill_again, value, kept))
        yield from kept

    def _hold_members(self, value: Any) -> Iterator[Any]:
        yield from () if is_large_and_plain(value) else value

    def _hold_generator(self, value: Any) -> Iterator[Any]:
        bits = value.bit_generator if isinstance(value, np.random.Generator) else value._bit_generator
        if isinstance(value, np.random.RandomState):
            # with the normal number that it has drawn and not handed out
            self._rewind.append(partial(value.set_state, value.get_state(legacy=False)))
        else:
            self._rewind.append(partial(setattr, bits, "state", bits.state))
        self._random.append(lambda: bits.state)
        return iter(())

    def _hold_nothing(self, value: Any) -> Iterator[Any]:
        return iter(())

    def _hold_random(self, value: random.Random) -> Iterator[Any]:
        self._rewind.append(partial(value.setstate, value.getstate()))
        self._random.append(value.getstate)
        return iter(())

    def _hold_method(self, value: Any) -> Iterator[Any]:
        yield from (value.__self__, getattr(value, "__func__", None))

    def _hold_partial(self, value: Any) -> Iterator[Any]:
        yield from (value.func, value.args, value.keywords)

    def _hold_function(self, value: types.FunctionType) -> Iterator[Any]:
        if not is_own(value):
            return
        self.functions.append(value)
        for cell in value.__closure__ or ():
            if (content := content_of(cell)) is not MISSING:
                self._undo.append(partial(setattr, cell, "cell_contents", content))
                if isinstance(content, types.ModuleType):
                    yield from state_of_module(content, names_in(value.__code__).attributes)
                else:
                    yield content
        yield from value.__defaults__ or ()
        yield from (value.__kwdefaults__ or {}).values()
        if value.__dict__:
            yield value.__dict__
        yield from self._hold_globals(value)

    def _hold_globals(self, value: types.FunctionType) -> Iterator[Any]:
        names = names_in(value.__code__)
        self._names |= names.looked_up | names.attributes
        for name in names.stored & value.__globals__.keys():
            self._undo.append(partial(value.__globals__.__setitem__, name, value.__globals__[name]))
        for name in (names.looked_up | names.stored) & value.__globals__.keys():
            found = value.__globals__[name]
            if isinstance(found, types.ModuleType):
                yield from state_of_module(found, names.attributes)
            else:
                yield found

    def _hold_class(self, value: type) -> Iterator[Any]:
        if not is_own(value):
            return
        data = {k: v for k, v in vars(value).items() if not k.startswith("__") and not callable(v)}
        data = {k: v for k, v in data.items() if not isinstance(v, _CODE) and not hasattr(type(v), "__get__")}
        self._undo.append(partial(_reset_class, value, data, set(vars(value))))
        yield from data.values()
        yield from value.__bases__
        # a constructor is not run again, and what it draws from need not be put back every time
        for name, member in vars(value).items():
            yield from code_of(member) if name != "__init__" else ()

    def _hold_instance(self, value: Any) -> Iterator[Any]:
        yield type(value)
        if type(own := attribute_of(value, "__dict__")) is dict:
            yield own
        for name in slots(type(value)):
            kept = getattr(value, name, MISSING)
            self._undo.append(partial(_set_slot, value, name, kept))
            yield kept


@dataclass
class _LargeCollection:
    """A large collection of plain values, which most layers only read."""

    collection: Any
    kept: Any
    fill: Callable[[Any], None]
    looks: int = LOOKS

    def put_back(self, every: bool) -> None:
        if self.looks <= 0 and not every and len(self.collection) == len(self.kept):
            return
        # the values are compared as objects first, and most are the same ones
        if self.collection != self.kept:
            self.fill(self.kept)
            self.looks = LOOKS
        self.looks -= 1


@contextmanager
def writeable(layer: Any) -> Iterator[dict[int, Array]]:
    """Put copies that can be written into in the place of a layer's read-only arrays, and put these back in the end.

    Arrays that other libraries hand out, that lie in a file or that are broadcast are read-only, and are parameters and
    constants like any other. Yields the copies by the ``id`` of what they stand for.
    """
    copies: dict[int, Array] = {}
    frozen: list[tuple[Any, Any, Array]] = []
    for holder in Snapshot(layer).holders:
        for key, value in list(holder.items()) if isinstance(holder, dict) else list(enumerate(holder)):
            if is_a(value, np.ndarray) and value.size and not value.flags.writeable:
                frozen.append((holder, key, value))
                holder[key] = copies.setdefault(id(value), value.copy())
    try:
        yield copies
    finally:
        for holder, key, value in frozen:
            holder[key] = value


_CODE = (property, staticmethod, classmethod)
_KINDS: tuple[tuple[Any, Callable[..., Iterator[Any]]], ...] = (
    (np.ndarray, Snapshot._hold_array),
    (dict, Snapshot._hold_dict),
    (types.SimpleNamespace, Snapshot._hold_namespace),
    (list, Snapshot._hold_list),
    ((set, deque), Snapshot._hold_collection),
    ((tuple, frozenset), Snapshot._hold_members),
    ((np.random.Generator, np.random.RandomState), Snapshot._hold_generator),
    (random.SystemRandom, Snapshot._hold_nothing),
    (random.Random, Snapshot._hold_random),
    ((types.MethodType, types.BuiltinMethodType), Snapshot._hold_method),
    (partial, Snapshot._hold_partial),
    (types.FunctionType, Snapshot._hold_function),
    (type, Snapshot._hold_class),
)


def _set_slot(value: Any, name: str, kept: Any) -> None:
    if kept is not MISSING:
        object.__setattr__(value, name, kept)
    elif hasattr(value, name):
        object.__delattr__(value, name)


def _fill_again(collection: Any, kept: Any) -> None:
    collection.clear()
    collection.extend(kept) if isinstance(collection, deque) else collection.update(kept)


def _refill(holder: dict[Any, Any], kept: dict[Any, Any]) -> None:
    if len(holder) != len(kept) or any(holder.get(k, MISSING) is not v for k, v in kept.items()):
        holder.clear()
        holder.update(kept)


def _reset_class(kind: type, data: dict[str, Any], names: set[str]) -> None:
    for name in [name for name in vars(kind) if name not in names and not name.startswith("__")]:
        delattr(kind, name)
    for name, value in data.items():
        if vars(kind).get(name, MISSING) is not value:
            setattr(kind, name, value)


MISSING = object()


class CodeNames(NamedTuple):
    """The names that some code uses, that of inner functions included.

    `looked_up` are globals, `attributes` all names of attributes, and `stored` the globals that it sets.
    """

    looked_up: frozenset[str]
    attributes: frozenset[str]
    stored: frozenset[str]


@cache
def names_in(code: types.CodeType) -> CodeNames:
    """Return the names that some code uses."""
    by_kind: dict[str, set[str]] = {"LOAD_GLOBAL": set(), "LOAD_NAME": set(), "STORE_GLOBAL": set()}
    for instruction in dis.get_instructions(code):
        if instruction.opname in by_kind:
            by_kind[instruction.opname].add(str(instruction.argval))
    stored = by_kind.pop("STORE_GLOBAL")
    found = CodeNames(frozenset(set().union(*by_kind.values())), frozenset(code.co_names), frozenset(stored))
    for inner in code.co_consts:
        if isinstance(inner, types.CodeType):
            found = CodeNames(*(a | b for a, b in zip(found, names_in(inner), strict=True)))
    return found


def state_of_module(module: types.ModuleType, attributes: frozenset[str]) -> Iterator[Any]:
    """Yield what code with these attribute names may look up in a module that is no library's."""
    top = module.__name__.partition(".")[0]
    if top in LIBRARIES or (top in sys.stdlib_module_names and top != "__main__"):
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
