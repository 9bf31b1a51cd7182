"""The comparison of a gradient with the same gradient computed in another way: the two are equal up to rounding."""

from dataclasses import replace

import numpy as np

from gradlab.checks.trial import Trial
from gradlab.node import Array
from gradlab.verdict import CheckResult, Verdict, compare


def compare_two_gradients(trial: Trial, i: int, found: Array, expected: Array) -> CheckResult:
    """Judge a gradient that backward gave for primal `i` by the one that it gave in a plainer call.

    Both may be rounded in proportion to the terms that the gradient adds up, which the trial's estimate tells.
    """
    if found.dtype == expected.dtype and np.array_equal(found, expected):
        return CheckResult(Verdict.PASS, trial.names[i])
    expected = np.asarray(expected, dtype=np.promote_types(expected.dtype, np.float64))
    none = np.zeros_like(expected)
    estimate = replace(
        trial.estimates[i], value=expected, error=none, lower=expected, upper=expected, scale=none, unseen=0.0
    )
    return compare(found, estimate, primal=trial.names[i])
