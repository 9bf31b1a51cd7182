"""A run of ``gradlab check``: every target in a process of its own, and one report on all."""

import threading
from collections import deque
from collections.abc import Mapping, Sequence
from concurrent.futures import FIRST_COMPLETED, Future, ThreadPoolExecutor, wait
from dataclasses import replace
from functools import partial

from gradlab.commands.check._check_task import CheckTask, TaskOutcome
from gradlab.commands.check._parent_process import in_process
from gradlab.commands.check._targets_report import TargetsReport
from gradlab.report import Report
from gradlab.report.envelope import environment
from gradlab.running.progress import progress_bar


def check(
    targets: Sequence[str],
    task: CheckTask,
    *,
    every: bool = False,
    workers: int = 1,
    progress: bool = False,
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
    workers : int
        How many processes run at a time.
    progress : bool
        Whether to show on stderr how far it has come.

    Returns
    -------
    TargetsReport
        In the order of the targets; after Ctrl-C on those that were reached.
    """
    pending = deque(replace(task, target=target, every=every) for target in dict.fromkeys(targets))
    asked = [t.target for t in pending]
    order = list(asked)
    running: dict[Future[TaskOutcome], CheckTask] = {}
    done: dict[str, TaskOutcome] = {}
    stop = threading.Event()
    interrupted = False
    with ThreadPoolExecutor(workers) as threads, progress_bar(None, "object", shown=progress) as bar:
        try:
            while pending or running:
                while pending and len(running) < workers:
                    now = pending.popleft()
                    running[threads.submit(in_process, now, stop)] = now
                for future in wait(running, return_when=FIRST_COMPLETED).done:
                    now = running.pop(future)
                    outcome = done[now.target] = future.result()
                    bar.update()
                    new = [name for name in dict.fromkeys(outcome.parts) if name not in order]
                    asked += [] if every else outcome.parts
                    at = order.index(now.target) + 1
                    order[at:at] = new
                    # a list's objects come before what was named behind it
                    pending.extendleft(
                        replace(now, target=name, every=False, part=True) for name in reversed(new)
                    )
        except KeyboardInterrupt:
            interrupted = True
        finally:
            stop.set()
    return _all_together({name: done[name] for name in order if name in done}, asked, task.seed, interrupted)


def _all_together(
    done: Mapping[str, TaskOutcome], asked: Sequence[str], seed: int, interrupted: bool
) -> TargetsReport:
    """Return one report on the outcomes of all targets."""
    reports: list[Report] = []
    names: set[str] = set()
    for target, outcome in done.items():
        if outcome.report:
            own = {row.node for row in outcome.report.rows}
            twice = {
                name: f"{name} ({target})" for name in own & names
            }  # two lists may have a node of one name
            reports.append(outcome.report.renamed(partial(_among, twice)) if twice else outcome.report)
            names |= own
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


def _among(names: Mapping[str, str], name: str) -> str:
    return names.get(name, name)
