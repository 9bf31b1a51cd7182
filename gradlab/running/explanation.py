"""The mistakes that would explain what the checks reject."""

from collections.abc import Sequence
from warnings import warn

from gradlab.checks.trial import Trial
from gradlab.checks.trial import large_primals as along
from gradlab.diagnosis import CHECKS_OF_VALUES, Finding, diagnose
from gradlab.report import Row
from gradlab.verdict import Verdict


def explain(trials: Sequence[Trial], rows: Sequence[Row]) -> dict[str, Sequence[Finding]]:
    """Return the likeliest mistakes of a node that some check rejects, by the node's name; empty if none does."""
    # errors first: a warning does not explain an error
    failed = [
        {row.check for row in rows if row.verdict is verdict} - {"samples_can_fail"}
        for verdict in (Verdict.WRONG, Verdict.WARNING)
    ]
    large = any(trial.is_large for trial in trials)
    try:
        # a diagnosis of values needs every element: of large primals only those found along directions are known
        named = (
            [Finding(*m) for trial in trials for m in along.directional_outcome(trial).mistakes]
            if large and any(failed)
            else []
        )
        rest = [some - CHECKS_OF_VALUES if large else some for some in failed]
        found = [*named, *(finding for some in rest if some for finding in diagnose(trials, some))]
        # an argument that is written into makes the numbers look like another mistake
        found.sort(key=lambda finding: finding.name != "mutates-argument")
    except Exception as error:  # the verdict stands without it, and so do the other nodes
        name = trials[0].node.name
        warn(
            f"the diagnosis of {name} raised {type(error).__name__}: {error}: please report it", stacklevel=2
        )
        found = []
    return {trials[0].node.name: found} if found else {}
