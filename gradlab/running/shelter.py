"""A check that looks at other shapes of compiled code, which may read beyond its memory: in a process of its own."""

from collections.abc import Callable
from dataclasses import replace

from gradlab.report import Report, Row
from gradlab.running.options import CheckOptions
from gradlab.verdict import Verdict
from gradlab.workers.child_process import ChildDiedError, can_fork, in_child

# The child gets so many times the budget before it is killed: it may be in compiled code that hears no timer.
PATIENCE = 3.0


def sheltered_report(report: Callable[[bool], Report], options: CheckOptions, name: str) -> Report:
    """Return ``report(True)``, made in a child process, and ``report(False)`` if that dies.

    Parameters
    ----------
    report : callable
        Makes a report; its argument says whether it is made where nothing can do harm, so that other shapes and empty
        batches may be tried.
    options : CheckOptions
        Only where they ask for all is a child needed.
    name : str
        That of the function, for the row which says that the child died.
    """
    if options.explore != "all" or not can_fork():
        return report(False)
    try:
        return in_child(lambda: report(True), options.max_seconds and PATIENCE * options.max_seconds)
    except ChildDiedError as death:
        without = report(False)
        note = f"the process that looked at other shapes gave no answer ({death}): let forward refuse them"
        row = Row(name, "given", "exploration", "", "", Verdict.WARNING, note=note)
        return replace(without, rows=[*without.rows, row])
