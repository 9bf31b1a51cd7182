"""What a run of backward left behind."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from gradlab.adapters.numpy_layer import naming_conventions as names
from gradlab.adapters.numpy_layer.gradient_places import new_arrays, returned
from gradlab.adapters.numpy_layer.layer_pair import ArgumentLeaf, LayerPair
from gradlab.adapters.numpy_layer.layer_run import LayerRun
from gradlab.adapters.numpy_layer.number_places import Path
from gradlab.node import Array


@dataclass(frozen=True, eq=False)
class BackwardTraces:
    """What one run of backward left behind.

    Attributes
    ----------
    bound : LayerPair
    run : LayerRun
    changed : mapping
        What it wrote or made in the layer.
    back : list of (Path, ndarray)
        What it returned, array by array.
    """

    bound: LayerPair
    run: LayerRun
    changed: Mapping[Path, Any]
    back: list[tuple[Path, Array]]


def left_behind(bound: LayerPair, run: LayerRun, before: Mapping[Path, Any]) -> BackwardTraces:
    """Return what backward left behind, by comparison with copies of what was there before it."""
    return BackwardTraces(bound, run, new_arrays(run.layer, before), returned(run))


def wanted(bound: LayerPair, run: LayerRun) -> list[ArgumentLeaf]:
    """Return the inputs that should have a gradient: not a loss's targets."""
    arguments = [argument.name for argument in bound.forward_call.arguments]
    targets = {leaf for leaf in bound.leaves if names.is_target(arguments[leaf.argument])}
    others = [leaf for leaf in bound.leaves if leaf not in targets]
    loss = not bound.way.takes or all(y.size == 1 for y in run.outputs)
    if loss and len(others) > 1 and any(leaf.name == "y" for leaf in others):
        predictions = [leaf for leaf in others if names.is_prediction(leaf.name)]
        others = predictions if len(predictions) == len(others) - 1 else others
    return others or list(bound.leaves)
