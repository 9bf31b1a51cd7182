"""``gradlab check``: somebody's layers and functions, found by name, made, given inputs, and checked one by one."""

import argparse
import sys
from collections.abc import Sequence
from dataclasses import replace
from functools import partial

from gradlab.commands.check._arguments import add_arguments, add_making, task_of, task_of_making
from gradlab.commands.check._check_run import check
from gradlab.commands.check._fixes import fix
from gradlab.commands.check._targets_report import write_page
from gradlab.commands.check._web_page import write_html_page
from gradlab.commands.output import (
    INTERRUPTED,
    OK,
    UNUSABLE,
    WRONG,
    baseline_of,
    print_paths,
    print_report,
)
from gradlab.report import Comparison
from gradlab.report.figures import can_plot
from gradlab.report.pages import write_pictures
from gradlab.running.selection import UnknownNameError
from gradlab.workers.worker_map import process_count

__all__ = ["HELP", "add_arguments", "add_making", "compared", "run"]

HELP = "check layers and functions that somebody else wrote, by their names"


def run(arguments: argparse.Namespace, command: str) -> int:
    """Check every target; print the report on all, write its page, return the exit status."""
    if misuse := _misuse(arguments):
        print(f"gradlab: {misuse}", file=sys.stderr)
        return UNUSABLE
    against = baseline_of(arguments)
    workers = process_count(arguments.workers)
    found = check(arguments.target, task_of(arguments), every=arguments.all, workers=workers, progress=True)
    if arguments.format == "json" or found.report.rows or found.interrupted:
        detail = {"verbose": arguments.verbose, "timings": arguments.timings}
        print_report(arguments, found, partial(found.to_table, **detail))
    if not found.report.rows:
        for line in found.unchecked_lines():
            print(f"gradlab: {line}", file=sys.stderr)
    if arguments.fix:
        for line in fix(found.report.repairs, arguments.dry_run):
            print(f"gradlab: {line}", file=sys.stderr)
    if arguments.output:
        print_paths(write_page(found, arguments.output, command))
    if arguments.plot:
        print_paths(write_pictures(found.report, arguments.plot))
    if arguments.html:
        print_paths([write_html_page(found, arguments.html, command)])
    if found.interrupted:
        return INTERRUPTED
    if against and found.report.rows:
        return against(found.report) or (OK if found.complete else UNUSABLE)
    return WRONG if found.wrong else OK if found.ok else UNUSABLE


def _misuse(arguments: argparse.Namespace) -> str:
    """Return what is wrong with the options, with the cure; empty where nothing is."""
    if arguments.fix and not arguments.repair:
        return "--fix writes repairs, and --no-repair looks for none: leave one of them out"
    if arguments.plot and not can_plot():
        return "--plot draws with matplotlib, which is not installed: pip install 'gradlab[plot]'"
    if arguments.dry_run is not None and not arguments.fix:
        return "--dry-run says what --fix would write: add --fix, or leave it out"
    return ""


def compared(target: str, arguments: argparse.Namespace) -> Sequence[Comparison]:
    """Return both gradients of an object, with all that pictures are drawn of.

    Raises
    ------
    UnknownNameError
        If it cannot be checked.
    """
    task = replace(task_of_making(arguments), pictures=True, values_only=True, repair=False)
    found = check([target], task, progress=True)
    if not found.report.comparisons:
        raise UnknownNameError("; ".join(found.unchecked_lines()) or f"{target} has no gradient to compare")
    return found.report.comparisons
