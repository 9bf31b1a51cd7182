"""Closures that give modules, functions with attributes, settings in nested dicts."""

from types import SimpleNamespace

import numpy as np

from ._entry import Stranger
from .b_diff import cotangents, pair_proof, slope
from .b_physics import check_made, layer_proof

# ---------------- a net out of a closure


def make_mlp(sizes, seed=0):
    rng = np.random.default_rng(seed)
    params, grads, tape = {}, {}, []
    for k, (m, n) in enumerate(zip(sizes[:-1], sizes[1:])):
        params[f"W{k}"] = rng.standard_normal((m, n)) / np.sqrt(m)
        params[f"b{k}"] = rng.standard_normal(n) * 0.1
    depth = len(sizes) - 1

    def forward(x):
        tape.clear()
        for k in range(depth):
            tape.append(x)
            x = x @ params[f"W{k}"] + params[f"b{k}"]
            if k < depth - 1:
                x = np.log1p(np.exp(x))  # softplus
        return x

    def backward(dy):
        for k in range(depth - 1, -1, -1):
            if k < depth - 1:
                dy = dy * -np.expm1(-tape[k + 1])  # softplus' = 1 - exp(-softplus)
            grads[f"W{k}"] = tape[k].T @ dy
            grads[f"b{k}"] = dy.sum(axis=0)
            dy = dy @ params[f"W{k}"].T
        return dy

    return SimpleNamespace(forward=forward, backward=backward, params=params, grads=grads)


def mlp():
    return make_mlp([3, 4, 2], seed=7), np.random.default_rng(701).standard_normal((5, 3))


def prove_mlp():
    net, x = mlp()
    return layer_proof(net, x, [(net.params[k], lambda k=k: net.grads[k]) for k in net.params])


# ---------------- a function with attributes


def scale_shift(gain, bias):
    def layer(x):
        layer.x = x
        return x * layer.gain + layer.bias

    def backward(dout):
        layer.gain_grad = np.sum(dout * layer.x, axis=0, keepdims=True)
        layer.bias_grad = np.sum(dout, axis=0, keepdims=True)
        return dout * layer.gain

    layer.gain, layer.bias = gain, bias
    layer.gain_grad = layer.bias_grad = None
    layer.backward = backward
    return layer


def made_scale_shift():
    rng = np.random.default_rng(702)
    return scale_shift(rng.standard_normal(4), rng.standard_normal(4)), rng.standard_normal((6, 4))


def callable_proof(layer, x, params):
    shell = SimpleNamespace(forward=layer, backward=layer.backward)
    return layer_proof(shell, x, params)


def prove_scale_shift():
    layer, x = made_scale_shift()
    params = [(layer.gain, lambda: layer.gain_grad), (layer.bias, lambda: layer.bias_grad)]
    return callable_proof(layer, x, params)


# ---------------- settings within settings


def block_forward(x, w, config):
    """Residual block: x + scale * act(norm(x) w)."""
    eps = config["norm"]["eps"]
    slope = config["act"]["params"]["slope"]
    scale = config["residual"]["scale"]
    mu = x.mean(-1, keepdims=True) if config["norm"]["centre"] else 0.0
    c = x - mu
    inv = 1 / np.sqrt((c * c).mean(-1, keepdims=True) + eps)
    a = (c * inv) @ w
    out = x + scale * np.where(a > 0, a, slope * a)
    return out, {"c": c, "inv": inv, "a": a, "w": w, "config": config}


def block_backward(dout, cache):
    c, inv, w, config = cache["c"], cache["inv"], cache["w"], cache["config"]
    slope = config["act"]["params"]["slope"]
    da = config["residual"]["scale"] * dout * np.where(cache["a"] > 0, 1.0, slope)
    dn = da @ w.T
    dc = inv * dn - c * inv**3 * (dn * c).mean(-1, keepdims=True)
    if config["norm"]["centre"]:
        dc = dc - dc.mean(-1, keepdims=True)
    return {"x": dout + dc, "w": (c * inv).T @ da}


def block_points():
    rng = np.random.default_rng(703)
    config = {
        "norm": {"centre": True, "eps": 1e-3},
        "act": {"name": "leaky", "params": {"slope": 0.1}},
        "residual": {"scale": 0.5},
    }
    return rng.standard_normal((3, 5)), rng.standard_normal((5, 5)), config


# ---------------- a closure that remembers its first batch


def standardiser(eps=1e-5):
    memo = {}

    def forward(x):
        mu, sd = x.mean(axis=1, keepdims=True), np.sqrt(x.var(axis=1, keepdims=True) + eps)
        xhat = (x - mu) / sd
        memo.setdefault("xhat", xhat)
        memo.setdefault("sd", sd)
        return xhat

    def backward(dout):
        xhat, sd = memo["xhat"], memo["sd"]
        inner = dout - dout.mean(axis=1, keepdims=True) - xhat * (dout * xhat).mean(axis=1, keepdims=True)
        return inner / sd

    return SimpleNamespace(forward=forward, backward=backward)


def made_standardiser():
    return standardiser(), np.random.default_rng(704).standard_normal((3, 4))


def prove_standardiser():
    layer, first = made_standardiser()
    second = np.random.default_rng(705).standard_normal((3, 4))
    g = np.random.default_rng(706).standard_normal((3, 4))
    layer.forward(first)
    layer.backward(g)
    layer.forward(second)
    return [(layer.backward(g), slope(lambda v: np.sum(standardiser().forward(v) * g), second))]


# ---------------- a soft rounding with an attribute


def soft_round(sharpness=0.8):
    def f(x):
        return x - f.sharpness * np.sin(2 * np.pi * x) / (2 * np.pi)

    f.sharpness = sharpness
    f.backward = lambda dout: 1.0 * dout  # pass it on, as for rounding
    return f


def made_soft_round():
    return soft_round(), np.random.default_rng(707).standard_normal((3, 5))


# ---------------- the learning rate in the backward


def dense_forward(x, w, b, settings):
    z = x @ w + b
    out = np.tanh(z) if settings["layer"]["activation"] == "tanh" else z
    return out, (x, w, out, settings)


def dense_backward(dout, cache):
    x, w, out, settings = cache
    if settings["layer"]["activation"] == "tanh":
        dout = dout * (1 - out**2)
    lr = settings["optim"]["sgd"]["lr"]
    return dout @ w.T, lr * (x.T @ dout), lr * dout.sum(axis=0)


def dense_points():
    rng = np.random.default_rng(708)
    sgd = {"lr": 0.05, "momentum": 0.9}
    settings = {"layer": {"activation": "tanh"}, "optim": {"name": "sgd", "sgd": sgd}}
    return rng.standard_normal((4, 3)), rng.standard_normal((3, 5)), rng.standard_normal(5), settings


# ---------------- a wrapper that clips


def with_clipping(layer, max_norm):
    def backward(dout):
        g = layer.backward(dout)
        norm = np.linalg.norm(g)
        return g * (max_norm / norm) if norm > max_norm else g

    return SimpleNamespace(forward=layer.forward, backward=backward, inner=layer)


class Swish:
    def forward(self, x):
        self.x, self.s = x, 1 / (1 + np.exp(-x))
        return x * self.s

    def backward(self, dout):
        return dout * self.s * (1 + self.x * (1 - self.s))


def clipped_swish():
    return with_clipping(Swish(), max_norm=1.0), np.random.default_rng(709).standard_normal((3, 6))


# ---------------- gradients in a default argument


def make_affine_channel():
    def forward(x, g, b):
        return x * g[:, None] + b[:, None], (x, g)

    def backward(dout, cache, grads={}):
        x, g = cache
        for key, value in (("g", (dout * x).sum(axis=(0, 2))), ("b", dout.sum(axis=(0, 2)))):
            grads[key] = grads.get(key, 0) + value
        return dout * g[:, None], grads["g"], grads["b"]

    return forward, backward


def channel_points():
    rng = np.random.default_rng(710)
    return rng.standard_normal((2, 3, 4)), rng.standard_normal(3), rng.standard_normal(3)


def prove_channel():
    forward, backward = make_affine_channel()
    x, g, b = channel_points()
    out, cache = forward(x, g, b)
    (dout,) = cotangents([out])
    backward(dout, cache)
    dx, dg, db = backward(dout, cache)
    return [
        (dx, slope(lambda v: np.sum(forward(v, g, b)[0] * dout), x)),
        (dg, slope(lambda v: np.sum(forward(x, v, b)[0] * dout), g)),
        (db, slope(lambda v: np.sum(forward(x, g, v)[0] * dout), b)),
    ]


# ---------------- a cache that is emptied


def tanh_exp_forward(x, temperature):
    e = np.exp(x * temperature)
    t = np.tanh(e)
    return x * t, {"x": x, "temperature": temperature, "e": e, "t": t}


def tanh_exp_backward(dout, cache):
    # free the activations as soon as they are used
    x, temperature = cache.pop("x"), cache.pop("temperature")
    t, e = cache.pop("t"), cache.pop("e")
    inner = x * e * (1 - t**2)
    return dout * (t + inner * temperature), np.sum(dout * inner * x, axis=0)


def tanh_exp_points():
    rng = np.random.default_rng(711)
    return rng.standard_normal((4, 3)) * 0.7, rng.random(3) + 0.5


def check_channel(gradlab):
    return gradlab.check_cached_pair(*make_affine_channel(), channel_points())


ENTRIES = [
    Stranger("net out of a closure, with dicts", "closure giving a namespace", check_made(mlp), prove_mlp),
    Stranger(
        "scale and shift as a function with attributes",
        "callable with attributes, gradients as rows (1, n)",
        check_made(made_scale_shift),
        prove_scale_shift,
    ),
    Stranger(
        "residual block with nested settings",
        "pair with nested settings, gradients in a dict",
        lambda gradlab: gradlab.check_cached_pair(block_forward, block_backward, block_points()),
        lambda: pair_proof(block_forward, block_backward, block_points()),
    ),
    Stranger(
        "standardiser out of a closure: remembers its first batch",
        "closure that returns a namespace",
        check_made(made_standardiser),
        prove_standardiser,
        "wrong",
        "setdefault keeps what the first call has put there",
        ("stale-residuals",),
        ("x",),
    ),
    Stranger(
        "soft rounding as a function with attributes: passed straight through",
        "callable with attributes",
        check_made(made_soft_round),
        lambda: callable_proof(*made_soft_round(), []),
        "wrong",
        "backward is the identity's",
        ("straight-through", "missing-term"),
        ("x",),
    ),
    Stranger(
        "dense pair with nested settings: learning rate in backward",
        "pair with nested settings",
        lambda gradlab: gradlab.check_cached_pair(dense_forward, dense_backward, dense_points()),
        lambda: pair_proof(dense_forward, dense_backward, dense_points()),
        "wrong",
        "backward multiplies the parameters' gradients by the learning rate",
        ("constant-factor",),
        ("w", "b"),
    ),
    Stranger(
        "wrapper that clips the gradient's norm inside backward",
        "closure that returns a namespace round a layer",
        check_made(clipped_swish),
        lambda: layer_proof(*clipped_swish(), []),
        "wrong",
        "the gradient is scaled to norm 1 inside backward",
        ("nonlinear-in-cotangent", "constant-factor"),
        ("x",),
    ),
    Stranger(
        "scale of channels: gradients in a mutable default argument",
        "pair with cache",
        check_channel,
        prove_channel,
        "wrong",
        "a dict as default argument adds up over all calls",
        ("accumulates",),
        ("g", "b"),
    ),
    Stranger(
        "tanh-exp pair: backward empties its cache",
        "pair with a dict for a cache",
        lambda gradlab: gradlab.check_cached_pair(tanh_exp_forward, tanh_exp_backward, tanh_exp_points()),
        lambda: [],
        "habit",
        "a second backward with the same cache raises KeyError",
        (),
        ("x", "temperature"),
    ),
]
