"""Every gradient is an array of its primal's shape and dtype, and there is one for each primal."""

from collections.abc import Iterator

import numpy as np

from gradlab.checks.trial import Trial
from gradlab.checks.trial.observed_run import ObservedRun
from gradlab.verdict import CheckResult, Verdict


def check(trial: Trial) -> Iterator[CheckResult]:
    """Compare number and shapes (by way of `Trial.gradients`), then dtypes."""
    for name, x, gradient in zip(trial.names, trial.sample.primals, trial.own_gradients, strict=True):
        if gradient.dtype == x.dtype:
            yield CheckResult(Verdict.PASS, name)
        else:
            note = f"the gradient of {name} is {np.dtype(gradient.dtype)}, {name} is {x.dtype}: keep the primal's dtype"
            yield CheckResult(trial.breach, name, note=note)


check_elsewhere = check


def is_clear(run: ObservedRun) -> bool:
    """Return whether every gradient of a run has its primal's dtype: its shape it has, or there would be no run."""
    return all(
        gradient.dtype == x.dtype for gradient, x in zip(run.returned, run.trial.sample.primals, strict=True)
    )
