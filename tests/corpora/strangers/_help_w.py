"""Proofs of the entries with prefix w: central differences of an object's own forward."""

import numpy as np


def slope(f, a, h=3e-4):
    """Fourth-order central differences of the scalar f() with respect to the array a, which is poked in place."""
    d = np.zeros(a.shape)
    for i in np.ndindex(a.shape):
        keep = a[i]
        total = 0.0
        for k, c in ((1, 8.0), (-1, -8.0), (2, -1.0), (-2, 1.0)):
            a[i] = keep + k * h
            total += c * float(f())
        a[i] = keep
        d[i] = total / (12 * h)
    return d


def pairs(f, claimed, arrays):
    """(claimed, true) for each array; claimed is copied before f is called again."""
    claimed = [np.array(c, dtype=float) for c in claimed]
    return [(c, slope(f, a)) for c, a in zip(claimed, arrays, strict=True)]
