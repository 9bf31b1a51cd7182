"""Central differences for the proofs: of the object's own forward, fourth order, poked in place."""

import numpy as np


def slope(value, a, step=1e-3):
    """The derivative of the number ``value()`` by each element of the array `a`, which `value` reads."""
    flat, out = a.reshape(-1), np.zeros(a.size)
    assert np.shares_memory(flat, a)
    for i in range(a.size):
        keep = flat[i]
        h = step * max(abs(keep), 0.1)
        there = []
        for k in (-2, -1, 1, 2):
            flat[i] = keep + k * h
            there.append(float(np.sum(value())))
        flat[i] = keep
        out[i] = (there[0] - 8 * there[1] + 8 * there[2] - there[3]) / (12 * h)
    return out.reshape(a.shape)


def against(value, *pairs, step=1e-3):
    """(claimed, true) for each (array, claimed)."""
    return [(claimed, slope(value, a, step)) for a, claimed in pairs]


def columns(f, x):
    """The Jacobian of ``f(x)``, a column for each element of the vector `x`."""
    rows = [slope(lambda i=i: f(x)[i], x) for i in range(len(f(x)))]
    return np.array(rows)
