"""The four equations of backpropagation, each a function, and two consequences.

Examples are rows: a layer computes z = a W + b from the activations a of shape (N, D), with W of shape (D, H),
and passes on sigma(z). The error of a layer is dC/dz, the gradient of the cost by its weighted input.

Source: Nielsen, Neural Networks and Deep Learning, chapter 2, whose W is the transpose of this one, and whose
examples are columns, one at a time; for many, the sums over the rows are those of the cost.
"""

from collections.abc import Sequence
from typing import Any, NamedTuple

import numpy as np
from scipy.special import expit

from gradlab.node import Array
from gradlab.numerical.finite_difference import numerical_gradient


def output_error(cost_gradient: Array, slope: Array) -> Array:
    """Return the error of the output layer (BP1): dC/da times sigma'(z), both of shape (N, H)."""
    return cost_gradient * slope


def error_through_layer(error: Array, W: Array, slope: Array) -> Array:
    """Return the error of a layer from that of the next (BP2): error W^T times sigma'(z).

    Parameters
    ----------
    error : ndarray of shape (N, H)
        The error of the next layer.
    W : ndarray of shape (D, H)
        The weights that lead into the next layer.
    slope : ndarray of shape (N, D)
        sigma'(z) of this layer.
    """
    through: Array = (error @ W.T) * slope
    return through


def bias_gradient(error: Array) -> Array:
    """Return the gradient of a layer's bias (BP3): its error, shape (N, H), summed over the rows, shape (H,)."""
    gradient: Array = error.sum(axis=0)
    return gradient


def weight_gradient(activation: Array, error: Array) -> Array:
    """Return the gradient of a layer's weights (BP4): activation in times error out, summed over the rows.

    Parameters
    ----------
    activation : ndarray of shape (N, D)
        What the layer before passed on.
    error : ndarray of shape (N, H)
        The error of this layer.

    Returns
    -------
    ndarray of shape (D, H)
    """
    gradient: Array = activation.T @ error
    return gradient


def sigmoid_slope(z: Any) -> Array:
    """Return sigma'(z) = sigma(z) sigma(-z), to all digits also where sigma(z) rounds to 1."""
    slope: Array = expit(z) * expit(np.negative(z))
    return slope


class SlowWeight(NamedTuple):
    """A weight out of a neuron of some activation: its gradient by BP4 and by central differences."""

    activation: float
    error: float
    gradient: float
    numerical: float


class Saturation(NamedTuple):
    """A neuron that should be 0, at some weighted input: its error by BP1 and by central differences."""

    z: float
    output: float
    slope: float
    error: float
    numerical: float


def slow_weights(activations: Sequence[float] = (1.0, 0.5, 0.1, 0.01, 0.0)) -> list[SlowWeight]:
    """Return what the weights of one sigmoid neuron learn from inputs of these activations.

    The neuron's weights are 1, its bias is 0, its target is 0 and its cost (y - t)^2 / 2. All its weights share
    one error; a weight out of a low-activation neuron learns slowly, because its gradient is activation times
    error.
    """
    x, w = np.array([activations], dtype=float), np.ones((len(activations), 1))
    z = x @ w
    error = output_error(expit(z), sigmoid_slope(z))
    numerical = numerical_gradient(lambda w: np.sum(expit(x @ w) ** 2) / 2, w)
    columns = (x[0], error.repeat(x.size), weight_gradient(x, error)[:, 0], numerical[:, 0])
    return [SlowWeight(*map(float, row)) for row in zip(*columns, strict=True)]


def saturation(weighted_inputs: Sequence[float] = (0.0, 1.0, 2.0, 4.0, 8.0)) -> list[Saturation]:
    """Return the errors of sigmoid neurons whose target is 0, at these weighted inputs.

    The cost is (y - t)^2 / 2. The larger z, the more wrong the output; yet the error vanishes, because it is
    y - t times a slope that goes to 0 as exp(-z).
    """
    z = np.array(weighted_inputs, dtype=float)
    output, slope = expit(z), sigmoid_slope(z)
    numerical = numerical_gradient(lambda z: np.sum(expit(z) ** 2) / 2, z.copy())
    columns = (z, output, slope, output_error(output, slope), numerical)
    return [Saturation(*map(float, row)) for row in zip(*columns, strict=True)]
