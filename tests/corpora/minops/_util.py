"""Shape helpers shared by the op modules."""

import numpy as np


def unbroadcast(grad, shape, dtype):
    """Sum grad over the axes that broadcasting added or stretched, back to shape."""
    grad = np.asarray(grad)
    lead = grad.ndim - len(shape)
    if lead:
        grad = grad.sum(axis=tuple(range(lead)))
    stretched = tuple(i for i, n in enumerate(shape) if n == 1 and grad.shape[i] != 1)
    if stretched:
        grad = grad.sum(axis=stretched, keepdims=True)
    return np.asarray(grad, dtype=dtype)


def restore_axes(a, ndim, axis, keepdims):
    """Put reduced axes back with length 1, so that a broadcasts against the input."""
    a = np.asarray(a)
    if keepdims:
        return a
    if axis is None:
        return a.reshape((1,) * ndim)
    return np.expand_dims(a, axis)


def reduced_size(shape, axis):
    """Number of input elements that go into each output element of a reduction."""
    if axis is None:
        return int(np.prod(shape))
    axes = (axis,) if isinstance(axis, int) else axis
    return int(np.prod([shape[i] for i in axes]))


def sigmoid(x):
    """Logistic function that overflows for no finite input."""
    e = np.exp(-np.abs(x))
    return np.where(x >= 0, 1.0, e) / (1.0 + e)
