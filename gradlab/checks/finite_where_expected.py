"""The gradient is finite wherever forward is finite and has a slope: no overflow, and no 0 times infinity."""

from collections.abc import Iterator

import numpy as np

from gradlab.checks.exploration.derived_inputs import smaller
from gradlab.checks.exploration.line_judgement import usual_gradient
from gradlab.checks.trial import Trial, quiet
from gradlab.checks.trial.large_primals import element_estimate
from gradlab.node import Array
from gradlab.numerical.estimate import Estimate
from gradlab.verdict import CheckResult, Verdict, largest_of

# An exponential overflows from 710 on in double precision, and from 89 on in single precision.
EXTREMES = (1e3, -1e3, 1e5, -1e5)
# A slope counts that is known to this, relative to the largest.
KNOWN = 1e-3


def check(trial: Trial) -> Iterator[CheckResult]:
    """Put extreme numbers into each primal, one element and all, where forward stays finite."""
    with quiet():
        wrong = [result for extreme in _extreme_trials(trial) for result in _faults(extreme)]
    yield from wrong[:1] or [CheckResult(Verdict.PASS)]


def _extreme_trials(given: Trial) -> Iterator[Trial]:
    trial = smaller(given) or given
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
                yield trial.at(how, (*primals[:i], changed, *primals[i + 1 :]))


def _faults(extreme: Trial) -> Iterator[CheckResult]:
    if extreme.may_not_end:
        return
    try:
        _, residuals = extreme.forward()
    except Exception:  # outside the domain
        return
    if not extreme.accepted:
        return
    try:
        gradients = extreme.well_formed(extreme.node.backward(residuals, extreme.cotangent()))
    except np.linalg.LinAlgError:
        return
    for i, (name, gradient) in enumerate(zip(extreme.names, gradients, strict=True)):
        lost = ~np.isfinite(gradient)
        if lost.any() and extreme.is_large:
            index = tuple(int(k) for k in np.unravel_index(lost.argmax(), lost.shape))
            yield from _fault_beside_slope(
                extreme, name, gradient[index], lost[index], element_estimate(extreme, i, index), index
            )
        elif lost.any():
            yield from _fault_beside_slope(extreme, name, gradient, lost, extreme.estimates[i])


def _fault_beside_slope(
    extreme: Trial, name: str, gradient: Array, lost: Array, estimate: Estimate, at: tuple[int, ...] = ()
) -> Iterator[CheckResult]:
    """Yield a fault where a gradient is lost, that is not finite, and forward has a slope without a kink."""
    size = usual_gradient(extreme.origin or extreme) + largest_of(estimate.value)
    known = lost & np.isfinite(estimate.value) & (estimate.error <= KNOWN * size) & ~estimate.kink
    if known.any():
        index = tuple(int(k) for k in np.argwhere(known)[0])
        how = extreme.sample.name.rpartition(", ")[2]
        note = f"with {how} the gradient is not finite, and forward has a slope there: avoid the overflow, or 0/0"
        yield CheckResult(
            extreme.elsewhere,
            name,
            worst_index=at or index,
            analytic=float(gradient[index]),
            numerical=float(estimate.value[index]),
            reference_error=float(estimate.error[index]),
            relative_error=float("inf"),
            note=extreme.told_elsewhere(note),
        )
