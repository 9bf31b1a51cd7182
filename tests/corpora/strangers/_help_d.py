"""Central differences, for the proofs only."""

import numpy as np


def numgrad(f, x, h=1e-5):
    x = np.array(x, dtype=float)
    g = np.zeros_like(x)
    for i in np.ndindex(x.shape):
        up, down = x.copy(), x.copy()
        up[i] += h
        down[i] -= h
        g[i] = (float(f(up)) - float(f(down))) / (2 * h)
    return g


def numjac(f, x, h=1e-5):
    x = np.array(x, dtype=float)
    columns = []
    for i in range(x.size):
        up, down = x.copy(), x.copy()
        up[i] += h
        down[i] -= h
        columns.append((np.asarray(f(up)) - np.asarray(f(down))) / (2 * h))
    return np.stack(columns, axis=-1)


def _project(out, g):
    if isinstance(out, dict):
        return sum(float(np.sum(out[k] * g[k])) for k in out)
    if isinstance(out, tuple):
        return sum(float(np.sum(o * c)) for o, c in zip(out, g))
    return float(np.sum(out * g))


def _cotangent(out, seed=99):
    rng = np.random.default_rng(seed)
    if isinstance(out, dict):
        return {k: rng.standard_normal(np.shape(v)) for k, v in out.items()}
    if isinstance(out, tuple):
        return tuple(rng.standard_normal(np.shape(o)) for o in out)
    return rng.standard_normal(np.shape(out)) if np.shape(out) else float(rng.standard_normal())


def pair_proof(forward, backward, primals, wrt, pick=None):
    """forward(*primals) -> (out, cache); backward(dout, cache) -> gradients in the order of wrt."""
    out, cache = forward(*primals)
    g = _cotangent(out)
    grads = backward(g, cache)
    if pick is not None:
        grads = pick(grads)
    elif not isinstance(grads, (tuple, list)):
        grads = (grads,)
    pairs = []
    for i, claimed in zip(wrt, grads, strict=True):

        def f(v, i=i):
            args = list(primals)
            args[i] = v
            return _project(forward(*args)[0], g)

        pairs.append((np.array(claimed), numgrad(f, primals[i])))
    return pairs


def value_and_grad_proof(f, x, *args):
    claimed = np.array(f(x.copy(), *args)[1])
    return [(claimed, numgrad(lambda v: f(v, *args)[0], x))]


def separate_proof(f, g, x, *args):
    claimed = np.array(g(x.copy(), *args))
    return [(claimed, numgrad(lambda v: f(v, *args), x))]


def loss_proof(make, args, wrt, backward=None, forward=None):
    """A loss object: forward(*args), then backward(); gradients in the order of wrt."""
    forward = forward or (lambda o, *a: o.forward(*a))
    backward = backward or (lambda o: o.backward())
    o = make()
    forward(o, *args)
    grads = backward(o)
    if not isinstance(grads, (tuple, list)):
        grads = (grads,)
    pairs = []
    for i, claimed in zip(wrt, grads, strict=True):

        def f(v, i=i):
            a = list(args)
            a[i] = v
            return forward(make(), *a)

        pairs.append((np.array(claimed), numgrad(f, args[i])))
    return pairs
