"""What an entry's layer returns at its inputs, and what differences of its forward say, each on a copy of its own."""

import copy
from collections.abc import Callable, Mapping
from functools import cached_property
from typing import Any

import numpy as np

from gradlab import numerical_gradient

from ._entry import Foreign
from ._use import tupled

SEED = 59


def seeded(call: Callable[..., Any], *arguments: Any, **settings: Any) -> Any:
    """Call with NumPy's global generator in one state, which dropout layers draw from."""
    np.random.seed(SEED)  # noqa: NPY002
    return call(*arguments, **settings)


def parts(g: Any) -> Any:
    """Return a cotangent's copy, as layers write into it."""
    return copy.deepcopy(g)


class Seen:
    """One entry at its inputs; every call is on a copy of the layer, so that none sees what another left."""

    def __init__(self, entry: Foreign, layer: Any = None, inputs: Any = None) -> None:
        self.entry, self.use = entry, entry.use
        self.inputs = inputs if inputs is not None else entry.inputs(np.random.default_rng(SEED))
        self.layer = entry.make() if layer is None else layer
        if any(p is None for p in self.use.params(self.layer).values()):
            self.forward(self.layer)  # the first forward makes the parameters

    def forward(self, layer: Any, inputs: Any = None) -> Any:
        """Run forward on this very layer."""
        taken = self.inputs if inputs is None else inputs
        return seeded(self.use.forward, layer, *taken, **copy.deepcopy(dict(self.entry.settings)))

    @cached_property
    def output(self) -> Any:
        return self.forward(copy.deepcopy(self.layer))

    @cached_property
    def g(self) -> Any:
        """A random cotangent, a tuple for several outputs; None where the layer takes none."""
        rng = np.random.default_rng([SEED, 1])
        if self.entry.cotangent == "none" or (self.entry.cotangent == "tape" and np.ndim(self.output) == 0):
            return None
        drawn = tuple(rng.standard_normal(np.shape(y)).astype(y.dtype) for y in tupled(self.output))
        return drawn if isinstance(self.output, tuple) else drawn[0][()]

    def gradients(self, g: Any = None, layer: Any = None, inputs: Any = None) -> dict[str, Any]:
        """Return all gradients by name, on a copy of the layer unless one is given."""
        layer = copy.deepcopy(self.layer) if layer is None else layer
        taken = copy.copy(self.inputs) if inputs is None else inputs
        g = parts(self.g) if g is None else g
        settings = copy.deepcopy(dict(self.entry.settings))
        of_inputs, of_params = seeded(self.use.gradients, layer, g, *taken, **settings)
        return {**dict(zip(self.entry.differentiated, of_inputs, strict=True)), **of_params}

    @cached_property
    def analytic(self) -> dict[str, Any]:
        return {name: np.array(d) for name, d in self.gradients().items()}

    @property
    def primals(self) -> Mapping[str, Any]:
        """The arrays that have a gradient, by name: inputs and parameters, the layer's own."""
        given = dict(zip(self.entry.arguments, self.inputs, strict=True))
        return {**{name: given[name] for name in self.entry.differentiated}, **self.use.params(self.layer)}

    def numerical(self, h: float = 1e-4) -> dict[str, Any]:
        """Return the gradients of what the entry's gradients belong to, by differences of forward."""
        return {name: self.difference(name, x, h) for name, x in self.primals.items()}

    def difference(self, name: str, x: Any, h: float) -> Any:
        if self.entry.convention == "logits" and name in self.entry.differentiated:
            return numerical_gradient(lambda z: self.value(name, softmax(z)), np.log(x), h)
        change = self.value_of_parameter if name in self.use.params(self.layer) else self.value
        return numerical_gradient(lambda moved: change(name, moved), x, h)

    def value_of_parameter(self, name: str, moved: Any) -> float:
        return self.functional(self.forward(copy.deepcopy(self.layer)), name)

    def value(self, name: str, moved: Any) -> float:
        place = self.entry.arguments.index(name)
        inputs = (*self.inputs[:place], moved, *self.inputs[place + 1 :])
        return self.functional(self.forward(copy.deepcopy(self.layer), inputs), name)

    def functional(self, output: Any, name: str) -> float:
        """Return the number whose gradient the entry's convention means, for one of the primals."""
        pairs = zip(tupled(self.g), tupled(output), strict=True)
        total = np.sum(output) if self.g is None else sum(np.sum(np.multiply(g, y)) for g, y in pairs)
        return float(total) * self.factor(name)

    def factor(self, name: str) -> float:
        first = self.inputs[0]
        if self.entry.convention == "sum" and np.ndim(self.output) == 0:
            return float(len(first))
        if self.entry.convention == "mean":
            return 1.0 / len(first)
        if self.entry.convention == "1/N inside" and name not in self.entry.differentiated:
            return 1.0 / first.shape[-1]
        return 1.0


def softmax(z: Any) -> Any:
    e = np.exp(z - z.max(axis=-1, keepdims=True))
    return e / e.sum(axis=-1, keepdims=True)
