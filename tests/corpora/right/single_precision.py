"""Layers in single precision."""

import numpy as np

from ._entry import normal, right, uniform
from .activations import gelu, gelu_backward, sigmoid, sigmoid_backward, softmax, softmax_backward
from .arithmetic import linear, linear_backward
from .attention import attention, attention_backward
from .elementwise import power, power_backward
from .losses import cross_entropy, cross_entropy_backward, mse, mse_backward
from .normalisation import layer_norm, layer_norm_backward
from .objectives import least_squares, least_squares_backward

SINGLE = np.float32

ENTRIES = [
    right("linear, single", linear, linear_backward, normal(4, 3), normal(3, 5), normal(5), dtype=SINGLE),
    right("sigmoid, single", sigmoid, sigmoid_backward, normal(3, 4), dtype=SINGLE),
    right("softmax, single", softmax, softmax_backward, normal(3, 4), dtype=SINGLE),
    right("gelu, single", gelu, gelu_backward, normal(3, 4), dtype=SINGLE),
    right(
        "layer norm, single",
        layer_norm,
        layer_norm_backward,
        normal(3, 5),
        normal(5),
        normal(5),
        dtype=SINGLE,
    ),
    right("mse, single", mse, mse_backward, normal(3, 4), normal(3, 4), dtype=SINGLE),
    right(
        "attention, single",
        attention,
        attention_backward,
        normal(3, 4),
        normal(5, 4),
        normal(5, 2),
        dtype=SINGLE,
    ),
    right(
        "cross entropy, single",
        cross_entropy,
        cross_entropy_backward,
        normal(4, 3),
        dtype=SINGLE,
        labels=np.array([2, 0, 1, 1]),
    ),
    right("least squares, single", least_squares, least_squares_backward, normal(3), dtype=SINGLE),
    right("square of 1e6, single", power, power_backward, uniform(1e6, 5e6, 5), dtype=SINGLE, p=2),
]
