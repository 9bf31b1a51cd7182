"""Proofs: what an object claims, beside fourth-order central differences of its own forward."""

import numpy as np


def slope(f, a, h=1e-3):
    """The gradient of the scalar ``f()`` by `a`, poked in place; (object, "name") is a float attribute."""
    if isinstance(a, tuple):
        box = np.array(float(getattr(*a)))
        return slope(lambda: (setattr(a[0], a[1], float(box)), f())[1], box, h)
    out = np.zeros(a.shape)
    for i in np.ndindex(a.shape):
        old = float(a[i])
        step = h * max(1.0, abs(old))
        values = []
        for k in (1, -1, 2, -2):
            a[i] = old + k * step
            values.append(float(f()))
        a[i] = old
        out[i] = (8 * (values[0] - values[1]) - (values[2] - values[3])) / (12 * step)
    f()
    return out


def cot(out, seed=41):
    """A random cotangent for an output, or for each of several."""
    rng = np.random.default_rng(seed)
    if isinstance(out, tuple):
        return tuple(rng.standard_normal(np.shape(o)) for o in out)
    return rng.standard_normal(np.shape(out))


def dot(g, out):
    if isinstance(out, tuple):
        return sum(np.sum(a * np.asarray(b)) for a, b in zip(g, out, strict=True))
    return np.sum(g * np.asarray(out))


def again(g):
    return tuple(np.array(a) for a in g) if isinstance(g, tuple) else np.array(g)


def pairs(run, back, arrays, g=None, h=1e-3):
    """``run()`` gives the output, ``back(g)`` the gradients of `arrays` in their order."""
    out = run()
    g = cot(out) if g is None else g
    got = [np.array(c, float) for c in back(again(g))]
    return [(c, slope(lambda: dot(g, run()), a, h)) for c, a in zip(got, arrays, strict=True)]


def pair(forward, backward, args, keys=None, h=1e-3):
    """``out, cache = forward(*args)`` and ``backward(dout, cache)``; `keys` of a dict of gradients."""
    isf = [isinstance(a, np.ndarray) and a.dtype.kind == "f" for a in args]

    def back(g):
        got = backward(g, forward(*args)[1])
        if isinstance(got, dict):
            return [got[k] for k in keys]
        got = (got,) if isinstance(got, np.ndarray) else got
        return [c for c, ok in zip(got, isf, strict=False) if ok]

    return pairs(lambda: forward(*args)[0], back, [a for a, ok in zip(args, isf, strict=True) if ok], h=h)


def scalar(f, grad, x, h=1e-3):
    """A scalar function and its gradient at `x`."""
    return [(np.array(grad(x), float), slope(lambda: f(x), x, h))]


def jacobian(f, jac, x, h=1e-3):
    """A vector function and its Jacobian at `x`."""
    got = jac(x)
    got = got.toarray() if hasattr(got, "toarray") else got
    return [(np.array(got), np.array([slope(lambda i=i: f(x)[i], x, h) for i in range(len(f(x)))]))]
