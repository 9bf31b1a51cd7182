"""Normalisation and dropout."""

import numpy as np

from ._entry import normal, right
from .arithmetic import linear, linear_backward


def batch_norm(x, gamma, beta, eps):
    mu = x.mean(axis=0)
    xc = x - mu
    std = np.sqrt(np.mean(xc**2, axis=0) + eps)
    xn = xc / std
    return gamma * xn + beta, (xc, xn, std, gamma)


def batch_norm_backward(cache, g):
    xc, xn, std, gamma = cache
    n = len(xc)
    dbeta = g.sum(axis=0)
    dgamma = np.sum(xn * g, axis=0)
    dxn = gamma * g
    dxc = dxn / std
    dstd = -np.sum(dxn * xc / std**2, axis=0)
    dxc += (1 / n) * xc * dstd / std
    dx = dxc - np.sum(dxc, axis=0) / n
    return dx, dgamma, dbeta


def batch_norm_inference(x, gamma, beta, mean, var):
    inverse_std = 1 / np.sqrt(var + 1e-5)
    return gamma * (x - mean) * inverse_std + beta, (x, gamma, mean, inverse_std)


def batch_norm_inference_backward(cache, g):
    x, gamma, mean, inverse_std = cache
    dx = g * gamma * inverse_std
    dgamma = (g * (x - mean) * inverse_std).sum(axis=0)
    return dx.astype(x.dtype), dgamma.astype(x.dtype), g.sum(axis=0).astype(x.dtype)


def linear_batch_norm(x, W, b, gamma, beta):
    h, linear_cache = linear(x, W, b)
    y, norm_cache = batch_norm(h, gamma, beta, 1e-5)
    return y, (linear_cache, norm_cache)


def linear_batch_norm_backward(cache, g):
    linear_cache, norm_cache = cache
    dh, dgamma, dbeta = batch_norm_backward(norm_cache, g)
    return (*linear_backward(linear_cache, dh), dgamma, dbeta)


def layer_norm(x, gamma, beta):
    inverse_std = 1 / np.sqrt(x.var(axis=-1, keepdims=True) + 1e-5)
    xhat = (x - x.mean(axis=-1, keepdims=True)) * inverse_std
    return gamma * xhat + beta, (xhat, inverse_std, gamma)


def layer_norm_backward(cache, g):
    xhat, inverse_std, gamma = cache
    d = g * gamma
    dx = inverse_std * (d - d.mean(axis=-1, keepdims=True) - xhat * (d * xhat).mean(axis=-1, keepdims=True))
    return dx, (g * xhat).sum(axis=0), g.sum(axis=0)


def rms_norm(x, weight):
    r = 1 / np.sqrt(np.mean(x**2, axis=-1, keepdims=True) + 1e-6)
    return x * r * weight, (x, r, weight)


def rms_norm_backward(cache, g):
    x, r, weight = cache
    d = g * weight
    dx = r * d - x * r**3 * np.mean(d * x, axis=-1, keepdims=True)
    return dx, np.sum(g * x * r, axis=0)


def group_norm(x, gamma, beta, groups):
    grouped = x.reshape(len(x), groups, -1)
    inverse_std = 1 / np.sqrt(grouped.var(axis=2, keepdims=True) + 1e-5)
    xhat = (grouped - grouped.mean(axis=2, keepdims=True)) * inverse_std
    y = gamma[:, None] * xhat.reshape(x.shape) + beta[:, None]
    return y, (xhat, inverse_std, gamma)


def group_norm_backward(cache, g):
    xhat, inverse_std, gamma = cache
    dgamma = (g * xhat.reshape(g.shape)).sum(axis=(0, 2))
    dbeta = g.sum(axis=(0, 2))
    d = (g * gamma[:, None]).reshape(xhat.shape)
    dx = d - d.mean(axis=2, keepdims=True) - xhat * (d * xhat).mean(axis=2, keepdims=True)
    return (dx * inverse_std).reshape(g.shape), dgamma, dbeta


def dropout(x, mask, p):
    return x * mask / (1 - p), (mask, p)


def dropout_backward(cache, g):
    mask, p = cache
    return (g * mask / (1 - p),)


def seeded_dropout(x, p, seed):
    keep = np.random.default_rng(seed).random(x.shape) >= p
    return np.where(keep, x / (1 - p), 0), (keep, p)


def seeded_dropout_backward(cache, g):
    keep, p = cache
    return (np.where(keep, g / (1 - p), 0),)


ENTRIES = [
    right("batch norm", batch_norm, batch_norm_backward, normal(5, 3), normal(3), normal(3), eps=1e-5),
    right(
        "batch norm, inference",
        batch_norm_inference,
        batch_norm_inference_backward,
        normal(4, 3),
        normal(3),
        normal(3),
        mean=np.array([0.1, -0.2, 0.3]),
        var=np.array([0.5, 1.0, 2.0]),
    ),
    right(
        "batch norm behind a bias",
        linear_batch_norm,
        linear_batch_norm_backward,
        normal(6, 3),
        normal(3, 2),
        normal(2),
        normal(2),
        normal(2),
    ),
    right("layer norm", layer_norm, layer_norm_backward, normal(3, 5), normal(5), normal(5)),
    right("rms norm", rms_norm, rms_norm_backward, normal(3, 5), normal(5)),
    right("group norm", group_norm, group_norm_backward, normal(2, 4, 3), normal(4), normal(4), groups=2),
    right(
        "dropout", dropout, dropout_backward, normal(6), mask=np.array([1, 0, 1, 1, 0, 1], dtype=bool), p=0.3
    ),
    right("dropout by a seed", seeded_dropout, seeded_dropout_backward, normal(3, 4), p=0.5, seed=7),
]
