"""Names for inputs, layers and outputs: what was given, else the kind, numbered where there are several."""

from collections.abc import Iterable, Sequence
from itertools import count

from gradlab.textbook.models.graph.layers import GraphLayer
from gradlab.textbook.models.graph.layers.layer import snake_case
from gradlab.textbook.models.graph.tensors import Tensor


def unique_names(named: Sequence[Tensor | GraphLayer]) -> dict[Tensor | GraphLayer, str]:
    """Return a name for each input and layer, as Keras makes them: dense, dense_1, dense_2.

    Raises
    ------
    ValueError
        If two were given the same name.
    """
    given = [thing.name for thing in named if thing.name]
    for name in given:
        if given.count(name) > 1:
            raise ValueError(f"two layers or inputs are named {name!r}: give each a name of its own")
    kinds = [_kind(thing) for thing in named]
    free = numbered((kind for thing, kind in zip(named, kinds, strict=True) if not thing.name), taken=given)
    automatic = iter(free)
    return {thing: thing.name or next(automatic) for thing in named}


def numbered(names: Iterable[str], taken: Iterable[str] = ()) -> list[str]:
    """Return the names, with a number behind those that were there before or are taken."""
    used, found = set(taken), []
    for name in names:
        candidates = (f"{name}_{i}" if i else name for i in count())
        found.append(next(c for c in candidates if c not in used))
        used.add(found[-1])
    return found


def _kind(thing: Tensor | GraphLayer) -> str:
    return "input" if isinstance(thing, Tensor) else snake_case(type(thing).__name__)
