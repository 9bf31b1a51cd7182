"""A function and the gradient that a library has for it: an entry of the catalogue of ``trust_libraries``."""

from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from typing import Any, Literal

import numpy as np

Function = Callable[..., Any]
Row = tuple[str, Function, Function, Any]


@dataclass(frozen=True, eq=False)
class Pair:
    """A function and its gradient at one point.

    Attributes
    ----------
    name : str
    fun, jac : callable
        Of JAX there is a function alone, and its derivative is what JAX makes of it.
    x : ndarray or tuple of ndarray
        The point; of JAX all the arguments.
    kind : str
        What `jac` returns.
    """

    name: str
    fun: Function
    jac: Function | None
    x: Any
    kind: Literal["gradient", "jacobian", "jax"]


def gradient_pair(library: str, name: str, fun: Function, jac: Function, x: Any) -> Pair:
    """Return the pair of a function with one value and its gradient."""
    return Pair(
        f"{library} {name}",
        lambda p: float(fun(p)),
        lambda p: np.asarray(jac(p), dtype=float).reshape(np.shape(p)),
        np.array(x, dtype=float),
        "gradient",
    )


def jacobian_pair(library: str, name: str, fun: Function, jac: Function, x: Any) -> Pair:
    """Return the pair of a function with several values and its Jacobian."""
    return Pair(
        f"{library} {name}",
        lambda p: np.asarray(fun(p), dtype=float).ravel(),
        lambda p: np.asarray(jac(p), dtype=float),
        np.array(x, dtype=float),
        "jacobian",
    )


def pointwise_pairs(library: str, rows: Iterable[Row]) -> Iterator[Pair]:
    """Yield a pair for each function of one variable, in turn its sum's gradient and its diagonal Jacobian."""
    for turn, (name, fun, derivative, points) in enumerate(rows):
        if turn % 2:
            yield gradient_pair(library, name, lambda p, f=fun: np.sum(f(p)), derivative, points)
        else:
            yield jacobian_pair(library, name, fun, diagonal(derivative), points)


def diagonal(derivative: Function) -> Function:
    """Return the Jacobian of a function that is applied to each element, of its derivative."""
    return lambda p: np.diag(derivative(p))
