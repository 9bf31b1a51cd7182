"""A function whose gradient a framework computes, as the pair of functions of NumPy arrays that every check takes."""

from abc import ABC, abstractmethod
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Generic, Protocol, TypeVar

from gradlab.adapters.framework.leaves import Leaf
from gradlab.node import Array
from gradlab.workers.lock_free import cached_property


class FunctionCall(Protocol):
    """A function with its arguments, taken apart."""

    @property
    def name(self) -> str:
        """The function's name in the report."""

    @property
    def leaves(self) -> Sequence[Leaf]:
        """The arrays of floats that are differentiated."""

    @property
    def held(self) -> Mapping[Any, Leaf]:
        """The other arrays among the arguments, by where they stand."""


Call = TypeVar("Call", bound=FunctionCall)


@dataclass(eq=False)
class FunctionPair(ABC, Generic[Call]):
    """A framework's function and its gradient, as functions of NumPy arrays.

    Attributes
    ----------
    call : FunctionCall
    narrow : bool
        Whether the function takes no other precision than its own.
    absent : set of str
        The primals for which no gradient came back: it is taken as zero.
    recast : dict of str
        The primals whose gradient came back in another dtype, which the framework then changed, and in which.
    meant : FunctionPair or None
        The function whose gradient the gradient is meant to be, where it is not this one's.
    """

    call: Call
    narrow: bool = False
    absent: set[str] = field(default_factory=set)
    recast: dict[str, str] = field(default_factory=dict)
    meant: "FunctionPair[Any] | None" = None

    @property
    def name(self) -> str:
        """The function's name in the report."""
        return self.call.name

    @property
    def leaves(self) -> Sequence[Leaf]:
        """The arrays of floats that are differentiated."""
        return self.call.leaves

    @property
    def may_die(self) -> bool:
        """Whether other shapes may end the process, as where compiled code looks at none of its indices."""
        return True

    @property
    def left_out(self) -> str:
        """What a row says of outputs that are left out; empty if there are none."""
        return ""

    @property
    def compiles(self) -> bool:
        """Whether another shape takes a compiler, which takes longer than all else."""
        return False

    @property
    def is_written(self) -> bool:
        """Whether a derivative in it was written by hand, or may be."""
        return True

    def iterates(self) -> bool:
        """Return whether a backward that was written by hand has a loop in it."""
        return False

    def note_of(self, primal: str) -> str:
        """Return what a row says of how a primal is held."""
        leaf = next((leaf for leaf in self.leaves if leaf.name == primal), None)
        parts = f"the last axis has the real and the imaginary part of {primal}"
        return "; ".join(filter(None, [self.left_out, parts if leaf and leaf.is_complex else ""]))

    @cached_property
    def settings(self) -> Mapping[str, Array]:
        """The other arrays among the arguments, which grow and shrink with a batch."""
        return {leaf.name: leaf.value for leaf in self.call.held.values()}

    @abstractmethod
    def forward(self, *primals: Array, **settings: Any) -> tuple[Any, Any]:
        """Return the floating outputs, and the residuals."""

    @abstractmethod
    def backward(self, residuals: Any, g: Any) -> tuple[Any, ...]:
        """Return the gradients, as they came from the framework."""

    @abstractmethod
    def output_dtypes(self, residuals: Any) -> list[str]:
        """Return what the framework calls the dtypes of the outputs."""

    @abstractmethod
    def value(self, *primals: Array, **settings: Any) -> Any:
        """Return the outputs alone, computed as where nothing is differentiated."""


def single_or_tuple(outputs: Iterable[Array]) -> Any:
    """Return outputs as the node contract has them: a single one alone, several as a tuple."""
    arrays = tuple(outputs)
    return arrays[0] if len(arrays) == 1 else arrays
