"""Symmetric and Hermitian matrices, of which forward may read one triangle alone: an entry moves with its mirror image.

Such a gradient is half the slope of moving an entry and its mirror image together, for either of them (that of
``cholesky`` and ``eigvalsh`` in torch and JAX).
"""

from dataclasses import replace

import numpy as np

from gradlab.checks.trial import Trial
from gradlab.node import Array
from gradlab.numerical.estimate import PARTS, Estimate

# A product of a matrix and its transpose is symmetric but for its rounding.
AS_ROUNDED = 1e-6


def are_symmetric(x: Array) -> bool:
    """Return whether the matrices in the last two axes are symmetric but for rounding, and more than single numbers."""
    if x.ndim < 2 or not x.shape[-1] == x.shape[-2] > 1:
        return False
    turned = x.swapaxes(-1, -2)
    return bool(np.allclose(x, turned, rtol=0, atol=AS_ROUNDED * np.abs(x).max(initial=0.0)))


def are_hermitian(x: Array) -> bool:
    """Return whether real and imaginary parts, in the last axis, are those of Hermitian matrices, but for rounding."""
    if x.ndim < 3 or x.shape[-1] != 2 or not are_symmetric(x[..., 0]):
        return False
    imaginary = x[..., 1]
    atol = AS_ROUNDED * np.abs(x).max(initial=0.0)
    return bool(np.allclose(imaginary, -imaginary.swapaxes(-1, -2), rtol=0, atol=atol))


def keeps_symmetry(given: Trial, trial: Trial) -> bool:
    """Return whether the matrices at a trial are symmetric, or Hermitian, where the given ones are."""
    return all(
        not is_such(x) or is_such(y)
        for x, y in zip(given.sample.primals, trial.sample.primals, strict=True)
        for is_such in (are_symmetric, are_hermitian)
        if min(y.shape[:2], default=0) > 1
    )


def mirrored_entries(trial: Trial, i: int, gradient: Array) -> tuple[Array, Estimate] | None:
    """Return a gradient and the estimate that it is held to where forward reads one triangle; None where it does not.

    Who gave a symmetric matrix means one at derived primals, too. A symmetric one has a symmetric gradient. Of that of
    a Hermitian one the part counts that is Hermitian, as torch leaves another in it, along which nothing moves.
    """
    given, estimate = (trial.origin or trial).sample.primals[i], trial.estimates[i]
    if are_symmetric(given) and are_symmetric(gradient):
        axes, sign = (-1, -2), np.ones(1)
    elif are_hermitian(given):
        # the parts stand in the last axis, and the imaginary ones are mirrored with the other sign
        axes, sign = (-2, -3), np.array([1.0, -1.0])
    else:
        return None

    def turned(part: Array) -> Array:
        return np.swapaxes(part, *axes)

    n = gradient.shape[axes[0]]
    below = np.tri(n, k=-1).reshape(n, n, *[1] * (-1 - axes[0]))
    read = [(estimate.value * side != 0).any() for side in (below, turned(below))]
    if all(read) or not any(read):
        return None
    ends = [sign * turned(estimate.lower), sign * turned(estimate.upper)]
    parts = {name: (part + turned(part)) / 2 for name in PARTS for part in [getattr(estimate, name)]}
    parts |= {
        "value": (estimate.value + sign * turned(estimate.value)) / 2,
        "lower": (estimate.lower + np.minimum(*ends)) / 2,
        "upper": (estimate.upper + np.maximum(*ends)) / 2,
    }
    along = (gradient + sign * turned(gradient)) / 2
    return np.asarray(along, gradient.dtype), replace(estimate, **parts)
