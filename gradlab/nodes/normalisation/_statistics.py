"""What every normalisation needs: numbers shifted and scaled to mean 0 and variance 1."""

import math

import numpy as np

from gradlab.node import Array


def standardised(x: Array, axes: tuple[int, ...], eps: float) -> tuple[Array, Array]:
    """Return (x - mean) / sqrt(variance + eps), statistics over `axes`, and the factor 1 / sqrt(variance + eps)."""
    u, scale = centred_and_scale(x, axes, eps)
    u *= scale
    return u, scale


def centred_and_scale(x: Array, axes: tuple[int, ...], eps: float) -> tuple[Array, Array]:
    """Return x - mean, statistics over `axes`, and 1 / sqrt(variance + eps).

    Raises
    ------
    ValueError
        If `eps` is not above 0, or there are no numbers to take statistics of.
    """
    count = math.prod(x.shape[a] for a in axes)
    if not count:
        raise ValueError(
            f"x has shape {x.shape}, so there are no statistics: give at least one number for each"
        )
    centred = x - x.mean(axis=axes, keepdims=True)
    return centred, inverse_root(sum_product(centred, centred, axes) / count, eps)


def sum_product(a: Array, b: Array, axes: tuple[int, ...]) -> Array:
    """Return the sum of ``a * b`` over `axes`, which are kept with length 1; no array holds all products."""
    kept = [k for k in range(a.ndim) if k not in axes and k - a.ndim not in axes]
    total = np.einsum(a, range(a.ndim), b, range(b.ndim), kept)
    return np.reshape(total, [a.shape[k] if k in kept else 1 for k in range(a.ndim)])


def inverse_root(variance: Array, eps: float) -> Array:
    """Return 1 / sqrt(variance + eps), or raise a `ValueError` if `eps` is not above 0."""
    if not eps > 0:
        raise ValueError(f"eps is {eps}: give a number above 0, so that equal numbers are not divided by 0")
    root: Array = np.sqrt(variance + eps)
    return 1 / root


def check_features(x: Array, **parameters: Array) -> None:
    """Raise a `ValueError` unless every parameter has one number for each place along the last axis of `x`."""
    if x.ndim < 1:
        raise ValueError("x has no axes: give rows of features, along the last axis")
    check_parameters(x.shape[-1], **parameters)


def check_parameters(count: int, **parameters: Array) -> None:
    """Raise a `ValueError` unless every parameter has one number for each of `count` channels or features."""
    for name, values in parameters.items():
        if values.shape != (count,):
            raise ValueError(f"{name} has shape {values.shape}: give shape ({count},), as x has it")


def along_channels(parameter: Array, ndim: int) -> Array:
    """Return one number per channel in a shape that broadcasts along axis 1 of `ndim` axes."""
    return parameter.reshape(len(parameter), *[1] * (ndim - 2))


def axes_but_channels(x: Array) -> tuple[int, ...]:
    """Return all axes of `x` but axis 1, or raise a `ValueError` if it has no axis 1."""
    if x.ndim < 2:
        raise ValueError(f"x has shape {x.shape}: give (N, C) or (N, C, ...)")
    return 0, *range(2, x.ndim)
