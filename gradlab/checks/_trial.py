"""One node at one sample: what every check looks at."""

from collections.abc import Callable
from copy import deepcopy
from dataclasses import dataclass
from functools import cached_property
from typing import Any

import numpy as np

from gradlab.estimate import Estimate, Method, estimate_vjp
from gradlab.node import Array, Node, Sample, as_tuple, named_rng, primal_names


class ContractError(Exception):
    """What a node returned cannot be compared at all; the message says what it should have been."""


@dataclass(frozen=True)
class Trial:
    """One node at one sample, with the tolerances and the seed of this run.

    Whatever a check passes to the node is a fresh copy, so that a node which writes into its arguments spoils
    neither the sample nor another check. `registered` says whether the node comes with samples of its own, and
    is held to them.
    """

    node: Node
    sample: Sample
    seed: int = 0
    rtol: float | None = None
    atol: float | None = None
    method: Method = "auto"
    registered: bool = True

    @property
    def names(self) -> list[str]:
        """The primals' names."""
        return primal_names(self.node.forward, len(self.sample.primals))

    def settings(self) -> dict[str, Any]:
        """Return a deep copy of the settings."""
        return deepcopy(dict(self.sample.settings))

    def primals(self) -> tuple[Array, ...]:
        """Return fresh copies of the primals."""
        return tuple(np.array(x) for x in self.sample.primals)

    @property
    def function(self) -> Callable[..., Any]:
        """Forward without its residuals, as a function of the primals; it is given copies."""
        return lambda *xs: self.node.forward(*map(np.array, xs), **self.settings())[0]

    def forward(self) -> tuple[Any, Any]:
        """Return output and residuals at fresh copies of the primals.

        Raises
        ------
        ContractError
            If forward returns no pair, or an output that is no array of floats.
        """
        returned: Any = self.node.forward(*self.primals(), **self.settings())
        if not (isinstance(returned, tuple) and len(returned) == 2):
            raise ContractError(
                f"forward returned {_shape_of(returned)}: return the pair (output, residuals)"
            )
        for y in as_tuple(returned[0]):
            if not np.issubdtype(np.asarray(y).dtype, np.floating):
                raise ContractError(f"forward's output is {_shape_of(y)}: return an array of floats")
        output, residuals = returned
        return output, residuals

    @cached_property
    def output(self) -> Any:
        """The output at this sample."""
        return self.forward()[0]

    def cotangent(self, stream: str = "g") -> Any:
        """Return a random cotangent of the output's shape and dtype, the same for the same `stream`.

        Standard normal, so of both signs and nowhere zero: ones would let a softmax with an all-zero backward
        pass, and a one-hot cotangent whatever is nonlinear in it.
        """
        rng = named_rng(self.seed, self.node.name, self.sample.name, stream)
        like = map_arrays(np.asarray, self.output)
        return map_arrays(lambda y: np.asarray(rng.standard_normal(y.shape), dtype=y.dtype), like)

    def gradients(self, g: Any) -> tuple[Array, ...]:
        """Return what backward gives for `g` after a fresh forward, as one array of the right shape a primal.

        Raises
        ------
        ContractError
            If backward returns another number of gradients, or one of another shape.
        """
        return self.well_formed(self.node.backward(self.forward()[1], map_arrays(np.array, g)))

    def well_formed(self, returned: Any) -> tuple[Array, ...]:
        """Return backward's gradients as arrays, or raise `ContractError` where they cannot be compared."""
        expected = self.sample.primals
        if not isinstance(returned, tuple) or len(returned) != len(expected):
            raise ContractError(
                f"backward returned {_shape_of(returned)} for {len(expected)} primals: "
                "return a tuple with one gradient per primal"
            )
        for name, x, gradient in zip(self.names, expected, returned, strict=True):
            if np.shape(gradient) != x.shape:
                raise ContractError(
                    f"the gradient of {name} is {_shape_of(gradient)}, {name} has shape {x.shape}: "
                    "return it in the primal's shape, summed over what was broadcast"
                )
        return tuple(np.asarray(gradient) for gradient in returned)

    @cached_property
    def estimates(self) -> tuple[Estimate, ...]:
        """The numerical vjp of this sample's cotangent, one estimate per primal, in float64 at least."""
        return estimate_vjp(self.function, self.sample.primals, self.cotangent(), method=self.method)


def map_arrays(function: Callable[[Array], Array], values: Any) -> Any:
    """Return `function` of an array, or of each array of a tuple."""
    return tuple(map(function, values)) if isinstance(values, tuple) else function(values)


def _shape_of(value: Any) -> str:
    if isinstance(value, np.ndarray | np.generic):
        return f"{value.dtype} of shape {value.shape}"
    return f"a tuple of {len(value)}" if isinstance(value, tuple) else type(value).__name__
