"""Gradients that are zero, tiny or huge, at primals of any size."""

import numpy as np

from ._entry import fixed, normal, right, uniform
from .activations import softmax, softmax_backward
from .arithmetic import multiply, multiply_backward
from .elementwise import (
    elementwise,
    exp,
    exp_backward,
    guarded_log,
    guarded_log_backward,
    log,
    log_backward,
    power,
    power_backward,
    reciprocal,
    reciprocal_backward,
    sqrt,
    sqrt_backward,
)
from .losses import mse, mse_backward
from .products import batched_matmul_backward, matmul


def step_count(x):
    return np.floor(x), None


def step_count_backward(_, g):
    return (np.zeros_like(g),)


def sum_of_softmax(x):
    p, _ = softmax(x)
    return p.sum(axis=-1), p


def sum_of_softmax_backward(p, g):
    return softmax_backward((p, -1), np.ones_like(p) * g[:, None])


def faint_sine(x):
    return 1e-12 * np.sin(x), x


def faint_sine_backward(x, g):
    return (1e-12 * np.cos(x) * g,)


def loud_square(x):
    return 1e12 * x**2, x


def loud_square_backward(x, g):
    return (2e12 * x * g,)


def offset_sine(x):
    return 1e8 + np.sin(x).sum(), x


def offset_sine_backward(x, g):
    return (g * np.cos(x),)


def columns_in_units(x, units):
    y = x / units
    return np.tanh(y), (y, units, x.dtype)


def columns_in_units_backward(cache, g):
    y, units, dtype = cache
    return ((g * (1 - np.tanh(y) ** 2) / units).astype(dtype),)


ENTRIES = [
    right("floor", step_count, step_count_backward, fixed([0.3, -1.6, 2.5])),
    right("sum of a softmax", sum_of_softmax, sum_of_softmax_backward, normal(3, 4)),
    right("gradients of 1e-12", faint_sine, faint_sine_backward, normal(6)),
    right("gradients of 1e12", loud_square, loud_square_backward, normal(6)),
    right("a large offset", offset_sine, offset_sine_backward, normal(6)),
    right("log of 1e-6", log, log_backward, uniform(1e-6, 5e-6, 5)),
    right("log with + 1e-7 of 1e-6", guarded_log, guarded_log_backward, uniform(1e-6, 5e-6, 5)),
    right("reciprocal of 1e-6", reciprocal, reciprocal_backward, uniform(1e-6, 5e-6, 5)),
    right("cube of 1e-6", *elementwise(lambda x: x**3, lambda x: 3 * x**2), uniform(1e-6, 5e-6, 5)),
    right("square of 1e6", power, power_backward, uniform(1e6, 5e6, 5), p=2),
    right("sqrt of 1e6", sqrt, sqrt_backward, uniform(1e6, 5e6, 5)),
    right("mse of 1e6", mse, mse_backward, uniform(1e6, 2e6, 5), uniform(3e6, 4e6, 5)),
    right(
        "matmul of 1e-6 and 1e6",
        matmul,
        batched_matmul_backward,
        normal(3, 4, scale=1e-6),
        normal(4, 2, scale=1e6),
    ),
    right(
        "product of 1e-12 and 1e12",
        multiply,
        multiply_backward,
        normal(5, scale=1e-12),
        normal(5, scale=1e12),
    ),
    right(
        "columns in their own units",
        columns_in_units,
        columns_in_units_backward,
        fixed([[0.5e-6, 0.3, 1.2e6], [-0.7e-6, 1.1, 0.4e6]]),
        units=np.array([1e-6, 1.0, 1e6]),
    ),
    right("exp from -25 to 25", exp, exp_backward, fixed([-25.0, -10.0, 0.5, 12.0, 25.0])),
]
