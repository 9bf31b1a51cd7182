"""Numerical derivatives that know their own error."""

import pickle
from collections.abc import Callable, Iterable, Sequence
from concurrent.futures import ProcessPoolExecutor
from dataclasses import dataclass
from functools import partial
from typing import Any, Literal, NamedTuple, get_args

import numpy as np

from gradlab._complex_step import complex_step
from gradlab._ladder import Slopes, slopes
from gradlab._scan import Scan
from gradlab.finite_difference import STACK_ELEMENTS, float_array, real_scalar, real_stack
from gradlab.node import Array, as_tuple

Method = Literal["auto", "central", "forward", "backward", "complex-step"]
Workers = int | Callable[..., Iterable[Any]] | None

# Relative to an element's own scale: four steps for the extrapolation, four small ones to bear witness. Not
# powers of two, so that a moved x needs all its digits and shows in what precision f computes.
LADDER = 1.1 * np.exp2([-2.0, -4.0, -6.0, -8.0, -18.0, -27.0, -36.0, -43.0])
# Two rounds of further steps where these do not settle it: 2 (8 + 3 + 4) + 1 = 31 evaluations at the most.
ROUNDS = (3, 4)
# An element is settled when its bound is below this, relative to itself: not to its neighbours, so that it does
# not matter which elements are worked on together.
SETTLED = 1e-11
# The textbook's step, for the methods that take one.
STEP = 1e-4
# A slope of less than this many ulps of the cotangent may leave no trace at all in f: the loss of a saturated
# softmax is 0, or log(1 + 1e-16) and so 0 again, wherever it is looked at.
TRACELESS_ULPS = 1000
# Steps of this size, relative to the ladder's largest, are far above the rounding of x.
COARSE = 2.0**-16
# What one process is handed at once.
ELEMENTS_A_TASK = 64
# So many numbers of output are held at once, at the most.
CHUNK = 2**22
# Where elements times outputs are more than this, the outputs are added up in so many groups first.
MANY, GROUPS = 2**20, 64


@dataclass(frozen=True)
class Estimate:
    """A numerical derivative that knows its own error.

    Attributes
    ----------
    value : ndarray
        The derivative, one element per element of the primal.
    error : ndarray
        A bound on the error of each element, in the same unit; infinite where nothing is known.
    evaluations : int
        How often the function was evaluated.
    lower, upper : ndarray
        The interval of the one-sided derivatives, at ties the sum of every output's own; where they agree, both
        equal `value`. Infinite on the side of a jump.
    scale : ndarray
        The slope at which the outputs would change by all of their size over the largest step. A derivative that
        is zero to within `error` is known well if `error` is small beside it.
    terms : ndarray
        The sum of the sizes of what an analytic gradient adds up: its rounding is in proportion to that.
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


def exact(value: Array) -> Estimate:
    """Return `value` as an estimate without an error, to compare what needs no differences."""
    zero = np.zeros_like(value)
    return Estimate(value, zero, 0, value, value, zero, np.abs(value))


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
        Spreads the elements over that many processes, or over what ``workers(function, iterable)`` makes of
        them, as in SciPy; `f` must then be picklable. The result does not depend on it.

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
    Richardson's extrapolation on windows of the ladder (Ridders, 1982, Advances in Engineering Software 4); the
    error from dropping steps, and from how far the smaller steps scatter about the answer.

    Examples
    --------
    >>> estimate = estimate_gradient(lambda x: np.exp(x).sum(), np.array([0.0, 1.0]))
    >>> bool((np.abs(estimate.value - np.exp([0.0, 1.0])) <= estimate.error).all())
    True
    """
    x = _double(x)
    if method == "complex-step":
        single = (lambda at: f(at[None])[0]) if vectorized else f
        return _complex_step(single, (x,), 0, 1.0)
    y0 = real_stack(f(x[None].copy()), 1) if vectorized else real_scalar(f(x.copy())).reshape(1)
    y0 = y0.astype(np.promote_types(x.dtype, np.float64))
    evaluate = _StackedScalar(f, x) if vectorized else _Moved(_Scalar(f), (x,), 0)
    return _over_elements(evaluate, x, y0, np.ones(1, dtype=y0.dtype), method, workers)


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
    points = tuple(_double(x) for x in primals)
    if method == "complex-step":
        return tuple(_complex_step(f, points, i, cotangent) for i in range(len(points)))
    y0 = _flat(f(*(x.copy() for x in points)))
    g = _flat(cotangent).astype(y0.dtype)
    if g.size != y0.size:
        raise ValueError(
            f"the cotangent has {g.size} elements, f's output {y0.size}: give it the output's shape"
        )
    found = []
    for i, x in enumerate(points):
        if x.size * y0.size > MANY and y0.size > GROUPS:
            grouped = _Grouped(f, g)
            ones = np.ones(GROUPS, dtype=g.dtype)
            found.append(
                _over_elements(_Moved(grouped, points, i), x, grouped.sums(y0), ones, method, workers)
            )
        else:
            found.append(_over_elements(_Moved(f, points, i), x, y0, g, method, workers))
    return tuple(found)


def estimate_jvp(
    f: Callable[..., Any], primals: Sequence[Array], tangents: Sequence[Array], *, method: Method = "auto"
) -> Estimate:
    """Return an `Estimate` of the derivative of ``f(*primals)`` along `tangents`: f's Jacobian on that line."""
    pairs = [(_double(x), v) for x, v in zip(primals, tangents, strict=True)]
    return estimate_jacobian(lambda s: f(*(x + s * v for x, v in pairs)), np.zeros(()), method=method)


def estimate_jacobian(f: Callable[[Array], Any], x: Array, *, method: Method = "auto") -> Estimate:
    """Return an `Estimate` of the Jacobian, of shape ``(*f(x).shape, *x.shape)``: a vjp for each output."""
    shape = np.shape(f(_double(x)))
    rows = [
        estimate_vjp(f, (x,), one.reshape(shape), method=method)[0] for one in np.eye(int(np.prod(shape)))
    ]
    parts: dict[str, Any] = {
        name: np.reshape([getattr(row, name) for row in rows], (*shape, *np.shape(x)))
        for name in ("value", "error", "lower", "upper", "scale", "terms")
    }
    unseen = max((row.unseen for row in rows), default=0.0)
    return Estimate(evaluations=sum(row.evaluations for row in rows), unseen=unseen, **parts)


def _complex_step(f: Callable[..., Any], points: tuple[Array, ...], which: int, cotangent: Any) -> Estimate:
    value, evaluations = complex_step(f, points, which, cotangent)
    error = 16 * np.finfo(value.dtype).eps * np.abs(value)
    return Estimate(value, error, evaluations, value, value, np.zeros_like(value), np.abs(value))


def _double(x: Any) -> Array:
    """Return x in double precision at least: a float32 gradient is judged by a float64 reference."""
    array = float_array(x)
    return array.astype(np.promote_types(array.dtype, np.float64))


def _flat(outputs: Any) -> Array:
    """Return all outputs as one vector of floats, double precision at least."""
    parts = [np.asarray(y).reshape(-1) for y in as_tuple(outputs)]
    joined = np.concatenate(parts) if parts else np.empty(0)
    return joined.astype(np.promote_types(joined.dtype, np.float64))


@dataclass(frozen=True)
class _Moved:
    """Evaluates f with one element of one primal moved: one row of outputs a move, NaN outside the domain.

    An object and not a closure, so that it travels to other processes.
    """

    f: Callable[..., Any]
    points: tuple[Array, ...]
    which: int

    def __call__(self, moves: Sequence[tuple[int, Any]]) -> Array:
        rows = [self._outputs(index, value) for index, value in moves]
        some = next((row for row in rows if row is not None), np.full(1, np.nan))
        outputs = np.array([np.full_like(some, np.nan) if row is None else row for row in rows])
        outputs = outputs.reshape(len(rows), some.size)
        outputs[~np.isfinite(outputs)] = np.nan
        return outputs

    def _outputs(self, index: int, value: Any) -> Array | None:
        moved = [x.copy() for x in self.points]
        moved[self.which].flat[index] = value
        try:
            with np.errstate(all="ignore"):
                return _flat(self.f(*moved))
        except (ArithmeticError, ValueError):
            # outside the domain, as math.sqrt(-1) or an inverse of a singular matrix says it
            return None


@dataclass(frozen=True)
class _Grouped:
    """Adds up the outputs times their cotangent in groups of neighbours: of ten thousand outputs few are told apart."""

    f: Callable[..., Any]
    g: Array

    def __call__(self, *primals: Array) -> Array:
        return self.sums(_flat(self.f(*primals)))

    def sums(self, y: Array) -> Array:
        starts = np.linspace(0, y.size, GROUPS, endpoint=False).astype(int)
        return np.asarray(np.add.reduceat(self.g * y, starts))


@dataclass(frozen=True)
class _Scalar:
    """A function that must return one real number."""

    f: Callable[[Array], Any]

    def __call__(self, x: Array) -> Array:
        return real_scalar(self.f(x))


@dataclass(frozen=True)
class _StackedScalar:
    """Evaluates a function that takes a stack of points: one row a move, NaN outside the domain."""

    f: Callable[[Array], Any]
    x: Array

    def __call__(self, moves: Sequence[tuple[int, Any]]) -> Array:
        outputs = []
        rows = max(1, STACK_ELEMENTS // max(1, self.x.size))
        for first in range(0, len(moves), rows):
            some = moves[first : first + rows]
            stack = np.repeat(self.x.reshape(1, -1), len(some), axis=0)
            stack[np.arange(len(some)), [index for index, _ in some]] = [value for _, value in some]
            with np.errstate(all="ignore"):
                outputs.append(real_stack(self.f(stack.reshape(-1, *self.x.shape)), len(some)))
        values = np.concatenate(outputs or [np.empty(0)]).astype(np.promote_types(self.x.dtype, np.float64))
        return np.where(np.isfinite(values), values, np.nan)[:, None]


def _over_elements(
    evaluate: Any, x: Array, y0: Array, g: Array, method: Method, workers: Workers
) -> Estimate:
    read = {"auto": _elements, "central": _one_step, "forward": _one_step, "backward": _one_step}.get(method)
    if read is None:
        raise ValueError(f"no method is named {method!r}: there are {', '.join(get_args(Method))}")
    columns = max(1, CHUNK // (2 * (len(LADDER) + sum(ROUNDS)) * max(1, y0.size)))
    if workers is not None:
        columns = min(columns, ELEMENTS_A_TASK)
    indices = [np.arange(first, min(first + columns, x.size)) for first in range(0, x.size, columns)]
    task = partial(_quietly, read, evaluate, x=x.reshape(-1), y0=y0, g=g, method=method)
    parts = list(_map(workers, task, indices))
    value, error, lower, upper, scale, terms = (
        np.concatenate([part[i] for part in parts] or [np.empty(0, x.dtype)]).reshape(x.shape)
        for i in range(6)
    )
    unseen = TRACELESS_ULPS * float(np.finfo(np.float64).eps) * float(np.sum(np.abs(g)))
    return Estimate(value, error, 1 + sum(part[6] for part in parts), lower, upper, scale, terms, unseen)


def _map(workers: Workers, task: Callable[..., Any], items: Sequence[Any]) -> Iterable[Any]:
    if workers is None or workers == 1:
        return map(task, items)
    if callable(workers):
        return workers(task, items)
    try:
        pickle.dumps(task)
    except (AttributeError, TypeError, pickle.PicklingError) as error:
        raise TypeError(
            f"f cannot be sent to other processes ({error}): define it at the top level of a module, or "
            "leave workers out"
        ) from error
    with ProcessPoolExecutor(workers) as pool:
        return list(pool.map(task, items))


def _quietly(read: Callable[..., Any], *arguments: Any, **more: Any) -> Any:
    # what overflows or has no value is told by infinite bounds, not by warnings
    with np.errstate(all="ignore"):
        return read(*arguments, **more)


def _one_step(
    evaluate: Any, index: Array, x: Array, y0: Array, g: Array, method: Method
) -> tuple[Array, Array, Array, Array, Array, Array, int]:
    """Return what `_elements` returns, from the textbook's step and, for the error, one half as long."""
    scan = Scan(evaluate, index.tolist(), x[index], y0)
    scan.add(np.broadcast_to(STEP * np.array([1.0, 0.5]), (len(index), 2)))
    central, right, left, noise, _ = scan.quotients(g[None])
    quotient = {"central": central, "forward": right, "backward": left}[method][0]
    error = np.abs(quotient[:, 0] - quotient[:, 1]) * (2 if method == "central" else 3) + 2 * noise[0, :, 0]
    value = quotient[:, 0]
    error = np.where(np.isnan(error), np.inf, error)
    gap = np.abs(right - left)[0]
    kinked = (gap[:, 1] > 0.75 * gap[:, 0]) & (gap[:, 1] > 100 * noise[0, :, 1])
    sides = np.stack([left[0, :, 0], right[0, :, 0]])
    lower, upper = np.where(kinked, sides.min(axis=0), value), np.where(kinked, sides.max(axis=0), value)
    scale = np.full(len(index), float(np.sum(np.abs(g * y0))) / STEP)
    terms = np.abs(value) + scale * STEP
    return value, error, lower, upper, scale, terms, scan.evaluations


def _elements(
    evaluate: Any, index: Array, x: Array, y0: Array, g: Array, method: Method
) -> tuple[Array, Array, Array, Array, Array, Array, int]:
    """Return value, error, lower, upper, scale and evaluations for some elements of x."""
    at = x[index]
    scan = Scan(evaluate, index.tolist(), at, y0)
    own = np.abs(at)
    scan.add(np.where(own > 0, own, 1)[:, None] * LADDER.astype(at.dtype))
    # a second functional: kinks of two outputs may cancel in the first
    watched = np.stack([g, g * _weights(g.size)])
    for more in ROUNDS:
        found = _read(scan, g[None]).found()
        pending = ~_settled(found)
        if not pending.any():
            break
        scan.add(np.where(pending[:, None], _next_steps(scan, found, more), np.nan))
    value, error, lower, upper = _judge(scan, g, watched)
    scale = scan.usual_size(g[None])[0] / scan.reach
    # what the rounding of an analytic gradient is in proportion to: the terms that it adds up, and its outputs
    terms = scan.shares(g, _read(scan, g[None]).found().top) + np.sum(np.abs(g * y0))
    return value, error, lower, upper, scale, terms, scan.evaluations


def _weights(size: int) -> Array:
    return np.random.default_rng(0).uniform(0.5, 2.0, size)


class _Sides(NamedTuple):
    """What the ladder says of each line: a functional and an element."""

    central: Slopes
    right: Slopes
    left: Slopes
    gap: Slopes
    # where both one-sided slopes were read from steps far above the rounding of x
    coarse: Array

    def found(self) -> Slopes:
        """Return the central slopes, or one-sided ones at the edge of the domain."""
        found = self.central
        for side in (self.right, self.left):
            lacking = np.isnan(found.value)
            found = Slopes(*(np.where(lacking, a, b) for a, b in zip(side, found, strict=True)))
        # where only the second derivative jumps, the central quotients are a series in h and not in h^2, and the
        # one-sided ones know more
        error = self.right.error + self.left.error + np.abs(self.right.value - self.left.value)
        value = (self.right.value + self.left.value) / 2
        agrees = np.abs(value - found.value) <= found.error + error
        better = np.isfinite(found.error) & (error < found.error / 10) & agrees & self.coarse
        # rounding may leave f on one plateau for all small steps, and central differences take that for a slope of 0
        better |= (found.value == 0) & (np.abs(value) > 10 * error) & self.coarse
        return found._replace(
            value=np.where(better, value, found.value),
            error=np.where(better, error, found.error),
        )

    def kinked(self) -> Array:
        """Return where the right slope and the left one differ however small the step."""
        # the noise that the central slope shows counts here too: a gap may be free of it by symmetry
        noise = np.fmin(self.central.error, self.right.error + self.left.error)
        noise = np.where(np.isfinite(noise), noise, 0.0)
        apart = np.abs(self.gap.value) > 2 * (self.gap.error + noise)
        both = ~np.isnan(self.right.value) & ~np.isnan(self.left.value)
        return np.asarray(both & (apart | (self.right.diverges != self.left.diverges)))


def _read(scan: Scan, g: Array) -> _Sides:
    """Return the slopes of every functional (rows of `g`) and element."""
    central, right, left, noise, size = (q.reshape(-1, q.shape[-1]) for q in scan.quotients(g))
    h = np.broadcast_to(scan.h, (len(g), *scan.h.shape)).reshape(central.shape)
    usual, reach = scan.usual_size(g).reshape(-1), np.tile(scan.reach, len(g))
    above, below = (slopes(h, side, noise, size, usual, reach, 1) for side in (right, left))
    rows = np.arange(len(h))
    return _Sides(
        slopes(h, central, noise, size, usual, reach, 2, right - left),
        above,
        below,
        slopes(h, right - left, 2 * noise, size, usual, reach, 1),
        np.minimum(h[rows, above.top], h[rows, below.top]) >= COARSE * reach,
    )


def _settled(central: Slopes) -> Array:
    return np.asarray(central.error <= SETTLED * np.nan_to_num(np.abs(central.value)))


def _next_steps(scan: Scan, found: Slopes, count: int) -> Array:
    """Return `count` further steps an element, where they promise most.

    Where rounding is what limits the best window: larger steps, towards the next one that was tried, or, if all
    were, beyond the largest. Where truncation is: inside the window if its steps lie far apart, else below it.
    """
    steps = np.full((len(scan.h), count), np.nan, dtype=scan.h.dtype)
    for e, h in enumerate(scan.h):
        h = h[~np.isnan(h)]
        if not h.size:
            continue
        top = min(int(found.top[e]), h.size - 1)
        last = min(int(found.last[e]), h.size - 1)
        if last > h.size - 4:
            # too few smaller steps to have measured the noise
            steps[e] = np.geomspace(float(h[last]), float(h[-1]) / 8, count + 2)[1:-1]
            continue
        limited_by_noise = 4 * found.truncation[e] <= found.error[e]
        gaps = h[top:last] / h[top + 1 : last + 1]
        if gaps.size and gaps.max() > 8:
            widest = top + int(gaps.argmax())
            high, low = h[widest], h[widest + 1]
        elif limited_by_noise and top == 0:
            high, low = max(h[0] * 4.0 ** (count + 1), 0.3), h[0]
        elif limited_by_noise:
            # the next larger step may have been passed over only for what lies beyond it
            high, low = h[max(top - 2, 0)], h[top]
        else:
            high, low = h[last], h[min(last + 1, h.size - 1)]
        steps[e] = np.geomspace(float(high), float(low), count + 2)[1:-1]
    return steps


def _judge(scan: Scan, g: Array, watched: Array) -> tuple[Array, Array, Array, Array]:
    """Return value, error, lower and upper of each element, with the intervals of its kinks."""
    sides = _read(scan, watched)
    elements = len(scan.h)
    value, error = (part[:elements].copy() for part in sides.found()[:2])
    lower, upper = value.copy(), value.copy()
    for e in np.nonzero(sides.kinked().reshape(len(watched), elements).any(axis=0))[0]:
        value[e], error[e], lower[e], upper[e] = _interval(scan, int(e), g)
    return value, error, lower, upper


def _interval(scan: Scan, e: int, g: Array) -> tuple[Any, Any, Any, Any]:
    """Return value, error, lower and upper of one element, from the one-sided slopes of each output.

    A right gradient at a tie is a choice made output by output, so the interval is the sum of the outputs'.
    """
    counts = np.nonzero(g)[0]
    g = g[counts]
    sides = _read(scan.only(e), np.eye(scan.y0.size, dtype=g.dtype)[counts])
    right, left = sides.right, sides.left
    value, error = sides.found()[:2]
    kinked = sides.kinked()
    jumps = kinked & (right.diverges != left.diverges)
    # at a jump one side's slope is finite, and the other's has a sign
    finite, finite_error = (
        np.where(right.diverges, a, b) for a, b in ((left.value, right.value), (left.error, right.error))
    )
    steep = np.copysign(np.inf, np.where(right.diverges, right.value, left.value))
    value = np.where(jumps, finite, value)
    error = np.where(jumps, finite_error, np.where(kinked, right.error + left.error, error))
    ends = g * np.where(jumps, [finite, steep], np.where(kinked, [right.value, left.value], value))
    lower, upper = ends.min(axis=0).sum(), ends.max(axis=0).sum()
    return np.clip((g * value).sum(), lower, upper), (np.abs(g) * error).sum(), lower, upper
