"""Proofs: pairs (claimed, true), the true ones by central differences, of fourth order, of the object's own forward."""

import numpy as np


def true(f, a, h=3e-4):
    """The gradient of the number f() by the array a, which is poked in place."""
    out = np.zeros(a.shape)
    for i in np.ndindex(a.shape):
        old, v = a[i], []
        for k in (-2, -1, 1, 2):
            a[i] = old + k * h
            v.append(float(f()))
        a[i] = old
        out[i] = (v[0] - 8 * v[1] + 8 * v[2] - v[3]) / (12 * h)
    return out


def _get(o, path):
    return eval("o" + path, {"o": o})


def true_of(f, o, path, h=3e-4):
    """The same by what stands at a path (".W", ".params['W']"), an array or a number."""
    a = _get(o, path)
    if isinstance(a, np.ndarray):
        return true(f, a, h)
    v = []
    for k in (-2, -1, 1, 2):
        exec(f"o{path} = {float(a) + k * h!r}", {"o": o})
        v.append(float(f()))
    exec(f"o{path} = {a!r}", {"o": o})
    return np.asarray((v[0] - 8 * v[1] + 8 * v[2] - v[3]) / (12 * h))


def _dot(g, y):
    if isinstance(y, (tuple, list)):
        return sum(_dot(a, b) for a, b in zip(g, y, strict=True))
    return np.sum(g * y)


def _like(rng, y):
    if isinstance(y, tuple):
        return tuple(_like(rng, v) for v in y)
    if isinstance(y, list):
        return [_like(rng, v) for v in y]
    return rng.standard_normal(np.shape(y)) if np.ndim(y) else float(rng.uniform(0.5, 2.0))


def layer(o, *xs, ret=None, params="", fwd="forward", bwd="backward", cot=True, spread=False, h=3e-4):
    """Pairs of a layer: what its backward returns, and what it leaves in attributes.

    ret: the targets of what is returned, "0 1 .W" (inputs by number, attributes by path, "-" for none), for a dict
    "x:0 W:.W"; by default the inputs of floats. params: ".W>.dW .b>.db". cot: whether backward takes one; spread:
    whether several cotangents are several arguments.
    """
    f, b = (getattr(o, n) for n in (fwd, bwd))
    y = f(*xs)
    g = _like(np.random.default_rng(77), y)
    if not cot:
        g = np.ones(np.shape(y)) if np.ndim(y) else 1.0
    y = None
    d = (b(*g) if spread else b(g)) if cot else b()
    if ret is None:
        ret = " ".join(str(i) for i, x in enumerate(xs) if isinstance(x, np.ndarray) and x.dtype.kind == "f")
    names = ret.split()
    claimed = []
    if isinstance(d, dict):
        claimed = [(d[n.split(":")[0]], n.split(":")[1]) for n in names]
    elif names and d is not None:
        d = d if isinstance(d, (tuple, list)) else (d,)
        claimed = [(v, n) for v, n in zip(d, names, strict=True) if n != "-"]
    for p in params.split():
        n, at = p.split(">")
        claimed.append((_get(o, at), n))
    claimed = [(np.array(v, float), n) for v, n in claimed]
    run = lambda: _dot(g, f(*xs))
    return [(v, true(run, xs[int(n)], h) if n.isdigit() else true_of(run, o, n, h)) for v, n in claimed]


def net(o, *xs, keys, loss="loss", grad="gradient", params=".params[{!r}]", pick=None, h=3e-4):
    """Pairs of a network: grad(*xs) gives a dict, or pick takes it out of what it gives."""
    d = getattr(o, grad)(*xs)
    d = pick(d) if pick else d
    d = {k: np.array(d[k], float) for k in keys}
    run = lambda: getattr(o, loss)(*xs)
    return [(d[k], true_of(run, o, params.format(k), h)) for k in keys]
