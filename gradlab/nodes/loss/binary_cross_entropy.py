"""Binary cross-entropy on probabilities, averaged over all elements.

forward:  L = -(1/N) sum of t log(y) + (1 - t) log(1 - y), terms with the factor 0 left out; N the number of elements
backward: dy = -g (t / y - (1 - t) / (1 - y)) / N, a term with t = 0 or 1 - t = 0 being 0, whatever y is

Source: the derivative of log; Deep Learning from Scratch 2, chapter 4. On logits it is a node of its own.
"""

from collections.abc import Iterator
from typing import Any

import numpy as np

from gradlab.node import Array, Sample
from gradlab.sampling import normal


def forward(y: Array, t: Array) -> tuple[Array, Any]:
    t = np.asarray(t, dtype=y.dtype)
    if t.shape != y.shape:
        raise ValueError(
            f"t has shape {t.shape} for probabilities of shape {y.shape}: give one target for each"
        )
    yes = np.where(t != 0, y, 1)
    # 1 - y itself would lose the digits of a small y
    no = np.where(t != 1, y, 0)
    loss = -np.mean(t * np.log(yes) + (1 - t) * np.log1p(-no))
    return loss, (t / y.size, yes, (1 - t) / y.size, 1 - no)


def backward(residuals: Any, g: Array) -> tuple[Array, ...]:
    yes_weight, yes, no_weight, no = residuals
    return (g * (no_weight / no - yes_weight / yes),)


def reference(y: Array, t: Array) -> Any:
    from scipy.special import rel_entr, xlogy

    other = 1 - t
    entropy = -(xlogy(t, t) + xlogy(other, other))
    return np.mean(rel_entr(t, y) + rel_entr(other, 1 - y) + entropy)


def samples(rng: np.random.Generator) -> Iterator[Sample]:
    def inside(*shape: int) -> Array:
        return 1 / (1 + np.exp(-normal(rng, *shape)))

    yield Sample("vector", (inside(4),), {"t": np.array([0, 1, 1, 0])})
    yield Sample("column, batch of 3", (inside(3, 1),), {"t": np.array([[1.0], [0.0], [1.0]])})
    yield Sample("batch of 1", (inside(1, 1),), {"t": np.array([[1.0]])})
    yield Sample("soft targets, two columns", (inside(3, 2),), {"t": rng.uniform(size=(3, 2))})
    yield Sample("certain and right", (np.array([0.0, 1.0, 0.5]),), {"t": np.array([0.0, 1.0, 1.0])})
    yield Sample("nearly certain", (np.array([2e-3, 1 - 2e-3, 2e-3]),), {"t": np.array([0.0, 1.0, 1.0])})
