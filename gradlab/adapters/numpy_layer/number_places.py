"""Where numbers stand in an object: paths of attributes and items, followed anew each time they are read."""

import ast
import re
import sys
from collections import deque
from collections.abc import Callable, Iterator, Mapping
from dataclasses import FrozenInstanceError, dataclass
from types import FunctionType, MethodType, ModuleType
from typing import Any

import numpy as np

from gradlab.node import Array
from gradlab.workers.strange_objects import answer, attribute_of

DATA = ("data", "value", "val", "values", "array", "arr", "tensor", "_data", "_value")
GRAD = ("grad", "gradient", "g", "diff", "grads", "dvalue", "delta", "grad_value", "deriv", "derivative", "dv", "d",
        "adjoint", "_grad", "_gradient", "gradients")  # fmt: skip


# Nothing in these keeps state for a layer, except the generators, which are known one by one.
LIBRARIES = {
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


def is_a(value: Any, kinds: Any) -> bool:
    """Return whether an object is of a type. `isinstance` asks the object itself, which may say or raise anything."""
    return issubclass(type(value), kinds)


def attribute_names(layer: Any) -> list[str]:
    """Return the names of an object's attributes, those of its class and its own where it does not list them."""
    listed = answer(lambda: dir(layer), None)  # its own __dir__, or keys that are no text
    if listed is not None:
        return listed
    own = attribute_of(layer, "__dict__")
    classes = [name for kind in type.mro(type(layer)) for name in type.__dict__["__dict__"].__get__(kind)]
    return sorted({str(name) for name in (*classes, *(own if type(own) is dict else ()))})


def is_own(value: Any) -> bool:
    """Return whether this is somebody's own code, not a library's."""
    top = str(getattr(value, "__module__", None) or "").partition(".")[0]
    return (top not in sys.stdlib_module_names and top not in LIBRARIES) or top == "__main__"


def slots(kind: type) -> list[str]:
    """Return the names of a class's slots."""
    found = [s for c in kind.__mro__ for s in np.atleast_1d(vars(c).get("__slots__", ())).tolist()]
    return [s for s in found if s not in ("__dict__", "__weakref__")]


# An attribute, an item, or a method without arguments to be called.
Step = tuple[str, Any]
Path = tuple[Step, ...]

# Deeper, or in larger objects, nobody keeps a layer's parameters.
DEPTH, OBJECTS = 10, 20_000
# More words and numbers than this in one collection are data, not parameters.
LARGE = 1_000
_PLAIN_TYPES = {str, bytes, int, float, bool, complex, type(None)}


def is_large_and_plain(collection: Any) -> bool:
    """Return whether a collection holds many words or numbers and nothing else, as a vocabulary does."""
    if len(collection) <= LARGE:
        return False
    values = collection.values() if isinstance(collection, dict) else collection
    return set(map(type, values)) <= _PLAIN_TYPES


def follow(root: Any, path: Path) -> Any:
    """Return what stands at a path; raises what following it raises."""
    for kind, key in path:
        if kind == "attr":
            root = getattr(root, key)
        elif kind == "call":
            root = _listed(getattr(root, key)())
        else:
            root = root[key]
    return root


def _listed(value: Any) -> Any:
    return list(value) if is_a(value, Iterator) else value


def show(path: Path) -> str:
    """Return a path as Python writes it, without the leading dot; a parameter object's own array goes unsaid."""
    text = "".join(
        f".{key}" if kind == "attr" else f".{key}()" if kind == "call" else f"[{key!r}]" for kind, key in path
    )
    return text.removeprefix(".")


def parse(text: str) -> Path:
    """Return the path that `show` gives this text for.

    Raises
    ------
    ValueError
        If it is none.
    """
    steps: list[Step] = []
    try:
        node: Any = ast.parse(f"_.{text}" if not text.startswith("[") else f"_{text}", mode="eval").body
        while not isinstance(node, ast.Name):
            if isinstance(node, ast.Call) and not node.args:
                steps.append(("call", node.func.attr))  # type: ignore[attr-defined] # checked by the except
                node = node.func.value  # type: ignore[attr-defined]
            elif isinstance(node, ast.Attribute):
                steps.append(("attr", node.attr))
                node = node.value
            else:
                steps.append(("item", ast.literal_eval(node.slice)))
                node = node.value
    except (SyntaxError, AttributeError, ValueError) as error:
        raise ValueError(
            f"{text!r} is no path: write it as 'W', 'layers[0].W' or \"params['W1']\""
        ) from error
    return tuple(reversed(steps))


def leaves(root: Any) -> dict[Path, Any]:
    """Return every float and array of floats that attributes and items of an object lead to, the nearest first."""
    return _found(root, is_number)


def integers(root: Any) -> dict[Path, Any]:
    """Return every array of integers, or of objects that are numbers, that an object leads to."""
    return _found(root, _is_integer)


def _is_integer(value: Any) -> bool:
    if not is_a(value, np.ndarray) or value.ndim == 0 or value.size == 0:
        return False
    return value.dtype.kind in "iu" or (value.dtype == object and isinstance(value.flat[0], int | float))


def _found(root: Any, wanted: Callable[[Any], bool]) -> dict[Path, Any]:
    found: dict[Path, Any] = {}
    pending: deque[tuple[Path, Any]] = deque([((), root)])
    seen: set[int] = set()
    while pending and len(seen) < OBJECTS:
        path, value = pending.popleft()
        if wanted(value):
            found[path] = value
        elif id(value) not in seen and not is_number(value) and len(path) < DEPTH:
            seen.add(id(value))
            pending.extend(((*path, step), part) for step, part in _parts(value))
    return found


def objects(root: Any) -> dict[Path, Any]:
    """Return the objects with attributes of their own that an object leads to, itself first."""
    found: dict[Path, Any] = {}
    pending: deque[tuple[Path, Any]] = deque([((), root)])
    seen: set[int] = set()
    while pending and len(seen) < OBJECTS:
        path, value = pending.popleft()
        if id(value) in seen or len(path) >= DEPTH:
            continue
        seen.add(id(value))
        callable_or_module = is_a(value, FunctionType | MethodType | ModuleType | type)
        if type(attribute_of(value, "__dict__")) is dict and not callable_or_module:
            found[path] = value
        pending.extend(((*path, step), part) for step, part in _parts(value) if not is_number(part))
    return found


def _parts(value: Any) -> Iterator[tuple[Step, Any]]:
    if is_a(value, np.ndarray):
        if value.dtype == object:
            yield from ((("item", i), value[i]) for i in np.ndindex(value.shape))
    elif is_a(value, dict | list | tuple | deque) and is_large_and_plain(value):
        return
    elif is_a(value, Mapping):
        yield from ((("item", key), part) for key, part in list(value.items()))
    elif is_a(value, list | tuple | deque):
        yield from ((("item", i), part) for i, part in enumerate(value))
    elif is_a(value, type | ModuleType):
        yield from ((("attr", n), v) for n, v in list(vars(value).items()) if is_number(v))
    elif type(own := attribute_of(value, "__dict__")) is dict and not is_a(value, FunctionType | MethodType):
        yield from ((("attr", name), part) for name, part in list(own.items()) if isinstance(name, str))
        yield from _shared(type(value), own)
    elif is_own(type(value)):
        yield from ((("attr", name), getattr(value, name, None)) for name in slots(type(value)))


def _shared(kind: type, own: Mapping[str, Any]) -> Iterator[tuple[Step, Any]]:
    """Yield the arrays that a class keeps for all its instances."""
    for base in kind.__mro__[:-1]:
        for name, part in vars(base).items():
            if is_a(part, np.ndarray) and name not in own:
                yield ("attr", name), part


@dataclass(frozen=True)
class NumberPlace:
    """A number in a layer that can be read and set, and what to call it.

    Attributes
    ----------
    said : str
    get : callable
        ``get(layer) -> ndarray, float or None``: what stands there now.
    set : callable
        ``set(layer, values)``: writes into the array that stands there, or puts a number in its place.
    """

    said: str
    get: Callable[[Any], Any]
    set: Callable[[Any, Array], None]


def place(path: Path, said: str = "") -> NumberPlace:
    """Return the place at a path."""

    def put(root: Any, values: Array) -> None:
        write(follow(root, path), values, lambda new: assign(root, path, new))

    return NumberPlace(said or identifier(show(path)), lambda root: follow(root, path), put)


def write(held: Any, values: Array, assign: Callable[[Any], None]) -> None:
    """Write into an array, or assign a number of the kind that stood there."""
    if is_a(held, np.ndarray):
        held[...] = values
    else:
        assign(float(values) if is_a(held, float) and not is_a(held, np.generic) else type(held)(values))


def assign(root: Any, path: Path, value: Any) -> None:
    """Put something else at a path; where a tuple ends there, another tuple takes its place."""
    owner = follow(root, path[:-1])
    kind, key = path[-1]
    if kind == "attr":
        try:
            setattr(owner, key, value)
        except FrozenInstanceError:  # its numbers are moved all the same, and put back
            object.__setattr__(owner, key, value)
    elif is_a(owner, tuple) and len(path) > 1:
        parts = [*owner[:key], value, *owner[key + 1 :]]
        assign(root, path[:-1], tuple(parts) if type(owner) is tuple else type(owner)(*parts))
    else:
        owner[key] = value


def memory(value: Any) -> tuple[Any, ...]:
    """Return what tells one array's memory from another's, however it is looked at."""
    if not is_a(value, np.ndarray) or not value.size:
        return ("object", id(value))
    low = value.__array_interface__["data"][0]
    return (low, value.nbytes) if _is_whole(value) else (low, value.nbytes, value.strides)


def _is_whole(value: Array) -> bool:
    return bool(value.flags.c_contiguous or value.flags.f_contiguous)


def identifier(text: str) -> str:
    """Return a name for a report: a parameter object's ``.data`` left out."""
    return re.sub(rf"\.({'|'.join(DATA)})$", "", text) if "." in text else text


def as_array(value: Any) -> Array | None:
    """Return the numbers that a value holds: an array's own memory, a scalar, a tensor's data; None if it has none."""
    if is_a(value, np.ndarray):
        return np.asarray(value) if value.dtype.kind in "fiub" else _of_objects(value)
    if is_a(value, bool | str | bytes) or value is None:
        return None
    if is_a(value, int | float | np.generic):
        return np.asarray(value, dtype=None if is_a(value, np.generic) else float)
    if is_a(value, list):
        return _of_list(value)
    if is_a(value, tuple | Mapping):
        return None  # several numbers, not one array of them
    if attribute_of(value, "toarray") is not None:  # a sparse matrix
        try:
            return np.asarray(value.toarray())
        except Exception:  # or what answers to every name
            return None
    name = data_name(value)
    return as_array(getattr(value, name)) if name else None


def _of_objects(value: Array) -> Array | None:
    parts = [as_array(part) for part in value.ravel()]
    if any(part is None or part.shape != () for part in parts):
        return None
    return np.array(parts, dtype=float).reshape(value.shape)


def _of_list(value: Any) -> Array | None:
    if any(not isinstance(part, int | float | list | np.generic) for part in value):
        return None  # several arrays are several outputs, not one
    try:
        array = np.asarray(value)
    except ValueError:
        return None
    return array if array.dtype.kind in "fi" and array.size else None


def data_name(value: Any) -> str:
    """Return the attribute in which a tensor or parameter object keeps its numbers; empty if it is none."""
    if is_a(
        value, np.ndarray | np.generic | type | ModuleType | FunctionType | MethodType | str | int | float
    ):
        return ""
    if type(value) in (list, tuple, dict):  # without attributes, and there may be many
        return ""
    attributes = attributes_of(value)
    if not any(name in attributes for name in GRAD):
        return ""
    return next((name for name in DATA if is_number(attributes.get(name))), "")


def grad_name(value: Any) -> str:
    """Return the attribute in which a tensor or parameter object keeps its gradient."""
    attributes = attributes_of(value)
    return next((name for name in GRAD if name in attributes and name != data_name(value)), "")


def attributes_of(value: Any) -> dict[str, Any]:
    """Return an object's attributes: its own, those in slots, and those that properties stand for."""
    own = None if is_a(value, type) else attribute_of(value, "__dict__")
    found = {**own} if type(own) is dict else {}
    for kind in type(value).__mro__:
        for name, member in vars(kind).items():
            slot = type(member).__name__ in ("member_descriptor", "property")
            if slot and name not in found and not name.startswith("__"):
                try:
                    found[name] = getattr(value, name)
                except Exception:  # a slot that is not filled, a property that needs more
                    continue
    return found


def is_number(value: Any) -> bool:
    """Return whether a value is a float or an array of floats."""
    if is_a(value, np.ndarray):
        return bool(value.dtype.kind == "f")
    return is_a(value, float | np.floating)


def new_arrays(layer: Any, before: Mapping[Path, Any]) -> dict[Path, Any]:
    """Return what backward wrote or made in a layer, by comparison with copies of what was there."""
    changed = {}
    for path, value in leaves(layer).items():
        old = before.get(path)
        if old is None or np.shape(old) != np.shape(value) or not np.array_equal(old, value, equal_nan=True):
            changed[path] = value
    return changed
