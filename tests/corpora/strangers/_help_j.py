"""Proofs: fourth-order central differences of an object's own forward, its input poked in place."""

import numpy as np


def slope(fun, x, h=1e-3):
    """d fun() / d x for a scalar fun() that reads x."""
    out = np.zeros(x.shape)
    for i in np.ndindex(x.shape):
        old = x[i]
        d = h * max(abs(old), 0.1)
        v = {}
        for k in (1, -1, 2, -2):
            x[i] = old + k * d
            v[k] = float(fun())
        x[i] = old
        out[i] = (8 * (v[1] - v[-1]) - (v[2] - v[-2])) / (12 * d)
    return out


def scalar(f, g, x, *args):
    """For f and grad."""
    x = np.array(x, float)
    claimed = np.array(g(x.copy(), *args), dtype=float)
    return [(claimed, slope(lambda: f(x.copy(), *args), x))]


def both(f, x, *args):
    """For a function that returns (value, gradient)."""
    return scalar(lambda z, *a: f(z, *a)[0], lambda z, *a: f(z, *a)[1], x, *args)


def matrix(f, jac, x, *args):
    """For a vector function and its Jacobian."""
    x = np.array(x, float)
    claimed = jac(x.copy(), *args)
    if hasattr(claimed, "toarray"):
        claimed = claimed.toarray()
    elif hasattr(claimed, "matvec"):
        forth = claimed.matmat(np.eye(claimed.shape[1]))
        back = claimed.rmatmat(np.eye(claimed.shape[0])).T
        claimed = np.stack([forth, back])
    n = np.size(f(x.copy(), *args))
    true = np.stack([slope(lambda i=i: np.ravel(f(x.copy(), *args))[i], x) for i in range(n)])
    claimed = np.array(claimed, dtype=float)
    return [(claimed, np.stack([true, true]) if claimed.ndim == 3 else true)]


def dot(g, out):
    if isinstance(out, (tuple, list)):
        return sum(dot(a, b) for a, b in zip(g, out))
    return np.sum(g * out)


def noise(out, rng):
    if isinstance(out, (tuple, list)):
        return tuple(noise(o, rng) for o in out)
    return rng.standard_normal(np.shape(out)) + 0.3


def pair(fwd, bwd, primals, wrt=None, order="gc", keys=None, unit=False, spread=False):
    """For a forward with a cache and its backward; wrt: the differentiated primals' places."""
    primals = [np.array(p, float) if np.asarray(p).dtype.kind == "f" else p for p in primals]
    wrt = range(len(primals)) if wrt is None else wrt

    def run():
        now = [p.copy() if isinstance(p, np.ndarray) else p for p in primals]
        *outs, cache = fwd(*now)
        return (outs[0] if len(outs) == 1 else tuple(outs)), cache

    out, cache = run()
    g = noise(out, np.random.default_rng(77))
    if unit:
        g = 1.0
        grads = bwd(cache)
    elif order == "cg":
        grads = bwd(cache, g)
    elif spread:
        grads = bwd(*g, cache)
    else:
        grads = bwd(g, cache)
    if keys is not None:
        grads = [grads[k] for k in keys]
    elif not isinstance(grads, (tuple, list)):
        grads = [grads]
    grads = [np.array(a, dtype=float) for a in grads]
    return [(a, slope(lambda: dot(g, run()[0]), primals[i])) for a, i in zip(grads, wrt)]


def vjp(fwd, bwd, *primals):
    """For forward -> (output, residuals), backward(residuals, g)."""
    return pair(fwd, bwd, primals, order="cg")


def loss(make, x, *targets, back=lambda c: c.backward(), call=lambda c, *a: c.forward(*a)):
    """For a loss as a class, its gradient with respect to x."""
    x = np.array(x, float)
    crit = make()
    call(crit, x.copy(), *targets)
    claimed = np.array(back(crit), dtype=float)
    return [(claimed, slope(lambda: call(make(), x.copy(), *targets), x))]


def module(make, *inputs, wrt=0):
    """For an object with forward(x, ...) and backward(dout) -> dx."""
    obj = make()
    return pair(lambda *a: (obj.forward(*a), None), lambda g, c: obj.backward(g), inputs, wrt=[wrt])


def called(make):
    """For an object that is called, with backward(dout) -> dx."""
    obj = make()
    return lambda *a: (obj(*a), None), lambda g, c: obj.backward(g)


def methods(obj, *names):
    """Bound methods of one fresh object."""
    return [getattr(obj, n) for n in names]
