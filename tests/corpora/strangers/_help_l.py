"""Central differences of fourth order for the proofs of the files l_*.py."""

import numpy as np


def poke(fun, a, h=1e-3):
    """The gradient of the scalar fun() by the array `a`, which is changed in place and put back."""
    out = np.zeros(a.shape)
    for i in np.ndindex(a.shape):
        old = a[i]
        vals = []
        for k in (-2, -1, 1, 2):
            a[i] = old + k * h
            vals.append(float(fun()))
        a[i] = old
        out[i] = (vals[0] - 8 * vals[1] + 8 * vals[2] - vals[3]) / (12 * h)
    return out


def fgrad(f, x, *args, h=1e-3):
    """The gradient of f(x, *args)."""
    x = np.array(x, float)
    return poke(lambda: f(x, *args), x, h)


def fjac(f, x, *args, h=1e-3):
    """The Jacobian (m, n) of f(x, *args)."""
    x = np.array(x, float)
    cols = []
    for i in range(x.size):
        e = np.zeros_like(x)
        e[i] = h
        cols.append(
            (f(x - 2 * e, *args) - 8 * f(x - e, *args) + 8 * f(x + e, *args) - f(x + 2 * e, *args)) / (12 * h)
        )
    return np.stack([np.ravel(c) for c in cols], axis=1)


def dots(forward, arrays, g=1.0, h=1e-3):
    """The gradients of sum(g * forward()) by each of the arrays."""
    return [poke(lambda: np.sum(g * forward()), a, h) for a in arrays]
