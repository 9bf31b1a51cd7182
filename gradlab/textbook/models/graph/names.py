"""Names of inputs, layers and outputs: the given ones, else the kinds, numbered where there are several."""

from collections.abc import Iterable, Sequence
from itertools import count

from gradlab.textbook.models.graph.layers import GraphLayer, Tensor
from gradlab.textbook.models.graph.layers.layer import snake_case


def unique_names(named: Sequence[Tensor | GraphLayer]) -> dict[Tensor | GraphLayer, str]:
    """Return a name for each input and layer, as Keras makes them: dense, dense_1, dense_2.

    Raises
    ------
    ValueError
        If two inputs or layers were given the same name.
    """
    given = [thing.name for thing in named if thing.name]
    for name in given:
        if given.count(name) > 1:
            raise ValueError(f"two layers or inputs are named {name!r}: give each a name of its own")
    kinds = [_kind(thing) for thing in named]
    free = numbered_names(
        (kind for thing, kind in zip(named, kinds, strict=True) if not thing.name), taken=given
    )
    automatic = iter(free)
    return {thing: thing.name or next(automatic) for thing in named}


def numbered_names(names: Iterable[str], taken: Iterable[str] = ()) -> list[str]:
    """Return the names, a number behind each that came before or is among those `taken`."""
    used, found = set(taken), []
    for name in names:
        candidates = (f"{name}_{i}" if i else name for i in count())
        found.append(next(c for c in candidates if c not in used))
        used.add(found[-1])
    return found


def _kind(thing: Tensor | GraphLayer) -> str:
    return "input" if isinstance(thing, Tensor) else snake_case(type(thing).__name__)
