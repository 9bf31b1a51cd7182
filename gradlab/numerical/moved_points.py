"""A function at moved points, one row of outputs a move: what estimates evaluate, here or in other processes."""

from collections.abc import Callable, Sequence
from contextlib import suppress
from dataclasses import dataclass
from typing import Any

import numpy as np

from gradlab.node import Array
from gradlab.numerical.finite_difference import STACK_ELEMENTS, real_scalar, real_stack
from gradlab.workers.lock_free import cached_property

# Where outputs are added up, they are added up in so many groups.
GROUPS = 64


@dataclass(frozen=True)
class MovedElements:
    """f with one element of one primal moved: gives one row of outputs a move, NaN outside the domain.

    An object and not a closure, so that it can be sent to other processes.
    """

    f: Callable[..., Any]
    points: tuple[Array, ...]
    which: int
    size: int

    def __call__(self, moves: Sequence[tuple[int, Any]]) -> Array:
        """Return one row of outputs for each move, (flat index, value)."""
        rows = [self._outputs(index, value) for index, value in moves]
        # where there are more outputs, or fewer, it is another function
        same = {k: row for k, row in enumerate(rows) if row is not None and row.size == self.size}
        kind = np.result_type(*{row.dtype for row in same.values()}) if same else np.float64
        outputs = np.full((len(rows), self.size), np.nan, dtype=kind)
        for k, row in same.items():
            outputs[k] = row
        outputs[~np.isfinite(outputs)] = np.nan
        return outputs

    def _outputs(self, index: int, value: Any) -> Array | None:
        moved = [x.copy() for x in self.points]
        moved[self.which].flat[index] = value
        try:
            with np.errstate(all="ignore"):
                return flat_outputs(self.f(*moved))
        except Exception:
            # outside the domain, as math.sqrt(-1) or an inverse of a singular matrix says it, or an error made there
            return None


@dataclass(frozen=True)
class GroupedOutputs:
    """The outputs of f times their cotangent, added up in groups of neighbours: a few sums for ten thousand outputs."""

    f: Callable[..., Any]
    g: Array

    def __call__(self, *primals: Array) -> Array:
        """Return the sums at these primals."""
        return self.sums(flat_outputs(self.f(*primals)))

    def sums(self, y: Array) -> Array:
        """Return the sums of outputs in a row."""
        return np.asarray(np.add.reduceat(self.g * y, self._starts))

    @cached_property
    def _starts(self) -> Array:
        return np.linspace(0, self.g.size, GROUPS, endpoint=False).astype(int)


@dataclass(frozen=True)
class ScalarFunction:
    """A function that must return one real number."""

    f: Callable[[Array], Any]

    def __call__(self, x: Array) -> Array:
        """Return the number, as an array of shape ()."""
        return real_scalar(self.f(x))


@dataclass(frozen=True)
class Points:
    """f at points in a row: one row of outputs each, NaN outside the domain."""

    f: Callable[[Array], Any]
    y0: Array

    def __call__(self, points: Array | Sequence[Array]) -> Array:
        """Return one row of outputs for each point."""
        rows = np.full((len(points), self.y0.size), np.nan, dtype=self.y0.dtype)
        for row, x in zip(rows, points, strict=True):
            with suppress(Exception):
                row[:] = flat_outputs(self.f(x))
        rows[~np.isfinite(rows)] = np.nan
        return rows


@dataclass(frozen=True)
class StackedFunction:
    """A function of a stack of points, with one element moved in each: one row a move, NaN outside the domain."""

    f: Callable[[Array], Any]
    x: Array

    def __call__(self, moves: Sequence[tuple[int, Any]]) -> Array:
        """Return one row, of one number, for each move, (flat index, value)."""
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


def flat_outputs(outputs: Any) -> Array:
    """Return all outputs as one vector of floats, double precision at least."""
    if isinstance(outputs, tuple):
        outputs = np.concatenate([np.ravel(y) for y in outputs] or [np.empty(0)])
    joined = np.array(outputs).reshape(-1)
    if joined.dtype.kind not in "fciub":
        raise TypeError(f"f returned {joined.dtype}: return an array of floats")
    return joined.astype(np.promote_types(joined.dtype, np.float64), copy=False)
