"""The textbook's training loop: mini-batches drawn at random, accuracy once an epoch."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from time import perf_counter
from typing import Protocol

import numpy as np

from gradlab.node import Array
from gradlab.textbook.datasets import Dataset
from gradlab.textbook.optimizers import SGD


class Classifier(Protocol):
    """The part of a model that the loop uses."""

    @property
    def params(self) -> Mapping[str, Array]:
        """The parameters by name, changed in place."""

    def loss(self, x: Array, t: Array) -> float:
        """Return the loss of a batch."""

    def accuracy(self, x: Array, t: Array) -> float:
        """Return the share of rows that are classified rightly."""


@dataclass(frozen=True)
class Progress:
    """Where training stands after `step` steps, `epoch` epochs (whole or not), `seconds` of training time."""

    step: int
    epoch: float
    loss: float
    train_accuracy: float
    test_accuracy: float
    seconds: float


@dataclass(frozen=True)
class TrainingHistory:
    """The progress at the start, after every epoch, and at the end; `interrupted` by Ctrl-C or not."""

    points: list[Progress]
    interrupted: bool = False


def train(
    model: Classifier,
    gradient: Callable[[Array, Array], Mapping[str, Array]],
    data: Dataset,
    *,
    steps: int,
    batch_size: int,
    lr: float,
    rng: np.random.Generator,
    on_step: Callable[[Array, Array], None] = lambda x, t: None,
) -> TrainingHistory:
    """Train a model by stochastic gradient descent.

    Parameters
    ----------
    model : Classifier
        Changed in place.
    gradient : callable
        ``gradient(x, t)``, the gradient of every parameter by name; one of the model's methods.
    data : Dataset
    steps, batch_size : int
        Each step draws `batch_size` rows, with replacement as the textbook does. An epoch is as many steps as
        it takes to draw the training set's number of rows.
    lr : float
        The learning rate.
    rng : numpy.random.Generator
        Draws the batches.
    on_step : callable
        Called with the batch, x and t, after each step.

    Notes
    -----
    The accuracy and the loss of a `Progress` are those of the whole training and test set. Ctrl-C ends the loop
    and keeps the steps that were taken. Source: Deep Learning from Scratch, chapter 4.
    """
    optimizer, epoch_steps = SGD(lr), max(len(data.x_train) // batch_size, 1)
    points: list[Progress] = []
    done, spent, interrupted = 0, 0.0, False
    try:
        points.append(_progress(model, data, 0, epoch_steps, 0.0))
        while done < steps:
            start = perf_counter()
            rows = rng.integers(len(data.x_train), size=batch_size)
            x, t = data.x_train[rows], data.t_train[rows]
            optimizer.update(model.params, gradient(x, t))
            done += 1
            spent += perf_counter() - start
            on_step(x, t)
            if done % epoch_steps == 0 or done == steps:
                points.append(_progress(model, data, done, epoch_steps, spent))
    except KeyboardInterrupt:
        interrupted = True
        if not points or points[-1].step != done:
            points.append(_progress(model, data, done, epoch_steps, spent))
    return TrainingHistory(points, interrupted)


def _progress(model: Classifier, data: Dataset, step: int, epoch_steps: int, spent: float) -> Progress:
    return Progress(
        step,
        step / epoch_steps,
        model.loss(data.x_train, data.t_train),
        model.accuracy(data.x_train, data.t_train),
        model.accuracy(data.x_test, data.t_test),
        spent,
    )
