"""Central differences, for the proofs alone."""

import numpy as np


def central(f, a, h=1e-5):
    g = np.zeros_like(a)
    for i in np.ndindex(a.shape):
        old = a[i]
        a[i] = old + h
        up = f()
        a[i] = old - h
        down = f()
        a[i] = old
        g[i] = (up - down) / (2 * h)
    return g


def pairs(f, *claims):
    """f() is a number; each claim is (claimed gradient, the array that it is of)."""
    claims = [(np.array(c, copy=True), a) for c, a in claims]
    return [(c, central(f, a)) for c, a in claims]


def cotangent(*shape, seed=99):
    return np.random.default_rng(seed).standard_normal(shape)
