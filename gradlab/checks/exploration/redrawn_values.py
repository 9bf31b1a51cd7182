"""Primals like the given ones: other numbers of the same signs and range, with what shows of their structure kept."""

import numpy as np

from gradlab.checks.trial.mirrored_entries import are_hermitian, are_symmetric
from gradlab.node import Array

# How far the numbers go towards those between which they are drawn: a domain that no number shows by itself, as where a
# sum of products must be positive, is left by nobody who stays near.
SHARE = 0.25
# Rows that add up to 1 to within this are probabilities.
OF_ONE = 1e-6


def redrawn(x: Array, rng: np.random.Generator) -> Array:
    """Return an array of other numbers, each moved some way towards others in `x` of the same sign; zeros stay.

    Whole numbers stay whole, rows that add up to 1 still do, what is in order stays in order, and symmetric matrices
    stay symmetric, and positive definite if they are, as do Hermitian ones, whose parts stand in the last axis.
    """
    if are_symmetric(x):
        order = rng.permutation(x.shape[-1])
        return np.asarray((1 - SHARE) * x + SHARE * x[..., order, :][..., order], x.dtype)
    if are_hermitian(x):
        order = rng.permutation(x.shape[-2])
        return np.asarray((1 - SHARE) * x + SHARE * x[..., order, :, :][..., order, :], x.dtype)
    new = _between_others(x, rng)
    if _are_shares(x):
        return np.asarray(new / new.sum(axis=-1, keepdims=True), x.dtype)
    steps = np.diff(x) if x.ndim == 1 else np.empty(0)
    if steps.size and ((steps > 0).all() or (steps < 0).all()):
        return np.sort(new)[:: 1 if steps[0] > 0 else -1].copy()
    return new


def _between_others(x: Array, rng: np.random.Generator) -> Array:
    new = x.copy()
    for sign in (1, -1):
        own = np.sign(x) == sign
        values = x[own]
        if not values.size:
            continue
        if (values == np.rint(values)).all():
            # in another order: drawn again some would be equal, where there may be no ties
            new[own] = rng.permutation(values)
        elif np.ptp(values) == 0:
            # of one number alone only the size is known
            new[own] = values * rng.uniform(0.75, 1, values.size)
        else:
            a, b = (rng.choice(values, values.size) for _ in range(2))
            share = rng.uniform(0, 1, values.size)
            new[own] = (1 - SHARE) * values + SHARE * (share * a + (1 - share) * b)
    return new


def _are_shares(x: Array) -> bool:
    """Return whether every row along the last axis holds probabilities."""
    several = x.ndim > 0 and x.shape[-1] > 1
    return bool(several and (x >= 0).all() and (np.abs(x.sum(axis=-1) - 1) <= OF_ONE).all())
