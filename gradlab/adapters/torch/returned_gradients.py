"""The gradients that a torch.autograd.Function returns, before the engine reduces or casts them.

The engine sums a gradient of too large a shape, and casts one of another dtype, without a word; so what a Function
returns is looked at on its way into the engine.
"""

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from functools import partial
from typing import Any

import torch

USER_METHODS = ("backward", "vjp")


@dataclass
class Returned:
    """The gradients that Functions returned, for each leaf that a Function alone uses."""

    leaves: Sequence[torch.Tensor]
    uses: dict[int, int]
    raw: dict[int, torch.Tensor] = field(default_factory=dict)
    reduced: list[str] = field(default_factory=list)

    def note(self, node: Any, returned: Any) -> None:
        """Note what the backward of one Function returned, for each of its inputs."""
        gradients = returned if isinstance(returned, tuple) else (returned,)
        needed = [d for d, needs in zip(gradients, node.needs_input_grad, strict=False) if needs]
        edges = [edge for edge in node.next_functions if edge[0] is not None]
        for d, (source, number) in zip(needed, edges, strict=False):
            if not isinstance(d, torch.Tensor):
                continue
            which = self._leaf(source)
            if which is None:
                self._compare(node, d, source, number)
            elif self.uses[id(source)] == 1:
                self.raw[which] = d

    def _leaf(self, source: Any) -> int | None:
        variable = getattr(source, "variable", None)
        return next((i for i, leaf in enumerate(self.leaves) if leaf is variable), None)

    def _compare(self, node: Any, d: torch.Tensor, source: Any, number: int) -> None:
        metadata = getattr(source, "_input_metadata", None)
        if metadata and tuple(metadata[number].shape) != tuple(d.shape):
            shape = tuple(metadata[number].shape)
            called = node._forward_cls.__name__
            self.reduced.append(f"{called} returned {tuple(d.shape)} for an input of shape {shape}")


@contextmanager
def watched_functions(graph: Sequence[Any], leaves: Sequence[torch.Tensor]) -> Iterator[Returned]:
    """Record what the Functions in a graph, a list of its nodes, return while the context lasts."""
    classes = {node._forward_cls for node in graph if hasattr(node, "_forward_cls")}
    if not classes:
        # torch's own, mostly
        yield Returned(leaves, {})
        return
    uses: dict[int, int] = {}
    for node in graph:
        for source, _ in node.next_functions:
            uses[id(source)] = uses.get(id(source), 0) + 1
    seen = Returned(leaves, uses)
    owners = {(k, name) for c in classes for k in c.__mro__ for name in USER_METHODS if name in k.__dict__}
    originals = [
        (k, name, k.__dict__[name]) for k, name in owners if not issubclass(torch.autograd.Function, k)
    ]
    try:
        for c, name, original in originals:
            setattr(c, name, classmethod(partial(_noted, original, seen)))
        yield seen
    finally:
        for c, name, original in originals:
            setattr(c, name, original)


def _noted(original: Any, seen: Returned, owner: type, ctx: Any, *g: Any) -> Any:
    # bound to the class that asks: one that inherits a classmethod is another class than the one that has it
    returned = original.__get__(None, owner)(ctx, *g)
    seen.note(ctx, returned)
    return returned


def nodes(sources: Sequence[Any]) -> list[Any]:
    """Return every node of the graph once."""
    waiting, found = [node for node in sources if node is not None], {}
    while waiting:
        node = waiting.pop()
        if node not in found:
            found[node] = True
            waiting += [source for source, _ in node.next_functions if source is not None]
    return list(found)
