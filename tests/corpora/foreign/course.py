"""Pairs of functions as course notes have them: ``out, cache = forward(...)`` and ``backward(dout, cache)``."""

import numpy as np

from ._entry import Foreign, drawn
from ._use import cached


def affine_forward(x, w, b):
    out = x.reshape(x.shape[0], -1).dot(w) + b
    return out, (x, w, b)


def affine_backward(dout, cache):
    x, w, _ = cache
    dx = dout.dot(w.T).reshape(x.shape)
    dw = x.reshape(x.shape[0], -1).T.dot(dout)
    db = np.sum(dout, axis=0)
    return dx, dw, db


def affine_backward_in_another_order(dout, cache):
    dx, dw, db = affine_backward(dout, cache)
    return dw, dx, db


def layernorm_forward(x, gamma, beta, ln_param):
    mu = x.mean(axis=1, keepdims=True)
    std = np.sqrt(x.var(axis=1, keepdims=True) + ln_param.get("eps", 1e-5))
    x_hat = (x - mu) / std
    return gamma * x_hat + beta, (x_hat, std, gamma)


def layernorm_backward(dout, cache):
    x_hat, std, gamma = cache
    dx_hat = dout * gamma
    along = {"axis": 1, "keepdims": True}
    dx = (dx_hat - dx_hat.mean(**along) - x_hat * (dx_hat * x_hat).mean(**along)) / std
    return dx, np.sum(dout * x_hat, axis=0), np.sum(dout, axis=0)


def layernorm_backward_sums_features(dout, cache):
    x_hat, _, _ = cache
    dx, _, dbeta = layernorm_backward(dout, cache)
    return dx, np.sum(dout * x_hat, axis=1), dbeta


def batchnorm_forward(x, gamma, beta, bn_param):
    if bn_param["mode"] == "train":
        mean, var = x.mean(axis=0), x.var(axis=0)
        momentum = bn_param.get("momentum", 0.9)
        bn_param["running_mean"] = momentum * bn_param.get("running_mean", 0.0) + (1 - momentum) * mean
        bn_param["running_var"] = momentum * bn_param.get("running_var", 0.0) + (1 - momentum) * var
    else:
        mean, var = bn_param["running_mean"], bn_param["running_var"]
    std = np.sqrt(var + 1e-5)
    x_hat = (x - mean) / std
    return gamma * x_hat + beta, {"x_hat": x_hat, "std": std, "gamma": gamma}


def batchnorm_backward(dout, cache):
    x_hat, dx_hat = cache["x_hat"], dout * cache["gamma"]
    dx = (dx_hat - dx_hat.mean(axis=0) - x_hat * (dx_hat * x_hat).mean(axis=0)) / cache["std"]
    return dx, (dout * x_hat).sum(axis=0), dout.sum(axis=0)


def batchnorm_backward_forgets_the_variance(dout, cache):
    _, dgamma, dbeta = batchnorm_backward(dout, cache)
    dx_hat = dout * cache["gamma"]
    return (dx_hat - dx_hat.mean(axis=0)) / cache["std"], dgamma, dbeta


COURSE = {"style": "course notes", "cotangent": "cache", "use": cached()}
affine = Foreign(
    **COURSE,
    name="affine pair",
    how="out, cache = forward(x, w, b), then dx, dw, db = backward(dout, cache).",
    make=lambda: (affine_forward, affine_backward),
    inputs=drawn((3, 3), (3, 3), (3,)),
    arguments=("x", "w", "b"),
)
layernorm = Foreign(
    **COURSE,
    name="layer normalisation pair",
    how="out, cache = forward(x, gamma, beta, ln_param), then dx, dgamma, dbeta = backward(dout, cache).",
    make=lambda: (layernorm_forward, layernorm_backward),
    inputs=drawn((4, 4), (4,), (4,)),
    arguments=("x", "gamma", "beta"),
    settings={"ln_param": {"eps": 1e-5}},
)
batchnorm = Foreign(
    **COURSE,
    name="batch normalisation pair",
    how="out, cache = forward(x, gamma, beta, bn_param), which updates the running statistics in bn_param.",
    make=lambda: (batchnorm_forward, batchnorm_backward),
    inputs=drawn((5, 3), (3,), (3,)),
    arguments=("x", "gamma", "beta"),
    settings={"bn_param": {"mode": "train"}},
)
ENTRIES = [
    affine,
    affine.spoiled(
        "dw returned before dx",
        lambda: (affine_forward, affine_backward_in_another_order),
        "swapped-primals",
        *("x", "w"),
    ),
    layernorm,
    layernorm.spoiled(
        "gamma's gradient summed over the features",
        lambda: (layernorm_forward, layernorm_backward_sums_features),
        "wrong-sum-axis",
        "gamma",
    ),
    batchnorm,
    batchnorm.spoiled(
        "the variance's path forgotten",
        lambda: (batchnorm_forward, batchnorm_backward_forgets_the_variance),
        "missing-term",
        "x",
    ),
]
