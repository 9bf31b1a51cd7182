"""Cross-entropy on probabilities, without a delta: what a model gives for certain and wrong costs infinity.

forward:  L = -(1/N) sum over n, k of t_nk log(y_nk), terms with t_nk = 0 left out; N the number of rows
backward: dy = -g t / (y N), and 0 where t = 0, whatever y is

Source: the derivative of log; Goodfellow, Bengio and Courville, Deep Learning, section 6.2. The textbook's loss with
delta inside the logarithm is a node of its own, as is the one on scores.
"""

from collections.abc import Iterator
from typing import Any

import numpy as np

from gradlab.node import Array, Sample
from gradlab.nodes.class_labels import batch_size, target_rows
from gradlab.sampling import labels, one_hot, probabilities


def forward(y: Array, t: Array) -> tuple[Array, Any]:
    t = target_rows(t, y)
    asked = np.where(t != 0, y, 1)
    count = batch_size(y)
    return -np.sum(t * np.log(asked)) / count, (t / count, asked)


def backward(residuals: Any, g: Array) -> tuple[Array, ...]:
    weight, asked = residuals
    return (-g * weight / asked,)


def reference(y: Array, t: Array) -> Any:
    from scipy.special import xlogy

    return -xlogy(target_rows(t, y), y).sum(axis=-1).mean()


def samples(rng: np.random.Generator) -> Iterator[Sample]:
    certain = np.array([[1.0, 0.0, 0.0], [0.0, 0.25, 0.75]])
    yield Sample("one example, one-hot", (probabilities(rng, 4),), {"t": np.array([0.0, 0.0, 1.0, 0.0])})
    yield Sample("batch of 3, class indices", (probabilities(rng, 3, 4),), {"t": labels(rng, 3, 4)})
    yield Sample("batch of 1, one-hot", (probabilities(rng, 1, 3),), {"t": one_hot(rng, 1, 3)})
    yield Sample("soft targets", (probabilities(rng, 3, 3),), {"t": probabilities(rng, 3, 3)})
    yield Sample("probability 0 where no target is", (certain,), {"t": np.array([0, 2])})
    yield Sample("rare events", (np.array([[2e-3, 0.048, 0.95]]),), {"t": np.array([[0.1, 0.2, 0.7]])})
