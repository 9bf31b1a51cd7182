"""Every node of the family normalisation agrees with torch, on random shapes and settings."""

import numpy as np
import pytest

from gradlab.sampling import normal

from ._torch import F, batch, compare, numbers, torch


def lengths(rng, axes):
    return tuple(int(n) for n in rng.integers(1, 5, axes))


def epsilon(rng, count):
    """Return an eps, a small one only where statistics are taken over more than two numbers.

    Of two numbers, however far apart, u is -1 and 1 but for eps: with a small one the gradient of x is what rounding
    leaves of a difference, on either side.
    """
    return float(10.0 ** rng.uniform(-5 if count > 2 else -1, 0))


def batch_norm(rng):
    # torch wants two numbers of each channel or more, and the node at least one
    shape = int(rng.integers(1, 5)), *lengths(rng, rng.integers(1, 4))
    if shape[0] * np.prod(shape[2:]) < 2:
        shape = 2, *shape[1:]
    eps = epsilon(rng, shape[0] * np.prod(shape[2:]))
    primals = numbers(rng, *shape), numbers(rng, shape[1]), numbers(rng, shape[1])

    def function(x, gamma, beta):
        return F.batch_norm(x, None, None, gamma, beta, training=True, eps=eps)

    return primals, {"eps": eps}, function


def batch_norm_inference(rng):
    shape = batch(rng), *lengths(rng, rng.integers(1, 4))
    mean, variance = numbers(rng, shape[1]), rng.uniform(0, 3, shape[1])
    eps = epsilon(rng, 3)
    primals = numbers(rng, *shape), numbers(rng, shape[1]), numbers(rng, shape[1])

    def function(x, gamma, beta):
        return F.batch_norm(x, torch.tensor(mean), torch.tensor(variance), gamma, beta, eps=eps)

    return primals, {"mean": mean, "variance": variance, "eps": eps}, function


def group_norm(rng):
    groups, per_group = int(rng.integers(1, 4)), int(rng.integers(1, 4))
    shape = batch(rng), groups * per_group, *lengths(rng, rng.integers(0, 4))
    count = per_group * int(np.prod(shape[2:]))
    # torch wants more than one number
    if shape[0] == count == 1:
        shape = 2, *shape[1:]
    eps = epsilon(rng, count)
    # u of one number is 0; torch has the rounding of that number there, so the numbers are to be small
    draw = numbers if count > 1 else normal
    primals = draw(rng, *shape), draw(rng, shape[1]), draw(rng, shape[1])

    def function(x, gamma, beta):
        return F.group_norm(x, groups, gamma, beta, eps)

    return primals, {"groups": groups, "eps": eps}, function


def rows(rng):
    return *(batch(rng) for _ in range(rng.integers(0, 3))), int(rng.integers(1, 7))


def layer_norm(rng):
    shape = rows(rng)
    eps = epsilon(rng, shape[-1])
    primals = numbers(rng, *shape), numbers(rng, shape[-1]), numbers(rng, shape[-1])
    return primals, {"eps": eps}, lambda x, gamma, beta: F.layer_norm(x, shape[-1:], gamma, beta, eps)


def rms_norm(rng):
    shape = rows(rng)
    # here it is one number that is 1 but for eps
    eps = epsilon(rng, shape[-1] + 1)
    primals = numbers(rng, *shape), numbers(rng, shape[-1])
    return primals, {"eps": eps}, lambda x, gamma: F.rms_norm(x, shape[-1:], gamma, eps)


def dropout(rng):
    shape = rows(rng)
    seed, rate = int(rng.integers(2**31)), float(rng.choice([0.0, 0.2, 0.5, rng.uniform(0, 0.99)]))

    def function(x):
        with torch.random.fork_rng(devices=[]):
            torch.manual_seed(seed)
            return F.dropout(x, rate, training=True)

    # the node takes the mask that torch draws
    mask = function(torch.ones(shape, dtype=torch.float64)).numpy() != 0
    return (numbers(rng, *shape),), {"mask": mask, "rate": rate}, function


DRAWN = {
    "batch_norm": batch_norm,
    "batch_norm_inference": batch_norm_inference,
    "dropout": dropout,
    "group_norm": group_norm,
    "layer_norm": layer_norm,
    "rms_norm": rms_norm,
}


@pytest.mark.parametrize("name", DRAWN)
def test_as_torch(name):
    compare(name, DRAWN[name])
