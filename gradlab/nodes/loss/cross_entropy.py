"""Cross-entropy on probabilities, as the textbook writes it, with delta = 1e-7 inside the logarithm.

forward:  L = -(1/N) sum over n, k of t_nk log(y_nk + delta)
backward: dy = -g t / (y + delta) / N

Source: Deep Learning from Scratch, chapter 4. delta keeps log off 0, and it is part of the function: the
gradient is -t / (y + delta), not the -t / y of the delta-free loss. N is the number of rows.
"""

from collections.abc import Iterator
from typing import Any

import numpy as np

from gradlab.node import Array, Sample
from gradlab.nodes.class_labels import batch_size, target_rows
from gradlab.sampling import labels, one_hot, probabilities

EQUIVALENT_MUTANTS = {
    "return (-g * t / shifted / batch_size(shifted),)": "predictions and targets have the same rows",
}


def forward(y: Array, t: Array, *, delta: float = 1e-7) -> tuple[Array, Any]:
    t = target_rows(t, y)
    shifted = y + delta
    return -np.sum(t * np.log(shifted)) / batch_size(y), (t, shifted)


def backward(residuals: Any, g: Array) -> tuple[Array, ...]:
    t, shifted = residuals
    return (-g * t / shifted / batch_size(t),)


def reference(y: Array, t: Array, *, delta: float = 1e-7) -> Any:
    from scipy.special import xlogy

    rows = target_rows(t, y)
    return -xlogy(rows, y + delta).sum(axis=-1).mean()


def samples(rng: np.random.Generator) -> Iterator[Sample]:
    yield Sample("one example, one-hot", (probabilities(rng, 4),), {"t": np.array([0.0, 0.0, 1.0, 0.0])})
    yield Sample("batch of 3, class indices", (probabilities(rng, 3, 4),), {"t": labels(rng, 3, 4)})
    yield Sample("batch of 1, one-hot", (probabilities(rng, 1, 3),), {"t": one_hot(rng, 1, 3)})
    yield Sample("soft targets", (probabilities(rng, 3, 3),), {"t": probabilities(rng, 3, 3)})
    yield Sample("a delta that shows", (probabilities(rng, 2, 3),), {"t": one_hot(rng, 2, 3), "delta": 0.1})
