"""Numerical derivatives by central differences: gradient, vjp, jvp and Jacobian, and an error with each."""

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from gradlab.node import Array, as_tuple

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
    x = _float_array(x)
    gradient = np.empty_like(x)
    if vectorized:
        for i, difference, step in _stacked_differences(f, x, h):
            gradient.flat[i] = difference / step
        return gradient
    if not x.flags.writeable:
        raise ValueError("x is read-only and is perturbed in place: pass x.copy()")
    for index in np.ndindex(x.shape):
        plus, minus, step = _perturbed(f, x, index, h)
        gradient[index] = (_scalar(plus, index, h) - _scalar(minus, index, -h)) / step
    return gradient


def numerical_jacobian(f: Callable[[Array], Any], x: Array, h: float = 1e-4) -> Array:
    """Return the Jacobian of an array-valued function, shape ``(*f(x).shape, *x.shape)``.

    Column by column what `numerical_gradient` does, and under the same conditions.
    """
    x = _float_array(x, writeable=True)
    columns = []
    for index in np.ndindex(x.shape):
        plus, minus, step = _perturbed(f, x, index, h)
        columns.append((np.asarray(plus) - np.asarray(minus)) / step)
    shape = columns[0].shape if columns else np.shape(f(x))
    return np.stack(columns, axis=-1).reshape(*shape, *x.shape) if columns else np.empty((*shape, *x.shape))


def numerical_jvp(
    f: Callable[..., Any], primals: Sequence[Array], tangents: Sequence[Array], h: float = 1e-4
) -> Any:
    """Return the derivative of ``f(*primals)`` along `tangents`: the Jacobian at 0 of f on that line."""
    pairs = list(zip(primals, tangents, strict=True))
    return numerical_jacobian(lambda s: f(*(x + s * v for x, v in pairs)), np.zeros(()), h)


def numerical_vjp(
    f: Callable[..., Any], primals: Sequence[Array], cotangent: Any, h: float = 1e-4
) -> tuple[Array, ...]:
    """Return the cotangent times the Jacobian, one array per primal: the gradients of ``sum(g * f(...))``.

    With several outputs, `cotangent` is a tuple.
    """
    points = [np.array(x) for x in primals]
    return tuple(numerical_gradient(lambda _: _inner(cotangent, f(*points)), x, h) for x in points)


@dataclass(frozen=True)
class Estimate:
    """A numerical derivative that knows its own error.

    Attributes
    ----------
    value : ndarray
        The derivative, one element per element of the primal.
    error : ndarray
        A bound on the error of each element, in the same unit.
    evaluations : int
        How often the function was evaluated.
    lower, upper : ndarray
        The interval of the one-sided derivatives; where they agree, both equal `value`.
    """

    value: Array
    error: Array
    evaluations: int
    lower: Array
    upper: Array

    @property
    def kink(self) -> Array:
        """Where the one-sided derivatives disagree."""
        return np.asarray(self.lower < self.upper)


def estimate_vjp(f: Callable[..., Any], primals: Sequence[Array], cotangent: Any) -> tuple[Estimate, ...]:
    """Return an `Estimate` of the cotangent times the Jacobian for each primal.

    Central differences with the steps h, h/2 and h/4, extrapolated twice (Richardson); what the last
    extrapolation changed, and the rounding of ``sum(g * f)``, make the error. Where left and right slopes stay
    apart while h is halved there is a kink, and the interval between them is given.
    """
    points = [np.array(x) for x in primals]
    start = [np.array(y) for y in as_tuple(f(*points))]
    return tuple(_estimate(lambda: f(*points), x, start, as_tuple(cotangent)) for x in points)


def _estimate(f: Callable[[], Any], x: Array, start: Sequence[Array], g: Sequence[Array]) -> Estimate:
    value, error, lower, upper = (np.zeros_like(x) for _ in range(4))
    for index in np.ndindex(x.shape):
        # eps^(1/7) balances the h^6 that is left after two extrapolations against rounding
        h = float(np.finfo(x.dtype).eps) ** (1 / 7) * min(max(abs(float(x[index])), 0.1), 1.0)
        left, right, noise = _slopes(f, x, index, (h, h / 2, h / 4), start, g)
        central = (left + right) / 2
        once = (4 * central[1:] - central[:-1]) / 3
        value[index] = lower[index] = upper[index] = (16 * once[1] - once[0]) / 15
        error[index] = abs(once[1] - value[index]) + noise
        gap = np.abs(right - left)
        if gap[2] > 0.75 * gap[1] > 0.5 * gap[0] and gap[2] > 100 * noise:
            # halving h halves the gap of a smooth function, leaves that of a kink, doubles that of a jump
            value[index], error[index] = central[2], noise
            lower[index], upper[index] = min(left[2], right[2]), max(left[2], right[2])
    return Estimate(value, error, 6 * x.size, lower, upper)


def _slopes(
    f: Callable[[], Any],
    x: Array,
    index: tuple[int, ...],
    steps: Sequence[float],
    start: Sequence[Array],
    g: Sequence[Array],
) -> tuple[Array, Array, float]:
    """Return the slopes of sum(g * f) to the left and to the right for each step, and their rounding."""
    left, right, noise = np.empty(len(steps)), np.empty(len(steps)), 0.0
    for i, h in enumerate(steps):
        plus, minus, taken = _perturbed(lambda _: f(), x, index, h)
        # subtracting before summing keeps the rounding of the sum in proportion to the change
        above = [y - y0 for y, y0 in zip(as_tuple(plus), start, strict=True)]
        below = [y0 - y for y, y0 in zip(as_tuple(minus), start, strict=True)]
        right[i] = _inner(g, tuple(above)) / (taken / 2)
        left[i] = _inner(g, tuple(below)) / (taken / 2)
        moved = [
            np.abs(gk * y0)[(a != 0) | (b != 0)] for gk, y0, a, b in zip(g, start, above, below, strict=True)
        ]
        noise = max(noise, 8 * float(np.finfo(x.dtype).eps) * float(sum(m.sum() for m in moved)) / h)
    return left, right, noise


def _perturbed(f: Callable[[Array], Any], x: Array, index: tuple[int, ...], h: float) -> tuple[Any, Any, Any]:
    """Return f with one element of x moved by +h, by -h, and the step between the two."""
    saved = x[index].copy()
    plus, minus = saved + x.dtype.type(h), saved - x.dtype.type(h)
    if plus == minus:
        raise ValueError(
            f"the step h = {h:g} vanishes against x[{_show(index)}] = {saved:g}: pass a larger h"
        )
    try:
        x[index] = plus
        above = _kept(f(x), x)
        x[index] = minus
        below = _kept(f(x), x)
    finally:
        x[index] = saved
    return above, below, plus - minus


def _kept(y: Any, x: Array) -> Any:
    """Return y, copied where it may be a view of the x that is about to change."""
    if isinstance(y, tuple):
        return tuple(_kept(part, x) for part in y)
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
        values = np.asarray(f(stack.reshape(-1, *x.shape)))
        if values.shape != (2 * moved.size,):
            raise ValueError(
                f"f returned shape {values.shape} for a stack of {2 * moved.size} points: "
                f"return one real number a point, shape ({2 * moved.size},), or leave vectorized off"
            )
        for k, i in enumerate(moved):
            index = np.unravel_index(i, x.shape)
            above, below = values[k], values[moved.size + k]
            if plus[k] == minus[k]:
                raise ValueError(
                    f"the step h = {h:g} vanishes against x[{_show(index)}] = {flat[i]:g}: pass a larger h"
                )
            yield int(i), _scalar(above, index, h) - _scalar(below, index, -h), plus[k] - minus[k]


def _float_array(x: Any, writeable: bool = False) -> Array:
    array = np.asarray(x)
    if not np.issubdtype(array.dtype, np.floating):
        cure = (
            "split it into its real and imaginary part" if array.dtype.kind == "c" else "pass x.astype(float)"
        )
        raise TypeError(f"x has dtype {array.dtype}, in which a small step cannot be taken: {cure}")
    if writeable and not array.flags.writeable:
        raise ValueError("x is read-only and is perturbed in place: pass x.copy()")
    return array


def _scalar(value: Any, index: Sequence[Any], h: float) -> Any:
    """Return the value of f if it is one finite real number; say what it is otherwise."""
    array = np.asarray(value)
    if array.shape != ():
        raise ValueError(f"f returned shape {array.shape}: return one real number, for example its sum")
    if array.dtype.kind not in "fiub":
        raise TypeError(f"f returned {array.dtype}: return one real number, for example its real part")
    if not np.isfinite(array):
        raise ValueError(
            f"f is {array} where x[{_show(index)}] is moved by {h:+g}: "
            "choose a point away from the edge of f's domain, or a smaller h"
        )
    return array if array.dtype.kind == "f" else array.astype(float)


def _inner(cotangent: Any, output: Any) -> Any:
    pairs = zip(as_tuple(cotangent), as_tuple(output), strict=True)
    return sum(np.sum(g * y) for g, y in pairs)


def _show(index: Sequence[Any]) -> str:
    return ", ".join(str(int(i)) for i in index)
