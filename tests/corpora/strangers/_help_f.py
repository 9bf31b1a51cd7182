"""Fourth-order central differences, and the pairs (claimed, true) that they give."""

import numpy as np


def num(f, x, h=5e-4):
    x = np.array(x, dtype=float)
    out = np.zeros_like(x)
    for i in np.ndindex(*x.shape):
        vals = []
        for k in (1, -1, 2, -2):
            y = x.copy()
            y[i] += k * h
            vals.append(float(np.squeeze(f(y))))
        out[i] = (8 * (vals[0] - vals[1]) - (vals[2] - vals[3])) / (12 * h)
    return out


def num_jac(f, x, h=5e-4):
    x = np.array(x, dtype=float)
    columns = []
    for i in np.ndindex(*x.shape):
        vals = []
        for k in (1, -1, 2, -2):
            y = x.copy()
            y[i] += k * h
            vals.append(np.array(f(y), dtype=float).ravel())
        columns.append((8 * (vals[0] - vals[1]) - (vals[2] - vals[3])) / (12 * h))
    return np.stack(columns, axis=1)


def both(fun, grad, x):
    return [(np.array(grad(np.array(x)), dtype=float), num(fun, x))]


def _is_float(p):
    return isinstance(p, float) or (isinstance(p, np.ndarray) and p.dtype.kind == "f")


def _dot(g, out):
    if isinstance(out, tuple):
        return sum(float(np.sum(a * b)) for a, b in zip(g, out, strict=True))
    return float(np.sum(g * out))


def pairs_of(forward, backward, primals, cache_first=False, seed=11):
    """forward(*primals) -> (out, cache); backward(g, cache), or (cache, g)."""
    rng = np.random.default_rng(seed)

    def fresh():
        return [np.array(p) if isinstance(p, np.ndarray) else p for p in primals]

    out, cache = forward(*fresh())
    if isinstance(out, tuple):
        g = tuple(rng.standard_normal(np.shape(o)) for o in out)
    else:
        g = rng.standard_normal(np.shape(out)) + (1.5 if np.ndim(out) == 0 else 0.0)
    got = backward(cache, g) if cache_first else backward(g, cache)
    got = got if isinstance(got, (tuple, list)) else (got,)
    got = [np.array(a, dtype=float) for a in got if a is not None]
    places = [i for i, p in enumerate(primals) if _is_float(p)]
    pairs = []
    for k, i in enumerate(places):

        def value(v, i=i):
            args = fresh()
            args[i] = v if isinstance(primals[i], np.ndarray) else float(v)
            return _dot(g, forward(*args)[0])

        pairs.append((got[k], num(value, primals[i])))
    return pairs
