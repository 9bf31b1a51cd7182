"""Copies of rows of the batch, each moved by another perturbation, carried side by side through a tail."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass

import numpy as np

from gradlab.node import Array
from gradlab.textbook.incremental.program import Tail
from gradlab.textbook.incremental.row_losses import RowLoss, copied_columns, copied_rows


@dataclass(frozen=True)
class Columns:
    """Rows that differ from the batch's in one column only, that of another unit in each block of copies.

    Attributes
    ----------
    units : ndarray of int, shape (B,)
    moved : ndarray, shape (B, M)
        The values of that column.
    """

    units: Array
    moved: Array


State = Columns | Array


class Stack:
    """B blocks of copies of M rows.

    Parameters
    ----------
    tail : Tail
        One whose ``by_row`` is true.
    rows : ndarray of int, shape (M,)
        The row of the batch that each of the M rows is a copy of.
    blocks : int
        The number B.

    Notes
    -----
    The copies of unperturbed rows are made once and kept, as are the arrays that are written: with the same rows,
    `losses` is called for one block of units after the other. A matrix of B M rows is kept in columns, so that all is
    computed along long vectors, however few the columns.
    """

    def __init__(self, tail: Tail, rows: Array, blocks: int = 1) -> None:
        self._tail, self._rows, self.blocks = tail, rows, blocks
        self._values = tail.unperturbed.values
        self._every_row = np.tile(rows, blocks)
        self._of_rows: dict[RowLoss, Callable[[Array], Array]] = {}
        self._copied: dict[int, Array] = {}
        self._buffers: dict[int, Array] = {}

    def unperturbed(self, number: int, units: Array) -> Array:
        """Return the columns of some units of a value, shape (B, M)."""
        return copied_columns(self._values[number], self._rows, units)

    def losses(self, start: State) -> Array:
        """Return each row's part of the loss with the moved value `start` at the tail's start, shape (B, M).

        If `start` is `Columns`, terms that do not depend on them may be left out.
        """
        states: dict[int, State] = {self._tail.start: start}
        for number in self._tail.after:
            states[number] = self._after(number, states)
        total = np.zeros((self.blocks, len(self._rows)))
        for loss, by_row in self._tail.losses:
            assert by_row is not None
            total += loss.weight * self._losses(by_row, loss.of, states)
        return total

    def _losses(self, by_row: RowLoss, number: int, states: Mapping[int, State]) -> Array:
        state = states[number]
        if isinstance(state, Columns):
            return by_row.of_columns(self._rows, state.units, state.moved)
        if by_row not in self._of_rows:
            self._of_rows[by_row] = by_row.of_rows(self._every_row)
        return self._of_rows[by_row](state).reshape(self.blocks, -1)

    def _after(self, number: int, states: Mapping[int, State]) -> State:
        step, kind = self._tail.unperturbed.step(number), self._tail.unperturbed.kind(number)
        state = states.get(step.inputs[0])
        if isinstance(state, Columns) and kind == "elementwise":
            return self._elementwise(number, state)
        if isinstance(state, Columns) and kind == "affine":
            return self._affine(number, state)
        inputs = tuple(self._matrix(source, states) for source in step.inputs)
        return step.forward(inputs, lambda array: copied_rows(array, self._every_row))

    def _elementwise(self, number: int, state: Columns) -> Columns:
        step = self._tail.unperturbed.step(number)
        moved = step.forward((state.moved,), lambda array: copied_columns(array, self._rows, state.units))
        return Columns(state.units, moved)

    def _affine(self, number: int, state: Columns) -> Array:
        """Return an affine step's output: one input of each row has changed, which adds the change times a row of W."""
        step = self._tail.unperturbed.step(number)
        change = state.moved - self.unperturbed(step.inputs[0], state.units)
        moved = self._buffer(number)
        np.multiply(step.params[0][state.units].T[:, :, np.newaxis], change, out=moved)
        np.add(moved, self._copies(number)[:, np.newaxis], out=moved)
        return np.asarray(moved.reshape(len(moved), -1).T)

    def _matrix(self, number: int, states: Mapping[int, State]) -> Array:
        """Return a value's rows in full, shape (B M, ...)."""
        state = states.get(number)
        if isinstance(state, np.ndarray):
            return state
        if state is None:
            return copied_rows(self._values[number], self._every_row)
        moved = self._buffer(number)
        moved[...] = self._copies(number)[:, np.newaxis]
        moved[state.units, np.arange(self.blocks)] = state.moved
        return np.asarray(moved.reshape(len(moved), -1).T)

    def _copies(self, number: int) -> Array:
        """Return the unperturbed rows of a value in columns, shape (columns, M)."""
        if number not in self._copied:
            self._copied[number] = self._values[number].T.take(self._rows, axis=1)
        return self._copied[number]

    def _buffer(self, number: int) -> Array:
        if number not in self._buffers:
            value = self._values[number]
            self._buffers[number] = np.empty((value.shape[1], self.blocks, len(self._rows)), value.dtype)
        return self._buffers[number]
