"""What an entry of the corpus is: a layer as somebody wrote it, how it is meant to be called, and its fault."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace
from typing import Any

import numpy as np

Gradients = tuple[tuple[Any, ...], Mapping[str, Any]]


@dataclass(frozen=True)
class Use:
    """How a layer is called, in code; `Foreign.how` says the same in words.

    Attributes
    ----------
    forward : callable
        ``forward(layer, *inputs, **settings)`` returns the output, a tuple if there are several.
    gradients : callable
        ``gradients(layer, g, *inputs, **settings)`` calls forward and backward, and returns the gradients of the
        inputs that have one, a tuple, and those of the parameters, by name. `g` is a tuple for several outputs,
        and None for a loss that takes no cotangent.
    params : callable
        ``params(layer)`` returns the parameters by name, the arrays themselves; None before they are made.
    """

    forward: Callable[..., Any]
    gradients: Callable[..., Gradients]
    params: Callable[[Any], Mapping[str, Any]]


@dataclass(frozen=True)
class Foreign:
    """A layer in somebody's style, right or wrong.

    Attributes
    ----------
    name : str
        The layer, and the mistake.
    style : str
        Where one meets it: one of `catalogue.STYLES`.
    cotangent : str
        How the cotangent gets in: one of `catalogue.COTANGENTS`.
    stored : str
        Where the parameters' gradients are found: one of `catalogue.STORED`; empty without parameters.
    how : str
        How the object is meant to be called, as its README would say it.
    make : callable
        Return a fresh object; for function pairs ``(forward, backward)``.
    inputs : callable
        ``inputs(rng)`` returns what forward takes, in its order.
    use : Use
    arguments : tuple of str
        The names of these inputs.
    fixed : tuple of str
        Those of them that have no gradient: targets, labels, ids.
    settings : mapping
        What forward takes by keyword, or, for function pairs, as its last argument.
    convention : str
        What the gradient belongs to, where that is not what forward returns: one of `catalogue.CONVENTIONS`.
    right : bool
    fault : str or None
        The name that a good diagnosis gives; empty where no name fits, None where it is right.
    or_else : tuple of str
        Other names that fit as well.
    of : tuple of str
        The inputs and parameters whose gradients are wrong.
    warnings : tuple of str
        What may be held against a right entry all the same, as names of faults: another dtype.
    breach : bool
        Whether every number is right, and the fault is only one against the caller: an argument that is written
        into, memory that is shared.
    again : bool
        Whether the first call is right, and a later one wrong.
    twin : str
        The name of the right entry that differs from this one in the mistake alone.
    truth : callable or None
        ``truth(g, *inputs)`` returns the right gradients of the inputs, derived independently.
    """

    name: str
    style: str
    cotangent: str
    how: str
    make: Callable[[], Any]
    inputs: Callable[[np.random.Generator], tuple[Any, ...]]
    use: Use
    stored: str = ""
    arguments: tuple[str, ...] = ("x",)
    fixed: tuple[str, ...] = ()
    settings: Mapping[str, Any] = field(default_factory=dict)
    convention: str = ""
    right: bool = True
    fault: str | None = None
    or_else: tuple[str, ...] = ()
    of: tuple[str, ...] = ()
    warnings: tuple[str, ...] = ()
    breach: bool = False
    again: bool = False
    twin: str = ""
    truth: Callable[..., tuple[Any, ...]] | None = None

    def __str__(self) -> str:
        return self.name

    @property
    def differentiated(self) -> tuple[str, ...]:
        """The names of the inputs that have a gradient."""
        return tuple(name for name in self.arguments if name not in self.fixed)

    def spoiled(
        self, mistake: str, make: Callable[[], Any], fault: str, *of: str, **changes: Any
    ) -> "Foreign":
        """Return the wrong twin: the same layer with a mistake in the gradients of `of`."""
        twin = {
            "name": f"{self.name}: {mistake}",
            "right": False,
            "fault": fault,
            "of": of,
            "twin": self.name,
        }
        return replace(self, **{**twin, "make": make, "truth": None, "warnings": (), **changes})

    def varied(self, name: str, **changes: Any) -> "Foreign":
        """Return the same layer at other inputs or with other settings."""
        return replace(self, **{"name": name, **changes})


def normal(seed: int, *shape: int, scale: float = 1.0) -> Any:
    """Return a parameter: normal numbers from a stream of its own."""
    return scale * np.random.default_rng([53, seed]).standard_normal(shape)


def apart(rng: np.random.Generator, shape: tuple[int, ...]) -> Any:
    """Return numbers of which no two lie nearer than a step of differences, and none at 0."""
    size = int(np.prod(shape))
    ranks = rng.permutation(size) - size // 2
    return (ranks + rng.uniform(0.2, 0.8, size)).reshape(shape) * (3.0 / max(size, 1))


def drawn(*shapes: tuple[int, ...]) -> Callable[[np.random.Generator], tuple[Any, ...]]:
    """Return a function of rng that draws one input of each of these shapes."""
    return lambda rng: tuple(apart(rng, shape) for shape in shapes)
