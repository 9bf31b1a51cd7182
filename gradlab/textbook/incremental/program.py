"""A model as its differences see it: steps from values to values, losses, and what one value reaches."""

import math
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from typing import Any, Literal

import numpy as np

from gradlab.node import Array
from gradlab.textbook.incremental.row_losses import RowLoss

Pick = Callable[[Array], Array]

# What is known of a step's output. "elementwise": each element depends on the input's element at its place alone;
# "affine": x W + b or x W; "rows": each row depends on the same row of the inputs alone; "batch": nothing is known.
Kind = Literal["elementwise", "affine", "rows", "batch"]


@dataclass(frozen=True, eq=False)
class Step:
    """One call of a layer.

    Attributes
    ----------
    forward : callable
        ``forward(inputs, pick) -> output``, with the parameters as they are when it is called. The inputs may be
        rows or single columns of the batch, copied and moved; ``pick(array)`` is what belongs to them of an array
        that has a row for each one of the batch, such as the mask of dropout.
    inputs : tuple of int
        The numbers of the values that it takes: those that are given come first, then each step's output.
    params : tuple of ndarray
        The arrays that it computes with; of an affine step W of shape (D, H), and b of shape (H,) if it has one.
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
        ``by_row(value)`` tells, for the value of the whole batch, how the loss is a sum over the rows; None or a
        function that returns None if it is not, or nobody knows.
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
        Those that are given, and each step's output.
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
        """Return what is known of value `number`."""
        return self._kinds[number - len(self.program.given)]

    def users(self, param: Array) -> list[int]:
        """Return the numbers of the outputs that are computed with this array, or with memory of it."""
        first = len(self.program.given)
        return [
            number
            for number, step in enumerate(self.program.steps, start=first)
            for array in step.params
            if np.may_share_memory(array, param)
        ]

    def tail(self, start: int, *others: int) -> "Tail":
        """Return what a change of these values reaches on its way to the losses, they themselves left out."""
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
    """What a change of one value reaches.

    Attributes
    ----------
    start : int
        The number of the value, the first one of several.
    after : tuple of int
        The numbers of the values that depend on it, and the losses on them, in order.
    losses : tuple of pairs
        The losses that depend on it, each with its sum over the rows, or None.
    """

    unperturbed: Unperturbed
    start: int
    after: tuple[int, ...]
    losses: tuple[tuple[ProgramLoss, RowLoss | None], ...]

    @property
    def by_row(self) -> bool:
        """Whether every row of the batch goes its own way from here to the losses."""
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
    """Return what is known of a step's output, seen what it is."""
    if not _has_rows(*inputs, output):
        return "batch"
    if step.kind == "affine" and (output.ndim > 2 or math.prod(inputs[0].shape[1:]) != len(step.params[0])):
        return "rows"  # x W of a stack of matrices
    return step.kind


def _has_rows(*values: Array) -> bool:
    """Return whether the first axis of all is the batch's; of a single vector it may be that of the features."""
    return all(value.ndim > 1 and len(value) == len(values[0]) for value in values)


def _confirmed(loss: ProgramLoss, value: Array, found: float) -> RowLoss | None:
    """Return the loss as a sum over rows if that sum is the loss itself, so that none is trusted by its name."""
    rows = loss.by_row(value) if loss.by_row and _has_rows(value) and value.size else None
    if rows is None:
        return None
    total = float(rows.of_rows(np.arange(len(value)))(value).sum())
    size = abs(found) + np.abs(value).mean()  # a small loss may be a difference of large numbers
    return rows if abs(total - found) <= np.sqrt(np.finfo(value.dtype).eps) * size else None
