"""One minus the cosine of the angle between rows, averaged over the batch.

forward:  L = (1/N) sum over n of 1 - c_n, c = y . t / (|y| |t|) over the last axis, N the number of rows
backward: dy = -g (u_t - c u_y) / (|y| N), dt = -g (u_y - c u_t) / (|t| N), with u_y = y / |y| and u_t = t / |t|

Source: the derivative of y / |y| is the projection off y, over |y|. A row of zeros has no direction and is refused.
"""

from collections.abc import Iterator
from typing import Any

import numpy as np

from gradlab.node import Array, Sample
from gradlab.nodes.class_labels import batch_size
from gradlab.sampling import normal


def forward(y: Array, t: Array) -> tuple[Array, Any]:
    if y.shape != t.shape:
        raise ValueError(f"y has shape {y.shape}, t {t.shape}: give rows of the same shape")
    y_length, t_length = (np.sqrt(np.sum(x * x, axis=-1, keepdims=True)) for x in (y, t))
    if not (y_length.all() and t_length.all()):
        raise ValueError("a row of zeros has no direction: give rows with a number other than 0")
    y_unit, t_unit = y / y_length, t / t_length
    cosine = np.sum(y_unit * t_unit, axis=-1, keepdims=True)
    count = batch_size(y)
    return np.sum(1 - cosine) / count, (y_unit, t_unit, cosine, y_length * count, t_length * count)


def backward(residuals: Any, g: Array) -> tuple[Array, ...]:
    y_unit, t_unit, cosine, y_length, t_length = residuals
    return g * (cosine * y_unit - t_unit) / y_length, g * (cosine * t_unit - y_unit) / t_length


def reference(y: Array, t: Array) -> Any:
    from scipy.spatial.distance import cosine

    size = y.shape[-1]
    return np.mean([cosine(a, b) for a, b in zip(y.reshape(-1, size), t.reshape(-1, size), strict=True)])


def samples(rng: np.random.Generator) -> Iterator[Sample]:
    yield Sample("batch of 3", (normal(rng, 3, 4), normal(rng, 3, 4)))
    yield Sample("one row", (normal(rng, 5), normal(rng, 5)))
    yield Sample("batch of 1, long and short", (30 * normal(rng, 1, 3), 0.1 * normal(rng, 1, 3)))
    yield Sample("three axes", (normal(rng, 2, 2, 3), normal(rng, 2, 2, 3)))
    yield Sample("orthogonal", (np.array([[1.0, 2.0]]), np.array([[2.0, -1.0]])))
    yield Sample(
        "opposite, and alike", (np.array([[0.0, 3.0], [2.0, 0.0]]), np.array([[0.0, -2.0], [0.5, 0.0]]))
    )
