"""Every node of the family activation agrees with torch, on random shapes and settings."""

import pytest

from ._shapes import some_axis, some_shape, with_ties
from ._torch import F, compare, numbers, torch


def elementwise(rng, function):
    # exact zeros too: both sides have the same slope there
    return (with_ties(rng, some_shape(rng, empty=True)),), {}, function


def with_alpha(rng, function):
    alpha = float(rng.uniform(0.01, 2))
    x = with_ties(rng, some_shape(rng, empty=True))
    if rng.integers(4) == 0:
        return (x,), {}, function
    return (x,), {"alpha": alpha}, lambda x: function(x, alpha)


def over_last_axis(rng, function):
    batch, size = some_shape(rng, 0, 3, empty=True), int(rng.integers(1, 6))
    return (numbers(rng, *batch, size),), {}, lambda x: function(x, dim=-1)


def glu(rng):
    shape = list(some_shape(rng, 1, empty=True))
    axis = some_axis(rng, shape)
    shape[axis] *= 2
    return (numbers(rng, *shape),), {"axis": axis}, lambda x: F.glu(x, axis)


def maxout(rng):
    k = int(rng.integers(1, 5))
    *batch, groups = some_shape(rng, 1)

    def largest(x):
        # not amax, which divides the gradient among ties: this gives it to the first, as the node does
        return F.max_pool1d(x.reshape(1, -1, groups * k), k).reshape(*batch, groups)

    return (with_ties(rng, (*batch, groups * k)),), {"k": k}, largest


def step(rng):
    # torch.heaviside has no gradient; this is 1 and 0 on the same sides, 0 at 0, and its gradient is 0
    return elementwise(rng, lambda x: torch.sign(torch.relu(x)))


DRAWN = {
    "elu": lambda rng: with_alpha(rng, F.elu),
    "gelu": lambda rng: elementwise(rng, F.gelu),
    "gelu_tanh": lambda rng: elementwise(rng, lambda x: F.gelu(x, approximate="tanh")),
    "glu": glu,
    "hard_tanh": lambda rng: elementwise(rng, F.hardtanh),
    "leaky_relu": lambda rng: with_alpha(rng, F.leaky_relu),
    "log_sigmoid": lambda rng: elementwise(rng, F.logsigmoid),
    "log_softmax": lambda rng: over_last_axis(rng, F.log_softmax),
    "maxout": maxout,
    "relu": lambda rng: elementwise(rng, F.relu),
    "selu": lambda rng: elementwise(rng, F.selu),
    "sigmoid": lambda rng: elementwise(rng, F.sigmoid),
    "silu": lambda rng: elementwise(rng, F.silu),
    "softmax": lambda rng: over_last_axis(rng, F.softmax),
    # beyond 20, its default, torch takes x itself, which is 2e-9 less
    "softplus": lambda rng: elementwise(rng, lambda x: F.softplus(x, threshold=50)),
    "softsign": lambda rng: elementwise(rng, F.softsign),
    "step": step,
    "tanh": lambda rng: elementwise(rng, F.tanh),
}


@pytest.mark.parametrize("name", DRAWN)
def test_as_torch(name):
    compare(name, DRAWN[name])
