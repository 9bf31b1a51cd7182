"""The search for a fault beyond the given primals, and for the smallest primals that show it."""

import re
from collections.abc import Callable, Iterator
from contextlib import nullcontext
from dataclasses import dataclass, replace
from functools import partial
from typing import Any

import numpy as np

from gradlab.checks.exploration.derived_inputs import Derivation, DerivedTrials, derivation, derived_trials
from gradlab.checks.exploration.line_judgement import (
    UNTOLD,
    judge_along_lines,
    judge_primal_along_lines,
    usual_gradient,
)
from gradlab.checks.exploration.smallest_inputs import READABLE, shrink
from gradlab.checks.trial import Trial, error_text, quiet
from gradlab.checks.trial.interruptible import within
from gradlab.checks.trial.large_primals import size_of_terms
from gradlab.checks.trial.mirrored_entries import keeps_symmetry
from gradlab.node import Array
from gradlab.verdict import CheckResult, Verdict

CheckElsewhere = Callable[[Trial], Iterator[CheckResult]]
# A gradient that is so many times as large as any at the given primals was taken beside a pole.
POLE = 1e6
# How much of what is left the search for smaller primals leaves for the diagnosis.
FOR_THE_DIAGNOSIS = 0.5


@dataclass(frozen=True)
class ExploredFault:
    """A fault at derived primals: how these were derived, the trial of the smallest that show it, and the result.

    `meant` says that the function is plainly meant for primals that are derived so.
    """

    how: str
    trial: Trial
    result: CheckResult
    meant: bool


@dataclass(frozen=True)
class Exploration:
    """What a check found beyond the given primals.

    Attributes
    ----------
    tried : list of str
        How the primals were derived at which the check was run.
    found : ExploredFault or None
        The first fault. An undecided result is none: nobody chose these primals.
    cut : str
        What the budget did not last for; empty if it did.
    """

    tried: list[str]
    found: ExploredFault | None = None
    cut: str = ""


def explore(
    trial: Trial,
    check: CheckElsewhere,
    *,
    is_clear: Callable[[Trial], bool] | None = None,
    shrinking: bool = True,
    of_values: bool = False,
) -> Exploration:
    """Run a check at the trials derived from a trial, one after the other, until it finds a fault.

    What takes more than its share of the trial's budget is interrupted, and left out; where the budget is spent, the
    search ends.

    Parameters
    ----------
    trial : Trial
    check : callable
    is_clear : callable, optional
        ``is_clear(trial)`` returns whether it is known already that the check finds nothing at a trial.
    shrinking : bool
        Whether to look for the smallest primals that show a fault.
    of_values : bool
        Whether the check compares a primal's gradient with forward's slopes, so that lines tell most of it.
    """
    budget, known, by_lines = trial.budget, derivation(trial.witness or trial), of_values and shrinking

    def look(derived: DerivedTrials, by_lines: bool = False) -> CheckResult | None:
        clear = is_clear is not None and is_clear(derived.trials[0])
        return None if clear else _fault_at(derived, check, by_lines)

    tried: list[str] = []
    with quiet():
        for derived in derived_trials(trial):
            if budget and budget.is_spent:
                break
            fault = within(budget, partial(look, derived, by_lines), UNTOLD)
            if fault and _lies_at_a_pole(trial, fault):
                tried.append(derived.how)
                continue
            if fault and by_lines and _is_wrong_value(fault):
                found, cut = _smallest(trial, derived, fault, check, by_lines)
                if found:
                    return Exploration([*tried, derived.how], found, cut)
                # lines may reject what the check passes
                fault = within(budget, partial(look, derived), UNTOLD)
            if fault is UNTOLD:
                known.left += [] if budget and budget.is_spent else [derived.how]
                continue
            tried.append(derived.how)
            if fault:
                found, cut = _smallest(trial, derived, fault, check) if shrinking else (None, "")
                return Exploration(
                    tried, found or ExploredFault(derived.how, derived.trials[0], fault, derived.meant), cut
                )
    return Exploration(tried, None, _cut(known, len(tried)))


def _fault_at(derived: DerivedTrials, check: CheckElsewhere, by_lines: bool = False) -> CheckResult | None:
    """Return the fault that counts at derived trials; with `by_lines` one that lines tell, where they tell anything."""
    told = judge_along_lines(derived.trials[0]) if by_lines else UNTOLD
    if told is not UNTOLD:
        return None if told.verdict is Verdict.PASS else told
    fault = first_fault(derived.trials[0], check)
    # where backward cannot compute at all, the guess is to blame if these primals are a guess, or if backward is right
    # with other arrays in the batch
    excused = (
        fault is not None
        and not _is_wrong_value(fault)
        and (derived.guessed or any(first_fault(t, check) is None for t in derived.trials[1:]))
    )
    return None if excused else fault


def _lies_at_a_pole(given: Trial, fault: CheckResult) -> bool:
    """Return whether a gradient is so much larger than at the given primals that it was taken beside a pole.

    Or where a matrix is singular but for its rounding: last digits decide there, and nobody asked.
    """
    if given.elsewhere is Verdict.WRONG or not _is_wrong_value(fault) or fault is UNTOLD:
        return False
    size = max(abs(part) for part in (fault.analytic or 0.0, fault.numerical or 0.0))
    # at a minimum no gradient has a size, but forward has
    usual = usual_gradient(given) + size_of_terms(given)
    return bool(np.isfinite(size) and size > POLE * usual)


def _is_clipped(given: Trial, fault: CheckResult) -> bool:
    """Return whether forward is cut off: it is constant in an element, and is so nowhere at the given primals."""
    if fault.numerical != 0 or not fault.analytic or given.is_large:
        return False
    return all((estimate.value != 0).all() for estimate in given.estimates)


def _cut(known: Derivation, looked: int) -> str:
    """Return what a search that found nothing did not look at, and why; empty if it looked at everything."""
    budget = known.trial.budget
    there_are = sum(derived.how not in known.left for derived in known.found)
    if budget is None or not budget.is_spent or (known.complete and looked >= there_are):
        return ""
    of = f" of {there_are}" if known.complete else ""
    points = f"{looked}{of} derived point{'' if (there_are if of else looked) == 1 else 's'}"
    return f"looked at {points} and no further: {budget.used_up}"


def _smallest(
    given: Trial, derived: DerivedTrials, fault: CheckResult, check: CheckElsewhere, by_lines: bool = False
) -> tuple[ExploredFault | None, str]:
    """Return a fault at the smallest primals at which the check finds it, and what the budget did not last for.

    None where it does not find it there, as lines may have misled the search.
    """

    def fails(trial: Trial) -> bool:
        return keeps_symmetry(given, trial) and _is_alike(first_fault(trial, check), fault)

    def fails_along_lines(trial: Trial) -> bool:
        if not keeps_symmetry(given, trial):
            return False
        told = judge_primal_along_lines(trial, fault.primal)
        return fails(trial) if told is UNTOLD else told.verdict is Verdict.WRONG

    budget, quick, cut = given.budget, fails_along_lines if by_lines else fails, ""
    # under the given sample's name the cotangent is the one that a test with these primals draws
    trial = derived.trials[0]
    renamed = replace(trial, sample=replace(trial.sample, name=given.sample.name), witness=None)

    def shown(at: Trial) -> ExploredFault | None:
        result = within(budget, partial(first_fault, at, check), None)
        if result is None or not _is_alike(result, fault):
            return None
        meant = derived.meant and not _is_clipped(given, result)
        return ExploredFault(derived.how, at, result, meant)

    with budget.keeping(FOR_THE_DIAGNOSIS) if budget else nullcontext():
        start = renamed if within(budget, partial(quick, renamed), False) else trial
        # lines may have misled: then there is nothing to be made smaller
        first = shown(start)
        if first is None and not (budget and budget.is_spent):
            return None, cut
        # what counts since the function is meant for such numbers must be shown at such numbers
        in_kind = derived.meant and given.elsewhere is not Verdict.WRONG
        smallest = shrink(start, quick, in_kind=in_kind)
        if budget and budget.is_spent:
            cut = f"did not make the primals of {derived.how} as small as they can be: {budget.used_up}"
    return shown(smallest) or first, cut


def _is_alike(found: CheckResult | None, fault: CheckResult) -> bool:
    alike = found is not None and _is_wrong_value(found) == _is_wrong_value(fault)
    return alike and found is not None and found.primal == fault.primal


def first_fault(trial: Trial, check: CheckElsewhere) -> CheckResult | None:
    """Return the first fault that a check finds at a trial; an exception from the node is a fault, too.

    Except for a matrix that cannot be inverted: where backward says so in the library's own words, it was asked for a
    gradient that it does not claim to have.
    """
    try:
        return next((result for result in check(trial) if result.verdict is Verdict.WRONG), None)
    except np.linalg.LinAlgError:
        return None
    except Exception as error:
        return CheckResult(Verdict.WRONG, note=error_text(error))


def _is_wrong_value(fault: CheckResult | None) -> bool:
    return fault is not None and fault.analytic is not None


def as_python(trial: Trial, changed_settings: bool) -> str:
    """Return the primals, and the settings where they were changed, as Python to paste into a test.

    Of large arrays only the shapes, unless all their numbers are the same: nobody pastes a million numbers.
    """
    named = list(zip(trial.names, trial.sample.primals, strict=True))
    named += trial.sample.settings.items() if changed_settings else ()
    large = [(name, value) for name, value in named if _is_too_large(value)]
    parts = [f"{name} = {_literal(value)}" for name, value in named if not _is_too_large(value)]
    shapes = ", ".join(f"{name} of shape {value.shape}" for name, value in large)
    return "; ".join([*parts, *([f"{shapes}, too large to print"] if large else [])])


def _is_too_large(value: Any) -> bool:
    return isinstance(value, np.ndarray) and value.size > READABLE and not _is_constant(value)


def _is_constant(value: Array) -> bool:
    return bool((value == value.flat[0]).all())


def _numpys(numbers: Any) -> str:
    return re.sub(r"\b(inf|nan)\b", r"np.\1", repr(numbers))


def _literal(value: Any) -> str:
    if not isinstance(value, np.ndarray):
        return repr(value)
    dtype = "" if value.dtype in (np.float64, np.int64) else f", dtype=np.{value.dtype.name}"
    shape = "" if value.size else f".reshape{value.shape}"
    if value.size > READABLE:
        return f"np.full({value.shape}, {_numpys(value.flat[0].item())}{dtype})"
    numbers = _numpys(value.tolist())
    return f"np.array({numbers}{dtype}){shape}"
