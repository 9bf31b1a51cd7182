"""Looks for a fault beyond the primals that were given, and shrinks what shows it."""

import re
from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from typing import Any

import numpy as np

from gradlab.checks.exploration.derived_inputs import derived
from gradlab.checks.exploration.smallest_inputs import shrink
from gradlab.checks.trial import ContractError, Trial, quiet
from gradlab.verdict import CheckResult, Verdict

CheckElsewhere = Callable[[Trial], Iterator[CheckResult]]


@dataclass(frozen=True)
class ExploredFault:
    """A fault at derived primals: how they were derived, the smallest that show it, and what the check says there."""

    how: str
    trial: Trial
    result: CheckResult


def explore(
    trial: Trial, check: CheckElsewhere, *, shrinking: bool = True
) -> tuple[list[str], ExploredFault | None]:
    """Run a check at everything derived from a trial, until it finds a fault.

    Returns
    -------
    looked : list of str
        How the primals were derived at which it looked.
    found : ExploredFault or None
        The first fault. What is undecided there is nobody's fault: nobody chose these primals.
    """
    looked = []
    with quiet():
        for how, trials, guessed in derived(trial):
            looked.append(how)
            fault = first_fault(trials[0], check)
            if fault is None:
                continue
            # which arrays belong to the batch is a guess: what the backward cannot compute at all was a wrong
            # guess if it is right at the next
            if not _is_of_value(fault) and (
                guessed or any(first_fault(t, check) is None for t in trials[1:])
            ):
                continue
            return looked, _shrunk(trial, how, trials[0], fault, check) if shrinking else ExploredFault(
                how, trials[0], fault
            )
    return looked, None


def _shrunk(given: Trial, how: str, there: Trial, fault: CheckResult, check: CheckElsewhere) -> ExploredFault:
    def fails(trial: Trial) -> bool:
        found = first_fault(trial, check)
        alike = found is not None and _is_of_value(found) == _is_of_value(fault)
        return alike and found is not None and found.primal == fault.primal

    # under the given sample's name the cotangent is the one that a test with these primals draws
    renamed = replace(there, sample=replace(there.sample, name=given.sample.name), witness=None)
    smallest = shrink(renamed if fails(renamed) else there, fails)
    return ExploredFault(how, smallest, first_fault(smallest, check) or fault)


def first_fault(trial: Trial, check: CheckElsewhere) -> CheckResult | None:
    """Return the first fault that a check finds at a trial; what a node raises is one.

    Not so a matrix that cannot be inverted: where backward says so in the library's own words, it has been asked
    for what it does not claim to have.
    """
    try:
        return next((result for result in check(trial) if result.verdict is Verdict.WRONG), None)
    except np.linalg.LinAlgError:
        return None
    except ContractError as error:
        return CheckResult(Verdict.WRONG, note=str(error))
    except Exception as error:
        return CheckResult(Verdict.WRONG, note=f"raised {type(error).__name__}: {error}")


def _is_of_value(fault: CheckResult | None) -> bool:
    return fault is not None and fault.analytic is not None


def as_python(trial: Trial, changed_settings: bool) -> str:
    """Return the primals, and the settings where they were changed, as Python to paste into a test.

    Of large ones only the shapes: nobody pastes a million numbers.
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
