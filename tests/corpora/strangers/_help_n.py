"""Proofs for the n files: central differences of the object's own forward."""

import numpy as np


def diff(f, a, h=1e-3):
    """The gradient of sum(f()) by the array a, fourth order, a poked in place."""
    out = np.zeros(a.shape)
    for i in np.ndindex(a.shape):
        old, v = a[i], []
        for k in (-2, -1, 1, 2):
            a[i] = old + k * h
            v.append(float(np.sum(f())))
        a[i] = old
        out[i] = (v[0] - 8 * v[1] + 8 * v[2] - v[3]) / (12 * h)
    return out


def jac(f, a, h=1e-3):
    """The Jacobian of the vector f() by the vector a."""
    cols = []
    for i in range(a.size):
        old, v = a[i], []
        for k in (-2, -1, 1, 2):
            a[i] = old + k * h
            v.append(np.array(f(), dtype=float))
        a[i] = old
        cols.append((v[0] - 8 * v[1] + 8 * v[2] - v[3]) / (12 * h))
    return np.stack(cols, axis=1)


def rand(seed, *shape):
    return np.random.default_rng(seed).standard_normal(shape)
