"""The loss of a batch and its cotangents, and the loop of training."""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Protocol

import numpy as np

from gradlab.node import Array
from gradlab.running.progress import progress_bar
from gradlab.textbook.models.graph import passes
from gradlab.textbook.models.graph.layers import Tensor
from gradlab.textbook.models.graph.layers.layer import whole_number
from gradlab.textbook.models.graph.tasks import Compiled, OutputTask, score_names, scores

Arrays = Sequence[Array]


class Trainable(Protocol):
    """The part of a model that the training loop uses."""

    @property
    def params(self) -> Mapping[str, Array]:
        """The parameters by name, changed in place by the optimizer."""

    @property
    def compiled(self) -> Compiled:
        """The optimizer, and the task of each output."""

    def step(self, xs: Arrays, ts: Arrays, rng: np.random.Generator) -> tuple[Array, Mapping[str, Array]]:
        """Return the scores and the gradient of a batch."""

    def values(self, xs: Arrays) -> Mapping[Tensor, Array]:
        """Return the value of every tensor for these inputs, as in prediction."""


@dataclass
class History:
    """The scores of a training, epoch by epoch.

    Attributes
    ----------
    history : dict
        For each score ("loss", "accuracy", "val_loss", ...) a list of one number an epoch. The scores of the training
        data are averages over the epoch, each batch's taken before its step.
    interrupted : bool
        Whether Ctrl-C ended the training, in the epoch after the last one here.
    """

    history: dict[str, list[float]] = field(default_factory=dict)
    interrupted: bool = False


def losses(
    tasks: Sequence[OutputTask], values: Mapping[Tensor, Array], ts: Arrays
) -> tuple[tuple[Any, ...], tuple[Any, ...]]:
    """Return the loss of each task, and its residuals."""
    found = [task.node.forward(values[task.at], t) for task, t in zip(tasks, ts, strict=True)]
    values_of, residuals = zip(*found, strict=True)
    return values_of, residuals


def cotangents(tasks: Sequence[OutputTask], residuals: Sequence[Any], dtype: Any) -> dict[Tensor, Array]:
    """Return the gradient of the weighted sum of the losses by each tensor that a loss is taken of."""
    found: dict[Tensor, Array] = {}
    for task, kept in zip(tasks, residuals, strict=True):
        passes.add_to(found, task.at, task.node.backward(kept, np.asarray(task.weight, dtype))[0])
    return found


def fit(
    model: Trainable,
    data: tuple[Arrays, Arrays],
    validation: tuple[Arrays, Arrays] | None,
    batch_size: int,
    epochs: int,
    rng: np.random.Generator | int,
) -> History:
    """Train by one step for each batch, with the examples in a new order each epoch; see `Model.fit`."""
    history = History()
    whole_number("epochs", epochs)
    for_order, for_masks = np.random.default_rng(rng).spawn(2)
    count = len(data[0][0])
    steps = -(-count // whole_number("batch_size", batch_size)) * epochs
    with progress_bar(steps, "step") as bar:
        try:
            for epoch in range(epochs):
                bar.set_description(f"epoch {epoch + 1} of {epochs}", refresh=False)
                found = _epoch(model, data, for_order.permutation(count), batch_size, for_masks, bar)
                if validation is not None:
                    held_out = evaluate(model, *validation, batch_size)
                    found |= {f"val_{name}": score for name, score in held_out.items()}
                for name, score in found.items():
                    history.history.setdefault(name, []).append(score)
        except KeyboardInterrupt:
            history.interrupted = True
    return history


def _epoch(
    model: Trainable,
    data: tuple[Arrays, Arrays],
    order: Array,
    batch_size: int,
    rng: np.random.Generator,
    bar: Any,
) -> dict[str, float]:
    total = np.zeros(())
    for xs, ts in _batches(*data, batch_size, order):
        found, gradient = model.step(xs, ts, rng)
        model.compiled.optimizer.update(model.params, gradient)
        total = total + len(xs[0]) * found
        bar.set_postfix_str(f"loss {found[0]:.4g}", refresh=False)
        bar.update()
    return _named(model.compiled.tasks, total / len(order))


def evaluate(model: Trainable, xs: Arrays, ts: Arrays, batch_size: int) -> dict[str, float]:
    """Return the scores of all rows, by name, as in prediction."""
    tasks, total = model.compiled.tasks, np.zeros(())
    for some_xs, some_ts in _batches(xs, ts, whole_number("batch_size", batch_size)):
        values = model.values(some_xs)
        values_of, _ = losses(tasks, values, some_ts)
        total = total + len(some_xs[0]) * scores(tasks, values, some_ts, values_of)
    return _named(tasks, total / len(xs[0]))


def _batches(
    xs: Arrays, ts: Arrays, batch_size: int, order: Array | None = None
) -> Iterator[tuple[list[Array], list[Array]]]:
    for first in range(0, len(xs[0]), batch_size):
        rows: Any = slice(first, first + batch_size)
        if order is not None:
            rows = order[rows]
        yield [x[rows] for x in xs], [t[rows] for t in ts]


def _named(tasks: Sequence[OutputTask], found: Array) -> dict[str, float]:
    return dict(zip(score_names(tasks), found.tolist(), strict=True))
