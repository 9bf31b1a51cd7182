"""The two passes through a graph, in the order in which its tensors need each other."""

from collections.abc import Iterable, Mapping, Sequence
from typing import Any

import numpy as np

from gradlab.node import Array
from gradlab.textbook.models.graph.layers import GraphLayer, Tensor


def topological_order(outputs: Iterable[Tensor]) -> list[Tensor]:
    """Return all tensors that `outputs` are made of, inputs included, each behind those it is made of.

    By depth first, a branch after the other, and without recursion: a graph may be a thousand layers deep.
    """
    found: dict[Tensor, None] = {}
    stack = list(outputs)[::-1]
    while stack:
        waiting = [tensor for tensor in stack[-1].inputs if tensor not in found]
        if waiting:
            stack += reversed(waiting)
        else:
            found[stack.pop()] = None
    return list(found)


def forward(
    tensors: Sequence[Tensor], given: Mapping[Tensor, Array], training: bool, rng: np.random.Generator
) -> tuple[dict[Tensor, Array], dict[Tensor, Any]]:
    """Return the value of every tensor, and the residuals of every call.

    Parameters
    ----------
    tensors : sequence of Tensor
        As from `topological_order`.
    given : mapping
        The values of the inputs.
    training : bool
    rng : numpy.random.Generator
        Draws the masks of dropout.
    """
    values, residuals = dict(given), {}
    for tensor in tensors:
        if tensor.layer is not None:
            arrays = tuple(values[source] for source in tensor.inputs)
            values[tensor], residuals[tensor] = tensor.layer.forward(arrays, training, rng)
    return values, residuals


def backward(
    tensors: Sequence[Tensor], residuals: Mapping[Tensor, Any], cotangents: Mapping[Tensor, Array]
) -> dict[tuple[GraphLayer, str], Array]:
    """Return the gradient of every parameter by layer and name, added up over the calls of a shared layer.

    `cotangents` are the gradients of the loss by some of the tensors, such as the outputs; what no cotangent reaches
    is left out.
    """
    reached: dict[Tensor, Array] = dict(cotangents)
    found: dict[tuple[GraphLayer, str], Array] = {}
    for tensor in reversed(tensors):
        if tensor.layer is None or tensor not in reached:
            continue
        of_inputs, of_parameters = tensor.layer.backward(residuals[tensor], reached.pop(tensor))
        for source, g in zip(tensor.inputs, of_inputs, strict=True):
            if g is not None:
                add_to(reached, source, g)
        for name, g in of_parameters.items():
            add_to(found, (tensor.layer, name), g)
    return found


def add_to(sums: dict[Any, Array], key: Any, g: Array) -> None:
    """Add a gradient to the sum under its key, or begin the sum with it."""
    # not in place: the first of several may be another's array
    sums[key] = sums[key] + g if key in sums else g
