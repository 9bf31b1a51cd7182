"""Activations by name, as layers and as the last part of other layers."""

import difflib
from collections.abc import Sequence
from importlib import import_module
from typing import Any

from gradlab.textbook.models.graph.layers.layer import GraphLayer, NodeLayer, Tensor

# The nodes that, without settings, are what Keras means by their names.
ACTIVATIONS = (
    "elu", "gelu", "relu", "selu", "sigmoid", "silu", "softmax", "softplus", "softsign", "tanh"
)  # fmt: skip


class Activation(NodeLayer):
    """An activation as a layer: one of `ACTIVATIONS`; "softmax" runs over the last axis.

    Raises
    ------
    ValueError
        If there is no activation of that name.
    """

    def __init__(self, activation: str, *, shorthand: bool = False, **common: Any) -> None:
        super().__init__(**common)
        if activation not in ACTIVATIONS:
            near = difflib.get_close_matches(str(activation), ACTIVATIONS, n=1)
            cure = f"did you mean {near[0]!r}?" if near else f"there are {', '.join(ACTIVATIONS)}"
            raise ValueError(f"no activation is named {activation!r}: {cure}")
        self.activation = activation
        self.shorthand = shorthand
        self.node = import_module(f"gradlab.nodes.activation.{activation}")


class Activated(GraphLayer):
    """A layer with ``activation="relu"`` and the like: short for an `Activation` behind it.

    The two stay apart in the graph, so that a loss can be taken before the activation.
    """

    def __init__(self, activation: str | None = None, **common: Any) -> None:
        super().__init__(**common)
        none = activation in (None, "linear")
        self.activation = None if none else Activation(str(activation), shorthand=True)

    def __call__(self, inputs: Tensor | Sequence[Tensor]) -> Tensor:
        """Return the tensor that this layer and then its activation make of a tensor."""
        tensor = super().__call__(inputs)
        return tensor if self.activation is None else self.activation(tensor)


def last_activation(tensor: Tensor) -> str:
    """Return the name of the activation that makes this tensor, "linear" if none does."""
    return tensor.layer.activation if isinstance(tensor.layer, Activation) else "linear"


def is_shorthand(layer: GraphLayer | None) -> bool:
    """Return whether this is the activation that another layer's ``activation=`` is short for."""
    return isinstance(layer, Activation) and layer.shorthand


def maker(tensor: Tensor) -> GraphLayer | None:
    """Return the layer that was called to make this tensor, not its activation by shorthand; None for an input."""
    return tensor.inputs[0].layer if is_shorthand(tensor.layer) else tensor.layer
