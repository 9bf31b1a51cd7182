"""Losses and similarities; the losses are means over every element or row."""

import numpy as np

from ._util import sigmoid


def mse_forward(pred, target):
    """Mean squared error."""
    diff = pred - target
    return np.asarray((diff * diff).mean()), (diff, pred.dtype, target.dtype)


def mse_backward(residuals, g):
    """Gradients of mean squared error."""
    diff, pred_dtype, target_dtype = residuals
    gpred = 2.0 * g * diff / diff.size
    return gpred.astype(pred_dtype, copy=False), (-gpred).astype(target_dtype, copy=False)


def huber_forward(pred, target, delta=1.0):
    """Mean Huber loss: quadratic within delta, linear beyond."""
    diff = pred - target
    size = np.abs(diff)
    each = np.where(size <= delta, 0.5 * diff * diff, delta * (size - 0.5 * delta))
    return np.asarray(each.mean()), (diff, delta, pred.dtype, target.dtype)


def huber_backward(residuals, g):
    """Gradients of the Huber loss."""
    diff, delta, pred_dtype, target_dtype = residuals
    gpred = g / diff.size * np.clip(diff, -delta, delta)
    return gpred.astype(pred_dtype, copy=False), (-gpred).astype(target_dtype, copy=False)


def cross_entropy_forward(logits, labels, label_smoothing=0.0):
    """Mean cross entropy of logits (n, c) against integer labels (n,)."""
    rows = np.arange(logits.shape[0])
    shifted = logits - logits.max(axis=1, keepdims=True)
    logp = shifted - np.log(np.exp(shifted).sum(axis=1, keepdims=True))
    picked = (1.0 - label_smoothing) * logp[rows, labels]
    each = -picked - label_smoothing * logp.mean(axis=1)
    return np.asarray(each.mean()), (logp, labels, label_smoothing)


def cross_entropy_backward(residuals, g):
    """Gradient of cross entropy for the logits."""
    logp, labels, label_smoothing = residuals
    n, classes = logp.shape
    glogits = np.exp(logp) - label_smoothing / classes
    glogits[np.arange(n), labels] -= 1.0 - label_smoothing
    return (glogits * (g / n),)


def bce_with_logits_forward(logits, target):
    """Mean binary cross entropy of logits against targets in [0, 1]."""
    each = np.logaddexp(0.0, logits) - logits * target
    return np.asarray(each.mean()), (logits, target)


def bce_with_logits_backward(residuals, g):
    """Gradients of binary cross entropy for the logits and the targets."""
    logits, target = residuals
    scale = g / logits.size
    glogits = scale * (sigmoid(logits) - target)
    gtarget = -scale * logits
    return glogits.astype(logits.dtype, copy=False), gtarget.astype(target.dtype, copy=False)


def cosine_similarity_forward(x, y):
    """Cosine of the angle between matching last-axis vectors of x and y."""
    x_len = np.sqrt((x * x).sum(axis=-1, keepdims=True))
    y_len = np.sqrt((y * y).sum(axis=-1, keepdims=True))
    cos = (x * y).sum(axis=-1, keepdims=True) / (x_len * y_len)
    return np.asarray(cos[..., 0]), (x, y, x_len, y_len, cos)


def cosine_similarity_backward(residuals, g):
    """Gradients of cosine similarity."""
    x, y, x_len, y_len, cos = residuals
    g = np.expand_dims(g, -1)
    x_unit = x / x_len
    y_unit = y / y_len
    gx = g * (y_unit - cos * x_unit) / x_len
    gy = g * (x_unit - cos * y_unit) / y_len
    return gx.astype(x.dtype, copy=False), gy.astype(y.dtype, copy=False)
