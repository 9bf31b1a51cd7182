"""What a differentiable operation is: a `Node`, and the `Sample` points it is checked at."""

import inspect
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any

import numpy as np
from numpy.typing import NDArray

Array = NDArray[Any]


@dataclass(frozen=True)
class Sample:
    """A named point at which a node is checked.

    Attributes
    ----------
    name : str
        Tells which faults this point is there to catch ("row broadcast over 3", "both sides of the kink").
    primals : tuple of ndarray
        The differentiable inputs, in the order in which `forward` takes them.
    settings : mapping
        Keyword arguments of `forward` that are not differentiated (axis, stride, labels).
    """

    name: str
    primals: tuple[Array, ...]
    settings: Mapping[str, Any] = field(default_factory=dict)


@dataclass(frozen=True)
class Node:
    """A differentiable operation with its hand-derived backward pass.

    Attributes
    ----------
    name, family : str
        The names of its file and of that file's folder.
    forward : callable
        ``forward(*primals, **settings) -> (output, residuals)``; several outputs are a tuple.
    backward : callable
        ``backward(residuals, g) -> tuple``, one gradient per primal; with several outputs `g` is a tuple.
    samples : callable
        ``samples(rng)`` yields `Sample` objects.
    reference : callable or None
        ``reference(*primals, **settings) -> output``, an independent forward.
    zero_gradient : str
        The reason why an all-zero gradient is right everywhere; empty for every other node.
    equivalent_mutants : mapping
        The one-place changes of this backward's source that change nothing: the changed line, and the reason why the
        function is still the same.
    doc : str
        Its documentation: name, two formulas, source of the derivation.
    """

    name: str
    family: str
    forward: Callable[..., tuple[Any, Any]]
    backward: Callable[[Any, Any], tuple[Array, ...]]
    samples: Callable[[np.random.Generator], Iterable[Sample]]
    reference: Callable[..., Any] | None = None
    zero_gradient: str = ""
    equivalent_mutants: Mapping[str, str] = field(default_factory=dict, hash=False)
    doc: str = ""

    def draw_samples(self, seed: int = 0) -> list[Sample]:
        """Return the samples drawn from this node's own random stream.

        The stream depends on the node's name, so that a new node never shifts another node's samples.
        """
        return list(self.samples(named_rng(seed, self.name)))


def primal_names(forward: Callable[..., Any], count: int) -> list[str]:
    """Return the names of the first `count` positional parameters of `forward`.

    ``*xs`` gives xs0, xs1, ...; a callable without a readable signature gives x0, x1, ...
    """
    try:
        parameters = inspect.signature(forward).parameters.values()
    except KeyboardInterrupt:
        raise
    except BaseException:  # compiled code says nothing of what it takes, and an object's own code anything
        return [f"x{i}" for i in range(count)]
    named = [p.name for p in parameters if p.kind in (p.POSITIONAL_ONLY, p.POSITIONAL_OR_KEYWORD)]
    variadic = next((p.name for p in parameters if p.kind is p.VAR_POSITIONAL), "x")
    return [*named, *(f"{variadic}{i}" for i in range(count - len(named)))][:count]


def named_rng(seed: int, *names: str) -> np.random.Generator:
    """Return a generator whose stream is fixed by `seed` and `names` alone.

    Two generators made from one seed are one stream, and a cotangent that equals its primal hides faults;
    so whatever draws random numbers asks for a stream of its own.
    """
    text = "/".join(names).encode("utf-8", "surrogatepass")
    # an array gives the stream of a list of as many numbers in a fraction of the time
    if 0 <= seed < 2**32:
        return np.random.default_rng(np.array([seed, *text], np.uint32))
    return np.random.default_rng([seed, *text])


def as_tuple(values: Any) -> tuple[Any, ...]:
    """Return several outputs as they are, and a single one as a tuple of one."""
    return values if isinstance(values, tuple) else (values,)
