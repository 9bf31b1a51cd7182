"""Losses by task and name, the activations that they go with, and the targets that they take."""

import difflib
from collections.abc import Callable
from dataclasses import dataclass
from types import ModuleType
from typing import Any

import numpy as np

from gradlab.node import Array
from gradlab.nodes.loss import (
    binary_cross_entropy,
    categorical_cross_entropy,
    huber,
    mean_absolute_error,
    mean_squared_error,
    sigmoid_with_loss,
    softmax_with_loss,
)
from gradlab.textbook.models.graph import sequence_loss
from gradlab.textbook.models.graph.layers import Shape, Tensor
from gradlab.textbook.models.graph.layers.activation import ACTIVATIONS, last_activation


@dataclass(frozen=True)
class Loss:
    """A loss by name.

    Attributes
    ----------
    name, task : str
        The loss's name, and the task that it is for, as messages call it.
    targets : callable
        ``targets(t, shape, dtype)`` returns the targets for outputs of `shape` (the batch included) as the node takes
        them, or raises a `ValueError`.
    activations : tuple of str
        The last activations that the loss goes with.
    node : module
        Its ``forward(y, t)`` and ``backward(residuals, g)``, whose first gradient is that of the output y.
    on_logits : module, optional
        A node of the same loss that takes the input of the first of `activations` in place of its output.
    """

    name: str
    task: str
    targets: Callable[[Array, Shape, Any], Array]
    activations: tuple[str, ...]
    node: ModuleType
    on_logits: ModuleType | None = None


def loss_named(name: Any) -> Loss:
    """Return the loss of that name, in Keras's short or long form.

    Raises
    ------
    ValueError
        If there is none.
    """
    found = LOSSES.get(ALIASES.get(name, name)) if isinstance(name, str) else None
    if found is None:
        near = difflib.get_close_matches(str(name), [*LOSSES, *ALIASES], n=1)
        cure = f"did you mean {near[0]!r}?" if near else f"there are {', '.join(LOSSES)}"
        raise ValueError(f"no loss is named {name!r}: {cure}")
    return found


def loss_input(loss: Loss, output: Tensor) -> tuple[Tensor, ModuleType]:
    """Return the tensor that a loss is taken of, and the node that computes the loss from this tensor.

    The tensor is the output, or the input of the output's last activation where the loss keeps more digits so: the
    logarithm of a probability that was rounded to 0 is nothing to learn from, and softmax with categorical
    cross-entropy and sigmoid with binary cross-entropy are computed from the logits.
    """
    if loss.on_logits and last_activation(output) == loss.activations[0]:
        return output.inputs[0], loss.on_logits
    return output, loss.node


def mismatch(loss: Loss, output: Tensor, name: str) -> str:
    """Return the objection to a loss behind the last activation of this output, an empty string if there is none."""
    last, (best, *_) = last_activation(output), loss.activations
    if last == "softmax" and output.shape[-1] == 1:
        return f"{name}: softmax over one unit is always 1: use sigmoid, or two units"
    if last in loss.activations:
        return ""
    cures = [
        f"activation={best!r}",
        *(f"loss={o.name!r} ({o.task})" for o in LOSSES.values() if last == o.activations[0]),
    ]
    return (
        f"{name}: {loss.name} ({loss.task}) goes with {best} as the last activation, and this one is {last}: "
        f"use {' or '.join(cures[:2])}"
    )


def like_output(t: Array, shape: Shape, dtype: Any) -> Array:
    """Return one target for each number of the output; (N,) does for an output of (N, 1)."""
    if t.shape != shape and not (t.shape == shape[:-1] and shape[-1] == 1):
        raise ValueError(
            f"t has shape {t.shape} for an output of shape {shape}: give one target for each number"
        )
    return t.reshape(shape).astype(dtype, copy=False)


def one_hot_rows(t: Array, shape: Shape, dtype: Any) -> Array:
    """Return one-hot rows, or rows of probabilities."""
    if t.shape != shape:
        sparse = t.shape == shape[:-1]
        cure = "take loss='sparse_categorical_crossentropy'" if sparse else "give a one-hot row for each row"
        raise ValueError(f"t has shape {t.shape} for an output of shape {shape}: {cure}")
    return t.astype(dtype, copy=False)


def class_indices(t: Array, shape: Shape, dtype: Any) -> Array:
    """Return class indices, which may stand in a column."""
    if t.shape not in (shape[:-1], (*shape[:-1], 1)) or not np.issubdtype(t.dtype, np.integer):
        raise ValueError(
            f"t has shape {t.shape} and dtype {t.dtype} for an output of shape {shape}: "
            f"give class indices (int) of shape {shape[:-1]}"
        )
    return t.reshape(shape[:-1])


def label_sequences(t: Array, shape: Shape, dtype: Any) -> Array:
    """Return rows of labels, each filled up with blanks at its end."""
    if len(shape) != 3 or t.shape[:-1] != shape[:1] or not np.issubdtype(t.dtype, np.integer):
        raise ValueError(
            f"t has shape {t.shape} and dtype {t.dtype} for an output of shape {shape}: "
            "give labels (int) of shape (N, length) for an output of shape (N, time, classes)"
        )
    if ((t[:, :-1] == sequence_loss.BLANK) & (t[:, 1:] != sequence_loss.BLANK)).any():
        raise ValueError("t has a label behind a 0, the blank: give the labels first, and fill up with 0")
    needed = sequence_loss.steps_needed(t)
    if (needed > shape[1]).any():
        raise ValueError(
            f"row {needed.argmax()} of t needs {needed.max()} steps of time, and the output has {shape[1]}: "
            "give fewer labels, or a model that gives more steps"
        )
    return t


def accuracy(loss: Loss, y: Array, t: Array) -> float:
    """Return the share of outputs that are right, as the loss's task counts them.

    Of sequences those that are read without a mistake; of single numbers (one unit, or binary cross-entropy) those on
    the target's side of 0.5; else the share of rows whose largest number is at the target's place.
    """
    if loss.name == "ctc":
        pairs = zip(sequence_loss.read_out(y), sequence_loss.labels_of(t), strict=True)
        return float(np.mean([found == wanted for found, wanted in pairs]))
    if t.shape != y.shape:
        return float(np.mean(y.argmax(axis=-1) == t))
    if y.shape[-1] == 1 or loss.name == "binary_crossentropy":
        return float(np.mean((y > 0.5) == (t > 0.5)))
    return float(np.mean(y.argmax(axis=-1) == t.argmax(axis=-1)))


# for numbers any last activation will do but softmax, whose outputs hang together
_NUMBERS = ("linear", *(name for name in ACTIVATIONS if name != "softmax"))
_SEVERAL = "several classes"
_ON_SOFTMAX = (("softmax",), categorical_cross_entropy, softmax_with_loss)

LOSSES: dict[str, Loss] = {
    loss.name: loss
    for loss in (
        Loss("mse", "regression", like_output, _NUMBERS, mean_squared_error),
        Loss("mae", "regression", like_output, _NUMBERS, mean_absolute_error),
        Loss("huber", "regression", like_output, _NUMBERS, huber),
        Loss(
            "binary_crossentropy",
            "two classes",
            like_output,
            ("sigmoid",),
            binary_cross_entropy,
            sigmoid_with_loss,
        ),
        Loss("categorical_crossentropy", _SEVERAL, one_hot_rows, *_ON_SOFTMAX),
        Loss("sparse_categorical_crossentropy", _SEVERAL, class_indices, *_ON_SOFTMAX),
        # CTC takes logits, which are what goes into softmax, or what comes without it
        Loss("ctc", "sequences", label_sequences, ("softmax", "linear"), sequence_loss, sequence_loss),
    )
}

ALIASES = {"mean_squared_error": "mse", "mean_absolute_error": "mae"}
