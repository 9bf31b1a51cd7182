"""The output of a subcommand: a report on stdout, the names of written files on stderr, an exit status."""

import argparse
import sys
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import Any

# The exit statuses; `gradlab.cli.main` says what each means.
OK, WRONG, UNUSABLE, INTERRUPTED = 0, 1, 2, 130
# The name that tabulate has for each --format that is a table.
STYLES = {"table": "simple", "markdown": "github"}


def finish(
    arguments: argparse.Namespace, report: Any, as_text: Callable[[str], str], written: Iterable[Path]
) -> int:
    """Name the written files, print the report, and return the exit status that the report means."""
    print_paths(written)
    print_report(arguments, report, as_text)
    return INTERRUPTED if report.interrupted else OK if report.ok else WRONG


def print_report(arguments: argparse.Namespace, report: Any, as_text: Callable[[str], str]) -> None:
    """Print a report in the --format asked for; `as_text` makes a table of it, in one of tabulate's styles."""
    print(report.to_json() if arguments.format == "json" else as_text(STYLES[arguments.format]))


def print_paths(written: Iterable[Path]) -> None:
    """Print a line on stderr for each file that was written."""
    for path in written:
        print(f"wrote {path}", file=sys.stderr)
