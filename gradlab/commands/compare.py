"""``gradlab compare``: two reports as JSON, an older and a newer one, and what got worse."""

import argparse
from pathlib import Path

from gradlab.commands.output import add_limits, finish
from gradlab.report.compared import UnreadableReportError, compare_reports, limits_of, rows_in
from gradlab.running.selection import UnknownNameError

HELP = "compare two reports that were written as JSON, and fail on what got worse"


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add the arguments of ``gradlab compare``."""
    parser.add_argument("old", type=Path, metavar="OLD.json", help="the report to hold the newer one to")
    parser.add_argument("new", type=Path, metavar="NEW.json")
    add_limits(parser)


def run(arguments: argparse.Namespace, command: str) -> int:
    """Print what has changed; return the exit status."""
    try:
        limits = limits_of(arguments.fail_if)
        (before, _), (after, environment) = rows_in(arguments.old), rows_in(arguments.new)
    except UnreadableReportError as error:
        raise UnknownNameError(str(error)) from error
    compared = compare_reports(before, after, limits, environment)
    return finish(arguments, compared, compared.to_table, [])
