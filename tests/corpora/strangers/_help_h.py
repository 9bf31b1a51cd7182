"""Proofs for the files h_*: central differences of an object's own forward, of fourth order, poked in place."""

import numpy as np


def slope(f, x, h=1e-3):
    """Return the gradient of the scalar ``f()`` with respect to the array `x`, which `f` reads."""
    out = np.zeros(x.shape)
    for i in np.ndindex(x.shape):
        old = x[i]
        got = []
        for step in (-2, -1, 1, 2):
            x[i] = old + step * h
            got.append(float(f()))
        x[i] = old
        out[i] = (got[0] - 8 * got[1] + 8 * got[2] - got[3]) / (12 * h)
    return out


def slopes(f, x, h=1e-3):
    """Return the Jacobian of the vector ``f()`` with respect to the vector `x`."""
    cols = []
    for i in range(x.size):
        old = x[i]
        got = []
        for step in (-2, -1, 1, 2):
            x[i] = old + step * h
            got.append(np.array(f(), dtype=float))
        x[i] = old
        cols.append((got[0] - 8 * got[1] + 8 * got[2] - got[3]) / (12 * h))
    return np.array(cols).T


def of_scalar(f, grad, x, args=(), h=1e-3):
    """Return the pairs for f and grad; ``grad=True`` for a function that returns both."""
    x = x.astype(float)
    if grad is True:
        return [(np.array(f(x.copy(), *args)[1]), slope(lambda: f(x.copy(), *args)[0], x, h))]
    return [(np.array(grad(x.copy(), *args)), slope(lambda: f(x.copy(), *args), x, h))]


def of_vector(f, jac, x, args=(), h=1e-3):
    """Return the pairs for a residual and its Jacobian."""
    x = x.astype(float)
    if jac is True:
        return [(np.array(f(x, *args)[1]), slopes(lambda: f(x, *args)[0], x, h))]
    claimed = jac(x, *args)
    if hasattr(claimed, "toarray"):
        claimed = claimed.toarray()
    elif hasattr(claimed, "matmat"):
        claimed = claimed.matmat(np.eye(x.size))
    return [(np.array(claimed), slopes(lambda: f(x, *args), x, h))]


def of_pair(forward, backward, primals, names=(), first=False, h=1e-3, seed=7):
    """Return the pairs for ``out, cache = forward(...)`` and ``backward(dout, cache)`` (`first`: the cache first)."""
    out, cache = forward(*primals)
    rng = np.random.default_rng(seed)
    if isinstance(out, tuple):
        g = tuple(rng.standard_normal(np.shape(o)) for o in out)
    else:
        g = rng.standard_normal(np.shape(out))[()]
    grads = backward(cache, g) if first else backward(g, cache)
    if isinstance(grads, dict):
        grads = [grads[k] for k in names]
    elif not isinstance(grads, (tuple, list)):
        grads = [grads]
    grads = [np.array(d) for d in grads]

    def total():
        y = forward(*primals)[0]
        return sum(np.sum(a * b) for a, b in zip(g, y)) if isinstance(y, tuple) else np.sum(g * y)

    floats = [p for p in primals if isinstance(p, np.ndarray) and p.dtype.kind == "f"]
    return [(d, slope(total, p, h)) for d, p in zip(grads, floats)]
