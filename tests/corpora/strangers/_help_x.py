"""Central differences for the proofs of the x files."""

import numpy as np


def slope(f, x, h=1e-3):
    """The derivative of the scalar ``f()`` by the array `x`, which is poked in place; fourth order."""
    out = np.zeros(x.shape)
    for i in np.ndindex(x.shape):
        keep = x[i].copy()
        d = h * max(1.0, abs(float(keep)))
        values = []
        for step in (-2, -1, 1, 2):
            x[i] = keep + step * d
            values.append(float(f()))
        x[i] = keep
        out[i] = (values[0] - 8 * values[1] + 8 * values[2] - values[3]) / (12 * d)
    return out


def against(f, *pairs, h=1e-3):
    """Pairs (claimed, true) for pairs (claimed, array)."""
    claimed = [np.array(c, float, copy=True) for c, _ in pairs]
    return [(c, slope(f, x, h)) for c, (_, x) in zip(claimed, pairs)]


def matrix(f, x, h=1e-3):
    """The Jacobian of the vector ``f()`` by `x`, rows outputs."""
    out = []
    for i in range(np.size(f())):
        out.append(slope(lambda: np.ravel(f())[i], x, h).ravel())
    return np.array(out)
