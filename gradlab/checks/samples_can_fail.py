"""For every primal there is a sample that would catch an all-zero backward."""

from collections.abc import Iterator, Sequence

import numpy as np

from gradlab.checks.trial import Trial
from gradlab.checks.trial.large_primals import catches_zeros
from gradlab.verdict import CheckResult, Verdict, compare


def check_all(trials: Sequence[Trial]) -> Iterator[tuple[Trial, CheckResult]]:
    """Judge a gradient of zeros, as if backward had returned it, over all samples of a node."""
    if trials[0].node.zero_gradient:
        yield trials[0], CheckResult(Verdict.PASS, note=f"zero by nature: {trials[0].node.zero_gradient}")
        return
    for i in range(max(len(trial.sample.primals) for trial in trials)):
        having = [trial for trial in trials if i < len(trial.sample.primals)]
        name = having[0].names[i]
        if any(_sample_catches_zeros(trial, i) for trial in having):
            yield having[0], CheckResult(Verdict.PASS, name)
            continue
        note = (
            f"a backward that returns zeros for {name} would pass on every sample: add one where it would not"
        )
        # somebody's own function is checked where its author asks, and its gradient may well be zero there
        yield (
            having[0],
            CheckResult(Verdict.WRONG if having[0].registered else Verdict.WARNING, name, note=note),
        )


def _sample_catches_zeros(trial: Trial, i: int) -> bool:
    if trial.is_large:
        return catches_zeros(trial, i)
    zeros = np.zeros_like(trial.sample.primals[i])
    return compare(zeros, trial.estimates[i], rtol=trial.rtol, atol=trial.atol).verdict is Verdict.WRONG
