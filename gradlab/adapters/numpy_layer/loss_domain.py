"""What a loss is meant for: elsewhere its gradient need not be right, and is not looked at."""

from collections.abc import Mapping
from typing import Any

import numpy as np

from gradlab.adapters.numpy_layer.layer_pair import LayerPair
from gradlab.node import Array, as_tuple

# How far an epsilon may change a loss, relative to it, for the gradient without it to be meant, or more, where it
# does so at the given point; and where it is what the loss is about.
NEGLIGIBLE, MORE, DECISIVE = 1e-6, 4.0, 1e-3


def within(bound: LayerPair, settings: Mapping[str, Any]) -> Any:
    """Return a loss's forward, which refuses what no loss is meant for.

    That is probabilities that are none, targets with other classes, and, unless the given point is such a place
    itself, places where an epsilon matters.
    """
    inside = [i for i, x in enumerate(bound.values) if bound.primals[i].leaf is not None and _is_inside(x)]
    classes = {name: value.shape[1:] for name, value in settings.items() if isinstance(value, np.ndarray)}
    allowed = _allowed(bound, settings)

    def forward(*primals: Array, **given: Any) -> Any:
        for i in inside:
            if not _is_inside(primals[i]):
                raise ValueError("a probability is not between 0 and 1")
        for name, shape in classes.items():
            if name in given and given[name].shape[1:] != shape:
                raise ValueError(f"{name} has other classes")
        if allowed and not _share_of_epsilon(bound, primals, given) <= allowed:
            raise ValueError("here the epsilon is what is left of the loss")
        return bound.forward(*primals, **given)

    return forward


def _is_inside(x: Array) -> bool:
    return x.size > 0 and bool(((x > 0) & (x < 1)).all())


def _allowed(bound: LayerPair, settings: Mapping[str, Any]) -> float:
    """Return what share of a loss its epsilon may have; 0 where nothing is refused for that."""
    if not bound.stage.epsilons:
        return 0.0
    taken = {p.name for p in bound.primals}
    given = {name: value for name, value in settings.items() if name not in taken}
    share = _share_of_epsilon(bound, bound.values, given)
    return max(NEGLIGIBLE, MORE * share) if share <= DECISIVE else 0.0


def _share_of_epsilon(bound: LayerPair, primals: tuple[Array, ...], settings: Mapping[str, Any]) -> float:
    """Return how far a loss's epsilon changes it, relative to its size."""
    with_it = as_tuple(bound.forward(*primals, **settings)[0])
    with bound.stage.epsilons.applied():
        without = as_tuple(bound.forward(*primals, **settings)[0])
    off = max(float(np.max(np.abs(a - b))) for a, b in zip(with_it, without, strict=True))
    return off / (max(float(np.max(np.abs(a))) for a in with_it) or 1.0)
