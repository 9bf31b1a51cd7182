"""The mistakes that would explain what the checks reject."""

from collections.abc import Sequence
from warnings import warn

from gradlab.checks.trial import Trial
from gradlab.checks.trial import large_primals as along
from gradlab.diagnosis import OF_VALUES, Finding, diagnose
from gradlab.report import Row
from gradlab.verdict import Verdict


def explained(trials: Sequence[Trial], rows: Sequence[Row]) -> dict[str, Sequence[Finding]]:
    """Return the likeliest mistakes of a node that some check rejects; nothing where it is only undecided."""
    # what is wrong first: of what is only warned of, none explains it
    failed = [
        {row.check for row in rows if row.verdict is verdict} - {"samples_can_fail"}
        for verdict in (Verdict.WRONG, Verdict.WARNING)
    ]
    large = any(trial.is_large for trial in trials)
    try:
        # of what every element would be needed for, the few that were looked at say what can be said
        named = (
            [Finding(*m) for trial in trials for m in along.outcome(trial).mistakes]
            if large and any(failed)
            else []
        )
        rest = [some - OF_VALUES if large else some for some in failed]
        found = [*named, *(finding for some in rest if some for finding in diagnose(trials, some))]
        # what has been written into gives other numbers, that look like another mistake
        found.sort(key=lambda finding: finding.name != "mutates-argument")
    except Exception as error:  # the verdict stands without it, and so do the other nodes
        name = trials[0].node.name
        warn(
            f"the diagnosis of {name} raised {type(error).__name__}: {error}: please report it", stacklevel=2
        )
        found = []
    return {trials[0].node.name: found} if found else {}
