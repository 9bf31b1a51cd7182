"""What a wrong entry of the corpus is, how it is written down, and where its numbers come from."""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np

SEED = 97

Pair = tuple[Callable[..., tuple[Any, Any]], Callable[[Any, Any], tuple[Any, ...]]]


@dataclass(frozen=True)
class Wrong:
    """A forward pass with a wrong backward pass, the right one, and a point at which they differ.

    Attributes
    ----------
    name : str
        The layer and the mistake.
    diagnosis : tuple of str
        The names that fit the mistake, best first; empty where no name fits.
    primal : str
        The primal whose gradient is wrong; empty where the fault is one of behaviour.
    make, make_right : callable
        Return a fresh ``(forward, backward)``: one with the mistake, one without.
    primals : tuple of ndarray
    settings : dict
    """

    name: str
    diagnosis: tuple[str, ...]
    primal: str
    make: Callable[[], Pair]
    make_right: Callable[[], Pair]
    primals: tuple[np.ndarray, ...]
    settings: dict[str, Any]

    def __str__(self) -> str:
        return self.name


def registry() -> tuple[list[Wrong], Any, Any]:
    """Return an empty list of entries, and the two decorators that fill it.

    ``@mistake(...)`` stands above a wrong backward pass, ``@mistake_with_state(...)`` above a function that makes a
    fresh ``(forward, backward)``. Both are given the entry's name, the names that fit the mistake, separated by blanks,
    the primal whose gradient is wrong, the right layer, and the primals and settings.
    """
    found: list[Wrong] = []

    def mistake(name: str, names: str, primal: str, right: Pair, *primals: Any, **settings: Any) -> Any:
        def register(backward):
            wrong = (right[0], backward)
            mistake_with_state(name, names, primal, right, *primals, **settings)(lambda: wrong)
            return backward

        return register

    def mistake_with_state(
        name: str, names: str, primal: str, right: Pair, *primals: Any, **settings: Any
    ) -> Any:
        def register(make):
            arrays = tuple(np.array(x, dtype=float) for x in primals)
            found.append(Wrong(name, tuple(names.split()), primal, make, lambda: right, arrays, settings))
            return make

        return register

    return found, mistake, mistake_with_state


def normal(seed: int, *shape: int, scale: float = 1.0) -> np.ndarray:
    return scale * np.random.default_rng([SEED, seed]).standard_normal(shape)


def positive(seed: int, *shape: int) -> np.ndarray:
    return np.random.default_rng([SEED, seed]).uniform(0.5, 2.0, shape)


def probabilities(seed: int, *shape: int) -> np.ndarray:
    e = positive(seed, *shape)
    return e / e.sum(axis=-1, keepdims=True)
