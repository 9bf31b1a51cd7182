"""The logistic sigmoid of x and of -x, which several activations are made of."""

import numpy as np

from gradlab.node import Array


def both_sigmoids(x: Array) -> tuple[Array, Array]:
    """Return sigmoid(x) and sigmoid(-x) = 1 - sigmoid(x), each with all its digits and without overflow."""
    decay = np.exp(-np.abs(x))
    larger = 1 / (1 + decay)
    smaller = decay * larger
    return np.where(x >= 0, larger, smaller), np.where(x >= 0, smaller, larger)
