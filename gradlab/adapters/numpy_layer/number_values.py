"""What numbers a value holds: an array, a scalar, a tensor object, a sparse matrix."""

from collections.abc import Mapping
from types import FunctionType, MethodType, ModuleType
from typing import Any

import numpy as np

from gradlab.adapters.numpy_layer.naming_conventions import DATA, GRAD
from gradlab.node import Array


def as_array(value: Any) -> Array | None:
    """Return the numbers that a value holds: an array's own memory, a scalar, a tensor's data; None if it has none."""
    if isinstance(value, np.ndarray):
        return np.asarray(value) if value.dtype.kind in "fiub" else _of_objects(value)
    if isinstance(value, bool | str | bytes) or value is None:
        return None
    if isinstance(value, int | float | np.generic):
        return np.asarray(value, dtype=None if isinstance(value, np.generic) else float)
    if isinstance(value, list):
        return _of_list(value)
    if isinstance(value, tuple | Mapping):
        return None  # several numbers, not one array of them
    if hasattr(value, "toarray"):
        return np.asarray(value.toarray())
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
    if isinstance(
        value, np.ndarray | np.generic | type | ModuleType | FunctionType | MethodType | str | int | float
    ):
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
    found = {**vars(value)} if hasattr(value, "__dict__") and not isinstance(value, type) else {}
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
    if isinstance(value, np.ndarray):
        return bool(value.dtype.kind == "f")
    return isinstance(value, float | np.floating)
