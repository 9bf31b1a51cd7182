"""The gradient is finite wherever forward is and has a slope: no overflow, and no 0 times infinity."""

from collections.abc import Iterator

import numpy as np

from gradlab.checks.trial import Trial, quiet
from gradlab.checks.trial.large_primals import estimate_of
from gradlab.node import Array
from gradlab.numerical.estimate import Estimate
from gradlab.verdict import CheckResult, Verdict

# What an exponential no longer takes in double precision is 710, and in single precision 89.
EXTREMES = (1e3, -1e3, 1e5, -1e5)


def check(trial: Trial) -> Iterator[CheckResult]:
    """Put extreme numbers into each primal, one element and all, where forward stays finite."""
    with quiet():
        wrong = [result for there in _extremes(trial) for result in _not_finite(there)]
    yield from wrong[:1] or [CheckResult(Verdict.PASS)]


def _extremes(trial: Trial) -> Iterator[Trial]:
    primals = trial.primals()
    for i, (name, x) in enumerate(zip(trial.names, primals, strict=True)):
        if not x.size:
            continue
        for number in EXTREMES:
            one = x.copy()
            one.reshape(-1)[0] = number
            for how, changed in (
                (f"an element of {name} = {number:g}", one),
                (f"all of {name} = {number:g}", np.full_like(x, number)),
            ):
                there = trial.at(how, (*primals[:i], changed, *primals[i + 1 :]))
                if there.accepted:
                    yield there


def _not_finite(there: Trial) -> Iterator[CheckResult]:
    try:
        gradients = there.gradients(there.cotangent())
    except np.linalg.LinAlgError:
        return
    for i, (name, gradient) in enumerate(zip(there.names, gradients, strict=True)):
        lost = ~np.isfinite(gradient)
        if lost.any() and there.is_large:
            index = tuple(int(k) for k in np.unravel_index(lost.argmax(), lost.shape))
            yield from _expected(
                there, name, gradient[index], lost[index], estimate_of(there, i, index), index
            )
        elif lost.any():
            yield from _expected(there, name, gradient, lost, there.estimates[i])


def _expected(
    there: Trial, name: str, gradient: Array, lost: Array, estimate: Estimate, at: tuple[int, ...] = ()
) -> Iterator[CheckResult]:
    known = lost & np.isfinite(estimate.value) & np.isfinite(estimate.error) & ~estimate.kink
    if known.any():
        index = tuple(int(k) for k in np.argwhere(known)[0])
        how = there.sample.name.rpartition(", ")[2]
        note = f"with {how} the gradient is not finite, and forward has a slope there: avoid the overflow, or 0/0"
        yield CheckResult(
            Verdict.WRONG,
            name,
            worst_index=at or index,
            analytic=float(gradient[index]),
            numerical=float(estimate.value[index]),
            reference_error=float(estimate.error[index]),
            relative_error=float("inf"),
            note=note,
        )
