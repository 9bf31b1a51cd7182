"""The mistakes that would explain what the checks reject."""

from collections.abc import Iterator, Sequence
from dataclasses import replace
from warnings import warn

from gradlab.checks.trial import Trial
from gradlab.checks.trial.interruptible import within
from gradlab.checks.trial.large_primals import large_mistakes
from gradlab.diagnosis import CHECKS_OF_VALUES, Finding, diagnose
from gradlab.report import Row
from gradlab.report.escaping import one_line
from gradlab.running.foreign_function import ENDS, is_foreign
from gradlab.verdict import Verdict
from gradlab.workers.strange_objects import text_of

# The name of a finding that is none.
NOT_DIAGNOSED = "not-diagnosed"
MUTATES = "mutates-argument"


def explain(trials: Sequence[Trial], rows: Sequence[Row]) -> dict[str, Sequence[Finding]]:
    """Return the likeliest mistakes of a node that some check rejects, by the node's name; empty if none does.

    Where the budget does not last for it, a finding without confidence says so.
    """
    # errors first: a warning does not explain an error
    wrong, warned = (
        {row.check for row in rows if row.verdict is verdict} - {"samples_can_fail"}
        for verdict in (Verdict.WRONG, Verdict.WARNING)
    )
    failed = [wrong, warned - wrong]
    if not any(failed):
        return {}
    budget, found = trials[0].budget, list[Finding]()

    def collect() -> bool:
        for finding in _findings(trials, failed):
            found.append(finding)  # one by one, so that those before an interruption stay
        return True

    try:
        complete = within(budget, collect, False, budget.left_s if budget else None)
    except ENDS:
        raise
    except BaseException as error:  # the verdict stands without it, and so do the other nodes
        name = trials[0].node.name
        if is_foreign(error):  # where the diagnosis looked, the function has nothing to say
            return {name: found} if found else {}
        what = f"the diagnosis of {name} raised {type(error).__name__}: {text_of(error)}"
        warn(one_line(f"{what}: please report it"), stacklevel=2)
        return {}
    # an argument that is written into makes the numbers look like another mistake
    found.sort(key=lambda finding: finding.name != MUTATES)
    if budget and not complete:
        evidence = f"{budget.limit} was used up before the mistake was found"
        found.append(Finding(NOT_DIAGNOSED, "", 0.0, evidence, "raise it", warns=not wrong))
    return {trials[0].node.name: found} if found else {}


def _findings(trials: Sequence[Trial], failed: Sequence[set[str]]) -> Iterator[Finding]:
    large = any(trial.is_large for trial in trials)
    if large:
        # a diagnosis of values needs every element: of large primals only those found along directions are known
        yield from (Finding(*mistake) for trial in trials for mistake in large_mistakes(trial))
    for some, warns in zip(failed, (False, True), strict=True):
        rest = some - CHECKS_OF_VALUES if large else some
        for found in diagnose(trials, rest) if rest else ():
            # an argument that is written into explains an error, too
            yield replace(found, warns=warns and not (failed[0] and found.name == MUTATES))
