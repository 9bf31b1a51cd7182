"""A graph model as a program for incremental differences."""

from collections.abc import Mapping, Sequence
from copy import deepcopy
from typing import Any

import numpy as np

from gradlab.node import Array
from gradlab.nodes.normalisation import dropout
from gradlab.textbook.incremental import Program, ProgramLoss, Step
from gradlab.textbook.incremental.node_kinds import kind_of
from gradlab.textbook.incremental.program import Kind, Pick
from gradlab.textbook.incremental.row_losses import row_loss
from gradlab.textbook.models.graph.layers import (
    GRU,
    LSTM,
    Activation,
    Add,
    BatchNormalization,
    Concatenate,
    Conv2D,
    Dense,
    Dropout,
    Embedding,
    Flatten,
    GraphLayer,
    MaxPooling2D,
    Tensor,
)
from gradlab.textbook.models.graph.tasks import OutputTask

# Layers of which each row of the output depends on the same row of the inputs alone.
ROW_BY_ROW = (Add, Concatenate, Conv2D, Dense, Embedding, Flatten, GRU, LSTM, MaxPooling2D)


def graph_program(
    tensors: Sequence[Tensor],
    given: Mapping[Tensor, Array],
    tasks: Sequence[OutputTask],
    targets: Sequence[Array],
    rng: np.random.Generator,
) -> Program:
    """Return the program of a model's loss as in training.

    Parameters
    ----------
    tensors : sequence of Tensor
        As from `passes.topological_order`.
    given : mapping
        The values of the inputs.
    tasks, targets : sequences
        The task and the targets of each output.
    rng : numpy.random.Generator
        Draws the masks of dropout, once for all differences.
    """
    numbers = {tensor: number for number, tensor in enumerate(given)}
    values, steps = dict(given), []
    for tensor in tensors:
        if tensor.layer is None:
            continue
        inputs = tuple(values[source] for source in tensor.inputs)
        steps.append(_step(tensor.layer, inputs, tuple(numbers[source] for source in tensor.inputs), rng))
        numbers[tensor] = len(numbers)
        # with the generator itself, which then stands where the next layer finds it in training
        values[tensor], _ = tensor.layer.forward(inputs, True, rng)
    losses = [_loss(task, t, numbers[task.at]) for task, t in zip(tasks, targets, strict=True)]
    return Program(tuple(given.values()), tuple(steps), tuple(losses))


def _step(
    layer: GraphLayer, inputs: tuple[Array, ...], sources: tuple[int, ...], rng: np.random.Generator
) -> Step:
    """Return the step of one call; `rng` is left as it is."""
    if type(layer) is Dropout:
        return _dropout(layer.rate, deepcopy(rng).random(inputs[0].shape) >= layer.rate, sources)
    params, kind = tuple(layer.params.values()), _kind(layer, inputs)
    if kind != "batch" or type(layer) is BatchNormalization:
        return Step(lambda inputs, _: layer.forward(inputs, True, rng)[0], sources, params, kind)
    # the random numbers that the layer draws are the same each time
    start = deepcopy(rng)
    return Step(lambda inputs, _: layer.forward(inputs, True, deepcopy(start))[0], sources, params)


def _kind(layer: GraphLayer, inputs: tuple[Array, ...]) -> Kind:
    # a subclass may have a forward of its own
    if type(layer) is Activation:
        found: Kind = kind_of(layer.node.forward, {})
        return found
    if type(layer) is Dense and inputs[0].ndim == 2:
        return "affine"
    return "rows" if type(layer) in ROW_BY_ROW else "batch"


def _dropout(rate: float, mask: Array, sources: tuple[int, ...]) -> Step:
    def forward(inputs: tuple[Array, ...], pick: Pick) -> Array:
        return dropout.forward(*inputs, mask=pick(mask), rate=rate)[0]

    return Step(forward, sources, kind="elementwise")


def _loss(task: OutputTask, t: Array, of: int) -> ProgramLoss:
    def forward(y: Array) -> Any:
        return task.node.forward(y, t)[0]

    return ProgramLoss(forward, of, lambda y: row_loss(task.node.forward, y, t, {}), task.weight)
