"""A model as a program for differences: steps from values to values, losses, and the tail that one value reaches."""

import math
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from typing import Any, Literal

import numpy as np

from gradlab.node import Array
from gradlab.textbook.incremental.row_losses import RowLoss

Pick = Callable[[Array], Array]

# How a step's output depends on its inputs. "elementwise": each element on the input's element at its place alone;
# "affine": x W + b or x W; "rows": each row on the same row of the inputs alone; "batch": nothing is known.
Kind = Literal["elementwise", "affine", "rows", "batch"]


@dataclass(frozen=True, eq=False)
class Step:
    """One call of a layer.

    Attributes
    ----------
    forward : callable
        ``forward(inputs, pick) -> output``, with the parameters as they are when it is called. The inputs may be
        rows or single columns of the batch, copied and moved; ``pick(array)`` takes the same rows or columns out of an
        array that has a row for each row of the batch, such as the mask of dropout.
    inputs : tuple of int
        The numbers of the values that the step takes: the given values come first, then each step's output.
    params : tuple of ndarray
        The arrays that the step computes with; of an affine step W of shape (D, H), and b of shape (H,) if it has one.
    kind : {"elementwise", "affine", "rows", "batch"}
    """

    forward: Callable[[tuple[Array, ...], Pick], Array]
    inputs: tuple[int, ...]
    params: tuple[Array, ...] = ()
    kind: Kind = "batch"


@dataclass(frozen=True, eq=False)
class ProgramLoss:
    """A loss of one value.

    Attributes
    ----------
    forward : callable
        ``forward(value) -> scalar``, for the whole batch.
    of : int
        The number of the value.
    by_row : callable or None
        ``by_row(value)`` returns, for the value of the whole batch, the loss as a sum over the rows; None, or a
        function that returns None, if the loss is no such sum or is not known as one.
    weight : float
        Its part in the sum of all losses.
    """

    forward: Callable[[Array], Any]
    of: int
    by_row: Callable[[Array], RowLoss | None] | None = None
    weight: float = 1.0


@dataclass(frozen=True, eq=False)
class Program:
    """Steps in an order in which each finds its inputs, and the losses that are added up."""

    given: tuple[Array, ...]
    steps: tuple[Step, ...]
    losses: tuple[ProgramLoss, ...]


class Unperturbed:
    """All values of a program with the parameters as they are, computed once.

    Attributes
    ----------
    values : list of ndarray
        The given values, and each step's output.
    """

    def __init__(self, program: Program) -> None:
        self.program = program
        self.values = list(program.given)
        self._kinds: list[Kind] = []
        for step in program.steps:
            inputs = tuple(self.values[i] for i in step.inputs)
            output = np.asarray(step.forward(inputs, whole_batch))
            self._kinds.append(_kind_here(step, inputs, output))
            self.values.append(output)
        batch_losses = [float(loss.forward(self.values[loss.of])) for loss in program.losses]
        if not np.isfinite(batch_losses).all():
            raise ValueError(
                f"the loss is {sum(batch_losses)}, which has no differences: give other data or parameters"
            )
        self._row_losses = [
            _confirmed(loss, self.values[loss.of], found)
            for loss, found in zip(program.losses, batch_losses, strict=True)
        ]

    def step(self, number: int) -> Step:
        """Return the step whose output is value `number`."""
        return self.program.steps[number - len(self.program.given)]

    def kind(self, number: int) -> Kind:
        """Return the kind of the step whose output is value `number`."""
        return self._kinds[number - len(self.program.given)]

    def users(self, param: Array) -> list[int]:
        """Return the numbers of the outputs that are computed with this array, or with one that shares its memory."""
        first = len(self.program.given)
        return [
            number
            for number, step in enumerate(self.program.steps, start=first)
            for array in step.params
            if np.may_share_memory(array, param)
        ]

    def tail(self, start: int, *others: int) -> "Tail":
        """Return the tail of these values: the others that their change reaches on its way to the losses."""
        starts = {start, *others}
        reached = set(starts)
        for number, step in enumerate(self.program.steps, start=len(self.program.given)):
            if reached.intersection(step.inputs):
                reached.add(number)
        losses = tuple(
            (loss, rows)
            for loss, rows in zip(self.program.losses, self._row_losses, strict=True)
            if loss.of in reached
        )
        needed = {loss.of for loss, _ in losses}
        for number in sorted(reached, reverse=True):
            if number in needed:
                needed.update(self.step(number).inputs)
        return Tail(self, start, tuple(sorted(reached & needed - starts)), losses)


@dataclass(frozen=True, eq=False)
class Tail:
    """The values and losses that a change of one value reaches.

    Attributes
    ----------
    start : int
        The number of the value that changes; of several the first.
    after : tuple of int
        The numbers, in order, of the other values that depend on it and that a loss depends on.
    losses : tuple of pairs
        The losses that depend on it, each with its sum over the rows, or None.
    """

    unperturbed: Unperturbed
    start: int
    after: tuple[int, ...]
    losses: tuple[tuple[ProgramLoss, RowLoss | None], ...]

    @property
    def by_row(self) -> bool:
        """Whether no row of the batch depends on another on the way to the losses."""
        known = all(self.unperturbed.kind(number) != "batch" for number in self.after)
        return known and all(rows is not None for _, rows in self.losses)

    def loss(self, again: Iterable[int], moved: Mapping[int, Array]) -> float:
        """Return the sum of the losses if some values have moved and the steps `again` are run anew."""
        values, now = self.unperturbed.values, dict(moved)
        for number in again:
            step = self.unperturbed.step(number)
            inputs = tuple(now[i] if i in now else values[i] for i in step.inputs)
            now[number] = step.forward(inputs, whole_batch)
        return sum(loss.weight * float(loss.forward(now[loss.of])) for loss, _ in self.losses)


def whole_batch(array: Array) -> Array:
    """Pick all of an array: the inputs are those of the whole batch."""
    return array


def _kind_here(step: Step, inputs: tuple[Array, ...], output: Array) -> Kind:
    """Return the kind of a step, in view of the shapes of its inputs and its output."""
    if not _has_rows(*inputs, output):
        return "batch"
    if step.kind == "affine" and (output.ndim > 2 or math.prod(inputs[0].shape[1:]) != len(step.params[0])):
        return "rows"  # x W of a stack of matrices
    return step.kind


def _has_rows(*values: Array) -> bool:
    """Return whether the first axis of all values is the batch's; a single vector's may be that of the features."""
    return all(value.ndim > 1 and len(value) == len(values[0]) for value in values)


def _confirmed(loss: ProgramLoss, value: Array, found: float) -> RowLoss | None:
    """Return the loss as a sum over rows if that sum is the loss itself, so that no sum is trusted by its name."""
    rows = loss.by_row(value) if loss.by_row and _has_rows(value) and value.size else None
    if rows is None:
        return None
    total = float(rows.of_rows(np.arange(len(value)))(value).sum())
    size = abs(found) + np.abs(value).mean()  # a small loss may be a difference of large numbers
    return rows if abs(total - found) <= np.sqrt(np.finfo(value.dtype).eps) * size else None
