"""Reductions, scans and normalisations along an axis."""

import numpy as np

from ._util import reduced_size, restore_axes


def sum_forward(x, axis=None, keepdims=False):
    """Sum over axis."""
    out = np.asarray(x.sum(axis=axis, keepdims=keepdims))
    return out, (x.shape, axis, keepdims)


def sum_backward(residuals, g):
    """Gradient of sum: g copied along the summed axes."""
    shape, axis, keepdims = residuals
    g = restore_axes(g, len(shape), axis, keepdims)
    return (np.broadcast_to(g, shape).copy(),)


def mean_forward(x, axis=None, keepdims=False):
    """Mean over axis."""
    out = np.asarray(x.mean(axis=axis, keepdims=keepdims))
    return out, (x.shape, axis, keepdims)


def mean_backward(residuals, g):
    """Gradient of mean."""
    shape, axis, keepdims = residuals
    g = restore_axes(g, len(shape), axis, keepdims) / reduced_size(shape, axis)
    return (np.broadcast_to(g, shape).copy(),)


def var_forward(x, axis=None, ddof=0, keepdims=False):
    """Variance over axis with ddof degrees of freedom removed."""
    centered = x - x.mean(axis=axis, keepdims=True)
    count = reduced_size(x.shape, axis) - ddof
    out = np.asarray((centered * centered).sum(axis=axis, keepdims=keepdims) / count)
    return out, (centered, count, axis, keepdims)


def var_backward(residuals, g):
    """Gradient of variance."""
    centered, count, axis, keepdims = residuals
    g = restore_axes(g, centered.ndim, axis, keepdims)
    return (2.0 / count * g * centered,)


def max_forward(x, axis=None, keepdims=False):
    """Maximum over axis."""
    top = x.max(axis=axis, keepdims=True)
    out = np.asarray(top if keepdims else x.max(axis=axis))
    return out, (x == top, x.dtype, axis, keepdims)


def max_backward(residuals, g):
    """Gradient of max; tied elements share it equally."""
    is_top, dtype, axis, keepdims = residuals
    g = restore_axes(g, is_top.ndim, axis, keepdims)
    ties = is_top.sum(axis=axis, keepdims=True)
    return ((is_top * (g / ties)).astype(dtype, copy=False),)


def norm_forward(x, axis=None, keepdims=False):
    """Euclidean norm over axis."""
    length = np.sqrt((x * x).sum(axis=axis, keepdims=True))
    out = length if keepdims else length.reshape(x.sum(axis=axis).shape)
    return out, (x, length, axis, keepdims)


def norm_backward(residuals, g):
    """Gradient of the Euclidean norm; zero where the norm is zero."""
    x, length, axis, keepdims = residuals
    g = restore_axes(g, x.ndim, axis, keepdims)
    safe = np.where(length > 0.0, length, 1.0)
    return (x * (g / safe),)


def logsumexp_forward(x, axis=-1, keepdims=False):
    """log(sum(exp(x))) over axis."""
    top = x.max(axis=axis, keepdims=True)
    e = np.exp(x - top)
    total = e.sum(axis=axis, keepdims=True)
    out = np.log(total) + top
    if not keepdims:
        out = np.asarray(out.squeeze(axis=axis))
    return out, (e, total, axis, keepdims)


def logsumexp_backward(residuals, g):
    """Gradient of logsumexp: g times the softmax."""
    e, total, axis, keepdims = residuals
    g = restore_axes(g, e.ndim, axis, keepdims)
    return (e * (g / total),)


def softmax_forward(x, axis=-1):
    """Softmax along axis."""
    e = np.exp(x - x.max(axis=axis, keepdims=True))
    out = e / e.sum(axis=axis, keepdims=True)
    return out, (out, axis)


def softmax_backward(residuals, g):
    """Gradient of softmax, from its output."""
    out, axis = residuals
    inner = (g * out).sum(axis=axis, keepdims=True)
    return (out * (g - inner),)


def log_softmax_forward(x, axis=-1):
    """Logarithm of the softmax along axis."""
    shifted = x - x.max(axis=axis, keepdims=True)
    out = shifted - np.log(np.exp(shifted).sum(axis=axis, keepdims=True))
    return out, (out, axis)


def log_softmax_backward(residuals, g):
    """Gradient of log-softmax, from its output."""
    out, axis = residuals
    total = g.sum(axis=axis, keepdims=True)
    return (g - np.exp(out) * total,)


def cumsum_forward(x, axis=-1):
    """Running sum along axis."""
    return np.cumsum(x, axis=axis), (axis,)


def cumsum_backward(residuals, g):
    """Gradient of cumsum: the running sum of g from the far end."""
    (axis,) = residuals
    from_end = np.cumsum(np.flip(g, axis), axis=axis)
    return (np.flip(from_end, axis).copy(),)


def layernorm_forward(x, gamma, beta, eps=1e-5):
    """Normalise the last axis of x, then scale by gamma and shift by beta."""
    centered = x - x.mean(axis=-1, keepdims=True)
    inv_std = 1.0 / np.sqrt((centered * centered).mean(axis=-1, keepdims=True) + eps)
    xhat = centered * inv_std
    return xhat * gamma + beta, (xhat, inv_std, gamma, beta.dtype)


def layernorm_backward(residuals, g):
    """Gradients of layernorm for x, gamma and beta."""
    xhat, inv_std, gamma, beta_dtype = residuals
    lead = tuple(range(g.ndim - 1))
    ghat = g * gamma
    mean_ghat = ghat.mean(axis=-1, keepdims=True)
    mean_proj = (ghat * xhat).mean(axis=-1, keepdims=True)
    gx = inv_std * (ghat - mean_ghat - xhat * mean_proj)
    ggamma = (g * xhat).sum(axis=lead)
    gbeta = g.sum(axis=lead)
    return (
        gx.astype(xhat.dtype, copy=False),
        ggamma.astype(gamma.dtype, copy=False),
        gbeta.astype(beta_dtype, copy=False),
    )
