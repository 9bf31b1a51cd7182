"""Numerical derivatives by central differences: gradient, vjp, jvp and Jacobian."""

from collections.abc import Callable, Iterator, Sequence
from numbers import Real
from typing import Any

import numpy as np

from gradlab.node import Array, as_tuple
from gradlab.workers.strange_objects import shown

# A stack of perturbed points handed to a vectorized f stays below this many elements (8 MB of float64).
STACK_ELEMENTS = 2**20


def numerical_gradient(
    f: Callable[[Array], Any], x: Array, h: float = 1e-4, *, vectorized: bool = False
) -> Array:
    """Return the gradient of a scalar function by central differences.

    Every element of `x` is moved by +h and -h in place, so that an `f` which holds the same array sees the
    change, and is restored to its saved value before the next one, also when `f` raises. The difference is
    divided by the step really taken, ``(x + h) - (x - h)`` in the arithmetic of `x`.

    Parameters
    ----------
    f : callable
        ``f(x) -> scalar``; with `vectorized`, ``f(stack) -> array`` of shape (K,) for a stack of shape
        ``(K, *x.shape)``.
    x : ndarray of floats
        The point, of any shape, writeable. Real numbers and lists of them are taken as arrays.
    h : float
        The step, in the unit of `x`.
    vectorized : bool
        Whether `f` takes a stack of points; same result, fewer calls.

    Returns
    -------
    ndarray
        The gradient, with the shape and dtype of `x`.

    Raises
    ------
    TypeError
        If `x` does not hold real floats, or `f` does not return real numbers.
    ValueError
        If `x` is read-only, `f` returns another shape or a non-finite value, or `h` vanishes against `x`.

    Notes
    -----
    (f(x + h) - f(x - h)) / 2h has an error of h^2 f'''/6 from truncation and about eps |f| / h from
    rounding. Source: Deep Learning from Scratch, chapter 4.

    Examples
    --------
    >>> numerical_gradient(lambda x: x[0] ** 2 + x[1] ** 2, np.array([3.0, 4.0])).round(6)
    array([6., 8.])
    """
    check_callable(f)
    _check_step(h)
    x = float_array(x)
    gradient = np.empty_like(x)
    if vectorized:
        for i, difference, step in _stacked_differences(f, x, h):
            gradient.flat[i] = difference / step
        return gradient
    if not x.flags.writeable:
        raise ValueError("x is read-only and is perturbed in place: pass x.copy()")
    for index in np.ndindex(x.shape):
        plus, minus, step = values_to_both_sides(f, x, index, h)
        gradient[index] = (_finite_scalar(plus, index, h) - _finite_scalar(minus, index, -h)) / step
    return gradient


def numerical_jacobian(f: Callable[[Array], Any], x: Array, h: float = 1e-4) -> Array:
    """Return the Jacobian of an array-valued function, shape ``(*f(x).shape, *x.shape)``.

    Computed as in `numerical_gradient`, column by column, and under the same conditions.
    """
    check_callable(f)
    _check_step(h)
    x = float_array(x, writeable=True)
    columns = []
    for index in np.ndindex(x.shape):
        plus, minus, step = values_to_both_sides(f, x, index, h)
        columns.append((_finite_array(plus, index, h) - _finite_array(minus, index, -h)) / step)
    shape = columns[0].shape if columns else np.shape(f(x))
    return np.stack(columns, axis=-1).reshape((*shape, *x.shape)) if columns else np.empty((*shape, *x.shape))


def numerical_jvp(
    f: Callable[..., Any], primals: Sequence[Array], tangents: Sequence[Array], h: float = 1e-4
) -> Any:
    """Return the derivative of ``f(*primals)`` along `tangents`: the Jacobian, at s = 0, of f on that line.

    Raises
    ------
    TypeError
        If the primals or tangents are no sequence.
    ValueError
        If there are not as many tangents as primals, or one has another shape than its primal.
    """
    check_callable(f)
    pairs = pairs_of(primals, tangents)
    return numerical_jacobian(lambda s: f(*(x + s * v for x, v in pairs)), np.zeros(()), h)


def numerical_vjp(
    f: Callable[..., Any], primals: Sequence[Array], cotangent: Any, h: float = 1e-4
) -> tuple[Array, ...]:
    """Return the cotangent times the Jacobian, one array per primal: the gradients of ``sum(g * f(...))``.

    With several outputs, `cotangent` is a tuple.

    Raises
    ------
    ValueError
        If the cotangent has another shape than the output.
    """
    check_callable(f)
    points = [np.array(x) for x in sequence_of("primals", primals)]
    check_cotangent(cotangent, f(*map(np.copy, points)))
    return tuple(numerical_gradient(lambda _: _inner(cotangent, f(*points)), x, h) for x in points)


def check_callable(f: Any) -> None:
    """Raise TypeError unless f can be called."""
    if not callable(f):
        raise TypeError(f"f is {shown(f)}: give a function")


def _check_step(h: Any) -> None:
    if not isinstance(h, Real) or not 0 < abs(float(h)) < np.inf:
        raise ValueError(f"h is {shown(h)}: give a step, a number such as 1e-4")


def sequence_of(name: str, values: Any) -> Sequence[Any]:
    """Return primals or tangents, an argument of this name, if they are a sequence of arrays.

    Raises
    ------
    TypeError
        If they are one array, or nothing of several parts.
    """
    if not isinstance(values, Sequence) or isinstance(values, str | bytes | range):
        raise TypeError(f"{name} is {type(values).__name__}: pass a tuple of arrays, (x,) or (x, w)")
    return values


def pairs_of(primals: Any, tangents: Any) -> list[tuple[Array, Array]]:
    """Return each primal with its tangent, as arrays; an error says why where they do not belong together."""
    given = sequence_of("primals", primals), sequence_of("tangents", tangents)
    if len(given[0]) != len(given[1]):
        counts = f"{len(given[0])} primals and {len(given[1])} tangents"
        raise ValueError(f"there are {counts}: give one tangent for each primal")
    pairs = [(np.asarray(x), np.asarray(v)) for x, v in zip(*given, strict=True)]
    for i, (x, v) in enumerate(pairs):
        if x.shape != v.shape:
            raise ValueError(
                f"tangent {i} has shape {v.shape}, primal {i} {x.shape}: give it the primal's shape"
            )
    return pairs


def check_cotangent(cotangent: Any, output: Any) -> None:
    """Raise ValueError unless a cotangent has the output's shape, or those of several outputs."""
    shapes, expected = ([np.shape(part) for part in as_tuple(value)] for value in (cotangent, output))
    if shapes != expected:
        has, wants = (
            str(s[0]) if len(s) == 1 else f"{len(s)} parts, {', '.join(map(str, s))}"
            for s in (shapes, expected)
        )
        raise ValueError(f"the cotangent has shape {has}, f's output {wants}: give it the output's shape")
    for part in as_tuple(cotangent):
        if np.asarray(part).dtype.kind not in "fciub":
            raise TypeError(f"the cotangent holds {np.asarray(part).dtype}: give it numbers")


def values_to_both_sides(
    f: Callable[[Array], Any], x: Array, index: tuple[int, ...], h: float
) -> tuple[Any, Any, Any]:
    """Return f with one element of x moved by +h, f with that element moved by -h, and the step between the two."""
    saved = x[index].copy()
    plus, minus = saved + x.dtype.type(h), saved - x.dtype.type(h)
    if plus == minus:
        raise ValueError(
            f"the step h = {h:g} vanishes against x[{_index_text(index)}] = {saved:g}: pass a larger h"
        )
    try:
        x[index] = plus
        above = _copied_if_shared(f(x), x)
        x[index] = minus
        below = _copied_if_shared(f(x), x)
    finally:
        x[index] = saved
    return above, below, plus - minus


def _copied_if_shared(y: Any, x: Array) -> Any:
    """Return y, copied where it may be a view of the x that is about to change."""
    if isinstance(y, tuple):
        return tuple(_copied_if_shared(part, x) for part in y)
    return y.copy() if isinstance(y, np.ndarray) and np.may_share_memory(y, x) else y


def _stacked_differences(f: Callable[[Array], Any], x: Array, h: float) -> Iterator[tuple[int, Any, Any]]:
    """Yield (flat index, f(+h) - f(-h), step taken) for every element, many points a call."""
    flat = x.reshape(-1)
    rows = max(1, STACK_ELEMENTS // (2 * max(1, x.size)))
    for first in range(0, x.size, rows):
        moved = np.arange(first, min(first + rows, x.size))
        plus, minus = flat[moved] + x.dtype.type(h), flat[moved] - x.dtype.type(h)
        stack = np.repeat(flat[np.newaxis], 2 * moved.size, axis=0)
        stack[np.arange(moved.size), moved] = plus
        stack[moved.size + np.arange(moved.size), moved] = minus
        values = real_stack(f(stack.reshape(-1, *x.shape)), 2 * moved.size)
        for k, i in enumerate(moved):
            index = np.unravel_index(i, x.shape)
            above, below = values[k], values[moved.size + k]
            if plus[k] == minus[k]:
                raise ValueError(
                    f"the step h = {h:g} vanishes against x[{_index_text(index)}] = {flat[i]:g}: pass a larger h"
                )
            yield (
                int(i),
                _finite_scalar(above, index, h) - _finite_scalar(below, index, -h),
                plus[k] - minus[k],
            )


def float_array(x: Any, writeable: bool = False) -> Array:
    """Return `x` as an array of real floats; raise an error that says why where it is none."""
    try:
        array = np.asarray(x)
    except ValueError as error:  # a list of lists of several lengths
        raise ValueError(f"x cannot be made an array ({error}): pass an array of floats") from error
    if not np.issubdtype(array.dtype, np.floating):
        cure = (
            "split it into its real and imaginary part" if array.dtype.kind == "c" else "pass x.astype(float)"
        )
        raise TypeError(f"x has dtype {array.dtype}, in which a small step cannot be taken: {cure}")
    if writeable and not array.flags.writeable:
        raise ValueError("x is read-only and is perturbed in place: pass x.copy()")
    return array


def real_scalar(value: Any) -> Array:
    """Return the value of f as a 0-d array of floats; raise an error that says so where it is no real number."""
    array = np.asarray(value)
    if array.shape != ():
        raise ValueError(f"f returned shape {array.shape}: return one real number, for example its sum")
    if array.dtype.kind not in "fiub":
        raise TypeError(f"f returned {array.dtype}: return one real number, for example its real part")
    return array if array.dtype.kind == "f" else array.astype(float)


def real_stack(values: Any, points: int) -> Array:
    """Return the values of a vectorized f for a stack of `points`; raise an error where their shape is another."""
    array = np.asarray(values)
    if array.shape != (points,):
        raise ValueError(
            f"f returned shape {array.shape} for a stack of {points} points: "
            f"return one real number a point, shape ({points},), or leave vectorized off"
        )
    return array


def _finite_scalar(value: Any, index: Sequence[Any], h: float) -> Any:
    """Return the value of f as a 0-d array; raise an error where it is no finite real number."""
    array = real_scalar(value)
    if not np.isfinite(array):
        raise ValueError(
            f"f is {array} where x[{_index_text(index)}] is moved by {h:+g}: "
            "choose a point away from the edge of f's domain, or a smaller h"
        )
    return array


def _finite_array(value: Any, index: Sequence[Any], h: float) -> Any:
    """Return the values of f as an array of floats; raise an error where they are no finite numbers."""
    array = number_array(value)
    if not np.isfinite(array).all():
        raise ValueError(
            f"f is not finite where x[{_index_text(index)}] is moved by {h:+g}: "
            "choose a point away from the edge of f's domain, or a smaller h"
        )
    return array


def number_array(value: Any) -> Array:
    """Return what f returned as an array of floats; raise TypeError where it holds something else."""
    try:
        array = np.asarray(value)
    except ValueError as error:
        raise TypeError(f"f returned what is no array ({error}): return an array of floats") from error
    nothing = isinstance(value, tuple) and not value
    if array.dtype.kind not in "fciub" or nothing:
        what = "an empty tuple" if nothing else str(array.dtype)
        raise TypeError(f"f returned {what}: return an array of floats")
    return array if array.dtype.kind in "fc" else array.astype(float)


def _inner(cotangent: Any, output: Any) -> Any:
    pairs = zip(as_tuple(cotangent), as_tuple(output), strict=True)
    return sum(np.sum(g * y) for g, y in pairs)


def _index_text(index: Sequence[Any]) -> str:
    return ", ".join(str(int(i)) for i in index)
