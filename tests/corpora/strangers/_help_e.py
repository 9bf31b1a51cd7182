"""Proofs for the files e_*: central differences of a stranger's own forward."""

import numpy as np


def slope(f, a, h=1e-4):
    """Fourth-order central differences of f() with respect to `a`, which is poked in place."""
    out = np.zeros(a.shape)
    for i in np.ndindex(a.shape):
        keep, v = a[i], []
        for k in (1, -1, 2, -2):
            a[i] = keep + k * h
            v.append(float(f()))
        a[i] = keep
        out[i] = (8 * (v[0] - v[1]) - (v[2] - v[3])) / (12 * h)
    return out


def copies(arrays):
    return [np.array(a, dtype=float) for a in arrays]


def pairs(run, arrays, back, seed=99):
    """Pairs for a layer: run() gives the output(s), back(*cotangents) the claimed gradients of `arrays`."""

    def outputs():
        out = run()
        return out if isinstance(out, (tuple, list)) else (out,)

    rng = np.random.default_rng(seed)
    gs = [rng.standard_normal(np.shape(o)) for o in outputs()]
    claimed = copies(back(*[np.array(g) for g in gs]))

    def scalar():
        return sum(np.sum(o * g) for o, g in zip(outputs(), gs))

    return list(zip(claimed, [slope(scalar, a) for a in arrays], strict=True))


def loss_pairs(run, arrays, back):
    """Pairs for a loss: run() gives one number, back() the claimed gradients of `arrays`."""
    run()
    claimed = copies(back())
    return list(zip(claimed, [slope(run, a) for a in arrays], strict=True))
