"""Proofs for the files of prefix g: fourth-order central differences of an object's own forward, poked in place."""

import importlib

import numpy as np


def cot(out, seed=5):
    """A cotangent for an output, a tuple of them, or 1.0 for a loss."""
    if isinstance(out, (tuple, list)):
        return tuple(cot(o, seed + i) for i, o in enumerate(out))
    if np.ndim(out) == 0:
        return 1.0
    return np.random.default_rng(seed).standard_normal(np.shape(out))


def dot(g, out):
    if isinstance(out, (tuple, list)):
        return sum(dot(a, b) for a, b in zip(g, out, strict=True))
    return float(np.sum(g * np.asarray(out)))


def num(f, a, h=5e-4):
    """The gradient of f() by the array `a`, which f reads."""
    out = np.zeros(a.shape)
    for i in np.ndindex(a.shape):
        old = a[i]
        values = []
        for step in (1, -1, 2, -2):
            a[i] = old + step * h
            values.append(f())
        a[i] = old
        out[i] = (8 * (values[0] - values[1]) - (values[2] - values[3])) / (12 * h)
    return out


def forward(m, *xs):
    return m.forward(*xs)


def both(make, take, run=forward, check="layer", h=5e-4):
    """The call and the proof of an object: make() -> (object, *inputs), take(object, g, *inputs) -> claims."""

    def call(gradlab):
        if check == "model":
            return importlib.import_module(gradlab.__name__ + ".textbook.models").check_model(*make())
        return gradlab.check_layer(*make())

    def prove():
        m, *xs = make()
        g = cot(run(m, *xs))
        claims = [(np.array(c, dtype=float), a) for c, a in take(m, g, *xs)]
        return [(c, num(lambda: dot(g, run(m, *xs)), a, h)) for c, a in claims]

    return call, prove
