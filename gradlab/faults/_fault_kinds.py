"""What a fault is before it is put into a node, and how it is put there."""

from collections.abc import Callable, Mapping
from dataclasses import replace
from functools import wraps
from typing import Any, NamedTuple

import numpy as np

from gradlab.node import Array, Node

Gradients = tuple[Any, ...]


class Saved(NamedTuple):
    """What the forward of a mutant hands on to its backward, in the place of the right residuals."""

    primals: tuple[Array, ...]
    settings: Mapping[str, Any]
    output: Any
    residuals: Any


class FaultContext(NamedTuple):
    """One call of a backward: the right node, and all that a fault may look at."""

    node: Node
    primals: tuple[Array, ...]
    settings: Mapping[str, Any]
    output: Any
    residuals: Any
    g: Any

    def gradients(self) -> Gradients:
        """Return what the right backward gives."""
        return self.node.backward(self.residuals, self.g)

    def at(self, *primals: Array) -> "FaultContext":
        """Return the same call at other primals."""
        output, residuals = self.node.forward(*primals, **self.settings)
        return self._replace(primals=primals, output=output, residuals=residuals)


class Acts(NamedTuple):
    """What a mutant does instead of the right backward, and after the right forward."""

    backward: Callable[[FaultContext], Gradients]
    forward: Callable[[Saved], object] = lambda saved: None


Change = Callable[[Array, FaultContext, int], Any]
Start = Callable[[np.random.Generator, int], Acts]


class FaultKind(NamedTuple):
    """A row of the table of faults.

    `start` makes the acts afresh for every mutant that is made, from a generator and from the number of the
    primal whose gradient is to be wrong, so that whatever a fault remembers or draws belongs to one node.
    In `text` stands {x} for that primal. `of_primal` says whether there is one, and `at_samples` whether the
    fault is one of this node only if the node's own samples show it: at x = 0 even exp's gradient equals its
    cotangent, and nobody returns that one for it.
    """

    name: str
    diagnosis: str
    text: str
    start: Start
    of_primal: bool = True
    at_samples: bool = False


def wrong_gradient(change: Change) -> Start:
    """Put ``change(gradient, call, i)`` in the place of the right gradient of primal `i`."""
    return started_gradient(lambda rng: change)


def value_fault(name: str, diagnosis: str, text: str, change: Change) -> FaultKind:
    """Return the fault of which `wrong_gradient` is all there is to say."""
    return FaultKind(name, diagnosis, text, wrong_gradient(change))


def started_gradient(start: Callable[[np.random.Generator], Change]) -> Start:
    """Do as `wrong_gradient` does, with a change that is made afresh: it may draw, and remember."""

    def begin(rng: np.random.Generator, i: int) -> Acts:
        change = start(rng)

        def backward(call: FaultContext) -> Gradients:
            gradients = call.gradients()
            if i >= len(gradients):
                return gradients
            wrong = change(np.array(gradients[i]), call, i)
            return (*gradients[:i], wrong, *gradients[i + 1 :])

        return Acts(backward)

    return begin


def wrong_cotangent(change: Callable[[Any, FaultContext], Any]) -> Start:
    """Compute the gradient of one primal from another cotangent."""
    return wrong_gradient(lambda d, call, i: call._replace(g=change(call.g, call)).gradients()[i])


def wrong_backward(backward: Callable[[FaultContext], Gradients]) -> Start:
    """Put another function in the place of backward."""
    return lambda rng, i: Acts(backward)


def put_into(node: Node, acts: Acts) -> Node:
    """Return the node with a backward that is wrong in this way.

    Forward computes what it did, and keeps its arguments for backward besides.
    """

    @wraps(node.forward)
    def forward(*primals: Array, **settings: Any) -> tuple[Any, Saved]:
        output, residuals = node.forward(*primals, **settings)
        saved = Saved(primals, settings, output, residuals)
        acts.forward(saved)
        return output, saved

    @wraps(node.backward)
    def backward(residuals: Saved, g: Any) -> Gradients:
        return acts.backward(FaultContext(node, *residuals, g))

    return replace(node, forward=forward, backward=backward)
