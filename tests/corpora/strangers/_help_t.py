"""Central differences of fourth order, poked in place, for the proofs of the files t_*.py."""

import numpy as np


def num(f, a, h=1e-3):
    """Derivative of f() (scalar or array) with respect to every element of `a`: shape of f() + shape of a."""
    cols = []
    for i in np.ndindex(a.shape):
        old = a[i]
        s = h * max(1.0, abs(old))
        v = []
        for k in (2, 1, -1, -2):
            a[i] = old + k * s
            v.append(np.array(f(), dtype=float))
        a[i] = old
        cols.append((-v[0] + 8 * v[1] - 8 * v[2] + v[3]) / (12 * s))
    out = np.stack(cols, axis=-1)
    return out.reshape(out.shape[:-1] + a.shape)


def of_f(f, g, x, *args, h=1e-3):
    """f(x, *args) scalar or vector, g its gradient or Jacobian."""
    x = np.array(x, dtype=float)
    claimed = g(x.copy(), *args)
    claimed = claimed.toarray() if hasattr(claimed, "toarray") else np.array(claimed)
    return [(claimed, num(lambda: f(x, *args), x, h))]


def of_both(fg, x, *args, h=1e-3):
    """fg(x, *args) -> (value, gradient)."""
    return of_f(lambda z, *a: fg(z, *a)[0], lambda z, *a: fg(z, *a)[1], x, *args, h=h)
