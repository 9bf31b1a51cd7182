"""Kinds of faults, and how a fault is put into a node."""

from collections.abc import Callable, Mapping
from dataclasses import replace
from functools import wraps
from typing import Any, NamedTuple

import numpy as np

from gradlab.node import Array, Node

Gradients = tuple[Any, ...]


class MutantResiduals(NamedTuple):
    """The residuals of a mutant: what its forward hands on to its backward, the right residuals among it."""

    primals: tuple[Array, ...]
    settings: Mapping[str, Any]
    output: Any
    residuals: Any


class FaultContext(NamedTuple):
    """One call of a backward with everything that a fault may use: the right node, its arguments and its output."""

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


class FaultyPasses(NamedTuple):
    """A function that runs instead of the right backward, and one that runs after the right forward."""

    backward: Callable[[FaultContext], Gradients]
    forward: Callable[[MutantResiduals], object] = lambda saved: None


Change = Callable[[Array, FaultContext, int], Any]
MakePasses = Callable[[np.random.Generator, int], FaultyPasses]


class FaultKind(NamedTuple):
    """A row of the table of faults.

    `make_passes` makes the faulty passes afresh for every mutant, from a generator and from the number of the primal
    whose gradient is to be wrong, so that whatever a fault remembers or draws belongs to one node. In `text` {x}
    stands for the name of this primal. `of_primal` says whether the fault is in the gradient of one primal.
    `at_samples` says whether a fault that shows only at derived samples is to be left out: at x = 0 even exp's
    gradient equals its cotangent, but nobody would return the cotangent for it.
    """

    name: str
    diagnosis: str
    text: str
    make_passes: MakePasses
    of_primal: bool = True
    at_samples: bool = False


def wrong_gradient(change: Change) -> MakePasses:
    """Return a fault that puts ``change(gradient, call, i)`` in the place of the right gradient of primal `i`."""
    return wrong_gradient_with_state(lambda rng: change)


def value_fault(name: str, diagnosis: str, text: str, change: Change) -> FaultKind:
    """Return the kind of fault that changes the gradient of one primal by a function without memory."""
    return FaultKind(name, diagnosis, text, wrong_gradient(change))


def wrong_gradient_with_state(make_change: Callable[[np.random.Generator], Change]) -> MakePasses:
    """Do as `wrong_gradient` does, with a change made afresh for every mutant: it may draw, and remember."""

    def make_passes(rng: np.random.Generator, i: int) -> FaultyPasses:
        change = make_change(rng)

        def backward(call: FaultContext) -> Gradients:
            gradients = call.gradients()
            if i >= len(gradients):
                return gradients
            wrong = change(np.array(gradients[i]), call, i)
            return (*gradients[:i], wrong, *gradients[i + 1 :])

        return FaultyPasses(backward)

    return make_passes


def wrong_cotangent(change: Callable[[Any, FaultContext], Any]) -> MakePasses:
    """Return a fault that computes the gradient of one primal from another cotangent."""
    return wrong_gradient(lambda d, call, i: call._replace(g=change(call.g, call)).gradients()[i])


def wrong_backward(backward: Callable[[FaultContext], Gradients]) -> MakePasses:
    """Return a fault that puts another function in the place of backward."""
    return lambda rng, i: FaultyPasses(backward)


def mutated(node: Node, passes: FaultyPasses) -> Node:
    """Return the node with faulty passes.

    Forward returns the right output, and keeps its arguments for backward besides the right residuals.
    """

    @wraps(node.forward)
    def forward(*primals: Array, **settings: Any) -> tuple[Any, MutantResiduals]:
        output, residuals = node.forward(*primals, **settings)
        saved = MutantResiduals(primals, settings, output, residuals)
        passes.forward(saved)
        return output, saved

    @wraps(node.backward)
    def backward(residuals: MutantResiduals, g: Any) -> Gradients:
        return passes.backward(FaultContext(node, *residuals, g))

    return replace(node, forward=forward, backward=backward)
