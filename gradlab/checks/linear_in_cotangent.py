"""Backward is linear in the cotangent: B(2 g1 - 3 g2) = 2 B(g1) - 3 B(g2), and B(0) = 0."""

from collections.abc import Iterator

import numpy as np

from gradlab.checks._trial import Trial, map_arrays
from gradlab.compare import ATOL_ULPS, CheckResult, compare
from gradlab.estimate import Estimate, exact
from gradlab.node import as_tuple


def check(trial: Trial) -> Iterator[CheckResult]:
    """Compare the gradients of a combination of two cotangents with the combination of their gradients."""
    first, second = trial.cotangent("first"), trial.cotangent("second")
    several = isinstance(first, tuple)
    combined = tuple(2 * a - 3 * b for a, b in zip(as_tuple(first), as_tuple(second), strict=True))
    together = trial.gradients(combined if several else combined[0])
    apart = zip(trial.gradients(first), trial.gradients(second), strict=True)
    zero = trial.gradients(map_arrays(np.zeros_like, first))
    for name, total, (a, b), nothing in zip(trial.names, together, apart, zero, strict=True):
        # the two sides round differently where terms cancel: by a few ulps of the terms, not of their sum
        rounding = ATOL_ULPS * np.finfo(total.dtype).eps * (np.abs(2 * a) + np.abs(3 * b))
        expected = np.asarray(2 * a - 3 * b)
        estimate = Estimate(
            expected, np.asarray(rounding), 0, expected, expected, np.abs(expected), np.abs(expected)
        )
        yield compare(total, estimate, rtol=trial.rtol, atol=trial.atol, primal=name)
        yield compare(nothing, exact(np.zeros_like(nothing)), rtol=0.0, atol=0.0, primal=name)
