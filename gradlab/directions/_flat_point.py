"""All primals as one vector: a function of that vector, its claimed gradient, and the moves along a direction."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from gradlab.node import Array
from gradlab.workers.lock_free import cached_property

WHOLE = slice(None)


@dataclass(frozen=True)
class FlatPoint:
    """A scalar function of all primals as one vector, and the gradient that is claimed for it.

    Attributes
    ----------
    f : callable
        Takes the vector, which it may neither keep nor change.
    size_of_terms : float
        The sum of the sizes of what f adds up at x: the rounding of a gradient is in proportion to that, too.
    x, gradient : ndarray of shape (n,)
        In double precision at least.
    names, shapes, dtypes : sequence
        Of each primal; the dtype is that of its gradient, whose rounding is judged.
    """

    f: Callable[[Array], Any]
    size_of_terms: float
    x: Array
    gradient: Array
    names: Sequence[str]
    shapes: Sequence[tuple[int, ...]]
    dtypes: Sequence[Any]

    @cached_property
    def ends(self) -> Array:
        """Where each primal's elements end."""
        return np.cumsum([int(np.prod(shape)) for shape in self.shapes])

    @cached_property
    def spans(self) -> list[slice]:
        """Which elements are each primal's."""
        return [slice(int(a), int(b)) for a, b in zip([0, *self.ends[:-1]], self.ends, strict=True)]

    def primal_of(self, k: int) -> int:
        """Return the number of the primal that element `k` belongs to."""
        return int(np.searchsorted(self.ends, k, side="right"))

    def index(self, k: int) -> tuple[int, ...]:
        """Return the index of element `k` in its primal."""
        i = self.primal_of(k)
        return tuple(int(p) for p in np.unravel_index(k - self.spans[i].start, self.shapes[i]))

    @cached_property
    def usual_sizes(self) -> list[float]:
        """The usual size of each primal's elements."""
        return usual_sizes(self.x, self.spans)


def usual_sizes(x: Array, spans: Sequence[slice]) -> list[float]:
    """Return the usual size of each primal's elements: their root mean square.

    For a primal of zeros, as biases are at first, the geometric mean of the other primals', or 1.
    """
    sizes = [float(np.sqrt(np.mean(x[span] ** 2))) if x[span].size else 0.0 for span in spans]
    known = [size for size in sizes if size > 0]
    others = float(np.exp(np.mean(np.log(known)))) if known else 1.0
    return [size or others for size in sizes]


def flat_point(
    f: Callable[..., Any],
    primals: Sequence[Array],
    gradients: Sequence[Array],
    names: Sequence[str],
    size_of_terms: float,
) -> FlatPoint:
    """Return the point of ``f(*primals)``, a scalar; `f` gets views, which it may neither keep nor change."""
    shapes = [x.shape for x in primals]
    cuts = np.cumsum([x.size for x in primals])[:-1]

    def of_vector(x: Array) -> Any:
        return f(*(part.reshape(shape) for part, shape in zip(np.split(x, cuts), shapes, strict=True)))

    dtypes = [g.dtype if np.issubdtype(g.dtype, np.floating) else np.float64 for g in gradients]
    # a copy, since wrong elements that are found are corrected in it
    gradient = _joined(gradients).copy()
    return FlatPoint(of_vector, size_of_terms, _joined(primals), gradient, names, shapes, dtypes)


def _joined(arrays: Sequence[Array]) -> Array:
    """Return all elements in a row, in double precision at least; a single array as a view where possible."""
    joined = np.ravel(arrays[0]) if len(arrays) == 1 else np.concatenate([np.ravel(x) for x in arrays])
    return joined.astype(np.promote_types(joined.dtype, np.float64), copy=False)


def function_along(point: FlatPoint, v: Array, part: slice = WHOLE) -> Callable[[Any], Any]:
    """Return f(x + s v) as a function of s, where only `part` of the elements is moved."""
    moved = point.x.copy()

    def at(s: Any) -> Any:
        if np.iscomplexobj(s):
            elsewhere = point.x.astype(np.result_type(point.x, s))
            elsewhere[part] += s * v[part]
            return point.f(elsewhere)
        np.multiply(v[part], s, out=moved[part])
        moved[part] += point.x[part]
        return point.f(moved)

    return at
