"""The comparison of a gradient with the same gradient computed in another way: the two are equal up to rounding."""

from collections.abc import Sequence
from dataclasses import replace
from typing import Any

import numpy as np

from gradlab.checks.trial import Trial, map_arrays, quiet
from gradlab.checks.trial.large_primals import size_of_terms
from gradlab.node import Array, named_rng
from gradlab.verdict import CheckResult, Verdict, atol_for, compare, largest_of

# The primals are moved by so many ulps, so many times, to see how far their rounding alone moves the gradients; and two
# gradients may be so many times further apart, since another order of operations rounds more than once.
MOVED_ULPS, DRAWS, FURTHER = 2, 2, 32
# What rounding moves is moved further by moves that are so many times larger: at least so many times as far.
LARGER, JUMP = 2**10, 16
# A move of a gradient by this part of the largest, and of the outputs, is no jump.
RESIDUE = 1e-9


def compare_two_gradients(
    trial: Trial,
    i: int,
    found: Array,
    expected: Array,
    *,
    point: Trial | None = None,
    g: Any = None,
    eps: float | None = None,
) -> CheckResult:
    """Judge a gradient that backward gave for primal `i` by the one that it gave in a plainer call.

    Both may be rounded in proportion to the terms that the gradient adds up, which the trial's estimate tells, and to
    the conditioning of the point: where the rounding of the primals alone moves a gradient, two right ones differ.

    Parameters
    ----------
    trial : Trial
    i : int
    found, expected : ndarray
    point : Trial, optional
        The trial at whose primals both were computed; by default `trial`.
    g : ndarray or tuple, optional
        Their cotangent; by default that of `point`.
    eps : float, optional
        How much rounding moves a primal, relative to it; by default by the precision of its dtype.
    """
    if found.dtype == expected.dtype and np.array_equal(found, expected):
        return CheckResult(Verdict.PASS, trial.names[i])
    expected = np.asarray(expected, dtype=np.promote_types(expected.dtype, np.float64))
    none = np.zeros_like(expected)
    estimate = replace(
        trial.estimates[i], value=expected, error=none, lower=expected, upper=expected, scale=none, unseen=0.0
    )
    result = compare(found, estimate, primal=trial.names[i])
    if result.verdict is Verdict.WRONG and trial.noise:
        result = compare(
            found, estimate, atol=atol_for(estimate, found.dtype) + trial.noise, primal=trial.names[i]
        )
    if result.verdict is not Verdict.WRONG:
        return result
    point = trial if point is None else point
    rounding = rounding_of_gradients(point, point.cotangent() if g is None else g, eps)
    if rounding is None:
        return result
    allowed = atol_for(estimate, found.dtype) + rounding[i] + trial.noise
    return compare(found, estimate, atol=allowed, primal=trial.names[i])


def rounding_of_gradients(trial: Trial, g: Any, eps: float | None = None) -> list[Array] | None:
    """Return how far apart two right gradients may be by the rounding of what goes in; None where nothing tells.

    A gradient that jumps, as at a tie, moves as far for larger moves: that is no rounding, and counts as not moved.
    Unless it moves by next to nothing: where terms cancel, what is left of their rounding is of one size for all moves.
    """
    with quiet():
        try:
            here = trial.gradients(g)
            near, far = (_moved_by(trial, g, here, ulps, eps) for ulps in (MOVED_ULPS, LARGER * MOVED_ULPS))
        except Exception:
            return None
    # of a gradient of which all cancels, as behind a mean of one number, only the outputs tell a size
    usual = size_of_terms(trial) + max(largest_of(d) for d in here)
    return [
        FURTHER * np.where((JUMP * a <= b) | (a <= RESIDUE * usual), a, 0.0)
        for a, b in zip(near, far, strict=True)
    ]


def _moved_by(trial: Trial, g: Any, here: Sequence[Array], ulps: float, eps: float | None) -> list[Array]:
    """Return how far each gradient moves at most if every element of primals and cotangent moves by so many ulps."""
    rng = named_rng(trial.seed, trial.node.name, trial.sample.name, "rounding")
    moved = [np.zeros(d.shape) for d in here]

    def moved_by_ulps(x: Array) -> Array:
        ulp = np.finfo(x.dtype).eps if eps is None else eps
        return np.asarray(x * (1 + ulps * ulp * rng.choice([-1, 1], x.shape)), x.dtype)

    for draw in range(DRAWS):
        primals = [moved_by_ulps(x) for x in trial.sample.primals]
        there = trial.at(f"moved by {ulps} ulps of {eps}, {draw}", primals).gradients(
            map_arrays(moved_by_ulps, g)
        )
        apart = (np.nan_to_num(np.abs(a - b), nan=0.0) for a, b in zip(there, here, strict=True))
        moved = [np.maximum(m, d) for m, d in zip(moved, apart, strict=True)]
    return moved
