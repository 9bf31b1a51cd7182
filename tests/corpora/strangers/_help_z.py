"""Proofs: fourth-order central differences of an object's own forward, its arrays poked in place."""

import numpy as np


def num(f, a, h=1e-3):
    """Gradient of the scalar f() by the array a, which f reads."""
    out = np.zeros(a.shape)
    for i in np.ndindex(a.shape):
        keep = a[i]
        values = []
        for k in (-2, -1, 1, 2):
            a[i] = keep + k * h
            values.append(float(f()))
        a[i] = keep
        out[i] = (values[0] - 8 * values[1] + 8 * values[2] - values[3]) / (12 * h)
    return out


def cot(shape, seed=11):
    """A cotangent."""
    return np.random.default_rng(seed).normal(0, 1.3, shape)


def pairs(out, back, *arrays):
    """out() -> an array; back(g) -> the claims in the order of the arrays."""
    g = cot(np.shape(out()))
    claims = [np.array(c, float) for c in back(g)]
    assert len(claims) == len(arrays)
    return [(c, num(lambda: np.sum(g * out()), a)) for c, a in zip(claims, arrays)]


def losses(f, back, *arrays):
    """f() -> a number; back() -> the claims in the order of the arrays."""
    f()
    claims = [np.array(c, float) for c in back()]
    assert len(claims) == len(arrays)
    return [(c, num(f, a)) for c, a in zip(claims, arrays)]


def jacobian(f, jac, x):
    """f(x) -> a vector; the claim is the whole Jacobian."""
    claim = np.array(jac(x), float)
    return [(claim, np.array([num(lambda: f(x)[k], x) for k in range(len(f(x)))]))]
