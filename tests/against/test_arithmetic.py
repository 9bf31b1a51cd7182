"""Every node of the family arithmetic agrees with torch, on random shapes and settings."""

import numpy as np
import pytest

from ._shapes import broadcastable, clear_of, some_shape, with_ties
from ._torch import compare, numbers, torch


def two(rng, function, draw=with_ties):
    """Return two arrays that can be broadcast; both sides' functions are smooth in them, or state the same rule."""
    shape = some_shape(rng, empty=True)
    x = with_ties(rng, broadcastable(rng, shape))
    return (x, draw(rng, broadcastable(rng, shape))), {}, function


def one(rng, function, draw=with_ties):
    return (draw(rng, some_shape(rng, empty=True)),), {}, function


def larger_or_smaller(rng, function):
    # away from ties: there torch gives each of the two one half, the node all to the first
    shape = some_shape(rng, empty=True)
    x, y = numbers(rng, *broadcastable(rng, shape)), numbers(rng, *broadcastable(rng, shape))
    return (x, y), {}, function


def clip(rng):
    # away from the bounds: there torch lets g pass, the node does not
    low, high = sorted(rng.normal(size=2).tolist())
    low = -np.inf if rng.integers(5) == 0 else low
    high = np.inf if rng.integers(5) == 0 else high
    x = clear_of(rng, some_shape(rng, empty=True), low, high)
    return (x,), {"low": low, "high": high}, lambda x: torch.clamp(x, low, high)


def power(rng):
    shape = some_shape(rng, empty=True)
    if rng.integers(2):
        p = float(rng.uniform(-3, 4))
        x = positive(rng, shape)
    else:
        p = int(rng.integers(-3, 6))
        x = with_ties(rng, shape) if p >= 0 else nonzero(rng, shape)
    return (x,), {"p": p}, lambda x: torch.pow(x, p)


def where(rng):
    shape = some_shape(rng, empty=True)
    condition = np.asarray(rng.integers(2, size=broadcastable(rng, shape)) == 1)
    x, y = (numbers(rng, *broadcastable(rng, shape)) for _ in range(2))
    return (x, y), {"condition": condition}, lambda x, y: torch.where(torch.tensor(condition), x, y)


def positive(rng, shape):
    return np.asarray(np.exp(rng.standard_normal(shape) * rng.choice([1, 1, 5])))


def nonzero(rng, shape):
    return positive(rng, shape) * rng.choice([-1.0, 1.0], shape)


DRAWN = {
    "absolute": lambda rng: one(rng, torch.abs),
    "add": lambda rng: two(rng, torch.add),
    "clip": clip,
    "divide": lambda rng: two(rng, torch.div, nonzero),
    "exp": lambda rng: one(rng, torch.exp),
    "log": lambda rng: one(rng, torch.log, positive),
    "maximum": lambda rng: larger_or_smaller(rng, torch.maximum),
    "minimum": lambda rng: larger_or_smaller(rng, torch.minimum),
    "multiply": lambda rng: two(rng, torch.mul),
    "power": power,
    "sqrt": lambda rng: one(rng, torch.sqrt, positive),
    "square": lambda rng: one(rng, torch.square),
    "subtract": lambda rng: two(rng, torch.sub),
    "where": where,
}


@pytest.mark.parametrize("name", DRAWN)
def test_as_torch(name):
    compare(name, DRAWN[name])
