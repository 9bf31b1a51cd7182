"""Helpers of the proofs of s_*.py: central differences of the object's own forward, fourth order, poked in place."""

import numpy as np


def rng(seed):
    return np.random.default_rng(seed)


def poke(f, a, h=1e-3):
    """The gradient of f() by the array a, which f reads."""
    out = np.zeros(a.shape)
    for i in np.ndindex(*a.shape):
        old = a[i]
        vals = []
        for s in (1, -1, 2, -2):
            a[i] = old + s * h
            vals.append(float(f()))
        a[i] = old
        out[i] = (8 * (vals[0] - vals[1]) - (vals[2] - vals[3])) / (12 * h)
    return out


def pairs(made, grads, run=lambda o, x: o.forward(*x), back=lambda o, g: o.backward(g), seed=77):
    """made() -> (object, *inputs); grads(object, what backward returned, inputs) -> [(claimed, array poked), ...]."""
    obj, *inputs = made()
    y = np.array(run(obj, inputs))
    g = np.ones(()) if y.ndim == 0 else rng(seed).standard_normal(y.shape)
    got = back(obj, g.copy())
    todo = [(np.array(c, dtype=float), a) for c, a in grads(obj, got, inputs)]
    return [(c, poke(lambda: np.sum(g * run(obj, inputs)), a)) for c, a in todo]


def cached(forward, backward, primals, seed=78):
    """A pair with a cache, every primal an array of floats, gradients a tuple in their order."""
    y, cache = forward(*primals)
    g = np.ones(()) if np.ndim(y) == 0 else rng(seed).standard_normal(y.shape)
    got = [np.array(d, dtype=float) for d in backward(g.copy(), cache)]
    return [(d, poke(lambda: np.sum(g * forward(*primals)[0]), a)) for d, a in zip(got, primals, strict=True)]


def named(d, x, grads, params):
    """The pairs of a layer of one input whose gradients and parameters are dicts."""
    return [(d, x[0])] + [(grads[k], params[k]) for k in params]
