"""Elementwise ops; the binary ones broadcast."""

import numpy as np

from ._util import sigmoid, unbroadcast

GELU_SCALE = float(np.sqrt(2.0 / np.pi))
GELU_CUBIC = 0.044715


def add_forward(x, y):
    """x + y."""
    return x + y, (x.shape, x.dtype, y.shape, y.dtype)


def add_backward(residuals, g):
    """Gradients of x + y."""
    x_shape, x_dtype, y_shape, y_dtype = residuals
    gx = unbroadcast(g, x_shape, x_dtype).copy()
    gy = unbroadcast(g, y_shape, y_dtype).copy()
    return gx, gy


def mul_forward(x, y):
    """x * y."""
    return x * y, (x, y)


def mul_backward(residuals, g):
    """Gradients of x * y."""
    x, y = residuals
    gx = unbroadcast(g * y, x.shape, x.dtype)
    gy = unbroadcast(g * x, y.shape, y.dtype)
    return gx, gy


def div_forward(x, y):
    """x / y."""
    return x / y, (x, y)


def div_backward(residuals, g):
    """Gradients of x / y."""
    x, y = residuals
    scaled = g / y
    gx = unbroadcast(scaled, x.shape, x.dtype)
    gy = unbroadcast(-scaled * x / y, y.shape, y.dtype)
    return gx, gy


def power_forward(x, y):
    """x ** y for x > 0."""
    out = x**y
    return out, (x, y, out)


def power_backward(residuals, g):
    """Gradients of x ** y."""
    x, y, out = residuals
    gx = unbroadcast(g * y * x ** (y - 1.0), x.shape, x.dtype)
    gy = unbroadcast(g * out * np.log(x), y.shape, y.dtype)
    return gx, gy


def maximum_forward(x, y):
    """Larger of x and y."""
    return np.maximum(x, y), (x, y)


def maximum_backward(residuals, g):
    """Gradients of maximum(x, y); a tie goes to x."""
    x, y = residuals
    from_x = x >= y
    gx = unbroadcast(np.where(from_x, g, 0.0), x.shape, x.dtype)
    gy = unbroadcast(np.where(from_x, 0.0, g), y.shape, y.dtype)
    return gx, gy


def tanh_forward(x):
    """Hyperbolic tangent."""
    out = np.tanh(x)
    return out, (out,)


def tanh_backward(residuals, g):
    """Gradient of tanh(x), from its output."""
    (out,) = residuals
    return (np.asarray(g * (1.0 - out * out)),)


def gelu_forward(x):
    """GELU, tanh approximation."""
    t = np.tanh(GELU_SCALE * (x + GELU_CUBIC * x * x * x))
    return 0.5 * x * (1.0 + t), (x, t)


def gelu_backward(residuals, g):
    """Gradient of the tanh-approximated GELU."""
    x, t = residuals
    inner = GELU_SCALE * (1.0 + 3.0 * GELU_CUBIC * x * x)
    slope = 0.5 * (1.0 + t) + 0.5 * x * (1.0 - t * t) * inner
    return (np.asarray(g * slope),)


def softplus_forward(x, beta=1.0):
    """log(1 + exp(beta * x)) / beta."""
    return np.logaddexp(0.0, beta * x) / beta, (x, beta)


def softplus_backward(residuals, g):
    """Gradient of softplus."""
    x, beta = residuals
    slope = sigmoid(beta * x)
    return (np.asarray(g * slope),)


def clip_forward(x, low=-1.0, high=1.0):
    """x limited to [low, high]."""
    return np.clip(x, low, high), (x, low, high)


def clip_backward(residuals, g):
    """Gradient of clip: g inside the range, zero outside."""
    x, low, high = residuals
    inside = (x >= low) & (x <= high)
    return (np.asarray(g * inside),)
