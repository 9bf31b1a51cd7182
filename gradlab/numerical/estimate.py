"""Numerical derivatives that know their own error."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from functools import partial
from typing import Any, get_args

import numpy as np

from gradlab.node import Array
from gradlab.numerical.complex_step import complex_step
from gradlab.numerical.element_slopes import LADDER, ROUNDS, slopes_of_ladder, slopes_of_one_step
from gradlab.numerical.element_slopes import Method as Method
from gradlab.numerical.finite_difference import (
    check_callable,
    check_cotangent,
    float_array,
    number_array,
    pairs_of,
    real_scalar,
    real_stack,
    sequence_of,
)
from gradlab.numerical.moved_points import (
    GROUPS,
    GroupedOutputs,
    MovedElements,
    Points,
    ScalarFunction,
    StackedFunction,
    flat_outputs,
)
from gradlab.numerical.sparse_slopes import ElementSlopes, sparse_slopes
from gradlab.workers.strange_objects import shown
from gradlab.workers.worker_map import Workers, open_worker_map, results_in_order

# The parts of an estimate that have a number for each element.
PARTS = ("value", "error", "lower", "upper", "scale", "terms")
# A slope of less than this many ulps of the cotangent may leave no trace at all in f: the loss of a saturated
# softmax is 0, or log(1 + 1e-16) and so 0 again, at every point.
TRACELESS_ULPS = 1000
# So many elements are one task for a worker.
ELEMENTS_A_TASK = 64
# So many output numbers are held at once, at the most.
CHUNK = 2**22
# So many elements are moved together where they move different outputs.
SPARSE_FROM = 32
# And so many where all elements are looked at: of fewer, each has its ladder.
SPARSE_FROM_WHOLE = 256
# Where elements times outputs are more than this, the outputs are added up in groups first.
MANY = 2**20


@dataclass(frozen=True)
class Estimate:
    """A numerical derivative that knows its own error.

    Attributes
    ----------
    value : ndarray
        The derivative, one element per element of the primal.
    error : ndarray
        A bound on the error of each element, in the unit of `value`; infinite where nothing is known.
    evaluations : int
        How often the function was evaluated.
    lower, upper : ndarray
        The interval of the one-sided derivatives, at ties the sum of every output's own; where they agree, both
        equal `value`. Infinite on the side of a jump.
    scale : ndarray
        The slope at which the outputs would change by all of their size over the largest step. A derivative that
        is zero to within `error` is known well if `error` is small beside it.
    terms : ndarray
        The sum of the sizes of the terms that an analytic gradient adds up: its rounding is in proportion to that.
    unseen : float
        Where `value` is 0 to within `error`, the size of a slope that may be there and leave no trace.
    """

    value: Array
    error: Array
    evaluations: int
    lower: Array
    upper: Array
    scale: Array
    terms: Array
    unseen: float = 0.0

    @property
    def kink(self) -> Array:
        """Where the one-sided derivatives disagree."""
        return np.asarray(self.lower < self.upper)

    @property
    def jump(self) -> Array:
        """Where the function itself jumps, or its slope grows beyond all bounds."""
        return np.asarray(np.isinf(self.lower) | np.isinf(self.upper))


def exact_estimate(value: Array) -> Estimate:
    """Return `value` as an estimate without an error, for values that need no differences."""
    zero = np.zeros_like(value)
    return Estimate(value, zero, 0, value, value, zero, np.abs(value))


def unknown_estimate(terms: Array) -> Estimate:
    """Return an estimate of which nothing is known but the size of the terms."""
    nowhere, boundless, zero = (np.broadcast_to(value, terms.shape) for value in (np.nan, np.inf, 0.0))
    return Estimate(nowhere, boundless, 0, nowhere, nowhere, zero, terms)


def estimate_gradient(
    f: Callable[[Array], Any],
    x: Array,
    *,
    method: Method = "auto",
    vectorized: bool = False,
    workers: Workers = None,
) -> Estimate:
    """Return the gradient of a scalar function, with a bound on the error of every element.

    Parameters
    ----------
    f : callable
        ``f(x) -> scalar``; with `vectorized`, ``f(stack) -> array`` of shape (K,) for a stack of shape
        ``(K, *x.shape)``.
    x : ndarray of floats
        The point, of any shape; it is not changed.
    method : {"auto", "central", "forward", "backward", "complex-step"}
        "auto": a ladder of steps, extrapolated, at most 32 evaluations an element. "central", "forward" and
        "backward": one step, and a second one half as long to tell the error. "complex-step": one evaluation at
        x + ih, to machine precision, where `f` is analytic and computes in complex numbers.
    vectorized : bool
        Whether `f` takes a stack of points.
    workers : int or map-like callable, optional
        Spreads the elements over that many processes (-1: as many as there are processors), or by a call of
        ``workers(function, iterable)``, as in SciPy; `f` must then be picklable. The result does not depend on
        `workers`.

    Returns
    -------
    Estimate

    Raises
    ------
    TypeError
        If `x` does not hold real floats, or `f` does not return real numbers.
    ValueError
        If `f` returns another shape than a scalar, or `method` is unknown, or "complex-step" is asked for where
        `f` is not analytic.

    Notes
    -----
    Richardson's extrapolation on windows of the ladder (Ridders, 1982, Advances in Engineering Software 4). The error
    bound follows from how much dropping a step changes, and from how far the smaller steps scatter about the value.

    Examples
    --------
    >>> estimate = estimate_gradient(lambda x: np.exp(x).sum(), np.array([0.0, 1.0]))
    >>> bool((np.abs(estimate.value - np.exp([0.0, 1.0])) <= estimate.error).all())
    True
    """
    check_callable(f)
    check_method(method)
    x = _in_double(x)
    if method == "complex-step":
        single = (lambda at: f(at[None])[0]) if vectorized else f
        return _complex_step(single, (x,), 0, 1.0)
    y0 = real_stack(f(x[None].copy()), 1) if vectorized else real_scalar(f(x.copy())).reshape(1)
    y0 = y0.astype(np.promote_types(x.dtype, np.float64))
    evaluate = StackedFunction(f, x) if vectorized else MovedElements(ScalarFunction(f), (x,), 0, 1)
    return _estimated_elements(evaluate, x, y0, np.ones(1, dtype=y0.dtype), method, workers)


def estimate_vjp(
    f: Callable[..., Any],
    primals: Sequence[Array],
    cotangent: Any,
    *,
    method: Method = "auto",
    workers: Workers = None,
) -> tuple[Estimate, ...]:
    """Return an `Estimate` of the cotangent times the Jacobian of ``f(*primals)`` for each primal.

    `f` is called with copies of the primals, one element moved at a time; with several outputs, `cotangent` is a
    tuple. `method` and `workers` as for `estimate_gradient`.
    """
    check_callable(f)
    sequence_of("primals", primals)
    with open_worker_map(workers) as worker_map:
        shared = None if workers is None else worker_map
        return tuple(
            estimate_vjp_of_primal(f, primals, cotangent, i, method=method, workers=shared)
            for i in range(len(primals))
        )


def estimate_vjp_of_primal(
    f: Callable[..., Any],
    primals: Sequence[Array],
    cotangent: Any,
    i: int,
    *,
    method: Method = "auto",
    workers: Workers = None,
) -> Estimate:
    """Return the `Estimate` that `estimate_vjp` gives for primal number `i`."""
    check_method(method)
    points = tuple(_in_double(x) for x in primals)
    if method == "complex-step":
        return _complex_step(f, points, i, cotangent)
    output = f(*(x.copy() for x in points))
    check_cotangent(cotangent, output)
    y0 = flat_outputs(output)
    g = flat_outputs(cotangent).astype(y0.dtype)
    x = points[i]
    if method == "auto" and workers is None and x.size >= SPARSE_FROM_WHOLE and y0.size > 1:
        return _together(f, points, i, y0, g)
    moved = MovedElements(f, points, i, y0.size)
    return _reshaped(_estimated_in_groups(moved, y0, g, np.arange(x.size), method, workers), x.shape)


def _estimated_in_groups(
    evaluate: MovedElements, y0: Array, g: Array, elements: Array, method: Method, workers: Workers
) -> Estimate:
    """Return the estimate of some elements, of many outputs by a few sums of them where these have no kink.

    At a kink every output counts by itself: of a tie, each may go to another element.
    """
    x = evaluate.points[evaluate.which]
    if len(elements) * y0.size <= MANY or y0.size <= GROUPS:
        return _estimated_elements(evaluate, x, y0, g, method, workers, elements=elements)
    sums = GroupedOutputs(evaluate.f, g)
    ones = np.ones(GROUPS, dtype=g.dtype)
    found = _estimated_elements(
        replace(evaluate, f=sums, size=GROUPS), x, sums.sums(y0), ones, method, workers, elements=elements
    )
    kinked = np.flatnonzero(found.kink)
    if not kinked.size:
        return found
    own = _estimated_elements(evaluate, x, y0, g, method, workers, elements=elements[kinked])
    return _with_elements(found, kinked, own)


def _with_elements(estimate: Estimate, places: Array, others: Estimate) -> Estimate:
    """Return an estimate with others at some places."""
    parts = {name: getattr(estimate, name).copy() for name in PARTS}
    for name, part in parts.items():
        part[places] = getattr(others, name)
    return replace(estimate, evaluations=estimate.evaluations + others.evaluations, **parts)


def _together(f: Callable[..., Any], points: tuple[Array, ...], i: int, y0: Array, g: Array) -> Estimate:
    """Return the estimate of one primal, of which elements that move different outputs are moved together."""
    x = points[i]

    def of_vector(moved: Array) -> Any:
        return f(*points[:i], moved.reshape(x.shape), *points[i + 1 :])

    return _reshaped(estimate_elements(of_vector, x.reshape(-1), g, np.arange(x.size)), x.shape)


def _reshaped(estimate: Estimate, shape: tuple[int, ...]) -> Estimate:
    return replace(estimate, **{name: getattr(estimate, name).reshape(shape) for name in PARTS})


def estimate_elements(
    f: Callable[[Array], Any], x: Array, cotangent: Array, elements: Array, *, method: Method = "auto"
) -> Estimate:
    """Return an `Estimate`, one number each, of some elements of the cotangent times the Jacobian of ``f(x)``.

    `x` and f's outputs are vectors; `elements` are places in `x`.
    """
    y0 = flat_outputs(f(x.copy()))
    g = cotangent.astype(y0.dtype)
    if method == "auto" and len(elements) >= SPARSE_FROM and y0.size > 1:
        with np.errstate(all="ignore"):
            found = sparse_slopes(Points(f, y0), x, y0, g, elements)
        if found is not None:
            return _completed(found, f, x, y0, g, elements)
    return _estimated_in_groups(MovedElements(f, (x,), 0, y0.size), y0, g, elements, method, None)


def _completed(
    found: ElementSlopes, f: Callable[[Array], Any], x: Array, y0: Array, g: Array, elements: Array
) -> Estimate:
    """Return slopes that were found together as an `Estimate`, with whole ladders of those that are not settled."""
    parts: dict[str, Any] = {name: getattr(found, name) for name in PARTS}
    estimate = Estimate(evaluations=found.evaluations, unseen=_traceless(g), **parts)
    rest = np.flatnonzero(~found.settled)
    if not rest.size:
        return estimate
    own = _estimated_in_groups(MovedElements(f, (x,), 0, y0.size), y0, g, elements[rest], "auto", None)
    return _with_elements(estimate, rest, own)


def slopes_within(
    f: Callable[[Array], Any], x: Array, cotangent: Array, elements: Array, reach: float
) -> tuple[Array, Array]:
    """Return some elements of the cotangent times the Jacobian of ``f(x)``, and their errors, by steps within `reach`.

    For points that have kinks nearby: no element is moved by more than `reach`, and the error is what rounding leaves.
    """
    y0 = flat_outputs(f(x.copy()))
    points, g = Points(f, y0), cotangent.astype(y0.dtype)
    with np.errstate(all="ignore"):
        found = sparse_slopes(points, x, y0, g, elements, reach) if y0.size > 1 else None
        if found is not None:
            return found.value, found.error
        value = np.empty(len(elements), dtype=y0.dtype)
        for i, k in enumerate(elements):
            moved = np.stack([x, x])
            moved[:, k] += reach / 2, -reach / 2
            above, below = points(moved)
            value[i] = g @ (above - below) / (moved[0, k] - moved[1, k])
    rounding = 4 * float(np.finfo(y0.dtype).eps) * float(np.sum(np.abs(g * y0))) / reach
    return value, np.full(len(elements), rounding)


def estimate_jvp(
    f: Callable[..., Any], primals: Sequence[Array], tangents: Sequence[Array], *, method: Method = "auto"
) -> Estimate:
    """Return an `Estimate` of the derivative of ``f(*primals)`` along `tangents`: the Jacobian of f on that line."""
    check_callable(f)
    pairs = [(_in_double(x), v) for x, v in pairs_of(primals, tangents)]
    return estimate_jacobian(lambda s: f(*(x + s * v for x, v in pairs)), np.zeros(()), method=method)


def estimate_line(f: Callable[[Any], Any], *, enough: float = 0.0, method: Method = "auto") -> Estimate:
    """Return an `Estimate`, of shape (), of the slope of ``f(s)`` at 0; an error bound of `enough` ends the ladder.

    Stairs finer than the steps are taken for rounding: a line moves many elements, and each tells better what they are.
    """
    origin = np.zeros(())
    if method == "complex-step":
        return _complex_step(f, (origin,), 0, 1.0)
    y0 = real_scalar(f(origin)).reshape(1).astype(np.float64)
    ladder = partial(slopes_of_ladder, enough=enough, believe_flights=True)
    moved = MovedElements(ScalarFunction(f), (origin,), 0, 1)
    return _estimated_elements(moved, origin, y0, np.ones(1), method, None, ladder)


def estimate_jacobian(f: Callable[[Array], Any], x: Array, *, method: Method = "auto") -> Estimate:
    """Return an `Estimate` of the Jacobian, of shape ``(*f(x).shape, *x.shape)``: a vjp for each output."""
    check_callable(f)
    shape = number_array(f(_in_double(x))).shape
    rows = [
        estimate_vjp(f, (x,), one.reshape(shape), method=method)[0] for one in np.eye(int(np.prod(shape)))
    ]
    parts: dict[str, Any] = {
        name: np.reshape([getattr(row, name) for row in rows], (*shape, *np.shape(x))) for name in PARTS
    }
    unseen = max((row.unseen for row in rows), default=0.0)
    return Estimate(evaluations=sum(row.evaluations for row in rows), unseen=unseen, **parts)


def _complex_step(f: Callable[..., Any], points: tuple[Array, ...], which: int, cotangent: Any) -> Estimate:
    value, evaluations = complex_step(f, points, which, cotangent)
    error = 16 * np.finfo(value.dtype).eps * np.abs(value)
    return Estimate(value, error, evaluations, value, value, np.zeros_like(value), np.abs(value))


def _in_double(x: Any) -> Array:
    """Return x in double precision at least: a float32 gradient is judged by a float64 reference."""
    array = float_array(x)
    return array.astype(np.promote_types(array.dtype, np.float64))


def check_method(method: str) -> None:
    """Raise ValueError unless there is a method of this name."""
    if not isinstance(method, str) or method not in get_args(Method):
        raise ValueError(f"no method is named {shown(method)}: there are {', '.join(get_args(Method))}")


def _estimated_elements(
    evaluate: Any,
    x: Array,
    y0: Array,
    g: Array,
    method: Method,
    workers: Workers,
    ladder: Callable[..., Any] = slopes_of_ladder,
    elements: Array | None = None,
) -> Estimate:
    places, shape = (np.arange(x.size), x.shape) if elements is None else (elements, elements.shape)
    read: Any = ladder if method == "auto" else slopes_of_one_step
    columns = max(1, CHUNK // (2 * (len(LADDER) + sum(ROUNDS)) * max(1, y0.size)))
    if workers is not None:
        columns = min(columns, ELEMENTS_A_TASK)
    indices = [places[first : first + columns] for first in range(0, len(places), columns)]
    task = partial(_without_warnings, read, evaluate, x=x.reshape(-1), y0=y0, g=g, method=method)
    with open_worker_map(workers) as worker_map:
        parts = results_in_order(worker_map, task, indices)
    value, error, lower, upper, scale, terms = (
        np.concatenate([part[i] for part in parts] or [np.empty(0, x.dtype)]).reshape(shape) for i in range(6)
    )
    evaluations = 1 + sum(part[6] for part in parts)
    return Estimate(value, error, evaluations, lower, upper, scale, terms, _traceless(g))


def _traceless(g: Array) -> float:
    return TRACELESS_ULPS * float(np.finfo(np.float64).eps) * float(np.sum(np.abs(g)))


def _without_warnings(read: Callable[..., Any], *arguments: Any, **more: Any) -> Any:
    # values that overflow, or do not exist, are told by infinite bounds and not by warnings
    with np.errstate(all="ignore"):
        return read(*arguments, **more)
