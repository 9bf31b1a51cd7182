"""A layer off its defaults, and without its epsilons."""

from collections.abc import Mapping
from typing import Any

from gradlab.adapters.foreign_pair.convention import Epsilon
from gradlab.adapters.foreign_pair.variations import Variation
from gradlab.adapters.numpy_layer.layer_pair import LayerPair


def off(how: str, bound: LayerPair, settings: Mapping[str, Any] | None = None, **more: Any) -> Variation:
    """Return a reading as a variation; `more` as `Variation` has it."""
    return Variation(how, bound.forward, bound.backward, settings or {}, epsilon=epsilon_of(bound), **more)


def epsilon_of(bound: LayerPair) -> Epsilon:
    """Return what makes a context in which forward runs without its epsilons."""
    return lambda: bound.stage.epsilons.applied()
