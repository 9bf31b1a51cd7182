"""Every node of the family scatter agrees with torch, on random shapes and ids, repeated ones among them."""

import pytest

from ._shapes import some_shape
from ._torch import compare, numbers, torch


def ids_below(rng, count, shape):
    """Return ids, none where there is no row to name."""
    return rng.integers(0, count, shape) if count else rng.integers(0, 1, (0,))


def bincount(rng):
    size, minlength = (int(n) for n in rng.integers(0, (9, 12)))
    ids = rng.integers(0, rng.integers(1, 9), size)
    settings = {"minlength": minlength} if rng.integers(2) else {}
    theirs = torch.tensor(ids)

    # torch's bincount has no gradient: it says how long the result is, and index_add fills it
    length = len(torch.bincount(theirs, **settings))

    def count(weights):
        return torch.zeros(length, dtype=weights.dtype).index_add(0, theirs, weights)

    return (numbers(rng, size),), {"ids": ids, **settings}, count


def scatter_add(rng):
    x = numbers(rng, *some_shape(rng, 1, 3, empty=True))
    ids = ids_below(rng, len(x), some_shape(rng, 0, 3, empty=True))
    updates = numbers(rng, *ids.shape, *x.shape[1:])
    theirs = torch.tensor(ids)

    def add(x, updates):
        return torch.index_add(x, 0, theirs.ravel(), updates.reshape(theirs.numel(), *x.shape[1:]))

    return (x, updates), {"ids": ids}, add


def segment_sum(rng):
    x = numbers(rng, *some_shape(rng, 1, 3, empty=True))
    count = int(rng.integers(1 if len(x) else 0, 7))
    ids = ids_below(rng, count, len(x))
    theirs = torch.tensor(ids)

    def add(x):
        return torch.zeros(count, *x.shape[1:], dtype=x.dtype).index_add(0, theirs, x)

    return (x,), {"ids": ids, "num_segments": count}, add


DRAWN = {"bincount": bincount, "scatter_add": scatter_add, "segment_sum": segment_sum}


@pytest.mark.parametrize("name", DRAWN)
def test_as_torch(name):
    compare(name, DRAWN[name])
