"""The central differences of an affine step, each computed in the rows and the column that its weight reaches."""

import math
import os
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextvars import copy_context
from functools import partial
from typing import Any

import numpy as np

from gradlab.node import Array
from gradlab.numerical.finite_difference import numerical_gradient
from gradlab.textbook.incremental.program import Tail, Unperturbed
from gradlab.textbook.incremental.stack import Columns, Stack

# Numbers that a stack has at its widest, a megabyte: with fewer the calls take longer than what they compute.
STACK = 2**17
# Places of a table for each entry that it may have.
SPARSE = 4
# Numbers that a thread is given at least, which take it some ten milliseconds.
PART = 2**20


def affine_gradients(unperturbed: Unperturbed, number: int, h: float) -> tuple[Array, Array]:
    """Return the gradients of the loss by W and by b, whether the step has a b or not, by central differences.

    Parameters
    ----------
    unperturbed : Unperturbed
    number : int
        The number of the value that an affine step gives, x W + b or x W.
    h : float
        The step.

    Returns
    -------
    tuple of ndarray
        Shapes (D, H) and (H,).

    Notes
    -----
    W[d, k] + h adds h x[n, d] to the output's column k, in those rows n where x[n, d] is not 0, and b[k] + h adds h in
    all of them. Two weights that meet the same input in one row do the same to that row: it is computed once for both.
    """
    step, output = unperturbed.step(number), unperturbed.values[number]
    x = unperturbed.values[step.inputs[0]].reshape(len(output), -1)
    h = float(step.params[0].dtype.type(h))
    tail = unperturbed.tail(number)
    found = by_touched_rows(tail, x, h) if tail.by_row else _one_by_one(tail, x, h)
    return found[:-1], found[-1]


def by_touched_rows(tail: Tail, x: Array, h: float) -> Array:
    """Return the gradients by W and, as a last row, by b, shape (D + 1, H), where no row depends on another."""
    output = tail.unperturbed.values[tail.start]
    rows, inputs, sums = distinct_inputs(x)
    units, width = np.arange(output.shape[1]), _width(tail)
    gradient = np.empty((x.shape[1] + 1, len(units)), output.dtype)

    def task(some: Array) -> None:
        differences = _differences(tail, rows, h * inputs.astype(output.dtype), some, width)
        gradient[:, some] = sums @ differences.T / (2 * h)

    numbers = 2 * len(rows) * len(units) * width
    # where it is cut depends on the sizes alone, so that every bit is the same on any number of cores
    parts = np.array_split(units, min(1 + numbers // PART, len(units)))
    _spread([partial(task, some) for some in parts])
    return gradient


def distinct_inputs(x: Array) -> tuple[Array, Array, Any]:
    """Return the inputs that are not 0 and, in every row, the 1 of the bias, each value once a row.

    Returns
    -------
    rows, inputs : ndarray, shape (U,)
        The row and the value of each such input.
    sums : sparse array, shape (D + 1, U)
        1 at [d, u] where input d of row ``rows[u]`` is ``inputs[u]``; the last of the D + 1 is the bias's.
    """
    from scipy.sparse import csr_array

    row, feature = np.nonzero(x)
    met = x[row, feature]
    row, feature = np.append(row, np.arange(len(x))), np.append(feature, np.full(len(x), x.shape[1]))
    met = np.append(met, np.ones(len(x), x.dtype))
    values = np.unique(met)
    pair = np.arange(len(row))
    if len(x) * len(values) <= SPARSE * len(row):
        # few values, as in images: a table of all that there could be tells which there are
        key = row * len(values) + np.searchsorted(values, met)
        there = np.zeros(len(x) * len(values), bool)
        there[key] = True
        pair = (np.cumsum(there) - 1)[key]
        row, value = np.divmod(np.flatnonzero(there), len(values))
        met = values[value]
    sums = csr_array((np.ones(len(pair)), (feature, pair)), shape=(x.shape[1] + 1, len(row)))
    return row, met, sums


def _differences(tail: Tail, rows: Array, moves: Array, units: Array, width: int) -> Array:
    """Return each row's part of the loss with a unit moved up, less that with it moved down: (units, rows)."""
    found = np.empty((len(units), len(rows)))
    length = max(1, STACK // (2 * width))
    for first in range(0, len(rows), length):
        some = slice(first, first + length)
        both_rows, both_moves = np.tile(rows[some], 2), np.concatenate([moves[some], -moves[some]])
        blocks = min(len(units), max(1, STACK // (width * len(both_rows))))
        stack = Stack(tail, both_rows, blocks)
        for start in range(0, len(units), blocks):
            block = units[start : start + blocks]
            if len(block) < blocks:
                stack = Stack(tail, both_rows, len(block))
            moved = stack.unperturbed(tail.start, block) + both_moves
            up, down = np.split(stack.losses(Columns(block, moved)), 2, axis=1)
            np.subtract(up, down, out=found[start : start + blocks, some])
    return found


def _width(tail: Tail) -> int:
    """Return the number of columns that a stack has at its widest."""
    unperturbed = tail.unperturbed
    whole = [number for number in tail.after if unperturbed.kind(number) != "elementwise"]
    whole += [loss.of for loss, _ in tail.losses]
    return max(math.prod(unperturbed.values[number].shape[1:]) for number in whole)


def _spread(tasks: Sequence[Callable[[], None]]) -> None:
    """Run tasks on as many threads as there are cores: NumPy lets go of Python's lock while it computes."""
    threads = min(os.cpu_count() or 1, len(tasks))
    if threads < 2:
        for task in tasks:
            task()
        return
    with ThreadPoolExecutor(threads) as pool:
        # a context each, so that np.errstate holds in every thread
        for running in [pool.submit(copy_context().run, task) for task in tasks]:
            running.result()


def _one_by_one(tail: Tail, x: Array, h: float) -> Array:
    """Return the gradients of `by_touched_rows` where rows depend on each other: each by losses of the whole batch."""
    output = tail.unperturbed.values[tail.start]
    met = np.concatenate([x, np.ones((len(x), 1), x.dtype)], axis=1)
    gradient = np.empty((met.shape[1], output.shape[1]), output.dtype)
    for unit in range(output.shape[1]):

        def loss(moves: Array, unit: int = unit) -> float:
            moved = output.copy()
            moved[:, unit] += met @ moves
            return tail.loss(tail.after, {tail.start: moved})

        gradient[:, unit] = numerical_gradient(loss, np.zeros(met.shape[1], output.dtype), h)
    return gradient
