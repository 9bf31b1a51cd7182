"""A run of ``gradlab check``: every target in a process of its own, and one report on all."""

from collections import deque
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import replace

from gradlab.commands.check._check_task import CheckTask, TaskOutcome
from gradlab.commands.check._parent_process import in_process
from gradlab.commands.check._targets_report import TargetsReport
from gradlab.report import Report
from gradlab.report.envelope import environment
from gradlab.running.progress import with_progress


def check(
    targets: Sequence[str], task: CheckTask, *, every: bool = False, progress: bool = False
) -> TargetsReport:
    """Check objects by their names, each in a process of its own.

    Parameters
    ----------
    targets : sequence of str
        ``MODULE:OBJECT``, or, with `every`, modules.
    task : CheckTask
        The options, which are the same for every target.
    every : bool
        Whether to check all layer classes of the modules.
    progress : bool
        Whether to show a bar on stderr when that is a terminal.

    Returns
    -------
    TargetsReport
        After Ctrl-C on the targets that were reached.
    """
    pending = deque(replace(task, target=target, every=every) for target in dict.fromkeys(targets))
    asked = [t.target for t in pending]
    done: dict[str, TaskOutcome] = {}
    interrupted = False
    try:
        for now in with_progress(_each(pending), progress, "object"):
            outcome = done[now.target] = in_process(now)
            parts = [replace(now, target=name, every=False, part=True) for name in outcome.parts]
            asked += [] if every else outcome.parts
            pending.extendleft(t for t in reversed(parts) if t.target not in done)
    except KeyboardInterrupt:
        interrupted = True
    return _all_together(done, asked, task.seed, interrupted)


def _each(pending: deque[CheckTask]) -> Iterator[CheckTask]:
    while pending:
        yield pending.popleft()


def _all_together(
    done: Mapping[str, TaskOutcome], asked: Sequence[str], seed: int, interrupted: bool
) -> TargetsReport:
    """Return one report on the outcomes of all targets."""
    reports = [outcome.report for outcome in done.values() if outcome.report]
    report = Report(
        [row for part in reports for row in part.rows],
        environment(seed=seed),
        interrupted,
        [place for part in reports for place in part.explored],
        {name: found for part in reports for name, found in part.findings.items()},
        list(dict.fromkeys(repair for part in reports for repair in part.repairs)),
        [both for part in reports for both in part.comparisons],
        {name: place for part in reports for name, place in part.places.items()},
    )
    unchecked = {target: outcome.unusable for target, outcome in done.items() if outcome.unusable}
    taken = {target: outcome.taken for target, outcome in done.items() if outcome.taken}
    return TargetsReport(report, unchecked, taken, asked)
