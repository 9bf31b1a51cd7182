"""Symbolic tensors: what a graph is drawn with before there are numbers."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from gradlab.textbook.models.graph.layers.layer import GraphLayer


Shape = tuple[int, ...]


@dataclass(frozen=True, eq=False)
class Tensor:
    """What a layer's call will give, or an input; two of the same shape are still two.

    Attributes
    ----------
    shape : tuple of int
        Without the batch axis.
    name : str
        Of an input that was named; empty otherwise.
    layer, inputs : GraphLayer or None, tuple of Tensor
        The call that makes it: which layer, on which tensors. None and nothing for an input.
    """

    shape: Shape
    name: str = ""
    layer: GraphLayer | None = None
    inputs: tuple[Tensor, ...] = field(
        default=(), repr=False
    )  # a branching graph would be written out many times


def Input(shape: Shape, name: str = "") -> Tensor:
    """Return a tensor to begin a graph with.

    Parameters
    ----------
    shape : tuple of int
        Without the batch axis: (features,), (time, features), (height, width, channels); (time,) for word ids.
    name : str
        By which `Model` takes its data from a dict; by default "input", "input_1", ...

    Raises
    ------
    ValueError
        If `shape` is no tuple of whole numbers above 0.
    """
    return Tensor(checked_shape(shape), name)


def checked_shape(shape: Any) -> Shape:
    """Return `shape` as a tuple of whole numbers above 0, or say what it is instead."""
    whole = isinstance(shape, tuple | list) and all(isinstance(n, int) and n > 0 for n in shape)
    if not whole:
        raise ValueError(
            f"shape is {shape!r}: give a tuple of whole numbers above 0, without the batch axis, such as (784,)"
        )
    return tuple(shape)
