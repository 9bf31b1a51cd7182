"""How the arguments of functions are drawn, so that a gradient has something to get wrong."""

import numpy as np


def normal(*shape):
    return lambda rng: rng.standard_normal(shape)


def positive(*shape):
    return lambda rng: rng.uniform(0.3, 2.0, shape)


def inside(*shape):
    return lambda rng: rng.uniform(-0.8, 0.8, shape)


def probabilities(*shape):
    return lambda rng: rng.dirichlet(np.ones(shape[-1]), shape[:-1])


def apart(*shape):
    return lambda rng: rng.permutation(np.prod(shape)).reshape(shape) + rng.uniform(-0.2, 0.2, shape)


def invertible(n):
    return lambda rng: 3 * np.eye(n) + 0.5 * rng.standard_normal((n, n))


def definite(n):
    def draw(rng):
        a = rng.standard_normal((n, n))
        return a @ a.T + n * np.eye(n)

    return draw


def labels(n, classes):
    return lambda rng: rng.integers(0, classes, n)
