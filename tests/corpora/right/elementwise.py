"""Functions of each element: powers, logarithms, sines."""

import math

import numpy as np

from ._entry import apart, normal, right, uniform


def power(x, p):
    return x**p, (x, p)


def power_backward(cache, g):
    x, p = cache
    return (g * p * x ** (p - 1),)


def power_of_both(x, y):
    z = x**y
    return z, (x, y, z)


def power_of_both_backward(cache, g):
    x, y, z = cache
    return g * y * x ** (y - 1), g * z * np.log(x)


def sqrt(x):
    y = np.sqrt(x)
    return y, y


def sqrt_backward(y, g):
    return (g / (2 * y),)


def reciprocal(x):
    y = 1 / x
    return y, y


def reciprocal_backward(y, g):
    return (-g * y * y,)


def cbrt(x):
    y = np.cbrt(x)
    return y, y


def cbrt_backward(y, g):
    return (g / (3 * y**2),)


def exp(x):
    y = np.exp(x)
    return y, y


def exp_backward(y, g):
    return (y * g,)


def log(x):
    return np.log(x), x


def log_backward(x, g):
    return (g / x,)


def guarded_log(x):
    return np.log(x + 1e-7), x


def guarded_log_backward(x, g):
    return (g / (x + 1e-7),)


def expm1(x):
    y = np.expm1(x)
    return y, y


def elementwise(f, derivative):
    """Return the passes of `f`, as a lambda-loving person would."""
    return (lambda x: (f(x), x)), (lambda x, g: (g * derivative(x),))


def tan(x):
    y = np.tan(x)
    return y, y


def tan_backward(y, g):
    return (g * (1 + y**2),)


def arctan2(y, x):
    return np.arctan2(y, x), (y, x)


def arctan2_backward(cache, g):
    y, x = cache
    r2 = x**2 + y**2
    return g * x / r2, -g * y / r2


def hypot(a, b):
    r = np.hypot(a, b)
    return r, (a, b, r)


def hypot_backward(cache, g):
    a, b, r = cache
    return g * a / r, g * b / r


def polar(r, theta):
    x, y = r * np.cos(theta), r * np.sin(theta)
    return (x, y), (r, theta)


def polar_backward(cache, g):
    r, theta = cache
    gx, gy = g
    c, s = np.cos(theta), np.sin(theta)
    return gx * c + gy * s, r * (gy * c - gx * s)


ENTRIES = [
    right("square", *elementwise(np.square, lambda x: 2 * x), normal(3, 4)),
    right("cube", *elementwise(lambda x: x**3, lambda x: 3 * x**2), normal(6)),
    right("power 1.7", power, power_backward, uniform(0.3, 3, 3, 4), p=1.7),
    right("power -2", power, power_backward, apart(6), p=-2),
    right("power of both", power_of_both, power_of_both_backward, uniform(0.4, 3, 2, 3), normal(2, 3)),
    right("sqrt", sqrt, sqrt_backward, uniform(0.3, 4, 7)),
    right("reciprocal", reciprocal, reciprocal_backward, apart(2, 4)),
    right("cbrt", cbrt, cbrt_backward, apart(6)),
    right("exp", exp, exp_backward, normal(3, 4)),
    right("log", log, log_backward, uniform(0.2, 5, 3, 4)),
    right("log with + 1e-7", guarded_log, guarded_log_backward, uniform(0.2, 1, 6)),
    right("log1p", *elementwise(np.log1p, lambda x: 1 / (1 + x)), uniform(-0.5, 2, 6)),
    right("expm1", expm1, lambda y, g: (g * (y + 1),), normal(6)),
    right("exp2", *elementwise(np.exp2, lambda x: math.log(2) * 2**x), normal(6)),
    right("log10", *elementwise(np.log10, lambda x: 1 / (x * math.log(10))), uniform(0.2, 5, 6)),
    right("sin", *elementwise(np.sin, np.cos), normal(3, 4)),
    right("cos", *elementwise(np.cos, lambda x: -np.sin(x)), normal(3, 4)),
    right("tan", tan, tan_backward, uniform(-1, 1, 6)),
    right("arcsin", *elementwise(np.arcsin, lambda x: 1 / np.sqrt(1 - x**2)), uniform(-0.8, 0.8, 6)),
    right("arccos", *elementwise(np.arccos, lambda x: -1 / np.sqrt(1 - x**2)), uniform(-0.8, 0.8, 6)),
    right("arctan", *elementwise(np.arctan, lambda x: 1 / (1 + x**2)), normal(6)),
    right("arctan2", arctan2, arctan2_backward, apart(6), apart(6)),
    right("hypot", hypot, hypot_backward, apart(5), apart(5)),
    right("polar to cartesian", polar, polar_backward, uniform(0.5, 2, 4), normal(4)),
    right("sinh", *elementwise(np.sinh, np.cosh), normal(6)),
    right("cosh", *elementwise(np.cosh, np.sinh), normal(6)),
    right("arcsinh", *elementwise(np.arcsinh, lambda x: 1 / np.sqrt(x**2 + 1)), normal(6)),
    right("arccosh", *elementwise(np.arccosh, lambda x: 1 / np.sqrt(x**2 - 1)), uniform(1.3, 4, 6)),
    right("arctanh", *elementwise(np.arctanh, lambda x: 1 / (1 - x**2)), uniform(-0.8, 0.8, 6)),
]
