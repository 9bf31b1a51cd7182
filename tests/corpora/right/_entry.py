"""What a right entry of the corpus is, and where its numbers come from."""

import math
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np

SEED = 41

Draw = Callable[[np.random.Generator], np.ndarray]


@dataclass(frozen=True)
class Right:
    """A forward and backward pass that agree, and a point to see it at."""

    name: str
    forward: Callable[..., tuple[Any, Any]]
    backward: Callable[[Any, Any], tuple[np.ndarray, ...]]
    primals: tuple[np.ndarray, ...]
    settings: dict[str, Any]

    def __str__(self) -> str:
        return self.name


def right(name: str, forward: Any, backward: Any, *draws: Draw, dtype: Any = float, **settings: Any) -> Right:
    rng = np.random.default_rng([SEED, *name.encode()])
    return Right(name, forward, backward, tuple(draw(rng).astype(dtype) for draw in draws), settings)


def normal(*shape: int, scale: float = 1.0) -> Draw:
    return lambda rng: scale * rng.standard_normal(shape)


def uniform(low: float, high: float, *shape: int) -> Draw:
    return lambda rng: rng.uniform(low, high, shape)


def apart(*shape: int, reach: float = 2.0) -> Draw:
    """Values from -reach to reach in random order, none near another and none near zero."""
    size = math.prod(shape)
    return lambda rng: rng.permutation(np.linspace(-reach, reach, size + size % 2)[:size]).reshape(shape)


def fixed(values: Any) -> Draw:
    return lambda rng: np.array(values)


def spd(n: int) -> Draw:
    def draw(rng: np.random.Generator) -> np.ndarray:
        a = rng.standard_normal((n, n))
        return a @ a.T + n * np.eye(n)

    return draw


def probabilities(*shape: int) -> Draw:
    def draw(rng: np.random.Generator) -> np.ndarray:
        e = rng.uniform(0.2, 1.0, shape)
        return e / e.sum(axis=-1, keepdims=True)

    return draw
