"""The tasks of training: for each output a loss and metrics; and the optimizer."""

import inspect
import warnings
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from types import ModuleType
from typing import Any, Protocol

import numpy as np

from gradlab.node import Array
from gradlab.textbook import optimizers
from gradlab.textbook.models.graph.data import one_per_name
from gradlab.textbook.models.graph.layers import Tensor
from gradlab.textbook.models.graph.losses import Loss, accuracy, loss_input, loss_named, mismatch


class OptimizerLike(Protocol):
    """An optimizer of `gradlab.textbook.optimizers`, or any other object with this method."""

    def update(self, params: Mapping[str, Array], grads: Mapping[str, Array]) -> None:
        """Change every array of `params` in place."""


@dataclass(frozen=True)
class OutputTask:
    """The loss and the metrics that one output is trained with.

    Attributes
    ----------
    name : str
        The output's name.
    output, at : Tensor
        The output, and the tensor that the loss is taken of: the output, or the input of its last activation.
    loss : Loss
    node : module
        The node that computes the loss from `at`.
    weight : float
        The factor of the loss in the sum of all losses.
    metrics : tuple of str
        "accuracy", or the names of losses.
    """

    name: str
    output: Tensor
    at: Tensor
    loss: Loss
    node: ModuleType
    weight: float
    metrics: tuple[str, ...]

    def measure(self, y: Array, t: Array) -> list[float]:
        """Return each metric of outputs `y` and targets `t`."""
        return [
            accuracy(self.loss, y, t) if name == "accuracy" else _loss_of(name, y, t) for name in self.metrics
        ]


@dataclass(frozen=True)
class Compiled:
    """An optimizer, and a task for each output."""

    optimizer: OptimizerLike
    tasks: tuple[OutputTask, ...]


def make_tasks(
    names: Sequence[str], outputs: Sequence[Tensor], loss: Any, metrics: Any, loss_weights: Any
) -> tuple[OutputTask, ...]:
    """Return the task of each output, and warn of a loss that does not go with its last activation."""
    if loss is None or isinstance(loss, str):
        loss = dict.fromkeys(names, loss)
    losses = [loss_named(name) for name in one_per_name(loss, names, "loss")]
    even = dict.fromkeys(names, 1 / len(names))
    weights = one_per_name(even if loss_weights is None else loss_weights, names, "loss_weights")
    metrics = [metrics] if isinstance(metrics, str) else metrics
    wanted = metrics if isinstance(metrics, Mapping) else dict.fromkeys(names, metrics)
    tasks = []
    for name, output, found, weight, of_output in zip(
        names, outputs, losses, weights, one_per_name(wanted, names, "metrics"), strict=True
    ):
        if complaint := mismatch(found, output, name):
            warnings.warn(complaint, UserWarning, stacklevel=3)  # at the line that called compile
        measured = tuple(_metric_named(metric) for metric in of_output)
        at, node = loss_input(found, output)
        tasks.append(OutputTask(name, output, at, found, node, weight, measured))
    return tuple(tasks)


def score_names(tasks: Sequence[OutputTask]) -> list[str]:
    """Return "loss", with several outputs each one's own loss too, and the metrics."""
    alone = len(tasks) == 1
    own = [] if alone else [f"{task.name}_loss" for task in tasks]
    metrics = [metric if alone else f"{task.name}_{metric}" for task in tasks for metric in task.metrics]
    return ["loss", *own, *metrics]


def total_loss(tasks: Sequence[OutputTask], losses: Sequence[Any]) -> float:
    """Return the number that training makes small: the weighted sum of the losses."""
    return float(sum(task.weight * loss for task, loss in zip(tasks, losses, strict=True)))


def scores(
    tasks: Sequence[OutputTask], values: Mapping[Tensor, Array], ts: Sequence[Array], losses: Sequence[Any]
) -> Array:
    """Return the numbers whose names are those of `score_names`, given the loss of each task."""
    own = [] if len(tasks) == 1 else losses
    metrics = [task.measure(values[task.output], t) for task, t in zip(tasks, ts, strict=True)]
    return np.array(
        [total_loss(tasks, losses), *own, *(number for of_task in metrics for number in of_task)], dtype=float
    )


def chosen_optimizer(optimizer: Any) -> OptimizerLike:
    """Return the optimizer of a name in `gradlab.textbook.optimizers`, or the given optimizer itself.

    Raises
    ------
    ValueError
        If there is no optimizer of that name.
    TypeError
        If the given object has no update, or is a class.
    """
    if isinstance(optimizer, str):
        return optimizers.get(optimizer)
    if inspect.isclass(optimizer) or not callable(getattr(optimizer, "update", None)):
        raise TypeError(
            f"optimizer is {optimizer!r}: give a name or an object, such as 'adam' or Adam(0.001)"
        )
    found: OptimizerLike = optimizer
    return found


def _metric_named(name: Any) -> str:
    if name in ("accuracy", "acc"):
        return "accuracy"
    try:
        return loss_named(name).name
    except ValueError:
        raise ValueError(
            f"no metric is named {name!r}: give 'accuracy', or the name of a loss such as 'mae'"
        ) from None


def _loss_of(name: str, y: Array, t: Array) -> float:
    loss = loss_named(name)
    return float(loss.node.forward(y, loss.targets(t, y.shape, y.dtype))[0])
