"""Central differences for the proofs of the tc files."""

import numpy as np


def diff(f, a, h=1e-3):
    """Fourth-order central differences of the scalar f(), `a` poked in place."""
    g = np.zeros(a.shape)
    for i in np.ndindex(*a.shape):
        old = a[i]
        s = h * max(1.0, abs(old))
        v = []
        for k in (-2, -1, 1, 2):
            a[i] = old + k * s
            v.append(float(f()))
        a[i] = old
        g[i] = (v[0] - 8 * v[1] + 8 * v[2] - v[3]) / (12 * s)
    return g


def dot(out, g):
    if isinstance(out, tuple):
        return sum(dot(o, w) for o, w in zip(out, g))
    return float(np.sum(np.asarray(out) * g))


def weights(out, seed=99):
    rng = np.random.default_rng(seed)
    if isinstance(out, tuple):
        return tuple(rng.standard_normal(np.shape(o)) for o in out)
    return rng.standard_normal(np.shape(out))


def pairs(fwd, bwd, wrt, h=1e-3):
    """fwd() -> output(s), bwd(g) -> list of claimed gradients of the arrays in `wrt`."""
    g = weights(fwd())
    fwd()
    claimed = [np.array(c, dtype=float) for c in bwd(g)]
    return [(c, diff(lambda: dot(fwd(), g), a, h)) for c, a in zip(claimed, wrt)]


def layer(obj, inputs, params=(), grads=lambda o: (), fwd="forward", bwd="backward", h=1e-3):
    """Pairs for obj.forward(*inputs) / obj.backward(g), which returns the inputs' gradients."""

    def back(g):
        got = getattr(obj, bwd)(*(g if isinstance(g, tuple) else (g,)))
        got = got if isinstance(got, (tuple, list)) else [got]
        return [*got, *grads(obj)]

    wrt = [a for a in inputs if np.asarray(a).dtype.kind == "f"] + list(params)
    return pairs(lambda: getattr(obj, fwd)(*inputs), back, wrt, h)
