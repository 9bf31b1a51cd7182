"""Parameters by name, and the accuracy of scores: what models have in common."""

from typing import Any

import numpy as np

from gradlab.node import Array


class Parameters(dict[str, Array]):
    """Parameters by name, each the very array that a layer computes with.

    Assigning writes into that array: ``net.params["W1"] -= lr * grad`` and ``net.params["W1"] = W`` both reach
    the layer, where a plain dict would leave it with the old weights.
    """

    def __setitem__(self, name: str, value: Any) -> None:
        if np.shape(value) != self[name].shape:
            raise ValueError(
                f"{name} has shape {self[name].shape}: give an array of that shape, not {np.shape(value)}"
            )
        self[name][...] = value

    def __reduce__(self) -> tuple[Any, ...]:
        # a copy, or what is pickled, is filled at once: one name after the other would be refused
        return type(self), (dict(self),)


def accuracy(scores: Array, t: Array) -> float:
    """Return the share of rows whose largest score is at the target (class indices or one-hot rows)."""
    target = t.argmax(axis=-1) if t.ndim == scores.ndim else t
    return float(np.mean(scores.argmax(axis=-1) == target))
