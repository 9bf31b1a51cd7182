"""The search for a fault beyond the given primals, and for the smallest primals that show it."""

import re
from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from typing import Any

import numpy as np

from gradlab.checks.exploration.derived_inputs import derived_trials
from gradlab.checks.exploration.smallest_inputs import shrink
from gradlab.checks.trial import ContractError, Trial, quiet
from gradlab.verdict import CheckResult, Verdict

CheckElsewhere = Callable[[Trial], Iterator[CheckResult]]


@dataclass(frozen=True)
class ExploredFault:
    """A fault at derived primals: how these were derived, the trial of the smallest that show it, and the result."""

    how: str
    trial: Trial
    result: CheckResult


def explore(
    trial: Trial, check: CheckElsewhere, *, shrinking: bool = True
) -> tuple[list[str], ExploredFault | None]:
    """Run a check at the trials derived from a trial, one after the other, until it finds a fault.

    Returns
    -------
    tried : list of str
        How the primals were derived at which the check was run.
    found : ExploredFault or None
        The first fault. An undecided result is none: nobody chose these primals.
    """
    tried = []
    with quiet():
        for how, trials, guessed in derived_trials(trial):
            tried.append(how)
            fault = first_fault(trials[0], check)
            if fault is None:
                continue
            # where backward cannot compute at all, the guess is to blame if these primals are a guess, or if backward
            # is right with other arrays in the batch
            if not _is_wrong_value(fault) and (
                guessed or any(first_fault(t, check) is None for t in trials[1:])
            ):
                continue
            return tried, _shrunk(trial, how, trials[0], fault, check) if shrinking else ExploredFault(
                how, trials[0], fault
            )
    return tried, None


def _shrunk(
    given: Trial, how: str, derived: Trial, fault: CheckResult, check: CheckElsewhere
) -> ExploredFault:
    def fails(trial: Trial) -> bool:
        found = first_fault(trial, check)
        alike = found is not None and _is_wrong_value(found) == _is_wrong_value(fault)
        return alike and found is not None and found.primal == fault.primal

    # under the given sample's name the cotangent is the one that a test with these primals draws
    renamed = replace(derived, sample=replace(derived.sample, name=given.sample.name), witness=None)
    smallest = shrink(renamed if fails(renamed) else derived, fails)
    return ExploredFault(how, smallest, first_fault(smallest, check) or fault)


def first_fault(trial: Trial, check: CheckElsewhere) -> CheckResult | None:
    """Return the first fault that a check finds at a trial; an exception from the node is a fault, too.

    Except for a matrix that cannot be inverted: where backward says so in the library's own words, it was asked for a
    gradient that it does not claim to have.
    """
    try:
        return next((result for result in check(trial) if result.verdict is Verdict.WRONG), None)
    except np.linalg.LinAlgError:
        return None
    except ContractError as error:
        return CheckResult(Verdict.WRONG, note=str(error))
    except Exception as error:
        return CheckResult(Verdict.WRONG, note=f"raised {type(error).__name__}: {error}")


def _is_wrong_value(fault: CheckResult | None) -> bool:
    return fault is not None and fault.analytic is not None


def as_python(trial: Trial, changed_settings: bool) -> str:
    """Return the primals, and the settings where they were changed, as Python to paste into a test.

    Of large primals only the shapes: nobody pastes a million numbers.
    """
    if trial.is_large:
        shapes = (
            f"{name} of shape {x.shape}" for name, x in zip(trial.names, trial.sample.primals, strict=True)
        )
        return f"{', '.join(shapes)}, too large to print"
    parts = [f"{name} = {_literal(x)}" for name, x in zip(trial.names, trial.sample.primals, strict=True)]
    if changed_settings:
        parts += [f"{name} = {_literal(value)}" for name, value in trial.sample.settings.items()]
    return "; ".join(parts)


def _literal(value: Any) -> str:
    if not isinstance(value, np.ndarray):
        return repr(value)
    dtype = "" if value.dtype in (np.float64, np.int64) else f", dtype=np.{value.dtype.name}"
    shape = "" if value.size else f".reshape{value.shape}"
    numbers = re.sub(r"\b(inf|nan)\b", r"np.\1", repr(value.tolist()))
    return f"np.array({numbers}{dtype}){shape}"
