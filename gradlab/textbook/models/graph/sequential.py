"""Models whose layers lie one behind the other."""

from collections.abc import Sequence
from typing import Any

import numpy as np

from gradlab.textbook.models.graph.layers import GraphLayer, Input, Tensor
from gradlab.textbook.models.graph.model import Model, Rng


class Sequential(Model):
    """Layers one behind the other; the first says the input's shape, those of the others follow.

    Parameters
    ----------
    layers : sequence of GraphLayer
        The first has an ``input_shape``, or is an `Input`.
    rng, dtype
        As for `Model`.

    Raises
    ------
    ValueError
        If nothing says the input's shape, or a layer cannot take what the one before it gives.

    Examples
    --------
    >>> from gradlab.textbook.models.graph import Dense, Sequential
    >>> model = Sequential([Dense(32, activation="relu", input_shape=(784,)), Dense(10, activation="softmax")])
    >>> print(model.summary())
    layer    kind            output shape      parameters  from
    -------  --------------  --------------  ------------  ------
    input    Input           (N, 784)                   0
    dense    Dense, relu     (N, 32)               25,120  input
    dense_1  Dense, softmax  (N, 10)                  330  dense
    <BLANKLINE>
    25,450 parameters are trained.
    """

    def __init__(
        self, layers: Sequence[GraphLayer | Tensor], *, rng: Rng = 0, dtype: Any = np.float64
    ) -> None:
        first, rest = _start(list(layers))
        last = first
        for layer in rest:
            if not isinstance(layer, GraphLayer):
                raise TypeError(f"layers holds {layer!r}: give layers, such as Dense(10)")
            last = layer(last)
        super().__init__(first, last, rng=rng, dtype=dtype)


def _start(layers: list[Any]) -> tuple[Tensor, list[Any]]:
    if not layers:
        raise ValueError("layers is empty: give at least one layer")
    if isinstance(layers[0], Tensor):
        return layers[0], layers[1:]
    shape = getattr(layers[0], "input_shape", None)
    if shape is None:
        raise ValueError(
            f"{layers[0]!r} is the first layer and does not say what it takes: give it an input_shape, "
            "such as input_shape=(784,)"
        )
    return Input(shape), layers
