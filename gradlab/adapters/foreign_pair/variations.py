"""Variations: the same functions off their defaults, where a gradient that is right at the given point may be wrong."""

from collections.abc import Callable, Iterable, Mapping, Sequence
from contextlib import nullcontext
from dataclasses import dataclass, field, replace
from functools import partial
from typing import Any, NamedTuple

import numpy as np

from gradlab.adapters.foreign_pair.convention import NUMERICAL, Convention, Epsilon, named
from gradlab.checks import CHECKS
from gradlab.checks.exploration.derived_inputs import counts_all
from gradlab.checks.trial import Trial, map_arrays, quiet
from gradlab.checks.trial.interruptible import within
from gradlab.checks.trial.line_slopes import is_right_along_lines
from gradlab.diagnosis import Finding
from gradlab.diagnosis.cotangent_mistakes import equal_within
from gradlab.node import Array, Sample
from gradlab.report import Row
from gradlab.running.check_rows import run_checks
from gradlab.verdict import Verdict

STALE = Finding(
    "stale-residuals",
    "",
    1.0,
    "the gradient at a second call is that of the first",
    "let every forward keep what its own backward needs, in the place of what was kept before",
)
ACCUMULATES = Finding(
    "accumulates",
    "",
    1.0,
    "a second call adds its gradient to what the first one left",
    "start from zeros in every call, and assign",
)
_NO_MORE: Any = object()
# Makes other primals of the given ones.
Change = Callable[[tuple[Array, ...]], tuple[Array, ...]]


@dataclass(frozen=True, eq=False)
class Variation:
    """The same functions, called in one other way.

    Attributes
    ----------
    how : str
    forward, backward : callable
        The node contract's.
    settings : mapping
        Settings in the place of the given ones.
    excused : bool
        Whether backward need not be meant for this.
    changes : sequence of callable
        Ways to make other primals of the given ones; the first counts that forward takes.
    refusable : bool
        Whether backward may raise there.
    again : callable or None
        Returns the variation that counts if this one fails: the same after a reset.
    epsilon : callable
        As of a `Subject`.
    used : bool
        Whether this is the layer after a call at the given point.
    """

    how: str
    forward: Callable[..., tuple[Any, Any]]
    backward: Callable[[Any, Any], tuple[Any, ...]]
    settings: Mapping[str, Any] = field(default_factory=dict)
    excused: bool = False
    changes: Sequence[Change] = (tuple,)
    refusable: bool = False
    again: "Callable[[], Variation | None] | None" = None
    epsilon: Epsilon = nullcontext
    used: bool = False


class Varied(NamedTuple):
    """A row for each wrong gradient, the trials of these, the findings, the names of all variations checked.

    `cut` says what the budget did not last for; empty if it did.
    """

    rows: list[Row]
    trials: list[Trial]
    findings: list[Finding]
    looked: list[str]
    cut: str = ""


def check_variations(variations: Iterable[Variation], given: Trial, applied: Convention | None) -> Varied:
    """Check every variation that forward takes, while the budget of the given trial lasts."""
    budget, remaining = given.budget, iter(variations)
    each: list[Varied] = []
    left: list[str] = []
    # to make one, the layer may be run
    while (variation := within(budget, partial(next, remaining, _NO_MORE), None)) is not _NO_MORE:
        if variation is None:
            left.append("what comes next")
            break
        one = within(budget, partial(_checked, variation, given, applied), None)
        each += [one] if one else []
        left += [] if one else [variation.how]
    rows = [row for one in each for row in one.rows]
    trials = [trial for one in each for trial in one.trials]
    findings = [finding for one in each for finding in one.findings]
    looked = [how for one in each for how in one.looked]
    cut = f"gave up on {', '.join(left)}, which did not end in time: raise max_seconds" if left else ""
    if left and budget and budget.is_spent:
        cut = f"looked at {len(looked)} variation{'s' if len(looked) != 1 else ''} and no further: {budget.used_up}"
    return Varied(rows, trials, findings, looked, cut)


def _checked(variation: Variation, given: Trial, applied: Convention | None) -> Varied:
    """Return what one variation shows; nothing if forward does not take it."""
    there = _at(given, variation, applied)
    if there is None:
        return Varied([], [], [], [])
    if is_right_along_lines(there) or _is_right_again(given, variation, applied):
        return Varied([], [], [], [variation.how])
    found = _wrong_rows(given, there, variation)
    findings: list[Finding] = []
    if found and variation.used:
        findings = [STALE] if _is_of_the_first_call(given, there) else []
        findings += [ACCUMULATES] if _adds_to_the_first_call(there) else []
    trials = [there] if found and not (variation.excused or findings) else []
    return Varied(found, trials, findings, [variation.how])


def _is_right_again(given: Trial, variation: Variation, applied: Convention | None) -> bool:
    """Return whether the variation that stands for a wrong one, the same after a reset, is right."""
    other = variation.again() if variation.again else None
    there = _at(given, other, applied) if other else None
    return there is not None and is_right_along_lines(there)


def _is_of_the_first_call(given: Trial, there: Trial) -> bool:
    """Return whether the wrong gradient of a second call is the right gradient of the first."""
    with quiet():
        try:
            g = there.cotangent()
            first, second = given.gradients(g), there.gradients(g)
            wrong = [row.verdict is Verdict.WRONG for _, row in CHECKS[NUMERICAL].run([there])]
        except Exception:
            return False
    # one is enough: what is computed from a parameter, too, takes that as it is now
    return any(bad and equal_within(a, b) for a, b, bad in zip(first, second, wrong, strict=True))


def _adds_to_the_first_call(there: Trial) -> bool:
    """Return whether a gradient of a second call is the right one and what is there for a cotangent of zero."""
    with quiet():
        try:
            g = there.cotangent()
            found, left = there.gradients(g), there.gradients(map_arrays(np.zeros_like, g))
        except Exception:
            return False
        return any(
            bool(rest.any()) and equal_within(d - rest, estimate.value, 1e-6)
            for d, rest, estimate in zip(found, left, there.estimates, strict=True)
        )


def _wrong_rows(given: Trial, there: Trial, variation: Variation) -> list[Row]:
    with quiet():
        rows = list(run_checks([there], {NUMERICAL: CHECKS[NUMERICAL]}))
    # of a matrix that must be square the library says so
    found = [
        row for row in rows if row.verdict is Verdict.WRONG and not row.note.startswith("raised LinAlgError")
    ]
    if variation.excused or variation.refusable:
        found = [row for row in found if row.analytic is not None]
    compared = bool(found) and all(row.analytic is not None for row in found)
    excused = variation.excused or (compared and bool(variation.settings) and _counts_no_more(given, there))
    return [replace(row, verdict=Verdict.WARNING) for row in found] if excused else found


def _counts_no_more(given: Trial, there: Trial) -> bool:
    """Return whether a gradient is wrong only in elements that the output no longer depends on, as it did before.

    So it is where the integers of a graph, or of a ranking, come twice, and forward writes over what they gave.
    """
    if given.is_large or there.is_large:
        return False
    with quiet():
        for d, now, before in zip(
            there.gradients(there.cotangent()), there.estimates, given.estimates, strict=True
        ):
            lost = (now.value == 0) & (before.value != 0)
            if not equal_within(np.where(lost, 0.0, d), now.value, 1e-6):
                return False
    return True


def _at(given: Trial, variation: Variation, applied: Convention | None) -> Trial | None:
    """Return the trial of a variation, at the first of its primals that forward takes; None if it takes none."""
    forward = named(variation.forward, given.names)
    node = replace(given.node, forward=forward, backward=variation.backward)
    settings = {**given.sample.settings, **variation.settings}
    for change in variation.changes:
        primals = change(given.primals())
        sample = Sample(f"{given.sample.name}, {variation.how}", primals, settings)
        trial = replace(given, node=node, sample=sample)
        trial = applied.trial(trial, variation.epsilon, primals) if applied else trial
        # where what a longer axis holds does not count, its length has a meaning
        if trial.accepted and counts_all(given, trial):
            return trial
    return None
