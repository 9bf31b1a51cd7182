"""Outputs that nobody used: no cotangent counts as one of zeros, and the gradients of all outputs add up."""

from collections.abc import Callable, Iterator, Sequence

import numpy as np

from gradlab.adapters.framework.leaves import first_line
from gradlab.checks import Check, Trial
from gradlab.checks.trial.gradient_comparison import compare_two_gradients
from gradlab.node import Array, as_tuple
from gradlab.verdict import CheckResult, Verdict

NAME = "unused_outputs"
# ``gradients(trial, used, g)``: those where output `used` alone is used, with this cotangent.
Gradients = Callable[[Trial, int, Array], Sequence[Array]]


def unused_outputs(gradients: Gradients) -> Check:
    """Return the check of outputs that nobody used."""

    def run(trials: Sequence[Trial]) -> Iterator[tuple[Trial, CheckResult]]:
        return ((trial, result) for trial in trials for result in _judged(trial, gradients))

    return Check(run, needs_all_samples=False)


def _judged(trial: Trial, gradients: Gradients) -> Iterator[CheckResult]:
    cotangents = as_tuple(trial.cotangent())
    if len(cotangents) < 2:
        return
    cure = "allow for None, or for zeros, among the cotangents"
    total = [np.zeros_like(d) for d in trial.own_gradients]
    for used, g in enumerate(cotangents):
        parts = tuple(part if i == used else np.zeros_like(part) for i, part in enumerate(cotangents))
        expected = trial.gradients(parts)
        where = f"only output {used} is used"
        try:
            found = gradients(trial, used, g)
        except Exception as error:
            yield CheckResult(Verdict.WRONG, note=f"raised {first_line(error)} where {where}: {cure}")
            return
        wrong = _first_wrong(trial, found, expected)
        if wrong:
            note = f"another gradient than for a cotangent of zeros where {where}: {cure}"
            yield CheckResult(Verdict.WRONG, wrong.primal, note=note)
            return
        total = [a + b for a, b in zip(total, found, strict=True)]
    wrong = _first_wrong(trial, total, trial.own_gradients)
    if wrong:
        note = f"the gradients for each output alone do not add up to those for all of them: {cure}"
        yield CheckResult(Verdict.WRONG, wrong.primal, note=note)
        return
    yield CheckResult(Verdict.PASS)


def _first_wrong(trial: Trial, found: Sequence[Array], expected: Sequence[Array]) -> CheckResult | None:
    results = (
        compare_two_gradients(trial, i, a, b) for i, (a, b) in enumerate(zip(found, expected, strict=True))
    )
    return next((result for result in results if result.verdict is Verdict.WRONG), None)
