"""A model as a table: its layers, their output shapes and numbers of parameters."""

from collections.abc import Mapping, Sequence
from typing import Any

from gradlab.textbook.models.graph.layers import GraphLayer, Shape, Tensor
from gradlab.textbook.models.graph.layers.activation import Activation, is_shorthand, maker


def summary(tensors: Sequence[Tensor], names: Mapping[Any, str]) -> str:
    """Return a row for each input and layer, and the totals; a layer called twice has one row.

    Parameters
    ----------
    tensors : sequence of Tensor
        All of the graph, in order.
    names : mapping
        Of inputs and layers.
    """
    from tabulate import tabulate  # loads only where a table is wanted

    calls: dict[Any, list[Tensor]] = {}
    for tensor in tensors:
        if not is_shorthand(tensor.layer):
            calls.setdefault(tensor.layer or tensor, []).append(tensor)
    rows = [_row(thing, made, names) for thing, made in calls.items()]
    headers = ("layer", "kind", "output shape", "parameters", "from")
    layers = [thing for thing in calls if isinstance(thing, GraphLayer)]
    trained = sum(array.size for layer in layers for array in layer.params.values())
    kept = sum(array.size for layer in layers for array in layer.state.values())
    total = (
        f"{trained:,} parameters are trained" + (f", {kept:,} running statistics kept" if kept else "") + "."
    )
    align = ("left", "left", "left", "right", "left")
    return tabulate(rows, headers, tablefmt="simple", disable_numparse=True, colalign=align) + f"\n\n{total}"


def _row(thing: Any, made: Sequence[Tensor], names: Mapping[Any, str]) -> tuple[str, ...]:
    shapes = dict.fromkeys(_with_batch(tensor.shape) for tensor in made)
    sources = ["+".join(names[maker(source) or source] for source in tensor.inputs) for tensor in made]
    count = sum(array.size for array in thing.params.values()) if isinstance(thing, GraphLayer) else 0
    return names[thing], _kind(thing), "; ".join(shapes), f"{count:,}", "; ".join(filter(None, sources))


def _kind(thing: Any) -> str:
    if isinstance(thing, Tensor):
        return "Input"
    activation = getattr(thing, "activation", None)
    name = activation.activation if isinstance(activation, Activation) else activation
    return type(thing).__name__ + (f", {name}" if name else "")


def _with_batch(shape: Shape) -> str:
    return f"({', '.join(['N', *map(str, shape)])})"
