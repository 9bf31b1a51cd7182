"""Forward gives the outputs of an independent implementation."""

from collections.abc import Iterator

import numpy as np

from gradlab.checks.trial import Trial
from gradlab.node import as_tuple
from gradlab.numerical.estimate import exact_estimate
from gradlab.verdict import CheckResult, Verdict, compare


def check(trial: Trial) -> Iterator[CheckResult]:
    """Compare every output with the reference's; yield nothing where the node has no reference."""
    if trial.node.reference is None:
        return
    outputs = as_tuple(trial.output)
    expected = as_tuple(trial.node.reference(*trial.primals(), **trial.settings()))
    for i, (y, y0) in enumerate(zip(outputs, expected, strict=True)):
        name = "output" if len(outputs) == 1 else f"output {i}"
        if np.shape(y) != np.shape(y0):
            note = f"forward gives shape {np.shape(y)}, the reference {np.shape(y0)}: return the reference's shape"
            yield CheckResult(Verdict.WRONG, name, note=note)
        else:
            reference = exact_estimate(np.asarray(y0, dtype=np.float64))
            yield compare(np.asarray(y), reference, rtol=trial.rtol, atol=trial.atol, primal=name)
