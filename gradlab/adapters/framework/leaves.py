"""The arrays among a function's arguments: whether each is differentiated, its name and its precision."""

import inspect
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from gradlab.node import Array, as_tuple

Path = tuple[Any, ...]
# What numbers of floating dtypes are held in.
CARRIED = frozenset({np.dtype(np.float32), np.dtype(np.float64)})


@dataclass(frozen=True, eq=False)
class Leaf:
    """One array among a function's arguments, or a parameter of a module.

    Attributes
    ----------
    name : str
    value : ndarray
        Its numbers. NumPy has no bfloat16, and counts in float16 poorly, so that numbers of both are held in
        float32, which has them all.
    dtype : str
        What its owner calls its dtype ("bfloat16").
    home : object
        What makes an array like it of numbers: the framework's own dtype, and the device.
    is_complex : bool
        Whether it holds complex numbers: `value` has their real and imaginary parts along one axis more, its last.
    """

    name: str
    value: Array
    dtype: str
    home: Any
    is_complex: bool = False

    @property
    def differentiated(self) -> bool:
        """Whether it holds floats."""
        return self.value.dtype.kind == "f"


def carried(dtype: str) -> type[np.floating[Any]]:
    """Return the NumPy dtype in which numbers of this floating dtype are held."""
    return np.float64 if dtype in ("float64", "complex128") else np.float32


def common_dtype(leaves: Sequence[Leaf], primals: Sequence[Array], narrow: bool) -> Any:
    """Return the one dtype in which all floats are computed at these primals; None if each keeps its own.

    Raises
    ------
    TypeError
        If it is one that the frameworks do not have.
    """
    own = True
    for leaf, x in zip(leaves, primals, strict=True):
        if x.dtype not in CARRIED:
            raise TypeError(f"{leaf.name} is {x.dtype}, which it is not checked in: pass float32 or float64")
        own &= x.dtype == leaf.value.dtype
    return None if narrow or own else np.result_type(*primals)


def argument_names(function: Callable[..., Any], count: int, skip: int = 0) -> list[str]:
    """Return what a function calls its first `count` arguments after `skip` others."""
    try:
        parameters = list(inspect.signature(function).parameters.values())[skip:]
    except (TypeError, ValueError):
        return [f"x{i}" for i in range(count)]
    named = [p.name for p in parameters if p.kind in (p.POSITIONAL_ONLY, p.POSITIONAL_OR_KEYWORD)]
    rest = next((p.name for p in parameters if p.kind is p.VAR_POSITIONAL), "x")
    return [*named, *(f"{rest}{i}" for i in range(count - len(named)))][:count]


def distinct_names(names: Sequence[str]) -> Iterator[str]:
    """Yield the names, a repeated one with a number: an input may have a parameter's name."""
    seen: dict[str, int] = {}
    for name in names:
        seen[name] = seen.get(name, 0) + 1
        yield name if seen[name] == 1 else f"{name} ({seen[name]})"


def first_line(error: BaseException) -> str:
    """Return an exception's type and the first line of its message."""
    lines = str(error).strip().splitlines() or [""]
    return f"{type(error).__name__}: {lines[0]}".rstrip(": ")


def cure_of_refused(args: Sequence[Any]) -> str:
    """Return what to do where a function refuses its arguments."""
    if len(args) == 1 and isinstance(args[0], tuple):
        # as gradcheck and check_grads have them
        return "pass its arguments one by one, f, x, y, and not in a tuple"
    return "call it with these arguments yourself, and pass those that it takes"


def roughly_equal(outputs: Any, others: Any) -> bool:
    """Return whether two evaluations are equal up to the rounding of half precision."""
    for a, b in zip(as_tuple(outputs), as_tuple(others), strict=True):
        size = float(np.nan_to_num(np.abs(a)).max(initial=0.0))
        if np.shape(a) != np.shape(b) or not np.allclose(a, b, 0.1, 0.1 * size, equal_nan=True):
            return False
    return True
