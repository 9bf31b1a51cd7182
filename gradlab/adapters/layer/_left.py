"""What a run of backward left behind."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from gradlab.adapters.layer import _names as names
from gradlab.adapters.layer._gradients import new_arrays, returned
from gradlab.adapters.layer._pair import Bound, Leaf
from gradlab.adapters.layer._places import Path
from gradlab.adapters.layer._run import Run
from gradlab.node import Array


@dataclass(frozen=True, eq=False)
class Left:
    """What one run of backward left behind.

    Attributes
    ----------
    bound : Bound
    run : Run
    changed : mapping
        What it wrote or made in the layer.
    back : list of (Path, ndarray)
        What it returned, array by array.
    """

    bound: Bound
    run: Run
    changed: Mapping[Path, Any]
    back: list[tuple[Path, Array]]


def left_behind(bound: Bound, run: Run, before: Mapping[Path, Any]) -> Left:
    """Return what backward left behind, by comparison with copies of what was there before it."""
    return Left(bound, run, new_arrays(run.layer, before), returned(run))


def wanted(bound: Bound, run: Run) -> list[Leaf]:
    """Return the inputs that should have a gradient: not a loss's targets."""
    arguments = [argument.name for argument in bound.forward_call.arguments]
    targets = {leaf for leaf in bound.leaves if names.is_target(arguments[leaf.argument])}
    others = [leaf for leaf in bound.leaves if leaf not in targets]
    loss = not bound.way.takes or all(y.size == 1 for y in run.outputs)
    if loss and len(others) > 1 and any(leaf.name == "y" for leaf in others):
        predictions = [leaf for leaf in others if names.is_prediction(leaf.name)]
        others = predictions if len(predictions) == len(others) - 1 else others
    return others or list(bound.leaves)
