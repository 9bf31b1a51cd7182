"""Tensors, the symbols with which a graph is drawn before there are numbers, and the layers that make them.

A tensor knows the layer that made it; every layer has parameters that are made once, and two pure passes.
"""

from __future__ import annotations

import copy
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from types import ModuleType
from typing import Any, ClassVar, Self

import numpy as np

from gradlab.node import Array

Shape = tuple[int, ...]
Gradients = tuple[tuple[Array | None, ...], dict[str, Array]]


@dataclass(frozen=True, eq=False)
class Tensor:
    """The symbol of an input, or of the output of a layer's call; two of one shape are still two.

    Attributes
    ----------
    shape : tuple of int
        Without the batch axis.
    name : str
        The name that an input was given; empty otherwise.
    layer, inputs : GraphLayer or None, tuple of Tensor
        The layer whose call makes the tensor, and the tensors that the layer is called on; None and () for an input.
    """

    shape: Shape
    name: str = ""
    layer: GraphLayer | None = None
    # left out of the repr, in which a branching graph would be written out many times
    inputs: tuple[Tensor, ...] = field(default=(), repr=False)


def Input(shape: Shape, name: str = "") -> Tensor:
    """Return a tensor to begin a graph with.

    Parameters
    ----------
    shape : tuple of int
        Without the batch axis: (features,), (time, features), (height, width, channels); (time,) for word ids.
    name : str
        The name by which `Model` takes the input's data from a dict; by default "input", "input_1", ...

    Raises
    ------
    ValueError
        If `shape` is no tuple of whole numbers above 0.
    """
    return Tensor(checked_shape(shape), name)


class GraphLayer:
    """A layer that can be called on tensors, as often as wanted: every call shares its parameters.

    A layer keeps nothing of a pass: what backward needs is in the residuals, so that one layer may stand at several
    places of a graph, and the gradients of its parameters add up.

    Parameters
    ----------
    name : str
        By default the class's name in small letters; a model numbers those that are alike.
    input_shape : tuple of int, optional
        The shape of one example, for the first layer of a `Sequential`.

    Attributes
    ----------
    params : dict
        The arrays that are trained, by name; empty until a model builds the layer.
    state : dict
        The arrays that are kept and not trained (running statistics).
    """

    # whether the sizes of the parameters follow from the size of the input's last axis
    ties_features: ClassVar[bool] = False
    # whether the layer joins several tensors
    merges: ClassVar[bool] = False

    def __init__(self, *, name: str = "", input_shape: Shape | None = None) -> None:
        self.name = name
        self.input_shape = None if input_shape is None else checked_shape(input_shape)
        self.params: dict[str, Array] = {}
        self.state: dict[str, Array] = {}
        self._features: int | None = None

    def __repr__(self) -> str:
        return self.name or snake_case(type(self).__name__)

    def __call__(self, inputs: Tensor | Sequence[Tensor]) -> Tensor:
        """Return the tensor that this layer makes of a tensor, or of several for a layer that joins.

        Raises
        ------
        TypeError
            If an input is no tensor.
        ValueError
            If a tensor has the wrong rank or size; the message has both shapes.
        """
        tensors = self._tensors(inputs)
        shapes = tuple(tensor.shape for tensor in tensors)
        shape = self.output_shape(*shapes)
        if self.ties_features:
            self._features = self._features or shapes[0][-1]
            if shapes[0][-1] != self._features:
                raise ValueError(
                    f"{self}: got a tensor of shape {shapes[0]}, and its parameters are for "
                    f"{(*shapes[0][:-1], self._features)}: make another layer for other features"
                )
        return Tensor(shape, layer=self, inputs=tensors)

    def _tensors(self, inputs: Any) -> tuple[Tensor, ...]:
        """Return the inputs of a call as a tuple, or raise an error if the layer cannot be called on them."""
        tensors = tuple(inputs) if isinstance(inputs, list | tuple) else (inputs,)
        for tensor in tensors:
            if not isinstance(tensor, Tensor):
                raise TypeError(
                    f"{self}: called on {type(tensor).__name__}: call it on an Input or on what a layer returned, "
                    "and give arrays to the model"
                )
        if not self.merges and len(tensors) != 1:
            raise ValueError(
                f"{self}: takes one tensor and got {len(tensors)}: join them by Concatenate() first"
            )
        return tensors

    def output_shape(self, *shapes: Shape) -> Shape:
        """Return the output's shape for these inputs' shapes, all without the batch axis."""
        return shapes[0]

    def initial(self, shape: Shape, rng: np.random.Generator) -> dict[str, Array]:
        """Return the parameters to start from, for an input of this shape."""
        return {}

    def initial_state(self, shape: Shape) -> dict[str, Array]:
        """Return the state to start from, for an input of this shape."""
        return {}

    def build(self, shape: Shape, rng: np.random.Generator, dtype: Any) -> None:
        """Make parameters and state for an input of this shape, unless they are there.

        Raises
        ------
        ValueError
            If they are there in another dtype, made by another model.
        """
        if not (self.params or self.state):
            self.params = {name: a.astype(dtype) for name, a in self.initial(shape, rng).items()}
            self.state = {name: a.astype(dtype) for name, a in self.initial_state(shape).items()}
        for array in self.params.values():
            if array.dtype != dtype:
                raise ValueError(
                    f"{self}: has parameters of {array.dtype} from another model, and this one is of "
                    f"{np.dtype(dtype)}: give both models the same dtype"
                )

    def astype(self, dtype: Any) -> Self:
        """Return a copy of this layer, its arrays copied to another dtype."""
        other = copy.copy(self)
        other.params = {name: a.astype(dtype) for name, a in self.params.items()}
        other.state = {name: a.astype(dtype) for name, a in self.state.items()}
        return other

    def forward(
        self, inputs: tuple[Array, ...], training: bool, rng: np.random.Generator
    ) -> tuple[Array, Any]:
        """Return the output of these arrays, and what backward needs; nothing is changed."""
        raise NotImplementedError(f"{type(self).__name__} has no forward: write one")

    def backward(self, residuals: Any, g: Array) -> Gradients:
        """Return the gradients of the inputs, None where there is none, and those of the parameters by name."""
        raise NotImplementedError(f"{type(self).__name__} has no backward: write one")

    def after_step(self, residuals: Any) -> None:
        """Bring the state up to date after a step of training, by the residuals of its forward pass."""


class NodeLayer(GraphLayer):
    """A layer that is one node: inputs, parameters and `settings` go straight into it."""

    node: ModuleType

    def settings(self) -> Mapping[str, Any]:
        """Return the node's settings."""
        return {}

    def forward(
        self, inputs: tuple[Array, ...], training: bool, rng: np.random.Generator
    ) -> tuple[Array, Any]:
        """Return the node's output, and its residuals."""
        output, residuals = self.node.forward(*inputs, *self.params.values(), **self.settings())
        return output, residuals

    def backward(self, residuals: Any, g: Array) -> Gradients:
        """Return the node's gradients."""
        gradients = self.node.backward(residuals, g)
        inputs = len(gradients) - len(self.params)
        return gradients[:inputs], dict(zip(self.params, gradients[inputs:], strict=True))


def checked_shape(shape: Any) -> Shape:
    """Return `shape` as a tuple, or raise a `ValueError` unless it holds whole numbers above 0."""
    whole = isinstance(shape, tuple | list) and all(isinstance(n, int) and n > 0 for n in shape)
    if not whole:
        raise ValueError(
            f"shape is {shape!r}: give a tuple of whole numbers above 0, without the batch axis, such as (784,)"
        )
    return tuple(shape)


def snake_case(name: str) -> str:
    """Return the name of a class as Keras names its layers: MaxPooling2D becomes max_pooling2d."""
    return re.sub("(?<=[a-z])(?=[A-Z])", "_", name).lower()


def whole_number(name: str, value: Any) -> int:
    """Return `value` if it is a whole number above 0, and raise a `ValueError` otherwise."""
    if not isinstance(value, int | np.integer) or value < 1:
        raise ValueError(f"{name} is {value!r}: give a whole number above 0")
    return int(value)


def check_rank(layer: GraphLayer, shape: Shape, axes: str, cure: str) -> None:
    """Raise a `ValueError` with both shapes unless `shape` has the axes that are named, as in "(time, features)"."""
    if len(shape) != len(axes.split(",")):
        raise ValueError(f"{layer}: got a tensor of shape {shape}, and takes {axes}: {cure}")


def glorot_uniform(rng: np.random.Generator, shape: Shape, fan_in: int, fan_out: int) -> Array:
    """Return weights drawn evenly from -l to l, l = sqrt(6 / (fan_in + fan_out)); Glorot and Bengio, 2010."""
    limit = np.sqrt(6 / (fan_in + fan_out))
    return np.asarray(rng.uniform(-limit, limit, shape))
