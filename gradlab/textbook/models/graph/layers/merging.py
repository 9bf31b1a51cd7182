"""Layers that join tensors: Add and Concatenate."""

from typing import Any

import numpy as np

from gradlab.node import Array
from gradlab.nodes.arithmetic import add
from gradlab.nodes.shape import concatenate
from gradlab.textbook.models.graph.layers.layer import Gradients, GraphLayer, Shape


class Add(GraphLayer):
    """The sum of tensors of one shape."""

    merges = True

    def output_shape(self, *shapes: Shape) -> Shape:
        """Return the common shape."""
        _check_several(self, shapes)
        for shape in shapes[1:]:
            if shape != shapes[0]:
                raise ValueError(
                    f"{self}: got tensors of shapes {shapes[0]} and {shape}: give tensors of one shape"
                )
        return shapes[0]

    def forward(
        self, inputs: tuple[Array, ...], training: bool, rng: np.random.Generator
    ) -> tuple[Array, Any]:
        """Return the sum, added up from the first on."""
        total, residuals = inputs[0], []
        for x in inputs[1:]:
            total, kept = add.forward(total, x)
            residuals.append(kept)
        return total, residuals

    def backward(self, residuals: Any, g: Array) -> Gradients:
        """Return the gradient of each tensor."""
        gradients: list[Array | None] = []
        for kept in reversed(residuals):
            g, last = add.backward(kept, g)
            gradients.insert(0, last)
        return (g, *gradients), {}


class Concatenate(GraphLayer):
    """Tensors one behind the other along an axis; by default the last, features or channels.

    Parameters
    ----------
    axis : int
        Counted as in Keras: the batch is axis 0, and cannot be joined along.
    name, input_shape
        As for `GraphLayer`.
    """

    merges = True

    def __init__(self, axis: int = -1, **common: Any) -> None:
        super().__init__(**common)
        self.axis = axis

    def output_shape(self, *shapes: Shape) -> Shape:
        """Return the shape with the sizes along the axis added up."""
        _check_several(self, shapes)
        rank = len(shapes[0])
        along = self.axis - 1 if self.axis > 0 else self.axis + rank
        if not 0 <= along < rank or self.axis == 0:
            raise ValueError(
                f"{self}: got a tensor of shape {shapes[0]}, which has no axis {self.axis} besides the batch's: "
                f"give -1, or 1 to {rank}"
            )
        first = _without(shapes[0], along)
        for shape in shapes[1:]:
            if len(shape) != rank or _without(shape, along) != first:
                raise ValueError(
                    f"{self}: got tensors of shapes {shapes[0]} and {shape}: "
                    f"give shapes that differ along axis {self.axis} only"
                )
        return (*shapes[0][:along], sum(shape[along] for shape in shapes), *shapes[0][along + 1 :])

    def forward(
        self, inputs: tuple[Array, ...], training: bool, rng: np.random.Generator
    ) -> tuple[Array, Any]:
        """Return the arrays as one."""
        output, residuals = concatenate.forward(*inputs, axis=self.axis)
        return output, residuals

    def backward(self, residuals: Any, g: Array) -> Gradients:
        """Return each array's part of g."""
        return concatenate.backward(residuals, g), {}


def _without(shape: Shape, axis: int) -> Shape:
    return shape[:axis] + shape[axis + 1 :]


def _check_several(layer: GraphLayer, shapes: tuple[Shape, ...]) -> None:
    if len(shapes) < 2:
        raise ValueError(f"{layer}: joins tensors and got {len(shapes)}: give a list of at least two")
