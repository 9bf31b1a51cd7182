"""Central differences element by element, for all parameters but the W and b of a single affine step."""

from collections.abc import Iterator

import numpy as np

from gradlab.node import Array
from gradlab.numerical.finite_difference import float_array, numerical_gradient, values_to_both_sides
from gradlab.textbook.incremental.program import Unperturbed, whole_batch
from gradlab.textbook.incremental.stack import Stack

# Numbers that are gathered before what follows is computed for all of them.
STACK = 2**17

Change = tuple[Array, Array, Array, Array]


def by_whole_batches(unperturbed: Unperturbed, numbers: list[int], param: Array, h: float) -> Array:
    """Return the gradient by a parameter of the steps that give these values: two losses for each element.

    Only these steps, and the values that depend on them, are computed anew. The parameter is moved in place and
    restored, so that an array that shares its memory moves with it.
    """
    tail = unperturbed.tail(*numbers)
    again = sorted({*numbers, *tail.after})
    return numerical_gradient(lambda _: tail.loss(again, {}), param, h)


def by_changed_rows(unperturbed: Unperturbed, number: int, param: Array, h: float) -> Array:
    """Return the gradient by a parameter of one step behind which no row depends on another.

    The step is computed with each element moved up and down; the rows of the output that this changes are then carried
    on to the losses, those of many elements side by side.
    """
    tail, output = unperturbed.tail(number), unperturbed.values[number]
    before = Stack(tail, np.arange(len(output))).losses(output)[0]
    gradient = np.zeros(param.size)
    changes = _changes(unperturbed, number, float_array(param, writeable=True), h)
    for elements, factors, rows, moved in _side_by_side(changes):
        differences = Stack(tail, rows).losses(moved)[0] - before[rows]
        gradient += np.bincount(elements, factors * differences, minlength=param.size)
    return gradient.reshape(param.shape).astype(param.dtype)


def _changes(unperturbed: Unperturbed, number: int, param: Array, h: float) -> Iterator[Change]:
    """Yield, for each element moved up and down, its number, 1 or -1 over the step, the changed rows, their values."""
    step, output = unperturbed.step(number), unperturbed.values[number]
    inputs = tuple(unperturbed.values[i] for i in step.inputs)
    for element, index in enumerate(np.ndindex(param.shape)):
        up, down, taken = values_to_both_sides(lambda _: step.forward(inputs, whole_batch), param, index, h)
        for moved, factor in ((up, 1 / taken), (down, -1 / taken)):
            rows = np.flatnonzero((moved != output).reshape(len(output), -1).any(axis=1))
            yield np.full(len(rows), element), np.full(len(rows), factor), rows, moved[rows]


def _side_by_side(changes: Iterator[Change]) -> Iterator[Change]:
    """Yield the changes, those of many elements joined into one."""
    waiting: list[Change] = []
    numbers = 0
    for change in changes:
        waiting.append(change)
        numbers += change[-1].size
        if numbers > STACK:
            yield _joined(waiting)
            waiting, numbers = [], 0
    if waiting:
        yield _joined(waiting)


def _joined(changes: list[Change]) -> Change:
    elements, factors, rows, moved = (np.concatenate(part) for part in zip(*changes, strict=True))
    return elements, factors, rows, moved
