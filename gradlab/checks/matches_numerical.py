"""Backward gives what finite differences of forward give, for a random cotangent."""

from collections.abc import Iterator

from gradlab.checks._trial import Trial
from gradlab.compare import CheckResult, compare


def check(trial: Trial) -> Iterator[CheckResult]:
    """Compare the gradient of every primal with its numerical estimate."""
    gradients = trial.gradients(trial.cotangent())
    for name, gradient, estimate in zip(trial.names, gradients, trial.estimates, strict=True):
        yield compare(gradient, estimate, rtol=trial.rtol, atol=trial.atol, primal=name)
