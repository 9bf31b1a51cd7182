"""Central differences of an object's own forward, fourth order, poked in place."""

import numpy as np


def slope(f, a, h=3e-4):
    """The derivative of f(), a number, by each element of `a`, which is poked in place."""
    d = np.zeros(a.shape)
    for i in np.ndindex(*a.shape):
        old = a[i]
        v = []
        for k in (-2, -1, 1, 2):
            a[i] = old + k * h
            v.append(float(f()))
        a[i] = old
        d[i] = (v[0] - 8 * v[1] + 8 * v[2] - v[3]) / (12 * h)
    return d


def pairs(f, claimed, arrays):
    """Pairs (claimed, true) for the scalar function f()."""
    claimed = [np.array(c, dtype=float) for c in claimed]
    return [(c, slope(f, a)) for c, a in zip(claimed, arrays, strict=True)]


def cotangent(shape, seed=77):
    return np.random.default_rng(seed).standard_normal(shape)
