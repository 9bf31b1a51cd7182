"""Differences with which the proofs of the modules b_* compare; no entries of its own."""

import numpy as np

ENTRIES = []


def slope(f, x, h=2e-4):
    """Five-point differences of a scalar function of one array."""
    x = np.array(x, dtype=float)
    out = np.zeros_like(x)
    for i in np.ndindex(x.shape):
        at = []
        for k in (2, 1, -1, -2):
            moved = x.copy()
            moved[i] += k * h
            at.append(float(f(moved)))
        out[i] = (-at[0] + 8 * at[1] - 8 * at[2] + at[3]) / (12 * h)
    return out


def jacobian(f, x):
    """Differences of a function with an array as its value, as a matrix."""
    size = np.size(f(np.array(x, dtype=float)))
    return np.array([slope(lambda v, k=k: np.ravel(f(v))[k], x).ravel() for k in range(size)])


def is_primal(x):
    return isinstance(x, np.ndarray) and x.dtype.kind == "f"


def cotangents(outs, seed=77):
    rng = np.random.default_rng(seed)
    return [rng.standard_normal(np.shape(o)) for o in outs]


def weighed(outs, gs):
    return sum(float(np.sum(np.asarray(o) * g)) for o, g in zip(outs, gs))


def slopes(f, primals, which=None):
    """Differences of the scalar f(*primals) in each float array, or in those with the indices which."""
    which = [i for i, p in enumerate(primals) if is_primal(p)] if which is None else which

    def at(i):
        def g(v):
            args = [p.copy() if isinstance(p, np.ndarray) else p for p in primals]
            args[i] = v
            return f(*args)

        return slope(g, primals[i])

    return [at(i) for i in which]


def pair_proof(forward, backward, primals, which=None, seed=77):
    """For out, cache = forward(*primals) and grads = backward(dout, cache)."""
    out, cache = forward(*primals)
    (g,) = cotangents([out], seed)
    grads = backward(g.copy(), cache)
    grads = list(grads.values()) if isinstance(grads, dict) else grads
    grads = [grads] if isinstance(grads, np.ndarray) else [a for a in grads if a is not None]
    true = slopes(lambda *a: weighed([forward(*a)[0]], [g]), primals, which)
    return list(zip(grads, true, strict=True))


def vjp_proof(forward, backward, primals, which=None, seed=77):
    """For out, residuals = forward(*primals) and grads = backward(residuals, g)."""
    out, res = forward(*primals)
    outs = out if isinstance(out, tuple) else (out,)
    gs = cotangents(outs, seed)
    grads = backward(res, tuple(g.copy() for g in gs) if isinstance(out, tuple) else gs[0].copy())
    grads = [a for a in grads if a is not None]

    def total(*a):
        o = forward(*a)[0]
        return weighed(o if isinstance(o, tuple) else (o,), gs)

    return list(zip(grads, slopes(total, primals, which), strict=True))


def grad_proof(f, grad, x):
    return [(grad(np.array(x, dtype=float)), slope(f, x))]
