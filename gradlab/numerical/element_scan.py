"""The values of f with single elements of x moved: the data from which `gradlab.numerical.ladder` reads slopes."""

from collections.abc import Callable, Sequence
from typing import Any, NamedTuple

import numpy as np

from gradlab.node import Array

# Where all values of f are multiples of one power of two, this is the rounding of larger numbers inside if it is no
# more than this part of x, of f, or of 1: those still have half of their digits. A coarser one belongs to a staircase.
COARSEST = 2.0**-24
# Of float32, float16 and bfloat16.
DIGITS_OF_NARROW = (24, 11, 8)

# Takes (flat index, value) of each moved element; gives one row of outputs a move, NaN where f has no value.
Evaluate = Callable[[Sequence[tuple[int, Any]]], Array]


class Quotients(NamedTuple):
    """Difference quotients of functionals of the outputs, their rounding, and the size of the functionals.

    Each has the shape (functionals, elements, steps).
    """

    central: Array
    right: Array
    left: Array
    noise: Array
    size: Array


class Scan:
    """The outputs of f with some elements of x moved, one at a time, by a ladder of steps to both sides.

    Attributes
    ----------
    at : ndarray of shape (elements,)
        The elements' own values.
    h, up, down : ndarray of shape (elements, steps)
        Nominal steps, largest first, and the steps really taken upwards and downwards; NaN where none was taken.
    above, below : ndarray of shape (elements, steps, outputs)
        The outputs of f at these steps.
    y0 : ndarray of shape (outputs,)
        The outputs of f at x.
    reach : ndarray of shape (elements,)
        The largest step of the first `add_steps`.
    evaluations : int
        How often f was evaluated, x itself not counted.
    """

    def __init__(self, evaluate: Evaluate, index: list[int], at: Array, y0: Array) -> None:
        self._evaluate, self._index, self.at, self.y0 = evaluate, index, at, y0
        self.h, self.up, self.down = (np.empty((len(at), 0), dtype=at.dtype) for _ in range(3))
        self.above = self.below = np.empty((len(at), 0, y0.size), dtype=y0.dtype)
        self.reach = np.zeros(len(at), dtype=at.dtype)
        self.evaluations = 0

    def add_steps(self, h: Array) -> None:
        """Evaluate f at further steps, shape (elements, more steps); NaN where an element is to take none."""
        if not self.h.size:
            self.reach = np.max(np.nan_to_num(h), axis=1, initial=0.0)
        at = self.at[:, None]
        up, down = at + h, at - h
        wanted = ~np.isnan(h) & (up != at) & (down != at)
        rows, columns = np.nonzero(wanted)
        points = [
            (self._index[int(r)], side[r, c])
            for side in (up, down)
            for r, c in zip(rows, columns, strict=True)
        ]
        values = self._evaluate(points)
        self.evaluations += len(points)
        above, below = (np.full((*h.shape, self.y0.size), np.nan, dtype=self.y0.dtype) for _ in range(2))
        above[rows, columns], below[rows, columns] = values[: len(rows)], values[len(rows) :]
        nowhere = np.where(wanted, 0.0, np.nan)
        self._merge(np.where(wanted, h, np.nan), up - at + nowhere, at - down + nowhere, above, below)

    def _merge(self, h: Array, up: Array, down: Array, above: Array, below: Array) -> None:
        h = np.concatenate([self.h, h], axis=1)
        order = np.argsort(-np.nan_to_num(h, nan=-1.0), axis=1, kind="stable")
        self.h = np.take_along_axis(h, order, axis=1)
        self.up = np.take_along_axis(np.concatenate([self.up, up], axis=1), order, axis=1)
        self.down = np.take_along_axis(np.concatenate([self.down, down], axis=1), order, axis=1)
        self.above = np.take_along_axis(np.concatenate([self.above, above], axis=1), order[..., None], axis=1)
        self.below = np.take_along_axis(np.concatenate([self.below, below], axis=1), order[..., None], axis=1)

    def quotients(self, g: Array) -> Quotients:
        """Return the quotients of functionals `g`, of shape (functionals, outputs).

        The outputs at x are subtracted before the sum is taken, so that an output which does not move leaves no
        rounding behind, and counts for nothing; of each output that moves the own rounding is counted.
        """
        rise, fall, size, rounding = self._moves()
        right = np.einsum("mk,eik->mei", g, rise) / self.up
        left = np.einsum("mk,eik->mei", g, fall) / self.down
        central = np.einsum("mk,eik->mei", g, rise + fall) / (self.up + self.down)
        noise = np.einsum("mk,eik->mei", np.abs(g), rounding) / self.h
        size = np.einsum("mk,eik->mei", np.abs(g), size)
        return Quotients(central, right, left, noise + _least_noise(right, left), size)

    def quotients_of_pairs(self, elements: Array, outputs: Array) -> Quotients:
        """Return the quotients of single outputs of single elements, of shape (pairs, steps).

        As `quotients` has them of a functional that is that output.
        """
        rise, fall, size, rounding = (part[elements, :, outputs] for part in self._moves())
        up, down, h = self.up[elements], self.down[elements], self.h[elements]
        right, left = rise / up, fall / down
        noise = rounding / h + _least_noise(right, left)
        return Quotients((rise + fall) / (up + down), right, left, noise, size)

    def _moves(self) -> tuple[Array, Array, Array, Array]:
        """Return each output's rise and fall, its size, and its rounding, of shape (elements, steps, outputs)."""
        size = (
            np.fmax(np.fmax(np.abs(self.above), np.abs(self.below)), np.abs(self.y0))
            * self._counted_outputs()
        )
        rounding = self._rounding(size)
        return self.above - self.y0, self.y0 - self.below, size, rounding

    def of_elements(self, elements: Array) -> "Scan":
        """Return the scan of some of the elements."""
        some = Scan(self._evaluate, [self._index[e] for e in elements], self.at[elements], self.y0)
        for name in ("h", "up", "down", "above", "below", "reach"):
            setattr(some, name, getattr(self, name)[elements])
        return some

    def shares(self, g: Array, step: Array) -> Array:
        """Return the sum of the sizes of all outputs' shares in the slope, measured by one step of each element."""
        rows = np.arange(len(self.h))
        change = np.abs(self.above[rows, step] - self.below[rows, step])
        return np.asarray(np.nan_to_num(change @ np.abs(g) / (self.up + self.down)[rows, step]))

    def moved_outputs(self, first: int = 0) -> Array:
        """Return which outputs each element moves, from its step number `first` on, shape (elements, outputs)."""
        above, below = self.above[:, first:], self.below[:, first:]
        moves = ((above != self.y0) & ~np.isnan(above)) | ((below != self.y0) & ~np.isnan(below))
        return np.asarray(moves.any(axis=1))

    def _counted_outputs(self) -> Array:
        """Return whose size counts, shape (elements, 1, outputs): those that an element moves, or all."""
        some = self.moved_outputs()[:, None, :]
        return np.asarray(some | ~some.any(axis=2, keepdims=True))

    def _rounding(self, size: Array) -> Array:
        """Return the rounding of each output, of shape (elements, steps, outputs), from the outputs' sizes.

        A function may compute in float32 inside, whatever its argument: then none of its values, at points that need
        all their digits, has more digits than float32, and some have as many. And it may subtract numbers far larger
        than what is left: then all its values are multiples of the last digit of those.
        """
        seen = np.concatenate(
            [self.above.reshape(-1, self.y0.size), self.below.reshape(-1, self.y0.size), self.y0[None]]
        )
        info = np.finfo(self.y0.dtype)
        # several numbers, and not the two levels of a step
        several = (np.diff(np.sort(seen, axis=0), axis=0) > 0).sum(axis=0) >= 3
        eps = np.full(self.y0.size, info.eps, dtype=self.y0.dtype)
        narrow = np.flatnonzero(several & ((seen == seen.astype(np.float32)) | np.isnan(seen)).all(axis=0))
        if narrow.size:
            digits = np.frexp(seen[:, narrow])[1] - np.log2(last_digits(seen[:, narrow]))
            most = np.where(np.isfinite(digits), digits, 0).max(axis=0)
            known = np.isin(most, DIGITS_OF_NARROW)
            eps[narrow[known]] = 2.0 ** (1 - most[known])
        # below the normal numbers digits are lost however small the number
        rounding = np.maximum(size * eps, info.smallest_subnormal)
        coarse = np.flatnonzero(several & (last_digits(self.y0) > 4 * eps * np.abs(self.y0)) & (self.y0 != 0))
        if coarse.size:
            grid = last_digits(seen[:, coarse]).min(axis=0)
            ordinary = np.fmax(np.abs(self.y0[coarse]), np.fmax(np.abs(self.at), 1)[:, None])
            fine = grid <= COARSEST * ordinary
            # where f changes with the smallest move of x, the grid is that of x itself
            still = ((self.above == self.y0) & (self.below == self.y0))[..., coarse].any(axis=1)
            grid = np.where(fine & still, grid, 0.0)[:, None]
            rounding[..., coarse] = np.maximum(rounding[..., coarse], grid)
        return np.asarray(rounding)


def last_digits(values: Array) -> Array:
    """Return the power of two that the last digit of each number stands for: infinity for 0, and outside the domain."""
    digits = min(np.finfo(values.dtype).nmant + 1, 63)
    fraction, exponent = np.frexp(values)
    whole = (np.nan_to_num(fraction) * 2.0**digits).astype(np.int64)
    last = np.ldexp((whole & -whole).astype(values.dtype), exponent - digits)
    return np.asarray(np.where(whole == 0, np.inf, last))


def _least_noise(right: Array, left: Array) -> Array:
    """Return the rounding of the quotients themselves."""
    info = np.finfo(right.dtype)
    return np.asarray(info.eps * np.nan_to_num(np.fmax(np.abs(right), np.abs(left))) + info.tiny)
