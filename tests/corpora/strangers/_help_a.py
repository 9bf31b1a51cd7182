"""Central differences for the proofs of the modules a_*."""

import numpy as np


def rnd(seed, *shape):
    return np.random.default_rng(seed).standard_normal(shape)


def slope(value, array, h=1e-4):
    """The derivative of value() in each element of array, which value reads."""
    out = np.zeros(array.shape)
    for i in np.ndindex(array.shape):
        kept, f = array[i], []
        for k in (-2, -1, 1, 2):
            array[i] = kept + k * h
            f.append(float(value()))
        array[i] = kept
        out[i] = (f[0] - 8 * f[1] + 8 * f[2] - f[3]) / (12 * h)
    return out


def against(value, pairs):
    """Pairs (claimed, true) from pairs (claimed, array)."""
    pairs = [(np.array(c, float), a) for c, a in pairs]
    return [(c, slope(value, a)) for c, a in pairs]


def dot(y, g):
    return float(np.sum(y * g))
