"""Central differences, and the usual ways in which the books use what they build. Nothing here knows gradlab."""

from __future__ import annotations

import numpy as np

STEP = 1e-5


def nothing():
    return None


def slopes(value, array, step=None):
    """Central differences of value() in each element of array, which is changed in place and put back."""
    step = STEP if step is None else step
    found = np.zeros(array.shape)
    for place in np.ndindex(array.shape):
        kept = array[place]
        array[place] = kept + step
        upper, above = float(value()), float(array[place])
        array[place] = kept - step
        lower, below = float(value()), float(array[place])
        array[place] = kept
        found[place] = (upper - lower) / (above - below)
    return found


def many(thing):
    return thing if isinstance(thing, tuple) else (thing,)


def cotangents(outs, seed=99):
    """One for each output; 1 for a loss, as the books have it."""
    rng = np.random.default_rng(seed)
    return tuple(
        1.0 if np.ndim(out) == 0 else rng.standard_normal(np.shape(out)).astype(out.dtype) for out in outs
    )


def merged(params, grads):
    """Parameters and their gradients, with those that are one array in memory (or its transpose) added up, which is what
    the second volume's trainer does before it updates."""
    kept = {}
    for param, grad in zip(params, grads, strict=True):
        assert param.shape == grad.shape, (param.shape, grad.shape)
        where = param.__array_interface__["data"][0]
        if where not in kept:
            kept[where] = [param, np.array(grad)]
        elif kept[where][0].strides == param.strides:
            kept[where][1] += grad
        else:
            kept[where][1] += grad.T
    return list(kept.values())


def lists(layer):
    return merged(layer.params, layer.grads)


def no_weights(layer):
    return []


def prove_layer(layer, inputs, wrt=(0,), weights=no_weights, before=nothing, step=None):
    """forward(*inputs), backward(dout); wrt: the inputs whose gradients backward returns, in order."""
    before()
    outs = many(layer.forward(*inputs))
    douts = cotangents(outs)
    scalar = len(outs) == 1 and np.ndim(outs[0]) == 0
    got = layer.backward() if scalar else layer.backward(*[np.array(d) for d in douts])
    got = () if got is None else many(got)
    assert len(got) == len(wrt), (len(got), wrt)
    claims = [np.array(g) for g in got]
    held = [(param, np.array(grad)) for param, grad in weights(layer)]

    def value():
        before()
        return sum(
            np.sum(out * d, dtype=float) for out, d in zip(many(layer.forward(*inputs)), douts, strict=True)
        )

    pairs = [(claim, slopes(value, inputs[i], step)) for claim, i in zip(claims, wrt, strict=True)]
    return pairs + [(claim, slopes(value, param, step)) for param, claim in held]


def prove_scalars(layer, values):
    """A layer of plain numbers."""
    layer.forward(*values)
    got = many(layer.backward(1.0))
    boxes = [np.array([v]) for v in values]
    truth = [slopes(lambda: layer.forward(*[b[0] for b in boxes]), box) for box in boxes]
    return [(np.array([g]), t) for g, t in zip(got, truth, strict=True)]


def join(named, joined):
    """One pair for the parameters in each group of joined: a bias before a batch norm has no slope at all, and is measured
    against the weight beside it."""
    groups = [tuple(group) for group in joined] + [
        (name,) for name in named if not any(name in g for g in joined)
    ]
    return [
        tuple(np.concatenate([named[name][i].ravel() for name in group]) for i in (0, 1)) for group in groups
    ]


def prove_net(net, x, t, before=nothing, loss=None, joined=()):
    """loss(x, t) and gradient(x, t), params and grads by name."""
    before()
    grads = {name: np.array(grad) for name, grad in net.gradient(x, t).items()}
    assert set(grads) == set(net.params), (set(grads), set(net.params))
    assert all(grads[name].shape == net.params[name].shape for name in grads)

    def value():
        before()
        return (loss or net.loss)(x, t)

    return join({name: (grads[name], slopes(value, net.params[name])) for name in net.params}, joined)


def prove_loss_and_grads(net, x, t, joined=()):
    """loss(X, y) that returns (loss, grads)."""
    _, grads = net.loss(x, t)
    grads = {name: np.array(grad) for name, grad in grads.items()}
    assert set(grads) == set(net.params), (set(grads), set(net.params))
    assert all(grads[name].shape == net.params[name].shape for name in grads)
    truth = {name: slopes(lambda: net.loss(x, t)[0], net.params[name]) for name in net.params}
    return join({name: (grads[name], truth[name]) for name in net.params}, joined)


def prove_pair(forward, backward, primals, wrt=None, scale=None):
    """forward(*primals) -> (out, ..., cache), backward(dout, ..., cache) -> gradients of primals[wrt]. scale: what the
    book divides each gradient by on its own account."""
    wrt = range(len(primals)) if wrt is None else wrt
    *outs, cache = forward(*primals)
    douts = cotangents(outs)
    got = many(backward(*[np.array(d) for d in douts], cache))
    assert len(got) == len(wrt), (len(got), wrt)
    claims = [np.array(g) for g in got]
    scale = [1.0] * len(claims) if scale is None else scale

    def value():
        *now, _ = forward(*primals)
        return sum(np.sum(out * d) for out, d in zip(now, douts, strict=True))

    return [(claim, slopes(value, primals[i]) / s) for claim, i, s in zip(claims, wrt, scale, strict=True)]


def prove_function(f, x, args=()):
    """f(x, *args) that returns (loss, dx)."""
    claim = np.array(f(x, *args)[1])
    return [(claim, slopes(lambda: f(x, *args)[0], x))]


def spread(rng, *shape):
    """Numbers of which no two are near each other and none is near 0, in random order."""
    size = int(np.prod(shape))
    return (rng.permutation(size).reshape(shape) + 0.5 - size // 2) * (3.0 / size)
