"""CTC for a batch of sequences as a model has them: (N, time, classes) and labels filled up with the blank.

forward:  the loss of the node `ctc`, with all steps of each output and the labels before the first blank
backward: its gradient, the batch first
"""

from typing import Any

import numpy as np

from gradlab.node import Array
from gradlab.nodes.loss import ctc

# The class that stands for no label, as in Keras.
BLANK = 0


def forward(y: Array, t: Array) -> tuple[Any, Any]:
    """Return the loss of logits `y`, shape (N, time, classes), and labels `t`, shape (N, length)."""
    lengths = (t != BLANK).sum(axis=1)
    steps = np.full(len(y), y.shape[1])
    return ctc.forward(y.swapaxes(0, 1), labels=t, label_lengths=lengths, input_lengths=steps, blank=BLANK)


def backward(residuals: Any, g: Array) -> tuple[Array, ...]:
    """Return the gradient of the logits."""
    (dx,) = ctc.backward(residuals, g)
    return (dx.swapaxes(0, 1),)


def steps_needed(t: Array) -> Array:
    """Return how many steps each row's labels take at least: one each, and a blank between two that are equal."""
    labels = t != BLANK
    repeats = (t[:, 1:] == t[:, :-1]) & labels[:, 1:]
    return np.asarray(labels.sum(axis=1) + repeats.sum(axis=1))


def labels_of(t: Array) -> list[list[int]]:
    """Return each row of targets without the blanks."""
    return [row[row != BLANK].tolist() for row in t]


def read_out(y: Array) -> list[list[int]]:
    """Return the labels of the likeliest path of each sequence: repeats merged, blanks left out.

    Parameters
    ----------
    y : ndarray, shape (N, time, classes)
        Scores or probabilities, the blank being class 0.

    Notes
    -----
    Best path decoding; Graves and others, 2006, ICML. The likeliest labelling may be another.
    """
    paths = y.argmax(axis=-1)
    new = np.ones(paths.shape, dtype=bool)
    new[:, 1:] = paths[:, 1:] != paths[:, :-1]
    return [path[keep].tolist() for path, keep in zip(paths, new & (paths != BLANK), strict=True)]
