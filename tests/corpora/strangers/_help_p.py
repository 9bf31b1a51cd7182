"""Proofs of the p_ files: central differences, of fourth order, of an object's own forward, poked in place."""

import numpy as np


def slope(f, *arrays, h=1e-3):
    """The gradients of the scalar f() with respect to each of the arrays that it reads."""
    out = []
    for a in arrays:
        g = np.zeros(a.shape)
        for i in np.ndindex(a.shape):
            old = a[i].copy()
            s = h * max(1.0, abs(old))
            at = {}
            for k in (-2, -1, 1, 2):
                a[i] = old + k * s
                at[k] = float(f())
            a[i] = old
            g[i] = (8 * (at[1] - at[-1]) - (at[2] - at[-2])) / (12 * s)
        out.append(g)
    return out


def pairs(claimed, f, *arrays, h=1e-3):
    """Pairs (claimed, true) for the gradients of f(), a scalar, with respect to the arrays."""
    claimed = [np.array(c, dtype=float) for c in claimed]
    return list(zip(claimed, slope(f, *arrays, h=h), strict=True))


def jacobian(f, x, h=1e-3):
    """The Jacobian of f(x), shape (m, n)."""
    cols = []
    for i in range(x.size):
        s = h * max(1.0, abs(x[i]))
        at = {}
        for k in (-2, -1, 1, 2):
            z = x.copy()
            z[i] += k * s
            at[k] = np.array(f(z), dtype=float)
        cols.append((8 * (at[1] - at[-1]) - (at[2] - at[-2])) / (12 * s))
    return np.stack(cols, axis=-1)
