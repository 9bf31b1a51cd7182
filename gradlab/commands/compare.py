"""``gradlab compare``: two reports as JSON, an older and a newer one, and what got worse."""

import argparse
from pathlib import Path

from gradlab.commands.output import finish
from gradlab.report.compared import UnreadableReportError, compare_reports, limits_of
from gradlab.running.selection import UnknownNameError

HELP = "compare two reports that were written as JSON, and fail on what got worse"


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add the arguments of ``gradlab compare``."""
    parser.add_argument("old", type=Path, metavar="OLD.json", help="the report to hold the newer one to")
    parser.add_argument("new", type=Path, metavar="NEW.json")
    parser.add_argument(
        "--fail-if",
        default="",
        metavar="LIMITS",
        help="what else fails beside a worse verdict: error:10x for an error ten times as large, time:20%% for a "
        "forward or backward that takes a fifth longer than all others do",
    )


def run(arguments: argparse.Namespace, command: str) -> int:
    """Print what has changed; return the exit status."""
    try:
        compared = compare_reports(arguments.old, arguments.new, limits_of(arguments.fail_if))
    except UnreadableReportError as error:
        raise UnknownNameError(str(error)) from error
    return finish(arguments, compared, compared.to_table, [])
