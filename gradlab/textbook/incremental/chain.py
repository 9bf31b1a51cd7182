"""The textbook's layers, one behind the other, as a program for differences."""

from collections.abc import Sequence
from typing import Any

import numpy as np

from gradlab.node import Array
from gradlab.textbook.incremental.node_kinds import kind_of
from gradlab.textbook.incremental.program import Pick, Program, ProgramLoss, Step
from gradlab.textbook.incremental.row_losses import row_loss
from gradlab.textbook.layers import LossLayer, StatefulLayer


def chain(layers: Sequence[StatefulLayer], last: StatefulLayer, x: Array, t: Array) -> Program:
    """Return the program of some layers and a loss on a batch.

    Parameters
    ----------
    layers : sequence of StatefulLayer
        Each takes what the one before it gives; one that is not of `gradlab.textbook.layers` itself needs ``forward``,
        and ``params`` if it has some.
    last : LossLayer
        A loss layer of another kind is called as it is, for the whole batch.
    x : ndarray, shape (N, ...)
    t : ndarray
        The targets, as the loss takes them.
    """
    steps = [_step(layer, number) for number, layer in enumerate(layers)]
    of = len(steps)
    if type(last) is not LossLayer or last.params:
        # the loss as one more step, so that its parameters are moved too
        forward, params = last.forward, tuple(last.params)
        steps.append(Step(lambda inputs, _: np.asarray(forward(inputs[0], t)), (of,), params))
        return Program((x,), tuple(steps), (ProgramLoss(float, of + 1),))
    node, settings = last.node, last.settings
    loss = ProgramLoss(
        lambda y: node.forward(y, t=t, **settings)[0],
        of,
        lambda y: row_loss(node.forward, y, t, settings),
    )
    return Program((x,), tuple(steps), (loss,))


def _step(layer: Any, source: int) -> Step:
    if type(layer) is not StatefulLayer:
        # whatever its forward does
        return Step(lambda inputs, _: layer.forward(*inputs), (source,), tuple(getattr(layer, "params", ())))

    def forward(inputs: tuple[Array, ...], _: Pick) -> Array:
        output: Array = layer.node.forward(*inputs, *layer.params, **layer.settings)[0]
        return output

    kind = kind_of(layer.node.forward, layer.settings)
    return Step(forward, (source,), tuple(layer.params), kind)
