"""Proofs for the files u_*.py: central differences of fourth order, poked in place."""

import numpy as np


def numeric(loss, *arrays, step=1e-3):
    found = []
    for a in arrays:
        d = np.zeros(a.shape)
        for i in np.ndindex(a.shape):
            old = a[i].copy()
            h = step * max(1.0, abs(float(old)))
            v = []
            for m in (-2, -1, 1, 2):
                a[i] = old + m * h
                v.append(float(loss()))
            a[i] = old
            d[i] = (v[0] - 8 * v[1] + 8 * v[2] - v[3]) / (12 * h)
        found.append(d)
    return found


def weights(out, seed=77):
    return np.random.default_rng(seed).standard_normal(np.shape(out))


def as_tuple(grads):
    return grads if isinstance(grads, (tuple, list)) else (grads,)


def prove_layer(fwd, bwd, inputs, params=(), grads=lambda: (), step=1e-3):
    """Pairs of an object with state: fwd(*inputs), bwd(w), and then grads() for params."""
    w = weights(fwd(*inputs))
    claimed = [np.array(c) for c in (*as_tuple(bwd(w.copy())), *grads())]
    true = numeric(lambda: np.sum(w * fwd(*inputs)), *inputs, *params, step=step)
    assert len(claimed) == len(true), (len(claimed), len(true))
    return list(zip(claimed, true))


def prove_pair(fwd, bwd, primals, step=1e-3):
    """Pairs of out, cache = fwd(*primals) and grads = bwd(w, cache)."""
    out, cache = fwd(*primals)
    w = weights(out)
    claimed = [np.array(c) for c in as_tuple(bwd(w.copy(), cache))]
    true = numeric(lambda: np.sum(w * fwd(*primals)[0]), *primals, step=step)
    assert len(claimed) == len(true)
    return list(zip(claimed, true))


def prove_scalar(f, grad, x, step=1e-3):
    return [(grad(x), numeric(lambda: f(x), x, step=step)[0])]


def numeric_jac(f, x, step=1e-3):
    m = len(f(x))
    return np.array([numeric(lambda i=i: f(x)[i], x, step=step)[0] for i in range(m)])
